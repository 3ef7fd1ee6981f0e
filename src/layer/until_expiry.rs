//! Bodies that end with the token of their request.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tower_layer::Layer;
use tower_service::Service;

use super::rules_service::{RulesLayer, RulesService};
use crate::guard::{Grant, Guard};
use crate::reason::Reason;

/// # Streams
impl Grant {
    /// Returns the body of a response, cut off when the guard no longer accepts the token of this grant.
    ///
    /// Use it for what is sent over a long time: server-sent events, long downloads. The body passes through until
    /// `exp`, or until the token is too old for the guard, and the leeway: the moment at which
    /// [`Guard::narrow`] begins to refuse. The guard's clock is read once, when this is called, and the time until then
    /// is measured by the timer of Tokio. Nothing that the body makes later is sent, with one exception: the first piece
    /// of a response passes at any time if it is ready, so that an ordinary answer is sent also if it took long.
    ///
    /// At the end, the body **fails**, with [`Reason::TokenExpired`] as the error. An HTTP server then breaks the
    /// response off, so that the client sees that it is not complete. If it ended in an ordinary way, a chunked response
    /// of HTTP/1.1 would look like a whole one. If the format says itself where it ends, or a client does not mind, as
    /// with server-sent events, [`or_last`](UntilExpiry::or_last) ends the body in an ordinary way.
    ///
    /// The end is not in the record. gRPC services have [`RulesLayer::until_expiry`].
    ///
    /// ```
    /// # #[cfg(all(feature = "axum", feature = "testing"))] {
    /// use axum::body::{Body, Bytes};
    /// use axum::response::{IntoResponse, Response};
    /// use axum::{Router, routing::get};
    /// use unconfused::{Audience, Grant, Guard, Scope};
    /// # use unconfused::testing::TestIssuer;
    /// # use axum::response::sse::{Event, Sse};
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const READ: Scope = Scope::from_static("orders:read");
    /// # fn all_orders() -> Body { Body::from("orders") }
    /// # fn events() -> Body { Body::from("data: 1\n\n") }
    ///
    /// /// A download: broken off if it takes too long.
    /// async fn export(grant: Grant) -> Response {
    ///     Body::new(grant.until_expiry(all_orders())).into_response()
    /// }
    ///
    /// /// Events: the last one says why there are no more, and the client comes back with a new token.
    /// async fn watch(grant: Grant) -> Response {
    ///     let last = Bytes::from_static(b"event: token_expired\ndata:\n\n");
    ///     let events = grant.until_expiry(events()).or_last(last);
    ///     ([("content-type", "text/event-stream")], Body::new(events)).into_response()
    /// }
    /// # let guard = Guard::new(ORDERS, TestIssuer::new("https://login.example").issuer());
    /// let app: Router = Router::new()
    ///     .route("/export", get(export).route_layer(guard.require(READ)))
    ///     .route("/watch", get(watch).route_layer(guard.require(READ)));
    /// # drop(app);
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// The body panics if it is polled outside of a Tokio runtime that has its timer enabled.
    pub fn until_expiry<B: Body>(&self, body: B) -> UntilExpiry<B> {
        UntilExpiry::new(body, self, End::Fail)
    }
}

pin_project! {
    /// A body that ends with the token of its request, made by [`Grant::until_expiry`] or behind a
    /// [`RulesLayer::until_expiry`].
    ///
    /// It allocates nothing, and has one timer, from when it first waits for the inner body. When it ends, it drops the
    /// inner body. A client that stops reading is not told before it reads on: servers do not ask a body for more until
    /// then. What a server has taken from the body before the end may be sent after it.
    #[must_use = "a body does nothing unless it is sent"]
    pub struct UntilExpiry<B: Body> {
        #[pin]
        body: Option<B>,
        #[pin]
        timer: Option<Sleep>,
        // `None`: it never ends early.
        ends_at: Option<Instant>,
        // Its first frame was sent. Until then it may be a whole answer, to an operation that has been carried out.
        begun: bool,
        end: End<B::Data>,
    }
}

