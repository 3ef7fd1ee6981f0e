//! Authorization details (RFC 9396): what a guard makes of those of a token, and what it asks for.

mod model;

use std::sync::{Arc, Mutex};

use crate::common::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use unconfused::challenge::DetailsDialect;
use unconfused::detail::{Detail, DetailType, DetailTypes, GrantedDetails};
use unconfused::testing::TestToken;
use unconfused::{Acr, AuditEvent, Denial, Guard, Reason, Require, Scope};

const REFUND: Scope = Scope::from_static("orders:refund");
const PHR: Acr = Acr::from_static("phr");

fn refund_type() -> DetailType {
    DetailType::new("order_refund").exact("order").exact("currency").at_most("amount")
}

fn payment_type() -> DetailType {
    DetailType::new("payment")
        .set("actions")
        .exact(["instructedAmount", "currency"])
        .at_most(["instructedAmount", "amount"])
}

fn refund(order: &str, amount: &str) -> Detail {
    Detail::of("order_refund").with("order", order).with("currency", "EUR").with("amount", amount)
}

fn granted(details: Value) -> TestToken {
    token().scope("orders:refund").claim("authorization_details", details)
}

fn refund_granted(order: &str, amount: &str) -> TestToken {
    granted(json!([entry(order, amount)]))
}

fn entry(order: &str, amount: &str) -> Value {
    json!({"type": "order_refund", "order": order, "currency": "EUR", "amount": amount})
}

fn detail_guard() -> Guard {
    guard().detail_type(refund_type()).detail_type(payment_type())
}

fn answer(token: &TestToken, requirement: impl Into<Require>) -> Option<Denial> {
    ask(&detail_guard(), token, requirement).err()
}

fn reason(token: &TestToken, requirement: impl Into<Require>) -> Option<Reason> {
    answer(token, requirement).map(|denial| denial.reason())
}

/// Returns the parameter `authorization_remediation` of a denial, decoded.
fn remediation(denial: &Denial) -> Option<Value> {
    let challenge = challenge(denial);
    let (_, rest) = challenge.split_once("authorization_remediation=\"")?;
    let (value, _) = rest.split_once('"').unwrap();
    let json = URL_SAFE_NO_PAD.decode(value).unwrap();
    Some(serde_json::from_slice(&json).unwrap())
}

// Matching.

#[test]
fn a_detail_is_covered_by_an_entry_that_grants_as_much_or_more() {
    let token = refund_granted("7", "12.50");
    for amount in ["12.50", "12.5", "012.500", "9.99", "0"] {
        assert_eq!(reason(&token, Require::detail(refund("7", amount))), None, "{amount}");
    }
    for (order, amount) in [("7", "12.51"), ("8", "1"), ("07", "1"), ("7", "100")] {
        let refused = reason(&token, Require::detail(refund(order, amount)));
        assert_eq!(refused, Some(Reason::AuthorizationDetailsInsufficient), "{order} {amount}");
    }
}

