//! A hop as far as it is known before anyone says what a grant must meet.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::exchange::Exchange;
use super::hop::NextHop;
use super::kind::{DomainGrant, HopKind};
use super::outbound_token::Target;
use super::server::TokenServer;
use crate::config_error::ConfigError;
#[cfg(doc)]
use crate::guard::Guard;
use crate::keys::AllowedScheme;
use crate::names::Scope;
use crate::outbound::Origin;
use crate::require::Require;

/// A hop that does not say yet what a grant must meet: see [`needs`](Self::needs).
///
/// It cannot exchange anything:
///
/// ```compile_fail,E0599
/// # use unconfused::next_hop::TokenServer;
/// # use unconfused::{Grant, Guard};
/// # async fn charge(server: TokenServer, guard: &Guard, grant: &Grant) {
/// let payments = server.to("https://payments.example", []).unwrap();
/// let token = payments.token(guard, grant).await; // no `needs`
/// # }
/// ```
#[must_use = "a hop begins with `needs`"]
pub struct HopTarget {
    server: TokenServer,
    resource: String,
    origin: Origin,
    scopes: Vec<Scope>,
    audience: Option<String>,
    max_lifetime: Duration,
    accepts_transactions: bool,
    kind: HopKind,
}

/// # Hops
impl TokenServer {
    /// Begins a hop: to this resource, with these scopes of that resource.
    ///
    /// Continue with [`HopTarget::needs`].
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if the resource is not an `https` URL without user, query, fragment and dot segments
    /// ([RFC 8707](https://www.rfc-editor.org/rfc/rfc8707)). `http` is accepted on the loopback interface if the server
    /// was found [without TLS](super::NextHop::discover_without_tls_on_loopback).
    pub fn to(
        &self,
        resource: impl AsRef<str>,
        scopes: impl IntoIterator<Item = Scope>,
    ) -> Result<HopTarget, ConfigError> {
        HopTarget::new(self.clone(), resource.as_ref(), scopes.into_iter().collect())
    }
}

impl HopTarget {
    /// The longest life of a token, unless it is set.
    const MAX_LIFETIME: Duration = Duration::from_secs(3600);

    fn new(server: TokenServer, resource: &str, scopes: Vec<Scope>) -> Result<Self, ConfigError> {
        Ok(HopTarget {
            origin: origin(server.scheme, resource)?,
            server,
            resource: resource.to_owned(),
            scopes,
            audience: None,
            max_lifetime: Self::MAX_LIFETIME,
            accepts_transactions: false,
            kind: HopKind::Exchange,
        })
    }

    /// Says what a grant must meet here before its token is exchanged, and completes the hop.
    ///
    /// The scopes of two resources have no names in common, so the right to call the other resource has to be named in
    /// terms of this one. Any [`Require`] will do. It is checked as [`Guard::narrow`] checks it.
    ///
    /// # Panics
    ///
    /// Panics if no token can meet the requirement, as [`Guard::require`] does.
    #[must_use]
    pub fn needs(self, requirement: impl Into<Require>) -> NextHop {
        let needs = requirement.into();
        assert!(!needs.can_never_be_met(), "no token can meet the requirement: {needs}");
        let HopTarget { server, resource, origin, scopes, audience, max_lifetime, kind, .. } = self;
        let target = Arc::new(Target { resource, origin, nonce: Default::default() });
        let exchange = Exchange { server, target, scopes, audience, max_lifetime, kind };
        NextHop::new(exchange, needs, self.accepts_transactions)
    }

    /// Sends the token to this origin, if the resource is reached at another one than its name says.
    ///
    /// The path of the URL is ignored. A proof is for the URL of the request, so a resource that accepts bound tokens must
    /// know itself by this one.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] as [`TokenServer::to`] does.
    pub fn reached_at(self, url: &str) -> Result<Self, ConfigError> {
        Ok(HopTarget { origin: origin(self.server.scheme, url)?, ..self })
    }

    /// Names the resource to the server by `audience` rather than by its URL in `resource`
    /// ([RFC 8693 section 2.1](https://www.rfc-editor.org/rfc/rfc8693#section-2.1)), for servers that know their
    /// resources by other names.
    ///
    /// The `aud` of a token that is a JWT must be this name then.
    pub fn audience(self, name: impl Into<String>) -> Self {
        HopTarget { audience: Some(name.into()), ..self }
    }

    /// Sets how long a token may last at most. A token that lasts longer is not used. Defaults to one hour.
    pub fn max_lifetime(self, most: Duration) -> Self {
        HopTarget { max_lifetime: most, ..self }
    }

    /// Exchanges the token of an approved transaction too, if the requirement is met.
    ///
    /// Such a token is authority for this one transaction, so by default it is not exchanged
    /// (`transaction_token_misused`). Narrow to the approved operation first, and pass the grant that
    /// [`Guard::narrow`] returns.
    pub fn accepts_transactions(self) -> Self {
        HopTarget { accepts_transactions: true, ..self }
    }

    /// Gets a token that names this service alone
    /// (`client_credentials`, [RFC 6749 section 4.4](https://www.rfc-editor.org/rfc/rfc6749#section-4.4)).
    ///
    /// The next resource does not learn whose request caused the call. The record does, and marks the token as one of the
    /// service's [own](crate::audit::HopStep::on_own_behalf). The credential of the request is not sent anywhere.
    pub fn on_own_behalf(self) -> Self {
        HopTarget { kind: HopKind::OnOwnBehalf, ..self }
    }

    /// Gets the token from the authorization server of another domain: the first server issues a grant for the second,
    /// and the second an access token for the resource
    /// ([RFC 7523 section 2.1](https://www.rfc-editor.org/rfc/rfc7523#section-2.1)).
    pub fn through(self, server: TokenServer, grant: DomainGrant) -> Self {
        HopTarget { kind: HopKind::Through { server, grant }, ..self }
    }

    /// Gets a transaction token of this trust domain (draft-ietf-oauth-transaction-tokens), which goes into the field
    /// `Txn-Token`.
    ///
    /// It must be a JWT of the `typ` `txntoken+jwt` whose `aud` is the trust domain.
    pub fn transaction_token(self, trust_domain: impl Into<String>) -> Self {
        HopTarget { kind: HopKind::Transaction { trust_domain: trust_domain.into() }, ..self }
    }
}

/// Returns the origin of a URL that tokens may be sent to.
fn origin(scheme: AllowedScheme, url: &str) -> Result<Origin, ConfigError> {
    let unusable = |problem: &str| ConfigError::new(url, "the URL of a resource", problem);
    let uri = scheme.parse(url).map_err(|error| unusable(error.problem()))?;
    Origin::of(&uri).ok_or_else(|| unusable("it has no origin"))
}

impl fmt::Debug for HopTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HopTarget({:?})", self.resource)
    }
}
