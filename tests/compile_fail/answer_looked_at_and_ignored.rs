#![deny(unused_must_use)]

use unconfused::{Grant, Guard, Scope};

const REFUND: Scope = Scope::from_static("orders:refund");

fn refund(guard: &Guard, grant: &Grant) {
    // `None` is not a yes, and neither is `Some`
    guard.narrow(grant, REFUND).now();
}

fn main() {}
