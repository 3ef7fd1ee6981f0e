//! What a handler asks of a guard.

use std::sync::Arc;

use crate::evidence::{Attribute, Operation, Stated};
use crate::names::Scope;
use crate::require::Require;

/// What a request is about to do, for [`Guard::narrow`](crate::Guard::narrow) and
/// [`Guard::authorize`](crate::Guard::authorize): the operation for the policies and the record, and what it requires.
///
/// A [`Require`], a [`Scope`] or an array of scopes is an `Ask` that requires more and says nothing else.
///
/// State the operation as your handler understood it from the request, never as the client describes it.
///
/// ```
/// use unconfused::policy::Ask;
/// use unconfused::{Denial, Grant, Guard, Scope};
///
/// const REFUND: Scope = Scope::from_static("orders:refund");
///
/// async fn refund(guard: &Guard, grant: &Grant, order: u64, amount: u64) -> Result<String, Denial> {
///     let ask = Ask::operation("orders.refund").resource("order", order).attribute("amount", amount).requiring(REFUND);
///     guard.narrow(grant, ask).await?;
///     Ok(format!("{amount} refunded"))
/// }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is asked until a guard narrows with it"]
pub struct Ask {
    name: Option<Arc<str>>,
    stated: Option<Arc<Stated>>,
    tool: Option<Arc<str>>,
    requirement: Require,
}

impl Ask {
    /// Names the operation. The record has it rather than the name of the layer.
    pub fn operation(name: impl AsRef<str>) -> Self {
        Ask { name: Some(name.as_ref().into()), ..Require::valid_token().into() }
    }

    /// Names the resource that the operation touches, by its type and its id.
    #[expect(clippy::needless_pass_by_value, reason = "an id or a reference to one")]
    pub fn resource(mut self, resource_type: impl Into<String>, id: impl ToString) -> Self {
        let stated = Arc::make_mut(self.stated.get_or_insert_default());
        stated.resource = Some((resource_type.into(), id.to_string()));
        self
    }

    /// States something else about the operation, and replaces what was stated under this name.
    ///
    /// Attributes are for the policies alone: they are not in the record.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<Attribute>) -> Self {
        let stated = Arc::make_mut(self.stated.get_or_insert_default());
        stated.attributes.insert(name.into(), value.into());
        self
    }

    /// Requires this too; see [`Require::and`].
    pub fn requiring(self, requirement: impl Into<Require>) -> Self {
        Ask { requirement: self.requirement.and(requirement), ..self }
    }

    /// Makes the operation out of that of the grant.
    pub(crate) fn operation_after(&mut self, granted: &Operation) -> Operation {
        self.operation_of(granted.clone())
    }

    /// Makes the operation out of that of the request.
    pub(crate) fn operation_of(&mut self, operation: Operation) -> Operation {
        operation.stated(self.name.take(), self.stated.take()).calling(self.tool.take())
    }

    /// What a message asks for that an MCP server reads.
    #[cfg(feature = "mcp")]
    pub(crate) fn message(
        name: Option<Arc<str>>,
        stated: Option<Arc<Stated>>,
        tool: Option<Arc<str>>,
        requirement: Require,
    ) -> Self {
        Ask { name, stated, tool, requirement }
    }

    pub(crate) fn into_requirement(self) -> Require {
        self.requirement
    }
}

impl From<Require> for Ask {
    fn from(requirement: Require) -> Self {
        Ask { name: None, stated: None, tool: None, requirement }
    }
}

impl From<&Require> for Ask {
    fn from(requirement: &Require) -> Self {
        requirement.clone().into()
    }
}

impl From<Scope> for Ask {
    fn from(scope: Scope) -> Self {
        Require::from(scope).into()
    }
}

/// Requires all of the scopes.
impl<const N: usize> From<[Scope; N]> for Ask {
    fn from(scopes: [Scope; N]) -> Self {
        Require::from(scopes).into()
    }
}
