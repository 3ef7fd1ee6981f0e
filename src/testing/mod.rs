//! Tokens, proofs and keys for your own tests.
//!
//! Use this to test that your routes accept and refuse the right requests. The guard under test is the real one:
//! nothing here replaces or relaxes a check. Enable the feature `testing` in `[dev-dependencies]` only.
//!
//! - [`TestIssuer`] has signing keys. It mints tokens, also in the form of a vendor, rotates its keys, publishes them,
//!   and makes the [`Issuer`](crate::Issuer) for a guard.
//! - [`TestToken`] is a token to be signed: valid at first, and then with any claim, header or signature you like.
//!   [`granted_by`](TestToken::granted_by) and [`TestIssuer::grant`] make a real [`Grant`](crate::Grant) for the unit
//!   test of a handler.
//! - [`TestProofKey`] and [`TestProof`] make DPoP proofs, valid and invalid ones.
//! - [`ScriptedClient`] replaces the network for key discovery.
//! - [`unguarded`] finds routes that answer without a token.
//!
//! ```
//! use unconfused::testing::TestIssuer;
//! use unconfused::{Audience, Guard, Reason, Scope};
//!
//! const ORDERS: Audience = Audience::from_static("https://orders.example");
//! const READ: Scope = Scope::from_static("orders:read");
//!
//! let login = TestIssuer::new("https://login.example");
//! let guard = Guard::new(ORDERS, login.issuer());
//!
//! let token = login.token(&ORDERS).subject("alice").actor("agent-7").scope("orders:read");
//! let request = http::Request::get("/").header("authorization", token.expired().bearer());
//! let (mut head, ()) = request.body(()).unwrap().into_parts();
//! let denial = guard.authorize(&mut head, READ).now().unwrap().unwrap_err();
//! assert_eq!(denial.reason(), Reason::TokenExpired);
//!
//! // A handler's unit test needs a grant, and gets a real one.
//! let grant = login.grant(login.token(&ORDERS).subject("bob").scope("orders:read"), READ);
//! assert_eq!(grant.subject().name(), "bob");
//! ```

mod access_token;
mod client;
mod issuer;
mod json_object;
mod proof;
mod published;
#[cfg(test)]
mod token_cache;
mod unguarded;

pub use self::access_token::TestToken;
pub use self::client::ScriptedClient;
pub use self::issuer::TestIssuer;
pub use self::proof::{TestProof, TestProofKey};
pub use self::unguarded::{EmptyBody, Unguarded, unguarded};
