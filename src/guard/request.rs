//! What the steps of one request hand to each other.

use std::any::type_name;
use std::sync::Arc;

use http::Extensions;

use super::Grant;
use crate::answer::Answer;
use crate::challenge::Scheme;
use crate::denial::Denial;
use crate::evidence::{RequestFacts, Step};
use crate::proof::ClientCertificate;
use crate::require::Require;

/// What is required of one request.
pub(crate) struct AccessRule<'r> {
    pub(crate) requirement: Arc<Require>,
    pub(crate) operation_name: Option<Arc<str>>,
    /// A request without credentials passes.
    pub(crate) optional: bool,
    /// A request without credentials passes if one of these has authenticated it.
    pub(crate) other_authenticators: &'r [OtherAuthenticator],
    /// A token of a transaction passes, although the requirement does not ask for an approval.
    pub(crate) approvable: bool,
}

impl AccessRule<'_> {
    /// A rule that requires this of every request and makes no exception.
    pub(crate) fn new(requirement: Arc<Require>) -> Self {
        AccessRule {
            requirement,
            operation_name: None,
            optional: false,
            other_authenticators: &[],
            approvable: false,
        }
    }
}

/// An authenticator outside the guard, known by the type that it leaves in the extensions of a request.
#[derive(Clone, Copy)]
pub(crate) struct OtherAuthenticator {
    /// The name of the type.
    pub(crate) name: &'static str,
    pub(crate) is_there: fn(&Extensions) -> bool,
}

impl OtherAuthenticator {
    /// The one that leaves a `T`.
    pub(crate) fn of<T: Send + Sync + 'static>() -> Self {
        OtherAuthenticator {
            name: type_name::<T>(),
            is_there: |extensions: &Extensions| extensions.get::<T>().is_some(),
        }
    }
}

/// The answer of a guard: at once, or after waiting for keys or for a store.
pub(crate) type GuardAnswer = Answer<'static, Result<Grant, Denial>>;

/// How a guard answers a request.
pub(crate) enum RequestAnswer {
    Decided(GuardAnswer),
    /// The request has no credential, and needs none.
    NoCredentials,
}

/// Marks a request that a layer let pass without a grant, in its extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoCredentials;

/// What is known of a request before anything is checked.
pub(super) struct RequestContext {
    pub(super) step: Step,
    pub(super) step_kind: StepKind,
    pub(super) facts: RequestFacts,
    /// The scheme of the credential, once it is known.
    pub(super) scheme: Option<Scheme>,
    /// The client's certificate, if there is one.
    pub(super) certificate: Option<ClientCertificate>,
}

/// What a step is, as far as the token is spent by it.
#[derive(Clone, Copy)]
pub(super) enum StepKind {
    /// All layers of a request spend its token together, if the requirement of one of them says so.
    Layer {
        /// The handler may ask for an approval.
        approvable: bool,
    },
    /// One `narrow` of a request may spend its token, or share what its layers spent.
    Narrow {
        /// Its own requirement says so, and not only that of the grant.
        spends: bool,
    },
}
