//! Profiles: the tokens of each vendor are read, normalized, and told apart from other kinds of tokens.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::common::vendors::{Name, Reading, Vendor, vendor, vendors};
use crate::common::*;
use serde_json::{Value, json};
use unconfused::audit::TracingAudit;
use unconfused::error::InvalidToken;
use unconfused::keys::KeySet;
use unconfused::profile::{ClaimRule, HeaderType, Profile, ScopeShape};
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::token::{ActorSource, UnverifiedToken, Validation};
use unconfused::{AccessToken, Actor, Audience, AuditEvent, Guard, Reason, Require, Scope};

const HOUR: u64 = 3600;
const OTHER_TENANT: &str = "99999999-9999-9999-9999-999999999999";
const ENTRA: &str = "https://login.microsoftonline.com/11111111-1111-1111-1111-111111111111/v2.0";
const ENTRA_CLIENT: &str = "44444444-4444-4444-4444-444444444444";
const USER: &str = "33333333-3333-3333-3333-333333333333";

impl Vendor {
    fn token(&self, claims: &Value) -> TestToken {
        minted(self.issuer, self.typ(), claims)
    }

    fn validation(&self) -> Validation {
        Validation::new(ORDERS, self.issuer).profile(self.profile.clone())
    }

    fn read(&self, token: &TestToken) -> Result<AccessToken, InvalidToken> {
        read(&self.validation(), self.issuer, token)
    }

    fn refusal(&self, token: &TestToken) -> Option<Reason> {
        self.read(token).err().map(|invalid| invalid.reason())
    }
}

/// The one key of all issuers here.
fn signer(issuer: &str) -> TestIssuer {
    static ISSUERS: Mutex<Vec<(String, TestIssuer)>> = Mutex::new(Vec::new());
    let mut issuers = ISSUERS.lock().unwrap();
    if let Some((_, known)) = issuers.iter().find(|(name, _)| name == issuer) {
        return known.clone();
    }
    let made = TestIssuer::new(issuer);
    issuers.push((issuer.to_owned(), made.clone()));
    made
}

/// A token with these claims; `iss`, `aud` and times are there unless they are named. A claim that is null here
/// is left out.
fn minted(issuer: &str, typ: Option<&str>, claims: &Value) -> TestToken {
    let mut all = json!({ "iss": issuer, "aud": ORDERS.as_str(), "iat": NOW, "exp": NOW + 600 });
    for (name, value) in claims.as_object().unwrap() {
        match value {
            Value::Null => drop(all.as_object_mut().unwrap().remove(name)),
            value => all[name] = value.clone(),
        }
    }
    let token = signer(issuer).token(&ORDERS).payload(all.to_string());
    match typ {
        Some(typ) => token.header("typ", typ),
        None => token.without_header("typ"),
    }
}

fn read(
    validation: &Validation,
    issuer: &str,
    token: &TestToken,
) -> Result<AccessToken, InvalidToken> {
    UnverifiedToken::parse(&token.sign())?.validate(validation, &signer(issuer).keys(), now())
}

/// These claims, with some of them changed.
fn with(claims: &Value, changes: Value) -> Value {
    let (Value::Object(mut claims), Value::Object(changes)) = (claims.clone(), changes) else {
        panic!("claims are an object");
    };
    claims.extend(changes);
    Value::Object(claims)
}

/// Compares a token with what should be read from it.
#[track_caller]
fn assert_seen(name: &str, issuer: &str, token: &AccessToken, expected: &Reading) {
    assert_eq!(token.issuer(), issuer, "{name}");
    assert_eq!(token.subject().name(), expected.subject, "{name}");
    assert_eq!(token.client_id(), expected.client, "{name}");
    assert_eq!(token.tenant(), expected.tenant, "{name}");
    assert_eq!(token.jti(), expected.token_id, "{name}");
    assert_eq!(token.scopes().collect::<Vec<_>>(), expected.scopes, "{name}");
    let actor = token.actor();
    let actor = actor.map(|actor| (actor.issuer(), actor.name(), actor.source().as_str()));
    let wanted = expected.actor.as_ref().map(|acting| (issuer, acting.subject, acting.source));
    assert_eq!(actor, wanted, "{name}");
    assert_eq!(token.is_person(), expected.is_person, "{name}");
    assert_eq!(token.audience(), Some(&ORDERS), "{name}");
}

fn entra_v2() -> Vendor {
    vendor("entra_v2")
}

fn entra_v1() -> Vendor {
    vendor("entra_v1")
}

fn entra_user() -> Value {
    entra_v2().user
}

fn okta() -> Vendor {
    vendor("okta")
}

fn keycloak() -> Vendor {
    vendor("keycloak")
}

fn cognito() -> Vendor {
    vendor("cognito")
}

fn workos() -> Vendor {
    vendor("workos")
}

fn ory_hydra() -> Vendor {
    vendor("ory_hydra")
}

fn duende() -> Vendor {
    vendor("duende")
}

fn clerk() -> Vendor {
    vendor("clerk")
}

fn any() -> Require {
    Require::valid_token()
}

fn unmet(requirement: &Require, token: &AccessToken) -> Option<Reason> {
    requirement.check(token, now()).err().map(|unmet| unmet.reason())
}

// Each vendor.

#[test]
fn every_profile_of_a_vendor_has_its_vectors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = fs::read_to_string(root.join("src/profile/vendors.rs")).unwrap();
    let built: BTreeSet<_> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub fn ")?.strip_suffix("() -> Self {"))
        .map(str::to_owned)
        .collect();
    let files = fs::read_dir(root.join("tests/vectors/profiles")).unwrap();
    let files: BTreeSet<_> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .map(|name| name.strip_suffix(".json").unwrap().to_owned())
        .collect();
    let read: BTreeSet<_> = vendors().iter().map(|vendor| vendor.name.to_owned()).collect();
    assert_eq!(read, built);
    assert_eq!(read, files);
}

#[test]
fn a_users_token_of_each_vendor_is_read_the_same_way() {
    for vendor in vendors() {
        let token = vendor.read(&vendor.token(&vendor.user));
        let token = token.unwrap_or_else(|invalid| panic!("{}: {invalid}", vendor.name));
        assert_seen(vendor.name, vendor.issuer, &token, &vendor.user_reading);
    }
}

#[test]
fn a_machines_token_of_each_vendor_is_accepted_and_speaks_for_itself_alone() {
    for vendor in vendors() {
        let (Some(claims), Some(seen)) = (&vendor.machine, &vendor.machine_reading) else {
            continue;
        };
        let token = vendor.read(&vendor.token(claims));
        let token = token.unwrap_or_else(|invalid| panic!("{}: {invalid}", vendor.name));
        assert_seen(vendor.name, vendor.issuer, &token, seen);
        assert_eq!(unmet(&any().person(), &token), Some(Reason::SubjectAmbiguous));
        assert_eq!(unmet(&any().max_age(secs(60)), &token), Some(Reason::SubjectAmbiguous));
    }
}

#[test]
fn without_its_profile_a_token_of_a_vendor_is_refused_if_it_deviates() {
    for vendor in vendors() {
        let strict = Validation::new(ORDERS, vendor.issuer);
        let found = read(&strict, vendor.issuer, &vendor.token(&vendor.user)).err();
        let found = found.map(|invalid| invalid.reason().as_str());
        assert_eq!(found, vendor.without_profile, "{}", vendor.name);
    }
}

#[test]
fn other_kinds_of_tokens_of_a_vendor_are_refused() {
    for vendor in vendors() {
        assert!(!vendor.others.is_empty());
        for other in &vendor.others {
            let token = minted(vendor.issuer, other.typ, &vendor.claims_of(other));
            let refusal = vendor.refusal(&token).map(Reason::as_str);
            assert_eq!(refusal, Some(other.reason), "{}: {}", vendor.name, other.what);
        }
    }
}

