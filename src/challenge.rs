//! The challenge: what a client must know to come back with a token that will do.
//!
//! Rendering only. Which denial is challenged, and how, is decided by its reason.

use std::fmt;
use std::time::Duration;

use http::{HeaderValue, Uri};

pub use crate::metadata::{Metadata, MetadataService};
pub use crate::reason::Remedy;

use crate::names::{Acr, Audience, Scope};
use crate::reason::Reason;
use crate::require::Unmet;

/// An authorization scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Bearer,
    Dpop,
}

/// The challenge of the scheme `Bearer`, and where proofs are taken of `DPoP`, each for a `WWW-Authenticate` field of
/// its own ([RFC 6750 section 3](https://www.rfc-editor.org/rfc/rfc6750#section-3),
/// [RFC 9449 section 7.1](https://www.rfc-editor.org/rfc/rfc9449#section-7.1),
/// [RFC 9470 section 3](https://www.rfc-editor.org/rfc/rfc9470#section-3),
/// [RFC 9728 section 5.1](https://www.rfc-editor.org/rfc/rfc9728#section-5.1)).
///
/// Every value is quoted and none needs an escape: names are checked when they are made, and
/// descriptions are constants.
///
/// It comes with a [`Denial`](crate::Denial), where something can be done about it.
///
/// ```
/// use unconfused::{Denial, Reason};
///
/// let expired = Denial::from(Reason::TokenExpired);
/// assert_eq!(
///     expired.challenge().unwrap().to_string(),
///     r#"Bearer error="invalid_token", error_description="The access token expired""#
/// );
/// assert!(Denial::from(Reason::PolicyDenied).challenge().is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    reason: Reason,
    acr_values: Vec<Acr>,
    max_age: Option<Duration>,
    scope: Vec<Scope>,
    resource_metadata: Option<MetadataUrl>,
    /// The scheme that the client used.
    used: Option<Scheme>,
    /// The algorithms of proofs, where the scheme `DPoP` is offered.
    algs: Option<String>,
}

impl Challenge {
    /// The `error`; none where no credential was sent.
    #[must_use]
    pub fn error(&self) -> Option<&'static str> {
        self.reason.error()
    }

    /// The classes of which one is enough, in order of preference.
    #[must_use]
    pub fn acr_values(&self) -> &[Acr] {
        &self.acr_values
    }

    /// How long ago the subject may have authenticated.
    #[must_use]
    pub fn max_age(&self) -> Option<Duration> {
        self.max_age
    }

    /// All scopes that the operation needs.
    #[must_use]
    pub fn scope(&self) -> &[Scope] {
        &self.scope
    }

    /// Where the metadata of this resource is.
    #[must_use]
    pub fn resource_metadata(&self) -> Option<&MetadataUrl> {
        self.resource_metadata.as_ref()
    }

    pub(crate) fn of(reason: Reason) -> Self {
        Challenge {
            reason: reason.for_client(),
            acr_values: Vec::new(),
            max_age: None,
            scope: Vec::new(),
            resource_metadata: None,
            used: None,
            algs: None,
        }
    }

    pub(crate) fn asking(unmet: &Unmet) -> Self {
        Challenge {
            acr_values: unmet.acr_values.clone(),
            max_age: unmet.max_age,
            scope: unmet.scopes.clone(),
            ..Challenge::of(unmet.reason())
        }
    }

    pub(crate) fn with_resource_metadata(mut self, url: MetadataUrl) -> Self {
        self.resource_metadata = Some(url);
        self
    }

    pub(crate) fn with_scope(mut self, scope: Vec<Scope>) -> Self {
        self.scope = scope;
        self
    }

    /// For a client that used this scheme, at a resource that takes proofs of these algorithms.
    pub(crate) fn with_schemes(mut self, used: Option<Scheme>, algs: Option<String>) -> Self {
        (self.used, self.algs) = (used, algs);
        self
    }

    /// The values of the `WWW-Authenticate` fields, one a scheme.
    pub fn to_header_values(&self) -> impl Iterator<Item = HeaderValue> {
        self.lines().map(|line| {
            // The grammars of the names leave only visible ASCII and spaces.
            HeaderValue::try_from(line.to_string())
                .unwrap_or_else(|_| HeaderValue::from_static("Bearer realm=\"\""))
        })
    }

    /// What is offered: under the scheme that was used, else under every one. What is wrong with a proof, or with
    /// there being none, is told under `DPoP` alone.
    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let line = |scheme| Line { challenge: self, scheme, with_error: true };
        let plain = Line { with_error: false, ..line(Scheme::Bearer) };
        let about_proofs = (Reason::ConfirmationUnsupported..=Reason::DpopNonceInvalid)
            .contains(&self.reason)
            || self.reason == Reason::SenderConstraintRequired;
        let lines = match (self.algs.is_some(), self.used) {
            (false, _) => [Some(line(Scheme::Bearer)), None],
            (true, _) if self.reason == Reason::BoundTokenAsBearer => {
                [Some(line(Scheme::Dpop)), Some(plain)]
            }
            (true, _) if about_proofs => [Some(line(Scheme::Dpop)), None],
            (true, Some(used)) if self.reason != Reason::MultipleCredentials => {
                [Some(line(used)), None]
            }
            (true, _) => [Some(line(Scheme::Bearer)), Some(line(Scheme::Dpop))],
        };
        lines.into_iter().flatten()
    }
}

/// The challenge of one scheme.
struct Line<'a> {
    challenge: &'a Challenge,
    scheme: Scheme,
    with_error: bool,
}

