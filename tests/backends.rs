//! Both backends give one answer, whatever is asked.

use std::time::Duration;

use http::Method;
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::EcGroup;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::{Padding, Rsa};
use openssl::sha::sha512;
use openssl::sign::{RsaPssSaltlen, Signer};
use serde_json::{Value, json};
use time::UtcDateTime;
use unconfused::keys::{Algorithm, Backend, KeySet};
use unconfused::proof::{Dpop, Possession};
use unconfused::testing::{TestIssuer, TestProofKey};
use unconfused::token::{TokenLimits, UnverifiedToken, Validation};
use unconfused::{Audience, Issuer, Reason};

const ORDERS: Audience = Audience::from_static("https://orders.example");
const LOGIN: &str = "https://login.example";

const ALL: [Algorithm; 11] = [
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::Es512,
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::Ed25519,
    Algorithm::EdDsa,
];
const RSA: [Algorithm; 6] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
];

fn rows(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn set_of(key: &Value) -> KeySet {
    KeySet::from_json(&json!({ "keys": [key] }).to_string()).unwrap()
}

/// What both backends answer.
#[track_caller]
fn agreed(keys: &KeySet, jws: &str, algorithms: &[Algorithm]) -> Result<Vec<u8>, Reason> {
    let [one, other] = [Backend::OpenSsl, Backend::AwsLc]
        .map(|backend| keys.verify_signature_only_with(jws, algorithms.iter().copied(), backend));
    assert_eq!(one, other, "OpenSSL and AWS-LC about {jws}");
    one
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

fn unbase64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn input(algorithm: Algorithm) -> String {
    format!("{}.{}", base64(format!(r#"{{"alg":"{algorithm}"}}"#).as_bytes()), base64(b"{}"))
}

fn jws(input: &str, signature: &[u8]) -> String {
    format!("{input}.{}", base64(signature))
}

fn name(found: &Result<Vec<u8>, Reason>) -> &'static str {
    match found {
        Ok(_) => "ok",
        Err(reason) => reason.as_str(),
    }
}

#[test]
fn the_feature_alone_changes_nothing() {
    assert_eq!(Backend::default(), Backend::OpenSsl);
    let issuer = Issuer::new(LOGIN, KeySet::default());
    let validation = Validation::new(ORDERS, LOGIN);
    for text in [format!("{issuer:?}"), format!("{validation:?}")] {
        assert!(text.contains("backend: OpenSsl"), "{text}");
    }
    let issuer = issuer.backend(Backend::AwsLc);
    let validation = validation.backend(Backend::AwsLc);
    for text in [format!("{issuer:?}"), format!("{validation:?}")] {
        assert!(text.contains("backend: AwsLc"), "{text}");
    }
}

#[test]
fn published_signatures_and_their_near_misses_have_one_outcome() {
    for row in rows(include_str!("vectors/jws.jsonl")) {
        let allowed = row["algorithms"].as_array().unwrap().iter();
        let allowed: Vec<_> =
            allowed.map(|name| Algorithm::from_name(name.as_str().unwrap()).unwrap()).collect();
        let found = agreed(&set_of(&row["key"]), row["jws"].as_str().unwrap(), &allowed);
        assert_eq!(name(&found), row["expect"], "{}", row["what"]);
    }
}

#[test]
fn a_forged_signature_of_any_length_is_refused_for_one_reason_whatever_the_key() {
    let lengths = [3, 64, 96, 132, 256, 257, 384, 512, 1024];
    let rows = rows(include_str!("vectors/keys.jsonl"));
    for (row, length) in
        rows.into_iter().flat_map(|row| lengths.map(|length| (row.clone(), length)))
    {
        let keys = set_of(&row["key"]);
        for algorithm in ALL {
            let mut header = json!({ "alg": algorithm.as_str() });
            if let Some(kid) = row["key"]["kid"].as_str() {
                header["kid"] = kid.into();
            }
            let signature = base64(&vec![0x42; length]);
            let header = base64(header.to_string().as_bytes());
            let token = format!("{header}.{}.{signature}", base64(b"{}"));
            let found = agreed(&keys, &token, &[algorithm]);
            assert!(found.is_err(), "{}", row["what"]);
        }
    }
}

#[test]
fn the_access_token_of_rfc_9068_has_one_outcome() {
    let example: Value = serde_json::from_str(include_str!("vectors/rfc-9068.json")).unwrap();
    let text = |name: &str| example[name].as_str().unwrap();
    let keys = KeySet::from_json(&example["jwks"].to_string()).unwrap();
    let (rest, signature) = text("token").rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let flipped = format!("{rest}.{first}{}", &signature[1..]);
    for (token, at, reason) in [
        (text("token"), "now", None),
        (&*flipped, "now", Some(Reason::SignatureInvalid)),
        (text("token"), "exp", None),
    ] {
        let now = UtcDateTime::from_unix_timestamp(example[at].as_i64().unwrap()).unwrap();
        for backend in [Backend::OpenSsl, Backend::AwsLc] {
            let validation =
                Validation::new(text("audience").parse::<Audience>().unwrap(), text("issuer"))
                    .limits(TokenLimits::default().max_lifetime(Duration::from_secs(366 * 86400)))
                    .backend(backend);
            let found = UnverifiedToken::parse(token)
                .and_then(|token| token.validate(&validation, &keys, now));
            assert_eq!(found.err().map(|invalid| invalid.reason()), reason, "{backend:?}");
        }
    }
}

#[test]
fn no_byte_of_any_algorithms_token_can_be_changed_in_either() {
    for algorithm in ALL {
        let issuer = TestIssuer::with_algorithm(LOGIN, algorithm);
        let token = issuer.token(&ORDERS).sign();
        let keys = issuer.keys();
        assert!(agreed(&keys, &token, &[algorithm]).is_ok(), "{algorithm}");
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = unbase64(signature);
        for at in 0..signature.len() {
            let mut changed = signature.clone();
            changed[at] ^= 1 << (at % 8);
            let cut = &signature[..at];
            let longer = [&signature[..at], &[0], &signature[at..]].concat();
            for changed in [&changed, cut, &longer] {
                let found = agreed(&keys, &jws(signed, changed), &[algorithm]);
                let empty = changed.is_empty();
                let reason = if empty { Reason::TokenMalformed } else { Reason::SignatureInvalid };
                assert_eq!(found, Err(reason), "{algorithm} {at}");
            }
        }
        let payload = signed.find('.').unwrap() + 1;
        for at in payload..signed.len() {
            let mut changed = signed.as_bytes().to_vec();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(agreed(&keys, &jws(&changed, &signature), &[algorithm]).is_err());
        }
    }
}

#[test]
fn no_byte_of_a_proof_can_be_changed_in_either() {
    for algorithm in ALL {
        let key = TestProofKey::with_algorithm(algorithm);
        let dpop = Dpop::for_base_url("https://orders.example").unwrap().algorithms([algorithm]);
        let dpops = [Backend::OpenSsl, Backend::AwsLc].map(|it| dpop.clone().backend(it));
        let agreed = |proof: &str| {
            let possession = Possession::dpop(proof, &Method::GET, "/");
            let [one, other] = dpops.each_ref().map(|dpop| {
                dpop.check(&possession, "token", &key.thumbprint(), UtcDateTime::now()).map(|_| ())
            });
            assert_eq!(one, other, "OpenSSL and AWS-LC about {proof}");
            one
        };
        let proof = key.proof("GET", "https://orders.example/").token("token").sign();
        assert_eq!(agreed(&proof), Ok(()), "{algorithm}");
        let (signed, signature) = proof.rsplit_once('.').unwrap();
        let signature = unbase64(signature);
        for at in 0..signature.len() {
            let mut changed = signature.clone();
            changed[at] ^= 1 << (at % 8);
            let found = agreed(&jws(signed, &changed));
            assert_eq!(found, Err(Reason::DpopSignatureInvalid), "{algorithm} {at}");
        }
        for at in 0..signed.len() {
            let mut changed = signed.as_bytes().to_vec();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = jws(&String::from_utf8(changed).unwrap(), &signature);
            assert!(changed == proof || agreed(&changed).is_err(), "{algorithm} {at}");
        }
    }
}

fn rsa_jwk(key: &PKey<Private>) -> KeySet {
    let key = key.rsa().unwrap();
    set_of(&json!({
        "kty": "RSA", "n": base64(&key.n().to_vec()), "e": base64(&key.e().to_vec()),
    }))
}

fn rsa_sign(key: &PKey<Private>, algorithm: Algorithm, salt: Option<i32>) -> String {
    let name = algorithm.as_str();
    let digest = match &name[2..] {
        "256" => MessageDigest::sha256(),
        "384" => MessageDigest::sha384(),
        _ => MessageDigest::sha512(),
    };
    let mut signer = Signer::new(digest, key).unwrap();
    if name.starts_with("PS") {
        signer.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
        let salt = salt.map_or(RsaPssSaltlen::DIGEST_LENGTH, RsaPssSaltlen::custom);
        signer.set_rsa_pss_saltlen(salt).unwrap();
    }
    let input = input(algorithm);
    jws(&input, &signer.sign_oneshot_to_vec(input.as_bytes()).unwrap())
}

fn rsa_key(bits: u32, e: &BigNum) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate_with_e(bits, e).unwrap()).unwrap()
}

#[test]
fn rsa_keys_of_odd_sizes_and_exponents_verify_in_both() {
    for (bits, e) in [(2048, "3"), (2048, "4294967297"), (2049, "65537"), (3100, "4294967297")] {
        let key = rsa_key(bits, &BigNum::from_dec_str(e).unwrap());
        let keys = rsa_jwk(&key);
        assert_eq!(keys.len(), 1, "{bits} {e}");
        for algorithm in RSA {
            let token = rsa_sign(&key, algorithm, None);
            assert_eq!(name(&agreed(&keys, &token, &[algorithm])), "ok", "{bits} {e} {algorithm}");
        }
    }
}

/// A key that takes long to make. It was made for this test, and its private half was thrown away.
#[test]
fn an_rsa_key_of_8192_bits_verifies_in_both() {
    let example: Value = serde_json::from_str(include_str!("vectors/rsa-8192.json")).unwrap();
    let keys = set_of(&example["key"]);
    for algorithm in RSA {
        let token =
            jws(&input(algorithm), &unbase64(example[algorithm.as_str()].as_str().unwrap()));
        assert_eq!(name(&agreed(&keys, &token, &[algorithm])), "ok", "{algorithm}");
    }
}

#[test]
fn a_pss_signature_whose_salt_is_not_as_long_as_the_hash_is_refused_by_both() {
    let key = rsa_key(2048, &BigNum::from_u32(65537).unwrap());
    let keys = rsa_jwk(&key);
    for (algorithm, right) in
        [(Algorithm::Ps256, 32), (Algorithm::Ps384, 48), (Algorithm::Ps512, 64)]
    {
        for salt in [0, 20, 31, 32, 33, 47, 48, 49, 63, 64, 65, 128] {
            let found = agreed(&keys, &rsa_sign(&key, algorithm, Some(salt)), &[algorithm]);
            assert_eq!(found.is_ok(), salt == right, "{algorithm}, a salt of {salt}");
        }
    }
}

#[test]
fn an_rsa_signature_not_below_its_modulus_is_refused_by_both() {
    let key = rsa_key(2049, &BigNum::from_u32(65537).unwrap());
    let (keys, n) = (rsa_jwk(&key), key.rsa().unwrap().n().to_owned().unwrap());
    for algorithm in RSA {
        let token = rsa_sign(&key, algorithm, None);
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = BigNum::from_slice(&unbase64(signature)).unwrap();
        let zero = BigNum::new().unwrap();
        for number in [&signature + &n, &n + &zero, &zero + &zero] {
            let bytes = number.to_vec_padded(257).unwrap();
            let found = agreed(&keys, &jws(signed, &bytes), &[algorithm]);
            assert_eq!(found, Err(Reason::SignatureInvalid), "{algorithm}");
        }
    }
}

#[test]
fn ecdsa_numbers_out_of_range_are_refused_by_both() {
    for (algorithm, len, curve) in [
        (Algorithm::Es256, 32, Nid::X9_62_PRIME256V1),
        (Algorithm::Es384, 48, Nid::SECP384R1),
        (Algorithm::Es512, 66, Nid::SECP521R1),
    ] {
        let issuer = TestIssuer::with_algorithm(LOGIN, algorithm);
        let token = issuer.token(&ORDERS).sign();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = unbase64(signature);
        let (r, s) = signature.split_at(len as usize);
        let number = |bytes: &[u8]| BigNum::from_slice(bytes).unwrap();
        let (mut n, r, s) = (BigNum::new().unwrap(), number(r), number(s));
        let context = &mut BigNumContext::new().unwrap();
        EcGroup::from_curve_name(curve).unwrap().order(&mut n, context).unwrap();
        let zero = BigNum::new().unwrap();
        let all = BigNum::from_slice(&vec![0xff; len as usize]).unwrap();
        let check = |r: &BigNum, s: &BigNum| {
            let (Ok(r), Ok(s)) = (r.to_vec_padded(len), s.to_vec_padded(len)) else { return None };
            Some(agreed(&issuer.keys(), &jws(signed, &[r, s].concat()), &[algorithm]))
        };
        for (r, s) in [
            (&zero, &s),
            (&r, &zero),
            (&zero, &zero),
            (&n, &s),
            (&r, &n),
            (&n, &n),
            (&r, &(&s + &n)),
            (&(&r + &n), &s),
            (&all, &s),
            (&r, &all),
        ] {
            let found = check(r, s);
            assert!(matches!(found, None | Some(Err(Reason::SignatureInvalid))), "{algorithm}");
        }
        // The other of the two signatures that ECDSA has; nothing depends on there being only one.
        assert!(check(&r, &(&n - &s)).unwrap().is_ok(), "{algorithm}");
    }
}

/// The order of the group.
fn ed25519_order() -> BigNum {
    let text = "7237005577332262213973186563042994240857116359379907606001950938285454250989";
    BigNum::from_dec_str(text).unwrap()
}

fn little_endian(bytes: &[u8]) -> BigNum {
    BigNum::from_slice(&bytes.iter().rev().copied().collect::<Vec<_>>()).unwrap()
}

#[test]
fn ed25519_signatures_that_are_not_canonical_are_refused_by_both() {
    let key = PKey::private_key_from_raw_bytes(&[7; 32], openssl::pkey::Id::ED25519).unwrap();
    let public = key.raw_public_key().unwrap();
    let keys = set_of(&json!({ "kty": "OKP", "crv": "Ed25519", "x": base64(&public) }));
    let signed = input(Algorithm::Ed25519);
    let check = |r: &[u8], s: &BigNum| {
        let mut s = s.to_vec_padded(32).unwrap();
        s.reverse();
        agreed(&keys, &jws(&signed, &[r, &s].concat()), &[Algorithm::Ed25519])
    };
    let mut signer = Signer::new_without_digest(&key).unwrap();
    let signature = signer.sign_oneshot_to_vec(signed.as_bytes()).unwrap();
    let (r, s) = (&signature[..32], little_endian(&signature[32..]));
    assert!(check(r, &s).is_ok());
    assert_eq!(check(r, &(&s + &ed25519_order())), Err(Reason::SignatureInvalid));

    // R is the neutral element, in its encoding and in two that are not canonical; S fits
    // (RFC 8032 section 5.1.7).
    let mut secret = sha512(&[7; 32])[..32].to_vec();
    secret[0] &= 248;
    secret[31] = secret[31] & 63 | 64;
    let secret = little_endian(&secret);
    let canonical = [&[1][..], &[0; 31]].concat();
    let negative_zero = [&[1][..], &[0; 30], &[0x80]].concat();
    let over_p = [&[0xee][..], &[0xff; 30], &[0x7f]].concat();
    for r in [canonical, negative_zero, over_p] {
        let k = little_endian(&sha512(&[&r, &*public, signed.as_bytes()].concat()));
        let mut s = BigNum::new().unwrap();
        let context = &mut BigNumContext::new().unwrap();
        s.mod_mul(&k, &secret, &ed25519_order(), context).unwrap();
        assert_eq!(check(&r, &s), Err(Reason::SignatureInvalid), "{r:?}");
    }
}
