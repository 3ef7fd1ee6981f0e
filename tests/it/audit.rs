//! The record: one event a decision, what it shows, what it never shows, and that no claim can
//! forge a line of it.

use std::collections::BTreeSet;
use std::future::{Future as _, IntoFuture as _};
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use crate::common::{self, *};
use http::request::Parts;
use serde_json::json;
use tower::{Layer as _, Service as _};
use unconfused::audit::{StepUp, TracingAudit};
use unconfused::keys::KeysUnavailable;
use unconfused::profile::Profile;
use unconfused::proof::ClientCertificate;
use unconfused::testing::TestToken;
use unconfused::token::{ActorSource, Credential, KeyHint, TokenLimits, UnverifiedToken};
use unconfused::{Acr, Answer, Audit, AuditEvent, Guard, Issuer, Party, Reason, Require, Scope};

const READ: Scope = Scope::from_static("orders:read");
const WRITE: Scope = Scope::from_static("orders:write");
const PHR: Acr = Acr::from_static("phr");

/// Keeps what `see` makes of each event.
struct Record<T>(Arc<Mutex<Vec<T>>>);

impl<T: Send + 'static> Record<T> {
    fn of(see: impl Fn(&AuditEvent<'_>) -> T + Send + Sync + 'static) -> (Self, impl Audit) {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let record = Record(kept.clone());
        let sink = move |event: &AuditEvent<'_>| kept.lock().unwrap().push(see(event));
        (record, sink)
    }

    fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn text(event: &AuditEvent<'_>) -> String {
    event.to_string()
}

/// A guard and the lines of its record.
fn recorded() -> (Guard, Record<String>) {
    let (record, sink) = Record::of(text);
    (guard().audit(sink), record)
}

fn request(token: &TestToken) -> Parts {
    head("/orders", &[&token.bearer()])
}

/// What `see` makes of the only event of this request.
fn event<T: Send + 'static>(
    token: &TestToken,
    requirement: impl Into<Require>,
    see: impl Fn(&AuditEvent<'_>) -> T + Send + Sync + 'static,
) -> T {
    let (record, sink) = Record::of(see);
    let _ = ask(&guard().audit(sink), token, requirement);
    let mut events = record.take();
    assert_eq!(events.len(), 1);
    events.remove(0)
}

fn line(token: &TestToken, requirement: impl Into<Require>) -> String {
    event(token, requirement, text)
}

/// The pairs of a line, read strictly: `name=word` or `name="text"` with escapes, one space
/// between.
fn pairs(line: &str) -> Vec<(String, String)> {
    let (outcome, mut rest) = line.split_once(' ').unwrap();
    let mut pairs = vec![("outcome".to_owned(), outcome.to_owned())];
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').unwrap();
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
        let end = match after.strip_prefix('"') {
            None => after.find(' ').unwrap_or(after.len()),
            Some(text) => {
                let mut escaped = false;
                let close = text.char_indices().find(|(_, c)| {
                    let closes = *c == '"' && !escaped;
                    escaped = *c == '\\' && !escaped;
                    closes
                });
                close.unwrap().0 + 2
            }
        };
        pairs.push((name.to_owned(), after[..end].trim_matches('"').to_owned()));
        rest = &after[end..];
        if !rest.is_empty() {
            rest = rest.strip_prefix(' ').unwrap();
        }
    }
    pairs
}

/// The values of one name.
fn values(line: &str, name: &str) -> Vec<String> {
    let pairs = pairs(line).into_iter();
    pairs.filter(|(n, _)| n == name).map(|(_, v)| v).collect()
}

// One event for each decision.

#[test]
fn every_decision_is_one_event_allowed_or_denied() {
    let (guard, record) = recorded();
    let down = |_: KeyHint<'_>| Answer::Now(Err(KeysUnavailable::new("down")));
    let (down_record, sink) = Record::of(text);
    let down = Guard::new(ORDERS, Issuer::new(LOGIN, down)).clock(now).audit(sink);

    let good = token().scope("orders:read");
    let bearer = good.bearer();
    let cases: Vec<(&str, Vec<String>)> = vec![
        ("allowed", vec![bearer.clone()]),
        ("missing_credentials", vec![]),
        ("multiple_credentials", vec![bearer.clone(), bearer]),
        ("unsupported_auth_scheme", vec!["Basic a".into()]),
        ("malformed_authorization", vec!["Bearer".into()]),
        ("token_format_not_accepted", vec!["Bearer opaque".into()]),
        ("signature_invalid", vec![good.clone().forged_by(forger()).bearer()]),
        ("token_expired", vec![good.clone().expired().bearer()]),
        ("actor_untrusted", vec![good.clone().actor_with_issuer(OTHER, "a").bearer()]),
        ("insufficient_scope", vec![token().bearer()]),
    ];
    for (outcome, fields) in cases {
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        let mut parts = head("/orders", &fields);
        let answer = guard.authorize(&mut parts, READ).now().unwrap();
        let lines = record.take();
        assert_eq!(lines.len(), 1, "{outcome}: {lines:?}");
        assert_eq!(values(&lines[0], "at"), [NOW.to_string()], "{outcome}");
        let shown = values(&lines[0], "outcome");
        match &answer {
            Ok(_) => assert_eq!((outcome, &*shown[0]), ("allowed", "allowed")),
            Err(denial) => {
                assert_eq!(shown, ["denied"]);
                assert_eq!(values(&lines[0], "reason"), [outcome]);
                let status = denial.status().as_u16().to_string();
                assert_eq!(values(&lines[0], "status"), [status]);
            }
        }
    }

    assert!(ask(&down, &good, READ).is_err());
    let lines = down_record.take();
    assert_eq!(lines.len(), 1);
    assert_eq!(values(&lines[0], "reason"), ["keys_unavailable"]);
    assert_eq!(values(&lines[0], "status"), ["503"]);
}

