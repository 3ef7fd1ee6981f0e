//! What a decision rests on: the operation, its requirement, the token and the time.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Uri};
use time::UtcDateTime;

use crate::credential::Credential;
use crate::printable::Printable;
use crate::require::Require;
use crate::token::AccessToken;

/// The operation that a request asks for: its method and path, and the name that it was given, if any.
///
/// `Display` writes the name, or the method and path if there is no name.
#[derive(Clone)]
pub struct Operation {
    name: Option<Arc<str>>,
    method: Method,
    path: Option<PathAndQuery>,
}

impl Operation {
    pub(crate) fn from_parts(parts: &Parts, name: Option<Arc<str>>) -> Self {
        let path = original_uri(parts).path_and_query().cloned();
        Operation { name, method: parts.method.clone(), path }
    }

    /// Returns the name that [`GuardLayer::named`](crate::layer::GuardLayer::named) gave the operation, if any.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns the method of the request.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the path of the request as it was sent, also inside nested axum routers (feature `axum`).
    ///
    /// The query is left out, since it may hold secrets.
    #[must_use]
    pub fn path(&self) -> Printable<'_> {
        self.uri_path().into()
    }
}

impl Operation {
    /// The path as it was sent, which is what proofs are made for.
    pub(crate) fn uri_path(&self) -> &str {
        self.path.as_ref().map_or("", PathAndQuery::path)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => Printable::from(&**name).fmt(f),
            None => write!(f, "{} {}", Printable::from(self.method.as_str()), self.path()),
        }
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Operation({self})")
    }
}

/// The URI before nested routers stripped the prefixes that they matched.
fn original_uri(parts: &Parts) -> &Uri {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::OriginalUri(uri)) = parts.extensions.get() {
        return uri;
    }
    &parts.uri
}

/// The id of one decision in the record.
///
/// A request has one id. All steps of its decision have it, also a later [`Guard::narrow`](crate::Guard::narrow). Ids
/// look random, so that one of them tells nothing about the others. They are not secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DecisionId(u64);

impl DecisionId {
    pub(crate) fn next() -> Self {
        /// How many ids a thread reserves at once, so that threads do not contend for each id.
        const BLOCK: u64 = 1024;
        static BLOCKS: AtomicU64 = AtomicU64::new(0);
        thread_local! {
            static NEXT: Cell<u64> = const { Cell::new(0) };
        }
        NEXT.with(|next| {
            let number = match next.get() % BLOCK {
                0 => BLOCKS.fetch_add(BLOCK, Ordering::Relaxed),
                _ => next.get(),
            };
            next.set(number.wrapping_add(1));
            DecisionId(number)
        })
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The keys are random for each process.
        static KEYS: OnceLock<[RandomState; 2]> = OnceLock::new();
        let [high, low] = KEYS.get_or_init(|| [RandomState::new(), RandomState::new()]);
        write!(f, "{:016x}{:016x}", high.hash_one(self.0), low.hash_one(self.0))
    }
}

impl fmt::Debug for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecisionId({self})")
    }
}

/// An operation and what it requires.
pub(crate) struct OperationRequirement {
    pub(crate) operation: Operation,
    pub(crate) requirement: Arc<Require>,
}

/// A request whose token was validated: what all steps of its decision share.
pub(crate) struct ValidatedRequest {
    pub(crate) token: AccessToken,
    /// The operation of the first step. Later steps bring their own.
    first: OperationRequirement,
    pub(crate) credential: Credential,
    pub(crate) at: UtcDateTime,
    pub(crate) decision: DecisionId,
    pub(crate) query_token: bool,
    /// Another guard validated this request before. The first of these counts the steps.
    earlier: Option<Arc<ValidatedRequest>>,
    steps: AtomicU32,
    /// Whether the proof of the request has been stored.
    pub(crate) proof_stored: DoneFlag,
    /// Whether the token of the request has been spent.
    pub(crate) token_spent: DoneFlag,
}

/// Set once something has been done that a request does only once, however many guards see the request.
#[derive(Default)]
pub(crate) struct DoneFlag(AtomicBool);

impl DoneFlag {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl ValidatedRequest {
    pub(crate) fn new(
        token: AccessToken,
        first: OperationRequirement,
        credential: Credential,
        at: UtcDateTime,
        decision: DecisionId,
        query_token: bool,
        earlier: Option<Arc<ValidatedRequest>>,
    ) -> Self {
        ValidatedRequest {
            token,
            first,
            credential,
            at,
            decision,
            query_token,
            earlier,
            steps: AtomicU32::new(0),
            proof_stored: DoneFlag::default(),
            token_spent: DoneFlag::default(),
        }
    }

    /// The request as the first of its guards validated it.
    pub(crate) fn root(&self) -> &ValidatedRequest {
        self.earlier.as_deref().map_or(self, ValidatedRequest::root)
    }

