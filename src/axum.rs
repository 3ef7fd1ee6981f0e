//! For axum: the grant as an extractor, the denial as a response, the metadata as a route.

use ::axum::Router;
use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

use crate::denial::Denial;
use crate::evidence::Grant;
use crate::guard::NoCredentials;
use crate::metadata::Metadata;
use crate::reason::Reason;

/// The grant of the guard before this handler. Where no guard stood, 500: never a pass.
impl<S: Sync> FromRequestParts<S> for Grant {
    type Rejection = Denial;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Denial> {
        parts.extensions.get::<Grant>().cloned().ok_or_else(|| no_grant(parts))
    }
}

/// `None` only where an optional guard looked and found no credentials. Where no guard stood, 500.
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
            "a handler behind an optional guard asks for a `Grant` and there is none: \
             take an `Option<Grant>`"
        }
        None => {
            "a handler asks for a `Grant` and no guard stands before it: \
             add `.route_layer(guard.require(..))` after its method"
        }
    };
    #[cfg(feature = "tracing")]
    tracing::error!(target: "unconfused", "{hint}");
    Denial::from(Reason::InternalError).with_detail(hint)
}

/// Status and headers of the denial, an empty body, and the denial in the extensions.
impl IntoResponse for Denial {
    fn into_response(self) -> Response {
        self.respond(Body::empty())
    }
}

impl Metadata {
    /// A router with the one route of the document. Merge it **after** the guarded routes and their
    /// backstop, so that it needs no token.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        // A segment may begin with `:` or `*`, which axum's older patterns used. Braces, which its
        // patterns use now, are in no URL.
        Router::new().without_v07_checks().route_service(self.path(), self.service())
    }
}
