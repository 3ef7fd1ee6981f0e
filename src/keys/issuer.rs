//! An issuer: its name and its keys, held together.

use std::sync::Arc;

#[cfg(feature = "remote")]
use super::RemoteKeys;
use super::tenants::{TenantKeys, Tenants, Used};
use super::{KeySource, KeyStatus, Keys, KeysUnavailable};
use crate::answer::Answer;
use crate::config_error::ConfigError;
use crate::jose::{Algorithm, Backend, KeySetId};
#[cfg(feature = "remote")]
use crate::outbound::HttpClient;
use crate::profile::Profile;
use crate::token::{AccessToken, IssuerTerms, KeyHint};

/// Who issues tokens: a name and its keys, which never leave it. Clones share the keys; of a template
/// ([`tenants`](Self::tenants)), only while nothing is set differently.
///
/// ```
/// use unconfused::keys::{Algorithm, KeySet};
/// use unconfused::{Audience, Guard, Issuer};
///
/// let keys = KeySet::from_json(r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"1",
///     "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
///     "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#)?;
/// let issuer = Issuer::new("https://login.example", keys).algorithms([Algorithm::Es256]);
/// let guard = Guard::new(Audience::from_static("https://orders.example"), issuer);
/// # Ok::<(), unconfused::keys::KeySetError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Issuer {
    pub(crate) terms: IssuerTerms,
    source: Source,
    /// A tenant's.
    used: Option<Used>,
}

#[derive(Debug, Clone)]
enum Source {
    /// The issuer's own keys.
    Keys(Arc<dyn KeySource>),
    /// It is a template of issuers.
    Tenants(Arc<Tenants>),
}

impl Issuer {
    /// The issuer whose tokens have this `iss`, compared code point by code point, with a trailing slash
    /// where it has one; and its keys.
    pub fn new(name: impl Into<String>, keys: impl KeySource) -> Self {
        let source = Source::Keys(Arc::new(keys));
        Issuer { terms: IssuerTerms::new(name.into()), source, used: None }
    }

    /// The issuer of this name, and the keys that its metadata leads to: [`RemoteKeys::discover`], where the
    /// settings are. Nothing is fetched yet, and an issuer that is down is no error here:
    /// [`Guard::ready`](crate::Guard::ready) fetches, or the first request does.
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
    /// [`ConfigError`] where it is no https URL without user, query, fragment and dot segments.
    #[cfg(feature = "remote")]
    #[cfg_attr(docsrs, doc(cfg(feature = "remote")))]
    pub fn discover(url: &str, client: impl HttpClient) -> Result<Self, ConfigError> {
        Ok(Issuer::new(url, RemoteKeys::discover(url, client)?))
    }

    /// The same for an issuer on this machine, by plain http. **For development**: see
    /// [`RemoteKeys::discover_without_tls_on_loopback`].
    ///
    /// # Errors
    ///
    /// As [`discover`](Self::discover), but for plain http on the loopback interface.
    #[cfg(feature = "remote")]
    #[cfg_attr(docsrs, doc(cfg(feature = "remote")))]
    pub fn discover_without_tls_on_loopback(
        url: &str,
        client: impl HttpClient,
    ) -> Result<Self, ConfigError> {
        Ok(Issuer::new(url, RemoteKeys::discover_without_tls_on_loopback(url, client)?))
    }

    /// The issuers of many tenants, each with keys of its own: those whose name is the template with a tenant
    /// in the place of `{tenant}`, `[A-Za-z0-9.-]{1,64}`. The tenant is approved by `approve`, from memory,
    /// **for every token** and before anything is made of its name: by the exact name, since another case is
    /// another issuer. Then `keys` is asked for the keys of the issuer of that name, once. What else is said of
    /// this issuer holds for each. The keys of the 1000 tenants whose tokens were verified last are kept:
    /// [`max_tenants`](Self::max_tenants).
    ///
    /// Where the profile says so ([`Profile::tenant_in_issuer`]), the tenant claim must be the same tenant
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
    ///
    /// assert!(Issuer::tenants("https://{tenant}/", |_| true, |_| Ok(unconfused::keys::KeySet::default())).is_err());
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where `{tenant}` does not stand in it once, or is neither in the path nor the first label of
    /// a host under a domain, or where it makes no https URLs without user, query and fragment.
    pub fn tenants<K: KeySource>(
        template: &str,
        approve: impl Fn(&str) -> bool + Send + Sync + 'static,
        keys: impl Fn(&str) -> Result<K, ConfigError> + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        let make = move |issuer: &str| -> Option<Arc<dyn KeySource>> {
            Some(Arc::new(keys(issuer).ok()?))
        };
        let tenants = Tenants::new(template, Arc::new(approve), TenantKeys::Each(Arc::new(make)))?;
        Ok(Issuer::of_template(template, tenants))
    }

    /// The same, where one set of keys serves the issuers of all tenants. A key verifies only tokens of the
    /// issuer that its own member `issuer` names, where `{tenantid}` stands for any tenant; one without that
    /// member verifies none (`key_unusable`).
    ///
    /// ```
    /// # #[cfg(feature = "reqwest")] {
    /// use unconfused::keys::RemoteKeys;
    /// use unconfused::profile::Profile;
    /// use unconfused::Issuer;
    ///
    /// // at a fixed URL: the metadata of `common` names no issuer
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
    /// As [`tenants`](Self::tenants).
    pub fn tenants_with_shared_keys(
        template: &str,
        approve: impl Fn(&str) -> bool + Send + Sync + 'static,
        keys: impl KeySource,
    ) -> Result<Self, ConfigError> {
        let keys = TenantKeys::Shared(Arc::new(keys));
        let tenants = Tenants::new(template, Arc::new(approve), keys)?;
        Ok(Issuer::of_template(template, tenants).with(|terms| terms.keys_are_shared = true))
    }

