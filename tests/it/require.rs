//! Requirements: the law of `and`, step-up, scopes that imply others, and how a requirement reads.

use crate::common::*;
use serde_json::json;
use unconfused::detail::{Detail, DetailType};
use unconfused::error::Unmet;
use unconfused::profile::Profile;
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::token::{ScopeHierarchy, TokenLimits, UnverifiedToken, Validation};
use unconfused::{AccessToken, Acr, Denial, Reason, Require, Scope};

const READ: Scope = Scope::from_static("orders:read");
const WRITE: Scope = Scope::from_static("orders:write");
const REFUND: Scope = Scope::from_static("orders:refund");
const PHR: Acr = Acr::from_static("phr");
const MFA: Acr = Acr::from_static("mfa");
const PWD: Acr = Acr::from_static("pwd");

fn any() -> Require {
    Require::valid_token()
}

/// Requirements of every kind, each met by some token and not by all.
fn family() -> Vec<Require> {
    let local = (LOGIN, "agent-7");
    let foreign = (OTHER, "agent-7");
    vec![
        any(),
        READ.into(),
        WRITE.into(),
        [READ, WRITE].into(),
        Require::any_scope([READ, WRITE]),
        Require::any_scope([WRITE, REFUND]),
        Require::any_scope([REFUND, WRITE, READ]),
        any().acr([PHR]),
        any().acr([PHR, MFA]),
        any().acr([MFA, PWD]),
        any().max_age(secs(60)),
        any().max_age(secs(300)),
        Require::scope(READ).acr([PHR, MFA]).max_age(secs(300)),
        any().actor([local]),
        any().actor([foreign]),
        any().actor([local, foreign, (LOGIN, "agent-8")]),
        any().actor_if_any([local]),
        any().actor_if_any([foreign]),
        any().actor_if_any([foreign, local]),
        any().actor_if_any([local; 0]),
        any().actor_if_any([(LOGIN, "admin")]),
        any().actor([(LOGIN, "admin"), local]),
        any().delegated(),
        any().undelegated(),
        any().person(),
        any().client([(LOGIN, "web")]),
        any().client([(LOGIN, "web"), (LOGIN, "agent-app")]),
        any().client([(LOGIN, "agent-app"), (LOGIN, "machine")]),
        any().client([(OTHER, "web")]),
        any().client([(LOGIN, "web"), (OTHER, "web")]),
        any().client([(OTHER, "web"), (OTHER, "machine"), (LOGIN, "other")]),
        any().issuer([LOGIN]),
        any().issuer([OTHER]),
        any().issuer([OTHER, LOGIN, "https://third.example"]),
        Require::scope(READ).issuer([OTHER]),
        any().in_person([(LOGIN, "web")]),
        any().in_person([(OTHER, "web"), (LOGIN, "web")]),
        Require::scope(WRITE).person().delegated(),
        Require::scope(READ).undelegated().acr([MFA]),
        Require::detail(refund("7", "5")),
        Require::detail(refund("7", "12.50")),
        Require::detail(refund("7", "5")).and(Require::detail(refund("8", "1"))),
        Require::detail_of_type("refund"),
        Require::scope(READ).and(Require::detail(refund("7", "5"))),
        any().claim_contains(LOGIN, ["realm", "roles"], "admin"),
        any().claim_contains(LOGIN, ["realm", "roles"], "user"),
        any().claim_contains(OTHER, ["realm", "roles"], "admin"),
        any().claim_is(LOGIN, "department", "sales"),
        any().claim_is(LOGIN, "department", "sales").claim_contains(LOGIN, "groups", "a/b"),
        Require::scope(READ).claim_is(LOGIN, ["realm", "department"], "sales"),
    ]
}

fn refund(order: &str, amount: &str) -> Detail {
    Detail::of("refund").with("order", order).with("amount", amount)
}

/// Compares details of two types.
fn with_types(validation: Validation) -> Validation {
    let refund = DetailType::new("refund").exact("order").at_most("amount");
    validation.detail_type(refund).detail_type(DetailType::new("cancel").exact("order"))
}

