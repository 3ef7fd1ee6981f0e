//! An event in the vocabulary of the Open Cybersecurity Schema Framework.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::event::AuditEvent;
use super::written::line;

/// The version of OCSF.
const VERSION: &str = "1.9.0";

/// # In OCSF
impl AuditEvent<'_> {
    /// Writes the event as one line of JSON in the form of [OCSF](https://schema.ocsf.io): API Activity (class 6003),
    /// version 1.9.0, with the profiles `trace` and `ai_operation` if they apply.
    ///
    /// | OCSF | of the event |
    /// |---|---|
    /// | `activity_id` | the method: `GET` and `HEAD` are Read (2), `PUT` and `PATCH` Update (3), `DELETE` Delete (4), and any other, also `POST`, Other (99) with the method as `activity_name` |
    /// | `status_id`, `status`, `status_detail` | `outcome`, and the `reason` of a denial |
    /// | `severity_id` | always Informational (1): your rules decide what is urgent |
    /// | `time` | `at`, in milliseconds |
    /// | `metadata.correlation_uid`, `metadata.uid` | `decision`, and `decision` with `step` |
    /// | `actor.user.uid`, `actor.session` | `subject`; `issuer` and `jti` |
    /// | `actor.app_uid`, `src_endpoint.svc_name` | `client` |
    /// | `actor.authorizations` | the outcome, for each of the `policies` |
    /// | `ai_agent.uid` | `actor` |
    /// | `api.operation`, `api.service.name` | `operation`, `audience` |
    /// | `api.response` | `status`, `reason` and `detail` of a denial |
    /// | `http_request` | `method` and `path` |
    /// | `resources` | `resource_type` and `resource_id` |
    /// | `trace.uid` | `trace_id` |
    /// | `unmapped` | all other members of the [JSON form](Self::to_json) |
    ///
    /// A guard does not know the address of the client, so `src_endpoint.name` is `unknown` if there is no client.
    #[must_use]
    pub fn to_ocsf(&self) -> String {
        line(&Ocsf(self))
    }
}

/// An event, to be written in OCSF.
pub(super) struct Ocsf<'a>(pub(super) &'a AuditEvent<'a>);

impl Serialize for Ocsf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        mapped(self.0).serialize(serializer)
    }
}

/// What has a place in OCSF is taken out of the event's own form, and the rest is unmapped: nothing gets lost.
fn mapped(event: &AuditEvent<'_>) -> Value {
    let mut own = match serde_json::to_value(event) {
        Ok(Value::Object(own)) => own,
        _ => Map::new(),
    };
    let mut take = |name: &str| own.remove(name).unwrap_or_default();
    let (outcome, status_id, status) = match event.allowed() {
        true => ("allowed", 1, "Success"),
        false => ("denied", 2, "Failure"),
    };
    let (activity_id, activity) = match event.operation().method().as_str() {
        "GET" | "HEAD" => (2, json!("Read")),
        "PUT" | "PATCH" => (3, json!("Update")),
        "DELETE" => (4, json!("Delete")),
        _ => (99, take("method")),
    };
    let method = match activity_id {
        99 => activity.clone(),
        _ => take("method"),
    };
    let _ = (take("outcome"), take("at"));
    let decision = take("decision");
    let uid = json!(format!("{}-{}", event.decision(), event.step()));
    let (subject, client, reason) = (take("subject"), take("client"), take("reason"));
    let session = object([("issuer", take("issuer")), ("uid", take("jti"))]);
    let policies = match take("policies") {
        Value::Array(ids) => ids,
        _ => Vec::new(),
    };
    let authorization = |policy| object([("decision", json!(outcome)), ("policy", policy)]);
    let authorizations: Vec<_> = match policies.is_empty() {
        true => vec![authorization(Value::Null)],
        false => policies.into_iter().map(|id| authorization(json!({ "uid": id }))).collect(),
    };
    let user = match subject {
        Value::Null => json!({ "name": "unknown", "type_id": 0 }),
        subject => json!({ "uid": subject }),
    };
    let source = match client.clone() {
        Value::Null => json!({ "name": "unknown" }),
        client => json!({ "svc_name": client }),
    };
    let response = object([
        ("code", take("status")),
        ("error", reason.clone()),
        ("error_message", take("detail")),
    ]);
    let resource = object([("type", take("resource_type")), ("uid", take("resource_id"))]);
    let agent = object([("uid", take("actor"))]);
    let trace = object([("uid", take("trace_id"))]);
    let profiles: Vec<_> = [("trace", &trace), ("ai_operation", &agent)]
        .into_iter()
        .filter(|(_, object)| !object.is_null())
        .map(|(name, _)| name)
        .collect();
    let metadata = json!({
        "version": VERSION,
        "product": {
            "name": env!("CARGO_PKG_NAME"),
            "vendor_name": env!("CARGO_PKG_NAME"),
            "version": env!("CARGO_PKG_VERSION"),
        },
        "profiles": profiles,
        "uid": uid,
        "correlation_uid": decision,
    });
    let service = object([("name", take("audience"))]);
    let api =
        object([("operation", take("operation")), ("service", service), ("response", response)]);
    let path = take("path");
    let time = event.at().unix_timestamp_nanos().checked_div(1_000_000).unwrap_or_default();
    object([
        ("category_uid", json!(6)),
        ("category_name", json!("Application Activity")),
        ("class_uid", json!(6003)),
        ("class_name", json!("API Activity")),
        ("activity_id", json!(activity_id)),
        ("activity_name", activity),
        ("type_uid", json!(600_300_i64.saturating_add(activity_id))),
        ("severity_id", json!(1)),
        ("severity", json!("Informational")),
        ("time", json!(i64::try_from(time).unwrap_or_default())),
        ("status_id", json!(status_id)),
        ("status", json!(status)),
        ("status_detail", reason),
        ("metadata", metadata),
        (
            "actor",
            object([
                ("user", user),
                ("session", session),
                ("app_uid", client),
                ("authorizations", Value::Array(authorizations)),
            ]),
        ),
        ("ai_agent", agent),
        ("api", api),
        ("src_endpoint", source),
        ("http_request", json!({ "http_method": method, "url": { "path": path } })),
        ("resources", if resource.is_null() { Value::Null } else { json!([resource]) }),
        ("trace", trace),
        ("unmapped", Value::Object(own)),
    ])
}

/// An object without the members that are null, or null if all are.
fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let members: Map<_, _> = members
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    if members.is_empty() { Value::Null } else { Value::Object(members) }
}
