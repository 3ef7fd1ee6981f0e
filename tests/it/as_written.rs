//! Tokens as real issuers write them: what is accepted without a word, what a profile accepts by name, and what such a
//! token cannot do.

use std::panic::catch_unwind;
use std::sync::{Arc, Mutex};

use crate::common::*;
use serde_json::{Value, json};
use unconfused::audit::StepUp;
use unconfused::keys::{Algorithm, KeySet};
use unconfused::profile::{HeaderType, Profile, ScopeShape};
use unconfused::replay::ReplayEntry;
use unconfused::testing::TestToken;
use unconfused::token::{TokenLimits, Validation};
use unconfused::{Acr, AuditEvent, Guard, Reason, Require, Scope};

const READ: Scope = Scope::from_static("orders:read");
const PHISHING_RESISTANT: Acr = Acr::from_static("phr");
const YEAR: i64 = 365 * 24 * 3600;

fn refusal_by(profile: Profile, token: &TestToken) -> Option<Reason> {
    refusal_with(&validation().profile(profile), token)
}

fn refusal_with(validation: &Validation, token: &TestToken) -> Option<Reason> {
    validate_by(validation, token, now()).err().map(|invalid| invalid.reason())
}

fn unmet(token: &TestToken, require: &Require) -> Option<Reason> {
    require.check(&validate(token).unwrap(), now()).err().map(|unmet| unmet.reason())
}

// Hints about keys

#[test]
fn where_a_token_says_that_its_key_is_changes_nothing() {
    let jwk: Value = serde_json::from_str(&forger().jwks()).unwrap();
    for (name, value) in [
        ("jku", json!("https://evil.example/jwks")),
        ("jku", json!(7)),
        ("x5u", json!("https://evil.example/certificate")),
        ("x5c", json!(["AA"])),
    ] {
        let token = token().header(name, value);
        assert_eq!(refusal(&token), None, "{name}");
        let forged = token.forged_by(forger());
        assert_eq!(refusal(&forged), Some(Reason::SignatureInvalid), "{name}");
    }
    let brings_its_key = token().header("jwk", &jwk["keys"][0]).forged_by(forger());
    assert_eq!(refusal(&brings_its_key), Some(Reason::JoseHeaderInvalid));
}

// Authentication that cannot be read

/// Each with the claim that cannot be read.
fn unreadable() -> [(&'static str, TestToken); 5] {
    let strong = || token().scope("orders:read").acr("phr").authenticated(secs(5));
    [
        ("acr", strong().claim("acr", 1)),
        ("acr", strong().claim("acr", Value::Null)),
        ("amr", strong().claim("amr", json!([{ "method": "otp" }]))),
        ("auth_time", strong().claim("auth_time", NOW.to_string())),
        ("auth_time", strong().claim("auth_time", -1)),
    ]
}

#[test]
fn an_authentication_that_cannot_be_read_fails_step_up_alone() {
    let class = Require::scope(READ).acr([PHISHING_RESISTANT]);
    let age = Require::scope(READ).max_age(secs(300));
    for (claim, token) in unreadable() {
        let missing = |name| (claim == name).then_some(Reason::AuthenticationContextMissing);
        assert_eq!(unmet(&token, &Require::scope(READ)), None, "{claim}");
        assert_eq!(unmet(&token, &class), missing("acr"), "{claim}");
        assert_eq!(unmet(&token, &age), missing("auth_time"), "{claim}");
    }
}

#[test]
fn a_rule_tells_an_authentication_that_cannot_be_read_from_one_that_is_absent() {
    for (claim, token) in unreadable() {
        let token = validate(&token).unwrap();
        let errors =
            [token.acr().err(), token.amr().map(Iterator::count).err(), token.auth_time().err()];
        let errors: Vec<_> = errors.iter().flatten().map(|error| error.claim()).collect();
        assert_eq!(errors, [claim]);
    }
    let silent = validate(&token()).unwrap();
    assert_eq!(silent.acr(), Ok(None));
    assert_eq!(silent.amr().unwrap().count(), 0);
    assert_eq!(silent.auth_time(), Ok(None));
}

#[test]
fn the_record_names_the_claims_that_cannot_be_read() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let events = seen.clone();
    let guard = guard().audit(move |event: &AuditEvent<'_>| {
        let claims: Vec<_> = event.unreadable().collect();
        events.lock().unwrap().push((claims, event.acr().is_some(), event.to_string()));
    });
    for (claim, token) in unreadable() {
        ask(&guard, &token, READ).unwrap();
        let (claims, has_acr, line) = seen.lock().unwrap().pop().unwrap();
        assert_eq!(claims, [claim]);
        assert_eq!(has_acr, claim != "acr");
        assert!(line.contains(&format!(" unreadable={claim} ")), "{line}");
    }
    ask(&guard, &token().scope("orders:read"), READ).unwrap();
    let (claims, _, line) = seen.lock().unwrap().pop().unwrap();
    assert!(claims.is_empty() && !line.contains("unreadable"), "{line}");
}

