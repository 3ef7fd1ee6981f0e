//! The text that the person who approves is shown: the owner's words, with values of the detail.

use std::fmt::Write as _;

use serde_json::Value;

use crate::printable::Printable;

/// A template: text, and members of a detail in braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReasonText(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The name of a member, or names with dots between them.
    Value(String),
}

impl ReasonText {
    /// Reads a template. `None` if a brace has no counterpart.
    pub(super) fn parse(template: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((text, after)) = rest.split_once('{') {
            let (path, after) = after.split_once('}')?;
            if text.contains('}') || path.is_empty() || path.contains('{') {
                return None;
            }
            parts.push(Part::Text(text.to_owned()));
            parts.push(Part::Value(path.to_owned()));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        (!rest.contains('}') && !template.trim().is_empty()).then_some(ReasonText(parts))
    }

    /// Writes the text for a detail. The error names the member that is missing, or is too long to be shown whole.
    pub(super) fn fill(&self, detail: &Value) -> Result<String, String> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(own) => text.push_str(own),
                Part::Value(path) => {
                    let value = value_at(detail, path).and_then(|value| shown(value, Shown::Plain));
                    text.push_str(&value.ok_or_else(|| path.clone())?);
                }
            }
        }
        Ok(text)
    }

    /// Writes the type of a detail and all its members, for a type without a template. Values stand between quotes, so
    /// that none looks like another member.
    pub(super) fn list(type_name: &str, detail: &Value) -> Result<String, String> {
        let mut text = shown(&Value::from(type_name), Shown::Plain).ok_or("type")?;
        let mut separator = ": ";
        list_members(detail, "", &mut |path, value| {
            let value = shown(value, Shown::Quoted).ok_or_else(|| path.to_owned())?;
            let _ = write!(text, "{separator}{} = {value}", Printable::from(path));
            separator = ", ";
            Ok(())
        })?;
        Ok(text)
    }
}

/// Calls `each` with the path and value of all members but the type.
fn list_members(
    object: &Value,
    prefix: &str,
    each: &mut dyn FnMut(&str, &Value) -> Result<(), String>,
) -> Result<(), String> {
    for (name, value) in object.as_object().into_iter().flatten() {
        let path = format!("{prefix}{name}");
        match value {
            Value::Object(_) => list_members(value, &format!("{path}."), each)?,
            _ if path == "type" => {}
            _ => each(&path, value)?,
        }
    }
    Ok(())
}

/// The member of this name, or the one that the names between the dots lead to.
fn value_at<'v>(detail: &'v Value, path: &str) -> Option<&'v Value> {
    detail.get(path).or_else(|| path.split('.').try_fold(detail, |value, name| value.get(name)))
}

/// How a text is shown.
#[derive(Clone, Copy)]
enum Shown {
    Plain,
    /// Between quotes, which it cannot end.
    Quoted,
}

/// A text or a set as it is shown, escaped. `None` if it is something else, or too long to be shown whole.
fn shown(value: &Value, how: Shown) -> Option<String> {
    let texts: Vec<_> = match value {
        Value::String(text) => vec![text.as_str()],
        Value::Array(texts) => texts.iter().map(Value::as_str).collect::<Option<_>>()?,
        _ => return None,
    };
    let length: usize = texts.iter().map(|text| text.chars().count()).sum();
    let show = |text: &str| {
        let text = isolated(Printable::from(text).to_string());
        match how {
            Shown::Plain => text,
            Shown::Quoted => format!("\"{text}\""),
        }
    };
    (length <= Printable::LIMIT).then(|| texts.into_iter().map(show).collect::<Vec<_>>().join(", "))
}

/// Isolates a text that has letters of a script that is written from right to left (UAX #9): it would draw the numbers
/// that follow it to its other side. It is escaped, so it cannot end the isolation.
fn isolated(text: String) -> String {
    let is_right_to_left = |c: char| {
        matches!(c,
            '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}'
            | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
    };
    if text.contains(is_right_to_left) { format!("\u{2068}{text}\u{2069}") } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_is_the_owners_words_and_the_details_values() {
        let detail = json!({
            "type": "payment", "actions": ["a", "b"], "creditorName": "Eve\u{202e}\nLtd",
            "instructedAmount": {"amount": "12.5", "currency": "EUR"},
        });
        let fill = |template: &str| ReasonText::parse(template).unwrap().fill(&detail);
        assert_eq!(
            fill(
                "Pay {instructedAmount.amount} {instructedAmount.currency} to {creditorName}? ({actions})"
            ),
            Ok(r"Pay 12.5 EUR to Eve\u{202e}\nLtd? (a, b)".to_owned())
        );
        assert_eq!(fill("Pay {iban}"), Err("iban".to_owned()));
        assert_eq!(fill("Pay {instructedAmount}"), Err("instructedAmount".to_owned()));
        assert_eq!(
            ReasonText::list("payment", &detail),
            Ok(r#"payment: actions = "a", "b", creditorName = "Eve\u{202e}\nLtd", instructedAmount.amount = "12.5", instructedAmount.currency = "EUR""#.to_owned())
        );
        let long = json!({"type": "t", "to": "x".repeat(257)});
        assert_eq!(ReasonText::parse("{to}").unwrap().fill(&long), Err("to".to_owned()));
        assert_eq!(ReasonText::list("t", &long), Err("to".to_owned()));
    }

    #[test]
    fn no_value_looks_like_text_of_the_owner() {
        let list = |to: &str| ReasonText::list("t", &json!({"amount": "5000", "to": to})).unwrap();
        assert_eq!(
            list("Eve, amount = 1, to = x"),
            r#"t: amount = "5000", to = "Eve, amount = 1, to = x""#
        );
        assert_eq!(list("x\", amount = \"1"), r#"t: amount = "5000", to = "x\", amount = \"1""#);
        let set = ReasonText::list("t", &json!({"to": ["a", "b, c"]})).unwrap();
        assert_eq!(set, r#"t: to = "a", "b, c""#);
        let fill = |to: &str| {
            let text = ReasonText::parse("Pay {amount} to \"{to}\" of {limit}").unwrap();
            text.fill(&json!({"amount": "1", "to": to, "limit": "9"})).unwrap()
        };
        // Braces in a value are no template, and a quote does not end the quotation.
        assert_eq!(fill("{limit}"), "Pay 1 to \"{limit}\" of 9");
        assert_eq!(fill("x\" of 0 \""), "Pay 1 to \"x\\\" of 0 \\\"\" of 9");
        // Letters from right to left do not move the numbers that follow, and isolates in a value are escaped.
        assert_eq!(fill("\u{5d0}\u{5d1}"), "Pay 1 to \"\u{2068}\u{5d0}\u{5d1}\u{2069}\" of 9");
        assert_eq!(fill("\u{5d0}\u{2069}"), "Pay 1 to \"\u{2068}\u{5d0}\\u{2069}\u{2069}\" of 9");
    }

    #[test]
    fn a_template_with_a_lone_brace_is_none() {
        for bad in ["", " ", "{", "}", "a {b", "a b}", "{}", "{a{b}}", "{{a}}", "{a}}"] {
            assert_eq!(ReasonText::parse(bad), None, "{bad}");
        }
    }
}
