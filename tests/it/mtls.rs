//! Tokens that are bound to a certificate (RFC 8705), and where the certificate is found.

use crate::common::{self, *};
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;
use unconfused::proof::{ClientCertificate, Possession};
use unconfused::testing::TestToken;
use unconfused::token::UnverifiedToken;
use unconfused::{Denial, Grant, Guard, Reason, Require, Scope};

const READ: Scope = Scope::from_static("orders:read");
const METADATA: &str =
    r#"resource_metadata="https://orders.example/.well-known/oauth-protected-resource""#;
const FORWARDED: [&str; 3] = ["client-cert", "client-cert-chain", "x-forwarded-client-cert"];

fn ours() -> ClientCertificate {
    ClientCertificate::from_der("ours")
}

fn theirs() -> ClientCertificate {
    ClientCertificate::from_der("theirs")
}

fn mtls_guard() -> Guard {
    guard().client_certificate(ClientCertificate::from_connection)
}

fn mtls_bound() -> TestToken {
    token().scope("orders:read").bound_to_certificate(ours())
}

fn with(mut head: Parts, certificate: Option<ClientCertificate>) -> Parts {
    if let Some(certificate) = certificate {
        head.extensions.insert(certificate);
    }
    head
}

fn reason(answer: Result<Grant, Denial>) -> Option<Reason> {
    answer.err().map(|denial| denial.reason())
}

/// What the guard says of this token over a connection with this certificate.
fn ask_over(
    guard: &Guard,
    token: &TestToken,
    certificate: Option<ClientCertificate>,
) -> Result<Grant, Denial> {
    let mut head = with(head("/orders", &[&token.bearer()]), certificate);
    guard.authorize(&mut head, READ).now().unwrap()
}

#[test]
fn the_thumbprint_is_the_one_of_the_rfc() {
    // RFC 8705 appendix A
    let der = STANDARD
        .decode("MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=")
        .unwrap();
    let certificate = ClientCertificate::from_der(&der);
    assert_eq!(certificate.thumbprint(), "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0");
    let field = format!(":{}:", STANDARD.encode(&der));
    assert_eq!(ClientCertificate::from_client_cert(&field), Some(certificate));
}

#[test]
fn a_bound_token_passes_with_its_certificate_alone() {
    let guard = mtls_guard();
    let grant = ask_over(&guard, &mtls_bound(), Some(ours())).unwrap();
    assert!(grant.is_sender_constrained() && grant.proof().is_none());
    let missing = ask_over(&guard, &mtls_bound(), None).unwrap_err();
    assert_eq!(missing.reason(), Reason::ClientCertificateMissing);
    let other = ask_over(&guard, &mtls_bound(), Some(theirs())).unwrap_err();
    assert_eq!(other.reason(), Reason::ClientCertificateMismatch);
    for (denial, description) in [
        (missing, "The access token is bound to a client certificate, but none was presented"),
        (other, "The access token is bound to another client certificate"),
    ] {
        assert_eq!(denial.status(), 401);
        assert_eq!(
            challenges(&denial),
            [format!(
                r#"Bearer error="invalid_token", error_description="{description}", {METADATA}"#
            )]
        );
    }
    // An unbound token passes over any connection.
    for certificate in [None, Some(ours())] {
        let grant = ask_over(&guard, &token().scope("orders:read"), certificate).unwrap();
        assert!(!grant.is_sender_constrained());
    }
}

#[test]
fn without_a_source_a_bound_token_is_refused_whatever_fields_the_request_has() {
    let denied = ask_over(&guard(), &mtls_bound(), Some(ours()));
    assert_eq!(reason(denied), Some(Reason::ClientCertificateMissing));
}

#[test]
fn by_the_plain_function_it_is_the_same() {
    let raw = mtls_bound().sign();
    let outcome = |possession| {
        let token = UnverifiedToken::parse(&raw).unwrap().with_possession(possession);
        let validated = token.validate(&validation().sender_constrained(), &login().keys(), now());
        validated.map(|token| token.is_sender_constrained()).map_err(|invalid| invalid.reason())
    };
    assert_eq!(outcome(Possession::bearer().certificate(ours())), Ok(true));
    let mismatch = Err(Reason::ClientCertificateMismatch);
    assert_eq!(outcome(Possession::bearer().certificate(theirs())), mismatch);
    assert_eq!(outcome(Possession::bearer()), Err(Reason::ClientCertificateMissing));
}

