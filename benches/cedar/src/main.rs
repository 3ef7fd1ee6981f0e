//! What a decision by Cedar costs, beside the signature of the token:
//!
//!     cargo run --release --manifest-path benches/cedar/Cargo.toml
//!
//! With 1,000 policies, a decision about subject and actor takes at most twice the time of one ES256 verification. Both
//! are measured in one run, in turns, and it ends with status 1 if it is not so. The third number is the worst case:
//! 1,000 policies whose scopes all fit.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use unconfused::keys::{Algorithm, Backend};
use unconfused::policy::{Ask, CedarPolicy, Policy, PolicyAnswer, Question, Verdict};
use unconfused::testing::TestIssuer;
use unconfused::{Answer, Audience, Guard, Require};

const ORDERS: Audience = Audience::from_static("https://orders.example");
const ISSUER: &str = "https://login.example";
const ACTIONS: usize = 100;
const POLICIES: usize = 1_000;
/// Decisions and verifications in each of the rounds, of which the fastest counts.
const TIMES: u32 = 100;
const ROUNDS: usize = 50;

fn schema() -> String {
    let names: Vec<String> = (0..ACTIONS).map(|number| format!("\"orders.{number}\"")).collect();
    format!(
        "entity order = {{ owner: Subject }};
        action {} appliesTo {{
            principal: [Subject, Actor],
            resource: [order],
            context: {{ evidence: Evidence, amount: decimal, urgent: Bool }},
        }};",
        names.join(", ")
    )
}

/// Five rules for each action, some for all, and rules about single parties.
fn policies() -> String {
    let mut text = String::new();
    for number in 0..ACTIONS {
        let action = format!("action == Action::\"orders.{number}\"");
        text += &format!(
            "permit(principal, {action}, resource) when {{ resource.owner == context.evidence.subject }};
            forbid(principal, {action}, resource) when {{ context.amount.greaterThan(decimal(\"500.0\")) }};
            forbid(principal is Actor, {action}, resource) when {{ context.evidence.at.toTime() < duration(\"1ms\") }};
            forbid(principal, {action}, resource) unless {{ context.evidence.scopes.contains(\"orders:refund\") }};
            @max_age(\"300\") forbid(principal, {action}, resource) when {{ context.urgent }};\n"
        );
    }
    for number in 0..10 {
        text += &format!(
            "forbid(principal, action, resource) when {{ principal.name == \"blocked-{number}\" }};\n"
        );
    }
    for number in ACTIONS * 5 + 10..POLICIES {
        text += &format!(
            "forbid(principal == Actor::\"{ISSUER}#agent-{number}\", action, resource);\n"
        );
    }
    text
}

/// Policies that all fit.
fn unsliced() -> String {
    let permit = "permit(principal, action, resource);\n".to_owned();
    let forbid = |number| {
        format!(
            "forbid(principal, action, resource) when {{ principal.name == \"blocked-{number}\" }};\n"
        )
    };
    (1..POLICIES).map(forbid).fold(permit, |text, policy| text + &policy)
}

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
    let token = login.token(&ORDERS).subject("alice").actor("agent-7").scope("orders:refund");
    let (raw, keys) = (token.sign(), login.keys());
    let verify = move || {
        let verified =
            keys.verify_signature_only_with(black_box(&raw), [Algorithm::Es256], Backend::OpenSsl);
        assert!(verified.is_ok());
    };
    let schema = schema();
    let load = |policies: &str| CedarPolicy::new(policies, &schema).expect("valid policies");
    let start = Instant::now();
    let cedar = [load(&policies()), load(&unsliced())];
    let loaded = start.elapsed() / 2;
    let fastest = Arc::new(Mutex::new([Duration::ZERO; 3]));
    let measured = Measured { cedar, verify: Box::new(verify), fastest: fastest.clone() };
    let grant = token.granted_by(&Guard::new(ORDERS, login.issuer()), Require::valid_token());
    let ask = Ask::operation("orders.42")
        .resource("order", 7)
        .attribute("owner", format!("{ISSUER}#alice"))
        .attribute("amount", "12.50")
        .attribute("urgent", false);
    let guard = Guard::new(ORDERS, login.issuer()).policy(measured);
    let granted = guard.narrow(&grant, ask).now().expect("Cedar answers at once");
    assert!(granted.is_ok(), "{granted:?}");

    let [verified, decided, worst] = *fastest.lock().expect("no panic before");
    let ratio = decided.as_secs_f64() / verified.as_secs_f64();
    println!("one ES256 verification             {verified:>10.1?}");
    println!(
        "one decision, {POLICIES} policies        {decided:>10.1?}  {ratio:.2} x the verification, at most 2"
    );
    println!("one decision, all scopes fit       {worst:>10.1?}");
    println!("loading {POLICIES} policies              {loaded:>10.1?}");
    if ratio > 2.0 {
        eprintln!("a decision takes too long");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
