//! The state machine of the keys against a scripted origin and random traffic: many schedules, hours of each. The
//! clock is a number, so hours cost nothing, and a seed is always the same schedule.
//!
//! - `UNCONFUSED_SEEDS=5000 cargo test --lib thousands -- --ignored --nocapture` runs more and prints figures.
//! - `UNCONFUSED_SEED=17 cargo test --lib one_seed -- --ignored --nocapture` replays one, with all that happens.

#![cfg(test)]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{
    BUDGET, Cache, Current, Fetched, Keys, LOST_AFTER, MAX_WAIT, MAX_WAITING, Moment, Refusal,
    Verdict, WINDOW,
};
use crate::keys::status::KeyState;

const HOUR: Duration = Duration::from_secs(3600);
/// An origin that answers well, answers within this.
const PROMPT: Duration = Duration::from_secs(1);
/// Once the origin answers well and promptly, and publishes a key, a request with that key is accepted after this
/// at the latest: an unknown id is remembered for 60 s, and a fetch takes some time.
const RECOVERED: Duration = Duration::from_secs(62);

// The figures that the budget, the pauses and the waits promise, said again.
const _: () = assert!(BUDGET == 2 && MAX_WAITING == 256);
const _: () = assert!(WINDOW.as_secs() == 30 && LOST_AFTER.as_secs() == 30);
const _: () = assert!(MAX_WAIT.as_secs() == 2);

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.unit())
    }

    /// As likely short as long.
    fn scale(&mut self, from: Duration, to: Duration) -> Duration {
        let ratio = to.as_secs_f64() / from.as_secs_f64();
        from.mul_f64(ratio.powf(self.unit()))
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        let at = self.below(all.len() as u64) as usize;
        *all.get(at).unwrap()
    }
}

/// What one fetch brought.
#[derive(Clone)]
struct Set(Arc<Contents>);

struct Contents {
    keys: Vec<u32>,
    fetch: u64,
    began: Moment,
}

impl Keys for Set {
    fn know(&self, kid: Option<&str>) -> bool {
        let Some(kid) = kid else { return true };
        kid.parse().is_ok_and(|key| self.0.keys.contains(&key))
    }

    fn count(&self) -> (usize, usize) {
        (self.0.keys.len(), 0)
    }

    fn ids_missing_in(&self, other: &Self) -> Vec<String> {
        let missing = self.0.keys.iter().filter(|key| !other.0.keys.contains(key));
        missing.map(u32::to_string).collect()
    }
}

/// How the origin answers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Well,
    Slow,
    /// Up to longer than anybody waits, and out of order.
    Crawling,
    Failing,
    Hanging,
    /// One of the others each time.
    Flaky,
}

#[derive(Clone, Copy, Debug)]
enum Traffic {
    Idle,
    /// So long between two requests, on the average.
    Steady(Duration),
    /// The same, of key ids that nobody has.
    Flood(Duration),
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Request,
    /// A request has waited long enough, or its caller went away.
    Late(u64),
    Away(u64),
    /// The origin reads its keys for a fetch; the answer arrives.
    Read(u64),
    Land(u64),
    /// The task of this fetch looks whether it is time to renew.
    Look(u64),
    Mode,
    Traffic,
    Rotate,
    Publish(u32),
    Sign(u32),
    Withdraw(u32),
    /// All keys are gone, and come back.
    Empty,
    Refill,
    Close,
    Probe,
    End,
}

/// One that is in the air.
struct Flight {
    begun: Moment,
    /// When its task started.
    began: Moment,
    good: bool,
    /// Its task is gone with its runtime.
    task_ends: bool,
    answer: Option<Vec<u32>>,
}

struct Waiter {
    kid: Option<String>,
    fetch: u64,
    since: Moment,
    must: bool,
}

