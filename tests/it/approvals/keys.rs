//! The keys that sign challenges: read, published, changed.

use axum::Router;
use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use unconfused::keys::KeySet;

use super::*;

/// RFC 8037 appendix A.1.
const ED25519: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"ed","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
/// RFC 7515 appendix A.3.
const P256: &str = r#"{"kty":"EC","crv":"P-256","kid":"ec","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;
const ED25519_PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";

fn pem(key: &rcgen::KeyPair) -> String {
    let key = base64::engine::general_purpose::STANDARD.encode(key.serialize_der());
    format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n")
}

#[test]
fn a_key_is_read_from_a_jwk_and_from_pem() {
    let public = |key: SigningKey| serde_json::from_str::<Value>(&key.public_jwk()).unwrap();
    let ed25519 = json!({
        "kty": "OKP", "crv": "Ed25519", "kid": "ed", "alg": "Ed25519", "use": "sig",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    });
    assert_eq!(public(SigningKey::from_jwk(ED25519).unwrap()), ed25519);
    assert_eq!(public(SigningKey::from_pem("ed", ED25519_PEM).unwrap()), ed25519);
    let es256 = SigningKey::from_jwk(P256).unwrap();
    assert_eq!((es256.kid(), es256.algorithm()), ("ec", Algorithm::Es256));
    assert!(!es256.public_jwk().contains("jpsQ"));
    let generated = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let es256 = SigningKey::from_pem("pem", &pem(&generated)).unwrap();
    assert_eq!(es256.algorithm(), Algorithm::Es256);
    let approvals = Approvals::new(es256, SECRET, LOGIN);
    signed(&send(&approving().approvals(approvals), &ordinary(), approved_refund()).unwrap_err());
}

