//! One run: every contender in every round, in a rotated order, so that what the machine does meanwhile meets all.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;

use crate::lab::{self, ALGORITHMS, Fallible, Lab};
use crate::report::{Kind, Report, Row, Spread};
use crate::{bound, ours, peers, raw, threads};

/// How often, and how long at a time.
#[derive(Clone, Copy)]
pub struct Pace {
    pub rounds: usize,
    pub slice: Duration,
}

impl Pace {
    pub const FULL: Pace = Pace { rounds: 5, slice: Duration::from_millis(100) };
    /// To see that it runs.
    pub const TRIAL: Pace = Pace { rounds: 1, slice: Duration::from_millis(10) };
}

/// Whether this token, or this proof, is let through.
type Accepts = Box<dyn FnMut(&str) -> bool>;

pub struct Contender {
    name: &'static str,
    kind: Kind,
    /// Of a layer: the router it is added to.
    over: &'static str,
    backend: &'static str,
    run: Box<dyn FnMut(u64)>,
    accepts: Option<Accepts>,
    /// How often it runs in one turn.
    times: u64,
    most: u64,
    allocations: f64,
    /// Nanoseconds of CPU time of the turns of this round. All of it is done in the thread that asks.
    turns: Vec<f64>,
    /// The median of the turns of each round.
    rounds: Vec<f64>,
}

/// All take turns this often in a round. A machine that is slow for a while is slow for all of them, and one that is
/// slow for a moment spoils a turn and not the median.
const TURNS: u64 = 20;

impl Contender {
    fn new(name: &'static str, kind: Kind, run: impl FnMut(u64) + 'static) -> Self {
        Contender {
            name,
            kind,
            over: "",
            backend: "",
            run: Box::new(run),
            accepts: None,
            times: 1,
            most: u64::MAX,
            allocations: 0.0,
            turns: Vec::new(),
            rounds: Vec::new(),
        }
    }

    pub fn bare(name: &'static str, run: impl FnMut(u64) + 'static) -> Self {
        Self::new(name, Kind::Bare, run)
    }

    pub fn layer(
        name: &'static str,
        over: &'static str,
        backend: &'static str,
        run: impl FnMut(u64) + 'static,
    ) -> Self {
        Contender { over, backend, ..Self::new(name, Kind::Layer, run) }
    }

    pub fn plain(
        name: &'static str,
        backend: &'static str,
        run: impl FnMut(u64) + 'static,
    ) -> Self {
        Contender { backend, ..Self::new(name, Kind::Plain, run) }
    }

    pub fn raw(name: &'static str, backend: &'static str, run: impl FnMut(u64) + 'static) -> Self {
        Contender { backend, ..Self::new(name, Kind::Raw, run) }
    }

    pub fn accepting(mut self, accepts: impl FnMut(&str) -> bool + 'static) -> Self {
        self.accepts = Some(Box::new(accepts));
        self
    }

    /// Of what it uses up there is enough for so many in one slice.
    pub fn at_most(self, most: u64) -> Self {
        Contender { most, ..self }
    }

    /// What it lets through and should not. That it lets the right one through, and no broken signature, is a
    /// condition.
    fn judge(&mut self, good: &str, wrong: &[(&str, String)]) -> Result<Vec<String>, String> {
        let Some(accepts) = &mut self.accepts else { return Ok(Vec::new()) };
        if !accepts(good) {
            return Err("refuses what is good".into());
        }
        let taken = wrong.iter().filter(|(_, wrong)| accepts(wrong));
        let taken: Vec<_> = taken.map(|(what, _)| (*what).to_owned()).collect();
        assert!(!taken.iter().any(|what| what == lab::BROKEN), "{}", self.name);
        Ok(taken)
    }

    fn warm_up(&mut self, slice: Duration) {
        let (begin, mut done) = (Instant::now(), 0);
        while begin.elapsed() < slice / 4 && done < self.most / 2 {
            (self.run)(20);
            done += 20;
        }
        let once = begin.elapsed().as_secs_f64() / done as f64;
        self.times = ((slice.as_secs_f64() / once).ceil() as u64).min(self.most).div_ceil(TURNS);
        let counted = allocation_counter::measure(|| (self.run)(100));
        self.allocations = counted.count_total as f64 / 100.0;
    }

    fn turn(&mut self) {
        let begin = ThreadTime::now();
        (self.run)(self.times);
        self.turns.push(begin.elapsed().as_nanos() as f64 / self.times as f64);
    }

    fn end_round(&mut self) {
        self.rounds.push(Spread::of(&self.turns).median);
        self.turns.clear();
    }
}

/// Those of one algorithm, and what they let through.
struct Field {
    algorithm: &'static str,
    contenders: Vec<(Contender, Vec<String>)>,
    not_run: Vec<Row>,
}

