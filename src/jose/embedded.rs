//! A JWS that carries its own key (RFC 7515 section 4.1.3). Only a proof of possession may.

use super::algorithm::{Algorithm, AlgorithmSet};
use super::backend::Backend;
use super::compact::{Header, Parts, decode, is_type};
use super::jwk::ParsedJwk;
use super::key_problem::KeyProblem;
use crate::reason::Reason;

/// A compact JWS with a `jwk` in its header. Nothing in it is verified.
#[derive(Debug)]
pub(crate) struct Embedded<'a> {
    signing_input: &'a str,
    header: Header,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// The key of a header, known to fit the algorithm.
#[derive(Debug)]
pub(crate) struct EmbeddedKey(ParsedJwk);

impl<'a> Embedded<'a> {
    /// Parses `jws`. Returns `None` if it is not such a JWS.
    pub(crate) fn parse(jws: &'a str) -> Option<Self> {
        let parts = Parts::split(jws).ok().filter(|parts| !parts.payload.is_empty())?;
        let Parts { signing_input, header, payload, signature } = parts;
        let header = Header::parse_with_key(decode(header)?).ok()?;
        let (payload, signature) = (decode(payload)?, decode(signature)?);
        Some(Embedded { signing_input, header, payload, signature })
    }

    /// Returns true if the header's `typ` is this media type.
    pub(crate) fn is_type(&self, name: &str) -> bool {
        self.header.typ().is_some_and(|typ| is_type(typ, name))
    }

    /// Returns the algorithm if it is one of `allowed`.
    pub(crate) fn algorithm(&self, allowed: AlgorithmSet) -> Option<Algorithm> {
        self.header.algorithm(allowed).ok()
    }

    /// Returns the key of the header if it is a public key for this algorithm.
    pub(crate) fn key(&self, algorithm: Algorithm) -> Option<EmbeddedKey> {
        let key = ParsedJwk::parse(self.header.jwk()?);
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
    /// Returns the SHA-256 thumbprint (RFC 7638).
    pub(crate) fn thumbprint(&self) -> Result<String, KeyProblem> {
        self.0.thumbprint()
    }
}
