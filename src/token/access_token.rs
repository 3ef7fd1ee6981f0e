//! The access token, after it was validated.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use time::UtcDateTime;

use super::actor::{Actor, ActorSource, MayAct, Party};
use super::claims::{Claims, Unreadable};
use super::typed_claims::{WrongClaimType, read_all, read_claim};
use super::vocabulary::Vocabulary;
use crate::detail::{DetailTypes, GrantedDetails};
use crate::json::Span;
use crate::names::{Audience, Scope};
use crate::printable::Printable;
use crate::profile::SubjectKind;
use crate::proof::{AcceptedProof, Confirmed};

/// An access token that has been validated.
///
/// Its signature is its issuer's, it is meant for this resource, its times are right, and every known claim has its
/// type. The only way to one is [`UnverifiedToken::validate`](crate::token::UnverifiedToken::validate), or a
/// [`Guard`](crate::Guard), which runs the same checks.
///
/// Validation does **not** say what the token allows: a [`Require`](crate::Require) checks that. `Debug` shows the
/// issuer and the id of the token, and no other claim.
#[derive(Clone)]
#[must_use = "a valid token is not yet allowed anything: check it against a `Require`"]
pub struct AccessToken {
    pub(super) claims: Arc<Claims>,
    pub(super) required: RequiredClaims,
    pub(super) vocabulary: Arc<Vocabulary>,
    /// Which audience of the vocabulary it is meant for.
    pub(super) audience: Option<usize>,
    pub(super) leeway: Duration,
    pub(super) client: ClientRole,
    pub(super) confirmed: Confirmed,
}

/// The claims that every validated token has, whatever its profile.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequiredClaims {
    pub(super) subject: Span,
    /// `None` only if the profile allows it.
    pub(super) issued_at: Option<UtcDateTime>,
    pub(super) expires_at: UtcDateTime,
}

/// What the issuer's settings say about the token's client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientRole {
    /// Not known to be an agent.
    Plain,
    /// An agent, and the actor if `act` names none.
    Agent(ActorSource),
    /// An agent that must be named in `act` and is not, or that cannot be named as the actor.
    AgentWithoutAct,
}

