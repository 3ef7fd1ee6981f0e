//! The audit record as metrics.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use metrics::{
    SharedString, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use super::event::AuditEvent;
use super::lines::JsonLines;
use super::sink::Audit;
use super::step_up::StepUp;
use crate::evidence::TokenSource;
use crate::keys::{KeyState, Readiness};
use crate::printable::Printable;
use crate::reason::{Reason, Remedy};
use crate::replay::StoreStatus;
use crate::token::{ActorSource, Party};

/// A sink that counts decisions with the [`metrics`](https://docs.rs/metrics) facade, for Prometheus or any other
/// recorder.
///
/// Install the recorder before you make the sink: [`new`](Self::new) describes the metrics to it. Each event of the record
/// is counted once, also if a decision has several steps.
///
/// | metric | labels | counts |
/// |---|---|---|
/// | `unconfused_decisions_total` | `operation`, `outcome`, `class`, `delegation` | events |
/// | `unconfused_denials_total` | `reason` | denials by [`Reason`] |
/// | `unconfused_step_up_total` | `operation`, `state` | logins that were `asked` for, or `met` ([`AuditEvent::step_up`]) |
/// | `unconfused_approvals_total` | `operation`, `state` | approvals that were `asked` for, or `met` ([`AuditEvent::approval`]) |
/// | `unconfused_actor_decisions_total` | `actor`, `actor_issuer`, `outcome` | events with an actor |
/// | `unconfused_tokens_total` | `source` | tokens that were `verified`, or found in the `cache` ([`AuditEvent::token_source`]) |
/// | `unconfused_query_tokens_total` | | requests with an `access_token` in the query |
/// | `unconfused_audience_not_validated_total` | | allowed events whose token names no audience ([`AuditEvent::client_list_instead_of_audience`]) |
/// | `unconfused_guard_seconds` | `outcome` | a histogram: how long the guard took ([`AuditEvent::took`]) |
///
/// [`report_readiness`](Self::report_readiness) adds the state of keys and stores, and
/// [`report_lost`](Self::report_lost) the lines that another sink lost. A policy that cannot answer is the denial
/// `policy_unavailable`.
///
/// `outcome` is `allowed` or `denied`. `class` is `none` if the request was allowed, and otherwise what the reason is
/// about: `request` (no credential, or a malformed one), `token`, `possession`, `party` (client, subject or actor),
/// `step_up`, `scope`, `detail`, `approval`, `policy`, `spent`, `rate_limited`, `unavailable` (503) or `internal` (500).
/// `delegation` is `direct`, `delegated`, `impersonated`, or `unknown` if no token was verified.
///
/// # No one outside can add a series
///
/// No label is a subject, a client, an id, a path, or anything else that a token or a request contains:
///
/// - `operation` is a name that you gave, by [`GuardLayer::named`](crate::layer::GuardLayer::named) or
///   [`Ask::operation`](crate::policy::Ask::operation), and `unnamed` if there is none. If you give more than
///   [`MAX_OPERATIONS`](Self::MAX_OPERATIONS) names, or one that is longer than 256 characters or has invisible characters, the rest are `other`.
/// - `actor` and `actor_issuer` are those that [`actors`](Self::actors) lists. Any other actor is `other`, without an
///   issuer.
/// - `issuer` of the keys is one that the guard trusts by name. Tenants are left out.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use unconfused::audit::MetricsAudit;
/// use unconfused::{Audience, Guard};
/// # use unconfused::testing::TestIssuer;
/// # let issuer = TestIssuer::new("https://login.example").issuer();
///
/// // After the recorder is installed:
/// let metrics = MetricsAudit::new().actors([("https://login.example", "support-agent")]);
/// let guard = Guard::new(Audience::from_static("https://orders.example"), issuer).audit(metrics.clone());
/// // Before each scrape:
/// metrics.report_readiness(&guard.readiness());
/// # }
/// ```
#[derive(Clone)]
pub struct MetricsAudit {
    /// Each with the labels for it.
    actors: HashMap<Party<'static>, ActorLabels>,
    operations: Arc<RwLock<HashSet<Arc<str>>>>,
}

#[derive(Clone)]
struct ActorLabels {
    name: SharedString,
    issuer: SharedString,
}

impl MetricsAudit {
    /// How many names of operations get a label of their own.
    pub const MAX_OPERATIONS: usize = 500;

    /// Makes a sink, and describes its metrics to the recorder that is installed.
    #[must_use]
    pub fn new() -> Self {
        describe();
        MetricsAudit { actors: HashMap::new(), operations: Arc::default() }
    }

