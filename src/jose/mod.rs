//! Signatures: algorithms, key sets, and one compact JWS.
//!
//! No file outside this folder names josekit, openssl or aws-lc-rs, and none of their types leaves it. Of josekit are
//! used: `Jwk`, a verifier made from a JWK, `JwsVerifier::verify`, and in `signing` the readers of private keys and
//! `JwsSigner::sign`. openssl verifies ECDSA without josekit. `jwk` and `public_key` check what josekit leaves unchecked in a key, before josekit or AWS-LC sees
//! it.

mod algorithm;
#[cfg(feature = "aws-lc")]
mod aws_lc;
mod backend;
mod certificate;
mod compact;
mod digest;
mod embedded;
mod hash;
mod jwk;
mod key_problem;
mod key_set;
mod pem;
mod public_key;
mod signing;

pub use algorithm::Algorithm;
pub(crate) use algorithm::AlgorithmSet;
pub use backend::Backend;
pub(crate) use compact::{Compact, Header, Unreadable, decode, encode, is_type, without_prefix};
pub(crate) use digest::{Digest, DigestKey, constant_time_eq, hmac_sha256, random_bytes, sha256};
pub(crate) use embedded::{Embedded, EmbeddedKey};
pub(crate) use jwk::Signer;
pub use key_problem::{KeyProblem, SkippedKey};
pub(crate) use key_set::Signed;
pub use key_set::{KeySet, KeySetError, KeySetId};
pub(crate) use pem::certificate_in_pem;
pub(crate) use signing::PublishedKey;
pub use signing::SigningKey;