/// What is true, whatever the machine says.
#[derive(Default)]
struct Truth {
    /// The keys of the origin, and since when.
    published: BTreeMap<u32, Moment>,
    withdrawn: BTreeMap<u32, Moment>,
    /// The last fetch that ended, but for those that were overtaken; and whether it was good.
    ended: u64,
    good: Option<Set>,
    was_good: bool,
    /// When a fetch last began that was not answered well and promptly.
    sick: Moment,
    /// When fetches began, the last hour of them.
    begun: VecDeque<Moment>,
    /// The key ids that a fetch began for while there were keys: which, and when.
    looked_for: BTreeMap<String, (u64, Moment)>,
}

#[derive(Default, Debug, Clone)]
struct Figures {
    requests: u64,
    accepted: u64,
    accepted_after_waiting: u64,
    not_found: u64,
    not_found_though_published: u64,
    refused: BTreeMap<&'static str, u64>,
    went_away: u64,
    fetches: u64,
    overtaken: u64,
    /// The most in any hour.
    worst_hour: usize,
    most_waiting: usize,
    simulated: Duration,
}

struct Simulation {
    random: Random,
    /// Times are multiples of this, so that some fall together.
    grid: u64,
    now: Moment,
    events: BinaryHeap<Reverse<(Moment, u64, u64)>>,
    what: BTreeMap<u64, Event>,
    scheduled: u64,
    cache: Cache<Set>,
    current: Option<Current<Set>>,
    stale_for: Duration,
    truth: Truth,
    mode: Mode,
    traffic: Traffic,
    signing: u32,
    last_key: u32,
    flights: BTreeMap<u64, Flight>,
    waiting: BTreeMap<u64, Waiter>,
    seats: u64,
    /// The highest fetch whose end was told to those who wait.
    told: u64,
    last_handed: u64,
    closing: bool,
    probe_accepted: Option<Moment>,
    figures: Figures,
    trace: bool,
}

type Check = Result<(), String>;

fn claim(holds: bool, violated: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(violated()) }
}

impl Simulation {
    fn new(seed: u64, trace: bool) -> Self {
        let mut random = Random(seed);
        let grid = random.of(&[1, 1_000_000, 500_000_000, 1_000_000_000]);
        let secs = Duration::from_secs;
        let stale_for = match random.below(3) {
            0 => random.of(&[secs(60), secs(61), secs(300), HOUR, HOUR * 24, Duration::MAX]),
            1 => HOUR,
            _ => random.scale(secs(60), HOUR * 12),
        };
        let mut cache = Cache::new();
        cache.set_stale_for(stale_for);
        let mut simulation = Simulation {
            random,
            grid,
            now: Moment::ZERO,
            events: BinaryHeap::new(),
            what: BTreeMap::new(),
            scheduled: 0,
            cache,
            current: None,
            stale_for,
            truth: Truth::default(),
            mode: Mode::Well,
            traffic: Traffic::Idle,
            signing: 1,
            last_key: 1,
            flights: BTreeMap::new(),
            waiting: BTreeMap::new(),
            seats: 0,
            told: 0,
            last_handed: 0,
            closing: false,
            probe_accepted: None,
            figures: Figures::default(),
            trace,
        };
        simulation.truth.published.insert(1, Moment::ZERO);
        for event in [Event::Mode, Event::Traffic, Event::Request] {
            simulation.after(Duration::ZERO, event);
        }
        let rotate = simulation.random.scale(secs(60), HOUR * 2);
        simulation.after(rotate, Event::Rotate);
        let empty = simulation.random.scale(secs(60), HOUR * 30);
        simulation.after(empty, Event::Empty);
        simulation
    }

    fn run(&mut self, length: Duration) -> Check {
        self.say(format_args!("stale_for {:?}, grid {} ns", self.stale_for, self.grid));
        self.after(length, Event::Close);
        loop {
            let Some(Reverse((at, _, id))) = self.events.pop() else {
                return Err("nothing happens any more".to_owned());
            };
            let Some(event) = self.what.remove(&id) else { continue };
            self.now = self.now.max(at);
            if matches!(event, Event::End) {
                break;
            }
            self.happen(event).map_err(|violated| format!("{:?}: {violated}", self.now))?;
        }
        self.figures.simulated = self.now;
        claim(self.probe_accepted.is_some_and(|at| at + Duration::from_secs(5) > self.now), || {
            format!("it never recovered; last accepted {:?}", self.probe_accepted)
        })
    }

