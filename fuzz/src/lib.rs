//! What the targets share: one issuer, one moment, and another reading of the claims.

use std::sync::LazyLock;

use serde_json::Value;
use time::UtcDateTime;
use unconfused::error::InvalidToken;
use unconfused::keys::{Backend, KeySet};
use unconfused::profile::Profile;
use unconfused::testing::TestIssuer;
use unconfused::token::{UnverifiedToken, Validation};
use unconfused::{AccessToken, Audience};

pub const ISSUER: &str = "https://login.example";
/// An issuer with a tenant in its name, whose tokens are read by profiles.
pub const TENANTED: &str = "https://login.example/acme/v2.0";
pub const AUDIENCE: Audience = Audience::from_static("https://orders.example");
/// The moment at which every token is judged.
pub const NOW: i64 = 1_800_000_000;

static KEY: LazyLock<TestIssuer> = LazyLock::new(|| TestIssuer::new(ISSUER));
static KEYS: LazyLock<KeySet> = LazyLock::new(|| KEY.keys());
static TENANT_KEY: LazyLock<TestIssuer> = LazyLock::new(|| TestIssuer::new(TENANTED));
static TENANT_KEYS: LazyLock<KeySet> = LazyLock::new(|| TENANT_KEY.keys());

fn now() -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(NOW).expect("a time")
}

/// Validates a token with the default settings.
pub fn validate(token: UnverifiedToken<'_>, keys: &KeySet) -> Result<AccessToken, InvalidToken> {
    token.validate(&Validation::new(AUDIENCE, ISSUER), keys, now())
}

/// Validates a token with the default settings and this backend.
pub fn validate_with(
    backend: Backend,
    token: UnverifiedToken<'_>,
    keys: &KeySet,
) -> Result<AccessToken, InvalidToken> {
    token.validate(&Validation::new(AUDIENCE, ISSUER).backend(backend), keys, now())
}

/// Validates a token with this payload, validly signed.
pub fn signed(payload: &str) -> Result<AccessToken, InvalidToken> {
    let token = KEY.token(&AUDIENCE).payload(payload).sign();
    validate(UnverifiedToken::parse(&token)?, &KEYS)
}

/// Validates a token of [`TENANTED`] with this payload and this `typ` under a profile.
pub fn signed_by(
    profile: &Profile,
    typ: Option<&str>,
    payload: &str,
) -> Result<AccessToken, InvalidToken> {
    let token = TENANT_KEY.token(&AUDIENCE).payload(payload);
    let token = match typ {
        Some(typ) => token.header("typ", typ),
        None => token.without_header("typ"),
    };
    let validation = Validation::new(AUDIENCE, TENANTED).profile(profile.clone());
    UnverifiedToken::parse(&token.sign())?.validate(&validation, &TENANT_KEYS, now())
}

/// Reads an accepted payload with serde_json alone. `None` if it has a number that serde_json
/// cannot hold, which is JSON all the same.
///
/// Panics on anything else that is not JSON, and on a duplicate member.
pub fn read_again(payload: &str) -> Option<Value> {
    let value: Value = match serde_json::from_str(payload) {
        Ok(value) => value,
        Err(error) if error.to_string().contains("out of range") => return None,
        Err(error) => panic!("accepted, and not JSON: {error}"),
    };
    // serde_json keeps one of two; the text has a colon for each.
    assert_eq!(colons(payload), members(&value), "a duplicate member");
    Some(value)
}

/// Colons outside strings.
fn colons(json: &str) -> usize {
    let (mut count, mut string, mut escape) = (0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escape => escape = false,
            b'\\' => escape = true,
            b'"' => string = !string,
            b':' if !string => count += 1,
            _ => {}
        }
    }
    count
}

fn members(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(members).sum(),
        Value::Object(object) => object.len() + object.values().map(members).sum::<usize>(),
        _ => 0,
    }
}
