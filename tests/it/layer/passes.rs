//! Requests that pass.

use super::*;

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
    assert_eq!(grant.subject().name(), "bob");
    assert_eq!(grant.actor().unwrap().name(), "agent-7");
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
    assert!(head.extensions.get::<Grant>().is_some());
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
