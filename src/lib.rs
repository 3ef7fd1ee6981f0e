#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
// No panic on input: what could panic is a mistake, except where a set-up fails loudly.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable,
    clippy::unwrap_used
)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::string_slice,
        clippy::unreachable,
        clippy::unwrap_used,
        reason = "a test may panic"
    )
)]

mod answer;
pub mod audit;
#[cfg(feature = "axum")]
mod axum;
pub mod challenge;
mod config_error;
mod credential;
mod dates;
mod denial;
mod evidence;
mod guard;
mod jose;
mod json;
pub mod keys;
pub mod layer;
mod metadata;
mod names;
mod outbound;
mod printable;
pub mod profile;
pub mod proof;
mod reason;
pub mod replay;
mod require;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
pub mod token;
mod token_cache;

pub use crate::answer::Answer;
pub use crate::audit::event::AuditEvent;
pub use crate::audit::sink::Audit;
pub use crate::denial::Denial;
pub use crate::evidence::Grant;
pub use crate::guard::Guard;
pub use crate::keys::issuer::Issuer;
pub use crate::names::{Acr, Audience, Scope};
pub use crate::reason::Reason;
pub use crate::require::Require;
pub use crate::token::access_token::AccessToken;
pub use crate::token::actor::{Actor, Party};

/// The way out: how the crate sends HTTP requests, to fetch the keys of an issuer.
pub mod client {
    pub use crate::outbound::{HttpAnswer, HttpClient, HttpError, HttpLimits};
}

/// The errors of set-up, of names and of the plain functions.
///
/// A guard answers a denied request with a [`Denial`]. You need this module only to name an error in a
/// signature or to handle it:
///
/// - [`ConfigError`](error::ConfigError): a URL or another text of the set-up cannot be used. Its page says when set-up
///   returns it and when it panics.
/// - [`InvalidName`](error::InvalidName): a name has a forbidden character.
/// - [`ScopeCycle`](error::ScopeCycle): a hierarchy of scopes has a cycle.
/// - [`InvalidToken`](error::InvalidToken) and [`Unmet`](error::Unmet): a token is not valid, or does not meet a
///   requirement. Both convert into a [`Denial`].
/// - [`WrongClaimType`](error::WrongClaimType): a claim cannot be read as the type that was asked for.
///
/// ```
/// use unconfused::error::{ConfigError, InvalidName};
/// use unconfused::proof::Dpop;
/// use unconfused::Scope;
///
/// fn from_config(base: &str) -> Result<Dpop, ConfigError> {
///     Dpop::for_base_url(base)
/// }
///
/// assert!(from_config("https://orders.example").is_ok());
/// assert_eq!(from_config("orders.example").unwrap_err().value(), "orders.example");
///
/// let invalid: Result<Scope, InvalidName> = "orders read".parse();
/// assert!(invalid.is_err());
/// ```
pub mod error {
    pub use crate::config_error::ConfigError;
    pub use crate::names::InvalidName;
    pub use crate::require::Unmet;
    pub use crate::token::access_token::WrongClaimType;
    pub use crate::token::hierarchy::ScopeCycle;
    pub use crate::token::invalid::InvalidToken;
}
