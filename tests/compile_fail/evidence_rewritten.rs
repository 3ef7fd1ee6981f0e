use unconfused::{Evidence, Require};

fn rewrite(evidence: &mut Evidence) {
    evidence.requirement = Require::valid_token().into();
}

fn main() {}
