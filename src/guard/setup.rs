//! The settings of a guard. Each change of them makes another guard.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use http::{HeaderName, Method};
use time::UtcDateTime;

use super::clock::Clock;
use super::listing::Listings;
use super::policy_settings::Policies;
use super::{Guard, Inner};
use crate::audit::Audit;
use crate::challenge::{DetailsDialect, MetadataUrl};
use crate::credential::DPOP;
use crate::detail::DetailType;
use crate::keys::Issuer;
use crate::names::Audience;
use crate::proof::{ClientCertificate, Dpop};
use crate::replay::ReplayStore;
use crate::token::{ScopeHierarchy, Terms, TokenLimits};
use crate::token_cache::TokenCache;

impl Guard {
    /// How many validated tokens are cached by default.
    const TOKEN_CACHE_CAPACITY: usize = 10_000;

    /// Makes a guard for the resource that tokens call `audience`, and that trusts `issuer`.
    ///
    /// [`trust`](Self::trust) adds more issuers, [`also_accept`](Self::also_accept) more names of the resource.
    pub fn new(audience: impl Into<Audience>, issuer: Issuer) -> Self {
        let audience = audience.into();
        let inner = Inner {
            id: 0,
            metadata_url: MetadataUrl::for_resource(&audience),
            details_dialect: DetailsDialect::default(),
            terms: Terms::new(audience),
            issuers: BTreeMap::new(),
            templates: Vec::new(),
            clock: Clock::System,
            credential_field: AUTHORIZATION,
            is_secure: None,
            certificate_source: None,
            certificate_fields: Vec::new(),
            token_cache_capacity: Guard::TOKEN_CACHE_CAPACITY,
            token_cache: Arc::new(TokenCache::new(0, 1)),
            proof_store: None,
            spent_store: None,
            approvals: None,
            require_nonce_if: None,
            policies: Policies::default(),
            audit: Vec::new(),
            is_timed: false,
            make_text: None,
            listings: Arc::default(),
        };
        Guard { inner: Arc::new(inner) }.trust(issuer)
    }

    /// Changes the settings, which makes another guard with an empty cache and without layers.
    pub(super) fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let inner = Arc::make_mut(&mut self.inner);
        inner.id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        inner.listings = Arc::new(Listings::default());
        change(inner);
        // Tokens that were validated under other settings must not be found.
        let has_tenants = !inner.templates.is_empty();
        let issuers = if has_tenants { usize::MAX } else { inner.issuers.len() };
        inner.token_cache = Arc::new(TokenCache::new(inner.token_cache_capacity, issuers));
        self
    }
}

/// # Issuers, audiences and scopes
impl Guard {
    /// Trusts another issuer.
    ///
    /// Every trusted issuer may assert **any** subject, scope and client. Subjects and clients of the same name are told
    /// apart by their issuer: [`AccessToken::subject`](crate::AccessToken::subject) and
    /// [`Require::client`](crate::Require::client) compare both. [`Require::issuer`](crate::Require::issuer) limits an
    /// operation to some of the issuers.
    ///
    /// # Panics
    ///
    /// Panics if an issuer of that name is already trusted.
    #[must_use]
    pub fn trust(self, issuer: Issuer) -> Self {
        self.with(|inner| {
            let name = issuer.name().to_owned();
            let is_template = inner.templates.iter().any(|template| template.name() == name);
            assert!(
                !is_template && !inner.issuers.contains_key(&name),
                "the issuer `{name}` is already trusted"
            );
            if issuer.is_template() {
                inner.templates.push(issuer);
            } else {
                inner.issuers.insert(name, Arc::new(issuer));
            }
        })
    }

    /// Accepts tokens that call this resource by another name.
    ///
    /// Names are compared exactly. To accept a name with and without a slash at the end, list both.
    #[must_use]
    pub fn also_accept(self, audience: impl Into<Audience>) -> Self {
        self.with(|inner| inner.terms.vocabulary.make_mut().audiences.push(audience.into()))
    }

    /// Sets which scopes imply others; see [`Validation::scope_hierarchy`](crate::token::Validation::scope_hierarchy).
    #[must_use]
    pub fn scope_hierarchy(self, hierarchy: ScopeHierarchy) -> Self {
        self.with(|inner| inner.terms.vocabulary.make_mut().hierarchy = Some(hierarchy))
    }
}

