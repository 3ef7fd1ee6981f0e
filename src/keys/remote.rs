//! Keys that are fetched and renewed.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::cache::Cache;
use super::discovery;
use super::fetch::{Fetcher, KeyLocation};
use super::renewal::Renewal;
use super::source::{KeySource, Keys};
use super::status::KeyStatus;
use super::url::{AllowedScheme, unusable};
use crate::answer::Answer;
use crate::config_error::ConfigError;
use crate::jose::{KeySet, KeySetId};
use crate::outbound::HttpClient;
use crate::token::KeyHint;

const NOT_HTTPS: &str =
    "it is not https; inside a cluster, `RemoteKeys::from_jwks_uri_without_tls` accepts plain http";

/// Fetches the keys of one issuer when they are first needed, and renews them in a task of its own.
///
/// - **A request whose key is known never waits**, not even while keys are renewed or if that fails. Keys are renewed
///   before they are stale. They are fresh for as long as the issuer says (`Cache-Control`), but at least 5 minutes and
///   at most 24 hours; for 10 minutes if it says nothing; and never for longer than half of
///   [`stale_for`](Self::stale_for).
/// - **An unknown key id** is looked for: the request waits for one fetch, at most 2 seconds and along with at most 255
///   others. Any request beyond that is answered with 503. A key id that the fetch does not bring is `key_not_found`,
///   and is not looked for again for 30 seconds. If no fetch could look for it, or the fetch failed, it is not known
///   whether the key exists, and the answer is 503.
/// - **At most 2 fetches begin within 30 seconds**, whatever tokens say and however the fetches end. The first good set
///   counts, but no attempt before it.
/// - **Until the first good set** the issuer is tried again by a task: about 1, 2, 4, 8 and 15 seconds after the attempt
///   before began, then every 15 seconds, so requests pass within 15 seconds after the issuer is back. At most 6
///   attempts begin in the first 30 seconds, and at most 3 in any later 30 seconds. Requests and probes add none. A
///   request that finds no attempt in flight is answered with 503 at once.
/// - **The keys of a tenant** ([`Issuer::tenants`](crate::Issuer::tenants)) are renewed only if a token was verified with
///   them since the fetch before. Otherwise the task ends, and the next request begins it again. Their 2 fetches within
///   30 seconds are counted from the start.
/// - **An issuer that is down** is not noticed for [`stale_for`](Self::stale_for) after the last successful fetch.
///   After that there are no keys: requests are answered with 503 (`keys_unavailable`) until it is back. This time is
///   measured by the clock of the runtime, which may stand still while a machine is suspended.
/// - **A withdrawn key** is refused once a fetch has brought a set without it. If the set has no key at all that can be
///   used, requests are answered with 503 (`keys_unavailable`) until a fetch brings one. It is repeated after 30 seconds,
///   or by a request. If another key is published under the same id, that is noticed when keys are renewed; until then its tokens are
///   `signature_invalid`.
/// - An answer has at most 256 KiB and 100 keys, and comes within 5 seconds, without redirects.
/// - All tasks, a fetch in flight too, end when the keys are dropped.
///
/// - **A token without a key id** is tried with the keys for its algorithm, if there are at most 3. If none verifies it,
///   it may be signed with a new key, which is looked for like an unknown key id: 503 if no fetch could look for it, and
///   `signature_invalid` if the set that was fetched does not verify it either. Which tokens were looked for is not
///   remembered, so the next one costs another fetch of the same budget.
/// - **An algorithm that no key of the issuer has** causes no fetch, once there are keys: the token is refused as it is
///   with these (`key_unusable` if its key id is known, otherwise `key_not_found`). So an issuer that begins to use
///   another algorithm must publish the new key ahead: its tokens are refused until the keys have been renewed.
///
/// Nothing is ever fetched from a URL in a token.
///
/// # Runtime
///
/// Requests must be made in a Tokio runtime that has its timer (`enable_time` or `enable_all`). A request outside of
/// one that needs a fetch is answered with 500, and the record says why.
///
/// Tokio tells a runtime without a timer by a panic alone, which is caught here before a fetch begins. In a program that
/// is built with **`panic = "abort"`** it cannot be caught, and the first request that needs a fetch ends the process: a
/// forged token is enough. In such a program, call [`Guard::ready`](crate::Guard::ready) at the start, in the runtime
/// that will serve the requests. If the timer is missing, the process ends there.
///
/// ```
/// # #[cfg(feature = "reqwest")] {
/// use std::time::Duration;
/// use unconfused::keys::RemoteKeys;
/// use unconfused::Issuer;
///
/// # use reqwest::redirect::Policy;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = reqwest::Client::builder().redirect(Policy::none()).build()?;
/// let keys = RemoteKeys::from_jwks_uri("https://login.example/keys", client.clone())?
///     .stale_for(Duration::from_secs(600));
/// let issuer = Issuer::new("https://login.example", keys);
///
/// assert!(RemoteKeys::from_jwks_uri("http://login.example/keys", client).is_err());
/// # Ok(())
/// # }
/// # }
/// ```
///
/// An issuer that is down does not stop a service that has its keys:
///
/// ```
/// # #[cfg(feature = "testing")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use unconfused::keys::{KeyState, RemoteKeys};
/// use unconfused::{Audience, Guard, Issuer, Reason, Scope};
/// # use unconfused::testing::TestIssuer;
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// const READ: Scope = Scope::from_static("orders:read");
///
/// # let login = TestIssuer::new("https://login.example");
/// # let client = login.client();
/// # let token = login.token(&ORDERS).scope("orders:read");
/// let keys = RemoteKeys::discover("https://login.example", client.clone())?;
/// let guard = Guard::new(ORDERS, Issuer::new("https://login.example", keys));
/// assert!(guard.ready().await.is_ready());
///
/// client.set_unreachable(true);
/// assert_eq!(token.granted_by(&guard, READ).subject().name(), "alice");
///
/// // A service that starts now has no keys.
/// let keys = RemoteKeys::discover("https://login.example", client)?;
/// let guard = Guard::new(ORDERS, Issuer::new("https://login.example", keys));
/// let readiness = guard.ready().await;
/// let (_, status) = readiness.issuers().next().unwrap();
/// assert_eq!(status.state, KeyState::Missing);
/// let request = http::Request::get("/orders").header("authorization", token.bearer());
/// let (mut head, ()) = request.body(())?.into_parts();
/// let denial = guard.authorize(&mut head, READ).await.unwrap_err();
/// assert_eq!(denial.reason(), Reason::KeysUnavailable); // answered with 503
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "testing"))]
/// # fn main() {}
/// ```
pub struct RemoteKeys {
    renewal: Arc<Renewal>,
    without_tls: bool,
}

