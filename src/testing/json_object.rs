//! JSON objects that are built by name.

use serde_json::{Map, Value};

/// Returns the members of an object that was written with `json!`.
pub(super) fn json_object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
