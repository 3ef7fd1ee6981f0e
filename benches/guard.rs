//! What one request costs: `cargo bench --bench guard`.
//!
//! Keys are at hand. A token has 1.0 to 1.3 kB, as in `peers`. What a DPoP proof costs, besides its token, is `proof`;
//! the signature alone, of a token, is `verify`. With `--features aws-lc` both backends are measured. What the memory
//! keeps, and what it costs if no token comes twice, is the bench `memory`.

mod fixtures;

use std::fmt;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use divan::Bencher;
use http::request::Parts;
use http::{Method, Request};
use time::UtcDateTime;
use tower::Service;
use tower::util::MapRequestLayer;
use unconfused::keys::{Algorithm, Backend, KeySet};
use unconfused::proof::Possession;
use unconfused::proof::{Dpop, Nonces};
use unconfused::replay::MemoryReplayStore;
use unconfused::testing::{TestIssuer, TestProofKey, TestToken};
use unconfused::token::{ScopeHierarchy, TokenLimits, UnverifiedToken, Validation};
use unconfused::{Audience, Grant, Guard, Issuer, Require, Scope};

use fixtures::{AUDIENCE, BASE, ISSUER, PATH, SCOPE, large, require};

const ORDERS: Audience = Audience::from_static(AUDIENCE);
const REFUND: Scope = Scope::from_static(SCOPE);

static LOGIN: LazyLock<TestIssuer> = LazyLock::new(|| TestIssuer::new(ISSUER));
static TOKEN: LazyLock<String> = LazyLock::new(|| token(&LOGIN));
static KEYS: LazyLock<KeySet> = LazyLock::new(|| LOGIN.keys());
/// A guard whose keys are at hand, as in a server whose cache is warm.
static GUARD: LazyLock<Guard> =
    LazyLock::new(|| Guard::new(ORDERS, Issuer::new(ISSUER, KEYS.clone())));

/// A guard that verifies every token anew.
static COLD: LazyLock<Guard> = LazyLock::new(|| GUARD.clone().token_cache_capacity(0));

/// Cold, a token is new; warm, it is remembered.
const BOTH: [&str; 2] = ["cold", "warm"];

fn guard(state: &str) -> &'static Guard {
    if state == "cold" { &COLD } else { &GUARD }
}

/// A signature, and what verifies it.
#[derive(Clone, Copy)]
struct Signed {
    algorithm: Algorithm,
    backend: Backend,
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {:?}", self.algorithm, self.backend)
    }
}

fn signed() -> Vec<Signed> {
    let algorithms = [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::Ed25519];
    let backends = [
        Backend::OpenSsl,
        #[cfg(feature = "aws-lc")]
        Backend::AwsLc,
    ];
    let each = |algorithm| backends.map(|backend| Signed { algorithm, backend });
    algorithms.into_iter().flat_map(each).collect()
}

fn token(issuer: &TestIssuer) -> String {
    unsigned(issuer).sign()
}

fn unsigned(issuer: &TestIssuer) -> TestToken {
    large(issuer, AUDIENCE, 10)
}

/// An issuer with so many keys: the last one signs.
fn with_keys(keys: usize) -> TestIssuer {
    let issuer = TestIssuer::new(ISSUER);
    (1..keys).for_each(|_| issuer.rotate());
    issuer
}

fn request<B: Default>(token: &str) -> Request<B> {
    let request = Request::post(PATH).header("authorization", format!("Bearer {token}"));
    request.body(B::default()).expect("a request")
}

fn head(token: &str) -> Parts {
    request::<()>(token).into_parts().0
}

#[divan::bench]
fn parse() {
    let token = UnverifiedToken::parse(black_box(&TOKEN));
    drop(black_box(token.expect("a token")));
}

/// The signature alone.
#[divan::bench(args = signed())]
fn verify(bencher: Bencher<'_, '_>, Signed { algorithm, backend }: Signed) {
    let issuer = TestIssuer::with_algorithm(ISSUER, algorithm);
    let (token, keys) = (token(&issuer), issuer.keys());
    bencher.bench(|| {
        keys.verify_signature_only_with(black_box(&token), [algorithm], backend).expect("valid")
    });
}

/// Parsing, signature and claims.
#[divan::bench(args = signed())]
fn validate(bencher: Bencher<'_, '_>, Signed { algorithm, backend }: Signed) {
    validated(bencher, &TestIssuer::with_algorithm(ISSUER, algorithm), backend);
}

/// Like `validate`, with a key that is the last of so many.
#[divan::bench(args = [1, 100])]
fn keys(bencher: Bencher<'_, '_>, keys: usize) {
    validated(bencher, &with_keys(keys), Backend::default());
}

