//! What must not reach the server behind, each with a token that may read and not write.

use std::time::Duration;

use super::*;

/// Sends it and asserts that the server saw nothing.
async fn refused<B>(request: Request<B>) -> Received
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let server = Server::new();
    let received = send(&guard(), tools(), &server, request).await;
    assert!(server.seen().is_empty(), "it reached the server: {received:?}");
    assert!(received.head.extensions.get::<unconfused::Denial>().is_some());
    received
}

/// Status and code of what a body is answered with.
async fn answer(body: impl Into<Bytes>) -> (u16, i64) {
    let received = refused(post(&token(), body)).await;
    (received.status(), received.code())
}

#[tokio::test]
async fn fields_that_lie_do_not_change_which_tool_is_judged() {
    for (fields, status, code) in [
        // In a session of 2025-11-25, where the fields mean nothing to a server.
        (
            &[
                ("mcp-protocol-version", "2025-11-25"),
                ("mcp-method", "tools/call"),
                ("mcp-name", "search"),
            ][..],
            400,
            -32020,
        ),
        (&[("mcp-protocol-version", "2025-11-25"), ("mcp-method", "tools/list")], 400, -32020),
        // Without a version, and with two.
        (&[("mcp-method", "tools/call"), ("mcp-name", "search")], 400, -32020),
        (
            &[("mcp-protocol-version", "2025-11-25"), ("mcp-protocol-version", "2026-07-28")],
            400,
            -32020,
        ),
        (&[("mcp-method", "tools/call"), ("mcp-method", "tools/list")], 400, -32020),
        (&[("mcp-name", "delete"), ("mcp-name", "search")], 400, -32020),
        // In base64.
        (&[("mcp-name", "=?base64?c2VhcmNo?=")], 400, -32020),
        (&[("mcp-name", "=?base64?!?=")], 400, -32020),
        // The truth, and nothing: it is the tool that is judged.
        (&[("mcp-name", "=?base64?ZGVsZXRl?=")], 403, -32001),
        (&[("mcp-name", "delete"), ("mcp-method", "tools/call")], 403, -32001),
        (&[], 403, -32001),
    ] {
        let mut request = post(&token(), call("delete"));
        for (name, value) in fields {
            request = with_header(request, name, value);
        }
        let received = refused(request).await;
        assert_eq!((received.status(), received.code()), (status, code), "{fields:?}");
    }
}

#[tokio::test]
async fn a_name_in_another_spelling_is_another_tool() {
    for name in [
        "Delete",
        "DELETE",
        "delete ",
        " delete",
        "delete\u{0}",
        "de\u{200b}lete",
        "ｄelete",
        "lo\u{308}schen",
        "tools/delete",
        "",
    ] {
        assert_eq!(answer(call(name)).await, (403, -32602), "{name:?}");
    }
    // The tool of the table is one of the composed form, and needs more scope.
    assert_eq!(answer(call("l\u{f6}schen")).await, (403, -32001));
    let escaped =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools\/call","params":{"n\u0061me":"d\u0065lete"}}"#;
    assert_eq!(answer(escaped).await, (403, -32001));
}

