//! The metadata document of this resource (RFC 9728), which tells clients where to get a token, and the keys of its
//! transaction challenges.

mod challenge_keys;
mod document;
mod service;

pub use challenge_keys::ChallengeKeys;
pub use document::Metadata;
pub use service::DocumentService;