#[test]
fn an_invalid_thumbprint_matches_no_certificate() {
    let right = ours().thumbprint();
    for wrong in [
        String::new(),
        "x".to_owned(),
        format!("{right}="),
        format!(" {right}"),
        right[..42].to_owned(),
        format!("{right}AAAA"),
        right.to_lowercase(),
    ] {
        let token = token().scope("orders:read").claim("cnf", json!({ "x5t#S256": wrong }));
        let denied = ask_over(&mtls_guard(), &token, Some(ours()));
        assert_eq!(reason(denied), Some(Reason::ClientCertificateMismatch), "{wrong}");
    }
}

#[test]
fn of_two_members_both_must_match() {
    let guard = proof_guard().client_certificate(ClientCertificate::from_connection);
    let both = bound().bound_to_certificate(ours());
    let raw = both.sign();
    let ask = |certificate, key: &unconfused::testing::TestProofKey| {
        let proof = key.proof("GET", URL).issued_at(now()).token(&raw).sign();
        let mut head = with(dpop_head("/orders", &raw, &[&proof]), certificate);
        guard.authorize(&mut head, READ).now().unwrap()
    };
    let grant = ask(Some(ours()), proof_key()).unwrap();
    assert!(grant.is_sender_constrained() && grant.proof().is_some());
    let mismatch = Some(Reason::ClientCertificateMismatch);
    assert_eq!(reason(ask(Some(theirs()), proof_key())), mismatch);
    assert_eq!(reason(ask(None, proof_key())), Some(Reason::ClientCertificateMissing));
    assert_eq!(reason(ask(Some(ours()), other_key())), Some(Reason::DpopKeyMismatch));
    let as_bearer = ask_over(&guard, &both, Some(ours()));
    assert_eq!(reason(as_bearer), Some(Reason::BoundTokenAsBearer));
    // A certificate is not a proof.
    let raw = mtls_bound().sign();
    let mut head = with(dpop_head("/orders", &raw, &[&proof(&raw).sign()]), Some(ours()));
    let denied = guard.authorize(&mut head, READ).now().unwrap();
    assert_eq!(reason(denied), Some(Reason::DpopTokenUnbound));
    // With an unknown member, the others count.
    let token = token()
        .scope("orders:read")
        .claim("cnf", json!({ "x5t#S256": ours().thumbprint(), "x": 1 }));
    assert!(ask_over(&guard, &token, Some(ours())).is_ok());
    assert_eq!(reason(ask_over(&guard, &token, Some(theirs()))), mismatch);
}

#[test]
fn sender_constrained_is_met_by_a_certificate_and_not_by_a_connection_that_has_one() {
    let plain = token().scope("orders:read");
    let guards = [mtls_guard().sender_constrained(), mtls_guard()];
    let requirements = [Require::scope(READ), Require::scope(READ).sender_constrained()];
    for (guard, requirement) in guards.iter().zip(requirements) {
        let ask = |token: &TestToken, certificate| {
            let mut head = with(head("/orders", &[&token.bearer()]), certificate);
            guard.authorize(&mut head, &requirement).now().unwrap()
        };
        assert!(ask(&mtls_bound(), Some(ours())).is_ok());
        let denial = ask(&plain, Some(ours())).unwrap_err();
        assert_eq!(denial.reason(), Reason::SenderConstraintRequired);
        assert_eq!(
            challenges(&denial),
            [format!(
                r#"Bearer error="invalid_token", error_description="The access token must be bound to a key", {METADATA}"#
            )]
        );
    }
}

// Certificates in the fields of a proxy.

fn client_cert(der: &str) -> String {
    format!(":{}:", STANDARD.encode(der))
}

