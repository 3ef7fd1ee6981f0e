//! DPoP (RFC 9449): the checks of section 4.3, by the plain functions, by a guard, by a layer.

mod base_urls;
mod challenges;
mod checklist;
mod guard;
mod known_key;
mod layers;
mod nonces;
mod plain_functions;
mod printed;
mod published;
mod replay;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{self, *};
use axum::Router;
use axum::body::Body;
use axum::routing::{any, get};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Value, json};
use time::UtcDateTime;
use tower::ServiceExt;
use unconfused::challenge::Remedy;
use unconfused::error::InvalidToken;
use unconfused::keys::Algorithm;
use unconfused::proof::{AcceptedProof, ClientCertificate, Dpop, Nonces, Possession};
use unconfused::replay::{
    MemoryReplayStore, Remembered, ReplayAnswer, ReplayEntry, StoreUnavailable,
};
use unconfused::testing::{TestProof, TestProofKey};
use unconfused::token::{TokenLimits, UnverifiedToken};
use unconfused::{Answer, Audience, Denial, Grant, Guard, Reason, Require, Scope};

const READ: Scope = Scope::from_static("orders:read");
const WRITE: Scope = Scope::from_static("orders:write");
const METADATA: &str =
    r#"resource_metadata="https://orders.example/.well-known/oauth-protected-resource""#;
const ALGS: &str = r#"algs="ES256 Ed25519""#;

/// What the plain function says of this field, for a GET of `/orders`.
fn check_field(dpop: &Dpop, field: &str, raw: &str) -> Result<AcceptedProof, Reason> {
    let possession = Possession::dpop(field, &Method::GET, "/orders");
    dpop.check(&possession, raw, &proof_key().thumbprint(), now())
}

fn check(proof: &TestProof) -> Result<AcceptedProof, Reason> {
    check_field(&dpop(), &proof.sign(), "token")
}

/// A proof for the token `token`.
fn good() -> TestProof {
    proof("token")
}

/// A proof of these parts, without a signature that verifies.
fn unsigned(header: &Value, claims: &str) -> String {
    compact(&header.to_string(), claims, &[1; 64])
}

fn public_jwk(proof: &TestProof) -> Value {
    let field = proof.sign();
    let header = field.split('.').next().unwrap();
    let header = base64url_decode(header);
    serde_json::from_slice::<Value>(&header).unwrap()["jwk"].clone()
}

fn base64url_decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn reason(answer: Result<Grant, Denial>) -> Option<Reason> {
    answer.err().map(|denial| denial.reason())
}

/// A good proof by another key.
fn other() -> TestProof {
    other_key().proof("GET", URL).issued_at(now()).token("token")
}

fn nonces() -> Nonces {
    Nonces::new([7; 32])
}

fn told(denial: &Denial) -> String {
    denial.headers()["dpop-nonce"].to_str().unwrap().to_owned()
}

/// A clock that is set by hand.
fn hand() -> (Arc<AtomicI64>, impl Fn() -> UtcDateTime + Send + Sync + Clone + 'static) {
    let hand = Arc::new(AtomicI64::new(0));
    let clock = hand.clone();
    (hand, move || at(clock.load(Ordering::SeqCst)))
}

/// A store that answers later, like one behind a network.
fn slow() -> impl unconfused::replay::ReplayStore {
    let memory = Arc::new(store());
    move |entry: ReplayEntry| -> ReplayAnswer {
        let memory = memory.clone();
        Answer::later(async move {
            tokio::task::yield_now().await;
            unconfused::replay::ReplayStore::insert(&memory, entry).await
        })
    }
}

/// A store that counts what it remembers.
fn counted() -> (impl unconfused::replay::ReplayStore + Clone, Arc<Mutex<Vec<ReplayEntry>>>) {
    let entries = Arc::new(Mutex::new(Vec::new()));
    let (memory, seen) = (Arc::new(store()), entries.clone());
    let store = move |entry: ReplayEntry| -> ReplayAnswer {
        seen.lock().unwrap().push(entry.clone());
        unconfused::replay::ReplayStore::insert(&memory, entry)
    };
    (store, entries)
}

async fn send(app: &Router, path: &str, raw: &str, proof: &TestProof) -> Response<Body> {
    let request = Request::get(path)
        .header("authorization", format!("DPoP {raw}"))
        .header("dpop", proof.sign())
        .body(Body::empty())
        .unwrap();
    app.clone().oneshot(request).await.unwrap()
}

/// What the handler sees.
async fn inside(headers: HeaderMap, grant: Grant) -> String {
    let names: Vec<_> = headers.keys().map(|name| name.as_str()).collect();
    format!("{} {names:?}", grant.is_sender_constrained())
}

fn denial(response: &Response<Body>) -> Option<Reason> {
    response.extensions().get::<Denial>().map(Denial::reason)
}
