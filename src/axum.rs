//! For axum: `Grant` as an extractor, `Denial` as a response, `Metadata` as a route.

use ::axum::Router;
use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

use crate::denial::Denial;

use crate::guard::{Grant, NoCredentials};
use crate::metadata::Metadata;
use crate::reason::Reason;

/// Extracts the grant of the guard that stands before the handler. If there is no guard, the answer is 500.
impl<S: Sync> FromRequestParts<S> for Grant {
    type Rejection = Denial;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Denial> {
        parts.extensions.get::<Grant>().cloned().ok_or_else(|| no_grant(parts))
    }
}

/// Extracts the grant, or `None` if [`Guard::optional`](crate::Guard::optional) let a request without credentials pass.
/// If there is no guard, the answer is 500.
impl<S: Sync> OptionalFromRequestParts<S> for Grant {
    type Rejection = Denial;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Denial> {
        match parts.extensions.get::<Grant>() {
            Some(grant) => Ok(Some(grant.clone())),
            None if parts.extensions.get::<NoCredentials>().is_some() => Ok(None),
            None => Err(no_grant(parts)),
        }
    }
}

fn no_grant(parts: &Parts) -> Denial {
    let hint = match parts.extensions.get::<NoCredentials>() {
        Some(_) => {
            "a handler behind an optional guard asks for a `Grant` and the request has none: \
             extract an `Option<Grant>`"
        }
        None => {
            "a handler asks for a `Grant` and there is no guard before it: \
             add `.route_layer(guard.require(..))` after its method"
        }
    };
    #[cfg(feature = "tracing")]
    tracing::error!(target: "unconfused", "{hint}");
    Denial::from(Reason::InternalError).with_detail(hint)
}

/// The response has the status and headers of the denial, an empty body, and the denial in its extensions.
impl IntoResponse for Denial {
    fn into_response(self) -> Response {
        self.respond(Body::empty())
    }
}

impl Metadata {
    /// Returns a router whose only route serves the document.
    ///
    /// Merge it **after** the guarded routes and any guard on the whole router, so that it needs no token.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        // A segment may start with `:` or `*`, which were patterns in older versions of axum. Braces, which are its
        // patterns now, are not in URLs.
        Router::new().without_v07_checks().route_service(self.path(), self.service())
    }
}
