//! The bodies of denied responses.

use http::HeaderValue;

use crate::denial::Denial;
use crate::guard::EmptyBody;

/// Makes the body of a denied response, for [`GuardLayer::body`](crate::layer::GuardLayer::body).
///
/// A closure `|denial: &Denial| ..` is a `MakeBody` that names no media type. Status and headers follow from the denial
/// and are not changed by the body.
///
/// A body goes to the client, so it must not contain [`Denial::reason`] or [`Denial::for_operator`]. Use `Display` of the
/// denial, or [`Reason::for_client`](crate::Reason::for_client).
///
/// ```
/// # #[cfg(all(feature = "axum", feature = "testing"))] {
/// use axum::{Router, body::Body, routing::get};
/// use http::{HeaderValue, Request, StatusCode, header::CONTENT_TYPE};
/// use tower::ServiceExt;
/// use unconfused::layer::MakeBody;
/// use unconfused::{Audience, Denial, Guard, Scope};
/// # use unconfused::testing::TestIssuer;
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// const READ: Scope = Scope::from_static("orders:read");
///
/// #[derive(Clone)]
/// struct Page;
///
/// impl MakeBody<Body> for Page {
///     fn body(&self, denial: &Denial) -> Body {
///         format!("<h1>{denial}</h1>").into()
///     }
///
///     fn content_type(&self) -> Option<HeaderValue> {
///         Some(HeaderValue::from_static("text/html"))
///     }
/// }
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let issuer = TestIssuer::new("https://login.example").issuer();
/// # async fn list() {}
///
/// let guard = Guard::new(ORDERS, issuer);
/// let app = Router::new().route("/orders", get(list).route_layer(guard.require(READ).body(Page)));
///
/// let denied = app.oneshot(Request::get("/orders").body(Body::empty())?).await?;
/// assert_eq!(denied.status(), StatusCode::UNAUTHORIZED);
/// assert_eq!(denied.headers()[CONTENT_TYPE], "text/html");
/// let body = axum::body::to_bytes(denied.into_body(), 1024).await?;
/// assert_eq!(body, "<h1>An access token is required</h1>");
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait MakeBody<R> {
    /// Returns the body of the response for this denial.
    fn body(&self, denial: &Denial) -> R;

    /// Returns the media type of the body. By default, the response has no `Content-Type`.
    fn content_type(&self) -> Option<HeaderValue> {
        None
    }
}

impl<R, F: Fn(&Denial) -> R> MakeBody<R> for F {
    fn body(&self, denial: &Denial) -> R {
        self(denial)
    }
}

impl<R: Default> MakeBody<R> for EmptyBody {
    fn body(&self, _: &Denial) -> R {
        R::default()
    }
}

/// Makes a body of the media type `application/problem+json`
/// ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)); see [`Denial::problem_json`].
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a name for a body, with nothing in it")]
pub struct ProblemJson;

impl<R: From<String>> MakeBody<R> for ProblemJson {
    fn body(&self, denial: &Denial) -> R {
        denial.problem_json().into()
    }

    fn content_type(&self) -> Option<HeaderValue> {
        Some(HeaderValue::from_static("application/problem+json"))
    }
}