fn hash_of(certificate: ClientCertificate) -> String {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let digest = URL_SAFE_NO_PAD.decode(certificate.thumbprint()).unwrap();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn forwarded(mut head: Parts, der: &str) -> Parts {
    let hash = hash_of(ClientCertificate::from_der(der));
    for (name, value) in
        FORWARDED.iter().zip([client_cert(der), client_cert(der), format!("Hash={hash}")])
    {
        head.headers.append(*name, value.parse().unwrap());
    }
    head
}

#[test]
fn forwarded_fields_do_not_count_without_a_source_and_are_removed() {
    for guard in [guard(), mtls_guard()] {
        let mut bound = forwarded(head("/orders", &[&mtls_bound().bearer()]), "ours");
        let denied = guard.authorize(&mut bound, READ).now().unwrap();
        assert_eq!(reason(denied), Some(Reason::ClientCertificateMissing));

        let plain = token().scope("orders:read").bearer();
        let mut head = forwarded(forwarded(head("/orders", &[&plain]), "ours"), "theirs");
        guard.authorize(&mut head, READ).now().unwrap().unwrap();
        assert_eq!(head.headers.keys().collect::<Vec<_>>(), ["cache-control"]);
    }
}

#[tokio::test]
async fn a_layer_removes_them_even_if_a_token_is_optional() {
    async fn names(headers: HeaderMap) -> String {
        format!("{:?}", headers.keys().collect::<Vec<_>>())
    }
    for guard in [guard(), mtls_guard()] {
        let app = Router::new()
            .route("/open", get(names).layer(guard.optional(READ)))
            .route("/orders", get(names).layer(guard.require(READ)));
        for (path, field) in [
            ("/open", None),
            ("/open", Some(token().scope("orders:read").bearer())),
            ("/orders", Some(token().scope("orders:read").bearer())),
        ] {
            let request = Request::get(path).body(()).unwrap();
            let (mut parts, ()) = request.into_parts();
            parts = forwarded(parts, "ours");
            let has_token = field.is_some();
            if let Some(field) = field {
                parts.headers.insert("authorization", field.parse().unwrap());
            }
            let request = Request::from_parts(parts, Body::empty());
            let response = app.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), 200);
            let text = response.into_body().collect().await.unwrap().to_bytes();
            let left = if has_token { r#"["cache-control"]"# } else { "[]" };
            assert_eq!(text, left, "{path}");
        }
    }
}

/// In the extensions of a request: the peer that sent it.
#[derive(Clone)]
struct Peer(&'static str);

fn proxied() -> Guard {
    guard().client_certificate(|parts| {
        let peer = parts.extensions.get::<Peer>()?;
        let mut fields = parts.headers.get_all("client-cert").iter();
        let field = fields.next().filter(|_| peer.0 == "our proxy")?;
        match fields.next() {
            None => ClientCertificate::from_client_cert(field.to_str().ok()?),
            Some(_) => None,
        }
    })
}

#[test]
fn with_a_source_they_count_if_the_owner_says_that_the_request_is_of_a_proxy() {
    let guard = proxied();
    let ask = |peer: Option<&'static str>, field: &[&str]| {
        let mut head = head("/orders", &[&mtls_bound().bearer()]);
        head.extensions.extend(
            peer.map(|peer| {
                let mut extensions = http::Extensions::new();
                extensions.insert(Peer(peer));
                extensions
            })
            .unwrap_or_default(),
        );
        for field in field {
            head.headers.append("client-cert", field.parse().unwrap());
        }
        let answer = guard.authorize(&mut head, READ).now().unwrap();
        assert_eq!(head.headers.contains_key("client-cert"), answer.is_err() && !field.is_empty());
        reason(answer)
    };
    let (right, wrong) = (client_cert("ours"), client_cert("theirs"));
    let missing = Some(Reason::ClientCertificateMissing);
    assert_eq!(ask(Some("our proxy"), &[&right]), None);
    assert_eq!(ask(Some("our proxy"), &[&wrong]), Some(Reason::ClientCertificateMismatch));
    assert_eq!(ask(Some("our proxy"), &[&wrong, &right]), missing);
    assert_eq!(ask(Some("our proxy"), &[]), missing);
    assert_eq!(ask(Some("other"), &[&right]), missing);
    assert_eq!(ask(None, &[&right]), missing);
    for malformed in ["", ":", "::", &right[1..], &right[..right.len() - 1], ":b3Vycw:", ":****:"] {
        assert_eq!(ask(Some("our proxy"), &[malformed]), missing, "{malformed}");
    }
}

#[test]
fn an_envoy_field_is_read_if_it_has_one_element_and_one_hash() {
    let (right, wrong) = (hash_of(ours()), hash_of(theirs()));
    for value in [
        format!("Hash={right}"),
        format!("hash={right}"),
        format!("Hash={}", right.to_uppercase()),
        format!("Hash=\"{right}\""),
        format!("By=spiffe://a/b;Hash={right};Subject=\"CN=x,O=y\";URI=spiffe://c"),
        format!("Hash={right};Subject=\"Hash={wrong}\""),
        format!("Hash={right};Subject=\"a\\\";Hash={wrong};b=\\\"\""),
        format!("Hash={right};Cert=\"-----BEGIN%20CERTIFICATE-----%0A,;=\""),
    ] {
        assert_eq!(ClientCertificate::from_xfcc(&value), Some(ours()), "{value}");
    }
    for value in [
        String::new(),
        ",".to_owned(),
        format!("By=a;Hash={wrong};URI=b,By=c;Hash={right};URI=d"),
        format!("By=a;Hash={wrong};URI=spiffe://x,Hash={right}"),
        "Hash=".to_owned(),
        "Hash".to_owned(),
        right.clone(),
        format!("Hash={right},"),
        format!("Hash={right},By=proxy"),
        format!("Hash={right};Hash={right}"),
        format!("Hash={}", &right[2..]),
        format!("Hash={right}00"),
        format!("Hash=0x{}", &right[2..]),
        format!("Hash={}", "\u{e9}".repeat(32)),
        format!("Hashes={right}"),
        format!("Subject=\"Hash={right}\""),
    ] {
        assert_eq!(ClientCertificate::from_xfcc(&value), None, "{value}");
    }
}

