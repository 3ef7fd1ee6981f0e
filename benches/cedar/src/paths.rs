//! Steps that Cedar decides about, and one that a closure permits, which is subtracted.

#[path = "cases.rs"]
mod cases;

use std::hint::black_box;
use std::time::Duration;

use unconfused::policy::{Verdict, policy_fn};
use unconfused::testing::TestIssuer;
use unconfused::{Guard, Require};

use cases::{ISSUER, ORDERS};

/// Returns the path of that name; each call is one pass.
pub(crate) fn named(name: &str) -> Box<dyn FnMut()> {
    let login = TestIssuer::new(ISSUER);
    let guard = || Guard::new(ORDERS, login.issuer());
    let deciding = match name {
        "cedar-10" => guard().policy(cases::ten()),
        "cedar-1000" => guard().policy(cases::thousand()),
        "plain" => guard().policy(policy_fn(|_| Verdict::Permit)),
        _ => panic!("unknown path: {name}"),
    };
    let token = cases::token(&login).lifetime(Duration::from_secs(3600));
    let grant = token.granted_by(&guard(), Require::valid_token());
    let ask = cases::ask();
    Box::new(move || {
        let granted = deciding.narrow(&grant, ask.clone()).now().expect("at once");
        black_box(granted.expect("permitted"));
    })
}
