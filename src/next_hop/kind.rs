//! What the token of a hop is made from, and how.

use super::server::TokenServer;

/// How a domain asks for the token of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DomainGrant {
    /// A JWT authorization grant ([RFC 7523](https://www.rfc-editor.org/rfc/rfc7523),
    /// draft-ietf-oauth-identity-chaining).
    Jwt,
    /// An identity assertion (ID-JAG, draft-ietf-oauth-identity-assertion-authz-grant).
    IdJag,
}

impl DomainGrant {
    pub(super) fn token_type(self) -> &'static str {
        match self {
            DomainGrant::Jwt => "urn:ietf:params:oauth:token-type:jwt",
            DomainGrant::IdJag => "urn:ietf:params:oauth:token-type:id-jag",
        }
    }

    pub(super) fn jwt_types(self) -> &'static [&'static str] {
        match self {
            DomainGrant::Jwt => &["JWT", "authorization-grant+jwt", ""],
            DomainGrant::IdJag => &["oauth-id-jag+jwt"],
        }
    }
}

/// The grant that a hop gets its token by.
#[derive(Clone)]
pub(super) enum HopKind {
    Exchange,
    OnOwnBehalf,
    Through { server: TokenServer, grant: DomainGrant },
    Transaction { trust_domain: String },
}
