//! The settings of approvals.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::reason_text::ReasonText;
use super::requester::Requester;
use super::server::TransactionServer;
use super::txn::TransactionKey;
use crate::config_error::ConfigError;
use crate::jose::{Algorithm, PublishedKey, SigningKey};
use crate::token::AccessToken;

/// How this resource asks for approvals, and recognizes them.
///
/// Give it to a guard with [`Guard::approvals`](crate::Guard::approvals). It needs
///
/// - a key that signs challenges. The server fetches its public half from the route of
///   [`Guard::challenge_keys`](crate::Guard::challenge_keys);
/// - a secret key that makes transactions, the same at every replica;
/// - the authorization server that gets transactions approved.
///
/// A challenge can be handed in for 5 minutes, the human has [1 hour](Self::time_to_approve), and the token lives for 10
/// minutes: so long a transaction counts, whatever the token says.
///
/// ```
/// use unconfused::approvals::{Approvals, SigningKey};
///
/// # // The key pair of RFC 8037 appendix A.1.
/// # let private_jwk = r#"{"kty":"OKP","crv":"Ed25519","kid":"2026-11",
/// #   "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
/// #   "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
/// # let secret = [1; 32];
/// let approvals = Approvals::new(SigningKey::from_jwk(private_jwk)?, secret, "https://login.example")
///     .reason("order_refund", "Refund {amount} to the customer of order {order}");
/// # let _ = approvals;
/// # Ok::<(), unconfused::error::ConfigError>(())
/// ```
#[derive(Clone)]
#[must_use = "a guard asks for approvals only if it has these settings"]
pub struct Approvals {
    pub(super) signing_key: Arc<SigningKey>,
    published: Vec<PublishedKey>,
    pub(super) transaction_key: TransactionKey,
    pub(crate) server: TransactionServer,
    pub(super) name_requester: Option<Arc<NameRequester>>,
    time_to_approve: Duration,
    pub(super) reasons: BTreeMap<String, ReasonText>,
    stamping: Vec<String>,
    knows_client: Option<Arc<KnowsClient>>,
    pub(crate) jwks_uri: Option<String>,
}

/// How another server names the requester of a token.
type NameRequester = dyn Fn(&AccessToken, &str) -> Option<Requester> + Send + Sync;
/// Whether the client of a token is known to understand challenges.
type KnowsClient = dyn Fn(&AccessToken) -> bool + Send + Sync;

impl Approvals {
    /// How long a challenge may be handed in.
    pub(super) const TIME_TO_SUBMIT: Duration = Duration::from_secs(5 * 60);
    /// How long the token of a transaction may live.
    const TOKEN_LIFETIME: Duration = Duration::from_secs(10 * 60);
    const MAX_TIME_TO_APPROVE: Duration = Duration::from_secs(24 * 60 * 60);

    /// Makes the settings: challenges are signed with `signing_key`, transactions are made with `transaction_key`, and
    /// `server` gets them approved.
    ///
    /// # Panics
    ///
    /// Panics if the signing key is neither for ES256 nor for Ed25519, which only a generated one can be.
    pub fn new(
        signing_key: SigningKey,
        transaction_key: impl Into<TransactionKey>,
        server: impl Into<TransactionServer>,
    ) -> Self {
        assert!(
            matches!(signing_key.algorithm(), Algorithm::Es256 | Algorithm::Ed25519),
            "challenges are signed with ES256 or Ed25519"
        );
        Approvals {
            published: vec![signing_key.published()],
            signing_key: Arc::new(signing_key),
            transaction_key: transaction_key.into(),
            server: server.into(),
            name_requester: None,
            time_to_approve: Duration::from_secs(60 * 60),
            reasons: BTreeMap::new(),
            stamping: Vec::new(),
            knows_client: None,
            jwks_uri: None,
        }
    }

    /// Publishes another key, which does not sign here: the next one, or the one before.
    ///
    /// `jwk` is a public JWK with a `kid`, such as [`SigningKey::public_jwk`] returns. To change the key,
    ///
    /// 1. publish the next one, under a new `kid`, beside the one that signs;
    /// 2. when servers have fetched it, which may take 15 minutes, sign with it and publish the old one beside it;
    /// 3. withdraw the old one 20 minutes later, when its last challenges are over.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if it is not a public key for ES256 or Ed25519 with a `kid`, or if a key with this `kid`
    /// is published already.
    pub fn also_publish(mut self, jwk: &str) -> Result<Self, ConfigError> {
        let key = PublishedKey::parse(jwk)?;
        if self.published.iter().any(|published| published.kid == key.kid) {
            let problem = "another key with this `kid` is published";
            return Err(ConfigError::new(&key.kid, "the `kid` of a further key", problem));
        }
        self.published.push(key);
        Ok(self)
    }

    /// Sets how long the human may take to approve. Defaults to 1 hour, and is at most 24 hours.
    ///
    /// # Panics
    ///
    /// Panics if it exceeds 24 hours.
    pub fn time_to_approve(mut self, time: Duration) -> Self {
        assert!(
            time <= Self::MAX_TIME_TO_APPROVE,
            "a human has at most 24 hours to approve a transaction"
        );
        self.time_to_approve = time;
        self
    }

