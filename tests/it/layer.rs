//! The guard as a layer, in plain tower: what it passes, what it answers, and how it waits.

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
use unconfused::token::{KeyHint, ScopeHierarchy};
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

    /// The only request that came through.
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

/// The answer of one guarded service, and what came through.
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

// What passes.

#[test]
fn a_token_that_meets_the_requirement_passes() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let (response, log) = through(guard.require(READ), with(&reader(&login)));
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.body(), "inside");
    assert_eq!(log.calls(), 1);
}

#[test]
fn the_inner_service_finds_the_grant_in_the_extensions() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let token = reader(&login).subject("bob").actor("agent-7");
    let (_, log) = through(guard.require(READ), with(&token));
    let grant = log.grant();
    assert_eq!(grant.subject(), "bob");
    assert_eq!(grant.actor().unwrap().subject(), "agent-7");
    assert_eq!(*grant.requirement(), Require::scope(READ));
}

#[test]
fn the_token_stops_at_the_guard() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let token = reader(&login).sign();
    let mut request = request(&format!("Bearer {token}"));
    let proof = HeaderValue::from_static("a.b.c");
    request.headers_mut().append("dpop", proof.clone());
    request.headers_mut().append("dpop", proof);
    let (_, log) = through(guard.require(READ), request);
    let (head, _) = log.only();
    assert!(!head.headers.contains_key(AUTHORIZATION));
    assert!(!head.headers.contains_key("dpop"));
    let grant = head.extensions.get::<Grant>().unwrap();
    assert_eq!(grant.credential().expose(), token);
}

#[test]
fn the_rest_of_the_request_is_untouched() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let request = Request::post("/orders?page=2")
        .header(AUTHORIZATION, reader(&login).bearer())
        .header(CONTENT_TYPE, "text/plain")
        .header("x-request-id", "7")
        .extension("kept")
        .body("two pounds of tea".to_owned())
        .unwrap();
    let (_, log) = through(guard.require(READ), request);
    let (head, body) = log.only();
    assert_eq!(head.method, Method::POST);
    assert_eq!(head.uri, "/orders?page=2");
    assert_eq!(head.headers.len(), 3);
    assert_eq!(head.headers[CACHE_CONTROL], "no-store");
    assert_eq!(head.headers[CONTENT_TYPE], "text/plain");
    assert_eq!(head.headers["x-request-id"], "7");
    assert_eq!(head.extensions.get(), Some(&"kept"));
    assert_eq!(body, "two pounds of tea");
}

#[test]
fn the_response_of_the_inner_service_is_untouched() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let (response, _) = through(guard.require(READ), with(&reader(&login)));
    assert!(response.headers().is_empty());
    assert!(response.extensions().get::<Denial>().is_none());
}

// What is denied.

#[test]
fn without_a_token_the_answer_is_401_and_says_what_is_needed() {
    let guard = Guard::new(ORDERS, login().issuer());
    let (response, log) = through(guard.require([READ, WRITE]), without_token());
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        challenge(&response),
        format!(r#"Bearer scope="orders:read orders:write", resource_metadata="{METADATA}""#)
    );
    assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    assert_eq!(response.headers().len(), 2);
    assert_eq!(log.calls(), 0);
}

#[test]
fn a_token_without_the_scope_gets_403_and_the_scope_it_lacks() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let (response, log) = through(guard.require(WRITE), with(&reader(&login)));
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(
        challenge(&response),
        format!(
            r#"Bearer error="insufficient_scope", error_description="The request requires higher privileges", scope="orders:write", resource_metadata="{METADATA}""#
        )
    );
    assert_eq!(log.calls(), 0);
}

#[test]
fn a_login_that_is_not_strong_enough_gets_401_and_the_class_to_come_back_with() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let strong =
        Require::scope(READ).acr([Acr::from_static("phr")]).max_age(Duration::from_secs(300));
    let (response, log) = through(guard.require(strong), with(&reader(&login).acr("pwd")));
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let challenge = challenge(&response);
    assert!(challenge.contains(r#"error="insufficient_user_authentication""#));
    assert!(challenge.contains(r#"acr_values="phr", max_age="300""#));
    assert_eq!(log.calls(), 0);
}

#[test]
fn an_expired_token_is_denied() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let (response, log) = through(guard.require(READ), with(&reader(&login).expired()));
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(denial(&response).reason(), Reason::TokenExpired);
    assert_eq!(log.calls(), 0);
}

#[test]
fn a_denied_answer_has_an_empty_body_unless_told_otherwise() {
    let guard = Guard::new(ORDERS, login().issuer());
    let (response, _) = through(guard.require(READ), without_token());
    assert_eq!(response.body(), &String::default());
    assert!(!response.headers().contains_key(CONTENT_TYPE));
}

#[test]
fn a_denied_answer_carries_its_denial() {
    let guard = Guard::new(ORDERS, login().issuer());
    let (response, _) = through(guard.require(READ), without_token());
    let denial = denial(&response);
    assert_eq!(denial.reason(), Reason::MissingCredentials);
    assert_eq!(denial.status(), response.status());
    assert_eq!(denial.headers(), *response.headers());
    assert!(denial.decision().is_some());
}

#[test]
fn a_closure_makes_the_body_and_changes_neither_status_nor_headers() {
    let guard = Guard::new(ORDERS, login().issuer());
    let (bare, _) = through(guard.require(READ), without_token());
    let spoken = guard.require(READ).body(|denial: &Denial| format!("no: {}", denial.reason()));
    let (response, _) = through(spoken, without_token());
    assert_eq!(response.body(), "no: missing_credentials");
    assert_eq!(response.status(), bare.status());
    assert_eq!(response.headers(), bare.headers());
}

#[test]
fn problem_json_says_what_the_challenge_says() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let layer = guard.require(WRITE).body(ProblemJson);
    let (response, _) = through(layer, with(&reader(&login)));
    let body: Value = serde_json::from_str(response.body()).unwrap();
    let decision = denial(&response).decision().unwrap().to_string();
    assert_eq!(
        body,
        json!({
            "type": "about:blank",
            "title": "The request requires higher privileges",
            "status": 403,
            "reason": "insufficient_scope",
            "error": "insufficient_scope",
            "required_scopes": ["orders:write"],
            "resource_metadata": METADATA,
            "trace_id": decision,
        })
    );
}

#[test]
fn problem_json_adds_its_media_type_and_changes_nothing_else() {
    let guard = Guard::new(ORDERS, login().issuer());
    let (bare, _) = through(guard.require(READ), without_token());
    let layer = guard.require(READ).body(ProblemJson);
    let (mut response, _) = through(layer, without_token());
    let media_type = response.headers_mut().remove(CONTENT_TYPE);
    assert_eq!(media_type.unwrap(), "application/problem+json");
    assert_eq!(response.status(), bare.status());
    assert_eq!(response.headers(), bare.headers());
}

#[test]
fn problem_json_does_not_tell_a_stranger_which_key_is_missing() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let layer = guard.require(READ).body(ProblemJson);
    let (response, _) = through(layer, with(&reader(&login).header("kid", "other")));
    assert_eq!(denial(&response).reason(), Reason::KeyNotFound);
    let body: Value = serde_json::from_str(response.body()).unwrap();
    assert_eq!(body["reason"], "signature_invalid");
    assert!(!response.body().contains("other"));
}

