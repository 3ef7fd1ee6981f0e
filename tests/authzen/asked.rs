//! What the decision point is asked.

use serde_json::{Value, json};
use unconfused::policy::{Ask, AuthZenPolicy};
use unconfused::{Answer, Reason};

use super::*;
use crate::pdp::{all_endpoints, answer};

const YES: &str = r#"{"decision":true}"#;

#[tokio::test]
async fn the_question_names_subject_operation_resource_and_evidence() {
    let pdp = Pdp::answering(YES).await;
    let guard = guard()
        .policy(discovered(&pdp).authorization("Bearer pdp-s3cret").unwrap())
        .obligation("notification", |_, _| Answer::Now(Ok(())));
    let token = token().acr("phr").authenticated(secs(60));
    let grant = ask(&guard, &token).await.unwrap();
    let [layer] = &*pdp.asked() else { panic!("not one question") };
    assert_eq!(layer.path, "/access/v1/evaluation");
    assert_eq!(layer.header("content-type"), "application/json");
    assert_eq!(layer.header("authorization"), "Bearer pdp-s3cret");
    assert_eq!(layer.header("x-request-id"), grant.decision().to_string());
    let subject = json!({
        "type": "user",
        "id": "alice",
        "properties": {
            "iss": LOGIN,
            "client_id": "web",
            "scopes": ["orders:read"],
            "acr": "phr",
            "auth_time": NOW - 60,
        },
    });
    let context = json!({
        "time": "2027-01-15T08:00:00Z",
        "supported_obligations": ["step-up", "notification"],
    });
    assert_eq!(
        layer.json(),
        json!({
            "subject": subject,
            "action": { "name": "GET" },
            "resource": { "type": "path", "id": "/orders/7", "properties": {} },
            "context": context,
        })
    );

    let refund = Ask::operation("orders.refund")
        .resource("order", 7)
        .attribute("cents", 1200_u64)
        .attribute("currency", "EUR")
        .attribute("express", true)
        .attribute("lines", ["a\"b", "ü"]);
    guard.narrow(&grant, refund).await.unwrap();
    let asked = pdp.asked();
    assert_eq!(
        asked[1].json(),
        json!({
            "subject": subject,
            "action": { "name": "orders.refund" },
            "resource": {
                "type": "order",
                "id": "7",
                "properties": {
                    "cents": 1200, "currency": "EUR", "express": true, "lines": ["a\"b", "ü"],
                },
            },
            "context": context,
        })
    );
    assert_eq!(pdp.metadata_read(), 1);
}

#[tokio::test]
async fn a_claim_of_a_wrong_type_is_asked_about_as_it_is_and_does_not_count_as_absent() {
    // A rule that a token without the claim passes.
    let pdp = Pdp::scripted(|seen| {
        let asked = seen.json();
        let properties = asked["subject"]["properties"].as_object().unwrap();
        let weak = properties.get("acr").is_some_and(|acr| acr.to_string().contains("weak"));
        let old = properties.get("auth_time").is_some_and(|at| !at.is_i64());
        answer(200, json!({ "decision": !weak && !old }).to_string())
    })
    .await;
    let guard = guard().policy(discovered(&pdp));
    assert_eq!(reason(&ask(&guard, &token()).await), None);
    for (name, value) in [
        ("acr", json!(["weak"])),
        ("acr", json!({ "class": "weak" })),
        ("auth_time", json!("yesterday")),
        ("auth_time", json!(null)),
    ] {
        let denied = ask(&guard, &token().claim(name, value.clone())).await;
        assert_eq!(reason(&denied), Some(Reason::PolicyDenied), "{name}: {value}");
        let asked = pdp.asked().pop().unwrap().json();
        assert_eq!(asked["subject"]["properties"][name], value);
    }
}

/// Tells who each evaluation is about.
fn subjects(asked: &Value) -> Vec<String> {
    let of = |asked: &Value| asked["subject"]["id"].as_str().unwrap().to_owned();
    match asked["evaluations"].as_array() {
        Some(each) => each.iter().map(of).collect(),
        None => vec![of(asked)],
    }
}

/// Permits one of the two parties.
async fn permitting(name: &'static str, with_batch: bool) -> Pdp {
    let metadata = move |url: &str| {
        let mut metadata = all_endpoints(url);
        if !with_batch {
            metadata.as_object_mut().unwrap().remove("access_evaluations_endpoint");
        }
        metadata
    };
    Pdp::with_metadata(metadata, move |seen| {
        let asked = seen.json();
        let decide = |subject: String| json!({ "decision": name == "both" || subject == name });
        let mut decisions: Vec<_> = subjects(&asked).into_iter().map(decide).collect();
        match asked.get("evaluations") {
            Some(_) => answer(200, json!({ "evaluations": decisions }).to_string()),
            None => answer(200, decisions.remove(0).to_string()),
        }
    })
    .await
}

#[tokio::test]
async fn a_permitted_subject_without_its_actor_and_the_reverse_are_refused() {
    for with_batch in [true, false] {
        for (permitted, expected) in [
            ("alice", Some(Reason::PolicyDenied)),
            ("agent-7", Some(Reason::PolicyDenied)),
            ("neither", Some(Reason::PolicyDenied)),
            ("both", None),
        ] {
            let pdp = permitting(permitted, with_batch).await;
            let guard = guard().policy(discovered(&pdp));
            let answer = ask(&guard, &token().actor("agent-7")).await;
            assert_eq!(reason(&answer), expected, "{permitted}, batch: {with_batch}");
            let asked: Vec<_> = pdp.asked().iter().map(|seen| subjects(&seen.json())).collect();
            let expected: &[&[&str]] = match (with_batch, permitted) {
                (true, _) => &[&["alice", "agent-7"]],
                (false, "alice" | "both") => &[&["alice"], &["agent-7"]],
                (false, _) => &[&["alice"]],
            };
            assert_eq!(asked, expected, "{permitted}, batch: {with_batch}");
        }
    }
}

