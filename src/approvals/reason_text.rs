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
                    text.push_str(
                        &value_at(detail, path).and_then(shown).ok_or_else(|| path.clone())?,
                    );
                }
            }
        }
        Ok(text)
    }

    /// Writes the type of a detail and all its members, for a type without a template.
    pub(super) fn list(type_name: &str, detail: &Value) -> Result<String, String> {
        let mut text = shown(&Value::from(type_name)).ok_or("type")?;
        let mut separator = ": ";
        list_members(detail, "", &mut |path, value| {
            let value = shown(value).ok_or_else(|| path.to_owned())?;
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

/// A text or a set as it is shown, escaped. `None` if it is something else, or too long to be shown whole.
fn shown(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(texts) => {
            let texts: Option<Vec<_>> = texts.iter().map(Value::as_str).collect();
            texts?.join(", ")
        }
        _ => return None,
    };
    (text.chars().count() <= Printable::LIMIT).then(|| Printable::from(&*text).to_string())
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
            Ok(r"payment: actions = a, b, creditorName = Eve\u{202e}\nLtd, instructedAmount.amount = 12.5, instructedAmount.currency = EUR".to_owned())
        );
        let long = json!({"type": "t", "to": "x".repeat(257)});
        assert_eq!(ReasonText::parse("{to}").unwrap().fill(&long), Err("to".to_owned()));
        assert_eq!(ReasonText::list("t", &long), Err("to".to_owned()));
    }

    #[test]
    fn a_template_with_a_lone_brace_is_none() {
        for bad in ["", " ", "{", "}", "a {b", "a b}", "{}", "{a{b}}", "{{a}}", "{a}}"] {
            assert_eq!(ReasonText::parse(bad), None, "{bad}");
        }
    }
}