    fn happen(&mut self, event: Event) -> Check {
        let secs = Duration::from_secs;
        match event {
            Event::Request => {
                self.traffic_comes()?;
                let gap = match self.traffic {
                    Traffic::Idle => secs(60),
                    Traffic::Steady(gap) | Traffic::Flood(gap) => self.random.up_to(gap * 2),
                };
                // Never at the same moment again and again.
                self.after(gap.max(Duration::from_millis(10)), Event::Request);
                Ok(())
            }
            Event::Late(seat) => self.resolve(seat),
            Event::Away(seat) => {
                if self.waiting.remove(&seat).is_some() {
                    self.cache.leave();
                    self.figures.went_away += 1;
                }
                Ok(())
            }
            Event::Read(fetch) => {
                self.read(fetch);
                Ok(())
            }
            Event::Land(fetch) => self.land(fetch),
            Event::Look(fetch) => self.look(fetch),
            Event::Traffic => {
                let (traffic, lasts) = match self.random.below(8) {
                    0 | 1 => (Traffic::Idle, self.random.scale(secs(60), HOUR * 4)),
                    2 => {
                        let gap = self.random.scale(Duration::from_millis(30), secs(5));
                        (Traffic::Flood(gap), self.random.scale(secs(5), secs(90)))
                    }
                    _ => {
                        let gap = self.random.scale(Duration::from_millis(500), secs(60));
                        (Traffic::Steady(gap), gap * (10 + self.random.below(100) as u32))
                    }
                };
                self.say(format_args!("traffic {traffic:?}"));
                self.traffic = traffic;
                self.after(lasts, Event::Traffic);
                Ok(())
            }
            Event::Close => {
                // From now on the origin is well: does everything come back?
                self.closing = true;
                self.mode = Mode::Well;
                self.publish_key(self.signing);
                self.after(RECOVERED + secs(1), Event::Probe);
                self.after(RECOVERED + secs(60), Event::End);
                Ok(())
            }
            Event::Probe => {
                self.ask(Some(self.signing.to_string()))?;
                self.after(secs(1), Event::Probe);
                Ok(())
            }
            Event::End => Ok(()),
            origin if self.closing => {
                self.say(format_args!("{origin:?} does not happen any more"));
                Ok(())
            }
            origin => {
                self.origin_changes(origin);
                Ok(())
            }
        }
    }

    /// Something happens at the origin.
    fn origin_changes(&mut self, event: Event) {
        let secs = Duration::from_secs;
        self.say(format_args!("{event:?}"));
        match event {
            Event::Mode => {
                self.mode = match self.random.below(12) {
                    0..=5 => Mode::Well,
                    6 => Mode::Slow,
                    7 => Mode::Crawling,
                    8 => Mode::Failing,
                    9 => Mode::Hanging,
                    _ => Mode::Flaky,
                };
                self.say(format_args!("mode {:?}", self.mode));
                let lasts = self.random.scale(secs(30), HOUR * 8);
                self.after(lasts, Event::Mode);
            }
            Event::Rotate => {
                self.last_key += 1;
                let key = self.last_key;
                let lead = match self.random.below(4) {
                    0 => Duration::ZERO,
                    1 => self.random.up_to(secs(5)),
                    _ => self.random.scale(secs(30), HOUR),
                };
                // Most publish a key before they sign with it.
                let (publish, sign) = match self.random.one_in(4) {
                    true => (lead, Duration::ZERO),
                    false => (Duration::ZERO, lead),
                };
                self.after(publish, Event::Publish(key));
                self.after(sign, Event::Sign(key));
                let next = self.random.scale(secs(60), HOUR * 4);
                self.after(next, Event::Rotate);
            }
            Event::Publish(key) => self.publish_key(key),
            Event::Sign(key) => {
                let before = std::mem::replace(&mut self.signing, key);
                if !self.random.one_in(5) {
                    let serves = self.random.scale(secs(1), HOUR * 2);
                    self.after(serves, Event::Withdraw(before));
                }
            }
            Event::Withdraw(key) => self.withdraw(key),
            Event::Empty => {
                for key in self.truth.published.keys().copied().collect::<Vec<_>>() {
                    self.withdraw(key);
                }
                let lasts = self.random.scale(secs(1), HOUR);
                self.after(lasts, Event::Refill);
                let next = self.random.scale(secs(600), HOUR * 30);
                self.after(next, Event::Empty);
            }
            Event::Refill => self.publish_key(self.signing),
            _ => {}
        }
    }

