//! What an issuer publishes: its metadata and its keys.

#[cfg(feature = "axum")]
use ::axum::{Router, routing::get};
use serde_json::json;

use super::client::ScriptedClient;
use super::issuer::TestIssuer;
use crate::answer::Answer;

/// # What it publishes
impl TestIssuer {
    /// Returns the metadata of this issuer
    /// ([RFC 8414 section 2](https://www.rfc-editor.org/rfc/rfc8414#section-2)) as JSON. The keys are below the issuer's
    /// URL at `/jwks`.
    ///
    /// ```
    /// use unconfused::testing::TestIssuer;
    ///
    /// let login = TestIssuer::new("https://login.example/eu");
    /// let metadata: serde_json::Value = serde_json::from_str(&login.metadata()).unwrap();
    /// assert_eq!(metadata["issuer"], "https://login.example/eu");
    /// assert_eq!(metadata["jwks_uri"], "https://login.example/eu/jwks");
    /// ```
    #[must_use]
    pub fn metadata(&self) -> String {
        json!({
            "issuer": self.name(),
            "jwks_uri": self.jwks_uri(),
            "response_types_supported": ["code"],
        })
        .to_string()
    }

    /// Returns a client that serves the [metadata](Self::metadata) and the public keys of this issuer, without a
    /// network.
    ///
    /// The keys are those at the time of each request. The metadata names no `token_endpoint`: for a
    /// [next hop](crate::guide::call_the_next_service#in-a-test), serve metadata of your own.
    #[must_use]
    pub fn client(&self) -> ScriptedClient {
        let client = ScriptedClient::new();
        let (origin, path) = self.origin_and_path();
        client.serve(&format!("{origin}{OAUTH}{path}"), self.metadata());
        let this = self.clone();
        client.serve_with(&self.jwks_uri(), move || {
            Answer::Now(Ok(http::Response::new(this.jwks().into_bytes())))
        });
        client
    }

    /// Returns a router that serves the [metadata](Self::metadata), where RFC 8414 and OpenID put it, and the public
    /// keys as they are at the time of each request.
    ///
    /// Serve it on loopback to test discovery over a real connection. The name of the issuer is then the URL of the
    /// server:
    ///
    /// ```
    /// # #[cfg(feature = "reqwest")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use unconfused::testing::TestIssuer;
    /// use unconfused::{Audience, Guard, Issuer, Scope};
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const READ: Scope = Scope::from_static("orders:read");
    ///
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// let url = format!("http://{}", listener.local_addr()?);
    /// let login = TestIssuer::new(&url);
    /// tokio::spawn(axum::serve(listener, login.router()).into_future());
    ///
    /// let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    /// let guard = Guard::new(ORDERS, Issuer::discover_without_tls_on_loopback(&url, client)?);
    /// assert!(guard.ready().await.is_ready());
    /// login.token(&ORDERS).scope("orders:read").granted_by(&guard, READ);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "reqwest"))]
    /// # fn main() {}
    /// ```
    #[cfg(feature = "axum")]
    #[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let (_, path) = self.origin_and_path();
        let mut documents =
            vec![format!("{OAUTH}{path}"), format!("{OPENID}{path}"), format!("{path}{OPENID}")];
        documents.dedup();
        let json = |body: String| ([(http::header::CONTENT_TYPE, "application/json")], body);
        let mut router = Router::new().without_v07_checks();
        for document in documents {
            let metadata = self.metadata();
            router = router.route(&document, get(async move || json(metadata.clone())));
        }
        let this = self.clone();
        router.route(&format!("{path}/jwks"), get(async move || json(this.jwks())))
    }

    fn jwks_uri(&self) -> String {
        format!("{}/jwks", self.name().trim_end_matches('/'))
    }

    /// Splits the name behind its host. The path has no slash at its end.
    fn origin_and_path(&self) -> (&str, &str) {
        let base = self.name().trim_end_matches('/');
        match base.match_indices('/').nth(2) {
            Some((end_of_origin, _)) => base.split_at(end_of_origin),
            None => (base, ""),
        }
    }
}

const OAUTH: &str = "/.well-known/oauth-authorization-server";
#[cfg(feature = "axum")]
const OPENID: &str = "/.well-known/openid-configuration";
