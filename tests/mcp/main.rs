//! The layer in front of an MCP server: what reaches the server, and what clients are told.

mod answers;
mod approvals;
mod attacked;
mod differential;
mod guide;
mod hostile;
mod list;
mod order;
mod own_denial;
mod same_bytes;
mod sessions;
mod streams;
mod table;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame};
use serde_json::{Value, json};
use time::UtcDateTime;
use tower::{Layer, ServiceExt};
use unconfused::mcp::{MessageBody, Tools};
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::{Audience, AuditEvent, Guard, Require, Scope};

const LOGIN: &str = "https://login.example";
const NOTES: Audience = Audience::from_static("https://notes.example/mcp");
const READ: Scope = Scope::from_static("notes:read");
const WRITE: Scope = Scope::from_static("notes:write");
/// The moment of every test, in seconds since 1970.
const NOW: i64 = 1_800_000_000;

fn now() -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(NOW).unwrap()
}

fn login() -> &'static TestIssuer {
    static LOGIN_ISSUER: OnceLock<TestIssuer> = OnceLock::new();
    LOGIN_ISSUER.get_or_init(|| TestIssuer::new(LOGIN))
}

/// A token for 5 minutes that may read.
fn token() -> TestToken {
    login().token(&NOTES).issued_at(now()).scope("notes:read")
}

fn guard() -> Guard {
    Guard::new(NOTES, login().issuer()).clock(now)
}

fn tools() -> Tools {
    Tools::new(READ)
        .tool("search", READ)
        .tool("delete", WRITE)
        .tool("löschen", WRITE)
        .method("tools/list", READ)
        .method("resources/read", READ)
        .method("prompts/get", WRITE)
}

type TestBody = Full<Bytes>;
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Answer = dyn Fn(&Parts, &Bytes) -> Response<TestBody> + Send + Sync;

/// An MCP server that remembers what reached it.
#[derive(Clone)]
struct Server {
    seen: Arc<Mutex<Vec<(Parts, Bytes)>>>,
    answer: Arc<Answer>,
}

impl Server {
    fn new() -> Self {
        Server::answering(|_, _| json_response(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#))
    }

    fn answering(
        answer: impl Fn(&Parts, &Bytes) -> Response<TestBody> + Send + Sync + 'static,
    ) -> Self {
        Server { seen: Arc::default(), answer: Arc::new(answer) }
    }

    fn seen(&self) -> Vec<(Parts, Bytes)> {
        self.seen.lock().unwrap().clone()
    }
}

impl tower::Service<Request<MessageBody>> for Server {
    type Response = Response<TestBody>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Response<TestBody>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<MessageBody>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let response = (server.answer)(&parts, &body);
            server.seen.lock().unwrap().push((parts, body));
            Ok(response)
        })
    }
}

fn json_response(body: &str) -> Response<TestBody> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    Response::builder().header("content-type", "application/json").body(body.into()).unwrap()
}

/// What a client received.
#[derive(Debug)]
struct Received {
    head: http::response::Parts,
    body: Bytes,
}

impl Received {
    fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn code(&self) -> i64 {
        self.json()["error"]["code"].as_i64().unwrap()
    }

    fn challenge(&self) -> Option<&str> {
        Some(self.head.headers.get("www-authenticate")?.to_str().unwrap())
    }
}

async fn send<B>(guard: &Guard, tools: Tools, server: &Server, request: Request<B>) -> Received
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let service = guard.mcp(tools).layer(server.clone());
    let response = service.oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Received { head, body }
}

/// A POST of this body, with the token.
fn post(token: &TestToken, body: impl Into<Bytes>) -> Request<TestBody> {
    let request =
        Request::post("https://notes.example/mcp").header("content-type", "application/json");
    request.header("authorization", token.bearer()).body(Full::new(body.into())).unwrap()
}

fn call(tool: &str) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}}})
        .to_string()
}

fn with_header(
    mut request: Request<TestBody>,
    name: &'static str,
    value: &str,
) -> Request<TestBody> {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

/// The record, line by line.
#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<String>>>);

impl Record {
    fn of(guard: Guard) -> (Guard, Self) {
        let record = Record::default();
        let lines = record.0.clone();
        let guard =
            guard.audit(move |event: &AuditEvent<'_>| lines.lock().unwrap().push(event.to_json()));
        (guard, record)
    }

    fn lines(&self) -> Vec<Value> {
        let lines = self.0.lock().unwrap();
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Has a first frame, perhaps, and then fails when it is polled, or waits for ever.
struct Endless {
    first: Option<Bytes>,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
            None => Poll::Pending,
        }
    }
}

/// Must not be read.
struct Untouched {
    length: u64,
}

impl Body for Untouched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        panic!("the body was read")
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(self.length)
    }
}

fn fresh() -> Require {
    Require::scope(WRITE).max_age(std::time::Duration::from_secs(300))
}
