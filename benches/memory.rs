//! What the cache of validated tokens costs if no token comes twice, and what it keeps:
//! `cargo bench --bench memory`, some minutes; with `--features aws-lc` for both backends.
//!
//! Heap is what Rust's allocator is asked for. What that adds, and what OpenSSL and AWS-LC allocate, is not counted.
//! `cargo test --bench memory` does the same with few tokens: its times say nothing, only that the heap is bounded.

mod fixtures;

use std::hint::black_box;
use std::time::{Duration, Instant};

use http::Request;
use http::request::Parts;
use unconfused::keys::{Algorithm, Backend};
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::{Acr, Audience, Guard, Issuer, Require, Scope};

use fixtures::{AUDIENCE, ISSUER, PATH, SCOPE, small};

const ORDERS: Audience = Audience::from_static(AUDIENCE);
const REFUND: Scope = Scope::from_static(SCOPE);

/// How much is done.
struct Plan {
    /// How many tokens the cache has room for.
    room: usize,
    /// Tokens of a round.
    round: usize,
    rounds: usize,
    /// With RSA, whose signatures take long to make.
    rounds_rsa: usize,
}

fn main() {
    let full = Plan { room: 10_000, round: 1000, rounds: 1000, rounds_rsa: 100 };
    let quick = Plan { room: 200, round: 100, rounds: 20, rounds_rsa: 8 };
    let plan = if std::env::args().any(|arg| arg == "--bench") { full } else { quick };
    println!("{}, {} cores", cpu(), cores());
    distinct(Algorithm::Es256, plan.rounds, &plan);
    distinct(Algorithm::Rs256, plan.rounds_rsa, &plan);
    kept("large", large, plan.room);
    kept("small", small, plan.room);
    let each = kept("longest", longest, plan.room);
    assert!(
        each < 4.5 * 1024.0,
        "the cache holds more than 4 KiB for each token, and what it adds"
    );
}

fn large(issuer: &TestIssuer) -> TestToken {
    fixtures::large(issuer, AUDIENCE, 15)
}

/// Almost 16 KiB, the most that a guard accepts by default.
fn longest(issuer: &TestIssuer) -> TestToken {
    let values: Vec<_> = (0..9).map(|n| format!("{n}").repeat(1250)).collect();
    large(issuer).claim("groups", values)
}

/// Without a bound on the age of the login, since this takes minutes.
fn require() -> Require {
    let acr = Acr::from_static("phr");
    Require::scope(REFUND).acr([acr]).actor([(ISSUER, "support-agent")])
}

/// Each has an id of its own. Signed on all cores.
fn mint(issuer: &TestIssuer, token: fn(&TestIssuer) -> TestToken, count: usize) -> Vec<String> {
    let each = count.div_ceil(cores());
    std::thread::scope(|scope| {
        let sign = || (0..each).map(|_| token(issuer).sign()).collect::<Vec<_>>();
        let signing: Vec<_> = (0..cores()).map(|_| scope.spawn(sign)).collect();
        signing.into_iter().flat_map(|part| part.join().expect("signed")).take(count).collect()
    })
}

fn head(token: &String) -> Parts {
    let request = Request::post(PATH).header("authorization", format!("Bearer {token}"));
    request.body(()).expect("a request").into_parts().0
}

/// One request for each token, granted and done: what a token takes, in microseconds, and what stays on the heap,
/// in bytes.
fn send(guard: &Guard, tokens: &[String]) -> (f64, i64) {
    let (require, mut took) = (require(), Duration::ZERO);
    let heap = allocation_counter::measure(|| {
        let heads: Vec<_> = tokens.iter().map(head).collect();
        let begin = Instant::now();
        for mut head in heads {
            let granted = guard.authorize(black_box(&mut head), &require).now();
            drop(black_box(granted.expect("at once").expect("granted")));
        }
        took = begin.elapsed();
    });
    (took.as_secs_f64() * 1e6 / tokens.len() as f64, heap.bytes_current)
}

/// A guard that remembers, beside one that does not.
struct Pair {
    backend: Backend,
    remembers: Guard,
    cold: Guard,
    rounds: Vec<Round>,
}

struct Round {
    /// What a token takes of each.
    remembers: f64,
    cold: f64,
    /// What the cache holds then, in bytes.
    held: i64,
}

