//! The modules of the crate are rooms on floors, and imports point down. This reads the source as
//! text and compares it with the plan.

mod circles;

use std::collections::BTreeSet;

use crate::common::source::{File, code, files};

/// The floors from the ground up, and the rooms of each. A room imports from rooms that stand before it
/// in this list, and from no other: neither from above, nor from a later room of its own floor.
const FLOORS: &[(&str, &[&str])] = &[
    (
        "ground",
        &[
            "reason",
            "printable",
            "names",
            "config_error",
            "dates",
            "answer",
            "json",
            "path",
            "per_thread",
        ],
    ),
    ("signatures", &["jose"]),
    ("tokens", &["profile", "proof", "detail", "token"]),
    ("requirements", &["require"]),
    ("decisions", &["challenge", "credential", "evidence", "denial"]),
    (
        "seams",
        &["outbound", "replay", "keys", "token_cache", "approvals", "policy", "audit", "mcp"],
    ),
    ("shell", &["guard"]),
    ("adapters", &["layer", "metadata", "next_hop", "axum", "tonic", "testing"]),
    ("documentation", &["guide"]),
];

/// No clock, no I/O, no async: `now` is an argument.
const CORE: &[&str] = &["ground", "signatures", "tokens", "requirements", "decisions"];

/// The most lines that a file may have, its tests not counted.
const MOST_LINES: usize = 450;

fn rooms() -> Vec<&'static str> {
    FLOORS.iter().flat_map(|(_, rooms)| *rooms).copied().collect()
}

// The arrows.

/// Returns the first names after `crate`, or after as many `super` as lead to the root: of each path, and of each tree
/// in a group.
fn imports(source: &str, depth: usize) -> BTreeSet<String> {
    let code = code(source);
    let mut found = BTreeSet::new();
    let mut at = 0;
    while at < code.len() {
        let mut next = at + 1;
        let root = match code[at] {
            "crate" => code.get(next).is_some_and(|t| matches!(*t, "::" | "as")),
            "super" => {
                let mut up = 1;
                while code[next..].starts_with(&["::", "super"]) {
                    up += 1;
                    next += 2;
                }
                up >= depth && code.get(next) == Some(&"::")
            }
            _ => false,
        };
        // `pub use` shows a name of another room in a public module: a façade, not an import.
        let facade = at >= 2 && code[at - 2..at] == ["pub", "use"];
        if root && !facade {
            // with `as` instead of `::` the crate itself gets a name: `as` is not a room, so it is found
            let first = if code[next] == "::" { next + 1 } else { next };
            found.extend(firsts(&code[first..]));
        }
        at = next;
    }
    found
}

fn firsts(tree: &[&str]) -> Vec<String> {
    if tree.first() != Some(&"{") {
        return tree.first().map(ToString::to_string).into_iter().collect();
    }
    let mut firsts = Vec::new();
    let mut open = 0;
    let mut begins = false;
    for token in tree {
        match *token {
            "{" => {
                open += 1;
                begins = open == 1;
            }
            "}" => {
                open -= 1;
                if open == 0 {
                    break;
                }
            }
            "," => begins = open == 1,
            first if begins => {
                firsts.push(first.to_owned());
                begins = false;
            }
            _ => {}
        }
    }
    firsts
}

/// Returns the arrows of a room that do not point down, in words.
fn wrong_arrows(room: &str, imports: &BTreeSet<String>) -> Vec<String> {
    let rooms = rooms();
    let place = |name: &str| rooms.iter().position(|room| *room == name);
    let wrong = |to: &&String| match (place(room), place(to)) {
        _ if *to == room => false,
        (Some(from), Some(to)) => to > from,
        _ => true,
    };
    let tell = |to: &String| match place(to) {
        Some(_) => format!("{room} -> {to} runs up"),
        None => format!("{room} -> {to} leads to no room"),
    };
    imports.iter().filter(wrong).map(tell).collect()
}