#[test]
fn a_body_of_the_owners_own_kind_names_its_media_type() {
    #[derive(Clone)]
    struct Page;
    impl MakeBody<String> for Page {
        fn body(&self, denial: &Denial) -> String {
            format!("<h1>{}</h1>", denial.status().as_u16())
        }
        fn content_type(&self) -> Option<HeaderValue> {
            Some(HeaderValue::from_static("text/html"))
        }
    }
    let guard = Guard::new(ORDERS, login().issuer());
    let (response, _) = through(guard.require(READ).body(Page), without_token());
    assert_eq!(response.body(), "<h1>401</h1>");
    assert_eq!(response.headers()[CONTENT_TYPE], "text/html");
}

#[test]
fn of_two_credentials_none_is_picked() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let good = reader(&login).bearer();
    let mut request = request(&good);
    let again = HeaderValue::try_from(good).unwrap();
    request.headers_mut().append(AUTHORIZATION, again);
    let (response, log) = through(guard.require(READ), request);
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(challenge(&response).starts_with(r#"Bearer error="invalid_request""#));
    assert_eq!(denial(&response).reason(), Reason::MultipleCredentials);
    assert_eq!(log.calls(), 0);
}

#[test]
fn a_token_in_the_query_is_ignored_and_recorded() {
    let login = login();
    let (sink, lines) = recorded(|event| event.query_token().to_string());
    let guard = Guard::new(ORDERS, login.issuer()).audit(sink);
    let uri = format!("/orders?page=2&access_token={}", reader(&login).sign());
    let request = Request::get(uri).body(String::new()).unwrap();
    let (response, log) = through(guard.require(READ), request);
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(denial(&response).reason(), Reason::MissingCredentials);
    assert_eq!(log.calls(), 0);
    assert_eq!(*lines.lock().unwrap(), ["true"]);
}

#[test]
fn a_token_over_the_limit_is_answered_with_431_and_no_challenge() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer()).max_token_bytes(100);
    let (response, _) = through(guard.require(READ), with(&reader(&login)));
    assert_eq!(response.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
}

#[test]
fn keys_that_cannot_be_had_are_503_with_retry_after_and_no_challenge() {
    let login = login();
    let issuer = Issuer::new(LOGIN, |_: KeyHint<'_>| {
        Answer::Now(Err(KeysUnavailable::new("no route to host")))
    });
    let guard = Guard::new(ORDERS, issuer);
    let (response, log) = through(guard.require(READ), with(&reader(&login)));
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key(RETRY_AFTER));
    assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
    assert!(denial(&response).to_string().contains("no route to host"));
    assert_eq!(log.calls(), 0);
}

#[test]
fn the_operators_words_stay_out_of_the_answer() {
    let login = login();
    let issuer = Issuer::new(LOGIN, |_: KeyHint<'_>| {
        Answer::Now(Err(KeysUnavailable::new("no route to host")))
    });
    let guard = Guard::new(ORDERS, issuer);
    let layer = guard.require(READ).body(ProblemJson);
    let (response, _) = through(layer, with(&reader(&login)));
    assert!(response.body().contains("keys_unavailable"));
    assert!(!response.body().contains("route"));
}

#[test]
fn what_came_over_an_insecure_transport_is_refused_without_an_invitation() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer())
        .secure_transport(|head| head.headers.get("x-forwarded-proto").is_some());
    let (response, log) = through(guard.require(READ), with(&reader(&login)));
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(denial(&response).reason(), Reason::InsecureTransport);
    assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
    assert_eq!(log.calls(), 0);
}

#[test]
fn what_came_over_a_secure_transport_passes() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer())
        .secure_transport(|head| head.headers.get("x-forwarded-proto").is_some());
    let mut request = with(&reader(&login));
    let https = HeaderValue::from_static("https");
    request.headers_mut().insert("x-forwarded-proto", https);
    let (response, _) = through(guard.require(READ), request);
    assert_eq!(response.status(), StatusCode::OK);
}