#[test]
fn an_event_says_what_was_decided() {
    let see = |event: &AuditEvent<'_>| {
        (
            event.at(),
            event.allowed(),
            event.reason(),
            event.status(),
            event.other_reasons().to_vec(),
            event.requirement().to_string(),
            event.operation().to_string(),
        )
    };
    let requirement = Require::scope(READ).acr([PHR]);
    let denied = event(&token(), requirement, see);
    assert_eq!(
        denied,
        (
            now(),
            false,
            Some(Reason::AuthenticationContextMissing),
            Some(http::StatusCode::UNAUTHORIZED),
            vec![Reason::InsufficientScope],
            "scope=orders:read acr=phr".to_owned(),
            "GET /orders".to_owned(),
        )
    );
    let allowed = event(&token(), Require::valid_token(), see);
    assert_eq!(
        allowed,
        (now(), true, None, None, vec![], "valid_token".to_owned(), "GET /orders".to_owned(),)
    );
}

#[test]
fn the_clock_is_read_once_a_request_and_once_by_each_narrow_or_refusal() {
    let read = Arc::new(AtomicU64::new(0));
    let counter = read.clone();
    let (record, sink) = Record::of(|event| event.at());
    let guard = guard()
        .clock(move || at(counter.fetch_add(1, Ordering::Relaxed).cast_signed()))
        .audit(sink);
    let mut parts = request(&token().scope("orders:read"));
    let grant = guard.authorize(&mut parts, READ).now().unwrap().unwrap();
    assert!(guard.authorize(&mut parts, READ).now().unwrap().is_ok());
    assert!(guard.narrow(&grant, READ).now().unwrap().is_ok());
    let _ = guard.refuse(&grant);
    assert_eq!(read.load(Ordering::Relaxed), 3);
    assert_eq!(grant.at(), now());
    assert_eq!(record.take(), [now(), now(), at(1), at(2)]);

    assert!(ask(&guard, &token().expired(), READ).is_err());
    assert_eq!(read.load(Ordering::Relaxed), 4);
    assert_eq!(record.take(), [at(3)]);
}

#[test]
fn a_decision_is_named_once_a_request() {
    let (record, sink) = Record::of(|event| event.decision());
    let guard = guard().audit(sink);
    let mut told = Vec::new();
    for token in [token(), token().expired(), token().scope("orders:read")] {
        told.push(match ask(&guard, &token, READ) {
            Ok(grant) => grant.decision(),
            Err(denial) => denial.decision().unwrap(),
        });
    }
    assert_eq!(record.take(), told);
    let distinct: BTreeSet<_> = told.iter().map(ToString::to_string).collect();
    assert_eq!(distinct.len(), 3);
}

#[test]
fn steps_of_one_request_are_told_apart() {
    let (record, sink) = Record::of(|event| (event.decision(), event.step(), event.allowed()));
    let guard = guard().audit(sink);
    let mut parts = request(&token().scope("orders:read orders:write"));
    let outer = guard.authorize(&mut parts, READ).now().unwrap().unwrap();
    let inner = guard.authorize(&mut parts, WRITE).now().unwrap().unwrap();
    let narrow = |requirement| guard.narrow(&inner, requirement).now().unwrap();
    assert!(narrow(Require::valid_token()).is_ok());
    assert!(narrow(Require::valid_token().delegated()).is_err());
    let _ = guard.refuse(&inner);

    let id = outer.decision();
    assert_eq!(
        record.take(),
        [(id, 0, true), (id, 1, true), (id, 2, true), (id, 3, false), (id, 4, false),]
    );
}

#[test]
fn a_later_step_asks_what_the_earlier_ones_asked() {
    let (record, sink) = Record::of(|event| event.requirement().to_string());
    let guard = guard().audit(sink);
    let mut parts = request(&token().scope("orders:read orders:write"));
    guard.authorize(&mut parts, READ).now().unwrap().unwrap();
    let inner = guard.authorize(&mut parts, WRITE).now().unwrap().unwrap();
    let both = "scope=orders:read scope=orders:write".to_owned();
    assert_eq!(record.take(), ["scope=orders:read".to_owned(), both.clone()]);
    assert_eq!(inner.requirement().to_string(), both);
}

#[test]
fn steps_under_another_guard_keep_the_decision_and_are_told_apart() {
    let (record, sink) = Record::of(|event| (event.decision(), event.step()));
    let sink = Arc::new(sink);
    let first = guard().audit(sink.clone());
    let second = guard().limits(TokenLimits::default().leeway(secs(1))).audit(sink);
    let mut parts = request(&token().scope("orders:read"));
    let outer = first.authorize(&mut parts, READ).now().unwrap().unwrap();
    let inner = second.authorize(&mut parts, READ).now().unwrap().unwrap();
    assert!(inner.made_by(&second) && !inner.made_by(&first));
    let _ = second.refuse(&inner);
    let id = outer.decision();
    assert_eq!(record.take(), [(id, 0), (id, 1), (id, 2)]);
}

#[test]
fn no_step_of_a_decision_is_numbered_twice_if_two_guards_narrow() {
    let (record, sink) = Record::of(|event| event.step());
    let sink = Arc::new(sink);
    let first = guard().audit(sink.clone());
    let second = guard().limits(TokenLimits::default().leeway(secs(1))).audit(sink);
    let mut parts = request(&token().scope("orders:read"));
    let grant = first.authorize(&mut parts, READ).now().unwrap().unwrap();
    let other = second.narrow(&grant, READ).now().unwrap().unwrap();
    let _ = first.refuse(&grant);
    let _ = second.refuse(&other);
    let mut steps = record.take();
    assert_eq!(steps.len(), 4);
    steps.sort_unstable();
    steps.dedup();
    assert_eq!(steps.len(), 4, "a number stands twice");
}

