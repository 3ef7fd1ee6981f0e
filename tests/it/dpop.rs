//! DPoP (RFC 9449): the checks of section 4.3, by the plain functions, by a guard, by a layer.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{self, *};
use axum::Router;
use axum::body::Body;
use axum::routing::{any, get};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Value, json};
use time::UtcDateTime;
use tower::ServiceExt;
use unconfused::challenge::Remedy;
use unconfused::error::InvalidToken;
use unconfused::keys::Algorithm;
use unconfused::proof::{AcceptedProof, ClientCertificate, Dpop, Nonces, Possession};
use unconfused::replay::{
    MemoryReplayStore, Remembered, ReplayAnswer, ReplayEntry, StoreUnavailable,
};
use unconfused::testing::{TestProof, TestProofKey};
use unconfused::token::UnverifiedToken;
use unconfused::{Answer, Audience, Denial, Grant, Guard, Reason, Require, Scope};

const READ: Scope = Scope::from_static("orders:read");
const WRITE: Scope = Scope::from_static("orders:write");
const METADATA: &str =
    r#"resource_metadata="https://orders.example/.well-known/oauth-protected-resource""#;
const ALGS: &str = r#"algs="ES256 Ed25519""#;

/// What the plain function says of this field, for a GET of `/orders`.
fn check_field(dpop: &Dpop, field: &str, raw: &str) -> Result<AcceptedProof, Reason> {
    let possession = Possession::dpop(field, &Method::GET, "/orders");
    dpop.check(&possession, raw, &proof_key().thumbprint(), now())
}

fn check(proof: &TestProof) -> Result<AcceptedProof, Reason> {
    check_field(&dpop(), &proof.sign(), "token")
}

/// A proof for the token `token`.
fn good() -> TestProof {
    proof("token")
}

/// A proof of these parts, which nobody signed.
fn unsigned(header: &Value, claims: &str) -> String {
    compact(&header.to_string(), claims, &[1; 64])
}

fn public_jwk(proof: &TestProof) -> Value {
    let field = proof.sign();
    let header = field.split('.').next().unwrap();
    let header = base64url_decode(header);
    serde_json::from_slice::<Value>(&header).unwrap()["jwk"].clone()
}

fn base64url_decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn reason(answer: Result<Grant, Denial>) -> Option<Reason> {
    answer.err().map(|denial| denial.reason())
}

// RFC 9449 section 4.3, by the plain function.

#[test]
fn a_good_proof_is_accepted_and_says_what_names_it() {
    let accepted = check(&good().claim("jti", "one")).unwrap();
    assert_eq!(accepted.jti(), "one");
    assert_eq!(accepted.key(), proof_key().thumbprint());
    assert_eq!(accepted.issued_at(), at(-10));
    assert_eq!(accepted.expires_at(), at(61));
    assert_eq!(format!("{accepted:?}"), "AcceptedProof(..)");
}

#[test]
fn each_point_of_the_checklist_has_its_reason() {
    let jwk = public_jwk(&good());
    let with = |name: &str, value: Value| {
        let mut jwk = jwk.clone();
        jwk[name] = value;
        good().header("jwk", jwk)
    };
    let without = |name: &str| {
        let mut jwk = jwk.clone();
        jwk.as_object_mut().unwrap().remove(name);
        good().header("jwk", jwk)
    };
    let ed25519 = TestProofKey::with_algorithm(Algorithm::Ed25519);
    let ed25519 = ed25519.proof("GET", URL).issued_at(now()).token("token");
    let weak = json!({ "kty": "RSA", "n": base64url([0xff; 128]), "e": "AQAB" });
    use Reason::*;
    let table: Vec<(&str, TestProof, Option<Reason>)> = vec![
        ("good", good(), None),
        // 3: all claims
        ("no jti", good().without_claim("jti"), Some(DpopProofMalformed)),
        ("no htm", good().without_claim("htm"), Some(DpopProofMalformed)),
        ("no htu", good().without_claim("htu"), Some(DpopProofMalformed)),
        ("no iat", good().without_claim("iat"), Some(DpopProofMalformed)),
        ("jti is empty", good().claim("jti", ""), Some(DpopProofMalformed)),
        ("jti is a number", good().claim("jti", 1), Some(DpopProofMalformed)),
        ("jti is as long as it may be", good().claim("jti", "j".repeat(256)), None),
        ("jti is longer", good().claim("jti", "j".repeat(257)), Some(DpopProofMalformed)),
        ("htm is a list", good().claim("htm", ["GET"]), Some(DpopProofMalformed)),
        ("htu is null", good().claim("htu", Value::Null), Some(DpopProofMalformed)),
        ("iat is text", good().claim("iat", NOW.to_string()), Some(DpopProofMalformed)),
        ("iat is negative", good().claim("iat", -1), Some(DpopProofMalformed)),
        ("iat is null", good().claim("iat", Value::Null), Some(DpopProofMalformed)),
        ("iat has a fraction", good().claim("iat", NOW as f64 + 0.5), None),
        ("ath is a list", good().claim("ath", ["x"]), Some(DpopProofMalformed)),
        ("nonce is null", good().claim("nonce", Value::Null), Some(DpopProofMalformed)),
        ("a nonce that nobody asked for", good().nonce("x"), None),
        ("another claim", good().claim("x", json!({ "y": [1] })), None),
        // 4: typ
        ("no typ", good().without_header("typ"), Some(DpopProofMalformed)),
        ("typ JWT", good().header("typ", "JWT"), Some(DpopProofMalformed)),
        ("typ at+jwt", good().header("typ", "at+jwt"), Some(DpopProofMalformed)),
        ("typ is a media type", good().header("typ", "application/DPoP+JWT"), None),
        // 5: alg
        ("no alg", good().without_header("alg"), Some(DpopProofMalformed)),
        ("alg none", good().header("alg", "none"), Some(DpopAlgorithmNotAllowed)),
        ("alg None", good().header("alg", "None"), Some(DpopAlgorithmNotAllowed)),
        ("alg HS256", good().header("alg", "HS256"), Some(DpopAlgorithmNotAllowed)),
        ("alg es256", good().header("alg", "es256"), Some(DpopAlgorithmNotAllowed)),
        ("alg RS256", good().header("alg", "RS256"), Some(DpopAlgorithmNotAllowed)),
        ("alg ES384", good().header("alg", "ES384"), Some(DpopAlgorithmNotAllowed)),
        ("alg EdDSA", ed25519.clone().header("alg", "EdDSA"), Some(DpopAlgorithmNotAllowed)),
        // 6: signature
        ("another's signature", good().forged_by(other_key()), Some(DpopSignatureInvalid)),
        (
            "another's key",
            without("kid").header("jwk", public_jwk(&other())),
            Some(DpopSignatureInvalid),
        ),
        // 7: jwk
        ("no jwk", good().without_header("jwk"), Some(DpopKeyInvalid)),
        ("jwk is null", good().header("jwk", Value::Null), Some(DpopKeyInvalid)),
        ("jwk is text", good().header("jwk", "x"), Some(DpopKeyInvalid)),
        ("a private member", with("d", json!("AA")), Some(DpopKeyInvalid)),
        ("a private member that is null", with("d", Value::Null), Some(DpopKeyInvalid)),
        ("a private member of RSA", with("p", json!("AA")), Some(DpopKeyInvalid)),
        ("a symmetric key", with("k", json!("AA")), Some(DpopKeyInvalid)),
        ("a key for encryption", with("use", json!("enc")), Some(DpopKeyInvalid)),
        ("a key of another algorithm", with("alg", json!("ES384")), Some(DpopKeyInvalid)),
        ("another curve", with("crv", json!("P-384")), Some(DpopKeyInvalid)),
        ("half a point", without("y"), Some(DpopKeyInvalid)),
        ("a point that is on no curve", with("y", jwk["x"].clone()), Some(DpopKeyInvalid)),
        ("a key of another type", good().header("jwk", public_jwk(&ed25519)), Some(DpopKeyInvalid)),
        ("a key of RSA", good().header("jwk", weak.clone()), Some(DpopKeyInvalid)),
        ("a harmless member", with("kid", json!("1")), None),
        // No other way to bring a key.
        ("jku", good().header("jku", "https://evil.example"), Some(DpopProofMalformed)),
        ("x5u", good().header("x5u", "https://evil.example"), Some(DpopProofMalformed)),
        ("x5c", good().header("x5c", ["AA"]), Some(DpopProofMalformed)),
        ("crit", good().header("crit", ["x"]).header("x", 1), Some(DpopProofMalformed)),
        ("crit is empty", good().header("crit", json!([])), Some(DpopProofMalformed)),
        ("b64", good().header("b64", false), Some(DpopProofMalformed)),
        ("kid is a number", good().header("kid", 1), Some(DpopProofMalformed)),
        // 8: htm
        ("another method", good().claim("htm", "POST"), Some(DpopMethodMismatch)),
        ("the method in another case", good().claim("htm", "get"), Some(DpopMethodMismatch)),
        ("no method", good().claim("htm", ""), Some(DpopMethodMismatch)),
        // 9: htu has a table of its own
        ("another URL", good().claim("htu", format!("{URL}/7")), Some(DpopUriMismatch)),
        // 11: iat
        ("old", good().issued_at(at(-60)), None),
        ("too old", good().issued_at(at(-61)), Some(DpopProofStale)),
        ("ahead", good().issued_at(at(10)), None),
        ("too far ahead", good().issued_at(at(11)), Some(DpopProofStale)),
        ("from 1970", good().claim("iat", 0), Some(DpopProofStale)),
        ("from the end of time", good().claim("iat", 253_402_300_799_u64), Some(DpopProofStale)),
        // 12: ath, key
        ("no ath", good().without_claim("ath"), Some(DpopTokenHashMismatch)),
        ("ath of nothing", good().token(""), Some(DpopTokenHashMismatch)),
        ("ath of another token", good().token("other"), Some(DpopTokenHashMismatch)),
        ("ath is the token", good().claim("ath", "token"), Some(DpopTokenHashMismatch)),
        ("another key", other(), Some(DpopKeyMismatch)),
        ("another key of another type", ed25519, Some(DpopKeyMismatch)),
    ];
    let shown: BTreeSet<_> = table.iter().filter_map(|(.., reason)| *reason).collect();
    for (what, proof, expected) in table {
        assert_eq!(check(&proof).err(), expected, "{what}");
    }
    for reason in Reason::ALL {
        let of_proofs = (DpopProofMalformed..=DpopKeyMismatch).contains(reason);
        assert!(!of_proofs || shown.contains(reason), "{reason}");
    }
}

