//! An answer that may be there at once, or later.

use std::future::{Future, IntoFuture, Ready, ready};
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

impl<'a, T> IntoFuture for Answer<'a, T> {
    type Output = T;
    type IntoFuture = AnswerFuture<'a, T>;

    fn into_future(self) -> AnswerFuture<'a, T> {
        AnswerFuture(match self {
            Answer::Now(answer) => State::Now(ready(answer)),
            Answer::Later(future) => State::Later(future),
        })
    }
}

/// The future of an [`Answer`].
pub struct AnswerFuture<'a, T>(State<'a, T>);

enum State<'a, T> {
    Now(Ready<T>),
    Later(Boxed<'a, T>),
}

impl<T> Future for AnswerFuture<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match &mut self.0 {
            State::Now(answer) => Pin::new(answer).poll(cx),
            State::Later(future) => future.as_mut().poll(cx),
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

impl<T> std::fmt::Debug for AnswerFuture<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnswerFuture(..)")
    }
}
