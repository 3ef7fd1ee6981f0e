//! What a token endpoint answers: a token that is exactly what was asked for, or why there is none.

use std::time::Duration;

use http::StatusCode;
use time::UtcDateTime;

use super::error::HopError;
use crate::credential::is_token68;
use crate::dates::{later, numeric_date, since};
use crate::jose::{Compact, is_type};
use crate::json::{Object, members, string, strings};
use crate::names::{Acr, Scope};
use crate::printable::Printable;
use crate::reason::Reason;

/// The longest token, in bytes.
const MAX_TOKEN: usize = 16 * 1024;
/// The most classes that a server may ask for.
const MAX_CLASSES: usize = 8;
/// The longest class, in bytes. A longer one is skipped.
const MAX_CLASS: usize = 256;
/// How far the clock of the server may be ahead.
const LEEWAY: Duration = Duration::from_secs(30);

/// How the token is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenType {
    Bearer,
    Dpop,
    /// Not as an access token (RFC 8693 section 2.2.1).
    NotApplicable,
}

/// What was asked for. Nothing wider is accepted.
pub(super) struct Asked<'a> {
    pub(super) token_type: TokenType,
    /// The types of which the answer must name one. `None` if it need not name any, since it can be but one.
    pub(super) issued_token_type: Option<&'a [&'a str]>,
    pub(super) scopes: &'a [Scope],
    /// The only name that the `aud` of a JWT may have.
    pub(super) audience: &'a str,
    /// The media types that the `typ` of a JWT may have. A token without one is accepted if `""` is among them.
    pub(super) jwt_types: &'a [&'a str],
    /// The token must be a JWT.
    pub(super) jwt_only: bool,
    /// The thumbprint of the key that a JWT must be bound to.
    pub(super) jkt: Option<&'a str>,
    pub(super) max_lifetime: Duration,
}

/// A token that is what was asked for.
pub(super) struct Issued {
    pub(super) token: String,
    pub(super) scopes: Vec<Scope>,
    /// From the moment at which it was asked for.
    pub(super) lifetime: Duration,
}

/// Reads the answer to a request that was sent at `now`.
pub(super) fn read(
    status: StatusCode,
    body: &[u8],
    asked: &Asked<'_>,
    now: UtcDateTime,
) -> Result<Issued, HopError> {
    let text = std::str::from_utf8(body).ok();
    let object = text.and_then(Object::read).filter(Object::is_sound);
    if status != StatusCode::OK {
        return Err(refusal(status, object.as_ref()));
    }
    let object = object.ok_or(HopError::unacceptable("it is not a JSON object"))?;
    let member = |name| object.get(name).and_then(string);

    let token = member("access_token").ok_or(HopError::unacceptable("it has no `access_token`"))?;
    if token.len() > MAX_TOKEN {
        return Err(HopError::unacceptable("the token exceeds 16384 bytes"));
    }
    if !is_token68(token.as_bytes()) {
        return Err(HopError::unacceptable("the token has characters that no token has"));
    }
    let token_type = member("token_type").unwrap_or_default();
    let is_expected = match asked.token_type {
        TokenType::Bearer => token_type.eq_ignore_ascii_case("bearer"),
        TokenType::Dpop => token_type.eq_ignore_ascii_case("dpop"),
        TokenType::NotApplicable => token_type.eq_ignore_ascii_case("n_a"),
    };
    if !is_expected {
        return Err(other("token_type", &token_type));
    }
    // A type that is there must be right, also if it need not be there.
    let issued_type = member("issued_token_type");
    let is_there = object.get("issued_token_type").is_some();
    let fits = |types: &[&str]| issued_type.as_deref().is_some_and(|found| types.contains(&found));
    let is_expected = match asked.issued_token_type {
        Some(types) => fits(types),
        None => !is_there || fits(&[ACCESS_TOKEN]),
    };
    if !is_expected {
        return Err(other("issued_token_type", &issued_type.unwrap_or_default()));
    }
    let scopes = match object.get("scope") {
        // It is what was asked for (RFC 6749 section 5.1).
        None => asked.scopes.to_vec(),
        Some(raw) => narrower_scopes(raw, asked.scopes)?,
    };
    let lifetime = lifetime(object.get("expires_in"), asked.max_lifetime)?;
    let lifetime = match Compact::parse(&token) {
        Ok(jwt) => check_jwt(&jwt, asked, now)?.map_or(lifetime, |end| lifetime.min(end)),
        // It is opaque: only its resource can read it.
        Err(unreadable)
            if !asked.jwt_only
                && matches!(
                    unreadable.reason,
                    Reason::TokenFormatNotAccepted | Reason::TokenMalformed
                ) =>
        {
            lifetime
        }
        Err(unreadable) => {
            return Err(HopError::unacceptable(format!("the token: {}", unreadable.expected)));
        }
    };
    Ok(Issued { token: token.into_owned(), scopes, lifetime })
}

/// The type of access tokens (RFC 8693 section 3).
pub(super) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

fn other(member: &str, found: &str) -> HopError {
    HopError::unacceptable(match found {
        "" => format!("it has no `{member}` that is a string"),
        found => format!("another `{member}`: {}", Printable::from(found)),
    })
}

