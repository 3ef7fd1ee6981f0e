//! The paths that are counted, with inputs that are the same every time; and those that are subtracted, since they are
//! not this crate's.

#[path = "../../fixtures/mod.rs"]
mod fixtures;
#[path = "options.rs"]
mod options;
#[path = "sinks.rs"]
mod sinks;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Full;
use josekit::jwk::Jwk;
use josekit::jws::{ES256, ES384, EdDSA, JwsVerifier, PS256, RS256};
use serde_json::Value;
use time::UtcDateTime;
use tower::{Layer, Service, service_fn};
use unconfused::keys::KeySet;
use unconfused::mcp::Tools;
use unconfused::proof::{Dpop, Possession};
use unconfused::replay::{Remembered, ReplayAnswer};
use unconfused::token::{KeyHint, UnverifiedToken, Validation};
use unconfused::{AccessToken, Answer, Audience, Guard, Issuer, Reason, Require};

use fixtures::{AUDIENCE, BASE, ISSUER, PATH, require};

const ORDERS: Audience = Audience::from_static(AUDIENCE);

const AT_JWT: &str = r#"{"alg":"ES256","typ":"at+jwt","kid":"fixture-es256"}"#;
const JWKS: &str = include_str!("../../fixtures/jwks.json");
const RS256_TOKEN: &str = include_str!("../../fixtures/rs256.jwt").trim_ascii_end();
const ALGORITHMS_JWKS: &str = include_str!("../../fixtures/algorithms.jwks.json");
const ES256_TOKEN: &str = include_str!("../../fixtures/es256.jwt").trim_ascii_end();
const ES384_TOKEN: &str = include_str!("../../fixtures/es384.jwt").trim_ascii_end();
const PS256_TOKEN: &str = include_str!("../../fixtures/ps256.jwt").trim_ascii_end();
const EDDSA_TOKEN: &str = include_str!("../../fixtures/eddsa.jwt").trim_ascii_end();
const BOUND_TOKEN: &str = include_str!("../../fixtures/bound.jwt").trim_ascii_end();
const PROOF: &str = include_str!("../../fixtures/proof.jwt").trim_ascii_end();

