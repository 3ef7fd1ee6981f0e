//! The guard of one route: what the guard requires of requests to it, and how they are answered. The room `layer` makes
//! a tower layer of it.

use std::fmt;
use std::sync::Arc;

use http::request::Parts;

#[cfg(any(feature = "mcp", feature = "remote"))]
use super::Grant;
use super::body::GuardBody;
use super::listing::{Listed, Listing};
use super::path_rule::require_for_every_spelling;
use super::request::{AccessRule, OtherAuthenticator};
use super::{Guard, Guards};
use crate::audit::{Asked, ListedOperation};
use crate::denial::Denial;
use crate::per_thread::{Own, PerThread};
use crate::require::Require;

/// A [tower layer](https://docs.rs/tower-layer) that lets only granted requests pass.
///
/// [`Guard::require`], [`Guard::require_by`] and [`Guard::optional`] make one. A request passes if
///
/// 1. it has exactly one credential, in the `Authorization` field, of the scheme `Bearer`, or `DPoP` if the guard
///    accepts proofs; or in the field of [`Guard::credential_field`];
/// 2. the credential is an access token of a trusted issuer, for this resource, valid now, and the sender's own;
/// 3. the token meets the requirement of this layer;
/// 4. the [rules](GuardLayer::rule) of this layer and the [policies](Guard::policy) of the guard permit it, if there are
///    any.
///
/// Then the layer removes the credential from the request and inserts a [`Grant`](crate::Grant) into its extensions, as
/// [`Guard::authorize`] does. Any other request is answered with the status and headers of its [`Denial`]. That response
/// has the denial in its extensions, and an empty body unless [`Guard::body`] or [`body`](Self::body) sets another. The
/// layer never reads the body of a request.
///
/// Behind another layer of the same guard, the token is not validated again.
///
/// In axum, add the layer right after the method of a route, with `route_layer`. The page of the
/// [module](crate::layer) says why.
///
/// ```
/// # #[cfg(all(feature = "axum", feature = "testing"))] {
/// use axum::{Router, body::Body, routing::get};
/// use http::header::WWW_AUTHENTICATE;
/// use http::{Request, StatusCode};
/// use tower::ServiceExt;
/// use unconfused::{Audience, Grant, Guard, Scope};
/// # use unconfused::testing::TestIssuer;
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// const READ: Scope = Scope::from_static("orders:read");
///
/// async fn list(grant: Grant) -> String {
///     format!("orders of {}", grant.subject().name())
/// }
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let login = TestIssuer::new("https://login.example");
/// # let issuer = login.issuer();
///
/// let guard = Guard::new(ORDERS, issuer);
/// let app = Router::new().route("/orders", get(list).route_layer(guard.require(READ)));
///
/// let token = login.token(&ORDERS).scope("orders:read").sign();
/// let request = Request::get("/orders").header("authorization", format!("Bearer {token}"));
/// let granted = app.clone().oneshot(request.body(Body::empty())?).await?;
/// assert_eq!(granted.status(), StatusCode::OK);
///
/// let denied = app.oneshot(Request::get("/orders").body(Body::empty())?).await?;
/// assert_eq!(denied.status(), StatusCode::UNAUTHORIZED);
/// assert!(denied.headers()[WWW_AUTHENTICATE].to_str()?.contains(r#"scope="orders:read""#));
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a layer guards nothing until it stands before a route"]
pub struct GuardLayer<B = GuardBody> {
    /// Shared, since routers clone a layer and its services for every request.
    pub(crate) settings: Arc<PerThread<RouteSettings<B>>>,
}

pub(crate) struct RouteSettings<B> {
    route: Route,
    /// Makes the body of a denied response.
    pub(crate) body: Arc<B>,
}

impl<B> Clone for RouteSettings<B> {
    fn clone(&self) -> Self {
        RouteSettings { route: self.route.clone(), body: self.body.clone() }
    }
}

