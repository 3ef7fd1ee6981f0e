//! The store in Redis, at a real server: `redis-server` on the PATH (Debian: `apt-get install redis-server`).
//! Without one, each test says so and passes.

#[path = "it/common/race.rs"]
mod race;

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use redis::{Client, RedisResult};
use time::UtcDateTime;
use tokio::sync::Barrier;
use tokio::time::sleep;
use unconfused::proof::Nonces;
use unconfused::replay::Remembered::{Again, BeforeEpoch, First};
use unconfused::replay::{
    RedisReplayStore, Remembered, ReplayEntry, ReplayStore, StoreStatus, StoreUnavailable,
};
use unconfused::testing::{TestIssuer, TestProofKey};
use unconfused::{Denial, Guard, Reason, Require};

use race::{READ, Recorded, dpop, once, proven, spendable};

// The server.

/// Killed when it is dropped, and its folder deleted.
struct Server {
    process: Child,
    port: u16,
    folder: PathBuf,
}

impl Server {
    /// Returns `None`, with a message, if there is none to start.
    fn start() -> Option<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("unconfused-redis-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let Some(process) = launch(port, &folder) else {
            eprintln!("SKIPPED: there is no `redis-server` on the PATH");
            std::fs::remove_dir_all(&folder).unwrap();
            return None;
        };
        Some(Server { process, port, folder })
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.process = launch(self.port, &self.folder).unwrap();
    }

    fn client(&self) -> Client {
        Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap()
    }

    fn store(&self) -> RedisReplayStore {
        RedisReplayStore::new(self.client())
    }

    /// For tests that judge at one moment, without clocks that differ.
    fn store_now(&self) -> RedisReplayStore {
        self.store().clock_skew(Duration::ZERO)
    }

    fn say<T: redis::FromRedisValue>(&self, words: &str) -> T {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        command.arg(words.collect::<Vec<_>>());
        let answer: RedisResult<T> = command.query(&mut self.client().get_connection().unwrap());
        answer.unwrap()
    }
}

/// In milliseconds; `None` if there is none.
fn epoch_of(server: &Server) -> Option<i64> {
    let epoch: Option<String> = server.say("GET unconfused:epoch");
    epoch.map(|epoch| epoch.split_once(' ').unwrap().0.parse().unwrap())
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn launch(port: u16, folder: &Path) -> Option<Child> {
    let process = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"])
        .arg("--dir")
        .arg(folder)
        .stdout(Stdio::null())
        .spawn()
        .ok()?;
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "redis-server does not come up");
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(process)
}

// What is offered.

fn entry(name: &str, issued_at: UtcDateTime) -> ReplayEntry {
    let lasts = Duration::from_secs(600);
    ReplayEntry::for_test(name, "", "", issued_at, issued_at + lasts, UtcDateTime::now())
}

/// Issued a minute from now: after any epoch of this test.
fn late(name: &str) -> ReplayEntry {
    entry(name, UtcDateTime::now() + Duration::from_secs(60))
}

async fn offer(
    store: &RedisReplayStore,
    entry: ReplayEntry,
) -> Result<Remembered, StoreUnavailable> {
    store.insert(entry).await
}

/// Waits until what is issued then is issued after the epoch of a server that was first asked now.
async fn past_the_epoch() {
    sleep(Duration::from_millis(1100)).await;
}

/// The clock of a replica that makes nonces may be two seconds ahead.
async fn past_the_epoch_for_nonces() {
    sleep(Duration::from_millis(3100)).await;
}

// The tests.

#[tokio::test]
async fn the_first_is_first_and_then_it_is_again() {
    let Some(server) = Server::start() else { return };
    let (one, other) = (server.store(), server.store());
    assert_eq!(offer(&one, late("x")).await.unwrap(), First);
    assert_eq!(offer(&one, late("x")).await.unwrap(), Again);
    assert_eq!(offer(&other, late("x")).await.unwrap(), Again);
    assert_eq!(offer(&other, late("y")).await.unwrap(), First);
    let elsewhere = server.store().prefix("elsewhere:");
    assert_eq!(offer(&elsewhere, late("x")).await.unwrap(), First);
    let keys: Vec<String> = server.say("KEYS *");
    assert_eq!(keys.iter().filter(|key| key.starts_with("unconfused:")).count(), 3);
    assert_eq!(keys.iter().filter(|key| key.starts_with("elsewhere:")).count(), 2);
}