// Readiness, and the path that does not wait.

#[test]
fn with_keys_at_hand_the_answer_is_there_at_the_first_poll_without_a_runtime() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let (service, _) = behind();
    let mut service = guard.require(READ).layer(service);
    be_ready(&mut service);
    let mut granted = service.call(with(&reader(&login)));
    assert!(matches!(poll(&mut granted), Poll::Ready(Ok(r)) if r.status() == StatusCode::OK));
    be_ready(&mut service);
    let mut denied = service.call(without_token());
    assert!(matches!(poll(&mut denied), Poll::Ready(Ok(r)) if r.status() == 401));
}

#[test]
fn the_service_that_was_ready_is_the_one_called() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let (service, log) = behind();
    let mut service = guard.require(READ).layer(service);
    for _ in 0..3 {
        be_ready(&mut service);
        let Ok(response) = at_once(service.call(with(&reader(&login))));
        assert_eq!(response.status(), StatusCode::OK);
    }
    assert_eq!(log.calls(), 3);
    assert_eq!(log.asked_ready.load(Ordering::Relaxed), 3);
}

#[test]
fn the_guard_is_ready_when_the_inner_service_is() {
    /// Ready at the second poll.
    #[derive(Clone, Default)]
    struct Slow(usize);
    impl Service<Request<String>> for Slow {
        type Response = Response<String>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Response<String>, Infallible>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            self.0 += 1;
            if self.0 < 2 { Poll::Pending } else { Poll::Ready(Ok(())) }
        }
        fn call(&mut self, _: Request<String>) -> Self::Future {
            std::future::ready(Ok(Response::default()))
        }
    }
    let guard = Guard::new(ORDERS, login().issuer());
    let mut service = guard.require(READ).layer(Slow::default());
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_pending());
    assert!(service.poll_ready(&mut context).is_ready());
}

/// A service that fails: when it is asked whether it is ready, or when it is called.
#[derive(Clone)]
struct Failing {
    at_once: bool,
}

impl Service<Request<String>> for Failing {
    type Response = Response<String>;
    type Error = &'static str;
    type Future = std::future::Ready<Result<Response<String>, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Ready(if self.at_once { Err("not ready") } else { Ok(()) })
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        std::future::ready(Err("broken"))
    }
}

#[test]
fn an_inner_service_that_fails_to_get_ready_fails_through_the_guard() {
    let guard = Guard::new(ORDERS, login().issuer());
    let mut service = guard.require(READ).layer(Failing { at_once: true });
    let outcome = at_once(poll_fn(|cx| service.poll_ready(cx)));
    assert_eq!(outcome, Err("not ready"));
}

#[test]
fn the_error_of_the_inner_service_comes_through_as_it_is() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let mut service = guard.require(READ).layer(Failing { at_once: false });
    assert_eq!(at_once(poll_fn(|cx| service.poll_ready(cx))), Ok(()));
    let outcome = at_once(service.call(with(&reader(&login))));
    assert_eq!(outcome.err(), Some("broken"));
}

#[test]
fn the_error_of_the_inner_service_comes_through_after_a_wait() {
    let login = login();
    let (issuer, waiting) = later();
    let guard = Guard::new(ORDERS, issuer);
    let mut service = guard.require(READ).layer(Failing { at_once: false });
    assert_eq!(at_once(poll_fn(|cx| service.poll_ready(cx))), Ok(()));
    let mut response = service.call(with(&reader(&login)));
    assert!(poll(&mut response).is_pending());
    waiting.lock().unwrap().remove(0).send(Ok(login.keys())).unwrap();
    assert!(matches!(poll(&mut response), Poll::Ready(Err("broken"))));
}

