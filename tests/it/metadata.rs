//! The metadata document of the resource (RFC 9728), as a client finds it.

use axum::Router;
use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_METHOD,
    ALLOW, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, WWW_AUTHENTICATE,
};
use axum::http::{Method, Request, Response, StatusCode};
use axum::routing::{get, get_service};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::{Service, ServiceExt};
use unconfused::challenge::MetadataUrl;
use unconfused::error::ConfigError;
use unconfused::keys::{Algorithm, KeySet};
use unconfused::proof::{ClientCertificate, Dpop};
use unconfused::replay::MemoryReplayStore;
use unconfused::testing::TestIssuer;
use unconfused::{Audience, Guard, Issuer, Reason, Require, Scope};

const MCP: Audience = Audience::from_static("https://api.example/mcp");
const PATH: &str = "/.well-known/oauth-protected-resource/mcp";
const READ: Scope = Scope::from_static("files:read");

fn guard(audience: Audience) -> Guard {
    Guard::new(audience, TestIssuer::new("https://login.example").issuer())
}

/// A guarded resource with its document, as a service is set up.
fn app(guard: &Guard) -> Router {
    Router::new()
        .route("/mcp", get(|| async { "inside" }))
        .route_layer(guard.require(Require::valid_token()))
        .merge(guard.metadata().unwrap().router())
}

fn request(method: Method, uri: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(uri);
    request.body(Body::empty()).unwrap()
}

async fn send(app: &Router, request: Request<Body>) -> Response<Body> {
    app.clone().oneshot(request).await.unwrap()
}

async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn document(guard: &Guard) -> Value {
    serde_json::from_str(&guard.metadata().unwrap().to_json()).unwrap()
}

// Its URL.

#[tokio::test]
async fn the_document_is_at_the_well_known_path_in_front_of_the_resources_own() {
    let app = app(&guard(MCP));
    let found = send(&app, request(Method::GET, PATH)).await;
    assert_eq!(found.status(), StatusCode::OK);
    assert_eq!(found.headers()[CONTENT_TYPE], "application/json");
    let document: Value = serde_json::from_str(&text(found).await).unwrap();
    assert_eq!(
        document,
        json!({
            "resource": "https://api.example/mcp",
            "authorization_servers": ["https://login.example"],
            "bearer_methods_supported": ["header"],
        })
    );
}

