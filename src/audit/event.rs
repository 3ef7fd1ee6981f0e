//! What the audit record says about one decision.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;
use time::UtcDateTime;

use super::step_up::StepUp;
use crate::challenge::TransactionChallenge;
use crate::denial::Denial;
use crate::evidence::{DecisionId, Evidence, Operation, TokenSource, TraceParent};
use crate::json::string;
use crate::names::{Audience, Scope};
use crate::printable::Printable;
use crate::reason::{Reason, Remedy};
use crate::require::Require;
use crate::token::{Actor, Claims, Party};

/// One entry of the audit record: who asked for what, through which actor, and what was decided.
///
/// A guard makes an event for every decision and hands it to its sinks; see the module [`audit`](crate::audit). An
/// event says what the guard decided before the handler ran. If the handler narrows or refuses, that is another step of
/// the same decision: events with the same [`decision`](Self::decision) belong together, and the one with the highest
/// [`step`](Self::step) counts.
///
/// Text from outside comes as [`Printable`], [`Party`](crate::Party) or [`Actor`](crate::Actor), whose `Display` and
/// `Debug` cannot forge a line of a log. To write the bare name of a party, wrap it in a `Printable`. Only
/// [`unverified`](Self::unverified) comes from a token whose signature was not verified. No event contains the token
/// itself: [`issuer`](Self::issuer) and [`jti`](Self::jti) identify it.
///
/// `Display` writes the event as one line of `name=value` pairs, [`to_json`](Self::to_json) as one line of JSON.
///
/// ```
/// use unconfused::AuditEvent;
///
/// fn record(event: &AuditEvent<'_>) {
///     match event.reason() {
///         None => println!("{} allowed for {:?} through {:?}", event.operation(), event.subject(), event.actor()),
///         Some(reason) => println!("{} denied: {reason}", event.operation()),
///     }
/// }
/// # fn is_sink(_: impl unconfused::Audit) {}
/// # is_sink(record);
/// ```
pub struct AuditEvent<'a> {
    pub(crate) at: UtcDateTime,
    pub(crate) decision: DecisionId,
    pub(crate) step: u32,
    pub(crate) operation: &'a Operation,
    pub(crate) requirement: &'a Require,
    pub(crate) query_token: bool,
    pub(crate) known_claims: KnownClaims<'a>,
    pub(crate) denial: Option<&'a Denial>,
    pub(crate) next_hop: Option<HopStep<'a>>,
    pub(crate) trace: Option<TraceParent>,
    pub(crate) token_source: TokenSource,
    pub(crate) took: Option<Duration>,
}

/// What this service calls next with a token of its own, as the record has it.
///
/// [`AuditEvent::next_hop`](crate::AuditEvent::next_hop) returns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HopStep<'a> {
    /// The name of the resource that the token is for.
    pub resource: &'a str,
    /// The scopes that were asked for. They are names of that resource.
    pub scopes: &'a [Scope],
    /// The issuer name of the authorization server.
    pub server: &'a str,
    /// True if the token names this service alone, and not the subject of the request.
    pub on_own_behalf: bool,
}

