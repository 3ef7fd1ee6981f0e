//! Why a request was refused: what the operator is told, where, and what the client and the record are not told.

use std::io;
use std::sync::{Arc, Mutex};

use crate::common::*;
use http::request::Parts;
use serde_json::{Value, json};
use tracing::Level;
use unconfused::audit::TracingAudit;
use unconfused::keys::Algorithm;
use unconfused::testing::TestToken;
use unconfused::token::TokenLimits;
use unconfused::{AuditEvent, Denial, Guard, Reason, Require, Scope};

const READ: Scope = Scope::from_static("orders:read");
const WRITE: Scope = Scope::from_static("orders:write");
/// Stands in a token that was not verified.
const FOUND: &str = "f0und";

/// What an event shows: `detail`, `unverified`, and all that is written of it without being told to.
type Seen = (Option<String>, Option<String>, String);

fn seen() -> (Guard, Arc<Mutex<Vec<Seen>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let kept = events.clone();
    let guard = guard().audit(move |event: &AuditEvent<'_>| {
        kept.lock().unwrap().push((
            event.detail().map(|detail| detail.raw().to_owned()),
            event.unverified().map(str::to_owned),
            format!("{event} {event:?} {}", event.to_json()),
        ));
    });
    (guard, events)
}

fn refused(guard: &Guard, mut parts: Parts) -> Denial {
    guard.authorize(&mut parts, READ).now().unwrap().unwrap_err()
}

fn with(token: &TestToken) -> Parts {
    head("/orders", &[&token.bearer()])
}

/// A request for each reason up to `signature_invalid`, but for those about keys that cannot be reached.
fn refused_before_the_signature() -> Vec<(Reason, Parts)> {
    use Reason::*;
    let field = |field: &str| head("/orders", &[field]);
    let long = "a".repeat(20_000);
    vec![
        (CredentialTooLarge, field(&format!("Bearer {long}"))),
        (MultipleCredentials, head("/orders", &["Bearer a", "Bearer b"])),
        (MissingCredentials, head("/orders", &[])),
        (UnsupportedAuthScheme, field("Basic dTpw")),
        (UnsupportedAuthScheme, field("eyJhbGciOiJub25lIn0.e30.f0und")),
        (MalformedAuthorization, field("Bearer a b")),
        (TokenFormatNotAccepted, field("Bearer f0und")),
        (TokenFormatNotAccepted, field("Bearer f0.un.d.f0.und")),
        (TokenMalformed, field("Bearer f0.und")),
        (TokenMalformed, with(&token().payload([0xff]))),
        (JoseHeaderInvalid, with(&token().header("kid", 7))),
        (JoseHeaderInvalid, with(&token().header("jwk", json!({ "kty": FOUND })))),
        (CriticalHeaderUnsupported, with(&token().header("crit", [FOUND]))),
        (TokenTypeMismatch, with(&token().header("typ", FOUND))),
        (AlgorithmNotAllowed, with(&token().header("alg", FOUND))),
        (IssuerMissing, with(&token().without_claim("iss"))),
        (IssuerMissing, with(&token().payload("[]"))),
        (IssuerUntrusted, with(&token().claim("iss", FOUND))),
        (KeyNotFound, with(&token().header("kid", FOUND))),
        (SignatureInvalid, with(&token().forged_by(forger()).subject(FOUND))),
    ]
}

#[test]
fn every_reason_up_to_the_signature_says_what_was_expected_and_what_was_found() {
    let (guard, events) = seen();
    for (reason, parts) in refused_before_the_signature() {
        let denial = refused(&guard, parts);
        assert_eq!(denial.reason(), reason);
        let (detail, unverified, _) = events.lock().unwrap().pop().unwrap();
        if reason != Reason::SignatureInvalid {
            let detail = detail.unwrap_or_else(|| panic!("{reason}"));
            assert!(detail.starts_with("expected "), "{reason}: {detail}");
        }
        let unverified = unverified.unwrap_or_else(|| panic!("{reason}"));
        assert!(unverified.ends_with(" (unverified)"), "{reason}: {unverified}");
        assert!(denial.for_operator().to_string().ends_with(&unverified), "{reason}");
    }
}

