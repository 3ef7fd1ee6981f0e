//! An issuer: its name and its keys, held together.

use std::sync::Arc;

use time::UtcDateTime;

#[cfg(feature = "remote")]
use super::remote::RemoteKeys;
use super::source::{KeySource, Keys, KeysUnavailable};
use super::status::KeyStatus;
use super::template::IssuerTemplate;
use super::tenants::{Approve, LastUse, NewTenant, TenantKeys, Tenants};
use crate::answer::Answer;
use crate::config_error::ConfigError;
use crate::jose::{Algorithm, Backend, KeySetId};
#[cfg(feature = "remote")]
use crate::outbound::HttpClient;
use crate::profile::Profile;
use crate::token::{AccessToken, IssuerTerms, KeyHint};

/// An issuer of tokens: its name, its keys, and how its tokens are written.
///
/// A key is used for tokens of its own issuer only. Choose the constructor by where the keys are:
///
/// - [`discover`](Self::discover) finds them by the issuer's metadata, and renews them.
/// - [`new`](Self::new) accepts keys that you hold, [`RemoteKeys`](crate::keys::RemoteKeys) with other settings, and
///   any other [`KeySource`].
/// - [`tenants`](Self::tenants) and [`tenants_with_shared_keys`](Self::tenants_with_shared_keys) make an issuer for
///   each tenant of a template.
///
/// Clones share the keys. Clones of a template share its tenants only until one of them gets another setting.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use unconfused::keys::{Algorithm, KeySet};
/// use unconfused::{Audience, Guard, Issuer, Reason, Scope};
/// # use unconfused::testing::TestIssuer;
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// const READ: Scope = Scope::from_static("orders:read");
/// # let login = TestIssuer::new("https://login.example");
/// # let jwks = login.jwks();
///
/// let keys = KeySet::from_json(&jwks)?; // the issuer's JWK Set
/// let issuer = Issuer::new("https://login.example", keys).algorithms([Algorithm::Es256]);
/// let guard = Guard::new(ORDERS, issuer);
/// # let authorize = |token: String| {
/// #     let request = http::Request::get("/orders").header("authorization", format!("Bearer {token}"));
/// #     let (mut head, ()) = request.body(()).unwrap().into_parts();
/// #     guard.authorize(&mut head, READ).now().unwrap()
/// # };
///
/// let token = login.token(&ORDERS).scope("orders:read");
/// assert!(authorize(token.sign()).is_ok());
///
/// // Another issuer's key under this issuer's name.
/// let other = TestIssuer::new("https://other.example");
/// let denial = authorize(token.forged_by(&other).sign()).unwrap_err();
/// assert_eq!(denial.reason(), Reason::SignatureInvalid);
/// # }
/// # Ok::<(), unconfused::keys::KeySetError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Issuer {
    pub(crate) terms: IssuerTerms,
    keys: IssuerKeys,
    /// Set for a tenant that is kept.
    last_use: Option<LastUse>,
}

#[derive(Debug, Clone)]
enum IssuerKeys {
    Own(Arc<dyn KeySource>),
    /// This is a template of issuers.
    Tenants(Arc<Tenants<Issuer>>),
}

impl Issuer {
    /// Creates an issuer of this name, with its keys.
    ///
    /// A token is the issuer's if its `iss` is this name. The two are compared code point by code point, so a trailing
    /// slash counts.
    pub fn new(name: impl Into<String>, keys: impl KeySource) -> Self {
        let keys = IssuerKeys::Own(Arc::new(keys));
        Issuer { terms: IssuerTerms::new(name.into()), keys, last_use: None }
    }

    /// Creates an issuer whose keys are found by its metadata.
    ///
    /// The name of the issuer is the URL, and its keys are [`RemoteKeys::discover`], where the settings are. Nothing is
    /// fetched yet, and an issuer that is down is not an error here: [`Guard::ready`](crate::Guard::ready) fetches, or
    /// the first request does.
    ///
    /// ```
    /// # #[cfg(feature = "reqwest")] {
    /// use unconfused::Issuer;
    ///
    /// let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    /// let issuer = Issuer::discover("https://login.example", client.clone())?;
    ///
    /// assert!(Issuer::discover("http://login.example", client).is_err());
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if this is not an `https` URL without user, query, fragment and dot segments.
    #[cfg(feature = "remote")]
    #[cfg_attr(docsrs, doc(cfg(feature = "remote")))]
    pub fn discover(url: &str, client: impl HttpClient) -> Result<Self, ConfigError> {
        Ok(Issuer::new(url, RemoteKeys::discover(url, client)?))
    }

