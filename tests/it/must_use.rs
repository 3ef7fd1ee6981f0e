//! A check whose answer is thrown away is at least a warning. `tests/compile_fail` has a case of each kind; this reads
//! the sources, so that no function is left out.

use std::fs;
use std::path::{Path, PathBuf};

/// The types that are an answer, or stand for a check that was not made yet. `Remembered` is the answer of a store.
const MARKED: [&str; 20] = [
    "Answer",
    "GuardLayer",
    "MethodRule",
    "Rules",
    "RulesLayer",
    "UntilExpiry",
    "UntilExpiryLayer",
    "UntilExpiryFuture",
    "Denial",
    "AccessToken",
    "UnverifiedToken",
    "AcceptedProof",
    "Remembered",
    "ReplayEntry",
    "Transaction",
    "ResponseFuture",
    "Tools",
    "ToolsLayer",
    "ToolsFuture",
    "Message",
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found.sort();
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// Whether the attributes above this line have `#[must_use]`.
fn is_marked(lines: &[&str], at: usize) -> bool {
    let above = lines[..at].iter().rev().map(|line| line.trim());
    above
        .take_while(|line| line.starts_with("#[") || line.starts_with("///"))
        .any(|line| line.starts_with("#[must_use"))
}

#[test]
fn no_public_function_returns_a_bool_or_an_option_that_may_be_dropped_in_silence() {
    let mut seen = 0;
    for (path, text) in all_sources() {
        let lines: Vec<_> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let line = line.trim();
            if !["pub fn ", "pub const fn "].iter().any(|start| line.starts_with(start)) {
                continue;
            }
            let signature = lines[at..].join(" ");
            let signature = signature.split(['{', ';']).next().unwrap();
            let Some((_, returned)) = signature.rsplit_once(") -> ") else { continue };
            if returned.starts_with("bool") || returned.starts_with("Option<") {
                seen += 1;
                assert!(is_marked(&lines, at), "{}: {line}", path.display());
            }
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn every_type_that_stands_for_a_check_is_marked() {
    let sources = all_sources();
    for name in MARKED {
        let is_definition = |line: &str| {
            ["pub struct ", "pub enum "].iter().any(|kind| {
                let rest = line.trim().strip_prefix(kind).and_then(|rest| rest.strip_prefix(name));
                rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
            })
        };
        let mut definitions = sources.iter().flat_map(|(_, text)| {
            let lines: Vec<_> = text.lines().collect();
            let at = lines.iter().position(|line| is_definition(line));
            at.map(|at| is_marked(&lines, at))
        });
        assert_eq!(definitions.next(), Some(true), "{name}");
    }
}
