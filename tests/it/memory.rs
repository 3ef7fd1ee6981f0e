//! The memory of validated tokens: it saves a signature, and decides nothing.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use time::UtcDateTime;
use unconfused::keys::{Keys, KeysUnavailable};
use unconfused::testing::TestIssuer;
use unconfused::token::{KeyHint, TokenLimits};
use unconfused::{Answer, Audience, Guard, Issuer, Reason, Require, Scope};

const LOGIN: &str = "https://login.example";
const ORDERS: Audience = Audience::from_static("https://orders.example");
const BILLING: Audience = Audience::from_static("https://billing.example");
const READ: Scope = Scope::from_static("orders:read");
const WRITE: Scope = Scope::from_static("orders:write");

fn ask(guard: &Guard, token: &str, requirement: impl Into<Require>) -> Result<String, Reason> {
    let request = Request::get("/orders").header("authorization", format!("Bearer {token}"));
    let (mut head, ()) = request.body(()).unwrap().into_parts();
    let granted = guard.authorize(&mut head, requirement.into()).now().unwrap();
    granted.map(|grant| grant.subject().name().to_owned()).map_err(|denial| denial.reason())
}

fn token(login: &TestIssuer) -> String {
    login.token(&ORDERS).subject("alice").scope("orders:read").sign()
}

#[test]
fn a_remembered_token_is_granted_again_with_the_same_claims() {
    let login = TestIssuer::new(LOGIN);
    let guard = Guard::new(ORDERS, login.issuer());
    let token = token(&login);
    for _ in 0..3 {
        assert_eq!(ask(&guard, &token, READ).as_deref(), Ok("alice"));
    }
}

// CVE-2021-32701 (Ory Oathkeeper): what one route required was not required at another.
#[test]
fn a_remembered_token_is_asked_for_every_requirement_anew() {
    let login = TestIssuer::new(LOGIN);
    let guard = Guard::new(ORDERS, login.issuer());
    let token = token(&login);
    assert!(ask(&guard, &token, READ).is_ok());
    assert_eq!(ask(&guard, &token, WRITE), Err(Reason::InsufficientScope));
}

// lua-resty-openidc, issue 399: a token passed although another audience and another issuer were required.
#[test]
fn a_guard_that_is_set_up_differently_remembers_nothing() {
    let login = TestIssuer::new(LOGIN);
    let orders = Guard::new(ORDERS, login.issuer());
    let token = token(&login);
    assert!(ask(&orders, &token, READ).is_ok());
    let billing = Guard::new(BILLING, login.issuer());
    assert_eq!(ask(&billing, &token, READ), Err(Reason::AudienceMismatch));
    let strict = orders.clone().limits(TokenLimits::default().max_lifetime(Duration::from_secs(1)));
    assert_eq!(ask(&strict, &token, READ), Err(Reason::TokenLifetimeExceeded));
    assert!(ask(&orders, &token, READ).is_ok());
}

// GHSA-4mq7-pvjg-xp2r (Ory Oathkeeper): a token that one server had accepted passed as one of another.
#[test]
fn a_token_is_remembered_for_its_own_issuer_alone() {
    let (login, other) = (TestIssuer::new(LOGIN), TestIssuer::new("https://other.example"));
    let guard = Guard::new(ORDERS, login.issuer()).trust(other.issuer());
    let token = token(&login);
    assert!(ask(&guard, &token, READ).is_ok());
    let without = Guard::new(ORDERS, other.issuer());
    assert_eq!(ask(&without, &token, READ), Err(Reason::IssuerUntrusted));
}

