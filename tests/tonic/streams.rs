//! Streams that are open when their token expires: the messages before it, the end, and nothing after it.

use super::*;
use std::convert::Infallible;

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::{IntoResponse, Sse, sse};
use axum::routing::get;
use futures_util::SinkExt;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest};
use tonic::transport::Server;
use tonic_types::StatusExt;
use unconfused::layer::Guards;

/// The token is valid for 5 minutes, and the guard has a leeway of 30 seconds.
const EXPIRY: u64 = 300;
const END: u64 = 330;

/// The messages of a stream, each with the seconds at which it came, and the status that it ended with.
async fn all_of<M>(
    begin: Instant,
    mut stream: Streaming<M>,
    text: fn(M) -> String,
) -> (Vec<(u64, String)>, Option<(u64, Status)>) {
    let mut messages = Vec::new();
    loop {
        let next = stream.message().await;
        let at = begin.elapsed().as_secs();
        match next {
            Ok(Some(message)) => messages.push((at, text(message))),
            Ok(None) => return (messages, None),
            Err(status) => {
                assert!(
                    matches!(stream.message().await, Ok(None)),
                    "something comes after the end"
                );
                return (messages, Some((at, status)));
            }
        }
    }
}

fn before_the_end() -> Vec<(u64, String)> {
    [0, 100, 200, 300].map(|at| (at, format!("at {at}"))).to_vec()
}

