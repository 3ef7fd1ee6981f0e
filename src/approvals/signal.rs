//! The field `Accept-Txn-Challenge`, with which a client says that it understands transaction challenges: an Item that
//! is a Boolean (RFC 9651 sections 3.3.6 and 4.2).

use http::{HeaderMap, HeaderName};

const ACCEPT_TXN_CHALLENGE: HeaderName = HeaderName::from_static("accept-txn-challenge");

/// True if the client says that it understands transaction challenges.
///
/// That is one field with the value `?1`, which may have parameters. Any other value, several fields, and a value that
/// is malformed anywhere count as absent.
pub(crate) fn accepts_challenge(headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all(ACCEPT_TXN_CHALLENGE).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return false };
    is_true(field.as_bytes())
}

fn is_true(field: &[u8]) -> bool {
    let rest = without_spaces(field).strip_prefix(b"?1").and_then(after_parameters);
    rest.is_some_and(|rest| without_spaces(rest).is_empty())
}

fn without_spaces(text: &[u8]) -> &[u8] {
    skip(text, |byte| byte == b' ')
}

/// What follows the bytes that are `wanted`.
fn skip(text: &[u8], wanted: impl Fn(u8) -> bool) -> &[u8] {
    let length = text.iter().take_while(|byte| wanted(**byte)).count();
    text.get(length..).unwrap_or_default()
}

/// What follows the parameters of an item (RFC 9651 section 4.2.3.2). `None` if one of them is malformed.
fn after_parameters(mut rest: &[u8]) -> Option<&[u8]> {
    while let Some(parameter) = rest.strip_prefix(b";") {
        let key = without_spaces(parameter);
        let (first, _) = key.split_first()?;
        if !(first.is_ascii_lowercase() || *first == b'*') {
            return None;
        }
        let in_key = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)
        };
        rest = skip(key, in_key);
        if let Some(value) = rest.strip_prefix(b"=") {
            rest = after_bare_item(value)?;
        }
    }
    Some(rest)
}

/// What follows a bare item (RFC 9651 section 4.2.3.1). `None` if it is malformed.
fn after_bare_item(text: &[u8]) -> Option<&[u8]> {
    let (first, rest) = text.split_first()?;
    match first {
        b'?' => rest.split_first().filter(|(bit, _)| b"01".contains(bit)).map(|(_, rest)| rest),
        b'"' => after_string(rest),
        b':' => {
            let in_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
            skip(rest, in_base64).strip_prefix(b":")
        }
        b'@' => after_number(rest).filter(|(_, is_integer)| *is_integer).map(|(rest, _)| rest),
        b'%' => after_display_string(rest.strip_prefix(b"\"")?),
        b'-' | b'0'..=b'9' => after_number(text).map(|(rest, _)| rest),
        b'*' | b'A'..=b'Z' | b'a'..=b'z' => Some(skip(rest, |byte| {
            byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
        })),
        _ => None,
    }
}

/// A string, after its first quote (RFC 9651 section 4.2.5).
fn after_string(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (byte, after) = rest.split_first()?;
        rest = match byte {
            b'"' => return Some(after),
            b'\\' => after.split_first().filter(|(next, _)| b"\"\\".contains(next))?.1,
            0x20..=0x7e => after,
            _ => return None,
        };
    }
}

/// A display string, after its first quote (RFC 9651 section 4.2.10). That it is UTF-8 is not checked, since it is
/// ignored.
fn after_display_string(mut rest: &[u8]) -> Option<&[u8]> {
    let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    loop {
        let (byte, after) = rest.split_first()?;
        rest = match byte {
            b'"' => return Some(after),
            b'%' => {
                after
                    .split_first_chunk()
                    .filter(|(hex, _): &(&[u8; 2], _)| hex.iter().all(is_hex))?
                    .1
            }
            0x20..=0x7e => after,
            _ => return None,
        };
    }
}

/// What follows an integer or a decimal, and whether it was an integer (RFC 9651 section 4.2.4).
fn after_number(text: &[u8]) -> Option<(&[u8], bool)> {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let rest = skip(text, |byte| byte.is_ascii_digit());
    let digits = text.len().saturating_sub(rest.len());
    match rest.strip_prefix(b".") {
        None => (1..=15).contains(&digits).then_some((rest, true)),
        Some(fraction) => {
            let rest = skip(fraction, |byte| byte.is_ascii_digit());
            let decimals = fraction.len().saturating_sub(rest.len());
            let fits = (1..=12).contains(&digits) && (1..=3).contains(&decimals);
            fits.then_some((rest, false))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(fields: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(ACCEPT_TXN_CHALLENGE, field.parse().unwrap());
        }
        accepts_challenge(&headers)
    }

    #[test]
    fn only_one_true_item_is_the_signal() {
        for yes in [
            "?1",
            " ?1 ",
            "?1;a",
            "?1; a=1;b=-1.5;c=\"x\\\"y\";d=tok/en;e=:YQ==:;f=?0;*g=@12;h=%\"%c3%bc\"",
            "?1;a=1 ",
        ] {
            assert!(accepts(&[yes]), "{yes}");
        }
        for no in [
            "",
            "?0",
            "true",
            "1",
            "\"?1\"",
            "?1, ?1",
            "?1junk",
            "(?1)",
            "?1 x",
            "?1;",
            "?1;A",
            "?1;a=",
            "?1;a=\"x",
            "?1;a=1.",
            "?1;a=@1.5",
            "?1;a=:YQ==",
            "?1;a=?2",
            "?1;a=%\"%C3\"",
            "?1 ;a",
            "?11",
            "?T",
            "yes",
            "?",
            "?1;a=1234567890123456",
            "\t?1",
            "a=?1",
        ] {
            assert!(!accepts(&[no]), "{no}");
        }
        assert!(!accepts(&[]));
        assert!(!accepts(&["?1", "?1"]));
    }
}