/// Of every scheme, with commas between.
impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, line) in self.lines().enumerate() {
            if place > 0 {
                f.write_str(", ")?;
            }
            line.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Challenge { reason, acr_values, max_age, scope, resource_metadata, .. } =
            self.challenge;
        f.write_str(match self.scheme {
            Scheme::Bearer => "Bearer ",
            Scheme::Dpop => "DPoP ",
        })?;
        let mut parameters = Parameters { f, any: false };
        if let Some(error) = reason.error().filter(|_| self.with_error) {
            parameters.add("error", error)?;
            parameters.add("error_description", reason.description())?;
        }
        if let (Scheme::Dpop, Some(algs)) = (self.scheme, &self.challenge.algs) {
            parameters.add("algs", algs)?;
        }
        parameters.add_list("acr_values", acr_values.iter().map(Acr::as_str))?;
        if let Some(age) = max_age {
            parameters.add("max_age", age.as_secs())?;
        }
        parameters.add_list("scope", scope.iter().map(Scope::as_str))?;
        if let Some(url) = resource_metadata {
            parameters.add("resource_metadata", url)?;
        }
        // RFC 6750 section 3: at least one parameter.
        if !parameters.any {
            parameters.add("realm", "")?;
        }
        Ok(())
    }
}

struct Parameters<'f, 'b> {
    f: &'f mut fmt::Formatter<'b>,
    any: bool,
}

impl Parameters<'_, '_> {
    fn add(&mut self, name: &str, value: impl fmt::Display) -> fmt::Result {
        let comma = if self.any { ", " } else { "" };
        self.any = true;
        write!(self.f, "{comma}{name}=\"{value}\"")
    }

    fn add_list<'a>(&mut self, name: &str, values: impl Iterator<Item = &'a str>) -> fmt::Result {
        let values: Vec<_> = values.collect();
        if values.is_empty() { Ok(()) } else { self.add(name, values.join(" ")) }
    }
}

/// Where the metadata document of a resource is: made from its name by configuration, never from
/// a request ([RFC 9728 section 3](https://www.rfc-editor.org/rfc/rfc9728#section-3)).
///
/// ```
/// use unconfused::challenge::MetadataUrl;
/// use unconfused::Audience;
///
/// let url = |name| MetadataUrl::for_resource(&Audience::from_static(name)).unwrap().to_string();
/// assert_eq!(
///     url("https://api.example/mcp"),
///     "https://api.example/.well-known/oauth-protected-resource/mcp"
/// );
/// assert!(MetadataUrl::for_resource(&Audience::from_static("api://orders")).is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataUrl {
    url: String,
    /// Where in `url` the path begins.
    path: usize,
}

impl MetadataUrl {
    const WELL_KNOWN: &'static str = "/.well-known/oauth-protected-resource";

    /// The place for this resource. `None` where its name is no https URL (http is fine on a loopback
    /// host), or one with a user, a fragment, a quote, a brace or a space: then it can have no metadata.
    #[must_use]
    pub fn for_resource(audience: &Audience) -> Option<Self> {
        let name = audience.as_str();
        let uri: Uri = name.parse().ok()?;
        let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
        let loopback = matches!(authority.host(), "localhost" | "127.0.0.1" | "[::1]");
        let fits = (scheme == "https" || (scheme == "http" && loopback))
            && !authority.as_str().contains('@')
            && name.bytes().all(|byte| byte.is_ascii_graphic() && !br#"#"\{}"#.contains(&byte));
        if !fits {
            return None;
        }
        let rest = match uri.path_and_query().map_or("", |rest| rest.as_str()) {
            "/" => "",
            rest => rest.strip_prefix("/?").map_or(rest, |_| rest.trim_start_matches('/')),
        };
        let origin = format!("{scheme}://{authority}");
        let path = origin.len();
        Some(MetadataUrl { url: format!("{origin}{}{rest}", Self::WELL_KNOWN), path })
    }

    /// The path at which the document is served.
    #[must_use]
    pub fn path(&self) -> &str {
        let path = self.url.get(self.path..).unwrap_or_default();
        path.split('?').next().unwrap_or_default()
    }
}

impl fmt::Display for MetadataUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(name: &str) -> Option<String> {
        MetadataUrl::for_resource(&Audience::new(name).unwrap()).map(|url| url.to_string())
    }

    #[test]
    fn the_well_known_path_stands_between_host_and_path() {
        // RFC 9728 section 3.1
        let at = |rest: &str| {
            Some(format!("https://api.example.com/.well-known/oauth-protected-resource{rest}"))
        };
        assert_eq!(url("https://api.example.com"), at(""));
        assert_eq!(url("https://api.example.com/"), at(""));
        assert_eq!(url("https://api.example.com/mcp"), at("/mcp"));
        assert_eq!(url("https://api.example.com/a/b?x=1"), at("/a/b?x=1"));
        assert_eq!(url("https://api.example.com?x=1"), at("?x=1"));
        let with_query =
            MetadataUrl::for_resource(&Audience::from_static("https://a.example/b?x=1")).unwrap();
        assert_eq!(with_query.path(), "/.well-known/oauth-protected-resource/b");
    }

    #[test]
    fn a_name_that_is_no_https_url_has_no_metadata() {
        for name in [
            "orders",
            "api://orders",
            "urn:x",
            "http://api.example.com",
            "https://user@api.example.com",
            "https://api.example.com/#f",
            "https://api.example.com/a b",
            "22222222-2222-2222-2222-222222222222",
            "https://",
            "https://api.example.com/\"a",
            "https://api.example.com/\u{e9}",
        ] {
            assert_eq!(url(name), None, "{name}");
        }
        assert!(url("http://127.0.0.1:8080/mcp").is_some());
    }
}
