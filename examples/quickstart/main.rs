//! An API that agents call, with a guard before it; and agents that call it.
//!
//!     cargo run --example quickstart
//!     cargo run --example quickstart -- --serve 8080     stays up, and prints curl lines to try
//!
//! This file is what you would write. `agents.rs` plays the login and the agents.

mod agents;

use std::process::ExitCode;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use unconfused::error::ConfigError;
use unconfused::{Acr, Audience, Audit, Denial, Grant, Guard, Issuer, Party, Require, Scope};

/// Our own name: what a token must be meant for. A bad character would not compile.
const ORDERS: Audience = Audience::from_static("https://orders.example");
const LOGIN: &str = "https://login.example";

const READ: Scope = Scope::from_static("orders:read");
const WRITE: Scope = Scope::from_static("orders:write");
const REFUND: Scope = Scope::from_static("orders:refund");
const CLOSE: Scope = Scope::from_static("account:close");

/// The login's word for a passkey: phishing-resistant.
const PASSKEY: Acr = Acr::from_static("phr");
const JUST_NOW: Duration = Duration::from_secs(300);

/// To whom the login issues tokens: the shop that people use, and the app that runs our agents.
const WEB_SHOP: &str = "web-shop";
const AGENT_APP: &str = "agent-app";

fn guard(issuer: Issuer, record: impl Audit) -> Guard {
    // A token of the agents' app must say which agent acts. Without that it is a person's own.
    let issuer = issuer.agent_clients([AGENT_APP]).agents_must_act();
    Guard::new(ORDERS, issuer).audit(record)
}

fn api(guard: Guard) -> Result<Router, ConfigError> {
    // Money leaves, so the person behind the agent has logged in well, and just now.
    let refund_it = Require::scope(REFUND).acr([PASSKEY]).max_age(JUST_NOW);
    // For one agent. A name counts only together with who gave it.
    let support_agent = Require::scope(READ).actor([(LOGIN, "support-agent")]);
    // For the subject in person: nobody acts, and the token was issued to our own shop.
    let in_person =
        Require::scope(CLOSE).in_person([(LOGIN, WEB_SHOP)]).acr([PASSKEY]).max_age(JUST_NOW);
    let metadata = guard.metadata()?.scopes_supported([READ, WRITE, REFUND, CLOSE]);

    // One layer a route, right after its method: so even the first 401 can name the scope.
    Ok(Router::new()
        .route("/orders", get(list).route_layer(guard.require(READ)))
        .route("/orders", post(create).route_layer(guard.require(WRITE)))
        .route(
            "/orders/{id}/refund",
            post(refund).route_layer(guard.require(refund_it)),
        )
        .route(
            "/agent/inbox",
            get(inbox).route_layer(guard.require(support_agent)),
        )
        .route(
            "/account",
            delete(close).route_layer(guard.require(in_person)),
        )
        .with_state(guard)
        // Without a token: here a client learns where to get one.
        .merge(metadata.router()))
}

// Every handler asks for the grant. Where its layer was forgotten it answers 500, and never runs.

async fn list(grant: Grant, headers: HeaderMap) -> String {
    // The token stops at the guard: no handler can pass it on by accident.
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
    // A scope does not say with which order: that is our own rule. `refuse` records the no.
    if owner_of(id) != Some(grant.subject()) {
        return Err(guard.refuse(&grant));
    }
    Ok(format!("order {id} of {} refunded", grant.subject().name()))
}

/// In place of a database. An owner is an issuer and a name: another issuer may have an alice, too.
fn owner_of(order: u64) -> Option<Party<'static>> {
    match order {
        7 => Some(Party::new(LOGIN, "alice")),
        8 => Some(Party::new(LOGIN, "bob")),
        _ => None,
    }
}

async fn inbox(grant: Grant) -> String {
    format!("2 messages wait for an answer to {}", grant.subject().name())
}

async fn close(grant: Grant) -> String {
    format!("account of {} closed", grant.subject().name())
}

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match (&args[..], args.get(1).unwrap_or(&"0").parse()) {
        ([], _) => agents::story().await,
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