/// Reads how long the token lasts: whole seconds.
fn lifetime(expires_in: Option<&str>, most: Duration) -> Result<Duration, HopError> {
    let raw = expires_in.ok_or(HopError::unacceptable("it has no `expires_in`"))?;
    let seconds: u64 = raw
        .parse()
        .ok()
        .filter(|seconds| *seconds > 0)
        .ok_or(HopError::unacceptable("its `expires_in` is not a number of seconds"))?;
    let lifetime = Duration::from_secs(seconds);
    if lifetime > most {
        let most = most.as_secs();
        let problem = format!("the token lasts {seconds} seconds, and at most {most} are accepted");
        return Err(HopError::unacceptable(problem));
    }
    Ok(lifetime)
}

/// Reads a list of scopes, all of which were asked for.
fn narrower_scopes(raw: &str, asked: &[Scope]) -> Result<Vec<Scope>, HopError> {
    let text = string(raw).ok_or(HopError::unacceptable("its `scope` is not a string"))?;
    let names = text.split(' ').filter(|name| !name.is_empty());
    let scope = |name: &str| {
        let known = asked.iter().find(|scope| scope.as_str() == name).cloned();
        known.ok_or_else(|| {
            HopError::unacceptable(format!("a wider scope: {}", Printable::from(name)))
        })
    };
    names.map(scope).collect()
}

/// Checks what a JWT says of itself. The server vouches for it over TLS, so its signature is not verified here: its
/// resource does that. Returns how long it lasts, if it says so.
fn check_jwt(
    jwt: &Compact<'_>,
    asked: &Asked<'_>,
    now: UtcDateTime,
) -> Result<Option<Duration>, HopError> {
    let typ = jwt.header.typ().unwrap_or_default();
    let fits = |name: &&&str| is_type(typ, name) || (typ.is_empty() && name.is_empty());
    if !asked.jwt_types.iter().any(|name| fits(&name)) {
        return Err(other("typ", typ));
    }
    let payload = std::str::from_utf8(&jwt.payload).ok().and_then(Object::read);
    let claims = payload.filter(Object::is_sound);
    let claims = claims.ok_or(HopError::unacceptable("the claims of the token are not sound"))?;

    let audiences = claims.get("aud").and_then(|raw| match string(raw) {
        Some(one) => Some(vec![one]),
        None => strings(raw),
    });
    let audiences = audiences.filter(|names| !names.is_empty());
    let audiences = audiences.ok_or(HopError::unacceptable("the token names no audience"))?;
    if let Some(found) = audiences.iter().find(|name| **name != asked.audience) {
        return Err(HopError::unacceptable(format!(
            "a token for another audience: {}",
            Printable::from(&**found)
        )));
    }
    if let Some(raw) = claims.get("scope") {
        narrower_scopes(raw, asked.scopes)?;
    }
    let bound_to = claims.get("cnf").map(|raw| {
        let jkt = members(raw)?.find(|(name, _)| name == "jkt")?;
        string(jkt.1)
    });
    let is_bound_right = match (asked.jkt, bound_to) {
        (Some(key), Some(Some(jkt))) => jkt == key,
        (None, None) => true,
        (Some(_), _) | (None, Some(_)) => false,
    };
    if !is_bound_right {
        return Err(HopError::unacceptable("the token is not bound as it was asked for"));
    }
    let Some(raw) = claims.get("exp") else { return Ok(None) };
    let end =
        numeric_date(raw).ok_or(HopError::unacceptable("the `exp` of the token is not a date"))?;
    if end > later(now, asked.max_lifetime.saturating_add(LEEWAY)) {
        return Err(HopError::unacceptable("the `exp` of the token is later than is accepted"));
    }
    let left = Duration::try_from(since(now, end)).unwrap_or_default();
    if left.is_zero() {
        return Err(HopError::unacceptable("the token has expired"));
    }
    Ok(Some(left))
}

/// Reads an error (RFC 6749 section 5.2).
fn refusal(status: StatusCode, object: Option<&Object<'_>>) -> HopError {
    let member = |name| object?.get(name).and_then(string);
    let error = member("error").filter(|_| status.is_client_error());
    let Some(error) = error else {
        return HopError::Unavailable(format!("its token endpoint answered {}", status.as_u16()));
    };
    match &*error {
        // OpenID Connect Core section 3.1.2.6 and RFC 9470: the subject can do something about it.
        "insufficient_user_authentication" | "interaction_required" | "login_required" => {
            let classes = member("acr_values").unwrap_or_default();
            let max_age = object.and_then(|object| object.get("max_age")?.parse().ok());
            step_up(&classes, max_age)
        }
        "invalid_target" | "invalid_scope" | "invalid_grant" | "invalid_request"
        | "access_denied" | "consent_required" => HopError::Refused(error.into_owned()),
        // It is about this service, or passes.
        _ => HopError::Unavailable(format!(
            "its token endpoint answered {} {}",
            status.as_u16(),
            Printable::from(&*error)
        )),
    }
}

/// Makes the error of a demand that names these classes, separated by spaces, and this age in seconds.
pub(super) fn step_up(classes: &str, max_age: Option<u64>) -> HopError {
    let classes = classes.split(' ').filter(|class| class.len() <= MAX_CLASS);
    let classes = classes.filter_map(|class| Acr::new(class).ok());
    HopError::StepUp {
        acr_values: classes.take(MAX_CLASSES).collect(),
        max_age: max_age.map(Duration::from_secs),
    }
}