/// A good proof of somebody else.
fn other() -> TestProof {
    other_key().proof("GET", URL).issued_at(now()).token("token")
}

#[test]
fn a_field_is_one_jwt_and_nothing_else() {
    use Reason::*;
    let good = good().sign();
    let parts: Vec<_> = good.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    let long = "A".repeat(Dpop::MAX_BYTES);
    for (field, expected) in [
        (String::new(), DpopProofMalformed),
        ("x".to_owned(), DpopProofMalformed),
        (format!("{header}.{claims}"), DpopProofMalformed),
        (format!("{header}.{claims}."), DpopProofMalformed),
        (format!("{good}.x.y"), DpopProofMalformed),
        (format!("{good}~"), DpopProofMalformed),
        (format!("{good}="), DpopProofMalformed),
        (format!("{good} "), DpopProofMalformed),
        (format!(" {good}"), DpopProofMalformed),
        (format!("DPoP {good}"), DpopProofMalformed),
        (format!("{good} {good}"), DpopProofMalformed),
        (format!("{good},{good}"), DpopProofMultiple),
        (format!("{good}, "), DpopProofMultiple),
        (",".to_owned(), DpopProofMultiple),
        (format!("{header}.{claims}.{long}"), DpopProofMalformed),
        (format!(r#"{{"payload":"{claims}","protected":"{header}"}}"#), DpopProofMultiple),
        (format!("{header}.{claims}.AA"), DpopSignatureInvalid),
        (format!("{header}.{claims}.{}", base64url([0; 64])), DpopSignatureInvalid),
        (format!("{header}.{claims}.{signature}AA"), DpopSignatureInvalid),
    ] {
        let found = check_field(&dpop(), &field, "token").unwrap_err();
        assert_eq!(found, expected, "{field}");
    }
}

#[test]
fn a_member_that_stands_twice_is_refused() {
    let jwk = public_jwk(&good());
    let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
    let claims = |more: &str| {
        format!(r#"{{"jti":"1","htm":"GET","htu":"{URL}","iat":{NOW},"ath":"x"{more}}}"#)
    };
    let reason = |field: &str| check_field(&dpop(), field, "token").unwrap_err();
    assert_eq!(reason(&unsigned(&header, &claims(""))), Reason::DpopSignatureInvalid);
    for more in [
        r#","jti":"2""#,
        r#","\u006ati":"2""#,
        r#","htu":"https://evil.example""#,
        r#","x":{"a":1,"a":1}"#,
        r#","x":"#,
    ] {
        let field = unsigned(&header, &claims(more));
        assert_eq!(reason(&field), Reason::DpopProofMalformed, "{more}");
    }
    let headers = |more: &str| {
        let text = header.to_string();
        compact(&format!("{}{more}}}", &text[..text.len() - 1]), claims(""), &[1; 64])
    };
    assert_eq!(reason(&headers("")), Reason::DpopSignatureInvalid);
    for more in [r#","alg":"none""#, r#","typ":"dpop+jwt""#, r#","jwk":{}"#] {
        assert_eq!(reason(&headers(more)), Reason::DpopProofMalformed, "{more}");
    }
    let twice = jwk.to_string().replacen('{', r#"{"kty":"EC","#, 1);
    let header = format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{twice}}}"#);
    let field = compact(&header, claims(""), &[1; 64]);
    let found = reason(&field);
    assert!(matches!(found, Reason::DpopProofMalformed | Reason::DpopKeyInvalid), "{found}");
}

#[test]
fn a_symmetric_proof_over_a_public_key_is_no_proof() {
    for alg in ["HS256", "HS384", "HS512", "none", ""] {
        let found = check(&good().header("alg", alg)).unwrap_err();
        assert_eq!(found, Reason::DpopAlgorithmNotAllowed, "{alg}");
    }
}

#[test]
fn algorithms_are_es256_and_ed25519_and_others_by_option() {
    let all = [
        Algorithm::Es256,
        Algorithm::Ed25519,
        Algorithm::Es384,
        Algorithm::Ps256,
        Algorithm::EdDsa,
        Algorithm::Rs256,
    ];
    for algorithm in all {
        let key = TestProofKey::with_algorithm(algorithm);
        let field = key.proof("GET", URL).issued_at(now()).token("token").sign();
        let possession = Possession::dpop(&field, &Method::GET, "/orders");
        let check =
            |dpop: Dpop| dpop.check(&possession, "token", &key.thumbprint(), now()).map(|_| ());
        let by_default = matches!(algorithm, Algorithm::Es256 | Algorithm::Ed25519);
        let refused = Err(Reason::DpopAlgorithmNotAllowed);
        let expected = if by_default { Ok(()) } else { refused };
        assert_eq!(check(dpop()), expected, "{algorithm:?}");
        assert_eq!(check(dpop().algorithms([algorithm])), Ok(()), "{algorithm:?}");
        assert_eq!(check(dpop().algorithms(all)), Ok(()), "{algorithm:?}");
        let others = all.into_iter().filter(|other| *other != algorithm);
        assert_eq!(check(dpop().algorithms(others)), refused, "{algorithm:?}");
    }
}

#[test]
fn weak_rsa_keys_are_refused_where_rsa_is_taken() {
    let key = TestProofKey::with_algorithm(Algorithm::Ps256);
    let dpop = dpop().algorithms([Algorithm::Ps256, Algorithm::Rs256]);
    let check = |proof: &TestProof| {
        let field = proof.sign();
        let possession = Possession::dpop(&field, &Method::GET, "/orders");
        dpop.check(&possession, "token", &key.thumbprint(), now()).map(|_| ())
    };
    let good = key.proof("GET", URL).issued_at(now()).token("token");
    assert_eq!(check(&good), Ok(()));
    let n = public_jwk(&good)["n"].clone();
    for jwk in [
        json!({ "kty": "RSA", "n": base64url([0xff; 128]), "e": "AQAB" }),
        json!({ "kty": "RSA", "n": base64url([0xff; 8]), "e": "AQAB" }),
        json!({ "kty": "RSA", "n": n, "e": "AQ" }),
        json!({ "kty": "RSA", "n": n, "e": "Ag" }),
        json!({ "kty": "RSA", "n": n }),
    ] {
        assert_eq!(check(&good.clone().header("jwk", &jwk)), Err(Reason::DpopKeyInvalid), "{jwk}");
    }
    // One key of RSA, another padding than the header says.
    assert_eq!(check(&good.clone().header("alg", "RS256")), Err(Reason::DpopSignatureInvalid));
}

#[test]
fn the_window_is_the_owners() {
    let wide = dpop().window(secs(300), secs(60));
    let exact = dpop().window(Duration::ZERO, Duration::ZERO);
    let check = |dpop: &Dpop, offset| {
        let proof = good().issued_at(at(offset)).sign();
        check_field(dpop, &proof, "token").map(|proof| (proof.issued_at(), proof.expires_at()))
    };
    for (offset, fits) in [(-301, false), (-300, true), (60, true), (61, false)] {
        let expected = if fits {
            Ok((at(offset - 60), at(offset + 301)))
        } else {
            Err(Reason::DpopProofStale)
        };
        assert_eq!(check(&wide, offset), expected, "{offset}");
    }
    assert!(check(&exact, 0).is_ok());
    assert!(check(&exact, -1).is_err() && check(&exact, 1).is_err());
}

// Bases.

#[test]
fn a_base_is_a_url_of_a_host() {
    for base in [
        "https://api.example.com",
        "https://api.example.com/",
        "HTTPS://API.example.com:443/v1/",
        "http://127.0.0.1:8080",
        "https://[::1]:8443/v1",
    ] {
        assert!(Dpop::for_base_url(base).is_ok(), "{base}");
        assert!(dpop().and_base_url(base).is_ok(), "{base}");
    }
    for base in [
        "",
        "api.example.com",
        "//api.example.com",
        "https://",
        "https:///v1",
        "https://user@api.example.com",
        "https://api.example.com?x=1",
        "https://api.example.com#f",
        "ftp://api.example.com",
        "api://orders",
        "urn:orders",
        "https://api.example.com/a b",
    ] {
        let unfit = Dpop::for_base_url(base).unwrap_err();
        assert!(unfit.to_string().contains(&format!("`{base}`")), "{unfit}");
        assert!(dpop().and_base_url(base).is_err(), "{base}");
    }
}

#[test]
fn a_proof_names_one_of_the_bases_and_the_path_after_it() {
    let dpop = Dpop::for_base_url("https://api.example.com/v1/").unwrap();
    let dpop = dpop.and_base_url("http://localhost:8080").unwrap();
    let check =
        |htu: &str| check_field(&dpop, &good().claim("htu", htu).sign(), "token").map(|_| ()).err();
    assert_eq!(check("https://api.example.com/v1/orders"), None);
    assert_eq!(check("http://localhost:8080/orders"), None);
    for htu in [
        "https://api.example.com/orders",
        "https://api.example.com/v1orders",
        "https://api.example.com/v1//orders",
        "http://localhost:8080/v1/orders",
        "https://localhost:8080/orders",
        "http://localhost/orders",
        URL,
    ] {
        assert_eq!(check(htu), Some(Reason::DpopUriMismatch), "{htu}");
    }
}

// Published examples.

#[derive(Deserialize)]
struct Vector {
    source: String,
    what: String,
    token: String,
    jkt: String,
    method: String,
    base: String,
    path: String,
    now: i64,
    proof: String,
    expect: String,
}

fn rows<T: for<'a> Deserialize<'a>>(lines: &str) -> Vec<T> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn name<T>(outcome: Result<T, Reason>) -> &'static str {
    outcome.map_or_else(Reason::as_str, |_| "ok")
}

#[test]
fn published_proofs_are_accepted_and_near_misses_are_not() {
    let rows: Vec<Vector> = rows(include_str!("../vectors/dpop.jsonl"));
    assert!(rows.len() > 10);
    for row in &rows {
        let dpop = Dpop::for_base_url(&row.base).unwrap();
        let method: Method = row.method.parse().unwrap();
        let path = row.path.split('?').next().unwrap();
        let possession = Possession::dpop(&row.proof, &method, path);
        let now = UtcDateTime::from_unix_timestamp(row.now).unwrap();
        let outcome = dpop.check(&possession, &row.token, &row.jkt, now);
        assert_eq!(name(outcome), row.expect, "{}: {}", row.source, row.what);
    }
    // The hash that the RFC publishes is in the proof that it publishes.
    let claims = base64url_decode(rows[0].proof.split('.').nth(1).unwrap());
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["ath"], "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
}

#[test]
fn no_byte_of_a_published_proof_can_be_changed() {
    let rows: Vec<Vector> = rows(include_str!("../vectors/dpop.jsonl"));
    let row = &rows[0];
    let dpop = Dpop::for_base_url(&row.base).unwrap();
    let now = UtcDateTime::from_unix_timestamp(row.now).unwrap();
    for place in 0..row.proof.len() {
        let mut bytes = row.proof.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        let possession = Possession::dpop(&changed, &Method::GET, &row.path);
        assert!(dpop.check(&possession, &row.token, &row.jkt, now).is_err(), "{place}");
    }
}

#[test]
fn the_bound_token_of_the_rfc_is_nothing_without_its_proof() {
    // RFC 9449 section 6.1
    let rows: Vec<Vector> = rows(include_str!("../vectors/dpop.jsonl"));
    let server = unconfused::testing::TestIssuer::new("https://server.example.com");
    let claims = json!({
        "sub": "someone@example.com",
        "iss": "https://server.example.com",
        "nbf": 1_562_262_611,
        "exp": 1_562_266_216,
        "cnf": { "jkt": rows[0].jkt },
    });
    let mut whole = claims.clone();
    for (name, value) in [
        ("aud", json!(ORDERS.as_str())),
        ("iat", json!(1_562_262_611)),
        ("client_id", json!("c")),
        ("jti", json!("1")),
    ] {
        whole[name] = value;
    }
    let validation = unconfused::token::Validation::new(ORDERS, "https://server.example.com")
        .dpop(Dpop::for_base_url(&rows[0].base).unwrap());
    let now = UtcDateTime::from_unix_timestamp(rows[0].now).unwrap();
    let refused = |claims: &Value, possession: Possession<'_>| {
        let raw = server.token(&ORDERS).payload(claims.to_string()).sign();
        let token = UnverifiedToken::parse(&raw).unwrap().with_possession(possession);
        token.validate(&validation, &server.keys(), now).unwrap_err().reason()
    };
    let shown = || Possession::dpop(&rows[0].proof, &Method::GET, "/protectedresource");
    assert_eq!(refused(&claims, shown()), Reason::RequiredClaimMissing);
    assert_eq!(refused(&whole, Possession::bearer()), Reason::BoundTokenAsBearer);
    // The proof is right, and another token's.
    assert_eq!(refused(&whole, shown()), Reason::DpopTokenHashMismatch);
}

