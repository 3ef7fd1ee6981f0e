//! The body of a denial as problem details (RFC 9457).

use serde_json::{Map, Value};

use super::definition::Denial;
#[cfg(doc)]
use crate::challenge::Challenge;
use crate::dates::rfc3339;
#[cfg(doc)]
use crate::reason::Reason;

impl Denial {
    /// Returns a body of the media type `application/problem+json`
    /// ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)).
    ///
    /// It says what the client may know. Its members are
    ///
    /// | member | type | value |
    /// |---|---|---|
    /// | `type` | string | `about:blank` |
    /// | `title` | string | the [`description`](Reason::description) of [`Reason::for_client`] |
    /// | `status` | number | the HTTP status |
    /// | `reason` | string | the [name](Reason::as_str) of [`Reason::for_client`] |
    /// | `error` | string | its [`oauth_error`](Reason::oauth_error), if it has one |
    /// | `required_scopes` | array of strings | [`Challenge::scope`], unless it is empty |
    /// | `acr_values` | array of strings | [`Challenge::acr_values`], unless it is empty |
    /// | `max_age` | number | [`Challenge::max_age`] in seconds, if there is one |
    /// | `authorization_remediation` | object | [`Challenge::remediation`], if there is one |
    /// | `resource_metadata` | string | [`Challenge::resource_metadata`], if there is one |
    /// | `task_status_endpoint` | string | of `approval_required`: where the client learns of the approval |
    /// | `expires_at` | string | of `approval_required`: when the task ends (RFC 3339), if it is known |
    /// | `decision` | string | the id of the decision in the record, if a guard made this denial |
    ///
    /// ```
    /// use unconfused::{Denial, Reason};
    ///
    /// let problem = Denial::from(Reason::TokenExpired).problem_json();
    /// assert_eq!(
    ///     serde_json::from_str::<serde_json::Value>(&problem)?,
    ///     serde_json::json!({
    ///         "type": "about:blank",
    ///         "title": "The access token expired",
    ///         "status": 401,
    ///         "reason": "token_expired",
    ///         "error": "invalid_token",
    ///     })
    /// );
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn problem_json(&self) -> String {
        Value::Object(self.problem_members()).to_string()
    }

    /// The members of the problem.
    pub(crate) fn problem_members(&self) -> Map<String, Value> {
        let reason = self.reason().for_client();
        let mut problem = Map::new();
        let mut put = |name: &str, value: Value| problem.insert(name.to_owned(), value);
        put("type", "about:blank".into());
        put("title", reason.description().into());
        put("status", self.status().as_u16().into());
        put("reason", reason.as_str().into());
        if let Some(error) = reason.oauth_error() {
            put("error", error.into());
        }
        if let Some(challenge) = self.challenge() {
            let list = |names: Vec<String>| Value::from(names);
            if !challenge.scope().is_empty() {
                put(
                    "required_scopes",
                    list(challenge.scope().iter().map(ToString::to_string).collect()),
                );
            }
            if !challenge.acr_values().is_empty() {
                put(
                    "acr_values",
                    list(challenge.acr_values().iter().map(ToString::to_string).collect()),
                );
            }
            if let Some(age) = challenge.max_age() {
                put("max_age", age.as_secs().into());
            }
            if let Some(remediation) = challenge.remediation() {
                let remediation = serde_json::from_str(&remediation.to_json());
                put("authorization_remediation", remediation.unwrap_or_default());
            }
            if let Some(url) = challenge.resource_metadata() {
                put("resource_metadata", url.to_string().into());
            }
        }
        if let Some(task) = self.task() {
            put("task_status_endpoint", task.status_endpoint.as_str().into());
            if let Some(at) = task.expires_at {
                put("expires_at", rfc3339(at).into());
            }
        }
        if let Some(decision) = self.decision() {
            put("decision", decision.to_string().into());
        }
        problem
    }
}
