//! When a policy is asked, and what it sees.

use super::*;
use http::Extensions;
use http::request::Parts;
use unconfused::policy::{Ask, Attribute, policy_fn};
use unconfused::proof::ClientCertificate;
use unconfused::{Party, Require};

/// A policy that permits everything and keeps what this makes of each question.
fn watching<T: Send + 'static>(
    look: impl Fn(&Question<'_>) -> T + Send + Sync + 'static,
) -> (impl Policy, Arc<Mutex<Vec<T>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = seen.clone();
    let policy = policy_fn(move |question| {
        kept.lock().unwrap().push(look(question));
        Verdict::Permit
    });
    (policy, seen)
}

#[test]
fn every_step_of_a_request_is_asked_about() {
    let (policy, seen) = watching(|question| question.operation().to_string());
    let guard = guard().policy(policy);
    let mut request = head("/orders", &[&reader().bearer()]);
    guard.authorize(&mut request, Require::valid_token()).now().unwrap().unwrap();
    let grant = guard.authorize(&mut request, READ).now().unwrap().unwrap();
    assert!(guard.narrow(&grant, READ).now().unwrap().is_ok());
    assert!(guard.narrow(&grant, Ask::operation("orders.refund")).now().unwrap().is_ok());
    assert_eq!(
        *seen.lock().unwrap(),
        ["GET /orders", "GET /orders", "GET /orders", "orders.refund"]
    );
}

#[test]
fn a_handler_names_the_operation_its_resource_and_its_attributes() {
    let (policy, seen) = watching(|question| question.operation().clone());
    let (guard, lines) = recorded_by(guard(), |event| event.operation().to_string());
    let guard = guard.policy(policy);
    let grant = ask(&guard, &reader(), READ).unwrap();
    let refund = Ask::operation("orders.refund")
        .resource("order", 7)
        .attribute("amount", 1200_u64)
        .attribute("currency", "EUR")
        .attribute("express", true)
        .attribute("tags", ["a", "b"])
        .requiring(READ);
    let narrowed = guard.narrow(&grant, refund).now().unwrap().unwrap();
    let operation = seen.lock().unwrap().pop().unwrap();
    assert_eq!(operation.name(), Some("orders.refund"));
    assert_eq!((operation.resource_type(), operation.resource_id()), (Some("order"), Some("7")));
    assert_eq!(operation.attribute("amount"), Some(&Attribute::Integer(1200)));
    let names: Vec<_> = operation.attributes().map(|(name, _)| name).collect();
    assert_eq!(names, ["amount", "currency", "express", "tags"]);
    assert_eq!(operation.method(), "GET");
    assert_eq!(*lines.lock().unwrap(), ["GET /orders", "orders.refund"]);
    assert_eq!(narrowed.operation().resource_id(), Some("7"));

    // What is not said anew is as it was; a new name has nothing of the old operation.
    let again = guard.narrow(&narrowed, READ).now().unwrap().unwrap();
    assert_eq!(again.operation().attribute("express"), Some(&Attribute::Boolean(true)));
    let other = guard.narrow(&narrowed, Ask::operation("orders.cancel")).now().unwrap().unwrap();
    assert_eq!(other.operation().attributes().count(), 0);
    assert_eq!(other.operation().resource_id(), None);
    let unnamed = Ask::from(READ).resource("order", 8);
    let unnamed = guard.narrow(&narrowed, unnamed).now().unwrap().unwrap();
    assert_eq!(unnamed.operation().name(), Some("orders.refund"));
    assert_eq!(unnamed.operation().resource_id(), Some("8"));
}

#[test]
fn an_ask_requires_what_it_says_and_spends_if_it_says_so() {
    let (guard, spent) = spending();
    let grant = ask(&guard, &reader(), READ).unwrap();
    let narrow = |ask: Ask| guard.narrow(&grant, ask).now().unwrap();
    let lacking = narrow(Ask::operation("orders.write").requiring(WRITE));
    assert_eq!(reason(&lacking), Some(Reason::InsufficientScope));
    assert!(narrow(Ask::operation("orders.read").requiring(READ)).is_ok());
    assert_eq!(spent.len(), 0);
    let refund = Ask::operation("orders.refund").requiring(Require::valid_token().single_use());
    assert!(narrow(refund.clone()).is_ok());
    assert_eq!(spent.len(), 1);
    assert_eq!(reason(&narrow(refund)), Some(Reason::TokenSpent));
}