    fn of_template(template: &str, tenants: Tenants) -> Self {
        let terms = IssuerTerms::new(template.to_owned());
        Issuer { terms, source: Source::Tenants(Arc::new(tenants)), used: None }
    }

    /// How many tenants have their keys kept, in place of 1000: as many as you approve. Where there are more, one
    /// a second gives way to another, and the rest are answered with 503. Where they share keys there is no limit, but the
    /// tokens of those beyond it are verified every time.
    #[must_use]
    pub fn max_tenants(mut self, most: usize) -> Self {
        if let Source::Tenants(tenants) = &self.source {
            self.source = Source::Tenants(Arc::new(tenants.anew(Some(most))));
        }
        self
    }

    /// The name, `iss`; or the template.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.terms.name
    }

    /// How this issuer writes its tokens, in place of [`Profile::rfc9068`].
    #[must_use]
    pub fn profile(self, profile: Profile) -> Self {
        self.with(|terms| terms.profile = profile)
    }

    /// The algorithms that are allowed for this issuer, in place of [`Algorithm::DEFAULT`].
    #[must_use]
    pub fn algorithms(self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.with(|terms| terms.algorithms = algorithms.into_iter().collect())
    }

    /// What verifies this issuer's signatures, in place of the default.
    #[must_use]
    pub fn backend(self, backend: Backend) -> Self {
        self.with(|terms| terms.backend = backend)
    }

    /// Clients that are agents; called again, more of them. Some agents are in no `act`: they logged their
    /// user in and are only the client of the token. For these the client counts as the current actor, with
    /// [`ActorSource::Client`](crate::token::ActorSource::Client), where `act` names no actor. A client that speaks
    /// for itself (`sub` is `client_id`) acts for nobody else, and is no actor.
    #[must_use]
    pub fn agent_clients(self, clients: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.with(|terms| terms.agents.add_clients(clients))
    }

    /// The same by a rule, beside the list. The rule sees a validated token: what follows from its word, a
    /// shorter life for instance, is checked after everything else.
    #[must_use]
    pub fn agent_clients_by(
        self,
        is_agent: impl Fn(&AccessToken) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.with(|terms| terms.agents.add_rule(is_agent))
    }

    /// Agents must be named in `act`: a token that names no actor, and whose client is one of the
    /// [`agent_clients`](Self::agent_clients), is a human's own token in an agent's hand, and every
    /// requirement refuses it (`actor_required`, where nothing before that does). Where no agent clients are
    /// named, every client is one. A client that speaks for itself needs no `act`.
    #[must_use]
    pub fn agents_must_act(self) -> Self {
        self.with(|terms| terms.agents.require_act())
    }

    /// A change of the terms. What was made of the old ones is not used again.
    fn with(mut self, change: impl FnOnce(&mut IssuerTerms)) -> Self {
        change(&mut self.terms);
        if let Source::Tenants(tenants) = &self.source {
            self.source = Source::Tenants(Arc::new(tenants.anew(None)));
        }
        self
    }

    /// True where this is a template of issuers.
    pub(crate) fn is_template(&self) -> bool {
        match &self.source {
            Source::Keys(_) => false,
            Source::Tenants(_) => true,
        }
    }

    /// The issuer of this name, of a tenant that the owner approves.
    pub(crate) fn of_name(&self, name: &str) -> Option<Arc<Issuer>> {
        match &self.source {
            Source::Keys(_) => None,
            Source::Tenants(tenants) => tenants.issuer(name, &self.terms),
        }
    }

    pub(super) fn of_tenant(
        name: &str,
        tenant: &str,
        terms: &IssuerTerms,
        keys: Arc<dyn KeySource>,
        used: Option<Used>,
    ) -> Self {
        let tenant = Some(tenant.to_owned());
        let terms = IssuerTerms { name: name.to_owned(), tenant, ..terms.clone() };
        Issuer { terms, source: Source::Keys(keys), used }
    }

    /// It is one of many that a template stands for: it is approved for every token.
    pub(crate) fn is_of_template(&self) -> bool {
        self.terms.tenant.is_some()
    }

    /// A token of this issuer was verified.
    pub(crate) fn verified(&self) {
        if let Some(used) = &self.used {
            used.now();
        }
    }

    /// Its own keys; a template has some only where they serve all tenants.
    fn own_keys(&self) -> Option<&Arc<dyn KeySource>> {
        match &self.source {
            Source::Keys(keys) => Some(keys),
            Source::Tenants(tenants) => tenants.shared_keys(),
        }
    }

    pub(crate) fn keys(&self, hint: KeyHint<'_>) -> Keys {
        match self.own_keys() {
            Some(keys) => keys.keys(hint),
            None => Answer::Now(Err(KeysUnavailable::new("a template has no keys"))),
        }
    }

    /// These are its keys, and they are at hand.
    pub(crate) fn is_current(&self, keys: KeySetId, hint: KeyHint<'_>) -> bool {
        self.own_keys().is_some_and(|own| own.is_current(keys, hint))
    }

    /// `None`: there are no keys that it could stand with.
    pub(crate) fn key_status(&self) -> Option<KeyStatus> {
        self.own_keys().map(|keys| keys.status())
    }

    pub(crate) fn warm_up(&self) -> Answer<'static, ()> {
        self.own_keys().map_or(Answer::Now(()), |keys| keys.warm_up())
    }
}
