//! Stands in for the login service, the agent, the human, and the operator.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc;

use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use time::UtcDateTime;
use tokio::net::TcpListener;
use unconfused::approvals::{Approvals, SigningKey};
use unconfused::audit::Printable;
use unconfused::error::ConfigError;
use unconfused::keys::Algorithm;
use unconfused::policy::CedarPolicy;
use unconfused::replay::MemoryReplayStore;
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::{AuditEvent, Reason};

use crate::{LOGIN, ORDERS, POLICIES, SCHEMA, api, guard, reload};

type Fallible<T> = Result<T, Box<dyn Error>>;

/// The status of an answer, the reason of a denial, and the policies that decided.
type Expected<'a> = (u16, Option<Reason>, &'a [&'a str]);

/// 14:00 of a day, in seconds since 1970.
const AFTERNOON: i64 = 1_800_021_600;
/// 23:30 of that day.
const NIGHT: i64 = AFTERNOON + 34_200;

/// Goes through the whole story and prints it. Fails if an answer is not as expected.
pub(crate) async fn tell() -> Fallible<()> {
    // Your service uses `Issuer::discover`.
    let login = TestIssuer::new(LOGIN);
    let clock = Arc::new(AtomicI64::new(AFTERNOON));
    let (sink, record) = mpsc::channel();
    let audit = move |event: &AuditEvent<'_>| {
        // Fails only if the story has ended.
        let _ = sink.send(Line::from(event));
    };

    let cedar = CedarPolicy::new(POLICIES, SCHEMA)?;
    let file = PolicyFile::new()?;
    let (reloaded, reloads) = mpsc::channel();
    let report = move |result| drop(reloaded.send(result));
    tokio::spawn(reload(cedar.clone(), file.path.clone(), report));

    let time = clock.clone();
    let guard = guard(login.issuer(), cedar, approvals()?, audit)
        .replay(MemoryReplayStore::new_at(UtcDateTime::UNIX_EPOCH))
        // The story goes on until the night.
        .clock(move || moment(time.load(Ordering::Relaxed)));
    // Plain HTTP, so only on the loopback address. A real API needs TLS.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(axum::serve(listener, api(guard)).into_future());
    println!(
        "{ORDERS} runs at {url} for this example. Its policies are examples/policy/orders.cedar."
    );

    let token = |at| {
        let token = login.token(&ORDERS).issued_at(moment(at)).subject("alice").client("agents");
        token.scope("orders:read orders:refund")
    };
    let agent = token(AFTERNOON).actor("support-agent");
    // The requests stay on this machine, even if a proxy is configured.
    let http = reqwest::Client::builder().no_proxy().build()?;
    let orders = Orders { http, url, record };
    let denied = |reason: Reason| (reason.status().as_u16(), Some(reason));
    let (no, reason) = denied(Reason::PolicyDenied);

    says("An agent, for alice, makes a small refund. Subject and actor are both permitted.");
    orders.refund(&agent, 7, "12.50", (200, None, &["own-orders"])).await?;

    says("A large one is forbidden, unless alice approves it. The policy's annotation says so.");
    let (status, required) = denied(Reason::TransactionAuthorizationRequired);
    let both = ["large-refunds", "own-orders"];
    let challenge = orders.refund(&agent, 7, "80.00", (status, required, &both)).await?;

    says(
        "The login service asks her, in words that the API has signed. She says yes, and it passes.",
    );
    let approved = approved(&agent, &challenge)?;
    orders.refund(&approved, 7, "80.00", (200, None, &both)).await?;

    says("A very large one is not permitted at all, so no one is asked about it.");
    orders.refund(&agent, 7, "800.00", (no, reason, &[])).await?;

    says("Nor is the order of someone else.");
    orders.refund(&agent, 8, "12.50", (no, reason, &[])).await?;

    says("An amount that is not one is refused before any policy is asked.");
    orders.refund(&agent, 7, "a lot", (no, reason, &[])).await?;

    says("It is half past eleven at night. Agents make no refunds now.");
    clock.store(NIGHT, Ordering::Relaxed);
    let agent = token(NIGHT).actor("support-agent");
    orders.refund(&agent, 7, "12.50", (no, reason, &["agents-at-night"])).await?;

    says("Alice herself does. She is also free of the rule about large ones.");
    orders.refund(&token(NIGHT), 7, "80.00", (200, None, &["own-orders"])).await?;

    says("The operator changes the file, and makes a mistake. The old policies stay in force.");
    let broken = POLICIES.replace("context.amount.greaterThan", "context.amuont.greaterThan");
    match file.write(&broken, &reloads)? {
        Ok(()) => return Err("policies with a mistake were accepted".into()),
        Err(error) => println!("    refused    {error}"),
    }
    orders.refund(&agent, 7, "12.50", (no, reason, &["agents-at-night"])).await?;

    says("The next version is right: agents may work at night, and a refund is large above 10.");
    let night = POLICIES.find("// Nothing lifts").ok_or("no such policy")?;
    let (policies, _) = POLICIES.split_at(night);
    file.write(&policies.replace("20.00", "10.00"), &reloads)??;
    orders.refund(&agent, 7, "9.50", (200, None, &["own-orders"])).await?;
    orders.refund(&agent, 7, "12.50", (status, required, &both)).await?;

    println!("\nAll answers are as expected.");
    Ok(())
}

