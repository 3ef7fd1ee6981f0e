//! Plays the login, the agents and the reader of the record.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::mpsc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use tokio::net::TcpListener;
use unconfused::audit::{Printable, StepUp};
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::{Audience, AuditEvent, Party, Reason};

use crate::{AGENT_APP, LOGIN, ORDERS, WEB_SHOP, api, guard};

/// A token with which `actor` acts for alice, who logged in with a password an hour ago.
fn acting(login: &TestIssuer, audience: &Audience, actor: &str, scope: &str) -> TestToken {
    let token = login.token(audience).subject("alice").client(AGENT_APP);
    let token = token.actor(actor).scope(scope);
    token.acr("pwd").authenticated(Duration::from_secs(3600))
}

/// A token for which alice logged in with a passkey, just now.
fn just_now(token: TestToken) -> TestToken {
    token.acr("phr").authenticated(Duration::ZERO)
}

/// A status, or a no for this reason.
type Expected = Result<StatusCode, Reason>;

/// Sends what agents send, and shows what comes of it. Fails where anything is not as expected.
pub(crate) async fn story() -> Result<(), Box<dyn Error>> {
    // In your service `Issuer::new(name, keys)` stands here, with the keys of your login.
    let login = TestIssuer::new(LOGIN);
    let (sink, record) = mpsc::channel();
    let guard = guard(login.issuer(), move |event: &AuditEvent<'_>| {
        // Fails only when nobody reads any more.
        let _ = sink.send(Line::from(event));
    });
    // Plain HTTP, so on the loopback alone. A real API is reached over TLS.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(axum::serve(listener, api(guard)?).into_future());

    println!("{ORDERS}, for now at {url}, takes tokens of {LOGIN}.");
    println!(
        "Below: each request, its answer, the challenge that came with a no, and the record of it."
    );
    println!("Shortened: the record, and resource_metadata in all challenges but the first.");

    let agent = |actor, scope| acting(&login, &ORDERS, actor, scope);
    let reads = agent("support-agent", "orders:read");
    let writes = agent("support-agent", "orders:write");
    let refunds = agent("support-agent", "orders:refund");
    let refunds_now = just_now(agent("support-agent", "orders:refund"));
    let closes_now = just_now(agent("support-agent", "account:close"));
    let survey_reads = agent("survey-agent", "orders:read");
    let gateway = Audience::from_static("https://gateway.example");
    let elsewhere = acting(&login, &gateway, "support-agent", "orders:read");
    let alice = |client| login.token(&ORDERS).subject("alice").client(client);
    let alice_reads = alice(AGENT_APP).scope("orders:read");
    let alice_closes = just_now(alice(WEB_SHOP).scope("account:close"));
    let ok = Ok(StatusCode::OK);

    #[rustfmt::skip]
    let requests: [(&str, &str, Option<&TestToken>, Expected); 14] = [
        ("An agent comes without a token. It is told which scope it needs, and where to ask.",
            "GET /orders", None, Err(Reason::MissingCredentials)),
        ("So it asks who issues tokens for this API.",
            "GET /.well-known/oauth-protected-resource", None, ok),
        ("Now it has a token that says: support-agent acts for alice. It reads her orders.",
            "GET /orders", Some(&reads), ok),
        ("A gateway passes on the token that came to it, one meant for https://gateway.example.",
            "GET /orders", Some(&elsewhere), Err(Reason::AudienceMismatch)),
        ("The agents' app sends a token that is alice's own: it does not say which agent acts.",
            "GET /orders", Some(&alice_reads), Err(Reason::ActorRequired)),
        ("The agent places an order, with a token that may only read.",
            "POST /orders", Some(&reads), Err(Reason::InsufficientScope)),
        ("Now with the scope that the challenge named.",
            "POST /orders", Some(&writes), Ok(StatusCode::CREATED)),
        ("It refunds an order. But alice logged in an hour ago, and with a password.",
            "POST /orders/7/refund", Some(&refunds), Err(Reason::AuthenticationLevelInsufficient)),
        ("As the challenge asked, alice logs in again, with her passkey. Its new token passes.",
            "POST /orders/7/refund", Some(&refunds_now), ok),
        ("With that token it refunds bob's order. The guard lets it pass, the handler does not.",
            "POST /orders/8/refund", Some(&refunds_now), Err(Reason::PolicyDenied)),
        ("The inbox is for support-agent alone.",
            "GET /agent/inbox", Some(&reads), ok),
        ("Another agent, of the same app and for the same alice, is not on the list.",
            "GET /agent/inbox", Some(&survey_reads), Err(Reason::ActorUnauthorized)),
        ("Closing the account is for alice in person: not even a passkey helps an agent.",
            "DELETE /account", Some(&closes_now), Err(Reason::ClientNotAllowed)),
        ("Alice does it herself, in the web shop, with her passkey.",
            "DELETE /account", Some(&alice_closes), ok),
    ];

    // Nothing leaves this machine, whatever proxy is set.
    let http = reqwest::Client::builder().no_proxy().build()?;
    let mut seen = Vec::new();
    for (number, (story, request, token, expected)) in (1..).zip(requests) {
        println!("\n{number:>2}  {story}");
        let status = send(&http, &url, request, token).await?;
        let lines: Vec<Line> = record.try_iter().collect();
        for line in &lines {
            show("record", &line.text, " ");
        }
        let reason = lines.last().and_then(|line| line.reason);
        if (status, reason) != (expected.unwrap_or_else(Reason::status), expected.err()) {
            let got = format!("{status}, reason {reason:?}");
            return Err(format!("request {number}: expected {expected:?}, got {got}").into());
        }
        seen.push(lines);
    }
    summary(&seen);
    Ok(())
}

