//! One key of a set: read, checked, and held against what it may be used for
//! (RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2).

use super::algorithm::Algorithm;
use super::backend::Backend;
use super::compact::decode;
use super::key_problem::{KeyProblem, SkippedKey};
use super::public_key::Material;
use crate::json::{Object, string, strings};
use crate::reason::Reason;

/// Whose signature a key is asked about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signer<'a> {
    pub(crate) issuer: &'a str,
    /// Only a key that names this issuer as its own will do.
    pub(crate) must_be_named: bool,
}

/// A key of a set, usable or not: an unusable one still has its id, so that a token naming it is
/// told apart from a token naming nothing.
#[derive(Debug)]
pub(super) struct Key {
    kid: Option<String>,
    /// `alg`; `EdDSA` of an Ed25519 key reads as `Ed25519`.
    alg: Option<Algorithm>,
    /// Whose it is, where one set serves several issuers.
    issuer: Option<String>,
    material: Result<Material, KeyProblem>,
}

impl Key {
    pub(super) fn parse(json: &str) -> Self {
        let unusable = |kid, problem| Key { kid, alg: None, issuer: None, material: Err(problem) };
        let Some(object) = Object::read(json) else {
            return unusable(None, KeyProblem::Malformed);
        };
        let text = |name| object.get(name).and_then(string).map(std::borrow::Cow::into_owned);
        let kid = text("kid");
        match usable(&object) {
            Ok((alg, material)) => Key { kid, alg, issuer: text("issuer"), material: Ok(material) },
            Err(problem) => unusable(kid, problem),
        }
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub(super) fn skipped(&self) -> Option<SkippedKey<'_>> {
        let problem = *self.material.as_ref().err()?;
        Some(SkippedKey { kid: self.kid(), problem })
    }

    /// Step 18: may this key be asked about a signature of this algorithm?
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        let algorithm = unaliased(algorithm);
        self.material.as_ref().is_ok_and(|material| material.fits(algorithm))
            && self.alg.is_none_or(|alg| alg == algorithm)
    }

    /// Step 18: is it this issuer's key? One that names nobody is, unless it must.
    pub(super) fn may_sign_for(&self, signer: Signer<'_>) -> bool {
        match &self.issuer {
            Some(own) => names(own, signer.issuer),
            None => !signer.must_be_named,
        }
    }

    /// RFC 7638.
    pub(super) fn thumbprint(&self) -> Result<String, KeyProblem> {
        self.material.as_ref().map(Material::thumbprint).map_err(|problem| *problem)
    }

    /// Step 19.
    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
        backend: Backend,
    ) -> Result<(), Reason> {
        match &self.material {
            Ok(material) => material.verify(unaliased(algorithm), message, signature, backend),
            Err(_) => Err(Reason::KeyUnusable),
        }
    }
}

/// `EdDSA` is Ed25519 here: no other curve of it is offered.
const fn unaliased(algorithm: Algorithm) -> Algorithm {
    match algorithm {
        Algorithm::EdDsa => Algorithm::Ed25519,
        other => other,
    }
}

/// The `issuer` of a key names this issuer, perhaps with `{tenantid}` for its tenant.
fn names(own: &str, issuer: &str) -> bool {
    let Some((before, after)) = own.split_once("{tenantid}") else { return own == issuer };
    let tenant = issuer.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    tenant.is_some_and(|tenant| !tenant.is_empty() && !tenant.contains('/'))
}

fn usable(object: &Object<'_>) -> Result<(Option<Algorithm>, Material), KeyProblem> {
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
    let material = match kty.as_ref() {
        "RSA" => Material::rsa(&bytes("n")?, &bytes("e")?)?,
        "EC" => Material::ec(&curve()?, &bytes("x")?, &bytes("y")?)?,
        "OKP" if curve()? == "Ed25519" => Material::ed25519(&bytes("x")?)?,
        _ => return Err(KeyProblem::TypeNotOffered),
    };
    let alg = match member("alg")? {
        None => None,
        Some(name) => Some(
            Algorithm::from_name(&name)
                .map(unaliased)
                .filter(|algorithm| material.fits(*algorithm))
                .ok_or(KeyProblem::AlgorithmNotOffered)?,
        ),
    };
    Ok((alg, material))
}