/// How a body ends if the token expires before.
enum End<D> {
    /// With an error.
    Fail,
    /// With this data.
    Last(D),
    /// With trailers of gRPC, and with a record.
    Grpc { guard: Guard, grant: Grant },
    /// With this data, or else with an error, and with a record.
    #[cfg(feature = "mcp")]
    Recorded { guard: Guard, grant: Grant, last: Option<D> },
    /// It has ended.
    Ended,
}

impl<B: Body> UntilExpiry<B> {
    fn new(body: B, grant: &Grant, end: End<B::Data>) -> Self {
        // A time that no clock can name is never reached.
        let ends_at = Instant::now().checked_add(grant.accepted_for());
        UntilExpiry { body: Some(body), timer: None, ends_at, begun: false, end }
    }

    /// A body whose end is recorded if the token expires before.
    #[cfg(feature = "mcp")]
    pub(super) fn recorded(body: B, guard: &Guard, grant: &Grant, last: Option<B::Data>) -> Self {
        if body.is_end_stream() {
            return UntilExpiry::unlimited(body);
        }
        let (guard, made_by) = (guard.clone(), grant.clone());
        UntilExpiry::new(body, grant, End::Recorded { guard, grant: made_by, last })
    }

    /// A body that is sent as it is.
    fn unlimited(body: B) -> Self {
        UntilExpiry { body: Some(body), timer: None, ends_at: None, begun: false, end: End::Fail }
    }

    /// Ends the body with this data instead of an error, if the token expires before the body is complete.
    ///
    /// For server-sent events, it may be an event that says so. It may be empty. Its response has no `Content-Length`
    /// that is not set by hand.
    pub fn or_last(mut self, last: B::Data) -> Self {
        self.end = End::Last(last);
        self
    }
}

/// An empty body, if the inner one is.
impl<B: Body + Default> Default for UntilExpiry<B> {
    fn default() -> Self {
        UntilExpiry::unlimited(B::default())
    }
}

impl<B> Body for UntilExpiry<B>
where
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = B::Data;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Self::Error>>> {
        let mut this = self.project();
        let Some(body) = this.body.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let polled = body.poll_frame(cx).map_err(Into::into);
        let Some(ends_at) = *this.ends_at else { return polled };
        match polled {
            // A body that always has something ready never waits for the timer.
            Poll::Ready(Some(Ok(frame)))
                if frame.is_data() && *this.begun && Instant::now() >= ends_at => {}
            Poll::Ready(None) => {
                this.body.set(None);
                this.timer.set(None);
                return Poll::Ready(None);
            }
            Poll::Ready(frame) => {
                *this.begun = true;
                return Poll::Ready(frame);
            }
            Poll::Pending => {
                if this.timer.is_none() {
                    this.timer.set(Some(sleep_until(ends_at)));
                }
                if let Some(timer) = this.timer.as_mut().as_pin_mut() {
                    ready!(timer.poll(cx));
                }
            }
        }
        this.body.set(None);
        this.timer.set(None);
        Poll::Ready(match mem::replace(this.end, End::Ended) {
            End::Fail => Some(Err(Reason::TokenExpired.into())),
            End::Last(last) => Some(Ok(Frame::data(last))),
            End::Grpc { guard, grant } => Some(Ok(Frame::trailers(trailers(&guard, &grant)))),
            #[cfg(feature = "mcp")]
            End::Recorded { guard, grant, last } => {
                let denial = guard.refuse_expired(&grant);
                Some(last.map(Frame::data).ok_or_else(|| denial.reason().into()))
            }
            End::Ended => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.body, &self.end) {
            (None, _) => SizeHint::with_exact(0),
            // If it is broken off, a length that was promised shows it.
            (Some(body), End::Fail | End::Ended) => body.size_hint(),
            #[cfg(feature = "mcp")]
            (Some(body), End::Recorded { last: None, .. }) => body.size_hint(),
            #[cfg(feature = "mcp")]
            (Some(_), End::Recorded { .. }) => SizeHint::default(),
            (Some(_), End::Last(_) | End::Grpc { .. }) => SizeHint::default(),
        }
    }
}

