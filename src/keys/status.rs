//! How it stands with the keys of an issuer, for a readiness probe and for the operator.

use std::fmt;
use std::time::Duration;

/// In what state the keys of an issuer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyState {
    /// A source of the owner's that does not say.
    Unreported,
    /// They were handed in, and do not change.
    Fixed,
    /// They were never fetched. Tokens are answered with 503.
    Missing,
    /// They were fetched lately.
    Fresh,
    /// They could not be renewed, and still serve.
    Stale,
    /// They could not be renewed for so long that they do not serve any more. Tokens are answered with 503.
    Expired,
}

impl KeyState {
    /// Its name: `unreported`, `fixed`, `missing`, `fresh`, `stale` or `expired`.
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

/// How it stands with the keys of one issuer: a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyStatus {
    /// In what state they are.
    pub state: KeyState,
    /// How long ago the last good fetch was.
    pub age: Option<Duration>,
    /// How many keys can be used.
    pub keys: usize,
    /// How many keys were passed over.
    pub skipped: usize,
    /// What went wrong at the last fetch. For the operator.
    pub last_error: Option<String>,
    /// How many fetches were begun.
    pub fetches: u64,
}

impl KeyStatus {
    pub(super) fn of(state: KeyState) -> Self {
        KeyStatus { state, age: None, keys: 0, skipped: 0, last_error: None, fetches: 0 }
    }

    /// True where tokens can be verified: there is a key that serves, or the source does not say.
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
        match &self.last_error {
            Some(error) => write!(f, " last_error={error:?}"),
            None => Ok(()),
        }
    }
}

/// How it stands with all issuers of a guard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    issuers: Vec<(String, KeyStatus)>,
}

impl Readiness {
    pub(crate) fn of(issuers: Vec<(String, KeyStatus)>) -> Self {
        Readiness { issuers }
    }

    /// True where the tokens of every issuer can be verified; of tenants nothing is known here. Where one issuer
    /// of many should not stop the service, make your own rule from [`issuers`](Self::issuers).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.issuers.iter().all(|(_, status)| status.is_ready())
    }

    /// Each issuer by its name.
    pub fn issuers(&self) -> impl Iterator<Item = (&str, &KeyStatus)> {
        self.issuers.iter().map(|(name, status)| (&**name, status))
    }
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, status) in &self.issuers {
            writeln!(f, "{name}: {status}")?;
        }
        Ok(())
    }
}
