//! What all contenders share: an issuer, its token, the request, the runtimes.

#[path = "../../fixtures/mod.rs"]
mod fixtures;

use std::convert::Infallible;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use tokio::runtime::{Builder, Runtime};
use tower::Service;
use unconfused::keys::Algorithm;
use unconfused::testing::{TestIssuer, TestProofKey, TestToken};

pub(crate) use fixtures::{AUDIENCE, BASE, ISSUER, PATH, SCOPE};

use crate::measure::Contender;
use crate::ours::BARE;

pub const ALGORITHMS: [(&str, Algorithm); 5] = [
    ("RS256", Algorithm::Rs256),
    ("PS256", Algorithm::Ps256),
    ("ES256", Algorithm::Es256),
    ("ES384", Algorithm::Es384),
    ("EdDSA", Algorithm::EdDsa),
];
/// The section of proofs, beside those of the algorithms.
pub const DPOP: &str = "DPoP";
/// The one wrong thing that no one may let through.
pub const BROKEN: &str = "a broken signature";

pub type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

pub struct Lab {
    /// The name in a JWS.
    pub alg: &'static str,
    pub algorithm: Algorithm,
    pub issuer: TestIssuer,
    pub token: String,
    /// Where the public keys are served, on loopback.
    pub jwks_url: String,
    /// Where peers fetch and renew keys: not the thread that is measured.
    pub background: Arc<Runtime>,
    /// What is measured runs here.
    pub foreground: Rc<Runtime>,
}