fn validated(bencher: Bencher<'_, '_>, issuer: &TestIssuer, backend: Backend) {
    let (token, keys, now) = (token(issuer), issuer.keys(), UtcDateTime::now());
    let validation = Validation::new(ORDERS, ISSUER).backend(backend);
    bencher.bench(|| {
        let token = UnverifiedToken::parse(black_box(&token)).expect("a token");
        token.validate(&validation, &keys, now).expect("valid")
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

/// As many scopes as a token may have, against a hierarchy that names all of them. So many scopes are asked for, so many
/// broad ones imply each of them, and the token has none of those.
#[divan::bench(args = [(1, 2), (32, 2), (32, 256)])]
fn scopes(bencher: Bencher<'_, '_>, (asked, broad): (usize, usize)) {
    let scope =
        |kind: &str, n: usize| Scope::new(format!("orders:{kind}-{n:04}")).expect("a scope");
    let held: Vec<_> = (0..1024).map(|n| scope("held", n)).collect();
    let asked: Vec<_> = (0..asked).map(|n| scope("asked", n)).collect();
    let narrow = |n: usize| (0..64).map(move |narrow| scope("narrow", (n + narrow) % 1024));
    // Their length is that of the scopes in the token, which is the worst case.
    let broad = (0..broad).map(|n| (scope("main", n), asked.clone()));
    let implied = held.iter().enumerate().map(|(n, held)| (held.clone(), narrow(n).collect()));
    let hierarchy = ScopeHierarchy::new(implied.chain(broad)).expect("no cycle");
    let limits = TokenLimits::default().max_bytes(64 * 1024);
    let validation = Validation::new(ORDERS, ISSUER).limits(limits).scope_hierarchy(hierarchy);
    let held: Vec<_> = held.iter().map(Scope::as_str).collect();
    let token = LOGIN.token(&ORDERS).scope(&held.join(" ")).sign();
    let token = UnverifiedToken::parse_with(&token, &limits).expect("a token");
    let (keys, now) = (LOGIN.keys(), UtcDateTime::now());
    let token = token.validate(&validation, &keys, now).expect("valid");
    let require = Require::any_scope(asked);
    bencher.bench(|| black_box(&require).check(black_box(&token), now).is_err());
}

/// Samples are long enough for two threads to meet in the memory.
#[divan::bench(args = BOTH, threads = [1, 2], sample_size = 500)]
fn authorize(bencher: Bencher<'_, '_>, state: &str) {
    let (guard, require) = (guard(state), require());
    bencher.with_inputs(|| head(&TOKEN)).bench_refs(|head| granted(guard, head, &require));
}

fn granted(guard: &Guard, head: &mut Parts, require: &Require) -> Grant {
    guard.authorize(head, require).now().expect("at once").expect("granted")
}

/// With so many issuers, each with a name of its own: every request has the token of the next one.
#[divan::bench(args = BOTH, consts = [1, 1000])]
fn issuers<const N: usize>(bencher: Bencher<'_, '_>, state: &str) {
    let names: Vec<_> = (0..N).map(|n| format!("https://login-{n}.example")).collect();
    let mut issuers = names.iter().map(|name| Issuer::new(name, KEYS.clone()));
    let guard = Guard::new(ORDERS, issuers.next().expect("one at least"));
    let mut guard = issuers.fold(guard, Guard::trust);
    if state == "cold" {
        guard = guard.token_cache_capacity(0);
    }
    let actor_of = |name| Require::scope(REFUND).actor([(name, "support-agent")]);
    let token = |name| unsigned(&LOGIN).claim("iss", name).sign();
    let tokens: Vec<_> = names.iter().map(token).collect();
    let requires: Vec<_> = names.iter().map(actor_of).collect();
    for (token, require) in tokens.iter().zip(&requires) {
        granted(&guard, &mut head(token), require);
    }
    let next = AtomicUsize::new(0);
    let input = || {
        let next = next.fetch_add(1, Ordering::Relaxed) % N;
        (head(&tokens[next]), &requires[next])
    };
    bencher.with_inputs(input).bench_local_refs(|(head, require)| granted(&guard, head, require));
}

fn dpop() -> Dpop {
    Dpop::for_base_url(BASE).expect("a base")
}

/// A proof that carries its key: its claims, its signature, its hash of the token, its thumbprint.
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

/// Like `authorize` warm, with a token that is bound to a key of ES256, a new proof for each request, and a store that
/// remembers all of them; without nonces and with them.
#[divan::bench(args = [false, true])]
fn authorize_dpop(bencher: Bencher<'_, '_>, nonces: bool) {
    let store = MemoryReplayStore::new_at(UtcDateTime::UNIX_EPOCH).max_share_percent(100);
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
    let head = || head(nonce.as_deref());
    bencher.with_inputs(head).bench_local_refs(|head| granted(&guard, head, &require));
}

/// An axum router whose handler does nothing: alone, with a layer that only inserts an `Arc`, and behind a guard.
#[divan::bench(args = ["bare", "insert", "cold", "warm"])]
fn layer(bencher: Bencher<'_, '_>, state: &str) {
    let bare = Router::new().route(PATH, post(|| async {}));
    let mut router = match state {
        "bare" => bare,
        "insert" => {
            let value = Arc::new(String::from("alice"));
            bare.route_layer(MapRequestLayer::new(move |mut request: Request<Body>| {
                request.extensions_mut().insert(value.clone());
                request
            }))
        }
        state => bare.route_layer(guard(state).require(require())),
    };
    bencher.with_inputs(|| request::<Body>(&TOKEN)).bench_local_values(|request| {
        let mut answer = std::pin::pin!(router.call(request));
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(response)) => assert!(response.status().is_success()),
            Poll::Pending => unreachable!("ready at once"),
        }
    });
}

/// Reading a key set: each key is checked.
#[divan::bench(args = [1, 100])]
fn jwks(bencher: Bencher<'_, '_>, keys: usize) {
    let json = with_keys(keys).jwks();
    bencher.bench(|| KeySet::from_json(black_box(&json)).expect("a key set"));
}

fn main() {
    let length = TOKEN.len();
    assert!((1000..1300).contains(&length), "{length} bytes");
    divan::main();
}
