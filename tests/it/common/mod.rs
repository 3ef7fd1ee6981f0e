//! What several modules need: one moment, one issuer, one guard.
pub(crate) mod race;
pub(crate) mod source;
pub(crate) mod vendors;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use proptest::prelude::ProptestConfig;
use time::UtcDateTime;
use unconfused::error::InvalidToken;
use unconfused::keys::Algorithm;
use unconfused::proof::Dpop;
use unconfused::replay::{
    MemoryReplayStore, Remembered, ReplayAnswer, ReplayEntry, ReplayStore, StoreUnavailable,
};
use unconfused::testing::{TestIssuer, TestProof, TestProofKey, TestToken};
use unconfused::token::{UnverifiedToken, Validation};
use unconfused::{AccessToken, Answer, Audience, Denial, Grant, Guard, Reason, Require};

pub(crate) const LOGIN: &str = "https://login.example";
pub(crate) const OTHER: &str = "https://other.example";
pub(crate) const ORDERS: Audience = Audience::from_static("https://orders.example");
/// The moment of every test, in seconds since 1970.
pub(crate) const NOW: i64 = 1_800_000_000;

/// Settings of a property test: 256 cases, or as many as the environment variable `PROPTEST_CASES` says.
pub(crate) fn cases() -> ProptestConfig {
    let config = ProptestConfig::default();
    // Cases that do not meet an assumption are replaced.
    let max_global_rejects = config.cases.saturating_mul(8);
    ProptestConfig { failure_persistence: None, max_global_rejects, ..config }
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The time so many seconds after the moment.
pub(crate) fn at(offset: i64) -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(NOW + offset).unwrap()
}

pub(crate) fn now() -> UtcDateTime {
    at(0)
}

/// The issuer that the guards here trust.
pub(crate) fn login() -> &'static TestIssuer {
    static LOGIN_ISSUER: OnceLock<TestIssuer> = OnceLock::new();
    LOGIN_ISSUER.get_or_init(|| TestIssuer::new(LOGIN))
}

/// An issuer of that name that signs with this algorithm. Each has one key, since RSA keys take long to generate.
pub(crate) fn login_with(algorithm: Algorithm) -> TestIssuer {
    static ISSUERS: Mutex<BTreeMap<&str, TestIssuer>> = Mutex::new(BTreeMap::new());
    let mut issuers = ISSUERS.lock().unwrap();
    let new = || TestIssuer::with_algorithm(LOGIN, algorithm);
    issuers.entry(algorithm.as_str()).or_insert_with(new).clone()
}

/// An issuer with the name of the one above, and without its key.
pub(crate) fn forger() -> &'static TestIssuer {
    static FORGER: OnceLock<TestIssuer> = OnceLock::new();
    FORGER.get_or_init(|| TestIssuer::new(LOGIN))
}

/// A good token, issued at the moment, for 5 minutes.
pub(crate) fn token() -> TestToken {
    login().token(&ORDERS).issued_at(now())
}

pub(crate) fn validation() -> Validation {
    Validation::new(ORDERS, LOGIN)
}

/// Parses and validates the token, at the moment.
pub(crate) fn validate(token: &TestToken) -> Result<AccessToken, InvalidToken> {
    validate_by(&validation(), token, now())
}

pub(crate) fn validate_by(
    validation: &Validation,
    token: &TestToken,
    now: UtcDateTime,
) -> Result<AccessToken, InvalidToken> {
    UnverifiedToken::parse(&token.sign())?.validate(validation, &login().keys(), now)
}

/// Returns why the token is refused, or `None`.
pub(crate) fn refusal(token: &TestToken) -> Option<Reason> {
    validate(token).err().map(|invalid| invalid.reason())
}

/// A guard whose clock stands still.
pub(crate) fn guard() -> Guard {
    Guard::new(ORDERS, login().issuer()).clock(now)
}

