//! The allocations of one pass: `allocations PATH...`. Not in `counts`, since the counting takes instructions.

#[path = "../paths.rs"]
mod paths;

const TIMES: u64 = 100;

fn main() {
    println!("# {}", openssl::version::version());
    for name in std::env::args().skip(1) {
        let mut pass = paths::named(&name);
        // What is made once and kept.
        (0..TIMES).for_each(|_| pass());
        let counted = allocation_counter::measure(|| (0..TIMES).for_each(|_| pass())).count_total;
        assert_eq!(counted % TIMES, 0, "{name}: not the same for every pass");
        println!("{name} {}", counted / TIMES);
    }
}
