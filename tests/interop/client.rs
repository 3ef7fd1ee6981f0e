//! A client that is none of ours: a process of Node's, which makes proofs by a library of its own. What it does is
//! written in `server/client.mjs`. And the wire between it and the service, with a listener on it.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, block_in_place};

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/server/client.mjs");

/// A running client. It ends with this.
pub(crate) struct Client {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Client {
    /// Of this authorization server, for this resource, with a proof key for this algorithm.
    pub(crate) fn start(issuer: &str, resource: &str, algorithm: &str) -> Self {
        let mut child = Command::new("node")
            .args([CLIENT, issuer, resource, algorithm])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Client { child, input, output: BufReader::new(output) }
    }

    /// What it answers to this command. Needs a runtime of several threads, since it may ask this process meanwhile.
    pub(crate) fn tell(&mut self, command: &Value) -> Value {
        block_in_place(|| {
            writeln!(self.input, "{command}").unwrap();
            let mut line = String::new();
            self.output.read_line(&mut line).unwrap();
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("no answer to {command}"))
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Where it has ended already, there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The way to a service: hands on every byte, and keeps what clients sent. It ends with this.
pub(crate) struct Wire {
    task: JoinHandle<()>,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Wire {
    pub(crate) fn between(listener: TcpListener, service: SocketAddr) -> Self {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let heard = sent.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(hand_on(client, service, heard.clone()));
            }
        });
        Wire { task, sent }
    }

    /// The requests so far, none of which has a body, as they were sent.
    pub(crate) fn requests(&self) -> Vec<String> {
        let sent = String::from_utf8(self.sent.lock().unwrap().clone()).unwrap();
        sent.split_inclusive("\r\n\r\n").map(str::to_owned).collect()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn hand_on(client: TcpStream, service: SocketAddr, heard: Arc<Mutex<Vec<u8>>>) {
    let Ok(service) = TcpStream::connect(service).await else { return };
    let ((mut from_client, mut to_client), (mut from_service, mut to_service)) =
        (client.into_split(), service.into_split());
    let back = tokio::spawn(async move {
        tokio::io::copy(&mut from_service, &mut to_client).await.unwrap_or(0)
    });
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
        heard.lock().unwrap().extend(&bytes[..read]);
        if to_service.write_all(&bytes[..read]).await.is_err() {
            break;
        }
    }
    back.abort();
}

/// What a service answers to these bytes: its head and its body.
pub(crate) async fn send(service: SocketAddr, request: &str) -> (String, String) {
    let mut connection = TcpStream::connect(service).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        if let Some((head, body)) = std::str::from_utf8(&answer).unwrap().split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() == length.map_or(0, |length| length.parse().unwrap()) {
                return (head, body.to_owned());
            }
        }
        assert!(connection.read_buf(&mut answer).await.unwrap() > 0, "the service hangs up");
    }
}
