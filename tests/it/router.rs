//! Where a guard stands in an axum router: each rule as a request that shows it.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{FromRef, Json, MatchedPath, Path, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ALLOW, AUTHORIZATION,
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ORIGIN, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{any, get, post};
use axum::{Extension, Router};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::Value;
use tower::{Layer, ServiceExt, service_fn};
use tower_http::cors::{Any, CorsLayer};
use unconfused::layer::{Guards, OwnGrant, ProblemJson};
use unconfused::replay::MemoryReplayStore;
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::token::TokenLimits;
use unconfused::{Audience, AuditEvent, Denial, Grant, Guard, Reason, Require, Scope};

const ORDERS: Audience = Audience::from_static("https://orders.example");
const READ: Scope = Scope::from_static("orders:read");
const WRITE: Scope = Scope::from_static("orders:write");

fn login() -> TestIssuer {
    TestIssuer::new("https://login.example")
}

fn reader(login: &TestIssuer) -> TestToken {
    login.token(&ORDERS).scope("orders:read")
}

fn writer(login: &TestIssuer) -> TestToken {
    login.token(&ORDERS).scope("orders:read orders:write")
}

async fn send(app: &Router, request: Request) -> Response {
    app.clone().oneshot(request).await.unwrap()
}

async fn ask(app: &Router, method: Method, uri: &str) -> Response {
    let request = Request::builder().method(method).uri(uri);
    send(app, request.body(Body::empty()).unwrap()).await
}

async fn ask_with(app: &Router, method: Method, uri: &str, token: &TestToken) -> Response {
    let request = Request::builder().method(method).uri(uri).header(AUTHORIZATION, token.bearer());
    send(app, request.body(Body::empty()).unwrap()).await
}

async fn text(response: Response) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn list(grant: Grant) -> String {
    format!("orders of {}", grant.subject().name())
}

async fn create(grant: Grant) -> String {
    format!("an order of {}", grant.subject().name())
}

async fn open() -> &'static str {
    "open"
}

/// Operations as the record has them.
type Operations = Arc<Mutex<Vec<String>>>;

fn recorded(guard: Guard) -> (Guard, Operations) {
    let operations = Operations::default();
    let kept = operations.clone();
    let guard = guard.audit(move |event: &AuditEvent<'_>| {
        kept.lock().unwrap().push(event.operation().to_string());
    });
    (guard, operations)
}

// One layer for each route.

#[tokio::test]
async fn each_method_of_a_path_has_its_own_requirement() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let app = Router::new()
        .route("/orders", get(list).route_layer(guard.require(READ)))
        .route("/orders", post(create).route_layer(guard.require(WRITE)));

    let listed = ask_with(&app, Method::GET, "/orders", &reader(&login)).await;
    assert_eq!(text(listed).await, "orders of alice");
    let refused = ask_with(&app, Method::POST, "/orders", &reader(&login)).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let created = ask_with(&app, Method::POST, "/orders", &writer(&login)).await;
    assert_eq!(text(created).await, "an order of alice");
}

#[tokio::test]
async fn the_first_401_of_a_route_names_its_scope() {
    let guard = Guard::new(ORDERS, login().issuer());
    let app = Router::new()
        .route("/orders", get(list).route_layer(guard.require(READ)))
        .route("/orders", post(create).route_layer(guard.require(WRITE)));
    let response = ask(&app, Method::POST, "/orders").await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        response.headers()[WWW_AUTHENTICATE],
        "Bearer scope=\"orders:write\", \
         resource_metadata=\"https://orders.example/.well-known/oauth-protected-resource\""
    );
}

