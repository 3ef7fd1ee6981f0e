//! Signatures alone: the mode `jws`.

use std::borrow::Cow;

use serde_json::Value;

use crate::case::{Case, Outcome, wanted};
use crate::policy::Policy;

pub(crate) fn jws(case: &Case<'_>, policy: &Policy) -> Option<Outcome> {
    let token: Cow<'_, str> = case.get("token")?;
    let outcome = case.keys().verify_signature_only(&token, policy.algorithms()?);
    Some(match outcome {
        Ok(payload) => Outcome::Accept(wanted(case, |name| payload_value(&payload, name))),
        Err(reason) => reason.into(),
    })
}

/// A member of the payload, or under the name `payload` the whole of it.
pub(crate) fn payload_value(payload: &[u8], name: &str) -> Value {
    let read = serde_json::from_slice(payload);
    if name == "payload" {
        return read.unwrap_or_else(|_| String::from_utf8_lossy(payload).into());
    }
    read.ok().and_then(|payload: Value| payload.get(name).cloned()).into()
}
