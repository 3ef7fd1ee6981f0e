//! Compares what the exporter says with the record: counted again from the lines of JSON, in another way.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use unconfused::AuditEvent;

use super::BUCKETS;

/// What the lines of JSON do not say of each event, in their order.
#[derive(Default)]
pub(crate) struct Seen(Mutex<Vec<Beside>>);

struct Beside {
    /// The name that the owner gave the operation.
    operation: Option<String>,
    token_source: Option<&'static str>,
    seconds: Option<f64>,
}

impl Seen {
    pub(crate) fn keep(&self, event: &AuditEvent<'_>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Beside {
            operation: event.operation().name().map(str::to_owned),
            token_source: event.token_source().map(|source| source.as_str()),
            seconds: event.took().map(|took| took.as_secs_f64()),
        });
    }
}

/// What the reasons of this story are about.
fn class(reason: Option<&str>) -> Option<&'static str> {
    Some(match reason {
        None => "none",
        Some("missing_credentials") => "request",
        Some("audience_mismatch") => "token",
        Some("actor_required" | "actor_unauthorized" | "client_not_allowed") => "party",
        Some("authentication_level_insufficient") => "step_up",
        Some("insufficient_scope") => "scope",
        Some("authorization_details_insufficient") => "detail",
        Some("transaction_authorization_required") => "approval",
        Some("policy_denied") => "policy",
        Some("token_spent") => "spent",
        Some(_) => return None,
    })
}

/// Fails at the first difference. Returns how many lines are the same.
pub(crate) fn compare(record: &str, seen: &Seen, scraped: &str) -> Result<usize, Box<dyn Error>> {
    let beside = seen.0.lock().unwrap_or_else(PoisonError::into_inner);
    if record.lines().count() != beside.len() {
        return Err("an event is not in the record".into());
    }
    let mut expected = BTreeMap::<String, f64>::new();
    let mut count = |name: &str, labels: &[(&str, &str)], by: f64| {
        let labels: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        *expected.entry(format!("unconfused_{name}{labels}")).or_default() += by;
    };
    for (line, beside) in record.lines().zip(&*beside) {
        let event: Value = serde_json::from_str(line)?;
        let text = |member: &str| event[member].as_str();
        let outcome = text("outcome").ok_or("no outcome")?;
        let operation = beside.operation.as_deref().unwrap_or("unnamed");
        let class = class(text("reason")).ok_or_else(|| format!("an unexpected reason: {line}"))?;
        let delegation = match (text("actor"), text("issuer")) {
            (Some(_), _) => "delegated",
            (None, Some(_)) => "direct",
            (None, None) => "unknown",
        };
        let decision = [("operation", operation), ("outcome", outcome), ("class", class)];
        count("decisions_total", &[&decision[..], &[("delegation", delegation)]].concat(), 1.0);
        if let Some(reason) = text("reason") {
            count("denials_total", &[("reason", reason)], 1.0);
        }
        for (member, metric) in [("step_up", "step_up_total"), ("approval", "approvals_total")] {
            if let Some(state @ ("asked" | "met")) = text(member) {
                count(metric, &[("operation", operation), ("state", state)], 1.0);
            }
        }
        if let Some(actor) = text("actor") {
            let issuer = text("actor_issuer").ok_or("no issuer")?;
            let listed = actor == "support-agent" && issuer == super::LOGIN;
            let (actor, issuer) = if listed { (actor, issuer) } else { ("other", "") };
            let labels = [("actor", actor), ("actor_issuer", issuer), ("outcome", outcome)];
            count("actor_decisions_total", &labels, 1.0);
        }
        if let Some(source @ ("verified" | "cache")) = beside.token_source {
            count("tokens_total", &[("source", source)], 1.0);
        }
        if let Some(seconds) = beside.seconds {
            count("guard_seconds_sum", &[("outcome", outcome)], seconds);
            count("guard_seconds_count", &[("outcome", outcome)], 1.0);
            for limit in BUCKETS.into_iter().chain([f64::INFINITY]) {
                let name = if limit.is_finite() { limit.to_string() } else { "+Inf".to_owned() };
                let labels = [("outcome", outcome), ("le", &name)];
                count("guard_seconds_bucket", &labels, if seconds <= limit { 1.0 } else { 0.0 });
            }
        }
    }
    // The source of the keys does not report how many there are, the store is in memory, and the queue had room.
    count("keys_ready", &[("issuer", super::LOGIN)], 1.0);
    count("key_fetches_total", &[("issuer", super::LOGIN)], 0.0);
    count("store_ready", &[("store", "spent tokens")], 1.0);
    count("record_lost_total", &[], 0.0);

    let mut same = 0;
    for line in scraped.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (sample, value) = line.rsplit_once(' ').ok_or("not a sample")?;
        let value: f64 = value.parse()?;
        let said = expected.remove(sample);
        let said = said.ok_or_else(|| format!("the record does not say: {line}"))?;
        if (value - said).abs() > 1e-9 {
            return Err(format!("the record says {said}: {line}").into());
        }
        same += 1;
    }
    match expected.keys().next() {
        Some(missing) => Err(format!("the exporter does not say: {missing}").into()),
        None => Ok(same),
    }
}
