//! Which keys are tried and which are fetched for a token that does not name its key, or that names an algorithm that
//! its issuer has no key for; and what a runtime without a timer does.
//! Nothing sleeps: the clock is paused, and advances by itself while all tasks wait.

use std::sync::{Arc, Mutex};

use crate::common::*;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use unconfused::keys::{Algorithm, KeySet, Keys};
use unconfused::testing::{ScriptedClient, TestIssuer, TestToken};
use unconfused::token::KeyHint;
use unconfused::{Answer, Guard, Issuer, Reason, Scope};

const READ: Scope = Scope::from_static("orders:read");
const KEYS: &str = "https://login.example/jwks";

/// One issuer and a guard that discovers it.
struct World {
    login: TestIssuer,
    client: ScriptedClient,
    guard: Guard,
}

impl World {
    fn new() -> Self {
        let login = TestIssuer::new(LOGIN);
        let client = login.client();
        let guard = Guard::new(ORDERS, Issuer::discover(LOGIN, client.clone()).unwrap());
        World { login, client, guard }
    }

    async fn warm() -> Self {
        let world = World::new();
        assert!(world.guard.ready().await.is_ready());
        world
    }

    fn fetches(&self) -> usize {
        self.client.requests(KEYS)
    }

    async fn ask(&self, token: &TestToken) -> Option<Reason> {
        let mut head = head("/orders", &[&token.bearer()]);
        let verdict = self.guard.authorize(&mut head, READ).await;
        verdict.err().map(|denial| denial.reason())
    }
}

fn named(issuer: &TestIssuer) -> TestToken {
    issuer.token(&ORDERS).scope("orders:read")
}

fn unnamed(issuer: &TestIssuer) -> TestToken {
    named(issuer).without_header("kid")
}

/// What the guard answers without waiting.
fn at_once(guard: &Guard, token: &TestToken) -> Option<Option<Reason>> {
    let mut head = head("/orders", &[&token.bearer()]);
    let verdict = guard.authorize(&mut head, READ).now()?;
    Some(verdict.err().map(|denial| denial.reason()))
}

fn set_of(issuers: &[&TestIssuer]) -> KeySet {
    let keys = issuers.iter().flat_map(|issuer| {
        let set: Value = serde_json::from_str(&issuer.jwks()).unwrap();
        set["keys"].as_array().unwrap().clone()
    });
    KeySet::from_json(&json!({ "keys": keys.collect::<Vec<_>>() }).to_string()).unwrap()
}