#[test]
fn a_login_that_cannot_be_read_is_asked_for_again() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let guard =
        guard().audit(move |event: &AuditEvent<'_>| seen.lock().unwrap().push(event.step_up()));
    let token = token().scope("orders:read").claim("auth_time", "yesterday");
    let denial = ask(&guard, &token, Require::scope(READ).max_age(secs(300))).unwrap_err();
    assert!(challenge(&denial).contains("max_age=\"300\""), "{}", challenge(&denial));
    assert_eq!(*asked.lock().unwrap(), [StepUp::Asked]);
}

// Tokens that do not say when they were issued

fn undated() -> Profile {
    Profile::rfc9068().issued_at_optional()
}

/// A token without `iat`, with this `nbf`, if any, that expires in so many seconds.
fn without_iat(not_before: Option<i64>, expires_in: i64) -> TestToken {
    let token = token().scope("orders:read").without_claim("iat").claim("exp", NOW + expires_in);
    not_before.into_iter().fold(token, |token, at| token.claim("nbf", NOW + at))
}

#[test]
fn a_token_without_iat_is_accepted_by_an_explicit_word_alone() {
    for token in [without_iat(None, 300), without_iat(Some(-5), 300)] {
        assert_eq!(refusal(&token), Some(Reason::RequiredClaimMissing));
        assert_eq!(refusal_by(undated(), &token), None);
    }
    // It may be left out, and not be something else.
    let wrong = token().claim("iat", "now");
    assert_eq!(refusal_by(undated(), &wrong), Some(Reason::ClaimTypeInvalid));
    // What is there counts.
    let ahead = token().claim("iat", NOW + 31);
    assert_eq!(refusal_by(undated(), &ahead), Some(Reason::IssuedInFuture));
}

#[test]
fn nbf_stands_for_iat_and_without_both_a_token_has_no_time_of_issue() {
    let validation = validation().profile(undated());
    let issued_at = |token: &TestToken| validate_by(&validation, token, now()).unwrap().issued_at();
    assert_eq!(issued_at(&token().claim("nbf", NOW - 9)), Some(now()));
    assert_eq!(issued_at(&without_iat(Some(-9), 300)), Some(at(-9)));
    assert_eq!(issued_at(&without_iat(None, 300)), None);
}

#[test]
fn the_lifetime_is_counted_from_nbf_and_without_that_from_now() {
    let day = TokenLimits::default().max_lifetime(secs(1000));
    let validation = validation().profile(undated()).limits(day);
    let too_long = Some(Reason::TokenLifetimeExceeded);
    for (not_before, expires_in, expected) in [
        (Some(-400), 600, None),
        (Some(-400), 601, too_long),
        (None, 1000, None),
        (None, 1001, too_long),
    ] {
        let token = without_iat(not_before, expires_in);
        assert_eq!(refusal_with(&validation, &token), expected, "{not_before:?} {expires_in}");
    }
    // A token that lives for years passes near its end.
    let token = without_iat(None, YEAR);
    assert_eq!(refusal_with(&validation, &token), too_long);
    assert!(validate_by(&validation, &token, at(YEAR - 1000)).is_ok());
    // For one with an actor, the shorter limit counts in the same way.
    let delegated = |expires_in| without_iat(None, expires_in).actor("agent-7");
    assert_eq!(refusal_by(undated(), &delegated(7200)), None);
    assert_eq!(refusal_by(undated(), &delegated(7201)), too_long);
}

#[test]
fn what_needs_the_time_of_issue_refuses_a_token_that_does_not_say_it() {
    let limits = TokenLimits::default().max_token_age(secs(3600));
    let limited = validation().profile(undated()).limits(limits);
    let invalid = validate_by(&limited, &without_iat(None, 300), now()).unwrap_err();
    assert_eq!(invalid.reason(), Reason::TokenLifetimeExceeded);
    assert!(invalid.to_string().contains("neither `iat` nor `nbf`"), "{invalid}");
    assert_eq!(refusal_with(&limited, &without_iat(Some(-5), 300)), None);
    let too_old = Some(Reason::TokenLifetimeExceeded);
    assert_eq!(refusal_with(&limited, &without_iat(Some(-3631), 300)), too_old);

    let guard = Guard::new(ORDERS, login().issuer().profile(undated())).clock(now).replay(store());
    let once = || Require::scope(READ).single_use();
    let denial = ask(&guard, &without_iat(None, 300), once()).unwrap_err();
    assert_eq!(denial.reason(), Reason::TokenSpent);
    assert!(ask(&guard, &without_iat(None, 300), READ).is_ok());
    assert!(ask(&guard, &without_iat(Some(-5), 300), once()).is_ok());

    let validation = validation().profile(undated());
    let token = validate_by(&validation, &without_iat(None, 300), now()).unwrap();
    assert!(ReplayEntry::for_token(&token, now()).is_none());
}