#[tokio::test]
async fn a_connection_that_is_there_serves() {
    let Some(server) = Server::start() else { return };
    let connection = server.client().get_connection_manager().await.unwrap();
    let store = RedisReplayStore::with_connection(connection);
    assert_eq!(offer(&store, late("x")).await.unwrap(), First);
    assert_eq!(offer(&server.store(), late("x")).await.unwrap(), Again);
}

#[tokio::test]
async fn what_was_issued_before_the_epoch_or_in_its_second_is_forgotten() {
    let Some(server) = Server::start() else { return };
    let store = server.store();
    assert_eq!(offer(&store, late("meet")).await.unwrap(), First);
    let epoch = i128::from(epoch_of(&server).unwrap());
    let issued = |milliseconds: i128| {
        let at = UtcDateTime::from_unix_timestamp_nanos(milliseconds * 1_000_000).unwrap();
        entry(&format!("issued at {milliseconds}"), at)
    };
    let second = epoch.div_euclid(1000) * 1000;
    // One second for clocks that differ, and the rest of the second of the epoch.
    for milliseconds in [second - 60_000, second, epoch, epoch + 1000, second + 1999] {
        let answer = offer(&store, issued(milliseconds)).await.unwrap();
        assert_eq!(answer, BeforeEpoch, "{milliseconds} of {epoch}");
    }
    assert_eq!(offer(&store, issued(second + 2000)).await.unwrap(), First);
    let exact = server.store_now();
    assert_eq!(offer(&exact, issued(second + 999)).await.unwrap(), BeforeEpoch);
    assert_eq!(offer(&exact, issued(second + 1000)).await.unwrap(), First);
    assert_eq!(epoch_of(&server).map(i128::from), Some(epoch), "it is written once");
}

