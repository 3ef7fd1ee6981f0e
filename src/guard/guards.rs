//! Several guards, of which one judges each request.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use http::request::Parts;

use super::body::{MakeBody, text_maker};
use super::clock::Clock;
use super::path_rule::ask_for_every_spelling;
use super::{Grant, Guard};
use crate::audit::{Audit, AuditEvent, KnownClaims};
use crate::credential::has_query_token;
use crate::denial::{Denial, MakeText};
use crate::evidence::{DecisionId, Operation, TokenSource, TraceParent};
use crate::policy::Policy;
use crate::reason::Reason;
use crate::require::Require;

/// The guards of several resources, of which one is chosen for each request.
///
/// Use it if one service is several resources with an audience each: tenants, or mounted servers. All guards are made
/// at set-up. A function chooses one of them by the head of a request. If it chooses none, the request is refused
/// (`operation_unknown`, 403, without a challenge) before its credential is looked at.
///
/// The chosen guard judges the request as it would alone: with its issuers, its stores, its record and its body. Its
/// challenges name the metadata of its own resource. So a token of one resource is refused at the others.
///
/// The function decides which resource a request is for, and nothing else. In the handler, find out from the grant
/// which one it was ([`AccessToken::audience`](crate::AccessToken::audience)), and not from the request once more.
///
/// ```
/// # #[cfg(all(feature = "axum", feature = "testing"))] {
/// use axum::{Router, body::Body, http::Request, routing::get};
/// use tower::ServiceExt;
/// use unconfused::layer::Guards;
/// use unconfused::{Audience, Grant, Guard, Scope};
/// # use unconfused::testing::TestIssuer;
///
/// const ACME: Audience = Audience::from_static("https://acme.orders.example");
/// const GLOBEX: Audience = Audience::from_static("https://globex.orders.example");
/// const READ: Scope = Scope::from_static("orders:read");
///
/// async fn list(grant: Grant) -> String {
///     format!("orders at {}", grant.audience().expect("the issuer names audiences"))
/// }
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let login = TestIssuer::new("https://login.example");
/// # let issuer = login.issuer();
///
/// let tenants = [
///     ("acme.orders.example", Guard::new(ACME, issuer.clone())),
///     ("globex.orders.example", Guard::new(GLOBEX, issuer)),
/// ];
/// let guards = Guards::new(tenants, |head, guards| {
///     let host = head.headers.get("host")?.to_str().ok()?; // `head.uri.host()` in HTTP/2
///     guards.get(host)
/// });
/// let app = Router::new().route("/orders", get(list).route_layer(guards.require(READ)));
///
/// let token = login.token(&ACME).scope("orders:read").bearer();
/// for (host, status) in [("acme.orders.example", 200), ("globex.orders.example", 401), ("orders.example", 403)] {
///     let request = Request::get("/orders").header("host", host).header("authorization", &token);
///     assert_eq!(app.clone().oneshot(request.body(Body::empty())?).await?.status(), status);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Choosing by path
///
/// A path has many spellings. The function is asked about each, as [`Guard::require_by`] lists them, and has to choose
/// the same guard every time. If it does not, the request is refused, as if it had chosen none. In axum, prefer one guard
/// for each nested router, or ask which route was matched.
///
/// # Metadata
///
/// Each guard has the document of its own resource ([`Guard::metadata`]). If the resources differ in their paths, serve
/// each at its own, with a loop over [`iter`](Self::iter). If they differ in their hosts, all have the same path: choose
/// among them there as well, with [`choose`](Self::choose).
#[derive(Clone)]
pub struct Guards {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    guards: BTreeMap<String, Guard>,
    choose: Arc<ChooseGuard>,
    /// For requests that no guard is chosen for.
    audit: Vec<Arc<dyn Audit>>,
    /// For the answers to them.
    make_text: Option<Arc<MakeText>>,
}

type ChooseGuard =
    dyn for<'g> Fn(&Parts, &'g BTreeMap<String, Guard>) -> Option<&'g Guard> + Send + Sync;

