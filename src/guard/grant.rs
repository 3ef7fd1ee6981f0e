//! The grant: what a guard hands to the handler of a request that it let pass.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use super::Guard;
use super::clock::Clock;
use crate::credential::Credential;
#[cfg(any(feature = "mcp", feature = "remote"))]
use crate::dates::later;
use crate::dates::since;
use crate::evidence::Evidence;
#[cfg(doc)]
use crate::token::AccessToken;

/// Permission for one request, granted by a guard.
///
/// Only a guard makes a `Grant`. With the feature `axum` it is an extractor, and in gRPC and elsewhere
/// [`of`](Self::of) finds it. It is cheap to clone.
///
/// A grant dereferences to its [`Evidence`], and that to the validated [`AccessToken`], so their methods are called on
/// the grant. These are the most used ones:
///
/// | method | returns |
/// |---|---|
/// | [`subject()`](AccessToken::subject) | whose authority the token carries: issuer **and** name, compared as one |
/// | [`issuer()`](AccessToken::issuer) | who issued the token |
/// | [`actor()`](AccessToken::actor) | who acts for the subject now, for example an agent |
/// | [`client_id()`](AccessToken::client_id) | the software that the token was issued to |
/// | [`allows()`](AccessToken::allows), [`scopes()`](AccessToken::scopes) | whether the token has a scope; all its scopes |
/// | [`claim()`](AccessToken::claim), [`details()`](AccessToken::details) | any other claim of the token; its authorization details of one type |
/// | [`expires_in()`](Grant::expires_in) | how long the grant still lasts |
/// | [`operation()`](Evidence::operation) | the name, method and path of the operation |
/// | [`decision()`](Evidence::decision) | the id of this decision in the audit record |
///
/// The token itself is not among them: it stops at the guard. For what your service calls next, get a token of its own
/// with a `NextHop` (feature `remote`).
///
/// A grant is for its request: for another method or path it counts for nothing. And it ends with its token:
/// [`Guard::narrow`] then refuses (`token_expired`). Something that outlives the request, such as a stream or a queued
/// job, must itself stop then; see [`expires_in`](Self::expires_in), and `until_expiry` and `expired` (feature `remote`
/// or `mcp`).
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use unconfused::{Audience, Grant, Scope};
/// use unconfused::testing::TestIssuer;
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// const READ: Scope = Scope::from_static("orders:read");
/// const WRITE: Scope = Scope::from_static("orders:write");
///
/// fn list(grant: &Grant) -> String {
///     let editable = grant.allows(&WRITE);
///     match grant.actor() {
///         Some(actor) => format!("{} for {}, editable: {editable}", actor.name(), grant.subject().name()),
///         None => format!("{}, editable: {editable}", grant.subject().name()),
///     }
/// }
///
/// let login = TestIssuer::new("https://login.example");
/// let token = login.token(&ORDERS).subject("alice").actor("agent-7").scope("orders:read");
/// let grant = login.grant(token, READ);
/// assert_eq!(list(&grant), "agent-7 for alice, editable: false");
/// # }
/// ```
#[derive(Clone)]
pub struct Grant {
    evidence: Evidence,
    /// The id of the guard that made it.
    guard: u64,
    /// The clock of that guard.
    clock: Clock,
}

impl Grant {
    /// The grant of this guard.
    pub(super) fn new(evidence: Evidence, guard: &Guard) -> Self {
        Grant { evidence, guard: guard.inner.id, clock: guard.inner.clock.clone() }
    }

    /// Returns true if `guard`, or a clone of it, made this grant.
    ///
    /// A guard that was set up differently is another guard.
    #[must_use]
    pub fn made_by(&self, guard: &Guard) -> bool {
        self.guard == guard.inner.id
    }

    /// Returns how long the guard still accepts the token of this grant, by the guard's clock. It is zero if that time
    /// is over.
    ///
    /// The end is `exp`, or the time at which the token reaches the greatest age that the guard accepts, if that is
    /// earlier. The leeway is not added, so the end is that much before [`Guard::narrow`] begins to refuse.
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use std::time::Duration;
    /// use unconfused::{Audience, Guard, Scope};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const READ: Scope = Scope::from_static("orders:read");
    /// # let login = TestIssuer::new("https://login.example");
    /// # let issuer = login.issuer();
    ///
    /// let guard = Guard::new(ORDERS, issuer);
    /// let token = login.token(&ORDERS).scope("orders:read").lifetime(Duration::from_secs(60));
    /// let grant = token.granted_by(&guard, READ);
    /// assert!(grant.expires_in() <= Duration::from_secs(60));
    /// # }
    /// ```
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        since(self.clock.now(), self.evidence.request.ends_at).try_into().unwrap_or_default()
    }

    /// Completes when the token of this grant ends.
    ///
    /// Use it to end what outlives the request, such as a WebSocket or a queued job. For the body of a response there
    /// is [`until_expiry`](Self::until_expiry). It reads the guard's clock once, when it is called, and then waits for
    /// [`expires_in`](Self::expires_in) by the timer of Tokio. It does not borrow the grant.
    ///
    /// ```
    /// use unconfused::Grant;
    ///
    /// /// Sends ticks until the token expires.
    /// async fn ticks(grant: Grant, mut send: impl AsyncFnMut(u32)) {
    ///     let mut expired = std::pin::pin!(grant.expired());
    ///     for tick in 0.. {
    ///         tokio::select! {
    ///             () = &mut expired => break,
    ///             () = send(tick) => {}
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// The future panics if it is polled outside of a Tokio runtime that has its timer enabled.
    #[cfg(any(feature = "mcp", feature = "remote"))]
    #[cfg_attr(docsrs, doc(cfg(any(feature = "mcp", feature = "remote"))))]
    pub fn expired(&self) -> impl Future<Output = ()> + Send + Sync + use<> {
        let left = self.expires_in();
        async move { tokio::time::sleep(left).await }
    }

    /// How long [`Guard::narrow`] still accepts the token: until its end, and the leeway.
    #[cfg(any(feature = "mcp", feature = "remote"))]
    pub(crate) fn accepted_for(&self) -> Duration {
        let end = later(self.evidence.request.ends_at, self.evidence.token().leeway());
        since(self.clock.now(), end).try_into().unwrap_or_default()
    }

    /// The credential that the guard removed from the request. The next hop sends it to the authorization server, and no
    /// one else reads it.
    pub(crate) fn credential(&self) -> &Credential {
        &self.evidence.request.credential
    }
}

impl Deref for Grant {
    type Target = Evidence;

    fn deref(&self) -> &Evidence {
        &self.evidence
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grant({:?})", self.evidence)
    }
}
