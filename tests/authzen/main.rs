//! The policy that asks an AuthZEN decision point: what it sends, what it makes of answers, and what it never grants.
//! The decision point is a server on the loopback interface that answers as it is told.

mod approvals;
mod asked;
mod common;
mod cost;
mod decisions;
mod laws;
mod pdp;
mod unavailable;

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use unconfused::audit::audit_fn;
use unconfused::testing::TestToken;
use unconfused::{AuditEvent, Reason, Scope};

use common::*;
use pdp::Pdp;

/// The policy that asks this decision point, whose metadata says where.
fn discovered(pdp: &Pdp) -> AuthZenPolicy {
    AuthZenPolicy::discover_without_tls_on_loopback(pdp.url(), http()).unwrap()
}

/// What is answered if the decision point answers this.
async fn answered(answer: &str) -> Result<Grant, Denial> {
    let pdp = Pdp::answering(answer).await;
    ask(&guard().policy(discovered(&pdp)), &token()).await
}

/// What the record says about each step.
fn recorded(
    guard: Guard,
    line: impl Fn(&AuditEvent<'_>) -> String + Send + Sync + 'static,
) -> (Guard, Arc<Mutex<Vec<String>>>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = lines.clone();
    (guard.audit(audit_fn(move |event| kept.lock().unwrap().push(line(event)))), lines)
}
