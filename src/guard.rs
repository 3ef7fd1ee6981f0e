//! The guard: set-up, and the order of the steps. Nothing is checked here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::request::Parts;
use time::UtcDateTime;

use crate::answer::Answer;
use crate::audit::{Audit, AuditEvent, Said};
use crate::challenge::MetadataUrl;
use crate::credential::Credential;
use crate::denial::Denial;
use crate::evidence::{Case, DecisionId, Evidence, Grant, Operation};
use crate::jose::KeySet;
use crate::keys::{Issuer, Keys, KeysUnavailable};
use crate::names::Audience;
use crate::reason::Reason;
use crate::require::Require;
use crate::token::{AccessToken, Claims, InvalidToken, ScopeHierarchy, Terms, UnverifiedToken};

/// Stands before an API and answers one question a request: may this be done, with this token, for this
/// subject, through this actor, now?
///
/// Set up once; cheap to clone, and clones are one guard. Every setting narrows what is accepted or says
/// where things are; there is no switch that turns a check off.
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
    issuers: BTreeMap<String, Issuer>,
    metadata_url: Option<MetadataUrl>,
    max_token_bytes: usize,
    clock: Arc<dyn Fn() -> UtcDateTime + Send + Sync>,
    is_secure: Option<Arc<IsSecure>>,
    audit: Option<Arc<dyn Audit>>,
}

/// How the owner knows that a request came over TLS.
type IsSecure = dyn Fn(&Parts) -> bool + Send + Sync;

/// What a layer or a caller asks of one request.
pub(crate) struct Ask {
    pub(crate) requirement: Arc<Require>,
    pub(crate) name: Option<Arc<str>>,
    /// A request without credentials passes.
    pub(crate) optional: bool,
}

/// In the extensions of a request that an optional guard let pass without a grant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoCredentials;

/// Judged, or waiting for keys.
pub(crate) enum Step {
    Judged(Result<Option<Grant>, Denial>),
    Waiting(Box<Waiting>),
}

/// A request whose keys are on their way; borrows nothing.
pub(crate) struct Waiting {
    guard: Guard,
    head: Head,
    requirement: Arc<Require>,
    credential: Credential,
    token: UnverifiedToken<'static>,
    keys: Keys,
}

impl Waiting {
    pub(crate) async fn judged(self) -> Result<Grant, Denial> {
        let keys = self.keys.await;
        self.guard.conclude(
            self.head,
            self.requirement,
            self.credential,
            self.token,
            keys,
        )
    }
}

/// What is known of a request before anything is checked.
struct Head {
    operation: Operation,
    at: UtcDateTime,
    decision: DecisionId,
    step: u32,
    query_token: bool,
}

/// A denial before there is a token, or with the claims of one whose signature stood.
struct Refused {
    denial: Denial,
    claims: Option<Box<Claims>>,
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Refused {
            denial: reason.into(),
            claims: None,
        }
    }
}

impl From<InvalidToken> for Refused {
    fn from(invalid: InvalidToken) -> Self {
        Refused {
            denial: (&invalid).into(),
            claims: invalid.into_claims(),
        }
    }
}

impl Guard {
    /// A guard for the resource that tokens call `audience`, trusting one issuer.
    pub fn new(audience: impl Into<Audience>, issuer: Issuer) -> Self {
        let audience = audience.into();
        let inner = Inner {
            id: 0,
            metadata_url: MetadataUrl::of(&audience),
            terms: Terms::new(audience),
            issuers: BTreeMap::new(),
            max_token_bytes: UnverifiedToken::MAX_BYTES,
            clock: Arc::new(UtcDateTime::now),
            is_secure: None,
            audit: None,
        };
        Guard {
            inner: Arc::new(inner),
        }
        .trust(issuer)
    }

