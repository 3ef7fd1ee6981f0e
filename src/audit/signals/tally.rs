//! What is counted of the events: in tables that have limits.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use time::UtcDateTime;

use crate::audit::{AuditEvent, StepUp};
use crate::evidence::DecisionId;
use crate::printable::Printable;
use crate::reason::Reason;
use crate::token::Party;

/// How many operations have a row of their own.
pub(super) const OPERATIONS: usize = 500;
/// How many actors have rows of their own.
pub(super) const ACTORS: usize = 100;
/// How many subjects of each actor have a row of their own.
pub(super) const SUBJECTS: usize = 50;
/// How many decisions a later step can still change.
pub(super) const DECISIONS: usize = 1024;

/// A table with a limit. What comes when it is full is counted among the others.
#[derive(Debug, Clone)]
pub(super) struct Table<V> {
    pub(super) rows: BTreeMap<Arc<str>, V>,
    pub(super) others: V,
    limit: usize,
}

/// The row of a table. `None` is that of the others.
type Row = Option<Arc<str>>;

impl<V: Default> Table<V> {
    fn new(limit: usize) -> Self {
        Table { rows: BTreeMap::new(), others: V::default(), limit }
    }

    /// The row of this key, which is made if `may_add` allows it and there is room.
    fn find(&mut self, key: &str, may_add: bool, new: impl FnOnce() -> V) -> Row {
        if let Some((key, _)) = self.rows.get_key_value(key) {
            return Some(key.clone());
        }
        if !may_add || self.rows.len() >= self.limit {
            return None;
        }
        let key: Arc<str> = key.into();
        self.rows.insert(key.clone(), new());
        Some(key)
    }

    fn row(&mut self, row: &Row) -> &mut V {
        match row.as_ref().and_then(|key| self.rows.get_mut(key)) {
            Some(found) => found,
            None => &mut self.others,
        }
    }
}

/// How many requests were allowed, and how many denied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Outcomes {
    pub(super) allowed: u64,
    pub(super) denied: u64,
}

impl Outcomes {
    pub(super) fn all(self) -> u64 {
        self.allowed.saturating_add(self.denied)
    }

    pub(super) fn plus(self, other: Outcomes) -> Outcomes {
        Outcomes {
            allowed: self.allowed.saturating_add(other.allowed),
            denied: self.denied.saturating_add(other.denied),
        }
    }
}

/// In how many requests something was asked for, and in how many it was there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) asked: u64,
    pub(super) met: u64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct OperationCounts {
    pub(super) outcomes: Outcomes,
    pub(super) step_up: Asked,
    pub(super) approval: Asked,
}

#[derive(Debug, Clone)]
pub(super) struct ActorCounts {
    /// `None` if no one acts for the subject, and for the others.
    pub(super) actor: Option<Party<'static>>,
    pub(super) subjects: Table<SubjectCounts>,
}

impl Default for ActorCounts {
    fn default() -> Self {
        // The others are one row.
        ActorCounts { actor: None, subjects: Table::new(0) }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct SubjectCounts {
    /// `None` for the others.
    pub(super) subject: Option<Party<'static>>,
    pub(super) outcomes: Outcomes,
}

/// What the audiences of the tokens of allowed requests are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Audiences {
    pub(super) validated: u64,
    /// A list of clients stood for the audience.
    pub(super) client_list: u64,
    /// Another authenticator vouched for the request, which has no token.
    pub(super) no_token: u64,
}

/// What one request adds to the counts, as far as its steps are known.
#[derive(Debug, Clone)]
struct Request {
    decision: DecisionId,
    step: u32,
    operation: Row,
    /// The actor and the subject.
    who: Option<(Row, Row)>,
    audience: Audience,
    denied: Option<Reason>,
    step_up: Marks,
    approval: Marks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Audience {
    Validated,
    ClientList,
    NoToken,
}

/// What some step of a request did.
#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    asked: bool,
    met: bool,
}

impl Marks {
    fn of(step_up: StepUp) -> Marks {
        Marks { asked: step_up == StepUp::Asked, met: step_up == StepUp::Met }
    }

    fn or(self, other: Marks) -> Marks {
        Marks { asked: self.asked || other.asked, met: self.met || other.met }
    }

    fn change(self, counts: &mut Asked, change: fn(&mut u64)) {
        if self.asked {
            change(&mut counts.asked);
        }
        if self.met {
            change(&mut counts.met);
        }
    }
}

/// All counts.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    /// The moments of the first and of the last event.
    pub(super) period: Option<(UtcDateTime, UtcDateTime)>,
    pub(super) outcomes: Outcomes,
    pub(super) audiences: Audiences,
    pub(super) reasons: BTreeMap<Reason, u64>,
    pub(super) operations: Table<OperationCounts>,
    pub(super) actors: Table<ActorCounts>,
    recent: VecDeque<Request>,
    /// Reused, so that a row is found without a new string.
    key: String,
}

impl Default for Tally {
    fn default() -> Self {
        Tally {
            period: None,
            outcomes: Outcomes::default(),
            audiences: Audiences::default(),
            reasons: BTreeMap::new(),
            operations: Table::new(OPERATIONS),
            actors: Table::new(ACTORS),
            recent: VecDeque::new(),
            key: String::new(),
        }
    }
}

