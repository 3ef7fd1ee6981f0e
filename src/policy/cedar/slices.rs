//! The policies, in slices by what their scopes name, so that a request is weighed against few of many.

use std::collections::{BTreeSet, HashMap};

use cedar_policy::{
    ActionConstraint, Authorizer, Effect, Entities, EntityUid, Policy, PolicyId, PolicySet,
    PrincipalConstraint, Request, ResourceConstraint,
};

/// What the scope of a policy names: `None` if it leaves it open, or names only a type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Scope {
    action: Option<EntityUid>,
    principal: Option<EntityUid>,
    resource: Option<EntityUid>,
}

/// Apart, since Cedar does not tell which permit policies are satisfied if one forbids.
#[derive(Debug, Default)]
struct Slice {
    permits: PolicySet,
    forbids: PolicySet,
}

/// All policies of a set.
#[derive(Debug, Default)]
pub(super) struct Slices(HashMap<Scope, Slice>);

/// What the policies say of one request.
#[derive(Debug, Default)]
pub(super) struct Weighed {
    pub(super) permits: BTreeSet<PolicyId>,
    pub(super) forbids: BTreeSet<PolicyId>,
    /// Those that could not be evaluated.
    pub(super) failed: BTreeSet<PolicyId>,
}

impl Slices {
    /// Adds a policy. `in_group` returns the actions that are in a group, or are the group itself.
    pub(super) fn add(
        &mut self,
        policy: &Policy,
        in_group: impl Fn(&EntityUid) -> Vec<EntityUid>,
    ) -> Result<(), String> {
        // No entity has a parent, so what is `in` an entity is that entity.
        let principal = match policy.principal_constraint() {
            PrincipalConstraint::Any | PrincipalConstraint::Is(_) => None,
            PrincipalConstraint::In(named)
            | PrincipalConstraint::Eq(named)
            | PrincipalConstraint::IsIn(_, named) => Some(named),
        };
        let resource = match policy.resource_constraint() {
            ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
            ResourceConstraint::In(named)
            | ResourceConstraint::Eq(named)
            | ResourceConstraint::IsIn(_, named) => Some(named),
        };
        let actions: BTreeSet<Option<EntityUid>> = match policy.action_constraint() {
            ActionConstraint::Any => [None].into(),
            ActionConstraint::Eq(action) => [Some(action)].into(),
            ActionConstraint::In(groups) => groups.iter().flat_map(in_group).map(Some).collect(),
        };
        for action in actions {
            let scope = Scope { action, principal: principal.clone(), resource: resource.clone() };
            let slice = self.0.entry(scope).or_default();
            let set = match policy.effect() {
                Effect::Permit => &mut slice.permits,
                Effect::Forbid => &mut slice.forbids,
            };
            set.add(policy.clone()).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Evaluates each policy whose scope may fit the request.
    pub(super) fn weigh(&self, request: &Request, entities: &Entities) -> Weighed {
        let authorizer = Authorizer::new();
        let mut weighed = Weighed::default();
        let either = |named: Option<&EntityUid>| [None, named.cloned()];
        for action in either(request.action()) {
            for principal in either(request.principal()) {
                for resource in either(request.resource()) {
                    let (action, principal) = (action.clone(), principal.clone());
                    let Some(slice) = self.0.get(&Scope { action, principal, resource }) else {
                        continue;
                    };
                    let permits = &mut weighed.permits;
                    for (set, found) in
                        [(&slice.permits, permits), (&slice.forbids, &mut weighed.forbids)]
                    {
                        if set.is_empty() {
                            continue;
                        }
                        let response = authorizer.is_authorized(request, set, entities);
                        let diagnostics = response.diagnostics();
                        found.extend(diagnostics.reason().cloned());
                        let failed = diagnostics.errors().map(|error| match error {
                            cedar_policy::AuthorizationError::PolicyEvaluationError(error) => {
                                error.policy_id().clone()
                            }
                        });
                        weighed.failed.extend(failed);
                    }
                }
            }
        }
        weighed
    }
}
