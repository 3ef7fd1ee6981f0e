//! The tokens that a hop keeps, and exchanges in flight, which concurrent calls share.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::error::HopError;
use super::outbound_token::OutboundToken;

/// What a token was made from: the SHA-256 digest of that.
pub(super) type Key = [u8; 32];
type Outcome = Result<OutboundToken, HopError>;

/// The most tokens that a hop keeps, and the most bytes of them.
const MAX_TOKENS: usize = 1024;
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// The most exchanges of a hop that are in flight.
const MAX_IN_FLIGHT: usize = 256;
/// The longest exchange: metadata, the token, and another try with a nonce.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// A token is renewed so long before its end, or when a fifth of its life is left.
const RENEW_BEFORE: Duration = Duration::from_secs(30);
/// How long a renewal that failed is not tried again, while the token still lasts.
const RENEWAL_PAUSE: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct KeptTokens(Mutex<State>);

#[derive(Default)]
struct State {
    tokens: HashMap<Key, Kept>,
    /// Of all tokens together.
    bytes: usize,
    in_flight: HashMap<Key, watch::Receiver<Option<Outcome>>>,
}

struct Kept {
    token: OutboundToken,
    renew_at: Instant,
}

/// How a call gets its token.
enum Lookup {
    Kept(OutboundToken),
    Wait(watch::Receiver<Option<Outcome>>),
    Begin(watch::Sender<Option<Outcome>>, watch::Receiver<Option<Outcome>>),
    Busy,
}

impl KeptTokens {
    /// Returns a token that is kept and need not be renewed yet.
    pub(super) fn get(&self, key: &Key) -> Option<OutboundToken> {
        let now = Instant::now();
        let state = self.lock();
        let kept = state.tokens.get(key).filter(|kept| now < kept.renew_at)?;
        Some(kept.token.clone())
    }

    /// Returns the token that is kept for `key`, or that of the exchange in flight. If there is neither, `exchange`
    /// begins, in a task of its own: it goes on when this caller no longer waits.
    pub(super) async fn get_or_exchange<F>(
        self: &Arc<Self>,
        key: Key,
        exchange: impl FnOnce() -> F + Send,
    ) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut outcome = match self.look_up(&key) {
            Lookup::Kept(token) => return Ok(token),
            Lookup::Busy => {
                let problem = format!("{MAX_IN_FLIGHT} exchanges are in flight");
                return self.kept_until_its_end(&key, HopError::Unavailable(problem));
            }
            Lookup::Wait(outcome) => outcome,
            Lookup::Begin(sender, outcome) => {
                let running = Running { kept: self.clone(), key, sender, outcome: None };
                let Ok(runtime) = Handle::try_current() else {
                    return Err(HopError::Misconfigured(
                        "tokens are exchanged in a Tokio runtime, and there is none here",
                    ));
                };
                runtime.spawn(running.run(exchange()));
                outcome
            }
        };
        let ended = outcome.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
        let aborted = || Err(HopError::Unavailable("the exchange was aborted".to_owned()));
        match ended.unwrap_or_else(aborted) {
            Err(error) if error.is_outage() => self.kept_until_its_end(&key, error),
            ended => ended,
        }
    }

    fn look_up(&self, key: &Key) -> Lookup {
        let now = Instant::now();
        let mut state = self.lock();
        if let Some(kept) = state.tokens.get(key).filter(|kept| now < kept.renew_at) {
            return Lookup::Kept(kept.token.clone());
        }
        if let Some(outcome) = state.in_flight.get(key) {
            return Lookup::Wait(outcome.clone());
        }
        if state.in_flight.len() >= MAX_IN_FLIGHT {
            return Lookup::Busy;
        }
        let (sender, outcome) = watch::channel(None);
        state.in_flight.insert(*key, outcome.clone());
        Lookup::Begin(sender, outcome)
    }

    /// Returns the token that could not be renewed, if it still lasts. It is renewed no sooner than after a pause.
    fn kept_until_its_end(&self, key: &Key, error: HopError) -> Outcome {
        let now = Instant::now();
        let mut state = self.lock();
        let kept = state.tokens.get_mut(key).filter(|kept| now < kept.token.ends_at());
        let Some(kept) = kept else { return Err(error) };
        if kept.renew_at <= now {
            kept.renew_at = now.checked_add(RENEWAL_PAUSE).unwrap_or(now).min(kept.token.ends_at());
        }
        Ok(kept.token.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&mut self, key: Key, token: &OutboundToken) {
        self.remove(&key);
        let fifth = token.expires_in().checked_div(5).unwrap_or_default();
        let renew_before = RENEW_BEFORE.min(fifth);
        let Some(renew_at) = token.ends_at().checked_sub(renew_before) else { return };
        self.bytes = self.bytes.saturating_add(token.bytes());
        self.tokens.insert(key, Kept { token: token.clone(), renew_at });
        self.evict();
    }

    fn remove(&mut self, key: &Key) {
        if let Some(kept) = self.tokens.remove(key) {
            self.bytes = self.bytes.saturating_sub(kept.token.bytes());
        }
    }

    /// Makes room: first what has ended, then what ends first.
    fn evict(&mut self) {
        let is_full = |state: &State| state.tokens.len() > MAX_TOKENS || state.bytes > MAX_BYTES;
        if is_full(self) {
            let now = Instant::now();
            self.tokens.retain(|_, kept| now < kept.token.ends_at());
            self.bytes = self.tokens.values().map(|kept| kept.token.bytes()).sum();
        }
        while is_full(self) {
            let first = self.tokens.iter().min_by_key(|(_, kept)| kept.token.ends_at());
            let Some(key) = first.map(|(key, _)| *key) else { return };
            self.remove(&key);
        }
    }
}

/// An exchange in flight. It ends when this is dropped, whatever happens to its task.
struct Running {
    kept: Arc<KeptTokens>,
    key: Key,
    sender: watch::Sender<Option<Outcome>>,
    outcome: Option<Outcome>,
}

impl Running {
    async fn run(mut self, exchange: impl Future<Output = Outcome>) {
        let too_slow = |_| {
            let seconds = EXCHANGE_TIMEOUT.as_secs();
            Err(HopError::Unavailable(format!("no token within {seconds} seconds")))
        };
        let outcome = timeout(EXCHANGE_TIMEOUT, exchange).await.unwrap_or_else(too_slow);
        self.outcome = Some(outcome);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        {
            let mut state = self.kept.lock();
            state.in_flight.remove(&self.key);
            match &self.outcome {
                Some(Ok(token)) => state.insert(self.key, token),
                // What it was made from is no longer good for it.
                Some(Err(error)) if !error.is_outage() => state.remove(&self.key),
                Some(Err(_)) | None => {}
            }
        }
        if let Some(outcome) = self.outcome.take() {
            self.sender.send_replace(Some(outcome));
        }
    }
}
