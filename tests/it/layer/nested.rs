//! A guard inside itself.

use super::*;

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