#[tokio::test]
async fn a_method_chained_after_the_layer_is_not_behind_it() {
    let guard = Guard::new(ORDERS, login().issuer());
    let app = Router::new().route("/orders", get(list).route_layer(guard.require(READ)).post(open));
    let before = ask(&app, Method::GET, "/orders").await;
    assert_eq!(before.status(), StatusCode::UNAUTHORIZED);
    let after = ask(&app, Method::POST, "/orders").await;
    assert_eq!(after.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_handler_chained_after_the_layer_that_asks_for_a_grant_is_500() {
    let guard = Guard::new(ORDERS, login().issuer());
    let app =
        Router::new().route("/orders", get(list).route_layer(guard.require(READ)).post(create));
    let response = ask(&app, Method::POST, "/orders").await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_wrong_method_answers_405_without_asking_for_a_token() {
    let guard = Guard::new(ORDERS, login().issuer());
    let app = Router::new().route("/orders", get(list).route_layer(guard.require(READ)));
    let response = ask(&app, Method::DELETE, "/orders").await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()[ALLOW], "GET,HEAD");
    assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
}

#[tokio::test]
async fn with_layer_in_place_of_route_layer_a_wrong_method_is_asked_for_a_token() {
    let guard = Guard::new(ORDERS, login().issuer());
    let app = Router::new().route("/orders", get(list).layer(guard.require(READ)));
    let response = ask(&app, Method::DELETE, "/orders").await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn head_of_a_get_route_is_guarded() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let layer = guard.require(READ).body(ProblemJson);
    let app = Router::new().route("/orders", get(list).route_layer(layer));

    let denied = ask(&app, Method::HEAD, "/orders").await;
    assert_eq!(denied.status(), StatusCode::UNAUTHORIZED);
    assert!(denied.headers().contains_key(WWW_AUTHENTICATE));
    assert_eq!(text(denied).await, "");
    let passed = ask_with(&app, Method::HEAD, "/orders", &reader(&login)).await;
    assert_eq!(passed.status(), StatusCode::OK);
}

#[tokio::test]
async fn every_method_of_any_is_guarded_by_layer() {
    // for axum, a route of `any` has no method, and its `route_layer` would panic at set-up
    let guard = Guard::new(ORDERS, login().issuer());
    let app = Router::new().route("/orders", any(open).layer(guard.require(READ)));
    for method in [Method::GET, Method::POST, Method::DELETE, Method::PATCH] {
        let response = ask(&app, method.clone(), "/orders").await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{method}");
    }
}

#[tokio::test]
async fn a_requirement_can_be_computed_from_the_matched_path() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let by_path = guard.require_by(|head| {
        let path = head.extensions.get().map_or("", MatchedPath::as_str);
        match path {
            "/orders/{id}" => Require::scope(READ),
            _ => Require::scope(WRITE),
        }
    });
    let app = Router::new()
        .route("/orders/{id}", get(open))
        .route("/refunds/{id}", get(open))
        .route_layer(by_path);
    let order = ask_with(&app, Method::GET, "/orders/7", &reader(&login)).await;
    assert_eq!(order.status(), StatusCode::OK);
    let refund = ask_with(&app, Method::GET, "/refunds/7", &reader(&login)).await;
    assert_eq!(refund.status(), StatusCode::FORBIDDEN);
}

// The backstop.

#[tokio::test]
async fn behind_a_backstop_no_route_is_open() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let app = Router::new()
        .route("/forgotten", get(open))
        .route_layer(guard.require(Require::valid_token()));
    let denied = ask(&app, Method::GET, "/forgotten").await;
    assert_eq!(denied.status(), StatusCode::UNAUTHORIZED);
    let passed = ask_with(&app, Method::GET, "/forgotten", &reader(&login)).await;
    assert_eq!(passed.status(), StatusCode::OK);
}

#[tokio::test]
async fn behind_a_backstop_404_stays_404() {
    let guard = Guard::new(ORDERS, login().issuer());
    let app = Router::new()
        .route("/orders", get(list))
        .route_layer(guard.require(Require::valid_token()));
    let response = ask(&app, Method::GET, "/nowhere").await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
}

#[tokio::test]
async fn with_layer_in_place_of_route_layer_a_backstop_hides_404() {
    let guard = Guard::new(ORDERS, login().issuer());
    let app =
        Router::new().route("/orders", get(list)).layer(guard.require(Require::valid_token()));
    let response = ask(&app, Method::GET, "/nowhere").await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_backstop_asks_for_a_token_before_axum_says_405() {
    // the `route_layer` of a router wraps each whole route, including its 405
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let app = Router::new()
        .route("/orders", get(list).route_layer(guard.require(READ)))
        .route_layer(guard.require(Require::valid_token()));
    let stranger = ask(&app, Method::DELETE, "/orders").await;
    assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);
    let known = ask_with(&app, Method::DELETE, "/orders", &reader(&login)).await;
    assert_eq!(known.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn what_is_merged_after_the_backstop_needs_no_token() {
    let guard = Guard::new(ORDERS, login().issuer());
    let app = Router::new()
        .route("/orders", get(list))
        .route_layer(guard.require(Require::valid_token()))
        .merge(guard.metadata().unwrap().router())
        .merge(Router::new().route("/health", get(open)));
    for (path, status) in [
        ("/orders", StatusCode::UNAUTHORIZED),
        ("/health", StatusCode::OK),
        ("/.well-known/oauth-protected-resource", StatusCode::OK),
    ] {
        let response = ask(&app, Method::GET, path).await;
        assert_eq!(response.status(), status, "{path}");
    }
}

#[tokio::test]
async fn what_is_merged_before_the_backstop_needs_a_token() {
    let guard = Guard::new(ORDERS, login().issuer());
    let app = Router::new()
        .route("/orders", get(list))
        .merge(Router::new().route("/health", get(open)))
        .route_layer(guard.require(Require::valid_token()));
    let response = ask(&app, Method::GET, "/health").await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn inner_layers_add_to_the_backstop() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let app = Router::new()
        .route("/orders", get(list).route_layer(guard.require(READ)))
        .route("/orders", post(create).route_layer(guard.require(WRITE)))
        .route_layer(guard.require(Require::valid_token()));
    let listed = ask_with(&app, Method::GET, "/orders", &reader(&login)).await;
    assert_eq!(listed.status(), StatusCode::OK);
    let refused = ask_with(&app, Method::POST, "/orders", &reader(&login)).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let challenge = refused.headers()[WWW_AUTHENTICATE].to_str().unwrap();
    assert!(challenge.contains("scope=\"orders:write\""), "{challenge}");
}

#[tokio::test]
async fn a_handler_behind_two_layers_gets_the_grant_of_the_inner_one() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let show = |grant: Grant| async move { grant.requirement().to_string() };
    let app = Router::new()
        .route("/orders", get(show).route_layer(guard.require(WRITE)))
        .route_layer(guard.require(READ));
    let response = ask_with(&app, Method::GET, "/orders", &writer(&login)).await;
    assert_eq!(text(response).await, "scope=orders:read scope=orders:write");
}

// CORS.

fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([AUTHORIZATION])
        .expose_headers([WWW_AUTHENTICATE])
}