/// # Authorization details
impl Guard {
    /// Adds a type of authorization details, by which [`Require::detail`](crate::Require::detail) compares what is asked
    /// with what was granted.
    ///
    /// A token's entries of a type that was not added grant nothing. The [metadata](Self::metadata) lists the types.
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use unconfused::detail::DetailType;
    /// use unconfused::{Audience, Guard};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// # let issuer = TestIssuer::new("https://login.example").issuer();
    ///
    /// let refund = DetailType::new("order_refund").exact("order").exact("currency").at_most("amount");
    /// let guard = Guard::new(ORDERS, issuer).detail_type(refund);
    /// # drop(guard);
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if a type of the same name was added before.
    #[must_use]
    pub fn detail_type(self, detail_type: DetailType) -> Self {
        self.with(|inner| inner.terms.add_detail_type(detail_type))
    }

    /// Sets how clients are told that authorization details are lacking. Defaults to [`DetailsDialect::Remediation`].
    #[must_use]
    pub fn details_dialect(self, dialect: DetailsDialect) -> Self {
        self.with(|inner| inner.details_dialect = dialect)
    }
}

/// # Limits on tokens
impl Guard {
    /// Sets the limits on tokens: leeway, lifetimes, age, audiences, actors and bytes.
    ///
    /// Defaults to [`TokenLimits::default`]. This replaces all limits that were set before.
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use std::time::Duration;
    /// use unconfused::token::TokenLimits;
    /// use unconfused::{Audience, Guard, Reason, Scope};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const READ: Scope = Scope::from_static("orders:read");
    /// # let login = TestIssuer::new("https://login.example");
    /// # let issuer = login.issuer();
    ///
    /// let limits = TokenLimits::default().max_lifetime(Duration::from_secs(600)).max_actors(2);
    /// let guard = Guard::new(ORDERS, issuer).limits(limits);
    ///
    /// let token = login.token(&ORDERS).scope("orders:read").lifetime(Duration::from_secs(3600));
    /// let request = http::Request::get("/orders").header("authorization", token.bearer());
    /// let (mut head, ()) = request.body(()).unwrap().into_parts();
    /// let denial = guard.authorize(&mut head, READ).now().unwrap().unwrap_err();
    /// assert_eq!(denial.reason(), Reason::TokenLifetimeExceeded);
    /// # }
    /// ```
    #[must_use]
    pub fn limits(self, limits: TokenLimits) -> Self {
        self.with(|inner| inner.terms.limits = limits)
    }
}

/// # Proof of possession
impl Guard {
    /// Accepts DPoP proofs ([RFC 9449](https://www.rfc-editor.org/rfc/rfc9449)), and the scheme `DPoP` beside `Bearer`.
    ///
    /// Without this setting, a token that is bound to a proof key is refused, whatever is sent with it.
    ///
    /// The store remembers proofs, so that each is accepted once. Use a
    /// [`MemoryReplayStore`](crate::replay::MemoryReplayStore) if the service is one process, and a store that all
    /// processes share if there are several.
    ///
    /// A store does not know which proofs were accepted before it began. Proofs that may have been made before then are
    /// refused (`dpop_proof_stale` or `dpop_nonce_invalid`). With a store in memory, that lasts for about 11 seconds
    /// after a process starts, or for 3 seconds if proofs have [nonces](Dpop::nonces).
    ///
    /// # Panics
    ///
    /// Panics if credentials are in a [field](Self::credential_field) other than `Authorization`.
    #[must_use]
    pub fn dpop(self, dpop: Dpop, store: impl ReplayStore) -> Self {
        assert!(self.reads_authorization(), "{NO_PROOFS_ELSEWHERE}");
        self.with(|inner| {
            inner.terms.dpop = Some(dpop);
            inner.proof_store = Some(Arc::new(store));
        })
    }

    /// Requires nonces in proofs only if `is_required` returns true for the method and path of a request.
    ///
    /// By default, all proofs need a nonce if [`Dpop::nonces`] makes some, and none do otherwise. A nonce that a proof
    /// has must always be valid, needed or not.
    ///
    /// The path is that of the original request, also inside nested routers. The closure is called with the path as it
    /// was sent. If it returns false, it is called again for every other spelling of the path, as
    /// [`require_by`](Self::require_by) lists them, and may be called for one more than once. A nonce is needed if any
    /// spelling needs one, or if the path has several and more than 8 KiB.
    #[must_use]
    pub fn require_nonce_if(
        self,
        is_required: impl Fn(&Method, &str) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.with(|inner| inner.require_nonce_if = Some(Arc::new(is_required)))
    }

