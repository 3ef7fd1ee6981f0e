//! Requirements that are computed, and those that no token can meet.

use super::*;

#[test]
fn a_requirement_can_be_computed_from_the_head() {
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
fn a_requirement_that_no_token_can_meet_panics_when_the_layer_is_made() {
    let guard = Guard::new(ORDERS, login().issuer());
    let _ = guard.require(Require::any_scope([]));
}

#[test]
#[should_panic(expected = "no token can meet the requirement")]
fn a_requirement_that_no_token_can_meet_panics_when_an_optional_layer_is_made() {
    let guard = Guard::new(ORDERS, login().issuer());
    let _ = guard.optional(Require::valid_token().delegated().undelegated());
}

#[test]
fn a_computed_requirement_that_no_token_can_meet_refuses_for_good() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let layer = guard.require_by(|_| Require::any_scope([]));
    let (response, log) = through(layer, with(&reader(&login)));
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
    assert_eq!(log.calls(), 0);
}

#[test]
fn layers_that_no_token_can_meet_together_refuse_for_good() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let human = guard.require(Require::valid_token().undelegated());
    let agent = guard.require(Require::valid_token().delegated());
    let (response, log) = through((human, agent), with(&reader(&login)));
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
    assert_eq!(log.calls(), 0);
}
