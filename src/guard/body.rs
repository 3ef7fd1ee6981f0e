//! The bodies of denied responses.

use std::any::{Any, TypeId};
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response};

use super::Guard;
use crate::denial::{Denial, MakeText};
use crate::per_thread::PerThread;

/// # Bodies of denied responses
impl Guard {
    /// Sets what makes the body of denied responses. Defaults to an empty body.
    ///
    /// That is [`ProblemJson`](crate::layer::ProblemJson), a closure that returns text or a media type and text
    /// ([`body_fn`](crate::layer::body_fn)), or any other [`MakeBody`]. Status and all headers but `Content-Type` stay as
    /// they are.
    ///
    /// Every layer of this guard has that body, unless it is given one of its own
    /// ([`GuardLayer::body`](crate::layer::GuardLayer::body)). In axum, a [`Denial`] that a handler
    /// returns has it too: one of [`narrow`](Self::narrow), [`refuse`](Self::refuse) and [`authorize`](Self::authorize)
    /// wherever it is returned, and any other if the handler is behind a layer of this guard.
    ///
    /// The layer has to know the type of the body to make it from text: `String`, `Vec<u8>`, or the body of axum
    /// (feature `axum`). Over any other type the response stays empty. There, set the body at the layer.
    ///
    /// ```
    /// # #[cfg(all(feature = "axum", feature = "testing"))] {
    /// use axum::{Router, body::Body, routing::get};
    /// use http::{Request, header::CONTENT_TYPE};
    /// use tower::ServiceExt;
    /// use unconfused::layer::ProblemJson;
    /// use unconfused::{Audience, Denial, Grant, Guard, Reason, Scope};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const READ: Scope = Scope::from_static("orders:read");
    ///
    /// async fn list(grant: Grant) -> Result<String, Denial> {
    ///     if grant.subject().name() == "mallory" {
    ///         return Err(Denial::from(Reason::PolicyDenied));
    ///     }
    ///     Ok("orders".to_owned())
    /// }
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let login = TestIssuer::new("https://login.example");
    /// # let issuer = login.issuer();
    ///
    /// let guard = Guard::new(ORDERS, issuer).body(ProblemJson);
    /// let app = Router::new().route("/orders", get(list).route_layer(guard.require(READ)));
    ///
    /// // The layer denies the first, and the handler the second.
    /// let mallory = login.token(&ORDERS).subject("mallory").scope("orders:read").bearer();
    /// for (authorization, status) in [("Bearer nonsense", 401), (&mallory, 403)] {
    ///     let request = Request::get("/orders").header("authorization", authorization).body(Body::empty())?;
    ///     let denied = app.clone().oneshot(request).await?;
    ///     assert_eq!(denied.status(), status);
    ///     assert_eq!(denied.headers()[CONTENT_TYPE], "application/problem+json");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn body(self, body: impl MakeBody<String> + Send + Sync + 'static) -> Self {
        self.with(|inner| inner.make_text = Some(PerThread::new(text_maker(body))))
    }
}

/// Makes the body of a denied response, for [`Guard::body`] and
/// [`GuardLayer::body`](crate::layer::GuardLayer::body).
///
/// A closure is a `MakeBody` if it returns text, or a media type and text; see [`BodyText`] and [`body_fn`]. Implement
/// the trait yourself for a body that is not text. Status and headers follow from the denial and are not changed by the
/// body, except for `Content-Type`.
///
/// A body goes to the client, so it must not contain [`Denial::reason`] or `Display` of the denial, which are for the
/// operator. Use [`Reason::for_client`](crate::Reason::for_client).
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
///     fn make_body(&self, denial: &Denial) -> (Option<HeaderValue>, Body) {
///         let page = format!("<h1>{}</h1>", denial.reason().for_client().description());
///         (Some(HeaderValue::from_static("text/html")), page.into())
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
    /// Returns the media type and the body of the response for this denial.
    ///
    /// Without a media type, the response has no `Content-Type`.
    fn make_body(&self, denial: &Denial) -> (Option<HeaderValue>, R);
}

impl<R, T, F> MakeBody<R> for F
where
    F: Fn(&Denial) -> T,
    T: BodyText,
    R: From<String>,
{
    fn make_body(&self, denial: &Denial) -> (Option<HeaderValue>, R) {
        let (media_type, text) = self(denial).into_text();
        (media_type, text.into())
    }
}

/// What a closure returns that makes the body of a denied response: text, or a media type and text.
///
/// It is implemented for `String` and `&'static str`, and for pairs of a media type and either of them. A media type
/// that cannot be the value of a field is left out.
pub trait BodyText {
    /// Returns the media type, if there is one, and the text.
    fn into_text(self) -> (Option<HeaderValue>, String);
}

