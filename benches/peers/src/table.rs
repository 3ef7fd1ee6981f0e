//! The tables of what was measured.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::bound::{KNOWN, NEW_TOKEN, UNKNOWN};
use crate::lab::{ALGORITHMS, DPOP};
use crate::ours::{ARC, BARE, COLD, WARM};
use crate::picture::drawn;
use crate::report::{Kind, Report, Row, Spread, ratios};

type Written = Result<(), std::fmt::Error>;

pub fn write(report: &Report) -> Result<String, std::fmt::Error> {
    let mut out = format!("{}\n", machine(report));
    let versions = report.versions.iter().map(|(name, version)| format!("{name} {version}"));
    writeln!(out, "\n{}\n", versions.collect::<Vec<_>>().join("; "))?;
    summary(&mut out, report)?;
    for section in report.sections() {
        self::section(&mut out, report, section)?;
    }
    threads(&mut out, report)?;
    let judged = report.rows.iter().filter(|row| matches!(row.kind, Kind::Layer | Kind::Plain));
    let judged = judged.filter(|row| row.not_run.is_none());
    for (title, is_dpop) in [("tokens", false), ("proofs", true)] {
        writeln!(out, "\n## Wrong {title} that are let through, as it was set up here\n")?;
        let judged = judged.clone().filter(|row| (row.algorithm == DPOP) == is_dpop);
        let judged = judged.map(|row| (row.name.as_str(), row.accepts.join(", ")));
        for (name, accepts) in judged.collect::<BTreeSet<_>>() {
            let accepts = if accepts.is_empty() { "none of these" } else { &accepts };
            writeln!(out, "- {name}: {accepts}")?;
        }
    }
    Ok(out)
}

pub fn machine(report: &Report) -> String {
    format!(
        "{}, {} cores, {}, {}, {}",
        report.cpu, report.cores, report.openssl, report.rustc, report.date
    )
}

pub fn micros(nanos: f64) -> String {
    let micros = nanos / 1000.0;
    if micros < 10.0 { format!("{micros:.2}") } else { format!("{micros:.1}") }
}

/// Median, least and most, each written by `write`.
fn spread(rounds: &[f64], write: impl Fn(f64) -> String) -> String {
    let Spread { median, least, most } = Spread::of(rounds);
    format!("{} ({}–{})", write(median), write(least), write(most))
}

fn ratio(of: &[f64], to: &[f64], places: usize) -> String {
    spread(&ratios(of, to), |ratio| format!("{ratio:.places$}"))
}

