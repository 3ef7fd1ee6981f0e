//! Proofs of possession, and the hashes that they are made of: the modes `dpop`, `thumbprint`, `cert_thumbprint` and
//! `ath`.

use std::borrow::Cow;
use std::collections::HashSet;

use http::{Method, Uri};
use serde_json::{Map, Value};
use time::UtcDateTime;
use unconfused::Reason;
use unconfused::keys::KeySet;
use unconfused::proof::{Dpop, Possession};
use unconfused::testing::TestProofKey;

use crate::case::{Case, Outcome, equal, time};
use crate::policy::Policy;

/// A request, and the proof that came with it.
pub(crate) struct ProvenRequest {
    /// `None` if there is no `DPoP` field.
    pub(crate) proof: Option<String>,
    pub(crate) method: Method,
    pub(crate) dpop: Dpop,
    pub(crate) path: String,
}

impl ProvenRequest {
    pub(crate) fn from_case(case: &Case<'_>, policy: &Policy) -> Option<Self> {
        let given: Option<Map<String, Value>> = case.optional("dpop")?;
        let Some(given) = given else {
            let dpop = policy.dpop("https://unused.example", None)?;
            return Some(ProvenRequest {
                proof: None,
                method: Method::GET,
                dpop,
                path: "/".to_owned(),
            });
        };
        let text = |name: &str| given.get(name).and_then(Value::as_str);
        let proof = match given.get("proof") {
            None | Some(Value::Null) => None,
            Some(proof) => Some(proof.as_str()?.to_owned()),
        };
        let url: Uri = text("url")?.parse().ok()?;
        let base = format!("{}://{}", url.scheme()?, url.authority()?);
        Some(ProvenRequest {
            method: text("method")?.parse().ok()?,
            dpop: policy.dpop(&base, proof.as_deref())?,
            path: url.path().to_owned(),
            proof,
        })
    }

    pub(crate) fn possession(&self) -> Possession<'_> {
        Possession::dpop(self.proof.as_deref().unwrap_or_default(), &self.method, &self.path)
    }

    /// The plain functions read an absent field as an empty one, so a missing proof is malformed to them.
    pub(crate) fn reason(&self, reason: Reason) -> Reason {
        match reason {
            Reason::DpopProofMalformed if self.proof.is_none() => Reason::DpopProofMissing,
            reason => reason,
        }
    }
}

pub(crate) fn dpop(case: &Case<'_>, policy: &Policy) -> Option<Outcome> {
    let token: Cow<'_, str> = case.get("token")?;
    let (jkt, now) = (policy.text("dpop_jkt")??, time(case.get("now")?)?);
    let request = ProvenRequest::from_case(case, policy)?;
    let mut seen = HashSet::new();
    let mut send = || {
        let proof = request.dpop.check(&request.possession(), &token, jkt, now);
        let proof = proof.map_err(|reason| request.reason(reason))?;
        match seen.insert((proof.key().to_owned(), proof.jti().to_owned())) {
            true => Ok(()),
            false => Err(Reason::DpopProofReplayed),
        }
    };
    if case.is_replay()? && send().is_err() {
        return None;
    }
    Some(match send() {
        Ok(()) => Outcome::Accept(Map::new()),
        Err(reason) => reason.into(),
    })
}

/// Compares the thumbprint of a key. The crate makes none of a key that it cannot use.
pub(crate) fn thumbprint(case: &Case<'_>) -> Option<Outcome> {
    let set = format!(r#"{{"keys":[{}]}}"#, case.0.get("jwk")?.get());
    let thumbprint = KeySet::from_json(&set).ok()?.thumbprints().next()?;
    Some(equal(case, &thumbprint, Reason::DpopKeyMismatch))
}

pub(crate) fn cert_thumbprint(case: &Case<'_>) -> Option<Outcome> {
    let thumbprint = case.certificate()??.thumbprint();
    Some(equal(case, &thumbprint, Reason::ClientCertificateMismatch))
}

/// Tells whether a proof with this value would be accepted for the token.
pub(crate) fn ath(case: &Case<'_>) -> Option<Outcome> {
    const BASE: &str = "https://unused.example";
    let (token, value): (Cow<'_, str>, Cow<'_, str>) = (case.get("token")?, case.get("value")?);
    let key = TestProofKey::new();
    let now = UtcDateTime::UNIX_EPOCH;
    let proof = key.proof("GET", &format!("{BASE}/")).issued_at(now).claim("ath", &*value).sign();
    let possession = Possession::dpop(&proof, &Method::GET, "/");
    let checked = Dpop::for_base_url(BASE).ok()?.check(&possession, &token, &key.thumbprint(), now);
    Some(match checked {
        Ok(_) => Outcome::Accept(Map::new()),
        Err(reason) => reason.into(),
    })
}
