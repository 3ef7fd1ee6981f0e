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
mod audit;
#[cfg(feature = "axum")]
mod axum;
mod challenge;
mod credential;
mod denial;
mod evidence;
mod guard;
mod jose;
mod keys;
mod layer;
mod metadata;
mod names;
mod outbound;
mod printable;
mod profile;
mod proof;
mod reason;
mod replay;
mod require;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
mod token;
mod verified;

pub use crate::answer::{Answer, AnswerFuture};
#[cfg(feature = "tracing")]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
pub use crate::audit::TracingAudit;
pub use crate::audit::{Audit, AuditEvent, StepUp};
pub use crate::challenge::{Challenge, MetadataUrl};
pub use crate::credential::Credential;
pub use crate::denial::Denial;
pub use crate::evidence::{DecisionId, Evidence, Grant, Operation};
pub use crate::guard::Guard;
pub use crate::jose::{Algorithm, Backend, KeyProblem, KeySet, KeySetError, KeySetId, SkippedKey};
#[cfg(feature = "remote")]
#[cfg_attr(docsrs, doc(cfg(feature = "remote")))]
pub use crate::keys::RemoteKeys;
pub use crate::keys::{
    Issuer, KeySource, KeyState, KeyStatus, Keys, KeysUnavailable, Readiness, UnfitTemplate,
    UnfitUrl,
};
pub use crate::layer::{
    EmptyBody, GuardLayer, GuardService, MakeBody, ProblemJson, ResponseFuture,
};
pub use crate::metadata::{Metadata, MetadataService, NotAResourceUrl};
pub use crate::names::{Acr, Audience, InvalidName, Scope};
pub use crate::outbound::{HttpAnswer, HttpClient, HttpError, HttpLimits};
pub use crate::printable::Printable;
pub use crate::profile::{ClaimTest, HeaderType, Profile, ScopeShape};
pub use crate::proof::{AcceptedProof, ClientCertificate, Dpop, Nonces, Possession, UnfitBase};
pub use crate::reason::{Reason, Remedy};
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use crate::replay::RedisReplayStore;
pub use crate::replay::{
    MemoryReplayStore, Remembered, ReplayAnswer, ReplayEntry, ReplayStore, StoreUnavailable,
};
pub use crate::require::{Require, Unmet};
pub use crate::token::{
    AccessToken, Actor, ActorSource, InvalidToken, KeyHint, MayAct, Party, ScopeCycle,
    ScopeHierarchy, UnverifiedToken, Validation, WrongClaimType,
};
