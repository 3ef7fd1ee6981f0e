//! The document itself.

use serde::Serialize;

use super::challenge_keys::{NOT_A_RESOURCE, keys_url};
use super::service::DocumentService;
use crate::approvals::Approvals;
use crate::challenge::{DetailsDialect, MetadataUrl};
use crate::config_error::ConfigError;
use crate::detail::DetailTypes;
use crate::guard::Guard;
use crate::jose::Algorithm;
use crate::names::{Audience, Scope};

/// What the URL of an authorization server must be: that of a resource, and without a query (RFC 8414 section 2).
const NOT_A_SERVER: &str =
    "expected https, or http on loopback, without user, query, fragment, quotes, braces and spaces";

/// The protected resource metadata of a guard's resource: its name, issuers, scopes and types of authorization details
/// ([RFC 9728](https://www.rfc-editor.org/rfc/rfc9728)).
///
/// [`Guard::metadata`] makes it, [`service`](Self::service) serves it, and with the feature `axum` `router` returns the
/// route for it. Serve it outside the guard, since clients read it before they have a token.
///
/// It is made from the set-up and never from a request: the `Host` field does not change it. It is not signed, and
/// scripts of every web origin may read it.
///
/// It names at least one authorization server, which MCP clients rely on: the guard's issuers, or those that
/// [`authorization_servers`](Self::authorization_servers) sets. An issuer whose name is a template or not an http(s)
/// URL is not one that a client can ask, so it is not listed by itself.
///
/// An issuer whose tokens may lack an audience, because
/// [`Profile::client_list_instead_of_audience`](crate::profile::Profile::client_list_instead_of_audience) is set, is
/// also listed in a member `client_list_instead_of_audience`. Anyone who relies on audiences can see it there.
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
    members: Members,
}

/// The members of the document (RFC 9728 section 2). Members without a value are left out (section 3.2).
#[derive(Debug, Clone, Serialize)]
struct Members {
    resource: String,
    /// Not empty in a document that is served (MCP).
    authorization_servers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes_supported: Vec<String>,
    /// Empty if no way of RFC 6750 is supported.
    bearer_methods_supported: &'static [&'static str],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authorization_details_types_supported: Vec<String>,
    /// draft-lombardo-oauth-step-up-authz-challenge-proto
    #[serde(skip_serializing_if = "Option::is_none")]
    step_up_authorization_supported: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dpop_signing_alg_values_supported: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dpop_bound_access_tokens_required: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_client_certificate_bound_access_tokens: Option<bool>,
    /// draft-rosomakho-oauth-txn-challenge
    #[serde(skip_serializing_if = "Option::is_none")]
    txn_challenge_jwks_uri: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    txn_challenge_signing_alg_values_supported: Vec<&'static str>,
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
    /// Returns the metadata document of this guard's resource, under the audience that the guard was made with.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if that audience, or [`Approvals::jwks_uri`](crate::approvals::Approvals::jwks_uri), is not
    /// a URL that can have metadata; see [`MetadataUrl::for_resource`].
    pub fn metadata(&self) -> Result<Metadata, ConfigError> {
        let audience = self.audiences().first().map(Audience::to_string).unwrap_or_default();
        let Some(url) = self.metadata_url().cloned() else {
            return Err(ConfigError::new(&audience, "a resource URL", NOT_A_RESOURCE));
        };
        let (dpop, certificates) = (self.dpop_settings(), self.accepts_certificates());
        let (approvals, keys_url) = match self.approvals_settings() {
            Some(approvals) => (Some(approvals), Some(keys_url(approvals, &audience)?)),
            None => (None, None),
        };
        let members = Members {
            resource: audience,
            authorization_servers: self
                .issuers()
                .filter(|issuer| !issuer.is_template())
                .map(|issuer| issuer.name().to_owned())
                .filter(|name| name.starts_with("https://") || name.starts_with("http://"))
                .collect(),
            scopes_supported: Vec::new(),
            bearer_methods_supported: if self.reads_authorization() { &["header"] } else { &[] },
            authorization_details_types_supported: self
                .detail_types()
                .into_iter()
                .flat_map(DetailTypes::names)
                .map(str::to_owned)
                .collect(),
            step_up_authorization_supported: (self.details_dialect_setting()
                == DetailsDialect::StepUpAuthorization)
                .then_some(true),
            dpop_signing_alg_values_supported: dpop
                .map(|dpop| dpop.algs().split(' ').map(str::to_owned).collect()),
            // A proof key is not required if a certificate is sufficient.
            dpop_bound_access_tokens_required: (self.is_sender_constrained()
                && dpop.is_some()
                && !certificates)
                .then_some(true),
            tls_client_certificate_bound_access_tokens: certificates.then_some(true),
            txn_challenge_jwks_uri: keys_url.map(|(url, _)| url),
            txn_challenge_signing_alg_values_supported: approvals
                .into_iter()
                .flat_map(Approvals::algorithms)
                .map(Algorithm::as_str)
                .collect(),
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
        Ok(Metadata { url, members })
    }
}

