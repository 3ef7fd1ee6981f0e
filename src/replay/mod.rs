//! Stores that remember what may be used only once: DPoP proofs and spent tokens.
//!
//! You need a store for two settings. [`Guard::dpop`] accepts each proof once.
//! [`Guard::replay`] spends tokens that a route accepts once ([`Require::single_use`]), and
//! [approvals](crate::approvals). Both may share a store.
//!
//! - [`MemoryReplayStore`] is for a service that is **one process**. It is bounded and needs no set-up.
//! - `RedisReplayStore` (feature `redis`) is for a service of **several processes**. With one store per process,
//!   each process would accept the same proof once. Call [`Guard::ready`] when the service starts.
//! - [`ReplayStore`] is the trait for a store of your own.
//!
//! A store does not know what was used **before it started**, so it accepts nothing that may have been issued before
//! then. After a start, a guard with the defaults refuses DPoP proofs for about 11 seconds, or 3 if they need nonces,
//! and single-use tokens that were issued before the start or within the leeway after it. In a test, create the store
//! with a start in the past: [`MemoryReplayStore::new_at`].
//!
//! ```
//! # #[cfg(feature = "testing")] {
//! use time::UtcDateTime;
//! use unconfused::replay::MemoryReplayStore;
//! use unconfused::testing::TestIssuer;
//! use unconfused::{Audience, Guard, Reason, Require, Scope};
//!
//! const ORDERS: Audience = Audience::from_static("https://orders.example");
//! const REFUND: Scope = Scope::from_static("orders:refund");
//!
//! let login = TestIssuer::new("https://login.example");
//! let store = MemoryReplayStore::new_at(UtcDateTime::UNIX_EPOCH); // in a service: `new()`
//! let guard = Guard::new(ORDERS, login.issuer()).replay(store);
//!
//! let token = login.token(&ORDERS).scope("orders:refund").bearer();
//! let refund = || {
//!     let request = http::Request::post("/orders/7/refund").header("authorization", &token);
//!     let (mut head, ()) = request.body(()).unwrap().into_parts();
//!     guard.authorize(&mut head, Require::scope(REFUND).single_use()).now().unwrap()
//! };
//! assert!(refund().is_ok());
//! assert_eq!(refund().unwrap_err().reason(), Reason::TokenSpent);
//! # }
//! ```
//!
//! [`Guard::dpop`]: crate::Guard::dpop
//! [`Guard::ready`]: crate::Guard::ready
//! [`Guard::replay`]: crate::Guard::replay
//! [`Require::single_use`]: crate::Require::single_use

mod entry;
mod memory;
#[cfg(feature = "redis")]
mod redis;
mod store;

pub use self::entry::ReplayEntry;
pub use self::memory::MemoryReplayStore;
#[cfg(feature = "redis")]
pub use self::redis::RedisReplayStore;
pub use self::store::{Remembered, ReplayAnswer, ReplayStore, StoreStatus, StoreUnavailable};
