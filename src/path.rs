//! The spellings of a path: what routers, file servers and proofs make of the path that was sent.

use http::uri::PathAndQuery;

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
/// The order is the same for every path. A spelling may occur twice, and may be the path itself. `*`, an empty path and
/// a path of plain segments have none, which allocates nothing.
pub(crate) fn other_spellings(path: &str) -> Vec<String> {
    if !path.starts_with('/') {
        return Vec::new();
    }
    if is_plain(path) {
        return without_last_slash(path).map(str::to_owned).into_iter().collect();
    }
    let segments = encoded_where_needed(path);
    // A `%` that was sent is `%25` here, so these are encoded characters and nothing else.
    let separated = segments.replace("%2F", "/");
    let on_windows = separated.replace("%5C", "/");
    let mut spellings = vec![without_dot_segments(&segments)];
    for path in [separated, on_windows] {
        let by_uri = without_dot_segments(&path);
        let by_file_system = without_dot_segments(&with_single_slashes(&path));
        let file = without_last_slash(&by_file_system).unwrap_or(&by_file_system).to_owned();
        spellings.extend([with_single_slashes(&by_uri), by_uri, by_file_system, file]);
    }
    let decoded: Vec<_> = spellings.iter().map(|path| decoded_where_possible(path)).collect();
    spellings.extend(decoded);
    spellings
}

/// True if a segment of the path is `.` or `..`, also if it is percent-encoded, and also between encoded separators.
pub(crate) fn has_dot_segment(path: &str) -> bool {
    // `None` once there is something else in the segment.
    let mut dots = Some(0_usize);
    for byte in decoded(path).map(|(byte, _)| byte).chain([b'/']) {
        dots = match byte {
            b'/' | b'\\' if matches!(dots, Some(1 | 2)) => return true,
            b'/' | b'\\' => Some(0),
            b'.' => dots.map(|dots| dots.saturating_add(1)),
            _ => None,
        };
    }
    false
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

/// True if nothing in the path can be spelled in another way, except for a `/` at its end.
fn is_plain(path: &str) -> bool {
    path.bytes().all(|byte| is_path_char(byte) || byte == b'/')
        && !path.contains("//")
        && path.split('/').all(|segment| !matches!(segment, "." | ".."))
}

/// A `pchar` of RFC 3986 section 3.3 that is not percent-encoded.
fn is_path_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
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

fn push_encoded(path: &mut String, byte: u8) {
    let digit = |number: u8| char::from_digit(number.into(), 16).unwrap_or('0');
    path.push('%');
    path.push(digit(byte >> 4).to_ascii_uppercase());
    path.push(digit(byte & 15).to_ascii_uppercase());
}

/// Decodes what can stand in a path of RFC 3986, and encodes everything else in capitals. `%2F` stays.
fn encoded_where_needed(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for (byte, was_encoded) in decoded(path) {
        match byte {
            b'/' if !was_encoded => out.push('/'),
            byte if is_path_char(byte) => out.push(char::from(byte)),
            byte => push_encoded(&mut out, byte),
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
            let mut encoded = String::new();
            push_encoded(&mut encoded, byte);
            bytes.extend(encoded.bytes());
        } else {
            bytes.push(byte);
        }
    }
    let mut out = String::with_capacity(path.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| push_encoded(&mut out, *byte));
    }
    match PathAndQuery::try_from(&*out) {
        Ok(_) => out,
        // Older versions of `http` accept less.
        Err(_) => path.to_owned(),
    }
}

fn with_single_slashes(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for next in path.chars() {
        if next != '/' || !out.ends_with('/') {
            out.push(next);
        }
    }
    out
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
            assert_eq!(other_spellings(path), [""; 0], "{path}");
        }
        assert_eq!(other_spellings("/a/"), ["/a"]);
    }

    #[test]
    fn the_order_is_the_same_for_every_path() {
        let both = |path: &str| other_spellings(path).len();
        assert_eq!(both("//a"), both("/%FF/../\\"));
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
