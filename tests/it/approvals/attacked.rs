//! Ways around approvals: through layers, guards, requests that change on their way, stores, clocks and texts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::routing::{any, post};
use axum::{Extension, Router, middleware};
use http::{Method, Request, StatusCode};
use tower::ServiceExt as _;
use unconfused::approvals::Requester;
use unconfused::detail::{DetailTypes, GrantedDetails};
use unconfused::layer::{GuardLayer, Guards};
use unconfused::proof::Dpop;
use unconfused::replay::{MemoryReplayStore, Remembered, ReplayAnswer, ReplayEntry};
use unconfused::token::UnverifiedToken;
use unconfused::{AccessToken, Answer, Party};

use super::elsewhere::through_approvable;
use super::*;

const MISUSED: Option<Reason> = Some(Reason::TransactionTokenMisused);
const UNKNOWN: Option<Reason> = Some(Reason::TransactionUnknown);
const SPENT: Option<Reason> = Some(Reason::TokenSpent);
const DETAILS: Option<Reason> = Some(Reason::AuthorizationDetailsInsufficient);

fn approved_with(change: impl Fn(Detail) -> Detail) -> Require {
    Require::detail(change(refund()).approved())
}

fn refusal(answer: Result<Grant, Denial>) -> Option<Reason> {
    answer.err().map(|denial| denial.reason())
}

/// Why a router refuses a request with this token, or `None`.
async fn routed(
    app: &Router,
    request: http::request::Builder,
    token: &TestToken,
) -> Option<Reason> {
    let request = request
        .header("authorization", token.bearer())
        .header("accept-txn-challenge", "?1")
        .body(Body::empty())
        .unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let denial = response.extensions().get::<Denial>();
    assert_eq!(denial.is_none(), response.status() == StatusCode::OK, "{}", response.status());
    denial.map(|denial| denial.reason())
}

// More than one operation, or another one.

#[tokio::test]
async fn no_kind_of_layer_lets_a_transaction_pass() {
    #[derive(Clone)]
    struct ApiKeyOwner;
    let guard = approving();
    let token = approved(&guard);
    let guards = Guards::new([("orders", guard.clone())], |_, guards| guards.get("orders"));
    let layers: [GuardLayer; 6] = [
        guard.optional(REFUND),
        guard.require(REFUND).or_authenticated::<ApiKeyOwner>(),
        guard.require_by(|_| Require::scope(REFUND)),
        guards.require(REFUND),
        guards.optional(Require::valid_token()),
        guards.require_by(|_| Require::valid_token()),
    ];
    for layer in layers {
        let app = Router::new()
            .route("/orders", any(|| async {}))
            .route_layer(layer)
            .layer(Extension(ApiKeyOwner));
        assert_eq!(routed(&app, Request::get("/orders"), &token).await, MISUSED);
    }
    assert!(send(&guard, &token, approved_refund()).is_ok(), "the approval is unspent");
}

#[tokio::test]
async fn a_request_that_is_rewritten_on_its_way_is_another_one() {
    async fn rewrite(
        mut request: axum::extract::Request,
        next: middleware::Next,
    ) -> http::Response<Body> {
        *request.method_mut() = Method::GET;
        next.run(request).await
    }
    let guard = approving();
    let behind = |outer: GuardLayer, inner: GuardLayer| {
        let handler = any(|| async {}).layer::<_, std::convert::Infallible>(inner);
        let rewritten = handler.layer::<_, std::convert::Infallible>(middleware::from_fn(rewrite));
        Router::new().route("/", rewritten.layer(outer))
    };
    // The first layer spends the transaction. For the second, the request is another: it is spent, or misused.
    let token = approved(&guard);
    let app = behind(guard.require(approved_refund()), guard.require(approved_refund()));
    assert_eq!(routed(&app, Request::post("/"), &token).await, SPENT);
    let token = approved(&guard);
    let app = behind(guard.require(approved_refund()), guard.require(REFUND));
    assert_eq!(routed(&app, Request::post("/"), &token).await, MISUSED);
    // Behind one that does not spend, it counts once.
    let token = approved(&guard);
    let app = behind(guard.require(REFUND).approvable(), guard.require(approved_refund()));
    assert_eq!(routed(&app, Request::post("/"), &token).await, None);
    assert_eq!(routed(&app, Request::post("/"), &token).await, SPENT);
}

