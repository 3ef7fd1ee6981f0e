//! What a denied client is told, and where it learns how to get a token.
//!
//! A [`Challenge`] is the content of the `WWW-Authenticate` fields of a denial. The layer, the axum integration and
//! [`Denial::respond`](crate::Denial::respond) write these fields for you. You need this module
//!
//! - to serve the [`Metadata`] of your resource, the document that every challenge points to
//!   ([RFC 9728](https://www.rfc-editor.org/rfc/rfc9728));
//! - to write a denial in a protocol of your own, or to read it in a test: see [`Challenge`];
//! - to tell the users of your own client what to do about a denial: see [`Remedy`].
//!
//! A challenge is made of the reason, the requirement and the set-up of the guard. What was in the request is in it only
//! as far as the handler stated it in an authorization detail ([`Require::detail`](crate::Require::detail)).
//!
//! ```
//! # #[cfg(feature = "testing")] {
//! use unconfused::{Audience, Guard, Scope};
//! # use unconfused::testing::TestIssuer;
//! # let issuer = TestIssuer::new("https://login.example").issuer();
//!
//! let guard = Guard::new(Audience::from_static("https://orders.example"), issuer);
//!
//! // A request without a token.
//! let (mut head, ()) = http::Request::new(()).into_parts();
//! let answer = guard.authorize(&mut head, Scope::from_static("orders:read")).now().unwrap();
//!
//! let denial = answer.unwrap_err();
//! assert_eq!(
//!     denial.challenge().unwrap().to_string(),
//!     r#"Bearer scope="orders:read", resource_metadata="https://orders.example/.well-known/oauth-protected-resource""#
//! );
//! # }
//! ```

use std::fmt;
use std::time::Duration;

use http::{HeaderValue, Uri};

pub use crate::metadata::{ChallengeKeys, DocumentService, Metadata};
pub use crate::reason::Remedy;

use crate::detail::Remediation;
use crate::names::{Acr, Audience, Scope};
use crate::reason::Reason;
use crate::require::Unmet;

/// An authorization scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Bearer,
    Dpop,
}

/// How a client is told that authorization details are lacking
/// ([`authorization_details_insufficient`](Reason::AuthorizationDetailsInsufficient)).
///
/// Two drafts use the error `insufficient_authorization` and differ in the rest. Set the one that your clients know with
/// [`Guard::details_dialect`](crate::Guard::details_dialect). In both, `authorization_remediation` says what a new grant
/// must contain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DetailsDialect {
    /// Status 401, as in draft-ietf-oauth-rar-metadata-remediation.
    #[default]
    Remediation,
    /// Status 403, with the further parameters `resource_metadata_uri` and `body_instructions="false"`, as in
    /// draft-lombardo-oauth-step-up-authz-challenge-proto. The body is what the layer makes, without the instructions
    /// that this draft describes.
    StepUpAuthorization,
}

/// What a client needs to know to come back with a sufficient token.
///
/// A [`Denial`](crate::Denial) has a challenge if the client can do something about it. The challenge names the scheme
/// `Bearer`, or `DPoP` if the guard accepts proofs, or both; each scheme has a `WWW-Authenticate` field of its own
/// ([RFC 6750 section 3](https://www.rfc-editor.org/rfc/rfc6750#section-3),
/// [RFC 9449 section 7.1](https://www.rfc-editor.org/rfc/rfc9449#section-7.1),
/// [RFC 9470 section 3](https://www.rfc-editor.org/rfc/rfc9470#section-3),
/// [RFC 9728 section 5.1](https://www.rfc-editor.org/rfc/rfc9728#section-5.1)).
/// [`to_header_values`](Self::to_header_values) returns the fields; `Display` writes them as one, separated by commas.
///
/// Every value is quoted and none needs an escape, since names are checked when they are made and descriptions are
/// constants.
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
    remediation: Option<Remediation>,
    details_dialect: DetailsDialect,
    transaction: Option<TransactionChallenge>,
    resource_metadata: Option<MetadataUrl>,
    /// The scheme that the client used.
    used: Option<Scheme>,
    /// The algorithms of proofs, if the scheme `DPoP` is offered.
    algs: Option<String>,
}

