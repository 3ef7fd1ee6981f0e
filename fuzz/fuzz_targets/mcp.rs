#![no_main]
//! The first line: `Mcp-Method`, a tab, and `Mcp-Name`; the rest is a body. A message that is accepted is one that
//! another parser reads alike: one object, with the method and the name that were authorized, and with no member twice.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;
use unconfused::mcp::Tools;
use unconfused::{Require, Scope};

const READ: Scope = Scope::from_static("read");
const WRITE: Scope = Scope::from_static("write");

static TOOLS: LazyLock<Tools> = LazyLock::new(|| {
    Tools::new(Require::valid_token())
        .tool("search", READ)
        .tool("delete", WRITE)
        .tool("l\u{f6}schen", WRITE)
        .call("pay", |arguments| {
            let _: Value = arguments.read()?;
            Ok(Require::scope(WRITE))
        })
        .method("tools/list", READ)
        .method("resources/read", WRITE)
});

/// How many members the object has, as another parser counts them with those that stand twice.
fn members(text: &str) -> usize {
    struct Count(usize);
    impl<'de> serde::Deserialize<'de> for Count {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Count;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(
                    self,
                    mut map: A,
                ) -> Result<Count, A::Error> {
                    let mut count = 0;
                    while map.next_entry::<String, serde::de::IgnoredAny>()?.is_some() {
                        count += 1;
                    }
                    Ok(Count(count))
                }
            }
            deserializer.deserialize_map(Visitor)
        }
    }
    serde_json::from_str::<Count>(text).expect("an object").0
}

fuzz_target!(|input: &[u8]| {
    let (line, body) = match input.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (&input[..0], input),
    };
    let mut headers = HeaderMap::new();
    for (name, value) in
        ["mcp-method", "mcp-name"].into_iter().zip(line.split(|byte| *byte == b'\t'))
    {
        if let (Ok(value), false) = (HeaderValue::from_bytes(value), value.is_empty()) {
            headers.insert(name, value);
        }
    }
    let message = match TOOLS.read(&headers, body) {
        Ok(message) => message,
        Err(invalid) => {
            if let Some(id) = invalid.id() {
                serde_json::from_str::<Value>(id).expect("an id in JSON");
            }
            return;
        }
    };
    let text = std::str::from_utf8(body).expect("UTF-8");
    let value: Value = serde_json::from_str(text).expect("one JSON value");
    let object = value.as_object().expect("an object");
    let raw: BTreeMap<String, &RawValue> = serde_json::from_str(text).expect("an object");
    assert_eq!(members(text), raw.len(), "a member stands twice");
    assert_eq!(object["jsonrpc"], "2.0");
    assert_eq!(object.get("method").and_then(Value::as_str), message.method());
    let scopes = message.requirement().challenge_scopes();
    if message.method() == Some("tools/call") {
        let params = raw["params"].get();
        assert_eq!(members(params), object["params"].as_object().expect("parameters").len());
        let name = object["params"]["name"].as_str().expect("a name");
        assert_eq!(message.name(), Some(name));
        let scope = if name == "search" { READ } else { WRITE };
        assert_eq!(scopes, [scope]);
        assert!(object["id"].is_string() || object["id"].is_number());
        if let Some(said) =
            headers.get("mcp-name").filter(|said| !said.as_bytes().starts_with(b"=?base64?"))
        {
            assert_eq!(said.as_bytes(), name.as_bytes());
        }
    }
    if let Some(said) = headers.get("mcp-method") {
        assert_eq!(Some(said.as_bytes()), message.method().map(str::as_bytes));
    }
    if let Some(id) = message.id() {
        assert_eq!(serde_json::from_str::<Value>(id).expect("an id in JSON"), object["id"]);
    }
});
