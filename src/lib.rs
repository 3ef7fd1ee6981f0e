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

/// The HTTP client that the crate sends requests with, to fetch the keys of an issuer.
///
/// You need this module to give [`Issuer::discover`](crate::Issuer::discover) or
/// [`RemoteKeys`](crate::keys::RemoteKeys) a client other than `reqwest::Client`, which implements
/// [`HttpClient`](client::HttpClient) with the feature `reqwest`. The crate opens no HTTP connection itself and chooses
/// no TLS library. Keys that you pass in need no client.
///
/// The trait has one method. Implement it for a type of yours, or pass a closure. A client must not follow redirects,
/// and must keep to the [`HttpLimits`](client::HttpLimits). In tests, use
/// [`ScriptedClient`](crate::testing::ScriptedClient), which also counts requests and can be down.
///
/// ```
/// # #[cfg(feature = "remote")] {
/// use http::{Request, Response};
/// use unconfused::client::{HttpAnswer, HttpError, HttpLimits};
/// use unconfused::{Answer, Issuer};
///
/// # async fn download(url: &str, limits: HttpLimits) -> std::io::Result<Vec<u8>> { Ok(url.into()) }
/// // `download` is yours: it keeps to the limits, and follows no redirects
/// let client = |request: Request<Vec<u8>>, limits: HttpLimits| -> HttpAnswer {
///     Answer::later(async move {
///         match download(&request.uri().to_string(), limits).await {
///             Ok(body) => Ok(Response::new(body)),
///             Err(error) => Err(HttpError::Failed(error.into())),
///         }
///     })
/// };
/// let issuer = Issuer::discover("https://login.example", client)?;
/// # }
/// # Ok::<(), unconfused::error::ConfigError>(())
/// ```
#[cfg_attr(
    not(all(feature = "remote", feature = "testing")),
    allow(rustdoc::broken_intra_doc_links, reason = "some lead to items of these features")
)]
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
