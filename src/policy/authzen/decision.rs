//! What a decision point answers: one decision, read strictly, and what several come to.

use std::borrow::Cow;
use std::time::Duration;

use crate::evidence::{Attribute, Evidence};
use crate::json::{Object, array, members, string, strings};
use crate::names::Acr;
use crate::policy::{Obligation, Ruling, Verdict};
use crate::reason::Reason;
use crate::require::Require;

/// The name of an obligation that cannot be read. A guard has nothing that executes it.
const MALFORMED: &str = "(malformed)";
/// The longest that a client is told to wait.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// One decision.
pub(super) struct Decision {
    is_permitted: bool,
    /// How the subject must have authenticated.
    step_up: Option<StepUp>,
    obligations: Vec<Obligation>,
    /// The ids that the decision point has for it. Like the reason, they are text from outside.
    ids: Vec<String>,
    /// Why, for the operator.
    reason: Option<String>,
    access_request: Option<AccessRequest>,
    /// The no may turn into a yes by itself, after this time.
    retry_after: Option<Duration>,
}

#[derive(Default, Clone)]
struct StepUp {
    acr: Option<Vec<Acr>>,
    max_age: Option<Duration>,
}

/// What a denial says about requesting access, as it was written.
#[derive(Clone)]
pub(super) struct AccessRequest {
    pub(super) endpoint: Option<String>,
    /// The request needs values that only a form asks for.
    pub(super) needs_form: bool,
    /// What the request repeats of the denial. JSON.
    pub(super) denial: String,
}

impl Decision {
    pub(super) fn is_permitted(&self) -> bool {
        self.is_permitted
    }