#[test]
fn an_access_token_with_a_sign_of_another_kind_is_refused_unless_its_type_says_what_it_is() {
    for vendor in vendors() {
        let untyped = vendor.typ() != Some("at+jwt");
        for sign in [
            json!({ "nonce": "n" }),
            json!({ "nonce": 1 }),
            json!({ "at_hash": "h" }),
            json!({ "c_hash": "h" }),
            json!({ "events": {} }),
            json!({ "token_use": "id" }),
            json!({ "token_use": "refresh" }),
            json!({ "tokenName": "id_token" }),
            json!({ "tokenName": false }),
            json!({ "typ": "ID" }),
            json!({ "typ": "logout" }),
            json!({ "typ": "" }),
        ] {
            let token = vendor.token(&with(&vendor.user, sign.clone()));
            let expected = untyped.then_some(Reason::TokenKindRejected);
            assert_eq!(vendor.refusal(&token), expected, "{} {sign}", vendor.name);
        }
    }
}

#[test]
fn a_header_of_another_type_is_refused_whatever_the_vendor() {
    let types = [
        "dpop+jwt",
        "id_token+jwt",
        "logout+jwt",
        "secevent+jwt",
        "oauth-id-jag+jwt",
        "token-introspection+jwt",
        "txntoken+jwt",
        "wit+jwt",
        "jwt+jwt",
        "at+jwt+jwt",
        "JWT; x=y",
        "JWT ",
        "JOSE",
        "",
    ];
    for vendor in vendors() {
        for typ in types {
            let token = vendor.token(&vendor.user).header("typ", typ);
            let mismatch = Some(Reason::TokenTypeMismatch);
            assert_eq!(vendor.refusal(&token), mismatch, "{} {typ:?}", vendor.name);
        }
    }
}

#[test]
fn each_vendor_has_the_header_types_it_writes_and_no_others() {
    for vendor in vendors() {
        for typ in [Some("at+jwt"), Some("application/AT+JWT"), Some("jwt"), Some("JWT"), None] {
            let token = minted(vendor.issuer, typ, &vendor.user);
            let same = |a: Option<&str>, b: Option<&str>| {
                a.map(|a| a.to_lowercase().replace("application/", "")) == b.map(str::to_lowercase)
            };
            let written = vendor.types.iter().any(|one| same(typ, *one));
            let expected = (!written).then_some(Reason::TokenTypeMismatch);
            assert_eq!(vendor.refusal(&token), expected, "{} {typ:?}", vendor.name);
        }
    }
}

#[test]
fn what_every_token_must_have_every_token_of_a_vendor_must_have() {
    for vendor in vendors() {
        for claim in ["aud", "exp", "iat"] {
            let token = vendor.token(&with(&vendor.user, json!({ claim: null })));
            let missing = Some(Reason::RequiredClaimMissing);
            assert_eq!(vendor.refusal(&token), missing, "{} {claim}", vendor.name);
        }
        for (change, reason) in [
            (json!({ "exp": NOW - 100 }), Reason::TokenExpired),
            (json!({ "nbf": NOW + 100 }), Reason::TokenNotYetValid),
            (json!({ "iat": NOW + 100 }), Reason::IssuedInFuture),
            (json!({ "exp": NOW + 90_000 }), Reason::TokenLifetimeExceeded),
            (json!({ "aud": "https://billing.example" }), Reason::AudienceMismatch),
            (json!({ "aud": [] }), Reason::RequiredClaimMissing),
            (json!({ "aud": "" }), Reason::RequiredClaimMissing),
            (json!({ "cnf": { "jkt": "x" } }), Reason::BoundTokenAsBearer),
            (json!({ "cnf": { "x5t#S256": "x" } }), Reason::ClientCertificateMissing),
            (json!({ "cnf": { "jwk": {} } }), Reason::ConfirmationUnsupported),
            (json!({ "cnf": "x" }), Reason::ClaimTypeInvalid),
            (json!({ "act": {} }), Reason::ActorMalformed),
            (json!({ "iss": OTHER }), Reason::IssuerUntrusted),
        ] {
            let token = vendor.token(&with(&vendor.user, change.clone()));
            assert_eq!(vendor.refusal(&token), Some(reason), "{} {change}", vendor.name);
        }
    }
}

#[test]
fn what_names_subject_client_and_token_is_there_and_not_empty_or_said_to_be_optional() {
    for vendor in vendors() {
        let missing = Some(Reason::RequiredClaimMissing);
        for Name { claim, optional } in [&vendor.subject, &vendor.client, &vendor.token_id] {
            let without = vendor.token(&with(&vendor.user, json!({ *claim: null })));
            let expected = if *optional { None } else { missing };
            assert_eq!(vendor.refusal(&without), expected, "{} {claim}", vendor.name);
            let empty = vendor.token(&with(&vendor.user, json!({ *claim: "" })));
            assert_eq!(vendor.refusal(&empty), missing, "{} {claim}", vendor.name);
        }
    }
}

#[test]
fn every_claim_that_a_profile_reads_has_its_type() {
    // What RFC 9068 names has its type, even if the profile reads another claim.
    let always = ["sub", "client_id", "jti"];
    let invalid = Some(Reason::ClaimTypeInvalid);
    let raw_null = |token: &Vendor, claim: &str| {
        let claims = with(&token.user, json!({ claim: "NULL" }));
        let all = with(
            &json!({
                "iss": token.issuer, "aud": ORDERS.as_str(), "iat": NOW, "exp": NOW + 600,
            }),
            claims,
        );
        let text = all.to_string().replace("\"NULL\"", "null");
        token.token(&json!({})).payload(text)
    };
    for vendor in vendors() {
        let name = vendor.name;
        for claim in vendor.typed_claims.iter().chain(&always) {
            for wrong in [json!(7), json!(true), json!(["a"]), json!({ "a": "b" })] {
                let token = vendor.token(&with(&vendor.user, json!({ *claim: wrong })));
                assert_eq!(vendor.refusal(&token), invalid, "{name} {claim} {wrong}");
            }
            assert_eq!(vendor.refusal(&raw_null(&vendor, claim)), invalid, "{name} {claim}");
        }
    }
}

#[test]
fn scopes_have_the_shape_that_the_profile_says_and_no_other() {
    let invalid = Some(Reason::ClaimTypeInvalid);
    for vendor in vendors() {
        let refusal = |change: Value| vendor.refusal(&vendor.token(&with(&vendor.user, change)));
        let array = json!({ "scope": ["orders:read"] });
        let expected = if vendor.name == "duende" { None } else { invalid };
        assert_eq!(refusal(array), expected, "{}", vendor.name);
        let expected = match vendor.name {
            "okta" | "ory_hydra" => [invalid, None],
            "entra_v2" | "entra_v1" => [None, invalid],
            // It is not read.
            _ => [None, None],
        };
        let found = [json!({ "scp": "a" }), json!({ "scp": ["a"] })].map(refusal);
        assert_eq!(found, expected, "{}", vendor.name);
    }
    for odd in [json!([1]), json!(["a", null]), json!([["a"]]), json!({}), json!(1), json!("a b")] {
        let vendor = okta();
        let token = vendor.token(&with(&vendor.user, json!({ "scp": odd })));
        assert_eq!(vendor.refusal(&token), invalid, "{odd}");
    }
}

#[test]
fn scopes_of_claims_that_a_profile_does_not_name_do_not_count() {
    for vendor in vendors() {
        let more = json!({
            "permissions": ["admin"], "roles": ["admin"], "groups": ["admin"],
            "realm_access": { "roles": ["admin"] }, "cognito:groups": ["admin"],
            "scopes": "admin", "ext": { "scope": "admin" },
        });
        let mut claims = with(&vendor.user, more);
        let reads_scp = ["entra_v2", "entra_v1", "okta", "ory_hydra"].contains(&vendor.name);
        claims[if reads_scp { "scope" } else { "scp" }] = json!("admin");
        let token = vendor.read(&vendor.token(&claims)).unwrap();
        assert!(!token.allows(&Scope::from_static("admin")), "{}", vendor.name);
        assert_eq!(token.scopes().collect::<Vec<_>>(), vendor.user_reading.scopes);
    }
}

#[test]
fn an_element_of_an_array_is_one_scope_whatever_is_in_it() {
    for vendor in [okta(), ory_hydra(), duende()] {
        let claim = if vendor.name == "duende" { "scope" } else { "scp" };
        let scopes = json!({ claim: ["orders:read orders:write", "", "x"] });
        let token = vendor.read(&vendor.token(&with(&vendor.user, scopes))).unwrap();
        assert_eq!(token.scopes().collect::<Vec<_>>(), ["orders:read orders:write", "x"]);
        assert!(!token.allows(&Scope::from_static("orders:read")));
        assert!(!token.allows(&Scope::from_static("orders:write")));
    }
}

