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

/// How deep brackets may be nested, and how many operators a policy or a declaration may have. Cedar descends into both by
/// recursion, and a stack that overflows would end the process.
const MAX_NESTING: usize = 50;
const MAX_OPERATORS: usize = 1_000;

/// How many characters of a line an error shows.
const MAX_SHOWN: usize = 120;

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

    /// Refuses what is nested so deep, or chained so long, that reading it could overflow the stack.
    pub(super) fn check_depth(self) -> Result<(), ConfigError> {
        let mut depth: usize = 0;
        let mut operators: usize = 0;
        let mut before = b' ';
        let mut bytes = self.text.bytes().enumerate().peekable();
        while let Some((at, byte)) = bytes.next() {
            let begins_word = !(before.is_ascii_alphanumeric() || before == b'_');
            let is_second = before == byte || (byte == b'=' && b"=!<>".contains(&before));
            before = byte;
            match byte {
                b'"' => {
                    while let Some((_, inner)) = bytes.next() {
                        match inner {
                            b'\\' => drop(bytes.next()),
                            b'"' => break,
                            _ => {}
                        }
                    }
                }
                b'/' if bytes.next_if(|(_, next)| *next == b'/').is_some() => {
                    while bytes.next_if(|(_, next)| *next != b'\n').is_some() {}
                }
                b'[' => {
                    depth = depth.saturating_add(1);
                    operators = operators.saturating_add(1);
                }
                b'(' | b'{' => depth = depth.saturating_add(1),
                b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                b';' => operators = 0,
                b'!' | b'+' | b'-' | b'*' | b'.' => operators = operators.saturating_add(1),
                // Of `&&`, `||`, `==`, `<=` and `>=`, the first.
                b'&' | b'|' | b'=' | b'<' | b'>' if !is_second => {
                    operators = operators.saturating_add(1);
                }
                // `if` and `in`, `is`, `has`, `like`: whatever begins with their letters.
                b'i' | b'h' | b'l' if begins_word => operators = operators.saturating_add(1),
                _ => {}
            }
            if depth > MAX_NESTING || operators > MAX_OPERATORS {
                let problem = format!(
                    "more than {MAX_NESTING} brackets in each other, or {MAX_OPERATORS} operators in one policy"
                );
                return Err(self.at(Some(at), &problem));
            }
        }
        Ok(())
    }

    /// The error for what Cedar says, with the line that it names.
    pub(super) fn error(self, error: impl Into<DetailedError>) -> ConfigError {
        let DetailedError { message, help, source_locations, .. } = error.into();
        let at = source_locations.first().map(|label| label.loc.start);
        let hint = help.map_or(String::new(), |help| format!("; {help}"));
        self.at(at, &format!("{message}{hint}"))
    }

    /// The error for the first of what Cedar says, by its place, whatever the order is in which Cedar says it.
    pub(super) fn first_error<E: Into<DetailedError>>(
        self,
        errors: impl Iterator<Item = E>,
    ) -> Result<(), ConfigError> {
        let place = |error: &DetailedError| {
            let start = error.source_locations.first().map(|label| label.loc.start);
            (start, error.message.clone())
        };
        match errors.map(Into::into).min_by_key(place) {
            None => Ok(()),
            Some(error) => Err(self.error(error)),
        }
    }

    /// The error for a problem at this place, in bytes from the start of the text, if it is known.
    pub(super) fn at(self, at: Option<usize>, problem: &str) -> ConfigError {
        let before = at.and_then(|at| self.text.get(..at));
        let Some(before) = before else {
            return ConfigError::new("the text", self.expected, problem);
        };
        let line = before.matches('\n').count();
        let shown = self.text.lines().nth(line).unwrap_or_default().trim();
        let shown: String = shown.chars().take(MAX_SHOWN).collect();
        let number = line.saturating_add(1);
        ConfigError::new(&shown, self.expected, format!("line {number}: {problem}"))
    }

    /// The error for a problem of a part of the text.
    pub(super) fn in_part(self, part: Option<&str>, problem: &str) -> ConfigError {
        self.at(part.and_then(|part| self.text.find(part)), problem)
    }
}
