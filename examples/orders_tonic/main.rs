//! A gRPC server behind a guard: what each method requires, streams that end with their token, and what clients are told.
//!
//!     cargo run --example orders_tonic
//!     cargo run --example orders_tonic -- --serve 8080     keeps running, and prints grpcurl commands to try
//!
//! This file is what you would write. `orders_v1.rs` stands in for code that is generated from `orders.proto`, and
//! `story.rs` for the login service and the agents. The first command ends with status 1 if an answer is not the expected
//! one.

mod orders_v1;
mod story;

use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::IntervalStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Streaming};
use unconfused::layer::{MethodRule, Rules};
use unconfused::{Acr, Audience, Audit, Grant, Guard, Issuer, Party, Require, Scope};

use orders_v1::{
    Answers, Event, ListReply, ListRequest, NewOrder, Orders, OrdersServer, Placed, RefundReply,
    RefundRequest, Reply, WatchRequest,
};

/// The name of this API, which tokens must be meant for.
const ORDERS: Audience = Audience::from_static("https://orders.example");
const LOGIN: &str = "https://login.example";

const READ: Scope = Scope::from_static("orders:read");
const WRITE: Scope = Scope::from_static("orders:write");
const WRITE_LARGE: Scope = Scope::from_static("orders:write-large");
const REFUND: Scope = Scope::from_static("orders:refund");

/// What the login service calls a login with a passkey: phishing-resistant.
const PASSKEY: Acr = Acr::from_static("phr");
const FIVE_MINUTES: Duration = Duration::from_secs(300);

fn guard(issuer: Issuer, record: impl Audit) -> Guard {
    Guard::new(ORDERS, issuer).audit(record)
}

/// What each method requires. A method that is not listed is refused.
fn rules() -> Rules {
    // A refund costs money, so the user must have logged in with a passkey in the last five minutes.
    let refund = Require::scope(REFUND).acr([PASSKEY]).max_age(FIVE_MINUTES);
    Rules::new()
        .on("/orders.v1.Orders/List", READ)
        .on("/orders.v1.Orders/Watch", READ)
        .on("/orders.v1.Orders/Place", WRITE)
        .on("/orders.v1.Orders/Refund", MethodRule::requiring(refund).named("orders.refund"))
}

async fn serve(listener: TcpListener, guard: Guard) -> Result<(), tonic::transport::Error> {
    Server::builder()
        // By default, a request with more than 16 KiB of metadata does not reach the guard. A token may be that long.
        .http2_max_header_list_size(64 * 1024)
        // Before the whole server. Streams end when their token does.
        .layer(guard.rules(rules()).until_expiry())
        .add_service(OrdersServer::new(Shop { guard }))
        .serve_with_incoming(TcpIncoming::from(listener))
        .await
}

struct Shop {
    guard: Guard,
}

// Each method asks for the grant. If no guard stands before it, the answer is `INTERNAL`. A denial becomes a status, with
// all that the client needs to come back.
impl Orders for Shop {
    async fn list(&self, request: Request<ListRequest>) -> Reply<ListReply> {
        let grant = Grant::of(request.extensions())?;
        let subject = grant.subject();
        let orders = match grant.actor() {
            Some(agent) => vec![format!("order 7 of {}, read by {}", subject.name(), agent.name())],
            None => vec![format!("order 7 of {}", subject.name())],
        };
        Ok(Response::new(ListReply { orders }))
    }

    async fn refund(&self, request: Request<RefundRequest>) -> Reply<RefundReply> {
        let grant = Grant::of(request.extensions())?;
        let order = request.get_ref().order;
        // The scope does not say which order: that is a rule of ours.
        if owner_of(order) != Some(grant.subject()) {
            return Err(self.guard.refuse_for(grant, "not the owner").into());
        }
        let text = format!("order {order} of {} refunded", grant.subject().name());
        Ok(Response::new(RefundReply { text }))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Reply<Answers<Event>> {
        let subject = Grant::of(request.extensions())?.subject().name().to_owned();
        let seconds = IntervalStream::new(tokio::time::interval(Duration::from_secs(1)));
        // It never ends by itself.
        let events = seconds.map(move |_| Ok(Event { text: format!("an order for {subject}") }));
        Ok(Response::new(Box::pin(events)))
    }

    async fn place(&self, request: Request<Streaming<NewOrder>>) -> Reply<Answers<Placed>> {
        let (_, extensions, orders) = request.into_parts();
        let grant = Grant::of(&extensions)?.clone();
        let guard = self.guard.clone();
        let placed = orders.then(move |order| {
            let (guard, grant) = (guard.clone(), grant.clone());
            async move {
                let NewOrder { item, price } = order?;
                // Refuses in the middle of the stream, and ends it.
                if price > 1000 {
                    guard.narrow(&grant, WRITE_LARGE).await?;
                }
                Ok(Placed { text: format!("{item} ordered for {}", grant.subject().name()) })
            }
        });
        Ok(Response::new(Box::pin(placed)))
    }
}

/// Stands in for a database. An owner is an issuer and a name, since another issuer may have an alice too.
fn owner_of(order: u64) -> Option<Party<'static>> {
    match order {
        7 => Some(Party::new(LOGIN, "alice")),
        8 => Some(Party::new(LOGIN, "bob")),
        _ => None,
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match (&args[..], args.get(1).unwrap_or(&"0").parse()) {
        ([], _) => story::story().await,
        (["--serve"] | ["--serve", _], Ok(port)) => story::serve(port).await,
        _ => {
            eprintln!("usage: orders_tonic [--serve [PORT]]");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("orders_tonic: {error}");
            ExitCode::FAILURE
        }
    }
}
