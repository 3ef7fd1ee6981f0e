//! Validation of one token: every reason of the plain functions, the exact moments at which times
//! change, the settings, and hostile input.

use std::collections::BTreeSet;

use crate::common::*;
use serde_json::{Value, json};
use unconfused::error::WrongClaimType;
use unconfused::keys::{Algorithm, KeySet};
use unconfused::profile::{HeaderType, Profile};
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::token::{TokenLimits, UnverifiedToken, Validation};
use unconfused::{Audience, Denial, Reason, Require};

const HOUR: u64 = 3600;

/// The issuer's key set, with the first key changed.
fn keys_with(change: impl FnOnce(&mut Value)) -> KeySet {
    let mut set: Value = serde_json::from_str(&login().jwks()).unwrap();
    change(&mut set["keys"][0]);
    KeySet::from_json(&set.to_string()).unwrap()
}

fn reason_of(raw: &str, keys: &KeySet) -> Option<Reason> {
    UnverifiedToken::parse_with(raw, &TokenLimits::default().max_bytes(2 * 1024 * 1024))
        .and_then(|token| token.validate(&validation(), keys, now()))
        .err()
        .map(|invalid| invalid.reason())
}

#[test]
fn a_good_token_is_accepted() {
    let token = validate(&token().scope("orders:read").acr("phr")).unwrap();
    assert_eq!(token.issuer(), LOGIN);
    assert_eq!(token.subject().name(), "alice");
    assert_eq!(token.client_id(), Some("test-client"));
    assert_eq!(token.audience(), Some(&ORDERS));
    assert_eq!(token.expires_at(), at(300));
    assert_eq!(token.issued_at(), Some(now()));
    assert_eq!(token.scopes().collect::<Vec<_>>(), ["orders:read"]);
    assert_eq!(token.acr(), Ok(Some("phr")));
    assert!(token.actor().is_none());
}

