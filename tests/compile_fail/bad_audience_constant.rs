use unconfused::Audience;

const ORDERS: Audience = Audience::from_static("");

fn main() {
    let _ = ORDERS;
}