#[tokio::test]
async fn an_entry_is_kept_until_it_expires_and_what_has_expired_is_not_accepted() {
    let Some(server) = Server::start() else { return };
    let store = server.store();
    let now = UtcDateTime::now();
    let lasting = |name, lasts: i64| {
        let until = now.unix_timestamp() + lasts;
        let until = UtcDateTime::from_unix_timestamp(until).unwrap();
        ReplayEntry::for_test(name, "", "", now + Duration::from_secs(60), until, now)
    };
    assert_eq!(offer(&store, lasting("minute", 60)).await.unwrap(), First);
    let keys: Vec<String> = server.say("KEYS *");
    let key = keys.iter().find(|key| *key != "unconfused:epoch").unwrap();
    let left: i64 = server.say(&format!("PTTL {key}"));
    assert!((59_000..=62_000).contains(&left), "{left}");

    // For clocks that differ by up to one second, an entry of now is kept for one.
    assert_eq!(offer(&store, lasting("now", 1)).await.unwrap(), First);
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(4500) {
        let answer = offer(&store, lasting("now", 1)).await.unwrap();
        assert!(matches!(answer, Again | BeforeEpoch), "after {:?}", began.elapsed());
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(offer(&store, lasting("now", 1)).await.unwrap(), BeforeEpoch);
    let keys: Vec<String> = server.say("KEYS *");
    assert_eq!(keys.len(), 2, "{keys:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixty_four_tasks_over_two_stores_one_is_first() {
    const ROUNDS: usize = 10_000;
    const TASKS: usize = 64;
    let Some(server) = Server::start() else { return };
    let stores = [Arc::new(server.store()), Arc::new(server.store())];
    let together = Arc::new(Barrier::new(TASKS));
    let issued = UtcDateTime::now() + Duration::from_secs(60);
    let tasks = (0..TASKS).map(|task| {
        let (store, together) = (stores[task % 2].clone(), together.clone());
        tokio::spawn(async move {
            let mut won = BTreeSet::new();
            for round in 0..ROUNDS {
                together.wait().await;
                match offer(&store, entry(&round.to_string(), issued)).await.unwrap() {
                    First => assert!(won.insert(round)),
                    answer => assert_eq!(answer, Again),
                }
            }
            won
        })
    });
    let mut by_store = [0, 0];
    let mut rounds = BTreeSet::new();
    for (task, running) in tasks.collect::<Vec<_>>().into_iter().enumerate() {
        for round in running.await.unwrap() {
            assert!(rounds.insert(round), "round {round} was won twice");
            by_store[task % 2] += 1;
        }
    }
    assert_eq!(rounds.len(), ROUNDS);
    eprintln!("rounds won by each store: {by_store:?}");
    assert!(by_store.iter().all(|won| *won > 0), "{by_store:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_empty_has_forgotten_everything() {
    let Some(mut server) = Server::start() else { return };
    let store = Arc::new(server.store_now());
    let _ = offer(&store, late("meet")).await.unwrap();
    past_the_epoch().await;

    // Requests all the while, of four tasks.
    let tasks: Vec<_> = (0..4)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut accepted = Vec::new();
                for number in 0.. {
                    let entry = entry(&format!("{task}/{number}"), UtcDateTime::now());
                    match offer(&store, entry.clone()).await {
                        Ok(First) => accepted.push(entry),
                        Ok(answer) => panic!("{answer:?} while the server is up"),
                        Err(_) => break,
                    }
                }
                accepted
            })
        })
        .collect();
    sleep(Duration::from_millis(300)).await;
    server.kill();
    let mut accepted = Vec::new();
    for task in tasks {
        accepted.extend(task.await.unwrap());
    }
    assert!(accepted.len() > 100, "{}", accepted.len());

    // Away.
    for number in 0..50 {
        let entry = entry(&format!("away/{number}"), UtcDateTime::now());
        let began = Instant::now();
        let refused = offer(&store, entry).await.unwrap_err();
        assert!(refused.to_string().starts_with("the replay store is unavailable: "), "{refused}");
        assert!(began.elapsed() < Duration::from_secs(1));
    }

    // Back, and empty: the first request is answered.
    server.start_again();
    for entry in &accepted {
        assert_eq!(offer(&store, entry.clone()).await.unwrap(), BeforeEpoch);
    }
    past_the_epoch().await;
    let new = entry("new", UtcDateTime::now());
    assert_eq!(offer(&store, new.clone()).await.unwrap(), First);
    assert_eq!(offer(&store, new).await.unwrap(), Again);
    for entry in &accepted {
        assert_eq!(offer(&store, entry.clone()).await.unwrap(), BeforeEpoch);
    }
}

#[tokio::test]
async fn a_server_that_comes_back_with_old_data_has_forgotten_everything() {
    let Some(mut server) = Server::start() else { return };
    let store = server.store_now();
    let _ = offer(&store, late("meet")).await.unwrap();
    past_the_epoch().await;
    let (before, after) = (entry("before", UtcDateTime::now()), entry("after", UtcDateTime::now()));
    assert_eq!(offer(&store, before.clone()).await.unwrap(), First);
    let _: String = server.say("SAVE");
    let old = epoch_of(&server);
    assert_eq!(offer(&store, after.clone()).await.unwrap(), First);
    server.kill();
    server.start_again();
    assert_eq!(epoch_of(&server), old, "the data is back");
    assert_eq!(offer(&store, after).await.unwrap(), BeforeEpoch);
    assert_eq!(offer(&store, before).await.unwrap(), BeforeEpoch);
    assert!(epoch_of(&server) > old);
}

#[tokio::test]
async fn a_promoted_replica_does_not_know_what_was_not_replicated() {
    let (Some(primary), Some(replica)) = (Server::start(), Server::start()) else { return };
    let _: String = replica.say(&format!("REPLICAOF 127.0.0.1 {}", primary.port));
    let store = primary.store_now();
    let _ = offer(&store, late("meet")).await.unwrap();
    past_the_epoch().await;
    let began = Instant::now();
    while epoch_of(&replica).is_none() {
        assert!(began.elapsed() < Duration::from_secs(20), "no replication");
        sleep(Duration::from_millis(20)).await;
    }
    // A replica accepts no writes, so asking it fails.
    let astray = replica.store_now();
    let refused = offer(&astray, late("astray")).await.unwrap_err().to_string();
    assert!(refused.to_lowercase().contains("read"), "{refused}");

    let lost = entry("lost", UtcDateTime::now());
    assert_eq!(offer(&store, lost.clone()).await.unwrap(), First);
    let _: String = replica.say("REPLICAOF NO ONE");
    drop(primary);
    assert_eq!(offer(&replica.store_now(), lost).await.unwrap(), BeforeEpoch);
}

