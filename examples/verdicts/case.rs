//! One case: its members, and what came of it.

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use time::UtcDateTime;
use unconfused::Reason;
use unconfused::keys::KeySet;
use unconfused::proof::ClientCertificate;

/// What came of one case.
pub(crate) enum Outcome {
    Accept(Map<String, Value>),
    Reject(Reason),
    Skip,
}

impl From<Reason> for Outcome {
    fn from(reason: Reason) -> Self {
        Outcome::Reject(reason)
    }
}

/// The members of a case, each as it was written: a key set may have members twice, and that must not
/// be lost on the way.
pub(crate) struct Case<'a>(pub(crate) HashMap<String, &'a RawValue>);

impl<'a> Case<'a> {
    pub(crate) fn read(line: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(line).ok().map(Case)
    }

    /// Returns `None` if the member is not there or is not a `T`.
    pub(crate) fn get<T: Deserialize<'a>>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.0.get(name)?.get()).ok()
    }

    /// Returns `Some(None)` if the member is absent or null, and `None` if it is not a `T`.
    pub(crate) fn optional<T: Deserialize<'a>>(&self, name: &str) -> Option<Option<T>> {
        match self.0.get(name) {
            None => Some(None),
            Some(raw) => serde_json::from_str(raw.get()).ok(),
        }
    }

    /// Returns `None` if the certificate cannot be read.
    pub(crate) fn certificate(&self) -> Option<Option<ClientCertificate>> {
        let der: Option<Cow<'_, str>> = self.optional("client_cert_der_b64")?;
        let Some(der) = der else { return Some(None) };
        Some(Some(ClientCertificate::from_der(STANDARD.decode(&*der).ok()?)))
    }

    pub(crate) fn is_replay(&self) -> Option<bool> {
        Some(self.optional("replay")?.unwrap_or(false))
    }

    /// Returns the key set; one without keys if there is none that can be read.
    pub(crate) fn keys(&self) -> KeySet {
        let json = self.0.get("jwks").map_or("", |raw| raw.get());
        KeySet::from_json(json).unwrap_or_default()
    }
}

pub(crate) fn equal(case: &Case<'_>, expected: &str, reason: Reason) -> Outcome {
    match case.get::<Cow<'_, str>>("value") {
        Some(value) if value == expected => Outcome::Accept(Map::new()),
        _ => reason.into(),
    }
}

pub(crate) fn time(seconds: f64) -> Option<UtcDateTime> {
    UtcDateTime::from_unix_timestamp_nanos((seconds * 1e9) as i128).ok()
}

/// Returns the values that the case's `check` names.
pub(crate) fn wanted(case: &Case<'_>, value: impl Fn(&str) -> Value) -> Map<String, Value> {
    let names: Map<String, Value> = case.get("check").unwrap_or_default();
    let values = names.into_iter().map(|(name, _)| {
        let value = value(&name);
        (name, value)
    });
    values.collect()
}