    /// Lists actors that are counted by their name. Call it again to add more.
    ///
    /// An actor is an issuer and a name. Any actor that is not listed is counted as `other`.
    #[must_use]
    pub fn actors<P: Into<Party<'static>>>(mut self, actors: impl IntoIterator<Item = P>) -> Self {
        for actor in actors.into_iter().map(Into::into) {
            let labels = ActorLabels {
                name: Arc::<str>::from(actor.name()).into(),
                issuer: Arc::<str>::from(actor.issuer()).into(),
            };
            self.actors.insert(actor, labels);
        }
        self
    }

    /// Sets the gauges of keys and stores: call it before each scrape, or every few seconds.
    ///
    /// | metric | labels | value |
    /// |---|---|---|
    /// | `unconfused_keys_ready` | `issuer` | 1 if tokens of the issuer can be verified, and 0 otherwise |
    /// | `unconfused_keys` | `issuer` | the number of keys that can be used, unless the source does not report it |
    /// | `unconfused_keys_age_seconds` | `issuer` | the time since the last successful fetch began, if keys are fetched |
    /// | `unconfused_key_fetches_total` | `issuer` | the number of fetches that were started |
    /// | `unconfused_store_ready` | `store` | 1 unless the store is unavailable or misconfigured |
    ///
    /// `store` is `proofs` or `spent tokens`. A store in Redis is as it was when
    /// [`Guard::ready`](crate::Guard::ready) last asked it; the denials by `replay_store_unavailable` are as of now.
    pub fn report_readiness(&self, readiness: &Readiness) {
        for (issuer, keys) in readiness.issuers() {
            let issuer: Arc<str> = issuer.into();
            gauge!("unconfused_keys_ready", "issuer" => issuer.clone()).set(flag(keys.is_ready()));
            if keys.state != KeyState::Unreported {
                gauge!("unconfused_keys", "issuer" => issuer.clone()).set(keys.keys as f64);
            }
            if let Some(age) = keys.age {
                let gauge = gauge!("unconfused_keys_age_seconds", "issuer" => issuer.clone());
                gauge.set(age.as_secs_f64());
            }
            counter!("unconfused_key_fetches_total", "issuer" => issuer).absolute(keys.fetches);
        }
        for (store, status) in readiness.stores() {
            let is_ready = matches!(status, StoreStatus::Unreported | StoreStatus::Ready);
            gauge!("unconfused_store_ready", "store" => store).set(flag(is_ready));
        }
    }

    /// Sets the counter `unconfused_record_lost_total`: how many lines a [`JsonLines`] has lost. Call it before each
    /// scrape, for one sink.
    pub fn report_lost(&self, record: &JsonLines) {
        counter!("unconfused_record_lost_total").absolute(record.lost());
    }

    /// The label of an operation.
    fn operation(&self, name: Option<&Arc<str>>) -> SharedString {
        let Some(name) = name else { return "unnamed".into() };
        let known = self.operations.read().unwrap_or_else(PoisonError::into_inner);
        if known.contains(name) {
            return name.clone().into();
        }
        let has_room = known.len() < MetricsAudit::MAX_OPERATIONS;
        drop(known);
        let is_plain = || Printable::from(&**name).to_string() == **name;
        if !has_room || !is_plain() {
            return "other".into();
        }
        let mut known = self.operations.write().unwrap_or_else(PoisonError::into_inner);
        // Other threads may have taken the room.
        if known.len() >= MetricsAudit::MAX_OPERATIONS && !known.contains(name) {
            return "other".into();
        }
        known.insert(name.clone());
        name.clone().into()
    }
}

impl Default for MetricsAudit {
    fn default() -> Self {
        MetricsAudit::new()
    }
}

impl Audit for MetricsAudit {
    fn record(&self, event: &AuditEvent<'_>) {
        let outcome = if event.allowed() { "allowed" } else { "denied" };
        let actor = event.actor();
        let delegation = match actor.map(|actor| actor.source()) {
            Some(ActorSource::Impersonator) => "impersonated",
            Some(_) => "delegated",
            None if event.token_source().is_some() => "direct",
            None => "unknown",
        };
        let operation = self.operation(event.operation().shared_name());
        counter!(
            "unconfused_decisions_total",
            "operation" => operation.clone(),
            "outcome" => outcome,
            "class" => event.reason().map_or("none", class),
            "delegation" => delegation,
        )
        .increment(1);
        if let Some(reason) = event.reason() {
            counter!("unconfused_denials_total", "reason" => reason.as_str()).increment(1);
        }
        let human = |name: &'static str, state: StepUp| {
            if state != StepUp::NotRequired {
                let labels = [("operation", operation.clone()), ("state", state.as_str().into())];
                counter!(name, &labels).increment(1);
            }
        };
        human("unconfused_step_up_total", event.step_up());
        human("unconfused_approvals_total", event.approval());
        if let Some(actor) = actor {
            let party = Party::new(actor.issuer(), actor.name());
            match self.actors.get(&party) {
                Some(labels) => counter!(
                    "unconfused_actor_decisions_total",
                    "actor" => labels.name.clone(),
                    "actor_issuer" => labels.issuer.clone(),
                    "outcome" => outcome,
                ),
                None => counter!(
                    "unconfused_actor_decisions_total",
                    "actor" => "other",
                    "actor_issuer" => "",
                    "outcome" => outcome,
                ),
            }
            .increment(1);
        }
        if let Some(source @ (TokenSource::Verified | TokenSource::Cache)) = event.token_source() {
            counter!("unconfused_tokens_total", "source" => source.as_str()).increment(1);
        }
        // Later steps are of the same request.
        if event.query_token() && event.step() == 0 {
            counter!("unconfused_query_tokens_total").increment(1);
        }
        if event.allowed() && event.client_list_instead_of_audience() {
            counter!("unconfused_audience_not_validated_total").increment(1);
        }
        if let Some(took) = event.took() {
            histogram!("unconfused_guard_seconds", "outcome" => outcome).record(took);
        }
    }

    fn wants_time(&self) -> bool {
        true
    }
}

