//! What Cedar is asked about one request.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use cedar_policy::{Context, Entities, Entity, EntityId, EntityUid, Request, RestrictedExpression};

use super::loaded::{Action, Loaded, Types};
use super::shapes::{Kind, Shape};
use crate::dates::rfc3339;
use crate::evidence::{Attribute, Evidence, Operation};
use crate::token::{Party, WrongClaimType};

/// The most values of attributes, those in lists counted.
pub(super) const MAX_VALUES: usize = 1_000;
/// The most bytes of names and texts of attributes.
pub(super) const MAX_BYTES: usize = 65_536;
/// How deep lists are nested.
pub(super) const MAX_DEPTH: usize = 8;

/// Why nothing can be asked, for the record. It names attributes, and has no value of one.
pub(super) type Problem = String;

/// One question for each party, about the same facts.
pub(super) struct Asked {
    /// Each with the word for the party.
    pub(super) requests: Vec<(&'static str, Request)>,
    pub(super) entities: Entities,
}

impl Asked {
    pub(super) fn new(loaded: &Loaded, evidence: &Evidence) -> Result<Self, Problem> {
        let operation = evidence.operation();
        check_sizes(operation)?;
        let name = operation.name().ok_or("the operation has no name, so no action")?;
        let action = loaded.actions.get(name);
        let action = action.ok_or_else(|| format!("the schema has no action {name:?}"))?;
        let Parties { subject, actor } = Parties::of(loaded, evidence)?;
        let (resource, attributes) = resource(action, operation)?;
        let mut context = context(action, operation)?;
        for (name, _) in operation.attributes() {
            if !context.contains_key(name) && !attributes.contains_key(name) {
                return Err(format!(
                    "neither the action nor its resource has the attribute {name:?}"
                ));
            }
        }
        let actor_uid = actor.as_ref().map(|(uid, _)| uid.clone());
        let facts = facts(loaded, evidence, &subject.0, actor_uid.as_ref())?;
        context.insert("evidence".to_owned(), facts);
        let context = Context::from_pairs(context);
        let context = context.map_err(|_| "an attribute is not of the type that the schema has")?;

        let mut requests = Vec::with_capacity(2);
        let principals = [("subject", Some(subject.0.clone())), ("actor", actor_uid)];
        for (word, principal) in principals {
            let Some(principal) = principal else { continue };
            let request = Request::new(
                principal,
                action.uid.clone(),
                resource.clone(),
                context.clone(),
                Some(&loaded.schema),
            );
            let request = request.map_err(|_| {
                format!("the action {name:?} is not as the schema has it for this {word}: its resource or attributes differ")
            })?;
            requests.push((word, request));
        }
        let resource = Entity::new(resource, attributes, HashSet::new());
        let resource =
            resource.map_err(|_| "an attribute is not of the type that the schema has")?;
        let parties = actor.into_iter().chain([subject]).map(|(_, entity)| entity);
        let entities = action.entities.clone();
        let entities = entities.add_entities(parties.chain([resource]), Some(&loaded.schema));
        let entities =
            entities.map_err(|_| "an attribute of the resource is not as the schema has it")?;
        Ok(Asked { requests, entities })
    }
}

/// The parties that are asked about, as entities.
struct Parties {
    subject: (EntityUid, Entity),
    actor: Option<(EntityUid, Entity)>,
}

impl Parties {
    fn of(loaded: &Loaded, evidence: &Evidence) -> Result<Self, Problem> {
        let types = &loaded.types;
        let entity = |type_name, party: &Party<'_>| {
            let uid = Types::party(type_name, party).ok_or("the name of an issuer contains `#`")?;
            let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
            let attributes = HashMap::from([
                ("issuer".to_owned(), text(party.issuer())),
                ("name".to_owned(), text(party.name())),
            ]);
            let entity = Entity::new(uid.clone(), attributes, HashSet::new());
            Ok::<_, Problem>((uid, entity.map_err(|_| "a party is not an entity")?))
        };
        let subject = entity(&types.subject, &evidence.token().subject())?;
        let actor = match evidence.token().actor() {
            None => None,
            Some(actor) => Some(entity(&types.actor, &Party::new(actor.issuer(), actor.name()))?),
        };
        Ok(Parties { subject, actor })
    }
}

