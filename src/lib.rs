// In Markdown, the first definition of a link counts. So the links of the README, which lead to files on GitHub, lead
// to the pages of the guide here. A relative path to a picture leads nowhere on docs.rs: its link gets an empty image,
// and the picture itself is embedded below.
//! [protect_a_route]: crate::guide::protect_a_route
//! [step_up]: crate::guide::step_up
//! [approve_one_operation]: crate::guide::approve_one_operation
//! [ask_a_policy_engine]: crate::guide::ask_a_policy_engine
//! [delegation]: crate::guide::delegation
//! [call_the_next_service]: crate::guide::call_the_next_service
//! [issuers_and_tenants]: crate::guide::issuers_and_tenants
//! [vendor_profiles]: crate::guide::vendor_profiles
//! [my_token_is_refused]: crate::guide::my_token_is_refused
//! [proof_of_possession]: crate::guide::proof_of_possession
//! [plain_functions]: crate::guide::plain_functions
//! [other_frameworks]: crate::guide::other_frameworks
//! [jwts_of_your_own]: crate::guide::jwts_of_your_own
//! [behind_a_proxy]: crate::guide::behind_a_proxy
//! [testing_your_service]: crate::guide::testing_your_service
//! [what_is_not_checked]: crate::guide::what_is_not_checked
//! [limits]: crate::guide::limits
//! [kubernetes_and_b2c]: crate::guide::kubernetes_and_b2c
//! [deployment]: crate::guide::deployment
//! [what_is_recorded]: crate::guide::what_is_recorded
//! [watch_it]: crate::guide::watch_it
//! [three_signals]: crate::guide::three_signals
//! [grpc_and_streams]: crate::guide::grpc_and_streams
//! [mcp_servers]: crate::guide::mcp_servers
//! [security]: crate::guide::security
//! [benchmark]: data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7
//!
#![doc = include_str!("../README.md")]
//!
//! <div style="overflow-x: auto">
//!
#![doc = include_str!("../benches/peers.svg")]
//!
//! </div>
//!
//! # Where is what
//!
//! | you want to | use |
//! |---|---|
//! | guard routes | [`Guard`], [`Guard::require`], [`layer`] |
//! | guard several resources, or a credential in another field | [`layer::Guards`], [`Guard::credential_field`] |
//! | guard a gRPC service | [`layer::Rules`], [`Guard::rules`], [`Grant::of`], [the guide](guide::grpc_and_streams) |
//! | guard an MCP server | `mcp::Tools`, `Guard::mcp`, [the guide](guide::mcp_servers) |
//! | end streams with their token | `Grant::until_expiry`, [the guide](guide::grpc_and_streams#streams-end-with-their-token) |
//! | say what an operation asks for | [`Require`], [`Scope`], [`Acr`] |
//! | compare one operation with what was consented to | [`detail`]: [`Detail`](detail::Detail), [`DetailType`](detail::DetailType), [`Require::detail`] |
//! | read who calls, in a handler | [`Grant`], [`AccessToken`], [`Actor`], [`Party`], [`layer::OwnGrant`] |
//! | ask for more, or refuse, in a handler | [`Guard::narrow`], [`Guard::refuse`], [`Guard::refuse_for`] |
//! | decide by a policy about one request | [`policy`]: [`Policy`](policy::Policy), [`Ask`](policy::Ask), [`Guard::policy`] |
//! | say whom you trust | [`Issuer`], [`Guard::trust`], [`Audience`] |
//! | get, hold or renew keys | [`keys`]: [`RemoteKeys`](keys::RemoteKeys), [`KeySet`](keys::KeySet), [`KeySource`](keys::KeySource) |
//! | fetch through another HTTP client | [`client`] |
//! | accept the tokens of a vendor | [`profile`]: [`Profile`](profile::Profile) |
//! | bind tokens to their sender | [`proof`]: [`Dpop`](proof::Dpop), [`ClientCertificate`](proof::ClientCertificate) |
//! | have one operation approved by a human | [`approvals`]: [`Approvals`](approvals::Approvals) |
//! | accept a proof or a token once | [`replay`]: [`MemoryReplayStore`](replay::MemoryReplayStore), [`ReplayStore`](replay::ReplayStore) |
//! | call the next service with a token of its own | `next_hop` (feature `remote`), [the guide](guide::call_the_next_service) |
//! | keep a record | [`Audit`], [`AuditEvent`], [`audit`]: [`JsonLines`](audit::JsonLines), [the guide](guide::what_is_recorded) |
//! | watch the service | `MetricsAudit`, [the guide](guide::watch_it) |
//! | see whether it is at work | [`audit::Signals`], [`Guard::operations`], [the guide](guide::three_signals) |
//! | understand a refusal | [`Reason`], [`Denial::for_operator`], [the guide](guide::my_token_is_refused) |
//! | know what clients are told | [`challenge`]: [`Challenge`](challenge::Challenge), [`Metadata`](challenge::Metadata), [`Remedy`](challenge::Remedy) |
//! | validate a token without a guard | [`token`]: [`UnverifiedToken`](token::UnverifiedToken), [`Validation`](token::Validation) |
//! | handle errors of set-up | [`error`]: [`ConfigError`](error::ConfigError) |
//! | await keys and stores, or not | [`Answer`] |
//! | test your service | [`testing`]: [`TestIssuer`](testing::TestIssuer), [`unguarded`](testing::unguarded) |
#![cfg_attr(docsrs, feature(doc_cfg))]
// Nothing panics on input. Only set-up does, for mistakes that its documentation lists.
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
pub mod approvals;
pub mod audit;
#[cfg(feature = "axum")]
mod axum;
pub mod challenge;
mod config_error;
mod credential;
mod dates;
mod denial;
pub mod detail;
mod evidence;
mod guard;
pub mod guide;
mod jose;
mod json;
pub mod keys;
pub mod layer;
#[cfg(feature = "mcp")]
#[cfg_attr(docsrs, doc(cfg(feature = "mcp")))]
pub mod mcp;
mod metadata;
mod names;
#[cfg(feature = "remote")]
#[cfg_attr(docsrs, doc(cfg(feature = "remote")))]
pub mod next_hop;
mod outbound;
mod path;
mod per_thread;
pub mod policy;
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
#[cfg(feature = "tonic")]
mod tonic;

