//! Authorization details: the mode `detail`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};
use unconfused::Reason;
use unconfused::detail::{
    Detail, DetailProblem, DetailType, DetailTypes, GrantedDetails, MemberPath,
};

use crate::case::{Case, Outcome};

/// A type, as a case defines it.
#[derive(Deserialize)]
struct Definition {
    exact: Vec<Path>,
    at_most: Vec<Path>,
    sets: Vec<Path>,
    ignored: Vec<Path>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Path {
    Name(String),
    Names(Vec<String>),
}

impl From<Path> for MemberPath {
    fn from(path: Path) -> Self {
        match path {
            Path::Name(name) => name.into(),
            Path::Names(names) => names.into(),
        }
    }
}

impl Definition {
    fn into_type(self, name: String) -> DetailType {
        let mut defined = DetailType::new(name);
        defined = self.exact.into_iter().fold(defined, DetailType::exact);
        defined = self.at_most.into_iter().fold(defined, DetailType::at_most);
        defined = self.sets.into_iter().fold(defined, DetailType::set);
        self.ignored.into_iter().fold(defined, DetailType::ignored)
    }
}

pub(crate) fn detail(case: &Case<'_>) -> Option<Outcome> {
    let types: BTreeMap<String, Definition> = case.get("types")?;
    let types =
        DetailTypes::new(types.into_iter().map(|(name, definition)| definition.into_type(name)));
    let granted: Cow<'_, str> = case.get("granted_json")?;
    let asked: Map<String, Value> = case.get("asked")?;
    let Some(asked) = asked_detail(&asked) else {
        return Some(Reason::PolicyInputInvalid.into());
    };
    let covered = GrantedDetails::parse(&granted).and_then(|granted| granted.cover(&asked, &types));
    Some(match covered.as_ref().map_err(DetailProblem::reason) {
        Ok(()) => Outcome::Accept(Map::new()),
        Err(reason) => reason.into(),
    })
}

/// Returns `None` if something in it is not a text, a list of texts, or an object of those.
fn asked_detail(asked: &Map<String, Value>) -> Option<Detail> {
    let detail = Detail::of(asked.get("type")?.as_str()?);
    let mut members = asked.iter().filter(|(name, _)| *name != "type");
    members.try_fold(detail, |detail, (name, value)| with(detail, vec![name.clone()], value))
}

fn with(detail: Detail, path: Vec<String>, value: &Value) -> Option<Detail> {
    match value {
        Value::String(text) => Some(detail.with(path, text)),
        Value::Array(items) => {
            let texts: Option<Vec<_>> = items.iter().map(Value::as_str).collect();
            Some(detail.with(path, texts?))
        }
        Value::Object(members) if !members.is_empty() => {
            members.iter().try_fold(detail, |detail, (name, value)| {
                let mut path = path.clone();
                path.push(name.clone());
                with(detail, path, value)
            })
        }
        _ => None,
    }
}
