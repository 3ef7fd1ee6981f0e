//! What an operation asks of a token (phases H to J), as data.

mod unmet;

use std::fmt;
use std::time::Duration;

use time::UtcDateTime;

use crate::dates::since;
use crate::names::{Acr, Scope};
use crate::printable::Printable;
use crate::reason::Reason;
use crate::token::{AccessToken, ActorSource, Party};

pub use unmet::Unmet;

/// What an operation asks of a validated token: scopes, how and when the subject authenticated, who may
/// act, through which client.
///
/// A requirement is data: it can be compared, printed, and told to the client in a challenge. A rule
/// that needs the request or the database is code, and belongs to a policy.
///
/// Every requirement asks one thing that is not written: an actor of another namespace than the
/// token's issuer is refused (`actor_untrusted`), unless [`actor`](Self::actor) or
/// [`actor_if_any`](Self::actor_if_any) lists that very pair of issuer and subject.
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
    /// Of each group one.
    scopes: Vec<Vec<Scope>>,
    acr: Option<Vec<Acr>>,
    max_age: Option<Duration>,
    /// Who may act, if anybody does.
    actors: Option<Vec<Party>>,
    /// `actors` speaks for other namespaces too.
    foreign_actors: bool,
    /// Somebody acts.
    acted: bool,
    /// An agent does.
    delegated: bool,
    undelegated: bool,
    person: bool,
    clients: Option<Vec<String>>,
    sender_constrained: bool,
    single_use: bool,
}

impl Require {
    /// A valid token, and nothing more.
    #[must_use]
    pub fn valid_token() -> Self {
        Require {
            scopes: Vec::new(),
            acr: None,
            max_age: None,
            actors: None,
            foreign_actors: false,
            acted: false,
            delegated: false,
            undelegated: false,
            person: false,
            clients: None,
            sender_constrained: false,
            single_use: false,
        }
    }

    /// This scope.
    #[must_use]
    pub fn scope(scope: Scope) -> Self {
        Require { scopes: vec![vec![scope]], ..Require::valid_token() }
    }

    /// All of these scopes; none at all is a requirement that nobody can meet.
    #[must_use]
    pub fn all_scopes(scopes: impl IntoIterator<Item = Scope>) -> Self {
        let mut scopes: Vec<_> =
            without_repeats(scopes).into_iter().map(|scope| vec![scope]).collect();
        if scopes.is_empty() {
            scopes.push(Vec::new());
        }
        Require { scopes, ..Require::valid_token() }
    }

    /// One of these scopes. A challenge names the first.
    #[must_use]
    pub fn any_scope(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Require { scopes: vec![without_repeats(scopes)], ..Require::valid_token() }
    }

    /// The subject authenticated in one of these classes, `acr`; in order of preference, which is the
    /// order in which a challenge names them
    /// ([RFC 9470 section 3](https://www.rfc-editor.org/rfc/rfc9470#section-3)). A token without a user
    /// (`sub` is `client_id`) never meets it, and is not challenged: `subject_ambiguous`.
    #[must_use]
    pub fn acr(mut self, classes: impl IntoIterator<Item = Acr>) -> Self {
        self.acr = common(self.acr, Some(without_repeats(classes)));
        self
    }

