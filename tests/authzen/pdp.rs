//! A decision point that answers as it is told.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use http::{HeaderMap, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request as it came in.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) enum Told {
    Answer(Response<Body>),
    Silence,
}

/// JSON with this status.
pub(crate) fn answer(status: u16, body: impl Into<String>) -> Told {
    let answer = Response::builder().status(status).header("content-type", "application/json");
    Told::Answer(answer.body(Body::from(body.into())).unwrap())
}

type Script = dyn Fn(&Seen) -> Told + Send + Sync;

/// A running decision point. It ends with this.
pub(crate) struct Pdp {
    address: SocketAddr,
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    app: Router,
    server: JoinHandle<()>,
}

impl Pdp {
    /// Answers every request but that for metadata with what the script says.
    pub(crate) async fn scripted(script: impl Fn(&Seen) -> Told + Send + Sync + 'static) -> Self {
        Pdp::with_metadata(all_endpoints, script).await
    }

    /// Answers every question like this.
    pub(crate) async fn answering(text: &str) -> Self {
        let text = text.to_owned();
        Pdp::scripted(move |seen| {
            // Both parties get the same.
            let both = seen.path.ends_with("evaluations");
            let each =
                if both { format!(r#"{{"evaluations":[{text},{text}]}}"#) } else { text.clone() };
            answer(200, each)
        })
        .await
    }

    /// Serves the metadata that is made for its URL.
    pub(crate) async fn with_metadata(
        metadata: impl Fn(&str) -> Value,
        script: impl Fn(&Seen) -> Told + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("http://{address}");
        let metadata = metadata(&url).to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        let script: Arc<Script> = Arc::new(script);
        let app = Router::new().fallback(move |request: Request| {
            respond(request, kept.clone(), metadata.clone(), script.clone())
        });
        let server = serve(listener, app.clone());
        Pdp { address, url, seen, app, server }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What was asked so far, without the requests for metadata.
    pub(crate) fn asked(&self) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|seen| !is_metadata(seen)).cloned().collect()
    }

    /// How often metadata was read.
    pub(crate) fn metadata_read(&self) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| is_metadata(seen)).count()
    }

    /// The head of the last request for metadata.
    pub(crate) fn metadata_headers(&self) -> HeaderMap {
        let seen = self.seen.lock().unwrap();
        seen.iter().rfind(|seen| is_metadata(seen)).expect("metadata was read").headers.clone()
    }

    /// Ends the server, with all its connections.
    pub(crate) async fn kill(&mut self) {
        self.server.abort();
        let _ = (&mut self.server).await;
    }

    /// Starts it again, where it was.
    pub(crate) async fn start_again(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.server = serve(listener, self.app.clone());
    }
}

fn serve(listener: TcpListener, app: Router) -> JoinHandle<()> {
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() })
}

impl Drop for Pdp {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn is_metadata(seen: &Seen) -> bool {
    seen.path.starts_with("/.well-known/")
}

/// What a decision point that can all of it says of itself.
pub(crate) fn all_endpoints(url: &str) -> Value {
    json!({
        "policy_decision_point": url,
        "access_evaluation_endpoint": format!("{url}/access/v1/evaluation"),
        "access_evaluations_endpoint": format!("{url}/access/v1/evaluations"),
        "access_request_endpoint": format!("{url}/access/v1/requests"),
        "capabilities": ["urn:openid:authzen:capability:access-request"],
    })
}

async fn respond(
    request: Request,
    kept: Arc<Mutex<Vec<Seen>>>,
    metadata: String,
    script: Arc<Script>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
    let seen = Seen { path: parts.uri.path().to_owned(), headers: parts.headers, body };
    kept.lock().unwrap().push(seen.clone());
    let told = if is_metadata(&seen) { answer(200, metadata) } else { script(&seen) };
    match told {
        Told::Answer(answer) => answer,
        Told::Silence => pending().await,
    }
}
