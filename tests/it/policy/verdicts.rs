//! What each verdict is answered with, and what the record says.

use super::*;
use serde_json::{Value, json};
use unconfused::policy::{ApprovalTask, policy_fn};
use unconfused::{Acr, Answer};

fn denial(verdict: impl Fn() -> Verdict + Send + Sync + 'static) -> Denial {
    ask(&guard().policy(always(verdict).0), &reader(), READ).unwrap_err()
}

#[test]
fn a_permit_grants_and_names_the_policies_in_the_record_and_in_the_grant() {
    let by = |ids: [&'static str; 1]| always(move || Verdict::Permit.by(ids)).0;
    let (guard, lines) = recorded_by(guard(), |event| event.to_json());
    let grant = ask(&guard.policy(by(["small"])).policy(by(["own\nline"])), &reader(), READ);
    assert_eq!(grant.unwrap().policies(), ["small", "own\nline"]);
    let line: Value = serde_json::from_str(&lines.lock().unwrap()[0]).unwrap();
    assert_eq!(line["policies"], json!(["small", r"own\nline"]));
    assert_eq!(line["outcome"], "allowed");
}

#[test]
fn a_refusal_names_the_policies_of_the_one_that_refused() {
    let (guard, lines) = recorded(guard());
    let guard = guard
        .policy(always(|| Verdict::Permit.by(["small"])).0)
        .policy(always(|| Verdict::Forbid("night".into()).by(["policy7"])).0);
    assert!(ask(&guard, &reader(), READ).is_err());
    let line = &lines.lock().unwrap()[0];
    let expected = r#"denied operation="GET /orders" reason=policy_denied status=403 detail="night" policy="policy7" "#;
    assert!(line.starts_with(expected), "{line}");
}

#[test]
fn a_guard_without_policies_records_none() {
    let (guard, lines) = recorded_by(guard(), |event| event.to_json());
    assert_eq!(ask(&guard, &reader(), READ).unwrap().policies(), [] as [&str; 0]);
    assert!(!lines.lock().unwrap()[0].contains("policies"));
}

#[test]
fn a_forbidden_request_is_denied_for_good_and_the_client_does_not_learn_the_rule() {
    let denial = denial(|| Verdict::Forbid("night".into()));
    assert_eq!((denial.reason(), denial.status().as_u16()), (Reason::PolicyDenied, 403));
    assert!(denial.challenge().is_none());
    assert_eq!(denial.for_operator().to_string(), "policy_denied: night");
    assert!(!denial.problem_json().contains("night"));
}

#[test]
fn a_policy_that_cannot_say_is_503_and_says_when_to_come_back() {
    for verdict in [
        || Verdict::Unavailable("the decision point is down".into()),
        || -> Verdict { panic!("as it is meant to") },
    ] {
        let denial = denial(verdict);
        assert_eq!((denial.reason(), denial.status().as_u16()), (Reason::PolicyUnavailable, 503));
        assert!(denial.headers().contains_key("retry-after"));
        assert!(denial.challenge().is_none());
        assert!(!denial.problem_json().contains("down"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_has_2_seconds_unless_it_is_told_otherwise() {
    let slow = |seconds| {
        policy_fn(move |_| -> PolicyAnswer {
            Answer::later(async move {
                tokio::time::sleep(secs(seconds)).await;
                Verdict::Permit.into()
            })
        })
    };
    let unlimited = guard().policy_timeout(secs(10));
    for (guard, expected) in [
        (guard().policy(slow(1)), None),
        (guard().policy(slow(3)), Some(Reason::PolicyUnavailable)),
        (unlimited.clone().policy(slow(9)), None),
        (unlimited.policy(slow(11)), Some(Reason::PolicyUnavailable)),
    ] {
        let began = tokio::time::Instant::now();
        let answer = guard.authorize(&mut head("/", &[&reader().bearer()]), READ).await;
        assert_eq!(reason(&answer), expected);
        assert!(began.elapsed() <= secs(10));
        if let Err(denial) = answer {
            let words = denial.for_operator().to_string();
            assert!(words.contains("did not answer within"), "{words}");
        }
    }
}

#[test]
fn outside_of_a_runtime_with_a_timer_a_policy_keeps_its_own_time() {
    let later = || policy_fn(|_| Answer::later(async { Verdict::Permit }));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let guard = guard().policy(later());
    let answer = runtime.block_on(guard.authorize(&mut head("/", &[&reader().bearer()]), READ));
    assert_eq!(reason(&answer), None);
}

#[test]
fn permit_if_asks_for_everything_in_one_challenge_and_the_record_shows_what_was_required() {
    let (guard, lines) = recorded(guard());
    let strong = || Require::scope(WRITE).acr([Acr::from_static("phr")]).max_age(secs(300));
    let guard = guard.policy(always(move || Verdict::PermitIf(strong())).0);
    let denial = ask(&guard, &reader(), READ).unwrap_err();
    let challenge = challenge(&denial);
    assert!(
        challenge.contains(r#"acr_values="phr", max_age="300", scope="orders:read orders:write""#),
        "{challenge}"
    );
    let met = token().scope("orders:read orders:write").acr("phr").authenticated(secs(10));
    let grant = ask(&guard, &met, READ).unwrap();
    assert_eq!(*grant.requirement(), Require::scope(READ).and(strong()));
    let lines = lines.lock().unwrap();
    for line in &*lines {
        assert!(
            line.contains("scope=orders:read scope=orders:write acr=phr max_age=300"),
            "{line}"
        );
    }
    assert!(lines[1].contains("step_up=met"), "{}", lines[1]);
}

#[test]
fn what_the_guard_cannot_check_is_an_internal_error_also_if_something_is_lacking() {
    let any = Require::valid_token;
    for requirement in [
        any().single_use(),
        any().sender_constrained(),
        Require::detail_of_type("refund"),
        Require::scope(WRITE).single_use(),
    ] {
        let text = requirement.to_string();
        let denial = denial(move || Verdict::PermitIf(requirement.clone()));
        assert_eq!(
            (denial.reason(), denial.status().as_u16()),
            (Reason::InternalError, 500),
            "{text}"
        );
        assert!(denial.for_operator().to_string().len() > "internal_error: ".len());
    }
}

#[test]
fn an_approval_that_another_system_keeps_is_told_with_its_task() {
    let denial = denial(|| {
        let task = ApprovalTask::new("https://approvals.example/tasks/7");
        Verdict::NeedsApproval(task.expires_at(at(600)).retry_after(secs(30)))
    });
    assert_eq!((denial.reason(), denial.status().as_u16()), (Reason::ApprovalRequired, 403));
    assert!(denial.challenge().is_none());
    assert_eq!(denial.headers()["retry-after"], "30");
    let problem: Value = serde_json::from_str(&denial.problem_json()).unwrap();
    assert_eq!(problem["reason"], "approval_required");
    assert_eq!(problem["task_status_endpoint"], "https://approvals.example/tasks/7");
    assert_eq!(problem["expires_at"], "2027-01-15T08:10:00Z");

    let without = self::denial(|| Verdict::NeedsApproval(ApprovalTask::new("https://a.example")));
    assert!(!without.headers().contains_key("retry-after"));
}

#[test]
fn what_no_approval_can_change_and_what_the_token_lacks_are_told_before_an_approval() {
    let task = || Verdict::NeedsApproval(ApprovalTask::new("https://a.example"));
    for (other, expected) in [
        (Verdict::Forbid("night".into()), Reason::PolicyDenied),
        (Verdict::Unavailable("down".into()), Reason::PolicyUnavailable),
        (Verdict::PermitIf(WRITE.into()), Reason::InsufficientScope),
        (Verdict::PermitIf(READ.into()), Reason::ApprovalRequired),
        (Verdict::Permit, Reason::ApprovalRequired),
    ] {
        for other_first in [false, true] {
            let other = other.clone();
            let (task, other) = (always(task).0, always(move || other.clone()).0);
            let guard = match other_first {
                true => guard().policy(other).policy(task),
                false => guard().policy(task).policy(other),
            };
            assert_eq!(reason(&ask(&guard, &reader(), READ)), Some(expected), "{other_first}");
        }
    }
}

#[test]
fn a_policy_that_forbids_ends_the_questions() {
    let (second, asked) = always(permit);
    let guard = guard().policy(always(|| Verdict::Forbid("night".into())).0).policy(second);
    assert!(ask(&guard, &reader(), READ).is_err());
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[test]
fn an_arc_of_a_policy_is_one() {
    let shared: Arc<dyn Policy> = Arc::new(always(|| Verdict::Forbid("night".into())).0);
    assert!(ask(&guard().policy(shared), &reader(), READ).is_err());
}