impl Metadata {
    /// Sets the authorization servers that clients are sent to. Defaults to the guard's issuers.
    ///
    /// Set them if they are not the issuers that tokens name: if the issuers are
    /// [tenants](crate::Issuer::tenants) and clients log in at one common place, if clients register at a facade in
    /// front of the issuer, or if a broker passes on the tokens of another server. Most clients ask the first one.
    ///
    /// The list is for clients alone. Which tokens are accepted is decided by the guard's issuers: naming a server here
    /// trusts none of its tokens.
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use unconfused::{Audience, Guard};
    /// # use unconfused::testing::TestIssuer;
    /// # let issuer = TestIssuer::new("https://login.example").issuer();
    ///
    /// let guard = Guard::new(Audience::from_static("https://api.example/mcp"), issuer);
    /// let metadata = guard.metadata()?.authorization_servers(["https://register.example"])?;
    /// assert!(metadata.to_json().contains(r#""authorization_servers":["https://register.example"]"#));
    ///
    /// assert!(guard.metadata()?.authorization_servers([] as [&str; 0]).is_err());
    /// # }
    /// # Ok::<(), unconfused::error::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if the list is empty, or if one of them is not an https URL without user, query and
    /// fragment (RFC 8414 section 2). An http URL is accepted for the hosts `localhost`, `127.0.0.1` and `[::1]`.
    pub fn authorization_servers(
        mut self,
        servers: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, ConfigError> {
        let servers: Vec<String> = servers.into_iter().map(Into::into).collect();
        if servers.is_empty() {
            return Err(ConfigError::new("[]", "a list of authorization servers", "it is empty"));
        }
        for server in &servers {
            let name = Audience::new(server.as_str()).ok();
            let url = name.as_ref().and_then(MetadataUrl::for_resource);
            if url.is_none() || server.contains('?') {
                return Err(ConfigError::new(server, "an authorization server", NOT_A_SERVER));
            }
        }
        self.members.authorization_servers = servers;
        Ok(self)
    }

    /// Sets the scopes that a client may ask for. The list need not be complete.
    #[must_use]
    pub fn scopes_supported(mut self, scopes: impl IntoIterator<Item = Scope>) -> Self {
        self.members.scopes_supported = scopes.into_iter().map(|scope| scope.to_string()).collect();
        self
    }

    /// Sets the name of the resource for people.
    #[must_use]
    pub fn resource_name(mut self, name: impl Into<String>) -> Self {
        self.members.resource_name = Some(name.into());
        self
    }

    /// Sets the URL of the documentation for developers.
    #[must_use]
    pub fn resource_documentation(mut self, url: impl Into<String>) -> Self {
        self.members.resource_documentation = Some(url.into());
        self
    }

    /// Sets the URL of the policy on how clients may use the data.
    #[must_use]
    pub fn resource_policy_uri(mut self, url: impl Into<String>) -> Self {
        self.members.resource_policy_uri = Some(url.into());
        self
    }

    /// Sets the URL of the terms of service.
    #[must_use]
    pub fn resource_tos_uri(mut self, url: impl Into<String>) -> Self {
        self.members.resource_tos_uri = Some(url.into());
        self
    }

    /// Returns the URL of the document, which challenges name.
    #[must_use]
    pub fn url(&self) -> &MetadataUrl {
        &self.url
    }

    /// Returns the path at which the document must be served: `/.well-known/oauth-protected-resource`, followed by the
    /// resource's own path.
    #[must_use]
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// Returns the document as JSON.
    ///
    /// # Panics
    ///
    /// Panics if it would name no authorization server: none of the guard's issuers has a name that a client can ask,
    /// and [`authorization_servers`](Self::authorization_servers) was not called.
    #[must_use]
    #[expect(clippy::panic, reason = "a mistake of set-up")]
    pub fn to_json(&self) -> String {
        if self.members.authorization_servers.is_empty() {
            panic!(
                "the metadata of `{}` names no authorization server: call `Metadata::authorization_servers`",
                self.members.resource
            )
        }
        serde_json::to_string(&self.members).unwrap_or_default()
    }

    /// Returns a service that serves the document, at any path.
    ///
    /// # Panics
    ///
    /// Panics if the document would name no authorization server; see [`to_json`](Self::to_json).
    #[must_use]
    pub fn service(&self) -> DocumentService {
        DocumentService::new(&self.to_json(), "application/json", "public, max-age=3600")
    }
}
