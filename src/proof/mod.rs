//! Proof of possession: how a sender shows that it holds the key that a token is bound to.
//!
//! Anyone who has a bearer token can use it. If a log, a proxy or a compromised agent leaks one, it works for the
//! thief until it expires. A *sender-constrained* token names a key in its `cnf` claim
//! ([RFC 7800](https://www.rfc-editor.org/rfc/rfc7800)), and is refused without a proof that the sender holds that
//! key. The issuer binds the token. There are two ways, and one token may be bound in both:
//!
//! - **DPoP** ([RFC 9449](https://www.rfc-editor.org/rfc/rfc9449)): the client signs a proof for each request and sends
//!   it in the field `DPoP`. It needs no client certificates and works behind any proxy. Set up a [`Dpop`], add
//!   [`Nonces`] if you do not want to rely on the clocks of clients, and pass it to [`Guard::dpop`] with a
//!   [store](crate::replay) that accepts each proof once.
//! - **Mutual TLS** ([RFC 8705](https://www.rfc-editor.org/rfc/rfc8705)): the client presents a certificate in the TLS
//!   handshake. Nothing is signed for a request and nothing is stored. Choose it if your clients have certificates
//!   anyway. [`Guard::client_certificate`] finds the [`ClientCertificate`] of a request, also behind a proxy that
//!   terminates TLS.
//!
//! A guard that is set up for neither refuses bound tokens: they never count as bearer tokens.
//! [`Guard::sender_constrained`] also refuses tokens that are not bound. [`Possession`] is for the plain functions.
//!
//! ```
//! # #[cfg(feature = "testing")] {
//! use unconfused::proof::Dpop;
//! use unconfused::replay::MemoryReplayStore;
//! use unconfused::testing::{TestIssuer, TestProofKey};
//! use unconfused::{Audience, Guard, Reason, Scope};
//!
//! const ORDERS: Audience = Audience::from_static("https://orders.example");
//! const READ: Scope = Scope::from_static("orders:read");
//!
//! let login = TestIssuer::new("https://login.example");
//! let dpop = Dpop::for_base_url("https://orders.example")?;
//! let guard = Guard::new(ORDERS, login.issuer()).dpop(dpop, MemoryReplayStore::new());
//!
//! // A thief has the token, but not the key that it is bound to.
//! let stolen = login.token(&ORDERS).scope("orders:read").bound_to(&TestProofKey::new());
//! let request = http::Request::get("/orders").header("authorization", stolen.bearer());
//! let (mut head, ()) = request.body(()).unwrap().into_parts();
//! let denial = guard.authorize(&mut head, READ).now().unwrap().unwrap_err();
//! assert_eq!(denial.reason(), Reason::BoundTokenAsBearer);
//! # }
//! # Ok::<(), unconfused::error::ConfigError>(())
//! ```
//!
//! [`Guard::dpop`]: crate::Guard::dpop
//! [`Guard::client_certificate`]: crate::Guard::client_certificate
//! [`Guard::sender_constrained`]: crate::Guard::sender_constrained

mod accepted;
mod confirmation;
mod confirmed;
mod dpop;
mod forwarded;
mod htu;
mod known_key;
mod mtls;
mod nonce;
mod possession;

pub use accepted::AcceptedProof;
pub(crate) use confirmation::Confirmation;
pub(crate) use confirmed::Confirmed;
pub use dpop::Dpop;
pub(crate) use known_key::KnownKey;
pub use mtls::ClientCertificate;
pub use nonce::Nonces;
pub use possession::Possession;
pub(crate) use possession::{DpopRequest, ProofField};
