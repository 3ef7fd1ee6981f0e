//! A store in Redis.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64_simd::URL_SAFE_NO_PAD;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, ErrorKind, RedisResult, Script, ServerErrorKind};
use time::UtcDateTime;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::{Remembered, ReplayAnswer, ReplayEntry, ReplayStore, StoreUnavailable};
use crate::answer::Answer;

const SCRIPT: &str = include_str!("insert.lua");
/// How long it takes to connect, at most. A connection that fails at this age is left for a new one.
const CONNECT: Duration = Duration::from_secs(5);

/// Remembers in Redis, version 7 or what does as it does: for a service of several processes.
///
/// An insertion is one script, in one round trip, so it is one step for all processes. Where Redis is away, slow (500
/// milliseconds unless [set](Self::timeout)), full, or refuses, the answer is [`StoreUnavailable`]; a request after it
/// is back is served, and nothing needs a restart. An insertion whose answer was lost may have been made.
///
/// It remembers **since an epoch**, which is written once under the key `{prefix}epoch`, by the clock of the server
/// and with the `run_id` of its process, and read with every insertion. What was issued before, or within the same
/// second, is [`BeforeEpoch`](Remembered::BeforeEpoch). Where the epoch is missing, or of another process, it begins
/// anew: so a server that was started again, empty or with old data, and a replica that was promoted, accept nothing
/// from before.
///
/// Clocks may differ by one second among the services and the server, unless [set](Self::clock_skew). On the safe
/// side: what was issued so long after the epoch counts as before it, and an entry is kept so much longer.
///
/// # What the server must be
///
/// - `maxmemory-policy noeviction`. With any other policy a full server drops entries before they expire, and they
///   are accepted **again**. Full, with `noeviction`, is [`StoreUnavailable`]. An entry takes about 200 bytes there.
/// - One primary, with replicas if you like. A proxy in front must send both keys to one server; in a cluster, a
///   [prefix](Self::prefix) with a hash tag (`{unconfused}:`) keeps all of them in one slot.
/// - For nobody else. Whoever can write there can have a token refused, or accepted again.
/// - Its user may run `EVAL`, `EVALSHA`, `TIME`, `INFO`, `GET` and `SET` on keys with the prefix. Without one of them
///   every insertion is [`StoreUnavailable`].
///
/// # What is not promised
///
/// - **Failover.** Replication is asynchronous, and `WAIT` is not used. A replica that is promoted begins a new epoch:
///   what the old primary did not hand on is forgotten there, not accepted. Where two primaries serve at once, each
///   accepts what the other does not know. `min-replicas-to-write` with `min-replicas-max-lag` bounds for how long.
///   The same holds where a server serves again that was a primary before and has followed no other since, in one
///   process; there, delete `{prefix}epoch`.
/// - **A clock that jumps.** Where the server's clock runs ahead of what an entry lasts, and is set back then, the
///   entry is gone and may be accepted again.
/// - **Persistence** is of no use: a restart forgets, by design. Turn it off (`save ''`, `appendonly no`).
/// - **Shares.** There is no bound for one key or client, and no [`ShareFull`](Remembered::ShareFull): memory is what
///   bounds it, so a rate limit must stand before it.
///
/// The type is of the crate `redis`, version 1.
///
/// ```
/// use std::time::Duration;
/// use unconfused::replay::RedisReplayStore;
///
/// let client = redis::Client::open("redis://127.0.0.1:6379")?; // connects to nothing yet
/// let store = RedisReplayStore::new(client).prefix("orders:").timeout(Duration::from_millis(200));
/// # let _ = store;
/// # Ok::<(), redis::RedisError>(())
/// ```
pub struct RedisReplayStore {
    link: Arc<Link>,
    prefix: String,
    timeout: Duration,
    skew: Duration,
}