/// Returns the path of that name; each call is one pass.
pub(crate) fn named(name: &str) -> Box<dyn FnMut()> {
    match name {
        "parse" => Box::new(|| drop(black_box(parsed(black_box(RS256_TOKEN))))),
        "validate-rs256" => validate(RS256_TOKEN, keys()),
        "validate-ps256" => validate(PS256_TOKEN, algorithms()),
        "validate-es256" => validate(ES256_TOKEN, keys()),
        "validate-es384" => validate(ES384_TOKEN, algorithms()),
        "validate-eddsa" => validate(EDDSA_TOKEN, algorithms()),
        "check" => check(),
        "authorize-cold" => authorize(cold()),
        "authorize-new" => authorize(forgetful()),
        "authorize-warm" => authorize(guard()),
        "layer-cold" => pass(cold().require(require()).layer(service_fn(handle))),
        "layer-warm" => pass(guard().require(require()).layer(service_fn(handle))),
        "audit-closure" => authorize(guard().audit(sinks::closure())),
        "audit-signals" => authorize(guard().audit(sinks::signals())),
        "audit-json" => authorize(guard().audit(sinks::json())),
        "audit-queued" => authorize(guard().audit(sinks::queued())),
        "audit-ocsf" => authorize(guard().audit(sinks::json().ocsf())),
        "audit-tracing" => authorize(guard().audit(sinks::tracing())),
        "audit-metrics" => authorize(guard().audit(sinks::metrics())),
        "mcp-warm" => through_mcp(guard().mcp(tools()).layer(service_fn(read_message))),
        "proof" => proof(),
        "authorize-proof" => authorize_head(
            guard().dpop(dpop(), |_| ReplayAnswer::Now(Ok(Remembered::First))),
            bound(),
            require(),
        ),
        "refuse-none" => refuse(&[], Reason::MissingCredentials),
        "refuse-proof" => refuse(&[("dpop", PROOF)], Reason::MissingCredentials),
        "refuse-garbage" => refuse_token("garbage", Reason::TokenFormatNotAccepted),
        "refuse-long" => refuse_token(&"a".repeat(16 * 1024), Reason::TokenFormatNotAccepted),
        "refuse-claims" => {
            let claims = format!(r#"{{"iss":"{ISSUER}"{}}}"#, r#","a":[1]"#.repeat(1500));
            refuse_token(&unsigned(AT_JWT, &claims), Reason::SignatureInvalid)
        }
        "refuse-issuer" => refuse_token(
            &unsigned(AT_JWT, r#"{"iss":"https://a.example"}"#),
            Reason::IssuerUntrusted,
        ),
        "refuse-kid" => {
            let header = r#"{"alg":"ES256","typ":"at+jwt","kid":"unknown"}"#;
            refuse_token(
                &unsigned(header, &format!(r#"{{"iss":"{ISSUER}"}}"#)),
                Reason::KeyNotFound,
            )
        }
        "refuse-typ" => {
            let header = r#"{"alg":"ES256","typ":"dpop+jwt","kid":"fixture-es256"}"#;
            let token = unsigned(header, &format!(r#"{{"iss":"{ISSUER}"}}"#));
            refuse_token(&token, Reason::TokenTypeMismatch)
        }
        "refuse-forged" => refuse_token(&forged(), Reason::SignatureInvalid),
        "refuse-expired" => refuse_by(
            guard().clock(|| now() + Duration::from_secs(86_400)),
            &[("authorization", &format!("Bearer {}", forged()))],
            Reason::SignatureInvalid,
        ),
        // subtracted
        "raw-forged" => raw(&forged(), es256(&jwk(ES256_TOKEN)), false),
        "raw-proof" => raw(PROOF, es256(&proof_key()), true),
        "raw-rs256" => {
            let verifier = RS256.verifier_from_jwk(&jwk(RS256_TOKEN)).expect("an RSA key");
            raw(RS256_TOKEN, verifier, true)
        }
        "raw-ps256" => {
            let verifier = PS256.verifier_from_jwk(&jwk(PS256_TOKEN)).expect("an RSA key");
            raw(PS256_TOKEN, verifier, true)
        }
        "raw-es256" => raw(ES256_TOKEN, es256(&jwk(ES256_TOKEN)), true),
        "raw-es384" => {
            let verifier = ES384.verifier_from_jwk(&jwk(ES384_TOKEN)).expect("an EC key");
            raw(ES384_TOKEN, verifier, true)
        }
        "raw-eddsa" => {
            let verifier = EdDSA.verifier_from_jwk(&jwk(EDDSA_TOKEN)).expect("an Ed25519 key");
            raw(EDDSA_TOKEN, verifier, true)
        }
        "head" => head(request().into_parts().0),
        "head-proof" => head(bound()),
        "request" => pass(service_fn(insert())),
        "message" => through_mcp(service_fn(insert_message())),
        _ => options::named(name),
    }
}

/// A minute after the tokens were issued.
fn now() -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(1_767_225_660).expect("a time")
}

fn keys() -> KeySet {
    KeySet::from_json(JWKS).expect("a key set")
}

fn algorithms() -> KeySet {
    KeySet::from_json(ALGORITHMS_JWKS).expect("a key set")
}

fn guard() -> Guard {
    Guard::new(ORDERS, Issuer::new(ISSUER, keys())).clock(now)
}

/// A guard without a token cache.
fn cold() -> Guard {
    guard().token_cache_capacity(0)
}

/// A guard that gets another key set each time it asks, so that what it has cached never counts and is cached again.
fn forgetful() -> Guard {
    let (sets, asked) = ([keys(), keys()], AtomicUsize::new(0));
    let keys = move |_: KeyHint<'_>| {
        let at = asked.fetch_add(1, Ordering::Relaxed) % sets.len();
        Answer::Now(Ok(sets[at].clone()))
    };
    Guard::new(ORDERS, Issuer::new(ISSUER, keys)).clock(now)
}

fn request() -> Request<()> {
    Request::post(PATH)
        .header("authorization", format!("Bearer {RS256_TOKEN}"))
        .body(())
        .expect("a request")
}

fn head_with(fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::post(PATH);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn bound() -> Parts {
    head_with(&[("authorization", &format!("DPoP {BOUND_TOKEN}")), ("dpop", PROOF)])
}

fn parsed(token: &str) -> UnverifiedToken<'_> {
    UnverifiedToken::parse(token).expect("a token")
}

fn validated(token: &str, validation: &Validation, keys: &KeySet) -> AccessToken {
    parsed(token).validate(validation, keys, now()).expect("valid")
}

fn validate(token: &'static str, keys: KeySet) -> Box<dyn FnMut()> {
    let validation = Validation::new(ORDERS, ISSUER);
    Box::new(move || drop(black_box(validated(black_box(token), &validation, &keys))))
}

fn check() -> Box<dyn FnMut()> {
    let token = validated(RS256_TOKEN, &Validation::new(ORDERS, ISSUER), &keys());
    let require = require();
    Box::new(move || black_box(&require).check(black_box(&token), now()).expect("met"))
}

fn authorize(guard: Guard) -> Box<dyn FnMut()> {
    authorize_head(guard, request().into_parts().0, require())
}

/// With this head, which is cloned for each pass.
fn authorize_head(guard: Guard, head: Parts, require: Require) -> Box<dyn FnMut()> {
    Box::new(move || {
        let mut head = head.clone();
        let granted = guard.authorize(&mut head, &require).now().expect("at once");
        black_box(granted.expect("granted"));
    })
}

/// Like `authorize`, with a guard that grants everything.
fn head(head: Parts) -> Box<dyn FnMut()> {
    let value = Arc::new(());
    Box::new(move || {
        let mut head = head.clone();
        head.extensions.insert(value.clone());
        black_box(head);
    })
}

type Answered = Ready<Result<Response<()>, Infallible>>;

fn handle(request: Request<()>) -> Answered {
    drop(black_box(request));
    ready(Ok(Response::new(())))
}

/// Like a layer that grants everything.
fn insert() -> impl FnMut(Request<()>) -> Answered {
    let value = Arc::new(());
    move |mut request| {
        request.extensions_mut().insert(value.clone());
        handle(request)
    }
}

/// A request through this service.
fn pass(
    service: impl Service<Request<()>, Response = Response<()>, Error = Infallible> + 'static,
) -> Box<dyn FnMut()> {
    pass_with(service, request())
}

/// This request, which is cloned for each pass, through this service.
fn pass_with(
    mut service: impl Service<Request<()>, Response = Response<()>, Error = Infallible> + 'static,
    request: Request<()>,
) -> Box<dyn FnMut()> {
    Box::new(move || {
        let mut answer = std::pin::pin!(service.call(request.clone()));
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(response)) => assert!(response.status().is_success()),
            Poll::Pending => unreachable!("ready at once"),
        }
    })
}

/// A table with the tool that is called, among others.
fn tools() -> Tools {
    let tools = Tools::new(require()).tool("refund", require());
    (0..20).fold(tools, |tools, n| tools.tool(format!("tool-{n}"), require()))
}

/// A call of 2 kB.
fn message() -> Request<Full<Bytes>> {
    let note = "Refund what was paid twice, as agreed by phone. ".repeat(38);
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"refund","arguments":{{"order":4711,"amount":"12.50","note":"{note}"}}}}}}"#
    );
    let mut message = request().map(|()| Full::new(Bytes::from(body)));
    let json = HeaderValue::from_static("application/json");
    message.headers_mut().insert("content-type", json);
    message
}

