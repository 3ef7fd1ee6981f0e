//! A user, an agent, and a chain of three services. Each hop has a token of its own: for the next service alone, narrower
//! than the one before, and with one more who acts.
//!
//!     cargo run --example chain
//!
//! It tells the whole story on this machine, and ends with status 1 if an answer is not the expected one. This file is what
//! you would write. `story.rs` stands in for the agent and its user, and `server.rs` for the authorization server.

mod server;
mod story;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use unconfused::error::ConfigError;
use unconfused::next_hop::{ClientAuth, NextHop};
use unconfused::{Acr, Denial, Grant, Guard, Reason, Require, Scope};

/// What the agent asks of the first service, and what each service asks of the next. They are names of three resources.
const REFUND: Scope = Scope::from_static("orders:refund");
const RELEASE: Scope = Scope::from_static("stock:release");
const PAY: Scope = Scope::from_static("payments:pay");
const PHISHING_RESISTANT: Acr = Acr::from_static("phr");

/// The way from a service to the one that it calls.
struct Next {
    hop: NextHop,
    url: String,
    http: reqwest::Client,
}

/// A hop from the service `client` to the one at `url`, for one scope of that one. `needs` is what a request must be
/// allowed here.
fn next(
    issuer: &str,
    client: &str,
    url: &str,
    scope: Scope,
    needs: Scope,
) -> Result<Next, Box<dyn std::error::Error>> {
    // Your secret comes from where you keep secrets. No redirects: a token must not follow one.
    let auth = ClientAuth::secret_basic(client, format!("{client}-secret"));
    let http = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    // Your service uses `NextHop::discover`.
    let server = NextHop::discover_without_tls_on_loopback(issuer, auth, http.clone())?;
    let hop: Result<_, ConfigError> = server.to(url, [scope]);
    Ok(Next { hop: hop?.needs(needs), url: url.to_owned(), http })
}

#[derive(Clone)]
struct Service {
    guard: Guard,
    next: Option<Arc<Next>>,
}

/// A service that does its part of a refund, and calls the next one if there is one.
fn service(guard: Guard, requirement: impl Into<Require>, next: Option<Next>) -> Router {
    let layer = guard.require(requirement);
    let service = Service { guard, next: next.map(Arc::new) };
    Router::new().route("/refund/{amount}", post(refund).route_layer(layer)).with_state(service)
}

async fn refund(
    State(service): State<Service>,
    grant: Grant,
    Path(amount): Path<u64>,
) -> Result<Response, Denial> {
    let Some(next) = &service.next else {
        // The last service pays. For a large amount, it wants to know that the user is really there.
        if amount > 1000 {
            let strong =
                Require::valid_token().acr([PHISHING_RESISTANT]).max_age(Duration::from_secs(300));
            service.guard.narrow(&grant, strong).await?;
        }
        return Ok(format!("{amount} paid back to {}", grant.subject().name()).into_response());
    };
    let token = next.hop.token(&service.guard, &grant).await?;
    let unavailable = |_| Denial::from(Reason::NextHopUnavailable);
    let request = axum::http::Request::post(format!("{}/refund/{amount}", next.url));
    let mut request = request.body(Vec::new()).map_err(|_| Reason::InternalError)?;
    token.attach(&mut request).map_err(|_| Reason::InternalError)?;
    let request = request.try_into().map_err(unavailable)?;
    let answer = next.http.execute(request).await.map_err(unavailable)?;
    // What the next service demands of the user travels back, as a challenge of this one.
    let (status, headers) = (answer.status(), answer.headers());
    if let Some(denial) = next.hop.step_up_denial(&service.guard, &grant, status, headers) {
        return Err(denial);
    }
    Ok((status, answer.text().await.map_err(unavailable)?).into_response())
}

#[tokio::main]
async fn main() -> ExitCode {
    match story::tell().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chain: {error}");
            ExitCode::FAILURE
        }
    }
}
