//! What a request costs behind a server, in CPU time of the server's thread, and the parts that add up to it.

mod alone;
mod drive;

use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::Request;
use axum::routing::post;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use http::header;
use serde_json::Value;
use time::UtcDateTime;
use unconfused::Guard;
use unconfused::keys::{Algorithm, Backend};
use unconfused::testing::TestIssuer;
use unconfused::token::{UnverifiedToken, Validation};

use self::drive::Waits;
use crate::lab::{self, AUDIENCE, Fallible, ISSUER, PATH};
use crate::measure::{Pace, cpu};
use crate::ours::{ORDERS, behind, cold, extension_layer};
use crate::raw;
use crate::report::Spread;

/// Whether this is the signature of this message.
type Verify = Arc<dyn Fn(&[u8], &[u8]) -> bool + Send + Sync>;

thread_local! {
    /// What each verification in a handler took, in nanoseconds.
    static VERIFIED_IN: RefCell<Vec<f64>> = const { RefCell::new(Vec::new()) };
}

/// An issuer, many tokens of it, and one library.
struct Setting {
    algorithm: Algorithm,
    backend: Backend,
    issuer: TestIssuer,
    verify: Verify,
    /// The tokens that a full cache holds.
    older: Vec<String>,
    /// One for each request.
    tokens: Vec<String>,
}

/// How many tokens the cache holds, and how many requests are measured.
#[derive(Clone, Copy)]
struct Size {
    capacity: usize,
    requests: usize,
}

impl Size {
    fn of(pace: Pace) -> Self {
        if pace.rounds == Pace::TRIAL.rounds {
            Size { capacity: 512, requests: 64 }
        } else {
            // The default capacity of a guard.
            Size { capacity: 10_000, requests: 2_000 }
        }
    }
}

impl Size {
    /// Enough that every shard of the cache is full.
    fn older(self) -> usize {
        self.capacity + self.capacity / 20
    }
}

/// What handles the requests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Bare,
    Arc,
    Split,
    Parse,
    Signature,
    Validate,
    NoCache,
    CacheWithRoom,
    CacheFull,
    Warm,
}

const PARTS: [(Part, &str); 10] = [
    (Part::Bare, "bare router"),
    (Part::Arc, "a layer that inserts an Arc"),
    (Part::Split, "the handler finds the token and its signature"),
    (Part::Parse, "the handler parses the token"),
    (Part::Signature, "the handler verifies the signature alone"),
    (Part::Validate, "the handler parses and validates the token"),
    (Part::NoCache, "our layer, no cache"),
    (Part::CacheWithRoom, "our layer, a cache with room"),
    (Part::CacheFull, "our layer, a cache that is full"),
    (Part::Warm, "our layer, one token, cached"),
];

/// Writes `server.md`, unless it is a trial.
pub fn run(to: Option<&Path>, pace: Pace) -> Fallible<()> {
    let (cpu, date, rounds) = (cpu(), UtcDateTime::now().date(), pace.rounds);
    let mut out = format!("{cpu}, {}, {date}\n\n", openssl::version::version());
    writeln!(out, "CPU time of the server's thread for one request; median of {rounds} rounds.")?;
    for (alg, algorithm) in [("ES256", Algorithm::Es256), ("RS256", Algorithm::Rs256)] {
        for (library, backend) in [("OpenSSL", Backend::OpenSsl), ("AWS-LC", Backend::AwsLc)] {
            let size = Size::of(pace);
            let setting = Setting::new(alg, algorithm, backend, size.older(), size.requests)?;
            let rounds = (0..rounds).map(|_| Round::measure(&setting, size));
            writeln!(out, "\n## {alg}, {library}\n")?;
            table(&mut out, &rounds.collect::<Fallible<Vec<_>>>()?)?;
        }
    }
    print!("{out}");
    if let Some(to) = to {
        std::fs::write(to, out)?;
    }
    Ok(())
}

/// So many requests to one part and nothing else, for a profiler. `alone` is a loop without a server.
pub fn only(alg: &str, part: &str, requests: &str) -> Fallible<()> {
    let size = Size { capacity: 512, requests: requests.parse()? };
    let algorithm = if alg == "RS256" { Algorithm::Rs256 } else { Algorithm::Es256 };
    let is_full = PARTS.contains(&(Part::CacheFull, part));
    let older = if is_full { size.older() } else { 0 };
    let setting = Setting::new(alg, algorithm, Backend::OpenSsl, older, size.requests)?;
    if part == "alone" {
        return std::thread::scope(|scope| {
            scope.spawn(|| alone::verify_each(&setting)).join().expect("it ended");
            Ok(())
        });
    }
    let (part, _) = PARTS.into_iter().find(|(_, name)| *name == part).ok_or("no such part")?;
    let (router, fill) = (setting.router(part, size), setting.fill(part));
    let sample = drive::measure(router, fill, setting.tokens_of(part), Waits::Awake)?;
    println!("{:.2} µs", sample.nanos / 1000.0);
    Ok(())
}

