//! What a handler states about an operation, for a policy.

use std::collections::BTreeMap;

/// A value that a handler states about an operation, or that a policy gives to an obligation.
///
/// It is made from strings, whole numbers, booleans and arrays of these, and not from floating-point numbers, since an
/// amount must not be rounded. Write a decimal as a string.
///
/// ```
/// use unconfused::policy::Attribute;
///
/// assert_eq!(Attribute::from(1200_u64), Attribute::Integer(1200));
/// assert_eq!(Attribute::from("12.50").as_text(), Some("12.50"));
/// assert_eq!(Attribute::from("12.50").as_integer(), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attribute {
    /// A string.
    Text(String),
    /// A whole number.
    Integer(i128),
    /// True or false.
    Boolean(bool),
    /// Several values.
    List(Vec<Attribute>),
}

impl Attribute {
    /// Returns the string, or `None` if it is something else.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let Attribute::Text(text) = self { Some(text) } else { None }
    }

    /// Returns the number, or `None` if it is something else.
    #[must_use]
    pub fn as_integer(&self) -> Option<i128> {
        if let Attribute::Integer(number) = self { Some(*number) } else { None }
    }

    /// Returns the boolean, or `None` if it is something else.
    #[must_use]
    pub fn as_boolean(&self) -> Option<bool> {
        if let Attribute::Boolean(value) = self { Some(*value) } else { None }
    }

    /// Returns the values of a list, or `None` if it is something else.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Attribute]> {
        if let Attribute::List(values) = self { Some(values) } else { None }
    }
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Attribute::Text(text.to_owned())
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Attribute::Text(text)
    }
}

impl From<&String> for Attribute {
    fn from(text: &String) -> Self {
        Attribute::Text(text.clone())
    }
}

impl From<bool> for Attribute {
    fn from(value: bool) -> Self {
        Attribute::Boolean(value)
    }
}

macro_rules! from_whole_numbers {
    ($($number:ty)*) => {$(
        impl From<$number> for Attribute {
            fn from(number: $number) -> Self {
                Attribute::Integer(number.into())
            }
        }
    )*};
}

from_whole_numbers!(u8 u16 u32 u64 i8 i16 i32 i64 i128);

impl<V: Into<Attribute>, const N: usize> From<[V; N]> for Attribute {
    fn from(values: [V; N]) -> Self {
        Attribute::List(values.into_iter().map(Into::into).collect())
    }
}

impl<V: Into<Attribute>> From<Vec<V>> for Attribute {
    fn from(values: Vec<V>) -> Self {
        Attribute::List(values.into_iter().map(Into::into).collect())
    }
}

/// The resource that an operation touches, and what else the handler states about it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stated {
    /// Its type and its id.
    pub(crate) resource: Option<(String, String)>,
    pub(crate) attributes: BTreeMap<String, Attribute>,
}