#[test]
fn a_grant_of_another_guard_is_not_believed() {
    let (record, sink) = Record::of(|event| event.reason());
    let elsewhere = unconfused::Audience::from_static("https://billing.example");
    let here = guard();
    let there = Guard::new(&elsewhere, login().issuer()).clock(now).audit(sink);
    let mut parts = request(&token().scope("orders:read"));
    let grant = here.authorize(&mut parts, READ).now().unwrap().unwrap();
    let nested = there.authorize(&mut parts, READ).now().unwrap();
    let narrowed = there.narrow(&grant, READ).now().unwrap();
    for denial in [nested.unwrap_err(), narrowed.unwrap_err()] {
        assert_eq!(denial.reason(), Reason::AudienceMismatch);
        assert_eq!(denial.decision(), Some(grant.decision()));
    }
    assert_eq!(record.take(), [Some(Reason::AudienceMismatch); 2]);
}

#[test]
fn the_own_no_of_a_handler_is_recorded() {
    let (guard, record) = recorded();
    let token = token().scope("orders:read").actor("agent-7");
    let grant = ask(&guard, &token, READ).unwrap();
    let denial = guard.refuse(&grant);
    assert_eq!(denial.reason(), Reason::PolicyDenied);
    assert_eq!(denial.decision(), Some(grant.decision()));
    let lines = record.take();
    assert_eq!(lines.len(), 2);
    assert_eq!(values(&lines[1], "outcome"), ["denied"]);
    assert_eq!(values(&lines[1], "reason"), ["policy_denied"]);
    assert_eq!(values(&lines[1], "subject"), ["alice"]);
    assert_eq!(values(&lines[1], "actor"), ["agent-7"]);
}

#[test]
fn an_operation_has_the_name_that_its_owner_gave() {
    let (record, sink) = Record::of(|event| {
        let operation = event.operation();
        (
            operation.name().map(str::to_owned),
            operation.method().clone(),
            operation.path().to_string(),
            operation.to_string(),
        )
    });
    let layer = guard().audit(sink).require(READ).named("orders.list");
    let inner = tower::service_fn(|_: http::Request<()>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(()))
    });
    let request = http::Request::post("/orders/7?secret=1").body(()).unwrap();
    let response = pin!(layer.layer(inner).call(request));
    let poll = response.poll(&mut Context::from_waker(Waker::noop()));
    assert!(poll.is_ready());
    assert_eq!(
        record.take(),
        [(
            Some("orders.list".to_owned()),
            http::Method::POST,
            "/orders/7".to_owned(),
            "orders.list".to_owned(),
        )]
    );
}

// What it shows.

#[test]
fn an_allowed_event_shows_who_acted_for_whom_and_how() {
    let token = token()
        .subject("bob")
        .client("web")
        .claim("jti", "t-1")
        .actor("first")
        .actor_with_issuer(OTHER, "second")
        .actor("third")
        .scope("orders:read extra")
        .acr("phr")
        .authenticated(secs(20));
    let requirement = Require::scope(READ).acr([PHR]).max_age(secs(60));
    let line = line(&token, requirement);
    let shown: Vec<_> = pairs(&line)
        .into_iter()
        .filter(|(name, _)| name != "decision")
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(
        shown,
        [
            "outcome=allowed",
            "operation=GET /orders",
            "subject=bob",
            "issuer=https://login.example",
            "actor=third",
            "actor_issuer=https://login.example",
            "actor_source=act",
            "prior_actor=second",
            "prior_actor_issuer=https://other.example",
            "prior_actor=first",
            "prior_actor_issuer=https://login.example",
            "client=web",
            "jti=t-1",
            "audience=https://orders.example",
            "scope=orders:read",
            "scope=extra",
            "acr=phr",
            "authentication_age=20",
            "requirement=scope=orders:read acr=phr max_age=60",
            "step_up=met",
            "possession=bearer",
            "step=0",
            "at=1800000000",
        ]
    );
}

#[test]
fn the_record_says_how_possession_was_shown() {
    let certificate = ClientCertificate::from_der("ours");
    let (record, sink) = Record::of(text);
    let guard = proof_guard().client_certificate(ClientCertificate::from_connection).audit(sink);
    let unbound = token().scope("orders:read");
    for (token, expected) in [
        (unbound.clone(), "bearer"),
        (unbound.clone().bound_to_certificate(certificate), "mtls"),
        (unbound.clone().bound_to(proof_key()), "dpop"),
        (unbound.bound_to(proof_key()).bound_to_certificate(certificate), "dpop+mtls"),
    ] {
        let raw = token.sign();
        let mut head = match expected.contains("dpop") {
            true => dpop_head("/orders", &raw, &[&proof(&raw).sign()]),
            false => head("/orders", &[&format!("Bearer {raw}")]),
        };
        head.extensions.insert(certificate);
        for requirement in [READ, WRITE] {
            // The second time by the grant.
            let _ = guard.authorize(&mut head, requirement).now().unwrap();
        }
        let lines = record.take();
        assert_eq!(lines.len(), 2);
        for line in lines {
            assert_eq!(values(&line, "possession"), [expected], "{line}");
        }
    }
}