impl Tally {
    /// Counts an event. A further step of a request does not count as another request: its last step says what became
    /// of it.
    pub(super) fn count(&mut self, event: &AuditEvent<'_>) {
        let (first, last) = self.period.unwrap_or((event.at(), event.at()));
        self.period = Some((first.min(event.at()), last.max(event.at())));
        let mut request = self.read(event);
        if event.step() > 0
            && let Some(at) = self.recent.iter().rposition(|r| r.decision == request.decision)
            && let Some(earlier) = self.recent.remove(at)
        {
            self.change(&earlier, |count| *count = count.saturating_sub(1));
            self.drop_if_empty(&earlier.operation);
            request.step_up = request.step_up.or(earlier.step_up);
            request.approval = request.approval.or(earlier.approval);
            request.who = request.who.or(earlier.who.clone());
            // Steps may be written by several threads.
            if earlier.step > request.step {
                let Request { step_up, approval, operation, .. } = request;
                self.drop_if_empty(&operation);
                request = Request { step_up, approval, ..earlier };
            }
        }
        // The row may have been dropped as empty.
        if let Some(key) = &request.operation {
            self.operations.find(key, true, OperationCounts::default);
        }
        self.change(&request, |count| *count = count.saturating_add(1));
        if self.recent.len() >= DECISIONS {
            self.recent.pop_front();
        }
        self.recent.push_back(request);
    }

    fn read(&mut self, event: &AuditEvent<'_>) -> Request {
        let has_token = event.possession().is_some();
        Request {
            decision: event.decision(),
            step: event.step(),
            operation: self.operation(event, has_token),
            who: self.who(event),
            audience: match (event.audience(), event.client_list_instead_of_audience()) {
                (Some(_), _) => Audience::Validated,
                (None, true) => Audience::ClientList,
                (None, false) => Audience::NoToken,
            },
            denied: event.reason(),
            step_up: Marks::of(event.step_up()),
            approval: Marks::of(event.approval()),
        }
    }

    /// The row of the operation. A name comes from the service, and a path from the client: so a path gets a row if a
    /// valid token came with it.
    fn operation(&mut self, event: &AuditEvent<'_>, has_token: bool) -> Row {
        self.key.clear();
        // Writing to a string cannot fail.
        let _ = write!(self.key, "{}", event.operation());
        // One method of MCP calls all tools.
        if let Some(tool) = event.operation().tool() {
            let _ = write!(self.key, " {tool}");
        }
        let may_add = has_token || event.operation().name().is_some();
        self.operations.find(&self.key, may_add, OperationCounts::default)
    }

    /// The rows of the actor and of the subject, if the subject is known.
    fn who(&mut self, event: &AuditEvent<'_>) -> Option<(Row, Row)> {
        let subject = event.subject()?;
        let actor = event.actor();
        self.key.clear();
        if let Some(actor) = actor {
            write_key(&mut self.key, actor.issuer(), actor.name());
        }
        let actor_row = self.actors.find(&self.key, true, || ActorCounts {
            actor: actor.map(|actor| stored(actor.issuer(), actor.name())),
            subjects: Table::new(SUBJECTS),
        });
        self.key.clear();
        write_key(&mut self.key, subject.issuer(), subject.name());
        let subject_row = self.actors.row(&actor_row).subjects.find(&self.key, true, || {
            let subject = Some(stored(subject.issuer(), subject.name()));
            SubjectCounts { subject, outcomes: Outcomes::default() }
        });
        Some((actor_row, subject_row))
    }

    /// Changes every number that the request is part of.
    fn change(&mut self, request: &Request, change: fn(&mut u64)) {
        let outcome = |counts: &mut Outcomes| {
            change(match request.denied {
                None => &mut counts.allowed,
                Some(_) => &mut counts.denied,
            });
        };
        outcome(&mut self.outcomes);
        match (request.denied, request.audience) {
            (Some(reason), _) => change(self.reasons.entry(reason).or_default()),
            (None, Audience::Validated) => change(&mut self.audiences.validated),
            (None, Audience::ClientList) => change(&mut self.audiences.client_list),
            (None, Audience::NoToken) => change(&mut self.audiences.no_token),
        }
        let operation = self.operations.row(&request.operation);
        outcome(&mut operation.outcomes);
        request.step_up.change(&mut operation.step_up, change);
        request.approval.change(&mut operation.approval, change);
        if let Some((actor, subject)) = &request.who {
            outcome(&mut self.actors.row(actor).subjects.row(subject).outcomes);
        }
    }

    /// Makes room again if all requests for an operation turned out to be for another: a layer outside the one that has
    /// the name saw them by their paths.
    fn drop_if_empty(&mut self, operation: &Row) {
        if let Some(key) = operation
            && self.operations.rows.get(key).is_some_and(|counts| counts.outcomes.all() == 0)
        {
            self.operations.rows.remove(key);
        }
    }
}

/// A key that no other pair has, of what is stored of the two.
fn write_key(key: &mut String, issuer: &str, name: &str) {
    let (issuer, name) = (cut(issuer), cut(name));
    // Writing to a string cannot fail.
    let _ = write!(key, "{}:{issuer}{name}", issuer.len());
}

fn stored(issuer: &str, name: &str) -> Party<'static> {
    Party::new(cut(issuer), cut(name)).into_owned()
}

/// Returns as much of a text as is ever shown, and one character more if it is longer, so that it is shown that it is cut.
fn cut(text: &str) -> &str {
    match text.char_indices().nth(Printable::LIMIT.saturating_add(1)) {
        Some((at, _)) => text.get(..at).unwrap_or(text),
        None => text,
    }
}
