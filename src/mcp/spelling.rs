//! Names that are the same for a parser that ignores case.

/// True if the names differ, and are the same for a parser that ignores case, as those of Go and C# do.
pub(super) fn differs_in_case_alone(name: &str, known: &str) -> bool {
    name != known && name.chars().flat_map(folded).eq(known.chars().flat_map(folded))
}

/// The character in lower case, or the letter of ASCII that it is another case of in Unicode.
fn folded(read: char) -> impl Iterator<Item = char> {
    let read = match read {
        '\u{17f}' => 's',
        '\u{130}' | '\u{131}' => 'i',
        _ => read,
    };
    read.to_lowercase()
}