    /// The subject authenticated at most so long ago, `auth_time`; leeway is added. In whole seconds in a
    /// challenge ([RFC 9470 section 3](https://www.rfc-editor.org/rfc/rfc9470#section-3)). Of a token without a
    /// user the same holds as for [`acr`](Self::acr).
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = shorter(self.max_age, Some(age));
        self
    }

    /// Somebody acts for the subject, and it is one of these.
    #[must_use]
    pub fn actor(self, actors: impl IntoIterator<Item = impl Into<Party>>) -> Self {
        Require { acted: true, ..self.actor_if_any(actors) }
    }

    /// If somebody acts for the subject, it is one of these.
    #[must_use]
    pub fn actor_if_any(mut self, actors: impl IntoIterator<Item = impl Into<Party>>) -> Self {
        let actors = without_repeats(actors.into_iter().map(Into::into));
        self.actors = common(self.actors, Some(actors));
        self.foreign_actors = true;
        self
    }

    /// An agent acts for the subject: somebody does, and it is no person in the subject's place
    /// ([`ActorSource::Impersonator`]).
    #[must_use]
    pub fn delegated(mut self) -> Self {
        self.delegated = true;
        self
    }

    /// Nobody acts for the subject; an `act` that names the subject alone is nobody. An agent that
    /// logged its user in and is only the client of the token shows as nobody too, unless the issuer's
    /// [`agent_clients`](crate::Issuer::agent_clients) name it: list the clients as well. So does an agent that
    /// speaks for itself: add [`person`](Self::person).
    #[must_use]
    pub fn undelegated(mut self) -> Self {
        self.undelegated = true;
        self
    }

    /// The token was issued to one of these clients, `client_id`. Every trusted issuer can issue tokens
    /// to a client of any name. Checked before the actor: of an agent with a client of its own,
    /// `client_not_allowed` is what the record says.
    #[must_use]
    pub fn client(mut self, clients: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let clients = without_repeats(clients.into_iter().map(Into::into));
        self.clients = common(self.clients, Some(clients));
        self
    }

    /// The subject is a person, as far as the token shows it: `sub` is not the client itself. See
    /// [`AccessToken::is_person`].
    #[must_use]
    pub fn person(mut self) -> Self {
        self.person = true;
        self
    }

    /// The token is bound to its sender by a proof key (DPoP) or a certificate (mutual TLS), and the sender showed
    /// that it is theirs. Checked before all else that a requirement asks.
    #[must_use]
    pub fn sender_constrained(mut self) -> Self {
        self.sender_constrained = true;
        self
    }

    /// The token counts once: it is spent by this, as the last thing of all, and refused when it comes again
    /// (`token_spent`). For the last requirement that is asked of a request: where the handler still compares
    /// something, it narrows with this, and the layer does not ask it. Needs a store that remembers,
    /// [`Guard::replay`](crate::Guard::replay). A token without an id, or that is meant for more than one audience,
    /// cannot be spent, and is refused.
    #[must_use]
    pub fn single_use(mut self) -> Self {
        self.single_use = true;
        self
    }

    /// Both: what this asks, and what `other` asks. A token meets the result exactly where it meets
    /// each of them: so an actor of another namespace must be listed in both. In a challenge, this
    /// requirement's preference goes first.
    #[must_use]
    pub fn and(mut self, other: impl Into<Require>) -> Self {
        let other = other.into();
        for group in other.scopes {
            let same = |have: &Vec<Scope>| {
                have.len() == group.len() && group.iter().all(|scope| have.contains(scope))
            };
            if !self.scopes.iter().any(same) {
                self.scopes.push(group);
            }
        }
        Require {
            scopes: self.scopes,
            acr: common(self.acr, other.acr),
            max_age: shorter(self.max_age, other.max_age),
            actors: common(self.actors, other.actors),
            foreign_actors: self.foreign_actors && other.foreign_actors,
            acted: self.acted || other.acted,
            delegated: self.delegated || other.delegated,
            undelegated: self.undelegated || other.undelegated,
            person: self.person || other.person,
            clients: common(self.clients, other.clients),
            sender_constrained: self.sender_constrained || other.sender_constrained,
            single_use: self.single_use || other.single_use,
        }
    }

    /// Checks a token against this, at `now`.
    ///
    /// **Not** checked: that the token is still valid at `now`, validation was that; and whether it was spent,
    /// which takes a store.
    ///
    /// # Errors
    ///
    /// [`Unmet`]: the first that fails of client, person and actor, alone; else all that is lacking of
    /// authentication and scopes, for one challenge.
    pub fn check(&self, token: &AccessToken, now: UtcDateTime) -> Result<(), Unmet> {
        if let Err(reason) = self.check_parties(token) {
            return Err(Unmet::of(vec![reason]));
        }
        let lacks = self.authentication_lacks(token, now);
        let allowed = self.scopes.iter().all(|group| group.iter().any(|scope| token.allows(scope)));
        if allowed && lacks == [None, None] {
            return Ok(());
        }
        let mut reasons = without_repeats(lacks.into_iter().flatten());
        reasons.sort_unstable();
        let mut unmet = Unmet::of(reasons);
        if !unmet.reasons.is_empty() {
            unmet.acr_values = self.acr.clone().unwrap_or_default();
            unmet.max_age = self.max_age;
        }
        if !allowed {
            unmet.reasons.push(Reason::InsufficientScope);
            unmet.scopes = self.challenge_scopes();
        }
        Err(unmet)
    }

    /// Phase H: what no other login and no more scope can change.
    fn check_parties(&self, token: &AccessToken) -> Result<(), Reason> {
        if self.is_unmeetable() {
            return Err(Reason::PolicyDenied);
        }
        // 32
        if self.sender_constrained && !token.is_sender_constrained() {
            return Err(Reason::SenderConstraintRequired);
        }
        // 57
        let listed = |client: &String| token.client_id() == Some(client);
        if self.clients.as_ref().is_some_and(|clients| !clients.iter().any(listed)) {
            return Err(Reason::ClientNotAllowed);
        }
        // 59: a client that speaks for itself has no login, whatever its token says of one.
        if !token.is_person() && (self.person || self.asks_for_step_up()) {
            return Err(Reason::SubjectAmbiguous);
        }
        // 63
        if token.lacks_act() {
            return Err(Reason::ActorRequired);
        }
        let Some(actor) = token.actor() else {
            let required = self.acted || self.delegated;
            return if required { Err(Reason::ActorRequired) } else { Ok(()) };
        };
        // 63: somebody in the subject's place is no agent.
        if self.delegated && actor.source() == ActorSource::Impersonator {
            return Err(Reason::ActorRequired);
        }
        // 64
        let listed = self.actors.as_ref().map(|listed| listed.iter().any(|party| actor.is(party)));
        let foreign = actor.issuer() != token.issuer();
        if foreign && !(self.foreign_actors && listed == Some(true)) {
            return Err(Reason::ActorUntrusted);
        }
        // 65
        if self.undelegated || listed == Some(false) {
            return Err(Reason::ActorUnauthorized);
        }
        Ok(())
    }

    /// Phase I, of class and age: RFC 9470 section 6. What the token does not say is not met.
    fn authentication_lacks(&self, token: &AccessToken, now: UtcDateTime) -> [Option<Reason>; 2] {
        let class = self.acr.as_ref().and_then(|classes| match token.acr() {
            None => Some(Reason::AuthenticationContextMissing),
            Some(class) if classes.iter().any(|c| c.as_str() == class) => None,
            Some(_) => Some(Reason::AuthenticationLevelInsufficient),
        });
        let age = self.max_age.and_then(|age| match token.auth_time() {
            None => Some(Reason::AuthenticationContextMissing),
            Some(at) if since(now, at) > token.leeway() => Some(Reason::AuthenticationTooOld),
            Some(at) if since(at, now) > age.saturating_add(token.leeway()) => {
                Some(Reason::AuthenticationTooOld)
            }
            Some(_) => None,
        });
        [class, age]
    }

    /// True where no token can meet this: a contradiction, or a choice among nothing.
    #[must_use]
    pub fn is_unmeetable(&self) -> bool {
        let acted = self.acted || self.delegated;
        (acted && self.undelegated)
            || self.acr.as_ref().is_some_and(Vec::is_empty)
            || self.clients.as_ref().is_some_and(Vec::is_empty)
            || (acted && self.actors.as_ref().is_some_and(Vec::is_empty))
            || self.scopes.iter().any(Vec::is_empty)
    }

    /// True where this spends the token.
    #[must_use]
    pub fn is_single_use(&self) -> bool {
        self.single_use
    }

    /// True where this asks for a token that is bound to its sender.
    #[must_use]
    pub fn is_sender_constrained(&self) -> bool {
        self.sender_constrained
    }

    /// True where this asks how or when the subject authenticated.
    #[must_use]
    pub fn asks_for_step_up(&self) -> bool {
        self.acr.is_some() || self.max_age.is_some()
    }

    /// The scopes that a challenge names: of each group the first.
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

