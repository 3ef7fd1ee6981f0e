//! What a decision rests on: the operation, its requirement, the token and the time.

mod attribute;
mod operation;
mod trace;

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::request::Parts;
use time::UtcDateTime;

use crate::credential::Credential;
use crate::require::Require;
use crate::token::AccessToken;

pub use attribute::Attribute;
pub(crate) use attribute::Stated;
pub use operation::Operation;
pub use trace::TraceParent;

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

/// One step of a decision: an operation, what it requires, and when it is judged.
pub(crate) struct Step {
    pub(crate) operation: Operation,
    pub(crate) requirement: Arc<Require>,
    pub(crate) at: UtcDateTime,
    /// The head of the request without credentials, if a policy is asked.
    pub(crate) head: Option<Arc<Parts>>,
    /// The ids of the policies that decided.
    pub(crate) policies: Vec<String>,
    /// For the record alone.
    pub(crate) beginning: Beginning,
}

impl Step {
    /// A step that no policy has decided yet.
    pub(crate) fn new(
        operation: Operation,
        requirement: Arc<Require>,
        at: UtcDateTime,
        head: Option<Arc<Parts>>,
        beginning: Beginning,
    ) -> Self {
        Step { operation, requirement, at, head, policies: Vec::new(), beginning }
    }
}

/// How a step began, for the record.
#[derive(Clone, Copy)]
pub(crate) struct Beginning {
    /// What the stopwatch showed, if a sink asks how long a step takes.
    pub(crate) stopwatch: Option<Duration>,
    pub(crate) token_source: TokenSource,
}

/// Where the validated token of a step came from.
///
/// [`AuditEvent::token_source`](crate::AuditEvent::token_source) returns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenSource {
    /// Its signature was verified.
    Verified,
    /// It was in the cache of validated tokens, since it was sent before.
    Cache,
    /// An earlier step of the request had validated it.
    Grant,
}

impl TokenSource {
    /// Returns the name: `verified`, `cache` or `grant`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            TokenSource::Verified => "verified",
            TokenSource::Cache => "cache",
            TokenSource::Grant => "grant",
        }
    }
}

/// What is the same in all steps of a decision, and known before the token is.
pub(crate) struct RequestFacts {
    pub(crate) decision: DecisionId,
    /// The query holds an access token, which is ignored.
    pub(crate) query_token: bool,
    /// The client said that it understands a challenge that asks for an approval.
    pub(crate) accepts_challenge: bool,
    /// For the record alone.
    pub(crate) trace: Option<TraceParent>,
    /// The request as the first of its guards validated it. `None` if no other guard has granted it before.
    root: Option<Arc<ValidatedRequest>>,
}

impl RequestFacts {
    /// `earlier` is the request as another guard granted it before, if one did.
    pub(crate) fn new(
        earlier: Option<&Arc<ValidatedRequest>>,
        query_token: bool,
        accepts_challenge: bool,
        trace: Option<TraceParent>,
    ) -> Self {
        let decision = earlier.map_or_else(DecisionId::next, |earlier| earlier.facts.decision);
        // Not always the earlier request itself: guards that narrow in turn would make a list of any length.
        let root = earlier.map(|earlier| earlier.facts.root.as_ref().unwrap_or(earlier).clone());
        RequestFacts { decision, query_token, accepts_challenge, trace, root }
    }

    /// Counts a step of the decision and returns its number, before the token is known.
    pub(crate) fn next_step(&self) -> u32 {
        self.root.as_ref().map_or(0, |root| root.next_step())
    }
}

/// A request whose token was validated: what all steps of its decision share.
pub(crate) struct ValidatedRequest {
    pub(crate) token: AccessToken,
    /// When the guard no longer accepts the token, without leeway.
    pub(crate) ends_at: UtcDateTime,
    /// Later steps bring their own.
    first_step: Step,
    pub(crate) credential: Credential,
    pub(crate) facts: RequestFacts,
    once: OncePerRequest,
}

/// What a request has or does only once, however many guards see it.
#[derive(Default)]
pub(crate) struct OncePerRequest {
    /// How many steps its decision has had.
    steps: AtomicU32,
    /// Whether its proof has been stored.
    pub(crate) proof_stored: DoneFlag,
    /// Whether its token has been spent.
    pub(crate) token_spent: DoneFlag,
    /// Whether the transaction of its token has been spent.
    pub(crate) transaction_spent: DoneFlag,
    /// The one `narrow` that may spend the token.
    pub(crate) spending_narrow: Claim,
}

/// Set once something has been done.
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

/// Something that one of many gets, and keeps unless it is released.
#[derive(Default)]
pub(crate) struct Claim(AtomicBool);

impl Claim {
    /// Returns true for exactly one caller, until that one releases it.
    pub(crate) fn take(&self) -> bool {
        self.0.compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    pub(crate) fn release(&self) {
        self.0.store(false, Ordering::Release);
    }
}

impl ValidatedRequest {
    pub(crate) fn new(
        token: AccessToken,
        ends_at: UtcDateTime,
        first_step: Step,
        credential: Credential,
        facts: RequestFacts,
    ) -> Self {
        let once = OncePerRequest::default();
        ValidatedRequest { token, ends_at, first_step, credential, facts, once }
    }

    /// What all guards of the request share.
    pub(crate) fn once(&self) -> &OncePerRequest {
        self.facts.root.as_ref().map_or(&self.once, |root| &root.once)
    }

    /// Counts a step of the decision and returns its number.
    pub(crate) fn next_step(&self) -> u32 {
        self.once().steps.fetch_add(1, Ordering::Relaxed)
    }
}

/// What a decision rests on: the operation, what it requires, the validated token and the time.
///
/// An `Evidence` dereferences to its [`AccessToken`], so `evidence.subject()` and `evidence.actor()` work. A
/// [`Grant`](crate::Grant) dereferences to its evidence.
#[derive(Clone)]
pub struct Evidence {
    pub(crate) request: Arc<ValidatedRequest>,
    /// `None` in the first step.
    later_step: Option<Arc<Step>>,
}

impl Evidence {
    /// The evidence of the first step of a request.
    pub(crate) fn new(request: ValidatedRequest) -> Self {
        Evidence { request: Arc::new(request), later_step: None }
    }

    /// The evidence of a later step of the request.
    pub(crate) fn for_later_step(&self, step: Step) -> Self {
        Evidence { request: self.request.clone(), later_step: Some(Arc::new(step)) }
    }

    fn current_step(&self) -> &Step {
        self.later_step.as_deref().unwrap_or(&self.request.first_step)
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
    pub fn token(&self) -> &AccessToken {
        &self.request.token
    }

    /// Returns the time at which the operation is judged.
    ///
    /// The first guard of a request reads its clock, once for all layers. Each later
    /// [`Guard::narrow`](crate::Guard::narrow) reads it again.
    #[must_use]
    pub fn at(&self) -> UtcDateTime {
        self.current_step().at
    }

    /// Returns the ids of the policies that decided, as the policy engine names them. Empty if no policy named any.
    #[must_use]
    pub fn policies(&self) -> &[String] {
        &self.current_step().policies
    }

    /// How this step began.
    pub(crate) fn beginning(&self) -> Beginning {
        self.current_step().beginning
    }

    /// The head of the request without credentials, if a policy is asked.
    pub(crate) fn head(&self) -> Option<&Arc<Parts>> {
        self.current_step().head.as_ref()
    }

    /// Returns the id of the decision in the record.
    #[must_use]
    pub fn decision(&self) -> DecisionId {
        self.request.facts.decision
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
