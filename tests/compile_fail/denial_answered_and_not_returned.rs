#![deny(unused_must_use)]

use unconfused::error::Unmet;
use unconfused::Denial;

fn refuse(unmet: Unmet) {
    Denial::from(unmet).respond("");
}

fn forget(unmet: Unmet) {
    Denial::from(unmet);
}

fn main() {}