/// What one round measured, in nanoseconds.
struct Round {
    /// By part.
    served: [f64; PARTS.len()],
    /// What a new token costs more than bare if the client sleeps.
    asleep: f64,
    /// The verification in a handler.
    inside: f64,
    /// The verification without a server, by name.
    alone: [f64; alone::NAMES.len()],
}

impl Round {
    fn measure(setting: &Setting, size: Size) -> Fallible<Self> {
        let (mut served, mut inside) = ([0.0; PARTS.len()], 0.0);
        for ((part, _), served) in PARTS.into_iter().zip(&mut served) {
            let router = setting.router(part, size);
            let (fill, tokens) = (setting.fill(part), setting.tokens_of(part));
            let sample = drive::measure(router, fill, tokens, Waits::Awake)?;
            *served = sample.nanos;
            if part == Part::Signature {
                inside = median(&sample.verified_in);
            }
        }
        let asleep = |part| {
            let (fill, tokens) = (setting.fill(part), setting.tokens_of(part));
            let sample = drive::measure(setting.router(part, size), fill, tokens, Waits::Asleep)?;
            Fallible::Ok(sample.nanos)
        };
        let asleep = asleep(Part::CacheFull)? - asleep(Part::Bare)?;
        Ok(Round { served, asleep, inside, alone: alone::measure(setting)? })
    }

    /// What this part costs more than the other.
    fn more(&self, part: Part, than: Part) -> f64 {
        let [part, than] = [part, than].map(|part| {
            let place = PARTS.iter().position(|(other, _)| *other == part);
            self.served[place.unwrap_or_default()]
        });
        part - than
    }
}

