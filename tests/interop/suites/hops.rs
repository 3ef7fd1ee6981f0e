//! Token exchange by the crate itself, at a real authorization server: user, agent, and a chain of three services.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use unconfused::approvals::SigningKey;
use unconfused::keys::Algorithm;
use unconfused::next_hop::{
    AttachError, ClientAuth, DomainGrant, NextHop, OutboundToken, TokenServer,
};
use unconfused::proof::{Dpop, Nonces};
use unconfused::replay::MemoryReplayStore;
use unconfused::{Acr, Audience, AuditEvent, Denial, Grant, Guard, Issuer, Reason, Require, Scope};

use crate::peer::{Peer, http};

const REFUND: Scope = Scope::from_static("orders:write");
const RESERVE: Scope = Scope::from_static("stock:reserve");
const CHARGE: Scope = Scope::from_static("payments:charge");
const PHR: Acr = Acr::from_static("phr");
/// RFC 7515, appendix A.3. The server knows its public half.
const KEY_OF_SERVICE_B: &str = r#"{"kty":"EC","crv":"P-256","kid":"service-b",
    "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    "d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;

/// A service: its guard, its record, what it calls next, and what came in.
#[derive(Clone)]
struct Service {
    guard: Guard,
    next: Option<Arc<(NextHop, String)>>,
    record: Arc<Mutex<Vec<Value>>>,
    came_in: Arc<Mutex<Vec<String>>>,
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// A guard of the resource at this URL, and its record.
fn guard(peer: &Peer, url: &str) -> (Guard, Arc<Mutex<Vec<Value>>>) {
    let issuer = Issuer::discover_without_tls_on_loopback(peer.issuer(), http()).unwrap();
    let record: Arc<Mutex<Vec<_>>> = Arc::default();
    let sink = record.clone();
    let guard =
        Guard::new(Audience::new(url).unwrap(), issuer).audit(move |event: &AuditEvent<'_>| {
            sink.lock().unwrap().push(serde_json::from_str(&event.to_json()).unwrap());
        });
    (guard, record)
}

impl Service {
    /// Serves `POST /call/{kind}`. The kind `strong` needs a strong login, at a service that calls no other.
    fn serve(
        listener: TcpListener,
        (guard, record): (Guard, Arc<Mutex<Vec<Value>>>),
        needs: Scope,
        next: Option<(NextHop, String)>,
    ) -> Self {
        let came_in: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = came_in.clone();
        let listen_in = move |request: Request, next: Next| {
            let field = request
                .headers()
                .get(AUTHORIZATION)
                .map(|field| field.to_str().unwrap().to_owned());
            seen.lock().unwrap().extend(field);
            async move { next.run(request).await }
        };
        let service = Service { guard: guard.clone(), next: next.map(Arc::new), record, came_in };
        let app = Router::new()
            .route("/call/{kind}", post(call).route_layer(guard.require(needs)))
            .layer(from_fn(listen_in))
            .with_state(service.clone());
        tokio::spawn(axum::serve(listener, app).into_future());
        service
    }

    fn came_in_last(&self) -> String {
        self.came_in.lock().unwrap().last().unwrap().clone()
    }
}

async fn call(
    State(service): State<Service>,
    grant: Grant,
    Path(kind): Path<String>,
) -> Result<Response, Denial> {
    let Some(next) = &service.next else {
        if kind == "strong" {
            let strong = Require::valid_token().acr([PHR]).max_age(Duration::from_secs(300));
            service.guard.narrow(&grant, strong).await?;
        }
        return Ok(format!("done for {}", grant.subject().name()).into_response());
    };
    let (hop, url) = &**next;
    let token = hop.token(&service.guard, &grant).await?;
    let answer = send(&token, &format!("{url}/call/{kind}")).await;
    if let Some(denial) =
        hop.step_up_denial(&service.guard, &grant, answer.status(), answer.headers())
    {
        return Err(denial);
    }
    Ok((answer.status(), answer.text().await.unwrap()).into_response())
}

/// Sends a request with the token, once more if its proof needs a nonce.
async fn send(token: &OutboundToken, url: &str) -> reqwest::Response {
    for _ in 0..2 {
        let mut request = axum::http::Request::post(url).body(Vec::new()).unwrap();
        token.attach(&mut request).unwrap();
        let answer = http().execute(request.try_into().unwrap()).await.unwrap();
        if !token.wants_retry(answer.status(), answer.headers()) {
            return answer;
        }
    }
    panic!("it asks for a nonce again");
}

