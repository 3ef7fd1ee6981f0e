//! What is wrong with a text, and in which line.

use cedar_policy::ffi::DetailedError;

use crate::config_error::ConfigError;

/// A text that is loaded: policies, or a schema.
#[derive(Clone, Copy)]
pub(super) struct Text<'t> {
    text: &'t str,
    /// What it should be.
    expected: &'static str,
}

impl<'t> Text<'t> {
    pub(super) fn policies(text: &'t str) -> Self {
        Text { text, expected: "a Cedar policy that can be used" }
    }

    pub(super) fn schema(text: &'t str) -> Self {
        Text { text, expected: "a Cedar schema that can be used" }
    }

    pub(super) fn as_str(self) -> &'t str {
        self.text
    }

    /// The error for what Cedar says, with the line that it names.
    pub(super) fn error(self, error: impl Into<DetailedError>) -> ConfigError {
        let DetailedError { message, help, source_locations, .. } = error.into();
        let at = source_locations.first().map(|label| label.loc.start);
        let hint = help.map_or(String::new(), |help| format!("; {help}"));
        self.at(at, &format!("{message}{hint}"))
    }

    /// The error for a problem at this place, in bytes from the start of the text, if it is known.
    pub(super) fn at(self, at: Option<usize>, problem: &str) -> ConfigError {
        let before = at.and_then(|at| self.text.get(..at));
        let Some(before) = before else {
            return ConfigError::new("the text", self.expected, problem);
        };
        let line = before.matches('\n').count();
        let shown = self.text.lines().nth(line).unwrap_or_default().trim();
        let number = line.saturating_add(1);
        ConfigError::new(shown, self.expected, format!("line {number}: {problem}"))
    }

    /// The error for a problem of a part of the text.
    pub(super) fn in_part(self, part: Option<&str>, problem: &str) -> ConfigError {
        self.at(part.and_then(|part| self.text.find(part)), problem)
    }
}