    fn publish_key(&mut self, key: u32) {
        self.truth.withdrawn.remove(&key);
        self.truth.published.entry(key).or_insert(self.now);
    }

    fn withdraw(&mut self, key: u32) {
        if self.truth.published.remove(&key).is_some() {
            self.truth.withdrawn.insert(key, self.now);
        }
    }

    /// One request, or many at once.
    fn traffic_comes(&mut self) -> Check {
        let flood = matches!(self.traffic, Traffic::Flood(_));
        if matches!(self.traffic, Traffic::Idle) {
            return Ok(());
        }
        let many = match self.random.below(400) {
            0 => 250 + self.random.below(300),
            1 => 20,
            _ => 1,
        };
        let same = self.random.one_in(2).then(|| self.kid(flood));
        for _ in 0..many {
            let kid = same.clone().unwrap_or_else(|| self.kid(flood));
            self.ask(kid)?;
        }
        Ok(())
    }

    /// What a token says of its key.
    fn kid(&mut self, flood: bool) -> Option<String> {
        let signing = self.signing;
        let key = match self.random.below(if flood { 40 } else { 20 }) {
            0 => return None,
            1 => self.last_key + 1,
            2 => self.last_key,
            3 | 4 => 1 + self.random.below(u64::from(signing)) as u32,
            5 => return Some(format!("x{}", self.random.next())),
            20.. => return Some(format!("x{}", self.random.next())),
            _ => signing,
        };
        Some(key.to_string())
    }

    /// What the doer does for one request.
    fn ask(&mut self, kid: Option<String>) -> Check {
        self.figures.requests += 1;
        let now = self.now;
        let hint = kid.as_deref();
        let known = self.usable().is_some_and(|keys| keys.know(hint));
        let must = self.must_serve(hint);
        if self.random.one_in(16) {
            self.state_is_true()?;
        }
        // Now and then somebody else was a little faster.
        let overtaken = self.random.one_in(4);
        let current = self.current.as_ref().filter(|it| !overtaken && it.serves(hint, now));
        if let Some(current) = current {
            let keys = current.keys.clone();
            claim(known, || "keys were handed out without a lock that do not serve".to_owned())?;
            return self.handed(&keys, hint, must, false);
        }
        let usable = self.usable().is_some();
        let verdict = self.cache.ask(hint, now);
        self.publish();
        match verdict {
            Verdict::Use(keys, begin) => {
                claim(known || self.may_be_unfound(hint), || {
                    format!("{kid:?} is said to be unknown, and nobody looked")
                })?;
                self.handed(&keys, hint, must, false)?;
                begin.map_or(Ok(()), |fetch| self.take_off(fetch))
            }
            Verdict::Wait { fetch, begin } => {
                claim(!known, || format!("{kid:?} is known, and waits"))?;
                claim(self.waiting.len() < MAX_WAITING, || "too many wait".to_owned())?;
                claim(fetch > self.told, || format!("{kid:?} waits for what has ended"))?;
                let seat = self.seats;
                self.seats += 1;
                if let Some(kid) = kid.clone().filter(|_| usable && begin) {
                    self.truth.looked_for.insert(kid, (fetch, now));
                }
                self.waiting.insert(seat, Waiter { kid, fetch, since: now, must });
                self.figures.most_waiting = self.figures.most_waiting.max(self.waiting.len());
                self.exactly(MAX_WAIT, Event::Late(seat));
                if self.random.one_in(6) {
                    let patience = self.random.up_to(MAX_WAIT);
                    self.after(patience, Event::Away(seat));
                }
                match begin {
                    true => self.take_off(fetch),
                    false => claim(self.flights.contains_key(&fetch), || {
                        format!("it waits for {fetch}, which is not in the air")
                    }),
                }
            }
            Verdict::Refuse(refusal) => self.refused(&refusal, hint, known, must),
        }
    }

