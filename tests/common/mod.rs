//! What several test files need: one moment, one issuer, one guard.
#![allow(dead_code, reason = "each file uses its part")]

use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use time::UtcDateTime;
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::{
    AccessToken, Audience, Denial, Grant, Guard, InvalidToken, Reason, Require, UnverifiedToken,
    Validation,
};

pub(crate) const LOGIN: &str = "https://login.example";
pub(crate) const OTHER: &str = "https://other.example";
pub(crate) const ORDERS: Audience = Audience::from_static("https://orders.example");
/// The moment of every test, in seconds since 1970.
pub(crate) const NOW: i64 = 1_800_000_000;

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// So many seconds after the moment.
pub(crate) fn at(offset: i64) -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(NOW + offset).unwrap()
}

pub(crate) fn now() -> UtcDateTime {
    at(0)
}

/// The one issuer of this file.
pub(crate) fn login() -> &'static TestIssuer {
    static LOGIN_ISSUER: OnceLock<TestIssuer> = OnceLock::new();
    LOGIN_ISSUER.get_or_init(|| TestIssuer::new(LOGIN))
}

/// Somebody who has the name of the issuer and not its key.
pub(crate) fn forger() -> &'static TestIssuer {
    static FORGER: OnceLock<TestIssuer> = OnceLock::new();
    FORGER.get_or_init(|| TestIssuer::new(LOGIN))
}

/// A good token, issued at the moment, for 5 minutes.
pub(crate) fn token() -> TestToken {
    login().token(&ORDERS).at(now())
}

pub(crate) fn validation() -> Validation {
    Validation::new(ORDERS, LOGIN)
}

/// Parsed and validated at the moment.
pub(crate) fn validate(token: &TestToken) -> Result<AccessToken, InvalidToken> {
    validate_by(&validation(), token, now())
}

pub(crate) fn validate_by(
    validation: &Validation,
    token: &TestToken,
    now: UtcDateTime,
) -> Result<AccessToken, InvalidToken> {
    UnverifiedToken::parse(&token.sign())?.validate(validation, &login().keys(), now)
}

/// Why the token is refused, or `None`.
pub(crate) fn refusal(token: &TestToken) -> Option<Reason> {
    validate(token).err().map(|invalid| invalid.reason())
}

/// A guard whose clock stands still.
pub(crate) fn guard() -> Guard {
    Guard::new(ORDERS, login().issuer()).clock(now)
}

/// The head of a request with these `Authorization` fields.
pub(crate) fn head(uri: &str, authorization: &[&str]) -> Parts {
    let mut request = http::Request::get(uri);
    for field in authorization {
        request = request.header("authorization", field.as_bytes());
    }
    request.body(()).unwrap().into_parts().0
}

/// What the guard says of a request with this token.
pub(crate) fn ask(
    guard: &Guard,
    token: &TestToken,
    requirement: impl Into<Require>,
) -> Result<Grant, Denial> {
    let mut head = head("/orders", &[&token.bearer()]);
    guard.authorize(&mut head, requirement).now().unwrap()
}

/// The challenge of a denial, as the field is sent.
pub(crate) fn challenge(denial: &Denial) -> String {
    let headers = denial.headers();
    headers["www-authenticate"].to_str().unwrap().to_owned()
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token whose parts are these, whatever they are.
pub(crate) fn compact(header: &str, payload: impl AsRef<[u8]>, signature: &[u8]) -> String {
    let parts = [base64url(header), base64url(payload), base64url(signature)];
    parts.join(".")
}
