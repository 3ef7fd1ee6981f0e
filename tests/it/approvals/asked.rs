//! What a challenge asks for, and when.

use josekit::jwk::Jwk;
use josekit::jws::{ES256, EdDSA, JwsVerifier as _};
use unconfused::Acr;
use unconfused::approvals::SigningKey;
use unconfused::keys::KeySet;
use unconfused::replay::StoreUnavailable;

use super::*;

const PHR: Acr = Acr::from_static("phr");

#[test]
fn a_challenge_says_what_is_asked_by_whom_and_of_which_server() {
    let guard = approving().approvals(approvals().reason(
        "order_refund",
        "Refund {amount} {currency} of order {order} to \u{201c}{to}\u{201d}?",
    ));
    let denial = send(&guard, &ordinary(), approved_refund()).unwrap_err();
    let jwt = signed(&denial);
    assert_eq!(
        part(&jwt, 0),
        json!({"alg": "ES256", "kid": "c1", "typ": "txn-authz-challenge+jwt"})
    );
    let claims = part(&jwt, 1);
    let (txn, jti) = (claims["txn"].as_str().unwrap(), claims["jti"].as_str().unwrap());
    assert!(txn.len() <= 128 && jti.len() >= 22);
    let expected = json!({
        "iss": ORDERS.as_str(),
        "aud": LOGIN,
        "iat": NOW,
        "exp": NOW + 300,
        "jti": jti,
        "txn": txn,
        "authorization_details": [entry("7", "EUR", "DE02", "12.5")],
        "reason": "Refund 12.5 EUR of order 7 to \u{201c}DE02\u{201d}?",
        "act": {"iss": LOGIN, "sub": "agent-7"},
    });
    assert_eq!(claims, expected);
    // `Debug` of a denial, a challenge and the settings shows none of it.
    let challenge = denial.challenge().unwrap();
    for shown in [format!("{denial:?}"), format!("{challenge:?}"), format!("{:?}", approvals())] {
        assert!(!shown.contains(&jwt) && !shown.contains("DE02"), "{shown}");
    }
}

#[test]
fn a_challenge_verifies_with_the_published_keys() {
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let key = SigningKey::generate(algorithm, "k");
        let approvals = Approvals::new(key, SECRET, LOGIN);
        let keys = KeySet::from_json(&approvals.jwks()).unwrap();
        assert_eq!(keys.len(), 1);
        let guard = approving().approvals(approvals.clone());
        let jwt = signed(&send(&guard, &ordinary(), approved_refund()).unwrap_err());
        // As an access token it is refused by its type, before anything else.
        let mut head = head("/orders/7/refund", &[&format!("Bearer {jwt}")]);
        let denial = guard.authorize(&mut head, REFUND).now().unwrap().unwrap_err();
        assert_eq!(denial.reason(), Reason::TokenTypeMismatch);
        // The signature is that of the published key.
        let jwks: Value = serde_json::from_str(&approvals.jwks()).unwrap();
        let mut jwk = jwks["keys"][0].as_object().unwrap().clone();
        assert_eq!(jwk.remove("alg"), Some(algorithm.as_str().into()));
        assert_eq!(jwk["kid"], part(&jwt, 0)["kid"]);
        let jwk = Jwk::from_map(jwk).unwrap();
        let (message, signature) = jwt.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let verified = match algorithm {
            Algorithm::Es256 => {
                ES256.verifier_from_jwk(&jwk).unwrap().verify(message.as_bytes(), &signature)
            }
            _ => EdDSA.verifier_from_jwk(&jwk).unwrap().verify(message.as_bytes(), &signature),
        };
        verified.unwrap();
    }
}

#[test]
fn each_challenge_is_another_transaction() {
    let guard = approving();
    let ask = || challenged(&guard, &ordinary(), approved_refund());
    let (one, other) = (ask(), ask());
    assert_ne!(one["txn"], other["txn"]);
    assert_ne!(one["jti"], other["jti"]);
}

#[test]
fn an_approval_is_asked_for_only_if_everything_else_is_met() {
    let guard = approving();
    let detail = || Require::detail(refund().approved());
    let weak = Require::scope(REFUND).and(detail()).acr([PHR]);
    let malformed = Require::detail(refund().with("amount", "1e3").approved());
    for (token, requirement, expected) in [
        (ordinary().expired(), approved_refund(), Reason::TokenExpired),
        (ordinary().scope("orders:read"), approved_refund(), Reason::InsufficientScope),
        (ordinary(), weak, Reason::AuthenticationContextMissing),
        (ordinary(), detail().undelegated(), Reason::ActorUnauthorized),
        (ordinary(), detail().client([(LOGIN, "another")]), Reason::ClientNotAllowed),
        (ordinary(), malformed, Reason::PolicyInputInvalid),
        (
            ordinary(),
            detail().and(Require::detail(refund().with("order", 8))),
            Reason::AuthorizationDetailsInsufficient,
        ),
    ] {
        let denial = send(&guard, &token, requirement).unwrap_err();
        assert_eq!(denial.reason(), expected);
        let asked = denial.challenge().and_then(|challenge| challenge.transaction_challenge());
        assert!(asked.is_none(), "{expected}");
    }
}

