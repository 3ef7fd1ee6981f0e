//! Named rules of one route.

use super::*;
use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, State};
use axum::http::Request;
use axum::routing::get;
use tower::ServiceExt;
use unconfused::layer::Guards;
use unconfused::testing::TestIssuer;
use unconfused::{Audience, Require};

async fn status(app: &Router, path: &str, token: &TestToken) -> u16 {
    let request = Request::get(path).header("authorization", token.bearer());
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    response.status().as_u16()
}

async fn list() -> &'static str {
    "orders"
}

#[tokio::test]
async fn a_rule_that_says_no_is_refused_and_recorded_by_its_name() {
    let (guard, lines) = recorded(guard());
    let layer = guard.require(READ).rule("own tenant", |evidence, head| {
        let tenant: Option<String> = evidence.claim("tenant").unwrap_or_default();
        tenant.is_some_and(|tenant| head.uri.path().starts_with(&format!("/{tenant}/")))
    });
    let app = Router::new().route("/{tenant}/orders", get(list).route_layer(layer));
    let token = reader().claim("tenant", "acme");
    assert_eq!(status(&app, "/acme/orders", &token).await, 200);
    assert_eq!(status(&app, "/globex/orders", &token).await, 403);
    // The requirement comes first.
    assert_eq!(status(&app, "/acme/orders", &token.scope("")).await, 403);
    let lines = lines.lock().unwrap();
    assert!(
        lines[1].contains(r#"reason=policy_denied status=403 detail="own tenant""#),
        "{lines:?}"
    );
    assert!(lines[2].contains("reason=insufficient_scope"), "{lines:?}");
}

#[tokio::test]
async fn a_rule_is_asked_before_the_policies_and_before_a_token_is_spent() {
    let (base, spent) = spending();
    let (policy, asked) = always(permit);
    let guard = base.policy(policy);
    let app = |permits: bool| {
        let layer = guard.require(once()).rule("open", move |_, _| permits);
        Router::new().route("/orders", get(list).route_layer(layer))
    };
    let token = reader();
    assert_eq!(status(&app(false), "/orders", &token).await, 403);
    assert_eq!((asked.load(Ordering::SeqCst), spent.len()), (0, 0));
    assert_eq!(status(&app(true), "/orders", &token).await, 200);
    assert_eq!((asked.load(Ordering::SeqCst), spent.len()), (1, 1));
}

#[tokio::test]
async fn a_rule_that_panics_is_unavailable() {
    let layer = guard().require(READ).rule("odd", |_, _| panic!("as it is meant to"));
    let app = Router::new().route("/orders", get(list).route_layer(layer));
    assert_eq!(status(&app, "/orders", &reader()).await, 503);
}

#[tokio::test]
async fn all_rules_of_a_route_must_permit_and_other_routes_have_none_of_them() {
    let guard = guard();
    let ruled = |first: bool, second: bool| {
        get(list).route_layer(
            guard.require(READ).rule("first", move |_, _| first).rule("second", move |_, _| second),
        )
    };
    let app = Router::new()
        .route("/both", ruled(true, true))
        .route("/first", ruled(true, false))
        .route("/second", ruled(false, true))
        .route("/none", get(list).route_layer(guard.require(READ)));
    for (path, expected) in [("/both", 200), ("/first", 403), ("/second", 403), ("/none", 200)] {
        assert_eq!(status(&app, path, &reader()).await, expected, "{path}");
    }
}

#[tokio::test]
async fn a_rule_makes_no_other_guard_and_is_asked_behind_other_layers_too() {
    async fn narrows(State(guard): State<Guard>, grant: Grant) -> Result<&'static str, Denial> {
        assert!(grant.made_by(&guard));
        // The rule is one of the route, and not of the guard.
        guard.narrow(&grant, READ).await?;
        Ok("narrowed")
    }
    let (guard, lines) = recorded_by(guard(), |event| event.decision().to_string());
    let matched = |_: &_, head: &http::request::Parts| {
        head.extensions.get().map(MatchedPath::as_str) == Some("/orders/{id}")
    };
    let route = || get(narrows).route_layer(guard.require(READ).rule("matched", matched));
    let app = Router::new()
        .route("/orders/{id}", route())
        .route("/other/{id}", route())
        .route_layer(guard.require(Require::valid_token()))
        .with_state(guard.clone());
    assert_eq!(status(&app, "/orders/7", &reader()).await, 200);
    assert_eq!(status(&app, "/other/7", &reader()).await, 403);
    let mut ids = lines.lock().unwrap().clone();
    assert_eq!(ids.len(), 5);
    ids.dedup();
    assert_eq!(ids.len(), 2, "one decision for each request");
}

#[tokio::test]
async fn a_rule_is_asked_whichever_of_several_guards_is_chosen() {
    const ACME: Audience = Audience::from_static("https://acme.orders.example");
    const GLOBEX: Audience = Audience::from_static("https://globex.orders.example");
    let login = TestIssuer::new(LOGIN);
    let tenants = [("acme", ACME), ("globex", GLOBEX)]
        .map(|(name, audience)| (name, Guard::new(audience, login.issuer())));
    let guards = Guards::new(tenants, |head, guards| {
        let tenant = head.uri.path().split('/').nth(1)?;
        guards.get(tenant)
    });
    let layer =
        guards.require(READ).rule("not alice", |evidence, _| evidence.subject().name() != "alice");
    let app = Router::new().route("/{tenant}/orders", get(list).route_layer(layer));
    for (path, audience) in [("/acme/orders", ACME), ("/globex/orders", GLOBEX)] {
        let token = |subject| login.token(&audience).scope("orders:read").subject(subject);
        assert_eq!(status(&app, path, &token("bob")).await, 200);
        assert_eq!(status(&app, path, &token("alice")).await, 403);
    }
}