#[test]
fn up_to_three_keys_that_fit_are_tried_for_a_token_that_names_none() {
    let signers: Vec<_> = (0..4).map(|_| TestIssuer::new(LOGIN)).collect();
    let stranger = TestIssuer::new(LOGIN);
    let other_types = [(); 4].map(|()| TestIssuer::with_algorithm(LOGIN, Algorithm::Es384));
    for count in 0..=4 {
        let mut keys: Vec<_> = signers.iter().take(count).collect();
        // Keys of another type do not fit, however many there are.
        keys.extend(&other_types);
        let guard = Guard::new(ORDERS, Issuer::new(LOGIN, set_of(&keys)));
        for (n, signer) in signers.iter().enumerate() {
            let expected = match count {
                0 | 4 => Some(Reason::KeyNotFound),
                _ if n < count => None,
                _ => Some(Reason::SignatureInvalid),
            };
            let verdict = at_once(&guard, &unnamed(signer));
            assert_eq!(verdict, Some(expected), "{count} keys, key {n}");
        }
        assert!(at_once(&guard, &unnamed(&stranger)).unwrap().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_rotation_of_an_issuer_that_names_no_keys_is_not_an_outage() {
    let world = World::warm().await;
    assert_eq!(at_once(&world.guard, &unnamed(&world.login)), Some(None));
    let old = unnamed(&world.login);
    world.login.rotate();
    world.login.withdraw_old_keys();
    assert_eq!(world.fetches(), 1);
    let new = unnamed(&world.login);
    assert_eq!(world.ask(&new).await, None);
    assert_eq!(world.fetches(), 2);
    // From now on, without waiting.
    assert_eq!(at_once(&world.guard, &unnamed(&world.login)), Some(None));
    assert_ne!(at_once(&world.guard, &old), Some(None));
    assert_eq!(world.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn while_a_new_key_cannot_be_looked_for_a_token_that_names_none_is_not_said_to_be_invalid() {
    let world = World::warm().await;
    world.client.set_unreachable(true);
    world.login.rotate();
    let new = unnamed(&world.login);
    for _ in 0..3 {
        assert_eq!(world.ask(&new).await, Some(Reason::KeysUnavailable));
    }
    world.client.set_unreachable(false);
    sleep(secs(31)).await;
    assert_eq!(world.ask(&new).await, None);
}

#[tokio::test(start_paused = true)]
async fn forged_tokens_that_name_no_key_cost_two_fetches_in_30_seconds_and_valid_ones_pass() {
    let world = World::new();
    let begins = Arc::new(Mutex::new(Vec::new()));
    let (login, noted) = (world.login.clone(), begins.clone());
    world.client.serve_with(KEYS, move || {
        noted.lock().unwrap().push(Instant::now());
        Answer::Now(Ok(http::Response::new(login.jwks().into_bytes())))
    });
    assert!(world.guard.ready().await.is_ready());
    let (forger, start) = (TestIssuer::new(LOGIN), Instant::now());
    let mut seen = std::collections::BTreeMap::<_, usize>::new();
    for _ in 0..600 {
        let refused = world.ask(&unnamed(&forger)).await;
        *seen.entry(refused.unwrap().as_str()).or_default() += 1;
        assert_eq!(at_once(&world.guard, &unnamed(&world.login)), Some(None));
        sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(Instant::now() - start >= secs(60));
    let begins = begins.lock().unwrap();
    for window in begins.windows(3) {
        assert!(window[2] - window[0] >= secs(30), "{:?}", window[2] - window[0]);
    }
    println!("600 forged tokens in 60 s: {} fetches, {seen:?}", begins.len());
    assert!(seen.keys().all(|name| ["signature_invalid", "keys_unavailable"].contains(name)));
    assert!(begins.len() <= 5);
}

#[tokio::test(start_paused = true)]
async fn keys_that_were_fetched_for_the_request_itself_are_new_enough() {
    let world = World::new();
    let forged = unnamed(&TestIssuer::new(LOGIN));
    assert_eq!(world.ask(&forged).await, Some(Reason::SignatureInvalid));
    assert_eq!(world.fetches(), 1);
}

#[test]
fn a_source_is_asked_once_more_and_is_told_which_set_was_tried() {
    let login = TestIssuer::new(LOGIN);
    let (old, new) = (TestIssuer::new(LOGIN).keys(), login.keys());
    let hints = Arc::new(Mutex::new(Vec::new()));
    let (asked, tried, fresh) = (hints.clone(), old.id(), new.clone());
    let source = move |hint: KeyHint<'_>| -> Keys {
        asked.lock().unwrap().push(hint.tried());
        Answer::Now(Ok(if hint.tried().is_some() { fresh.clone() } else { old.clone() }))
    };
    let guard = Guard::new(ORDERS, Issuer::new(LOGIN, source)).token_cache_capacity(0);
    assert_eq!(at_once(&guard, &unnamed(&login)), Some(None));
    let forged = unnamed(&TestIssuer::new(LOGIN));
    assert_eq!(at_once(&guard, &forged), Some(Some(Reason::SignatureInvalid)));
    // A token that names its key is judged by the first answer.
    assert_eq!(at_once(&guard, &named(&login)), Some(Some(Reason::SignatureInvalid)));
    let (first, second) = (None, Some(tried));
    assert_eq!(*hints.lock().unwrap(), [first, second, first, second, first]);
}

#[tokio::test(start_paused = true)]
async fn for_an_algorithm_that_no_key_of_the_issuer_has_nothing_is_fetched() {
    let world = World::warm().await;
    for alg in ["ES384", "RS256", "PS256", "Ed25519"] {
        let token = named(&world.login).header("alg", alg);
        // The key that it names is there, and is of another type.
        assert_eq!(at_once(&world.guard, &token), Some(Some(Reason::KeyUnusable)), "{alg}");
        for token in [token.clone().header("kid", format!("x-{alg}")), token.without_header("kid")]
        {
            assert_eq!(at_once(&world.guard, &token), Some(Some(Reason::KeyNotFound)), "{alg}");
        }
    }
    assert_eq!(world.fetches(), 1);
    // A key of an algorithm that the issuer has is looked for.
    let unknown = named(&world.login).header("kid", "x");
    assert_eq!(world.ask(&unknown).await, Some(Reason::KeyNotFound));
    assert_eq!(world.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn if_no_keys_were_ever_fetched_they_are_whatever_the_algorithm() {
    let world = World::new();
    let token = named(&world.login).header("alg", "ES384").header("kid", "x");
    assert_eq!(world.ask(&token).await, Some(Reason::KeyNotFound));
    assert_eq!(world.fetches(), 1);
    // And they are again once they are too old to be used.
    world.client.set_unreachable(true);
    sleep(secs(3601)).await;
    assert_eq!(world.ask(&token).await, Some(Reason::KeysUnavailable));
}

#[test]
fn in_a_runtime_without_a_timer_ready_says_so_and_a_request_is_answered_with_500() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let world = World::new();
    runtime.block_on(async {
        let readiness = world.guard.ready().await;
        let error = readiness.issuers().next().unwrap().1.last_error.clone().unwrap();
        assert!(error.contains("no timer"), "{error}");
        assert!(!readiness.is_ready());
        // At once, since nothing can be waited for.
        let refused = at_once(&world.guard, &named(&world.login));
        assert_eq!(refused, Some(Some(Reason::InternalError)));
    });
    assert_eq!(world.fetches(), 0);
}