    /// Creates an issuer whose keys are found by its metadata, over plain `http` on this machine. **For development.**
    ///
    /// See [`RemoteKeys::discover_without_tls_on_loopback`].
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if [`discover`](Self::discover) does, except for `http` on the loopback interface.
    #[cfg(feature = "remote")]
    #[cfg_attr(docsrs, doc(cfg(feature = "remote")))]
    pub fn discover_without_tls_on_loopback(
        url: &str,
        client: impl HttpClient,
    ) -> Result<Self, ConfigError> {
        Ok(Issuer::new(url, RemoteKeys::discover_without_tls_on_loopback(url, client)?))
    }

    /// Creates a template of issuers: one for each tenant, each with its own keys.
    ///
    /// The issuers are those whose name is the template with a tenant, `[A-Za-z0-9.-]{1,64}`, in the place of
    /// `{tenant}`.
    ///
    /// - `approve` is called **for every token**, before the name is used for anything else, and must answer from
    ///   memory. Compare the exact name: a tenant in other case is another issuer.
    /// - `keys` is then called with the name of the issuer and returns its keys, unless they are kept already. If it
    ///   returns an error, the tenant is not trusted.
    ///
    /// All other settings of this issuer apply to each tenant. The keys of the 1000 tenants whose tokens were verified
    /// last are kept; see [`max_tenants`](Self::max_tenants).
    ///
    /// With a profile that has [`Profile::tenant_in_issuer`], the tenant claim of a token must name the same tenant
    /// (`tenant_mismatch`).
    ///
    /// ```
    /// # #[cfg(feature = "reqwest")] {
    /// use unconfused::keys::RemoteKeys;
    /// use unconfused::profile::Profile;
    /// use unconfused::Issuer;
    ///
    /// let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    /// let customers = ["11111111-2222-3333-4444-555555555555"]; // of yours
    /// let issuer = Issuer::tenants(
    ///     "https://login.microsoftonline.com/{tenant}/v2.0",
    ///     move |tenant| customers.contains(&tenant),
    ///     move |issuer| RemoteKeys::discover(issuer, client.clone()),
    /// )?
    /// .profile(Profile::entra_v2());
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// The token of a tenant that is not approved is refused, and a template that would let a tenant choose the domain
    /// is an error:
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use unconfused::keys::KeySet;
    /// use unconfused::{Audience, Guard, Issuer, Reason, Scope};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const READ: Scope = Scope::from_static("orders:read");
    /// # let acme = TestIssuer::new("https://login.example/acme");
    /// # let keys = acme.keys();
    ///
    /// let issuer = Issuer::tenants(
    ///     "https://login.example/{tenant}",
    ///     |tenant| tenant == "acme",
    ///     move |_| Ok(keys.clone()),
    /// )?;
    /// let guard = Guard::new(ORDERS, issuer);
    /// # let authorize = |login: &TestIssuer| {
    /// #     let token = login.token(&ORDERS).scope("orders:read").bearer();
    /// #     let request = http::Request::get("/orders").header("authorization", token);
    /// #     let (mut head, ()) = request.body(()).unwrap().into_parts();
    /// #     guard.authorize(&mut head, READ).now().unwrap()
    /// # };
    /// assert!(authorize(&acme).is_ok());
    ///
    /// let stranger = TestIssuer::new("https://login.example/stranger");
    /// assert_eq!(authorize(&stranger).unwrap_err().reason(), Reason::IssuerUntrusted);
    ///
    /// assert!(Issuer::tenants("https://{tenant}/", |_| true, |_| Ok(KeySet::default())).is_err());
    /// # }
    /// # Ok::<(), unconfused::error::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if the template does not have `{tenant}` exactly once; if that is neither in the path
    /// nor the first label of a host under a domain; or if the names are not `https` URLs without user, query, fragment
    /// and dot segments.
    pub fn tenants<K: KeySource>(
        template: &str,
        approve: impl Fn(&str) -> bool + Send + Sync + 'static,
        keys: impl Fn(&str) -> Result<K, ConfigError> + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        let make = move |issuer: &str| -> Option<Arc<dyn KeySource>> {
            Some(Arc::new(keys(issuer).ok()?))
        };
        Issuer::from_template(template, Arc::new(approve), TenantKeys::Separate(Arc::new(make)))
    }