impl Challenge {
    /// Returns the `error`, or `None` if no credential was sent.
    #[must_use]
    pub fn error(&self) -> Option<&'static str> {
        self.reason.oauth_error()
    }

    /// Returns the authentication context classes of which one is sufficient, in order of preference.
    #[must_use]
    pub fn acr_values(&self) -> &[Acr] {
        &self.acr_values
    }

    /// Returns how long ago the subject may have authenticated.
    #[must_use]
    pub fn max_age(&self) -> Option<Duration> {
        self.max_age
    }

    /// Returns all scopes that the operation requires.
    ///
    /// A client may register with the scopes of the first challenge that it gets from a resource, and ask for no others
    /// later. The [guide](crate::guide::my_token_is_refused#what-the-client-can-do) says how to name more.
    #[must_use]
    pub fn scope(&self) -> &[Scope] {
        &self.scope
    }

    /// Returns the authorization details that a new grant must contain.
    #[must_use]
    pub fn remediation(&self) -> Option<&Remediation> {
        self.remediation.as_ref()
    }

    /// Returns the signed challenge that asks for the approval of one transaction.
    #[must_use]
    pub fn transaction_challenge(&self) -> Option<&TransactionChallenge> {
        self.transaction.as_ref()
    }

    /// Returns the URL of the metadata of this resource.
    #[must_use]
    pub fn resource_metadata(&self) -> Option<&MetadataUrl> {
        self.resource_metadata.as_ref()
    }

    pub(crate) fn for_reason(reason: Reason) -> Self {
        Challenge {
            reason: reason.for_client(),
            acr_values: Vec::new(),
            max_age: None,
            scope: Vec::new(),
            remediation: None,
            details_dialect: DetailsDialect::default(),
            transaction: None,
            resource_metadata: None,
            used: None,
            algs: None,
        }
    }

    pub(crate) fn for_unmet(unmet: &Unmet) -> Self {
        Challenge {
            acr_values: unmet.acr_values.clone(),
            max_age: unmet.max_age,
            scope: unmet.scopes.clone(),
            remediation: unmet.details.as_ref().and_then(|details| details.remediation.clone()),
            ..Challenge::for_reason(unmet.reason())
        }
    }

    pub(crate) fn with_transaction(mut self, transaction: TransactionChallenge) -> Self {
        self.transaction = Some(transaction);
        self
    }

    pub(crate) fn with_resource_metadata(mut self, url: MetadataUrl) -> Self {
        self.resource_metadata = Some(url);
        self
    }

    pub(crate) fn with_scope(mut self, scope: Vec<Scope>) -> Self {
        self.scope = scope;
        self
    }

    pub(crate) fn with_details_dialect(mut self, dialect: DetailsDialect) -> Self {
        self.details_dialect = dialect;
        self
    }

    /// True if it is an answer to lacking details in the given dialect.
    pub(crate) fn asks_for_details_in(&self, dialect: DetailsDialect) -> bool {
        self.reason == Reason::AuthorizationDetailsInsufficient && self.details_dialect == dialect
    }

    /// Sets the scheme that the client used, and the algorithms of proofs if this resource accepts proofs.
    pub(crate) fn with_schemes(mut self, used: Option<Scheme>, algs: Option<String>) -> Self {
        (self.used, self.algs) = (used, algs);
        self
    }

    /// Returns the values of the `WWW-Authenticate` fields, one for each scheme.
    pub fn to_header_values(&self) -> impl Iterator<Item = HeaderValue> {
        self.schemes().map(|challenge| {
            // The grammars of the names allow only visible ASCII, so this does not fail.
            HeaderValue::try_from(challenge.to_string())
                .unwrap_or_else(|_| HeaderValue::from_static("Bearer realm=\"\""))
        })
    }

    /// Returns the challenge of the scheme that the client used, or of every scheme if it used none. An error about a
    /// proof, or about a missing one, is in the challenge of `DPoP` only.
    fn schemes(&self) -> impl Iterator<Item = SchemeChallenge<'_>> {
        let of_scheme = |scheme| SchemeChallenge { challenge: self, scheme, with_error: true };
        let without_error = SchemeChallenge { with_error: false, ..of_scheme(Scheme::Bearer) };
        let about_proofs = (Reason::ConfirmationUnsupported..=Reason::DpopNonceInvalid)
            .contains(&self.reason)
            || self.reason == Reason::SenderConstraintRequired;
        let schemes = match (self.algs.is_some(), self.used) {
            (false, _) => [Some(of_scheme(Scheme::Bearer)), None],
            (true, _) if self.reason == Reason::BoundTokenAsBearer => {
                [Some(of_scheme(Scheme::Dpop)), Some(without_error)]
            }
            (true, _) if about_proofs => [Some(of_scheme(Scheme::Dpop)), None],
            (true, Some(used)) if self.reason != Reason::MultipleCredentials => {
                [Some(of_scheme(used)), None]
            }
            (true, _) => [Some(of_scheme(Scheme::Bearer)), Some(of_scheme(Scheme::Dpop))],
        };
        schemes.into_iter().flatten()
    }
}

