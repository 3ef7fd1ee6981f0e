//! `unguarded` finds routes that answer without a token, among them each door that stays open without a sound.

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::{any, get, post};
use axum::{Extension, Router};
use tower::{ServiceExt, service_fn};
use unconfused::layer::{Guards, Rules};
use unconfused::testing::{EmptyBody, Unguarded, unguarded};
use unconfused::{Grant, Guard, Require};

use crate::{FIVE_MINUTES, READ, REFUND, WRITE, guard, login};

async fn open() -> &'static str {
    "open"
}

async fn asks(_: Grant) -> &'static str {
    "granted"
}

/// What is found in a router whose other routes are in order.
async fn found(guard: &Guard, app: Router, routes: &[(&str, &str)]) -> Vec<String> {
    let found = unguarded(app, &guard.operations(), routes.iter().copied()).await;
    found.map_or_else(|found| found.routes().to_vec(), |()| Vec::new())
}

#[tokio::test]
async fn routes_that_ask_for_a_token_pass() {
    let guard = guard(&login());
    let app = Router::new()
        .route("/orders", get(open).route_layer(guard.require(READ).named("GET /orders")))
        .route("/orders", post(open).route_layer(guard.require(WRITE).named("POST /orders")));
    let routes = [("GET", "/orders"), ("POST", "/orders")];
    assert_eq!(unguarded(app, &guard.operations(), routes).await, Ok(()));
}

// The doors of "What stays open without a sound".

#[tokio::test]
async fn a_method_that_is_chained_after_a_layer_is_found() {
    let guard = guard(&login());
    let app = Router::new().route("/orders", get(open).route_layer(guard.require(READ)).post(open));
    let routes = [("GET", "/orders"), ("POST", "/orders")];
    assert_eq!(found(&guard, app, &routes).await, ["POST /orders: 200 OK, without a token"]);
}

#[tokio::test]
async fn the_fallback_of_a_router_is_found() {
    let guard = guard(&login());
    let orders = get(open).route_layer(guard.require(READ));
    let app = Router::new().route("/orders", orders).fallback(open);
    let routes = [("GET", "/orders"), ("GET", "/files/a.txt")];
    assert_eq!(found(&guard, app, &routes).await, ["GET /files/a.txt: 200 OK, without a token"]);
    // As the guide says instead.
    let app: Router = Router::new().fallback_service(any(open).layer(guard.require(READ)));
    assert!(found(&guard, app, &[("GET", "/files/a.txt")]).await.is_empty());
}

#[tokio::test]
async fn the_fallback_of_a_method_router_is_found() {
    let guard = guard(&login());
    let orders = || get(open).fallback(open);
    let app = Router::new().route("/orders", orders().route_layer(guard.require(READ)));
    let routes = [("GET", "/orders"), ("DELETE", "/orders")];
    assert_eq!(found(&guard, app, &routes).await, ["DELETE /orders: 200 OK, without a token"]);
    let app = Router::new().route("/orders", orders().layer(guard.require(READ)));
    assert!(found(&guard, app, &routes).await.is_empty());
}

#[tokio::test]
async fn what_is_added_after_the_backstop_is_found() {
    let guard = guard(&login());
    let service = || {
        service_fn(async |_: Request<Body>| {
            Ok::<_, std::convert::Infallible>(Response::new(Body::empty()))
        })
    };
    let app = Router::new()
        .route("/orders", get(open))
        .route_layer(guard.require(Require::valid_token()))
        .route("/reports", get(open))
        .route_service("/raw", service())
        .nest_service("/files", service());
    let routes = [("GET", "/orders"), ("GET", "/reports"), ("GET", "/raw"), ("GET", "/files/a")];
    assert_eq!(
        found(&guard, app, &routes).await,
        [
            "GET /reports: 200 OK, without a token",
            "GET /raw: 200 OK, without a token",
            "GET /files/a: 200 OK, without a token",
        ]
    );
}

