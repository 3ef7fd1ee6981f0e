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
pub mod error {
    pub use crate::config_error::ConfigError;
    pub use crate::names::InvalidName;
    pub use crate::require::Unmet;
    pub use crate::token::access_token::WrongClaimType;
    pub use crate::token::hierarchy::ScopeCycle;
    pub use crate::token::invalid::InvalidToken;
}
