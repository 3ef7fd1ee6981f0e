//! An MCP server whose tools are guarded one by one, and an agent that calls them.
//!
//!     cargo run --example mcp_tools
//!     cargo run --example mcp_tools -- --serve [PORT] [--issuer URL]
//!
//! The first tells a story, and ends with status 1 if an answer is not the expected one. With `--serve`, the server
//! stays up, for clients of yours: it accepts the tokens of this authorization server, or of one that is made up, and
//! prints commands to try.
//!
//! This file is what you would write. `story.rs` stands in for the login service and the agent.

mod serve;
mod story;

use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::http::request::Parts;
use rmcp::handler::server::common::Extension;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{ErrorCode, ServerCapabilities, ServerConfig};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, ServerHandler, schemars, tool, tool_handler, tool_router};
use serde::Deserialize;
use unconfused::approvals::Approvals;
use unconfused::audit::Printable;
use unconfused::detail::{Detail, DetailType};
use unconfused::error::ConfigError;
use unconfused::mcp::{Arguments, Call, InvalidArguments, SessionKey, Tools};
use unconfused::policy::{Question, Verdict, policy_fn};
use unconfused::{Acr, Audience, Audit, Denial, Guard, Issuer, Party, Require, Scope};

const READ: Scope = Scope::from_static("orders:read");
const WRITE: Scope = Scope::from_static("orders:write");
const REFUND: Scope = Scope::from_static("orders:refund");
/// A login with a passkey, as an acr: phishing-resistant. And as a scope, for clients that cannot ask for an acr: the
/// login service sends the user to such a login for it.
const PASSKEY: Acr = Acr::from_static("phr");
const PASSKEY_SCOPE: Scope = Scope::from_static("passkey");
const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// What each tool requires. A tool that is not listed is refused, even if the server has it.
fn tools(key: SessionKey) -> Tools {
    Tools::new(READ)
        .method("tools/list", READ)
        .tool("list_orders", READ)
        .tool("create_order", WRITE)
        .tool("cancel_order", Require::all_scopes([WRITE, PASSKEY_SCOPE]))
        .call("refund_order", refund)
        .sessions(key)
}

/// A refund costs money: the user must have logged in with a passkey just now, and must approve this very refund.
fn refund(arguments: &Arguments<'_>) -> Result<Require, InvalidArguments> {
    let Refund { order, amount, currency } = arguments.read()?;
    let refund = Detail::of("order_refund").with("order", order).with("currency", currency);
    let approved = Require::detail(refund.with("amount", amount).approved());
    Ok(Require::scope(REFUND).and(just_logged_in()).and(approved))
}

fn just_logged_in() -> Require {
    Require::valid_token().acr([PASSKEY]).max_age(FIVE_MINUTES)
}

/// Checks the login for which a scope stands. A policy is asked once the scope is there.
fn login_of_scope(question: &Question<'_>) -> Verdict {
    match question.operation().tool().map(Printable::raw) {
        Some("cancel_order") => Verdict::PermitIf(just_logged_in()),
        _ => Verdict::Permit,
    }
}

fn guard(resource: Audience, issuer: Issuer, approvals: Approvals, record: impl Audit) -> Guard {
    // Clients register themselves, so each of them may be an agent.
    let issuer = issuer.agent_clients_if(|_| true);
    let refund = DetailType::new("order_refund").exact("order").exact("currency").at_most("amount");
    // What the human reads: our words, with values of the call.
    let words = "Refund {amount} {currency} to the customer of order {order}";
    let approvals = approvals.reason("order_refund", words);
    let guard = Guard::new(resource, issuer).detail_type(refund).approvals(approvals);
    guard.policy(policy_fn(login_of_scope)).replay(story::store()).audit(record)
}

