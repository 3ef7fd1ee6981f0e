use unconfused::{Guard, Issuer, Scope};

const READ: Scope = Scope::from_static("orders:read");

fn guard(issuer: Issuer) -> Guard {
    Guard::new(READ, issuer)
}

fn main() {}