#[tokio::test]
async fn what_two_parsers_may_read_differently_is_refused() {
    let not_a_message = (400, -32600);
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{"name":"delete"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","m\u0065thod":"tools/call","params":{"name":"delete"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","name":"delete"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search"},"params":{"name":"delete"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","arguments":{"a":1,"a":2}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search"},"x":"\ud800"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search"},"result":{}}"#,
        r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"search"}}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"search"}}"#,
        r#"{"jsonrpc":"2.0","id":1.5,"method":"tools/call","params":{"name":"search"}}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"tools/call","params":{"name":"search"}}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"tools/call","params":{"name":"search"}}"#,
        r#"{"jsonrpc":2.0,"id":1,"method":"tools/call","params":{"name":"search"}}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":"search"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":["tools/call"],"params":{"name":"search"}}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
    ] {
        assert_eq!(answer(body).await, not_a_message, "{body}");
    }
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"ping","x":{}{}}}"#,
        "[".repeat(40),
        "]".repeat(40)
    );
    assert_eq!(answer(deep).await, not_a_message);
    let single = call("search");
    for body in [
        format!("[{single}]"),
        format!("[{single},{}]", call("delete")),
        format!("{single}{}", call("delete")),
        format!("{single}\n{}", call("delete")),
        format!("{single},"),
        format!("{single}\0"),
        format!("\u{feff}{single}"),
        format!("data: {single}"),
        single.replace("search", "sea\trch"),
        "\"tools/call\"".to_owned(),
        "null".to_owned(),
        String::new(),
    ] {
        assert_eq!(answer(body.clone()).await, (400, -32700), "{body}");
    }
    let mut latin = call("search").into_bytes();
    latin.extend(b" \xff");
    assert_eq!(answer(latin).await, (400, -32700));
    let utf16: Vec<u8> = call("search").encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(answer(utf16).await, (400, -32700));
}

#[tokio::test]
async fn a_call_without_a_name_is_refused() {
    for params in [
        "",
        r#","params":{}"#,
        r#","params":[]"#,
        r#","params":["search"]"#,
        r#","params":{"name":1}"#,
        r#","params":{"name":null}"#,
        r#","params":{"Name":"search"}"#,
        r#","params":{"arguments":{"name":"search"}}"#,
        r#","name":"search""#,
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call"{params}}}"#);
        assert_eq!(answer(body.clone()).await, (400, -32602), "{body}");
    }
}

#[tokio::test]
async fn a_method_without_an_entry_is_refused_in_the_way_of_its_version() {
    for method in [
        "Tools/Call",
        "tools/call ",
        "tools",
        "resources/list",
        "sampling/createMessage",
        "initialize2",
        "notification/x",
        "logging",
        "",
    ] {
        let body =
            json!({"jsonrpc": "2.0", "id": "a", "method": method, "params": {"name": "search"}})
                .to_string();
        let received = refused(post(&token(), body.clone())).await;
        assert_eq!((received.status(), received.code()), (404, -32601), "{method}");
        assert_eq!(received.json()["id"], "a");
        // There, 404 would end the session.
        let server = Server::new();
        let sent = bound_session(&token()).await;
        let request = with_header(post(&token(), body), "mcp-session-id", &sent);
        let received = send(&guard(), tools().sessions([7; 32]), &server, request).await;
        assert_eq!((received.status(), received.code()), (403, -32601), "{method}");
        assert!(server.seen().is_empty());
    }
}

