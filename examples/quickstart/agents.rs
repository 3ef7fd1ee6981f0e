//! Stands in for the login service, the agents, and the reader of the record.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use time::UtcDateTime;
use tokio::net::TcpListener;
use unconfused::approvals::{Approvals, SigningKey};
use unconfused::audit::{Printable, Signals, StepUp};
use unconfused::keys::Algorithm;
use unconfused::replay::MemoryReplayStore;
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::{Audience, AuditEvent, Guard, Party, Reason};

use super::{AGENT_APP, LOGIN, ORDERS, WEB_SHOP, api, guard};

/// A token with which `actor` acts for alice, who logged in with a password an hour ago.
fn acting(login: &TestIssuer, audience: &Audience, actor: &str, scope: &str) -> TestToken {
    let token = login.token(audience).subject("alice").client(AGENT_APP);
    let token = token.actor(actor).scope(scope);
    token.acr("pwd").authenticated(Duration::from_secs(3600))
}

/// The token after alice logged in again, just now and with a passkey.
fn just_now(token: TestToken) -> TestToken {
    token.acr("phr").authenticated(Duration::ZERO)
}

/// The token that the login service issues for a transaction, once alice has approved what the challenge asks for.
/// A real one verifies the challenge first; the example `approval` has such a server.
fn approved(token: &TestToken, challenge: &str) -> Result<TestToken, Box<dyn Error>> {
    let (_, challenge) = challenge.split_once("transaction_challenge=\"").ok_or("no challenge")?;
    let claims = URL_SAFE_NO_PAD.decode(challenge.split('.').nth(1).ok_or("not a JWT")?)?;
    let claims: Value = serde_json::from_slice(&claims)?;
    println!("    alice reads {}", claims["reason"]);
    let token = token.clone().claim("authorization_details", &claims["authorization_details"]);
    Ok(token.claim("txn", &claims["txn"]))
}

/// The keys of approvals, which are new in each run. Yours are where your secrets are.
fn approvals() -> Result<Approvals, Box<dyn Error>> {
    let mut secret = [0; 32];
    openssl::rand::rand_bytes(&mut secret)?;
    let id = UtcDateTime::now().unix_timestamp().to_string();
    Ok(Approvals::new(SigningKey::generate(Algorithm::Es256, &id), secret, LOGIN))
}

/// A request: what happens, method and path, the token, the status and the reason of a denial.
type Request<'a> = (&'a str, &'a str, Option<&'a TestToken>, (StatusCode, Option<Reason>));

const OK: (StatusCode, Option<Reason>) = (StatusCode::OK, None);

fn denied(reason: Reason) -> (StatusCode, Option<Reason>) {
    (reason.status(), Some(reason))
}

