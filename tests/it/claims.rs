//! Claims that a requirement asks for: of one issuer, at one place, of one type.

use std::sync::{Arc, Mutex};

use crate::common::*;
use serde_json::{Value, json};
use unconfused::error::Unmet;
use unconfused::testing::TestToken;
use unconfused::{Acr, AuditEvent, Denial, Reason, Require, Scope};

fn any() -> Require {
    Require::valid_token()
}

fn check(requirement: &Require, token: &TestToken) -> Result<(), Unmet> {
    requirement.check(&validate(token).unwrap(), now())
}

fn is_met(requirement: &Require, claim: Value) -> bool {
    match check(requirement, &token().claim("x", claim)) {
        Ok(()) => true,
        Err(unmet) => {
            assert_eq!(unmet.reasons(), [Reason::ClaimNotMet]);
            false
        }
    }
}

#[test]
fn a_claim_is_a_string_and_this_one() {
    let requirement = any().claim_is(LOGIN, "x", "a");
    assert!(is_met(&requirement, json!("a")));
    let others = json!(["b", "A", "a ", "", ["a"], {"a": "a"}, null, true, 1]);
    for other in others.as_array().unwrap() {
        assert!(!is_met(&requirement, other.clone()), "{other}");
    }
    assert!(check(&requirement, &token()).is_err());
    assert!(!is_met(&any().claim_is(LOGIN, "x", "1"), json!(1)));
    assert!(!is_met(&any().claim_is(LOGIN, "x", "true"), json!(true)));
}

#[test]
fn a_claim_contains_a_string_if_it_is_an_array_of_nothing_but_strings() {
    let requirement = any().claim_contains(LOGIN, "x", "a");
    for claim in [json!(["a"]), json!(["b", "a"]), json!(["a", "a"])] {
        assert!(is_met(&requirement, claim));
    }
    for other in [
        json!([]),
        json!(["b"]),
        json!("a"),
        json!("b a"),
        json!({"a": true}),
        json!(["a", 1]),
        json!([["a"]]),
        json!(["a", null]),
        json!(null),
    ] {
        assert!(!is_met(&requirement, other.clone()), "{other}");
    }
}

#[test]
fn a_path_leads_into_objects_and_a_string_is_one_name() {
    let nested = any().claim_contains(LOGIN, ["x", "realm", "roles"], "a");
    assert!(is_met(&nested, json!({"realm": {"roles": ["a"]}})));
    for other in [
        json!({"realm": ["a"]}),
        json!({"realm.roles": ["a"]}),
        json!([{"realm": {"roles": ["a"]}}]),
        json!({"roles": ["a"]}),
        json!("realm"),
    ] {
        assert!(!is_met(&nested, other.clone()), "{other}");
    }
    let url = any().claim_is(LOGIN, "https://shop.example/roles", "a");
    assert!(check(&url, &token().claim("https://shop.example/roles", "a")).is_ok());
    let dotted = any().claim_is(LOGIN, "x.y", "a");
    assert!(check(&dotted, &token().claim("x", json!({"y": "a"}))).is_err());
}

#[test]
fn escapes_in_names_and_values_are_read() {
    let claims = r#"{"iss":"https://login.example","sub":"alice","aud":"https://orders.example","exp":1800000300,"iat":1800000000,"client_id":"c","jti":"j","\u0078":{"r\u006fles":["\u0061"]}}"#;
    let token = token().payload(claims);
    assert!(check(&any().claim_contains(LOGIN, ["x", "roles"], "a"), &token).is_ok());
}

#[test]
fn the_claim_of_another_issuer_does_not_count() {
    let token = token().claim("roles", json!(["admin"]));
    assert!(check(&any().claim_contains(LOGIN, "roles", "admin"), &token).is_ok());
    for other in [OTHER, "https://login.example/", "HTTPS://login.example", ""] {
        let unmet = check(&any().claim_contains(other, "roles", "admin"), &token).unwrap_err();
        assert_eq!(unmet.reason(), Reason::ClaimNotMet);
    }
}

#[test]
fn the_client_is_told_no_more_than_that_it_is_not_permitted_and_the_record_names_the_claim() {
    let details = Arc::new(Mutex::new(Vec::new()));
    let kept = details.clone();
    let guard = guard().audit(move |event: &AuditEvent<'_>| {
        kept.lock().unwrap().push(event.detail().unwrap().raw().to_owned());
    });
    let admins = any().claim_contains(LOGIN, ["realm", "roles"], "admin");
    let denial = ask(&guard, &token(), &admins).unwrap_err();
    assert_eq!((denial.reason(), denial.status().as_u16()), (Reason::ClaimNotMet, 403));
    assert_eq!(denial.reason().for_client(), Reason::PolicyDenied);
    assert!(denial.challenge().is_none());
    assert!(!denial.problem_json().contains("admin"));
    assert!(!denial.to_string().contains("claim"));
    assert_eq!(
        *details.lock().unwrap(),
        [r#"the requirement claim="realm"/"roles" contains "admin" of "https://login.example""#]
    );
}

#[test]
fn a_missing_role_is_told_before_a_login_or_a_scope_is_asked_for() {
    let requirement = Require::scope(Scope::from_static("orders:read"))
        .acr([Acr::from_static("phr")])
        .claim_is(LOGIN, "department", "sales");
    let unmet = check(&requirement, &token()).unwrap_err();
    assert_eq!(unmet.reasons(), [Reason::ClaimNotMet]);
    assert!(Denial::from(unmet).challenge().is_none());
}

#[test]
fn what_the_guard_judges_itself_cannot_be_named() {
    for name in [
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "client_id",
        "scope",
        "cnf",
        "act",
        "may_act",
        "acr",
        "amr",
        "auth_time",
        "authorization_details",
        "status",
        "txn",
    ] {
        let makes: [fn(&str) -> Require; 3] = [
            |name| any().claim_is(LOGIN, name, "a"),
            |name| any().claim_contains(LOGIN, name, "a"),
            // A prior actor, and all else that is inside.
            |name| any().claim_is(LOGIN, [name, "act", "sub"], "a"),
        ];
        for make in makes {
            let panic = std::panic::catch_unwind(|| make(name)).unwrap_err();
            let text = panic.downcast_ref::<String>().unwrap();
            assert!(text.contains(&format!("the claim `{name}` cannot be required")), "{text}");
        }
        let text = format!(r#"claim="{name}" is "a" of "https://login.example""#);
        assert!(text.parse::<Require>().is_err(), "{name}");
    }
    // Inside of another claim it is another name.
    let _ = any().claim_is(LOGIN, ["x", "sub"], "a");
}
