//! What the policy costs beside the HTTP request that it makes.

use std::hint::black_box;
use std::time::Instant;

use unconfused::client::{HttpClient, HttpLimits};

use super::*;

/// How many of each are timed. They take turns, so that what else the machine does falls on both.
const TIMES: usize = 2_000;

/// `cargo test --release --test authzen -- --ignored --nocapture cost`
#[test]
#[ignore = "a measurement, to be made in release"]
fn the_cost_beside_the_bare_request_is_at_most_100_microseconds() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (bare, plain, asked) = runtime.block_on(async { tokio::spawn(measure()).await.unwrap() });
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
    let beside = micros(asked) - micros(bare);
    println!(
        "median of {TIMES}: bare request {:.1} us, guard without policy {:.1} us, guard that asks {:.1} us, \
         beside the bare request {beside:.1} us",
        micros(bare),
        micros(plain),
        micros(asked),
    );
    assert!(beside <= 100.0);
}

/// The medians of a bare request, of a guard without a policy, and of one that asks.
async fn measure() -> (Duration, Duration, Duration) {
    let pdp = Pdp::answering(r#"{"decision":true}"#).await;
    let (plain, asking) = (guard(), guard().policy(discovered(&pdp)));
    // One token, signed once and remembered by the guards.
    let (head, client) = (head(&token().acr("phr")), http());
    asking.authorize(&mut head.clone(), READ).await.unwrap();
    // The same bytes to the same place, with the client that the policy has.
    let question = pdp.asked().remove(0);
    let url = format!("{}{}", pdp.url(), question.path);
    let bare = || {
        let mut request = http::Request::post(&url);
        for name in ["content-type", "accept", "x-request-id"] {
            request = request.header(name, question.header(name));
        }
        let request = request.body(question.body.clone().into_bytes()).unwrap();
        client.send(request, HttpLimits::new(64 * 1024, secs(2)))
    };
    let mut times = [const { Vec::new() }; 3];
    for round in 0..TIMES + 200 {
        let began = Instant::now();
        black_box(bare().await.unwrap());
        let after_bare = Instant::now();
        black_box(plain.authorize(&mut head.clone(), READ).await.unwrap());
        let after_plain = Instant::now();
        black_box(asking.authorize(&mut head.clone(), READ).await.unwrap());
        let after_asked = Instant::now();
        if round >= 200 {
            times[0].push(after_bare - began);
            times[1].push(after_plain - after_bare);
            times[2].push(after_asked - after_plain);
        }
    }
    let [bare, plain, asked] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    (bare, plain, asked)
}
