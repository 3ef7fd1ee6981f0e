#![no_main]
//! A URL, and after it a `DPoP` field; the header and the claims of a proof, rightly signed; the fields of proxies.
//! Nothing panics, and what is accepted is right.

use std::sync::LazyLock;

use http::Method;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use time::UtcDateTime;
use unconfused::Reason;
use unconfused::keys::{Algorithm, Backend};
use unconfused::proof::{ClientCertificate, Dpop, Nonces, Possession};
use unconfused::testing::TestProofKey;
use unconfused_fuzz::NOW;

const TOKEN: &str = "token";
const PATH: &str = "/v1/items";

static KEY: LazyLock<TestProofKey> = LazyLock::new(TestProofKey::new);
static DPOP: LazyLock<Dpop> = LazyLock::new(|| {
    let dpop = Dpop::for_base_url("https://api.example.com").expect("a base");
    dpop.algorithms([Algorithm::Es256, Algorithm::Ed25519, Algorithm::Ps256])
});

fn now() -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(NOW).expect("a time")
}

fn check(dpop: &Dpop, field: &str, path: &str) -> Result<(), Reason> {
    let possession = Possession::dpop(field, &Method::GET, path);
    let checked = dpop.check(&possession, TOKEN, &KEY.thumbprint(), now());
    let other_backend = dpop.clone().backend(Backend::AwsLc);
    let other = other_backend.check(&possession, TOKEN, &KEY.thumbprint(), now());
    assert_eq!(checked.as_ref().err(), other.as_ref().err());
    let proof = checked?;
    assert_eq!(proof.key(), KEY.thumbprint());
    assert!((1..=256).contains(&proof.jti().len()));
    assert!(proof.issued_at() <= now() && now() <= proof.expires_at());
    Ok(())
}

/// The members of a JSON object, put over those of a good proof.
fn changes(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

fuzz_target!(|text: &str| {
    let _ = ClientCertificate::from_client_cert(text);
    let _ = ClientCertificate::from_xfcc(text);
    let bare = ClientCertificate::from_base64_der(text);
    if let Some(certificate) = ClientCertificate::from_escaped_pem(text) {
        // Bare base64 means the same to both.
        assert!(bare.is_none_or(|bare| bare == certificate));
        assert!(!text.contains(',') && text.trim_ascii().len() <= 64 * 1024);
    }

    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    // As a field without a signature.
    assert!(check(&DPOP, text, PATH).is_err());
    assert!(check(&DPOP, rest, first).is_err());
    if let Ok(dpop) = Dpop::for_base_url(first) {
        assert!(check(&dpop, rest, PATH).is_err());
    }

    // As the URL of a good proof, of its request, and of both.
    let good = KEY.proof("GET", "https://api.example.com/v1/items").issued_at(now()).token(TOKEN);
    assert_eq!(check(&DPOP, &good.sign(), PATH), Ok(()));
    let moved = good.clone().claim("htu", first).sign();
    if check(&DPOP, &moved, PATH).is_ok() {
        let start = first.get(..23).expect("scheme and host");
        assert!(start.eq_ignore_ascii_case("https://api.example.com"), "{first}");
        assert!(!first.contains('@') || first.contains(['?', '#']), "{first}");
    }
    let path = format!("/{first}");
    let _ = check(&DPOP, &good.sign(), &path);
    let both = good.clone().claim("htu", format!("https://api.example.com{path}")).sign();
    if let Err(reason) = check(&DPOP, &both, &path) {
        // No proof matches a request path with dot segments, not even one that has them too.
        let plain = path.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
        let plain = plain.replace("%2e", ".");
        let dotted = plain.split('/').any(|segment| matches!(segment, "." | ".."));
        let dot_segments = dotted && reason == Reason::DpopUriMismatch;
        assert!(dot_segments || reason == Reason::DpopProofMalformed, "{reason}: {path}");
    }
    let nonced = DPOP.clone().nonces(Nonces::new([1; 32]));
    assert!(check(&nonced, &good.clone().nonce(first).sign(), PATH).is_err());

    // As its header and its claims.
    let mut proof = good;
    for (name, value) in changes(first) {
        proof = proof.header(&name, value);
    }
    for (name, value) in changes(rest) {
        proof = proof.claim(&name, value);
    }
    let _ = check(&DPOP, &proof.sign(), PATH);
});
