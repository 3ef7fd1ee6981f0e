//! `reqwest::Client` as an [`HttpClient`].

use std::error::Error;

use http::{Request, Response};
use reqwest::Client;

use super::{HttpAnswer, HttpClient, HttpError, HttpLimits};
use crate::answer::Answer;

/// Sends requests with the TLS, the proxies and the connections of this client, and with its redirect policy: **build
/// it with `redirect::Policy::none()`**. A client that follows redirects sends requests to other servers. Its answer is
/// refused ([`HttpError::Redirected`]) only if it comes from another URL in the end.
impl HttpClient for Client {
    fn send(&self, request: Request<Vec<u8>>, limits: HttpLimits) -> HttpAnswer {
        let client = self.clone();
        Answer::later(async move { fetch(client, request, limits).await })
    }
}

async fn fetch(
    client: Client,
    request: Request<Vec<u8>>,
    limits: HttpLimits,
) -> Result<Response<Vec<u8>>, HttpError> {
    let mut request = reqwest::Request::try_from(request).map_err(http_error)?;
    *request.timeout_mut() = Some(limits.timeout);
    let url = request.url().clone();
    let mut response = client.execute(request).await.map_err(http_error)?;
    if *response.url() != url {
        return Err(HttpError::Redirected);
    }
    let mut answer = Response::new(Vec::new());
    *answer.status_mut() = response.status();
    *answer.headers_mut() = std::mem::take(response.headers_mut());
    let body = answer.body_mut();
    while let Some(chunk) = response.chunk().await.map_err(http_error)? {
        if body.len().saturating_add(chunk.len()) > limits.max_bytes {
            return Err(HttpError::TooLarge(limits.max_bytes));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(answer)
}

fn http_error(error: reqwest::Error) -> HttpError {
    if error.is_timeout() {
        return HttpError::TimedOut;
    }
    if error.is_redirect() {
        return HttpError::Redirected;
    }
    // Without TLS, the connector refuses the scheme with an error that has no type of its own.
    let causes =
        std::iter::successors(error.source(), |cause: &&(dyn Error + 'static)| (*cause).source());
    let has_no_tls =
        causes.map(ToString::to_string).any(|cause| cause.contains("scheme is not http"));
    if has_no_tls && error.url().is_some_and(|url| url.scheme() == "https") {
        return HttpError::NoTls;
    }
    // The caller names the URL in its own error.
    HttpError::Failed(Box::new(error.without_url()))
}
