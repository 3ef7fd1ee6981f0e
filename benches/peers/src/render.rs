//! One picture and one table of what was measured.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use crate::lab::{ALGORITHMS, Fallible};
use crate::measure::{Kind, Report, Row, spread};
use crate::ours::COLD;

const WIDTH: f64 = 900.0;
/// Where bars begin, and where the axis ends.
const LEFT: f64 = 250.0;
const RIGHT: f64 = 800.0;
const ROW: f64 = 20.0;
const TOP: f64 = 84.0;

pub fn run(here: &Path) -> Fallible<()> {
    let report = std::fs::read_to_string(here.join("results.json"))?;
    let report: Report = serde_json::from_str(&report)?;
    std::fs::write(here.with_extension("svg"), picture(&report)?)?;
    std::fs::write(here.join("results.md"), table(&report)?)?;
    Ok(())
}

fn machine(report: &Report) -> String {
    format!(
        "{}, {} cores, {}, {}, {}",
        report.cpu, report.cores, report.openssl, report.rustc, report.date
    )
}

fn micros(nanos: f64) -> String {
    let micros = nanos / 1000.0;
    if micros < 10.0 { format!("{micros:.2}") } else { format!("{micros:.1}") }
}

/// Of one algorithm: what is drawn, the cheapest first.
fn drawn<'a>(report: &'a Report, alg: &str) -> Vec<&'a Row> {
    let shown = |row: &&Row| {
        row.algorithm == alg && (row.kind == Kind::Layer || row.name.starts_with("jsonwebtoken"))
    };
    let mut rows: Vec<_> = report.rows.iter().filter(shown).collect();
    rows.sort_by(|a, b| a.spread().0.total_cmp(&b.spread().0));
    rows
}

/// A logarithmic axis from and to a 1, 2 or 5.
struct Axis {
    ticks: Vec<f64>,
}

impl Axis {
    fn over(report: &Report) -> Self {
        let all = ALGORITHMS.iter().flat_map(|(alg, _)| drawn(report, alg));
        let measured = all.filter(|row| row.not_run.is_none()).map(|row| row.spread());
        let (least, most) = measured.fold((f64::MAX, 0.0), |(least, most), (_, min, max)| {
            (f64::min(least, min / 1000.0), f64::max(most, max / 1000.0))
        });
        let steps = (-2..5).flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(power)));
        let steps: Vec<f64> = steps.collect();
        // From the last step that is well below everything, so that the shortest bar is one.
        let first = steps.iter().rposition(|step| *step < least * 0.6).unwrap_or(0);
        let last = steps.iter().position(|step| *step >= most).unwrap_or(steps.len() - 1);
        Axis { ticks: steps[first..=last].to_vec() }
    }

    fn at(&self, micros: f64) -> f64 {
        let (first, last) = (self.ticks[0].ln(), self.ticks[self.ticks.len() - 1].ln());
        let share = (micros.max(self.ticks[0]).ln() - first) / (last - first);
        LEFT + share * (RIGHT - LEFT)
    }
}

