use unconfused::audit::Evidence;

fn rewrite(evidence: &mut Evidence) {
    evidence.more = None;
}

fn main() {}
