//! Tokens are kept and shared, and not for longer than they last.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, advance};
use unconfused::client::HttpClient as _;
use unconfused::next_hop::{AttachError, ClientAuth, NextHop};
use unconfused::{Answer, Reason};

use crate::server::{CHARGE, ISSUER, Orders, PAYMENTS, REFUND, answer, attached, ok, with_status};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_hundred_concurrent_requests_share_one_exchange() {
    let orders = Orders::new();
    let hop = orders.server.hop();
    let go = Arc::new(Notify::new());
    let wait = go.clone();
    orders.server.respond(move |_| {
        let wait = wait.clone();
        Answer::later(async move {
            wait.notified().await;
            Ok(with_status(200, ok("shared").to_string()))
        })
    });
    // Each request has a grant of its own, all by the same token.
    let raw = orders.server.token().bearer();
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let request = http::Request::post("/refunds").header("authorization", &raw);
            let (mut head, ()) = request.body(()).unwrap().into_parts();
            let grant = orders.guard.authorize(&mut head, REFUND).now().unwrap().unwrap();
            tokio::spawn(hop.token(&orders.guard, &grant))
        })
        .collect();
    while orders.server.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    go.notify_one();
    for token in asking {
        let token = token.await.unwrap().unwrap();
        assert_eq!(attached(&token)["authorization"], "Bearer shared");
    }
    assert_eq!((orders.server.asked().len(), orders.server.metadata_reads()), (1, 1));

    // And what comes later finds it kept, at once.
    let request = http::Request::post("/refunds").header("authorization", &raw);
    let (mut head, ()) = request.body(()).unwrap().into_parts();
    let grant = orders.guard.authorize(&mut head, REFUND).now().unwrap().unwrap();
    assert!(hop.token(&orders.guard, &grant).now().unwrap().is_ok());
    // Another token is another exchange.
    go.notify_one();
    let other = orders.server.token().subject("bob").granted_by(&orders.guard, REFUND);
    hop.token(&orders.guard, &other).await.unwrap();
    assert_eq!(orders.server.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_shared_too_and_not_kept() {
    let orders = Orders::new();
    let hop = orders.server.hop();
    let grant = orders.grant();
    orders.server.respond_json(400, &serde_json::json!({ "error": "invalid_target" }));
    let (one, other) =
        tokio::join!(hop.token(&orders.guard, &grant), hop.token(&orders.guard, &grant));
    assert_eq!(one.unwrap_err().reason(), Reason::NextHopRefused);
    assert_eq!(other.unwrap_err().reason(), Reason::NextHopRefused);
    assert_eq!(orders.server.asked().len(), 1);
    orders.server.respond_json(200, &ok("now"));
    assert!(hop.token(&orders.guard, &grant).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn while_the_server_is_down_there_is_503_and_tokens_serve_until_their_end() {
    let orders = Orders::new();
    let hop = orders.server.hop();
    let grant = orders.grant();
    hop.token(&orders.guard, &grant).await.unwrap();
    orders.server.set_down(true);

    let bob = orders.server.token().subject("bob").granted_by(&orders.guard, REFUND);
    let denial = hop.token(&orders.guard, &bob).await.unwrap_err();
    assert_eq!((denial.reason(), denial.status().as_u16()), (Reason::NextHopUnavailable, 503));

    // It lasts 300 seconds, and would be renewed 30 seconds before its end.
    for at in [0, 200, 275, 290, 299] {
        let token = at_time(&hop, &orders, &grant, at).await.unwrap();
        assert!(attached(&token).contains_key("authorization"), "{at}");
    }
    let denial = at_time(&hop, &orders, &grant, 301).await.unwrap_err();
    assert_eq!(denial.reason(), Reason::NextHopUnavailable);
    assert_eq!(orders.server.asked().len(), 1);
    orders.server.set_down(false);
    assert!(hop.token(&orders.guard, &grant).await.is_ok());
}

/// Asks at this second after the start.
async fn at_time(
    hop: &unconfused::next_hop::NextHop,
    orders: &Orders,
    grant: &unconfused::Grant,
    at: u64,
) -> Result<unconfused::next_hop::OutboundToken, unconfused::Denial> {
    thread_local! {
        static START: std::cell::OnceCell<Instant> = const { std::cell::OnceCell::new() };
    }
    let start = START.with(|start| *start.get_or_init(Instant::now));
    let due = start + secs(at);
    advance(due.saturating_duration_since(Instant::now())).await;
    hop.token(&orders.guard, grant).await
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_shortly_before_its_end() {
    let orders = Orders::new();
    let hop = orders.server.hop();
    let grant = orders.grant();
    hop.token(&orders.guard, &grant).await.unwrap();
    advance(secs(269)).await;
    hop.token(&orders.guard, &grant).await.unwrap();
    assert_eq!(orders.server.asked().len(), 1);
    advance(secs(2)).await;
    hop.token(&orders.guard, &grant).await.unwrap();
    assert_eq!(orders.server.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_a_token_that_is_kept_when_it_would_be_renewed() {
    let orders = Orders::new();
    let hop = orders.server.hop();
    let grant = orders.grant();
    hop.token(&orders.guard, &grant).await.unwrap();
    orders.server.respond_json(400, &serde_json::json!({ "error": "invalid_grant" }));
    advance(secs(280)).await;
    for _ in 0..2 {
        let denial = hop.token(&orders.guard, &grant).await.unwrap_err();
        assert_eq!(denial.reason(), Reason::NextHopRefused);
    }
}

#[tokio::test(start_paused = true)]
async fn no_token_lasts_longer_than_the_one_it_was_made_from() {
    let orders = Orders::new();
    let hop = orders.server.hop();
    let grant = orders.server.token().lifetime(secs(60)).granted_by(&orders.guard, REFUND);
    let token = hop.token(&orders.guard, &grant).await.unwrap();
    assert!(token.expires_in() <= secs(60), "{:?}", token.expires_in());
    assert!(token.expires_in() > secs(55), "{:?}", token.expires_in());
    advance(secs(61)).await;
    let mut request = http::Request::get("https://payments.example/").body(()).unwrap();
    assert_eq!(token.attach(&mut request), Err(AttachError::Ended));
    assert!(request.headers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_no_longer_waits_does_not_end_the_exchange_of_the_others() {
    let orders = Orders::new();
    let hop = orders.server.hop();
    let grant = orders.grant();
    orders.server.respond(|_| {
        Answer::later(async {
            tokio::time::sleep(secs(1)).await;
            Ok(with_status(200, ok("late").to_string()))
        })
    });
    let first = tokio::time::timeout(Duration::from_millis(100), hop.token(&orders.guard, &grant));
    assert!(first.await.is_err());
    assert!(hop.token(&orders.guard, &grant).await.is_ok());
    assert_eq!(orders.server.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_panics_is_503_and_the_next_call_asks_again() {
    let orders = Orders::new();
    let hop = orders.server.hop();
    let grant = orders.grant();
    orders.server.respond(|_| Answer::later(async { panic!("a bug of the client") }));
    let denial = hop.token(&orders.guard, &grant).await.unwrap_err();
    assert_eq!(denial.reason(), Reason::NextHopUnavailable);
    orders.server.respond(|_| answer(200, ok("again").to_string()));
    assert!(hop.token(&orders.guard, &grant).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn no_more_than_256_exchanges_of_a_hop_are_in_flight() {
    let orders = Orders::new();
    let hop = orders.server.hop();
    orders.server.respond(|_| Answer::later(std::future::pending()));
    let grant = |n: usize| {
        let token = orders.server.token().subject(&format!("user-{n}"));
        token.granted_by(&orders.guard, REFUND)
    };
    let waiting: Vec<_> =
        (0..256).map(|n| tokio::spawn(hop.token(&orders.guard, &grant(n)))).collect();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let denial = hop.token(&orders.guard, &grant(256)).await.unwrap_err();
    assert!(denial.for_operator().to_string().contains("256 exchanges are in flight"));
    for waiting in waiting {
        assert!(waiting.await.unwrap().is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn at_most_1024_tokens_and_4_mib_are_kept() {
    for (count, bytes, kept) in [(1030, 10, 1024), (260, 16 * 1024, 256)] {
        let orders = Orders::new();
        let hop = orders.server.hop();
        let token = "t".repeat(bytes);
        orders.server.respond(move |_| answer(200, ok(&token).to_string()));
        let mut grants = Vec::new();
        for n in 0..count {
            let token = orders.server.token().subject(&format!("user-{n}")).lifetime(secs(3600));
            let grant = token.granted_by(&orders.guard, REFUND);
            hop.token(&orders.guard, &grant).await.unwrap();
            grants.push(grant);
            // So that each ends later than the one before.
            advance(Duration::from_millis(1)).await;
        }
        // An answer that is there at once was kept.
        let found = grants.iter().rev();
        let found =
            found.take_while(|grant| hop.token(&orders.guard, grant).now().is_some()).count();
        assert_eq!(found, kept);
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_that_hangs_when_it_is_read_again_delays_one_exchange_and_ends_none() {
    let orders = Orders::new();
    let hangs = Arc::new(AtomicBool::new(false));
    let (client, hang) = (orders.server.client(), hangs.clone());
    let client = move |request: http::Request<Vec<u8>>, limits| {
        let is_metadata = request.method() == http::Method::GET;
        if is_metadata && hang.load(Ordering::Relaxed) {
            return Answer::later(pending());
        }
        client.send(request, limits)
    };
    let auth = ClientAuth::secret_basic("orders", "s3cret");
    let server = NextHop::discover(ISSUER, auth, client).unwrap();
    let hop = server.to(PAYMENTS.as_str(), [CHARGE]).unwrap().needs(REFUND);
    hop.token(&orders.guard, &orders.grant()).await.unwrap();

    hangs.store(true, Ordering::Relaxed);
    advance(secs(3601)).await;
    let began = Instant::now();
    let of = |name| orders.server.token().subject(name).granted_by(&orders.guard, REFUND);
    let (one, two, three) = (of("one"), of("two"), of("three"));
    let (one, two, three) = tokio::join!(
        hop.token(&orders.guard, &one),
        hop.token(&orders.guard, &two),
        hop.token(&orders.guard, &three)
    );
    assert!(one.is_ok() && two.is_ok() && three.is_ok(), "{one:?} {two:?} {three:?}");
    assert_eq!(began.elapsed(), secs(5));
    hop.token(&orders.guard, &of("four")).await.unwrap();
    assert_eq!(began.elapsed(), secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_ends_before_it_comes_is_503_and_none_is_kept() {
    let orders = Orders::new();
    let hop = orders.server.hop();
    let grant = orders.grant();
    orders.server.respond(|_| {
        let mut short = ok("late");
        short["expires_in"] = 3.into();
        Answer::later(async move {
            advance(secs(4)).await;
            Ok(with_status(200, short.to_string()))
        })
    });
    let denial = hop.token(&orders.guard, &grant).await.unwrap_err();
    assert_eq!(denial.reason(), Reason::NextHopUnavailable);
    assert!(
        denial.for_operator().to_string().contains("the token ended before it came"),
        "{denial:?}"
    );
    orders.server.respond_json(200, &ok("in-time"));
    let token = hop.token(&orders.guard, &grant).await.unwrap();
    assert_eq!(attached(&token)["authorization"], "Bearer in-time");
}