#[test]
fn nothing_of_a_proof_is_in_the_record() {
    let (record, sink) = Record::of(text);
    let guard = proof_guard().audit(sink);
    let raw = bound().sign();
    let good = proof(&raw).claim("jti", "secret-jti");
    let _ = ask_with_proof(&guard, &raw, &good, READ);
    let _ = ask_with_proof(&guard, &raw, &good, READ);
    let _ = ask_with_proof(&guard, &raw, &good.claim("htu", "https://secret.example"), READ);
    let lines = record.take();
    assert_eq!(lines.len(), 3);
    assert_eq!(values(&lines[1], "reason"), ["dpop_proof_replayed"]);
    // The token is validated, and its proof was used before.
    assert_eq!(values(&lines[1], "possession"), ["dpop"]);
    assert_eq!(values(&lines[1], "sub"), values(&lines[0], "sub"));
    assert_eq!(values(&lines[2], "reason"), ["dpop_uri_mismatch"]);
    assert!(values(&lines[2], "possession").is_empty());
    for line in lines {
        assert!(!line.contains("secret") && !line.contains("eyJ"), "{line}");
    }
}

#[test]
fn the_parts_of_an_event_are_what_its_line_says() {
    let token = token()
        .actor_with_issuer(OTHER, "first")
        .actor("second")
        .acr("phr")
        .authenticated(secs(5))
        .scope("orders:read");
    event(&token, READ, |event| {
        let text =
            |shown: Option<unconfused::audit::Printable<'_>>| shown.unwrap().raw().to_owned();
        assert_eq!(text(event.issuer()), LOGIN);
        assert_eq!(event.subject(), Some(Party::new(LOGIN, "alice")));
        assert_eq!(text(event.client()), "test-client");
        assert!(text(event.jti()).starts_with("token-"));
        assert_eq!(text(event.acr()), "phr");
        assert_eq!(event.audience(), Some(&ORDERS));
        assert_eq!(event.authentication_age(), Some(secs(5)));
        assert_eq!(event.possession(), Some("bearer"));
        assert_eq!(event.step_up(), StepUp::NotRequired);
        assert_eq!(event.actor().unwrap(), Party::new(LOGIN, "second"));
        assert_eq!(event.actor().unwrap().source(), ActorSource::Act);
        let prior: Vec<_> = event.prior_actors().collect();
        assert_eq!(prior, [Party::new(OTHER, "first")]);
        assert_eq!(event.scopes().count(), 1);
    });
}

#[test]
fn an_authentication_in_the_future_by_a_clock_that_is_ahead_has_age_zero() {
    let ahead = token().claim("auth_time", NOW + 20);
    let age = event(&ahead, Require::valid_token(), |event| event.authentication_age());
    assert_eq!(age, Some(secs(0)));
}

#[test]
fn an_agent_client_is_in_the_record_and_marked() {
    let (record, sink) = Record::of(|event| {
        let actor = event.actor().unwrap();
        (actor.name().to_owned(), actor.source())
    });
    let issuer = login().issuer().agent_clients(["agent-app"]);
    let guard = Guard::new(ORDERS, issuer).clock(now).audit(sink);
    let token = token().client("agent-app");
    assert!(ask(&guard, &token, Require::valid_token()).is_ok());
    assert!(ask(&guard, &token, READ).is_err());
    let expected = ("agent-app".to_owned(), ActorSource::Client);
    assert_eq!(record.take(), [expected.clone(), expected]);
}

#[test]
fn the_tenant_is_in_the_record_if_a_profile_names_it() {
    let acme = token().claim("org", "acme");
    let of_tenant = Profile::rfc9068().tenant_claim("org");
    let see = |profile: &Profile, token: &TestToken| {
        let (record, sink) = Record::of(|event| {
            let tenant = event.tenant().map(|tenant| tenant.raw().to_owned());
            (tenant, values(&event.to_string(), "tenant"))
        });
        let guard = Guard::new(ORDERS, login().issuer().profile(profile.clone()));
        let _ = ask(&guard.clock(now).audit(sink), token, Require::valid_token());
        record.take().remove(0)
    };
    let shown = (Some("acme".to_owned()), vec!["acme".to_owned()]);
    assert_eq!(see(&of_tenant, &acme), shown);
    // Also if it is the reason of the refusal, or if something else is.
    assert_eq!(see(&of_tenant.clone().tenant_in_issuer(), &acme), shown);
    assert_eq!(see(&of_tenant, &acme.clone().expired()), shown);
    let nothing = (None, Vec::new());
    assert_eq!(see(&of_tenant, &token()), nothing);
    assert_eq!(see(&Profile::rfc9068(), &acme), nothing);
    assert_eq!(see(&of_tenant, &acme.forged_by(forger())), nothing);
}

#[test]
fn an_impersonator_is_in_the_record_as_one() {
    let profile = Profile::rfc9068().act_names_impersonators();
    let (record, sink) = Record::of(text);
    let guard = Guard::new(ORDERS, login().issuer().profile(profile)).clock(now).audit(sink);
    let token = token().actor("admin");
    assert!(ask(&guard, &token, Require::valid_token()).is_ok());
    assert!(ask(&guard, &token, READ).is_err());
    assert!(ask(&guard, &token.expired(), READ).is_err());
    for line in record.take() {
        assert_eq!(values(&line, "actor"), ["admin"], "{line}");
        assert_eq!(values(&line, "actor_source"), ["impersonator"], "{line}");
    }
}

#[test]
fn a_signed_token_that_is_refused_shows_whose_it_was() {
    let token = token().subject("bob").actor("agent-7").expired();
    let line = line(&token, READ);
    assert_eq!(values(&line, "reason"), ["token_expired"]);
    assert_eq!(values(&line, "issuer"), [LOGIN]);
    assert_eq!(values(&line, "subject"), ["bob"]);
    assert_eq!(values(&line, "actor"), ["agent-7"]);
    assert_eq!(values(&line, "client"), ["test-client"]);
    assert_eq!(values(&line, "jti").len(), 1);
    // Neither was checked.
    for name in ["audience", "scope", "acr", "possession"] {
        assert!(values(&line, name).is_empty(), "{line}");
    }
}