/// What the other tables are asked for most, each number computed round by round.
fn summary(out: &mut String, report: &Report) -> Written {
    writeln!(out, "## In short\n\n| | median (min–max) |\n|---|---|")?;
    let rounds = |section: &str, name: &str| report.row(section, name).map(|row| &row.rounds);
    let rs256 = |name: &str| rounds("RS256", name);
    if let (Some(warm), Some(bare), Some(arc)) = (rs256(WARM), rs256(BARE), rs256(ARC)) {
        let nanos = |nanos: f64| format!("{nanos:.0}");
        let above: Vec<_> =
            warm.iter().zip(bare).zip(arc).map(|((warm, bare), arc)| warm + bare - arc).collect();
        writeln!(out, "| RS256, warm: ns above the bare router | {} |", spread(warm, nanos))?;
        writeln!(out, "| RS256, warm: ns above {ARC} | {} |", spread(&above, nanos))?;
        if let Some(peer) = report.fastest_peer("RS256") {
            let (name, times) = (&peer.name, ratio(&peer.rounds, warm, 1));
            writeln!(out, "| RS256: what {name} adds, to what warm adds | {times} |")?;
        }
    }
    let raw = |row: &Row| report.raw(row).map(|raw| raw.rounds.clone());
    for (section, _) in ALGORITHMS {
        for backend in ["OpenSSL", "AWS-LC"] {
            let validate = report.row(section, &format!("unconfused, {backend}: validate"));
            let cold = report.row(section, &format!("unconfused, {backend}, cold"));
            let (Some(validate), Some(cold)) = (validate, cold) else { continue };
            let Some(raw) = raw(cold) else { continue };
            let of = [&validate.rounds, &cold.rounds].map(|rounds| ratio(rounds, &raw, 2));
            writeln!(
                out,
                "| {section}, {backend}: validate, to the signature alone | {} |",
                of[0]
            )?;
            writeln!(out, "| {section}, {backend}: what cold adds, to the same | {} |", of[1])?;
        }
    }
    for name in [KNOWN, UNKNOWN, NEW_TOKEN].concat() {
        let Some(row) = report.row(DPOP, name) else { continue };
        let Some(raw) = raw(row) else { continue };
        let name = name.trim_start_matches("unconfused, ");
        let ratio = ratio(&row.rounds, &raw, 2);
        writeln!(out, "| DPoP, {name}: added, to the signature of the proof alone | {ratio} |")?;
    }
    for threads in report.threads.iter().filter(|threads| threads.name == WARM) {
        let to_bare = spread(&threads.to_bare, |ratio| format!("{ratio:.3}"));
        let algorithm = &threads.algorithm;
        writeln!(
            out,
            "| {algorithm}, warm, two threads: to the bare router's own gain | {to_bare} |"
        )?;
    }
    writeln!(out)
}

fn section(out: &mut String, report: &Report, section: &str) -> Written {
    let compared = if section == DPOP { KNOWN[0] } else { COLD };
    let compared = report.row(section, compared).map(|row| row.spread().median);
    let to = if section == DPOP { "to ours, known key" } else { "to ours, cold" };
    writeln!(out, "## {section}\n\n| layer | adds µs (min–max) | {to} | adds allocations |")?;
    writeln!(out, "|---|---|---|---|")?;
    for row in drawn(report, section).into_iter().filter(|row| row.kind == Kind::Layer) {
        line(out, row, compared)?;
    }
    writeln!(out, "\n| function | µs (min–max) | to raw, same backend | allocations |")?;
    writeln!(out, "|---|---|---|---|")?;
    for row in report.of(section).filter(|row| matches!(row.kind, Kind::Raw | Kind::Plain)) {
        line(out, row, report.raw(row).map(|raw| raw.spread().median))?;
    }
    writeln!(out, "\n| router | µs (min–max) | | allocations |\n|---|---|---|---|")?;
    for row in report.of(section).filter(|row| row.kind == Kind::Bare) {
        line(out, row, None)?;
    }
    writeln!(out)
}

fn threads(out: &mut String, report: &Report) -> Written {
    writeln!(out, "## Two threads that send the same token\n")?;
    writeln!(
        out,
        "| | | throughput, where one thread has 1 (min–max) | to the bare router (min–max) |"
    )?;
    writeln!(out, "|---|---|---|---|")?;
    for threads in &report.threads {
        let (algorithm, name) = (&threads.algorithm, &threads.name);
        let gain = spread(&threads.rounds, |gain| format!("{gain:.2}"));
        let to_bare = spread(&threads.to_bare, |ratio| format!("{ratio:.3}"));
        writeln!(out, "| {algorithm} | {name} | {gain} | {to_bare} |")?;
    }
    Ok(())
}

fn line(out: &mut String, row: &Row, compared: Option<f64>) -> Written {
    let name = if row.is_ours() { format!("**{}**", row.name) } else { row.name.clone() };
    if let Some(why) = &row.not_run {
        return writeln!(out, "| {name} | not run: {why} | | |");
    }
    let median = row.spread().median;
    let ratio = compared.map(|compared| format!("{:.2}", median / compared)).unwrap_or_default();
    let measured = spread(&row.rounds, micros);
    writeln!(out, "| {name} | {measured} | {ratio} | {:.0} |", row.allocations)
}
