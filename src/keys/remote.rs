//! Keys that are fetched and renewed: does what the machine in `cache` says.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, timeout};

use super::cache::{Cache, Current, MAX_WAIT, Moment, Outcome, Refusal, Verdict};
use super::discovery;
use super::fetch::{Fetcher, Origin, lock};
use super::status::KeyStatus;
use super::url::Transport;
use super::{KeySource, Keys, KeysUnavailable, cache};
use crate::answer::Answer;
use crate::config_error::ConfigError;
use crate::jose::{KeySet, KeySetId};
use crate::outbound::HttpClient;
use crate::token::KeyHint;

/// All that a fetch takes: metadata in up to three places, and the keys.
const FLIGHT: Duration = Duration::from_secs(25);
const NO_RUNTIME: &str = "they are fetched in a Tokio runtime, and there is none here";

/// The keys of one issuer, fetched when they are first asked for and renewed from then on, in a task of their own.
///
/// - **A request whose key is here never waits**, also while keys are renewed and where that fails. Keys are
///   renewed before they are stale, which is what the issuer says (`Cache-Control`), but 5 minutes at least, 24
///   hours at most, 10 minutes where it says nothing, and never longer than half of
///   [`stale_for`](Self::stale_for).
/// - **An unknown key id** is looked for: the request waits for one fetch, up to 2 seconds, along with 255 others at
///   most; beyond that it is answered with 503. A key id that the fetch does not bring is `key_not_found`, and is
///   not looked for again for 30 seconds. Where no fetch could look for it, or the fetch fails, that is not
///   known, and the answer is 503.
/// - **At most 2 fetches begin within 30 seconds**, whatever tokens say and whatever comes of them.
/// - **An issuer that is down** is not noticed for [`stale_for`](Self::stale_for) after the last good fetch, one hour
///   unless set. Then there are no keys: 503, `keys_unavailable`, until it is back. That is counted by the clock of
///   the runtime, which may stand still while a machine is suspended.
/// - **A withdrawn key** serves no more once a fetch has brought a set without it. A set without any key is such a
///   set, too. Another key under the same id is noticed when keys are renewed: until then, `signature_invalid`.
/// - An answer is at most 256 KiB, has at most 100 keys, and comes within 5 seconds, without redirects.
///
/// Nothing is ever fetched from a URL in a token. A token without a key id is verified where there is one key for
/// its algorithm: it causes no fetch. Needs a Tokio runtime with its timer when it is asked: a request outside one is
/// answered with 500, and the record says why.
///
/// ```
/// # #[cfg(feature = "reqwest")] {
/// use std::time::Duration;
/// use unconfused::keys::RemoteKeys;
/// use unconfused::Issuer;
///
/// # use reqwest::redirect::Policy;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = reqwest::Client::builder().redirect(Policy::none()).build()?;
/// let keys = RemoteKeys::from_jwks_uri("https://login.example/keys", client.clone())?.stale_for(Duration::from_secs(600));
/// let issuer = Issuer::new("https://login.example", keys);
///
/// assert!(RemoteKeys::from_jwks_uri("http://login.example/keys", client).is_err());
/// # Ok(())
/// # }
/// # }
/// ```
pub struct RemoteKeys {
    shared: Arc<Shared>,
}

struct Shared {
    fetcher: Fetcher,
    cache: Mutex<Cache<KeySet>>,
    /// What the cache last said serves, to be read without its lock.
    current: ArcSwapOption<Current<KeySet>>,
    /// The number of the last fetch that ended.
    ended: watch::Sender<u64>,
    began: Instant,
    random: RandomState,
}

impl cache::Keys for KeySet {
    fn know(&self, kid: Option<&str>) -> bool {
        self.knows(kid)
    }

    fn count(&self) -> (usize, usize) {
        (self.len(), self.skipped().count())
    }

    fn ids_missing_in(&self, other: &Self) -> Vec<String> {
        self.ids().filter(|id| !other.knows(Some(id))).map(str::to_owned).collect()
    }
}

