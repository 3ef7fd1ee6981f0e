//! Keys that are fetched: from where and how often, which requests wait, and what they see meanwhile. Issuers of
//! tenants.
//! Nothing sleeps: the clock is paused, and advances by itself while all tasks wait.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::*;
use http::{HeaderValue, Request, Response};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use unconfused::client::{HttpAnswer, HttpClient, HttpError, HttpLimits};
use unconfused::keys::{
    Algorithm, KeySet, KeySource, KeyState, KeyStatus, Keys, KeysUnavailable, RemoteKeys,
};
use unconfused::profile::Profile;
use unconfused::testing::{ScriptedClient, TestIssuer, TestToken};
use unconfused::token::KeyHint;
use unconfused::{Answer, AuditEvent, Denial, Grant, Guard, Issuer, Reason, Scope};

const READ: Scope = Scope::from_static("orders:read");
const METADATA: &str = "https://login.example/.well-known/oauth-authorization-server";
const OPENID: &str = "https://login.example/.well-known/openid-configuration";
const KEYS: &str = "https://login.example/jwks";

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// One issuer, its origin, a guard that discovers it.
struct World {
    login: TestIssuer,
    client: ScriptedClient,
    guard: Guard,
    details: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn new() -> Self {
        World::with(|keys| keys)
    }

    fn with(settings: impl FnOnce(RemoteKeys) -> RemoteKeys) -> Self {
        let login = TestIssuer::new(LOGIN);
        let client = login.client();
        let keys = settings(RemoteKeys::discover(LOGIN, client.clone()).unwrap());
        let details = Arc::new(Mutex::new(Vec::new()));
        let seen = details.clone();
        let guard =
            Guard::new(ORDERS, Issuer::new(LOGIN, keys)).audit(move |event: &AuditEvent<'_>| {
                seen.lock().unwrap().extend(event.detail().map(|detail| detail.to_string()));
            });
        World { login, client, guard, details }
    }

    async fn warm() -> Self {
        let world = World::new();
        assert!(world.guard.ready().await.is_ready());
        world
    }

    fn token(&self) -> TestToken {
        self.login.token(&ORDERS).scope("orders:read")
    }

    /// A token with a key id that no issuer has.
    fn stranger(&self, id: usize) -> TestToken {
        self.token().header("kid", format!("x{id}"))
    }

    /// The fields of requests with tokens whose key ids no issuer has: `x0`, `x1` and so on. They are not signed anew,
    /// since no key is found that could verify them.
    fn strangers(&self) -> impl Fn(usize) -> String + use<> {
        let token = self.token().sign();
        let (_, rest) = token.split_once('.').unwrap();
        let rest = rest.to_owned();
        move |id| {
            let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": format!("x{id}") });
            format!("Bearer {}.{rest}", base64url(header.to_string()))
        }
    }

    /// The keys come after this time.
    fn keys_take(&self, takes: Duration) {
        let login = self.login.clone();
        self.client.serve_with(KEYS, move || slow(takes, login.jwks()));
    }

    fn keys_fail(&self) {
        self.client.serve_with(KEYS, || failing("down"));
    }

    fn keys_hang(&self) {
        self.client.serve_with(KEYS, || Answer::later(std::future::pending()));
    }

    /// The keys come after this time; when they were asked for is noted.
    fn noted(&self, takes: Duration) -> Arc<Mutex<Vec<Instant>>> {
        let times = Arc::new(Mutex::new(Vec::new()));
        let (login, noted) = (self.login.clone(), times.clone());
        self.client.serve_with(KEYS, move || {
            noted.lock().unwrap().push(Instant::now());
            slow(takes, login.jwks())
        });
        times
    }

    fn fetches(&self) -> usize {
        self.client.requests(KEYS)
    }

    fn status(&self) -> KeyStatus {
        status(&self.guard)
    }

    fn error(&self) -> String {
        self.status().last_error.unwrap_or_default()
    }

    fn last_detail(&self) -> String {
        self.details.lock().unwrap().last().cloned().unwrap_or_default()
    }

    /// Asks in a task of its own.
    fn spawn(&self, token: &TestToken) -> tokio::task::JoinHandle<(Result<(), Reason>, Instant)> {
        self.spawn_with(token.bearer())
    }

    fn spawn_with(&self, bearer: String) -> tokio::task::JoinHandle<(Result<(), Reason>, Instant)> {
        let guard = self.guard.clone();
        tokio::spawn(async move {
            let verdict = judged(&guard, &bearer).await;
            (verdict.map(drop).map_err(|denial| denial.reason()), Instant::now())
        })
    }
}

fn slow(takes: Duration, body: String) -> HttpAnswer {
    Answer::later(async move {
        sleep(takes).await;
        Ok(Response::new(body.into_bytes()))
    })
}

fn failing(why: &'static str) -> HttpAnswer {
    Answer::Now(Err(HttpError::Failed(why.into())))
}

fn answered(status: u16, body: impl Into<Vec<u8>>) -> HttpAnswer {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status.try_into().unwrap();
    Answer::Now(Ok(answer))
}

fn status(guard: &Guard) -> KeyStatus {
    guard.readiness().issuers().next().unwrap().1.clone()
}

async fn judged(guard: &Guard, bearer: &str) -> Result<Grant, Denial> {
    let mut head = head("/orders", &[bearer]);
    guard.authorize(&mut head, READ).await
}

async fn reason(guard: &Guard, token: &TestToken) -> Option<Reason> {
    judged(guard, &token.bearer()).await.err().map(|denial| denial.reason())
}

/// What the guard answers without waiting.
fn at_once(guard: &Guard, token: &TestToken) -> Option<Result<(), Reason>> {
    let mut head = head("/orders", &[&token.bearer()]);
    let verdict = guard.authorize(&mut head, READ).now()?;
    Some(verdict.map(drop).map_err(|denial| denial.reason()))
}

fn no_more_than_two_within_30_seconds(times: &[Instant]) {
    for window in times.windows(3) {
        let apart = window[2] - window[0];
        assert!(apart >= secs(30), "three fetches within {apart:?}");
    }
}

// Discovery

#[tokio::test(start_paused = true)]
async fn discovery_is_set_up_without_a_request_and_without_an_error_if_the_issuer_is_down() {
    let client = ScriptedClient::new();
    client.set_unreachable(true);
    let guard = Guard::new(ORDERS, Issuer::discover(LOGIN, client.clone()).unwrap());
    sleep(secs(3600)).await;
    assert_eq!(client.requests(METADATA) + client.requests(OPENID) + client.requests(KEYS), 0);
    assert_eq!(status(&guard).state, KeyState::Missing);
    assert!(!guard.readiness().is_ready());
    for url in ["http://login.example", "http://127.0.0.1", "https://", "https://a@b.example", "x"]
    {
        assert!(Issuer::discover(url, client.clone()).is_err(), "{url}");
    }
    for url in ["http://127.0.0.1:1", "http://localhost", "http://[::1]:8080/a", LOGIN] {
        assert!(Issuer::discover_without_tls_on_loopback(url, client.clone()).is_ok(), "{url}");
    }
    assert!(Issuer::discover_without_tls_on_loopback("http://10.0.0.1", client).is_err());
}

