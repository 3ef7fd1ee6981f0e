//! A gRPC service behind its rules.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::future::{ResponseChanges, ResponseFuture};
use super::rules::{MethodAccess, Rules};
use super::service::{Respond, judge, pass, refuse};
use crate::denial::Denial;
use crate::guard::{Guard, Guards, Listed, Listing, RouteGuard};
use crate::per_thread::{PerThread, ServiceSettings};
use crate::reason::Reason;
use crate::require::Require;

/// # gRPC
impl Guard {
    /// Returns a layer for a gRPC service that requires of each method what the rules say, and refuses anything else.
    ///
    /// A request for a listed method is judged as by [`require`](Self::require). A request for a path that is not
    /// listed is refused before its credential is looked at (`operation_unknown`, `PERMISSION_DENIED`).
    ///
    /// The layer **always answers in gRPC** (see [`Denial::respond_grpc`]), whatever content type a request has, and
    /// ignores [`body`](Self::body). Add it to the whole server. It works with tonic and with any other service of
    /// `http` types whose body can be empty (`Default`).
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use std::convert::Infallible;
    ///
    /// use http::{Request, Response};
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    /// use unconfused::layer::Rules;
    /// use unconfused::{Audience, Guard, Scope};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const READ: Scope = Scope::from_static("orders:read");
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let login = TestIssuer::new("https://login.example");
    /// # let issuer = login.issuer();
    ///
    /// let guard = Guard::new(ORDERS, issuer);
    /// let rules = Rules::new()
    ///     .on("/orders.v1.Orders/List", READ)
    ///     .open("/grpc.health.v1.Health/Check");
    /// // In tonic: `Server::builder().layer(guard.rules(rules)).add_service(..)`.
    /// let server = ServiceBuilder::new()
    ///     .layer(guard.rules(rules))
    ///     .service(service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(String::new()))));
    ///
    /// let token = login.token(&ORDERS).scope("orders:read").bearer();
    /// for (path, authorization, status) in [
    ///     ("/orders.v1.Orders/List", &*token, None),
    ///     ("/orders.v1.Orders/List", "Bearer nonsense", Some("16")), // UNAUTHENTICATED
    ///     ("/orders.v1.Orders/Refund", &token, Some("7")),           // PERMISSION_DENIED: it has no rule
    ///     ("/grpc.health.v1.Health/Check", "", None),
    /// ] {
    ///     let request = Request::post(path).header("authorization", authorization);
    ///     let response = server.clone().oneshot(request.body(String::new())?).await?;
    ///     assert_eq!(response.status(), 200);
    ///     assert_eq!(response.headers().get("grpc-status").map(|code| code.to_str().unwrap()), status);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if [`require`](Self::require) would for one of the rules, or if one is
    /// [`approvable`](crate::layer::MethodRule::approvable) and the guard cannot ask for approvals: see [`Guard::approvals`].
    pub fn rules(&self, rules: Rules) -> RulesLayer {
        RulesLayer::new(RouteGuard::One(self.clone()), rules)
    }
}

/// # gRPC
impl Guards {
    /// Returns a layer for a gRPC service that requires of each method what the rules say, whichever guard is chosen, and
    /// refuses anything else; see [`Guard::rules`].
    ///
    /// An [open](Rules::open) method is open whether or not a guard is chosen. Any other request for which none is
    /// chosen is refused (`operation_unknown`, `PERMISSION_DENIED`). In HTTP/2 the host is in the URI: choose by
    /// `head.uri.host()`.
    ///
    /// # Panics
    ///
    /// Panics if [`Guard::rules`] would for one of the guards.
    pub fn rules(&self, rules: Rules) -> RulesLayer {
        RulesLayer::new(RouteGuard::Chosen(self.clone()), rules)
    }
}

/// A [tower layer](https://docs.rs/tower-layer) before a gRPC service, made by [`Guard::rules`].
///
/// It does for each method what a [`GuardLayer`](crate::layer::GuardLayer) does for a route, and answers in gRPC.
#[derive(Clone)]
#[must_use = "a layer guards nothing until it stands before a service"]
pub struct RulesLayer {
    /// Shared, since servers clone a layer and its services.
    settings: Arc<PerThread<Settings>>,
}

#[derive(Clone)]
struct Settings {
    guard: RouteGuard,
    rules: Rules,
    /// Keeps the methods in the lists of the guards.
    _listing: Listing,
}

impl RulesLayer {
    fn new(guard: RouteGuard, rules: Rules) -> Self {
        for (_, access) in rules.iter() {
            if let MethodAccess::Guarded(rule) = access {
                guard.for_each(|guard| rule.assert_fits(guard));
            }
        }
        let _listing = guard.list(Listed::Operations(rules.listed().collect()));
        RulesLayer { settings: Arc::new(PerThread::new(Settings { guard, rules, _listing })) }
    }

    #[cfg(any(feature = "mcp", feature = "remote"))]
    pub(super) fn guard(&self) -> &RouteGuard {
        &self.settings.guard
    }
}

impl<S> Layer<S> for RulesLayer {
    type Service = RulesService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RulesService { inner, settings: ServiceSettings::Original(self.settings.clone()) }
    }
}

impl fmt::Debug for RulesLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RulesLayer").field(&self.settings.rules).finish()
    }
}

/// A gRPC service behind a guard, made by a [`RulesLayer`].
///
/// It is ready when the inner service is, and gives back what that reserved as
/// [`GuardService`](crate::layer::GuardService) does.
#[derive(Clone)]
pub struct RulesService<S> {
    inner: S,
    settings: ServiceSettings<Settings>,
}

impl<S: fmt::Debug> fmt::Debug for RulesService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RulesService")
            .field("inner", &self.inner)
            .field("rules", &self.settings.rules)
            .finish()
    }
}

impl<S, Q, R> Service<Request<Q>> for RulesService<S>
where
    S: Service<Request<Q>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    Q: Send + 'static,
    R: Default + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let Settings { guard, rules, .. } = &*self.settings;
        let rule = match rules.access(parts.uri.path()) {
            Some(MethodAccess::Guarded(rule)) => Some(rule),
            Some(MethodAccess::Open) => {
                guard.for_each(|guard| guard.remove_possession_fields(&mut parts));
                return pass(&mut self.inner, ResponseChanges::default(), parts, body);
            }
            None => None,
        };
        let denial = match (guard.of_request(&mut parts), rule) {
            (Ok(guard), Some(rule)) => {
                return judge(&mut self.inner, guard, rule.access_rule(), &InGrpc, parts, body);
            }
            (Ok(guard), None) => guard.refuse_head(&parts, Reason::OperationUnknown.into()),
            (Err(guards), Some(rule)) => rule.refuse(guards, &parts),
            (Err(guards), None) => guards.refuse(&parts, &Require::valid_token(), None),
        };
        refuse(&mut self.inner, &InGrpc, denial)
    }
}

/// In gRPC, without a body.
#[derive(Clone, Copy)]
struct InGrpc;

impl<R: Default> Respond<R> for InGrpc {
    fn respond(&self, denial: Denial) -> Response<R> {
        denial.respond_grpc()
    }
}
