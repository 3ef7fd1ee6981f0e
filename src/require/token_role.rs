//! What a token may be used for, as far as approvals are concerned.

/// Whether a token is that of a transaction, which is authority for this one and for nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenRole {
    /// Nothing here asks for approvals or recognizes them.
    Unknown,
    /// It is not that of a transaction.
    Ordinary {
        /// The client understands a challenge that asks for an approval.
        can_be_challenged: bool,
    },
    /// It is that of a transaction, and the operation provides for one. Which one is not checked yet.
    Transaction,
    /// It is that of a transaction, and the operation does not provide for one.
    Misused,
}

impl TokenRole {
    pub(super) fn is_ordinary(self) -> bool {
        matches!(self, TokenRole::Ordinary { .. })
    }

    pub(super) fn can_be_challenged(self) -> bool {
        self == TokenRole::Ordinary { can_be_challenged: true }
    }
}