/// Sends one request, and shows the answer.
async fn send(
    http: &reqwest::Client,
    url: &str,
    request: &str,
    token: Option<&TestToken>,
) -> Result<StatusCode, Box<dyn Error>> {
    let (method, path) = request.split_once(' ').unwrap_or(("GET", request));
    let mut message = http.request(method.parse()?, format!("{url}{path}"));
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
    if let Some(challenge) = answer.headers().get(WWW_AUTHENTICATE) {
        let challenge = challenge.to_str()?;
        let short = challenge.split(", resource_metadata=").next();
        let shown = if token.is_none() { None } else { short };
        show("challenge", shown.unwrap_or(challenge), ", ");
    }
    let body = answer.text().await?;
    if body.chars().count() > WIDTH {
        println!("    body       {body:.WIDTH$}..");
    } else if !body.is_empty() {
        println!("    body       {body}");
    }
    Ok(status)
}

const WIDTH: usize = 92;

/// Shows a text under its label, on as many lines as it takes.
fn show(label: &str, text: &str, between: &str) {
    let mut label = label;
    let mut line = String::new();
    for part in text.split_inclusive(between) {
        if line.len() + part.trim_end().len() > WIDTH {
            println!("    {label:<9}  {}", line.trim_end());
            (label, line) = ("", String::new());
        }
        line += part;
    }
    println!("    {label:<9}  {line}");
}

/// What this reader keeps of an event. The event's own `Display` is the whole line.
struct Line {
    text: String,
    reason: Option<Reason>,
    audience: bool,
    step_up: StepUp,
    acted: Option<(String, String)>,
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
        if event.step_up() != StepUp::None {
            text += &format!(" step_up={}", event.step_up().as_str());
        }
        let [(_, subject), (_, actor), _] = names;
        Line {
            text,
            reason: event.reason(),
            audience: event.audience().is_some(),
            step_up: event.step_up(),
            acted: actor.zip(subject),
        }
    }
}

/// Three signals that the model works, counted from the record: the lines of each request.
fn summary(requests: &[Vec<Line>]) {
    let count = |is: fn(&Line) -> bool| {
        let with = requests.iter().filter(|lines| lines.iter().any(is));
        with.count()
    };
    let judged = count(|_| true);
    let validated = count(|line| line.audience);
    let elsewhere = count(|line| line.reason == Some(Reason::AudienceMismatch));
    let none = count(|line| line.reason == Some(Reason::MissingCredentials));
    let asked = count(|line| line.step_up == StepUp::Asked);
    let met = count(|line| line.step_up == StepUp::Met);
    // The last line of a request is its outcome.
    let mut acted: BTreeMap<_, [u32; 2]> = BTreeMap::new();
    for line in requests.iter().filter_map(|lines| lines.last()) {
        if let Some(who) = &line.acted {
            acted.entry(who).or_default()[usize::from(line.reason.is_some())] += 1;
        }
    }
    let acted: Vec<_> = acted
        .iter()
        .map(|((actor, subject), [yes, no])| {
            format!("{actor} for {subject}: {yes} allowed, {no} denied")
        })
        .collect();
    println!("\nCounted from the record:");
    print!("  audience   validated in {validated} of {judged} requests; ");
    println!("refused: {none} without a token, {elsewhere} with a token for another service");
    println!("  step-up    asked for in {asked} request, met in {met}");
    println!("  who acted  {}", acted.join("; "));
}

/// Stays up until Ctrl-C, and writes the whole record to the screen.
pub(crate) async fn serve(port: u16) -> Result<(), Box<dyn Error>> {
    let login = TestIssuer::new(LOGIN);
    let guard = guard(login.issuer(), |event: &AuditEvent<'_>| println!("{event}"));
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let url = format!("http://{}", listener.local_addr()?);

    println!("{ORDERS}, for now at {url}, until Ctrl-C. To try in another terminal:");
    println!("(The tokens last an hour. Only this run believes them: it made their key.)");
    let reads = acting(&login, &ORDERS, "support-agent", "orders:read");
    let refunds = acting(&login, &ORDERS, "support-agent", "orders:refund");
    let refunds_now = acting(&login, &ORDERS, "support-agent", "orders:refund");
    let refunds_now = just_now(refunds_now);
    #[rustfmt::skip]
    let lines = [
        ("who issues tokens for this API: needs no token",
            "curl -i", "/.well-known/oauth-protected-resource", None),
        ("support-agent reads alice's orders: 200; with no token, or a changed one: 401",
            "curl -i", "/orders", Some(&reads)),
        ("the inbox, for support-agent alone: 200",
            "curl -i", "/agent/inbox", Some(&reads)),
        ("a refund after a password: 401, and the challenge asks for a new login",
            "curl -i -X POST", "/orders/7/refund", Some(&refunds)),
        ("a refund just after a passkey: 200; some 5 minutes later: 401",
            "curl -i -X POST", "/orders/7/refund", Some(&refunds_now)),
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
