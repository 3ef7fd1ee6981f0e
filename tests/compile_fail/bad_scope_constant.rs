use unconfused::Scope;

const READ: Scope = Scope::from_static("orders read");

fn main() {
    let _ = READ;
}
