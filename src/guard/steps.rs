//! The order of the steps of one request.
//!
//! 1. `answer_request` finds the credential. `authorize` and the layers start here.
//! 2. `authorize_credential` takes the token from the cache, or parses it (`admit`), asks its issuer for keys and
//!    verifies its signature.
//! 3. `authorize_token` validates the token together with its proof of possession, and stores the proof.
//! 4. `check_requirement` checks the requirement, asks the policies and spends the token. `narrow` starts here, or at 2 for the grant of
//!    another guard. So does a further layer.
//! 5. `decided` makes the grant or the denial, and records it. Before there is a validated token, `deny` does.

use std::sync::Arc;

use http::request::Parts;
use time::UtcDateTime;

use super::admitted::{AdmittedToken, SignedToken, Verification};
use super::cached::CacheHit;
use super::refused::Refused;
use super::request::{
    AccessRule, GuardAnswer, OtherAuthenticator, RequestAnswer, RequestContext, StepKind,
};
use super::{Grant, Guard};
use crate::answer::Answer;
use crate::approvals::Transaction;
use crate::approvals::accepts_challenge;
use crate::credential::{Credential, has_query_token};
use crate::denial::Denial;
use crate::evidence::{
    Evidence, Operation, RequestFacts, Step, TokenSource, TraceParent, ValidatedRequest,
};
use crate::path::other_spellings;
use crate::policy::Ask;
use crate::proof::Possession;
use crate::reason::Reason;
use crate::require::Require;
use crate::token::{AccessToken, UnverifiedToken};
use crate::token_cache::{CachedToken, Slot};

