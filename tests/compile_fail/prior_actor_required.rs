use unconfused::{AccessToken, Require};

// the record may show who acted before; a requirement cannot be made of them
fn require(token: &AccessToken) -> Require {
    Require::valid_token().actor(token.prior_actors())
}

fn main() {}
