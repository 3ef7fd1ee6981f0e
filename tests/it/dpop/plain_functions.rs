//! Bound tokens in the plain functions.

use super::*;

fn validate_shown(
    validation: &unconfused::token::Validation,
    raw: &str,
    possession: Possession<'_>,
) -> Result<unconfused::AccessToken, InvalidToken> {
    UnverifiedToken::parse(raw)?.with_possession(possession).validate(
        validation,
        &login().keys(),
        now(),
    )
}

#[test]
fn no_plain_function_accepts_a_bound_token_without_its_proof() {
    let raw = bound().sign();
    let proof = proof(&raw).sign();
    let wrong = other_key().proof("GET", URL).issued_at(now()).token(&raw).sign();
    let certificate = ClientCertificate::from_der("x");
    let shown = |proof| Possession::dpop(proof, &Method::GET, "/orders");
    let takes = validation().dpop(dpop());
    let refused =
        |validation, possession| validate_shown(validation, &raw, possession).unwrap_err().reason();
    for (validation, possession, reason) in [
        (&validation(), Possession::bearer(), Reason::BoundTokenAsBearer),
        (&takes, Possession::bearer(), Reason::BoundTokenAsBearer),
        (&takes, Possession::default(), Reason::BoundTokenAsBearer),
        (&takes, Possession::bearer().certificate(certificate), Reason::BoundTokenAsBearer),
        // Without settings for proofs, none can be checked.
        (&validation(), shown(&proof), Reason::ConfirmationUnsupported),
        (&takes, shown(""), Reason::DpopProofMalformed),
        (&takes, shown(&raw), Reason::DpopProofMalformed),
        (&takes, shown(&wrong), Reason::DpopKeyMismatch),
        (&takes, Possession::dpop(&proof, &Method::POST, "/orders"), Reason::DpopMethodMismatch),
        (&takes, Possession::dpop(&proof, &Method::GET, "/"), Reason::DpopUriMismatch),
    ] {
        assert_eq!(refused(validation, possession), reason);
    }
    let parsed = UnverifiedToken::parse(&raw).unwrap();
    let unshown = parsed.validate(&takes, &login().keys(), now()).unwrap_err();
    assert_eq!(unshown.reason(), Reason::BoundTokenAsBearer);

    let token = validate_shown(&takes, &raw, shown(&proof)).unwrap();
    assert!(token.is_sender_constrained());
    assert_eq!(token.proof().unwrap().key(), proof_key().thumbprint());
    // The certificate of a connection does no harm if the token is not bound to one.
    let possession = shown(&proof).certificate(certificate);
    assert!(validate_shown(&takes, &raw, possession).is_ok());
}

#[test]
fn an_unbound_token_is_refused_with_a_proof() {
    let raw = token().sign();
    let proof = proof(&raw).sign();
    let takes = validation().dpop(dpop());
    let possession = Possession::dpop(&proof, &Method::GET, "/orders");
    let refused = validate_shown(&takes, &raw, possession).unwrap_err();
    assert_eq!(refused.reason(), Reason::DpopTokenUnbound);
    let plain = validate_shown(&takes, &raw, Possession::bearer()).unwrap();
    assert!(!plain.is_sender_constrained() && plain.proof().is_none());
    let refused = validate_shown(&takes.sender_constrained(), &raw, Possession::bearer());
    assert_eq!(refused.unwrap_err().reason(), Reason::SenderConstraintRequired);
}

#[test]
fn members_that_are_not_understood_do_not_stand_in_for_one_that_is() {
    let raw = |cnf: Value| token().claim("cnf", cnf).sign();
    let takes = validation().dpop(dpop());
    let outcome = |raw: &str| {
        let proof = proof(raw).sign();
        let possession = Possession::dpop(&proof, &Method::GET, "/orders");
        validate_shown(&takes, raw, possession).map(|_| ()).map_err(|invalid| invalid.reason())
    };
    let jkt = proof_key().thumbprint();
    assert_eq!(outcome(&raw(json!({ "jkt": jkt, "x": 1 }))), Ok(()));
    let unknown = Err(Reason::ConfirmationUnsupported);
    assert_eq!(outcome(&raw(json!({ "jwk": {}, "JKT": jkt }))), unknown);
    assert_eq!(outcome(&raw(json!({}))), unknown);
    let twice = format!(r#"{{"iss":"{LOGIN}","cnf":{{"jkt":"{jkt}","jkt":"x"}}}}"#);
    assert_eq!(outcome(&token().payload(twice).sign()), Err(Reason::ClaimsMalformed));
}