type MessageAnswered = Ready<Result<Response<Full<Bytes>>, Infallible>>;

fn read_message<B>(request: Request<B>) -> MessageAnswered {
    drop(black_box(request));
    ready(Ok(Response::new(Full::default())))
}

/// Like a layer that lets every message pass unread.
fn insert_message() -> impl FnMut(Request<Full<Bytes>>) -> MessageAnswered {
    let value = Arc::new(());
    move |mut request| {
        request.extensions_mut().insert(value.clone());
        read_message(request)
    }
}

/// A message, which is cloned for each pass, through this service, in a runtime with a timer.
fn through_mcp<B>(
    mut service: impl Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>
    + 'static,
) -> Box<dyn FnMut()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let entered = Box::leak(Box::new(runtime.expect("a runtime"))).enter();
    let request = message();
    Box::new(move || {
        let _ = &entered;
        let mut answer = std::pin::pin!(service.call(request.clone()));
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(response)) => assert!(response.status().is_success()),
            Poll::Ready(Err(_)) | Poll::Pending => unreachable!("ready at once"),
        }
    })
}

/// The signature alone, by a key that was prepared before.
fn raw(token: &str, verifier: impl JwsVerifier + 'static, is_valid: bool) -> Box<dyn FnMut()> {
    let (message, signature) = token.rsplit_once('.').expect("a signature");
    let (message, signature) =
        (message.as_bytes().to_vec(), BASE64URL.decode(signature).expect("base64url"));
    Box::new(move || {
        let verified = verifier.verify(black_box(&message), &signature);
        assert_eq!(verified.is_ok(), is_valid);
    })
}

