use unconfused::Evidence;

fn rewrite(evidence: &mut Evidence) {
    evidence.more = None;
}

fn main() {}
