//! Tokens that count once: when they are spent, by whom, and what the record says.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use crate::common::{self, *};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::post;
use http::Request;
use http::request::Parts;
use proptest::prelude::*;
use tower::ServiceExt;
use unconfused::profile::Profile;
use unconfused::proof::ClientCertificate;
use unconfused::replay::{
    MemoryReplayStore, Remembered, ReplayAnswer, ReplayEntry, ReplayStore, StoreUnavailable,
};
use unconfused::testing::{TestProofKey, TestToken};
use unconfused::token::{TokenLimits, Validation};
use unconfused::{
    Acr, Answer, Audience, AuditEvent, Denial, Grant, Guard, Issuer, Reason, Require, Scope,
};

const READ: Scope = Scope::from_static("orders:read");
const WRITE: Scope = Scope::from_static("orders:write");
const METADATA: &str =
    r#"resource_metadata="https://orders.example/.well-known/oauth-protected-resource""#;

fn spending() -> Guard {
    guard().replay(store())
}

fn reader() -> TestToken {
    token().scope("orders:read")
}

fn once() -> Require {
    Require::scope(READ).single_use()
}

fn reason(answer: Result<Grant, Denial>) -> Option<Reason> {
    answer.err().map(|denial| denial.reason())
}

fn request(token: &TestToken) -> Parts {
    head("/orders", &[&token.bearer()])
}

/// Of each event its step and its reason.
type Events = Arc<Mutex<Vec<(u32, Option<Reason>)>>>;

/// The guard, and its record.
fn recorded(guard: Guard) -> (Guard, Events) {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let sink = kept.clone();
    let guard = guard.audit(move |event: &AuditEvent<'_>| {
        sink.lock().unwrap().push((event.step(), event.reason()));
    });
    (guard, kept)
}

/// A store that answers later, like one behind a network.
fn slow() -> impl ReplayStore {
    let memory = Arc::new(store());
    move |entry: ReplayEntry| -> ReplayAnswer {
        let memory = memory.clone();
        Answer::later(async move {
            tokio::task::yield_now().await;
            let answer = memory.insert(entry).await;
            tokio::task::yield_now().await;
            answer
        })
    }
}

#[test]
fn a_token_is_spent_once_and_then_never_again() {
    let guard = spending();
    let token = reader();
    assert_eq!(reason(ask(&guard, &token, once())), None);
    let again = ask(&guard, &token, once()).unwrap_err();
    assert_eq!(again.reason(), Reason::TokenSpent);
    assert_eq!(again.status(), 401);
    let challenge = challenge(&again);
    assert!(
        challenge.starts_with(
            r#"Bearer error="invalid_token", error_description="The access token can be used only once and has already been used""#
        ),
        "{challenge}"
    );
    assert!(challenge.ends_with(METADATA), "{challenge}");
    assert_eq!(reason(ask(&guard.clone(), &token, once())), Some(Reason::TokenSpent));
    // Where it does not count, it is as good as before; and another token is another.
    assert_eq!(reason(ask(&guard, &token, READ)), None);
    assert_eq!(reason(ask(&guard, &reader(), once())), None);
    // A new signature, or another claim, makes it no other token.
    let changed = token.clone().claim("x", 1).scope("orders:read orders:write");
    assert_eq!(reason(ask(&guard, &changed, once())), Some(Reason::TokenSpent));
}

