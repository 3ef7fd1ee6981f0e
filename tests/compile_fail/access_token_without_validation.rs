use unconfused::{AccessToken, UnverifiedToken};

fn believe(token: UnverifiedToken<'_>) -> AccessToken {
    token.into()
}

fn main() {}
