//! A guard inside another one.

use super::*;

#[test]
fn a_guard_set_up_differently_validates_the_credential_anew() {
    let login = login();
    let (issuer, asked) = counted(&login);
    let guard = Guard::new(ORDERS, issuer);
    let other = guard.clone().limits(TokenLimits::default().single_audience());
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
fn another_guard_that_waits_for_keys_uses_the_credential_of_the_grant() {
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
fn a_grant_of_an_unrelated_guard_in_the_extensions_does_not_count() {
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
    let strict = orders.clone().limits(TokenLimits::default().single_audience());
    let layers = (orders.require(READ), strict.require(READ));
    let (_, log) = through(layers, with(&reader(&login)));
    let decision = log.grant().decision();
    let expected = [format!("{decision} 0"), format!("{decision} 1")];
    assert_eq!(*lines.lock().unwrap(), expected);
}

#[test]
fn steps_are_told_apart_if_two_guards_narrow_in_turn() {
    let login = login();
    let (sink, lines) = recorded(|event| event.step().to_string());
    let guard = Guard::new(ORDERS, login.issuer()).audit(sink);
    let other = guard.clone().limits(TokenLimits::default().single_audience());
    let (_, log) = through(guard.require(READ), with(&reader(&login)));
    let grant = log.grant();
    let others = other.narrow(&grant, READ).now().unwrap().unwrap();
    guard.narrow(&grant, READ).now().unwrap().unwrap();
    other.narrow(&others, READ).now().unwrap().unwrap();
    assert_eq!(*lines.lock().unwrap(), ["0", "1", "2", "3"]);
}
