use unconfused::{Guard, Issuer};

fn guard(issuer: Issuer) -> Guard {
    Guard::new("https://orders.example", issuer)
}

fn main() {}
