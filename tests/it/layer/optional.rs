//! Layers that let a request without credentials pass.

use super::*;

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
    assert_eq!(head.extensions.get::<Grant>().unwrap().subject().name(), "alice");
    assert!(!head.headers.contains_key(AUTHORIZATION));
}

#[test]
fn an_optional_guard_denies_every_invalid_credential() {
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