/// The resource, and those of the attributes that are its own.
fn resource(
    action: &Action,
    operation: &Operation,
) -> Result<(EntityUid, HashMap<String, RestrictedExpression>), Problem> {
    let stated = operation.resource_type().zip(operation.resource_id());
    let (kind, id) = stated.unwrap_or(("Api", "api"));
    let resource = action.resources.get(kind).ok_or_else(|| match stated {
        Some(_) => format!("the action is not one on the resource type {kind:?}"),
        None => "no resource is stated, and the action is not one on `Api`".to_owned(),
    })?;
    let uid = EntityUid::from_type_name_and_id(resource.type_name.clone(), EntityId::new(id));
    Ok((uid, values(action, &resource.attributes, operation)?))
}

/// The attributes that the context of the action has.
fn context(
    action: &Action,
    operation: &Operation,
) -> Result<HashMap<String, RestrictedExpression>, Problem> {
    if operation.attribute("evidence").is_some() {
        return Err("no attribute may be called `evidence`".to_owned());
    }
    values(action, &action.context, operation)
}

fn values(
    action: &Action,
    shape: &Shape,
    operation: &Operation,
) -> Result<HashMap<String, RestrictedExpression>, Problem> {
    let mut values = HashMap::new();
    for (name, attribute) in operation.attributes() {
        if let Some(kind) = shape.get(name) {
            let value = value(action, kind, attribute, 0).ok_or_else(|| {
                format!("the attribute {name:?} is not of the type that the schema has")
            })?;
            values.insert(name.to_owned(), value);
        }
    }
    Ok(values)
}

/// The attribute as a value of this kind. What it is not, Cedar finds when it checks it against the schema.
fn value(
    action: &Action,
    kind: &Kind,
    attribute: &Attribute,
    depth: usize,
) -> Option<RestrictedExpression> {
    Some(match (attribute, kind) {
        (Attribute::Text(text), kind) => match kind {
            Kind::Decimal => RestrictedExpression::new_decimal(decimal(text)),
            Kind::Datetime => RestrictedExpression::new_datetime(text),
            Kind::Duration => RestrictedExpression::new_duration(text),
            Kind::Ip => RestrictedExpression::new_ip(text),
            Kind::Entity(name) => {
                let type_name = action.entity_types.get(name)?.clone();
                let uid = EntityUid::from_type_name_and_id(type_name, EntityId::new(text));
                RestrictedExpression::new_entity_uid(uid)
            }
            Kind::Plain => RestrictedExpression::new_string(text.clone()),
            Kind::Set(_) => return None,
        },
        (Attribute::Integer(number), Kind::Decimal) => {
            RestrictedExpression::new_decimal(format!("{number}.0"))
        }
        (Attribute::Integer(number), Kind::Plain) => {
            RestrictedExpression::new_long(i64::try_from(*number).ok()?)
        }
        (Attribute::Boolean(value), Kind::Plain) => RestrictedExpression::new_bool(*value),
        (Attribute::List(items), Kind::Set(kind)) if depth < MAX_DEPTH => {
            let depth = depth.saturating_add(1);
            let items: Option<Vec<_>> =
                items.iter().map(|item| value(action, kind, item, depth)).collect();
            RestrictedExpression::new_set(items?)
        }
        _ => return None,
    })
}