/// Validated tokens of every kind.
fn tokens() -> Vec<AccessToken> {
    let hierarchy = ScopeHierarchy::new([(WRITE, [READ])]).unwrap();
    let validations = [
        validation().agent_clients(["agent-app"]),
        validation().agent_clients(["agent-app"]).agents_must_act().scope_hierarchy(hierarchy),
        // The one in `act` took the subject's place.
        validation().profile(Profile::rfc9068().act_names_impersonators()),
    ]
    .map(with_types);
    let web = || token().client("web");
    let logged_in = |acr: &str, ago| web().acr(acr).authenticated(secs(ago));
    let kinds = [
        web(),
        web().scope("orders:read"),
        web().scope("orders:write"),
        web().scope("orders:read orders:write orders:refund"),
        web().scope("orders:refund"),
        logged_in("phr", 10),
        logged_in("phr", 10).scope("orders:read orders:write"),
        logged_in("mfa", 200).scope("orders:read"),
        logged_in("pwd", 10),
        logged_in("mfa", 4000).scope("orders:write"),
        web().acr("phr").scope("orders:read"),
        web().authenticated(secs(10)).scope("orders:refund"),
        web().actor("agent-7"),
        web().actor("agent-7").scope("orders:read orders:write"),
        web().actor("agent-8").scope("orders:write"),
        web().actor_with_issuer(OTHER, "agent-7"),
        web().actor_with_issuer(OTHER, "agent-7").scope("orders:read"),
        web().actor_with_issuer(OTHER, "agent-8"),
        web().actor("agent-7").actor_with_issuer(OTHER, "agent-7"),
        web().actor_with_issuer(OTHER, "agent-7").actor("agent-7"),
        logged_in("phr", 10).actor("agent-7").scope("orders:read"),
        logged_in("mfa", 100).actor_with_issuer(OTHER, "agent-7"),
        web().actor("admin"),
        web().actor_with_issuer(OTHER, "admin"),
        web().actor("alice"),
        token().client("agent-app"),
        token().client("agent-app").scope("orders:read"),
        token().client("agent-app").actor("agent-7"),
        token().client("machine").subject("machine"),
        token().client("machine").subject("machine").scope("orders:read orders:write"),
        token().client("machine").subject("machine").actor("agent-7"),
        token().client("machine").subject("machine").acr("phr").authenticated(secs(1)),
        token().client("other").scope("orders:write"),
        token().client("other").acr("mfa").scope("orders:read"),
        web().claim("realm", json!({"roles": ["user", "admin"]})),
        web()
            .claim("realm", json!({"roles": ["user"], "department": "sales"}))
            .scope("orders:read"),
        web().claim("realm", json!({"roles": "admin"})).claim("department", "sales"),
        web().claim("department", "sales").claim("groups", json!(["a/b"])),
        web().claim("department", json!(["sales"])).claim("groups", json!(["a", "b"])),
    ];
    let validate =
        |kind: &TestToken, validation: &Validation| validate_by(validation, kind, now()).unwrap();
    let entry = |order, amount| json!({"type": "refund", "order": order, "amount": amount});
    let detailed = |details| web().claim("authorization_details", details);
    let detailed = [
        detailed(json!([entry("7", "5")])),
        detailed(json!([entry("7", "20")])).scope("orders:read"),
        detailed(json!([entry("7", "5"), entry("8", "5")])),
        detailed(json!([{"type": "cancel", "order": "7"}, entry("8", "1")])),
        detailed(json!([{"type": "cancel", "order": "7"}])).scope("orders:read"),
    ];
    let detailed = detailed.map(|kind| validate(&kind, &validations[0]));
    let ours = kinds.iter().flat_map(|kind| validations.iter().map(|by| validate(kind, by)));
    // The same names, given by a partner.
    let (partner, trusted) = (TestIssuer::new(OTHER), with_types(Validation::new(ORDERS, OTHER)));
    let web = || partner.token(&ORDERS).issued_at(now()).client("web");
    let theirs = [
        web(),
        web().claim("realm", json!({"roles": ["admin"]})),
        web().scope("orders:read orders:write"),
        web().actor("agent-7"),
        web().actor_with_issuer(LOGIN, "agent-7"),
        web().client("machine").subject("machine"),
        web().client("other").acr("phr").authenticated(secs(10)),
    ];
    let theirs = theirs.map(|token| {
        let token = token.sign();
        let token = UnverifiedToken::parse(&token).unwrap();
        token.validate(&trusted, &partner.keys(), now()).unwrap()
    });
    ours.chain(detailed).chain(theirs).collect()
}

