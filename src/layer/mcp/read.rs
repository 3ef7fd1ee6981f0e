//! Reads the body of a request, as far as its head and the limits allow.

use std::borrow::Cow;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::mcp::{InvalidMessage, Problem, Settings, Tools};

/// Reads the whole body.
pub(super) async fn read<B>(
    tools: &Tools,
    headers: &HeaderMap,
    body: B,
) -> Result<Bytes, InvalidMessage>
where
    B: Body<Data = Bytes>,
{
    if !is_plain_json(headers) {
        return Err(InvalidMessage::new(
            Problem::MediaType,
            "expected one `Content-Type` of application/json, and no `Content-Encoding`",
        ));
    }
    let Settings { body_limit, body_timeout, .. } = tools.settings;
    match whole(body, body_limit, body_timeout).await {
        Ok(bytes) => Ok(bytes),
        Err(problem) => Err(InvalidMessage::new(
            problem,
            match problem {
                Problem::TooLarge => format!("expected at most {body_limit} bytes of body").into(),
                Problem::TooSlow => format!("expected the body within {body_timeout:?}").into(),
                _ => Cow::Borrowed("the body broke off"),
            },
        )),
    }
}

/// Reads a whole body of at most so many bytes, within this time. One that arrives in one piece is not copied.
pub(super) async fn whole<B>(body: B, limit: usize, within: Duration) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes>,
{
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(Problem::TooLarge);
    }
    let read = async {
        let mut body = pin!(body);
        let (mut first, mut all) = (Bytes::new(), Vec::new());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Problem::Interrupted)?;
            let Ok(data) = frame.into_data() else { continue };
            let read = if all.is_empty() { first.len() } else { all.len() };
            if data.len() > limit.saturating_sub(read) {
                return Err(Problem::TooLarge);
            }
            if read == 0 {
                first = data;
                continue;
            }
            if all.is_empty() {
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&data);
        }
        Ok(if all.is_empty() { first } else { all.into() })
    };
    timeout(within, read).await.unwrap_or(Err(Problem::TooSlow))
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
        // `charset*` and `charset*0` are other spellings of it (RFC 2231), which are not read here.
        let name = name.split('*').next().unwrap_or_default();
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
