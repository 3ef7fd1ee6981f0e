//! An answer of code that may panic, or never come.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::answer::Answer;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unanswered {
    Panicked,
    /// It did not come within this time.
    #[cfg(feature = "remote")]
    TooLate(Duration),
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unanswered::Panicked => f.write_str("it panicked"),
            #[cfg(feature = "remote")]
            Unanswered::TooLate(limit) => write!(f, "it did not answer within {limit:?}"),
        }
    }
}

/// Asks for an answer, and survives a panic.
///
/// An answer that comes later must come within `limit`, as far as that can be measured: with the feature `remote`, in a
/// Tokio runtime that has a timer.
pub(crate) fn answered<T: Send + 'static>(
    ask: impl FnOnce() -> Answer<'static, T>,
    limit: Duration,
) -> Answer<'static, Result<T, Unanswered>> {
    match caught(ask) {
        Ok(Answer::Now(answer)) => Answer::Now(Ok(answer)),
        Ok(Answer::Later(answer)) => Answer::later(in_time(answer, limit)),
        Err(panicked) => Answer::Now(Err(panicked)),
    }
}

/// Nothing that a panic may leave half done is used afterwards: the request is refused.
fn caught<T>(call: impl FnOnce() -> T) -> Result<T, Unanswered> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| Unanswered::Panicked)
}

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

fn poll_caught<T>(answer: &mut Later<T>, cx: &mut Context<'_>) -> Poll<Result<T, Unanswered>> {
    match caught(|| answer.as_mut().poll(cx)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(answer)) => Poll::Ready(Ok(answer)),
        Err(panicked) => Poll::Ready(Err(panicked)),
    }
}

#[cfg(not(feature = "remote"))]
async fn in_time<T>(mut answer: Later<T>, _: Duration) -> Result<T, Unanswered> {
    poll_fn(|cx| poll_caught(&mut answer, cx)).await
}

#[cfg(feature = "remote")]
async fn in_time<T>(mut answer: Later<T>, limit: Duration) -> Result<T, Unanswered> {
    let mut timer = timer(limit);
    poll_fn(|cx| match (poll_caught(&mut answer, cx), &mut timer) {
        (Poll::Pending, Some(timer)) => {
            timer.as_mut().poll(cx).map(|()| Err(Unanswered::TooLate(limit)))
        }
        (answer, _) => answer,
    })
    .await
}

/// A timer, or `None` outside of a Tokio runtime that has one.
#[cfg(feature = "remote")]
fn timer(limit: Duration) -> Option<Pin<Box<tokio::time::Sleep>>> {
    tokio::runtime::Handle::try_current().ok()?;
    // Tokio says with a panic alone that the runtime has no timer.
    caught(|| Box::pin(tokio::time::sleep(limit))).ok()
}
