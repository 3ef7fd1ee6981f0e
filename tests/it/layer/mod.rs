//! The guard as a layer, in plain tower: what it passes, what it answers, and how it waits.

mod bodies;
mod denied;
mod guards;
mod its_request;
mod narrowing;
mod nested;
mod operation;
mod optional;
mod other_authenticator;
mod other_field;
mod other_guard;
mod passes;
mod ready;
mod requirement;
mod same_guard;
mod waiting;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use time::UtcDateTime;
use tokio::sync::oneshot;
use tower_layer::Layer;
use tower_service::Service;
use unconfused::keys::{KeySet, KeysUnavailable};
use unconfused::layer::{MakeBody, ProblemJson};
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::token::{KeyHint, ScopeHierarchy, TokenLimits};
use unconfused::{
    Acr, Answer, Audience, AuditEvent, Denial, Grant, Guard, Issuer, Reason, Require, Scope,
};

const LOGIN: &str = "https://login.example";
const ORDERS: Audience = Audience::from_static("https://orders.example");
const BILLING: Audience = Audience::from_static("https://billing.example");
const READ: Scope = Scope::from_static("orders:read");
const WRITE: Scope = Scope::from_static("orders:write");
const METADATA: &str = "https://orders.example/.well-known/oauth-protected-resource";

/// The service behind the guard. It panics when it is called without having been ready first, as a
/// service may, and a clone of a ready service is not ready.
struct Behind {
    ready: bool,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    asked_ready: AtomicUsize,
    seen: Mutex<Vec<(Parts, String)>>,
}

impl Log {
    fn calls(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// The only request that passed.
    fn only(&self) -> (Parts, String) {
        let mut seen = self.seen.lock().unwrap();
        assert_eq!(seen.len(), 1, "one call");
        seen.pop().unwrap()
    }

    fn grant(&self) -> Grant {
        let (head, _) = self.only();
        head.extensions.get::<Grant>().expect("a grant").clone()
    }
}

impl Clone for Behind {
    fn clone(&self) -> Self {
        Behind { ready: false, log: self.log.clone() }
    }
}

impl Service<Request<String>> for Behind {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.log.asked_ready.fetch_add(1, Ordering::Relaxed);
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<String>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without being ready");
        self.log.seen.lock().unwrap().push(request.into_parts());
        std::future::ready(Ok(Response::new("inside".to_owned())))
    }
}

fn behind() -> (Behind, Arc<Log>) {
    let log = Arc::new(Log::default());
    let service = Behind { ready: false, log: log.clone() };
    (service, log)
}

/// Polls once, without a runtime.
fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// The output of a future that is there at the first poll.
fn at_once<F: Future>(future: F) -> F::Output {
    let future = pin!(future);
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the answer is not there at once"),
    }
}

fn be_ready<S: Service<Request<String>, Error = Infallible>>(service: &mut S) {
    let Ok(()) = at_once(poll_fn(|cx| service.poll_ready(cx)));
}

fn call<S>(mut service: S, request: Request<String>) -> Response<String>
where
    S: Service<Request<String>, Response = Response<String>, Error = Infallible>,
{
    be_ready(&mut service);
    let Ok(response) = at_once(service.call(request));
    response
}

/// The answer of a guarded service, and the requests that passed.
fn through<L>(layer: L, request: Request<String>) -> (Response<String>, Arc<Log>)
where
    L: Layer<Behind>,
    L::Service: Service<Request<String>, Response = Response<String>, Error = Infallible>,
{
    let (service, log) = behind();
    (call(layer.layer(service), request), log)
}

fn request(authorization: &str) -> Request<String> {
    Request::get("/orders").header(AUTHORIZATION, authorization).body(String::new()).unwrap()
}

fn with(token: &TestToken) -> Request<String> {
    request(&token.bearer())
}

fn without_token() -> Request<String> {
    Request::get("/orders").body(String::new()).unwrap()
}

fn challenge(response: &Response<String>) -> &str {
    let mut fields = response.headers().get_all(WWW_AUTHENTICATE).iter();
    let field = fields.next().expect("a challenge");
    assert!(fields.next().is_none(), "one challenge");
    field.to_str().unwrap()
}

fn denial(response: &Response<String>) -> &Denial {
    response.extensions().get().expect("the denial")
}

fn login() -> TestIssuer {
    TestIssuer::new(LOGIN)
}

fn reader(login: &TestIssuer) -> TestToken {
    login.token(&ORDERS).scope("orders:read")
}

/// The issuer, and how often it was asked for keys.
fn counted(login: &TestIssuer) -> (Issuer, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let keys = login.keys();
    let issuer = Issuer::new(LOGIN, move |_: KeyHint<'_>| {
        count.fetch_add(1, Ordering::Relaxed);
        Answer::Now(Ok(keys.clone()))
    });
    (issuer, asked)
}

type KeysSender = oneshot::Sender<Result<KeySet, KeysUnavailable>>;

/// An issuer whose keys come when the test sends them, in the order in which they were asked for.
fn later() -> (Issuer, Arc<Mutex<Vec<KeysSender>>>) {
    let waiting: Arc<Mutex<Vec<KeysSender>>> = Arc::default();
    let queue = waiting.clone();
    let issuer = Issuer::new(LOGIN, move |_: KeyHint<'_>| {
        let (sender, receiver) = oneshot::channel();
        queue.lock().unwrap().push(sender);
        Answer::later(async move {
            receiver.await.unwrap_or_else(|gone| Err(KeysUnavailable::new(gone)))
        })
    });
    (issuer, waiting)
}

/// A sink that keeps one line of text for every event.
fn recorded(
    line: impl Fn(&AuditEvent<'_>) -> String + Send + Sync + 'static,
) -> (impl Fn(&AuditEvent<'_>) + Send + Sync + 'static, Arc<Mutex<Vec<String>>>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = lines.clone();
    let sink = move |event: &AuditEvent<'_>| kept.lock().unwrap().push(line(event));
    (sink, lines)
}

fn granted(guard: &Guard, token: &TestToken) -> Grant {
    let (response, log) = through(guard.require(READ), with(token));
    assert_eq!(response.status(), StatusCode::OK);
    log.grant()
}
