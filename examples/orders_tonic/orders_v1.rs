//! `orders.proto` in Rust: what a build script with `tonic-prost-build` generates for you, and shorter. It knows nothing
//! of guards.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio_stream::Stream;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

pub(crate) const LIST: &str = "/orders.v1.Orders/List";
pub(crate) const REFUND: &str = "/orders.v1.Orders/Refund";
pub(crate) const WATCH: &str = "/orders.v1.Orders/Watch";
pub(crate) const PLACE: &str = "/orders.v1.Orders/Place";

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListRequest {}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListReply {
    #[prost(string, repeated, tag = "1")]
    pub(crate) orders: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RefundRequest {
    #[prost(uint64, tag = "1")]
    pub(crate) order: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RefundReply {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WatchRequest {}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Event {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct NewOrder {
    #[prost(string, tag = "1")]
    pub(crate) item: String,
    #[prost(uint64, tag = "2")]
    pub(crate) price: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Placed {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
}

/// A stream of answers.
pub(crate) type Answers<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;
/// The answer of a method.
pub(crate) type Reply<M> = Result<Response<M>, Status>;

/// The methods of the service.
pub(crate) trait Orders: Send + Sync + 'static {
    fn list(&self, request: Request<ListRequest>) -> impl Future<Output = Reply<ListReply>> + Send;

    fn refund(
        &self,
        request: Request<RefundRequest>,
    ) -> impl Future<Output = Reply<RefundReply>> + Send;

    fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> impl Future<Output = Reply<Answers<Event>>> + Send;

    fn place(
        &self,
        request: Request<Streaming<NewOrder>>,
    ) -> impl Future<Output = Reply<Answers<Placed>>> + Send;
}

/// The service, for the server of tonic.
pub(crate) struct OrdersServer<T>(Arc<T>);

impl<T> OrdersServer<T> {
    pub(crate) fn new(orders: T) -> Self {
        OrdersServer(Arc::new(orders))
    }
}

impl<T> Clone for OrdersServer<T> {
    fn clone(&self) -> Self {
        OrdersServer(self.0.clone())
    }
}

impl<T> NamedService for OrdersServer<T> {
    const NAME: &'static str = "orders.v1.Orders";
}

impl<T: Orders> Service<http::Request<Body>> for OrdersServer<T> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        use tonic::server::Grpc;

        let orders = self.0.clone();
        Box::pin(async move {
            Ok(match request.uri().path() {
                LIST => {
                    let list = service_fn(|message| orders.list(message));
                    Grpc::new(ProstCodec::default()).unary(list, request).await
                }
                REFUND => {
                    let refund = service_fn(|message| orders.refund(message));
                    Grpc::new(ProstCodec::default()).unary(refund, request).await
                }
                WATCH => {
                    let watch = service_fn(|message| orders.watch(message));
                    Grpc::new(ProstCodec::default()).server_streaming(watch, request).await
                }
                PLACE => {
                    let place = service_fn(|messages| orders.place(messages));
                    Grpc::new(ProstCodec::default()).streaming(place, request).await
                }
                _ => Status::unimplemented("").into_http(),
            })
        })
    }
}

/// A client of the service.
#[derive(Clone)]
pub(crate) struct OrdersClient(Channel);

impl OrdersClient {
    pub(crate) fn new(channel: Channel) -> Self {
        OrdersClient(channel)
    }

    pub(crate) async fn list(&self, request: Request<ListRequest>) -> Reply<ListReply> {
        self.ready().await?.unary(request, path(LIST), ProstCodec::default()).await
    }

    pub(crate) async fn refund(&self, request: Request<RefundRequest>) -> Reply<RefundReply> {
        self.ready().await?.unary(request, path(REFUND), ProstCodec::default()).await
    }

    pub(crate) async fn watch(&self, request: Request<WatchRequest>) -> Reply<Streaming<Event>> {
        self.ready().await?.server_streaming(request, path(WATCH), ProstCodec::default()).await
    }

    pub(crate) async fn place<S>(&self, request: Request<S>) -> Reply<Streaming<Placed>>
    where
        S: Stream<Item = NewOrder> + Send + 'static,
    {
        self.ready().await?.streaming(request, path(PLACE), ProstCodec::default()).await
    }

    async fn ready(&self) -> Result<tonic::client::Grpc<Channel>, Status> {
        let mut grpc = tonic::client::Grpc::new(self.0.clone());
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(grpc)
    }
}

fn path(path: &'static str) -> http::uri::PathAndQuery {
    http::uri::PathAndQuery::from_static(path)
}