    /// Sets the text that the human is shown for details of this type.
    ///
    /// It is your text, and values of the detail's members in braces: `{amount}`, or `{instructedAmount.amount}` in a
    /// nested object. A set is shown with commas, and a decimal in its shortest form: `80` for `80.00`. Values are
    /// escaped, and isolated if they have letters that are written from right to left. The text contains nothing else that
    /// came with the request. Put values that the client may choose freely between straight quotes (`"`): a value cannot
    /// end these, since its own are escaped. Name every member that changes what the operation does. Without a text, the
    /// type and all members are listed, between quotes.
    ///
    /// A member that the detail does not have, and a value of more than 256 characters, are answered with 500.
    ///
    /// # Panics
    ///
    /// Panics if the text is blank, or if a brace has no counterpart.
    #[expect(clippy::panic, reason = "a mistake in a text that is a constant of the program")]
    pub fn reason(mut self, type_name: impl Into<String>, template: &str) -> Self {
        let Some(text) = ReasonText::parse(template) else {
            panic!("the reason is blank, or one of its braces has no counterpart: {template}")
        };
        self.reasons.insert(type_name.into(), text);
        self
    }

    /// Sets how a server names the requester of a token of another issuer.
    ///
    /// The rule is called with the validated token and the name of the server, and returns the [`Requester`] as the
    /// token that comes back will name them. If it returns `None`, the request cannot be approved and is refused (403).
    ///
    /// It is needed if the guard trusts an issuer that is not the server. The proof key or the certificate of the token
    /// are always added.
    ///
    /// ```
    /// use unconfused::Party;
    /// use unconfused::approvals::{Approvals, Requester, SigningKey};
    ///
    /// # fn approvals(key: SigningKey, secret: [u8; 32]) -> Approvals {
    /// Approvals::new(key, secret, "https://approve.example").requester(|token, server| {
    ///     // This server names agents as their own issuer does, and alice of the issuer is one of its own users.
    ///     let actor = token.actor().map(|actor| Party::new(actor.issuer(), actor.name()));
    ///     Some(Requester::new(actor).subject_and_client(token.subject().name(), token.client_id()?))
    /// })
    /// # }
    /// ```
    pub fn requester(
        mut self,
        rule: impl Fn(&AccessToken, &str) -> Option<Requester> + Send + Sync + 'static,
    ) -> Self {
        self.name_requester = Some(Arc::new(rule));
        self
    }

    /// Declares that this issuer writes a `txn` into all its tokens.
    ///
    /// Its tokens are then ordinary ones, unless their `txn` has the form of those that this crate makes. By default, any
    /// token of a transaction server that has a `txn` is a token of a transaction, and is refused for anything else.
    pub fn issuer_stamps_txn(mut self, issuer: impl Into<String>) -> Self {
        self.stamping.push(issuer.into());
        self
    }

    /// Sets which clients are known to understand challenges, without the field `Accept-Txn-Challenge`.
    ///
    /// By default, only a request that has this field with the value `?1` is answered with a challenge.
    pub fn knows_client(
        mut self,
        rule: impl Fn(&AccessToken) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.knows_client = Some(Arc::new(rule));
        self
    }

    /// Sets the URL at which the keys of [`jwks`](Self::jwks) are published, for the metadata.
    ///
    /// Defaults to `txn-challenge-jwks` below the URL of the resource, which the route of
    /// [`Guard::challenge_keys`](crate::Guard::challenge_keys) serves.
    pub fn jwks_uri(mut self, url: impl Into<String>) -> Self {
        self.jwks_uri = Some(url.into());
        self
    }

    /// Returns the published keys as a JWK Set, the one that signs first.
    #[must_use]
    pub fn jwks(&self) -> String {
        let keys: Vec<_> = self.published.iter().map(|key| key.json.as_str()).collect();
        format!("{{\"keys\":[{}]}}", keys.join(","))
    }

    /// The algorithms of the published keys, for the metadata.
    pub(crate) fn algorithms(&self) -> Vec<Algorithm> {
        let mut algorithms: Vec<_> = self.published.iter().map(|key| key.algorithm).collect();
        algorithms.sort_unstable_by_key(|algorithm| algorithm.as_str());
        algorithms.dedup();
        algorithms
    }

    /// For how long a transaction counts.
    pub(super) fn counts_for(&self) -> Duration {
        let to_approve = Self::TIME_TO_SUBMIT.saturating_add(self.time_to_approve);
        to_approve.saturating_add(Self::TOKEN_LIFETIME)
    }

    /// True if this issuer writes a `txn` into all its tokens.
    pub(super) fn is_stamping(&self, issuer: &str) -> bool {
        self.stamping.iter().any(|stamping| stamping == issuer)
    }

    /// True if the client of this token is known to understand challenges.
    pub(crate) fn is_known_client(&self, token: &AccessToken) -> bool {
        self.knows_client.as_ref().is_some_and(|knows| knows(token))
    }

    /// True if a requester of another issuer has a name at the server.
    pub(crate) fn names_requesters(&self) -> bool {
        self.name_requester.is_some()
    }
}

impl fmt::Debug for Approvals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approvals").field("server", &self.server).finish_non_exhaustive()
    }
}
