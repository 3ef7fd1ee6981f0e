//! The layer in front of an MCP server. It reads a message, asks the guard, and translates; the room `mcp` knows the
//! protocol.

mod body;
mod call;
mod list;
mod read;
mod service;

pub use body::{MessageBody, ToolsBody};
pub use call::Call;
pub use service::{ToolsFuture, ToolsLayer, ToolsService};
