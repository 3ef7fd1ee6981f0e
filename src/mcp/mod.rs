//! MCP servers: the tool that is called is the tool that is authorized.
//!
//! You need this module if agents reach your API through an MCP server (Model Context Protocol, versions 2026-07-28 and
//! 2025-11-25). Only the body of such a request says which tool it calls. [`Guard::mcp`](crate::Guard::mcp) makes a
//! layer of a table, [`Tools`], and stands in front of any MCP server that is an HTTP service. [The
//! guide](crate::guide::mcp_servers) says what clients are told, and how a tool refuses by itself.
//!
//! ```
//! # #[cfg(all(feature = "axum", feature = "testing"))] {
//! use axum::{Router, body::Body, routing::any};
//! use http::Request;
//! use tower::ServiceExt;
//! use unconfused::mcp::Tools;
//! use unconfused::{Audience, Guard, Scope};
//! # use unconfused::testing::TestIssuer;
//!
//! const NOTES: Audience = Audience::from_static("https://notes.example/mcp");
//! const READ: Scope = Scope::from_static("notes:read");
//! const WRITE: Scope = Scope::from_static("notes:write");
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! # let login = TestIssuer::new("https://login.example");
//! # let issuer = login.issuer();
//! # async fn server() -> &'static str { "{}" }
//!
//! let guard = Guard::new(NOTES, issuer);
//! let tools = Tools::new(READ).tool("search", READ).tool("delete", WRITE).method("tools/list", READ);
//! // In your service: `Router::new().nest_service("/mcp", server).layer(guard.mcp(tools))`.
//! let app = Router::new().route("/mcp", any(server)).layer(guard.mcp(tools));
//!
//! let token = login.token(&NOTES).scope("notes:read").bearer();
//! let call = |tool| {
//!     let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}"}}}}"#);
//!     let request = Request::post("/mcp").header("authorization", &token);
//!     request.header("content-type", "application/json").body(Body::from(body))
//! };
//! assert_eq!(app.clone().oneshot(call("search")?).await?.status(), 200);
//! let denied = app.oneshot(call("delete")?).await?;
//! assert_eq!(denied.status(), 403);
//! assert!(denied.headers()["www-authenticate"].to_str()?.contains(r#"scope="notes:read notes:write""#));
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod arguments;
mod error;
mod header;
mod message;
mod problem;
mod session;
mod spelling;
mod tools;

pub use crate::layer::mcp::{Call, MessageBody, ToolsBody, ToolsFuture, ToolsLayer, ToolsService};
pub use arguments::{Arguments, InvalidArguments};
pub use error::JsonRpcError;
pub use message::Message;
pub use problem::{InvalidMessage, Problem};
pub use session::SessionKey;
pub use tools::Tools;
pub(crate) use tools::{Rule, Settings};
