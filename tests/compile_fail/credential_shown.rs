use unconfused::token::Credential;

fn log(credential: &Credential) -> String {
    format!("{credential}")
}

fn main() {}
