#![deny(unused_must_use)]

use unconfused::{Grant, Guard, Scope};

const REFUND: Scope = Scope::from_static("orders:refund");

fn refund(guard: &Guard, grant: &Grant) {
    guard.narrow(grant, REFUND);
}

fn main() {}
