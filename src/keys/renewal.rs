//! Runs the fetches that the cache asks for, each in a task, and lets requests wait for them.

use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, timeout};

use super::cache::{
    Cache, CachedKeys, FetchResult, Lookup, MAX_WAIT, NextStep, PendingFetch, Refusal, Snapshot,
    Timestamp,
};
use super::fetch::{Fetcher, lock};
use super::runtime;
use super::source::{Keys, KeysUnavailable};
use super::status::KeyStatus;
use crate::answer::Answer;
use crate::jose::{KeySet, KeySetId};
use crate::token::KeyHint;

/// The limit of a whole fetch: the metadata at up to three URLs, and the keys.
const FETCH_TIMEOUT: Duration = Duration::from_secs(25);

/// The keys of one issuer, and the tasks that renew them.
pub(super) struct Renewal {
    fetcher: Arc<Fetcher>,
    cache: Mutex<Cache<KeySet>>,
    /// The last snapshot of the cache, to be read without its lock.
    snapshot: ArcSwapOption<Snapshot<KeySet>>,
    /// The number of the last fetch that ended. All tasks end when it is dropped.
    last_ended: watch::Sender<u64>,
    /// True if a token was verified with these keys since the last renewal.
    used: AtomicBool,
    created: Instant,
    random: RandomState,
}

impl CachedKeys for KeySet {
    fn contains_kid(&self, kid: Option<&str>) -> bool {
        self.knows(kid)
    }

    fn usable_count(&self) -> usize {
        self.len()
    }

    fn skipped_count(&self) -> usize {
        self.skipped().count()
    }

    fn ids_missing_in(&self, other: &Self) -> Vec<String> {
        self.ids().filter(|id| !other.knows(Some(id))).map(str::to_owned).collect()
    }
}

impl Renewal {
    pub(super) fn new(fetcher: Fetcher) -> Self {
        Renewal {
            fetcher: Arc::new(fetcher),
            cache: Mutex::new(Cache::new()),
            snapshot: ArcSwapOption::empty(),
            last_ended: watch::Sender::new(0),
            used: AtomicBool::new(false),
            created: Instant::now(),
            random: RandomState::new(),
        }
    }

    pub(super) fn set_stale_for(&self, stale_for: Duration) {
        self.cache().set_stale_for(stale_for);
    }

    pub(super) fn renew_while_used(&self) {
        self.cache().renew_while_used();
    }

    pub(super) fn mark_used(&self) {
        // Many threads may read it at once, and few write it.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn keys(self: &Arc<Self>, hint: KeyHint<'_>) -> Keys {
        let (mut kid, now) = (hint.kid(), self.now());
        if let Some(tried) = hint.tried() {
            return self.keys_other_than(tried, now);
        }
        if let Some(snapshot) = &*self.snapshot.load() {
            if snapshot.is_valid_for(kid, now) {
                return Answer::Now(Ok(snapshot.keys.clone()));
            }
            // No key of these can verify the token, whatever its id, so none is looked for.
            if snapshot.keys.lacks_algorithm(hint.alg()) {
                kid = None;
            }
        }
        self.keys_from_cache(kid, now)
    }

    pub(super) fn is_current(self: &Arc<Self>, keys: KeySetId, hint: KeyHint<'_>) -> bool {
        match &*self.snapshot.load() {
            Some(snapshot) if snapshot.is_valid_for(hint.kid(), self.now()) => {
                snapshot.keys.id() == keys
            }
            // May begin a fetch, like a request whose token is not cached.
            _ => matches!(self.keys(hint), Answer::Now(Ok(now)) if now.id() == keys),
        }
    }

