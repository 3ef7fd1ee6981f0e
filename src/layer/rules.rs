//! Rules for a gRPC service: what each method requires, by its path.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use http::Method;

use super::method_rule::MethodRule;
use crate::audit::{Asked, ListedOperation};
#[cfg(doc)]
use crate::guard::Guard;

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
    by_path: BTreeMap<String, MethodAccess>,
}

/// Who may call one method.
#[derive(Clone)]
pub(crate) enum MethodAccess {
    Guarded(MethodRule),
    /// Anyone.
    Open,
}

impl Rules {
    /// Makes rules that refuse everything.
    pub fn new() -> Self {
        Rules::default()
    }

    /// Requires this of the method with this path: a scope, a [`Require`](crate::Require), or a [`MethodRule`], which
    /// can also name the operation.
    ///
    /// # Panics
    ///
    /// Panics if the path has a rule already, or does not look like `/package.Service/Method`: a `/`, a name, a `/`
    /// and a name. In names are ASCII letters and digits, `_`, `-` and `.`.
    pub fn on(self, path: impl Into<String>, rule: impl Into<MethodRule>) -> Self {
        self.with(path.into(), MethodAccess::Guarded(rule.into()))
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
        self.with(path.into(), MethodAccess::Open)
    }

    /// The methods, for the list of a guard. Every request of gRPC is a `POST`.
    pub(super) fn listed(&self) -> impl Iterator<Item = ListedOperation> {
        self.by_path.iter().map(|(path, access)| {
            let unnamed = || format!("POST {path}");
            let listed = match access {
                MethodAccess::Guarded(rule) => rule.listed(unnamed),
                MethodAccess::Open => ListedOperation::new(unnamed(), Asked::Nothing),
            };
            listed.at(Method::POST, path)
        })
    }

    fn with(mut self, path: String, access: MethodAccess) -> Self {
        assert!(
            is_method_path(&path),
            "`{path}` is not the path of a gRPC method: expected `/package.Service/Method`"
        );
        assert!(!self.by_path.contains_key(&path), "the path `{path}` has two rules");
        self.by_path.insert(path, access);
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

    /// All listed methods by their paths, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &MethodAccess)> {
        self.by_path.iter().map(|(path, access)| (&**path, access))
    }

    /// Who may call the method with this path.
    pub(super) fn access(&self, path: &str) -> Option<&MethodAccess> {
        self.by_path.get(path)
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
        let mut map = f.debug_map();
        for (path, access) in self.iter() {
            match access {
                MethodAccess::Guarded(rule) => map.entry(&path, rule),
                MethodAccess::Open => map.entry(&path, &format_args!("open")),
            };
        }
        map.finish()
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
