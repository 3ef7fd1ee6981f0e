//! The seam: what a policy implements.

use std::sync::Arc;

use super::question::Question;
use super::verdict::PolicyAnswer;

/// Decides about one request whose token meets the requirement.
///
/// Closures ([`policy_fn`]) and `Arc`s of policies implement it. [`Guard::policy`](crate::Guard::policy) adds a policy
/// to a guard.
///
/// It is asked while the request waits. An answer that takes I/O is an [`Answer::Later`](crate::Answer::Later), and what
/// that needs of the question it copies: [`Question::evidence`] is cheap to clone. One that blocks the thread blocks the
/// runtime too.
///
/// ```
/// use unconfused::Answer;
/// use unconfused::policy::{Policy, PolicyAnswer, Question, Verdict};
///
/// /// Asks a service whether the subject's account is in order.
/// struct Accounts;
///
/// impl Policy for Accounts {
///     fn decide(&self, question: &Question<'_>) -> PolicyAnswer {
///         let evidence = question.evidence().clone();
///         Answer::later(async move {
///             match is_in_order(evidence.subject().name()).await {
///                 Ok(true) => Verdict::Permit.into(),
///                 Ok(false) => Verdict::Forbid("account not in order".into()).into(),
///                 Err(error) => Verdict::Unavailable(error.to_string().into()).into(),
///             }
///         })
///     }
/// }
/// # async fn is_in_order(_: &str) -> Result<bool, std::io::Error> { Ok(true) }
/// # fn is_policy(_: impl Policy) {}
/// # is_policy(Accounts);
/// ```
pub trait Policy: Send + Sync + 'static {
    /// Answers the question.
    fn decide(&self, question: &Question<'_>) -> PolicyAnswer;
}

impl<F, A> Policy for F
where
    F: Fn(&Question<'_>) -> A + Send + Sync + 'static,
    A: Into<PolicyAnswer>,
{
    fn decide(&self, question: &Question<'_>) -> PolicyAnswer {
        self(question).into()
    }
}

impl<P: Policy + ?Sized> Policy for Arc<P> {
    fn decide(&self, question: &Question<'_>) -> PolicyAnswer {
        (**self).decide(question)
    }
}

/// Returns the closure as it is, and gives it the signature that makes it a [`Policy`].
///
/// So its argument needs no type. It returns a [`Verdict`](crate::policy::Verdict), a
/// [`Ruling`](crate::policy::Ruling), or an [`Answer`](crate::Answer) with either:
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use unconfused::policy::{Verdict, policy_fn};
/// use unconfused::{Audience, Guard};
/// # use unconfused::testing::TestIssuer;
/// # let issuer = TestIssuer::new("https://login.example").issuer();
///
/// let guard = Guard::new(Audience::from_static("https://orders.example"), issuer).policy(policy_fn(|question| {
///     match question.operation().attribute("amount").map(|amount| amount.as_integer()) {
///         None | Some(Some(..=1000)) => Verdict::Permit,
///         Some(_) => Verdict::Forbid("amount".into()),
///     }
/// }));
/// # drop(guard);
/// # }
/// ```
pub fn policy_fn<F, A>(decide: F) -> F
where
    F: Fn(&Question<'_>) -> A + Send + Sync + 'static,
    A: Into<PolicyAnswer>,
{
    decide
}
