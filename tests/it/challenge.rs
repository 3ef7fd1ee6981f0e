//! The answer to a denied request: the exact challenge, what is told and what is not.

use crate::common::{self, *};
use http::{HeaderMap, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};
use unconfused::challenge::{MetadataUrl, Remedy};
use unconfused::keys::{KeySet, KeysUnavailable};
use unconfused::proof::{ClientCertificate, Nonces};
use unconfused::replay::{Remembered, StoreUnavailable};
use unconfused::testing::TestToken;
use unconfused::token::{KeyHint, TokenLimits};
use unconfused::{
    AccessToken, Acr, Answer, Audience, Denial, Guard, Issuer, Reason, Require, Scope,
};

const READ: Scope = Scope::from_static("orders:read");
const WRITE: Scope = Scope::from_static("orders:write");
const PHR: Acr = Acr::from_static("phr");
const LOA3: Acr = Acr::from_static("urn:example:loa:3");
const METADATA: &str =
    r#"resource_metadata="https://orders.example/.well-known/oauth-protected-resource""#;

/// What a guard answers to these `Authorization` fields.
fn answer(guard: &Guard, fields: &[&str], requirement: impl Into<Require>) -> Denial {
    let mut head = head("/orders", fields);
    let answer = guard.authorize(&mut head, requirement.into()).now().unwrap();
    answer.unwrap_err()
}

fn denied(token: &TestToken, requirement: impl Into<Require>) -> Denial {
    ask(&guard(), token, requirement).unwrap_err()
}

