//! The layers of several guards, of which one is chosen for each request.

use http::request::Parts;

#[cfg(doc)]
use super::Guard;
use super::guards::Guards;
use super::route::{GuardLayer, RouteGuard, RouteRequirement};
use crate::require::Require;

/// # Protecting routes
impl Guards {
    /// Returns a layer that requires `requirement` of every request, whichever guard is chosen.
    ///
    /// # Panics
    ///
    /// Panics if [`Guard::require`] would for one of the guards.
    pub fn require(&self, requirement: impl Into<Require>) -> GuardLayer {
        let requirement = requirement.into();
        for (_, guard) in self.iter() {
            guard.assert_can(&requirement);
        }
        GuardLayer::new(RouteGuard::Chosen(self.clone()), RouteRequirement::fixed(requirement))
    }

    /// Returns a layer that computes its requirement from the head of each request; see [`Guard::require_by`].
    ///
    /// It is not computed if no guard is chosen.
    pub fn require_by(
        &self,
        requirement: impl Fn(&Parts) -> Require + Send + Sync + 'static,
    ) -> GuardLayer {
        GuardLayer::new(RouteGuard::Chosen(self.clone()), RouteRequirement::computed(requirement))
    }

    /// Returns a layer that also lets requests without credentials pass; see [`Guard::optional`].
    ///
    /// A request for which no guard is chosen is refused all the same.
    ///
    /// # Panics
    ///
    /// Panics if [`Guard::require`] would for one of the guards.
    pub fn optional(&self, requirement: impl Into<Require>) -> GuardLayer {
        self.require(requirement).make_optional()
    }
}