    /// Creates a template of issuers that all have the same set of keys.
    ///
    /// This is [`tenants`](Self::tenants) for a vendor that publishes one JWK Set for all tenants. A key verifies
    /// tokens of the issuer that its member `issuer` names, in which `{tenantid}` stands for any tenant. A key without
    /// that member verifies none (`key_unusable`).
    ///
    /// ```
    /// # #[cfg(feature = "reqwest")] {
    /// use unconfused::keys::RemoteKeys;
    /// use unconfused::profile::Profile;
    /// use unconfused::Issuer;
    ///
    /// // At a fixed URL, because the metadata of `common` does not name an issuer.
    /// let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    /// let keys = RemoteKeys::from_jwks_uri("https://login.microsoftonline.com/common/discovery/v2.0/keys", client)?;
    /// let issuer = Issuer::tenants_with_shared_keys(
    ///     "https://login.microsoftonline.com/{tenant}/v2.0",
    ///     |tenant| tenant == "11111111-2222-3333-4444-555555555555",
    ///     keys,
    /// )?
    /// .profile(Profile::entra_v2());
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if [`tenants`](Self::tenants) does.
    pub fn tenants_with_shared_keys(
        template: &str,
        approve: impl Fn(&str) -> bool + Send + Sync + 'static,
        keys: impl KeySource,
    ) -> Result<Self, ConfigError> {
        let keys = TenantKeys::Shared(Arc::new(keys));
        let issuer = Issuer::from_template(template, Arc::new(approve), keys)?;
        Ok(issuer.with(|terms| terms.keys_are_shared = true))
    }

    fn from_template(
        template: &str,
        approve: Arc<Approve>,
        keys: TenantKeys,
    ) -> Result<Self, ConfigError> {
        let tenants = Tenants::new(IssuerTemplate::parse(template)?, approve, keys);
        let terms = IssuerTerms::new(template.to_owned());
        Ok(Issuer { terms, keys: IssuerKeys::Tenants(Arc::new(tenants)), last_use: None })
    }

    /// Sets how many tenants have their keys kept, which should be as many as you approve.
    ///
    /// A tenant whose tokens are not verified costs memory, and neither a task nor a request.
    ///
    /// If there are more, one tenant a second is evicted for another, by the guard's clock, and the tokens of the rest
    /// are answered with 503. Tenants with shared keys are not limited, but the tokens of those beyond this number are
    /// never cached. Defaults to 1000. Does nothing for an issuer that is not a template.
    #[must_use]
    pub fn max_tenants(mut self, most: usize) -> Self {
        if let IssuerKeys::Tenants(tenants) = &self.keys {
            self.keys = IssuerKeys::Tenants(Arc::new(tenants.with_capacity(most)));
        }
        self
    }

