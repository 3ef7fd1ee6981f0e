use unconfused::{AccessToken, Audience};

fn readdress(token: &mut AccessToken) {
    token.audience = Audience::from_static("https://billing.example");
}

fn main() {}
