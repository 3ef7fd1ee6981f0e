//! Policies and their schema, read and checked.

use std::collections::HashMap;
use std::str::FromStr as _;
use std::sync::LazyLock;
use std::thread;

use cedar_policy::{
    Entities, EntityId, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet, Schema,
    SchemaFragment, ValidationMode, ValidationWarning, Validator,
};

use super::demand::Demand;
use super::shapes::{Kind, Shape, Shapes};
use super::slices::Slices;
use super::text::Text;
use crate::config_error::ConfigError;
use crate::token::Party;

/// The types of the crate, which are part of every schema.
pub(super) const TYPES: &str = include_str!("types.cedarschema");

/// Bytes of address space. Memory is used as far as the stack grows.
const STACK: usize = 128 << 20;

/// A set of policies with what a decision needs of its schema.
pub(super) struct Loaded {
    pub(super) schema: Schema,
    /// By the name of the operation.
    pub(super) actions: HashMap<String, Action>,
    pub(super) slices: Slices,
    /// Of the forbid policies that have annotations.
    pub(super) demands: HashMap<PolicyId, Demand>,
    pub(super) types: Types,
    pub(super) policies: usize,
    /// Whether the condition of a policy may ask for these claims, whose JSON type may be wrong.
    pub(super) asks_for_acr: bool,
    pub(super) asks_for_auth_time: bool,
}

pub(super) struct Types {
    pub(super) subject: EntityTypeName,
    pub(super) actor: EntityTypeName,
}

/// An operation that the schema lists.
pub(super) struct Action {
    pub(super) uid: EntityUid,
    pub(super) context: Shape,
    /// By the type that a handler states.
    pub(super) resources: HashMap<String, Resource>,
    /// The types of entities that its attributes name.
    pub(super) entity_types: HashMap<String, EntityTypeName>,
    /// The action and the groups that it is in.
    pub(super) entities: Entities,
}

pub(super) struct Resource {
    pub(super) type_name: EntityTypeName,
    pub(super) attributes: Shape,
}

impl Loaded {
    /// Reads both on a thread of its own, whose stack is large enough for all that the limits of texts let pass.
    pub(super) fn new(policies: &str, schema: &str) -> Result<Self, ConfigError> {
        let (policies, schema) = (Text::policies(policies), Text::schema(schema));
        policies.check_depth()?;
        schema.check_depth()?;
        thread::scope(|scope| {
            let reader = thread::Builder::new().name("cedar".to_owned()).stack_size(STACK);
            let reader = reader.spawn_scoped(scope, || Loaded::read(policies, schema));
            let reader = reader.map_err(|error| policies.at(None, &error.to_string()))?;
            reader.join().unwrap_or_else(|_| Err(policies.at(None, "Cedar panicked")))
        })
    }

    fn read(policies: Text<'_>, schema: Text<'_>) -> Result<Self, ConfigError> {
        let types = Types { subject: own_type("Subject")?, actor: own_type("Actor")? };
        let (cedar_schema, shapes) = read_schema(schema)?;
        check_entity_types(schema, &cedar_schema)?;
        let actions = actions(schema, &cedar_schema, &shapes, &types)?;
        let set = read_policies(policies)?;
        let validator = Validator::new(cedar_schema);
        check_contexts(schema, &actions, &validator)?;
        validate(policies, &set, &validator)?;
        let cedar_schema = validator.schema().clone();
        let groups = cedar_schema.action_entities().map_err(|error| schema.error(&error))?;
        let mut slices = Slices::default();
        let mut demands = HashMap::new();
        for policy in set.policies() {
            let wrong = |problem: String| {
                let problem = format!("the policy `{}`: {problem}", policy.id());
                policies.in_part(policy.to_cedar().as_deref(), &problem)
            };
            if let Some(demand) = Demand::of(policy).map_err(wrong)? {
                demands.insert(policy.id().clone(), demand);
            }
            let in_group = |group: &EntityUid| {
                let is_in = |action: &&EntityUid| groups.is_ancestor_of(group, action);
                let all = actions.values().map(|action| &action.uid);
                all.filter(|uid| *uid == group || is_in(uid)).cloned().collect()
            };
            slices.add(policy, in_group).map_err(wrong)?;
        }
        // The annotation asks the guard for it, which has an answer of its own.
        let conditions = policies.as_str().replace("@step_up_acr", "");
        Ok(Loaded {
            schema: cedar_schema,
            actions,
            slices,
            demands,
            types,
            policies: set.num_of_policies(),
            asks_for_acr: conditions.contains("acr"),
            asks_for_auth_time: conditions.contains("auth_time"),
        })
    }
}

