#![deny(unused_must_use)]

use time::UtcDateTime;
use unconfused::Reason;
use unconfused::proof::{Dpop, Possession};

fn possesses(dpop: &Dpop, shown: &Possession<'_>, token: &str, jkt: &str) -> Result<(), Reason> {
    dpop.check(shown, token, jkt, UtcDateTime::now())?;
    Ok(())
}

fn main() {}
