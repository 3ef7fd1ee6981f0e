//! Which attributes a schema has, and of what types, so that what a handler states becomes typed values.
//!
//! Cedar checks each value against the schema afterwards. So a type that is misread here refuses requests, and permits
//! none.

use std::collections::HashMap;

use cedar_policy::SchemaFragment;
use serde_json::{Map, Value};

/// How a value is made of what a handler states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// As it is: a string, a number, a boolean, a list.
    Plain,
    Decimal,
    Datetime,
    Duration,
    Ip,
    /// An entity: of the namespace of the action, or of none, and of this name.
    Entity(String),
    Set(Box<Kind>),
}

/// Attributes by their names.
pub(super) type Shape = HashMap<String, Kind>;

/// The namespaces of a schema, in its JSON form.
pub(super) struct Shapes(Map<String, Value>);

/// How many names of types lead to one another. Cedar allows no circle of them.
const MAX_ALIASES: usize = 32;

impl Shapes {
    /// Reads the schema. `None` if its JSON form is another than expected.
    pub(super) fn of(schema: SchemaFragment) -> Option<Self> {
        match schema.to_json_value() {
            Ok(Value::Object(namespaces)) => Some(Shapes(namespaces)),
            _ => None,
        }
    }

    /// The attributes in the context of an action.
    pub(super) fn context(&self, namespace: &str, action: &str) -> Shape {
        let action = self.0.get(namespace).and_then(|it| it.get("actions")?.get(action));
        self.record(namespace, action.and_then(|it| it.get("appliesTo")?.get("context")))
    }

    /// The attributes of the entities of a type.
    pub(super) fn entity(&self, namespace: &str, name: &str) -> Shape {
        let entity = self.0.get(namespace).and_then(|it| it.get("entityTypes")?.get(name));
        self.record(namespace, entity.and_then(|it| it.get("shape")))
    }

    fn record(&self, namespace: &str, declared: Option<&Value>) -> Shape {
        let record = declared.and_then(|it| self.resolved(namespace, it));
        let attributes = record.and_then(|it| it.get("attributes")?.as_object());
        let kinds = attributes.into_iter().flatten();
        kinds.map(|(name, declared)| (name.clone(), self.kind(namespace, declared, 0))).collect()
    }

    /// The type that a name stands for, or the type itself.
    fn resolved<'s>(&'s self, namespace: &str, declared: &'s Value) -> Option<&'s Value> {
        let mut declared = declared;
        for _ in 0..MAX_ALIASES {
            match self.alias(namespace, name_of(declared)) {
                Some(next) => declared = next,
                None => return Some(declared),
            }
        }
        None
    }

    /// The common type of this name, in the namespace or in none.
    fn alias(&self, namespace: &str, name: &str) -> Option<&Value> {
        let (own, base) = name.rsplit_once("::").unwrap_or((namespace, name));
        let of = |namespace: &str| self.0.get(namespace)?.get("commonTypes")?.get(base);
        of(own).or_else(|| if own == namespace { of("") } else { None })
    }

    fn kind(&self, namespace: &str, declared: &Value, depth: usize) -> Kind {
        let Some(declared) = self.resolved(namespace, declared) else { return Kind::Plain };
        if declared.get("type").and_then(Value::as_str) == Some("Set") {
            return match declared.get("element") {
                Some(element) if depth < MAX_ALIASES => {
                    let depth = depth.saturating_add(1);
                    Kind::Set(Box::new(self.kind(namespace, element, depth)))
                }
                _ => Kind::Plain,
            };
        }
        let name = name_of(declared);
        match name.strip_prefix("__cedar::").unwrap_or(name) {
            "decimal" => Kind::Decimal,
            "datetime" => Kind::Datetime,
            "duration" => Kind::Duration,
            "ipaddr" => Kind::Ip,
            "String" | "Long" | "Bool" | "Boolean" | "Record" => Kind::Plain,
            name => Kind::Entity(name.to_owned()),
        }
    }
}

/// The name of a type that is named, or else its form, such as `Record` or `Long`.
fn name_of(declared: &Value) -> &str {
    let form = declared.get("type").and_then(Value::as_str).unwrap_or_default();
    let named = matches!(form, "EntityOrCommon" | "Entity" | "Extension");
    let name = declared.get("name").and_then(Value::as_str);
    name.filter(|_| named).unwrap_or(form)
}
