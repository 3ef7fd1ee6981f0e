//! Tokens that count once: when they are spent, by whom, and what the record says.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Waker};
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
    // A token that does not count once is as good as before, and another token is another.
    assert_eq!(reason(ask(&guard, &token, READ)), None);
    assert_eq!(reason(ask(&guard, &reader(), once())), None);
    // A new signature or another claim does not make it another token.
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
        (reader(), once().client([(LOGIN, "another")]), Reason::ClientNotAllowed),
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
    assert!(denial.for_operator().to_string().contains("Guard::replay"), "{denial}");
    assert!(denial.challenge().is_none());
    assert!(!denial.problem_json().contains("Guard::replay"));
    assert_eq!(*events.lock().unwrap(), [(0, None), (1, Some(Reason::InternalError))]);
    // What the token lacks comes first.
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
    assert!(denial.for_operator().to_string().contains("Guard::replay"), "{denial}");
}

// Once for each request.

#[test]
fn the_layers_of_a_request_and_its_first_narrow_that_spends_count_as_one() {
    let spent = Arc::new(store());
    let first = guard().replay(spent.clone());
    let second = guard().replay(spent.clone()).limits(TokenLimits::default().leeway(secs(1)));
    let mut head = request(&reader());
    let grant = first.authorize(&mut head, once()).now().unwrap().unwrap();
    assert!(first.authorize(&mut head, once()).now().unwrap().is_ok());
    let inner = second.authorize(&mut head, once()).now().unwrap().unwrap();
    assert!(inner.made_by(&second));
    assert!(first.narrow(&grant, once()).now().unwrap().is_ok());
    assert_eq!(spent.len(), 1);
    // Each further one is a second use, at whichever guard and of whichever grant of the request.
    for (guard, grant) in [(&first, &grant), (&first, &inner), (&second, &grant), (&second, &inner)]
    {
        let again = guard.narrow(grant, once()).now().unwrap().unwrap_err();
        assert_eq!((again.reason(), again.status().as_u16()), (Reason::TokenSpent, 401));
        assert!(challenge(&again).contains(r#"scope="orders:read""#), "{}", challenge(&again));
    }
    assert_eq!(spent.len(), 1);
}

#[test]
fn a_narrow_that_does_not_spend_itself_passes_though_the_grant_has_spent() {
    let spent = Arc::new(store());
    let first = guard().replay(spent.clone());
    let second = guard().replay(spent.clone()).limits(TokenLimits::default().leeway(secs(1)));
    let mut head = request(&reader());
    let grant = first.authorize(&mut head, READ).now().unwrap().unwrap();
    let spending = first.narrow(&grant, once()).now().unwrap().unwrap();
    assert!(spending.requirement().is_single_use());
    for guard in [&first, &second] {
        for grant in [&grant, &spending] {
            assert_eq!(reason(guard.narrow(grant, READ).now().unwrap()), None);
        }
        let again = guard.narrow(&spending, once()).now().unwrap();
        assert_eq!(reason(again), Some(Reason::TokenSpent));
    }
    assert_eq!(spent.len(), 1);
}

#[test]
fn of_many_narrows_at_two_guards_one_spends() {
    const THREADS: usize = 16;
    const ROUNDS: usize = 200;
    let shared =
        Arc::new(MemoryReplayStore::with_capacity_at(100_000, at(-100_000)).max_share_percent(100));
    let guards = [
        guard().replay(shared.clone()),
        guard().replay(shared.clone()).limits(TokenLimits::default().leeway(secs(1))),
    ];
    for by_layer in [READ.into(), once()] {
        let by_layer: Require = by_layer;
        let grants: Vec<_> = (0..ROUNDS)
            .map(|_| {
                let mut head = request(&reader());
                guards[0].authorize(&mut head, &by_layer).now().unwrap().unwrap()
            })
            .collect();
        let narrowed: Vec<_> = (0..ROUNDS).map(|_| AtomicUsize::new(0)).collect();
        let barrier = Barrier::new(THREADS);
        thread::scope(|scope| {
            for number in 0..THREADS {
                let guard = &guards[number % 2];
                let (grants, narrowed, barrier) = (&grants, &narrowed, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    for (grant, narrowed) in grants.iter().zip(narrowed) {
                        match guard.narrow(grant, once()).now().unwrap() {
                            Ok(_) => {
                                narrowed.fetch_add(1, Ordering::SeqCst);
                            }
                            Err(denial) => assert_eq!(denial.reason(), Reason::TokenSpent),
                        }
                    }
                });
            }
        });
        let most = narrowed.iter().map(|narrowed| narrowed.load(Ordering::SeqCst)).max();
        let fewest = narrowed.iter().map(|narrowed| narrowed.load(Ordering::SeqCst)).min();
        assert_eq!((fewest, most), (Some(1), Some(1)), "of {THREADS} narrows, after {by_layer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_narrows_at_a_slow_store_one_spends() {
    let shared = Arc::new(slow());
    let guards = [
        guard().replay(shared.clone()),
        guard().replay(shared.clone()).limits(TokenLimits::default().leeway(secs(1))),
    ];
    for _ in 0..20 {
        let mut head = request(&reader());
        let grant = guards[0].authorize(&mut head, READ).await.unwrap();
        let tasks: Vec<_> = (0..32)
            .map(|number| {
                let (guard, grant) = (guards[number % 2].clone(), grant.clone());
                tokio::spawn(async move { reason(guard.narrow(&grant, once()).await) })
            })
            .collect();
        let mut granted = 0;
        for task in tasks {
            match task.await.unwrap() {
                None => granted += 1,
                Some(reason) => assert_eq!(reason, Reason::TokenSpent),
            }
        }
        assert_eq!(granted, 1);
    }
}

#[test]
fn a_narrow_whose_store_failed_may_be_repeated() {
    use Remembered::{Again, First};
    let answers = Arc::new(Mutex::new(vec![Ok(First), Err("down"), Ok(Remembered::ShareFull)]));
    let next = answers.clone();
    let guard = guard().replay(move |_: ReplayEntry| -> ReplayAnswer {
        let answer = next.lock().unwrap().pop().unwrap();
        Answer::Now(answer.map_err(StoreUnavailable::new))
    });
    let grant = ask(&guard, &reader(), READ).unwrap();
    let narrow = || reason(guard.narrow(&grant, once()).now().unwrap());
    let seen = [narrow(), narrow(), narrow(), narrow()];
    let spent = Some(Reason::TokenSpent);
    let (full, down) = (Some(Reason::RateLimited), Some(Reason::ReplayStoreUnavailable));
    assert_eq!(seen, [full, down, None, spent]);
    assert!(answers.lock().unwrap().is_empty());
    // If the failed one did spend it, the store says so.
    answers.lock().unwrap().extend([Ok(Again), Err("lost")]);
    let grant = ask(&guard, &reader(), READ).unwrap();
    let narrow = || reason(guard.narrow(&grant, once()).now().unwrap());
    assert_eq!([narrow(), narrow()], [down, spent]);
}

#[test]
fn after_a_narrow_that_was_dropped_the_store_decides() {
    let (guard, events) = recorded(guard().replay(slow()));
    // `slow` inserts when it is polled for the second time.
    for (polls, expected) in [(0, None), (1, None), (2, Some(Reason::TokenSpent))] {
        let grant = ask(&guard, &reader(), READ).unwrap();
        let mut context = Context::from_waker(Waker::noop());
        let mut narrow = pin!(guard.narrow(&grant, once()));
        for _ in 0..polls {
            assert!(narrow.as_mut().poll(&mut context).is_pending());
        }
        // While it is there, it is the one that spends.
        let other = guard.narrow(&grant, once()).now().unwrap();
        assert_eq!(reason(other), Some(Reason::TokenSpent));
        narrow.set(Answer::Now(Ok(grant.clone())));
        let mut next = pin!(guard.narrow(&grant, once()));
        let next = loop {
            if let Poll::Ready(next) = next.as_mut().poll(&mut context) {
                break next;
            }
        };
        assert_eq!(reason(next), expected, "dropped after {polls} polls");
        let spent = Some(Reason::TokenSpent);
        assert_eq!(*events.lock().unwrap(), [(0, None), (1, spent), (2, expected)]);
        events.lock().unwrap().clear();
    }
}

// A grant belongs to its request.

/// The request of a grant, with another method or path.
fn moved(mut head: Parts, method: &str, uri: &str) -> Parts {
    head.method = method.parse().unwrap();
    head.uri = uri.parse().unwrap();
    head
}

#[test]
fn a_grant_on_a_request_of_another_method_or_path_is_no_second_use() {
    let spent = Arc::new(store());
    let first = guard().replay(spent.clone());
    let second = guard().replay(spent.clone()).limits(TokenLimits::default().leeway(secs(1)));
    let mut head = request(&reader());
    first.authorize(&mut head, once()).now().unwrap().unwrap();
    for guard in [&first, &second] {
        for (method, uri) in [("POST", "/orders"), ("GET", "/orders/2"), ("GET", "//orders")] {
            let mut other = moved(head.clone(), method, uri);
            let denial = guard.authorize(&mut other, once()).now().unwrap();
            assert_eq!(reason(denial), Some(Reason::TokenSpent), "{method} {uri}");
            assert!(other.extensions.get::<Grant>().is_none(), "{method} {uri}");
        }
        // Its own, whatever its query.
        let mut same = moved(head.clone(), "GET", "/orders?page=2");
        assert_eq!(reason(guard.authorize(&mut same, once()).now().unwrap()), None);
    }
    assert_eq!(spent.len(), 1);
}

#[test]
fn a_request_of_another_path_is_judged_from_the_start() {
    let seconds = Arc::new(AtomicUsize::new(0));
    let hands = seconds.clone();
    let clock = move || at(i64::try_from(hands.load(Ordering::SeqCst)).unwrap());
    let (guard, events) = recorded(guard().clock(clock));
    let token = reader();
    let mut head = request(&token);
    let grant = guard.authorize(&mut head, Require::scope(READ)).now().unwrap().unwrap();

    seconds.store(10, Ordering::SeqCst);
    let mut other = moved(head.clone(), "GET", "/orders/2");
    let found = guard.authorize(&mut other, Require::valid_token()).now().unwrap().unwrap();
    assert_ne!(found.decision(), grant.decision());
    assert_eq!(found.at(), at(10));
    assert_eq!(*found.requirement(), Require::valid_token());
    assert_eq!(found.operation().path().to_string(), "/orders/2");
    assert_eq!(other.extensions.get::<Grant>().unwrap().decision(), found.decision());
    let refused = guard.authorize(&mut head.clone(), WRITE).now().unwrap().unwrap_err();
    assert_eq!(refused.decision(), Some(grant.decision()));

    // Long after, the token has expired for it, as for any request.
    seconds.store(1000, Ordering::SeqCst);
    let mut other = moved(head, "GET", "/orders/3");
    let denial = guard.authorize(&mut other, READ).now().unwrap();
    assert_eq!(reason(denial), Some(Reason::TokenExpired));
    let lacks = Some(Reason::InsufficientScope);
    let expired = Some(Reason::TokenExpired);
    assert_eq!(*events.lock().unwrap(), [(0, None), (0, None), (1, lacks), (0, expired)]);
}

#[test]
fn the_proof_of_an_earlier_request_does_not_carry_over() {
    let guard = proof_guard();
    let raw = bound().sign();
    let mut head = dpop_head("/orders", &raw, &[&proof(&raw).sign()]);
    guard.authorize(&mut head, READ).now().unwrap().unwrap();
    for (method, uri, expected) in [
        ("POST", "/orders", Reason::DpopMethodMismatch),
        ("GET", "/orders/2", Reason::DpopUriMismatch),
        // Another spelling of the path that the proof is for.
        ("GET", "/%6frders", Reason::DpopProofReplayed),
    ] {
        let denial = guard.authorize(&mut moved(head.clone(), method, uri), READ).now().unwrap();
        assert_eq!(reason(denial), Some(expected), "{method} {uri}");
    }
}

#[test]
fn ten_thousand_narrows_by_two_guards_in_turn_are_no_list() {
    let (first, second) = (guard(), guard().limits(TokenLimits::default().leeway(secs(1))));
    let mut grant = ask(&first, &reader(), READ).unwrap();
    let decision = grant.decision();
    for number in 0..10_000 {
        let guard = if number % 2 == 0 { &second } else { &first };
        grant = guard.narrow(&grant, READ).now().unwrap().unwrap();
    }
    assert_eq!(grant.decision(), decision);
    assert_eq!(first.refuse(&grant).reason(), Reason::PolicyDenied);
    // A list is dropped one link inside the other, and 10,000 do not fit on this stack.
    let small_stack = thread::Builder::new().stack_size(64 * 1024);
    small_stack.spawn(move || drop(grant)).unwrap().join().unwrap();
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
        assert!(denial.for_operator().to_string().contains(why), "{denial}");
        assert_eq!(reason(ask(&guard, &token, READ)), None);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    // A list with one entry is enough.
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
    let mut answer = pin!(guard.authorize(&mut head, once()));
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
    const ROUNDS: usize = 100;
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
    assert!(!require.can_never_be_met());
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
    /// Both together ask what either asks.
    #[test]
    fn both_requirements_together_are_met_if_each_is(
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
    for (keys, proofs_of_each) in [(20, 20), (100, 1)] {
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