#[test]
fn every_reason_from_the_shape_to_possession_has_a_token_that_is_refused_for_it() {
    let good = token().sign();
    let parts: Vec<_> = good.split('.').collect();
    let with_header = |header: &str| compact(header, r#"{"iss":"https://login.example"}"#, &[1]);
    let iat = |offset: i64| token().claim("iat", NOW + offset);
    let chain = (0..9).fold(token(), |token, i| token.actor(&format!("agent-{i}")));
    let unusable = keys_with(|key| key["use"] = json!("enc"));
    let usable = login().keys();

    let cases: Vec<(Reason, String, &KeySet)> = vec![
        (Reason::TokenFormatNotAccepted, String::new(), &usable),
        (Reason::TokenFormatNotAccepted, "opaque".into(), &usable),
        (Reason::TokenFormatNotAccepted, format!("{good}.x.y"), &usable),
        (Reason::TokenFormatNotAccepted, format!("{good}~"), &usable),
        (
            Reason::TokenFormatNotAccepted,
            format!(r#"{{"payload":"{}","protected":"{}"}}"#, parts[1], parts[0]),
            &usable,
        ),
        (Reason::TokenMalformed, format!("{}.{}", parts[0], parts[1]), &usable),
        (Reason::TokenMalformed, format!("{}.{}.", parts[0], parts[1]), &usable),
        (Reason::TokenMalformed, format!("{good}="), &usable),
        (Reason::TokenMalformed, format!(" {good}"), &usable),
        (Reason::TokenMalformed, format!("{good}\n"), &usable),
        (Reason::JoseHeaderInvalid, with_header("[]"), &usable),
        (Reason::JoseHeaderInvalid, with_header("{}"), &usable),
        (Reason::JoseHeaderInvalid, with_header(r#"{"alg":"ES256","\u0061lg":"none"}"#), &usable),
        (Reason::JoseHeaderInvalid, token().header("kid", 1).sign(), &usable),
        (Reason::JoseHeaderInvalid, token().header("jwk", json!({})).sign(), &usable),
        (Reason::CriticalHeaderUnsupported, token().header("crit", ["exp"]).sign(), &usable),
        (Reason::CriticalHeaderUnsupported, token().header("crit", json!([])).sign(), &usable),
        (Reason::CriticalHeaderUnsupported, token().header("b64", true).sign(), &usable),
        (Reason::TokenTypeMismatch, with_header(r#"{"alg":"ES256"}"#), &usable),
        (Reason::TokenTypeMismatch, token().header("typ", "JWT").sign(), &usable),
        (Reason::TokenTypeMismatch, token().header("typ", "dpop+jwt").sign(), &usable),
        (Reason::TokenTypeMismatch, token().header("typ", "oauth-id-jag+jwt").sign(), &usable),
        (Reason::AlgorithmNotAllowed, token().header("alg", "none").sign(), &usable),
        (Reason::AlgorithmNotAllowed, token().header("alg", "nOnE").sign(), &usable),
        (Reason::AlgorithmNotAllowed, token().header("alg", "HS256").sign(), &usable),
        (Reason::AlgorithmNotAllowed, token().header("alg", "es256").sign(), &usable),
        (Reason::AlgorithmNotAllowed, token().header("alg", "EdDSA").sign(), &usable),
        (Reason::AlgorithmNotAllowed, token().header("alg", "ES512").sign(), &usable),
        (Reason::IssuerMissing, token().without_claim("iss").sign(), &usable),
        (Reason::IssuerMissing, token().claim("iss", "").sign(), &usable),
        (Reason::IssuerMissing, token().claim("iss", json!([LOGIN])).sign(), &usable),
        (Reason::IssuerMissing, token().payload("[]").sign(), &usable),
        (Reason::IssuerUntrusted, token().claim("iss", OTHER).sign(), &usable),
        (Reason::IssuerUntrusted, token().claim("iss", "https://login.example/").sign(), &usable),
        (Reason::IssuerUntrusted, token().claim("iss", "https://LOGIN.example").sign(), &usable),
        (Reason::IssuerUntrusted, token().claim("iss", "https://login.exampl").sign(), &usable),
        (Reason::KeyNotFound, token().header("kid", "nobody").sign(), &usable),
        (Reason::KeyUnusable, good.clone(), &unusable),
        (Reason::KeyUnusable, token().header("alg", "RS256").sign(), &usable),
        (Reason::SignatureInvalid, token().forged_by(forger()).sign(), &usable),
        (
            Reason::SignatureInvalid,
            format!("{}.{}.{}", parts[0], parts[1], base64url([0; 64])),
            &usable,
        ),
        (Reason::SignatureInvalid, format!("{}.{}.AAAA", parts[0], parts[1]), &usable),
        (
            Reason::ClaimsMalformed,
            token().payload(r#"{"iss":"https://login.example","sub":"alice","sub":"bob"}"#).sign(),
            &usable,
        ),
        (Reason::ClaimsMalformed, token().scope(&"s ".repeat(1025)).sign(), &usable),
        (Reason::ClaimTypeInvalid, token().claim("exp", "1800000300").sign(), &usable),
        (Reason::ClaimTypeInvalid, token().claim("aud", json!({})).sign(), &usable),
        (Reason::ClaimTypeInvalid, token().claim("scope", ["a"]).sign(), &usable),
        (Reason::ClaimTypeInvalid, token().claim("client_id", Value::Null).sign(), &usable),
        (Reason::ClaimTypeInvalid, token().claim("cnf", "x").sign(), &usable),
        // RFC 9396, checked with the types of the claims.
        (
            Reason::AuthorizationDetailsInvalid,
            token().claim("authorization_details", json!([{}])).sign(),
            &usable,
        ),
        (Reason::TokenExpired, token().expired().sign(), &usable),
        (Reason::TokenNotYetValid, token().not_yet_valid().sign(), &usable),
        (Reason::IssuedInFuture, iat(31).sign(), &usable),
        (Reason::TokenLifetimeExceeded, token().lifetime(secs(25 * HOUR)).sign(), &usable),
        (Reason::AudienceMismatch, token().claim("aud", "https://billing.example").sign(), &usable),
        (Reason::ActorMalformed, token().claim("act", json!({ "sub": 1 })).sign(), &usable),
        (Reason::ActorChainTooDeep, chain.sign(), &usable),
        (
            Reason::ConfirmationUnsupported,
            token().claim("cnf", json!({ "jwk": {} })).sign(),
            &usable,
        ),
    ];
    for (reason, raw, keys) in &cases {
        assert_eq!(reason_of(raw, keys), Some(*reason), "{raw}");
    }

    // `token_kind_rejected` needs a profile under which the type in the header says nothing.
    let untyped = Profile::rfc9068().types([HeaderType::Jwt]);
    let id_token = token().header("typ", "JWT").claim("nonce", "n");
    let invalid = validate_by(&validation().profile(untyped), &id_token, now()).unwrap_err();
    assert_eq!(invalid.reason(), Reason::TokenKindRejected);

    // `required_claim_missing` has a test of its own, and `keys_unavailable` needs a source of keys.
    let shown: BTreeSet<_> = cases.iter().map(|(reason, ..)| *reason).collect();
    let elsewhere =
        [Reason::TokenKindRejected, Reason::RequiredClaimMissing, Reason::KeysUnavailable];
    for reason in Reason::ALL {
        let here = (Reason::TokenFormatNotAccepted..=Reason::ConfirmationUnsupported)
            .contains(reason)
            && !elsewhere.contains(reason);
        assert!(!here || shown.contains(reason), "{reason} is not shown");
    }
}

#[test]
fn each_of_the_seven_claims_is_required() {
    for claim in ["iss", "sub", "aud", "exp", "iat", "client_id", "jti"] {
        let expected = match claim {
            "iss" => Reason::IssuerMissing,
            _ => Reason::RequiredClaimMissing,
        };
        assert_eq!(refusal(&token().without_claim(claim)), Some(expected), "{claim}");
    }
}

#[test]
fn an_empty_claim_is_a_missing_one() {
    for claim in ["sub", "client_id", "jti"] {
        assert_eq!(
            refusal(&token().claim(claim, "")),
            Some(Reason::RequiredClaimMissing),
            "{claim}"
        );
    }
    assert_eq!(refusal(&token().claim("aud", json!([]))), Some(Reason::RequiredClaimMissing));
}

#[test]
fn an_audience_that_is_the_empty_string_is_a_missing_one() {
    assert_eq!(refusal(&token().claim("aud", "")), Some(Reason::RequiredClaimMissing));
}

#[test]
fn a_claim_that_is_not_read_may_be_of_any_type() {
    let odd = token()
        .claim("tenant", json!({ "a": [1, null] }))
        .claim("nonce", 7)
        .claim("roles", Value::Null);
    assert_eq!(refusal(&odd), None);
}

#[test]
fn the_type_of_the_token_is_compared_as_a_media_type() {
    for good in ["at+jwt", "AT+JWT", "application/at+jwt", "APPLICATION/at+JWT"] {
        assert_eq!(refusal(&token().header("typ", good)), None, "{good}");
    }
    for bad in ["", "at+jwt ", "at+jwt;a=b", "text/at+jwt", "at"] {
        assert_eq!(
            refusal(&token().header("typ", bad)),
            Some(Reason::TokenTypeMismatch),
            "{bad:?}"
        );
    }
}

#[test]
fn times_change_exactly_at_the_leeway() {
    // the claim, its value, the time, and the reason then; all as offsets from the moment
    let cases = [
        ("exp", 300, 329, None),
        ("exp", 300, 330, Some(Reason::TokenExpired)),
        ("nbf", 100, 70, None),
        ("nbf", 100, 69, Some(Reason::TokenNotYetValid)),
        ("iat", 0, -30, None),
        ("iat", 0, -31, Some(Reason::IssuedInFuture)),
    ];
    for (claim, value, moment, reason) in cases {
        let token = token().claim(claim, NOW + value);
        let found = validate_by(&validation(), &token, at(moment)).err();
        assert_eq!(found.map(|invalid| invalid.reason()), reason, "{claim} {value} {moment}");
    }
}

#[test]
fn times_change_to_the_nanosecond() {
    let nano = std::time::Duration::from_nanos(1);
    let check = |moment| validate_by(&validation(), &token(), moment).map(drop);
    assert!(check(at(330) - nano).is_ok());
    assert_eq!(check(at(330)).unwrap_err().reason(), Reason::TokenExpired);
    assert!(check(at(-30)).is_ok());
    assert_eq!(check(at(-30) - nano).unwrap_err().reason(), Reason::IssuedInFuture);
}

#[test]
fn the_leeway_can_be_none_or_a_minute() {
    for (leeway, last) in [(0, 299), (60, 359)] {
        let validation = validation().limits(TokenLimits::default().leeway(secs(leeway)));
        let ok = |moment| validate_by(&validation, &token(), at(moment)).is_ok();
        assert!(ok(last), "{leeway}");
        assert!(!ok(last + 1), "{leeway}");
    }
}

#[test]
fn a_leeway_of_one_minute_is_allowed() {
    let _ = TokenLimits::default().leeway(secs(60));
}

#[test]
#[should_panic(expected = "at most 60 seconds")]
fn a_leeway_of_more_than_a_minute_panics() {
    let _ = TokenLimits::default().leeway(secs(60) + std::time::Duration::from_nanos(1));
}

#[test]
fn the_age_of_an_authentication_changes_exactly_at_the_leeway() {
    let requirement = Require::valid_token().max_age(secs(100));
    for (auth_time, reason) in [
        (-130, None),
        (-131, Some(Reason::AuthenticationTooOld)),
        (30, None),
        (31, Some(Reason::AuthenticationTooOld)),
    ] {
        let token = validate(&token().claim("auth_time", NOW + auth_time)).unwrap();
        let unmet = requirement.check(&token, now()).err();
        assert_eq!(unmet.map(|unmet| unmet.reason()), reason, "{auth_time}");
    }
}

#[test]
fn a_token_may_live_a_day_and_not_a_second_more() {
    let day = 24 * HOUR;
    assert_eq!(refusal(&token().lifetime(secs(day))), None);
    assert_eq!(refusal(&token().lifetime(secs(day + 1))), Some(Reason::TokenLifetimeExceeded));
}

#[test]
fn the_longest_lifetime_is_the_owners_choice() {
    let validation = validation().limits(TokenLimits::default().max_lifetime(secs(60)));
    let refused = |life| validate_by(&validation, &token().lifetime(secs(life)), now()).is_err();
    assert!(!refused(60));
    assert!(refused(61));
}

#[test]
fn a_delegated_token_may_live_two_hours() {
    let delegated = token().actor("agent-7");
    assert_eq!(refusal(&delegated.clone().lifetime(secs(2 * HOUR))), None);
    assert_eq!(
        refusal(&delegated.lifetime(secs(2 * HOUR + 1))),
        Some(Reason::TokenLifetimeExceeded)
    );
}

#[test]
fn a_token_of_an_agent_client_may_live_two_hours() {
    let listed = validation().agent_clients(["test-client"]);
    let by_rule = validation().agent_clients_if(|token| token.client_id() == Some("test-client"));
    for validation in [listed, by_rule] {
        let check = |life| validate_by(&validation, &token().lifetime(secs(life)), now()).map(drop);
        assert!(check(2 * HOUR).is_ok());
        assert_eq!(check(2 * HOUR + 1).unwrap_err().reason(), Reason::TokenLifetimeExceeded);
    }
}

#[test]
fn a_direct_call_is_not_delegated_and_may_live_a_day() {
    let direct = token().actor_with_issuer(LOGIN, "alice").lifetime(secs(24 * HOUR));
    assert_eq!(refusal(&direct), None);
}

#[test]
fn the_shorter_of_both_lifetimes_holds_for_a_delegated_token() {
    let validation = validation()
        .limits(TokenLimits::default().max_lifetime(secs(60)).max_delegated_lifetime(secs(120)));
    let refused = |life| {
        let token = token().actor("agent-7").lifetime(secs(life));
        validate_by(&validation, &token, now()).is_err()
    };
    assert!(!refused(60));
    assert!(refused(61));
}

#[test]
fn the_age_of_a_token_is_bounded_if_the_owner_says_so() {
    let token = token().lifetime(secs(HOUR));
    let validation = validation().limits(TokenLimits::default().max_token_age(secs(100)));
    let reason = |moment| {
        let invalid = validate_by(&validation, &token, at(moment)).err();
        invalid.map(|invalid| invalid.reason())
    };
    assert_eq!(reason(130), None);
    assert_eq!(reason(131), Some(Reason::TokenLifetimeExceeded));
}

#[test]
fn a_single_audience_is_required_only_if_the_owner_says_so() {
    let validation = validation().limits(TokenLimits::default().single_audience());
    let check = |aud: Value| {
        validate_by(&validation, &token().claim("aud", aud), now())
            .err()
            .map(|invalid| invalid.reason())
    };
    assert_eq!(check(json!(ORDERS.as_str())), None);
    assert_eq!(check(json!([ORDERS.as_str()])), None);
    assert_eq!(
        check(json!([ORDERS.as_str(), "https://billing.example"])),
        Some(Reason::AudienceMismatch)
    );
    let limits = TokenLimits::default();
    assert_eq!(limits.single_audience(), limits.max_audiences(1));
}

#[test]
fn a_token_may_be_meant_for_64_audiences() {
    let check = |others: usize| {
        let mut aud: Vec<_> = (0..others).map(|i| format!("https://{i}.example")).collect();
        aud.push(ORDERS.to_string());
        refusal(&token().claim("aud", aud))
    };
    assert_eq!(check(63), None);
    assert_eq!(check(64), Some(Reason::AudienceMismatch));
}

#[test]
fn a_token_for_another_name_of_this_resource_says_which() {
    const ALIAS: Audience = Audience::from_static("api://orders");
    let validation = validation().also_accept(ALIAS);
    let accepted = |aud: Value| {
        let token = token().claim("aud", aud);
        validate_by(&validation, &token, now()).map(|token| token.audience().cloned())
    };
    assert_eq!(accepted(json!("api://orders")).unwrap(), Some(ALIAS));
    assert_eq!(accepted(json!(["x", "api://orders"])).unwrap(), Some(ALIAS));
    assert_eq!(accepted(json!(ORDERS.as_str())).unwrap(), Some(ORDERS));
    assert!(accepted(json!("api://billing")).is_err());
}

#[test]
fn audiences_are_compared_code_point_by_code_point() {
    for near in [
        "https://orders.example/",
        "https://ORDERS.example",
        "HTTPS://orders.example",
        "https://orders.example:443",
        "https://orders.example.evil",
        "https://orders.exampl",
        "https://orders.example ",
        " https://orders.example",
        "orders.example",
        "https://orders.example/%2e",
        "https://orders.example\u{0}",
        "*",
    ] {
        for aud in [json!([near]), json!(["https://x.example", near])] {
            assert_eq!(
                refusal(&token().claim("aud", aud)),
                Some(Reason::AudienceMismatch),
                "{near:?}"
            );
        }
    }
}

#[test]
fn an_alias_with_a_slash_does_not_forgive_the_slash() {
    let validation = Validation::new(Audience::from_static("https://a.example/"), LOGIN)
        .also_accept(Audience::from_static("https://b.example"));
    let accepted = |aud| validate_by(&validation, &token().claim("aud", aud), now()).is_ok();
    assert!(accepted("https://a.example/"));
    assert!(!accepted("https://a.example"));
    assert!(accepted("https://b.example"));
    assert!(!accepted("https://b.example/"));
}

#[test]
fn a_bound_token_is_refused_whatever_binds_it() {
    for (cnf, reason) in [
        (json!({}), Reason::ConfirmationUnsupported),
        (json!({ "jkt": proof_key().thumbprint() }), Reason::BoundTokenAsBearer),
        (json!({ "jkt": "" }), Reason::BoundTokenAsBearer),
        (
            json!({ "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2" }),
            Reason::ClientCertificateMissing,
        ),
        (json!({ "jwk": { "kty": "EC" } }), Reason::ConfirmationUnsupported),
        (json!({ "kid": "1" }), Reason::ConfirmationUnsupported),
        (json!({ "jku": "https://x.example", "kid": "1" }), Reason::ConfirmationUnsupported),
        (json!({ "something_new": true }), Reason::ConfirmationUnsupported),
        (json!({ "jkt": null }), Reason::ClaimTypeInvalid),
        (json!({ "x5t#S256": 1 }), Reason::ClaimTypeInvalid),
        (json!([]), Reason::ClaimTypeInvalid),
        (json!(null), Reason::ClaimTypeInvalid),
    ] {
        let bound = token().claim("cnf", &cnf);
        // Also if the owner accepts proofs: they come with another scheme.
        for validation in [validation(), validation().dpop(dpop())] {
            let refused = validate_by(&validation, &bound, now()).unwrap_err();
            assert_eq!(refused.reason(), reason, "{cnf}");
        }
    }
}

#[test]
fn a_claim_is_absent_or_of_another_type_or_there() {
    let token = validate(
        &token()
            .claim("tenant", "acme")
            .claim("limits", json!({ "day": 100 }))
            .claim("nothing", Value::Null),
    )
    .unwrap();
    assert_eq!(token.claim::<String>("tenant").unwrap().as_deref(), Some("acme"));
    assert_eq!(token.claim::<&str>("tenant").unwrap(), Some("acme"));
    assert_eq!(token.claim::<u64>("absent").unwrap(), None);
    let limits: Value = token.claim("limits").unwrap().unwrap();
    assert_eq!(limits["day"], 100);
    let wrong: Result<Option<u64>, WrongClaimType> = token.claim("tenant");
    assert_eq!(
        wrong.unwrap_err().to_string(),
        "the claim `tenant` has another type: it is a string"
    );
    // `null` is there, and is not a string
    assert!(token.claim::<String>("nothing").is_err());
}

/// What a service reads from its tokens.
#[derive(Debug, PartialEq, serde::Deserialize)]
struct Employee<'a> {
    sub: &'a str,
    exp: i64,
    #[serde(rename = "https://example.com/department", borrow)]
    department: std::borrow::Cow<'a, str>,
    manager: Option<String>,
    #[serde(default)]
    locations: Vec<String>,
    access: Access,
}

#[derive(Debug, PartialEq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Access {
    Office,
    Door { numbers: Vec<u32> },
}

fn employee() -> TestToken {
    token().claim("https://example.com/department", "re\"turns").claim("access", "office")
}

#[test]
fn all_claims_are_read_as_one_type() {
    let one = validate(&employee()).unwrap();
    let employee_of = |department: &'static str, access| Employee {
        sub: "alice",
        exp: NOW + 300,
        department: department.into(),
        manager: None,
        locations: Vec::new(),
        access,
    };
    assert_eq!(one.claims(), Ok(employee_of("re\"turns", Access::Office)));

    let more = employee()
        .claim("access", json!({ "door": { "numbers": [1, 2] } }))
        .claim("locations", ["Berlin"])
        .claim("manager", "bob")
        .claim("not_asked_for", 1);
    let more = validate(&more).unwrap();
    let expected = Employee {
        manager: Some("bob".to_owned()),
        locations: vec!["Berlin".to_owned()],
        ..employee_of("re\"turns", Access::Door { numbers: vec![1, 2] })
    };
    assert_eq!(more.claims(), Ok(expected));

    // Types that are not structs of fields.
    let all: Value = more.claims().unwrap();
    assert_eq!(all["iss"], LOGIN);
    assert_eq!(all["locations"], json!(["Berlin"]));
    let map: std::collections::BTreeMap<String, Value> = more.claims().unwrap();
    assert_eq!(map.len(), all.as_object().unwrap().len());
    #[derive(serde::Deserialize)]
    struct Whole(Value);
    assert_eq!(more.claims::<Option<Whole>>().unwrap().unwrap().0, all);
}

#[test]
fn claims_that_do_not_fit_are_named_and_denied_with_their_reason() {
    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code, reason = "only read")]
    struct Flattened {
        #[serde(flatten)]
        employee: Value,
        locations: Vec<String>,
    }
    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code, reason = "only read")]
    struct Roles {
        roles: Vec<String>,
    }
    let of = |token: TestToken| validate(&token).unwrap();
    let wrong = |token| of(token).claims::<Employee<'_>>().map(drop).unwrap_err();
    let secret = "a secret value";
    for (error, claim, message, reason) in [
        (
            wrong(employee().without_claim("https://example.com/department")),
            "https://example.com/department",
            "the claim `https://example.com/department` is missing",
            Reason::RequiredClaimMissing,
        ),
        (
            wrong(employee().claim("locations", secret)),
            "locations",
            "the claim `locations` has another type: it is a string",
            Reason::ClaimTypeInvalid,
        ),
        (
            wrong(employee().claim("manager", json!({ "name": secret }))),
            "manager",
            "the claim `manager` has another type: it is an object",
            Reason::ClaimTypeInvalid,
        ),
        (
            wrong(employee().claim("access", secret)),
            "access",
            "the claim `access` has another type: it is a string",
            Reason::ClaimTypeInvalid,
        ),
        (
            wrong(employee().claim("locations", Value::Null)),
            "locations",
            "the claim `locations` has another type: it is null",
            Reason::ClaimTypeInvalid,
        ),
        (
            of(employee().without_claim("scope")).claims::<Vec<u8>>().unwrap_err(),
            "",
            "the claims do not have the type that was asked for",
            Reason::ClaimTypeInvalid,
        ),
        (
            of(employee().claim("locations", 1)).claims::<Flattened>().map(drop).unwrap_err(),
            "locations",
            "the claim `locations` has another type: it is a number",
            Reason::ClaimTypeInvalid,
        ),
        (
            of(token()
                .claim("authorization_details", json!([{ "type": "a" }, { "type": secret }])))
            .details::<Flattened>(secret)
            .map(drop)
            .unwrap_err(),
            "authorization_details",
            "the claim `authorization_details` has an entry of another type",
            Reason::AuthorizationDetailsInvalid,
        ),
        (
            wrong(employee().claim("locations", json!(["Berlin", 7]))),
            "locations",
            "the claim `locations` has an entry of another type, or lacks one",
            Reason::ClaimTypeInvalid,
        ),
        (
            wrong(employee().claim("access", json!({ "door": { "numbers": secret } }))),
            "access",
            "the claim `access` has a member of another type, or lacks one",
            Reason::ClaimTypeInvalid,
        ),
        (
            of(employee().claim("realm_access", json!({ "roles": secret })))
                .claim::<Roles>("realm_access")
                .map(drop)
                .unwrap_err(),
            "realm_access",
            "the claim `realm_access` has a member of another type, or lacks one",
            Reason::ClaimTypeInvalid,
        ),
        (
            of(employee().claim("realm_access", json!({ "groups": [secret] })))
                .claim::<Roles>("realm_access")
                .map(drop)
                .unwrap_err(),
            "realm_access",
            "the claim `realm_access` has a member of another type, or lacks one",
            Reason::ClaimTypeInvalid,
        ),
        (
            of(employee().claim("realm_access", json!([[secret], secret])))
                .claim::<Vec<Roles>>("realm_access")
                .map(drop)
                .unwrap_err(),
            "realm_access",
            "the claim `realm_access` has an entry of another type, or lacks one",
            Reason::ClaimTypeInvalid,
        ),
        (
            of(employee().claim("realm_access", json!({})))
                .claim::<Vec<u64>>("realm_access")
                .unwrap_err(),
            "realm_access",
            "the claim `realm_access` has another type: it is an object",
            Reason::ClaimTypeInvalid,
        ),
        (
            of(employee()).claim::<u64>("sub").unwrap_err(),
            "sub",
            "the claim `sub` has another type: it is a string",
            Reason::ClaimTypeInvalid,
        ),
    ] {
        assert_eq!((error.claim(), &*error.to_string()), (claim, message));
        let denial = Denial::from(error);
        assert_eq!((denial.reason(), denial.status().as_u16()), (reason, 401), "{message}");
        assert!(!format!("{denial}{denial:?}{}", denial.problem_json()).contains(secret));
    }
    let unknown = of(employee()).claims::<Nothing>().unwrap_err();
    assert!(unknown.to_string().ends_with("is not expected"), "{unknown}");
}

