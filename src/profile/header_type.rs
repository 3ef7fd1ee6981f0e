//! The type in a token's header.

use std::borrow::Cow;

use crate::jose::{is_type, without_prefix};

/// The `typ` in the header of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum HeaderType {
    /// `at+jwt`, with or without `application/`: an access token and no other kind
    /// ([RFC 9068 section 2.1](https://www.rfc-editor.org/rfc/rfc9068#section-2.1)).
    AccessToken,
    /// `JWT`, with or without `application/`, which does not say what kind of token it is.
    Jwt,
    /// No `typ` at all.
    Absent,
}

impl HeaderType {
    /// The name for the operator.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            HeaderType::AccessToken => "at+jwt",
            HeaderType::Jwt => "JWT",
            HeaderType::Absent => "(absent)",
        }
    }

    /// `None` for any other type.
    pub(crate) fn parse(typ: Option<&str>) -> Option<Self> {
        match typ {
            None => Some(HeaderType::Absent),
            Some(typ) if is_type(typ, "at+jwt") => Some(HeaderType::AccessToken),
            Some(typ) if is_type(typ, "jwt") => Some(HeaderType::Jwt),
            Some(_) => None,
        }
    }
}

/// Types of other names, as media types without `application/`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct OtherTypes(Vec<Cow<'static, str>>);

impl OtherTypes {
    /// Adds types. Panics if [`HeaderType`] has one of them, or if it is the name of another kind of token.
    pub(super) fn extend(&mut self, types: impl IntoIterator<Item = impl Into<Cow<'static, str>>>) {
        for typ in types.into_iter().map(Into::into) {
            let name = without_prefix(&typ).to_ascii_lowercase();
            assert!(!name.is_empty(), "an empty `typ` is not a type");
            assert!(
                HeaderType::parse(Some(&name)).is_none(),
                "`HeaderType` has the type {typ:?}: pass it to `Profile::types`"
            );
            assert!(
                !name.ends_with("+jwt") || name.starts_with("vnd."),
                "the type {typ:?} is that of another kind of token"
            );
            self.0.push(name.into());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, typ: &str) -> bool {
        self.0.iter().any(|name| is_type(typ, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_is_a_media_type() {
        for access_token in
            ["at+jwt", "AT+JWT", "at+JWT", "application/at+jwt", "Application/AT+jwt"]
        {
            let parsed = HeaderType::parse(Some(access_token));
            assert_eq!(parsed, Some(HeaderType::AccessToken), "{access_token}");
        }
        for jwt in ["JWT", "jwt", "application/jwt"] {
            assert_eq!(HeaderType::parse(Some(jwt)), Some(HeaderType::Jwt), "{jwt}");
        }
        for other in [
            "",
            "at+jwt ",
            "at+jwt; x=y",
            "application/application/at+jwt",
            "text/at+jwt",
            "dpop+jwt",
            "id_token+jwt",
            "application/é",
        ] {
            assert_eq!(HeaderType::parse(Some(other)), None, "{other}");
        }
        assert_eq!(HeaderType::parse(None), Some(HeaderType::Absent));
    }
}