/// Which tokens a requirement admits.
fn admitted(requirement: &Require, tokens: &[AccessToken]) -> Vec<bool> {
    tokens.iter().map(|token| requirement.check(token, now()).is_ok()).collect()
}

fn unmet(requirement: &Require, token: &TestToken) -> Unmet {
    let token = validate(token).unwrap();
    requirement.check(&token, now()).unwrap_err()
}

#[test]
fn the_family_and_the_tokens_tell_requirements_apart() {
    let tokens = tokens();
    let family = family();
    assert!(family.len() >= 25 && tokens.len() >= 30);
    for requirement in &family {
        let admitted = admitted(requirement, &tokens);
        assert!(admitted.contains(&true), "{requirement}");
        assert!(admitted.contains(&false), "{requirement}");
    }
    let mut rows: Vec<_> = family.iter().map(|one| admitted(one, &tokens)).collect();
    rows.sort();
    rows.dedup();
    assert!(rows.len() >= 25, "{}", rows.len());
}

#[test]
fn both_admit_exactly_what_each_admits_in_either_order() {
    let (family, tokens) = (family(), tokens());
    let alone: Vec<_> = family.iter().map(|one| admitted(one, &tokens)).collect();
    for (a, by_a) in family.iter().zip(&alone) {
        for (b, by_b) in family.iter().zip(&alone) {
            let both: Vec<_> = by_a.iter().zip(by_b).map(|(a, b)| *a && *b).collect();
            assert_eq!(admitted(&a.clone().and(b), &tokens), both, "({a}) and ({b})");
        }
    }
}

#[test]
fn a_requirement_and_itself_is_itself() {
    for a in family() {
        assert_eq!(a.clone().and(&a), a);
    }
}

#[test]
fn the_grouping_of_three_requirements_does_not_change_what_they_admit() {
    let (family, tokens) = (family(), tokens());
    let some: Vec<_> = family.iter().step_by(2).collect();
    for a in &some {
        for b in &some {
            for c in &some {
                let left = (**a).clone().and(*b).and(*c);
                let right = (**a).clone().and((**b).clone().and(*c));
                // What is equal admits the same.
                if left == right {
                    continue;
                }
                assert_eq!(
                    admitted(&left, &tokens),
                    admitted(&right, &tokens),
                    "({a}) and ({b}) and ({c})"
                );
            }
        }
    }
}

#[test]
fn what_is_asked_on_top_never_admits_more() {
    let tokens = tokens();
    for a in family() {
        let before = admitted(&a, &tokens);
        for more in [
            a.clone().acr([PHR]),
            a.clone().max_age(secs(60)),
            a.clone().delegated(),
            a.clone().undelegated(),
            a.clone().person(),
            a.clone().client([(LOGIN, "web")]),
            a.clone().issuer([LOGIN]),
            a.clone().claim_contains(LOGIN, ["realm", "roles"], "admin"),
            a.clone().claim_is(LOGIN, "department", "sales"),
            a.clone().in_person([(LOGIN, "web")]),
            a.clone().and(READ),
            a.clone().and([READ, WRITE]),
            a.clone().and(Require::detail(refund("7", "5"))),
            a.clone().and(Require::detail_of_type("refund")),
        ] {
            let after = admitted(&more, &tokens);
            let narrower = before.iter().zip(&after).all(|(before, after)| before >= after);
            assert!(narrower, "{a} became {more}");
        }
    }
}

#[test]
fn a_plain_requirement_beside_a_listed_stranger_refuses_the_stranger() {
    let stranger = validate(&token().actor_with_issuer(OTHER, "agent-7")).unwrap();
    let listed = any().actor([(OTHER, "agent-7")]);
    assert!(listed.check(&stranger, now()).is_ok());
    for both in [listed.clone().and(any()), any().and(&listed)] {
        assert_eq!(both.check(&stranger, now()).unwrap_err().reason(), Reason::ActorUntrusted);
    }
}