fn preflight(uri: &str) -> Request {
    Request::options(uri)
        .header(ORIGIN, "https://app.example")
        .header(ACCESS_CONTROL_REQUEST_METHOD, "GET")
        .header(ACCESS_CONTROL_REQUEST_HEADERS, "authorization")
        .body(Body::empty())
        .unwrap()
}

#[tokio::test]
async fn cors_outside_the_guard_answers_preflights_without_a_token() {
    let guard = Guard::new(ORDERS, login().issuer());
    let app = Router::new()
        .route("/orders", get(list).route_layer(guard.require(READ)))
        .route_layer(guard.require(Require::valid_token()))
        .layer(cors());
    let response = send(&app, preflight("/orders")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_HEADERS], "authorization");
    assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
}

#[tokio::test]
async fn cors_inside_the_guard_never_sees_the_preflight() {
    let guard = Guard::new(ORDERS, login().issuer());
    let app = Router::new().route("/orders", get(list)).layer(cors()).layer(guard.require(READ));
    let response = send(&app, preflight("/orders")).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(!response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
}

#[tokio::test]
async fn cors_outside_the_guard_lets_a_page_read_the_challenge() {
    let guard = Guard::new(ORDERS, login().issuer());
    let app =
        Router::new().route("/orders", get(list).route_layer(guard.require(READ))).layer(cors());
    let request =
        Request::get("/orders").header(ORIGIN, "https://app.example").body(Body::empty()).unwrap();
    let response = send(&app, request).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(response.headers().contains_key(WWW_AUTHENTICATE));
    assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    assert_eq!(response.headers()[ACCESS_CONTROL_EXPOSE_HEADERS], "www-authenticate");
}

// The operation inside nested routers.

#[tokio::test]
async fn inside_nested_routers_the_recorded_path_is_the_requests_own() {
    let login = login();
    let (guard, operations) = recorded(Guard::new(ORDERS, login.issuer()));
    let show = |grant: Grant| async move { grant.operation().path().to_string() };
    let orders = Router::new().route("/orders/{id}", get(show).route_layer(guard.require(READ)));
    let app = Router::new().nest("/api", Router::new().nest("/v1", orders));
    let response = ask_with(&app, Method::GET, "/api/v1/orders/7?x=1", &reader(&login)).await;
    assert_eq!(text(response).await, "/api/v1/orders/7");
    assert_eq!(*operations.lock().unwrap(), ["GET /api/v1/orders/7"]);
}

#[tokio::test]
async fn inside_nested_routers_a_requirement_by_head_sees_the_stripped_path() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let by_path = guard.require_by(|head| match head.uri.path() {
        "/orders" => Require::scope(READ),
        _ => Require::scope(WRITE),
    });
    let orders = Router::new().route("/orders", get(list).route_layer(by_path));
    let app = Router::new().nest("/api", orders);
    let response = ask_with(&app, Method::GET, "/api/orders", &reader(&login)).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_whole_nested_router_can_stand_behind_one_guard() {
    let login = login();
    let (guard, operations) = recorded(Guard::new(ORDERS, login.issuer()));
    let orders = Router::new().route("/orders", get(list)).route_layer(guard.require(READ));
    let app = Router::new().nest("/api", orders).route("/health", get(open));
    let denied = ask(&app, Method::GET, "/api/orders").await;
    assert_eq!(denied.status(), StatusCode::UNAUTHORIZED);
    let health = ask(&app, Method::GET, "/health").await;
    assert_eq!(health.status(), StatusCode::OK);
    assert_eq!(*operations.lock().unwrap(), ["GET /api/orders"]);
}

#[tokio::test]
async fn a_nested_service_that_is_not_a_router_can_be_guarded() {
    let login = login();
    let (guard, operations) = recorded(Guard::new(ORDERS, login.issuer()));
    let files = service_fn(|_: Request| async { Ok::<_, Infallible>(Response::<Body>::default()) });
    let app = Router::new().nest_service("/files", guard.require(READ).layer(files));
    let response = ask_with(&app, Method::GET, "/files/a", &reader(&login)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(*operations.lock().unwrap(), ["GET /files/a"]);
}

// Extractors.

#[tokio::test]
async fn a_handler_that_asks_for_a_grant_without_a_guard_answers_500() {
    let login = login();
    let app = Router::new().route("/orders", get(list));
    let response = ask_with(&app, Method::GET, "/orders", &reader(&login)).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
    let denial = response.extensions().get::<Denial>().unwrap();
    assert_eq!(denial.reason(), Reason::InternalError);
    assert!(denial.for_operator().to_string().contains("guard.require"));
    assert_eq!(text(response).await, "");
}

async fn greet(grant: Option<Grant>) -> String {
    match grant {
        Some(grant) => format!("hello {}", grant.subject().name()),
        None => "hello stranger".to_owned(),
    }
}

#[tokio::test]
async fn an_optional_grant_without_a_guard_answers_500() {
    let app = Router::new().route("/", get(greet));
    let response = ask(&app, Method::GET, "/").await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn an_optional_grant_is_none_if_an_optional_guard_saw_no_credentials() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let app = Router::new().route("/", get(greet).route_layer(guard.optional(READ)));
    let stranger = ask(&app, Method::GET, "/").await;
    assert_eq!(text(stranger).await, "hello stranger");
    let known = ask_with(&app, Method::GET, "/", &reader(&login)).await;
    assert_eq!(text(known).await, "hello alice");
}

#[tokio::test]
async fn an_optional_grant_is_never_none_for_a_credential_that_does_not_do() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let app = Router::new().route("/", get(greet).route_layer(guard.optional(READ)));
    let response = ask_with(&app, Method::GET, "/", &reader(&login).expired()).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_grant_behind_an_optional_guard_is_500_without_credentials() {
    // the handler asks for more than its guard provides
    let guard = Guard::new(ORDERS, login().issuer());
    let app = Router::new().route("/", get(list).route_layer(guard.optional(READ)));
    let response = ask(&app, Method::GET, "/").await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn an_optional_grant_behind_a_guard_is_the_grant() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let app = Router::new().route("/", get(greet).route_layer(guard.require(READ)));
    let response = ask_with(&app, Method::GET, "/", &reader(&login)).await;
    assert_eq!(text(response).await, "hello alice");
}

#[tokio::test]
async fn the_grant_is_an_extension_too() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let show =
        |Extension(grant): Extension<Grant>| async move { grant.subject().name().to_owned() };
    let app = Router::new().route("/", get(show).route_layer(guard.require(READ)));
    let response = ask_with(&app, Method::GET, "/", &reader(&login)).await;
    assert_eq!(text(response).await, "alice");
}

#[tokio::test]
async fn a_handler_cannot_read_the_token_from_the_headers() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let show = |headers: HeaderMap| async move { format!("{headers:?}") };
    let app = Router::new().route("/", get(show).route_layer(guard.require(READ)));
    let response = ask_with(&app, Method::GET, "/", &reader(&login)).await;
    assert_eq!(text(response).await, r#"{"cache-control": "no-store"}"#);
}

#[derive(Deserialize)]
struct Order {
    item: String,
}

#[tokio::test]
async fn the_body_is_still_there_after_the_guard() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let create = |grant: Grant, Json(order): Json<Order>| async move {
        format!("{} for {}", order.item, grant.subject().name())
    };
    let app = Router::new().route("/orders", post(create).route_layer(guard.require(WRITE)));
    let request = Request::post("/orders")
        .header(AUTHORIZATION, writer(&login).bearer())
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(r#"{"item":"tea"}"#))
        .unwrap();
    assert_eq!(text(send(&app, request).await).await, "tea for alice");
}

#[tokio::test]
async fn a_request_is_denied_before_its_body_is_read() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let create = |_: Grant, _: String| async { "created" };
    let app = Router::new().route("/orders", post(create).route_layer(guard.require(WRITE)));
    let read = Arc::new(AtomicBool::new(false));
    let body = || {
        let read = read.clone();
        Body::new(Body::from("tea").map_frame(move |frame| {
            read.store(true, Ordering::Relaxed);
            frame
        }))
    };
    let request = Request::post("/orders").body(body()).unwrap();
    let denied = send(&app, request).await;
    assert_eq!(denied.status(), StatusCode::UNAUTHORIZED);
    assert!(!read.load(Ordering::Relaxed));

    let request = Request::post("/orders").header(AUTHORIZATION, writer(&login).bearer());
    let passed = send(&app, request.body(body()).unwrap()).await;
    assert_eq!(passed.status(), StatusCode::OK);
    assert!(read.load(Ordering::Relaxed));
}

