//! What holds of every token, requirement and answer.

use http::Request;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::{Builder, Runtime};
use unconfused::client::{HttpAnswer, HttpClient, HttpLimits};
use unconfused::policy::{Question, Verdict};
use unconfused::{Acr, Answer, Require};

use super::*;

fn cases() -> ProptestConfig {
    let config = ProptestConfig::default();
    let max_global_rejects = config.cases.saturating_mul(8);
    ProptestConfig { failure_persistence: None, max_global_rejects, ..config }
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Builder::new_current_thread().enable_time().build().unwrap())
}

/// A decision point without a network, and how often it was asked.
fn saying(text: String) -> (impl HttpClient, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let client = move |request: Request<Vec<u8>>, _: HttpLimits| -> HttpAnswer {
        count.fetch_add(1, Ordering::SeqCst);
        assert_eq!(request.method(), "POST");
        let answer = http::Response::builder().header("content-type", "application/json");
        Answer::Now(Ok(answer.body(text.clone().into_bytes()).unwrap()))
    };
    (client, asked)
}

fn asking(text: &str) -> (AuthZenPolicy, Arc<AtomicUsize>) {
    let (client, asked) = saying(text.to_owned());
    (AuthZenPolicy::at("https://pdp.example/evaluation", client).unwrap(), asked)
}

fn requirement() -> impl Strategy<Value = Require> {
    let any = Require::valid_token;
    let one = select(vec![
        any(),
        READ.into(),
        Scope::from_static("orders:write").into(),
        any().acr([Acr::from_static("phr")]),
        any().acr([Acr::from_static("mfa"), Acr::from_static("phr")]),
        any().max_age(secs(60)),
        any().actor([(LOGIN, "agent-7")]),
        any().actor_if_any([(LOGIN, "agent-7"), ("https://other.example", "agent-7")]),
        any().undelegated(),
        any().client([(LOGIN, "web")]),
    ]);
    vec(one, 0..3)
        .prop_map(|parts| parts.into_iter().fold(Require::valid_token(), |all, part| all.and(part)))
}

fn any_token() -> impl Strategy<Value = TestToken> {
    (
        subsequence(vec!["orders:read", "orders:write"], 0..=2),
        option::of((select(vec!["phr", "mfa", "pwd"]), 0_u64..400)),
        option::of(select(vec![(LOGIN, "agent-7"), ("https://other.example", "agent-7")])),
        select(vec!["web", "alice"]),
    )
        .prop_map(|(scopes, login, actor, client)| {
            let mut token = token().client(client).scope(&scopes.join(" "));
            if let Some((acr, ago)) = login {
                token = token.acr(acr).authenticated(secs(ago));
            }
            if let Some((issuer, name)) = actor {
                token = token.actor_with_issuer(issuer, name);
            }
            token
        })
}

/// What a decision point may say beside its decision, right and wrong.
fn context() -> impl Strategy<Value = Value> {
    let step_up =
        |acr: Value| json!({ "type": "step-up", "id": "o", "properties": { "acr_value": acr } });
    let obligation = select(vec![
        step_up("phr".into()),
        step_up("mfa".into()),
        step_up(1.into()),
        json!({ "type": "notification", "id": "o" }),
        json!({ "type": "unknown", "id": "o" }),
        json!("unknown"),
    ]);
    (
        option::of(select(vec![json!("phr"), json!("mfa phr"), json!(""), json!(1)])),
        option::of(select(vec![json!(60), json!(300), json!("60")])),
        option::of(vec(obligation, 0..3)),
        option::of(select(vec![json!({ "endpoint": "https://pdp.example/r" }), json!(1)])),
    )
        .prop_map(|(acr_values, max_age, obligations, access_request)| {
            let mut context = json!({ "reason": "x" });
            let mut put = |name: &str, value: Option<Value>| {
                if let Some(value) = value {
                    context[name] = value;
                }
            };
            put("acr_values", acr_values);
            put("max_age", max_age);
            put("obligations", obligations.map(Value::from));
            put("access_request", access_request);
            context
        })
}

fn decide(guard: &Guard, token: &TestToken, requirement: &Require) -> Result<Grant, Denial> {
    let guard = guard.clone().obligation("notification", |_, _| Answer::Now(Ok(())));
    runtime().block_on(guard.authorize(&mut head(token), requirement))
}

fn seen(answer: &Result<Grant, Denial>) -> Option<(Reason, u16, String)> {
    let denial = answer.as_ref().err()?;
    Some((denial.reason(), denial.status().as_u16(), format!("{:?}", denial.headers())))
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_decision_point_never_grants_what_the_requirement_refused_and_is_not_asked_about_it(
        base in requirement(), token in any_token(), yes in any::<bool>(), context in context(),
    ) {
        let refused = decide(&guard(), &token, &base);
        prop_assume!(refused.is_err());
        let (policy, asked) = asking(&json!({ "decision": yes, "context": context }).to_string());
        let answer = decide(&guard().policy(policy), &token, &base);
        prop_assert_eq!(seen(&answer), seen(&refused));
        prop_assert_eq!(asked.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_no_is_never_granted_whatever_comes_with_it(
        base in requirement(), token in any_token(), context in context(),
    ) {
        prop_assume!(decide(&guard(), &token, &base).is_ok());
        let (policy, asked) = asking(&json!({ "decision": false, "context": context }).to_string());
        let answer = decide(&guard().policy(policy), &token, &base);
        prop_assert!(answer.is_err(), "{context}");
        prop_assert!(asked.load(Ordering::SeqCst) > 0);
    }

    #[test]
    fn a_yes_with_a_step_up_is_what_requiring_it_from_the_start_is(
        base in requirement(), token in any_token(),
        classes in select(vec!["phr", "mfa", "mfa phr"]), age in option::of(select(vec![60_u64, 300])),
    ) {
        prop_assume!(decide(&guard(), &token, &base).is_ok());
        let acr = classes.split(' ').map(|class| Acr::new(class).unwrap());
        let mut both = base.clone().acr(acr);
        let mut context = json!({ "acr_values": classes });
        if let Some(age) = age {
            both = both.max_age(secs(age));
            context["max_age"] = age.into();
        }
        let from_start = decide(&guard(), &token, &both);
        let (policy, _) = asking(&json!({ "decision": true, "context": context }).to_string());
        let answer = decide(&guard().policy(policy), &token, &base);
        prop_assert_eq!(seen(&answer), seen(&from_start));
    }

    #[test]
    fn no_text_makes_the_policy_panic_and_only_a_yes_permits(
        text in "[ -~]{0,40}|\\{\"decision\":[ -~]{0,20}\\}|\\{\"decision\":true,\"context\":\\{[ -~]{0,40}\\}\\}",
    ) {
        let (policy, _) = asking(&text);
        let answer = decide(&guard().policy(policy), &token(), &READ.into());
        let parsed = serde_json::from_str::<Value>(&text).ok();
        let is_yes = parsed.is_some_and(|answer| answer["decision"] == true);
        prop_assert!(answer.is_err() || is_yes, "{text}");
        prop_assert!(!told(&answer).contains("panicked"), "{text}");
    }
}

#[test]
fn another_policy_that_forbids_is_not_outvoted() {
    let (policy, _) = asking(r#"{"decision":true}"#);
    let guard = guard().policy(policy).policy(|_: &Question<'_>| Verdict::Forbid("no".into()));
    assert_eq!(reason(&decide(&guard, &token(), &READ.into())), Some(Reason::PolicyDenied));
}
