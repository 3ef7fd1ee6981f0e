//! What a hijacked agent tries that holds valid tokens and challenges. Each attempt is refused with its reason, and
//! leaves the approval unspent.

use super::*;

const MISUSED: Reason = Reason::TransactionTokenMisused;
const UNKNOWN: Reason = Reason::TransactionUnknown;
const DETAILS: Reason = Reason::AuthorizationDetailsInsufficient;
const REQUIRED: Reason = Reason::TransactionAuthorizationRequired;

/// Refuses the token for the requirement, and then accepts the honest one with the same approval.
#[track_caller]
fn refused(change: impl Fn(TestToken) -> TestToken, requirement: Require, expected: Reason) {
    let guard = approving();
    let honest = approved(&guard);
    let denial = send(&guard, &change(honest.clone()), requirement).unwrap_err();
    assert_eq!(denial.reason(), expected);
    // A token of a transaction is never answered with another challenge or a remediation.
    let challenge = denial.challenge();
    assert!(challenge.is_none_or(|challenge| challenge.remediation().is_none()));
    if expected != REQUIRED {
        assert!(challenge.is_none_or(|challenge| challenge.transaction_challenge().is_none()));
    }
    match expected {
        DETAILS => assert!(denial.status() == 403 && challenge.is_none()),
        UNKNOWN | MISUSED => {
            assert_eq!(denial.status(), 401);
            assert_eq!(challenge.unwrap().error(), Some("invalid_token"));
        }
        _ => {}
    }
    assert!(send(&guard, &honest, approved_refund()).is_ok(), "the approval is unspent");
}

fn other(change: impl Fn(Detail) -> Detail) -> Require {
    Require::scope(REFUND).and(Require::detail(change(refund()).approved()))
}

/// The right request, with other details in the token.
#[track_caller]
fn granted(details: impl Into<Value>, expected: Reason) {
    let details = details.into();
    let change = |token: TestToken| token.claim("authorization_details", &details);
    refused(change, approved_refund(), expected);
}

// Another request than the one that was approved.

#[test]
fn another_operation_than_the_approved_one_is_refused() {
    let same = |token| token;
    refused(same, other(|detail| detail.with("order", 8)), DETAILS);
    refused(same, other(|detail| detail.with("currency", "USD")), DETAILS);
    refused(same, other(|detail| detail.with("to", "EVIL")), DETAILS);
    refused(same, other(|detail| detail.with("amount", "12.51")), DETAILS);
    // What is approved is this amount, not up to it.
    refused(same, other(|detail| detail.with("amount", "12.49")), DETAILS);
    refused(same, other(|detail| detail.with("amount", "0")), DETAILS);
}

#[test]
fn an_amount_in_another_spelling_is_not_understood() {
    for amount in ["1e3", "+99", "-1", "1,000", "NaN", "0x10", " 12.5", "", "12.", "9e9", "099e0"] {
        refused(
            |token| token,
            other(|detail| detail.with("amount", amount)),
            Reason::PolicyInputInvalid,
        );
    }
    // These are decimals, of another value.
    for amount in ["099", "12.500000001"] {
        refused(|token| token, other(|detail| detail.with("amount", amount)), DETAILS);
    }
}

#[test]
fn a_further_operation_in_the_same_request_is_refused() {
    let both = approved_refund().and(other(|detail| detail.with("order", 8)));
    refused(|token| token, both, DETAILS);
}

// Other details in the token, as a careless server would issue them.

#[test]
fn details_that_grant_less_or_something_else_are_refused() {
    granted(json!([]), DETAILS);
    granted(json!([entry("7", "EUR", "DE02", "12.49")]), DETAILS);
    granted(json!([entry("8", "EUR", "DE02", "12.5")]), DETAILS);
    granted(json!([entry("7", "USD", "DE02", "12.5")]), DETAILS);
    granted(json!([entry("7", "EUR", "EVIL", "12.5")]), DETAILS);
    granted(
        json!([{"type": "order_refund", "order": "7", "currency": "EUR", "to": "DE02"}]),
        DETAILS,
    );
    granted(
        json!([{"type": "order_cancel", "order": "7", "currency": "EUR", "to": "DE02", "amount": "12.5"}]),
        DETAILS,
    );
    refused(|token| token.without_claim("authorization_details"), approved_refund(), DETAILS);
    granted(json!({"type": "order_refund"}), Reason::AuthorizationDetailsInvalid);
}

