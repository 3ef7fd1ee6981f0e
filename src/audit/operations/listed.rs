//! One operation of the list.

use std::cmp::Ordering;
use std::sync::Arc;

use http::Method;

use crate::require::Require;

/// An operation that a guard knows of: its name, and what it requires.
///
/// A layer that has a [name](crate::layer::GuardLayer::named) is one, and so is a method of
/// [`Rules`](crate::layer::Rules). A name such as `POST /orders/{id}/refund` is also read as a method and a path. The
/// method and the path of a gRPC method are known whatever its name is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedOperation {
    name: Arc<str>,
    /// The method and the path of its requests, if they are known.
    route: Option<(Method, String)>,
    asked: Asked,
    token_needed: bool,
    /// The handler asks for an approval.
    approvable: bool,
    destructive: bool,
}

/// What is asked of requests for an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    Fixed(Arc<Require>),
    /// It depends on the request.
    Computed,
    /// Nothing: not even a token.
    Nothing,
}

impl ListedOperation {
    /// An operation of this name. If its method is `DELETE`, it is destructive.
    pub(crate) fn new(name: impl Into<Arc<str>>, asked: Asked) -> Self {
        let name = name.into();
        let route = route_of(&name);
        let destructive = route.as_ref().is_some_and(|(method, _)| *method == Method::DELETE);
        let token_needed = asked != Asked::Nothing;
        ListedOperation { name, route, asked, token_needed, approvable: false, destructive }
    }

    /// Says which method and path its requests have, if its name does not.
    pub(crate) fn at(self, method: Method, path: &str) -> Self {
        ListedOperation { route: Some((method, path.to_owned())), ..self }
    }

    /// Says whether a request without credentials passes, whatever is asked of the others.
    pub(crate) fn optional(self, is_optional: bool) -> Self {
        ListedOperation { token_needed: self.token_needed && !is_optional, ..self }
    }

    /// Says whether the handler asks for an approval.
    pub(crate) fn approvable(self, is_approvable: bool) -> Self {
        ListedOperation { approvable: is_approvable, ..self }
    }

    /// Returns the name of the operation.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the method of its requests. `None` if the name is not a method and a path.
    #[must_use]
    pub fn method(&self) -> Option<&Method> {
        self.route.as_ref().map(|(method, _)| method)
    }

    /// Returns the path of its requests. `None` if the name is not a method and a path.
    ///
    /// A part of it in braces, such as `{id}`, stands for any segment, and `{*rest}` at the end for all that follow.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.route.as_ref().map(|(_, path)| &**path)
    }

    /// Returns what the operation requires. `None` if that is [computed](crate::Guard::require_by) for each request,
    /// or if the operation is open to anyone.
    #[must_use]
    pub fn requirement(&self) -> Option<&Require> {
        match &self.asked {
            Asked::Fixed(requirement) => Some(requirement),
            Asked::Computed | Asked::Nothing => None,
        }
    }

    /// Returns false if a request without a token passes: see [`Guard::optional`](crate::Guard::optional) and
    /// [`Rules::open`](crate::layer::Rules::open).
    #[must_use]
    pub fn needs_token(&self) -> bool {
        self.token_needed
    }

    /// Returns true if the operation requires a strong or recent login.
    #[must_use]
    pub fn asks_for_step_up(&self) -> bool {
        self.requirement().is_some_and(Require::asks_for_step_up)
    }

    /// Returns true if the operation requires an [approval](crate::approvals), or if its handler does
    /// ([`GuardLayer::approvable`](crate::layer::GuardLayer::approvable)).
    #[must_use]
    pub fn asks_for_approval(&self) -> bool {
        self.approvable || self.requirement().is_some_and(Require::asks_for_approval)
    }

    /// Returns true if the operation deletes something: its method is `DELETE`.
    #[must_use]
    pub fn is_destructive(&self) -> bool {
        self.destructive
    }

    /// What the operation requires, in words.
    pub(crate) fn requirement_text(&self) -> String {
        let asked = match &self.asked {
            Asked::Fixed(requirement) => requirement.to_string(),
            Asked::Computed => "(computed for each request)".to_owned(),
            Asked::Nothing => "(open to anyone)".to_owned(),
        };
        match &self.asked {
            Asked::Fixed(_) | Asked::Computed if !self.token_needed => {
                format!("(no token, or) {asked}")
            }
            Asked::Fixed(_) | Asked::Computed | Asked::Nothing => asked,
        }
    }

    /// True if a request with this method and path is one for this operation. False if those of the operation are not
    /// known.
    #[cfg(feature = "testing")]
    pub(crate) fn matches(&self, method: &Method, path: &str) -> bool {
        let (Some(own_method), Some(template)) = (self.method(), self.path()) else { return false };
        let mut segments = path.split('/');
        if own_method != method {
            return false;
        }
        for part in template.split('/') {
            let Some(segment) = segments.next() else { return false };
            let in_braces = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
            match in_braces {
                Some(name) if name.starts_with('*') => return !segment.is_empty(),
                Some(_) if segment.is_empty() => return false,
                Some(_) => {}
                None if part != segment => return false,
                None => {}
            }
        }
        segments.next().is_none()
    }

    /// By path and method; names that are neither come last.
    pub(super) fn in_order(&self, other: &Self) -> Ordering {
        let key = |listed: &ListedOperation| {
            let method = listed.method().map(|method| method.as_str().to_owned());
            (listed.path().is_none(), listed.path().unwrap_or_default().to_owned(), method)
        };
        let asked = |listed: &ListedOperation| (listed.requirement_text(), listed.approvable);
        (key(self), self.name())
            .cmp(&(key(other), other.name()))
            .then_with(|| asked(self).cmp(&asked(other)))
    }
}

/// Reads a name as a method and a path.
fn route_of(name: &str) -> Option<(Method, String)> {
    let (method, path) = name.split_once(' ')?;
    let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    let is_path = path.starts_with('/') && !path.contains(char::is_whitespace);
    if !is_method || !is_path {
        return None;
    }
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    Some((method, path.to_owned()))
}
