//! Cedar: policies in a file, evaluated in this process.

mod demand;
mod loaded;
mod request;
mod shapes;
mod slices;
mod text;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use cedar_policy::PolicyId;

use self::loaded::{Loaded, TYPES};
use self::request::Asked;
use super::question::Question;
use super::seam::Policy;
use super::verdict::{PolicyAnswer, Ruling, Verdict};
use crate::config_error::ConfigError;
use crate::evidence::Evidence;
use crate::require::Require;

/// Decides by [Cedar](https://docs.cedarpolicy.com) policies, which can be replaced while requests run.
///
/// A clone shares its policies. Give one to [`Guard::policy`](crate::Guard::policy) and keep another for
/// [`replace`](Self::replace).
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use unconfused::policy::{Ask, CedarPolicy};
/// use unconfused::{Audience, Guard, Reason, Scope};
/// # use unconfused::testing::TestIssuer;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// const REFUND: Scope = Scope::from_static("orders:refund");
/// # let login = TestIssuer::new("https://login.example");
/// # let issuer = login.issuer();
///
/// let schema = r#"
///     entity order;
///     action "orders.refund" appliesTo {
///         principal: [Subject, Actor],
///         resource: [order],
///         context: { evidence: Evidence, amount: decimal },
///     };
/// "#;
/// let policies = r#"
///     @id("refunds")
///     permit(principal, action == Action::"orders.refund", resource)
///     when { context.amount.lessThanOrEqual(decimal("500.0")) };
///
///     // Lifted by a login with a passkey in the last five minutes.
///     @id("large-refunds")
///     @step_up_acr("phr")
///     @max_age("300")
///     forbid(principal, action == Action::"orders.refund", resource)
///     when { context.amount.greaterThan(decimal("20.0")) };
/// "#;
/// let cedar = CedarPolicy::new(policies, schema).unwrap();
/// # let grant = login.token(&ORDERS).scope("orders:refund").actor("agent-7")
/// #     .granted_by(&Guard::new(ORDERS, issuer.clone()), REFUND);
/// let guard = Guard::new(ORDERS, issuer).policy(cedar.clone());
/// let refund = |amount: &str| Ask::operation("orders.refund").resource("order", 7).attribute("amount", amount);
///
/// let granted = guard.narrow(&grant, refund("12.50")).await.unwrap();
/// assert_eq!(granted.policies(), ["refunds"]);
///
/// let denial = guard.narrow(&grant, refund("80")).await.unwrap_err();
/// assert_eq!(denial.reason(), Reason::AuthenticationContextMissing); // a challenge
///
/// let denial = guard.narrow(&grant, refund("800")).await.unwrap_err();
/// assert_eq!(denial.reason(), Reason::PolicyDenied);
///
/// cedar.replace("forbid(principal, action, resource);", schema).unwrap();
/// assert!(guard.narrow(&grant, refund("12.50")).await.is_err());
/// # });
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # What is asked
///
/// | Cedar | request |
/// |---|---|
/// | principal | the subject, `Subject::"https://login.example#alice"`, and then the current actor, `Actor::"https://login.example#agent-7"`, if there is one. **Both must be permitted**. The id is issuer, `#` and name; both are attributes too, `issuer` and `name`. Prior actors are not asked about |
/// | action | the name of the operation: `Action::"orders.refund"` |
/// | resource | the type and the id that the handler states: `order::"7"`. If it states none, and for a layer, `Api::"api"` |
/// | `context.evidence` | the subject and the actor, and what the token and the request say: [`SCHEMA`](Self::SCHEMA) has the type |
/// | `context`, and attributes of the resource | the attributes that the handler states, by the names and types of the schema |
///
/// A schema declares your resources and your actions; `Subject`, `Actor`, `Api` and `Evidence` need no declaration. Each
/// action lists `evidence: Evidence` in its context. An action and a resource may be in a namespace: the operation has the
/// name of the action without it.
///
/// A text becomes a `decimal`, `datetime`, `duration`, `ipaddr` or an entity if the schema says so, and a whole number a
/// `decimal`. No floating-point number is involved. Entities have no parents.
///
/// Every layer asks too, with the [name](crate::layer::GuardLayer::named) of its operation. To leave the decision to the
/// handler, permit what is asked about `Api`.
///
/// # What is answered
///
/// - **Permit** if, for each party, a permit policy is satisfied and no forbid policy is.
/// - **Permit if** the token meets a requirement, if what stands in the way are only forbid policies with annotations:
///   a forbid policy with annotations forbids until they are met. The requirement is that of all such policies that are
///   satisfied.
/// - **Forbid** in every other case, also if an action, a resource or an attribute is not as the schema has it, and if any
///   policy that was asked cannot be evaluated, such as one that overflows: also beside one that permits.
///
/// The record has the ids of the policies that decided: `@id("..")`, or else `policy0`, `policy1` and so on.
///
/// | annotation | requires |
/// |---|---|
/// | `@step_up_acr("phr mfa")` | one of these classes: [`Require::acr`](crate::Require::acr) |
/// | `@max_age("300")` | a login not longer ago, in seconds: [`Require::max_age`](crate::Require::max_age) |
/// | `@detail("order_refund")` | a granted detail of this type: [`Require::detail`](crate::Require::detail) |
/// | `@approval("order_refund")` | such a detail, [approved](crate::detail::Detail::approved) for this one transaction |
///
/// The members of a detail are the id of the resource, under the name of its type, and the attributes that are stated. To
/// choose from these, list them after the type: `@approval("order_refund order amount")`. A detail in whose list is
/// something that is not stated cannot be met, and neither can one that would have a list of lists.
///
/// # Limits
///
/// An operation has at most 1,000 values of attributes, 64 KiB of names and texts in them, and lists nested 8 deep. A
/// larger one is refused before Cedar sees it.
///
/// The time that a decision takes grows with the number of policies whose scope fits: those that name another action,
/// principal or resource with `==` cost nothing, and each other one about a microsecond for each party. Cedar has no loops, and reports an expression that is too deep for the
/// stack as an error, which refuses the request.
#[derive(Clone)]
pub struct CedarPolicy {
    loaded: Arc<RwLock<Arc<Loaded>>>,
}

