//! One moment, one issuer, one guard.

use std::sync::OnceLock;
use std::time::Duration;

use http::request::Parts;
use reqwest::Client;
use reqwest::redirect::Policy;
use time::UtcDateTime;
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::{Audience, Reason, Scope};

pub(crate) use unconfused::policy::AuthZenPolicy;
pub(crate) use unconfused::{Denial, Grant, Guard};

pub(crate) const LOGIN: &str = "https://login.example";
pub(crate) const ORDERS: Audience = Audience::from_static("https://orders.example");
pub(crate) const READ: Scope = Scope::from_static("orders:read");
/// The moment of every test, in seconds since 1970: 2027-01-15T08:00:00Z.
pub(crate) const NOW: i64 = 1_800_000_000;

pub(crate) fn now() -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(NOW).unwrap()
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn login() -> &'static TestIssuer {
    static ISSUER: OnceLock<TestIssuer> = OnceLock::new();
    ISSUER.get_or_init(|| TestIssuer::new(LOGIN))
}

pub(crate) fn guard() -> Guard {
    Guard::new(ORDERS, login().issuer()).clock(now)
}

/// A token of alice's that lets its bearer read.
pub(crate) fn token() -> TestToken {
    login().token(&ORDERS).issued_at(now()).subject("alice").client("web").scope("orders:read")
}

pub(crate) fn head(token: &TestToken) -> Parts {
    let request = http::Request::get("/orders/7?q=1").header("authorization", token.bearer());
    request.body(()).unwrap().into_parts().0
}

pub(crate) async fn ask(guard: &Guard, token: &TestToken) -> Result<Grant, Denial> {
    guard.authorize(&mut head(token), READ).await
}

/// A client that follows no redirects.
pub(crate) fn http() -> Client {
    Client::builder().no_proxy().redirect(Policy::none()).build().unwrap()
}

pub(crate) fn reason(answer: &Result<Grant, Denial>) -> Option<Reason> {
    answer.as_ref().err().map(Denial::reason)
}

/// What the operator reads.
pub(crate) fn told(answer: &Result<Grant, Denial>) -> String {
    answer
        .as_ref()
        .map_or_else(|denial| denial.for_operator().to_string(), |_| "granted".to_owned())
}
