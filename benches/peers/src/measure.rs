//! One run: every contender in every round, in a rotated order, so that what the machine does meanwhile meets all.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use serde::{Deserialize, Serialize};
use tower::Service;

use crate::lab::{self, ALGORITHMS, Fallible, Lab, Wire};
use crate::{ours, peers, raw};

const ROUNDS: usize = 5;
const SLICE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Bare,
    Layer,
    Plain,
    Raw,
}

/// Whether this token is let through.
type Accepts = Box<dyn FnMut(&str) -> bool>;

pub struct Contender {
    name: &'static str,
    kind: Kind,
    /// Of a layer: the router it is added to. Of a function: what verifies its signatures.
    over: &'static str,
    run: Box<dyn FnMut(u64)>,
    accepts: Option<Accepts>,
    /// How often it runs in one slice.
    times: u64,
    allocations: f64,
    /// Nanoseconds, one a round.
    rounds: Vec<f64>,
}

impl Contender {
    pub fn new(
        name: &'static str,
        kind: Kind,
        over: &'static str,
        run: impl FnMut(u64) + 'static,
    ) -> Self {
        let (run, rounds) = (Box::new(run), Vec::new());
        Contender { name, kind, over, run, accepts: None, times: 1, allocations: 0.0, rounds }
    }

    pub fn accepting(mut self, accepts: impl FnMut(&str) -> bool + 'static) -> Self {
        self.accepts = Some(Box::new(accepts));
        self
    }

    /// Which wrong tokens it takes. That it takes the right one, and no broken signature, is a condition.
    fn judge(&mut self, lab: &Lab) -> Result<Vec<String>, String> {
        let Some(accepts) = self.accepts.as_mut().filter(|_| self.kind != Kind::Bare) else {
            return Ok(Vec::new());
        };
        if !accepts(&lab.token) {
            return Err("refuses the good token".into());
        }
        let wrong = lab.wrong_tokens();
        let taken = wrong.into_iter().filter(|(_, token)| accepts(token));
        let taken: Vec<_> = taken.map(|(what, _)| what.to_owned()).collect();
        assert!(!taken.iter().any(|what| what == "a broken signature"), "{}", self.name);
        Ok(taken)
    }

    fn warm_up(&mut self) {
        let (begin, mut done) = (Instant::now(), 0);
        while begin.elapsed() < SLICE / 4 {
            (self.run)(20);
            done += 20;
        }
        let once = begin.elapsed().as_secs_f64() / done as f64;
        self.times = (SLICE.as_secs_f64() / once).ceil() as u64;
        let counted = allocation_counter::measure(|| (self.run)(100));
        self.allocations = counted.count_total as f64 / 100.0;
    }

    fn round(&mut self) {
        let begin = Instant::now();
        (self.run)(self.times);
        self.rounds.push(begin.elapsed().as_nanos() as f64 / self.times as f64);
    }
}

#[derive(Serialize, Deserialize)]
pub struct Report {
    pub cpu: String,
    pub cores: usize,
    pub date: String,
    pub rustc: String,
    pub openssl: String,
    pub versions: BTreeMap<String, String>,
    pub rows: Vec<Row>,
    pub threads: Vec<Threads>,
}

#[derive(Serialize, Deserialize)]
pub struct Row {
    pub algorithm: String,
    pub name: String,
    pub kind: Kind,
    pub over: String,
    /// Why there are no numbers.
    pub not_run: Option<String>,
    /// Nanoseconds; of a layer, more than its bare router in the same round.
    pub rounds: Vec<f64>,
    /// Of a layer, more than its bare router.
    pub allocations: f64,
    /// Wrong tokens that it takes.
    pub accepts: Vec<String>,
}

impl Row {
    /// Median, least and most.
    pub fn spread(&self) -> (f64, f64, f64) {
        spread(&self.rounds)
    }

    pub fn is_ours(&self) -> bool {
        self.name.starts_with("unconfused")
    }
}

/// Median, least and most.
pub fn spread(of: &[f64]) -> (f64, f64, f64) {
    let mut of = of.to_vec();
    of.sort_by(f64::total_cmp);
    let at = |index: usize| of.get(index).copied().unwrap_or(f64::NAN);
    (at(of.len() / 2), at(0), at(of.len().saturating_sub(1)))
}

/// The throughput of two threads, relative to one thread, of each round.
#[derive(Serialize, Deserialize)]
pub struct Threads {
    pub algorithm: String,
    pub name: String,
    pub rounds: Vec<f64>,
}