#[test]
fn details_that_grant_more_are_refused() {
    let right = entry("7", "EUR", "DE02", "12.5");
    granted(json!([entry("7", "EUR", "DE02", "9999")]), DETAILS);
    granted(json!([right, entry("8", "EUR", "DE02", "12.5")]), DETAILS);
    granted(json!([right, {"type": "unknown"}]), DETAILS);
    // Two entries that only together would do.
    let halves = json!([entry("7", "EUR", "DE02", "10"), entry("7", "EUR", "DE02", "2.5")]);
    granted(halves, DETAILS);
}

#[test]
fn an_amount_that_is_not_a_decimal_grants_nothing() {
    for amount in [
        json!(12.5),
        json!(13),
        json!("1e3"),
        json!("+99"),
        json!("-12.5"),
        json!(null),
        json!(["12.5"]),
    ] {
        granted(json!([entry("7", "EUR", "DE02", amount)]), DETAILS);
    }
}

#[test]
fn an_extra_member_in_the_detail_is_refused() {
    let mut detail = entry("7", "EUR", "DE02", "12.5");
    detail["express"] = json!(true);
    granted(json!([detail]), DETAILS);
}

// Another `txn`.

#[test]
fn a_txn_that_was_not_made_for_this_is_unknown() {
    let guard = approving();
    let txn = |requirement: Require| challenged(&guard, &ordinary(), requirement)["txn"].clone();
    let eight = txn(other(|detail| detail.with("order", 8)));
    let made = txn(approved_refund());
    let made = made.as_str().unwrap();
    let changed =
        format!("{}{}", &made[..made.len() - 1], if made.ends_with('A') { "B" } else { "A" });
    for foreign in [
        // A challenge for another operation.
        eight,
        json!("97053963-771d-49cc-a4e3-20aad399c312"),
        json!(""),
        json!(17),
        json!(null),
        json!([made]),
        json!({"txn": made}),
        json!(made.to_uppercase()),
        json!(format!("{made} ")),
        json!(format!("{made}=")),
        json!(changed),
        json!("t1."),
    ] {
        refused(|token| token.claim("txn", &foreign), approved_refund(), UNKNOWN);
    }
}

#[test]
fn a_token_without_txn_is_no_approval() {
    let change = |token: TestToken| token.without_claim("txn");
    refused(change, approved_refund(), REQUIRED);
}

#[test]
fn an_edited_or_resigned_challenge_is_no_token() {
    let guard = approving();
    let jwt = signed(&send(&guard, &ordinary(), approved_refund()).unwrap_err());
    let (signed_part, signature) = jwt.rsplit_once('.').unwrap();
    let mut claims = part(&jwt, 1);
    claims["authorization_details"][0]["amount"] = json!("9999");
    let edited = format!(
        "{}.{}.{signature}",
        signed_part.split('.').next().unwrap(),
        base64url(claims.to_string())
    );
    // The server refuses the signature. If it did not, the details would not be those of the transaction.
    let mut token = issued(login(), &claims, now());
    let all = other(|detail| detail.with("amount", "9999"));
    assert_eq!(reason(&guard, &token, all), Some(UNKNOWN));
    token = issued(login(), &part(&jwt, 1), now());
    assert!(send(&guard, &token, approved_refund()).is_ok());
    for jwt in [jwt.clone(), edited] {
        let mut head = head("/orders/7/refund", &[&format!("Bearer {jwt}")]);
        let denial = guard.authorize(&mut head, approved_refund()).now().unwrap().unwrap_err();
        assert_eq!(denial.reason(), Reason::TokenTypeMismatch);
    }
}

#[test]
fn a_txn_counts_for_an_hour_and_a_quarter() {
    let store = std::sync::Arc::new(store());
    let guard = guard_over(store.clone());
    let challenge = challenged(&guard, &ordinary(), approved_refund());
    let until = 75 * 60;
    for (offset, expected) in [(until + 1, Some(UNKNOWN)), (-3, Some(UNKNOWN)), (until, None)] {
        let later = guard_over(store.clone()).clock(move || at(offset));
        let token = issued(login(), &challenge, at(offset));
        assert_eq!(reason(&later, &token, approved_refund()), expected, "{offset}");
    }
    // However long the token lives.
    let long = issued(login(), &challenge, now()).lifetime(secs(7200));
    let later = guard_over(store).clock(|| at(76 * 60));
    assert_eq!(reason(&later, &long, approved_refund()), Some(UNKNOWN));
}

#[test]
fn a_longer_time_to_approve_is_in_the_txn() {
    let day = secs(24 * 3600);
    let guard = approving().approvals(approvals().time_to_approve(day));
    let challenge = challenged(&guard, &ordinary(), approved_refund());
    let late = guard.clone().clock(|| at(24 * 3600 + 15 * 60));
    let token = issued(login(), &challenge, at(24 * 3600 + 15 * 60));
    assert!(send(&late, &token, approved_refund()).is_ok());
}

