//! A denial as an error of JSON-RPC.

use serde_json::{Map, Value, json};

use super::problem::code_for;
use crate::denial::Denial;
use crate::reason::Reason;

/// A denial as an error of JSON-RPC: a code, a message and data.
///
/// A layer writes it into the body beside status and challenge. A handler whose answer is already under way returns it
/// through its server library; see [`Call::deny`](super::Call::deny).
///
/// ```
/// use unconfused::mcp::JsonRpcError;
/// use unconfused::{Denial, Reason};
///
/// let error = JsonRpcError::from(&Denial::from(Reason::InsufficientScope));
/// assert_eq!(error.code(), -32001);
/// assert_eq!(error.message(), "The request requires higher privileges");
/// assert_eq!(error.data()["reason"], "insufficient_scope");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct JsonRpcError {
    code: i32,
    message: &'static str,
    data: Value,
}

impl JsonRpcError {
    /// Returns the code.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.code
    }

    /// Returns the message: what the client may know of the reason. It is a constant, never built from input.
    #[must_use]
    pub fn message(&self) -> &'static str {
        self.message
    }

    /// Returns the data: an object with the members of [`Denial::problem_json`] without `type` and `title`, and
    /// `www_authenticate`, the challenges as they are or would be in the header, unless there is none.
    #[must_use]
    pub fn data(&self) -> &Value {
        &self.data
    }

    /// Returns the error as one JSON-RPC message with this id, which is written as it is: it must be JSON. Without an
    /// id it is `null`.
    #[must_use]
    pub fn to_json(&self, id: Option<&str>) -> String {
        let error = json!({ "code": self.code, "message": self.message, "data": self.data });
        let id = id.unwrap_or("null");
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
    }

    /// Adds the structured form of SEP-2643, if a token that the client can get would help.
    pub(crate) fn structured(mut self, denial: &Denial) -> Self {
        let Some(challenge) = denial.challenge() else { return self };
        let is_about_authority = matches!(
            denial.reason(),
            Reason::InsufficientScope
                | Reason::AuthenticationContextMissing
                | Reason::AuthenticationLevelInsufficient
                | Reason::AuthenticationTooOld
                | Reason::AuthorizationDetailsInsufficient
                | Reason::TransactionAuthorizationRequired
        );
        if !is_about_authority {
            return self;
        }
        let is_transaction = denial.reason() == Reason::TransactionAuthorizationRequired;
        let disposition = if is_transaction { "additional" } else { "replacement" };
        let mut authorization = Map::new();
        let mut put = |name: &str, value: Value| authorization.insert(name.to_owned(), value);
        put("reason", "insufficient_authorization".into());
        put("credentialDisposition", disposition.into());
        if let Some(decision) = denial.decision() {
            put("authorizationContextId", decision.to_string().into());
        }
        let details =
            challenge.remediation().and_then(|it| serde_json::from_str(&it.to_json()).ok());
        let details = details.and_then(|it: Value| it.get("authorization_details").cloned());
        if let Some(details) = details {
            let hint =
                json!({ "type": "oauth_authorization_details", "authorization_details": details });
            put("remediationHints", json!([hint]));
        }
        if let Value::Object(data) = &mut self.data {
            data.insert("authorization".to_owned(), authorization.into());
        }
        self
    }
}

impl From<&Denial> for JsonRpcError {
    fn from(denial: &Denial) -> Self {
        let mut data = denial.problem_members();
        data.remove("type");
        data.remove("title");
        let challenges = denial.challenge().into_iter().flat_map(|it| it.to_header_values());
        let challenges: Vec<_> =
            challenges.filter_map(|value| Some(Value::from(value.to_str().ok()?))).collect();
        if !challenges.is_empty() {
            data.insert("www_authenticate".to_owned(), challenges.into());
        }
        let by_reason = (code_for(denial.status()), denial.reason().for_client().description());
        let (code, message) = denial.mcp_error().unwrap_or(by_reason);
        JsonRpcError { code, message, data: data.into() }
    }
}