/// How proxies write a certificate, each with its parser.
type Form = (fn(&[u8]) -> String, fn(&str) -> Option<ClientCertificate>);

const FORMS: [Form; 7] = [
    (|der| format!(":{}:", STANDARD.encode(der)), ClientCertificate::from_client_cert),
    (
        |der| format!("Hash={}", hash_of(ClientCertificate::from_der(der))),
        ClientCertificate::from_xfcc,
    ),
    (|der| STANDARD.encode(der), ClientCertificate::from_base64_der),
    // nginx encodes everything but letters, digits and four marks.
    (|der| escaped(&pem(der), "-._~"), ClientCertificate::from_escaped_pem),
    // The load balancer of AWS leaves three more as they are.
    (|der| escaped(&pem(der), "-._~+=/"), ClientCertificate::from_escaped_pem),
    // Traefik leaves out the lines with dashes, and older versions encode what is left.
    (|der| STANDARD.encode(der), ClientCertificate::from_escaped_pem),
    (|der| escaped(&STANDARD.encode(der), ""), ClientCertificate::from_escaped_pem),
];

fn pem(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<_> =
        body.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

fn escaped(text: &str, safe: &str) -> String {
    text.chars()
        .map(|c| match c.is_ascii_alphanumeric() || safe.contains(c) {
            true => c.to_string(),
            false => format!("%{:02X}", c as u32),
        })
        .collect()
}

#[test]
fn each_form_of_a_proxy_is_read_as_the_certificate_that_was_written() {
    let key = rcgen::generate_simple_self_signed(vec!["client.example".to_owned()]).unwrap();
    let real = key.cert.der();
    for (write, read) in FORMS {
        for der in [real.as_ref(), b"der", b"\x30\x00", &[0xfb; 16 * 1024]] {
            let value = write(der);
            assert_eq!(read(&value), Some(ClientCertificate::from_der(der)), "{value:.80}");
            assert_eq!(read(&format!(" {value}\t")), Some(ClientCertificate::from_der(der)));
        }
    }
    let lower = escaped(&pem(real), "-").to_lowercase();
    assert_ne!(
        ClientCertificate::from_escaped_pem(&lower),
        Some(ClientCertificate::from_der(real))
    );
}

#[test]
fn a_form_with_two_certificates_or_anything_else_is_not_read() {
    let (one, der) = (pem(b"der"), STANDARD.encode(b"der"));
    for bad in [
        String::new(),
        "%".to_owned(),
        "%2".to_owned(),
        "%zz".to_owned(),
        "%+1".to_owned(),
        escaped(&one.repeat(2), "-"),
        escaped(&format!("{one}{der}"), "-"),
        escaped(&format!("x{one}"), "-"),
        // not encoded, encoded twice, a plus for a space
        one.clone(),
        one.replace('\n', " "),
        escaped(&escaped(&one, "-"), "-"),
        escaped(&one, "-").replace("%20", "+"),
        escaped(&one.replace("CERTIFICATE", "PUBLIC KEY"), "-"),
        escaped(&one.replace("-----END CERTIFICATE-----", ""), "-"),
        escaped(&one.replace("ZGVy", ""), "-"),
        escaped(&one, "-").replace("%0A", "%00"),
        escaped(&one, "-").replace("ZGVy", "ZGV%C3%A9"),
        format!("{der},{der}"),
        format!("{der}%2C{der}"),
        format!("{der}%0A"),
        "ZGV".to_owned(),
        "ZGV_".to_owned(),
    ] {
        assert_eq!(ClientCertificate::from_escaped_pem(&bad), None, "{bad:?}");
    }
    for bad in [
        "".to_owned(),
        format!("{der},{der}"),
        format!("{der} {der}"),
        format!(":{der}:"),
        "ZGV".to_owned(),
        "ZGVyMQ".to_owned(),
        "ZGVyMQ%3D%3D".to_owned(),
        "ZG_y".to_owned(),
        "ZGVyMR==".to_owned(),
        one.clone(),
    ] {
        assert_eq!(ClientCertificate::from_base64_der(&bad), None, "{bad:?}");
    }
}

#[test]
fn a_certificate_of_more_than_16_kib_and_a_value_of_more_than_64_kib_are_not_read() {
    let large = [7; 16 * 1024 + 1];
    for (write, read) in FORMS {
        let value = write(&large);
        // Envoy sends a hash, which has one size.
        if !value.starts_with("Hash=") {
            assert_eq!(read(&value), None, "{value:.80}");
        }
    }
    let long = format!("Hash={};URI={}", hash_of(ours()), "x".repeat(64 * 1024));
    assert_eq!(ClientCertificate::from_xfcc(&long), None);
    let padded = format!("{}%20", escaped(&pem(b"der"), "-") + &"%0A".repeat(22_000));
    assert_eq!(ClientCertificate::from_escaped_pem(&padded), None);
}

#[test]
fn a_field_that_cannot_be_read_is_another_certificate_and_one_that_is_not_there_is_none() {
    let ask = |fields: &[&[u8]], token: &TestToken| {
        let guard = guard().client_certificate(|parts| {
            ClientCertificate::from_field(
                parts,
                "ssl-client-cert",
                ClientCertificate::from_escaped_pem,
            )
        });
        let mut head = head("/orders", &[&token.bearer()]);
        for field in fields {
            let value = http::HeaderValue::from_bytes(field).unwrap();
            head.headers.append("ssl-client-cert", value);
        }
        reason(guard.authorize(&mut head, READ).now().unwrap())
    };
    let right = escaped(&pem(b"ours"), "-");
    let wrong = escaped(&pem(b"theirs"), "-");
    let (right, wrong) = (right.as_bytes(), wrong.as_bytes());
    assert_eq!(ask(&[right], &mtls_bound()), None);
    for none in [&[] as &[&[u8]], &[b""], &[b" "]] {
        assert_eq!(ask(none, &mtls_bound()), Some(Reason::ClientCertificateMissing));
    }
    let unbound = token().scope("orders:read");
    for fields in [
        &[wrong][..],
        &[right, right],
        &[right, b""],
        &[b"", right],
        &[b"unreadable"],
        &[b"ours"],
        &[b"\xff"],
        &[&right[1..]],
    ] {
        assert_eq!(
            ask(fields, &mtls_bound()),
            Some(Reason::ClientCertificateMismatch),
            "{fields:?}"
        );
        assert_eq!(ask(fields, &unbound), None, "{fields:?}");
    }
}

// Several guards.

#[test]
fn a_second_guard_knows_the_certificate_of_the_request() {
    let first = mtls_guard();
    let second = mtls_guard().sender_constrained();
    let mut head = with(head("/orders", &[&mtls_bound().bearer()]), Some(ours()));
    first.authorize(&mut head, READ).now().unwrap().unwrap();
    let grant = second.authorize(&mut head, READ).now().unwrap().unwrap();
    assert!(grant.is_sender_constrained());
    // Without a request, another guard knows no certificate.
    let narrowed = first.narrow(&grant, Require::valid_token().sender_constrained());
    assert_eq!(reason(narrowed.now().unwrap()), Some(Reason::ClientCertificateMissing));
    // A guard that knows no certificates does not learn of one.
    let refused = guard().narrow(&grant, READ).now().unwrap();
    assert_eq!(reason(refused), Some(Reason::ClientCertificateMissing));

    // The first guard removes the field of the proxy. The second has a source of its own, and trusts no other guard.
    let mut head = forwarded(common::head("/orders", &[&mtls_bound().bearer()]), "ours");
    head.extensions.insert(Peer("our proxy"));
    let (first, second) = (proxied(), proxied());
    first.authorize(&mut head, READ).now().unwrap().unwrap();
    assert!(!head.headers.contains_key("client-cert"));
    let refused = second.authorize(&mut head, READ).now().unwrap();
    assert_eq!(reason(refused), Some(Reason::ClientCertificateMissing));
}

#[test]
fn what_is_printed_of_a_certificate_is_its_thumbprint() {
    let printed = format!("{:?}", ours());
    assert_eq!(printed, format!("ClientCertificate({})", ours().thumbprint()));
}
