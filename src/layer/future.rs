//! The response of a guarded service.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderValue, Response};
use pin_project_lite::pin_project;

use crate::denial::DPOP_NONCE;

/// A future that does not borrow the service.
pub(super) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pin_project! {
    /// The response: the denial, or the inner service's. Boxed only where the guard has to wait.
    pub struct ResponseFuture<F, R, E> {
        #[pin]
        state: State<F, R, E>,
    }
}

pin_project! {
    #[project = StateProjection]
    pub(super) enum State<F, R, E> {
        Denied { response: Option<Response<R>> },
        Inner { #[pin] future: F, nonce: Option<HeaderValue> },
        Waiting { future: Boxed<Result<Response<R>, E>> },
    }
}

impl<F, R, E> ResponseFuture<F, R, E> {
    pub(super) fn denied(response: Response<R>) -> Self {
        ResponseFuture { state: State::Denied { response: Some(response) } }
    }

    /// The inner service's, with a nonce for the next proof.
    pub(super) fn inner(future: F, nonce: Option<HeaderValue>) -> Self {
        ResponseFuture { state: State::Inner { future, nonce } }
    }

    pub(super) fn waiting(
        future: impl Future<Output = Result<Response<R>, E>> + Send + 'static,
    ) -> Self {
        ResponseFuture { state: State::Waiting { future: Box::pin(future) } }
    }
}

impl<F, R, E> Future for ResponseFuture<F, R, E>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            // Polled again after it was ready: there is nothing more to come.
            StateProjection::Denied { response } => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
            StateProjection::Inner { future, nonce } => {
                let mut answer = ready!(future.poll(cx));
                if let (Ok(response), Some(nonce)) = (&mut answer, nonce.take()) {
                    response.headers_mut().insert(DPOP_NONCE, nonce);
                }
                Poll::Ready(answer)
            }
            StateProjection::Waiting { future } => future.as_mut().poll(cx),
        }
    }
}

impl<F, R, E> fmt::Debug for ResponseFuture<F, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture(..)")
    }
}
