#![deny(unused_must_use)]

use unconfused::replay::{ReplayEntry, ReplayStore, StoreUnavailable};

async fn spend(store: &dyn ReplayStore, entry: ReplayEntry) -> Result<(), StoreUnavailable> {
    // `Again` is not an error of the store
    store.insert(entry).await?;
    Ok(())
}

fn spend_without_waiting(store: &dyn ReplayStore, entry: ReplayEntry) {
    store.insert(entry);
}

fn main() {}