impl AccessToken {
    /// Returns who issued the token, `iss`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.claims.issuer()
    }

    /// Returns whose authority the token carries: [`issuer`](Self::issuer), and the name that it gives the subject,
    /// which is `sub` or the claim that the issuer's [`Profile`](crate::profile::Profile) names instead.
    ///
    /// The party borrows from the token and is compared with both parts of what your database holds. A string does
    /// not compile there, since another issuer may give the same name to another subject.
    ///
    /// ```
    /// use unconfused::{AccessToken, Party};
    ///
    /// struct Order {
    ///     owner_issuer: String,
    ///     owner_name: String,
    /// }
    ///
    /// fn is_owner(order: &Order, token: &AccessToken) -> bool {
    ///     token.subject() == Party::new(&order.owner_issuer, &order.owner_name)
    /// }
    /// ```
    #[must_use]
    pub fn subject(&self) -> Party<'_> {
        Party::new(self.issuer(), self.subject_name())
    }

    /// The bare name of the subject.
    pub(crate) fn subject_name(&self) -> &str {
        self.claims.text(self.required.subject)
    }

    /// Returns the software that the token was issued to, `client_id`.
    ///
    /// It is a name in the namespace of [`issuer`](Self::issuer), and other issuers may give it to other clients. To
    /// decide by it, use [`Require::client`](crate::Require::client), which compares both.
    ///
    /// Every token of RFC 9068 has it. A [`Profile`](crate::profile::Profile) may read it from another claim, or
    /// allow a token without it.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.claims.client()
    }

    /// Returns the token's own id, `jti`.
    ///
    /// Together with [`issuer`](Self::issuer) it identifies the token. The token's text does not: one token can be
    /// written in several ways. A [`Profile`](crate::profile::Profile) may read the id from another claim, or allow a
    /// token without it.
    #[must_use]
    pub fn jti(&self) -> Option<&str> {
        self.claims.token_id()
    }

    /// Returns the tenant, if the issuer's [`Profile`](crate::profile::Profile) says which claim names it.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.claims.tenant()
    }

    /// Returns the name of this resource that the token's `aud` contains.
    ///
    /// It is `None` if the token names no audience and was accepted because of its client
    /// ([`client_list_instead_of_audience`](crate::profile::Profile::client_list_instead_of_audience)).
    #[must_use]
    pub fn audience(&self) -> Option<&Audience> {
        self.vocabulary.audiences.get(self.audience?)
    }

    /// Returns all values of `aud`.
    pub fn audiences(&self) -> impl Iterator<Item = &str> {
        self.claims.audiences()
    }

    /// Returns when the token expires, `exp`, without leeway.
    #[must_use]
    pub fn expires_at(&self) -> UtcDateTime {
        self.required.expires_at
    }

    /// Returns when the token was issued, `iat`.
    ///
    /// Every token of RFC 9068 has it. If the issuer's profile does without it
    /// ([`issued_at_optional`](crate::profile::Profile::issued_at_optional)), this is `nbf`, and `None` for a token that
    /// has neither. Such a token may be of any age: treat it as issued before any moment that you compare with.
    #[must_use]
    pub fn issued_at(&self) -> Option<UtcDateTime> {
        self.required.issued_at
    }

    /// Returns the scopes as they are in the token, without those that a
    /// [`ScopeHierarchy`](crate::token::ScopeHierarchy) implies. To ask for one, use [`allows`](Self::allows).
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.claims.scopes()
    }

    /// Returns true if the token has this scope, or one that implies it by the
    /// [`ScopeHierarchy`](crate::token::ScopeHierarchy) it was validated with.
    #[must_use]
    pub fn allows(&self, scope: &Scope) -> bool {
        self.allows_any(std::slice::from_ref(scope))
    }

    /// True if the token has one of these scopes, or one that implies one of them.
    pub(crate) fn allows_any(&self, scopes: &[Scope]) -> bool {
        let held = |scope: &Scope| self.scopes().any(|held| held == scope.as_str());
        // What implies a scope is looked up once, and not once for each scope of the token.
        let implied = |scope: &Scope| {
            let broader =
                self.vocabulary.hierarchy.as_ref().and_then(|hierarchy| hierarchy.broader(scope));
            broader.is_some_and(|broader| self.scopes().any(|held| broader.contains(held)))
        };
        scopes.iter().any(held) || scopes.iter().any(implied)
    }

    /// Returns how well the subject authenticated, `acr`. `Ok(None)` if the token does not say.
    ///
    /// A token with an `acr` that is not a string is valid, since only a rule about the authentication needs it. Such a
    /// rule must refuse it: an unreadable claim is not an absent one.
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// # use unconfused::testing::TestIssuer;
    /// # use unconfused::{Audience, Require};
    /// # const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// # let login = TestIssuer::new("https://login.example");
    /// # let token = |acr: u32| login.token(&ORDERS).claim("acr", acr);
    /// use unconfused::AccessToken;
    ///
    /// /// The issuer writes an `acr` only for logins that it restricts.
    /// fn is_unrestricted(token: &AccessToken) -> bool {
    ///     matches!(token.acr(), Ok(None)) // and not `token.acr().is_err()`
    /// }
    ///
    /// // a token with "acr": 1
    /// # let grant = login.grant(token(1), Require::valid_token());
    /// assert!(!is_unrestricted(grant.token()));
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`WrongClaimType`] if the claim is there and is not a string. A [`Require`](crate::Require) of an `acr`
    /// is then unmet (`authentication_context_missing`).
    pub fn acr(&self) -> Result<Option<&str>, WrongClaimType> {
        let acr = self.claims.acr.map_err(|Unreadable| WrongClaimType::of("acr"))?;
        Ok(self.claims.optional(acr))
    }

    /// Returns by which methods the subject authenticated, `amr`
    /// ([RFC 8176](https://www.rfc-editor.org/rfc/rfc8176)). Empty if the token does not say.
    ///
    /// # Errors
    ///
    /// Returns [`WrongClaimType`] if the claim is there and is not an array of strings. The token is valid all the
    /// same; see [`acr`](Self::acr). To read what such an issuer writes, use [`claim`](Self::claim).
    pub fn amr(&self) -> Result<impl Iterator<Item = &str>, WrongClaimType> {
        let amr = self.claims.amr.map_err(|Unreadable| WrongClaimType::of("amr"))?;
        Ok(self.claims.list(amr))
    }

    /// Returns when the subject authenticated, `auth_time`. `Ok(None)` if the token does not say.
    ///
    /// # Errors
    ///
    /// Returns [`WrongClaimType`] if the claim is there and is not a time, a number from 1970 to 9999. The token is
    /// valid all the same; see [`acr`](Self::acr). A [`Require::max_age`](crate::Require::max_age) is then unmet
    /// (`authentication_context_missing`).
    pub fn auth_time(&self) -> Result<Option<UtcDateTime>, WrongClaimType> {
        self.claims.auth_time.map_err(|Unreadable| WrongClaimType::of("auth_time"))
    }

    /// Returns who acts for the subject now: the only actor that a decision may rest on. `None` if the token names
    /// none.
    ///
    /// An `act` that names the subject and no other party is not a delegation (OAuth Actor Profile). If `act` names no
    /// actor, the client is the actor if it is one of the issuer's [`agent_clients`](crate::Issuer::agent_clients), or
    /// if the issuer's profile finds that it is an agent.
    #[must_use]
    pub fn actor(&self) -> Option<Actor<'_>> {
        self.claims.current_actor().or_else(|| match self.client {
            ClientRole::Agent(source) => {
                let name = self.client_id()?;
                Some(Actor { issuer: self.issuer(), name, source })
            }
            ClientRole::Plain | ClientRole::AgentWithoutAct => None,
        })
    }

    /// Returns who acted before, the latest first. **For the record only**: no decision may rest on them
    /// ([RFC 8693 section 4.1](https://www.rfc-editor.org/rfc/rfc8693#section-4.1)).
    pub fn prior_actors(&self) -> impl Iterator<Item = Actor<'_>> {
        self.claims.prior_actors()
    }

    /// Returns who may become the subject's actor, `may_act`. It is not evidence that anyone acts.
    #[must_use]
    pub fn may_act(&self) -> Option<MayAct<'_>> {
        let Actor { issuer, name, .. } = self.claims.actor(self.claims.may_act?);
        Some(MayAct { issuer, name })
    }

    /// Returns true if the subject is a person, as far as the token shows it.
    ///
    /// For RFC 9068 that means that `sub` is not `client_id`
    /// ([section 2.2](https://www.rfc-editor.org/rfc/rfc9068#section-2.2)). This is **not proof**: an issuer may name
    /// its service accounts differently from their clients. The issuer's [`Profile`](crate::profile::Profile) says how
    /// it marks those.
    #[must_use]
    pub fn is_person(&self) -> bool {
        self.claims.subject_kind == SubjectKind::Person
    }

    /// Returns the authorization details that were granted with the token, `authorization_details`
    /// ([RFC 9396 section 9.1](https://www.rfc-editor.org/rfc/rfc9396#section-9.1)). There are none if the claim is
    /// absent.
    ///
    /// To ask for one, use [`Require::detail`](crate::Require::detail).
    #[must_use]
    pub fn authorization_details(&self) -> GrantedDetails<'_> {
        GrantedDetails::of_validated(self.claims.raw("authorization_details"))
    }

    /// Returns the authorization details of one type, each as a `T`. Empty if there are none.
    ///
    /// This shows what was granted and does **not** compare it with anything: no type has to be registered, and an
    /// entry may have members that restrict it in ways that `T` does not know. To decide by a detail, use
    /// [`Require::detail`](crate::Require::detail).
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use serde_json::json;
    /// use unconfused::{Audience, Scope};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// #[derive(Debug, serde::Deserialize)]
    /// struct Refund {
    ///     order: String,
    /// }
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// # let login = TestIssuer::new("https://login.example");
    /// let details = json!([{"type": "order_refund", "order": "7"}, {"type": "order_cancel"}]);
    /// let token = login.token(&ORDERS).scope("orders:read").claim("authorization_details", details);
    /// let grant = login.grant(token, Scope::from_static("orders:read"));
    ///
    /// let refunds = grant.details::<Refund>("order_refund")?;
    /// assert_eq!(refunds[0].order, "7");
    /// assert!(grant.details::<Refund>("order_cancel").is_err()); // it has no `order`
    /// # }
    /// # Ok::<(), unconfused::error::WrongClaimType>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`WrongClaimType`] if an entry of the type is not a `T`.
    pub fn details<'a, T: Deserialize<'a>>(
        &'a self,
        type_name: &str,
    ) -> Result<Vec<T>, WrongClaimType> {
        let entries = self.authorization_details();
        let wrong = |_| WrongClaimType::entry("authorization_details");
        entries.of_type(type_name).map(|entry| serde_json::from_str(entry).map_err(wrong)).collect()
    }

    /// Returns any claim by its name, `Ok(None)` if it is absent.
    ///
    /// A string may be written with escapes: ask for a `String` or a `Cow<str>`, not for a `&str`.
    ///
    /// # Errors
    ///
    /// Returns [`WrongClaimType`] if the claim is there and is not a `T`.
    pub fn claim<'a, T: Deserialize<'a>>(
        &'a self,
        name: &str,
    ) -> Result<Option<T>, WrongClaimType> {
        self.claims.raw(name).map(|raw| read_claim(name, raw)).transpose()
    }

    /// Returns all claims as a type of your own, by its `Deserialize`.
    ///
    /// Each field is the claim of its name, as the issuer wrote it: a [`Profile`](crate::profile::Profile) does not rename
    /// it. What a decision rests on, such as the subject, the actor or the scopes, has a method here that compares more
    /// than a name does; `act` in particular holds prior actors, which are for the record alone.
    ///
    /// A claim without a field is skipped, unless the type denies unknown fields. As with [`claim`](Self::claim), ask for
    /// a `String`, not for a `&str`.
    ///
    /// ```
    /// use unconfused::{Denial, Grant};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Employee {
    ///     department: String,
    ///     #[serde(default)]
    ///     locations: Vec<String>,
    /// }
    ///
    /// fn department(grant: &Grant) -> Result<String, Denial> {
    ///     let employee: Employee = grant.claims()?; // 401 if `department` is missing or is not a string
    ///     Ok(employee.department)
    /// }
    /// # #[cfg(feature = "testing")] {
    /// # use unconfused::{Audience, Reason, Require, testing::TestIssuer};
    /// # let login = TestIssuer::new("https://login.example");
    /// # let token = || login.token(&Audience::from_static("https://orders.example"));
    /// # let granted = |token| login.grant(token, Require::valid_token());
    ///
    /// let grant = granted(token().claim("department", "returns"));
    /// assert_eq!(department(&grant).unwrap(), "returns");
    ///
    /// let refused = department(&granted(token().claim("department", 7))).unwrap_err();
    /// assert_eq!(refused.reason(), Reason::ClaimTypeInvalid);
    /// # assert!(grant.claims::<Employee>().unwrap().locations.is_empty());
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`WrongClaimType`], which names the claim, if one is missing or does not have the type of its field.
    pub fn claims<'a, T: Deserialize<'a>>(&'a self) -> Result<T, WrongClaimType> {
        read_all(&self.claims.document)
    }

    /// Returns the DPoP proof that came with the token and was accepted. `None` if the token is not bound to a proof
    /// key.
    #[must_use]
    pub fn proof(&self) -> Option<&AcceptedProof> {
        self.confirmed.proof.as_ref()
    }

    /// Returns true if the token is bound to a proof key or a certificate, and the sender showed that it holds it.
    #[must_use]
    pub fn is_sender_constrained(&self) -> bool {
        self.confirmed.is_constrained()
    }

    /// How the sender showed that it may use the token, as the record names it.
    pub(crate) fn possession(&self) -> &'static str {
        self.confirmed.as_str()
    }

    /// The leeway that the token was validated with.
    pub(crate) fn leeway(&self) -> Duration {
        self.leeway
    }

    /// The types of authorization details that the token was validated with.
    pub(crate) fn detail_types(&self) -> &DetailTypes {
        self.vocabulary.detail_types.as_ref().unwrap_or(DetailTypes::NONE)
    }

    /// A claim as it was written, in JSON.
    pub(crate) fn raw_claim(&self, name: &str) -> Option<&str> {
        self.claims.raw(name)
    }

    /// The thumbprint of the certificate that the token is bound to, and that the sender showed.
    pub(crate) fn certificate_thumbprint(&self) -> Option<&str> {
        let bound = self.claims.confirmation.filter(|_| self.confirmed.certificate)?;
        self.claims.optional(bound.x5t)
    }

    /// True if the client is an agent that must be named in `act` and is not.
    pub(crate) fn lacks_act(&self) -> bool {
        self.client == ClientRole::AgentWithoutAct
    }

    pub(crate) fn parsed_claims(&self) -> &Arc<Claims> {
        &self.claims
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("issuer", &Printable::from(self.issuer()))
            .field("jti", &self.jti().map(Printable::from))
            .finish_non_exhaustive()
    }
}