#[test]
fn a_key_that_cannot_be_used_is_refused_without_being_shown() {
    let with = |jwk: &str, name: &str, value: Value| {
        let mut jwk: Value = serde_json::from_str(jwk).unwrap();
        jwk[name] = value;
        jwk.to_string()
    };
    let without_kid = ED25519.replace(r#""kid":"ed","#, "");
    for jwk in [
        String::new(),
        "{}".to_owned(),
        without_kid,
        with(ED25519, "kid", json!("")),
        with(ED25519, "kid", json!("k".repeat(257))),
        with(ED25519, "alg", json!("ES256")),
        with(ED25519, "use", json!("enc")),
        with(ED25519, "crv", json!("Ed448")),
        with(P256, "crv", json!("P-384")),
        with(P256, "d", json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")),
        with(ED25519, "d", json!("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI")),
        with(ED25519, "d", json!("AA")),
        format!("{}{}", &ED25519[..ED25519.len() - 1], r#","kid":"twice"}"#),
    ] {
        let error = SigningKey::from_jwk(&jwk).unwrap_err().to_string();
        assert!(!error.contains("nWGx") && !error.contains("jpsQ"), "{error}");
    }
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    for pem in ["", "not a key", &pem(&p384)] {
        let error = SigningKey::from_pem("k", pem).unwrap_err().to_string();
        assert!(pem.is_empty() || !error.contains(pem), "{error}");
    }
    assert!(SigningKey::from_pem("", ED25519_PEM).is_err());
    assert_eq!(format!("{:?}", SigningKey::from_jwk(P256).unwrap()), "SigningKey(..)");
}

#[test]
fn the_next_key_is_published_before_it_signs_and_the_old_one_after() {
    let (old, next) = (SigningKey::from_jwk(P256).unwrap(), SigningKey::from_jwk(ED25519).unwrap());
    let (old_public, next_public) = (old.public_jwk(), next.public_jwk());
    let kids = |approvals: &Approvals| {
        let jwks: Value = serde_json::from_str(&approvals.jwks()).unwrap();
        let keys = jwks["keys"].as_array().unwrap().clone();
        assert_eq!(KeySet::from_json(&approvals.jwks()).unwrap().len(), keys.len());
        assert!(!approvals.jwks().contains(r#""d":"#));
        keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let before = Approvals::new(old, SECRET, LOGIN).also_publish(&next_public).unwrap();
    assert_eq!(kids(&before), ["ec", "ed"]);
    let after = Approvals::new(next, SECRET, LOGIN).also_publish(&old_public).unwrap();
    assert_eq!(kids(&after), ["ed", "ec"]);
    // A challenge that the old key signed is still good after the change.
    let store = std::sync::Arc::new(store());
    let (old_guard, new_guard) =
        (guard_over(store.clone()).approvals(before), guard_over(store).approvals(after.clone()));
    let token = approved(&old_guard);
    assert!(send(&new_guard, &token, approved_refund()).is_ok());
    // Keys are told apart by their ids, and private ones are not published.
    assert!(after.clone().also_publish(&old_public).is_err());
    let error = after.also_publish(&P256.replace(r#""ec""#, r#""x""#)).unwrap_err().to_string();
    assert!(!error.contains("jpsQ"), "{error}");
}

#[tokio::test]
async fn the_keys_are_served_where_the_metadata_says() {
    let guard = approving();
    let metadata: Value = serde_json::from_str(&guard.metadata().unwrap().to_json()).unwrap();
    let keys = guard.challenge_keys().unwrap();
    assert_eq!(metadata["txn_challenge_jwks_uri"], "https://orders.example/txn-challenge-jwks");
    assert_eq!(metadata["txn_challenge_jwks_uri"], keys.url());
    assert_eq!(metadata["txn_challenge_signing_alg_values_supported"], json!(["ES256"]));
    let app: Router = keys.router();
    let get = |method: Method| {
        let request = Request::builder().method(method).uri("/txn-challenge-jwks");
        app.clone().oneshot(request.body(Body::empty()).unwrap())
    };
    let found = get(Method::GET).await.unwrap();
    assert_eq!(found.status(), 200);
    assert_eq!(found.headers()["content-type"], "application/jwk-set+json");
    assert_eq!(found.headers()["cache-control"], "public, max-age=900");
    let body = found.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, keys.to_json().as_bytes());
    assert_eq!(get(Method::POST).await.unwrap().status(), 405);
}

#[test]
fn the_url_of_the_keys_is_below_the_resource_unless_it_is_set() {
    let url = |audience: &str| {
        let guard = Guard::new(Audience::new(audience).unwrap(), login().issuer());
        let keys = guard.approvals(approvals()).challenge_keys();
        keys.map(|keys| (keys.url().to_owned(), keys.path().to_owned())).ok()
    };
    let at = |url: &str, path: &str| Some((url.to_owned(), path.to_owned()));
    let jwks = "txn-challenge-jwks";
    assert_eq!(
        url("https://a.example/mcp"),
        at(&format!("https://a.example/mcp/{jwks}"), &format!("/mcp/{jwks}"))
    );
    assert_eq!(
        url("https://a.example/"),
        at(&format!("https://a.example/{jwks}"), &format!("/{jwks}"))
    );
    assert_eq!(
        url("https://a.example/b?x=1"),
        at(&format!("https://a.example/b/{jwks}"), &format!("/b/{jwks}"))
    );
    assert_eq!(url("urn:orders"), None);

    let set = |url: &str| {
        let guard = approving().approvals(approvals().jwks_uri(url));
        (guard.challenge_keys().is_ok(), guard.metadata().is_ok())
    };
    assert_eq!(set("https://keys.example/jwks"), (true, true));
    for bad in ["http://keys.example/jwks", "keys", "", "https://u@keys.example/"] {
        assert_eq!(set(bad), (false, false), "{bad}");
    }
    // A guard without approvals says nothing of challenges.
    assert!(!guard().metadata().unwrap().to_json().contains("txn_challenge"));
}
