//! What a server could read in another way than the layer, or be reached by without a message.

use super::*;

#[tokio::test]
async fn a_member_in_another_case_is_refused_since_some_parsers_ignore_case() {
    let message = |members: &str| format!(r#"{{"jsonrpc":"2.0","id":1,{members}}}"#);
    for (members, code) in [
        // Go's parser lets the last one count.
        (r#""method":"ping","Method":"tools/call","params":{"name":"delete"}"#, -32600),
        (r#""METHOD":"tools/call","method":"ping","params":{"name":"delete"}"#, -32600),
        (r#""method":"tools/call","params":{"name":"search"},"Params":{"name":"delete"}"#, -32600),
        // It takes the long s for an s.
        (
            r#""method":"tools/call","params":{"name":"search"},"param\u017f":{"name":"delete"}"#,
            -32600,
        ),
        (r#""method":"ping","Result":{}"#, -32600),
        (r#""method":"ping","ID":2"#, -32600),
        // So does that of the C# SDK for parameters.
        (r#""method":"tools/call","params":{"name":"search","Name":"delete"}"#, -32602),
        (r#""method":"tools/call","params":{"n\u0041me":"delete","name":"search"}"#, -32602),
        (r#""method":"tools/call","params":{"name":"search","Arguments":{}}"#, -32602),
        (r#""method":"resources/read","params":{"uri":"a","URI":"b"}"#, -32602),
    ] {
        let (server, body) = (Server::new(), message(members));
        let received = send(&guard(), tools(), &server, post(&token(), body.clone())).await;
        assert!(server.seen().is_empty(), "it reached the server: {body}");
        assert_eq!((received.status(), received.code()), (400, code), "{body}");
    }
    // Names of the tool's own may differ in case alone.
    let body = message(
        r#""method":"tools/call","params":{"name":"search","arguments":{"Name":"a","name":"b"}}"#,
    );
    let server = Server::new();
    assert_eq!(send(&guard(), tools(), &server, post(&token(), body)).await.status(), 200);
}

#[tokio::test]
async fn an_argument_in_another_case_is_refused_if_the_rule_reads_it() {
    let tools = || {
        tools().call("refund", |arguments| {
            let amount: Option<u64> = arguments.get("amount")?;
            Ok(Require::scope(if amount.unwrap_or(0) > 10 { WRITE } else { READ }))
        })
    };
    for (arguments, status) in [
        (r#"{"amount":1}"#, 200),
        (r#"{"amount":1,"note":"a","Note":"b"}"#, 200),
        (r#"{"amount":1,"Amount":1000}"#, 400),
        (r#"{"Amount":1000}"#, 400),
        (r#"{"amount":1000}"#, 403),
    ] {
        let params = format!(r#"{{"name":"refund","arguments":{arguments}}}"#);
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        let server = Server::new();
        let received = send(&guard(), tools(), &server, post(&token(), body)).await;
        assert_eq!(received.status(), status, "{arguments}");
    }
}

#[tokio::test]
async fn a_server_is_not_asked_for_another_protocol() {
    let get = Request::get("/mcp")
        .header("authorization", token().bearer())
        .body(Full::default())
        .unwrap();
    for request in [get, post(&token(), call("search"))] {
        let request = with_header(request, "connection", "Upgrade");
        let request = with_header(request, "upgrade", "websocket");
        let server = Server::new();
        assert_eq!(send(&guard(), tools(), &server, request).await.status(), 200);
        let (parts, _) = server.seen().pop().unwrap();
        assert!(!parts.headers.contains_key("upgrade"), "{:?}", parts.headers);
    }
}

#[tokio::test]
async fn an_answer_without_a_list_is_no_fault_of_the_server() {
    let (guard, record) = Record::of(guard());
    let server = Server::answering(|_, _| {
        Response::builder().status(202).body(TestBody::default()).unwrap()
    });
    let body = r#"{"jsonrpc":"2.0","method":"tools/list"}"#;
    let received = send(&guard, tools().filter_list(), &server, post(&token(), body)).await;
    assert_eq!((received.status(), received.body.len()), (202, 0));
    assert_eq!(record.lines().len(), 2);
}

#[tokio::test]
async fn an_object_that_serde_json_reads_as_another_value_is_refused() {
    #[derive(serde::Deserialize)]
    struct Payment {
        to: Option<Account>,
    }
    #[derive(serde::Deserialize)]
    struct Account {
        iban: Option<String>,
    }
    let tools = || {
        tools().call("pay", |arguments| {
            let Payment { to } = arguments.read()?;
            let is_to_another = to.and_then(|to| to.iban).is_some();
            Ok(Require::scope(if is_to_another { WRITE } else { READ }))
        })
    };
    for name in ["$serde_json::private::RawValue", "\\u0024serde_json::private::RawValue"] {
        let to = format!(r#"{{"{name}":"{{\"iban\":\"DE00\"}}"}}"#);
        // So a server reads it that is built with serde_json.
        let read: Value = serde_json::from_str(&to).unwrap();
        assert_eq!(read, json!({"iban": "DE00"}));
        let params = format!(r#"{{"name":"pay","arguments":{{"to":{to}}}}}"#);
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        let server = Server::new();
        let received = send(&guard(), tools(), &server, post(&token(), body)).await;
        assert!(server.seen().is_empty(), "{to}");
        assert_eq!((received.status(), received.code()), (400, -32600));
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_not_complete_when_its_token_ends_does_not_become_complete() {
    for begun in ["data: {\"a\":\ndata: 1}\n", "data: {\"a\":"] {
        let guard = guard();
        let server = tower::service_fn(move |_: Request<MessageBody>| {
            let body = Endless { first: Some(Bytes::from_static(begun.as_bytes())) };
            let response = Response::builder().header("content-type", "text/event-stream");
            std::future::ready(Ok::<_, Infallible>(response.body(body).unwrap()))
        });
        let request = post(&token(), call("search"));
        let response = guard.mcp(tools()).layer(server).oneshot(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        // Only an empty line completes an event.
        assert!(body.starts_with(begun.as_bytes()) && body.ends_with(b": token_expired\n"));
        assert!(!body.windows(2).any(|pair| pair == b"\n\n"), "{body:?}");
    }
}

#[tokio::test]
async fn a_rule_that_the_guard_cannot_check_grants_nothing() {
    use unconfused::detail::{Detail, DetailType};
    let typed = guard().detail_type(DetailType::new("refund").exact("order"));
    let order = || Detail::of("refund").with("order", 1_u64);
    for (guard, rule, status) in [
        (guard(), Require::valid_token().single_use(), 500),
        (guard(), Require::detail(order()), 500),
        (guard(), Require::detail(order().approved()), 500),
        (typed.clone(), Require::detail(order().approved()), 500),
        (typed, Require::detail(Detail::of("refund").with("other", 1_u64)), 500),
        (guard(), Require::valid_token().sender_constrained(), 403),
    ] {
        let printed = rule.to_string();
        let detail = json!([{"type": "refund", "order": 1, "other": 1}]);
        let token = token().claim("authorization_details", &detail);
        let tools = tools().call("x", move |_| Ok(rule.clone()));
        let server = Server::new();
        let received = send(&guard, tools, &server, post(&token, call("x"))).await;
        assert_eq!(received.status(), status, "{printed}");
        assert!(server.seen().is_empty(), "{printed}");
    }
}

#[tokio::test]
async fn a_session_is_not_that_of_the_same_name_at_another_issuer() {
    let mine = super::hostile::bound_session(&token()).await;
    let other = TestIssuer::new("https://other.example");
    let stranger = other.token(&NOTES).issued_at(now()).scope("notes:read");
    let guard = guard().trust(other.issuer());
    for (token, status) in [(token(), 200), (stranger, 404)] {
        let server = Server::new();
        let request = with_header(post(&token, call("search")), "mcp-session-id", &mine);
        let received = send(&guard, tools().sessions([7; 32]), &server, request).await;
        assert_eq!(received.status(), status);
    }
}

#[tokio::test]
async fn a_denial_that_no_guard_made_is_recorded_when_it_answers_a_call() {
    let (guard, record) = Record::of(guard());
    let server = Server::answering(|parts, _| {
        let call = parts.extensions.get::<unconfused::mcp::Call>().unwrap();
        let _ = call.deny(unconfused::Reason::PolicyDenied.into());
        json_response("{}")
    });
    let received = send(&guard, tools(), &server, post(&token(), call("search"))).await;
    assert_eq!(received.status(), 403);
    let lines = record.lines();
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["step"], &last["reason"], &last["status"], &last["tool"]),
        (&json!(2), &json!("policy_denied"), &json!(403), &json!("search"))
    );
    // The client and the record know it by the same id.
    assert_eq!(received.json()["error"]["data"]["decision"], last["decision"]);
}
