use unconfused::audit::Evidence;
use unconfused::{Grant, Guard};

fn construct(evidence: Evidence, guard: &Guard) -> Grant {
    Grant::new(evidence, guard)
}

fn conjure() -> Grant {
    Grant::default()
}

fn main() {}
