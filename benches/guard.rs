//! What one request costs: `cargo bench --bench guard`.
//!
//! Keys are at hand. A token has about 1.2 kB. What a DPoP proof costs, besides its token, is `proof`; the signature
//! alone, of a token, is `verify`.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use divan::Bencher;
use http::request::Parts;
use http::{Method, Request, Response};
use serde_json::json;
use time::UtcDateTime;
use tower::{Layer, Service, service_fn};
use unconfused::testing::{TestIssuer, TestProofKey, TestToken};
use unconfused::{
    Acr, Algorithm, Audience, Dpop, Guard, Issuer, KeySet, MemoryReplayStore, Nonces,
};
use unconfused::{Possession, Require, Scope, UnverifiedToken, Validation};

const ISSUER: &str = "https://login.example";
const ORDERS: Audience = Audience::from_static("https://orders.example/api");
const REFUND: Scope = Scope::from_static("orders:refund");

static LOGIN: LazyLock<TestIssuer> = LazyLock::new(|| TestIssuer::new(ISSUER));
static TOKEN: LazyLock<String> = LazyLock::new(|| token(&LOGIN));
static KEYS: LazyLock<KeySet> = LazyLock::new(|| LOGIN.keys());
/// With the keys at hand, as in a server whose cache is warm.
static GUARD: LazyLock<Guard> =
    LazyLock::new(|| Guard::new(ORDERS, Issuer::new(ISSUER, KEYS.clone())));

/// The same, with every token verified anew.
static COLD: LazyLock<Guard> = LazyLock::new(|| GUARD.clone().remember_tokens(0));

/// Cold, a token is new; warm, it is remembered.
const BOTH: [&str; 2] = ["cold", "warm"];

fn guard(state: &str) -> &'static Guard {
    if state == "cold" { &COLD } else { &GUARD }
}

/// A token as large as those of big issuers: two actors, groups, authorization details.
fn token(issuer: &TestIssuer) -> String {
    unsigned(issuer).sign()
}

fn unsigned(issuer: &TestIssuer) -> TestToken {
    let groups: Vec<_> = (0..15).map(|n| format!("team-{n:04}-support")).collect();
    issuer
        .token(&ORDERS)
        .subject("248289761001")
        .scope("openid profile orders:read orders:write orders:refund customers:read")
        .acr("phr")
        .authenticated(Duration::from_secs(60))
        .lifetime(Duration::from_secs(7000))
        .actor_of("https://agents.example", "planner-1")
        .actor("support-agent")
        .claim("amr", ["pwd", "hwk"])
        .claim("groups", groups)
        .claim(
            "authorization_details",
            json!([{ "type": "refund", "currency": "EUR", "max": 250 }]),
        )
}

fn require() -> Require {
    Require::scope(REFUND)
        .acr([Acr::from_static("phr")])
        .max_age(Duration::from_secs(900))
        .actor([(ISSUER, "support-agent")])
}

fn request() -> Request<()> {
    Request::post("/orders/7/refund")
        .header("authorization", format!("Bearer {}", *TOKEN))
        .body(())
        .expect("a request")
}

fn head() -> Parts {
    request().into_parts().0
}

#[divan::bench]
fn parse() {
    let token = UnverifiedToken::parse(black_box(&TOKEN));
    drop(black_box(token.expect("a token")));
}

/// The signature alone.
#[divan::bench(args = [Algorithm::Es256, Algorithm::Ed25519, Algorithm::Rs256, Algorithm::Ps256])]
fn verify(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    let issuer = TestIssuer::with_algorithm(ISSUER, algorithm);
    let (token, keys) = (token(&issuer), issuer.keys());
    bencher.bench(|| keys.verify(black_box(&token), [algorithm]).expect("valid"));
}

/// Parsing, signature and claims.
#[divan::bench]
fn validate(bencher: Bencher<'_, '_>) {
    let (validation, now) = (Validation::new(ORDERS, ISSUER), UtcDateTime::now());
    bencher.bench(|| {
        let token = UnverifiedToken::parse(black_box(&TOKEN)).expect("a token");
        token.validate(&validation, &KEYS, now).expect("valid")
    });
}

