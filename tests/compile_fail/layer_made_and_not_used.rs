#![deny(unused_must_use)]

use unconfused::{Guard, Scope};

const READ: Scope = Scope::from_static("orders:read");

fn protect(guard: &Guard) {
    guard.require(READ);
}

fn main() {}
