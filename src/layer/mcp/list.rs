//! The answer to `tools/list`, with only the tools that a client may call. For display: calls are checked all the
//! same.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::str;

use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http_body::Body;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::read::{is_event_stream, is_json, whole};
use crate::evidence::Evidence;
use crate::json;
use crate::mcp::{Rule, Settings, Tools};
use crate::reason::Reason;
use crate::require::TokenRole;

/// Reads the response and filters the list in it. An error says why the list cannot be read.
pub(super) async fn filtered<R>(
    response: Response<R>,
    tools: &Tools,
    evidence: &Evidence,
) -> Result<Response<Bytes>, &'static str>
where
    R: Body<Data = Bytes>,
{
    let (mut head, body) = response.into_parts();
    let Settings { body_limit, body_timeout, .. } = tools.settings;
    let body = whole(body, body_limit, body_timeout).await;
    let body = body.map_err(|_| "the list breaks off, or is too large, or does not end in time")?;
    // Not the answer to a request that was carried out, or the answer to a notification.
    if !head.status.is_success() || body.is_empty() {
        return Ok(Response::from_parts(head, body));
    }
    if head.headers.contains_key(CONTENT_ENCODING) {
        return Err("the list is encoded");
    }
    let text = str::from_utf8(&body).map_err(|_| "the list is not UTF-8")?;
    let shows = |name: &str| shows(tools, evidence, name);
    let filtered = match head.headers.get(CONTENT_TYPE) {
        Some(media_type) if is_json(media_type) => filtered_message(text, &shows)?.into_owned(),
        Some(media_type) if is_event_stream(media_type) => filtered_events(text, &shows)?,
        _ => return Err("the list is neither JSON nor a stream of events"),
    };
    head.headers.remove(CONTENT_LENGTH);
    Ok(Response::from_parts(head, filtered.into()))
}

/// True if a client with this token may call the tool, or may be told what to come back with.
fn shows(tools: &Tools, evidence: &Evidence, name: &str) -> bool {
    let Some(entry) = tools.tool_entry(name) else { return false };
    let Rule::Fixed(requirement) = &entry.rule else { return true };
    let role = TokenRole::Ordinary { can_be_challenged: true };
    let asked_at_the_call = |reason: &Reason| {
        matches!(
            reason,
            Reason::AuthenticationContextMissing
                | Reason::AuthenticationLevelInsufficient
                | Reason::AuthenticationTooOld
                | Reason::AuthorizationDetailsInsufficient
                | Reason::TransactionAuthorizationRequired
        )
    };
    match requirement.check_as(evidence.token(), role, evidence.at()) {
        Ok(()) => true,
        Err(unmet) => unmet.reasons().iter().all(asked_at_the_call),
    }
}

/// The stream with its messages filtered. Fields other than data stay as they are.
fn filtered_events(text: &str, shows: &impl Fn(&str) -> bool) -> Result<String, &'static str> {
    let mut out = String::with_capacity(text.len());
    let mut data: Option<String> = None;
    if text.starts_with('\u{feff}') {
        return Err("the stream begins with a byte order mark");
    }
    // A lone carriage return ends a line too, which no server here does.
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches(['\n', '\r']);
        if bare.contains('\r') {
            return Err("the stream has a line end that is not read here");
        }
        if let Some(value) = bare.strip_prefix("data:") {
            let data = data.get_or_insert_default();
            if !data.is_empty() {
                data.push('\n');
            }
            data.push_str(value.strip_prefix(' ').unwrap_or(value));
            continue;
        }
        if bare == "data" {
            data.get_or_insert_default();
            continue;
        }
        if bare.is_empty() {
            put_data(&mut out, data.take(), shows)?;
        }
        out.push_str(line);
    }
    // An event without an empty line behind it does not count, so it is left out.
    Ok(out)
}

fn put_data(
    out: &mut String,
    data: Option<String>,
    shows: &impl Fn(&str) -> bool,
) -> Result<(), &'static str> {
    let Some(data) = data else { return Ok(()) };
    let filtered = match data.trim().is_empty() {
        true => Cow::Borrowed(""),
        false => filtered_message(&data, shows)?,
    };
    for line in filtered.split('\n') {
        out.push_str("data: ");
        out.push_str(line);
        out.push('\n');
    }
    Ok(())
}

type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// The message without the tools that are not shown. A message that is not a result stays as it is.
fn filtered_message<'a>(
    text: &'a str,
    shows: &impl Fn(&str) -> bool,
) -> Result<Cow<'a, str>, &'static str> {
    const NOT_A_LIST: &str = "the result has no list of tools that can be read";
    let mut has_result = false;
    let sound = json::each_member(text, |name, _| has_result |= name == "result");
    if sound != Some(true) {
        return Err("the answer is not one message, or a member stands in it twice");
    }
    if !has_result {
        return Ok(text.into());
    }
    let mut message: Members<'_> = serde_json::from_str(text).map_err(|_| NOT_A_LIST)?;
    let result = message.get("result").ok_or(NOT_A_LIST)?.get();
    let mut result: Members<'_> = serde_json::from_str(result).map_err(|_| NOT_A_LIST)?;
    let list = result.get("tools").ok_or(NOT_A_LIST)?.get();
    let list: Vec<&RawValue> = serde_json::from_str(list).map_err(|_| NOT_A_LIST)?;
    let mut shown = Vec::with_capacity(list.len());
    for tool in list {
        let Named { name } = serde_json::from_str(tool.get()).map_err(|_| NOT_A_LIST)?;
        if shows(&name) {
            shown.push(tool);
        }
    }
    let shown = serde_json::value::to_raw_value(&shown).map_err(|_| NOT_A_LIST)?;
    result.insert("tools".into(), &shown);
    let result = serde_json::value::to_raw_value(&result).map_err(|_| NOT_A_LIST)?;
    message.insert("result".into(), &result);
    serde_json::to_string(&message).map(Cow::Owned).map_err(|_| NOT_A_LIST)
}
