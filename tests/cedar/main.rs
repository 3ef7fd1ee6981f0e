//! Cedar policies behind a guard: `cargo test --features cedar --test cedar`.

mod answers;
mod facts;
mod hostile;
mod laws;
mod load;
mod replaced;

use time::UtcDateTime;
use unconfused::policy::{Ask, CedarPolicy};
use unconfused::replay::MemoryReplayStore;
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::{Audience, Denial, Grant, Guard, Require};

use std::sync::OnceLock;
use std::time::Duration;

const ORDERS: Audience = Audience::from_static("https://orders.example");
const LOGIN: &str = "https://login.example";
const NOW: i64 = 1_800_000_000;

fn now() -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(NOW).unwrap()
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn login() -> &'static TestIssuer {
    static ISSUER: OnceLock<TestIssuer> = OnceLock::new();
    ISSUER.get_or_init(|| TestIssuer::new(LOGIN))
}

/// A token of alice, for whom no one acts.
fn alice() -> TestToken {
    login().token(&ORDERS).issued_at(now()).subject("alice").client("web")
}

fn by_agent() -> TestToken {
    alice().actor("agent-7")
}

fn guard() -> Guard {
    let store = MemoryReplayStore::new_at(UtcDateTime::UNIX_EPOCH);
    Guard::new(ORDERS, login().issuer()).clock(now).replay(store)
}

/// One action on orders, with one attribute of each type.
const SCHEMA: &str = r#"
    entity order = { owner?: Subject, total?: Long };
    action "refund" appliesTo {
        principal: [Subject, Actor],
        resource: [order, Api],
        context: {
            evidence: Evidence,
            amount?: decimal,
            count?: Long,
            due?: datetime,
            within?: duration,
            from?: ipaddr,
            urgent?: Bool,
            note?: String,
            tags?: Set<String>,
            prices?: Set<decimal>,
        },
    };
"#;

const ALL: &str = r#"@id("all") permit(principal, action, resource);"#;

fn cedar(policies: &str) -> CedarPolicy {
    CedarPolicy::new(policies, SCHEMA).unwrap()
}

fn refund() -> Ask {
    Ask::operation("refund").resource("order", 7)
}

/// What the guard answers to a handler that is about to do this, with this token.
fn narrowed(guard: &Guard, token: &TestToken, ask: impl Into<Ask>) -> Result<Grant, Denial> {
    // The policy is asked about what the handler states, and not before.
    let plain = self::guard();
    let grant = token.granted_by(&plain, Require::valid_token());
    guard.narrow(&grant, ask).now().expect("everything is at hand")
}

fn decided(policies: &str, token: &TestToken, ask: impl Into<Ask>) -> Result<Grant, Denial> {
    narrowed(&guard().policy(cedar(policies)), token, ask)
}

/// `None` if it is granted, or what the operator reads.
fn refusal(answer: &Result<Grant, Denial>) -> Option<String> {
    answer.as_ref().err().map(|denial| denial.for_operator().to_string())
}
