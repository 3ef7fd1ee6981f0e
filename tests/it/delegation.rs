//! Who acts for whom, and what a requirement says of it.

use crate::common::*;
use serde_json::json;
use unconfused::testing::TestToken;
use unconfused::token::{ActorSource, TokenLimits, Validation};
use unconfused::{AccessToken, Party, Reason, Require};

const AGENT: (&str, &str) = (LOGIN, "agent-7");
const FOREIGN: (&str, &str) = (OTHER, "agent-7");

/// Validated by an issuer of which `agent-app` is an agent.
fn seen(token: &TestToken) -> AccessToken {
    seen_by(&validation().agent_clients(["agent-app"]), token)
}

fn seen_by(validation: &Validation, token: &TestToken) -> AccessToken {
    validate_by(validation, token, now()).unwrap()
}

fn refused(requirement: &Require, token: &AccessToken) -> Option<Reason> {
    let unmet = requirement.check(token, now()).err()?;
    assert_eq!(unmet.reasons().len(), 1, "a refusal of the actor stands alone");
    Some(unmet.reason())
}

fn any() -> Require {
    Require::valid_token()
}

#[test]
fn each_atom_has_its_answer_to_each_kind_of_caller() {
    use Reason::{
        ActorRequired as Required, ActorUnauthorized as Unauthorized, ActorUntrusted as Untrusted,
        ClientNotAllowed as Client, SubjectAmbiguous as Ambiguous,
    };
    let callers = [
        ("alice herself", seen(&token())),
        ("agent-7 for alice", seen(&token().actor("agent-7"))),
        ("agent-8 for alice", seen(&token().actor("agent-8"))),
        ("a stranger for alice", seen(&token().actor_with_issuer(OTHER, "agent-7"))),
        ("an agent client", seen(&token().client("agent-app"))),
        ("a machine", seen(&token().subject("test-client"))),
    ];
    // In the order of the calls.
    let table: [(&str, Require, [Option<Reason>; 6]); 13] = [
        ("valid_token", any(), [None, None, None, Some(Untrusted), None, None]),
        (
            "actor",
            any().actor([AGENT]),
            [
                Some(Required),
                None,
                Some(Unauthorized),
                Some(Untrusted),
                Some(Unauthorized),
                Some(Required),
            ],
        ),
        (
            "actor, the foreign one",
            any().actor([FOREIGN]),
            [
                Some(Required),
                Some(Unauthorized),
                Some(Unauthorized),
                None,
                Some(Unauthorized),
                Some(Required),
            ],
        ),
        (
            "actor_if_any",
            any().actor_if_any([AGENT, (LOGIN, "agent-app")]),
            [None, None, Some(Unauthorized), Some(Untrusted), None, None],
        ),
        (
            "actor_if_any, no one",
            any().actor_if_any([AGENT; 0]),
            [
                None,
                Some(Unauthorized),
                Some(Unauthorized),
                Some(Untrusted),
                Some(Unauthorized),
                None,
            ],
        ),
        (
            "delegated",
            any().delegated(),
            [Some(Required), None, None, Some(Untrusted), None, Some(Required)],
        ),
        (
            "undelegated",
            any().undelegated(),
            [
                None,
                Some(Unauthorized),
                Some(Unauthorized),
                Some(Untrusted),
                Some(Unauthorized),
                None,
            ],
        ),
        (
            "client",
            any().client([(LOGIN, "agent-app")]),
            [Some(Client), Some(Client), Some(Client), Some(Client), None, Some(Client)],
        ),
        ("client of another issuer", any().client([(OTHER, "agent-app")]), [Some(Client); 6]),
        ("issuer", any().issuer([OTHER, LOGIN]), [None, None, None, Some(Untrusted), None, None]),
        ("another issuer", any().issuer([OTHER]), [Some(Client); 6]),
        (
            "in_person",
            any().in_person([(LOGIN, "test-client")]),
            [
                None,
                Some(Unauthorized),
                Some(Unauthorized),
                Some(Untrusted),
                Some(Client),
                Some(Ambiguous),
            ],
        ),
        ("person", any().person(), [None, None, None, Some(Untrusted), None, Some(Ambiguous)]),
    ];
    for (atom, requirement, answers) in &table {
        for ((caller, token), answer) in callers.iter().zip(answers) {
            assert_eq!(refused(requirement, token), *answer, "{atom}: {caller}");
        }
    }
}