// Narrowing and refusing in a handler.

async fn cancel(
    State(guard): State<Guard>,
    grant: Grant,
    Path(id): Path<u64>,
) -> Result<String, Denial> {
    if id == 13 {
        return Err(guard.refuse(&grant));
    }
    let grant = guard.narrow(&grant, WRITE).await?;
    Ok(format!("{} cancelled {id}", grant.subject().name()))
}

fn cancelling(guard: &Guard) -> Router {
    Router::new()
        .route("/orders/{id}/cancel", post(cancel).route_layer(guard.require(READ)))
        .with_state(guard.clone())
}

#[tokio::test]
async fn a_handler_narrows_its_grant() {
    let login = login();
    let app = cancelling(&Guard::new(ORDERS, login.issuer()));
    let response = ask_with(&app, Method::POST, "/orders/7/cancel", &writer(&login)).await;
    assert_eq!(text(response).await, "alice cancelled 7");
}

#[tokio::test]
async fn a_denial_of_the_handler_is_an_answer_like_that_of_the_layer() {
    let login = login();
    let app = cancelling(&Guard::new(ORDERS, login.issuer()));
    let response = ask_with(&app, Method::POST, "/orders/7/cancel", &reader(&login)).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    let challenge = response.headers()[WWW_AUTHENTICATE].to_str().unwrap();
    assert!(challenge.contains("error=\"insufficient_scope\""));
    assert!(challenge.contains("scope=\"orders:read orders:write\""));
    assert!(challenge.contains("resource_metadata=\"https://orders.example/"));
    assert!(response.extensions().get::<Denial>().is_some());
    assert_eq!(text(response).await, "");
}

#[tokio::test]
async fn a_handler_refuses_by_its_own_rule() {
    let login = login();
    let app = cancelling(&Guard::new(ORDERS, login.issuer()));
    let response = ask_with(&app, Method::POST, "/orders/13/cancel", &writer(&login)).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
}

// Middleware around.