#[test]
fn a_challenge_prefers_what_the_left_requirement_prefers() {
    let classes = |requirement: &Require| {
        let unmet = unmet(requirement, &token().acr("none"));
        Denial::from(&unmet).challenge().unwrap().acr_values().to_vec()
    };
    let (a, b) = (any().acr([PHR, MFA, PWD]), any().acr([PWD, MFA]));
    assert_eq!(classes(&a.clone().and(&b)), [MFA, PWD]);
    assert_eq!(classes(&b.and(&a)), [PWD, MFA]);

    let scopes = |requirement: Require| {
        let unmet = unmet(&requirement, &token());
        Denial::from(&unmet).challenge().unwrap().scope().to_vec()
    };
    let (a, b) = (Require::any_scope([READ, WRITE]), Require::any_scope([WRITE, READ]));
    assert_eq!(scopes(a.clone().and(&b)), [READ]);
    assert_eq!(scopes(b.and(&a)), [WRITE]);
    assert_eq!(scopes(Require::scope(REFUND).and(READ)), [REFUND, READ]);
    assert_eq!(scopes(Require::scope(READ).and(REFUND)), [READ, REFUND]);
}

#[test]
fn the_shorter_age_is_asked_for() {
    for (a, b) in [(60, 300), (300, 60)] {
        let both = any().max_age(secs(a)).and(any().max_age(secs(b)));
        let unmet = unmet(&both, &token());
        assert_eq!(Denial::from(&unmet).challenge().unwrap().max_age(), Some(secs(60)));
    }
}

#[test]
fn what_no_token_can_meet_is_refused_for_good_and_without_a_challenge() {
    let impossible = [
        any().delegated().undelegated(),
        any().actor([(LOGIN, "agent-7")]).undelegated(),
        any().actor([(LOGIN, "agent-7")]).and(any().undelegated()),
        any().acr([PHR]).and(any().acr([MFA])),
        any().acr([PHR]).acr([MFA]),
        any().acr([]),
        any().client([(LOGIN, "web")]).client([(LOGIN, "app")]),
        any().client([(LOGIN, "web")]).client([(OTHER, "web")]),
        any().client([(LOGIN, ""); 0]),
        any().issuer([LOGIN]).issuer([OTHER]),
        any().issuer([LOGIN; 0]),
        any().issuer([LOGIN]).client([(OTHER, "web")]),
        any().in_person([(OTHER, "web")]).and(any().issuer([LOGIN])),
        any().in_person([(LOGIN, "web")]).delegated(),
        any().actor([("", ""); 0]),
        any().actor([(LOGIN, "a")]).actor([(LOGIN, "b")]),
        any().claim_is(LOGIN, "department", "a").claim_is(LOGIN, "department", "b"),
        any().claim_is(LOGIN, "department", "a").claim_contains(LOGIN, "department", "a"),
        any().claim_is(LOGIN, "department", "a").and(any().claim_is(OTHER, "group", "b")),
        any().claim_is(LOGIN, "department", "a").issuer([OTHER]),
        Require::any_scope([]),
        Require::scope(READ).and(Require::any_scope([])),
    ];
    let tokens = tokens();
    let rich = token().scope("orders:read").acr("phr").authenticated(secs(1));
    for requirement in impossible {
        assert!(requirement.can_never_be_met(), "{requirement}");
        assert!(!admitted(&requirement, &tokens).contains(&true), "{requirement}");
        for token in [&rich, &token()] {
            let denial = ask(&guard(), token, &requirement).unwrap_err();
            assert_eq!(denial.reason(), Reason::PolicyDenied, "{requirement}");
            assert_eq!(denial.status(), 403, "{requirement}");
            assert!(denial.challenge().is_none(), "{requirement}");
            assert!(!denial.headers().contains_key("www-authenticate"), "{requirement}");
        }
    }
}

#[test]
fn what_a_token_can_meet_is_not_called_unmeetable() {
    for requirement in family() {
        assert!(!requirement.can_never_be_met(), "{requirement}");
    }
}

#[test]
fn each_of_the_family_is_read_as_it_is_printed() {
    // The values of a detail are not printed.
    let readable = || family().into_iter().filter(|one| one.details().is_empty());
    assert!(readable().count() > 30);
    for a in readable() {
        assert_eq!(a.to_string().parse(), Ok(a.clone()));
        for b in readable() {
            let both = a.clone().and(&b);
            assert_eq!(both.to_string().parse(), Ok(both));
        }
    }
}

#[test]
#[should_panic(expected = "no token can meet the requirement")]
fn a_layer_that_no_token_can_pass_panics_when_it_is_made() {
    let _ = guard().require(any().delegated().undelegated());
}

// Step-up.