#[test]
fn no_import_runs_up_and_none_comes_from_the_root() {
    let mut wrong = Vec::new();
    for file in files().iter().filter(|file| !file.is_root()) {
        let imports = imports(&file.source, file.depth());
        wrong.extend(wrong_arrows(file.room(), &imports));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_is_of_a_room_on_the_plan() {
    let rooms = rooms();
    for file in files().iter().filter(|file| !file.is_root()) {
        assert!(rooms.contains(&file.room()), "{} is on no floor", file.path);
    }
}

#[test]
fn every_room_on_the_plan_is_built_and_listed_once() {
    let files = files();
    let built: BTreeSet<_> = files.iter().map(File::room).collect();
    let rooms = rooms();
    for room in &rooms {
        assert!(built.contains(room), "{room} is on the plan and not built");
    }
    let distinct: BTreeSet<_> = rooms.iter().collect();
    assert_eq!(distinct.len(), rooms.len());
}

#[test]
fn the_root_holds_no_logic() {
    let files = files();
    let lib = files.iter().find(|file| file.is_root()).unwrap();
    for token in code(&lib.source) {
        let logic =
            ["fn", "impl", "struct", "enum", "trait", "const", "static", "type", "macro_rules"];
        assert!(!logic.contains(&token), "`{token}` in lib.rs");
    }
}

#[test]
fn only_the_room_jose_names_the_crates_behind_it() {
    for file in files().iter().filter(|file| file.room() != "jose") {
        let source = file.source.to_lowercase();
        for name in ["josekit", "openssl", "aws_lc", "aws-lc"] {
            assert!(!source.contains(name), "{} names {name}", file.path);
        }
    }
}

#[test]
fn the_core_reads_no_clock_does_no_io_and_waits_for_nothing() {
    let core: Vec<_> = FLOORS
        .iter()
        .filter(|(floor, _)| CORE.contains(floor))
        .flat_map(|(_, rooms)| *rooms)
        .collect();
    for file in files() {
        // `answer` is the type of an answer that may come later.
        if !core.contains(&&file.room()) || file.room() == "answer" {
            continue;
        }
        let impure =
            ["async", "await", "Future", "Instant", "SystemTime", "sleep", "tokio", "fs", "net"];
        let code = code(&file.source);
        for token in &code {
            assert!(!impure.contains(token), "`{token}` in {}", file.path);
        }
        let reads_clock = code.windows(3).any(|w| w == ["UtcDateTime", "::", "now"]);
        assert!(!reads_clock, "{} reads the clock", file.path);
    }
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<_> = files()
        .iter()
        .map(|file| {
            let lines = file.source.lines();
            let before_tests =
                lines.take_while(|line| !["#[cfg(test)]", "#![cfg(test)]"].contains(&line.trim()));
            (file.path.clone(), before_tests.count())
        })
        .filter(|(_, lines)| *lines > MOST_LINES)
        .collect();
    assert!(long.is_empty(), "{long:?}");
}

// Tests of the finder.

fn wrong(room: &str, source: &str, depth: usize) -> Vec<String> {
    wrong_arrows(room, &imports(source, depth))
}

#[test]
fn an_import_that_runs_up_is_found_however_it_is_written() {
    let expected = ["token -> guard runs up"];
    for source in [
        "use crate::guard::Guard;",
        "use crate :: guard :: Guard;",
        "pub(crate) use crate::guard::{Guard, Ask};",
        "use crate::{names::Scope, guard::Guard};",
        "use crate::{names::{Scope, Acr}, guard};",
        "use crate::{\n    guard::{self, Guard},\n};",
        "fn f() -> crate::guard::Guard { panic!() }",
        "fn f() { let c = '\"'; crate::guard::f(); let d = '\"'; }",
        "fn f<'a>(a: &'a str) { crate::guard::f(\"\\\"\", r#\"\"\"#) }",
        "#[cfg(test)]\nmod tests { fn f() {} }\nuse crate::guard::Guard;",
        "#[cfg(test)]\nuse crate::names::Scope;\nuse crate::guard::Guard;",
        "macro_rules! m { () => { $crate::guard::Guard } }",
        "/* a /* b */ c */ use crate::guard::Guard;",
    ] {
        assert_eq!(wrong("token", source, 2), expected, "{source}");
    }
    assert_eq!(wrong("token", "use super::guard::Guard;", 1), expected);
    assert_eq!(wrong("token", "use super::super::guard::Guard;", 2), expected);
    assert_eq!(wrong("token", "use super::super::{guard};", 2), expected);
}

#[test]
fn an_import_from_a_later_room_of_the_same_floor_is_found() {
    let source = "use crate::denial::Denial;";
    let expected = ["evidence -> denial runs up"];
    assert_eq!(wrong("evidence", source, 1), expected);
    assert!(wrong("denial", "use crate::evidence::DecisionId;", 1).is_empty());
}

#[test]
fn an_import_from_the_root_is_found() {
    let to = |name: &str| vec![format!("guard -> {name} leads to no room")];
    assert_eq!(wrong("guard", "use crate::Grant;", 1), to("Grant"));
    assert_eq!(wrong("guard", "use crate::*;", 1), to("*"));
    assert_eq!(wrong("guard", "use crate::{token::Actor, Grant};", 1), to("Grant"));
    assert_eq!(wrong("guard", "use crate as unconfused;", 1), to("as"));
}

#[test]
fn what_is_not_an_import_is_ignored() {
    for source in [
        "// use crate::guard::Guard;",
        "/// [`Guard`](crate::Guard)",
        "/* use crate::guard::Guard; */",
        "const TEXT: &str = \"use crate::guard::Guard\";",
        "const TEXT: &str = r#\"a \" crate::guard::Guard\"#;",
        "#[cfg(test)]\nmod tests { use crate::guard::Guard; fn f() { {} } }",
        "#[cfg(test)]\nuse crate::guard::Guard;",
        "pub(crate) fn f() {}",
        "use super::claims::Claims;",
        "use crate::token::claims::Claims;",
        "use crate::names::Scope;",
        "pub use crate::guard::Guard;",
        "use other::guard::Guard;",
    ] {
        assert!(wrong("token", source, 2).is_empty(), "{source}");
    }
}