/// The text as Cedar writes decimals: with a point, and without zeros after the fourth digit behind it. Cedar refuses
/// what is not a decimal.
fn decimal(text: &str) -> Cow<'_, str> {
    let Some((whole, fraction)) = text.split_once('.') else { return format!("{text}.0").into() };
    match fraction.split_at_checked(4) {
        Some((kept, zeros)) if zeros.bytes().all(|b| b == b'0') => format!("{whole}.{kept}").into(),
        _ => text.into(),
    }
}

/// `evidence` of the context.
fn facts(
    loaded: &Loaded,
    evidence: &Evidence,
    subject: &EntityUid,
    actor: Option<&EntityUid>,
) -> Result<RestrictedExpression, Problem> {
    let token = evidence.token();
    let operation = evidence.operation();
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let time = |time| RestrictedExpression::new_datetime(rfc3339(time));
    let acr = readable("acr", token.acr(), loaded.asks_for_acr)?;
    let auth_time = readable("auth_time", token.auth_time(), loaded.asks_for_auth_time)?;
    let scopes = RestrictedExpression::new_set(token.scopes().map(text));
    let mut facts = vec![
        ("subject", RestrictedExpression::new_entity_uid(subject.clone())),
        ("issuer", text(token.issuer())),
        ("scopes", scopes),
        ("person", RestrictedExpression::new_bool(token.is_person())),
        ("sender_constrained", RestrictedExpression::new_bool(token.is_sender_constrained())),
        ("at", time(evidence.at())),
        ("method", text(operation.method().as_str())),
        ("path", text(operation.path().raw())),
    ];
    let optional = [
        ("actor", actor.map(|actor| RestrictedExpression::new_entity_uid(actor.clone()))),
        ("client", token.client_id().map(text)),
        ("tenant", token.tenant().map(text)),
        ("acr", acr.map(text)),
        ("auth_time", auth_time.map(time)),
    ];
    facts.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
    let facts = facts.into_iter().map(|(name, value)| (name.to_owned(), value));
    RestrictedExpression::new_record(facts).map_err(|_| "a fact is there twice".to_owned())
}

/// A claim of a wrong JSON type counts as absent only if no policy asks for it.
fn readable<T>(
    name: &str,
    claim: Result<Option<T>, WrongClaimType>,
    is_asked: bool,
) -> Result<Option<T>, Problem> {
    match claim {
        Ok(claim) => Ok(claim),
        Err(_) if !is_asked => Ok(None),
        Err(_) => {
            Err(format!("the claim {name:?}, which a policy asks for, has a wrong JSON type"))
        }
    }
}

/// Refuses what would take long, or deep.
fn check_sizes(operation: &Operation) -> Result<(), Problem> {
    let mut left = Left { values: MAX_VALUES, bytes: MAX_BYTES };
    let resource = [operation.resource_type(), operation.resource_id()];
    let resource = resource.into_iter().flatten().all(|text| left.bytes(text));
    let fits = |(name, value): (&str, &Attribute)| left.bytes(name) && left.value(value, 0);
    if resource && operation.attributes().all(fits) {
        return Ok(());
    }
    Err(format!(
        "the attributes are too large: more than {MAX_VALUES} values, {MAX_BYTES} bytes, or {MAX_DEPTH} lists in each other"
    ))
}

struct Left {
    values: usize,
    bytes: usize,
}

impl Left {
    fn bytes(&mut self, text: &str) -> bool {
        let left = self.bytes.checked_sub(text.len());
        self.bytes = left.unwrap_or_default();
        left.is_some()
    }

    fn value(&mut self, value: &Attribute, depth: usize) -> bool {
        let left = self.values.checked_sub(1);
        self.values = left.unwrap_or_default();
        left.is_some()
            && match value {
                Attribute::Text(text) => self.bytes(text),
                Attribute::Integer(_) | Attribute::Boolean(_) => true,
                Attribute::List(items) => {
                    let depth = depth.saturating_add(1);
                    depth <= MAX_DEPTH && items.iter().all(|item| self.value(item, depth))
                }
            }
    }
}
