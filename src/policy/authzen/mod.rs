//! AuthZEN: a decision point that is asked over HTTP.

mod access_request;
mod asked;
mod decision;
mod definition;
mod endpoints;
mod evaluation;
mod exchange;

pub use definition::AuthZenPolicy;