#[test]
fn an_array_has_as_many_scopes_as_a_string() {
    let vendor = okta();
    let scopes = |n: usize| {
        let scopes: Vec<_> = (0..n).map(|_| "s").collect();
        vendor.refusal(&vendor.token(&with(&vendor.user, json!({ "scp": scopes }))))
    };
    assert_eq!(scopes(1024), None);
    assert_eq!(scopes(1025), Some(Reason::ClaimsMalformed));
}

// Entra: agents and tenants.

fn entra_token(vendor: &Vendor, change: Value) -> AccessToken {
    vendor.read(&vendor.token(&with(&vendor.user, change))).unwrap()
}

fn source(token: &AccessToken) -> Option<ActorSource> {
    token.actor().map(|actor| actor.source())
}

#[test]
fn an_agent_on_behalf_of_a_user_is_the_actor_and_the_user_a_person() {
    for vendor in [entra_v2(), entra_v1()] {
        let change = json!({
            "xms_act_fct": "3 9 11", "xms_idrel": "1 10",
            "xms_par_app_azp": "55555555-5555-5555-5555-555555555555",
        });
        let token = entra_token(&vendor, change);
        let actor = token.actor().unwrap();
        assert_eq!((actor.issuer(), actor.name()), (vendor.issuer, ENTRA_CLIENT));
        assert_eq!(actor.source(), ActorSource::Profile);
        assert_eq!(actor.source().as_str(), "profile");
        assert_eq!(token.subject().name(), USER);
        assert!(token.is_person());
        assert_eq!(unmet(&any().undelegated(), &token), Some(Reason::ActorUnauthorized));
        assert_eq!(unmet(&any().delegated().person(), &token), None);
        assert_eq!(unmet(&any().actor([(vendor.issuer, ENTRA_CLIENT)]), &token), None);
        // The blueprint is for the record alone: listing it authorizes no one.
        let blueprint = any().actor([(vendor.issuer, "55555555-5555-5555-5555-555555555555")]);
        assert_eq!(unmet(&blueprint, &token), Some(Reason::ActorUnauthorized));
    }
}

#[test]
fn an_autonomous_agent_acts_for_no_one_and_is_not_a_person() {
    let vendor = entra_v2();
    let change = json!({
        "idtyp": "app", "roles": ["Tasks.Run"], "scp": "/", "xms_act_fct": "11 3",
        "xms_sub_fct": "9 11", "xms_idrel": "7 10",
    });
    for idtyp in [json!("app"), json!(null), json!("user")] {
        let token = entra_token(&vendor, with(&change, json!({ "idtyp": idtyp })));
        assert!(token.actor().is_none());
        assert!(!token.is_person());
        assert_eq!(unmet(&any().person(), &token), Some(Reason::SubjectAmbiguous));
        assert_eq!(unmet(&any().delegated(), &token), Some(Reason::ActorRequired));
    }
}

#[test]
fn the_user_account_of_an_agent_is_not_a_person_and_the_agent_is_the_actor() {
    let vendor = entra_v2();
    let change = json!({ "scp": "Mail.Send", "xms_act_fct": "11", "xms_sub_fct": "1 13" });
    let token = entra_token(&vendor, change);
    assert!(!token.is_person());
    assert_eq!(token.actor().map(|actor| actor.name()), Some(ENTRA_CLIENT));
    assert_eq!(source(&token), Some(ActorSource::Profile));
    assert_eq!(unmet(&any().person(), &token), Some(Reason::SubjectAmbiguous));
    assert_eq!(unmet(&any().undelegated(), &token), Some(Reason::ActorUnauthorized));
}

#[test]
fn facets_are_whole_words_in_any_order_and_unknown_ones_are_ignored() {
    let vendor = entra_v2();
    for (facets, agent) in [
        ("11", true),
        ("3 9 11", true),
        ("11 9 3", true),
        ("3 11 9", true),
        (" 11  3 ", true),
        ("11 11", true),
        ("4711 11 99999999999999999999 x", true),
        ("", false),
        ("3", false),
        ("111", false),
        ("1 1", false),
        ("011", false),
        ("11.0", false),
        ("11,3", false),
        ("13", false),
    ] {
        let token = entra_token(&vendor, json!({ "xms_act_fct": facets }));
        let found = source(&token);
        assert_eq!(found, agent.then_some(ActorSource::Profile), "{facets:?}");
        assert!(token.is_person(), "{facets:?}");

        let token = entra_token(&vendor, json!({ "xms_sub_fct": facets }));
        assert!(token.actor().is_none(), "{facets:?}");
        let of_agent = agent || facets == "13";
        assert_eq!(token.is_person(), !of_agent, "{facets:?}");
    }
    for (facets, person) in [("13", false), ("1 13", false), ("13 1", false), ("130", true)] {
        let token = entra_token(&vendor, json!({ "xms_sub_fct": facets }));
        assert_eq!(token.is_person(), person, "{facets:?}");
    }
}

#[test]
fn a_blueprint_alone_marks_an_agent() {
    let vendor = entra_v2();
    let token = entra_token(&vendor, json!({ "xms_par_app_azp": "b" }));
    assert_eq!(source(&token), Some(ActorSource::Profile));
}

#[test]
fn facets_of_another_type_than_a_string_are_refused() {
    let vendor = entra_v2();
    for claim in ["xms_act_fct", "xms_sub_fct", "idtyp"] {
        for wrong in [json!(11), json!([11]), json!(["11"]), json!({ "11": true }), json!(false)] {
            let token = vendor.token(&with(&vendor.user, json!({ claim: wrong })));
            let found = vendor.refusal(&token);
            assert_eq!(found, Some(Reason::ClaimTypeInvalid), "{claim} {wrong}");
        }
    }
}

#[test]
fn a_token_of_another_tenant_or_of_none_is_refused() {
    for vendor in [entra_v2(), entra_v1()] {
        for tid in [
            json!(OTHER_TENANT),
            json!(null),
            json!(""),
            json!("11111111"),
            json!("11111111-1111-1111-1111-111111111111/"),
            json!("login.microsoftonline.com"),
            json!("sts.windows.net"),
            json!("https:"),
        ] {
            let token = vendor.token(&with(&vendor.user, json!({ "tid": tid })));
            let invalid = vendor.read(&token).unwrap_err();
            assert_eq!(invalid.reason(), Reason::TenantMismatch, "{tid}");
        }
    }
}

#[test]
fn a_tenant_that_differs_in_case_is_another() {
    let issuer = "https://login.microsoftonline.com/aaaaaaaa-1111-1111-1111-111111111111/v2.0";
    let claims = |tid: &str| with(&entra_user(), json!({ "tid": tid }));
    let validation = Validation::new(ORDERS, issuer).profile(Profile::entra_v2());
    let check = |tid: &str| read(&validation, issuer, &minted(issuer, Some("JWT"), &claims(tid)));
    assert!(check("aaaaaaaa-1111-1111-1111-111111111111").is_ok());
    let other = check("AAAAAAAA-1111-1111-1111-111111111111").unwrap_err();
    assert_eq!(other.reason(), Reason::TenantMismatch);
}