impl CedarPolicy {
    /// The types that are part of every schema, for tools that check policies outside of the service: append it to your
    /// schema.
    pub const SCHEMA: &'static str = TYPES;

    /// Reads policies and their schema, both as Cedar writes them.
    ///
    /// ```
    /// use unconfused::policy::CedarPolicy;
    ///
    /// let schema = r#"action "orders.list" appliesTo {
    ///     principal: [Subject, Actor], resource: [Api], context: { evidence: Evidence },
    /// };"#;
    /// let policies = "permit(principal, action, resource)\nwhen { context.evidence.scope == \"x\" };";
    /// let error = CedarPolicy::new(policies, schema).unwrap_err();
    /// assert!(error.to_string().contains("line 2"), "{error}");
    /// ```
    ///
    /// # Errors
    ///
    /// Returns a [`ConfigError`] that names the line, for:
    ///
    /// - policies or a schema that Cedar cannot read, and a policy that does not fit the schema, in Cedar's strict mode;
    /// - a policy that never applies, and a policy with a slot;
    /// - two policies of one id;
    /// - brackets that are nested more than 50 deep, or more than 1,000 operators in one policy;
    /// - an annotation of ours on a permit policy, with a value that it does not accept, or misspelt;
    /// - an action whose context lacks `evidence: Evidence`, or that applies to other principals than `Subject` and
    ///   `Actor`; two actions of one name; a type of entities that has parents.
    pub fn new(policies: &str, schema: &str) -> Result<Self, ConfigError> {
        let loaded = Loaded::new(policies, schema)?;
        Ok(CedarPolicy { loaded: Arc::new(RwLock::new(Arc::new(loaded))) })
    }

    /// Replaces policies and schema, for this policy and its clones.
    ///
    /// Each request is decided by the policies before or by those after, never by some of both, and none waits while the
    /// texts are read. The thread that calls this does, about a second for 1,000 policies: in async code, call it where
    /// blocking is allowed.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`new`](Self::new), and leaves what was there in force.
    pub fn replace(&self, policies: &str, schema: &str) -> Result<(), ConfigError> {
        let loaded = Arc::new(Loaded::new(policies, schema)?);
        // What is behind the lock is one pointer, which no panic leaves half written.
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }

    fn loaded(&self) -> Arc<Loaded> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Policy for CedarPolicy {
    fn decide(&self, question: &Question<'_>) -> PolicyAnswer {
        self.loaded().decide(question.evidence()).into()
    }
}

impl fmt::Debug for CedarPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CedarPolicy({} policies)", self.loaded().policies)
    }
}

impl Loaded {
    fn decide(&self, evidence: &Evidence) -> Ruling {
        let asked = match Asked::new(self, evidence) {
            Ok(asked) => asked,
            Err(problem) => return Verdict::Forbid(problem.into()).into(),
        };
        let mut decided: BTreeSet<PolicyId> = BTreeSet::new();
        let mut lifted: BTreeSet<PolicyId> = BTreeSet::new();
        for (party, request) in &asked.requests {
            let weighed = self.slices.weigh(request, &asked.entities);
            if !weighed.failed.is_empty() {
                let why = format!("a policy about the {party} cannot be evaluated");
                return forbid(why, weighed.failed);
            }
            let (demanding, forbids): (BTreeSet<_>, BTreeSet<_>) =
                weighed.forbids.into_iter().partition(|id| self.demands.contains_key(id));
            if !forbids.is_empty() {
                return forbid(format!("the {party} is forbidden"), forbids);
            }
            if weighed.permits.is_empty() {
                return forbid(format!("no policy permits the {party}"), BTreeSet::new());
            }
            decided.extend(weighed.permits);
            lifted.extend(demanding);
        }
        let mut requirement: Option<Require> = None;
        for demand in lifted.iter().filter_map(|id| self.demands.get(id)) {
            let more = match demand.requirement(evidence.operation()) {
                Ok(more) => more,
                Err(problem) => return forbid(problem, lifted),
            };
            requirement = Some(match requirement {
                Some(earlier) => earlier.and(more),
                None => more,
            });
        }
        decided.extend(lifted);
        let verdict = requirement.map_or(Verdict::Permit, Verdict::PermitIf);
        verdict.by(ids(decided))
    }
}

fn forbid(why: String, policies: BTreeSet<PolicyId>) -> Ruling {
    Verdict::Forbid(why.into()).by(ids(policies))
}

fn ids(policies: BTreeSet<PolicyId>) -> impl Iterator<Item = String> {
    policies.into_iter().map(|id| AsRef::<str>::as_ref(&id).to_owned())
}
