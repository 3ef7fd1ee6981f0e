//! Stands in for the agent, its client, the human, and the reader of the record.

use std::error::Error;
use std::sync::mpsc;
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Client, RequestBuilder, Url};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use unconfused::audit::Printable;
use unconfused::{AuditEvent, Issuer, Reason};

use crate::peer::Peer;
use crate::{ORDERS, api, guard, server};

const AGENT: &str = "agent-a";
const OTHER_AGENT: &str = "agent-b";

type Fallible<T> = Result<T, Box<dyn Error>>;

/// The status of an answer, and the reason of a denial.
type Expected = (u16, Option<Reason>);
const PASSES: Expected = (200, None);

const fn denied(status: u16, reason: Reason) -> Expected {
    (status, Some(reason))
}

/// Goes through the whole loop and prints it. Fails if an answer is not as expected.
pub(crate) async fn tell(interop: bool) -> Fallible<()> {
    let (_peer, issuer) = if interop {
        let (peer, issuer) = Peer::start()?;
        (Some(peer), issuer)
    } else {
        (None, server::start().await?)
    };
    // The requests stay on this machine, even if a proxy is configured.
    let http = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
    let (sink, record) = mpsc::channel();
    let audit = move |event: &AuditEvent<'_>| {
        // Fails only if the story has ended.
        let _ = sink.send((event.reason(), line(event)));
    };
    // Your service uses `Issuer::discover`.
    let discovered = Issuer::discover_without_tls_on_loopback(&issuer, http.clone())?;
    let app = api(guard(discovered, audit)?)?;
    // Plain HTTP, so only on the loopback address. A real API needs TLS.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(axum::serve(listener, app).into_future());

    println!("{ORDERS} runs at {url} for this example.");
    println!("The server {issuer} issues its tokens, and gets transactions approved.");
    println!(
        "Records and challenges are shortened, and only the last record of a request is shown."
    );
    let server = Server { http: http.clone(), issuer };
    server.admin("resources", &json!({"resource": ORDERS.as_str(), "at": url})).await?;
    let token = server.token(AGENT).await?;
    let mut orders = Orders { http, url, record, understands_challenges: false };

    says("An agent asks for a refund, for alice. Its client does not understand challenges.");
    let required = Reason::TransactionAuthorizationRequired;
    orders.refund(&token, 7, "80.00", denied(403, required)).await?;

    says("A small refund may be granted beforehand: the client learns what to get consent for.");
    let insufficient = Reason::AuthorizationDetailsInsufficient;
    let challenge = orders.refund(&token, 7, "12.50", denied(401, insufficient)).await?;
    let remediation =
        URL_SAFE_NO_PAD.decode(parameter(&challenge, "authorization_remediation")?)?;
    let remediation: Value = serde_json::from_slice(&remediation)?;
    println!("    asks for   {}", remediation["authorization_details"]);

    says("It comes back with a token that grants these details. The request spends this token.");
    let details = &remediation["authorization_details"];
    let granted = server.token_with(AGENT, &json!({"authorization_details": details})).await?;
    orders.refund(&granted, 7, "12.50", PASSES).await?;
    orders.refund(&granted, 7, "12.50", denied(401, Reason::TokenSpent)).await?;

    says("A client that understands challenges gets one. The API signs what is to be approved.");
    orders.understands_challenges = true;
    let challenge = orders.refund(&token, 7, "80.00", denied(401, required)).await?;
    let challenge = parameter(&challenge, "transaction_challenge")?;

    says("The agent rewords it, so that alice would read of a small refund. The server refuses.");
    let reworded = reworded(challenge)?;
    refused(server.hand_in(AGENT, &reworded).await)?;

    says("The client hands it over as it is. Alice reads the API's own words, and says yes.");
    let transaction = server.hand_in(AGENT, challenge).await?;
    let id = text(&transaction, "transaction_authorization_id")?;
    refused(server.poll(AGENT, id).await)?;
    let page = text(&transaction, "authorization_uri")?;
    let read = json_of(server.http.get(page)).await?;
    println!("    alice reads: {}, asked by {}", read["reason"], read["act"]);
    server.post(page, None, &[("user", "alice"), ("decision", "yes")]).await?;
    // Not sooner than the server has said, as `interval`.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let approved = server.poll(AGENT, id).await?;
    let approved = text(&approved, "access_token")?;

    says("The token that comes back is for this refund: not for another order, nor for more.");
    orders.refund(approved, 8, "80.00", denied(403, insufficient)).await?;
    orders.refund(approved, 7, "800.00", denied(403, insufficient)).await?;

    says("Another agent of alice has a token with this approval. It was not asked for that agent.");
    let claims = server::part(approved, 1)?;
    let (txn, details) = (&claims["txn"], &claims["authorization_details"]);
    let copied = json!({"txn": txn, "authorization_details": details});
    let copied = server.token_with(OTHER_AGENT, &copied).await?;
    orders.refund(&copied, 7, "80.00", denied(401, Reason::TransactionUnknown)).await?;

    says("The token is good for nothing else, whatever its scope is.");
    orders.list(approved, denied(401, Reason::TransactionTokenMisused)).await?;

    says("All of this has left the approval unspent. The right request passes, once.");
    orders.refund(approved, 7, "80.00", PASSES).await?;
    orders.refund(approved, 7, "80.00", denied(401, Reason::TokenSpent)).await?;

    println!("\nAll answers are as expected.");
    Ok(())
}

