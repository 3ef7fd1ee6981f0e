//! What a request costs behind our guard, and behind other crates. See `README.md`.

#![forbid(unsafe_code)]

mod lab;
mod measure;
mod ours;
mod peers;
mod raw;
mod render;

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    match std::env::args().nth(1).as_deref() {
        None => measure::run(&here.join("results.json")),
        Some("render") => render::run(here),
        Some(other) => Err(format!("{other}: nothing, or `render`").into()),
    }
}