// CVE-2026-35030 (LiteLLM): tokens with the same beginning counted as one.
// CVE-2026-35039 (fast-jwt): tokens with some of the same claims counted as one.
#[test]
fn no_part_of_a_remembered_token_stands_for_the_whole() {
    let login = TestIssuer::new(LOGIN);
    let guard = Guard::new(ORDERS, login.issuer());
    let alice = token(&login);
    let bob = login.token(&ORDERS).subject("bob").scope("orders:read").sign();
    assert_eq!(ask(&guard, &alice, READ).as_deref(), Ok("alice"));
    assert_eq!(ask(&guard, &bob, READ).as_deref(), Ok("bob"));
    let split = |token: &str| {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        (signed.to_owned(), signature.to_owned())
    };
    let ((a, a_signature), (b, b_signature)) = (split(&alice), split(&bob));
    for forged in [format!("{a}.{b_signature}"), format!("{b}.{a_signature}")] {
        assert_eq!(ask(&guard, &forged, READ), Err(Reason::SignatureInvalid));
    }
    // each place of the signature counts
    for at in 0..a_signature.len() - 1 {
        let mut signature = a_signature.clone().into_bytes();
        signature[at] = if signature[at] == b'A' { b'B' } else { b'A' };
        let forged = format!("{a}.{}", String::from_utf8(signature).unwrap());
        assert!(ask(&guard, &forged, READ).is_err(), "{at}");
    }
    assert_eq!(ask(&guard, &alice, READ).as_deref(), Ok("alice"));
}

#[test]
fn a_withdrawn_key_ends_its_remembered_tokens_at_once() {
    let login = TestIssuer::new(LOGIN);
    let keys = Arc::new(Mutex::new(Some(login.keys())));
    let source = keys.clone();
    let issuer = Issuer::new(LOGIN, move |_: KeyHint<'_>| -> Keys {
        let keys = source.lock().unwrap().clone();
        Answer::Now(keys.ok_or_else(|| KeysUnavailable::new("away")))
    });
    let guard = Guard::new(ORDERS, issuer);
    let token = token(&login);
    assert!(ask(&guard, &token, READ).is_ok());
    *keys.lock().unwrap() = None;
    assert_eq!(ask(&guard, &token, READ), Err(Reason::KeysUnavailable));
    *keys.lock().unwrap() = Some(login.keys());
    assert!(ask(&guard, &token, READ).is_ok());
    *keys.lock().unwrap() = Some(TestIssuer::new(LOGIN).keys());
    assert!(ask(&guard, &token, READ).is_err());
}

#[test]
fn a_tenant_that_is_approved_no_more_is_refused_though_its_token_is_remembered() {
    let login = TestIssuer::new("https://login.example/acme/v2.0");
    let approved = Arc::new(AtomicBool::new(true));
    let (approve, keys) = (approved.clone(), login.keys());
    let issuer = Issuer::tenants(
        "https://login.example/{tenant}/v2.0",
        move |_| approve.load(Ordering::Relaxed),
        move |_| Ok(keys.clone()),
    );
    let guard = Guard::new(ORDERS, issuer.unwrap());
    let token = token(&login);
    assert!(ask(&guard, &token, READ).is_ok());
    assert!(ask(&guard, &token, READ).is_ok());
    approved.store(false, Ordering::Relaxed);
    assert_eq!(ask(&guard, &token, READ), Err(Reason::IssuerUntrusted));
}

#[test]
fn a_remembered_token_expires_and_grows_too_old() {
    let login = TestIssuer::new(LOGIN);
    let clock = Arc::new(AtomicI64::new(UtcDateTime::now().unix_timestamp()));
    let now = clock.clone();
    let guard = Guard::new(ORDERS, login.issuer())
        .clock(move || UtcDateTime::from_unix_timestamp(now.load(Ordering::Relaxed)).unwrap())
        .limits(TokenLimits::default().max_token_age(Duration::from_secs(100)));
    let long = login.token(&ORDERS).scope("orders:read").sign();
    let short = login.token(&ORDERS).scope("orders:read").lifetime(Duration::from_secs(60)).sign();
    assert!(ask(&guard, &long, READ).is_ok() && ask(&guard, &short, READ).is_ok());
    clock.fetch_add(95, Ordering::Relaxed);
    assert!(ask(&guard, &long, READ).is_ok());
    assert_eq!(ask(&guard, &short, READ), Err(Reason::TokenExpired));
    clock.fetch_add(60, Ordering::Relaxed);
    assert_eq!(ask(&guard, &long, READ), Err(Reason::TokenLifetimeExceeded));
}
