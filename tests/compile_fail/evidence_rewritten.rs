use unconfused::audit::Evidence;

fn rewrite(evidence: &mut Evidence) {
    evidence.later = None;
}

fn main() {}
