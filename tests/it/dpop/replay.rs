//! Each proof is accepted once.

use super::*;

#[test]
fn a_proof_is_accepted_once() {
    let raw = bound().sign();
    let guard = proof_guard();
    let proof = proof(&raw);
    assert_eq!(reason(ask_with_proof(&guard, &raw, &proof, READ)), None);
    let again = Some(Reason::DpopProofReplayed);
    assert_eq!(reason(ask_with_proof(&guard, &raw, &proof, READ)), again);
    // By a clone, signed anew, for another requirement.
    assert_eq!(reason(ask_with_proof(&guard.clone(), &raw, &proof, READ)), again);
    assert_eq!(reason(ask_with_proof(&guard, &raw, &proof.clone().claim("x", 1), READ)), again);
    assert_eq!(reason(ask_with_proof(&guard, &raw, &proof, WRITE)), again);
    // Another proof of the same key is another.
    assert_eq!(reason(ask_with_proof(&guard, &raw, &common::proof(&raw), READ)), None);
}

#[test]
fn a_proof_of_a_request_that_was_denied_for_its_scope_is_used_up() {
    let raw = bound().sign();
    let guard = proof_guard();
    let proof = proof(&raw);
    let lacks = ask_with_proof(&guard, &raw, &proof, WRITE);
    assert_eq!(reason(lacks), Some(Reason::InsufficientScope));
    let again = ask_with_proof(&guard, &raw, &proof, READ);
    assert_eq!(reason(again), Some(Reason::DpopProofReplayed));
}

#[test]
fn one_jti_under_two_keys_is_two_proofs() {
    let guard = proof_guard();
    let ours = bound().sign();
    let theirs = token().scope("orders:read").bound_to(other_key()).sign();
    assert!(ask_with_proof(&guard, &ours, &proof(&ours).claim("jti", "1"), READ).is_ok());
    let proof = other_key().proof("GET", URL).issued_at(now()).token(&theirs).claim("jti", "1");
    assert!(ask_with_proof(&guard, &theirs, &proof, READ).is_ok());
}

#[test]
fn guards_over_one_store_accept_a_proof_once_between_them() {
    let store = Arc::new(store());
    let raw = bound().sign();
    let first = guard().dpop(dpop(), store.clone());
    let second = guard()
        .dpop(dpop().window(secs(60), secs(5)), store.clone())
        .limits(TokenLimits::default().leeway(secs(1)));
    let proof = proof(&raw);
    assert_eq!(reason(ask_with_proof(&first, &raw, &proof, READ)), None);
    let again = ask_with_proof(&second, &raw, &proof, READ);
    assert_eq!(reason(again), Some(Reason::DpopProofReplayed));
    assert_eq!(store.len(), 1);
}

#[test]
fn a_store_answers_for_itself() {
    let raw = bound().sign();
    let denied = |answer: fn() -> Result<Remembered, StoreUnavailable>| {
        let (store, asked) = store_that(answer);
        let denial = ask_with_proof(&guard().dpop(dpop(), store), &raw, &proof(&raw), READ);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        denial.unwrap_err()
    };
    let again = denied(|| Ok(Remembered::Again));
    assert_eq!(again.reason(), Reason::DpopProofReplayed);
    assert_eq!(
        challenges(&again),
        [format!(
            r#"DPoP error="invalid_dpop_proof", error_description="The DPoP proof has already been used", {ALGS}, {METADATA}"#
        )]
    );

    let forgotten = denied(|| Ok(Remembered::BeforeEpoch));
    assert_eq!(forgotten.reason(), Reason::DpopProofStale);
    assert!(forgotten.for_operator().to_string().contains("before the store began"), "{forgotten}");

    let down = denied(|| Err(StoreUnavailable::new("connection refused")));
    assert_eq!(down.reason(), Reason::ReplayStoreUnavailable);
    assert_eq!(down.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(down.for_operator().to_string().contains("connection refused"), "{down}");

    let full = denied(|| Ok(Remembered::ShareFull));
    assert_eq!(full.reason(), Reason::RateLimited);
    assert_eq!(full.status(), StatusCode::TOO_MANY_REQUESTS);
    for denial in [down, full] {
        let headers = denial.headers();
        assert!(headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
        assert!(!headers.contains_key("www-authenticate"));
        assert_eq!(denial.reason().remedy(), Remedy::RetryLater);
        let problem = denial.problem_json();
        assert!(!problem.contains("refused"), "{problem}");
    }
}

#[test]
fn a_store_that_began_just_now_knows_nothing_of_before() {
    let raw = bound().sign();
    let guard = guard().dpop(dpop(), MemoryReplayStore::new_at(now()));
    for offset in [-60, 0, 10] {
        let denied = ask_with_proof(&guard, &raw, &proof(&raw).issued_at(at(offset)), READ);
        assert_eq!(reason(denied), Some(Reason::DpopProofStale), "{offset}");
    }
    let later = guard.clock(|| at(11));
    assert!(ask_with_proof(&later, &raw, &proof(&raw).issued_at(at(11)), READ).is_ok());
}

#[test]
fn one_client_of_a_subject_has_half_of_its_share_of_a_memory_store() {
    let store = MemoryReplayStore::with_capacity_at(40, at(-1000)).max_share_percent(20);
    let guard = guard().dpop(dpop(), store);
    let raw = bound().sign();
    for _ in 0..4 {
        assert!(ask_with_proof(&guard, &raw, &proof(&raw), READ).is_ok());
    }
    let full = ask_with_proof(&guard, &raw, &proof(&raw), READ);
    assert_eq!(reason(full), Some(Reason::RateLimited));
    // Another key of that client has no share of its own, and another subject has.
    let with_other_key = |subject: Option<&str>| {
        let token = token().scope("orders:read").bound_to(other_key());
        let raw = subject.map_or(token.clone(), |subject| token.subject(subject)).sign();
        let proof = other_key().proof("GET", URL).issued_at(now()).token(&raw);
        reason(ask_with_proof(&guard, &raw, &proof, READ))
    };
    assert_eq!(with_other_key(None), Some(Reason::RateLimited));
    assert_eq!(with_other_key(Some("someone else")), None);
}

#[test]
fn a_full_memory_store_is_unavailable() {
    let store = MemoryReplayStore::with_capacity_at(2, at(-1000)).max_share_percent(100);
    let guard = guard().dpop(dpop(), store);
    let ask_for = |subject: &str| {
        let raw = bound().subject(subject).sign();
        reason(ask_with_proof(&guard, &raw, &proof(&raw), READ))
    };
    assert_eq!(ask_for("alice"), None);
    assert_eq!(ask_for("bob"), None);
    assert_eq!(ask_for("carol"), Some(Reason::ReplayStoreUnavailable));
}
