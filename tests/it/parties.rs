//! A name counts only with the issuer that gave it: subjects, actors and clients of two trusted issuers.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::common::*;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::post;
use tower::ServiceExt;
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::{Denial, Grant, Guard, Party, Reason, Require, Scope};

const REFUND: Scope = Scope::from_static("orders:refund");

/// An issuer that the guard trusts besides the login, and the guard.
fn two_issuers() -> (TestIssuer, Guard) {
    let partner = TestIssuer::new(OTHER);
    let guard = guard().trust(partner.issuer());
    (partner, guard)
}

fn from(issuer: &TestIssuer) -> TestToken {
    issuer.token(&ORDERS).issued_at(now())
}

fn refused(guard: &Guard, token: &TestToken, requirement: &Require) -> Option<(Reason, Reason)> {
    let denial = ask(guard, token, requirement).err()?;
    assert_eq!(denial.status(), 403);
    assert!(denial.challenge().is_none());
    Some((denial.reason(), denial.reason().for_client()))
}

const NOT_ALLOWED: Option<(Reason, Reason)> =
    Some((Reason::ClientNotAllowed, Reason::PolicyDenied));

async fn refund(State(guard): State<Guard>, grant: Grant) -> Result<String, Denial> {
    let owner = Party::new(LOGIN, "alice");
    if grant.subject() != owner {
        return Err(guard.refuse(&grant));
    }
    Ok(format!("refunded for {}", owner.name()))
}

#[tokio::test]
async fn the_alice_of_a_partner_does_not_own_the_orders_of_our_alice() {
    let (partner, guard) = two_issuers();
    let app = Router::new()
        .route("/orders/7/refund", post(refund).route_layer(guard.require(REFUND)))
        .with_state(guard);
    for (issuer, status) in [(login(), 200), (&partner, 403)] {
        let token = from(issuer).subject("alice").scope("orders:refund").bearer();
        let request = http::Request::post("/orders/7/refund").header("authorization", token);
        let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), status);
    }
}

#[test]
fn a_subject_is_the_issuer_and_the_name_of_the_token() {
    let (partner, guard) = two_issuers();
    let ours = ask(&guard, &from(login()).subject("alice"), Require::valid_token()).unwrap();
    let theirs = ask(&guard, &from(&partner).subject("alice"), Require::valid_token()).unwrap();
    assert_eq!(ours.subject(), Party::new(LOGIN, "alice"));
    assert_eq!(theirs.subject(), Party::new(OTHER, "alice"));
    assert_ne!(ours.subject(), theirs.subject());
    assert_eq!((theirs.subject().issuer(), theirs.subject().name()), (OTHER, "alice"));
    // by a profile, another claim names it
    let named = Party::new(LOGIN, "u1");
    let profile = unconfused::profile::Profile::rfc9068().subject_claim("uid");
    let guard = Guard::new(ORDERS, login().issuer().profile(profile)).clock(now);
    let token = from(login()).claim("uid", "u1");
    assert_eq!(ask(&guard, &token, Require::valid_token()).unwrap().subject(), named);
}

#[test]
fn a_client_of_a_partner_is_not_our_client_of_that_name() {
    let (partner, guard) = two_issuers();
    let web_app = Require::valid_token().client([(LOGIN, "web-app")]);
    assert_eq!(refused(&guard, &from(login()).client("web-app"), &web_app), None);
    assert_eq!(refused(&guard, &from(login()).client("web"), &web_app), NOT_ALLOWED);
    assert_eq!(refused(&guard, &from(&partner).client("web-app"), &web_app), NOT_ALLOWED);

    let in_person = Require::valid_token().in_person([(LOGIN, "web-app")]);
    assert_eq!(refused(&guard, &from(login()).client("web-app"), &in_person), None);
    assert_eq!(refused(&guard, &from(&partner).client("web-app"), &in_person), NOT_ALLOWED);
}

#[test]
fn an_operation_may_be_for_some_of_the_trusted_issuers() {
    let (partner, guard) = two_issuers();
    let ours = Require::valid_token().issuer([LOGIN]);
    assert_eq!(refused(&guard, &from(login()), &ours), None);
    assert_eq!(refused(&guard, &from(&partner), &ours), NOT_ALLOWED);
    for near in ["https://login.example/", "https://LOGIN.example", "https://login.example.evil"] {
        let near = Require::valid_token().issuer([near]);
        assert_eq!(refused(&guard, &from(login()), &near), NOT_ALLOWED, "{near}");
    }
}

