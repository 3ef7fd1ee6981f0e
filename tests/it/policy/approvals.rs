//! Approvals that a policy asks for, and what its no leaves of one.

use super::laws::every_no;
use super::*;
use crate::approvals::{
    REFUND, approved, approved_for, approved_refund, approving, guard_over, issued, ordinary, part,
    refund, request, send, signed,
};
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use http::Request;
use tower::ServiceExt;
use unconfused::Answer;
use unconfused::detail::DetailType;
use unconfused::layer::GuardLayer;
use unconfused::policy::{Ask, policy_fn};

/// A policy that wants a refund to be approved.
fn wants_approval() -> impl Policy {
    policy_fn(|_| Verdict::PermitIf(Require::detail(refund().approved())))
}

fn seen(guard: &Guard, token: &TestToken, requirement: impl Into<Require>) -> Option<Reason> {
    reason(&send(guard, token, requirement))
}

#[test]
fn an_approval_that_a_policy_asks_for_is_asked_for_recognized_and_spent_once() {
    let spent = Arc::new(store());
    let guard = guard_over(spent.clone()).policy(wants_approval());
    let denial = send(&guard, &ordinary(), REFUND).unwrap_err();
    assert_eq!(denial.status(), 401);
    let token = issued(login(), &part(&signed(&denial), 1), now());
    assert_eq!(spent.len(), 0);
    assert_eq!(seen(&guard, &token, REFUND), None);
    assert_eq!(spent.len(), 1);
    assert_eq!(seen(&guard, &token, REFUND), Some(Reason::TokenSpent));
}

#[tokio::test]
async fn a_handler_whose_policy_asks_for_an_approval_gets_it_behind_an_approvable_layer() {
    let guard = approving().policy(policy_fn(|question| match question.operation().name() {
        Some("refund") => Verdict::PermitIf(Require::detail(refund().approved())),
        _ => Verdict::Permit,
    }));
    let grant = send(&guard, &ordinary(), REFUND).unwrap();
    let refund = || guard.narrow(&grant, Ask::operation("refund")).now().unwrap();
    let challenge = part(&signed(&refund().unwrap_err()), 1);
    let token = issued(login(), &challenge, now());
    let app = |layer: GuardLayer| {
        async fn carry_out(State(guard): State<Guard>, grant: Grant) -> Result<String, Denial> {
            guard.narrow(&grant, Ask::operation("refund")).await?;
            Ok("refunded".to_owned())
        }
        let route = post(carry_out).route_layer(layer);
        Router::new().route("/orders/7/refund", route).with_state(guard.clone())
    };
    let status = async |layer: GuardLayer, token: &TestToken| {
        let request = Request::post("/orders/7/refund").header("authorization", token.bearer());
        let request = request.body(axum::body::Body::empty()).unwrap();
        app(layer).oneshot(request).await.unwrap().status().as_u16()
    };
    // A layer whose owner does not say that the handler may ask refuses it.
    assert_eq!(status(guard.require(REFUND), &token).await, 401);
    assert_eq!(status(guard.require(REFUND).approvable(), &token).await, 200);
    assert_eq!(status(guard.require(REFUND).approvable(), &token).await, 401);
}

#[test]
fn the_token_of_a_transaction_that_no_policy_asks_for_is_misused_unless_a_policy_cannot_say() {
    let token = approved(&approving());
    for (verdict, expected) in [
        (Verdict::Permit, Reason::TransactionTokenMisused),
        (Verdict::PermitIf(REFUND.into()), Reason::TransactionTokenMisused),
        (Verdict::Forbid("night".into()), Reason::TransactionTokenMisused),
        // It might have asked for the approval: the client tries again.
        (Verdict::Unavailable("down".into()), Reason::PolicyUnavailable),
    ] {
        let guard = approving().policy(always(move || verdict.clone()).0);
        assert_eq!(seen(&guard, &token, REFUND), Some(expected));
    }
}

#[test]
fn a_policy_is_not_asked_about_a_token_of_a_transaction_that_lacks_anything_else() {
    let token = approved(&approving());
    let (policy, asked) = always(permit);
    let guard = approving().policy(policy);
    for requirement in [Require::scope(WRITE), Require::scope(REFUND).undelegated()] {
        assert!(send(&guard, &token, requirement).is_err());
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[test]
fn what_a_policy_adds_to_an_approved_operation_is_approved_with_it() {
    let cancel = || unconfused::detail::Detail::of("cancel").with("order", 7).approved();
    let with_cancel = |guard: Guard| guard.detail_type(DetailType::new("cancel").exact("order"));
    let plain = with_cancel(approving());
    let both = approved_refund().and(Require::detail(cancel()));
    let token = approved_for(&plain, &ordinary(), both);
    let guard = with_cancel(approving())
        .policy(policy_fn(move |_| Verdict::PermitIf(Require::detail(cancel()))));
    assert_eq!(seen(&guard, &token, approved_refund()), None);
    // That of the refund alone is not that of both.
    let alone = approved(&approving());
    assert_eq!(
        seen(&guard, &alone, approved_refund()),
        Some(Reason::AuthorizationDetailsInsufficient)
    );
}

#[tokio::test(start_paused = true)]
async fn a_no_a_panic_a_time_out_and_an_outage_leave_the_approval_unspent() {
    for index in 0..every_no().len() {
        let spent = Arc::new(store());
        let base = guard_over(spent.clone());
        let token = approved(&base);
        let (expected, answer) = every_no().swap_remove(index);
        let guard = base
            .clone()
            .obligation("fails", |_, _| Answer::Now(Err("down".into())))
            .obligation("panics", |_, _| panic!("as it is meant to"))
            .obligation("hangs", |_, _| Answer::later(std::future::pending()))
            .policy(move |_: &Question<'_>| answer());
        let denied = guard.authorize(&mut request(&token), approved_refund()).await;
        assert_eq!(reason(&denied), Some(expected), "{index}");
        assert_eq!(spent.len(), 0, "{expected}");
        assert_eq!(seen(&base, &token, approved_refund()), None);
        assert_eq!(spent.len(), 1);
    }
}