/// What a round says, and its name.
type Line = (&'static str, fn(&Round) -> f64);

/// What a new token costs above a bare request and above its signature in a loop. The first is the sum of the others.
const ABOVE: [Line; 9] = [
    ("together", |it| it.more(Part::CacheFull, Part::Bare) - it.alone[0]),
    ("the signature itself is dearer in a handler", |it| it.inside - it.alone[0]),
    ("the rest of the request is dearer for having verified one", |it| {
        it.more(Part::Signature, Part::Split) - it.inside
    }),
    ("to find the token and its signature", |it| it.more(Part::Split, Part::Bare)),
    ("to parse the token, more than that", |it| it.more(Part::Parse, Part::Split)),
    ("to choose the key, and to check the claims", |it| {
        it.more(Part::Validate, Part::Signature) - it.more(Part::Parse, Part::Split)
    }),
    ("our layer: settings, requirement, record, grant", |it| {
        it.more(Part::NoCache, Part::Validate)
    }),
    ("to insert into the cache", |it| it.more(Part::CacheWithRoom, Part::NoCache)),
    ("to evict another token", |it| it.more(Part::CacheFull, Part::CacheWithRoom)),
];

fn table(out: &mut String, rounds: &[Round]) -> std::fmt::Result {
    writeln!(out, "| behind a server | µs (min–max) | more than bare |\n|---|---|---|")?;
    for (n, (part, name)) in PARTS.into_iter().enumerate() {
        let all = micros(rounds, |it| it.served[n]);
        let more = micros(rounds, |it| it.more(part, Part::Bare));
        writeln!(out, "| {name} | {all} | {more} |")?;
    }
    writeln!(out, "\n| the same verification | µs (min–max) |\n|---|---|")?;
    for (n, name) in alone::NAMES.into_iter().enumerate() {
        writeln!(out, "| {name} | {} |", micros(rounds, |it| it.alone[n]))?;
    }
    writeln!(out, "| in a handler behind the server | {} |", micros(rounds, |it| it.inside))?;
    writeln!(
        out,
        "\n| a new token, above bare and above its signature in a loop | µs (min–max) |"
    )?;
    writeln!(out, "|---|---|")?;
    for (name, line) in ABOVE {
        writeln!(out, "| {name} | {} |", micros(rounds, line))?;
    }
    let asleep = micros(rounds, |it| it.asleep - it.more(Part::CacheFull, Part::Bare));
    writeln!(
        out,
        "| and more if the client, on this machine, sleeps until it is answered | {asleep} |"
    )?;
    Ok(())
}

fn micros(rounds: &[Round], of: impl Fn(&Round) -> f64) -> String {
    let Spread { median, least, most } = Spread::of(&rounds.iter().map(of).collect::<Vec<_>>());
    let [median, least, most] = [median, least, most].map(|nanos| nanos / 1000.0);
    format!("{median:.2} ({least:.2}–{most:.2})")
}

fn median(nanos: &[f64]) -> f64 {
    Spread::of(nanos).median
}

impl Setting {
    fn new(
        alg: &str,
        algorithm: Algorithm,
        backend: Backend,
        older: usize,
        requests: usize,
    ) -> Fallible<Self> {
        let issuer = TestIssuer::with_algorithm(ISSUER, algorithm);
        let tokens = |n: usize| (0..n).map(|_| lab::unsigned(&issuer, AUDIENCE).sign()).collect();
        let (older, tokens) = (tokens(older), tokens(requests));
        let jwks: Value = serde_json::from_str(&issuer.jwks())?;
        let key = &jwks["keys"][0];
        let verify: Verify = if backend == Backend::OpenSsl {
            let verifier = raw::openssl(alg, key)?;
            Arc::new(move |message, signature| verifier.verify(message, signature).is_ok())
        } else {
            let key = raw::aws_lc(alg, key)?;
            Arc::new(move |message, signature| key.verify_sig(message, signature).is_ok())
        };
        Ok(Setting { algorithm, backend, issuer, verify, older, tokens })
    }

    fn validation(&self) -> Validation {
        Validation::new(ORDERS, ISSUER).algorithms([self.algorithm]).backend(self.backend)
    }

    fn guard(&self) -> Guard {
        let issuer = unconfused::Issuer::new(ISSUER, self.issuer.keys());
        Guard::new(ORDERS, issuer.algorithms([self.algorithm]).backend(self.backend))
    }

    fn router(&self, part: Part, size: Size) -> Router {
        match part {
            Part::Bare => lab::bare(),
            Part::Arc => lab::bare().route_layer(extension_layer()),
            Part::Split => handling(|token| !parts_of(token).1.is_empty()),
            Part::Parse => handling(|token| UnverifiedToken::parse(token).is_ok()),
            Part::Signature => {
                let verify = self.verify.clone();
                handling(move |token| {
                    let (message, signature) = parts_of(token);
                    let begin = Instant::now();
                    let is_valid = verify(message, &signature);
                    let nanos = begin.elapsed().as_nanos() as f64;
                    VERIFIED_IN.with_borrow_mut(|all| all.push(nanos));
                    is_valid
                })
            }
            Part::Validate => {
                let (keys, validation) = (self.issuer.keys(), self.validation());
                handling(move |token| {
                    let token = UnverifiedToken::parse(token);
                    let now = UtcDateTime::now();
                    token.is_ok_and(|token| token.validate(&validation, &keys, now).is_ok())
                })
            }
            Part::NoCache => behind(&cold(self.guard())),
            Part::CacheWithRoom | Part::CacheFull | Part::Warm => {
                behind(&self.guard().token_cache_capacity(size.capacity))
            }
        }
    }

    /// The tokens that are sent before.
    fn fill(&self, part: Part) -> &[String] {
        if part == Part::CacheFull { &self.older } else { &[] }
    }

    fn tokens_of(&self, part: Part) -> Vec<&str> {
        let token = |n: usize| if part == Part::Warm { &*self.tokens[0] } else { &*self.tokens[n] };
        (0..self.tokens.len()).map(token).collect()
    }
}

/// A bare handler that does this with the token, which it has to find good.
fn handling(is_good: impl Fn(&str) -> bool + Clone + Send + Sync + 'static) -> Router {
    let handler = move |request: Request| {
        let token = request.headers().get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
        let token = token.and_then(|it| it.strip_prefix("Bearer ")).unwrap_or_default();
        assert!(is_good(token));
        async {}
    };
    Router::new().route(PATH, post(handler))
}

/// The message and its signature.
fn parts_of(token: &str) -> (&[u8], Vec<u8>) {
    let (message, signature) = token.rsplit_once('.').unwrap_or_default();
    (message.as_bytes(), BASE64URL.decode(signature).unwrap_or_default())
}
