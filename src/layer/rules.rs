//! Rules for a gRPC service: what each method requires, by its path.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::future::ResponseFuture;
use super::service::{Respond, judge, pass, refuse};
use crate::denial::Denial;
use crate::guard::{AccessRule, Guard};
use crate::reason::Reason;
use crate::require::Require;

/// What each method of a gRPC service requires, by its path. Anything that is not listed is refused.
///
/// [`Guard::rules`] makes a layer of it. The path of a method is `/package.Service/Method`, and it is compared exactly,
/// as gRPC servers do: `/orders.v1.Orders/%4Cist` is not `/orders.v1.Orders/List`.
///
/// Besides [`on`](Self::on), which requires something of a method, there is [`open`](Self::open), which lets anyone
/// call it. [`check_methods`](Self::check_methods) compares the rules with the methods that there are.
#[derive(Clone, Default)]
#[must_use = "rules guard nothing until `Guard::rules` makes a layer of them"]
pub struct Rules {
    by_path: BTreeMap<String, MethodRule>,
}

/// What one method requires.
#[derive(Clone)]
enum MethodRule {
    Requires(Arc<Require>),
    Open,
}

impl Rules {
    /// Makes rules that refuse everything.
    pub fn new() -> Self {
        Rules::default()
    }

    /// Requires this of the method with this path.
    ///
    /// # Panics
    ///
    /// Panics if the path has a rule already, or does not look like `/package.Service/Method`: a `/`, a name, a `/`
    /// and a name. In names are ASCII letters and digits, `_`, `-` and `.`.
    pub fn on(self, path: impl Into<String>, requirement: impl Into<Require>) -> Self {
        self.with(path.into(), MethodRule::Requires(Arc::new(requirement.into())))
    }

    /// Lets anyone call the method with this path, such as a health check.
    ///
    /// A request for it passes without a grant and without a record, whatever credential it has. The layer removes the
    /// fields from it that show possession (`DPoP` and [certificates](Guard::certificate_fields)), and leaves
    /// `Authorization` where it is.
    ///
    /// # Panics
    ///
    /// Panics if [`on`](Self::on) would.
    pub fn open(self, path: impl Into<String>) -> Self {
        self.with(path.into(), MethodRule::Open)
    }

    fn with(mut self, path: String, rule: MethodRule) -> Self {
        assert!(
            is_method_path(&path),
            "`{path}` is not the path of a gRPC method: expected `/package.Service/Method`"
        );
        assert!(!self.by_path.contains_key(&path), "the path `{path}` has two rules");
        self.by_path.insert(path, rule);
        self
    }

    /// Compares the rules with a list of all methods of the service.
    ///
    /// Call it in a test, or when the service starts. A method is named as in its path (`/orders.v1.Orders/List`), as
    /// gRPC names it (`orders.v1.Orders/List`), or by its full name in protobuf (`orders.v1.Orders.List`), which is what
    /// a file descriptor set has.
    ///
    /// # Errors
    ///
    /// Returns an error if a rule names none of the methods, or if a method has no rule. Requests for such a method are
    /// refused (`operation_unknown`).
    ///
    /// ```
    /// use unconfused::Scope;
    /// use unconfused::layer::Rules;
    ///
    /// const READ: Scope = Scope::from_static("orders:read");
    ///
    /// let rules = Rules::new().on("/orders.v1.Orders/List", READ).on("/orders.v1.Orders/Refnd", READ);
    /// let problem = rules.check_methods(["orders.v1.Orders/List", "orders.v1.Orders/Refund"]).unwrap_err();
    /// assert_eq!(problem.rules_without_method(), ["/orders.v1.Orders/Refnd"]);
    /// assert_eq!(problem.methods_without_rule(), ["/orders.v1.Orders/Refund"]);
    /// ```
    pub fn check_methods<N: AsRef<str>>(
        &self,
        methods: impl IntoIterator<Item = N>,
    ) -> Result<(), RulesMismatch> {
        let methods: BTreeSet<_> = methods.into_iter().map(|name| path_of(name.as_ref())).collect();
        let rules = self.by_path.keys().filter(|path| !methods.contains(*path)).cloned();
        let rules_without_method: Vec<_> = rules.collect();
        let without_rule = |path: &String| !self.by_path.contains_key(path);
        let methods_without_rule: Vec<_> = methods.into_iter().filter(without_rule).collect();
        if rules_without_method.is_empty() && methods_without_rule.is_empty() {
            return Ok(());
        }
        Err(RulesMismatch { rules_without_method, methods_without_rule })
    }
}