    /// A change of the settings makes another guard.
    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let inner = Arc::make_mut(&mut self.inner);
        inner.id = NEXT.fetch_add(1, Ordering::Relaxed);
        change(inner);
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
            let before = inner.issuers.insert(issuer.name().to_owned(), issuer);
            assert!(
                before.is_none(),
                "an issuer of that name is trusted already"
            );
        })
    }

    /// Another name of this resource that tokens may be meant for. Names are compared as they are: where a
    /// slash at the end should be forgiven, list both.
    #[must_use]
    pub fn also_accept(self, audience: impl Into<Audience>) -> Self {
        self.with(|inner| inner.terms.audiences.push(audience.into()))
    }

    /// The tolerance between the clocks, in place of 30 seconds.
    ///
    /// # Panics
    ///
    /// Over 60 seconds.
    #[must_use]
    pub fn leeway(self, leeway: Duration) -> Self {
        self.with(|inner| inner.terms.set_leeway(leeway))
    }

    /// The longest life of a token, in place of 24 hours.
    #[must_use]
    pub fn max_lifetime(self, lifetime: Duration) -> Self {
        self.with(|inner| inner.terms.max_lifetime = lifetime)
    }

    /// The longest life of a token with which somebody acts for the subject, in place of 2 hours.
    #[must_use]
    pub fn max_delegated_lifetime(self, lifetime: Duration) -> Self {
        self.with(|inner| inner.terms.max_delegated_lifetime = lifetime)
    }

    /// The greatest age of a token, counted from `iat`; none by default.
    #[must_use]
    pub fn max_token_age(self, age: Duration) -> Self {
        self.with(|inner| inner.terms.max_token_age = Some(age))
    }

    /// Refuse a token that is meant for more than one audience.
    #[must_use]
    pub fn single_audience(self) -> Self {
        self.with(|inner| inner.terms.max_audiences = 1)
    }

    /// How many actors `act` may name, in place of 8.
    #[must_use]
    pub fn max_actors(self, actors: usize) -> Self {
        self.with(|inner| inner.terms.max_actors = actors)
    }

    /// The most bytes of a token, in place of 16 KiB. A larger one is answered with 431.
    #[must_use]
    pub fn max_token_bytes(self, bytes: usize) -> Self {
        self.with(|inner| inner.max_token_bytes = bytes)
    }

    /// Scopes that imply others.
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

    /// Where decisions are recorded. Without a sink there is **no record**.
    #[must_use]
    pub fn audit(self, sink: impl Audit) -> Self {
        self.with(|inner| inner.audit = Some(Arc::new(sink)))
    }

    /// Authorizes one request: phases A to J in their order, the first check that fails being the reason.
    ///
    /// Once granted, the credential is taken off the request, and the grant put into its extensions. Where
    /// this very guard granted the request already, the token is not validated again: the two
    /// requirements are asked together.
    ///
    /// With keys at hand the answer is there at once ([`Answer::now`]). Dropping an answer that waits
    /// changes nothing.
    pub fn authorize<'a>(
        &'a self,
        head: &'a mut Parts,
        requirement: impl Into<Require>,
    ) -> Answer<'a, Result<Grant, Denial>> {
        let ask = Ask {
            requirement: Arc::new(requirement.into()),
            name: None,
            optional: false,
        };
        match self.begin(head, &ask) {
            Step::Judged(Ok(Some(grant))) => {
                admit(head, &grant);
                Answer::Now(Ok(grant))
            }
            // Without `optional` there is no pass without a grant.
            Step::Judged(Ok(None)) => Answer::Now(Err(Reason::InternalError.into())),
            Step::Judged(Err(denial)) => Answer::Now(Err(denial)),
            Step::Waiting(waiting) => Answer::later(async move {
                let grant = waiting.judged().await?;
                admit(head, &grant);
                Ok(grant)
            }),
        }
    }

    /// Asks more of a request that was granted: for what only the handler can know. What the grant asked
    /// already is asked together with it, so that a challenge names everything.
    ///
    /// The token is judged at the moment of the request. A grant of another guard is not believed: the
    /// credential is validated anew.
    pub fn narrow(
        &self,
        grant: &Grant,
        requirement: impl Into<Require>,
    ) -> Answer<'static, Result<Grant, Denial>> {
        let requirement = Arc::new(grant.requirement().clone().and(requirement));
        let operation = grant.operation().clone();
        if grant.by(self) {
            return Answer::Now(self.decide(&grant.case, operation, requirement));
        }
        let head = Head {
            operation,
            at: (self.inner.clock)(),
            decision: grant.decision(),
            step: grant.case.next_step(),
            query_token: grant.case.query_token,
        };
        match self.judge(head, requirement, grant.credential()) {
            Ok(judged) => Answer::Now(judged),
            Err(waiting) => Answer::later(waiting.judged()),
        }
    }

    /// The handler's own no, by a rule that is in no token: 403 `policy_denied`, and in the record.
    pub fn refuse(&self, grant: &Grant) -> Denial {
        let denial = self.finished(Reason::PolicyDenied.into(), grant.decision());
        self.record(&AuditEvent {
            at: grant.at(),
            decision: grant.decision(),
            step: grant.case.next_step(),
            operation: grant.operation(),
            requirement: Some(grant.requirement()),
            query_token: grant.case.query_token,
            said: Said::Validated(grant),
            denial: Some(&denial),
        });
        denial
    }

    /// The first step of a request.
    pub(crate) fn begin(&self, parts: &Parts, ask: &Ask) -> Step {
        let operation = Operation::of(parts, ask.name.clone());
        let earlier = parts.extensions.get::<Grant>();
        if let Some(grant) = earlier.filter(|grant| grant.by(self)) {
            let requirement = grant.requirement().clone().and(&*ask.requirement);
            return Step::Judged(
                self.decide(&grant.case, operation, requirement.into())
                    .map(Some),
            );
        }
        let head = Head {
            operation,
            at: (self.inner.clock)(),
            decision: earlier.map_or_else(DecisionId::next, |grant| grant.decision()),
            step: earlier.map_or(0, |grant| grant.case.next_step()),
            query_token: has_query_token(parts),
        };
        // Phase A. The credential of a request that another guard granted is with the grant.
        let secure = self
            .inner
            .is_secure
            .as_ref()
            .is_none_or(|is_secure| is_secure(parts));
        let credential = match earlier {
            _ if !secure => Err(Reason::InsecureTransport),
            Some(grant) => Ok(grant.credential().clone()),
            None => Credential::from_headers(&parts.headers, self.inner.max_token_bytes),
        };
        if ask.optional && matches!(credential, Err(Reason::MissingCredentials)) {
            return Step::Judged(Ok(None));
        }
        let judged = match credential {
            Ok(credential) => self.judge(head, ask.requirement.clone(), &credential),
            Err(reason) => Ok(Err(self.deny(&head, &ask.requirement, reason.into()))),
        };
        match judged {
            Ok(judged) => Step::Judged(judged.map(Some)),
            Err(waiting) => Step::Waiting(waiting),
        }
    }

    /// Phases B and C as far as they need no key; then the rest, or the wait for keys.
    fn judge(
        &self,
        head: Head,
        requirement: Arc<Require>,
        credential: &Credential,
    ) -> Result<Result<Grant, Denial>, Box<Waiting>> {
        let (token, keys) = match self.open(credential) {
            Ok(opened) => opened,
            Err(refused) => return Ok(Err(self.deny(&head, &requirement, refused))),
        };
        match keys {
            Answer::Now(keys) => {
                Ok(self.conclude(head, requirement, credential.clone(), token, keys))
            }
            Answer::Later(_) => Err(Box::new(Waiting {
                guard: self.clone(),
                head,
                requirement,
                credential: credential.clone(),
                token: token.into_owned(),
                keys,
            })),
        }
    }

    /// The rest, once there are keys.
    fn conclude(
        &self,
        head: Head,
        requirement: Arc<Require>,
        credential: Credential,
        token: UnverifiedToken<'_>,
        keys: Result<KeySet, KeysUnavailable>,
    ) -> Result<Grant, Denial> {
        match self.validate(token, keys, head.at) {
            Err(refused) => Err(self.deny(&head, &requirement, refused)),
            Ok(token) => {
                let Head {
                    at,
                    decision,
                    step,
                    query_token,
                    operation,
                } = head;
                let case = Case::new(token, credential, at, decision, query_token, step);
                self.decide(&Arc::new(case), operation, requirement)
            }
        }
    }

    /// Steps 8 to 15, and the question for keys.
    fn open<'c>(&self, credential: &'c Credential) -> Result<(UnverifiedToken<'c>, Keys), Refused> {
        let limit = self.inner.max_token_bytes;
        let token = UnverifiedToken::parse_within(credential.expose(), limit)?;
        let issuer = self.issuer_of(&token);
        token.admit(issuer.map(|issuer| &issuer.terms))?;
        let issuer = issuer.ok_or(Reason::IssuerUntrusted)?;
        let keys = issuer.keys.keys(token.key_hint());
        Ok((token, keys))
    }

    /// Steps 16 to 31.
    fn validate(
        &self,
        token: UnverifiedToken<'_>,
        keys: Result<KeySet, KeysUnavailable>,
        at: UtcDateTime,
    ) -> Result<AccessToken, Refused> {
        let keys = keys.map_err(|unavailable| {
            let denial = Denial::from(Reason::KeysUnavailable);
            Refused {
                denial: denial.with_detail(unavailable.to_string()),
                claims: None,
            }
        })?;
        let issuer = self.issuer_of(&token).ok_or(Reason::IssuerUntrusted)?;
        Ok(token.validate_with(&self.inner.terms, &issuer.terms, &keys, at)?)
    }

    /// Phases H to J, and the record.
    fn decide(
        &self,
        case: &Arc<Case>,
        operation: Operation,
        requirement: Arc<Require>,
    ) -> Result<Grant, Denial> {
        let evidence = Evidence {
            case: case.clone(),
            operation,
            requirement,
        };
        let checked = evidence.requirement.check(&case.token, case.at);
        let denial = checked
            .err()
            .map(|unmet| self.finished(unmet.into(), case.decision));
        self.record(&AuditEvent {
            at: case.at,
            decision: case.decision,
            step: case.next_step(),
            operation: &evidence.operation,
            requirement: Some(&evidence.requirement),
            query_token: case.query_token,
            said: Said::Validated(&evidence),
            denial: denial.as_ref(),
        });
        match denial {
            Some(denial) => Err(denial),
            None => Ok(Grant::new(evidence, self.inner.id)),
        }
    }

    /// A denial before there is a validated token, and the record.
    fn deny(&self, head: &Head, requirement: &Require, refused: Refused) -> Denial {
        let Refused { mut denial, claims } = refused;
        if matches!(
            denial.reason(),
            Reason::MissingCredentials | Reason::UnsupportedAuthScheme
        ) {
            denial = denial.with_scope_hint(requirement.challenge_scopes());
        }
        let denial = self.finished(denial, head.decision);
        self.record(&AuditEvent {
            at: head.at,
            decision: head.decision,
            step: head.step,
            operation: &head.operation,
            requirement: Some(requirement),
            query_token: head.query_token,
            said: claims.as_deref().map_or(Said::Nothing, Said::Signed),
            denial: Some(&denial),
        });
        denial
    }

    fn finished(&self, denial: Denial, decision: DecisionId) -> Denial {
        denial
            .with_resource_metadata(self.inner.metadata_url.as_ref())
            .with_decision(decision)
    }

    fn record(&self, event: &AuditEvent<'_>) {
        if let Some(audit) = &self.inner.audit {
            audit.record(event);
        }
    }

    fn issuer_of(&self, token: &UnverifiedToken<'_>) -> Option<&Issuer> {
        self.inner.issuers.get(token.issuer()?)
    }

    /// Our names: the first is the one we publish.
    pub(crate) fn audiences(&self) -> &[Audience] {
        &self.inner.terms.audiences
    }

    pub(crate) fn issuer_names(&self) -> impl Iterator<Item = &str> {
        self.inner.issuers.keys().map(String::as_str)
    }

    pub(crate) fn metadata_url(&self) -> Option<&MetadataUrl> {
        self.inner.metadata_url.as_ref()
    }
}

impl Grant {
    /// True where `guard`, or a clone of it, made this grant. A guard that was set up differently is
    /// another.
    #[must_use]
    pub fn by(&self, guard: &Guard) -> bool {
        self.guard() == guard.inner.id
    }
}

/// The token stops here: it goes off the request, and the grant goes on.
pub(crate) fn admit(parts: &mut Parts, grant: &Grant) {
    parts.headers.remove(AUTHORIZATION);
    parts.headers.remove("dpop");
    parts.extensions.insert(grant.clone());
}

/// OAuth 2.1 section 5.1: a token in the query is ignored. That somebody sent one goes into the record.
fn has_query_token(parts: &Parts) -> bool {
    let mut pairs = parts.uri.query().unwrap_or_default().split('&');
    pairs.any(|pair| pair.split('=').next() == Some("access_token"))
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("audiences", &self.audiences())
            .field("issuers", &self.inner.issuers.keys())
            .finish_non_exhaustive()
    }
}
