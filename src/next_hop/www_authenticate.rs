//! The challenges of another resource, as they are in `WWW-Authenticate` (RFC 9110 section 11.6.1).

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// The most fields of an answer that are read.
const MAX_FIELDS: usize = 8;

/// One challenge: a scheme and its parameters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

/// The most parameters of a challenge that are read. A challenge with more counts for nothing.
const MAX_PARAMETERS: usize = 32;

impl Challenge {
    /// True if it is of this scheme, whatever its case.
    pub(super) fn is_of(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// The value of a parameter. `None` if it is there twice.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut found =
            self.parameters.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }
}

/// Reads the challenges of an answer.
pub(super) fn challenges(headers: &HeaderMap) -> impl Iterator<Item = Challenge> {
    let fields = headers.get_all(WWW_AUTHENTICATE).iter();
    fields.filter_map(|field| field.to_str().ok()).take(MAX_FIELDS).flat_map(challenges_in)
}

/// Reads the challenges of one field. What cannot be read ends the list: what was read before it counts.
fn challenges_in(field: &str) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    let mut rest = field.trim_start_matches([' ', '\t', ',']);
    while let Some((word, after)) = token(rest) {
        let spaced = after.trim_start_matches([' ', '\t']);
        // `name=value` belongs to the challenge before; a word with something else behind it begins one.
        if let Some(value) = spaced.strip_prefix('=').filter(|_| !found.is_empty()) {
            let Some((value, after)) = value_of(value.trim_start_matches([' ', '\t'])) else {
                break;
            };
            let Some(last) = found.last_mut() else { break };
            if last.parameters.len() == MAX_PARAMETERS {
                found.pop();
                break;
            }
            last.parameters.push((word.to_owned(), value));
            let Some(next) = end_of_item(after) else { break };
            rest = next;
        } else {
            found.push(Challenge { scheme: word.to_owned(), parameters: Vec::new() });
            rest = spaced.trim_start_matches([' ', '\t', ',']);
        }
    }
    found
}

/// What follows a parameter: the end, or a comma and what is behind it.
fn end_of_item(after: &str) -> Option<&str> {
    let after = after.trim_start_matches([' ', '\t']);
    match after.is_empty() {
        true => Some(""),
        false => after.strip_prefix(',').map(|rest| rest.trim_start_matches([' ', '\t', ','])),
    }
}

fn token(text: &str) -> Option<(&str, &str)> {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let end = text.bytes().position(|byte| !is_tchar(byte)).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(token, _)| !token.is_empty())
}

/// Reads a token or a quoted string, and returns what follows it.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return token(text).map(|(value, rest)| (value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, quoted.get(at.saturating_add(1)..)?)),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(field: &str) -> Vec<(String, Vec<(String, String)>)> {
        challenges_in(field).into_iter().map(|found| (found.scheme, found.parameters)).collect()
    }

    fn one(scheme: &str, parameters: &[(&str, &str)]) -> (String, Vec<(String, String)>) {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        (scheme.to_owned(), parameters.iter().map(owned).collect())
    }

    #[test]
    fn challenges_are_read_as_they_may_be_written() {
        let error = [("error", "a b"), ("max_age", "5")];
        for field in [
            r#"Bearer error="a b", max_age=5"#,
            r#"Bearer error = "a b" ,max_age="5""#,
            r#", Bearer   error="a\ b",, max_age=5 ,"#,
        ] {
            assert_eq!(read(field), [one("Bearer", &error)], "{field}");
        }
        let two = r#"Bearer error="x, DPoP y=\"z\"", DPoP algs="ES256", error=use_dpop_nonce"#;
        assert_eq!(
            read(two),
            [
                one("Bearer", &[("error", r#"x, DPoP y="z""#)]),
                one("DPoP", &[("algs", "ES256"), ("error", "use_dpop_nonce")]),
            ]
        );
        assert_eq!(read("Negotiate, Bearer"), [one("Negotiate", &[]), one("Bearer", &[])]);
    }

    #[test]
    fn what_cannot_be_read_counts_for_nothing() {
        assert_eq!(read(""), []);
        assert_eq!(read(r#"Bearer error="open"#), [one("Bearer", &[])]);
        assert_eq!(read("Bearer error=a b=c"), [one("Bearer", &[("error", "a")])]);
        let many: Vec<_> = (0..40).map(|n| format!("p{n}=1")).collect();
        assert_eq!(read(&format!("Bearer {}", many.join(", "))), []);
    }

    #[test]
    fn a_parameter_that_is_there_twice_has_no_value() {
        let found = challenges_in(r#"Bearer error="a", Error="b", x=1"#);
        assert_eq!((found[0].get("error"), found[0].get("X")), (None, Some("1")));
    }
}
