//! The guard: its set-up here; beside it the order of the steps, what counts once, and what becomes of a request that
//! passes. Nothing is checked in any of them.

mod cached;
mod once;
mod pass;
mod steps;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Method;
use http::request::Parts;
use time::UtcDateTime;

use crate::answer::Answer;
use crate::audit::Audit;
use crate::challenge::MetadataUrl;
use crate::keys::{Issuer, Readiness};
use crate::names::Audience;
use crate::proof::{ClientCertificate, Dpop};
use crate::replay::ReplayStore;
use crate::token::{ScopeHierarchy, Terms, TokenLimits};
use crate::token_cache::Memory;

pub(crate) use pass::{pass_on, take_off_shown};
pub(crate) use steps::{Ask, NoCredentials, Step};

/// Stands before an API and answers one question a request: may this be done, with this token, for this
/// subject, through this actor, now?
///
/// Set up once; cheap to clone, and clones are one guard. No setting turns a check off.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use unconfused::{Audience, Guard, Reason, Scope};
/// # use unconfused::testing::TestIssuer;
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// const READ: Scope = Scope::from_static("orders:read");
/// # let login = TestIssuer::new("https://login.example");
/// # let issuer = login.issuer();
///
/// let guard = Guard::new(ORDERS, issuer);
///
/// let token = login.token(&ORDERS).subject("alice").scope("orders:read").sign();
/// let request = http::Request::get("/orders").header("authorization", format!("Bearer {token}"));
/// let (mut head, ()) = request.body(()).unwrap().into_parts();
/// let grant = guard.authorize(&mut head, READ).now().unwrap().unwrap();
/// assert_eq!(grant.subject(), "alice");
/// assert!(head.headers.is_empty()); // the token stops here
///
/// let (mut head, ()) = http::Request::get("/orders").body(()).unwrap().into_parts();
/// let denial = guard.authorize(&mut head, READ).now().unwrap().unwrap_err();
/// assert_eq!(denial.reason(), Reason::MissingCredentials);
/// # }
/// ```
#[derive(Clone)]
pub struct Guard {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    /// Tells guards apart: another one for every change of the settings.
    id: u64,
    terms: Terms,
    issuers: BTreeMap<String, Arc<Issuer>>,
    /// Issuers whose name has a tenant in it.
    templates: Vec<Issuer>,
    metadata_url: Option<MetadataUrl>,
    clock: Arc<dyn Fn() -> UtcDateTime + Send + Sync>,
    is_secure: Option<Arc<IsSecure>>,
    certificate: Option<Arc<CertificateOf>>,
    /// How many validated tokens are remembered, and those that are.
    most_remembered: usize,
    verified: Arc<Memory>,
    /// What remembers proofs, and spent tokens.
    proofs: Option<Arc<dyn ReplayStore>>,
    spent: Option<Arc<dyn ReplayStore>>,
    /// Where proofs need a nonce; everywhere where it does not say.
    require_nonce_if: Option<Arc<NeedsNonce>>,
    audit: Vec<Arc<dyn Audit>>,
}

/// How the owner knows that a request came over TLS.
type IsSecure = dyn Fn(&Parts) -> bool + Send + Sync;
/// Where proofs need a nonce.
type NeedsNonce = dyn Fn(&Method, &str) -> bool + Send + Sync;
/// How the owner knows the client's certificate.
type CertificateOf = dyn Fn(&Parts) -> Option<ClientCertificate> + Send + Sync;

impl Guard {
    /// How many validated tokens are remembered unless somebody says otherwise.
    const REMEMBERED: usize = 10_000;

    /// A guard for the resource that tokens call `audience`, trusting one issuer.
    pub fn new(audience: impl Into<Audience>, issuer: Issuer) -> Self {
        let audience = audience.into();
        let inner = Inner {
            id: 0,
            metadata_url: MetadataUrl::for_resource(&audience),
            terms: Terms::new(audience),
            issuers: BTreeMap::new(),
            templates: Vec::new(),
            clock: Arc::new(UtcDateTime::now),
            is_secure: None,
            certificate: None,
            most_remembered: Guard::REMEMBERED,
            verified: Arc::new(Memory::new(0, 1)),
            proofs: None,
            spent: None,
            require_nonce_if: None,
            audit: Vec::new(),
        };
        Guard { inner: Arc::new(inner) }.trust(issuer)
    }