    pub(super) fn warm_up(self: &Arc<Self>) -> Answer<'static, ()> {
        let runtime = match runtime::current() {
            Ok(runtime) => runtime,
            Err(problem) => {
                self.cache().record_problem(problem);
                return Answer::Now(());
            }
        };
        let fetch = {
            let mut cache = self.cache();
            let fetch = cache.warm_up(self.now());
            self.publish_snapshot(&cache);
            fetch
        };
        let Some(fetch) = fetch else { return Answer::Now(()) };
        if fetch.begin {
            self.spawn_fetch(&runtime, fetch.number);
        }
        let ended = self.wait_for_end(fetch.number, FETCH_TIMEOUT);
        // The fetch has begun, even if no one waits for it.
        Answer::later(async move { drop(runtime.spawn(ended).await) })
    }

    pub(super) fn status(&self) -> KeyStatus {
        self.cache().status(self.now())
    }

    fn keys_from_cache(self: &Arc<Self>, kid: Option<&str>, now: Timestamp) -> Keys {
        let runtime = match runtime::current() {
            Ok(runtime) => runtime,
            Err(problem) => {
                let keys = self.cache().usable(now).filter(|keys| keys.knows(kid)).cloned();
                return Answer::Now(keys.ok_or_else(|| KeysUnavailable::misconfigured(problem)));
            }
        };
        let (waiting, begun) = match self.lookup(kid, now, &runtime) {
            Lookup::Use { keys, .. } => return Answer::Now(Ok(keys)),
            Lookup::Refuse(refusal) => return Answer::Now(Err(self.unavailable(refusal))),
            Lookup::Wait(fetch) => (self.wait(&runtime, fetch, MAX_WAIT), fetch.begin),
        };
        let (renewal, kid) = (self.clone(), kid.map(str::to_owned));
        Answer::later(async move {
            let kid = kid.as_deref();
            let keys = waiting.keys(kid).await?;
            if begun || keys.knows(kid) {
                return Ok(keys);
            }
            // That fetch was in flight already, and may have begun before the key was published.
            match renewal.lookup(kid, renewal.now(), &runtime) {
                Lookup::Use { keys, .. } => Ok(keys),
                Lookup::Refuse(refusal) => Err(renewal.unavailable(refusal)),
                Lookup::Wait(fetch) => {
                    let left = MAX_WAIT.saturating_sub(renewal.now().saturating_sub(now));
                    renewal.wait(&runtime, fetch, left).keys(kid).await
                }
            }
        })
    }

    /// Looks for another set than this one: none of its keys verified a token that does not name its key.
    fn keys_other_than(self: &Arc<Self>, tried: KeySetId, now: Timestamp) -> Keys {
        let is_other = move |keys: &KeySet| keys.id() != tried;
        let runtime = match runtime::current() {
            Ok(runtime) => runtime,
            Err(problem) => return Answer::Now(Err(KeysUnavailable::misconfigured(problem))),
        };
        let fetch = {
            let mut cache = self.cache();
            if let Some(other) = cache.usable(now).filter(|keys| is_other(keys)) {
                return Answer::Now(Ok(other.clone()));
            }
            let fetch = cache.fetch_other(now);
            self.publish_snapshot(&cache);
            fetch
        };
        let waiting = match fetch {
            Ok(fetch) => self.wait(&runtime, fetch, MAX_WAIT),
            Err(refusal) => return Answer::Now(Err(self.unavailable(refusal))),
        };
        Answer::later(
            waiting.keys_by(move |cache, fetch, now| cache.other_after_wait(is_other, fetch, now)),
        )
    }

    /// Asks the cache, and begins the renewal that it asks for.
    fn lookup(
        self: &Arc<Self>,
        kid: Option<&str>,
        now: Timestamp,
        runtime: &Handle,
    ) -> Lookup<KeySet> {
        let lookup = {
            let mut cache = self.cache();
            let lookup = cache.lookup(kid, now);
            self.publish_snapshot(&cache);
            lookup
        };
        if let Lookup::Use { begin: Some(number), .. } = &lookup {
            self.spawn_fetch(runtime, *number);
        }
        lookup
    }

    fn wait(
        self: &Arc<Self>,
        runtime: &Handle,
        fetch: PendingFetch,
        at_most: Duration,
    ) -> WaitingRequest {
        if fetch.begin {
            self.spawn_fetch(runtime, fetch.number);
        }
        // A task, because the request's own future may be polled outside of the runtime.
        let ended = runtime.spawn(self.wait_for_end(fetch.number, at_most));
        let stop_waiting = StopWaiting { renewal: self.clone(), task: ended.abort_handle() };
        WaitingRequest { fetch: fetch.number, ended, stop_waiting }
    }

    /// Returns a future that ends with the fetch, or when the time is up.
    fn wait_for_end(
        &self,
        number: u64,
        at_most: Duration,
    ) -> impl Future<Output = ()> + Send + use<> {
        let mut last_ended = self.last_ended.subscribe();
        let since = Instant::now();
        async move {
            let left = at_most.saturating_sub(since.elapsed());
            let _ = timeout(left, last_ended.wait_for(|ended| *ended >= number)).await;
        }
    }

    fn spawn_fetch(self: &Arc<Self>, runtime: &Handle, number: u64) {
        let task = Renewal::fetch_and_renew(RunningFetch::new(self, number), self.fetcher.clone());
        runtime.spawn(until_dropped(self.last_ended.subscribe(), task));
    }

    async fn fetch_and_renew(fetch: RunningFetch, fetcher: Arc<Fetcher>) {
        let mut next = Some(fetch);
        while let Some(mut fetch) = next {
            let (renewal, number) = (fetch.renewal.clone(), fetch.number);
            fetch.result = match timeout(FETCH_TIMEOUT, fetcher.fetch(fetch.began())).await {
                Ok(result) => result,
                Err(_) => Err(format!("no keys within {} seconds", FETCH_TIMEOUT.as_secs())),
            };
            drop(fetch);
            next = Renewal::wait_for_next_fetch(&renewal, number).await;
        }
    }

    /// Waits until it is time to fetch again, and returns that fetch. Returns `None` if this task is to end.
    async fn wait_for_next_fetch(weak: &Weak<Self>, number: u64) -> Option<RunningFetch> {
        loop {
            let wait_until = {
                let renewal = weak.upgrade()?;
                let mut cache = renewal.cache();
                let was_used = renewal.used.load(Ordering::Relaxed);
                match cache.after_fetch(number, renewal.now(), was_used) {
                    NextStep::End => return None,
                    NextStep::Wait(until) => renewal.created.checked_add(until)?,
                    NextStep::Fetch(number) => {
                        renewal.used.store(false, Ordering::Relaxed);
                        renewal.publish_snapshot(&cache);
                        return Some(RunningFetch::new(&renewal, number));
                    }
                }
            };
            tokio::time::sleep_until(wait_until).await;
        }
    }

    fn unavailable(&self, refusal: Refusal) -> KeysUnavailable {
        let retry_after = match refusal {
            // A fetch is in flight.
            Refusal::TimedOut | Refusal::TooManyWaiting => MAX_WAIT,
            Refusal::Failed(_) | Refusal::OverBudget => self.cache().next_fetch_in(self.now()),
        };
        KeysUnavailable::new(refusal).retry_after(retry_after)
    }

    /// Publishes what the cache says now. The guard of its lock keeps snapshots in the order of the changes.
    fn publish_snapshot(&self, cache: &MutexGuard<'_, Cache<KeySet>>) {
        self.snapshot.store(cache.snapshot().map(Arc::new));
    }

    fn now(&self) -> Timestamp {
        self.created.elapsed()
    }

    fn cache(&self) -> MutexGuard<'_, Cache<KeySet>> {
        lock(&self.cache)
    }
}

