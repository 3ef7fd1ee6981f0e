//! The order of the steps of one request. Each step is checked elsewhere.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::request::Parts;
use time::UtcDateTime;

use super::cached::Known;
use super::{Guard, pass_on};
use crate::answer::Answer;
use crate::audit::{AuditEvent, Said};
use crate::challenge::Scheme;
use crate::credential::{Credential, has_query_token};
use crate::denial::Denial;
use crate::evidence::{Asked, Case, DecisionId, Evidence, Grant, Operation};
use crate::jose::{Algorithm, Digest, KeySet};
use crate::keys::{Issuer, KeysUnavailable};
use crate::proof::{ClientCertificate, normalized_path};
use crate::reason::Reason;
use crate::require::Require;
use crate::token::{AccessToken, Claims, InvalidToken, UnverifiedToken};
use crate::token_cache::Verified;

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

/// What a guard answers: at once, or after keys or a store.
pub(crate) type Judged = Answer<'static, Result<Grant, Denial>>;

/// What becomes of a request.
pub(crate) enum Step {
    Judged(Judged),
    /// There is no credential, and none is needed.
    NoCredentials,
}

/// A token that was admitted (steps 8 to 15), and its issuer.
struct Opened<'a> {
    token: UnverifiedToken<'a>,
    algorithm: Algorithm,
    issuer: Arc<Issuer>,
    /// Where it will be remembered.
    place: Option<Digest>,
}

/// What the claims are taken from.
#[expect(clippy::large_enum_variant, reason = "one a request, on the stack")]
enum Source<'a> {
    /// The token, and its issuer's keys.
    Token(Opened<'a>, Result<KeySet, KeysUnavailable>),
    /// The memory.
    Memory(Known<'a>),
}

/// What is known of a request before anything is checked.
struct Head {
    operation: Operation,
    at: UtcDateTime,
    decision: DecisionId,
    query_token: bool,
    /// The scheme of the credential, once there is one.
    scheme: Option<Scheme>,
    /// What the request shows beside the credential.
    certificate: Option<ClientCertificate>,
    /// The case of the guard that granted the request before.
    earlier: Option<Arc<Case>>,
}

/// A denial before there is a token, or with the claims of one whose signature stood.
pub(super) struct Refused {
    denial: Denial,
    claims: Option<Arc<Claims>>,
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Refused { denial: reason.into(), claims: None }
    }
}

impl From<InvalidToken> for Refused {
    fn from(invalid: InvalidToken) -> Self {
        Refused { denial: (&invalid).into(), claims: invalid.into_claims() }
    }
}