#[derive(Deserialize)]
struct Htu {
    path: String,
    htu: String,
    expect: String,
}

#[test]
fn uris_are_compared_by_what_they_mean() {
    let rows: Vec<Htu> = rows(include_str!("../vectors/htu.jsonl"));
    assert!(rows.len() > 30);
    let key = proof_key();
    for base in ["https://api.example.com", "HTTPS://api.example.com:443/"] {
        let dpop = Dpop::for_base_url(base).unwrap();
        // By the plain function, and by a guard that sees a request.
        let guard = guard().dpop(dpop.clone(), store());
        let raw = bound().sign();
        for Htu { path, htu, expect } in &rows {
            let proof = key.proof("GET", htu).issued_at(now()).token(&raw).sign();
            let possession = Possession::dpop(&proof, &Method::GET, path);
            let outcome = dpop.check(&possession, &raw, &key.thumbprint(), now());
            assert_eq!(name(outcome), expect, "{path} {htu}");

            let mut head = dpop_head(path, &raw, &[&proof]);
            let outcome = guard.authorize(&mut head, READ).now().unwrap();
            assert_eq!(name(outcome.map_err(|denial| denial.reason())), expect, "{path} {htu}");
        }
    }
}

// The plain path.

fn validate_shown(
    validation: &unconfused::token::Validation,
    raw: &str,
    possession: Possession<'_>,
) -> Result<unconfused::AccessToken, InvalidToken> {
    UnverifiedToken::parse(raw)?.with_possession(possession).validate(
        validation,
        &login().keys(),
        now(),
    )
}