#[test]
fn an_actor_without_an_issuer_is_of_the_issuer_of_the_token() {
    let token = seen(&token().actor("agent-7"));
    let actor = token.actor().unwrap();
    assert_eq!((actor.issuer(), actor.name()), AGENT);
    assert_eq!(actor.source(), ActorSource::Act);
    assert!(actor == Party::from(AGENT) && Party::from(AGENT) == actor);
    assert!(actor != Party::from(FOREIGN) && Party::from(FOREIGN) != actor);
}

#[test]
fn an_actor_that_names_the_issuer_is_the_same_as_one_that_does_not() {
    let short = seen(&token().actor("agent-7"));
    let long = seen(&token().actor_with_issuer(LOGIN, "agent-7"));
    assert_eq!(short.actor(), long.actor());
}

#[test]
fn a_foreign_actor_is_untrusted_unless_that_very_pair_is_listed() {
    let token = seen(&token().actor_with_issuer(OTHER, "agent-7"));
    for (list, answer) in [
        (vec![FOREIGN], None),
        (vec![AGENT, FOREIGN], None),
        (vec![AGENT], Some(Reason::ActorUntrusted)),
        (vec![(OTHER, "agent-8")], Some(Reason::ActorUntrusted)),
        (vec![("https://other.example/", "agent-7")], Some(Reason::ActorUntrusted)),
        (vec![], Some(Reason::ActorUntrusted)),
    ] {
        let requirement = any().actor_if_any(list.clone());
        assert_eq!(refused(&requirement, &token), answer, "{list:?}");
    }
}

#[test]
fn issuer_and_name_of_an_actor_are_not_run_together() {
    let token = seen(&token().actor_with_issuer("https://other.example/a", "b"));
    let requirement = any().actor_if_any([("https://other.example/", "ab")]);
    assert_eq!(refused(&requirement, &token), Some(Reason::ActorUntrusted));
}

#[test]
fn a_subject_that_acts_for_itself_is_a_direct_call() {
    for token in [
        token().actor("alice"),
        token().actor_with_issuer(LOGIN, "alice"),
        token().claim("act", json!({ "sub": "alice", "sub_profile": "user" })),
    ] {
        let token = seen(&token);
        assert!(token.actor().is_none());
        assert_eq!(token.prior_actors().count(), 0);
        assert_eq!(refused(&any().undelegated(), &token), None);
        assert_eq!(refused(&any().delegated(), &token), Some(Reason::ActorRequired));
    }
}

#[test]
fn the_same_name_of_another_issuer_is_another_actor() {
    let token = seen(&token().actor_with_issuer(OTHER, "alice"));
    assert!(token.actor().is_some());
    assert_eq!(refused(&any(), &token), Some(Reason::ActorUntrusted));
}

#[test]
fn a_subject_that_acts_after_others_is_an_actor() {
    let token = seen(&token().actor("agent-7").actor("alice"));
    assert_eq!(token.actor().unwrap().name(), "alice");
    assert_eq!(token.prior_actors().count(), 1);
    assert_eq!(refused(&any().undelegated(), &token), Some(Reason::ActorUnauthorized));
}

#[test]
fn the_outermost_link_acts_and_the_others_are_for_the_record() {
    let chain = token().actor("first").actor_with_issuer(OTHER, "second").actor("third");
    let token = seen(&chain);
    assert_eq!(token.actor().unwrap().name(), "third");
    let prior: Vec<_> = token.prior_actors().map(|actor| (actor.issuer(), actor.name())).collect();
    assert_eq!(prior, [(OTHER, "second"), (LOGIN, "first")]);
}

#[test]
fn prior_actors_never_decide() {
    let requirements = [
        any(),
        any().actor([AGENT]),
        any().actor_if_any([AGENT]),
        any().actor([(LOGIN, "tool")]),
        any().delegated(),
        any().undelegated(),
    ];
    let plain = seen(&token().actor("agent-7"));
    let pasts = [
        token().actor("tool"),
        token().actor_with_issuer(OTHER, "tool"),
        token().actor("alice"),
        token().actor("tool").actor_with_issuer(OTHER, "agent-7"),
    ];
    for past in pasts {
        let chained = seen(&past.actor("agent-7"));
        for requirement in &requirements {
            assert_eq!(
                refused(requirement, &chained),
                refused(requirement, &plain),
                "{requirement}"
            );
        }
    }
}

#[test]
fn an_allowed_actor_deeper_in_the_chain_does_not_help() {
    let token = seen(&token().actor("agent-7").actor("intruder"));
    assert_eq!(refused(&any().actor([AGENT]), &token), Some(Reason::ActorUnauthorized));
}

