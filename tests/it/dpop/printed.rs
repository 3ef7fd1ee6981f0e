//! What is printed shows no key and no proof.

use super::*;

#[test]
fn nothing_that_is_printed_shows_a_key_or_a_proof() {
    let raw = bound().sign();
    let proof = proof(&raw).sign();
    let possession = Possession::dpop(&proof, &Method::GET, "/orders");
    let token = UnverifiedToken::parse(&raw).unwrap().with_possession(possession.clone());
    let printed = format!(
        "{possession:?} {token:?} {:?} {:?} {:?}",
        proof_key(),
        nonces(),
        dpop().nonces(nonces()),
    );
    let (_, rest) = proof.split_once('.').unwrap();
    for part in proof.split('.').chain(rest.split('.')).chain(["7, 7"]) {
        assert!(!printed.contains(part), "{printed}");
    }
}
