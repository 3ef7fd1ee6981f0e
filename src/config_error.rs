//! The error of set-up.

use std::fmt;

use crate::printable::without_secrets;

/// A setting cannot be used.
///
/// One rule says when set-up returns this error and when it panics:
///
/// - Set-up **returns an error** for a text that it cannot use, since a text may come from a configuration file: the
///   URL of an issuer or of its keys, a base URL, a template of issuer names, an audience that must be a URL.
/// - Set-up **panics** for any other mistake, since that is one in the program and visible at the call site: a number
///   outside its range, an issuer that is trusted twice, a requirement for which the guard has no store. Each method
///   lists its panics.
///
/// Names have an error of their own, [`InvalidName`](crate::error::InvalidName), by the same rule.
///
/// The message contains the value as it was given, but for the user and the query of a URL, which may be secret.
///
/// ```
/// use unconfused::proof::Dpop;
///
/// let error = Dpop::for_base_url("api.example.com").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "`api.example.com` is not a base URL: expected http or https and a host, without user, query and fragment"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    value: String,
    expected: &'static str,
    problem: String,
}

impl ConfigError {
    /// Makes the error that says: `value` is not `expected`, because of `problem`.
    pub(crate) fn new(value: &str, expected: &'static str, problem: impl Into<String>) -> Self {
        ConfigError {
            value: without_secrets(value).into_owned(),
            expected,
            problem: problem.into(),
        }
    }

    /// Returns the value that cannot be used, without the user and the query of a URL.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns what is wrong with the value.
    #[must_use]
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not {}: {}", self.value, self.expected, self.problem)
    }
}

impl std::error::Error for ConfigError {}
