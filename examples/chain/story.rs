//! Stands in for the agent, its user, and the reader of the record.

use std::error::Error;
use std::sync::mpsc;
use std::time::Duration;

use axum::Router;
use axum::http::header::WWW_AUTHENTICATE;
use serde_json::Value;
use tokio::net::TcpListener;
use unconfused::audit::Printable;
use unconfused::{Audience, AuditEvent, Guard, Issuer, Reason};

use crate::server::{Rule, Server, claims_of};
use crate::{PAY, REFUND, RELEASE, next, service};

type Fallible<T> = Result<T, Box<dyn Error>>;

/// The services in the order in which they are called.
const NAMES: [&str; 3] = ["orders", "stock", "payments"];

/// What a service has on record: its name, the reason of a denial, and a line.
type Record = mpsc::Receiver<(&'static str, Option<Reason>, String)>;

struct Story {
    server: Server,
    urls: [String; 3],
    http: reqwest::Client,
    record: Record,
}

/// Goes through the whole chain and prints it. Fails if an answer is not as expected.
pub(crate) async fn tell() -> Fallible<()> {
    let story = set_up().await?;
    let [orders, _, payments] = &story.urls;

    says(
        "Alice asks her agent for a refund. The agent has a token for the service `orders`, and acts for her.",
    );
    let token = story.token_of_agent("orders:read orders:refund", None)?;
    story.ask(orders, &token, 80, (200, None)).await?;

    says(
        "The same request again: each service still has the token for the next one, and asks for none.",
    );
    story.ask(orders, &token, 80, (200, None)).await?;
    if !story.server.issued().is_empty() {
        return Err("a token was exchanged again".into());
    }

    says("The agent tries its token at `payments`. It was not issued for that service.");
    story.ask(payments, &token, 80, (401, Some(Reason::AudienceMismatch))).await?;

    says("Another token of the agent may only read. `orders` does not exchange it.");
    let reader = story.token_of_agent("orders:read", None)?;
    story.ask(orders, &reader, 80, (403, Some(Reason::InsufficientScope))).await?;

    says("`orders` tries to skip `stock`. The server does not issue a token of `payments` to it.");
    let short_cut = next(&story.server.issuer, "orders", payments, PAY, REFUND)?;
    let guard = story.guard(0, mpsc::channel().0)?;
    let grant = granted(&guard, &token).await?;
    match short_cut.hop.token(&guard, &grant).await {
        Ok(_) => return Err("the server issued a token that it should not".into()),
        Err(denial) => println!("    {}", denial.for_operator()),
    }

    says("A token for `stock` is attached to a request for another origin. It refuses.");
    let hop = next(&story.server.issuer, "orders", &story.urls[1], RELEASE, REFUND)?;
    let token_for_stock = hop.hop.token(&guard, &grant).await?;
    let mut request = axum::http::Request::post("https://evil.example/").body(())?;
    match token_for_stock.attach(&mut request) {
        Ok(()) => return Err("the token was attached".into()),
        Err(error) => println!("    {error}"),
    }
    story.server.issued();

    says(
        "A large refund. `payments` wants a stronger login, and the agent gets one challenge, of `orders`.",
    );
    let challenge = story
        .ask(orders, &token, 5000, (401, Some(Reason::AuthenticationLevelInsufficient)))
        .await?;
    if !challenge.contains(r#"acr_values="phr""#) {
        return Err("the challenge does not say what is demanded".into());
    }

    says(
        "Alice logs in with her passkey. The agent comes back with a new token, and every hop has a new one.",
    );
    let strong = story.token_of_agent("orders:read orders:refund", Some("phr"))?;
    story.ask(orders, &strong, 5000, (200, None)).await?;

    println!("\nAll answers are as expected.");
    Ok(())
}

async fn set_up() -> Fallible<Story> {
    let server = Server::start().await?;
    let mut listeners = Vec::new();
    for _ in NAMES {
        listeners.push(TcpListener::bind("127.0.0.1:0").await?);
    }
    let url = |index: usize| -> Fallible<String> {
        let listener: &TcpListener = &listeners[index];
        Ok(format!("http://{}", listener.local_addr()?))
    };
    let urls = [url(0)?, url(1)?, url(2)?];
    let [orders, stock, payments] = urls.clone();
    let rule = |client, own: &String, needs, resource: &String, scope| Rule {
        client,
        own: own.clone(),
        needs,
        resource: resource.clone(),
        scope,
    };
    server.allow(rule("orders", &orders, "orders:refund", &stock, "stock:release"));
    server.allow(rule("stock", &stock, "stock:release", &payments, "payments:pay"));

    let (sink, record) = mpsc::channel();
    let http = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let story = Story { server, urls: urls.clone(), http, record };
    let issuer = &story.server.issuer;
    // Every request for a refund needs no more than to read at the first service; the hop needs the right to refund.
    let apps: [Router; 3] = [
        service(
            story.guard(0, sink.clone())?,
            unconfused::Scope::from_static("orders:read"),
            Some(next(issuer, "orders", &stock, RELEASE, REFUND)?),
        ),
        service(
            story.guard(1, sink.clone())?,
            RELEASE,
            Some(next(issuer, "stock", &payments, PAY, RELEASE)?),
        ),
        service(story.guard(2, sink)?, PAY, None),
    ];
    for (listener, app) in listeners.into_iter().zip(apps) {
        tokio::spawn(axum::serve(listener, app).into_future());
    }
    println!("The server {issuer} issues the tokens.");
    for (name, url) in NAMES.iter().zip(&urls) {
        println!("The service `{name}` runs at {url}.");
    }
    Ok(story)
}

impl Story {
    fn guard(
        &self,
        index: usize,
        sink: mpsc::Sender<(&'static str, Option<Reason>, String)>,
    ) -> Fallible<Guard> {
        let name = NAMES[index];
        // Your service uses `Issuer::discover`.
        let issuer =
            Issuer::discover_without_tls_on_loopback(&self.server.issuer, self.http.clone())?;
        let audit = move |event: &AuditEvent<'_>| {
            // Fails only if the story has ended.
            let _ = sink.send((name, event.reason(), line(event)));
        };
        Ok(Guard::new(Audience::new(self.urls[index].as_str())?, issuer).audit(audit))
    }

    /// A token with which the agent acts for alice at `orders`. Stands in for a login and an exchange.
    fn token_of_agent(&self, scope: &str, acr: Option<&str>) -> Fallible<String> {
        let token = self.server.login.token(&Audience::new(self.urls[0].as_str())?);
        let token = token.subject("alice").client("agent").actor("agent").scope(scope);
        let token = token.lifetime(Duration::from_secs(300));
        let token = match acr {
            Some(acr) => token.acr(acr).authenticated(Duration::ZERO),
            None => token,
        };
        let token = token.sign();
        self.show(&claims_of(&token).ok_or("the token has no claims")?);
        Ok(token)
    }

    /// Asks a service for a refund, and prints what happens. Returns the challenge, or an empty text.
    async fn ask(
        &self,
        url: &str,
        token: &str,
        amount: u64,
        expected: (u16, Option<Reason>),
    ) -> Fallible<String> {
        println!("    POST {url}/refund/{amount}");
        let request = self.http.post(format!("{url}/refund/{amount}")).bearer_auth(token);
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let challenges: Vec<_> = answer.headers().get_all(WWW_AUTHENTICATE).iter().collect();
        let challenge = match challenges[..] {
            [] => "",
            [one] => one.to_str()?,
            _ => return Err("there is more than one challenge".into()),
        }
        .to_owned();
        for issued in self.server.issued() {
            self.show(&issued);
        }
        println!("    -> {status} {}", answer.text().await?);
        if !challenge.is_empty() {
            println!("    challenge  {challenge}");
        }
        let mut reason = None;
        for (name, denied, line) in self.record.try_iter() {
            println!("    record of {name:8} {line}");
            reason = denied;
        }
        if (status, reason) != expected {
            return Err(format!("expected {expected:?}, got {status}, reason {reason:?}").into());
        }
        Ok(challenge)
    }

    /// Prints what a token says.
    fn show(&self, claims: &Value) {
        let known = self.urls.iter().position(|url| claims["aud"] == **url);
        let aud = known.map_or("?", |index| NAMES[index]);
        let mut chain = Vec::new();
        let mut act = &claims["act"];
        while let Some(name) = act["sub"].as_str() {
            chain.push(name);
            act = &act["act"];
        }
        println!(
            "    token for {aud:8} sub {}, scope {}, acts: {}",
            claims["sub"],
            claims["scope"],
            chain.join(" <- ")
        );
    }
}

async fn granted(guard: &Guard, token: &str) -> Fallible<unconfused::Grant> {
    let request = axum::http::Request::post("/").header("authorization", format!("Bearer {token}"));
    let (mut head, ()) = request.body(())?.into_parts();
    Ok(guard.authorize(&mut head, REFUND).await?)
}

fn says(what: &str) {
    println!("\n{what}");
}

/// What the reader of the record keeps of an event. The `Display` of the event is the whole line.
fn line(event: &AuditEvent<'_>) -> String {
    let mut line = match event.reason() {
        None => "allowed".to_owned(),
        Some(reason) => format!("denied reason={reason}"),
    };
    // Names from a token are escaped when they are shown, so they cannot forge a line.
    let name = |name: &str| Printable::from(name).to_string();
    if let Some(subject) = event.subject() {
        line += &format!(" subject=\"{}\"", name(subject.name()));
    }
    if let Some(actor) = event.actor() {
        line += &format!(" actor=\"{}\"", name(actor.name()));
    }
    for actor in event.prior_actors() {
        line += &format!(" prior_actor=\"{}\"", name(actor.name()));
    }
    if let Some(hop) = event.next_hop() {
        line += &format!(" next_hop=\"{}\"", name(hop.resource));
    }
    line
}