fn says(what: &str) {
    println!("\n{what}");
}

fn moment(at: i64) -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(at).unwrap_or(UtcDateTime::UNIX_EPOCH)
}

/// The keys of approvals, which are new in each run. Yours are where your secrets are.
fn approvals() -> Fallible<Approvals> {
    let mut secret = [0; 32];
    openssl::rand::rand_bytes(&mut secret)?;
    Ok(Approvals::new(SigningKey::generate(Algorithm::Es256, "1"), secret, LOGIN))
}

/// The token that the login service issues for a transaction, once alice has approved what the challenge asks for.
/// A real one verifies the challenge first; the example `approval` has such a server.
fn approved(token: &TestToken, challenge: &str) -> Fallible<TestToken> {
    let (_, challenge) = challenge.split_once("transaction_challenge=\"").ok_or("no challenge")?;
    let claims = URL_SAFE_NO_PAD.decode(challenge.split('.').nth(1).ok_or("not a JWT")?)?;
    let claims: Value = serde_json::from_slice(&claims)?;
    println!("    alice reads {}", claims["reason"]);
    let token = token.clone().claim("authorization_details", &claims["authorization_details"]);
    Ok(token.claim("txn", &claims["txn"]))
}

/// A copy of the policies that the story may change. It is removed at the end.
struct PolicyFile {
    path: PathBuf,
}

impl PolicyFile {
    fn new() -> Fallible<Self> {
        let name = format!("unconfused-orders-{}.cedar", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, POLICIES)?;
        Ok(PolicyFile { path })
    }

    /// Replaces the file by a whole new one, and waits until it has been read.
    fn write(
        &self,
        policies: &str,
        reloads: &mpsc::Receiver<Result<(), ConfigError>>,
    ) -> Fallible<Result<(), ConfigError>> {
        let new: &Path = &self.path.with_extension("new");
        fs::write(new, policies)?;
        fs::rename(new, &self.path)?;
        let limit = std::time::Duration::from_secs(10);
        Ok(tokio::task::block_in_place(|| reloads.recv_timeout(limit))?)
    }
}

impl Drop for PolicyFile {
    fn drop(&mut self) {
        // What is left in the directory for temporary files harms nothing.
        let _ = fs::remove_file(&self.path);
    }
}

/// The API, as the agent sees it.
struct Orders {
    http: reqwest::Client,
    url: String,
    record: mpsc::Receiver<Line>,
}

impl Orders {
    /// Asks for a refund and prints the answer. Returns its challenge, or an empty text.
    async fn refund(
        &self,
        token: &TestToken,
        order: u64,
        amount: &str,
        expected: Expected<'_>,
    ) -> Fallible<String> {
        let path = format!("/orders/{order}/refund");
        let body = json!({ "amount": amount }).to_string();
        println!("    POST {path} {body}");
        let request = self.http.post(format!("{}{path}", self.url));
        let request = request.header("accept-txn-challenge", "?1").bearer_auth(token.sign());
        let answer = request.header(CONTENT_TYPE, "application/json").body(body).send().await?;
        let status = answer.status();
        let challenge = match answer.headers().get(WWW_AUTHENTICATE) {
            Some(challenge) => challenge.to_str()?.to_owned(),
            None => String::new(),
        };
        println!("    -> {status} {}", answer.text().await?);
        if !challenge.is_empty() {
            println!("    challenge  {challenge:.80}..");
        }
        // The layer has one for itself, and the handler another.
        let line = self.record.try_iter().last().ok_or("nothing is on record")?;
        println!("    record     {}", line.text);
        let got = (status.as_u16(), line.reason, &line.policies[..]);
        if (got.0, got.1) != (expected.0, expected.1) || got.2 != expected.2 {
            return Err(format!("expected {expected:?}, got {got:?}").into());
        }
        Ok(challenge)
    }
}

/// What the reader of the record keeps of an event. The `Display` of the event is the whole line.
struct Line {
    text: String,
    reason: Option<Reason>,
    policies: Vec<String>,
}

impl From<&AuditEvent<'_>> for Line {
    fn from(event: &AuditEvent<'_>) -> Self {
        let mut text = match event.reason() {
            None => "allowed".to_owned(),
            Some(reason) => format!("denied reason={reason}"),
        };
        let policies: Vec<String> = event.policies().map(|id| id.to_string()).collect();
        let subject = event.subject();
        for (name, value) in [
            ("subject", subject.as_ref().map(|subject| subject.name())),
            ("actor", event.actor().map(|actor| actor.name())),
        ] {
            // Names from a token are escaped when they are shown, so they cannot forge a line.
            if let Some(value) = value {
                text += &format!(" {name}=\"{}\"", Printable::from(value));
            }
        }
        if !policies.is_empty() {
            text += &format!(" policies={}", policies.join(","));
        }
        Line { text, reason: event.reason(), policies }
    }
}
