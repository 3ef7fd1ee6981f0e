//! The mapping to OCSF: what the class requires, and that nothing of the record is missing.

use serde_json::{Value, json};
use unconfused::audit::JsonLines;

use super::kinds::every_kind;
use super::*;

/// All values in a tree that are not containers.
fn leaves(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.values().for_each(|value| leaves(value, found)),
        Value::Array(items) => items.iter().for_each(|value| leaves(value, found)),
        value => found.push(value.to_string()),
    }
}

#[test]
fn every_kind_of_event_has_what_api_activity_requires() {
    let (seen, sink) = kept(|event| (json(&event.to_json()), json(&event.to_ocsf())));
    every_kind(sink);
    for (own, ocsf) in &*seen.lock().unwrap() {
        assert_eq!((&ocsf["class_uid"], &ocsf["category_uid"]), (&json!(6003), &json!(6)));
        let activity = ocsf["activity_id"].as_i64().unwrap();
        assert_eq!(ocsf["type_uid"], 600_300 + activity);
        assert_eq!(ocsf["time"], NOW * 1000);
        let is_allowed = own["outcome"] == "allowed";
        assert_eq!(ocsf["status_id"], if is_allowed { 1 } else { 2 });
        assert_eq!(ocsf["status_detail"], own["reason"]);
        for required in ["/metadata/version", "/metadata/product/name", "/api/operation"] {
            assert!(ocsf.pointer(required).is_some_and(Value::is_string), "{required}: {ocsf}");
        }
        // Each of these needs at least one of its members.
        for required in ["/actor/user", "/src_endpoint", "/http_request/url"] {
            let object = ocsf.pointer(required).and_then(Value::as_object);
            assert!(object.is_some_and(|object| !object.is_empty()), "{required}: {ocsf}");
        }
        let profiles: Vec<_> = ocsf["metadata"]["profiles"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        assert_eq!(profiles.contains(&"trace"), ocsf["trace"].is_object());
        assert_eq!(profiles.contains(&"ai_operation"), ocsf["ai_agent"].is_object());
    }
}

#[test]
fn nothing_of_the_record_is_missing_in_ocsf() {
    let (seen, sink) = kept(|event| (json(&event.to_json()), json(&event.to_ocsf())));
    every_kind(sink);
    for (mut own, ocsf) in std::mem::take(&mut *seen.lock().unwrap()) {
        // In milliseconds, and in another word.
        own.as_object_mut().unwrap().remove("at");
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        leaves(&own, &mut expected);
        leaves(&ocsf, &mut found);
        for value in expected {
            assert!(found.contains(&value), "{value} of {own} is not in {ocsf}");
        }
    }
}

#[test]
fn who_acted_for_whom_is_where_ocsf_has_it() {
    let buffer = Buffer::default();
    let guard = guard().audit(JsonLines::new(buffer.clone()).ocsf());
    let token = token().client("web").actor("agent-7").claim("jti", "t-1").scope("orders:read");
    assert!(ask(&guard, &token, READ).is_ok());
    let event = json(&buffer.lines()[0]);
    assert_eq!(event["actor"]["user"]["uid"], "alice");
    assert_eq!(event["actor"]["session"], json!({ "issuer": LOGIN, "uid": "t-1" }));
    assert_eq!(event["actor"]["app_uid"], "web");
    assert_eq!(event["actor"]["authorizations"], json!([{ "decision": "allowed" }]));
    assert_eq!(event["ai_agent"]["uid"], "agent-7");
    assert_eq!(event["unmapped"]["actor_issuer"], LOGIN);
    assert_eq!(event["api"]["service"]["name"], "https://orders.example");
    assert_eq!((&event["activity_id"], &event["activity_name"]), (&json!(99), &json!("POST")));
    assert_eq!(event["http_request"]["http_method"], "POST");
}

#[test]
fn the_method_tells_the_activity() {
    for (method, expected) in [
        ("GET", (2, "Read")),
        ("HEAD", (2, "Read")),
        ("PUT", (3, "Update")),
        ("PATCH", (3, "Update")),
        ("DELETE", (4, "Delete")),
        ("POST", (99, "POST")),
        ("PURGE", (99, "PURGE")),
    ] {
        let (seen, sink) = kept(|event| json(&event.to_ocsf()));
        let request = http::Request::builder().method(method).uri("/orders").body(()).unwrap();
        let answer = guard().audit(sink).authorize(&mut request.into_parts().0, READ).now();
        assert!(answer.unwrap().is_err());
        let event = seen.lock().unwrap().remove(0);
        let activity = (&event["activity_id"], &event["activity_name"]);
        assert_eq!(activity, (&json!(expected.0), &json!(expected.1)));
        assert_eq!(event["http_request"]["http_method"], method);
    }
}