#[test]
fn a_remediation_beside_it_does_not_ask_for_what_must_be_approved() {
    let guard = approving();
    let both = approved_refund().and(Require::detail(refund().with("order", 8)));
    let denial = send(&guard, &ordinary(), both.clone()).unwrap_err();
    let remediation = denial.challenge().unwrap().remediation().unwrap();
    let asked: Value = serde_json::from_str(remediation.authorization_details()).unwrap();
    assert_eq!(asked, json!([entry("8", "EUR", "DE02", "12.5")]));
    // Once it is granted, one challenge asks for all of them, since one token must cover all.
    let granted = ordinary().claim("authorization_details", &asked);
    let challenge = challenged(&guard, &granted, both.clone());
    let asked = [entry("7", "EUR", "DE02", "12.5"), entry("8", "EUR", "DE02", "12.5")];
    assert_eq!(challenge["authorization_details"], json!(asked));
    assert!(send(&guard, &issued(login(), &challenge, now()), both).is_ok());
}

#[test]
fn a_challenge_that_does_not_fit_is_500_and_says_why() {
    let guard = approving();
    for (to, expected) in [
        ("x".repeat(256), None),
        ("x".repeat(257), Some("the member `to` is missing, or too long to be shown")),
    ] {
        let long = Require::scope(REFUND).and(Require::detail(refund().with("to", to).approved()));
        let denial = send(&guard, &ordinary(), long).unwrap_err();
        match expected {
            None => drop(signed(&denial)),
            Some(expected) => {
                assert_eq!(
                    (denial.reason(), denial.status().as_u16()),
                    (Reason::InternalError, 500)
                );
                assert!(
                    denial.for_operator().to_string().contains(expected),
                    "{}",
                    denial.for_operator()
                );
            }
        }
    }
    let many = (0..20).fold(Require::scope(REFUND), |all, order| {
        all.and(Require::detail(refund().with("order", order).approved()))
    });
    let denial = send(&guard, &ordinary(), many).unwrap_err();
    assert_eq!(denial.reason(), Reason::InternalError);
    assert!(
        denial.for_operator().to_string().contains("bytes, and at most 3072 are sent"),
        "{}",
        denial.for_operator()
    );
}

#[test]
fn a_challenge_asks_no_store() {
    let (store, asked) = store_that(|| Err(StoreUnavailable::new("down")));
    let guard = guard_over(store);
    for _ in 0..100 {
        signed(&send(&guard, &ordinary(), approved_refund()).unwrap_err());
    }
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[test]
fn ten_thousand_challenges_leave_nothing_behind() {
    let guard = approving();
    let sent = request(&ordinary());
    let ask = || {
        let answer = guard.authorize(&mut sent.clone(), approved_refund()).now().unwrap();
        signed(&answer.unwrap_err())
    };
    // The first ones make what lasts, such as the entry in the cache of tokens.
    (0..100).for_each(|_| drop(ask()));
    let heap = allocation_counter::measure(|| (0..10_000).for_each(|_| drop(ask())));
    assert_eq!(heap.bytes_current, 0);
    assert_eq!(heap.count_current, 0);
}

#[test]
fn the_record_of_a_challenge_and_of_its_use_have_the_same_txn() {
    let events = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = events.clone();
    let guard = approving().audit(move |event: &unconfused::AuditEvent<'_>| {
        let txn = event.txn().map(|txn| txn.raw().to_owned());
        sink.lock().unwrap().push((event.allowed(), txn, event.to_string()));
    });
    let challenge = challenged(&guard, &ordinary(), approved_refund());
    let token = issued(login(), &challenge, now());
    assert!(send(&guard, &token, approved_refund()).is_ok());
    assert!(send(&guard, &ordinary().claim("x", 1), REFUND).is_ok());
    let events = events.lock().unwrap();
    let txn = challenge["txn"].as_str().map(str::to_owned);
    let seen: Vec<_> = events.iter().map(|(allowed, txn, _)| (*allowed, txn.clone())).collect();
    assert_eq!(seen, [(false, txn.clone()), (true, txn), (true, None)]);
    for (_, _, line) in events.iter() {
        // Neither the challenge nor what it asks for is in the record.
        assert!(!line.contains("DE02") && !line.contains("eyJ"), "{line}");
    }
}
