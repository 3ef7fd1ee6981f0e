//! What the sink counts: each request once, by its last step, in tables that have limits.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::Method;
use axum::routing::{delete, get, post};
use unconfused::audit::{ActorName, ActorSignals, Signals, SignalsReport};
use unconfused::policy::Ask;
use unconfused::profile::Profile;
use unconfused::testing::TestToken;
use unconfused::{Audience, Denial, Grant, Guard, Party, Reason, Require};

use crate::{
    DELETE, FIVE_MINUTES, LOGIN, READ, REFUND, WRITE, approved, approving, ask, counted, deletion,
    guard, login,
};

/// Asks the guard about a request without a router.
fn request(guard: &Guard, path: &str, token: Option<&TestToken>) -> Result<Grant, Denial> {
    send(guard, path, token.map(TestToken::bearer).as_deref())
}

/// Asks the guard about a request with a token that is signed already.
fn send(guard: &Guard, path: &str, bearer: Option<&str>) -> Result<Grant, Denial> {
    let mut request = http::Request::get(path);
    if let Some(bearer) = bearer {
        request = request.header("authorization", bearer);
    }
    let (mut head, ()) = request.body(()).unwrap().into_parts();
    guard.authorize(&mut head, READ).now().unwrap()
}

/// Name, allowed, denied, step-up asked and met, approval asked and met.
fn operations(report: &SignalsReport) -> Vec<(&str, [u64; 6])> {
    let rows = report.operations.iter();
    rows.map(|row| {
        let counts = [
            row.allowed,
            row.denied,
            row.step_up_asked,
            row.step_up_met,
            row.approval_asked,
            row.approval_met,
        ];
        (row.name.as_deref().unwrap_or("(others)"), counts)
    })
    .collect()
}

fn actors(report: &SignalsReport) -> Vec<String> {
    let shown = |row: &ActorSignals| {
        let actor = match &row.actor {
            ActorName::Actor(actor) => actor.name().to_owned(),
            ActorName::NoOne => "-".to_owned(),
            _ => "(others)".to_owned(),
        };
        let subject = row.subject.as_ref().map_or("(others)", Party::name);
        format!("{actor} for {subject}: {} {}", row.allowed, row.denied)
    };
    report.actors.iter().map(shown).collect()
}