#[test]
fn subject_and_current_actor_are_seen_apart() {
    let (policy, seen) = watching(|question| {
        let actor = question.actor().map(|actor| actor.name().to_owned());
        (question.subject() == Party::new(LOGIN, "alice"), actor)
    });
    let guard = guard().policy(policy);
    let token = reader().subject("alice").actor("agent-7").actor("agent-8");
    assert!(ask(&guard, &token, READ).is_ok());
    assert!(ask(&guard, &reader().subject("alice"), READ).is_ok());
    let names = ["agent-8", "agent-7"].map(|name| (true, Some(name.to_owned())));
    let seen = seen.lock().unwrap();
    assert!(names.contains(&seen[0]), "{:?}", seen[0]);
    assert_eq!(seen[1], (true, None));
}

/// The head of a request with credentials in many places.
fn full_head(raw: &str) -> Parts {
    let mut head = dpop_head(&format!("/orders?access_token={raw}"), raw, &[&proof(raw).sign()]);
    for (name, value) in [
        ("cookie", "session=secret"),
        ("proxy-authorization", "Basic secret"),
        ("x-copy", &*format!("token {raw}")),
        ("client-cert", ":secret:"),
        ("x-request-id", "r-7"),
    ] {
        head.headers.insert(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
    }
    let mut extensions = Extensions::new();
    extensions.insert("matched");
    extensions.insert(ClientCertificate::from_der("ours"));
    head.extensions = extensions;
    head
}

#[test]
fn the_head_is_seen_without_credentials_also_by_a_handler() {
    let (policy, seen) = watching(|question| question.head().unwrap().clone());
    let guard = proof_guard().policy(policy);
    let raw = bound().sign();
    let mut request = full_head(&raw);
    let grant = guard.authorize(&mut request, READ).now().unwrap().unwrap();
    guard.authorize(&mut request, READ).now().unwrap().unwrap();
    guard.narrow(&grant, READ).now().unwrap().unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 3);
    for head in &*seen {
        let names: Vec<_> = head.headers.keys().map(http::HeaderName::as_str).collect();
        assert!(names.contains(&"x-request-id"), "{names:?}");
        for name in names {
            assert!(["x-request-id", "cache-control"].contains(&name), "{name}");
        }
        assert!(!format!("{head:?}").contains(&raw));
        assert_eq!(head.uri.path(), "/orders");
        assert_eq!(head.extensions.get(), Some(&"matched"));
        assert!(head.extensions.get::<Grant>().is_none());
    }
}

#[test]
fn a_query_without_a_token_is_seen() {
    let (policy, seen) = watching(|question| question.head().unwrap().uri.to_string());
    let mut request = head("/orders?limit=5", &[&reader().bearer()]);
    guard().policy(policy).authorize(&mut request, READ).now().unwrap().unwrap();
    assert_eq!(*seen.lock().unwrap(), ["/orders?limit=5"]);
}

#[test]
fn the_head_is_not_known_if_another_guard_made_the_grant() {
    let (policy, seen) = watching(|question| question.head().is_some());
    let grant = ask(&guard(), &reader(), READ).unwrap();
    assert!(guard().policy(policy).narrow(&grant, READ).now().unwrap().is_ok());
    assert_eq!(*seen.lock().unwrap(), [false]);
}

#[test]
fn a_guard_without_policies_keeps_no_head() {
    let mut request = head("/orders", &[&reader().bearer()]);
    let marker = Arc::new(());
    request.extensions.insert(marker.clone());
    let grant = guard().authorize(&mut request, READ).now().unwrap().unwrap();
    drop(request);
    assert_eq!(Arc::strong_count(&marker), 1);
    drop(grant);
}

#[test]
fn a_question_shows_nothing_secret() {
    let (policy, seen) = watching(|question| format!("{question:?}"));
    let token = reader();
    assert!(ask(&guard().policy(policy), &token, READ).is_ok());
    assert!(!seen.lock().unwrap()[0].contains(&token.sign()));
}
