//! HTTP requests: each one that this crate makes goes through an [`HttpClient`].

#[cfg(feature = "remote")]
mod origin;
#[cfg(feature = "reqwest")]
mod reqwest;

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};

use crate::answer::Answer;

#[cfg(feature = "remote")]
pub(crate) use origin::Origin;

/// The answer of an [`HttpClient`].
pub type HttpAnswer = Answer<'static, Result<Response<Vec<u8>>, HttpError>>;

/// Sends one request and reads the answer.
///
/// With the feature `reqwest`, `reqwest::Client` implements this trait. So do a closure ([`http_client_fn`]), and an `Arc` of
/// any client.
///
/// An implementation must keep three rules:
///
/// - It follows **no redirects**. An answer from another URL is not the answer.
/// - It reads at most [`max_bytes`](HttpLimits::max_bytes) of the body into memory.
/// - It is done, or gives up, within [`timeout`](HttpLimits::timeout).
///
/// An answer with any status is an answer, not an error. The keys of an issuer are only as trustworthy as the TLS of
/// the client that fetched them.
///
/// ```
/// use http::{Request, Response};
/// use unconfused::Answer;
/// use unconfused::client::{HttpAnswer, HttpClient, HttpError, HttpLimits};
///
/// // a client for a test: one document, whatever is requested
/// let client = |_: Request<Vec<u8>>, limits: HttpLimits| -> HttpAnswer {
///     let body = br#"{"keys":[]}"#.to_vec();
///     if body.len() > limits.max_bytes {
///         return Answer::Now(Err(HttpError::TooLarge(limits.max_bytes)));
///     }
///     Answer::Now(Ok(Response::new(body)))
/// };
///
/// let send = |max_bytes| {
///     let request = Request::get("https://login.example/jwks").body(Vec::new()).unwrap();
///     client.send(request, HttpLimits::new(max_bytes, std::time::Duration::from_secs(5))).now().unwrap()
/// };
/// assert_eq!(send(1024).unwrap().status(), 200);
/// assert!(matches!(send(5), Err(HttpError::TooLarge(5))));
/// ```
///
/// # Another version of `reqwest`
///
/// The feature `reqwest` is about reqwest 0.13. If your service has reqwest 0.12, leave the feature off, turn on `remote`,
/// and put the client into a type of your own. The two versions have these methods in common:
///
/// ```
/// # #[cfg(feature = "reqwest")] {
/// use http::{Request, Response};
/// use unconfused::Answer;
/// use unconfused::client::{HttpAnswer, HttpClient, HttpError, HttpLimits};
///
/// /// Built with `redirect::Policy::none()`, and with TLS.
/// struct MyClient(reqwest::Client);
///
/// impl HttpClient for MyClient {
///     fn send(&self, request: Request<Vec<u8>>, limits: HttpLimits) -> HttpAnswer {
///         let client = self.0.clone();
///         Answer::later(async move { fetch(client, request, limits).await })
///     }
/// }
///
/// async fn fetch(
///     client: reqwest::Client,
///     request: Request<Vec<u8>>,
///     limits: HttpLimits,
/// ) -> Result<Response<Vec<u8>>, HttpError> {
///     let failed = |error: reqwest::Error| match error.is_timeout() {
///         true => HttpError::TimedOut,
///         false => HttpError::Failed(error.without_url().into()),
///     };
///     let mut request = reqwest::Request::try_from(request).map_err(failed)?;
///     *request.timeout_mut() = Some(limits.timeout);
///     let url = request.url().clone();
///     let mut response = client.execute(request).await.map_err(failed)?;
///     if *response.url() != url {
///         return Err(HttpError::Redirected);
///     }
///     let mut answer = Response::new(Vec::new());
///     *answer.status_mut() = response.status();
///     *answer.headers_mut() = std::mem::take(response.headers_mut());
///     while let Some(chunk) = response.chunk().await.map_err(failed)? {
///         if answer.body().len() + chunk.len() > limits.max_bytes {
///             return Err(HttpError::TooLarge(limits.max_bytes));
///         }
///         answer.body_mut().extend_from_slice(&chunk);
///     }
///     Ok(answer)
/// }
/// # fn is_client(_: impl HttpClient) {}
/// # is_client(MyClient(reqwest::Client::new()));
/// # }
/// ```
pub trait HttpClient: Send + Sync + 'static {
    /// Sends the request and reads the whole answer, within these limits.
    fn send(&self, request: Request<Vec<u8>>, limits: HttpLimits) -> HttpAnswer;
}

/// The limits of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpLimits {
    /// The most bytes of a body that are read. A longer body is [`HttpError::TooLarge`].
    pub max_bytes: usize,
    /// The time for the whole request, from the first byte that is sent to the last one that is read. After that it is
    /// [`HttpError::TimedOut`].
    pub timeout: Duration,
}

impl HttpLimits {
    /// Creates limits of this many bytes and this much time.
    #[must_use]
    pub fn new(max_bytes: usize, timeout: Duration) -> Self {
        HttpLimits { max_bytes, timeout }
    }
}

/// The error of an [`HttpClient`] that has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The URL is `https`, and the client has no TLS.
    #[error(
        "the HTTP client has no TLS, and the URL is https: turn on a TLS feature of the client"
    )]
    NoTls,
    /// The request took longer than [`HttpLimits::timeout`].
    #[error("the answer took too long")]
    TimedOut,
    /// The body is longer than [`HttpLimits::max_bytes`], which is this many bytes.
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    /// The answer is a redirect, or comes from another URL than the one that was requested.
    #[error("the answer is a redirect, or came after one")]
    Redirected,
    /// The request failed for another reason.
    #[error("the request failed: {0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sends a request, and holds its client to the limits.
#[cfg(feature = "remote")]
pub(crate) async fn send_within(
    client: &dyn HttpClient,
    request: Request<Vec<u8>>,
    limits: HttpLimits,
) -> Result<Response<Vec<u8>>, HttpError> {
    let sent = tokio::time::timeout(limits.timeout, client.send(request, limits));
    let answer = sent.await.map_err(|_| HttpError::TimedOut)??;
    match answer.body().len() > limits.max_bytes {
        true => Err(HttpError::TooLarge(limits.max_bytes)),
        false => Ok(answer),
    }
}

impl<F> HttpClient for F
where
    F: Fn(Request<Vec<u8>>, HttpLimits) -> HttpAnswer + Send + Sync + ?Sized + 'static,
{
    fn send(&self, request: Request<Vec<u8>>, limits: HttpLimits) -> HttpAnswer {
        self(request, limits)
    }
}

/// Returns the closure as it is, and gives it the signature that makes it an [`HttpClient`].
///
/// So neither its arguments nor its answer need a type:
///
/// ```
/// use unconfused::Answer;
/// use unconfused::client::{HttpError, http_client_fn};
///
/// let offline = http_client_fn(|_, _| Answer::Now(Err(HttpError::Failed("offline".into()))));
/// # fn is_client(_: impl unconfused::client::HttpClient) {}
/// # is_client(offline);
/// ```
pub fn http_client_fn<F>(send: F) -> F
where
    F: Fn(Request<Vec<u8>>, HttpLimits) -> HttpAnswer + Send + Sync + 'static,
{
    send
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
