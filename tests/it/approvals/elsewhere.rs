//! The token of a transaction is authority for nothing else.

use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Extension, Router};
use http::{Request, StatusCode};
use tower::ServiceExt as _;
use unconfused::layer::GuardLayer;

use super::*;

/// The grant of a request behind an approvable layer.
pub(super) fn through_approvable(guard: &Guard, head: &mut Parts, requirement: Require) -> Grant {
    let layer = guard.require(requirement).approvable();
    let app = Router::new()
        .fallback(|Extension(grant): Extension<Grant>| async move { Extension(grant) })
        .layer(layer);
    let request = Request::from_parts(head.clone(), Body::empty());
    let response = futures_of(app.oneshot(request)).unwrap();
    response.extensions().get::<Grant>().cloned().expect("the layer grants")
}

/// The output of a future that is ready at once, or after some wakes of its own.
fn futures_of<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    for _ in 0..100 {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("the future waits for something")
}

async fn status(app: &Router, uri: &str, token: &TestToken) -> (StatusCode, Option<Reason>) {
    let request = Request::post(uri)
        .header("authorization", token.bearer())
        .header("accept-txn-challenge", "?1")
        .body(Body::empty())
        .unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let denial = response.extensions().get::<Denial>();
    (response.status(), denial.map(|denial| denial.reason()))
}

async fn refund_handler(State(guard): State<Guard>, grant: Grant) -> Result<String, Denial> {
    guard.narrow(&grant, Require::detail(refund().approved())).await?;
    Ok("refunded".to_owned())
}

/// A service in which only the layer of the refund, and the backstop, are approvable.
fn service(guard: &Guard, backstop: GuardLayer) -> Router {
    Router::new()
        .route("/refund", post(refund_handler).route_layer(guard.require(REFUND).approvable()))
        .route("/strict", post(refund_handler).route_layer(guard.require(REFUND)))
        .route("/list", get(|| async {}).post(|| async {}).route_layer(guard.require(REFUND)))
        .route_layer(backstop)
        .with_state(guard.clone())
}

#[tokio::test]
async fn layers_refuse_a_transaction_unless_their_handler_asks_for_one() {
    let guard = approving();
    let app = service(&guard, guard.require(Require::valid_token()).approvable());
    let misused = (StatusCode::UNAUTHORIZED, Some(Reason::TransactionTokenMisused));
    let token = approved(&guard);
    assert_eq!(status(&app, "/list", &token).await, misused);
    assert_eq!(status(&app, "/strict", &token).await, misused);
    assert_eq!(status(&app, "/refund", &token).await, (StatusCode::OK, None));
    let spent = (StatusCode::UNAUTHORIZED, Some(Reason::TokenSpent));
    assert_eq!(status(&app, "/refund", &token).await, spent);
    // The ordinary token is as good as ever.
    let required = Some(Reason::TransactionAuthorizationRequired);
    assert_eq!(status(&app, "/list", &ordinary()).await, (StatusCode::OK, None));
    assert_eq!(status(&app, "/refund", &ordinary()).await, (StatusCode::UNAUTHORIZED, required));
}

#[tokio::test]
async fn a_backstop_must_be_approvable_too() {
    let guard = approving();
    let app = service(&guard, guard.require(Require::valid_token()));
    let misused = (StatusCode::UNAUTHORIZED, Some(Reason::TransactionTokenMisused));
    let token = approved(&guard);
    assert_eq!(status(&app, "/refund", &token).await, misused);
    // The refused attempt left it unspent.
    let app = service(&guard, guard.require(Require::valid_token()).approvable());
    assert_eq!(status(&app, "/refund", &token).await, (StatusCode::OK, None));
}

#[tokio::test]
async fn a_layer_may_ask_for_the_approval_itself() {
    let guard = approving();
    let app = Router::new()
        .route("/refund", post(refund_handler).route_layer(guard.require(approved_refund())))
        .with_state(guard.clone());
    let token = approved(&guard);
    // The layer and the handler use it together, once.
    assert_eq!(status(&app, "/refund", &token).await, (StatusCode::OK, None));
    assert_eq!(status(&app, "/refund", &token).await.1, Some(Reason::TokenSpent));
}