#[test]
fn an_entry_with_anything_that_its_type_does_not_know_covers_nothing() {
    let payment = Detail::of("payment")
        .with("actions", ["initiate"])
        .with(["instructedAmount", "currency"], "EUR")
        .with(["instructedAmount", "amount"], "1");
    let good = json!({
        "type": "payment",
        "actions": ["status", "initiate"],
        "instructedAmount": {"currency": "EUR", "amount": "1"},
    });
    assert_eq!(reason(&granted(json!([good])), Require::detail(payment.clone())), None);
    for (pointer, value) in [
        ("/until", json!("2027")),
        ("/until", json!(null)),
        ("/until", json!({})),
        ("/instructedAmount/until", json!({})),
        ("/instructedAmount/type", json!("payment")),
        ("/instructedAmount.amount", json!("1")),
        ("/instructedAmount", json!({})),
        ("/instructedAmount", json!("1")),
        ("/instructedAmount/amount", json!(1)),
        ("/instructedAmount/amount", json!("1e3")),
        ("/instructedAmount/amount", json!("+99")),
        ("/instructedAmount/amount", json!({"value": "1"})),
        ("/instructedAmount/currency", json!("USD")),
        ("/instructedAmount/currency", json!(["EUR"])),
        ("/actions", json!([])),
        ("/actions", json!("initiate")),
        ("/actions", json!(["*"])),
        ("/actions", json!(["initiate", 1])),
    ] {
        let mut entry = good.clone();
        let (object, name) = pointer.rsplit_once('/').unwrap();
        entry.pointer_mut(object).unwrap()[name] = value;
        let refused = reason(&granted(json!([entry])), Require::detail(payment.clone()));
        assert_eq!(refused, Some(Reason::AuthorizationDetailsInsufficient), "{entry}");
        // It does not stand in the way of another one.
        let beside = granted(json!([entry, good]));
        assert_eq!(reason(&beside, Require::detail(payment.clone())), None, "{entry}");
    }
}

#[test]
fn two_entries_are_never_added_up() {
    let token = granted(json!([entry("7", "6.25"), entry("7", "6.25")]));
    let refused = reason(&token, Require::detail(refund("7", "12.50")));
    assert_eq!(refused, Some(Reason::AuthorizationDetailsInsufficient));
    // Nor are two members of two entries: one has the order, the other the amount.
    let token = granted(json!([entry("7", "1"), entry("8", "100")]));
    assert!(reason(&token, Require::detail(refund("7", "12.50"))).is_some());
}

#[test]
fn a_token_without_details_and_an_entry_of_an_unknown_type_grant_nothing() {
    let unknown =
        json!({"type": "order_cancel", "order": "7", "currency": "EUR", "amount": "12.50"});
    for token in [token(), granted(json!([])), granted(json!([unknown]))] {
        let refused = reason(&token, Require::detail(refund("7", "1")));
        assert_eq!(refused, Some(Reason::AuthorizationDetailsInsufficient));
    }
    let beside = granted(json!([unknown, entry("7", "1")]));
    assert_eq!(reason(&beside, Require::detail(refund("7", "1"))), None);
}

#[test]
fn two_details_may_be_covered_by_two_entries() {
    let both = Require::detail(refund("7", "1")).and(Require::detail(refund("8", "2")));
    assert_eq!(reason(&granted(json!([entry("8", "2"), entry("7", "1")])), &both), None);
    assert!(reason(&refund_granted("7", "5"), &both).is_some());
}

#[test]
fn scope_alone_never_meets_a_detail_and_a_detail_never_a_scope() {
    let both = Require::scope(REFUND).and(Require::detail(refund("7", "1")));
    assert_eq!(
        reason(&token().scope("orders:refund"), &both),
        Some(Reason::AuthorizationDetailsInsufficient)
    );
    assert_eq!(
        reason(&refund_granted("7", "1").scope("x"), &both),
        Some(Reason::InsufficientScope)
    );
    assert_eq!(reason(&refund_granted("7", "1"), &both), None);
}

#[test]
fn a_type_is_asked_for_by_presence() {
    let any_refund = Require::detail_of_type("order_refund");
    assert_eq!(reason(&refund_granted("7", "1"), &any_refund), None);
    let denial = answer(&granted(json!([{"type": "order_cancel"}])), &any_refund).unwrap();
    assert_eq!(denial.reason(), Reason::AuthorizationDetailsInsufficient);
    assert_eq!(
        remediation(&denial).unwrap()["authorization_details"],
        json!([{"type": "order_refund"}])
    );
}

// The claim.

