//! What gRPC clients in other languages see of each class of refusal. `tests/grpc_clients/run` installs the clients and
//! runs this.

#[path = "../../examples/orders_tonic/orders_v1.rs"]
#[expect(dead_code, reason = "the clients are others")]
mod orders_v1;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::IntervalStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Streaming};
use unconfused::keys::KeysUnavailable;
use unconfused::layer::Rules;
use unconfused::testing::TestIssuer;
use unconfused::token::{KeyHint, TokenLimits};
use unconfused::{Acr, Answer, Audience, Grant, Guard, Issuer, Require, Scope};

use orders_v1::*;

const ORDERS: Audience = Audience::from_static("https://orders.example");
const READ: Scope = Scope::from_static("orders:read");
const REFUNDS: Scope = Scope::from_static("orders:refund");

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

struct Shop;

impl Orders for Shop {
    async fn list(&self, request: Request<ListRequest>) -> Reply<ListReply> {
        Grant::of(request.extensions())?;
        Ok(Response::new(ListReply { orders: vec!["7".to_owned()] }))
    }

    async fn refund(&self, request: Request<RefundRequest>) -> Reply<RefundReply> {
        Grant::of(request.extensions())?;
        Ok(Response::new(RefundReply { text: "refunded".to_owned() }))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Reply<Answers<Event>> {
        Grant::of(request.extensions())?;
        let ticks = IntervalStream::new(tokio::time::interval(Duration::from_millis(500)));
        Ok(Response::new(Box::pin(ticks.map(|_| Ok(Event { text: "an order".to_owned() })))))
    }

    async fn place(&self, request: Request<Streaming<NewOrder>>) -> Reply<Answers<Placed>> {
        Grant::of(request.extensions())?;
        Ok(Response::new(Box::pin(tokio_stream::empty())))
    }
}

/// Starts the server, and returns its address. `Place` has no rule.
async fn server(login: &TestIssuer, down: &TestIssuer) -> String {
    let unreachable = Issuer::new(down.issuer().name(), |_: KeyHint<'_>| {
        Answer::Now(Err(KeysUnavailable::new("it is down").retry_after(secs(7))))
    });
    let limits = TokenLimits::default().leeway(Duration::ZERO);
    let guard = Guard::new(ORDERS, login.issuer()).trust(unreachable).limits(limits);
    let refund = Require::scope(REFUNDS).acr([Acr::from_static("phr")]).max_age(secs(300));
    let rules = Rules::new().on(LIST, READ).on(REFUND, refund).on(WATCH, READ);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = Server::builder()
        .http2_max_header_list_size(64 * 1024)
        .layer(guard.rules(rules).until_expiry())
        .add_service(OrdersServer::new(Shop))
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(server);
    address
}

/// A call, and what a client should see of it.
struct Case {
    what: &'static str,
    method: &'static str,
    authorization: Vec<String>,
    code: i64,
    /// What `google.rpc.ErrorInfo` names. Empty if the call is granted.
    reason: &'static str,
    /// Everything that the metadata `www-authenticate` holds besides. Without any, there is no such entry.
    challenge: &'static [&'static str],
    retry_after: Option<&'static str>,
    messages: std::ops::RangeInclusive<usize>,
}

