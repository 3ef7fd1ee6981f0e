//! The laws, over many requirements and tokens.

use super::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::json;
use unconfused::detail::{Detail, DetailType};
use unconfused::policy::{ApprovalTask, Ask, Obligation};
use unconfused::{Acr, Answer};

/// A requirement of one kind. The guard below can check each.
fn one() -> impl Strategy<Value = Require> {
    let any = Require::valid_token;
    let acr = |name| Acr::from_static(name);
    let agent = (LOGIN, "agent-7");
    select(vec![
        any(),
        READ.into(),
        WRITE.into(),
        Require::any_scope([WRITE, READ]),
        any().acr([acr("phr")]),
        any().acr([acr("mfa"), acr("phr")]),
        any().max_age(secs(60)),
        any().max_age(secs(300)),
        any().actor([agent]),
        any().actor_if_any([agent, (OTHER, "agent-7")]),
        any().delegated(),
        any().undelegated(),
        any().person(),
        any().client([(LOGIN, "web")]),
        any().issuer([LOGIN]),
        any().issuer([OTHER]),
        any().claim_contains(LOGIN, ["realm", "roles"], "admin"),
        any().claim_is(LOGIN, "department", "sales"),
        any().sender_constrained(),
        any().single_use(),
        Require::detail(Detail::of("refund").with("order", "7").with("amount", "5")),
        Require::detail(Detail::of("refund").with("order", "7").with("amount", "1e3")),
        Require::detail(Detail::of("unknown")),
        Require::detail_of_type("refund"),
    ])
}

fn requirement() -> impl Strategy<Value = Require> {
    let joined = |parts: Vec<Require>| {
        parts.into_iter().fold(Require::valid_token(), |all, part| all.and(part))
    };
    vec(one(), 0..3).prop_map(joined)
}

fn any_token() -> impl Strategy<Value = TestToken> {
    let roles = option::of(subsequence(vec!["admin", "user"], 0..=2));
    let details = json!([{"type": "refund", "order": "7", "amount": "5"}]);
    (
        subsequence(vec!["orders:read", "orders:write"], 0..=2),
        option::of((select(vec!["phr", "mfa", "pwd"]), 0_u64..400)),
        option::of(select(vec![(LOGIN, "agent-7"), (LOGIN, "agent-8"), (OTHER, "agent-7")])),
        select(vec!["web", "alice"]),
        roles,
        option::of(Just("sales")),
        option::of(Just(details)),
    )
        .prop_map(|(scopes, login, actor, client, roles, department, details)| {
            let mut token = token().subject("alice").client(client).scope(&scopes.join(" "));
            if let Some((acr, ago)) = login {
                token = token.acr(acr).authenticated(secs(ago));
            }
            if let Some((issuer, name)) = actor {
                token = token.actor_with_issuer(issuer, name);
            }
            if let Some(roles) = roles {
                token = token.claim("realm", json!({ "roles": roles }));
            }
            if let Some(department) = department {
                token = token.claim("department", department);
            }
            if let Some(details) = details {
                token = token.claim("authorization_details", details);
            }
            token
        })
}

/// A guard that can check all of these requirements.
fn able() -> (Guard, Arc<MemoryReplayStore>) {
    let (guard, spent) = spending();
    let refund = DetailType::new("refund").exact("order").at_most("amount");
    (guard.dpop(dpop(), store()).detail_type(refund), spent)
}

/// All that a client, and the store, can see of an answer.
type Seen = (Option<(Reason, Vec<Reason>, u16, Vec<String>)>, usize);

