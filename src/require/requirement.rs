//! The requirement: data, and the methods that build and combine it.

use std::time::Duration;

use super::lists::{intersection, union, without_repeats};
use super::required_claim::RequiredClaim;
use crate::detail::Detail;
use crate::names::{Acr, Scope};
use crate::token::Party;

/// What an operation asks of a validated token: which scopes, how and when the subject authenticated, who may act,
/// through which client, and of which issuer.
///
/// A requirement is data: it can be compared, printed, [read from a configuration file](#impl-FromStr-for-Require), and
/// sent to the client in a challenge. A rule that needs the request or a database is code, and
/// [belongs to a policy](crate::guide::ask_a_policy_engine) or to the handler ([`Guard::refuse`](crate::Guard::refuse)).
///
/// Every requirement asks for one more thing. An actor whose namespace is not that of the token's issuer is refused
/// (`actor_untrusted`), unless [`actor`](Self::actor) or [`actor_if_any`](Self::actor_if_any) lists exactly that pair
/// of issuer and name.
///
/// ```
/// use std::time::Duration;
/// use unconfused::{Acr, Require, Scope};
///
/// const REFUND: Scope = Scope::from_static("orders:refund");
/// const PHISHING_RESISTANT: Acr = Acr::from_static("phr");
///
/// let refunds = Require::scope(REFUND)
///     .acr([PHISHING_RESISTANT])
///     .max_age(Duration::from_secs(300))
///     .actor([("https://login.example", "support-agent")]);
/// assert_eq!(
///     refunds.to_string(),
///     r#"scope=orders:refund acr=phr max_age=300 actor="support-agent" of "https://login.example""#
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Require {
    /// One scope of each group.
    pub(super) scopes: Vec<Vec<Scope>>,
    pub(super) acr: Option<Vec<Acr>>,
    pub(super) max_age: Option<Duration>,
    /// Who may act, if there is an actor.
    pub(super) actors: Option<Vec<Party<'static>>>,
    /// `actors` also admits those of other namespaces.
    pub(super) foreign_actors_allowed: bool,
    /// There is an actor.
    pub(super) actor_required: bool,
    /// There is an actor, and it is an agent.
    pub(super) delegated: bool,
    pub(super) undelegated: bool,
    pub(super) person: bool,
    pub(super) issuers: Option<Vec<String>>,
    pub(super) clients: Option<Vec<Party<'static>>>,
    pub(super) claims: Vec<RequiredClaim>,
    pub(super) sender_constrained: bool,
    pub(super) details: Vec<Detail>,
    /// Types of details of which there must be one.
    pub(super) detail_types: Vec<String>,
    pub(super) single_use: bool,
}

impl Require {
    /// Requires a valid token and nothing more.
    #[must_use]
    pub fn valid_token() -> Self {
        Require {
            scopes: Vec::new(),
            acr: None,
            max_age: None,
            actors: None,
            foreign_actors_allowed: false,
            actor_required: false,
            delegated: false,
            undelegated: false,
            person: false,
            issuers: None,
            clients: None,
            claims: Vec::new(),
            sender_constrained: false,
            details: Vec::new(),
            detail_types: Vec::new(),
            single_use: false,
        }
    }

    /// Requires this scope.
    #[must_use]
    pub fn scope(scope: Scope) -> Self {
        Require { scopes: vec![vec![scope]], ..Require::valid_token() }
    }

    /// Requires all of these scopes. If the list is empty, no token can meet the requirement.
    #[must_use]
    pub fn all_scopes(scopes: impl IntoIterator<Item = Scope>) -> Self {
        let mut scopes: Vec<_> =
            without_repeats(scopes).into_iter().map(|scope| vec![scope]).collect();
        if scopes.is_empty() {
            scopes.push(Vec::new());
        }
        Require { scopes, ..Require::valid_token() }
    }

    /// Requires one of these scopes. A challenge names the first. If the list is empty, no token can meet the
    /// requirement.
    #[must_use]
    pub fn any_scope(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Require { scopes: vec![without_repeats(scopes)], ..Require::valid_token() }
    }

    /// Requires that the subject authenticated in one of these classes, `acr`.
    ///
    /// List them in order of preference: a challenge names them in this order
    /// ([RFC 9470 section 3](https://www.rfc-editor.org/rfc/rfc9470#section-3)). A token whose subject is not a
    /// [person](crate::AccessToken::is_person) never meets this and is refused without a challenge
    /// (`subject_ambiguous`).
    #[must_use]
    pub fn acr(mut self, classes: impl IntoIterator<Item = Acr>) -> Self {
        self.acr = intersection(self.acr, Some(without_repeats(classes)));
        self
    }

