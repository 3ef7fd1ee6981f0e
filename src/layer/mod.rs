//! The guard as a tower layer. Translates, decides nothing.

mod body;
mod future;
mod service;

use std::fmt;
use std::sync::Arc;

use http::request::Parts;
use tower_layer::Layer;

use crate::guard::{Ask, Guard};
use crate::require::Require;

pub use body::{EmptyBody, MakeBody, ProblemJson};
pub use future::ResponseFuture;
pub use service::GuardService;

/// A layer that lets a request pass where the guard grants it, and answers it where not.
///
/// A request passes when
///
/// 1. it has one credential, in the `Authorization` field, of the scheme `Bearer`, or `DPoP` where that is taken;
/// 2. that is an access token of a trusted issuer, for this resource, valid now, and the sender's;
/// 3. the token meets the requirement of this layer.
///
/// Then the credential is off the request, and a [`Grant`](crate::Grant) is in its extensions. Else the
/// answer has the denial's status and headers, an empty body unless [`body`](Self::body) says
/// otherwise, and the [`Denial`](crate::Denial) in its extensions. Only the head of a request is
/// looked at.
///
/// # Where it stands
///
/// In axum, right after the method of a route, as `route_layer` and not as `layer`: else a request of
/// another method is asked for a token before it is told 405, and so is a preflight. A method
/// chained **after** the layer is not behind it. (`any(..)` has no methods to tell apart: there it is
/// `layer`.) CORS stands outside. Inside another layer of the same guard the token is not validated again.
///
/// ```
/// # #[cfg(all(feature = "axum", feature = "testing"))] {
/// use axum::{Router, routing::get};
/// use unconfused::{Audience, Grant, Guard, Scope};
/// # use unconfused::testing::TestIssuer;
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// const READ: Scope = Scope::from_static("orders:read");
/// # let issuer = TestIssuer::new("https://login.example").issuer();
///
/// let guard = Guard::new(ORDERS, issuer);
/// let app: Router = Router::new().route("/orders", get(list).route_layer(guard.require(READ)));
///
/// async fn list(grant: Grant) -> String {
///     format!("orders of {}", grant.subject())
/// }
/// # }
/// ```
#[must_use]
pub struct GuardLayer<B = EmptyBody> {
    /// Routers clone a layer and its services for every request.
    settings: Arc<Settings<B>>,
}

#[derive(Clone)]
struct Settings<B> {
    guard: Guard,
    requirement: Requirement,
    name: Option<Arc<str>>,
    optional: bool,
    body: B,
}

#[derive(Clone)]
enum Requirement {
    Fixed(Arc<Require>),
    ByHead(Arc<dyn Fn(&Parts) -> Require + Send + Sync>),
}

impl Guard {
    /// A layer that requires this of every request.
    ///
    /// # Panics
    ///
    /// Where no token can meet the requirement; where it spends tokens and the guard has no store
    /// ([`Guard::replay`]); where tokens must be bound to their sender and the guard takes neither proofs
    /// ([`Guard::dpop`]) nor certificates ([`Guard::client_certificate`]); where [`Guard::require_nonce_if`] is set and there are no nonces.
    pub fn require(&self, requirement: impl Into<Require>) -> GuardLayer {
        let requirement = requirement.into();
        assert!(!requirement.is_unmeetable(), "no token can meet the requirement: {requirement}");
        assert!(
            !requirement.is_single_use() || self.can_spend(),
            "the requirement takes a token once, and the guard has no store for that: `Guard::replay`"
        );
        let (_, _, everywhere) = self.sender_constraints();
        assert!(
            self.has_nonces_where_asked(),
            "proofs must have nonces somewhere, and the guard makes none: `Dpop::nonces`"
        );
        assert!(
            !(everywhere || requirement.is_sender_constrained()) || self.can_confirm(),
            "tokens must be bound to their sender, and the guard can check no binding: `Guard::dpop`, \
             `Guard::client_certificate`"
        );
        GuardLayer::new(self, Requirement::Fixed(Arc::new(requirement)))
    }

    /// A layer that works its requirement out from the head of each request. What nobody can meet
    /// is refused for good (403). Inside axum's `nest`, the head has the path that is left of it.
    pub fn require_by(
        &self,
        requirement: impl Fn(&Parts) -> Require + Send + Sync + 'static,
    ) -> GuardLayer {
        GuardLayer::new(self, Requirement::ByHead(Arc::new(requirement)))
    }

    /// A layer that lets a request without credentials pass, without a grant, without a record and without fields that
    /// show possession (`DPoP`, certificates). A request that has a credential is judged in full, and denied where it does not meet the requirement.
    ///
    /// # Panics
    ///
    /// Where no token can meet the requirement.
    pub fn optional(&self, requirement: impl Into<Require>) -> GuardLayer {
        self.require(requirement).with(|settings| settings.optional = true)
    }
}

impl GuardLayer {
    fn new(guard: &Guard, requirement: Requirement) -> Self {
        let guard = guard.clone();
        let settings =
            Settings { guard, requirement, name: None, optional: false, body: EmptyBody };
        GuardLayer { settings: Arc::new(settings) }
    }
}

impl<B: Clone> GuardLayer<B> {
    /// The name of the operation, for the record. Without it, method and path name it.
    pub fn named(self, name: impl AsRef<str>) -> Self {
        self.with(|settings| settings.name = Some(name.as_ref().into()))
    }

    /// The body of denied responses: [`ProblemJson`], or a closure `|denial: &Denial| ..`, which sends no
    /// `Content-Type` (a [`MakeBody`] of your own can). Status and the other headers stay as they are.
    pub fn body<M>(self, body: M) -> GuardLayer<M> {
        let settings = Arc::unwrap_or_clone(self.settings);
        let Settings { guard, requirement, name, optional, body: _ } = settings;
        let settings = Settings { guard, requirement, name, optional, body };
        GuardLayer { settings: Arc::new(settings) }
    }

    fn with(mut self, set: impl FnOnce(&mut Settings<B>)) -> Self {
        set(Arc::make_mut(&mut self.settings));
        self
    }
}

impl<B> Settings<B> {
    fn ask(&self, parts: &Parts) -> Ask {
        Ask {
            requirement: match &self.requirement {
                Requirement::Fixed(requirement) => requirement.clone(),
                Requirement::ByHead(by) => Arc::new(by(parts)),
            },
            name: self.name.clone(),
            optional: self.optional,
        }
    }
}

impl<B> Clone for GuardLayer<B> {
    fn clone(&self) -> Self {
        GuardLayer { settings: self.settings.clone() }
    }
}

impl<S, B> Layer<S> for GuardLayer<B> {
    type Service = GuardService<S, B>;

    fn layer(&self, inner: S) -> Self::Service {
        GuardService::new(inner, self.clone())
    }
}

impl<B> fmt::Debug for GuardLayer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("GuardLayer");
        let Settings { requirement, name, optional, .. } = &*self.settings;
        if let Requirement::Fixed(requirement) = requirement {
            debug.field("requirement", &requirement.to_string());
        }
        debug.field("name", name).field("optional", optional).finish_non_exhaustive()
    }
}
