//! The authorization server: a process of Node's, its clients, and the back door to its keys. What it offers is
//! written in `server/server.mjs`.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use serde_json::{Value, json};

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/server/server.mjs");
/// The redirect URI of the client `web`. Nothing listens there.
const REDIRECT: &str = "http://127.0.0.1:9/callback";
/// The pair of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const FORM: &str = "application/x-www-form-urlencoded";

/// A client that follows no redirects by itself.
pub(crate) fn http() -> Client {
    Client::builder().no_proxy().redirect(Policy::none()).build().unwrap()
}

/// A running server. It ends with this.
pub(crate) struct Peer {
    child: Child,
    /// Kept, so that it may write.
    _output: BufReader<ChildStdout>,
    issuer: String,
    http: Client,
}

/// What a user's login brings.
pub(crate) struct Login {
    pub(crate) access_token: String,
    pub(crate) id_token: String,
}

impl Peer {
    /// On a free port, and ready.
    pub(crate) fn start() -> Self {
        Peer::start_on(0)
    }

    /// On this port. Its keys are new ones.
    pub(crate) fn start_on(port: u16) -> Self {
        let mut child = Command::new("node")
            .arg(SERVER)
            .arg(port.to_string())
            // Ends with this process, even if that is killed.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let issuer = line.trim_end().strip_prefix("listening ").expect("the server is ready");
        Peer { child, _output: output, issuer: issuer.to_owned(), http: http() }
    }

    /// Ends the server. The port it was on.
    pub(crate) fn stop(self) -> u16 {
        Url::parse(&self.issuer).unwrap().port().unwrap()
    }

    /// Its name, and where it is.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A document at this path.
    pub(crate) async fn document(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.issuer);
        json_of(self.http.get(url).send().await.unwrap()).await
    }

    /// What the token endpoint answers this client.
    async fn token(&self, client: &str, parameters: &[(&str, &str)]) -> Value {
        let form = Url::parse_with_params("form:", parameters).unwrap();
        let asked = self.http.post(format!("{}/token", self.issuer));
        let asked = asked.basic_auth(client, Some(format!("{client}-secret")));
        let asked = asked.header(CONTENT_TYPE, FORM).body(form.query().unwrap().to_owned());
        json_of(asked.send().await.unwrap()).await
    }

    /// A token of the client `service` for itself.
    pub(crate) async fn client_token(&self, resource: &str, scope: &str) -> String {
        let parameters =
            [("grant_type", "client_credentials"), ("resource", resource), ("scope", scope)];
        text_of(&self.token("service", &parameters).await, "access_token")
    }

    /// A user logs in at the client `web`: the code flow, as a browser goes through it.
    pub(crate) async fn login(&self, user: &str, resource: &str, scope: &str) -> Login {
        let parameters = [
            ("client_id", "web"),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("scope", &format!("openid {scope}")),
            ("resource", resource),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("login_hint", user),
        ];
        let mut url = Url::parse_with_params(&format!("{}/auth", self.issuer), parameters).unwrap();
        let mut cookies: Vec<(String, String)> = Vec::new();
        while !url.as_str().starts_with(REDIRECT) {
            let jar: Vec<_> =
                cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let asked = self.http.get(url.clone()).header(COOKIE, jar.join("; "));
            let answer = asked.send().await.unwrap();
            for cookie in answer.headers().get_all(SET_COOKIE) {
                let pair = cookie.to_str().unwrap().split(';').next().unwrap();
                let (name, value) = pair.split_once('=').unwrap();
                cookies.retain(|(known, _)| known != name);
                if !value.is_empty() {
                    cookies.push((name.to_owned(), value.to_owned()));
                }
            }
            let next = answer.headers().get(LOCATION).expect("a redirect").to_str().unwrap();
            url = url.join(next).unwrap();
        }
        let code = url.query_pairs().find(|(name, _)| name == "code").expect("a code").1;
        let parameters = [
            ("grant_type", "authorization_code"),
            ("code", &*code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
            ("resource", resource),
        ];
        let tokens = self.token("web", &parameters).await;
        Login {
            access_token: text_of(&tokens, "access_token"),
            id_token: text_of(&tokens, "id_token"),
        }
    }

    /// Token exchange: from now on this agent acts for the token's subject.
    pub(crate) async fn exchange(&self, agent: &str, subject_token: &str) -> String {
        let parameters = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", subject_token),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ];
        text_of(&self.token(agent, &parameters).await, "access_token")
    }

    async fn admin(&self, command: &str, input: &Value) -> Value {
        let asked = self.http.post(format!("{}/admin/{command}", self.issuer));
        json_of(asked.body(input.to_string()).send().await.unwrap()).await
    }

    /// New keys, which do not sign yet. Their number.
    pub(crate) async fn publish(&self) -> u64 {
        self.admin("publish", &json!({})).await["generation"].as_u64().unwrap()
    }

    /// The newest keys sign.
    pub(crate) async fn sign(&self) {
        self.admin("sign", &json!({})).await;
    }

    /// The keys before those that sign are published no more.
    pub(crate) async fn withdraw(&self) {
        self.admin("withdraw", &json!({})).await;
    }

    /// A truly signed token with these claims and header members: `{"claims": .., "header": .., "generation": ..}`.
    pub(crate) async fn mint(&self, input: &Value) -> String {
        text_of(&self.admin("mint", input).await, "token")
    }

    /// What this client may exchange tokens of its resource for: see `server/hops.mjs`.
    pub(crate) async fn may_hop(&self, client: &str, resource: &str, to: &Value) {
        let hop = json!({ "client": client, "resource": resource, "to": to });
        self.admin("hops", &hop).await;
    }

    /// Grants of this issuer are redeemed: see `server/hops.mjs`.
    pub(crate) async fn partner(&self, issuer: &str, resource: &str, scopes: &[&str]) {
        let partner = json!({ "issuer": issuer, "resource": resource, "scopes": scopes });
        self.admin("partners", &partner).await;
    }

    /// What is to go wrong from now on.
    pub(crate) async fn faults(&self, faults: &Value) {
        self.admin("faults", faults).await;
    }

    /// How many requests came at this path so far.
    pub(crate) async fn requests(&self, path: &str) -> u64 {
        self.document("/admin/requests").await[path].as_u64().unwrap_or(0)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Where it has ended already, there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The key id of a token.
pub(crate) fn kid(token: &str) -> String {
    let (head, _) = token.split_once('.').unwrap();
    let head: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).unwrap()).unwrap();
    text_of(&head, "kid")
}

/// The token with another key id; what it says is as before, and the signature does not fit any more.
pub(crate) fn with_kid(token: &str, kid: &str) -> String {
    let (_, rest) = token.split_once('.').unwrap();
    let head = json!({"alg": "ES256", "typ": "at+jwt", "kid": kid}).to_string();
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(head))
}

fn text_of(answer: &Value, member: &str) -> String {
    answer[member].as_str().unwrap_or_else(|| panic!("no {member} in {answer}")).to_owned()
}

async fn json_of(answer: reqwest::Response) -> Value {
    let status = answer.status();
    let body = answer.text().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{body}");
    serde_json::from_str(&body).unwrap()
}