#[test]
fn nothing_is_shown_of_a_token_whose_signature_did_not_stand() {
    let forged = token()
        .subject("claimed-subject")
        .client("claimed-client")
        .claim("jti", "claimed-jti")
        .actor("claimed-prior")
        .actor("claimed-actor")
        .scope("claimed-scope")
        .acr("claimed-acr")
        .header("typ", "at+jwt");
    let cases = [
        forged.clone().forged_by(forger()),
        forged.clone().header("kid", "claimed-kid"),
        forged.clone().header("alg", "claimed-alg"),
        forged.clone().header("typ", "claimed-typ"),
        forged.clone().header("crit", ["claimed-crit"]),
        forged.clone().claim("iss", "claimed-issuer"),
        forged.clone().forged_by(forger()).expired(),
        forged.forged_by(forger()).claim("aud", "claimed-audience"),
    ];
    for token in cases {
        let requirement = Require::scope(READ).acr([PHR]);
        let (line, debug, empty) = event(&token, requirement, |event| {
            let empty = event.issuer().is_none()
                && event.subject().is_none()
                && event.client().is_none()
                && event.jti().is_none()
                && event.actor().is_none()
                && event.prior_actors().count() == 0
                && event.audience().is_none()
                && event.scopes().count() == 0
                && event.acr().is_none()
                && event.authentication_age().is_none()
                && event.possession().is_none();
            (event.to_string(), format!("{event:?}"), empty)
        });
        assert!(empty, "{line}");
        assert!(!line.contains("claimed"), "{line}");
        assert!(!debug.contains("claimed"), "{debug}");
        assert!(values(&line, "issuer").is_empty(), "{line}");
    }
}

#[test]
fn a_token_in_the_query_is_ignored_and_marked() {
    let (record, sink) = Record::of(|event| (event.query_token(), event.to_string()));
    let guard = guard().audit(sink);
    let raw = token().scope("orders:read").sign();
    let bearer = format!("Bearer {raw}");
    for (query, marked) in [
        (format!("?access_token={raw}"), true),
        (format!("?a=b&access_token={raw}"), true),
        ("?access_token".to_owned(), true),
        ("?my_access_token=x".to_owned(), false),
        (String::new(), false),
    ] {
        let uri = format!("/orders{query}");
        // By itself it is not a credential.
        let mut parts = head(&uri, &[]);
        let denial = guard.authorize(&mut parts, READ).now().unwrap();
        assert_eq!(denial.unwrap_err().reason(), Reason::MissingCredentials);
        // Beside a valid one it changes nothing.
        let mut parts = head(&uri, &[&bearer]);
        assert!(guard.authorize(&mut parts, READ).now().unwrap().is_ok());
        for (found, line) in record.take() {
            assert_eq!(found, marked, "{uri}");
            let shown = values(&line, "query_token");
            assert_eq!(shown.len(), usize::from(marked), "{line}");
            assert!(!line.contains(&raw), "{line}");
        }
    }
}

// The three signals.

#[test]
fn three_signals_can_be_counted() {
    let (record, sink) = Record::of(|event| {
        (
            event.audience().is_some(),
            event.step_up(),
            event.actor().map(|actor| {
                let subject = event.subject().unwrap().name().to_owned();
                (actor.name().to_owned(), subject)
            }),
        )
    });
    let guard = guard().audit(sink);
    let high = || Require::scope(WRITE).acr([PHR]).max_age(secs(300));
    let good = || token().scope("orders:read orders:write");
    let fresh = || good().acr("phr").authenticated(secs(1));
    for (token, requirement) in [
        (good(), Require::scope(READ)),
        (good().claim("aud", "x"), Require::scope(READ)),
        (good(), high()),
        (good().acr("low"), high()),
        (fresh(), high()),
        (fresh().actor("agent-7"), high()),
        (good().actor("agent-7"), Require::scope(READ)),
        (good().actor("agent-8"), high().actor([(LOGIN, "agent-7")])),
        (fresh().scope("x"), high()),
        (good().expired().actor("agent-9"), Require::scope(READ)),
        (good().forged_by(forger()).actor("agent-9"), high()),
    ] {
        let _ = ask(&guard, &token, requirement);
    }
    let events = record.take();
    assert_eq!(events.len(), 11);
    // The audience was validated.
    assert_eq!(events.iter().filter(|event| event.0).count(), 8);
    // Step-up was asked for, and was met.
    let with = |step_up| events.iter().filter(|event| event.1 == step_up).count();
    assert_eq!((with(StepUp::Asked), with(StepUp::Met)), (2, 2));
    // Which agent acted for whom.
    let pairs: Vec<_> = events.iter().filter_map(|event| event.2.clone()).collect();
    let acted: Vec<_> = pairs.iter().map(|(actor, _)| &**actor).collect();
    assert_eq!(acted, ["agent-7", "agent-7", "agent-8", "agent-9"]);
    assert!(pairs.iter().all(|(_, subject)| subject == "alice"));
}

// What is never shown.

