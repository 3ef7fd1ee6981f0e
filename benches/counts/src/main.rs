//! One path so many times: `counts PATH TIMES`. For `benches/gate`, which counts its instructions.

mod paths;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next();
    let times = arguments.next().and_then(|times| times.parse::<u32>().ok());
    let (Some(path), Some(times)) = (path, times) else {
        panic!("usage: counts PATH TIMES");
    };
    let mut pass = paths::named(&path);
    (0..times).for_each(|_| pass());
}