    /// Returns the name that the tokens have as `iss`, or the template.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.terms.name
    }

    /// Sets how this issuer writes its tokens.
    ///
    /// Defaults to [`Profile::rfc9068`], which most vendors' tokens do not follow.
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use unconfused::profile::Profile;
    /// use unconfused::{Audience, Guard, Reason, Scope};
    /// # use unconfused::{Denial, Grant, Issuer};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const READ: Scope = Scope::from_static("orders:read");
    /// # let login = TestIssuer::new("https://login.example/");
    /// # let token = login.token(&ORDERS).header("typ", "JWT").without_claim("client_id").claim("azp", "web-app");
    /// # let token = token.scope("orders:read").bearer();
    /// # let issuer = login.issuer();
    /// # let authorize = |guard: &Guard| -> Result<Grant, Denial> {
    /// #     let request = http::Request::get("/orders").header("authorization", &token);
    /// #     let (mut head, ()) = request.body(()).unwrap().into_parts();
    /// #     guard.authorize(&mut head, READ).now().unwrap()
    /// # };
    ///
    /// // A token of Auth0: its `typ` is `JWT`, and its client is in `azp`.
    /// let guard = Guard::new(ORDERS, issuer.clone().profile(Profile::auth0()));
    /// assert_eq!(authorize(&guard).unwrap().client_id(), Some("web-app"));
    ///
    /// // Without the profile it is refused.
    /// let guard = Guard::new(ORDERS, issuer);
    /// assert_eq!(authorize(&guard).unwrap_err().reason(), Reason::TokenTypeMismatch);
    /// # }
    /// ```
    #[must_use]
    pub fn profile(self, profile: Profile) -> Self {
        self.with(|terms| terms.profile = profile)
    }

    /// Sets the algorithms that are allowed for this issuer.
    ///
    /// Defaults to [`Algorithm::DEFAULT`].
    #[must_use]
    pub fn algorithms(self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.with(|terms| terms.algorithms = algorithms.into_iter().collect())
    }

    /// Sets the backend that verifies this issuer's signatures.
    #[must_use]
    pub fn backend(self, backend: Backend) -> Self {
        self.with(|terms| terms.backend = backend)
    }

    /// Adds clients that are agents.
    ///
    /// Some agents are not in `act`: they logged their user in, and are only the client of the token. With this setting
    /// such a client counts as the current actor, with [`ActorSource::Client`](crate::token::ActorSource::Client), if
    /// `act` names no actor. A client whose token is its own (`sub` is `client_id`) does not act for anyone else, and
    /// is not an actor.
    #[must_use]
    pub fn agent_clients(self, clients: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.with(|terms| terms.agents.add_clients(clients))
    }

    /// Adds a rule that says which clients are agents, beside [`agent_clients`](Self::agent_clients).
    ///
    /// The rule sees a validated token. What follows from its answer, such as a shorter lifetime, is checked after
    /// everything else.
    #[must_use]
    pub fn agent_clients_if(
        self,
        is_agent: impl Fn(&AccessToken) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.with(|terms| terms.agents.add_rule(is_agent))
    }

    /// Requires that agents are named in `act`.
    ///
    /// A token that names no actor, and whose client is one of the [`agent_clients`](Self::agent_clients), is a
    /// person's own token in the hands of an agent. Every requirement refuses it (`actor_required`, unless an earlier
    /// check refuses it first). If no agent clients are set, every client counts as one. A client whose token is its
    /// own needs no `act`.
    #[must_use]
    pub fn agents_must_act(self) -> Self {
        self.with(|terms| terms.agents.require_act())
    }

    /// Changes the terms. Tenants that were made with the old ones are not used again.
    fn with(mut self, change: impl FnOnce(&mut IssuerTerms)) -> Self {
        change(&mut self.terms);
        if let IssuerKeys::Tenants(tenants) = &self.keys {
            self.keys = IssuerKeys::Tenants(Arc::new(tenants.empty_copy()));
        }
        self
    }

    pub(crate) fn is_template(&self) -> bool {
        matches!(self.keys, IssuerKeys::Tenants(_))
    }

    /// Returns the issuer of this name, if this is a template and its owner approves the tenant.
    pub(crate) fn tenant_issuer(&self, name: &str, at: UtcDateTime) -> Option<Arc<Issuer>> {
        match &self.keys {
            IssuerKeys::Own(_) => None,
            IssuerKeys::Tenants(tenants) => {
                tenants.issuer(name, at, |new| Issuer::for_tenant(name, &self.terms, new))
            }
        }
    }

    fn for_tenant(name: &str, terms: &IssuerTerms, new: NewTenant<'_>) -> Self {
        let NewTenant { tenant, keys, last_use } = new;
        let tenant = Some(tenant.to_owned());
        let terms = IssuerTerms { name: name.to_owned(), tenant, ..terms.clone() };
        Issuer { terms, keys: IssuerKeys::Own(keys), last_use }
    }

    /// Returns true for the issuer of a tenant, which is approved for every token.
    pub(crate) fn is_tenant(&self) -> bool {
        self.terms.tenant.is_some()
    }

    /// Notes that a token of this issuer was verified, if it is a tenant.
    pub(crate) fn mark_used(&self) {
        if let (Some(last_use), IssuerKeys::Own(keys)) = (&self.last_use, &self.keys) {
            last_use.update();
            keys.mark_used();
        }
    }

    /// Returns the issuer's own keys. A template has some only if they are shared.
    fn own_keys(&self) -> Option<&Arc<dyn KeySource>> {
        match &self.keys {
            IssuerKeys::Own(keys) => Some(keys),
            IssuerKeys::Tenants(tenants) => tenants.shared_keys(),
        }
    }

    pub(crate) fn keys(&self, hint: KeyHint<'_>) -> Keys {
        match self.own_keys() {
            Some(keys) => keys.keys(hint),
            None => Answer::Now(Err(KeysUnavailable::new("a template has no keys"))),
        }
    }

    pub(crate) fn is_current(&self, keys: KeySetId, hint: KeyHint<'_>) -> bool {
        self.own_keys().is_some_and(|own| own.is_current(keys, hint))
    }

    /// Returns `None` for a template whose tenants have separate keys.
    pub(crate) fn key_status(&self) -> Option<KeyStatus> {
        self.own_keys().map(|keys| keys.status())
    }

    pub(crate) fn warm_up(&self) -> Answer<'static, ()> {
        self.own_keys().map_or(Answer::Now(()), |keys| keys.warm_up())
    }
}