    /// A request that waited.
    fn resolve(&mut self, seat: u64) -> Check {
        let Some(waiter) = self.waiting.remove(&seat) else { return Ok(()) };
        let hint = waiter.kid.as_deref();
        let known = self.usable().is_some_and(|keys| keys.know(hint));
        let must = waiter.must && self.must_serve(hint);
        let found = self.cache.resolve(hint, waiter.fetch, self.now);
        self.cache.leave();
        claim(self.now <= waiter.since + MAX_WAIT, || "it waited for too long".to_owned())?;
        match found {
            Ok(keys) => {
                claim(keys.know(hint) || self.told >= waiter.fetch, || {
                    format!("{hint:?} is said to be unknown before its fetch has ended")
                })?;
                self.handed(&keys, hint, must, true)
            }
            Err(refusal) => {
                let slow = refusal == Refusal::Slow;
                claim(!slow || self.now == waiter.since + MAX_WAIT, || {
                    "its fetch has ended, and it is told that it was slow".to_owned()
                })?;
                self.refused(&refusal, hint, known, must)
            }
        }
    }

    fn refused(&mut self, refusal: &Refusal, kid: Option<&str>, known: bool, must: bool) -> Check {
        claim(!known, || format!("{kid:?} is known, and refused: {refusal}"))?;
        let crowded = *refusal == Refusal::Crowded;
        claim(!crowded || self.waiting.len() == MAX_WAITING, || {
            format!("crowded, while {} wait", self.waiting.len())
        })?;
        // A crowd is there for as long as a fetch takes.
        claim(!must || crowded, || {
            format!("{kid:?} must serve by now, and is refused: {refusal}")
        })?;
        let name = match refusal {
            Refusal::Failed(_) => "failed",
            Refusal::OverBudget => "over budget",
            Refusal::Crowded => "crowded",
            Refusal::Slow => "slow",
        };
        *self.figures.refused.entry(name).or_default() += 1;
        Ok(())
    }

    /// These keys were handed out for this request.
    fn handed(&mut self, keys: &Set, kid: Option<&str>, must: bool, waited: bool) -> Check {
        let Contents { fetch, began, .. } = *keys.0;
        claim(self.now < began.saturating_add(self.stale_for), || {
            format!("keys of {began:?} are past their bound")
        })?;
        claim(fetch >= self.last_handed, || {
            format!("keys of fetch {fetch} after those of {}", self.last_handed)
        })?;
        self.last_handed = fetch;
        let newest = self.truth.good.as_ref().map(|good| good.0.fetch);
        claim(newest == Some(fetch), || format!("keys of fetch {fetch} in place of {newest:?}"))?;
        let known = keys.know(kid);
        if let Some(withdrawn) = key_of(kid).and_then(|key| self.truth.withdrawn.get(&key)) {
            let since = self.truth.good.as_ref().map(|good| good.0.began);
            claim(!known || since.is_none_or(|began| began <= *withdrawn), || {
                format!("{kid:?} was withdrawn at {withdrawn:?}, and serves")
            })?;
        }
        claim(known || self.truth.was_good, || {
            format!("{kid:?} is said to be unknown, after a fetch that failed")
        })?;
        claim(known || !must, || format!("{kid:?} must be found by now, and is not"))?;
        match known {
            true => {
                self.figures.accepted += 1;
                self.figures.accepted_after_waiting += u64::from(waited);
                if self.closing && key_of(kid) == Some(self.signing) {
                    self.probe_accepted = Some(self.now);
                }
            }
            false => {
                self.figures.not_found += 1;
                let published =
                    key_of(kid).is_some_and(|key| self.truth.published.contains_key(&key));
                self.figures.not_found_though_published += u64::from(published);
            }
        }
        Ok(())
    }

