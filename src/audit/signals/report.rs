//! What the counts say, beside the list of operations.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use time::UtcDateTime;

use super::tally::{ActorCounts, OperationCounts, Outcomes, Tally};
use crate::audit::operations::{ListedOperation, Operations};
use crate::printable::Printable;
use crate::reason::Reason;
use crate::token::Party;

/// The three signals, as far as they were counted: [`Signals::report`](crate::audit::Signals::report) makes it.
///
/// `Display` writes it as text, and [`to_html`](Self::to_html) as a page. The fields are the numbers behind both.
///
/// All numbers are of requests. The [steps](crate::AuditEvent::step) of a request count together, and its last step says
/// whether it was allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignalsReport {
    /// The operations that the guard knows of, and what stands out.
    pub known: Operations,
    /// The moments of the first and of the last event. `None` if there was none.
    pub period: Option<(UtcDateTime, UtcDateTime)>,
    /// How many requests were allowed.
    pub allowed: u64,
    /// How many requests were denied.
    pub denied: u64,
    /// How many requests were allowed with a token that was issued for this resource.
    pub allowed_with_audience: u64,
    /// How many requests were allowed with a token that names no audience, since its client is
    /// [on a list](crate::AuditEvent::client_list_instead_of_audience).
    pub allowed_by_client_list: u64,
    /// How many requests were allowed without a token, since
    /// [another authenticator](crate::AuditEvent::other_authenticator) vouched for them.
    pub allowed_without_token: u64,
    /// How many requests were denied for each reason.
    pub denied_by_reason: BTreeMap<Reason, u64>,
    /// The operations: those of the list, in its order, then those that were seen and are on no list, then the others.
    pub operations: Vec<OperationSignals>,
    /// Who acted for whom, the most active actor first, and for each actor the subject with the most requests.
    pub actors: Vec<ActorSignals>,
}

/// What was counted of one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperationSignals {
    /// The name, as the record has it: escaped, and cut after [256 characters](Printable::LIMIT). `None` for the
    /// operations beyond the limit, and those of strangers, together.
    pub name: Option<String>,
    /// The entry in the list of operations. `None` if the operation is on no list.
    pub listed: Option<ListedOperation>,
    /// How many requests were allowed.
    pub allowed: u64,
    /// How many requests were denied.
    pub denied: u64,
    /// In how many requests the client was asked to have the subject authenticate again.
    pub step_up_asked: u64,
    /// How many requests had the strong or recent login that is required.
    pub step_up_met: u64,
    /// In how many requests the client was told to get an approval.
    pub approval_asked: u64,
    /// How many requests had the approval that is required.
    pub approval_met: u64,
}

/// How often one actor acted for one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActorSignals {
    /// Who acted.
    pub actor: ActorName,
    /// For whom. `None` for the subjects beyond the limit, together. Names are cut after
    /// [256 characters](Printable::LIMIT).
    pub subject: Option<Party<'static>>,
    /// How many requests were allowed.
    pub allowed: u64,
    /// How many requests were denied.
    pub denied: u64,
}

/// Who acted, in [`ActorSignals`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ActorName {
    /// This actor. Names are cut after [256 characters](Printable::LIMIT).
    Actor(Party<'static>),
    /// No one but the subject.
    NoOne,
    /// The actors beyond the limit, together.
    Others,
}

impl SignalsReport {
    pub(super) fn new(tally: &Tally, known: &Operations) -> Self {
        SignalsReport {
            known: known.clone(),
            period: tally.period,
            allowed: tally.outcomes.allowed,
            denied: tally.outcomes.denied,
            allowed_with_audience: tally.audiences.validated,
            allowed_by_client_list: tally.audiences.client_list,
            allowed_without_token: tally.audiences.no_token,
            denied_by_reason: tally.reasons.iter().filter(|(_, n)| **n > 0).map(copied).collect(),
            operations: operations(tally, known),
            actors: actors(tally),
        }
    }

    /// How many requests were denied for this reason.
    pub(super) fn denied_for(&self, reason: Reason) -> u64 {
        self.denied_by_reason.get(&reason).copied().unwrap_or_default()
    }

    /// How many requests were counted.
    pub(super) fn requests(&self) -> u64 {
        self.allowed.saturating_add(self.denied)
    }
}

fn copied((reason, count): (&Reason, &u64)) -> (Reason, u64) {
    (*reason, *count)
}

fn operations(tally: &Tally, known: &Operations) -> Vec<OperationSignals> {
    let row = |name, listed, counts: &OperationCounts| OperationSignals {
        name,
        listed,
        allowed: counts.outcomes.allowed,
        denied: counts.outcomes.denied,
        step_up_asked: counts.step_up.asked,
        step_up_met: counts.step_up.met,
        approval_asked: counts.approval.asked,
        approval_met: counts.approval.met,
    };
    let mut unlisted = tally.operations.rows.clone();
    let mut rows = Vec::new();
    let mut seen: BTreeMap<String, OperationCounts> = BTreeMap::new();
    for listed in known.listed() {
        let name = Printable::from(listed.name()).to_string();
        // Two layers may have one name, and the record does not tell them apart.
        let counts =
            seen.entry(name.clone()).or_insert_with(|| unlisted.remove(&*name).unwrap_or_default());
        rows.push(row(Some(name), Some(listed.clone()), counts));
    }
    let unlisted = unlisted.iter().filter(|(_, counts)| counts.outcomes.all() > 0);
    rows.extend(unlisted.map(|(name, counts)| row(Some(name.to_string()), None, counts)));
    let others = &tally.operations.others;
    if others.outcomes.all() > 0 {
        rows.push(row(None, None, others));
    }
    rows
}

fn actors(tally: &Tally) -> Vec<ActorSignals> {
    let all = |counts: &ActorCounts| {
        let rows = counts.subjects.rows.values().map(|row| row.outcomes);
        let sum = rows.fold(Outcomes::default(), Outcomes::plus);
        sum.plus(counts.subjects.others.outcomes).all()
    };
    let named =
        |counts: &ActorCounts| counts.actor.clone().map_or(ActorName::NoOne, ActorName::Actor);
    let mut actors: Vec<_> =
        tally.actors.rows.values().map(|counts| (named(counts), counts)).collect();
    actors.sort_by_key(|(_, counts)| Reverse(all(counts)));
    actors.push((ActorName::Others, &tally.actors.others));
    let mut rows = Vec::new();
    for (actor, counts) in actors {
        let mut subjects: Vec<_> = counts.subjects.rows.values().collect();
        subjects.sort_by_key(|counts| Reverse(counts.outcomes.all()));
        subjects.push(&counts.subjects.others);
        let subjects = subjects.into_iter().filter(|counts| counts.outcomes.all() > 0);
        rows.extend(subjects.map(|counts| ActorSignals {
            actor: actor.clone(),
            subject: counts.subject.clone(),
            allowed: counts.outcomes.allowed,
            denied: counts.outcomes.denied,
        }));
    }
    rows
}
