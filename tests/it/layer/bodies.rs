//! The bodies of denied responses: those of the guard, of the layer, and of a service whose body is not text.

use std::cell::Cell;

use unconfused::layer::{GuardLayer, body_fn};

use super::*;

/// A guard that says no in HTML.
fn spoken() -> Guard {
    let page = body_fn(|denial| ("text/html", format!("<h1>{}</h1>", denial.status().as_u16())));
    Guard::new(ORDERS, login().issuer()).body(page)
}

fn body_and_type(response: &Response<String>) -> (&str, Option<&str>) {
    let media_type = response.headers().get(CONTENT_TYPE);
    (response.body(), media_type.map(|value| value.to_str().unwrap()))
}

#[test]
fn the_body_of_the_guard_is_the_body_of_each_of_its_layers() {
    let guard = spoken();
    for layer in [
        guard.require(READ),
        guard.require_by(|_| READ.into()),
        guard.optional(READ),
        guard.require(READ).named("orders.list"),
        guard.clone().limits(TokenLimits::default().max_actors(1)).require(READ),
    ] {
        let (response, log) = through(layer, request("Bearer nonsense"));
        assert_eq!(body_and_type(&response), ("<h1>401</h1>", Some("text/html")));
        assert_eq!(log.calls(), 0);
    }
}

#[test]
fn the_body_of_the_guard_changes_neither_status_nor_other_headers() {
    let (bare, _) = through(Guard::new(ORDERS, login().issuer()).require(READ), without_token());
    let (mut response, _) = through(spoken().require(READ), without_token());
    response.headers_mut().remove(CONTENT_TYPE);
    assert_eq!((response.status(), response.headers()), (bare.status(), bare.headers()));
}

#[test]
fn the_body_of_a_layer_replaces_that_of_the_guard() {
    let guard = spoken();
    let (response, _) = through(guard.require(READ).body(|_: &Denial| "no"), without_token());
    assert_eq!(body_and_type(&response), ("no", None));
    let (response, _) = through(guard.require(READ).body(ProblemJson), without_token());
    assert_eq!(body_and_type(&response).1, Some("application/problem+json"));
}

#[test]
fn a_closure_returns_text_or_a_media_type_and_text() {
    let guard = Guard::new(ORDERS, login().issuer());
    let answer = |layer: GuardLayer| {
        let (response, _) = through(layer, without_token());
        let (body, media_type) = body_and_type(&response);
        (body.to_owned(), media_type.map(str::to_owned))
    };
    let with =
        |body: &str, media_type: Option<&str>| (body.to_owned(), media_type.map(str::to_owned));
    let guard_with = |guard: Guard| answer(guard.require(READ));
    let set = || guard.clone();
    assert_eq!(guard_with(set().body(|_: &Denial| "no")), with("no", None));
    assert_eq!(guard_with(set().body(|_: &Denial| "no".to_owned())), with("no", None));
    let json = with("{}", Some("application/json"));
    assert_eq!(guard_with(set().body(|_: &Denial| ("application/json", "{}"))), json);
    assert_eq!(guard_with(set().body(body_fn(|_| ("application/json", "{}".to_owned())))), json);
    // What is not a media type is left out, and nothing panics.
    assert_eq!(
        guard_with(set().body(|_: &Denial| ("no\r\nset-cookie: a=b", "no"))),
        with("no", None)
    );
}

#[test]
fn the_body_of_the_guard_is_there_after_a_wait_for_keys() {
    let (issuer, waiting) = later();
    let login = login();
    let guard = Guard::new(ORDERS, issuer).body(|_: &Denial| "no");
    let (service, _) = behind();
    let mut service = guard.require(WRITE).layer(service);
    be_ready(&mut service);
    let mut future = pin!(service.call(with(&reader(&login))));
    assert!(poll(&mut future).is_pending());
    waiting.lock().unwrap().remove(0).send(Ok(login.keys())).unwrap();
    let Poll::Ready(Ok(response)) = poll(&mut future) else { panic!("an answer") };
    assert_eq!((response.status(), &**response.body()), (StatusCode::FORBIDDEN, "no"));
}

/// The body of a gRPC server: it can be empty, is not made from text, and is not shared between threads.
#[derive(Debug, Default, PartialEq)]
struct Frames(Cell<usize>);

#[derive(Clone)]
struct Rpc;

impl Service<Request<String>> for Rpc {
    type Response = Response<Frames>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Frames>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        std::future::ready(Ok(Response::new(Frames(Cell::new(7)))))
    }
}

#[test]
fn a_body_that_cannot_be_made_from_text_stays_empty() {
    let login = login();
    for guard in [spoken(), Guard::new(ORDERS, login.issuer()).body(ProblemJson)] {
        let mut service = guard.require(READ).layer(Rpc);
        let Ok(response) = at_once(service.call(without_token()));
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(*response.body(), Frames::default());
        assert!(!response.headers().contains_key(CONTENT_TYPE));
        assert!(response.extensions().get::<Denial>().is_some());
    }
    let guard = Guard::new(ORDERS, login.issuer()).body(ProblemJson);
    let mut service = guard.require(READ).layer(Rpc);
    let Ok(response) = at_once(service.call(with(&reader(&login))));
    assert_eq!(*response.body(), Frames(Cell::new(7)));
}
