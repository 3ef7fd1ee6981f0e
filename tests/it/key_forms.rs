//! Keys in other forms than a JWK Set: PEM, a certificate, a single JWK. Keys that a token names by a certificate. Keys
//! that are fetched without TLS.

use crate::common::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Response;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair, PublicKeyData, SignatureAlgorithm};
use serde_json::{Value, json};
use unconfused::keys::{Algorithm, KeyProblem, KeySet, KeySetError, RemoteKeys};
use unconfused::testing::{ScriptedClient, TestIssuer, TestToken};
use unconfused::{Answer, Guard, Issuer, Reason, Require};

// DER, as far as keys need it.

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut out = vec![tag];
    match body.len() {
        length @ 0..128 => out.push(length as u8),
        length @ 128..256 => out.extend([0x81, length as u8]),
        length => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend(body);
    out
}

fn integer(number: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if number[0] & 0x80 == 0 { &[] } else { &[0] };
    der(2, &[sign, number])
}

const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
const EC: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01";
const P256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const P384: &[u8] = b"\x06\x05\x2b\x81\x04\x00\x22";
const P521: &[u8] = b"\x06\x05\x2b\x81\x04\x00\x23";
const ED25519: &[u8] = b"\x06\x03\x2b\x65\x70";
const X25519: &[u8] = b"\x06\x03\x2b\x65\x6e";

/// The key bits of a JWK.
fn bits(jwk: &Value) -> Vec<u8> {
    let number = |name: &str| {
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap()
    };
    match jwk["kty"].as_str().unwrap() {
        "RSA" => der(0x30, &[&integer(&number("n")), &integer(&number("e"))]),
        "EC" => [vec![4], number("x"), number("y")].concat(),
        _ => number("x"),
    }
}

/// The SubjectPublicKeyInfo of a JWK (RFC 5280 section 4.1).
fn spki(jwk: &Value) -> Vec<u8> {
    let algorithm = match (jwk["kty"].as_str().unwrap(), jwk["crv"].as_str()) {
        ("RSA", _) => RSA.to_vec(),
        (_, Some("P-256")) => [EC, P256].concat(),
        (_, Some("P-384")) => [EC, P384].concat(),
        (_, Some("P-521")) => [EC, P521].concat(),
        _ => ED25519.to_vec(),
    };
    spki_of(&algorithm, &bits(jwk))
}