#[rustfmt::skip]
fn cases(login: &TestIssuer, down: &TestIssuer) -> Vec<Case> {
    let token = |scope: &str| login.token(&ORDERS).scope(scope);
    let reads = token("orders:read").bearer();
    let elsewhere = login.token(&Audience::from_static("https://gateway.example")).scope("orders:read");
    let password = token("orders:refund").acr("pwd").authenticated(secs(3600));
    let case = |what, method, authorization: &[&str], code, reason, challenge| Case {
        what, method, authorization: authorization.iter().map(ToString::to_string).collect(), code, reason, challenge,
        retry_after: None, messages: 0..=0,
    };
    vec![
        Case { messages: 1..=1, ..case("granted", LIST, &[&reads], 0, "", &[]) },
        case("no token", LIST, &[], 16, "MISSING_CREDENTIALS", &[r#"Bearer scope="orders:read""#, "resource_metadata="]),
        case("wrong audience", LIST, &[&elsewhere.bearer()], 16, "AUDIENCE_MISMATCH", &[r#"error="invalid_token""#]),
        case("expired", LIST, &[&token("orders:read").expired().bearer()], 16, "TOKEN_EXPIRED", &[r#"error="invalid_token""#]),
        case("missing scope", LIST, &[&token("orders:refund").bearer()], 7, "INSUFFICIENT_SCOPE",
            &[r#"error="insufficient_scope""#, r#"scope="orders:read""#]),
        case("step-up", REFUND, &[&password.bearer()], 16, "AUTHENTICATION_LEVEL_INSUFFICIENT",
            &[r#"error="insufficient_user_authentication""#, r#"acr_values="phr""#, r#"max_age="300""#]),
        case("no rule", PLACE, &[&reads], 7, "OPERATION_UNKNOWN", &[]),
        case("malformed", LIST, &["Bearer a b"], 3, "MALFORMED_AUTHORIZATION", &[r#"error="invalid_request""#]),
        case("two credentials", LIST, &[&reads, &reads], 3, "MULTIPLE_CREDENTIALS", &[r#"error="invalid_request""#]),
        case("too large", LIST, &[&format!("Bearer {}", "a".repeat(20_000))], 8, "CREDENTIAL_TOO_LARGE", &[]),
        Case { retry_after: Some("7"), ..case("keys unavailable", LIST,
            &[&down.token(&ORDERS).scope("orders:read").bearer()], 14, "KEYS_UNAVAILABLE", &[]) },
    ]
}

/// Made when it is needed, since its token is brief.
fn ending_stream(login: &TestIssuer) -> Case {
    let token = login.token(&ORDERS).scope("orders:read").lifetime(secs(4));
    Case {
        what: "a stream whose token expires",
        method: WATCH,
        authorization: vec![token.bearer()],
        code: 16,
        reason: "TOKEN_EXPIRED",
        challenge: &[r#"error="invalid_token""#],
        retry_after: None,
        messages: 3..=9,
    }
}

/// What a client saw.
#[derive(Debug)]
struct Seen {
    code: i64,
    text: String,
    messages: usize,
    metadata: Vec<(String, String)>,
    /// The fields of `google.rpc.ErrorInfo`.
    details: Value,
}

impl Seen {
    fn all(&self, name: &str) -> Vec<&str> {
        let named = self.metadata.iter().filter(|(entry, _)| entry == name);
        named.map(|(_, value)| &**value).collect()
    }

    fn print(&self, case: &Case) {
        println!("{}: {} {:?}, {} messages", case.what, self.code, self.text, self.messages);
        for (name, value) in
            self.metadata.iter().filter(|(name, _)| !["content-type", "date"].contains(&&**name))
        {
            println!("    {name}: {value}");
        }
        if !self.details.is_null() {
            println!("    {}", self.details);
        }
    }

    fn assert_is(&self, case: &Case) {
        let what = format!("{}: {self:?}", case.what);
        assert_eq!(self.code, case.code, "{what}");
        assert!(case.messages.contains(&self.messages), "{what}");
        assert_eq!(self.all("retry-after"), Vec::from_iter(case.retry_after), "{what}");
        let challenges = self.all("www-authenticate");
        assert_eq!(challenges.len(), usize::from(!case.challenge.is_empty()), "{what}");
        for part in case.challenge {
            assert!(challenges[0].contains(part), "{part} in {what}");
        }
        if case.code == 0 {
            return;
        }
        assert!(!self.text.is_empty(), "{what}");
        assert_eq!(self.details["reason"], case.reason, "{what}");
        assert_eq!(self.details["domain"], "unconfused", "{what}");
        assert_eq!(
            self.all("decision-id"),
            [self.details["metadata"]["decision"].as_str().unwrap()],
            "{what}"
        );
    }
}

/// Runs a client with this input, and returns what it printed on both outputs.
fn run(command: &mut Command, input: &str) -> (String, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}. Run tests/grpc_clients/run"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn directory(below: &str) -> String {
    format!("{}/{below}", env!("CARGO_MANIFEST_DIR"))
}

fn by_grpcio(address: &str, case: &Case) -> Seen {
    let message = if case.method == REFUND { "0807" } else { "" };
    let call = json!({
        "address": address, "method": case.method, "message": message, "authorization": case.authorization,
    });
    let mut python = Command::new("python3");
    let (seen, errors) =
        run(python.arg(directory("tests/grpc_clients/client.py")), &format!("{call}\n"));
    let seen: Value = serde_json::from_str(&seen).unwrap_or_else(|_| panic!("{seen}{errors}"));
    let metadata = serde_json::from_value(seen["metadata"].clone()).unwrap();
    Seen {
        code: seen["code"].as_i64().unwrap(),
        text: seen["text"].as_str().unwrap().to_owned(),
        messages: seen["messages"].as_u64().unwrap() as usize,
        metadata,
        details: seen["details"].clone(),
    }
}

fn by_grpcurl(address: &str, protos: &str, case: &Case) -> Seen {
    let mut grpcurl = Command::new("grpcurl");
    grpcurl.args(["-v", "-plaintext", "-format-error", "-max-time", "30"]);
    grpcurl.args(["-import-path", &directory("examples/orders_tonic"), "-proto", "orders.proto"]);
    // With these it can print the details.
    grpcurl.args(["-import-path", protos, "-proto", "google/rpc/error_details.proto"]);
    for value in &case.authorization {
        grpcurl.args(["-H", &format!("authorization: {value}")]);
    }
    let message = if case.method == REFUND { r#"{"order": 7}"# } else { "{}" };
    grpcurl.args(["-d", message, address, case.method.trim_start_matches('/')]);
    let (out, errors) = run(&mut grpcurl, "");
    let trailers = out
        .split("Response trailers received:\n")
        .nth(1)
        .unwrap_or_else(|| panic!("{out}{errors}"));
    let entries = trailers.lines().map_while(|line| line.split_once(": "));
    let metadata = entries.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let error = errors.find('{').map_or(Value::Null, |at| {
        serde_json::from_str(&errors[at..]).unwrap_or_else(|_| panic!("{errors}"))
    });
    Seen {
        code: error["code"].as_i64().unwrap_or(0),
        text: error["message"].as_str().unwrap_or_default().to_owned(),
        messages: out.matches("Response contents:").count(),
        metadata,
        details: error["details"][0].clone(),
    }
}

/// Makes the call of each case with a client.
async fn seen_by(client: impl Fn(&str, &Case) -> Seen + Send + Sync + 'static) {
    let login = TestIssuer::new("https://login.example");
    let down = TestIssuer::new("https://down.example");
    let address = server(&login, &down).await;
    let all = tokio::task::spawn_blocking(move || {
        let see = |case: Case| {
            let seen = client(&address, &case);
            seen.print(&case);
            (case, seen)
        };
        let mut all: Vec<_> = cases(&login, &down).into_iter().map(see).collect();
        all.push(see(ending_stream(&login)));
        all
    });
    for (case, seen) in all.await.unwrap() {
        seen.assert_is(&case);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcio_sees_code_metadata_and_details_of_every_class_of_refusal() {
    seen_by(by_grpcio).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl_sees_code_metadata_and_details_of_every_class_of_refusal() {
    let find = "import google.rpc, os; print(os.path.dirname(os.path.dirname(list(google.rpc.__path__)[0])))";
    let (protos, errors) = run(Command::new("python3").args(["-c", find]), "");
    assert!(errors.is_empty(), "{errors}");
    let protos = protos.trim().to_owned();
    seen_by(move |address, case| by_grpcurl(address, &protos, case)).await;
}