    /// A fetch begins.
    fn take_off(&mut self, fetch: u64) -> Check {
        self.figures.fetches += 1;
        let now = self.now;
        let begun = &mut self.truth.begun;
        begun.push_back(now);
        let within = |window: Duration| move |at: &&Moment| now < **at + window;
        let in_window = begun.iter().filter(within(WINDOW)).count();
        while begun.front().is_some_and(|at| now >= *at + HOUR) {
            begun.pop_front();
        }
        self.figures.worst_hour = self.figures.worst_hour.max(begun.len());
        claim(in_window <= 2, || format!("{in_window} fetches within 30 seconds"))?;
        let beside = self.flights.iter().find(|(_, flight)| now < flight.begun + LOST_AFTER);
        claim(beside.is_none(), || format!("fetch {fetch} beside {:?}", beside.map(|it| it.0)))?;

        let secs = Duration::from_secs;
        let mode = match self.mode {
            Mode::Flaky => {
                let modes = [Mode::Well, Mode::Slow, Mode::Crawling, Mode::Failing, Mode::Hanging];
                self.random.of(&modes)
            }
            mode => mode,
        };
        let (takes, good) = match mode {
            Mode::Well | Mode::Flaky => (Some(self.random.up_to(PROMPT / 2)), true),
            Mode::Slow => (Some(self.random.up_to(secs(6))), true),
            Mode::Crawling => (Some(self.random.up_to(secs(100))), !self.random.one_in(5)),
            Mode::Failing => (Some(self.random.up_to(PROMPT)), false),
            Mode::Hanging if self.random.one_in(4) => (None, false),
            Mode::Hanging => (Some(secs(25)), false),
        };
        let takes = takes.map(|takes| match self.random.one_in(10) {
            true => Duration::ZERO,
            false => self.on_grid(takes),
        });
        // The task starts a little later, and may end with its runtime.
        let began = now + self.random.of(&[Duration::ZERO, Duration::from_millis(3)]);
        let dies = self.mode != Mode::Well && self.random.one_in(30);
        let good = good && !dies;
        if !good || takes.is_none_or(|takes| takes > PROMPT) {
            self.truth.sick = now;
        }
        self.say(format_args!("fetch {fetch} begins; takes {takes:?}, good {good}"));
        let flight = Flight { begun: now, began, good, task_ends: dies, answer: None };
        self.flights.insert(fetch, flight);
        if let Some(takes) = takes {
            let reads = takes.mul_f64(self.random.unit());
            self.at(began + reads, Event::Read(fetch));
            self.at(began + takes, Event::Land(fetch));
        }
        Ok(())
    }

    fn read(&mut self, fetch: u64) {
        if let Some(flight) = self.flights.get_mut(&fetch) {
            let keys = || self.truth.published.keys().copied().collect();
            flight.answer.get_or_insert_with(keys);
        }
    }

    /// A fetch ends.
    fn land(&mut self, fetch: u64) -> Check {
        self.read(fetch);
        let Some(flight) = self.flights.remove(&fetch) else { return Ok(()) };
        let Flight { began, good, task_ends, answer, .. } = flight;
        self.say(format_args!("fetch {fetch} ends: {good} {answer:?}"));
        let set = Set(Arc::new(Contents { keys: answer.unwrap_or_default(), fetch, began }));
        if fetch > self.truth.ended {
            self.truth.ended = fetch;
            self.truth.was_good = good;
            if let (true, Some(before)) = (good, &self.truth.good) {
                // What a fetch does not bring any more was looked for by it.
                let gone = before.ids_missing_in(&set).into_iter();
                self.truth.looked_for.extend(gone.map(|kid| (kid, (fetch, began))));
            }
            if good {
                self.truth.good = Some(set.clone());
            }
        } else {
            self.figures.overtaken += 1;
        }
        let outcome = match good {
            true => Ok(Fetched { keys: set, max_age: self.max_age(), began }),
            false => Err(format!("fetch {fetch} failed")),
        };
        let jitter = self.random.unit();
        self.cache.end(fetch, outcome, self.now, jitter);
        self.publish();
        self.told = self.told.max(fetch);
        let told = self.told;
        let woken = self.waiting.iter().filter(|(_, waiter)| waiter.fetch <= told);
        for seat in woken.map(|(seat, _)| *seat).collect::<Vec<_>>() {
            self.resolve(seat)?;
        }
        if !task_ends {
            let look = self.cache.next_look();
            self.at(look, Event::Look(fetch));
        }
        Ok(())
    }

