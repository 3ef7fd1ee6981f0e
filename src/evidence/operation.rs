//! The operation that a request asks for.

use std::fmt;
use std::sync::Arc;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Uri};

use super::attribute::{Attribute, Stated};
use crate::printable::Printable;

/// The operation that a request asks for: its method and path, and the name that it was given, if any.
///
/// If the handler says what it is about to do ([`Ask`](crate::policy::Ask)), the operation also has the resource that it
/// touches, and attributes.
///
/// `Display` writes the name, or the method and path if there is no name.
#[derive(Clone)]
pub struct Operation {
    name: Option<Arc<str>>,
    method: Method,
    path: Option<PathAndQuery>,
    stated: Option<Arc<Stated>>,
    tool: Option<Arc<str>>,
}

impl Operation {
    pub(crate) fn from_parts(parts: &Parts, name: Option<Arc<str>>) -> Self {
        let path = own_uri(parts).path_and_query().cloned();
        Operation { name, method: parts.method.clone(), path, stated: None, tool: None }
    }

    /// Returns the name that [`GuardLayer::named`](crate::layer::GuardLayer::named),
    /// [`MethodRule::named`](crate::layer::MethodRule::named) or [`Ask::operation`](crate::policy::Ask::operation) gave
    /// the operation, if any.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns the method of the request.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the path of the request as it was sent, also inside nested axum routers (feature `axum`).
    ///
    /// If something outside the guard rewrote the path, it is the rewritten one. The query is left out, since it may
    /// hold secrets.
    #[must_use]
    pub fn path(&self) -> Printable<'_> {
        self.uri_path().into()
    }

    /// Returns the tool of an MCP server that the request calls, if a layer or [`Ask`](crate::policy::Ask) named it. It
    /// stays when the handler says more of the operation.
    #[must_use]
    pub fn tool(&self) -> Option<Printable<'_>> {
        self.tool.as_deref().map(Printable::from)
    }

    /// Returns the type of the resource that the operation touches, if the handler stated it.
    #[must_use]
    pub fn resource_type(&self) -> Option<&str> {
        self.stated_resource().map(|(kind, _)| &**kind)
    }

    /// Returns the id of the resource that the operation touches, if the handler stated it.
    #[must_use]
    pub fn resource_id(&self) -> Option<&str> {
        self.stated_resource().map(|(_, id)| &**id)
    }

    /// Returns an attribute that the handler stated.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.stated.as_ref()?.attributes.get(name)
    }

    /// Returns the attributes that the handler stated, in the order of their names.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &Attribute)> {
        let attributes = self.stated.iter().flat_map(|stated| &stated.attributes);
        attributes.map(|(name, value)| (&**name, value))
    }
}

impl Operation {
    /// The name, to be shared.
    #[cfg(feature = "metrics")]
    pub(crate) fn shared_name(&self) -> Option<&Arc<str>> {
        self.name.as_ref()
    }

    fn stated_resource(&self) -> Option<&(String, String)> {
        self.stated.as_ref()?.resource.as_ref()
    }

    /// What the handler is about to do with the request.
    pub(crate) fn stated(self, name: Option<Arc<str>>, stated: Option<Arc<Stated>>) -> Self {
        match (name, stated) {
            (None, None) => self,
            (name, stated) => Operation { name: name.or(self.name), stated, ..self },
        }
    }

    /// The operation of a message that calls this tool.
    pub(crate) fn calling(self, tool: Option<Arc<str>>) -> Self {
        Operation { tool: tool.or(self.tool), ..self }
    }

    /// The path as it was sent, which is what proofs are made for.
    pub(crate) fn uri_path(&self) -> &str {
        self.path.as_ref().map_or("", PathAndQuery::path)
    }

    /// True if this is the head of the request that the operation was asked for with: it has the same method and path.
    pub(crate) fn is_of(&self, parts: &Parts) -> bool {
        self.method == parts.method && self.uri_path() == own_uri(parts).path()
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => Printable::from(&**name).fmt(f),
            None => write!(f, "{} {}", Printable::from(self.method.as_str()), self.path()),
        }
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Operation({self})")
    }
}

/// The URI before nested routers stripped the prefixes that they matched.
///
/// The extension of axum stays when someone copies the extensions to another request or rewrites the URI. It says
/// nothing about a request whose path is not a rest of it.
fn own_uri(parts: &Parts) -> &Uri {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::OriginalUri(original)) = parts.extensions.get() {
        let path = parts.uri.path();
        // `/` is what is left of a path that is the prefix itself.
        if path == "/" || original.path().ends_with(path) {
            return original;
        }
    }
    &parts.uri
}
