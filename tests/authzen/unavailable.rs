//! A decision point that does not answer, or not so that it can be understood: 503, and nothing is granted or spent.

use std::sync::Arc;

use axum::body::Body;
use http::Response;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use unconfused::policy::AuthZenPolicy;
use unconfused::replay::MemoryReplayStore;
use unconfused::{Reason, Require};

use super::*;
use crate::pdp::{Seen, Told, all_endpoints, answer};

type Script = fn(&Seen) -> Told;

const YES: &str = r#"{"decision":true}"#;

/// Asserts that the answer is 503, and returns what the operator reads.
fn unavailable(answer: &Result<Grant, Denial>) -> String {
    assert_eq!(reason(answer), Some(Reason::PolicyUnavailable), "{}", told(answer));
    let denial = answer.as_ref().unwrap_err();
    assert_eq!(denial.status(), 503);
    assert!(denial.headers().contains_key("retry-after"));
    told(answer)
}

fn with_type(media_type: &str, body: &str) -> Told {
    let answer = Response::builder().header("content-type", media_type);
    Told::Answer(answer.body(Body::from(body.to_owned())).unwrap())
}

#[tokio::test]
async fn a_killed_decision_point_is_503_and_passes_again_once_it_is_back() {
    let mut pdp = Pdp::answering(YES).await;
    let guard = guard().policy(discovered(&pdp));
    assert_eq!(reason(&ask(&guard, &token()).await), None);
    pdp.kill().await;
    unavailable(&ask(&guard, &token()).await);
    pdp.start_again().await;
    assert_eq!(reason(&ask(&guard, &token()).await), None);

    // One that was never there.
    let never = guard_of("http://127.0.0.1:9");
    unavailable(&ask(&never, &token()).await);
}

fn guard_of(url: &str) -> Guard {
    guard().policy(AuthZenPolicy::discover_without_tls_on_loopback(url, http()).unwrap())
}

