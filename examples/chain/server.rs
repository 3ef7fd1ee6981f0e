//! A small authorization server that exchanges tokens (RFC 8693). It stands in for yours.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use time::UtcDateTime;
use tokio::net::TcpListener;
use unconfused::Audience;
use unconfused::testing::TestIssuer;
use unconfused::token::{UnverifiedToken, Validation};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A running server. Clones are the same.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) issuer: String,
    pub(crate) login: TestIssuer,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Default)]
struct Memory {
    /// What each client may exchange.
    rules: Vec<Rule>,
    /// The tokens that were issued, as they were said to be.
    issued: Vec<Value>,
}

/// A client may exchange tokens of its own resource that have one scope for tokens of another resource.
pub(crate) struct Rule {
    pub(crate) client: &'static str,
    pub(crate) own: String,
    pub(crate) needs: &'static str,
    pub(crate) resource: String,
    pub(crate) scope: &'static str,
}

impl Server {
    pub(crate) async fn start() -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let issuer = format!("http://{}", listener.local_addr()?);
        let login = TestIssuer::new(&issuer);
        let server = Server { issuer: issuer.clone(), login, memory: Arc::default() };
        let metadata = json!({
            "issuer": issuer,
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
        });
        let app = Router::new()
            .route(
                "/.well-known/oauth-authorization-server",
                get(async move || Json(metadata.clone())),
            )
            .route("/jwks", get(async |State(server): State<Server>| server.login.jwks()))
            .route("/token", post(exchange))
            .with_state(server.clone());
        tokio::spawn(axum::serve(listener, app).into_future());
        Ok(server)
    }

    pub(crate) fn allow(&self, rule: Rule) {
        self.memory().rules.push(rule);
    }

    /// The claims of the tokens that were issued since the last call.
    pub(crate) fn issued(&self) -> Vec<Value> {
        std::mem::take(&mut self.memory().issued)
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn exchange(
    State(server): State<Server>,
    headers: HeaderMap,
    Form(fields): Form<HashMap<String, String>>,
) -> Response {
    match issue(&server, &headers, &fields) {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response(),
    }
}

fn issue(
    server: &Server,
    headers: &HeaderMap,
    fields: &HashMap<String, String>,
) -> Result<Value, &'static str> {
    let field = |name: &str| fields.get(name).map(String::as_str).ok_or("invalid_request");
    if field("requested_token_type")? != ACCESS_TOKEN
        || field("subject_token_type")? != ACCESS_TOKEN
    {
        return Err("invalid_request");
    }
    let client = client(headers).ok_or("invalid_client")?;
    let memory = server.memory();
    let of_client = || memory.rules.iter().filter(|rule| rule.client == client);
    let own = &of_client().next().ok_or("unauthorized_client")?.own;

    // The token is one of this server, and was issued for the very client that exchanges it.
    let audience = Audience::new(own.as_str()).map_err(|_| "server_error")?;
    let raw = field("subject_token")?;
    let now = UtcDateTime::now();
    let validation = Validation::new(&audience, &server.issuer);
    let subject = UnverifiedToken::parse(raw)
        .and_then(|token| token.validate(&validation, &server.login.keys(), now))
        .map_err(|_| "invalid_grant")?;

    let resource = field("resource")?;
    let scope = field("scope")?;
    let mut to_resource = of_client().filter(|rule| rule.resource == resource).peekable();
    to_resource.peek().ok_or("invalid_target")?;
    let has = |needed: &str| subject.scopes().any(|scope| scope == needed);
    to_resource.find(|rule| rule.scope == scope && has(rule.needs)).ok_or("invalid_scope")?;

    // The client acts from now on; those before it are kept.
    let claims = claims_of(raw).ok_or("server_error")?;
    let mut act = json!({ "sub": client });
    if let Some(before) = claims.get("act") {
        act["act"] = before.clone();
    }
    // It ends with the token that it was made from.
    let left = claims["exp"].as_i64().unwrap_or_default().saturating_sub(now.unix_timestamp());
    let left = u64::try_from(left).map_err(|_| "invalid_grant")?;
    let audience = Audience::new(resource).map_err(|_| "invalid_target")?;
    let mut token = server.login.token(&audience).subject(subject.subject().name()).client(&client);
    for name in ["acr", "auth_time"] {
        if let Some(value) = claims.get(name) {
            token = token.claim(name, value);
        }
    }
    let token = token.scope(scope).claim("act", act).lifetime(Duration::from_secs(left)).sign();
    let issued = claims_of(&token).ok_or("server_error")?;
    drop(to_resource);
    drop(memory);
    server.memory().issued.push(issued);
    Ok(json!({
        "access_token": token,
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": left,
        "scope": scope,
    }))
}

/// The client that authenticates by Basic. Its secret is its id and "-secret".
fn client(headers: &HeaderMap) -> Option<String> {
    let field = headers.get("authorization")?.to_str().ok()?;
    let pair = STANDARD.decode(field.strip_prefix("Basic ")?).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    let (id, secret) = pair.split_once(':')?;
    (secret == format!("{id}-secret")).then(|| id.to_owned())
}

/// The claims of a JWT, which is not verified here.
pub(crate) fn claims_of(jwt: &str) -> Option<Value> {
    let part = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&part).ok()
}