#[test]
fn authentication_has_a_reason_for_what_is_missing_weak_or_old() {
    use Reason::{
        AuthenticationContextMissing as Missing, AuthenticationLevelInsufficient as Weak,
        AuthenticationTooOld as Old,
    };
    let class = any().acr([PHR, MFA]);
    let age = any().max_age(secs(300));
    let both = any().acr([PHR, MFA]).max_age(secs(300));
    let plain = || token();
    let ago = |seconds: i64| token().claim("auth_time", NOW - seconds);
    let table: Vec<(&Require, TestToken, Option<Reason>)> = vec![
        (&class, plain(), Some(Missing)),
        (&class, plain().acr("pwd"), Some(Weak)),
        (&class, plain().acr("PHR"), Some(Weak)),
        (&class, plain().acr("phr mfa"), Some(Weak)),
        (&class, plain().acr(""), Some(Weak)),
        (&class, plain().acr("phr"), None),
        (&class, plain().acr("mfa"), None),
        (&age, plain(), Some(Missing)),
        (&age, ago(330), None),
        (&age, ago(331), Some(Old)),
        (&age, ago(0), None),
        (&age, ago(-30), None),
        (&age, ago(-31), Some(Old)),
        (&age, ago(-1_000_000), Some(Old)),
        (&both, plain(), Some(Missing)),
        (&both, plain().acr("phr"), Some(Missing)),
        (&both, ago(0), Some(Missing)),
        (&both, ago(0).acr("pwd"), Some(Weak)),
        (&both, ago(1000).acr("pwd"), Some(Weak)),
        (&both, ago(1000).acr("phr"), Some(Old)),
        (&both, ago(10).acr("phr"), None),
    ];
    for (i, (requirement, token, reason)) in table.iter().enumerate() {
        let token = validate(token).unwrap();
        let unmet = requirement.check(&token, now()).err();
        assert_eq!(unmet.map(|unmet| unmet.reason()), *reason, "row {i}");
    }
}

#[test]
fn a_leeway_of_more_than_a_minute_is_not_possible() {
    let set = |leeway| std::panic::catch_unwind(move || TokenLimits::default().leeway(leeway));
    assert!(set(secs(60)).is_ok());
    for leeway in
        [secs(60) + std::time::Duration::from_nanos(1), secs(61), std::time::Duration::MAX]
    {
        let message = set(leeway).unwrap_err();
        let message = message.downcast_ref::<String>().unwrap();
        assert!(message.contains("at most 60 seconds"), "{message}");
    }
}

#[test]
fn the_leeway_of_the_validation_holds_for_the_age_too() {
    let age = any().max_age(secs(100));
    for (leeway, last) in [(0, 100), (60, 160)] {
        let validation = validation().limits(TokenLimits::default().leeway(secs(leeway)));
        let met = |ago: i64| {
            let token = token().claim("auth_time", NOW - ago);
            let token = validate_by(&validation, &token, now()).unwrap();
            age.check(&token, now()).is_ok()
        };
        assert!(met(last), "{leeway}");
        assert!(!met(last + 1), "{leeway}");
    }
}

#[test]
fn a_max_age_of_zero_admits_an_authentication_right_now() {
    let age = any().max_age(secs(0));
    let met = |ago: i64| {
        let token = validate(&token().claim("auth_time", NOW - ago)).unwrap();
        age.check(&token, now()).is_ok()
    };
    assert!(met(0));
    assert!(!met(31));
}

#[test]
fn an_unlimited_age_does_not_overflow() {
    let age = any().max_age(std::time::Duration::MAX);
    let token = validate(&token().claim("auth_time", 0)).unwrap();
    assert!(age.check(&token, now()).is_ok());
}

#[test]
fn the_challenge_says_everything_that_the_authentication_lacks() {
    let both = any().acr([PHR]).max_age(secs(300));
    for token in [
        token(),
        token().acr("phr"),
        token().acr("phr").claim("auth_time", NOW - 1000),
        token().acr("low").claim("auth_time", NOW),
    ] {
        let denial = Denial::from(&unmet(&both, &token));
        let challenge = denial.challenge().unwrap();
        assert_eq!(challenge.acr_values(), [PHR]);
        assert_eq!(challenge.max_age(), Some(secs(300)));
        assert!(challenge.scope().is_empty());
    }
}

