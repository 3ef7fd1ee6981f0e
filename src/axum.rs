//! For axum: extractors of the grant, `Denial` as a response, `Metadata` as a route.

use std::ops::Deref;

use ::axum::Router;
use axum_core::body::Body;
use axum_core::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::request::Parts;

use crate::denial::Denial;
use crate::guard::{Grant, Guard, WithoutBody, misplaced};
use crate::metadata::{ChallengeKeys, DocumentService, Metadata};

/// Extracts the grant of the guard that stands before the handler. If there is no guard, the answer is 500.
///
/// That is also the answer if the grant was made for another method or path: then no guard has judged this request. See
/// [`layer`](crate::layer#where-a-guard-stands-in-axum) for what rewrites a path.
///
/// No guard knows of this answer, so it is not in the record. With the feature `tracing`, it is an event of the level
/// ERROR and the target `unconfused`.
impl<S: Sync> FromRequestParts<S> for Grant {
    type Rejection = Denial;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Denial> {
        own(Grant::of(&parts.extensions)?, parts).cloned()
    }
}

/// Extracts the grant, or `None` if [`Guard::optional`](crate::Guard::optional) or
/// [`GuardLayer::or_authenticated`](crate::layer::GuardLayer::or_authenticated) let a request without credentials pass.
/// If there is no guard, or the grant was made for another method or path, the answer is 500.
impl<S: Sync> OptionalFromRequestParts<S> for Grant {
    type Rejection = Denial;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Denial> {
        let grant = Grant::option_of(&parts.extensions)?;
        grant.map(|grant| own(grant, parts).cloned()).transpose()
    }
}

/// A grant that was made by the guard in the router's state.
///
/// The extractor answers 500 if another guard made the grant, and in all cases in which [`Grant`] does. Use it if
/// a service has several guards, so that a route behind the wrong one fails in its first test. A guard that was set up
/// differently is another guard, so give the router the very guard that its layers are made from, or a clone.
///
/// It dereferences to its [`Grant`].
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use axum::{Router, body::Body, routing::get};
/// use http::{Request, StatusCode};
/// use tower::ServiceExt;
/// use unconfused::layer::OwnGrant;
/// use unconfused::{Audience, Guard, Scope};
/// # use unconfused::testing::TestIssuer;
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// const READ: Scope = Scope::from_static("orders:read");
///
/// async fn list(grant: OwnGrant) -> String {
///     format!("orders of {}", grant.subject().name())
/// }
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let login = TestIssuer::new("https://login.example");
///
/// let guard = Guard::new(ORDERS, login.issuer());
/// let other = Guard::new(ORDERS, login.issuer()).also_accept(Audience::from_static("orders"));
/// let app = Router::new()
///     .route("/orders", get(list).route_layer(guard.require(READ)))
///     .route("/wrong", get(list).route_layer(other.require(READ)))
///     .with_state(guard);
///
/// let token = login.token(&ORDERS).scope("orders:read").bearer();
/// for (path, status) in [("/orders", StatusCode::OK), ("/wrong", StatusCode::INTERNAL_SERVER_ERROR)] {
///     let request = Request::get(path).header("authorization", &token).body(Body::empty())?;
///     assert_eq!(app.clone().oneshot(request).await?.status(), status);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct OwnGrant(Grant);

impl Deref for OwnGrant {
    type Target = Grant;

    fn deref(&self) -> &Grant {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for OwnGrant
where
    Guard: FromRef<S>,
{
    type Rejection = Denial;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Denial> {
        let grant = <Grant as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        if grant.made_by(&Guard::from_ref(state)) {
            return Ok(OwnGrant(grant));
        }
        Err(misplaced(
            "a handler asks for an `OwnGrant` and the grant is that of another guard than the one in the router's \
             state: make the layers of its route from that guard",
        ))
    }
}

/// The grant, unless it was made for another method or path.
fn own<'g>(grant: &'g Grant, parts: &Parts) -> Result<&'g Grant, Denial> {
    match grant.operation().is_of(parts) {
        true => Ok(grant),
        false => Err(misplaced(
            "a handler asks for a `Grant` and finds that of another method or path: put what rewrites requests outside \
             the guard, and a guard before what copies of requests are sent to",
        )),
    }
}

/// The response has the status and headers of the denial, and the denial in its extensions. Its body is that of
/// [`Guard::body`](crate::Guard::body): of the guard that made the denial, or else of the guard before the handler. If
/// there is none, it is empty.
impl IntoResponse for Denial {
    fn into_response(self) -> Response {
        let Some((media_type, text)) = self.text() else {
            let mut response = self.respond(Body::empty());
            response.extensions_mut().insert(WithoutBody);
            return response;
        };
        let mut response = self.respond(Body::from(text));
        if let Some(media_type) = media_type {
            response.headers_mut().insert(CONTENT_TYPE, media_type);
        }
        response
    }
}

impl Metadata {
    /// Returns a router whose only route serves the document.
    ///
    /// Merge it **after** the guarded routes and any guard on the whole router, so that it needs no token.
    ///
    /// # Panics
    ///
    /// Panics if the document would name no authorization server; see [`to_json`](Self::to_json).
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        route(self.path(), self.service())
    }
}

impl ChallengeKeys {
    /// Returns a router whose only route serves the keys.
    ///
    /// Merge it **after** the guarded routes and any guard on the whole router, so that it needs no token.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        route(self.path(), self.service())
    }
}

/// A router that serves a document at this path.
fn route<S: Clone + Send + Sync + 'static>(path: &str, service: DocumentService) -> Router<S> {
    // A segment may start with `:` or `*`, which were patterns in older versions of axum. Braces, which are its
    // patterns now, are not in URLs.
    Router::new().without_v07_checks().route_service(path, service)
}
