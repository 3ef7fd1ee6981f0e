//! An API whose refunds are approved by a human, one by one, before they are carried out.
//!
//!     cargo run --example approval
//!     cargo run --example approval -- --interop     with the authorization server of tests/interop, which needs Node
//!
//! Each of them tells the whole story, and ends with status 1 if an answer is not the expected one. With `--serve`, an
//! API for payments stays up, for servers and clients of yours; see `payments.rs`:
//!
//!     cargo run --example approval -- --serve 8080 --resource https://pay.example/v1 --issuer http://127.0.0.1:9000
//!
//! This file is what you would write. `story.rs` stands in for the agent, its client and the human, and `server.rs` for
//! the authorization server.

mod payments;
mod peer;
mod server;
mod story;

use std::error::Error;
use std::process::ExitCode;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use time::UtcDateTime;
use unconfused::approvals::{Approvals, SigningKey};
use unconfused::detail::{Detail, DetailType};
use unconfused::error::ConfigError;
use unconfused::keys::Algorithm;
use unconfused::replay::MemoryReplayStore;
use unconfused::{Audience, Audit, Denial, Grant, Guard, Issuer, Require, Scope};

/// The name of this API, which tokens must be meant for.
const ORDERS: Audience = Audience::from_static("https://orders.example");
const READ: Scope = Scope::from_static("orders:read");
const REFUND: Scope = Scope::from_static("orders:refund");

fn guard(issuer: Issuer, record: impl Audit) -> Result<Guard, Box<dyn Error>> {
    // Everything that changes what a refund does is a member, with a rule by which it is compared.
    let refund = DetailType::new("order_refund").exact("order").exact("currency").at_most("amount");
    // What the human reads: our words, with values of the request.
    let words = "Refund {amount} {currency} to the customer of order {order}";
    let approvals = approvals(issuer.name())?.reason("order_refund", words);
    let guard = Guard::new(ORDERS, issuer).detail_type(refund).approvals(approvals);
    Ok(guard.replay(store()).audit(record))
}

fn api(guard: Guard) -> Result<Router, ConfigError> {
    let (metadata, challenge_keys) = (guard.metadata()?, guard.challenge_keys()?);
    Ok(Router::new()
        // The token of an approved transaction passes only a layer that is approvable.
        .route("/orders", get(list).route_layer(guard.require(READ)))
        .route(
            "/orders/{order}/refund",
            post(refund).route_layer(guard.require(REFUND).approvable()),
        )
        .with_state(guard)
        // The authorization server reads both, without a token.
        .merge(metadata.router())
        .merge(challenge_keys.router()))
}

async fn list(grant: Grant) -> String {
    format!("orders of {}", grant.subject().name())
}

#[derive(Deserialize)]
struct Refund {
    amount: String,
    currency: String,
}

async fn refund(
    State(guard): State<Guard>,
    grant: Grant,
    Path(order): Path<u64>,
    Json(refund): Json<Refund>,
) -> Result<String, Denial> {
    let Refund { amount, currency } = &refund;
    // The operation, as we understood the request. Nothing is done before the guard has compared it.
    let detail = Detail::of("order_refund")
        .with("order", order)
        .with("currency", currency)
        .with("amount", amount);
    // For a small refund, consent that was given with the token is enough.
    let is_small = currency == "EUR" && is_below_20(amount);
    let consent = if is_small { detail.approved_or_granted() } else { detail.approved() };
    guard.narrow(&grant, Require::detail(consent)).await?;
    Ok(format!("{amount} {currency} refunded to the customer of order {order}"))
}

/// The guard refuses what is not a decimal, whatever is answered here.
fn is_below_20(amount: &str) -> bool {
    let whole = amount.split('.').next().unwrap_or(amount);
    whole.parse().is_ok_and(|whole: u32| whole < 20)
}

/// The keys of approvals. They are new at each start; yours are kept where your secrets are.
fn approvals(server: &str) -> Result<Approvals, Box<dyn Error>> {
    // A new key has a new id, since servers remember keys by their ids.
    let id = UtcDateTime::now().unix_timestamp_nanos().to_string();
    let signing_key = SigningKey::generate(Algorithm::Es256, &id);
    let mut secret = [0; 32];
    openssl::rand::rand_bytes(&mut secret)?;
    Ok(Approvals::new(signing_key, secret, server))
}

/// Remembers what is used up. Nothing was before this process, whose keys are new, so the store may count as one that
/// was always there. With keys that you keep, it is `MemoryReplayStore::new()`, or a store that replicas share.
fn store() -> MemoryReplayStore {
    MemoryReplayStore::new_at(UtcDateTime::UNIX_EPOCH)
}

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match (&args[..], args.get(1).unwrap_or(&"0").parse()) {
        ([], _) => story::tell(false).await,
        (["--interop"], _) => story::tell(true).await,
        (["--serve", _, "--resource", resource, "--issuer", issuer], Ok(port)) => {
            payments::serve(port, resource, issuer).await
        }
        _ => {
            eprintln!("usage: approval [--interop | --serve PORT --resource URL --issuer URL]");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("approval: {error}");
            ExitCode::FAILURE
        }
    }
}