/// With this policy and so little memory that some hundred insertions fill it, whatever the server needs itself.
fn fill_soon(server: &Server, policy: &str) {
    let _: String = server.say(&format!("CONFIG SET maxmemory-policy {policy}"));
    let info: String = server.say("INFO memory");
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    let most = used.parse::<u64>().unwrap() + 60_000;
    let _: String = server.say(&format!("CONFIG SET maxmemory {most}"));
}

fn evicted_by(server: &Server) -> u64 {
    let info: String = server.say("INFO stats");
    info.lines().find_map(|line| line.strip_prefix("evicted_keys:")).unwrap().parse().unwrap()
}

#[tokio::test]
async fn what_a_server_evicts_does_not_come_in_again() {
    for policy in ["allkeys-lru", "allkeys-random", "volatile-lru"] {
        let Some(server) = Server::start() else { return };
        let store = server.store_now();
        assert_eq!(offer(&store, late("meet")).await.unwrap(), First);
        past_the_epoch().await;
        fill_soon(&server, policy);
        // For some seconds, since each eviction ends what is accepted within its second.
        let (mut accepted, began) = (Vec::new(), Instant::now());
        for number in 0.. {
            if number > 1000 && began.elapsed() > Duration::from_secs(3) {
                break;
            }
            let entry = entry(&number.to_string(), UtcDateTime::now());
            if offer(&store, entry.clone()).await.unwrap() == First {
                accepted.push(entry);
            }
        }
        let evicted = evicted_by(&server);
        assert!(accepted.len() > 100 && evicted > 0, "{policy}: {} and {evicted}", accepted.len());
        let mut again = 0;
        for entry in &accepted {
            again += usize::from(offer(&store, entry.clone()).await.unwrap() == First);
        }
        let accepted = accepted.len();
        eprintln!("{policy}: {evicted} evicted; of {accepted} accepted, {again} came in again");
        assert_eq!(again, 0, "{policy}: of {accepted} accepted, {again} came in again");
    }
}

#[tokio::test]
async fn what_a_server_evicted_does_not_come_in_again_under_another_policy() {
    let Some(server) = Server::start() else { return };
    let store = server.store_now();
    assert_eq!(offer(&store, late("meet")).await.unwrap(), First);
    past_the_epoch().await;
    let mut accepted = Vec::new();
    for number in 0..300 {
        let entry = entry(&number.to_string(), UtcDateTime::now());
        assert_eq!(offer(&store, entry.clone()).await.unwrap(), First);
        accepted.push(entry);
    }
    // It evicts between two insertions, and is as it should be at both.
    let _: String = server.say("CONFIG SET maxmemory-policy volatile-lru");
    let _: String = server.say("CONFIG SET maxmemory 1");
    let began = Instant::now();
    while evicted_by(&server) < 300 {
        assert!(began.elapsed() < Duration::from_secs(20), "{} evicted", evicted_by(&server));
        sleep(Duration::from_millis(20)).await;
    }
    let _: String = server.say("CONFIG SET maxmemory 0");
    let _: String = server.say("CONFIG SET maxmemory-policy noeviction");
    let mut again = 0;
    for entry in accepted {
        again += usize::from(offer(&store, entry).await.unwrap() == First);
    }
    assert_eq!(again, 0, "of 300 accepted, {again} came in again");
}