/// What a reason is about.
fn class(reason: Reason) -> &'static str {
    match (reason.status().as_u16(), reason.remedy(), reason) {
        (503, ..) => "unavailable",
        (500, ..) => "internal",
        (429, ..) => "rate_limited",
        (_, Remedy::StepUp, _) => "step_up",
        (_, Remedy::MoreScope, _) => "scope",
        (_, Remedy::MoreDetail, _) => "detail",
        (_, Remedy::Transaction | Remedy::Approval, _) => "approval",
        (.., Reason::TransactionUnknown) => "approval",
        (.., Reason::TokenSpent) => "spent",
        // The reasons are in the order of the checks.
        (_, _, reason) if reason < Reason::TokenFormatNotAccepted => "request",
        (_, _, reason) if reason < Reason::ConfirmationUnsupported => "token",
        (.., Reason::TenantMismatch) => "party",
        (_, _, reason) if reason < Reason::ClientNotAllowed => "possession",
        (_, _, reason) if reason < Reason::AuthenticationContextMissing => "party",
        _ => "policy",
    }
}

fn flag(is_set: bool) -> f64 {
    if is_set { 1.0 } else { 0.0 }
}

fn describe() {
    describe_counter!("unconfused_decisions_total", "Steps of decisions, as in the record");
    describe_counter!("unconfused_denials_total", "Denied steps by their reason");
    describe_counter!("unconfused_step_up_total", "Logins asked for, and met");
    describe_counter!("unconfused_approvals_total", "Approvals asked for, and met");
    describe_counter!("unconfused_actor_decisions_total", "Steps of decisions about an actor");
    describe_counter!("unconfused_tokens_total", "Tokens verified, or found in the cache");
    describe_counter!("unconfused_query_tokens_total", "Requests with a token in the query");
    describe_counter!(
        "unconfused_audience_not_validated_total",
        "Allowed steps whose token names no audience"
    );
    describe_histogram!("unconfused_guard_seconds", "How long the guard took for a step");
    describe_gauge!("unconfused_keys_ready", "Whether tokens of the issuer can be verified");
    describe_gauge!("unconfused_keys", "Keys of the issuer that can be used");
    describe_gauge!("unconfused_keys_age_seconds", "Time since the keys were fetched");
    describe_counter!("unconfused_key_fetches_total", "Fetches of keys that were started");
    describe_gauge!("unconfused_store_ready", "Whether the replay store is in order");
    describe_counter!("unconfused_record_lost_total", "Lines of the record that were lost");
}

impl fmt::Debug for MetricsAudit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsAudit").field("actors", &self.actors.keys()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_the_class_that_it_is_about() {
        let named = |name: &str| {
            let of_class = |reason: &&Reason| class(**reason) == name;
            Reason::ALL.iter().filter(of_class).map(|reason| reason.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(
            named("unavailable"),
            [
                "keys_unavailable",
                "replay_store_unavailable",
                "policy_unavailable",
                "next_hop_unavailable"
            ]
        );
        assert_eq!(named("internal"), ["internal_error"]);
        assert_eq!(named("rate_limited"), ["rate_limited"]);
        assert_eq!(
            named("approval"),
            ["transaction_authorization_required", "transaction_unknown", "approval_required"]
        );
        assert_eq!(named("spent"), ["token_spent"]);
        assert_eq!(named("scope"), ["insufficient_scope"]);
        assert_eq!(named("detail"), ["authorization_details_insufficient"]);
        assert_eq!(
            named("step_up"),
            [
                "authentication_context_missing",
                "authentication_level_insufficient",
                "authentication_too_old"
            ]
        );
        assert_eq!(
            named("party"),
            [
                "tenant_mismatch",
                "client_not_allowed",
                "subject_ambiguous",
                "actor_required",
                "actor_untrusted",
                "actor_unauthorized",
                "claim_not_met",
                "transaction_token_misused"
            ]
        );
        assert_eq!(
            named("policy"),
            [
                "policy_input_invalid",
                "policy_denied",
                "obligation_unsupported",
                "obligation_failed",
                "next_hop_refused"
            ]
        );
        assert_eq!(named("request").len(), 7);
        assert!(named("token").contains(&"audience_mismatch"));
        assert!(named("possession").iter().all(|name| {
            ["dpop", "client_certificate", "confirmation", "sender", "bound"]
                .iter()
                .any(|begin| name.starts_with(begin))
        }));
    }
}