#[tokio::test]
async fn a_body_of_another_form_is_not_read() {
    let search = call("search");
    for (name, value) in [
        ("content-type", "text/plain"),
        ("content-encoding", "gzip"),
        ("content-encoding", "br"),
        ("content-type", "application/json-seq"),
        ("content-type", "application/json; charset=utf-16"),
        ("content-type", "application/json; charset*=utf-7''"),
        ("content-type", "application/json; charset*0=utf-7"),
    ] {
        let mut request = post(&token(), search.clone());
        request.headers_mut().remove(name);
        let request = with_header(request, name, value);
        let request = request.map(|_| Untouched { length: 10 });
        let received = refused(request).await;
        assert_eq!((received.status(), received.code()), (415, -32600), "{value}");
    }
    let mut without = post(&token(), search.clone());
    without.headers_mut().remove("content-type");
    assert_eq!(refused(without).await.status(), 415);
    let twice = with_header(post(&token(), search.clone()), "content-type", "application/json");
    assert_eq!(refused(twice).await.status(), 415);
    // What is right passes.
    for value in [
        "application/json",
        "Application/JSON; charset=UTF-8",
        "application/json;charset=\"utf-8\"",
    ] {
        let mut request = post(&token(), search.clone());
        request.headers_mut().insert("content-type", value.parse().unwrap());
        let server = Server::new();
        assert_eq!(send(&guard(), tools(), &server, request).await.status(), 200, "{value}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_unread_or_where_it_exceeds_it() {
    let request = post(&token(), "").map(|_| Untouched { length: 2 << 20 });
    let received = refused(request).await;
    assert_eq!((received.status(), received.code()), (413, -32600));
    // Without a length, and with a message at its beginning.
    let big = format!("{}{}", call("search"), " ".repeat(1 << 20));
    let request = post(&token(), "").map(|_| Endless { first: Some(big.into()) });
    assert_eq!(refused(request).await.status(), 413);
    // Of this size it passes.
    let padded = call("search");
    let padded = format!("{padded}{}", " ".repeat((1 << 20) - padded.len()));
    let server = Server::new();
    assert_eq!(send(&guard(), tools(), &server, post(&token(), padded)).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up_after_10_seconds() {
    let begun = tokio::time::Instant::now();
    let request = post(&token(), "").map(|_| Endless { first: Some(call("search").into()) });
    let received = refused(request).await;
    assert_eq!((received.status(), received.code()), (408, -32600));
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
}

#[tokio::test]
async fn an_origin_that_is_not_listed_is_refused_before_the_credential() {
    for origin in [
        "https://evil.example",
        "null",
        "https://app.example.evil.example",
        "https://app.example:8443",
        "http://app.example",
    ] {
        let server = Server::new();
        let mut request = with_header(post(&token(), call("search")), "origin", origin);
        let received =
            send(&guard(), tools().origin("https://app.example"), &server, request.clone()).await;
        assert_eq!((received.status(), received.code()), (403, -32001), "{origin}");
        request.headers_mut().remove("authorization");
        let received = send(&guard(), tools(), &server, request).await;
        assert_eq!((received.status(), received.challenge()), (403, None));
        assert!(server.seen().is_empty());
    }
    let server = Server::new();
    let request = with_header(post(&token(), call("search")), "origin", "https://app.example");
    assert_eq!(
        send(&guard(), tools().origin("https://app.example"), &server, request).await.status(),
        200
    );
}

#[tokio::test]
async fn a_token_for_another_server_is_refused() {
    let other = Audience::from_static("https://other.example/mcp");
    let token = login().token(&other).issued_at(now()).scope("notes:read notes:write");
    let received = refused(post(&token, call("search"))).await;
    assert_eq!((received.status(), received.code()), (401, -32001));
    assert!(received.challenge().unwrap().contains("invalid_token"));
}

#[tokio::test]
async fn a_session_of_another_subject_or_client_is_not_found() {
    let mine = bound_session(&token()).await;
    for stranger in [token().subject("mallory"), token().client("other-client")] {
        for request in [
            post(&stranger, call("search")),
            Request::delete("/mcp")
                .header("authorization", stranger.bearer())
                .body(Full::default())
                .unwrap(),
            Request::get("/mcp")
                .header("authorization", stranger.bearer())
                .body(Full::default())
                .unwrap(),
        ] {
            let server = Server::new();
            let request = with_header(request, "mcp-session-id", &mine);
            let received = send(&guard(), tools().sessions([7; 32]), &server, request).await;
            assert_eq!((received.status(), received.code()), (404, -32001));
            assert!(server.seen().is_empty());
        }
    }
}

/// The id of a session as the client with this token receives it.
pub(crate) async fn bound_session(token: &TestToken) -> String {
    let server = Server::answering(|_, _| {
        let mut response = json_response(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
        response.headers_mut().insert("mcp-session-id", "s-1.a".parse().unwrap());
        response
    });
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
    let received = send(&guard(), tools().sessions([7; 32]), &server, post(token, body)).await;
    received.head.headers["mcp-session-id"].to_str().unwrap().to_owned()
}
