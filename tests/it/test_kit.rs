//! What users test with: tokens in the form of a vendor, keys that are kept, metadata that is served.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::common::vendors::{vendor, vendors};
use crate::common::*;
use axum::Router;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use unconfused::keys::Algorithm;
use unconfused::profile::{ClaimRule, Profile, ScopeShape};
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::{Guard, Issuer, Reason, Require, Scope};

/// The header and the claims of a signed token.
fn read(token: &TestToken) -> [Value; 2] {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let token = token.sign();
    let mut parts = token.split('.');
    [(); 2].map(|()| {
        let part = URL_SAFE_NO_PAD.decode(parts.next().unwrap()).unwrap();
        serde_json::from_slice(&part).unwrap()
    })
}

// Profiles

#[test]
fn a_token_in_the_form_of_each_vendor_is_granted_and_reads_as_it_was_made() {
    for vendor in vendors() {
        let name = vendor.name;
        let login = TestIssuer::new(vendor.issuer).profile(vendor.profile.clone());
        let token = login.token(&ORDERS).issued_at(now()).subject("bob").client("web");
        let (typ, token) = (vendor.typ(), token.scope("orders:read orders:write"));
        let guard = Guard::new(ORDERS, login.issuer()).clock(now);
        let grant = token.granted_by(&guard, Require::valid_token());
        assert_eq!(grant.subject().name(), "bob", "{name}");
        assert_eq!(grant.client_id(), Some("web"), "{name}");
        assert!(grant.jti().is_some(), "{name}");
        assert_eq!(grant.is_person(), vendor.user_reading.is_person, "{name}");
        assert!(grant.actor().is_none(), "{name}");
        let scopes: Vec<_> = grant.scopes().collect();
        assert_eq!(scopes, ["orders:read", "orders:write"], "{name}");

        let [header, claims] = read(&token);
        assert_eq!(header.get("typ").and_then(Value::as_str), typ, "{name}");
        assert_eq!(claims[vendor.subject.claim], "bob", "{name}");
        assert_eq!(claims[vendor.client.claim], "web", "{name}");
        assert!(claims[vendor.token_id.claim].is_string(), "{name}");
        if let Some(tenant) = vendor.tenant {
            let own = login.token(&ORDERS).issued_at(now());
            let tenant_of = |token: TestToken| {
                let grant = token.granted_by(&guard, Require::valid_token());
                grant.tenant().map(str::to_owned)
            };
            let first = claims.get(tenant).and_then(Value::as_str).map(str::to_owned);
            assert_eq!(tenant_of(own.clone()), first, "{name}");
            let tenant = first.unwrap_or_else(|| "acme".to_owned());
            assert_eq!(tenant_of(own.tenant(&tenant)), Some(tenant), "{name}");
        }

        // A guard without the profile refuses it, if the profile is not only a way to read more.
        let plain = Guard::new(ORDERS, Issuer::new(vendor.issuer, login.keys())).clock(now);
        let denial = ask(&plain, &token, Require::valid_token()).err();
        if vendor.without_profile == Some(Reason::TokenTypeMismatch.as_str()) {
            assert_eq!(denial.unwrap().reason(), Reason::TokenTypeMismatch, "{name}");
        }
    }
}

#[test]
fn every_kind_of_rule_that_a_profile_requires_is_met() {
    for (rule, claim, value) in [
        (ClaimRule::present("use"), "use", "present"),
        (ClaimRule::is("use", "api"), "use", "api"),
        (ClaimRule::starts_with("use", "api"), "use", "api"),
        (ClaimRule::ends_with("use", "api"), "use", "api"),
        (ClaimRule::lists("use", "api"), "use", "api"),
        (ClaimRule::same("azp", "client_id"), "azp", "test-client"),
        (ClaimRule::names_client("use", "a-", "-z"), "use", "a-test-client-z"),
    ] {
        let profile = Profile::rfc9068().requires_one_of([rule, ClaimRule::is("never", "asked")]);
        let login = TestIssuer::new(LOGIN).profile(profile);
        let token = login.token(&ORDERS).issued_at(now());
        let [_, claims] = read(&token);
        assert_eq!(claims[claim], value);
        assert_eq!(claims.get("never"), None);
        let guard = Guard::new(ORDERS, login.issuer()).clock(now);
        token.granted_by(&guard, Require::valid_token());
    }
}

#[test]
fn one_scope_or_several_are_written_in_the_shape_of_the_profile() {
    for (shape, one, two) in [
        (ScopeShape::Text, json!("a"), json!("a b")),
        (ScopeShape::Array, json!(["a"]), json!(["a", "b"])),
        (ScopeShape::Either, json!("a"), json!(["a", "b"])),
    ] {
        let profile = Profile::rfc9068().scope_claims([("scp", shape)]);
        let token = TestIssuer::new(LOGIN).profile(profile).token(&ORDERS);
        assert_eq!(read(&token.clone().scope("a"))[1]["scp"], one);
        assert_eq!(read(&token.scope("a b"))[1]["scp"], two);
    }
}

#[test]
fn a_tenant_is_that_of_the_issuers_name_and_a_claim_of_another_is_refused() {
    let entra = vendor("entra_v2");
    let login = TestIssuer::new(entra.issuer).profile(entra.profile);
    let guard = Guard::new(ORDERS, login.issuer()).clock(now);
    let token = login.token(&ORDERS).issued_at(now()).tenant("another");
    let denial = ask(&guard, &token, Require::valid_token()).unwrap_err();
    assert_eq!(denial.reason(), Reason::TenantMismatch);
    let no_claim = AssertUnwindSafe(|| drop(token.clone().tenant("x")));
    assert!(catch_unwind(no_claim).is_ok());
    assert!(catch_unwind(|| drop(super::common::token().tenant("x"))).is_err());
}

