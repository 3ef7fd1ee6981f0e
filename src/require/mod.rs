//! What an operation asks of a token, as data: the requirement, its checks, and what a token lacks.

mod lists;
mod required_claim;
mod requirement;
mod token_role;
mod unmet;

// After `requirement`: rustdoc lists the methods of `Require` in this order.
mod claims;

mod check;
mod details;
mod display;
mod parse;

pub use requirement::Require;
pub(crate) use token_role::TokenRole;
pub use unmet::Unmet;
