//! How an issuer of a profile writes a token, for the test issuer.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::definition::{Profile, ScopeShape};
use super::header_type::HeaderType;
use super::kinds::any_holds;
use crate::json::Document;

impl Profile {
    /// Returns the `typ` that the tokens have. Of several, it is the one that says least, as vendors write it by
    /// default.
    pub(crate) fn written_type(&self) -> Option<&'static str> {
        match self.types.contains(&HeaderType::Jwt) {
            true => Some("JWT"),
            false if self.types.contains(&HeaderType::Absent) => None,
            false => Some("at+jwt"),
        }
    }

    /// Returns the claim that names the client.
    pub(crate) fn client_claim(&self) -> &str {
        self.clients.first().map_or("client_id", |claim| claim)
    }

    /// Writes scopes that are separated by spaces.
    pub(crate) fn write_scopes(&self, claims: &mut Map<String, Value>, scopes: &str) {
        let list: Vec<_> = scopes.split(' ').filter(|scope| !scope.is_empty()).collect();
        let (claim, shape) = match self.scopes.first() {
            Some((claim, shape)) => (claim.clone(), *shape),
            None => (Cow::Borrowed("scope"), ScopeShape::Text),
        };
        let value = match shape {
            ScopeShape::Text => scopes.into(),
            ScopeShape::Delimited(delimiter) => list.join(&delimiter.to_string()).into(),
            ScopeShape::Either if list.len() == 1 => scopes.into(),
            ScopeShape::Array | ScopeShape::Either => list.into(),
        };
        claims.insert(claim.into_owned(), value);
    }

    /// Writes what the profile requires and the claims do not have yet.
    pub(crate) fn write_required(&self, claims: &mut Map<String, Value>, client: &str) {
        for group in &self.required_rules {
            let document = Document::read(Value::Object(claims.clone()).to_string());
            let holds = document.is_some_and(|claims| any_holds(group, &claims, Some(client)));
            if let (false, Some(rule)) = (holds, group.first()) {
                rule.write(claims, client);
            }
        }
    }
}
