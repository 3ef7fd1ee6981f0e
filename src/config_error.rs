//! The error of set-up.

use std::fmt;

/// A setting cannot be used.
///
/// Set-up returns this for text that may come from a configuration file: a URL, a base URL, a template of
/// issuers, an audience that must be a URL. It panics for a mistake that is visible at the call site, such as an
/// issuer that is trusted twice or a requirement that the guard has no store for; each method lists its panics.
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
    /// `value` is not `expected`, because of `problem`.
    pub(crate) fn new(value: &str, expected: &'static str, problem: impl Into<String>) -> Self {
        ConfigError { value: value.to_owned(), expected, problem: problem.into() }
    }

    /// The value that was refused.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// What is wrong with the value.
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
