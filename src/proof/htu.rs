//! Normalized URIs, so that spellings of the same URI compare as equal (RFC 3986 sections 6.2.2 and 6.2.3).

use crate::path::without_dot_segments;

/// Returns the URI normalized, without query and fragment. Returns `None` if it is not an absolute http or https URI
/// with a host, or if it names a user.
pub(super) fn normalized_uri(uri: &str) -> Option<String> {
    let uri = uri.split(['?', '#']).next()?;
    let visible =
        uri.bytes().all(|byte| byte.is_ascii_graphic() && !br#""\<>^`{|}"#.contains(&byte));
    let (scheme, rest) = uri.split_once("://").filter(|_| visible)?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match &*scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let authority = authority.to_ascii_lowercase();
    // An empty port, as in `https://host:`, stands for the default one.
    let without_port = authority.strip_suffix(default_port).or_else(|| authority.strip_suffix(':'));
    let host = without_port.unwrap_or(&authority);
    if !is_host(authority.strip_suffix(':').unwrap_or(&authority)) {
        return None;
    }
    Some(format!("{scheme}://{host}{}", normalized_path(path)?))
}

/// True for a name or an IP address, with or without a port.
fn is_host(host: &str) -> bool {
    let name_and_port = match host.strip_prefix('[') {
        Some(address) => address.split_once(']').map(|(address, rest)| {
            (address, rest.strip_prefix(':').or(rest.is_empty().then_some("0")))
        }),
        None => match host.split_once(':') {
            Some((name, port)) => Some((name, Some(port))),
            None => Some((host, Some("0"))),
        },
    };
    let Some((name, Some(port))) = name_and_port else { return false };
    let address = host.starts_with('[');
    let is_allowed = |byte: u8| {
        byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (address && byte == b':')
    };
    !name.is_empty() && name.bytes().all(is_allowed) && port.parse::<u16>().is_ok()
}

/// Returns the path normalized: percent-encoding only where it is needed and in capitals, no dot segments, and at
/// least `/`. Returns `None` if it is not a path.
pub(super) fn normalized_path(path: &str) -> Option<String> {
    let path = path.split(['?', '#']).next()?;
    if !path.is_empty() && !path.starts_with('/') {
        return None;
    }
    let visible = |byte: u8| byte.is_ascii_graphic() && !br#""\<>^`{|}"#.contains(&byte);
    let path = normalized_encoding(Some(path).filter(|path| path.bytes().all(visible))?)?;
    Some(without_dot_segments(&path))
}

/// Decodes unreserved characters and writes every other percent-encoding in capitals.
fn normalized_encoding(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    let mut parts = path.split('%');
    out.push_str(parts.next()?);
    for part in parts {
        let byte =
            u8::from_str_radix(part.get(..2).filter(|hex| !hex.starts_with('+'))?, 16).ok()?;
        match char::from(byte) {
            plain @ ('a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_' | '~') => out.push(plain),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out.push_str(part.get(2..)?);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_the_same_uri_are_equal_and_other_uris_differ() {
        let ours = normalized_uri("https://api.example.com/v1/items").unwrap();
        for same in [
            "https://api.example.com/v1/items",
            "HTTPS://API.EXAMPLE.COM/v1/items",
            "https://api.example.com:443/v1/items",
            "https://api.example.com:/v1/items",
            "https://api.example.com/v1/./x/../items",
            "https://api.example.com/v1/%69tems",
            "https://api.example.com/v1/%2e%2E/v1/items",
            "https://api.example.com/v1/items?x=1",
            "https://api.example.com/v1/items#f",
            "https://api.example.com/../v1/items",
        ] {
            assert_eq!(normalized_uri(same).as_ref(), Some(&ours), "{same}");
        }
        for other in [
            "https://api.example.com/v1/items/",
            "https://api.example.com/v1/items/.",
            "https://api.example.com/V1/items",
            "https://api.example.com/v1%2Fitems",
            "https://api.example.com//v1/items",
            "http://api.example.com/v1/items",
            "http://api.example.com:443/v1/items",
            "https://api.example.com:8443/v1/items",
            "https://api.example.com.evil.example/v1/items",
        ] {
            let other = normalized_uri(other).unwrap();
            assert_ne!(other, ours);
        }
        for bad in [
            "",
            "/v1/items",
            "api.example.com/v1/items",
            "https:///v1/items",
            "https://:443/v1/items",
            "https://api.example.com::443/v1/items",
            "https://api.example.com::/v1/items",
            "https://user@api.example.com/v1/items",
            "https://api.example.com:port/v1/items",
            "https://api.example.com:443:443/v1/items",
            "https://a,b/v1/items",
            "https://[::1/v1/items",
            "ftp://api.example.com/v1/items",
            "https://api.example.com/v1/%zz",
            "https://api.example.com/v1/%6",
            "https://api.example.com/v1/%+9",
            "https://api.example.com/v1 /items",
            "https://api.example.com\\v1/items",
            "https://api.example.com/v1/\u{e9}",
        ] {
            assert_eq!(normalized_uri(bad), None, "{bad}");
        }
        assert_eq!(
            normalized_uri("https://api.example.com"),
            normalized_uri("https://api.example.com/")
        );
        assert_eq!(normalized_uri("https://[::1]:443/").as_deref(), Some("https://[::1]/"));
        assert_eq!(normalized_uri("https://[::1]:8443/").as_deref(), Some("https://[::1]:8443/"));
        assert_eq!(normalized_path("*"), None);
        assert_eq!(normalized_path("items"), None);
        assert_eq!(normalized_uri("https://a/%c3%a9").as_deref(), Some("https://a/%C3%A9"));
    }
}
