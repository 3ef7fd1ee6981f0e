//! The key of a cached token is prepared once. That changes no answer.

use super::*;

/// What happened to a sequence of proofs for one token, at this guard.
fn answers(guard: &Guard, raw: &str, proofs: &[TestProof]) -> Vec<Option<Reason>> {
    let ask = |proof: &TestProof| {
        let mut head = dpop_head("/orders", raw, &[&proof.sign()]);
        reason(guard.authorize(&mut head, READ).now().unwrap())
    };
    proofs.iter().map(ask).collect()
}

#[test]
fn a_known_key_changes_no_answer() {
    let raw = bound().sign();
    // Each has a `jti` of its own.
    let good = || proof(&raw);
    let jwk = public_jwk(&good());
    let others = public_jwk(&other());
    let with_kid =
        json!({ "crv": jwk["crv"], "kid": "a", "kty": "EC", "x": jwk["x"], "y": jwk["y"] });
    let for_another_algorithm =
        json!({ "alg": "ES384", "crv": jwk["crv"], "kty": "EC", "x": jwk["x"], "y": jwk["y"] });
    let off_the_curve = json!({ "crv": jwk["crv"], "kty": "EC", "x": jwk["y"], "y": jwk["x"] });
    let proofs = [
        good().forged_by(&other_key()),
        other_key().proof("GET", URL).issued_at(now()).token(&raw),
        good(),
        good(),
        good().header("alg", "Ed25519"),
        good().header("alg", "ES384"),
        good().header("jwk", &others),
        good().header("jwk", &with_kid),
        good().header("jwk", &for_another_algorithm),
        good().header("jwk", &off_the_curve),
        good().without_header("jwk"),
        good().forged_by(&other_key()),
        good().header("jwk", &others).forged_by(&other_key()),
        good().token("another token"),
        good().claim("htm", "POST"),
        good().issued_at(at(-600)),
        good().claim("jti", ""),
        good(),
    ];
    let expected = [
        Some(Reason::DpopSignatureInvalid),
        Some(Reason::DpopKeyMismatch),
        None,
        None,
        Some(Reason::DpopKeyInvalid),
        Some(Reason::DpopAlgorithmNotAllowed),
        Some(Reason::DpopSignatureInvalid),
        None,
        Some(Reason::DpopKeyInvalid),
        Some(Reason::DpopKeyInvalid),
        Some(Reason::DpopKeyInvalid),
        Some(Reason::DpopSignatureInvalid),
        Some(Reason::DpopKeyMismatch),
        Some(Reason::DpopTokenHashMismatch),
        Some(Reason::DpopMethodMismatch),
        Some(Reason::DpopProofStale),
        Some(Reason::DpopProofMalformed),
        None,
    ];
    let remembers = proof_guard();
    assert_eq!(answers(&remembers, &raw, &proofs), expected);
    let prepares_anew = proof_guard().token_cache_capacity(0);
    assert_eq!(answers(&prepares_anew, &raw, &proofs), expected);
}

#[test]
fn a_proof_with_a_known_key_is_accepted_once() {
    let raw = bound().sign();
    let [first, second] = [proof(&raw), proof(&raw)];
    let sent = [first.clone(), second.clone(), first, second];
    let replayed = Some(Reason::DpopProofReplayed);
    assert_eq!(answers(&proof_guard(), &raw, &sent), [None, None, replayed, replayed]);
}
