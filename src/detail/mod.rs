//! Authorization details ([RFC 9396](https://www.rfc-editor.org/rfc/rfc9396)): what exactly was consented to, compared
//! with what is asked.
//!
//! A scope says coarsely what a token may do. An authorization detail says which order, how much and to whom. You need
//! this module to define the types that your resource knows ([`DetailType`]), to state a concrete operation ([`Detail`])
//! in a [`Require::detail`](crate::Require::detail), and to compare details without a guard ([`GrantedDetails`]).

mod asked;
mod decimal;
mod definition;
mod granted;
mod path;
mod problem;

pub use asked::{Consent, Detail, DetailValue};
pub use definition::{DetailType, DetailTypes};
pub use granted::GrantedDetails;
pub use path::MemberPath;
pub use problem::DetailProblem;
