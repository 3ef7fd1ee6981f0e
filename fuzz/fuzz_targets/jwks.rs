#![no_main]
//! Any key set, any JWK, any PEM: each key is usable or skipped, and none verifies what was not signed with it.

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use unconfused::keys::{Algorithm, KeySet};

/// Signed by keys that are in no set here, or not signed at all: what a weak key would let pass.
const NEVER: &str = include_str!("../never.txt");

fn assert_verifies_nothing(keys: &KeySet) {
    for jws in NEVER.lines() {
        let algorithms = Algorithm::DEFAULT.into_iter().chain([Algorithm::EdDsa]);
        keys.verify_signature_only(jws, algorithms).expect_err(jws);
    }
}

fuzz_target!(|json: &str| {
    // The body of a certificate or a key, without the lines around it, reaches further than a whole text.
    let in_block = |label| format!("-----BEGIN {label}-----\n{json}\n-----END {label}-----");
    let pems = [json.to_owned(), in_block("PUBLIC KEY"), in_block("CERTIFICATE")];
    let single = pems.iter().map(|pem| KeySet::from_pem(pem)).chain([KeySet::from_jwk(json)]);
    for keys in single.flatten() {
        assert_eq!((keys.len(), keys.skipped().count()), (1, 0));
        assert_verifies_nothing(&keys);
    }

    let Ok(keys) = KeySet::from_json(json) else {
        return;
    };
    // serde_json alone cannot hold a number of any size; that is JSON all the same.
    if let Ok(set) = serde_json::from_str::<Value>(json) {
        let all = set["keys"].as_array().expect("an array").len();
        assert_eq!(keys.len() + keys.skipped().count(), all);
    }
    assert_eq!(keys.is_empty(), keys.len() == 0);
    assert_verifies_nothing(&keys);
});
