//! The guard: its settings, the order of the checks of one request, and what becomes of the request. The checks
//! themselves are in the rooms below.

// rustdoc lists the methods of `Guard` in the order in which these modules are declared, so they stand in the order of
// use. The blank lines keep rustfmt from sorting them.
mod setup;

mod policies;

mod protect;

mod named_rule;

mod guards;

mod steps;

mod narrow;

mod readiness;

mod operations;

mod pass;

mod admitted;
mod approving;
mod body;
mod cached;
mod clock;
pub(crate) mod grant;
mod in_extensions;
mod listing;
mod once;
mod outcome;
mod path_rule;
mod policy_settings;
mod refused;
mod request;
mod route;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderName, Method};
use time::UtcDateTime;

use crate::approvals::Approvals;
use crate::audit::Audit;
use crate::challenge::{DetailsDialect, MetadataUrl};
use crate::denial::MakeText;
use crate::detail::DetailTypes;
use crate::keys::Issuer;
use crate::names::Audience;
use crate::per_thread::PerThread;
use crate::proof::{ClientCertificate, Dpop};
use crate::replay::ReplayStore;
use crate::token::Terms;
use crate::token_cache::TokenCache;

use clock::Clock;
use listing::Listings;
use policy_settings::Policies;

#[cfg(feature = "axum")]
pub(crate) use body::WithoutBody;
pub(crate) use body::add_missing_body;
pub use body::{BodyText, GuardBody, MakeBody, ProblemJson, body_fn};
pub(crate) use grant::Grant;
pub use guards::Guards;
#[cfg(feature = "axum")]
pub(crate) use in_extensions::misplaced;
pub(crate) use listing::{Listed, Listing};
pub(crate) use request::{AccessRule, NoCredentials, OtherAuthenticator, RequestAnswer};
pub use route::GuardLayer;
pub(crate) use route::{RouteGuard, RouteSettings};

/// Authorizes requests to one resource server.
///
/// For every request, a guard decides whether this operation may be done, with this token, for this subject, through
/// this actor, now. Make one with [`Guard::new`], change its settings, then put it before routes as a layer with
/// [`Guard::require`]. [`Guard::authorize`] does the same without a layer.
///
/// A guard is cheap to clone. Clones share everything. No setting turns a check off.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use unconfused::{Audience, Guard, Party, Reason, Scope};
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
/// assert_eq!(grant.subject(), Party::new("https://login.example", "alice"));
/// assert!(!head.headers.contains_key("authorization")); // the token stops here
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
    /// Tells guards apart. Every change of the settings makes a new one.
    id: u64,
    terms: Terms,
    issuers: BTreeMap<String, Arc<Issuer>>,
    /// Issuers that have a tenant in their name.
    templates: Vec<Issuer>,
    metadata_url: Option<MetadataUrl>,
    details_dialect: DetailsDialect,
    clock: Clock,
    /// The field that credentials are in.
    credential_field: HeaderName,
    is_secure: Option<Arc<IsSecure>>,
    certificate_source: Option<Arc<CertificateSource>>,
    /// Fields about certificates that the owner names. Others are known by their names.
    certificate_fields: Vec<HeaderName>,
    token_cache_capacity: usize,
    token_cache: Arc<TokenCache>,
    /// Remembers accepted proofs.
    proof_store: Option<Arc<dyn ReplayStore>>,
    /// Remembers spent tokens.
    spent_store: Option<Arc<dyn ReplayStore>>,
    /// How approvals are asked for and recognized.
    approvals: Option<Arc<Approvals>>,
    /// Says which requests need a nonce in their proof. Without it, all of them do.
    require_nonce_if: Option<Arc<RequiresNonce>>,
    policies: Policies,
    audit: Vec<Arc<dyn Audit>>,
    /// A sink asks how long each step takes.
    is_timed: bool,
    /// Makes the bodies of denied responses.
    make_text: Option<PerThread<Arc<MakeText>>>,
    /// The operations that layers of this guard stand for.
    listings: Arc<Listings>,
}

/// Says whether a request came over TLS.
type IsSecure = dyn Fn(&Parts) -> bool + Send + Sync;
/// Says whether the proof of a request with this method and path needs a nonce.
type RequiresNonce = dyn Fn(&Method, &str) -> bool + Send + Sync;
/// Finds the client's certificate.
type CertificateSource = dyn Fn(&Parts) -> Option<ClientCertificate> + Send + Sync;

impl Guard {
    /// The names of the resource. The first is the one that is published.
    pub(crate) fn audiences(&self) -> &[Audience] {
        &self.inner.terms.vocabulary.audiences
    }

    /// All trusted issuers, templates included.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = &Issuer> {
        self.inner.issuers.values().map(|issuer| &**issuer).chain(&self.inner.templates)
    }

    /// The trusted issuer of exactly this name, or else the issuer of an approved tenant.
    fn issuer(&self, name: &str, at: UtcDateTime) -> Option<Arc<Issuer>> {
        let of_tenant =
            || self.inner.templates.iter().find_map(|issuer| issuer.tenant_issuer(name, at));
        self.inner.issuers.get(name).cloned().or_else(of_tenant)
    }

    /// The types of authorization details that are known.
    pub(crate) fn detail_types(&self) -> Option<&DetailTypes> {
        self.inner.terms.vocabulary.detail_types.as_ref()
    }

    /// How clients are told that details are lacking.
    pub(crate) fn details_dialect_setting(&self) -> DetailsDialect {
        self.inner.details_dialect
    }

    /// The settings for DPoP proofs, if the guard accepts proofs.
    pub(crate) fn dpop_settings(&self) -> Option<&Dpop> {
        self.inner.terms.dpop.as_ref()
    }

    /// True if the guard can find a client's certificate.
    pub(crate) fn accepts_certificates(&self) -> bool {
        self.inner.certificate_source.is_some()
    }

    /// True if every token must be bound to its sender.
    pub(crate) fn is_sender_constrained(&self) -> bool {
        self.inner.terms.sender_constrained
    }

    /// True if the guard can check that a token is bound to its sender.
    fn can_check_possession(&self) -> bool {
        self.dpop_settings().is_some() || self.accepts_certificates()
    }

    /// True if credentials are in the `Authorization` field, and not in another that the owner named.
    pub(crate) fn reads_authorization(&self) -> bool {
        self.inner.credential_field == AUTHORIZATION
    }

    /// What makes the bodies of denied responses.
    pub(crate) fn make_text(&self) -> Option<&PerThread<Arc<MakeText>>> {
        self.inner.make_text.as_ref()
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