#[test]
fn it_is_spent_after_everything_else() {
    let (store, asked) = store_that(|| Ok(Remembered::First));
    let guard = guard().replay(store).dpop(dpop(), common::store());
    let phr = Acr::from_static("phr");
    for (token, requirement, expected) in [
        (reader().expired(), once(), Reason::TokenExpired),
        (reader().forged_by(forger()), once(), Reason::SignatureInvalid),
        (reader(), Require::scope(WRITE).single_use(), Reason::InsufficientScope),
        (reader(), once().acr([phr.clone()]), Reason::AuthenticationContextMissing),
        (reader(), once().max_age(secs(1)), Reason::AuthenticationContextMissing),
        (reader(), once().client(["another"]), Reason::ClientNotAllowed),
        (reader(), once().delegated(), Reason::ActorRequired),
        (reader().actor("agent-7"), once().undelegated(), Reason::ActorUnauthorized),
        (reader().subject("test-client"), once().person(), Reason::SubjectAmbiguous),
        (reader(), once().sender_constrained(), Reason::SenderConstraintRequired),
        (reader().bound_to(proof_key()), once(), Reason::BoundTokenAsBearer),
    ] {
        assert_eq!(reason(ask(&guard, &token, requirement)), Some(expected));
        assert_eq!(asked.load(Ordering::SeqCst), 0, "{expected}");
    }
    assert_eq!(reason(ask(&guard, &reader(), once())), None);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn a_replayed_proof_spends_nothing() {
    let (spent, asked) = store_that(|| Ok(Remembered::First));
    let guard = proof_guard().replay(spent);
    let raw = bound().sign();
    let proof = proof(&raw);
    assert_eq!(reason(ask_with_proof(&guard, &raw, &proof, once())), None);
    let replayed = ask_with_proof(&guard, &raw, &proof, once());
    assert_eq!(reason(replayed), Some(Reason::DpopProofReplayed));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn proofs_and_tokens_do_not_meet_in_one_store() {
    let shared = Arc::new(store());
    let guard = guard().dpop(dpop(), shared.clone()).replay(shared.clone());
    let token = bound().claim("jti", "same");
    let raw = token.sign();
    let ask = |jti: &str| ask_with_proof(&guard, &raw, &proof(&raw).claim("jti", jti), once());
    assert_eq!(reason(ask("same")), None);
    assert_eq!(shared.len(), 2);
    assert_eq!(reason(ask("another")), Some(Reason::TokenSpent));
    let denial = ask("third").unwrap_err();
    let challenge = challenge(&denial);
    assert!(challenge.starts_with(r#"DPoP error="invalid_token""#), "{challenge}");
}

#[test]
fn what_the_store_answers_is_the_reason() {
    let denied = |answer: fn() -> Result<Remembered, StoreUnavailable>| {
        ask(&guard().replay(store_that(answer).0), &reader(), once()).unwrap_err()
    };
    assert_eq!(denied(|| Ok(Remembered::Again)).reason(), Reason::TokenSpent);
    assert_eq!(denied(|| Ok(Remembered::BeforeEpoch)).reason(), Reason::TokenSpent);
    let down = denied(|| Err(StoreUnavailable::new("down")));
    assert_eq!((down.reason(), down.status().as_u16()), (Reason::ReplayStoreUnavailable, 503));
    let full = denied(|| Ok(Remembered::ShareFull));
    assert_eq!((full.reason(), full.status().as_u16()), (Reason::RateLimited, 429));
    for denial in [down, full] {
        assert!(denial.headers().contains_key("retry-after"));
        assert!(denial.challenge().is_none());
    }
}

#[test]
fn a_token_from_before_the_store_may_have_been_spent() {
    let guard = guard().replay(MemoryReplayStore::new_at(now()));
    for (issued, expected) in [
        (-100, Some(Reason::TokenSpent)),
        (0, Some(Reason::TokenSpent)),
        // Within the leeway: its issuer's clock may be ahead.
        (30, Some(Reason::TokenSpent)),
    ] {
        let denied = ask(&guard, &reader().issued_at(at(issued)), once());
        assert_eq!(reason(denied), expected, "{issued}");
    }
    let later = guard.clock(|| at(31));
    assert_eq!(reason(ask(&later, &reader().issued_at(at(31)), once())), None);
}

// Set-up.

#[test]
fn without_a_store_a_layer_is_not_even_made() {
    for make in [
        |guard: &Guard| drop(guard.require(once())),
        |guard: &Guard| drop(guard.optional(once())),
        |guard: &Guard| drop(guard.require(Require::scope(READ).and(once()))),
    ] {
        let without = guard().dpop(dpop(), store());
        let panic = thread::spawn(move || make(&without)).join().unwrap_err();
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or(panic.downcast_ref::<String>().cloned()).unwrap();
        assert!(text.contains("Guard::replay"), "{text}");
        make(&spending());
    }
}

#[test]
fn without_a_store_what_was_not_known_before_is_an_internal_error() {
    let (guard, events) = recorded(guard());
    let mut head = request(&reader());
    let grant = guard.authorize(&mut head, READ).now().unwrap().unwrap();
    let denial = guard.narrow(&grant, once()).now().unwrap().unwrap_err();
    assert_eq!(denial.reason(), Reason::InternalError);
    assert_eq!(denial.status(), 500);
    assert!(denial.to_string().contains("Guard::replay"), "{denial}");
    assert!(denial.challenge().is_none());
    assert!(!denial.problem_json().contains("Guard::replay"));
    assert_eq!(*events.lock().unwrap(), [(0, None), (1, Some(Reason::InternalError))]);
    // What the token lacks is told first.
    let lacks = guard.narrow(&grant, Require::scope(WRITE).single_use()).now().unwrap();
    assert_eq!(reason(lacks), Some(Reason::InsufficientScope));
}

#[tokio::test]
async fn without_a_store_a_requirement_by_the_head_is_an_internal_error() {
    let app = Router::new()
        .route("/orders", post(|| async { "done" }).layer(guard().require_by(|_| once())));
    let request = Request::post("/orders").header("authorization", reader().bearer());
    let response = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 500);
    let denial = response.extensions().get::<Denial>().unwrap();
    assert!(denial.to_string().contains("Guard::replay"), "{denial}");
}

// Once a request.

#[test]
fn one_request_spends_its_token_once_however_often_it_is_asked() {
    let spent = Arc::new(store());
    let first = guard().replay(spent.clone());
    let second = guard().replay(spent.clone()).limits(TokenLimits::default().leeway(secs(1)));
    let mut head = request(&reader());
    let grant = first.authorize(&mut head, once()).now().unwrap().unwrap();
    assert!(first.authorize(&mut head, once()).now().unwrap().is_ok());
    assert!(first.narrow(&grant, once()).now().unwrap().is_ok());
    assert!(first.narrow(&grant, READ).now().unwrap().is_ok());
    let grant = second.authorize(&mut head, once()).now().unwrap().unwrap();
    assert!(grant.made_by(&second));
    assert!(second.narrow(&grant, READ).now().unwrap().is_ok());
    assert!(first.narrow(&grant, once()).now().unwrap().is_ok());
    assert_eq!(spent.len(), 1);
}

#[test]
fn narrowing_spends_and_a_failed_narrowing_does_not() {
    let guard = spending();
    let token = reader();
    let mut head = request(&token);
    let grant = guard.authorize(&mut head, READ).now().unwrap().unwrap();
    let more = Require::scope(WRITE).single_use();
    let lacks = guard.narrow(&grant, more).now().unwrap();
    assert_eq!(reason(lacks), Some(Reason::InsufficientScope));
    let spent = guard.narrow(&grant, Require::valid_token().single_use()).now().unwrap().unwrap();
    assert!(spent.requirement().is_single_use());
    // The grant of another request with that token.
    let mut head = request(&token);
    let other = guard.authorize(&mut head, READ).now().unwrap().unwrap();
    let denied = guard.narrow(&other, Require::valid_token().single_use()).now().unwrap();
    assert_eq!(reason(denied), Some(Reason::TokenSpent));
}

#[tokio::test]
async fn a_layer_spends_and_a_handler_may() {
    let guard = spending();
    let app = Router::new()
        .route("/layer", post(|| async { "done" }).layer(guard.require(once())))
        .route(
            "/handler",
            post(async |State(guard): State<Guard>, grant: Grant| {
                guard.narrow(&grant, Require::valid_token().single_use()).await.map(|_| "done")
            })
            .layer(guard.require(READ)),
        )
        .layer(guard.require(Require::valid_token()))
        .with_state(guard.clone());
    let send = async |path: &str, token: &TestToken| {
        let request = Request::post(path).header("authorization", token.bearer());
        let request = request.body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap().status().as_u16()
    };
    let (one, other) = (reader(), reader());
    assert_eq!(send("/layer", &one).await, 200);
    assert_eq!(send("/layer", &one).await, 401);
    assert_eq!(send("/handler", &one).await, 401);
    assert_eq!(send("/handler", &other).await, 200);
    assert_eq!(send("/handler", &other).await, 401);
    assert_eq!(send("/layer", &other).await, 401);
}

// What cannot be spent.

#[test]
fn a_token_for_several_audiences_or_without_an_id_cannot_be_spent() {
    let (counted, asked) = store_that(|| Ok(Remembered::First));
    let guard =
        Guard::new(ORDERS, login().issuer().profile(Profile::rfc9068().token_id_optional()));
    let guard = guard.clock(now).replay(counted);
    let several = reader().claim("aud", ["https://billing.example", ORDERS.as_str()]);
    for (token, why) in
        [(several, "not meant for one audience"), (reader().without_claim("jti"), "no id")]
    {
        let denial = ask(&guard, &token, once()).unwrap_err();
        assert_eq!(denial.reason(), Reason::TokenSpent);
        assert!(denial.to_string().contains(why), "{denial}");
        assert_eq!(reason(ask(&guard, &token, READ)), None);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    // A list of one is one.
    let one = reader().claim("aud", [ORDERS.as_str()]);
    assert_eq!(reason(ask(&guard, &one, once())), None);
}

#[test]
fn tokens_of_two_issuers_with_one_id_are_two() {
    let other = unconfused::testing::TestIssuer::new(OTHER);
    let guard = spending().trust(Issuer::new(OTHER, other.keys()));
    let ours = reader().claim("jti", "1");
    let theirs = other.token(&ORDERS).issued_at(now()).scope("orders:read").claim("jti", "1");
    assert_eq!(reason(ask(&guard, &ours, once())), None);
    assert_eq!(reason(ask(&guard, &theirs, once())), None);
    assert_eq!(reason(ask(&guard, &theirs, once())), Some(Reason::TokenSpent));
}

// The record.

#[test]
fn the_record_has_one_yes_for_a_token() {
    let (guard, events) = recorded(spending());
    let token = reader();
    for _ in 0..3 {
        let _ = ask(&guard, &token, once());
    }
    let spent = Some(Reason::TokenSpent);
    assert_eq!(*events.lock().unwrap(), [(0, None), (0, spent), (0, spent)]);
}

#[test]
fn steps_are_numbered_through_guards_and_narrowings() {
    let (first, events) = recorded(spending());
    let sink = events.clone();
    let second = guard().replay(store()).audit(move |event: &AuditEvent<'_>| {
        sink.lock().unwrap().push((event.step(), event.reason()));
    });
    let mut head = request(&reader());
    first.authorize(&mut head, READ).now().unwrap().unwrap();
    let grant = second.authorize(&mut head, READ).now().unwrap().unwrap();
    let more = Require::scope(WRITE).single_use();
    assert!(second.narrow(&grant, more).now().unwrap().is_err());
    second.narrow(&grant, once()).now().unwrap().unwrap();
    let lacks = Some(Reason::InsufficientScope);
    assert_eq!(*events.lock().unwrap(), [(0, None), (1, None), (2, lacks), (3, None)]);
}

#[tokio::test]
async fn a_slow_store_is_waited_for_and_recorded_once() {
    let (guard, events) = recorded(guard().replay(slow()));
    let token = reader();
    let mut first = request(&token);
    assert!(guard.authorize(&mut first, once()).await.is_ok());
    let mut second = request(&token);
    assert_eq!(reason(guard.authorize(&mut second, once()).await), Some(Reason::TokenSpent));
    assert_eq!(*events.lock().unwrap(), [(0, None), (0, Some(Reason::TokenSpent))]);
    // The token is spent, even if the answer is never awaited.
    let token = reader();
    drop(guard.authorize(&mut request(&token), once()));
    assert!(guard.authorize(&mut request(&token), once()).await.is_ok());
}

#[test]
fn there_is_no_waiting_between_the_answer_of_a_store_and_the_record() {
    use std::future::Future as _;
    use std::future::IntoFuture as _;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    let answered = Arc::new(AtomicUsize::new(0));
    let counter = answered.clone();
    let store = move |_: ReplayEntry| -> ReplayAnswer {
        let counter = counter.clone();
        Answer::later(async move {
            tokio::task::yield_now().await;
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(Remembered::First)
        })
    };
    let (guard, events) = recorded(guard().dpop(dpop(), common::store()).replay(store));
    let raw = bound().sign();
    let mut head = dpop_head("/orders", &raw, &[&proof(&raw).sign()]);
    let mut answer = pin!(guard.authorize(&mut head, once()).into_future());
    let mut context = Context::from_waker(Waker::noop());
    loop {
        let poll = answer.as_mut().poll(&mut context);
        let recorded = events.lock().unwrap().len();
        assert_eq!(recorded, answered.load(Ordering::SeqCst));
        if let Poll::Ready(answer) = poll {
            assert!(answer.is_ok());
            break;
        }
    }
    assert_eq!(*events.lock().unwrap(), [(0, None)]);
}

// Many at once.

#[test]
fn of_many_at_two_guards_one_spends() {
    const THREADS: usize = 64;
    const ROUNDS: usize = 1000;
    let shared =
        Arc::new(MemoryReplayStore::with_capacity_at(100_000, at(-100_000)).max_share_percent(100));
    let allowed = Arc::new(AtomicUsize::new(0));
    let guards: Vec<_> = (0..2)
        .map(|_| {
            let allowed = allowed.clone();
            guard().replay(shared.clone()).audit(move |event: &AuditEvent<'_>| {
                if event.reason().is_none() {
                    allowed.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let fields: Vec<_> = (0..ROUNDS).map(|_| reader().bearer()).collect();
    let granted: Vec<_> = (0..ROUNDS).map(|_| AtomicUsize::new(0)).collect();
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let guard = &guards[number % 2];
            let (fields, granted, barrier) = (&fields, &granted, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for (field, granted) in fields.iter().zip(granted) {
                    let mut head = head("/orders", &[field]);
                    match guard.authorize(&mut head, once()).now().unwrap() {
                        Ok(_) => {
                            granted.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(denial) => assert_eq!(denial.reason(), Reason::TokenSpent),
                    }
                }
            });
        }
    });
    assert!(granted.iter().all(|granted| granted.load(Ordering::SeqCst) == 1));
    assert_eq!(allowed.load(Ordering::SeqCst), ROUNDS);
    assert_eq!(shared.len(), ROUNDS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_tasks_at_a_slow_store_one_spends() {
    let (guard, events) = recorded(guard().replay(slow()));
    for _ in 0..20 {
        let field = reader().bearer();
        let tasks: Vec<_> = (0..64)
            .map(|_| {
                let (guard, field) = (guard.clone(), field.clone());
                tokio::spawn(async move {
                    let mut head = head("/orders", &[&field]);
                    guard.authorize(&mut head, once()).await.is_ok()
                })
            })
            .collect();
        let mut granted = 0;
        for task in tasks {
            granted += usize::from(task.await.unwrap());
        }
        assert_eq!(granted, 1);
    }
    let events = events.lock().unwrap();
    assert_eq!(events.iter().filter(|(_, reason)| reason.is_none()).count(), 20);
    assert_eq!(events.len(), 20 * 64);
}

// Single use as a requirement.

#[test]
fn it_is_printed_and_compared() {
    let require = once().sender_constrained();
    let text = require.to_string();
    assert!(text.contains("single_use") && text.contains("sender_constrained"), "{text}");
    assert_ne!(once(), Require::scope(READ));
    assert_ne!(Require::valid_token().sender_constrained(), Require::valid_token());
    assert!(once().is_single_use() && !Require::scope(READ).is_single_use());
    assert!(!require.is_unmeetable());
}

fn requirement() -> impl Strategy<Value = Require> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    flags.prop_map(|(scope, person, bound, once)| {
        let mut require = Require::valid_token();
        if scope {
            require = require.and(READ);
        }
        if person {
            require = require.person();
        }
        if bound {
            require = require.sender_constrained();
        }
        if once {
            require = require.single_use();
        }
        require
    })
}

proptest! {
    /// What either asks, both ask.
    #[test]
    fn both_requirements_are_met_where_each_is(
        one in requirement(),
        other in requirement(),
        is_bound in any::<bool>(),
        reads in any::<bool>(),
    ) {
        let both = one.clone().and(&other);
        prop_assert_eq!(both.is_single_use(), one.is_single_use() || other.is_single_use());
        let certificate = ClientCertificate::from_der("ours");
        let mut token = token().scope(if reads { "orders:read" } else { "x" });
        if is_bound {
            token = token.bound_to_certificate(certificate);
        }
        let raw = token.sign();
        let possession = unconfused::proof::Possession::bearer().certificate(certificate);
        let token = unconfused::token::UnverifiedToken::parse(&raw).unwrap().with_possession(possession);
        let validation = Validation::new(ORDERS, LOGIN);
        let token = token.validate(&validation, &login().keys(), now()).unwrap();
        let met = |require: &Require| require.check(&token, now()).is_ok();
        prop_assert_eq!(met(&both), met(&one) && met(&other));
        prop_assert_eq!(met(&other.and(&one)), met(&both));
    }
}

#[test]
fn a_token_with_the_id_of_another_for_another_name_of_the_resource_is_another() {
    const ALIAS: Audience = Audience::from_static("https://alias.example");
    let guard = spending().also_accept(ALIAS);
    let token = reader();
    let renamed = token.clone().claim("aud", ALIAS.as_str());
    assert_eq!(reason(ask(&guard, &token, once())), None);
    assert_eq!(reason(ask(&guard, &renamed, once())), None);
    assert_eq!(reason(ask(&guard, &renamed, once())), Some(Reason::TokenSpent));
}

// Shares of a store.

/// A store in which a subject has 20 entries, of which one client has 10.
fn small() -> Arc<MemoryReplayStore> {
    Arc::new(MemoryReplayStore::with_capacity_at(400, at(-1000)))
}

fn of(subject: &str, client: &str) -> TestToken {
    reader().subject(subject).client(client)
}

/// How many of so many requests with a new token are granted. Each other one is refused for the share.
fn granted(guard: &Guard, token: impl Fn() -> TestToken, requests: usize) -> usize {
    let refused = |denial: Denial| assert_eq!(denial.reason(), Reason::RateLimited, "{denial}");
    let grants = (0..requests).map(|_| ask(guard, &token(), once()).map_err(refused));
    grants.filter(Result::is_ok).count()
}

#[test]
fn one_client_fills_no_more_than_its_share_whatever_number_of_proof_keys_it_has() {
    for (keys, proofs_of_each) in [(20, 20), (1000, 1)] {
        let guard = guard().dpop(dpop(), small());
        let ask_by = |key: &TestProofKey, subject: &str| {
            let raw = of(subject, "assistant").bound_to(key).sign();
            let proof = key.proof("GET", common::URL).issued_at(now()).token(&raw);
            reason(ask_with_proof(&guard, &raw, &proof, READ))
        };
        let keys: Vec<_> = (0..keys).map(|_| TestProofKey::new()).collect();
        let mut passed = 0;
        for key in &keys {
            for _ in 0..proofs_of_each {
                match ask_by(key, "mallory") {
                    None => passed += 1,
                    Some(refused) => assert_eq!(refused, Reason::RateLimited),
                }
            }
        }
        let other = ask_by(proof_key(), "alice");
        assert_eq!((passed, other), (10, None), "with {} keys", keys.len());
    }
}

#[test]
fn one_user_of_a_client_at_its_limit_does_not_lock_out_another_user() {
    let guard = guard().replay(small());
    assert_eq!(granted(&guard, || of("mallory", "assistant"), 30), 10);
    assert_eq!(granted(&guard, || of("alice", "assistant"), 10), 10);
}

#[test]
fn one_client_of_a_user_at_its_limit_does_not_lock_out_the_users_other_client() {
    let guard = guard().replay(small());
    assert_eq!(granted(&guard, || of("alice", "rogue"), 30), 10);
    assert_eq!(granted(&guard, || of("alice", "assistant"), 30), 10);
    // Two clients have all of the subject's share, and a third has no share of its own.
    assert_eq!(granted(&guard, || of("alice", "registered just now"), 5), 0);
}

#[test]
fn a_user_has_one_share_whatever_number_of_clients_it_registers() {
    let store = small();
    let guard = guard().replay(store.clone());
    let clients = 0..100;
    let of_client = |number| granted(&guard, || of("mallory", &format!("client {number}")), 1);
    assert_eq!(clients.map(of_client).sum::<usize>(), 20);
    assert_eq!(store.len(), 20);
    assert_eq!(granted(&guard, || of("alice", "client 0"), 10), 10);
}

#[test]
fn a_client_that_acts_for_itself_is_its_own_subject() {
    let guard = guard().replay(small());
    assert_eq!(granted(&guard, || of("robot", "robot"), 30), 10);
    assert_eq!(granted(&guard, || of("alice", "robot"), 10), 10);
    assert_eq!(granted(&guard, || of("another robot", "another robot"), 10), 10);
}

#[test]
fn subjects_of_one_name_of_two_issuers_have_two_shares() {
    let other = unconfused::testing::TestIssuer::new(OTHER);
    let guard = guard().trust(Issuer::new(OTHER, other.keys())).replay(small());
    let theirs = || {
        let token = other.token(&ORDERS).issued_at(now()).scope("orders:read");
        token.subject("alice").client("assistant")
    };
    assert_eq!(granted(&guard, theirs, 30), 10);
    assert_eq!(granted(&guard, || of("alice", "assistant"), 10), 10);
}

#[test]
fn proofs_and_tokens_in_one_store_have_one_share() {
    let store = small();
    let guard = guard().dpop(dpop(), store.clone()).replay(store.clone());
    let mut reasons = Vec::new();
    for _ in 0..6 {
        let raw = of("alice", "assistant").bound_to(proof_key()).sign();
        reasons.push(reason(ask_with_proof(&guard, &raw, &proof(&raw), once())));
    }
    assert_eq!(reasons, [None, None, None, None, None, Some(Reason::RateLimited)]);
    assert_eq!(store.len(), 10);
}
