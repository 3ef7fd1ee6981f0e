//! An API behind a guard, and agents that call it.
//!
//!     cargo run --example quickstart
//!     cargo run --example quickstart -- --serve 8080     keeps running, and prints curl commands to try
//!
//! This file is what you would write. `agents.rs` stands in for the login service and the agents. The run ends by writing
//! a page for your browser: the three signals that tell a team whether its guard is at work.

pub(crate) mod agents;

use std::process::ExitCode;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use unconfused::approvals::Approvals;
use unconfused::detail::{Detail, DetailType};
use unconfused::error::ConfigError;
use unconfused::replay::MemoryReplayStore;
use unconfused::{Acr, Audience, Audit, Denial, Grant, Guard, Issuer, Party, Require, Scope};

/// The name of this API, which tokens must be meant for. An invalid character does not compile.
const ORDERS: Audience = Audience::from_static("https://orders.example");
const LOGIN: &str = "https://login.example";

const READ: Scope = Scope::from_static("orders:read");
const WRITE: Scope = Scope::from_static("orders:write");
const REFUND: Scope = Scope::from_static("orders:refund");
const DELETE: Scope = Scope::from_static("orders:delete");
const CLOSE: Scope = Scope::from_static("account:close");

/// What the login service calls a login with a passkey: phishing-resistant.
const PASSKEY: Acr = Acr::from_static("phr");
const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// The clients: the shop that people use, and the app that runs our agents.
const WEB_SHOP: &str = "web-shop";
const AGENT_APP: &str = "agent-app";

fn guard(issuer: Issuer, approvals: Approvals, record: impl Audit) -> Guard {
    // A token of the agents' app must say which agent acts.
    let issuer = issuer.agent_clients([AGENT_APP]).agents_must_act();
    // A human approves each deletion, once. The login service shows these words.
    let deletion = DetailType::new("order_deletion").exact("order");
    let approvals = approvals.reason("order_deletion", "Delete order {order} for good");
    let guard = Guard::new(ORDERS, issuer).detail_type(deletion).approvals(approvals);
    guard.replay(MemoryReplayStore::new()).audit(record)
}

fn api(guard: Guard) -> Result<Router, ConfigError> {
    // A refund costs money, so the user must have logged in with a passkey in the last five minutes.
    let refunds = Require::scope(REFUND).acr([PASSKEY]).max_age(FIVE_MINUTES);
    // Only for one agent. Its name counts together with the issuer that gave it.
    let support_agent = Require::scope(READ).actor([(LOGIN, "support-agent")]);
    // Only for the user in person: no agent acts, and the token was issued to our own shop.
    let in_person =
        Require::scope(CLOSE).in_person([(LOGIN, WEB_SHOP)]).acr([PASSKEY]).max_age(FIVE_MINUTES);
    let metadata = guard.metadata()?.scopes_supported([READ, WRITE, REFUND, DELETE, CLOSE]);
    let challenge_keys = guard.challenge_keys()?;

    // One layer for each method of a route, so that even the first 401 names the scope.
    // Each has the name of its route, for the record and for the list of operations.
    let protect = |name: &str, requirement: Require| guard.require(requirement).named(name);
    Ok(Router::new()
        .route(
            "/orders",
            get(list).route_layer(protect("GET /orders", READ.into())),
        )
        .route(
            "/orders",
            post(create).route_layer(protect("POST /orders", WRITE.into())),
        )
        .route(
            "/orders/{id}/refund",
            post(refund).route_layer(protect("POST /orders/{id}/refund", refunds)),
        )
        // Approvable: the handler asks for the approval, since it knows what is deleted.
        .route(
            "/orders/{id}",
            delete(remove)
                .route_layer(protect("DELETE /orders/{id}", DELETE.into()).approvable()),
        )
        .route(
            "/agent/inbox",
            get(inbox).route_layer(protect("GET /agent/inbox", support_agent)),
        )
        .route(
            "/account",
            delete(close).route_layer(protect("DELETE /account", in_person)),
        )
        .with_state(guard)
        // Need no token: these tell a client where to get one, and the login service who signs challenges.
        .merge(metadata.router())
        .merge(challenge_keys.router()))
}

// Each handler asks for the grant. If its layer is missing, the answer is 500 and the handler does not run.

async fn list(grant: Grant, headers: HeaderMap) -> String {
    // The guard has removed the token, so no handler can forward it by accident.
    let token = match headers.get(AUTHORIZATION) {
        Some(_) => "still here",
        None => "gone",
    };
    match grant.actor() {
        Some(agent) => format!(
            "orders of {}, read by {} (Authorization header: {token})",
            grant.subject().name(),
            agent.name()
        ),
        None => format!("orders of {}", grant.subject().name()),
    }
}

#[derive(Deserialize)]
struct NewOrder {
    item: String,
}

async fn create(grant: Grant, Json(order): Json<NewOrder>) -> (StatusCode, String) {
    let answer = format!("{} ordered for {}", order.item, grant.subject().name());
    (StatusCode::CREATED, answer)
}

async fn refund(
    State(guard): State<Guard>,
    grant: Grant,
    Path(id): Path<u64>,
) -> Result<String, Denial> {
    // The scope does not say which order: that is a rule of ours. `refuse_for` records the denial and the rule.
    if owner_of(id) != Some(grant.subject()) {
        return Err(guard.refuse_for(&grant, "not the owner"));
    }
    Ok(format!("order {id} of {} refunded", grant.subject().name()))
}

async fn remove(
    State(guard): State<Guard>,
    grant: Grant,
    Path(id): Path<u64>,
) -> Result<String, Denial> {
    if owner_of(id) != Some(grant.subject()) {
        return Err(guard.refuse_for(&grant, "not the owner"));
    }
    // The guard compares this with what was approved, and nothing is deleted before.
    let deletion = Detail::of("order_deletion").with("order", id).approved();
    guard.narrow(&grant, Require::detail(deletion)).await?;
    Ok(format!("order {id} of {} deleted", grant.subject().name()))
}

/// Stands in for a database. An owner is an issuer and a name, since another issuer may have an alice too.
fn owner_of(order: u64) -> Option<Party<'static>> {
    match order {
        7 | 9 => Some(Party::new(LOGIN, "alice")),
        8 => Some(Party::new(LOGIN, "bob")),
        _ => None,
    }
}

async fn inbox(grant: Grant) -> String {
    format!("2 messages for {}", grant.subject().name())
}

async fn close(grant: Grant) -> String {
    format!("account of {} closed", grant.subject().name())
}

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match (&args[..], args.get(1).unwrap_or(&"0").parse()) {
        ([], _) => agents::story(|guard| guard).await,
        (["--serve"] | ["--serve", _], Ok(port)) => agents::serve(port).await,
        _ => {
            eprintln!("usage: quickstart [--serve [PORT]]");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}
