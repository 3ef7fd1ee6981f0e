//! The login service, and clients of the API whose certificates are self-signed.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use unconfused::proof::ClientCertificate;
use unconfused::testing::TestIssuer;

use super::ORDERS;

/// A self-signed certificate and its key.
pub(crate) struct Made {
    pub(crate) certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Made {
    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone().into())
    }
}

pub(crate) fn made() -> Result<Made, rcgen::Error> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()])?;
    Ok(Made { certificate: cert.der().clone(), key: signing_key.serialize_der() })
}

pub(crate) fn login() -> TestIssuer {
    TestIssuer::new("https://login.example")
}

/// Returns a token as issued to a client that showed this certificate.
pub(crate) fn token(login: &TestIssuer, bound_to: Option<&Made>) -> String {
    let token = login.token(&ORDERS).scope("orders:read");
    match bound_to {
        Some(made) => {
            token.bound_to_certificate(ClientCertificate::from_der(&made.certificate)).sign()
        }
        None => token.sign(),
    }
}

/// Returns the TLS settings of a client that trusts this server and shows this certificate.
pub(crate) fn tls(server: &Made, shown: Option<&Made>) -> Result<ClientConfig, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(server.certificate.clone())?;
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(match shown {
        Some(made) => client.with_client_auth_cert(vec![made.certificate.clone()], made.key())?,
        None => client.with_no_client_auth(),
    })
}

pub(crate) async fn connect(
    tls: impl Into<Arc<ClientConfig>>,
    address: SocketAddr,
) -> io::Result<TlsStream<TcpStream>> {
    let connection = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    TlsConnector::from(tls.into()).connect(name, connection).await
}

/// Sends a request and returns the answer as it was received.
pub(crate) async fn get(
    tls: impl Into<Arc<ClientConfig>>,
    address: SocketAddr,
    token: &str,
) -> io::Result<String> {
    get_over(connect(tls, address).await?, token).await
}

pub(crate) async fn get_over(
    mut connection: TlsStream<TcpStream>,
    token: &str,
) -> io::Result<String> {
    let request = format!(
        "GET /orders HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(answer)
}
