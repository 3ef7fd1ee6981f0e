//! What is known of the operations of a service before a request comes: a list as data, and what stands out in it.

mod finding;
mod known;
mod list;
mod listed;
mod written;

pub use finding::{Finding, FindingKind};
pub(crate) use known::{Known, KnownIssuer};
pub use list::Operations;
pub(crate) use listed::Asked;
pub use listed::ListedOperation;
pub(super) use written::table;