#[test]
fn keys_are_asked_for_once_a_request() {
    let login = login();
    let (issuer, asked) = counted(&login);
    let guard = Guard::new(ORDERS, issuer);
    let (response, _) = through(guard.require(READ), with(&reader(&login)));
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[test]
fn keys_are_not_asked_for_where_nothing_could_be_verified() {
    let login = login();
    let (issuer, asked) = counted(&login);
    let guard = Guard::new(ORDERS, issuer);
    let stranger = TestIssuer::new("https://evil.example");
    for request in [
        without_token(),
        request("Bearer nonsense"),
        with(&reader(&stranger)),
        with(&reader(&login).header("typ", "JWT")),
    ] {
        let (response, _) = through(guard.require(READ), request);
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[test]
fn the_clock_is_read_once_a_request() {
    let login = login();
    let read = Arc::new(AtomicUsize::new(0));
    let count = read.clone();
    let guard = Guard::new(ORDERS, login.issuer()).clock(move || {
        count.fetch_add(1, Ordering::Relaxed);
        UtcDateTime::now()
    });
    let layers = (guard.require(READ), guard.require(Require::valid_token()));
    let (response, log) = through(layers, with(&reader(&login)));
    assert_eq!(response.status(), StatusCode::OK);
    let narrowed = at_once(guard.narrow(&log.grant(), READ).into_future());
    assert!(narrowed.is_ok());
    assert_eq!(read.load(Ordering::Relaxed), 1);
}

// The path that waits for keys.

/// Notes that it was woken.
#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_request_whose_keys_are_on_their_way_waits_and_is_woken() {
    let login = login();
    let (issuer, waiting) = later();
    let guard = Guard::new(ORDERS, issuer);
    let (service, log) = behind();
    let mut service = guard.require(READ).layer(service);
    be_ready(&mut service);
    let mut response = pin!(service.call(with(&reader(&login))));
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(bell.clone());
    let mut context = Context::from_waker(&waker);
    assert!(response.as_mut().poll(&mut context).is_pending());
    assert_eq!(log.calls(), 0);
    assert!(!bell.0.load(Ordering::Relaxed));

    let sender = waiting.lock().unwrap().remove(0);
    sender.send(Ok(login.keys())).unwrap();
    assert!(bell.0.load(Ordering::Relaxed));
    let Poll::Ready(Ok(response)) = response.as_mut().poll(&mut context) else {
        panic!("the keys are there")
    };
    assert_eq!(response.status(), StatusCode::OK);
    let (head, _) = log.only();
    assert!(head.extensions.get::<Grant>().is_some());
    assert!(!head.headers.contains_key(AUTHORIZATION));
}

#[test]
fn after_a_wait_the_service_gets_ready_again_before_it_is_called() {
    let login = login();
    let (issuer, waiting) = later();
    let guard = Guard::new(ORDERS, issuer);
    let (service, log) = behind();
    let mut service = guard.require(READ).layer(service);
    // two at a time, each with a service of its own
    be_ready(&mut service);
    let mut first = service.call(with(&reader(&login)));
    be_ready(&mut service);
    let mut second = service.call(with(&reader(&login)));
    assert!(poll(&mut first).is_pending());
    assert!(poll(&mut second).is_pending());
    for sender in waiting.lock().unwrap().drain(..) {
        sender.send(Ok(login.keys())).unwrap();
    }
    assert!(poll(&mut second).is_ready());
    assert!(poll(&mut first).is_ready());
    assert_eq!(log.calls(), 2);
    assert_eq!(log.asked_ready.load(Ordering::Relaxed), 4);
}

#[test]
fn while_a_request_waits_the_service_must_get_ready_anew() {
    let login = login();
    let (issuer, _waiting) = later();
    let guard = Guard::new(ORDERS, issuer);
    let (service, log) = behind();
    let mut service = guard.optional(READ).layer(service);
    be_ready(&mut service);
    let _waits = service.call(with(&reader(&login)));
    // the one that was ready was dropped; what is left behind is a clone
    let unready = catch_unwind(AssertUnwindSafe(|| service.call(without_token())));
    assert!(unready.is_err());
    assert_eq!(log.calls(), 0);
}

#[test]
fn a_request_that_is_dropped_while_it_waits_leaves_no_trace() {
    let login = login();
    let (issuer, waiting) = later();
    let (sink, lines) = recorded(|event| event.to_string());
    let guard = Guard::new(ORDERS, issuer).audit(sink);
    let (service, log) = behind();
    let mut service = guard.require(READ).layer(service);
    be_ready(&mut service);
    let mut response = service.call(with(&reader(&login)));
    assert!(poll(&mut response).is_pending());
    drop(response);
    let sender = waiting.lock().unwrap().remove(0);
    assert!(sender.is_closed());
    assert_eq!(log.calls(), 0);
    assert!(lines.lock().unwrap().is_empty());
}

#[test]
fn keys_that_never_come_are_503_after_the_wait() {
    let login = login();
    let (issuer, waiting) = later();
    let guard = Guard::new(ORDERS, issuer);
    let (service, log) = behind();
    let mut service = guard.require(READ).layer(service);
    be_ready(&mut service);
    let mut response = service.call(with(&reader(&login)));
    assert!(poll(&mut response).is_pending());
    waiting.lock().unwrap().clear();
    let Poll::Ready(Ok(response)) = poll(&mut response) else { panic!("the wait is over") };
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key(RETRY_AFTER));
    assert_eq!(log.calls(), 0);
}

#[test]
fn after_a_wait_a_denial_has_the_body_of_the_layer() {
    let login = login();
    let (issuer, waiting) = later();
    let guard = Guard::new(ORDERS, issuer);
    let layer = guard.require(WRITE).body(ProblemJson);
    let (service, log) = behind();
    let mut service = layer.layer(service);
    be_ready(&mut service);
    let mut response = service.call(with(&reader(&login)));
    assert!(poll(&mut response).is_pending());
    let sender = waiting.lock().unwrap().remove(0);
    sender.send(Ok(login.keys())).unwrap();
    let Poll::Ready(Ok(response)) = poll(&mut response) else { panic!("the keys are there") };
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    assert!(challenge(&response).contains(r#"scope="orders:write""#));
    assert_eq!(denial(&response).reason(), Reason::InsufficientScope);
    assert_eq!(log.calls(), 0);
}

#[test]
fn a_request_that_waited_is_judged_at_the_moment_it_came() {
    let login = login();
    let (issuer, waiting) = later();
    let now = UtcDateTime::now().unix_timestamp();
    let clock = Arc::new(AtomicI64::new(now));
    let hands = clock.clone();
    let guard = Guard::new(ORDERS, issuer)
        .clock(move || UtcDateTime::from_unix_timestamp(hands.load(Ordering::Relaxed)).unwrap());
    let (service, log) = behind();
    let mut service = guard.require(READ).layer(service);
    be_ready(&mut service);
    let mut response = service.call(with(&reader(&login)));
    assert!(poll(&mut response).is_pending());
    clock.store(now + 3600, Ordering::Relaxed);
    let sender = waiting.lock().unwrap().remove(0);
    sender.send(Ok(login.keys())).unwrap();
    assert!(poll(&mut response).is_ready());
    assert_eq!(log.grant().at().unix_timestamp(), now);
}

#[test]
fn an_optional_guard_waits_for_the_keys_of_a_token_it_was_given() {
    let login = login();
    let (issuer, waiting) = later();
    let guard = Guard::new(ORDERS, issuer);
    let (service, log) = behind();
    let mut service = guard.optional(READ).layer(service);
    be_ready(&mut service);
    let mut response = service.call(with(&reader(&login)));
    assert!(poll(&mut response).is_pending());
    let sender = waiting.lock().unwrap().remove(0);
    sender.send(Ok(login.keys())).unwrap();
    assert!(poll(&mut response).is_ready());
    assert_eq!(log.grant().subject(), "alice");
}

#[tokio::test]
async fn waiting_works_under_an_executor() {
    let login = login();
    let (issuer, waiting) = later();
    let guard = Guard::new(ORDERS, issuer);
    let (service, log) = behind();
    let mut service = guard.require(READ).layer(service);
    be_ready(&mut service);
    let response = tokio::spawn(service.call(with(&reader(&login))));
    let sender = waiting.lock().unwrap().remove(0);
    sender.send(Ok(login.keys())).unwrap();
    let Ok(response) = response.await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(log.calls(), 1);
}

// What is required.

#[test]
fn a_requirement_can_be_worked_out_from_the_head() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let layer = guard.require_by(|head| match head.method {
        Method::GET => Require::scope(READ),
        _ => Require::scope(WRITE),
    });
    let (read, _) = through(layer.clone(), with(&reader(&login)));
    assert_eq!(read.status(), StatusCode::OK);
    let mut request = with(&reader(&login));
    *request.method_mut() = Method::POST;
    let (write, log) = through(layer, request);
    assert_eq!(write.status(), StatusCode::FORBIDDEN);
    assert!(challenge(&write).contains(r#"scope="orders:write""#));
    assert_eq!(log.calls(), 0);
}

#[test]
#[should_panic(expected = "no token can meet the requirement")]
fn what_nobody_can_meet_is_refused_when_the_layer_is_made() {
    let guard = Guard::new(ORDERS, login().issuer());
    let _ = guard.require(Require::any_scope([]));
}

#[test]
#[should_panic(expected = "no token can meet the requirement")]
fn what_nobody_can_meet_is_refused_when_an_optional_layer_is_made() {
    let guard = Guard::new(ORDERS, login().issuer());
    let _ = guard.optional(Require::valid_token().delegated().undelegated());
}

#[test]
fn what_nobody_can_meet_is_refused_for_good_where_it_is_worked_out() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let layer = guard.require_by(|_| Require::any_scope([]));
    let (response, log) = through(layer, with(&reader(&login)));
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
    assert_eq!(log.calls(), 0);
}

#[test]
fn layers_that_together_nobody_can_meet_refuse_for_good() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let human = guard.require(Require::valid_token().undelegated());
    let agent = guard.require(Require::valid_token().delegated());
    let (response, log) = through((human, agent), with(&reader(&login)));
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
    assert_eq!(log.calls(), 0);
}

// Optional.

#[test]
fn an_optional_guard_passes_a_request_without_credentials_and_without_a_grant() {
    let guard = Guard::new(ORDERS, login().issuer());
    let (response, log) = through(guard.optional(READ), without_token());
    assert_eq!(response.status(), StatusCode::OK);
    assert!(log.only().0.extensions.get::<Grant>().is_none());
}

#[test]
fn an_optional_guard_writes_no_record_of_a_request_without_credentials() {
    let (sink, lines) = recorded(|event| event.to_string());
    let guard = Guard::new(ORDERS, login().issuer()).audit(sink);
    let (response, _) = through(guard.optional(READ), without_token());
    assert_eq!(response.status(), StatusCode::OK);
    assert!(lines.lock().unwrap().is_empty());
}

#[test]
fn an_optional_guard_grants_a_good_token() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let (response, log) = through(guard.optional(READ), with(&reader(&login)));
    assert_eq!(response.status(), StatusCode::OK);
    let (head, _) = log.only();
    assert_eq!(head.extensions.get::<Grant>().unwrap().subject(), "alice");
    assert!(!head.headers.contains_key(AUTHORIZATION));
}

#[test]
fn an_optional_guard_denies_every_credential_that_does_not_do() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    for (credential, status) in [
        (reader(&login).expired().bearer(), 401),
        (login.token(&BILLING).scope("orders:read").bearer(), 401),
        (login.token(&ORDERS).bearer(), 403),
        ("Bearer nonsense".to_owned(), 401),
        ("Bearer".to_owned(), 400),
        (String::new(), 400),
        ("Basic YTpi".to_owned(), 401),
    ] {
        let (response, log) = through(guard.optional(READ), request(&credential));
        assert_eq!(response.status(), status, "{credential}");
        assert_eq!(log.calls(), 0, "{credential}");
    }
}

