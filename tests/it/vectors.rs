//! Published examples and near misses of them, as data: see `vectors/`. Each row names its source.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use time::UtcDateTime;
use unconfused::keys::{Algorithm, KeySet};
use unconfused::token::{TokenLimits, UnverifiedToken, Validation};
use unconfused::{Audience, Reason, Require, Scope};

fn rows<T: for<'a> Deserialize<'a>>(lines: &str) -> Vec<T> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn set_of(key: &Value) -> KeySet {
    KeySet::from_json(&json!({ "keys": [key] }).to_string()).unwrap()
}

fn algorithm(name: &str) -> Algorithm {
    let offered = [Algorithm::Es256, Algorithm::Es384, Algorithm::Ed25519, Algorithm::EdDsa];
    let mut found = offered.into_iter().filter(|one| one.as_str() == name);
    found.next().unwrap()
}

#[derive(Deserialize)]
struct Jws {
    source: String,
    what: String,
    key: Value,
    algorithms: Vec<String>,
    jws: String,
    /// `ok`, or the name of a reason.
    expect: String,
    payload: Option<String>,
}

#[test]
fn published_signatures_verify_and_near_misses_do_not() {
    let rows: Vec<Jws> = rows(include_str!("../vectors/jws.jsonl"));
    assert!(rows.iter().filter(|row| row.expect == "ok").count() >= 2);
    for row in rows {
        let algorithms = row.algorithms.iter().map(|name| algorithm(name));
        let found = set_of(&row.key).verify_signature_only(&row.jws, algorithms);
        let name = match &found {
            Ok(_) => "ok",
            Err(reason) => reason.as_str(),
        };
        assert_eq!(name, row.expect, "{}: {}", row.source, row.what);
        let payload = found.ok().map(|payload| String::from_utf8(payload).unwrap());
        assert_eq!(payload, row.payload, "{}: {}", row.source, row.what);
    }
}

#[test]
fn no_bit_of_a_published_example_can_be_changed() {
    let rows: Vec<Jws> = rows(include_str!("../vectors/jws.jsonl"));
    for row in rows.iter().filter(|row| row.expect == "ok") {
        let keys = set_of(&row.key);
        let check = |jws: &str| {
            keys.verify_signature_only(jws, row.algorithms.iter().map(|n| algorithm(n)))
        };
        for at in 0..row.jws.len() {
            let mut changed = row.jws.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(check(&changed).is_err(), "{}: {at}", row.source);
        }
    }
}

#[derive(Deserialize)]
struct Key {
    source: String,
    what: String,
    key: Value,
    /// The name of a `KeyProblem`, or none.
    problem: Option<String>,
}

#[test]
fn each_key_is_accepted_or_has_its_problem() {
    let rows: Vec<Key> = rows(include_str!("../vectors/keys.jsonl"));
    let mut shown = BTreeSet::new();
    for row in rows {
        let keys = set_of(&row.key);
        let found = keys.skipped().next().map(|skipped| format!("{:?}", skipped.problem()));
        assert_eq!(found, row.problem, "{}: {}", row.source, row.what);
        assert_eq!(keys.len(), usize::from(found.is_none()));
        shown.extend(found);
    }
    let all = [
        "AlgorithmNotOffered",
        "InvalidPoint",
        "Malformed",
        "NotForVerifying",
        "Private",
        "TypeNotOffered",
        "WeakRsa",
    ];
    assert!(shown.iter().eq(all.iter()), "{shown:?}");
}

#[test]
fn a_key_with_a_problem_is_skipped_and_still_named() {
    let rows: Vec<Key> = rows(include_str!("../vectors/keys.jsonl"));
    for row in rows.iter().filter(|row| row.problem.is_some()) {
        let mut key = row.key.clone();
        if key["kid"].is_number() {
            continue;
        }
        key["kid"] = json!("k-1");
        let keys = set_of(&key);
        let skipped = keys.skipped().next().unwrap();
        assert_eq!(skipped.kid(), Some("k-1"), "{}", row.what);
        assert!(skipped.to_string().contains("k-1"), "{skipped}");
    }
}

