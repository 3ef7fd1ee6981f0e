//! The name of the operation.

use super::*;

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
