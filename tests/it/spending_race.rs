//! One proof, and one token that is spent, offered by many at once to two guards over one store in memory. The same
//! over Redis is in `redis.rs`.

use std::sync::Arc;
use std::time::Instant;

use time::UtcDateTime;
use unconfused::replay::MemoryReplayStore;

use crate::common::race;

async fn run(rounds: usize) {
    let login = race::login();
    // A store that has remembered for long.
    let store = Arc::new(MemoryReplayStore::new_at(UtcDateTime::UNIX_EPOCH));
    let guards = [(); 2].map(|()| race::guard(&login, race::dpop(), || store.clone()));
    let began = Instant::now();
    let passed = race::race(&login, guards, rounds).await;
    eprintln!(
        "{rounds} rounds in {:?}; each guard let pass [proofs, tokens]: {passed:?}",
        began.elapsed()
    );
    assert!(passed.as_flattened().iter().all(|passed| *passed > 0), "{passed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixty_four_tasks_at_two_guards_one_passes() {
    run(20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute or more; .ci/run runs it"]
async fn of_sixty_four_tasks_at_two_guards_one_passes_in_each_of_a_thousand_rounds() {
    run(1000).await;
}