#[tokio::test]
async fn ready_begins_the_epoch_and_says_if_the_policy_is_not_noeviction() {
    let Some(server) = Server::start() else { return };
    let login = race::login();
    let start = || race::guard(&login, dpop(), || server.store_now());
    let guard = start();
    assert_eq!(epoch_of(&server), None);
    let not_asked = "store of proofs: unreported; store of spent tokens: unreported";
    assert!(guard.readiness().to_string().ends_with(not_asked), "{}", guard.readiness());

    let readiness = guard.ready().await;
    assert!(readiness.is_ready(), "{readiness}");
    let ready = "store of proofs: ready; store of spent tokens: ready";
    assert!(readiness.to_string().ends_with(ready), "{readiness}");
    assert!(guard.ready().now().is_some(), "a store that was ready is not asked again");
    let epoch = epoch_of(&server);
    assert!(epoch.is_some());
    // So the first request that comes after the tolerance passes.
    past_the_epoch().await;
    let offered = proven(&login, &TestProofKey::new(), None);
    guard.authorize(&mut offered.head(), once()).await.unwrap();
    assert_eq!(epoch_of(&server), epoch);

    for policy in ["allkeys-lru", "volatile-ttl"] {
        let _: String = server.say(&format!("CONFIG SET maxmemory-policy {policy}"));
        let guard = start();
        let readiness = guard.ready().await;
        assert!(!readiness.is_ready() && !guard.readiness().is_ready(), "{readiness}");
        let problem = format!("the server's maxmemory-policy is {policy}, not noeviction");
        for store in ["proofs", "spent tokens"] {
            let line = format!("store of {store}: misconfigured problem={problem:?}");
            assert!(readiness.to_string().contains(&line), "{readiness}");
        }
        let _: String = server.say("CONFIG SET maxmemory-policy noeviction");
        assert!(guard.ready().await.is_ready(), "it is asked again");
    }
    assert_eq!(epoch_of(&server), epoch, "another process does not begin another epoch");
}

#[tokio::test]
async fn a_server_that_is_away_is_no_reason_not_to_start() {
    let Some(mut server) = Server::start() else { return };
    server.kill();
    let guard = race::guard(&race::login(), dpop(), || server.store_now());
    let began = Instant::now();
    let readiness = guard.ready().await;
    assert!(began.elapsed() < Duration::from_secs(3));
    assert!(readiness.is_ready(), "{readiness}");
    for (name, status) in readiness.stores() {
        assert!(matches!(status, StoreStatus::Unavailable(_)), "{name}: {status}");
    }
    server.start_again();
    let readiness = guard.ready().await;
    assert!(readiness.stores().all(|(_, status)| *status == StoreStatus::Ready), "{readiness}");
    assert!(epoch_of(&server).is_some());
}

#[tokio::test]
async fn a_full_or_slow_or_odd_server_is_unavailable() {
    let Some(server) = Server::start() else { return };
    let store = server.store().timeout(Duration::from_millis(200));
    assert_eq!(offer(&store, late("x")).await.unwrap(), First);

    let _: String = server.say("CONFIG SET maxmemory 1");
    let refused = offer(&store, late("y")).await.unwrap_err().to_string();
    assert!(refused.contains("maxmemory"), "{refused}");
    let _: String = server.say("CONFIG SET maxmemory 0");
    assert_eq!(offer(&store, late("y")).await.unwrap(), First);

    let _: String = server.say("CLIENT PAUSE 1000 ALL");
    let began = Instant::now();
    let refused = offer(&store, late("z")).await.unwrap_err().to_string();
    assert_eq!(refused, "the replay store is unavailable: Redis did not answer within 200 ms");
    assert!(began.elapsed() < Duration::from_millis(900));
    sleep(Duration::from_millis(1100)).await;
    // It was made all the same, and stays spent.
    assert_eq!(offer(&store, late("z")).await.unwrap(), Again);

    let _: i64 = server.say("DEL unconfused:epoch");
    let _: i64 = server.say("LPUSH unconfused:epoch x");
    offer(&store, late("w")).await.unwrap_err();
    // What is not a time counts as none.
    let _: String = server.say("SET unconfused:epoch x");
    assert_eq!(offer(&store, entry("v", UtcDateTime::now())).await.unwrap(), BeforeEpoch);
    // Nor is one that is still to come.
    let epoch: String = server.say("GET unconfused:epoch");
    let (_, process) = epoch.split_once(' ').unwrap();
    let far = [&b"9999999999999 "[..], process.as_bytes()].concat();
    let mut connection = server.client().get_connection().unwrap();
    redis::cmd("SET").arg("unconfused:epoch").arg(far).exec(&mut connection).unwrap();
    assert_eq!(offer(&store, entry("v", UtcDateTime::now())).await.unwrap(), BeforeEpoch);
    assert_eq!(offer(&store, late("v")).await.unwrap(), First);

    // Without a permission that it needs.
    let _: String = server.say("ACL SETUSER narrow on nopass ~* +@all -info");
    let address = format!("redis://narrow:x@127.0.0.1:{}", server.port);
    let narrow = RedisReplayStore::new(Client::open(address).unwrap());
    let refused = offer(&narrow, late("u")).await.unwrap_err().to_string();
    assert!(refused.contains("can't run this command"), "{refused}");
}