#[test]
fn no_plain_function_makes_an_access_token_of_a_bound_one_without_its_proof() {
    let raw = bound().sign();
    let proof = proof(&raw).sign();
    let wrong = other_key().proof("GET", URL).issued_at(now()).token(&raw).sign();
    let certificate = ClientCertificate::from_der("x");
    let shown = |proof| Possession::dpop(proof, &Method::GET, "/orders");
    let takes = validation().dpop(dpop());
    let refused =
        |validation, possession| validate_shown(validation, &raw, possession).unwrap_err().reason();
    for (validation, possession, reason) in [
        (&validation(), Possession::bearer(), Reason::BoundTokenAsBearer),
        (&takes, Possession::bearer(), Reason::BoundTokenAsBearer),
        (&takes, Possession::default(), Reason::BoundTokenAsBearer),
        (&takes, Possession::bearer().certificate(certificate), Reason::BoundTokenAsBearer),
        // Without settings for proofs none can be judged.
        (&validation(), shown(&proof), Reason::ConfirmationUnsupported),
        (&takes, shown(""), Reason::DpopProofMalformed),
        (&takes, shown(&raw), Reason::DpopProofMalformed),
        (&takes, shown(&wrong), Reason::DpopKeyMismatch),
        (&takes, Possession::dpop(&proof, &Method::POST, "/orders"), Reason::DpopMethodMismatch),
        (&takes, Possession::dpop(&proof, &Method::GET, "/"), Reason::DpopUriMismatch),
    ] {
        assert_eq!(refused(validation, possession), reason);
    }
    let parsed = UnverifiedToken::parse(&raw).unwrap();
    let unshown = parsed.validate(&takes, &login().keys(), now()).unwrap_err();
    assert_eq!(unshown.reason(), Reason::BoundTokenAsBearer);

    let token = validate_shown(&takes, &raw, shown(&proof)).unwrap();
    assert!(token.is_sender_constrained());
    assert_eq!(token.proof().unwrap().key(), proof_key().thumbprint());
    // The certificate of a connection does no harm where the token is bound to none.
    let possession = shown(&proof).certificate(certificate);
    assert!(validate_shown(&takes, &raw, possession).is_ok());
}

#[test]
fn a_token_that_is_bound_to_nothing_is_none_of_a_proof() {
    let raw = token().sign();
    let proof = proof(&raw).sign();
    let takes = validation().dpop(dpop());
    let possession = Possession::dpop(&proof, &Method::GET, "/orders");
    let refused = validate_shown(&takes, &raw, possession).unwrap_err();
    assert_eq!(refused.reason(), Reason::DpopTokenUnbound);
    let plain = validate_shown(&takes, &raw, Possession::bearer()).unwrap();
    assert!(!plain.is_sender_constrained() && plain.proof().is_none());
    let refused = validate_shown(&takes.sender_constrained(), &raw, Possession::bearer());
    assert_eq!(refused.unwrap_err().reason(), Reason::SenderConstraintRequired);
}