#[tokio::test]
async fn each_signal_is_counted() {
    let login = login();
    let (guard, signals) = counted(&login);
    let guard = approving(guard);
    let ok = async || ();
    let refunds = Require::scope(REFUND).max_age(FIVE_MINUTES);
    let deletions = Require::scope(DELETE).and(Require::detail(deletion()));
    let app = Router::new()
        .route("/orders", get(ok).route_layer(guard.require(READ).named("GET /orders")))
        .route(
            "/orders/{id}/refund",
            post(ok).route_layer(guard.require(refunds).named("POST /orders/{id}/refund")),
        )
        .route(
            "/orders/{id}",
            delete(ok).route_layer(guard.require(deletions).named("DELETE /orders/{id}")),
        );
    let agent = |scope| login.token(&crate::ORDERS).actor("agent-7").client("app").scope(scope);
    let reads = agent("orders:read");
    let elsewhere = login
        .token(&Audience::from_static("https://other.example"))
        .actor("agent-8")
        .scope("orders:read");
    let own = login.token(&crate::ORDERS).subject("bob").scope("orders:read");
    for token in [Some(&reads), Some(&reads), Some(&own), Some(&elsewhere), None] {
        ask(&app, Method::GET, "/orders", token).await;
    }
    let refunds = agent("orders:refund");
    let fresh = refunds.clone().authenticated(std::time::Duration::ZERO);
    let stale = refunds.authenticated(std::time::Duration::from_secs(3600));
    for (path, token) in [("/orders/7/refund", &stale), ("/orders/8/refund", &fresh)] {
        ask(&app, Method::POST, path, Some(token)).await;
    }
    let deletes = agent("orders:delete");
    let asked = ask(&app, Method::DELETE, "/orders/7", Some(&deletes)).await;
    let challenge = asked.headers()["www-authenticate"].to_str().unwrap();
    let deletes = approved(&deletes, challenge);
    let met = ask(&app, Method::DELETE, "/orders/7", Some(&deletes)).await;
    assert_eq!(met.status(), 200);

    let report = signals.report(&guard.operations());
    assert_eq!((report.allowed, report.denied), (5, 4));
    assert_eq!(report.allowed_with_audience, 5);
    assert_eq!((report.allowed_by_client_list, report.allowed_without_token), (0, 0));
    assert_eq!(report.denied_by_reason[&Reason::AudienceMismatch], 1);
    assert_eq!(report.denied_by_reason[&Reason::MissingCredentials], 1);
    assert_eq!(report.denied_by_reason.values().sum::<u64>(), 4);
    assert_eq!(
        operations(&report),
        [
            ("GET /orders", [3, 2, 0, 0, 0, 0]),
            ("DELETE /orders/{id}", [1, 1, 0, 0, 1, 1]),
            ("POST /orders/{id}/refund", [1, 1, 1, 1, 0, 0]),
        ]
    );
    assert_eq!(
        actors(&report),
        ["agent-7 for alice: 4 2", "- for bob: 1 0", "agent-8 for alice: 0 1"]
    );
    let text = report.to_string();
    for line in [
        "audience  validated in 5 of 5 allowed requests",
        "          denied: 4, of which 1 had a token for another resource and 1 had none",
        "operation                 allowed  denied  step-up         approval        requires",
        "POST /orders/{id}/refund  1        1       1 asked, 1 met  -               \
         scope=orders:refund max_age=300",
        r#""agent-7" of "https://login.example"  "alice" of "https://login.example"  4        2"#,
        r#"(no one but the subject)              "bob" of "https://login.example"    1        0"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n\n{text}");
    }
}

#[test]
fn a_request_that_was_allowed_without_an_audience_is_told_apart() {
    let login = login();
    let profile = Profile::rfc9068().client_list_instead_of_audience(["app"]);
    let signals = Arc::new(Signals::new());
    let guard = Guard::new(crate::ORDERS, login.issuer().profile(profile)).audit(signals.clone());
    let token = login.token(&crate::ORDERS).client("app").scope("orders:read");
    request(&guard, "/", Some(&token)).unwrap();
    request(&guard, "/", Some(&token.without_claim("aud"))).unwrap();
    let report = signals.report(&guard.operations());
    assert_eq!((report.allowed, report.allowed_with_audience), (2, 1));
    assert_eq!(report.allowed_by_client_list, 1);
    let line = "          replaced by a list of clients in 1\n";
    assert!(report.to_string().contains(line), "{report}");
}

#[tokio::test]
async fn a_request_that_another_authenticator_vouched_for_is_told_apart() {
    let (guard, signals) = counted(&login());
    let layer = guard.require(READ).or_authenticated::<u8>();
    let app = Router::new()
        .route("/orders", get(async || ()).route_layer(layer))
        .layer(axum::Extension(7_u8));
    assert_eq!(ask(&app, Method::GET, "/orders", None).await.status(), 200);
    let report = signals.report(&guard.operations());
    assert_eq!((report.allowed, report.allowed_with_audience), (1, 0));
    assert_eq!(report.allowed_without_token, 1);
}