#[tokio::test]
async fn middleware_outside_sees_the_denial_and_middleware_inside_the_grant() {
    async fn outside(request: Request, next: Next) -> Response {
        let mut response = next.run(request).await;
        if let Some(denial) = response.extensions().get::<Denial>() {
            let reason = denial.reason().as_str().parse().unwrap();
            response.headers_mut().insert("x-reason", reason);
        }
        response
    }
    async fn inside(grant: Grant, request: Request, next: Next) -> Response {
        let subject = grant.subject().name().parse().unwrap();
        let mut response = next.run(request).await;
        response.headers_mut().insert("x-subject", subject);
        response
    }
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let app = Router::new()
        .route("/", get(open))
        .route_layer(middleware::from_fn(inside))
        .route_layer(guard.require(READ))
        .layer(middleware::from_fn(outside));
    let denied = ask(&app, Method::GET, "/").await;
    assert_eq!(denied.headers()["x-reason"], "missing_credentials");
    let passed = ask_with(&app, Method::GET, "/", &reader(&login)).await;
    assert_eq!(passed.headers()["x-subject"], "alice");
    assert!(!passed.headers().contains_key("x-reason"));
}

#[tokio::test]
async fn a_denied_answer_can_have_a_body_of_problem_json() {
    let guard = Guard::new(ORDERS, login().issuer());
    let layer = guard.require(READ).body(ProblemJson);
    let app = Router::new().route("/orders", get(list).route_layer(layer));
    let response = ask(&app, Method::GET, "/orders").await;
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    let body: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(body["required_scopes"], serde_json::json!(["orders:read"]));
}

#[tokio::test]
async fn a_denied_answer_can_have_a_body_of_the_owners_own() {
    let guard = Guard::new(ORDERS, login().issuer());
    let layer =
        guard.require(READ).body(|denial: &Denial| denial.reason().for_client().description());
    let app = Router::new().route("/orders", get(list).route_layer(layer));
    let response = ask(&app, Method::GET, "/orders").await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(text(response).await, "An access token is required");
}

// Over a socket.

async fn serve(app: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

/// Writes one request as it is, and reads until the server closes.
async fn exchange(address: SocketAddr, request: String) -> String {
    let talk = move || {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        socket.read_to_string(&mut response).unwrap();
        response
    };
    tokio::task::spawn_blocking(talk).await.unwrap()
}

#[tokio::test]
async fn over_a_socket_a_client_learns_what_it_needs_and_then_passes() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let app = Router::new().route("/orders", get(list).route_layer(guard.require(READ)));
    let url = format!("http://{}/orders", serve(app).await);
    let client = reqwest::Client::new();

    let denied = client.get(&url).send().await.unwrap();
    assert_eq!(denied.status().as_u16(), 401);
    let challenge = denied.headers()["www-authenticate"].to_str().unwrap();
    assert!(challenge.starts_with("Bearer scope=\"orders:read\""));

    let token = reader(&login).sign();
    let passed = client.get(&url).bearer_auth(token).send().await.unwrap();
    assert_eq!(passed.text().await.unwrap(), "orders of alice");
}

#[tokio::test]
async fn over_a_socket_two_authorization_fields_are_refused() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let app = Router::new().route("/orders", get(list).route_layer(guard.require(READ)));
    let bearer = reader(&login).bearer();
    let request = format!(
        "GET /orders HTTP/1.1\r\nHost: orders.example\r\nConnection: close\r\n\
         Authorization: {bearer}\r\nauthorization: {bearer}\r\n\r\n"
    );
    let response = exchange(serve(app).await, request).await;
    assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
    assert!(response.contains("www-authenticate: Bearer error=\"invalid_request\""));
}

#[tokio::test]
async fn over_a_socket_a_chunked_body_arrives_behind_the_guard() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let echo = |_: Grant, body: String| async move { body };
    let app = Router::new().route("/orders", post(echo).route_layer(guard.require(WRITE)));
    let bearer = writer(&login).bearer();
    let request = format!(
        "POST /orders HTTP/1.1\r\nHost: orders.example\r\nConnection: close\r\n\
         Authorization: {bearer}\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\ntwo\r\n5\r\n cups\r\n0\r\n\r\n"
    );
    let response = exchange(serve(app).await, request).await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert!(response.ends_with("two cups"), "{response}");
}

#[tokio::test]
async fn a_handler_makes_the_body_of_its_own_denial() {
    async fn refuse(State(guard): State<Guard>, grant: Grant) -> Response {
        let denial = guard.refuse(&grant);
        let problem = denial.problem_json();
        denial.respond(problem).map(Body::from)
    }
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let app = Router::new()
        .route("/orders", get(refuse).route_layer(guard.require(READ)))
        .with_state(guard);
    let response = ask_with(&app, Method::GET, "/orders", &reader(&login)).await;
    assert_eq!(response.status(), 403);
    assert!(text(response).await.contains("policy_denied"));
}

// A grant belongs to its request.

fn spending(login: &TestIssuer) -> Guard {
    let began = time::UtcDateTime::UNIX_EPOCH;
    Guard::new(ORDERS, login.issuer()).replay(MemoryReplayStore::new_at(began))
}

fn once() -> Require {
    Require::scope(READ).single_use()
}

/// Asks a router for two refunds, by copies of this request.
async fn refund_two(State(refunds): State<Router>, request: Request) -> String {
    let (head, _) = request.into_parts();
    let mut statuses = Vec::new();
    for path in ["/orders/1/refund", "/orders/2/refund"] {
        let mut copy = head.clone();
        copy.uri = path.parse().unwrap();
        let response = send(&refunds, Request::from_parts(copy, Body::empty())).await;
        statuses.push(response.status().as_str().to_owned());
    }
    statuses.join(" ")
}

