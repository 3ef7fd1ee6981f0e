#![no_main]
//! Any `Authorization` fields, one in each line: what is accepted is the whole token68 of the one field.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use unconfused::token::{Credential, TokenLimits};

fuzz_target!(|bytes: &[u8]| {
    let mut headers = HeaderMap::new();
    for field in bytes.split(|byte| *byte == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(field) else {
            return;
        };
        headers.append(AUTHORIZATION, value);
    }
    let limits = TokenLimits::default().max_bytes(100);
    let Ok(credential) = Credential::from_headers(&headers, &limits) else {
        return;
    };
    let token = credential.expose();
    let before = bytes.strip_suffix(token.as_bytes()).expect("the tail of the one field");
    let (name, length) = if credential.is_dpop() { ("DPoP", 4) } else { ("Bearer", 6) };
    let (scheme, spaces) = before.split_at_checked(length).expect("a scheme");
    assert!(scheme.eq_ignore_ascii_case(name.as_bytes()));
    assert!(!spaces.is_empty() && spaces.iter().all(|byte| *byte == b' '));
    assert!(!token.starts_with('=') && (1..=100).contains(&token.len()));
    let mut body = token.trim_end_matches('=').bytes();
    assert!(body.all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte)));
});
