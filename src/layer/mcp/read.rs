//! Reads the body of a request, as far as its head and the limits allow.

use std::pin::pin;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use crate::mcp::{InvalidMessage, Problem, Tools};

/// Reads the whole body.
pub(super) async fn read<B>(
    tools: &Tools,
    headers: &HeaderMap,
    body: B,
) -> Result<Bytes, InvalidMessage>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if !is_plain_json(headers) {
        return Err(InvalidMessage::new(
            Problem::MediaType,
            "expected one `Content-Type` of application/json, and no `Content-Encoding`",
        ));
    }
    let settings = &tools.settings;
    let limit = settings.body_limit;
    let too_large = || {
        InvalidMessage::new(Problem::TooLarge, format!("expected at most {limit} bytes of body"))
    };
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    let body = pin!(Limited::new(body, limit));
    match timeout(settings.body_timeout, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(InvalidMessage::new(Problem::Interrupted, "the body broke off")),
        Err(_) => {
            let limit = settings.body_timeout;
            let detail = format!("expected the body within {limit:?}");
            Err(InvalidMessage::new(Problem::TooSlow, detail))
        }
    }
}

/// True if the body is JSON as it is written: no other type, and not encoded.
fn is_plain_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let is_json = matches!((types.next(), types.next()), (Some(one), None) if is_json(one));
    let is_identity = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    is_json && headers.get_all(CONTENT_ENCODING).iter().all(is_identity)
}

/// True for `application/json`, in UTF-8 if it says so.
pub(super) fn is_json(content_type: &HeaderValue) -> bool {
    let Ok(content_type) = content_type.to_str() else { return false };
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let is_charset_right = |parameter: &str| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        !name.trim().eq_ignore_ascii_case("charset")
            || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    };
    essence.eq_ignore_ascii_case("application/json") && parts.all(is_charset_right)
}

/// True for `text/event-stream`.
pub(super) fn is_event_stream(content_type: &HeaderValue) -> bool {
    let essence = content_type.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}