/// The challenge of one scheme.
struct SchemeChallenge<'a> {
    challenge: &'a Challenge,
    scheme: Scheme,
    with_error: bool,
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, challenge) in self.schemes().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            challenge.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for SchemeChallenge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Challenge {
            reason,
            acr_values,
            max_age,
            scope,
            remediation,
            transaction,
            resource_metadata,
            ..
        } = self.challenge;
        f.write_str(match self.scheme {
            Scheme::Bearer => "Bearer ",
            Scheme::Dpop => "DPoP ",
        })?;
        let mut parameters = Parameters { f, any: false };
        if let Some(error) = reason.oauth_error().filter(|_| self.with_error) {
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
        if let Some(remediation) = remediation {
            parameters.add("authorization_remediation", remediation)?;
        }
        if let Some(transaction) = transaction {
            parameters.add("transaction_challenge", transaction.as_str())?;
        }
        let is_step_up = self.challenge.asks_for_details_in(DetailsDialect::StepUpAuthorization);
        if is_step_up {
            parameters.add("body_instructions", false)?;
        }
        if let Some(url) = resource_metadata {
            parameters.add("resource_metadata", url)?;
            if is_step_up {
                parameters.add("resource_metadata_uri", url)?;
            }
        }
        // At least one parameter is required (RFC 6750 section 3).
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

/// A signed challenge that asks an authorization server to get one transaction approved
/// (draft-rosomakho-oauth-txn-challenge).
///
/// It is a JWT that names this resource, the server, what is to be approved, and who asks. The client hands it to the
/// server as it is. It contains no secret, but what it describes may be private: `Debug` shows only the
/// [`txn`](Self::txn).
#[derive(Clone, PartialEq, Eq)]
pub struct TransactionChallenge {
    jwt: String,
    txn: String,
    server: String,
}

impl TransactionChallenge {
    /// The `typ` of its header.
    pub(crate) const TYPE: &'static str = "txn-authz-challenge+jwt";

    pub(crate) fn new(jwt: String, txn: String, server: String) -> Self {
        TransactionChallenge { jwt, txn, server }
    }

    /// Returns the JWT in its compact form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.jwt
    }

    /// Returns the issuer name of the authorization server that it is for, its `aud`.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Returns the id of the transaction, which the token that comes back has in its claim `txn`.
    #[must_use]
    pub fn txn(&self) -> &str {
        &self.txn
    }
}

impl fmt::Debug for TransactionChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionChallenge").field("txn", &self.txn).finish_non_exhaustive()
    }
}

/// The URL of the metadata document of a resource
/// ([RFC 9728 section 3](https://www.rfc-editor.org/rfc/rfc9728#section-3)).
///
/// It is made from the configured name of the resource, never from a request.
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
    /// The index in `url` at which the path begins.
    path: usize,
}

impl MetadataUrl {
    const WELL_KNOWN: &'static str = "/.well-known/oauth-protected-resource";

    /// Returns the URL for this resource, or `None` if it cannot have metadata.
    ///
    /// The name of the resource must be an https URL without a user, a fragment, quotes, backslashes, braces, spaces
    /// and characters outside ASCII. An http URL is accepted for the hosts `localhost`, `127.0.0.1` and `[::1]`.
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

    /// Returns the path at which the document is served.
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
    fn the_well_known_path_is_between_host_and_path() {
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
    fn a_name_that_is_not_an_https_url_has_no_metadata() {
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
