//! A replay store in Redis.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64_simd::URL_SAFE_NO_PAD;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, ErrorKind, RedisResult, Script, ServerErrorKind};
use time::UtcDateTime;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::entry::ReplayEntry;
use super::store::{Remembered, ReplayAnswer, ReplayStore, StoreStatus, StoreUnavailable};
use crate::answer::Answer;
use crate::printable::with_causes;

const SCRIPT: &str = include_str!("insert.lua");
/// The answers of the script.
const FIRST: i64 = 0;
const AGAIN: i64 = 1;
const BEFORE_EPOCH: i64 = 2;
/// How long connecting may take. A connection that is older than this is replaced when something fails on it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A replay store in Redis, for a service of several processes.
///
/// It needs Redis version 7 or a compatible server. Each insertion is one script in one round trip, so it is atomic
/// across all processes. If Redis is down, slow (more than 500 milliseconds unless [set](Self::timeout)), full or
/// refuses the command, the answer is [`StoreUnavailable`]. Requests succeed again as soon as Redis is back, without a
/// restart. An insertion whose answer was lost may have been made.
///
/// The store remembers **since an epoch**. The epoch is stored under the key `{prefix}epoch`, with the server's time,
/// the `run_id` of its process and its count of evicted keys, and is read with every insertion. Something that was
/// issued before the epoch, or within the same second, is [`BeforeEpoch`](Remembered::BeforeEpoch). A new epoch begins
/// if the key is missing, or has another `run_id` or count. So a server that was restarted, empty or with old data, a
/// replica that was promoted, and a server that evicted keys of any kind, accept nothing that was issued before.
///
/// [`Guard::ready`](crate::Guard::ready) begins the epoch, so call it when a service starts. Otherwise the first
/// insertion begins it, and is refused. `ready` also reads the `maxmemory-policy`: unless that is `noeviction`, the
/// store is [`Misconfigured`](StoreStatus::Misconfigured).
///
/// The clocks of the services and of the server may differ by one second, unless [set](Self::clock_skew). To be safe,
/// something that was issued within that time after the epoch counts as before it, and entries are kept for that
/// much longer.
///
/// # Requirements for the server
///
/// - Set `maxmemory-policy noeviction`. With any other policy a full server evicts entries before they expire. Each
///   eviction begins a new epoch, so proofs and tokens are **refused** for as long as after a start of the server. With
///   `noeviction`, a full server is [`StoreUnavailable`]. An entry takes about 200 bytes of its memory.
/// - Give the store a Redis of its own. If it is shared with a cache, evictions of the cache begin epochs all day.
///   Anyone else who can write to it can have a token refused, or accepted again.
/// - Use one primary, with or without replicas. A proxy in front of it must send both keys of an insertion to the same
///   server. In a cluster, a [prefix](Self::prefix) with a hash tag (`{unconfused}:`) keeps all keys in one slot.
/// - Allow the user `EVAL`, `EVALSHA`, `TIME`, `INFO`, `GET` and `SET` on keys with the prefix. Without one of them
///   every insertion is [`StoreUnavailable`].
///
/// # What is not guaranteed
///
/// - **Failover.** Replication is asynchronous, and `WAIT` is not used. A replica that is promoted begins a new epoch,
///   so an entry that the old primary did not replicate is refused there, not accepted. While two primaries serve at
///   the same time, each accepts what the other one has seen. `min-replicas-to-write` with `min-replicas-max-lag`
///   limits how long that lasts. The same happens if a server becomes primary again in the same process, having
///   followed no other server in between. In that case, delete `{prefix}epoch`.
/// - **Clock jumps.** If the server's clock runs ahead for longer than an entry lasts and is then set back, the entry is
///   gone and the proof or token may be accepted again.
/// - **Persistence.** It has no use, because a restart begins a new epoch by design. Turn it off (`save ''`,
///   `appendonly no`).
/// - **Shares.** One subject or client may fill the whole store: there is no [`ShareFull`](Remembered::ShareFull). Only
///   the server's memory limits the entries, so put a rate limit in front.
/// - **Reset counts.** If keys are evicted and `CONFIG RESETSTAT` is called between two insertions, the count of
///   evicted keys can be what it was. In that case, delete `{prefix}epoch`.
///
/// [`Client`] and [`ConnectionManager`] are types of the crate `redis`, version 1.
///
/// ```
/// use std::time::Duration;
/// use unconfused::replay::RedisReplayStore;
///
/// let client = redis::Client::open("redis://127.0.0.1:6379")?; // does not connect yet
/// let store = RedisReplayStore::new(client).prefix("orders:").timeout(Duration::from_millis(200));
/// # let _ = store;
/// # Ok::<(), redis::RedisError>(())
/// ```
pub struct RedisReplayStore {
    connector: Arc<Connector>,
    prefix: String,
    timeout: Duration,
    skew: Duration,
}

