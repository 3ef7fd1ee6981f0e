//! A service behind a guard.

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};

use http::header::CONTENT_TYPE;
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::future::{ResponseChanges, ResponseFuture};
use crate::answer::Answer;
use crate::denial::Denial;
use crate::guard::{GuardLayer, MakeBody, NoCredentials, RequestAnswer};

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
    R: 'static,
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
        let guard = match settings.guard(&mut parts) {
            Ok(guard) => guard,
            Err(denial) => {
                reset(&mut self.inner);
                return ResponseFuture::denied(denied_response(denial, &settings.body));
            }
        };
        let rule = settings.rule(&mut parts);
        let answer = match guard.answer_request(&parts, rule) {
            RequestAnswer::Decided(answer) => answer,
            RequestAnswer::NoCredentials => {
                guard.remove_possession_fields(&mut parts);
                parts.extensions.insert(NoCredentials);
                let changes = ResponseChanges::new(guard, None);
                let request = Request::from_parts(parts, body);
                return ResponseFuture::inner(self.inner.call(request), changes);
            }
        };
        match answer {
            Answer::Now(Err(denial)) => {
                reset(&mut self.inner);
                ResponseFuture::denied(denied_response(denial, &settings.body))
            }
            Answer::Now(Ok(grant)) => {
                let changes = ResponseChanges::new(guard, Some(&grant));
                guard.replace_credential_with_grant(&mut parts, &grant);
                ResponseFuture::inner(self.inner.call(Request::from_parts(parts, body)), changes)
            }
            waiting @ Answer::Later(_) => {
                let (guard, settings) = (guard.clone(), settings.clone());
                reset(&mut self.inner);
                let mut inner = self.inner.clone();
                ResponseFuture::waiting(async move {
                    match waiting.await {
                        Err(denial) => Ok(denied_response(denial, &settings.body)),
                        Ok(grant) => {
                            guard.replace_credential_with_grant(&mut parts, &grant);
                            let changes = ResponseChanges::new(&guard, Some(&grant));
                            poll_fn(|cx| inner.poll_ready(cx)).await?;
                            let response = inner.call(Request::from_parts(parts, body)).await?;
                            Ok(changes.apply(response))
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
    let (media_type, body) = make_body.make_body(&denial);
    let mut response = denial.respond(body);
    if let Some(media_type) = media_type {
        response.headers_mut().insert(CONTENT_TYPE, media_type);
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
