//! A service behind a guard.

use std::fmt;
use std::mem;
use std::task::{Context, Poll};

use http::header::CONTENT_TYPE;
use http::{Request, Response};
use tower_service::Service;

use super::{GuardLayer, MakeBody, ResponseFuture};
use crate::answer::Answer;
use crate::denial::{DPOP_NONCE, Denial};
use crate::guard::{NoCredentials, Step, pass_on, take_off_shown};

/// A service behind a guard: what a [`GuardLayer`] makes.
pub struct GuardService<S, B> {
    inner: S,
    layer: GuardLayer<B>,
}

impl<S, B> GuardService<S, B> {
    pub(super) fn new(inner: S, layer: GuardLayer<B>) -> Self {
        GuardService { inner, layer }
    }
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
        let judged = match settings.guard.begin(&parts, settings.ask(&parts)) {
            Step::Judged(judged) => judged,
            Step::NoCredentials => {
                take_off_shown(&mut parts);
                parts.extensions.insert(NoCredentials);
                let request = Request::from_parts(parts, body);
                return ResponseFuture::inner(self.inner.call(request), None);
            }
        };
        match judged {
            Answer::Now(Err(denial)) => ResponseFuture::denied(denied(denial, &settings.body)),
            Answer::Now(Ok(grant)) => {
                let nonce = settings.guard.next_nonce(&grant);
                pass_on(&mut parts, &grant);
                ResponseFuture::inner(self.inner.call(Request::from_parts(parts, body)), nonce)
            }
            waiting @ Answer::Later(_) => {
                // The service that was polled ready is the one to call; the clone is not.
                let clone = self.inner.clone();
                let mut inner = mem::replace(&mut self.inner, clone);
                let settings = settings.clone();
                ResponseFuture::waiting(async move {
                    match waiting.await {
                        Err(denial) => Ok(denied(denial, &settings.body)),
                        Ok(grant) => {
                            pass_on(&mut parts, &grant);
                            let nonce = settings.guard.next_nonce(&grant);
                            let mut answer = inner.call(Request::from_parts(parts, body)).await;
                            if let (Ok(response), Some(nonce)) = (&mut answer, nonce) {
                                response.headers_mut().insert(DPOP_NONCE, nonce);
                            }
                            answer
                        }
                    }
                })
            }
        }
    }
}

fn denied<R>(denial: Denial, make_body: &impl MakeBody<R>) -> Response<R> {
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
