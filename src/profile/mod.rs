//! Profiles: how an issuer writes its access tokens.
//!
//! Without a profile, an issuer's tokens must follow RFC 9068 strictly. The defaults of most vendors do not: `typ` is
//! `JWT`, there is no `jti`, the client is in `azp`. You need this module if tokens of your issuer are refused with
//! `token_type_mismatch`, `required_claim_missing`, `claim_type_invalid` or `token_kind_rejected`. A [`Profile`] is
//! data: it says which claim holds what, and what is checked instead of what the issuer leaves out. Set it with
//! [`Issuer::profile`](crate::Issuer::profile). Whatever the profile, subject, client, actor, tenant and scopes are
//! read from the token with the same methods.
//!
//! | profile | what deviates from RFC 9068 |
//! |---|---|
//! | [`rfc9068`](Profile::rfc9068), the default | nothing |
//! | [`auth0`](Profile::auth0) | `typ`, client, token id; tenant; tokens without a user; agents as subjects |
//! | [`auth0_rfc9068`](Profile::auth0_rfc9068) | tenant; tokens without a user; agents as subjects |
//! | [`clerk`](Profile::clerk) | `typ`, client, token id; `act` names an impersonator |
//! | [`cloudflare_access`](Profile::cloudflare_access) | `typ`, client, token id; tokens without a user |
//! | [`cognito`](Profile::cognito) | `typ`; most tokens have no audience |
//! | [`duende`](Profile::duende) | scopes may be an array; tokens without a user |
//! | [`entra_v1`](Profile::entra_v1), [`entra_v2`](Profile::entra_v2) | `typ`, subject, client, token id, scopes; tenant; tokens without a user; agents |
//! | [`google_iap`](Profile::google_iap) | `typ`; no client and no token id; service accounts |
//! | [`keycloak`](Profile::keycloak) | `typ`, client; tokens without a user |
//! | [`logto`](Profile::logto) | tenant |
//! | [`okta`](Profile::okta) | `typ`, client, scopes |
//! | [`ory_hydra`](Profile::ory_hydra) | `typ`, scopes |
//! | [`pingone`](Profile::pingone) | `typ`, token id; tenant; tokens without a user |
//! | [`workos`](Profile::workos) | `typ`, client; tenant; tokens without a user; `act` names an impersonator |
//! | [`wso2`](Profile::wso2) | tenant; tokens without a user; agents as subjects |
//! | [`zitadel`](Profile::zitadel) | `typ`, scopes; tenant; tokens without a user cannot be told apart |
//!
//! The profiles of vendors follow the vendors' documentation. They were not run against the vendors' services: try
//! yours with a token of your own.
//!
//! ```
//! use unconfused::Issuer;
//! use unconfused::keys::KeySet;
//! use unconfused::profile::{ClaimRule, HeaderType, Profile, ScopeShape};
//!
//! # let keys = KeySet::default();
//! // one of the list
//! let okta = Issuer::new("https://dev-1.okta.com/oauth2/default", keys.clone()).profile(Profile::okta());
//!
//! // one of your own
//! let own = Profile::rfc9068()
//!     .types([HeaderType::Jwt])
//!     .client_claims(["azp"])
//!     .scope_claims([("scp", ScopeShape::Array)])
//!     .token_id_optional()
//!     .requires_one_of([ClaimRule::is("use", "api")]);
//! let login = Issuer::new("https://login.example", keys).profile(own);
//! ```

mod claim_name;
mod claim_rule;
mod definition;
mod header_type;
mod kinds;
#[cfg(feature = "testing")]
mod minting;
mod vendors;

pub use claim_rule::ClaimRule;
pub use definition::{Profile, ScopeShape};
pub use header_type::HeaderType;
pub(crate) use kinds::SubjectKind;
