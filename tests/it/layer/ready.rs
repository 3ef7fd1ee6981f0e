//! Readiness, and requests that wait for nothing.

use super::*;

#[test]
fn with_keys_at_hand_the_answer_is_there_at_the_first_poll_without_a_runtime() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let (service, _) = behind();
    let mut service = guard.require(READ).layer(service);
    be_ready(&mut service);
    let mut granted = service.call(with(&reader(&login)));
    assert!(matches!(poll(&mut granted), Poll::Ready(Ok(r)) if r.status() == StatusCode::OK));
    be_ready(&mut service);
    let mut denied = service.call(without_token());
    assert!(matches!(poll(&mut denied), Poll::Ready(Ok(r)) if r.status() == 401));
}

#[test]
fn the_service_that_was_ready_is_the_one_called() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let (service, log) = behind();
    let mut service = guard.require(READ).layer(service);
    for _ in 0..3 {
        be_ready(&mut service);
        let Ok(response) = at_once(service.call(with(&reader(&login))));
        assert_eq!(response.status(), StatusCode::OK);
    }
    assert_eq!(log.calls(), 3);
    assert_eq!(log.asked_ready.load(Ordering::Relaxed), 3);
}

#[test]
fn the_guard_is_ready_when_the_inner_service_is() {
    /// Ready at the second poll.
    #[derive(Clone, Default)]
    struct Slow(usize);
    impl Service<Request<String>> for Slow {
        type Response = Response<String>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Response<String>, Infallible>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            self.0 += 1;
            if self.0 < 2 { Poll::Pending } else { Poll::Ready(Ok(())) }
        }
        fn call(&mut self, _: Request<String>) -> Self::Future {
            std::future::ready(Ok(Response::default()))
        }
    }
    let guard = Guard::new(ORDERS, login().issuer());
    let mut service = guard.require(READ).layer(Slow::default());
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_pending());
    assert!(service.poll_ready(&mut context).is_ready());
}

/// A service that fails: when it is asked whether it is ready, or when it is called.
#[derive(Clone)]
struct Failing {
    at_once: bool,
}

impl Service<Request<String>> for Failing {
    type Response = Response<String>;
    type Error = &'static str;
    type Future = std::future::Ready<Result<Response<String>, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Ready(if self.at_once { Err("not ready") } else { Ok(()) })
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        std::future::ready(Err("broken"))
    }
}

#[test]
fn an_inner_service_that_fails_to_get_ready_fails_through_the_guard() {
    let guard = Guard::new(ORDERS, login().issuer());
    let mut service = guard.require(READ).layer(Failing { at_once: true });
    let outcome = at_once(poll_fn(|cx| service.poll_ready(cx)));
    assert_eq!(outcome, Err("not ready"));
}

#[test]
fn the_error_of_the_inner_service_comes_through_as_it_is() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let mut service = guard.require(READ).layer(Failing { at_once: false });
    assert_eq!(at_once(poll_fn(|cx| service.poll_ready(cx))), Ok(()));
    let outcome = at_once(service.call(with(&reader(&login))));
    assert_eq!(outcome.err(), Some("broken"));
}

#[test]
fn the_error_of_the_inner_service_comes_through_after_a_wait() {
    let login = login();
    let (issuer, waiting) = later();
    let guard = Guard::new(ORDERS, issuer);
    let mut service = guard.require(READ).layer(Failing { at_once: false });
    assert_eq!(at_once(poll_fn(|cx| service.poll_ready(cx))), Ok(()));
    let mut response = service.call(with(&reader(&login)));
    assert!(poll(&mut response).is_pending());
    waiting.lock().unwrap().remove(0).send(Ok(login.keys())).unwrap();
    assert!(matches!(poll(&mut response), Poll::Ready(Err("broken"))));
}

#[test]
fn keys_are_asked_for_once_a_request() {
    let login = login();
    let (issuer, asked) = counted(&login);
    let guard = Guard::new(ORDERS, issuer);
    let (response, _) = through(guard.require(READ), with(&reader(&login)));
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[test]
fn keys_are_not_asked_for_if_nothing_could_be_verified() {
    let login = login();
    let (issuer, asked) = counted(&login);
    let guard = Guard::new(ORDERS, issuer);
    let stranger = TestIssuer::new("https://evil.example");
    for request in [
        without_token(),
        request("Bearer nonsense"),
        with(&reader(&stranger)),
        with(&reader(&login).header("typ", "JWT")),
    ] {
        let (response, _) = through(guard.require(READ), request);
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[test]
fn the_clock_is_read_once_for_all_layers_of_a_request_and_once_by_each_narrow() {
    let login = login();
    let read = Arc::new(AtomicUsize::new(0));
    let count = read.clone();
    let guard = Guard::new(ORDERS, login.issuer()).clock(move || {
        count.fetch_add(1, Ordering::Relaxed);
        UtcDateTime::now()
    });
    let layers = (guard.require(READ), guard.require(Require::valid_token()));
    let (response, log) = through(layers, with(&reader(&login)));
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(read.load(Ordering::Relaxed), 1);
    let grant = log.grant();
    for narrows in 1..4 {
        assert!(at_once(guard.narrow(&grant, READ)).is_ok());
        assert_eq!(read.load(Ordering::Relaxed), 1 + narrows);
    }
}
