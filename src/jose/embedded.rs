//! A JWS that brings its own key: a proof of possession, and nothing else may
//! (RFC 7515 section 4.1.3).

use super::algorithm::{Algorithm, AlgorithmSet};
use super::backend::Backend;
use super::compact::{Compact, Header, decode};
use super::jwk::Key;
use super::key_problem::KeyProblem;
use crate::reason::Reason;

/// A compact JWS with a `jwk` in its header, taken apart; nothing in it is verified.
#[derive(Debug)]
pub(crate) struct Embedded<'a> {
    signing_input: &'a str,
    header: Header,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// A key out of a header that may be used.
#[derive(Debug)]
pub(crate) struct EmbeddedKey(Key);

impl<'a> Embedded<'a> {
    /// `None` where it is no such JWS.
    pub(crate) fn parse(jws: &'a str) -> Option<Self> {
        let (signing_input, header, payload, signature) = Compact::split(jws).ok()?;
        let header = Header::parse_with_key(decode(header)?).ok()?;
        let (payload, signature) = (decode(payload)?, decode(signature)?);
        Some(Embedded { signing_input, header, payload, signature })
    }

    /// The header's `typ` is this media type.
    pub(crate) fn is_type(&self, name: &str) -> bool {
        self.header.typ().is_some_and(|typ| super::is_type(typ, name))
    }

    /// The algorithm, where it is one of `allowed`.
    pub(crate) fn algorithm(&self, allowed: AlgorithmSet) -> Option<Algorithm> {
        self.header.algorithm(allowed).ok()
    }

    /// The key of the header, where it is a public key for this algorithm.
    pub(crate) fn key(&self, algorithm: Algorithm) -> Option<EmbeddedKey> {
        let key = Key::parse(self.header.jwk()?);
        key.fits(algorithm).then_some(EmbeddedKey(key))
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    pub(crate) fn verify(&self, key: &EmbeddedKey, algorithm: Algorithm) -> Result<(), Reason> {
        let signed = self.signing_input.as_bytes();
        key.0.verify(algorithm, signed, &self.signature, Backend::default())
    }
}

impl EmbeddedKey {
    /// RFC 7638.
    pub(crate) fn thumbprint(&self) -> Result<String, KeyProblem> {
        self.0.thumbprint()
    }
}
