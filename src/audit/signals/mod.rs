//! The three signals: counted from the record, beside the list of operations.

mod html;
mod page;
mod report;
mod sink;
mod tally;
mod text;

pub use report::{ActorName, ActorSignals, OperationSignals, SignalsReport};
pub use sink::Signals;