    /// A change of the settings makes another guard.
    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let inner = Arc::make_mut(&mut self.inner);
        inner.id = NEXT.fetch_add(1, Ordering::Relaxed);
        change(inner);
        // What was remembered under other settings counts for nothing.
        let issuers = match inner.templates.is_empty() {
            true => inner.issuers.len(),
            // Any number of them.
            false => usize::MAX,
        };
        inner.verified = Arc::new(Memory::new(inner.most_remembered, issuers));
        self
    }

    /// Trust another issuer too. Each may assert **any** subject, scope and client; what tells them apart
    /// is the pair of issuer and subject.
    ///
    /// # Panics
    ///
    /// Where an issuer of that name is trusted already.
    #[must_use]
    pub fn trust(self, issuer: Issuer) -> Self {
        self.with(|inner| {
            let name = issuer.name().to_owned();
            let template = inner.templates.iter().any(|template| template.name() == name);
            assert!(
                !template && !inner.issuers.contains_key(&name),
                "the issuer `{name}` is trusted already"
            );
            if issuer.is_template() {
                inner.templates.push(issuer);
            } else {
                inner.issuers.insert(name, Arc::new(issuer));
            }
        })
    }

    /// Another name of this resource that tokens may be meant for. Names are compared as they are: where a
    /// slash at the end should be forgiven, list both.
    #[must_use]
    pub fn also_accept(self, audience: impl Into<Audience>) -> Self {
        self.with(|inner| inner.terms.audiences.push(audience.into()))
    }

    /// Sets the limits on tokens: leeway, lifetimes, and sizes. Defaults to [`TokenLimits::default`]. They replace
    /// all limits that were set before.
    #[must_use]
    pub fn limits(self, limits: TokenLimits) -> Self {
        self.with(|inner| inner.terms.limits = limits)
    }

    /// How many validated tokens are remembered, in place of 10,000; 0: none. A token that is sent again is not
    /// parsed and its signature not verified again, for 5 minutes at most and not beyond `exp`; **everything else
    /// is checked again** for every request. It is forgotten when the issuer's keys are another set. What is kept cannot be used
    /// as a token: its signature is not there. Of several issuers, each may have its part of them, one in 16 at least; of
    /// tenants, one in 16.
    #[must_use]
    pub fn token_cache_capacity(self, most: usize) -> Self {
        self.with(|inner| inner.most_remembered = most)
    }

    /// Scopes that imply others; see [`Validation::scope_hierarchy`](crate::token::Validation::scope_hierarchy).
    #[must_use]
    pub fn scope_hierarchy(self, hierarchy: ScopeHierarchy) -> Self {
        self.with(|inner| inner.terms.hierarchy = Some(Arc::new(hierarchy)))
    }

    /// The clock, in place of the system's. It is read once a request.
    #[must_use]
    pub fn clock(self, clock: impl Fn() -> UtcDateTime + Send + Sync + 'static) -> Self {
        self.with(|inner| inner.clock = Arc::new(clock))
    }

    /// How it is known that a request came over TLS; where it did not, it is refused
    /// (`insecure_transport`). Without this nothing is checked: behind a proxy that ends TLS, a
    /// layer cannot see it.
    #[must_use]
    pub fn secure_transport(
        self,
        is_secure: impl Fn(&Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.with(|inner| inner.is_secure = Some(Arc::new(is_secure)))
    }

    /// Takes DPoP proofs: the scheme `DPoP` beside `Bearer`. Without this, a token that is bound to a proof key is
    /// refused, whatever comes with it. The store remembers proofs, so that each is accepted once: a
    /// [`MemoryReplayStore`](crate::replay::MemoryReplayStore) where the service is one process, one that all share where it
    /// is several.
    ///
    /// A store does not know what was accepted before it began. Proofs that may have been made before that are
    /// refused (`dpop_proof_stale`, `dpop_nonce_invalid`): for some 11 seconds after a process starts with a store in
    /// its memory, or for 3 where proofs have [nonces](Dpop::nonces).
    #[must_use]
    pub fn dpop(self, dpop: Dpop, store: impl ReplayStore) -> Self {
        self.with(|inner| {
            inner.terms.dpop = Some(dpop);
            inner.proofs = Some(Arc::new(store));
        })
    }

    /// Remembers tokens that were spent, for [`Require::single_use`](crate::Require::single_use). A store does not know
    /// what was spent before it began: tokens that were issued before that, or within the leeway after, are refused
    /// there (`token_spent`). So guards that share a store have the same leeway.
    #[must_use]
    pub fn replay(self, store: impl ReplayStore) -> Self {
        self.with(|inner| inner.spent = Some(Arc::new(store)))
    }

    /// Where proofs need a nonce, by method and path, in place of everywhere, where [`Dpop::nonces`] makes some. The
    /// path is the request's own, also inside nested routers: as it was sent, and where that is not asked for, once more
    /// without dot segments and percent-encoding that is not needed. A nonce that a proof has must be good everywhere.
    #[must_use]
    pub fn require_nonce_if(
        self,
        is_required: impl Fn(&Method, &str) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.with(|inner| inner.require_nonce_if = Some(Arc::new(is_required)))
    }

    /// Where the certificate of the client is, for tokens that are bound to one
    /// ([RFC 8705](https://www.rfc-editor.org/rfc/rfc8705)): [`ClientCertificate::from_connection`] where this process ends
    /// TLS. Behind a proxy that does, a closure that reads the field the proxy sets, **and looks first whether the
    /// request is the proxy's**: whoever else can set that field can use a stolen token. Without this such tokens
    /// are refused. The fields that proxies set are taken off every request that passes, so a guard behind another
    /// one does not see them.
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
    ///     let peer = parts.extensions.get::<Peer>()?; // put there by whoever accepted the connection
    ///     let mut fields = parts.headers.get_all("client-cert").iter();
    ///     match (fields.next(), fields.next()) {
    ///         (Some(field), None) if peer.is_our_proxy() => {
    ///             ClientCertificate::from_client_cert(field.to_str().ok()?)
    ///         }
    ///         _ => None, // none, or somebody added one
    ///     }
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn client_certificate(
        self,
        source: impl Fn(&Parts) -> Option<ClientCertificate> + Send + Sync + 'static,
    ) -> Self {
        self.with(|inner| inner.certificate = Some(Arc::new(source)))
    }

    /// Refuse every token that is not bound to its sender, by a proof key or a certificate: see
    /// [`Require::sender_constrained`](crate::Require::sender_constrained).
    #[must_use]
    pub fn sender_constrained(self) -> Self {
        self.with(|inner| inner.terms.sender_constrained = true)
    }

    /// Where decisions are recorded; called again, one more place. Without a sink there is **no record**.
    #[must_use]
    pub fn audit(self, sink: impl Audit) -> Self {
        self.with(|inner| inner.audit.push(Arc::new(sink)))
    }

    /// Gets the keys of every issuer that has none yet, and answers how it stands once each fetch has ended, 25
    /// seconds at most. For the start of a service; an issuer that is down is no reason not to start. With
    /// keys at hand the answer is there at once. Issuers of tenants ([`Issuer::tenants`]) are not among them:
    /// which there are, tokens show.
    pub fn ready(&self) -> Answer<'_, Readiness> {
        let readiness = self.readiness();
        if readiness.is_ready() {
            return Answer::Now(readiness);
        }
        Answer::later(async move {
            // All begin before one is waited for.
            let waiting: Vec<_> = self.issuers().map(Issuer::warm_up).collect();
            for warm in waiting {
                warm.await;
            }
            self.readiness()
        })
    }

    /// How it stands with the keys of every issuer, as it is: nothing is fetched, and nothing waited for. For a
    /// readiness probe.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let status = |issuer: &Issuer| Some((issuer.name().to_owned(), issuer.key_status()?));
        Readiness::of(self.issuers().filter_map(status).collect())
    }

    /// Our names: the first is the one we publish.
    pub(crate) fn audiences(&self) -> &[Audience] {
        &self.inner.terms.audiences
    }

    /// All that are trusted, templates too.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = &Issuer> {
        self.inner.issuers.values().map(|issuer| &**issuer).chain(&self.inner.templates)
    }

    /// The trusted issuer of that very name; else of a tenant that is approved.
    fn issuer(&self, name: &str) -> Option<Arc<Issuer>> {
        let templates = || self.inner.templates.iter().find_map(|issuer| issuer.of_name(name));
        self.inner.issuers.get(name).cloned().or_else(templates)
    }

    /// What is asked of proofs; whether certificates are known; whether one of the two must be.
    pub(crate) fn sender_constraints(&self) -> (Option<&Dpop>, bool, bool) {
        let terms = &self.inner.terms;
        (terms.dpop.as_ref(), self.inner.certificate.is_some(), terms.sender_constrained)
    }

    /// True where the guard can check that a token is its sender's.
    pub(crate) fn can_confirm(&self) -> bool {
        self.inner.terms.dpop.is_some() || self.inner.certificate.is_some()
    }

    /// Where nonces are asked for, there are some.
    pub(crate) fn has_nonces_where_asked(&self) -> bool {
        let dpop = self.inner.terms.dpop.as_ref();
        self.inner.require_nonce_if.is_none() || dpop.is_some_and(|dpop| dpop.nonces.is_some())
    }

    /// True where tokens can be spent.
    pub(crate) fn can_spend(&self) -> bool {
        self.inner.spent.is_some()
    }

    pub(crate) fn metadata_url(&self) -> Option<&MetadataUrl> {
        self.inner.metadata_url.as_ref()
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("audiences", &self.audiences())
            .field("issuers", &self.inner.issuers.keys())
            .field("templates", &self.inner.templates.iter().map(Issuer::name).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