impl Lab {
    pub fn new(
        (alg, algorithm): (&'static str, Algorithm),
        background: &Arc<Runtime>,
        foreground: &Rc<Runtime>,
    ) -> Fallible<Self> {
        let issuer = TestIssuer::with_algorithm(ISSUER, algorithm);
        let token = unsigned(&issuer, AUDIENCE).sign();
        assert!((1000..1300).contains(&token.len()), "{alg}: {} bytes", token.len());
        let jwks_url = background.block_on(serve(issuer.jwks()))?;
        let (background, foreground) = (background.clone(), foreground.clone());
        Ok(Lab { alg, algorithm, issuer, token, jwks_url, background, foreground })
    }

    /// A bare router.
    pub fn bare<B, R, A>(&self, name: &'static str, router: R) -> Contender
    where
        R: Service<Request<B>, Response = Response<A>, Error = Infallible> + Clone + 'static,
        B: Default,
    {
        Contender::bare(name, self.calling::<B, _, _>(router))
    }

    /// A layer around the bare router of axum 0.8.
    pub fn layered(&self, name: &'static str, backend: &'static str, router: Router) -> Contender {
        self.layered_over::<Body, _, _>(name, BARE, backend, router)
    }

    /// A layer around a router of any version.
    pub fn layered_over<B, R, A>(
        &self,
        name: &'static str,
        over: &'static str,
        backend: &'static str,
        router: R,
    ) -> Contender
    where
        R: Service<Request<B>, Response = Response<A>, Error = Infallible> + Clone + 'static,
        B: Default,
    {
        let run = self.calling::<B, _, _>(router.clone());
        let mut asked = asking::<B, _, _>(name, router, &self.foreground);
        Contender::layer(name, over, backend, run).accepting(move |token| asked(&Wire::new(token)))
    }

    /// In process, one request after the other.
    fn calling<B, R, A>(&self, mut router: R) -> impl FnMut(u64) + 'static
    where
        R: Service<Request<B>, Response = Response<A>, Error = Infallible> + 'static,
        B: Default,
    {
        let (wire, runtime) = (Wire::new(&self.token), self.foreground.clone());
        move |requests| {
            runtime.block_on(async {
                for _ in 0..requests {
                    let response = router.call(wire.request::<B>()).await;
                    assert!(black_box(response).is_ok_and(|answer| answer.status().is_success()));
                }
            });
        }
    }

    /// Tokens that are signed by the issuer, and should be refused nonetheless.
    pub fn wrong_tokens(&self) -> Vec<(&'static str, String)> {
        let token = || unsigned(&self.issuer, AUDIENCE);
        let now = time::UtcDateTime::now().unix_timestamp();
        let twice = {
            let claims = self.claims().replacen('{', r#"{"aud":"https://mail.example","#, 1);
            token().payload(claims)
        };
        vec![
            (BROKEN, broken(&self.token)),
            ("a foreign audience", unsigned(&self.issuer, "https://mail.example").sign()),
            ("a foreign issuer", token().claim("iss", "https://login.invalid").sign()),
            ("expired for an hour", token().claim("exp", now - 3600).sign()),
            ("valid in an hour (nbf)", token().claim("nbf", now + 3600).sign()),
            ("typ JWT", token().header("typ", "JWT").sign()),
            ("an unknown crit", token().header("crit", ["b65"]).header("b65", true).sign()),
            ("bound to a proof key", token().bound_to(&TestProofKey::new()).sign()),
            ("aud twice", twice.sign()),
            ("no client_id", token().without_claim("client_id").sign()),
            ("no jti", token().without_claim("jti").sign()),
            ("no scope", token().without_claim("scope").sign()),
        ]
    }

    fn claims(&self) -> String {
        use base64::Engine as _;
        let payload = self.token.split('.').nth(1).unwrap_or_default();
        let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(payload);
        String::from_utf8(claims.unwrap_or_default()).unwrap_or_default()
    }
}

/// Whether a request is let through.
pub fn asking<B, R, A>(
    name: &'static str,
    mut router: R,
    runtime: &Rc<Runtime>,
) -> impl FnMut(&Wire) -> bool + 'static
where
    R: Service<Request<B>, Response = Response<A>, Error = Infallible> + 'static,
    B: Default,
{
    let runtime = runtime.clone();
    move |wire| {
        let answer = runtime.block_on(router.call(wire.request::<B>()));
        let Ok(status) = answer.map(|answer| answer.status());
        assert!(matches!(status.as_u16(), 200 | 401 | 403), "{name}: {status}");
        status.is_success()
    }
}

/// Another first letter of the signature.
pub fn broken(jws: &str) -> String {
    let (signed, signature) = jws.rsplit_once('.').unwrap_or_default();
    let letter = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{signed}.{letter}{}", &signature[1..])
}

/// The token of the crate's own benchmarks.
pub fn unsigned(issuer: &TestIssuer, audience: &'static str) -> TestToken {
    fixtures::large(issuer, audience, 10)
}

/// A request as a server makes it: its values share the buffer that was read.
#[derive(Clone)]
pub struct Wire {
    uri: Bytes,
    fields: Vec<(HeaderName, Bytes)>,
}

impl Wire {
    pub fn new(token: &str) -> Self {
        Self::with_credentials("Bearer", token)
    }

    pub fn with_credentials(scheme: &str, token: &str) -> Self {
        let field = |name, value: &str| (name, Bytes::copy_from_slice(value.as_bytes()));
        let fields = vec![
            field(header::HOST, "orders.example"),
            field(header::USER_AGENT, "support-agent/1.4"),
            field(header::ACCEPT, "application/json"),
            field(header::ACCEPT_ENCODING, "gzip, br"),
            field(header::CONTENT_LENGTH, "0"),
            field(header::AUTHORIZATION, &format!("{scheme} {token}")),
        ];
        Wire { uri: Bytes::from_static(PATH.as_bytes()), fields }
    }

    pub fn with_field(mut self, name: HeaderName, value: Bytes) -> Self {
        self.fields.push((name, value));
        self
    }

    /// Sets the value of the field that was added last.
    pub fn set_last(&mut self, value: Bytes) {
        if let Some((_, last)) = self.fields.last_mut() {
            *last = value;
        }
    }

    pub fn request<B: Default>(&self) -> Request<B> {
        let mut request = Request::new(B::default());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_maybe_shared(self.uri.clone()).expect("a path");
        request.headers_mut().reserve(self.fields.len());
        for (name, value) in &self.fields {
            let value = HeaderValue::from_maybe_shared(value.clone()).expect("visible letters");
            request.headers_mut().insert(name, value);
        }
        request
    }
}

/// Nothing before the handler.
pub fn bare() -> Router {
    Router::new().route(PATH, post(|| async {}))
}

pub fn foreground() -> Fallible<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

pub fn background() -> Fallible<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

async fn serve(jwks: String) -> Fallible<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/jwks", listener.local_addr()?);
    let answer = move || async move { ([(header::CONTENT_TYPE, "application/json")], jwks) };
    let router = Router::new().route("/jwks", get(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}