impl RemoteKeys {
    /// Creates the keys at this URL, the issuer's `jwks_uri`. Nothing is fetched yet.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if this is not an `https` URL without user, fragment and dot segments. For plain `http`
    /// inside a cluster, see [`from_jwks_uri_without_tls`](Self::from_jwks_uri_without_tls).
    pub fn from_jwks_uri(jwks_uri: &str, client: impl HttpClient) -> Result<Self, ConfigError> {
        let uri = AllowedScheme::Https.parse_with_query(jwks_uri).map_err(|error| {
            match AllowedScheme::Http.parse_with_query(jwks_uri) {
                Ok(_) => unusable(jwks_uri, NOT_HTTPS),
                Err(_) => error,
            }
        })?;
        Ok(RemoteKeys::new(KeyLocation::Fixed(uri), AllowedScheme::Https, client))
    }

    /// Creates the keys at this URL, which are fetched over plain `http`. **Anyone who can answer for that host, or is
    /// on the way to it, can hand out keys, and with them any token.**
    ///
    /// Use it inside a cluster whose network you trust like this process, if the issuer serves no TLS there. This one
    /// URL is fetched and nothing else: no metadata is read, and a redirect is an error. A `jwks_uri` that metadata
    /// names is still never fetched over plain `http`. [`KeyStatus::without_tls`](super::KeyStatus::without_tls) shows
    /// these keys to a readiness probe.
    ///
    /// The name of the issuer is what its tokens say, whatever this URL is:
    ///
    /// ```
    /// # #[cfg(feature = "reqwest")] {
    /// use unconfused::keys::RemoteKeys;
    /// use unconfused::{Audience, Guard, Issuer};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    ///
    /// let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    /// let keys = RemoteKeys::from_jwks_uri_without_tls("http://login.auth.svc.cluster.local/keys", client)?;
    /// let guard = Guard::new(ORDERS, Issuer::new("https://login.example", keys));
    /// assert!(guard.readiness().to_string().contains("without_tls"));
    /// # Ok(())
    /// # }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if this is not an `http` URL without user, fragment and dot segments. For `https`, use
    /// [`from_jwks_uri`](Self::from_jwks_uri).
    pub fn from_jwks_uri_without_tls(
        jwks_uri: &str,
        client: impl HttpClient,
    ) -> Result<Self, ConfigError> {
        let uri = AllowedScheme::Http.parse_with_query(jwks_uri)?;
        Ok(RemoteKeys::new(KeyLocation::Fixed(uri), AllowedScheme::Http, client))
    }

