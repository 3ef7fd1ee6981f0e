use std::sync::Arc;
use unconfused::{Evidence, Grant};

fn forge(evidence: Evidence) -> Grant {
    Grant {
        evidence: Arc::new(evidence),
        guard: 1,
    }
}

fn main() {}
