//! The answer to a request that went through the layer, or was refused by it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::outbound_token::AttachError;

/// The error of [`NextHopService`](super::NextHopService).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HopServiceError<E> {
    /// The request was not sent.
    #[error(transparent)]
    Refused(AttachError),
    /// The error of the client inside.
    #[error("the request failed")]
    Client(#[source] E),
}

pin_project! {
    /// The future of [`NextHopService`](super::NextHopService).
    pub struct HopFuture<F> {
        #[pin]
        sent: Option<F>,
        refused: Option<AttachError>,
    }
}

impl<F> HopFuture<F> {
    pub(super) fn sent(future: F) -> Self {
        HopFuture { sent: Some(future), refused: None }
    }

    pub(super) fn refused(refused: AttachError) -> Self {
        HopFuture { sent: None, refused: Some(refused) }
    }
}

impl<F, T, E> Future for HopFuture<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, HopServiceError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(sent) = this.sent.as_pin_mut() {
            return sent.poll(cx).map_err(HopServiceError::Client);
        }
        match this.refused.take() {
            Some(refused) => Poll::Ready(Err(HopServiceError::Refused(refused))),
            // It was polled after it had completed.
            None => Poll::Pending,
        }
    }
}

impl<F> fmt::Debug for HopFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HopFuture(..)")
    }
}
