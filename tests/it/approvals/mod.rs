//! Approvals of single operations: what is asked for, and what a token that comes back is good for.
//!
//! An agent asks for a refund, is answered with a challenge, has the server get it approved, and comes back.

mod asked;
mod attacked;
mod elsewhere;
mod hijacked;
mod keys;
mod once;
mod requester;
mod setup;
mod signal;

use std::sync::OnceLock;

use crate::common::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use serde_json::{Value, json};
use time::UtcDateTime;
use unconfused::approvals::{Approvals, SigningKey};
use unconfused::detail::{Detail, DetailType};
use unconfused::keys::Algorithm;
use unconfused::replay::ReplayStore;
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::{Audience, Denial, Grant, Guard, Reason, Require, Scope};

pub(super) const REFUND: Scope = Scope::from_static("orders:refund");
pub(super) const SECRET: [u8; 32] = [1; 32];

pub(super) fn refund_type() -> DetailType {
    DetailType::new("order_refund").exact("order").exact("currency").exact("to").at_most("amount")
}

/// The refund of 12.50 EUR of order 7.
pub(super) fn refund() -> Detail {
    Detail::of("order_refund")
        .with("order", 7)
        .with("currency", "EUR")
        .with("to", "DE02")
        .with("amount", "12.50")
}

pub(super) fn approved_refund() -> Require {
    Require::scope(REFUND).and(Require::detail(refund().approved()))
}

/// The settings with the server that issues all tokens here.
pub(super) fn approvals() -> Approvals {
    static APPROVALS: OnceLock<Approvals> = OnceLock::new();
    let make = || Approvals::new(SigningKey::generate(Algorithm::Es256, "c1"), SECRET, LOGIN);
    APPROVALS.get_or_init(make).clone()
}

pub(super) fn guard_over(store: impl ReplayStore) -> Guard {
    guard().detail_type(refund_type()).approvals(approvals()).replay(store)
}

pub(super) fn approving() -> Guard {
    guard_over(store())
}

/// The token that an agent starts with.
pub(super) fn ordinary() -> TestToken {
    token().scope("orders:refund").actor("agent-7")
}

/// The head of a request with this token, whose client understands challenges.
pub(super) fn request(token: &TestToken) -> Parts {
    let mut head = head("/orders/7/refund", &[&token.bearer()]);
    head.headers.insert("accept-txn-challenge", "?1".parse().unwrap());
    head
}

pub(super) fn send(
    guard: &Guard,
    token: &TestToken,
    requirement: impl Into<Require>,
) -> Result<Grant, Denial> {
    guard.authorize(&mut request(token), requirement.into()).now().unwrap()
}

/// Why a request with this token is refused, or `None`.
pub(super) fn reason(
    guard: &Guard,
    token: &TestToken,
    requirement: impl Into<Require>,
) -> Option<Reason> {
    let denial = send(guard, token, requirement).err()?;
    Some(denial.reason())
}

/// The part of a JWT, decoded.
pub(super) fn part(jwt: &str, index: usize) -> Value {
    let part = jwt.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// The signed challenge that a denial carries.
pub(super) fn signed(denial: &Denial) -> String {
    assert_eq!(denial.reason(), Reason::TransactionAuthorizationRequired);
    denial.challenge().unwrap().transaction_challenge().unwrap().as_str().to_owned()
}

/// The challenge that a request is answered with, its claims.
pub(super) fn challenged(guard: &Guard, token: &TestToken, requirement: Require) -> Value {
    part(&signed(&send(guard, token, requirement).unwrap_err()), 1)
}

/// The token that the server issues once a human has approved what a challenge asks for.
pub(super) fn issued(server: &TestIssuer, challenge: &Value, at: UtcDateTime) -> TestToken {
    let resource = Audience::new(challenge["iss"].as_str().unwrap()).unwrap();
    let token = server
        .token(&resource)
        .issued_at(at)
        .scope("orders:refund")
        .claim("txn", &challenge["txn"])
        .claim("authorization_details", &challenge["authorization_details"]);
    match challenge.get("act") {
        Some(act) => token.claim("act", act),
        None => token,
    }
}

/// Asks for an approval with this token, and returns the one that comes back.
pub(super) fn approved_for(guard: &Guard, token: &TestToken, requirement: Require) -> TestToken {
    issued(login(), &challenged(guard, token, requirement), now())
}

/// The token that approves the refund.
pub(super) fn approved(guard: &Guard) -> TestToken {
    approved_for(guard, &ordinary(), approved_refund())
}

pub(super) fn entry(order: &str, currency: &str, to: &str, amount: impl Into<Value>) -> Value {
    let amount = amount.into();
    json!({"type": "order_refund", "order": order, "currency": currency, "to": to, "amount": amount})
}

#[test]
fn an_approved_refund_is_granted_once() {
    let guard = approving();
    let token = approved(&guard);
    let grant = send(&guard, &token, approved_refund()).unwrap();
    assert_eq!(grant.actor().map(|actor| actor.name()), Some("agent-7"));
    assert_eq!(reason(&guard, &token, approved_refund()), Some(Reason::TokenSpent));
    // The next refund needs the next approval.
    assert!(send(&guard, &approved(&guard), approved_refund()).is_ok());
}

#[test]
fn an_amount_is_approved_by_its_value() {
    let guard = approving();
    let token = approved(&guard);
    let same = refund().with("amount", "012.5000").approved();
    assert!(send(&guard, &token, Require::scope(REFUND).and(Require::detail(same))).is_ok());
}

#[test]
fn a_handler_asks_for_the_approval_with_narrow() {
    let guard = approving();
    let grant = send(&guard, &ordinary(), REFUND).unwrap();
    let denial = guard.narrow(&grant, Require::detail(refund().approved())).now().unwrap();
    // The field was read in the first step, and is kept.
    let challenge = part(&signed(&denial.unwrap_err()), 1);
    let token = issued(login(), &challenge, now());
    assert!(send(&guard, &token, approved_refund()).is_ok());
}

#[test]
fn a_token_from_the_cache_is_judged_like_any_other() {
    let guard = approving();
    let token = approved(&guard);
    let misused = Some(Reason::TransactionTokenMisused);
    for _ in 0..3 {
        assert_eq!(reason(&guard, &token, REFUND), misused);
    }
    assert!(send(&guard, &token, approved_refund()).is_ok());
    for _ in 0..3 {
        assert_eq!(reason(&guard, &token, approved_refund()), Some(Reason::TokenSpent));
        assert_eq!(reason(&guard, &token, REFUND), misused);
    }
    let ordinary = ordinary();
    for _ in 0..3 {
        assert!(send(&guard, &ordinary, REFUND).is_ok());
        let required = Some(Reason::TransactionAuthorizationRequired);
        assert_eq!(reason(&guard, &ordinary, approved_refund()), required);
    }
}