#[tokio::test(start_paused = true)]
async fn ready_fetches_once_and_says_how_it_stands() {
    let world = World::new();
    assert_eq!(world.status().state, KeyState::Missing);
    let readiness = world.guard.ready().await;
    assert!(readiness.is_ready());
    let (name, status) = readiness.issuers().next().unwrap();
    assert_eq!(name, LOGIN);
    assert_eq!((status.state, status.keys, status.skipped), (KeyState::Fresh, 1, 0));
    assert_eq!((status.fetches, &status.last_error), (1, &None));
    // With keys at hand the answer is there at once.
    assert!(world.guard.ready().now().unwrap().is_ready());
    assert_eq!(world.fetches(), 1);
    assert_eq!(at_once(&world.guard, &world.token()), Some(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn metadata_is_looked_for_in_order_and_once_found_no_further() {
    let login = TestIssuer::new("https://login.example/t/1");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (noted, keys) = (asked.clone(), login.clone());
    let client = move |request: Request<Vec<u8>>, limits: HttpLimits| -> HttpAnswer {
        assert_eq!(limits.max_bytes, 256 * 1024);
        assert_eq!(limits.timeout, secs(5));
        assert_eq!(request.method(), "GET");
        let url = request.uri().to_string();
        noted.lock().unwrap().push(url.clone());
        match &*url {
            "https://login.example/t/1/.well-known/openid-configuration" => answered(
                200,
                r#"{"issuer":"https://login.example/t/1","jwks_uri":"https://keys.example/k?v=1"}"#,
            ),
            "https://keys.example/k?v=1" => answered(200, keys.jwks()),
            _ => answered(404, ""),
        }
    };
    let guard = Guard::new(ORDERS, Issuer::discover("https://login.example/t/1", client).unwrap());
    assert!(guard.ready().await.is_ready());
    assert_eq!(
        *asked.lock().unwrap(),
        [
            "https://login.example/.well-known/oauth-authorization-server/t/1",
            "https://login.example/.well-known/openid-configuration/t/1",
            "https://login.example/t/1/.well-known/openid-configuration",
            "https://keys.example/k?v=1",
        ]
    );
    let token = login.token(&ORDERS).scope("orders:read");
    assert_eq!(at_once(&guard, &token), Some(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn metadata_of_another_issuer_gives_no_keys_and_says_so() {
    for other in ["https://login.example/", "https://evil.example", "https://LOGIN.example"] {
        let world = World::new();
        let metadata = json!({ "issuer": other, "jwks_uri": KEYS }).to_string();
        world.client.serve(METADATA, metadata.clone());
        world.client.serve(OPENID, metadata);
        assert!(!world.guard.ready().await.is_ready());
        assert_eq!(world.fetches(), 0, "{other}");
        assert_eq!(reason(&world.guard, &world.token()).await, Some(Reason::KeysUnavailable));
        assert!(world.error().contains("is the metadata of another issuer"), "{}", world.error());
        assert!(world.last_detail().contains("another issuer"), "{}", world.last_detail());
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_never_fetched_without_tls_or_from_a_url_in_a_token() {
    let world = World::new();
    let metadata = json!({ "issuer": LOGIN, "jwks_uri": "http://login.example/jwks" }).to_string();
    world.client.serve(METADATA, metadata);
    assert_eq!(reason(&world.guard, &world.token()).await, Some(Reason::KeysUnavailable));
    assert_eq!(world.client.requests("http://login.example/jwks"), 0);

    let world = World::warm().await;
    let token = world.stranger(1).header("jku", "https://evil.example/jwks");
    assert!(reason(&world.guard, &token).await.is_some());
    let token = world.stranger(1).header("x5u", "https://evil.example/x");
    assert!(reason(&world.guard, &token).await.is_some());
    let token = world.stranger(1).claim("iss", "https://evil.example");
    assert_eq!(reason(&world.guard, &token).await, Some(Reason::IssuerUntrusted));
    assert_eq!(world.client.requests("https://evil.example/jwks"), 0);
    assert_eq!(world.client.requests("https://evil.example/x"), 0);
}

#[tokio::test(start_paused = true)]
async fn keys_may_be_on_loopback_without_tls_if_the_set_up_says_so() {
    let name = "http://127.0.0.1:4444";
    let login = TestIssuer::new(name);
    let issuer = Issuer::discover_without_tls_on_loopback(name, login.client()).unwrap();
    let guard = Guard::new(ORDERS, issuer);
    assert!(guard.ready().await.is_ready());
    let token = login.token(&ORDERS).scope("orders:read");
    assert_eq!(at_once(&guard, &token), Some(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn keys_that_move_are_found_again_through_the_metadata() {
    let world = World::warm().await;
    let moved = "https://login.example/keys-2";
    world.client.serve_with(KEYS, || answered(410, ""));
    world.client.serve(moved, world.login.jwks());
    world.client.serve(METADATA, json!({ "issuer": LOGIN, "jwks_uri": moved }).to_string());
    sleep(secs(1200)).await;
    assert_eq!(world.status().state, KeyState::Fresh);
    assert!(world.client.requests(moved) >= 1);
    // If the metadata is gone, the URL of the keys is still known.
    world.client.serve_with(METADATA, || answered(500, ""));
    sleep(secs(2 * 24 * 3600)).await;
    assert_eq!(world.status().state, KeyState::Fresh);
    assert_eq!(at_once(&world.guard, &world.token()), Some(Ok(())));
}

// The state

#[tokio::test(start_paused = true)]
async fn the_state_of_an_issuer_is_missing_fresh_stale_expired_and_fresh_again() {
    let world = World::new();
    assert_eq!(world.status().state, KeyState::Missing);
    assert!(world.guard.ready().await.is_ready());
    assert_eq!(world.status().state, KeyState::Fresh);
    world.client.set_unreachable(true);
    sleep(secs(601)).await;
    let status = world.status();
    assert_eq!((status.state, status.is_ready()), (KeyState::Stale, true));
    assert_eq!(status.age, Some(secs(601)));
    assert!(world.error().contains("the client is set to be unreachable"), "{}", world.error());
    assert_eq!(at_once(&world.guard, &world.token()), Some(Ok(())));

    sleep(secs(3600 - 602)).await;
    assert_eq!(at_once(&world.guard, &world.token()), Some(Ok(())));
    sleep(secs(1)).await;
    let status = world.status();
    assert_eq!((status.state, status.is_ready()), (KeyState::Expired, false));
    let denial = judged(&world.guard, &world.token().bearer()).await.unwrap_err();
    assert_eq!(denial.status(), 503);
    assert_eq!(denial.reason(), Reason::KeysUnavailable);
    assert!(denial.headers().contains_key("retry-after"));
    assert!(denial.challenge().is_none());

    // Nothing starts it again.
    world.client.set_unreachable(false);
    sleep(secs(301)).await;
    assert_eq!(world.status().state, KeyState::Fresh);
    assert_eq!(at_once(&world.guard, &world.token()), Some(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn keys_that_were_handed_in_are_fixed_and_a_source_that_does_not_say_is_untold() {
    let login = TestIssuer::new(LOGIN);
    let guard = Guard::new(ORDERS, Issuer::new(LOGIN, login.keys()));
    assert_eq!((status(&guard).state, status(&guard).keys), (KeyState::Fixed, 1));
    assert!(guard.ready().now().unwrap().is_ready());
    let guard = Guard::new(ORDERS, login.issuer());
    assert_eq!(status(&guard).state, KeyState::Unreported);
    assert!(guard.ready().now().unwrap().is_ready());
    let guard = Guard::new(ORDERS, Issuer::new(LOGIN, KeySet::default()));
    assert!(!guard.readiness().is_ready());
}

// Which requests wait

#[tokio::test(start_paused = true)]
async fn a_request_whose_key_is_known_never_waits_for_a_renewal_that_hangs() {
    let world = World::warm().await;
    world.keys_hang();
    for _ in 0..700 {
        sleep(secs(5)).await;
        assert_eq!(at_once(&world.guard, &world.token()), Some(Ok(())), "{}", world.status());
    }
    assert!(world.fetches() > 3);
    assert_eq!(world.status().state, KeyState::Stale);
}

#[tokio::test(start_paused = true)]
async fn two_hundred_requests_with_a_new_key_wait_for_one_fetch_and_pass() {
    let world = World::warm().await;
    world.login.rotate();
    world.keys_take(millis(700));
    let start = Instant::now();
    let asked: Vec<_> = (0..200).map(|_| world.spawn(&world.token())).collect();
    for asked in asked {
        let (verdict, at) = asked.await.unwrap();
        assert_eq!(verdict, Ok(()));
        assert!(at - start < secs(1));
    }
    assert_eq!(world.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_257th_that_would_wait_is_answered_at_once_and_seats_are_given_back() {
    let world = World::warm().await;
    for round in 0..3 {
        world.keys_take(millis(500));
        let start = Instant::now();
        let asked: Vec<_> = (0..300).map(|_| world.spawn(&world.stranger(round))).collect();
        let mut at_the_end = 0;
        let mut turned_away = 0;
        for asked in asked {
            match asked.await.unwrap() {
                (Err(Reason::KeyNotFound), at) if at - start >= millis(500) => at_the_end += 1,
                (Err(Reason::KeysUnavailable), at) if at == start => turned_away += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((at_the_end, turned_away), (256, 44));
        assert!(world.details.lock().unwrap().iter().any(|it| it.contains("256 requests wait")));
        sleep(secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_request_waits_longer_than_two_seconds() {
    let world = World::warm().await;
    world.keys_take(secs(5));
    let start = Instant::now();
    let denial = judged(&world.guard, &world.stranger(1).bearer()).await.unwrap_err();
    assert_eq!(denial.status(), 503);
    assert_eq!(denial.headers()["retry-after"], "2");
    assert!((secs(2)..millis(2002)).contains(&(Instant::now() - start)));
    assert!(
        world.last_detail().contains("not answered within 2 seconds"),
        "{}",
        world.last_detail()
    );
    // The same fetch goes on.
    assert_eq!(reason(&world.guard, &world.stranger(1)).await, Some(Reason::KeysUnavailable));
    assert_eq!(world.fetches(), 2);
    assert_eq!(reason(&world.guard, &world.stranger(1)).await, Some(Reason::KeyNotFound));
    assert_eq!(world.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_request_neither_stops_the_fetch_nor_strands_those_that_wait() {
    let world = World::warm().await;
    world.login.rotate();
    world.keys_take(secs(1));
    let first = world.spawn(&world.token());
    tokio::task::yield_now().await;
    let others: Vec<_> = (0..255).map(|_| world.spawn(&world.token())).collect();
    sleep(millis(100)).await;
    first.abort();
    // Its slot is free again; a request that was never polled does not hold one either.
    sleep(millis(1)).await;
    let bearer = world.token().bearer();
    let mut unpolled = head("/orders", &[&bearer]);
    drop(world.guard.authorize(&mut unpolled, READ));
    let late = world.spawn(&world.token());
    for other in others {
        assert_eq!(other.await.unwrap().0, Ok(()));
    }
    assert_eq!(late.await.unwrap().0, Ok(()));
    assert_eq!(world.fetches(), 2);

    // All requests are dropped, and the fetch still completes.
    let world = World::new();
    world.keys_take(secs(1));
    let asked = timeout(millis(10), judged(&world.guard, &world.token().bearer())).await;
    assert!(asked.is_err());
    sleep(secs(2)).await;
    assert_eq!(at_once(&world.guard, &world.token()), Some(Ok(())));
    assert_eq!(world.fetches(), 1);
}

// Clients and answers of all kinds

/// The state of the keys after a first fetch with this result.
async fn of(script: impl Fn() -> HttpAnswer + Send + Sync + 'static) -> (World, String) {
    let world = World::new();
    world.client.serve_with(KEYS, script);
    let first = timeout(secs(3), judged(&world.guard, &world.token().bearer())).await.unwrap();
    assert_eq!(first.unwrap_err().reason(), Reason::KeysUnavailable);
    sleep(secs(29)).await;
    let error = world.error();
    // Whatever the failure was, once the origin works again the guard does too.
    let login = world.login.clone();
    world.client.serve_with(KEYS, move || answered(200, login.jwks()));
    sleep(secs(31)).await;
    assert_eq!(reason(&world.guard, &world.token()).await, None, "{error}");
    (world, error)
}

#[tokio::test(start_paused = true)]
async fn no_answer_and_no_client_breaks_the_guard() {
    let keys = json!({ "keys": vec![json!({ "kty": "EC", "kid": "k" }); 101] }).to_string();
    let mut long = br#"{"keys":[]}"#.to_vec();
    long.resize(256 * 1024 + 1, b' ');
    let said = async |part: &str, script: Box<dyn Fn() -> HttpAnswer + Send + Sync>| {
        let (_, error) = of(script).await;
        assert!(error.contains(part), "{part}: {error}");
    };
    said("aborted", Box::new(|| panic!("the client is broken"))).await;
    said("aborted", Box::new(|| Answer::later(async { panic!("broken") }))).await;
    said("no answer within 5 seconds", Box::new(|| Answer::later(std::future::pending()))).await;
    said("answered 500", Box::new(|| answered(500, ""))).await;
    said("answered 302", Box::new(|| answered(302, ""))).await;
    said("answered 204", Box::new(|| answered(204, ""))).await;
    said("redirect", Box::new(|| Answer::Now(Err(HttpError::Redirected)))).await;
    said("more than 262144 bytes", Box::new(move || answered(200, long.clone()))).await;
    said("not a JWK Set", Box::new(|| answered(200, "<html>"))).await;
    said("not a JWK Set", Box::new(|| answered(200, ""))).await;
    said("not UTF-8", Box::new(|| answered(200, vec![0xff, 0xfe]))).await;
    said("it is compressed (\"gzip\")", Box::new(|| answered(200, vec![0x1f, 0x8b, 8, 0, 0xff])))
        .await;
    let with = |name: &'static str, value: &'static str, body: &'static str| {
        Box::new(move || -> HttpAnswer {
            let answer = Response::builder().header(name, value).body(body.into());
            Answer::Now(Ok(answer.unwrap()))
        })
    };
    said("it is compressed (\"br\")", with("content-encoding", "br", "\u{1}")).await;
    said("it was cut off after 8 of 20 bytes", with("content-length", "20", "{\"keys\":")).await;
    said("6 bytes of the type \"text/html\"", with("content-type", "text/html", "<html>")).await;
    said("has 101 keys", Box::new(move || answered(200, keys.clone()))).await;
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Layered(&'static str, #[source] Option<Box<Layered>>);

#[tokio::test(start_paused = true)]
async fn a_failed_fetch_is_reported_with_all_its_causes_and_without_the_query_of_its_url() {
    let url = "https://login.example/jwks?key=s3cret";
    let sending = || {
        let dns = Layered("no such host", None);
        let connecting = Layered("dns error", Some(Box::new(dns)));
        Layered("error sending request", Some(Box::new(connecting)))
    };
    let answers: [Box<dyn Fn() -> HttpAnswer + Send + Sync>; 3] = [
        Box::new(move || Answer::Now(Err(HttpError::Failed(Box::new(sending()))))),
        Box::new(|| answered(503, "")),
        Box::new(|| answered(200, "<html>")),
    ];
    for (answer, said) in answers.into_iter().zip([
        "the request failed: error sending request: dns error: no such host",
        "answered 503",
        "not a JWK Set",
    ]) {
        let client = move |_: Request<Vec<u8>>, _: HttpLimits| answer();
        let keys = RemoteKeys::from_jwks_uri(url, client).unwrap();
        let details = Arc::new(Mutex::new(Vec::new()));
        let seen = details.clone();
        let guard = Guard::new(ORDERS, Issuer::new(LOGIN, keys))
            .audit(move |event: &AuditEvent<'_>| seen.lock().unwrap().push(event.to_json()));
        let shown = guard.ready().await.to_string();
        let denial = judged(&guard, &TestIssuer::new(LOGIN).token(&ORDERS).bearer()).await;
        let words = denial.unwrap_err().for_operator().to_string();
        for text in [shown, words, details.lock().unwrap()[0].clone()] {
            assert!(
                text.contains("https://login.example/jwks?..") && text.contains(said),
                "{text}"
            );
            assert!(!text.contains("s3cret") && !text.contains('\n'), "{text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_of_another_issuer_is_reported_with_both_names() {
    let document = r#"{"issuer":"https://login.example/","jwks_uri":"https://login.example/k"}"#;
    let client = move |_: Request<Vec<u8>>, _: HttpLimits| answered(200, document);
    let guard = Guard::new(ORDERS, Issuer::discover("https://login.example", client).unwrap());
    guard.ready().await;
    let error = status(&guard).last_error.unwrap();
    let expected = "expected `https://login.example`, found \"https://login.example/\"";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn a_url_that_cannot_be_used_is_reported_without_user_and_query() {
    for url in ["https://me:s3cret@login.example/k", "http://login.example/k?key=s3cret"] {
        let error = RemoteKeys::from_jwks_uri(url, ScriptedClient::new()).unwrap_err();
        let shown = format!("{error} {error:?} {}", error.value());
        assert!(shown.contains("login.example/k") && !shown.contains("s3cret"), "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_largest_answer_that_is_read_has_256_kib_and_100_keys_and_an_odd_key_is_counted() {
    let world = World::new();
    let mut keys = serde_json::from_str::<Value>(&world.login.jwks()).unwrap();
    let list = keys["keys"].as_array_mut().unwrap();
    list.extend(vec![json!({ "kty": "EC", "kid": "odd" }); 99]);
    let mut body = keys.to_string().into_bytes();
    body.resize(256 * 1024, b' ');
    world.client.serve(KEYS, body);
    assert!(world.guard.ready().await.is_ready());
    assert_eq!((world.status().keys, world.status().skipped), (1, 99));
    assert_eq!(at_once(&world.guard, &world.token()), Some(Ok(())));
    // It is there and cannot be used, so it is not looked for.
    let odd = world.token().header("kid", "odd");
    assert_eq!(at_once(&world.guard, &odd), Some(Err(Reason::KeyUnusable)));
    assert_eq!(world.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_drags_on_ends_and_is_tried_again() {
    // Each answer is just in time, and three metadata documents are invalid.
    let world = World::new();
    world.client.serve_with(METADATA, || slow(millis(4900), "{}".to_owned()));
    world.client.serve_with(OPENID, || slow(millis(4900), "{}".to_owned()));
    assert!(!world.guard.ready().await.is_ready());
    sleep(millis(1)).await;
    assert!(world.error().contains("names") || world.error().contains("another issuer"));
    // It has taken longer than the first pause, so the next one has begun.
    assert_eq!(world.client.requests(METADATA), 2);
    sleep(secs(600)).await;
    let attempts = world.client.requests(METADATA);
    assert!((40..=64).contains(&attempts), "{attempts}");
}

// Without a runtime, and with one that ends

#[test]
fn outside_a_runtime_known_keys_serve_and_nothing_else_is_answered_but_500_with_the_cause() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = World::new();
    for _ in 0..2 {
        assert_eq!(at_once(&world.guard, &world.token()), Some(Err(Reason::InternalError)));
        assert!(world.last_detail().contains("Tokio runtime"), "{}", world.last_detail());
    }
    assert_eq!(world.client.requests(METADATA), 0);
    assert!(runtime.block_on(async { world.guard.ready().await.is_ready() }));
    drop(runtime);
    assert_eq!(at_once(&world.guard, &world.token()), Some(Ok(())));
    assert_eq!(at_once(&world.guard, &world.stranger(1)), Some(Err(Reason::InternalError)));
    assert_eq!(world.fetches(), 1);
}

#[test]
fn after_a_runtime_ends_in_the_middle_of_a_fetch_another_one_goes_on() {
    let build = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = World::new();
    world.keys_hang();
    let runtime = build();
    runtime.block_on(async {
        let asked = world.spawn(&world.token());
        while world.fetches() == 0 {
            tokio::task::yield_now().await;
        }
        asked.abort();
    });
    assert_eq!(world.error(), "");
    drop(runtime);
    assert!(world.error().contains("aborted"), "{}", world.error());
    let login = world.login.clone();
    world.client.serve_with(KEYS, move || answered(200, login.jwks()));
    // The task that would try again is gone. Once it is time, a request does.
    let ask = async || {
        tokio::time::pause();
        let early = reason(&world.guard, &world.token()).await;
        sleep(secs(1)).await;
        (early, reason(&world.guard, &world.token()).await)
    };
    assert_eq!(build().block_on(ask()), (Some(Reason::KeysUnavailable), None));

    // If that runtime is gone too, nothing renews the keys; a request does it in its own.
    assert_eq!(world.status().fetches, 2);
    assert_eq!(build().block_on(ask()), (None, None));
}

// A flood

#[tokio::test(start_paused = true)]
async fn a_flood_of_10_000_random_key_ids_in_30_seconds_costs_two_fetches_a_window_and_valid_tokens_pass()
 {
    let world = World::new();
    let fetched = world.noted(millis(200));
    assert!(world.guard.ready().await.is_ready());
    let (valid, stranger) = (world.token(), world.strangers());
    let start = Instant::now();
    let mut asked = Vec::new();
    let mut passed = 0;
    for id in 0..10_000 {
        asked.push(world.spawn_with(stranger(id)));
        if id % 10 == 0 {
            assert_eq!(at_once(&world.guard, &valid), Some(Ok(())));
            passed += 1;
        }
        sleep(millis(3)).await;
    }
    assert_eq!(Instant::now() - start, secs(30));
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for asked in asked {
        *seen.entry(asked.await.unwrap().0.unwrap_err().as_str()).or_default() += 1;
    }
    let fetched = fetched.lock().unwrap().clone();
    no_more_than_two_within_30_seconds(&fetched);
    let flood = start..start + secs(30);
    let while_flooded = fetched.iter().filter(|at| flood.contains(at)).count();
    println!("10,000 random ids in 30 s: {while_flooded} fetches, {seen:?}, {passed} valid passed");
    assert!(while_flooded <= 2);
    // Those that a fetch looked for are not there; nothing is known of the others.
    assert_eq!(seen.values().sum::<usize>(), 10_000);
    assert!(seen.keys().all(|name| ["key_not_found", "keys_unavailable"].contains(name)));
    assert!(seen["key_not_found"] >= 2);
}

#[tokio::test(start_paused = true)]
async fn a_flood_at_8_tokens_a_millisecond_on_an_issuer_that_is_down_stops_no_valid_token() {
    let world = World::warm().await;
    let times = Arc::new(Mutex::new(Vec::new()));
    let noted = times.clone();
    world.client.serve_with(KEYS, move || {
        noted.lock().unwrap().push(Instant::now());
        Answer::later(async {
            sleep(millis(500)).await;
            Err(HttpError::Failed("down".into()))
        })
    });
    let valid = world.token();
    let strangers: Vec<_> = (0..64).map(world.strangers()).collect();
    let mut asked = Vec::new();
    // Longer than the one fetch that the budget has left.
    for round in 0..1000 {
        asked.extend((0..8).map(|at| world.spawn_with(strangers[(round * 8 + at) % 64].clone())));
        if round % 8 == 0 {
            assert_eq!(at_once(&world.guard, &valid), Some(Ok(())));
        }
        sleep(millis(1)).await;
    }
    for asked in asked {
        assert_eq!(asked.await.unwrap().0, Err(Reason::KeysUnavailable));
    }
    let times = times.lock().unwrap();
    assert_eq!(times.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_threads_at_once_find_every_key_that_is_known_and_fetch_within_the_budget() {
    let world = World::warm().await;
    let valid = world.token().bearer();
    let strangers: Vec<_> = (0..16).map(|id| world.stranger(id).bearer()).collect();
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (guard, valid, strangers) = (world.guard.clone(), valid.clone(), strangers.clone());
            tokio::spawn(async move {
                for round in 0..300 {
                    let mut known = head("/orders", &[&valid]);
                    let verdict = guard.authorize(&mut known, READ).now();
                    assert!(verdict.expect("it must not wait").is_ok());
                    let stranger = &strangers[(task + round) % 16];
                    let denial = judged(&guard, stranger).await.unwrap_err();
                    let refused = [Reason::KeyNotFound, Reason::KeysUnavailable];
                    assert!(refused.contains(&denial.reason()));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    // The first one, and one more: all of it takes less than 30 seconds.
    assert!(world.fetches() <= 2, "{}", world.fetches());
}

// Rotation

#[tokio::test(start_paused = true)]
async fn a_key_that_is_published_before_it_signs_fails_no_request() {
    let world = World::warm().await;
    for _ in 0..5 {
        let old = world.token();
        world.login.rotate();
        // Tokens of the new key come at once.
        for _ in 0..10 {
            assert_eq!(reason(&world.guard, &world.token()).await, None);
            assert_eq!(at_once(&world.guard, &old), Some(Ok(())));
            sleep(secs(5)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_signs_before_it_is_published_is_found_within_30_seconds_of_the_first_token() {
    let world = World::warm().await;
    let before = world.login.jwks();
    world.client.serve(KEYS, before);
    world.login.rotate();
    assert_eq!(reason(&world.guard, &world.token()).await, Some(Reason::KeyNotFound));
    world.client.serve(KEYS, world.login.jwks());
    sleep(secs(29)).await;
    assert_eq!(reason(&world.guard, &world.token()).await, Some(Reason::KeyNotFound));
    sleep(secs(1)).await;
    assert_eq!(reason(&world.guard, &world.token()).await, None);
    assert_eq!(world.fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_key_is_refused_as_soon_as_a_fetch_does_not_return_it() {
    let world = World::warm().await;
    let old = world.token();
    world.login.rotate();
    world.login.withdraw_old_keys();
    assert_eq!(at_once(&world.guard, &old), Some(Ok(())), "not known yet");
    assert_eq!(reason(&world.guard, &world.token()).await, None);
    assert_eq!(reason(&world.guard, &old).await, Some(Reason::KeyNotFound));
}

#[tokio::test(start_paused = true)]
async fn a_fetched_set_without_a_usable_key_withdraws_the_keys_and_is_answered_with_503() {
    let unusable = json!({ "keys": [{ "kty": "EC", "kid": "test-1" }] }).to_string();
    for (set, skipped) in [(r#"{"keys":[]}"#, 0), (&*unusable, 1)] {
        let world = World::warm().await;
        world.client.serve(KEYS, set);
        let unavailable = async |token: &TestToken| {
            let denial = judged(&world.guard, &token.bearer()).await.unwrap_err();
            assert_eq!((denial.status().as_u16(), denial.reason()), (503, Reason::KeysUnavailable));
            assert!(denial.headers().contains_key("retry-after"));
            assert!(denial.challenge().is_none());
        };
        unavailable(&world.stranger(1)).await;
        unavailable(&world.token()).await;
        unavailable(&world.token().without_header("kid")).await;
        assert!(world.last_detail().contains("no key that can be used"), "{}", world.last_detail());
        let status = world.status();
        assert_eq!((status.state, status.keys, status.skipped), (KeyState::Fresh, 0, skipped));
        assert!(!world.guard.readiness().is_ready());
        let login = world.login.clone();
        world.client.serve_with(KEYS, move || answered(200, login.jwks()));
        sleep(secs(31)).await;
        assert_eq!(at_once(&world.guard, &world.token()), Some(Ok(())));
    }
}

// How long keys serve

#[tokio::test(start_paused = true)]
async fn how_long_keys_serve_without_their_issuer_can_be_set() {
    let world = World::with(|keys| keys.stale_for(secs(60)));
    assert!(world.guard.ready().await.is_ready());
    world.client.set_unreachable(true);
    sleep(secs(60) - millis(1)).await;
    assert_eq!(at_once(&world.guard, &world.token()), Some(Ok(())));
    sleep(millis(1)).await;
    assert_eq!(reason(&world.guard, &world.token()).await, Some(Reason::KeysUnavailable));

    let world = World::with(|keys| keys.stale_for(Duration::MAX));
    assert!(world.guard.ready().await.is_ready());
    world.client.set_unreachable(true);
    sleep(secs(7 * 24 * 3600)).await;
    assert_eq!(at_once(&world.guard, &world.token()), Some(Ok(())));
    assert_eq!(world.status().state, KeyState::Stale);
}

#[test]
fn keys_that_serve_for_less_than_a_minute_are_a_mistake() {
    let keys = || RemoteKeys::from_jwks_uri(KEYS, ScriptedClient::new()).unwrap();
    let tried = catch_unwind(AssertUnwindSafe(|| drop(keys().stale_for(millis(59_999)))));
    assert!(tried.is_err());
    drop(keys().stale_for(secs(60)));
}

#[tokio::test(start_paused = true)]
async fn cache_control_says_how_often_keys_are_renewed_within_bounds() {
    // The answers within a day, and how often each may be given at least and at most.
    let cases = [
        (None, 160, 193),
        (Some("max-age=0"), 320, 385),
        (Some("no-store"), 320, 385),
        (Some("max-age=3600"), 26, 33),
        (Some("max-age=99999999999"), 1, 2),
        (Some("max-age=18446744073709551615"), 1, 2),
        (Some("max-age=never"), 160, 193),
    ];
    for (said, least, most) in cases {
        let world = World::with(|keys| keys.stale_for(secs(48 * 3600)));
        let login = world.login.clone();
        world.client.serve_with(KEYS, move || {
            let mut answer = Response::new(login.jwks().into_bytes());
            if let Some(said) = said {
                answer.headers_mut().insert("cache-control", HeaderValue::from_static(said));
            }
            Answer::Now(Ok(answer))
        });
        assert!(world.guard.ready().await.is_ready());
        let before = world.fetches();
        sleep(secs(24 * 3600)).await;
        let renewed = world.fetches() - before;
        assert!((least..=most).contains(&renewed), "{said:?}: {renewed}");
        assert_eq!(world.status().state, KeyState::Fresh, "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn renewal_goes_on_without_requests_and_ends_with_the_guard() {
    let world = World::warm().await;
    sleep(secs(6 * 3600)).await;
    let renewed = world.fetches();
    assert!((36..=49).contains(&renewed), "{renewed}");
    assert_eq!(world.status().state, KeyState::Fresh);
    let another = world.guard.clone();
    let World { client, guard, .. } = world;
    drop(guard);
    sleep(secs(3600)).await;
    assert!(client.requests(KEYS) > renewed);
    let renewed = client.requests(KEYS);
    drop(another);
    sleep(secs(24 * 3600)).await;
    assert_eq!(client.requests(KEYS), renewed);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_down_is_asked_ever_more_seldom_and_asked_again_by_itself() {
    let world = World::warm().await;
    world.keys_fail();
    let before = world.fetches();
    sleep(secs(12 * 3600)).await;
    let tried = world.fetches() - before;
    // About every five minutes.
    assert!((100..200).contains(&tried), "{tried}");
    let login = world.login.clone();
    world.client.serve_with(KEYS, move || answered(200, login.jwks()));
    sleep(secs(300)).await;
    assert_eq!(world.status().state, KeyState::Fresh);
}

// The cold start

#[tokio::test(start_paused = true)]
async fn a_cold_start_against_a_slow_issuer_is_one_clear_answer_and_one_fetch_for_all() {
    let world = World::new();
    let metadata = json!({ "issuer": LOGIN, "jwks_uri": KEYS }).to_string();
    world.client.serve_with(METADATA, move || slow(secs(2), metadata.clone()));
    world.keys_take(secs(2));
    let start = Instant::now();
    let herd: Vec<_> = (0..1000).map(|_| world.spawn(&world.token())).collect();
    let mut seen: BTreeMap<(String, Duration), usize> = BTreeMap::new();
    for asked in herd {
        let (verdict, at) = asked.await.unwrap();
        let verdict =
            verdict.map_or_else(|reason| reason.as_str().to_owned(), |()| "ok".to_owned());
        *seen.entry((verdict, at - start)).or_default() += 1;
    }
    println!("1,000 requests at the start: {seen:?}");
    assert!(
        seen.keys().all(|(verdict, after)| verdict == "keys_unavailable" && *after < millis(2002))
    );
    assert_eq!((world.client.requests(METADATA), world.fetches()), (1, 1));

    // One request every 50 ms.
    let mut accepted = Vec::new();
    for _ in 0..80 {
        accepted.push((Instant::now() - start, world.spawn(&world.token())));
        sleep(millis(50)).await;
    }
    let mut first = None;
    for (asked, verdict) in accepted {
        let (verdict, at) = verdict.await.unwrap();
        // The first requests were answered after two seconds. One that comes now waits for the rest of the fetch, and
        // passes.
        assert_eq!(verdict, Ok(()), "asked after {asked:?}");
        first.get_or_insert((asked, at - start));
    }
    let (asked, first) = first.unwrap();
    println!("first accepted {first:?} after the start, asked after {asked:?}");
    assert!(first <= millis(4010), "{first:?}");
    assert_eq!((world.client.requests(METADATA), world.fetches()), (1, 1));
    assert_eq!(world.status().fetches, 1);
}

/// What an issuer may do instead of giving its keys, at the URL of its metadata or of its keys.
fn broken(kind: u64) -> HttpAnswer {
    match kind % 8 {
        0 => failing("connection refused"),
        1 => answered(503, ""),
        2 => answered(404, ""),
        3 => answered(200, "<html>"),
        4 => answered(200, r#"{"keys":[]}"#),
        5 => Answer::later(std::future::pending()),
        6 => slow(secs(3), "starting".to_owned()),
        _ => slow(millis(4900), "{}".to_owned()),
    }
}

/// When the metadata was asked for: once for each attempt.
fn attempts(
    world: &World,
    answer: impl Fn() -> HttpAnswer + Send + Sync + 'static,
) -> Arc<Mutex<Vec<Instant>>> {
    let times = Arc::new(Mutex::new(Vec::new()));
    let noting = times.clone();
    world.client.serve_with(METADATA, move || {
        noting.lock().unwrap().push(Instant::now());
        answer()
    });
    times
}

fn no_more_than_six_in_the_first_30_seconds_and_three_in_any_later(times: &[Instant]) {
    let end = times[0] + secs(30);
    let first = times.iter().filter(|at| **at < end).count();
    assert!((4..=6).contains(&first), "{first}");
    let later: Vec<_> = times.iter().copied().filter(|at| *at >= end).collect();
    for window in later.windows(4) {
        let apart = window[3] - window[0];
        assert!(apart >= secs(30), "four attempts within {apart:?}");
    }
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] < secs(15), "{:?}", pair[1] - pair[0]);
    }
}

#[tokio::test(start_paused = true)]
async fn before_the_first_keys_requests_and_probes_add_no_fetch() {
    for (requests, probes) in [(false, false), (true, false), (false, true), (true, true)] {
        let world = World::new();
        let times = attempts(&world, || failing("down"));
        assert!(!world.guard.ready().await.is_ready());
        let bearer = world.token().bearer();
        for _ in 0..1200 {
            if requests {
                let denial = judged(&world.guard, &bearer).await.unwrap_err();
                assert_eq!(denial.reason(), Reason::KeysUnavailable);
                let after = denial.headers()["retry-after"].to_str().unwrap().parse::<u64>();
                assert!((1..=15).contains(&after.unwrap()));
            }
            if probes {
                assert!(!world.guard.readiness().is_ready());
                assert!(!world.guard.ready().await.is_ready());
            }
            sleep(millis(500)).await;
        }
        let times = times.lock().unwrap().clone();
        no_more_than_six_in_the_first_30_seconds_and_three_in_any_later(&times);
        println!("requests: {requests}, probes: {probes}: {} attempts in 10 minutes", times.len());
        assert!((40..=62).contains(&times.len()), "{}", times.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_blip_at_the_start_is_over_a_second_later() {
    let world = World::new();
    world.client.set_unreachable(true);
    for _ in 0..3 {
        assert_eq!(reason(&world.guard, &world.token()).await, Some(Reason::KeysUnavailable));
    }
    world.client.set_unreachable(false);
    sleep(secs(1)).await;
    assert_eq!(at_once(&world.guard, &world.token()), Some(Ok(())));
    // The fetch that brought them counts, and one more may begin in these 30 seconds.
    assert_eq!(reason(&world.guard, &world.stranger(1)).await, Some(Reason::KeyNotFound));
    assert_eq!(reason(&world.guard, &world.stranger(2)).await, Some(Reason::KeysUnavailable));
    assert_eq!(world.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_first_request_passes_within_15_seconds_of_a_repair_however_long_the_outage_was() {
    let mut took = Vec::new();
    for seed in 0..40_u64 {
        // splitmix64
        let mut state = seed;
        let mut random = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        let world = World::new();
        let (kind, at_metadata) = (random(), random() % 2 == 0);
        let url = if at_metadata { METADATA } else { KEYS };
        world.client.serve_with(url, move || broken(kind));
        // From a tenth of a second to fifteen minutes, on a logarithmic scale.
        let outage = millis(100).mul_f64(9000_f64.powf(random() as f64 / u64::MAX as f64));
        let bearer = world.token().bearer();
        let started = Instant::now();
        while started.elapsed() < outage {
            let asked = timeout(outage - started.elapsed(), judged(&world.guard, &bearer)).await;
            assert!(asked.is_err() || asked.unwrap().is_err(), "seed {seed}");
            sleep(secs(2).min(outage - started.elapsed().min(outage))).await;
        }
        let repaired = Instant::now();
        let login = world.login.clone();
        let metadata = json!({ "issuer": LOGIN, "jwks_uri": KEYS }).to_string();
        world.client.serve_with(KEYS, move || slow(millis(50), login.jwks()));
        world.client.serve_with(METADATA, move || slow(millis(50), metadata.clone()));
        while judged(&world.guard, &bearer).await.is_err() {
            sleep(millis(100)).await;
            assert!(repaired.elapsed() <= secs(15), "seed {seed}: {outage:?}, kind {kind}");
        }
        took.push(repaired.elapsed());
        assert!(repaired.elapsed() <= secs(15), "seed {seed}: {outage:?}, kind {kind}");
    }
    took.sort();
    let [least, median, most] = [0, 20, 39].map(|at| took[at]);
    println!("from the repair to the first accepted request: {least:?} / {median:?} / {most:?}");
}

// The probe

#[tokio::test(start_paused = true)]
async fn a_probe_alone_makes_a_service_ready() {
    let world = World::new();
    world.keys_take(millis(200));
    assert!(!world.guard.readiness().is_ready());
    sleep(millis(100)).await;
    let status = world.status();
    assert_eq!((status.state, status.fetches, status.is_ready()), (KeyState::Missing, 1, false));
    sleep(millis(101)).await;
    assert!(world.guard.readiness().is_ready());
    assert_eq!(world.fetches(), 1);
}

#[test]
fn outside_a_runtime_a_probe_fetches_nothing_and_says_why() {
    let world = World::new();
    for _ in 0..2 {
        let readiness = world.guard.readiness();
        assert!(!readiness.is_ready());
    }
    assert!(world.error().contains("Tokio runtime"), "{}", world.error());
    assert_eq!((world.status().fetches, world.client.requests(METADATA)), (0, 0));
}

// Several issuers

#[tokio::test(start_paused = true)]
async fn two_issuers_with_the_same_key_id_are_told_apart() {
    // Both call their first key `test-1`.
    let (one, other) = (TestIssuer::new(LOGIN), TestIssuer::new(OTHER));
    let (client, others) = (one.client(), other.client());
    let guard = Guard::new(ORDERS, Issuer::discover(LOGIN, client.clone()).unwrap())
        .trust(Issuer::discover(OTHER, others.clone()).unwrap());
    assert!(guard.ready().await.is_ready());
    for login in [&one, &other] {
        let token = login.token(&ORDERS).scope("orders:read");
        assert_eq!(at_once(&guard, &token), Some(Ok(())));
    }
    let crossed = one.token(&ORDERS).scope("orders:read").forged_by(&other);
    assert_eq!(at_once(&guard, &crossed), Some(Err(Reason::SignatureInvalid)));

    // An issuer that is down does not affect the other, and neither do its fetches.
    others.set_unreachable(true);
    sleep(secs(3601)).await;
    let states: Vec<_> = guard.readiness().issuers().map(|(_, status)| status.state).collect();
    assert_eq!(states, [KeyState::Fresh, KeyState::Expired]);
    assert!(!guard.readiness().is_ready());
    assert_eq!(at_once(&guard, &one.token(&ORDERS).scope("orders:read")), Some(Ok(())));
    let before = client.requests(KEYS);
    let stranger = other.token(&ORDERS).header("kid", "x");
    assert_eq!(reason(&guard, &stranger).await, Some(Reason::KeysUnavailable));
    assert_eq!(client.requests(KEYS), before);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_issuers_each_have_their_own_keys() {
    let issuers: Vec<_> =
        (0..100).map(|id| TestIssuer::new(format!("https://t{id}.example"))).collect();
    let discover = |login: &TestIssuer, id: usize| {
        Issuer::discover(&format!("https://t{id}.example"), login.client()).unwrap()
    };
    let mut guard = Guard::new(ORDERS, discover(&issuers[0], 0));
    for (id, login) in issuers.iter().enumerate().skip(1) {
        guard = guard.trust(discover(login, id));
    }
    assert!(guard.ready().await.is_ready());
    for id in [0, 1, 50, 99] {
        let token = issuers[id].token(&ORDERS).scope("orders:read");
        assert_eq!(at_once(&guard, &token), Some(Ok(())));
        let forged = token.forged_by(&issuers[(id + 1) % 100]);
        assert_eq!(at_once(&guard, &forged), Some(Err(Reason::SignatureInvalid)));
    }
}

// Tenants

const TEMPLATE: &str = "https://login.example/{tenant}/v2";

fn tenant(name: &str) -> TestIssuer {
    TestIssuer::new(format!("https://login.example/{name}/v2"))
}

fn of_tenant(login: &TestIssuer) -> TestToken {
    login.token(&ORDERS).scope("orders:read")
}

#[tokio::test(start_paused = true)]
async fn a_tenant_is_approved_for_every_token_and_before_anything_is_made_of_its_name() {
    let acme = tenant("acme");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let made = Arc::new(Mutex::new(Vec::new()));
    let approved = Arc::new(AtomicBool::new(false));
    let (told, making, approve) = (asked.clone(), made.clone(), approved.clone());
    let client = acme.client();
    let issuer = Issuer::tenants(
        TEMPLATE,
        move |tenant| {
            told.lock().unwrap().push(tenant.to_owned());
            approve.load(Ordering::SeqCst)
        },
        move |issuer| {
            making.lock().unwrap().push(issuer.to_owned());
            RemoteKeys::discover(issuer, client.clone())
        },
    )
    .unwrap();
    let guard = Guard::new(ORDERS, issuer);
    // It is not known which tenants exist.
    assert_eq!(guard.ready().await.issuers().count(), 0);
    assert!(guard.readiness().is_ready());

    assert_eq!(reason(&guard, &of_tenant(&acme)).await, Some(Reason::IssuerUntrusted));
    assert_eq!(*asked.lock().unwrap(), ["acme"]);
    assert!(made.lock().unwrap().is_empty());
    approved.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(reason(&guard, &of_tenant(&acme)).await, None);
    }
    assert_eq!(asked.lock().unwrap().len(), 4);
    assert_eq!(*made.lock().unwrap(), ["https://login.example/acme/v2"]);
    approved.store(false, Ordering::SeqCst);
    assert_eq!(reason(&guard, &of_tenant(&acme)).await, Some(Reason::IssuerUntrusted));
}

#[test]
fn no_request_is_sent_for_a_tenant_that_is_not_a_word() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let issuer = Issuer::tenants(
        TEMPLATE,
        move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            true
        },
        |_| Ok(KeySet::default()),
    );
    let guard = Guard::new(ORDERS, issuer.unwrap());
    let long = "a".repeat(65);
    for bad in [
        "", ".", "..", "../evil", "a/b", "a%2Fb", "a?b", "a#b", "a@b", "a:b", "a_b", "a b",
        "\u{e4}", "{tenant}", &long,
    ] {
        let token = of_tenant(&tenant(bad));
        assert_eq!(at_once(&guard, &token), Some(Err(Reason::IssuerUntrusted)), "{bad:?}");
    }
    for other in ["https://login.example/a/v2/", "https://login.example//v2", "https://x/a/v2"] {
        let token = of_tenant(&TestIssuer::new(other));
        assert_eq!(at_once(&guard, &token), Some(Err(Reason::IssuerUntrusted)), "{other:?}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    let token = of_tenant(&tenant(&"a".repeat(64)));
    assert_eq!(at_once(&guard, &token), Some(Err(Reason::KeyNotFound)));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn the_keys_of_the_tenant_that_was_not_used_for_longest_are_forgotten() {
    let made = Arc::new(Mutex::new(Vec::new()));
    let making = made.clone();
    let all: BTreeMap<_, _> = ["a", "b", "c"]
        .map(|name| (format!("https://login.example/{name}/v2"), tenant(name)))
        .into();
    let keys = all.clone();
    let issuer = Issuer::tenants(
        TEMPLATE,
        |_| true,
        move |issuer| {
            making.lock().unwrap().push(issuer.chars().nth(22).unwrap());
            Ok(keys[issuer].keys())
        },
    );
    let guard = Guard::new(ORDERS, issuer.unwrap().max_tenants(2));
    let use_it = |name: &str| {
        let token = of_tenant(&all[&format!("https://login.example/{name}/v2")]);
        assert_eq!(at_once(&guard, &token), Some(Ok(())), "{name}");
        made.lock().unwrap().iter().collect::<String>()
    };
    assert_eq!(use_it("a"), "a");
    assert_eq!(use_it("b"), "ab");
    assert_eq!(use_it("a"), "ab");
    assert_eq!(use_it("c"), "abc"); // instead of b
    assert_eq!(use_it("a"), "abc");
    assert_eq!(use_it("c"), "abc");
}

/// Tokens that are not verified neither keep a slot nor take one from tenants in use, and cost little.
#[test]
fn tokens_that_are_not_verified_evict_no_tenant_that_is_in_use() {
    let made = Arc::new(AtomicUsize::new(0));
    let (making, acme) = (made.clone(), tenant("acme"));
    let keys = acme.keys();
    let issuer = Issuer::tenants(
        TEMPLATE,
        |_| true,
        move |issuer| {
            making.fetch_add(1, Ordering::SeqCst);
            Ok(if issuer.contains("acme") { keys.clone() } else { KeySet::default() })
        },
    );
    let guard = Guard::new(ORDERS, issuer.unwrap().max_tenants(3));
    assert_eq!(at_once(&guard, &of_tenant(&acme)), Some(Ok(())));
    for number in 0..1000 {
        let forged = of_tenant(&acme).claim("iss", format!("https://login.example/t{number}/v2"));
        let refused =
            [Reason::KeyNotFound, Reason::KeysUnavailable].map(|reason| Some(Err(reason)));
        assert!(refused.contains(&at_once(&guard, &forged)));
    }
    // It is still there.
    let before = made.load(Ordering::SeqCst);
    assert_eq!(at_once(&guard, &of_tenant(&acme)), Some(Ok(())));
    assert_eq!(made.load(Ordering::SeqCst), before);
    // Two free slots, and then one each second.
    assert!(before < 20, "{before}");
}

#[test]
fn settings_of_a_clone_are_not_the_others() {
    let acme = tenant("acme");
    let keys = acme.keys();
    let issuer = Issuer::tenants(TEMPLATE, |_| true, move |_| Ok(keys.clone())).unwrap();
    let strict = Guard::new(ORDERS, issuer.clone());
    let other = Guard::new(ORDERS, issuer.clone().algorithms([Algorithm::Rs256]));
    let profiled = Profile::rfc9068().tenant_claim("tid").tenant_in_issuer();
    let profiled = Guard::new(ORDERS, issuer.profile(profiled));
    let token = of_tenant(&acme);
    let wrong = of_tenant(&acme).claim("tid", "evil");
    for _ in 0..2 {
        assert_eq!(at_once(&strict, &token), Some(Ok(())));
        assert_eq!(at_once(&other, &token), Some(Err(Reason::AlgorithmNotAllowed)));
        assert_eq!(at_once(&strict, &wrong), Some(Ok(())));
        assert_eq!(at_once(&profiled, &wrong), Some(Err(Reason::TenantMismatch)));
    }
}

#[test]
fn the_tenant_claim_must_say_the_tenant_of_the_issuer() {
    let acme = tenant("acme");
    let keys = acme.keys();
    let issuer = Issuer::tenants(TEMPLATE, |_| true, move |_| Ok(keys.clone())).unwrap();
    let profile = Profile::rfc9068().tenant_claim("tid");
    let lax = Guard::new(ORDERS, issuer.clone().profile(profile.clone()));
    let guard = Guard::new(ORDERS, issuer.profile(profile.tenant_in_issuer()));
    // The claim may have another name.
    assert_eq!(at_once(&lax, &of_tenant(&acme).claim("tid", "org_1")), Some(Ok(())));
    let of = |tenant: &str| at_once(&guard, &of_tenant(&acme).claim("tid", tenant));
    assert_eq!(of("acme"), Some(Ok(())));
    for other in ["ACME", "acme ", "", "evil"] {
        assert_eq!(of(other), Some(Err(Reason::TenantMismatch)), "{other:?}");
    }
}

#[test]
fn a_template_lets_no_token_choose_where_keys_come_from() {
    let fits = |template: &str| {
        Issuer::tenants(template, |_| true, |_| Ok(KeySet::default())).map(drop).is_ok()
    };
    for good in [TEMPLATE, "https://{tenant}.login.example", "https://{tenant}.login.example/o"] {
        assert!(fits(good), "{good}");
    }
    for bad in [
        "",
        "https://login.example",
        "https://login.example/{tenant}/{tenant}",
        "https://{tenant}",
        "https://{tenant}/",
        "https://{tenant}:443/",
        "https://login.{tenant}/x",
        "https://login.{tenant}.example/x",
        "https://login-{tenant}.example/x",
        "http://login.example/{tenant}",
        "https://login.example/{tenant}?x",
        "https://login.example/x?{tenant}",
        "https://login.example/x#{tenant}",
        "https://{tenant}@login.example/",
        "https://login.example:{tenant}/",
        "{tenant}://login.example/",
        "https://login.example/../{tenant}",
    ] {
        assert!(!fits(bad), "{bad}");
    }
    let error = Issuer::tenants("https://login.example", |_| true, |_| Ok(KeySet::default()));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("`{tenant}` once"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_key_of_a_shared_set_serves_the_issuer_that_it_names_and_none_without_a_name() {
    let (acme, other) = (tenant("acme"), tenant("other"));
    let named = |login: &TestIssuer, kid: &str, issuer: Option<&str>| {
        let mut key = serde_json::from_str::<Value>(&login.jwks()).unwrap()["keys"][0].clone();
        key["kid"] = kid.into();
        if let Some(issuer) = issuer {
            key["issuer"] = issuer.into();
        }
        key
    };
    let any = "https://login.example/{tenantid}/v2";
    let jwks = json!({ "keys": [
        named(&acme, "acme", Some("https://login.example/acme/v2")),
        named(&other, "any", Some(any)),
        named(&acme, "nobody", None),
    ]});
    let client = ScriptedClient::new();
    client.serve(KEYS, jwks.to_string());
    let keys = RemoteKeys::from_jwks_uri(KEYS, client.clone()).unwrap();
    let issuer = Issuer::tenants_with_shared_keys(TEMPLATE, |_| true, keys).unwrap();
    let guard = Guard::new(ORDERS, issuer);
    // They are one set, so it is known before the first token whether it is there.
    let readiness = guard.ready().await;
    assert!(readiness.is_ready());
    assert_eq!(readiness.issuers().next().map(|(name, _)| name), Some(TEMPLATE));

    let ask = |login: &TestIssuer, kid: &str, by: &TestIssuer| {
        at_once(&guard, &of_tenant(login).header("kid", kid).forged_by(by))
    };
    assert_eq!(ask(&acme, "acme", &acme), Some(Ok(())));
    assert_eq!(ask(&other, "acme", &acme), Some(Err(Reason::KeyUnusable)));
    assert_eq!(ask(&acme, "any", &other), Some(Ok(())));
    assert_eq!(ask(&other, "any", &other), Some(Ok(())));
    assert_eq!(ask(&acme, "nobody", &acme), Some(Err(Reason::KeyUnusable)));
    assert_eq!(client.requests(KEYS), 1);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_trusted_by_its_name_is_not_a_tenant() {
    let acme = tenant("acme");
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let template = Issuer::tenants(
        TEMPLATE,
        move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            true
        },
        |_| Ok(KeySet::default()),
    );
    let guard = Guard::new(ORDERS, template.unwrap()).trust(acme.issuer());
    assert_eq!(at_once(&guard, &of_tenant(&acme)), Some(Ok(())));
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    assert_eq!(at_once(&guard, &of_tenant(&tenant("b"))), Some(Err(Reason::KeyNotFound)));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // The template itself names no issuer.
    let template = of_tenant(&TestIssuer::new(TEMPLATE));
    assert_eq!(at_once(&guard, &template), Some(Err(Reason::IssuerUntrusted)));
}

#[test]
fn tenants_with_one_set_of_keys_are_as_many_as_there_are() {
    let acme = tenant("acme");
    let named =
        acme.jwks().replace(r#""kty""#, r#""issuer":"https://login.example/{tenantid}/v2","kty""#);
    let keys = KeySet::from_json(&named).unwrap();
    let issuer = Issuer::tenants_with_shared_keys(TEMPLATE, |_| true, keys).unwrap();
    let guard = Guard::new(ORDERS, issuer.max_tenants(2));
    for _ in 0..2 {
        for number in 0..50 {
            let token =
                of_tenant(&acme).claim("iss", format!("https://login.example/t{number}/v2"));
            assert_eq!(at_once(&guard, &token), Some(Ok(())), "{number}");
        }
    }
}

/// How many tasks there are, once each has had its turn. Without that of the test.
async fn tasks() -> usize {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Answers for any tenant, with the keys of one issuer. Counts all requests.
fn any_tenant(keys: &TestIssuer) -> (Arc<AtomicUsize>, impl HttpClient + Clone) {
    let (count, jwks) = (Arc::new(AtomicUsize::new(0)), keys.jwks());
    let counted = count.clone();
    let client = move |request: Request<Vec<u8>>, _: HttpLimits| -> HttpAnswer {
        counted.fetch_add(1, Ordering::SeqCst);
        let path = request.uri().path().to_owned();
        match path.strip_prefix("/.well-known/oauth-authorization-server") {
            Some(issuer) => {
                let issuer = format!("https://login.example{issuer}");
                let jwks_uri = format!("{issuer}/keys");
                answered(200, json!({ "issuer": issuer, "jwks_uri": jwks_uri }).to_string())
            }
            None => answered(200, jwks.clone()),
        }
    };
    (count, client)
}

fn guard_of_tenants(client: impl HttpClient + Clone, most: usize) -> Guard {
    let keys = move |issuer: &str| RemoteKeys::discover(issuer, client.clone());
    let issuer = Issuer::tenants(TEMPLATE, |_| true, keys).unwrap();
    Guard::new(ORDERS, issuer.max_tenants(most))
}

#[test]
fn a_month_after_forged_tokens_of_300_tenants_nothing_is_sent_and_no_task_is_left() {
    const TENANTS: usize = 300;
    const DAY: Duration = secs(24 * 3600);
    let (acme, forger) = (tenant("acme"), TestIssuer::new(LOGIN));
    let (count, client) = any_tenant(&acme);
    let sent = || count.load(Ordering::SeqCst);
    let of = |number: usize| {
        of_tenant(&acme).claim("iss", format!("https://login.example/t{number}/v2"))
    };
    let forged: Vec<_> =
        (0..TENANTS).map(|number| of(number).forged_by(&forger).bearer()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let mut kept = None;
    let heap = allocation_counter::measure(|| {
        runtime.block_on(async {
            let guard = guard_of_tenants(client, TENANTS);
            for half in 1..=2 {
                for bearer in &forged {
                    let denial = judged(&guard, bearer).await.unwrap_err();
                    assert_eq!(denial.reason(), Reason::SignatureInvalid);
                }
                // The metadata and the keys.
                assert_eq!(sent(), half * 2 * TENANTS, "a forged token is one fetch");
                println!("{} tasks right after the forged tokens", tasks().await);
                sleep(DAY * 15).await;
                assert_eq!(sent(), half * 2 * TENANTS, "and nothing after it");
                assert_eq!(tasks().await, 0);
            }
            kept = Some(guard);
        });
    });
    let each = heap.bytes_current / TENANTS as i64;
    println!("after a month: {} requests, 0 tasks, {each} bytes of heap for each tenant", sent());
    assert!(each < 8 * 1024, "{each}");
    drop(kept);
}

#[tokio::test(start_paused = true)]
async fn two_fetches_for_a_tenant_begin_within_30_seconds_from_the_start() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let noted = times.clone();
    let client = move |request: Request<Vec<u8>>, _: HttpLimits| -> HttpAnswer {
        // The first of the three URLs of each fetch.
        if request.uri().path().starts_with("/.well-known/oauth-authorization-server") {
            noted.lock().unwrap().push(Instant::now());
        }
        failing("down")
    };
    let guard = guard_of_tenants(client, 10);
    let token = of_tenant(&tenant("acme"));
    for _ in 0..600 {
        assert_eq!(reason(&guard, &token).await, Some(Reason::KeysUnavailable));
        sleep(millis(200)).await;
    }
    let times = times.lock().unwrap().clone();
    no_more_than_two_within_30_seconds(&times);
    assert_eq!(times.len(), 8, "in 120 seconds of requests");
    sleep(secs(24 * 3600)).await;
    assert_eq!(tasks().await, 0, "none tries again without a request");
}

#[tokio::test(start_paused = true)]
async fn the_keys_of_a_tenant_are_renewed_while_its_tokens_are_verified_and_with_the_next_one() {
    let acme = tenant("acme");
    let (count, client) = any_tenant(&acme);
    let guard = guard_of_tenants(client, 10);
    let sent = || count.load(Ordering::SeqCst);
    let (token, forger) = (of_tenant(&acme), TestIssuer::new(LOGIN));
    assert_eq!(reason(&guard, &token).await, None);
    for _ in 0..6 * 60 {
        sleep(secs(60)).await;
        // A remembered token too: the keys are those that verified it.
        assert_eq!(at_once(&guard, &token), Some(Ok(())));
    }
    // 40 to 48 fetches of the keys, and about one of the metadata in an hour.
    let busy = sent();
    assert!((40..=60).contains(&busy), "{busy}");

    // Without tokens that are verified, one more renewal at most. A forged token does not count as use.
    sleep(secs(1200)).await;
    assert!(sent() <= busy + 2, "{}", sent() - busy);
    assert_eq!(tasks().await, 0);
    let quiet = sent();
    let forged = token.clone().forged_by(&forger);
    assert_eq!(at_once(&guard, &forged), Some(Err(Reason::SignatureInvalid)));
    sleep(secs(7 * 24 * 3600)).await;
    assert!(sent() <= quiet + 2, "{}", sent() - quiet);
    assert_eq!(tasks().await, 0);

    assert_eq!(reason(&guard, &token).await, None);
    let again = sent();
    sleep(secs(550)).await;
    assert!(sent() > again, "renewed by itself after it was used");
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_is_no_longer_approved_is_soon_not_fetched_again() {
    let acme = tenant("acme");
    let (count, client) = any_tenant(&acme);
    let approved = Arc::new(AtomicBool::new(true));
    let approve = approved.clone();
    let issuer = Issuer::tenants(
        TEMPLATE,
        move |_| approve.load(Ordering::SeqCst),
        move |issuer| RemoteKeys::discover(issuer, client.clone()),
    );
    let guard = Guard::new(ORDERS, issuer.unwrap());
    let token = of_tenant(&acme);
    assert_eq!(reason(&guard, &token).await, None);
    approved.store(false, Ordering::SeqCst);
    for _ in 0..24 * 60 {
        assert_eq!(at_once(&guard, &token), Some(Err(Reason::IssuerUntrusted)));
        sleep(secs(60)).await;
    }
    // The first fetch, and one renewal, since a token was verified before that.
    assert!(count.load(Ordering::SeqCst) <= 4, "{}", count.load(Ordering::SeqCst));
    assert_eq!(tasks().await, 0);
}

#[tokio::test(start_paused = true)]
async fn the_tasks_of_an_evicted_tenant_end_at_once_though_its_tokens_are_remembered() {
    let acme = tenant("acme");
    let (count, client) = any_tenant(&acme);
    let guard = guard_of_tenants(client, 1);
    let of = |name: &str| of_tenant(&acme).claim("iss", format!("https://login.example/{name}/v2"));
    assert_eq!(reason(&guard, &of("a")).await, None);
    assert_eq!(tasks().await, 1);
    assert_eq!(reason(&guard, &of("b")).await, None);
    assert_eq!(tasks().await, 1, "that of b");
    assert_eq!(count.load(Ordering::SeqCst), 4);
    drop(guard);
    assert_eq!(tasks().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_in_flight_ends_with_the_last_owner_of_its_keys() {
    let world = World::new();
    world.keys_hang();
    assert_eq!(reason(&world.guard, &world.token()).await, Some(Reason::KeysUnavailable));
    assert_eq!((world.fetches(), tasks().await), (1, 1));
    drop(world.guard);
    assert_eq!(tasks().await, 0);
}

#[test]
fn keys_that_take_long_to_make_hold_up_no_other_tenant() {
    let acme = tenant("acme");
    let (entered, has_entered) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (keys, released) = (acme.keys(), Mutex::new(released));
    let issuer = Issuer::tenants(
        TEMPLATE,
        |_| true,
        move |issuer| {
            if issuer.contains("slow") {
                entered.send(()).unwrap();
                released.lock().unwrap().recv().unwrap();
            }
            Ok(keys.clone())
        },
    );
    let guard = Guard::new(ORDERS, issuer.unwrap());
    let ask = |name: &str| {
        let token = of_tenant(&acme).claim("iss", format!("https://login.example/{name}/v2"));
        at_once(&guard, &token)
    };
    assert_eq!(ask("known"), Some(Ok(())));
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| ask("slow"));
        has_entered.recv().unwrap();
        let (answer, answered) = std::sync::mpsc::channel();
        let others = scope.spawn(move || {
            for name in ["known", "new"] {
                answer.send(ask(name)).unwrap();
            }
        });
        let answers = [(); 2].map(|()| answered.recv_timeout(secs(10)));
        release.send(()).unwrap();
        assert_eq!(answers, [Ok(Some(Ok(()))), Ok(Some(Ok(())))]);
        others.join().unwrap();
        assert_eq!(slow.join().unwrap(), Some(Ok(())));
    });
    assert_eq!(ask("slow"), Some(Ok(())));
}

/// Counts what it is told.
struct Told {
    keys: KeySet,
    renewed_while_used: AtomicUsize,
    asked: AtomicUsize,
    used: AtomicUsize,
}

impl KeySource for Told {
    fn keys(&self, _: KeyHint<'_>) -> Keys {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Answer::Now(Ok(self.keys.clone()))
    }

    fn renew_while_used(&self) {
        assert_eq!(self.asked.load(Ordering::SeqCst), 0);
        self.renewed_while_used.fetch_add(1, Ordering::SeqCst);
    }

    fn mark_used(&self) {
        self.used.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn the_source_of_a_tenant_is_told_so_and_told_of_each_token_that_it_verified() {
    let acme = tenant("acme");
    let told = || {
        let [renewed_while_used, asked, used] = [(); 3].map(|()| AtomicUsize::new(0));
        Arc::new(Told { keys: acme.keys(), renewed_while_used, asked, used })
    };
    let counts = |told: &Told| {
        [&told.renewed_while_used, &told.used].map(|count| count.load(Ordering::SeqCst))
    };
    let (of_acme, forger) = (told(), TestIssuer::new(LOGIN));
    let source = of_acme.clone();
    let issuer = Issuer::tenants(TEMPLATE, |_| true, move |_| Ok(source.clone())).unwrap();
    let guard = Guard::new(ORDERS, issuer);
    let token = of_tenant(&acme);
    for verified in 1..=3 {
        assert_eq!(at_once(&guard, &token), Some(Ok(())));
        assert_eq!(counts(&of_acme), [1, verified]);
        let forged = token.clone().forged_by(&forger);
        assert_eq!(at_once(&guard, &forged), Some(Err(Reason::SignatureInvalid)));
        assert_eq!(counts(&of_acme), [1, verified]);
    }
    // An issuer that is named at set-up, and keys that all tenants share.
    let named = told();
    let guard = Guard::new(ORDERS, Issuer::new("https://login.example/acme/v2", named.clone()));
    assert_eq!(at_once(&guard, &token), Some(Ok(())));
    assert_eq!(counts(&named), [0, 0]);
    let shared = told();
    let issuer = Issuer::tenants_with_shared_keys(TEMPLATE, |_| true, shared.clone()).unwrap();
    assert!(at_once(&Guard::new(ORDERS, issuer), &token).is_some());
    assert_eq!(counts(&shared)[0], 0);
}

#[test]
fn keys_that_a_function_asked_for_are_denied_as_the_guard_denies_them() {
    fn ask(unavailable: KeysUnavailable) -> Result<(), Denial> {
        Err(unavailable)?
    }
    for (seconds, sent) in [(None, "5"), (Some(2.0), "2"), (Some(0.2), "1"), (Some(1.2), "2")] {
        let mut unavailable = KeysUnavailable::new("connection refused");
        if let Some(seconds) = seconds {
            unavailable = unavailable.retry_after(Duration::from_secs_f64(seconds));
        }
        let denial = ask(unavailable).unwrap_err();
        assert_eq!((denial.reason(), denial.status().as_u16()), (Reason::KeysUnavailable, 503));
        assert_eq!(denial.headers()["retry-after"], sent);
        assert!(denial.challenge().is_none());
        let operator = denial.for_operator().to_string();
        assert!(
            operator.contains("the issuer's keys are unavailable: connection refused"),
            "{operator}"
        );
        assert!(!denial.problem_json().contains("refused"));
    }
}
