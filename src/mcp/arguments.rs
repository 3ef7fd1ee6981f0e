//! The arguments of a call, for a rule that depends on them.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;

use super::spelling::differs_in_case_alone;
use crate::json;

/// The arguments of a call, or the parameters of another method: a JSON object, for
/// [`Tools::call`](super::Tools::call).
///
/// No member stands in it twice, so that what is read here is what the server behind reads.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use serde::Deserialize;
/// use unconfused::detail::Detail;
/// use unconfused::mcp::{Arguments, InvalidArguments, Tools};
/// use unconfused::{Require, Scope};
///
/// const READ: Scope = Scope::from_static("orders:read");
///
/// /// The very type that the tool reads its arguments with.
/// #[derive(Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Refund {
///     order: u64,
///     amount: String,
/// }
///
/// fn refund(arguments: &Arguments<'_>) -> Result<Require, InvalidArguments> {
///     let Refund { order, amount } = arguments.read()?;
///     Ok(Require::detail(Detail::of("order_refund").with("order", order).with("amount", amount)))
/// }
///
/// let tools = Tools::new(READ).call("refund", refund);
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Arguments<'a> {
    text: &'a str,
}

impl<'a> Arguments<'a> {
    /// The object with this text, which is part of a sound message. `None` if it is not an object.
    pub(crate) fn new(text: Option<&'a str>) -> Option<Self> {
        let text = text.unwrap_or("{}");
        text.starts_with('{').then_some(Arguments { text })
    }

    /// Returns the object as it was written. It is `{}` if the message has none.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Reads the whole object, with the type that the tool itself reads it with.
    ///
    /// # Errors
    ///
    /// Returns an error if the object is not a `T`.
    pub fn read<T: Deserialize<'a>>(&self) -> Result<T, InvalidArguments> {
        serde_json::from_str(self.text)
            .map_err(|error| InvalidArguments::because(error.to_string()))
    }

    /// Reads one member. A member that is absent is read as `null`, so that it may be an [`Option`].
    ///
    /// # Errors
    ///
    /// Returns an error if the member is not a `T`. Also if a member stands there whose name is this one in another
    /// case: for a server whose parser ignores case, it may be the one that counts.
    pub fn get<T: Deserialize<'a>>(&self, name: &str) -> Result<T, InvalidArguments> {
        let mut value = "null";
        for (it, its_value) in json::members(self.text).into_iter().flatten() {
            if it == name {
                value = its_value;
            } else if differs_in_case_alone(&it, name) {
                return Err(InvalidArguments::because(format!("`{name}` in another case")));
            }
        }
        serde_json::from_str(value)
            .map_err(|error| InvalidArguments::because(format!("`{name}`: {error}")))
    }
}

/// The arguments of a call are not what its rule reads. The call is refused with 400 and the JSON-RPC error -32602.
///
/// The words are for the record; the client does not see them. Those of [`Arguments::read`] and [`Arguments::get`] are
/// serde's, and may repeat a value of the client. Use [`because`](Self::because) if such a value is too personal for the
/// record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidArguments(Cow<'static, str>);

impl InvalidArguments {
    /// Says what is wrong, for the record.
    pub fn because(what: impl Into<Cow<'static, str>>) -> Self {
        InvalidArguments(what.into())
    }
}

impl fmt::Display for InvalidArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidArguments {}