/// The head of a request with these `Authorization` fields.
pub(crate) fn head(uri: &str, authorization: &[&str]) -> Parts {
    let mut request = http::Request::get(uri);
    for field in authorization {
        request = request.header("authorization", field.as_bytes());
    }
    request.body(()).unwrap().into_parts().0
}

/// What the guard answers to a request with this token.
pub(crate) fn ask(
    guard: &Guard,
    token: &TestToken,
    requirement: impl Into<Require>,
) -> Result<Grant, Denial> {
    let mut head = head("/orders", &[&token.bearer()]);
    guard.authorize(&mut head, requirement.into()).now().unwrap()
}

/// The challenge of a denial, as the field is sent.
pub(crate) fn challenge(denial: &Denial) -> String {
    let headers = denial.headers();
    headers["www-authenticate"].to_str().unwrap().to_owned()
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token whose parts are these, whatever they are.
pub(crate) fn compact(header: &str, payload: impl AsRef<[u8]>, signature: &[u8]) -> String {
    let parts = [base64url(header), base64url(payload), base64url(signature)];
    parts.join(".")
}

// Tokens that are bound to their sender.

/// The URL under which clients know the resource.
pub(crate) const BASE: &str = "https://orders.example";
/// The URL that proofs are made for.
pub(crate) const URL: &str = "https://orders.example/orders";

/// The proof key of the client.
pub(crate) fn proof_key() -> &'static TestProofKey {
    static KEY: OnceLock<TestProofKey> = OnceLock::new();
    KEY.get_or_init(TestProofKey::new)
}

/// The key of another client.
pub(crate) fn other_key() -> &'static TestProofKey {
    static KEY: OnceLock<TestProofKey> = OnceLock::new();
    KEY.get_or_init(TestProofKey::new)
}

pub(crate) fn dpop() -> Dpop {
    Dpop::for_base_url(BASE).unwrap()
}

/// A store that has remembered for long.
pub(crate) fn store() -> MemoryReplayStore {
    MemoryReplayStore::new_at(at(-100_000))
}

/// A guard that accepts proofs.
pub(crate) fn proof_guard() -> Guard {
    guard().dpop(dpop(), store())
}

/// A good token that is bound to the proof key.
pub(crate) fn bound() -> TestToken {
    token().scope("orders:read").bound_to(proof_key())
}

/// A good proof for this token, made at the moment.
pub(crate) fn proof(raw: &str) -> TestProof {
    proof_key().proof("GET", URL).issued_at(now()).token(raw)
}

/// The head of a request with this token under `DPoP` and these `DPoP` fields.
pub(crate) fn dpop_head(uri: &str, raw: &str, proofs: &[&str]) -> Parts {
    let mut head = head(uri, &[&format!("DPoP {raw}")]);
    for proof in proofs {
        head.headers.append("dpop", proof.parse().unwrap());
    }
    head
}

/// What the guard answers to a request with this token and this proof.
pub(crate) fn ask_with_proof(
    guard: &Guard,
    raw: &str,
    proof: &TestProof,
    requirement: impl Into<Require>,
) -> Result<Grant, Denial> {
    let mut head = dpop_head("/orders", raw, &[&proof.sign()]);
    guard.authorize(&mut head, requirement.into()).now().unwrap()
}

/// A store that always gives this answer, and counts how often it is asked.
pub(crate) fn store_that(
    answer: fn() -> Result<Remembered, StoreUnavailable>,
) -> (impl ReplayStore + Clone, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let store = move |_: ReplayEntry| -> ReplayAnswer {
        counter.fetch_add(1, Ordering::SeqCst);
        Answer::Now(answer())
    };
    (store, asked)
}

/// The values of the challenges, as the fields are sent.
pub(crate) fn challenges(denial: &Denial) -> Vec<String> {
    let headers = denial.headers();
    let fields = headers.get_all("www-authenticate").iter();
    fields.map(|field| field.to_str().unwrap().to_owned()).collect()
}