#[test]
fn the_token_is_in_no_text_of_the_crate() {
    let token = token().scope("orders:read").actor("agent-7").claim("secret", "open-sesame");
    let raw = token.sign();
    let bearer = format!("Bearer {raw}");
    let mut shown: Vec<String> = Vec::new();

    let (record, sink) = Record::of(|event| format!("{event} {event:?}"));
    let guard = guard().audit(sink);
    let mut parts = head("/orders", &[&bearer]);
    let grant = guard.authorize(&mut parts, READ).now().unwrap().unwrap();
    let refused = guard.refuse(&grant);
    let mut again = head("/orders", &[&bearer]);
    let denial = guard.authorize(&mut again, WRITE).now().unwrap();
    let denial = denial.unwrap_err();
    shown.extend(record.take());
    assert_eq!(shown.len(), 3);

    let unverified = UnverifiedToken::parse(&raw).unwrap();
    shown.push(format!("{unverified:?} {:?}", unverified.key_hint()));
    let access = unverified.validate(&validation(), &login().keys(), now()).unwrap();
    let cut = UnverifiedToken::parse(&raw[1..]).unwrap_err();
    let forged = format!("{}AAAA{}", &raw[..raw.len() - 8], &raw[raw.len() - 4..]);
    let forged = UnverifiedToken::parse(&forged)
        .and_then(|token| token.validate(&validation(), &login().keys(), now()))
        .unwrap_err();
    let evidence: &unconfused::audit::Evidence = &grant;
    let credential =
        Credential::from_headers(&head("/", &[&bearer]).headers, &TokenLimits::default()).unwrap();
    assert_eq!(credential.expose(), raw);
    shown.push(format!("{access:?} {access:#?}"));
    shown.push(format!("{grant:?} {grant:#?} {evidence:?} {:?}", grant.at()));
    shown.push(format!("{credential:?}"));
    shown.push(format!("{guard:?} {guard:#?} {:?}", guard.require(READ)));
    shown.push(format!("{denial} {denial:?} {refused} {refused:?}"));
    shown.push(format!("{cut} {cut:?} {forged} {forged:?}"));
    shown.push(format!("{:?} {}", denial.headers(), denial.problem_json()));
    shown.push(format!("{:?}", parts));

    for text in &shown {
        assert!(!text.contains("open-sesame"), "{text}");
        for part in raw.split('.') {
            assert!(!text.contains(&part[..16]), "{text}");
            assert!(!text.contains(&part[part.len() - 12..]), "{text}");
        }
    }
}

#[test]
fn debug_of_what_holds_a_token_shows_its_name_and_none_of_its_claims() {
    let token = token()
        .subject("subject-name")
        .client("client-name")
        .actor("actor-name")
        .claim("jti", "t-1")
        .scope("scope-name orders:read")
        .acr("acr-name");
    let grant = ask(&guard(), &token, READ).unwrap();
    let evidence: &unconfused::audit::Evidence = &grant;
    for shown in [format!("{:?}", grant.token()), format!("{evidence:?}"), format!("{grant:?}")] {
        assert!(shown.contains("t-1") && shown.contains(LOGIN), "{shown}");
        assert!(!shown.contains("-name"), "{shown}");
    }
    let denial = ask(&guard(), &token, WRITE).unwrap_err();
    let shown = format!("{denial:?}");
    assert!(shown.contains("insufficient_scope"), "{shown}");
    assert!(!shown.contains("-name"), "{shown}");
}

#[test]
fn debug_of_a_denial_shows_no_audience_of_the_token() {
    let token = token().claim("aud", "audience-name");
    let denial = ask(&guard(), &token, READ).unwrap_err();
    let shown = format!("{denial:?}");
    assert!(!shown.contains("audience-name"), "{shown}");
}

// No claim forges a line.

/// Text that would end a line, hide one, or look like another field.
const HOSTILE: [&str; 9] = [
    "a\nallowed decision=0 subject=\"bob\"",
    "a\r\nb",
    "a\u{1b}[2J\u{1b}[31mred",
    "a\u{202e}b\u{2066}c\u{200f}",
    "a\u{2028}b\u{2029}c\u{85}d\u{b}e\u{c}f",
    "a\" actor=\"boss",
    "a\\\" actor=\\\"boss\\",
    "a\u{0}b\u{7f}c\u{9b}31md",
    "a\u{200b}\u{feff}\u{e0041}b",
];

fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// One token for each place that a stranger fills.
fn hostile_tokens(text: &str) -> Vec<TestToken> {
    vec![
        token().subject(text),
        token().client(text),
        token().claim("jti", text),
        token().acr(text),
        token().scope(&text.replace(' ', "_")),
        token().actor(text),
        token().actor("agent-7").claim("act", json!({ "sub": "x", "act": { "sub": text } })),
        token().actor_with_issuer(text, text),
        token().claim("aud", text),
        token().claim("iss", text),
        token().header("kid", text),
        token().header("typ", text),
        token().subject(text).expired(),
    ]
}

#[test]
fn no_claim_forges_a_line_or_a_field_of_an_event() {
    for text in HOSTILE {
        for token in hostile_tokens(text) {
            let line = line(&token, Require::scope(READ).max_age(secs(1)));
            assert!(line.chars().all(is_harmless), "{line}");
            // It still reads, and no field is there twice.
            let names: Vec<_> = pairs(&line)
                .into_iter()
                .map(|(name, _)| name)
                .filter(|name| !["scope", "other_reason", "prior_actor"].contains(&&**name))
                .collect();
            let distinct: BTreeSet<_> = names.iter().collect();
            assert_eq!(distinct.len(), names.len(), "{line}");
        }
    }
}

#[test]
fn no_tenant_forges_a_line_or_a_field_of_an_event() {
    let of_tenant = Profile::rfc9068().tenant_claim("org");
    for text in HOSTILE {
        for profile in [of_tenant.clone(), of_tenant.clone().tenant_in_issuer()] {
            let (record, sink) = Record::of(|event| event.to_string());
            let guard = Guard::new(ORDERS, login().issuer().profile(profile));
            let token = token().claim("org", text);
            let _ = ask(&guard.clock(now).audit(sink), &token, Require::valid_token());
            let line = record.take().remove(0);
            assert!(line.chars().all(is_harmless), "{line}");
            assert_eq!(values(&line, "tenant").len(), 1, "{line}");
            assert!(values(&line, "actor").is_empty(), "{line}");
        }
    }
}

