//! The checks of RFC 9449 section 4.3, by the plain function.

use super::*;

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
        // all claims are there
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
        ("a nonce that was not asked for", good().nonce("x"), None),
        ("another claim", good().claim("x", json!({ "y": [1] })), None),
        // `typ`
        ("no typ", good().without_header("typ"), Some(DpopProofMalformed)),
        ("typ JWT", good().header("typ", "JWT"), Some(DpopProofMalformed)),
        ("typ at+jwt", good().header("typ", "at+jwt"), Some(DpopProofMalformed)),
        ("typ is a media type", good().header("typ", "application/DPoP+JWT"), None),
        // `alg`
        ("no alg", good().without_header("alg"), Some(DpopProofMalformed)),
        ("alg none", good().header("alg", "none"), Some(DpopAlgorithmNotAllowed)),
        ("alg None", good().header("alg", "None"), Some(DpopAlgorithmNotAllowed)),
        ("alg HS256", good().header("alg", "HS256"), Some(DpopAlgorithmNotAllowed)),
        ("alg es256", good().header("alg", "es256"), Some(DpopAlgorithmNotAllowed)),
        ("alg RS256", good().header("alg", "RS256"), Some(DpopAlgorithmNotAllowed)),
        ("alg ES384", good().header("alg", "ES384"), Some(DpopAlgorithmNotAllowed)),
        ("alg EdDSA", ed25519.clone().header("alg", "EdDSA"), Some(DpopAlgorithmNotAllowed)),
        // the signature
        ("another's signature", good().forged_by(other_key()), Some(DpopSignatureInvalid)),
        (
            "another's key",
            without("kid").header("jwk", public_jwk(&other())),
            Some(DpopSignatureInvalid),
        ),
        // `jwk`
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
        // `htm`
        ("another method", good().claim("htm", "POST"), Some(DpopMethodMismatch)),
        ("the method in another case", good().claim("htm", "get"), Some(DpopMethodMismatch)),
        ("no method", good().claim("htm", ""), Some(DpopMethodMismatch)),
        // `htu` has a table of its own
        ("another URL", good().claim("htu", format!("{URL}/7")), Some(DpopUriMismatch)),
        // `iat`
        ("old", good().issued_at(at(-60)), None),
        ("too old", good().issued_at(at(-61)), Some(DpopProofStale)),
        ("ahead", good().issued_at(at(10)), None),
        ("too far ahead", good().issued_at(at(11)), Some(DpopProofStale)),
        ("from 1970", good().claim("iat", 0), Some(DpopProofStale)),
        ("from the end of time", good().claim("iat", 253_402_300_799_u64), Some(DpopProofStale)),
        // `ath`, and the key
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
fn a_duplicate_member_is_refused() {
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
fn a_proof_with_a_symmetric_algorithm_over_a_public_key_is_refused() {
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
fn weak_rsa_keys_are_refused_if_rsa_is_accepted() {
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
    // The RSA key is right, and the padding is not that of the header.
    assert_eq!(check(&good.clone().header("alg", "RS256")), Err(Reason::DpopSignatureInvalid));
}

#[test]
fn the_owner_sets_the_window() {
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