impl RemoteKeys {
    /// The keys at this URL, the issuer's `jwks_uri`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where it is not https, or has a user, a fragment or dot segments. Nothing is fetched yet.
    pub fn from_jwks_uri(jwks_uri: &str, client: impl HttpClient) -> Result<Self, ConfigError> {
        Ok(RemoteKeys::new(Origin::At(Transport::Tls.fit_with_query(jwks_uri)?), client))
    }

    /// The keys of this issuer, wherever its metadata says
    /// ([RFC 8414 section 3](https://www.rfc-editor.org/rfc/rfc8414#section-3), OpenID Connect Discovery
    /// section 4). The metadata must name this very issuer, character for character, and a `jwks_uri` that is
    /// https.
    ///
    /// # Errors
    ///
    /// As [`at`](Self::from_jwks_uri), and where it has a query. Nothing is fetched yet.
    pub fn discover(issuer: &str, client: impl HttpClient) -> Result<Self, ConfigError> {
        RemoteKeys::discovered(issuer, client, Transport::Tls)
    }

    /// The same, where issuer and keys may be at `http://127.0.0.1`, `http://localhost` or the like. **For
    /// development**: whoever is on that machine can hand out keys.
    ///
    /// # Errors
    ///
    /// As [`at`](Self::from_jwks_uri), but for plain http on the loopback interface.
    pub fn discover_without_tls_on_loopback(
        issuer: &str,
        client: impl HttpClient,
    ) -> Result<Self, ConfigError> {
        RemoteKeys::discovered(issuer, client, Transport::Loopback)
    }

    fn discovered(
        issuer: &str,
        client: impl HttpClient,
        transport: Transport,
    ) -> Result<Self, ConfigError> {
        let origin = Origin::Discovered {
            issuer: issuer.to_owned(),
            locations: discovery::locations(&transport.fit(issuer)?),
            transport,
            found: Mutex::default(),
        };
        Ok(RemoteKeys::new(origin, client))
    }

    fn new(origin: Origin, client: impl HttpClient) -> Self {
        let shared = Shared {
            fetcher: Fetcher::new(client, origin),
            cache: Mutex::new(Cache::new()),
            current: ArcSwapOption::empty(),
            ended: watch::Sender::new(0),
            began: Instant::now(),
            random: RandomState::new(),
        };
        RemoteKeys { shared: Arc::new(shared) }
    }

    /// How long after the last good fetch keys serve, in place of one hour: how long an issuer may be down, and how
    /// long a withdrawn key serves where nobody can be asked.
    ///
    /// # Panics
    ///
    /// Below one minute: then keys could not be renewed in time.
    #[must_use]
    pub fn stale_for(self, stale_for: Duration) -> Self {
        assert!(
            stale_for >= Cache::<KeySet>::MIN_STALE,
            "keys serve for at least one minute after they were fetched, not for {stale_for:?}"
        );
        self.shared.cache().set_stale_for(stale_for);
        self
    }
}

impl KeySource for RemoteKeys {
    fn keys(&self, hint: KeyHint<'_>) -> Keys {
        let shared = &self.shared;
        let now = shared.now();
        if let Some(current) = &*shared.current.load()
            && current.serves(hint.kid(), now)
        {
            return Answer::Now(Ok(current.keys.clone()));
        }
        shared.ask(hint.kid(), now)
    }

    fn is_current(&self, keys: KeySetId, hint: KeyHint<'_>) -> bool {
        let shared = &self.shared;
        match &*shared.current.load() {
            Some(current) if current.serves(hint.kid(), shared.now()) => current.keys.id() == keys,
            // As a request that is verified: it may begin a fetch.
            _ => matches!(self.keys(hint), Answer::Now(Ok(now)) if now.id() == keys),
        }
    }