#[tokio::test]
async fn a_request_counts_once_and_its_last_step_says_what_became_of_it() {
    async fn refuse(State(guard): State<Guard>, grant: Grant) -> Result<(), Denial> {
        Err(guard.refuse_for(&grant, "not the owner"))
    }
    async fn narrow(State(guard): State<Guard>, grant: Grant) -> Result<(), Denial> {
        guard.narrow(&grant, WRITE).await.map(drop)
    }
    let login = login();
    let (guard, signals) = counted(&login);
    let step_up = Require::scope(READ).max_age(FIVE_MINUTES);
    let app = Router::new()
        .route("/refuse/{id}", get(refuse).route_layer(guard.require(step_up).named("GET /refuse/{id}")))
        .route("/narrow/{id}", get(narrow).route_layer(guard.require(READ).named("GET /narrow/{id}")))
        // The backstop knows the requests by their paths.
        .route_layer(guard.require(Require::valid_token()))
        .with_state(guard.clone());
    let token = login.token(&crate::ORDERS).actor("agent-7");
    let token = token.scope("orders:read orders:write").authenticated(std::time::Duration::ZERO);
    for (path, status) in [("/refuse/7", 403), ("/narrow/7", 200), ("/narrow/8", 200)] {
        assert_eq!(ask(&app, Method::GET, path, Some(&token)).await.status(), status);
    }
    let report = signals.report(&guard.operations());
    assert_eq!((report.allowed, report.denied), (2, 1));
    assert_eq!(
        operations(&report),
        [("GET /narrow/{id}", [2, 0, 0, 0, 0, 0]), ("GET /refuse/{id}", [0, 1, 0, 1, 0, 0])]
    );
    assert_eq!(actors(&report), ["agent-7 for alice: 2 1"]);
    assert_eq!(report.denied_by_reason[&Reason::PolicyDenied], 1);
}

#[test]
fn a_later_step_of_a_decision_that_is_forgotten_is_a_request_of_its_own() {
    let login = login();
    let (guard, signals) = counted(&login);
    let token = login.token(&crate::ORDERS).scope("orders:read").bearer();
    let grant = send(&guard, "/orders", Some(&token)).unwrap();
    let other = |count: usize| {
        for _ in 0..count {
            let _ = send(&guard, "/orders", Some(&token)).unwrap();
        }
    };
    let counted = || {
        let report = signals.report(&guard.operations());
        (report.allowed, report.denied)
    };
    other(Signals::DECISIONS - 1);
    let _ = guard.refuse(&grant);
    assert_eq!(counted(), (1023, 1), "it is one of the last 1,024");
    other(Signals::DECISIONS);
    let _ = guard.refuse(&grant);
    assert_eq!(counted(), (2047, 2));
}

#[test]
fn an_operation_that_is_on_no_list_is_seen() {
    let login = login();
    let (guard, signals) = counted(&login);
    let layer = guard.require(READ).named("GET /orders");
    let token = login.token(&crate::ORDERS).scope("orders:read");
    let grant = request(&guard, "/reports", Some(&token)).unwrap();
    let asked = Ask::operation("reports.print").requiring(READ);
    let _ = guard.narrow(&grant, asked).now().unwrap().unwrap();
    request(&guard, "/other", Some(&token)).unwrap();
    let report = signals.report(&guard.operations());
    let zeros = [0; 6];
    assert_eq!(
        operations(&report),
        [
            ("GET /orders", zeros),
            ("GET /other", [1, 0, 0, 0, 0, 0]),
            ("reports.print", [1, 0, 0, 0, 0, 0]),
        ]
    );
    let listed: Vec<_> = report.operations.iter().map(|row| row.listed.is_some()).collect();
    assert_eq!(listed, [true, false, false]);
    drop(layer);
}

#[test]
fn strangers_cannot_fill_the_tables() {
    let login = login();
    let (guard, signals) = counted(&login);
    let forged = login.token(&crate::ORDERS).forged_by(&crate::TestIssuer::new(LOGIN));
    for n in 0..200 {
        let forged = forged.clone().subject(&format!("s-{n}")).actor(&format!("a-{n}"));
        assert!(request(&guard, &format!("/{n}"), Some(&forged)).is_err());
    }
    for n in 0..Signals::OPERATIONS {
        assert!(request(&guard, &format!("/{n}"), None).is_err());
    }
    // There is room for what comes with a valid token.
    let token = login.token(&crate::ORDERS).scope("orders:read");
    request(&guard, "/0", Some(&token)).unwrap();
    let report = signals.report(&guard.operations());
    let rows = [("GET /0", [1, 0, 0, 0, 0, 0]), ("(others)", [0, 700, 0, 0, 0, 0])];
    assert_eq!(operations(&report), rows);
    // Those whose signature was not verified are no one.
    assert_eq!(actors(&report), ["- for alice: 1 0"]);
}

