//! What one run writes down, and what can be read off it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::lab::{ALGORITHMS, DPOP};

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Bare,
    Layer,
    Plain,
    Raw,
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
    /// Of the token, or [`DPOP`].
    pub algorithm: String,
    pub name: String,
    pub kind: Kind,
    /// Of a layer: the router it is added to.
    pub over: String,
    /// What verifies its signatures.
    pub backend: String,
    /// Why there are no numbers.
    pub not_run: Option<String>,
    /// Nanoseconds; of a layer, more than its bare router in the same round.
    pub rounds: Vec<f64>,
    /// Of a layer, more than its bare router.
    pub allocations: f64,
    /// What it lets through and should not.
    pub accepts: Vec<String>,
}

impl Row {
    pub fn spread(&self) -> Spread {
        Spread::of(&self.rounds)
    }

    pub fn is_ours(&self) -> bool {
        self.name.starts_with("unconfused")
    }
}

/// Throughput of two threads that send the same token at once.
#[derive(Serialize, Deserialize)]
pub struct Threads {
    pub algorithm: String,
    pub name: String,
    /// Relative to one thread, in each round.
    pub rounds: Vec<f64>,
    /// What two threads gain, divided by what the bare router gains in the same round.
    pub to_bare: Vec<f64>,
}

#[derive(Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    pub fn of(rounds: &[f64]) -> Self {
        let mut rounds = rounds.to_vec();
        rounds.sort_by(f64::total_cmp);
        let at = |index: usize| rounds.get(index).copied().unwrap_or(f64::NAN);
        let last = rounds.len().saturating_sub(1);
        Spread { median: at(rounds.len() / 2), least: at(0), most: at(last) }
    }
}

impl Report {
    pub fn of<'a>(&'a self, algorithm: &'a str) -> impl Iterator<Item = &'a Row> + Clone {
        self.rows.iter().filter(move |row| row.algorithm == algorithm)
    }

    pub fn row(&self, algorithm: &str, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.algorithm == algorithm && row.name == name)
    }

    /// The signature alone, by the same library.
    pub fn raw(&self, row: &Row) -> Option<&Row> {
        self.rows.iter().find(|raw| {
            raw.kind == Kind::Raw && raw.algorithm == row.algorithm && raw.backend == row.backend
        })
    }

    /// The layer of another crate that adds least.
    pub fn fastest_peer(&self, algorithm: &str) -> Option<&Row> {
        let is_peer =
            |row: &&Row| row.kind == Kind::Layer && !row.is_ours() && row.not_run.is_none();
        let peers = self.rows.iter().filter(|row| row.algorithm == algorithm).filter(is_peer);
        peers.min_by(|a, b| a.spread().median.total_cmp(&b.spread().median))
    }

    /// Every algorithm, and DPoP.
    pub fn sections(&self) -> impl Iterator<Item = &'static str> {
        ALGORITHMS.into_iter().map(|(name, _)| name).chain([DPOP])
    }
}

/// Round by round, so that what slows both down cancels out.
pub fn ratios(of: &[f64], to: &[f64]) -> Vec<f64> {
    of.iter().zip(to).map(|(of, to)| of / to).collect()
}
