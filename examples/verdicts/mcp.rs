//! Messages to MCP servers: the mode `mcp`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value};
use unconfused::mcp::Tools;
use unconfused::{Reason, Require, Scope};

use crate::case::{Case, Outcome};

#[derive(Deserialize)]
struct Table {
    base: String,
    tools: BTreeMap<String, String>,
    methods: BTreeMap<String, String>,
}

impl Table {
    /// A table in which each label is a scope. The base requires nothing, so that it adds nothing to the others.
    fn tools(&self) -> Option<Tools> {
        let require = |label: &String| {
            let nothing = *label == self.base;
            if nothing {
                Some(Require::valid_token())
            } else {
                Some(Require::scope(Scope::new(label).ok()?))
            }
        };
        let mut tools = Tools::new(Require::valid_token());
        for (name, label) in &self.tools {
            tools = tools.tool(name, require(label)?);
        }
        for (name, label) in &self.methods {
            tools = tools.method(name, require(label)?);
        }
        Some(tools)
    }
}

/// Returns `None` if the case cannot be judged.
pub(crate) fn mcp(case: &Case<'_>) -> Option<Outcome> {
    let table: Table = case.get("table")?;
    let pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = case.optional("headers")?.unwrap_or_default();
    let body = match case.optional::<String>("body_b64")? {
        Some(encoded) => STANDARD.decode(encoded).ok()?,
        None => case.get::<Cow<'_, str>>("body")?.into_owned().into_bytes(),
    };
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::try_from(&*name).ok()?;
        // No server would see a field that HTTP does not allow.
        let Ok(value) = HeaderValue::try_from(&*value) else {
            return Some(Reason::PolicyInputInvalid.into());
        };
        headers.append(name, value);
    }
    let tools = table.tools()?;
    Some(match tools.read(&headers, &body) {
        Ok(message) => {
            let scopes = message.requirement().challenge_scopes();
            let label = scopes.first().map_or(&*table.base, Scope::as_str);
            Outcome::Accept(Map::from_iter([("requires".to_owned(), Value::from(label))]))
        }
        Err(invalid) => invalid.problem().reason().into(),
    })
}
