#![no_main]
//! Any payload, validly signed, under a profile that the first letter chooses. What is accepted is meant for this
//! resource and in time, its subject has a name, and what the profile requires is in it.
//!
//! The letters stand for the vendors of `tests/vectors/profiles`, in the order of their names, then for Cognito with a
//! list of clients, and for a user's own profile.

#[path = "../../tests/it/common/vendors.rs"]
#[allow(dead_code, reason = "of the vectors, only the shapes are read")]
mod vendors;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use unconfused::Require;
use unconfused::profile::{ClaimRule, HeaderType, Profile, ScopeShape};
use unconfused::token::ActorSource;
use unconfused_fuzz::{AUDIENCE, NOW, TENANTED, read_again, signed_by};
use vendors::{Vendor, vendor, vendors};

struct Shape {
    /// The `typ` of a user's token.
    typ: Option<&'static str>,
    profile: Profile,
    /// The claims that may name the subject and the client; the first that is there does.
    subjects: Vec<&'static str>,
    clients: Vec<&'static str>,
}

impl From<Vendor> for Shape {
    fn from(vendor: Vendor) -> Self {
        let clients = vec![vendor.client.claim];
        let mut subjects = vec![vendor.subject.claim];
        if vendor.subject.optional {
            subjects.extend(&clients);
        }
        Shape { typ: vendor.typ(), profile: vendor.profile, subjects, clients }
    }
}

static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(|| {
    let own = Profile::rfc9068()
        .types([HeaderType::Jwt])
        .subject_claim("uid")
        .subject_or_client()
        .client_claims(["cid", "azp"])
        .client_optional()
        .token_id_optional()
        .scope_claims([("scope", ScopeShape::Either), ("scp", ScopeShape::Either)])
        .requires_one_of([ClaimRule::present("use"), ClaimRule::starts_with("ver", "2")])
        .subject_is_not_a_person_if([ClaimRule::lists("kind", "robot")])
        .client_is_agent_if([ClaimRule::same("azp", "cid")])
        .act_names_impersonators()
        .client_list_instead_of_audience(["c"]);
    let mut shapes: Vec<Shape> = vendors().into_iter().map(Shape::from).collect();
    let listed = Profile::cognito().client_list_instead_of_audience(["c"]);
    shapes.push(Shape { profile: listed, ..vendor("cognito").into() });
    let (subjects, clients) = (vec!["uid", "cid", "azp"], vec!["cid", "azp"]);
    shapes.push(Shape { typ: Some("JWT"), profile: own, subjects, clients });
    shapes
});

fuzz_target!(|input: &str| {
    let mut letters = input.chars();
    let letter = letters.next().map_or(0, u32::from);
    let Some(Shape { typ, profile, subjects, clients }) =
        letter.checked_sub(u32::from('a')).and_then(|nth| SHAPES.get(nth as usize))
    else {
        return;
    };
    let payload = letters.as_str();
    let Ok(token) = signed_by(profile, *typ, payload) else { return };
    let Some(claims) = read_again(payload) else { return };
    let text = |name: &str| claims.get(name).map(|value| value.as_str().expect("a string"));
    let first = |names: &[&str]| names.iter().find_map(|name| text(name));

    assert_eq!(token.issuer(), TENANTED);
    let subject = token.subject();
    assert_eq!(subject.issuer(), TENANTED);
    assert!(!subject.name().is_empty());
    assert_eq!(Some(subject.name()), first(subjects));
    assert_eq!(token.client_id(), first(clients));
    assert!(token.client_id() != Some("") && token.jti() != Some(""));
    assert!(
        token.tenant().is_none_or(|tenant| claims
            .as_object()
            .expect("an object")
            .values()
            .any(|v| v == tenant))
    );

    // Meant for us; or without an audience, and then by a list.
    let named: Vec<&str> = token.audiences().collect();
    if named.is_empty() {
        assert_eq!((token.audience(), token.client_id()), (None, Some("c")));
        assert!(format!("{profile:?}").contains("client_list_instead_of_audience: Some"));
    } else {
        assert_eq!(token.audience(), Some(&AUDIENCE));
        assert!(named.contains(&AUDIENCE.as_str()));
    }

    let time = |name: &str| claims[name].as_f64().expect("a number");
    let (exp, iat, now) = (time("exp"), time("iat"), NOW as f64);
    let most = if token.actor().is_some() { 7200.0 } else { 86400.0 };
    assert!(exp + 30.1 > now && iat - 30.1 < now && exp - iat < most + 0.1);

    assert!(claims.get("cnf").is_none(), "bound to a key, and taken without its proof");
    if *typ != Some("at+jwt") {
        for sign in ["nonce", "at_hash", "c_hash", "events"] {
            assert!(claims.get(sign).is_none(), "`{sign}`, under a type that says nothing");
        }
        assert!(text("token_use").is_none_or(|kind| kind == "access"));
    }
    // The same claims under no other header.
    for other in ["dpop+jwt", "logout+jwt", "id_token+jwt"] {
        assert!(signed_by(profile, Some(other), payload).is_err());
    }

    let refused = |requirement: Require| {
        let now = time::UtcDateTime::from_unix_timestamp(NOW).expect("a time");
        requirement.check(&token, now).is_err()
    };
    if token.client_id() == Some(subject.name()) {
        assert!(!token.is_person());
    }
    assert_eq!(
        token.is_person(),
        !refused(
            Require::valid_token()
                .person()
                .actor_if_any(token.actor().map(|a| (a.issuer(), a.name())))
        )
    );
    if let Some(actor) = token.actor() {
        match actor.source() {
            ActorSource::Act | ActorSource::Impersonator => assert!(claims.get("act").is_some()),
            _ => assert_eq!(Some(actor.name()), token.client_id()),
        }
        assert!(refused(Require::valid_token().undelegated()));
        assert!(
            actor.source() != ActorSource::Impersonator
                || refused(Require::valid_token().delegated())
        );
    } else {
        assert!(refused(Require::valid_token().delegated()));
    }
    let held: Vec<&str> = token.scopes().collect();
    assert!(held.iter().all(|scope| !scope.is_empty()));
    let written = [claims.get("scope"), claims.get("scp")].map(|value| match value {
        Some(Value::String(list)) => list.clone(),
        Some(Value::Array(list)) => {
            list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    });
    assert!(held.iter().all(|scope| written.iter().any(|text| text.contains(scope))));
});