/// Who judges the requests of a route, and what is asked of them.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) guard: RouteGuard,
    requirement: RouteRequirement,
    operation_name: Option<Own<str>>,
    optional: bool,
    other_authenticators: Vec<OtherAuthenticator>,
    approvable: bool,
    /// Keeps the route in the list of its guard. `None` while it is made.
    _listing: Option<Listing>,
}

/// Which guard judges a request.
#[derive(Clone)]
pub(crate) enum RouteGuard {
    One(Guard),
    /// One of these, chosen for each request.
    Chosen(Guards),
}

impl RouteGuard {
    /// Puts this into the list of every guard that may be chosen.
    pub(crate) fn list(&self, listed: Listed) -> Listing {
        match self {
            RouteGuard::One(guard) => Listing::new(listed, [guard.listings()]),
            RouteGuard::Chosen(guards) => {
                Listing::new(listed, guards.iter().map(|(_, guard)| guard.listings()))
            }
        }
    }

    /// The guard that judges this request, or the guards of which none is chosen for it.
    pub(crate) fn of_request(&self, parts: &mut Parts) -> Result<&Guard, &Guards> {
        match self {
            RouteGuard::One(guard) => Ok(guard),
            RouteGuard::Chosen(guards) => guards.chosen(parts).ok_or(guards),
        }
    }

    /// The guard that made this grant.
    #[cfg(any(feature = "mcp", feature = "remote"))]
    pub(crate) fn maker_of(&self, grant: &Grant) -> Option<&Guard> {
        match self {
            RouteGuard::One(guard) => Some(guard).filter(|guard| grant.made_by(guard)),
            RouteGuard::Chosen(guards) => guards.maker_of(grant),
        }
    }

    /// Shows every guard that may be chosen.
    pub(crate) fn for_each(&self, mut show: impl FnMut(&Guard)) {
        match self {
            RouteGuard::One(guard) => show(guard),
            RouteGuard::Chosen(guards) => guards.iter().for_each(|(_, guard)| show(guard)),
        }
    }
}

#[derive(Clone)]
pub(super) enum RouteRequirement {
    Fixed(Own<Require>),
    Computed(Arc<dyn Fn(&Parts) -> Require + Send + Sync>),
}

impl GuardLayer {
    pub(super) fn new(guard: RouteGuard, requirement: RouteRequirement) -> Self {
        let mut route = Route {
            guard,
            requirement,
            operation_name: None,
            optional: false,
            other_authenticators: Vec::new(),
            approvable: false,
            _listing: None,
        };
        route.list();
        GuardLayer::of(RouteSettings { route, body: Arc::new(GuardBody) })
    }

    pub(super) fn make_optional(self) -> Self {
        self.with(|route| route.optional = true)
    }
}

impl RouteRequirement {
    pub(super) fn fixed(requirement: Require) -> Self {
        RouteRequirement::Fixed(requirement.into())
    }

    pub(super) fn computed(rule: impl Fn(&Parts) -> Require + Send + Sync + 'static) -> Self {
        RouteRequirement::Computed(Arc::new(rule))
    }
}

impl<B> GuardLayer<B> {
    fn of(settings: RouteSettings<B>) -> Self {
        GuardLayer { settings: Arc::new(PerThread::new(settings)) }
    }
}

impl<B: Clone> GuardLayer<B> {
    /// Names the operation in the record and in the [list of the guard](Guard::operations). By default it is named by
    /// method and path in the record, and is not in the list.
    ///
    /// Prefer the method and the path of the route, such as `POST /orders/{id}/refund`, from the root of the router. Such
    /// a name is read as both. A part of the path in braces stands for any segment, and `{*rest}` at the end for all
    /// that follow.
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use unconfused::{Audience, Guard, Scope};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const REFUND: Scope = Scope::from_static("orders:refund");
    /// # let issuer = TestIssuer::new("https://login.example").issuer();
    ///
    /// let guard = Guard::new(ORDERS, issuer);
    /// let refunds = guard.require(REFUND).named("POST /orders/{id}/refund");
    /// assert_eq!(guard.operations().listed()[0].path(), Some("/orders/{id}/refund"));
    /// # drop(refunds);
    /// # }
    /// ```
    pub fn named(self, name: impl AsRef<str>) -> Self {
        self.with(|route| route.operation_name = Some(name.as_ref().into()))
    }