#[test]
fn each_table_has_a_limit_and_what_is_beyond_it_is_counted_together() {
    let login = login();
    let (guard, signals) = counted(&login);
    let token = || login.token(&crate::ORDERS).scope("orders:read");
    let one = token().bearer();
    for n in 0..Signals::OPERATIONS + 7 {
        let _ = send(&guard, &format!("/{n}"), Some(&one)).unwrap();
    }
    for n in 0..Signals::SUBJECTS + 5 {
        let token = token().actor("busy").subject(&format!("s-{n}"));
        request(&guard, "/0", Some(&token)).unwrap();
    }
    // One row is of no one, and one of `busy`.
    for n in 0..Signals::ACTORS + 1 {
        let token = token().actor(&format!("a-{n}"));
        request(&guard, "/0", Some(&token)).unwrap();
    }
    let report = signals.report(&guard.operations());
    let rows = operations(&report);
    assert_eq!(rows.len(), Signals::OPERATIONS + 1);
    assert_eq!(rows[Signals::OPERATIONS], ("(others)", [7, 0, 0, 0, 0, 0]));
    let rows = actors(&report);
    assert_eq!(rows[0], "- for alice: 507 0");
    let busy: Vec<_> = rows.iter().filter(|row| row.starts_with("busy")).collect();
    assert_eq!(busy.len(), Signals::SUBJECTS + 1);
    assert_eq!(busy[Signals::SUBJECTS], "busy for (others): 5 0");
    assert_eq!(rows[rows.len() - 1], "(others) for (others): 3 0");
    let named = rows.iter().filter(|row| row.starts_with("a-")).count();
    assert_eq!(named, Signals::ACTORS - 2);
}

#[test]
fn names_of_two_issuers_are_two_and_long_names_hold_little_memory() {
    let (login, other) = (login(), crate::TestIssuer::new("https://other.example"));
    let signals = Arc::new(Signals::new());
    let guard = guard(&login).trust(other.issuer()).audit(signals.clone());
    let long = "é".repeat(4_000);
    for issuer in [&login, &other] {
        for subject in ["alice", &long] {
            let token = issuer.token(&crate::ORDERS).subject(subject).scope("orders:read");
            request(&guard, "/", Some(&token)).unwrap();
        }
    }
    let report = signals.report(&guard.operations());
    assert_eq!(report.actors.len(), 4);
    let longest = report.actors.iter().filter_map(|row| row.subject.as_ref());
    assert_eq!(longest.map(|subject| subject.name().chars().count()).max(), Some(257));
}

#[test]
fn nothing_that_was_counted_is_a_report_too() {
    let signals = Signals::new();
    let report = signals.report(&guard(&login()).operations());
    assert_eq!((report.allowed, report.denied, report.period), (0, 0, None));
    assert!(report.to_string().starts_with("0 requests\n"), "{report}");
    assert!(report.to_html().contains("No request was allowed yet."));
}

#[test]
fn rows_are_found_again_when_many_threads_count() {
    let login = login();
    let (guard, signals) = counted(&login);
    let token = login.token(&crate::ORDERS).actor("agent-7").scope("orders:read").bearer();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let grant = send(&guard, "/orders", Some(&token)).unwrap();
                    let _ = guard.refuse(&grant);
                }
            });
        }
    });
    let report = signals.report(&guard.operations());
    assert_eq!(actors(&report), ["agent-7 for alice: 0 2000"]);
    assert_eq!(operations(&report), [("GET /orders", [0, 2000, 0, 0, 0, 0])]);
}
