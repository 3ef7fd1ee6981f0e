//! Stands in for the login service, the agent, the human and the reader of the record.

use std::error::Error;
use std::sync::mpsc;
use std::time::Duration;

use axum::http::header::{ACCEPT, CONTENT_TYPE, WWW_AUTHENTICATE};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Client;
use serde_json::{Value, json};
use time::UtcDateTime;
use tokio::net::TcpListener;
use unconfused::approvals::{Approvals, SigningKey};
use unconfused::audit::Printable;
use unconfused::keys::Algorithm;
use unconfused::mcp::SessionKey;
use unconfused::replay::MemoryReplayStore;
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::{Audience, AuditEvent, Reason};

use crate::{app, guard};

type Fallible<T> = Result<T, Box<dyn Error>>;

/// The name of this server, which tokens must be meant for.
const ORDERS: Audience = Audience::from_static("https://orders.example/mcp");
const LOGIN: &str = "https://login.example";
const VERSION: &str = "2026-07-28";

/// The status of an answer, and the reason of a denial.
type Expected = (u16, Option<Reason>);
const PASSES: Expected = (200, None);

const fn denied(status: u16, reason: Reason) -> Expected {
    (status, Some(reason))
}

/// Lets an agent call the tools, and prints what happens. Fails if an answer is not as expected.
pub(crate) async fn tell() -> Fallible<()> {
    // Your server uses `Issuer::discover`, with the URL of your login service.
    let login = TestIssuer::new(LOGIN);
    let (sink, record) = mpsc::channel();
    let audit = move |event: &AuditEvent<'_>| {
        // Fails only if the story has ended.
        let _ = sink.send((event.reason(), line(event)));
    };
    let app = app(guard(ORDERS, login.issuer(), approvals(LOGIN)?, audit), session_key()?)?;
    // Plain HTTP, so only on the loopback address. A real server needs TLS.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    tokio::spawn(axum::serve(listener, app).into_future());
    println!("{ORDERS} runs at {url} for this example. It accepts tokens of {LOGIN}.");
    println!(
        "Below are the calls of an agent, each with its answer, its challenge and its record. They are shortened."
    );

    let token = |scope: &str| {
        let token = login.token(&ORDERS).subject("alice").client("desktop-agent").scope(scope);
        token.acr("pwd").authenticated(Duration::from_secs(3600))
    };
    let passkey = |token: TestToken| token.acr("phr").authenticated(Duration::ZERO);
    let reads = token("orders:read");
    let writes = token("orders:read orders:write");
    let cancels = token("orders:read orders:write passkey").acr("phr");
    let cancels_now = passkey(cancels.clone());
    let refunds = token("orders:read orders:refund");
    let elsewhere = Audience::from_static("https://mail.example/mcp");
    let elsewhere = login.token(&elsewhere).subject("alice").scope("orders:read");
    let teapot = json!({"item": "a teapot"});
    let order = |order: u64| json!({"order": order});
    let refund = |order: u64, amount| json!({"order": order, "amount": amount, "currency": "EUR"});
    let scope = Reason::InsufficientScope;
    let approval = Reason::TransactionAuthorizationRequired;

    // The requests stay on this machine, even if a proxy is configured.
    let http = Client::builder().no_proxy().build()?;
    let agent = Agent { http, url, record };
    says(
        "An agent connects without a token. The challenge names the scope to begin with, and where to ask.",
    );
    agent.call(None, "list_orders", json!({}), denied(401, Reason::MissingCredentials)).await?;
    says("With a token for alice, it reads her orders.");
    agent.call(Some(&reads), "list_orders", json!({}), PASSES).await?;
    says("A token for another MCP server is not for this one.");
    agent
        .call(Some(&elsewhere), "list_orders", json!({}), denied(401, Reason::AudienceMismatch))
        .await?;
    says("To place an order takes more. The challenge names all scopes that the call needs.");
    agent.call(Some(&reads), "create_order", teapot.clone(), denied(403, scope)).await?;
    agent.call(Some(&writes), "create_order", teapot.clone(), PASSES).await?;
    says("It calls one tool and says that it calls another. What is authorized is what would run.");
    let lie = ("list_orders", "create_order");
    agent.send(Some(&reads), lie, teapot, denied(400, Reason::PolicyInputInvalid)).await?;
    says("The server has a tool that is not in the table. It does not run.");
    agent
        .call(Some(&writes), "delete_all", json!({}), denied(403, Reason::OperationUnknown))
        .await?;

    says("A scope stands for a login with a passkey, for clients that cannot ask for an acr.");
    agent.call(Some(&writes), "cancel_order", order(7), denied(403, scope)).await?;
    agent.call(Some(&cancels_now), "cancel_order", order(7), PASSES).await?;
    says("The scope does not say when that was. A policy checks it.");
    let old = denied(401, Reason::AuthenticationTooOld);
    agent.call(Some(&cancels), "cancel_order", order(7), old).await?;
    says("Order 8 is not alice's. The tool itself says no, and the answer is a denial too.");
    let no = denied(403, Reason::PolicyDenied);
    agent.call(Some(&cancels_now), "cancel_order", order(8), no).await?;

    says(
        "A refund needs a login with a passkey, just now. Alice's was with a password, an hour ago.",
    );
    let weak = denied(401, Reason::AuthenticationLevelInsufficient);
    agent.call(Some(&refunds), "refund_order", refund(7, "80.00"), weak).await?;
    says("After that login, alice must approve this refund: the server signs what she is asked.");
    let strong = passkey(refunds);
    let challenge = agent
        .call(Some(&strong), "refund_order", refund(7, "80.00"), denied(401, approval))
        .await?;
    let approved = approve(&strong, &challenge)?;
    says(
        "What comes back is for this refund: not for more, and once. A denied attempt does not use it up.",
    );
    let more = denied(403, Reason::AuthorizationDetailsInsufficient);
    agent.call(Some(&approved), "refund_order", refund(7, "800.00"), more).await?;
    agent.call(Some(&approved), "refund_order", refund(7, "80.00"), PASSES).await?;
    let again = denied(401, Reason::TokenSpent);
    agent.call(Some(&approved), "refund_order", refund(7, "80.00"), again).await?;

    println!("\nAll answers are as expected.");
    Ok(())
}