#[test]
fn claims_of_a_link_other_than_its_names_do_not_count() {
    let act = json!({ "sub": "agent-7", "exp": 1, "aud": "x", "client_id": "c", "cnf": {} });
    let token = seen(&token().claim("act", act));
    assert_eq!(refused(&any().actor([AGENT]), &token), None);
}

#[test]
fn may_act_authorizes_a_pair_and_no_one_else() {
    let by_default = seen(&token().claim("may_act", json!({ "sub": "agent-7" })));
    let may_act = by_default.may_act().unwrap();
    assert!(may_act.authorizes(&AGENT.into()));
    assert!(!may_act.authorizes(&FOREIGN.into()));
    assert!(!may_act.authorizes(&Party::new(LOGIN, "agent-8")));

    let foreign = json!({ "iss": OTHER, "sub": "agent-7" });
    let foreign = seen(&token().claim("may_act", foreign));
    assert!(foreign.may_act().unwrap().authorizes(&FOREIGN.into()));
    assert!(!foreign.may_act().unwrap().authorizes(&AGENT.into()));
}

#[test]
fn may_act_is_not_evidence_that_anyone_acts() {
    let token = seen(&token().claim("may_act", json!({ "sub": "agent-7" })));
    assert!(token.actor().is_none());
    assert_eq!(refused(&any().actor([AGENT]), &token), Some(Reason::ActorRequired));
    assert_eq!(refused(&any().undelegated(), &token), None);
}

#[test]
fn may_act_without_a_name_authorizes_no_one() {
    let token = seen(&token().claim("may_act", json!({ "iss": LOGIN })));
    assert!(token.may_act().is_none());
}

#[test]
fn an_agent_client_is_the_actor_and_says_where_it_was_found() {
    let listed = validation().agent_clients(["agent-app"]);
    let by_rule = validation()
        .agent_clients_if(|token| token.client_id().is_some_and(|c| c.starts_with("agent-")));
    for validation in [listed, by_rule] {
        let token = seen_by(&validation, &token().client("agent-app"));
        let actor = token.actor().unwrap();
        assert_eq!((actor.issuer(), actor.name()), (LOGIN, "agent-app"));
        assert_eq!(actor.source(), ActorSource::Client);
        assert_eq!(token.prior_actors().count(), 0);
        assert_eq!(refused(&any().undelegated(), &token), Some(Reason::ActorUnauthorized));
        assert_eq!(refused(&any().actor([(LOGIN, "agent-app")]), &token), None);
    }
}

#[test]
fn a_client_that_is_not_an_agent_is_not_an_actor() {
    let token = seen(&token().client("agent-app-2"));
    assert!(token.actor().is_none());
}

#[test]
fn the_actor_that_a_token_names_goes_before_its_agent_client() {
    let token = seen(&token().client("agent-app").actor("agent-7"));
    let actor = token.actor().unwrap();
    assert_eq!(actor.name(), "agent-7");
    assert_eq!(actor.source(), ActorSource::Act);
}

#[test]
fn a_rule_may_ask_for_any_claim() {
    let validation =
        validation().agent_clients_if(|token| matches!(token.claim("agent"), Ok(Some(true))));
    assert!(seen_by(&validation, &token().claim("agent", true)).actor().is_some());
    assert!(seen_by(&validation, &token().claim("agent", "true")).actor().is_none());
}

#[test]
fn an_agent_that_must_act_and_does_not_is_refused_by_every_requirement() {
    let validation = validation().agent_clients(["agent-app"]).agents_must_act();
    let silent = seen_by(&validation, &token().client("agent-app"));
    assert!(silent.actor().is_none());
    for requirement in [
        any(),
        any().undelegated(),
        any().delegated(),
        any().actor_if_any([AGENT]),
        any().person(),
        any().client([(LOGIN, "agent-app")]),
    ] {
        assert_eq!(refused(&requirement, &silent), Some(Reason::ActorRequired), "{requirement}");
    }
    let named = seen_by(&validation, &token().client("agent-app").actor("agent-7"));
    assert_eq!(refused(&any(), &named), None);
    let human = seen_by(&validation, &token());
    assert_eq!(refused(&any(), &human), None);
}

