#![no_main]
//! Any text as a token: none is valid but the three that the issuer signed, to the letter.

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use unconfused::keys::KeySet;
use unconfused::token::UnverifiedToken;
use unconfused_fuzz::validate;

const GENUINE: [&str; 3] = [
    include_str!("../corpus/token/es256"),
    include_str!("../corpus/token/ed25519"),
    include_str!("../corpus/token/rs256"),
];
static KEYS: LazyLock<KeySet> =
    LazyLock::new(|| KeySet::from_json(include_str!("../keys.json")).expect("a key set"));

fuzz_target!(|text: &str| {
    let valid = UnverifiedToken::parse(text).and_then(|token| validate(token, &KEYS));
    assert_eq!(valid.is_ok(), GENUINE.contains(&text), "{valid:?}");
});
