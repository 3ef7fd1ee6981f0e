//! A transaction is spent once: by whatever token, at whichever guard, and only by the request that was approved.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::Barrier;
use unconfused::Answer;
use unconfused::approvals::TransactionKey;
use unconfused::replay::{
    MemoryReplayStore, Remembered, ReplayAnswer, ReplayEntry, ReplayStore, StoreUnavailable,
};

use super::*;

#[test]
fn a_second_token_for_one_transaction_is_a_second_use() {
    let guard = approving();
    let challenge = challenged(&guard, &ordinary(), approved_refund());
    // The server issues two, each with an id of its own.
    let (one, other) = (issued(login(), &challenge, now()), issued(login(), &challenge, now()));
    assert!(send(&guard, &one, approved_refund()).is_ok());
    assert_eq!(reason(&guard, &other, approved_refund()), Some(Reason::TokenSpent));
    assert_eq!(reason(&guard, &one, approved_refund()), Some(Reason::TokenSpent));
}

#[test]
fn a_store_that_began_later_accepts_no_older_transaction() {
    let store = |offset| MemoryReplayStore::new_at(at(offset));
    let guard = guard_over(store(-100));
    let challenge = challenged(&guard, &ordinary(), approved_refund());
    // The token is issued after the store began again. Its transaction was made before.
    let restarted = guard_over(store(60)).clock(|| at(120));
    let token = issued(login(), &challenge, at(110));
    let denial = send(&restarted, &token, approved_refund()).unwrap_err();
    assert_eq!(denial.reason(), Reason::TokenSpent);
    let anew = issued(
        login(),
        &challenged(&restarted, &ordinary().issued_at(at(120)), approved_refund()),
        at(120),
    );
    assert!(send(&restarted, &anew, approved_refund()).is_ok());
}

#[test]
fn an_outage_and_a_denied_comparison_leave_the_approval_unspent() {
    let (down, asked) = store_that(|| Err(StoreUnavailable::new("down")));
    let broken = guard_over(down);
    let guard = approving();
    let token = approved(&guard);
    let denial = send(&broken, &token, approved_refund()).unwrap_err();
    assert_eq!((denial.reason(), denial.status().as_u16()), (Reason::ReplayStoreUnavailable, 503));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let other = Require::detail(refund().with("order", 8).approved());
    assert_eq!(
        reason(&broken, &token, other.clone()),
        Some(Reason::AuthorizationDetailsInsufficient)
    );
    assert_eq!(asked.load(Ordering::SeqCst), 1, "nothing is asked of the store before");
    assert_eq!(reason(&guard, &token, other), Some(Reason::AuthorizationDetailsInsufficient));
    assert!(send(&guard, &token, approved_refund()).is_ok());
}

#[test]
fn the_entry_is_one_for_all_guards_of_a_resource() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = seen.clone();
    let store = move |entry: ReplayEntry| -> ReplayAnswer {
        sink.lock().unwrap().push(entry);
        Answer::Now(Ok(Remembered::First))
    };
    let guard = guard_over(store);
    let challenge = challenged(&guard, &ordinary(), approved_refund());
    // Also if the requirement spends the token anyway.
    for (token, requirement) in [
        (issued(login(), &challenge, now()), approved_refund()),
        (issued(login(), &challenge, at(-20)), approved_refund().single_use()),
    ] {
        assert!(send(&guard, &token, requirement).is_ok());
    }
    let seen = seen.lock().unwrap();
    let [one, other] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(one.key(), other.key());
    // Dated by the transaction, not by the tokens.
    assert_eq!(one.issued_at(), at(-2));
    assert_eq!(other.issued_at(), at(-2));
    assert!(one.expires_at() >= at(75 * 60) && one.expires_at() == other.expires_at());
}

