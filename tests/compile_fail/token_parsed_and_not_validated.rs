#![deny(unused_must_use)]

use unconfused::error::InvalidToken;
use unconfused::token::UnverifiedToken;

fn authenticate(raw: &str) -> Result<(), InvalidToken> {
    UnverifiedToken::parse(raw)?;
    Ok(())
}

fn main() {}
