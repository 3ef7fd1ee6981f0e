//! Stands in for the login service, the agents, and the reader of the record.

use std::error::Error;
use std::sync::mpsc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::Instant;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::StatusExt;
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::token::TokenLimits;
use unconfused::{Audience, AuditEvent, Reason};

use crate::orders_v1::{
    Event, ListRequest, NewOrder, OrdersClient, Placed, RefundRequest, Reply, WatchRequest,
};
use crate::{LOGIN, ORDERS, guard};

/// A token with which support-agent acts for alice, who logged in with a password an hour ago.
fn acting(login: &TestIssuer, audience: &Audience, scope: &str) -> TestToken {
    let token = login.token(audience).subject("alice").client("agent-app").actor("support-agent");
    token.scope(scope).acr("pwd").authenticated(Duration::from_secs(3600))
}

/// The token after alice logged in again, just now and with a passkey.
fn just_now(token: TestToken) -> TestToken {
    token.acr("phr").authenticated(Duration::ZERO)
}

/// What an agent calls.
#[derive(Clone, Copy)]
enum Call<'a> {
    List,
    Refund(u64),
    Place(&'a [(&'a str, u64)]),
    Watch,
}

/// A call: what happens, what is called, the token, how many messages come back, and the reason of a denial.
type Step<'a> = (&'a str, Call<'a>, Option<&'a TestToken>, usize, Option<Reason>);

/// Makes calls as agents do, and prints what happens. Fails if an answer is not as expected.
pub(crate) async fn story() -> Result<(), Box<dyn Error>> {
    // Your service uses `Issuer::discover` instead, with the URL of your login service.
    let login = TestIssuer::new(LOGIN);
    let (sink, record) = mpsc::channel();
    let guard = guard(login.issuer(), move |event: &AuditEvent<'_>| {
        // Fails only if the story has ended.
        let _ = sink.send((event.reason(), line(event)));
    });
    // By default, a stream goes on for 30 seconds after its token, as clocks may differ. Here it has one clock.
    let guard = guard.limits(TokenLimits::default().leeway(Duration::ZERO));
    // Without TLS, so only on the loopback address. A real API needs TLS.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(crate::serve(listener, guard));

    println!("{ORDERS} runs at {url} for this example. It accepts tokens of {LOGIN}.");
    println!("Below are the calls, each with its answer and its audit record.");
    println!("Challenges are shortened after the first one.");

    let reads = acting(&login, &ORDERS, "orders:read");
    let elsewhere =
        acting(&login, &Audience::from_static("https://gateway.example"), "orders:read");
    let writes = acting(&login, &ORDERS, "orders:write");
    let writes_large = acting(&login, &ORDERS, "orders:write orders:write-large");
    let refunds = acting(&login, &ORDERS, "orders:refund");
    let refunds_now = just_now(refunds.clone());
    let brief = reads.clone().lifetime(Duration::from_secs(3));
    let basket = &[("a teapot", 20), ("a palace", 5000), ("a spoon", 1)];
    #[rustfmt::skip]
    let steps: [Step<'_>; 10] = [
        ("An agent sends no token. The challenge names the scope it needs, and where to ask.",
            Call::List, None, 0, Some(Reason::MissingCredentials)),
        ("With a token that says that support-agent acts for alice, it reads her orders.",
            Call::List, Some(&reads), 1, None),
        ("A gateway forwards a token that was meant for itself, https://gateway.example.",
            Call::List, Some(&elsewhere), 0, Some(Reason::AudienceMismatch)),
        ("It refunds an order, but alice logged in an hour ago and with a password.",
            Call::Refund(7), Some(&refunds), 0, Some(Reason::AuthenticationLevelInsufficient)),
        ("Alice logs in again with her passkey, as the challenge asked. The new token passes.",
            Call::Refund(7), Some(&refunds_now), 1, None),
        ("It tries to refund bob's order too. The guard allows it, and the method refuses.",
            Call::Refund(8), Some(&refunds_now), 0, Some(Reason::PolicyDenied)),
        ("It places three orders in one stream, with a token that may only read.",
            Call::Place(basket), Some(&reads), 0, Some(Reason::InsufficientScope)),
        ("With a token that may write. The second order is too large for it, which ends the stream.",
            Call::Place(basket), Some(&writes), 1, Some(Reason::InsufficientScope)),
        ("With a token for large orders, all three are placed.",
            Call::Place(basket), Some(&writes_large), 3, None),
        ("It watches the orders. The token expires after three seconds, and the stream ends with it.",
            Call::Watch, Some(&brief), 3, Some(Reason::TokenExpired)),
    ];

    let channel = Endpoint::from_shared(url)?.connect().await?;
    let (client, begin) = (OrdersClient::new(channel), Instant::now());
    for (number, (what, call, token, messages, reason)) in (1..).zip(steps) {
        println!("\n{number:>2}  {what}");
        let (got, status) = send(&client, call, token).await;
        show_status(&status, number == 1);
        let lines: Vec<_> = record.try_iter().collect();
        for (_, line) in &lines {
            println!("    record     {line}");
        }
        let expected = reason.map_or(Code::Ok, |reason| Code::from_i32(reason.grpc_code()));
        let recorded = lines.last().and_then(|(reason, _)| *reason);
        // A second begins while a token is made, so a stream may have one message less.
        let is_expected_length =
            got == messages || (reason == Some(Reason::TokenExpired) && got + 1 == messages);
        if status.code() != expected || recorded != reason || !is_expected_length {
            let found = format!("{got} messages, {:?}, {recorded:?}", status.code());
            return Err(format!(
                "call {number}: expected {messages} messages, {reason:?}; got {found}"
            )
            .into());
        }
    }
    println!(
        "\nAll {} answers were as expected, after {} seconds.",
        steps.len(),
        begin.elapsed().as_secs()
    );
    Ok(())
}

