//! Authorization details ([RFC 9396](https://www.rfc-editor.org/rfc/rfc9396)): what exactly was consented to, compared
//! with what is asked.
//!
//! A scope says coarsely what a token may do. An authorization detail says which order, how much and to whom. You need
//! this module to define the types that your resource knows ([`DetailType`]), to state a concrete operation ([`Detail`])
//! in a [`Require::detail`](crate::Require::detail), and to compare details without a guard ([`GrantedDetails`]).
//!
//! ```
//! # #[cfg(feature = "testing")] {
//! use unconfused::detail::{Detail, DetailType};
//! use unconfused::{Audience, Guard, Reason, Require};
//! # use unconfused::testing::TestIssuer;
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//!
//! const ORDERS: Audience = Audience::from_static("https://orders.example");
//! # let login = TestIssuer::new("https://login.example");
//! # let issuer = login.issuer();
//!
//! let refunds = DetailType::new("order_refund").exact("order").at_most("amount");
//! let guard = Guard::new(ORDERS, issuer).detail_type(refunds);
//!
//! let consent = serde_json::json!([{"type": "order_refund", "order": "7", "amount": "12.50"}]);
//! let token = login.token(&ORDERS).claim("authorization_details", consent);
//! let grant = token.granted_by(&guard, Require::valid_token());
//!
//! // The handler states what it is about to do.
//! let refund = |amount| Detail::of("order_refund").with("order", 7).with("amount", amount);
//! assert!(guard.narrow(&grant, Require::detail(refund("12.5"))).await.is_ok());
//!
//! let denial = guard.narrow(&grant, Require::detail(refund("13"))).await.unwrap_err();
//! assert_eq!(denial.reason(), Reason::AuthorizationDetailsInsufficient);
//! # });
//! # }
//! # Ok::<(), std::io::Error>(())
//! ```

mod asked;
mod decimal;
mod definition;
mod granted;
mod path;
mod problem;
mod remediation;

pub use asked::{Consent, Detail, DetailValue};
pub use definition::{DetailType, DetailTypes};
pub use granted::GrantedDetails;
pub use path::MemberPath;
pub use problem::DetailProblem;
pub use remediation::Remediation;
