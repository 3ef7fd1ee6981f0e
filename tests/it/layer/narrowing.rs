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

fn young_limits() -> TokenLimits {
    TokenLimits::default().max_token_age(Duration::from_secs(60))
}

/// A guard, and the seconds that its clock is ahead.
fn with_hands(guard: Guard) -> (Guard, Arc<AtomicI64>) {
    let now = UtcDateTime::now().unix_timestamp();
    let ahead = Arc::new(AtomicI64::new(0));
    let hands = ahead.clone();
    let clock =
        move || UtcDateTime::from_unix_timestamp(now + hands.load(Ordering::Relaxed)).unwrap();
    (guard.clock(clock), ahead)
}

#[test]
fn narrowing_judges_by_its_own_moment() {
    let login = login();
    let (guard, ahead) = with_hands(Guard::new(ORDERS, login.issuer()));
    let grant = granted(&guard, &reader(&login));
    ahead.store(7, Ordering::Relaxed);
    let narrowed = guard.narrow(&grant, READ).now().unwrap().unwrap();
    assert_eq!((narrowed.at() - grant.at()).whole_seconds(), 7);
}

#[test]
fn a_grant_that_has_expired_is_not_narrowed() {
    let login = login();
    let (guard, ahead) = with_hands(Guard::new(ORDERS, login.issuer()));
    let other = guard.clone().limits(TokenLimits::default().max_audiences(1));
    let (sink, lines) = recorded(|event| event.reason().map_or("allowed", Reason::as_str).into());
    let guard = guard.audit(sink);
    let grant = granted(&guard, &reader(&login));
    // The token is valid for 5 minutes, and the leeway is 30 seconds.
    ahead.store(329, Ordering::Relaxed);
    for guard in [&guard, &other] {
        assert!(guard.narrow(&grant, READ).now().unwrap().is_ok());
    }
    for (seconds, requirement) in [(330, READ.into()), (345_600, Require::scope(WRITE))] {
        ahead.store(seconds, Ordering::Relaxed);
        for guard in [&guard, &other] {
            let denial = guard.narrow(&grant, requirement.clone()).now().unwrap().unwrap_err();
            assert_eq!(denial.reason(), Reason::TokenExpired, "after {seconds} seconds");
            assert_eq!(denial.status(), StatusCode::UNAUTHORIZED);
            let challenge = denial.challenge().unwrap().to_string();
            assert!(challenge.contains("The access token expired"), "{challenge}");
            assert!(challenge.contains(METADATA), "{challenge}");
            assert_eq!(denial.decision(), Some(grant.decision()));
        }
    }
    assert_eq!(*lines.lock().unwrap(), ["allowed", "allowed", "token_expired", "token_expired"]);
}

#[test]
fn narrowing_measures_every_age_at_its_own_moment() {
    let login = login();
    let (guard, ahead) = with_hands(Guard::new(ORDERS, login.issuer()));
    let token = reader(&login).authenticated(Duration::from_secs(100)).acr("phr");
    let grant = granted(&guard, &token);
    let recent = || Require::valid_token().max_age(Duration::from_secs(200));
    // The leeway of 30 seconds is added.
    for (seconds, expected) in [(129, None), (140, Some(Reason::AuthenticationTooOld))] {
        ahead.store(seconds, Ordering::Relaxed);
        let narrowed = guard.narrow(&grant, recent()).now().unwrap();
        assert_eq!(narrowed.err().map(|denial| denial.reason()), expected, "after {seconds}");
    }

    let (guard, ahead) = with_hands(Guard::new(ORDERS, login.issuer()).limits(young_limits()));
    let grant = granted(&guard, &reader(&login));
    for (seconds, expected) in [(89, None), (100, Some(Reason::TokenLifetimeExceeded))] {
        ahead.store(seconds, Ordering::Relaxed);
        let narrowed = guard.narrow(&grant, READ).now().unwrap();
        assert_eq!(narrowed.err().map(|denial| denial.reason()), expected, "after {seconds}");
    }
}

#[test]
fn what_is_left_of_a_grant_is_never_negative() {
    let login = login();
    let (guard, ahead) = with_hands(Guard::new(ORDERS, login.issuer()));
    let young = guard.clone().limits(young_limits());
    let token = reader(&login);
    let grants = [granted(&guard, &token), granted(&young, &token)];
    for (seconds, left) in [(0, [300, 60]), (59, [241, 1]), (60, [240, 0]), (300, [0, 0])] {
        ahead.store(seconds, Ordering::Relaxed);
        // Between the test's clock and that of its token there may be a second.
        let rounded = grants.each_ref().map(|grant| grant.expires_in().as_secs());
        for (seen, left) in rounded.into_iter().zip(left) {
            assert!((left..=left + 1).contains(&seen), "{seen} after {seconds}, not {left}");
        }
    }
    for seconds in [302, 345_600] {
        ahead.store(seconds, Ordering::Relaxed);
        assert_eq!(grants.each_ref().map(Grant::expires_in), [Duration::ZERO; 2]);
    }
    ahead.store(-345_600, Ordering::Relaxed);
    assert!(grants[0].expires_in() > Duration::from_secs(345_600));
}

#[cfg(feature = "remote")]
#[tokio::test(start_paused = true)]
async fn a_grant_tells_when_it_has_expired_by_the_clock_of_its_guard() {
    let login = login();
    let (guard, ahead) = with_hands(Guard::new(ORDERS, login.issuer()));
    let grant = granted(&guard, &reader(&login));
    for (seconds, left) in [(0, 300), (299, 1), (300, 0), (345_600, 0)] {
        ahead.store(seconds, Ordering::Relaxed);
        let expired = grant.expired();
        // Read when it is called, and not when it is polled.
        ahead.store(0, Ordering::Relaxed);
        let began = tokio::time::Instant::now();
        let waiting = tokio::spawn(expired);
        waiting.await.unwrap();
        let waited = began.elapsed().as_secs();
        assert!((left..=left + 1).contains(&waited), "{waited} after {seconds}, not {left}");
    }
}

#[test]
fn a_refusal_of_the_handler_is_final_at_any_time() {
    let login = login();
    let (sink, lines) = recorded(|event| {
        let reason = event.reason().map_or("allowed", Reason::as_str);
        format!("{reason} {}", event.at().unix_timestamp())
    });
    let (guard, ahead) = with_hands(Guard::new(ORDERS, login.issuer()).audit(sink));
    let grant = granted(&guard, &reader(&login));
    ahead.store(345_600, Ordering::Relaxed);
    let denial = guard.refuse(&grant);
    assert_eq!((denial.reason(), denial.status()), (Reason::PolicyDenied, StatusCode::FORBIDDEN));
    assert!(denial.challenge().is_none());
    let began = grant.at().unix_timestamp();
    let expected = [format!("allowed {began}"), format!("policy_denied {}", began + 345_600)];
    assert_eq!(*lines.lock().unwrap(), expected);
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
        format!("{} {reason} {}", event.step(), event.subject().unwrap().name())
    });
    let guard = Guard::new(ORDERS, login.issuer()).audit(sink);
    let grant = granted(&guard, &reader(&login));
    assert_eq!(guard.refuse(&grant).status(), 403);
    let expected = ["0 allowed alice", "1 policy_denied alice"];
    assert_eq!(*lines.lock().unwrap(), expected);
}
