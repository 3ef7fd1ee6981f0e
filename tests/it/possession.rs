//! Regressions: what once let a wrong proof, token or certificate pass, or refused a good one.

use std::sync::Arc;

use crate::common::{self, *};
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{HeaderValue, Request};
use serde_json::json;
use tower::ServiceExt;
use unconfused::profile::Profile;
use unconfused::proof::{ClientCertificate, Dpop, Nonces, Possession};
use unconfused::replay::{Remembered, ReplayEntry, ReplayStore};
use unconfused::token::{Credential, TokenLimits, UnverifiedToken};
use unconfused::{Audience, Denial, Grant, Guard, Reason, Require, Scope};

const READ: Scope = Scope::from_static("orders:read");
const BILLING: Audience = Audience::from_static("https://billing.example");

fn once() -> Require {
    Require::scope(READ).single_use()
}

fn reason(answer: Result<Grant, Denial>) -> Option<Reason> {
    answer.err().map(|denial| denial.reason())
}

fn named(first: Audience, second: Audience) -> Guard {
    Guard::new(first, login().issuer()).also_accept(second).clock(now)
}

#[test]
fn a_token_is_spent_once_at_guards_that_list_their_names_in_another_order() {
    let shared = Arc::new(store());
    let one = named(ORDERS, BILLING).replay(shared.clone());
    let other = named(BILLING, ORDERS).replay(shared);
    let token = token().scope("orders:read");
    assert_eq!(reason(ask(&one, &token, once())), None);
    assert_eq!(reason(ask(&other, &token, once())), Some(Reason::TokenSpent));
}

#[test]
fn a_token_is_spent_once_at_guards_of_another_leeway() {
    let shared = Arc::new(store());
    let strict = guard().limits(TokenLimits::default().leeway(secs(0))).replay(shared.clone());
    let token = token().scope("orders:read").lifetime(secs(100));
    assert_eq!(reason(ask(&strict, &token, once())), None);
    let lenient = guard()
        .limits(TokenLimits::default().leeway(secs(60)))
        .replay(shared.clone())
        .clock(|| at(150));
    // What has expired is swept as others come.
    let fresh = common::token().scope("orders:read").issued_at(at(150));
    assert_eq!(reason(ask(&lenient, &fresh, once())), None);
    assert_eq!(reason(ask(&lenient, &token, once())), Some(Reason::TokenSpent));
}

#[tokio::test]
async fn routes_for_nonces_are_the_requests_own_inside_nested_routers() {
    let guard = guard()
        .dpop(dpop().nonces(Nonces::new([1; 32])), store())
        .require_nonce_if(|_, path| path.starts_with("/payments"));
    let payments = Router::new().route("/new", get(|| async {})).layer(guard.require(READ));
    let app = Router::new().nest("/payments", payments);
    let raw = bound().sign();
    let proof = proof(&raw).claim("htu", "https://orders.example/payments/new").sign();
    let request = Request::get("/payments/new")
        .header("authorization", format!("DPoP {raw}"))
        .header("dpop", proof);
    let response = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 401);
}

#[test]
fn a_proof_is_accepted_once_at_guards_that_list_their_names_in_another_order() {
    let shared = Arc::new(store());
    let one = named(ORDERS, BILLING).dpop(dpop(), shared.clone());
    let other = named(BILLING, ORDERS).dpop(dpop(), shared);
    let raw = bound().sign();
    let proof = proof(&raw);
    assert_eq!(reason(ask_with_proof(&one, &raw, &proof, READ)), None);
    let again = ask_with_proof(&other, &raw, &proof, READ);
    assert_eq!(reason(again), Some(Reason::DpopProofReplayed));
}

#[test]
fn a_quote_that_is_never_closed_does_not_hide_the_element_of_the_closest_proxy() {
    let (evil, real) = ("e".repeat(64), "a".repeat(64));
    // What a client sent, and what an appending proxy added after it.
    let field = format!("Hash={evil};Subject=\",By=x;Hash={real};Subject=\"CN=a\"");
    let evil = ClientCertificate::from_xfcc(&format!("Hash={evil}")).unwrap();
    assert_ne!(ClientCertificate::from_xfcc(&field), Some(evil));
}

#[test]
fn a_path_does_not_climb_out_of_the_base() {
    let dpop = Dpop::for_base_url("https://orders.example/v1").unwrap();
    let guard = guard().dpop(dpop, store());
    let raw = bound().sign();
    // Made for another service of the host.
    let proof = proof(&raw).claim("htu", "https://orders.example/admin").sign();
    for path in ["/../admin", "/x/../../admin", "/%2e%2e/admin"] {
        let mut head = dpop_head(path, &raw, &[&proof]);
        let answer = guard.authorize(&mut head, READ).now().unwrap();
        assert_eq!(reason(answer), Some(Reason::DpopUriMismatch), "{path}");
    }
}

