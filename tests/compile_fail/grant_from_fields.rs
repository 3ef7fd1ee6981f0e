use unconfused::{Evidence, Grant};

fn forge(evidence: Evidence) -> Grant {
    Grant {
        evidence: evidence,
        guard: 1,
    }
}

fn main() {}