#[tokio::test]
async fn a_batch_of_copied_requests_spends_for_each_of_them() {
    let login = login();
    let (guard, operations) = recorded(spending(&login));
    let refunds =
        Router::new().route("/orders/{id}/refund", post(list).route_layer(guard.require(once())));
    let batch = |requirement: Require| {
        let route = post(refund_two).route_layer(guard.require(requirement));
        Router::new().route("/batch", route).with_state(refunds.clone())
    };
    let read = ask_with(&batch(READ.into()), Method::POST, "/batch", &reader(&login)).await;
    assert_eq!(text(read).await, "200 401");
    let spent = ask_with(&batch(once()), Method::POST, "/batch", &reader(&login)).await;
    assert_eq!(text(spent).await, "401 401");
    let recorded = operations.lock().unwrap().split_off(0);
    let expected = ["POST /batch", "POST /orders/1/refund", "POST /orders/2/refund"];
    assert_eq!(recorded, [expected, expected].concat());
}

#[tokio::test]
async fn a_handler_behind_no_guard_does_not_find_the_grant_of_a_copied_request() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let greeted = || Router::new().route("/orders/{id}/refund", post(greet));
    for refunds in [Router::new().route("/orders/{id}/refund", post(list)), greeted()] {
        let batch = post(refund_two).route_layer(guard.require(READ));
        let app = Router::new().route("/batch", batch).with_state(refunds);
        let response = ask_with(&app, Method::POST, "/batch", &reader(&login)).await;
        assert_eq!(text(response).await, "500 500");
    }
}

#[tokio::test]
async fn inside_nested_routers_a_request_stays_one() {
    let login = login();
    let guard = spending(&login);
    let layer = || guard.require(once());
    for path in ["/", "/orders", "/orders/{id}"] {
        let orders = Router::new().route(path, get(list).route_layer(layer())).route_layer(layer());
        let app = Router::new()
            .nest("/api", Router::new().nest("/{version}", orders).route_layer(layer()))
            .route_layer(layer())
            .layer(layer());
        let uri = format!("/api/v1{}?page=2", path.replace("{id}", "7").trim_end_matches('/'));
        let token = reader(&login);
        assert_eq!(ask_with(&app, Method::GET, &uri, &token).await.status(), 200, "{uri}");
        assert_eq!(ask_with(&app, Method::GET, &uri, &token).await.status(), 401, "{uri}");
    }
}

#[tokio::test]
async fn what_rewrites_a_path_or_a_method_stands_outside_the_first_guard() {
    async fn to_orders(mut request: Request, next: Next) -> Response {
        *request.uri_mut() = "/orders".parse().unwrap();
        next.run(request).await
    }
    async fn to_get(mut request: Request, next: Next) -> Response {
        *request.method_mut() = Method::GET;
        next.run(request).await
    }
    async fn as_it_is(request: Request, next: Next) -> Response {
        next.run(request).await
    }
    let login = login();
    let (guard, operations) = recorded(spending(&login));
    let orders = || {
        let route = any(list).layer(guard.require(once()));
        Router::new().route("/orders", route).fallback_service(any(list))
    };
    let backstop = || guard.require(once());
    let send = async |app: Router, method: Method, uri: &str| {
        let response = ask_with(&app, method, uri, &reader(&login)).await;
        (response.status().as_u16(), operations.lock().unwrap().split_off(0))
    };
    let inner = |app: Router| Router::new().fallback_service(app);

    // Outside, the guards see one request.
    let app = inner(orders().layer(backstop())).layer(middleware::from_fn(to_orders));
    let seen = send(app, Method::GET, "/old").await;
    assert_eq!(seen, (200, vec!["GET /orders".to_owned(); 2]));
    let app = inner(orders().layer(backstop())).layer(middleware::from_fn(to_get));
    let seen = send(app, Method::POST, "/orders").await;
    assert_eq!(seen, (200, vec!["GET /orders".to_owned(); 2]));

    // Inside, it is another request, and its token was used before.
    let app = inner(orders()).layer(middleware::from_fn(to_orders)).layer(backstop());
    let seen = send(app, Method::GET, "/old").await;
    assert_eq!(seen, (401, vec!["GET /old".to_owned(), "GET /orders".to_owned()]));
    let app = inner(orders()).layer(middleware::from_fn(to_get)).layer(backstop());
    let seen = send(app, Method::POST, "/orders").await;
    assert_eq!(seen, (401, vec!["POST /orders".to_owned(), "GET /orders".to_owned()]));

    let app = inner(orders()).layer(middleware::from_fn(as_it_is)).layer(backstop());
    assert_eq!(send(app, Method::GET, "/orders").await.0, 200);
}

// The grant of the router's own guard.

/// A state that is more than a guard.
#[derive(Clone)]
struct Shop {
    guard: Guard,
}

impl FromRef<Shop> for Guard {
    fn from_ref(shop: &Shop) -> Guard {
        shop.guard.clone()
    }
}

async fn list_own(grant: OwnGrant) -> String {
    format!("orders of {}", grant.subject().name())
}