    /// Creates the keys of this issuer, which are where its metadata says. Nothing is fetched yet.
    ///
    /// The metadata ([RFC 8414 section 3](https://www.rfc-editor.org/rfc/rfc8414#section-3), OpenID Connect Discovery
    /// section 4) must name this very issuer, character for character, and an `https` URL as `jwks_uri`.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if this is not an `https` URL without user, query, fragment and dot segments.
    pub fn discover(issuer: &str, client: impl HttpClient) -> Result<Self, ConfigError> {
        RemoteKeys::discover_over(AllowedScheme::Https, issuer, client)
    }

    /// Creates the keys of an issuer that may be on this machine, over plain `http`. **For development.**
    ///
    /// Issuer and keys may be at `http://127.0.0.1`, `http://localhost` or another loopback address. Anyone who can
    /// listen there can hand out keys.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if [`discover`](Self::discover) does, except for `http` on the loopback interface.
    pub fn discover_without_tls_on_loopback(
        issuer: &str,
        client: impl HttpClient,
    ) -> Result<Self, ConfigError> {
        RemoteKeys::discover_over(AllowedScheme::HttpOnLoopback, issuer, client)
    }

    fn discover_over(
        scheme: AllowedScheme,
        issuer: &str,
        client: impl HttpClient,
    ) -> Result<Self, ConfigError> {
        let location = KeyLocation::Discovered {
            issuer: issuer.to_owned(),
            metadata_urls: discovery::metadata_urls(&scheme.parse(issuer)?),
            scheme,
            jwks_uri: Mutex::default(),
        };
        Ok(RemoteKeys::new(location, scheme, client))
    }

    fn new(location: KeyLocation, scheme: AllowedScheme, client: impl HttpClient) -> Self {
        let renewal = Arc::new(Renewal::new(Fetcher::new(client, location)));
        RemoteKeys { renewal, without_tls: scheme != AllowedScheme::Https }
    }

    /// Sets how long keys are used after the last successful fetch.
    ///
    /// This is how long an issuer may be down, and how long a withdrawn key is accepted if the issuer cannot be
    /// reached. Defaults to one hour.
    ///
    /// # Panics
    ///
    /// Panics if this is less than one minute, because the keys could not be renewed in time.
    #[must_use]
    pub fn stale_for(self, stale_for: Duration) -> Self {
        assert!(
            stale_for >= Cache::<KeySet>::MIN_STALE,
            "keys are used for at least one minute after they were fetched, not for {stale_for:?}"
        );
        self.renewal.set_stale_for(stale_for);
        self
    }
}

impl KeySource for RemoteKeys {
    fn keys(&self, hint: KeyHint<'_>) -> Keys {
        self.renewal.keys(hint)
    }

    fn is_current(&self, keys: KeySetId, hint: KeyHint<'_>) -> bool {
        self.renewal.is_current(keys, hint)
    }

    fn warm_up(&self) -> Answer<'static, ()> {
        self.renewal.warm_up()
    }

    fn renew_while_used(&self) {
        self.renewal.renew_while_used();
    }

    fn mark_used(&self) {
        self.renewal.mark_used();
    }

    fn status(&self) -> KeyStatus {
        KeyStatus { without_tls: self.without_tls, ..self.renewal.status() }
    }
}

impl fmt::Debug for RemoteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteKeys({})", self.status())
    }
}
