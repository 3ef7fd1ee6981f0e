//! Streams across the end of their token. The clock of the guard stands still, that of Tokio is paused.

use std::convert::Infallible;
use std::future::ready;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::body::Bytes;
use axum::{Router, routing::get};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, interval};
use tower::{Layer, ServiceExt, service_fn};
use unconfused::layer::{Rules, UntilExpiry, UntilExpiryLayer};
use unconfused::token::TokenLimits;
use unconfused::{AuditEvent, Denial, Grant, Guard, Reason, Scope};

use crate::common::*;

const READ: Scope = Scope::from_static("orders:read");
const WATCH: &str = "/orders.v1.Orders/Watch";
const HEALTH: &str = "/grpc.health.v1.Health/Watch";
/// The token of these tests is valid for 5 minutes, and the guard has a leeway of 30 seconds.
const END: Duration = Duration::from_secs(330);

/// Sends a number at once and then every 100 seconds, and never ends. Counts the bodies that are not dropped.
struct Ticks {
    interval: Interval,
    sent: usize,
    open: Arc<AtomicUsize>,
}

impl Ticks {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Ticks { interval: interval(secs(100)), sent: 0, open: open.clone() }
    }
}

impl Drop for Ticks {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Body for Ticks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        std::task::ready!(self.interval.poll_tick(cx));
        self.sent += 1;
        Poll::Ready(Some(Ok(Frame::data(format!("data: {}\n\n", self.sent).into()))))
    }
}

/// Always has something ready.
#[derive(Default)]
struct Flood;

impl Body for Flood {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
    }
}

/// A body that is not made from text, as that of tonic.
type AnyBody = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

fn grant() -> Grant {
    ask(&guard(), &token().scope("orders:read"), READ).unwrap()
}

/// What a body sends, each piece with the seconds at which it came, and how it ends.
#[derive(Debug, Default)]
struct Sent {
    data: Vec<(u64, String)>,
    trailers: Option<(u64, HeaderMap)>,
    error: Option<(u64, Box<dyn std::error::Error + Send + Sync>)>,
}

async fn all_of<B>(body: B) -> Sent
where
    B: Body<Data = Bytes, Error = Box<dyn std::error::Error + Send + Sync>>,
{
    let (begin, mut sent) = (Instant::now(), Sent::default());
    let mut body = pin!(body);
    while let Some(frame) = body.frame().await {
        let at = begin.elapsed().as_secs();
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => sent.data.push((at, String::from_utf8(data.to_vec()).unwrap())),
            Ok(Err(frame)) => {
                assert!(sent.trailers.is_none(), "trailers twice");
                sent.trailers = Some((at, frame.into_trailers().unwrap()));
            }
            Err(error) => {
                assert!(sent.error.is_none(), "an error twice");
                sent.error = Some((at, error));
            }
        }
    }
    assert!(body.is_end_stream());
    sent
}

/// What comes before the end.
fn before_the_end() -> Vec<(u64, String)> {
    let at = [0, 100, 200, 300];
    let text = |(n, at): (usize, u64)| (at, format!("data: {}\n\n", n + 1));
    at.into_iter().enumerate().map(text).collect()
}

// HTTP

#[tokio::test(start_paused = true)]
async fn a_body_is_broken_off_when_the_guard_no_longer_accepts_the_token() {
    let open = Arc::default();
    let sent = all_of(grant().until_expiry(Ticks::new(&open))).await;
    assert_eq!(sent.data, before_the_end());
    let (at, error) = sent.error.unwrap();
    assert_eq!(at, END.as_secs());
    assert_eq!(*error.downcast::<Reason>().unwrap(), Reason::TokenExpired);
    assert!(sent.trailers.is_none());
    assert_eq!(open.load(Ordering::Relaxed), 0, "the inner body is dropped");
}