#[test]
fn scopes_beside_the_details_buy_nothing() {
    let guard = approving();
    let token = approved(&guard).scope("orders:refund orders:read admin");
    let misused = Some(Reason::TransactionTokenMisused);
    assert_eq!(reason(&guard, &token, Scope::from_static("admin")), misused);
    assert_eq!(reason(&guard, &token, Require::valid_token()), misused);
    // Granted details are not asked of it either: it is not a grant.
    assert_eq!(reason(&guard, &token, Require::detail(refund())), misused);
    // It is refused for good, before a login or a scope that it lacks is asked for.
    assert_eq!(reason(&guard, &token, Scope::from_static("missing")), misused);
    // A forbidden actor is told so first.
    let forbidden = Require::valid_token().undelegated();
    assert_eq!(reason(&guard, &token, forbidden), Some(Reason::ActorUnauthorized));
}

#[test]
fn a_handler_behind_an_approvable_layer_gets_nothing_else_either() {
    let guard = approving();
    let token = approved(&guard);
    let grant = through_approvable(&guard, &mut request(&token), Require::scope(REFUND));
    let denial = guard.narrow(&grant, REFUND).now().unwrap().unwrap_err();
    assert_eq!(denial.reason(), Reason::TransactionTokenMisused);
    assert!(guard.narrow(&grant, Require::detail(refund().approved())).now().unwrap().is_ok());
}

#[test]
fn a_guard_that_cannot_spend_still_knows_a_transaction() {
    let guard = guard().detail_type(refund_type()).approvals(approvals());
    let token = approved(&approving());
    assert_eq!(reason(&guard, &token, REFUND), Some(Reason::TransactionTokenMisused));
}

#[test]
fn an_issuer_that_stamps_all_its_tokens_is_told_apart_by_the_form() {
    let stamping = approving().approvals(approvals().issuer_stamps_txn(LOGIN));
    let stamped = ordinary().claim("txn", "97053963-771d-49cc-a4e3-20aad399c312");
    assert!(send(&stamping, &stamped, REFUND).is_ok());
    let required = Some(Reason::TransactionAuthorizationRequired);
    assert_eq!(reason(&stamping, &stamped, approved_refund()), required);
    // One in our form is that of a transaction, and so is a claim of the wrong type.
    let token = approved_for(&stamping, &stamped, approved_refund());
    let misused = Some(Reason::TransactionTokenMisused);
    assert_eq!(reason(&stamping, &token, REFUND), misused);
    assert_eq!(reason(&stamping, &ordinary().claim("txn", 7), REFUND), misused);
    assert!(send(&stamping, &token, approved_refund()).is_ok());
    // Without the switch, any `txn` of the server makes a token that of a transaction.
    assert_eq!(reason(&approving(), &stamped, REFUND), misused);
}

#[test]
fn a_txn_of_an_issuer_that_is_not_the_server_means_nothing_unless_it_has_our_form() {
    let other = TestIssuer::new(OTHER);
    let guard = approving().approvals(approvals().requester(|_, _| None)).trust(other.issuer());
    let token = || other.token(&ORDERS).issued_at(now()).scope("orders:refund");
    assert!(send(&guard, &token().claim("txn", "anything"), REFUND).is_ok());
    let txn = challenged(&guard, &ordinary(), approved_refund())["txn"].clone();
    let misused = Some(Reason::TransactionTokenMisused);
    assert_eq!(reason(&guard, &token().claim("txn", &txn), REFUND), misused);
}

#[test]
fn a_guard_without_approvals_reads_no_txn() {
    let plain = guard();
    assert!(send(&plain, &ordinary().claim("txn", "anything"), REFUND).is_ok());
    assert!(send(&plain, &ordinary().claim("txn", 7), REFUND).is_ok());
}
