//! An answer that is available at once or later.

use std::future::{Future, pending};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An answer that is either available now or takes waiting.
///
/// In async code, `.await` it like any other future. Without an executor, call [`now`](Self::now), or match on the two
/// variants.
///
/// It is not a plain future because most answers need no waiting. A guard asks for keys, for replay entries and for its
/// own decision on every request. While keys are cached and stores are in memory, each of these answers is
/// [`Now`](Self::Now): nothing is boxed, nothing is allocated, and no executor is needed. A trait method that returns
/// `Answer` also stays usable as a trait object, and a closure can implement it.
///
/// ```
/// use unconfused::Answer;
///
/// fn lookup(cached: Option<u32>) -> Answer<'static, u32> {
///     match cached {
///         Some(value) => Answer::Now(value),
///         None => Answer::later(async { 7 }), // fetched from somewhere
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// assert_eq!(lookup(None).await, 7);
/// # });
///
/// // Without an executor, there is only what is available now.
/// assert_eq!(lookup(Some(3)).now(), Some(3));
/// assert_eq!(lookup(None).now(), None);
///
/// match lookup(None) {
///     Answer::Now(value) => println!("{value}"),
///     Answer::Later(future) => drop(future), // or hand it to an executor
/// }
/// ```
#[expect(clippy::exhaustive_enums, reason = "an answer is there or not")]
#[must_use = "an answer says nothing until it is awaited, or looked at with `now`"]
pub enum Answer<'a, T> {
    /// The answer.
    Now(T),
    /// A future that resolves to the answer.
    Later(BoxFuture<'a, T>),
}

impl<'a, T> Answer<'a, T> {
    /// Boxes a future that resolves to the answer.
    pub fn later(future: impl Future<Output = T> + Send + 'a) -> Self {
        Answer::Later(Box::pin(future))
    }

    /// Returns the answer if it is available without waiting.
    ///
    /// `None` is not a yes. It means that there is no answer yet, so a caller that does not wait must refuse. The
    /// pending answer is dropped; whatever it was doing may or may not have happened. `Some` is not a yes either: it
    /// holds the answer, which may be a denial.
    #[must_use = "`None` is not a yes, and `Some` may hold a denial"]
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
        // `Pending` has no size, so boxing it allocates nothing.
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
