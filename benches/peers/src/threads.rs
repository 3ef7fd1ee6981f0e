//! Two threads that send the same token at once, through clones of one router.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use tower::Service;

use crate::lab::{self, Lab, Wire};
use crate::measure::Pace;
use crate::ours;
use crate::report::{Spread, Threads, ratios};

/// In each round, every router is measured this often, in turn with the others.
const TURNS: u32 = 25;
/// A thread looks at the clock once for so many requests.
const BETWEEN: u64 = 20;
/// What is allocated or learned once in a thread is not measured.
const WARM_UP: u64 = 500;

pub fn measure(lab: &Lab, pace: Pace) -> Vec<Threads> {
    let routers = ours::shared(lab);
    let mut scaling = vec![Vec::new(); routers.len()];
    for _ in 0..pace.rounds {
        let mut served = vec![[0.0; 2]; routers.len()];
        for _ in 0..TURNS {
            for threads in [1, 2] {
                for ((_, router), served) in routers.iter().zip(&mut served) {
                    served[threads - 1] += throughput(lab, router, threads, pace.slice / 5);
                }
            }
        }
        for ([one, two], scaling) in served.iter().zip(&mut scaling) {
            scaling.push(two / one);
        }
    }
    let bare = scaling[0].clone();
    let names = routers.iter().map(|(name, _)| *name);
    let measured = names.zip(scaling).map(|(name, rounds)| {
        let to_bare = ratios(&rounds, &bare);
        let Spread { median, least, most } = Spread::of(&to_bare);
        let (alg, two) = (lab.alg, Spread::of(&rounds).median);
        println!(
            "{alg} {name}: two threads serve {two:.2} times as much as one; \
             to the bare router's {median:.3} ({least:.3}-{most:.3})"
        );
        Threads { algorithm: alg.into(), name: name.into(), rounds, to_bare }
    });
    measured.collect()
}

/// Requests a second of all threads. A thread shares nothing with the other but what the router shares: it has its own
/// clone, runtime, header values and count.
fn throughput(lab: &Lab, router: &Router, threads: usize, slice: Duration) -> f64 {
    let (barrier, token) = (Barrier::new(threads), lab.token.as_str());
    std::thread::scope(|scope| {
        let serve = || {
            let (mut router, wire) = (router.clone(), Wire::new(token));
            let runtime = lab::foreground().expect("a runtime");
            runtime.block_on(async {
                requests(&mut router, &wire, WARM_UP).await;
                barrier.wait();
                let (begin, mut served) = (Instant::now(), 0_u64);
                loop {
                    requests(&mut router, &wire, BETWEEN).await;
                    served += BETWEEN;
                    let elapsed = begin.elapsed();
                    if elapsed >= slice {
                        break served as f64 / elapsed.as_secs_f64();
                    }
                }
            })
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(serve)).collect();
        running.into_iter().map(|thread| thread.join().expect("it ended")).sum()
    })
}

async fn requests(router: &mut Router, wire: &Wire, times: u64) {
    for _ in 0..times {
        let answer = router.call(wire.request::<Body>()).await;
        assert!(black_box(answer).is_ok_and(|answer| answer.status().is_success()));
    }
}
