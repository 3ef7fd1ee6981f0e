//! Scopes that imply other scopes. Nothing is implied unless a resource says so.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::names::Scope;

/// Which scopes imply which others, transitively.
///
/// If a server has broad and narrow scopes, the broad one must count as the narrow one (MCP authorization, revision
/// 2026-07-28). By default no scope implies another. [`AccessToken::allows`](crate::AccessToken::allows) and
/// [`Require`](crate::Require) use the hierarchy; [`AccessToken::scopes`](crate::AccessToken::scopes) returns what the
/// token says.
///
/// Set it with [`Guard::scope_hierarchy`](crate::Guard::scope_hierarchy) or
/// [`Validation::scope_hierarchy`](crate::token::Validation::scope_hierarchy).
///
/// ```
/// use unconfused::token::ScopeHierarchy;
/// use unconfused::Scope;
///
/// const ADMIN: Scope = Scope::from_static("files:admin");
/// const WRITE: Scope = Scope::from_static("files:write");
/// const READ: Scope = Scope::from_static("files:read");
///
/// let hierarchy = ScopeHierarchy::new([(ADMIN, vec![WRITE]), (WRITE, vec![READ])])?;
/// assert!(hierarchy.implies("files:admin", &READ));
/// assert!(!hierarchy.implies("files:read", &WRITE));
///
/// // a cycle is an error
/// assert!(ScopeHierarchy::new([(READ, vec![WRITE]), (WRITE, vec![READ])]).is_err());
/// # Ok::<(), unconfused::error::ScopeCycle>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopeHierarchy {
    /// Each scope that others imply, with those.
    broader: BTreeMap<String, BroaderScopes>,
}

/// All scopes that imply one scope, without itself, in their [order](Self::order).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct BroaderScopes(Vec<String>);

impl BroaderScopes {
    pub(super) fn contains(&self, held: &str) -> bool {
        self.0.binary_search_by(|scope| BroaderScopes::order(scope, held)).is_ok()
    }

    /// By length first: scopes of one service begin alike, so their lengths tell most of them apart sooner.
    fn order(one: &str, other: &str) -> Ordering {
        one.len().cmp(&other.len()).then_with(|| one.cmp(other))
    }
}

/// The error of [`ScopeHierarchy::new`]: a scope implies itself, directly or through others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the scope `{scope}` implies itself")]
pub struct ScopeCycle {
    scope: Scope,
}

impl ScopeCycle {
    /// Returns the scope.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }
}

impl ScopeHierarchy {
    /// Creates a hierarchy from pairs of a scope and those that it implies directly.
    ///
    /// # Errors
    ///
    /// Returns [`ScopeCycle`] if a scope implies itself, directly or through others.
    pub fn new(
        implications: impl IntoIterator<Item = (Scope, impl IntoIterator<Item = Scope>)>,
    ) -> Result<Self, ScopeCycle> {
        let mut direct: BTreeMap<Scope, BTreeSet<Scope>> = BTreeMap::new();
        for (broad, narrow) in implications {
            direct.entry(broad).or_default().extend(narrow);
        }
        let mut hierarchy = ScopeHierarchy::default();
        for broad in direct.keys() {
            let mut reached: BTreeSet<&Scope> = BTreeSet::new();
            let mut pending: Vec<&Scope> = vec![broad];
            while let Some(scope) = pending.pop() {
                for next in direct.get(scope).into_iter().flatten() {
                    if next == broad {
                        return Err(ScopeCycle { scope: broad.clone() });
                    }
                    if reached.insert(next) {
                        pending.push(next);
                    }
                }
            }
            for narrow in reached {
                let broader = hierarchy.broader.entry(narrow.as_str().to_owned()).or_default();
                broader.0.push(broad.as_str().to_owned());
            }
        }
        for broader in hierarchy.broader.values_mut() {
            broader.0.sort_unstable_by(|one, other| BroaderScopes::order(one, other));
        }
        Ok(hierarchy)
    }

    /// Returns true if `held` implies `asked`. A scope does not imply itself.
    #[must_use]
    pub fn implies(&self, held: &str, asked: &Scope) -> bool {
        self.broader(asked).is_some_and(|broader| broader.contains(held))
    }

    /// The scopes that imply `asked`. `None` if there are none.
    pub(super) fn broader(&self, asked: &Scope) -> Option<&BroaderScopes> {
        self.broader.get(asked.as_str())
    }
}
