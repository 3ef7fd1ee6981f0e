//! Why there is no token for the next hop.

use std::borrow::Cow;
use std::time::Duration;

use crate::denial::Denial;
use crate::names::Acr;
use crate::reason::Reason;
use crate::require::Unmet;

/// Why there is no token for what this service calls next.
///
/// [`NextHop::token`](super::NextHop::token) turns it into a [`Denial`] and records it. With `from` you make such a
/// denial yourself, without the decision and the resource's own words.
///
/// ```
/// use unconfused::next_hop::HopError;
/// use unconfused::{Denial, Reason};
///
/// let denial = Denial::from(HopError::StepUp { acr_values: Vec::new(), max_age: None });
/// assert_eq!(denial.reason(), Reason::AuthenticationLevelInsufficient); // 401: the subject authenticates again
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HopError {
    /// The server, or the resource behind this one, asks the subject to authenticate again
    /// ([RFC 9470](https://www.rfc-editor.org/rfc/rfc9470)). The denial is an ordinary challenge (401), which travels
    /// back to the client.
    #[error("the subject must authenticate again")]
    StepUp {
        /// The authentication context classes of which one is sufficient. At most 8.
        acr_values: Vec<Acr>,
        /// How long ago the subject may have authenticated.
        max_age: Option<Duration>,
    },
    /// The server does not issue this token, by this OAuth error, for example `invalid_target`. Denied with
    /// [`next_hop_refused`](Reason::NextHopRefused), 403.
    #[error("the authorization server refuses: {0}")]
    Refused(String),
    /// The server cannot be reached, does not answer in time, or does not accept this service as its client. Denied with
    /// [`next_hop_unavailable`](Reason::NextHopUnavailable), 503.
    #[error("no token from the authorization server: {0}")]
    Unavailable(String),
    /// The server issued something that was not asked for: wider, for another resource or of another type. It is not
    /// used. Denied with [`next_hop_unavailable`](Reason::NextHopUnavailable), 503.
    #[error("the answer of the authorization server cannot be used: {0}")]
    Unacceptable(Cow<'static, str>),
    /// The service is set up wrongly. Denied with [`internal_error`](Reason::InternalError), 500.
    #[error("{0}")]
    Misconfigured(&'static str),
}

impl HopError {
    pub(super) fn unacceptable(problem: impl Into<Cow<'static, str>>) -> Self {
        HopError::Unacceptable(problem.into())
    }

    /// True if a token that was issued before may be used until its end.
    pub(super) fn is_outage(&self) -> bool {
        matches!(self, HopError::Unavailable(_) | HopError::Unacceptable(_))
    }
}

impl From<HopError> for Denial {
    fn from(error: HopError) -> Self {
        let detail = error.to_string();
        let denial: Denial = match error {
            HopError::StepUp { acr_values, max_age } => Unmet::step_up(acr_values, max_age).into(),
            HopError::Refused(_) => Reason::NextHopRefused.into(),
            HopError::Unavailable(_) | HopError::Unacceptable(_) => {
                Reason::NextHopUnavailable.into()
            }
            HopError::Misconfigured(_) => Reason::InternalError.into(),
        };
        denial.with_detail(detail)
    }
}
