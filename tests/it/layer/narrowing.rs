//! What a handler does with its grant: narrowing and refusing.

use super::*;

#[test]
fn narrowing_grants_what_the_token_allows() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let token = login.token(&ORDERS).scope("orders:read orders:write");
    let grant = granted(&guard, &token);
    let narrowed = guard.narrow(&grant, WRITE).now().unwrap().unwrap();
    assert_eq!(*narrowed.requirement(), Require::from([READ, WRITE]));
    assert_eq!(narrowed.decision(), grant.decision());
    assert!(narrowed.made_by(&guard));
}

#[test]
fn narrowing_leaves_the_earlier_grant_as_it_was() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let token = login.token(&ORDERS).scope("orders:read orders:write");
    let grant = granted(&guard, &token);
    let _narrowed = guard.narrow(&grant, WRITE).now().unwrap().unwrap();
    assert_eq!(*grant.requirement(), Require::scope(READ));
}

#[test]
fn narrowing_denies_with_one_challenge_for_all_that_is_asked() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let grant = granted(&guard, &reader(&login));
    let denial = guard.narrow(&grant, WRITE).now().unwrap().unwrap_err();
    assert_eq!(denial.status(), StatusCode::FORBIDDEN);
    assert_eq!(denial.challenge().unwrap().scope(), [READ, WRITE]);
    assert_eq!(denial.decision(), Some(grant.decision()));
    assert!(denial.challenge().unwrap().resource_metadata().is_some());
}

#[test]
fn narrowing_to_what_no_token_can_meet_is_refused_for_good() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let grant = granted(&guard, &reader(&login));
    let asked = Require::any_scope([]);
    let denial = guard.narrow(&grant, asked).now().unwrap().unwrap_err();
    assert_eq!(denial.status(), StatusCode::FORBIDDEN);
    assert!(denial.challenge().is_none());
}

#[test]
fn narrowing_asks_for_no_keys_again() {
    let login = login();
    let (issuer, asked) = counted(&login);
    let guard = Guard::new(ORDERS, issuer);
    let grant = granted(&guard, &reader(&login));
    assert!(guard.narrow(&grant, READ).now().unwrap().is_ok());
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[test]
fn narrowing_judges_the_token_at_the_moment_of_the_request() {
    let login = login();
    let now = UtcDateTime::now().unix_timestamp();
    let clock = Arc::new(AtomicI64::new(now));
    let hands = clock.clone();
    let guard = Guard::new(ORDERS, login.issuer())
        .clock(move || UtcDateTime::from_unix_timestamp(hands.load(Ordering::Relaxed)).unwrap());
    let grant = granted(&guard, &reader(&login));
    clock.store(now + 3600, Ordering::Relaxed);
    let narrowed = guard.narrow(&grant, READ).now().unwrap().unwrap();
    assert_eq!(narrowed.at().unix_timestamp(), now);
}

#[test]
fn narrowing_the_grant_of_another_guard_validates_anew() {
    let login = login();
    let (issuer, asked) = counted(&login);
    let guard = Guard::new(ORDERS, login.issuer());
    let other = Guard::new(ORDERS, issuer);
    let grant = granted(&guard, &reader(&login));
    let narrowed = other.narrow(&grant, READ).now().unwrap().unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert!(narrowed.made_by(&other));
    assert_eq!(narrowed.decision(), grant.decision());
}

#[test]
fn narrowing_the_grant_of_a_guard_for_another_audience_is_denied() {
    let login = login();
    let orders = Guard::new(ORDERS, login.issuer());
    let billing = Guard::new(BILLING, login.issuer());
    let grant = granted(&orders, &reader(&login));
    let denial = billing.narrow(&grant, READ).now().unwrap().unwrap_err();
    assert_eq!(denial.reason(), Reason::AudienceMismatch);
}

#[test]
fn narrowing_the_grant_of_another_guard_waits_for_keys() {
    let login = login();
    let (issuer, waiting) = later();
    let guard = Guard::new(ORDERS, login.issuer());
    let other = Guard::new(ORDERS, issuer);
    let grant = granted(&guard, &reader(&login));
    let mut answer = other.narrow(&grant, READ).into_future();
    assert!(poll(&mut answer).is_pending());
    let sender = waiting.lock().unwrap().remove(0);
    sender.send(Ok(login.keys())).unwrap();
    assert!(matches!(poll(&mut answer), Poll::Ready(Ok(narrowed)) if narrowed.made_by(&other)));
}

#[test]
fn a_refusal_of_the_handler_is_403_without_a_challenge() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let grant = granted(&guard, &reader(&login));
    let denial = guard.refuse(&grant);
    assert_eq!(denial.status(), StatusCode::FORBIDDEN);
    assert_eq!(denial.reason(), Reason::PolicyDenied);
    assert!(denial.challenge().is_none());
    assert_eq!(denial.decision(), Some(grant.decision()));
}

#[test]
fn a_refusal_of_the_handler_is_in_the_record() {
    let login = login();
    let (sink, lines) = recorded(|event| {
        let reason = event.reason().map_or("allowed", Reason::as_str);
        format!("{} {reason} {}", event.step(), event.subject().unwrap())
    });
    let guard = Guard::new(ORDERS, login.issuer()).audit(sink);
    let grant = granted(&guard, &reader(&login));
    assert_eq!(guard.refuse(&grant).status(), 403);
    let expected = ["0 allowed alice", "1 policy_denied alice"];
    assert_eq!(*lines.lock().unwrap(), expected);
}
