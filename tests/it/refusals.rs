//! What is refused without a valid signature costs little memory, however long it is.

use allocation_counter::{AllocationInfo, measure};
use http::Request;
use http::request::Parts;
use unconfused::proof::Dpop;
use unconfused::replay::{Remembered, ReplayAnswer};
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::{Guard, Reason, Require, Scope};

use crate::common::{LOGIN, NOW, ORDERS, OTHER, at, login, now};

const READ: Scope = Scope::from_static("orders:read");
const KIB: usize = 1024;

fn head(fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::get("/orders");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn bearer(token: &str) -> Parts {
    head(&[("authorization", &format!("Bearer {token}"))])
}

/// What the guard allocates until it has the denial, once everything is made that lasts.
fn allocated(name: &str, head: &Parts, reason: Reason) -> AllocationInfo {
    let dpop = Dpop::for_base_url("https://orders.example").unwrap();
    let guard = Guard::new(ORDERS, login().issuer())
        .clock(now)
        .dpop(dpop, |_| ReplayAnswer::Now(Ok(Remembered::First)));
    let require = Require::scope(READ);
    let refuse = || {
        let mut head = head.clone();
        let mut denial = None;
        let heap = measure(|| {
            denial = guard.authorize(&mut head, &require).now().unwrap().err();
        });
        let denial = denial.unwrap_or_else(|| panic!("{name} is granted"));
        assert_eq!(denial.reason(), reason, "{name}");
        heap
    };
    refuse();
    refuse()
}

#[test]
fn what_is_not_taken_apart_is_refused_with_as_much_memory_at_1_kib_as_at_16() {
    let letters = |length| "a".repeat(length);
    type Fields = fn(&str) -> Parts;
    let kinds: [(&str, Fields, usize, Reason); 11] = [
        (
            "no credentials, beside another field",
            |text| head(&[("x-other", text)]),
            16,
            Reason::MissingCredentials,
        ),
        ("a proof without a token", |text| head(&[("dpop", text)]), 4, Reason::MissingCredentials),
        ("one word", bearer, 16, Reason::TokenFormatNotAccepted),
        (
            "too many parts",
            |text| bearer(&text.replace("aaaa", "aaa.")),
            16,
            Reason::TokenMalformed,
        ),
        (
            "five parts",
            |text| bearer(&format!("a.{}.c.d.e", &text[8..])),
            16,
            Reason::TokenFormatNotAccepted,
        ),
        ("an empty part", |text| bearer(&format!("{}..", &text[2..])), 16, Reason::TokenMalformed),
        (
            "characters of no token",
            |text| bearer(&text.replace('a', ",")),
            16,
            Reason::MalformedAuthorization,
        ),
        (
            "another scheme",
            |text| head(&[("authorization", &format!("Basic {text}"))]),
            16,
            Reason::UnsupportedAuthScheme,
        ),
        ("no scheme", |text| head(&[("authorization", text)]), 16, Reason::UnsupportedAuthScheme),
        (
            "two tokens",
            |text| head(&[("authorization", text), ("authorization", text)]),
            16,
            Reason::MultipleCredentials,
        ),
        (
            "a bound token without a proof, and not a token",
            |text| head(&[("authorization", &format!("DPoP {text}"))]),
            16,
            Reason::TokenFormatNotAccepted,
        ),
    ];
    for (name, fields, most, reason) in kinds {
        let [short, long] = [1, most]
            .map(|length| allocated(name, &fields(&letters(length * KIB)), reason))
            .map(|heap| (heap.count_total, heap.bytes_total));
        assert_eq!(short, long, "{name}");
    }
    // Beyond the limits, they are not even read.
    let too_large = |length| {
        let token = allocated("a token", &bearer(&letters(length)), Reason::CredentialTooLarge);
        let proof = head(&[("authorization", "DPoP a"), ("dpop", &letters(length))]);
        let proof = allocated("a proof", &proof, Reason::CredentialTooLarge);
        (token.bytes_total, proof.bytes_total)
    };
    assert_eq!(too_large(17 * KIB), too_large(100 * KIB));
}

/// The kinds of tokens that are refused after they were taken apart, and before their signature is found right.
fn unbelieved() -> Vec<(&'static str, TestToken, Reason)> {
    let token = |issuer: &TestIssuer| {
        let times = [("iat", NOW), ("exp", NOW + 300)];
        times.iter().fold(issuer.token(&ORDERS), |token, (name, time)| token.claim(name, time))
    };
    let stranger = TestIssuer::new(OTHER);
    let namesake = TestIssuer::new(LOGIN);
    let expired = token(login()).issued_at(at(-7200));
    vec![
        ("an unknown issuer", token(&stranger), Reason::IssuerUntrusted),
        ("no issuer", token(login()).without_claim("iss"), Reason::IssuerMissing),
        ("an unknown key", token(login()).header("kid", "unknown"), Reason::KeyNotFound),
        ("another type", token(login()).header("typ", "dpop+jwt"), Reason::TokenTypeMismatch),
        ("another algorithm", token(login()).header("alg", "none"), Reason::AlgorithmNotAllowed),
        ("a wrong signature", token(login()).forged_by(&namesake), Reason::SignatureInvalid),
        ("expired, and a wrong signature", expired.forged_by(&namesake), Reason::SignatureInvalid),
    ]
}

#[test]
fn a_token_that_is_not_believed_takes_memory_for_one_decoded_copy_and_nothing_else_that_grows() {
    for (name, token, reason) in unbelieved() {
        let filled = |length: usize| {
            let token = token.clone().claim("filler", "a".repeat(length)).sign();
            (allocated(name, &bearer(&token), reason), token.len() as u64)
        };
        // As base64url, 11 KiB of claims are 15 KiB of a token. From 2 KiB on, the index of the claims has a fixed size.
        let ((short, short_token), (long, long_token)) = (filled(2 * KIB), filled(11 * KIB));
        assert_eq!(short.count_total, long.count_total, "{name}");
        let (more, copy) =
            (long.bytes_total - short.bytes_total, (long_token - short_token) * 3 / 4);
        assert!(more <= copy + 16, "{name}: {more} bytes more for a copy of {copy}");
    }
}

// The names of many claims are in a set while duplicates are looked for, which is most of it.
#[test]
fn a_token_that_is_not_believed_takes_at_most_128_kib_whatever_claims_it_has() {
    for (name, token, reason) in unbelieved() {
        for count in [100, 500, 900, 1400] {
            let claims = (0..count).map(|n| format!("{n:x}"));
            let token = claims.fold(token.clone(), |token, claim| token.claim(&claim, 1)).sign();
            let heap = allocated(name, &bearer(&token), reason);
            let (most, length) = (heap.bytes_max, token.len());
            assert!(
                most <= 128 * KIB as u64,
                "{name}, {count}: {most} bytes for a token of {length}"
            );
        }
    }
}

#[test]
fn a_token_that_cannot_be_taken_apart_takes_memory_for_its_decoded_parts_at_most() {
    let header = "eyJhbGciOiJFUzI1NiJ9"; // {"alg":"ES256"}
    type Token = fn(&str, &str) -> String;
    let kinds: [(&str, Token, Reason); 4] = [
        (
            "a signature that is not base64url",
            |header, text| format!("{header}.{text}.~"),
            Reason::TokenFormatNotAccepted,
        ),
        (
            "a signature with a bit too many",
            |header, text| format!("{header}.{text}.ab"),
            Reason::TokenMalformed,
        ),
        ("a header of nonsense", |_, text| format!("{text}.ab.ab"), Reason::TokenMalformed),
        // Nothing but the type is looked at.
        (
            "a signature of nonsense",
            |header, text| format!("{header}.e30.{text}"),
            Reason::TokenTypeMismatch,
        ),
    ];
    for (name, token, reason) in kinds {
        let [short, long] = [1, 15].map(|length| {
            let token = token(header, &"a".repeat(length * KIB));
            allocated(name, &bearer(&token), reason)
        });
        assert_eq!(short.count_total, long.count_total, "{name}");
        let more = long.bytes_total - short.bytes_total;
        assert!(more <= 14 * KIB as u64 * 3 / 4 + 16, "{name}: {more} bytes more");
    }
}
