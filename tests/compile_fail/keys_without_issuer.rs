use unconfused::keys::KeySet;
use unconfused::{Audience, Guard};

const ORDERS: Audience = Audience::from_static("https://orders.example");

fn guard(keys: KeySet) -> Guard {
    Guard::new(ORDERS, keys)
}

fn main() {}