    /// Sets how to find the client's certificate, for tokens that are bound to one
    /// ([RFC 8705](https://www.rfc-editor.org/rfc/rfc8705)).
    ///
    /// If this process terminates TLS, use [`ClientCertificate::from_connection`]. If a proxy does, use a closure that
    /// reads the field that the proxy sets, **and first checks that the request comes from the proxy**: anyone else who
    /// can set that field can use a stolen token. Without this setting, tokens that are bound to a certificate are
    /// refused.
    ///
    /// The guard removes the fields about certificates from every request that it lets pass, so a second guard behind it
    /// does not see them. [`certificate_fields`](Self::certificate_fields) says which these are.
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use unconfused::proof::ClientCertificate;
    /// use unconfused::{Audience, Guard};
    /// # use unconfused::testing::TestIssuer;
    /// # #[derive(Clone)]
    /// # struct Peer;
    /// # impl Peer { fn is_our_proxy(&self) -> bool { true } }
    /// # let issuer = TestIssuer::new("https://login.example").issuer();
    ///
    /// let guard = Guard::new(Audience::from_static("https://orders.example"), issuer).client_certificate(|parts| {
    ///     let peer = parts.extensions.get::<Peer>()?; // inserted when the connection was accepted
    ///     if !peer.is_our_proxy() {
    ///         return None; // a field that the proxy did not set
    ///     }
    ///     ClientCertificate::from_field(parts, "client-cert", ClientCertificate::from_client_cert)
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn client_certificate(
        self,
        source: impl Fn(&Parts) -> Option<ClientCertificate> + Send + Sync + 'static,
    ) -> Self {
        self.with(|inner| inner.certificate_source = Some(Arc::new(source)))
    }

    /// Names more fields in which your proxy sends the client's certificate, or what it says of it.
    ///
    /// The guard removes them from every request that it lets pass, like the fields that it knows: those with
    /// `client-cert`, `clientcert` or `client_cert` in their name. Call it again to add more.
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use http::HeaderName;
    /// use unconfused::{Audience, Guard, Scope};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const READ: Scope = Scope::from_static("orders:read");
    /// # let login = TestIssuer::new("https://login.example");
    /// # let issuer = login.issuer();
    ///
    /// let fields = ["ssl-client-s-dn", "x-peer-id"].map(HeaderName::from_static);
    /// let guard = Guard::new(ORDERS, issuer).certificate_fields(fields);
    ///
    /// let request = http::Request::get("/orders")
    ///     .header("authorization", login.token(&ORDERS).scope("orders:read").bearer())
    ///     .header("x-peer-id", "CN=alice");
    /// let (mut head, ()) = request.body(()).unwrap().into_parts();
    /// assert!(guard.authorize(&mut head, READ).now().unwrap().is_ok());
    /// assert!(!head.headers.contains_key("x-peer-id"));
    /// # }
    /// ```
    #[must_use]
    pub fn certificate_fields(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.with(|inner| inner.certificate_fields.extend(names))
    }

    /// Refuses tokens that are not bound to their sender by a proof key or a certificate.
    ///
    /// See [`Require::sender_constrained`](crate::Require::sender_constrained) for single routes.
    #[must_use]
    pub fn sender_constrained(self) -> Self {
        self.with(|inner| inner.terms.sender_constrained = true)
    }
}

/// # Single use
impl Guard {
    /// Sets the store that remembers spent tokens, for [`Require::single_use`](crate::Require::single_use), and used
    /// approvals, for [`approvals`](Self::approvals).
    ///
    /// All replicas and guards of a resource must share one store, since each store accepts a token once. A store does not
    /// know which tokens were spent before it began. If an operation spends tokens, it refuses those
    /// that were issued before then, or within the leeway after it (`token_spent`). So guards that share a store should
    /// have the same leeway.
    #[must_use]
    pub fn replay(self, store: impl ReplayStore) -> Self {
        self.with(|inner| inner.spent_store = Some(Arc::new(store)))
    }
}

/// What both settings say if they meet.
const NO_PROOFS_ELSEWHERE: &str = "DPoP proofs belong to tokens in the field `Authorization`: call either \
                                   `Guard::dpop` or `Guard::credential_field`";

