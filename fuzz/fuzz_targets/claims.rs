#![no_main]
//! Any payload, validly signed: what is accepted says what another JSON parser reads.

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use unconfused_fuzz::{AUDIENCE, ISSUER, NOW, read_again, signed};

/// The last second of the year 9999, the latest time that a claim may name.
const YEAR_9999: f64 = 253_402_300_799.0;

fuzz_target!(|payload: &str| {
    let Ok(token) = signed(payload) else { return };
    let Some(claims) = read_again(payload) else {
        return;
    };
    let text = |name: &str| claims.get(name).map(|value| value.as_str().expect("a string"));
    let time = |name: &str| claims.get(name).map(|value| value.as_f64().expect("a number"));
    let close = |date: time::UtcDateTime, seconds: f64| {
        assert!((date.unix_timestamp_nanos() as f64 / 1e9 - seconds).abs() < 1e-3);
    };

    assert_eq!((Some(token.issuer()), token.issuer()), (text("iss"), ISSUER));
    let subject = token.subject();
    assert_eq!(subject.issuer(), ISSUER);
    assert_eq!(Some(subject.name()), text("sub").filter(|sub| !sub.is_empty()));
    assert_eq!(token.client_id().filter(|id| !id.is_empty()), text("client_id"));
    assert_eq!(token.jti().filter(|jti| !jti.is_empty()), text("jti"));
    assert_eq!(token.tenant(), None);
    assert_eq!(token.audience(), Some(&AUDIENCE));
    assert_eq!(
        token.acr().ok(),
        claims.get("acr").map_or(Some(None), |acr| acr.as_str().map(Some))
    );
    let scopes = text("scope").unwrap_or_default().split(' ').filter(|scope| !scope.is_empty());
    assert!(token.scopes().eq(scopes));

    let audiences = match &claims["aud"] {
        Value::Array(names) => names.iter().map(|name| name.as_str().expect("a string")).collect(),
        name => vec![name.as_str().expect("a string")],
    };
    assert!(token.audiences().eq(audiences.iter().copied()));
    assert!(audiences.contains(&AUDIENCE.as_str()));

    // 30 seconds of leeway; 24 hours of life, 2 if there is an actor
    let (exp, iat) = (time("exp").expect("`exp`"), time("iat").expect("`iat`"));
    let most = if token.actor().is_some() { 7200.0 } else { 86400.0 };
    let now = NOW as f64;
    assert!(exp + 30.1 > now && iat - 30.1 < now && exp - iat < most + 0.1);
    assert!(time("nbf").is_none_or(|nbf| nbf - 30.1 < now));
    close(token.expires_at(), exp);
    close(token.issued_at().expect("`iat`"), iat);
    match (token.auth_time(), claims.get("auth_time")) {
        (Ok(at), value) => {
            assert_eq!(at.is_some(), value.is_some());
            at.zip(time("auth_time")).into_iter().for_each(|(at, s)| close(at, s));
        }
        (Err(_), value) => {
            let seconds = value.expect("`auth_time`").as_f64().filter(|s| s.is_sign_positive());
            assert!(seconds.is_none_or(|seconds| seconds > YEAR_9999), "{seconds:?}");
        }
    }

    assert!(claims.get("cnf").is_none(), "bound to a key, and taken without its proof");
    for (name, value) in claims.as_object().expect("an object") {
        assert_eq!(token.claim::<Value>(name), Ok(Some(value.clone())));
    }
});
