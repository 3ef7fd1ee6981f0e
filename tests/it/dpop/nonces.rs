//! Nonces.

use super::*;

#[test]
fn a_proof_without_a_nonce_is_answered_with_one_and_passes_with_it() {
    let guard = guard().dpop(dpop().nonces(nonces()), store());
    let raw = bound().sign();
    let denial = ask_with_proof(&guard, &raw, &proof(&raw), READ).unwrap_err();
    assert_eq!(denial.reason(), Reason::DpopNonceRequired);
    assert_eq!(denial.reason().remedy(), Remedy::RetryWithNonce);
    assert_eq!(denial.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        challenges(&denial),
        [format!(
            r#"DPoP error="use_dpop_nonce", error_description="Resource server requires nonce in DPoP proof", {ALGS}, {METADATA}"#
        )]
    );
    let headers = denial.headers();
    assert_eq!(headers["cache-control"], "no-store");
    // RFC 9449 section 8.1: 1*NQCHAR
    let nonce = told(&denial);
    assert!(!nonce.is_empty());
    assert!(nonce.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)), "{nonce}");

    assert!(ask_with_proof(&guard, &raw, &proof(&raw).nonce(&nonce), READ).is_ok());
    // One nonce serves several proofs, and each of them once.
    let second = proof(&raw).nonce(&nonce);
    assert!(ask_with_proof(&guard, &raw, &second, READ).is_ok());
    let replayed = ask_with_proof(&guard, &raw, &second, READ).unwrap_err();
    assert_eq!(replayed.reason(), Reason::DpopProofReplayed);
    assert!(!told(&replayed).is_empty());
}

#[test]
fn with_nonces_a_proof_without_one_is_refused() {
    // RFC 9449 section 11.3
    let guard = guard().dpop(dpop().nonces(nonces()), store());
    let raw = bound().sign();
    let nonce = told(&ask_with_proof(&guard, &raw, &proof(&raw), READ).unwrap_err());
    assert!(ask_with_proof(&guard, &raw, &proof(&raw).nonce(&nonce), READ).is_ok());
    let without = ask_with_proof(&guard, &raw, &proof(&raw), READ);
    assert_eq!(reason(without), Some(Reason::DpopNonceRequired));
    for wrong in ["", "x", &nonce[1..], &format!("{nonce}A"), &nonce.to_uppercase()] {
        let denial = ask_with_proof(&guard, &raw, &proof(&raw).nonce(wrong), READ).unwrap_err();
        assert_eq!(denial.reason(), Reason::DpopNonceInvalid, "{wrong}");
        assert_eq!(denial.challenge().unwrap().error(), Some("use_dpop_nonce"));
        assert_eq!(denial.headers()["cache-control"], "no-store");
        assert_eq!(told(&denial), nonce);
    }
}

#[test]
fn a_nonce_says_how_fresh_a_proof_is_and_the_clock_of_the_client_does_not() {
    let (hand, clock) = hand();
    let guard = guard().dpop(dpop().nonces(nonces()), store()).clock(clock);
    let raw = bound().lifetime(secs(3000)).sign();
    let nonce = told(&ask_with_proof(&guard, &raw, &proof(&raw), READ).unwrap_err());
    for clock_of_client in [-1_000_000, 1_000_000] {
        let proof = proof(&raw).issued_at(at(clock_of_client)).nonce(&nonce);
        assert!(ask_with_proof(&guard, &raw, &proof, READ).is_ok(), "{clock_of_client}");
    }
    let kept = proof(&raw).nonce(&nonce);
    assert!(ask_with_proof(&guard, &raw, &kept, READ).is_ok());
    for (seconds, expected) in [
        (100, Reason::DpopProofReplayed),
        (299, Reason::DpopProofReplayed),
        (301, Reason::DpopNonceInvalid),
    ] {
        hand.store(seconds, Ordering::SeqCst);
        let denial = ask_with_proof(&guard, &raw, &kept, READ).unwrap_err();
        assert_eq!(denial.reason(), expected, "{seconds}");
        assert_ne!(told(&denial), nonce);
    }
}

