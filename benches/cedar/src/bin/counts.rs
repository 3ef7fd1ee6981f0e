//! One path so many times: `counts PATH TIMES`. For `benches/gate`, which counts the instructions of `passes`.

#[path = "../paths.rs"]
mod paths;

/// How often a path is gone before: caches fill, buffers grow, clocks are calibrated.
const BEFORE: u32 = 250;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next();
    let times = arguments.next().and_then(|times| times.parse::<u32>().ok());
    let (Some(path), Some(times)) = (path, times) else {
        panic!("usage: counts PATH TIMES");
    };
    let mut pass = paths::named(&path);
    (0..BEFORE).for_each(|_| pass());
    passes(&mut *pass, times);
}

/// What is counted. Callgrind knows it by this name.
#[inline(never)]
fn passes(pass: &mut dyn FnMut(), times: u32) {
    (0..times).for_each(|_| pass());
}
