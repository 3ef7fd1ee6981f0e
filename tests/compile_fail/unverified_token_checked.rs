use time::UtcDateTime;
use unconfused::{Require, Unmet, UnverifiedToken};

fn check(token: &UnverifiedToken<'_>, now: UtcDateTime) -> Result<(), Unmet> {
    Require::valid_token().check(token, now)
}

fn main() {}