#[tokio::test]
async fn a_slow_decision_point_is_503_after_two_seconds_and_spends_nothing() {
    let reached = Arc::new(Notify::new());
    let notify = reached.clone();
    let pdp = Pdp::scripted(move |_| {
        notify.notify_one();
        Told::Silence
    })
    .await;
    let spent = Arc::new(MemoryReplayStore::new_at(now() - secs(100_000)));
    let base = guard().replay(spent.clone());
    let guard = base.clone().policy(discovered(&pdp));
    let token = token();
    let mut head = head(&token);
    let once = Require::scope(READ).single_use();
    let waiting = guard.authorize(&mut head, once.clone());
    let waits = async {
        reached.notified().await;
        tokio::time::pause();
        let began = tokio::time::Instant::now();
        tokio::time::advance(secs(2)).await;
        began
    };
    let (answer, _) = tokio::join!(waiting, waits);
    unavailable(&answer);
    assert_eq!(spent.len(), 0);
    assert!(base.authorize(&mut super::head(&token), once).await.is_ok());
    assert_eq!(spent.len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_not_a_decision_is_503() {
    let nonsense = [
        "",
        "true",
        "[]",
        "{}",
        "null",
        r#"{"decision":"true"}"#,
        r#"{"decision":1}"#,
        r#"{"decision":null}"#,
        r#"{"decision":[true]}"#,
        r#"{"Decision":true}"#,
        r#"{"decision":true"#,
        r#"{"decision":true}{"decision":true}"#,
        r#"{"decision":true,}"#,
        r#"{"decision":true,"decision":true}"#,
        r#"{"decision":false,"decision":true}"#,
        r#"{"decision":true,"\u0064ecision":false}"#,
        r#"{"decision":true,"context":{"id":"1","id":"2"}}"#,
        r#"{"decision":true,"x":"\ud800"}"#,
        r#"{"decision":true,"context":null}"#,
        r#"{"decision":true,"context":[]}"#,
        r#"{"decision":true,"context":{"acr_values":["phr"]}}"#,
        r#"{"decision":true,"context":{"acr_values":"p\"hr"}}"#,
        r#"{"decision":true,"context":{"max_age":"300"}}"#,
        r#"{"decision":true,"context":{"max_age":-1}}"#,
        r#"{"decision":false,"context":{"access_request":true}}"#,
        "\u{feff}{\"decision\":true}",
    ];
    let deep = format!(r#"{{"decision":true,"x":{}1{}}}"#, "[".repeat(100), "]".repeat(100));
    let large = format!(r#"{{"decision":true,"x":"{}"}}"#, "x".repeat(64 * 1024));
    for body in nonsense.into_iter().chain([&*deep, &*large]) {
        let shown = body.get(..60).unwrap_or(body);
        let line = unavailable(&answered(body).await);
        println!("{shown}  ->  {line}");
    }
}

#[tokio::test]
async fn html_another_status_and_a_redirect_are_503_whatever_the_body_says() {
    let scripts: [(&str, Script); 10] = [
        ("html", |_| with_type("text/html", "<html>Sign in</html>")),
        ("a decision as html", |_| with_type("text/html; charset=utf-8", YES)),
        ("no type", |_| Told::Answer(Response::new(Body::from(YES)))),
        ("problem", |_| with_type("application/problem+json", YES)),
        ("not UTF-8", |_| {
            let body = Body::from(b"{\"decision\":true,\"x\":\"\xff\"}".to_vec());
            let answer = Response::builder().header("content-type", "application/json");
            Told::Answer(answer.body(body).unwrap())
        }),
        ("201", |_| answer(201, YES)),
        ("401", |_| answer(401, YES)),
        ("403", |_| answer(403, r#"{"decision":false}"#)),
        ("500", |_| answer(500, YES)),
        ("another request", |_| {
            let answer = Response::builder().header("content-type", "application/json");
            let answer = answer.header("x-request-id", "another");
            Told::Answer(answer.body(Body::from(YES)).unwrap())
        }),
    ];
    for (name, script) in scripts {
        let pdp = Pdp::scripted(script).await;
        let line = unavailable(&ask(&guard().policy(discovered(&pdp)), &token()).await);
        println!("{name}  ->  {line}");
    }
    // A redirect leads to a decision point that would permit.
    let other = Pdp::answering(YES).await;
    let location = format!("{}/access/v1/evaluation", other.url());
    let pdp = Pdp::scripted(move |_| {
        let answer = Response::builder().status(307).header("location", &location);
        Told::Answer(answer.body(Body::empty()).unwrap())
    })
    .await;
    unavailable(&ask(&guard().policy(discovered(&pdp)), &token()).await);
    assert_eq!(other.asked().len(), 0);

    // JSON is JSON, with parameters and in capitals.
    let pdp = Pdp::scripted(|_| with_type("Application/JSON; charset=utf-8", YES)).await;
    assert_eq!(reason(&ask(&guard().policy(discovered(&pdp)), &token()).await), None);
}

#[tokio::test]
async fn too_few_and_too_many_answers_to_two_questions_are_503() {
    let yes = json!({ "decision": true });
    for evaluations in [
        json!(null),
        json!({}),
        json!([]),
        json!([yes]),
        json!([yes, yes, yes]),
        json!([yes, true]),
        json!([yes, { "decision": "true" }]),
        json!([yes, null]),
    ] {
        // A yes beside them makes none of them one.
        let text = json!({ "decision": true, "evaluations": evaluations }).to_string();
        let pdp = Pdp::scripted(move |_| answer(200, text.clone())).await;
        let denied = ask(&guard().policy(discovered(&pdp)), &token().actor("agent-7")).await;
        unavailable(&denied);
    }
    assert_eq!(reason(&answered(YES).await), None);
}

#[tokio::test]
async fn a_decision_beside_the_answers_to_two_questions_that_is_no_yes_is_503() {
    let yes = json!({ "decision": true });
    for decision in [json!(false), json!("true"), json!(null), json!(1)] {
        let text = json!({ "decision": decision, "evaluations": [yes, yes] }).to_string();
        let pdp = Pdp::scripted(move |_| answer(200, text.clone())).await;
        let denied = ask(&guard().policy(discovered(&pdp)), &token().actor("agent-7")).await;
        assert!(unavailable(&denied).contains("`decision` beside them is not true"), "{decision}");
    }
}

#[tokio::test]
async fn metadata_of_another_decision_point_or_none_is_503_and_nothing_is_asked() {
    fn other(url: &str) -> Value {
        let mut metadata = all_endpoints(url);
        metadata["policy_decision_point"] = format!("{url}/").into();
        metadata
    }
    fn elsewhere(url: &str) -> Value {
        let mut metadata = all_endpoints(url);
        metadata["access_evaluation_endpoint"] = "http://pdp.example/evaluation".into();
        metadata
    }
    let all: [fn(&str) -> Value; 4] =
        [other, elsewhere, |_| json!({}), |url| json!({ "policy_decision_point": url })];
    for metadata in all {
        let pdp = Pdp::with_metadata(metadata, |_| answer(200, YES)).await;
        let guard = guard().policy(discovered(&pdp));
        unavailable(&ask(&guard, &token()).await);
        // It is not read again for each question.
        unavailable(&ask(&guard, &token()).await);
        assert_eq!((pdp.metadata_read(), pdp.asked().len()), (1, 0));
        tokio::time::pause();
        tokio::time::advance(secs(1)).await;
        tokio::time::resume();
        unavailable(&ask(&guard, &token()).await);
        assert_eq!((pdp.metadata_read(), pdp.asked().len()), (2, 0));
    }
}

#[tokio::test]
async fn metadata_is_read_once_for_many_questions_and_again_after_an_hour() {
    let pdp = Pdp::answering(YES).await;
    let guard = guard().policy(discovered(&pdp));
    let token = token();
    let mut many = JoinSet::new();
    for _ in 0..20 {
        let (guard, token) = (guard.clone(), token.clone());
        many.spawn(async move { reason(&ask(&guard, &token).await) });
    }
    assert_eq!(many.join_all().await, [None; 20]);
    assert_eq!((pdp.metadata_read(), pdp.asked().len()), (1, 20));
    tokio::time::pause();
    tokio::time::advance(secs(3601)).await;
    tokio::time::resume();
    assert_eq!(reason(&ask(&guard, &token).await), None);
    assert_eq!(pdp.metadata_read(), 2);
}
