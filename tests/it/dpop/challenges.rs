//! The exact challenges.

use super::*;

#[test]
fn each_denial_has_its_exact_challenges() {
    let raw = bound().sign();
    let plain = token().scope("orders:read");
    let guard = proof_guard();
    let answer = |guard: &Guard, fields: &[&str]| {
        guard.authorize(&mut head("/orders", fields), READ).now().unwrap().unwrap_err()
    };
    let bearer = |raw: &str| format!("Bearer {raw}");
    let proved = |proof: TestProof| ask_with_proof(&guard, &raw, &proof, READ).unwrap_err();
    let table: Vec<(&str, Denial, u16, Vec<String>)> = vec![
        (
            "no credentials",
            answer(&guard, &[]),
            401,
            vec![
                format!(r#"Bearer scope="orders:read", {METADATA}"#),
                format!(r#"DPoP {ALGS}, scope="orders:read", {METADATA}"#),
            ],
        ),
        (
            "another scheme",
            answer(&guard, &["Basic dTpw"]),
            401,
            vec![
                format!(r#"Bearer scope="orders:read", {METADATA}"#),
                format!(r#"DPoP {ALGS}, scope="orders:read", {METADATA}"#),
            ],
        ),
        (
            "expired, as bearer",
            answer(&guard, &[&plain.clone().expired().bearer()]),
            401,
            vec![format!(
                r#"Bearer error="invalid_token", error_description="The access token expired", scope="orders:read", {METADATA}"#
            )],
        ),
        (
            "bound, as bearer",
            answer(&guard, &[&bearer(&raw)]),
            401,
            vec![
                format!(
                    r#"DPoP error="invalid_token", error_description="The access token is bound to a key and must be sent with the DPoP scheme", {ALGS}, {METADATA}"#
                ),
                format!("Bearer {METADATA}"),
            ],
        ),
        (
            "not bound, and it must be",
            answer(&proof_guard().sender_constrained(), &[&plain.bearer()]),
            401,
            vec![format!(
                r#"DPoP error="invalid_token", error_description="The access token must be bound to a key", {ALGS}, {METADATA}"#
            )],
        ),
        (
            "not bound",
            ask_with_proof(&guard, &plain.sign(), &proof("x"), READ).unwrap_err(),
            401,
            vec![format!(
                r#"DPoP error="invalid_token", error_description="The access token is not bound to a DPoP key", {ALGS}, {METADATA}"#
            )],
        ),
        (
            "no proof",
            answer(&guard, &[&format!("DPoP {raw}")]),
            401,
            vec![format!(
                r#"DPoP error="invalid_dpop_proof", error_description="A DPoP proof is required", {ALGS}, {METADATA}"#
            )],
        ),
        (
            "another key",
            proved(other_key().proof("GET", URL).issued_at(now()).token(&raw)),
            401,
            vec![format!(
                r#"DPoP error="invalid_token", error_description="Invalid DPoP key binding", {ALGS}, {METADATA}"#
            )],
        ),
        (
            "stale",
            proved(proof(&raw).issued_at(at(-100))),
            401,
            vec![format!(
                r#"DPoP error="invalid_dpop_proof", error_description="The DPoP proof is not recent", {ALGS}, {METADATA}"#
            )],
        ),
        (
            "too little scope",
            ask_with_proof(&guard, &raw, &proof(&raw), WRITE).unwrap_err(),
            403,
            vec![format!(
                r#"DPoP error="insufficient_scope", error_description="The request requires higher privileges", {ALGS}, scope="orders:write", {METADATA}"#
            )],
        ),
    ];
    for (what, denial, status, expected) in table {
        assert_eq!(denial.status(), status, "{what}");
        assert_eq!(challenges(&denial), expected, "{what}");
        assert_eq!(denial.challenge().unwrap().to_string(), expected.join(", "), "{what}");
        assert_eq!(denial.headers()["cache-control"], "no-store", "{what}");
        assert!(!denial.headers().contains_key("dpop-nonce"), "{what}");
    }
}

#[test]
fn challenges_list_the_algorithms_that_the_owner_accepts_in_the_owners_order() {
    let dpop = dpop().algorithms([Algorithm::Ps256, Algorithm::Es384, Algorithm::EdDsa]);
    let guard = guard().dpop(dpop, store());
    let denial = guard.authorize(&mut head("/orders", &[]), READ).now().unwrap().unwrap_err();
    assert!(challenges(&denial)[1].contains(r#"algs="PS256 ES384 EdDSA""#));
}

#[test]
fn a_step_up_is_asked_under_the_scheme_of_the_token() {
    let raw = bound().acr("low").sign();
    let requirement =
        Require::scope(WRITE).acr([unconfused::Acr::from_static("phr")]).max_age(secs(300));
    let denial = ask_with_proof(&proof_guard(), &raw, &proof(&raw), requirement).unwrap_err();
    assert_eq!(
        challenges(&denial),
        [format!(
            r#"DPoP error="insufficient_user_authentication", error_description="A different authentication level is required", {ALGS}, acr_values="phr", max_age="300", scope="orders:write", {METADATA}"#
        )]
    );
}
