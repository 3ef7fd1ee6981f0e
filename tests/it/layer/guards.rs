//! One of several guards, chosen for each request.

use std::collections::BTreeMap;

use unconfused::layer::{Guards, body_fn};
use unconfused::replay::MemoryReplayStore;

use super::*;

const BILLING_METADATA: &str = "https://billing.example/.well-known/oauth-protected-resource";

fn by_host<'g>(head: &Parts, guards: &'g BTreeMap<String, Guard>) -> Option<&'g Guard> {
    guards.get(head.headers.get("host")?.to_str().ok()?)
}

fn both(login: &TestIssuer) -> Guards {
    let orders = Guard::new(ORDERS, login.issuer());
    let billing = Guard::new(BILLING, login.issuer());
    Guards::new([("orders.example", orders), ("billing.example", billing)], by_host)
}

fn to(host: &str, token: &TestToken) -> Request<String> {
    let mut request = with(token);
    request.headers_mut().insert("host", host.parse().unwrap());
    request
}

#[test]
fn a_token_of_one_resource_is_granted_there_and_refused_at_the_others() {
    let login = login();
    let guards = both(&login);
    for (host, resource, metadata) in
        [("orders.example", ORDERS, METADATA), ("billing.example", BILLING, BILLING_METADATA)]
    {
        for audience in [ORDERS, BILLING] {
            let token = login.token(&audience).scope("orders:read");
            let (response, log) = through(guards.require(READ), to(host, &token));
            if audience == resource {
                assert_eq!(log.grant().audience(), Some(&resource));
                continue;
            }
            assert_eq!(denial(&response).reason(), Reason::AudienceMismatch, "{host} {audience}");
            assert_eq!(log.calls(), 0);
            let named = format!(r#"resource_metadata="{metadata}""#);
            assert!(challenge(&response).contains(&named), "{}", challenge(&response));
        }
    }
}

#[test]
fn a_request_that_no_guard_is_chosen_for_is_refused_whatever_its_credential() {
    let login = login();
    let (issuer, asked) = counted(&login);
    let guards = Guards::new([("orders.example", Guard::new(ORDERS, issuer))], by_host);
    let strange = |authorization: Option<&str>| {
        let mut request = without_token();
        request.headers_mut().insert("host", "other.example".parse().unwrap());
        if let Some(value) = authorization {
            request.headers_mut().insert(AUTHORIZATION, value.parse().unwrap());
        }
        request.extensions_mut().insert(ApiKey);
        request
    };
    let good = reader(&login).bearer();
    for layer in [
        guards.require(READ),
        guards.require_by(|_| unreachable!("not asked")),
        guards.optional(READ),
        guards.require(READ).or_authenticated::<ApiKey>(),
    ] {
        for authorization in [None, Some(&*good), Some("Basic YTpi"), Some("")] {
            let (response, log) = through(layer.clone(), strange(authorization));
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
            assert_eq!(denial(&response).reason(), Reason::OperationUnknown);
            assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
            assert_eq!(log.calls(), 0);
        }
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[derive(Clone)]
struct ApiKey;

#[test]
fn a_refusal_without_a_guard_is_recorded_and_has_a_body() {
    let (sink, lines) = recorded(|event| {
        let reason = event.reason().map(Reason::as_str);
        format!("{} {reason:?} {} {}", event.operation(), event.requirement(), event.step())
    });
    let page = body_fn(|denial| ("text/plain", denial.reason().as_str()));
    let guards = both(&login()).audit(sink).body(page);
    let layer = guards.require(READ).named("orders.list");
    let (response, _) = through(layer, without_token());
    assert_eq!(response.body(), "operation_unknown");
    assert_eq!(response.headers()[CONTENT_TYPE], "text/plain");
    assert!(denial(&response).decision().is_some());
    let line = format!("orders.list Some(\"operation_unknown\") {} 0", Require::scope(READ));
    assert_eq!(*lines.lock().unwrap(), [line]);
}

#[test]
fn the_chosen_guard_records_and_answers_as_it_does_alone() {
    let login = login();
    let (sink, lines) = recorded(|event| event.operation().to_string());
    let orders = Guard::new(ORDERS, login.issuer()).audit(sink).body(|_: &Denial| "no");
    let guards = Guards::new([("orders.example", orders)], by_host);
    let (response, _) = through(guards.require(WRITE), to("orders.example", &reader(&login)));
    assert_eq!((response.status(), &**response.body()), (StatusCode::FORBIDDEN, "no"));
    assert_eq!(*lines.lock().unwrap(), ["GET /orders"]);
}

#[test]
fn a_path_whose_spellings_choose_different_guards_is_refused() {
    let login = login();
    let by_path = |head: &Parts, guards: &BTreeMap<String, Guard>| -> Option<String> {
        let first = head.uri.path().split('/').nth(1)?;
        guards.contains_key(first).then(|| first.to_owned())
    };
    let guards = Guards::new(
        [
            ("orders", Guard::new(ORDERS, login.issuer())),
            ("billing", Guard::new(BILLING, login.issuer())),
        ],
        move |head, guards| guards.get(&by_path(head, guards)?),
    );
    let ask = |path: &str| {
        let request = Request::get(path).header(AUTHORIZATION, reader(&login).bearer());
        through(guards.require(READ), request.body(String::new()).unwrap())
    };
    for path in ["/orders", "/orders/", "/orders/7", "/orders/%41", "/orders/a/../b"] {
        let (response, log) = ask(path);
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(log.only().0.uri.path(), path);
    }
    for path in
        ["/orders/../billing", "/orders/%2e%2e/billing", "/%6frders/7", "//orders", "/orders/.."]
    {
        let (response, log) = ask(path);
        assert_eq!(denial(&response).reason(), Reason::OperationUnknown, "{path}");
        assert_eq!(log.calls(), 0);
    }
}

#[test]
fn a_guard_is_chosen_without_a_layer_and_leaves_the_head_as_it_is() {
    let login = login();
    let guards = both(&login);
    let (mut head, _) = to("billing.example", &reader(&login)).into_parts();
    head.uri = "/a/../b?x=1".parse().unwrap();
    let guard = guards.choose(&mut head).unwrap();
    assert_eq!(head.uri, "/a/../b?x=1");
    let denial = guard.authorize(&mut head, READ).now().unwrap().unwrap_err();
    assert_eq!(denial.reason(), Reason::AudienceMismatch);
    head.headers.remove("host");
    let denial = guards.choose(&mut head).unwrap_err();
    assert_eq!(
        (denial.reason(), denial.status()),
        (Reason::OperationUnknown, StatusCode::FORBIDDEN)
    );
}

#[test]
fn a_handler_finds_the_guard_that_made_its_grant() {
    let login = login();
    let guards = both(&login);
    let (_, log) = through(guards.require(READ), to("orders.example", &reader(&login)));
    let grant = log.grant();
    let guard = guards.maker_of(&grant).unwrap();
    assert!(grant.made_by(guard) && grant.made_by(guards.get("orders.example").unwrap()));
    let alone = Guard::new(ORDERS, login.issuer());
    assert!(guards.maker_of(&granted(&alone, &reader(&login))).is_none());
}

/// What set-up says when it panics.
fn panic_of<T>(set_up: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(set_up()))).unwrap_err();
    panic.downcast_ref::<String>().expect("a message").clone()
}

#[test]
fn guards_that_could_be_taken_for_each_other_are_refused_at_set_up() {
    let login = login();
    let orders = || Guard::new(ORDERS, login.issuer());
    let billing = || Guard::new(BILLING, login.issuer());
    let message = panic_of(|| Guards::new([("a", orders()), ("a", billing())], by_host));
    assert_eq!(message, "two guards have the name `a`");
    for other in [orders(), billing().also_accept(ORDERS)] {
        let message = panic_of(|| Guards::new([("a", orders()), ("b", other)], by_host));
        let expected = "the guards `b` and `a` accept the same tokens: those of `https://login.example` for \
                        `https://orders.example`";
        assert_eq!(message, expected);
    }
    // Tenants that have an issuer each may share an audience.
    let other = TestIssuer::new("https://other.example");
    let _ = Guards::new([("a", orders()), ("b", Guard::new(ORDERS, other.issuer()))], by_host);
}

#[test]
fn a_requirement_that_one_of_the_guards_cannot_meet_panics_at_set_up() {
    let login = login();
    let orders = Guard::new(ORDERS, login.issuer()).replay(MemoryReplayStore::new());
    let guards = |billing: Guard| Guards::new([("a", orders.clone()), ("b", billing)], by_host);
    let without_store = guards(Guard::new(BILLING, login.issuer()));
    let once = || Require::scope(READ).single_use();
    let set_ups: [fn(&Guards, Require) -> unconfused::layer::GuardLayer; 2] =
        [|guards, once| guards.require(once), |guards, once| guards.optional(once)];
    for set_up in set_ups {
        let layer = catch_unwind(AssertUnwindSafe(|| set_up(&without_store, once())));
        assert!(layer.is_err());
    }
    let billing = Guard::new(BILLING, login.issuer()).replay(MemoryReplayStore::new());
    let _ = guards(billing).require(once());
}
