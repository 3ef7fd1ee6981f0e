//! The layers that a guard puts before routes, and the requirements that it can enforce.

use http::request::Parts;

use super::route::{GuardLayer, RouteGuard, RouteRequirement};
use super::{Guard, Guards};
use crate::require::Require;

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
    pub(crate) fn assert_can(&self, requirement: &Require) {
        assert!(
            !requirement.can_never_be_met(),
            "no token can meet the requirement: {requirement}"
        );
        if let Err(problem) = self.can_check(requirement) {
            panic!("{problem}");
        }
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
    }

    /// The error says what the guard lacks to check the requirement, whatever details are asked for.
    pub(super) fn can_check(&self, requirement: &Require) -> Result<(), &'static str> {
        if requirement.is_single_use() && self.inner.spent_store.is_none() {
            return Err(
                "the requirement spends tokens and the guard has no store for them: call `Guard::replay`",
            );
        }
        let is_sender_constrained =
            self.is_sender_constrained() || requirement.is_sender_constrained();
        if is_sender_constrained && !self.can_check_possession() {
            return Err(
                "tokens must be bound to their sender and the guard cannot check that: call `Guard::dpop` or \
                 `Guard::client_certificate`",
            );
        }
        Ok(())
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
