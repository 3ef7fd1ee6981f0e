use unconfused::token::UnverifiedToken;
use unconfused::AccessToken;

fn believe(token: UnverifiedToken<'_>) -> AccessToken {
    token.into()
}

fn main() {}
