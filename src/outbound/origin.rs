//! The origin of a URL: where a token is sent to, or an answer is followed to, and nowhere else.

use std::fmt;

use http::uri::Authority;
use http::{HeaderValue, Uri};

/// The scheme, the host and the port of a URL (RFC 6454 section 4).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: &'static str,
    /// In lower case.
    host: String,
    port: u16,
}

impl Origin {
    /// Returns the origin of an absolute `http` or `https` URL that names no user, and `None` for anything else.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let (scheme, default_port) = match uri.scheme_str()? {
            "https" => ("https", 443),
            "http" => ("http", 80),
            _ => return None,
        };
        Origin::new(scheme, default_port, uri.authority()?)
    }

    /// True if the value of a `Host` field names this origin, for a request by the scheme of this origin.
    pub(crate) fn is_named_by(&self, host: &HeaderValue) -> bool {
        let default_port = if self.scheme == "https" { 443 } else { 80 };
        let authority = Authority::try_from(host.as_bytes()).ok();
        let named = authority.and_then(|host| Origin::new(self.scheme, default_port, &host));
        named.as_ref() == Some(self)
    }

    fn new(scheme: &'static str, default_port: u16, authority: &Authority) -> Option<Self> {
        let authority = Some(authority).filter(|authority| !authority.as_str().contains('@'))?;
        let host = Some(authority.host().to_ascii_lowercase()).filter(|host| !host.is_empty())?;
        // What is not a port is not the default one.
        let names_none = authority.as_str().len() == authority.host().len();
        let port = authority.port_u16().or(names_none.then_some(default_port))?;
        Some(Origin { scheme, host, port })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Option<String> {
        Origin::of(&url.parse().ok()?).map(|origin| origin.to_string())
    }

    #[test]
    fn scheme_host_and_port_make_an_origin_however_they_are_written() {
        for url in ["https://a.example", "https://A.example:443/x?y", "HTTPS://a.example/"] {
            assert_eq!(origin(url).as_deref(), Some("https://a.example:443"), "{url}");
        }
        for url in [
            "http://a.example",
            "https://a.example:8443",
            "https://b.example",
            "https://a.example.evil.example",
            "https://a.example.",
        ] {
            assert_ne!(origin(url).as_deref(), Some("https://a.example:443"), "{url}");
        }
    }

    #[test]
    fn what_is_not_one_plain_authority_has_no_origin() {
        for url in [
            "/path",
            "a.example:443",
            "*",
            "https://user@a.example/",
            "https://a.example:443@evil.example/",
            "ftp://a.example/",
            "https://a.example:99999/",
        ] {
            assert_eq!(origin(url), None, "{url}");
        }
    }
}
