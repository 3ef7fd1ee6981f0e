#![deny(unused_must_use)]

use unconfused::{Grant, Guard};

fn close(guard: &Guard, grant: &Grant) {
    guard.refuse(grant);
}

fn main() {}
