//! Obligations: executed, or the answer is no.

use super::*;
use unconfused::Answer;
use unconfused::policy::{Attribute, Obligation, Ruling, policy_fn};

/// A guard that can notify and keep, and what it has done.
fn obliging(guard: Guard) -> (Guard, Arc<Mutex<Vec<String>>>) {
    let done = Arc::new(Mutex::new(Vec::new()));
    let (notified, kept) = (done.clone(), done.clone());
    let guard = guard
        .obligation("notify", move |obligation, evidence| {
            let by = obligation.parameter("by").and_then(Attribute::as_text).unwrap_or_default();
            notified.lock().unwrap().push(format!("{} by {by}", evidence.subject().name()));
            Answer::Now(Ok(()))
        })
        .obligation("keep", move |_, _| {
            let kept = kept.clone();
            Answer::later(async move {
                tokio::task::yield_now().await;
                kept.lock().unwrap().push("kept".to_owned());
                Ok(())
            })
        })
        .obligation("fail", |_, _| Answer::Now(Err("the disk is full".into())));
    (guard, done)
}

fn owed(verdict: Verdict, names: &[&str]) -> Ruling {
    names.iter().fold(verdict.into(), |ruling: Ruling, name| {
        ruling.obliged(Obligation::new(*name).with("by", "mail"))
    })
}

/// The reason, what was executed, and how many tokens were spent.
async fn outcome(rulings: Vec<Ruling>) -> (Option<Reason>, Vec<String>, usize) {
    let (guard, spent) = spending();
    let (guard, done) = obliging(guard);
    let guard = rulings
        .into_iter()
        .fold(guard, |guard, ruling| guard.policy(always(move || ruling.clone()).0));
    let token = reader().subject("alice");
    let answer = guard.authorize(&mut head("/orders", &[&token.bearer()]), once()).await;
    let done = done.lock().unwrap().clone();
    (reason(&answer), done, spent.len())
}

#[tokio::test]
async fn obligations_of_permits_are_executed_before_the_token_is_spent_and_in_turn() {
    let permits = vec![owed(Verdict::Permit, &["keep", "notify"]), owed(permit(), &["notify"])];
    let done = ["kept", "alice by mail", "alice by mail"].map(str::to_owned).to_vec();
    assert_eq!(outcome(permits).await, (None, done, 1));
}

#[tokio::test]
async fn an_unknown_obligation_is_a_no_and_the_known_ones_are_executed_all_the_same() {
    for names in [["unknown", "notify"], ["notify", "unknown"]] {
        let (reason, done, spent) = outcome(vec![owed(Verdict::Permit, &names)]).await;
        assert_eq!((reason, spent), (Some(Reason::ObligationUnsupported), 0));
        assert_eq!(done, ["alice by mail"]);
    }
}

#[tokio::test]
async fn an_obligation_that_fails_is_a_no() {
    let (reason, done, spent) = outcome(vec![owed(Verdict::Permit, &["fail", "keep"])]).await;
    assert_eq!((reason, spent), (Some(Reason::ObligationFailed), 0));
    assert_eq!(done, ["kept"]);
}

#[tokio::test]
async fn obligations_of_a_refusal_are_executed_and_change_nothing_about_it() {
    for names in [["notify", "unknown"], ["notify", "fail"], ["fail", "notify"]] {
        let rulings =
            vec![owed(permit(), &["keep"]), owed(Verdict::Forbid("night".into()), &names)];
        let (reason, done, _) = outcome(rulings).await;
        assert_eq!(reason, Some(Reason::PolicyDenied));
        // Those of a permit that came to nothing are not.
        assert_eq!(done, ["alice by mail"]);
    }
}

#[tokio::test]
async fn obligations_of_a_permit_wait_until_what_others_ask_for_is_met() {
    let rulings =
        vec![owed(Verdict::Permit, &["keep"]), owed(Verdict::PermitIf(WRITE.into()), &["notify"])];
    let (reason, done, _) = outcome(rulings).await;
    assert_eq!(reason, Some(Reason::InsufficientScope));
    assert_eq!(done, ["alice by mail"]);
}

#[tokio::test]
async fn an_unknown_obligation_is_final_so_nothing_remediable_is_offered() {
    let rulings = vec![owed(Verdict::PermitIf(WRITE.into()), &["unknown"])];
    assert_eq!(outcome(rulings).await.0, Some(Reason::ObligationUnsupported));
}

#[test]
fn the_client_learns_nothing_of_obligations() {
    let (guard, _) = obliging(guard());
    for (name, expected) in
        [("unknown", Reason::ObligationUnsupported), ("fail", Reason::ObligationFailed)]
    {
        let guard = guard.clone().policy(always(move || owed(Verdict::Permit, &[name])).0);
        let denial = ask(&guard, &reader(), READ).unwrap_err();
        assert_eq!((denial.reason(), denial.status().as_u16()), (expected, 403));
        assert_eq!(denial.reason().for_client(), Reason::PolicyDenied);
        assert!(denial.for_operator().to_string().contains(name));
        assert!(!denial.problem_json().contains("obligation"));
        assert!(denial.challenge().is_none());
    }
}

#[test]
fn a_policy_sees_which_obligations_can_be_executed() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = seen.clone();
    let (guard, _) = obliging(guard());
    let guard = guard.policy(policy_fn(move |question| {
        kept.lock().unwrap().extend(question.obligations().map(str::to_owned));
        Verdict::Permit
    }));
    assert!(ask(&guard, &reader(), READ).is_ok());
    assert_eq!(*seen.lock().unwrap(), ["fail", "keep", "notify"]);
}

#[test]
#[should_panic(expected = "the obligation `notify` has something that executes it already")]
fn an_obligation_is_executed_by_one_thing() {
    let (guard, _) = obliging(guard());
    let _ = guard.obligation("notify", |_, _| Answer::Now(Ok(())));
}