#[test]
fn a_missing_scope_alone_asks_for_no_authentication() {
    let requirement = Require::scope(READ).acr([PHR]).max_age(secs(300));
    let unmet = unmet(&requirement, &token().acr("phr").authenticated(secs(1)));
    assert_eq!(unmet.reasons(), [Reason::InsufficientScope]);
    let denial = Denial::from(&unmet);
    let challenge = denial.challenge().unwrap();
    assert!(challenge.acr_values().is_empty());
    assert_eq!(challenge.max_age(), None);
    assert_eq!(challenge.scope(), [READ]);
}

#[test]
fn a_token_without_a_user_is_not_sent_to_log_in() {
    let machine = || token().subject("test-client");
    for requirement in [
        any().acr([PHR]),
        any().max_age(secs(300)),
        Require::scope(READ).acr([PHR]),
        any().person(),
    ] {
        let denial = ask(&guard(), &machine(), &requirement).unwrap_err();
        assert_eq!(denial.reason(), Reason::SubjectAmbiguous, "{requirement}");
        assert_eq!(denial.status(), 403);
        assert!(denial.challenge().is_none());
    }
    // A scope that the client can get.
    let denial = ask(&guard(), &machine(), READ).unwrap_err();
    assert_eq!(denial.reason(), Reason::InsufficientScope);
}

#[test]
fn a_login_that_a_token_without_a_user_claims_does_not_count() {
    let machine = token().subject("test-client").acr("phr").authenticated(secs(1));
    for requirement in [any().acr([PHR]), any().max_age(secs(300))] {
        let denial = ask(&guard(), &machine, requirement).unwrap_err();
        assert_eq!(denial.reason(), Reason::SubjectAmbiguous);
    }
}

// Scopes that imply others.

const ADMIN: Scope = Scope::from_static("orders:admin");

fn hierarchy() -> ScopeHierarchy {
    ScopeHierarchy::new([(ADMIN, vec![WRITE, REFUND]), (WRITE, vec![READ])]).unwrap()
}

#[test]
fn a_scope_implies_what_the_implied_ones_imply() {
    let validation = validation().scope_hierarchy(hierarchy());
    for (held, allowed) in [
        ("orders:admin", vec![ADMIN, WRITE, REFUND, READ]),
        ("orders:write", vec![WRITE, READ]),
        ("orders:read", vec![READ]),
        ("orders:refund", vec![REFUND]),
        ("orders", vec![]),
        ("orders:administrator", vec![]),
        ("orders:refund orders:write", vec![REFUND, WRITE, READ]),
    ] {
        let token = validate_by(&validation, &token().scope(held), now()).unwrap();
        for scope in [ADMIN, WRITE, REFUND, READ] {
            let expected = allowed.contains(&scope);
            assert_eq!(token.allows(&scope), expected, "{held} {scope}");
            let met = Require::scope(scope.clone()).check(&token, now()).is_ok();
            assert_eq!(met, expected, "{held} {scope}");
        }
    }
}

#[test]
fn the_scopes_of_a_token_stay_what_it_says() {
    let validation = validation().scope_hierarchy(hierarchy());
    let token = token().scope("orders:admin  x");
    let token = validate_by(&validation, &token, now()).unwrap();
    assert_eq!(token.scopes().collect::<Vec<_>>(), ["orders:admin", "x"]);
}

#[test]
fn nothing_is_implied_that_is_not_written() {
    let token = validate(&token().scope("orders:admin orders:read:all ORDERS:READ")).unwrap();
    assert!(!token.allows(&READ));
    assert!(!token.allows(&WRITE));
}

#[test]
fn a_hierarchy_that_goes_round_is_refused() {
    assert!(ScopeHierarchy::new([(READ, [READ])]).is_err());
    assert!(ScopeHierarchy::new([(READ, [WRITE]), (WRITE, [READ])]).is_err());
    let round = [(ADMIN, [WRITE]), (WRITE, [REFUND]), (REFUND, [ADMIN])];
    let error = ScopeHierarchy::new(round).unwrap_err();
    assert_eq!(error.to_string(), "the scope `orders:admin` implies itself");
    // a cycle further down, that the first scope only reaches
    let below = [(ADMIN, [WRITE]), (WRITE, [READ]), (READ, [WRITE])];
    assert!(ScopeHierarchy::new(below).is_err());
}

#[test]
fn two_ways_to_one_scope_are_no_cycle() {
    let diamond = [(ADMIN, vec![WRITE, REFUND]), (WRITE, vec![READ]), (REFUND, vec![READ])];
    let hierarchy = ScopeHierarchy::new(diamond).unwrap();
    assert!(hierarchy.implies("orders:admin", &READ));
    assert!(!hierarchy.implies("orders:read", &READ));
}