#[tokio::test]
async fn a_server_that_was_never_there_is_not_an_error_until_it_is_asked() {
    let Some(mut server) = Server::start() else { return };
    server.kill();
    let store = server.store();
    for _ in 0..3 {
        offer(&store, late("x")).await.unwrap_err();
    }
    server.start_again();
    assert_eq!(offer(&store, late("x")).await.unwrap(), First);
}

#[tokio::test]
async fn a_connection_that_hangs_is_left() {
    // Accepts connections and sends nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let store = RedisReplayStore::new(Client::open(format!("redis://127.0.0.1:{port}")).unwrap());
    silent.set_nonblocking(true).unwrap();
    let began = Instant::now();
    let mut connections = Vec::new();
    while began.elapsed() < Duration::from_secs(7) {
        let asked = Instant::now();
        offer(&store, late("x")).await.unwrap_err();
        assert!(asked.elapsed() < Duration::from_secs(1));
        while let Ok(connection) = silent.accept() {
            connections.push(connection);
        }
    }
    assert!((2..=4).contains(&connections.len()), "{connections:?}");
}

#[test]
fn outside_a_runtime_it_is_unavailable() {
    let store = RedisReplayStore::new(Client::open("redis://127.0.0.1:1").unwrap());
    let mut answer = std::pin::pin!(std::future::IntoFuture::into_future(store.insert(late("x"))));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(answer) = answer.as_mut().poll(&mut context) else {
        panic!("it waits")
    };
    assert!(answer.unwrap_err().to_string().contains("Tokio runtime"));
}

// Through guards.

async fn guards_race(rounds: usize) {
    let Some(server) = Server::start() else { return };
    let login = race::login();
    let guards = [(); 2].map(|()| race::guard(&login, dpop(), || server.store_now()));
    let _ = offer(&server.store_now(), late("meet")).await.unwrap();
    past_the_epoch().await;
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
    guards_race(50).await;
}

/// `cargo test --release --features redis --test redis -- --ignored`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes; run by the command above"]
async fn of_sixty_four_tasks_at_two_guards_one_passes_in_ten_thousand_rounds() {
    guards_race(10_000).await;
}

/// What is offered once: a proof, a proof with a nonce, a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Proof,
    ProofWithNonce,
    Token,
}

const KINDS: [Kind; 3] = [Kind::Proof, Kind::ProofWithNonce, Kind::Token];

/// A service of two processes, as far as a store can tell.
#[derive(Clone)]
struct Replicas {
    login: TestIssuer,
    key: TestProofKey,
    plain: [Guard; 2],
    with_nonces: [Guard; 2],
}

impl Replicas {
    fn over(server: &Server) -> Self {
        let login = race::login();
        let of = |dpop: unconfused::proof::Dpop| {
            [(); 2].map(|()| race::guard(&login, dpop.clone(), || server.store_now()))
        };
        let with_nonces = of(dpop().nonces(Nonces::new([7; 32])));
        Replicas { plain: of(dpop()), with_nonces, key: TestProofKey::new(), login }
    }

    fn guard(&self, kind: Kind, replica: usize) -> &Guard {
        match kind {
            Kind::Proof | Kind::Token => &self.plain[replica],
            Kind::ProofWithNonce => &self.with_nonces[replica],
        }
    }