/// All of the scopes.
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

impl fmt::Display for Require {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        for group in &self.scopes {
            parts.push(format!("scope={}", join(group, "|")));
        }
        parts.extend(self.acr.as_ref().map(|classes| format!("acr={}", join(classes, "|"))));
        parts.extend(self.max_age.map(|age| format!("max_age={}", age.as_secs())));
        if let Some(actors) = &self.actors {
            let actors: Vec<_> = actors.iter().map(|actor| format!("{actor:?}")).collect();
            let name = if self.acted { "actor" } else { "actor_if_any" };
            // By `and` with a requirement that lists nobody.
            let own = if self.foreign_actors { "" } else { " actor_namespace=own" };
            parts.push(format!("{name}={}{own}", actors.join("|")));
        } else if self.acted {
            parts.push("actor".to_owned());
        }
        parts.extend(self.delegated.then(|| "delegated".to_owned()));
        parts.extend(self.undelegated.then(|| "undelegated".to_owned()));
        parts.extend(self.clients.as_ref().map(|clients| {
            let clients: Vec<_> =
                clients.iter().map(|client| format!("{:?}", Printable::from(&**client))).collect();
            format!("client={}", clients.join("|"))
        }));
        parts.extend(self.person.then(|| "person".to_owned()));
        parts.extend(self.single_use.then(|| "single_use".to_owned()));
        parts.extend(self.sender_constrained.then(|| "sender_constrained".to_owned()));
        if parts.is_empty() {
            return f.write_str("valid_token");
        }
        f.write_str(&parts.join(" "))
    }
}

fn join<T: ToString>(items: &[T], between: &str) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(between)
}

fn without_repeats<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut kept = Vec::new();
    for item in items {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept
}

/// What both lists allow; a list that is not there allows everything.
fn common<T: PartialEq>(one: Option<Vec<T>>, other: Option<Vec<T>>) -> Option<Vec<T>> {
    match (one, other) {
        (Some(mut one), Some(other)) => {
            one.retain(|item| other.contains(item));
            Some(one)
        }
        (one, other) => one.or(other),
    }
}

fn shorter(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
