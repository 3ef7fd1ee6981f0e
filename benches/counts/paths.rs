//! The paths that are counted, with inputs that are the same every time; and those that are subtracted, since they are
//! not this crate's.

#[path = "../fixtures/mod.rs"]
mod fixtures;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use josekit::jwk::Jwk;
use josekit::jws::{ES256, JwsVerifier, RS256};
use serde_json::Value;
use time::UtcDateTime;
use tower::{Layer, Service, service_fn};
use unconfused::keys::KeySet;
use unconfused::mcp::Tools;
use unconfused::token::{KeyHint, UnverifiedToken, Validation};
use unconfused::{AccessToken, Answer, Audience, Guard, Issuer};

use fixtures::{AUDIENCE, ISSUER, PATH, require};

const ORDERS: Audience = Audience::from_static(AUDIENCE);

const JWKS: &str = include_str!("../fixtures/jwks.json");
const RS256_TOKEN: &str = include_str!("../fixtures/rs256.jwt").trim_ascii_end();
const ES256_TOKEN: &str = include_str!("../fixtures/es256.jwt").trim_ascii_end();

/// Returns the path of that name; each call is one pass.
pub(crate) fn named(name: &str) -> Option<Box<dyn FnMut()>> {
    Some(match name {
        "parse" => Box::new(|| drop(black_box(parsed(black_box(RS256_TOKEN))))),
        "validate-rs256" => validate(RS256_TOKEN),
        "validate-es256" => validate(ES256_TOKEN),
        "check" => check(),
        "authorize-cold" => authorize(cold()),
        "authorize-new" => authorize(forgetful()),
        "authorize-warm" => authorize(guard()),
        "layer-cold" => pass(cold().require(require()).layer(service_fn(handle))),
        "layer-warm" => pass(guard().require(require()).layer(service_fn(handle))),
        "mcp-warm" => through_mcp(guard().mcp(tools()).layer(service_fn(read_message))),
        // subtracted
        "raw-rs256" => raw(RS256_TOKEN, |key| RS256.verifier_from_jwk(key).expect("an RSA key")),
        "raw-es256" => raw(ES256_TOKEN, |key| ES256.verifier_from_jwk(key).expect("an EC key")),
        "head" => head(),
        "request" => pass(service_fn(insert())),
        "message" => through_mcp(service_fn(insert_message())),
        _ => return None,
    })
}

/// A minute after the tokens were issued.
fn now() -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(1_767_225_660).expect("a time")
}

fn keys() -> KeySet {
    KeySet::from_json(JWKS).expect("a key set")
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

fn parsed(token: &str) -> UnverifiedToken<'_> {
    UnverifiedToken::parse(token).expect("a token")
}

fn validated(token: &str, validation: &Validation, keys: &KeySet) -> AccessToken {
    parsed(token).validate(validation, keys, now()).expect("valid")
}

fn validate(token: &'static str) -> Box<dyn FnMut()> {
    let (validation, keys) = (Validation::new(ORDERS, ISSUER), keys());
    Box::new(move || drop(black_box(validated(black_box(token), &validation, &keys))))
}

fn check() -> Box<dyn FnMut()> {
    let token = validated(RS256_TOKEN, &Validation::new(ORDERS, ISSUER), &keys());
    let require = require();
    Box::new(move || black_box(&require).check(black_box(&token), now()).expect("met"))
}

/// With the head of a request, which is cloned for each pass.
fn authorize(guard: Guard) -> Box<dyn FnMut()> {
    let (head, require) = (request().into_parts().0, require());
    Box::new(move || {
        let mut head = head.clone();
        let granted = guard.authorize(&mut head, &require).now().expect("at once");
        black_box(granted.expect("granted"));
    })
}

/// Like `authorize`, with a guard that grants everything.
fn head() -> Box<dyn FnMut()> {
    let (head, value) = (request().into_parts().0, Arc::new(()));
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

/// A request, which is cloned for each pass, through this service.
fn pass(
    mut service: impl Service<Request<()>, Response = Response<()>, Error = Infallible> + 'static,
) -> Box<dyn FnMut()> {
    let request = request();
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
fn raw<V: JwsVerifier + 'static>(token: &str, verifier: impl Fn(&Jwk) -> V) -> Box<dyn FnMut()> {
    let (message, signature) = token.rsplit_once('.').expect("a signature");
    let (message, signature) =
        (message.as_bytes().to_vec(), BASE64URL.decode(signature).expect("base64url"));
    let verifier = verifier(&jwk(token));
    Box::new(move || verifier.verify(black_box(&message), &signature).expect("valid"))
}

/// Returns the key of this token.
fn jwk(token: &str) -> Jwk {
    let kid = parsed(token).key_hint().kid().map(str::to_owned);
    let jwks: Value = serde_json::from_str(JWKS).expect("JSON");
    let keys = jwks["keys"].as_array().expect("an array");
    let key = keys.iter().find(|key| key["kid"].as_str() == kid.as_deref()).expect("a key");
    Jwk::from_bytes(key.to_string()).expect("a key")
}
