//! What a guard says of itself, for the list of its operations.

use super::listed::ListedOperation;
use crate::names::Audience;

/// What a guard knows, for the list of its operations.
pub(crate) struct Known {
    pub(crate) audiences: Vec<Audience>,
    pub(crate) issuers: Vec<KnownIssuer>,
    pub(crate) listed: Vec<ListedOperation>,
    pub(crate) unnamed_layers: usize,
}

/// What stands out in the settings of an issuer.
pub(crate) struct KnownIssuer {
    pub(crate) name: String,
    /// Its profile tells access tokens from tokens of other kinds.
    pub(crate) kind_is_checked: bool,
    /// Its tokens may have no audience.
    pub(crate) audience_is_optional: bool,
}