    /// Counts a step of the decision and returns its number.
    pub(crate) fn next_step(&self) -> u32 {
        self.root().steps.fetch_add(1, Ordering::Relaxed)
    }
}

/// What a decision rests on: the operation, what it requires, the validated token and the time.
///
/// An `Evidence` dereferences to its [`AccessToken`], so `evidence.subject()` and `evidence.actor()` work. A
/// [`Grant`](crate::Grant) dereferences to its evidence.
#[derive(Clone)]
pub struct Evidence {
    pub(crate) request: Arc<ValidatedRequest>,
    /// What a later step asks for. `None` in the first step.
    later: Option<Arc<OperationRequirement>>,
}

impl Evidence {
    /// The evidence of the first step of a request.
    pub(crate) fn new(request: ValidatedRequest) -> Self {
        Evidence { request: Arc::new(request), later: None }
    }

    /// The evidence of a later step of the request.
    pub(crate) fn for_later_step(&self, later: OperationRequirement) -> Self {
        Evidence { request: self.request.clone(), later: Some(Arc::new(later)) }
    }

    fn current_step(&self) -> &OperationRequirement {
        self.later.as_deref().unwrap_or(&self.request.first)
    }

    /// Returns the operation that was asked for.
    #[must_use]
    pub fn operation(&self) -> &Operation {
        &self.current_step().operation
    }

    /// Returns what the operation requires.
    #[must_use]
    pub fn requirement(&self) -> &Require {
        &self.current_step().requirement
    }

    /// Returns the validated token.
    #[must_use]
    pub fn token(&self) -> &AccessToken {
        &self.request.token
    }

    /// Returns the time at which the request is judged.
    ///
    /// The guard reads its clock once for each request.
    #[must_use]
    pub fn at(&self) -> UtcDateTime {
        self.request.at
    }

    /// Returns the id of the decision in the record.
    #[must_use]
    pub fn decision(&self) -> DecisionId {
        self.request.decision
    }
}

impl Deref for Evidence {
    type Target = AccessToken;

    fn deref(&self) -> &AccessToken {
        self.token()
    }
}

impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evidence")
            .field("decision", &self.decision())
            .field("operation", self.operation())
            .field("token", self.token())
            .finish_non_exhaustive()
    }
}

/// Permission for one request, granted by a guard.
///
/// Only a guard makes a `Grant`. With the feature `axum` it is an extractor. It is cheap to clone.
///
/// A grant dereferences to its [`Evidence`], and that to the validated [`AccessToken`], so their methods are called on
/// the grant. These are the most used ones:
///
/// | method | returns |
/// |---|---|
/// | [`subject()`](AccessToken::subject) | whose authority the token carries, `sub` |
/// | [`issuer()`](AccessToken::issuer) | who issued the token; subjects are told apart by issuer **and** name |
/// | [`actor()`](AccessToken::actor) | who acts for the subject now, for example an agent |
/// | [`client_id()`](AccessToken::client_id) | the software that the token was issued to |
/// | [`allows()`](AccessToken::allows), [`scopes()`](AccessToken::scopes) | whether the token has a scope; all its scopes |
/// | [`claim()`](AccessToken::claim) | any other claim of the token |
/// | [`expires_at()`](AccessToken::expires_at) | when the token expires |
/// | [`operation()`](Evidence::operation) | the name, method and path of the operation |
/// | [`decision()`](Evidence::decision) | the id of this decision in the audit record |
/// | [`credential()`](Grant::credential) | the token as it was sent, for token exchange |
///
/// A grant is for its request. Something that outlives the request, such as a stream or a queued job, must itself stop
/// at [`expires_at`](AccessToken::expires_at).
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use unconfused::{Audience, Grant, Scope};
/// use unconfused::testing::TestIssuer;
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// const READ: Scope = Scope::from_static("orders:read");
/// const WRITE: Scope = Scope::from_static("orders:write");
///
/// fn list(grant: &Grant) -> String {
///     let editable = grant.allows(&WRITE);
///     match grant.actor() {
///         Some(actor) => format!("{} for {}, editable: {editable}", actor.subject(), grant.subject()),
///         None => format!("{}, editable: {editable}", grant.subject()),
///     }
/// }
///
/// let login = TestIssuer::new("https://login.example");
/// let token = login.token(&ORDERS).subject("alice").actor("agent-7").scope("orders:read");
/// let grant = login.grant(token, READ);
/// assert_eq!(list(&grant), "agent-7 for alice, editable: false");
/// # }
/// ```
#[derive(Clone)]
pub struct Grant {
    evidence: Evidence,
    /// The id of the guard that made it.
    guard: u64,
}

impl Grant {
    pub(crate) fn new(evidence: Evidence, guard: u64) -> Self {
        Grant { evidence, guard }
    }

    /// The id of the guard that made it.
    pub(crate) fn guard_id(&self) -> u64 {
        self.guard
    }

    /// Returns the credential that the guard removed from the request.
    ///
    /// Use it for token exchange ([RFC 8693](https://www.rfc-editor.org/rfc/rfc8693)) and for nothing else.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.evidence.request.credential
    }
}

impl Deref for Grant {
    type Target = Evidence;

    fn deref(&self) -> &Evidence {
        &self.evidence
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grant({:?})", self.evidence)
    }
}