/// # Environment
impl Guard {
    /// Reads the credential from this field, and **never** from `Authorization`.
    ///
    /// Use it behind a proxy that authenticates the user itself and sends a JWT to you in a field of its own, such as
    /// `Cf-Access-Jwt-Assertion` ([`Profile::cloudflare_access`](crate::profile::Profile::cloudflare_access)) or
    /// `X-Goog-IAP-JWT-Assertion` ([`Profile::google_iap`](crate::profile::Profile::google_iap)).
    ///
    /// The value of the field is the token alone, without a scheme. Two fields of that name are refused
    /// (`multiple_credentials`, 400). The token is validated like any other: who sent it does not count. Once access is
    /// granted, the guard removes the field, and every other field that contains the token. `Authorization` stays: this
    /// guard does not know what it is for. The metadata document says that the resource accepts no token in the ways of
    /// RFC 6750 (`bearer_methods_supported` is empty).
    ///
    /// A guard that reads one field does not accept the grant of a guard that reads another, and looks for a credential
    /// in its own.
    ///
    /// **Such a field usually stands for a cookie.** The proxy adds it to every request that the browser of the user
    /// sends, whichever site made the browser send it. So the service needs protection against CSRF, which a token in
    /// `Authorization` does not need: check `Sec-Fetch-Site` or `Origin`, or use a token against CSRF.
    ///
    /// # Panics
    ///
    /// Panics if `name` is `Authorization`, which is read by default, or `Cookie` or `DPoP`, which hold something else;
    /// and if the guard accepts [proofs](Self::dpop).
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use http::HeaderName;
    /// use unconfused::profile::Profile;
    /// use unconfused::{Audience, Guard, Reason, Require};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const TAG: Audience = Audience::from_static("32eafc7626e974616deaf0dc3ce63d7bcbed58a2731e84d06bc3cdf1b53c4228");
    /// const FIELD: HeaderName = HeaderName::from_static("cf-access-jwt-assertion");
    /// # let access = TestIssuer::new("https://example.cloudflareaccess.com");
    /// # let issuer = access.issuer();
    ///
    /// let guard = Guard::new(TAG, issuer.profile(Profile::cloudflare_access())).credential_field(FIELD);
    ///
    /// let token = access.token(&TAG).header("typ", "JWT").claim("type", "app").sign();
    /// let request = http::Request::get("/").header(FIELD, &token).body(()).unwrap();
    /// let (mut head, ()) = request.into_parts();
    /// assert!(guard.authorize(&mut head, Require::valid_token()).now().unwrap().is_ok());
    /// assert!(!head.headers.contains_key(FIELD));
    ///
    /// let request = http::Request::get("/").header("authorization", format!("Bearer {token}")).body(()).unwrap();
    /// let (mut head, ()) = request.into_parts();
    /// let denial = guard.authorize(&mut head, Require::valid_token()).now().unwrap().unwrap_err();
    /// assert_eq!(denial.reason(), Reason::MissingCredentials);
    /// # }
    /// ```
    #[must_use]
    pub fn credential_field(self, name: HeaderName) -> Self {
        assert!(
            ![AUTHORIZATION, COOKIE, DPOP].contains(&name),
            "the field `{name}` does not hold a token alone"
        );
        assert!(self.dpop_settings().is_none(), "{NO_PROOFS_ELSEWHERE}");
        self.with(|inner| inner.credential_field = name)
    }

    /// Refuses requests for which `is_secure` returns false, since they did not come over TLS (`insecure_transport`).
    ///
    /// Without this setting the transport is not checked: behind a proxy that terminates TLS, a layer cannot see it.
    #[must_use]
    pub fn secure_transport(
        self,
        is_secure: impl Fn(&Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.with(|inner| inner.is_secure = Some(Arc::new(is_secure)))
    }

    /// Sets the clock. Defaults to the system's clock.
    ///
    /// The guard reads it once for each request, and once for each later [`narrow`](Self::narrow) and
    /// [`refuse`](Self::refuse).
    #[must_use]
    pub fn clock(self, clock: impl Fn() -> UtcDateTime + Send + Sync + 'static) -> Self {
        self.with(|inner| inner.clock = Clock::Custom(Arc::new(clock)))
    }

    /// Sets how many validated tokens are cached. Defaults to 10,000. With 0, none are.
    ///
    /// Each has room for 4 KiB of memory, and one that needs more takes the room of several. So the tokens never hold
    /// more than this number times 4 KiB, which is 40 MiB by default, and an eighth of that for copies: a thread that is
    /// sent a token again and again has its own, so that cores do not wait for each other. A token that alone needs more than all the room,
    /// or than the share of its issuer, is not cached.
    ///
    /// A cached token that is sent again is not parsed again, and its signature is not verified again. **Everything
    /// else is checked again** for every request. A token is cached for at most 5 minutes, never beyond `exp`, and only
    /// until the issuer's keys change. The cache holds no token that could be sent: signatures are not stored.
    ///
    /// If the guard trusts several issuers, the tokens of one issuer can fill an equal share of the cache, or one
    /// sixteenth if that is more. If it trusts issuers of tenants ([`Issuer::tenants`]), each can fill one sixteenth.
    #[must_use]
    pub fn token_cache_capacity(self, most: usize) -> Self {
        self.with(|inner| inner.token_cache_capacity = most)
    }
}

/// # Records
impl Guard {
    /// Adds a sink that records every decision. Without a sink there is **no record**.
    ///
    /// A closure is a sink; [`audit_fn`](crate::audit::audit_fn) gives it its signature.
    #[must_use]
    pub fn audit(self, sink: impl Audit) -> Self {
        self.with(|inner| {
            inner.is_timed |= sink.wants_time();
            inner.audit.push(Arc::new(sink));
        })
    }
}
