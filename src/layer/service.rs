//! A service behind a guard.

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::future::{ResponseChanges, ResponseFuture};
use crate::answer::Answer;
use crate::denial::Denial;
use crate::guard::{
    AccessRule, Guard, GuardLayer, MakeBody, NoCredentials, RequestAnswer, RouteSettings,
};
use crate::per_thread::ServiceSettings;

impl<S, B> Layer<S> for GuardLayer<B> {
    type Service = GuardService<S, B>;

    fn layer(&self, inner: S) -> Self::Service {
        GuardService { inner, settings: ServiceSettings::Original(self.settings.clone()) }
    }
}

/// A service behind a guard, made by a [`GuardLayer`].
///
/// It is ready when the inner service is. If that reserves something for the next request, such as a permit of a
/// `ConcurrencyLimit`, a request that is denied gives it back at once. So does a request that has to wait for keys or
/// a store. If it is granted, it then waits until the inner service is ready again.
pub struct GuardService<S, B> {
    inner: S,
    settings: ServiceSettings<RouteSettings<B>>,
}

impl<S: Clone, B> Clone for GuardService<S, B> {
    fn clone(&self) -> Self {
        GuardService { inner: self.inner.clone(), settings: self.settings.clone() }
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
        let settings = &self.settings;
        let guard = match settings.guard(&mut parts) {
            Ok(guard) => guard,
            Err(denial) => return refuse(&mut self.inner, settings, denial),
        };
        let rule = settings.rule(&mut parts);
        judge(&mut self.inner, guard, rule, settings, parts, body)
    }
}

/// How a layer answers what it refuses.
pub(super) trait Respond<R>: Clone + Send + 'static {
    fn respond(&self, denial: Denial) -> Response<R>;
}

/// In HTTP, with the body of the layer.
impl<R, B> Respond<R> for ServiceSettings<RouteSettings<B>>
where
    B: MakeBody<R> + Send + Sync + 'static,
{
    fn respond(&self, denial: Denial) -> Response<R> {
        let (media_type, body) = self.body.make_body(&denial);
        let mut response = denial.respond(body);
        if let Some(media_type) = media_type {
            response.headers_mut().insert(CONTENT_TYPE, media_type);
        }
        response
    }
}

/// Lets the guard decide about a request, and calls the service if it passes.
pub(super) fn judge<S, Q, R>(
    service: &mut S,
    guard: &Guard,
    rule: AccessRule<'_>,
    answers: &impl Respond<R>,
    mut parts: Parts,
    body: Q,
) -> ResponseFuture<S::Future, R, S::Error>
where
    S: Service<Request<Q>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    Q: Send + 'static,
    R: 'static,
{
    let answer = match guard.answer_request(&parts, rule) {
        RequestAnswer::Decided(answer) => answer,
        RequestAnswer::NoCredentials => {
            guard.remove_possession_fields(&mut parts);
            return pass(service, ResponseChanges::new(guard, None), parts, body);
        }
    };
    match answer {
        Answer::Now(Err(denial)) => refuse(service, answers, denial),
        Answer::Now(Ok(grant)) => {
            let changes = ResponseChanges::new(guard, Some(&grant));
            guard.replace_credential_with_grant(&mut parts, grant);
            ResponseFuture::inner(service.call(Request::from_parts(parts, body)), changes)
        }
        waiting @ Answer::Later(_) => {
            let (guard, answers) = (guard.clone(), answers.clone());
            reset(service);
            let mut service = service.clone();
            ResponseFuture::waiting(async move {
                match waiting.await {
                    Err(denial) => Ok(answers.respond(denial)),
                    Ok(grant) => {
                        let changes = ResponseChanges::new(&guard, Some(&grant));
                        guard.replace_credential_with_grant(&mut parts, grant);
                        poll_fn(|cx| service.poll_ready(cx)).await?;
                        let response = service.call(Request::from_parts(parts, body)).await?;
                        Ok(changes.apply(response))
                    }
                }
            })
        }
    }
}

/// Calls the service without a grant.
pub(super) fn pass<S, Q, R>(
    service: &mut S,
    changes: ResponseChanges,
    mut parts: Parts,
    body: Q,
) -> ResponseFuture<S::Future, R, S::Error>
where
    S: Service<Request<Q>, Response = Response<R>>,
{
    parts.extensions.insert(NoCredentials);
    ResponseFuture::inner(service.call(Request::from_parts(parts, body)), changes)
}

/// Answers a request that is refused at once.
pub(super) fn refuse<S, Q, R>(
    service: &mut S,
    answers: &impl Respond<R>,
    denial: Denial,
) -> ResponseFuture<S::Future, R, S::Error>
where
    S: Service<Request<Q>, Response = Response<R>> + Clone,
{
    reset(service);
    ResponseFuture::denied(answers.respond(denial))
}

/// Drops a service, and with it what it reserved when it became ready. Its clone has reserved nothing.
fn reset<S: Clone>(service: &mut S) {
    *service = service.clone();
}

impl<S: fmt::Debug, B> fmt::Debug for GuardService<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardService")
            .field("inner", &self.inner)
            .field("layer", &fmt::from_fn(|f| self.settings.debug("GuardLayer", f)))
            .finish()
    }
}
