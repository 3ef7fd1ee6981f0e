//! What is made of a decision and its context.

use serde_json::{Value, json};
use unconfused::policy::Attribute;
use unconfused::{Answer, Reason};

use super::*;
use crate::pdp::answer;

#[tokio::test]
async fn yes_is_granted_and_no_is_refused_without_a_challenge() {
    assert_eq!(reason(&answered(r#"{"decision":true}"#).await), None);
    assert_eq!(reason(&answered(r#" {"decision" : true, "later": [null, {}]} "#).await), None);
    let denial = answered(r#"{"decision":false}"#).await.unwrap_err();
    assert_eq!(denial.reason(), Reason::PolicyDenied);
    assert_eq!(denial.status(), 403);
    assert!(denial.challenge().is_none());
}

#[tokio::test]
async fn ids_and_reasons_reach_the_record_escaped_and_cut_and_never_the_client() {
    let long = "x".repeat(1000);
    for (context, detail) in [
        (json!({ "reason": "night\n\u{202e}" }), r"night\n\u{202e}".to_owned()),
        (json!({ "reason_admin": { "403": "secret rule" } }), "secret rule".to_owned()),
        (json!({ "reason_admin": { "en": "secret rule" } }), "secret rule".to_owned()),
        (json!({ "reason": long }), format!("{}…", "x".repeat(256))),
        (json!({ "reason": 7 }), "the decision is no".to_owned()),
    ] {
        let mut context = context;
        context["id"] = "rule\r7".into();
        context["evaluation_id"] = "e-1".into();
        context["reason_user"] = json!({ "en": "told to no one" });
        let pdp =
            Pdp::answering(&json!({ "decision": false, "context": context }).to_string()).await;
        let line = |event: &AuditEvent<'_>| {
            let ids: Vec<_> = event.policies().map(|id| id.to_string()).collect();
            format!("{} {}", ids.join(","), event.detail().unwrap())
        };
        let (guard, lines) = recorded(guard().policy(discovered(&pdp)), line);
        let denial = ask(&guard, &token()).await.unwrap_err();
        assert_eq!(*lines.lock().unwrap(), [format!(r"rule\r7,e-1 {detail}")]);
        let client = format!("{} {} {:?}", denial.problem_json(), denial, denial.headers());
        for told in ["night", "secret", "xxx", "told to no one", "rule", "e-1"] {
            assert!(!client.contains(told), "{told} in {client}");
        }
    }
}

fn no_with(context: &Value) -> String {
    json!({ "decision": false, "context": context }).to_string()
}

fn yes_with(context: &Value) -> String {
    json!({ "decision": true, "context": context }).to_string()
}

/// Ways to ask for a login of the class `phr`.
fn step_ups() -> Vec<Value> {
    let obligation =
        json!({ "type": "step-up", "id": "o-1", "properties": { "acr_value": "phr" } });
    vec![
        json!({ "acr_values": "phr" }),
        json!({ "acr_values": "phr", "reason": "large" }),
        json!({ "obligations": [obligation] }),
        json!({ "obligations": [obligation, obligation], "acr_values": "mfa phr" }),
    ]
}

#[tokio::test]
async fn a_step_up_is_a_challenge_and_then_a_new_question() {
    for context in step_ups() {
        for text in [no_with(&context), yes_with(&context)] {
            let pdp = Pdp::answering(&text).await;
            let guard = guard().policy(discovered(&pdp));
            let answer = ask(&guard, &token()).await;
            assert_eq!(reason(&answer), Some(Reason::AuthenticationContextMissing), "{text}");
            let denial = answer.unwrap_err();
            let challenge = denial.challenge().unwrap();
            let asked: Vec<_> = challenge.acr_values().iter().map(|acr| acr.as_str()).collect();
            assert_eq!(asked, ["phr"], "{text}");

            let weak = ask(&guard, &token().acr("pwd")).await;
            assert_eq!(reason(&weak), Some(Reason::AuthenticationLevelInsufficient), "{text}");
        }
    }
}

#[tokio::test]
async fn a_no_stays_a_no_if_the_token_has_what_a_step_up_asks_for() {
    for context in step_ups() {
        let strong = token().acr("phr").authenticated(secs(10));
        let pdp = Pdp::answering(&no_with(&context)).await;
        let denied = ask(&guard().policy(discovered(&pdp)), &strong).await;
        assert_eq!(reason(&denied), Some(Reason::PolicyDenied), "{context}");
        let pdp = Pdp::answering(&yes_with(&context)).await;
        let granted = ask(&guard().policy(discovered(&pdp)), &strong).await;
        assert_eq!(reason(&granted), None, "{context}");
    }
}

#[tokio::test]
async fn a_class_that_is_not_one_of_several_is_asked_for_with_all_of_them_and_an_age() {
    let text = no_with(&json!({ "acr_values": "mfa phr", "max_age": 300 }));
    let denial = answered(&text).await.unwrap_err();
    let challenge = denial.challenge().unwrap();
    let asked: Vec<_> = challenge.acr_values().iter().map(|acr| acr.as_str()).collect();
    assert_eq!(asked, ["mfa", "phr"]);
    assert_eq!(challenge.max_age(), Some(secs(300)));
    let pdp = Pdp::answering(&yes_with(&json!({ "max_age": 300 }))).await;
    let guard = guard().policy(discovered(&pdp));
    assert_eq!(reason(&ask(&guard, &token().authenticated(secs(10))).await), None);
    let late = ask(&guard, &token().authenticated(secs(1000))).await;
    assert_eq!(reason(&late), Some(Reason::AuthenticationTooOld));
}

#[tokio::test]
async fn of_two_parties_the_no_with_the_least_hope_is_told() {
    let final_no = json!({ "decision": false });
    let step_up = json!({ "decision": false, "context": { "acr_values": "phr" } });
    let yes = json!({ "decision": true, "context": { "acr_values": "phr" } });
    for (first, second, expected) in [
        (&step_up, &final_no, Reason::PolicyDenied),
        (&final_no, &step_up, Reason::PolicyDenied),
        (&step_up, &yes, Reason::AuthenticationContextMissing),
        (&yes, &final_no, Reason::PolicyDenied),
        (&yes, &yes, Reason::AuthenticationContextMissing),
    ] {
        let text = json!({ "evaluations": [first, second] }).to_string();
        let pdp = Pdp::scripted(move |_| answer(200, text.clone())).await;
        let denied = ask(&guard().policy(discovered(&pdp)), &token().actor("agent-7")).await;
        assert_eq!(reason(&denied), Some(expected), "{first} {second}");
    }
}

/// A guard that can notify, and whom it has notified.
fn notifying(guard: Guard) -> (Guard, Arc<Mutex<Vec<String>>>) {
    let done = Arc::new(Mutex::new(Vec::new()));
    let notified = done.clone();
    let guard = guard.obligation("notification", move |obligation, _| {
        let to = obligation.parameter("to").and_then(Attribute::as_text).unwrap_or_default();
        if to.is_empty() {
            return Answer::Now(Err("there is no one to notify".into()));
        }
        notified.lock().unwrap().push(to.to_owned());
        Answer::Now(Ok(()))
    });
    (guard, done)
}

#[tokio::test]
async fn an_obligation_is_executed_or_the_answer_is_no() {
    let notify =
        json!({ "type": "notification", "id": "o-1", "properties": { "to": "bob", "body": "x" } });
    let nowhere = json!({ "type": "notification", "id": "o-1", "properties": { "body": "x" } });
    let custom = json!({ "type": "custom", "id": "o-2", "properties": { "n": 1 } });
    let methods = json!({
        "type": "step-up", "id": "o-3", "properties": { "acr_value": "phr", "amr_values": ["hwk"] },
    });
    let unsupported = Some(Reason::ObligationUnsupported);
    for (obligations, expected, notified) in [
        (json!([]), None, 0),
        (json!([notify]), None, 1),
        (json!([notify, notify]), None, 2),
        (json!([custom]), unsupported, 0),
        (json!([custom, notify]), unsupported, 1),
        (json!([nowhere]), Some(Reason::ObligationFailed), 0),
        (json!([methods]), unsupported, 0),
        // Malformed ones.
        (json!({}), unsupported, 0),
        (json!(null), unsupported, 0),
        (json!("notification"), unsupported, 0),
        (json!(["notification", notify]), unsupported, 1),
        (json!([{ "id": "o-1" }, notify]), unsupported, 1),
        (json!([{ "type": "notification" }]), unsupported, 0),
        (json!([{ "type": 1, "id": "o-1" }]), unsupported, 0),
        (json!([{ "type": "notification", "id": "o-1", "properties": [] }]), unsupported, 0),
        (json!([{ "type": "step-up", "id": "o-1" }]), unsupported, 0),
        (
            json!([{ "type": "step-up", "id": "o-1", "properties": { "acr_value": 3 } }]),
            unsupported,
            0,
        ),
        (
            json!([{ "type": "step-up", "id": "o-1", "properties": { "acr_value": "" } }]),
            unsupported,
            0,
        ),
    ] {
        for is_permitted in [true, false] {
            let context = json!({ "obligations": obligations });
            let text = json!({ "decision": is_permitted, "context": context }).to_string();
            let pdp = Pdp::answering(&text).await;
            let (guard, done) = notifying(guard().policy(discovered(&pdp)));
            let answer = ask(&guard, &token().acr("phr")).await;
            let expected = if is_permitted { expected } else { Some(Reason::PolicyDenied) };
            assert_eq!(reason(&answer), expected, "{text}");
            assert_eq!(done.lock().unwrap().len(), notified, "{text}");
        }
    }
}

#[tokio::test]
async fn authentication_methods_that_no_challenge_can_ask_for_are_not_passed_over() {
    let permit = yes_with(&json!({ "amr_values": "hwk" }));
    assert_eq!(reason(&answered(&permit).await), Some(Reason::ObligationUnsupported));
}
