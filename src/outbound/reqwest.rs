//! `reqwest::Client` as the way out.

use std::error::Error;

use http::{Request, Response};
use reqwest::Client;

use super::{HttpAnswer, HttpClient, HttpError, HttpLimits};
use crate::answer::Answer;

/// TLS, proxies and the pool are the client's own; and so are redirects: **build it with
/// `redirect::Policy::none()`**. A client that follows them asks others, and of what they answer only what came from
/// another URL in the end is refused ([`HttpError::Redirected`]).
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
    let mut request = reqwest::Request::try_from(request).map_err(failed)?;
    *request.timeout_mut() = Some(limits.timeout);
    let asked = request.url().clone();
    let mut response = client.execute(request).await.map_err(failed)?;
    if *response.url() != asked {
        return Err(HttpError::Redirected);
    }
    let mut answer = Response::new(Vec::new());
    *answer.status_mut() = response.status();
    *answer.headers_mut() = std::mem::take(response.headers_mut());
    let body = answer.body_mut();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len().saturating_add(chunk.len()) > limits.max_bytes {
            return Err(HttpError::TooLarge(limits.max_bytes));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(answer)
}

fn failed(error: reqwest::Error) -> HttpError {
    if error.is_timeout() {
        return HttpError::TimedOut;
    }
    if error.is_redirect() {
        return HttpError::Redirected;
    }
    // Without TLS, the connector refuses the scheme; that error has no type of its own.
    let causes =
        std::iter::successors(error.source(), |cause: &&(dyn Error + 'static)| (*cause).source());
    let refused = causes.map(ToString::to_string).any(|cause| cause.contains("scheme is not http"));
    if refused && error.url().is_some_and(|url| url.scheme() == "https") {
        return HttpError::NoTls;
    }
    // The URL is told by whoever asked.
    HttpError::Failed(Box::new(error.without_url()))
}