impl BodyText for String {
    fn into_text(self) -> (Option<HeaderValue>, String) {
        (None, self)
    }
}

impl BodyText for &'static str {
    fn into_text(self) -> (Option<HeaderValue>, String) {
        (None, self.to_owned())
    }
}

impl<T: Into<String>> BodyText for (&'static str, T) {
    fn into_text(self) -> (Option<HeaderValue>, String) {
        (HeaderValue::try_from(self.0).ok(), self.1.into())
    }
}

/// Returns the closure as it is, and gives it the signature that makes it a [`MakeBody`].
///
/// So its argument needs no type:
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use unconfused::layer::body_fn;
/// use unconfused::{Audience, Guard};
/// # use unconfused::testing::TestIssuer;
/// # let issuer = TestIssuer::new("https://login.example").issuer();
///
/// let page = body_fn(|denial| ("text/html", format!("<h1>{}</h1>", denial.status().as_u16())));
/// let guard = Guard::new(Audience::from_static("https://orders.example"), issuer).body(page);
/// # }
/// ```
pub fn body_fn<F, T>(make_body: F) -> F
where
    F: Fn(&Denial) -> T,
    T: BodyText,
{
    make_body
}

/// Makes the body that the guard is set up with ([`Guard::body`]), or an empty one.
///
/// This is what makes the body of a layer unless [`GuardLayer::body`](crate::layer::GuardLayer::body) sets another. The
/// guard makes text. A `String`, a `Vec<u8>` and the body of axum (feature `axum`) are made from it; a body of any
/// other type stays empty.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a name for a body, with nothing in it")]
pub struct GuardBody;

impl<R: Default + 'static> MakeBody<R> for GuardBody {
    fn make_body(&self, denial: &Denial) -> (Option<HeaderValue>, R) {
        let made = denial.text();
        let made = made.and_then(|(media_type, text)| Some((media_type, from_text(text)?)));
        made.unwrap_or_default()
    }
}

/// Makes a body of the media type `application/problem+json`
/// ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)); see [`Denial::problem_json`].
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a name for a body, with nothing in it")]
pub struct ProblemJson;

impl<R: From<String>> MakeBody<R> for ProblemJson {
    fn make_body(&self, denial: &Denial) -> (Option<HeaderValue>, R) {
        let media_type = HeaderValue::from_static("application/problem+json");
        (Some(media_type), denial.problem_json().into())
    }
}

/// What makes bodies as text, behind a pointer.
pub(super) fn text_maker(body: impl MakeBody<String> + Send + Sync + 'static) -> Arc<MakeText> {
    Arc::new(move |denial| body.make_body(denial))
}

/// Marks a response to a denial that no guard made, in its extensions. It has no body yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WithoutBody;

/// Gives a response its body, if it is one to a denial that has none yet.
pub(crate) fn add_missing_body<R: 'static>(response: &mut Response<R>, make_text: &MakeText) {
    let is_missing = response.extensions_mut().remove::<WithoutBody>().is_some();
    // Something between the handler and the layer may have given it one.
    if !is_missing || !is_empty(response.body()) {
        return;
    }
    let Some(denial) = response.extensions().get::<Denial>() else { return };
    let (media_type, text) = make_text(denial);
    let Some(body) = from_text(text) else { return };
    *response.body_mut() = body;
    response.headers_mut().remove(CONTENT_LENGTH);
    if let Some(media_type) = media_type {
        response.headers_mut().insert(CONTENT_TYPE, media_type);
    }
}

/// Makes a body from text. `None` if it is of a type that this crate does not know.
fn from_text<R: 'static>(text: String) -> Option<R> {
    let mut text = Some(text);
    let made = as_type::<String, R>(&mut text).or_else(|| as_type::<Vec<u8>, R>(&mut text));
    #[cfg(feature = "axum")]
    let made = made.or_else(|| as_type::<axum_core::body::Body, R>(&mut text));
    made
}

/// True if this is an empty body of a type that this crate knows.
fn is_empty<R: 'static>(body: &R) -> bool {
    let body = body as &dyn Any;
    #[cfg(feature = "axum")]
    if let Some(body) = body.downcast_ref::<axum_core::body::Body>() {
        return axum::body::HttpBody::is_end_stream(body);
    }
    body.downcast_ref::<String>().is_some_and(String::is_empty)
        || body.downcast_ref::<Vec<u8>>().is_some_and(Vec::is_empty)
}

/// Makes a `T` from the text if `R` is that very type.
fn as_type<T: From<String> + 'static, R: 'static>(text: &mut Option<String>) -> Option<R> {
    if TypeId::of::<T>() != TypeId::of::<R>() {
        return None;
    }
    let mut body = text.take().map(T::from);
    (&mut body as &mut dyn Any).downcast_mut::<Option<R>>()?.take()
}