#[test]
fn a_long_claim_is_cut_in_the_record() {
    let token = token().subject(&"s".repeat(3000));
    let line = line(&token, Require::valid_token());
    let subject = values(&line, "subject").remove(0);
    assert_eq!(subject, format!("{}…", "s".repeat(256)));
}

#[test]
fn no_path_forges_a_line() {
    let (guard, record) = recorded();
    let mut tried = 0;
    for path in [
        "/a%0d%0aallowed",
        "/a\"b=\"c",
        "/a\u{202e}b",
        "/a\u{85}b",
        "/\u{2028}",
        "/a\u{1b}[2J",
        "/a\nb",
    ] {
        // The type of a request rules these out.
        let Ok(uri) = http::Uri::try_from(path) else {
            continue;
        };
        tried += 1;
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.uri = uri;
        let answer = guard.authorize(&mut parts, READ).now().unwrap();
        assert!(answer.is_err());
        let line = record.take().remove(0);
        assert!(line.chars().all(is_harmless), "{line}");
        assert_eq!(values(&line, "operation").len(), 1, "{line}");
        assert_eq!(values(&line, "reason"), ["missing_credentials"]);
    }
    assert!(tried > 1);
}

// The sink of `tracing`.

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

/// What a subscriber writes of these requests.
fn traced(requests: Vec<(Parts, Require)>) -> String {
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let subscriber =
        tracing_subscriber::fmt().without_time().with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        let guard = guard().audit(TracingAudit);
        for (mut parts, requirement) in requests {
            let _ = guard.authorize(&mut parts, requirement).now().unwrap();
        }
    });
    let bytes = buffer.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn tracing_has_one_event_a_decision_at_the_level_of_its_outcome() {
    let good = token().scope("orders:read").actor("agent-7");
    let text = traced(vec![
        (request(&good), READ.into()),
        (request(&good), Require::scope(WRITE).acr([PHR])),
        (head("/orders?access_token=x", &[]), READ.into()),
    ]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    let (allowed, denied, missing) = (lines[0], lines[1], lines[2]);
    assert!(allowed.contains("INFO unconfused::audit: allowed"), "{text}");
    for field in ["alice", "agent-7", "test-client", "https://orders.example"] {
        assert!(allowed.contains(field), "{text}");
    }
    assert!(denied.contains("WARN unconfused::audit: denied"), "{text}");
    for field in ["authentication_context_missing", "401", "asked"] {
        assert!(denied.contains(field), "{text}");
    }
    assert!(missing.contains("query_token=true"), "{text}");
    assert!(!missing.contains("subject"), "{text}");
}

#[test]
fn no_claim_forges_a_line_of_tracing() {
    for text in HOSTILE {
        let requests: Vec<_> = hostile_tokens(text)
            .iter()
            .map(|token| (request(token), Require::scope(READ).max_age(secs(1))))
            .collect();
        let events = requests.len();
        let text = traced(requests);
        assert_eq!(text.lines().count(), events, "{text}");
        assert!(text.chars().all(|c| c == '\n' || is_harmless(c)), "{text}");
        assert!(text.lines().all(|line| line.contains("WARN")), "{text}");
    }
}

#[test]
fn no_claim_forges_a_field_of_tracing() {
    // A subject whose name is chosen so that the record reads as if an agent had acted.
    let forged = "alice actor=agent-7 actor_issuer=https://login.example actor_source=Act";
    let show = |token: TestToken| {
        let token = token.claim("jti", "t-1");
        let text = traced(vec![(request(&token), Require::valid_token())]);
        let (before, after) = text.split_once("decision=").unwrap();
        format!("{before}{}", after.split_once(' ').unwrap().1)
    };
    assert_ne!(show(token().subject(forged)), show(token().actor("agent-7")));
}

#[test]
fn two_prior_actors_do_not_read_as_one_in_tracing() {
    let show = |token: TestToken| {
        let token = token.actor("agent-7").claim("jti", "t-1");
        let text = traced(vec![(request(&token), Require::valid_token())]);
        let (before, after) = text.split_once("decision=").unwrap();
        format!("{before}{}", after.split_once(' ').unwrap().1)
    };
    let two = token().actor("a").actor("b");
    assert_ne!(show(two), show(token().actor("b a")));
}

#[test]
fn the_token_is_not_in_tracing() {
    let token = token().scope("orders:read");
    let parts = request(&token);
    let raw = parts.headers["authorization"].to_str().unwrap()[7..].to_owned();
    let text = traced(vec![(parts.clone(), READ.into()), (parts, WRITE.into())]);
    assert_eq!(text.lines().count(), 2);
    for part in raw.split('.') {
        assert!(!text.contains(&part[..16]), "{text}");
    }
}

// Keys that are on their way.

/// A guard whose keys come later.
fn waiting_guard(sink: impl Audit) -> Guard {
    let source = |_: KeyHint<'_>| {
        Answer::later(async {
            tokio::task::yield_now().await;
            Ok(login().keys())
        })
    };
    Guard::new(ORDERS, Issuer::new(LOGIN, source)).clock(now).audit(sink)
}