/// The claims that an event may show.
#[derive(Clone, Copy)]
pub(crate) enum KnownClaims<'a> {
    /// None, since no signature was verified.
    None,
    /// Those of a token that was refused after its signature was verified.
    Signed(&'a Claims),
    /// Those of a validated token.
    Validated(&'a Evidence),
    /// None, since there was no token. Another authenticator left a value of this type in the request.
    OtherAuthenticator(&'static str),
}

impl<'a> AuditEvent<'a> {
    /// Returns the moment of this step: for all layers the one at which the request arrived, and for a later `narrow`
    /// or `refuse` its own.
    #[must_use]
    pub fn at(&self) -> UtcDateTime {
        self.at
    }

    /// Returns the id of the decision, which is the same for all steps of one request.
    #[must_use]
    pub fn decision(&self) -> DecisionId {
        self.decision
    }

    /// Returns the number of this step of the decision, counted from 0. A decision has several steps if layers are
    /// nested or a handler narrows or refuses.
    #[must_use]
    pub fn step(&self) -> u32 {
        self.step
    }

    /// Returns true if the request, or this step of it, was allowed.
    #[must_use]
    pub fn allowed(&self) -> bool {
        self.denial.is_none()
    }

    /// Returns the reason of a denial, for the operator.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.denial.map(Denial::reason)
    }

    /// Returns the reasons besides [`reason`](Self::reason), if one challenge asks for everything that is missing.
    #[must_use]
    pub fn other_reasons(&self) -> &'a [Reason] {
        self.denial.map(Denial::other_reasons).unwrap_or_default()
    }

    /// Returns more about the reason for the operator, such as what was expected, which claim was missing, or why keys
    /// are unavailable. For [`Guard::refuse_for`](crate::Guard::refuse_for), it is the name of the rule,
    /// and for a policy that forbids, what it says.
    ///
    /// Nothing in it is from a token whose signature was not verified.
    #[must_use]
    pub fn detail(&self) -> Option<Printable<'a>> {
        self.denial.and_then(Denial::detail).map(Printable::from)
    }

    /// Returns what was found in a credential that was **not verified**, if it was refused for that: `iss`, `typ`,
    /// `alg` and `kid` of the token, or what is wrong with its form.
    ///
    /// Anyone can write this text, and as often as they like. It is one line: every value is escaped, cut after 128
    /// characters and between quotes, and the text ends with `(unverified)`. It never contains the token. No sink
    /// writes it unless it is told to, as `TracingAudit::with_unverified` is, and neither does `Display`.
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use unconfused::{Audience, AuditEvent, Guard, Scope};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const READ: Scope = Scope::from_static("orders:read");
    /// # let login = TestIssuer::new("https://login.example");
    /// # let issuer = login.issuer();
    ///
    /// let guard = Guard::new(ORDERS, issuer).audit(|event: &AuditEvent<'_>| {
    ///     assert_eq!(event.detail().unwrap().raw(), "expected typ `at+jwt`");
    ///     assert_eq!(
    ///         event.unverified(),
    ///         Some(r#"iss "https://login.example", typ "JWT", alg "ES256", kid "k-1" (unverified)"#)
    ///     );
    /// });
    ///
    /// let token = login.token(&ORDERS).header("typ", "JWT").header("kid", "k-1").bearer();
    /// let request = http::Request::get("/orders").header("authorization", token);
    /// let (mut head, ()) = request.body(()).unwrap().into_parts();
    /// assert!(guard.authorize(&mut head, READ).now().unwrap().is_err());
    /// # }
    /// ```
    #[must_use]
    pub fn unverified(&self) -> Option<&'a str> {
        self.denial.and_then(Denial::unverified)
    }

    /// Returns the name of the type by which another authenticator vouched for the request, if a layer let it pass without
    /// a token for that reason ([`GuardLayer::or_authenticated`](crate::layer::GuardLayer::or_authenticated)).
    ///
    /// Then the requirement was not checked, and the record knows no subject: the other authenticator does.
    #[must_use]
    pub fn other_authenticator(&self) -> Option<&'static str> {
        match self.known_claims {
            KnownClaims::OtherAuthenticator(name) => Some(name),
            KnownClaims::None | KnownClaims::Signed(_) | KnownClaims::Validated(_) => None,
        }
    }

    /// Returns the status of the denial, or `None` if the request was allowed and the handler answers.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.denial.map(Denial::status)
    }

    /// Returns the `authorization_reference` of the authorization details that the client was told to get consent for.
    ///
    /// It is the same whenever the same details are asked for, also if the client is not told it since the operation
    /// spends the token. One that comes again and again for a client shows a loop. See
    /// [`Remediation::reference`](crate::detail::Remediation::reference).
    #[must_use]
    pub fn authorization_reference(&self) -> Option<&'a str> {
        Some(self.denial?.challenge()?.remediation()?.reference())
    }

    /// Returns the ids of the policies that decided, as the policy engine names them. Empty if no policy named any.
    pub fn policies(&self) -> impl Iterator<Item = Printable<'a>> {
        let evidence = self.evidence().into_iter();
        evidence.flat_map(Evidence::policies).map(|id| Printable::from(&**id))
    }

    /// Returns the id of the transaction that the client was told to get approved, or that its token claims to be approved
    /// for.
    ///
    /// It is the same in the record of the challenge and in that of the approved request, and is in the authorization
    /// server's records too. `None` if the operation asks for no [approval](crate::approvals).
    #[must_use]
    pub fn txn(&self) -> Option<Printable<'a>> {
        if !self.requirement.asks_for_approval() {
            return None;
        }
        let challenge = self.denial.and_then(Denial::challenge);
        let asked = challenge.and_then(|challenge| challenge.transaction_challenge());
        let claimed = || match string(self.evidence()?.token().raw_claim("txn")?) {
            Some(Cow::Borrowed(txn)) => Some(txn),
            // No id of a transaction has an escape.
            Some(Cow::Owned(_)) | None => None,
        };
        asked.map(TransactionChallenge::txn).or_else(claimed).map(Printable::from)
    }

    /// Returns what this service calls next, if this step asked for a token for that.
    ///
    /// The step is allowed if there is a token, which may be one that was kept.
    #[must_use]
    pub fn next_hop(&self) -> Option<HopStep<'a>> {
        self.next_hop
    }

    /// Returns the operation that was asked for.
    #[must_use]
    pub fn operation(&self) -> &'a Operation {
        self.operation
    }

    /// Returns what the operation requires.
    #[must_use]
    pub fn requirement(&self) -> &'a Require {
        self.requirement
    }

    /// Returns true if the query contained an `access_token`, which was ignored (OAuth 2.1 section 5.1).
    ///
    /// A client that sends tokens in the query leaks them into logs, so tell its owner.
    #[must_use]
    pub fn query_token(&self) -> bool {
        self.query_token
    }

    /// Returns the issuer of the token.
    #[must_use]
    pub fn issuer(&self) -> Option<Printable<'a>> {
        self.claims().map(Claims::issuer).map(Printable::from)
    }

    /// Returns the subject of the token, on whose behalf the request is made: its name, and the
    /// [`issuer`](Self::issuer) of the token.
    #[must_use]
    pub fn subject(&self) -> Option<Party<'a>> {
        let claims = self.claims()?;
        Some(Party::new(claims.issuer(), claims.subject()?))
    }

    /// The name of the subject, which is written beside the issuer of the token.
    pub(super) fn subject_name(&self) -> Option<Printable<'a>> {
        self.claims().and_then(Claims::subject).map(Printable::from)
    }

    /// Returns the client that the token was issued to. It is a name in the namespace of [`issuer`](Self::issuer).
    #[must_use]
    pub fn client(&self) -> Option<Printable<'a>> {
        self.claims().and_then(Claims::client).map(Printable::from)
    }

    /// Returns the id of the token. Together with [`issuer`](Self::issuer) it identifies the token.
    #[must_use]
    pub fn jti(&self) -> Option<Printable<'a>> {
        self.claims().and_then(Claims::token_id).map(Printable::from)
    }

    /// Returns the current actor, who acts for the subject.
    #[must_use]
    pub fn actor(&self) -> Option<Actor<'a>> {
        match self.known_claims {
            KnownClaims::Validated(evidence) => evidence.token().actor(),
            KnownClaims::Signed(claims) => claims.current_actor(),
            KnownClaims::None | KnownClaims::OtherAuthenticator(_) => None,
        }
    }

    /// Returns the actors before the current one, the latest first.
    pub fn prior_actors(&self) -> impl Iterator<Item = Actor<'a>> {
        self.claims().into_iter().flat_map(Claims::prior_actors)
    }

    /// Returns the tenant of the token, if the issuer's profile says which claim names it.
    #[must_use]
    pub fn tenant(&self) -> Option<Printable<'a>> {
        self.claims().and_then(Claims::tenant).map(Printable::from)
    }

    /// Returns the name of this resource that the token was issued for. If it is present, the audience was validated.
    #[must_use]
    pub fn audience(&self) -> Option<&'a Audience> {
        self.evidence().and_then(|evidence| evidence.token().audience())
    }

    /// Returns true if the token named no audience and was accepted because its client is on a list
    /// ([`Profile::client_list_instead_of_audience`](crate::profile::Profile::client_list_instead_of_audience)).
    #[must_use]
    pub fn client_list_instead_of_audience(&self) -> bool {
        self.evidence().is_some_and(|evidence| evidence.token().audience().is_none())
    }

    /// Returns the scopes of the token.
    pub fn scopes(&self) -> impl Iterator<Item = Printable<'a>> {
        self.evidence()
            .into_iter()
            .flat_map(|evidence| evidence.token().scopes())
            .map(Printable::from)
    }

    /// Returns the authentication context class, which says how well the subject authenticated.
    #[must_use]
    pub fn acr(&self) -> Option<Printable<'a>> {
        let acr = self.evidence()?.token().acr().ok()?;
        acr.map(Printable::from)
    }

    /// Returns how long before the decision the subject authenticated, or zero if the issuer's clock is ahead.
    #[must_use]
    pub fn authentication_age(&self) -> Option<Duration> {
        let at = self.evidence()?.token().auth_time().ok()??;
        let age = self.at.unix_timestamp_nanos().saturating_sub(at.unix_timestamp_nanos());
        Some(Duration::from_nanos(u64::try_from(age).unwrap_or_default()))
    }

    /// Returns which of the claims `acr`, `amr` and `auth_time` are in the token and cannot be read, because they have
    /// the wrong type. They are not absent, although [`acr`](Self::acr) and
    /// [`authentication_age`](Self::authentication_age) then return `None`.
    pub fn unreadable(&self) -> impl Iterator<Item = &'static str> {
        self.evidence()
            .into_iter()
            .flat_map(|evidence| evidence.token().parsed_claims().unreadable())
    }

    /// Returns whether the decision asked the subject to authenticate again, or rests on such a login.
    #[must_use]
    pub fn step_up(&self) -> StepUp {
        match self.reason().map(Reason::remedy) {
            Some(Remedy::StepUp) => StepUp::Asked,
            None if self.evidence().is_some() && self.requirement.asks_for_step_up() => StepUp::Met,
            Some(_) | None => StepUp::NotRequired,
        }
    }

    /// Returns whether the decision asked for an approval of this one operation, or rests on one.
    ///
    /// [`Asked`](StepUp::Asked) if the operation must be approved as a transaction (`transaction_authorization_required`),
    /// or by a task that a policy names (`approval_required`). [`Met`](StepUp::Met) if the token is that of an approved
    /// transaction: [`txn`](Self::txn) is its id, and [`spent`](Self::spent) says that it is used up. A policy that
    /// permits once its task is done does not say so, so the record has no `Met` for it; [`policies`](Self::policies)
    /// names the policies.
    #[must_use]
    pub fn approval(&self) -> StepUp {
        // An operation that accepts what was granted too may be allowed without an approval.
        let is_approved = || {
            let is_spent = |evidence: &Evidence| evidence.request.once().transaction_spent.is_set();
            self.requirement.asks_for_approval() && self.evidence().is_some_and(is_spent)
        };
        match self.reason().map(Reason::remedy) {
            Some(Remedy::Transaction | Remedy::Approval) => StepUp::Asked,
            None if is_approved() => StepUp::Met,
            Some(_) | None => StepUp::NotRequired,
        }
    }

    /// Returns what the request has used up so far: `token` if its token counts once and was spent, and `transaction` if
    /// its approval was.
    ///
    /// Also an event that denies has it, if an earlier step of the same request spent it.
    pub fn spent(&self) -> impl Iterator<Item = &'static str> {
        let once = self.evidence().map(|evidence| evidence.request.once());
        let flags = once
            .map(|once| [("token", &once.token_spent), ("transaction", &once.transaction_spent)]);
        flags.into_iter().flatten().filter(|(_, flag)| flag.is_set()).map(|(what, _)| what)
    }

    /// Returns the `traceparent` of the request, if it has one that is well formed. It joins the record with traces.
    ///
    /// The client wrote it, and no decision rests on it.
    #[must_use]
    pub fn traceparent(&self) -> Option<TraceParent> {
        self.trace
    }

    /// Returns where the token of this step came from. `None` if no signature was verified.
    #[must_use]
    pub fn token_source(&self) -> Option<TokenSource> {
        self.claims().map(|_| self.token_source)
    }

    /// Returns how long the guard took for this step, from the request to this event, with everything that it waited for:
    /// keys, policies, stores.
    ///
    /// `None` if no sink [asks for it](crate::Audit::wants_time), and for a refusal by the handler. It is measured by a
    /// clock that only runs forward, not by [`Guard::clock`](crate::Guard::clock), and is in no written form of the event.
    #[must_use]
    pub fn took(&self) -> Option<Duration> {
        self.took
    }

    /// Returns how the sender proved possession of the token: `dpop`, `mtls`, `dpop+mtls`, or `bearer` if the token
    /// itself was enough. Returns `None` if no token was validated.
    #[must_use]
    pub fn possession(&self) -> Option<&'static str> {
        self.evidence().map(|evidence| evidence.token().possession())
    }

    fn evidence(&self) -> Option<&'a Evidence> {
        match self.known_claims {
            KnownClaims::Validated(evidence) => Some(evidence),
            KnownClaims::Signed(_) | KnownClaims::None | KnownClaims::OtherAuthenticator(_) => None,
        }
    }

    fn claims(&self) -> Option<&'a Claims> {
        match self.known_claims {
            KnownClaims::Validated(evidence) => Some(evidence.token().parsed_claims()),
            KnownClaims::Signed(claims) => Some(claims),
            KnownClaims::None | KnownClaims::OtherAuthenticator(_) => None,
        }
    }
}