#[tokio::test]
async fn an_extension_instead_of_an_extractor_is_found() {
    let guard = guard(&login());
    let optional = async |grant: Option<Extension<Grant>>| format!("{}", grant.is_some());
    let app = Router::new()
        .route("/orders", get(open).route_layer(guard.require(READ)))
        .route("/reports", get(optional));
    let routes = [("GET", "/orders"), ("GET", "/reports")];
    assert_eq!(found(&guard, app, &routes).await, ["GET /reports: 200 OK, without a token"]);
}

// Other answers.

#[tokio::test]
async fn a_handler_without_a_guard_that_asks_for_a_grant_is_found() {
    let guard = guard(&login());
    let app = Router::new().route("/orders", get(asks));
    let [line] = &found(&guard, app, &[("GET", "/orders")]).await[..] else { panic!() };
    assert!(line.starts_with("GET /orders: 500 Internal Server Error, so perhaps"), "{line}");
}

#[tokio::test]
async fn a_list_that_names_what_is_not_there_is_wrong() {
    let guard = guard(&login());
    let app = Router::new().route("/orders", get(open).route_layer(guard.require(READ)));
    let routes = [
        ("GET", "/ordres"),
        ("POST", "/orders"),
        ("GET", "orders"),
        ("GET", "https://orders.example/orders"),
        ("G T", "/orders"),
        ("GET", "/orders?page=2"),
    ];
    assert_eq!(
        found(&guard, app.clone(), &routes).await,
        [
            "GET /ordres: 404 Not Found, so there is no such route",
            "POST /orders: 405 Method Not Allowed, so there is no such method",
            "GET orders: not a method and a path",
            "GET https://orders.example/orders: not a method and a path",
            "G T /orders: not a method and a path",
        ]
    );
    assert_eq!(found(&guard, app, &[]).await, ["the list of routes is empty"]);
}

#[tokio::test]
async fn a_refusal_for_another_reason_does_not_show_a_guard() {
    let guard = guard(&login());
    let forbidden = async || StatusCode::FORBIDDEN;
    // It refuses for lack of TLS, and might pass what comes over TLS without a token.
    let insecure = guard.clone().secure_transport(|_| false);
    let app = Router::new()
        .route("/forbidden", get(forbidden))
        .route("/insecure", get(open).route_layer(insecure.optional(READ)));
    let routes = [("GET", "/forbidden"), ("GET", "/insecure")];
    let lines = found(&guard, app, &routes).await;
    assert_eq!(lines[0], "GET /forbidden: 403 Forbidden, without a token");
    assert!(lines[1].ends_with("(insecure_transport), without a token"), "{lines:?}");
}

#[tokio::test]
async fn an_operation_that_no_guard_knows_is_not_open() {
    let guards = Guards::new([("a", guard(&login()))], |_, _| None);
    let app: Router = Router::new().route("/orders", get(open).route_layer(guards.require(READ)));
    assert!(found(&guard(&login()), app, &[("GET", "/orders")]).await.is_empty());
}

#[tokio::test]
async fn a_grpc_server_is_checked_by_its_rules() {
    let guard = guard(&login());
    let rules = Rules::new()
        .on("/orders.v1.Orders/List", READ)
        .on("/orders.v1.Orders/Refund", Require::scope(REFUND).max_age(FIVE_MINUTES))
        .open("/grpc.health.v1.Health/Check");
    let routes = tonic::service::Routes::default();
    let server = tower::ServiceBuilder::new().layer(guard.rules(rules)).service(routes);
    let operations = guard.operations();
    let rpc = |method: &str| ("POST", format!("/orders.v1.Orders/{method}"));
    let routes = ["List", "Refund", "Unlisted"].map(rpc);
    assert_eq!(unguarded(server.clone(), &operations, routes).await, Ok(()));
    let health = [("POST", "/grpc.health.v1.Health/Check")];
    let found = unguarded(server, &operations, health).await.unwrap_err();
    assert_eq!(found.routes(), ["POST /grpc.health.v1.Health/Check: 200 OK, without a token"]);
    assert_eq!(
        found.operations(),
        ["POST /orders.v1.Orders/List", "POST /orders.v1.Orders/Refund"]
    );
}

