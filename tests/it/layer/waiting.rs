//! Requests that wait for keys.

use super::*;

/// Notes that it was woken.
#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_request_whose_keys_are_on_their_way_waits_and_is_woken() {
    let login = login();
    let (issuer, waiting) = later();
    let guard = Guard::new(ORDERS, issuer);
    let (service, log) = behind();
    let mut service = guard.require(READ).layer(service);
    be_ready(&mut service);
    let mut response = pin!(service.call(with(&reader(&login))));
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(bell.clone());
    let mut context = Context::from_waker(&waker);
    assert!(response.as_mut().poll(&mut context).is_pending());
    assert_eq!(log.calls(), 0);
    assert!(!bell.0.load(Ordering::Relaxed));

    let sender = waiting.lock().unwrap().remove(0);
    sender.send(Ok(login.keys())).unwrap();
    assert!(bell.0.load(Ordering::Relaxed));
    let Poll::Ready(Ok(response)) = response.as_mut().poll(&mut context) else {
        panic!("the keys are there")
    };
    assert_eq!(response.status(), StatusCode::OK);
    let (head, _) = log.only();
    assert!(head.extensions.get::<Grant>().is_some());
    assert!(!head.headers.contains_key(AUTHORIZATION));
}

#[test]
fn after_a_wait_the_service_gets_ready_again_before_it_is_called() {
    let login = login();
    let (issuer, waiting) = later();
    let guard = Guard::new(ORDERS, issuer);
    let (service, log) = behind();
    let mut service = guard.require(READ).layer(service);
    // two at a time, each with a service of its own
    be_ready(&mut service);
    let mut first = service.call(with(&reader(&login)));
    be_ready(&mut service);
    let mut second = service.call(with(&reader(&login)));
    assert!(poll(&mut first).is_pending());
    assert!(poll(&mut second).is_pending());
    for sender in waiting.lock().unwrap().drain(..) {
        sender.send(Ok(login.keys())).unwrap();
    }
    assert!(poll(&mut second).is_ready());
    assert!(poll(&mut first).is_ready());
    assert_eq!(log.calls(), 2);
    assert_eq!(log.asked_ready.load(Ordering::Relaxed), 4);
}

#[test]
fn while_a_request_waits_the_service_must_get_ready_anew() {
    let login = login();
    let (issuer, _waiting) = later();
    let guard = Guard::new(ORDERS, issuer);
    let (service, log) = behind();
    let mut service = guard.optional(READ).layer(service);
    be_ready(&mut service);
    let _waits = service.call(with(&reader(&login)));
    // the service that was ready waits with the request; a clone stays behind
    let unready = catch_unwind(AssertUnwindSafe(|| service.call(without_token())));
    assert!(unready.is_err());
    assert_eq!(log.calls(), 0);
}

#[test]
fn a_request_that_is_dropped_while_it_waits_leaves_no_trace() {
    let login = login();
    let (issuer, waiting) = later();
    let (sink, lines) = recorded(|event| event.to_string());
    let guard = Guard::new(ORDERS, issuer).audit(sink);
    let (service, log) = behind();
    let mut service = guard.require(READ).layer(service);
    be_ready(&mut service);
    let mut response = service.call(with(&reader(&login)));
    assert!(poll(&mut response).is_pending());
    drop(response);
    let sender = waiting.lock().unwrap().remove(0);
    assert!(sender.is_closed());
    assert_eq!(log.calls(), 0);
    assert!(lines.lock().unwrap().is_empty());
}

#[test]
fn keys_that_never_come_are_503_after_the_wait() {
    let login = login();
    let (issuer, waiting) = later();
    let guard = Guard::new(ORDERS, issuer);
    let (service, log) = behind();
    let mut service = guard.require(READ).layer(service);
    be_ready(&mut service);
    let mut response = service.call(with(&reader(&login)));
    assert!(poll(&mut response).is_pending());
    waiting.lock().unwrap().clear();
    let Poll::Ready(Ok(response)) = poll(&mut response) else { panic!("the wait is over") };
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key(RETRY_AFTER));
    assert_eq!(log.calls(), 0);
}

#[test]
fn after_a_wait_a_denial_has_the_body_of_the_layer() {
    let login = login();
    let (issuer, waiting) = later();
    let guard = Guard::new(ORDERS, issuer);
    let layer = guard.require(WRITE).body(ProblemJson);
    let (service, log) = behind();
    let mut service = layer.layer(service);
    be_ready(&mut service);
    let mut response = service.call(with(&reader(&login)));
    assert!(poll(&mut response).is_pending());
    let sender = waiting.lock().unwrap().remove(0);
    sender.send(Ok(login.keys())).unwrap();
    let Poll::Ready(Ok(response)) = poll(&mut response) else { panic!("the keys are there") };
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    assert!(challenge(&response).contains(r#"scope="orders:write""#));
    assert_eq!(denial(&response).reason(), Reason::InsufficientScope);
    assert_eq!(log.calls(), 0);
}

#[test]
fn a_request_that_waited_is_judged_at_the_moment_it_arrived() {
    let login = login();
    let (issuer, waiting) = later();
    let now = UtcDateTime::now().unix_timestamp();
    let clock = Arc::new(AtomicI64::new(now));
    let hands = clock.clone();
    let guard = Guard::new(ORDERS, issuer)
        .clock(move || UtcDateTime::from_unix_timestamp(hands.load(Ordering::Relaxed)).unwrap());
    let (service, log) = behind();
    let mut service = guard.require(READ).layer(service);
    be_ready(&mut service);
    let mut response = service.call(with(&reader(&login)));
    assert!(poll(&mut response).is_pending());
    clock.store(now + 3600, Ordering::Relaxed);
    let sender = waiting.lock().unwrap().remove(0);
    sender.send(Ok(login.keys())).unwrap();
    assert!(poll(&mut response).is_ready());
    assert_eq!(log.grant().at().unix_timestamp(), now);
}

#[test]
fn an_optional_guard_waits_for_the_keys_of_a_token_it_was_given() {
    let login = login();
    let (issuer, waiting) = later();
    let guard = Guard::new(ORDERS, issuer);
    let (service, log) = behind();
    let mut service = guard.optional(READ).layer(service);
    be_ready(&mut service);
    let mut response = service.call(with(&reader(&login)));
    assert!(poll(&mut response).is_pending());
    let sender = waiting.lock().unwrap().remove(0);
    sender.send(Ok(login.keys())).unwrap();
    assert!(poll(&mut response).is_ready());
    assert_eq!(log.grant().subject().name(), "alice");
}

#[tokio::test]
async fn waiting_works_under_an_executor() {
    let login = login();
    let (issuer, waiting) = later();
    let guard = Guard::new(ORDERS, issuer);
    let (service, log) = behind();
    let mut service = guard.require(READ).layer(service);
    be_ready(&mut service);
    let response = tokio::spawn(service.call(with(&reader(&login))));
    let sender = waiting.lock().unwrap().remove(0);
    sender.send(Ok(login.keys())).unwrap();
    let Ok(response) = response.await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(log.calls(), 1);
}
