//! The metadata document of this resource (RFC 9728): where a client learns whom to ask for a token.

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde::Serialize;
use tower_service::Service;

use crate::challenge::MetadataUrl;
use crate::config_error::ConfigError;
use crate::guard::Guard;
use crate::names::{Audience, Scope};

/// The protected resource metadata ([RFC 9728](https://www.rfc-editor.org/rfc/rfc9728)) of a guard's
/// resource: its name, its issuers, its scopes.
///
/// Where the tokens of an issuer may name no audience, and a list of clients stands in its place
/// ([`Profile::client_list_instead_of_audience`](crate::profile::Profile::client_list_instead_of_audience)), a member of that
/// name, `client_list_instead_of_audience`, lists the issuer: whoever relies on audiences should know.
///
/// Made from the set-up and never from a request: a `Host` field has no say in it. It is not signed.
/// Served without a token, and readable from every web origin.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use unconfused::{Audience, Guard, Scope};
/// # use unconfused::testing::TestIssuer;
/// # let issuer = TestIssuer::new("https://login.example").issuer();
///
/// let guard = Guard::new(Audience::from_static("https://api.example/mcp"), issuer);
/// let metadata = guard.metadata()?.scopes_supported([Scope::from_static("files:read")]);
/// assert_eq!(metadata.path(), "/.well-known/oauth-protected-resource/mcp");
/// assert_eq!(
///     metadata.to_json(),
///     r#"{"resource":"https://api.example/mcp","authorization_servers":["https://login.example"],"scopes_supported":["files:read"],"bearer_methods_supported":["header"]}"#
/// );
/// # }
/// # Ok::<(), unconfused::error::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Metadata {
    url: MetadataUrl,
    document: Document,
}

/// RFC 9728 section 2. Members without a value are left out (section 3.2).
#[derive(Debug, Clone, Serialize)]
struct Document {
    resource: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authorization_servers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes_supported: Vec<String>,
    bearer_methods_supported: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    dpop_signing_alg_values_supported: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dpop_bound_access_tokens_required: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_client_certificate_bound_access_tokens: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    client_list_instead_of_audience: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_documentation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_policy_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_tos_uri: Option<String>,
}

impl Guard {
    /// The metadata document of this guard's resource, under the audience it was made with.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where that is no https URL; see [`MetadataUrl::for_resource`].
    pub fn metadata(&self) -> Result<Metadata, ConfigError> {
        let audience = self.audiences().first().map(Audience::to_string).unwrap_or_default();
        let Some(url) = self.metadata_url().cloned() else {
            let problem = "its metadata needs https, and no user, fragment, quote, brace or space";
            return Err(ConfigError::new(&audience, "a resource URL", problem));
        };
        let (dpop, certificates) = (self.dpop_settings(), self.accepts_certificates());
        let document = Document {
            resource: audience,
            authorization_servers: self
                .issuers()
                .filter(|issuer| !issuer.is_template())
                .map(|issuer| issuer.name().to_owned())
                .collect(),
            scopes_supported: Vec::new(),
            bearer_methods_supported: ["header"],
            dpop_signing_alg_values_supported: dpop
                .map(|dpop| dpop.algs().split(' ').map(str::to_owned).collect()),
            // Where a certificate would do, a proof key is not required.
            dpop_bound_access_tokens_required: (self.is_sender_constrained()
                && dpop.is_some()
                && !certificates)
                .then_some(true),
            tls_client_certificate_bound_access_tokens: certificates.then_some(true),
            client_list_instead_of_audience: self
                .issuers()
                .filter(|issuer| issuer.terms.profile.client_list_instead_of_audience.is_some())
                .map(|issuer| issuer.name().to_owned())
                .collect(),
            resource_name: None,
            resource_documentation: None,
            resource_policy_uri: None,
            resource_tos_uri: None,
        };
        Ok(Metadata { url, document })
    }
}

impl Metadata {
    /// Scopes that a client may ask for; they need not be all.
    #[must_use]
    pub fn scopes_supported(mut self, scopes: impl IntoIterator<Item = Scope>) -> Self {
        self.document.scopes_supported =
            scopes.into_iter().map(|scope| scope.to_string()).collect();
        self
    }

    /// A name of the resource, for people.
    #[must_use]
    pub fn resource_name(mut self, name: impl Into<String>) -> Self {
        self.document.resource_name = Some(name.into());
        self
    }

    /// The URL of documentation for developers.
    #[must_use]
    pub fn resource_documentation(mut self, url: impl Into<String>) -> Self {
        self.document.resource_documentation = Some(url.into());
        self
    }

    /// The URL of the rules for the use of data.
    #[must_use]
    pub fn resource_policy_uri(mut self, url: impl Into<String>) -> Self {
        self.document.resource_policy_uri = Some(url.into());
        self
    }

    /// The URL of the terms of service.
    #[must_use]
    pub fn resource_tos_uri(mut self, url: impl Into<String>) -> Self {
        self.document.resource_tos_uri = Some(url.into());
        self
    }

    /// Where the document is: what challenges name.
    #[must_use]
    pub fn url(&self) -> &MetadataUrl {
        &self.url
    }

    /// The path at which it must be served: `/.well-known/oauth-protected-resource` in front of the
    /// resource's own path.
    #[must_use]
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// The document.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.document).unwrap_or_default()
    }

    /// A service that serves the document, whatever the path.
    #[must_use]
    pub fn service(&self) -> MetadataService {
        MetadataService { json: self.to_json().into() }
    }
}

/// Serves the document: `GET` and `HEAD`, `OPTIONS` for preflights, 405 for the rest.
#[derive(Clone)]
pub struct MetadataService {
    json: Arc<str>,
}

impl<B> Service<Request<B>> for MetadataService {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
        const ANY: HeaderValue = HeaderValue::from_static("*");
        let mut response = Response::new(String::new());
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
        match *request.method() {
            Method::GET | Method::HEAD => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
                if request.method() == Method::GET {
                    *response.body_mut() = self.json.to_string();
                } else {
                    // The length that GET would have (RFC 9110 section 8.6).
                    headers.insert(CONTENT_LENGTH, self.json.len().into());
                }
            }
            Method::OPTIONS => {
                headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ANY);
                headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
                *response.status_mut() = StatusCode::NO_CONTENT;
            }
            _ => {
                headers.insert(ALLOW, METHODS);
                *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            }
        }
        ready(Ok(response))
    }
}

impl fmt::Debug for MetadataService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetadataService(..)")
    }
}