fn says(what: &str) {
    println!("\n{what}");
}

/// The API, as the agent sees it.
struct Orders {
    http: Client,
    url: String,
    record: mpsc::Receiver<(Option<Reason>, String)>,
    understands_challenges: bool,
}

impl Orders {
    async fn refund(
        &self,
        token: &str,
        order: u64,
        amount: &str,
        expected: Expected,
    ) -> Fallible<String> {
        let body = json!({"amount": amount, "currency": "EUR"}).to_string();
        let path = format!("/orders/{order}/refund");
        println!("    POST {path} {body}");
        let request = self.http.post(format!("{}{path}", self.url));
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        self.send(request, token, expected).await
    }

    async fn list(&self, token: &str, expected: Expected) -> Fallible<String> {
        println!("    GET /orders");
        self.send(self.http.get(format!("{}/orders", self.url)), token, expected).await
    }

    /// Sends a request and prints the answer. Returns its challenge, or an empty text.
    async fn send(
        &self,
        mut request: RequestBuilder,
        token: &str,
        expected: Expected,
    ) -> Fallible<String> {
        if self.understands_challenges {
            request = request.header("accept-txn-challenge", "?1");
        }
        let answer = request.bearer_auth(token).send().await?;
        let status = answer.status();
        let challenge = match answer.headers().get(WWW_AUTHENTICATE) {
            Some(challenge) => challenge.to_str()?.to_owned(),
            None => String::new(),
        };
        println!("    -> {status} {}", answer.text().await?);
        if !challenge.is_empty() {
            println!("    challenge  {}", shortened(&challenge));
        }
        // The layer has one for itself, and the handler another.
        let (reason, line) = self.record.try_iter().last().ok_or("nothing is on record")?;
        println!("    record     {line}");
        // If nothing that the client does helps, it is 403 without a challenge.
        if (status.as_u16(), reason) != expected || (status == 401) == challenge.is_empty() {
            return Err(format!("expected {expected:?}, got {status}, reason {reason:?}").into());
        }
        Ok(challenge)
    }
}

/// The authorization server, as clients and users see it. It is that of `server.rs` or a real one.
struct Server {
    http: Client,
    issuer: String,
}

