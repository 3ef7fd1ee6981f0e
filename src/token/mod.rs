//! The access token: unverified, then validated.

pub(crate) mod access_token;
pub(crate) mod actor;
mod claims;
pub(crate) mod hierarchy;
pub(crate) mod invalid;
mod limits;
mod principals;
mod terms;
mod unverified;
mod validate;

pub(crate) use access_token::AccessToken;
pub(crate) use actor::{Actor, Party};
pub use actor::{ActorSource, MayAct};
pub(crate) use claims::Claims;
pub use hierarchy::ScopeHierarchy;
pub(crate) use invalid::InvalidToken;
pub use limits::TokenLimits;
pub(crate) use terms::{IssuerTerms, Terms};
pub use unverified::{KeyHint, UnverifiedToken};
pub use validate::Validation;

pub use crate::credential::Credential;
