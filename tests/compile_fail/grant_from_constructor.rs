use unconfused::audit::Evidence;
use unconfused::Grant;

fn construct(evidence: Evidence) -> Grant {
    Grant::new(evidence, 1)
}

fn conjure() -> Grant {
    Grant::default()
}

fn main() {}