fn own_type(name: &str) -> Result<EntityTypeName, ConfigError> {
    EntityTypeName::from_str(name).map_err(|error| Text::schema(TYPES).error(&error))
}

fn read_fragment(text: Text<'_>) -> Result<SchemaFragment, ConfigError> {
    match SchemaFragment::from_cedarschema_str(text.as_str()) {
        Ok((fragment, _)) => Ok(fragment),
        Err(error) => Err(text.error(&error)),
    }
}

fn read_schema(text: Text<'_>) -> Result<(Schema, Shapes), ConfigError> {
    // Ours is read once.
    static OWN: LazyLock<Result<SchemaFragment, ConfigError>> =
        LazyLock::new(|| read_fragment(Text::schema(TYPES)));
    let (own, theirs) = (OWN.clone()?, read_fragment(text)?);
    let schema = Schema::from_schema_fragments([own, theirs.clone()]);
    let schema = schema.map_err(|error| text.error(&error))?;
    let shapes = Shapes::of(theirs);
    let shapes = shapes.ok_or_else(|| text.at(None, "its JSON form is not known"))?;
    Ok((schema, shapes))
}

/// Refuses what a rule could rest on and no request has.
fn check_entity_types(text: Text<'_>, schema: &Schema) -> Result<(), ConfigError> {
    for name in schema.entity_types() {
        let place = Some(name.basename());
        if schema.ancestors(name).is_some_and(|mut above| above.next().is_some()) {
            let problem = "is in a hierarchy, and no entity has parents here: state an attribute";
            return Err(text.in_part(place, &format!("the entity type `{name}` {problem}")));
        }
    }
    Ok(())
}

fn actions(
    text: Text<'_>,
    schema: &Schema,
    shapes: &Shapes,
    types: &Types,
) -> Result<HashMap<String, Action>, ConfigError> {
    let groups = schema.action_entities().map_err(|error| text.error(&error))?;
    let mut actions = HashMap::new();
    for uid in schema.actions() {
        let name = uid.id().unescaped();
        let wrong =
            |problem: &str| text.in_part(Some(name), &format!("the action `{name}` {problem}"));
        let mut principals = schema.principals_for_action(uid).into_iter().flatten().peekable();
        if principals.peek().is_none() {
            // A group of actions: nothing is asked about it.
            continue;
        }
        if let Some(other) = principals.find(|it| **it != types.subject && **it != types.actor) {
            return Err(wrong(&format!(
                "applies to the principal `{other}`, and only `Subject` and `Actor` are asked about"
            )));
        }
        let namespace = uid.type_name().namespace();
        let mut resources = HashMap::new();
        for type_name in schema.resources_for_action(uid).into_iter().flatten() {
            let own = type_name.namespace();
            let resource = || Resource {
                type_name: type_name.clone(),
                attributes: shapes.entity(&own, type_name.basename()),
            };
            resources.insert(type_name.to_string(), resource());
            if own == namespace {
                resources.insert(type_name.basename().to_owned(), resource());
            }
        }
        let context = shapes.context(&namespace, name);
        let kinds = resources.values().flat_map(|it| it.attributes.values());
        let entity_types = entity_types(schema, &namespace, context.values().chain(kinds));
        let above = groups.ancestors(uid).into_iter().flatten();
        let entities = above.chain([uid]).filter_map(|uid| groups.get(uid).cloned());
        let entities =
            Entities::from_entities(entities, None).map_err(|error| text.error(&error))?;
        let action = Action { uid: uid.clone(), context, resources, entity_types, entities };
        if actions.insert(name.to_owned(), action).is_some() {
            return Err(wrong("is there in two namespaces, and an operation has only a name"));
        }
    }
    Ok(actions)
}