    /// What the task of a fetch does after it.
    fn look(&mut self, fetch: u64) -> Check {
        if !self.cache.was_last(fetch) {
            return Ok(());
        }
        let next = self.cache.renew(self.now);
        self.publish();
        if let Some(next) = next {
            return self.take_off(next);
        }
        let look = self.cache.next_look();
        claim(look > self.now, || "it is time to renew, and nothing is done".to_owned())?;
        self.at(look, Event::Look(fetch));
        Ok(())
    }

    fn max_age(&mut self) -> Option<Duration> {
        let secs = Duration::from_secs;
        match self.random.below(4) {
            0 => None,
            1 => Some(self.random.of(&[
                Duration::ZERO,
                secs(1),
                secs(299),
                secs(300),
                secs(86_400),
                secs(86_401),
                secs(u64::MAX),
                Duration::MAX,
            ])),
            _ => Some(self.random.scale(secs(1), HOUR * 48)),
        }
    }

    fn publish(&mut self) {
        self.current = self.cache.current();
    }

    /// The keys that serve in truth.
    fn usable(&self) -> Option<&Set> {
        let good = self.truth.good.as_ref()?;
        (self.now < good.0.began.saturating_add(self.stale_for)).then_some(good)
    }

    /// True where this id was looked for.
    fn may_be_unfound(&self, kid: Option<&str>) -> bool {
        let looked = kid.and_then(|kid| self.truth.looked_for.get(kid));
        looked.is_some_and(|(fetch, at)| *fetch <= self.told && self.now < *at + WINDOW)
    }

    /// True where there is no excuse any more.
    fn must_serve(&self, kid: Option<&str>) -> bool {
        let published = match (kid, key_of(kid)) {
            (None, _) => Some(&Moment::ZERO),
            (Some(_), key) => key.and_then(|key| self.truth.published.get(&key)),
        };
        published.is_some_and(|since| self.now >= self.truth.sick.max(*since) + RECOVERED)
    }

    fn state_is_true(&self) -> Check {
        let status = self.cache.status(self.now);
        let told = match status.state {
            KeyState::Missing => self.truth.good.is_none(),
            KeyState::Expired => self.truth.good.is_some() && self.usable().is_none(),
            _ => self.usable().is_some(),
        };
        claim(told, || format!("the state is said to be {status}"))?;
        claim(status.fetches == self.figures.fetches, || format!("{status}"))
    }

    fn on_grid(&self, time: Duration) -> Duration {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(nanos.div_ceil(self.grid) * self.grid)
    }

    fn after(&mut self, time: Duration, event: Event) {
        self.at(self.on_grid(self.now + time), event);
    }

    fn exactly(&mut self, time: Duration, event: Event) {
        self.at(self.now + time, event);
    }

    /// What falls together happens in any order.
    fn at(&mut self, at: Moment, event: Event) {
        self.scheduled += 1;
        self.what.insert(self.scheduled, event);
        self.events.push(Reverse((at, self.random.next(), self.scheduled)));
    }

    fn say(&self, what: fmt::Arguments<'_>) {
        if self.trace {
            println!("{:>14.6} {what}", self.now.as_secs_f64());
        }
    }
}

fn key_of(kid: Option<&str>) -> Option<u32> {
    kid?.parse().ok()
}

/// The seeds and what came of them.
#[derive(Default)]
struct Report {
    seeds: u64,
    all: Figures,
    /// The most fetches in an hour, and the seed.
    worst: (usize, u64),
    violated: Vec<String>,
}