    fn warm_up(&self) -> Answer<'static, ()> {
        let shared = &self.shared;
        let Ok(runtime) = Handle::try_current() else {
            shared.cache().note(NO_RUNTIME);
            return Answer::Now(());
        };
        let warm = {
            let mut cache = shared.cache();
            let warm = cache.warm(shared.now());
            shared.publish(&cache);
            warm
        };
        let Some((fetch, begin)) = warm else { return Answer::Now(()) };
        let over = shared.over(&runtime, fetch, begin, FLIGHT);
        Answer::later(async move { drop(over.await) })
    }

    fn status(&self) -> KeyStatus {
        self.shared.cache().status(self.shared.now())
    }
}

/// A request that waits for a fetch.
struct Waiting {
    seat: Seat,
    fetch: u64,
    /// A task, since the request's own future may be polled anywhere.
    over: JoinHandle<()>,
}

/// Held by a request that waits; with it, the task that waits for it.
struct Seat {
    shared: Arc<Shared>,
    over: AbortHandle,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.cache().leave();
        self.over.abort();
    }
}

impl Waiting {
    async fn keys(self, kid: Option<&str>) -> Result<KeySet, KeysUnavailable> {
        let Waiting { seat, fetch, over } = self;
        let shared = &seat.shared;
        if over.await.is_err_and(|error| error.is_panic()) {
            return Err(KeysUnavailable::set_up_wrongly(
                "the Tokio runtime has no timer: enable_time",
            ));
        }
        let found = shared.cache().resolve(kid, fetch, shared.now());
        found.map_err(|refusal| shared.unavailable(refusal))
    }
}

impl Shared {
    fn ask(self: &Arc<Self>, kid: Option<&str>, now: Moment) -> Keys {
        let Ok(runtime) = Handle::try_current() else {
            let keys = self.cache().usable(now).filter(|keys| keys.knows(kid)).cloned();
            return Answer::Now(keys.ok_or_else(|| KeysUnavailable::set_up_wrongly(NO_RUNTIME)));
        };
        let (waiting, begun) = match self.verdict(kid, now, &runtime) {
            Verdict::Use(keys, _) => return Answer::Now(Ok(keys)),
            Verdict::Refuse(refusal) => return Answer::Now(Err(self.unavailable(refusal))),
            Verdict::Wait { fetch, begin } => (self.wait(&runtime, fetch, begin, MAX_WAIT), begin),
        };
        let (shared, kid) = (self.clone(), kid.map(str::to_owned));
        Answer::later(async move {
            let kid = kid.as_deref();
            let keys = waiting.keys(kid).await?;
            if begun || keys.knows(kid) {
                return Ok(keys);
            }
            // The fetch had begun before, perhaps before the key was there.
            match shared.verdict(kid, shared.now(), &runtime) {
                Verdict::Use(keys, _) => Ok(keys),
                Verdict::Refuse(refusal) => Err(shared.unavailable(refusal)),
                Verdict::Wait { fetch, begin } => {
                    let left = MAX_WAIT.saturating_sub(shared.now().saturating_sub(now));
                    shared.wait(&runtime, fetch, begin, left).keys(kid).await
                }
            }
        })
    }

    /// What the cache says; a renewal that it wants is begun.
    fn verdict(
        self: &Arc<Self>,
        kid: Option<&str>,
        now: Moment,
        runtime: &Handle,
    ) -> Verdict<KeySet> {
        let verdict = {
            let mut cache = self.cache();
            let verdict = cache.ask(kid, now);
            self.publish(&cache);
            verdict
        };
        if let Verdict::Use(_, Some(number)) = &verdict {
            self.take_off(runtime, *number);
        }
        verdict
    }

    fn wait(
        self: &Arc<Self>,
        runtime: &Handle,
        fetch: u64,
        begin: bool,
        at_most: Duration,
    ) -> Waiting {
        let over = self.over(runtime, fetch, begin, at_most);
        let seat = Seat { shared: self.clone(), over: over.abort_handle() };
        Waiting { seat, fetch, over }
    }