#[test]
fn a_number_that_is_not_a_time_is_refused() {
    for exp in [
        "1e19",
        "1e308",
        "1e999",
        "18446744073709551615",
        "99999999999999999999999999",
        "253402300800",
        "-1",
        "-0",
        "NaN",
        "Infinity",
        "0x7f",
    ] {
        let payload = format!(
            r#"{{"iss":"{LOGIN}","sub":"a","aud":"{ORDERS}","client_id":"c","jti":"j","iat":{NOW},"exp":{exp}}}"#
        );
        let found = refusal(&token().payload(payload));
        let no_json = matches!(exp, "NaN" | "Infinity" | "0x7f");
        let expected = match no_json {
            true => Reason::IssuerMissing,
            false => Reason::ClaimTypeInvalid,
        };
        assert_eq!(found, Some(expected), "{exp}");
    }
}

#[test]
fn the_last_moment_of_all_exceeds_the_lifetime_and_does_not_overflow() {
    let forever = token().claim("exp", 253_402_300_799_u64);
    assert_eq!(refusal(&forever), Some(Reason::TokenLifetimeExceeded));
    let validation = validation().limits(
        TokenLimits::default()
            .max_lifetime(std::time::Duration::MAX)
            .max_token_age(std::time::Duration::MAX),
    );
    assert!(validate_by(&validation, &forever, now()).is_ok());
    // its leeway ends after the end of time
    assert!(validate_by(&validation, &forever, time::UtcDateTime::MAX).is_ok());
}

