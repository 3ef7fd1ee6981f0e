//! A small authorization server that gets transactions approved, as draft-rosomakho-oauth-txn-challenge has it.
//!
//! It offers the part of tests/interop/server that the story needs, which is described there.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::Url;
use serde_json::{Value, json};
use time::UtcDateTime;
use tokio::net::TcpListener;
use unconfused::Audience;
use unconfused::keys::{Algorithm, KeySet};
use unconfused::testing::TestIssuer;

const LIFETIME: u32 = 300;

struct Server {
    issuer: String,
    login: TestIssuer,
    http: reqwest::Client,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// Where a resource is, by its name.
    resources: HashMap<String, Url>,
    /// By `transaction_authorization_id`.
    transactions: HashMap<String, Transaction>,
}

/// A transaction that a client asks for.
#[derive(Clone)]
struct Transaction {
    client: String,
    scope: Option<String>,
    challenge: Value,
    /// Who approved it.
    user: Option<String>,
}

/// An error of OAuth: its name, and what happened.
#[derive(Debug)]
pub(crate) struct Refused(&'static str, &'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0, self.1)
    }
}

impl Error for Refused {}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.0, "error_description": self.1 });
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    }
}

type Answer = Result<Json<Value>, Refused>;
type Fields = HashMap<String, String>;

fn invalid(problem: &'static str) -> Refused {
    Refused("invalid_request", problem)
}

/// Starts the server on a free port. Returns its name, which is where it is.
pub(crate) async fn start() -> Result<String, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let issuer = format!("http://{}", listener.local_addr()?);
    let login = TestIssuer::new(&issuer);
    let mut metadata: Value = serde_json::from_str(&login.metadata())?;
    metadata["transaction_authorization_endpoint"] = format!("{issuer}/transaction").into();
    let metadata = get(async move || Json(metadata.clone()));
    let http = reqwest::Client::builder().no_proxy().build()?;
    let server = Server { issuer: issuer.clone(), login, http, memory: Mutex::default() };
    let app = Router::new()
        .route("/.well-known/oauth-authorization-server", metadata.clone())
        .route("/.well-known/openid-configuration", metadata)
        .route("/jwks", get(async |State(server): State<Arc<Server>>| server.login.jwks()))
        .route("/token", post(exchange))
        .route("/transaction", post(transaction))
        .route("/transaction/{id}", get(show).post(decide))
        .route("/admin/mint", post(mint))
        .route("/admin/resources", post(add_resource))
        .with_state(Arc::new(server));
    tokio::spawn(axum::serve(listener, app).into_future());
    Ok(issuer)
}

/// `POST /transaction`: a client hands in a challenge, or asks what has become of it.
async fn transaction(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    Form(fields): Form<Fields>,
) -> Answer {
    let client = client(&headers)?;
    if let Some(challenge) = fields.get("transaction_challenge") {
        let challenge = server.verified(challenge).await?;
        let id = text(&challenge, "jti")?.to_owned();
        let answer = json!({
            "transaction_authorization_id": id,
            "authorization_uri": format!("{}/transaction/{id}", server.issuer),
            "expires_in": 3600,
            "interval": 1,
        });
        let scope = fields.get("scope").cloned();
        let transaction = Transaction { client, scope, challenge, user: None };
        let earlier = server.remember(|memory| memory.transactions.insert(id, transaction));
        let problem = "the challenge was handed in before";
        return if earlier.is_some() { Err(invalid(problem)) } else { Ok(Json(answer)) };
    }
    let id = fields.get("transaction_authorization_id").ok_or(invalid("nothing is asked for"))?;
    let transaction = server.transaction(id).filter(|transaction| transaction.client == client);
    let transaction = transaction.ok_or(invalid("this client has no such transaction"))?;
    let waits = Refused("authorization_pending", "the user has not decided yet");
    let user = transaction.user.ok_or(waits)?;
    let Transaction { challenge, scope, .. } = transaction;
    let token = server.mint(&json!({
        // All that the draft copies from the challenge.
        "aud": challenge["iss"],
        "txn": challenge["txn"],
        "authorization_details": challenge["authorization_details"],
        "act": challenge["act"],
        "sub": user,
        "client_id": client,
        "scope": scope,
    }));
    server.remember(|memory| memory.transactions.remove(id));
    Ok(Json(json!({ "access_token": token?, "token_type": "Bearer", "expires_in": LIFETIME })))
}

/// `GET /transaction/{id}`: what the user reads.
async fn show(State(server): State<Arc<Server>>, Path(id): Path<String>) -> Answer {
    let transaction = server.transaction(&id).ok_or(invalid("the transaction is unknown"))?;
    let challenge = &transaction.challenge;
    Ok(Json(json!({
        "resource": challenge["iss"],
        "reason": challenge["reason"],
        "authorization_details": challenge["authorization_details"],
        "client": transaction.client,
        "act": challenge["act"],
    })))
}

