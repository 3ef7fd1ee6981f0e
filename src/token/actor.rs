//! Who acts for whom (RFC 8693 section 4).

use std::borrow::Cow;
use std::fmt;

use crate::printable::Printable;

/// A subject, an actor or a client: a name, and the issuer in whose namespace it is one.
///
/// Both are compared: `alice` of one issuer is not `alice` of another. A party cannot be compared with a string, and
/// cannot be looked up by one.
///
/// A `Party` borrows its two texts, or owns them: make one of `&str` or of `String`s. [`AccessToken::subject`] returns
/// one that borrows from the token and allocates nothing; [`into_owned`](Self::into_owned) makes a `Party<'static>` of
/// it, to be stored. `Ord` compares the issuer first.
///
/// `Display` and `Debug` write both parts for a reader: escaped, each cut after [256 characters](Printable::LIMIT), and
/// always in quotes, so that the text is never mistaken for a bare name. They are not for storage or comparison: store
/// [`issuer`](Self::issuer) and [`name`](Self::name), in two columns.
///
/// ```
/// use unconfused::Party;
///
/// let agent = Party::new("https://login.example", "agent-7");
/// assert_ne!(agent, Party::from(("https://other.example", "agent-7")));
/// assert_eq!(agent.name(), "agent-7");
/// assert_eq!(agent.to_string(), r#""agent-7" of "https://login.example""#);
/// ```
///
/// A name alone is not a party:
///
/// ```compile_fail,E0308
/// # use unconfused::Party;
/// # let agent = Party::new("https://login.example", "agent-7");
/// assert!(agent == "agent-7");
/// ```
///
/// [`AccessToken::subject`]: crate::AccessToken::subject
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Party<'a> {
    issuer: Cow<'a, str>,
    name: Cow<'a, str>,
}

impl<'a> Party<'a> {
    /// Creates the party that `issuer` calls `name`. It borrows a `&str` and owns a `String`.
    #[must_use]
    pub fn new(issuer: impl Into<Cow<'a, str>>, name: impl Into<Cow<'a, str>>) -> Self {
        Party { issuer: issuer.into(), name: name.into() }
    }

    /// Returns the issuer in whose namespace the name is one.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Returns the bare name, to be shown or stored **beside** its issuer.
    ///
    /// Another issuer may give the same name to another party, so do not decide by it: compare parties.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Copies what is borrowed, so that the party can be stored.
    #[must_use]
    pub fn into_owned(self) -> Party<'static> {
        Party {
            issuer: Cow::Owned(self.issuer.into_owned()),
            name: Cow::Owned(self.name.into_owned()),
        }
    }
}

impl<'a, I: Into<Cow<'a, str>>, N: Into<Cow<'a, str>>> From<(I, N)> for Party<'a> {
    fn from((issuer, name): (I, N)) -> Self {
        Party::new(issuer, name)
    }
}

impl<'a> From<&'a Party<'_>> for Party<'a> {
    fn from(party: &'a Party<'_>) -> Self {
        Party::new(party.issuer(), party.name())
    }
}

impl fmt::Display for Party<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pair(f, &self.issuer, &self.name)
    }
}

impl fmt::Debug for Party<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pair(f, &self.issuer, &self.name)
    }
}

fn write_pair(f: &mut fmt::Formatter<'_>, issuer: &str, name: &str) -> fmt::Result {
    write!(f, "{:?} of {:?}", Printable::from(name), Printable::from(issuer))
}

/// Where an [`Actor`] was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ActorSource {
    /// The claim `act` names it.
    Act,
    /// `act` names no actor, and the client is one of the issuer's
    /// [`agent_clients`](crate::Issuer::agent_clients).
    Client,
    /// `act` names no actor, and by the issuer's [`Profile`](crate::profile::Profile) the client is an agent.
    Profile,
    /// The claim `act` names it, and by the issuer's [`Profile`](crate::profile::Profile) it is a person who took the
    /// subject's place, not an agent.
    Impersonator,
}

impl ActorSource {
    /// Returns its name in the record: `act`, `client`, `profile` or `impersonator`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ActorSource::Act => "act",
            ActorSource::Client => "client",
            ActorSource::Profile => "profile",
            ActorSource::Impersonator => "impersonator",
        }
    }
}

/// Who acts, or acted, for the subject.
///
/// [`AccessToken::actor`](crate::AccessToken::actor) returns the one who acts now. Those that
/// [`AccessToken::prior_actors`](crate::AccessToken::prior_actors) returns are for the record only.
///
/// Two actors, or an actor and a [`Party`], are equal if issuer and name are; where an actor was found does not count.
/// `Display` and `Debug` write the pair as those of `Party` do.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use unconfused::{Grant, Party};
///
/// fn is_support_agent(grant: &Grant) -> bool {
///     grant.actor().is_some_and(|actor| actor == Party::new("https://login.example", "support-agent"))
/// }
/// # use unconfused::{Audience, Require, testing::TestIssuer};
/// # let login = TestIssuer::new("https://login.example");
/// # let token = |actor| login.token(&Audience::from_static("https://orders.example")).actor(actor);
/// # assert!(is_support_agent(&login.grant(token("support-agent"), Require::valid_token())));
/// # assert!(!is_support_agent(&login.grant(token("agent-7"), Require::valid_token())));
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Actor<'a> {
    pub(super) issuer: &'a str,
    pub(super) name: &'a str,
    pub(super) source: ActorSource,
}

impl<'a> Actor<'a> {
    /// Returns the issuer in whose namespace the actor's name is one: `act.iss`, or the token's issuer if that is
    /// absent.
    #[must_use]
    pub fn issuer(&self) -> &'a str {
        self.issuer
    }

    /// Returns the actor's bare name, to be shown or stored **beside** its issuer: `act.sub`, or the client's if the
    /// client is the actor.
    ///
    /// Another issuer may give the same name to another party, so do not decide by it: compare with a [`Party`].
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Returns where the actor was found.
    #[must_use]
    pub fn source(&self) -> ActorSource {
        self.source
    }
}

impl PartialEq for Actor<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.name == other.name
    }
}

impl Eq for Actor<'_> {}

impl PartialEq<Party<'_>> for Actor<'_> {
    fn eq(&self, party: &Party<'_>) -> bool {
        self.issuer == party.issuer && self.name == party.name
    }
}

impl PartialEq<Actor<'_>> for Party<'_> {
    fn eq(&self, actor: &Actor<'_>) -> bool {
        actor == self
    }
}

impl fmt::Display for Actor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pair(f, self.issuer, self.name)
    }
}

impl fmt::Debug for Actor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pair(f, self.issuer, self.name)
    }
}

/// Who may become the subject's actor, by `may_act`
/// ([RFC 8693 section 4.4](https://www.rfc-editor.org/rfc/rfc8693#section-4.4)).
///
/// This is for a service that exchanges tokens. It is **not** evidence that anyone acts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MayAct<'a> {
    pub(super) issuer: &'a str,
    pub(super) name: &'a str,
}

impl MayAct<'_> {
    /// Returns true if `actor` is the party that may act, by issuer and name.
    #[must_use]
    pub fn authorizes(&self, actor: &Party<'_>) -> bool {
        self.issuer == actor.issuer && self.name == actor.name
    }
}

impl fmt::Debug for MayAct<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pair(f, self.issuer, self.name)
    }
}
