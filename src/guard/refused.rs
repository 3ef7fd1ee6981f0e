//! A request that is refused before its token is validated.

use std::sync::Arc;

use crate::denial::Denial;
use crate::keys::KeysUnavailable;
use crate::reason::Reason;
use crate::token::{Claims, InvalidToken};

/// Why a request is refused before its token is validated.
pub(super) struct Refused {
    pub(super) denial: Denial,
    /// The claims, if the signature of the token was verified. The record may show them.
    pub(super) claims: Option<Arc<Claims>>,
}

impl From<Denial> for Refused {
    fn from(denial: Denial) -> Self {
        Refused { denial, claims: None }
    }
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Refused::from(Denial::from(reason))
    }
}

impl From<KeysUnavailable> for Refused {
    fn from(unavailable: KeysUnavailable) -> Self {
        Refused::from(Denial::from(unavailable))
    }
}

impl From<InvalidToken> for Refused {
    fn from(invalid: InvalidToken) -> Self {
        Refused { denial: (&invalid).into(), claims: invalid.into_claims() }
    }
}
