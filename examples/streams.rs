//! Streams that end with their token: server-sent events and a WebSocket, with axum.
//!
//!     cargo run --example streams
//!
//! The first half is what you would write. The second half stands in for the login service and the clients. It ends with
//! status 1 if a stream does not end as expected. For gRPC there is the example `orders_tonic`.

use std::convert::Infallible;
use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::SinkExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, interval, timeout};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::IntervalStream;
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest};
use unconfused::testing::TestIssuer;
use unconfused::token::TokenLimits;
use unconfused::{Audience, Grant, Guard, Scope};

const ORDERS: Audience = Audience::from_static("https://orders.example");
const READ: Scope = Scope::from_static("orders:read");

fn api(guard: &Guard) -> Router {
    Router::new()
        .route("/events", get(events).route_layer(guard.require(READ)))
        .route("/socket", get(socket).route_layer(guard.require(READ)))
}

/// Events, until the token ends. The last one says why there are no more: an `EventSource` connects again by itself, and
/// is told 401 then.
async fn events(grant: Grant) -> Response {
    let subject = grant.subject().name().to_owned();
    let seconds = IntervalStream::new(interval(Duration::from_secs(1)));
    let events = seconds.map(move |_| {
        let event = Event::default().data(format!("an order for {subject}"));
        Ok::<_, Infallible>(event)
    });
    let last = Bytes::from_static(b"event: token_expired\ndata:\n\n");
    let response = Sse::new(events).into_response();
    response.map(|body| Body::new(grant.until_expiry(body).or_last(last)))
}

async fn socket(grant: Grant, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |socket| talk(grant, socket))
}

/// Answers each message, until the token ends. Then it closes the socket.
async fn talk(grant: Grant, mut socket: WebSocket) {
    let mut expired = pin!(grant.expired()); // once, before the loop
    loop {
        tokio::select! {
            () = &mut expired => {
                // 3000 is registered for "Unauthorized".
                let close = CloseFrame { code: 3000, reason: "token_expired".into() };
                let _ = socket.send(Message::Close(Some(close))).await;
                return;
            }
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => {
                    let answer = format!("{text}, {}", grant.subject().name());
                    if socket.send(answer.into()).await.is_err() {
                        return;
                    }
                }
                Some(Ok(_)) => {} // pings are answered by axum
                Some(Err(_)) | None => return,
            },
        }
    }
}

// The login service and the clients.

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let login = TestIssuer::new("https://login.example");
    // By default, a body goes on for 30 seconds after its token, as clocks may differ. Here it has one clock.
    let limits = TokenLimits::default().leeway(Duration::ZERO);
    let guard = Guard::new(ORDERS, login.issuer()).limits(limits);
    // Without TLS, so only on the loopback address. A real API needs TLS.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(axum::serve(listener, api(&guard)).into_future());
    let lifetime = Duration::from_secs(3);
    let token = || login.token(&ORDERS).subject("alice").scope("orders:read").lifetime(lifetime);

    println!("{ORDERS} runs at {address} for this example. A token is valid for 3 seconds.");
    let longest = Duration::from_secs(30);
    println!("\nServer-sent events:");
    timeout(longest, read_events(&address, &token().bearer())).await??;
    println!("\nA WebSocket:");
    timeout(longest, talk_to(&address, &token().bearer())).await??;
    Ok(())
}

async fn read_events(address: &str, bearer: &str) -> Result<(), Box<dyn Error>> {
    // The request stays on this machine, even if a proxy is configured.
    let http = reqwest::Client::builder().no_proxy().build()?;
    let begin = Instant::now();
    let request = http.get(format!("http://{address}/events")).header("authorization", bearer);
    let mut response = request.send().await?.error_for_status()?;
    let (mut events, mut last) = (0, String::new());
    while let Some(chunk) = response.chunk().await? {
        last = String::from_utf8_lossy(&chunk).trim_end().replace('\n', " ");
        println!("  {:.1} s  {last}", begin.elapsed().as_secs_f64());
        events += 1;
    }
    println!("  {:.1} s  the end", begin.elapsed().as_secs_f64());
    expect(
        events >= 3 && last.starts_with("event: token_expired"),
        "the last event is `token_expired`",
    )
}

async fn talk_to(address: &str, bearer: &str) -> Result<(), Box<dyn Error>> {
    let mut request = format!("ws://{address}/socket").into_client_request()?;
    request.headers_mut().insert("authorization", bearer.parse()?);
    let stream = TcpStream::connect(address).await?;
    let begin = Instant::now();
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await?;
    let mut seconds = interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = seconds.tick() => socket.send(tungstenite::Message::text("hello")).await?,
            message = socket.next() => match message.ok_or("it ended without a word")?? {
                tungstenite::Message::Close(frame) => {
                    let code = frame.as_ref().map(|frame| u16::from(frame.code));
                    let reason = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                    println!("  {:.1} s  closed with {code:?}: {reason}", begin.elapsed().as_secs_f64());
                    return expect(code == Some(3000), "it is closed with 3000");
                }
                message => println!("  {:.1} s  {message}", begin.elapsed().as_secs_f64()),
            },
        }
    }
}

fn expect(is_so: bool, what: &str) -> Result<(), Box<dyn Error>> {
    if is_so { Ok(()) } else { Err(format!("expected: {what}").into()) }
}
