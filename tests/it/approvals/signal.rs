//! The field `Accept-Txn-Challenge`, and the answer without it.

use http::header::WWW_AUTHENTICATE;

use super::*;

fn with_fields(fields: &[&str]) -> Denial {
    let guard = approving();
    let mut head = head("/orders/7/refund", &[&ordinary().bearer()]);
    for field in fields {
        head.headers.append("accept-txn-challenge", field.parse().unwrap());
    }
    guard.authorize(&mut head, approved_refund()).now().unwrap().unwrap_err()
}

#[test]
fn with_the_signal_the_answer_is_401_with_a_challenge_that_is_not_stored() {
    for field in ["?1", "?1;v=2"] {
        let denial = with_fields(&[field]);
        assert_eq!(denial.reason(), Reason::TransactionAuthorizationRequired);
        assert_eq!(denial.status(), 401);
        assert_eq!(denial.headers()["cache-control"], "no-store");
        let challenge = challenge(&denial);
        let start = r#"Bearer error="transaction_authorization_required", error_description="The operation must be approved", transaction_challenge="ey"#;
        assert!(challenge.starts_with(start), "{challenge}");
        assert!(challenge.contains(r#"resource_metadata="https://orders.example/"#), "{challenge}");
        // There is no second copy in the body.
        assert!(!denial.problem_json().contains(&signed(&denial)));
    }
}

#[test]
fn without_the_signal_the_answer_is_403_without_a_challenge() {
    for fields in [
        &[][..],
        &["?0"],
        &["true"],
        &["1"],
        &["\"?1\""],
        &["?1, ?1"],
        &["?1", "?1"],
        &["?1junk"],
        &["(?1)"],
        &[""],
    ] {
        let denial = with_fields(fields);
        assert_eq!(denial.reason(), Reason::TransactionAuthorizationRequired, "{fields:?}");
        assert_eq!(denial.status(), 403);
        assert!(denial.challenge().is_none());
        assert!(!denial.headers().contains_key(WWW_AUTHENTICATE));
        assert_eq!(denial.headers()["cache-control"], "no-store");
    }
}

#[test]
fn the_owner_may_know_that_a_client_understands_challenges() {
    let known = approvals().knows_client(|token| token.client_id() == Some("test-client"));
    let guard = approving().approvals(known);
    let answer = |token: &TestToken| {
        let mut head = head("/orders/7/refund", &[&token.bearer()]);
        guard.authorize(&mut head, approved_refund()).now().unwrap().unwrap_err().status()
    };
    assert_eq!(answer(&ordinary()), 401);
    assert_eq!(answer(&ordinary().client("another")), 403);
}

#[test]
fn granted_details_do_if_the_owner_accepts_either_and_the_request_spends_the_token() {
    let guard = approving();
    let either = || Require::scope(REFUND).and(Require::detail(refund().approved_or_granted()));
    let silent = |token: &TestToken| {
        let mut head = head("/orders/7/refund", &[&token.bearer()]);
        guard.authorize(&mut head, either()).now().unwrap()
    };
    // A client that understands challenges is sent one, another is told what to get consent for.
    signed(&send(&guard, &ordinary(), either()).unwrap_err());
    let denial = silent(&ordinary()).unwrap_err();
    assert_eq!(denial.reason(), Reason::AuthorizationDetailsInsufficient);
    assert_eq!(denial.status(), 401);
    let remediation = denial.challenge().unwrap().remediation().unwrap();
    let asked: Value = serde_json::from_str(remediation.authorization_details()).unwrap();
    assert!(!remediation.to_json().contains("authorization_reference"));

    let granted = ordinary().claim("authorization_details", &asked);
    assert!(silent(&granted).is_ok());
    assert_eq!(silent(&granted).unwrap_err().reason(), Reason::TokenSpent);
    // An approval does too.
    let token = approved_for(&guard, &ordinary(), either());
    assert!(silent(&token).is_ok());
    assert_eq!(silent(&token).unwrap_err().reason(), Reason::TokenSpent);
    // Where it must be approved, granted details do not.
    let granted = ordinary().claim("authorization_details", &asked);
    let required = Some(Reason::TransactionAuthorizationRequired);
    assert_eq!(reason(&guard, &granted, approved_refund()), required);
}
