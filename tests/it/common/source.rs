//! The source of the crate, as text.

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) struct File {
    /// Below `src`, with slashes.
    pub(crate) path: String,
    pub(crate) source: String,
}

impl File {
    /// The room of the file: the name of the file or folder in `src`.
    pub(crate) fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How many modules the file is below the crate.
    pub(crate) fn depth(&self) -> usize {
        let parts = self.path.split('/').count();
        if self.path.ends_with("/mod.rs") { parts - 1 } else { parts }
    }

    pub(crate) fn is_root(&self) -> bool {
        self.path == "lib.rs"
    }
}

/// Returns all files of `src`.
pub(crate) fn files() -> Vec<File> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                found.push(path);
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&src, &mut found);
    let read = |path: PathBuf| {
        let below = path.strip_prefix(&src).unwrap();
        let parts: Vec<_> = below.iter().map(|part| part.to_str().unwrap()).collect();
        File { path: parts.join("/"), source: fs::read_to_string(&path).unwrap() }
    };
    let files: Vec<_> = found.into_iter().map(read).collect();
    assert!(files.iter().any(File::is_root), "this is not the source");
    files
}

/// Returns words and signs, without comments and literals.
pub(crate) fn tokens(source: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest) {
            length
        } else if first == '"' {
            string(rest)
        } else if first == '\'' {
            character(rest).unwrap_or(1)
        } else if is_word(first) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            tokens.push(&rest[..length]);
            length
        } else if rest.starts_with("::") {
            tokens.push("::");
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(&rest[..first.len_utf8()]);
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

fn block_comment(text: &str) -> usize {
    let mut open = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            open += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            open -= 1;
            at += 2;
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
        if open == 0 {
            break;
        }
    }
    at
}

fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix('b').unwrap_or(text).strip_prefix('r')?;
    let quoted = after.trim_start_matches('#');
    let hashes = &after[..after.len() - quoted.len()];
    let inside = quoted.strip_prefix('"')?;
    let end = format!("\"{hashes}");
    let length = inside.find(&end).expect("a raw string ends") + end.len();
    Some(text.len() - inside.len() + length)
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    panic!("a string ends")
}

/// Returns `None` if it is a lifetime.
fn character(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        chars.next()?;
        return chars.find(|(_, c)| *c == '\'').map(|(at, _)| at + 1);
    }
    chars.next().filter(|(_, c)| *c == '\'').map(|(at, _)| at + 1)
}

/// Returns the tokens of what is compiled outside tests.
pub(crate) fn code(source: &str) -> Vec<&str> {
    const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let all = tokens(source);
    let mut kept = Vec::new();
    let mut at = 0;
    while at < all.len() {
        if !all[at..].starts_with(&TEST) {
            kept.push(all[at]);
            at += 1;
            continue;
        }
        // up to the end of the item
        let mut open = 0;
        while at < all.len() {
            let token = all[at];
            at += 1;
            match token {
                "{" => open += 1,
                "}" => open -= 1,
                _ => {}
            }
            if open == 0 && matches!(token, "}" | ";") {
                break;
            }
        }
    }
    kept
}