impl RedisReplayStore {
    /// Creates a store on the server of this client.
    ///
    /// It connects when [`Guard::ready`](crate::Guard::ready) is called, or at the first insertion. All insertions must
    /// run in the same Tokio runtime. Outside of one, the answer is [`StoreUnavailable`].
    ///
    /// A connection on which something fails is replaced, at most every 5 seconds. This includes a connection that
    /// hangs, or that leads to a server that is no longer the primary.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self::from_source(ConnectionSource::Client(client))
    }

    /// Creates a store on an existing connection, which may be used for other purposes too.
    ///
    /// The connection reconnects by its own rules. These may give up when a server refuses connections or hangs, which
    /// a store from [`new`](Self::new) does not.
    #[must_use]
    pub fn with_connection(connection: ConnectionManager) -> Self {
        Self::from_source(ConnectionSource::Shared(connection))
    }

    fn from_source(source: ConnectionSource) -> Self {
        let script = Script::new(SCRIPT);
        RedisReplayStore {
            connector: Arc::new(Connector {
                source,
                current: Mutex::new(None),
                script,
                status: Mutex::new(StoreStatus::Unreported),
            }),
            prefix: "unconfused:".to_owned(),
            timeout: Duration::from_millis(500),
            skew: Duration::from_secs(1),
        }
    }

    /// Sets the prefix of all keys at the server.
    ///
    /// Defaults to `unconfused:`. All processes of a service need the same prefix.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        RedisReplayStore { prefix: prefix.into(), ..self }
    }

    /// Sets how long an insertion may take before it is [`StoreUnavailable`], and how long
    /// [`Guard::ready`](crate::Guard::ready) waits for the server.
    ///
    /// Defaults to 500 milliseconds.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        RedisReplayStore { timeout, ..self }
    }

    /// Sets how far the clocks of the services and of the server may differ.
    ///
    /// Defaults to one second. After a start of the server, everything is [`BeforeEpoch`](Remembered::BeforeEpoch) for
    /// this time and until the next full second.
    #[must_use]
    pub fn clock_skew(self, skew: Duration) -> Self {
        RedisReplayStore { skew, ..self }
    }

    fn epoch_key(&self) -> String {
        format!("{}epoch", self.prefix)
    }

    fn insertion(&self, entry: &ReplayEntry) -> Insertion {
        let key = URL_SAFE_NO_PAD.encode_to_string(entry.key());
        Insertion {
            epoch_key: self.epoch_key(),
            entry_key: format!("{}{key}", self.prefix),
            issued_at: floor_ms(entry.issued_at()),
            expires_at: ceil_ms(entry.expires_at()),
            skew: u64::try_from(self.skew.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl ReplayStore for RedisReplayStore {
    fn insert(&self, entry: ReplayEntry) -> ReplayAnswer {
        let insertion = self.insertion(&entry);
        let (connector, limit) = (self.connector.clone(), self.timeout);
        Answer::later(async move {
            match connector.within(limit, connector.insert(&insertion)).await? {
                FIRST => Ok(Remembered::First),
                AGAIN => Ok(Remembered::Again),
                BEFORE_EPOCH => Ok(Remembered::BeforeEpoch),
                _ => Err(StoreUnavailable::new("Redis gave an unexpected answer")),
            }
        })
    }

    fn warm_up(&self) -> Answer<'static, ()> {
        let (connector, limit, epoch_key) =
            (self.connector.clone(), self.timeout, self.epoch_key());
        Answer::later(async move {
            let status = match connector.within(limit, connector.begin(&epoch_key)).await {
                Ok(policy) if policy == "noeviction" => StoreStatus::Ready,
                Ok(policy) => StoreStatus::Misconfigured(format!(
                    "the server's maxmemory-policy is {policy}, not noeviction"
                )),
                Err(unavailable) => StoreStatus::Unavailable(with_causes(&unavailable)),
            };
            *connector.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
        })
    }

    /// How the store was when it was last warmed up.
    fn status(&self) -> StoreStatus {
        self.connector.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for RedisReplayStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisReplayStore({})", self.prefix)
    }
}

/// The arguments of the script. Times are in milliseconds.
struct Insertion {
    epoch_key: String,
    entry_key: String,
    issued_at: i64,
    expires_at: i64,
    skew: u64,
}

impl Insertion {
    /// `EVALSHA` with the hash of the script, or `EVAL` with its text.
    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(2).arg(&self.epoch_key).arg(&self.entry_key);
        command.arg(self.issued_at).arg(self.expires_at).arg(self.skew);
        command
    }
}

enum ConnectionSource {
    Client(Client),
    Shared(ConnectionManager),
}

/// Connects when it is first needed, and replaces connections that fail.
struct Connector {
    source: ConnectionSource,
    /// Stays empty if the connection is shared.
    current: Mutex<Option<Connection>>,
    script: Script,
    /// How the store was when it was last warmed up.
    status: Mutex<StoreStatus>,
}

struct Connection {
    manager: ConnectionManager,
    opened_at: Instant,
}

impl Connector {
    /// Waits for the server so long and no longer.
    async fn within<T>(
        &self,
        limit: Duration,
        answer: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, StoreUnavailable> {
        if Handle::try_current().is_err() {
            return Err(StoreUnavailable::new(
                "the Redis store needs a Tokio runtime, and this request runs outside of one",
            ));
        }
        let Ok(answer) = timeout(limit, answer).await else {
            self.discard_connection();
            let cause = format!("Redis did not answer within {} ms", limit.as_millis());
            return Err(StoreUnavailable::new(cause));
        };
        answer.map_err(StoreUnavailable::new)
    }

    /// Begins an epoch if there is none, and returns the server's `maxmemory-policy`.
    async fn begin(&self, epoch_key: &str) -> RedisResult<String> {
        let begin = || {
            self.run(|name, script| {
                let mut command = redis::cmd(name);
                command.arg(script).arg(1).arg(epoch_key);
                command
            })
        };
        match begin().await {
            Err(dropped) if dropped.is_connection_dropped() => begin().await?,
            answer => answer?,
        };
        let info: String =
            redis::cmd("INFO").arg("memory").query_async(&mut self.connection()?).await?;
        let policy = info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"));
        Ok(policy.unwrap_or("not reported").to_owned())
    }

    /// Tries once more if the connection was dropped, for example by a server that was restarted. If the entry is known
    /// then, the first attempt may have inserted it, so the outcome is in doubt.
    async fn insert(&self, insertion: &Insertion) -> RedisResult<i64> {
        let insert = || self.run(|name, script| insertion.command(name, script));
        match insert().await {
            Err(dropped) if dropped.is_connection_dropped() => match insert().await {
                Ok(AGAIN) => Err(dropped),
                answer => answer,
            },
            answer => answer,
        }
    }

    /// Runs the script by its hash, or by its text if the server does not know it.
    async fn run(&self, command: impl Fn(&str, &str) -> Cmd) -> RedisResult<i64> {
        let mut connection = self.connection()?;
        let by_hash = command("EVALSHA", self.script.get_hash());
        let mut answer = by_hash.query_async(&mut connection).await;
        if matches!(&answer, Err(error) if error.kind() == NO_SCRIPT) {
            answer = command("EVAL", SCRIPT).query_async(&mut connection).await;
        }
        if answer.is_err() {
            self.discard_connection();
        }
        answer
    }

    fn connection(&self) -> RedisResult<ConnectionManager> {
        let client = match &self.source {
            ConnectionSource::Client(client) => client,
            ConnectionSource::Shared(connection) => return Ok(connection.clone()),
        };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = &*current {
            return Ok(connection.manager.clone());
        }
        // There is no delay between attempts: each request that fails starts the next one.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(None);
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), config)?;
        *current = Some(Connection { manager: manager.clone(), opened_at: Instant::now() });
        Ok(manager)
    }

    /// Lets the next insertion open a new connection, unless this one is new itself. Insertions that are running keep
    /// the old one.
    fn discard_connection(&self) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.take_if(|connection| connection.opened_at.elapsed() >= CONNECT_TIMEOUT);
    }
}

const NO_SCRIPT: ErrorKind = ErrorKind::Server(ServerErrorKind::NoScript);

fn floor_ms(time: UtcDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MIN)
}

fn ceil_ms(time: UtcDateTime) -> i64 {
    let nanos = time.unix_timestamp_nanos().saturating_add(999_999);
    i64::try_from(nanos.div_euclid(1_000_000)).unwrap_or(i64::MAX)
}