impl RedisReplayStore {
    /// A store at the server of this client. Connects when it is first asked, then and later within a Tokio runtime,
    /// always the same one.
    ///
    /// A connection on which something fails is left for a new one, at most every 5 seconds: also where it hangs, or
    /// leads to a primary that is none any more.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self::over(Source::Client(client))
    }

    /// A store over this connection, which may serve others too. It connects again by its own rules: those may give
    /// up where a server refuses or hangs, which [`new`](Self::new) does not.
    #[must_use]
    pub fn with_connection(connection: ConnectionManager) -> Self {
        Self::over(Source::Connection(connection))
    }

    fn over(source: Source) -> Self {
        let link = Link { source, current: Mutex::new(None), script: Script::new(SCRIPT) };
        RedisReplayStore {
            link: Arc::new(link),
            prefix: "unconfused:".to_owned(),
            timeout: Duration::from_millis(500),
            skew: Duration::from_secs(1),
        }
    }

    /// What each key at the server begins with, in place of `unconfused:`. All processes of a service say the same.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        RedisReplayStore { prefix: prefix.into(), ..self }
    }

    /// How long an insertion may take, in place of 500 milliseconds; then it is [`StoreUnavailable`].
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        RedisReplayStore { timeout, ..self }
    }

    /// By how much the clocks of the services and of the server may differ, in place of one second. For so long after
    /// a start of the server, and until the next second begins, everything is [`BeforeEpoch`](Remembered::BeforeEpoch).
    #[must_use]
    pub fn clock_skew(self, skew: Duration) -> Self {
        RedisReplayStore { skew, ..self }
    }

    fn insertion(&self, entry: &ReplayEntry) -> Insertion {
        let key = URL_SAFE_NO_PAD.encode_to_string(entry.key());
        Insertion {
            epoch: format!("{}epoch", self.prefix),
            key: format!("{}{key}", self.prefix),
            issued_at: floor_ms(entry.issued_at),
            expires_at: ceil_ms(entry.expires_at),
            skew: u64::try_from(self.skew.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl ReplayStore for RedisReplayStore {
    fn insert(&self, entry: ReplayEntry) -> ReplayAnswer {
        let insertion = self.insertion(&entry);
        let (link, limit) = (self.link.clone(), self.timeout);
        Answer::later(async move {
            if Handle::try_current().is_err() {
                return Err(StoreUnavailable::new(
                    "Redis is reached in a Tokio runtime, and this request is in none",
                ));
            }
            let made = link.insert(&insertion);
            let code = match timeout(limit, made).await {
                Ok(answer) => answer.map_err(StoreUnavailable::new)?,
                Err(_) => {
                    link.renew();
                    let cause = format!("Redis gave no answer within {} ms", limit.as_millis());
                    return Err(StoreUnavailable::new(cause));
                }
            };
            match code {
                0 => Ok(Remembered::First),
                AGAIN => Ok(Remembered::Again),
                2 => Ok(Remembered::BeforeEpoch),
                _ => Err(StoreUnavailable::new("Redis gave an answer of no known kind")),
            }
        })
    }
}

impl fmt::Debug for RedisReplayStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisReplayStore({})", self.prefix)
    }
}

/// What the script is told.
struct Insertion {
    epoch: String,
    key: String,
    issued_at: i64,
    expires_at: i64,
    skew: u64,
}

impl Insertion {
    fn call(&self, how: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(how);
        command.arg(script).arg(2).arg(&self.epoch).arg(&self.key);
        command.arg(self.issued_at).arg(self.expires_at).arg(self.skew);
        command
    }
}

enum Source {
    Client(Client),
    Connection(ConnectionManager),
}

/// The connection, once it was asked for.
struct Link {
    source: Source,
    current: Mutex<Option<(ConnectionManager, Instant)>>,
    script: Script,
}

impl Link {
    /// A connection that was dropped, as by a server that was started again, is tried once more. Where it is known
    /// then, it may be by the first attempt: that is in doubt.
    async fn insert(&self, insertion: &Insertion) -> RedisResult<i64> {
        match self.try_to_insert(insertion).await {
            Err(dropped) if dropped.is_connection_dropped() => {
                match self.try_to_insert(insertion).await {
                    Ok(AGAIN) => Err(dropped),
                    answer => answer,
                }
            }
            answer => answer,
        }
    }

    async fn try_to_insert(&self, insertion: &Insertion) -> RedisResult<i64> {
        let mut connection = self.connection()?;
        let known = insertion.call("EVALSHA", self.script.get_hash());
        let mut answer = known.query_async(&mut connection).await;
        if matches!(&answer, Err(error) if error.kind() == NO_SCRIPT) {
            answer = insertion.call("EVAL", SCRIPT).query_async(&mut connection).await;
        }
        if answer.is_err() {
            self.renew();
        }
        answer
    }

    fn connection(&self) -> RedisResult<ConnectionManager> {
        let client = match &self.source {
            Source::Client(client) => client,
            Source::Connection(connection) => return Ok(connection.clone()),
        };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((connection, _)) = &*current {
            return Ok(connection.clone());
        }
        // No delay between attempts: each request that fails begins the next.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(None);
        let connection = ConnectionManager::new_lazy_with_config(client.clone(), config)?;
        *current = Some((connection.clone(), Instant::now()));
        Ok(connection)
    }

    /// The next insertion gets a new connection. Those under way keep theirs.
    fn renew(&self) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.take_if(|(_, began)| began.elapsed() >= CONNECT);
    }
}

/// What the script answers of what is known.
const AGAIN: i64 = 1;
const NO_SCRIPT: ErrorKind = ErrorKind::Server(ServerErrorKind::NoScript);

fn floor_ms(at: UtcDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MIN)
}

fn ceil_ms(at: UtcDateTime) -> i64 {
    let nanos = at.unix_timestamp_nanos().saturating_add(999_999);
    i64::try_from(nanos.div_euclid(1_000_000)).unwrap_or(i64::MAX)
}
