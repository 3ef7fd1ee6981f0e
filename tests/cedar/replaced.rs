//! Policies that are replaced while requests run.

use super::*;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

#[test]
fn a_clone_shares_its_policies_between_threads() {
    fn shared<T: Clone + Send + Sync + std::fmt::Debug + 'static>(it: &T) -> T {
        it.clone()
    }
    let cedar = cedar(ALL);
    let clone = shared(&cedar);
    assert_eq!(format!("{clone:?}"), "CedarPolicy(1 policies)");
    cedar.replace("", SCHEMA).unwrap();
    assert_eq!(format!("{clone:?}"), "CedarPolicy(0 policies)");
}

#[test]
fn a_set_that_cannot_be_read_leaves_the_old_one_in_force() {
    let cedar = cedar(ALL);
    let guard = guard().policy(cedar.clone());
    let is_granted = || narrowed(&guard, &by_agent(), refund()).is_ok();
    for (policies, schema) in [
        ("permit(principal, action", SCHEMA),
        ("permit(principal, action, resource) when { context.nothing };", SCHEMA),
        ("@max_age(\"x\") forbid(principal, action, resource);", SCHEMA),
        ("forbid(principal, action, resource);", "entity"),
    ] {
        assert!(cedar.replace(policies, schema).is_err());
        assert!(is_granted());
    }
    cedar.replace("forbid(principal, action, resource);", SCHEMA).unwrap();
    assert!(!is_granted());
    cedar.replace("", SCHEMA).unwrap();
    assert!(!is_granted());
    cedar.replace(ALL, SCHEMA).unwrap();
    assert!(is_granted());
}

/// Each set has a policy for the subject and one for the actor, both with its number, and a type of its own.
fn numbered(number: usize) -> (String, String) {
    let policies = format!(
        "@id(\"subject-{number}\") permit(principal is Subject, action, resource);
         @id(\"actor-{number}\") permit(principal is Actor, action, resource);"
    );
    let schema = format!(
        "entity order, order{number}; action refund appliesTo {{
            principal: [Subject, Actor], resource: [order, order{number}], context: {{ evidence: Evidence }},
        }};"
    );
    (policies, schema)
}

#[test]
fn a_thousand_replacements_under_load_fail_no_request_and_mix_no_sets() {
    let (policies, schema) = numbered(0);
    let cedar = CedarPolicy::new(&policies, &schema).unwrap();
    let guard = guard().policy(cedar.clone());
    let grant = by_agent().granted_by(&self::guard(), Require::valid_token());
    let done = AtomicBool::new(false);
    let requests = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    let granted = guard.narrow(&grant, refund()).now().unwrap();
                    let granted = granted.expect("every set permits it");
                    let numbers: Vec<_> =
                        granted.policies().iter().map(|id| id.split_once('-').unwrap().1).collect();
                    assert!(numbers.len() == 2 && numbers[0] == numbers[1], "{numbers:?}");
                    requests.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for number in 1..=1000 {
            let (policies, schema) = numbered(number);
            cedar.replace(&policies, &schema).unwrap();
            // Between two replacements something is decided.
            let before = requests.load(Ordering::Relaxed);
            while number % 10 == 0 && requests.load(Ordering::Relaxed) == before {
                thread::yield_now();
            }
        }
        done.store(true, Ordering::Release);
    });
    let requests = requests.into_inner();
    println!("{requests} requests, 1000 replacements, none failed");
    assert!(requests >= 100);
}