/// The example of RFC 9068.
#[derive(Deserialize)]
struct Example {
    now: i64,
    issuer: String,
    audience: String,
    scope: String,
    subject: String,
    client: String,
    jti: String,
    exp: i64,
    /// A key made for tests.
    jwks: Value,
    token: String,
}

impl Example {
    fn read() -> Self {
        serde_json::from_str(include_str!("../vectors/rfc-9068.json")).unwrap()
    }

    /// The example lives longer than a day.
    fn validation(&self) -> Validation {
        Validation::new(self.audience.parse::<Audience>().unwrap(), &*self.issuer)
            .limits(TokenLimits::default().max_lifetime(Duration::from_secs(366 * 86400)))
    }

    fn reason(&self, validation: &Validation, token: &str, now: i64) -> Option<Reason> {
        let keys = KeySet::from_json(&self.jwks.to_string()).unwrap();
        let now = UtcDateTime::from_unix_timestamp(now).unwrap();
        UnverifiedToken::parse(token)
            .and_then(|token| token.validate(validation, &keys, now))
            .err()
            .map(|invalid| invalid.reason())
    }
}

#[test]
fn the_access_token_of_rfc_9068_is_accepted() {
    let example = Example::read();
    let keys = KeySet::from_json(&example.jwks.to_string()).unwrap();
    let now = UtcDateTime::from_unix_timestamp(example.now).unwrap();
    let token = UnverifiedToken::parse(&example.token)
        .unwrap()
        .validate(&example.validation(), &keys, now)
        .unwrap();
    assert_eq!(token.issuer(), example.issuer);
    assert_eq!(token.subject().name(), example.subject);
    assert_eq!(token.client_id(), Some(&*example.client));
    assert_eq!(token.jti(), Some(&*example.jti));
    assert_eq!(token.expires_at().unix_timestamp(), example.exp);
    let scope = Scope::new(example.scope.clone()).unwrap();
    assert!(Require::scope(scope).check(&token, now).is_ok());
}

#[test]
fn near_misses_of_the_access_token_of_rfc_9068_are_refused() {
    let example = Example::read();
    let good = example.validation();
    let audience = |name: &str| {
        Validation::new(name.parse::<Audience>().unwrap(), &*example.issuer)
            .limits(TokenLimits::default().max_lifetime(Duration::from_secs(366 * 86400)))
    };
    let issuer = |name: &str| {
        Validation::new(example.audience.parse::<Audience>().unwrap(), name)
            .limits(TokenLimits::default().max_lifetime(Duration::from_secs(366 * 86400)))
    };
    let (rest, signature) = example.token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let flipped = format!("{rest}.{first}{}", &signature[1..]);

    let same = example.token.as_str();
    for (validation, token, now, reason) in [
        (good.clone(), same, example.now, None),
        (good.clone(), &*flipped, example.now, Some(Reason::SignatureInvalid)),
        (good.clone(), same, example.exp + 30, Some(Reason::TokenExpired)),
        (good.clone(), same, example.exp + 29, None),
        (
            good.clone().limits(TokenLimits::default().max_lifetime(Duration::from_secs(86400))),
            same,
            example.now,
            Some(Reason::TokenLifetimeExceeded),
        ),
        (
            good.clone().algorithms([Algorithm::Ps256]),
            same,
            example.now,
            Some(Reason::AlgorithmNotAllowed),
        ),
        (audience("https://rs.example.com"), same, example.now, Some(Reason::AudienceMismatch)),
        (
            issuer("https://authorization-server.example.com"),
            same,
            example.now,
            Some(Reason::IssuerUntrusted),
        ),
    ] {
        assert_eq!(example.reason(&validation, token, now), reason);
    }
}
