//! A server in a thread of its own, and a client that keeps it busy over a few connections.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use cpu_time::ThreadTime;
use http::header;
use tokio::sync::oneshot;
use tower::Service as _;

use super::{VERIFIED_IN, median};
use crate::lab::{self, Fallible, PATH, Wire};

/// The server finds so many requests waiting each time it looks.
const CONNECTIONS: usize = 8;
/// What comes once is not measured.
const WARM_UP: usize = 16;

/// So many requests are one turn, and the median of all turns counts. To ask for the time is one more in each.
const TURN: usize = 80;

/// Of the server's thread.
pub struct Sample {
    /// CPU time of one request, in nanoseconds.
    pub nanos: f64,
    /// What each verification in a handler took.
    pub verified_in: Vec<f64>,
}

/// How the client waits for an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// It looks again and again, so that the server's thread wakes no one, as if the client were another machine.
    Awake,
    /// The kernel wakes it, in the server's thread and at its cost, if both are on one machine.
    Asleep,
}

/// Sends one request with each token, after these older ones have been handled without a server.
pub fn measure(
    router: Router,
    older: &[String],
    tokens: Vec<&str>,
    waits: Waits,
) -> Fallible<Sample> {
    let cpu = || async { ThreadTime::now().as_duration().as_nanos().to_string() };
    let app = router.clone().route("/cpu", get(cpu));
    let (tell, address) = mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let runtime = lab::foreground().expect("a runtime");
            runtime.block_on(async {
                handle(router, older).await;
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
                tell.send(listener.local_addr()?).expect("it waits");
                tokio::spawn(async move { axum::serve(listener, app).await });
                let _ = stopped.await;
                std::io::Result::Ok(VERIFIED_IN.take())
            })
        });
        let mut client = Client::new(address.recv()?, waits)?;
        client.send(&tokens[..WARM_UP.min(tokens.len())])?;
        let measured = &tokens[WARM_UP.min(tokens.len() / 2)..];
        let (mut before, mut turns) = (client.server_time()?, Vec::new());
        for turn in measured.chunks(TURN) {
            client.send(turn)?;
            let now = client.server_time()?;
            turns.push((now - before) / turn.len() as f64);
            before = now;
        }
        let nanos = median(&turns);
        let _ = stop.send(());
        let verified_in = server.join().expect("it ended")?;
        Ok(Sample { nanos, verified_in })
    })
}

async fn handle(mut router: Router, tokens: &[String]) {
    for token in tokens {
        let Ok(answer) = router.call(Wire::new(token).request::<Body>()).await;
        assert!(answer.status().is_success());
    }
}

struct Client {
    connections: Vec<TcpStream>,
}

impl Client {
    fn new(server: SocketAddr, waits: Waits) -> Fallible<Self> {
        let connect = |_| {
            let connection = TcpStream::connect(server)?;
            connection.set_nodelay(true)?;
            connection.set_nonblocking(waits == Waits::Awake)?;
            std::io::Result::Ok(connection)
        };
        Ok(Client { connections: (0..CONNECTIONS).map(connect).collect::<Result<_, _>>()? })
    }

    /// One request with each token; the next on a connection once the last one is answered.
    fn send(&mut self, tokens: &[&str]) -> Fallible<()> {
        for tokens in tokens.chunks(CONNECTIONS) {
            let busy = || self.connections.iter().zip(tokens);
            for (mut connection, token) in busy() {
                connection.write_all(request(token).as_bytes())?;
            }
            for (connection, _) in busy() {
                answer(connection)?;
            }
        }
        Ok(())
    }

    /// The CPU time of the server's thread, in nanoseconds.
    fn server_time(&mut self) -> Fallible<f64> {
        let mut connection = &self.connections[0];
        connection.write_all(b"GET /cpu HTTP/1.1\r\nhost: orders.example\r\n\r\n")?;
        Ok(answer(connection)?.parse()?)
    }
}

fn request(token: &str) -> String {
    let authorization = header::AUTHORIZATION;
    format!(
        "POST {PATH} HTTP/1.1\r\nhost: orders.example\r\nuser-agent: support-agent/1.4\r\n\
         accept: application/json\r\naccept-encoding: gzip, br\r\ncontent-length: 0\r\n\
         {authorization}: Bearer {token}\r\n\r\n"
    )
}

/// The body of the next response, which comes in one piece.
fn answer(mut connection: &TcpStream) -> Fallible<String> {
    let (mut read, mut buffer) = (0, [0; 1024]);
    loop {
        let more = match connection.read(&mut buffer[read..]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // Not at once, since to look takes the lock of the socket.
                (0..64).for_each(|_| std::hint::spin_loop());
                continue;
            }
            more => more?,
        };
        read += more;
        let text = std::str::from_utf8(&buffer[..read])?;
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            return Ok(body.to_owned());
        }
        if more == 0 {
            return Err("the server closed the connection".into());
        }
    }
}