impl Report {
    fn add(&mut self, seed: u64, figures: &Figures, check: Check) {
        self.seeds += 1;
        self.worst = self.worst.max((figures.worst_hour, seed));
        if let Err(violated) = check {
            self.violated.push(format!("seed {seed}: {violated}"));
        }
        let all = &mut self.all;
        all.requests += figures.requests;
        all.accepted += figures.accepted;
        all.accepted_after_waiting += figures.accepted_after_waiting;
        all.not_found += figures.not_found;
        all.not_found_though_published += figures.not_found_though_published;
        for (name, count) in &figures.refused {
            *all.refused.entry(name).or_default() += count;
        }
        all.went_away += figures.went_away;
        all.fetches += figures.fetches;
        all.overtaken += figures.overtaken;
        all.most_waiting = all.most_waiting.max(figures.most_waiting);
        all.simulated += figures.simulated;
    }

    fn join(&mut self, other: Report) {
        self.seeds += other.seeds - 1;
        self.add(other.worst.1, &other.all, Ok(()));
        self.worst = self.worst.max(other.worst);
        self.violated.extend(other.violated);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = &self.all;
        let hours = all.simulated.as_secs_f64() / 3600.0;
        writeln!(f, "seeds: {}, simulated hours: {hours:.0}", self.seeds)?;
        writeln!(
            f,
            "requests: {}, accepted {} ({} of them after waiting), key not found {} ({} of them \
             published meanwhile), 503 {:?}, went away {}",
            all.requests,
            all.accepted,
            all.accepted_after_waiting,
            all.not_found,
            all.not_found_though_published,
            all.refused,
            all.went_away
        )?;
        writeln!(
            f,
            "fetches: {}, {:.1} an issuer-hour on the average, {} in the worst hour (seed {}); \
             overtaken {}; most waiting {}",
            all.fetches,
            all.fetches as f64 / hours,
            self.worst.0,
            self.worst.1,
            all.overtaken,
            all.most_waiting
        )?;
        write!(f, "violations: {}", self.violated.len())
    }
}

fn hours_of(seed: u64) -> Duration {
    HOUR * (6 + (seed % 5) as u32 * 3)
}

/// All of these, on as many threads.
fn simulate(seeds: u64, threads: usize) -> Report {
    let next = AtomicU64::new(0);
    let work = || {
        let mut report = Report::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds || report.violated.len() >= 20 {
                return report;
            }
            let mut simulation = Simulation::new(seed, false);
            let check = simulation.run(hours_of(seed));
            report.add(seed, &simulation.figures, check);
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = Report::default();
        for thread in threads {
            all.join(thread.join().unwrap());
        }
        all
    })
}

fn show(report: &Report) {
    println!("{report}");
    assert!(
        report.violated.is_empty(),
        "replay with UNCONFUSED_SEED=.. cargo test --lib one_seed -- --ignored --nocapture\n{}",
        report.violated.join("\n")
    );
}

#[test]
fn no_schedule_breaks_a_promise_of_the_cache() {
    show(&simulate(300, 2));
}

#[test]
#[ignore = "minutes, and prints figures; .ci/run runs it"]
fn thousands_of_schedules_break_no_promise_of_the_cache() {
    let seeds = std::env::var("UNCONFUSED_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    show(&simulate(seeds.unwrap_or(5000), 2));
}

#[test]
#[ignore = "not a test of its own: replays the seed of UNCONFUSED_SEED"]
fn one_seed_again() {
    let seed = std::env::var("UNCONFUSED_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_default();
    let mut simulation = Simulation::new(seed, true);
    let check = simulation.run(hours_of(seed));
    println!("{:?}", simulation.figures);
    check.unwrap();
}

#[test]
fn a_seed_is_always_the_same_schedule() {
    let figures = || {
        let mut simulation = Simulation::new(7, false);
        simulation.run(HOUR * 6).unwrap();
        format!("{:?}", simulation.figures)
    };
    assert_eq!(figures(), figures());
}
