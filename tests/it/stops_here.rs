//! The token stops at the guard: no field that has it, and no certificate field, reaches what is behind.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use crate::common::*;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response};
use tower::{Layer, ServiceExt, service_fn};
use unconfused::layer::GuardLayer;
use unconfused::token::{KeyHint, TokenLimits};
use unconfused::{Answer, Grant, Guard, Issuer, Scope};

const READ: Scope = Scope::from_static("orders:read");

/// A guard whose keys are at hand, and one that waits for them.
fn guards() -> [Guard; 2] {
    let keys = login().keys();
    let slow = Issuer::new(LOGIN, move |_: KeyHint<'_>| {
        let keys = keys.clone();
        Answer::later(async move {
            tokio::task::yield_now().await;
            Ok(keys)
        })
    });
    [guard(), Guard::new(ORDERS, slow).clock(now)]
}

/// The head that comes through the layer.
async fn behind(layer: GuardLayer, head: Parts) -> Option<Parts> {
    let seen = Arc::new(Mutex::new(None));
    let inner = seen.clone();
    let service = service_fn(move |request: Request<String>| {
        *inner.lock().unwrap() = Some(request.into_parts().0);
        std::future::ready(Ok::<_, Infallible>(Response::new(String::new())))
    });
    let request = Request::from_parts(head, String::new());
    let Ok(_) = layer.layer(service).oneshot(request).await;
    seen.lock().unwrap().take()
}

/// The head after each way through a guard: a layer and `authorize`, with keys at hand and after a wait.
async fn behind_each_guard(change: impl Fn(Guard) -> Guard, head: &Parts) -> Vec<Parts> {
    let mut heads = Vec::new();
    for guard in guards() {
        let guard = change(guard);
        heads.push(behind(guard.require(READ), head.clone()).await.expect("a grant"));
        heads.push(behind(guard.optional(READ), head.clone()).await.expect("a grant"));
        let mut head = head.clone();
        guard.authorize(&mut head, READ).await.expect("a grant");
        heads.push(head);
    }
    heads
}

fn with_fields(raw: &str, fields: &[(&str, String)]) -> Parts {
    let mut head = head("/orders", &[&format!("Bearer {raw}")]);
    for (name, value) in fields {
        let value = HeaderValue::from_str(value).unwrap();
        head.headers.append(name.parse::<HeaderName>().unwrap(), value);
    }
    head
}

