//! An authorization server that answers as a test says, and the resource that asks it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, Request, Response, StatusCode};
use serde_json::{Value, json};
use unconfused::client::{HttpAnswer, HttpError, HttpLimits};
use unconfused::next_hop::{ClientAuth, NextHop, OutboundToken, TokenServer};
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::{Answer, Audience, AuditEvent, Denial, Grant, Guard, Scope};

pub(crate) const ISSUER: &str = "https://login.example";
pub(crate) const ORDERS: Audience = Audience::from_static("https://orders.example");
pub(crate) const PAYMENTS: Audience = Audience::from_static("https://payments.example");
pub(crate) const READ: Scope = Scope::from_static("orders:read");
pub(crate) const REFUND: Scope = Scope::from_static("orders:refund");
pub(crate) const CHARGE: Scope = Scope::from_static("payments:charge");
pub(crate) const LIST: Scope = Scope::from_static("payments:list");
pub(crate) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A request to a token endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) form: BTreeMap<String, String>,
    pub(crate) headers: HeaderMap,
}

type Respond = dyn Fn(&Asked) -> HttpAnswer + Send + Sync;

/// The authorization server. Clones are the same.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) login: TestIssuer,
    name: String,
    state: Arc<Mutex<State>>,
}

struct State {
    respond: Arc<Respond>,
    asked: Vec<Asked>,
    metadata_reads: usize,
    down: bool,
}

pub(crate) fn answer(status: u16, body: impl Into<Vec<u8>>) -> HttpAnswer {
    Answer::Now(Ok(with_status(status, body)))
}

pub(crate) fn with_status(status: u16, body: impl Into<Vec<u8>>) -> Response<Vec<u8>> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}

impl Server {
    pub(crate) fn new() -> Self {
        Server::named(ISSUER)
    }

    /// It issues opaque tokens for five minutes.
    pub(crate) fn named(name: &str) -> Self {
        let respond: Arc<Respond> = Arc::new(|_| answer(200, ok("opaque").to_string()));
        let state = State { respond, asked: Vec::new(), metadata_reads: 0, down: false };
        let (login, name) = (TestIssuer::new(name), name.to_owned());
        Server { login, name, state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn respond(&self, respond: impl Fn(&Asked) -> HttpAnswer + Send + Sync + 'static) {
        self.state.lock().unwrap().respond = Arc::new(respond);
    }

    pub(crate) fn respond_json(&self, status: u16, body: &Value) {
        let body = body.to_string();
        self.respond(move |_| answer(status, body.clone()));
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.state.lock().unwrap().down = down;
    }

    /// The requests to the token endpoint so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    pub(crate) fn metadata_reads(&self) -> usize {
        self.state.lock().unwrap().metadata_reads
    }

    pub(crate) fn client(&self) -> impl unconfused::client::HttpClient + use<> {
        let (server, state) = (self.name.clone(), self.state.clone());
        move |request: Request<Vec<u8>>, _: HttpLimits| -> HttpAnswer {
            let mut state = state.lock().unwrap();
            if state.down {
                return Answer::Now(Err(HttpError::Failed("refused".into())));
            }
            let url = request.uri().to_string();
            if url == format!("{server}/.well-known/oauth-authorization-server") {
                state.metadata_reads += 1;
                let endpoint = format!("{server}/token");
                let metadata = json!({ "issuer": server, "token_endpoint": endpoint });
                return answer(200, metadata.to_string());
            }
            assert_eq!(url, format!("{server}/token"));
            assert_eq!(request.method(), "POST");
            assert_eq!(request.headers()["content-type"], "application/x-www-form-urlencoded");
            let body = String::from_utf8(request.body().clone()).unwrap();
            let pairs = body.split('&').map(|pair| pair.split_once('=').unwrap());
            let pairs: Vec<_> =
                pairs.map(|(name, value)| (decoded(name), decoded(value))).collect();
            let form: BTreeMap<_, _> = pairs.iter().cloned().collect();
            assert_eq!(form.len(), pairs.len(), "a field is there twice");
            let asked = Asked { form, headers: request.headers().clone() };
            state.asked.push(asked.clone());
            let respond = state.respond.clone();
            drop(state);
            respond(&asked)
        }
    }

    pub(crate) fn token_server(&self) -> TokenServer {
        let auth = ClientAuth::secret_basic("orders", "s3cret");
        NextHop::discover(&self.name, auth, self.client()).unwrap()
    }

    /// The hop to `PAYMENTS`, for `CHARGE`, which needs `REFUND`.
    pub(crate) fn hop(&self) -> NextHop {
        self.token_server().to(PAYMENTS.as_str(), [CHARGE]).unwrap().needs(REFUND)
    }

    /// A token of this server for `ORDERS` with the scope `REFUND`.
    pub(crate) fn token(&self) -> TestToken {
        self.login.token(&ORDERS).subject("alice").scope("orders:refund")
    }

    pub(crate) fn grant(&self, guard: &Guard) -> Grant {
        self.token().granted_by(guard, REFUND)
    }
}

/// The answer that issues this token.
pub(crate) fn ok(token: &str) -> Value {
    json!({
        "access_token": token,
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": 300,
    })
}

/// The resource `ORDERS`, its guard, and what that has on record.
pub(crate) struct Orders {
    pub(crate) server: Server,
    pub(crate) guard: Guard,
    pub(crate) events: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Orders {
    pub(crate) fn new() -> Self {
        let server = Server::new();
        let events: Arc<Mutex<Vec<_>>> = Arc::default();
        let sink = events.clone();
        let audit = move |event: &AuditEvent<'_>| {
            let json = serde_json::from_str(&event.to_json()).unwrap();
            sink.lock().unwrap().push((event.to_string(), json));
        };
        let guard = Guard::new(ORDERS, server.login.issuer()).audit(audit);
        Orders { server, guard, events }
    }

    pub(crate) fn grant(&self) -> Grant {
        self.server.grant(&self.guard)
    }

    pub(crate) async fn token(&self, hop: &NextHop) -> Result<OutboundToken, Denial> {
        hop.token(&self.guard, &self.grant()).await
    }
}

/// What a token is, as its resource sees it.
pub(crate) fn attached(token: &OutboundToken) -> HeaderMap {
    let mut request = Request::post("https://payments.example/charges").body(()).unwrap();
    token.attach(&mut request).unwrap();
    request.headers().clone()
}
