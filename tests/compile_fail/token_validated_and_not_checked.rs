#![deny(unused_must_use)]

use time::UtcDateTime;
use unconfused::error::InvalidToken;
use unconfused::keys::KeySet;
use unconfused::token::{UnverifiedToken, Validation};

fn authorize(raw: &str, validation: &Validation, keys: &KeySet) -> Result<(), InvalidToken> {
    UnverifiedToken::parse(raw)?.validate(validation, keys, UtcDateTime::now())?;
    Ok(())
}

fn main() {}
