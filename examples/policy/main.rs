//! An API whose rules about one request are Cedar policies, in a file that can be changed while it runs.
//!
//!     cargo run --features cedar --example policy
//!
//! It tells the whole story, and ends with status 1 if an answer is not the expected one.
//!
//! This file, `orders.cedar` and `orders.cedarschema` are what you would write. `story.rs` stands in for the login
//! service, the agent and the human.

mod story;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use unconfused::approvals::Approvals;
use unconfused::detail::DetailType;
use unconfused::error::ConfigError;
use unconfused::policy::{Ask, CedarPolicy};
use unconfused::{Audience, Audit, Denial, Grant, Guard, Issuer, Party, Scope};

const ORDERS: Audience = Audience::from_static("https://orders.example");
const LOGIN: &str = "https://login.example";
const READ: Scope = Scope::from_static("orders:read");
const REFUND: Scope = Scope::from_static("orders:refund");

const POLICIES: &str = include_str!("orders.cedar");
const SCHEMA: &str = include_str!("orders.cedarschema");

fn guard(issuer: Issuer, cedar: CedarPolicy, approvals: Approvals, record: impl Audit) -> Guard {
    let refund = DetailType::new("order_refund").exact("order").at_most("amount");
    let words = "Refund {amount} to the customer of order {order}";
    let approvals = approvals.reason("order_refund", words);
    let guard = Guard::new(ORDERS, issuer).detail_type(refund).approvals(approvals);
    guard.policy(cedar).audit(record)
}

fn api(guard: Guard) -> Router {
    // The scope says coarsely what a token may do. The names are those of the actions.
    let list_layer = guard.require(READ).named("orders.list");
    let refund_layer = guard.require(REFUND).named("orders.refunds").approvable();
    Router::new()
        .route("/orders", get(list).route_layer(list_layer))
        .route("/orders/{order}/refund", post(refund).route_layer(refund_layer))
        .with_state(guard)
}

async fn list(grant: Grant) -> String {
    format!("orders of {}", grant.subject().name())
}

#[derive(Deserialize)]
struct Refund {
    amount: String,
}

async fn refund(
    State(guard): State<Guard>,
    grant: Grant,
    Path(order): Path<u64>,
    Json(Refund { amount }): Json<Refund>,
) -> Result<String, Denial> {
    // The facts, as this handler knows them. What follows from them is in the policies.
    let owner = owner_of(order);
    let ask = Ask::operation("orders.refund")
        .resource("order", order)
        .attribute("owner", format!("{}#{}", owner.issuer(), owner.name()))
        .attribute("amount", &amount);
    guard.narrow(&grant, ask).await?;
    Ok(format!("{amount} refunded to the customer of order {order}"))
}

/// Stands in for a database.
fn owner_of(order: u64) -> Party<'static> {
    Party::new(LOGIN, if order == 7 { "alice" } else { "bob" })
}

/// Reads the file again and again, and replaces the policies if it has changed. `report` gets the result of each attempt.
async fn reload(cedar: CedarPolicy, file: PathBuf, report: impl Fn(Result<(), ConfigError>)) {
    let mut interval = tokio::time::interval(Duration::from_millis(100));
    let mut last = POLICIES.to_owned();
    loop {
        interval.tick().await;
        // A file that cannot be read at the moment changes nothing either.
        if let Ok(text) = tokio::task::block_in_place(|| std::fs::read_to_string(&file))
            && text != last
        {
            report(tokio::task::block_in_place(|| cedar.replace(&text, SCHEMA)));
            last = text;
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match story::tell().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("policy: {error}");
            ExitCode::FAILURE
        }
    }
}
