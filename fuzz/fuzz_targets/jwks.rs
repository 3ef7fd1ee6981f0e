#![no_main]
//! Any key set: each key is usable or skipped, and none verifies what was not signed with it.

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use unconfused::keys::{Algorithm, KeySet};

/// Signed by keys that are in no set here, or not signed at all: what a weak key would let pass.
const NEVER: &str = include_str!("../never.txt");

fuzz_target!(|json: &str| {
    let Ok(keys) = KeySet::from_json(json) else {
        return;
    };
    // serde_json alone cannot hold a number of any size; that is JSON all the same.
    if let Ok(set) = serde_json::from_str::<Value>(json) {
        let all = set["keys"].as_array().expect("an array").len();
        assert_eq!(keys.len() + keys.skipped().count(), all);
    }
    assert_eq!(keys.is_empty(), keys.len() == 0);
    for jws in NEVER.lines() {
        let algorithms = Algorithm::DEFAULT.into_iter().chain([Algorithm::EdDsa]);
        keys.verify_signature_only(jws, algorithms).expect_err(jws);
    }
});
