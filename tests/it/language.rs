//! What a person reads is plain English. This reads the sources as text and lists what is not, with its place.

use std::fs;
use std::path::{Path, PathBuf};

/// Words that the documentation of the crate does not use, in lower case.
const BANNED: &[&str] = &["somebody", "nobody", "whoever", "in place of"];

/// How the documentation of an item does not begin.
const OPENINGS: &[&str] = &["The same", "As "];

/// What may follow `is no`: comparatives, and an idiom.
const ALLOWED_AFTER_NO: &[&str] =
    &["longer", "more", "less", "earlier", "later", "larger", "smaller", "reason"];

struct Text {
    /// Below the root of the crate, with slashes.
    path: String,
    text: String,
}

fn texts(paths: &[&str]) -> Vec<Text> {
    fn walk(path: PathBuf, found: &mut Vec<PathBuf>) {
        if path.is_dir() {
            let inside = fs::read_dir(path).unwrap();
            inside.for_each(|entry| walk(entry.unwrap().path(), found));
        } else if path.extension().is_some_and(|ext| ext == "rs" || ext == "md") {
            found.push(path);
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for path in paths {
        let path = root.join(path);
        assert!(path.exists(), "there is no {}", path.display());
        walk(path, &mut found);
    }
    found.retain(|path| !path.components().any(|part| part.as_os_str() == "node_modules"));
    found.sort();
    let read = |path: PathBuf| {
        let below = path.strip_prefix(root).unwrap().components();
        let parts: Vec<_> = below.map(|part| part.as_os_str().to_str().unwrap()).collect();
        Text { path: parts.join("/"), text: fs::read_to_string(&path).unwrap() }
    };
    found.into_iter().map(read).collect()
}

/// What a user reads: the documentation, and all other text of the source.
fn read_by_users() -> Vec<Text> {
    texts(&["src", "README.md", "SECURITY.md"])
}

/// The lines at which the rule finds something, each with its place.
fn offenders(texts: &[Text], rule: impl Fn(&str) -> Vec<usize>) -> Vec<String> {
    let mut found = Vec::new();
    for Text { path, text } in texts {
        let lines: Vec<_> = text.lines().collect();
        let mut at = rule(text);
        at.dedup();
        found.extend(at.into_iter().map(|at| format!("{path}:{}: {}", at + 1, lines[at].trim())));
    }
    found
}

#[track_caller]
fn assert_none(offenders: &[String]) {
    assert!(offenders.is_empty(), "{} places:\n{}", offenders.len(), offenders.join("\n"));
}

/// The words of a text without the marks of comments, each with its line.
fn words(text: &str) -> Vec<(&str, usize)> {
    let mut words = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let line =
            ["//!", "///", "//"].iter().find_map(|mark| line.strip_prefix(mark)).unwrap_or(line);
        words.extend(line.split_whitespace().map(|word| (word, at)));
    }
    words
}

/// The lines with a banned word, also one that goes on in the next line, or is part of a name.
fn banned(text: &str) -> Vec<usize> {
    let words = words(text);
    let at = |begin: usize| {
        let (_, line) = words[begin];
        let phrase = |length: usize| {
            let words = words[begin..].iter().take(length).map(|(word, _)| *word);
            words.collect::<Vec<_>>().join(" ").to_lowercase()
        };
        let is_here = |banned: &&&str| phrase(banned.split(' ').count()).contains(**banned);
        BANNED.iter().find(is_here).map(|_| line)
    };
    (0..words.len()).filter_map(at).collect()
}

/// The lines at which documentation of an item begins in a way that does not stand on its own.
fn dependent_openings(text: &str) -> Vec<usize> {
    let lines: Vec<_> = text.lines().map(str::trim_start).collect();
    let is_doc = |line: &str| line.starts_with("///") || line.starts_with("//!");
    let opens = |at: &usize| {
        let begins = *at == 0 || !is_doc(lines[at - 1]);
        let doc = lines[*at].trim_start_matches("///").trim_start_matches("//!").trim_start();
        begins && is_doc(lines[*at]) && OPENINGS.iter().any(|opening| doc.starts_with(opening))
    };
    (0..lines.len()).filter(opens).collect()
}

/// The lines with `is no` before a noun, which should be `is not a`. `There is no` is fine.
fn is_no_noun(text: &str) -> Vec<usize> {
    let words = words(text);
    let at = |four: &[(&str, usize)]| {
        let [before, is, no, noun] = [0, 1, 2, 3].map(|n| four[n].0);
        let noun = noun.trim_matches(|c: char| !c.is_alphanumeric());
        let is_found = is == "is"
            && no == "no"
            && !before.to_lowercase().ends_with("there")
            && noun.starts_with(char::is_alphanumeric)
            && !ALLOWED_AFTER_NO.contains(&noun);
        is_found.then_some(four[1].1)
    };
    words.windows(4).filter_map(at).collect()
}

/// The lines that name a step or a phase of a document which is not here by its number or letter, and comments that are
/// a number.
fn numbered_steps(text: &str) -> Vec<usize> {
    let is_number = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        !word.is_empty() && word.chars().all(|c| c.is_ascii_digit())
    };
    let is_letter = |word: &str| {
        let letter = word.trim_matches(|c: char| !c.is_alphanumeric());
        matches!(letter.as_bytes(), [b'A'..=b'K'])
    };
    let words = words(text);
    let named = |two: &[(&str, usize)]| {
        let [(name, line), (number, _)] = [two[0], two[1]];
        let name = name.trim_start_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        let is_step = matches!(&*name, "step" | "steps") && is_number(number);
        let is_phase = matches!(&*name, "phase" | "phases") && is_letter(number);
        (is_step || is_phase).then_some(line)
    };
    let commented = |(at, line): (usize, &str)| {
        let (_, comment) = line.rsplit_once("// ").filter(|(code, _)| !code.ends_with('/'))?;
        let number = comment.split([':', ',', ' ']).next()?;
        (is_number(number) && [number, &format!("{number}:")].contains(&comment)).then_some(at)
    };
    let mut found: Vec<_> = words.windows(2).filter_map(named).collect();
    found.extend(text.lines().enumerate().filter_map(commented));
    found.sort_unstable();
    found
}

