//! An API behind mutual TLS, for tokens that are bound to the certificate of the client (RFC 8705). This process
//! terminates TLS itself, so it sees the certificate of the connection.
//!
//!     cargo run --example mutual_tls
//!
//! This file is what you would write. `client.rs` stands in for the login service and the clients.
//!
//! With tonic, the guard is a layer of the server (`Server::builder().layer(..)`). Its TLS puts the certificates into
//! the extensions of each request, so only the closure that finds them differs:
//!
//! ```ignore
//! guard.client_certificate(|parts| {
//!     let tls = parts.extensions.get::<TlsConnectInfo<TcpConnectInfo>>()?;
//!     Some(ClientCertificate::from_der(tls.peer_certs()?.first()?))
//! })
//! ```

pub(crate) mod client;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    self, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
};
use tower::ServiceExt;
use unconfused::proof::ClientCertificate;
use unconfused::{Audience, Grant, Guard, Issuer, Scope};

pub(crate) const ORDERS: Audience = Audience::from_static("https://orders.example");
const READ: Scope = Scope::from_static("orders:read");

pub(crate) fn api(issuer: Issuer) -> Router {
    let guard = Guard::new(ORDERS, issuer)
        .client_certificate(ClientCertificate::from_connection)
        // Every token must be bound, so a stolen one is useless.
        .sender_constrained();
    Router::new().route("/orders", get(list).route_layer(guard.require(READ)))
}

async fn list(grant: Grant) -> String {
    format!("orders of {}", grant.subject().name())
}

/// Returns the TLS settings of the server. A client may show any certificate: the token says which one it must be.
pub(crate) fn tls(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(AnyCertificate(provider)))
        .with_single_cert(vec![certificate], key)
}

/// Asks for a certificate, and accepts any, self-signed ones too, and none (RFC 8705 section 4). It does check that the
/// client holds the key of the certificate, since the certificate itself is public.
///
/// If one authority issues the certificates of your clients, use `WebPkiClientVerifier` instead.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyCertificate {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

pub(crate) async fn serve(listener: TcpListener, tls: ServerConfig, app: Router) {
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                tokio::spawn(serve_connection(acceptor.clone(), connection, app.clone()));
            }
            // Most likely too many files are open.
            Err(_) => sleep(Duration::from_secs(1)).await,
        }
    }
}

async fn serve_connection(acceptor: TlsAcceptor, connection: TcpStream, app: Router) {
    let handshake = timeout(Duration::from_secs(10), acceptor.accept(connection));
    let Ok(Ok(connection)) = handshake.await else { return };
    // The first one is the client's own.
    let certificates = connection.get_ref().1.peer_certificates();
    let certificate = certificates.and_then(|chain| chain.first()).map(ClientCertificate::from_der);
    let app = app.map_request(move |request: Request<_>| {
        let mut request = request.map(Body::new);
        if let Some(certificate) = certificate {
            request.extensions_mut().insert(certificate);
        }
        request
    });
    let service = TowerToHyperService::new(app);
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
    // If the connection breaks, there is no one to tell.
    let _ = server.serve_connection(TokioIo::new(connection), service).await;
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let login = client::login();
    let (server, mine, other) = (client::made()?, client::made()?, client::made()?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let tls = tls(server.certificate.clone(), server.key())?;
    tokio::spawn(serve(listener, tls, api(login.issuer())));

    let token = client::token(&login, Some(&mine));
    let unbound = client::token(&login, None);
    for (what, token, shown) in [
        ("a bound token, with its certificate", &token, Some(&mine)),
        ("a bound token, with another certificate", &token, Some(&other)),
        ("a bound token, without a certificate", &token, None),
        ("a token that is not bound", &unbound, Some(&mine)),
    ] {
        let tls = client::tls(&server, shown)?;
        let answer = client::get(tls, address, token).await?;
        println!("{what}:");
        let relevant =
            |line: &&str| line.starts_with("HTTP/1.1 ") || line.starts_with("www-authenticate: ");
        answer.lines().filter(relevant).for_each(|line| println!("    {line}"));
    }
    Ok(())
}
