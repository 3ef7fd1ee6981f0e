//! The state of an issuer's keys, for a readiness probe and for the operator.

use std::fmt;
use std::time::Duration;

use crate::replay::StoreStatus;

/// The state of an issuer's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyState {
    /// The [`KeySource`](super::KeySource) does not report a state. Counts as ready.
    Unreported,
    /// The keys were passed in and do not change.
    Fixed,
    /// The keys were never fetched. Requests with a token are answered with 503.
    Missing,
    /// The keys were fetched recently enough. If the set has no key that can be used, requests with a token are answered
    /// with 503.
    Fresh,
    /// The keys could not be renewed, and are still used.
    Stale,
    /// The keys could not be renewed for so long that they are no longer used. Requests with a token are answered with
    /// 503.
    Expired,
}

impl KeyState {
    /// Returns the name: `unreported`, `fixed`, `missing`, `fresh`, `stale` or `expired`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            KeyState::Unreported => "unreported",
            KeyState::Fixed => "fixed",
            KeyState::Missing => "missing",
            KeyState::Fresh => "fresh",
            KeyState::Stale => "stale",
            KeyState::Expired => "expired",
        }
    }
}

/// A snapshot of the state of one issuer's keys.
///
/// See [`Readiness`] for an example. `Display` writes one line, for a log or a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyStatus {
    /// The state of the keys.
    pub state: KeyState,
    /// The time since the last successful fetch began.
    pub age: Option<Duration>,
    /// The number of keys that can be used.
    pub keys: usize,
    /// The number of keys that were skipped because they cannot be used.
    pub skipped: usize,
    /// What went wrong at the last fetch, for the operator.
    pub last_error: Option<String>,
    /// The number of fetches that were started.
    pub fetches: u64,
    /// True if the keys may be fetched over plain `http`: what is between the issuer and this service could hand out
    /// other keys.
    pub without_tls: bool,
}

impl KeyStatus {
    pub(super) fn new(state: KeyState) -> Self {
        KeyStatus {
            state,
            age: None,
            keys: 0,
            skipped: 0,
            last_error: None,
            fetches: 0,
            without_tls: false,
        }
    }

    /// Returns true if tokens can be verified: there is a key that can be used, or the source does not report a state.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match self.state {
            KeyState::Unreported => true,
            KeyState::Missing | KeyState::Expired => false,
            KeyState::Fixed | KeyState::Fresh | KeyState::Stale => self.keys > 0,
        }
    }
}

impl fmt::Display for KeyStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys={} skipped={}", self.state.as_str(), self.keys, self.skipped)?;
        if let Some(age) = self.age {
            write!(f, " age={}", age.as_secs())?;
        }
        write!(f, " fetches={}", self.fetches)?;
        if self.without_tls {
            f.write_str(" without_tls")?;
        }
        match &self.last_error {
            Some(error) => write!(f, " last_error={error:?}"),
            None => Ok(()),
        }
    }
}

/// A snapshot of the keys of every issuer that a guard trusts, and of its replay stores.
///
/// Returned by [`Guard::ready`](crate::Guard::ready), which fetches what is missing and waits for it, and by
/// [`Guard::readiness`](crate::Guard::readiness), which answers at once, for a probe. `Display` writes all issuers and
/// stores on one line, separated by semicolons.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use unconfused::keys::{KeySet, KeyState};
/// use unconfused::{Audience, Guard, Issuer};
/// # use unconfused::testing::TestIssuer;
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// # let keys = TestIssuer::new("https://login.example").keys();
///
/// let guard = Guard::new(ORDERS, Issuer::new("https://login.example", keys));
/// let readiness = guard.readiness();
/// assert!(readiness.is_ready());
/// assert_eq!(readiness.to_string(), "https://login.example: fixed keys=1 skipped=0 fetches=0");
///
/// // An issuer without a key that can be used: a probe should answer 503.
/// let guard = guard.trust(Issuer::new("https://partner.example", KeySet::default()));
/// let readiness = guard.readiness();
/// assert!(!readiness.is_ready());
/// let waiting: Vec<_> = readiness.issuers().filter(|(_, keys)| !keys.is_ready()).collect();
/// assert_eq!(waiting[0].0, "https://partner.example");
/// assert_eq!(waiting[0].1.state, KeyState::Fixed);
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    issuers: Vec<(String, KeyStatus)>,
    stores: Vec<(&'static str, StoreStatus)>,
}

impl Readiness {
    pub(crate) fn new(
        issuers: Vec<(String, KeyStatus)>,
        stores: Vec<(&'static str, StoreStatus)>,
    ) -> Self {
        Readiness { issuers, stores }
    }

    /// Returns true if the tokens of every issuer can be verified, and no store is
    /// [`Misconfigured`](StoreStatus::Misconfigured).
    ///
    /// Tenants are not included. If one issuer of many should not stop the service, make your own rule from
    /// [`issuers`](Self::issuers) and [`stores`](Self::stores).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.has_keys() && self.stores.iter().all(|(_, status)| status.is_ready())
    }

    /// True if the tokens of every issuer can be verified.
    pub(crate) fn has_keys(&self) -> bool {
        self.issuers.iter().all(|(_, status)| status.is_ready())
    }

    /// Returns each issuer's name and the state of its keys.
    pub fn issuers(&self) -> impl Iterator<Item = (&str, &KeyStatus)> {
        self.issuers.iter().map(|(name, status)| (&**name, status))
    }

    /// Returns what each store remembers, `proofs` or `spent tokens`, and how the store is.
    pub fn stores(&self) -> impl Iterator<Item = (&'static str, &StoreStatus)> {
        self.stores.iter().map(|(name, status)| (*name, status))
    }
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, status) in &self.issuers {
            write!(f, "{separator}{name}: {status}")?;
            separator = "; ";
        }
        for (name, status) in &self.stores {
            write!(f, "{separator}store of {name}: {status}")?;
            separator = "; ";
        }
        Ok(())
    }
}