/// `POST /transaction/{id}`: the user says yes. Here no one says no.
async fn decide(
    State(server): State<Arc<Server>>,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Answer {
    let user = fields.get("user").cloned();
    let decided = server.remember(|memory| {
        memory.transactions.get_mut(&id).map(|transaction| transaction.user = user)
    });
    decided.map(|()| Json(json!({}))).ok_or(invalid("the transaction is unknown"))
}

/// `POST /token`: token exchange (RFC 8693). The client that asks acts for the subject of the token from now on.
async fn exchange(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    Form(fields): Form<Fields>,
) -> Answer {
    let client = client(&headers)?;
    let subject_token = fields.get("subject_token").map(String::as_str).unwrap_or_default();
    let claims = server.login.keys().verify_signature_only(subject_token, Algorithm::DEFAULT);
    let claims = claims.map_err(|_| invalid("subject_token is not a token of this server"))?;
    let mut claims: Value = serde_json::from_slice(&claims).unwrap_or_default();
    claims["act"] = json!({ "sub": client });
    claims["client_id"] = client.into();
    Ok(Json(json!({ "access_token": server.mint(&claims)?, "token_type": "Bearer" })))
}

/// `POST /admin/mint`, the back door: a token with these claims.
async fn mint(State(server): State<Arc<Server>>, Json(asked): Json<Value>) -> Answer {
    Ok(Json(json!({ "token": server.mint(&asked["claims"])? })))
}

/// `POST /admin/resources`, the back door: a resource that may ask for approvals.
async fn add_resource(State(server): State<Arc<Server>>, Json(asked): Json<Value>) -> Answer {
    let at = Url::parse(text(&asked, "at")?).map_err(|_| invalid("`at` is not a URL"))?;
    let resource = text(&asked, "resource")?.to_owned();
    server.remember(|memory| memory.resources.insert(resource, at));
    Ok(Json(json!({})))
}

impl Server {
    /// Verifies a challenge with the keys that the resource publishes, and returns its claims.
    async fn verified(&self, challenge: &str) -> Result<Value, Refused> {
        let resource = text(&part(challenge, 1)?, "iss")?.to_owned();
        let at = self.remember(|memory| memory.resources.get(&resource).cloned());
        let at = at.ok_or(invalid("the resource is not known here"))?;
        let metadata = self.fetch(&at, "/.well-known/oauth-protected-resource").await?;
        let metadata: Value = serde_json::from_str(&metadata).unwrap_or_default();
        if metadata["resource"] != *resource {
            return Err(invalid("the metadata is that of another resource"));
        }
        let keys = text(&metadata, "txn_challenge_jwks_uri")?.strip_prefix(&resource);
        let keys = self.fetch(&at, keys.ok_or(invalid("the keys are elsewhere"))?).await?;
        let keys = KeySet::from_json(&keys).map_err(|_| invalid("the keys are malformed"))?;
        let claims = keys.verify_signature_only(challenge, [Algorithm::Es256, Algorithm::Ed25519]);
        let claims = claims.map_err(|_| invalid("the challenge does not verify"))?;
        let claims: Value = serde_json::from_slice(&claims).unwrap_or_default();
        if part(challenge, 0)?["typ"] != "txn-authz-challenge+jwt"
            || claims["aud"] != *self.issuer
            || claims["exp"].as_i64() < Some(UtcDateTime::now().unix_timestamp())
        {
            return Err(invalid("the challenge is over, or is for another server"));
        }
        Ok(claims)
    }

    /// A document of a resource.
    async fn fetch(&self, at: &Url, path: &str) -> Result<String, Refused> {
        let failed = |_| invalid("the resource does not answer");
        let url = at.join(path).map_err(|_| invalid("the path is malformed"))?;
        self.http.get(url).send().await.map_err(failed)?.text().await.map_err(failed)
    }

    /// A token with these claims; `null` leaves one out.
    fn mint(&self, claims: &Value) -> Result<String, Refused> {
        let audience = text(claims, "aud")?;
        let audience = Audience::new(audience).map_err(|_| invalid("`aud` is not a resource"))?;
        let mut token = self.login.token(&audience);
        for (name, value) in claims.as_object().into_iter().flatten() {
            token = match value {
                Value::Null => token.without_claim(name),
                _ => token.claim(name, value),
            };
        }
        Ok(token.sign())
    }

    fn transaction(&self, id: &str) -> Option<Transaction> {
        self.remember(|memory| memory.transactions.get(id).cloned())
    }

    fn remember<T>(&self, work: impl FnOnce(&mut Memory) -> T) -> T {
        work(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The client that authenticates (Basic). Its secret is its id and "-secret".
fn client(headers: &HeaderMap) -> Result<String, Refused> {
    let credentials = || {
        let basic = headers.get("authorization")?.to_str().ok()?.strip_prefix("Basic ")?;
        let credentials = String::from_utf8(STANDARD.decode(basic).ok()?).ok()?;
        let (id, secret) = credentials.split_once(':')?;
        (secret.strip_suffix("-secret")? == id).then(|| id.to_owned())
    };
    credentials().ok_or(Refused("invalid_client", "the client does not authenticate"))
}

/// A part of a JWT, decoded. It is not verified.
pub(crate) fn part(jwt: &str, index: usize) -> Result<Value, Refused> {
    let decoded = jwt.split('.').nth(index).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let value = decoded.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    value.ok_or(invalid("the challenge is not a JWT"))
}

fn text<'v>(value: &'v Value, member: &str) -> Result<&'v str, Refused> {
    value[member].as_str().ok_or(invalid("a member is missing"))
}