#[test]
fn a_tenant_mismatch_shows_the_client_nothing_and_the_operator_everything() {
    let vendor = entra_v2();
    let token = vendor.token(&with(&vendor.user, json!({ "tid": OTHER_TENANT })));
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = lines.clone();
    let issuer = signer(ENTRA).issuer().profile(Profile::entra_v2());
    let guard = Guard::new(ORDERS, issuer)
        .clock(now)
        .audit(move |event: &AuditEvent<'_>| kept.lock().unwrap().push(event.to_string()));
    let denial = ask(&guard, &token, any()).unwrap_err();
    assert_eq!((denial.status().as_u16(), denial.reason()), (403, Reason::TenantMismatch));
    assert_eq!(denial.reason().for_client(), Reason::PolicyDenied);
    assert!(!denial.problem_json().contains("tenant"));
    let line = lines.lock().unwrap().join("\n");
    assert!(line.contains("reason=tenant_mismatch"), "{line}");
    assert!(line.contains(&format!("tenant=\"{OTHER_TENANT}\"")), "{line}");
}

#[test]
fn a_profile_whose_tenant_is_not_the_issuers_asks_for_none() {
    for vendor in vendors() {
        let Some(claim) = vendor.tenant else { continue };
        if vendor.name.starts_with("entra_") {
            continue;
        }
        let token = vendor.token(&with(&vendor.user, json!({ claim: null })));
        assert_eq!(vendor.read(&token).unwrap().tenant(), None, "{}", vendor.name);
    }
}

#[test]
fn a_token_of_an_agent_by_its_facets_may_live_two_hours_and_others_a_day() {
    let vendor = entra_v2();
    let life = |change: Value, life: u64| {
        let change = with(&change, json!({ "exp": NOW + i64::try_from(life).unwrap() }));
        vendor.refusal(&vendor.token(&with(&vendor.user, change)))
    };
    let exceeded = Some(Reason::TokenLifetimeExceeded);
    for agent in [json!({ "xms_act_fct": "11" }), json!({ "xms_par_app_azp": "b" })] {
        assert_eq!(life(agent.clone(), 2 * HOUR), None);
        assert_eq!(life(agent, 2 * HOUR + 1), exceeded);
    }
    assert_eq!(life(json!({ "xms_act_fct": "9" }), 24 * HOUR), None);
    // An agent that speaks for itself is a client like others.
    let own = json!({ "idtyp": "app", "xms_act_fct": "11", "xms_sub_fct": "11" });
    assert_eq!(life(own.clone(), 24 * HOUR), None);
    assert_eq!(life(own, 24 * HOUR + 1), exceeded);
}

#[test]
fn the_long_lifetime_of_an_agent_by_its_facets_is_refused_before_its_audience() {
    let vendor = entra_v2();
    let change = json!({ "xms_act_fct": "11", "exp": NOW + 10_000, "aud": "api://billing" });
    let token = vendor.token(&with(&vendor.user, change));
    assert_eq!(vendor.refusal(&token), Some(Reason::TokenLifetimeExceeded));
}

// Impersonators.

const ADMIN: &str = "admin@acme.example";

/// An impersonator took the user's place.
fn impersonated(vendor: &Vendor) -> AccessToken {
    let change = json!({ "act": { "sub": ADMIN } });
    vendor.read(&vendor.token(&with(&vendor.user, change))).unwrap()
}

#[test]
fn an_impersonator_is_not_an_agent() {
    for vendor in [workos(), clerk()] {
        let token = impersonated(&vendor);
        let actor: Actor<'_> = token.actor().unwrap();
        assert_eq!((actor.issuer(), actor.name()), (vendor.issuer, ADMIN));
        assert_eq!(actor.source(), ActorSource::Impersonator);
        assert_eq!(actor.source().as_str(), "impersonator");
        // The subject is still who it is.
        assert_eq!(token.subject().name(), "user_1");
        assert!(token.is_person());

        let admin = (vendor.issuer, ADMIN);
        let other = (vendor.issuer, "admin@other.example");
        let required = Some(Reason::ActorRequired);
        let unauthorized = Some(Reason::ActorUnauthorized);
        for (requirement, answer) in [
            (any(), None),
            (any().delegated(), required),
            (any().undelegated(), unauthorized),
            (any().actor([other]), unauthorized),
            (any().actor([admin]), None),
            (any().actor([other, admin]), None),
            (any().actor_if_any([other]), unauthorized),
            (any().actor_if_any([(OTHER, ADMIN)]), unauthorized),
            (any().actor_if_any([(OTHER, ADMIN); 0]), unauthorized),
            (any().actor_if_any([admin]), None),
            (any().undelegated().actor_if_any([admin]), unauthorized),
            (any().person(), None),
        ] {
            assert_eq!(unmet(&requirement, &token), answer, "{} {requirement}", vendor.name);
        }
    }
}

#[test]
fn an_impersonator_of_another_namespace_is_untrusted_unless_listed() {
    let vendor = clerk();
    let act = json!({ "iss": "https://dashboard.clerk.com", "sub": "user_9" });
    let claims = with(&vendor.user, json!({ "act": act }));
    let token = vendor.read(&vendor.token(&claims)).unwrap();
    let pair = ("https://dashboard.clerk.com", "user_9");
    for (requirement, answer) in [
        (any(), Some(Reason::ActorUntrusted)),
        (any().undelegated(), Some(Reason::ActorUntrusted)),
        (any().delegated(), Some(Reason::ActorRequired)),
        (any().actor_if_any([(vendor.issuer, "user_9")]), Some(Reason::ActorUntrusted)),
        (any().actor_if_any([pair]), None),
        (any().actor([pair]), None),
    ] {
        assert_eq!(unmet(&requirement, &token), answer, "{requirement}");
    }
}

#[test]
fn an_impersonator_that_is_the_subject_itself_is_not_an_actor() {
    for vendor in [workos(), clerk()] {
        let claims = with(&vendor.user, json!({ "act": { "sub": "user_1" } }));
        let token = vendor.read(&vendor.token(&claims)).unwrap();
        assert!(token.actor().is_none());
        assert_eq!(unmet(&any().undelegated(), &token), None);
    }
}

#[test]
fn an_impersonator_does_not_count_as_the_agent_that_must_act() {
    let vendor = clerk();
    let claims = with(&vendor.user, json!({ "act": { "sub": ADMIN } }));
    let token = vendor.token(&claims);
    let origin = "https://app.example";
    for validation in [
        vendor.validation().agents_must_act(),
        vendor.validation().agents_must_act().agent_clients([origin]),
        vendor.validation().agents_must_act().agent_clients_if(|_| true),
    ] {
        let token = read(&validation, vendor.issuer, &token).unwrap();
        let admin = (vendor.issuer, ADMIN);
        for requirement in
            [any(), any().delegated(), any().actor([admin]), any().actor_if_any([admin])]
        {
            let found = unmet(&requirement, &token);
            assert_eq!(found, Some(Reason::ActorRequired), "{requirement}");
        }
    }
    // Another client is not an agent, so the impersonator is the actor.
    let others = vendor.validation().agents_must_act().agent_clients(["https://bot.example"]);
    let token = read(&others, vendor.issuer, &token).unwrap();
    assert_eq!(source(&token), Some(ActorSource::Impersonator));
    assert_eq!(unmet(&any(), &token), None);
}

#[test]
fn a_token_of_an_impersonator_may_live_two_hours() {
    for vendor in [workos(), clerk()] {
        let life = |life: i64| {
            let change = json!({ "act": { "sub": ADMIN }, "exp": NOW + life });
            vendor.refusal(&vendor.token(&with(&vendor.user, change)))
        };
        assert_eq!(life(7200), None, "{}", vendor.name);
        assert_eq!(life(7201), Some(Reason::TokenLifetimeExceeded), "{}", vendor.name);
    }
}

#[test]
fn act_names_an_agent_unless_the_profile_says_that_it_is_an_impersonator() {
    for vendor in vendors() {
        let claims = with(&vendor.user, json!({ "act": { "sub": "someone" } }));
        let token = vendor.read(&vendor.token(&claims)).unwrap();
        let impersonators = ["workos", "clerk"].contains(&vendor.name);
        let expected = if impersonators { ActorSource::Impersonator } else { ActorSource::Act };
        assert_eq!(source(&token), Some(expected), "{}", vendor.name);
    }
}

// Lists of clients instead of an audience.

const WEB: &str = "web";

fn cognito_with(clients: &[&str]) -> Validation {
    let profile = Profile::cognito().client_list_instead_of_audience(clients.iter().copied());
    Validation::new(ORDERS, cognito().issuer).profile(profile)
}

fn unnamed(vendor: &Vendor) -> TestToken {
    vendor.token(&with(&vendor.user, json!({ "aud": null })))
}

#[test]
fn a_token_without_an_audience_is_refused_unless_its_client_is_listed() {
    let vendor = cognito();
    let token = unnamed(&vendor);
    assert_eq!(vendor.refusal(&token), Some(Reason::RequiredClaimMissing));
    let accepted = read(&cognito_with(&["other", WEB]), vendor.issuer, &token).unwrap();
    assert_eq!(accepted.audience(), None);
    assert_eq!(accepted.audiences().count(), 0);
    assert_eq!(accepted.client_id(), Some(WEB));
    for clients in [&["other"][..], &[], &["WEB"], &["web "], &["we"], &[""]] {
        let invalid = read(&cognito_with(clients), vendor.issuer, &token).unwrap_err();
        assert_eq!(invalid.reason(), Reason::AudienceMismatch, "{clients:?}");
    }
}

#[test]
fn a_token_that_names_an_audience_must_name_ours_whatever_the_list() {
    let vendor = cognito();
    for (aud, ours) in [
        (json!("https://billing.example"), false),
        (json!(["https://billing.example"]), false),
        (json!([""]), false),
        (json!(""), false),
        (json!(WEB), false),
        (json!(["x", ""]), false),
        (json!(ORDERS.as_str()), true),
        (json!(["https://billing.example", ORDERS.as_str()]), true),
    ] {
        let token = vendor.token(&with(&vendor.user, json!({ "aud": aud })));
        match read(&cognito_with(&[WEB]), vendor.issuer, &token) {
            Ok(token) => assert!(ours && token.audience() == Some(&ORDERS), "{aud}"),
            Err(invalid) => {
                assert!(!ours, "{aud}");
                assert_eq!(invalid.reason(), Reason::AudienceMismatch, "{aud}");
            }
        }
        // The list does not matter for a token that names us.
        let unlisted = read(&cognito_with(&["other"]), vendor.issuer, &token);
        assert_eq!(unlisted.is_ok(), ours, "{aud}");
    }
    let wrong = vendor.token(&with(&vendor.user, json!({ "aud": {} })));
    let invalid = read(&cognito_with(&[WEB]), vendor.issuer, &wrong).unwrap_err();
    assert_eq!(invalid.reason(), Reason::ClaimTypeInvalid);
}

#[test]
fn an_empty_list_of_audiences_counts_as_no_audience() {
    let vendor = cognito();
    let token = vendor.token(&with(&vendor.user, json!({ "aud": [] })));
    assert!(read(&cognito_with(&[WEB]), vendor.issuer, &token).is_ok());
    assert!(read(&cognito_with(&["other"]), vendor.issuer, &token).is_err());
}

#[test]
fn a_list_of_clients_opens_nothing_else() {
    let vendor = cognito();
    let validation = cognito_with(&[WEB, ""]);
    for (change, reason) in [
        (json!({ "token_use": "id" }), Reason::TokenKindRejected),
        (json!({ "client_id": null }), Reason::RequiredClaimMissing),
        (json!({ "client_id": "" }), Reason::RequiredClaimMissing),
        (json!({ "client_id": ["web"] }), Reason::ClaimTypeInvalid),
        (json!({ "exp": NOW - 100 }), Reason::TokenExpired),
        (json!({ "cnf": {} }), Reason::ConfirmationUnsupported),
    ] {
        let claims = with(&with(&vendor.user, json!({ "aud": null })), change.clone());
        let invalid = read(&validation, vendor.issuer, &vendor.token(&claims)).unwrap_err();
        assert_eq!(invalid.reason(), reason, "{change}");
    }
}

#[test]
fn a_token_without_an_audience_and_without_a_client_is_on_no_list() {
    let vendor = workos();
    let profile = Profile::workos().client_list_instead_of_audience(["client_1", ""]);
    let validation = Validation::new(ORDERS, vendor.issuer).profile(profile);
    let invalid = read(&validation, vendor.issuer, &unnamed(&vendor)).unwrap_err();
    assert_eq!(invalid.reason(), Reason::AudienceMismatch);
}

#[test]
fn an_origin_can_be_listed_instead_of_an_audience() {
    let vendor = clerk();
    let profile = Profile::clerk().client_list_instead_of_audience(["https://app.example"]);
    let validation = Validation::new(ORDERS, vendor.issuer).profile(profile);
    let check = |azp: &str| {
        let claims = with(&vendor.user, json!({ "aud": null, "azp": azp }));
        read(&validation, vendor.issuer, &vendor.token(&claims)).map(drop)
    };
    assert!(check("https://app.example").is_ok());
    for azp in ["https://app.example/", "https://APP.example", "https://evil.example"] {
        assert_eq!(check(azp).unwrap_err().reason(), Reason::AudienceMismatch, "{azp}");
    }
}

#[test]
fn the_client_of_a_list_is_the_one_that_the_profile_reads() {
    // `client_id` and `azp` differ: only the claim of the profile counts.
    let vendor = clerk();
    let profile = Profile::clerk().client_list_instead_of_audience(["listed"]);
    let validation = Validation::new(ORDERS, vendor.issuer).profile(profile);
    let claims = with(&vendor.user, json!({ "aud": null, "azp": "other", "client_id": "listed" }));
    let invalid = read(&validation, vendor.issuer, &vendor.token(&claims)).unwrap_err();
    assert_eq!(invalid.reason(), Reason::AudienceMismatch);
}

#[test]
fn a_list_of_clients_shows_in_the_record_and_an_audience_does_not_hide_it() {
    let vendor = cognito();
    let profile = Profile::cognito().client_list_instead_of_audience([WEB]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = seen.clone();
    let guard = Guard::new(ORDERS, signer(vendor.issuer).issuer().profile(profile))
        .clock(now)
        .audit(move |event: &AuditEvent<'_>| {
            let audience = event.audience().map(Audience::to_string);
            let list = event.client_list_instead_of_audience();
            kept.lock().unwrap().push((list, audience, event.to_string()));
        });
    let _ = ask(&guard, &unnamed(&vendor), any()).unwrap();
    let _ = ask(&guard, &vendor.token(&vendor.user), any()).unwrap();
    // Denied for its scope: the token was validated all the same.
    let _ = ask(&guard, &unnamed(&vendor), Scope::from_static("x")).unwrap_err();
    // Never validated.
    let _ = ask(&guard, &unnamed(&vendor).claim("x", 1).payload("{}"), any()).unwrap_err();
    let seen = seen.lock().unwrap();
    let word = " client_list_instead_of_audience";
    for ((list, audience, line), expected) in seen.iter().zip([true, false, true, false]) {
        assert_eq!(*list, expected, "{line}");
        assert_eq!(line.contains(word), expected, "{line}");
        assert_eq!(line.contains(" audience="), audience.is_some(), "{line}");
    }
    assert_eq!(seen[1].1.as_deref(), Some(ORDERS.as_str()));
    assert_eq!(seen.len(), 4);
}

#[test]
fn a_list_of_clients_and_a_tenant_are_fields_of_tracing() {
    let traced = |vendor: &Vendor, profile: Profile, token: &TestToken| {
        let buffer: Arc<Mutex<Vec<u8>>> = Arc::default();
        let writer = buffer.clone();
        let subscriber = tracing_subscriber::fmt()
            .without_time()
            .with_writer(move || Shared(writer.clone()))
            .finish();
        let guard = Guard::new(ORDERS, signer(vendor.issuer).issuer().profile(profile))
            .clock(now)
            .audit(TracingAudit);
        tracing::subscriber::with_default(subscriber, || {
            let _ = ask(&guard, token, any()).unwrap();
        });
        String::from_utf8(buffer.lock().unwrap().clone()).unwrap()
    };
    let vendor = cognito();
    let listed = Profile::cognito().client_list_instead_of_audience([WEB]);
    let text = traced(&vendor, listed.clone(), &unnamed(&vendor));
    assert!(text.contains("client_list_instead_of_audience=true"), "{text}");
    assert!(!text.contains(" audience="), "{text}");
    let text = traced(&vendor, listed, &vendor.token(&vendor.user));
    assert!(!text.contains("client_list_instead_of_audience"), "{text}");
    let vendor = workos();
    let text = traced(&vendor, Profile::workos(), &vendor.token(&vendor.user));
    assert!(text.contains(r#"tenant="org_1""#), "{text}");
}

/// Writes into one buffer.
struct Shared(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_metadata_document_says_which_issuers_name_no_audience() {
    let pool = cognito();
    let document = |guard: &Guard| -> Value {
        serde_json::from_str(&guard.metadata().unwrap().to_json()).unwrap()
    };
    let listed = Profile::cognito().client_list_instead_of_audience([WEB]);
    let guard = Guard::new(ORDERS, signer(pool.issuer).issuer().profile(listed));
    let guard = guard.trust(login().issuer());
    assert_eq!(document(&guard)["client_list_instead_of_audience"], json!([pool.issuer]));
    // The document does not list the clients.
    assert!(!guard.metadata().unwrap().to_json().contains("\"web\""));
    let plain = Guard::new(ORDERS, signer(pool.issuer).issuer().profile(Profile::cognito()));
    assert_eq!(document(&plain).get("client_list_instead_of_audience"), None);
}

// A user's own profile.

/// Every method once.
fn own() -> Profile {
    Profile::rfc9068()
        .types([HeaderType::Jwt, HeaderType::Absent])
        .subject_claim("uid")
        .subject_or_client()
        .client_claims(["app", "client"])
        .client_optional()
        .token_id_claim("tok")
        .token_id_optional()
        .scope_claims([("rights", ScopeShape::Either), ("more", ScopeShape::Text)])
        .tenant_claim("org")
        .tenant_in_issuer()
        .requires_one_of([ClaimRule::is("use", "api"), ClaimRule::starts_with("use", "api/")])
        .requires_one_of([ClaimRule::present("v")])
        .subject_is_client_if([ClaimRule::ends_with("uid", "@services")])
        .subject_is_client_if([ClaimRule::same("uid", "sub")])
        .subject_is_not_a_person_if([ClaimRule::lists("kind", "robot")])
        .subject_is_not_a_person_if([ClaimRule::is("kind", "group")])
        .client_is_agent_if([ClaimRule::lists("kind_of_app", "agent")])
        .client_is_agent_if([ClaimRule::present("agent_run")])
        .act_names_impersonators()
        .client_list_instead_of_audience(["listed"])
}

const OWN: &str = "https://login.example/acme/t";

fn own_user() -> Value {
    json!({
        "uid": "u1", "app": "web", "tok": "t1", "rights": ["orders:read"], "more": "a b",
        "org": "acme", "use": "api/1", "v": 3,
    })
}

fn own_read(change: Value) -> Result<AccessToken, Reason> {
    let validation = Validation::new(ORDERS, OWN).profile(own());
    let token = minted(OWN, Some("JWT"), &with(&own_user(), change));
    read(&validation, OWN, &token).map_err(|invalid| invalid.reason())
}

#[test]
fn a_profile_of_ones_own_reads_what_it_names() {
    let token = own_read(json!({})).unwrap();
    assert_eq!(token.subject().name(), "u1");
    assert_eq!(token.client_id(), Some("web"));
    assert_eq!(token.jti(), Some("t1"));
    assert_eq!(token.tenant(), Some("acme"));
    assert_eq!(token.scopes().collect::<Vec<_>>(), ["orders:read", "a", "b"]);
    assert!(token.is_person());
    assert!(token.actor().is_none());

    // Scopes in text, the second claim of the client, no id, no client at all.
    let token = own_read(json!({ "rights": "x y", "more": null })).unwrap();
    assert_eq!(token.scopes().collect::<Vec<_>>(), ["x", "y"]);
    let token = own_read(json!({ "app": null, "client": "cli" })).unwrap();
    assert_eq!(token.client_id(), Some("cli"));
    let token = own_read(json!({ "client": "cli" })).unwrap();
    assert_eq!(token.client_id(), Some("web"));
    let token = own_read(json!({ "tok": null, "app": null })).unwrap();
    assert_eq!((token.jti(), token.client_id()), (None, None));
    // A token without a client is on no list.
    assert_eq!(
        unmet(&any().client([(LOGIN, ""), (LOGIN, "web")]), &token),
        Some(Reason::ClientNotAllowed)
    );
}

#[test]
fn a_users_own_profile_reads_only_the_claims_it_names() {
    let elsewhere = json!({
        "sub": "mallory", "client_id": "listed", "jti": "j", "scope": "admin", "tid": "x",
    });
    let token = own_read(elsewhere).unwrap();
    assert_eq!(token.subject().name(), "u1");
    assert_eq!(token.client_id(), Some("web"));
    assert_eq!(token.jti(), Some("t1"));
    assert!(!token.allows(&Scope::from_static("admin")));
    // `sub` never stands in for `uid`: without it the client is the subject.
    let token = own_read(json!({ "uid": null, "sub": "mallory" })).unwrap();
    assert_eq!(token.subject().name(), "web");
    assert!(!token.is_person());
    let missing = own_read(json!({ "uid": null, "app": null, "sub": "mallory" }));
    assert_eq!(missing.unwrap_err(), Reason::RequiredClaimMissing);
}

#[test]
fn each_test_of_a_profile_of_ones_own_decides_what_it_is_for() {
    let kind = Err(Reason::TokenKindRejected);
    for (change, expected) in [
        (json!({ "use": "api" }), Ok(())),
        (json!({ "use": "api/" }), Ok(())),
        (json!({ "use": "api2" }), kind),
        (json!({ "use": "API" }), kind),
        (json!({ "use": null }), kind),
        (json!({ "use": 1 }), Err(Reason::ClaimTypeInvalid)),
        (json!({ "v": null }), kind),
        (json!({ "v": false }), Ok(())),
        (json!({ "org": "other" }), Err(Reason::TenantMismatch)),
        (json!({ "org": null }), Err(Reason::TenantMismatch)),
        (json!({ "kind": 1 }), Err(Reason::ClaimTypeInvalid)),
        (json!({ "sub": 1 }), Err(Reason::ClaimTypeInvalid)),
        (json!({ "nonce": "n" }), kind),
    ] {
        assert_eq!(own_read(change.clone()).map(drop), expected, "{change}");
    }

    for (change, person) in [
        (json!({ "uid": "mail@services" }), false),
        (json!({ "uid": "mail@services.example" }), true),
        (json!({ "sub": "u1" }), false),
        (json!({ "sub": "u2" }), true),
        (json!({ "kind": "robot staff" }), false),
        (json!({ "kind": "staff robot" }), false),
        (json!({ "kind": "group" }), false),
        (json!({ "kind": "robots groups" }), true),
        (json!({ "uid": "web" }), false),
    ] {
        assert_eq!(own_read(change.clone()).unwrap().is_person(), person, "{change}");
    }

    for (change, agent) in [
        (json!({ "kind_of_app": "x agent" }), true),
        (json!({ "agent_run": false }), true),
        (json!({ "kind_of_app": "agents" }), false),
        // It speaks for itself.
        (json!({ "kind_of_app": "agent", "uid": "a@services" }), false),
        // It acts for an account that is not a person.
        (json!({ "kind_of_app": "agent", "kind": "robot" }), true),
    ] {
        let token = own_read(change.clone()).unwrap();
        let expected = agent.then_some(ActorSource::Profile);
        assert_eq!(source(&token), expected, "{change}");
    }

    let token = own_read(json!({ "act": { "sub": ADMIN } })).unwrap();
    assert_eq!(source(&token), Some(ActorSource::Impersonator));

    assert_eq!(own_read(json!({ "aud": null })).unwrap_err(), Reason::AudienceMismatch);
    let token = own_read(json!({ "aud": null, "app": "listed" })).unwrap();
    assert_eq!(token.audience(), None);
}

#[test]
fn a_test_that_nothing_can_meet_refuses_everything() {
    let no_rules: [ClaimRule; 0] = [];
    let nothing: [HeaderType; 0] = [];
    for (profile, reason) in [
        (Profile::rfc9068().requires_one_of(no_rules), Reason::TokenKindRejected),
        (Profile::rfc9068().types(nothing), Reason::TokenTypeMismatch),
        (Profile::rfc9068().client_claims([""; 0]), Reason::RequiredClaimMissing),
        (Profile::rfc9068().tenant_in_issuer(), Reason::TenantMismatch),
        (Profile::rfc9068().subject_claim("nowhere"), Reason::RequiredClaimMissing),
        (Profile::rfc9068().token_id_claim("nowhere"), Reason::RequiredClaimMissing),
    ] {
        let invalid = validate_by(&validation().profile(profile), &token(), now()).unwrap_err();
        assert_eq!(invalid.reason(), reason);
    }
}

#[test]
fn a_profile_without_scope_claims_reads_no_scopes() {
    let none: [(&str, ScopeShape); 0] = [];
    let validation = validation().profile(Profile::rfc9068().scope_claims(none));
    let token = validate_by(&validation, &token().scope("orders:read"), now()).unwrap();
    assert_eq!(token.scopes().count(), 0);
}

#[test]
fn the_strict_profile_is_the_default_and_profiles_can_be_compared() {
    assert_eq!(Profile::default(), Profile::rfc9068());
    assert_eq!(own(), own());
    assert_eq!(Profile::entra_v2(), Profile::entra_v2());
    assert_ne!(Profile::entra_v2(), Profile::entra_v1());
    let all: Vec<_> = vendors().into_iter().map(|vendor| vendor.profile).collect();
    for (i, one) in all.iter().enumerate() {
        assert!(all.iter().skip(i + 1).all(|other| one != other), "{one:?}");
    }
    let good = token().scope("orders:read");
    let strict = validation().profile(Profile::rfc9068());
    assert!(validate_by(&strict, &good, now()).is_ok());
    assert!(validate(&good.header("typ", "JWT")).is_err());
}

#[test]
fn the_profile_of_one_issuer_is_not_that_of_another() {
    let okta = okta();
    let issuer = signer(okta.issuer).issuer().profile(Profile::okta());
    let guard = Guard::new(ORDERS, login().issuer()).trust(issuer).clock(now);
    assert!(ask(&guard, &okta.token(&okta.user), any()).is_ok());
    let loose = minted(LOGIN, None, &okta.user);
    let denial = ask(&guard, &loose, any()).unwrap_err();
    assert_eq!(denial.reason(), Reason::TokenTypeMismatch);
    // Nor that of an issuer that is not trusted.
    let denial = ask(&guard, &minted(OTHER, Some("JWT"), &okta.user), any()).unwrap_err();
    assert_eq!(denial.reason(), Reason::TokenTypeMismatch);
}

// Keys that name their issuer.

/// The keys of an issuer, each with this `issuer`.
fn keys_of(issuer: &str, named: &Value) -> KeySet {
    let mut set: Value = serde_json::from_str(&signer(issuer).jwks()).unwrap();
    set["keys"][0]["issuer"] = named.clone();
    KeySet::from_json(&set.to_string()).unwrap()
}

fn reason_by_keys(token: &TestToken, keys: &KeySet) -> Option<Reason> {
    let validation = Validation::new(ORDERS, ENTRA).profile(Profile::entra_v2());
    let raw = token.sign();
    let token = UnverifiedToken::parse(&raw).unwrap();
    token.validate(&validation, keys, now()).err().map(|invalid| invalid.reason())
}

#[test]
fn a_key_that_names_another_issuer_verifies_nothing() {
    let token = entra_v2().token(&entra_user());
    let template = "https://login.microsoftonline.com/{tenantid}/v2.0";
    for (named, usable) in [
        (ENTRA, true),
        (template, true),
        ("https://login.microsoftonline.com/{tenantid}/v1.0", false),
        ("https://login.microsoftonline.us/{tenantid}/v2.0", false),
        ("https://login.microsoftonline.com/v2.0", false),
        ("https://login.microsoftonline.com/99999999-9999-9999-9999-999999999999/v2.0", false),
        ("https://login.microsoftonline.com/{tenantId}/v2.0", false),
        ("https://login.microsoftonline.com/{tenantid}/{tenantid}", false),
        ("https://{tenantid}/v2.0", false),
        ("https://login.microsoftonline.com/{tenantid}", false),
        ("", false),
    ] {
        let reason = reason_by_keys(&token, &keys_of(ENTRA, &json!(named)));
        let expected = (!usable).then_some(Reason::KeyUnusable);
        assert_eq!(reason, expected, "{named}");
    }
}

#[test]
fn a_template_stands_for_exactly_one_segment() {
    let template = json!("https://login.example/{tenantid}/v2.0");
    for (issuer, usable) in [
        ("https://login.example/acme/v2.0", true),
        ("https://login.example/a-b.c/v2.0", true),
        ("https://login.example//v2.0", false),
        ("https://login.example/acme/x/v2.0", false),
        ("https://login.example/acme/v2.0/", false),
        ("https://login.example/acme", false),
        ("https://login.example/v2.0", false),
    ] {
        let claims = with(&entra_user(), json!({ "tid": "acme" }));
        let profile = Profile::entra_v2().tenant_claim("none");
        let plain = Validation::new(ORDERS, issuer).profile(profile);
        let raw = minted(issuer, Some("JWT"), &claims).sign();
        let token = UnverifiedToken::parse(&raw).unwrap();
        let found = token.validate(&plain, &keys_of(issuer, &template), now()).unwrap_err();
        // With the right key, the profile goes on and finds no tenant.
        let expected = if usable { Reason::TenantMismatch } else { Reason::KeyUnusable };
        assert_eq!(found.reason(), expected, "{issuer}");
    }
}

#[test]
fn a_key_whose_issuer_is_not_a_string_is_skipped() {
    let token = entra_v2().token(&entra_user());
    for odd in [json!(1), json!([ENTRA]), json!({}), json!(true)] {
        let keys = keys_of(ENTRA, &odd);
        assert_eq!((keys.len(), keys.skipped().count()), (0, 1), "{odd}");
        assert!(reason_by_keys(&token, &keys).is_some(), "{odd}");
    }
}

#[test]
fn without_a_key_id_the_key_of_another_issuer_is_not_a_candidate() {
    let token = entra_v2().token(&entra_user()).without_header("kid");
    let mine = keys_of(ENTRA, &json!(ENTRA));
    assert_eq!(reason_by_keys(&token, &mine), None);
    let others = keys_of(ENTRA, &json!("https://other.example"));
    assert_eq!(reason_by_keys(&token, &others), Some(Reason::KeyNotFound));
}

// Agents by client.

#[test]
fn a_service_account_that_cannot_be_told_from_a_user_of_that_name_is_its_clients_subject() {
    let vendor = keycloak();
    let machine = vendor.machine.clone().unwrap();
    for (validation, acts, answer) in [
        (vendor.validation(), false, None),
        (vendor.validation().agent_clients(["billing"]), true, None),
        (vendor.validation().agent_clients_if(|_| true), true, None),
        (vendor.validation().agents_must_act(), false, Some(Reason::ActorRequired)),
    ] {
        let token = read(&validation, vendor.issuer, &vendor.token(&machine)).unwrap();
        assert_ne!(Some(token.subject().name()), token.client_id());
        assert_eq!(token.actor().is_some(), acts);
        assert_eq!(unmet(&any(), &token), answer);
        assert_eq!(unmet(&any().person(), &token), Some(Reason::SubjectAmbiguous));
    }
}

#[test]
fn an_agent_client_that_a_user_logged_in_with_is_the_actor_whatever_claim_names_it() {
    for vendor in vendors() {
        let Some(client) = vendor.user_reading.client else { continue };
        let claims = with(&vendor.user, json!({ "act": null }));
        let token = vendor.token(&claims);
        let listed = vendor.validation().agent_clients([client]);
        let seen = read(&listed, vendor.issuer, &token).unwrap();
        let actor = seen.actor().unwrap();
        assert_eq!((actor.name(), actor.source()), (client, ActorSource::Client));
        assert_eq!(unmet(&any().undelegated(), &seen), Some(Reason::ActorUnauthorized));

        let must = vendor.validation().agents_must_act();
        let seen = read(&must, vendor.issuer, &token).unwrap();
        assert!(seen.actor().is_none());
        assert_eq!(unmet(&any(), &seen), Some(Reason::ActorRequired), "{}", vendor.name);

        let long = vendor.token(&with(&claims, json!({ "exp": NOW + 7201 })));
        let invalid = read(&listed, vendor.issuer, &long).unwrap_err();
        assert_eq!(invalid.reason(), Reason::TokenLifetimeExceeded, "{}", vendor.name);
    }
}

#[test]
fn what_the_token_says_of_its_client_goes_before_what_the_owner_lists() {
    let vendor = entra_v2();
    let token = vendor.token(&with(&vendor.user, json!({ "xms_act_fct": "11" })));
    let both = vendor.validation().agent_clients([ENTRA_CLIENT]);
    let seen = read(&both, vendor.issuer, &token).unwrap();
    assert_eq!(source(&seen), Some(ActorSource::Profile));
    // An agent by its facets must act too, if agents must act.
    for must in [
        vendor.validation().agents_must_act(),
        vendor.validation().agents_must_act().agent_clients(["another"]),
    ] {
        let seen = read(&must, vendor.issuer, &token).unwrap();
        assert!(seen.actor().is_none());
        assert_eq!(unmet(&any(), &seen), Some(Reason::ActorRequired));
    }
}

#[test]
fn act_goes_before_facets() {
    let vendor = entra_v2();
    let change = json!({ "xms_act_fct": "11", "act": { "sub": "agent-7" } });
    let token = entra_token(&vendor, change);
    let actor = token.actor().unwrap();
    assert_eq!((actor.name(), actor.source()), ("agent-7", ActorSource::Act));
}

// What must not hide an agent.

fn seen(validation: &Validation, token: &TestToken) -> AccessToken {
    validate_by(validation, token, now()).unwrap()
}

#[test]
fn an_agent_by_a_rule_whose_token_names_no_client_is_still_an_agent() {
    let profile = Profile::rfc9068().client_optional();
    let validation = validation().profile(profile).agent_clients_if(|_| true);
    let token = seen(&validation, &token().without_claim("client_id"));
    assert!(unmet(&Require::valid_token().undelegated(), &token).is_some());
}

#[test]
fn an_agent_by_a_profile_whose_token_names_no_client_is_still_an_agent() {
    let profile =
        Profile::rfc9068().client_optional().client_is_agent_if([ClaimRule::is("kind", "agent")]);
    let token = token().without_claim("client_id").claim("kind", "agent");
    let token = seen(&validation().profile(profile), &token);
    assert!(unmet(&Require::valid_token().undelegated(), &token).is_some());
}

#[test]
fn if_every_client_must_act_a_token_without_a_client_is_refused_too() {
    let profile = Profile::rfc9068().client_optional();
    let validation = validation().profile(profile).agents_must_act();
    let token = seen(&validation, &token().without_claim("client_id"));
    assert_eq!(unmet(&Require::valid_token(), &token), Some(Reason::ActorRequired));
}

#[test]
fn a_service_of_workos_whose_token_names_no_client_is_not_a_person() {
    let profile = Profile::workos();
    let token = token()
        .header("typ", "JWT")
        .without_claim("client_id")
        .subject("client_01M2M")
        .claim("org_id", "org_1");
    let token = seen(&validation().profile(profile), &token);
    assert_eq!(unmet(&Require::valid_token().person(), &token), Some(Reason::SubjectAmbiguous));
}

#[test]
fn every_claim_that_may_name_the_client_has_its_type() {
    let profile = Profile::rfc9068().client_claims(["azp", "client_id"]);
    for wrong in [json!(7), json!({}), json!(["x"])] {
        let token = token().claim("azp", "web").claim("client_id", wrong);
        let invalid = validate_by(&validation().profile(profile.clone()), &token, now());
        let reason = invalid.err().map(|invalid| invalid.reason());
        assert_eq!(reason, Some(Reason::ClaimTypeInvalid));
    }
}

#[test]
fn a_name_that_a_user_chose_does_not_hide_an_agent() {
    let keycloak = |validation: Validation, claims: serde_json::Value| {
        let mut token =
            token().header("typ", "JWT").claim("typ", "Bearer").without_claim("client_id");
        for (name, value) in claims.as_object().unwrap() {
            token = token.claim(name, value);
        }
        let token = seen(&validation.profile(Profile::keycloak()), &token);
        unmet(&Require::valid_token().undelegated(), &token)
    };
    let user = json!({ "sub": "u", "azp": "agent-app", "preferred_username": "service-account-x" });
    let listed = || validation().agent_clients(["agent-app"]);
    assert!(keycloak(listed(), user).is_some());
    // A mapper that adds `client_id`, as RFC 9068 has it, to every token.
    let mapped = json!({ "sub": "u", "azp": "agent-app", "client_id": "agent-app",
        "preferred_username": "ada" });
    assert!(keycloak(listed(), mapped).is_some());
}

#[test]
fn a_name_that_a_user_chose_does_not_hide_an_agent_at_auth0() {
    let token = token().subject("auth0|mallory@clients").client("agent-app");
    let validation = validation().profile(Profile::auth0_rfc9068()).agent_clients(["agent-app"]);
    let token = seen(&validation, &token);
    assert!(unmet(&Require::valid_token().undelegated(), &token).is_some());
}

#[test]
fn a_part_of_the_issuer_that_is_not_the_tenant_does_not_count_as_one() {
    let issuer = "https://login.example/acme/v2.0";
    let minted = TestIssuer::new(issuer);
    let raw = minted
        .token(&ORDERS)
        .issued_at(now())
        .header("typ", "JWT")
        .claim("tid", "v2.0")
        .claim("ver", "2.0")
        .claim("oid", "o")
        .claim("azp", "c")
        .sign();
    let validation = Validation::new(ORDERS, issuer).profile(Profile::entra_v2());
    let token = UnverifiedToken::parse(&raw).unwrap();
    let found = token.validate(&validation, &minted.keys(), now()).err();
    assert_eq!(found.map(|i| i.reason()), Some(Reason::TenantMismatch));
}

#[test]
fn an_impersonator_does_not_hide_that_an_agent_holds_the_token() {
    let profile = Profile::rfc9068().act_names_impersonators();
    let validation = validation().profile(profile).agent_clients(["test-client"]);
    let token = seen(&validation, &token().actor("admin"));
    let admin_only = Require::valid_token().actor_if_any([(LOGIN, "admin")]);
    assert_eq!(unmet(&admin_only, &token), Some(Reason::ActorRequired));
}

#[test]
fn a_claim_that_cannot_be_read_is_refused_at_set_up() {
    type SetUp = fn(&'static str);
    let as_text: [SetUp; 11] = [
        |name| drop(Profile::rfc9068().subject_claim(name)),
        |name| drop(Profile::rfc9068().client_claims(["azp", name])),
        |name| drop(Profile::rfc9068().token_id_claim(name)),
        |name| drop(Profile::rfc9068().scope_claims([(name, ScopeShape::Array)])),
        |name| drop(Profile::rfc9068().tenant_claim(name)),
        |name| drop(ClaimRule::is(name, "a")),
        |name| drop(ClaimRule::starts_with(name, "a")),
        |name| drop(ClaimRule::lists(name, "a")),
        |name| drop(ClaimRule::same(name, "sub")),
        |name| drop(ClaimRule::same("sub", name)),
        |name| drop(ClaimRule::names_client(name, "", "")),
    ];
    let present: [SetUp; 1] = [|name| drop(ClaimRule::present(name))];
    let panics = |set_up: &SetUp, name| std::panic::catch_unwind(|| set_up(name)).is_err();
    for path in [
        "",
        "realm_access.roles",
        "resource_access.orders.roles",
        "resource_access.{client}.roles",
        "act.sub",
        "cnf.jkt",
        "/realm_access/roles",
        "$.roles",
        "roles[0]",
        "['roles']",
    ] {
        assert!(as_text.iter().chain(&present).all(|set_up| panics(set_up, path)), "{path}");
    }
    for number_or_object in ["exp", "iat", "auth_time", "act", "cnf", "authorization_details"] {
        assert!(
            as_text.iter().all(|set_up| panics(set_up, number_or_object)),
            "{number_or_object}"
        );
        assert!(!panics(&present[0], number_or_object), "{number_or_object}");
    }
    for name in [
        "roles",
        "https://shop.example/roles",
        "example.com/groups",
        "urn:zitadel:iam:org:project:roles",
        "cognito:groups",
        "kubernetes.io",
        "pi.sri",
        "act_as",
        "aud",
    ] {
        assert!(!as_text.iter().chain(&present).any(|set_up| panics(set_up, name)), "{name}");
    }
}
