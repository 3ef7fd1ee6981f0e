//! An answer that may be there at once, or later.

use std::future::{Future, pending};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A boxed future.
type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a seam answers: at once where it can, else a future. `.await` it, or take what is there with
/// [`now`](Self::now).
///
/// With warm keys and memory stores every answer is [`Now`](Self::Now), nothing is boxed, and no executor is
/// needed.
#[expect(clippy::exhaustive_enums, reason = "there is no third way to answer")]
#[must_use]
pub enum Answer<'a, T> {
    /// Here it is.
    Now(T),
    /// It takes waiting.
    Later(Boxed<'a, T>),
}

impl<'a, T> Answer<'a, T> {
    /// An answer that takes waiting.
    pub fn later(future: impl Future<Output = T> + Send + 'a) -> Self {
        Answer::Later(Box::pin(future))
    }

    /// The answer, where it is there. One that takes waiting is dropped.
    pub fn now(self) -> Option<T> {
        match self {
            Answer::Now(answer) => Some(answer),
            Answer::Later(_) => None,
        }
    }
}

impl<'a, T: Unpin + 'a> Future for Answer<'a, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        if let Answer::Later(future) = &mut *self {
            return future.as_mut().poll(cx);
        }
        // A future without a size takes no allocation.
        match mem::replace(&mut *self, Answer::later(pending())) {
            Answer::Now(answer) => Poll::Ready(answer),
            Answer::Later(_) => Poll::Pending,
        }
    }
}

impl<T> std::fmt::Debug for Answer<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Answer::Now(_) => "Now(..)",
            Answer::Later(_) => "Later(..)",
        })
    }
}
