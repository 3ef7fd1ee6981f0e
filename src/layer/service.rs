//! A service behind a guard.

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};

use http::header::CONTENT_TYPE;
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::body::MakeBody;
use super::future::ResponseFuture;
use crate::answer::Answer;
use crate::denial::{DPOP_NONCE, Denial};
use crate::guard::{GuardLayer, NoCredentials, RequestAnswer};

impl<S, B> Layer<S> for GuardLayer<B> {
    type Service = GuardService<S, B>;

    fn layer(&self, inner: S) -> Self::Service {
        GuardService { inner, layer: self.clone() }
    }
}

/// A service behind a guard, made by a [`GuardLayer`].
///
/// It is ready when the inner service is. If that reserves something for the next request, such as a permit of a
/// `ConcurrencyLimit`, a request that is denied gives it back at once. So does a request that has to wait for keys or
/// a store. If it is granted, it then waits until the inner service is ready again.
pub struct GuardService<S, B> {
    inner: S,
    layer: GuardLayer<B>,
}

impl<S: Clone, B> Clone for GuardService<S, B> {
    fn clone(&self) -> Self {
        GuardService { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S, B, Q, R> Service<Request<Q>> for GuardService<S, B>
where
    S: Service<Request<Q>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: MakeBody<R> + Send + Sync + 'static,
    Q: Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let settings = &self.layer.settings;
        let rule = settings.rule(&mut parts);
        let answer = match settings.guard.answer_request(&parts, rule) {
            RequestAnswer::Decided(answer) => answer,
            RequestAnswer::NoCredentials => {
                settings.guard.remove_possession_fields(&mut parts);
                parts.extensions.insert(NoCredentials);
                let request = Request::from_parts(parts, body);
                return ResponseFuture::inner(self.inner.call(request), None);
            }
        };
        match answer {
            Answer::Now(Err(denial)) => {
                reset(&mut self.inner);
                ResponseFuture::denied(denied_response(denial, &settings.body))
            }
            Answer::Now(Ok(grant)) => {
                let nonce = settings.guard.next_nonce(&grant);
                settings.guard.replace_credential_with_grant(&mut parts, &grant);
                ResponseFuture::inner(self.inner.call(Request::from_parts(parts, body)), nonce)
            }
            waiting @ Answer::Later(_) => {
                let settings = settings.clone();
                reset(&mut self.inner);
                let mut inner = self.inner.clone();
                ResponseFuture::waiting(async move {
                    match waiting.await {
                        Err(denial) => Ok(denied_response(denial, &settings.body)),
                        Ok(grant) => {
                            settings.guard.replace_credential_with_grant(&mut parts, &grant);
                            let nonce = settings.guard.next_nonce(&grant);
                            poll_fn(|cx| inner.poll_ready(cx)).await?;
                            let mut result = inner.call(Request::from_parts(parts, body)).await;
                            if let (Ok(response), Some(nonce)) = (&mut result, nonce) {
                                response.headers_mut().insert(DPOP_NONCE, nonce);
                            }
                            result
                        }
                    }
                })
            }
        }
    }
}

/// Drops a service, and with it what it reserved when it became ready. Its clone has reserved nothing.
fn reset<S: Clone>(service: &mut S) {
    *service = service.clone();
}

fn denied_response<R>(denial: Denial, make_body: &impl MakeBody<R>) -> Response<R> {
    let body = make_body.body(&denial);
    let mut response = denial.respond(body);
    if let Some(content_type) = make_body.content_type() {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response
}

impl<S: fmt::Debug, B> fmt::Debug for GuardService<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardService")
            .field("inner", &self.inner)
            .field("layer", &self.layer)
            .finish()
    }
}
