//! A request that is denied, or that waits for its decision, keeps nothing of the service behind the guard.

use std::convert::Infallible;
use std::future::{Ready, poll_fn};
use std::task::{Context, Poll, Waker};

use crate::common::*;
use http::{Request, Response, StatusCode};
use tokio::sync::oneshot;
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, service_fn};
use unconfused::keys::{KeySet, KeysUnavailable};
use unconfused::token::KeyHint;
use unconfused::{Answer, Guard, Issuer, Scope};

const READ: Scope = Scope::from_static("orders:read");

type Inside =
    tower::util::ServiceFn<fn(Request<String>) -> Ready<Result<Response<String>, Infallible>>>;

/// A service that answers one request at a time.
fn one_at_a_time() -> ConcurrencyLimit<Inside> {
    fn answer(_: Request<String>) -> Ready<Result<Response<String>, Infallible>> {
        std::future::ready(Ok(Response::new(String::new())))
    }
    ConcurrencyLimit::new(service_fn(answer as fn(_) -> _), 1)
}

fn request(authorization: Option<&str>) -> Request<String> {
    let request = Request::get("/orders");
    let request = match authorization {
        Some(field) => request.header("authorization", field),
        None => request,
    };
    request.body(String::new()).unwrap()
}

fn is_free(limit: &ConcurrencyLimit<Inside>) -> bool {
    let mut limit = limit.clone();
    limit.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready()
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

type KeysSender = oneshot::Sender<Result<KeySet, KeysUnavailable>>;

/// A guard whose keys come when the test sends them.
fn waiting_guard() -> (Guard, std::sync::mpsc::Receiver<KeysSender>) {
    let (senders, waiting) = std::sync::mpsc::channel();
    let issuer = Issuer::new(LOGIN, move |_: KeyHint<'_>| {
        let (sender, receiver) = oneshot::channel();
        senders.send(sender).unwrap();
        Answer::later(async move { receiver.await.unwrap() })
    });
    (Guard::new(ORDERS, issuer).clock(now), waiting)
}

#[tokio::test]
async fn a_denied_request_does_not_keep_the_permit_of_the_inner_service() {
    let limit = one_at_a_time();
    // Kept, as a server keeps one service for a connection.
    let mut service = guard().require(READ).layer(limit.clone());
    poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
    assert!(!is_free(&limit));
    let response = service.call(request(None)).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(is_free(&limit));

    // The service is as good as before.
    let bearer = token().scope("orders:read").bearer();
    poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
    let response = service.call(request(Some(&bearer))).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(is_free(&limit));
}

#[tokio::test]
async fn a_denial_gives_the_permit_back_before_its_future_is_polled() {
    let limit = one_at_a_time();
    let mut service = guard().require(READ).layer(limit.clone());
    poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
    let denied = service.call(request(None));
    assert!(is_free(&limit));
    drop(denied);
}

#[tokio::test]
async fn a_denial_of_an_inner_layer_gives_the_permit_back() {
    let limit = one_at_a_time();
    let guard = guard();
    let write = guard.require(Scope::from_static("orders:write"));
    let mut service = guard.require(READ).layer(write.layer(limit.clone()));
    let bearer = token().scope("orders:read").bearer();
    poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
    let response = service.call(request(Some(&bearer))).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(is_free(&limit));
}

#[tokio::test]
async fn a_request_that_waits_for_keys_does_not_keep_the_permit() {
    let limit = one_at_a_time();
    let (guard, waiting) = waiting_guard();
    let mut service = guard.require(READ).layer(limit.clone());
    let bearer = token().scope("orders:read").bearer();
    poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
    let mut first = service.call(request(Some(&bearer)));
    assert!(poll(&mut first).is_pending());
    assert!(is_free(&limit));

    // Others are answered meanwhile, and wait too.
    poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
    let mut second = service.call(request(Some(&bearer)));
    assert!(poll(&mut second).is_pending());
    assert!(is_free(&limit));

    for sender in waiting.try_iter() {
        sender.send(Ok(login().keys())).unwrap();
    }
    for waits in [first, second] {
        assert_eq!(waits.await.unwrap().status(), StatusCode::OK);
    }
    assert!(is_free(&limit));
}

#[tokio::test]
async fn a_request_that_waited_is_called_only_once_the_inner_service_is_ready() {
    let limit = one_at_a_time();
    let (guard, waiting) = waiting_guard();
    let mut service = guard.require(READ).layer(limit.clone());
    let bearer = token().scope("orders:read").bearer();
    poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
    let mut response = service.call(request(Some(&bearer)));
    assert!(poll(&mut response).is_pending());

    // Someone else has the permit when the keys come.
    let mut other = limit.clone();
    poll_fn(|cx| other.poll_ready(cx)).await.unwrap();
    waiting.recv().unwrap().send(Ok(login().keys())).unwrap();
    assert!(poll(&mut response).is_pending());
    drop(other);
    assert_eq!(response.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_request_that_is_denied_after_a_wait_never_asks_for_a_permit() {
    let limit = one_at_a_time();
    let (guard, waiting) = waiting_guard();
    let mut service = guard.require(READ).layer(limit.clone());
    let bearer = token().bearer();
    poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
    let response = service.call(request(Some(&bearer)));
    let mut other = limit.clone();
    poll_fn(|cx| other.poll_ready(cx)).await.unwrap();
    waiting.recv().unwrap().send(Ok(login().keys())).unwrap();
    assert_eq!(response.await.unwrap().status(), StatusCode::FORBIDDEN);
}
