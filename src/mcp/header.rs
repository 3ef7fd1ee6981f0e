//! What the head of a request says about its message.

use std::borrow::Cow;

use base64_simd::STANDARD;
use http::{HeaderMap, HeaderName};

const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// The parameter that names what a method is about, and that `Mcp-Name` repeats.
pub(super) fn name_member(method: &str) -> &'static str {
    match method {
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => "uri",
        "tasks/get" | "tasks/update" | "tasks/cancel" => "taskId",
        _ => "name",
    }
}

/// Compares the head with the method and the name of the message. The error says what is wrong.
///
/// This holds in every version of the protocol: a server or a proxy that decides by these fields must not be told
/// something else than the one that decides by the body.
pub(super) fn check(
    headers: &HeaderMap,
    method: Option<&str>,
    name: Option<&str>,
) -> Result<(), &'static str> {
    single(headers, &PROTOCOL_VERSION)
        .map_err(|()| "`MCP-Protocol-Version` stands twice or cannot be read")?;
    let said =
        single(headers, &METHOD).map_err(|()| "`Mcp-Method` stands twice or cannot be read")?;
    if said.is_some_and(|said| Some(said) != method) {
        return Err("`Mcp-Method` is not the method of the message");
    }
    let said = single(headers, &NAME).map_err(|()| "`Mcp-Name` stands twice or cannot be read")?;
    let Some(said) = said else { return Ok(()) };
    let said = decoded(said).ok_or("`Mcp-Name` is not base64")?;
    match name {
        Some(name) if name.as_bytes() == &*said => Ok(()),
        Some(_) => Err("`Mcp-Name` is not the name in the message"),
        None => Err("`Mcp-Name` is there, and the message names nothing"),
    }
}

/// The value of a field, if there is one. An error if there are several, or if it is not visible ASCII.
pub(super) fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(drop),
        (Some(_), Some(_)) => Err(()),
    }
}

/// The value, decoded if it is written `=?base64?..?=`. `None` if it is not the one spelling of that in base64.
fn decoded(value: &str) -> Option<Cow<'_, [u8]>> {
    let encoded = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?="));
    match encoded {
        None => Some(value.as_bytes().into()),
        Some(encoded) => STANDARD.decode_to_vec(encoded).ok().map(Cow::Owned),
    }
}