impl Guard {
    /// Authorizes one request: the credential, the token, the requirement, in the order of
    /// [`Reason::ALL`]; the first check that fails is the reason.
    ///
    /// Once granted, the credential is taken off the request, and the grant put into its extensions. Where
    /// this very guard granted the request already, the token is not validated again: the two
    /// requirements are asked together. Where a request has an `Authorization` field *and* a grant, the grant
    /// is another request's: it is taken away, and the credential judged as a new decision.
    ///
    /// With keys at hand the answer is there at once ([`Answer::now`]). Dropping an answer that waits for keys
    /// changes nothing; one that waits for a store may leave a proof or a token used up, without a record.
    pub fn authorize<'a>(
        &'a self,
        head: &'a mut Parts,
        requirement: impl Into<Require>,
    ) -> Answer<'a, Result<Grant, Denial>> {
        let ask = Ask { requirement: Arc::new(requirement.into()), name: None, optional: false };
        if head.headers.contains_key(AUTHORIZATION) {
            head.extensions.remove::<Grant>();
        }
        let judged = match self.begin(head, ask) {
            Step::Judged(judged) => judged,
            // Without `optional` there is no pass without a grant.
            Step::NoCredentials => Answer::Now(Err(Reason::InternalError.into())),
        };
        match judged {
            Answer::Now(judged) => Answer::Now(judged.inspect(|grant| pass_on(head, grant))),
            waiting @ Answer::Later(_) => Answer::later(async move {
                let grant = waiting.await?;
                pass_on(head, &grant);
                Ok(grant)
            }),
        }
    }

    /// Asks more of a request that was granted: for what only the handler can know. What the grant asked
    /// already is asked together with it, so that a challenge names everything.
    ///
    /// The token is judged at the moment of the request, so a grant must not outlive its request. A grant
    /// of another guard is not believed: the credential is validated anew, as far as it can be without the request:
    /// tokens that are bound to a certificate are refused there, and the transport is not asked about.
    pub fn narrow(
        &self,
        grant: &Grant,
        requirement: impl Into<Require>,
    ) -> Answer<'static, Result<Grant, Denial>> {
        let requirement = Arc::new(grant.requirement().clone().and(requirement));
        let operation = grant.operation().clone();
        if grant.made_by(self) {
            return self.decide(grant.asked_more(Asked { operation, requirement }));
        }
        let head = Head {
            operation,
            at: grant.at(),
            decision: grant.decision(),
            query_token: grant.case.query_token,
            scheme: None,
            // Only a request can say.
            certificate: None,
            earlier: Some(grant.case.clone()),
        };
        self.judge(head, requirement, grant.credential().clone())
    }

    /// The handler's own no, by a rule that is in no token: 403 `policy_denied`, and in the record.
    pub fn refuse(&self, grant: &Grant) -> Denial {
        let denial = self.finished_for(&grant.case, Reason::PolicyDenied.into());
        self.record(&AuditEvent {
            at: grant.at(),
            decision: grant.decision(),
            step: grant.case.next_step(),
            operation: grant.operation(),
            requirement: grant.requirement(),
            query_token: grant.case.query_token,
            said: Said::Validated(grant),
            denial: Some(&denial),
        });
        denial
    }

    /// The first step of a request.
    pub(crate) fn begin(&self, parts: &Parts, ask: Ask) -> Step {
        let Ask { requirement, name, optional } = ask;
        let operation = Operation::of(parts, name);
        // A grant took the credential off. Where there is one again, it is another request's, or
        // another's credential: it is judged, and the grant counts for nothing.
        let earlier = parts.extensions.get::<Grant>();
        let earlier = earlier.filter(|_| !parts.headers.contains_key(AUTHORIZATION));
        if let Some(grant) = earlier.filter(|grant| grant.made_by(self)) {
            let requirement = grant.requirement().clone().and(&*requirement).into();
            return Step::Judged(self.decide(grant.asked_more(Asked { operation, requirement })));
        }
        let head = Head {
            operation,
            at: earlier.map_or_else(|| (self.inner.clock)(), |grant| grant.at()),
            decision: earlier.map_or_else(DecisionId::next, |grant| grant.decision()),
            query_token: has_query_token(parts),
            scheme: None,
            certificate: self.inner.certificate.as_ref().and_then(|source| source(parts)),
            earlier: earlier.map(|grant| grant.case.clone()),
        };
        // Phase A. The credential of a request that another guard granted is with the grant.
        let secure = self.inner.is_secure.as_ref().is_none_or(|is_secure| is_secure(parts));
        let credential = match earlier {
            _ if !secure => Err(Reason::InsecureTransport),
            // 6: another guard takes proofs, this one does not
            Some(grant) if grant.credential().is_dpop() && self.inner.terms.dpop.is_none() => {
                Err(Reason::UnsupportedAuthScheme)
            }
            Some(grant) => Ok(grant.credential().clone()),
            None => {
                let takes_proofs = self.inner.terms.dpop.is_some();
                let limit = self.inner.terms.limits.max_bytes;
                Credential::unread(&parts.headers, limit, takes_proofs)
            }
        };
        if optional && matches!(credential, Err(Reason::MissingCredentials)) {
            return Step::NoCredentials;
        }
        Step::Judged(match credential {
            Ok(credential) => self.judge(head, requirement, credential),
            Err(reason) => Answer::Now(Err(self.deny(&head, &requirement, reason.into()))),
        })
    }

    /// Phases B and C as far as they need no key; then the rest, or the wait for keys.
    fn judge(&self, mut head: Head, requirement: Arc<Require>, credential: Credential) -> Judged {
        head.scheme = Some(credential.scheme());
        let place = self.place(&credential);
        let opened = match self.known(place, &credential, head.at) {
            // What no token can meet is no challenge.
            _ if self.inner.terms.sender_constrained && !self.can_confirm() => {
                Err(Reason::PolicyDenied.into())
            }
            Some(known) => {
                return self.conclude(head, requirement, credential, Source::Memory(known));
            }
            None => self.open(&credential, place),
        };
        let opened = match opened {
            Ok(opened) => opened,
            // 7, which every token that can be opened has passed
            Err(_) if !credential.is_token68() => {
                head.scheme = None;
                let reason = Reason::MalformedAuthorization;
                return Answer::Now(Err(self.deny(&head, &requirement, reason.into())));
            }
            Err(refused) => return Answer::Now(Err(self.deny(&head, &requirement, refused))),
        };
        match opened.issuer.keys(opened.token.key_hint()) {
            Answer::Now(keys) => {
                let source = Source::Token(opened, keys);
                self.conclude(head, requirement, credential.clone(), source)
            }
            keys @ Answer::Later(_) => {
                let (guard, credential) = (self.clone(), credential.clone());
                let opened = Opened { token: opened.token.into_owned(), ..opened };
                Answer::later(async move {
                    let keys = keys.await;
                    let source = Source::Token(opened, keys);
                    guard.conclude(head, requirement, credential, source).await
                })
            }
        }
    }

    /// The rest, once there are keys.
    fn conclude(
        &self,
        head: Head,
        requirement: Arc<Require>,
        credential: Credential,
        source: Source<'_>,
    ) -> Judged {
        let path = head.operation.uri_path();
        let mut possession = credential.possession(head.operation.method(), path);
        possession.certificate = head.certificate;
        if let Some(shown) = &mut possession.shown {
            // By the path that a router sees, and by the one that proofs are compared by: no spelling gets round.
            let method = head.operation.method();
            shown.nonce_required = self.inner.require_nonce_if.as_ref().is_none_or(|wanted| {
                let normal = || normalized_path(path).is_none_or(|path| wanted(method, &path));
                wanted(method, path) || normal()
            });
        }
        let validated = match source {
            Source::Token(opened, keys) => {
                let opened = Opened { token: opened.token.with_possession(possession), ..opened };
                self.validate(opened, keys, head.at)
            }
            Source::Memory(known) => self.validate_again(known, &credential, &possession, head.at),
        };
        let token = match validated {
            Ok(token) => token,
            Err(refused) => return Answer::Now(Err(self.deny(&head, &requirement, refused))),
        };
        let Head { at, decision, query_token, operation, earlier, .. } = head;
        let asked = Asked { operation, requirement };
        let case = Case::new(token, asked, credential, at, decision, query_token, earlier);
        let evidence = Evidence::new(case);
        // 48 and 49: when all else of phase E has passed, and before everything that follows
        match self.proof_once(&evidence.case) {
            Answer::Now(Ok(())) => self.decide(evidence),
            Answer::Now(Err(denial)) => Answer::Now(self.decided(evidence, Err(denial))),
            seen @ Answer::Later(_) => {
                let guard = self.clone();
                Answer::later(async move {
                    match seen.await {
                        Ok(()) => guard.decide(evidence).await,
                        Err(denial) => guard.decided(evidence, Err(denial)),
                    }
                })
            }
        }
    }

    /// Steps 8 to 15.
    fn open<'c>(
        &self,
        credential: &'c Credential,
        place: Option<Digest>,
    ) -> Result<Opened<'c>, Refused> {
        let token = UnverifiedToken::parse_with(credential.expose(), &self.inner.terms.limits)?;
        let issuer = token.issuer().and_then(|name| self.issuer(name));
        let algorithm = token.admit(issuer.as_ref().map(|issuer| &issuer.terms))?;
        let issuer = issuer.ok_or(Reason::IssuerUntrusted)?;
        Ok(Opened { token, algorithm, issuer, place })
    }

    /// Steps 16 to 51, and 58.
    fn validate(
        &self,
        opened: Opened<'_>,
        keys: Result<KeySet, KeysUnavailable>,
        at: UtcDateTime,
    ) -> Result<AccessToken, Refused> {
        let keys =
            keys.map_err(|unavailable| Refused { denial: unavailable.denial(), claims: None })?;
        let Opened { token, algorithm, issuer, place } = opened;
        let terms = &self.inner.terms;
        let token = token.validate_admitted(algorithm, terms, &issuer.terms, &keys, at)?;
        issuer.verified();
        if let Some(place) = place {
            let tenant = issuer.is_of_template().then_some(issuer);
            let verified = Verified { claims: token.claims().clone(), keys: keys.id(), tenant };
            self.inner.verified.insert(place, verified, token.expires_at(), at);
        }
        Ok(token)
    }

    /// Phases H to J; then, where it is asked, the token is spent.
    fn decide(&self, evidence: Evidence) -> Judged {
        let requirement = evidence.requirement();
        if requirement.is_sender_constrained() && !self.can_confirm() {
            return Answer::Now(self.decided(evidence, Err(Reason::PolicyDenied.into())));
        }
        if let Err(unmet) = requirement.check(evidence.token(), evidence.at()) {
            return Answer::Now(self.decided(evidence, Err(unmet.into())));
        }
        // 82
        let spent = match requirement.is_single_use() {
            true => self.spend(&evidence.case),
            false => Answer::Now(Ok(())),
        };
        match spent {
            Answer::Now(spent) => Answer::Now(self.decided(evidence, spent)),
            spending @ Answer::Later(_) => {
                let guard = self.clone();
                // Nothing is awaited between the answer of the store and the record.
                Answer::later(async move {
                    let spent = spending.await;
                    guard.decided(evidence, spent)
                })
            }
        }
    }

    /// The record, and the grant or the denial.
    fn decided(&self, evidence: Evidence, checked: Result<(), Denial>) -> Result<Grant, Denial> {
        let case = &evidence.case;
        let denial = checked.err().map(|denial| denial.with_scope_hint(evidence.requirement()));
        let denial = denial.map(|denial| self.finished_for(case, denial));
        self.record(&AuditEvent {
            at: evidence.at(),
            decision: evidence.decision(),
            step: case.next_step(),
            operation: evidence.operation(),
            requirement: evidence.requirement(),
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
        let Refused { denial, claims } = refused;
        let denial = denial.with_scope_hint(requirement);
        let denial = self.finished(denial, head.decision, head.scheme, head.at);
        self.record(&AuditEvent {
            at: head.at,
            decision: head.decision,
            step: head.earlier.as_ref().map_or(0, |earlier| earlier.next_step()),
            operation: &head.operation,
            requirement,
            query_token: head.query_token,
            said: claims.as_deref().map_or(Said::Nothing, Said::Signed),
            denial: Some(&denial),
        });
        denial
    }

    /// A denial of a request whose token was validated.
    fn finished_for(&self, case: &Case, denial: Denial) -> Denial {
        self.finished(denial, case.decision, Some(case.credential.scheme()), case.at)
    }

    fn finished(
        &self,
        denial: Denial,
        decision: DecisionId,
        scheme: Option<Scheme>,
        at: UtcDateTime,
    ) -> Denial {
        let dpop = self.inner.terms.dpop.as_ref();
        let denial = denial.with_decision(decision).with_schemes(scheme, dpop, at);
        match &self.inner.metadata_url {
            Some(url) => denial.with_resource_metadata(url),
            None => denial,
        }
    }

    fn record(&self, event: &AuditEvent<'_>) {
        for sink in &self.inner.audit {
            sink.record(event);
        }
    }
}

impl Grant {
    /// True where `guard`, or a clone of it, made this grant. A guard that was set up differently is
    /// another.
    #[must_use]
    pub fn made_by(&self, guard: &Guard) -> bool {
        self.guard() == guard.inner.id
    }
}
