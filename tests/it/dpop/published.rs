//! Published examples, and near misses of them.

use super::*;

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
    let rows: Vec<Vector> = rows(include_str!("../../vectors/dpop.jsonl"));
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
    let rows: Vec<Vector> = rows(include_str!("../../vectors/dpop.jsonl"));
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
    let rows: Vec<Vector> = rows(include_str!("../../vectors/dpop.jsonl"));
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
    // The proof is good, but for another token.
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
    let rows: Vec<Htu> = rows(include_str!("../../vectors/htu.jsonl"));
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