/// The types of entities that are named so, in this namespace or in none.
fn entity_types<'k>(
    schema: &Schema,
    namespace: &str,
    kinds: impl Iterator<Item = &'k Kind>,
) -> HashMap<String, EntityTypeName> {
    let mut found = HashMap::new();
    for kind in kinds {
        let mut kind = kind;
        while let Kind::Set(element) = kind {
            kind = element;
        }
        let Kind::Entity(name) = kind else { continue };
        let qualified = format!("{namespace}::{name}");
        let named = |wanted: &str| schema.entity_types().find(|it| it.to_string() == wanted);
        if let Some(type_name) = named(&qualified).or_else(|| named(name)) {
            found.insert(name.clone(), type_name.clone());
        }
    }
    found
}

/// Reads the policies, each with the id that `@id` gives it.
fn read_policies(text: Text<'_>) -> Result<PolicySet, ConfigError> {
    let read = PolicySet::from_str(text.as_str()).map_err(|error| text.error(&error))?;
    if let Some(template) = read.templates().next() {
        let problem = "it has a slot, and nothing fills it: write a policy for each value";
        return Err(text.in_part(Some(&template.to_cedar()), problem));
    }
    let mut set = PolicySet::new();
    for policy in read.policies() {
        let id = policy.annotation("id").filter(|id| !id.is_empty());
        let policy = id.map_or_else(|| policy.clone(), |id| policy.new_id(PolicyId::new(id)));
        let part = policy.to_cedar();
        set.add(policy).map_err(|error| text.in_part(part.as_deref(), &error.to_string()))?;
    }
    Ok(set)
}

/// Checks that the context of each action has `evidence`, by policies that use it.
fn check_contexts(
    text: Text<'_>,
    actions: &HashMap<String, Action>,
    validator: &Validator,
) -> Result<(), ConfigError> {
    let mut uses = PolicySet::new();
    for (name, action) in actions {
        let policy = format!(
            "permit(principal, action == {}, resource) when {{
                context.evidence.subject.name like \"*\" && context.evidence.scopes.contains(\"\") &&
                context.evidence.at.toDate() == context.evidence.at && context.evidence.person &&
                context.evidence.sender_constrained && context.evidence.method like \"*\" &&
                context.evidence.path like \"*\" && context.evidence.issuer like \"*\"
            }};",
            action.uid
        );
        let policy = Policy::parse(Some(PolicyId::new(name)), policy);
        let policy = policy.map_err(|error| text.in_part(Some(name), &error.to_string()))?;
        uses.add(policy).map_err(|error| text.in_part(Some(name), &error.to_string()))?;
    }
    let result = validator.validate(&uses, ValidationMode::Strict);
    match result.validation_errors().next() {
        None => Ok(()),
        Some(error) => {
            let name = error.policy_id().to_string();
            let problem = format!("the context of the action `{name}` lacks `evidence: Evidence`");
            Err(text.in_part(Some(&name), &problem))
        }
    }
}

/// Checks the policies against the schema. A policy that never applies is an error too: its author meant something else.
fn validate(text: Text<'_>, set: &PolicySet, validator: &Validator) -> Result<(), ConfigError> {
    let result = validator.validate(set, ValidationMode::Strict);
    text.first_error(result.validation_errors())?;
    let never =
        |warning: &&ValidationWarning| matches!(warning, ValidationWarning::ImpossiblePolicy(_));
    text.first_error(result.validation_warnings().filter(never))
}

impl Types {
    /// The party as an entity: its id is its issuer and its name with `#` between them. `None` if that could be read in
    /// another way.
    pub(super) fn party(type_name: &EntityTypeName, party: &Party<'_>) -> Option<EntityUid> {
        let (issuer, name) = (party.issuer(), party.name());
        let id = (!issuer.contains('#')).then(|| EntityId::new(format!("{issuer}#{name}")));
        Some(EntityUid::from_type_name_and_id(type_name.clone(), id?))
    }
}
