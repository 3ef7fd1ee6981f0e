//! Scopes that imply other scopes: the owner's data, opt-in.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::Scope;

/// Which scope implies which, transitively.
///
/// A server that has broad and narrow scopes must count the broad one for the narrow
/// (MCP authorization, revision 2026-07-28). Nothing is implied that is not written here, and
/// [`AccessToken::scopes`](crate::AccessToken::scopes) stays what the token says.
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
/// assert!(ScopeHierarchy::new([(READ, vec![WRITE]), (WRITE, vec![READ])]).is_err());
/// # Ok::<(), unconfused::error::ScopeCycle>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopeHierarchy {
    /// Each scope with all that it implies, itself not named.
    implied: BTreeMap<String, BTreeSet<String>>,
}

/// A scope implies itself by way of others: then they are one scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the scope `{scope}` implies itself")]
pub struct ScopeCycle {
    scope: Scope,
}

impl ScopeCycle {
    /// The scope.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }
}

impl ScopeHierarchy {
    /// A hierarchy from pairs of a scope and those it implies directly.
    ///
    /// # Errors
    ///
    /// [`ScopeCycle`] where a scope implies itself, directly or by way of others.
    pub fn new(
        implications: impl IntoIterator<Item = (Scope, impl IntoIterator<Item = Scope>)>,
    ) -> Result<Self, ScopeCycle> {
        let mut direct: BTreeMap<Scope, BTreeSet<Scope>> = BTreeMap::new();
        for (broad, narrow) in implications {
            direct.entry(broad).or_default().extend(narrow);
        }
        let mut implied = BTreeMap::new();
        for broad in direct.keys() {
            let mut reached: BTreeSet<String> = BTreeSet::new();
            let mut open: Vec<&Scope> = vec![broad];
            while let Some(scope) = open.pop() {
                for next in direct.get(scope).into_iter().flatten() {
                    if next == broad {
                        return Err(ScopeCycle { scope: broad.clone() });
                    }
                    if reached.insert(next.as_str().to_owned()) {
                        open.push(next);
                    }
                }
            }
            implied.insert(broad.as_str().to_owned(), reached);
        }
        Ok(ScopeHierarchy { implied })
    }

    /// True where `held` is not `asked` but implies it.
    #[must_use]
    pub fn implies(&self, held: &str, asked: &Scope) -> bool {
        self.implied.get(held).is_some_and(|implied| implied.contains(asked.as_str()))
    }
}
