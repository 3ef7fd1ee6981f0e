//! The next hop: a new token for the resource that this service calls next
//! ([RFC 8693](https://www.rfc-editor.org/rfc/rfc8693)).
//!
//! A token is for one resource and stops there. You need this module if your service calls another one for the subject of a
//! request: a [`NextHop`] exchanges the credential of a [`Grant`](crate::Grant) at the authorization server for an
//! [`OutboundToken`], which is narrower, is for that resource alone, and names your service as the one who acts. The
//! [guide](crate::guide::call_the_next_service) tells the whole way.
//!
//! ```
//! use unconfused::next_hop::{ClientAuth, NextHop};
//! use unconfused::{Denial, Grant, Guard, Scope};
//! # use unconfused::client::HttpClient;
//! # use unconfused::error::ConfigError;
//!
//! const REFUND: Scope = Scope::from_static("orders:refund");
//! const CHARGE: Scope = Scope::from_static("payments:charge");
//!
//! // At the start.
//! fn payments(secret: String, http: impl HttpClient) -> Result<NextHop, ConfigError> {
//!     let server = NextHop::discover("https://login.example", ClientAuth::secret_basic("orders", secret), http)?;
//!     Ok(server.to("https://payments.example", [CHARGE])?.needs(REFUND))
//! }
//!
//! // In a handler.
//! async fn refund(guard: &Guard, grant: &Grant, payments: &NextHop) -> Result<http::Request<()>, Denial> {
//!     let token = payments.token(guard, grant).await?;
//!     let mut request = http::Request::new(());
//!     *request.uri_mut() = http::Uri::from_static("https://payments.example/charges");
//!     token.attach(&mut request).map_err(|_| guard.refuse(grant))?; // never to another origin
//!     Ok(request)
//! }
//! # let http = unconfused::client::http_client_fn(|_, _| unconfused::Answer::Now(Err(unconfused::client::HttpError::Failed("offline".into()))));
//! # assert!(payments(String::new(), http).is_ok());
//! ```

mod answer;
mod client_auth;
mod error;
mod exchange;
mod form;
mod future;
mod hop;
mod kept;
mod kind;
mod layer;
mod nonce;
mod outbound_token;
mod proof_key;
mod server;
mod target;
mod www_authenticate;

pub use client_auth::ClientAuth;
pub use error::HopError;
pub use future::{HopFuture, HopServiceError};
pub use hop::NextHop;
pub use kind::DomainGrant;
pub use layer::{NextHopLayer, NextHopService};
pub use outbound_token::{AttachError, OutboundToken};
pub use server::TokenServer;
pub use target::HopTarget;
