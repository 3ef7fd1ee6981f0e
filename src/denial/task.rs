//! A task in another system, where a human approves the request.

use std::time::Duration;

use time::UtcDateTime;

/// A task that another system keeps until a human has approved a request, or has refused to.
///
/// A policy answers with it ([`Verdict::NeedsApproval`](crate::policy::Verdict::NeedsApproval)), and the client is told
/// where to ask for its status: 403, `approval_required`. The body of
/// [`Denial::problem_json`](crate::Denial::problem_json) has the members `task_status_endpoint` and `expires_at`, so set
/// [`ProblemJson`](crate::layer::ProblemJson) as the body of the layer. The guard believes no task: when the client comes
/// back, the policy is asked again.
///
/// ```
/// use std::time::Duration;
/// use unconfused::policy::{ApprovalTask, Verdict};
///
/// let task = ApprovalTask::new("https://approvals.example/tasks/7").retry_after(Duration::from_secs(30));
/// let verdict = Verdict::NeedsApproval(task);
/// # drop(verdict);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a task is told to the client only in a verdict"]
pub struct ApprovalTask {
    pub(super) status_endpoint: String,
    pub(super) expires_at: Option<UtcDateTime>,
    pub(super) retry_after: Option<Duration>,
}

impl ApprovalTask {
    /// Makes a task whose status the client finds at this URL. **The client sees it.**
    pub fn new(status_endpoint: impl Into<String>) -> Self {
        let status_endpoint = status_endpoint.into();
        ApprovalTask { status_endpoint, expires_at: None, retry_after: None }
    }

    /// Sets when the task ends without an approval.
    pub fn expires_at(self, at: UtcDateTime) -> Self {
        ApprovalTask { expires_at: Some(at), ..self }
    }

    /// Sets how long the client should wait before it asks: `Retry-After`, in whole seconds and at least 1. By
    /// default, the answer does not have the field.
    pub fn retry_after(self, wait: Duration) -> Self {
        ApprovalTask { retry_after: Some(wait), ..self }
    }
}
