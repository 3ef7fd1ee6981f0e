//! What a request costs behind a server, in CPU time of the server's thread, and the parts that add up to it.

mod alone;
mod drive;

use std::cell::RefCell;
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

/// What handles the requests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Bare,
    Arc,
    Parse,
    Signature,
    Validate,
    NoCache,
    CacheWithRoom,
    CacheFull,
    Warm,
}

const PARTS: [(Part, &str); 9] = [
    (Part::Bare, "bare router"),
    (Part::Arc, "a layer that inserts an Arc"),
    (Part::Parse, "the handler parses the token"),
    (Part::Signature, "the handler verifies the signature alone"),
    (Part::Validate, "the handler parses and validates the token"),
    (Part::NoCache, "our layer, no cache"),
    (Part::CacheWithRoom, "our layer, a cache with room"),
    (Part::CacheFull, "our layer, a cache that is full"),
    (Part::Warm, "our layer, one token, cached"),
];

pub fn run(pace: Pace) -> Fallible<()> {
    println!("{}, {}, {}", cpu(), openssl::version::version(), UtcDateTime::now().date());
    println!("CPU time of the server's thread, µs a request; median of {} rounds", pace.rounds);
    for (alg, algorithm) in [("ES256", Algorithm::Es256), ("RS256", Algorithm::Rs256)] {
        for (library, backend) in [("OpenSSL", Backend::OpenSsl), ("AWS-LC", Backend::AwsLc)] {
            let size = Size::of(pace);
            let setting = Setting::new(alg, algorithm, backend, size)?;
            println!("\n## {alg}, {library}\n");
            table(&setting, size, pace.rounds)?;
        }
    }
    Ok(())
}

/// So many requests to one part and nothing else, for a profiler. `alone` is a loop without a server.
pub fn only(alg: &str, part: &str, requests: &str) -> Fallible<()> {
    let size = Size { capacity: 512, requests: requests.parse()? };
    let algorithm = if alg == "RS256" { Algorithm::Rs256 } else { Algorithm::Es256 };
    let setting = Setting::new(alg, algorithm, Backend::OpenSsl, size)?;
    if part == "alone" {
        return std::thread::scope(|scope| {
            scope.spawn(|| alone::verify_each(&setting)).join().expect("it ended");
            Ok(())
        });
    }
    let (part, _) = PARTS.into_iter().find(|(_, name)| *name == part).ok_or("no such part")?;
    let sample =
        drive::measure(setting.router(part, size), setting.fill(part), setting.tokens_of(part))?;
    println!("{:.2} µs", sample.nanos / 1000.0);
    Ok(())
}

fn table(setting: &Setting, size: Size, rounds: usize) -> Fallible<()> {
    let mut served = vec![Vec::new(); PARTS.len()];
    let (mut inside, mut alone) = (Vec::new(), Vec::<Vec<(&str, f64)>>::new());
    for _ in 0..rounds {
        for ((part, _), served) in PARTS.into_iter().zip(&mut served) {
            let router = setting.router(part, size);
            let sample = drive::measure(router, setting.fill(part), setting.tokens_of(part))?;
            served.push(sample.nanos);
            if part == Part::Signature {
                inside.push(usual(&sample.verified_in));
            }
        }
        alone.push(alone::measure(setting)?);
    }
    let of = |part: Part| {
        let place = PARTS.iter().position(|(other, _)| *other == part).unwrap_or_default();
        served[place].clone()
    };
    let less = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a - b).collect() };

    println!("| behind a server | µs (min–max) | more than bare |\n|---|---|---|");
    for (part, name) in PARTS {
        let more = less(&of(part), &of(Part::Bare));
        println!("| {name} | {} | {} |", micros(&of(part)), micros(&more));
    }
    println!("\n| the same verification | µs (min–max) |\n|---|---|");
    let alone = |n: usize| alone.iter().map(|round| round[n].1).collect::<Vec<_>>();
    for (n, name) in alone::NAMES.into_iter().enumerate() {
        println!("| {name} | {} |", micros(&alone(n)));
    }
    println!("| in a handler behind the server | {} |", micros(&inside));

    let parse = less(&of(Part::Parse), &of(Part::Bare));
    let around = less(&less(&of(Part::Signature), &of(Part::Bare)), &inside);
    let checks = less(&less(&of(Part::Validate), &of(Part::Signature)), &parse);
    let parts = [
        ("the signature, alone in a loop", alone(0)),
        ("the signature, more in a handler", less(&inside, &alone(0))),
        ("the rest of the request, more for having verified one", around),
        ("to parse the token", parse),
        ("to check its claims", checks),
        ("our layer", less(&of(Part::NoCache), &of(Part::Validate))),
        ("to insert into the cache", less(&of(Part::CacheWithRoom), &of(Part::NoCache))),
        ("to evict another token", less(&of(Part::CacheFull), &of(Part::CacheWithRoom))),
        ("together: a new token, more than bare", less(&of(Part::CacheFull), &of(Part::Bare))),
    ];
    println!("\n| part of a new token's request, cache full | µs (min–max) |\n|---|---|");
    for (name, rounds) in parts {
        println!("| {name} | {} |", micros(&rounds));
    }
    Ok(())
}

fn micros(rounds: &[f64]) -> String {
    let Spread { median, least, most } = Spread::of(rounds);
    let [median, least, most] = [median, least, most].map(|nanos| nanos / 1000.0);
    format!("{median:.2} ({least:.2}–{most:.2})")
}

/// The mean of what was not interrupted.
fn usual(nanos: &[f64]) -> f64 {
    let most = 2.0 * Spread::of(nanos).median;
    let usual: Vec<_> = nanos.iter().filter(|nanos| **nanos < most).collect();
    usual.iter().copied().sum::<f64>() / usual.len() as f64
}

impl Setting {
    fn new(alg: &str, algorithm: Algorithm, backend: Backend, size: Size) -> Fallible<Self> {
        let issuer = TestIssuer::with_algorithm(ISSUER, algorithm);
        let tokens = |n: usize| (0..n).map(|_| lab::unsigned(&issuer, AUDIENCE).sign()).collect();
        let (older, tokens) = (tokens(size.capacity + size.capacity / 20), tokens(size.requests));
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