impl Field {
    fn new(
        algorithm: &'static str,
        all: impl IntoIterator<Item = Contender>,
        (good, wrong): (&str, &[(&str, String)]),
        not_run: Vec<(&'static str, String)>,
        pace: Pace,
    ) -> Self {
        let not_run = not_run.into_iter().map(|(name, why)| missing(algorithm, name, why));
        let mut field = Field { algorithm, contenders: Vec::new(), not_run: not_run.collect() };
        for mut contender in all {
            match contender.judge(good, wrong) {
                Ok(accepts) => {
                    println!("{algorithm} {}: accepts {accepts:?}", contender.name);
                    contender.warm_up(pace.slice);
                    field.contenders.push((contender, accepts));
                }
                Err(why) => field.not_run.push(missing(algorithm, contender.name, why)),
            }
        }
        field
    }

    fn rows(self) -> Vec<Row> {
        let Field { algorithm, contenders, not_run } = self;
        let row = |(contender, accepts): &(Contender, Vec<String>)| {
            let mut bare = contenders.iter().map(|(bare, _)| bare);
            let bare = bare.find(|bare| bare.name == contender.over);
            let less = |round: usize| bare.map_or(0.0, |bare| bare.rounds[round]);
            Row {
                algorithm: algorithm.into(),
                name: contender.name.into(),
                kind: contender.kind,
                over: contender.over.into(),
                backend: contender.backend.into(),
                not_run: None,
                rounds: contender.rounds.iter().enumerate().map(|(n, ns)| ns - less(n)).collect(),
                allocations: contender.allocations - bare.map_or(0.0, |bare| bare.allocations),
                accepts: accepts.clone(),
            }
        };
        let rows: Vec<_> = contenders.iter().map(row).collect();
        not_run.into_iter().chain(rows).collect()
    }
}

/// Writes `results.json`, unless it is a trial.
pub fn run(to: Option<&Path>, pace: Pace) -> Fallible<()> {
    let (background, foreground) = (Arc::new(lab::background()?), Rc::new(lab::foreground()?));
    let (mut fields, mut two_threads) = (Vec::new(), Vec::new());
    for algorithm in ALGORITHMS {
        let lab = Lab::new(algorithm, &background, &foreground)?;
        let (others, not_run) = peers::contenders(&lab);
        let all = ours::contenders(&lab).into_iter().chain(others).chain(raw::contenders(&lab)?);
        let (good, wrong) = (&lab.token, lab.wrong_tokens());
        fields.push(Field::new(lab.alg, all, (good, &wrong), not_run, pace));
        if matches!(lab.alg, "ES256" | "RS256") {
            two_threads.extend(threads::measure(&lab, pace));
        }
    }
    let proofs = bound::Proofs::new(&background, &foreground)?;
    let (others, not_run) = bound::contenders(&proofs)?;
    let (good, wrong) = proofs.good_and_wrong();
    fields.push(Field::new(lab::DPOP, others, (&good, &wrong), not_run, pace));

    for round in 0..pace.rounds {
        println!("round {} of {}", round + 1, pace.rounds);
        let mut all: Vec<_> = fields.iter_mut().flat_map(|field| &mut field.contenders).collect();
        let first = round * all.len() / pace.rounds;
        all.rotate_left(first);
        for _ in 0..TURNS {
            all.iter_mut().for_each(|(contender, _)| contender.turn());
        }
        all.into_iter().for_each(|(contender, _)| contender.end_round());
    }
    let report = Report {
        cpu: cpu(),
        cores: std::thread::available_parallelism()?.get(),
        date: time::UtcDateTime::now().date().to_string(),
        rustc: String::from_utf8(Command::new("rustc").arg("-V").output()?.stdout)?.trim().into(),
        openssl: openssl::version::version().into(),
        versions: versions(),
        rows: fields.into_iter().flat_map(Field::rows).collect(),
        threads: two_threads,
    };
    if let Some(to) = to {
        std::fs::write(to, serde_json::to_string_pretty(&report)? + "\n")?;
    }
    Ok(())
}

fn missing(algorithm: &str, name: &str, why: String) -> Row {
    println!("{algorithm} {name}: not run: {why}");
    Row {
        algorithm: algorithm.into(),
        name: name.into(),
        kind: Kind::Layer,
        over: String::new(),
        backend: String::new(),
        not_run: Some(why),
        rounds: Vec::new(),
        allocations: 0.0,
        accepts: Vec::new(),
    }
}

pub fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    model.map_or("unknown", |model| model.trim_start_matches([' ', '\t', ':'])).to_owned()
}

/// As they are locked; of some crates there are two.
fn versions() -> BTreeMap<String, String> {
    const NAMES: [&str; 11] = [
        "aws-lc-rs",
        "axum",
        "dpop-verifier",
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
