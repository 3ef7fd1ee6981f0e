//! Which authorization server gets a transaction approved.

use std::fmt;
use std::sync::Arc;

use crate::detail::Detail;
use crate::token::AccessToken;

/// The authorization server that gets transactions approved, as its issuer name. The owner chooses it, never the client.
///
/// It is made from a name, or by a rule. The guard must trust the server, since the token that comes back is the
/// server's.
///
/// ```
/// use unconfused::approvals::TransactionServer;
///
/// // One server for everything.
/// let fixed: TransactionServer = "https://approve.example".into();
///
/// // Large payments are approved elsewhere.
/// let by_rule = TransactionServer::choose(|token, details| {
///     match details.iter().any(|detail| detail.type_name() == "payment") {
///         true => "https://approve.example".to_owned(),
///         false => token.issuer().to_owned(),
///     }
/// });
/// # let _ = (fixed, by_rule);
/// ```
#[derive(Clone)]
pub struct TransactionServer(Choice);

#[derive(Clone)]
enum Choice {
    Named(Arc<str>),
    IssuerOfToken,
    Rule(Arc<Rule>),
}

type Rule = dyn Fn(&AccessToken, &[Detail]) -> String + Send + Sync;

impl TransactionServer {
    /// The server is the issuer of the token for which the approval is asked.
    #[must_use]
    pub fn issuer_of_token() -> Self {
        TransactionServer(Choice::IssuerOfToken)
    }

    /// The server is chosen by a rule, which sees the validated token and the details in canonical form.
    #[must_use]
    pub fn choose(
        rule: impl Fn(&AccessToken, &[Detail]) -> String + Send + Sync + 'static,
    ) -> Self {
        TransactionServer(Choice::Rule(Arc::new(rule)))
    }

    /// The name, if it is the same for every token.
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.0 {
            Choice::Named(name) => Some(name),
            Choice::IssuerOfToken | Choice::Rule(_) => None,
        }
    }

    /// True if it is the issuer of the token by definition.
    pub(crate) fn is_issuer_of_token(&self) -> bool {
        matches!(self.0, Choice::IssuerOfToken)
    }

    pub(super) fn of(&self, token: &AccessToken, details: &[Detail]) -> String {
        match &self.0 {
            Choice::Named(name) => (**name).to_owned(),
            Choice::IssuerOfToken => token.issuer().to_owned(),
            Choice::Rule(rule) => rule(token, details),
        }
    }

    /// True if tokens of this issuer may be tokens of a transaction. With a rule, any issuer may be the server.
    pub(super) fn may_be(&self, issuer: &str) -> bool {
        self.name().is_none_or(|name| name == issuer)
    }
}

impl From<&str> for TransactionServer {
    fn from(name: &str) -> Self {
        TransactionServer(Choice::Named(name.into()))
    }
}

impl From<String> for TransactionServer {
    fn from(name: String) -> Self {
        TransactionServer(Choice::Named(name.into()))
    }
}

impl fmt::Debug for TransactionServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Choice::Named(name) => write!(f, "TransactionServer({name:?})"),
            Choice::IssuerOfToken => f.write_str("TransactionServer(issuer of the token)"),
            Choice::Rule(_) => f.write_str("TransactionServer(by a rule)"),
        }
    }
}
