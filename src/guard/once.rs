//! What a guard accepts only once: a proof, and a token that is spent. The store decides, and this translates its
//! answer.

use std::sync::Arc;

use super::Guard;
use super::request::StepKind;
use crate::answer::Answer;
use crate::approvals::Transaction;
use crate::denial::Denial;
use crate::evidence::{DoneFlag, Evidence, ValidatedRequest};
use crate::printable::with_causes;
use crate::reason::Reason;
use crate::replay::{Remembered, ReplayEntry, ReplayStore, StoreUnavailable};

/// The answer of a store: accepted or refused.
type StoreAnswer = Answer<'static, Result<(), Denial>>;

/// Why a request is refused if a store does not accept its entry.
#[derive(Clone, Copy)]
struct ReplayReasons {
    /// The store remembers the entry.
    again: Reason,
    /// The entry is older than what the store remembers.
    before_epoch: Reason,
}

impl Guard {
    /// Stores the proof of a request, if it has one, and refuses it if it was used before.
    ///
    /// It is stored once, however many guards and layers see the request.
    pub(super) fn store_proof(&self, evidence: &Evidence) -> StoreAnswer {
        let request = &evidence.request;
        let Some(store) = &self.inner.proof_store else { return Answer::Now(Ok(())) };
        if request.once().proof_stored.is_set() {
            return Answer::Now(Ok(()));
        }
        let (token, at) = (&request.token, evidence.at());
        let (Some(proof), Some(entry)) = (token.proof(), ReplayEntry::for_proof(token, at)) else {
            return Answer::Now(Ok(()));
        };
        // If proofs have nonces, the client is told a new one.
        let too_old = if proof.is_dated_by_nonce() {
            Reason::DpopNonceInvalid
        } else {
            Reason::DpopProofStale
        };
        let reasons = ReplayReasons { again: Reason::DpopProofReplayed, before_epoch: too_old };
        let request = request.clone();
        insert(store, entry, move || request.once().proof_stored.set(), reasons)
    }

    /// Spends the token of a request, or the transaction that was approved, and refuses what was spent before.
    ///
    /// All layers of a request and one `narrow` spend it together. A further `narrow` that spends is refused, even if
    /// the first is still waiting for its store.
    pub(super) fn spend(
        &self,
        evidence: &Evidence,
        step_kind: StepKind,
        transaction: Option<&Transaction>,
    ) -> StoreAnswer {
        let refuse = |reason: Reason, detail: &'static str| {
            Answer::Now(Err(Denial::from(reason).with_detail(detail)))
        };
        let Some(store) = &self.inner.spent_store else {
            return refuse(
                Reason::InternalError,
                "the requirement spends tokens and the guard has no store for them: call `Guard::replay`",
            );
        };
        let is_transaction = transaction.is_some();
        let Some(spending) = Spending::begin(&evidence.request, step_kind, is_transaction) else {
            return refuse(
                Reason::TokenSpent,
                "another `narrow` of the same request has spent the token, or is about to",
            );
        };
        if spending.is_done() {
            spending.complete();
            return Answer::Now(Ok(()));
        }
        let (token, at) = (evidence.token(), evidence.at());
        let entry = match transaction {
            Some(transaction) => Some(transaction.entry(token, at)),
            None => ReplayEntry::for_token(token, at),
        };
        let Some(entry) = entry else {
            return refuse(
                Reason::TokenSpent,
                "the token cannot be spent: it has no id, does not say when it was issued, or is not meant for one audience",
            );
        };
        let reasons = ReplayReasons { again: Reason::TokenSpent, before_epoch: Reason::TokenSpent };
        insert(store, entry, || spending.complete(), reasons)
    }
}

/// A step that is about to spend the token of its request, or its transaction.
///
/// If it does not complete, because the store fails or the caller no longer waits, the next `narrow` may try: if the
/// token was spent after all, the store says so.
struct Spending {
    request: Arc<ValidatedRequest>,
    /// It is the one `narrow` of the request that may spend, and has not completed.
    holds_claim: bool,
    /// It is the transaction, and not the token. A layer that spent the token has not spent its transaction.
    is_transaction: bool,
}

impl Spending {
    /// `None` if the step is a `narrow` and another one has spent the token, or is about to.
    fn begin(
        request: &Arc<ValidatedRequest>,
        step_kind: StepKind,
        is_transaction: bool,
    ) -> Option<Self> {
        let holds_claim = match step_kind {
            StepKind::Layer { .. } => false,
            StepKind::Narrow { .. } => request.once().spending_narrow.take().then_some(true)?,
        };
        Some(Spending { request: request.clone(), holds_claim, is_transaction })
    }

    fn flag(&self) -> &DoneFlag {
        let once = self.request.once();
        if self.is_transaction { &once.transaction_spent } else { &once.token_spent }
    }

    /// True if an earlier step of the request has spent it.
    fn is_done(&self) -> bool {
        self.flag().is_set()
    }

    fn complete(mut self) {
        self.flag().set();
        self.holds_claim = false;
    }
}

impl Drop for Spending {
    fn drop(&mut self) {
        if self.holds_claim {
            self.request.once().spending_narrow.release();
        }
    }
}

/// Inserts an entry, and calls `on_first` if the store accepts it.
fn insert(
    store: &Arc<dyn ReplayStore>,
    entry: ReplayEntry,
    on_first: impl FnOnce() + Send + 'static,
    reasons: ReplayReasons,
) -> StoreAnswer {
    match store.insert(entry) {
        Answer::Now(remembered) => Answer::Now(accept_first(remembered, on_first, reasons)),
        waiting @ Answer::Later(_) => {
            Answer::later(async move { accept_first(waiting.await, on_first, reasons) })
        }
    }
}

/// Accepts an entry that the store sees for the first time.
fn accept_first(
    remembered: Result<Remembered, StoreUnavailable>,
    on_first: impl FnOnce(),
    reasons: ReplayReasons,
) -> Result<(), Denial> {
    let reason = match remembered {
        Ok(Remembered::First) => {
            on_first();
            return Ok(());
        }
        Ok(Remembered::Again) => reasons.again,
        Ok(Remembered::BeforeEpoch) => {
            let detail = "it was issued before the store began to remember";
            return Err(Denial::from(reasons.before_epoch).with_detail(detail));
        }
        Ok(Remembered::ShareFull) => Reason::RateLimited,
        Err(unavailable) => {
            let denial = Denial::from(Reason::ReplayStoreUnavailable);
            return Err(denial.with_detail(with_causes(&unavailable)));
        }
    };
    Err(reason.into())
}
