//! Policies: the rule about one request, which may answer "yes, if".
//!
//! A requirement ([`Require`](crate::Require)) is data: it says what every request to an operation needs. The rule about
//! one concrete request is code, or belongs to a policy engine: whose order it is, how much, at what hour. You need this
//! module to set such a rule with [`Guard::policy`](crate::Guard::policy), and to tell it what the handler is about to do
//! ([`Ask`]). A rule of one route needs no policy:
//! [`GuardLayer::rule`](crate::layer::GuardLayer::rule). Rules in an engine of their own are asked over AuthZEN by
//! `AuthZenPolicy` (feature `authzen`).
//!
//! A policy is asked once the requirement is met, and before a token is spent. It can only narrow: what the requirement
//! refuses, it cannot permit. If it does not answer, the request is answered with 503. The guide has a
//! [chapter](crate::guide::ask_a_policy_engine) about it.
//!
//! With the feature `cedar`, `CedarPolicy` decides by [Cedar](https://docs.cedarpolicy.com) policies.
//!
//! ```
//! # #[cfg(feature = "testing")] {
//! use std::time::Duration;
//! use unconfused::policy::{Ask, Attribute, Verdict, policy_fn};
//! use unconfused::{Audience, Guard, Reason, Require, Scope};
//! # use unconfused::testing::TestIssuer;
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//!
//! const ORDERS: Audience = Audience::from_static("https://orders.example");
//! const REFUND: Scope = Scope::from_static("orders:refund");
//! # let login = TestIssuer::new("https://login.example");
//! # let issuer = login.issuer();
//!
//! let guard = Guard::new(ORDERS, issuer).policy(policy_fn(|question| {
//!     match question.operation().attribute("amount").map(Attribute::as_integer) {
//!         None => Verdict::Permit, // the layer, which does not know the amount
//!         Some(Some(..=100)) => Verdict::Permit,
//!         Some(Some(..=5000)) => Verdict::PermitIf(Require::valid_token().max_age(Duration::from_secs(300))),
//!         Some(_) => Verdict::Forbid("more than 5000, or not a number".into()),
//!     }
//! }));
//! let grant = login.token(&ORDERS).scope("orders:refund").granted_by(&guard, REFUND);
//! let refund = |amount: u64| Ask::operation("orders.refund").resource("order", 7).attribute("amount", amount);
//!
//! assert!(guard.narrow(&grant, refund(20)).await.is_ok());
//!
//! let denial = guard.narrow(&grant, refund(1200)).await.unwrap_err();
//! assert_eq!(denial.reason(), Reason::AuthenticationContextMissing);
//! assert_eq!(denial.challenge().unwrap().max_age(), Some(Duration::from_secs(300)));
//!
//! let denial = guard.narrow(&grant, refund(9000)).await.unwrap_err();
//! assert_eq!(denial.reason(), Reason::PolicyDenied);
//! # });
//! # }
//! # Ok::<(), std::io::Error>(())
//! ```

mod answered;
mod ask;
#[cfg(feature = "authzen")]
mod authzen;
#[cfg(feature = "cedar")]
mod cedar;
mod question;
mod seam;
mod verdict;

pub(crate) use answered::{Unanswered, answered};
pub use ask::Ask;
#[cfg(feature = "authzen")]
#[cfg_attr(docsrs, doc(cfg(feature = "authzen")))]
pub use authzen::AuthZenPolicy;
#[cfg(feature = "cedar")]
#[cfg_attr(docsrs, doc(cfg(feature = "cedar")))]
pub use cedar::CedarPolicy;
pub use question::Question;
pub use seam::{Policy, policy_fn};
pub use verdict::{Obligation, ObligationAnswer, PolicyAnswer, Ruling, Verdict};

pub use crate::denial::ApprovalTask;
pub use crate::evidence::Attribute;