#[test]
fn each_kind_of_denial_has_its_exact_challenge() {
    let step_up = || Require::scope(WRITE).acr([PHR, LOA3]).max_age(secs(300));
    let good = || token().scope("orders:write").acr("phr").authenticated(secs(1));
    let table: Vec<(&str, Denial, u16, String)> = vec![
        (
            "no credentials",
            answer(&guard(), &[], [READ, WRITE]),
            401,
            format!(r#"Bearer scope="orders:read orders:write", {METADATA}"#),
        ),
        (
            "no credentials, no scope",
            answer(&guard(), &[], Require::valid_token()),
            401,
            format!("Bearer {METADATA}"),
        ),
        (
            "another scheme",
            answer(&guard(), &["Basic dTpw"], READ),
            401,
            format!(r#"Bearer scope="orders:read", {METADATA}"#),
        ),
        (
            "two credentials",
            answer(&guard(), &["Bearer a", "Bearer b"], READ),
            400,
            format!(
                r#"Bearer error="invalid_request", error_description="More than one credential was sent", {METADATA}"#
            ),
        ),
        (
            "malformed",
            answer(&guard(), &["Bearer a b"], READ),
            400,
            format!(
                r#"Bearer error="invalid_request", error_description="The credential is malformed", {METADATA}"#
            ),
        ),
        (
            "expired",
            denied(&token().expired(), READ),
            401,
            format!(
                r#"Bearer error="invalid_token", error_description="The access token expired", scope="orders:read", {METADATA}"#
            ),
        ),
        (
            "another audience",
            denied(&token().claim("aud", "https://billing.example"), READ),
            401,
            format!(
                r#"Bearer error="invalid_token", error_description="The access token is meant for another resource", scope="orders:read", {METADATA}"#
            ),
        ),
        (
            "no actor",
            denied(&good(), Require::scope(WRITE).delegated()),
            401,
            format!(
                r#"Bearer error="invalid_token", error_description="The access token must name an actor", scope="orders:write", {METADATA}"#
            ),
        ),
        (
            "actor",
            denied(&good().actor("a"), step_up().undelegated()),
            403,
            format!(
                r#"Bearer error="actor_unauthorized", error_description="The acting party is not permitted", {METADATA}"#
            ),
        ),
        (
            "too weak, and too little",
            denied(&good().acr("low").scope("x"), step_up()),
            401,
            format!(
                r#"Bearer error="insufficient_user_authentication", error_description="A different authentication level is required", acr_values="phr urn:example:loa:3", max_age="300", scope="orders:write", {METADATA}"#
            ),
        ),
        (
            "too old",
            denied(&good().claim("auth_time", NOW - 1000), step_up()),
            401,
            format!(
                r#"Bearer error="insufficient_user_authentication", error_description="More recent authentication is required", acr_values="phr urn:example:loa:3", max_age="300", {METADATA}"#
            ),
        ),
    ];
    for (what, denial, status, expected) in table {
        assert_eq!(denial.status(), status, "{what}");
        assert_eq!(challenge(&denial), expected, "{what}");
    }
}

#[test]
fn a_challenge_of_plain_functions_is_the_same_without_the_place_of_metadata() {
    let requirement = Require::scope(WRITE).acr([PHR]);
    let token = validate(&token()).unwrap();
    let unmet = requirement.check(&token, now()).unwrap_err();
    assert_eq!(
        Denial::from(&unmet).challenge().unwrap().to_string(),
        r#"Bearer error="insufficient_user_authentication", error_description="A different authentication level is required", acr_values="phr", scope="orders:write""#
    );
    let invalid = validate(&common::token().expired()).unwrap_err();
    assert_eq!(
        Denial::from(&invalid).challenge().unwrap().to_string(),
        r#"Bearer error="invalid_token", error_description="The access token expired""#
    );
}

#[test]
fn missing_credentials_are_challenged_without_an_error() {
    let denial = Denial::from(Reason::MissingCredentials);
    let challenge = denial.challenge().unwrap();
    assert_eq!(challenge.error(), None);
    assert_eq!(challenge.to_string(), r#"Bearer realm="""#);
}

#[test]
fn a_resource_without_metadata_is_challenged_all_the_same() {
    let audience = Audience::from_static("api://orders");
    assert!(MetadataUrl::for_resource(&audience).is_none());
    let guard = Guard::new(&audience, login().issuer()).clock(now);
    let denial = answer(&guard, &[], READ);
    assert_eq!(challenge(&denial), r#"Bearer scope="orders:read""#);

    let weak = login().token(&audience).issued_at(now());
    let denial = ask(&guard, &weak, READ).unwrap_err();
    assert!(denial.challenge().is_some());
    assert_eq!(
        challenge(&denial),
        r#"Bearer error="insufficient_scope", error_description="The request requires higher privileges", scope="orders:read""#
    );
}

#[test]
fn an_insecure_request_is_not_asked_for_a_token() {
    let guard = guard().secure_transport(|_| false);
    let denial = answer(&guard, &[&token().bearer()], READ);
    assert_eq!(denial.status(), 400);
    assert!(!denial.headers().contains_key("www-authenticate"));
}

#[test]
fn the_scopes_of_an_operation_are_not_shown_to_a_client_with_a_token_that_is_not_genuine() {
    for token in [
        token().forged_by(forger()),
        token().forged_by(forger()).expired(),
        token().forged_by(forger()).claim("aud", "https://billing.example"),
        token().claim("iss", OTHER),
        token().header("typ", "JWT"),
        token().actor_with_issuer(OTHER, "agent-7"),
    ] {
        let denial = denied(&token, READ);
        assert!(!challenge(&denial).contains("scope="), "{denial}");
    }
}

#[test]
fn a_client_that_needs_a_new_token_learns_the_scope_again() {
    let delegated = || Require::scope(WRITE).delegated();
    for (denial, scope) in [
        (answer(&guard(), &[], READ), READ),
        (denied(&token().expired(), READ), READ),
        (denied(&token().claim("aud", "https://billing.example"), READ), READ),
        (denied(&token().scope("orders:write"), delegated()), WRITE),
        (denied(&token(), delegated()), WRITE),
    ] {
        assert_eq!(denial.status(), 401);
        assert_eq!(denial.challenge().unwrap().scope(), [scope], "{denial}");
    }
}

/// One denial of each kind that a request can have.
fn denials() -> Vec<Denial> {
    let down = |_: KeyHint<'_>| Answer::Now(Err(KeysUnavailable::new("the door is shut")));
    let down = Guard::new(ORDERS, Issuer::new(LOGIN, down)).clock(now);
    let high = Require::scope(WRITE).acr([PHR]).max_age(secs(60));
    let raw = bound().sign();
    let proved = |guard: &Guard| ask_with_proof(guard, &raw, &proof(&raw), READ).unwrap_err();
    let remembered = |answer| proved(&guard().dpop(dpop(), store_that(answer).0));
    let spent = guard().replay(store_that(|| Ok(Remembered::Again)).0);
    let nonces = guard().dpop(dpop().nonces(Nonces::new([1; 32])), store());
    let certificate = ClientCertificate::from_der("ours");
    vec![
        answer(&nonces, &[], READ),
        proved(&nonces),
        proved(&guard()),
        ask(&proof_guard(), &bound(), READ).unwrap_err(),
        ask(&proof_guard().sender_constrained(), &token(), READ).unwrap_err(),
        remembered(|| Ok(Remembered::Again)),
        remembered(|| Ok(Remembered::ShareFull)),
        remembered(|| Err(StoreUnavailable::new("the door is shut"))),
        denied(&token().bound_to_certificate(certificate), READ),
        ask(&spent, &token().scope("orders:read"), Require::scope(READ).single_use()).unwrap_err(),
        answer(&guard().secure_transport(|_| false), &[], READ),
        answer(&guard().limits(TokenLimits::default().max_bytes(4)), &[&token().bearer()], READ),
        answer(&guard(), &["Bearer a", "Bearer b"], READ),
        answer(&guard(), &[], READ),
        answer(&guard(), &["Basic a"], READ),
        answer(&guard(), &["Bearer"], READ),
        answer(&guard(), &["Bearer opaque"], READ),
        ask(&down, &token(), READ).unwrap_err(),
        denied(&token().header("kid", "nobody"), READ),
        denied(&token().forged_by(forger()), READ),
        denied(&token().expired(), READ),
        denied(&token().not_yet_valid(), READ),
        denied(&token(), Require::scope(READ).client([(LOGIN, "nobody")])),
        denied(&token().subject("test-client"), high.clone()),
        denied(&token().actor("a"), Require::scope(READ).undelegated()),
        denied(&token(), high),
        denied(&token(), READ),
        denied(&token(), Require::any_scope([])),
        Denial::from(Reason::InternalError),
    ]
}

#[test]
fn no_denial_may_be_stored() {
    for denial in denials() {
        assert_eq!(denial.headers()["cache-control"], "no-store", "{denial}");
    }
}

#[test]
fn every_401_has_a_challenge_and_a_503_says_when_to_come_back() {
    let mut waits = 0;
    for denial in denials() {
        let headers = denial.headers();
        if denial.status() == StatusCode::UNAUTHORIZED {
            assert!(headers.contains_key("www-authenticate"), "{denial}");
        }
        let later = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
        let unavailable = later.contains(&denial.status());
        assert_eq!(headers.contains_key("retry-after"), unavailable, "{denial}");
        if unavailable {
            waits += 1;
            let seconds: u32 = headers["retry-after"].to_str().unwrap().parse().unwrap();
            assert!(seconds > 0);
            assert!(!headers.contains_key("www-authenticate"));
        }
    }
    assert_eq!(waits, 3);
}

#[test]
fn the_response_of_a_denial_has_its_status_its_headers_and_itself() {
    for denial in denials() {
        let (reason, headers) = (denial.reason(), denial.headers());
        let response = denial.respond("body");
        assert_eq!(response.status(), reason.status());
        assert_eq!(response.headers(), &headers);
        assert_eq!(*response.body(), "body");
        let carried = response.extensions().get::<Denial>().unwrap();
        assert_eq!(carried.reason(), reason);
    }
}

// What the client may learn.

type Told = (StatusCode, HeaderMap, Value);

fn told(denial: &Denial) -> Told {
    let mut problem: Value = serde_json::from_str(&denial.problem_json()).unwrap();
    problem.as_object_mut().unwrap().remove("decision");
    (denial.status(), denial.headers(), problem)
}

#[test]
fn an_unknown_key_looks_like_a_bad_signature() {
    let mut set: Value = serde_json::from_str(&login().jwks()).unwrap();
    set["keys"][0]["use"] = json!("enc");
    let unusable = KeySet::from_json(&set.to_string()).unwrap();
    let unusable = Guard::new(ORDERS, Issuer::new(LOGIN, unusable)).clock(now);

    let forged = denied(&token().forged_by(forger()), READ);
    let unknown = denied(&token().header("kid", "nobody"), READ);
    let unusable = ask(&unusable, &token(), READ).unwrap_err();
    assert_eq!(forged.reason(), Reason::SignatureInvalid);
    assert_eq!(unknown.reason(), Reason::KeyNotFound);
    assert_eq!(unusable.reason(), Reason::KeyUnusable);
    assert_eq!(told(&unknown), told(&forged));
    assert_eq!(told(&unusable), told(&forged));
}

#[test]
fn an_untrusted_actor_looks_like_one_that_is_not_permitted() {
    let local = denied(&token().actor("a"), Require::scope(READ).undelegated());
    let foreign = denied(&token().actor_with_issuer(OTHER, "a"), READ);
    assert_eq!(local.reason(), Reason::ActorUnauthorized);
    assert_eq!(foreign.reason(), Reason::ActorUntrusted);
    assert_eq!(told(&foreign), told(&local));
}

#[test]
fn a_client_that_is_not_allowed_looks_like_a_rule_that_says_no() {
    let client = denied(&token(), Require::scope(READ).client([(LOGIN, "nobody")]));
    assert_eq!(client.reason(), Reason::ClientNotAllowed);

    let grant = ask(&guard(), &token().scope("orders:read"), READ).unwrap();
    let refused = guard().refuse(&grant);
    assert_eq!(refused.reason(), Reason::PolicyDenied);
    assert_eq!(told(&client), told(&refused));

    let impossible = denied(&token(), Require::any_scope([]));
    assert_eq!(told(&client), told(&impossible));
}

#[test]
fn what_a_client_sees_of_a_reason_never_names_keys_clients_or_other_domains() {
    for reason in Reason::ALL {
        let told = told(&Denial::from(*reason));
        let name = told.2["reason"].as_str().unwrap();
        assert_eq!(name, reason.for_client().as_str());
        assert!(
            !["key_not_found", "key_unusable", "client_not_allowed", "actor_untrusted"]
                .contains(&name),
            "{reason}"
        );
    }
}

// The body.

#[test]
fn a_problem_says_what_the_challenge_says() {
    let requirement = Require::from([READ, WRITE]).acr([PHR, LOA3]).max_age(secs(300));
    let denial = denied(&token().acr("low"), requirement);
    let problem: Value = serde_json::from_str(&denial.problem_json()).unwrap();
    assert_eq!(
        problem,
        json!({
            "type": "about:blank",
            "title": "A different authentication level is required",
            "status": 401,
            "error": "insufficient_user_authentication",
            "reason": "authentication_context_missing",
            "acr_values": ["phr", "urn:example:loa:3"],
            "max_age": 300,
            "required_scopes": ["orders:read", "orders:write"],
            "resource_metadata": "https://orders.example/.well-known/oauth-protected-resource",
            "decision": denial.decision().unwrap().to_string(),
        })
    );
}

#[test]
fn a_problem_without_a_challenge_has_no_more_than_its_reason() {
    let denial = denied(&token(), Require::scope(READ).client([(LOGIN, "nobody")]));
    assert_eq!(
        told(&denial).2,
        json!({
            "type": "about:blank",
            "title": "The request is not permitted",
            "status": 403,
            "reason": "policy_denied",
        })
    );
}

#[test]
fn nothing_of_the_token_is_in_the_answer() {
    let secretive = token()
        .subject("subject-name")
        .client("client-name")
        .actor("actor-name")
        .claim("jti", "token-name")
        .scope("scope-name")
        .acr("acr-name");
    let requirement = Require::scope(READ).acr([PHR]);
    for denial in [
        denied(&secretive, requirement.clone()),
        denied(&secretive.clone().expired(), READ),
        denied(&secretive.clone().claim("aud", "audience-name"), READ),
        denied(&secretive.clone().claim("iss", "issuer-name"), READ),
        denied(&secretive.header("kid", "key-name"), READ),
    ] {
        let shown = format!("{:?} {}", denial.headers(), denial.problem_json());
        assert!(!shown.contains("-name"), "{shown}");
    }
}

#[test]
fn descriptions_are_constants() {
    for (first, second) in [
        (denied(&token().claim("aud", "a"), READ), denied(&token().claim("aud", "b"), READ)),
        (denied(&token().claim("iss", "a"), READ), denied(&token().claim("iss", "b"), READ)),
        (denied(&token().without_claim("jti"), READ), denied(&token().without_claim("sub"), READ)),
    ] {
        assert_eq!(told(&first), told(&second));
    }
}

#[test]
fn a_remedy_of_step_up_or_scope_comes_with_what_to_ask_for() {
    for denial in denials() {
        let challenge = denial.challenge();
        match denial.reason().remedy() {
            Remedy::StepUp => assert!(!challenge.unwrap().acr_values().is_empty()),
            Remedy::MoreScope => assert!(!challenge.unwrap().scope().is_empty()),
            Remedy::Stop => {
                let challenge = challenge.map(|c| (c.acr_values().len(), c.scope().len()));
                assert!(matches!(challenge, None | Some((0, 0))), "{denial}");
            }
            _ => {}
        }
    }
}

// A challenge can be read back.

/// Reads one challenge: RFC 9110 section 11.6.1 with every value a quoted string and no escapes,
/// as RFC 6750 section 3 writes it.
fn parse(challenge: &str) -> Option<Vec<(String, String)>> {
    let is_token =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let mut rest = challenge.strip_prefix("Bearer ")?;
    let mut parameters = Vec::new();
    loop {
        let (name, after) = rest.split_once("=\"")?;
        let (value, after) = after.split_once('"')?;
        let in_grammar = value.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'\\');
        let repeated = parameters.iter().any(|(n, _)| n == name);
        if !is_token(name) || !in_grammar || repeated {
            return None;
        }
        parameters.push((name.to_owned(), value.to_owned()));
        if after.is_empty() {
            return Some(parameters);
        }
        rest = after.strip_prefix(", ")?;
    }
}

#[test]
fn the_reader_of_challenges_is_strict() {
    assert!(parse(r#"Bearer a="b", c="d""#).is_some());
    for bad in [
        "",
        "Bearer",
        "Bearer ",
        r#"bearer a="b""#,
        r#"Bearer a=b"#,
        r#"Bearer a="b",c="d""#,
        r#"Bearer a="b", "#,
        r#"Bearer a="b" c="d""#,
        r#"Bearer a="b\"c""#,
        r#"Bearer a="b", a="c""#,
        "Bearer a=\"b\u{1}\"",
    ] {
        assert_eq!(parse(bad), None, "{bad}");
    }
}

/// A token that meets no requirement that is generated.
fn poor_token() -> AccessToken {
    validate(&token().acr("\u{e9}").claim("auth_time", 0)).unwrap()
}

/// One name in the grammar of scopes and classes.
fn name() -> impl Strategy<Value = String> {
    r"[!#-\[\]-~]{1,20}"
}

fn audience() -> impl Strategy<Value = Audience> {
    r"https://[a-z]{1,8}\.example(:8443)?(/[a-zA-Z0-9._~-]{1,8}){0,3}(\?[a-z]{1,3}=[a-z0-9]{1,3})?"
        .prop_map(|name| Audience::new(name).unwrap())
}

proptest! {
    #![proptest_config(crate::common::cases())]

    #[test]
    fn a_challenge_reads_back_as_what_was_asked(
        scopes in prop::collection::vec(name(), 1..5),
        classes in prop::collection::vec(name(), 0..4),
        age in prop::option::of(0_u64..100_000),
        audience in audience(),
    ) {
        let scope = |name: &String| Scope::new(name.clone()).unwrap();
        let mut requirement = scopes
            .iter()
            .map(scope)
            .fold(Require::valid_token(), Require::and);
        if !classes.is_empty() {
            requirement =
                requirement.acr(classes.iter().map(|class| Acr::new(class.clone()).unwrap()));
        }
        if let Some(age) = age {
            requirement = requirement.max_age(secs(age));
        }
        let unmet = requirement.check(&poor_token(), now()).unwrap_err();
        let url = MetadataUrl::for_resource(&audience).unwrap();
        let denial = Denial::from(&unmet).with_resource_metadata(&url);
        let challenge = denial.challenge().unwrap();

        let value = challenge.to_header_values().next().unwrap();
        let text = value.to_str().unwrap();
        prop_assert_eq!(text, challenge.to_string());
        let parameters = parse(text);
        prop_assert!(parameters.is_some(), "{}", text);
        let parameters = parameters.unwrap();

        let distinct = |names: &[String]| {
            let mut kept: Vec<&str> = Vec::new();
            for name in names {
                if !kept.contains(&&**name) {
                    kept.push(name);
                }
            }
            kept.join(" ")
        };
        let reason = unmet.reason();
        let mut expected = vec![
            ("error", reason.oauth_error().unwrap().to_owned()),
            ("error_description", reason.description().to_owned()),
        ];
        if !classes.is_empty() {
            expected.push(("acr_values", distinct(&classes)));
        }
        if let Some(age) = age {
            expected.push(("max_age", age.to_string()));
        }
        expected.push(("scope", distinct(&scopes)));
        expected.push(("resource_metadata", url.to_string()));
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        prop_assert_eq!(parameters, expected);
    }

    #[test]
    fn the_place_of_metadata_is_at_the_host_of_the_resource(audience in audience()) {
        let url = MetadataUrl::for_resource(&audience).unwrap().to_string();
        let resource: http::Uri = audience.as_str().parse().unwrap();
        let found: http::Uri = url.parse().unwrap();
        prop_assert_eq!(found.scheme(), resource.scheme());
        prop_assert_eq!(found.authority(), resource.authority());
        prop_assert_eq!(found.query(), resource.query());
        let expected = "/.well-known/oauth-protected-resource".to_owned()
            + resource.path().trim_end_matches('/');
        prop_assert_eq!(found.path(), expected);
    }
}
