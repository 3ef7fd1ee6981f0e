//! The claims of one token, each with its type
//! (RFC 7519 section 4.1, RFC 9068 section 2.2, RFC 8693 section 4).

use std::borrow::Cow;
use std::sync::OnceLock;

use time::UtcDateTime;

use super::actor::{Actor, ActorSource};
use crate::jose::Header;
use crate::json::{Document, Span};
use crate::profile::SubjectKind;
use crate::proof::{Confirmation, KnownKey};
use crate::reason::Reason;

/// The claims of a token, read as its issuer's profile says.
///
/// This type does not say whether they are true: only an [`AccessToken`](super::access_token::AccessToken) does.
#[derive(Debug, Clone)]
pub(crate) struct Claims {
    pub(super) header: Header,
    pub(super) document: Document,
    /// The texts of all lists. An actor has two: its issuer, which may be missing, and its subject.
    pub(super) texts: Vec<Option<Span>>,
    /// A token that names no issuer is refused before its claims are read.
    pub(super) issuer: Span,
    pub(super) subject: Option<Span>,
    pub(super) client: Option<Span>,
    pub(super) token_id: Option<Span>,
    pub(super) tenant: Option<Span>,
    pub(super) acr: Result<Option<Span>, Unreadable>,
    pub(super) audiences: TextRange,
    pub(super) scopes: TextRange,
    pub(super) amr: Result<TextRange, Unreadable>,
    pub(super) expires_at: Option<UtcDateTime>,
    pub(super) not_before: Option<UtcDateTime>,
    pub(super) issued_at: Option<UtcDateTime>,
    pub(super) auth_time: Result<Option<UtcDateTime>, Unreadable>,
    /// The actors of `act`, the current one first.
    pub(super) actors: TextRange,
    /// `act` names the subject and no other party.
    pub(super) act_names_subject: bool,
    /// `act` names a person who took the subject's place.
    pub(super) act_names_impersonator: bool,
    pub(super) may_act: Option<ActorClaim>,
    pub(super) confirmation: Option<Confirmation>,
    /// The proof key that the token is bound to, once a proof was verified with it.
    pub(super) proof_key: KnownKey,
    /// Header and payload as they were sent, with the dot between them, once the token is cached.
    signed_text: OnceLock<Box<[u8]>>,
    pub(super) subject_kind: SubjectKind,
    /// The profile finds that the client is an agent.
    pub(super) client_is_agent: bool,
    /// The first problem, in the order of the checks: `claims_malformed`, `claim_type_invalid` or
    /// `authorization_details_invalid`, `token_kind_rejected`, `actor_malformed`.
    pub(super) problem: Option<Box<ClaimProblem>>,
}

/// A claim about the subject's authentication that is there and has the wrong type. It is not absent, and it fails
/// nothing but a requirement that rests on it: real issuers write `amr` as objects and `auth_time` as text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unreadable;

/// A party as `act` or `may_act` names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ActorClaim {
    /// The token's issuer if it is missing.
    pub(super) issuer: Option<Span>,
    pub(super) subject: Span,
}

/// A range of [`Claims::texts`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TextRange {
    pub(super) start: u16,
    pub(super) end: u16,
}

impl TextRange {
    pub(super) fn len(self) -> usize {
        self.end.saturating_sub(self.start).into()
    }
}

/// What is wrong with the claims of a token.
#[derive(Debug, Clone)]
pub(super) struct ClaimProblem {
    pub(super) reason: Reason,
    /// The claim; empty if it is the payload as a whole.
    pub(super) claim: Cow<'static, str>,
}

impl Claims {
    /// The largest payload that is read, in bytes.
    pub(super) const MAX_BYTES: usize = 32 * 1024;

    /// Claims of which only the issuer has been read.
    pub(super) fn new(header: Header, document: Document, issuer: Span) -> Self {
        Claims {
            header,
            document,
            texts: Vec::with_capacity(16),
            issuer,
            subject: None,
            client: None,
            token_id: None,
            tenant: None,
            acr: Ok(None),
            audiences: TextRange::default(),
            scopes: TextRange::default(),
            amr: Ok(TextRange::default()),
            expires_at: None,
            not_before: None,
            issued_at: None,
            auth_time: Ok(None),
            actors: TextRange::default(),
            act_names_subject: false,
            act_names_impersonator: false,
            may_act: None,
            confirmation: None,
            proof_key: KnownKey::default(),
            signed_text: OnceLock::new(),
            subject_kind: SubjectKind::default(),
            client_is_agent: false,
            problem: None,
        }
    }

