//! Which calls pass, by their path.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use unconfused::token::KeyHint;
use unconfused::{Answer, AuditEvent, Issuer};

#[tokio::test]
async fn a_listed_method_is_granted_to_a_token_that_meets_its_own_rule() {
    let layer = guard().rules(rules());
    let (response, seen) = through(&layer, call(LIST, &[&reader().bearer()])).await;
    assert_eq!(response.body(), "inside");
    let head = seen.unwrap();
    let grant = head.extensions.get::<Grant>().unwrap();
    assert_eq!(grant.operation().to_string(), format!("POST {LIST}"));
    assert!(!head.headers.contains_key("authorization"));

    let answer = through(&layer, call(REFUND_PATH, &[&reader().bearer()])).await;
    assert_eq!(refused(&answer), Reason::InsufficientScope);
}

#[tokio::test]
async fn an_unlisted_path_is_refused_before_the_credential_is_looked_at() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let issuer = Issuer::new(LOGIN, move |_: KeyHint<'_>| {
        count.fetch_add(1, Ordering::Relaxed);
        Answer::Now(Ok(login().keys()))
    });
    let guard = Guard::new(ORDERS, issuer).clock(now).dpop(dpop(), store());
    let layer = guard.client_certificate(|_| panic!("asked for a certificate")).rules(rules());
    let good = reader().bearer();
    for path in
        ["/orders.v1.Orders/Delete", "/", "/orders.v1.Orders", "/grpc.health.v1.Health/Watch"]
    {
        for authorization in [&[][..], &[&*good], &[&*good, &*good], &["Basic dTpw"], &[""]] {
            let answer = through(&layer, call(path, authorization)).await;
            assert_eq!(refused(&answer), Reason::OperationUnknown, "{path} {authorization:?}");
            let headers = answer.0.headers();
            assert_eq!(all(headers, "grpc-status"), ["7"]);
            assert!(!headers.contains_key("www-authenticate"));
            assert!(!headers.contains_key("dpop-nonce"));
        }
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_path_that_is_spelled_differently_is_not_listed() {
    let layer = guard().rules(rules());
    for path in [
        "/orders.v1.Orders/List/",
        "//orders.v1.Orders/List",
        "/orders.v1.Orders/%4cist",
        "/orders.v1.Orders/x/../List",
        "/orders.v1.orders/list",
        "/grpc.health.v1.Health/Check/",
        "/grpc.health.v1.Health/%43heck",
        "/grpc.health.v1.Health/Check/../../../orders.v1.Orders/List",
    ] {
        let answer = through(&layer, call(path, &[&reader().bearer()])).await;
        assert_eq!(refused(&answer), Reason::OperationUnknown, "{path}");
    }
}

#[tokio::test]
async fn an_unlisted_path_is_in_the_record_with_the_time_of_the_guard() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = lines.clone();
    let guard = guard().audit(move |event: &AuditEvent<'_>| {
        let reason = event.reason().map(Reason::as_str);
        let (operation, id) = (event.operation().to_string(), event.decision().to_string());
        kept.lock().unwrap().push((operation, reason, event.at(), event.step(), id));
    });
    let (response, _) = through(&guard.rules(rules()), call("/x.Y/Z", &[])).await;
    let id = all(response.headers(), "decision-id")[0].to_owned();
    let line = ("POST /x.Y/Z".to_owned(), Some("operation_unknown"), now(), 0, id);
    assert_eq!(*lines.lock().unwrap(), [line]);
}

#[tokio::test]
async fn an_unlisted_path_behind_a_layer_of_the_guard_is_a_step_of_the_same_decision() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = lines.clone();
    let guard = guard().audit(move |event: &AuditEvent<'_>| {
        kept.lock().unwrap().push((event.decision(), event.step(), event.allowed()));
    });
    let service = service_fn(|_: Request<String>| async {
        Ok::<_, Infallible>(Response::new(String::new()))
    });
    let inner = guard.rules(rules()).layer(service);
    let service = guard.require(Require::valid_token()).layer(inner);
    let Ok(_) = service.oneshot(call("/x.Y/Z", &[&reader().bearer()])).await;
    let lines = lines.lock().unwrap();
    assert_eq!(lines.len(), 2);
    assert_eq!([(lines[0].1, lines[0].2), (lines[1].1, lines[1].2)], [(0, true), (1, false)]);
    assert_eq!(lines[0].0, lines[1].0);
}

