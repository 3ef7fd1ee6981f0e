//! The laws of what an annotation does.

use super::*;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::json;
use unconfused::detail::{Detail, DetailType};
use unconfused::{Acr, Reason};

/// An annotation, and what it requires of the refund of 5 of order 7.
type Demand = (&'static str, fn() -> Require);

const DEMANDS: [Demand; 5] = [
    (r#"@step_up_acr("phr")"#, || Require::valid_token().acr([Acr::from_static("phr")])),
    (r#"@step_up_acr("mfa phr") @max_age("60")"#, || {
        let classes = [Acr::from_static("mfa"), Acr::from_static("phr")];
        Require::valid_token().acr(classes).max_age(secs(60))
    }),
    (r#"@max_age("300")"#, || Require::valid_token().max_age(secs(300))),
    (r#"@detail("refund")"#, || Require::detail(stated())),
    (r#"@detail("refund order")"#, || Require::detail(Detail::of("refund").with("order", "7"))),
];

fn stated() -> Detail {
    Detail::of("refund").with("order", "7").with("amount", "5")
}

/// What all handlers here are about to do.
fn ask() -> Ask {
    refund().attribute("amount", "5")
}

fn demands() -> impl Strategy<Value = Vec<Demand>> {
    subsequence(DEMANDS.to_vec(), 0..=3)
}

fn token() -> impl Strategy<Value = TestToken> {
    let login = proptest::option::of((select(vec!["phr", "mfa", "pwd"]), 0_u64..400));
    let readable = prop::bool::weighted(0.9);
    (any::<bool>(), login, readable, any::<bool>()).prop_map(|(agent, login, readable, details)| {
        let mut token = if agent { by_agent() } else { alice() };
        if !readable {
            token = token.claim("acr", ["phr"]).claim("auth_time", "now");
        }
        if let Some((acr, ago)) = login.filter(|_| readable) {
            token = token.acr(acr).claim("auth_time", NOW - i64::try_from(ago).unwrap());
        }
        if details {
            let details = json!([{"type": "refund", "order": "7", "amount": "5"}]);
            token = token.claim("authorization_details", details);
        }
        token
    })
}

fn able() -> Guard {
    guard().detail_type(DetailType::new("refund").exact("order").at_most("amount"))
}

/// All that a client can see of an answer.
fn seen(answer: &Result<Grant, Denial>) -> Option<(Reason, Vec<Reason>, u16, Vec<String>)> {
    answer.as_ref().err().map(|denial| {
        let headers = denial.headers();
        let fields = headers.get_all("www-authenticate").iter();
        let challenges = fields.map(|field| field.to_str().unwrap().to_owned()).collect();
        let reasons = denial.other_reasons().to_vec();
        (denial.reason(), reasons, denial.status().as_u16(), challenges)
    })
}

fn forbids(demands: &[Demand], scope: &str) -> String {
    demands.iter().map(|(annotation, _)| format!("{annotation} forbid({scope});\n")).collect()
}

const ANY: &str = "principal, action, resource";

proptest! {
    // Each case reads a set of policies, which takes some milliseconds.
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_annotated_no_is_what_requiring_it_from_the_start_is(
        demands in demands(),
        token in token(),
        of_subject in any::<bool>(),
    ) {
        // Of whichever party it is asked.
        let scope = if of_subject { "principal is Subject, action, resource" } else { ANY };
        let policies = format!("{ALL}\n{}", forbids(&demands, scope));
        let by_policy = narrowed(&able().policy(cedar(&policies)), &token, ask());
        let all = demands.iter().map(|(_, require)| require());
        let from_start = all.fold(ask(), |ask, require| ask.requiring(require));
        let plain = narrowed(&able(), &token, from_start);
        prop_assert_eq!(seen(&by_policy), seen(&plain));
    }

    #[test]
    fn annotations_never_grant_what_the_set_refuses_for_another_reason(
        demands in demands(),
        token in token(),
        other in select(vec![
            "", // nothing permits
            "permit(principal is Subject, action, resource) when { principal.name == \"bob\" };",
            "permit(principal, action, resource); forbid(principal is Subject, action, resource);",
            "permit(principal, action, resource); forbid(principal, action, resource)
                when { context has amount && context.amount.greaterThan(decimal(\"4.9\")) };",
        ]),
    ) {
        let policies = format!("{other}\n{}", forbids(&demands, ANY));
        let answer = narrowed(&able().policy(cedar(&policies)), &token, ask());
        // No challenge: nothing that the client could do helps.
        let (reason, _, status, challenges) = seen(&answer).unwrap();
        prop_assert_eq!((reason, status, challenges.len()), (Reason::PolicyDenied, 403, 0));
    }

    #[test]
    fn adding_a_forbid_policy_never_grants_more(
        demands in demands(),
        more in select(DEMANDS.to_vec()),
        token in token(),
    ) {
        let with = |demands: &[Demand]| {
            let policies = format!("{ALL}\n{}", forbids(demands, ANY));
            narrowed(&able().policy(cedar(&policies)), &token, ask()).is_ok()
        };
        let more = [demands.clone(), vec![more]].concat();
        prop_assert!(with(&demands) || !with(&more));
    }
}

#[test]
fn a_detail_that_cannot_be_stated_stays_a_no() {
    let policies = format!("{ALL}\n@detail(\"refund order currency\") forbid({ANY});");
    let answer = narrowed(&able().policy(cedar(&policies)), &alice(), ask());
    let why = "policy_denied: the detail `refund` needs `currency`, which is not stated";
    assert_eq!(refusal(&answer).as_deref(), Some(why));
}

#[test]
fn an_attribute_that_no_detail_can_have_is_not_left_out_of_what_is_consented_to() {
    use unconfused::policy::Attribute;

    let schema = SCHEMA.replace("tags?: Set<String>", "tags?: Set<Set<String>>");
    let items = |item: &str| Attribute::List(vec![Attribute::List(vec![item.into()])]);
    let token = alice().claim("authorization_details", json!([{"type": "refund", "order": "7"}]));
    let decided = |annotation: &str| {
        let policies = format!("{ALL}\n@detail(\"{annotation}\") forbid({ANY});");
        let cedar = CedarPolicy::new(&policies, &schema).unwrap();
        let guard = guard().detail_type(DetailType::new("refund").exact("order")).policy(cedar);
        narrowed(&guard, &token, refund().attribute("tags", items("all")))
    };
    let why = "policy_denied: the attribute `tags` is a list of lists, which the detail `refund` cannot have";
    assert_eq!(refusal(&decided("refund")).as_deref(), Some(why));
    assert_eq!(refusal(&decided("refund order tags")).as_deref(), Some(why));
    // Unless the policy says that it is not part of it.
    assert_eq!(refusal(&decided("refund order")), None);
}

#[test]
fn an_approval_is_asked_for_and_passes_once() {
    use unconfused::approvals::{Approvals, SigningKey};
    use unconfused::keys::Algorithm;

    let policies = format!("{ALL}\n@id(\"large\") @approval(\"refund\") forbid({ANY});");
    let approvals = Approvals::new(SigningKey::generate(Algorithm::Es256, "1"), [7; 32], LOGIN);
    let guard = able().approvals(approvals.reason("refund", "Refund {amount} of order {order}"));
    let guard = guard.policy(cedar(&policies));
    let grant = alice().granted_by(&self::able(), Require::valid_token());
    let denial = guard.narrow(&grant, ask()).now().unwrap().unwrap_err();
    assert_eq!(denial.reason(), Reason::TransactionAuthorizationRequired);
}