    /// The nonce that a client without one is given.
    async fn nonce(&self) -> String {
        let mut head = proven(&self.login, &self.key, None).head();
        let refused = self.with_nonces[0].authorize(&mut head, READ).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::DpopNonceRequired);
        nonce_of(&refused)
    }

    async fn fresh(&self, kind: Kind) -> Recorded {
        match kind {
            Kind::Proof => proven(&self.login, &self.key, None),
            Kind::ProofWithNonce => proven(&self.login, &self.key, Some(&self.nonce().await)),
            Kind::Token => spendable(&self.login),
        }
    }

    async fn ask(&self, kind: Kind, replica: usize, offered: &Recorded) -> Result<(), Denial> {
        let requirement = match kind {
            Kind::Proof | Kind::ProofWithNonce => Require::scope(READ),
            Kind::Token => once(),
        };
        let mut head = offered.head();
        self.guard(kind, replica).authorize(&mut head, requirement).await.map(drop)
    }

    /// Any of the replicas may be asked.
    async fn assert_refused(&self, kind: Kind, offered: &Recorded, reason: Reason) {
        for replica in 0..2 {
            let refused = self.ask(kind, replica, offered).await.unwrap_err();
            assert_eq!(refused.reason(), reason, "{kind:?}: {refused}");
            assert_eq!(refused.status(), 401);
            let is_told = refused.headers().contains_key("dpop-nonce");
            assert_eq!(is_told, kind == Kind::ProofWithNonce, "{kind:?}");
        }
    }
}

fn nonce_of(refused: &Denial) -> String {
    refused.headers()["dpop-nonce"].to_str().unwrap().to_owned()
}

/// If the store is unavailable, no client is asked to log in again, and the answer says when to come back.
fn assert_away(refused: &Denial) {
    assert_eq!(refused.reason(), Reason::ReplayStoreUnavailable, "{refused}");
    assert_eq!(refused.status(), 503);
    let headers = refused.headers();
    let retry_after: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&retry_after), "{retry_after}");
    assert!(!headers.contains_key("www-authenticate"));
    assert!(!headers.contains_key("dpop-nonce"));
}

