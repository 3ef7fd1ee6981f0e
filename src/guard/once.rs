//! What counts once: a proof (steps 48 and 49), a token that is spent (step 82). What is answered is decided by the
//! store.

use std::sync::Arc;

use super::Guard;
use crate::answer::Answer;
use crate::denial::Denial;
use crate::evidence::{Case, Once};
use crate::reason::Reason;
use crate::replay::{Remembered, ReplayEntry, ReplayStore, StoreUnavailable};

/// Done, or refused.
type Checked = Answer<'static, Result<(), Denial>>;

impl Guard {
    /// A proof is accepted once, however many guards and layers see the request.
    pub(super) fn proof_once(&self, case: &Arc<Case>) -> Checked {
        let (Some(proof), Some(store)) = (case.token.proof(), &self.inner.proofs) else {
            return Answer::Now(Ok(()));
        };
        if case.root().proof.is_done() {
            return Answer::Now(Ok(()));
        }
        let entry = ReplayEntry::for_proof(proof, case.at);
        let refused = Refused {
            again: Reason::DpopProofReplayed,
            // With a nonce, the client is told a fresh one.
            forgotten: match proof.is_dated_by_nonce() {
                true => Reason::DpopNonceInvalid,
                false => Reason::DpopProofStale,
            },
        };
        insert(store, entry, case.clone(), |case| &case.root().proof, refused)
    }

    /// A token is spent once by a request, and then never again.
    pub(super) fn spend(&self, case: &Arc<Case>) -> Checked {
        let refuse = |reason: Reason, detail: &str| {
            Answer::Now(Err(Denial::from(reason).with_detail(detail)))
        };
        let Some(store) = &self.inner.spent else {
            return refuse(
                Reason::InternalError,
                "a requirement takes a token once and the guard has no store: `Guard::replay`",
            );
        };
        if case.root().spent.is_done() {
            return Answer::Now(Ok(()));
        }
        let Some(entry) = ReplayEntry::for_token(&case.token, case.at) else {
            return refuse(
                Reason::TokenSpent,
                "the token has no id, or is not meant for one audience: it cannot be spent",
            );
        };
        let refused = Refused { again: Reason::TokenSpent, forgotten: Reason::TokenSpent };
        insert(store, entry, case.clone(), |case| &case.root().spent, refused)
    }
}

/// What is answered where it is not the first time.
#[derive(Clone, Copy)]
struct Refused {
    again: Reason,
    forgotten: Reason,
}

fn insert(
    store: &Arc<dyn ReplayStore>,
    entry: ReplayEntry,
    case: Arc<Case>,
    once: fn(&Case) -> &Once,
    refused: Refused,
) -> Checked {
    match store.insert(entry) {
        Answer::Now(remembered) => Answer::Now(read(remembered, once(&case), refused)),
        remembering @ Answer::Later(_) => Answer::later(async move {
            let remembered = remembering.await;
            read(remembered, once(&case), refused)
        }),
    }
}

fn read(
    remembered: Result<Remembered, StoreUnavailable>,
    once: &Once,
    refused: Refused,
) -> Result<(), Denial> {
    let reason = match remembered {
        Ok(Remembered::First) => {
            once.done();
            return Ok(());
        }
        Ok(Remembered::Again) => refused.again,
        Ok(Remembered::BeforeEpoch) => {
            let detail = "it was issued before the store began to remember";
            return Err(Denial::from(refused.forgotten).with_detail(detail));
        }
        Ok(Remembered::ShareFull) => Reason::RateLimited,
        Err(unavailable) => {
            let denial = Denial::from(Reason::ReplayStoreUnavailable);
            return Err(denial.with_detail(unavailable.to_string()));
        }
    };
    Err(reason.into())
}