    /// Also lets a request without credentials pass if another authenticator has left a `T` in its extensions.
    ///
    /// Use it for an endpoint that accepts API keys or OAuth. Only code of this process can put a `T` into the extensions,
    /// never the client. So `T` should be a type of your own that nothing but the other authenticator inserts, and that
    /// one stands outside this layer. Call it again to name more types.
    ///
    /// Such a request passes without a grant, whatever the layer requires, and the record says so
    /// ([`AuditEvent::other_authenticator`](crate::AuditEvent::other_authenticator)). The layer removes the fields from it
    /// that show possession. A request that has a credential for the guard is judged in full, also if there is a `T`. So
    /// the other authenticator removes its own credential: a request that still has one in `Authorization` is refused
    /// (`unsupported_auth_scheme`, 401).
    ///
    /// In axum, the handler asks for an `Option<Grant>` and for the `T`.
    ///
    /// ```
    /// # #[cfg(all(feature = "axum", feature = "testing"))] {
    /// use axum::{Extension, Router, body::Body, extract::Request, middleware, routing::get};
    /// use tower::ServiceExt;
    /// use unconfused::{Audience, Grant, Guard, Scope};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const READ: Scope = Scope::from_static("orders:read");
    ///
    /// #[derive(Clone)]
    /// struct ApiKeyOwner(String);
    ///
    /// async fn check_api_key(mut request: Request, next: middleware::Next) -> axum::response::Response {
    ///     // It removes its own credential, right or wrong.
    ///     if request.headers_mut().remove("x-api-key").is_some_and(|key| key == "key-of-bob") {
    ///         request.extensions_mut().insert(ApiKeyOwner("bob".to_owned()));
    ///     }
    ///     next.run(request).await
    /// }
    ///
    /// async fn list(grant: Option<Grant>, owner: Option<Extension<ApiKeyOwner>>) -> String {
    ///     match (grant, owner) {
    ///         (Some(grant), _) => format!("orders of {}", grant.subject().name()),
    ///         (None, Some(Extension(ApiKeyOwner(name)))) => format!("orders of {name}"),
    ///         (None, None) => unreachable!("the layer lets no other request pass"),
    ///     }
    /// }
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let login = TestIssuer::new("https://login.example");
    /// # let issuer = login.issuer();
    ///
    /// let guard = Guard::new(ORDERS, issuer);
    /// let orders = get(list).route_layer(guard.require(READ).or_authenticated::<ApiKeyOwner>());
    /// let app = Router::new().route("/orders", orders).layer(middleware::from_fn(check_api_key));
    ///
    /// let with_key = |key| Request::get("/orders").header("x-api-key", key).body(Body::empty());
    /// assert_eq!(app.clone().oneshot(with_key("key-of-bob")?).await?.status(), 200);
    /// assert_eq!(app.oneshot(with_key("wrong")?).await?.status(), 401);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn or_authenticated<T: Send + Sync + 'static>(self) -> Self {
        self.with(|route| route.other_authenticators.push(OtherAuthenticator::of::<T>()))
    }

    /// Sets what makes the body of the responses of this layer, instead of what the guard is set up with
    /// ([`Guard::body`]).
    ///
    /// That is [`ProblemJson`](crate::layer::ProblemJson), a closure that returns text or a media type and text
    /// ([`body_fn`](crate::layer::body_fn)), or any other [`MakeBody`](crate::layer::MakeBody). Status and all headers
    /// but `Content-Type` stay as they are. A denial that a handler returns has the body of the guard.
    pub fn body<M>(self, body: M) -> GuardLayer<M> {
        let RouteSettings { route, .. } = Arc::unwrap_or_clone(self.settings).into_inner();
        GuardLayer::of(RouteSettings { route, body: Arc::new(body) })
    }

    /// Also lets tokens of approved transactions pass, for a handler that calls [`Guard::narrow`] with a detail that must
    /// be [approved](crate::detail::Detail::approved).
    ///
    /// A layer cannot see what its handler will ask for. Without this, it refuses the token of a transaction
    /// (`transaction_token_misused`), since that is authority for one operation and for nothing else, unless its own
    /// requirement asks for an approval. Every layer before such a handler needs it, also a backstop on the whole
    /// router.
    ///
    /// A handler behind such a layer **must** ask for the approved detail before it does anything: the token that
    /// reaches it may be that of another transaction. A `narrow` that asks for none refuses such a token. So let the
    /// layer stand before the method that asks, and not before others of the same route.
    ///
    /// # Panics
    ///
    /// Panics if the guard, or one of several, cannot ask for approvals: see [`Guard::approvals`].
    pub fn approvable(self) -> Self {
        self.settings.route.guard.for_each(Guard::assert_can_approve);
        self.with(|route| route.approvable = true)
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Route)) -> Self {
        let route = &mut Arc::make_mut(&mut self.settings).make_mut().route;
        change(route);
        route.list();
        self
    }
}