    /// Requires that the subject authenticated at most this long ago, by `auth_time`. The leeway is added.
    ///
    /// A challenge gives the age in whole seconds
    /// ([RFC 9470 section 3](https://www.rfc-editor.org/rfc/rfc9470#section-3)). A token whose subject is not a person
    /// is refused as with [`acr`](Self::acr).
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = shorter(self.max_age, Some(age));
        self
    }

    /// Requires that one of these actors, each a pair of issuer and name, acts for the subject.
    #[must_use]
    pub fn actor<'p>(self, actors: impl IntoIterator<Item = impl Into<Party<'p>>>) -> Self {
        Require { actor_required: true, ..self.actor_if_any(actors) }
    }

    /// Requires that any actor is one of these. A token without an actor meets this too.
    #[must_use]
    pub fn actor_if_any<'p>(
        mut self,
        actors: impl IntoIterator<Item = impl Into<Party<'p>>>,
    ) -> Self {
        self.actors = intersection(self.actors, Some(owned(actors)));
        self.foreign_actors_allowed = true;
        self
    }

    /// Requires that an agent acts for the subject: there is an actor, and it is not a person who took the subject's
    /// place ([`ActorSource::Impersonator`](crate::token::ActorSource::Impersonator)).
    #[must_use]
    pub fn delegated(mut self) -> Self {
        self.delegated = true;
        self
    }

    /// Requires that no one acts for the subject. An `act` that names only the subject does not count as an actor.
    ///
    /// Two kinds of agents are not visible as actors. One logged its user in and is only the token's client: name it in
    /// the issuer's [`agent_clients`](crate::Issuer::agent_clients), or list the allowed clients with
    /// [`client`](Self::client). The other speaks for itself: add [`person`](Self::person).
    /// [`in_person`](Self::in_person) asks for all three.
    #[must_use]
    pub fn undelegated(mut self) -> Self {
        self.undelegated = true;
        self
    }

    /// Requires that one of these issuers issued the token, `iss`, compared code point by code point
    /// (`client_not_allowed`).
    ///
    /// Use it for an operation that is not for every issuer that the guard trusts. It says nothing of the issuer that
    /// names an actor: see [`actor`](Self::actor).
    ///
    /// ```
    /// use unconfused::{Require, Scope};
    ///
    /// const PAYROLL: Scope = Scope::from_static("payroll:read");
    ///
    /// // The guard also trusts the issuer of a partner, which may issue tokens with any scope.
    /// let staff_only = Require::scope(PAYROLL).issuer(["https://login.example"]);
    /// assert_eq!(staff_only.to_string(), r#"scope=payroll:read issuer="https://login.example""#);
    /// ```
    #[must_use]
    pub fn issuer(mut self, issuers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let issuers = without_repeats(issuers.into_iter().map(Into::into));
        self.issuers = intersection(self.issuers, Some(issuers));
        self
    }

    /// Requires that the token was issued to one of these clients, each a pair of issuer and `client_id`
    /// (`client_not_allowed`).
    ///
    /// Both are compared, with the token's own `iss` and `client_id`: each trusted issuer can issue tokens to a client
    /// of any name. So a name alone does not compile. The client is checked before the actor: an agent that has a
    /// client of its own is recorded as `client_not_allowed`.
    ///
    /// ```
    /// use unconfused::Require;
    ///
    /// let web_app = Require::valid_token().client([("https://login.example", "web-app")]);
    /// assert_eq!(web_app.to_string(), r#"client="web-app" of "https://login.example""#);
    /// ```
    #[must_use]
    pub fn client<'p>(mut self, clients: impl IntoIterator<Item = impl Into<Party<'p>>>) -> Self {
        self.clients = intersection(self.clients, Some(owned(clients)));
        self
    }

    /// Requires that the subject calls in person: no one acts for it, the token was issued to one of these clients,
    /// each a pair of issuer and `client_id`, and the subject is a person.
    ///
    /// This is [`undelegated`](Self::undelegated), [`client`](Self::client) and [`person`](Self::person), which belong
    /// together: each of them alone admits some kind of agent. List only clients that people use themselves.
    ///
    /// ```
    /// use unconfused::Require;
    ///
    /// const WEB_APP: (&str, &str) = ("https://login.example", "web-app");
    ///
    /// assert_eq!(
    ///     Require::valid_token().in_person([WEB_APP]),
    ///     Require::valid_token().undelegated().client([WEB_APP]).person(),
    /// );
    /// ```
    #[must_use]
    pub fn in_person<'p>(self, clients: impl IntoIterator<Item = impl Into<Party<'p>>>) -> Self {
        self.undelegated().client(clients).person()
    }

    /// Requires that the subject is a person, as far as the token shows it. See
    /// [`AccessToken::is_person`](crate::AccessToken::is_person).
    #[must_use]
    pub fn person(mut self) -> Self {
        self.person = true;
        self
    }

    /// Requires that the token is bound to its sender by a proof key (DPoP) or a certificate (mutual TLS), and that the
    /// sender showed that it holds it. This is checked before everything else that a requirement asks.
    #[must_use]
    pub fn sender_constrained(mut self) -> Self {
        self.sender_constrained = true;
        self
    }

    /// Requires that the token was not used before, and spends it after everything else has passed. If it is sent
    /// again, it is refused (`token_spent`).
    ///
    /// Ask for it in the last requirement of a request. If the handler still has something to compare, it calls
    /// [`Guard::narrow`](crate::Guard::narrow) with this, and the layer does not ask for it. The guard needs a store,
    /// [`Guard::replay`](crate::Guard::replay). A token that has no id, does not say when
    /// it was issued, or names more than one audience, cannot be spent and is refused.
    #[must_use]
    pub fn single_use(mut self) -> Self {
        self.single_use = true;
        self
    }

    /// Requires that this authorization detail was consented to
    /// ([RFC 9396](https://www.rfc-editor.org/rfc/rfc9396)).
    ///
    /// One entry of the token's `authorization_details` must cover the whole detail, by the definition of its type; see
    /// [`DetailType`](crate::detail::DetailType). Entries are never added up. A detail that is marked
    /// [`approved`](Detail::approved) must also have been approved for this one transaction.
    ///
    /// The guard must know the type ([`Guard::detail_type`](crate::Guard::detail_type)), and the detail must have the
    /// members that it defines. Otherwise a layer panics at set-up, and any other request is answered with 500. A value
    /// that its type does not allow, such as an amount of `1e3`, is the request's: 400 (`policy_input_invalid`).
    ///
    /// ```
    /// use unconfused::Require;
    /// use unconfused::detail::Detail;
    ///
    /// let refund = Detail::of("order_refund").with("order", 7).with("amount", "12.50");
    /// let requirement = Require::detail(refund).single_use();
    /// assert_eq!(requirement.to_string(), r#"detail="order_refund" single_use"#);
    /// ```
    #[must_use]
    pub fn detail(detail: Detail) -> Self {
        Require { details: vec![detail], ..Require::valid_token() }
    }

    /// Requires that the token has an authorization detail of this type, whatever it grants.
    ///
    /// This is a first look, for a layer that does not know the operation yet: let the handler require the
    /// [`detail`](Self::detail) itself. The guard must know the type. The token of an approved transaction has only the
    /// details that were asked for, so beside one that must be [approved](Detail::approved), a detail of this type has
    /// to be stated too: otherwise the requirement is a mistake (500).
    #[must_use]
    pub fn detail_of_type(type_name: impl Into<String>) -> Self {
        Require { detail_types: vec![type_name.into()], ..Require::valid_token() }
    }

    /// Combines two requirements into one that asks for everything that both ask for.
    ///
    /// A token meets the result exactly if it meets both. So an actor of another namespace must be listed in both.
    /// Combining never loosens anything: of two lists their intersection counts, and of two ages the shorter. In a
    /// challenge, the preferences of this requirement come first.
    ///
    /// ```
    /// use std::time::Duration;
    /// use unconfused::{Require, Scope};
    ///
    /// const READ: Scope = Scope::from_static("orders:read");
    /// const REFUND: Scope = Scope::from_static("orders:refund");
    ///
    /// const WEB_APP: (&str, &str) = ("https://login.example", "web-app");
    /// const MOBILE_APP: (&str, &str) = ("https://login.example", "mobile-app");
    ///
    /// let base = Require::scope(READ).client([WEB_APP, MOBILE_APP]);
    /// let refunds = base.and(Require::scope(REFUND).client([WEB_APP]).max_age(Duration::from_secs(300)));
    /// assert_eq!(
    ///     refunds.to_string(),
    ///     r#"scope=orders:read scope=orders:refund max_age=300 client="web-app" of "https://login.example""#
    /// );
    ///
    /// // no client is on both lists, so no token can meet both requirements
    /// let nothing = refunds.and(Require::valid_token().client([MOBILE_APP]));
    /// assert!(nothing.can_never_be_met());
    /// ```
    #[must_use]
    pub fn and(mut self, other: impl Into<Require>) -> Self {
        let other = other.into();
        for group in other.scopes {
            self.add_scopes(group);
        }
        for claim in other.claims {
            self.add_claim(claim);
        }
        Require {
            scopes: self.scopes,
            acr: intersection(self.acr, other.acr),
            max_age: shorter(self.max_age, other.max_age),
            actors: intersection(self.actors, other.actors),
            foreign_actors_allowed: self.foreign_actors_allowed && other.foreign_actors_allowed,
            actor_required: self.actor_required || other.actor_required,
            delegated: self.delegated || other.delegated,
            undelegated: self.undelegated || other.undelegated,
            person: self.person || other.person,
            issuers: intersection(self.issuers, other.issuers),
            clients: intersection(self.clients, other.clients),
            claims: self.claims,
            sender_constrained: self.sender_constrained || other.sender_constrained,
            details: union(self.details, other.details),
            detail_types: union(self.detail_types, other.detail_types),
            single_use: self.single_use || other.single_use,
        }
    }

    /// Adds a group of scopes without repeats, unless there is one with the same scopes.
    pub(super) fn add_scopes(&mut self, group: Vec<Scope>) {
        let is_same = |own: &Vec<Scope>| {
            own.len() == group.len() && group.iter().all(|scope| own.contains(scope))
        };
        if !self.scopes.iter().any(is_same) {
            self.scopes.push(group);
        }
    }

    /// Returns true if no token can meet this, because it contradicts itself or lists nothing to choose from.
    #[must_use]
    pub fn can_never_be_met(&self) -> bool {
        let actor_required = self.actor_required || self.delegated;
        let is_of_listed_issuer = |client: &Party<'_>| self.admits_issuer(client.issuer());
        (actor_required && self.undelegated)
            || self.acr.as_ref().is_some_and(Vec::is_empty)
            || self.issuers.as_ref().is_some_and(Vec::is_empty)
            || self.clients.as_ref().is_some_and(|clients| !clients.iter().any(is_of_listed_issuer))
            || (actor_required && self.actors.as_ref().is_some_and(Vec::is_empty))
            || self.scopes.iter().any(Vec::is_empty)
            || self.claims_exclude_each_other()
    }

    pub(super) fn admits_issuer(&self, name: &str) -> bool {
        self.issuers.as_ref().is_none_or(|issuers| issuers.iter().any(|issuer| issuer == name))
    }

    /// Returns true if this spends the token: see [`single_use`](Self::single_use).
    #[must_use]
    pub fn is_single_use(&self) -> bool {
        self.single_use
    }

    /// Returns true if this asks for a token that is bound to its sender: see
    /// [`sender_constrained`](Self::sender_constrained).
    #[must_use]
    pub fn is_sender_constrained(&self) -> bool {
        self.sender_constrained
    }

    /// Returns true if this asks how or when the subject authenticated: see [`acr`](Self::acr) and
    /// [`max_age`](Self::max_age).
    #[must_use]
    pub fn asks_for_step_up(&self) -> bool {
        self.acr.is_some() || self.max_age.is_some()
    }

    /// Returns the authorization details that this asks for: see [`detail`](Self::detail).
    pub fn details(&self) -> &[Detail] {
        &self.details
    }

    /// Returns the scopes that a challenge names: all that are required, and the first of each choice.
    #[must_use]
    pub fn challenge_scopes(&self) -> Vec<Scope> {
        without_repeats(self.scopes.iter().filter_map(|group| group.first()).cloned())
    }
}

impl From<Scope> for Require {
    fn from(scope: Scope) -> Self {
        Require::scope(scope)
    }
}

/// Requires all of the scopes.
impl<const N: usize> From<[Scope; N]> for Require {
    fn from(scopes: [Scope; N]) -> Self {
        Require::all_scopes(scopes)
    }
}

impl From<&Require> for Require {
    fn from(requirement: &Require) -> Self {
        requirement.clone()
    }
}

/// The parties without repeats, kept beyond the call.
fn owned<'p>(parties: impl IntoIterator<Item = impl Into<Party<'p>>>) -> Vec<Party<'static>> {
    without_repeats(parties.into_iter().map(|party| party.into().into_owned()))
}

/// The shorter of two ages. An age that is absent allows any.
fn shorter(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
