//! The signature alone, over a message that was taken apart before.

use std::hint::black_box;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use josekit::jwk::Jwk;
use josekit::jws::{ES256, ES384, EdDSA, JwsVerifier, PS256, RS256};
use openssl::bn::BigNum;
use openssl::rsa::Rsa;
use serde_json::Value;

use crate::lab::{Fallible, Lab};
use crate::measure::Contender;

pub fn contenders(lab: &Lab) -> Fallible<Vec<Contender>> {
    let jwks: Value = serde_json::from_str(&lab.issuer.jwks())?;
    verifying(lab.alg, &jwks["keys"][0], [lab.token.as_str()])
}

/// Verifies this JWS with both libraries.
/// Verifies these in turn, over and over. With one alone, the processor learns its bits by heart.
pub fn verifying<'a>(
    alg: &str,
    key: &Value,
    all: impl IntoIterator<Item = &'a str>,
) -> Fallible<Vec<Contender>> {
    let verifier = openssl(alg, key)?;
    let prepared = aws_lc(alg, key)?;
    let mut parts = Vec::new();
    for jws in all {
        let (message, signature) = jws.rsplit_once('.').unwrap_or_default();
        parts.push((message.as_bytes().to_vec(), BASE64URL.decode(signature)?));
    }
    let (mut next, mut next_2) = (endless(parts.clone()), endless(parts));
    Ok(vec![
        Contender::raw("josekit (OpenSSL): verify", "OpenSSL", move |times| {
            for _ in 0..times {
                next(&mut |message, signature| {
                    assert!(verifier.verify(black_box(message), signature).is_ok());
                });
            }
        }),
        Contender::raw("aws-lc-rs: verify_sig", "AWS-LC", move |times| {
            for _ in 0..times {
                next_2(&mut |message, signature| {
                    assert!(prepared.verify_sig(black_box(message), signature).is_ok());
                });
            }
        }),
    ])
}

/// Shows one after the other, and begins again.
fn endless(parts: Vec<(Vec<u8>, Vec<u8>)>) -> impl FnMut(&mut dyn FnMut(&[u8], &[u8])) {
    let mut at = 0;
    move |show| {
        let (message, signature) = &parts[at % parts.len()];
        at += 1;
        show(message, signature);
    }
}

pub fn openssl(alg: &str, key: &Value) -> Fallible<Box<dyn JwsVerifier>> {
    let key = &Jwk::from_bytes(key.to_string())?;
    Ok(match alg {
        "RS256" => Box::new(RS256.verifier_from_jwk(key)?),
        "PS256" => Box::new(PS256.verifier_from_jwk(key)?),
        "ES256" => Box::new(ES256.verifier_from_jwk(key)?),
        "ES384" => Box::new(ES384.verifier_from_jwk(key)?),
        _ => Box::new(EdDSA.verifier_from_jwk(key)?),
    })
}

pub fn aws_lc(alg: &str, key: &Value) -> Fallible<ParsedPublicKey> {
    let member = |name: &str| BASE64URL.decode(key[name].as_str().unwrap_or_default());
    let rsa = || -> Fallible<Vec<u8>> {
        let (n, e) = (BigNum::from_slice(&member("n")?)?, BigNum::from_slice(&member("e")?)?);
        Ok(Rsa::from_public_components(n, e)?.public_key_to_der_pkcs1()?)
    };
    let point = || Fallible::Ok([vec![4], member("x")?, member("y")?].concat());
    let (algorithm, bytes): (&'static dyn VerificationAlgorithm, _) = match alg {
        "RS256" => (&RSA_PKCS1_2048_8192_SHA256, rsa()?),
        "PS256" => (&RSA_PSS_2048_8192_SHA256, rsa()?),
        "ES256" => (&ECDSA_P256_SHA256_FIXED, point()?),
        "ES384" => (&ECDSA_P384_SHA384_FIXED, point()?),
        _ => (&ED25519, member("x")?),
    };
    Ok(ParsedPublicKey::new(algorithm, bytes)?)
}