#[test]
fn what_was_found_is_neither_in_the_record_nor_told_to_the_client() {
    let (guard, events) = seen();
    for (reason, parts) in refused_before_the_signature() {
        let denial = refused(&guard, parts);
        let (detail, _, written) = events.lock().unwrap().pop().unwrap();
        let client =
            format!("{denial} {denial:?} {} {:?}", denial.problem_json(), denial.headers());
        for text in [detail.unwrap_or_default(), written, client] {
            assert!(!text.contains(FOUND) && !text.contains("unverified"), "{reason}: {text}");
        }
    }
}

#[test]
fn no_part_of_a_credential_is_in_what_was_found() {
    let raw = token().header("typ", "JWT").sign();
    let (guard, events) = seen();
    for field in
        [format!("Bearer {raw}"), raw.clone(), format!("Token {raw}"), format!("Bearer {raw}.a.b")]
    {
        let denial = refused(&guard, head("/orders", &[&field]));
        let (.., unverified, _) = events.lock().unwrap().pop().unwrap();
        let words = format!("{} {unverified:?}", denial.for_operator());
        for part in raw.split('.') {
            assert!(!words.contains(&part[..16]), "{words}");
        }
    }
}

#[test]
fn the_words_for_the_operator_name_the_member_the_setting_and_both_names() {
    let words = |token: TestToken| refused(&guard(), with(&token)).for_operator().to_string();
    for (token, said) in [
        (
            token().claim("iss", "https://login.example/"),
            r#"issuer_untrusted: expected iss `https://login.example`; found iss "https://login.example/","#,
        ),
        (
            token().header("typ", "JWT"),
            r#"token_type_mismatch: expected typ `at+jwt`; found iss "https://login.example", typ "JWT", alg "ES256", "#,
        ),
        (token().without_header("typ"), "no typ"),
        (
            token().header("alg", "EdDSA"),
            "expected alg `ES256` or `RS256` or `PS256` or `Ed25519` or `ES384`, as `algorithms` of the issuer says",
        ),
        (
            token().header("kid", 7),
            "jose_header_invalid: expected a header whose `alg`, `kid` and `typ` are strings; \
             found a header whose `kid` is not a string (unverified)",
        ),
        (
            token().header("jwk", json!({})),
            "expected a header that carries no key; found a header with `jwk`",
        ),
        (token().header("kid", "k".repeat(257)), "expected a `kid` of at most 256 bytes"),
        (
            token().payload(r#"{"iss":"https://login.example","iss":"https://other.example"}"#),
            "issuer_missing: expected iss `https://login.example`; found several iss that differ",
        ),
        (token().claim("iss", 7), "found an iss that is not a string"),
        (token().header("kid", "nobody"), "expected a key of the issuer, which has 1: `test-1`"),
    ] {
        let words = words(token);
        // The allowed algorithms come in the order of the enumeration.
        let said =
            said.replace("`ES256` or `RS256` or `PS256` or `Ed25519` or `ES384`", &allowed());
        assert!(words.contains(&said), "{said}: {words}");
    }
    let twice = r#"{"alg":"ES256","kid":"a","typ":"at+jwt","kid":"b"}"#;
    let raw = format!("Bearer {}", compact(twice, "{}", &[1]));
    let denial = refused(&guard(), head("/orders", &[&raw]));
    assert!(denial.for_operator().to_string().contains("found a header with `kid` twice"));
}

fn allowed() -> String {
    let mut names = Algorithm::DEFAULT.to_vec();
    names.sort();
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(" or ")
}

#[test]
fn at_most_six_expected_values_are_listed_each_once() {
    let mut guard = guard();
    for number in 0..8 {
        let name = format!("https://{number}.example");
        guard = guard.trust(unconfused::Issuer::new(name, login().keys()));
    }
    let words = refused(&guard, with(&token().claim("iss", FOUND))).for_operator().to_string();
    assert_eq!(words.matches("`https://").count(), 6, "{words}");
    assert!(words.contains(" or 3 more;"), "{words}");
    let words = refused(&guard, with(&token().claim("iss", FOUND).header("typ", "x")))
        .for_operator()
        .to_string();
    assert!(words.contains("expected typ `at+jwt`;"), "{words}");
}

#[test]
fn what_was_found_is_one_line_cut_and_cannot_leave_its_quotes() {
    let (guard, events) = seen();
    for text in [
        "a\nallowed",
        "a\u{1b}[2J",
        "a\u{202e}b\u{2066}",
        "x\", typ \"at+jwt\" (unverified)",
        "\u{301}x\u{2800}",
        "\\",
    ] {
        for token in
            [token().claim("iss", text), token().header("typ", text), token().header("kid", text)]
        {
            let _ = refused(&guard, with(&token));
            let (_, unverified, _) = events.lock().unwrap().pop().unwrap();
            let unverified = unverified.unwrap();
            assert!(
                unverified.chars().all(|c| !c.is_control() && c != '\u{202e}' && c != '\u{2800}')
            );
            // Four values, between quotes that are not escaped.
            let bare = unverified.replace("\\\\", "").replace("\\\"", "");
            assert_eq!(bare.matches('"').count(), 8, "{unverified}");
        }
    }
    let _ = refused(&guard, with(&token().header("kid", "k".repeat(200))));
    let (_, unverified, _) = events.lock().unwrap().pop().unwrap();
    assert_eq!(unverified.unwrap().matches('k').count(), 128 + 1, "the value, and `kid`");
}

#[test]
fn what_a_verified_token_lacks_is_not_unverified() {
    let (guard, events) = seen();
    for token in
        [token().expired(), token().claim("aud", FOUND), token().without_claim("jti"), token()]
    {
        let _ = refused(&guard, with(&token));
        let (_, unverified, _) = events.lock().unwrap().pop().unwrap();
        assert_eq!(unverified, None);
    }
}

#[test]
fn a_denial_is_shown_as_its_description_for_the_client() {
    for reason in Reason::ALL {
        let denial = Denial::from(*reason);
        assert_eq!(denial.to_string(), reason.for_client().description());
        assert_eq!(denial.for_operator().to_string(), reason.as_str());
    }
}

#[test]
fn the_rule_that_refuses_is_in_the_record_and_not_told_to_the_client() {
    let (guard, events) = seen();
    let grant = token().scope("orders:read").granted_by(&guard, READ);
    let denial = guard.refuse_for(&grant, "not the\nowner");
    let plain = guard.refuse(&grant);
    assert_eq!(denial.reason(), Reason::PolicyDenied);
    assert_eq!((denial.headers(), denial.to_string()), (plain.headers(), plain.to_string()));
    assert_eq!(denial.problem_json(), plain.problem_json());
    assert_eq!(denial.for_operator().to_string(), r"policy_denied: not the\nowner");
    let events = std::mem::take(&mut *events.lock().unwrap());
    let (detail, _, written) = &events[1];
    assert_eq!(detail.as_deref(), Some("not the\nowner"));
    assert!(written.contains(r#"detail="not the\nowner""#), "{written}");
    assert_eq!(events[2].0, None);
    // A name that is made while the service runs.
    let _ = guard.refuse_for(&grant, format!("rule {}", 7));
}

#[test]
fn the_record_and_the_body_of_a_denial_have_one_name_for_the_decision() {
    let (guard, events) = seen();
    let denial = refused(&guard, head("/orders", &[]));
    let problem: Value = serde_json::from_str(&denial.problem_json()).unwrap();
    let decision = denial.decision().unwrap().to_string();
    assert_eq!(problem["decision"], *decision);
    let (.., written) = events.lock().unwrap().pop().unwrap();
    assert!(written.contains(&format!(" decision={decision} ")), "{written}");
    assert!(written.contains(&format!(r#""decision":"{decision}""#)), "{written}");
}

#[test]
fn a_record_in_json_has_lists_as_arrays_and_the_names_of_the_line() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = lines.clone();
    let guard = guard().audit(move |event: &AuditEvent<'_>| {
        kept.lock().unwrap().push((event.to_json(), event.to_string()));
    });
    let good = token().scope("orders:read orders:write").actor("a\u{202e}").actor("agent-7");
    let _ = ask(&guard, &good, READ);
    let denied = token().scope("x y").acr("low").authenticated(secs(99));
    let _ = ask(
        &guard,
        &denied,
        Require::scope(WRITE).acr([unconfused::Acr::from_static("phr")]).max_age(secs(1)),
    );
    let lines = lines.lock().unwrap();
    let read = |index: usize| -> Value { serde_json::from_str(&lines[index].0).unwrap() };
    let allowed = read(0);
    assert_eq!(allowed["outcome"], "allowed");
    assert_eq!(allowed["scopes"], json!(["orders:read", "orders:write"]));
    assert_eq!(allowed["prior_actors"], json!([{ "name": r"a\u{202e}", "issuer": LOGIN }]));
    assert_eq!(allowed["actor"], "agent-7");
    assert_eq!(allowed["at"], NOW);
    let denied = read(1);
    assert_eq!(denied["outcome"], "denied");
    assert_eq!(denied["status"], 401);
    assert_eq!(denied["other_reasons"], json!(["authentication_too_old", "insufficient_scope"]));
    assert_eq!(denied["authentication_age"], 99);
    for (index, (json, line)) in lines.iter().enumerate() {
        assert!(!json.contains('\n'), "{json}");
        let members = read(index);
        for pair in line.split(' ').filter(|pair| {
            pair.contains('=') && !pair.starts_with("acr=phr") && !pair.starts_with("max_age")
        }) {
            let name = pair.split('=').next().unwrap();
            let list = ["other_reason", "scope", "prior_actor"].contains(&name);
            let name = if list { format!("{name}s") } else { name.to_owned() };
            let in_list = name == "prior_actor_issuer";
            assert!(in_list || members.get(&name).is_some(), "{name}: {json}");
        }
    }
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a subscriber writes at this level.
fn traced(level: Level, act: impl FnOnce()) -> String {
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let subscriber = tracing_subscriber::fmt()
        .without_time()
        .with_max_level(level)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, act);
    let bytes = buffer.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn tracing_writes_what_was_found_only_if_told_to_at_debug_under_a_target_of_its_own() {
    let refuse = |guard: Guard| move || drop(refused(&guard, with(&token().header("typ", FOUND))));
    let quiet = traced(Level::TRACE, refuse(guard().audit(TracingAudit)));
    assert!(!quiet.contains(FOUND), "{quiet}");
    assert_eq!(quiet.lines().count(), 1, "{quiet}");

    let told = || guard().audit(TracingAudit.with_unverified());
    let info = traced(Level::INFO, refuse(told()));
    assert!(!info.contains(FOUND), "{info}");
    let debug = traced(Level::DEBUG, refuse(told()));
    let lines: Vec<_> = debug.lines().collect();
    assert_eq!(lines.len(), 2, "{debug}");
    assert!(lines[0].contains("WARN unconfused::audit: denied") && !lines[0].contains(FOUND));
    assert!(lines[1].contains("DEBUG unconfused::unverified: "), "{debug}");
    assert!(lines[1].contains(FOUND) && lines[1].contains("(unverified)"), "{debug}");

    // There is nothing to find in a granted request.
    let granted = move || drop(ask(&told(), &token().scope("orders:read"), READ));
    assert_eq!(traced(Level::DEBUG, granted).lines().count(), 1);
}

#[test]
fn a_list_in_tracing_is_a_string_with_a_space_between_its_items() {
    let guard = guard().audit(TracingAudit);
    let token = token().scope("orders:read orders:write").actor("a").actor("b c").actor("agent-7");
    let text = traced(Level::INFO, move || drop(ask(&guard, &token, READ)));
    assert!(text.contains(r#"scopes="orders:read orders:write""#), "{text}");
    assert!(text.contains(r#"prior_actors="b\\u{20}c a""#), "{text}");
    assert!(!text.contains('['), "{text}");
}

#[test]
fn a_readiness_is_one_line() {
    let guard = guard().trust(unconfused::Issuer::new("https://b.example", login().keys()));
    let readiness = guard.limits(TokenLimits::default()).readiness().to_string();
    assert!(!readiness.contains('\n'), "{readiness}");
    assert_eq!(readiness.matches("; ").count(), 1, "{readiness}");
}