impl Guards {
    /// Makes a set of guards, each with a name, and a function that chooses one of them by the head of a request.
    ///
    /// The names are for the function, and mean nothing else.
    ///
    /// # Panics
    ///
    /// Panics if two guards have the same name, or if two would accept the same tokens: they have an audience and an
    /// issuer in common.
    pub fn new<N: Into<String>>(
        guards: impl IntoIterator<Item = (N, Guard)>,
        choose: impl for<'g> Fn(&Parts, &'g BTreeMap<String, Guard>) -> Option<&'g Guard>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let mut named = BTreeMap::new();
        let mut accepted = BTreeMap::new();
        for (name, guard) in guards {
            let name = name.into();
            for audience in guard.audiences() {
                for issuer in guard.issuers() {
                    let pair = (audience.clone(), issuer.name().to_owned());
                    let other = accepted.insert(pair, name.clone()).filter(|other| *other != name);
                    assert!(
                        other.is_none(),
                        "the guards `{name}` and `{}` accept the same tokens: those of `{}` for `{audience}`",
                        other.unwrap_or_default(),
                        issuer.name(),
                    );
                }
            }
            let other = named.insert(name.clone(), guard);
            assert!(other.is_none(), "two guards have the name `{name}`");
        }
        let choose = Arc::new(choose);
        Guards {
            inner: Arc::new(Inner { guards: named, choose, audit: Vec::new(), make_text: None }),
        }
    }

    /// Adds a sink that records the refusals of requests for which no guard is chosen.
    ///
    /// Everything else is recorded by the guard that was chosen. Such a refusal is recorded with the time of the
    /// system's clock. Without a sink here, it has **no record**.
    #[must_use]
    pub fn audit(self, sink: impl Audit) -> Self {
        self.with(|inner| inner.audit.push(Arc::new(sink)))
    }

    /// Sets what makes the body of the answer if no guard is chosen. Defaults to an empty body.
    ///
    /// It does for these requests what [`Guard::body`] does for those that have a guard.
    #[must_use]
    pub fn body(self, body: impl MakeBody<String> + Send + Sync + 'static) -> Self {
        self.with(|inner| inner.make_text = Some(text_maker(body)))
    }

    /// These guards with a rule of one route.
    pub(super) fn with_rule(&self, rule: &Arc<impl Policy>) -> Self {
        self.clone().with(|inner| {
            for guard in inner.guards.values_mut() {
                *guard = guard.with_rule(rule.clone());
            }
        })
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.inner));
        self
    }

    /// Returns the guard that is chosen for the request, to call [`Guard::authorize`] without a layer.
    ///
    /// The head is the same afterwards. It is changed while other spellings of its path are asked about.
    ///
    /// # Errors
    ///
    /// Returns a denial with the reason `operation_unknown` (403) if none is chosen, and records it.
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use unconfused::layer::Guards;
    /// use unconfused::{Audience, Guard, Reason};
    /// # use unconfused::testing::TestIssuer;
    /// # let issuer = TestIssuer::new("https://login.example").issuer();
    ///
    /// let files = Guard::new(Audience::from_static("https://api.example/files"), issuer);
    /// let guards = Guards::new([("/files", files)], |head, guards| guards.get(head.uri.path()));
    ///
    /// let (mut head, ()) = http::Request::get("/files").body(()).unwrap().into_parts();
    /// let metadata = guards.choose(&mut head).unwrap().metadata()?;
    /// assert_eq!(metadata.path(), "/.well-known/oauth-protected-resource/files");
    ///
    /// let (mut head, ()) = http::Request::get("/other").body(()).unwrap().into_parts();
    /// assert_eq!(guards.choose(&mut head).unwrap_err().reason(), Reason::OperationUnknown);
    /// # }
    /// # Ok::<(), unconfused::error::ConfigError>(())
    /// ```
    pub fn choose(&self, head: &mut Parts) -> Result<&Guard, Denial> {
        self.chosen(head).ok_or_else(|| self.refuse(head, &Require::valid_token(), None))
    }

    /// Returns the guard of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Guard> {
        self.inner.guards.get(name)
    }

    /// Returns the guard that made this grant, for [`Guard::narrow`] and [`Guard::refuse`] in a handler.
    #[must_use]
    pub fn maker_of(&self, grant: &Grant) -> Option<&Guard> {
        self.inner.guards.values().find(|guard| grant.made_by(guard))
    }

    /// Returns all guards and their names, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Guard)> {
        self.inner.guards.iter().map(|(name, guard)| (&**name, guard))
    }

    /// The guard that is chosen for every spelling of the path.
    pub(super) fn chosen(&self, parts: &mut Parts) -> Option<&Guard> {
        let Inner { guards, choose, .. } = &*self.inner;
        let mut chosen: Option<Option<&Guard>> = None;
        let mut is_same = true;
        let all_asked = ask_for_every_spelling(parts, &mut |parts| {
            let guard = choose(parts, guards);
            let first = *chosen.get_or_insert(guard);
            is_same &= first.map(|guard| guard.inner.id) == guard.map(|guard| guard.inner.id);
        });
        chosen.flatten().filter(|_| all_asked && is_same)
    }

    /// Refuses and records a request that no guard is chosen for.
    pub(crate) fn refuse(
        &self,
        parts: &Parts,
        requirement: &Require,
        operation_name: Option<Arc<str>>,
    ) -> Denial {
        let decision = DecisionId::next();
        let denial = Denial::from(Reason::OperationUnknown).with_decision(decision);
        let denial = denial.with_text(self.inner.make_text.as_ref());
        let event = AuditEvent {
            at: Clock::System.now(),
            decision,
            step: 0,
            operation: &Operation::from_parts(parts, operation_name),
            requirement,
            query_token: has_query_token(parts),
            known_claims: KnownClaims::None,
            denial: Some(&denial),
            next_hop: None,
            trace: TraceParent::of(&parts.headers),
            token_source: TokenSource::Verified,
            took: None,
        };
        for sink in &self.inner.audit {
            sink.record(&event);
        }
        denial
    }
}

impl fmt::Debug for Guards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.inner.guards).finish()
    }
}