    /// Ends with the fetch, or when the time is up.
    fn over(
        self: &Arc<Self>,
        runtime: &Handle,
        fetch: u64,
        begin: bool,
        at_most: Duration,
    ) -> JoinHandle<()> {
        if begin {
            self.take_off(runtime, fetch);
        }
        let mut ended = self.ended.subscribe();
        let from = Instant::now();
        runtime.spawn(async move {
            let left = at_most.saturating_sub(from.elapsed());
            let _ = timeout(left, ended.wait_for(|ended| *ended >= fetch)).await;
        })
    }

    fn take_off(self: &Arc<Self>, runtime: &Handle, number: u64) {
        runtime.spawn(Shared::fly(Airborne::new(self.clone(), number)));
    }

    /// Fetches, and renews from then on.
    async fn fly(flight: Airborne) {
        let mut next = Some(flight);
        while let Some(mut flight) = next {
            let (shared, number) = (flight.shared.clone(), flight.number);
            flight.outcome = match timeout(FLIGHT, shared.fetcher.fetch(shared.now())).await {
                Ok(outcome) => outcome,
                Err(_) => Err(format!("no keys within {} seconds", FLIGHT.as_secs())),
            };
            drop(flight);
            let resting = Arc::downgrade(&shared);
            drop(shared);
            next = Shared::rest(resting, number).await;
        }
    }

    /// Waits until it is time to renew, and begins the next fetch. Nothing where another fetch came after this
    /// one, which has a task of its own, or where the keys are nobody's any more.
    async fn rest(resting: Weak<Self>, number: u64) -> Option<Airborne> {
        loop {
            let look = {
                let shared = resting.upgrade()?;
                let look = shared.cache().next_look();
                shared.began.checked_add(look)?
            };
            tokio::time::sleep_until(look).await;
            let shared = resting.upgrade()?;
            let next = {
                let mut cache = shared.cache();
                if !cache.was_last(number) {
                    return None;
                }
                let next = cache.renew(shared.now());
                shared.publish(&cache);
                next
            };
            if let Some(number) = next {
                return Some(Airborne::new(shared, number));
            }
        }
    }

    fn unavailable(&self, refusal: Refusal) -> KeysUnavailable {
        let again = match refusal {
            // The fetch is in the air.
            Refusal::Slow | Refusal::Crowded => MAX_WAIT,
            Refusal::Failed(_) | Refusal::OverBudget => self.cache().free_in(self.now()),
        };
        KeysUnavailable::new(refusal).retry_after(again)
    }

    /// In the order of the changes, so under the cache's lock.
    fn publish(&self, cache: &MutexGuard<'_, Cache<KeySet>>) {
        self.current.store(cache.current().map(Arc::new));
    }

    fn now(&self) -> Moment {
        self.began.elapsed()
    }

    fn cache(&self) -> MutexGuard<'_, Cache<KeySet>> {
        lock(&self.cache)
    }
}

/// A fetch in the air. It ends, whatever becomes of its task.
struct Airborne {
    shared: Arc<Shared>,
    number: u64,
    outcome: Outcome<KeySet>,
}

impl Airborne {
    fn new(shared: Arc<Shared>, number: u64) -> Self {
        let why =
            "the fetch was broken off: its client panicked, or its runtime ended or has no timer";
        Airborne { shared, number, outcome: Err(why.to_owned()) }
    }
}

impl Drop for Airborne {
    fn drop(&mut self) {
        let shared = &self.shared;
        let outcome = mem::replace(&mut self.outcome, Err(String::new()));
        let jitter = f64::from(shared.random.hash_one(self.number) as u32) / f64::from(u32::MAX);
        {
            let mut cache = shared.cache();
            cache.end(self.number, outcome, shared.now(), jitter);
            shared.publish(&cache);
        }
        shared.ended.send_modify(|ended| *ended = self.number.max(*ended));
    }
}

impl fmt::Debug for RemoteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteKeys({})", self.status())
    }
}
