//! A layer around an HTTP client: tokens go to their own resource, and credentials nowhere else.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Request;
use http::header::AUTHORIZATION;
use tower_layer::Layer;
use tower_service::Service;

use super::future::{HopFuture, HopServiceError};
use super::hop::NextHop;
use super::outbound_token::{AttachError, OutboundToken, TXN_TOKEN, Target};
use crate::credential::DPOP;

/// Makes sure that a tower HTTP client sends a credential to the resource of one hop and to no other.
///
/// Put the [`OutboundToken`] into the extensions of a request. The layer removes it from there and
/// [attaches](OutboundToken::attach) it. Each request is checked:
///
/// - one with a token of another hop, or to another origin than the token's, is not sent and fails with
///   [`HopServiceError::Refused`];
/// - one to another origin that has `Authorization`, `DPoP` or `Txn-Token` fails too, for instance after a redirect, if the
///   layer stands inside of what follows redirects;
/// - one without any of these is sent as it is.
///
/// Put it next to the client. A layer inside of it that changes the URL or `Host` sends the credential to where that leads.
///
/// ```
/// # #[cfg(feature = "testing")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
/// use unconfused::next_hop::{ClientAuth, NextHop, NextHopLayer};
/// use unconfused::{Require, Scope};
/// # use unconfused::testing::TestIssuer;
/// # let client = TestIssuer::new("https://login.example").client();
///
/// let payments = NextHop::discover("https://login.example", ClientAuth::tls("orders"), client)?
///     .to("https://payments.example", [Scope::from_static("payments:charge")])?
///     .needs(Require::valid_token());
///
/// // Stands in for an HTTP client.
/// let http = service_fn(async |_: http::Request<()>| Ok::<_, std::io::Error>(http::Response::new(())));
/// let http = ServiceBuilder::new().layer(NextHopLayer::new(&payments)).service(http);
///
/// let stolen = http::Request::get("https://evil.example/").header("authorization", "Bearer t").body(())?;
/// assert!(http.clone().oneshot(stolen).await.is_err());
/// let plain = http::Request::get("https://evil.example/").body(())?;
/// assert!(http.oneshot(plain).await.is_ok());
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "testing"))]
/// # fn main() {}
/// ```
#[derive(Clone)]
pub struct NextHopLayer {
    target: Arc<Target>,
}

impl NextHopLayer {
    /// Creates the layer for the tokens of this hop.
    #[must_use]
    pub fn new(hop: &NextHop) -> Self {
        NextHopLayer { target: hop.target().clone() }
    }
}

impl<S> Layer<S> for NextHopLayer {
    type Service = NextHopService<S>;

    fn layer(&self, inner: S) -> NextHopService<S> {
        NextHopService { inner, target: self.target.clone() }
    }
}

impl fmt::Debug for NextHopLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NextHopLayer({:?})", self.target.resource)
    }
}

/// The client that [`NextHopLayer`] makes.
#[derive(Clone)]
pub struct NextHopService<S> {
    inner: S,
    target: Arc<Target>,
}

impl<S> NextHopService<S> {
    fn check<B>(&self, request: &mut Request<B>) -> Result<(), AttachError> {
        let elsewhere = || AttachError::OtherOrigin { expected: self.target.origin.to_string() };
        if let Some(token) = request.extensions_mut().remove::<OutboundToken>() {
            if !Arc::ptr_eq(token.target(), &self.target) {
                return Err(elsewhere());
            }
            return token.attach(request);
        }
        let headers = request.headers();
        let has_credential =
            [AUTHORIZATION, DPOP, TXN_TOKEN].iter().any(|name| headers.contains_key(name));
        match has_credential && !self.target.is_at(request.uri(), headers) {
            true => Err(elsewhere()),
            false => Ok(()),
        }
    }
}

impl<S, B> Service<Request<B>> for NextHopService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = HopServiceError<S::Error>;
    type Future = HopFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(HopServiceError::Client)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.check(&mut request) {
            Ok(()) => HopFuture::sent(self.inner.call(request)),
            Err(refused) => HopFuture::refused(refused),
        }
    }
}

impl<S> fmt::Debug for NextHopService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NextHopService({:?})", self.target.resource)
    }
}
