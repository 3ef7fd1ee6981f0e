//! A denial: the reason for the operator, and the answer for the client.

mod conversions;
mod definition;
mod grpc;
mod problem;
mod task;

pub use definition::Denial;
pub(crate) use definition::{DPOP_NONCE, MakeText};
pub use task::ApprovalTask;
