//! An API for payments that stays up, for servers and clients of yours: each call is approved by a human.
//!
//! `POST` on the path of the resource with `{"amount": "80.00", "currency": "EUR", "recipient": "Tea & Sons"}` needs an
//! approval of this very payment, as a detail of the type `payment`. It asks for no scope. The issuer gets it approved;
//! its tokens have the `typ` `at+jwt` (RFC 9068). An issuer at https needs a TLS feature of the HTTP client: `cargo run
//! --features reqwest/native-tls --example approval -- ..`.

use std::error::Error;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::Uri;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use unconfused::detail::{Detail, DetailType};
use unconfused::layer::ProblemJson;
use unconfused::{Audience, AuditEvent, Denial, Grant, Guard, Issuer, Reason, Require};

#[derive(Deserialize, Serialize)]
struct Payment {
    amount: String,
    currency: String,
    recipient: String,
}

async fn pay(
    State((guard, resource)): State<(Guard, Audience)>,
    grant: Grant,
    body: Bytes,
) -> Result<Json<Payment>, Denial> {
    let payment: Payment =
        serde_json::from_slice(&body).map_err(|_| Denial::from(Reason::PolicyInputInvalid))?;
    // A human must be able to read it.
    if !(1..=140).contains(&payment.recipient.chars().count()) || payment.currency.len() > 3 {
        return Err(Reason::PolicyInputInvalid.into());
    }
    let detail = Detail::of("payment")
        .with("actions", ["initiate"])
        .with("locations", [resource.as_str()])
        .with(["instructedAmount", "currency"], &payment.currency)
        .with(["instructedAmount", "amount"], &payment.amount)
        .with("creditorName", &payment.recipient);
    guard.narrow(&grant, Require::detail(detail.approved())).await?;
    Ok(Json(payment))
}

/// Runs until Ctrl-C, and prints the record.
pub(crate) async fn serve(port: u16, resource: &str, issuer: &str) -> Result<(), Box<dyn Error>> {
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let approvals = super::approvals(issuer)?.reason(
        "payment",
        "Pay {instructedAmount.amount} {instructedAmount.currency} to \"{creditorName}\"",
    );
    let payment = DetailType::new("payment")
        .set("actions")
        .set("locations")
        .exact(["instructedAmount", "currency"])
        .at_most(["instructedAmount", "amount"])
        .exact("creditorName");
    let resource = Audience::new(resource)?;
    // Plain http is for development: on this machine, as here.
    let guard = Guard::new(&resource, Issuer::discover_without_tls_on_loopback(issuer, http)?)
        .detail_type(payment)
        .approvals(approvals)
        .replay(super::store())
        .body(ProblemJson)
        .audit(|event: &AuditEvent<'_>| println!("{event}"));

    let (metadata, keys) = (guard.metadata()?, guard.challenge_keys()?);
    let path = resource.as_str().parse::<Uri>()?.path().to_owned();
    let layer = guard.require(Require::valid_token()).approvable();
    let app = Router::new()
        .without_v07_checks()
        .route(&path, post(pay).route_layer(layer))
        .with_state((guard, resource.clone()))
        .merge(metadata.router())
        .merge(keys.router());

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url} until Ctrl-C, as {resource}, for tokens of {issuer}");
    println!("  metadata           {url}{}", metadata.path());
    println!("  keys of challenges {url}{}", keys.path());
    println!(
        "A payment. 401 with a challenge; with the token that the server issues for it: 200, once:"
    );
    println!(
        "  curl -i {url}{path} -H 'Authorization: Bearer TOKEN' -H 'Accept-Txn-Challenge: ?1' -d \
         '{{\"amount\": \"80.00\", \"currency\": \"EUR\", \"recipient\": \"Tea & Sons\"}}'"
    );
    println!("The record:");
    axum::serve(listener, app)
        .with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) })
        .await?;
    Ok(())
}