#[test]
fn an_optional_guard_stays_optional_with_another_body() {
    let guard = Guard::new(ORDERS, login().issuer());
    let layer = guard.optional(READ).body(ProblemJson);
    let (response, log) = through(layer, without_token());
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(log.calls(), 1);
}

#[test]
fn an_optional_guard_denies_over_an_insecure_transport() {
    let guard = Guard::new(ORDERS, login().issuer()).secure_transport(|_| false);
    let (response, log) = through(guard.optional(READ), without_token());
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(log.calls(), 0);
}

#[test]
fn a_guard_inside_an_optional_one_still_asks_for_a_token() {
    let guard = Guard::new(ORDERS, login().issuer());
    let layers = (guard.optional(Require::valid_token()), guard.require(READ));
    let (response, log) = through(layers, without_token());
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(log.calls(), 0);
}

#[test]
fn an_optional_guard_inside_a_guard_asks_more_of_the_token() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let layers = (guard.require(READ), guard.optional(WRITE));
    let (response, log) = through(layers, with(&reader(&login)));
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(log.calls(), 0);
}

// One guard inside itself.

#[test]
fn a_guard_inside_itself_validates_the_token_once() {
    let login = login();
    let (issuer, asked) = counted(&login);
    let guard = Guard::new(ORDERS, issuer);
    let layers = (guard.require(Require::valid_token()), guard.clone().require(READ));
    let (response, _) = through(layers, with(&reader(&login)));
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[test]
fn a_guard_inside_itself_asks_both_requirements() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let token = login.token(&ORDERS).scope("orders:read orders:write");
    let layers = (guard.require(READ), guard.require(WRITE));
    let (response, log) = through(layers, with(&token));
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(*log.grant().requirement(), Require::from([READ, WRITE]));
}

