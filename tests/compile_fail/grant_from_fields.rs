use unconfused::audit::Evidence;
use unconfused::Grant;

fn forge(evidence: Evidence) -> Grant {
    Grant {
        evidence: evidence,
        guard: 1,
    }
}

fn main() {}