fn server(peer: &Peer, auth: ClientAuth) -> TokenServer {
    NextHop::discover_without_tls_on_loopback(peer.issuer(), auth, http()).unwrap()
}

fn auth_of_a() -> ClientAuth {
    ClientAuth::secret_basic("service-a", "service-a-secret")
}

/// Three services: A calls B, and B calls C with a token that is bound to its key.
struct Chain {
    peer: Peer,
    urls: [String; 3],
    a: Service,
    b: Service,
    c: Service,
    hops: [NextHop; 2],
}

async fn chain() -> Chain {
    let peer = Peer::start();
    let [(at_a, a), (at_b, b), (at_c, c)] = [listen().await, listen().await, listen().await];
    peer.may_hop(
        "service-a",
        &a,
        &json!({ &b: { "scopes": { "stock:reserve": "orders:write" } } }),
    )
    .await;
    peer.may_hop(
        "service-b",
        &b,
        &json!({ &c: { "scopes": { "payments:charge": "stock:reserve" } } }),
    )
    .await;

    let to_b = server(&peer, auth_of_a()).to(&b, [RESERVE]).unwrap().needs(REFUND);
    let auth_of_b =
        ClientAuth::private_key_jwt("service-b", SigningKey::from_jwk(KEY_OF_SERVICE_B).unwrap());
    let proof_key = SigningKey::generate(Algorithm::Es256, "proofs");
    let to_c = server(&peer, auth_of_b).dpop(proof_key).unwrap();
    let to_c = to_c.to(&c, [CHARGE]).unwrap().needs(RESERVE);

    // C accepts bound tokens alone, and asks for nonces.
    let (guard_c, record_c) = guard(&peer, &c);
    let dpop = Dpop::for_base_url(&c).unwrap().nonces(Nonces::new([7; 32]));
    let store = MemoryReplayStore::new_at(time::UtcDateTime::UNIX_EPOCH);
    let guard_c = guard_c.dpop(dpop, store).sender_constrained();
    Chain {
        a: Service::serve(at_a, guard(&peer, &a), REFUND, Some((to_b.clone(), b.clone()))),
        b: Service::serve(at_b, guard(&peer, &b), RESERVE, Some((to_c.clone(), c.clone()))),
        c: Service::serve(at_c, (guard_c, record_c), CHARGE, None),
        peer,
        urls: [a, b, c],
        hops: [to_b, to_c],
    }
}

impl Chain {
    /// The agent calls A with this token.
    async fn ask(&self, token: &str, kind: &str) -> (u16, Vec<String>, String) {
        let url = format!("{}/call/{kind}", self.urls[0]);
        let answer = http().post(url).bearer_auth(token).send().await.unwrap();
        let fields = answer.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenges = fields.map(|field| field.to_str().unwrap().to_owned()).collect();
        (answer.status().as_u16(), challenges, answer.text().await.unwrap())
    }

    /// The agent's token for A: alice's own, exchanged.
    async fn token_of_agent(&self) -> String {
        let alice = self.peer.login("alice", &self.urls[0], "orders:read orders:write").await;
        self.peer.exchange("agent-a", &alice.access_token).await
    }
}

fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let part = token.split('.').nth(1).unwrap();
    let part = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
    serde_json::from_slice(&part).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_hop_has_a_narrower_token_and_the_last_record_names_all_who_acted() {
    let chain = chain().await;
    let [a, b, c] = &chain.urls;
    let first = chain.token_of_agent().await;
    assert_eq!(chain.ask(&first, "plain").await, (200, vec![], "done for alice".to_owned()));

    // The tokens, as they came in.
    let second = chain.b.came_in_last();
    let third = chain.c.came_in_last();
    let (second, third) =
        (second.strip_prefix("Bearer ").unwrap(), third.strip_prefix("DPoP ").unwrap());
    let (one, two, three) = (claims(&first), claims(second), claims(third));
    assert_eq!([&one["aud"], &two["aud"], &three["aud"]], [a, b, c]);
    assert_eq!(one["scope"], "orders:read orders:write");
    assert_eq!(
        (&two["scope"], &three["scope"]),
        (&json!("stock:reserve"), &json!("payments:charge"))
    );
    assert_eq!(one["act"], json!({ "sub": "agent-a" }));
    assert_eq!(two["act"], json!({ "sub": "service-a", "act": one["act"] }));
    assert_eq!(three["act"], json!({ "sub": "service-b", "act": two["act"] }));
    assert!(
        three["exp"].as_i64() <= two["exp"].as_i64() && two["exp"].as_i64() <= one["exp"].as_i64()
    );
    assert!(three["cnf"]["jkt"].is_string() && two.get("cnf").is_none());

    // C's record.
    let record = chain.c.record.lock().unwrap().last().unwrap().clone();
    assert_eq!((&record["outcome"], &record["subject"]), (&json!("allowed"), &json!("alice")));
    assert_eq!((&record["actor"], &record["possession"]), (&json!("service-b"), &json!("dpop")));
    let prior: Vec<_> = record["prior_actors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|actor| actor["name"].clone())
        .collect();
    assert_eq!(prior, ["service-a", "agent-a"]);
    // The records of A and B name what they called next.
    for (service, url, scope) in [(&chain.a, b, "stock:reserve"), (&chain.b, c, "payments:charge")]
    {
        let record = service.record.lock().unwrap().last().unwrap().clone();
        assert_eq!(record["next_hop"], **url);
        assert_eq!(record["next_hop_scopes"], json!([scope]));
        assert_eq!(record["next_hop_server"], chain.peer.issuer());
    }

    // A second request exchanges nothing.
    let before = chain.peer.requests("/token").await;
    assert_eq!(chain.ask(&first, "plain").await.0, 200);
    assert_eq!(chain.peer.requests("/token").await, before);

    // No token passes at another service.
    for (token, urls) in [(&*first, [b, c]), (second, [a, c])] {
        for url in urls {
            let answer = http().post(format!("{url}/call/plain")).bearer_auth(token);
            assert_eq!(answer.send().await.unwrap().status(), 401, "{url}");
        }
    }
    let last = |service: &Service| service.record.lock().unwrap().last().unwrap()["reason"].clone();
    assert_eq!(
        (last(&chain.a), last(&chain.b), last(&chain.c)),
        (json!("audience_mismatch"), json!("audience_mismatch"), json!("audience_mismatch"))
    );
    println!("tokens: {one}\n        {two}\n        {three}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn step_up_that_the_last_service_demands_reaches_the_agent_as_one_challenge() {
    let chain = chain().await;
    let token = chain.token_of_agent().await;
    let (status, challenges, _) = chain.ask(&token, "strong").await;
    println!("challenge: {challenges:?}");
    assert_eq!((status, challenges.len()), (401, 1));
    let challenge = &challenges[0];
    for part in [
        r#"Bearer error="insufficient_user_authentication""#,
        r#"acr_values="phr""#,
        r#"max_age="300""#,
        &format!(r#"resource_metadata="{}/"#, chain.urls[0]),
    ] {
        assert!(challenge.contains(part), "{part} in {challenge}");
    }
    assert!(!challenge.contains(&chain.urls[2]), "{challenge}");
    for service in [&chain.a, &chain.b, &chain.c] {
        let record = service.record.lock().unwrap().last().unwrap().clone();
        assert_eq!((&record["outcome"], &record["step_up"]), (&json!("denied"), &json!("asked")));
    }

    // Alice authenticates as it was demanded, and the agent comes back.
    let now = time::UtcDateTime::now().unix_timestamp();
    let strong = json!({ "claims": {
        "aud": chain.urls[0], "client_id": "agent-a", "scope": "orders:write", "act": { "sub": "agent-a" },
        "acr": "phr", "auth_time": now,
    }});
    let strong = chain.peer.mint(&strong).await;
    assert_eq!(chain.ask(&strong, "strong").await, (200, vec![], "done for alice".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_the_second_service_goes_to_the_third_and_to_no_other_origin() {
    let chain = chain().await;
    let [a, b, c] = &chain.urls;
    // At a service that redirects to another origin.
    let (at_evil, evil) = listen().await;
    let stolen: Arc<Mutex<Vec<_>>> = Arc::default();
    let seen = stolen.clone();
    let app = Router::new().fallback(any(move |request: Request| {
        seen.lock().unwrap().push(request.headers().clone());
        async { "" }
    }));
    tokio::spawn(axum::serve(at_evil, app).into_future());
    let (at_moved, moved) = listen().await;
    let away = format!("{evil}/call/plain");
    let app = Router::new().fallback(any(move || async move { Redirect::temporary(&away) }));
    tokio::spawn(axum::serve(at_moved, app).into_future());
    peer_allows(&chain, &moved).await;

    let raw = chain
        .peer
        .mint(&json!({ "claims": {
            "aud": b, "client_id": "service-a", "scope": "stock:reserve",
        }}))
        .await;
    let grant = granted(&chain.b.guard, &raw).await;
    let token = chain.hops[1].token(&chain.b.guard, &grant).await.unwrap();
    for url in [a, b, &evil] {
        let mut request = axum::http::Request::post(format!("{url}/call/plain")).body(()).unwrap();
        let expected = format!("http://127.0.0.1:{}", c.rsplit(':').next().unwrap());
        assert_eq!(token.attach(&mut request), Err(AttachError::OtherOrigin { expected }));
        assert!(request.headers().is_empty());
    }

    // After a redirect that the client follows, the token is gone.
    let to_moved = server(&chain.peer, auth_of_a()).to(&moved, [RESERVE]).unwrap().needs(REFUND);
    let raw = chain.token_of_agent().await;
    let grant = granted(&chain.a.guard, &raw).await;
    let token = to_moved.token(&chain.a.guard, &grant).await.unwrap();
    let follows = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request =
        axum::http::Request::post(format!("{moved}/call/plain")).body(Vec::new()).unwrap();
    token.attach(&mut request).unwrap();
    let answer = follows.execute(request.try_into().unwrap()).await.unwrap();
    assert!(answer.url().as_str().starts_with(&evil));
    let stolen = stolen.lock().unwrap();
    assert_eq!(stolen.len(), 1);
    assert!(!stolen[0].contains_key(AUTHORIZATION));
}

/// Service A may also call the service that has moved.
async fn peer_allows(chain: &Chain, moved: &str) {
    let to = json!({ moved: { "scopes": { "stock:reserve": "orders:write" } } });
    chain.peer.may_hop("service-a", &chain.urls[0], &to).await;
}

async fn granted(guard: &Guard, raw: &str) -> Grant {
    let request = axum::http::Request::post("/").header(AUTHORIZATION, format!("Bearer {raw}"));
    let (mut head, ()) = request.body(()).unwrap().into_parts();
    guard.authorize(&mut head, Require::valid_token()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_refuses_what_it_does_not_allow_and_what_is_down_is_503() {
    let chain = chain().await;
    let [_, b, c] = &chain.urls;
    let grant = granted(&chain.a.guard, &chain.token_of_agent().await).await;
    let ask = async |resource: &str, scope: Scope| {
        let hop = server(&chain.peer, auth_of_a()).to(resource, [scope]).unwrap().needs(REFUND);
        let denial = hop.token(&chain.a.guard, &grant).await.unwrap_err();
        (denial.reason(), denial.for_operator().to_string())
    };
    let (reason, said) = ask(c, CHARGE).await;
    assert_eq!(reason, Reason::NextHopRefused);
    assert!(said.ends_with("invalid_target"), "{said}");
    let (reason, said) = ask(b, CHARGE).await;
    assert_eq!(reason, Reason::NextHopRefused);
    assert!(said.ends_with("invalid_scope"), "{said}");
    let wrong = server(&chain.peer, ClientAuth::secret_basic("service-a", "wrong"));
    let wrong = wrong.to(b, [RESERVE]).unwrap().needs(REFUND);
    let denial = wrong.token(&chain.a.guard, &grant).await.unwrap_err();
    assert_eq!(denial.reason(), Reason::NextHopUnavailable);
    assert!(denial.for_operator().to_string().contains("invalid_client"));

    // The server itself may ask for step-up.
    let to = json!({ b: { "scopes": { "stock:reserve": "orders:write" }, "acr": "phr" } });
    chain.peer.may_hop("service-a", &chain.urls[0], &to).await;
    let hop = server(&chain.peer, auth_of_a()).to(b, [RESERVE]).unwrap().needs(REFUND);
    let denial = hop.token(&chain.a.guard, &grant).await.unwrap_err();
    assert_eq!(denial.reason(), Reason::AuthenticationLevelInsufficient);
    assert_eq!(denial.challenge().unwrap().acr_values(), [PHR]);

    // It is down: what is kept serves, and nothing else does.
    let to = json!({ b: { "scopes": { "stock:reserve": "orders:write" } } });
    chain.peer.may_hop("service-a", &chain.urls[0], &to).await;
    assert!(hop.token(&chain.a.guard, &grant).await.is_ok());
    let other = granted(&chain.a.guard, &chain.token_of_agent().await).await;
    chain.peer.faults(&json!([{ "path": "/token", "drop": true }])).await;
    assert!(hop.token(&chain.a.guard, &grant).await.is_ok());
    let denial = hop.token(&chain.a.guard, &other).await.unwrap_err();
    assert_eq!((denial.reason(), denial.status().as_u16()), (Reason::NextHopUnavailable, 503));
    chain.peer.faults(&json!([])).await;

    // A hundred at once: one exchange.
    let before = chain.peer.requests("/token").await;
    let asking: Vec<_> =
        (0..100).map(|_| tokio::spawn(hop.token(&chain.a.guard, &other))).collect();
    for token in asking {
        assert!(token.await.unwrap().is_ok());
    }
    assert_eq!(chain.peer.requests("/token").await, before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_grants_get_their_tokens_too() {
    let chain = chain().await;
    let [a, b, _] = &chain.urls;
    let grant = granted(&chain.a.guard, &chain.token_of_agent().await).await;

    // On the service's own behalf: B sees no subject but the service.
    let read = Scope::from_static("orders:read");
    let own = server(&chain.peer, auth_of_a()).to(b, [read]).unwrap().on_own_behalf().needs(REFUND);
    let token = own.token(&chain.a.guard, &grant).await.unwrap();
    let seen = granted(&chain.b.guard, &raw_of(&token, b)).await;
    assert_eq!((seen.client_id(), seen.is_person()), (Some("service-a"), false));

    // Through the server of another domain.
    let partner = Peer::start();
    partner.partner(chain.peer.issuer(), b, &["stock:reserve"]).await;
    let to = json!({
        b: { "scopes": { "stock:reserve": "orders:write" }, "server": partner.issuer() },
        "trust.example": { "scopes": { "stock:reserve": "orders:write" } },
    });
    chain.peer.may_hop("service-a", a, &to).await;
    for kind in [DomainGrant::Jwt, DomainGrant::IdJag] {
        let second = server(&partner, ClientAuth::secret_basic("service-c", "service-c-secret"));
        let hop = server(&chain.peer, auth_of_a()).to(b, [RESERVE]).unwrap();
        let hop = hop.through(second, kind).needs(REFUND);
        let token = hop.token(&chain.a.guard, &grant).await.unwrap();
        let (guard, _) = guard(&partner, b);
        let seen = granted(&guard, &raw_of(&token, b)).await;
        assert_eq!((seen.issuer(), seen.subject().name()), (partner.issuer(), "alice"));
        assert_eq!(seen.actor().unwrap().name(), "service-a");
        assert_eq!(seen.scopes().collect::<Vec<_>>(), ["stock:reserve"]);
    }

    // A transaction token.
    let hop = server(&chain.peer, auth_of_a()).to(b, [RESERVE]).unwrap();
    let hop = hop.transaction_token("trust.example").needs(REFUND);
    let token = hop.token(&chain.a.guard, &grant).await.unwrap();
    let mut request = axum::http::Request::post(b).body(()).unwrap();
    token.attach(&mut request).unwrap();
    let fields: BTreeMap<_, _> =
        request.headers().iter().map(|(name, value)| (name.as_str(), value)).collect();
    assert_eq!(fields.keys().collect::<Vec<_>>(), [&"txn-token"]);
    let txn = claims(fields["txn-token"].to_str().unwrap());
    assert_eq!(
        (&txn["aud"], &txn["scope"], &txn["sub"]),
        (&json!("trust.example"), &json!("stock:reserve"), &json!("alice"))
    );
}

/// The token as its resource sees it.
fn raw_of(token: &OutboundToken, url: &str) -> String {
    let mut request = axum::http::Request::post(url).body(()).unwrap();
    token.attach(&mut request).unwrap();
    let field = request.headers()[AUTHORIZATION].to_str().unwrap();
    field.strip_prefix("Bearer ").unwrap().to_owned()
}