fn app(guard: Guard, key: SessionKey) -> Result<Router, ConfigError> {
    // What a client needs to begin. Challenges name the rest.
    let metadata = guard.metadata()?.scopes_supported([READ]);
    let challenge_keys = guard.challenge_keys()?;
    let layer = guard.mcp(tools(key));
    let orders = Orders { guard, tool_router: Orders::tool_router() };
    // Answers that are not streams, so that a tool's own no can be one of HTTP. rmcp serves loopback hosts alone: list yours
    // with `with_allowed_hosts`.
    let config = StreamableHttpServerConfig::default().with_json_response(true);
    let sessions = LocalSessionManager::default().into();
    let server = StreamableHttpService::new(move || Ok(orders.clone()), sessions, config);
    Ok(Router::new()
        .route_service("/mcp", server)
        .route_layer(layer)
        // Need no token: these tell a client where to get one, and the login service who signs challenges.
        .merge(metadata.router())
        .merge(challenge_keys.router()))
}

#[derive(Clone)]
struct Orders {
    guard: Guard,
    tool_router: ToolRouter<Self>,
}

#[derive(Deserialize, schemars::JsonSchema)]
struct NewOrder {
    item: String,
}

#[derive(Deserialize, schemars::JsonSchema)]
struct Order {
    order: u64,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Refund {
    order: u64,
    amount: String,
    currency: String,
}

#[tool_router]
impl Orders {
    #[tool(description = "Lists the orders of the user.")]
    async fn list_orders(&self, Extension(head): Extension<Parts>) -> Result<String, ErrorData> {
        let grant = call_of(&head)?.grant();
        let agent = grant.actor().map_or("no agent", |agent| agent.name());
        Ok(format!("orders of {}, read by {agent}", grant.subject().name()))
    }

    #[tool(description = "Places an order.")]
    async fn create_order(
        &self,
        Extension(head): Extension<Parts>,
        Parameters(NewOrder { item }): Parameters<NewOrder>,
    ) -> Result<String, ErrorData> {
        Ok(format!("{item} ordered for {}", call_of(&head)?.grant().subject().name()))
    }

    #[tool(description = "Cancels an order of the user.")]
    async fn cancel_order(
        &self,
        Extension(head): Extension<Parts>,
        Parameters(Order { order }): Parameters<Order>,
    ) -> Result<String, ErrorData> {
        let call = call_of(&head)?;
        // No scope says whose order it is: that is a rule of ours, which the record names.
        if owner_of(order, call.grant().issuer()) != call.grant().subject() {
            return Err(denied(call, self.guard.refuse_for(call.grant(), "not the owner")));
        }
        Ok(format!("order {order} cancelled"))
    }

    /// The layer has compared these arguments with what was approved.
    #[tool(description = "Refunds an order.")]
    async fn refund_order(
        &self,
        Parameters(Refund { order, amount, currency }): Parameters<Refund>,
    ) -> String {
        format!("{amount} {currency} refunded to the customer of order {order}")
    }

    /// Is not in the table, so no one can call it.
    #[tool(description = "Deletes all orders.")]
    async fn delete_all(&self) -> String {
        "nothing is left".to_owned()
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Orders {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}

/// The call that the layer has granted. rmcp passes the head of the request on, and the call is in its extensions.
fn call_of(head: &Parts) -> Result<&Call, ErrorData> {
    let call = head.extensions.get::<Call>();
    call.ok_or_else(|| ErrorData::internal_error("no guard stands before this server", None))
}

/// Ends the call with a denial. The client receives its status and its challenge, and not a 200 with an error in it. In a
/// session of 2025-11-25, whose answers begin with 200, the error has the challenge.
fn denied(call: &Call, denial: Denial) -> ErrorData {
    let error = call.deny(denial);
    ErrorData::new(ErrorCode(error.code()), error.message(), Some(error.data().clone()))
}

/// Stands in for a database. An owner is an issuer and a name, since another issuer may have an alice too.
fn owner_of(order: u64, issuer: &str) -> Party<'_> {
    Party::new(issuer, if order == 8 { "bob" } else { "alice" })
}

#[tokio::main]
async fn main() -> ExitCode {
    serve::main().await
}