fn says(what: &str) {
    println!("\n{what}");
}

struct Agent {
    http: Client,
    url: String,
    record: mpsc::Receiver<(Option<Reason>, String)>,
}

impl Agent {
    /// Calls a tool, and prints the answer. Returns its challenge, or an empty text.
    async fn call(
        &self,
        token: Option<&TestToken>,
        tool: &str,
        arguments: Value,
        expected: Expected,
    ) -> Fallible<String> {
        self.send(token, (tool, tool), arguments, expected).await
    }

    /// Calls a tool. The first name is what the header says, and the second what the body says.
    async fn send(
        &self,
        token: Option<&TestToken>,
        (said, tool): (&str, &str),
        arguments: Value,
        expected: Expected,
    ) -> Fallible<String> {
        println!("    {tool} {arguments}");
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientInfo": {"name": "desktop-agent", "version": "1.0.0"},
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let params = json!({"name": tool, "arguments": arguments, "_meta": meta});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let mut request = self.http.post(&self.url).body(body.to_string());
        for (name, value) in [
            (CONTENT_TYPE.as_str(), "application/json"),
            (ACCEPT.as_str(), "application/json, text/event-stream"),
            ("mcp-protocol-version", VERSION),
            ("mcp-method", "tools/call"),
            ("mcp-name", said),
            // The client can have transactions approved, and says so.
            ("accept-txn-challenge", "?1"),
        ] {
            request = request.header(name, value);
        }
        if let Some(token) = token {
            request = request.bearer_auth(token.sign());
        }
        let answer = request.send().await?;
        let status = answer.status();
        let challenge = match answer.headers().get(WWW_AUTHENTICATE) {
            Some(challenge) => challenge.to_str()?.to_owned(),
            None => String::new(),
        };
        println!("    -> {status} {}", spoken(&answer.text().await?));
        if !challenge.is_empty() {
            println!("    challenge  {}", shortened(&challenge));
        }
        // The base requirement has a line for itself, and so has the tool.
        let (reason, line) = self.record.try_iter().last().ok_or("nothing is on record")?;
        println!("    record     {line}");
        if (status.as_u16(), reason) != expected {
            return Err(format!("expected {expected:?}, got {status}, reason {reason:?}").into());
        }
        Ok(challenge)
    }
}