#[tokio::test]
async fn a_service_with_another_body_is_checked_through_a_map() {
    let guard = guard(&login());
    let inner = service_fn(async |_: Request<String>| {
        Ok::<_, std::io::Error>(Response::new(String::new()))
    });
    let service = tower::ServiceBuilder::new().layer(guard.require(READ)).service(inner);
    let service = service.map_request(|request: Request<EmptyBody>| request.map(|_| String::new()));
    assert_eq!(unguarded(service, &guard.operations(), [("GET", "/")]).await, Ok(()));
    let failing = service_fn(async |_: Request<EmptyBody>| {
        Err::<Response<String>, _>(std::io::Error::other("down"))
    });
    let found = unguarded(failing, &guard.operations(), [("GET", "/")]).await.unwrap_err();
    assert_eq!(found.routes(), ["GET /: the service failed: down"]);
}

// The operations of the guard.

/// The operations of a guard with layers of these names that these routes leave out.
async fn missing(names: &[&str], routes: &[(&str, &str)]) -> Vec<String> {
    let guard = guard(&login());
    let layers: Vec<_> = names.iter().map(|name| guard.require(READ).named(name)).collect();
    let app = Router::new().fallback_service(any(open).layer(guard.require(READ)));
    let found = unguarded(app, &guard.operations(), routes.iter().copied()).await;
    drop(layers);
    found.map_or_else(|found| found.operations().to_vec(), |()| Vec::new())
}

#[tokio::test]
async fn an_operation_that_no_route_of_the_list_matches_is_named() {
    for (name, route, is_matched) in [
        ("GET /orders", ("GET", "/orders"), true),
        ("GET /orders", ("GET", "/orders?page=2"), true),
        ("GET /orders", ("POST", "/orders"), false),
        ("GET /orders", ("GET", "/orders/"), false),
        ("GET /orders", ("GET", "/orders/7"), false),
        ("GET /orders/{id}", ("GET", "/orders/7"), true),
        ("GET /orders/{id}", ("GET", "/orders/"), false),
        ("GET /orders/{id}", ("GET", "/orders"), false),
        ("GET /orders/{id}", ("GET", "/orders/7/lines"), false),
        ("POST /orders/{id}/refund", ("POST", "/orders/7/refund"), true),
        ("POST /orders/{id}/refund", ("POST", "/orders/7/cancel"), false),
        ("GET /files/{*path}", ("GET", "/files/a/b.txt"), true),
        ("GET /files/{*path}", ("GET", "/files/"), false),
        ("GET /files/{*path}", ("GET", "/files"), false),
        ("GET /", ("GET", "/"), true),
        // Not a method and a path, so it is not compared.
        ("orders.list", ("GET", "/orders"), true),
    ] {
        let expected = if is_matched { vec![] } else { vec![name.to_owned()] };
        assert_eq!(missing(&[name], &[route]).await, expected, "{name} {route:?}");
    }
}

#[tokio::test]
async fn an_operation_that_is_open_on_purpose_need_not_be_in_the_list() {
    let guard = guard(&login());
    let app = Router::new()
        .route("/orders", get(open).route_layer(guard.require(READ).named("GET /orders")))
        .route("/news", get(open).route_layer(guard.optional(READ).named("GET /news")));
    assert_eq!(unguarded(app, &guard.operations(), [("GET", "/orders")]).await, Ok(()));
}

#[tokio::test]
async fn what_unwrap_prints_has_a_line_for_each() {
    let guard = guard(&login());
    let layer = guard.require(READ).named("GET /orders");
    let app = Router::new().route("/open", get(open));
    let found: Unguarded =
        unguarded(app, &guard.operations(), [("GET", "/open")]).await.unwrap_err();
    let lines =
        "not guarded: GET /open: 200 OK, without a token\nnot in the list of routes: GET /orders";
    assert_eq!(found.to_string(), lines);
    assert_eq!(format!("{found:?}"), format!("\n{lines}"));
    drop(layer);
}
