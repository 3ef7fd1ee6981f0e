//! Tokens that are bound to a key of this service: proofs at the token endpoint and at the resource.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use unconfused::approvals::SigningKey;
use unconfused::keys::{Algorithm, KeySet};
use unconfused::next_hop::NextHop;
use unconfused::proof::{Dpop, Nonces};
use unconfused::replay::MemoryReplayStore;
use unconfused::testing::TestIssuer;
use unconfused::{Answer, Guard, Reason};

use crate::server::{CHARGE, Orders, PAYMENTS, REFUND, answer, ok, with_status};

fn part(jwt: &str, index: usize) -> Value {
    let part = jwt.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn thumbprint(key: &SigningKey) -> String {
    let set = format!(r#"{{"keys":[{}]}}"#, key.public_jwk());
    KeySet::from_json(&set).unwrap().thumbprints().next().unwrap()
}

fn bound(login: &TestIssuer, jkt: &str) -> String {
    let token = login.token(&PAYMENTS).scope("payments:charge").claim("cnf", json!({ "jkt": jkt }));
    token.lifetime(std::time::Duration::from_secs(300)).sign()
}

fn dpop_answer(token: &str) -> Value {
    let mut answer = ok(token);
    answer["token_type"] = "DPoP".into();
    answer
}

fn set_up(algorithm: Algorithm) -> (Orders, NextHop, String) {
    let orders = Orders::new();
    let key = SigningKey::generate(algorithm, "hop");
    let jkt = thumbprint(&key);
    let server = orders.server.token_server().dpop(key).unwrap();
    let hop = server.to(PAYMENTS.as_str(), [CHARGE]).unwrap().needs(REFUND);
    (orders, hop, jkt)
}

#[tokio::test]
async fn a_bound_token_passes_a_guard_that_accepts_nothing_else_also_with_nonces() {
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let (orders, hop, jkt) = set_up(algorithm);
        orders.server.respond_json(200, &dpop_answer(&bound(&orders.server.login, &jkt)));
        let token = orders.token(&hop).await.unwrap();

        let dpop = Dpop::for_base_url(PAYMENTS.as_str()).unwrap().nonces(Nonces::new([7; 32]));
        let payments = Guard::new(PAYMENTS, orders.server.login.issuer())
            .dpop(dpop, MemoryReplayStore::new_at(time::UtcDateTime::UNIX_EPOCH))
            .sender_constrained();
        let send = || {
            let mut request =
                Request::post("https://payments.example/charges?x=1").body(()).unwrap();
            token.attach(&mut request).unwrap();
            *request.uri_mut() = "/charges?x=1".parse().unwrap();
            let (mut head, ()) = request.into_parts();
            payments.authorize(&mut head, CHARGE).now().unwrap()
        };
        // It has no nonce yet, and is told one.
        let denial = send().unwrap_err();
        assert_eq!(denial.reason(), Reason::DpopNonceRequired);
        assert!(token.wants_retry(denial.status(), &denial.headers()));
        assert_eq!(send().unwrap().subject().name(), "alice");
        // It is kept for the next request, which has a proof of its own.
        assert!(send().is_ok());
    }
}

#[tokio::test]
async fn the_token_endpoint_gets_a_proof_and_its_nonce_is_used_at_once_and_kept() {
    let (orders, hop, jkt) = set_up(Algorithm::Es256);
    let token = bound(&orders.server.login, &jkt);
    orders.server.respond(move |asked| {
        let proof = asked.headers["dpop"].to_str().unwrap();
        if part(proof, 1)["nonce"] == "n-1" {
            return answer(200, dpop_answer(&token).to_string());
        }
        let mut refused = with_status(400, r#"{"error":"use_dpop_nonce"}"#);
        refused.headers_mut().insert("dpop-nonce", "n-1".parse().unwrap());
        Answer::Now(Ok(refused))
    });
    orders.token(&hop).await.unwrap();
    let asked = orders.server.asked();
    assert_eq!(asked.len(), 2);
    let proofs: Vec<_> =
        asked.iter().map(|asked| asked.headers["dpop"].to_str().unwrap().to_owned()).collect();
    for proof in &proofs {
        let (header, claims) = (part(proof, 0), part(proof, 1));
        assert_eq!((&header["typ"], &header["alg"]), (&json!("dpop+jwt"), &json!("ES256")));
        let mut members: Vec<_> = header["jwk"].as_object().unwrap().keys().collect();
        members.sort();
        assert_eq!(members, ["crv", "kty", "x", "y"]);
        assert_eq!(claims["htm"], "POST");
        assert_eq!(claims["htu"], "https://login.example/token");
        assert!(claims.get("ath").is_none());
    }
    assert_ne!(part(&proofs[0], 1)["jti"], part(&proofs[1], 1)["jti"]);
    assert!(part(&proofs[0], 1).get("nonce").is_none());

    // The next exchange has it from the start.
    let other = orders.server.token().subject("bob").granted_by(&orders.guard, REFUND);
    hop.token(&orders.guard, &other).await.unwrap();
    assert_eq!(orders.server.asked().len(), 3);
}

#[tokio::test]
async fn a_server_that_never_likes_a_nonce_is_asked_twice() {
    let (orders, hop, _) = set_up(Algorithm::Es256);
    orders.server.respond(|_| {
        let mut refused = with_status(400, r#"{"error":"use_dpop_nonce"}"#);
        refused.headers_mut().insert("dpop-nonce", "n-1".parse().unwrap());
        Answer::Now(Ok(refused))
    });
    assert_eq!(orders.token(&hop).await.unwrap_err().reason(), Reason::NextHopUnavailable);
    assert_eq!(orders.server.asked().len(), 2);
}

#[tokio::test]
async fn a_token_that_is_not_bound_to_this_services_key_is_not_used() {
    let (orders, hop, jkt) = set_up(Algorithm::Es256);
    let login = &orders.server.login;
    let strangers = bound(login, &thumbprint(&SigningKey::generate(Algorithm::Es256, "other")));
    let unbound = login.token(&PAYMENTS).scope("payments:charge").sign();
    for body in [ok(&bound(login, &jkt)), dpop_answer(&strangers), dpop_answer(&unbound)] {
        orders.server.respond_json(200, &body);
        let denial = orders.token(&hop).await.unwrap_err();
        assert_eq!(denial.reason(), Reason::NextHopUnavailable, "{denial:?}");
    }
}

#[tokio::test]
async fn only_a_resource_that_refuses_the_nonce_asks_for_another_try() {
    let (orders, hop, jkt) = set_up(Algorithm::Es256);
    orders.server.respond_json(200, &dpop_answer(&bound(&orders.server.login, &jkt)));
    let token = orders.token(&hop).await.unwrap();
    let headers = |nonce: Option<&str>, challenge: &str| {
        let mut headers = HeaderMap::new();
        if let Some(nonce) = nonce {
            headers.insert("dpop-nonce", nonce.parse().unwrap());
        }
        headers.insert("www-authenticate", challenge.parse().unwrap());
        headers
    };
    let asks = r#"DPoP error="use_dpop_nonce", algs="ES256""#;
    let unauthorized = StatusCode::UNAUTHORIZED;
    assert!(token.wants_retry(unauthorized, &headers(Some("n"), asks)));
    for (status, headers) in [
        (unauthorized, headers(None, asks)),
        (unauthorized, headers(Some(&"n".repeat(300)), asks)),
        (unauthorized, headers(Some("n"), r#"DPoP error="invalid_token""#)),
        (unauthorized, headers(Some("n"), r#"Bearer error="use_dpop_nonce""#)),
        (StatusCode::OK, headers(Some("n"), asks)),
    ] {
        assert!(!token.wants_retry(status, &headers), "{headers:?}");
    }
    let plain = Arc::new(Orders::new());
    let bearer = plain.token(&plain.server.hop()).await.unwrap();
    assert!(!bearer.wants_retry(unauthorized, &headers(Some("n"), asks)));
}