#[test]
fn members_that_are_not_understood_do_not_stand_in_for_one_that_is() {
    let raw = |cnf: Value| token().claim("cnf", cnf).sign();
    let takes = validation().dpop(dpop());
    let outcome = |raw: &str| {
        let proof = proof(raw).sign();
        let possession = Possession::dpop(&proof, &Method::GET, "/orders");
        validate_shown(&takes, raw, possession).map(|_| ()).map_err(|invalid| invalid.reason())
    };
    let jkt = proof_key().thumbprint();
    assert_eq!(outcome(&raw(json!({ "jkt": jkt, "x": 1 }))), Ok(()));
    let unknown = Err(Reason::ConfirmationUnsupported);
    assert_eq!(outcome(&raw(json!({ "jwk": {}, "JKT": jkt }))), unknown);
    assert_eq!(outcome(&raw(json!({}))), unknown);
    let twice = format!(r#"{{"iss":"{LOGIN}","cnf":{{"jkt":"{jkt}","jkt":"x"}}}}"#);
    assert_eq!(outcome(&token().payload(twice).sign()), Err(Reason::ClaimsMalformed));
}

// The guard.

#[test]
fn a_request_with_its_proof_is_granted_and_both_fields_are_taken_off() {
    let raw = bound().sign();
    for scheme in ["DPoP", "dpop", "DPOP"] {
        let mut head = head("/orders?x=1", &[&format!("{scheme} {raw}")]);
        head.headers.append("dpop", proof(&raw).sign().parse().unwrap());
        head.headers.append("x-other", "stays".parse().unwrap());
        let grant = proof_guard().authorize(&mut head, READ).now().unwrap().unwrap();
        assert!(grant.is_sender_constrained());
        assert!(grant.credential().is_dpop());
        assert_eq!(grant.credential().expose(), raw);
        let left: Vec<_> = head.headers.keys().map(|name| name.as_str()).collect();
        assert_eq!(left, ["x-other", "cache-control"]);
    }
}

#[test]
fn a_denied_request_is_left_as_it_was() {
    let raw = bound().sign();
    let mut head = dpop_head("/orders", &raw, &[&proof(&raw).claim("htm", "POST").sign()]);
    let denied = proof_guard().authorize(&mut head, READ).now().unwrap();
    assert_eq!(reason(denied), Some(Reason::DpopMethodMismatch));
    assert!(head.headers.contains_key("authorization") && head.headers.contains_key("dpop"));
}

#[test]
fn number_and_size_of_the_fields() {
    let raw = bound().sign();
    let proof = proof(&raw).sign();
    let reason = |guard: &Guard, proofs: &[&str]| {
        let mut head = dpop_head("/orders", &raw, proofs);
        reason(guard.authorize(&mut head, READ).now().unwrap())
    };
    let guard = proof_guard();
    assert_eq!(reason(&guard, &[]), Some(Reason::DpopProofMissing));
    assert_eq!(reason(&guard, &[&proof, &proof]), Some(Reason::DpopProofMultiple));
    assert_eq!(reason(&guard, &[&proof, ""]), Some(Reason::DpopProofMultiple));
    assert_eq!(reason(&guard, &[&format!("{proof}, {proof}")]), Some(Reason::DpopProofMultiple));
    let full = "a".repeat(Dpop::MAX_BYTES);
    assert_eq!(reason(&guard, &[&full]), Some(Reason::DpopProofMalformed));
    let larger = "a".repeat(Dpop::MAX_BYTES + 1);
    assert_eq!(reason(&guard, &[&larger]), Some(Reason::CredentialTooLarge));
    assert_eq!(reason(&guard, &[&proof, &larger]), Some(Reason::CredentialTooLarge));
    let small = proof_guard().max_token_bytes(10);
    assert_eq!(reason(&small, &[&proof]), Some(Reason::CredentialTooLarge));
    let denial = ask_field(&guard, &raw, &larger);
    assert_eq!(denial.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert!(denial.challenge().is_none());
    assert_eq!(reason(&guard, &[&proof]), None);
}

fn ask_field(guard: &Guard, raw: &str, field: &str) -> Denial {
    let mut head = dpop_head("/orders", raw, &[field]);
    guard.authorize(&mut head, READ).now().unwrap().unwrap_err()
}

#[test]
fn a_bound_token_as_bearer_is_refused_whatever_comes_with_it() {
    let raw = bound().sign();
    let proof = proof(&raw).sign();
    let (counted, asked) = store_that(|| Ok(Remembered::First));
    let guard = guard().dpop(dpop(), counted);
    for proofs in [&[][..], &[&*proof], &[&proof, &proof], &["x"]] {
        let mut head = head("/orders", &[&format!("Bearer {raw}")]);
        for proof in proofs {
            head.headers.append("dpop", proof.parse().unwrap());
        }
        let denial = guard.authorize(&mut head, READ).now().unwrap().unwrap_err();
        assert_eq!(denial.reason(), Reason::BoundTokenAsBearer);
        // Also where it lacks the scope: nothing of that is told.
        let denial = guard.authorize(&mut head, WRITE).now().unwrap().unwrap_err();
        assert_eq!(denial.reason(), Reason::BoundTokenAsBearer);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[test]
fn an_unbound_token_passes_as_bearer_and_a_proof_beside_it_counts_for_nothing() {
    let raw = token().scope("orders:read").sign();
    let (counted, asked) = store_that(|| Ok(Remembered::First));
    let guard = guard().dpop(dpop(), counted);
    let mut head = head("/orders", &[&format!("Bearer {raw}")]);
    head.headers.append("dpop", proof(&raw).sign().parse().unwrap());
    let grant = guard.authorize(&mut head, READ).now().unwrap().unwrap();
    assert!(!grant.is_sender_constrained() && grant.proof().is_none());
    assert_eq!(head.headers.keys().collect::<Vec<_>>(), ["cache-control"]);
    let denied = ask_with_proof(&guard, &raw, &proof(&raw), READ);
    assert_eq!(reason(denied), Some(Reason::DpopTokenUnbound));
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[test]
fn a_guard_that_takes_no_proofs_offers_no_scheme_for_them() {
    let raw = bound().sign();
    let denial = ask_with_proof(&guard(), &raw, &proof(&raw), READ).unwrap_err();
    assert_eq!(denial.reason(), Reason::UnsupportedAuthScheme);
    assert_eq!(challenges(&denial), [format!(r#"Bearer scope="orders:read", {METADATA}"#)]);
    assert!(!denial.headers().contains_key("dpop-nonce"));
}

#[test]
fn two_credentials_are_refused_on_both_schemes() {
    let raw = bound().sign();
    let mut head = head("/orders", &[&format!("Bearer {raw}"), &format!("DPoP {raw}")]);
    head.headers.append("dpop", proof(&raw).sign().parse().unwrap());
    let denial = proof_guard().authorize(&mut head, READ).now().unwrap().unwrap_err();
    assert_eq!(denial.status(), StatusCode::BAD_REQUEST);
    let error = r#"error="invalid_request", error_description="More than one credential was sent""#;
    assert_eq!(
        challenges(&denial),
        [format!("Bearer {error}, {METADATA}"), format!("DPoP {error}, {ALGS}, {METADATA}")]
    );
}

#[test]
fn the_audience_need_not_be_a_url() {
    const API: Audience = Audience::from_static("api://orders");
    let guard = Guard::new(API, login().issuer()).clock(now).dpop(dpop(), store());
    let raw = login().token(&API).issued_at(now()).bound_to(proof_key()).sign();
    assert!(ask_with_proof(&guard, &raw, &proof(&raw), Require::valid_token()).is_ok());
}

#[test]
fn neither_host_nor_forwarded_fields_say_where_a_request_went() {
    let raw = bound().sign();
    let evil = "https://evil.example/orders";
    for (htu, expected) in [(URL, None), (evil, Some(Reason::DpopUriMismatch))] {
        let proof = proof(&raw).claim("htu", htu).sign();
        let mut head = dpop_head("/orders", &raw, &[&proof]);
        for (name, value) in [
            ("host", "evil.example"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-prefix", "/x"),
            ("x-original-url", "/x"),
            ("forwarded", "host=evil.example;proto=http"),
        ] {
            head.headers.insert(name, value.parse().unwrap());
        }
        assert_eq!(reason(proof_guard().authorize(&mut head, READ).now().unwrap()), expected);
        // HTTP/2 has the authority in the URI.
        let mut head = dpop_head("http://evil.example:1/orders?x", &raw, &[&proof]);
        assert_eq!(reason(proof_guard().authorize(&mut head, READ).now().unwrap()), expected);
    }
}

// Challenges: exactly.

#[test]
fn each_denial_has_its_exact_challenges() {
    let raw = bound().sign();
    let plain = token().scope("orders:read");
    let guard = proof_guard();
    let answer = |guard: &Guard, fields: &[&str]| {
        guard.authorize(&mut head("/orders", fields), READ).now().unwrap().unwrap_err()
    };
    let bearer = |raw: &str| format!("Bearer {raw}");
    let proved = |proof: TestProof| ask_with_proof(&guard, &raw, &proof, READ).unwrap_err();
    let table: Vec<(&str, Denial, u16, Vec<String>)> = vec![
        (
            "no credentials",
            answer(&guard, &[]),
            401,
            vec![
                format!(r#"Bearer scope="orders:read", {METADATA}"#),
                format!(r#"DPoP {ALGS}, scope="orders:read", {METADATA}"#),
            ],
        ),
        (
            "another scheme",
            answer(&guard, &["Basic dTpw"]),
            401,
            vec![
                format!(r#"Bearer scope="orders:read", {METADATA}"#),
                format!(r#"DPoP {ALGS}, scope="orders:read", {METADATA}"#),
            ],
        ),
        (
            "expired, as bearer",
            answer(&guard, &[&plain.clone().expired().bearer()]),
            401,
            vec![format!(
                r#"Bearer error="invalid_token", error_description="The access token expired", {METADATA}"#
            )],
        ),
        (
            "bound, as bearer",
            answer(&guard, &[&bearer(&raw)]),
            401,
            vec![
                format!(
                    r#"DPoP error="invalid_token", error_description="The access token is bound to a key and must be sent with the DPoP scheme", {ALGS}, {METADATA}"#
                ),
                format!("Bearer {METADATA}"),
            ],
        ),
        (
            "not bound, and it must be",
            answer(&proof_guard().sender_constrained(), &[&plain.bearer()]),
            401,
            vec![format!(
                r#"DPoP error="invalid_token", error_description="The access token must be bound to a key", {ALGS}, {METADATA}"#
            )],
        ),
        (
            "not bound",
            ask_with_proof(&guard, &plain.sign(), &proof("x"), READ).unwrap_err(),
            401,
            vec![format!(
                r#"DPoP error="invalid_token", error_description="The access token is not bound to a DPoP key", {ALGS}, {METADATA}"#
            )],
        ),
        (
            "no proof",
            answer(&guard, &[&format!("DPoP {raw}")]),
            401,
            vec![format!(
                r#"DPoP error="invalid_dpop_proof", error_description="A DPoP proof is required", {ALGS}, {METADATA}"#
            )],
        ),
        (
            "another key",
            proved(other_key().proof("GET", URL).issued_at(now()).token(&raw)),
            401,
            vec![format!(
                r#"DPoP error="invalid_token", error_description="Invalid DPoP key binding", {ALGS}, {METADATA}"#
            )],
        ),
        (
            "stale",
            proved(proof(&raw).issued_at(at(-100))),
            401,
            vec![format!(
                r#"DPoP error="invalid_dpop_proof", error_description="The DPoP proof is not recent", {ALGS}, {METADATA}"#
            )],
        ),
        (
            "too little scope",
            ask_with_proof(&guard, &raw, &proof(&raw), WRITE).unwrap_err(),
            403,
            vec![format!(
                r#"DPoP error="insufficient_scope", error_description="The request requires higher privileges", {ALGS}, scope="orders:write", {METADATA}"#
            )],
        ),
    ];
    for (what, denial, status, expected) in table {
        assert_eq!(denial.status(), status, "{what}");
        assert_eq!(challenges(&denial), expected, "{what}");
        assert_eq!(denial.challenge().unwrap().to_string(), expected.join(", "), "{what}");
        assert_eq!(denial.headers()["cache-control"], "no-store", "{what}");
        assert!(!denial.headers().contains_key("dpop-nonce"), "{what}");
    }
}

#[test]
fn challenges_tell_the_algorithms_that_the_owner_takes_in_the_owners_order() {
    let dpop = dpop().algorithms([Algorithm::Ps256, Algorithm::Es384, Algorithm::EdDsa]);
    let guard = guard().dpop(dpop, store());
    let denial = guard.authorize(&mut head("/orders", &[]), READ).now().unwrap().unwrap_err();
    assert!(challenges(&denial)[1].contains(r#"algs="PS256 ES384 EdDSA""#));
}

#[test]
fn a_step_up_is_asked_under_the_scheme_of_the_token() {
    let raw = bound().acr("low").sign();
    let requirement =
        Require::scope(WRITE).acr([unconfused::Acr::from_static("phr")]).max_age(secs(300));
    let denial = ask_with_proof(&proof_guard(), &raw, &proof(&raw), requirement).unwrap_err();
    assert_eq!(
        challenges(&denial),
        [format!(
            r#"DPoP error="insufficient_user_authentication", error_description="A different authentication level is required", {ALGS}, acr_values="phr", max_age="300", scope="orders:write", {METADATA}"#
        )]
    );
}

// Once.

#[test]
fn a_proof_is_accepted_once() {
    let raw = bound().sign();
    let guard = proof_guard();
    let proof = proof(&raw);
    assert_eq!(reason(ask_with_proof(&guard, &raw, &proof, READ)), None);
    let again = Some(Reason::DpopProofReplayed);
    assert_eq!(reason(ask_with_proof(&guard, &raw, &proof, READ)), again);
    // By a clone, signed anew, for another requirement.
    assert_eq!(reason(ask_with_proof(&guard.clone(), &raw, &proof, READ)), again);
    assert_eq!(reason(ask_with_proof(&guard, &raw, &proof.clone().claim("x", 1), READ)), again);
    assert_eq!(reason(ask_with_proof(&guard, &raw, &proof, WRITE)), again);
    // Another proof of the same key is another.
    assert_eq!(reason(ask_with_proof(&guard, &raw, &common::proof(&raw), READ)), None);
}

#[test]
fn a_proof_of_a_request_that_was_denied_for_its_scope_is_used_up() {
    let raw = bound().sign();
    let guard = proof_guard();
    let proof = proof(&raw);
    let lacks = ask_with_proof(&guard, &raw, &proof, WRITE);
    assert_eq!(reason(lacks), Some(Reason::InsufficientScope));
    let again = ask_with_proof(&guard, &raw, &proof, READ);
    assert_eq!(reason(again), Some(Reason::DpopProofReplayed));
}

#[test]
fn one_jti_under_two_keys_is_two_proofs() {
    let guard = proof_guard();
    let ours = bound().sign();
    let theirs = token().scope("orders:read").bound_to(other_key()).sign();
    assert!(ask_with_proof(&guard, &ours, &proof(&ours).claim("jti", "1"), READ).is_ok());
    let proof = other_key().proof("GET", URL).issued_at(now()).token(&theirs).claim("jti", "1");
    assert!(ask_with_proof(&guard, &theirs, &proof, READ).is_ok());
}

#[test]
fn guards_over_one_store_accept_a_proof_once_between_them() {
    let store = Arc::new(store());
    let raw = bound().sign();
    let first = guard().dpop(dpop(), store.clone());
    let second = guard().dpop(dpop().window(secs(60), secs(5)), store.clone()).leeway(secs(1));
    let proof = proof(&raw);
    assert_eq!(reason(ask_with_proof(&first, &raw, &proof, READ)), None);
    let again = ask_with_proof(&second, &raw, &proof, READ);
    assert_eq!(reason(again), Some(Reason::DpopProofReplayed));
    assert_eq!(store.len(), 1);
}

#[test]
fn a_store_answers_for_itself() {
    let raw = bound().sign();
    let denied = |answer: fn() -> Result<Remembered, StoreUnavailable>| {
        let (store, asked) = store_that(answer);
        let denial = ask_with_proof(&guard().dpop(dpop(), store), &raw, &proof(&raw), READ);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        denial.unwrap_err()
    };
    let again = denied(|| Ok(Remembered::Again));
    assert_eq!(again.reason(), Reason::DpopProofReplayed);
    assert_eq!(
        challenges(&again),
        [format!(
            r#"DPoP error="invalid_dpop_proof", error_description="The DPoP proof has already been used", {ALGS}, {METADATA}"#
        )]
    );

    let forgotten = denied(|| Ok(Remembered::BeforeEpoch));
    assert_eq!(forgotten.reason(), Reason::DpopProofStale);
    assert!(forgotten.to_string().contains("before the store began"), "{forgotten}");

    let down = denied(|| Err(StoreUnavailable::new("connection refused")));
    assert_eq!(down.reason(), Reason::ReplayStoreUnavailable);
    assert_eq!(down.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(down.to_string().contains("connection refused"), "{down}");

    let full = denied(|| Ok(Remembered::ShareFull));
    assert_eq!(full.reason(), Reason::RateLimited);
    assert_eq!(full.status(), StatusCode::TOO_MANY_REQUESTS);
    for denial in [down, full] {
        let headers = denial.headers();
        assert!(headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
        assert!(!headers.contains_key("www-authenticate"));
        assert_eq!(denial.reason().remedy(), Remedy::RetryLater);
        let problem = denial.problem_json();
        assert!(!problem.contains("refused"), "{problem}");
    }
}

#[test]
fn a_store_that_began_just_now_knows_nothing_of_before() {
    let raw = bound().sign();
    let guard = guard().dpop(dpop(), MemoryReplayStore::new_at(now()));
    for offset in [-60, 0, 10] {
        let denied = ask_with_proof(&guard, &raw, &proof(&raw).issued_at(at(offset)), READ);
        assert_eq!(reason(denied), Some(Reason::DpopProofStale), "{offset}");
    }
    let later = guard.clock(|| at(11));
    assert!(ask_with_proof(&later, &raw, &proof(&raw).issued_at(at(11)), READ).is_ok());
}

#[test]
fn one_key_has_its_share_of_a_memory_store() {
    let store = MemoryReplayStore::with_capacity_at(40, at(-1000)).max_share_percent(10);
    let guard = guard().dpop(dpop(), store);
    let raw = bound().sign();
    for _ in 0..4 {
        assert!(ask_with_proof(&guard, &raw, &proof(&raw), READ).is_ok());
    }
    let full = ask_with_proof(&guard, &raw, &proof(&raw), READ);
    assert_eq!(reason(full), Some(Reason::RateLimited));
    // Another key has its own.
    let theirs = token().scope("orders:read").bound_to(other_key()).sign();
    let proof = other_key().proof("GET", URL).issued_at(now()).token(&theirs);
    assert!(ask_with_proof(&guard, &theirs, &proof, READ).is_ok());
}

#[test]
fn a_full_memory_store_is_unavailable() {
    let store = MemoryReplayStore::with_capacity_at(2, at(-1000)).max_share_percent(100);
    let guard = guard().dpop(dpop(), store);
    let raw = bound().sign();
    for _ in 0..2 {
        assert!(ask_with_proof(&guard, &raw, &proof(&raw), READ).is_ok());
    }
    let full = ask_with_proof(&guard, &raw, &proof(&raw), READ).unwrap_err();
    let share = full.reason() == Reason::RateLimited;
    assert!(share || full.reason() == Reason::ReplayStoreUnavailable, "{full}");
}

// Nonces.

fn nonces() -> Nonces {
    Nonces::new([7; 32])
}

/// A clock that is set by hand.
fn hand() -> (Arc<AtomicI64>, impl Fn() -> UtcDateTime + Send + Sync + Clone + 'static) {
    let hand = Arc::new(AtomicI64::new(0));
    let clock = hand.clone();
    (hand, move || at(clock.load(Ordering::SeqCst)))
}

fn told(denial: &Denial) -> String {
    denial.headers()["dpop-nonce"].to_str().unwrap().to_owned()
}

#[test]
fn a_proof_without_a_nonce_is_told_one_and_passes_with_it() {
    let guard = guard().dpop(dpop().nonces(nonces()), store());
    let raw = bound().sign();
    let denial = ask_with_proof(&guard, &raw, &proof(&raw), READ).unwrap_err();
    assert_eq!(denial.reason(), Reason::DpopNonceRequired);
    assert_eq!(denial.reason().remedy(), Remedy::RetryWithNonce);
    assert_eq!(denial.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        challenges(&denial),
        [format!(
            r#"DPoP error="use_dpop_nonce", error_description="Resource server requires nonce in DPoP proof", {ALGS}, {METADATA}"#
        )]
    );
    let headers = denial.headers();
    assert_eq!(headers["cache-control"], "no-store");
    // RFC 9449 section 8.1: 1*NQCHAR
    let nonce = told(&denial);
    assert!(!nonce.is_empty());
    assert!(nonce.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)), "{nonce}");

    assert!(ask_with_proof(&guard, &raw, &proof(&raw).nonce(&nonce), READ).is_ok());
    // One nonce serves several proofs, and each of them once.
    let second = proof(&raw).nonce(&nonce);
    assert!(ask_with_proof(&guard, &raw, &second, READ).is_ok());
    let replayed = ask_with_proof(&guard, &raw, &second, READ).unwrap_err();
    assert_eq!(replayed.reason(), Reason::DpopProofReplayed);
    assert!(!told(&replayed).is_empty());
}

#[test]
fn once_there_are_nonces_none_is_not_enough() {
    // RFC 9449 section 11.3
    let guard = guard().dpop(dpop().nonces(nonces()), store());
    let raw = bound().sign();
    let nonce = told(&ask_with_proof(&guard, &raw, &proof(&raw), READ).unwrap_err());
    assert!(ask_with_proof(&guard, &raw, &proof(&raw).nonce(&nonce), READ).is_ok());
    let without = ask_with_proof(&guard, &raw, &proof(&raw), READ);
    assert_eq!(reason(without), Some(Reason::DpopNonceRequired));
    for wrong in ["", "x", &nonce[1..], &format!("{nonce}A"), &nonce.to_uppercase()] {
        let denial = ask_with_proof(&guard, &raw, &proof(&raw).nonce(wrong), READ).unwrap_err();
        assert_eq!(denial.reason(), Reason::DpopNonceInvalid, "{wrong}");
        assert_eq!(denial.challenge().unwrap().error(), Some("use_dpop_nonce"));
        assert_eq!(denial.headers()["cache-control"], "no-store");
        assert_eq!(told(&denial), nonce);
    }
}

#[test]
fn a_nonce_says_how_fresh_a_proof_is_and_the_clock_of_the_client_does_not() {
    let (hand, clock) = hand();
    let guard = guard().dpop(dpop().nonces(nonces()), store()).clock(clock);
    let raw = bound().lifetime(secs(3000)).sign();
    let nonce = told(&ask_with_proof(&guard, &raw, &proof(&raw), READ).unwrap_err());
    for clock_of_client in [-1_000_000, 1_000_000] {
        let proof = proof(&raw).issued_at(at(clock_of_client)).nonce(&nonce);
        assert!(ask_with_proof(&guard, &raw, &proof, READ).is_ok(), "{clock_of_client}");
    }
    let kept = proof(&raw).nonce(&nonce);
    assert!(ask_with_proof(&guard, &raw, &kept, READ).is_ok());
    for (seconds, expected) in [
        (100, Reason::DpopProofReplayed),
        (299, Reason::DpopProofReplayed),
        (301, Reason::DpopNonceInvalid),
    ] {
        hand.store(seconds, Ordering::SeqCst);
        let denial = ask_with_proof(&guard, &raw, &kept, READ).unwrap_err();
        assert_eq!(denial.reason(), expected, "{seconds}");
        assert_ne!(told(&denial), nonce);
    }
}

#[test]
fn a_nonce_of_the_previous_key_is_good_until_the_key_goes() {
    let raw = bound().sign();
    let old = guard().dpop(dpop().nonces(Nonces::new([1; 32])), store());
    let nonce = told(&ask_with_proof(&old, &raw, &proof(&raw), READ).unwrap_err());
    let with = |nonces| {
        let guard = guard().dpop(dpop().nonces(nonces), store());
        ask_with_proof(&guard, &raw, &proof(&raw).nonce(&nonce), READ)
    };
    assert_eq!(reason(with(Nonces::new([2; 32]).previous([1; 32]))), None);
    let gone = with(Nonces::new([2; 32])).unwrap_err();
    assert_eq!(gone.reason(), Reason::DpopNonceInvalid);
    assert_ne!(told(&gone), nonce);
}

#[test]
fn a_nonce_is_told_wherever_a_proof_is_expected_next() {
    let guard = guard().dpop(dpop().nonces(nonces()), store());
    let raw = bound().sign();
    let fields = |fields: &[&str]| {
        guard.authorize(&mut head("/orders", fields), READ).now().unwrap().unwrap_err()
    };
    let with = |proof: TestProof| ask_with_proof(&guard, &raw, &proof, READ).unwrap_err();
    for denial in [
        fields(&[]),
        fields(&["Basic dTpw"]),
        fields(&[&format!("DPoP {raw}")]),
        with(proof(&raw).claim("htm", "POST")),
        with(proof("another")),
    ] {
        assert!(!told(&denial).is_empty(), "{denial}");
    }
    // Not to who uses the other scheme.
    let expired = fields(&[&token().expired().bearer()]);
    assert!(!expired.headers().contains_key("dpop-nonce"));
}

#[test]
fn an_expensive_check_comes_after_a_cheap_one_also_with_nonces() {
    let guard = guard().dpop(dpop().nonces(nonces()), store());
    let raw = bound().sign();
    for (proof, expected) in [
        (proof(&raw).claim("htm", "POST"), Reason::DpopMethodMismatch),
        (proof(&raw).forged_by(other_key()), Reason::DpopSignatureInvalid),
        (proof("another"), Reason::DpopTokenHashMismatch),
        (other_key().proof("GET", URL).issued_at(now()).token(&raw), Reason::DpopKeyMismatch),
    ] {
        for proof in [proof.clone(), proof.nonce("x")] {
            assert_eq!(reason(ask_with_proof(&guard, &raw, &proof, READ)), Some(expected));
        }
    }
}

#[test]
fn nonces_may_be_for_chosen_routes() {
    let guard = guard()
        .dpop(dpop().nonces(nonces()), store())
        .require_nonce_if(|_, path| path.starts_with("/payments"));
    let raw = bound().sign();
    let ask = |path: &str, proof: TestProof| {
        let proof = proof.claim("htu", format!("{BASE}{path}")).sign();
        let mut head = dpop_head(path, &raw, &[&proof]);
        guard.authorize(&mut head, READ).now().unwrap()
    };
    assert_eq!(reason(ask("/orders", proof(&raw))), None);
    // There its own time counts.
    assert_eq!(
        reason(ask("/orders", proof(&raw).issued_at(at(-61)))),
        Some(Reason::DpopProofStale)
    );
    let denial = ask("/payments", proof(&raw)).unwrap_err();
    assert_eq!(denial.reason(), Reason::DpopNonceRequired);
    let nonce = told(&denial);
    assert_eq!(reason(ask("/payments", proof(&raw).nonce(&nonce))), None);
    assert_eq!(reason(ask("/orders", proof(&raw).nonce(&nonce))), None);
    // One that is there must be good, also where none is asked for; and it lengthens nothing.
    assert_eq!(reason(ask("/orders", proof(&raw).nonce("x"))), Some(Reason::DpopNonceInvalid));
    let old = proof(&raw).nonce(&nonce).issued_at(at(-61));
    assert_eq!(reason(ask("/orders", old)), Some(Reason::DpopProofStale));
}

#[test]
fn a_store_that_began_after_a_nonce_asks_for_a_new_one() {
    let (hand, clock) = hand();
    let store = MemoryReplayStore::new_at(at(100));
    let guard = guard().dpop(dpop().nonces(nonces()), store).clock(clock);
    let raw = bound().sign();
    let nonce = told(&ask_with_proof(&guard, &raw, &proof(&raw), READ).unwrap_err());
    hand.store(106, Ordering::SeqCst);
    let denial = ask_with_proof(&guard, &raw, &proof(&raw).nonce(&nonce), READ).unwrap_err();
    assert_eq!(denial.reason(), Reason::DpopNonceInvalid);
    let nonce = told(&denial);
    assert!(ask_with_proof(&guard, &raw, &proof(&raw).nonce(&nonce), READ).is_ok());
}

// Several guards and layers.

/// A store that counts what it remembers.
fn counted() -> (impl unconfused::replay::ReplayStore + Clone, Arc<Mutex<Vec<ReplayEntry>>>) {
    let entries = Arc::new(Mutex::new(Vec::new()));
    let (memory, seen) = (Arc::new(store()), entries.clone());
    let store = move |entry: ReplayEntry| -> ReplayAnswer {
        seen.lock().unwrap().push(entry.clone());
        unconfused::replay::ReplayStore::insert(&memory, entry)
    };
    (store, entries)
}

#[test]
fn a_second_guard_validates_the_proof_again_and_does_not_use_it_up() {
    let (store, entries) = counted();
    let first = guard().dpop(dpop(), store.clone());
    let second = guard().dpop(dpop(), store.clone()).sender_constrained();
    let raw = bound().sign();
    let mut head = dpop_head("/orders", &raw, &[&proof(&raw).sign()]);
    first.authorize(&mut head, READ).now().unwrap().unwrap();
    assert!(!head.headers.contains_key("dpop"));
    let grant = second.authorize(&mut head, READ).now().unwrap().unwrap();
    assert!(grant.made_by(&second) && grant.is_sender_constrained() && grant.proof().is_some());
    first.authorize(&mut head, READ).now().unwrap().unwrap();
    let narrowed = first.narrow(&grant, READ).now().unwrap().unwrap();
    assert!(narrowed.proof().is_some());
    assert_eq!(entries.lock().unwrap().len(), 1);

    // A guard of another base is not convinced.
    let elsewhere =
        guard().dpop(Dpop::for_base_url("https://other.example").unwrap(), store.clone());
    let refused = elsewhere.narrow(&grant, READ).now().unwrap();
    assert_eq!(reason(refused), Some(Reason::DpopUriMismatch));
    // Nor one that takes no proofs.
    let refused = guard().narrow(&grant, READ).now().unwrap();
    assert_eq!(reason(refused), Some(Reason::ConfirmationUnsupported));
    let refused = guard().authorize(&mut head, READ).now().unwrap();
    assert_eq!(reason(refused), Some(Reason::UnsupportedAuthScheme));
    // Nor one that wants a nonce.
    let strict = guard().dpop(dpop().nonces(nonces()), store);
    let refused = strict.authorize(&mut head, READ).now().unwrap();
    assert_eq!(reason(refused), Some(Reason::DpopNonceRequired));
    assert_eq!(entries.lock().unwrap().len(), 1);
}

#[test]
fn a_grant_of_another_request_does_not_stand_in_for_a_proof() {
    let guard = proof_guard();
    let raw = bound().sign();
    let proof = proof(&raw).sign();
    let mut first = dpop_head("/orders", &raw, &[&proof]);
    let grant = guard.authorize(&mut first, READ).now().unwrap().unwrap();
    for (proofs, expected) in
        [(&[][..], Reason::DpopProofMissing), (&[&*proof], Reason::DpopProofReplayed)]
    {
        let mut second = dpop_head("/orders", &raw, proofs);
        second.extensions.insert(grant.clone());
        assert_eq!(reason(guard.authorize(&mut second, READ).now().unwrap()), Some(expected));
        assert!(second.extensions.get::<Grant>().is_none());
    }
    // A proof that somebody puts beside a grant is no credential.
    first.headers.insert("dpop", proof.parse().unwrap());
    assert!(guard.authorize(&mut first, READ).now().unwrap().is_ok());
    assert!(!first.headers.contains_key("dpop"));
}

/// What the handler sees.
async fn inside(headers: HeaderMap, grant: Grant) -> String {
    let names: Vec<_> = headers.keys().map(|name| name.as_str()).collect();
    format!("{} {names:?}", grant.is_sender_constrained())
}

async fn send(app: &Router, path: &str, raw: &str, proof: &TestProof) -> Response<Body> {
    let request = Request::get(path)
        .header("authorization", format!("DPoP {raw}"))
        .header("dpop", proof.sign())
        .body(Body::empty())
        .unwrap();
    app.clone().oneshot(request).await.unwrap()
}

fn denial(response: &Response<Body>) -> Option<Reason> {
    response.extensions().get::<Denial>().map(Denial::reason)
}

#[tokio::test]
async fn inside_nested_routers_the_path_is_the_requests_own() {
    let (store, entries) = counted();
    let guard = guard().dpop(dpop(), store);
    let items = Router::new().route("/{id}", get(inside).route_layer(guard.require(READ)));
    let orders = Router::new().nest("/items", items).layer(guard.require(READ));
    let app = Router::new().nest("/v1/orders", orders).layer(guard.require(Require::valid_token()));

    let raw = bound().sign();
    let proof = |path: &str| {
        proof_key().proof("GET", &format!("{BASE}{path}")).issued_at(now()).token(&raw)
    };
    let path = "/v1/orders/items/7?x=1";
    let response = send(&app, path, &raw, &proof("/v1/orders/items/7")).await;
    assert_eq!(denial(&response), None);
    let text = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(text, r#"true ["cache-control"]"#);
    assert_eq!(entries.lock().unwrap().len(), 1);
    for inner in ["/7", "/items/7", "/v1/orders", "/v1/orders/items/8"] {
        let response = send(&app, path, &raw, &proof(inner)).await;
        assert_eq!(denial(&response), Some(Reason::DpopUriMismatch), "{inner}");
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
    let again = proof("/v1/orders/items/7");
    assert_eq!(denial(&send(&app, path, &raw, &again).await), None);
    let replayed = send(&app, path, &raw, &again).await;
    assert_eq!(denial(&replayed), Some(Reason::DpopProofReplayed));
}

#[tokio::test]
async fn a_guard_that_stands_only_inside_a_nested_router_sees_the_whole_path_too() {
    let guard = proof_guard();
    let inner = Router::new().route("/items", any(inside)).layer(guard.require(READ));
    let app = Router::new().nest("/v1", Router::new().nest("/shop", inner));
    let raw = bound().sign();
    let proof = |url: &str| proof_key().proof("GET", url).issued_at(now()).token(&raw);
    let whole = proof("https://orders.example/v1/shop/items");
    assert_eq!(denial(&send(&app, "/v1/shop/items", &raw, &whole).await), None);
    let part = proof("https://orders.example/items");
    let response = send(&app, "/v1/shop/items", &raw, &part).await;
    assert_eq!(denial(&response), Some(Reason::DpopUriMismatch));
}

#[tokio::test]
async fn both_schemes_and_a_nonce_are_fields_of_the_answer() {
    let guard = guard().dpop(dpop().nonces(nonces()), store());
    let app = Router::new().route("/orders", get(inside).route_layer(guard.require(READ)));
    let request = Request::get("/orders").body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let fields: Vec<_> = response.headers().get_all("www-authenticate").iter().collect();
    assert_eq!(
        fields,
        [
            &*format!(r#"Bearer scope="orders:read", {METADATA}"#),
            &*format!(r#"DPoP {ALGS}, scope="orders:read", {METADATA}"#),
        ]
    );
    assert_eq!(response.headers().get_all("dpop-nonce").iter().count(), 1);

    let raw = bound().sign();
    let response = send(&app, "/orders", &raw, &proof(&raw)).await;
    assert_eq!(denial(&response), Some(Reason::DpopNonceRequired));
    assert_eq!(response.headers()["cache-control"], "no-store");
    let nonce = response.headers()["dpop-nonce"].to_str().unwrap();
    let response = send(&app, "/orders", &raw, &proof(&raw).nonce(nonce)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("dpop-nonce"));
}

/// As a store behind a network: the answer comes later.
fn slow() -> impl unconfused::replay::ReplayStore {
    let memory = Arc::new(store());
    move |entry: ReplayEntry| -> ReplayAnswer {
        let memory = memory.clone();
        Answer::later(async move {
            tokio::task::yield_now().await;
            unconfused::replay::ReplayStore::insert(&memory, entry).await
        })
    }
}

#[tokio::test]
async fn a_nonce_that_is_ending_is_followed_by_a_fresh_one_on_the_answer() {
    for slow_store in [false, true] {
        let (hand, clock) = hand();
        let guard = guard().clock(clock);
        let dpop = dpop().nonces(nonces());
        let guard = match slow_store {
            true => guard.dpop(dpop, slow()),
            false => guard.dpop(dpop, store()),
        };
        let app = Router::new()
            .route("/orders", get(inside).route_layer(guard.require(READ)))
            .layer(guard.require(Require::valid_token()));
        let raw = bound().sign();
        let first = send(&app, "/orders", &raw, &proof(&raw)).await;
        let nonce = first.headers()["dpop-nonce"].to_str().unwrap().to_owned();
        let send = async |nonce: &str| {
            let response = send(&app, "/orders", &raw, &proof(&raw).nonce(nonce)).await;
            assert_eq!(response.status(), StatusCode::OK);
            let told: Vec<_> = response.headers().get_all("dpop-nonce").iter().cloned().collect();
            told
        };
        hand.store(150, Ordering::SeqCst);
        assert!(send(&nonce).await.is_empty());
        hand.store(151, Ordering::SeqCst);
        let told = send(&nonce).await;
        assert_eq!(told.len(), 1);
        assert_ne!(told[0], nonce);
        assert!(send(told[0].to_str().unwrap()).await.is_empty());
    }
}

#[tokio::test]
async fn a_route_that_needs_no_nonce_tells_one_to_who_has_none() {
    let guard = guard().dpop(dpop().nonces(nonces()), store()).require_nonce_if(|_, _| false);
    let app = Router::new().route("/orders", get(inside).route_layer(guard.require(READ)));
    let raw = bound().sign();
    let response = send(&app, "/orders", &raw, &proof(&raw)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let nonce = response.headers()["dpop-nonce"].to_str().unwrap();
    let response = send(&app, "/orders", &raw, &proof(&raw).nonce(nonce)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("dpop-nonce"));
}

#[tokio::test]
async fn an_optional_layer_judges_a_bound_token_in_full() {
    let guard = proof_guard();
    let app = Router::new()
        .route("/orders", get(async |grant: Option<Grant>| grant.is_some().to_string()))
        .layer(guard.optional(READ));
    let raw = bound().sign();
    assert_eq!(denial(&send(&app, "/orders", &raw, &proof(&raw)).await), None);
    let wrong = send(&app, "/orders", &raw, &proof("another")).await;
    assert_eq!(denial(&wrong), Some(Reason::DpopTokenHashMismatch));
    // A proof alone is no credential.
    let request = Request::get("/orders").header("dpop", proof(&raw).sign());
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "false");
}

#[tokio::test]
async fn of_many_that_bring_one_proof_at_once_one_passes() {
    for slow_store in [false, true] {
        let guard = match slow_store {
            true => guard().dpop(dpop(), slow()),
            false => proof_guard(),
        };
        let app = Router::new().route("/orders", get(inside).route_layer(guard.require(READ)));
        let raw = bound().sign();
        let proof = proof(&raw);
        let mut tasks = Vec::new();
        for _ in 0..32 {
            let (app, raw, proof) = (app.clone(), raw.clone(), proof.clone());
            tasks.push(tokio::spawn(
                async move { send(&app, "/orders", &raw, &proof).await.status() },
            ));
        }
        let mut passed = 0;
        for task in tasks {
            passed += usize::from(task.await.unwrap() == StatusCode::OK);
        }
        assert_eq!(passed, 1);
    }
}

// What is shown of it.

#[test]
fn nothing_that_is_printed_shows_a_key_or_a_proof() {
    let raw = bound().sign();
    let proof = proof(&raw).sign();
    let possession = Possession::dpop(&proof, &Method::GET, "/orders");
    let token = UnverifiedToken::parse(&raw).unwrap().with_possession(possession.clone());
    let printed = format!(
        "{possession:?} {token:?} {:?} {:?} {:?}",
        proof_key(),
        nonces(),
        dpop().nonces(nonces()),
    );
    let (_, rest) = proof.split_once('.').unwrap();
    for part in proof.split('.').chain(rest.split('.')).chain(["7, 7"]) {
        assert!(!printed.contains(part), "{printed}");
    }
}
