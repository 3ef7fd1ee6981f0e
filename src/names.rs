//! Names the owner gives: audience, scope, authentication context class. Checked once, at
//! compile time where they are constants.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// A name is empty, or has a character that its grammar forbids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind}: {grammar}")]
pub struct InvalidName {
    kind: &'static str,
    grammar: &'static str,
}

/// `%x21 / %x23-5B / %x5D-7E`: what may stand between the quotes of a challenge without an escape,
/// the space apart (RFC 6749 section 3.3, RFC 6750 section 3).
const fn is_visible(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)
}

/// Any text: an audience is a StringOrURI (RFC 7519 section 2).
const fn is_text(byte: u8) -> bool {
    !matches!(byte, 0..=0x1f | 0x7f)
}

/// A text that costs nothing to clone.
#[derive(Clone)]
enum Text {
    Fixed(&'static str),
    Made(Arc<str>),
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Text::Fixed(text) => text,
            Text::Made(text) => text,
        }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(other)
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $fits:ident, $grammar:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Text);

        impl $name {
            /// A name known at compile time. In a `const`, a bad character does not compile.
            ///
            /// # Panics
            ///
            /// Outside a `const`, with a name that [`new`](Self::new) would refuse.
            #[must_use]
            pub const fn from_static(name: &'static str) -> Self {
                assert!(Self::fits(name), concat!("not a valid ", $kind, ": ", $grammar));
                Self(Text::Fixed(name))
            }

            /// A name from configuration.
            ///
            /// # Errors
            ///
            /// [`InvalidName`] where the name is empty or has a character outside the grammar.
            pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
                let name = name.into();
                if Self::fits(&name) {
                    Ok(Self(Text::Made(name.into())))
                } else {
                    Err(InvalidName { kind: $kind, grammar: $grammar })
                }
            }

            const fn fits(name: &str) -> bool {
                let mut rest = name.as_bytes();
                let some = !rest.is_empty();
                while let [byte, tail @ ..] = rest {
                    if !$fits(*byte) {
                        return false;
                    }
                    rest = tail;
                }
                some
            }

            /// The name.
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
    /// The name of this resource: what a token must be meant for.
    ///
    /// Compared with the elements of `aud` code point by code point
    /// ([RFC 9068 section 4](https://www.rfc-editor.org/rfc/rfc9068#section-4)): no case is
    /// folded and no slash forgiven. Usually the https URL at which the API is reached; then the
    /// metadata document ([RFC 9728](https://www.rfc-editor.org/rfc/rfc9728)) can be found from it.
    ///
    /// ```
    /// use unconfused::Audience;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// assert!(Audience::new("").is_err());
    /// assert!(Audience::new("https://orders.example\n").is_err());
    /// ```
    Audience, "audience", is_text, "one or more characters, none a control character"
}

name! {
    /// What a token allows, coarsely: one scope token
    /// ([RFC 6749 section 3.3](https://www.rfc-editor.org/rfc/rfc6749#section-3.3)). Case-sensitive.
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
    Scope, "scope", is_visible, "one or more visible ASCII characters, no `\"`, no `\\`"
}

name! {
    /// How well the subject authenticated: one authentication context class
    /// ([RFC 9470 section 2](https://www.rfc-editor.org/rfc/rfc9470#section-2)), for instance `phr`.
    ///
    /// Classes have no order of their own. What is enough is a list.
    ///
    /// ```
    /// use unconfused::Acr;
    ///
    /// const PHISHING_RESISTANT: Acr = Acr::from_static("phr");
    /// assert!("two words".parse::<Acr>().is_err());
    /// ```
    Acr, "authentication context class", is_visible, "one or more visible ASCII characters, no `\"`, no `\\`"
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
    fn an_audience_may_have_a_space_and_a_scope_not() {
        assert!(Audience::new("my api").is_ok());
        assert!(Acr::new("my acr").is_err());
    }

    #[test]
    fn the_error_names_the_kind_and_not_the_input() {
        let error = Scope::new("secret stuff").unwrap_err().to_string();
        assert!(error.contains("scope") && !error.contains("secret"), "{error}");
    }
}