fn names(head: &Parts) -> Vec<&str> {
    let mut names: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

// The token.

#[tokio::test]
async fn every_field_that_has_the_token_is_removed_whole() {
    let raw = token().scope("orders:read").sign();
    let another = token().scope("orders:read").subject("bob").sign();
    let head = with_fields(
        &raw,
        &[
            ("x-forwarded-access-token", raw.clone()),
            ("x-auth-request-access-token", raw.clone()),
            ("proxy-authorization", format!("Bearer {raw}")),
            ("cookie", format!("theme=dark; session=\"{raw}\"; lang=en")),
            ("x-original-authorization", format!("bearer {raw}")),
            ("referer", format!("https://orders.example/?access_token={raw}&x=1")),
            ("x-json", format!("{{\"token\":\"{raw}\"}}")),
            ("x-list", "one".to_owned()),
            ("x-list", format!("two, {raw}")),
            ("x-list", "three".to_owned()),
            ("x-kept", "short".to_owned()),
            ("x-long", "long".repeat(1000)),
            ("x-another", another.clone()),
            // A part of the token is not the token.
            ("x-part", raw[..raw.len() - 1].to_owned()),
        ],
    );
    for head in behind_each_guard(|guard| guard, &head).await {
        for (name, value) in &head.headers {
            assert!(!value.to_str().unwrap().contains(&raw), "{name}");
        }
        assert_eq!(names(&head), ["cache-control", "x-another", "x-kept", "x-long", "x-part"]);
        // Not even the grant shows it.
        let grant = head.extensions.get::<Grant>().unwrap();
        assert!(!format!("{grant:?} {grant:#?}").contains(&raw));
    }
}

#[tokio::test]
async fn a_field_that_is_not_text_can_have_the_token_too() {
    let raw = token().scope("orders:read").sign();
    let mut head = with_fields(&raw, &[]);
    let value = [b"\xff\xfe=", raw.as_bytes(), b"\xfd"].concat();
    head.headers.insert("x-bytes", HeaderValue::from_bytes(&value).unwrap());
    head.headers.insert("x-kept", HeaderValue::from_bytes(b"\xff\xfe").unwrap());
    for head in behind_each_guard(|guard| guard, &head).await {
        assert_eq!(names(&head), ["cache-control", "x-kept"]);
    }
}

#[tokio::test]
async fn a_layer_further_in_removes_what_was_put_back() {
    let raw = token().scope("orders:read").sign();
    let guard = guard();
    let mut head = with_fields(&raw, &[]);
    guard.authorize(&mut head, READ).await.unwrap();
    head.headers.insert("x-access-token", HeaderValue::from_str(&raw).unwrap());
    let head = behind(guard.require(READ), head).await.unwrap();
    assert_eq!(names(&head), ["cache-control"]);
}

#[tokio::test]
async fn a_token_in_the_query_stays_in_the_uri() {
    let raw = token().scope("orders:read").sign();
    let mut head = with_fields(&raw, &[]);
    let uri = format!("/orders?access_token={raw}");
    head.uri = uri.parse().unwrap();
    for head in behind_each_guard(|guard| guard, &head).await {
        assert_eq!(head.uri.to_string(), uri);
    }
}

#[tokio::test]
async fn a_denied_request_keeps_its_fields() {
    let raw = token().sign();
    let given = with_fields(&raw, &[("x-forwarded-access-token", raw.clone())]);
    for guard in guards() {
        let mut head = given.clone();
        let denial = guard.authorize(&mut head, READ).await.unwrap_err();
        assert!(head.headers.contains_key("authorization"), "{denial}");
        assert_eq!(head.headers, given.headers);
    }
}

// Certificates.

const CERTIFICATE_FIELDS: [&str; 26] = [
    "client-cert",
    "client-cert-chain",
    "x-forwarded-client-cert",
    "ssl-client-cert",
    "x-ssl-client-cert",
    "x-forwarded-tls-client-cert",
    "x-forwarded-tls-client-cert-info",
    "x-amzn-mtls-clientcert",
    "x-amzn-mtls-clientcert-leaf",
    "x-amzn-mtls-clientcert-serial-number",
    "x-amzn-mtls-clientcert-issuer",
    "x-amzn-mtls-clientcert-subject",
    "x-amzn-mtls-clientcert-validity",
    "x-arr-clientcert",
    "x-client-cert",
    "x-client-cert-hash",
    "x-client-cert-present",
    "x-client-cert-chain-verified",
    "x-client-certificate",
    "cf-client-cert-der-base64",
    "cf-client-cert-sha256",
    "ssl_client_cert",
    "x-tls-client-certificate",
    "client-certificate",
    "x-clientcertificate",
    "dpop",
];

const KEPT: [&str; 6] =
    ["client-id", "x-certainly", "x-client", "x-concert", "x-our-identity", "x-ssl-cipher"];

#[tokio::test]
async fn what_proxies_say_of_certificates_is_removed() {
    let raw = token().scope("orders:read").sign();
    let mut fields: Vec<_> =
        CERTIFICATE_FIELDS.iter().chain(&KEPT).map(|name| (*name, "x".to_owned())).collect();
    fields.extend(CERTIFICATE_FIELDS.map(|name| (name, "twice".to_owned())));
    let head = with_fields(&raw, &fields);
    for head in behind_each_guard(|guard| guard, &head).await {
        let expected: Vec<_> = ["cache-control"].iter().chain(&KEPT).copied().collect();
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(names(&head), expected);
    }
}

#[tokio::test]
async fn the_owner_names_more_certificate_fields() {
    let ours = [HeaderName::from_static("x-our-identity"), HeaderName::from_static("x-client")];
    let more = |guard: Guard| {
        let [first, second] = ours.clone();
        guard.certificate_fields([first]).certificate_fields([second])
    };
    let raw = token().scope("orders:read").sign();
    let fields = ["client-cert", "x-our-identity", "x-client", "x-kept"];
    let head = with_fields(&raw, &fields.map(|name| (name, "x".to_owned())));
    for head in behind_each_guard(more, &head).await {
        assert_eq!(names(&head), ["cache-control", "x-kept"]);
    }
}

#[tokio::test]
async fn an_optional_guard_removes_them_without_a_credential_too() {
    let mut head = with_fields("", &CERTIFICATE_FIELDS.map(|name| (name, "x".to_owned())));
    head.headers.remove("authorization");
    for name in KEPT {
        head.headers.insert(name, HeaderValue::from_static("x"));
    }
    for guard in guards() {
        let guard = guard.certificate_fields([HeaderName::from_static("x-our-identity")]);
        let head = behind(guard.optional(READ), head.clone()).await.unwrap();
        let mut expected = KEPT.to_vec();
        expected.retain(|name| *name != "x-our-identity");
        assert_eq!(names(&head), expected);
    }
}

// Caches.

#[tokio::test]
async fn a_granted_request_tells_caches_behind_the_guard_to_store_nothing() {
    let raw = token().scope("orders:read").sign();
    for (sent, passed_on) in [
        (&[][..], &["no-store"][..]),
        (&["max-age=0"], &["max-age=0", "no-store"]),
        (&["no-cache", "max-age=0"], &["no-cache", "max-age=0", "no-store"]),
    ] {
        let fields: Vec<_> =
            sent.iter().map(|value| ("cache-control", value.to_string())).collect();
        let head = with_fields(&raw, &fields);
        for head in behind_each_guard(|guard| guard, &head).await {
            let values: Vec<_> = head.headers.get_all("cache-control").iter().collect();
            assert_eq!(values, passed_on);
        }
    }
}

#[tokio::test]
async fn layers_of_one_request_say_no_store_once() {
    let raw = token().scope("orders:read").sign();
    let guard = guard();
    let mut head = with_fields(&raw, &[]);
    guard.authorize(&mut head, READ).await.unwrap();
    guard
        .clone()
        .limits(TokenLimits::default().max_audiences(1))
        .authorize(&mut head, READ)
        .await
        .unwrap();
    let head = behind(guard.require(READ), head).await.unwrap();
    assert_eq!(head.headers.get_all("cache-control").iter().count(), 1);
}

#[tokio::test]
async fn a_request_that_passes_without_a_grant_may_be_cached() {
    let head = head("/orders", &[]);
    let head = behind(guard().optional(READ), head).await.unwrap();
    assert!(head.headers.is_empty());
}
