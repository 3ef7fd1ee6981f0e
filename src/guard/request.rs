//! What the steps of one request hand to each other.

use std::sync::Arc;

use time::UtcDateTime;

use crate::answer::Answer;
use crate::challenge::Scheme;
use crate::denial::Denial;
use crate::evidence::{DecisionId, Grant, Operation, ValidatedRequest};
use crate::proof::ClientCertificate;
use crate::require::Require;

/// What is required of one request.
pub(crate) struct AccessRule {
    pub(crate) requirement: Arc<Require>,
    pub(crate) operation_name: Option<Arc<str>>,
    /// A request without credentials passes.
    pub(crate) optional: bool,
}

/// The answer of a guard: at once, or after waiting for keys or for a store.
pub(crate) type GuardAnswer = Answer<'static, Result<Grant, Denial>>;

/// How a guard answers a request.
pub(crate) enum RequestAnswer {
    Decided(GuardAnswer),
    /// The request has no credential, and needs none.
    NoCredentials,
}

/// Marks a request that an optional guard let pass without a grant, in its extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoCredentials;

/// What is known of a request before anything is checked.
pub(super) struct RequestContext {
    pub(super) operation: Operation,
    pub(super) at: UtcDateTime,
    pub(super) decision: DecisionId,
    /// The query holds an access token, which is ignored.
    pub(super) query_token: bool,
    /// The scheme of the credential, once it is known.
    pub(super) scheme: Option<Scheme>,
    /// The client's certificate, if there is one.
    pub(super) certificate: Option<ClientCertificate>,
    /// Set if another guard has granted this request before.
    pub(super) earlier: Option<Arc<ValidatedRequest>>,
}
