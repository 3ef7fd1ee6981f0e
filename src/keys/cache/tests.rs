#![cfg(test)]

use super::*;

type Set = Vec<&'static str>;

impl CachedKeys for Set {
    fn contains_kid(&self, kid: Option<&str>) -> bool {
        kid.is_none_or(|kid| self.contains(&kid))
    }

    fn usable_count(&self) -> usize {
        self.len()
    }

    fn skipped_count(&self) -> usize {
        1
    }

    fn ids_missing_in(&self, other: &Self) -> Vec<String> {
        self.iter().filter(|id| !other.contains(id)).map(|id| (*id).to_owned()).collect()
    }
}

const NS: Duration = Duration::from_nanos(1);

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn set(keys: &[&'static str]) -> Set {
    keys.to_vec()
}

fn good(keys: &[&'static str], began: Timestamp) -> FetchResult<Set> {
    Ok(Fetched { keys: set(keys), max_age: None, began })
}

fn failed() -> FetchResult<Set> {
    Err("down".to_owned())
}

fn refused(said: &str) -> Lookup<Set> {
    Lookup::Refuse(Refusal::Failed(said.into()))
}

fn begins(cache: &mut Cache<Set>, kid: &str, now: Timestamp) -> u64 {
    match cache.lookup(Some(kid), now) {
        Lookup::Wait(PendingFetch { number: fetch, begin: true }) => {
            cache.stop_waiting();
            fetch
        }
        other => panic!("{kid} at {now:?}: {other:?}"),
    }
}

/// The cache of a tenant's keys.
fn of_tenant() -> Cache<Set> {
    let mut cache = Cache::new();
    cache.renew_while_used();
    cache
}

/// A cache that fetched the key `a` at the beginning.
fn fetched() -> Cache<Set> {
    let mut cache = Cache::new();
    let fetch = begins(&mut cache, "a", s(0));
    cache.end_fetch(fetch, good(&["a"], s(0)), s(0), 0.0);
    cache
}

fn uses(keys: &[&'static str]) -> Lookup<Set> {
    Lookup::Use { keys: set(keys), begin: None }
}

#[test]
fn the_first_request_begins_the_one_fetch_and_all_others_wait_for_it() {
    let mut cache: Cache<Set> = Cache::new();
    assert_eq!(
        cache.lookup(Some("a"), s(0)),
        Lookup::Wait(PendingFetch { number: 1, begin: true })
    );
    for kid in [Some("a"), Some("b"), None] {
        assert_eq!(cache.lookup(kid, s(1)), Lookup::Wait(PendingFetch { number: 1, begin: false }));
    }
    assert_eq!(cache.lookup_after_wait(Some("a"), 1, s(2)), Err(Refusal::TimedOut));
    cache.end_fetch(1, good(&["a"], s(0)), s(3), 0.0);
    assert_eq!(cache.lookup_after_wait(Some("a"), 1, s(3)), Ok(set(&["a"])));
    assert_eq!(cache.lookup_after_wait(None, 1, s(3)), Ok(set(&["a"])));
    // The set without the key is the answer, so that the key is not found.
    assert_eq!(cache.lookup_after_wait(Some("b"), 1, s(3)), Ok(set(&["a"])));
}

#[test]
fn a_known_key_never_waits_and_begins_the_renewal_once_it_is_due() {
    let mut cache = fetched();
    // 75 % of ten minutes, without jitter.
    assert_eq!(cache.lookup(Some("a"), s(450) - NS), uses(&["a"]));
    assert_eq!(cache.lookup(Some("a"), s(450)), Lookup::Use { keys: set(&["a"]), begin: Some(2) });
    assert_eq!(cache.lookup(Some("a"), s(451)), uses(&["a"]));
    assert_eq!(
        cache.lookup(Some("b"), s(451)),
        Lookup::Wait(PendingFetch { number: 2, begin: false })
    );
    cache.end_fetch(2, failed(), s(452), 0.0);
    assert_eq!(cache.lookup(Some("a"), s(452)), uses(&["a"]));
    assert_eq!(cache.lookup_after_wait(Some("a"), 2, s(452)), Ok(set(&["a"])));
    assert_eq!(cache.lookup_after_wait(Some("b"), 2, s(452)), Err(Refusal::Failed("down".into())));
}

#[test]
fn keys_are_used_until_stale_for_is_over_and_not_at_its_end() {
    let mut cache = fetched();
    let snapshot = cache.snapshot().unwrap();
    assert!(snapshot.is_valid_for(Some("a"), s(450) - NS));
    assert!(!snapshot.is_valid_for(Some("a"), s(450)), "then the cache is asked");
    assert!(!snapshot.is_valid_for(Some("b"), s(1)));
    assert_eq!(cache.lookup(Some("a"), s(450)), Lookup::Use { keys: set(&["a"]), begin: Some(2) });
    // While a fetch is in flight nothing changes, until it would be lost.
    let snapshot = cache.snapshot().unwrap();
    assert!(snapshot.is_valid_for(Some("a"), s(480) - NS));
    assert!(!snapshot.is_valid_for(Some("a"), s(480)));
    assert!(cache.usable(s(3600) - NS).is_some());
    assert!(cache.usable(s(3600)).is_none());
    assert_eq!(cache.lookup_after_wait(Some("a"), 2, s(3600) - NS), Ok(set(&["a"])));
    assert_eq!(cache.lookup_after_wait(Some("a"), 2, s(3600)), Err(Refusal::TimedOut));
    assert_eq!(
        cache.lookup(Some("a"), s(3600)),
        Lookup::Wait(PendingFetch { number: 3, begin: true })
    );
}

#[test]
fn a_snapshot_ends_with_its_keys_even_while_a_fetch_is_in_flight() {
    let mut cache = fetched();
    assert_eq!(begins(&mut cache, "b", s(3590)), 2);
    let snapshot = cache.snapshot().unwrap();
    assert!(snapshot.is_valid_for(Some("a"), s(3600) - NS));
    assert!(!snapshot.is_valid_for(Some("a"), s(3600)));
}

#[test]
fn stale_for_counts_from_when_the_successful_fetch_began() {
    let mut cache: Cache<Set> = Cache::new();
    cache.set_stale_for(s(60));
    assert_eq!(begins(&mut cache, "a", s(0)), 1);
    cache.end_fetch(1, good(&["a"], s(0)), s(20), 0.0);
    assert!(cache.usable(s(60) - NS).is_some());
    assert!(cache.usable(s(60)).is_none());
    assert_eq!(cache.status(s(20)).age, Some(s(20)));
}

#[test]
fn two_fetches_begin_within_thirty_seconds_however_they_end() {
    type End = fn(Timestamp) -> FetchResult<Set>;
    let ends: [End; 3] = [|at| good(&["a"], at), |at| good(&[], at), |_| failed()];
    for end in ends {
        let mut cache = of_tenant();
        assert_eq!(begins(&mut cache, "x1", s(10)), 1);
        cache.end_fetch(1, end(s(10)), s(10), 0.0);
        assert_eq!(begins(&mut cache, "x2", s(25)), 2);
        cache.end_fetch(2, end(s(25)), s(25), 0.0);
        for now in [s(25), s(30), s(40) - NS] {
            let lookup = cache.lookup(Some("x3"), now);
            assert!(!matches!(lookup, Lookup::Wait(_)), "{now:?} {lookup:?}");
        }
        // The window slides: the first fetch is out of it, the second is not.
        assert_eq!(begins(&mut cache, "x3", s(40)), 3);
        cache.end_fetch(3, end(s(40)), s(40), 0.0);
        let lookup = cache.lookup(Some("x4"), s(55) - NS);
        assert!(!matches!(lookup, Lookup::Wait(_)), "{lookup:?}");
        assert_eq!(begins(&mut cache, "x4", s(55)), 4);
    }
}

#[test]
fn renewals_and_unknown_ids_share_the_budget() {
    let mut cache = fetched();
    assert_eq!(begins(&mut cache, "b", s(445)), 2);
    cache.end_fetch(2, failed(), s(445), 0.0);
    assert_eq!(begins(&mut cache, "c", s(449)), 3);
    cache.end_fetch(3, failed(), s(449), 0.0);
    assert_eq!(cache.renew_if_due(s(475) - NS), None);
    assert!(cache.next_renewal_at() >= s(475));
}

#[test]
fn an_unknown_id_is_not_looked_for_again_for_thirty_seconds() {
    let mut cache = fetched();
    assert_eq!(begins(&mut cache, "b", s(100)), 2);
    cache.end_fetch(2, good(&["a"], s(100)), s(100), 0.0);
    // The budget would allow it.
    assert!(cache.has_budget(s(100)));
    for now in [s(100), s(129), s(130) - NS] {
        assert_eq!(cache.lookup(Some("b"), now), uses(&["a"]), "{now:?}");
    }
    assert_eq!(begins(&mut cache, "b", s(130)), 3);
    // Another id is looked for.
    cache.end_fetch(3, good(&["a"], s(130)), s(130), 0.0);
    assert_eq!(begins(&mut cache, "c", s(131)), 4);
    // A third cannot be looked for, so it does not count as missing.
    cache.end_fetch(4, good(&["a"], s(131)), s(131), 0.0);
    assert_eq!(cache.lookup(Some("d"), s(132)), Lookup::Refuse(Refusal::OverBudget));
    assert_eq!(cache.next_fetch_in(s(132)), s(28));
}

#[test]
fn an_id_is_known_as_soon_as_a_fetch_brings_it_even_if_it_was_missing() {
    let mut cache = fetched();
    assert_eq!(begins(&mut cache, "b", s(100)), 2);
    cache.end_fetch(2, good(&["a"], s(100)), s(100), 0.0);
    assert_eq!(begins(&mut cache, "c", s(101)), 3);
    cache.end_fetch(3, good(&["a", "b"], s(101)), s(101), 0.0);
    assert_eq!(cache.lookup(Some("b"), s(101)), uses(&["a", "b"]));
    assert!(cache.snapshot().unwrap().is_valid_for(Some("b"), s(101)));
}

#[test]
fn after_a_fetch_that_failed_no_id_counts_as_missing() {
    let mut cache = fetched();
    assert_eq!(begins(&mut cache, "b", s(100)), 2);
    cache.end_fetch(2, failed(), s(100), 0.0);
    // It is looked for again while the budget lasts, and refused after that.
    assert_eq!(begins(&mut cache, "b", s(101)), 3);
    cache.end_fetch(3, failed(), s(101), 0.0);
    assert_eq!(cache.lookup(Some("b"), s(102)), refused("down"));
    assert_eq!(cache.lookup(Some("c"), s(102)), refused("down"));
    assert_eq!(cache.lookup(Some("a"), s(102)), uses(&["a"]));
    assert_eq!(begins(&mut cache, "b", s(130)), 4);
    cache.end_fetch(4, good(&["a"], s(130)), s(130), 0.0);
    assert_eq!(cache.lookup_after_wait(Some("b"), 4, s(130)), Ok(set(&["a"])));
}

#[test]
fn the_list_of_missing_ids_is_bounded() {
    let mut cache = fetched();
    for round in 0..10_000_u64 {
        let now = s(100) + Duration::from_millis(round * 100);
        if let Lookup::Wait(PendingFetch { number: fetch, begin }) =
            cache.lookup(Some(&format!("x{round}")), now)
        {
            assert!(begin);
            cache.stop_waiting();
            cache.end_fetch(fetch, good(&["a"], now), now, 0.0);
        }
        assert!(cache.missing_ids.len() <= 6, "{}", cache.missing_ids.len());
    }
}

#[test]
fn a_request_beyond_256_that_wait_is_refused_until_one_stops_waiting() {
    let mut cache: Cache<Set> = Cache::new();
    assert_eq!(
        cache.lookup(Some("a"), s(0)),
        Lookup::Wait(PendingFetch { number: 1, begin: true })
    );
    for _ in 1..MAX_WAITING {
        assert_eq!(
            cache.lookup(Some("a"), s(0)),
            Lookup::Wait(PendingFetch { number: 1, begin: false })
        );
    }
    assert_eq!(cache.lookup(Some("a"), s(0)), Lookup::Refuse(Refusal::TooManyWaiting));
    cache.stop_waiting();
    assert_eq!(
        cache.lookup(Some("a"), s(0)),
        Lookup::Wait(PendingFetch { number: 1, begin: false })
    );
    assert_eq!(cache.lookup(Some("a"), s(0)), Lookup::Refuse(Refusal::TooManyWaiting));
    for _ in 0..MAX_WAITING + 10 {
        cache.stop_waiting();
    }
    assert_eq!(
        cache.lookup(Some("a"), s(0)),
        Lookup::Wait(PendingFetch { number: 1, begin: false })
    );
}

#[test]
fn no_fetch_begins_for_a_request_that_may_not_wait() {
    let mut cache: Cache<Set> = Cache::new();
    for _ in 0..MAX_WAITING {
        let _ = cache.lookup(Some("a"), s(0));
    }
    cache.end_fetch(1, failed(), s(1), 0.0);
    assert_eq!(cache.lookup(Some("a"), s(1)), Lookup::Refuse(Refusal::TooManyWaiting));
    assert_eq!(cache.status(s(1)).fetches, 1);
}

#[test]
fn a_fetch_is_lost_after_thirty_seconds_and_another_may_begin() {
    let mut cache: Cache<Set> = Cache::new();
    assert_eq!(begins(&mut cache, "a", s(0)), 1);
    let lookup = cache.lookup(Some("a"), s(30) - NS);
    assert_eq!(lookup, Lookup::Wait(PendingFetch { number: 1, begin: false }));
    assert_eq!(
        cache.lookup(Some("a"), s(30)),
        Lookup::Wait(PendingFetch { number: 2, begin: true })
    );
    assert_eq!(cache.status(s(30)).last_error.as_deref(), Some("the fetch never ended"));
}

#[test]
fn before_the_first_keys_attempts_begin_after_1_2_4_8_and_then_15_seconds() {
    for (jitter, factor) in [(0.0, 0.7), (0.5, 0.825), (1.0, 0.95)] {
        let mut cache: Cache<Set> = Cache::new();
        let (mut fetch, mut now) = (begins(&mut cache, "a", s(5)), s(5));
        for pause in [1, 2, 4, 8, 15, 15, 15, 15] {
            // However it ends, and however long it takes.
            let end = [failed(), good(&[], now)].into_iter().nth(fetch as usize % 2).unwrap();
            let ended = now + Duration::from_millis(600);
            cache.end_fetch(fetch, end, ended, jitter);
            let next = now + s(pause).mul_f64(factor);
            for now in [ended, next - NS] {
                let lookup = cache.lookup(Some("a"), now);
                assert!(matches!(lookup, Lookup::Refuse(Refusal::Failed(_))), "{lookup:?}");
                assert_eq!(cache.warm_up(now), None);
                assert_eq!(cache.after_fetch(fetch, now, false), NextStep::Wait(next));
            }
            assert_eq!(cache.next_fetch_in(ended), next - ended);
            assert_eq!(cache.after_fetch(fetch, next, false), NextStep::Fetch(fetch + 1));
            (fetch, now) = (fetch + 1, next);
        }
        // The first good set is the first fetch of the window.
        cache.end_fetch(fetch, good(&["a"], now), now, jitter);
        assert_eq!(cache.lookup(Some("a"), now), uses(&["a"]));
        assert_eq!(begins(&mut cache, "b", now), fetch + 1);
        cache.end_fetch(fetch + 1, failed(), now, jitter);
        assert_eq!(cache.lookup(Some("c"), now + s(30) - NS), refused("down"));
        assert_eq!(begins(&mut cache, "c", now + s(30)), fetch + 2);
    }
}

#[test]
fn an_attempt_that_takes_longer_than_the_pause_is_followed_by_the_next_at_once() {
    let mut cache: Cache<Set> = Cache::new();
    let fetch = begins(&mut cache, "a", s(0));
    assert_eq!(cache.after_fetch(fetch, s(10), false), NextStep::End, "it has not ended");
    cache.end_fetch(fetch, failed(), s(10), 1.0);
    assert_eq!(cache.after_fetch(fetch, s(10), false), NextStep::Fetch(2));
}

#[test]
fn a_request_begins_the_attempt_that_is_due_if_its_task_has_ended() {
    let mut cache: Cache<Set> = Cache::new();
    let fetch = begins(&mut cache, "a", s(0));
    cache.end_fetch(fetch, failed(), s(0), 1.0);
    assert_eq!(cache.lookup(Some("a"), Duration::from_millis(949)), refused("down"));
    assert_eq!(begins(&mut cache, "a", Duration::from_millis(950)), 2);
    // The task of the first one, if there is one, leaves the rest to the second.
    assert_eq!(cache.after_fetch(fetch, s(1), false), NextStep::End);
}

#[test]
fn the_keys_of_a_tenant_are_renewed_if_they_were_used_and_not_otherwise() {
    let mut cache = of_tenant();
    let mut fetch = begins(&mut cache, "a", s(0));
    let mut now = s(0);
    for _ in 0..3 {
        cache.end_fetch(fetch, good(&["a"], now), now, 0.0);
        for was_used in [false, true] {
            let step = cache.after_fetch(fetch, now, was_used);
            assert_eq!(step, NextStep::Wait(now + s(450)), "{was_used}");
        }
        now += s(450);
        assert_eq!(cache.after_fetch(fetch, now, true), NextStep::Fetch(fetch + 1));
        fetch += 1;
    }
    cache.end_fetch(fetch, good(&["a"], now), now, 0.0);
    assert_eq!(cache.after_fetch(fetch, now + s(450), false), NextStep::End);
    // It begins again with the next request, which does not wait.
    let begun = Lookup::Use { keys: set(&["a"]), begin: Some(fetch + 1) };
    assert_eq!(cache.lookup(Some("a"), now + s(3000)), begun);
    cache.end_fetch(fetch + 1, good(&["a"], now + s(3000)), now + s(3000), 0.0);
    let step = cache.after_fetch(fetch + 1, now + s(3000), false);
    assert_eq!(step, NextStep::Wait(now + s(3450)));
}

#[test]
fn a_fetch_for_a_tenant_that_brings_no_keys_is_repeated_by_no_task() {
    for end in [failed(), good(&[], s(0))] {
        let mut cache = of_tenant();
        let fetch = begins(&mut cache, "a", s(0));
        cache.end_fetch(fetch, end, s(0), 0.0);
        for (now, was_used) in [(s(0), true), (s(3600), true), (s(3600), false)] {
            assert_eq!(cache.after_fetch(fetch, now, was_used), NextStep::End);
        }
        assert_eq!(begins(&mut cache, "a", s(1)), 2);
    }
}

#[test]
fn a_late_answer_never_overwrites_a_newer_one() {
    for late in [good(&["old"], s(0)), failed()] {
        let mut cache: Cache<Set> = Cache::new();
        assert_eq!(begins(&mut cache, "a", s(0)), 1);
        assert_eq!(begins(&mut cache, "a", s(30)), 2);
        cache.end_fetch(2, good(&["a"], s(30)), s(31), 0.0);
        cache.end_fetch(1, late, s(32), 0.0);
        assert_eq!(cache.lookup(Some("a"), s(32)), uses(&["a"]));
        assert_eq!(cache.status(s(32)).last_error, None);
        assert_eq!(cache.after_fetch(1, s(40), true), NextStep::End);
        assert_eq!(cache.after_fetch(2, s(40), true), NextStep::Wait(s(480)));
    }
}

#[test]
fn the_answer_of_a_lost_fetch_is_used_until_a_newer_one_is_there() {
    let mut cache: Cache<Set> = Cache::new();
    assert_eq!(begins(&mut cache, "a", s(0)), 1);
    assert_eq!(begins(&mut cache, "a", s(30)), 2);
    cache.end_fetch(1, good(&["a"], s(0)), s(31), 0.0);
    assert_eq!(cache.lookup(Some("a"), s(31)), uses(&["a"]));
    // The newer one is still in flight, and the only one.
    assert_eq!(
        cache.lookup(Some("b"), s(31)),
        Lookup::Wait(PendingFetch { number: 2, begin: false })
    );
    assert_eq!(cache.after_fetch(1, s(31), true), NextStep::End, "the newer one renews");
    cache.end_fetch(2, good(&["b"], s(30)), s(32), 0.0);
    assert_eq!(cache.lookup(Some("b"), s(32)), uses(&["b"]));
    assert_eq!(cache.after_fetch(2, s(32), true), NextStep::Wait(s(480)));
}

#[test]
fn a_withdrawn_key_is_gone_after_a_fetch_without_it() {
    let mut cache = fetched();
    assert_eq!(cache.renew_if_due(s(450)), Some(2));
    cache.end_fetch(2, good(&["b"], s(450)), s(451), 0.0);
    assert!(!cache.snapshot().unwrap().is_valid_for(Some("a"), s(451)));
    // It counts as missing.
    assert_eq!(cache.lookup(Some("a"), s(451)), uses(&["b"]));
    assert_eq!(begins(&mut cache, "a", s(481)), 3);
}

#[test]
fn a_set_without_a_usable_key_withdraws_the_keys_and_makes_no_id_missing() {
    let mut cache = fetched();
    assert_eq!(cache.renew_if_due(s(450)), Some(2));
    cache.end_fetch(2, good(&[], s(450)), s(451), 0.0);
    assert!(cache.snapshot().is_none());
    assert!(cache.usable(s(451)).is_none());
    assert_eq!(cache.status(s(451)).state, KeyState::Fresh);
    // Within the budget, a request looks for keys. Beyond it, no id is said to be missing.
    assert_eq!(begins(&mut cache, "a", s(452)), 3);
    cache.end_fetch(3, good(&[], s(452)), s(452), 0.0);
    let none = Err(Refusal::Failed(NO_USABLE_KEY.into()));
    for kid in [Some("a"), Some("b"), None] {
        assert_eq!(cache.lookup(kid, s(453)), refused(NO_USABLE_KEY));
        assert_eq!(cache.lookup_after_wait(kid, 3, s(453)), none);
    }
    assert_eq!(cache.next_renewal_at(), s(482));
    assert_eq!(cache.renew_if_due(s(482)), Some(4));
    cache.end_fetch(4, good(&["a"], s(482)), s(482), 0.0);
    assert_eq!(cache.lookup(Some("a"), s(482)), uses(&["a"]));
}

#[test]
fn keys_are_fresh_for_as_long_as_the_issuer_says_within_bounds() {
    let cases = [
        (None, 600),
        (Some(Duration::ZERO), 300),
        (Some(s(300) - NS), 300),
        (Some(s(301)), 301),
        (Some(s(86_400)), 86_400),
        (Some(s(86_401)), 86_400),
        (Some(Duration::MAX), 86_400),
    ];
    for (max_age, ttl) in cases {
        let mut cache: Cache<Set> = Cache::new();
        cache.set_stale_for(Duration::MAX);
        assert_eq!(begins(&mut cache, "a", s(10)), 1);
        cache.end_fetch(1, Ok(Fetched { keys: set(&["a"]), max_age, began: s(10) }), s(11), 0.0);
        let state = |now| cache.status(now).state;
        assert_eq!(state(s(10 + ttl) - NS), KeyState::Fresh, "{max_age:?}");
        assert_eq!(state(s(10 + ttl)), KeyState::Stale, "{max_age:?}");
        assert_eq!(state(Duration::MAX - NS), KeyState::Stale);
        assert_eq!(cache.next_renewal_at(), s(10) + s(ttl).mul_f64(0.75), "{max_age:?}");
    }
}

#[test]
fn keys_are_fresh_for_at_most_half_of_stale_for() {
    let mut cache: Cache<Set> = Cache::new();
    cache.set_stale_for(s(60));
    assert_eq!(begins(&mut cache, "a", s(0)), 1);
    let max_age = Some(s(86_400));
    cache.end_fetch(1, Ok(Fetched { keys: set(&["a"]), max_age, began: s(0) }), s(0), 1.0);
    assert_eq!(cache.status(s(30) - NS).state, KeyState::Fresh);
    assert_eq!(cache.status(s(60) - NS).state, KeyState::Stale);
    assert_eq!(cache.status(s(60)).state, KeyState::Expired);
    assert_eq!(cache.next_renewal_at(), s(27));
}

#[test]
fn keys_are_renewed_before_they_are_stale_at_a_time_that_varies() {
    for (jitter, at) in [(0.0, 450), (0.5, 495), (1.0, 540), (7.0, 540), (-7.0, 450)] {
        let mut cache: Cache<Set> = Cache::new();
        assert_eq!(begins(&mut cache, "a", s(0)), 1);
        cache.end_fetch(1, good(&["a"], s(0)), s(1), jitter);
        let off = cache.next_renewal_at().abs_diff(s(at));
        assert!(off < Duration::from_micros(1), "{jitter} {:?}", cache.next_renewal_at());
    }
}

#[test]
fn failures_make_the_pause_longer_up_to_five_minutes_and_success_ends_it() {
    let mut cache = fetched();
    let mut now = s(450);
    for (round, pause) in [30, 60, 120, 240, 300, 300, 300].into_iter().enumerate() {
        let fetch = cache.renew_if_due(now).unwrap();
        let jitter = [0.0, 1.0][round % 2];
        cache.end_fetch(fetch, failed(), now, jitter);
        let least = s(pause).mul_f64([0.75, 1.0][round % 2]);
        assert_eq!(cache.next_renewal_at(), now + least, "{round}");
        now = cache.next_renewal_at();
        assert_eq!(cache.renew_if_due(now - NS), None);
    }
    let fetch = cache.renew_if_due(now).unwrap();
    cache.end_fetch(fetch, good(&["a"], now), now, 0.0);
    assert_eq!(cache.next_renewal_at(), now + s(450));
    assert_eq!(cache.status(now).last_error, None);
}

#[test]
fn the_pause_is_for_renewals_and_a_request_without_keys_does_not_wait_for_it() {
    let mut cache = fetched();
    let mut now = s(450);
    while cache.usable(now).is_some() {
        let fetch = cache.renew_if_due(now).unwrap();
        cache.end_fetch(fetch, failed(), now, 1.0);
        now = cache.next_renewal_at();
    }
    assert_eq!(cache.status(now).state, KeyState::Expired);
    let fetch = begins(&mut cache, "a", now);
    cache.end_fetch(fetch, failed(), now, 1.0);
    assert!(cache.next_renewal_at() >= now + s(300));
    assert_eq!(begins(&mut cache, "a", now + s(1)), fetch + 1);
    cache.end_fetch(fetch + 1, good(&["a"], now), now + s(1), 1.0);
    assert_eq!(cache.lookup(Some("a"), now + s(1)), uses(&["a"]));
}

#[test]
fn a_fetch_that_never_ended_counts_as_failed() {
    let mut cache = fetched();
    assert_eq!(cache.renew_if_due(s(450)), Some(2));
    assert_eq!(cache.renew_if_due(s(480) - NS), None);
    assert_eq!(cache.renew_if_due(s(480)), Some(3));
    assert_eq!(cache.status(s(480)).last_error.as_deref(), Some("the fetch never ended"));
    cache.end_fetch(3, good(&["a"], s(480)), s(481), 0.0);
    assert_eq!(cache.status(s(481)).last_error, None);
}

#[test]
fn the_status_reports_state_age_and_counts() {
    let mut cache: Cache<Set> = Cache::new();
    assert_eq!(cache.status(s(5)).state, KeyState::Missing);
    assert_eq!(cache.status(s(5)).age, None);
    assert_eq!(begins(&mut cache, "a", s(5)), 1);
    cache.end_fetch(1, good(&["a", "b"], s(5)), s(6), 0.0);
    let status = cache.status(s(7));
    assert_eq!((status.state, status.age), (KeyState::Fresh, Some(s(2))));
    assert_eq!((status.keys, status.skipped, status.fetches), (2, 1, 1));
    assert_eq!(cache.status(s(605)).state, KeyState::Stale);
    assert_eq!(cache.status(s(3605)).state, KeyState::Expired);
}

#[test]
fn a_clock_reading_that_is_a_little_old_breaks_nothing() {
    let mut cache = fetched();
    assert_eq!(begins(&mut cache, "b", s(100)), 2);
    // The clock was read before the fetch began, and the cache asked after.
    assert_eq!(
        cache.lookup(Some("c"), s(99)),
        Lookup::Wait(PendingFetch { number: 2, begin: false })
    );
    cache.end_fetch(2, good(&["a"], s(100)), s(99), 0.0);
    assert_eq!(cache.status(s(98)).age, Some(s(0)));
    assert_eq!(cache.lookup(Some("a"), s(98)), uses(&["a"]));
    assert_eq!(begins(&mut cache, "d", s(99)), 3);
    assert_eq!(cache.renew_if_due(s(98)), None);
}

#[test]
fn no_time_is_too_long() {
    let end = Duration::MAX;
    let mut cache: Cache<Set> = Cache::new();
    cache.set_stale_for(Duration::MAX);
    assert_eq!(begins(&mut cache, "a", end - s(40)), 1);
    let max_age = Some(Duration::MAX);
    let outcome = Ok(Fetched { keys: set(&["a"]), max_age, began: end - s(40) });
    cache.end_fetch(1, outcome, end - s(30), 1.0);
    assert_eq!(cache.lookup(Some("a"), end - s(1)), uses(&["a"]));
    assert_eq!(begins(&mut cache, "b", end - s(1)), 2);
    cache.end_fetch(2, failed(), end - s(1), 1.0);
    assert_eq!(cache.next_renewal_at(), end);
    assert!(cache.snapshot().unwrap().is_valid_for(Some("a"), end - s(1)));
}