#[tokio::test]
async fn subject_and_actor_are_told_as_pairs_of_issuer_and_name() {
    let pdp = permitting("both", true).await;
    let guard = guard().policy(discovered(&pdp).types("person", "bot"));
    ask(&guard, &token().actor("agent-7")).await.unwrap();
    let asked = pdp.asked()[0].json();
    let [alice, agent] = &**asked["evaluations"].as_array().unwrap() else { panic!("not two") };
    let pair = |name: &str| json!({ "iss": LOGIN, "sub": name });
    assert_eq!(alice["subject"]["type"], "person");
    assert_eq!(alice["subject"]["properties"]["iss"], LOGIN);
    assert_eq!(alice["subject"]["properties"]["act"], pair("agent-7"));
    assert_eq!(agent["subject"]["type"], "bot");
    assert_eq!(agent["subject"]["id"], "agent-7");
    assert_eq!(agent["subject"]["properties"]["iss"], LOGIN);
    assert_eq!(agent["subject"]["properties"]["acts_for"], pair("alice"));
    assert_eq!(asked["context"]["actor"], pair("agent-7"));
}

#[tokio::test]
async fn an_actor_may_be_asked_about_as_a_property_of_the_subject() {
    let pdp = permitting("alice", true).await;
    let guard = guard().policy(discovered(&pdp).actor_as_property());
    ask(&guard, &token().actor("agent-7")).await.unwrap();
    let asked = pdp.asked();
    assert_eq!(subjects(&asked[0].json()), ["alice"]);
    assert_eq!(asked[0].json()["subject"]["properties"]["act"]["sub"], "agent-7");
}

#[tokio::test]
async fn neither_the_credential_nor_a_prior_actor_is_sent() {
    let pdp = permitting("both", true).await;
    let guard = guard().policy(discovered(&pdp));
    let act = json!({ "sub": "agent-7", "act": { "sub": "agent-before" } });
    let token = token().claim("act", act);
    let bearer = token.bearer();
    let mut head = head(&token);
    head.headers.append("cookie", "session=s3cret".parse().unwrap());
    let grant = guard.authorize(&mut head, READ).await.unwrap();
    assert_eq!(grant.prior_actors().count(), 1);
    for seen in pdp.asked() {
        let all = format!("{:?} {}", seen.headers, seen.body);
        let signature = bearer.rsplit('.').next().unwrap();
        for secret in [signature, "agent-before", "s3cret", "?q=1"] {
            assert!(!all.contains(secret), "{secret} in {all}");
        }
        assert!(all.contains("agent-7"));
    }
}

#[tokio::test]
async fn a_number_that_a_reader_may_round_is_refused_and_not_sent() {
    let pdp = Pdp::answering(YES).await;
    let base = guard();
    let grant = ask(&base, &token()).await.unwrap();
    let guard = base.policy(discovered(&pdp));
    let ask = |cents: i128| Ask::operation("orders.refund").attribute("cents", vec![cents]);
    assert!(guard.narrow(&grant, ask((1 << 53) - 1)).await.is_ok());
    assert!(guard.narrow(&grant, ask(1 - (1 << 53))).await.is_ok());
    for cents in [1 << 53, -(1 << 53), i128::MAX] {
        let answer = guard.narrow(&grant, ask(cents)).await;
        assert_eq!(reason(&answer), Some(Reason::PolicyDenied));
        assert!(told(&answer).contains("cents"));
    }
    assert_eq!(pdp.asked().len(), 2);
}

#[tokio::test]
async fn the_credential_of_the_service_is_shown_nowhere_and_not_sent_for_metadata() {
    let pdp = Pdp::answering(YES).await;
    let policy = discovered(&pdp).authorization("Bearer pdp-s3cret").unwrap();
    let shown = format!("{policy:?}");
    assert!(shown.contains(pdp.url()) && !shown.contains("s3cret"), "{shown}");
    let endpoint = "https://pdp.example/e?key=s3cret";
    let shown = format!("{:?}", AuthZenPolicy::at(endpoint, http()).unwrap());
    assert_eq!(shown, "AuthZenPolicy(https://pdp.example/e?..)");
    let error = discovered(&pdp).authorization("Bearer s3cret\n").unwrap_err();
    assert!(!error.to_string().contains("s3cret"), "{error}");

    let guard = guard().policy(policy);
    ask(&guard, &token()).await.unwrap();
    assert_eq!(pdp.metadata_headers().get("authorization"), None);
}

#[test]
fn a_url_that_would_show_the_question_to_others_is_refused() {
    for url in ["http://pdp.example", "http://127.0.0.1:1", "pdp.example", "https://u@pdp.example"]
    {
        assert!(AuthZenPolicy::discover(url, http()).is_err(), "{url}");
        assert!(AuthZenPolicy::at(url, http()).is_err(), "{url}");
    }
    let on_loopback = |url| AuthZenPolicy::discover_without_tls_on_loopback(url, http());
    assert!(on_loopback("http://127.0.0.1:3592").is_ok());
    assert!(on_loopback("http://pdp.example").is_err());
    assert!(AuthZenPolicy::at_without_tls("http://pdp.auth.svc/e", http()).is_ok());
    assert!(AuthZenPolicy::at_without_tls("https://pdp.example/e", http()).is_err());
}
