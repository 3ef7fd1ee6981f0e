//! Streams end when the guard no longer accepts their token. The clock of the guard stands still, that of Tokio is
//! paused.

use super::*;
use std::time::Duration;
use tokio::time::Instant;

/// The token of these tests is valid for 5 minutes, and the guard has a leeway of 30 seconds.
const END: Duration = Duration::from_secs(330);

/// A server whose body has this beginning and never ends.
async fn open_for_ever(
    media_type: &'static str,
    request: Request<TestBody>,
) -> (Result<Bytes, String>, Duration, Vec<Value>) {
    let (guard, record) = Record::of(guard());
    let server = tower::service_fn(move |_: Request<MessageBody>| {
        let body = Endless { first: Some(Bytes::from_static(b"data: 1\n\n")) };
        let response = Response::builder().header("content-type", media_type).body(body).unwrap();
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let begun = Instant::now();
    let response = guard.mcp(tools()).layer(server).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await;
    let body = body.map(|body| body.to_bytes()).map_err(|error| error.to_string());
    (body, begun.elapsed(), record.lines())
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_events_ends_with_its_token_and_is_recorded() {
    let get = Request::get("/mcp")
        .header("authorization", token().bearer())
        .body(Full::default())
        .unwrap();
    for request in [get, post(&token(), call("search"))] {
        let (body, took, record) = open_for_ever("text/event-stream; charset=utf-8", request).await;
        assert_eq!(body.unwrap(), "data: 1\n\n: token_expired\n");
        assert_eq!(took, END);
        let last = record.last().unwrap();
        assert_eq!(
            (&last["reason"], &last["outcome"]),
            (&json!("token_expired"), &json!("denied"))
        );
        assert_eq!(last["decision"], record[0]["decision"]);
    }
}

#[tokio::test(start_paused = true)]
async fn any_other_body_fails_with_its_token() {
    let (body, took, record) =
        open_for_ever("application/json", post(&token(), call("search"))).await;
    assert_eq!(body.unwrap_err(), "token_expired");
    assert_eq!(took, END);
    assert_eq!(record.last().unwrap()["tool"], "search");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_complete_is_not_cut() {
    let (guard, record) = Record::of(guard());
    let server = Server::new();
    let received = send(&guard, tools(), &server, post(&token(), call("search"))).await;
    assert_eq!(received.json()["id"], 1);
    assert_eq!(record.lines().len(), 2);
}
