//! The future of a response.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{HeaderValue, Response};
use pin_project_lite::pin_project;

use crate::denial::{DPOP_NONCE, MakeText};
use crate::guard::{Grant, Guard, add_missing_body};
use crate::per_thread::PerThread;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pin_project! {
    /// The future of [`GuardService`](crate::layer::GuardService): the denial, or the response of the inner service.
    ///
    /// It allocates only if the guard has to wait for keys or a store.
    #[must_use = "futures do nothing unless they are polled"]
    pub struct ResponseFuture<F, R, E> {
        #[pin]
        state: ResponseState<F, R, E>,
    }
}

pin_project! {
    #[project = ResponseStateProjection]
    enum ResponseState<F, R, E> {
        Denied { response: Option<Response<R>> },
        Inner { #[pin] future: F, changes: ResponseChanges },
        Waiting { future: BoxFuture<Result<Response<R>, E>> },
    }
}

impl<F, R, E> ResponseFuture<F, R, E> {
    pub(super) fn denied(response: Response<R>) -> Self {
        ResponseFuture { state: ResponseState::Denied { response: Some(response) } }
    }

    /// The response of the inner service, with these changes.
    pub(super) fn inner(future: F, changes: ResponseChanges) -> Self {
        ResponseFuture { state: ResponseState::Inner { future, changes } }
    }

    pub(super) fn waiting(
        future: impl Future<Output = Result<Response<R>, E>> + Send + 'static,
    ) -> Self {
        ResponseFuture { state: ResponseState::Waiting { future: Box::pin(future) } }
    }
}

/// What the layer changes in a response of the inner service.
#[derive(Default)]
pub(super) struct ResponseChanges {
    /// For the client's next proof.
    nonce: Option<HeaderValue>,
    /// Makes the body of a response to a denial of the handler's own.
    make_text: Option<Arc<Arc<MakeText>>>,
}

impl ResponseChanges {
    pub(super) fn new(guard: &Guard, grant: Option<&Grant>) -> Self {
        let nonce = grant.and_then(|grant| guard.next_nonce(grant));
        ResponseChanges { nonce, make_text: guard.make_text().map(PerThread::own) }
    }

    pub(super) fn apply<R: 'static>(self, mut response: Response<R>) -> Response<R> {
        if let Some(nonce) = self.nonce {
            response.headers_mut().insert(DPOP_NONCE, nonce);
        }
        if let Some(make_text) = self.make_text {
            add_missing_body(&mut response, &**make_text);
        }
        response
    }
}

impl<F, R, E> Future for ResponseFuture<F, R, E>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: 'static,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            // It has been ready before, so nothing more comes.
            ResponseStateProjection::Denied { response } => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
            ResponseStateProjection::Inner { future, changes } => {
                let response = ready!(future.poll(cx))?;
                Poll::Ready(Ok(mem::take(changes).apply(response)))
            }
            ResponseStateProjection::Waiting { future } => future.as_mut().poll(cx),
        }
    }
}

impl<F, R, E> fmt::Debug for ResponseFuture<F, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture(..)")
    }
}
