//! What the layer leaves for the handler: the grant, and a place for a denial of the handler's own.

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use crate::denial::Denial;
use crate::guard::{Grant, Guard};
use crate::mcp::JsonRpcError;

/// A message that was granted, in the extensions of the request: the grant, and the way to answer with a denial.
///
/// It is cheap to clone. Server libraries hand the head of the request to a tool; [the
/// guide](crate::guide::mcp_servers) shows how for rmcp.
#[derive(Clone)]
pub struct Call {
    guard: Guard,
    grant: Grant,
    answer: Arc<Mutex<Answer>>,
    structured: bool,
}

/// What became of the response.
enum Answer {
    /// Its head is not out yet.
    Open,
    /// The handler ended with this denial.
    Denied(Denial),
    /// Its head is out.
    Begun,
}

impl Call {
    pub(super) fn new(guard: &Guard, grant: &Grant, structured: bool) -> Self {
        let answer = Arc::new(Mutex::new(Answer::Open));
        Call { guard: guard.clone(), grant: grant.clone(), answer, structured }
    }

    /// Returns the grant of the message, to read who calls and to [`narrow`](Guard::narrow).
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Answers the call with this denial, and returns the error that the tool ends with.
    ///
    /// A tool's own error leaves a server as HTTP 200, which no client takes for a reason to get another token. So the
    /// layer needs to know: if the head of the response is not out yet when the tool ends, the client receives status
    /// and challenge of the denial instead of what the server answers. If it is out, as in a session of 2025-11-25,
    /// which begins with 200, the error is all that the client sees: its [data](JsonRpcError::data) has the challenge,
    /// and a further step of the record says that the client saw no status.
    ///
    /// A denial of the guard ([`narrow`](Guard::narrow), [`refuse`](Guard::refuse)) is in the record already. Any other
    /// is recorded here, as a further step.
    ///
    /// ```
    /// use unconfused::mcp::{Call, JsonRpcError};
    /// use unconfused::{Guard, Scope};
    ///
    /// const LARGE: Scope = Scope::from_static("refunds:large");
    ///
    /// async fn refund(guard: &Guard, call: &Call, amount: u64) -> Result<String, JsonRpcError> {
    ///     if amount > 1000 {
    ///         guard.narrow(call.grant(), LARGE).await.map_err(|denial| call.deny(denial))?;
    ///     }
    ///     Ok(format!("{amount} refunded"))
    /// }
    /// ```
    #[must_use = "a denial that is not returned refuses nothing"]
    pub fn deny(&self, denial: Denial) -> JsonRpcError {
        let denial = match denial.decision() {
            Some(_) => denial,
            None => self.guard.refuse_with(&self.grant, denial),
        };
        let error = error_of(&denial, self.structured);
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        match &*answer {
            Answer::Open => *answer = Answer::Denied(denial),
            Answer::Denied(_) => {}
            Answer::Begun => {
                let denial =
                    denial.with_detail("the response had begun, so the client saw no status");
                drop(self.guard.refuse_with(&self.grant, denial));
            }
        }
        error
    }

    /// The denial that the handler ended with, if it did before the head of the response is out. From now on it is out.
    pub(super) fn begin(&self) -> Option<Denial> {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        match mem::replace(&mut *answer, Answer::Begun) {
            Answer::Denied(denial) => Some(denial),
            Answer::Open | Answer::Begun => None,
        }
    }
}

/// The error of JSON-RPC, in the form that the owner chose.
pub(super) fn error_of(denial: &Denial, structured: bool) -> JsonRpcError {
    let error = JsonRpcError::from(denial);
    if structured { error.structured(denial) } else { error }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("grant", &self.grant).finish_non_exhaustive()
    }
}