#[test]
fn a_nonce_of_the_previous_key_is_good_until_the_key_goes() {
    let raw = bound().sign();
    let old = guard().dpop(dpop().nonces(Nonces::new([1; 32])), store());
    let nonce = told(&ask_with_proof(&old, &raw, &proof(&raw), READ).unwrap_err());
    let with = |nonces| {
        let guard = guard().dpop(dpop().nonces(nonces), store());
        ask_with_proof(&guard, &raw, &proof(&raw).nonce(&nonce), READ)
    };
    assert_eq!(reason(with(Nonces::new([2; 32]).previous([1; 32]))), None);
    let gone = with(Nonces::new([2; 32])).unwrap_err();
    assert_eq!(gone.reason(), Reason::DpopNonceInvalid);
    assert_ne!(told(&gone), nonce);
}

#[test]
fn a_nonce_is_sent_whenever_a_proof_is_expected_next() {
    let guard = guard().dpop(dpop().nonces(nonces()), store());
    let raw = bound().sign();
    let fields = |fields: &[&str]| {
        guard.authorize(&mut head("/orders", fields), READ).now().unwrap().unwrap_err()
    };
    let with = |proof: TestProof| ask_with_proof(&guard, &raw, &proof, READ).unwrap_err();
    for denial in [
        fields(&[]),
        fields(&["Basic dTpw"]),
        fields(&[&format!("DPoP {raw}")]),
        with(proof(&raw).claim("htm", "POST")),
        with(proof("another")),
    ] {
        assert!(!told(&denial).is_empty(), "{denial}");
    }
    // Not to a client that uses the other scheme.
    let expired = fields(&[&token().expired().bearer()]);
    assert!(!expired.headers().contains_key("dpop-nonce"));
}

#[test]
fn an_expensive_check_comes_after_a_cheap_one_also_with_nonces() {
    let guard = guard().dpop(dpop().nonces(nonces()), store());
    let raw = bound().sign();
    for (proof, expected) in [
        (proof(&raw).claim("htm", "POST"), Reason::DpopMethodMismatch),
        (proof(&raw).forged_by(other_key()), Reason::DpopSignatureInvalid),
        (proof("another"), Reason::DpopTokenHashMismatch),
        (other_key().proof("GET", URL).issued_at(now()).token(&raw), Reason::DpopKeyMismatch),
    ] {
        for proof in [proof.clone(), proof.nonce("x")] {
            assert_eq!(reason(ask_with_proof(&guard, &raw, &proof, READ)), Some(expected));
        }
    }
}

#[test]
fn nonces_may_be_for_chosen_routes() {
    let guard = guard()
        .dpop(dpop().nonces(nonces()), store())
        .require_nonce_if(|_, path| path.starts_with("/payments"));
    let raw = bound().sign();
    let ask = |path: &str, proof: TestProof| {
        let proof = proof.claim("htu", format!("{BASE}{path}")).sign();
        let mut head = dpop_head(path, &raw, &[&proof]);
        guard.authorize(&mut head, READ).now().unwrap()
    };
    assert_eq!(reason(ask("/orders", proof(&raw))), None);
    // Without a nonce, the time in the proof counts.
    assert_eq!(
        reason(ask("/orders", proof(&raw).issued_at(at(-61)))),
        Some(Reason::DpopProofStale)
    );
    let denial = ask("/payments", proof(&raw)).unwrap_err();
    assert_eq!(denial.reason(), Reason::DpopNonceRequired);
    let nonce = told(&denial);
    assert_eq!(reason(ask("/payments", proof(&raw).nonce(&nonce))), None);
    assert_eq!(reason(ask("/orders", proof(&raw).nonce(&nonce))), None);
    // A nonce that is there must be good, even if none is required, and it does not lengthen the window.
    assert_eq!(reason(ask("/orders", proof(&raw).nonce("x"))), Some(Reason::DpopNonceInvalid));
    let old = proof(&raw).nonce(&nonce).issued_at(at(-61));
    assert_eq!(reason(ask("/orders", old)), Some(Reason::DpopProofStale));
}

#[test]
fn a_store_that_began_after_a_nonce_asks_for_a_new_one() {
    let (hand, clock) = hand();
    let store = MemoryReplayStore::new_at(at(100));
    let guard = guard().dpop(dpop().nonces(nonces()), store).clock(clock);
    let raw = bound().sign();
    let nonce = told(&ask_with_proof(&guard, &raw, &proof(&raw), READ).unwrap_err());
    hand.store(106, Ordering::SeqCst);
    let denial = ask_with_proof(&guard, &raw, &proof(&raw).nonce(&nonce), READ).unwrap_err();
    assert_eq!(denial.reason(), Reason::DpopNonceInvalid);
    let nonce = told(&denial);
    assert!(ask_with_proof(&guard, &raw, &proof(&raw).nonce(&nonce), READ).is_ok());
}