/// The trailers of a stream whose token has expired, which is recorded.
fn trailers(guard: &Guard, grant: &Grant) -> HeaderMap {
    guard.refuse_expired(grant).grpc_trailers()
}

impl<B: Body> fmt::Debug for UntilExpiry<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.ends_at.map(|at| at.saturating_duration_since(Instant::now()));
        f.debug_struct("UntilExpiry")
            .field("left", &left.unwrap_or(Duration::MAX))
            .finish_non_exhaustive()
    }
}

impl RulesLayer {
    /// Ends streams when the guard no longer accepts their token.
    ///
    /// A response that takes longer ends then, with the trailers of a refusal: status 16 (`UNAUTHENTICATED`), the
    /// challenge and the reason `token_expired`. Messages that the service makes later are not sent. The end is in the
    /// record, as a further step of the decision. Of the time, [`Grant::until_expiry`] says what it does, and what a
    /// client sees that does not read.
    ///
    /// Requests of clients are not cut off: a service that reads a stream and answers at its end reads it to the end.
    /// [`Grant::expired`] tells it when to stop.
    ///
    /// ```
    /// use unconfused::layer::{Rules, UntilExpiryLayer};
    /// use unconfused::{Guard, Scope};
    ///
    /// const READ: Scope = Scope::from_static("orders:read");
    ///
    /// fn layer(guard: &Guard) -> UntilExpiryLayer {
    ///     guard.rules(Rules::new().on("/orders.v1.Orders/Watch", READ)).until_expiry()
    /// }
    /// ```
    pub fn until_expiry(self) -> UntilExpiryLayer {
        UntilExpiryLayer { rules: self }
    }
}

/// A [`RulesLayer`] that also ends streams with their token, made by [`RulesLayer::until_expiry`].
#[derive(Debug, Clone)]
#[must_use = "a layer guards nothing until it stands before a service"]
pub struct UntilExpiryLayer {
    rules: RulesLayer,
}

impl<S> Layer<S> for UntilExpiryLayer {
    type Service = RulesService<UntilExpiryService<S>>;

    fn layer(&self, inner: S) -> Self::Service {
        self.rules.layer(UntilExpiryService { inner, rules: self.rules.clone() })
    }
}

/// A service whose streams end with their token, made by an [`UntilExpiryLayer`].
#[derive(Debug, Clone)]
pub struct UntilExpiryService<S> {
    inner: S,
    rules: RulesLayer,
}

impl<S, Q, R> Service<Request<Q>> for UntilExpiryService<S>
where
    S: Service<Request<Q>, Response = Response<R>>,
    R: Body,
{
    type Response = Response<UntilExpiry<R>>;
    type Error = S::Error;
    type Future = UntilExpiryFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        // An open method has none.
        let made_by = request.extensions().get::<Grant>().and_then(|grant| {
            let guard = self.rules.guard().maker_of(grant)?;
            Some((guard.clone(), grant.clone()))
        });
        UntilExpiryFuture { response: self.inner.call(request), made_by }
    }
}

pin_project! {
    /// The future of an [`UntilExpiryService`].
    #[must_use = "futures do nothing unless they are polled"]
    pub struct UntilExpiryFuture<F> {
        #[pin]
        response: F,
        // The grant of the request, and the guard that made it.
        made_by: Option<(Guard, Grant)>,
    }
}

impl<F, R, E> Future for UntilExpiryFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
{
    type Output = Result<Response<UntilExpiry<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.response.poll(cx))?;
        let made_by = this.made_by.take();
        Poll::Ready(Ok(response.map(|body| match made_by {
            Some((guard, grant)) if !body.is_end_stream() => {
                let accepted_for = grant.clone();
                UntilExpiry::new(body, &accepted_for, End::Grpc { guard, grant })
            }
            _ => UntilExpiry::unlimited(body),
        })))
    }
}

impl<F> fmt::Debug for UntilExpiryFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UntilExpiryFuture(..)")
    }
}
