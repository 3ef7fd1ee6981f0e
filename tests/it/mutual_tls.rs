//! Tokens that are bound to a certificate, over real mutual TLS: the server of the example, and clients of rustls.

#[path = "../../examples/mutual_tls/main.rs"]
#[allow(dead_code, reason = "its `main`")]
mod example;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use example::client::{self, Made, made};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::rustls::client::ResolvesClientCert;
use tokio_rustls::rustls::crypto::ring::sign::any_supported_type;
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{ClientConfig, HandshakeKind, SignatureScheme};
use unconfused::testing::TestIssuer;

/// The server of the example; it ends when this is dropped.
struct Server {
    login: TestIssuer,
    made: Made,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let (login, made) = (client::login(), made().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = example::tls(made.certificate.clone(), made.key()).unwrap();
        let task = tokio::spawn(example::serve(listener, tls, example::api(login.issuer())));
        Server { login, made, address, task }
    }

    fn tls(&self, shown: Option<&Made>) -> ClientConfig {
        client::tls(&self.made, shown).unwrap()
    }

    /// Over a connection of its own.
    async fn get(&self, token: &str, shown: Option<&Made>) -> String {
        client::get(self.tls(shown), self.address, token).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn assert_passed(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\norders of alice"), "{answer}");
}

fn assert_refused(answer: &str, description: &str) {
    assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{answer}");
    let challenge =
        format!(r#"Bearer error="invalid_token", error_description="{description}", resource"#);
    assert!(answer.contains(&format!("\r\nwww-authenticate: {challenge}")), "{answer}");
}

// As `client_certificate_mismatch`, `client_certificate_missing` and `sender_constraint_required` are told.
const MISMATCH: &str = "The access token is bound to another client certificate";
const MISSING: &str = "The access token is bound to a client certificate, but none was presented";
const UNBOUND: &str = "The access token must be bound to a key";

#[tokio::test]
async fn the_right_certificate_passes_and_another_and_none_are_refused() {
    let server = Server::start().await;
    let (mine, other) = (made().unwrap(), made().unwrap());
    let token = client::token(&server.login, Some(&mine));
    assert_passed(&server.get(&token, Some(&mine)).await);
    assert_refused(&server.get(&token, Some(&other)).await, MISMATCH);
    assert_refused(&server.get(&token, None).await, MISSING);
    assert_passed(&server.get(&token, Some(&mine)).await);

    let others = client::token(&server.login, Some(&other));
    assert_refused(&server.get(&others, Some(&mine)).await, MISMATCH);
    assert_passed(&server.get(&others, Some(&other)).await);

    let unbound = client::token(&server.login, None);
    for shown in [Some(&mine), None] {
        assert_refused(&server.get(&unbound, shown).await, UNBOUND);
    }
}

#[tokio::test]
async fn each_request_of_a_connection_has_its_certificate() {
    let server = Server::start().await;
    let (mine, other) = (made().unwrap(), made().unwrap());
    let tokens = [&mine, &other, &mine].map(|made| client::token(&server.login, Some(made)));
    let mut connection = client::connect(server.tls(Some(&mine)), server.address).await.unwrap();
    for (number, token) in tokens.iter().enumerate() {
        let last = if number == 2 { "connection: close\r\n" } else { "" };
        let request = format!(
            "GET /orders HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n{last}\r\n"
        );
        connection.write_all(request.as_bytes()).await.unwrap();
    }
    let mut answers = String::new();
    connection.read_to_string(&mut answers).await.unwrap();
    let places: Vec<_> = answers.match_indices("HTTP/1.1 ").map(|(at, _)| at).collect();
    let [first, second, third] = places[..] else { panic!("{answers}") };
    assert_passed(&answers[first..second]);
    assert_refused(&answers[second..third], MISMATCH);
    assert_passed(&answers[third..]);
}

/// A resumed session sends no certificate; the server knows the one of the session.
#[tokio::test]
async fn a_resumed_session_has_its_certificate() {
    let server = Server::start().await;
    let (mine, other) = (made().unwrap(), made().unwrap());
    let token = client::token(&server.login, Some(&mine));
    for (shown, passes) in [(&mine, true), (&other, false)] {
        let tls = Arc::new(server.tls(Some(shown)));
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let connection = client::connect(tls.clone(), server.address).await.unwrap();
            assert_eq!(connection.get_ref().1.handshake_kind(), Some(kind));
            let answer = client::get_over(connection, &token).await.unwrap();
            match passes {
                true => assert_passed(&answer),
                false => assert_refused(&answer, MISMATCH),
            }
        }
    }
}

/// Shows a certificate, and signs with another key: a certificate is not a secret.
#[derive(Debug)]
struct Thief(Arc<CertifiedKey>);

impl ResolvesClientCert for Thief {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_certificate_without_its_key_gets_no_connection() {
    let server = Server::start().await;
    let (mine, thiefs) = (made().unwrap(), made().unwrap());
    let token = client::token(&server.login, Some(&mine));
    for (key, passes) in [(&mine, true), (&thiefs, false)] {
        let key = any_supported_type(&key.key()).unwrap();
        let shown = CertifiedKey::new(vec![mine.certificate.clone()], key);
        let mut tls = server.tls(None);
        tls.client_auth_cert_resolver = Arc::new(Thief(Arc::new(shown)));
        let answer: io::Result<String> = client::get(tls, server.address, &token).await;
        match passes {
            true => assert_passed(&answer.unwrap()),
            false => {
                let refused = answer.unwrap_err().to_string();
                assert!(refused.contains("DecryptError"), "{refused}");
            }
        }
    }
}