fn picture(report: &Report) -> Result<String, std::fmt::Error> {
    let axis = Axis::over(report);
    let (mut body, mut y) = (String::new(), TOP);
    for (alg, _) in ALGORITHMS {
        writeln!(body, r#"<text x="16" y="{}" font-weight="bold">{alg}</text>"#, y + 14.0)?;
        y += ROW;
        for row in drawn(report, alg) {
            bar(&mut body, &axis, row, y)?;
            y += ROW;
        }
        y += ROW / 2.0;
    }
    let (mut grid, height) = (String::new(), y + 52.0);
    for tick in &axis.ticks {
        let x = axis.at(*tick);
        let (from, label) = (TOP - 4.0, y + 12.0);
        writeln!(grid, r##"<path d="M{x:.1} {from}V{y}" stroke="#ddd"/>"##)?;
        writeln!(grid, r#"<text x="{x:.1}" y="{label}" text-anchor="middle">{tick}</text>"#)?;
    }
    let (note, machine) = (y + 36.0, machine(report));
    Ok(format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" font-family="Helvetica, Arial, sans-serif" font-size="13" fill="#222">
<rect width="100%" height="100%" fill="#fff"/>
<text x="16" y="28" font-size="17" font-weight="bold">Time a guard adds to a bare axum request</text>
<text x="16" y="48">µs on a logarithmic scale, less is better; median of 5 rounds, whiskers from the least to the most</text>
<text x="16" y="66" fill="#666">light: a function called alone, not a layer</text>
{grid}{body}<text x="16" y="{note}" font-size="11" fill="#666">{machine}</text>
</svg>
"##
    ))
}

fn bar(out: &mut String, axis: &Axis, row: &Row, y: f64) -> std::fmt::Result {
    let (color, weight) = match row.kind {
        _ if row.is_ours() => ("#d9480f", "bold"),
        Kind::Plain => ("#c3cdd6", "normal"),
        Kind::Layer | Kind::Bare | Kind::Raw => ("#748494", "normal"),
    };
    let (text, middle) = (y + 14.0, y + 10.0);
    let (name, end) = (&row.name, LEFT - 8.0);
    writeln!(
        out,
        r#"<text x="{end}" y="{text}" text-anchor="end" font-weight="{weight}">{name}</text>"#
    )?;
    if row.not_run.is_some() {
        let x = LEFT + 4.0;
        return writeln!(out, r##"<text x="{x}" y="{text}" fill="#666">not run</text>"##);
    }
    let (median, min, max) = row.spread();
    let [to, from, until] = [median, min, max].map(|nanos| axis.at(nanos / 1000.0));
    let (top, width, value) = (y + 3.0, to - LEFT, micros(median));
    writeln!(out, r#"<rect x="{LEFT}" y="{top}" width="{width:.1}" height="14" fill="{color}"/>"#)?;
    let (high, low) = (y + 6.0, y + 14.0);
    writeln!(
        out,
        r##"<path d="M{from:.1} {high}V{low}M{from:.1} {middle}H{until:.1}M{until:.1} {high}V{low}" stroke="#111" fill="none"/>"##
    )?;
    let x = until + 6.0;
    writeln!(out, r#"<text x="{x:.1}" y="{text}" font-weight="{weight}">{value}</text>"#)
}

fn table(report: &Report) -> Result<String, std::fmt::Error> {
    let mut out = format!("{}\n", machine(report));
    let versions = report.versions.iter().map(|(name, version)| format!("{name} {version}"));
    writeln!(out, "\n{}\n", versions.collect::<Vec<_>>().join("; "))?;
    for (alg, _) in ALGORITHMS {
        let rows = || report.rows.iter().filter(move |row| row.algorithm == alg);
        let median = |name: &str| rows().find(|row| row.name == name).map(|row| row.spread().0);
        writeln!(
            out,
            "## {alg}\n\n| layer | adds µs (min–max) | to ours, cold | adds allocations |"
        )?;
        writeln!(out, "|---|---|---|---|")?;
        for row in drawn(report, alg).into_iter().filter(|row| row.kind == Kind::Layer) {
            line(&mut out, row, median(COLD))?;
        }
        writeln!(out, "\n| function | µs (min–max) | to raw, same backend | allocations |")?;
        writeln!(out, "|---|---|---|---|")?;
        let functions = rows().filter(|row| matches!(row.kind, Kind::Raw | Kind::Plain));
        for row in functions {
            let raw = rows().find(|raw| raw.kind == Kind::Raw && raw.over == row.over);
            line(&mut out, row, raw.map(|raw| raw.spread().0))?;
        }
        writeln!(out, "\n| router | µs (min–max) | | allocations |\n|---|---|---|---|")?;
        for row in rows().filter(|row| row.kind == Kind::Bare) {
            line(&mut out, row, None)?;
        }
        writeln!(out)?;
    }
    writeln!(
        out,
        "## Two threads, relative to one\n\n| | | throughput (min–max) |\n|---|---|---|"
    )?;
    for threads in &report.threads {
        let (median, least, most) = spread(&threads.rounds);
        let (algorithm, name) = (&threads.algorithm, &threads.name);
        writeln!(out, "| {algorithm} | {name} | {median:.2} ({least:.2}–{most:.2}) |")?;
    }
    writeln!(out, "\n## Wrong tokens that are let through, as it was set up here\n")?;
    let judged = report.rows.iter().filter(|row| matches!(row.kind, Kind::Layer | Kind::Plain));
    let judged = judged.filter(|row| row.not_run.is_none());
    let judged = judged.map(|row| (row.name.as_str(), row.accepts.join(", ")));
    for (name, accepts) in judged.collect::<BTreeSet<_>>() {
        let accepts = if accepts.is_empty() { "none of these" } else { &accepts };
        writeln!(out, "- {name}: {accepts}")?;
    }
    Ok(out)
}

fn line(out: &mut String, row: &Row, compared: Option<f64>) -> std::fmt::Result {
    let name = if row.is_ours() { format!("**{}**", row.name) } else { row.name.clone() };
    if let Some(why) = &row.not_run {
        return writeln!(out, "| {name} | not run: {why} | | |");
    }
    let (median, min, max) = row.spread();
    let ratio = compared.map(|compared| format!("{:.2}", median / compared)).unwrap_or_default();
    let [median, min, max] = [median, min, max].map(micros);
    writeln!(out, "| {name} | {median} ({min}–{max}) | {ratio} | {:.0} |", row.allocations)
}
