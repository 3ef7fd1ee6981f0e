//! A transaction: asked for with a signed challenge, and recognized in the token that comes back.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};
use time::UtcDateTime;

use super::problem::ApprovalProblem;
use super::reason_text::ReasonText;
use super::requester::Requester;
use super::settings::Approvals;
use super::txn::{Bindings, Txn};
use crate::challenge::TransactionChallenge;
use crate::dates::{MAX_CLOCK_AHEAD, earlier, later};
use crate::detail::{Detail, DetailTypes};
use crate::jose::{encode, random_bytes};
use crate::json::string;
use crate::names::Audience;
use crate::replay::ReplayEntry;
use crate::token::{AccessToken, TokenLimits};

/// A transaction that was recognized: the token was issued for exactly these details, this resource and this requester,
/// after this resource had asked for it.
///
/// [`Approvals::recognize`] makes it. Whether it was used **before** is not checked yet: insert its
/// [`entry`](Self::entry) into a [`ReplayStore`](crate::replay::ReplayStore). A guard does this itself.
#[derive(Clone, PartialEq, Eq)]
#[must_use = "whether the transaction was used before is not checked yet: insert its `entry`"]
pub struct Transaction {
    txn: String,
    resource: Audience,
    made_at: UtcDateTime,
    until: UtcDateTime,
}

/// The claims of a challenge (draft-rosomakho-oauth-txn-challenge).
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
    txn: &'a str,
    authorization_details: Vec<&'a Detail>,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Act<'a>>,
}

#[derive(Serialize)]
struct Act<'a> {
    iss: &'a str,
    sub: &'a str,
}

/// Details in canonical form, sorted and without repeats.
struct Operation(BTreeMap<String, Detail>);

impl Operation {
    fn new(details: &[Detail], types: &DetailTypes) -> Result<Self, ApprovalProblem> {
        let canonical = |detail| types.canonical(detail).map(|detail| (detail.to_json(), detail));
        let details: BTreeMap<_, _> = details.iter().map(canonical).collect::<Result<_, _>>()?;
        match details.is_empty() {
            true => Err(ApprovalProblem::internal("the requirement has no detail to be approved")),
            false => Ok(Operation(details)),
        }
    }
}

impl Approvals {
    /// The largest challenge, in bytes. Common proxies allow 4 KB for all fields of an answer.
    pub const MAX_CHALLENGE_BYTES: usize = 3072;

