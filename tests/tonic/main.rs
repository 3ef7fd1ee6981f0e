//! The guard before a server of tonic: in memory, over HTTP/2, with a clock that stands still.

#[path = "../../examples/orders_tonic/orders_v1.rs"]
mod orders_v1;

mod named;
mod rules;
mod status;
mod streams;

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use time::UtcDateTime;
use tokio::io::DuplexStream;
use tokio_stream::{Stream, StreamExt};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};
use tower::service_fn;
use unconfused::layer::{MethodRule, Rules};
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::{Audience, AuditEvent, Grant, Guard, Reason, Require, Scope};

use orders_v1::*;

const LOGIN: &str = "https://login.example";
const ORDERS: Audience = Audience::from_static("https://orders.example");
const READ: Scope = Scope::from_static("orders:read");
const WRITE: Scope = Scope::from_static("orders:write");
const REFUNDS: Scope = Scope::from_static("orders:refund");
const LARGE: Scope = Scope::from_static("orders:large");

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The moment of every test.
fn now() -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(1_800_000_000).unwrap()
}

fn login() -> &'static TestIssuer {
    static ISSUER: OnceLock<TestIssuer> = OnceLock::new();
    ISSUER.get_or_init(|| TestIssuer::new(LOGIN))
}

fn guard() -> Guard {
    Guard::new(ORDERS, login().issuer()).clock(now)
}

/// A good token, issued at the moment, for 5 minutes.
fn token(scope: &str) -> TestToken {
    login().token(&ORDERS).issued_at(now()).subject("alice").scope(scope)
}

fn rules() -> Rules {
    Rules::new().on(LIST, READ).on(REFUND, REFUNDS).on(WATCH, READ).on(PLACE, WRITE)
}

/// A request with this token.
fn with<M>(bearer: &str, message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", bearer.parse().unwrap());
    request
}

/// A client, and the connection on which a server finds it. The server never stops waiting for another.
async fn connected<S>(serve: impl FnOnce(Connections) -> S) -> OrdersClient
where
    S: Future<Output = Result<(), tonic::transport::Error>> + Send + 'static,
{
    let (client, server) = tokio::io::duplex(1 << 16);
    let connections = tokio_stream::once(Ok(server)).chain(tokio_stream::pending());
    tokio::spawn(serve(Box::pin(connections)));
    OrdersClient::new(channel_over(client).await)
}

type Connections = std::pin::Pin<Box<dyn Stream<Item = io::Result<DuplexStream>> + Send>>;

async fn channel_over(client: DuplexStream) -> Channel {
    let client = Mutex::new(Some(TokioIo::new(client)));
    let connector = service_fn(move |_| {
        let client = client.lock().unwrap().take();
        std::future::ready(client.ok_or_else(|| io::Error::other("there is one connection")))
    });
    let endpoint = Endpoint::from_static("http://orders.example");
    endpoint.connect_with_connector(connector).await.unwrap()
}

/// A service whose methods ask for the grant, as those of users do.
struct Shop {
    guard: Guard,
    /// The times of its events, in seconds.
    events: Vec<u64>,
}

impl Shop {
    fn new(guard: &Guard) -> Self {
        Shop { guard: guard.clone(), events: vec![0, 100, 200, 300, 400, 500] }
    }

    fn server(guard: &Guard) -> OrdersServer<Self> {
        OrdersServer::new(Shop::new(guard))
    }
}

impl Orders for Shop {
    async fn list(&self, request: Request<ListRequest>) -> Reply<ListReply> {
        let grant = Grant::of(request.extensions())?;
        let order = format!("7 of {} ({})", grant.subject().name(), grant.operation());
        Ok(Response::new(ListReply { orders: vec![order] }))
    }

    async fn refund(&self, request: Request<RefundRequest>) -> Reply<RefundReply> {
        let text = match Grant::option_of(request.extensions())? {
            Some(grant) => format!("refunded for {}", grant.subject().name()),
            None => "refunded without a grant".to_owned(),
        };
        Ok(Response::new(RefundReply { text }))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Reply<Answers<Event>> {
        Grant::of(request.extensions())?;
        let begin = tokio::time::Instant::now();
        let events = tokio_stream::iter(self.events.clone()).then(move |at| async move {
            tokio::time::sleep_until(begin + secs(at)).await;
            Ok(Event { text: format!("at {at}") })
        });
        // It never ends by itself.
        Ok(Response::new(Box::pin(events.chain(tokio_stream::pending()))))
    }

    async fn place(&self, request: Request<Streaming<NewOrder>>) -> Reply<Answers<Placed>> {
        let (_, extensions, orders) = request.into_parts();
        let (grant, guard) = (Grant::of(&extensions)?.clone(), self.guard.clone());
        let placed = orders.then(move |order| {
            let (grant, guard) = (grant.clone(), guard.clone());
            async move {
                let order = order?;
                if order.price > 1000 {
                    guard.narrow(&grant, LARGE).await?;
                }
                Ok(Placed { text: order.item })
            }
        });
        Ok(Response::new(Box::pin(placed)))
    }
}

fn all<'m>(metadata: &'m MetadataMap, name: &str) -> Vec<&'m str> {
    metadata.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}