#[test]
fn a_head_that_is_authorized_again_buys_no_other_operation() {
    let guard = approving();
    let token = approved(&guard);
    let mut head = request(&token);
    let mut again =
        |requirement: Require| refusal(guard.authorize(&mut head, requirement).now().unwrap());
    assert_eq!(again(approved_refund()), None);
    for (other, expected) in [
        (approved_with(|detail| detail.with("order", 8)), DETAILS),
        (approved_with(|detail| detail.with("amount", "0.01")), DETAILS),
        (Require::detail(refund().with("to", "EVIL")), DETAILS),
        (Require::scope(Scope::from_static("admin")), Some(Reason::InsufficientScope)),
    ] {
        assert_eq!(again(other), expected);
    }
    // A copy of the grant in a request for another path is a new request, and so is another head.
    let grant = head.extensions.get::<Grant>().unwrap().clone();
    for (method, uri) in [("POST", "/orders/8/refund"), ("PUT", "/orders/7/refund")] {
        let (mut copied, ()) =
            Request::builder().method(method).uri(uri).body(()).unwrap().into_parts();
        copied.extensions.insert(grant.clone());
        let mut ask =
            |requirement| refusal(guard.authorize(&mut copied, requirement).now().unwrap());
        assert_eq!(ask(Require::scope(REFUND)), MISUSED);
        copied.extensions.insert(grant.clone());
        let answer = guard.authorize(&mut copied, approved_refund()).now().unwrap();
        assert_eq!(refusal(answer), SPENT);
    }
}

#[test]
fn a_handler_that_narrows_again_is_refused_whatever_grant_it_uses() {
    let guard = approving();
    let second = guard_over(store());
    let token = approved(&guard);
    let grant = through_approvable(&guard, &mut request(&token), Require::scope(REFUND));
    let narrow = |guard: &Guard, grant: &Grant, requirement: Require| {
        guard.narrow(grant, requirement).now().unwrap()
    };
    let narrowed = narrow(&guard, &grant.clone(), approved_refund()).unwrap();
    for grant in [&grant, &narrowed] {
        assert_eq!(refusal(narrow(&guard, grant, approved_refund())), SPENT);
        // Another guard, even one with a store of its own, is asked about the same request.
        assert_eq!(refusal(narrow(&second, grant, approved_refund())), SPENT);
        let other = approved_with(|detail| detail.with("order", 8));
        assert_eq!(refusal(narrow(&guard, grant, other)), DETAILS);
    }
    // The grant from before the approval is still worth nothing by itself.
    assert_eq!(refusal(narrow(&guard, &grant, Require::scope(REFUND))), MISUSED);
}

#[test]
fn a_guard_without_approvals_knows_the_token_of_a_transaction_by_its_form() {
    // The service that reads, a part of the same resource, asks for no approvals.
    let reading = guard().detail_type(refund_type()).replay(store());
    let guard = approving();
    let token = approved(&guard);
    for requirement in [
        Require::scope(REFUND),
        Require::valid_token(),
        Require::detail(refund()),
        Require::detail(refund()).single_use(),
    ] {
        assert_eq!(reason(&reading, &token, requirement), MISUSED);
    }
    let grant = through_approvable(&guard, &mut request(&token), Require::scope(REFUND));
    assert_eq!(refusal(reading.narrow(&grant, REFUND).now().unwrap()), MISUSED);
    // One that asks for an approval and cannot have one is a mistake of set-up.
    assert_eq!(reason(&reading, &token, approved_refund()), Some(Reason::InternalError));
    assert!(send(&guard, &token, approved_refund()).is_ok());
}

#[tokio::test]
async fn a_rule_about_the_path_asks_for_the_approval_of_every_spelling() {
    let guard = approving();
    let by_path = |parts: &Parts| {
        let order = parts.uri.path().trim_start_matches("/refund/").to_owned();
        approved_with(|detail| detail.with("order", &order))
    };
    let app = Router::new()
        .route("/refund/{order}", post(|| async {}))
        .route_layer(guard.require_by(by_path));
    let token = approved(&guard);
    for other in ["/refund/8", "/refund/%37", "/refund/7%2F", "/refund/07"] {
        assert_eq!(routed(&app, Request::post(other), &token).await, DETAILS, "{other}");
    }
    assert_eq!(routed(&app, Request::post("/refund/7"), &token).await, None);
}

// Spent without a yes, or a yes that is not spent.