impl Pair {
    fn new(backend: Backend, issuer: &TestIssuer, room: usize) -> Self {
        let guard = Guard::new(ORDERS, Issuer::new(ISSUER, issuer.keys()).backend(backend));
        let cold = guard.clone().token_cache_capacity(0);
        // What is made once is made here.
        send(&cold, &mint(issuer, large, 100));
        Pair { backend, remembers: guard.token_cache_capacity(room), cold, rounds: Vec::new() }
    }

    /// Both get the same tokens, once; they take turns in being first.
    fn round(&mut self, tokens: &[String]) {
        let first = self.rounds.len().is_multiple_of(2);
        let early = first.then(|| send(&self.remembers, tokens));
        let (cold, left) = send(&self.cold, tokens);
        let (remembers, more) = early.unwrap_or_else(|| send(&self.remembers, tokens));
        assert_eq!(left, 0, "a guard without a cache keeps something");
        let held = self.rounds.last().map_or(0, |last| last.held) + more;
        self.rounds.push(Round { remembers, cold, held });
    }

    /// `filled`: the rounds until the cache was full for sure.
    fn print(&self, filled: usize) {
        let sorted = |value: fn(&Round) -> f64| {
            let mut values: Vec<_> = self.rounds.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let ratios = sorted(|round| round.remembers / round.cold);
        let (cold, more) =
            (sorted(|round| round.cold), sorted(|round| round.remembers - round.cold));
        println!(
            "  {:?}: {:.3} times cold ({:.3} to {:.3} in the middle half of the rounds): {:.2} µs more than {:.1} µs",
            self.backend,
            part(&ratios, 0.5),
            part(&ratios, 0.25),
            part(&ratios, 0.75),
            part(&more, 0.5),
            part(&cold, 0.5),
        );
        let (before, after) = self.rounds.split_at(filled);
        let most = |rounds: &[Round]| rounds.iter().map(|round| round.held).max().unwrap_or(0);
        let (before, after) = (most(before) as f64 / 1e6, most(after) as f64 / 1e6);
        println!("    heap held: {before:.2} MB when it is full, {after:.2} MB at most after that");
        assert!(before > 0.0 && after < 1.1 * before, "the heap grows");
    }
}

/// Returns the value that this part of all is below.
fn part(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}

/// No token comes twice: none is found in the cache, and each evicts another.
fn distinct(algorithm: Algorithm, rounds: usize, plan: &Plan) {
    let issuer = TestIssuer::with_algorithm(ISSUER, algorithm);
    let backends = [
        Backend::OpenSsl,
        #[cfg(feature = "aws-lc")]
        Backend::AwsLc,
    ];
    let mut pairs = backends.map(|backend| Pair::new(backend, &issuer, plan.room));
    let mut bytes = 0;
    for _ in 0..rounds {
        let tokens = mint(&issuer, large, plan.round);
        bytes += tokens.iter().map(String::len).sum::<usize>();
        pairs.iter_mut().for_each(|pair| pair.round(&tokens));
    }
    let (tokens, room) = (rounds * plan.round, plan.room);
    let length = bytes / tokens;
    println!("{tokens} distinct {algorithm} tokens of {length} bytes, a cache of {room}:");
    pairs.iter().for_each(|pair| pair.print(2 * room / plan.round));
}

/// What a full cache holds for each token of its capacity, in bytes.
fn kept(name: &str, token: fn(&TestIssuer) -> TestToken, room: usize) -> f64 {
    let issuer = TestIssuer::new(ISSUER);
    let guard = Guard::new(ORDERS, Issuer::new(ISSUER, issuer.keys()));
    let (cold, remembers) =
        (guard.clone().token_cache_capacity(0), guard.token_cache_capacity(room));
    // Some parts of the cache are full before others.
    let tokens = mint(&issuer, token, 3 * room);
    send(&cold, &tokens[..100]);
    let (_, held) = send(&remembers, &tokens);
    let length = tokens.iter().map(String::len).sum::<usize>() / tokens.len();
    let each = held as f64 / room as f64;
    println!(
        "{name} tokens of {length} bytes, {room} cached: {each:.0} bytes of heap each, {:.2} times the length",
        each / length as f64
    );
    each
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    model.map_or("unknown", |model| model.trim_start_matches([' ', '\t', ':'])).to_owned()
}
