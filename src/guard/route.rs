//! The guard of one route: what the guard requires of requests to it, and how they are answered. The room `layer` makes
//! a tower layer of it.

use std::any::type_name;
use std::fmt;
use std::sync::Arc;

use http::Extensions;
use http::request::Parts;

use super::body::GuardBody;
use super::path_rule::require_for_every_spelling;
use super::request::{AccessRule, OtherAuthenticator};
use super::{Guard, Guards};
use crate::denial::Denial;
use crate::require::Require;

/// A [tower layer](https://docs.rs/tower-layer) that lets only granted requests pass.
///
/// [`Guard::require`], [`Guard::require_by`] and [`Guard::optional`] make one. A request passes if
///
/// 1. it has exactly one credential, in the `Authorization` field, of the scheme `Bearer`, or `DPoP` if the guard
///    accepts proofs; or in the field of [`Guard::credential_field`];
/// 2. the credential is an access token of a trusted issuer, for this resource, valid now, and the sender's own;
/// 3. the token meets the requirement of this layer.
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
    pub(crate) settings: Arc<RouteSettings<B>>,
}

#[derive(Clone)]
pub(crate) struct RouteSettings<B> {
    guard: RouteGuard,
    requirement: RouteRequirement,
    operation_name: Option<Arc<str>>,
    optional: bool,
    other_authenticators: Vec<OtherAuthenticator>,
    approvable: bool,
    /// Makes the body of a denied response.
    pub(crate) body: B,
}

/// Which guard judges a request.
#[derive(Clone)]
enum RouteGuard {
    One(Guard),
    /// One of these, chosen for each request.
    Chosen(Guards),
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
        GuardLayer::new(RouteGuard::One(self.clone()), RouteRequirement::fixed(requirement))
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
        GuardLayer::new(RouteGuard::One(self.clone()), RouteRequirement::computed(requirement))
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
        self.require(requirement).make_optional()
    }

    /// Panics if the requirement can never be met with the settings of this guard.
    #[expect(clippy::panic, reason = "a mistake of set-up")]
    fn assert_can(&self, requirement: &Require) {
        assert!(
            !requirement.can_never_be_met(),
            "no token can meet the requirement: {requirement}"
        );
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

/// # Protecting routes
impl Guards {
    /// Returns a layer that requires `requirement` of every request, whichever guard is chosen.
    ///
    /// # Panics
    ///
    /// Panics if [`Guard::require`] would for one of the guards.
    pub fn require(&self, requirement: impl Into<Require>) -> GuardLayer {
        let requirement = requirement.into();
        for (_, guard) in self.iter() {
            guard.assert_can(&requirement);
        }
        GuardLayer::new(RouteGuard::Chosen(self.clone()), RouteRequirement::fixed(requirement))
    }

    /// Returns a layer that computes its requirement from the head of each request; see [`Guard::require_by`].
    ///
    /// It is not computed if no guard is chosen.
    pub fn require_by(
        &self,
        requirement: impl Fn(&Parts) -> Require + Send + Sync + 'static,
    ) -> GuardLayer {
        GuardLayer::new(RouteGuard::Chosen(self.clone()), RouteRequirement::computed(requirement))
    }

    /// Returns a layer that also lets requests without credentials pass; see [`Guard::optional`].
    ///
    /// A request for which no guard is chosen is refused all the same.
    ///
    /// # Panics
    ///
    /// Panics if [`Guard::require`] would for one of the guards.
    pub fn optional(&self, requirement: impl Into<Require>) -> GuardLayer {
        self.require(requirement).make_optional()
    }
}

impl GuardLayer {
    fn new(guard: RouteGuard, requirement: RouteRequirement) -> Self {
        let settings = RouteSettings {
            guard,
            requirement,
            operation_name: None,
            optional: false,
            other_authenticators: Vec::new(),
            approvable: false,
            body: GuardBody,
        };
        GuardLayer { settings: Arc::new(settings) }
    }

    fn make_optional(self) -> Self {
        self.with(|settings| settings.optional = true)
    }
}

impl RouteRequirement {
    fn fixed(requirement: Require) -> Self {
        RouteRequirement::Fixed(Arc::new(requirement))
    }

    fn computed(rule: impl Fn(&Parts) -> Require + Send + Sync + 'static) -> Self {
        RouteRequirement::Computed(Arc::new(rule))
    }
}

impl<B: Clone> GuardLayer<B> {
    /// Names the operation in the record. By default it is named by method and path.
    pub fn named(self, name: impl AsRef<str>) -> Self {
        self.with(|settings| settings.operation_name = Some(name.as_ref().into()))
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
        let other = OtherAuthenticator {
            name: type_name::<T>(),
            is_there: |extensions: &Extensions| extensions.get::<T>().is_some(),
        };
        self.with(|settings| settings.other_authenticators.push(other))
    }

    /// Sets what makes the body of the responses of this layer, instead of what the guard is set up with
    /// ([`Guard::body`]).
    ///
    /// That is [`ProblemJson`](crate::layer::ProblemJson), a closure that returns text or a media type and text
    /// ([`body_fn`](crate::layer::body_fn)), or any other [`MakeBody`](crate::layer::MakeBody). Status and all headers
    /// but `Content-Type` stay as they are. A denial that a handler returns has the body of the guard.
    pub fn body<M>(self, body: M) -> GuardLayer<M> {
        let RouteSettings {
            guard,
            requirement,
            operation_name,
            optional,
            other_authenticators,
            approvable,
            body: _,
        } = Arc::unwrap_or_clone(self.settings);
        let settings = RouteSettings {
            guard,
            requirement,
            operation_name,
            optional,
            other_authenticators,
            approvable,
            body,
        };
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
    /// Panics if the guard, or one of several, cannot ask for approvals: see [`Guard::approvals`].
    pub fn approvable(self) -> Self {
        match &self.settings.guard {
            RouteGuard::One(guard) => guard.assert_can_approve(),
            RouteGuard::Chosen(guards) => {
                guards.iter().for_each(|(_, guard)| guard.assert_can_approve())
            }
        }
        self.with(|settings| settings.approvable = true)
    }

    fn with(mut self, change: impl FnOnce(&mut RouteSettings<B>)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

impl<B> RouteSettings<B> {
    /// The guard that judges this request, or the denial if there is none for it.
    pub(crate) fn guard(&self, parts: &mut Parts) -> Result<&Guard, Denial> {
        let guards = match &self.guard {
            RouteGuard::One(guard) => return Ok(guard),
            RouteGuard::Chosen(guards) => guards,
        };
        guards.chosen(parts).ok_or_else(|| match &self.requirement {
            RouteRequirement::Fixed(requirement) => {
                guards.refuse(parts, requirement, self.operation_name.clone())
            }
            // The rule is not asked: nothing is known of the resource.
            RouteRequirement::Computed(_) => {
                guards.refuse(parts, &Require::valid_token(), self.operation_name.clone())
            }
        })
    }

    /// What the guard requires of this request.
    pub(crate) fn rule(&self, parts: &mut Parts) -> AccessRule<'_> {
        AccessRule {
            requirement: match &self.requirement {
                RouteRequirement::Fixed(requirement) => requirement.clone(),
                RouteRequirement::Computed(rule) => {
                    Arc::new(require_for_every_spelling(&**rule, parts))
                }
            },
            operation_name: self.operation_name.clone(),
            optional: self.optional,
            other_authenticators: &self.other_authenticators,
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