    /// Makes the signed challenge that asks for the approval of these details, for the requester of `token`.
    ///
    /// `resource` is this resource as the token that comes back must name it. The details are asked for in canonical
    /// form. Nothing is stored.
    ///
    /// Make it only for a token that meets everything else that the operation requires.
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use time::UtcDateTime;
    /// use unconfused::approvals::{Approvals, SigningKey};
    /// use unconfused::detail::{Detail, DetailType};
    /// use unconfused::keys::Algorithm;
    /// use unconfused::token::{UnverifiedToken, Validation};
    /// use unconfused::{Audience, Reason};
    /// # use unconfused::testing::TestIssuer;
    /// # let login = TestIssuer::new("https://login.example");
    /// # let now = UtcDateTime::now();
    /// # let raw = login.token(&ORDERS).sign();
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    ///
    /// # let signing_key = SigningKey::generate(Algorithm::Es256, "2026-11");
    /// let approvals = Approvals::new(signing_key, [1; 32], "https://login.example");
    /// let validation = Validation::new(ORDERS, "https://login.example")
    ///     .detail_type(DetailType::new("order_refund").exact("order").at_most("amount"));
    /// let validate = |raw: &str| UnverifiedToken::parse(raw)?.validate(&validation, &login.keys(), now);
    ///
    /// // The first token is answered with a challenge.
    /// let refund = [Detail::of("order_refund").with("order", 7).with("amount", "12.50")];
    /// let challenge = approvals.challenge(&ORDERS, &refund, &validate(&raw)?, now)?;
    ///
    /// // The token that comes back has the `txn` of the challenge, and the details that were approved.
    /// # let approved = serde_json::json!([{"type": "order_refund", "order": "7", "amount": "12.5"}]);
    /// # let returned = login.token(&ORDERS).claim("authorization_details", approved).claim("txn", challenge.txn()).sign();
    /// let token = validate(&returned)?;
    /// assert!(approvals.is_transaction(&token));
    /// let transaction = approvals.recognize(&ORDERS, &refund, &token, now)?;
    /// let entry = transaction.entry(&token, now); // insert it into a store, last of all
    ///
    /// // It is not an approval of another order.
    /// let other = [Detail::of("order_refund").with("order", 8).with("amount", "12.50")];
    /// let problem = approvals.recognize(&ORDERS, &other, &token, now).unwrap_err();
    /// assert_eq!(problem.reason(), Reason::AuthorizationDetailsInsufficient);
    /// # drop(entry);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`ApprovalProblem`] if `details` is empty, if one does not fit its type, if the server has no name for
    /// the requester, if a value is too long to be shown, or if the challenge exceeds
    /// [`MAX_CHALLENGE_BYTES`](Self::MAX_CHALLENGE_BYTES).
    pub fn challenge(
        &self,
        resource: &Audience,
        details: &[Detail],
        token: &AccessToken,
        now: UtcDateTime,
    ) -> Result<TransactionChallenge, ApprovalProblem> {
        let Operation(details) = Operation::new(details, token.detail_types())?;
        let reason = self.reason_for(&details)?;
        let (texts, details): (_, Vec<_>) = details.into_iter().unzip();
        let server = self.server.of(token, &details);
        let requester = self.requester_at(&server, token)?;
        let bindings = Bindings {
            resource: resource.as_str(),
            server: &server,
            details: &texts,
            requester: &requester,
        };
        let no_randomness = || ApprovalProblem::internal("the system has no randomness");
        let nonce = random_bytes().ok_or_else(no_randomness)?;
        let txn = Txn::make(&self.transaction_key, nonce, now, self.counts_for(), &bindings);
        let failed = || ApprovalProblem::internal("the challenge cannot be signed");
        let txn = txn.ok_or_else(failed)?.to_string();
        let jti: [u8; 16] = random_bytes().ok_or_else(no_randomness)?;
        let claims = Claims {
            iss: resource.as_str(),
            aud: &server,
            iat: now.unix_timestamp(),
            exp: later(now, Self::TIME_TO_SUBMIT).unix_timestamp(),
            jti: encode(jti),
            txn: &txn,
            authorization_details: details.iter().collect(),
            reason,
            act: token.actor().map(|actor| Act { iss: actor.issuer(), sub: actor.name() }),
        };
        let key = &self.signing_key;
        let header = json!({
            "alg": key.algorithm().as_str(),
            "kid": key.kid(),
            "typ": TransactionChallenge::TYPE,
        });
        let claims = serde_json::to_string(&claims).map_err(|_| failed())?;
        let message = format!("{}.{}", encode(header.to_string()), encode(claims));
        let signature = key.sign(&message).ok_or_else(failed)?;
        let jwt = format!("{message}.{signature}");
        if jwt.len() > Self::MAX_CHALLENGE_BYTES {
            let (length, most) = (jwt.len(), Self::MAX_CHALLENGE_BYTES);
            let problem = format!("the challenge has {length} bytes, and at most {most} are sent");
            return Err(ApprovalProblem::internal(problem));
        }
        Ok(TransactionChallenge::new(jwt, txn, server))
    }

    /// Returns true if a token is that of a transaction, and therefore authority for nothing else.
    ///
    /// It is one if it has a `txn`, and if its issuer may be the [server](super::TransactionServer) and does not
    /// [stamp](Self::issuer_stamps_txn) all its tokens. It is one in any case if its `txn` has the form of those that
    /// this crate makes.
    #[must_use]
    pub fn is_transaction(&self, token: &AccessToken) -> bool {
        let Some(raw) = token.raw_claim("txn") else { return false };
        let (text, issuer) = (string(raw), token.issuer());
        if has_own_form(text.as_deref()) {
            return true;
        }
        match self.is_stamping(issuer) {
            // A claim of the wrong type never counts as absent.
            true => text.is_none(),
            false => self.server.may_be(issuer),
        }
    }

