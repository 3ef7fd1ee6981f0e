//! What the table says, and what a table may say.

use super::*;
use std::panic::catch_unwind;
use std::time::Duration;
use unconfused::mcp::{InvalidArguments, Problem};
use unconfused::replay::MemoryReplayStore;

fn message(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{method}","params":{params}}}"#)
}

#[tokio::test]
async fn the_base_covers_what_every_client_needs() {
    let server = Server::new();
    let bodies = [
        message("initialize", "{}"),
        message("server/discover", "{}"),
        message("ping", "{}"),
        message("logging/setLevel", r#"{"level":"info"}"#),
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":4,"result":{"roots":[]}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":"x","error":{"code":-1,"message":"no"}}"#.to_owned(),
    ];
    for body in &bodies {
        let received = send(&guard(), tools(), &server, post(&token(), body.clone())).await;
        assert_eq!(received.status(), 200, "{body}");
    }
    assert_eq!(server.seen().len(), bodies.len());
    for method in ["GET", "DELETE"] {
        let request =
            Request::builder().method(method).uri("/mcp").header("authorization", token().bearer());
        let received =
            send(&guard(), tools(), &server, request.body(Full::from("x")).unwrap()).await;
        assert_eq!(received.status(), 200);
        let (head, body) = server.seen().pop().unwrap();
        assert_eq!(body, "", "no body behind {method}");
        assert!(!head.headers.contains_key("content-length"));
        let without = Request::builder().method(method).uri("/mcp").body(Full::default()).unwrap();
        assert_eq!(send(&guard(), tools(), &server, without).await.status(), 401);
    }
}

#[tokio::test]
async fn any_other_method_of_http_is_refused_after_the_base() {
    for method in ["PUT", "PATCH", "OPTIONS", "HEAD", "post"] {
        let server = Server::new();
        let request =
            Request::builder().method(method).uri("/mcp").header("authorization", token().bearer());
        let received =
            send(&guard(), tools(), &server, request.body(Full::default()).unwrap()).await;
        assert_eq!((received.status(), received.code()), (405, -32600));
        assert_eq!(received.head.headers["allow"], "POST, GET, DELETE");
        let without = Request::builder().method(method).uri("/mcp").body(Full::default()).unwrap();
        assert_eq!(send(&guard(), tools(), &server, without).await.status(), 401);
        assert!(server.seen().is_empty());
    }
}

