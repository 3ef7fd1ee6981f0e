//! What a rule can say besides its requirement, and rules before several guards.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use serde_json::Value;
use tower::{Layer, ServiceExt};
use unconfused::approvals::{Approvals, SigningKey};
use unconfused::detail::{Detail, DetailType};
use unconfused::keys::Algorithm;
use unconfused::layer::{Guards, RulesLayer};
use unconfused::policy::{Question, Verdict};
use unconfused::replay::MemoryReplayStore;
use unconfused::{Audit, Denial};

/// The answer of a layer to a call, and the head that reached the service, if it did.
fn through(
    layer: &RulesLayer,
    call: http::Request<String>,
) -> (http::Response<String>, Option<Parts>) {
    let seen = Arc::new(Mutex::new(None));
    let inner = seen.clone();
    let service = service_fn(move |request: http::Request<String>| {
        *inner.lock().unwrap() = Some(request.into_parts().0);
        std::future::ready(Ok::<_, std::convert::Infallible>(http::Response::new(String::new())))
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let Ok(response) = runtime.block_on(layer.layer(service).oneshot(call));
    let seen = seen.lock().unwrap().take();
    (response, seen)
}

fn call(uri: &str, bearer: Option<&str>) -> http::Request<String> {
    let mut request = http::Request::post(uri).header("accept-txn-challenge", "?1");
    if let Some(bearer) = bearer {
        request = request.header("authorization", bearer);
    }
    request.body(String::new()).unwrap()
}

/// Why a call was refused.
#[track_caller]
fn refused((response, seen): &(http::Response<String>, Option<Parts>)) -> Reason {
    assert!(seen.is_none(), "it reached the service");
    let denial = response.extensions().get::<Denial>().expect("a denial");
    assert_eq!(response.headers()["grpc-status"], HeaderValue::from(denial.grpc_code()));
    denial.reason()
}

/// A sink that keeps a line of each record.
fn recorded(
    line: impl Fn(&AuditEvent<'_>) -> String + Send + Sync + 'static,
) -> (impl Audit, Arc<Mutex<Vec<String>>>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = lines.clone();
    (move |event: &AuditEvent<'_>| kept.lock().unwrap().push(line(event)), lines)
}

#[test]
fn the_name_of_an_operation_is_in_the_record_and_known_to_policies() {
    let (sink, lines) = recorded(|event| format!("{} {}", event.operation(), event.allowed()));
    let policy = |question: &Question<'_>| match question.evidence().operation().name() {
        Some("orders.refund") => Verdict::Forbid("no refunds today".into()),
        _ => Verdict::Permit,
    };
    let layer = guard().audit(sink).policy(policy).rules(
        Rules::new()
            .on(LIST, READ)
            .on(REFUND, MethodRule::requiring(REFUNDS).named("orders.refund")),
    );
    let both = token("orders:read orders:refund").bearer();
    let (_, seen) = through(&layer, call(LIST, Some(&both)));
    assert!(seen.is_some());
    assert_eq!(refused(&through(&layer, call(REFUND, Some(&both)))), Reason::PolicyDenied);
    assert_eq!(refused(&through(&layer, call(REFUND, None))), Reason::MissingCredentials);
    let expected = [
        format!("POST {LIST} true"),
        "orders.refund false".to_owned(),
        "orders.refund false".to_owned(),
    ];
    assert_eq!(*lines.lock().unwrap(), expected);
}

#[derive(Clone)]
struct ApiKey;

#[test]
fn a_method_may_also_be_called_by_what_another_authenticator_has_authenticated() {
    let (sink, lines) = recorded(|event| event.other_authenticator().unwrap_or("none").to_owned());
    let rule = MethodRule::requiring(READ).or_authenticated::<ApiKey>();
    let layer = guard().audit(sink).rules(Rules::new().on(LIST, rule).on(WATCH, READ));
    let with_key = |path, bearer| {
        let mut request = call(path, bearer);
        request.extensions_mut().insert(ApiKey);
        request
    };
    let (_, seen) = through(&layer, with_key(LIST, None));
    assert!(Grant::option_of(&seen.expect("it passed").extensions).unwrap().is_none());
    // A credential is judged in full, and the rule is that of one method.
    assert_eq!(
        refused(&through(&layer, with_key(LIST, Some("Bearer a b")))),
        Reason::MalformedAuthorization
    );
    assert_eq!(refused(&through(&layer, with_key(WATCH, None))), Reason::MissingCredentials);
    assert_eq!(refused(&through(&layer, call(LIST, None))), Reason::MissingCredentials);
    let name = std::any::type_name::<ApiKey>();
    assert_eq!(*lines.lock().unwrap(), [name, "none", "none", "none"]);
}

fn approving() -> Guard {
    let key = SigningKey::generate(Algorithm::Es256, "c1");
    let store = MemoryReplayStore::new_at(UtcDateTime::UNIX_EPOCH);
    let refund = DetailType::new("order_refund").exact("order");
    guard().detail_type(refund).approvals(Approvals::new(key, [1; 32], LOGIN)).replay(store)
}

fn approved_refund() -> Require {
    Require::detail(Detail::of("order_refund").with("order", 7).approved())
}

/// The token that is issued once a human has approved what the challenge asks for.
fn approved(denial: &Denial) -> TestToken {
    let challenge = denial.challenge().unwrap().transaction_challenge().unwrap().as_str();
    let claims = URL_SAFE_NO_PAD.decode(challenge.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let token = token("orders:refund").claim("txn", &claims["txn"]);
    token.claim("authorization_details", &claims["authorization_details"])
}

#[test]
fn the_token_of_a_transaction_passes_only_to_a_method_that_is_approvable() {
    let guard = approving();
    let refund = MethodRule::requiring(REFUNDS);
    let layer = guard.rules(Rules::new().on(REFUND, refund.clone().approvable()).on(PLACE, refund));
    let first = token("orders:refund").bearer();
    let grant = through(&layer, call(REFUND, Some(&first))).1.expect("it passed");
    let grant = Grant::of(&grant.extensions).unwrap();
    let denial = guard.narrow(grant, approved_refund()).now().unwrap().unwrap_err();
    assert_eq!(denial.reason(), Reason::TransactionAuthorizationRequired);

    let second = approved(&denial).bearer();
    let elsewhere = through(&layer, call(PLACE, Some(&second)));
    assert_eq!(refused(&elsewhere), Reason::TransactionTokenMisused);
    let head = through(&layer, call(REFUND, Some(&second))).1.expect("it passed");
    let grant = Grant::of(&head.extensions).unwrap();
    assert!(guard.narrow(grant, approved_refund()).now().unwrap().is_ok());
}

fn panic_of<T>(set_up: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(set_up()))).unwrap_err();
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).expect("a message")
}

#[test]
fn a_rule_that_one_of_the_guards_cannot_enforce_panics_at_set_up() {
    let approvable = || Rules::new().on(REFUND, MethodRule::requiring(REFUNDS).approvable());
    let once =
        || Rules::new().on(REFUND, MethodRule::requiring(Require::scope(REFUNDS).single_use()));
    assert!(panic_of(|| guard().rules(approvable())).contains("Guard::approvals"));
    assert!(panic_of(|| guard().rules(once())).contains("Guard::replay"));
    let _ = approving().rules(approvable());
    let other = Guard::new(Audience::from_static("https://other.example"), login().issuer());
    let guards = Guards::new([("orders", approving()), ("other", other)], |_, _| None);
    assert!(panic_of(|| guards.rules(approvable())).contains("Guard::approvals"));
    assert!(panic_of(|| guards.rules(once())).contains("Guard::replay"));
}

const BILLING: Audience = Audience::from_static("https://billing.example");

fn by_host<'g>(head: &Parts, guards: &'g BTreeMap<String, Guard>) -> Option<&'g Guard> {
    guards.get(head.uri.host()?)
}

