//! Who asks for an approval, and must come back with it.

use std::fmt;

use crate::token::{AccessToken, Party};

/// Who asks for an approval, as the token that comes back will name them.
///
/// An approval counts only for its requester: the actor, always; the proof key or the certificate, if the first token
/// was bound to one; the subject and the client, if the server is the issuer of the first token. For another server, say
/// with [`Approvals::requester`](super::Approvals::requester) how it names them.
#[derive(Clone, PartialEq, Eq)]
#[must_use = "a requester does nothing by itself"]
pub struct Requester {
    pub(super) actor: Option<Party<'static>>,
    pub(super) proof_key: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) account: Option<Account>,
}

/// A subject and its client, in the namespace of the server.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) subject: String,
    pub(super) client: Option<String>,
}

/// Which parts of a requester a transaction is bound to, beside the actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound(pub(super) u8);

impl Bound {
    const ACCOUNT: u8 = 1;
    const PROOF_KEY: u8 = 2;
    const CERTIFICATE: u8 = 4;

    fn has(self, part: u8) -> bool {
        self.0 & part != 0
    }
}

impl Requester {
    /// Creates a requester whose tokens name this actor, or none.
    pub fn new(actor: Option<Party<'_>>) -> Self {
        let actor = actor.map(Party::into_owned);
        Requester { actor, proof_key: None, certificate: None, account: None }
    }

    /// Creates the requester of a token, as its own issuer names them.
    pub fn of(token: &AccessToken) -> Self {
        let actor = token.actor().map(|actor| Party::new(actor.issuer(), actor.name()));
        let subject = token.subject_name().to_owned();
        let client = token.client_id().map(str::to_owned);
        Requester::new(actor).bound_like(token).with_account(subject, client)
    }

    /// Also binds the approval to a subject and a client, by the names that the server gives them.
    pub fn subject_and_client(self, subject: impl Into<String>, client: impl Into<String>) -> Self {
        self.with_account(subject.into(), Some(client.into()))
    }

    fn with_account(mut self, subject: String, client: Option<String>) -> Self {
        self.account = Some(Account { subject, client });
        self
    }

    /// Adds the proof key and the certificate that a token is bound to.
    pub(super) fn bound_like(mut self, token: &AccessToken) -> Self {
        self.proof_key = token.proof().map(|proof| proof.key().to_owned());
        self.certificate = token.certificate_thumbprint().map(str::to_owned);
        self
    }

    /// The parts that there are.
    pub(super) fn bound(&self) -> Bound {
        let part = |is_there: bool, part: u8| if is_there { part } else { 0 };
        Bound(
            part(self.account.is_some(), Bound::ACCOUNT)
                | part(self.proof_key.is_some(), Bound::PROOF_KEY)
                | part(self.certificate.is_some(), Bound::CERTIFICATE),
        )
    }

    /// The requester of a token, with only the parts that a transaction is bound to.
    pub(super) fn of_returned(token: &AccessToken, bound: Bound) -> Self {
        let Requester { actor, proof_key, certificate, account } = Requester::of(token);
        Requester {
            actor,
            proof_key: proof_key.filter(|_| bound.has(Bound::PROOF_KEY)),
            certificate: certificate.filter(|_| bound.has(Bound::CERTIFICATE)),
            account: account.filter(|_| bound.has(Bound::ACCOUNT)),
        }
    }
}

impl fmt::Debug for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requester").field("actor", &self.actor).finish_non_exhaustive()
    }
}