    /// The header of the token.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    pub(crate) fn issuer(&self) -> &str {
        self.text(self.issuer)
    }

    pub(crate) fn subject(&self) -> Option<&str> {
        self.optional(self.subject)
    }

    pub(crate) fn client(&self) -> Option<&str> {
        self.optional(self.client)
    }

    pub(crate) fn token_id(&self) -> Option<&str> {
        self.optional(self.token_id)
    }

    pub(crate) fn tenant(&self) -> Option<&str> {
        self.optional(self.tenant)
    }

    /// The claims about the subject's authentication that are there and have the wrong type.
    pub(crate) fn unreadable(&self) -> impl Iterator<Item = &'static str> {
        let claims = [
            self.acr.is_err().then_some("acr"),
            self.amr.is_err().then_some("amr"),
            self.auth_time.is_err().then_some("auth_time"),
        ];
        claims.into_iter().flatten()
    }

    /// The heap that the claims hold, in bytes, and their own size. The most that a proof key takes counts if the token
    /// is bound to one.
    pub(crate) fn bytes(&self) -> usize {
        let texts = self.texts.capacity().saturating_mul(size_of::<Option<Span>>());
        let is_bound = self.confirmation.is_some_and(|confirmation| confirmation.jkt.is_some());
        let proof_key = if is_bound { KnownKey::MAX_BYTES } else { 0 };
        let signed_text = self.signed_text.get().map_or(0, |text| text.len());
        let parts = [self.header.bytes(), self.document.bytes(), texts, proof_key, signed_text];
        parts.into_iter().fold(size_of::<Self>(), usize::saturating_add)
    }

    /// Keeps what is signed, as it was sent. The first text stays.
    pub(crate) fn keep_signed_text(&self, text: &[u8]) {
        let _ = self.signed_text.set(text.into());
    }

    /// Returns true if this is what is signed, as it was sent and kept.
    pub(crate) fn is_signed_text(&self, text: &[u8]) -> bool {
        self.signed_text.get().is_some_and(|kept| **kept == *text)
    }

    pub(super) fn audiences(&self) -> impl Iterator<Item = &str> {
        self.list(self.audiences)
    }

    pub(super) fn scopes(&self) -> impl Iterator<Item = &str> {
        self.list(self.scopes).filter(|scope| !scope.is_empty())
    }

    /// The value of any claim, as it was written.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.document.get(name)
    }

    pub(super) fn text(&self, text: Span) -> &str {
        self.document.text(text)
    }

    pub(super) fn optional(&self, text: Option<Span>) -> Option<&str> {
        text.map(|text| self.text(text))
    }

    /// The texts of a list.
    pub(super) fn list(&self, range: TextRange) -> impl Iterator<Item = &str> {
        self.slice(range).iter().flatten().map(|text| self.text(*text))
    }

    fn slice(&self, TextRange { start, end }: TextRange) -> &[Option<Span>] {
        self.texts.get(usize::from(start)..usize::from(end)).unwrap_or_default()
    }
}

/// Who acts for whom.
impl Claims {
    /// How many actors `act` names.
    pub(super) fn actor_count(&self) -> usize {
        self.actors.len() / 2
    }

    /// True if `act` names a party other than the subject.
    pub(super) fn is_delegated(&self) -> bool {
        self.actor_count() > 0 && !self.act_names_subject
    }

    pub(crate) fn current_actor(&self) -> Option<Actor<'_>> {
        self.delegation().next()
    }

    pub(crate) fn prior_actors(&self) -> impl Iterator<Item = Actor<'_>> {
        self.delegation().skip(1)
    }

    /// The actors of `act`, the current one first; none if it names only the subject.
    fn delegation(&self) -> impl Iterator<Item = Actor<'_>> {
        self.actor_claims().filter(|_| !self.act_names_subject).map(|claim| self.actor(claim))
    }

    fn actor_claims(&self) -> impl Iterator<Item = ActorClaim> {
        let (pairs, _) = self.slice(self.actors).as_chunks();
        pairs.iter().filter_map(|[issuer, subject]| {
            Some(ActorClaim { issuer: *issuer, subject: (*subject)? })
        })
    }

    pub(super) fn actor(&self, claim: ActorClaim) -> Actor<'_> {
        Actor {
            issuer: claim.issuer.map_or_else(|| self.issuer(), |issuer| self.text(issuer)),
            name: self.text(claim.subject),
            source: match self.act_names_impersonator {
                true => ActorSource::Impersonator,
                false => ActorSource::Act,
            },
        }
    }

    /// Computes [`act_names_subject`](Self::act_names_subject).
    pub(super) fn only_actor_is_subject(&self) -> bool {
        let mut claims = self.actor_claims();
        let (Some(only), None) = (claims.next(), claims.next()) else { return false };
        let actor = self.actor(only);
        actor.issuer == self.issuer() && Some(actor.name) == self.subject()
    }
}