pub fn run(to: &Path) -> Fallible<()> {
    let (background, foreground) = (Arc::new(lab::background()?), Rc::new(lab::foreground()?));
    let (mut rows, mut threads, mut fields) = (Vec::new(), Vec::new(), Vec::new());
    for algorithm in ALGORITHMS {
        let lab = Lab::new(algorithm, &background, &foreground)?;
        let (others, not_run) = peers::contenders(&lab);
        for (name, why) in not_run {
            rows.push(missing(&lab, name, why));
        }
        let all = ours::contenders(&lab).into_iter().chain(others).chain(raw::contenders(&lab)?);
        for mut contender in all {
            match contender.judge(&lab) {
                Ok(accepts) => {
                    println!("{} {}: accepts {accepts:?}", lab.alg, contender.name);
                    contender.warm_up();
                    fields.push((lab.alg, accepts, contender));
                }
                Err(why) => rows.push(missing(&lab, contender.name, why)),
            }
        }
        if matches!(lab.alg, "ES256" | "RS256") {
            threads.extend(two_threads(&lab));
        }
    }
    for round in 0..ROUNDS {
        let (all, first) = (fields.len(), round * fields.len() / ROUNDS);
        (0..all).for_each(|next| fields[(first + next) % all].2.round());
    }
    rows.extend(fields.iter().map(|(alg, accepts, contender)| {
        let bare = fields.iter().find(|(other, _, bare)| {
            contender.kind == Kind::Layer && other == alg && bare.name == contender.over
        });
        let less = |round: usize| bare.map_or(0.0, |(_, _, bare)| bare.rounds[round]);
        Row {
            algorithm: (*alg).into(),
            name: contender.name.into(),
            kind: contender.kind,
            over: contender.over.into(),
            not_run: None,
            rounds: contender.rounds.iter().enumerate().map(|(n, ns)| ns - less(n)).collect(),
            allocations: contender.allocations - bare.map_or(0.0, |(_, _, bare)| bare.allocations),
            accepts: accepts.clone(),
        }
    }));
    let report = Report {
        cpu: cpu(),
        cores: std::thread::available_parallelism()?.get(),
        date: time::UtcDateTime::now().date().to_string(),
        rustc: String::from_utf8(Command::new("rustc").arg("-V").output()?.stdout)?.trim().into(),
        openssl: openssl::version::version().into(),
        versions: versions(),
        rows,
        threads,
    };
    std::fs::write(to, serde_json::to_string_pretty(&report)? + "\n")?;
    Ok(())
}

fn missing(lab: &Lab, name: &str, why: String) -> Row {
    println!("{} {name}: not run: {why}", lab.alg);
    Row {
        algorithm: lab.alg.into(),
        name: name.into(),
        kind: Kind::Layer,
        over: String::new(),
        not_run: Some(why),
        rounds: Vec::new(),
        allocations: 0.0,
        accepts: Vec::new(),
    }
}

fn two_threads(lab: &Lab) -> Vec<Threads> {
    let mut measured: Vec<_> =
        ours::shared(lab).into_iter().map(|(name, router)| (name, router, Vec::new())).collect();
    for _ in 0..ROUNDS {
        for (_, router, rounds) in &mut measured {
            let one = served(lab, router, 1);
            rounds.push(served(lab, router, 2) / one);
        }
    }
    let said = |(name, _, rounds): (&str, Router, Vec<f64>)| {
        let threads = Threads { algorithm: lab.alg.into(), name: name.into(), rounds };
        let (median, least, most) = spread(&threads.rounds);
        println!("{} {name}: two threads serve {median:.2} times ({least:.2}-{most:.2})", lab.alg);
        threads
    };
    measured.into_iter().map(said).collect()
}

/// Requests a second.
fn served(lab: &Lab, router: &Router, threads: usize) -> f64 {
    let (barrier, token) = (Barrier::new(threads), lab.token.as_str());
    std::thread::scope(|scope| {
        let serve = || {
            let (mut router, wire) = (router.clone(), Wire::new(token));
            let runtime = lab::foreground().expect("a runtime");
            barrier.wait();
            let (begin, mut served) = (Instant::now(), 0_u64);
            while begin.elapsed() < 2 * SLICE {
                runtime.block_on(async {
                    for _ in 0..100 {
                        let Ok(answer) = router.call(wire.request::<Body>()).await;
                        assert!(answer.status().is_success());
                    }
                });
                served += 100;
            }
            served as f64 / begin.elapsed().as_secs_f64()
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(serve)).collect();
        running.into_iter().map(|thread| thread.join().expect("it ended")).sum()
    })
}

fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    model.map_or("unknown", |model| model.trim_start_matches([' ', '\t', ':'])).to_owned()
}

/// As they are locked; of some crates there are two.
fn versions() -> BTreeMap<String, String> {
    const NAMES: [&str; 10] = [
        "aws-lc-rs",
        "axum",
        "huskarl-resource-server",
        "josekit",
        "jsonwebtoken",
        "jwt-authorizer",
        "oauth-resource-server",
        "openssl",
        "tower-oauth2-resource-server",
        "unconfused",
    ];
    let mut versions = BTreeMap::<String, String>::new();
    let mut lines = include_str!("../Cargo.lock").lines();
    while let Some(line) = lines.next() {
        let name = line.strip_prefix("name = \"").map(|name| name.trim_end_matches('"'));
        let Some(name) = name.filter(|name| NAMES.contains(name)) else { continue };
        let version = lines.next().unwrap_or_default();
        let version = version.trim_start_matches("version = ").trim_matches('"');
        let known = versions.entry(name.to_owned()).or_default();
        let comma = if known.is_empty() { "" } else { ", " };
        *known = format!("{known}{comma}{version}");
    }
    versions
}
