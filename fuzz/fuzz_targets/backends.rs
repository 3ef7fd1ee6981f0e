#![no_main]
//! Any text as a token: both backends accept it, or refuse it for the same reason.

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use unconfused::keys::{Backend, KeySet};
use unconfused::token::UnverifiedToken;
use unconfused_fuzz::validate_with;

static KEYS: LazyLock<KeySet> =
    LazyLock::new(|| KeySet::from_json(include_str!("../keys.json")).expect("a key set"));

fuzz_target!(|text: &str| {
    let [one, other] = [Backend::OpenSsl, Backend::AwsLc].map(|backend| {
        UnverifiedToken::parse(text)
            .and_then(|token| validate_with(backend, token, &KEYS))
            .map(drop)
            .map_err(|invalid| invalid.reason())
    });
    assert_eq!(one, other);
});
