//! The guard of one route: what the guard requires of requests to it, and how they are answered. The room `layer` makes
//! a tower layer of it.

use std::fmt;
use std::sync::Arc;

use http::request::Parts;

use super::Guard;
use super::path_rule::require_for_every_spelling;
use super::request::AccessRule;
use crate::require::Require;

/// A [tower layer](https://docs.rs/tower-layer) that lets only granted requests pass.
///
/// [`Guard::require`], [`Guard::require_by`] and [`Guard::optional`] make one. A request passes if
///
/// 1. it has exactly one credential, in the `Authorization` field, of the scheme `Bearer`, or `DPoP` if the guard
///    accepts proofs;
/// 2. the credential is an access token of a trusted issuer, for this resource, valid now, and the sender's own;
/// 3. the token meets the requirement of this layer.
///
/// Then the layer removes the credential from the request and inserts a [`Grant`](crate::Grant) into its extensions, as
/// [`Guard::authorize`] does. Any other request is answered with the status and headers of its [`Denial`](crate::Denial). That response has the
/// denial in its extensions, and an empty body unless [`body`](Self::body) sets another. The layer never reads the body
/// of a request.
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
pub struct GuardLayer<B = EmptyBody> {
    /// Shared, since routers clone a layer and its services for every request.
    pub(crate) settings: Arc<RouteSettings<B>>,
}

/// Makes an empty body. Layers answer with it by default.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a name for a body, with nothing in it")]
pub struct EmptyBody;

#[derive(Clone)]
pub(crate) struct RouteSettings<B> {
    pub(crate) guard: Guard,
    requirement: RouteRequirement,
    operation_name: Option<Arc<str>>,
    optional: bool,
    approvable: bool,
    /// Makes the body of a denied response.
    pub(crate) body: B,
}

#[derive(Clone)]
enum RouteRequirement {
    Fixed(Arc<Require>),
    Computed(Arc<dyn Fn(&Parts) -> Require + Send + Sync>),
}

/// # Protecting routes
impl Guard {
    /// Returns a layer that requires `requirement` of every request.
    ///
    /// # Panics
    ///
    /// Panics if
    ///
    /// - no token can meet the requirement;
    /// - the requirement spends tokens ([`Require::single_use`]) and the guard has no store for them
    ///   ([`Guard::replay`]);
    /// - tokens must be bound to their sender and the guard accepts neither proofs ([`Guard::dpop`]) nor certificates
    ///   ([`Guard::client_certificate`]);
    /// - [`Guard::require_nonce_if`] is set and the guard makes no nonces
    ///   ([`Dpop::nonces`](crate::proof::Dpop::nonces));
    /// - the requirement asks for an approval ([`Detail::approved`](crate::detail::Detail::approved)) and the guard cannot
    ///   ask for one: see [`Guard::approvals`];
    /// - the requirement names a type of authorization details that the guard does not know ([`Guard::detail_type`]), or
    ///   a detail that does not have the members and the form that its type defines.
    pub fn require(&self, requirement: impl Into<Require>) -> GuardLayer {
        let requirement = requirement.into();
        self.assert_can(&requirement);
        GuardLayer::new(self, RouteRequirement::Fixed(Arc::new(requirement)))
    }

    /// Returns a layer that computes its requirement from the head of each request.
    ///
    /// In axum, ask which route was matched. It does not depend on how the path is spelled:
    ///
    /// ```
    /// # #[cfg(all(feature = "axum", feature = "testing"))] {
    /// use axum::extract::MatchedPath;
    /// use axum::{Router, body::Body, http::Request, routing::get};
    /// use tower::ServiceExt;
    /// use unconfused::{Audience, Guard, Require, Scope};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const READ: Scope = Scope::from_static("orders:read");
    /// const ADMIN: Scope = Scope::from_static("orders:admin");
    /// # async fn show() {}
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let login = TestIssuer::new("https://login.example");
    /// # let issuer = login.issuer();
    ///
    /// let guard = Guard::new(ORDERS, issuer);
    /// let by_route = guard.require_by(|head| {
    ///     match head.extensions.get().map(MatchedPath::as_str) {
    ///         Some("/orders/{id}") => Require::scope(READ),
    ///         _ => Require::scope(ADMIN),
    ///     }
    /// });
    /// let app = Router::new()
    ///     .route("/orders/{id}", get(show))
    ///     .route("/reports", get(show))
    ///     .route_layer(by_route);
    ///
    /// let token = login.token(&ORDERS).scope("orders:read").bearer();
    /// let request = |path: &str| Request::get(path).header("authorization", &token).body(Body::empty());
    /// assert_eq!(app.clone().oneshot(request("/orders/7")?).await?.status(), 200);
    /// assert_eq!(app.oneshot(request("/reports")?).await?.status(), 403);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// A requirement that no token can meet is refused for good (403, without a challenge). Inside axum's `nest`, the
    /// `uri` of the head has only the rest of the path.
    ///
    /// # Rules about paths
    ///
    /// A path has many spellings, and a file server finds the same file under all of them. So the rule is called again
    /// for every other spelling of the path, and what it returns is required together ([`Require::and`]). Each time, the
    /// head has that path in its `uri` and in axum's `OriginalUri`. Everything else in it stays. In the spellings
    ///
    /// - percent-encoding is decoded once. What cannot stand in a path stays encoded, in capitals (`%20`, `%25`), and
    ///   what RFC 3986 does not want there is asked about both ways (`%C3%A9` and `é`);
    /// - dot segments are removed: `/a/../b` is `/b`;
    /// - a run of `/` is one, and `%2F`, `\` and `%5C` may be a `/` too;
    /// - a `/` at the end is left out, since a file server may find `/a.txt` under `/a.txt/`.
    ///
    /// A rule that refuses every path it does not know therefore has to know `/docs` as well as `/docs/`. For a path
    /// that has only one spelling, such as `/orders/7`, the rule is called once. If a path has several
    /// and more than 8 KiB, or if one makes the URI longer than 64 KiB, the request is refused (403).
    ///
    /// **Not** covered: servers that decode a path twice or leave out parameters (`;v=1`), and what only a file system
    /// knows, such as links and names that differ in case.
    pub fn require_by(
        &self,
        requirement: impl Fn(&Parts) -> Require + Send + Sync + 'static,
    ) -> GuardLayer {
        GuardLayer::new(self, RouteRequirement::Computed(Arc::new(requirement)))
    }

