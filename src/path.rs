//! The spellings of a path: what routers, file servers and proofs make of the path that was sent.

use http::uri::PathAndQuery;

/// The longest path that is spelled in other ways. RFC 9110 section 4.1 wants servers to accept URIs of 8000 bytes.
const MAX_RESPELLED_BYTES: usize = 8 * 1024;

/// Returns other spellings of the path of a request, for rules that must not depend on how it is spelled.
///
/// In each, percent-encoding is decoded once, and what has to stay encoded is written in capitals. They differ in what
/// may happen to the path next:
///
/// - To a router, `%2F` is a part of a segment. To a file server, it is a separator, and on Windows `\` is one too.
/// - Dot segments are removed as in RFC 3986 section 5.2.4, and then runs of `/` are one. Or they are removed as a file
///   system does it, which skips empty segments first.
/// - File servers find `/a.txt` under `/a.txt/`.
/// - A [`http::Uri`] may hold `é` and `|`, which RFC 3986 wants encoded. A rule may name either.
///
/// Each is another one, and none is the path itself. `*`, an empty path and a path of plain segments have none, which
/// allocates nothing.
///
/// Returns `None` for a path that has several spellings and more than [`MAX_RESPELLED_BYTES`]. The caller refuses it.
pub(crate) fn other_spellings(path: &str) -> Option<Vec<String>> {
    if !path.starts_with('/') {
        return Some(Vec::new());
    }
    if is_plain(path) {
        return Some(without_last_slash(path).map(str::to_owned).into_iter().collect());
    }
    if path.len() > MAX_RESPELLED_BYTES {
        return None;
    }
    let segments = encoded_where_needed(path);
    // A `%` that was sent is `%25` here, so these are encoded characters and nothing else.
    let separated = segments.replace("%2F", "/");
    let on_windows = separated.contains("%5C").then(|| separated.replace("%5C", "/"));
    let mut spellings = vec![without_dot_segments(&segments)];
    for path in [Some(separated), on_windows].into_iter().flatten() {
        let by_uri = without_dot_segments(&path);
        let by_file_system = without_dot_segments(&with_single_slashes(&path));
        let file = without_last_slash(&by_file_system).map(str::to_owned);
        push_new(&mut spellings, with_single_slashes(&by_uri));
        push_new(&mut spellings, by_uri);
        push_new(&mut spellings, by_file_system);
        file.into_iter().for_each(|file| push_new(&mut spellings, file));
    }
    if segments.contains('%') {
        let decoded: Vec<_> = spellings.iter().map(|path| decoded_where_possible(path)).collect();
        decoded.into_iter().for_each(|path| push_new(&mut spellings, path));
    }
    spellings.retain(|spelling| spelling != path);
    Some(spellings)
}

fn push_new(spellings: &mut Vec<String>, spelling: String) {
    if !spellings.contains(&spelling) {
        spellings.push(spelling);
    }
}

/// True if a segment of the path is `.` or `..`, also if it is percent-encoded, and also between encoded separators.
pub(crate) fn has_dot_segment(path: &str) -> bool {
    let mut segment = Segment::Empty;
    for (byte, _) in decoded(path) {
        segment = match byte {
            b'/' | b'\\' if segment.is_dots() => return true,
            b'/' | b'\\' => Segment::Empty,
            byte => segment.and(byte),
        };
    }
    segment.is_dots()
}

/// What a segment is, as far as it has been read.
#[derive(Clone, Copy, PartialEq)]
enum Segment {
    Empty,
    Dot,
    TwoDots,
    Other,
}

impl Segment {
    fn and(self, byte: u8) -> Self {
        match (self, byte) {
            (Segment::Empty, b'.') => Segment::Dot,
            (Segment::Dot, b'.') => Segment::TwoDots,
            _ => Segment::Other,
        }
    }

    fn is_dots(self) -> bool {
        matches!(self, Segment::Dot | Segment::TwoDots)
    }
}

/// Removes the segments `.` and `..` (RFC 3986 section 5.2.4). The result is at least `/`.
pub(crate) fn without_dot_segments(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    let mut ends_in_slash = true;
    for segment in path.split('/').skip(1) {
        ends_in_slash = false;
        match segment {
            "." => ends_in_slash = true,
            ".." => {
                segments.pop();
                ends_in_slash = true;
            }
            segment => segments.push(segment),
        }
    }
    let end = if ends_in_slash { "/" } else { "" };
    match segments.is_empty() {
        true => "/".to_owned(),
        false => format!("/{}{end}", segments.join("/")),
    }
}

