//! Approvals of single operations: asked for with a signed challenge, given by a human elsewhere, recognized when they
//! come back (draft-rosomakho-oauth-txn-challenge).
//!
//! You need this module if an operation is so costly or destructive that a token is not enough: it must have been
//! approved by a human, this very operation, recently, once. [`Detail::approved`](crate::detail::Detail::approved) asks
//! for that, and [`Guard::approvals`](crate::Guard::approvals) with [`Approvals`] makes it possible. The guide
//! [approves one operation](crate::guide::approve_one_operation) and says what this proves.
//!
//! ```
//! # #[cfg(feature = "testing")] {
//! use unconfused::approvals::{Approvals, SigningKey};
//! use unconfused::detail::{Detail, DetailType};
//! use unconfused::keys::Algorithm;
//! use unconfused::replay::MemoryReplayStore;
//! use unconfused::{Audience, Guard, Reason, Require};
//! # use unconfused::testing::TestIssuer;
//!
//! const ORDERS: Audience = Audience::from_static("https://orders.example");
//! # let login = TestIssuer::new("https://login.example");
//! # let signing_key = SigningKey::generate(Algorithm::Es256, "2026-11");
//! # let secret = [1; 32];
//!
//! let guard = Guard::new(ORDERS, login.issuer())
//!     .detail_type(DetailType::new("order_refund").exact("order").at_most("amount"))
//!     .approvals(Approvals::new(signing_key, secret, "https://login.example"))
//!     .replay(MemoryReplayStore::new());
//!
//! let refund = Detail::of("order_refund").with("order", 7).with("amount", "12.50");
//! let request = http::Request::post("/orders/7/refund")
//!     .header("authorization", login.token(&ORDERS).bearer())
//!     .header("accept-txn-challenge", "?1");
//! let (mut head, ()) = request.body(()).unwrap().into_parts();
//! let answer = guard.authorize(&mut head, Require::detail(refund.approved())).now().unwrap();
//!
//! let denial = answer.unwrap_err();
//! assert_eq!(denial.reason(), Reason::TransactionAuthorizationRequired);
//! // The client hands this to the server, unchanged.
//! assert!(denial.challenge().unwrap().transaction_challenge().is_some());
//! # }
//! ```

mod problem;
mod reason_text;
mod requester;
mod server;
mod settings;
mod signal;
mod transaction;
mod txn;

pub use crate::jose::SigningKey;
pub use problem::ApprovalProblem;
pub use requester::Requester;
pub use server::TransactionServer;
pub use settings::Approvals;
pub(crate) use signal::accepts_challenge;
pub use transaction::Transaction;
pub(crate) use transaction::has_own_txn;
pub use txn::TransactionKey;