#[tokio::test]
async fn the_document_is_at_no_other_path() {
    let app = app(&guard(MCP));
    for path in [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp/",
        "/.well-known/oauth-protected-resource/other",
        "/mcp/.well-known/oauth-protected-resource",
    ] {
        let response = send(&app, request(Method::GET, path)).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_resource_at_the_root_has_its_document_at_the_bare_well_known_path() {
    let app = app(&guard(Audience::from_static("https://api.example")));
    let path = "/.well-known/oauth-protected-resource";
    let response = send(&app, request(Method::GET, path)).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_path_with_a_colon_or_a_star_is_served_as_it_is_written() {
    // RFC 3986 allows both; axum once read them as patterns
    for audience in ["https://api.example/:tenant", "https://api.example/*files"] {
        let metadata = guard(Audience::from_static(audience)).metadata().unwrap();
        let app: Router = metadata.router();
        let found = send(&app, request(Method::GET, metadata.path())).await;
        assert_eq!(found.status(), StatusCode::OK, "{audience}");
    }
}

#[tokio::test]
async fn a_path_with_braces_is_not_a_pattern() {
    let metadata = guard(Audience::from_static("https://api.example/{tenant}")).metadata();
    let Ok(metadata) = metadata else {
        return; // no URL has braces (RFC 3986): to refuse it is as good
    };
    let app: Router = metadata.router();
    let other = "/.well-known/oauth-protected-resource/other";
    let found = send(&app, request(Method::GET, other)).await;
    assert_eq!(found.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_query_of_the_resource_is_not_part_of_the_route() {
    let guard = guard(Audience::from_static("https://api.example/mcp?tenant=a"));
    let metadata = guard.metadata().unwrap();
    let app: Router = metadata.router();
    let uri = metadata.url().to_string();
    assert_eq!(uri, format!("https://api.example{PATH}?tenant=a"));
    let found = send(&app, request(Method::GET, &uri)).await;
    assert_eq!(found.status(), StatusCode::OK);
}

#[tokio::test]
async fn challenges_name_the_url_at_which_the_document_is() {
    let guard = guard(MCP);
    let app = app(&guard);
    let denied = send(&app, request(Method::GET, "/mcp")).await;
    assert_eq!(denied.status(), StatusCode::UNAUTHORIZED);
    let challenge = denied.headers()[WWW_AUTHENTICATE].to_str().unwrap();
    let (_, rest) = challenge.split_once("resource_metadata=\"").unwrap();
    let (url, _) = rest.split_once('"').unwrap();
    assert_eq!(url, guard.metadata().unwrap().url().to_string());
    // a client that follows it finds the document of the resource it came to
    let found = send(&app, request(Method::GET, url)).await;
    let document: Value = serde_json::from_str(&text(found).await).unwrap();
    assert_eq!(document["resource"], "https://api.example/mcp");
}

#[test]
fn the_url_is_that_of_the_audience() {
    let metadata = guard(MCP).metadata().unwrap();
    assert_eq!(Some(metadata.url()), MetadataUrl::for_resource(&MCP).as_ref());
    assert_eq!(metadata.path(), PATH);
}

// Methods and headers.

#[tokio::test]
async fn the_document_needs_no_token_beside_a_backstop() {
    let app = app(&guard(MCP));
    let found = send(&app, request(Method::GET, PATH)).await;
    assert_eq!(found.status(), StatusCode::OK);
    let guarded = send(&app, request(Method::GET, "/mcp")).await;
    assert_eq!(guarded.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_credential_on_the_request_for_the_document_is_ignored() {
    let app = app(&guard(MCP));
    let mut request = request(Method::GET, PATH);
    let nonsense = "Bearer nonsense".parse().unwrap();
    request.headers_mut().insert(AUTHORIZATION, nonsense);
    assert_eq!(send(&app, request).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn every_web_origin_may_read_the_document() {
    let app = app(&guard(MCP));
    let mut request = request(Method::GET, PATH);
    let origin = "https://app.example".parse().unwrap();
    request.headers_mut().insert(ORIGIN, origin);
    let found = send(&app, request).await;
    assert_eq!(found.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
}

#[tokio::test]
async fn a_preflight_for_the_document_is_answered() {
    let app = app(&guard(MCP));
    let mut request = request(Method::OPTIONS, PATH);
    let headers = request.headers_mut();
    headers.insert(ORIGIN, "https://app.example".parse().unwrap());
    headers.insert(ACCESS_CONTROL_REQUEST_METHOD, "GET".parse().unwrap());
    let response = send(&app, request).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    let methods = response.headers()[ACCESS_CONTROL_ALLOW_METHODS].to_str();
    assert!(methods.unwrap().contains("GET"));
    assert_eq!(text(response).await, "");
}

#[tokio::test]
async fn head_answers_with_the_headers_of_get_and_no_body() {
    let app = app(&guard(MCP));
    let got = send(&app, request(Method::GET, PATH)).await;
    let head = send(&app, request(Method::HEAD, PATH)).await;
    assert_eq!(head.status(), got.status());
    assert_eq!(head.headers()[CONTENT_TYPE], got.headers()[CONTENT_TYPE]);
    assert_eq!(text(head).await, "");
}

#[tokio::test]
async fn head_never_says_another_length_than_get() {
    // RFC 9110 section 8.6
    let metadata = guard(MCP).metadata().unwrap();
    let app = metadata.router().route("/own", get_service(metadata.service()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let client = reqwest::Client::new();
    for path in [PATH, "/own"] {
        let url = format!("{origin}{path}");
        let got = client.get(&url).send().await.unwrap();
        let head = client.head(&url).send().await.unwrap();
        if let Some(length) = head.headers().get(CONTENT_LENGTH) {
            assert_eq!(Some(length), got.headers().get(CONTENT_LENGTH), "{path}");
        }
    }
}

#[tokio::test]
async fn other_methods_are_answered_with_405_and_the_allowed_ones() {
    let app = app(&guard(MCP));
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        let response = send(&app, request(method.clone(), PATH)).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(response.headers()[ALLOW], "GET, HEAD, OPTIONS", "{method}");
        assert_eq!(text(response).await, "", "{method}");
    }
}

#[tokio::test]
async fn the_service_answers_without_a_router_whatever_the_path() {
    let metadata = guard(MCP).metadata().unwrap();
    let mut service = metadata.service();
    for uri in [PATH, "/", "/elsewhere"] {
        let ready = ServiceExt::<Request<()>>::ready(&mut service).await.unwrap();
        let response = ready.call(Request::get(uri).body(()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{uri}");
        assert_eq!(*response.body(), metadata.to_json(), "{uri}");
    }
}

#[tokio::test]
async fn the_service_can_be_put_at_a_route_of_the_owners_choice() {
    let metadata = guard(MCP).metadata().unwrap();
    let app = Router::new().route_service("/resource.json", metadata.service());
    let found = send(&app, request(Method::GET, "/resource.json")).await;
    assert_eq!(text(found).await, metadata.to_json());
}

// Its contents.

#[test]
fn the_resource_is_the_audience_exactly() {
    for audience in [
        "https://api.example",
        "https://api.example/",
        "https://API.example/Mcp/",
        "https://api.example:8443/a?x=1",
    ] {
        let guard = guard(Audience::from_static(audience));
        assert_eq!(document(&guard)["resource"], audience);
    }
}

#[test]
fn another_accepted_audience_is_not_published() {
    let guard = guard(MCP).also_accept(Audience::from_static("https://old.example"));
    assert_eq!(document(&guard)["resource"], MCP.as_str());
    assert!(!guard.metadata().unwrap().to_json().contains("old.example"));
}

#[test]
fn every_trusted_issuer_is_an_authorization_server() {
    let guard = guard(MCP).trust(TestIssuer::new("https://accounts.example/").issuer());
    let mut servers: Vec<_> = document(&guard)["authorization_servers"].as_array().unwrap().clone();
    servers.sort_by_key(Value::to_string);
    assert_eq!(servers, ["https://accounts.example/", "https://login.example"]);
}

fn tenants() -> Issuer {
    let template = "https://login.example/{tenant}/v2.0";
    Issuer::tenants(template, |_| true, |_| Ok(KeySet::default())).unwrap()
}

#[test]
fn only_a_server_that_a_client_can_ask_is_listed_by_itself() {
    let guard = guard(MCP).trust(tenants()).trust(TestIssuer::new("our-own-service").issuer());
    assert_eq!(document(&guard)["authorization_servers"], json!(["https://login.example"]));
}

#[test]
#[should_panic(
    expected = "the metadata of `https://api.example/mcp` names no authorization server: call `Metadata::authorization_servers`"
)]
fn a_document_that_names_no_authorization_server_is_not_served() {
    let _ = Guard::new(MCP, tenants()).metadata().unwrap().router::<()>();
}

#[test]
fn the_servers_that_clients_are_sent_to_can_differ_from_the_issuers() {
    for guard in [guard(MCP), Guard::new(MCP, tenants())] {
        let servers = ["https://register.example", "https://login.example/organizations/v2.0"];
        let metadata = guard.metadata().unwrap().authorization_servers(servers).unwrap();
        let document: Value = serde_json::from_str(&metadata.to_json()).unwrap();
        assert_eq!(document["authorization_servers"], json!(servers));
    }
}

#[test]
fn a_server_that_is_listed_is_not_trusted_for_that() {
    let other = TestIssuer::new("https://register.example");
    let guard = guard(MCP);
    let metadata = guard.metadata().unwrap();
    let _ = metadata.authorization_servers(["https://register.example"]).unwrap().router::<()>();
    let mut request = Request::get("/mcp")
        .header(AUTHORIZATION, other.token(&MCP).bearer())
        .body(())
        .unwrap()
        .into_parts()
        .0;
    let denial = guard.authorize(&mut request, Require::valid_token()).now().unwrap();
    assert_eq!(denial.unwrap_err().reason(), Reason::IssuerUntrusted);
}

#[test]
fn a_list_of_servers_is_refused_if_it_is_empty_or_names_what_no_client_can_ask() {
    let refused = |servers: &[&str]| {
        let metadata = guard(MCP).metadata().unwrap();
        metadata.authorization_servers(servers.iter().copied()).unwrap_err().to_string()
    };
    assert_eq!(refused(&[]), "`[]` is not a list of authorization servers: it is empty");
    for server in [
        "",
        "login.example",
        "http://login.example",
        "https://login.example/{tenant}/v2.0",
        "https://login.example?tenant=a",
        "https://login.example#a",
        "https://user@login.example",
    ] {
        let error = refused(&["https://login.example", server]);
        assert!(error.contains("is not an authorization server: expected https"), "{error}");
    }
    let loopback = ["http://127.0.0.1:9000", "http://localhost:9000/a", "https://login.example/"];
    assert!(guard(MCP).metadata().unwrap().authorization_servers(loopback).is_ok());
}

#[tokio::test]
async fn a_forged_host_changes_neither_document_nor_challenge() {
    let guard = guard(MCP);
    let app = app(&guard);
    let forged = |path: &str| {
        let mut request = request(Method::GET, path);
        for name in ["host", "x-forwarded-host", "x-original-host"] {
            let evil = "evil.example".parse().unwrap();
            request.headers_mut().insert(name, evil);
        }
        let forwarded = "host=evil.example;proto=https".parse().unwrap();
        request.headers_mut().insert("forwarded", forwarded);
        request
    };
    assert_eq!(forged(PATH).headers()[HOST], "evil.example");
    let found = send(&app, forged(PATH)).await;
    assert_eq!(text(found).await, guard.metadata().unwrap().to_json());
    let denied = send(&app, forged("/mcp")).await;
    let challenge = denied.headers()[WWW_AUTHENTICATE].to_str().unwrap();
    assert!(challenge.contains("https://api.example/"), "{challenge}");
    assert!(!challenge.contains("evil"), "{challenge}");
}

#[tokio::test]
async fn a_forged_absolute_uri_changes_nothing() {
    let guard = guard(MCP);
    let app = app(&guard);
    let found = send(&app, request(Method::GET, &format!("http://evil.example{PATH}"))).await;
    assert_eq!(text(found).await, guard.metadata().unwrap().to_json());
}

#[test]
fn members_without_a_value_are_left_out() {
    let document = document(&guard(MCP));
    let mut names: Vec<_> = document.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["authorization_servers", "bearer_methods_supported", "resource"]);
}

#[test]
fn no_scopes_are_as_if_nothing_was_said_of_scopes() {
    let metadata = guard(MCP).metadata().unwrap().scopes_supported([]);
    assert!(!metadata.to_json().contains("scopes_supported"));
}

#[test]
fn what_the_owner_says_is_in_the_document_under_the_registered_names() {
    let metadata = guard(MCP)
        .metadata()
        .unwrap()
        .scopes_supported([READ, Scope::from_static("files:write")])
        .resource_name("Files \"R\" us")
        .resource_documentation("https://api.example/docs")
        .resource_policy_uri("https://api.example/policy")
        .resource_tos_uri("https://api.example/terms");
    let document: Value = serde_json::from_str(&metadata.to_json()).unwrap();
    assert_eq!(
        document,
        json!({
            "resource": "https://api.example/mcp",
            "authorization_servers": ["https://login.example"],
            "scopes_supported": ["files:read", "files:write"],
            "bearer_methods_supported": ["header"],
            "resource_name": "Files \"R\" us",
            "resource_documentation": "https://api.example/docs",
            "resource_policy_uri": "https://api.example/policy",
            "resource_tos_uri": "https://api.example/terms",
        })
    );
}

#[test]
fn what_the_guard_accepts_for_bound_tokens_is_in_the_document() {
    let dpop = |guard: Guard| {
        guard.dpop(Dpop::for_base_url("https://api.example").unwrap(), MemoryReplayStore::new())
    };
    let mtls = |guard: Guard| guard.client_certificate(ClientCertificate::from_connection);
    let members = |guard: Guard| {
        let document = document(&guard);
        let member = |name: &str| document.get(name).cloned();
        (
            member("dpop_signing_alg_values_supported"),
            member("dpop_bound_access_tokens_required"),
            member("tls_client_certificate_bound_access_tokens"),
        )
    };
    let guard = || guard(MCP);
    let algorithms = || Some(json!(["ES256", "Ed25519"]));
    let yes = || Some(json!(true));
    for (guard, expected) in [
        (guard(), (None, None, None)),
        (guard().sender_constrained(), (None, None, None)),
        (dpop(guard()), (algorithms(), None, None)),
        (dpop(guard()).sender_constrained(), (algorithms(), yes(), None)),
        (mtls(guard()), (None, None, yes())),
        (mtls(guard()).sender_constrained(), (None, None, yes())),
        // If a certificate is accepted too, a proof is not required.
        (mtls(dpop(guard())), (algorithms(), None, yes())),
        (mtls(dpop(guard())).sender_constrained(), (algorithms(), None, yes())),
    ] {
        assert_eq!(members(guard), expected);
    }
    let chosen = [Algorithm::Ps256, Algorithm::Es384];
    let dpop = Dpop::for_base_url("https://api.example").unwrap().algorithms(chosen);
    let guard = guard().dpop(dpop, MemoryReplayStore::new());
    assert_eq!(members(guard), (Some(json!(["PS256", "ES384"])), None, None));
}

#[tokio::test]
async fn what_is_said_after_the_router_was_made_is_not_served() {
    // the document is fixed when the service is made
    let metadata = guard(MCP).metadata().unwrap();
    let app: Router = metadata.router();
    let _later = metadata.resource_name("Files");
    let found = send(&app, request(Method::GET, PATH)).await;
    assert!(!text(found).await.contains("Files"));
}

// Audiences that cannot have a document.

#[test]
fn an_audience_that_is_not_an_https_url_has_no_document() {
    for audience in [
        "orders",
        "api://orders",
        "urn:example:orders",
        "http://api.example",
        "https://api.example/#part",
        "https://user@api.example",
    ] {
        let guard = guard(Audience::from_static(audience));
        let error: ConfigError = guard.metadata().unwrap_err();
        assert!(error.to_string().contains(&audience.replace("user@", "..@")), "{error}");
    }
}

#[tokio::test]
async fn without_a_document_a_challenge_still_has_a_parameter() {
    // RFC 9110 section 11.6.1 and RFC 6750 section 3: the scheme alone is not a challenge
    let guard = guard(Audience::from_static("orders"));
    let app: Router = Router::new()
        .route("/", get(|| async { "inside" }))
        .route_layer(guard.require(Require::valid_token()));
    let response = send(&app, request(Method::GET, "/")).await;
    assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer realm=\"\"");
}

#[tokio::test]
async fn without_a_document_a_challenge_names_the_scope_and_no_metadata() {
    let guard = guard(Audience::from_static("orders"));
    let app: Router =
        Router::new().route("/", get(|| async { "inside" })).route_layer(guard.require(READ));
    let response = send(&app, request(Method::GET, "/")).await;
    assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer scope=\"files:read\"");
}

#[test]
fn a_loopback_resource_may_be_plain_http() {
    for origin in ["http://127.0.0.1:8080", "http://localhost:3000", "http://[::1]:8080"] {
        let audience = Audience::new(format!("{origin}/mcp")).unwrap();
        let metadata = guard(audience.clone()).metadata().unwrap();
        assert_eq!(metadata.url().to_string(), format!("{origin}{PATH}"));
    }
}

#[test]
fn a_name_that_only_begins_like_a_loopback_is_not_one() {
    for audience in
        ["http://localhost.example", "http://127.0.0.1.example", "http://localhost@evil.example"]
    {
        assert!(guard(Audience::from_static(audience)).metadata().is_err(), "{audience}");
    }
}