#[test]
fn the_challenge_of_the_inner_layer_names_all_scopes() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let layers = (guard.require(READ), guard.require(WRITE));
    let (response, log) = through(layers, with(&reader(&login)));
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(challenge(&response).contains(r#"scope="orders:read orders:write""#));
    assert_eq!(log.calls(), 0);
}

#[test]
fn the_outer_layer_denies_without_knowing_the_inner_one() {
    let guard = Guard::new(ORDERS, login().issuer());
    let layers = (guard.require(READ), guard.require(WRITE));
    let (response, _) = through(layers, without_token());
    assert!(challenge(&response).contains(r#"scope="orders:read","#));
}

#[test]
fn the_steps_of_nested_layers_are_told_apart_under_one_decision() {
    let login = login();
    let (sink, lines) = recorded(|event| format!("{} {}", event.decision(), event.step()));
    let guard = Guard::new(ORDERS, login.issuer()).audit(sink);
    let layers = (guard.require(READ), guard.require(Require::valid_token()));
    let (_, log) = through(layers, with(&reader(&login)));
    let decision = log.grant().decision();
    let expected = [format!("{decision} 0"), format!("{decision} 1")];
    assert_eq!(*lines.lock().unwrap(), expected);
}

#[test]
fn two_requests_are_two_decisions() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let (_, first) = through(guard.require(READ), with(&reader(&login)));
    let (_, second) = through(guard.require(READ), with(&reader(&login)));
    assert_ne!(first.grant().decision(), second.grant().decision());
}

// Another guard inside.

#[test]
fn a_guard_set_up_differently_validates_the_credential_anew() {
    let login = login();
    let (issuer, asked) = counted(&login);
    let guard = Guard::new(ORDERS, issuer);
    let other = guard.clone().single_audience();
    let layers = (guard.require(READ), other.require(READ));
    let (response, log) = through(layers, with(&reader(&login)));
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    let grant = log.grant();
    assert!(grant.made_by(&other));
    assert!(!grant.made_by(&guard));
}

#[test]
fn a_guard_for_another_audience_refuses_what_the_outer_one_granted() {
    let login = login();
    let orders = Guard::new(ORDERS, login.issuer());
    let billing = Guard::new(BILLING, login.issuer());
    let layers = (orders.require(READ), billing.require(READ));
    let (response, log) = through(layers, with(&reader(&login)));
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(denial(&response).reason(), Reason::AudienceMismatch);
    assert!(challenge(&response).contains("https://billing.example/.well-known"));
    assert_eq!(log.calls(), 0);
}

#[test]
fn a_token_for_both_audiences_passes_both_guards() {
    let login = login();
    let orders = Guard::new(ORDERS, login.issuer());
    let billing = Guard::new(BILLING, login.issuer());
    let token = reader(&login).claim("aud", [ORDERS.as_str(), BILLING.as_str()]);
    let layers = (orders.require(READ), billing.require(READ));
    let (response, log) = through(layers, with(&token));
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(log.grant().audience(), Some(&BILLING));
}

#[test]
fn another_guard_that_waits_for_keys_takes_the_credential_of_the_grant() {
    let login = login();
    let (issuer, waiting) = later();
    let outer = Guard::new(ORDERS, login.issuer());
    let inner = Guard::new(ORDERS, issuer);
    let (service, log) = behind();
    let mut service = (outer.require(READ), inner.require(READ)).layer(service);
    be_ready(&mut service);
    let mut response = service.call(with(&reader(&login)));
    assert!(poll(&mut response).is_pending());
    let sender = waiting.lock().unwrap().remove(0);
    sender.send(Ok(login.keys())).unwrap();
    assert!(poll(&mut response).is_ready());
    assert!(log.grant().made_by(&inner));
}

#[test]
fn a_grant_of_a_strangers_guard_in_the_extensions_is_worth_nothing() {
    let stranger = TestIssuer::new("https://evil.example");
    let forged = stranger.grant(stranger.token(&ORDERS).scope("orders:read"), READ);
    let guard = Guard::new(ORDERS, login().issuer());
    let mut request = without_token();
    request.extensions_mut().insert(forged);
    let (response, log) = through(guard.require(READ), request);
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(denial(&response).reason(), Reason::IssuerUntrusted);
    assert_eq!(log.calls(), 0);
}

#[test]
fn two_guards_before_one_request_write_under_one_decision() {
    let login = login();
    let (sink, lines) = recorded(|event| format!("{} {}", event.decision(), event.step()));
    let sink = Arc::new(sink);
    let orders = Guard::new(ORDERS, login.issuer()).audit({
        let sink = sink.clone();
        move |event: &AuditEvent<'_>| sink(event)
    });
    let strict = orders.clone().single_audience();
    let layers = (orders.require(READ), strict.require(READ));
    let (_, log) = through(layers, with(&reader(&login)));
    let decision = log.grant().decision();
    let expected = [format!("{decision} 0"), format!("{decision} 1")];
    assert_eq!(*lines.lock().unwrap(), expected);
}

#[test]
fn steps_are_told_apart_where_two_guards_narrow_in_turn() {
    let login = login();
    let (sink, lines) = recorded(|event| event.step().to_string());
    let guard = Guard::new(ORDERS, login.issuer()).audit(sink);
    let other = guard.clone().single_audience();
    let (_, log) = through(guard.require(READ), with(&reader(&login)));
    let grant = log.grant();
    let others = other.narrow(&grant, READ).now().unwrap().unwrap();
    guard.narrow(&grant, READ).now().unwrap().unwrap();
    other.narrow(&others, READ).now().unwrap().unwrap();
    assert_eq!(*lines.lock().unwrap(), ["0", "1", "2", "3"]);
}

// Which guard.

#[test]
fn a_grant_is_by_the_guard_that_made_it_and_by_its_clones() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let (_, log) = through(guard.require(READ), with(&reader(&login)));
    let grant = log.grant();
    assert!(grant.made_by(&guard));
    assert!(grant.made_by(&guard.clone()));
}

#[test]
fn every_changed_setting_makes_another_guard() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let (_, log) = through(guard.require(READ), with(&reader(&login)));
    let grant = log.grant();
    let clone = || guard.clone();
    for (setting, other) in [
        ("trust", clone().trust(TestIssuer::new("https://b").issuer())),
        ("also_accept", clone().also_accept(BILLING)),
        ("leeway", clone().leeway(Duration::from_secs(1))),
        ("max_lifetime", clone().max_lifetime(Duration::from_secs(1))),
        ("max_delegated_lifetime", clone().max_delegated_lifetime(Duration::from_secs(1))),
        ("max_token_age", clone().max_token_age(Duration::from_secs(1))),
        ("single_audience", clone().single_audience()),
        ("max_actors", clone().max_actors(1)),
        ("max_token_bytes", clone().max_token_bytes(1)),
        ("scope_hierarchy", clone().scope_hierarchy(ScopeHierarchy::default())),
        ("clock", clone().clock(UtcDateTime::now)),
        ("secure_transport", clone().secure_transport(|_| true)),
        ("audit", clone().audit(|_: &AuditEvent<'_>| ())),
        ("made anew", Guard::new(ORDERS, login.issuer())),
    ] {
        assert!(!grant.made_by(&other), "{setting}");
    }
    assert!(grant.made_by(&guard));
}

// Narrowing and refusing.

fn granted(guard: &Guard, token: &TestToken) -> Grant {
    let (response, log) = through(guard.require(READ), with(token));
    assert_eq!(response.status(), StatusCode::OK);
    log.grant()
}

#[test]
fn narrowing_grants_what_the_token_allows() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let token = login.token(&ORDERS).scope("orders:read orders:write");
    let grant = granted(&guard, &token);
    let narrowed = guard.narrow(&grant, WRITE).now().unwrap().unwrap();
    assert_eq!(*narrowed.requirement(), Require::from([READ, WRITE]));
    assert_eq!(narrowed.decision(), grant.decision());
    assert!(narrowed.made_by(&guard));
}

#[test]
fn narrowing_leaves_the_earlier_grant_as_it_was() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let token = login.token(&ORDERS).scope("orders:read orders:write");
    let grant = granted(&guard, &token);
    let _narrowed = guard.narrow(&grant, WRITE).now().unwrap().unwrap();
    assert_eq!(*grant.requirement(), Require::scope(READ));
}

