//! Access tokens: parsing, validation, and what a validated token says.
//!
//! Behind a [`Guard`](crate::Guard) you meet only its results: a [`Grant`](crate::Grant) dereferences to an
//! [`AccessToken`]. You need this module
//!
//! - to set [`TokenLimits`] or a [`ScopeHierarchy`] on a guard;
//! - to tell from [`ActorSource`] where an actor was found, or from [`MayAct`] who may become one;
//! - to validate tokens without a guard: [`UnverifiedToken`] parses one, and [`Validation`] says what it must be.
//!   These functions are pure. They do no I/O and read no clock: keys and the time are arguments.
//!
//! ```
//! # #[cfg(feature = "testing")] {
//! use time::UtcDateTime;
//! use unconfused::token::{UnverifiedToken, Validation};
//! use unconfused::{Audience, Party, Require, Scope};
//! # use unconfused::testing::TestIssuer;
//!
//! const ORDERS: Audience = Audience::from_static("https://orders.example");
//! const READ: Scope = Scope::from_static("orders:read");
//! # let login = TestIssuer::new("https://login.example");
//! # let raw = login.token(&ORDERS).subject("alice").actor("agent-7").scope("orders:read").sign();
//! # let keys = login.keys();
//!
//! let validation = Validation::new(ORDERS, "https://login.example");
//! let now = UtcDateTime::now();
//!
//! let token = UnverifiedToken::parse(&raw)?.validate(&validation, &keys, now)?;
//! Require::scope(READ).check(&token, now)?;
//! assert_eq!(token.subject(), Party::new("https://login.example", "alice"));
//! assert_eq!(token.actor().unwrap(), Party::new("https://login.example", "agent-7"));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`AccessToken`]: crate::AccessToken

pub(crate) mod access_token;
pub(crate) mod actor;
mod claims;
mod claims_reader;
pub(crate) mod hierarchy;
pub(crate) mod invalid;
mod limits;
mod terms;
pub(crate) mod typed_claims;
mod unverified;
mod validate;
mod validation;
mod vocabulary;

pub(crate) use access_token::AccessToken;
pub(crate) use actor::{Actor, Party};
pub use actor::{ActorSource, MayAct};
pub(crate) use claims::Claims;
pub use hierarchy::ScopeHierarchy;
pub(crate) use invalid::InvalidToken;
pub use limits::TokenLimits;
pub(crate) use terms::{IssuerTerms, Terms};
pub(crate) use typed_claims::WrongClaimType;
pub use unverified::{KeyHint, UnverifiedToken};
pub(crate) use unverified::{NotVerified, VerifiedToken};
pub(crate) use validate::Presented;
pub use validation::Validation;

pub use crate::credential::Credential;
