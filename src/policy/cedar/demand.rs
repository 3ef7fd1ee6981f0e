//! The annotations that turn a no into a challenge.

use std::time::Duration;

use cedar_policy::{Effect, Policy};

use crate::detail::{Detail, DetailValue};
use crate::evidence::{Attribute, Operation};
use crate::names::Acr;
use crate::require::Require;

/// What a request must meet for a forbid policy not to count.
#[derive(Debug)]
pub(super) struct Demand {
    step_up: Require,
    details: Vec<DemandedDetail>,
}

/// A detail whose members are what the handler states.
#[derive(Debug)]
struct DemandedDetail {
    type_name: String,
    /// All that is stated, if there is no list.
    members: Option<Vec<String>>,
    is_approved: bool,
}

/// A name that has one of these in it, and is not a known one, is a misspelt one.
const OURS: [&str; 5] = ["acr", "step_up", "max_age", "detail", "approv"];

impl Demand {
    /// Reads the annotations of a policy. `None` if it has none of ours.
    pub(super) fn of(policy: &Policy) -> Result<Option<Self>, String> {
        let mut demand = Demand { step_up: Require::valid_token(), details: Vec::new() };
        let mut is_there = false;
        for (name, value) in policy.annotations() {
            match name {
                "step_up_acr" => demand.step_up = demand.step_up.acr(classes(value)?),
                "max_age" => demand.step_up = demand.step_up.max_age(seconds(value)?),
                "detail" => demand.details.push(DemandedDetail::read(value, false)?),
                "approval" => demand.details.push(DemandedDetail::read(value, true)?),
                other if OURS.iter().any(|ours| other.to_lowercase().contains(ours)) => {
                    let known = "`@step_up_acr`, `@max_age`, `@detail` and `@approval`";
                    return Err(format!("`@{other}` is unknown; there are {known}"));
                }
                _ => continue,
            }
            is_there = true;
            if policy.effect() == Effect::Permit {
                return Err(format!(
                    "`@{name}` stands on a permit policy: it says what a forbid policy is lifted by"
                ));
            }
        }
        Ok(is_there.then_some(demand))
    }

    /// Returns the requirement for this operation, or what it lacks.
    pub(super) fn requirement(&self, operation: &Operation) -> Result<Require, String> {
        let mut requirement = self.step_up.clone();
        for detail in &self.details {
            requirement = requirement.and(Require::detail(detail.of(operation)?));
        }
        Ok(requirement)
    }
}

fn classes(value: &str) -> Result<Vec<Acr>, String> {
    let classes: Result<Vec<_>, _> = value.split_whitespace().map(Acr::new).collect();
    match classes {
        Ok(classes) if !classes.is_empty() => Ok(classes),
        _ => {
            Err("`@step_up_acr` is not a list of `acr` values with spaces between them".to_owned())
        }
    }
}

fn seconds(value: &str) -> Result<Duration, String> {
    let is_number = (1..=9).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
    let seconds = value.parse().ok().filter(|seconds| is_number && *seconds > 0);
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| "`@max_age` is not a number of seconds, from 1 to 999999999".to_owned())
}

impl DemandedDetail {
    fn read(value: &str, is_approved: bool) -> Result<Self, String> {
        let mut words = value.split_whitespace().map(str::to_owned);
        let type_name = words.next().ok_or("an annotation for a detail does not name its type")?;
        let members: Vec<_> = words.collect();
        let members = (!members.is_empty()).then_some(members);
        Ok(DemandedDetail { type_name, members, is_approved })
    }

    /// The detail that says what the operation is about to do.
    fn of(&self, operation: &Operation) -> Result<Detail, String> {
        let resource = operation.resource_type().zip(operation.resource_id());
        // `None` for a value that a detail cannot have.
        let mut stated: Vec<(&str, Option<DetailValue>)> = Vec::new();
        if let Some((kind, id)) = resource {
            stated.push((kind, Some(id.into())));
        }
        for (name, value) in operation.attributes() {
            // An attribute of the name of the resource's type counts, as what was said about it explicitly.
            stated.retain(|(earlier, _)| *earlier != name);
            stated.push((name, detail_value(value)));
        }
        let type_name = &self.type_name;
        if let Some(members) = &self.members {
            let is_stated = |member: &&String| stated.iter().any(|(name, _)| name == member);
            if let Some(member) = members.iter().find(|member| !is_stated(member)) {
                return Err(format!(
                    "the detail `{type_name}` needs `{member}`, which is not stated"
                ));
            }
            stated.retain(|(name, _)| members.iter().any(|member| member == name));
        }
        let mut detail = Detail::of(type_name);
        for (name, value) in stated {
            // If it were left out, the consent would be to less than what is done.
            let value = value.ok_or_else(|| {
                format!("the attribute `{name}` is a list of lists, which the detail `{type_name}` cannot have")
            })?;
            detail = detail.with(name, value);
        }
        Ok(if self.is_approved { detail.approved() } else { detail })
    }
}

/// The value as a member of a detail. `None` for lists of lists, which details do not have.
fn detail_value(value: &Attribute) -> Option<DetailValue> {
    match value {
        Attribute::List(values) => {
            let texts: Option<Vec<String>> = values.iter().map(text).collect();
            texts.map(DetailValue::from)
        }
        single => text(single).map(DetailValue::from),
    }
}

fn text(value: &Attribute) -> Option<String> {
    match value {
        Attribute::Text(text) => Some(text.clone()),
        Attribute::Integer(number) => Some(number.to_string()),
        Attribute::Boolean(value) => Some(value.to_string()),
        Attribute::List(_) => None,
    }
}
