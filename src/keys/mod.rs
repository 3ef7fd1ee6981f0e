//! The keys that an issuer's tokens are verified with.
//!
//! You need this module when [`Issuer::discover`](crate::Issuer::discover) is not enough: to hold the keys yourself
//! ([`KeySet`], from a JWK Set, a JWK or PEM; [`KeySource`]), to fetch them from a `jwks_uri` or change how long they outlast a failing issuer
//! ([`RemoteKeys`]), to choose algorithms or the verification backend ([`Algorithm`], [`Backend`]), or to answer a
//! readiness probe ([`Readiness`]).
//!
//! Keys never leave their issuer: a token is verified with the keys of the issuer that its `iss` names, and with no
//! others. [`RemoteKeys`] fetches and renews them in a task of its own:
//!
//! | while | a token whose key is known | a token with another key id |
//! |---|---|---|
//! | all is well | passes without waiting | waits for one fetch, at most 2 seconds; then 401 |
//! | 2 fetches began within 30 seconds | passes | 401 if one of them looked for the key, otherwise 503 |
//! | the issuer is down | passes for one hour after the last successful fetch, then 503 | 503 |
//! | keys were never fetched | - | waits for a fetch in flight, at most 2 seconds and along with at most 255 others; otherwise 503 |
//! | the last set had no key that can be used | 503 | waits for one fetch, at most 2 seconds; then 503 |
//!
//! A token without a key id is tried with up to 3 keys for its algorithm. If none verifies it, it is treated like one
//! with another key id. The hour is [`RemoteKeys::stale_for`]. A withdrawn key is refused as soon as a fetch has brought
//! a set without it. Until an issuer's first keys are there, it is asked every 15 seconds, and at the start more often,
//! so a service has keys within 15 seconds after its issuer is back. The keys of a tenant are renewed only while its
//! tokens are verified.
//!
//! An issuer that is down is no reason not to start a service: [`Guard::ready`](crate::Guard::ready) fetches what is
//! missing and waits for it, and [`Guard::readiness`](crate::Guard::readiness) is a snapshot for a probe.
//!
//! ```
//! # #[cfg(all(feature = "remote", feature = "testing"))]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use unconfused::keys::{KeySet, RemoteKeys};
//! use unconfused::{Audience, Guard, Issuer};
//! # use unconfused::testing::TestIssuer;
//!
//! const ORDERS: Audience = Audience::from_static("https://orders.example");
//! # let client = TestIssuer::new("https://login.example").client();
//!
//! // fetched and renewed, and used for 10 minutes while the issuer is down
//! let keys = RemoteKeys::discover("https://login.example", client)?.stale_for(Duration::from_secs(600));
//! let guard = Guard::new(ORDERS, Issuer::new("https://login.example", keys));
//! assert!(guard.ready().await.is_ready());
//!
//! // passed in, and without a key so far: every token of this issuer is refused with 401
//! let guard = guard.trust(Issuer::new("https://partner.example", KeySet::default()));
//! assert!(!guard.readiness().is_ready());
//! # Ok(())
//! # }
//! # #[cfg(not(all(feature = "remote", feature = "testing")))]
//! # fn main() {}
//! ```
#![cfg_attr(
    not(feature = "remote"),
    allow(rustdoc::broken_intra_doc_links, reason = "some lead to items of the feature")
)]

#[cfg(feature = "remote")]
mod cache;
#[cfg(feature = "remote")]
mod discovery;
#[cfg(feature = "remote")]
mod fetch;
pub(crate) mod issuer;
#[cfg(feature = "remote")]
mod remote;
#[cfg(feature = "remote")]
mod renewal;
#[cfg(feature = "remote")]
mod runtime;
mod source;
mod status;
mod template;
mod tenants;
mod url;

#[cfg(feature = "remote")]
pub(crate) use discovery::{endpoint, metadata_urls};
pub(crate) use issuer::Issuer;
#[cfg(feature = "remote")]
#[cfg_attr(docsrs, doc(cfg(feature = "remote")))]
pub use remote::RemoteKeys;
pub use source::{KeySource, Keys, KeysUnavailable, key_source_fn};
pub use status::{KeyState, KeyStatus, Readiness};
#[cfg(feature = "remote")]
pub(crate) use url::AllowedScheme;

pub use crate::jose::{Algorithm, Backend, KeyProblem, KeySet, KeySetError, KeySetId, SkippedKey};
