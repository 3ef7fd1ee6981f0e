use time::UtcDateTime;
use unconfused::error::Unmet;
use unconfused::token::UnverifiedToken;
use unconfused::Require;

fn check(token: &UnverifiedToken<'_>, now: UtcDateTime) -> Result<(), Unmet> {
    Require::valid_token().check(token, now)
}

fn main() {}