/// Sends requests as agents do, and prints what happens. Fails if an answer is not as expected.
///
/// `observe` may add more sinks to the guard.
pub(crate) async fn story(observe: impl FnOnce(Guard) -> Guard) -> Result<(), Box<dyn Error>> {
    // Your service uses `Issuer::discover` instead, with the URL of your login service.
    let login = TestIssuer::new(LOGIN);
    let (sink, record) = mpsc::channel();
    let guard = guard(login.issuer(), approvals()?, move |event: &AuditEvent<'_>| {
        // Fails only if the story has ended.
        let _ = sink.send(Line::from(event));
    });
    // A store refuses what may have been used before it was there. With keys that are new, nothing was.
    let guard = guard.replay(MemoryReplayStore::new_at(UtcDateTime::UNIX_EPOCH));
    let signals = Arc::new(Signals::new());
    let guard = observe(guard.audit(signals.clone()));
    // Plain HTTP, so only on the loopback address. A real API needs TLS.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(axum::serve(listener, api(guard.clone())?).into_future());

    println!("{ORDERS} runs at {url} for this example. It accepts tokens of {LOGIN}.");
    println!(
        "Below are the requests, each with its answer, the challenge of a denial, and its audit record."
    );
    println!("They are shortened, and only the first challenge shows its resource_metadata.");

    let agent = |actor, scope| acting(&login, &ORDERS, actor, scope);
    let reads = agent("support-agent", "orders:read");
    let writes = agent("support-agent", "orders:write");
    let refunds = agent("support-agent", "orders:refund");
    let refunds_now = just_now(agent("support-agent", "orders:refund"));
    let closes_now = just_now(agent("support-agent", "account:close"));
    let deletes = agent("support-agent", "orders:delete");
    let survey_reads = agent("survey-agent", "orders:read");
    let gateway = Audience::from_static("https://gateway.example");
    let elsewhere = acting(&login, &gateway, "support-agent", "orders:read");
    let alice = |client| login.token(&ORDERS).subject("alice").client(client);
    let alice_reads = alice(AGENT_APP).scope("orders:read");
    let alice_closes = just_now(alice(WEB_SHOP).scope("account:close"));
    #[rustfmt::skip]
    let requests: [Request<'_>; 13] = [
        ("An agent sends no token. The challenge names the scope it needs, and where to ask.",
            "GET /orders", None, denied(Reason::MissingCredentials)),
        ("So it asks who issues tokens for this API.",
            "GET /.well-known/oauth-protected-resource", None, OK),
        ("With a token that says that support-agent acts for alice, it reads her orders.",
            "GET /orders", Some(&reads), OK),
        ("A gateway forwards a token that was meant for itself, https://gateway.example.",
            "GET /orders", Some(&elsewhere), denied(Reason::AudienceMismatch)),
        ("The agents' app sends a token of alice that does not say which agent acts.",
            "GET /orders", Some(&alice_reads), denied(Reason::ActorRequired)),
        ("The agent places an order with a token that may only read.",
            "POST /orders", Some(&reads), denied(Reason::InsufficientScope)),
        ("It tries again, with the scope that the challenge named.",
            "POST /orders", Some(&writes), (StatusCode::CREATED, None)),
        ("It refunds an order, but alice logged in an hour ago and with a password.",
            "POST /orders/7/refund", Some(&refunds), denied(Reason::AuthenticationLevelInsufficient)),
        ("Alice logs in again with her passkey, as the challenge asked. The new token passes.",
            "POST /orders/7/refund", Some(&refunds_now), OK),
        ("It tries to refund bob's order too. The guard allows it, and the handler refuses.",
            "POST /orders/8/refund", Some(&refunds_now), denied(Reason::PolicyDenied)),
        ("It opens the inbox, which is for support-agent only.",
            "GET /agent/inbox", Some(&reads), OK),
        ("Another agent of the same app, also for alice, may not open it.",
            "GET /agent/inbox", Some(&survey_reads), denied(Reason::ActorUnauthorized)),
        ("It deletes an order, for good. The scope is not enough: alice must approve this deletion.",
            "DELETE /orders/7", Some(&deletes), denied(Reason::TransactionAuthorizationRequired)),
    ];

    // The requests stay on this machine, even if a proxy is configured.
    let http = reqwest::Client::builder().no_proxy().build()?;
    let mut story = Story { http, url, record, requests: 0 };
    let mut challenge = String::new();
    for request in requests {
        challenge = story.tell(request).await?;
    }

    println!(
        "\n    The login service asks her, in the words that the API has signed. She says yes."
    );
    let deletes_7 = approved(&deletes, &challenge)?;
    #[rustfmt::skip]
    let requests: [Request<'_>; 5] = [
        ("The new token is for this order only. A denied attempt does not use it up.",
            "DELETE /orders/9", Some(&deletes_7),
            (StatusCode::FORBIDDEN, Some(Reason::AuthorizationDetailsInsufficient))),
        ("The deletion that alice approved passes.",
            "DELETE /orders/7", Some(&deletes_7), OK),
        ("And it passes once.",
            "DELETE /orders/7", Some(&deletes_7), denied(Reason::TokenSpent)),
        ("It tries to close the account. Only alice may, in person: a passkey does not help.",
            "DELETE /account", Some(&closes_now), denied(Reason::ClientNotAllowed)),
        ("Alice closes it herself, in the web shop and with her passkey.",
            "DELETE /account", Some(&alice_closes), OK),
    ];
    for request in requests {
        story.tell(request).await?;
    }
    three_signals(&signals, &guard)
}

struct Story {
    http: reqwest::Client,
    url: String,
    record: mpsc::Receiver<Line>,
    /// How many requests were sent.
    requests: usize,
}

impl Story {
    /// Sends one request, prints what happens, and returns the challenge, if there is one.
    async fn tell(&mut self, request: Request<'_>) -> Result<String, Box<dyn Error>> {
        let (what, request, token, expected) = request;
        self.requests += 1;
        let number = self.requests;
        println!("\n{number:>2}  {what}");
        let (status, challenge) = self.send(request, token).await?;
        let lines: Vec<Line> = self.record.try_iter().collect();
        for line in &lines {
            show("record", &line.text, " ");
        }
        let got = (status, lines.last().and_then(|line| line.reason));
        if got != expected {
            return Err(format!("request {number}: expected {expected:?}, got {got:?}").into());
        }
        Ok(challenge)
    }

