//! A form, as token endpoints accept it.

/// The body of a request in `application/x-www-form-urlencoded`. It may hold secrets, so it has no `Debug`.
#[derive(Clone, Default)]
pub(super) struct Form(String);

impl Form {
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.push(name, value);
        self
    }

    pub(super) fn push(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(&encoded(name));
        self.0.push('=');
        self.0.push_str(&encoded(value));
    }

    pub(super) fn into_body(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

/// Encodes one name or value of a form.
pub(super) fn encoded(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |value: u8| HEX.get(usize::from(value)).copied().map_or('0', char::from);
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push('+'),
            _ => encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_character_is_encoded() {
        let form = Form::default().with("scope", "a b").with("secret", "&=+%:/é\n");
        let body = String::from_utf8(form.into_body()).unwrap();
        assert_eq!(body, "scope=a+b&secret=%26%3D%2B%25%3A%2F%C3%A9%0A");
    }
}
