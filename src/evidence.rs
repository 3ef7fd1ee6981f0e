//! What a decision rests on: operation, requirement, token, moment.

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

/// What is asked for: the owner's name for it where it has one, and the method and path of the request.
#[derive(Clone)]
pub struct Operation {
    name: Option<Arc<str>>,
    method: Method,
    path: Option<PathAndQuery>,
}

impl Operation {
    pub(crate) fn of(parts: &Parts, name: Option<Arc<str>>) -> Self {
        let path = own_uri(parts).path_and_query().cloned();
        Operation { name, method: parts.method.clone(), path }
    }

    /// The owner's name for it, where it was `named`.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The method of the request.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The path of the request as it was sent, also inside nested axum routers (feature `axum`).
    /// Without its query, which may hold secrets.
    #[must_use]
    pub fn path(&self) -> Printable<'_> {
        self.uri_path().into()
    }
}

impl Operation {
    /// The path as it is on the wire: what proofs are made for.
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

/// The request's own URI: routers that nest strip what they matched.
fn own_uri(parts: &Parts) -> &Uri {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::OriginalUri(uri)) = parts.extensions.get() {
        return uri;
    }
    &parts.uri
}

/// Names one decision in the record: one a request, the same for every step of it. Looks random, so that
/// whoever is told one learns nothing about others; not a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DecisionId(u64);

impl DecisionId {
    pub(crate) fn next() -> Self {
        /// Each thread takes so many at once: nobody waits for another.
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
        // Under keys that are random for each process.
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

/// What is asked of a request, and what that requires.
pub(crate) struct Asked {
    pub(crate) operation: Operation,
    pub(crate) requirement: Arc<Require>,
}

/// What every step of one request shares: the token, validated once.
pub(crate) struct Case {
    pub(crate) token: AccessToken,
    /// What is asked first.
    asked: Asked,
    pub(crate) credential: Credential,
    pub(crate) at: UtcDateTime,
    pub(crate) decision: DecisionId,
    pub(crate) query_token: bool,
    /// Another guard's case of the same request, which counts the steps.
    earlier: Option<Arc<Case>>,
    steps: AtomicU32,
    /// The proof of the request, and its token, where they count once.
    pub(crate) proof: Once,
    pub(crate) spent: Once,
}

/// Something that a request does once, whatever guards and stores see it.
#[derive(Default)]
pub(crate) struct Once(AtomicBool);

impl Once {
    pub(crate) fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn done(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Case {
    pub(crate) fn new(
        token: AccessToken,
        asked: Asked,
        credential: Credential,
        at: UtcDateTime,
        decision: DecisionId,
        query_token: bool,
        earlier: Option<Arc<Case>>,
    ) -> Self {
        let (proof, spent) = (Once::default(), Once::default());
        Case {
            token,
            asked,
            credential,
            at,
            decision,
            query_token,
            earlier,
            steps: AtomicU32::new(0),
            proof,
            spent,
        }
    }

    /// The first case of the request.
    pub(crate) fn root(&self) -> &Case {
        self.earlier.as_deref().map_or(self, Case::root)
    }

    /// The number of the next step of the decision.
    pub(crate) fn next_step(&self) -> u32 {
        match &self.earlier {
            Some(earlier) => earlier.next_step(),
            None => self.steps.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// What a decision rests on: the operation, what it requires, the validated token, the moment.
///
/// Derefs to the [`AccessToken`]: `grant.subject()`, `grant.actor()`.
#[derive(Clone)]
pub struct Evidence {
    pub(crate) case: Arc<Case>,
    /// What is asked of it later.
    more: Option<Arc<Asked>>,
}

impl Evidence {
    /// For what is asked first.
    pub(crate) fn new(case: Case) -> Self {
        Evidence { case: Arc::new(case), more: None }
    }

    /// The same token, for what is asked later.
    pub(crate) fn asked_more(&self, more: Asked) -> Self {
        Evidence { case: self.case.clone(), more: Some(Arc::new(more)) }
    }

    fn asked(&self) -> &Asked {
        self.more.as_deref().unwrap_or(&self.case.asked)
    }

    /// What is asked for.
    #[must_use]
    pub fn operation(&self) -> &Operation {
        &self.asked().operation
    }

    /// What it requires.
    #[must_use]
    pub fn requirement(&self) -> &Require {
        &self.asked().requirement
    }

    /// The validated token.
    #[must_use]
    pub fn token(&self) -> &AccessToken {
        &self.case.token
    }

    /// The moment: the clock is read once for a request.
    #[must_use]
    pub fn at(&self) -> UtcDateTime {
        self.case.at
    }

    /// The decision in the record.
    #[must_use]
    pub fn decision(&self) -> DecisionId {
        self.case.decision
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

/// Yes: a guard let this request pass, at its moment. Only a guard makes one. Cheap to clone.
///
/// A grant is for its request. What outlives that, a stream or a queued job for instance, ends by
/// [`expires_at`](AccessToken::expires_at) itself.
///
/// Derefs to [`Evidence`], and that to the [`AccessToken`].
#[derive(Clone)]
pub struct Grant {
    evidence: Evidence,
    /// Which guard made it.
    guard: u64,
}

impl Grant {
    pub(crate) fn new(evidence: Evidence, guard: u64) -> Self {
        Grant { evidence, guard }
    }

    /// Which guard made it.
    pub(crate) fn guard(&self) -> u64 {
        self.guard
    }

    /// The credential, which was taken off the request: for token exchange, and for nothing else.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.evidence.case.credential
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