#[test]
fn narrowing_denies_with_one_challenge_for_all_that_is_asked() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let grant = granted(&guard, &reader(&login));
    let denial = guard.narrow(&grant, WRITE).now().unwrap().unwrap_err();
    assert_eq!(denial.status(), StatusCode::FORBIDDEN);
    assert_eq!(denial.challenge().unwrap().scope(), [READ, WRITE]);
    assert_eq!(denial.decision(), Some(grant.decision()));
    assert!(denial.challenge().unwrap().resource_metadata().is_some());
}

#[test]
fn narrowing_to_what_nobody_can_meet_is_refused_for_good() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let grant = granted(&guard, &reader(&login));
    let asked = Require::any_scope([]);
    let denial = guard.narrow(&grant, asked).now().unwrap().unwrap_err();
    assert_eq!(denial.status(), StatusCode::FORBIDDEN);
    assert!(denial.challenge().is_none());
}

#[test]
fn narrowing_asks_for_no_keys_again() {
    let login = login();
    let (issuer, asked) = counted(&login);
    let guard = Guard::new(ORDERS, issuer);
    let grant = granted(&guard, &reader(&login));
    assert!(guard.narrow(&grant, READ).now().unwrap().is_ok());
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[test]
fn narrowing_judges_the_token_at_the_moment_of_the_request() {
    let login = login();
    let now = UtcDateTime::now().unix_timestamp();
    let clock = Arc::new(AtomicI64::new(now));
    let hands = clock.clone();
    let guard = Guard::new(ORDERS, login.issuer())
        .clock(move || UtcDateTime::from_unix_timestamp(hands.load(Ordering::Relaxed)).unwrap());
    let grant = granted(&guard, &reader(&login));
    clock.store(now + 3600, Ordering::Relaxed);
    let narrowed = guard.narrow(&grant, READ).now().unwrap().unwrap();
    assert_eq!(narrowed.at().unix_timestamp(), now);
}

#[test]
fn narrowing_the_grant_of_another_guard_validates_anew() {
    let login = login();
    let (issuer, asked) = counted(&login);
    let guard = Guard::new(ORDERS, login.issuer());
    let other = Guard::new(ORDERS, issuer);
    let grant = granted(&guard, &reader(&login));
    let narrowed = other.narrow(&grant, READ).now().unwrap().unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert!(narrowed.made_by(&other));
    assert_eq!(narrowed.decision(), grant.decision());
}

#[test]
fn narrowing_the_grant_of_a_guard_for_another_audience_is_denied() {
    let login = login();
    let orders = Guard::new(ORDERS, login.issuer());
    let billing = Guard::new(BILLING, login.issuer());
    let grant = granted(&orders, &reader(&login));
    let denial = billing.narrow(&grant, READ).now().unwrap().unwrap_err();
    assert_eq!(denial.reason(), Reason::AudienceMismatch);
}

#[test]
fn narrowing_the_grant_of_another_guard_waits_for_keys() {
    let login = login();
    let (issuer, waiting) = later();
    let guard = Guard::new(ORDERS, login.issuer());
    let other = Guard::new(ORDERS, issuer);
    let grant = granted(&guard, &reader(&login));
    let mut answer = other.narrow(&grant, READ).into_future();
    assert!(poll(&mut answer).is_pending());
    let sender = waiting.lock().unwrap().remove(0);
    sender.send(Ok(login.keys())).unwrap();
    assert!(matches!(poll(&mut answer), Poll::Ready(Ok(narrowed)) if narrowed.made_by(&other)));
}

#[test]
fn a_refusal_of_the_handler_is_403_without_a_challenge() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let grant = granted(&guard, &reader(&login));
    let denial = guard.refuse(&grant);
    assert_eq!(denial.status(), StatusCode::FORBIDDEN);
    assert_eq!(denial.reason(), Reason::PolicyDenied);
    assert!(denial.challenge().is_none());
    assert_eq!(denial.decision(), Some(grant.decision()));
}