#[tokio::test(start_paused = true)]
async fn server_sent_events_end_with_the_event_of_the_owner() {
    let open = Arc::default();
    let last = Bytes::from_static(b"event: token_expired\ndata:\n\n");
    let sent = all_of(grant().until_expiry(Ticks::new(&open)).or_last(last)).await;
    let mut expected = before_the_end();
    expected.push((END.as_secs(), "event: token_expired\ndata:\n\n".to_owned()));
    assert_eq!(sent.data, expected);
    assert!(sent.error.is_none() && sent.trailers.is_none());
    assert_eq!(open.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_complete_before_passes_unchanged() {
    let trailers = HeaderMap::from_iter([("a".parse().unwrap(), "b".parse().unwrap())]);
    let whole =
        || Full::new(Bytes::from_static(b"whole")).with_trailers(ready(Some(Ok(trailers.clone()))));
    let last = Bytes::from_static(b"last");
    for sent in [
        all_of(grant().until_expiry(whole())).await,
        all_of(grant().until_expiry(whole()).or_last(last)).await,
    ] {
        assert_eq!(sent.data, [(0, "whole".to_owned())]);
        assert_eq!(sent.trailers.unwrap(), (0, trailers.clone()));
        assert!(sent.error.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_waits_ends_too() {
    let mut body = pin!(grant().until_expiry(Flood));
    for _ in 0..10 {
        assert!(body.frame().await.unwrap().is_ok());
    }
    tokio::time::advance(END - secs(1)).await;
    assert!(body.frame().await.unwrap().is_ok());
    tokio::time::advance(secs(1)).await;
    assert!(body.frame().await.unwrap().is_err());
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_body_ends_when_narrow_begins_to_refuse() {
    for (limits, end) in [
        (TokenLimits::default(), secs(330)),
        (TokenLimits::default().leeway(Duration::ZERO), secs(300)),
        (TokenLimits::default().max_token_age(secs(60)), secs(90)),
    ] {
        let begin = Instant::now();
        let guard = guard().limits(limits).clock(move || now() + begin.elapsed());
        let grant = ask(&guard, &token().scope("orders:read"), READ).unwrap();
        let body = grant.until_expiry(Ticks::new(&Arc::default()));
        let narrow = || guard.narrow(&grant, READ).now().unwrap().map_err(|denial| denial.reason());
        tokio::time::advance(end - secs(1)).await;
        assert!(narrow().is_ok(), "{end:?}");
        let (at, _) = all_of(body).await.error.unwrap();
        assert_eq!(at, 1, "{end:?}");
        tokio::time::advance(Duration::from_nanos(1)).await;
        assert!(narrow().is_err(), "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_took_longer_than_its_token_is_still_sent() {
    let grant = grant();
    for guard_clock in [0, 1000] {
        let body = Full::new(Bytes::from_static(b"refunded"));
        let body = grant.until_expiry(body);
        tokio::time::advance(secs(guard_clock)).await;
        let sent = all_of(body).await;
        assert_eq!(sent.data, [(0, "refunded".to_owned())]);
        assert!(sent.error.is_none());
    }
    let body = grant.until_expiry(Ticks::new(&Arc::default()));
    tokio::time::advance(END).await;
    let sent = all_of(body).await;
    assert_eq!(sent.data, [(0, "data: 1\n\n".to_owned())]);
    assert_eq!(sent.error.unwrap().0, 0);
}

#[test]
fn a_length_is_promised_only_if_breaking_off_shows() {
    let full = || Full::new(Bytes::from_static(b"whole"));
    let exact = |hint: SizeHint| hint.exact();
    assert_eq!(exact(grant().until_expiry(full()).size_hint()), Some(5));
    assert_eq!(exact(grant().until_expiry(full()).or_last(Bytes::new()).size_hint()), None);
}

/// What a client of HTTP/1.1 reads, of a response with this body.
async fn over_http1<B>(body: B) -> String
where
    B: Body<Data = Bytes, Error = Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    let (mut client, server) = tokio::io::duplex(4096);
    let body = Mutex::new(Some(body));
    let service = hyper::service::service_fn(move |_| {
        ready(Ok::<_, Infallible>(Response::new(Box::pin(body.lock().unwrap().take().unwrap()))))
    });
    let io = hyper_util::rt::TokioIo::new(server);
    let serving = hyper::server::conn::http1::Builder::new().serve_connection(io, service);
    let (serving, text) = tokio::join!(serving, async {
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        text
    });
    drop(serving);
    text
}

#[tokio::test(start_paused = true)]
async fn a_client_of_http1_sees_that_a_body_was_broken_off() {
    let whole = "\r\n0\r\n\r\n"; // the last chunk
    let open = Arc::default();
    let broken = over_http1(grant().until_expiry(Ticks::new(&open))).await;
    assert!(broken.contains("data: 4"), "{broken}");
    assert!(!broken.ends_with(whole), "{broken}");
    let ended = over_http1(grant().until_expiry(Ticks::new(&open)).or_last(Bytes::new())).await;
    assert!(ended.contains("data: 4") && ended.ends_with(whole), "{ended}");
}

#[tokio::test(start_paused = true)]
async fn a_route_of_axum_ends_its_stream() {
    async fn watch(grant: Grant) -> Response<axum::body::Body> {
        let last = Bytes::from_static(b"event: token_expired\ndata:\n\n");
        let events = Ticks::new(&Arc::default());
        Response::new(axum::body::Body::new(grant.until_expiry(events).or_last(last)))
    }
    let app: Router = Router::new().route("/orders", get(watch).route_layer(guard().require(READ)));
    let request =
        Request::get("/orders").header("authorization", token().scope("orders:read").bearer());
    let response = app.oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
    let begin = Instant::now();
    let text = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(begin.elapsed(), END);
    assert!(text.ends_with(b"data: 4\n\nevent: token_expired\ndata:\n\n"), "{text:?}");
}

/// The recipe of the guide for WebSockets, with channels for the socket.
#[tokio::test(start_paused = true)]
async fn a_socket_is_closed_when_its_token_expires() {
    let grant = grant();
    let (to_server, mut received) = mpsc::channel::<&str>(8);
    let (send, mut client) = mpsc::channel::<String>(8);
    let server = tokio::spawn(async move {
        let mut expired = pin!(grant.expired());
        loop {
            tokio::select! {
                () = &mut expired => {
                    send.send("close 3000 token_expired".to_owned()).await.unwrap();
                    return;
                }
                message = received.recv() => match message {
                    Some(message) => send.send(format!("echo {message}")).await.unwrap(),
                    None => return,
                },
            }
        }
    });
    let begin = Instant::now();
    to_server.send("a").await.unwrap();
    assert_eq!(client.recv().await.unwrap(), "echo a");
    tokio::time::sleep(secs(299)).await;
    to_server.send("b").await.unwrap();
    assert_eq!(client.recv().await.unwrap(), "echo b");
    assert_eq!(client.recv().await.unwrap(), "close 3000 token_expired");
    assert_eq!(begin.elapsed(), secs(300), "without the leeway");
    server.await.unwrap();
    assert!(to_server.send("c").await.is_err());
    assert_eq!(client.recv().await, None);
}

// gRPC

fn rules(guard: &Guard) -> UntilExpiryLayer {
    guard.rules(Rules::new().on(WATCH, READ).open(HEALTH)).until_expiry()
}

/// The answer to a call, of a service that answers with this body.
async fn called<B>(
    layer: &UntilExpiryLayer,
    path: &str,
    authorization: &str,
    body: impl Fn() -> B + Clone + Send + 'static,
) -> Response<UntilExpiry<AnyBody>>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let service = service_fn(move |_: Request<Empty<Bytes>>| {
        ready(Ok::<_, Infallible>(Response::new(body().boxed_unsync())))
    });
    let request = Request::post(path).header("authorization", authorization);
    let Ok(response) = layer.layer(service).oneshot(request.body(Empty::new()).unwrap()).await;
    response
}

fn bearer() -> String {
    token().scope("orders:read").bearer()
}

#[tokio::test(start_paused = true)]
async fn a_grpc_stream_ends_with_status_16_and_nothing_after() {
    let records = Arc::new(Mutex::new(Vec::new()));
    let kept = records.clone();
    let guard = guard().audit(move |event: &AuditEvent<'_>| {
        let (id, reason) = (event.decision().to_string(), event.reason());
        kept.lock().unwrap().push((id, event.step(), reason));
    });
    let open: Arc<AtomicUsize> = Arc::default();
    let ticks = open.clone();
    let response = called(&rules(&guard), WATCH, &bearer(), move || Ticks::new(&ticks)).await;
    let sent = all_of(response.into_body()).await;
    assert_eq!(sent.data, before_the_end());
    assert!(sent.error.is_none());
    let (at, trailers) = sent.trailers.unwrap();
    assert_eq!(at, END.as_secs());
    assert_eq!(trailers["grpc-status"], "16");
    assert_eq!(trailers["grpc-message"], "The access token expired");
    let challenge = trailers["www-authenticate"].to_str().unwrap();
    assert!(challenge.starts_with(r#"Bearer error="invalid_token""#), "{challenge}");
    assert!(challenge.contains(r#"scope="orders:read", resource_metadata="#), "{challenge}");
    assert!(trailers.contains_key("grpc-status-details-bin"));
    assert!(!trailers.contains_key("content-type"));
    assert_eq!(open.load(Ordering::Relaxed), 0, "the inner body is dropped");
    let id = trailers["decision-id"].to_str().unwrap().to_owned();
    let expected = [(id.clone(), 0, None), (id, 1, Some(Reason::TokenExpired))];
    assert_eq!(*records.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ends_before_keeps_its_own_trailers() {
    let ok = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    let trailers = ok.clone();
    let unary = move || {
        Full::new(Bytes::from_static(b"one")).with_trailers(ready(Some(Ok(trailers.clone()))))
    };
    let response = called(&rules(&guard()), WATCH, &bearer(), unary).await;
    // The answer to an operation that was carried out is sent, however long that took.
    tokio::time::advance(END * 2).await;
    let sent = all_of(response.into_body()).await;
    assert_eq!(sent.data, [(0, "one".to_owned())]);
    assert_eq!(sent.trailers.unwrap().1, ok);
}

#[tokio::test(start_paused = true)]
async fn a_trailers_only_answer_of_the_service_stays_one() {
    let response = called(&rules(&guard()), WATCH, &bearer(), Empty::<Bytes>::new).await;
    assert!(response.body().is_end_stream());
    tokio::time::advance(END * 2).await;
    let sent = all_of(response.into_body()).await;
    assert!(sent.data.is_empty() && sent.trailers.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_is_trailers_only() {
    for path in [WATCH, "/x.Y/Z"] {
        let response = called(&rules(&guard()), path, "Bearer x", Empty::<Bytes>::new).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.headers().contains_key("grpc-status"));
        assert!(response.extensions().get::<Denial>().is_some());
        assert!(response.body().is_end_stream());
        assert!(all_of(response.into_body()).await.data.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_stream_of_an_open_method_goes_on() {
    let response = called(&rules(&guard()), HEALTH, "", || Ticks::new(&Arc::default())).await;
    let mut body = pin!(response.into_body());
    for _ in 0..100 {
        assert!(body.frame().await.unwrap().unwrap().is_data());
    }
}

// What a stream costs

/// Without a runtime, a timer would panic.
#[test]
fn a_body_that_does_not_wait_has_no_timer() {
    let mut body = pin!(grant().until_expiry(Full::new(Bytes::from_static(b"whole"))));
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut cx) else { panic!("a frame") };
    assert_eq!(frame.into_data().unwrap(), "whole");
    assert!(matches!(body.poll_frame(&mut cx), Poll::Ready(None)));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_streams_allocate_nothing() {
    /// Never has anything.
    struct Silent;

    impl Body for Silent {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    let grant = grant();
    let sizes = [size_of::<UntilExpiry<Silent>>(), size_of::<tokio::time::Sleep>()];
    println!("{} bytes, of them {} for the timer", sizes[0], sizes[1]);
    assert!(sizes[0] <= 256, "{sizes:?}");
    let mut streams = Vec::with_capacity(1000);
    let made = allocation_counter::measure(|| {
        streams.extend((0..1000).map(|_| grant.until_expiry(Silent)));
    });
    assert_eq!(made.count_total, 0);
    let mut streams: Vec<_> = streams.into_iter().map(Box::pin).collect();
    // One task may poll only so many timers before it has to yield.
    tokio::task::unconstrained(async {
        let mut cx = Context::from_waker(Waker::noop());
        let begin = std::time::Instant::now();
        let waiting = allocation_counter::measure(|| {
            for stream in &mut streams {
                assert!(stream.as_mut().poll_frame(&mut cx).is_pending());
            }
        });
        println!("{:?} for 1000 timers", begin.elapsed());
        assert_eq!(waiting.count_total, 0);
        tokio::time::advance(END).await;
        for stream in &mut streams {
            let ended = stream.as_mut().poll_frame(&mut cx);
            assert!(matches!(ended, Poll::Ready(Some(Err(_)))));
        }
    })
    .await;
}