#[tokio::test]
async fn an_own_grant_is_500_behind_another_guard_or_none() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let other = guard.clone().limits(TokenLimits::default().max_audiences(1));
    let app = Router::new()
        .route("/own", get(list_own).route_layer(guard.clone().require(READ)))
        .route("/other", get(list_own).route_layer(other.require(READ)))
        .route("/other/own", get(list_own).route_layer((other.require(READ), guard.require(READ))))
        .route("/own/other", get(list_own).route_layer((guard.require(READ), other.require(READ))))
        .route("/none", get(list_own))
        .route("/optional", get(list_own).route_layer(guard.optional(READ)))
        .with_state(Shop { guard });
    for (path, status) in [
        ("/own", 200),
        ("/other", 500),
        ("/other/own", 200),
        ("/own/other", 500),
        ("/none", 500),
        ("/optional", 200),
    ] {
        let response = ask_with(&app, Method::GET, path, &reader(&login)).await;
        assert_eq!(response.status(), status, "{path}");
        if status == 500 {
            let denial = response.extensions().get::<Denial>().unwrap();
            assert_eq!(denial.reason(), Reason::InternalError);
            assert!(denial.for_operator().to_string().contains("guard"), "{denial}");
            assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
        }
    }
    let stranger = ask(&app, Method::GET, "/optional").await;
    assert_eq!(stranger.status(), 500);
}

// What stays open without a sound: the list beside "Where a guard stands".

#[tokio::test]
async fn a_fallback_is_not_behind_a_route_layer_and_needs_a_guard_of_its_own() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let app = || Router::new().route("/orders", get(list).route_layer(guard.require(READ)));
    let backstop = || guard.require(Require::valid_token());
    for bare in
        [app().route_layer(backstop()).fallback(open), app().fallback(open).route_layer(backstop())]
    {
        assert_eq!(ask(&bare, Method::GET, "/else").await.status(), 200);
    }
    let guarded = app().fallback_service(get(open).layer(backstop()));
    assert_eq!(ask(&guarded, Method::GET, "/else").await.status(), 401);
}

#[tokio::test]
async fn the_fallback_of_a_route_is_not_behind_its_route_layer() {
    let guard = Guard::new(ORDERS, login().issuer());
    let layer = || guard.require(READ);
    for route in [
        get(list).fallback(open).route_layer(layer()),
        get(list).route_layer(layer()).fallback(open),
        get(list).layer(layer()).fallback(open),
    ] {
        let app = Router::new().route("/orders", route);
        assert_eq!(ask(&app, Method::DELETE, "/orders").await.status(), 200);
        assert_eq!(ask(&app, Method::GET, "/orders").await.status(), 401);
    }
    let app = Router::new().route("/orders", get(list).fallback(open).layer(layer()));
    assert_eq!(ask(&app, Method::DELETE, "/orders").await.status(), 401);
}

#[tokio::test]
async fn what_is_added_after_the_backstop_is_not_behind_it() {
    let guard = Guard::new(ORDERS, login().issuer());
    let files =
        || service_fn(|_: Request| async { Ok::<_, Infallible>(Response::<Body>::default()) });
    let app = Router::new().route("/orders", get(list));
    let backstop = guard.require(Require::valid_token());
    let after = app.clone().route_layer(backstop.clone()).nest_service("/files", files());
    assert_eq!(ask(&after, Method::GET, "/files/a").await.status(), 200);
    let before = app.nest_service("/files", files()).route_layer(backstop);
    assert_eq!(ask(&before, Method::GET, "/files/a").await.status(), 401);
}

#[tokio::test]
async fn a_grant_asked_for_as_an_optional_extension_is_none_behind_no_guard() {
    let greet = |grant: Option<Extension<Grant>>| async move {
        let subject = grant.as_ref().map(|grant| grant.subject());
        subject.map_or("hello stranger".to_owned(), |subject| format!("hello {}", subject.name()))
    };
    let app = Router::new().route("/", get(greet));
    assert_eq!(text(ask(&app, Method::GET, "/").await).await, "hello stranger");
}

// Bodies of denials that handlers return.

#[tokio::test]
async fn a_handlers_own_denial_has_the_body_of_the_guard() {
    async fn narrowed(State(guard): State<Guard>, grant: Grant) -> Result<(), Denial> {
        guard.narrow(&grant, WRITE).await.map(drop)
    }
    async fn refused(State(guard): State<Guard>, grant: Grant) -> Result<(), Denial> {
        Err(guard.refuse(&grant))
    }
    async fn made() -> Result<(), Denial> {
        Err(Denial::from(Reason::PolicyDenied))
    }
    async fn with_its_own_body() -> Response {
        Denial::from(Reason::PolicyDenied).respond(Body::from("mine"))
    }
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer())
        .body(|denial: &Denial| ("text/plain", denial.reason().for_client().as_str()));
    let app = Router::new()
        .route("/narrowed", get(narrowed).route_layer(guard.require(READ)))
        .route("/refused", get(refused).route_layer(guard.require(READ)))
        .route("/made", get(made).route_layer(guard.require(READ)))
        .route("/own_layer", get(made).route_layer(guard.require(READ).body(ProblemJson)))
        .route("/twice", get(made).route_layer(guard.require(READ)))
        .route("/mine", get(with_its_own_body).route_layer(guard.require(READ)))
        .route_layer(guard.require(Require::valid_token()))
        .route("/misplaced", get(list))
        .with_state(guard);
    for (path, status, body) in [
        ("/narrowed", 403, "insufficient_scope"),
        ("/refused", 403, "policy_denied"),
        ("/made", 403, "policy_denied"),
        ("/own_layer", 403, "policy_denied"),
        ("/twice", 403, "policy_denied"),
        ("/mine", 403, "mine"),
        // There is no guard before it.
        ("/misplaced", 500, ""),
    ] {
        let response = ask_with(&app, Method::GET, path, &reader(&login)).await;
        assert_eq!(response.status(), status, "{path}");
        let media_type = response.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap());
        let spoken = !["mine", ""].contains(&body);
        assert_eq!(media_type, spoken.then_some("text/plain"), "{path}");
        let length = response.headers().get(CONTENT_LENGTH);
        let length = length.map(|value| value.to_str().unwrap().to_owned());
        assert!(length.is_none_or(|length| length == body.len().to_string()), "{path}");
        assert!(response.extensions().get::<Denial>().is_some());
        assert_eq!(text(response).await, body, "{path}");
    }
}