/// Of what a store has forgotten.
fn forgotten(kind: Kind) -> Reason {
    match kind {
        Kind::Proof => Reason::DpopProofStale,
        Kind::ProofWithNonce => Reason::DpopNonceInvalid,
        Kind::Token => Reason::TokenSpent,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guards_survive_a_server_that_is_killed_and_comes_back_empty() {
    let Some(mut server) = Server::start() else { return };
    let service = Replicas::over(&server);
    let _ = offer(&server.store_now(), late("meet")).await.unwrap();
    past_the_epoch_for_nonces().await;

    // Requests all the while, of each kind at each replica, until one is not answered.
    let tasks: Vec<_> = KINDS
        .into_iter()
        .flat_map(|kind| [(kind, 0), (kind, 1)])
        .map(|(kind, replica)| {
            let service = service.clone();
            tokio::spawn(async move {
                let mut accepted = Vec::new();
                loop {
                    let offered = service.fresh(kind).await;
                    match service.ask(kind, replica, &offered).await {
                        Ok(()) => accepted.push((kind, offered)),
                        Err(refused) => {
                            assert_away(&refused);
                            return (accepted, (kind, offered));
                        }
                    }
                }
            })
        })
        .collect();
    sleep(Duration::from_millis(500)).await;
    server.kill();
    let (mut accepted, mut in_doubt) = (Vec::new(), Vec::new());
    for task in tasks {
        let (of_task, last) = task.await.unwrap();
        assert!(of_task.len() > 5, "{}", of_task.len());
        accepted.extend(of_task);
        in_doubt.push(last);
    }

    // Away: 503, at once, of what was accepted and of what is new.
    for (kind, offered) in accepted.iter().step_by(50) {
        assert_away(&service.ask(*kind, 0, offered).await.unwrap_err());
    }
    for kind in KINDS {
        for replica in 0..2 {
            let offered = service.fresh(kind).await;
            let began = Instant::now();
            assert_away(&service.ask(kind, replica, &offered).await.unwrap_err());
            assert!(began.elapsed() < Duration::from_secs(1));
            in_doubt.push((kind, offered));
        }
    }
    // What remembers nothing is not asked.
    let reader = service.login.token(&race::ORDERS).scope("orders:read").bearer();
    let mut head = http::Request::get("/").header("authorization", reader).body(()).unwrap();
    *head.uri_mut() = "/orders".parse().unwrap();
    let mut head = head.into_parts().0;
    service.plain[0].authorize(&mut head, READ).await.unwrap();

    // Back, and empty. The guards are the same ones, and the first request is answered.
    server.start_again();
    for (kind, offered) in accepted.iter().chain(&in_doubt) {
        service.assert_refused(*kind, offered, forgotten(*kind)).await;
    }
    assert_eq!(server.say::<i64>("DBSIZE"), 1, "the epoch, and nothing of what was refused");

    // What is new passes, once.
    past_the_epoch_for_nonces().await;
    for kind in KINDS {
        for replica in 0..2 {
            let offered = service.fresh(kind).await;
            service.ask(kind, replica, &offered).await.unwrap();
            for replica in 0..2 {
                let again = service.ask(kind, replica, &offered).await.unwrap_err();
                let expected = match kind {
                    Kind::Proof | Kind::ProofWithNonce => Reason::DpopProofReplayed,
                    Kind::Token => Reason::TokenSpent,
                };
                assert_eq!(again.reason(), expected);
            }
        }
    }
    // What was accepted before stays refused; its client is given a nonce to go on with.
    for (kind, offered) in accepted.iter().chain(&in_doubt) {
        service.assert_refused(*kind, offered, forgotten(*kind)).await;
    }
    let kind = Kind::ProofWithNonce;
    let (_, stale) = accepted.iter().find(|(of, _)| *of == kind).unwrap();
    let refused = service.ask(kind, 0, stale).await.unwrap_err();
    let offered = proven(&service.login, &service.key, Some(&nonce_of(&refused)));
    service.ask(kind, 0, &offered).await.unwrap();
    eprintln!("{} accepted before, and {} in doubt: none after", accepted.len(), in_doubt.len());
}

/// The default settings. What is new passes when the tolerance has passed, two seconds with nonces, ten
/// without, thirty for tokens, and at most two more, as both ends are in whole seconds.
#[tokio::test]
#[ignore = "half a minute of waiting; .ci/run runs it"]
async fn with_the_settings_that_are_given_new_ones_pass_after_the_tolerances() {
    let Some(server) = Server::start() else { return };
    let (login, key) = (race::login(), TestProofKey::new());
    let of = |dpop| {
        Guard::new(race::ORDERS, login.issuer()).dpop(dpop, server.store()).replay(server.store())
    };
    let (plain, with_nonces) = (of(dpop()), of(dpop().nonces(Nonces::new([7; 32]))));
    let _ = offer(&server.store(), late("meet")).await.unwrap();
    let began = Instant::now();
    let mut since = [None; 3];
    while since.contains(&None) {
        let elapsed = began.elapsed().as_secs_f64();
        assert!(elapsed < 40.0, "{since:?}");
        let asks = [
            (&with_nonces, Some(()), Require::scope(READ)),
            (&plain, None, Require::scope(READ)),
            (&plain, None, once()),
        ];
        for (place, (guard, by_nonce, requirement)) in asks.into_iter().enumerate() {
            let mut nonce = None;
            if by_nonce.is_some() {
                let mut head = proven(&login, &key, None).head();
                nonce = Some(nonce_of(&guard.authorize(&mut head, READ).await.unwrap_err()));
            }
            let offered = match place {
                2 => spendable(&login),
                _ => proven(&login, &key, nonce.as_deref()),
            };
            if guard.authorize(&mut offered.head(), requirement).await.is_ok() {
                since[place].get_or_insert(elapsed);
            } else {
                assert_eq!(since[place], None, "it passed before");
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
    eprintln!("seconds until proofs with nonces, proofs, tokens pass: {since:.1?}");
    for (since, most) in since.into_iter().zip([4.0, 12.0, 32.0]) {
        assert!((most - 1.2..most + 0.6).contains(&since.unwrap()), "{since:?} of {most}");
    }
}
