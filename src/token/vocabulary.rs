//! What the words in tokens mean to this resource.

use super::hierarchy::ScopeHierarchy;
use crate::detail::DetailTypes;
use crate::names::Audience;

/// The words in tokens that this resource understands.
#[derive(Debug, Clone)]
pub(crate) struct Vocabulary {
    /// The names of this resource. The first is the one that is published.
    pub(crate) audiences: Vec<Audience>,
    pub(crate) hierarchy: Option<ScopeHierarchy>,
    pub(crate) detail_types: Option<DetailTypes>,
}