#[test]
fn no_banned_word_is_used() {
    assert_none(&offenders(&read_by_users(), banned));
}

#[test]
fn the_documentation_of_each_item_stands_on_its_own() {
    assert_none(&offenders(&read_by_users(), dependent_openings));
}

#[test]
fn what_is_not_a_thing_is_not_called_no_thing() {
    assert_none(&offenders(&read_by_users(), is_no_noun));
}

#[test]
fn no_step_or_phase_of_another_document_is_named() {
    let texts = texts(&["src", "tests", "README.md", "SECURITY.md"]);
    assert_none(&offenders(&texts, numbered_steps));
}

// Tests of the rules.

#[test]
fn banned_words_are_found_across_lines_and_in_names() {
    assert_eq!(banned("//! Nobody else"), [0]);
    assert_eq!(banned("fn f() {}\n/// Defaults to it, in place\n/// of 30 seconds."), [1]);
    assert_eq!(banned("let nobody_acts = 1;\n\"whoever\""), [0, 1]);
    assert!(banned("/// No one puts it in place. Of all bodies, some.").is_empty());
}

#[test]
fn openings_are_found_at_the_beginning_only() {
    assert_eq!(dependent_openings("struct A;\n\n    /// The same, but wider.\n    fn f() {}"), [2]);
    assert_eq!(dependent_openings("//! As text."), [0]);
    assert!(dependent_openings("/// A name.\n/// The same for all.\n/// As such.").is_empty());
    assert!(dependent_openings("// The same as above.\n/// Assigns it.").is_empty());
}

#[test]
fn is_no_before_a_noun_is_found_and_there_is_no_is_not() {
    assert_eq!(is_no_noun("/// if it is no JWK Set\n"), [0]);
    assert_eq!(is_no_noun("a\n// what is\n// no token is refused"), [1]);
    for fine in ["there is no key", "There is no key", "it is no longer here", "is not a key"] {
        assert!(is_no_noun(&format!("// so {fine} then")).is_empty(), "{fine}");
    }
}

#[test]
fn numbers_of_steps_and_phases_are_found() {
    // Written with `#`, so that a search for them finds nothing here.
    let steps = |text: &str| numbered_steps(&text.replace('#', "8").replace('$', "H"));
    for found in ["// Step #.", "/// (steps # to 31)", "step\n/// #", "phases $ to J", "f(); // #"]
    {
        assert_eq!(steps(found), [0], "{found}");
    }
    assert_eq!(steps("let a = 1; // #:"), [0]);
    for fine in ["// # bytes", "each step, # of them", "phase one", "// in steps of #", "stepA #"] {
        assert!(steps(fine).is_empty(), "{fine}");
    }
}
