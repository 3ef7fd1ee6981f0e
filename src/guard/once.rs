//! What a guard accepts only once: a proof, and a token that is spent. The store decides, and this translates its
//! answer.

use std::sync::Arc;

use super::Guard;
use crate::answer::Answer;
use crate::denial::Denial;
use crate::evidence::{DoneFlag, ValidatedRequest};
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
    pub(super) fn store_proof(&self, request: &Arc<ValidatedRequest>) -> StoreAnswer {
        let Some(store) = &self.inner.proof_store else { return Answer::Now(Ok(())) };
        if request.root().proof_stored.is_set() {
            return Answer::Now(Ok(()));
        }
        let (token, at) = (&request.token, request.at);
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
        insert(store, entry, request.clone(), |request| &request.root().proof_stored, reasons)
    }

    /// Spends the token of a request, and refuses it if it was spent before.
    ///
    /// It is spent once, however many guards and layers see the request.
    pub(super) fn spend_token(&self, request: &Arc<ValidatedRequest>) -> StoreAnswer {
        let refuse = |reason: Reason, detail: &str| {
            Answer::Now(Err(Denial::from(reason).with_detail(detail)))
        };
        let Some(store) = &self.inner.spent_store else {
            return refuse(
                Reason::InternalError,
                "the requirement spends tokens and the guard has no store for them: call `Guard::replay`",
            );
        };
        if request.root().token_spent.is_set() {
            return Answer::Now(Ok(()));
        }
        let Some(entry) = ReplayEntry::for_token(&request.token, request.at) else {
            return refuse(
                Reason::TokenSpent,
                "the token cannot be spent: it has no id, or is not meant for one audience",
            );
        };
        let reasons = ReplayReasons { again: Reason::TokenSpent, before_epoch: Reason::TokenSpent };
        insert(store, entry, request.clone(), |request| &request.root().token_spent, reasons)
    }
}

fn insert(
    store: &Arc<dyn ReplayStore>,
    entry: ReplayEntry,
    request: Arc<ValidatedRequest>,
    flag: fn(&ValidatedRequest) -> &DoneFlag,
    reasons: ReplayReasons,
) -> StoreAnswer {
    match store.insert(entry) {
        Answer::Now(remembered) => Answer::Now(accept_first(remembered, flag(&request), reasons)),
        waiting @ Answer::Later(_) => Answer::later(async move {
            let remembered = waiting.await;
            accept_first(remembered, flag(&request), reasons)
        }),
    }
}

/// Accepts an entry that the store sees for the first time.
fn accept_first(
    remembered: Result<Remembered, StoreUnavailable>,
    flag: &DoneFlag,
    reasons: ReplayReasons,
) -> Result<(), Denial> {
    let reason = match remembered {
        Ok(Remembered::First) => {
            flag.set();
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
            return Err(denial.with_detail(unavailable.to_string()));
        }
    };
    Err(reason.into())
}
