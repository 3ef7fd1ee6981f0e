#![deny(unused_must_use)]

use time::UtcDateTime;
use unconfused::{AccessToken, Require, Scope};

const READ: Scope = Scope::from_static("orders:read");

fn authorize(token: &AccessToken) {
    Require::scope(READ).check(token, UtcDateTime::now());
}

fn main() {}