#[test]
fn ten_thousand_actors_are_refused_and_do_not_recurse() {
    let chain =
        format!(r#"{}{{"sub":"a"}}{}"#, r#"{"sub":"a","act":"#.repeat(10_000), "}".repeat(10_000));
    let payload = format!(r#"{{"iss":"{LOGIN}","act":{chain}}}"#);
    let raw = token().payload(payload).sign();
    assert_eq!(UnverifiedToken::parse(&raw).unwrap_err().reason(), Reason::CredentialTooLarge);
    // if the owner allows that much, the payload is too large to be read at all
    assert_eq!(reason_of(&raw, &login().keys()), Some(Reason::CredentialTooLarge));
}

#[test]
fn nesting_that_fits_is_refused_at_its_depth() {
    let nested = |depth: usize| {
        let value = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let payload = format!(r#"{{"iss":"{LOGIN}","x":{value}}}"#);
        reason_of(&token().payload(payload).sign(), &login().keys())
    };
    // The object itself is one level.
    assert_eq!(nested(31), Some(Reason::RequiredClaimMissing));
    assert_eq!(nested(32), Some(Reason::ClaimsMalformed));
    assert_eq!(nested(10_000), Some(Reason::ClaimsMalformed));

    let chain = |links: usize| {
        let open = r#"{"sub":"a","act":"#.repeat(links);
        format!(r#"{open}{{"sub":"a"}}{}"#, "}".repeat(links))
    };
    let payload = format!(r#"{{"iss":"{LOGIN}","act":{}}}"#, chain(1_000));
    assert_eq!(
        reason_of(&token().payload(payload).sign(), &login().keys()),
        Some(Reason::ClaimsMalformed)
    );
}

#[test]
fn a_megabyte_is_refused_before_it_is_read() {
    for raw in
        ["a".repeat(1 << 20), ".".repeat(1 << 20), token().claim("x", "a".repeat(1 << 20)).sign()]
    {
        assert_eq!(UnverifiedToken::parse(&raw).unwrap_err().reason(), Reason::CredentialTooLarge);
    }
}

#[test]
fn the_limit_of_a_token_is_exact() {
    let raw = token().sign();
    let limit = |bytes| TokenLimits::default().max_bytes(bytes);
    assert!(UnverifiedToken::parse_with(&raw, &limit(raw.len())).is_ok());
    assert_eq!(
        UnverifiedToken::parse_with(&raw, &limit(raw.len() - 1)).unwrap_err().reason(),
        Reason::CredentialTooLarge
    );
}

#[test]
fn a_duplicate_claim_is_refused_however_it_is_spelled() {
    let base = format!(
        r#""iss":"{LOGIN}","sub":"alice","aud":"{ORDERS}","client_id":"c","jti":"j","iat":{NOW},"exp":{}"#,
        NOW + 300
    );
    assert_eq!(refusal(&token().payload(format!("{{{base}}}"))), None);
    for again in [
        r#""iss":"https://login.example""#,
        r#""sub":"bob""#,
        r#""\u0073ub":"bob""#,
        r#""s\u0075\u0062":"alice""#,
        r#""aud":"https://billing.example""#,
        r#""exp":9999999999"#,
        r#""x":{"a":1,"\u0061":2}"#,
        r#""act":{"sub":"agent-7","s\u0075b":"agent-8"}"#,
        r#""x":[{"y":{"a":1,"a":1}}]"#,
    ] {
        for payload in [format!("{{{base},{again}}}"), format!("{{{again},{base}}}")] {
            assert_eq!(
                refusal(&token().payload(&*payload)),
                Some(Reason::ClaimsMalformed),
                "{payload}"
            );
        }
    }
    // Of two issuers, neither is chosen.
    assert_eq!(
        refusal(&token().payload(format!(r#"{{{base},"\u0069ss":"x"}}"#))),
        Some(Reason::IssuerMissing)
    );
}

#[test]
fn one_broken_key_does_not_spoil_the_others() {
    let good: Value = serde_json::from_str(&login().jwks()).unwrap();
    let good = good["keys"][0].to_string();
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    for broken in [
        "null",
        "5",
        "\"key\"",
        "[]",
        "{}",
        r#"{"kty":1}"#,
        r#"{"kty":"unheard-of","kid":"test-1"}"#,
        r#"{"kty":"oct","k":"c2VjcmV0"}"#,
        r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#,
        r#"{"kty":"EC","kty":"EC"}"#,
        r#"{"kty":"RSA","n":"!!","e":"AQAB"}"#,
        &format!(r#"{{"kty":"EC","x":{deep}}}"#),
    ] {
        for set in
            [format!(r#"{{"keys":[{broken},{good}]}}"#), format!(r#"{{"keys":[{good},{broken}]}}"#)]
        {
            let keys = KeySet::from_json(&set).unwrap();
            assert_eq!((keys.len(), keys.skipped().count()), (1, 1), "{set}");
            assert_eq!(reason_of(&token().sign(), &keys), None, "{set}");
        }
    }
}

#[test]
fn withdrawn_keys_verify_nothing() {
    let issuer = TestIssuer::new(LOGIN);
    let raw = issuer.token(&ORDERS).issued_at(now()).sign();
    assert_eq!(reason_of(&raw, &issuer.keys()), None);
    issuer.rotate();
    assert_eq!(reason_of(&raw, &issuer.keys()), None);
    issuer.withdraw_old_keys();
    assert_eq!(reason_of(&raw, &issuer.keys()), Some(Reason::KeyNotFound));
    let empty = KeySet::from_json(r#"{"keys":[]}"#).unwrap();
    assert_eq!(reason_of(&raw, &empty), Some(Reason::KeyNotFound));
}

#[test]
fn every_algorithm_that_is_offered_verifies_if_it_is_allowed() {
    for algorithm in [
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::Es512,
        Algorithm::Rs256,
        Algorithm::Ps256,
        Algorithm::Ps512,
        Algorithm::Ed25519,
        Algorithm::EdDsa,
    ] {
        let issuer = login_with(algorithm);
        let raw = issuer.token(&ORDERS).issued_at(now()).sign();
        let check = |validation: Validation| {
            let token = UnverifiedToken::parse(&raw)?;
            token.validate(&validation, &issuer.keys(), now()).map(drop)
        };
        assert!(check(validation().algorithms([algorithm])).is_ok(), "{algorithm}");
        assert_eq!(
            check(validation().algorithms([])).unwrap_err().reason(),
            Reason::AlgorithmNotAllowed,
            "{algorithm}"
        );
        let by_default = Algorithm::DEFAULT.contains(&algorithm);
        assert_eq!(check(validation()).is_ok(), by_default, "{algorithm}");
    }
}

#[test]
fn a_key_that_names_its_algorithm_verifies_no_other() {
    let issuer = login_with(Algorithm::Ps256);
    let raw = issuer.token(&ORDERS).issued_at(now()).sign();
    let with_alg = |alg: Option<&str>| {
        let mut set: Value = serde_json::from_str(&issuer.jwks()).unwrap();
        let key = set["keys"][0].as_object_mut().unwrap();
        key.remove("alg");
        if let Some(alg) = alg {
            key.insert("alg".to_owned(), json!(alg));
        }
        KeySet::from_json(&set.to_string()).unwrap()
    };
    for (alg, reason) in [
        (None, None),
        (Some("PS256"), None),
        (Some("RS256"), Some(Reason::KeyUnusable)),
        (Some("PS384"), Some(Reason::KeyUnusable)),
    ] {
        assert_eq!(reason_of(&raw, &with_alg(alg)), reason, "{alg:?}");
    }
}

#[test]
fn an_error_truncates_and_marks_names_that_were_not_verified() {
    let long = "k".repeat(200);
    let message = |token: &unconfused::testing::TestToken| validate(token).unwrap_err().to_string();
    let shown = message(&token().header("kid", &long));
    assert!(shown.contains("(unverified)"), "{shown}");
    assert!(shown.contains(&"k".repeat(128)), "{shown}");
    assert!(!shown.contains(&"k".repeat(129)), "{shown}");

    let shown = message(&token().claim("iss", "https://evil.example\n\u{1b}[2Jfake"));
    assert!(shown.contains("(unverified)"), "{shown}");
    assert!(!shown.contains(['\n', '\u{1b}']), "{shown}");
}

#[test]
fn a_payload_that_is_not_utf8_is_refused() {
    let raw = token().payload(b"{\"iss\":\"\xff\"}".to_vec()).sign();
    assert_eq!(UnverifiedToken::parse(&raw).unwrap_err().reason(), Reason::TokenMalformed);
}

#[test]
fn scopes_are_counted_as_they_read_and_not_as_they_are_written() {
    let payload = |scopes: usize| {
        let claims = format!(
            r#"{{"iss":"{LOGIN}","sub":"a","aud":"{ORDERS}","client_id":"c","jti":"j","iat":{NOW},"exp":{}"#,
            NOW + 60
        );
        format!(r#"{claims},"scope":"{}"}}"#, r"s\u0020".repeat(scopes))
    };
    assert_eq!(refusal(&token().payload(payload(1024))), None);
    assert_eq!(refusal(&token().payload(payload(1025))), Some(Reason::ClaimsMalformed));
}

#[test]
fn a_signature_alone_is_verified_within_the_same_size() {
    let raw = token().payload(vec![b'a'; 20_000]).sign();
    let verified = login().keys().verify_signature_only(&raw, Algorithm::DEFAULT);
    assert_eq!(verified, Err(Reason::CredentialTooLarge));
}