/// True if nothing in a path that starts with `/` can be spelled in another way, except for a `/` at its end.
fn is_plain(path: &str) -> bool {
    let mut segment = Segment::Other;
    for byte in path.bytes() {
        segment = match byte {
            b'/' if segment == Segment::Other => Segment::Empty,
            byte if is_path_char(byte) => segment.and(byte),
            _ => return false,
        };
    }
    !segment.is_dots()
}

/// A `pchar` of RFC 3986 section 3.3 that is not percent-encoded.
fn is_path_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'$' | b'&'..=b'.' | b':' | b';' | b'=' | b'@' | b'_' | b'~')
}

/// The bytes of a path, and whether each was percent-encoded. A `%` that encodes nothing is an ordinary character.
fn decoded(path: &str) -> impl Iterator<Item = (u8, bool)> {
    let mut rest = path.as_bytes();
    std::iter::from_fn(move || {
        if let [b'%', high, low, after @ ..] = rest
            && let Some(byte) = hex_byte(*high, *low)
        {
            rest = after;
            return Some((byte, true));
        }
        let (byte, after) = rest.split_first()?;
        rest = after;
        Some((*byte, false))
    })
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = digit(high)?.checked_mul(16)?.checked_add(digit(low)?)?;
    u8::try_from(byte).ok()
}

fn encoded(byte: u8) -> [u8; 3] {
    let digit = |number: u8| b"0123456789ABCDEF".get(usize::from(number)).copied();
    [b'%', digit(byte >> 4).unwrap_or(b'0'), digit(byte & 15).unwrap_or(b'0')]
}

/// Decodes what can stand in a path of RFC 3986, and encodes everything else in capitals. `%2F` stays.
fn encoded_where_needed(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for (byte, was_encoded) in decoded(path) {
        match byte {
            b'/' if !was_encoded => out.push('/'),
            byte if is_path_char(byte) => out.push(char::from(byte)),
            byte => out.extend(encoded(byte).map(char::from)),
        }
    }
    out
}

/// Decodes what RFC 3986 wants encoded in a path and an [`http::Uri`] may hold.
fn decoded_where_possible(path: &str) -> String {
    if !path.contains('%') {
        return path.to_owned();
    }
    let mut bytes = Vec::with_capacity(path.len());
    for (byte, was_encoded) in decoded(path) {
        if was_encoded && byte.is_ascii() && !br#""[\]^{|}"#.contains(&byte) {
            bytes.extend(encoded(byte));
        } else {
            bytes.push(byte);
        }
    }
    let mut out = String::with_capacity(path.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().flat_map(|byte| encoded(*byte)).map(char::from));
    }
    match PathAndQuery::try_from(&*out) {
        Ok(_) => out,
        // Older versions of `http` accept less.
        Err(_) => path.to_owned(),
    }
}

fn with_single_slashes(path: &str) -> String {
    let mut path = path.to_owned();
    let mut before = ' ';
    path.retain(|next| std::mem::replace(&mut before, next) != '/' || next != '/');
    path
}

/// The path without the `/` at its end, if it has one and is more than that.
fn without_last_slash(path: &str) -> Option<&str> {
    path.strip_suffix('/').filter(|path| !path.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_plain_segments_has_no_other_spelling() {
        for path in ["", "*", "/", "/a", "/a/b.c/..d/...", "/.well-known/x", "/a;b=c/d:e@f+g"] {
            assert_eq!(other_spellings(path).unwrap(), [""; 0], "{path}");
        }
        assert_eq!(other_spellings("/a/").unwrap(), ["/a"]);
        let long = format!("/{}", "a".repeat(60_000));
        assert_eq!(other_spellings(&long).unwrap(), [""; 0]);
    }

    #[test]
    fn a_long_path_is_not_spelled_in_other_ways() {
        let path = |bytes: usize| format!("//{}", "a".repeat(bytes - 2));
        assert!(other_spellings(&path(MAX_RESPELLED_BYTES)).is_some());
        assert_eq!(other_spellings(&path(MAX_RESPELLED_BYTES + 1)), None);
    }

    #[test]
    fn what_may_stand_in_a_path_is_what_rfc_3986_lists() {
        let listed =
            |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(byte);
        for byte in 0..=u8::MAX {
            assert_eq!(is_path_char(byte), listed(&byte), "{byte}");
        }
    }

    #[test]
    fn a_dot_segment_is_seen_however_it_is_written() {
        for path in
            ["/.", "/..", "/./a", "/a/../b", "/%2e", "/a/%2E./b", "/a%2f..", "/a\\.%5Cb", ".."]
        {
            assert!(has_dot_segment(path), "{path}");
        }
        for path in ["", "/", "/a", "/...", "/.a", "/a.", "/..a/b..", "/%252e", "/%2", "/%2e%2e%2e"]
        {
            assert!(!has_dot_segment(path), "{path}");
        }
    }
}