#[divan::bench]
fn check(bencher: Bencher<'_, '_>) {
    let (validation, now) = (Validation::new(ORDERS, ISSUER), UtcDateTime::now());
    let token = UnverifiedToken::parse(&TOKEN).expect("a token");
    let token = token.validate(&validation, &KEYS, now).expect("valid");
    let require = require();
    bencher.bench(|| black_box(&require).check(black_box(&token), now).is_ok());
}

#[divan::bench(args = BOTH)]
fn authorize(bencher: Bencher<'_, '_>, state: &str) {
    let (guard, require) = (guard(state), require());
    bencher.with_inputs(head).bench_local_refs(|head| {
        let granted = guard.authorize(head, &require).now();
        granted.expect("at once").expect("granted")
    });
}

const PATH: &str = "/orders/7/refund";
const BASE: &str = "https://orders.example";

fn dpop() -> Dpop {
    Dpop::at(BASE).expect("a base")
}

/// A proof, by a key whose own key is in it: what it is for, its signature, its hash of the token, its thumbprint.
#[divan::bench(args = [Algorithm::Es256, Algorithm::Ed25519])]
fn proof(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    let (key, dpop, now) = (TestProofKey::with_algorithm(algorithm), dpop(), UtcDateTime::now());
    let (token, jkt) = (unsigned(&LOGIN).bound_to(&key).sign(), key.thumbprint());
    let proof = key.proof("POST", &format!("{BASE}{PATH}")).token(&token).sign();
    bencher.bench(|| {
        let shown = Possession::dpop(black_box(&proof), &Method::POST, PATH);
        dpop.check(&shown, &token, &jkt, now).expect("accepted")
    });
}

/// As `authorize` warm, with a token that is bound to a key of ES256, a new proof for each request, and a store that
/// remembers all of them; without nonces and with them.
#[divan::bench(args = [false, true])]
fn authorize_dpop(bencher: Bencher<'_, '_>, nonces: bool) {
    let store = MemoryReplayStore::new_at(UtcDateTime::UNIX_EPOCH);
    let mut dpop = dpop();
    if nonces {
        dpop = dpop.nonces(Nonces::new([7; 32]));
    }
    let guard = GUARD.clone().dpop(dpop, store);
    let (key, require) = (TestProofKey::new(), require());
    let token = unsigned(&LOGIN).bound_to(&key).sign();
    let head = |nonce: Option<&str>| {
        let mut proof = key.proof("POST", &format!("{BASE}{PATH}")).token(&token);
        if let Some(nonce) = nonce {
            proof = proof.nonce(nonce);
        }
        let request = Request::post(PATH).header("authorization", format!("DPoP {token}"));
        let request = request.header("dpop", proof.sign()).body(()).expect("a request");
        request.into_parts().0
    };
    let nonce = nonces.then(|| {
        let refused = guard.authorize(&mut head(None), &require).now().expect("at once");
        let headers = refused.expect_err("there is no nonce").headers();
        headers["dpop-nonce"].to_str().expect("a nonce").to_owned()
    });
    bencher.with_inputs(|| head(nonce.as_deref())).bench_local_refs(|head| {
        let granted = guard.authorize(head, &require).now();
        granted.expect("at once").expect("granted")
    });
}

/// As `authorize`, as a layer over a service that does nothing.
#[divan::bench(args = BOTH)]
fn layer(bencher: Bencher<'_, '_>, state: &str) {
    fn handle(_: Request<()>) -> Ready<Result<Response<()>, Infallible>> {
        ready(Ok(Response::new(())))
    }
    let mut service = guard(state).require(require()).layer(service_fn(handle));
    bencher.with_inputs(request).bench_local_values(|request| {
        let mut answer = std::pin::pin!(service.call(request));
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(response)) => assert!(response.status().is_success()),
            _ => unreachable!("ready at once, and never an error"),
        }
    });
}

/// Reading a key set: each key is checked.
#[divan::bench(args = [1, 100])]
fn jwks(bencher: Bencher<'_, '_>, keys: usize) {
    let issuer = TestIssuer::new(ISSUER);
    (1..keys).for_each(|_| issuer.rotate());
    let json = issuer.jwks();
    bencher.bench(|| KeySet::from_json(black_box(&json)).expect("a key set"));
}

fn main() {
    assert!((1000..1300).contains(&TOKEN.len()), "{} bytes", TOKEN.len());
    divan::main();
}
