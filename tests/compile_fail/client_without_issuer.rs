use unconfused::Require;

// another trusted issuer may have a web app, too
fn require() -> Require {
    Require::valid_token().client(["web-app"])
}

fn in_person() -> Require {
    Require::valid_token().in_person(["web-app"])
}

fn main() {}