// Keys

#[test]
fn a_key_that_was_written_down_signs_for_the_same_issuer_again() {
    for algorithm in [
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::Es512,
        Algorithm::Ed25519,
        Algorithm::EdDsa,
        Algorithm::Rs256,
        Algorithm::Ps384,
    ] {
        let first = login_with(algorithm);
        let second = TestIssuer::from_jwk(LOGIN, &first.signing_jwk());
        let json = |text: String| serde_json::from_str::<Value>(&text).unwrap();
        assert_eq!(json(first.jwks()), json(second.jwks()), "{algorithm:?}");
        assert_eq!(json(first.signing_jwk()), json(second.signing_jwk()), "{algorithm:?}");
        let guard = Guard::new(ORDERS, second.issuer()).clock(now);
        for issuer in [&first, &second] {
            issuer.token(&ORDERS).issued_at(now()).granted_by(&guard, Require::valid_token());
        }
    }
}

#[test]
fn a_key_without_id_and_algorithm_gets_both() {
    for algorithm in [Algorithm::Es384, Algorithm::Ed25519, Algorithm::Rs256] {
        let issuer = login_with(algorithm);
        let mut jwk: Value = serde_json::from_str(&issuer.signing_jwk()).unwrap();
        for name in ["alg", "kid", "use"] {
            jwk.as_object_mut().unwrap().remove(name);
        }
        jwk["key_ops"] = json!(["sign"]);
        let read_again = TestIssuer::from_jwk(LOGIN, &jwk.to_string());
        let token = read_again.token(&ORDERS).issued_at(now());
        let [header, _] = read(&token);
        assert_eq!(header["alg"], algorithm.as_str());
        assert_eq!(header["kid"], issuer.keys().thumbprints().next().unwrap());
        let guard = Guard::new(ORDERS, read_again.issuer()).clock(now);
        token.granted_by(&guard, Require::valid_token());
    }
}

#[test]
fn an_issuer_whose_key_was_read_rotates_to_another_id() {
    let first = TestIssuer::new(LOGIN);
    let second = TestIssuer::from_jwk(LOGIN, &first.signing_jwk());
    let old = second.token(&ORDERS).issued_at(now());
    second.rotate();
    let new = second.token(&ORDERS).issued_at(now());
    assert_ne!(read(&old)[0]["kid"], read(&new)[0]["kid"]);
    let guard = Guard::new(ORDERS, second.issuer()).clock(now);
    for token in [old, new] {
        token.granted_by(&guard, Require::valid_token());
    }
}

#[test]
fn what_is_not_a_private_key_panics_and_is_not_shown() {
    let issuer = TestIssuer::new(LOGIN);
    let mut mixed: Value = serde_json::from_str(&issuer.signing_jwk()).unwrap();
    mixed["crv"] = json!("P-384");
    let public: Value = serde_json::from_str(&issuer.jwks()).unwrap();
    for bad in [
        String::new(),
        "[]".to_owned(),
        "{}".to_owned(),
        issuer.jwks(),
        public["keys"][0].to_string(),
        mixed.to_string(),
        r#"{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}"#.to_owned(),
        r#"{"kty":"oct","k":"c2VjcmV0"}"#.to_owned(),
        issuer.signing_jwk().replace("ES256", "RS256"),
    ] {
        let panicked = catch_unwind(|| drop(TestIssuer::from_jwk(LOGIN, &bad))).unwrap_err();
        let message = panicked.downcast_ref::<String>().unwrap();
        assert!(!message.contains("c2VjcmV0"), "{message}");
    }
}

// Metadata

async fn get(router: &Router, path: &str) -> (u16, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_router_serves_the_metadata_wherever_a_client_may_look_and_the_keys_of_the_moment() {
    for (name, path, others) in [
        ("https://login.example", "", vec![]),
        ("https://login.example/", "", vec![]),
        ("https://login.example/t/1", "/t/1", vec!["/t/1/.well-known/openid-configuration"]),
    ] {
        let login = TestIssuer::new(name);
        let router = login.router();
        let well_known = ["oauth-authorization-server", "openid-configuration"];
        let mut places: Vec<_> =
            well_known.iter().map(|file| format!("/.well-known/{file}{path}")).collect();
        places.extend(others.into_iter().map(str::to_owned));
        for place in places {
            assert_eq!(get(&router, &place).await, (200, login.metadata()), "{place}");
        }
        let metadata: Value = serde_json::from_str(&login.metadata()).unwrap();
        assert_eq!(metadata["issuer"], name);
        let jwks = metadata["jwks_uri"].as_str().unwrap();
        let jwks = jwks.strip_prefix("https://login.example").unwrap();
        assert_eq!(get(&router, jwks).await, (200, login.jwks()));
        login.rotate();
        assert_eq!(get(&router, jwks).await, (200, login.jwks()));
        assert_eq!(get(&router, "/elsewhere").await.0, 404);
    }
}

#[tokio::test]
async fn discovery_finds_an_issuer_that_is_served() {
    const READ: Scope = Scope::from_static("orders:read");
    for path in ["", "/realms/one"] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}{path}", listener.local_addr().unwrap());
        let login = TestIssuer::new(&url);
        let router: Router = login.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let client = client.build().unwrap();
        let guard =
            Guard::new(ORDERS, Issuer::discover_without_tls_on_loopback(&url, client).unwrap());
        assert!(guard.ready().await.is_ready(), "{}", guard.readiness());
        login.token(&ORDERS).scope("orders:read").granted_by(&guard, READ);
    }
}
