//! Tests of what a guard keeps in its token cache. They see inside the guard, and are here because they need tokens.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, RwLock};
use std::thread;

use http::Request;
use time::UtcDateTime;

use super::issuer::TestIssuer;
use crate::answer::Answer;
use crate::credential::Credential;
use crate::guard::Guard;
use crate::jose::{KeySet, KeySetId};
use crate::keys::{Issuer, KeySource, Keys};
use crate::names::{Audience, Scope};
use crate::token::{KeyHint, TokenLimits};

const ORDERS: Audience = Audience::from_static("https://orders.example");
const READ: Scope = Scope::from_static("orders:read");

/// True if the token is cached.
fn is_cached(guard: &Guard, credential: &Credential, at: UtcDateTime) -> bool {
    guard.cached_token(guard.cache_slot(credential), credential, at).is_some()
}

/// True if the token is cached after a request that brought it.
fn is_cached_after_request(guard: &Guard, token: &str) -> bool {
    let request = Request::get("/").header("authorization", format!("Bearer {token}"));
    let (mut head, ()) = request.body(()).unwrap().into_parts();
    let credential = Credential::from_headers(&head.headers, &TokenLimits::default()).unwrap();
    let _ = guard.authorize(&mut head, READ).now().unwrap();
    is_cached(guard, &credential, UtcDateTime::now())
}

#[test]
fn a_validated_token_is_cached_whatever_was_decided() {
    let login = TestIssuer::new("https://login.example");
    let guard = Guard::new(ORDERS, login.issuer());
    let scoped = |scope| login.token(&ORDERS).scope(scope).sign();
    assert!(is_cached_after_request(&guard, &scoped("orders:read")));
    assert!(is_cached_after_request(&guard, &scoped("nothing")));
    assert!(!is_cached_after_request(
        &guard.clone().token_cache_capacity(0),
        &scoped("orders:read")
    ));
}

#[test]
fn an_invalid_token_is_not_cached() {
    let login = TestIssuer::new("https://login.example");
    let guard = Guard::new(ORDERS, login.issuer());
    let elsewhere = Audience::from_static("https://billing.example");
    assert!(!is_cached_after_request(&guard, &login.token(&elsewhere).scope("orders:read").sign()));
    let stranger = TestIssuer::new("https://login.example");
    assert!(!is_cached_after_request(&guard, &stranger.token(&ORDERS).scope("orders:read").sign()));
}

#[test]
fn changed_settings_empty_the_cache_and_clones_share_it() {
    let login = TestIssuer::new("https://login.example");
    let guard = Guard::new(ORDERS, login.issuer());
    let token = login.token(&ORDERS).scope("orders:read").sign();
    assert!(is_cached_after_request(&guard, &token));
    let request = Request::get("/").header("authorization", format!("Bearer {token}"));
    let (head, ()) = request.body(()).unwrap().into_parts();
    let credential = Credential::from_headers(&head.headers, &TokenLimits::default()).unwrap();
    let now = UtcDateTime::now();
    assert!(is_cached(&guard.clone(), &credential, now));
    assert!(!is_cached(
        &guard.clone().limits(TokenLimits::default().max_audiences(1)),
        &credential,
        now
    ));
    login.rotate();
    assert!(!is_cached(&guard, &credential, now));
}

#[test]
fn copies_of_a_token_are_worth_nothing_in_any_thread_once_its_key_is_withdrawn() {
    let login = TestIssuer::new("https://login.example");
    let guard = Guard::new(ORDERS, login.issuer());
    let token = login.token(&ORDERS).scope("orders:read").sign();
    let is_granted = || {
        let request = Request::get("/").header("authorization", format!("Bearer {token}"));
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        guard.authorize(&mut head, READ).now().unwrap().is_ok()
    };
    let threads = 8;
    let before = Barrier::new(threads + 1);
    let after = Barrier::new(threads + 1);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                assert!((0..5).all(|_| is_granted()));
                before.wait();
                after.wait();
                assert!(!(0..5).any(|_| is_granted()));
            });
        }
        before.wait();
        login.rotate();
        login.withdraw_old_keys();
        after.wait();
    });
}

/// Keys that can be replaced. It counts how often a token is to be verified.
struct Counted {
    keys: RwLock<KeySet>,
    verified: AtomicUsize,
}

impl KeySource for Counted {
    fn keys(&self, _: KeyHint<'_>) -> Keys {
        self.verified.fetch_add(1, Ordering::Relaxed);
        Answer::Now(Ok(self.keys.read().unwrap().clone()))
    }

    fn is_current(&self, keys: KeySetId, _: KeyHint<'_>) -> bool {
        self.keys.read().unwrap().id() == keys
    }
}

#[test]
fn a_token_that_many_threads_have_copies_of_is_verified_once_for_new_keys() {
    let login = TestIssuer::new("https://login.example");
    let keys = RwLock::new(login.keys());
    let source = Arc::new(Counted { keys, verified: AtomicUsize::new(0) });
    let guard = Guard::new(ORDERS, Issuer::new("https://login.example", source.clone()));
    let token = login.token(&ORDERS).scope("orders:read").sign();
    let grant = || {
        let request = Request::get("/").header("authorization", format!("Bearer {token}"));
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        guard.authorize(&mut head, READ).now().unwrap().unwrap();
    };
    let threads = 16;
    let (before, after, turn) =
        (Barrier::new(threads + 1), Barrier::new(threads + 1), Mutex::new(()));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                (0..4).for_each(|_| grant());
                before.wait();
                after.wait();
                let _turn = turn.lock().unwrap();
                grant();
            });
        }
        before.wait();
        *source.keys.write().unwrap() = KeySet::from_json(&login.jwks()).unwrap();
        source.verified.store(0, Ordering::Relaxed);
        after.wait();
    });
    assert_eq!(source.verified.load(Ordering::Relaxed), 1);
}