#[tokio::test]
async fn a_body_that_something_inside_the_layer_set_stays() {
    async fn made() -> Result<(), Denial> {
        Err(Denial::from(Reason::PolicyDenied))
    }
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer()).body(ProblemJson);
    let page = middleware::map_response(|response: Response| async {
        let (head, _) = response.into_parts();
        Response::from_parts(head, Body::from("our page"))
    });
    let route = get(made).layer(page).route_layer(guard.require(READ));
    let app = Router::new().route("/made", route);
    let response = ask_with(&app, Method::GET, "/made", &reader(&login)).await;
    assert!(!response.headers().contains_key(CONTENT_TYPE));
    assert_eq!((response.status().as_u16(), &*text(response).await), (403, "our page"));
}

#[tokio::test]
async fn a_handlers_own_denial_has_no_body_if_the_guard_makes_none() {
    async fn made() -> Result<(), Denial> {
        Err(Denial::from(Reason::PolicyDenied))
    }
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let app = Router::new().route("/made", get(made).route_layer(guard.require(READ)));
    let response = ask_with(&app, Method::GET, "/made", &reader(&login)).await;
    assert!(!response.headers().contains_key(CONTENT_TYPE));
    assert_eq!((response.status().as_u16(), &*text(response).await), (403, ""));
}

// Several guards, and other authenticators.

#[tokio::test]
async fn each_of_several_resources_serves_its_own_metadata() {
    const FILES: Audience = Audience::from_static("https://api.example/files");
    const MAIL: Audience = Audience::from_static("https://api.example/mail");
    let login = login();
    let guards = Guards::new(
        [("files", Guard::new(FILES, login.issuer())), ("mail", Guard::new(MAIL, login.issuer()))],
        |head, guards| {
            guards.get(head.extensions.get::<MatchedPath>()?.as_str().split('/').nth(1)?)
        },
    );
    let mut app = Router::new()
        .route("/files/{id}", get(list))
        .route("/mail/{id}", get(list))
        .route("/other", get(list))
        .route_layer(guards.require(READ));
    for (_, guard) in guards.iter() {
        app = app.merge(guard.metadata().unwrap().router());
    }
    for (path, audience) in [("/files/1", FILES), ("/mail/1", MAIL)] {
        let denied = ask(&app, Method::GET, path).await;
        let challenge = denied.headers()[WWW_AUTHENTICATE].to_str().unwrap();
        let (_, url) = challenge.split_once("resource_metadata=\"https://api.example").unwrap();
        let served = ask(&app, Method::GET, url.trim_end_matches('"')).await;
        assert_eq!(served.status(), 200);
        let document: Value = serde_json::from_str(&text(served).await).unwrap();
        assert_eq!(document["resource"], audience.as_str());
        let other = if audience == FILES { "/mail/1" } else { "/files/1" };
        let token = login.token(&audience).scope("orders:read");
        assert_eq!(ask_with(&app, Method::GET, path, &token).await.status(), 200);
        assert_eq!(ask_with(&app, Method::GET, other, &token).await.status(), 401);
        assert_eq!(ask_with(&app, Method::GET, "/other", &token).await.status(), 403);
    }
}

#[tokio::test]
async fn an_optional_grant_is_none_if_another_authenticator_vouched() {
    #[derive(Clone)]
    struct ApiKey;
    async fn who(grant: Option<Grant>) -> &'static str {
        if grant.is_some() { "a token" } else { "an API key" }
    }
    async fn check(mut request: Request, next: Next) -> Response {
        if request.headers_mut().remove("x-api-key").is_some() {
            request.extensions_mut().insert(ApiKey);
        }
        next.run(request).await
    }
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let layer = || guard.require(READ).or_authenticated::<ApiKey>();
    let app = Router::new()
        .route("/who", get(who).route_layer(layer()))
        .route("/list", get(list).route_layer(layer()))
        .layer(middleware::from_fn(check));
    let with_key = |path: &str| {
        let request = axum::http::Request::get(path).header("x-api-key", "k");
        request.body(Body::empty()).unwrap()
    };
    assert_eq!(text(send(&app, with_key("/who")).await).await, "an API key");
    assert_eq!(text(ask_with(&app, Method::GET, "/who", &reader(&login)).await).await, "a token");
    assert_eq!(ask(&app, Method::GET, "/who").await.status(), 401);
    // A handler that needs a grant says so.
    assert_eq!(send(&app, with_key("/list")).await.status(), 500);
}
