//! A rule of one route, with a name for the record.

use std::borrow::Cow;
use std::sync::Arc;

use http::request::Parts;

#[cfg(doc)]
use super::Guard;
use super::route::{GuardLayer, RouteGuard};
use crate::evidence::Evidence;
use crate::policy::{Question, Verdict};

impl<B: Clone> GuardLayer<B> {
    /// Adds a rule of your own, which refuses a request if it returns false.
    ///
    /// It is asked after the requirement is met, and before the [policies](Guard::policy) of the guard and before a token
    /// is spent. A request that it refuses is answered with 403 (`policy_denied`), and the name of the rule is the
    /// [`detail`](crate::AuditEvent::detail) of the record. The client does not see it. A rule that panics is answered
    /// with 503 (`policy_unavailable`).
    ///
    /// The head is a copy without credentials; see [`Question::head`]. What only the handler knows is for
    /// [`Guard::refuse_for`], or for a policy.
    ///
    /// ```
    /// # #[cfg(all(feature = "axum", feature = "testing"))] {
    /// use axum::{Router, body::Body, http::Request, routing::get};
    /// use tower::ServiceExt;
    /// use unconfused::{Audience, Guard, Scope};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const READ: Scope = Scope::from_static("orders:read");
    /// # async fn list() {}
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let login = TestIssuer::new("https://login.example");
    /// # let issuer = login.issuer();
    ///
    /// let guard = Guard::new(ORDERS, issuer);
    /// let own_region = guard.require(READ).rule("own region", |evidence, head| {
    ///     let asked = head.headers.get("x-region").and_then(|region| region.to_str().ok());
    ///     let region: Option<String> = evidence.claim("region").unwrap_or_default();
    ///     region.is_some() && region.as_deref() == asked
    /// });
    /// let app = Router::new().route("/orders", get(list).route_layer(own_region));
    ///
    /// let token = login.token(&ORDERS).scope("orders:read").claim("region", "eu").bearer();
    /// let request = |region: &str| {
    ///     Request::get("/orders").header("authorization", &token).header("x-region", region).body(Body::empty())
    /// };
    /// assert_eq!(app.clone().oneshot(request("eu")?).await?.status(), 200);
    /// assert_eq!(app.oneshot(request("us")?).await?.status(), 403);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rule(
        self,
        name: impl Into<Cow<'static, str>>,
        rule: impl Fn(&Evidence, &Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        let name = name.into();
        let rule = Arc::new(move |question: &Question<'_>| {
            let permits = |head: &Parts| rule(question.evidence(), head);
            match question.head().is_some_and(permits) {
                true => Verdict::Permit,
                false => Verdict::Forbid(name.clone()),
            }
        });
        self.with(|route| {
            route.guard = match &route.guard {
                RouteGuard::One(guard) => RouteGuard::One(guard.with_rule(rule)),
                RouteGuard::Chosen(guards) => RouteGuard::Chosen(guards.with_rule(&rule)),
            };
        })
    }
}
