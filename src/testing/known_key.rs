//! The proof key that is prepared once, with keys and proofs of the test kit.

use std::sync::Arc;

use http::Method;
use serde_json::Value;
use time::UtcDateTime;

use super::{TestProof, TestProofKey};
use crate::jose::decode;
use crate::proof::{Dpop, KnownKey, Possession};

#[test]
fn a_key_is_known_once_a_proof_passed_and_is_prepared_once() {
    let (key, other) = (TestProofKey::new(), TestProofKey::new());
    let (known, now) = (KnownKey::default(), UtcDateTime::now());
    let dpop = Dpop::for_base_url("https://api.example").unwrap();
    let check = |proof: TestProof| {
        let proof = proof.sign();
        let possession = Possession::dpop(&proof, &Method::GET, "/");
        dpop.check_with(&possession, "token", &key.thumbprint(), &known, now).is_ok()
    };
    let good = |key: &TestProofKey| key.proof("GET", "https://api.example/").token("token");
    for refused in [
        good(&other),
        good(&key).forged_by(&other),
        good(&key).token("another"),
        good(&key).claim("htm", "POST"),
    ] {
        assert!(!check(refused) && known.get().is_none());
    }
    assert!(check(good(&key)));
    let first = known.get().unwrap().clone();
    assert!(check(good(&key)) && !check(good(&other)));
    assert!(Arc::ptr_eq(&first, known.get().unwrap()));
    // The cache, and this.
    assert_eq!(Arc::strong_count(&first), 2);
}

#[test]
fn a_long_key_is_not_kept() {
    let (key, known) = (TestProofKey::new(), KnownKey::default());
    let dpop = Dpop::for_base_url("https://api.example").unwrap();
    let proof = key.proof("GET", "https://api.example/").token("token").sign();
    let header = decode(proof.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    let mut jwk = header["jwk"].clone();
    jwk["kid"] = "k".repeat(KnownKey::MAX_JWK).into();
    let proof = key.proof("GET", "https://api.example/").token("token").header("jwk", jwk).sign();
    let possession = Possession::dpop(&proof, &Method::GET, "/");
    let now = UtcDateTime::now();
    let checked = dpop.check_with(&possession, "token", &key.thumbprint(), &known, now);
    assert!(checked.is_ok() && known.get().is_none());
}