    /// Reads the answer to one evaluation.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        let answer = Object::read(text).filter(Object::is_sound).ok_or(NOT_SOUND)?;
        Decision::of(&answer)
    }

    /// Reads the answer to so many evaluations.
    pub(super) fn read_each(text: &str, count: usize) -> Result<Vec<Self>, &'static str> {
        let answer = Object::read(text).filter(Object::is_sound).ok_or(NOT_SOUND)?;
        // An answer that says both yes and no does not count as a yes.
        if answer.get("decision").is_some_and(|decision| decision != "true") {
            return Err("the `decision` beside them is not true");
        }
        let each = answer.get("evaluations").and_then(array).ok_or("it has no `evaluations`")?;
        let one = |text| Decision::of(&Object::read(text).ok_or("a decision is not an object")?);
        let decisions = each.map(one).collect::<Result<Vec<_>, _>>()?;
        match decisions.len() == count {
            true => Ok(decisions),
            false => Err("it has another number of decisions than it was asked for"),
        }
    }

    fn of(answer: &Object<'_>) -> Result<Self, &'static str> {
        let is_permitted = match answer.get("decision") {
            Some("true") => true,
            Some("false") => false,
            Some(_) => return Err("`decision` is not a boolean"),
            None => return Err("it has no `decision`"),
        };
        let mut decision = Decision {
            is_permitted,
            step_up: None,
            obligations: Vec::new(),
            ids: Vec::new(),
            reason: None,
            access_request: None,
            retry_after: None,
        };
        if let Some(context) = answer.get("context") {
            decision.add(&Object::read(context).ok_or("`context` is not an object")?)?;
        }
        Ok(decision)
    }

    fn add(&mut self, context: &Object<'_>) -> Result<(), &'static str> {
        let text = |name| context.get(name).and_then(string);
        for name in ["id", "evaluation_id"] {
            self.ids.extend(text(name).map(Cow::into_owned));
        }
        let reason = text("reason").or_else(|| reason_admin(context.get("reason_admin")?));
        self.reason = reason.map(Cow::into_owned);

        let mut step_up = StepUp::default();
        if let Some(raw) = context.get("acr_values") {
            let values = string(raw).ok_or("`acr_values` is not a string")?;
            let classes = values.split_whitespace().map(Acr::new).collect::<Result<Vec<_>, _>>();
            let classes = classes.map_err(|_| "`acr_values` names what is not a class")?;
            step_up.acr = Some(classes).filter(|classes| !classes.is_empty());
        }
        if let Some(raw) = context.get("max_age") {
            let seconds = raw.parse().map_err(|_| "`max_age` is not a number of seconds")?;
            step_up.max_age = Some(Duration::from_secs(seconds));
        }
        // It cannot be asked for with a challenge, so it is not passed over.
        if context.get("amr_values").is_some() {
            self.obligations.push(Obligation::new("amr_values"));
        }
        if let Some(raw) = context.get("obligations") {
            let Some(obligations) = array(raw) else {
                self.obligations.push(Obligation::new(MALFORMED));
                return Ok(());
            };
            for obligation in obligations {
                let read = self.read_obligation(obligation, &mut step_up);
                self.obligations.extend(read.unwrap_or_else(|| Some(Obligation::new(MALFORMED))));
            }
        }
        if step_up.acr.is_some() || step_up.max_age.is_some() {
            self.step_up = Some(step_up);
        }
        let retries = match text("next_action").as_deref() {
            Some("retry") => true,
            Some("request" | "none") => false,
            _ => text("reason").as_deref() == Some("grant_pending"),
        };
        if retries && !self.is_permitted {
            let seconds = context.get("retry_after").and_then(|raw| raw.parse().ok());
            self.retry_after = Some(Duration::from_secs(seconds.unwrap_or(5)).min(MAX_RETRY_AFTER));
        }
        if let Some(request) = context.get("access_request").filter(|_| !self.is_permitted) {
            let request = Object::read(request).ok_or("`access_request` is not an object")?;
            self.access_request = Some(AccessRequest::read(&request, context)?);
        }
        Ok(())
    }

    /// Reads an obligation: `Some(None)` if it asks for nothing but a step-up, `None` if it is malformed.
    fn read_obligation(&self, raw: &str, step_up: &mut StepUp) -> Option<Option<Obligation>> {
        let obligation = Object::read(raw)?;
        let kind = string(obligation.get("type")?).filter(|kind| !kind.is_empty())?;
        let id = string(obligation.get("id")?)?;
        let properties = obligation.get("properties").unwrap_or("{}");
        if kind == "step-up" {
            let properties = Object::read(properties)?;
            let acr = Acr::new(string(properties.get("acr_value")?)?).ok()?;
            let earlier = step_up.acr.take();
            // Of several, each must be met.
            let all = earlier
                .map_or(Some(vec![acr.clone()]), |all| all.contains(&acr).then(|| vec![acr]));
            step_up.acr = Some(all?);
            let methods = properties.get("amr_values").map_or(Some(Vec::new()), strings)?;
            if methods.is_empty() || !self.is_permitted {
                return Some(None);
            }
        }
        let mut read = Obligation::new(kind).with("id", id.into_owned());
        for (name, raw) in members(properties)? {
            read = read.with(name, attribute(raw));
        }
        Some(Some(read))
    }
}

const NOT_SOUND: &str = "it is not a JSON object, or a name stands in it twice";

/// The reason for an administrator: the first of those that the member has, by status or language.
fn reason_admin(raw: &str) -> Option<Cow<'_, str>> {
    string(raw).or_else(|| members(raw)?.find_map(|(_, reason)| string(reason)))
}

/// A value that an attribute cannot hold is its JSON text.
fn attribute(raw: &str) -> Attribute {
    if let Some(text) = string(raw) {
        return Attribute::Text(text.into_owned());
    }
    match (raw, raw.parse::<i128>(), array(raw)) {
        ("true", ..) => Attribute::Boolean(true),
        ("false", ..) => Attribute::Boolean(false),
        (_, Ok(number), _) => Attribute::Integer(number),
        (_, _, Some(values)) => Attribute::List(values.map(attribute).collect()),
        _ => Attribute::Text(raw.to_owned()),
    }
}

