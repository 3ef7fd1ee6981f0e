//! The three signals: the list of operations, what is counted of the record, the page, and routes without a guard.

#![allow(clippy::arithmetic_side_effects, clippy::string_slice, reason = "a test may panic")]

mod doors;
mod findings;
mod operations;
mod page;
mod signals;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use time::UtcDateTime;
use tower::ServiceExt;
use unconfused::approvals::{Approvals, SigningKey};
use unconfused::audit::Signals;
use unconfused::detail::{Detail, DetailType};
use unconfused::keys::Algorithm;
use unconfused::replay::MemoryReplayStore;
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::{Audience, Guard, Scope};

const LOGIN: &str = "https://login.example";
const ORDERS: Audience = Audience::from_static("https://orders.example");
const READ: Scope = Scope::from_static("orders:read");
const WRITE: Scope = Scope::from_static("orders:write");
const REFUND: Scope = Scope::from_static("orders:refund");
const DELETE: Scope = Scope::from_static("orders:delete");
const FIVE_MINUTES: Duration = Duration::from_secs(300);

fn login() -> TestIssuer {
    TestIssuer::new(LOGIN)
}

fn guard(login: &TestIssuer) -> Guard {
    Guard::new(ORDERS, login.issuer())
}

/// A guard, and what it counts.
fn counted(login: &TestIssuer) -> (Guard, Arc<Signals>) {
    let signals = Arc::new(Signals::new());
    (guard(login).audit(signals.clone()), signals)
}

/// A guard that asks for approvals of deletions.
fn approving(guard: Guard) -> Guard {
    let key = SigningKey::generate(Algorithm::Es256, "k-1");
    let approvals = Approvals::new(key, [7; 32], LOGIN);
    let approvals = approvals.reason("order_deletion", "Delete order {order} for good");
    guard
        .detail_type(DetailType::new("order_deletion").exact("order"))
        .approvals(approvals)
        .replay(MemoryReplayStore::new_at(UtcDateTime::UNIX_EPOCH))
}

fn deletion() -> Detail {
    Detail::of("order_deletion").with("order", 7).approved()
}

/// The token that the login service issues once a human has approved what the challenge asks for.
fn approved(token: &TestToken, challenge: &str) -> TestToken {
    let (_, challenge) = challenge.split_once("transaction_challenge=\"").expect(challenge);
    let claims = URL_SAFE_NO_PAD.decode(challenge.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let token = token.clone().claim("authorization_details", &claims["authorization_details"]);
    token.claim("txn", &claims["txn"])
}

async fn ask(
    app: &Router,
    method: Method,
    path: &str,
    token: Option<&TestToken>,
) -> Response<Body> {
    let mut request =
        Request::builder().method(method).uri(path).header("accept-txn-challenge", "?1");
    if let Some(token) = token {
        request = request.header("authorization", token.bearer());
    }
    app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}