/// Makes a call and prints the messages that come back. Returns their number, and how it ended.
async fn send(client: &OrdersClient, call: Call<'_>, token: Option<&TestToken>) -> (usize, Status) {
    let done = match call {
        Call::List => {
            println!("    orders.v1.Orders/List");
            let answer = client.list(with(token, ListRequest {})).await;
            one(answer.map(|answer| answer.into_inner().orders.join(", ")))
        }
        Call::Refund(order) => {
            println!("    orders.v1.Orders/Refund {{order: {order}}}");
            let answer = client.refund(with(token, RefundRequest { order })).await;
            one(answer.map(|answer| answer.into_inner().text))
        }
        Call::Place(orders) => {
            println!("    orders.v1.Orders/Place {orders:?}");
            let order =
                |(item, price): &(&str, u64)| NewOrder { item: (*item).to_owned(), price: *price };
            let orders: Vec<_> = orders.iter().map(order).collect();
            all(client.place(with(token, tokio_stream::iter(orders))).await, |placed: Placed| {
                placed.text
            })
            .await
        }
        Call::Watch => {
            println!("    orders.v1.Orders/Watch");
            all(client.watch(with(token, WatchRequest {})).await, |event: Event| event.text).await
        }
    };
    match done {
        (messages, Ok(())) => (messages, Status::ok("")),
        (messages, Err(status)) => (messages, status),
    }
}

fn with<M>(token: Option<&TestToken>, message: M) -> Request<M> {
    let mut request = Request::new(message);
    if let Some(Ok(bearer)) = token.map(|token| token.bearer().parse()) {
        request.metadata_mut().insert("authorization", bearer);
    }
    request
}

fn one(answer: Result<String, Status>) -> (usize, Result<(), Status>) {
    match answer {
        Ok(text) => {
            println!("    message    {text}");
            (1, Ok(()))
        }
        Err(status) => (0, Err(status)),
    }
}