/// What a message of JSON-RPC says: the text of a tool, or an error.
fn spoken(body: &str) -> String {
    let Ok(message) = serde_json::from_str::<Value>(body) else { return body.to_owned() };
    match (message["result"]["content"][0]["text"].as_str(), &message["error"]) {
        (Some(text), _) => text.to_owned(),
        (None, error) => format!("error {}: {}", error["code"], error["message"]),
    }
}

/// The token that the login service issues for a transaction, once alice has approved what the challenge asks for. A
/// real one verifies the challenge first; the example `approval` has such a server.
fn approve(token: &TestToken, challenge: &str) -> Fallible<TestToken> {
    let (_, challenge) = challenge.split_once("transaction_challenge=\"").ok_or("no challenge")?;
    let claims = URL_SAFE_NO_PAD.decode(challenge.split('.').nth(1).ok_or("not a JWT")?)?;
    let claims: Value = serde_json::from_slice(&claims)?;
    println!("    alice reads {}, and says yes", claims["reason"]);
    let token = token.clone().claim("authorization_details", &claims["authorization_details"]);
    Ok(token.claim("txn", &claims["txn"]))
}

/// A challenge, without the middle of long values.
fn shortened(challenge: &str) -> String {
    let shortened = challenge.split('"').map(|part| match part.len() {
        0..=80 => part.to_owned(),
        length => format!("{part:.20}.. ({length} characters)"),
    });
    shortened.collect::<Vec<_>>().join("\"")
}

/// What the reader of the record keeps of an event. The `Display` of the event is the whole line.
pub(crate) fn line(event: &AuditEvent<'_>) -> String {
    let mut line = match event.reason() {
        None => "allowed".to_owned(),
        Some(reason) => format!("denied reason={reason}"),
    };
    line += &format!(" operation=\"{}\"", event.operation());
    let subject = event.subject();
    for (name, value) in [
        ("tool", event.operation().tool().map(Printable::raw)),
        ("subject", subject.as_ref().map(|subject| subject.name())),
        ("actor", event.actor().map(|actor| actor.name())),
        ("txn", event.txn().map(Printable::raw)),
    ] {
        // Names from a token are escaped when they are shown, so they cannot forge a line.
        if let Some(value) = value {
            line += &format!(" {name}=\"{:.20}\"", Printable::from(value).to_string());
        }
    }
    line
}

/// The keys of approvals. They are new at each start; yours are kept where your secrets are.
pub(crate) fn approvals(server: &str) -> Fallible<Approvals> {
    // A new key has a new id, since servers remember keys by their ids.
    let id = UtcDateTime::now().unix_timestamp_nanos().to_string();
    let signing_key = SigningKey::generate(Algorithm::Es256, &id);
    Ok(Approvals::new(signing_key, random()?, server))
}

/// The key of sessions. It is new at each start; yours is kept where your secrets are, and shared by all replicas.
pub(crate) fn session_key() -> Fallible<SessionKey> {
    Ok(SessionKey::new(random()?))
}

fn random() -> Fallible<[u8; 32]> {
    let mut secret = [0; 32];
    openssl::rand::rand_bytes(&mut secret)?;
    Ok(secret)
}

/// Remembers what is used up. Nothing was before this process, whose keys are new, so the store may count as one that
/// was always there. With keys that you keep, it is `MemoryReplayStore::new()`, or a store that replicas share.
pub(crate) fn store() -> MemoryReplayStore {
    MemoryReplayStore::new_at(UtcDateTime::UNIX_EPOCH)
}
