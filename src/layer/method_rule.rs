//! What one method of a gRPC service requires.

use std::fmt;

use http::request::Parts;

use crate::audit::{Asked, ListedOperation};
use crate::denial::Denial;
use crate::guard::{AccessRule, Guard, Guards, OtherAuthenticator};
use crate::names::Scope;
use crate::per_thread::Own;
use crate::require::Require;

/// What one method of a gRPC service requires, for [`Rules::on`](crate::layer::Rules::on).
///
/// A [`Require`], a [`Scope`] or an array of scopes is a rule that requires it and says nothing else. A rule can do what a
/// [`GuardLayer`](crate::layer::GuardLayer) can do for a route, except for a [rule](crate::layer::GuardLayer::rule) of the
/// route: a [policy](Guard::policy) sees the operation, and may decide by its name.
///
/// ```
/// use std::time::Duration;
/// use unconfused::layer::{MethodRule, Rules};
/// use unconfused::{Require, Scope};
///
/// const READ: Scope = Scope::from_static("orders:read");
/// const REFUND: Scope = Scope::from_static("orders:refund");
///
/// let refund = Require::scope(REFUND).max_age(Duration::from_secs(300));
/// let rules = Rules::new()
///     .on("/orders.v1.Orders/List", READ)
///     .on("/orders.v1.Orders/Refund", MethodRule::requiring(refund).named("orders.refund"));
/// # drop(rules);
/// ```
#[derive(Clone)]
#[must_use = "a rule guards nothing until `Rules::on` gives it to a method"]
pub struct MethodRule {
    requirement: Own<Require>,
    operation_name: Option<Own<str>>,
    other_authenticators: Vec<OtherAuthenticator>,
    approvable: bool,
}

impl MethodRule {
    /// Makes a rule that requires this.
    pub fn requiring(requirement: impl Into<Require>) -> Self {
        MethodRule {
            requirement: requirement.into().into(),
            operation_name: None,
            other_authenticators: Vec::new(),
            approvable: false,
        }
    }

    /// Names the operation in the record and for policies. By default it is named by method and path, as in
    /// `POST /orders.v1.Orders/List`.
    pub fn named(self, name: impl AsRef<str>) -> Self {
        MethodRule { operation_name: Some(name.as_ref().into()), ..self }
    }

    /// Also lets a request without credentials pass if another authenticator has left a `T` in its extensions.
    ///
    /// It does what [`GuardLayer::or_authenticated`](crate::layer::GuardLayer::or_authenticated) does for a route, and
    /// what is said there holds here: only the other authenticator inserts a `T`, it stands outside this layer, and it
    /// removes its own credential. In tonic, the layer that is added first stands outside. The handler calls
    /// [`Grant::option_of`](crate::Grant::option_of).
    pub fn or_authenticated<T: Send + Sync + 'static>(mut self) -> Self {
        self.other_authenticators.push(OtherAuthenticator::of::<T>());
        self
    }

    /// Also lets tokens of approved transactions pass, for a handler that calls [`Guard::narrow`] with a detail that must
    /// be [approved](crate::detail::Detail::approved).
    ///
    /// Such a handler **must** ask for the approved detail before it does anything; see
    /// [`GuardLayer::approvable`](crate::layer::GuardLayer::approvable).
    pub fn approvable(self) -> Self {
        MethodRule { approvable: true, ..self }
    }

    /// What the method requires.
    pub(crate) fn requirement(&self) -> &Require {
        &self.requirement
    }

    /// The name of the operation, if it was given one.
    pub(crate) fn name(&self) -> Option<&str> {
        self.operation_name.as_deref()
    }

    /// The method in the list of a guard, under its name or this one.
    pub(super) fn listed(&self, unnamed: impl FnOnce() -> String) -> ListedOperation {
        let name = match &self.operation_name {
            Some(name) => name.share(),
            None => unnamed().into(),
        };
        let asked = Asked::Fixed(self.requirement.share());
        ListedOperation::new(name, asked).approvable(self.approvable)
    }

    /// Panics if the guard can never let a request pass by this rule.
    pub(super) fn assert_fits(&self, guard: &Guard) {
        guard.assert_can(&self.requirement);
        if self.approvable {
            guard.assert_can_approve();
        }
    }

    /// What a guard requires of a request for the method.
    pub(super) fn access_rule(&self) -> AccessRule<'_> {
        AccessRule {
            operation_name: self.operation_name.as_ref().map(Own::share),
            other_authenticators: &self.other_authenticators,
            approvable: self.approvable,
            ..AccessRule::new(self.requirement.share())
        }
    }

    /// Refuses a request for the method for which no guard is chosen.
    pub(super) fn refuse(&self, guards: &Guards, parts: &Parts) -> Denial {
        guards.refuse(parts, &self.requirement, self.operation_name.as_ref().map(Own::share))
    }
}

impl From<Require> for MethodRule {
    fn from(requirement: Require) -> Self {
        MethodRule::requiring(requirement)
    }
}

impl From<&Require> for MethodRule {
    fn from(requirement: &Require) -> Self {
        MethodRule::requiring(requirement)
    }
}

impl From<Scope> for MethodRule {
    fn from(scope: Scope) -> Self {
        MethodRule::requiring(scope)
    }
}

/// Requires all of the scopes.
impl<const N: usize> From<[Scope; N]> for MethodRule {
    fn from(scopes: [Scope; N]) -> Self {
        MethodRule::requiring(scopes)
    }
}

impl fmt::Debug for MethodRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MethodRule")
            .field("requirement", &self.requirement().to_string())
            .field("name", &self.name())
            .field("approvable", &self.approvable)
            .finish_non_exhaustive()
    }
}
