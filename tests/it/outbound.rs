//! The way out through `reqwest`, against a small server on this machine.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::{Request, Response};
use reqwest::Client;
use reqwest::redirect::Policy;
use tokio::net::{TcpListener, TcpStream};
use unconfused::client::{HttpClient, HttpError, HttpLimits};
use unconfused::keys::KeyState;
use unconfused::testing::TestIssuer;
use unconfused::{Audience, Guard, Issuer, Scope};

const ORDERS: Audience = Audience::from_static("https://orders.example");
const READ: Scope = Scope::from_static("orders:read");
/// More than any test takes.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);

/// What the server does for one request.
#[derive(Clone)]
enum Does {
    /// Sends these bytes and closes.
    Sends(String),
    /// Sends these bytes, then a body without end.
    Floods(String),
    /// Sends these bytes, then nothing.
    Stalls(String),
    /// Closes at once.
    Closes,
}

struct Server {
    base: String,
    requests: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
}

impl Server {
    /// `does` is told the path, the head of the request, and where the server is.
    async fn new(does: impl Fn(&str, &str, &str) -> Does + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let sent = Arc::new(AtomicUsize::new(0));
        let (counted, bytes, place) = (requests.clone(), sent.clone(), base.clone());
        let does = Arc::new(does);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (does, counted, bytes) = (does.clone(), counted.clone(), bytes.clone());
                let place = place.clone();
                tokio::spawn(async move {
                    let Some(head) = head(&stream).await else { return };
                    counted.fetch_add(1, Ordering::SeqCst);
                    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    serve(&stream, does(&path, &head, &place), &bytes).await;
                });
            }
        });
        Server { base, requests, sent }
    }

    async fn of(does: Does) -> Self {
        Server::new(move |_, _, _| does.clone()).await
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn read(stream: &TcpStream, into: &mut [u8]) -> std::io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(into) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            done => bytes = &bytes[done?..],
        }
    }
    Ok(())
}

async fn head(stream: &TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if read(stream, &mut byte).await.ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

async fn serve(stream: &TcpStream, does: Does, sent: &AtomicUsize) {
    match does {
        Does::Sends(answer) => {
            let _ = write(stream, answer.as_bytes()).await;
        }
        Does::Floods(head) => {
            let _ = write(stream, head.as_bytes()).await;
            let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
            while write(stream, chunk.as_bytes()).await.is_ok() {
                sent.fetch_add(0x1000, Ordering::SeqCst);
            }
        }
        Does::Stalls(head) => {
            let _ = write(stream, head.as_bytes()).await;
            // Until the client stops reading.
            let _ = read(stream, &mut [0]).await;
        }
        Does::Closes => {}
    }
}

fn ok(body: &str) -> Does {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    Does::Sends(head + body)
}

fn redirect(to: &str) -> Does {
    let head = format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n");
    Does::Sends(head + "connection: close\r\n\r\n")
}

async fn get_by(
    client: &Client,
    url: &str,
    limits: HttpLimits,
) -> Result<Response<Vec<u8>>, HttpError> {
    let request = Request::get(url).header("accept", "application/json").body(Vec::new()).unwrap();
    client.send(request, limits).await
}

async fn get(url: &str, limits: HttpLimits) -> Result<Response<Vec<u8>>, HttpError> {
    get_by(&client(), url, limits).await
}

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

#[tokio::test]
async fn status_headers_and_body_pass_and_the_request_is_sent_as_it_is() {
    let server = Server::new(|path, head, _| {
        assert_eq!(path, "/a/b?c=d");
        assert!(head.starts_with("GET ") && head.contains("accept: application/json\r\n"));
        Does::Sends(
            "HTTP/1.1 503 Busy\r\ncache-control: max-age=7\r\nx-a: 1\r\nx-a: 2\r\n\
             content-length: 3\r\nconnection: close\r\n\r\nabc"
                .to_owned(),
        )
    })
    .await;
    let url = format!("{}/a/b?c=d", server.base);
    let answer = get(&url, HttpLimits::new(3, LONG)).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["cache-control"], "max-age=7");
    assert_eq!(answer.headers().get_all("x-a").iter().count(), 2);
    assert_eq!(answer.body(), b"abc");
}

/// The text of an error and of all its causes.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[tokio::test]
async fn a_readiness_says_why_a_body_or_a_connection_broke() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 20\r\nconnection: close\r\n\r\n{\"keys\":";
    let server = Server::of(Does::Sends(cut.to_owned())).await;
    let error = get(&server.base, HttpLimits::new(1024, LONG)).await.unwrap_err();
    let cause = chain(&error).rsplit(": ").next().unwrap().to_owned();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    for (base, said) in [(&server.base, &*cause), (&nobody, "refused")] {
        let issuer = Issuer::discover_without_tls_on_loopback(base, client()).unwrap();
        let readiness = Guard::new(ORDERS, issuer).ready().await.to_string();
        assert!(readiness.contains(said), "{said}: {readiness}");
        assert!(!readiness.contains('\n'), "{readiness}");
    }
    assert_ne!(cause, error.to_string());
}

#[tokio::test]
async fn a_body_that_is_as_long_as_it_may_be_passes_and_a_longer_one_does_not() {
    let server = Server::of(ok("12345")).await;
    assert!(get(&server.base, HttpLimits::new(5, LONG)).await.is_ok());
    let error = get(&server.base, HttpLimits::new(4, LONG)).await.unwrap_err();
    assert!(matches!(error, HttpError::TooLarge(4)), "{error}");
    let empty = Server::of(ok("")).await;
    assert!(get(&empty.base, HttpLimits::new(0, LONG)).await.is_ok());
}

