//! Proofs at a guard.

use super::*;

#[test]
fn a_request_with_its_proof_is_granted_and_both_fields_are_removed() {
    let raw = bound().sign();
    for scheme in ["DPoP", "dpop", "DPOP"] {
        let mut head = head("/orders?x=1", &[&format!("{scheme} {raw}")]);
        head.headers.append("dpop", proof(&raw).sign().parse().unwrap());
        head.headers.append("x-other", "stays".parse().unwrap());
        let grant = proof_guard().authorize(&mut head, READ).now().unwrap().unwrap();
        assert!(grant.is_sender_constrained());
        assert!(grant.proof().is_some());
        let left: Vec<_> = head.headers.keys().map(|name| name.as_str()).collect();
        assert_eq!(left, ["x-other", "cache-control"]);
    }
}

#[test]
fn a_denied_request_is_left_as_it_was() {
    let raw = bound().sign();
    let mut head = dpop_head("/orders", &raw, &[&proof(&raw).claim("htm", "POST").sign()]);
    let denied = proof_guard().authorize(&mut head, READ).now().unwrap();
    assert_eq!(reason(denied), Some(Reason::DpopMethodMismatch));
    assert!(head.headers.contains_key("authorization") && head.headers.contains_key("dpop"));
}

#[test]
fn the_number_and_the_size_of_the_fields_are_bounded() {
    let raw = bound().sign();
    let proof = proof(&raw).sign();
    let reason = |guard: &Guard, proofs: &[&str]| {
        let mut head = dpop_head("/orders", &raw, proofs);
        reason(guard.authorize(&mut head, READ).now().unwrap())
    };
    let guard = proof_guard();
    assert_eq!(reason(&guard, &[]), Some(Reason::DpopProofMissing));
    assert_eq!(reason(&guard, &[&proof, &proof]), Some(Reason::DpopProofMultiple));
    assert_eq!(reason(&guard, &[&proof, ""]), Some(Reason::DpopProofMultiple));
    assert_eq!(reason(&guard, &[&format!("{proof}, {proof}")]), Some(Reason::DpopProofMultiple));
    let full = "a".repeat(Dpop::MAX_BYTES);
    assert_eq!(reason(&guard, &[&full]), Some(Reason::DpopProofMalformed));
    let larger = "a".repeat(Dpop::MAX_BYTES + 1);
    assert_eq!(reason(&guard, &[&larger]), Some(Reason::CredentialTooLarge));
    assert_eq!(reason(&guard, &[&proof, &larger]), Some(Reason::CredentialTooLarge));
    let small = proof_guard().limits(TokenLimits::default().max_bytes(10));
    assert_eq!(reason(&small, &[&proof]), Some(Reason::CredentialTooLarge));
    let denial = ask_field(&guard, &raw, &larger);
    assert_eq!(denial.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert!(denial.challenge().is_none());
    assert_eq!(reason(&guard, &[&proof]), None);
}

fn ask_field(guard: &Guard, raw: &str, field: &str) -> Denial {
    let mut head = dpop_head("/orders", raw, &[field]);
    guard.authorize(&mut head, READ).now().unwrap().unwrap_err()
}

#[test]
fn a_bound_token_as_bearer_is_refused_whatever_comes_with_it() {
    let raw = bound().sign();
    let proof = proof(&raw).sign();
    let (counted, asked) = store_that(|| Ok(Remembered::First));
    let guard = guard().dpop(dpop(), counted);
    for proofs in [&[][..], &[&*proof], &[&proof, &proof], &["x"]] {
        let mut head = head("/orders", &[&format!("Bearer {raw}")]);
        for proof in proofs {
            head.headers.append("dpop", proof.parse().unwrap());
        }
        let denial = guard.authorize(&mut head, READ).now().unwrap().unwrap_err();
        assert_eq!(denial.reason(), Reason::BoundTokenAsBearer);
        // If it lacks the scope too, the answer does not say so.
        let denial = guard.authorize(&mut head, WRITE).now().unwrap().unwrap_err();
        assert_eq!(denial.reason(), Reason::BoundTokenAsBearer);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[test]
fn an_unbound_token_passes_as_bearer_and_a_proof_beside_it_does_not_count() {
    let raw = token().scope("orders:read").sign();
    let (counted, asked) = store_that(|| Ok(Remembered::First));
    let guard = guard().dpop(dpop(), counted);
    let mut head = head("/orders", &[&format!("Bearer {raw}")]);
    head.headers.append("dpop", proof(&raw).sign().parse().unwrap());
    let grant = guard.authorize(&mut head, READ).now().unwrap().unwrap();
    assert!(!grant.is_sender_constrained() && grant.proof().is_none());
    assert_eq!(head.headers.keys().collect::<Vec<_>>(), ["cache-control"]);
    let denied = ask_with_proof(&guard, &raw, &proof(&raw), READ);
    assert_eq!(reason(denied), Some(Reason::DpopTokenUnbound));
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[test]
fn a_guard_that_accepts_no_proofs_does_not_offer_their_scheme() {
    let raw = bound().sign();
    let denial = ask_with_proof(&guard(), &raw, &proof(&raw), READ).unwrap_err();
    assert_eq!(denial.reason(), Reason::UnsupportedAuthScheme);
    assert_eq!(challenges(&denial), [format!(r#"Bearer scope="orders:read", {METADATA}"#)]);
    assert!(!denial.headers().contains_key("dpop-nonce"));
}

#[test]
fn two_credentials_are_refused_on_both_schemes() {
    let raw = bound().sign();
    let mut head = head("/orders", &[&format!("Bearer {raw}"), &format!("DPoP {raw}")]);
    head.headers.append("dpop", proof(&raw).sign().parse().unwrap());
    let denial = proof_guard().authorize(&mut head, READ).now().unwrap().unwrap_err();
    assert_eq!(denial.status(), StatusCode::BAD_REQUEST);
    let error = r#"error="invalid_request", error_description="More than one credential was sent""#;
    assert_eq!(
        challenges(&denial),
        [format!("Bearer {error}, {METADATA}"), format!("DPoP {error}, {ALGS}, {METADATA}")]
    );
}

#[test]
fn the_audience_need_not_be_a_url() {
    const API: Audience = Audience::from_static("api://orders");
    let guard = Guard::new(API, login().issuer()).clock(now).dpop(dpop(), store());
    let raw = login().token(&API).issued_at(now()).bound_to(proof_key()).sign();
    assert!(ask_with_proof(&guard, &raw, &proof(&raw), Require::valid_token()).is_ok());
}

#[test]
fn neither_host_nor_forwarded_fields_say_where_a_request_went() {
    let raw = bound().sign();
    let evil = "https://evil.example/orders";
    for (htu, expected) in [(URL, None), (evil, Some(Reason::DpopUriMismatch))] {
        let proof = proof(&raw).claim("htu", htu).sign();
        let mut head = dpop_head("/orders", &raw, &[&proof]);
        for (name, value) in [
            ("host", "evil.example"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-prefix", "/x"),
            ("x-original-url", "/x"),
            ("forwarded", "host=evil.example;proto=http"),
        ] {
            head.headers.insert(name, value.parse().unwrap());
        }
        assert_eq!(reason(proof_guard().authorize(&mut head, READ).now().unwrap()), expected);
        // HTTP/2 has the authority in the URI.
        let mut head = dpop_head("http://evil.example:1/orders?x", &raw, &[&proof]);
        assert_eq!(reason(proof_guard().authorize(&mut head, READ).now().unwrap()), expected);
    }
}