#[test]
fn a_cached_token_that_does_not_say_when_it_was_issued_passes_until_it_expires() {
    let time = Arc::new(Mutex::new(now()));
    let clock = time.clone();
    let guard = Guard::new(ORDERS, login().issuer().profile(undated()))
        .clock(move || *clock.lock().unwrap());
    let token = without_iat(None, 300);
    for (seconds, expected) in [(0, None), (299, None), (330, Some(Reason::TokenExpired))] {
        *time.lock().unwrap() = at(seconds);
        let verdict = ask(&guard, &token, READ).err().map(|denial| denial.reason());
        assert_eq!(verdict, expected, "{seconds}");
    }
}

// What a profile accepts by name

#[test]
fn another_type_is_accepted_by_its_name_and_does_not_hide_another_kind_of_token() {
    let profile = || Profile::rfc9068().other_types(["Bearer", "application/VND.example.a+jwt"]);
    let typed = |typ: &str| token().header("typ", typ);
    for typ in ["Bearer", "bearer", "application/bearer", "vnd.example.a+jwt", "at+jwt"] {
        assert_eq!(refusal_by(profile(), &typed(typ)), None, "{typ}");
    }
    for typ in ["JWT", "Bearer2", "", "dpop+jwt", "logout+jwt", "text/bearer"] {
        let refused = refusal_by(profile(), &typed(typ));
        assert_eq!(refused, Some(Reason::TokenTypeMismatch), "{typ}");
    }
    assert_eq!(refusal(&typed("Bearer")), Some(Reason::TokenTypeMismatch));
    let id_token = typed("Bearer").claim("nonce", "n");
    assert_eq!(refusal_by(profile(), &id_token), Some(Reason::TokenKindRejected));
}

#[test]
fn the_type_of_another_kind_of_token_cannot_be_accepted() {
    for typ in ["dpop+jwt", "Logout+JWT", "application/secevent+jwt", "", "JWT", "at+jwt"] {
        let made = catch_unwind(|| Profile::rfc9068().other_types([typ.to_owned()]));
        assert!(made.is_err(), "{typ}");
    }
}

#[test]
fn at_hash_is_accepted_by_name_and_no_other_mark_with_it() {
    let untyped = || Profile::rfc9068().types([HeaderType::Jwt]);
    let marked = |claim: &str| token().header("typ", "JWT").claim(claim, "x");
    let rejected = Some(Reason::TokenKindRejected);
    for claim in ["at_hash", "nonce", "c_hash", "events"] {
        assert_eq!(refusal_by(untyped(), &marked(claim)), rejected, "{claim}");
        let expected = if claim == "at_hash" { None } else { rejected };
        assert_eq!(refusal_by(untyped().at_hash_allowed(), &marked(claim)), expected, "{claim}");
    }
    let both = marked("at_hash").claim("nonce", "n");
    assert_eq!(refusal_by(untyped().at_hash_allowed(), &both), rejected);
}

#[test]
fn scopes_are_separated_by_the_character_that_the_profile_names() {
    let commas = Profile::rfc9068().scope_claims([("scope", ScopeShape::Delimited(','))]);
    let commas = validation().profile(commas);
    let scopes = |validation: &Validation, scope: Value| {
        let token = validate_by(validation, &token().claim("scope", scope), now()).unwrap();
        token.scopes().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(scopes(&commas, json!("orders:read,orders:write")), ["orders:read", "orders:write"]);
    assert_eq!(scopes(&commas, json!(", orders:read , ,a")), ["orders:read", "a"]);
    // A space inside is in no scope, so this is one odd name and grants nothing.
    assert_eq!(scopes(&commas, json!("orders:read orders:write")), ["orders:read orders:write"]);
    // By default a comma is a part of the name.
    let default = validation();
    assert_eq!(scopes(&default, json!("orders:read,orders:write")), ["orders:read,orders:write"]);
    let array = token().claim("scope", ["orders:read"]);
    assert_eq!(refusal_with(&commas, &array), Some(Reason::ClaimTypeInvalid));
}

// Signatures alone

#[test]
fn an_empty_payload_verifies_where_only_the_signature_is_checked() {
    let keys: KeySet = login().keys();
    let empty = token().payload("").sign();
    assert!(empty.contains(".."), "{empty}");
    assert_eq!(keys.verify_signature_only(&empty, Algorithm::DEFAULT), Ok(Vec::new()));
    let forged = token().payload("").forged_by(forger()).sign();
    let refused = keys.verify_signature_only(&forged, Algorithm::DEFAULT);
    assert_eq!(refused, Err(Reason::SignatureInvalid));
    // The signature of another payload is not that of the empty one.
    let other = token().sign();
    let (header, signature) = (other.split('.').next(), other.rsplit('.').next());
    let detached = format!("{}..{}", header.unwrap(), signature.unwrap());
    let refused = keys.verify_signature_only(&detached, Algorithm::DEFAULT);
    assert_eq!(refused, Err(Reason::SignatureInvalid));
    // It is not a token.
    assert_eq!(refusal(&token().payload("")), Some(Reason::TokenMalformed));
}
