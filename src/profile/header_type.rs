//! The type in a token's header.

use crate::jose::is_type;

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