pub use crate::answer::Answer;
pub use crate::audit::event::AuditEvent;
pub use crate::audit::sink::Audit;
pub use crate::denial::Denial;
pub use crate::guard::Guard;
pub use crate::guard::grant::Grant;
pub use crate::keys::issuer::Issuer;
pub use crate::names::{Acr, Audience, Scope};
pub use crate::reason::Reason;
pub use crate::require::Require;
pub use crate::token::access_token::AccessToken;
pub use crate::token::actor::{Actor, Party};

pub mod client {
    //! How the crate sends HTTP requests: to fetch the keys of an issuer, and to get tokens for the next hop.
    //!
    //! You need this module if you send them through something other than `reqwest`. With the feature `reqwest`, a
    //! `reqwest::Client` is an [`HttpClient`]: build it without redirects, and choose its TLS. In tests, use a
    //! `testing::ScriptedClient`, or a closure.
    //!
    //! An implementation keeps three rules, which the page of [`HttpClient`] explains: it follows no redirects, it reads
    //! at most [`max_bytes`](HttpLimits::max_bytes), and it is done within [`timeout`](HttpLimits::timeout).
    //!
    //! ```
    //! # #[cfg(feature = "remote")] {
    //! use http::Request;
    //! use unconfused::client::{HttpAnswer, HttpError, HttpLimits};
    //! use unconfused::{Answer, Issuer};
    //!
    //! // For a test: nothing can be reached, so tokens of this issuer are answered with 503.
    //! let offline = |_: Request<Vec<u8>>, _: HttpLimits| -> HttpAnswer {
    //!     Answer::Now(Err(HttpError::Failed("offline".into())))
    //! };
    //! let issuer = Issuer::discover("https://login.example", offline)?;
    //! # }
    //! # Ok::<(), unconfused::error::ConfigError>(())
    //! ```

    pub use crate::outbound::{HttpAnswer, HttpClient, HttpError, HttpLimits, http_client_fn};
}

pub mod error {
    //! The errors of set-up, of names and of the plain functions.
    //!
    //! A guard returns none of them: it refuses a request with a [`Denial`](crate::Denial), whose
    //! [`Reason`](crate::Reason) says why. You meet them if you
    //!
    //! - set up a guard from a configuration file: [`ConfigError`], [`InvalidName`], [`ScopeCycle`];
    //! - call the plain functions: [`InvalidToken`] and [`Unmet`], which become a `Denial` with `from`;
    //! - read claims of your own: [`WrongClaimType`], which becomes a `Denial` too.
    //!
    //! Errors that belong to one module are there: [`KeySetError`](crate::keys::KeySetError),
    //! [`HttpError`](crate::client::HttpError), [`DetailProblem`](crate::detail::DetailProblem), [`StoreUnavailable`](crate::replay::StoreUnavailable).
    //!
    //! ```
    //! use unconfused::token::UnverifiedToken;
    //! use unconfused::{Denial, Reason, Scope};
    //!
    //! assert!(Scope::new("orders:read").is_ok());
    //! assert!(Scope::new("orders read").is_err()); // a space would make it two scopes
    //!
    //! let invalid = UnverifiedToken::parse("not a token").unwrap_err();
    //! assert_eq!(invalid.reason(), Reason::TokenFormatNotAccepted);
    //! assert_eq!(Denial::from(invalid).status(), 401);
    //! ```

    pub use crate::config_error::ConfigError;
    pub use crate::names::InvalidName;
    pub use crate::require::Unmet;
    pub use crate::token::hierarchy::ScopeCycle;
    pub use crate::token::invalid::InvalidToken;
    pub use crate::token::typed_claims::WrongClaimType;
}