#[test]
fn a_guard_marks_the_agents_of_its_issuer() {
    let issuer = login().issuer().agent_clients(["agent-app"]);
    let guard = unconfused::Guard::new(ORDERS, issuer).clock(now);
    let token = token().client("agent-app");
    let grant = ask(&guard, &token, any()).unwrap();
    assert_eq!(grant.actor().unwrap().source(), ActorSource::Client);
    let denial = ask(&guard, &token, any().undelegated()).unwrap_err();
    assert_eq!(denial.reason(), Reason::ActorUnauthorized);
}

#[test]
fn as_many_actors_may_act_as_the_owner_says() {
    let chain = |links: usize| (0..links).fold(token(), |token, i| token.actor(&format!("a{i}")));
    let reason = |validation: &Validation, links| {
        let invalid = validate_by(validation, &chain(links), now()).err();
        invalid.map(|invalid| invalid.reason())
    };
    let too_deep = Some(Reason::ActorChainTooDeep);
    assert_eq!(reason(&validation(), 8), None);
    assert_eq!(reason(&validation(), 9), too_deep);
    let one = validation().limits(TokenLimits::default().max_actors(1));
    assert_eq!(reason(&one, 1), None);
    assert_eq!(reason(&one, 2), too_deep);
    let none = validation().limits(TokenLimits::default().max_actors(0));
    assert_eq!(reason(&none, 0), None);
    assert_eq!(reason(&none, 1), too_deep);
}

#[test]
fn no_setting_allows_more_nesting_than_is_read() {
    let chain = |links: usize| (0..links).fold(token(), |token, i| token.actor(&format!("a{i}")));
    let validation = validation().limits(TokenLimits::default().max_actors(1000));
    assert!(validate_by(&validation, &chain(31), now()).is_ok());
    let invalid = validate_by(&validation, &chain(32), now()).unwrap_err();
    assert_eq!(invalid.reason(), Reason::ClaimsMalformed);
}

#[test]
fn a_link_without_a_name_is_malformed_at_any_depth() {
    for act in [
        json!(null),
        json!("agent-7"),
        json!([]),
        json!({}),
        json!({ "sub": "" }),
        json!({ "sub": 7 }),
        json!({ "sub": "a", "iss": 7 }),
        json!({ "sub": "a", "iss": "" }),
        json!({ "sub": "a", "act": "b" }),
        json!({ "sub": "a", "act": { "sub": "b", "act": {} } }),
    ] {
        assert_eq!(refusal(&token().claim("act", &act)), Some(Reason::ActorMalformed), "{act}");
    }
}

#[test]
fn agent_clients_add_up() {
    let validation = validation()
        .agent_clients(["one"])
        .agent_clients(["two"])
        .agent_clients_if(|token| token.client_id() == Some("three"));
    for (client, acts) in [("one", true), ("two", true), ("three", true), ("four", false)] {
        let token = seen_by(&validation, &token().client(client));
        assert_eq!(token.actor().is_some(), acts, "{client}");
    }
}

#[test]
fn where_agents_must_act_and_none_is_named_every_client_is_one() {
    let validation = validation().agents_must_act();
    let alone = seen_by(&validation, &token());
    assert_eq!(refused(&any(), &alone), Some(Reason::ActorRequired));
    let acted = seen_by(&validation, &token().actor("agent-7"));
    assert_eq!(refused(&any(), &acted), None);
}

#[test]
fn an_agent_that_speaks_for_itself_acts_for_no_one() {
    let own = token().subject("agent-app").client("agent-app");
    for validation in [
        validation().agent_clients(["agent-app"]),
        validation().agent_clients(["agent-app"]).agents_must_act(),
    ] {
        let token = seen_by(&validation, &own);
        assert!(token.actor().is_none());
        assert_eq!(refused(&any(), &token), None);
        assert_eq!(refused(&any().delegated(), &token), Some(Reason::ActorRequired));
        assert_eq!(refused(&any().person(), &token), Some(Reason::SubjectAmbiguous));
    }
}

#[test]
fn a_client_that_speaks_for_itself_lives_as_long_as_any_token() {
    let long = token().lifetime(secs(3 * 3600));
    let own = long.clone().subject("agent-app").client("agent-app");
    for validation in [
        validation().agents_must_act(),
        validation().agent_clients(["agent-app"]),
        validation().agent_clients_if(|_| true),
    ] {
        assert!(validate_by(&validation, &own, now()).is_ok());
    }
    let refused = validate_by(&validation().agents_must_act(), &long, now()).unwrap_err();
    assert_eq!(refused.reason(), Reason::TokenLifetimeExceeded);
}