    /// Returns a layer that also lets requests without credentials pass.
    ///
    /// Such a request passes without a grant and without a record. The layer removes the fields from it that show
    /// possession (`DPoP` and [certificates](Self::certificate_fields)). A request that has a credential is judged in full, and denied if it does
    /// not meet the requirement.
    ///
    /// # Panics
    ///
    /// Panics if [`require`](Self::require) would.
    pub fn optional(&self, requirement: impl Into<Require>) -> GuardLayer {
        self.require(requirement).with(|settings| settings.optional = true)
    }

    /// Panics if the requirement can never be met with the settings of this guard.
    #[expect(clippy::panic, reason = "a mistake of set-up")]
    fn assert_can(&self, requirement: &Require) {
        assert!(!requirement.is_unmeetable(), "no token can meet the requirement: {requirement}");
        assert!(
            !requirement.is_single_use() || self.inner.spent_store.is_some(),
            "the requirement spends tokens and the guard has no store for them: call `Guard::replay`"
        );
        if requirement.asks_for_approval() {
            self.assert_can_approve();
        }
        if let Err(problem) = requirement.check_definitions(self.detail_types()) {
            panic!("no token can meet the requirement: {problem}");
        }
        let nonces = self.dpop_settings().and_then(|dpop| dpop.nonces.as_ref());
        assert!(
            self.inner.require_nonce_if.is_none() || nonces.is_some(),
            "the guard requires nonces and makes none: call `Dpop::nonces`"
        );
        let is_sender_constrained =
            self.is_sender_constrained() || requirement.is_sender_constrained();
        assert!(
            !is_sender_constrained || self.can_check_possession(),
            "tokens must be bound to their sender and the guard cannot check that: call `Guard::dpop` or \
             `Guard::client_certificate`"
        );
    }
}

impl GuardLayer {
    fn new(guard: &Guard, requirement: RouteRequirement) -> Self {
        let settings = RouteSettings {
            guard: guard.clone(),
            requirement,
            operation_name: None,
            optional: false,
            approvable: false,
            body: EmptyBody,
        };
        GuardLayer { settings: Arc::new(settings) }
    }
}

impl<B: Clone> GuardLayer<B> {
    /// Names the operation in the record. By default it is named by method and path.
    pub fn named(self, name: impl AsRef<str>) -> Self {
        self.with(|settings| settings.operation_name = Some(name.as_ref().into()))
    }

    /// Sets what makes the body of denied responses.
    ///
    /// That is [`ProblemJson`](crate::layer::ProblemJson), a closure `|denial: &Denial| ..`, or any other
    /// [`MakeBody`](crate::layer::MakeBody). A closure sets no `Content-Type`, a `MakeBody` can. Status and all other
    /// headers stay as they are.
    pub fn body<M>(self, body: M) -> GuardLayer<M> {
        let RouteSettings { guard, requirement, operation_name, optional, approvable, body: _ } =
            Arc::unwrap_or_clone(self.settings);
        let settings =
            RouteSettings { guard, requirement, operation_name, optional, approvable, body };
        GuardLayer { settings: Arc::new(settings) }
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
    /// reaches it may be that of another transaction. A `narrow` that asks for none refuses such a token.
    ///
    /// # Panics
    ///
    /// Panics if the guard cannot ask for approvals: see [`Guard::approvals`].
    pub fn approvable(self) -> Self {
        self.settings.guard.assert_can_approve();
        self.with(|settings| settings.approvable = true)
    }

    fn with(mut self, change: impl FnOnce(&mut RouteSettings<B>)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

impl<B> RouteSettings<B> {
    /// What the guard requires of this request.
    pub(crate) fn rule(&self, parts: &mut Parts) -> AccessRule {
        AccessRule {
            requirement: match &self.requirement {
                RouteRequirement::Fixed(requirement) => requirement.clone(),
                RouteRequirement::Computed(rule) => {
                    Arc::new(require_for_every_spelling(&**rule, parts))
                }
            },
            operation_name: self.operation_name.clone(),
            optional: self.optional,
            approvable: self.approvable,
        }
    }
}

impl<B> Clone for GuardLayer<B> {
    fn clone(&self) -> Self {
        GuardLayer { settings: self.settings.clone() }
    }
}

impl<B> fmt::Debug for GuardLayer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("GuardLayer");
        let RouteSettings { requirement, operation_name, optional, approvable, .. } =
            &*self.settings;
        if let RouteRequirement::Fixed(requirement) = requirement {
            debug.field("requirement", &requirement.to_string());
        }
        debug
            .field("name", operation_name)
            .field("optional", optional)
            .field("approvable", approvable)
            .finish_non_exhaustive()
    }
}