fn both() -> (Guards, Arc<Mutex<Vec<String>>>) {
    let (sink, lines) = recorded(|event| format!("{} {}", event.operation(), event.requirement()));
    let billing = Guard::new(BILLING, login().issuer()).clock(now);
    let guards = [("orders.example", guard()), ("billing.example", billing)];
    (Guards::new(guards, by_host).audit(sink), lines)
}

#[test]
fn the_guard_that_is_chosen_judges_a_call_by_the_rule_of_its_method() {
    let layer = both().0.rules(rules());
    for (host, audience) in [("orders.example", ORDERS), ("billing.example", BILLING)] {
        for sent in [ORDERS, BILLING] {
            let token = login().token(&sent).issued_at(now()).scope("orders:read").bearer();
            let answer = through(&layer, call(&format!("http://{host}{LIST}"), Some(&token)));
            match sent == audience {
                true => assert_eq!(
                    Grant::of(&answer.1.unwrap().extensions).unwrap().audience(),
                    Some(&audience)
                ),
                false => assert_eq!(refused(&answer), Reason::AudienceMismatch),
            }
            let unlisted = format!("http://{host}/orders.v1.Orders/Delete");
            let answer = through(&layer, call(&unlisted, Some(&token)));
            assert_eq!(refused(&answer), Reason::OperationUnknown);
        }
    }
}

#[test]
fn a_call_for_which_no_guard_is_chosen_is_refused_unless_its_method_is_open() {
    let (guards, lines) = both();
    let list = MethodRule::requiring(READ).named("orders.list");
    let layer = guards.rules(Rules::new().on(LIST, list).open(WATCH));
    let good = token("orders:read").bearer();
    let other = |path: &str| format!("http://other.example{path}");
    for path in [LIST, "/x.Y/Z"] {
        let answer = through(&layer, call(&other(path), Some(&good)));
        assert_eq!(refused(&answer), Reason::OperationUnknown);
        assert!(!answer.0.headers().contains_key("www-authenticate"));
    }
    let any = Require::valid_token();
    let expected = [format!("orders.list {}", Require::scope(READ)), format!("POST /x.Y/Z {any}")];
    assert_eq!(*lines.lock().unwrap(), expected);

    let mut request = call(&other(WATCH), Some(&good));
    let fields = [("dpop", "x"), ("client-cert", "x")];
    let fields =
        fields.map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
    request.headers_mut().extend(HeaderMap::from_iter(fields));
    let head = through(&layer, request).1.expect("it is open");
    assert!(!head.headers.contains_key("dpop") && !head.headers.contains_key("client-cert"));
    assert!(Grant::option_of(&head.extensions).unwrap().is_none());
}