#[test]
fn a_refusal_of_the_handler_is_in_the_record() {
    let login = login();
    let (sink, lines) = recorded(|event| {
        let reason = event.reason().map_or("allowed", Reason::as_str);
        format!("{} {reason} {}", event.step(), event.subject().unwrap())
    });
    let guard = Guard::new(ORDERS, login.issuer()).audit(sink);
    let grant = granted(&guard, &reader(&login));
    assert_eq!(guard.refuse(&grant).status(), 403);
    let expected = ["0 allowed alice", "1 policy_denied alice"];
    assert_eq!(*lines.lock().unwrap(), expected);
}

// The operation.

#[test]
fn an_operation_has_the_name_its_owner_gave() {
    let login = login();
    let (sink, lines) = recorded(|event| event.operation().to_string());
    let guard = Guard::new(ORDERS, login.issuer()).audit(sink);
    let layer = guard.require(READ).named("orders.list");
    let (_, log) = through(layer, with(&reader(&login)));
    assert_eq!(log.grant().operation().name(), Some("orders.list"));
    assert_eq!(*lines.lock().unwrap(), ["orders.list"]);
}

#[test]
fn an_operation_without_a_name_is_method_and_path_without_the_query() {
    let login = login();
    let (sink, lines) = recorded(|event| event.operation().to_string());
    let guard = Guard::new(ORDERS, login.issuer()).audit(sink);
    let mut request = with(&reader(&login));
    *request.uri_mut() = "/orders?secret=1".parse().unwrap();
    let (_, log) = through(guard.require(READ), request);
    assert_eq!(log.grant().operation().name(), None);
    assert_eq!(*lines.lock().unwrap(), ["GET /orders"]);
}

#[test]
fn the_name_survives_a_change_of_the_body() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let layer = guard.require(READ).named("orders.list").body(ProblemJson);
    let (_, log) = through(layer, with(&reader(&login)));
    assert_eq!(log.grant().operation().name(), Some("orders.list"));
}

#[test]
fn each_of_nested_layers_names_its_own_step() {
    let login = login();
    let (sink, lines) = recorded(|event| event.operation().to_string());
    let guard = Guard::new(ORDERS, login.issuer()).audit(sink);
    let layers = (
        guard.require(Require::valid_token()).named("any"),
        guard.require(READ).named("orders.list"),
    );
    through(layers, with(&reader(&login)));
    assert_eq!(*lines.lock().unwrap(), ["any", "orders.list"]);
}

// A grant is for its request.

#[test]
fn a_credential_beside_a_grant_is_judged_and_the_grant_counts_for_nothing() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let grant = granted(&guard, &reader(&login));
    for (field, answer) in [
        ("Bearer somebody-elses".to_owned(), Err(Reason::TokenFormatNotAccepted)),
        (reader(&login).expired().bearer(), Err(Reason::TokenExpired)),
        (reader(&login).subject("bob").bearer(), Ok("bob".to_owned())),
    ] {
        let (mut parts, _) = request(&field).into_parts();
        parts.extensions.insert(grant.clone());
        let judged = guard.authorize(&mut parts, READ).now().unwrap();
        let judged = judged.map(|grant| grant.subject().to_owned());
        assert_eq!(judged.map_err(|denial| denial.reason()), answer);
    }
}

#[test]
fn a_second_sink_is_one_more_place() {
    let login = login();
    let (first, one) = recorded(|_| String::new());
    let (second, two) = recorded(|_| String::new());
    let guard = Guard::new(ORDERS, login.issuer()).audit(first).audit(second);
    granted(&guard, &reader(&login));
    assert_eq!((one.lock().unwrap().len(), two.lock().unwrap().len()), (1, 1));
}

#[test]
fn a_grant_beside_a_refused_credential_is_taken_away() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let grant = granted(&guard, &reader(&login));
    let (mut parts, _) = request("Bearer somebody-elses").into_parts();
    parts.extensions.insert(grant);
    assert!(guard.authorize(&mut parts, READ).now().unwrap().is_err());
    assert!(parts.extensions.get::<Grant>().is_none());
}
