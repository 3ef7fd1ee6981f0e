//! The service of a document.

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tower_service::Service;

/// A service that serves a document: the metadata, or the keys of challenges.
///
/// [`Metadata::service`](crate::challenge::Metadata::service) and
/// [`ChallengeKeys::service`](crate::challenge::ChallengeKeys::service) make it. It answers `GET` and `HEAD` with the
/// document, `OPTIONS` with 204 for preflights, and any other method with 405. It does not look at the path, so route the
/// path of the document to it.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use http::{Method, Request};
/// use tower_service::Service as _;
/// use unconfused::{Audience, Guard};
/// # use unconfused::testing::TestIssuer;
/// # let issuer = TestIssuer::new("https://login.example").issuer();
///
/// let guard = Guard::new(Audience::from_static("https://api.example/mcp"), issuer);
/// let mut service = guard.metadata()?.service();
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
///
/// let response = service.call(Request::new(())).await.unwrap();
/// assert_eq!(response.headers()["content-type"], "application/json");
///
/// let delete = Request::builder().method(Method::DELETE).body(()).unwrap();
/// assert_eq!(service.call(delete).await.unwrap().status(), 405);
/// # });
/// # }
/// # Ok::<(), unconfused::error::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct DocumentService {
    json: Arc<str>,
    media_type: &'static str,
    cache_control: &'static str,
}

impl DocumentService {
    pub(super) fn new(
        json: &str,
        media_type: &'static str,
        cache_control: &'static str,
    ) -> DocumentService {
        DocumentService { json: json.into(), media_type, cache_control }
    }
}

impl<B> Service<Request<B>> for DocumentService {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
        const ANY: HeaderValue = HeaderValue::from_static("*");
        let mut response = Response::new(String::new());
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
        match *request.method() {
            Method::GET | Method::HEAD => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.media_type));
                headers.insert(CACHE_CONTROL, HeaderValue::from_static(self.cache_control));
                if request.method() == Method::GET {
                    *response.body_mut() = self.json.to_string();
                } else {
                    // The length that the answer to GET has (RFC 9110 section 8.6).
                    headers.insert(CONTENT_LENGTH, self.json.len().into());
                }
            }
            Method::OPTIONS => {
                headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ANY);
                headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
                *response.status_mut() = StatusCode::NO_CONTENT;
            }
            _ => {
                headers.insert(ALLOW, METHODS);
                *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            }
        }
        ready(Ok(response))
    }
}

impl fmt::Debug for DocumentService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DocumentService(..)")
    }
}
