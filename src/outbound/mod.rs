//! The one way out: every request that this crate makes goes through an [`HttpClient`].

#[cfg(feature = "reqwest")]
mod reqwest;

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};

use crate::answer::Answer;

/// What an [`HttpClient`] answers with.
pub type HttpAnswer = Answer<'static, Result<Response<Vec<u8>>, HttpError>>;

/// Sends one request and reads the answer.
///
/// `reqwest::Client` is one with the feature `reqwest`; a closure is one, and an `Arc` of one. Whoever implements it
/// keeps three rules: **no redirects** are followed, since an answer from elsewhere is not the answer;
/// no more than [`max_bytes`](HttpLimits::max_bytes) of the body are read into memory; and
/// everything is done, or given up, [`timeout`](HttpLimits::timeout) the time. An answer of any status is an
/// answer, and no error. The TLS of the client is what the keys of an issuer are worth.
///
/// ```
/// use http::{Request, Response};
/// use unconfused::client::{HttpAnswer, HttpClient, HttpLimits};
/// use unconfused::Answer;
///
/// // for a test: one document, whatever is asked
/// let client = |_: Request<Vec<u8>>, _: HttpLimits| -> HttpAnswer {
///     Answer::Now(Ok(Response::new(br#"{"keys":[]}"#.to_vec())))
/// };
/// # fn is_one(_: impl HttpClient) {}
/// # is_one(client);
/// ```
pub trait HttpClient: Send + Sync + 'static {
    /// Sends the request.
    fn send(&self, request: Request<Vec<u8>>, limits: HttpLimits) -> HttpAnswer;
}

/// What a request may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpLimits {
    /// The most bytes of a body that are read; a longer one is [`HttpError::TooLarge`].
    pub max_bytes: usize,
    /// The time for all of it, from the first byte sent to the last one read; then it is
    /// [`HttpError::TimedOut`].
    pub timeout: Duration,
}

impl HttpLimits {
    /// So many bytes, in so much time.
    #[must_use]
    pub fn new(max_bytes: usize, timeout: Duration) -> Self {
        HttpLimits { max_bytes, timeout }
    }
}

/// There is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// An `https` URL, and a client without TLS.
    #[error(
        "the HTTP client has no TLS, and the URL is https: turn on a TLS feature of the client"
    )]
    NoTls,
    /// It took longer than it may.
    #[error("the answer took too long")]
    TimedOut,
    /// The body is longer than it may be, in bytes.
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    /// The answer came from another place than the one that was asked.
    #[error("the answer is a redirect, or came after one")]
    Redirected,
    /// Something else.
    #[error("the request failed: {0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl<F> HttpClient for F
where
    F: Fn(Request<Vec<u8>>, HttpLimits) -> HttpAnswer + Send + Sync + ?Sized + 'static,
{
    fn send(&self, request: Request<Vec<u8>>, limits: HttpLimits) -> HttpAnswer {
        self(request, limits)
    }
}

impl<C: HttpClient + ?Sized> HttpClient for Arc<C> {
    fn send(&self, request: Request<Vec<u8>>, limits: HttpLimits) -> HttpAnswer {
        (**self).send(request, limits)
    }
}

impl std::fmt::Debug for dyn HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HttpClient(..)")
    }
}