async fn all<M>(answer: Reply<Streaming<M>>, text: fn(M) -> String) -> (usize, Result<(), Status>) {
    let mut messages = 0;
    let mut stream = match answer.map(Response::into_inner) {
        Ok(stream) => stream,
        Err(status) => return (0, Err(status)),
    };
    loop {
        match stream.message().await {
            Ok(Some(message)) => println!("    message    {}", text(message)),
            Ok(None) => return (messages, Ok(())),
            Err(status) => return (messages, Err(status)),
        }
        messages += 1;
    }
}

/// Prints what a client is told: the code and the message, the challenge, and the details for programs.
fn show_status(status: &Status, is_whole: bool) {
    if status.code() == Code::Ok {
        return println!("    status     OK");
    }
    println!(
        "    status     {:?} ({}): {}",
        status.code(),
        i32::from(status.code()),
        status.message()
    );
    for challenge in status.metadata().get_all("www-authenticate") {
        let challenge = challenge.to_str().unwrap_or_default();
        let short = challenge.split(", resource_metadata=").next().unwrap_or_default();
        println!("    challenge  {}", if is_whole { challenge } else { short });
    }
    if let Some(info) = status.get_error_details().error_info() {
        let mut metadata: Vec<_> = info.metadata.iter().collect();
        metadata.retain(|(name, _)| !["decision", "resource_metadata"].contains(&name.as_str()));
        metadata.sort();
        println!("    details    {} {metadata:?}", info.reason);
    }
}

/// A line of the record. The `Display` of the event is the whole one.
fn line(event: &AuditEvent<'_>) -> String {
    let decided = match event.reason() {
        None => "allowed".to_owned(),
        Some(reason) => format!("denied reason={reason}"),
    };
    let operation = event.operation();
    match (event.subject(), event.actor()) {
        (Some(subject), Some(actor)) => {
            format!("{decided} {operation} subject={:?} actor={:?}", subject.name(), actor.name())
        }
        _ => format!("{decided} {operation}"),
    }
}

/// Runs until Ctrl-C, and prints the whole record.
pub(crate) async fn serve(port: u16) -> Result<(), Box<dyn Error>> {
    let login = TestIssuer::new(LOGIN);
    let guard = guard(login.issuer(), |event: &AuditEvent<'_>| println!("{event}"));
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let address = listener.local_addr()?;

    println!("{ORDERS} runs at {address} until Ctrl-C. Try these commands in another terminal.");
    println!("The tokens are valid for an hour, and only for this run, which made their key.");
    let reads = acting(&login, &ORDERS, "orders:read");
    let writes = acting(&login, &ORDERS, "orders:write");
    let refunds = acting(&login, &ORDERS, "orders:refund");
    let refunds_now = just_now(refunds.clone());
    let orders = r#"{"item": "a teapot", "price": 20} {"item": "a palace", "price": 5000}"#;
    let hour = Duration::from_secs(3600);
    let minute = Duration::from_secs(60);
    #[rustfmt::skip]
    let lines = [
        ("support-agent reads alice's orders: OK. Without a token, or with a changed one: 16.",
            "List", "{}", reads.clone(), hour),
        ("It refunds after a login with a password: 16, and the challenge asks for a new login.",
            "Refund", r#"{"order": 7}"#, refunds, hour),
        ("It refunds after a login with a passkey: OK, and 16 from about five minutes later.",
            "Refund", r#"{"order": 7}"#, refunds_now, hour),
        ("It places orders. The second one needs another scope: 7, after one message.",
            "Place", orders, writes, hour),
        ("It watches, for a minute from now and the leeway: 16 at the end.",
            "Watch", "{}", reads, minute),
    ];
    let flags = "-v -plaintext -import-path examples/orders_tonic -proto orders.proto";
    for (what, method, message, token, lifetime) in lines {
        println!("\n# {what}");
        let bearer = token.lifetime(lifetime).bearer();
        println!(
            "grpcurl {flags} -H 'authorization: {bearer}' -d '{message}' {address} orders.v1.Orders/{method}"
        );
    }
    println!("\nThe record:");
    tokio::select! {
        done = crate::serve(listener, guard) => done?,
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}