fn es256(key: &Jwk) -> impl JwsVerifier + 'static {
    ES256.verifier_from_jwk(key).expect("an EC key")
}

/// Returns the key of this token.
fn jwk(token: &str) -> Jwk {
    let kid = parsed(token).key_hint().kid().map(str::to_owned);
    let keys = [JWKS, ALGORITHMS_JWKS].map(|jwks| {
        let jwks: Value = serde_json::from_str(jwks).expect("JSON");
        jwks["keys"].as_array().expect("an array").clone()
    });
    let key = keys.iter().flatten().find(|key| key["kid"].as_str() == kid.as_deref());
    let mut key = key.expect("a key").clone();
    // josekit knows Ed25519 by an older name.
    key.as_object_mut().expect("an object").remove("alg");
    Jwk::from_bytes(key.to_string()).expect("a key")
}

/// Returns the key in the header of the proof.
fn proof_key() -> Jwk {
    let header = PROOF.split('.').next().and_then(|header| BASE64URL.decode(header).ok());
    let header: Value = serde_json::from_slice(&header.expect("a header")).expect("JSON");
    Jwk::from_bytes(header["jwk"].to_string()).expect("a key")
}

fn dpop() -> Dpop {
    Dpop::for_base_url(BASE).expect("a base")
}

/// A proof whose key is prepared anew.
fn proof() -> Box<dyn FnMut()> {
    let (dpop, jkt) = (dpop(), bound_key());
    Box::new(move || {
        let shown = Possession::dpop(black_box(PROOF), &Method::POST, PATH);
        let _ = black_box(dpop.check(&shown, BOUND_TOKEN, &jkt, now()).expect("accepted"));
    })
}

/// Returns the thumbprint of the key that the token is bound to.
fn bound_key() -> String {
    let payload = BOUND_TOKEN.split('.').nth(1).and_then(|payload| BASE64URL.decode(payload).ok());
    let payload: Value = serde_json::from_slice(&payload.expect("a payload")).expect("JSON");
    payload["cnf"]["jkt"].as_str().expect("a thumbprint").to_owned()
}

/// A token of the trusted issuer whose signature is of another token.
fn forged() -> String {
    let [(signed, _), (_, signature)] =
        [ES256_TOKEN, BOUND_TOKEN].map(|token| token.rsplit_once('.').expect("a signature"));
    format!("{signed}.{signature}")
}

/// A token that is refused before its signature is looked at.
fn unsigned(header: &str, claims: &str) -> String {
    [header, claims, "no signature"].map(|part| BASE64URL.encode(part)).join(".")
}

fn refuse_token(token: &str, reason: Reason) -> Box<dyn FnMut()> {
    refuse(&[("authorization", &format!("Bearer {token}"))], reason)
}

fn refuse(fields: &[(&str, &str)], reason: Reason) -> Box<dyn FnMut()> {
    refuse_by(guard(), fields, reason)
}

/// A request with these fields, which is cloned for each pass and refused.
fn refuse_by(guard: Guard, fields: &[(&str, &str)], reason: Reason) -> Box<dyn FnMut()> {
    let guard = guard.dpop(dpop(), |_| ReplayAnswer::Now(Ok(Remembered::First)));
    let (head, require) = (head_with(fields), require());
    Box::new(move || {
        let mut head = head.clone();
        let refused = guard.authorize(&mut head, &require).now().expect("at once");
        assert_eq!(black_box(refused).expect_err("refused").reason(), reason);
    })
}
