//! Counts the allocations of one pass of each path.

/// How often a path is gone before: what is made once and kept.
const BEFORE: usize = 250;
const TIMES: usize = 100;

/// Reads the arguments `PATH...`.
pub(crate) fn run(named: impl Fn(&str) -> Box<dyn FnMut()>) {
    for name in std::env::args().skip(1) {
        let mut pass = named(&name);
        (0..BEFORE).for_each(|_| pass());
        let mut counted: Vec<u64> =
            (0..TIMES).map(|_| allocation_counter::measure(&mut pass).count_total).collect();
        counted.sort_unstable();
        let usual = counted[TIMES / 2];
        // Some may have more: what grows doubles now and then, and a line of the record may just not fit.
        let alike = counted.iter().filter(|count| **count == usual).count();
        assert!(alike >= TIMES * 3 / 4, "{name}: not the same for every pass: {counted:?}");
        println!("{name} {usual}");
    }
}
