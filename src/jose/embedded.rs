//! A JWS that carries its own key (RFC 7515 section 4.1.3). Only a proof of possession may.

use std::sync::Arc;

use super::algorithm::{Algorithm, AlgorithmSet};
use super::backend::Backend;
use super::compact::{Header, Parts, decode, is_type};
use super::jwk::ParsedJwk;
use crate::reason::Reason;

/// A compact JWS with a `jwk` in its header. Nothing in it is verified.
#[derive(Debug)]
pub(crate) struct Embedded<'a> {
    signing_input: &'a str,
    header: Header,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// The key of a header.
#[derive(Debug)]
pub(crate) struct EmbeddedKey {
    /// The JWK as it was sent.
    jwk: Box<str>,
    key: ParsedJwk,
    /// The SHA-256 thumbprint (RFC 7638).
    thumbprint: Arc<str>,
}

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

    /// Returns the key of the header if it is a public key.
    pub(crate) fn key(&self) -> Option<EmbeddedKey> {
        let jwk = self.header.jwk()?;
        let key = ParsedJwk::parse(jwk);
        let thumbprint = key.thumbprint().ok()?.into();
        Some(EmbeddedKey { jwk: jwk.into(), key, thumbprint })
    }

    /// Returns true if the key of the header is this one, written in the same way.
    pub(crate) fn has_key(&self, key: &EmbeddedKey) -> bool {
        self.header.jwk() == Some(&*key.jwk)
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    pub(crate) fn verify(
        &self,
        key: &EmbeddedKey,
        algorithm: Algorithm,
        backend: Backend,
    ) -> Result<(), Reason> {
        key.key.verify(algorithm, self.signing_input.as_bytes(), &self.signature, backend)
    }
}

impl EmbeddedKey {
    /// Returns true if it is a key for this algorithm.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        self.key.fits(algorithm)
    }

    /// Returns the SHA-256 thumbprint (RFC 7638).
    pub(crate) fn thumbprint(&self) -> &Arc<str> {
        &self.thumbprint
    }

    /// The length of the JWK as it was sent, in bytes.
    pub(crate) fn jwk_len(&self) -> usize {
        self.jwk.len()
    }
}
