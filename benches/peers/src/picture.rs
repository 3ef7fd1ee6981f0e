//! One picture of what was measured.

use std::fmt::Write as _;

use crate::lab::DPOP;
use crate::report::{Kind, Report, Row, Spread};
use crate::table::{machine, micros};

const WIDTH: f64 = 900.0;
/// Where bars begin, and where the axis ends.
const LEFT: f64 = 280.0;
const RIGHT: f64 = 800.0;
const ROW: f64 = 20.0;
const TOP: f64 = 84.0;

/// ES384 stands in the tables alone.
const SECTIONS: [&str; 5] = ["RS256", "PS256", "ES256", "EdDSA", DPOP];

/// Of one section: what is drawn, the cheapest first.
pub fn drawn<'a>(report: &'a Report, section: &'a str) -> Vec<&'a Row> {
    let shown = |row: &&Row| row.kind == Kind::Layer || row.name.starts_with("jsonwebtoken");
    let mut rows: Vec<_> = report.of(section).filter(shown).collect();
    rows.sort_by(|a, b| a.spread().median.total_cmp(&b.spread().median));
    rows
}

/// A logarithmic axis from and to a 1, 2 or 5.
struct Axis {
    ticks: Vec<f64>,
}

impl Axis {
    fn over(report: &Report) -> Self {
        let all = SECTIONS.into_iter().flat_map(|section| drawn(report, section));
        let measured = all.filter(|row| row.not_run.is_none()).map(|row| row.spread());
        let (least, most) = measured.fold((f64::MAX, 0.0), |(least, most), spread| {
            (f64::min(least, spread.least / 1000.0), f64::max(most, spread.most / 1000.0))
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

pub fn draw(report: &Report) -> Result<String, std::fmt::Error> {
    let axis = Axis::over(report);
    let (mut body, mut y) = (String::new(), TOP);
    for section in SECTIONS {
        let title = if section == DPOP { "DPoP: a token and a proof, both ES256" } else { section };
        writeln!(body, r#"<text x="16" y="{}" font-weight="bold">{title}</text>"#, y + 14.0)?;
        y += ROW;
        for row in drawn(report, section) {
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
    let Spread { median, least, most } = row.spread();
    let [to, from, until] = [median, least, most].map(|nanos| axis.at(nanos / 1000.0));
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
