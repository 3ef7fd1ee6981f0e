//! Policies: when they are asked, what their verdicts come to, and what they never can.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::common::*;
use unconfused::audit::audit_fn;
use unconfused::policy::{Policy, PolicyAnswer, Question, Verdict};
use unconfused::replay::MemoryReplayStore;
use unconfused::testing::TestToken;
use unconfused::{AuditEvent, Denial, Grant, Guard, Reason, Require, Scope};

mod approvals;
mod asked;
mod laws;
mod obligations;
mod rules;
mod verdicts;

const READ: Scope = Scope::from_static("orders:read");
const WRITE: Scope = Scope::from_static("orders:write");

fn reader() -> TestToken {
    token().scope("orders:read")
}

fn once() -> Require {
    Require::scope(READ).single_use()
}

/// A guard with a store of spent tokens, and the store.
fn spending() -> (Guard, Arc<MemoryReplayStore>) {
    let spent = Arc::new(store());
    (guard().replay(spent.clone()), spent)
}

fn reason(answer: &Result<Grant, Denial>) -> Option<Reason> {
    answer.as_ref().err().map(Denial::reason)
}

/// What the record says about each step.
fn recorded(guard: Guard) -> (Guard, Arc<Mutex<Vec<String>>>) {
    recorded_by(guard, |event| event.to_string())
}

fn recorded_by(
    guard: Guard,
    line: impl Fn(&AuditEvent<'_>) -> String + Send + Sync + 'static,
) -> (Guard, Arc<Mutex<Vec<String>>>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = lines.clone();
    (guard.audit(audit_fn(move |event| kept.lock().unwrap().push(line(event)))), lines)
}

/// A policy that always answers this, and how often it was asked.
fn always<A: Into<PolicyAnswer>>(
    answer: impl Fn() -> A + Send + Sync + 'static,
) -> (impl Policy, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let policy = move |_: &Question<'_>| -> PolicyAnswer {
        count.fetch_add(1, Ordering::SeqCst);
        answer().into()
    };
    (policy, asked)
}

fn permit() -> Verdict {
    Verdict::Permit
}
