use unconfused::AccessToken;

fn convert(text: &str) -> AccessToken {
    AccessToken::from(text)
}

fn main() {}