#[tokio::test]
async fn keys_that_come_later_give_the_same_answers() {
    let (record, sink) = Record::of(|event| event.reason());
    let waiting = waiting_guard(sink);
    let good = token().scope("orders:read");
    for token in [
        good.clone(),
        good.clone().forged_by(forger()),
        good.clone().expired(),
        good.clone().actor_with_issuer(OTHER, "a"),
        good.clone().header("kid", "nobody"),
        token(),
    ] {
        let expected = ask(&guard(), &token, READ);
        let mut parts = request(&token);
        let answer = waiting.authorize(&mut parts, READ);
        assert!(matches!(answer, Answer::Later(_)));
        let answer = answer.await;
        let reason = expected.as_ref().err().map(|denial| denial.reason());
        assert_eq!(answer.as_ref().err().map(|denial| denial.reason()), reason);
        assert_eq!(record.take(), [reason]);
        // The credential goes off a granted request, and off no other.
        let kept = parts.headers.contains_key("authorization");
        assert_eq!(kept, answer.is_err());
        match (answer, expected) {
            (Ok(granted), Ok(expected)) => assert_eq!(granted.jti(), expected.jti()),
            (Err(denied), Err(expected)) => {
                assert_eq!(denied.headers(), expected.headers());
                let words = denied.for_operator().to_string();
                assert_eq!(words, expected.for_operator().to_string());
            }
            _ => unreachable!("the reasons are the same"),
        }
    }
}

#[tokio::test]
async fn what_needs_no_keys_does_not_wait_for_them() {
    let (_, sink) = Record::of(|event| event.reason());
    let waiting = waiting_guard(sink);
    let mut none = head("/orders", &[]);
    assert!(waiting.authorize(&mut none, READ).now().is_some());
    let mut parts = request(&token().claim("iss", OTHER));
    assert!(waiting.authorize(&mut parts, READ).now().is_some());
    let mut parts = request(&token().scope("orders:read"));
    let grant = waiting.authorize(&mut parts, READ).await.unwrap();
    // The token is validated already.
    assert!(waiting.narrow(&grant, READ).now().is_some());
    assert!(waiting.authorize(&mut parts, READ).now().is_some());
}

#[tokio::test]
async fn keys_that_never_come_are_a_503() {
    let source =
        |_: KeyHint<'_>| Answer::later(async { Err(KeysUnavailable::new("connection refused")) });
    let (record, sink) = Record::of(text);
    let guard = Guard::new(ORDERS, Issuer::new(LOGIN, source)).clock(now).audit(sink);
    let mut parts = request(&token());
    let denial = guard.authorize(&mut parts, READ).await.unwrap_err();
    assert_eq!(denial.reason(), Reason::KeysUnavailable);
    assert_eq!(denial.status(), 503);
    assert!(denial.for_operator().to_string().contains("connection refused"));
    let shown = format!("{:?}{}", denial.headers(), denial.problem_json());
    assert!(!shown.contains("refused"), "{shown}");
    let lines = record.take();
    assert_eq!(lines.len(), 1);
    assert!(!lines[0].contains("alice"), "{}", lines[0]);
}

#[test]
fn a_waiting_answer_that_is_dropped_leaves_no_event() {
    let (record, sink) = Record::of(text);
    let guard = waiting_guard(sink);
    let mut parts = request(&token().scope("orders:read"));
    drop(guard.authorize(&mut parts, READ));
    {
        let mut answer = pin!(guard.authorize(&mut parts, READ).into_future());
        let poll = answer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll.is_pending());
    }
    assert!(record.take().is_empty());
    assert!(parts.headers.contains_key("authorization"));
    assert!(parts.extensions.is_empty());
}

#[test]
fn another_guard_judges_a_layer_by_the_moment_of_the_request_and_a_narrow_by_its_own() {
    let first = guard();
    let second = guard().clock(|| at(7)).limits(TokenLimits::default().leeway(secs(0)));
    let mut parts = request(&token());
    let grant = first.authorize(&mut parts, Require::valid_token()).now().unwrap().unwrap();
    let narrowed = second.narrow(&grant, Require::valid_token()).now().unwrap().unwrap();
    assert_eq!(narrowed.at(), at(7));
    let inner = second.authorize(&mut parts, Require::valid_token()).now().unwrap().unwrap();
    assert_eq!(inner.at(), now());
}

#[test]
fn a_method_of_any_length_is_cut() {
    let (record, sink) = Record::of(|event| event.to_string());
    let guard = guard().audit(sink);
    let method = http::Method::from_bytes("M".repeat(5000).as_bytes()).unwrap();
    let mut parts = http::Request::builder().method(method).body(()).unwrap().into_parts().0;
    assert!(guard.authorize(&mut parts, READ).now().unwrap().is_err());
    assert!(record.take()[0].len() < 700);
}

#[test]
fn the_record_says_why_keys_are_unavailable_and_which_claim_is_missing() {
    let (record, sink) = Record::of(|event| event.detail().map(|detail| detail.to_string()));
    let sink = Arc::new(sink);
    let down = Issuer::new(LOGIN, |_: KeyHint<'_>| -> unconfused::keys::Keys {
        Answer::Now(Err(KeysUnavailable::new("connection\nrefused")))
    });
    let guard = Guard::new(ORDERS, down).clock(now).audit(sink.clone());
    assert!(ask(&guard, &token(), READ).is_err());
    let guard = common::guard().audit(sink);
    assert!(ask(&guard, &token().without_claim("jti"), READ).is_err());
    assert!(ask(&guard, &token().header("kid", "not-ours"), READ).is_err());
    let details = record.take();
    assert!(details[0].as_ref().unwrap().contains(r"connection\nrefused"), "{details:?}");
    assert_eq!(details[1].as_deref(), Some("no `jti`"));
    let expected = "expected a key of the issuer, which has 1: `test-1`";
    assert_eq!(details[2].as_deref(), Some(expected));
}