fn spki_of(algorithm: &[u8], bits: &[u8]) -> Vec<u8> {
    der(0x30, &[&der(0x30, &[algorithm]), &der(3, &[&[0], bits])])
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<_> =
        body.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn jwk(issuer: &TestIssuer) -> Value {
    let set: Value = serde_json::from_str(&issuer.jwks()).unwrap();
    set["keys"][0].clone()
}

fn public_pem(issuer: &TestIssuer) -> String {
    pem("PUBLIC KEY", &spki(&jwk(issuer)))
}

/// A public key that another key certifies.
struct P256Key(Vec<u8>);

impl PublicKeyData for P256Key {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// A certificate over the issuer's key, in DER.
fn certificate(issuer: &TestIssuer) -> Vec<u8> {
    let authority =
        CertifiedIssuer::self_signed(CertificateParams::default(), KeyPair::generate().unwrap());
    let params = CertificateParams::new(vec!["login.example".to_owned()]).unwrap();
    let key = P256Key(bits(&jwk(issuer)));
    params.signed_by(&key, &authority.unwrap()).unwrap().der().to_vec()
}

fn reason_of(token: &TestToken, keys: &KeySet) -> Option<Reason> {
    let guard = Guard::new(ORDERS, Issuer::new(LOGIN, keys.clone()).algorithms(ALL)).clock(now);
    ask(&guard, token, Require::valid_token()).err().map(|denial| denial.reason())
}

const ALL: [Algorithm; 6] = [
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::Es512,
    Algorithm::Rs256,
    Algorithm::Ps256,
    Algorithm::Ed25519,
];

// PEM

#[test]
fn a_key_in_pem_verifies_like_the_same_key_in_a_jwk_set_whatever_the_kid_of_a_token() {
    for algorithm in ALL {
        let issuer = login_with(algorithm);
        let keys = KeySet::from_pem(&public_pem(&issuer)).unwrap();
        assert_eq!(
            keys.thumbprints().collect::<Vec<_>>(),
            issuer.keys().thumbprints().collect::<Vec<_>>()
        );
        let token = issuer.token(&ORDERS).issued_at(now());
        for token in [
            token.clone(),
            token.clone().without_header("kid"),
            token.clone().header("kid", "another"),
        ] {
            assert_eq!(reason_of(&token, &keys), None, "{algorithm:?}");
        }
        let forged = token.forged_by(&TestIssuer::with_algorithm(LOGIN, algorithm));
        assert_eq!(reason_of(&forged, &keys), Some(Reason::SignatureInvalid), "{algorithm:?}");
        if algorithm != Algorithm::Ed25519 {
            let other = login_with(Algorithm::Ed25519);
            let token = other.token(&ORDERS).issued_at(now());
            assert_eq!(reason_of(&token, &keys), Some(Reason::KeyNotFound), "{algorithm:?}");
        }
    }
}

#[test]
fn the_key_of_a_certificate_verifies() {
    let issuer = TestIssuer::new(LOGIN);
    let pem = pem("CERTIFICATE", &certificate(&issuer));
    // As `openssl x509 -text` writes it, too.
    for pem in [pem.clone(), format!("Certificate:\n    Data:\n{pem}"), pem.replace('\n', "\r\n")] {
        let keys = KeySet::from_pem(&pem).unwrap();
        assert_eq!(reason_of(&issuer.token(&ORDERS).issued_at(now()), &keys), None);
        let forged = issuer.token(&ORDERS).issued_at(now()).forged_by(forger());
        assert_eq!(reason_of(&forged, &keys), Some(Reason::SignatureInvalid));
    }
}

#[test]
fn pem_with_another_number_of_blocks_or_another_label_is_an_error() {
    let good = public_pem(login());
    let chain = pem("CERTIFICATE", &certificate(login()));
    for bad in [
        String::new(),
        "MCowBQYDK2VwAyEA".to_owned(),
        login().jwks(),
        good.repeat(2),
        format!("{chain}{chain}"),
        format!("{good}{chain}"),
        good.replace("PUBLIC KEY", "RSA PUBLIC KEY"),
        good.replace("BEGIN PUBLIC KEY", "BEGIN CERTIFICATE"),
        good.replace("-----END", "-----"),
        good.replace("=\n", "\n"),
        good.replace("MF", "*F"),
    ] {
        assert_eq!(KeySet::from_pem(&bad).unwrap_err(), KeySetError::NotPem, "{bad}");
    }
    let large = format!("{}{good}", " ".repeat(256 * 1024));
    assert_eq!(KeySet::from_pem(&large).unwrap_err(), KeySetError::TooLarge(large.len()));
}

#[test]
fn a_key_in_pem_is_checked_as_strictly_as_a_jwk() {
    let mut modulus = vec![0xff; 128];
    let weak = |modulus: &[u8], exponent: &[u8]| {
        spki_of(RSA, &der(0x30, &[&integer(modulus), &integer(exponent)]))
    };
    let short = weak(&modulus, &[1, 0, 1]);
    modulus.extend([0xff; 128]);
    let ec = |bits: &[u8]| spki_of(&[EC, P256].concat(), bits);
    for (problem, der) in [
        (KeyProblem::WeakRsa, short),
        (KeyProblem::WeakRsa, weak(&modulus, &[1])),
        (KeyProblem::InvalidPoint, spki_of(ED25519, &[0; 32])),
        (KeyProblem::TypeNotOffered, spki_of(X25519, &[9; 32])),
        (KeyProblem::Malformed, ec(&[&[4][..], &[1; 64]].concat())),
        (KeyProblem::Malformed, spki_of(ED25519, &[9; 31])),
        (KeyProblem::Malformed, b"not a key".to_vec()),
    ] {
        let refused = KeySet::from_pem(&pem("PUBLIC KEY", &der)).unwrap_err();
        assert_eq!(refused, KeySetError::UnusableKey(problem), "{der:?}");
    }
    let spki = spki(&jwk(login()));
    let refused = KeySet::from_pem(&pem("CERTIFICATE", &spki)).unwrap_err();
    assert_eq!(refused, KeySetError::UnusableKey(KeyProblem::Malformed));
    for label in ["PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"] {
        let refused = KeySet::from_pem(&pem(label, &spki)).unwrap_err();
        assert_eq!(refused, KeySetError::UnusableKey(KeyProblem::Private), "{label}");
    }
}

// A single JWK

#[test]
fn a_single_jwk_verifies_and_one_that_cannot_be_used_is_an_error() {
    let token = token();
    let mut key = jwk(login());
    let keys = KeySet::from_jwk(&key.to_string()).unwrap();
    assert_eq!(reason_of(&token, &keys), None);
    assert_eq!(reason_of(&token.clone().without_header("kid"), &keys), None);
    let other = token.clone().header("kid", "other");
    assert_eq!(reason_of(&other, &keys), Some(Reason::KeyNotFound));
    // Without an id of its own, it is used whatever the token says.
    key.as_object_mut().unwrap().remove("kid");
    assert_eq!(reason_of(&other, &KeySet::from_jwk(&key.to_string()).unwrap()), None);
    // A set is not a key, and a key is not a set.
    assert!(KeySet::from_json(&key.to_string()).is_err());
    for (problem, bad) in [
        (KeyProblem::Malformed, login().jwks()),
        (KeyProblem::Malformed, "[]".to_owned()),
        (KeyProblem::Private, login().signing_jwk()),
        (KeyProblem::TypeNotOffered, r#"{"kty":"unheard-of"}"#.to_owned()),
        (KeyProblem::NotForVerifying, r#"{"kty":"EC","use":"enc"}"#.to_owned()),
    ] {
        assert_eq!(KeySet::from_jwk(&bad).unwrap_err(), KeySetError::UnusableKey(problem), "{bad}");
    }
}

// Keys that are named by a certificate

/// Two keys for one algorithm, the first of which signs, with these members.
fn two_keys(first: Value, second: Value) -> (TestToken, KeySet) {
    let (one, other) = (TestIssuer::new(LOGIN), TestIssuer::new(LOGIN));
    let named = |issuer: &TestIssuer, members: Value| {
        let mut key = jwk(issuer);
        let members = members.as_object().unwrap().clone();
        key.as_object_mut().unwrap().remove("kid");
        key.as_object_mut().unwrap().extend(members);
        key
    };
    let set = json!({ "keys": [named(&other, second), named(&one, first)] });
    let token = one.token(&ORDERS).issued_at(now()).without_header("kid");
    (token, KeySet::from_json(&set.to_string()).unwrap())
}

#[test]
fn a_token_without_kid_may_name_its_key_by_a_certificate() {
    let (token, keys) = two_keys(
        json!({ "x5t#S256": "one", "x5t": "1" }),
        json!({ "x5t#S256": "two", "x5t": "2" }),
    );
    let ask = |headers: &[(&str, Value)]| {
        let named = headers.iter().fold(token.clone(), |t, (name, value)| t.header(name, value));
        reason_of(&named, &keys)
    };
    let (sha256, sha1) = ("x5t#S256", "x5t");
    assert_eq!(ask(&[(sha256, json!("one"))]), None);
    assert_eq!(ask(&[(sha1, json!("1"))]), None);
    // The SHA-256 digest decides.
    assert_eq!(ask(&[(sha256, json!("one")), (sha1, json!("2"))]), None);
    let wrong = Some(Reason::SignatureInvalid);
    assert_eq!(ask(&[(sha256, json!("two")), (sha1, json!("1"))]), wrong);
    assert_eq!(ask(&[(sha256, json!("two"))]), wrong);
    assert_eq!(ask(&[(sha1, json!("2"))]), wrong);
    // A name that no key has, and one that is not a string, say nothing.
    let unnamed = ask(&[]);
    for value in
        [json!("three"), json!("ONE"), json!("one="), json!(1), json!(null), json!(["one"])]
    {
        assert_eq!(ask(&[(sha256, value.clone())]), unnamed, "{value}");
    }
    // A `kid` comes first.
    assert_eq!(ask(&[("kid", json!("k")), (sha256, json!("one"))]), Some(Reason::KeyNotFound));
}

#[test]
fn a_certificate_names_no_key_of_another_algorithm_or_issuer() {
    let (token, keys) = two_keys(
        json!({ "x5t": "shared" }),
        json!({ "x5t": "shared", "issuer": "https://other.example" }),
    );
    assert_eq!(reason_of(&token.header("x5t", "shared"), &keys), None);
    // Of the certificate's two keys only one fits, and it is the other that signed.
    let (token, keys) = two_keys(json!({ "x5t": "a", "use": "enc" }), json!({ "x5t": "a" }));
    assert_eq!(reason_of(&token.header("x5t", "a"), &keys), Some(Reason::SignatureInvalid));
}

// Without TLS

const INSIDE: &str = "http://login.auth.svc.cluster.local:8080/keys?v=1";

#[tokio::test(start_paused = true)]
async fn keys_inside_a_cluster_are_fetched_without_tls_if_the_constructor_says_so() {
    let login = TestIssuer::new(LOGIN);
    let client = ScriptedClient::new();
    client.serve(INSIDE, login.jwks());
    let keys = RemoteKeys::from_jwks_uri_without_tls(INSIDE, client.clone()).unwrap();
    let guard = Guard::new(ORDERS, Issuer::new(LOGIN, keys));
    let readiness = guard.ready().await;
    assert!(readiness.is_ready());
    assert!(readiness.issuers().all(|(_, status)| status.without_tls));
    let line = readiness.to_string();
    assert!(line.ends_with(" fetches=1 without_tls"), "{line}");
    assert_eq!(client.requests(INSIDE), 1);
    login.token(&ORDERS).granted_by(&guard, Require::valid_token());
}

#[tokio::test(start_paused = true)]
async fn keys_without_tls_follow_no_redirect() {
    let (login, client) = (TestIssuer::new(LOGIN), ScriptedClient::new());
    let elsewhere = "http://evil.example/keys";
    client.serve(elsewhere, login.jwks());
    client.serve_with(INSIDE, move || {
        let mut answer = Response::new(Vec::new());
        *answer.status_mut() = http::StatusCode::FOUND;
        answer.headers_mut().insert("location", elsewhere.parse().unwrap());
        Answer::Now(Ok(answer))
    });
    let keys = RemoteKeys::from_jwks_uri_without_tls(INSIDE, client.clone()).unwrap();
    let guard = Guard::new(ORDERS, Issuer::new(LOGIN, keys));
    assert!(!guard.ready().await.is_ready());
    assert_eq!(client.requests(elsewhere), 0);
    let error = guard.readiness().issuers().next().unwrap().1.last_error.clone().unwrap();
    assert!(error.contains("answered 302"), "{error}");
}

#[test]
fn keys_without_tls_are_plain_http_and_the_strict_constructor_names_them() {
    let without_tls = |url: &str| RemoteKeys::from_jwks_uri_without_tls(url, ScriptedClient::new());
    for url in [
        "https://login.example/keys",
        "http://user@login.example/keys",
        "http://login.example/keys#a",
        "http://login.example/../keys",
        "ftp://login.example/keys",
        "login.example/keys",
        "",
    ] {
        assert!(without_tls(url).is_err(), "{url}");
    }
    assert!(without_tls("http://10.0.0.1/keys").is_ok());

    let strict = |url: &str| RemoteKeys::from_jwks_uri(url, ScriptedClient::new()).unwrap_err();
    let error = strict("http://login.example/keys").to_string();
    assert!(error.contains("`RemoteKeys::from_jwks_uri_without_tls`"), "{error}");
    // It would not accept these either.
    for url in ["ftp://login.example/keys", "http://user@login.example/keys"] {
        assert!(!strict(url).to_string().contains("without_tls"), "{url}");
    }
}

#[test]
fn readiness_shows_which_keys_may_come_without_tls() {
    let client = ScriptedClient::new();
    let shown = |keys: RemoteKeys| {
        let guard = Guard::new(ORDERS, Issuer::new(LOGIN, keys));
        guard.readiness().issuers().next().unwrap().1.without_tls
    };
    assert!(!shown(RemoteKeys::from_jwks_uri("https://a.example/k", client.clone()).unwrap()));
    assert!(!shown(RemoteKeys::discover(LOGIN, client.clone()).unwrap()));
    let loopback = RemoteKeys::discover_without_tls_on_loopback("http://127.0.0.1", client.clone());
    assert!(shown(loopback.unwrap()));
    assert!(shown(RemoteKeys::from_jwks_uri_without_tls(INSIDE, client).unwrap()));
    let fixed = Guard::new(ORDERS, Issuer::new(LOGIN, KeySet::default()));
    assert!(!fixed.readiness().to_string().contains("without_tls"));
}
