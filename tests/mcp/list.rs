//! A filtered `tools/list` shows what may be called, and never passes whole.

use super::*;
use std::time::Duration;
use unconfused::detail::{Detail, DetailType};

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"search","inputSchema":{"big":12345678901234567890123,"x":1.0}},{"name":"delete"},{"name":"fresh"},{"name":"computed"},{"name":"unknown"},{"name":"for-others"}],"nextCursor":"c"}}"#;

fn filtering() -> Tools {
    tools()
        .tool("fresh", Require::scope(READ).max_age(Duration::from_secs(60)))
        .tool("for-others", Require::scope(READ).client([unconfused::Party::new(LOGIN, "another")]))
        .call("computed", |_| Ok(Require::scope(WRITE)))
        .filter_list()
}

fn listing() -> Request<TestBody> {
    post(&token(), r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#)
}

async fn listed(media_type: &'static str, body: &str) -> Received {
    let body = body.to_owned();
    let server = Server::answering(move |_, _| {
        let mut response = json_response(&body);
        response.headers_mut().insert("content-type", media_type.parse().unwrap());
        response.headers_mut().insert("content-length", body.len().into());
        response
    });
    send(&guard(), filtering(), &server, listing()).await
}

fn names(list: &Value) -> Vec<&str> {
    list["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_client_sees_what_it_may_call_and_what_it_is_asked_for_at_the_call() {
    let received = listed("application/json", LIST).await;
    assert_eq!(names(&received.json()), ["search", "fresh", "computed"]);
    assert_eq!(received.json()["result"]["nextCursor"], "c");
    assert!(!received.head.headers.contains_key("content-length"));
    // What stays is what the server wrote.
    let body = String::from_utf8(received.body.to_vec()).unwrap();
    assert!(body.contains(r#"{"big":12345678901234567890123,"x":1.0}"#), "{body}");
}

#[tokio::test]
async fn a_list_in_a_stream_of_events_is_filtered_too() {
    let note = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"tools":[1]}}"#;
    let (one, two) = LIST.split_once(r#"{"name":"delete"}"#).unwrap();
    for end in ["\n", "\r\n"] {
        let events = format!(
            "id: 0\nretry: 3000\ndata:\n\n: ping\n\nevent: message\ndata: {note}\n\nid: 1\ndata: {one}\ndata:{{\"name\":\"delete\"}}\ndata:  {two}\n\n"
        );
        let received = listed("text/event-stream", &events.replace('\n', end)).await;
        assert_eq!(received.status(), 200);
        let body = String::from_utf8(received.body.to_vec()).unwrap();
        let data: Vec<_> = body
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .filter(|data| !data.is_empty())
            .collect();
        assert_eq!(data[0], note);
        assert_eq!(names(&serde_json::from_str(data[1]).unwrap()), ["search", "fresh", "computed"]);
        for kept in ["id: 0", "retry: 3000", ": ping", "event: message", "id: 1"] {
            assert!(body.contains(kept), "{kept}");
        }
    }
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_not_passed_on() {
    for (media_type, body) in [
        ("application/json", "not json"),
        ("application/json", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#),
        ("application/json", r#"{"jsonrpc":"2.0","id":1,"result":{"tools":{}}}"#),
        ("application/json", r#"{"jsonrpc":"2.0","id":1,"result":{"tools":["delete"]}}"#),
        ("application/json", r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"title":"delete"}]}}"#),
        (
            "application/json",
            r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[],"tools":[{"name":"delete"}]}}"#,
        ),
        ("application/json", &format!("[{LIST}]")),
        ("text/event-stream", &format!("data: {LIST}\rdata: x\n\n")),
        ("text/event-stream", "data: nonsense\n\n"),
        ("text/plain", LIST),
    ] {
        let received = listed(media_type, body).await;
        assert_eq!((received.status(), received.code()), (500, -32603), "{media_type} {body}");
        assert_eq!(received.json()["id"], 1);
        assert!(!String::from_utf8_lossy(&received.body).contains("delete"));
    }
    let encoded = Server::answering(|_, _| {
        let mut response = json_response(LIST);
        response.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        response
    });
    assert_eq!(send(&guard(), filtering(), &encoded, listing()).await.status(), 500);
    // An event that is not complete does not count.
    let received = listed("text/event-stream", &format!("data: {LIST}\n")).await;
    assert_eq!(received.body, "");
}

#[tokio::test]
async fn an_error_of_the_server_passes_and_so_does_a_list_if_nothing_is_filtered() {
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no"}}"#;
    assert_eq!(listed("application/json", error).await.body, error);
    let server = Server::answering(|_, _| json_response(LIST));
    assert_eq!(send(&guard(), tools(), &server, listing()).await.body, LIST);
}

#[tokio::test]
async fn hiding_a_tool_is_not_what_refuses_it() {
    let server = Server::new();
    for tool in ["delete", "unknown", "for-others"] {
        assert_eq!(
            send(&guard(), filtering(), &server, post(&token(), call(tool))).await.status(),
            403
        );
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_tool_that_needs_consent_is_shown() {
    let guard = guard().detail_type(DetailType::new("refund").exact("order"));
    let tools = Tools::new(READ)
        .method("tools/list", READ)
        .tool("refund", Require::detail(Detail::of("refund").with("order", "7")))
        .filter_list();
    let server = Server::answering(|_, _| {
        json_response(r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"refund"}]}}"#)
    });
    let received = send(&guard, tools.clone(), &server, listing()).await;
    assert_eq!(names(&received.json()), ["refund"]);
    assert_eq!(send(&guard, tools, &server, post(&token(), call("refund"))).await.status(), 401);
}