#[test]
fn the_issuer_is_checked_with_the_client_before_person_and_actor() {
    let (partner, guard) = two_issuers();
    let ours = Require::valid_token().issuer([LOGIN]).person().undelegated();
    let token = from(&partner).subject("robot").client("robot");
    assert_eq!(refused(&guard, &token, &ours), NOT_ALLOWED);
    assert_eq!(refused(&guard, &from(&partner).actor("agent-7"), &ours), NOT_ALLOWED);
}

#[test]
fn in_person_asks_for_all_three() {
    let clients = [(LOGIN, "web"), (OTHER, "web")];
    let three = Require::valid_token().undelegated().client(clients).person();
    assert_eq!(Require::valid_token().in_person(clients), three);
}

#[test]
fn parties_are_equal_by_both_parts_however_they_are_held() {
    let (issuer, name) = (LOGIN.to_owned(), "alice".to_owned());
    let borrowed = Party::new(&issuer, &name);
    let owned = Party::new(issuer.clone(), name.clone());
    assert_eq!(borrowed, owned);
    assert_eq!(borrowed.clone().into_owned(), owned);
    assert_eq!(Party::from((&*issuer, "alice")), owned);
    for other in [(OTHER, "alice"), (LOGIN, "bob"), ("alice", LOGIN), ("", "alice"), (LOGIN, "")] {
        assert_ne!(owned, Party::from(other), "{other:?}");
    }
    // not run together
    assert_ne!(Party::new("ab", "c"), Party::new("a", "bc"));

    // Found by what is borrowed.
    let accounts = HashMap::from([(owned.clone(), 7)]);
    assert_eq!(accounts.get(&borrowed), Some(&7));
    let token = validate(&token().subject("alice")).unwrap();
    assert_eq!(accounts.get(&token.subject()), Some(&7));
    assert_eq!(accounts.get(&Party::new(OTHER, "alice")), None);
    let set = HashSet::from([borrowed.clone(), owned.clone(), Party::new(OTHER, "alice")]);
    assert_eq!(set.len(), 2);
    let sorted = BTreeSet::from([owned, Party::new(OTHER, "aaa"), borrowed]);
    assert_eq!(sorted.len(), 2);
}

#[test]
fn a_party_is_shown_escaped_with_both_parts_and_never_as_a_bare_name() {
    let shown = |issuer: &str, name: &str| {
        let party = Party::new(issuer, name);
        assert_eq!(party.to_string(), format!("{party:?}"));
        party.to_string()
    };
    assert_eq!(shown(LOGIN, "alice"), r#""alice" of "https://login.example""#);
    assert_eq!(shown("i", "a\nallowed"), r#""a\nallowed" of "i""#);
    // A name that looks like a party, and one that ends the quotes.
    assert_eq!(shown("i", r#""alice" of "j""#), r#""\"alice\" of \"j\"" of "i""#);
    assert_ne!(shown("i", r#"a" of "b"#), shown(r#"b" of "i"#, "a"));
    for name in ["alice", "", "a b", "\u{202e}"] {
        assert_ne!(shown(LOGIN, name), name);
    }
    let token = validate(&token().actor("agent\n7")).unwrap();
    let actor = token.actor().unwrap();
    assert_eq!(actor.to_string(), r#""agent\n7" of "https://login.example""#);
    assert_eq!(actor.to_string(), format!("{actor:?}"));
}

#[test]
fn the_record_shows_the_issuer_beside_the_subject() {
    let (partner, guard) = two_issuers();
    let (sink, lines) = std::sync::mpsc::channel();
    let guard = guard.audit(move |event: &unconfused::AuditEvent<'_>| {
        let is_ours = event.subject() == Some(Party::new(LOGIN, "alice"));
        sink.send((is_ours, event.to_string())).unwrap();
    });
    for (issuer, name, ours) in [(login(), LOGIN, true), (&partner, OTHER, false)] {
        assert!(ask(&guard, &from(issuer).subject("alice"), Require::valid_token()).is_ok());
        let (is_ours, line) = lines.recv().unwrap();
        assert_eq!(is_ours, ours);
        assert!(line.contains(&format!(r#" subject="alice" issuer="{name}" "#)), "{line}");
    }
}
