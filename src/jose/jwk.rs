//! One JWK: read, checked, and compared with what it may be used for
//! (RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2).

use super::algorithm::Algorithm;
use super::backend::Backend;
use super::certificate::CertificateDigests;
use super::compact::decode;
use super::key_problem::{KeyProblem, SkippedKey};
use super::public_key::PublicKey;
use crate::json::{Object, string, strings};
use crate::reason::Reason;

/// The issuer that must own the key of a signature.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signer<'a> {
    pub(crate) issuer: &'a str,
    /// Only a key with a member `issuer` that names this issuer is accepted.
    pub(crate) must_be_named: bool,
}

/// A JWK, usable or not. An unusable one keeps its id, so that a token that names it is refused for another reason than
/// a token that names no key of the set.
#[derive(Debug)]
pub(super) struct ParsedJwk {
    kid: Option<String>,
    /// The member `alg`. `EdDSA` of an Ed25519 key is read as `Ed25519`.
    alg: Option<Algorithm>,
    /// The member `issuer`, for a set that serves several issuers.
    issuer: Option<String>,
    /// The members `x5t#S256` and `x5t`, or the digests of the certificate that the key was read from.
    certificate: CertificateDigests,
    public_key: Result<PublicKey, KeyProblem>,
}

impl ParsedJwk {
    pub(super) fn parse(json: &str) -> Self {
        let unusable = |kid, problem| {
            let certificate = CertificateDigests::default();
            ParsedJwk { kid, alg: None, issuer: None, certificate, public_key: Err(problem) }
        };
        let Some(object) = Object::read(json) else {
            return unusable(None, KeyProblem::Malformed);
        };
        let text = |name| object.get(name).and_then(string).map(std::borrow::Cow::into_owned);
        let kid = text("kid");
        match public_key(&object) {
            Ok((alg, public_key)) => {
                let (issuer, certificate) = (text("issuer"), CertificateDigests::read(&object));
                ParsedJwk { kid, alg, issuer, certificate, public_key: Ok(public_key) }
            }
            Err(problem) => unusable(kid, problem),
        }
    }

    /// Makes a key that was not read from a JWK, and has no id.
    pub(super) fn new(public_key: PublicKey, certificate: CertificateDigests) -> Self {
        ParsedJwk { kid: None, alg: None, issuer: None, certificate, public_key: Ok(public_key) }
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub(super) fn skipped(&self) -> Option<SkippedKey<'_>> {
        let problem = *self.public_key.as_ref().err()?;
        Some(SkippedKey { kid: self.kid(), problem })
    }

    /// Returns true if these are digests of the key's certificate.
    pub(super) fn is_certified_by(&self, certificate: &CertificateDigests) -> bool {
        certificate.names(&self.certificate)
    }

    /// Returns true if this key may verify a signature of this algorithm.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        let algorithm = unaliased(algorithm);
        self.public_key.as_ref().is_ok_and(|key| key.fits(algorithm))
            && self.alg.is_none_or(|alg| alg == algorithm)
    }

    /// Returns true if the key belongs to the signer. A key without an `issuer` belongs to anyone, unless the signer
    /// must be named.
    pub(super) fn may_sign_for(&self, signer: Signer<'_>) -> bool {
        match &self.issuer {
            Some(own) => names_issuer(own, signer.issuer),
            None => !signer.must_be_named,
        }
    }

    /// Returns the SHA-256 thumbprint (RFC 7638).
    pub(super) fn thumbprint(&self) -> Result<String, KeyProblem> {
        self.public_key.as_ref().map(PublicKey::thumbprint).map_err(|problem| *problem)
    }

    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
        backend: Backend,
    ) -> Result<(), Reason> {
        match &self.public_key {
            Ok(key) => key.verify(unaliased(algorithm), message, signature, backend),
            Err(_) => Err(Reason::KeyUnusable),
        }
    }
}

/// Reads `EdDSA` as Ed25519, the only curve of it that is supported.
const fn unaliased(algorithm: Algorithm) -> Algorithm {
    match algorithm {
        Algorithm::EdDsa => Algorithm::Ed25519,
        other => other,
    }
}

/// Returns true if the `issuer` of a key names this issuer. `{tenantid}` in it stands for any tenant.
fn names_issuer(own: &str, issuer: &str) -> bool {
    let Some((before, after)) = own.split_once("{tenantid}") else { return own == issuer };
    let tenant = issuer.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    tenant.is_some_and(|tenant| !tenant.is_empty() && !tenant.contains('/'))
}

fn public_key(object: &Object<'_>) -> Result<(Option<Algorithm>, PublicKey), KeyProblem> {
    if !object.is_sound() {
        return Err(KeyProblem::Malformed);
    }
    let member = |name| match object.get(name) {
        None => Ok(None),
        Some(raw) => string(raw).map(Some).ok_or(KeyProblem::Malformed),
    };
    member("kid")?;
    member("issuer")?;
    let kty = member("kty")?.ok_or(KeyProblem::Malformed)?;
    if ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"].iter().any(|n| object.get(n).is_some())
    {
        return Err(KeyProblem::Private);
    }
    if member("use")?.is_some_and(|purpose| purpose != "sig") {
        return Err(KeyProblem::NotForVerifying);
    }
    if let Some(raw) = object.get("key_ops") {
        let operations = strings(raw).ok_or(KeyProblem::Malformed)?;
        if !operations.iter().any(|operation| operation == "verify") {
            return Err(KeyProblem::NotForVerifying);
        }
    }
    let bytes = |name| {
        let text = member(name)?.ok_or(KeyProblem::Malformed)?;
        decode(&text).ok_or(KeyProblem::Malformed)
    };
    let curve = || member("crv")?.ok_or(KeyProblem::Malformed);
    let key = match kty.as_ref() {
        "RSA" => PublicKey::rsa(&bytes("n")?, &bytes("e")?)?,
        "EC" => PublicKey::ec(&curve()?, &bytes("x")?, &bytes("y")?)?,
        "OKP" if curve()? == "Ed25519" => PublicKey::ed25519(&bytes("x")?)?,
        _ => return Err(KeyProblem::TypeNotOffered),
    };
    let alg = match member("alg")? {
        None => None,
        Some(name) => Some(
            Algorithm::from_name(&name)
                .map(unaliased)
                .filter(|algorithm| key.fits(*algorithm))
                .ok_or(KeyProblem::AlgorithmNotOffered)?,
        ),
    };
    Ok((alg, key))
}