#[tokio::test]
async fn methods_have_entries_of_their_own_which_narrow_the_base_too() {
    let tools = || {
        tools()
            .method("logging/setLevel", WRITE)
            .method_by("resources/templates/list", |_| Ok(Require::scope(WRITE)))
    };
    for (method, params, status) in [
        ("tools/list", "{}", 200),
        ("resources/read", r#"{"uri":"note://1"}"#, 200),
        ("prompts/get", r#"{"name":"search"}"#, 403),
        ("logging/setLevel", "{}", 403),
        ("resources/templates/list", "{}", 403),
        ("completion/complete", "{}", 404),
    ] {
        let server = Server::new();
        let received =
            send(&guard(), tools(), &server, post(&token(), message(method, params))).await;
        assert_eq!(received.status(), status, "{method}");
    }
}

#[tokio::test]
async fn the_name_in_the_head_is_that_of_the_method() {
    for (method, params, name, status) in [
        ("resources/read", r#"{"uri":"note://1","name":"x"}"#, "note://1", 200),
        ("resources/read", r#"{"uri":"note://1","name":"x"}"#, "x", 400),
        ("prompts/get", r#"{"name":"p"}"#, "p", 403),
        ("prompts/get", r#"{"name":"p"}"#, "q", 400),
        ("tools/list", "{}", "search", 400),
        ("ping", "{}", "ping", 400),
    ] {
        let server = Server::new();
        let request = with_header(post(&token(), message(method, params)), "mcp-name", name);
        assert_eq!(
            send(&guard(), tools(), &server, request).await.status(),
            status,
            "{method} {name}"
        );
    }
}

#[tokio::test]
async fn a_function_of_the_arguments_decides_before_the_server_runs() {
    #[derive(serde::Deserialize)]
    struct Refund {
        amount: u64,
    }
    let tools = || {
        Tools::new(READ).call("refund", |arguments| {
            let Refund { amount } = arguments.read()?;
            match amount {
                0 => Err(InvalidArguments::because("nothing to refund")),
                1..=100 => Ok(Require::valid_token()),
                _ => Ok(Require::scope(WRITE)),
            }
        })
    };
    let (guard, record) = Record::of(guard());
    for (arguments, status, code) in [
        (r#"{"amount":5}"#, 200, None),
        (r#"{"amount":500}"#, 403, Some(-32001)),
        (r#"{"amount":0}"#, 400, Some(-32602)),
        (r#"{"amount":"5"}"#, 400, Some(-32602)),
        (r#"{"amount":5.0}"#, 400, Some(-32602)),
        ("{}", 400, Some(-32602)),
        ("[5]", 400, Some(-32602)),
        ("null", 400, Some(-32602)),
    ] {
        let server = Server::new();
        let params = format!(r#"{{"name":"refund","arguments":{arguments}}}"#);
        let received =
            send(&guard, tools(), &server, post(&token(), message("tools/call", &params))).await;
        assert_eq!(received.status(), status, "{arguments}");
        assert_eq!(received.json()["error"]["code"].as_i64(), code, "{arguments}");
        assert_eq!(server.seen().is_empty(), status != 200);
    }
    assert!(record.lines().iter().any(|line| line["detail"] == "nothing to refund"));
}

#[test]
fn one_member_of_the_arguments_can_be_read_by_its_name() {
    use std::sync::Mutex;
    static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let tools = Tools::new(READ).call("refund", |arguments| {
        let amount: Option<u64> = arguments.get("amount")?;
        let to: String = arguments.get("to")?;
        SEEN.lock().unwrap().push(format!("{amount:?} {to} {}", arguments.text()));
        Ok(Require::valid_token())
    });
    let read = |arguments: &str| {
        let body = message("tools/call", &format!(r#"{{"name":"refund"{arguments}}}"#));
        tools
            .read(&http::HeaderMap::new(), body.as_bytes())
            .map(drop)
            .map_err(|invalid| invalid.problem())
    };
    assert_eq!(read(r#","arguments":{"t\u006f":"bob"}"#), Ok(()));
    assert_eq!(read(r#","arguments":{"amount":1,"to":"bob"}"#), Ok(()));
    assert_eq!(read(r#","arguments":{"amount":-1,"to":"bob"}"#), Err(Problem::InvalidParams));
    assert_eq!(read(""), Err(Problem::InvalidParams));
    assert_eq!(
        *SEEN.lock().unwrap(),
        [r#"None bob {"t\u006f":"bob"}"#, r#"Some(1) bob {"amount":1,"to":"bob"}"#]
    );
}

#[test]
fn a_mistake_that_is_visible_at_set_up_panics() {
    let panics = |make: fn()| assert!(catch_unwind(make).is_err());
    panics(|| drop(Tools::new(Require::scope(READ).single_use())));
    panics(|| drop(Tools::new(Scope::from_static("offline_access"))));
    panics(|| drop(tools().tool("x", Scope::from_static("offline_access"))));
    panics(|| drop(tools().tool("search", READ)));
    panics(|| drop(tools().call("search", |_| Ok(Require::valid_token()))));
    panics(|| drop(tools().tool("", READ)));
    panics(|| drop(tools().tool("x", Require::valid_token().delegated().undelegated())));
    panics(|| drop(tools().method("tools/list", READ)));
    panics(|| drop(tools().method("resources/*", READ)));
    panics(|| drop(tools().method("tools/call", READ)));
    panics(|| drop(tools().method("", READ)));
    panics(|| drop(tools().origin("https://app.example/")));
    panics(|| drop(tools().origin("app.example")));
    panics(|| drop(tools().origin("*")));
    // A guard that cannot spend.
    panics(|| drop(guard().mcp(tools().tool("pay", Require::scope(READ).single_use()))));
    drop(
        guard()
            .replay(MemoryReplayStore::new_at(now() - std::time::Duration::from_secs(3600)))
            .mcp(tools().tool("pay", Require::scope(READ).single_use())),
    );
}

#[tokio::test]
async fn the_limits_can_be_set() {
    let server = Server::new();
    let small = || tools().body_limit(64).body_timeout(Duration::from_millis(1));
    assert_eq!(
        send(&guard(), small(), &server, post(&token(), call("search"))).await.status(),
        413
    );
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert_eq!(send(&guard(), small(), &server, post(&token(), ping)).await.status(), 200);
    let request = post(&token(), "").map(|_| Endless { first: Some(ping.into()) });
    assert_eq!(send(&guard(), small(), &server, request).await.status(), 408);
}
