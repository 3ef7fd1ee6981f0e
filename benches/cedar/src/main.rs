//! What a decision by Cedar costs, beside the signature of the token:
//!
//!     cargo run --release --manifest-path benches/cedar/Cargo.toml
//!
//! With 1,000 policies, a decision about subject and actor takes at most twice the time of one ES256 verification. Both
//! are measured in one run, in turns, and it ends with status 1 if it is not so. The third number is the worst case:
//! 1,000 policies whose scopes all fit. `benches/gate cedar` counts the instructions of a decision.

mod cases;

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use unconfused::keys::{Algorithm, Backend};
use unconfused::policy::{CedarPolicy, Policy, PolicyAnswer, Question, Verdict};
use unconfused::testing::TestIssuer;
use unconfused::{Answer, Guard, Require};

use cases::{ISSUER, ORDERS};

/// Decisions and verifications in each of the rounds, of which the fastest counts.
const TIMES: u32 = 100;
const ROUNDS: usize = 50;

/// Calls it many times, and returns how long one call took.
fn time(mut call: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..TIMES {
        call();
    }
    start.elapsed() / TIMES
}

/// Measures inside of a guard, which alone asks questions.
struct Measured {
    cedar: [CedarPolicy; 2],
    verify: Box<dyn Fn() + Send + Sync>,
    fastest: Arc<Mutex<[Duration; 3]>>,
}

impl Policy for Measured {
    fn decide(&self, question: &Question<'_>) -> PolicyAnswer {
        let decide = |cedar: &CedarPolicy| match black_box(cedar.decide(question)) {
            Answer::Now(ruling) => assert!(format!("{ruling:?}").contains("Permit,"), "{ruling:?}"),
            Answer::Later(_) => panic!("Cedar answers at once"),
        };
        // Not in the measurement: that it permits.
        self.cedar.iter().for_each(decide);
        let [sliced, unsliced] = &self.cedar;
        let mut fastest = [Duration::MAX; 3];
        for round in 0..ROUNDS {
            let mut found = [Duration::MAX; 3];
            found[0] = time(&self.verify);
            found[1] = time(|| drop(black_box(sliced.decide(question))));
            if round < 3 {
                found[2] = time(|| drop(black_box(unsliced.decide(question))));
            }
            for (fastest, found) in fastest.iter_mut().zip(found) {
                *fastest = found.min(*fastest);
            }
        }
        *self.fastest.lock().expect("no panic before") = fastest;
        Verdict::Permit.into()
    }
}

fn main() -> ExitCode {
    let login = TestIssuer::new(ISSUER);
    let token = cases::token(&login);
    let (raw, keys) = (token.sign(), login.keys());
    let verify = move || {
        let verified =
            keys.verify_signature_only_with(black_box(&raw), [Algorithm::Es256], Backend::OpenSsl);
        assert!(verified.is_ok());
    };
    let start = Instant::now();
    let cedar = [cases::thousand(), cases::worst()];
    let loaded = start.elapsed() / 2;
    let fastest = Arc::new(Mutex::new([Duration::ZERO; 3]));
    let measured = Measured { cedar, verify: Box::new(verify), fastest: fastest.clone() };
    let grant = token.granted_by(&Guard::new(ORDERS, login.issuer()), Require::valid_token());
    let guard = Guard::new(ORDERS, login.issuer()).policy(measured);
    let granted = guard.narrow(&grant, cases::ask()).now().expect("Cedar answers at once");
    assert!(granted.is_ok(), "{granted:?}");

    let [verified, decided, worst] = *fastest.lock().expect("no panic before");
    let ratio = decided.as_secs_f64() / verified.as_secs_f64();
    println!("one ES256 verification             {verified:>10.1?}");
    println!(
        "one decision, 1,000 policies      {decided:>10.1?}  {ratio:.2} x the verification, at most 2"
    );
    println!("one decision, all scopes fit       {worst:>10.1?}");
    println!("loading 1,000 policies            {loaded:>10.1?}");
    if ratio > 2.0 {
        eprintln!("a decision takes too long");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