    /// Recognizes the transaction of a token that came back.
    ///
    /// The token must grant exactly these details, and its `txn` must be one that was made here for them, for this
    /// resource, for the issuer of the token and for its requester, and must not be over.
    ///
    /// # Errors
    ///
    /// Returns [`ApprovalProblem`]: first about the details, then about the `txn` (`transaction_unknown`). The `txn`
    /// cannot tell which part of the request differs.
    pub fn recognize(
        &self,
        resource: &Audience,
        details: &[Detail],
        token: &AccessToken,
        now: UtcDateTime,
    ) -> Result<Transaction, ApprovalProblem> {
        let types = token.detail_types();
        token.authorization_details().are_exactly(details, types)?;
        let Operation(details) = Operation::new(details, types)?;
        // Another resource that it is for too could send it here.
        if token.audience() != Some(resource) || token.audiences().count() != 1 {
            let problem =
                "the token is for another name of this resource, or for other resources too";
            return Err(ApprovalProblem::unknown(problem));
        }
        let text = token.raw_claim("txn").and_then(string).map(Cow::into_owned).unwrap_or_default();
        let txn = Txn::parse(&text)
            .ok_or_else(|| ApprovalProblem::unknown("the `txn` was not made by this crate"))?;
        let texts = details.into_keys().collect();
        let bindings = Bindings {
            resource: resource.as_str(),
            server: token.issuer(),
            details: &texts,
            requester: &Requester::of_returned(token, txn.bound),
        };
        if !txn.is_for(&self.transaction_key, &bindings) {
            let problem = "the `txn` was made with another key, for another operation or server, or for another \
                           requester";
            return Err(ApprovalProblem::unknown(problem));
        }
        let over = || ApprovalProblem::unknown("the transaction is over");
        let (made_at, until) = txn.made_at().zip(txn.until()).ok_or_else(over)?;
        if now > until || made_at > later(now, MAX_CLOCK_AHEAD) {
            return Err(over());
        }
        Ok(Transaction { txn: text, resource: resource.clone(), made_at, until })
    }

    /// The requester of a token, as the server names them.
    fn requester_at(
        &self,
        server: &str,
        token: &AccessToken,
    ) -> Result<Requester, ApprovalProblem> {
        if server == token.issuer() {
            return Ok(Requester::of(token));
        }
        let name = self.name_requester.as_ref().ok_or_else(|| {
            ApprovalProblem::internal(
                "the token is not the server's, and nothing says how the server names its requester: call \
                 `Approvals::requester`",
            )
        })?;
        let requester = name(token, server).ok_or_else(ApprovalProblem::not_offered)?;
        Ok(requester.bound_like(token))
    }

    /// The text that the human is shown.
    fn reason_for(&self, details: &BTreeMap<String, Detail>) -> Result<String, ApprovalProblem> {
        let texts = details.iter().map(|(json, detail)| {
            let values: Value = serde_json::from_str(json).unwrap_or_default();
            match self.reasons.get(detail.type_name()) {
                Some(template) => template.fill(&values),
                None => ReasonText::list(detail.type_name(), &values),
            }
        });
        let texts: Result<Vec<_>, _> = texts.collect();
        let texts = texts.map_err(|member| {
            let member = crate::printable::Printable::from(&*member);
            let problem = format!("the member `{member}` is missing, or too long to be shown");
            ApprovalProblem::internal(format!("the reason of a challenge: {problem}"))
        })?;
        Ok(texts.join("; "))
    }
}

/// True if the `txn` of a token has the form of those that this crate makes. Its issuer does not matter.
pub(crate) fn has_own_txn(token: &AccessToken) -> bool {
    token.raw_claim("txn").is_some_and(|raw| has_own_form(string(raw).as_deref()))
}

fn has_own_form(txn: Option<&str>) -> bool {
    txn.and_then(Txn::parse).is_some()
}

impl Transaction {
    /// Returns the entry that spends the transaction.
    ///
    /// It is made of the resource and the `txn`, so a second token for the same transaction is a second use. It is dated
    /// by the moment at which the challenge was made, so a store that began to remember later refuses it.
    pub fn entry(&self, token: &AccessToken, now: UtcDateTime) -> ReplayEntry {
        let issued_at = earlier(self.made_at, MAX_CLOCK_AHEAD);
        // The clock of another guard that shares the store may be behind.
        let expires_at = later(self.until, TokenLimits::MAX_LEEWAY);
        let resource = self.resource.as_str();
        ReplayEntry::for_transaction(resource, &self.txn, token, issued_at, expires_at, now)
    }

    /// Returns the `txn`.
    #[must_use]
    pub fn txn(&self) -> &str {
        &self.txn
    }

    /// Returns the moment until which the transaction counts.
    #[must_use]
    pub fn until(&self) -> UtcDateTime {
        self.until
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("txn", &self.txn).finish_non_exhaustive()
    }
}
