//! The grant in the extensions of a request, for handlers.

use http::Extensions;

use super::Grant;
use super::request::NoCredentials;
use crate::denial::Denial;
use crate::reason::Reason;

/// # In a handler
impl Grant {
    /// Returns the grant of the guard that stands before the handler, from the extensions of the request.
    ///
    /// Use it in gRPC services, and in any other handler that has no extractor. What it does not see is the request
    /// itself: the grant may be that of another request, if something between guard and handler copied the extensions.
    /// axum's extractor checks that too.
    ///
    /// # Errors
    ///
    /// Returns a denial with the reason `internal_error` (500, `INTERNAL`) if there is no grant: no guard stands before
    /// the handler, the method is [open](crate::layer::Rules::open), or the guard let a request without credentials
    /// pass, for which there is [`option_of`](Self::option_of). No guard knows of this answer, so it is not in the record.
    /// With the feature `tracing`, it is an event of the level ERROR and the target `unconfused`.
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use http::Request;
    /// use unconfused::{Audience, Denial, Grant, Guard, Reason, Scope};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const READ: Scope = Scope::from_static("orders:read");
    ///
    /// fn list(request: &Request<()>) -> Result<String, Denial> {
    ///     let grant = Grant::of(request.extensions())?;
    ///     Ok(format!("orders of {}", grant.subject().name()))
    /// }
    /// # let login = TestIssuer::new("https://login.example");
    ///
    /// let guard = Guard::new(ORDERS, login.issuer());
    /// let token = login.token(&ORDERS).subject("alice").scope("orders:read").bearer();
    /// let request = Request::get("/orders").header("authorization", token).body(()).unwrap();
    /// let (mut head, ()) = request.into_parts();
    /// guard.authorize(&mut head, READ).now().unwrap().unwrap();
    /// assert_eq!(list(&Request::from_parts(head, ())).unwrap(), "orders of alice");
    ///
    /// // No guard stood before this one.
    /// let denial = list(&Request::new(())).unwrap_err();
    /// assert_eq!(denial.reason(), Reason::InternalError);
    /// # }
    /// ```
    pub fn of(extensions: &Extensions) -> Result<&Grant, Denial> {
        Grant::option_of(extensions)?.ok_or_else(|| misplaced(NO_CREDENTIALS))
    }

    /// Returns the grant, or `None` if the guard let a request without credentials pass.
    ///
    /// That is a request that [another authenticator](crate::layer::GuardLayer::or_authenticated) has authenticated, one
    /// of a route that is [optional](crate::Guard::optional), or one for an [open](crate::layer::Rules::open) method.
    ///
    /// # Errors
    ///
    /// Returns a denial with the reason `internal_error` (500, `INTERNAL`) if no guard stands before the handler. So it
    /// does not take a missing guard for a request without credentials, as
    /// `extensions.get::<Grant>()` would.
    pub fn option_of(extensions: &Extensions) -> Result<Option<&Grant>, Denial> {
        match extensions.get::<Grant>() {
            None if extensions.get::<NoCredentials>().is_none() => Err(misplaced(NO_GUARD)),
            grant => Ok(grant),
        }
    }
}

const NO_GUARD: &str = "a handler asks for a `Grant` and there is no guard before it: add \
                        `.route_layer(guard.require(..))` after its method, or put `guard.rules(..)` before its service";

const NO_CREDENTIALS: &str = "a handler behind a guard that lets requests without credentials pass asks for a `Grant` \
                              and the request has none: ask for an `Option<Grant>`, or call `Grant::option_of`";

/// The answer to a request whose guard is not where it should be.
pub(crate) fn misplaced(hint: &'static str) -> Denial {
    #[cfg(feature = "tracing")]
    tracing::error!(target: "unconfused", "{hint}");
    Denial::from(Reason::InternalError).with_detail(hint)
}