impl Server {
    /// A token with which this agent acts for alice: her own, exchanged (RFC 8693).
    async fn token(&self, agent: &str) -> Fallible<String> {
        // Stands in for a login.
        let own =
            json!({"aud": ORDERS.as_str(), "sub": "alice", "scope": "orders:read orders:refund"});
        let own = self.admin("mint", &json!({"claims": own})).await?;
        let url = format!("{}/token", self.issuer);
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token", text(&own, "token")?),
        ];
        let answer = self.post(&url, Some(agent), &fields).await?;
        Ok(text(&answer, "access_token")?.to_owned())
    }

    /// Such a token with more claims, by the back door.
    async fn token_with(&self, agent: &str, more: &Value) -> Fallible<String> {
        let mut claims = server::part(&self.token(agent).await?, 1)?;
        for (name, value) in more.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        let answer = self.admin("mint", &json!({"claims": claims})).await?;
        Ok(text(&answer, "token")?.to_owned())
    }

    async fn hand_in(&self, client: &str, challenge: &str) -> Fallible<Value> {
        let fields = [("transaction_challenge", challenge), ("scope", "orders:read orders:refund")];
        self.post(&self.transaction_endpoint().await?, Some(client), &fields).await
    }

    async fn poll(&self, client: &str, id: &str) -> Fallible<Value> {
        let fields = [("transaction_authorization_id", id)];
        self.post(&self.transaction_endpoint().await?, Some(client), &fields).await
    }

    async fn transaction_endpoint(&self) -> Fallible<String> {
        let metadata = format!("{}/.well-known/openid-configuration", self.issuer);
        let metadata = json_of(self.http.get(metadata)).await?;
        Ok(text(&metadata, "transaction_authorization_endpoint")?.to_owned())
    }

    /// The back door.
    async fn admin(&self, command: &str, input: &Value) -> Fallible<Value> {
        let request = self.http.post(format!("{}/admin/{command}", self.issuer));
        json_of(request.header(CONTENT_TYPE, "application/json").body(input.to_string())).await
    }
}

impl Server {
    /// Posts a form, as this client if one is named. Its secret is its id and "-secret".
    async fn post(
        &self,
        url: &str,
        client: Option<&str>,
        fields: &[(&str, &str)],
    ) -> Fallible<Value> {
        let form = Url::parse_with_params("form:", fields)?;
        let request = self.http.post(url).body(form.query().unwrap_or_default().to_owned());
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        json_of(match client {
            Some(client) => request.basic_auth(client, Some(format!("{client}-secret"))),
            None => request,
        })
        .await
    }
}

/// What is answered with 200. Any other answer is an error, with what it says.
async fn json_of(request: RequestBuilder) -> Fallible<Value> {
    let answer = request.send().await?;
    let (status, body) = (answer.status(), answer.text().await?);
    if status != 200 {
        return Err(format!("{status} {body}").into());
    }
    Ok(serde_json::from_str(&body)?)
}

/// Prints why the server refuses. Fails if it does not.
fn refused(answer: Fallible<Value>) -> Fallible<()> {
    match answer {
        Ok(answer) => Err(format!("expected a refusal of the server, not {answer}").into()),
        Err(why) => {
            println!("    the server answers {why}");
            Ok(())
        }
    }
}

fn text<'v>(answer: &'v Value, member: &str) -> Fallible<&'v str> {
    answer[member].as_str().ok_or_else(|| format!("no {member} in {answer}").into())
}

/// The value of a parameter of a challenge.
fn parameter<'c>(challenge: &'c str, name: &str) -> Fallible<&'c str> {
    let after = challenge.split_once(&format!(", {name}=\"")).map(|(_, after)| after);
    let value = after.and_then(|after| after.split_once('"')).map(|(value, _)| value);
    value.ok_or_else(|| format!("the challenge has no {name}").into())
}

/// The challenge with another reason, under the signature of the first.
fn reworded(challenge: &str) -> Fallible<String> {
    let mut claims = server::part(challenge, 1)?;
    claims["reason"] = "Refund 8.00 EUR to the customer of order 7".into();
    let parts: Vec<_> = challenge.split('.').collect();
    let [header, _, signature] = parts[..] else { return Err("the challenge is not a JWT".into()) };
    Ok(format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims.to_string())))
}

/// A challenge, without the middle of long values.
fn shortened(challenge: &str) -> String {
    let shortened = challenge.split('"').map(|part| match part.len() {
        0..=100 => part.to_owned(),
        length => format!("{part:.20}.. ({length} characters)"),
    });
    shortened.collect::<Vec<_>>().join("\"")
}

/// What the reader of the record keeps of an event. The `Display` of the event is the whole line.
fn line(event: &AuditEvent<'_>) -> String {
    let mut line = match event.reason() {
        None => "allowed".to_owned(),
        Some(reason) => format!("denied reason={reason}"),
    };
    let subject = event.subject();
    for (name, value) in [
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
