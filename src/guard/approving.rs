//! Approvals of single operations: what is asked for, what is recognized, and which set-up can do either. The room
//! `approvals` makes challenges and compares.

use std::sync::Arc;

use super::Guard;
use super::request::StepKind;
use crate::approvals::{ApprovalProblem, Approvals, Transaction, has_own_txn};
use crate::denial::Denial;
use crate::evidence::Evidence;
use crate::reason::Reason;
use crate::require::{TokenRole, Unmet};

/// # Approvals
impl Guard {
    /// Asks for approvals, and recognizes them: for details that must be
    /// [approved](crate::detail::Detail::approved).
    ///
    /// The guard also needs a store, [`Guard::replay`], since a transaction counts once, and it must trust the server
    /// that gets transactions approved. Serve the public keys with [`Guard::challenge_keys`].
    ///
    /// The token of a transaction is authority for this one and for nothing else: every layer refuses it
    /// (`transaction_token_misused`) unless it asks for an approval itself or is
    /// [`approvable`](crate::layer::GuardLayer::approvable). [`Guard::authorize`] accepts it if its requirement asks for
    /// an approval. A guard without approvals refuses every token whose `txn` has the form of this crate, for instance in
    /// another service of the same resource.
    ///
    /// Layers that need approvals panic if the guard cannot ask for them:
    ///
    /// - it has no approvals or no store;
    /// - it does not trust the server;
    /// - it trusts an issuer that is not the server, and nothing says how the server names the requesters of that issuer
    ///   ([`Approvals::requester`]).
    ///
    /// A requirement that only a handler asks for is answered with 500 then.
    #[must_use]
    pub fn approvals(self, approvals: Approvals) -> Self {
        self.with(|inner| inner.approvals = Some(Arc::new(approvals)))
    }

    /// The settings of approvals, if the guard asks for any.
    pub(crate) fn approvals_settings(&self) -> Option<&Approvals> {
        self.inner.approvals.as_deref()
    }

    /// Panics if the guard cannot ask for approvals and recognize them.
    #[expect(clippy::panic, reason = "a mistake of set-up")]
    pub(crate) fn assert_can_approve(&self) {
        let Some(approvals) = &self.inner.approvals else {
            panic!("an approval is needed and the guard asks for none: call `Guard::approvals`")
        };
        assert!(
            self.inner.spent_store.is_some(),
            "an approval counts once and the guard has no store: call `Guard::replay`"
        );
        let (server, has_templates) = (&approvals.server, !self.inner.templates.is_empty());
        if let Some(name) = server.name() {
            assert!(
                has_templates || self.inner.issuers.contains_key(name),
                "the guard does not trust the server `{name}` that gets transactions approved"
            );
        }
        let is_only_issuer =
            |name: &str| !has_templates && self.inner.issuers.keys().all(|issuer| issuer == name);
        assert!(
            server.is_issuer_of_token()
                || server.name().is_some_and(is_only_issuer)
                || approvals.names_requesters(),
            "the guard trusts issuers other than the server, and nothing says how the server names their requesters: \
             call `Approvals::requester`"
        );
    }

    /// Whether the token of a request is that of a transaction, and may be.
    pub(super) fn token_role(&self, evidence: &Evidence, step_kind: StepKind) -> TokenRole {
        let (token, asks) = (evidence.token(), evidence.requirement().asks_for_approval());
        let Some(approvals) = &self.inner.approvals else {
            // Another guard of the resource has asked for the approval.
            let is_misused = !asks && has_own_txn(token);
            return if is_misused { TokenRole::Misused } else { TokenRole::Unknown };
        };
        if asks && self.inner.spent_store.is_none() {
            return TokenRole::Unknown;
        }
        let approvable = matches!(step_kind, StepKind::Layer { approvable: true });
        match approvals.is_transaction(token) {
            true if asks || approvable => TokenRole::Transaction,
            true => TokenRole::Misused,
            false => TokenRole::Ordinary {
                can_be_challenged: asks
                    && (evidence.request.facts.accepts_challenge
                        || approvals.is_known_client(token)),
            },
        }
    }

    /// True if the token of a grant is that of a transaction.
    #[cfg(feature = "remote")]
    pub(crate) fn is_of_transaction(&self, evidence: &Evidence) -> bool {
        let token = evidence.token();
        match &self.inner.approvals {
            Some(approvals) => approvals.is_transaction(token),
            None => has_own_txn(token),
        }
    }

    /// True if the token is that of a transaction, and meets all else that is required.
    pub(super) fn lacks_only_its_approval(&self, evidence: &Evidence) -> bool {
        let (token, at) = (evidence.token(), evidence.at());
        let is_transaction = |approvals: &Approvals| approvals.is_transaction(token);
        self.inner.approvals.as_deref().is_some_and(is_transaction)
            && evidence.requirement().check_as(token, TokenRole::Transaction, at).is_ok()
    }

    /// The denial of a token that lacks something. If it is nothing but an approval, the client is told how to get one.
    pub(super) fn ask_for_approval(
        &self,
        evidence: &Evidence,
        role: TokenRole,
        unmet: &Unmet,
    ) -> Denial {
        let denial = Denial::from(unmet);
        let can_be_challenged = role == (TokenRole::Ordinary { can_be_challenged: true });
        let (Some(approvals), Some(resource), true) =
            (&self.inner.approvals, self.audiences().first(), can_be_challenged)
        else {
            return denial;
        };
        if denial.reason() != Reason::TransactionAuthorizationRequired {
            return denial;
        }
        let details = evidence.requirement().details();
        match approvals.challenge(resource, details, evidence.token(), evidence.at()) {
            Ok(challenge) if self.issuer(challenge.server(), evidence.at()).is_some() => {
                denial.with_transaction(challenge)
            }
            Ok(_) => Denial::from(Reason::InternalError).with_detail(
                "the guard does not trust the server that gets the transaction approved",
            ),
            Err(problem) => refused(&problem),
        }
    }

    /// Recognizes the transaction of a token, if the operation asks for an approval and the token is that of one.
    pub(super) fn recognize_transaction(
        &self,
        evidence: &Evidence,
        role: TokenRole,
    ) -> Result<Option<Transaction>, Denial> {
        let requirement = evidence.requirement();
        if role != TokenRole::Transaction || !requirement.asks_for_approval() {
            return Ok(None);
        }
        let (Some(approvals), Some(resource)) = (&self.inner.approvals, self.audiences().first())
        else {
            return Err(Reason::InternalError.into());
        };
        let (details, token) = (requirement.details(), evidence.token());
        let recognized = approvals.recognize(resource, details, token, evidence.at());
        recognized.map(Some).map_err(|problem| refused(&problem))
    }
}

/// The denial for a problem. What only another transaction could change is final.
fn refused(problem: &ApprovalProblem) -> Denial {
    let denial = Denial::from(problem.reason()).with_detail(problem.to_string());
    match problem.reason() {
        Reason::AuthorizationDetailsInsufficient => denial.without_challenge(),
        _ => denial,
    }
}