#[test]
fn a_broken_claim_is_refused_also_where_no_detail_is_asked_for() {
    for broken in [
        json!({"type": "order_refund"}),
        json!("order_refund"),
        json!(null),
        json!([entry("7", "1"), 1]),
        json!([entry("7", "1"), {}]),
        json!([entry("7", "1"), {"type": null}]),
        json!([[entry("7", "1")]]),
    ] {
        let token = granted(broken.clone());
        for guard in [guard(), detail_guard()] {
            let denial = ask(&guard, &token, Require::valid_token()).unwrap_err();
            assert_eq!(denial.reason(), Reason::AuthorizationDetailsInvalid, "{broken}");
            assert_eq!(denial.status(), StatusCode::UNAUTHORIZED);
        }
        let refused = reason(&token, Require::detail(refund("7", "1")));
        assert_eq!(refused, Some(Reason::AuthorizationDetailsInvalid), "{broken}");
        let text = broken.to_string();
        let problem = GrantedDetails::parse(&text).unwrap_err();
        assert_eq!(problem.reason(), Reason::AuthorizationDetailsInvalid, "{broken}");
    }
}

#[test]
fn a_member_that_is_there_twice_breaks_the_claim_at_every_level() {
    let good = r#"{"type":"order_refund","order":"7","currency":"EUR","amount":"1"}"#;
    for twice in [
        r#"{"type":"order_refund","order":"8","order":"7","currency":"EUR","amount":"1"}"#,
        r#"{"type":"order_refund","\u006frder":"8","order":"7","currency":"EUR","amount":"1"}"#,
        r#"{"type":"other","x":{"a":1,"a":1}}"#,
        r#"{"type":"other","x":[{"y":[{"a":1,"a":1}]}]}"#,
        r#"{"type":"other","type":"order_refund"}"#,
    ] {
        let claim = format!("[{good},{twice}]");
        let problem = GrantedDetails::parse(&claim).unwrap_err();
        assert_eq!(problem.reason(), Reason::AuthorizationDetailsInvalid, "{twice}");
        // In a token it breaks the payload.
        let payload = format!(
            r#"{{"iss":"{LOGIN}","sub":"alice","aud":"https://orders.example","exp":{},"iat":{NOW},"client_id":"c","jti":"j","authorization_details":{claim}}}"#,
            NOW + 60
        );
        let refused = reason(&token().payload(payload), Require::detail(refund("7", "1")));
        assert_eq!(refused, Some(Reason::ClaimsMalformed), "{twice}");
    }
    assert!(GrantedDetails::parse(&format!(" [{good}]\n")).is_ok());
}

