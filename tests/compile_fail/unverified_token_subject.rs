use unconfused::token::UnverifiedToken;

fn who(token: &UnverifiedToken<'_>) -> String {
    token.subject().to_owned()
}

fn main() {}
