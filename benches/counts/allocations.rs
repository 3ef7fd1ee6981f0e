//! The allocations of one pass: `allocations PATH...`. Not in `counts`, since the counting takes instructions.

mod paths;

const TIMES: u64 = 100;

fn main() {
    println!("# {}", openssl::version::version());
    for name in std::env::args().skip(1) {
        // `cargo bench` comes by here too, and names none.
        let Some(mut pass) = paths::named(&name) else { continue };
        // What is made once and kept.
        (0..TIMES).for_each(|_| pass());
        let counted = allocation_counter::measure(|| (0..TIMES).for_each(|_| pass())).count_total;
        assert_eq!(counted % TIMES, 0, "{name}: not the same for every pass");
        println!("{name} {}", counted / TIMES);
    }
}
