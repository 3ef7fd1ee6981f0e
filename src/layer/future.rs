//! The future of a response.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderValue, Response};
use pin_project_lite::pin_project;

use crate::denial::DPOP_NONCE;

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
        Inner { #[pin] future: F, nonce: Option<HeaderValue> },
        Waiting { future: BoxFuture<Result<Response<R>, E>> },
    }
}

impl<F, R, E> ResponseFuture<F, R, E> {
    pub(super) fn denied(response: Response<R>) -> Self {
        ResponseFuture { state: ResponseState::Denied { response: Some(response) } }
    }

    /// The response of the inner service, with a nonce for the client's next proof.
    pub(super) fn inner(future: F, nonce: Option<HeaderValue>) -> Self {
        ResponseFuture { state: ResponseState::Inner { future, nonce } }
    }

    pub(super) fn waiting(
        future: impl Future<Output = Result<Response<R>, E>> + Send + 'static,
    ) -> Self {
        ResponseFuture { state: ResponseState::Waiting { future: Box::pin(future) } }
    }
}

impl<F, R, E> Future for ResponseFuture<F, R, E>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            // It has been ready before, so nothing more comes.
            ResponseStateProjection::Denied { response } => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
            ResponseStateProjection::Inner { future, nonce } => {
                let mut answer = ready!(future.poll(cx));
                if let (Ok(response), Some(nonce)) = (&mut answer, nonce.take()) {
                    response.headers_mut().insert(DPOP_NONCE, nonce);
                }
                Poll::Ready(answer)
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
