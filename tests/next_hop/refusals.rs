//! What is refused before the server is asked, and what the server itself refuses.

use serde_json::{Value, json};
use time::UtcDateTime;
use unconfused::approvals::{Approvals, SigningKey};
use unconfused::detail::{Detail, DetailType};
use unconfused::keys::{Algorithm, KeySet};
use unconfused::next_hop::{ClientAuth, NextHop};
use unconfused::replay::MemoryReplayStore;
use unconfused::{Guard, Issuer, Reason, Require};

use crate::server::{CHARGE, ISSUER, ORDERS, Orders, PAYMENTS, READ, REFUND};

#[tokio::test(start_paused = true)]
async fn a_grant_that_does_not_meet_what_the_hop_needs_is_not_exchanged() {
    let orders = Orders::new();
    let grant =
        orders.server.login.token(&ORDERS).scope("orders:read").granted_by(&orders.guard, READ);
    let denial = orders.server.hop().token(&orders.guard, &grant).await.unwrap_err();
    assert_eq!(denial.reason(), Reason::InsufficientScope);
    assert_eq!(denial.challenge().unwrap().scope(), [READ, REFUND]);

    // Any requirement will do.
    let hop = orders.server.token_server().to(PAYMENTS.as_str(), [CHARGE]).unwrap();
    let hop = hop.needs(Require::scope(REFUND).delegated());
    let denial = hop.token(&orders.guard, &orders.grant()).await.unwrap_err();
    assert_eq!(denial.reason(), Reason::ActorRequired);
    assert_eq!(orders.server.asked().len() + orders.server.metadata_reads(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_ended_is_not_exchanged_not_even_within_the_leeway() {
    let orders = Orders::new();
    let issued = UtcDateTime::now() - time::Duration::seconds(310);
    let token =
        orders.server.token().issued_at(issued).lifetime(std::time::Duration::from_secs(300));
    let grant = token.granted_by(&orders.guard, REFUND);
    let denial = orders.server.hop().token(&orders.guard, &grant).await.unwrap_err();
    assert_eq!(denial.reason(), Reason::TokenExpired);
    assert_eq!(orders.server.asked().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_credential_goes_to_a_server_that_the_guard_trusts_and_to_no_other() {
    let orders = Orders::new();
    let auth = || ClientAuth::secret_basic("orders", "s3cret");
    let unreachable = |_: http::Request<Vec<u8>>, _| unreachable!("it is asked");
    let stranger = NextHop::discover("https://stranger.example", auth(), unreachable).unwrap();
    let hop = stranger.to(PAYMENTS.as_str(), [CHARGE]).unwrap().needs(REFUND);
    let denial = orders.token(&hop).await.unwrap_err();
    assert_eq!((denial.reason(), denial.status().as_u16()), (Reason::InternalError, 500));
    let said = denial.for_operator().to_string();
    assert!(said.contains("does not trust the authorization server"), "{said}");

    // Once it is trusted, it is asked.
    let server = crate::server::Server::named("https://stranger.example");
    let trusting =
        orders.guard.clone().trust(Issuer::new("https://stranger.example", KeySet::default()));
    let hop = server.token_server().to(PAYMENTS.as_str(), [CHARGE]).unwrap().needs(REFUND);
    let grant = orders.server.grant(&trusting);
    assert!(hop.token(&trusting, &grant).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_token_of_a_transaction_is_exchanged_only_if_the_hop_says_so() {
    let orders = Orders::new();
    let key = SigningKey::generate(Algorithm::Es256, "k");
    let guard = Guard::new(ORDERS, orders.server.login.issuer())
        .detail_type(DetailType::new("order_refund").exact("order"))
        .approvals(Approvals::new(key, [1; 32], ISSUER).reason("order_refund", "Refund {order}"))
        .replay(MemoryReplayStore::new_at(UtcDateTime::UNIX_EPOCH));
    let refund = || Require::detail(Detail::of("order_refund").with("order", 7_u64).approved());
    // The resource asks for the approval, and the token that comes back names it.
    let request = http::Request::post("/refunds")
        .header("authorization", orders.server.token().bearer())
        .header("accept-txn-challenge", "?1");
    let (mut head, ()) = request.body(()).unwrap().into_parts();
    let denial = guard.authorize(&mut head, refund()).now().unwrap().unwrap_err();
    let txn = denial.challenge().unwrap().transaction_challenge().unwrap().txn().to_owned();
    let details = json!([{ "type": "order_refund", "order": "7" }]);
    let token = orders.server.token().claim("txn", txn).claim("authorization_details", details);

    // The layer lets it pass, since its handler may ask for the approval.
    let grant = granted_through(guard.require(REFUND).approvable(), &token.bearer()).await;
    let target = || orders.server.token_server().to(PAYMENTS.as_str(), [CHARGE]).unwrap();
    let (hop, for_transactions) =
        (target().needs(REFUND), target().accepts_transactions().needs(REFUND));
    for hop in [&hop, &for_transactions] {
        let denial = hop.token(&guard, &grant).await.unwrap_err();
        assert_eq!(denial.reason(), Reason::TransactionTokenMisused);
    }
    // Once it is approved for this operation, it is exchanged for a hop that says so.
    let approved = guard.narrow(&grant, refund()).await.unwrap();
    let denial = hop.token(&guard, &approved).await.unwrap_err();
    assert_eq!(denial.reason(), Reason::TransactionTokenMisused);
    assert_eq!(orders.server.asked().len(), 0);
    assert!(for_transactions.token(&guard, &approved).await.is_ok());
    assert_eq!(orders.server.asked().len(), 1);
}

/// The grant that a layer leaves for its handler.
async fn granted_through(layer: unconfused::layer::GuardLayer, bearer: &str) -> unconfused::Grant {
    use tower::{ServiceBuilder, ServiceExt as _};
    let handler = tower::service_fn(async |request: http::Request<()>| {
        let mut response = http::Response::new(String::new());
        let grant = request.extensions().get::<unconfused::Grant>().cloned();
        response.extensions_mut().insert(grant.expect("a grant"));
        Ok::<_, std::convert::Infallible>(response)
    });
    let service = ServiceBuilder::new().layer(layer).service(handler);
    let request = http::Request::post("/refunds").header("authorization", bearer).body(()).unwrap();
    let response = service.oneshot(request).await.unwrap();
    response.extensions().get::<unconfused::Grant>().expect("a grant").clone()
}

/// The denial for this answer of the server.
async fn told(status: u16, body: &Value) -> unconfused::Denial {
    let orders = Orders::new();
    orders.server.respond_json(status, body);
    orders.token(&orders.server.hop()).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn what_the_server_refuses_is_final_for_the_client_and_names_the_error_to_the_operator() {
    for error in
        ["invalid_target", "invalid_scope", "invalid_grant", "invalid_request", "access_denied"]
    {
        let denial = told(400, &json!({ "error": error, "error_description": "alice\n" })).await;
        assert_eq!(denial.reason(), Reason::NextHopRefused, "{error}");
        assert_eq!(denial.status(), 403);
        assert!(denial.challenge().is_none());
        assert_eq!(
            denial.for_operator().to_string(),
            format!("next_hop_refused: the authorization server refuses: {error}")
        );
        assert_eq!(denial.to_string(), "The request is not permitted");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_between_this_service_and_the_server_is_not_told_as_a_refusal() {
    for (status, error) in [
        (401, "invalid_client"),
        (400, "unauthorized_client"),
        (400, "unsupported_grant_type"),
        (429, "slow_down"),
        (400, "use_dpop_nonce"),
        (400, "an\n\"other"),
        (500, "invalid_target"),
    ] {
        let denial = told(status, &json!({ "error": error })).await;
        assert_eq!(denial.reason(), Reason::NextHopUnavailable, "{error}");
        assert_eq!(denial.for_operator().to_string().lines().count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn step_up_that_the_server_asks_for_is_a_challenge_to_the_client() {
    let body = json!({
        "error": "insufficient_user_authentication", "acr_values": "phr phrh", "max_age": 300,
    });
    let denial = told(400, &body).await;
    assert_eq!(denial.reason(), Reason::AuthenticationLevelInsufficient);
    let challenge = denial.challenge().unwrap().to_string();
    let expected = r#"Bearer error="insufficient_user_authentication", error_description="A different authentication level is required", acr_values="phr phrh", max_age="300""#;
    assert!(challenge.starts_with(expected), "{challenge}");
    assert!(challenge.contains("resource_metadata=\"https://orders.example/"), "{challenge}");
    assert!(denial.decision().is_some());

    let denial = told(400, &json!({ "error": "interaction_required" })).await;
    assert_eq!(
        (denial.reason(), denial.status().as_u16()),
        (Reason::AuthenticationLevelInsufficient, 401)
    );
    let denial =
        told(400, &json!({ "error": "insufficient_user_authentication", "max_age": 60 })).await;
    assert_eq!(denial.reason(), Reason::AuthenticationTooOld);

    // What cannot be in a challenge is left out, and so is what is too much.
    let many = (0..20).map(|n| format!("c{n}")).collect::<Vec<_>>().join(" ");
    let classes = format!("a\"b {} {many}", "x".repeat(300));
    let body = json!({ "error": "insufficient_user_authentication", "acr_values": classes });
    let denial = told(400, &body).await;
    let classes = denial.challenge().unwrap().acr_values();
    assert_eq!((classes.len(), classes[0].as_str()), (8, "c0"));
}