/// A request that waits for a fetch.
struct WaitingRequest {
    fetch: u64,
    ended: JoinHandle<()>,
    stop_waiting: StopWaiting,
}

impl WaitingRequest {
    async fn keys(self, kid: Option<&str>) -> Result<KeySet, KeysUnavailable> {
        self.keys_by(|cache, fetch, now| cache.lookup_after_wait(kid, fetch, now)).await
    }

    /// Waits, and then looks the keys up in the cache, for this fetch.
    async fn keys_by(
        self,
        look_up: impl FnOnce(&Cache<KeySet>, u64, Timestamp) -> Result<KeySet, Refusal>,
    ) -> Result<KeySet, KeysUnavailable> {
        let WaitingRequest { fetch, ended, stop_waiting } = self;
        let renewal = &stop_waiting.renewal;
        // If the task was aborted with its runtime, the fetch has not ended either.
        let _ = ended.await;
        let keys = look_up(&renewal.cache(), fetch, renewal.now());
        keys.map_err(|refusal| renewal.unavailable(refusal))
    }
}

/// Takes a request out of the number of those that wait when it is dropped, and ends the task that waits for it.
struct StopWaiting {
    renewal: Arc<Renewal>,
    task: AbortHandle,
}

impl Drop for StopWaiting {
    fn drop(&mut self) {
        self.renewal.cache().stop_waiting();
        self.task.abort();
    }
}

/// A fetch in flight. It is ended in the cache when it is dropped, whatever happens to its task. It does not keep the
/// keys: they may be dropped meanwhile.
struct RunningFetch {
    renewal: Weak<Renewal>,
    number: u64,
    result: FetchResult<KeySet>,
}

impl RunningFetch {
    fn new(renewal: &Arc<Renewal>, number: u64) -> Self {
        let aborted =
            "the fetch was aborted: its client panicked, or its runtime ended or has no timer";
        let renewal = Arc::downgrade(renewal);
        RunningFetch { renewal, number, result: Err(aborted.to_owned()) }
    }

    /// Returns the time at which the task begins.
    fn began(&self) -> Timestamp {
        self.renewal.upgrade().map_or(Timestamp::ZERO, |renewal| renewal.now())
    }
}

impl Drop for RunningFetch {
    fn drop(&mut self) {
        let Some(renewal) = self.renewal.upgrade() else { return };
        let result = mem::replace(&mut self.result, Err(String::new()));
        let jitter = f64::from(renewal.random.hash_one(self.number) as u32) / f64::from(u32::MAX);
        {
            let mut cache = renewal.cache();
            cache.end_fetch(self.number, result, renewal.now(), jitter);
            renewal.publish_snapshot(&cache);
        }
        renewal.last_ended.send_modify(|ended| *ended = self.number.max(*ended));
    }
}

/// Runs a task of these keys until they are dropped.
async fn until_dropped(mut last_ended: watch::Receiver<u64>, task: impl Future<Output = ()>) {
    let dropped = async move { while last_ended.changed().await.is_ok() {} };
    let (mut dropped, mut task) = (pin!(dropped), pin!(task));
    poll_fn(|cx| match dropped.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => task.as_mut().poll(cx),
    })
    .await;
}