#[test]
fn no_answer_of_a_store_but_the_first_uses_an_approval() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let memory = store();
    let answers = move |entry: ReplayEntry| -> ReplayAnswer {
        match counted.fetch_add(1, Ordering::SeqCst) {
            0 => Answer::Now(Ok(Remembered::ShareFull)),
            1 => Answer::Now(Ok(Remembered::BeforeEpoch)),
            2 => Answer::Now(Err(unconfused::replay::StoreUnavailable::new("down"))),
            _ => memory.insert(entry),
        }
    };
    let guard = guard_over(answers);
    let token = approved(&guard);
    let grant = through_approvable(&guard, &mut request(&token), Require::scope(REFUND));
    // Neither the store nor the request remembers an attempt that failed.
    for expected in
        [Some(Reason::RateLimited), SPENT, Some(Reason::ReplayStoreUnavailable), None, SPENT]
    {
        assert_eq!(refusal(guard.narrow(&grant, approved_refund()).now().unwrap()), expected);
    }
    // The last attempt was refused by the request, not by the store.
    assert_eq!(calls.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn an_attempt_that_is_dropped_before_the_store_was_asked_uses_nothing() {
    let guard = guard_over(super::once::slow(Arc::new(store())));
    let token = approved(&guard);
    let grant = through_approvable(&guard, &mut request(&token), Require::scope(REFUND));
    let mut waiting = Box::pin(async { guard.narrow(&grant, approved_refund()).await });
    assert!(futures_poll(waiting.as_mut()).is_none());
    // While it waits, another may not spend.
    assert_eq!(refusal(guard.narrow(&grant, approved_refund()).await), SPENT);
    drop(waiting);
    assert_eq!(refusal(guard.narrow(&grant, approved_refund()).await), None);
    assert_eq!(refusal(guard.narrow(&grant, approved_refund()).await), SPENT);
}

/// Polls once.
fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

// What a challenge says, and to whom.

#[test]
fn a_challenge_is_sent_once_and_fits_whatever_schemes_there_are() {
    let guard = approving().dpop(Dpop::for_base_url(ORDERS.as_str()).unwrap(), store());
    let long =
        |to: usize| Require::scope(REFUND).and(approved_with(|d| d.with("to", "x".repeat(to))));
    let denial = send(&guard, &ordinary(), long(256)).unwrap_err();
    let jwt = signed(&denial);
    let fields: Vec<_> = denial.headers().get_all("www-authenticate").iter().cloned().collect();
    let [field] = &fields[..] else { panic!("{fields:?}") };
    assert!(jwt.len() <= Approvals::MAX_CHALLENGE_BYTES && field.len() < 3800);
    // Neither the body nor what is printed has a second copy.
    for text in [denial.problem_json(), denial.to_string(), denial.for_operator().to_string()] {
        assert!(!text.contains("eyJ") && !text.contains("xxx"), "{text}");
    }
}

#[test]
fn only_a_valid_ordinary_token_learns_what_would_be_approved() {
    let guard = approving();
    let token = approved(&guard);
    for other in [
        ordinary().forged_by(forger()),
        ordinary().claim("aud", "https://billing.example"),
        ordinary().expired(),
        ordinary().issued_at(at(3600)),
        ordinary().client("x").claim("act", "agent-7"),
        // Tokens of transactions: one for another operation, one whose `txn` is not ours.
        token.clone(),
        token.clone().claim("txn", "x"),
        token.claim("txn", json!(null)),
    ] {
        let other_order =
            Require::scope(REFUND).and(approved_with(|detail| detail.with("order", 8)));
        let denial = send(&guard, &other, other_order).unwrap_err();
        let challenge = denial.challenge();
        assert!(challenge.is_none_or(|it| it.transaction_challenge().is_none()), "{denial:?}");
        assert!(challenge.is_none_or(|it| it.remediation().is_none()), "{denial:?}");
        assert_ne!(denial.reason(), Reason::TransactionAuthorizationRequired);
    }
}

#[test]
fn the_text_for_the_human_cannot_be_written_by_the_agent() {
    let guard = approving();
    let text = |guard: &Guard, to: &str| {
        let requirement = Require::scope(REFUND).and(approved_with(|detail| detail.with("to", to)));
        let claims = challenged(guard, &ordinary(), requirement);
        // What is signed for the server is the value itself.
        assert_eq!(claims["authorization_details"][0]["to"], to);
        claims["reason"].as_str().unwrap().to_owned()
    };
    // Without a text of the owner's, no value looks like another member.
    assert_eq!(
        text(&guard, "Eve, amount = 0.01, currency = EUR"),
        r#"order_refund: amount = "12.5", currency = "EUR", order = "7", to = "Eve, amount = 0.01, currency = EUR""#
    );
    assert!(text(&guard, "x\", amount = \"1").ends_with(r#"to = "x\", amount = \"1""#));
    let guard = approving().approvals(
        approvals()
            .reason("order_refund", r#"Refund {amount} {currency} to "{to}", order {order}"#),
    );
    for (to, shown) in [
        ("{amount}{{}}", "{amount}{{}}"),
        ("x\" for free. \"", r#"x\" for free. \""#),
        (
            "x\r\n\u{0}\u{1b}[2K\u{202e}\u{2066}\u{200b}",
            r"x\r\n\u{0}\u{1b}[2K\u{202e}\u{2066}\u{200b}",
        ),
        ("\",\"amount\":\"0", r#"\",\"amount\":\"0"#),
        // The order number stays behind a name that is written from right to left.
        ("\u{5d0}\u{2069}", "\u{2068}\u{5d0}\\u{2069}\u{2069}"),
    ] {
        assert_eq!(text(&guard, to), format!("Refund 12.5 EUR to \"{shown}\", order 7"));
    }
}

#[test]
fn no_approval_is_asked_for_that_would_not_help() {
    // A token of a transaction has exactly the details that are asked for, so it has none of another type.
    let guard = approving().detail_type(DetailType::new("account").exact("id"));
    let granted =
        ordinary().claim("authorization_details", json!([{"type": "account", "id": "1"}]));
    let both = Require::detail_of_type("account").and(approved_refund());
    let denial = send(&guard, &granted, both.clone()).unwrap_err();
    assert_eq!(denial.reason(), Reason::InternalError);
    let words = denial.for_operator().to_string();
    assert!(words.contains("account") && words.contains("state the detail"), "{words}");
    super::setup::panics("state the detail", || drop(guard.require(both)));
    // With the detail of that type, one approval is for both.
    let stated = Require::detail_of_type("account")
        .and(Require::detail(Detail::of("account").with("id", 1)))
        .and(approved_refund());
    let token = approved_for(&guard, &granted, stated.clone());
    assert!(send(&guard, &token, stated).is_ok());
}

// The `txn` and its times.

fn validated(token: &TestToken, at: UtcDateTime) -> AccessToken {
    let validation = validation().detail_type(refund_type());
    let raw = token.sign();
    let parsed = UnverifiedToken::parse(&raw).unwrap();
    parsed.validate(&validation, &login().keys(), at).unwrap()
}

#[test]
fn no_clock_overflows() {
    let first = validated(&ordinary(), now());
    let asked = [refund()];
    for at in [UtcDateTime::MIN, UtcDateTime::UNIX_EPOCH, now(), UtcDateTime::MAX] {
        let Ok(challenge) = approvals().challenge(&ORDERS, &asked, &first, at) else {
            panic!("a challenge at {at}")
        };
        let details = json!([entry("7", "EUR", "DE02", "12.5")]);
        let token =
            ordinary().claim("txn", challenge.txn()).claim("authorization_details", details);
        let token = validated(&token, now());
        for other in [UtcDateTime::MIN, now(), UtcDateTime::MAX] {
            match approvals().recognize(&ORDERS, &asked, &token, other) {
                Ok(transaction) => {
                    assert!(at == other && at != UtcDateTime::MAX);
                    let _ = transaction.entry(&token, other);
                }
                Err(problem) => assert_eq!(problem.reason(), Reason::TransactionUnknown),
            }
        }
    }
}

#[test]
fn a_clock_that_is_ahead_makes_no_transaction_that_a_new_store_takes_for_unused() {
    // A replica 2 seconds ahead asks, and the approval is used at once, before the store begins anew.
    let ahead = approving().clock(|| at(2));
    let challenge = challenged(&ahead, &ordinary(), approved_refund());
    let token = issued(login(), &challenge, now());
    assert!(send(&approving(), &token, approved_refund()).is_ok());
    for began in 0..3 {
        let store =
            MemoryReplayStore::new_at(at(began).saturating_add(time::Duration::MILLISECOND));
        let anew = guard_over(store).clock(|| at(10));
        assert_eq!(reason(&anew, &token, approved_refund()), SPENT, "{began}");
    }
    // One that is further ahead is waited for.
    let challenge = challenged(&approving().clock(|| at(3)), &ordinary(), approved_refund());
    let token = issued(login(), &challenge, now());
    assert_eq!(reason(&approving(), &token, approved_refund()), UNKNOWN);
}

#[test]
fn parts_of_a_requester_do_not_run_into_each_other() {
    let asks = |subject: &str, client: &str, actor: &str| {
        token().scope("orders:refund").subject(subject).client(client).actor(actor)
    };
    let guard = approving();
    let challenge = challenged(&guard, &asks("alice", "bob", "c"), approved_refund());
    for (subject, client, actor) in
        [("alic", "ebob", "c"), ("alice", "bo", "bc"), ("bob", "alice", "c"), ("c", "bob", "alice")]
    {
        let token = issued(login(), &challenge, now())
            .subject(subject)
            .client(client)
            .claim("act", json!({"sub": actor}));
        assert_eq!(reason(&guard, &token, approved_refund()), UNKNOWN);
    }
    let same = issued(login(), &challenge, now()).subject("alice").client("bob");
    assert!(send(&guard, &same, approved_refund()).is_ok());
}

#[test]
fn a_requester_without_an_account_is_not_one_with_an_empty_account() {
    let other = TestIssuer::new(OTHER);
    let rule = |_: &AccessToken, _: &str| Some(Requester::new(None::<Party<'_>>));
    let named = Approvals::new(SigningKey::generate(Algorithm::Es256, "k"), SECRET, OTHER);
    let guard = approving().trust(other.issuer()).approvals(named.requester(rule));
    let direct = token().scope("orders:refund");
    let challenge = challenged(&guard, &direct, approved_refund());
    // The token of an actor is not that of no actor, though neither subject nor client is compared.
    let acting = issued(&other, &challenge, now()).actor("agent-7");
    assert_eq!(reason(&guard, &acting, approved_refund()), UNKNOWN);
    // A transaction of the same key that was made for an account is another.
    let with_account = approving().trust(other.issuer()).approvals(
        Approvals::new(SigningKey::generate(Algorithm::Es256, "k"), SECRET, OTHER).requester(
            |_: &AccessToken, _: &str| {
                Some(Requester::new(None::<Party<'_>>).subject_and_client("", ""))
            },
        ),
    );
    let empty = challenged(&with_account, &direct, approved_refund());
    assert_eq!(reason(&guard, &issued(&other, &empty, now()), approved_refund()), UNKNOWN);
    assert!(send(&guard, &issued(&other, &challenge, now()), approved_refund()).is_ok());
}

// Details.

#[test]
fn texts_that_look_alike_are_different() {
    let guard = approving();
    let to = |to: &str| Require::scope(REFUND).and(approved_with(|detail| detail.with("to", to)));
    let token = approved_for(&guard, &ordinary(), to("Caf\u{e9}"));
    for other in [
        "Cafe\u{301}",
        "C\u{430}f\u{e9}",
        "CAF\u{c9}",
        "Caf\u{e9} ",
        "Caf\u{e9}\u{200b}",
        "Caf\\u00e9",
    ] {
        assert_eq!(reason(&guard, &token, to(other)), DETAILS, "{other:?}");
    }
    // An escape in the token is the same text. Half a surrogate pair is none.
    assert!(send(&guard, &token, to("Caf\u{e9}")).is_ok());
}

#[test]
fn a_set_is_compared_in_linear_time() {
    let texts: Vec<_> = (0..60_000).map(|number| number.to_string()).collect();
    let claim = json!([{"type": "t", "actions": texts}]).to_string();
    let types = DetailTypes::new([DetailType::new("t").set("actions")]);
    let detail = Detail::of("t").with("actions", texts);
    let began = Instant::now();
    let granted = GrantedDetails::parse(&claim).unwrap();
    granted.cover(&detail, &types).unwrap();
    granted.are_exactly(&[detail], &types).unwrap();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn many_details_are_combined_in_reasonable_time() {
    let began = Instant::now();
    let all = (0..2000).fold(Require::valid_token(), |all, order| {
        all.and(Require::detail(refund().with("order", order).approved()))
    });
    assert_eq!(all.details().len(), 2000);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    // They do not fit into a challenge, and no token is asked for them.
    assert_eq!(reason(&approving(), &ordinary(), all), Some(Reason::InternalError));
}

#[tokio::test]
async fn a_transaction_that_a_handler_does_not_ask_about_is_refused_by_any_other_narrow() {
    // The advice of the guide for a handler that needs an approval only sometimes.
    async fn handler(
        State(guard): State<Guard>,
        Extension(large): Extension<bool>,
        grant: Grant,
    ) -> Result<(), Denial> {
        let requirement = match large {
            true => Require::detail(refund().approved()),
            false => Require::valid_token(),
        };
        guard.narrow(&grant, requirement).await.map(drop)
    }
    let guard = approving();
    let app = |large: bool| {
        Router::new()
            .route("/", post(handler))
            .route_layer(guard.require(REFUND).approvable())
            .layer(Extension(large))
            .with_state(guard.clone())
    };
    let token = approved(&guard);
    assert_eq!(routed(&app(false), Request::post("/"), &token).await, MISUSED);
    assert_eq!(routed(&app(true), Request::post("/"), &token).await, None);
    assert_eq!(routed(&app(false), Request::post("/"), &ordinary()).await, None);
}