#[test]
fn a_token_that_names_no_audience_is_meant_for_several() {
    let profile = Profile::cognito().client_list_instead_of_audience(["c"]);
    let shared = Arc::new(store());
    let guard = |name: Audience| {
        Guard::new(name, login().issuer().profile(profile.clone()))
            .clock(now)
            .replay(shared.clone())
    };
    let token = token()
        .without_claim("aud")
        .client("c")
        .claim("token_use", "access")
        .without_header("typ")
        .scope("orders:read");
    let answers = [guard(ORDERS), guard(BILLING)].map(|guard| reason(ask(&guard, &token, once())));
    assert!(answers.contains(&Some(Reason::TokenSpent)), "{answers:?}");
}

#[test]
fn one_field_that_is_not_text_is_malformed() {
    let raw = bound().sign();
    let mut head = dpop_head("/orders", &raw, &[]);
    head.headers.insert("dpop", HeaderValue::from_bytes(b"\xff").unwrap());
    let denied = proof_guard().authorize(&mut head, READ).now().unwrap();
    assert_eq!(reason(denied), Some(Reason::DpopProofMalformed));
}

#[test]
fn the_challenge_to_a_spent_token_has_the_scope() {
    let guard = guard().replay(store());
    let token = token().scope("orders:read");
    assert_eq!(reason(ask(&guard, &token, once())), None);
    let denial = ask(&guard, &token, once()).unwrap_err();
    assert!(challenge(&denial).contains(r#"scope="orders:read""#), "{}", challenge(&denial));
}

#[test]
fn narrowing_at_another_guard_asks_for_a_nonce_if_the_owner_says_so() {
    let raw = bound().sign();
    let grant = ask_with_proof(&proof_guard(), &raw, &proof(&raw), READ).unwrap();
    let nowhere =
        guard().dpop(dpop().nonces(Nonces::new([1; 32])), store()).require_nonce_if(|_, _| false);
    assert_eq!(reason(nowhere.narrow(&grant, READ).now().unwrap()), None);
}

#[test]
fn a_guard_believes_its_own_source_alone() {
    let ours = ClientCertificate::from_der("ours");
    let bound = token().scope("orders:read").bound_to_certificate(ours);
    let lax = guard().client_certificate(move |_| Some(ours));
    let strict = guard().client_certificate(|_| None);
    let mut head = head("/orders", &[&bound.bearer()]);
    lax.authorize(&mut head, READ).now().unwrap().unwrap();
    let denied = strict.authorize(&mut head, READ).now().unwrap();
    assert_eq!(reason(denied), Some(Reason::ClientCertificateMissing));
}

#[test]
fn the_challenge_to_an_unknown_binding_has_the_algorithms() {
    let token = token().claim("cnf", json!({ "jwk": {} }));
    let denial = ask(&proof_guard(), &token, READ).unwrap_err();
    assert_eq!(denial.reason(), Reason::ConfirmationUnsupported);
    assert!(denial.challenge().unwrap().to_string().contains("algs="));
}

#[test]
fn the_window_is_the_same_with_a_store() {
    let raw = bound().sign();
    let oldest = ask_with_proof(&proof_guard(), &raw, &proof(&raw).issued_at(at(-60)), READ);
    assert_eq!(reason(oldest), None);
}

#[test]
fn a_denial_other_than_401_sends_a_nonce_too() {
    let raw = bound().sign();
    let nonces = || dpop().nonces(Nonces::new([1; 32]));
    let first = guard().dpop(nonces(), store());
    let denial = ask_with_proof(&first, &raw, &proof(&raw), READ).unwrap_err();
    let nonce = denial.headers()["dpop-nonce"].to_str().unwrap().to_owned();
    let late = guard().dpop(nonces(), store()).clock(|| at(200));
    let write = Scope::from_static("orders:write");
    let denial = ask_with_proof(&late, &raw, &proof(&raw).nonce(&nonce), write).unwrap_err();
    assert_eq!(denial.reason(), Reason::InsufficientScope);
    assert!(denial.headers().contains_key("dpop-nonce"));
}

#[test]
fn two_ports_are_not_a_port() {
    let raw = bound().sign();
    for htu in ["https://orders.example::443/orders", "https://orders.example:0443/orders"] {
        let proof = proof(&raw).claim("htu", htu);
        let denied = ask_with_proof(&proof_guard(), &raw, &proof, READ);
        assert!(reason(denied).is_some(), "{htu}");
    }
}

#[test]
fn a_proof_with_a_nonce_is_remembered_for_as_long_as_either_would_let_it_in() {
    let shared = Arc::new(store());
    let guard = |offset: fn() -> time::UtcDateTime, required: bool| {
        guard()
            .dpop(dpop().nonces(Nonces::new([1; 32])), shared.clone())
            .clock(offset)
            .require_nonce_if(move |_, _| required)
    };
    let raw = bound().lifetime(secs(1000)).sign();
    let denial = ask_with_proof(&guard(now, true), &raw, &proof(&raw), READ).unwrap_err();
    let nonce = denial.headers()["dpop-nonce"].to_str().unwrap().to_owned();
    let proof = proof(&raw).nonce(&nonce);
    let mut head = dpop_head("/orders", &raw, &[&proof.sign()]);
    assert_eq!(reason(guard(now, false).authorize(&mut head, READ).now().unwrap()), None);
    let again = ask_with_proof(&guard(|| at(100), true), &raw, &proof, READ);
    assert_eq!(reason(again), Some(Reason::DpopProofReplayed));
}

#[test]
fn a_percent_sign_gets_round_no_route_that_asks_for_nonces() {
    let guard = guard()
        .dpop(dpop().nonces(Nonces::new([1; 32])), store())
        .require_nonce_if(|_, path| path == "/accounts/root");
    let raw = bound().sign();
    let sent = |path: &str| {
        let proof = proof(&raw).claim("htu", "https://orders.example/accounts/root").sign();
        reason(guard.authorize(&mut dpop_head(path, &raw, &[&proof]), READ).now().unwrap())
    };
    for path in ["/accounts/root", "/accounts/%72oot", "/accounts/root?x"] {
        assert_eq!(sent(path), Some(Reason::DpopNonceRequired), "{path}");
    }
    assert_eq!(sent("/accounts/x/../root"), Some(Reason::DpopUriMismatch));
}

#[test]
fn dot_segments_get_round_no_route_that_asks_for_nonces() {
    let guard = guard()
        .dpop(dpop().nonces(Nonces::new([1; 32])), store())
        .require_nonce_if(|_, path| path.starts_with("/payments"));
    let raw = bound().sign();
    for path in ["/payments/../x", "/payments/%2e%2e/x"] {
        let proof = proof(&raw).claim("htu", "https://orders.example/x").sign();
        let refused = guard.authorize(&mut dpop_head(path, &raw, &[&proof]), READ).now().unwrap();
        assert_eq!(reason(refused), Some(Reason::DpopUriMismatch), "{path}");
    }
}

#[test]
fn the_plain_path_answers_with_challenge_and_nonce_like_a_guard() {
    let dpop = dpop().nonces(Nonces::new([1; 32]));
    let raw = bound().sign();
    let field = proof(&raw).sign();
    let head = dpop_head("/orders", &raw, &[&field]);
    let credential = Credential::from_headers(&head.headers, &TokenLimits::default()).unwrap();
    let refused = |possession: Possession<'_>| {
        let token =
            UnverifiedToken::parse(credential.expose()).unwrap().with_possession(possession);
        let validation = validation().dpop(dpop.clone());
        token.validate(&validation, &login().keys(), now())
    };
    let invalid = refused(Possession::dpop(&field, &http::Method::GET, "/orders")).unwrap_err();
    let denial = Denial::from(invalid).with_dpop(&dpop, Some(&credential), now());
    assert_eq!(denial.reason(), Reason::DpopNonceRequired);
    let nonce = dpop.nonce(now()).unwrap();
    assert_eq!(denial.headers()["dpop-nonce"], nonce);
    assert!(challenge(&denial).starts_with(r#"DPoP error="use_dpop_nonce""#));

    // With that nonce it passes, and a store accepts the proof once.
    let field = proof(&raw).nonce(&nonce).sign();
    let token = refused(Possession::dpop(&field, &http::Method::GET, "/orders")).unwrap();
    let store = store();
    let offer = || store.insert(ReplayEntry::for_proof(&token, now()).unwrap()).now().unwrap();
    assert_eq!(offer().unwrap(), Remembered::First);
    assert_eq!(offer().unwrap(), Remembered::Again);
    assert!(ReplayEntry::for_token(&token, now()).is_some());
    let several = validate(&common::token().claim("aud", json!([ORDERS.as_str(), "x"]))).unwrap();
    assert!(ReplayEntry::for_token(&several, now()).is_none());
    assert!(ReplayEntry::for_proof(&several, now()).is_none(), "it came without a proof");
}

#[test]
fn what_no_token_can_meet_is_refused_for_good_and_never_challenged() {
    let bound = Require::scope(READ).sender_constrained();
    for (guard, requirement) in [(guard(), bound), (guard().sender_constrained(), READ.into())] {
        let denial = ask(&guard, &token().scope("orders:read"), requirement).unwrap_err();
        assert_eq!((denial.reason(), denial.status().as_u16()), (Reason::PolicyDenied, 403));
        assert!(denial.challenge().is_none());
    }
}

#[test]
#[should_panic(expected = "the guard requires nonces and makes none")]
fn nonces_are_asked_for_nowhere_without_any() {
    let _ = guard().dpop(dpop(), store()).require_nonce_if(|_, _| true).require(READ);
}
