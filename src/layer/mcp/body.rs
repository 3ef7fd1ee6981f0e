//! The bodies on both sides of the layer.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::layer::until_expiry::UntilExpiry;

/// The body of a request that reaches the server behind a [`ToolsLayer`](super::ToolsLayer): the bytes that were read
/// and authorized. Empty for GET and DELETE.
///
/// It is an `http_body::Body`. Read it with `collect` of `http-body-util`, or make another body of it, for instance with
/// `axum::body::Body::new`. Behind `Router::layer`, axum does that itself.
#[derive(Clone, Default)]
pub struct MessageBody(Option<Bytes>);

impl MessageBody {
    pub(super) fn new(bytes: Bytes) -> Self {
        MessageBody(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

impl Body for MessageBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.0.as_ref().map_or(0, Bytes::len);
        SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
    }
}

impl fmt::Debug for MessageBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessageBody(..)")
    }
}

pin_project! {
    /// The body of a response of a [`ToolsService`](super::ToolsService): that of the server, which ends with its
    /// token, or the JSON-RPC error of a denial.
    pub struct ToolsBody<B: Body> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<B: Body> {
        Server { #[pin] body: UntilExpiry<B> },
        Own { body: MessageBody },
    }
}

impl<B: Body> ToolsBody<B> {
    pub(super) fn server(body: UntilExpiry<B>) -> Self {
        ToolsBody { kind: Kind::Server { body } }
    }

    pub(super) fn own(bytes: Bytes) -> Self {
        ToolsBody { kind: Kind::Own { body: MessageBody::new(bytes) } }
    }
}

/// An empty body.
impl<B: Body> Default for ToolsBody<B> {
    fn default() -> Self {
        ToolsBody::own(Bytes::new())
    }
}

impl<B> Body for ToolsBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.project().kind.project() {
            KindProjection::Server { body } => body.poll_frame(cx),
            KindProjection::Own { body } => {
                Pin::new(body).poll_frame(cx).map_err(|never| match never {})
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Server { body } => body.is_end_stream(),
            Kind::Own { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Server { body } => body.size_hint(),
            Kind::Own { body } => body.size_hint(),
        }
    }
}

impl<B: Body> fmt::Debug for ToolsBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ToolsBody(..)")
    }
}