#[test]
fn a_challenge_names_the_scope_that_was_asked_and_not_a_broader_one() {
    let guard = guard().scope_hierarchy(hierarchy());
    let denial = ask(&guard, &token().scope("orders:refund"), READ).unwrap_err();
    assert_eq!(denial.challenge().unwrap().scope(), [READ]);
}

#[test]
fn a_challenge_names_all_scopes_of_the_operation_and_not_only_the_missing() {
    let token = token().scope("orders:read");
    let denial = ask(&guard(), &token, [READ, WRITE]).unwrap_err();
    assert_eq!(denial.challenge().unwrap().scope(), [READ, WRITE]);
}

#[test]
fn of_a_choice_of_scopes_the_challenge_names_the_first() {
    let requirement = Require::any_scope([WRITE, READ]);
    let denial = ask(&guard(), &token(), &requirement).unwrap_err();
    assert_eq!(denial.challenge().unwrap().scope(), [WRITE]);
    assert!(ask(&guard(), &token().scope("orders:read"), &requirement).is_ok());
}

// How a requirement reads.

#[test]
fn a_requirement_reads_as_what_it_asks() {
    for (requirement, text) in [
        (any(), "valid_token"),
        (READ.into(), "scope=orders:read"),
        ([READ, WRITE].into(), "scope=orders:read scope=orders:write"),
        (Require::any_scope([READ, WRITE, READ]), "scope=orders:read|orders:write"),
        (any().acr([PHR, MFA]), "acr=phr|mfa"),
        (any().max_age(secs(300)), "max_age=300"),
        (
            any().actor([(LOGIN, "a"), (OTHER, "b")]),
            r#"actor="a" of "https://login.example"|"b" of "https://other.example""#,
        ),
        (any().actor_if_any([(LOGIN, "a")]), r#"actor_if_any="a" of "https://login.example""#),
        (any().delegated(), "delegated"),
        (any().undelegated(), "undelegated"),
        (any().issuer([LOGIN, OTHER]), r#"issuer="https://login.example"|"https://other.example""#),
        (
            any().client([(LOGIN, "web"), (OTHER, "app")]),
            r#"client="web" of "https://login.example"|"app" of "https://other.example""#,
        ),
        (
            any().in_person([(LOGIN, "web")]),
            r#"undelegated client="web" of "https://login.example" person"#,
        ),
        (any().person(), "person"),
        (
            any().claim_is(LOGIN, "https://a.example/b", "c").claim_contains(
                LOGIN,
                ["d", "e"],
                "f",
            ),
            r#"claim="https://a.example/b" is "c" of "https://login.example" claim="d"/"e" contains "f" of "https://login.example""#,
        ),
        (
            Require::scope(READ)
                .person()
                .client([("i", "web")])
                .issuer(["i"])
                .undelegated()
                .max_age(secs(60))
                .acr([PHR]),
            r#"scope=orders:read acr=phr max_age=60 undelegated issuer="i" client="web" of "i" person"#,
        ),
    ] {
        assert_eq!(requirement.to_string(), text);
    }
}

#[test]
fn what_is_unmet_reads_as_its_reasons() {
    let requirement = Require::scope(READ).acr([PHR]);
    let unmet = unmet(&requirement, &token());
    assert_eq!(unmet.to_string(), "authentication_context_missing, insufficient_scope");
}

#[test]
fn a_requirement_is_equal_to_one_that_asks_the_same_in_the_same_words() {
    assert_eq!(Require::from([READ, WRITE]), Require::scope(READ).and(WRITE));
    assert_eq!(Require::any_scope([READ]), Require::scope(READ));
    assert_ne!(Require::scope(READ), any());
}

#[test]
fn requirements_that_differ_in_whom_they_admit_read_differently() {
    let listed = Require::valid_token().actor([(OTHER, "bot")]);
    let joined = Require::valid_token().and(&listed);
    assert_ne!(listed.to_string(), joined.to_string());
}

#[test]
fn all_of_no_scopes_is_met_by_no_token() {
    assert!(Require::all_scopes([]).can_never_be_met());
    assert!(Require::from([] as [Scope; 0]).can_never_be_met());
    assert_eq!(Require::all_scopes([READ, WRITE]), Require::from([READ, WRITE]));
}