#[test]
fn replicas_share_a_key_and_a_store() {
    let store = Arc::new(store());
    let replica = |key: TransactionKey, kid: &str| {
        let approvals = Approvals::new(SigningKey::generate(Algorithm::Es256, kid), key, LOGIN);
        guard_over(store.clone()).approvals(approvals)
    };
    let new = |key: u8| TransactionKey::new([key; 32]);
    let one = replica(new(1), "a");
    let token = approved(&one);
    // Another key does not know it, the previous key does, once.
    let stranger = replica(new(2), "b");
    assert_eq!(reason(&stranger, &token, approved_refund()), Some(Reason::TransactionUnknown));
    let renewed = replica(new(2).previous([1; 32]), "c");
    assert!(send(&renewed, &token, approved_refund()).is_ok());
    let same = replica(new(1), "d");
    assert_eq!(reason(&same, &token, approved_refund()), Some(Reason::TokenSpent));
    // New ones are made with the new key.
    let token = approved(&renewed);
    assert_eq!(reason(&one, &token, approved_refund()), Some(Reason::TransactionUnknown));
    assert!(send(&stranger, &token, approved_refund()).is_ok());
}

/// A store that answers later, like one behind a network.
pub(super) fn slow(memory: Arc<MemoryReplayStore>) -> impl ReplayStore {
    move |entry: ReplayEntry| -> ReplayAnswer {
        let memory = memory.clone();
        Answer::later(async move {
            tokio::task::yield_now().await;
            memory.insert(entry).await
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixteen_uses_at_two_guards_one_passes() {
    let memory = Arc::new(store());
    let guards = [(); 2].map(|()| guard_over(slow(memory.clone())));
    for _ in 0..20 {
        let challenge = challenged(&guards[0], &ordinary(), approved_refund());
        let barrier = Arc::new(Barrier::new(16));
        let tasks: Vec<_> = (0..16)
            .map(|index| {
                let (guard, barrier) = (guards[index % 2].clone(), barrier.clone());
                let token = issued(login(), &challenge, now());
                tokio::spawn(async move {
                    let mut head = request(&token);
                    barrier.wait().await;
                    guard.authorize(&mut head, approved_refund()).await.map_err(|it| it.reason())
                })
            })
            .collect();
        let mut passed = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(_) => passed += 1,
                Err(reason) => assert_eq!(reason, Reason::TokenSpent),
            }
        }
        assert_eq!(passed, 1);
    }
}

#[tokio::test]
async fn of_several_narrows_of_one_request_one_spends() {
    let guard = guard_over(slow(Arc::new(store())));
    let token = approved(&guard);
    let layer = Require::scope(REFUND);
    let mut head = request(&token);
    // As behind a layer that is approvable.
    let grant = crate::approvals::elsewhere::through_approvable(&guard, &mut head, layer);
    let ask = || guard.narrow(&grant, Require::detail(refund().approved()));
    let (one, other) = tokio::join!(ask(), ask());
    let reasons = [one, other].map(|answer| answer.err().map(|denial| denial.reason()));
    assert_eq!(reasons.iter().filter(|reason| reason.is_none()).count(), 1, "{reasons:?}");
    assert!(reasons.contains(&Some(Reason::TokenSpent)));
}

#[test]
fn a_layer_that_spends_tokens_does_not_spend_the_transaction() {
    let guard = approving();
    let challenge = challenged(&guard, &ordinary(), approved_refund());
    let narrow = |token: &TestToken| {
        let layer = Require::scope(REFUND).single_use();
        let mut head = request(token);
        let grant = crate::approvals::elsewhere::through_approvable(&guard, &mut head, layer);
        guard.narrow(&grant, Require::detail(refund().approved())).now().unwrap()
    };
    // Each token is spent by the layer. The transaction is spent by the first.
    assert!(narrow(&issued(login(), &challenge, now())).is_ok());
    let second = narrow(&issued(login(), &challenge, now())).unwrap_err();
    assert_eq!(second.reason(), Reason::TokenSpent);
}