/// Where the claims come from.
#[expect(clippy::large_enum_variant, reason = "one for each request, on the stack")]
enum ClaimsSource<'a> {
    /// A token whose signature was verified, or why it was refused.
    Token(Result<SignedToken<'a>, Refused>),
    /// The token cache.
    Cache(CacheHit<'a>),
}

/// # Deciding
impl Guard {
    /// Authorizes one request: checks its credential, its token and the requirement.
    ///
    /// The checks run in the order of [`Reason::ALL`], and the first that fails is the reason of the denial. The
    /// [policies](Self::policy) are asked once the requirement is met. A [`Require`] or a scope is an [`Ask`] that says
    /// nothing else; with another one, the policies and the record learn what the operation is.
    ///
    /// If the request is granted, its head changes:
    ///
    /// - `Authorization`, or the field of [`credential_field`](Self::credential_field), is removed, and so is **every other field that contains the token**, whole: also `Cookie`, if
    ///   the token is in one of the cookies. A token under 32 bytes is only found if it is the whole value, with or
    ///   without a scheme before it. A token that is encoded in another way or split over several fields is not found,
    ///   and one in the query stays in the URI.
    /// - `DPoP` and the fields about [certificates](Self::certificate_fields) are removed.
    /// - `Cache-Control: no-store` is added, for caches behind the guard, since these no longer see `Authorization`.
    /// - The grant is inserted into the extensions.
    ///
    /// If this guard has granted the request before, the token is not validated again: the requirements of both steps
    /// are checked together, at the time of the first. Like the layers of a request, both are one use of a token that is
    /// spent. For a further operation of the same request call [`narrow`](Self::narrow), which spends only once.
    ///
    /// A grant in the extensions belongs to another request if the request has a credential field, or if the grant was
    /// made for another method or path. Then the request is judged from the start, in a new decision: by its credential
    /// field, or else by the credential of that grant. A grant of another request is removed, at the
    /// latest when the request is denied.
    ///
    /// If the keys are at hand, the answer is there at once; see [`Answer::now`]. Dropping an answer that waits for
    /// keys or a policy changes nothing. Dropping one that waits for a store may leave a proof or a token used up, without a
    /// record.
    pub fn authorize<'a>(
        &'a self,
        head: &'a mut Parts,
        ask: impl Into<Ask>,
    ) -> Answer<'a, Result<Grant, Denial>> {
        let mut ask = ask.into();
        let operation = ask.operation_of(Operation::from_parts(head, None));
        let rule = AccessRule::new(Arc::new(ask.into_requirement()));
        if self.has_credential_field(head) {
            head.extensions.remove::<Grant>();
        }
        let is_own =
            head.extensions.get::<Grant>().is_none_or(|grant| grant.operation().is_of(head));
        let answer = match self.answer_operation(head, operation, rule) {
            RequestAnswer::Decided(answer) => answer,
            // Only the rule of a layer lets a request pass without credentials.
            RequestAnswer::NoCredentials => Answer::Now(Err(Reason::InternalError.into())),
        };
        let finish = move |answer: Result<Grant, Denial>, head: &mut Parts| match answer {
            Ok(grant) => {
                self.replace_credential_with_grant(head, grant.clone());
                Ok(grant)
            }
            Err(denial) => {
                if !is_own {
                    head.extensions.remove::<Grant>();
                }
                Err(denial)
            }
        };
        match answer {
            Answer::Now(answer) => Answer::Now(finish(answer, head)),
            waiting @ Answer::Later(_) => Answer::later(async move { finish(waiting.await, head) }),
        }
    }

    /// Answers a request: finds its credential, then runs all further steps.
    pub(crate) fn answer_request(&self, parts: &Parts, mut rule: AccessRule<'_>) -> RequestAnswer {
        let operation = Operation::from_parts(parts, rule.operation_name.take());
        self.answer_operation(parts, operation, rule)
    }

    fn answer_operation(
        &self,
        parts: &Parts,
        operation: Operation,
        rule: AccessRule<'_>,
    ) -> RequestAnswer {
        let AccessRule { requirement, optional, other_authenticators, approvable, .. } = rule;
        let step_kind = StepKind::Layer { approvable };
        // A grant replaced the credential. If a request has both, the grant does not belong to this credential and
        // counts for nothing.
        let grant = parts.extensions.get::<Grant>();
        let grant = grant.filter(|_| !self.has_credential_field(parts));
        // Of a grant for another method or path, only the credential counts. Otherwise a copied grant would be a second
        // use of its proof and of a token that counts once.
        let earlier = grant.filter(|grant| grant.operation().is_of(parts));
        if let Some(grant) = earlier.filter(|grant| grant.made_by(self)) {
            let requirement = grant.requirement().clone().and(&*requirement).into();
            let head = self.head_for_policies(parts, grant.credential());
            let beginning = self.begin(TokenSource::Grant);
            let step = Step::new(operation, requirement, grant.at(), head, beginning);
            let evidence = grant.for_later_step(step);
            return RequestAnswer::Decided(self.check_requirement(evidence, step_kind));
        }
        let mut context = self.context(parts, operation, requirement, earlier, step_kind);
        let certificate_source = self.inner.certificate_source.as_ref();
        context.certificate = certificate_source.and_then(|source| source(parts));
        let credential = self.find_credential(parts, grant);
        if matches!(credential, Err(Reason::MissingCredentials)) {
            let is_there = |other: &&OtherAuthenticator| (other.is_there)(&parts.extensions);
            if let Some(other) = other_authenticators.iter().find(is_there) {
                self.record_other_authenticator(&context, other.name);
                return RequestAnswer::NoCredentials;
            }
            if optional {
                return RequestAnswer::NoCredentials;
            }
        }
        RequestAnswer::Decided(match credential {
            Ok(credential) => {
                context.step.head = self.head_for_policies(parts, &credential);
                self.authorize_credential(context, credential)
            }
            Err(reason) => {
                let (limit, dpop) = (self.inner.terms.limits.max_bytes, self.dpop_settings());
                let refused =
                    Refused::without_credential(reason, &parts.headers, limit, dpop.is_some());
                Answer::Now(Err(self.deny(&context, refused)))
            }
        })
    }

    /// Refuses and records a request by its head alone. Its credential is not looked at.
    pub(crate) fn refuse_head(&self, parts: &Parts, denial: Denial) -> Denial {
        let operation = Operation::from_parts(parts, None);
        let grant = parts.extensions.get::<Grant>();
        let earlier = grant
            .filter(|grant| !self.has_credential_field(parts) && grant.operation().is_of(parts));
        let step_kind = StepKind::Layer { approvable: false };
        let requirement = Require::valid_token().into();
        let context = self.context(parts, operation, requirement, earlier, step_kind);
        self.deny(&context, denial.into())
    }

    /// What is known of a request of which another guard may have granted an earlier step.
    fn context(
        &self,
        parts: &Parts,
        operation: Operation,
        requirement: Arc<Require>,
        earlier: Option<&Grant>,
        step_kind: StepKind,
    ) -> RequestContext {
        let at = earlier.map_or_else(|| self.inner.clock.now(), |grant| grant.at());
        let beginning = self.begin(TokenSource::Verified);
        let query_token = has_query_token(parts);
        let accepts_challenge = self.inner.approvals.is_some() && accepts_challenge(&parts.headers);
        let trace = if self.has_record() { TraceParent::of(&parts.headers) } else { None };
        let earlier = earlier.map(|grant| &grant.request);
        let facts = RequestFacts::new(earlier, query_token, accepts_challenge, trace);
        RequestContext {
            step: Step::new(operation, requirement, at, None, beginning),
            step_kind,
            facts,
            scheme: None,
            certificate: None,
        }
    }

    /// Finds the credential in the request, or in the grant of another guard or of another request.
    fn find_credential(&self, parts: &Parts, grant: Option<&Grant>) -> Result<Credential, Reason> {
        if self.inner.is_secure.as_ref().is_some_and(|is_secure| !is_secure(parts)) {
            return Err(Reason::InsecureTransport);
        }
        let accepts_proofs = self.dpop_settings().is_some();
        if let Some(grant) = grant {
            let credential = self.credential_of(grant)?;
            // Another guard may accept proofs, and this one may not.
            let is_supported = accepts_proofs || !credential.is_dpop();
            return is_supported.then_some(credential).ok_or(Reason::UnsupportedAuthScheme);
        }
        let limit = self.inner.terms.limits.max_bytes;
        if self.reads_authorization() {
            Credential::from_headers_unchecked(&parts.headers, limit, accepts_proofs)
        } else {
            Credential::from_field_unchecked(&parts.headers, &self.inner.credential_field, limit)
        }
    }

    /// The credential that a grant was made for, if it was sent in the field that this guard reads.
    pub(super) fn credential_of(&self, grant: &Grant) -> Result<Credential, Reason> {
        let credential = grant.credential();
        let is_ours = *credential.field_name() == self.inner.credential_field;
        is_ours.then(|| credential.clone()).ok_or(Reason::MissingCredentials)
    }

    /// True if the request has the field that this guard reads credentials from.
    fn has_credential_field(&self, parts: &Parts) -> bool {
        parts.headers.contains_key(&self.inner.credential_field)
    }

    /// Finds the token in the cache, or admits it and gets its issuer's keys; then runs all further steps.
    pub(super) fn authorize_credential(
        &self,
        mut context: RequestContext,
        credential: Credential,
    ) -> GuardAnswer {
        context.scheme = Some(credential.scheme());
        let cache_slot = self.cache_slot(&credential);
        let admitted = if self.is_sender_constrained() && !self.can_check_possession() {
            // No token can meet this, so there is no challenge.
            Err(Reason::PolicyDenied.into())
        } else if let Some(cached) = self.cached_token(cache_slot, &credential, context.step.at) {
            context.step.beginning.token_source = TokenSource::Cache;
            let source = ClaimsSource::Cache(cached);
            return self.authorize_token(context, credential, source);
        } else {
            self.admit(&credential, cache_slot, context.step.at)
        };
        let admitted = match admitted {
            Ok(admitted) => admitted,
            // The characters of a token that was admitted are right.
            Err(_) if !credential.is_token68() => {
                context.scheme = None;
                let refused = Refused::malformed_token();
                return Answer::Now(Err(self.deny(&context, refused)));
            }
            Err(refused) => return Answer::Now(Err(self.deny(&context, refused))),
        };
        let (admitted, keys) = match admitted.verify() {
            Verification::Done(verified) => {
                let source = ClaimsSource::Token(verified);
                return self.authorize_token(context, credential.clone(), source);
            }
            Verification::Waits(admitted, keys) => (admitted.into_owned(), keys),
        };
        let guard = self.clone();
        Answer::later(async move {
            let source = ClaimsSource::Token(admitted.verify_with(keys.await));
            guard.authorize_token(context, credential, source).await
        })
    }

    /// Validates the token and stores its proof; then runs all further steps.
    fn authorize_token(
        &self,
        context: RequestContext,
        credential: Credential,
        source: ClaimsSource<'_>,
    ) -> GuardAnswer {
        let (operation, at) = (&context.step.operation, context.step.at);
        let mut possession = credential.possession(operation.method(), operation.uri_path());
        possession.certificate = context.certificate;
        if let Some(shown) = &mut possession.dpop {
            shown.nonce_required = self.requires_nonce(operation);
        }
        let validated = match source {
            ClaimsSource::Token(Ok(signed)) => self.validate(signed, &credential, possession, at),
            ClaimsSource::Token(Err(refused)) => Err(refused),
            ClaimsSource::Cache(cached) => {
                self.validate_cached(cached, &credential, &possession, at)
            }
        };
        let token = match validated {
            Ok(token) => token,
            Err(refused) => return Answer::Now(Err(self.deny(&context, refused))),
        };
        let RequestContext { step, step_kind, facts, .. } = context;
        let ends_at = self.inner.terms.end_of(&token);
        let evidence =
            Evidence::new(ValidatedRequest::new(token, ends_at, step, credential, facts));
        // The proof is stored once everything else about possession has been checked, and before all that follows.
        match self.store_proof(&evidence) {
            Answer::Now(Ok(())) => self.check_requirement(evidence, step_kind),
            Answer::Now(Err(denial)) => Answer::Now(self.decided(evidence, Err(denial))),
            waiting @ Answer::Later(_) => {
                let guard = self.clone();
                Answer::later(async move {
                    match waiting.await {
                        Ok(()) => guard.check_requirement(evidence, step_kind).await,
                        Err(denial) => guard.decided(evidence, Err(denial)),
                    }
                })
            }
        }
    }

    /// True if the proof of a request for this operation needs a nonce.
    fn requires_nonce(&self, operation: &Operation) -> bool {
        let Some(is_required) = &self.inner.require_nonce_if else { return true };
        let (method, path) = (operation.method(), operation.uri_path());
        is_required(method, path)
            || other_spellings(path)
                .is_none_or(|paths| paths.iter().any(|path| is_required(method, path)))
    }

    /// Checks what can be checked without a key: `token_format_not_accepted` to `issuer_untrusted`.
    fn admit<'c>(
        &self,
        credential: &'c Credential,
        cache_slot: Option<Slot>,
        at: UtcDateTime,
    ) -> Result<AdmittedToken<'c>, Refused> {
        let token = UnverifiedToken::parse_with(credential.expose(), &self.inner.terms.limits)?;
        let Some(issuer) = token.issuer().and_then(|name| self.issuer(name, at)) else {
            let trusted: Vec<_> = self.issuers().map(|issuer| &issuer.terms).collect();
            return Err(token.refuse_issuer(&trusted).into());
        };
        let algorithm = token.admit(&issuer.terms)?;
        Ok(AdmittedToken { token, algorithm, issuer, cache_slot })
    }

    /// Validates a token whose signature was verified, then caches it.
    fn validate<'c>(
        &self,
        signed: SignedToken<'c>,
        credential: &Credential,
        possession: Possession<'c>,
        at: UtcDateTime,
    ) -> Result<AccessToken, Refused> {
        let SignedToken { token, issuer, keys, cache_slot } = signed;
        let token = token.with_possession(possession);
        let token = token.validate(&self.inner.terms, &issuer.terms, at)?;
        issuer.mark_used();
        if let Some(slot) = cache_slot {
            let tenant = issuer.is_tenant().then(|| Arc::downgrade(&issuer));
            let cached = CachedToken { claims: token.parsed_claims().clone(), keys, tenant };
            let expires_at = token.expires_at();
            self.inner.token_cache.insert(slot, credential.bytes(), cached, expires_at, at);
        }
        Ok(token)
    }

    /// Checks the requirement and asks the policies, then spends the token, or its transaction, if that is required.
    pub(super) fn check_requirement(&self, evidence: Evidence, step_kind: StepKind) -> GuardAnswer {
        let checked = self.check_met(&evidence, step_kind);
        if self.has_policies() {
            return self.ask_policies(evidence, step_kind, checked.err());
        }
        match checked {
            Ok(transaction) => self.spend_if_required(evidence, step_kind, transaction.as_ref()),
            Err(denial) => Answer::Now(self.decided(evidence, Err(denial))),
        }
    }

    /// Checks the requirement. Returns the transaction that was approved, if the operation asks for an approval.
    pub(super) fn check_met(
        &self,
        evidence: &Evidence,
        step_kind: StepKind,
    ) -> Result<Option<Transaction>, Denial> {
        let requirement = evidence.requirement();
        if requirement.is_sender_constrained() && !self.can_check_possession() {
            return Err(Reason::PolicyDenied.into());
        }
        let role = self.token_role(evidence, step_kind);
        match requirement.check_as(evidence.token(), role, evidence.at()) {
            Ok(()) => self.recognize_transaction(evidence, role),
            Err(unmet) => Err(self.ask_for_approval(evidence, role, &unmet)),
        }
    }

    /// Spends the token, or its transaction, if that is required, and grants the request.
    pub(super) fn spend_if_required(
        &self,
        evidence: Evidence,
        step_kind: StepKind,
        transaction: Option<&Transaction>,
    ) -> GuardAnswer {
        let spends = match step_kind {
            StepKind::Layer { .. } => evidence.requirement().spends(),
            StepKind::Narrow { spends } => spends,
        };
        if !spends {
            return Answer::Now(self.decided(evidence, Ok(())));
        }
        match self.spend(&evidence, step_kind, transaction) {
            Answer::Now(spent) => Answer::Now(self.decided(evidence, spent)),
            waiting @ Answer::Later(_) => {
                let guard = self.clone();
                // Nothing is awaited between the answer of the store and the record.
                Answer::later(async move {
                    let spent = waiting.await;
                    guard.decided(evidence, spent)
                })
            }
        }
    }
}
