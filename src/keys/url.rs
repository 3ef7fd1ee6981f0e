//! The URLs that keys and metadata may be fetched from.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::Uri;

use crate::config_error::ConfigError;

/// The schemes of URLs that may be fetched from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AllowedScheme {
    Https,
    /// `https`, or `http` to this machine: for development.
    #[cfg_attr(
        not(any(test, feature = "remote")),
        expect(dead_code, reason = "only remote keys are fetched")
    )]
    HttpOnLoopback,
    /// `http`, to any host: for keys at a fixed URL inside a cluster.
    #[cfg_attr(
        not(any(test, feature = "remote")),
        expect(dead_code, reason = "only remote keys are fetched")
    )]
    Http,
}

impl AllowedScheme {
    /// Parses a URL that has a host and neither user, query, fragment nor dot segments.
    pub(crate) fn parse(self, url: &str) -> Result<Uri, ConfigError> {
        if url.contains('?') {
            return Err(unusable(url, "it has a query"));
        }
        self.parse_with_query(url)
    }

    /// Parses like [`parse`](Self::parse), but a query is allowed.
    pub(crate) fn parse_with_query(self, url: &str) -> Result<Uri, ConfigError> {
        self.check(url).map_err(|problem| unusable(url, problem))
    }

    /// Returns the URL, or why it must not be fetched from. A query is allowed.
    pub(crate) fn check(self, url: &str) -> Result<Uri, &'static str> {
        if url.contains('#') {
            return Err("it has a fragment");
        }
        let uri: Uri = url.parse().map_err(|_| "it is not well-formed")?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or("it has no host")?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("it names a user");
        }
        let path = uri.path().to_ascii_lowercase().replace("%2e", ".");
        if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err("it has dot segments");
        }
        match (uri.scheme_str(), self) {
            (Some("https"), AllowedScheme::Https | AllowedScheme::HttpOnLoopback) => Ok(uri),
            (Some("http"), AllowedScheme::HttpOnLoopback) if is_loopback(host) => Ok(uri),
            (Some("http"), AllowedScheme::Http) => Ok(uri),
            (_, AllowedScheme::Https) => Err("it is not https"),
            (_, AllowedScheme::Http) => Err("it is not http"),
            (_, AllowedScheme::HttpOnLoopback) => {
                Err("it is neither https nor http on the loopback interface")
            }
        }
    }
}

/// Makes the error of a URL that must not be fetched from.
pub(super) fn unusable(url: &str, problem: &str) -> ConfigError {
    ConfigError::new(url, "a URL that metadata or keys can be fetched from", problem)
}

fn is_loopback(host: &str) -> bool {
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    host == "localhost"
        || host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
        || v6.is_some_and(|host| host.parse().is_ok_and(|address: Ipv6Addr| address.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_is_allowed_and_http_on_loopback_if_asked_for() {
        for url in ["https://as.example", "https://as.example/t/", "https://[::1]:8443/a"] {
            assert!(AllowedScheme::Https.parse(url).is_ok(), "{url}");
            assert!(AllowedScheme::HttpOnLoopback.parse(url).is_ok(), "{url}");
            assert!(AllowedScheme::Http.parse(url).is_err(), "{url}");
        }
        for url in
            ["http://127.0.0.1:4400", "http://localhost/x", "http://[::1]:1", "http://127.9.9.9"]
        {
            assert!(AllowedScheme::Https.parse(url).is_err(), "{url}");
            assert!(AllowedScheme::HttpOnLoopback.parse(url).is_ok(), "{url}");
            assert!(AllowedScheme::Http.parse(url).is_ok(), "{url}");
        }
        for host in ["as.example", "keys.auth.svc.cluster.local:8080", "10.0.0.1", "[fd00::1]"] {
            let url = format!("http://{host}/keys");
            assert!(AllowedScheme::Http.parse(&url).is_ok(), "{url}");
            assert!(AllowedScheme::HttpOnLoopback.parse(&url).is_err(), "{url}");
        }
        for url in [
            "",
            "as.example",
            "/path",
            "https://",
            "https:///path",
            "ftp://as.example",
            "file:///etc/passwd",
            "http://as.example",
            "http://127.0.0.1.evil.example",
            "http://localhost.evil.example",
            "http://128.0.0.1",
            "https://user@as.example",
            "https://user:pass@as.example",
            "https://as.example?x",
            "https://as.example/#x",
            "https://as.example/a/../b",
            "https://as.example/./b",
            "https://as.example/%2E./b",
            "https://as example",
            "https://as.example\\@evil.example",
            "https://as.example\r\n",
        ] {
            assert!(AllowedScheme::Https.parse(url).is_err(), "{url:?}");
            assert!(AllowedScheme::HttpOnLoopback.parse(url).is_err(), "{url:?}");
        }
    }
}
