//! The signature alone, without a server: in a loop, and with one of the things between that a server does.

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use axum::body::Body;
use cpu_time::ThreadTime;
use tower::Service as _;

use super::{Setting, median, parts_of};
use crate::lab::{self, Fallible, Wire};

pub const NAMES: [&str; 6] = [
    "in a loop, one token",
    "in a loop, another token each time",
    "after two system calls that move a request",
    "after a request to the bare router, in process",
    "after both",
    "after 512 KiB of other memory were read",
];

const TIMES: usize = 1_000;
/// What disturbs a turn of the loop does not disturb the others.
const TURNS: usize = 25;

/// Verifies the signature of every token once.
pub fn verify_each(setting: &Setting) {
    for token in &setting.tokens {
        let (message, signature) = parts_of(token);
        assert!((setting.verify)(black_box(message), &signature));
    }
}

/// Nanoseconds of one verification, for each of the names.
pub fn measure(setting: &Setting) -> Fallible<[f64; NAMES.len()]> {
    let parts: Vec<_> = setting.tokens.iter().map(|token| parts_of(token)).collect();
    let verify = |n: usize| {
        let (message, signature) = &parts[n % parts.len()];
        assert!((setting.verify)(black_box(message), signature));
    };
    let in_a_loop = |step: usize| {
        let timed = |first: usize| {
            let begin = ThreadTime::now();
            (first..first + TIMES / TURNS).for_each(|n| verify(n * step));
            begin.elapsed().as_nanos() as f64 / (TIMES / TURNS) as f64
        };
        median(&(0..TURNS).map(|turn| timed(turn * TIMES / TURNS)).collect::<Vec<_>>())
    };
    let after = |mut what: Box<dyn FnMut(usize) + '_>| {
        let timed = |n: usize| {
            what(n);
            let begin = Instant::now();
            verify(n);
            begin.elapsed().as_nanos() as f64
        };
        median(&(0..TIMES).map(timed).collect::<Vec<_>>())
    };

    let (mut one, mut other) = UnixStream::pair()?;
    let mut buffer = vec![0; 4096];
    let mut move_a_request = move |n: usize| {
        let token = setting.tokens[n % setting.tokens.len()].as_bytes();
        one.write_all(token).expect("room for one token");
        let _ = other.read(&mut buffer).expect("the token");
    };
    let (mut router, runtime) = (lab::bare(), lab::foreground()?);
    let mut call_the_router = move |n: usize| {
        let wire = Wire::new(&setting.tokens[n % setting.tokens.len()]);
        let answer = runtime.block_on(router.call(wire.request::<Body>()));
        assert!(black_box(answer).is_ok());
    };
    let memory = vec![1_u8; 512 * 1024];
    let read_memory = |_: usize| {
        let sum: u64 = memory.iter().step_by(64).map(|byte| u64::from(*byte)).sum();
        black_box(sum);
    };
    Ok([
        in_a_loop(0),
        in_a_loop(1),
        after(Box::new(&mut move_a_request)),
        after(Box::new(&mut call_the_router)),
        after(Box::new(|n| {
            move_a_request(n);
            call_the_router(n);
        })),
        after(Box::new(read_memory)),
    ])
}
