//! The service: axum on 127.0.0.1 behind the guard, and the clock of its keys.

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Json;
use axum::routing::get;
use reqwest::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, pause, resume, sleep};
use unconfused::client::{HttpAnswer, HttpClient, HttpLimits};
use unconfused::keys::KeyStatus;
use unconfused::{Audience, Denial, Grant, Guard, Issuer, Require, Scope};

use crate::peer::http;

pub(crate) const ORDERS: Audience = Audience::from_static("https://orders.example");
pub(crate) const READ: Scope = Scope::from_static("orders:read");
pub(crate) const WRITE: Scope = Scope::from_static("orders:write");

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const fn minutes(minutes: u64) -> Duration {
    secs(60 * minutes)
}

/// So much time passes for the keys. For tokens none does: they are judged by the system's clock. Needs a runtime of
/// one thread. Whatever waits at this moment waits that much longer, so nothing should.
pub(crate) async fn pass(time: Duration) {
    pause();
    advance(time).await;
    resume();
}

/// A guarded service that listens. It ends with this.
pub(crate) struct Service {
    pub(crate) guard: Guard,
    pub(crate) address: SocketAddr,
    http: Client,
    task: JoinHandle<()>,
}

/// What a service answers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Where it was denied: why, in the operator's words.
    pub(crate) reason: Option<String>,
    pub(crate) challenge: Option<String>,
    pub(crate) retry_after: Option<u64>,
    /// Where it passed: who it was.
    pub(crate) who: Value,
}

impl Answer {
    /// Status and reason.
    pub(crate) fn verdict(&self) -> (u16, &str) {
        (self.status, self.reason.as_deref().unwrap_or(""))
    }
}

pub(crate) const PASSED: (u16, &str) = (200, "");

impl Service {
    /// `GET /orders` asks for `orders:read`, and `POST /orders` for `orders:write`.
    pub(crate) async fn of(guard: Guard) -> Self {
        Service::asking(guard, READ, WRITE).await
    }

    /// These are asked of `GET /orders`, and of `POST /orders`.
    pub(crate) async fn asking(
        guard: Guard,
        read: impl Into<Require>,
        write: impl Into<Require>,
    ) -> Self {
        let why = |denial: &Denial| denial.reason().as_str();
        let app = Router::new()
            .route("/orders", get(who).route_layer(guard.require(read).body(why)))
            .route("/orders", axum::routing::post(who).route_layer(guard.require(write).body(why)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = axum::serve(listener, app).into_future();
        let task = tokio::spawn(async move { serve.await.unwrap() });
        Service { guard, address, http: http(), task }
    }

    /// `GET /orders` with this token.
    pub(crate) async fn get(&self, token: &str) -> Answer {
        self.ask(Method::GET, token).await
    }

    /// `POST /orders` with this token.
    pub(crate) async fn post(&self, token: &str) -> Answer {
        self.ask(Method::POST, token).await
    }

    async fn ask(&self, method: Method, token: &str) -> Answer {
        let asked = self.http.request(method, format!("http://{}/orders", self.address));
        let answer = asked.header(AUTHORIZATION, format!("Bearer {token}")).send().await.unwrap();
        let header =
            |name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (challenge, retry_after) = (header(WWW_AUTHENTICATE), header(RETRY_AFTER));
        let status = answer.status().as_u16();
        let body = Response::text(answer).await.unwrap();
        let who = serde_json::from_str(&body).unwrap_or_default();
        let retry_after = retry_after.map(|seconds| seconds.parse().unwrap());
        Answer { status, reason: (status != 200).then_some(body), challenge, retry_after, who }
    }

    /// How it stands with the keys of its only issuer.
    pub(crate) fn keys(&self) -> KeyStatus {
        self.guard.readiness().issuers().next().unwrap().1.clone()
    }

    /// Waits until the keys are like this; the network needs real time.
    pub(crate) async fn until(&self, what: &str, like: impl Fn(&KeyStatus) -> bool) {
        let began = std::time::Instant::now();
        while !like(&self.keys()) {
            assert!(began.elapsed() < secs(20), "the keys are not {what}: {}", self.keys());
            sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn who(grant: Grant) -> Json<Value> {
    let actor = grant.actor().map(|actor| json!([actor.issuer(), actor.name()]));
    let before: Vec<_> = grant.prior_actors().map(|actor| actor.name().to_owned()).collect();
    Json(json!({
        "issuer": grant.issuer(),
        "subject": grant.subject().name(),
        "client": grant.client_id(),
        "audience": grant.audience().map(ToString::to_string),
        "scopes": grant.scopes().collect::<Vec<_>>(),
        "person": grant.is_person(),
        "actor": actor,
        "before": before,
    }))
}

/// The way to an issuer, and when keys were asked for, by the clock of the keys.
#[derive(Clone, Default)]
pub(crate) struct Fetches {
    at: Arc<Mutex<Vec<Instant>>>,
    in_the_air: Arc<AtomicUsize>,
}

/// A request that is not answered yet.
struct Airborne(Arc<AtomicUsize>);

impl Drop for Airborne {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Fetches {
    /// The issuer, and its keys through this.
    pub(crate) fn issuer(&self, url: &str) -> Issuer {
        Issuer::discover_without_tls_on_loopback(url, self.client()).unwrap()
    }

    fn client(&self) -> impl HttpClient + use<> {
        let (fetches, client) = (self.clone(), http());
        move |request: axum::http::Request<Vec<u8>>, limits: HttpLimits| -> HttpAnswer {
            if request.uri().path() == "/jwks" {
                fetches.at.lock().unwrap().push(Instant::now());
            }
            fetches.in_the_air.fetch_add(1, Ordering::SeqCst);
            let airborne = Airborne(fetches.in_the_air.clone());
            let sent = client.send(request, limits);
            HttpAnswer::later(async move {
                let _airborne = airborne;
                sent.await
            })
        }
    }

    /// How often.
    pub(crate) fn count(&self) -> u64 {
        self.at.lock().unwrap().len() as u64
    }

    /// Waits until nothing is in the air, so that no request runs out of time because time is moved.
    pub(crate) async fn settled(&self) {
        let mut quiet = 0;
        while quiet < 5 {
            sleep(Duration::from_millis(1)).await;
            let busy = self.in_the_air.load(Ordering::SeqCst) > 0;
            quiet = if busy { 0 } else { quiet + 1 };
        }
    }

    /// Never more than two within 30 seconds. One second is for what comes between the beginning of a fetch and its
    /// request for keys: the metadata.
    pub(crate) fn assert_within_budget(&self) {
        let fetches = self.at.lock().unwrap();
        for three in fetches.windows(3) {
            let apart = three[2] - three[0];
            assert!(apart > secs(29), "three fetches within {apart:?}");
        }
    }
}
