//! A hop: from a grant to a token for one other resource.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

use super::answer::{Issued, step_up};
use super::client_auth::ClientAuth;
use super::error::HopError;
use super::exchange::Exchange;
use super::kept::KeptTokens;
use super::kind::HopKind;
use super::outbound_token::{OutboundToken, Target};
use super::server::TokenServer;
use super::www_authenticate::challenges;
use crate::answer::Answer;
use crate::audit::HopStep;
use crate::config_error::ConfigError;
use crate::denial::Denial;
use crate::guard::{Grant, Guard};
use crate::jose::sha256;
use crate::keys::AllowedScheme;
use crate::outbound::HttpClient;
use crate::reason::Reason;
use crate::require::Require;

/// The way from a request to a token for one other resource: narrower, and naming this service as the one who acts
/// ([RFC 8693](https://www.rfc-editor.org/rfc/rfc8693)).
///
/// A token stops at its guard. What this service calls next needs a token of its own, and a hop gets it: it sends the
/// credential of the request to the authorization server, and to no one else, and accepts only what it asked for. Make one
/// for each resource at the start; it is cheap to clone, and clones share their tokens.
///
/// - **What is asked first:** the grant meets the requirement of the hop, as [`Guard::narrow`] checks it, is not that of a
///   transaction, and the guard trusts the server as an issuer.
/// - **What is accepted:** a token of the type that was asked for, with an `expires_in` of at most
///   [`max_lifetime`](super::HopTarget::max_lifetime), and with no other scope. If it is a JWT, its `aud` is the resource and
///   nothing else, and its `typ`, `scope`, `exp` and `cnf` are no wider. Its signature is not verified here, and neither are
///   `sub` and `act`: the resource does that.
/// - **What is kept:** for each credential one token, until 30 seconds (or a fifth of its life) before its end, and never
///   longer than the grant. It is found by a digest of the credential. Concurrent calls share one exchange. At most 1024
///   tokens and 4 MiB are kept; those that end first are evicted. While the server is down, a token that is kept is used until
///   its end.
/// - **What it costs others:** at most 256 exchanges of a hop are in flight, each for at most 10 seconds and each request of it
///   for 5. An answer has at most 64 KiB.
///
/// ```
/// # #[cfg(feature = "testing")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use unconfused::next_hop::{ClientAuth, NextHop};
/// use unconfused::{Audience, Guard, Reason, Scope};
/// # use unconfused::testing::TestIssuer;
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// const READ: Scope = Scope::from_static("orders:read");
/// const REFUND: Scope = Scope::from_static("orders:refund");
/// const CHARGE: Scope = Scope::from_static("payments:charge"); // a scope of the other resource
/// # let login = TestIssuer::new("https://login.example");
/// # let (issuer, client) = (login.issuer(), login.client());
/// # let metadata = r#"{"issuer":"https://login.example","token_endpoint":"https://login.example/token"}"#;
/// # client.serve("https://login.example/.well-known/oauth-authorization-server", metadata);
/// # client.serve("https://login.example/token", r#"{"access_token":"t","token_type":"Bearer","expires_in":60,
/// #   "issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}"#);
/// # let secret = "";
///
/// let guard = Guard::new(ORDERS, issuer);
/// let payments = NextHop::discover("https://login.example", ClientAuth::secret_basic("orders", secret), client)?
///     .to("https://payments.example", [CHARGE])?
///     .needs(REFUND);
///
/// // In a handler.
/// let grant = login.token(&ORDERS).scope("orders:refund").granted_by(&guard, REFUND);
/// let token = payments.token(&guard, &grant).await?;
/// let mut request = http::Request::post("https://payments.example/charges").body(())?;
/// token.attach(&mut request)?;
/// assert!(request.headers().contains_key("authorization"));
///
/// // It goes nowhere else, and who may not refund here cannot charge there.
/// let mut elsewhere = http::Request::post("https://evil.example/charges").body(())?;
/// assert!(token.attach(&mut elsewhere).is_err());
/// let grant = login.token(&ORDERS).scope("orders:read").granted_by(&guard, READ);
/// let denial = payments.token(&guard, &grant).await.unwrap_err();
/// assert_eq!(denial.reason(), Reason::InsufficientScope);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "testing"))]
/// # fn main() {}
/// ```
#[derive(Clone)]
pub struct NextHop(Arc<Inner>);

struct Inner {
    exchange: Exchange,
    needs: Require,
    accepts_transactions: bool,
    kept: Arc<KeptTokens>,
}

