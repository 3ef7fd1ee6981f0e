use unconfused::{Guard, Issuer};

fn guard(issuer: Issuer) -> Guard {
    Guard::new(issuer)
}

fn main() {}