impl Route {
    /// Puts this route into the list of its guards, as it is now. What stood for it before leaves the list, unless
    /// another layer still has it.
    fn list(&mut self) {
        let listed = match &self.operation_name {
            None => Listed::UnnamedLayer,
            Some(name) => {
                let asked = match &self.requirement {
                    RouteRequirement::Fixed(requirement) => Asked::Fixed(requirement.share()),
                    RouteRequirement::Computed(_) => Asked::Computed,
                };
                let listed = ListedOperation::new(name.share(), asked);
                let listed = listed.optional(self.optional).approvable(self.approvable);
                Listed::Operations(vec![listed])
            }
        };
        self._listing = Some(self.guard.list(listed));
    }
}

impl<B> RouteSettings<B> {
    /// The guard that judges this request, or the denial if there is none for it.
    pub(crate) fn guard(&self, parts: &mut Parts) -> Result<&Guard, Denial> {
        let Route { guard, requirement, operation_name, .. } = &self.route;
        guard.of_request(parts).map_err(|guards| match requirement {
            RouteRequirement::Fixed(requirement) => {
                guards.refuse(parts, requirement, operation_name.as_ref().map(Own::share))
            }
            // The rule is not asked: nothing is known of the resource.
            RouteRequirement::Computed(_) => guards.refuse(
                parts,
                &Require::valid_token(),
                operation_name.as_ref().map(Own::share),
            ),
        })
    }

    /// What the guard requires of this request.
    pub(crate) fn rule(&self, parts: &mut Parts) -> AccessRule<'_> {
        AccessRule {
            requirement: match &self.route.requirement {
                RouteRequirement::Fixed(requirement) => requirement.share(),
                RouteRequirement::Computed(rule) => {
                    Arc::new(require_for_every_spelling(&**rule, parts))
                }
            },
            operation_name: self.route.operation_name.as_ref().map(Own::share),
            optional: self.route.optional,
            other_authenticators: &self.route.other_authenticators,
            approvable: self.route.approvable,
        }
    }

    /// Writes it under the name of what it belongs to.
    pub(crate) fn debug(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct(name);
        let Route { requirement, operation_name, optional, approvable, .. } = &self.route;
        if let RouteRequirement::Fixed(requirement) = requirement {
            debug.field("requirement", &requirement.to_string());
        }
        debug
            .field("name", &operation_name.as_deref())
            .field("optional", optional)
            .field("approvable", approvable)
            .finish_non_exhaustive()
    }
}

impl<B> Clone for GuardLayer<B> {
    fn clone(&self) -> Self {
        GuardLayer { settings: self.settings.clone() }
    }
}

impl<B> fmt::Debug for GuardLayer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.debug("GuardLayer", f)
    }
}