#[tokio::test]
async fn a_body_without_end_is_given_up_as_soon_as_it_is_too_long() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let server = Server::of(Does::Floods(head.to_owned())).await;
    let start = Instant::now();
    let error = get(&server.base, HttpLimits::new(256 * 1024, LONG)).await.unwrap_err();
    assert!(matches!(error, HttpError::TooLarge(262_144)), "{error}");
    assert!(start.elapsed() < LONG / 2);
    // What was sent beyond it is in the buffers of the connection.
    let sent = server.sent.load(Ordering::SeqCst);
    assert!(sent < 64 * 1024 * 1024, "{sent}");
}

#[tokio::test]
async fn a_length_that_is_a_lie_reserves_no_memory_and_is_refused_by_what_comes() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n";
    let server = Server::of(Does::Floods(head.to_owned())).await;
    let error = get(&server.base, HttpLimits::new(1000, LONG)).await.unwrap_err();
    assert!(matches!(error, HttpError::TooLarge(1000)), "{error}");
    // An answer that ends early does not count.
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\nabc";
    let server = Server::of(Does::Sends(head.to_owned())).await;
    let error = get(&server.base, HttpLimits::new(1000, LONG)).await.unwrap_err();
    assert!(matches!(error, HttpError::Failed(_)), "{error}");
}

#[tokio::test]
async fn an_answer_after_a_redirect_is_refused_and_without_redirects_no_other_host_is_asked() {
    let server = Server::new(|path, _, base| match path {
        "/keys" => redirect(&format!("{base}/elsewhere")),
        "/round" => redirect(&format!("{base}/round")),
        _ => ok("stolen"),
    })
    .await;
    let limits = HttpLimits::new(1000, LONG);
    let error = get(&format!("{}/keys", server.base), limits).await.unwrap_err();
    assert!(matches!(error, HttpError::Redirected), "{error}");
    assert_eq!(server.requests(), 2, "this client follows");
    let error = get(&format!("{}/round", server.base), limits).await.unwrap_err();
    assert!(matches!(error, HttpError::Redirected), "{error}");

    let before = server.requests();
    let strict = Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
    let answer = get_by(&strict, &format!("{}/keys", server.base), limits).await.unwrap();
    assert_eq!(answer.status(), 302);
    assert_eq!(server.requests(), before + 1);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_abandoned_wherever_it_stalls() {
    for head in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab"] {
        let server = Server::of(Does::Stalls(head.to_owned())).await;
        let start = Instant::now();
        let error = get(&server.base, HttpLimits::new(1000, SHORT)).await.unwrap_err();
        assert!(matches!(error, HttpError::TimedOut), "{head:?}: {error}");
        assert!(start.elapsed() >= SHORT && start.elapsed() < LONG / 2);
    }
}

#[tokio::test]
async fn https_without_tls_is_told_apart_from_all_other_failures() {
    let limits = HttpLimits::new(1000, LONG);
    let error = get("https://127.0.0.1:9/keys", limits).await.unwrap_err();
    assert!(matches!(error, HttpError::NoTls), "{error:?}");
    assert!(error.to_string().contains("TLS feature"), "{error}");

    let closes = Server::of(Does::Closes).await;
    let error = get(&closes.base, limits).await.unwrap_err();
    assert!(matches!(error, HttpError::Failed(_)), "{error:?}");
    let garbage = Server::of(Does::Sends("SSH-2.0-x\r\n\r\n".to_owned())).await;
    let error = get(&format!("{}/secret", garbage.base), limits).await.unwrap_err();
    assert!(matches!(error, HttpError::Failed(_)), "{error:?}");
    assert!(!error.to_string().contains("secret"), "{error}");
    // Nothing listens there.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = get(&base, limits).await.unwrap_err();
    assert!(matches!(error, HttpError::Failed(_)), "{error:?}");
}

#[tokio::test]
async fn keys_come_through_reqwest_from_an_issuer_on_this_machine() {
    let login: Arc<std::sync::OnceLock<TestIssuer>> = Arc::default();
    let named = login.clone();
    let server = Server::new(move |path, _, base| match (path, named.get()) {
        ("/.well-known/openid-configuration", _) => {
            ok(&format!(r#"{{"issuer":"{base}","jwks_uri":"{base}/jwks"}}"#))
        }
        ("/jwks", Some(login)) => ok(&login.jwks()),
        _ => Does::Sends(
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
        ),
    })
    .await;
    let login = login.get_or_init(|| TestIssuer::new(server.base.clone()));
    assert!(Issuer::discover(&server.base, client()).is_err());
    let issuer = Issuer::discover_without_tls_on_loopback(&server.base, client()).unwrap();
    let guard = Guard::new(ORDERS, issuer);
    let readiness = guard.ready().await;
    assert!(readiness.is_ready(), "{readiness}");
    assert_eq!(server.requests(), 3);
    let token = login.token(&ORDERS).subject("alice").scope("orders:read");
    assert_eq!(token.granted_by(&guard, READ).subject().name(), "alice");
}

#[tokio::test]
async fn a_client_without_tls_is_named_as_the_cause() {
    let guard = Guard::new(ORDERS, Issuer::discover("https://127.0.0.1:9", client()).unwrap());
    let readiness = guard.ready().await;
    let (_, status) = readiness.issuers().next().unwrap();
    assert_eq!(status.state, KeyState::Missing);
    let error = status.last_error.as_deref().unwrap_or_default();
    assert!(error.contains("has no TLS"), "{error}");
}