#[tokio::test]
async fn an_open_method_passes_without_a_grant_and_without_what_shows_possession() {
    let records = Arc::new(AtomicUsize::new(0));
    let count = records.clone();
    let guard = proof_guard().audit(move |_: &AuditEvent<'_>| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let layer = guard.rules(rules());
    for authorization in [&[][..], &["Bearer nonsense"], &["Bearer a", "Bearer b"]] {
        let mut request = call(HEALTH, authorization);
        for field in ["dpop", "client-cert"] {
            request.headers_mut().insert(field, "x".parse().unwrap());
        }
        let (response, seen) = through(&layer, request).await;
        assert_eq!(response.body(), "inside");
        let head = seen.unwrap();
        assert!(head.extensions.get::<Grant>().is_none());
        assert_eq!(all(&head.headers, "authorization"), authorization);
        assert!(!head.headers.contains_key("dpop") && !head.headers.contains_key("client-cert"));
    }
    assert_eq!(records.load(Ordering::Relaxed), 0);
}

/// What set-up says when it panics.
fn panic_of<T>(set_up: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(set_up()))).unwrap_err();
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).expect("a message")
}

#[test]
fn a_rule_that_cannot_be_meant_panics_at_set_up() {
    for again in [panic_of(|| rules().on(LIST, REFUND)), panic_of(|| rules().open(LIST))] {
        assert_eq!(again, "the path `/orders.v1.Orders/List` has two rules");
    }
    for path in [
        "",
        "/",
        "orders.v1.Orders/List",
        "/orders.v1.Orders",
        "/orders.v1.Orders/",
        "//List",
        "/orders.v1.Orders/List/",
        "/orders.v1.Orders/Li%73t",
        "/orders.v1.Orders/List?x",
        "/orders.v1.Orders/*",
        "/orders.v1.Orders/{method}",
        "/orders.v1.Orders/L\u{e9}st",
        "https://orders.example/orders.v1.Orders/List",
    ] {
        for message in
            [panic_of(|| Rules::new().on(path, READ)), panic_of(|| Rules::new().open(path))]
        {
            assert!(message.contains("is not the path of a gRPC method"), "{path}: {message}");
        }
    }
}

#[test]
fn a_requirement_that_the_guard_cannot_meet_panics_at_set_up() {
    let once = || rules().on("/orders.v1.Orders/Pay", Require::scope(READ).single_use());
    assert!(panic_of(|| guard().rules(once())).contains("Guard::replay"));
    let _ = guard().replay(store()).rules(once());
}

#[test]
fn rules_are_compared_with_the_methods_that_there_are() {
    let all = ["/orders.v1.Orders/List", "orders.v1.Orders/Refund", "grpc.health.v1.Health.Check"];
    assert_eq!(rules().check_methods(all), Ok(()));

    let problem = rules().check_methods(["orders.v1.Orders/List", "orders.v1.Orders/Pay"]);
    let problem = problem.unwrap_err();
    assert_eq!(problem.rules_without_method(), [HEALTH, REFUND_PATH]);
    assert_eq!(problem.methods_without_rule(), ["/orders.v1.Orders/Pay"]);
    assert_eq!(
        problem.to_string(),
        "rules without a method: /grpc.health.v1.Health/Check, /orders.v1.Orders/Refund; \
         methods without a rule: /orders.v1.Orders/Pay"
    );

    let problem = Rules::new().check_methods(["", "/", "Check"]).unwrap_err();
    assert_eq!(problem.to_string(), "methods without a rule: /, /Check");
}