impl NextHop {
    /// Names the authorization server, whose metadata says where its token endpoint is. Nothing is fetched yet.
    ///
    /// The metadata is read as that of an [`Issuer`](crate::Issuer::discover), and again after an hour. The client follows
    /// no redirects, by the rules of [`HttpClient`].
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if this is not an `https` URL without user, query, fragment and dot segments.
    pub fn discover(
        issuer: &str,
        auth: ClientAuth,
        client: impl HttpClient,
    ) -> Result<TokenServer, ConfigError> {
        TokenServer::new(AllowedScheme::Https, issuer, auth, client)
    }

    /// Names an authorization server that may be on this machine, over plain `http`. **For development.**
    ///
    /// Resources on the loopback interface may be at `http` then, too.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if [`discover`](Self::discover) does, except for `http` on the loopback interface.
    pub fn discover_without_tls_on_loopback(
        issuer: &str,
        auth: ClientAuth,
        client: impl HttpClient,
    ) -> Result<TokenServer, ConfigError> {
        TokenServer::new(AllowedScheme::HttpOnLoopback, issuer, auth, client)
    }

    /// Returns a token for the next resource, in exchange for the credential of a grant.
    ///
    /// Both steps are in the record of the request's decision: that the grant meets the requirement, and that there is a
    /// token, or why there is none ([`AuditEvent::next_hop`](crate::AuditEvent::next_hop)). The answer is there at once if
    /// a token is kept. Dropping an answer that waits does not stop an exchange that has begun.
    ///
    /// # Errors
    ///
    /// Returns the [`Denial`] that the handler answers with:
    ///
    /// - what [`Guard::narrow`] denies, if the grant does not meet the requirement;
    /// - `transaction_token_misused`, 401, for the token of a transaction;
    /// - `insufficient_user_authentication`, 401, if the server asks the subject to authenticate again: a challenge;
    /// - [`next_hop_refused`](Reason::NextHopRefused), 403, if the server does not issue the token;
    /// - [`next_hop_unavailable`](Reason::NextHopUnavailable), 503, if the server is down or its answer cannot be used;
    /// - [`internal_error`](Reason::InternalError), 500, if the guard does not trust the server, or if there is no Tokio
    ///   runtime.
    pub fn token(
        &self,
        guard: &Guard,
        grant: &Grant,
    ) -> Answer<'static, Result<OutboundToken, Denial>> {
        let (hop, by) = (self.clone(), guard.clone());
        match guard.narrow(grant, &self.0.needs) {
            Answer::Now(Ok(grant)) => hop.token_for(by, grant),
            Answer::Now(Err(denial)) => Answer::Now(Err(denial)),
            waiting @ Answer::Later(_) => Answer::later(async move {
                let grant = waiting.await?;
                hop.token_for(by, grant).await
            }),
        }
    }

    /// Returns a token for work that no request caused, for a hop [on own behalf](super::HopTarget::on_own_behalf).
    ///
    /// There is no decision and so no record, and the requirement is not checked.
    ///
    /// # Errors
    ///
    /// Returns [`HopError`], which is `Misconfigured` for any other hop.
    pub async fn own_token(&self) -> Result<OutboundToken, HopError> {
        if !self.is_on_own_behalf() {
            return Err(HopError::Misconfigured("the hop is not on the service's own behalf"));
        }
        let hop = self.clone();
        self.0.kept.get_or_exchange(OWN_KEY, || async move { hop.exchange(None).await }).await
    }

    /// Returns the denial with which this service passes a demand of the next resource on to its own client: that the
    /// subject authenticates again ([RFC 9470](https://www.rfc-editor.org/rfc/rfc9470)).
    ///
    /// Call it with the status and the fields of an answer of the next resource. `None` if the answer makes no such demand.
    /// The denial has the classes and the age that were demanded, and is otherwise this service's own: the client gets
    /// **one** challenge, from the resource that it knows. It is recorded. Other refusals are not passed on, since
    /// their scopes and tokens mean nothing to the client.
    ///
    /// Only call it for an answer of the hop's own resource: any other could make the subject log in at will.
    #[must_use = "a denial that is not returned refuses nothing"]
    pub fn step_up_denial(
        &self,
        guard: &Guard,
        grant: &Grant,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Option<Denial> {
        const STEP_UP: Option<&str> = Some("insufficient_user_authentication");
        let mut found = challenges(headers).filter(|_| status == StatusCode::UNAUTHORIZED);
        let demand = found.find(|challenge| challenge.get("error") == STEP_UP)?;
        let max_age = demand.get("max_age").and_then(|age| age.parse().ok());
        let error = step_up(demand.get("acr_values").unwrap_or_default(), max_age);
        guard.record_hop(grant, self.step(), Some(error.into())).err()
    }

    pub(super) fn target(&self) -> &Arc<Target> {
        &self.0.exchange.target
    }

    pub(super) fn new(exchange: Exchange, needs: Require, accepts_transactions: bool) -> Self {
        NextHop(Arc::new(Inner { exchange, needs, accepts_transactions, kept: Arc::default() }))
    }

    fn token_for(
        self,
        guard: Guard,
        grant: Grant,
    ) -> Answer<'static, Result<OutboundToken, Denial>> {
        if let Some(denial) = self.refused_before(&guard, &grant) {
            return Answer::Now(self.decided(&guard, &grant, Err(denial)));
        }
        let key = match self.is_on_own_behalf() {
            true => OWN_KEY,
            false => sha256([grant.credential().bytes()]),
        };
        if let Some(token) = self.0.kept.get(&key) {
            return Answer::Now(self.decided(&guard, &grant, Ok(token)));
        }
        Answer::later(async move {
            let (hop, asked_by) = (self.clone(), grant.clone());
            let exchange = || async move { hop.exchange(Some(asked_by)).await };
            let token = self.0.kept.get_or_exchange(key, exchange).await;
            self.decided(&guard, &grant, token.map_err(Denial::from))
        })
    }

    /// What is refused before the server is asked.
    fn refused_before(&self, guard: &Guard, grant: &Grant) -> Option<Denial> {
        if !self.0.accepts_transactions && guard.is_of_transaction(grant) {
            return Some(Reason::TransactionTokenMisused.into());
        }
        if self.is_on_own_behalf() {
            return None;
        }
        if !guard.trusts(&self.0.exchange.server.issuer) {
            let problem = "the guard does not trust the authorization server of the hop";
            return Some(HopError::Misconfigured(problem).into());
        }
        // Within the leeway, nothing is left for another token.
        grant.expires_in().is_zero().then(|| Reason::TokenExpired.into())
    }

    /// Records the step.
    fn decided(
        &self,
        guard: &Guard,
        grant: &Grant,
        token: Result<OutboundToken, Denial>,
    ) -> Result<OutboundToken, Denial> {
        let (token, denied) = match token {
            Ok(token) => (Some(token), None),
            Err(denial) => (None, Some(denial)),
        };
        guard.record_hop(grant, self.step(), denied)?;
        token.ok_or_else(|| Reason::InternalError.into())
    }

    fn step(&self) -> HopStep<'_> {
        let Exchange { server, target, scopes, .. } = &self.0.exchange;
        let on_own_behalf = self.is_on_own_behalf();
        HopStep { resource: &target.resource, scopes, server: &server.issuer, on_own_behalf }
    }

    fn is_on_own_behalf(&self) -> bool {
        matches!(self.0.exchange.kind, HopKind::OnOwnBehalf)
    }

    /// Asks the server.
    async fn exchange(self, grant: Option<Grant>) -> Result<OutboundToken, HopError> {
        let asked_at = Instant::now();
        // The token ends with what it is made from.
        let most = match (&self.0.exchange.kind, &grant) {
            (HopKind::OnOwnBehalf, _) | (_, None) => Duration::MAX,
            (_, Some(grant)) => grant.expires_in(),
        };
        let subject = grant.as_ref().map_or("", |grant| grant.credential().expose());
        let (issued, kind) = self.0.exchange.ask(subject).await?;
        let Issued { token, scopes, lifetime } = issued;
        let ends_at = asked_at.checked_add(lifetime.min(most)).unwrap_or(asked_at);
        if ends_at <= Instant::now() {
            return Err(HopError::Unavailable("the token ended before it came".to_owned()));
        }
        Ok(OutboundToken::new(token, kind, self.0.exchange.target.clone(), scopes, ends_at))
    }
}

/// What the token of a service's own is kept by. It is not the digest of anything.
const OWN_KEY: [u8; 32] = [0; 32];

impl fmt::Debug for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exchange { server, target, scopes, .. } = &self.0.exchange;
        f.debug_struct("NextHop")
            .field("server", &server.issuer)
            .field("resource", &target.resource)
            .field("scopes", scopes)
            .field("needs", &self.0.needs)
            .finish_non_exhaustive()
    }
}
