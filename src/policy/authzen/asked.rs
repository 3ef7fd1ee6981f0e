//! A question in the form in which a decision point is asked.

use serde_json::{Map, Value, json};

use crate::dates::rfc3339;
use crate::evidence::{Attribute, Operation};
use crate::jose::sha256;
use crate::policy::Question;
use crate::token::{AccessToken, Party};

/// The largest whole number that every reader of JSON keeps exact (RFC 7493 section 2.2).
const MAX_EXACT: i128 = (1 << 53) - 1;

/// How a question is put.
#[derive(Clone)]
pub(super) struct Wording {
    pub(super) subject_type: String,
    pub(super) actor_type: String,
    /// Whether the actor is asked about in an evaluation of its own.
    pub(super) actor_apart: bool,
}

/// What a decision point is asked. Each part is JSON.
pub(super) struct Asked {
    /// The subject, and then its actor if that is asked about apart.
    pub(super) parties: Vec<String>,
    action: String,
    resource: String,
    context: String,
    /// What is the same whenever the same operation is asked about.
    pub(super) operation: [u8; 32],
    /// The id of the decision in the record.
    pub(super) id: String,
}

impl Asked {
    /// Returns the form of a question, or why it has none.
    pub(super) fn new(question: &Question<'_>, wording: &Wording) -> Result<Self, String> {
        let evidence = question.evidence();
        let token = of_token(evidence.token());
        let subject = question.subject();
        let actor = question.actor().map(|actor| Party::new(actor.issuer(), actor.name()));
        let about = |kind: &str, party: &Party<'_>, role: &str, other: Option<&Party<'_>>| {
            let mut properties = token.clone();
            properties.insert("iss".to_owned(), party.issuer().into());
            if let Some(other) = other {
                properties.insert(role.to_owned(), pair(other));
            }
            json!({ "type": kind, "id": party.name(), "properties": properties }).to_string()
        };
        let mut parties = vec![about(&wording.subject_type, &subject, "act", actor.as_ref())];
        if let Some(actor) = actor.as_ref().filter(|_| wording.actor_apart) {
            parties.push(about(&wording.actor_type, actor, "acts_for", Some(&subject)));
        }
        let action = json!({ "name": action(question.operation()) }).to_string();
        let resource = resource(question.operation())?.to_string();
        let obligations: Vec<_> = ["step-up"].into_iter().chain(question.obligations()).collect();
        let mut context = json!({
            "time": rfc3339(evidence.at()),
            "supported_obligations": obligations,
        });
        if let (Some(actor), Value::Object(context)) = (&actor, &mut context) {
            context.insert("actor".to_owned(), pair(actor));
        }
        // An array of JSON, so that no two operations are written alike.
        let who = json!([pair(&subject), actor.as_ref().map(pair)]);
        let operation = sha256([format!("[{who},{action},{resource}]")]);
        let id = evidence.decision().to_string();
        Ok(Asked { parties, action, resource, context: context.to_string(), operation, id })
    }

    /// The request for one decision, about this party.
    pub(super) fn evaluation(&self, party: &str, approval: Option<&str>) -> String {
        let Asked { action, resource, .. } = self;
        let context = self.context(approval);
        format!(
            r#"{{"subject":{party},"action":{action},"resource":{resource},"context":{context}}}"#
        )
    }

    /// The request for a decision about each party.
    pub(super) fn evaluations(&self, approval: Option<&str>) -> String {
        let Asked { action, resource, .. } = self;
        let context = self.context(approval);
        let of_party = |party: &String| format!(r#"{{"subject":{party}}}"#);
        let each = self.parties.iter().map(of_party).collect::<Vec<_>>().join(",");
        format!(
            r#"{{"action":{action},"resource":{resource},"context":{context},"evaluations":[{each}]}}"#
        )
    }

    /// The request for access after this denial, to the same for the same party.
    pub(super) fn access_request(&self, party: &str, denial: &str) -> String {
        let Asked { action, resource, context, .. } = self;
        format!(
            r#"{{"subject":{party},"action":{action},"resource":{resource},"context":{context},"denial":{denial}}}"#
        )
    }

    /// The context, with an approval exactly as it was given.
    fn context(&self, approval: Option<&str>) -> String {
        match (approval, self.context.strip_suffix('}')) {
            (Some(approval), Some(members)) => format!(r#"{members},"approval":{approval}}}"#),
            _ => self.context.clone(),
        }
    }
}

fn pair(party: &Party<'_>) -> Value {
    json!({ "iss": party.issuer(), "sub": party.name() })
}

/// What the token says that a policy may rest on: no credential, and no prior actor.
fn of_token(token: &AccessToken) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut put = |name: &str, value: Value| properties.insert(name.to_owned(), value);
    put("scopes", token.scopes().collect::<Vec<_>>().into());
    if let Some(client) = token.client_id() {
        put("client_id", client.into());
    }
    let acr = token.acr().map(|acr| acr.map(Value::from));
    let auth_time = token.auth_time().map(|at| at.map(|at| at.unix_timestamp().into()));
    for (name, claim) in [("acr", acr), ("auth_time", auth_time)] {
        // A claim of a wrong JSON type goes as it is: a policy may rest on it, so it must not look absent.
        let as_it_is = |_| Some(token.claim(name).ok().flatten().unwrap_or(Value::Null));
        if let Some(value) = claim.unwrap_or_else(as_it_is) {
            put(name, value);
        }
    }
    properties
}

fn action(operation: &Operation) -> &str {
    operation.name().unwrap_or_else(|| operation.method().as_str())
}

/// The resource that the handler stated, or the path of the request.
fn resource(operation: &Operation) -> Result<Value, String> {
    let path = operation.path();
    let (kind, id) = match (operation.resource_type(), operation.resource_id()) {
        (Some(kind), Some(id)) => (kind, id),
        _ => ("path", path.raw()),
    };
    let attribute = |(name, attribute): (&str, &Attribute)| match value(attribute) {
        Some(value) => Ok((name.to_owned(), value)),
        None => Err(format!("the attribute `{name}` is a number that JSON may not keep exact")),
    };
    let properties = operation.attributes().map(attribute).collect::<Result<Map<_, _>, _>>()?;
    Ok(json!({ "type": kind, "id": id, "properties": properties }))
}

/// `None` for a number that readers of JSON may round.
fn value(attribute: &Attribute) -> Option<Value> {
    Some(match attribute {
        Attribute::Text(text) => text.as_str().into(),
        Attribute::Integer(number) => {
            let exact = (-MAX_EXACT..=MAX_EXACT).contains(number);
            i64::try_from(*number).ok().filter(|_| exact)?.into()
        }
        Attribute::Boolean(value) => (*value).into(),
        Attribute::List(values) => {
            Value::Array(values.iter().map(value).collect::<Option<Vec<_>>>()?)
        }
    })
}
