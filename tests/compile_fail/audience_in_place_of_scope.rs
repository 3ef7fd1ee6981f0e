use unconfused::{Audience, Require};

const ORDERS: Audience = Audience::from_static("https://orders.example");

fn main() {
    let _ = Require::scope(ORDERS);
}
