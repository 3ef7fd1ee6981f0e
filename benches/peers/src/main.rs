//! What a request costs behind our guard, and behind other crates. See `README.md`.

#![forbid(unsafe_code)]

mod bound;
mod lab;
mod measure;
mod ours;
mod peers;
mod picture;
mod raw;
mod report;
mod server;
mod table;
mod threads;

use std::path::Path;

use crate::lab::Fallible;
use crate::measure::Pace;
use crate::report::Report;

fn main() -> Fallible<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => measure::run(Some(&here.join("results.json")), Pace::FULL),
        ["trial"] => measure::run(None, Pace::TRIAL),
        ["render"] => render(here),
        ["server"] => server::run(Some(&here.join("server.md")), Pace::FULL),
        ["server", "trial"] => server::run(None, Pace::TRIAL),
        ["server", "only", alg, part, requests] => server::only(alg, part, requests),
        _ => Err("expected nothing, `trial`, `render`, `server` or `server trial`".into()),
    }
}

/// Draws what the last run wrote.
fn render(here: &Path) -> Fallible<()> {
    let report = std::fs::read_to_string(here.join("results.json"))?;
    let report: Report = serde_json::from_str(&report)?;
    std::fs::write(here.with_extension("svg"), picture::draw(&report)?)?;
    std::fs::write(here.join("results.md"), table::write(&report)?)?;
    Ok(())
}
