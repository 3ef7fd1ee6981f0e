//! Rules about the head of a request, asked for every spelling of the path.

use http::Uri;
use http::request::Parts;
use http::uri::PathAndQuery;

use crate::path::other_spellings;
use crate::require::Require;

/// Computes what a rule requires of the path as it was sent and of all its other spellings together.
pub(super) fn require_for_every_spelling(
    rule: &dyn Fn(&Parts) -> Require,
    parts: &mut Parts,
) -> Require {
    let mut required: Option<Require> = None;
    let all_asked = ask_for_every_spelling(parts, &mut |parts| {
        let more = rule(parts);
        required = Some(match required.take() {
            Some(requirement) => requirement.and(more),
            None => more,
        });
    });
    match required {
        Some(requirement) if all_asked => requirement,
        // If the rule cannot be asked about a spelling, no token will do.
        requirement => requirement.unwrap_or_else(Require::valid_token).and(Require::any_scope([])),
    }
}

/// Shows a rule the head of the request with the path as it was sent, and with each of its other spellings.
///
/// The head is the same each time, except for the path. It is changed meanwhile, which is cheaper than a copy. Returns
/// false if there are too many spellings, or if one does not fit into a URI.
pub(super) fn ask_for_every_spelling(parts: &mut Parts, ask: &mut dyn FnMut(&Parts)) -> bool {
    ask(parts);
    let sent = RequestUris::of(parts);
    let paths = other_spellings(sent.routed.path());
    let own_paths = sent.own.as_ref().map_or(Some(Vec::new()), |uri| other_spellings(uri.path()));
    let (Some(paths), Some(own_paths)) = (paths, own_paths) else { return false };
    if paths.is_empty() && own_paths.is_empty() {
        return true;
    }
    let mut asked = vec![sent.clone()];
    let mut all_asked = true;
    for at in 0..paths.len().max(own_paths.len()) {
        let Some(spelled) = sent.with_paths(paths.get(at), own_paths.get(at)) else {
            all_asked = false;
            break;
        };
        if !asked.contains(&spelled) {
            spelled.clone().write_to(parts);
            ask(parts);
            asked.push(spelled);
        }
    }
    sent.write_to(parts);
    all_asked
}

/// The URIs of a request in which rules look for its path.
#[derive(Clone, PartialEq)]
struct RequestUris {
    /// What routers left of it.
    routed: Uri,
    /// The request's own, if axum keeps it in the extensions.
    own: Option<Uri>,
}

impl RequestUris {
    fn of(parts: &Parts) -> Self {
        #[cfg(feature = "axum")]
        let own = parts.extensions.get().map(|axum::extract::OriginalUri(uri)| uri.clone());
        #[cfg(not(feature = "axum"))]
        let own = None;
        RequestUris { routed: parts.uri.clone(), own }
    }

    fn write_to(self, parts: &mut Parts) {
        parts.uri = self.routed;
        #[cfg(feature = "axum")]
        if let Some(own) = self.own {
            parts.extensions.insert(axum::extract::OriginalUri(own));
        }
    }

    /// These URIs with other paths. Returns `None` if a URI cannot hold its path.
    fn with_paths(&self, path: Option<&String>, own_path: Option<&String>) -> Option<Self> {
        let with = |uri: &Uri, path: Option<&String>| match path {
            Some(path) => with_path(uri, path),
            None => Some(uri.clone()),
        };
        let own = match &self.own {
            Some(own) => Some(with(own, own_path)?),
            None => None,
        };
        Some(RequestUris { routed: with(&self.routed, path)?, own })
    }
}

/// This URI with another path. Returns `None` if it would be longer than URIs may be.
fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let path_and_query = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    // The limit of `http::Uri`. `PathAndQuery` does not check it, and misreads what is longer.
    if path_and_query.len() >= usize::from(u16::MAX) {
        return None;
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path_and_query).ok()?);
    Uri::from_parts(parts).ok()
}