impl AccessRequest {
    fn read(request: &Object<'_>, context: &Object<'_>) -> Result<Self, &'static str> {
        let endpoint = match request.get("endpoint") {
            Some(raw) => Some(string(raw).ok_or("`endpoint` is not a string")?.into_owned()),
            None => None,
        };
        let of_request = ["expires_at", "binding_token", "template"];
        let of_context = ["evaluation_id", "evaluated_at", "reason"];
        let of_request = of_request.map(|name| (name, request.get(name)));
        let of_context = of_context.map(|name| (name, context.get(name)));
        let repeated = of_request.into_iter().chain(of_context);
        let repeated = repeated.filter_map(|(name, raw)| Some(format!(r#""{name}":{}"#, raw?)));
        let denial = format!("{{{}}}", repeated.collect::<Vec<_>>().join(","));
        let needs_form = request.get("request_schema_url").is_some();
        Ok(AccessRequest { endpoint, needs_form, denial })
    }
}

/// Why a decision is a no, that with the least hope first.
enum No {
    Final(String),
    StepUp(Require),
    Requestable(String, usize, AccessRequest),
}

impl No {
    fn hope(&self) -> u8 {
        match self {
            No::Final(_) => 0,
            No::StepUp(_) => 1,
            No::Requestable(..) => 2,
        }
    }

    fn of(decision: &Decision, place: usize, evidence: &Evidence) -> Self {
        let reason = || decision.reason.clone().unwrap_or_else(|| "the decision is no".to_owned());
        if let Some(step_up) = &decision.step_up {
            let requirement = step_up.added_to(Require::valid_token());
            // A no stays a no. It is a challenge only if the token lacks what the challenge asks for.
            if lacks_authentication(&requirement, evidence) {
                return No::StepUp(requirement);
            }
        }
        match &decision.access_request {
            Some(request) => No::Requestable(reason(), place, request.clone()),
            None => No::Final(reason()),
        }
    }
}

impl StepUp {
    fn added_to(&self, requirement: Require) -> Require {
        let requirement = match &self.acr {
            Some(classes) => requirement.acr(classes.iter().cloned()),
            None => requirement,
        };
        match self.max_age {
            Some(age) => requirement.max_age(age),
            None => requirement,
        }
    }
}

fn lacks_authentication(requirement: &Require, evidence: &Evidence) -> bool {
    match requirement.check(evidence.token(), evidence.at()) {
        Ok(()) => false,
        Err(unmet) => matches!(
            unmet.reason(),
            Reason::AuthenticationContextMissing
                | Reason::AuthenticationLevelInsufficient
                | Reason::AuthenticationTooOld
        ),
    }
}

/// How long to wait if every no may turn into a yes by itself.
pub(super) fn retry_after(decisions: &[Decision]) -> Option<Duration> {
    let denied = decisions.iter().filter(|decision| !decision.is_permitted);
    let waits = denied.map(|decision| decision.retry_after).collect::<Option<Vec<_>>>()?;
    waits.into_iter().max()
}

/// A denial that an approval may turn.
pub(super) struct Requestable {
    /// Which of the decisions it is.
    pub(super) place: usize,
    pub(super) request: AccessRequest,
}

/// What all decisions come to: all must permit. A denial that can be requested is ruled like any other, and comes beside
/// the ruling.
pub(super) fn ruled(
    decisions: Vec<Decision>,
    evidence: &Evidence,
) -> (Ruling, Option<Requestable>) {
    let mut requirement = None;
    let mut no: Option<No> = None;
    let (mut ids, mut obligations) = (Vec::new(), Vec::new());
    for (place, decision) in decisions.into_iter().enumerate() {
        if decision.is_permitted {
            if let Some(step_up) = &decision.step_up {
                // The requirement of the operation may admit an actor of another namespace.
                let base = requirement.unwrap_or_else(|| evidence.requirement().clone());
                requirement = Some(step_up.added_to(base));
            }
        } else {
            let this = No::of(&decision, place, evidence);
            if no.as_ref().is_none_or(|earlier| this.hope() < earlier.hope()) {
                no = Some(this);
            }
        }
        ids.extend(decision.ids);
        obligations.extend(decision.obligations);
    }
    let (verdict, requestable) = match no {
        None => (requirement.map_or(Verdict::Permit, Verdict::PermitIf), None),
        Some(No::Final(reason)) => (Verdict::Forbid(reason.into()), None),
        Some(No::StepUp(requirement)) => (Verdict::PermitIf(requirement), None),
        Some(No::Requestable(reason, place, request)) => {
            (Verdict::Forbid(reason.into()), Some(Requestable { place, request }))
        }
    };
    let ruling = obligations.into_iter().fold(verdict.by(ids), Ruling::obliged);
    (ruling, requestable)
}
