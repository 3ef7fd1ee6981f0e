//! The guard as a [tower](https://docs.rs/tower) layer.
//!
//! You rarely name a type of this module: [`Guard::require`], [`Guard::require_by`] and [`Guard::optional`] return a
//! [`GuardLayer`] that you pass to a router. You need the module
//!
//! - to guard a gRPC service: [`Rules`] and [`MethodRule`], for [`Guard::rules`];
//! - to end streams with their token: `UntilExpiry` (feature `remote` or `mcp`);
//! - to give denied responses a body: [`ProblemJson`], a closure ([`body_fn`]), or a [`MakeBody`] of your own;
//! - to choose one of several guards for each request: [`Guards`];
//! - to tell the grants of several guards apart: [`OwnGrant`] (feature `axum`);
//! - to write a type down, for example in a function that returns a layer ([`GuardLayer`]), or in a service of your own
//!   ([`GuardService`], [`ResponseFuture`]).
//!
//! A layer answers in HTTP, that of [`Guard::rules`] in gRPC, and that of `Guard::mcp` (module `mcp`) in JSON-RPC. It
//! decides nothing itself.
//!
//! ```
//! # #[cfg(all(feature = "axum", feature = "testing"))] {
//! use axum::{Router, body::Body, routing::get};
//! use http::{Request, StatusCode, header::CONTENT_TYPE};
//! use tower::ServiceExt;
//! use unconfused::layer::{GuardLayer, ProblemJson};
//! use unconfused::{Audience, Guard, Scope};
//! # use unconfused::testing::TestIssuer;
//!
//! const ORDERS: Audience = Audience::from_static("https://orders.example");
//! const READ: Scope = Scope::from_static("orders:read");
//! const WRITE: Scope = Scope::from_static("orders:write");
//!
//! /// Requires a scope, and describes a denial in the body.
//! fn scope(guard: &Guard, scope: Scope) -> GuardLayer<ProblemJson> {
//!     guard.require(scope).body(ProblemJson)
//! }
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! # let issuer = TestIssuer::new("https://login.example").issuer();
//! # async fn list() {}
//! # async fn create() {}
//!
//! let guard = Guard::new(ORDERS, issuer);
//! let app = Router::new()
//!     .route("/orders", get(list).route_layer(scope(&guard, READ)))
//!     .route("/orders", axum::routing::post(create).route_layer(scope(&guard, WRITE)));
//!
//! let denied = app.oneshot(Request::get("/orders").body(Body::empty())?).await?;
//! assert_eq!(denied.status(), StatusCode::UNAUTHORIZED);
//! assert_eq!(denied.headers()[CONTENT_TYPE], "application/problem+json");
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where a guard stands in axum
//!
//! - **One method in each `route`.** As above, add each method with a `route` and a layer of its own. A method that is
//!   chained *after* a layer is not behind it: in `get(list).route_layer(..).post(create)`, anyone can `POST`.
//! - **`route_layer`, not `layer`.** With `layer`, a request of another method is asked for a token (401) before it is
//!   told 405, and so is a preflight. The exception is `any(..)`, which has no other methods: use `layer` there.
//! - **CORS stands outside the guard.** It answers preflights, allows the field `DPoP`, and exposes `WWW-Authenticate`
//!   and `DPoP-Nonce`.
//! - **A backstop comes last.** `.route_layer(guard.require(Require::valid_token()))` on the whole router comes after
//!   the last protected route, and before metadata and health routes are merged in. Layers inside it add to it: the
//!   token is validated once. But it denies without knowing what the inner layer requires. Its 401 names no scope, it
//!   asks for a token before axum says 405, and it refuses actors of other namespaces unless it lists them itself.
//!   Prefer a layer for each route.
//! - **What rewrites a method or a path stands outside the first guard.** A grant counts only for a request with its
//!   method and path; the query does not matter. A request that was rewritten behind a guard, or copied to another
//!   path, is another request. The next guard judges it from the start: as another decision, and a token that counts
//!   once, or a DPoP proof, was already used. A handler that asks for a `Grant` there answers 500. The prefixes that
//!   `nest` strips are not a rewrite (feature `axum`; without it, they are).
//! - **A cache stands outside the guard, or has the subject in its key.** Behind the guard, a request has no
//!   `Authorization`, so a cache that knows only the URI gives one user's answer to another. Its key needs
//!   [`issuer()`](crate::AccessToken::issuer) and [`subject()`](crate::AccessToken::subject), and the actor, the client
//!   and the scopes if the answer depends on them. A granted request has `Cache-Control: no-store`, which caches that
//!   follow RFC 9111 obey. Many can be told to ignore it.
//! - **A handler that asks for a `Grant` behind no guard answers 500**, never a pass. `Option<Grant>` is `None` only
//!   behind `guard.optional(..)` and [`or_authenticated`](GuardLayer::or_authenticated). With several guards, ask for
//!   an [`OwnGrant`]: it answers 500 behind another guard than the one in the router's state.
//!
//! # What stays open without a sound
//!
//! axum cannot tell us about these, and no test fails that does not send a request to them.
//! [The recipe for CI](crate::guide::three_signals#in-ci) has one that does.
//!
//! - **A method that is chained after a layer**, as above.
//! - **A `fallback`** of a router is not behind any `route_layer`. If it does more than answer 404, give it a guard of
//!   its own: `.fallback_service(any(handler).layer(guard.require(READ)))`.
//! - **The `fallback` of a method router**, as in `get(list).fallback(other).route_layer(..)`: all other methods are
//!   open. Only `layer` covers it, and only if it comes after it.
//! - **What is added after the backstop**: a `route`, a `nest`, and also a `nest_service` or `route_service`, whose
//!   handlers ask for no `Grant`.
//! - **`Option<Extension<Grant>>`**, and the extensions themselves, have `None` if no guard stands before the handler,
//!   and may have the grant of another request. Ask for `Option<Grant>`.
//!
//! So let each handler ask for a `Grant`, even if it does not use it. Then all of these but the last answer 500
//! instead.
//!
//! [`Guard::require`]: crate::Guard::require
//! [`Guard::require_by`]: crate::Guard::require_by
//! [`Guard::optional`]: crate::Guard::optional
//! [`Guard::rules`]: crate::Guard::rules

mod future;
#[cfg(feature = "mcp")]
pub(crate) mod mcp;
mod method_rule;
mod rules;
mod rules_service;
mod service;
#[cfg(any(feature = "mcp", feature = "remote"))]
mod until_expiry;

#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub use crate::axum::OwnGrant;
pub use crate::guard::{BodyText, GuardBody, GuardLayer, Guards, MakeBody, ProblemJson, body_fn};
pub use future::ResponseFuture;
pub use method_rule::MethodRule;
pub use rules::{Rules, RulesMismatch};
pub use rules_service::{RulesLayer, RulesService};
pub use service::GuardService;
#[cfg(any(feature = "mcp", feature = "remote"))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "mcp", feature = "remote"))))]
pub use until_expiry::{UntilExpiry, UntilExpiryFuture, UntilExpiryLayer, UntilExpiryService};
