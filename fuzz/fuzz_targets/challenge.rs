#![no_main]
//! Four lines: scopes, classes, an age, the name of the resource. The challenge to a token that
//! lacks all of it, read by a strict parser, says the same.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use unconfused::challenge::MetadataUrl;
use unconfused::{AccessToken, Acr, Audience, Denial, Require, Scope};
use unconfused_fuzz::signed;

static TOKEN: LazyLock<AccessToken> = LazyLock::new(|| {
    signed(
        r#"{"iss":"https://login.example","sub":"alice","aud":"https://orders.example",
            "client_id":"c","jti":"1","iat":1800000000,"exp":1800000300}"#,
    )
    .expect("a valid token")
});

/// `name="value"` with `, ` between, no escape, no name twice.
fn parse(field: &str) -> BTreeMap<&str, &str> {
    let mut rest = field.strip_prefix("Bearer ").expect("the scheme");
    let mut parameters = BTreeMap::new();
    loop {
        let (name, value) = rest.split_once("=\"").expect("a name");
        let (value, after) = value.split_once('"').expect("an end of the value");
        assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        assert!(value.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'\\'));
        assert_eq!(parameters.insert(name, value), None, "twice");
        if after.is_empty() {
            return parameters;
        }
        rest = after.strip_prefix(", ").expect("a comma");
    }
}

/// The words that are names, each once.
fn names<T: PartialEq>(line: Option<&str>, name: impl Fn(&str) -> Option<T>) -> Vec<T> {
    let mut names = Vec::new();
    for name in line.unwrap_or_default().split(' ').filter_map(name) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let scopes = names(lines.next(), |name| Scope::new(name).ok());
    let classes = names(lines.next(), |name| Acr::new(name).ok());
    let age: Option<u64> = lines.next().and_then(|age| age.parse().ok());
    let resource = lines.next().and_then(|name| Audience::new(name).ok());
    let metadata = resource.as_ref().and_then(MetadataUrl::for_resource);

    let mut require = Require::valid_token();
    for scope in &scopes {
        require = require.and(scope.clone());
    }
    if !classes.is_empty() {
        require = require.acr(classes.clone());
    }
    if let Some(age) = age {
        require = require.max_age(Duration::from_secs(age));
    }
    let Err(unmet) = require.check(&TOKEN, TOKEN.issued_at().expect("`iat`")) else {
        return assert!(scopes.is_empty() && classes.is_empty() && age.is_none());
    };
    let mut denial = Denial::from(&unmet);
    if let Some(url) = &metadata {
        denial = denial.with_resource_metadata(url);
    }
    let challenge = denial.challenge().expect("something can be done about it");
    let mut fields = challenge.to_header_values();
    let (Some(field), None) = (fields.next(), fields.next()) else { panic!("one scheme") };
    let parameters = parse(field.to_str().expect("visible ASCII"));

    let text = |name: &str| parameters.get(name).copied();
    let list =
        |name| text(name).map(|list| list.split(' ').collect::<Vec<_>>()).unwrap_or_default();
    assert!(list("scope").into_iter().eq(scopes.iter().map(Scope::as_str)));
    assert!(list("acr_values").into_iter().eq(classes.iter().map(Acr::as_str)));
    assert_eq!(text("max_age").map(|age| age.parse().expect("a number")), age);
    assert_eq!(text("resource_metadata"), metadata.map(|url| url.to_string()).as_deref());
    let step_up = !classes.is_empty() || age.is_some();
    let error = if step_up { "insufficient_user_authentication" } else { "insufficient_scope" };
    assert_eq!(text("error"), Some(error));
});