#[test]
fn details_are_read_as_a_type_of_the_users_own() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Refund<'a> {
        order: &'a str,
        amount: String,
    }
    let details = json!([entry("7", "1"), {"type": "other", "order": 1}, entry("8", "2.50")]);
    let grant = ask(&guard(), &granted(details), Require::valid_token()).unwrap();
    let refunds: Vec<Refund<'_>> = grant.details("order_refund").unwrap();
    assert_eq!(refunds.iter().map(|refund| refund.order).collect::<Vec<_>>(), ["7", "8"]);
    assert_eq!(refunds[1].amount, "2.50");
    assert!(grant.details::<Refund<'_>>("payment").unwrap().is_empty());
    let wrong = grant.details::<Refund<'_>>("other").unwrap_err();
    assert_eq!(wrong.claim(), "authorization_details");
    let without = ask(&guard(), &token(), Require::valid_token()).unwrap();
    assert!(without.details::<Refund<'_>>("order_refund").unwrap().is_empty());
}

// Mistakes of the request and of the owner.

#[test]
fn a_malformed_value_of_the_request_is_a_bad_request_and_not_a_challenge() {
    let token = refund_granted("7", "99999");
    for amount in
        ["1e3", "+99", "-1", "", "1,000", " 1", "1.", "NaN", "1234567890123456", "0.1234567890"]
    {
        let denial = answer(&token, Require::detail(refund("7", amount))).unwrap();
        assert_eq!(denial.reason(), Reason::PolicyInputInvalid, "{amount}");
        assert_eq!(denial.status(), StatusCode::BAD_REQUEST);
        assert!(denial.challenge().is_none() && !denial.headers().contains_key("www-authenticate"));
        assert!(!denial.for_operator().to_string().contains("1e3"), "{denial}");
    }
    let no_actions = Detail::of("payment")
        .with("actions", [] as [&str; 0])
        .with(["instructedAmount", "currency"], "EUR")
        .with(["instructedAmount", "amount"], "1");
    assert_eq!(reason(&token, Require::detail(no_actions)), Some(Reason::PolicyInputInvalid));
}

#[test]
fn a_malformed_value_beside_a_missing_scope_waits_for_the_scope() {
    let both = Require::scope(REFUND).and(Require::detail(refund("7", "1e3")));
    let denial = answer(&refund_granted("7", "1").scope("x"), both).unwrap();
    assert_eq!(denial.reason(), Reason::InsufficientScope);
    assert_eq!(denial.other_reasons(), [Reason::PolicyInputInvalid]);
    assert_eq!(remediation(&denial), None);
}

/// Details that no definition of the guard allows.
fn undefined() -> Vec<Require> {
    let without_currency = Detail::of("order_refund").with("order", "7").with("amount", "1");
    vec![
        Require::detail(Detail::of("order_cancel").with("order", "7")),
        Require::detail_of_type("order_cancel"),
        Require::detail(without_currency),
        Require::detail(refund("7", "1").with("more", "x")),
        Require::detail(refund("7", "1").with("type", "order_cancel")),
        Require::detail(refund("7", "1").with("order", ["7"])),
        Require::detail(refund("7", "1").with(["order", "id"], "7")),
    ]
}

#[tokio::test]
async fn a_detail_that_no_type_allows_is_an_error_of_the_service_and_never_a_challenge() {
    let guard = detail_guard();
    let grant = ask(&guard, &refund_granted("7", "1"), Require::valid_token()).unwrap();
    for requirement in undefined() {
        // Before anything that a login or a scope could make good.
        let requirement = requirement.acr([PHR]).and(Scope::from_static("other"));
        let denial = guard.narrow(&grant, requirement).await.unwrap_err();
        assert_eq!(denial.reason(), Reason::InternalError, "{denial}");
        assert_eq!(denial.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(denial.challenge().is_none());
    }
}

#[test]
fn a_layer_with_a_detail_that_no_type_allows_panics_at_set_up() {
    let malformed = Require::detail(refund("7", "1e3"));
    for requirement in undefined().into_iter().chain([malformed]) {
        let text = requirement.to_string();
        let layer = std::panic::catch_unwind(|| drop(detail_guard().require(requirement)));
        let message = layer.unwrap_err().downcast::<String>().unwrap();
        assert!(message.starts_with("no token can meet the requirement"), "{text}: {message}");
    }
    drop(detail_guard().require(Require::detail(refund("7", "1"))));
}

#[test]
fn a_detail_that_must_be_approved_is_not_met_by_a_grant() {
    for detail in [refund("7", "1").approved(), refund("7", "1").approved_or_granted()] {
        assert_eq!(
            reason(&refund_granted("7", "1"), Require::detail(detail)),
            Some(Reason::InternalError)
        );
    }
}

#[test]
fn a_definition_that_contradicts_itself_panics_at_set_up() {
    let defined: [fn() -> DetailType; 7] = [
        || DetailType::new("t").exact("a").at_most("a"),
        || DetailType::new("t").exact("a").exact(["a", "b"]),
        || DetailType::new("t").exact(["a", "b"]).exact("a"),
        || DetailType::new("t").exact(["a", "b"]).set(["a", "b"]),
        || DetailType::new("t").ignored("type"),
        || DetailType::new("t").exact(["type", "a"]),
        || DetailType::new("t").ignored("a").ignored(["a", "b", "c"]),
    ];
    for defined in defined {
        assert!(std::panic::catch_unwind(defined).is_err());
    }
    let twice = std::panic::catch_unwind(|| {
        drop(guard().detail_type(refund_type()).detail_type(refund_type()))
    });
    assert!(twice.is_err());
    assert!(std::panic::catch_unwind(|| DetailTypes::new([refund_type(), refund_type()])).is_err());
    // A `type` that is nested is a member like any other.
    drop(DetailType::new("t").exact(["a", "type"]));
}

// The remediation.

#[test]
fn the_challenge_asks_for_the_details_that_a_new_grant_must_contain() {
    let denial = answer(&refund_granted("7", "1"), Require::detail(refund("7", "012.50"))).unwrap();
    assert_eq!(denial.status(), StatusCode::UNAUTHORIZED);
    let remediation = remediation(&denial).unwrap();
    assert_eq!(remediation["authorization_details"], json!([entry("7", "12.5")]));
    let reference = remediation["authorization_reference"].as_str().unwrap();
    assert_eq!(reference.len(), 22);
    let challenge = challenge(&denial);
    let start = r#"Bearer error="insufficient_authorization", error_description="Additional authorization is required", authorization_remediation=""#;
    assert!(challenge.starts_with(start), "{challenge}");
    assert!(challenge.contains(r#", resource_metadata="https://orders.example/.well-known"#));
    let problem: Value = serde_json::from_str(&denial.problem_json()).unwrap();
    assert_eq!(problem["authorization_remediation"], remediation);
}

#[test]
fn one_challenge_asks_for_all_that_lacks() {
    let requirement = Require::scope(REFUND)
        .acr([PHR])
        .max_age(secs(300))
        .and(Require::detail(refund("8", "2")))
        .and(Require::detail(refund("7", "1")));
    // The new grant replaces the old one, so it needs what this one has, too.
    let denial = answer(&refund_granted("7", "1").scope("x"), requirement).unwrap();
    assert_eq!(denial.reason(), Reason::AuthenticationContextMissing);
    assert_eq!(
        denial.other_reasons(),
        [Reason::InsufficientScope, Reason::AuthorizationDetailsInsufficient]
    );
    let text = challenge(&denial);
    assert!(
        text.contains(
            r#"acr_values="phr", max_age="300", scope="orders:refund", authorization_remediation=""#
        ),
        "{text}"
    );
    let asked = &remediation(&denial).unwrap()["authorization_details"];
    assert_eq!(*asked, json!([entry("7", "1"), entry("8", "2")]));
    // What does not lack is not asked for.
    let denial = answer(
        &refund_granted("7", "1").scope("x"),
        Require::scope(REFUND).and(Require::detail(refund("7", "1"))),
    );
    assert_eq!(remediation(&denial.unwrap()), None);
}

#[test]
fn a_caller_that_may_not_at_all_is_not_told_the_details() {
    let requirement = Require::detail(refund("7", "1")).undelegated();
    let denial = answer(&token().actor("agent-7"), requirement).unwrap();
    assert_eq!(denial.reason(), Reason::ActorUnauthorized);
    assert!(!format!("{:?} {}", denial.headers(), denial.problem_json()).contains("remediation"));
}

#[test]
fn the_reference_is_the_same_for_the_same_details_and_for_no_others() {
    let reference = |requirement: Require| {
        let denial = answer(&token(), requirement).unwrap();
        denial.challenge().unwrap().remediation().unwrap().reference().to_owned()
    };
    let (one, two) = (|| Require::detail(refund("7", "1")), || Require::detail(refund("8", "2")));
    assert_eq!(reference(one()), reference(Require::detail(refund("7", "01.0"))));
    assert_eq!(reference(one().and(two())), reference(two().and(one()).and(one())));
    let different = [one(), two(), one().and(two()), Require::detail(refund("7", "1.1"))];
    let references: std::collections::BTreeSet<_> = different.into_iter().map(reference).collect();
    assert_eq!(references.len(), 4);
}

#[test]
fn the_reference_of_a_token_that_is_spent_stands_in_the_record_alone() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = lines.clone();
    let guard = detail_guard().replay(store()).audit(move |event: &AuditEvent<'_>| {
        kept.lock()
            .unwrap()
            .push((event.authorization_reference().map(str::to_owned), event.to_string()));
    });
    for requirement in
        [Require::detail(refund("7", "1")), Require::detail(refund("7", "1")).single_use()]
    {
        let spends = requirement.is_single_use();
        let denial = ask(&guard, &token(), requirement).unwrap_err();
        let shown = remediation(&denial).unwrap();
        assert_eq!(shown.get("authorization_reference").is_none(), spends);
        assert_eq!(shown["authorization_details"], json!([entry("7", "1")]));
    }
    ask(&guard, &refund_granted("7", "1"), Require::detail(refund("7", "1"))).unwrap();
    let lines = lines.lock().unwrap();
    let [(first, line), (second, _), (granted, _)] = &lines[..] else { panic!("{lines:?}") };
    assert!(first.is_some() && first == second && granted.is_none());
    assert!(
        line.contains(&format!(" authorization_reference={} ", first.as_deref().unwrap())),
        "{line}"
    );
    assert!(line.contains(r#"requirement="detail=\"order_refund\"""#), "{line}");
    // The values stay out of it.
    assert!(!line.contains("EUR"), "{line}");
}

#[test]
fn details_that_do_not_fit_into_a_challenge_are_an_error_of_the_service() {
    let long = |length: usize| Require::detail(refund(&"7".repeat(length), "1"));
    let denial = answer(&token(), long(1300)).unwrap();
    assert_eq!(denial.reason(), Reason::AuthorizationDetailsInsufficient);
    let challenge = challenge(&denial);
    let (_, rest) = challenge.split_once("authorization_remediation=\"").unwrap();
    let size = rest.split_once('"').unwrap().0.len();
    assert!((1700..=2048).contains(&size), "{size}");
    let denial = answer(&token(), long(1600)).unwrap();
    assert_eq!(denial.reason(), Reason::InternalError);
    // A token that has them passes all the same.
    assert_eq!(reason(&refund_granted(&"7".repeat(1600), "1"), long(1600)), None);
}

#[test]
fn the_dialect_of_the_other_draft_answers_403() {
    let guard = detail_guard().details_dialect(DetailsDialect::StepUpAuthorization);
    let denial = ask(&guard, &token(), Require::detail(refund("7", "1"))).unwrap_err();
    assert_eq!(denial.reason(), Reason::AuthorizationDetailsInsufficient);
    assert_eq!(denial.status(), StatusCode::FORBIDDEN);
    assert_eq!(denial.clone().respond(()).status(), StatusCode::FORBIDDEN);
    let text = challenge(&denial);
    let url = "https://orders.example/.well-known/oauth-protected-resource";
    assert!(text.ends_with(&format!(r#", body_instructions="false", resource_metadata="{url}", resource_metadata_uri="{url}""#)), "{text}");
    assert_eq!(remediation(&denial).unwrap()["authorization_details"], json!([entry("7", "1")]));
    // Another reason is answered as always.
    let denial = ask(&guard, &token(), Require::detail(refund("7", "1")).acr([PHR])).unwrap_err();
    assert_eq!(
        (denial.reason(), denial.status()),
        (Reason::AuthenticationContextMissing, StatusCode::UNAUTHORIZED)
    );
    assert!(!challenge(&denial).contains("body_instructions"));
    let metadata: Value = serde_json::from_str(&guard.metadata().unwrap().to_json()).unwrap();
    assert_eq!(metadata["step_up_authorization_supported"], true);
}

#[test]
fn the_metadata_lists_the_types() {
    let metadata = |guard: &Guard| -> Value {
        serde_json::from_str(&guard.metadata().unwrap().to_json()).unwrap()
    };
    let listed = &metadata(&detail_guard())["authorization_details_types_supported"];
    assert_eq!(*listed, json!(["order_refund", "payment"]));
    let without = metadata(&guard());
    assert!(without.get("authorization_details_types_supported").is_none());
    assert!(without.get("step_up_authorization_supported").is_none());
}

// Order.

#[tokio::test]
async fn a_detail_that_is_not_covered_leaves_the_token_unspent() {
    let guard = detail_guard().replay(store());
    let grant = ask(&guard, &refund_granted("7", "12.50"), Require::valid_token()).unwrap();
    let once = |amount: &str| Require::detail(refund("7", amount)).single_use();
    let denial = guard.narrow(&grant, once("13")).await.unwrap_err();
    assert_eq!(denial.reason(), Reason::AuthorizationDetailsInsufficient);
    assert!(guard.narrow(&grant, once("12.5")).await.is_ok());
    assert_eq!(guard.narrow(&grant, once("12.5")).await.unwrap_err().reason(), Reason::TokenSpent);
}

#[test]
fn the_plain_functions_compare_details_too() {
    let by = validation().detail_type(refund_type());
    let token = validate_by(&by, &refund_granted("7", "12.50"), now()).unwrap();
    assert!(Require::detail(refund("7", "12.5")).check(&token, now()).is_ok());
    let unmet = Require::detail(refund("7", "13")).check(&token, now()).unwrap_err();
    assert_eq!(unmet.reasons(), [Reason::AuthorizationDetailsInsufficient]);
    assert_eq!(
        remediation(&Denial::from(unmet)).unwrap()["authorization_details"],
        json!([entry("7", "13")])
    );
}

// Exactly what is asked, and no more.

#[test]
fn a_claim_is_exactly_what_is_asked_if_each_has_its_equal() {
    let types = DetailTypes::new([refund_type(), payment_type()]);
    let exactly = |claim: Value, details: &[Detail]| {
        let claim = claim.to_string();
        GrantedDetails::parse(&claim).unwrap().are_exactly(details, &types).is_ok()
    };
    let asked = refund("7", "12.5");
    let one = std::slice::from_ref(&asked);
    assert!(exactly(json!([entry("7", "12.50")]), one));
    assert!(!exactly(json!([entry("7", "12.51")]), one), "more");
    assert!(!exactly(json!([entry("7", "12")]), one), "less");
    assert!(!exactly(json!([entry("7", "12.5"), entry("8", "1")]), one), "another one");
    assert!(!exactly(json!([entry("7", "12.5"), {"type": "unknown"}]), one), "of an unknown type");
    assert!(!exactly(json!([]), one));

    // More than what is asked covers it, and the message does not say otherwise.
    let more = json!([entry("7", "13")]).to_string();
    let problem = GrantedDetails::parse(&more).unwrap().are_exactly(one, &types).unwrap_err();
    assert_eq!(
        problem.to_string(),
        "no entry of the type \"order_refund\" is exactly what is asked"
    );

    let two = [asked.clone(), refund("8", "1")];
    assert!(exactly(json!([entry("8", "1.0"), entry("7", "12.5")]), &two));
    assert!(!exactly(json!([entry("7", "12.5")]), &two));
    let payment = |actions: &[&str]| {
        let actions: Vec<_> = actions.to_vec();
        let paid = Detail::of("payment").with("actions", actions);
        paid.with(["instructedAmount", "currency"], "EUR").with(["instructedAmount", "amount"], "1")
    };
    let claim = json!([{"type": "payment", "actions": ["a", "b", "a"], "instructedAmount": {"currency": "EUR", "amount": "1.0"}}]);
    assert!(exactly(claim.clone(), &[payment(&["b", "a"])]));
    assert!(!exactly(claim, &[payment(&["a"])]));
}