// Another requester.

#[test]
fn another_requester_than_the_one_who_asked_is_refused() {
    let act = |act: Value| move |token: TestToken| token.claim("act", &act);
    refused(|token| token.subject("mallory"), approved_refund(), UNKNOWN);
    refused(|token| token.client("another-app"), approved_refund(), UNKNOWN);
    refused(|token| token.without_claim("act"), approved_refund(), UNKNOWN);
    refused(act(json!({"sub": "agent-8"})), approved_refund(), UNKNOWN);
    refused(
        act(json!({"iss": OTHER, "sub": "agent-7"})),
        approved_refund(),
        Reason::ActorUntrusted,
    );
    // A prior actor does not count, and does not become the current one.
    refused(act(json!({"sub": "agent-8", "act": {"sub": "agent-7"}})), approved_refund(), UNKNOWN);
    refused(act(json!("agent-7")), approved_refund(), Reason::ActorMalformed);
    refused(act(json!({"sub": ["agent-7"]})), approved_refund(), Reason::ActorMalformed);
}

#[test]
fn an_approval_that_was_asked_for_without_an_actor_is_not_an_actors() {
    let guard = approving();
    let direct = token().scope("orders:refund");
    let approved = approved_for(&guard, &direct, approved_refund());
    assert_eq!(
        reason(&guard, &approved.clone().actor("agent-7"), approved_refund()),
        Some(UNKNOWN)
    );
    assert!(send(&guard, &approved, approved_refund()).is_ok());
}

// Everything else is asked of the token too.

#[test]
fn the_token_of_a_transaction_must_meet_everything_else() {
    let login_first = approved_refund().max_age(secs(60));
    let guard = approving();
    let fresh = ordinary().authenticated(secs(10));
    let challenge = challenged(&guard, &fresh, login_first.clone());
    let token = issued(login(), &challenge, now());
    let stale = token.clone().authenticated(secs(3600));
    assert_eq!(reason(&guard, &stale, login_first.clone()), Some(Reason::AuthenticationTooOld));
    let unscoped = token.clone().scope("orders:read").authenticated(secs(10));
    assert_eq!(reason(&guard, &unscoped, login_first.clone()), Some(Reason::InsufficientScope));
    let expired = token.clone().expired();
    assert_eq!(reason(&guard, &expired, login_first.clone()), Some(Reason::TokenExpired));
    let forged = token.clone().forged_by(forger());
    assert_eq!(reason(&guard, &forged, login_first.clone()), Some(Reason::SignatureInvalid));
    let elsewhere = token.clone().claim("aud", "https://billing.example");
    assert_eq!(reason(&guard, &elsewhere, login_first.clone()), Some(Reason::AudienceMismatch));
    assert!(send(&guard, &token.authenticated(secs(10)), login_first).is_ok());
}

#[test]
fn a_token_of_another_trusted_issuer_is_no_approval_of_the_server() {
    let other = TestIssuer::new(OTHER);
    let named = approvals().requester(|_, _| None);
    let guard = approving().approvals(named).trust(other.issuer());
    let challenge = challenged(&guard, &ordinary(), approved_refund());
    let forged = issued(&other, &challenge, now()).claim("act", json!({"sub": "agent-7"}));
    assert_eq!(reason(&guard, &forged, approved_refund()), Some(UNKNOWN));
    assert!(send(&guard, &issued(login(), &challenge, now()), approved_refund()).is_ok());
}

#[test]
fn an_approval_for_another_name_of_the_resource_or_for_others_too_is_unknown() {
    let guard = approving().also_accept(Audience::from_static("urn:orders"));
    let challenge = challenged(&guard, &ordinary(), approved_refund());
    let token = issued(login(), &challenge, now());
    for audience in [json!("urn:orders"), json!([ORDERS.as_str(), "https://billing.example"])] {
        let renamed = token.clone().claim("aud", audience);
        assert_eq!(reason(&guard, &renamed, approved_refund()), Some(UNKNOWN));
    }
    assert!(send(&guard, &token, approved_refund()).is_ok());
}

#[test]
fn what_the_client_sends_of_its_own_is_ignored() {
    let guard = approving();
    let txn = challenged(&guard, &ordinary(), approved_refund())["txn"].clone();
    let mut head = request(&ordinary());
    for field in ["txn", "transaction-challenge", "authorization-details"] {
        head.headers.insert(field, txn.as_str().unwrap().parse().unwrap());
    }
    head.uri = format!("/orders/7/refund?txn={}", txn.as_str().unwrap()).parse().unwrap();
    let denial = guard.authorize(&mut head, approved_refund()).now().unwrap().unwrap_err();
    assert_eq!(denial.reason(), REQUIRED);
}