fn seen(answer: &Result<Grant, Denial>, spent: &MemoryReplayStore) -> Seen {
    let denied = answer.as_ref().err().map(|denial| {
        let reasons = denial.other_reasons().to_vec();
        (denial.reason(), reasons, denial.status().as_u16(), challenges(denial))
    });
    (denied, spent.len())
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_policy_never_grants_what_the_requirement_refused_and_is_not_asked_about_it(
        base in requirement(), more in requirement(), token in any_token(),
    ) {
        let (plain, spent) = able();
        let refused = ask(&plain, &token, &base);
        prop_assume!(refused.is_err());
        let refused = seen(&refused, &spent);
        let (always, asked) = always(move || Verdict::PermitIf(more.clone()));
        let (guard, spent) = able();
        let answer = ask(&guard.policy(always).policy(|_: &Question<'_>| permit()), &token, &base);
        // A token is spent last of all, after the policy, and this one never was.
        prop_assert_eq!(seen(&answer, &spent), refused);
        prop_assert_eq!(asked.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn permit_if_is_what_requiring_both_from_the_start_is(
        base in requirement(), more in requirement(), token in any_token(), later in any::<bool>(),
    ) {
        prop_assume!(ask(&able().0, &token, &base).is_ok());
        let (plain, spent) = able();
        let from_start = seen(&ask(&plain, &token, base.clone().and(&more)), &spent);
        let (policy, asked) = always(move || -> PolicyAnswer {
            let verdict = Verdict::PermitIf(more.clone());
            match later {
                true => Answer::later(async { verdict }).into(),
                false => verdict.into(),
            }
        });
        let (guard, spent) = able();
        let mut head = head("/orders", &[&token.bearer()]);
        let guard = guard.policy(policy);
        let answer = common_runtime().block_on(guard.authorize(&mut head, &base));
        prop_assert_eq!(seen(&answer, &spent), from_start);
        prop_assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn permit_if_in_a_handler_is_what_narrowing_with_both_is(
        asked in requirement(), more in requirement(), token in any_token(),
    ) {
        let from_start = |ask: Ask, guard: Guard, spent: &MemoryReplayStore| {
            let grant = token.granted_by(&guard, Require::valid_token());
            let answer = guard.narrow(&grant, ask).now().unwrap();
            seen(&answer, spent)
        };
        // A foreign actor is not admitted at all.
        prop_assume!(ask(&able().0, &token, Require::valid_token()).is_ok());
        let (guard, spent) = able();
        let met = from_start(Ask::from(&asked), guard, &spent);
        prop_assume!(met.0.is_none());
        let (guard, spent) = able();
        let both = from_start(Ask::from(asked.clone().and(&more)), guard, &spent);
        let (guard, spent) = able();
        let guard = guard.policy(move |question: &Question<'_>| match question.operation().name() {
            Some("refund") => Verdict::PermitIf(more.clone()),
            _ => Verdict::Permit,
        });
        let by_policy = from_start(Ask::operation("refund").requiring(&asked), guard, &spent);
        prop_assert_eq!(by_policy, both);
    }

    #[test]
    fn two_policies_that_permit_if_are_one_that_permits_if_both(
        first in requirement(), second in requirement(), token in any_token(),
    ) {
        prop_assume!(ask(&able().0, &token, Require::valid_token()).is_ok());
        let by = |requirements: Vec<Require>| {
            let (guard, spent) = able();
            let guard = requirements.into_iter().fold(guard, |guard, requirement| {
                guard.policy(always(move || Verdict::PermitIf(requirement.clone())).0)
            });
            seen(&ask(&guard, &token, Require::valid_token()), &spent)
        };
        prop_assert_eq!(by(vec![first.clone(), second.clone()]), by(vec![first.and(second)]));
    }
}

fn common_runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_current_thread().build().unwrap())
}

/// A reason, and what answers with it.
pub(super) type No = (Reason, Box<dyn Fn() -> PolicyAnswer + Send + Sync>);

/// Answers of every kind that are not a yes, each with its reason.
pub(super) fn every_no() -> Vec<No> {
    fn panics() -> Verdict {
        panic!("as it is meant to")
    }
    let task = || ApprovalTask::new("https://approvals.example/7");
    let strong = || Require::valid_token().acr([Acr::from_static("phr")]);
    vec![
        (Reason::PolicyDenied, Box::new(|| Verdict::Forbid("night".into()).into())),
        (Reason::PolicyUnavailable, Box::new(|| Verdict::Unavailable("down".into()).into())),
        (Reason::PolicyUnavailable, Box::new(|| panics().into())),
        (Reason::PolicyUnavailable, Box::new(|| Answer::later(async { panics() }).into())),
        (Reason::PolicyUnavailable, Box::new(|| Answer::later(std::future::pending()))),
        (Reason::ApprovalRequired, Box::new(move || Verdict::NeedsApproval(task()).into())),
        (
            Reason::AuthenticationContextMissing,
            Box::new(move || Verdict::PermitIf(strong()).into()),
        ),
        (
            Reason::ObligationUnsupported,
            Box::new(|| Verdict::Permit.obliged(Obligation::new("unknown")).into()),
        ),
        (
            Reason::ObligationFailed,
            Box::new(|| Verdict::Permit.obliged(Obligation::new("fails")).into()),
        ),
        (
            Reason::ObligationFailed,
            Box::new(|| Verdict::Permit.obliged(Obligation::new("panics")).into()),
        ),
        (
            Reason::ObligationFailed,
            Box::new(|| Verdict::Permit.obliged(Obligation::new("hangs")).into()),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_no_a_panic_a_time_out_and_an_outage_leave_the_token_unspent() {
    for (index, (expected, _)) in every_no().into_iter().enumerate() {
        for permits_first in [false, true] {
            let (base, spent) = spending();
            let guard = base
                .clone()
                .obligation("fails", |_, _| Answer::Now(Err("down".into())))
                .obligation("panics", |_, _| panic!("as it is meant to"))
                .obligation("hangs", |_, _| Answer::later(std::future::pending()));
            let (_, answer) = every_no().swap_remove(index);
            let no = move |_: &Question<'_>| answer();
            let guard = match permits_first {
                true => guard.policy(|_: &Question<'_>| permit()).policy(no),
                false => guard.policy(no).policy(|_: &Question<'_>| permit()),
            };
            let token = reader();
            let request = || head("/orders", &[&token.bearer()]);
            let denied = guard.authorize(&mut request(), once()).await;
            assert_eq!(reason(&denied), Some(expected), "{index}");
            assert_eq!(spent.len(), 0, "{expected}");

            // Nor does a handler that narrows spend it.
            let grant = base.authorize(&mut request(), READ).await.unwrap();
            let denied = guard.narrow(&grant, Require::valid_token().single_use()).await;
            assert_eq!(reason(&denied), Some(expected), "{index}");
            assert_eq!(spent.len(), 0, "{expected}");

            // The token is as good as before.
            assert_eq!(reason(&base.authorize(&mut request(), once()).await), None);
            assert_eq!(spent.len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_while_a_policy_thinks_leaves_the_token_unspent() {
    let (base, spent) = spending();
    let guard = base.policy(|_: &Question<'_>| -> PolicyAnswer {
        Answer::later(async {
            tokio::time::sleep(secs(1)).await;
            Verdict::Permit.into()
        })
    });
    let token = reader();
    let mut request = head("/orders", &[&token.bearer()]);
    let waiting = guard.authorize(&mut request, once());
    assert!(tokio::time::timeout(secs(1) / 2, waiting).await.is_err());
    assert_eq!(spent.len(), 0);
    assert!(guard.authorize(&mut request, once()).await.is_ok());
    assert_eq!(spent.len(), 1);
}
