//! Names that the owner of the service chooses: audience, scope, authentication context class. Each is checked once, at
//! compile time if it is a constant.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// A name is empty or has a character that its grammar forbids.
///
/// [`Audience::new`](crate::Audience::new), [`Scope::new`](crate::Scope::new) and [`Acr::new`](crate::Acr::new) return
/// it. The message says what is allowed and does not repeat the name.
///
/// ```
/// use unconfused::Scope;
///
/// assert_eq!(
///     Scope::new("orders read").unwrap_err().to_string(),
///     r#"not a valid scope: expected one or more visible ASCII characters except `"` and `\`"#
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind}: expected {grammar}")]
pub struct InvalidName {
    kind: &'static str,
    grammar: &'static str,
}

/// `%x21 / %x23-5B / %x5D-7E`: the characters, except the space, that need no escape between the quotes of a challenge
/// (RFC 6749 section 3.3, RFC 6750 section 3).
const fn is_visible(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)
}

/// Any character except ASCII control characters: an audience is a StringOrURI (RFC 7519 section 2).
const fn is_text(byte: u8) -> bool {
    !matches!(byte, 0..=0x1f | 0x7f)
}

/// A string that is cheap to clone.
#[derive(Clone)]
enum SharedStr {
    Static(&'static str),
    Counted(Arc<str>),
}

impl Deref for SharedStr {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            SharedStr::Static(text) => text,
            SharedStr::Counted(text) => text,
        }
    }
}

impl PartialEq for SharedStr {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for SharedStr {}

impl PartialOrd for SharedStr {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SharedStr {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(other)
    }
}

impl Hash for SharedStr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $fits:ident, $grammar:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(SharedStr);

        impl $name {
            /// Makes a name that is known at compile time. In a `const`, a name with a forbidden character does not
            /// compile.
            ///
            /// # Panics
            ///
            /// Panics outside a `const` if [`new`](Self::new) would refuse the name.
            #[must_use]
            pub const fn from_static(name: &'static str) -> Self {
                assert!(Self::fits(name), concat!("not a valid ", $kind, ": expected ", $grammar));
                Self(SharedStr::Static(name))
            }

            /// Makes a name at run time, for example from configuration.
            ///
            /// # Errors
            ///
            /// Returns [`InvalidName`] if the name is empty or has a forbidden character.
            pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
                let name = name.into();
                if Self::fits(&name) {
                    Ok(Self(SharedStr::Counted(name.into())))
                } else {
                    Err(InvalidName { kind: $kind, grammar: $grammar })
                }
            }

            const fn fits(name: &str) -> bool {
                let mut rest = name.as_bytes();
                let has_characters = !rest.is_empty();
                while let [byte, tail @ ..] = rest {
                    if !$fits(*byte) {
                        return false;
                    }
                    rest = tail;
                }
                has_characters
            }

            /// Returns the name as a string.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), self.as_str())
            }
        }

        impl From<&$name> for $name {
            fn from(name: &$name) -> Self {
                name.clone()
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;

            fn from_str(name: &str) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }
    };
}

name! {
    /// The name of this resource, which a token must have in its `aud` claim.
    ///
    /// It is usually the https URL of the API, so that clients can find the metadata document
    /// ([RFC 9728](https://www.rfc-editor.org/rfc/rfc9728)) from it. It may be any text without ASCII control
    /// characters.
    ///
    /// It is compared with the elements of `aud` code point by code point
    /// ([RFC 9068 section 4](https://www.rfc-editor.org/rfc/rfc9068#section-4)): upper and lower case differ, and
    /// so do names with and without a trailing slash.
    ///
    /// ```
    /// use unconfused::Audience;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// assert!(Audience::new("").is_err());
    /// assert!(Audience::new("https://orders.example\n").is_err());
    /// ```
    Audience, "audience", is_text, "one or more characters, none of them a control character"
}

name! {
    /// One scope, a coarse permission that a token carries.
    ///
    /// It is one scope token ([RFC 6749 section 3.3](https://www.rfc-editor.org/rfc/rfc6749#section-3.3)), so it has
    /// no space. Scopes are case-sensitive.
    ///
    /// ```
    /// use unconfused::Scope;
    ///
    /// const READ: Scope = Scope::from_static("orders:read");
    /// assert!(Scope::new("orders read").is_err()); // two tokens
    /// ```
    ///
    /// ```compile_fail,E0080
    /// # use unconfused::Scope;
    /// const READ: Scope = Scope::from_static("orders read");
    /// # let _ = READ;
    /// ```
    Scope, "scope", is_visible, "one or more visible ASCII characters except `\"` and `\\`"
}

name! {
    /// One authentication context class, which says how well the subject authenticated
    /// ([RFC 9470 section 2](https://www.rfc-editor.org/rfc/rfc9470#section-2)), such as `phr`.
    ///
    /// Classes have no order: [`Require::acr`](crate::Require::acr) accepts a list of those that are sufficient.
    ///
    /// ```
    /// use unconfused::Acr;
    ///
    /// const PHISHING_RESISTANT: Acr = Acr::from_static("phr");
    /// assert!("two words".parse::<Acr>().is_err());
    /// ```
    Acr, "authentication context class", is_visible, "one or more visible ASCII characters except `\"` and `\\`"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_one_token_of_the_grammar() {
        for good in ["read", "orders:read", "https://x.example/y", "!", "~", "a.b-c_d"] {
            assert!(Scope::new(good).is_ok(), "{good}");
        }
        for bad in ["", " ", "a b", "a\"b", "a\\b", "é", "a\n", "\u{7f}"] {
            assert!(Scope::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_audience_may_have_a_space_and_a_class_may_not() {
        assert!(Audience::new("my api").is_ok());
        assert!(Acr::new("my acr").is_err());
    }

    #[test]
    fn the_error_names_the_kind_and_not_the_input() {
        let error = Scope::new("secret stuff").unwrap_err().to_string();
        assert!(error.contains("scope") && !error.contains("secret"), "{error}");
    }
}