    async fn send(
        &self,
        request: &str,
        token: Option<&TestToken>,
    ) -> Result<(StatusCode, String), Box<dyn Error>> {
        let (method, path) = request.split_once(' ').unwrap_or(("GET", request));
        let mut message = self.http.request(method.parse()?, format!("{}{path}", self.url));
        // The client can have transactions approved, and says so.
        message = message.header("accept-txn-challenge", "?1");
        if let Some(token) = token {
            message = message.bearer_auth(token.sign());
        }
        if method == "POST" {
            message = message.header(CONTENT_TYPE, "application/json");
            message = message.body(r#"{"item":"a teapot"}"#);
        }
        let answer = message.send().await?;
        let status = answer.status();
        println!("    {request} -> {status}");
        let challenge = match answer.headers().get(WWW_AUTHENTICATE) {
            Some(challenge) => challenge.to_str()?.to_owned(),
            None => String::new(),
        };
        if !challenge.is_empty() {
            let short = challenge.split(", resource_metadata=").next();
            let shown = if token.is_none() { None } else { short };
            show("challenge", shown.unwrap_or(&challenge), ", ");
        }
        let body = answer.text().await?;
        if body.chars().count() > WIDTH {
            println!("    body       {body:.WIDTH$}..");
        } else if !body.is_empty() {
            println!("    body       {body}");
        }
        Ok((status, challenge))
    }
}

const WIDTH: usize = 92;

/// Prints a text after its label, on as many lines as it needs.
fn show(label: &str, text: &str, between: &str) {
    let mut label = label;
    let mut line = String::new();
    for part in text.split_inclusive(between) {
        if !line.is_empty() && line.len() + part.trim_end().len() > WIDTH {
            println!("    {label:<9}  {}", line.trim_end());
            (label, line) = ("", String::new());
        }
        // A signed challenge is longer than any line.
        match part.len() > 2 * WIDTH {
            true => line += &format!("{part:.WIDTH$}.."),
            false => line += part,
        }
    }
    println!("    {label:<9}  {line}");
}

/// What the reader of the record keeps of an event. The `Display` of the event is the whole line.
struct Line {
    text: String,
    reason: Option<Reason>,
}

impl From<&AuditEvent<'_>> for Line {
    fn from(event: &AuditEvent<'_>) -> Self {
        let mut text = match event.reason() {
            None => "allowed".to_owned(),
            Some(reason) => format!("denied reason={reason}"),
        };
        // Names from a token are escaped when they are shown, so they cannot forge a line.
        let (subject, actor) = (event.subject(), event.actor());
        let name_of = |party: &Party<'_>| Printable::from(party.name()).to_string();
        let names = [
            ("subject", subject.as_ref().map(name_of)),
            ("actor", actor.map(|actor| Printable::from(actor.name()).to_string())),
            ("client", event.client().map(|client| client.to_string())),
        ];
        for (name, value) in &names {
            text += &value.as_ref().map_or(String::new(), |value| format!(" {name}=\"{value}\""));
        }
        if event.step_up() != StepUp::NotRequired {
            text += &format!(" step_up={}", event.step_up().as_str());
        }
        Line { text, reason: event.reason() }
    }
}

/// Prints what was counted, and writes it as a page.
fn three_signals(signals: &Signals, guard: &Guard) -> Result<(), Box<dyn Error>> {
    let report = signals.report(&guard.operations());
    println!("\nThree signals, counted from the record:\n\n{report}");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/three_signals.html");
    fs::create_dir_all(page.parent().unwrap_or(&page))?;
    fs::write(&page, report.to_html())?;
    println!("The same as a page: {}", page.display());
    Ok(())
}

/// Runs until Ctrl-C, and prints the whole record.
pub(crate) async fn serve(port: u16) -> Result<(), Box<dyn Error>> {
    let login = TestIssuer::new(LOGIN);
    let guard = guard(login.issuer(), approvals()?, |event: &AuditEvent<'_>| println!("{event}"));
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let url = format!("http://{}", listener.local_addr()?);

    println!("{ORDERS} runs at {url} until Ctrl-C. Try these commands in another terminal.");
    println!("The tokens are valid for an hour, and only for this run, which made their key.");
    let reads = acting(&login, &ORDERS, "support-agent", "orders:read");
    let refunds = acting(&login, &ORDERS, "support-agent", "orders:refund");
    let refunds_now = acting(&login, &ORDERS, "support-agent", "orders:refund");
    let refunds_now = just_now(refunds_now);
    let deletes = acting(&login, &ORDERS, "support-agent", "orders:delete");
    #[rustfmt::skip]
    let lines = [
        ("who issues tokens for this API? Needs no token.",
            "curl -i", "/.well-known/oauth-protected-resource", None),
        ("support-agent reads alice's orders: 200. Without a token, or with a changed one: 401.",
            "curl -i", "/orders", Some(&reads)),
        ("support-agent opens its inbox: 200.",
            "curl -i", "/agent/inbox", Some(&reads)),
        ("A refund after a login with a password: 401, and the challenge asks for a new login.",
            "curl -i -X POST", "/orders/7/refund", Some(&refunds)),
        ("A refund after a login with a passkey: 200, and 401 from about five minutes later.",
            "curl -i -X POST", "/orders/7/refund", Some(&refunds_now)),
        ("A deletion: 401, and a signed challenge, which asks for the approval of a human.",
            "curl -i -X DELETE -H 'Accept-Txn-Challenge: ?1'", "/orders/7", Some(&deletes)),
    ];
    let hour = Duration::from_secs(3600);
    for (what, curl, path, token) in lines {
        println!("\n# {what}");
        match token.map(|token| token.clone().lifetime(hour).bearer()) {
            None => println!("{curl} {url}{path}"),
            Some(bearer) => println!("{curl} {url}{path} -H 'Authorization: {bearer}'"),
        }
    }
    println!("\nThe record:");
    axum::serve(listener, api(guard)?)
        .with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) })
        .await?;
    Ok(())
}
