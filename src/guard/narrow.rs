//! What a handler asks of the guard about a request that was granted: more, or a refusal.

use std::borrow::Cow;
use std::sync::Arc;

use super::request::{GuardAnswer, RequestContext, StepKind};
use super::{Grant, Guard};
use crate::answer::Answer;
use crate::denial::Denial;
use crate::evidence::{Operation, RequestFacts, Step, TokenSource};
use crate::policy::Ask;
use crate::reason::Reason;
use crate::require::Require;

/// # In a handler
impl Guard {
    /// Requires more of a request that was granted, for what only its handler knows.
    ///
    /// The new requirement is checked together with that of the grant, so that a challenge names everything that is
    /// needed. The token is judged by the guard's clock: once it has expired, plus the leeway, it is refused
    /// (`token_expired`, 401), and [`max_age`](Require::max_age) counts until now. Its signature, its issuer's keys and
    /// its proof are not checked again.
    ///
    /// If the ask itself requires [`single_use`](Require::single_use), the token is spent. If it requires a detail
    /// that must be [approved](crate::detail::Detail::approved), the approved transaction is spent. All layers of a
    /// request and the first `narrow` that spends count as one use. A further one is refused (`token_spent`, 401),
    /// whichever guard and grant of the request it is asked with, and even if the first still waits for its store. If
    /// the first fails or is dropped, the next may spend; the store knows whether the token was spent. A `narrow` that
    /// does not itself ask for it spends nothing and is not refused for it.
    ///
    /// This is how a handler states the operation that it is about to carry out. With an [`Ask`], the
    /// [policies](Self::policy) are asked about it and the record names it. A [`Require`] or a scope is an `Ask` too, about
    /// the operation of the grant. What was consented to is compared with a [`Require::detail`].
    ///
    /// The grant of another guard is not trusted. Its credential is validated anew, at this moment and as far as that
    /// is possible without the request: tokens that are bound to a certificate are refused, a DPoP proof that is too
    /// old by now is refused, and the transport is not checked. A credential from another
    /// [field](Self::credential_field) than that of this guard does not count (`missing_credentials`).
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use unconfused::{Audience, Denial, Grant, Guard, Reason, Scope};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const REFUND: Scope = Scope::from_static("orders:refund");
    /// const REFUND_LARGE: Scope = Scope::from_static("orders:refund-large");
    ///
    /// async fn refund(guard: &Guard, grant: &Grant, amount: u64) -> Result<String, Denial> {
    ///     if amount > 1000 {
    ///         guard.narrow(grant, REFUND_LARGE).await?;
    ///     }
    ///     Ok(format!("{amount} refunded"))
    /// }
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let login = TestIssuer::new("https://login.example");
    /// # let issuer = login.issuer();
    ///
    /// let guard = Guard::new(ORDERS, issuer);
    /// let grant = login.token(&ORDERS).scope("orders:refund").granted_by(&guard, REFUND);
    /// assert!(refund(&guard, &grant, 20).await.is_ok());
    ///
    /// let denial = refund(&guard, &grant, 1200).await.unwrap_err();
    /// assert_eq!(denial.reason(), Reason::InsufficientScope);
    /// assert_eq!(denial.challenge().unwrap().scope(), [REFUND, REFUND_LARGE]);
    /// # });
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn narrow(
        &self,
        grant: &Grant,
        ask: impl Into<Ask>,
    ) -> Answer<'static, Result<Grant, Denial>> {
        let mut ask = ask.into();
        let operation = ask.operation_after(grant.operation());
        let own = ask.into_requirement();
        let step_kind = StepKind::Narrow { spends: own.spends() };
        let requirement = Arc::new(grant.requirement().clone().and(own));
        if grant.made_by(self) {
            return self.later_step(grant, operation, requirement, step_kind);
        }
        let (at, beginning) = (self.inner.clock.now(), self.begin(TokenSource::Verified));
        let RequestFacts { query_token, accepts_challenge, trace, .. } = grant.request.facts;
        let earlier = Some(&grant.request);
        let facts = RequestFacts::new(earlier, query_token, accepts_challenge, trace);
        let context = RequestContext {
            step: Step::new(operation, requirement, at, None, beginning),
            step_kind,
            facts,
            scheme: None,
            // It is known only from a request.
            certificate: None,
        };
        match self.credential_of(grant) {
            Ok(credential) => self.authorize_credential(context, credential),
            Err(reason) => Answer::Now(Err(self.deny(&context, reason.into()))),
        }
    }

    /// Refuses a request that was granted, by a rule of the handler's own.
    ///
    /// Returns a denial with the reason `policy_denied` (403), and records it with the time of the guard's clock. It is
    /// final at any time, also after the token has expired. [`refuse_for`](Self::refuse_for) records which rule it was.
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use http::StatusCode;
    /// use unconfused::{Audience, Denial, Grant, Guard, Party, Reason, Scope};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const READ: Scope = Scope::from_static("orders:read");
    ///
    /// fn read_order(guard: &Guard, grant: &Grant, owner: Party<'_>) -> Result<String, Denial> {
    ///     if grant.subject() != owner {
    ///         return Err(guard.refuse(grant));
    ///     }
    ///     Ok(format!("an order of {}", owner.name()))
    /// }
    /// # let login = TestIssuer::new("https://login.example");
    /// # let issuer = login.issuer();
    ///
    /// let guard = Guard::new(ORDERS, issuer);
    /// let grant = login.token(&ORDERS).subject("alice").scope("orders:read").granted_by(&guard, READ);
    /// assert!(read_order(&guard, &grant, Party::new("https://login.example", "alice")).is_ok());
    ///
    /// // The alice of another issuer is another subject.
    /// let denial = read_order(&guard, &grant, Party::new("https://other.example", "alice")).unwrap_err();
    /// assert_eq!(denial.reason(), Reason::PolicyDenied);
    /// assert_eq!(denial.status(), StatusCode::FORBIDDEN);
    /// # }
    /// ```
    pub fn refuse(&self, grant: &Grant) -> Denial {
        self.refuse_with(grant, Reason::PolicyDenied.into())
    }

    /// Refuses a request that was granted, as [`refuse`](Self::refuse) does, and records the name of the rule.
    ///
    /// The name is the [`detail`](crate::AuditEvent::detail) of the record, escaped and cut after 256 characters. The
    /// client does not see it. Use a fixed name for each rule, so that denials can be counted by it: the operation and
    /// the subject are in the record anyway.
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use unconfused::{Audience, AuditEvent, Denial, Grant, Guard, Party, Scope};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const READ: Scope = Scope::from_static("orders:read");
    ///
    /// fn read_order(guard: &Guard, grant: &Grant, owner: Party<'_>) -> Result<String, Denial> {
    ///     if grant.subject() != owner {
    ///         return Err(guard.refuse_for(grant, "not the owner"));
    ///     }
    ///     Ok(format!("an order of {}", owner.name()))
    /// }
    /// # let login = TestIssuer::new("https://login.example");
    /// # let issuer = login.issuer();
    ///
    /// let guard = Guard::new(ORDERS, issuer).audit(|event: &AuditEvent<'_>| {
    ///     assert!(event.allowed() || event.detail().unwrap().raw() == "not the owner");
    /// });
    /// let grant = login.token(&ORDERS).subject("alice").scope("orders:read").granted_by(&guard, READ);
    /// let denial = read_order(&guard, &grant, Party::new("https://login.example", "bob")).unwrap_err();
    /// assert_eq!(denial.to_string(), "The request is not permitted");
    /// assert_eq!(denial.for_operator().to_string(), "policy_denied: not the owner");
    /// # }
    /// ```
    pub fn refuse_for(&self, grant: &Grant, rule: impl Into<Cow<'static, str>>) -> Denial {
        self.refuse_with(grant, Denial::from(Reason::PolicyDenied).with_detail(rule))
    }

    /// Refuses a request that was granted, and records it as a further step.
    pub(crate) fn refuse_with(&self, grant: &Grant, denial: Denial) -> Denial {
        self.deny_granted(grant, self.inner.clock.now(), denial)
    }

    /// Judges what a layer requires besides, once it has read the body of a request that this guard has granted.
    ///
    /// A token that is spent is spent by this step, like by any other layer.
    #[cfg(feature = "mcp")]
    pub(crate) fn answer_next_step(
        &self,
        grant: &Grant,
        operation: Operation,
        requirement: Arc<Require>,
    ) -> GuardAnswer {
        let step_kind = StepKind::Layer { approvable: false };
        self.later_step(grant, operation, requirement, step_kind)
    }

    /// Judges a later step of a request that this guard has granted, at this moment.
    fn later_step(
        &self,
        grant: &Grant,
        operation: Operation,
        requirement: Arc<Require>,
        step_kind: StepKind,
    ) -> GuardAnswer {
        let at = self.inner.clock.now();
        let (head, beginning) = (grant.head().cloned(), self.begin(TokenSource::Grant));
        let evidence = grant.for_later_step(Step::new(operation, requirement, at, head, beginning));
        match self.inner.terms.check_end(evidence.token(), at) {
            Ok(()) => self.check_requirement(evidence, step_kind),
            Err(reason) => Answer::Now(self.decided(evidence, Err(reason.into()))),
        }
    }

    /// True if the guard trusts an issuer of this name.
    #[cfg(feature = "remote")]
    pub(crate) fn trusts(&self, issuer: &str) -> bool {
        self.issuer(issuer, self.inner.clock.now()).is_some()
    }

    /// Refuses what goes on after its token has ended, and records it.
    #[cfg(any(feature = "mcp", feature = "remote"))]
    pub(crate) fn refuse_expired(&self, grant: &Grant) -> Denial {
        let at = self.inner.clock.now();
        // The clock may be behind the timer that ended it.
        let ended = self.inner.terms.check_end(grant.token(), at);
        self.deny_granted(grant, at, ended.err().unwrap_or(Reason::TokenExpired).into())
    }
}