/// True for `/package.Service/Method`.
fn is_method_path(path: &str) -> bool {
    let is_name = |name: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        !name.is_empty() && name.bytes().all(fits)
    };
    let names = path.strip_prefix('/').and_then(|names| names.split_once('/'));
    names.is_some_and(|(service, method)| is_name(service) && is_name(method))
}

/// The path of the method with this name.
fn path_of(name: &str) -> String {
    let name = name.strip_prefix('/').unwrap_or(name);
    match name.rsplit_once('/').or_else(|| name.rsplit_once('.')) {
        Some((service, method)) => format!("/{service}/{method}"),
        None => format!("/{name}"),
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.by_path.iter().map(|(path, rule)| match rule {
            MethodRule::Requires(requirement) => (path, requirement.to_string()),
            MethodRule::Open => (path, "open".to_owned()),
        });
        f.debug_map().entries(shown).finish()
    }
}

/// The rules of a gRPC service and its methods do not fit together; see [`Rules::check_methods`].
///
/// ```
/// use unconfused::layer::Rules;
///
/// let rules = Rules::new().open("/grpc.health.v1.Health/Check");
/// let problem = rules.check_methods(["grpc.health.v1.Health.Watch"]).unwrap_err();
/// assert_eq!(
///     problem.to_string(),
///     "rules without a method: /grpc.health.v1.Health/Check; methods without a rule: /grpc.health.v1.Health/Watch"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulesMismatch {
    rules_without_method: Vec<String>,
    methods_without_rule: Vec<String>,
}

impl RulesMismatch {
    /// Returns the paths that have a rule and are not those of a method, in order.
    #[must_use]
    pub fn rules_without_method(&self) -> &[String] {
        &self.rules_without_method
    }

    /// Returns the paths of the methods that have no rule, in order.
    #[must_use]
    pub fn methods_without_rule(&self) -> &[String] {
        &self.methods_without_rule
    }
}

impl fmt::Display for RulesMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            ("rules without a method", &self.rules_without_method),
            ("methods without a rule", &self.methods_without_rule),
        ];
        let mut between = "";
        for (what, paths) in all.iter().filter(|(_, paths)| !paths.is_empty()) {
            write!(f, "{between}{what}: {}", paths.join(", "))?;
            between = "; ";
        }
        Ok(())
    }
}

impl std::error::Error for RulesMismatch {}

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
    /// Panics if [`require`](Self::require) would for one of the rules.
    pub fn rules(&self, rules: Rules) -> RulesLayer {
        for rule in rules.by_path.values() {
            if let MethodRule::Requires(requirement) = rule {
                self.assert_can(requirement);
            }
        }
        RulesLayer { settings: Arc::new(Settings { guard: self.clone(), rules }) }
    }
}

/// A [tower layer](https://docs.rs/tower-layer) before a gRPC service, made by [`Guard::rules`].
///
/// It does for each method what a [`GuardLayer`](crate::layer::GuardLayer) does for a route, and answers in gRPC.
#[derive(Clone)]
#[must_use = "a layer guards nothing until it stands before a service"]
pub struct RulesLayer {
    /// Shared, since servers clone a layer and its services.
    settings: Arc<Settings>,
}

struct Settings {
    guard: Guard,
    rules: Rules,
}

impl RulesLayer {
    #[cfg(any(feature = "mcp", feature = "remote"))]
    pub(super) fn guard(&self) -> &Guard {
        &self.settings.guard
    }
}

impl<S> Layer<S> for RulesLayer {
    type Service = RulesService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RulesService { inner, layer: self.clone() }
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
#[derive(Debug, Clone)]
pub struct RulesService<S> {
    inner: S,
    layer: RulesLayer,
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
        let (parts, body) = request.into_parts();
        let Settings { guard, rules } = &*self.layer.settings;
        let requirement = match rules.by_path.get(parts.uri.path()) {
            Some(MethodRule::Requires(requirement)) => requirement.clone(),
            Some(MethodRule::Open) => return pass(&mut self.inner, guard, parts, body),
            None => {
                return refuse(
                    &mut self.inner,
                    &InGrpc,
                    guard.refuse_head(&parts, Reason::OperationUnknown.into()),
                );
            }
        };
        let rule = AccessRule::new(requirement);
        judge(&mut self.inner, guard, rule, &InGrpc, parts, body)
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
