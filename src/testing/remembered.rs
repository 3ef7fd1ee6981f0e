//! What a guard remembers, seen from inside: here, since it takes tokens.

use http::Request;
use time::UtcDateTime;

use super::TestIssuer;
use crate::credential::Credential;
use crate::guard::Guard;
use crate::names::{Audience, Scope};
use crate::token::TokenLimits;

const ORDERS: Audience = Audience::from_static("https://orders.example");
const READ: Scope = Scope::from_static("orders:read");

/// Is this token remembered?
fn knows(guard: &Guard, credential: &Credential, at: UtcDateTime) -> bool {
    guard.known(guard.place(credential), credential, at).is_some()
}

/// Is the token of this request remembered, once it was judged?
fn is_known(guard: &Guard, token: &str) -> bool {
    let request = Request::get("/").header("authorization", format!("Bearer {token}"));
    let (mut head, ()) = request.body(()).unwrap().into_parts();
    let credential = Credential::from_headers(&head.headers, 16_384).unwrap();
    let _ = guard.authorize(&mut head, READ).now().unwrap();
    knows(guard, &credential, UtcDateTime::now())
}

#[test]
fn a_token_is_remembered_once_it_was_validated_whatever_was_decided() {
    let login = TestIssuer::new("https://login.example");
    let guard = Guard::new(ORDERS, login.issuer());
    let scoped = |scope| login.token(&ORDERS).scope(scope).sign();
    assert!(is_known(&guard, &scoped("orders:read")));
    assert!(is_known(&guard, &scoped("nothing")));
    assert!(!is_known(&guard.clone().token_cache_capacity(0), &scoped("orders:read")));
}

#[test]
fn a_token_that_is_not_valid_is_not_remembered() {
    let login = TestIssuer::new("https://login.example");
    let guard = Guard::new(ORDERS, login.issuer());
    let elsewhere = Audience::from_static("https://billing.example");
    assert!(!is_known(&guard, &login.token(&elsewhere).scope("orders:read").sign()));
    let stranger = TestIssuer::new("https://login.example");
    assert!(!is_known(&guard, &stranger.token(&ORDERS).scope("orders:read").sign()));
}

#[test]
fn a_change_of_the_settings_forgets_and_clones_share() {
    let login = TestIssuer::new("https://login.example");
    let guard = Guard::new(ORDERS, login.issuer());
    let token = login.token(&ORDERS).scope("orders:read").sign();
    assert!(is_known(&guard, &token));
    let request = Request::get("/").header("authorization", format!("Bearer {token}"));
    let (head, ()) = request.body(()).unwrap().into_parts();
    let credential = Credential::from_headers(&head.headers, 16_384).unwrap();
    let now = UtcDateTime::now();
    assert!(knows(&guard.clone(), &credential, now));
    assert!(!knows(
        &guard.clone().limits(TokenLimits::default().single_audience()),
        &credential,
        now
    ));
    login.rotate();
    assert!(!knows(&guard, &credential, now));
}
