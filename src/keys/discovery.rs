//! The metadata of an issuer: where it is, and what is read from it
//! ([RFC 8414](https://www.rfc-editor.org/rfc/rfc8414), OpenID Connect Discovery 1.0).

use std::time::Duration;

use http::header::{AGE, CACHE_CONTROL};
use http::{HeaderMap, Uri};

use super::url::AllowedScheme;
use crate::json::{Object, string};
use crate::printable::Printable;

/// Returns the URLs where the metadata of an issuer may be, in the order in which they are tried: RFC 8414 section 3.1,
/// there with OpenID's file name (RFC 8414 section 5), and OpenID Connect Discovery section 4.
pub(crate) fn metadata_urls(issuer: &Uri) -> Vec<String> {
    const OAUTH: &str = "/.well-known/oauth-authorization-server";
    const OPENID: &str = "/.well-known/openid-configuration";
    let scheme = issuer.scheme_str().unwrap_or_default();
    let authority = issuer.authority().map_or("", |authority| authority.as_str());
    let path = issuer.path().trim_end_matches('/');
    let origin = format!("{scheme}://{authority}");
    let mut urls = vec![format!("{origin}{OAUTH}{path}"), format!("{origin}{OPENID}{path}")];
    if !path.is_empty() {
        urls.push(format!("{origin}{path}{OPENID}"));
    }
    urls
}

/// Returns the `jwks_uri` of a metadata document, which must name this very issuer (RFC 8414 section 3.3).
pub(super) fn jwks_uri(document: &str, issuer: &str, scheme: AllowedScheme) -> Result<Uri, String> {
    endpoint(document, "jwks_uri", issuer, scheme)
}

/// Returns the URL that is this member of a metadata document, which must name this very issuer.
pub(crate) fn endpoint(
    document: &str,
    name: &str,
    issuer: &str,
    scheme: AllowedScheme,
) -> Result<Uri, String> {
    let document = Object::read(document).filter(Object::is_sound);
    let document = document.ok_or("is not a JSON object")?;
    let member = |name| document.get(name).and_then(string);
    let named = member("issuer").ok_or("names no `issuer`")?;
    if named != issuer {
        let found = Printable::from(&*named);
        return Err(format!(
            "is the metadata of another issuer: expected `{issuer}`, found {found:?}"
        ));
    }
    let uri = member(name).ok_or_else(|| format!("names no `{name}`"))?;
    scheme
        .parse_with_query(&uri)
        .map_err(|error| format!("names a `{name}` that must not be used: {error}"))
}

/// Returns how long an answer says that it is fresh (RFC 9111 section 5.2.2), if it does say.
pub(super) fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let (mut max_age, mut uncacheable) = (None, false);
    for field in headers.get_all(CACHE_CONTROL) {
        for directive in field.to_str().unwrap_or_default().split(',') {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            let name = name.trim();
            if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
                uncacheable = true;
            }
            if name.eq_ignore_ascii_case("max-age") {
                let seconds = value.trim().trim_matches('"').parse().ok();
                max_age = max_age.or(seconds.map(Duration::from_secs));
            }
        }
    }
    if uncacheable {
        return Some(Duration::ZERO);
    }
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()?.trim().parse().ok());
    max_age.map(|max_age| max_age.saturating_sub(Duration::from_secs(age.unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_looked_for_where_rfc_8414_and_openid_put_it() {
        let urls = |issuer: &str| metadata_urls(&AllowedScheme::Https.parse(issuer).unwrap());
        let plain = [
            "https://as.example/.well-known/oauth-authorization-server",
            "https://as.example/.well-known/openid-configuration",
        ];
        assert_eq!(urls("https://as.example"), plain);
        assert_eq!(urls("https://as.example/"), plain);
        assert_eq!(
            urls("https://as.example:8443/tenant/1/"),
            [
                "https://as.example:8443/.well-known/oauth-authorization-server/tenant/1",
                "https://as.example:8443/.well-known/openid-configuration/tenant/1",
                "https://as.example:8443/tenant/1/.well-known/openid-configuration",
            ]
        );
    }

    #[test]
    fn metadata_of_another_issuer_is_refused_however_alike() {
        let read = |document: &str| jwks_uri(document, "https://as.example", AllowedScheme::Https);
        let uri = read(r#"{"issuer":"https://as.example","jwks_uri":"https://k.example/j?v=1"}"#);
        assert_eq!(uri.unwrap(), "https://k.example/j?v=1");
        for document in [
            "",
            "[]",
            "{}",
            r#"{"issuer":"https://as.example"}"#,
            r#"{"jwks_uri":"https://as.example/jwks"}"#,
            r#"{"issuer":"https://as.example/","jwks_uri":"https://as.example/jwks"}"#,
            r#"{"issuer":"https://AS.example","jwks_uri":"https://as.example/jwks"}"#,
            r#"{"issuer":["https://as.example"],"jwks_uri":"https://as.example/jwks"}"#,
            r#"{"issuer":"https://as.example","issuer":"x","jwks_uri":"https://as.example/jwks"}"#,
            r#"{"issuer":"https://as.example","jwks_uri":"http://as.example/jwks"}"#,
            r#"{"issuer":"https://as.example","jwks_uri":"file:///etc/passwd"}"#,
            r#"{"issuer":"https://as.example","jwks_uri":"/jwks"}"#,
            r#"{"issuer":"https://as.example","jwks_uri":1}"#,
        ] {
            assert!(read(document).is_err(), "{document}");
        }
        let local = r#"{"issuer":"https://as.example","jwks_uri":"http://127.0.0.1/jwks"}"#;
        assert!(read(local).is_err());
        assert!(jwks_uri(local, "https://as.example", AllowedScheme::HttpOnLoopback).is_ok());
    }

    #[test]
    fn the_age_of_an_answer_is_subtracted_from_its_max_age() {
        let seconds = |control: &str, age: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, control.parse().unwrap());
            if let Some(age) = age {
                headers.insert(AGE, age.parse().unwrap());
            }
            max_age(&headers).map(|age| age.as_secs())
        };
        assert_eq!(max_age(&HeaderMap::new()), None);
        assert_eq!(seconds("public, max-age=600", None), Some(600));
        assert_eq!(seconds("Max-Age=\"600\", public", Some("100")), Some(500));
        assert_eq!(seconds("max-age=10", Some("100")), Some(0));
        assert_eq!(seconds("max-age=600, no-cache", None), Some(0));
        assert_eq!(seconds("no-store", None), Some(0));
        assert_eq!(seconds("max-age=soon, no-store", None), Some(0));
        assert_eq!(seconds("public", None), None);
        assert_eq!(seconds("max-age=soon", None), None);
        assert_eq!(seconds("max-age=-1", None), None);
    }
}
