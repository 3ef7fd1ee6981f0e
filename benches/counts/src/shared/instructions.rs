//! Runs one path so many times, for `benches/gate`, which counts the instructions of `passes`.

/// How often a path is gone before: caches fill, buffers grow, clocks are calibrated.
const BEFORE: u32 = 250;

/// Reads the arguments `PATH TIMES`.
pub(crate) fn run(named: impl FnOnce(&str) -> Box<dyn FnMut()>) {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next();
    let times = arguments.next().and_then(|times| times.parse::<u32>().ok());
    let (Some(path), Some(times)) = (path, times) else {
        panic!("usage: counts PATH TIMES");
    };
    let mut pass = named(&path);
    (0..BEFORE).for_each(|_| pass());
    passes(&mut *pass, times);
}

/// What is counted. Callgrind knows it by this name.
#[inline(never)]
fn passes(pass: &mut dyn FnMut(), times: u32) {
    (0..times).for_each(|_| pass());
}