async fn assert_ends_with_its_token(client: &OrdersClient) {
    let begin = Instant::now();
    let watch = with(&token("orders:read").bearer(), WatchRequest {});
    let stream = client.watch(watch).await.unwrap().into_inner();
    let (messages, end) = all_of(begin, stream, |event| event.text).await;
    println!("{messages:?}, then {end:?}");
    assert_eq!(messages, before_the_end());
    let (at, status) = end.expect("a status");
    assert_eq!(at, END);
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unauthenticated, "The access token expired")
    );
    let challenge = all(status.metadata(), "www-authenticate").join("");
    assert!(challenge.starts_with(r#"Bearer error="invalid_token""#), "{challenge}");
    assert_eq!(status.get_error_details().error_info().unwrap().reason, "TOKEN_EXPIRED");
    // The connection goes on, and serves the next token.
    let list = with(&token("orders:read").bearer(), ListRequest {});
    assert!(client.list(list).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_stream_over_tonic_ends_with_its_token_with_status_16_and_nothing_after() {
    let guard = guard();
    let client = connected(|connections| {
        let mut server = Server::builder().layer(guard.rules(rules()).until_expiry());
        server.add_service(Shop::server(&guard)).serve_with_incoming(connections)
    })
    .await;
    assert_ends_with_its_token(&client).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_behind_the_guard_that_was_chosen_ends_with_its_token() {
    let guard = guard();
    let guards = Guards::new([("orders", guard.clone())], |_, guards| guards.get("orders"));
    let client = connected(|connections| {
        let mut server = Server::builder().layer(guards.rules(rules()).until_expiry());
        server.add_service(Shop::server(&guard)).serve_with_incoming(connections)
    })
    .await;
    assert_ends_with_its_token(&client).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_set_to_end_goes_on() {
    let guard = guard();
    let client = connected(|connections| {
        let mut server = Server::builder().layer(guard.rules(rules()));
        server.add_service(Shop::server(&guard)).serve_with_incoming(connections)
    })
    .await;
    let watch = with(&token("orders:read").bearer(), WatchRequest {});
    let mut stream = client.watch(watch).await.unwrap().into_inner();
    for at in [0, 100, 200, 300, 400, 500] {
        assert_eq!(stream.message().await.unwrap().unwrap().text, format!("at {at}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_method_that_refuses_in_the_middle_of_a_stream_ends_it_with_code_metadata_and_details() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = lines.clone();
    let guard = guard().audit(move |event: &AuditEvent<'_>| {
        kept.lock().unwrap().push((event.step(), event.reason()));
    });
    let client = connected(|connections| {
        let mut server = Server::builder().layer(guard.rules(rules()).until_expiry());
        server.add_service(Shop::server(&guard)).serve_with_incoming(connections)
    })
    .await;
    let order = |item: &str, price| NewOrder { item: item.to_owned(), price };
    let orders =
        [order("a teapot", 20), order("a cup", 5), order("a palace", 5000), order("a spoon", 1)];
    let bearer = token("orders:write").bearer();
    let request = with(&bearer, tokio_stream::iter(orders));
    let stream = client.place(request).await.unwrap().into_inner();
    let (messages, end) = all_of(Instant::now(), stream, |placed| placed.text).await;
    assert_eq!(messages, [(0, "a teapot".to_owned()), (0, "a cup".to_owned())]);
    let (_, status) = end.expect("a status");
    assert_eq!(status.code(), Code::PermissionDenied);
    let challenge = all(status.metadata(), "www-authenticate").join("");
    assert!(challenge.contains(r#"scope="orders:write orders:large""#), "{challenge}");
    let info = status.get_error_details().error_info().unwrap().clone();
    assert_eq!(info.reason, "INSUFFICIENT_SCOPE");
    assert_eq!(all(status.metadata(), "decision-id"), [&*info.metadata["decision"]]);
    assert_eq!(*lines.lock().unwrap(), [(0, None), (1, Some(Reason::InsufficientScope))]);
}

// HTTP, with axum

/// A connection to a router in memory.
fn http1(app: Router) -> DuplexStream {
    let (client, server) = tokio::io::duplex(1 << 16);
    let serving = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(server), TowerToHyperService::new(app))
        .with_upgrades();
    tokio::spawn(serving);
    client
}

#[tokio::test(start_paused = true)]
async fn server_sent_events_end_with_their_token_and_the_last_event_says_so() {
    async fn watch(grant: Grant) -> axum::response::Response {
        let begin = Instant::now();
        let events = tokio_stream::iter([0, 100, 200, 300, 400]).then(move |at| async move {
            tokio::time::sleep_until(begin + secs(at)).await;
            Ok::<_, Infallible>(sse::Event::default().data(format!("at {at}")))
        });
        let events = Sse::new(events.chain(tokio_stream::pending())).into_response();
        let last = axum::body::Bytes::from_static(b"event: token_expired\ndata:\n\n");
        events.map(|body| axum::body::Body::new(grant.until_expiry(body).or_last(last)))
    }
    let app = Router::new().route("/orders", get(watch).route_layer(guard().require(READ)));
    let mut client = http1(app);
    let begin = Instant::now();
    let bearer = token("orders:read").bearer();
    let request = format!(
        "GET /orders HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: {bearer}\r\n\r\n"
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), END);
    println!("{text}");
    assert!(
        text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("text/event-stream"),
        "{text}"
    );
    let lines = [
        "data: at 0",
        "data: at 100",
        "data: at 200",
        "data: at 300",
        "event: token_expired",
        "data:",
    ];
    let sent: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("data:") || line.starts_with("event:"))
        .collect();
    assert_eq!(sent, lines);
    assert!(text.ends_with("\r\n0\r\n\r\n"), "it ends in an ordinary way");
}

/// The recipe of the guide.
async fn serve(grant: Grant, mut socket: WebSocket) {
    let mut expired = std::pin::pin!(grant.expired());
    loop {
        tokio::select! {
            () = &mut expired => {
                let close = CloseFrame { code: 3000, reason: "token_expired".into() };
                let _ = socket.send(Message::Close(Some(close))).await;
                return;
            }
            message = socket.recv() => match message {
                Some(Ok(message @ Message::Text(_))) => socket.send(message).await.unwrap(),
                Some(Ok(_)) => {}
                _ => return,
            },
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_web_socket_is_closed_when_its_token_expires() {
    async fn upgrade(grant: Grant, upgrade: WebSocketUpgrade) -> axum::response::Response {
        upgrade.on_upgrade(move |socket| serve(grant, socket))
    }
    let app = Router::new().route("/orders", get(upgrade).route_layer(guard().require(READ)));
    let request = || "ws://orders.example/orders".into_client_request().unwrap();
    let refused = tokio_tungstenite::client_async(request(), http1(app.clone())).await;
    let Err(tungstenite::Error::Http(refused)) = refused else { panic!("it is not refused") };
    assert_eq!(refused.status(), 401);

    let mut request = request();
    let bearer = token("orders:read").bearer();
    request.headers_mut().insert("authorization", bearer.parse().unwrap());
    let begin = Instant::now();
    let (mut socket, _) = tokio_tungstenite::client_async(request, http1(app)).await.unwrap();
    for at in [0, 100, 200, 290] {
        tokio::time::sleep_until(begin + secs(at)).await;
        socket.send(tungstenite::Message::text(format!("at {at}"))).await.unwrap();
        let answer = socket.next().await.unwrap().unwrap();
        assert_eq!(answer.into_text().unwrap(), format!("at {at}"));
    }
    let end = socket.next().await.unwrap().unwrap();
    assert_eq!(begin.elapsed().as_secs(), EXPIRY);
    let tungstenite::Message::Close(Some(frame)) = end else { panic!("{end}") };
    assert_eq!((u16::from(frame.code), &*frame.reason), (3000, "token_expired"));
    assert!(socket.next().await.is_none_or(|next| next.is_err()), "something comes after the end");
}
