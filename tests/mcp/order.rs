//! The head first, then the body; one decision, and only its last step spends.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use unconfused::Reason;
use unconfused::proof::Dpop;
use unconfused::replay::MemoryReplayStore;
use unconfused::testing::TestProofKey;
use unconfused::token::ScopeHierarchy;

#[tokio::test]
async fn no_byte_of_the_body_is_read_for_a_caller_without_a_token_that_meets_the_base() {
    for (authorization, status) in [
        (None, 401),
        (Some("Bearer nonsense".to_owned()), 401),
        (Some(token().issued_at(now() - Duration::from_secs(3600)).bearer()), 401),
        (Some(token().scope("other").bearer()), 403),
    ] {
        let mut request = Request::post("/mcp").header("content-type", "application/json");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let server = Server::new();
        let request = request.body(Untouched { length: 1 << 20 }).unwrap();
        let received = send(&guard(), tools(), &server, request).await;
        assert_eq!((received.status(), received.code()), (status, -32001));
        // The base alone: a stranger learns of no other scope.
        assert!(received.json()["id"].is_null());
        assert!(!received.challenge().unwrap().contains("notes:write"));
        assert!(server.seen().is_empty());
    }
}

#[tokio::test]
async fn the_first_401_names_the_scopes_of_the_base_and_a_later_403_all_of_the_operation() {
    let server = Server::new();
    let without = Request::post("/mcp").body(Full::default()).unwrap();
    let received = send(&guard(), tools(), &server, without).await;
    assert!(received.challenge().unwrap().contains(r#"scope="notes:read""#));

    let expired = token().issued_at(now() - Duration::from_secs(3600));
    let received = send(&guard(), tools(), &server, post(&expired, call("search"))).await;
    let challenge = received.challenge().unwrap();
    assert!(challenge.contains("invalid_token") && challenge.contains(r#"scope="notes:read""#));

    let received = send(&guard(), tools(), &server, post(&token(), call("delete"))).await;
    assert_eq!(received.status(), 403);
    let challenge = received.challenge().unwrap();
    assert!(challenge.contains(r#"error="insufficient_scope""#), "{challenge}");
    assert!(challenge.contains(r#"scope="notes:read notes:write""#), "{challenge}");
}

#[tokio::test]
async fn a_broad_scope_implies_the_narrow_one() {
    let guard = guard().scope_hierarchy(ScopeHierarchy::new([(WRITE, vec![READ])]).unwrap());
    let server = Server::new();
    let token = token().scope("notes:write");
    for tool in ["search", "delete"] {
        assert_eq!(send(&guard, tools(), &server, post(&token, call(tool))).await.status(), 200);
    }
}

#[tokio::test]
async fn step_up_is_asked_for_by_the_tool_that_needs_it() {
    let tools = || Tools::new(READ).tool("search", READ).tool("delete", fresh());
    let server = Server::new();
    let old = token().scope("notes:read notes:write").authenticated(Duration::from_secs(3600));
    assert_eq!(send(&guard(), tools(), &server, post(&old, call("search"))).await.status(), 200);
    let received = send(&guard(), tools(), &server, post(&old, call("delete"))).await;
    assert_eq!(received.status(), 401);
    assert!(received.challenge().unwrap().contains(r#"max_age="300""#));
    let new = old.authenticated(Duration::from_secs(10));
    assert_eq!(send(&guard(), tools(), &server, post(&new, call("delete"))).await.status(), 200);
}

#[tokio::test]
async fn a_token_is_spent_by_the_call_alone() {
    let guard =
        guard().replay(MemoryReplayStore::new_at(now() - std::time::Duration::from_secs(3600)));
    let tools =
        || Tools::new(READ).tool("search", READ).tool("pay", Require::scope(READ).single_use());
    let server = Server::new();
    let token = token();
    let mut sent = Vec::new();
    for body in [call("search"), call("nothing"), call("pay"), call("search"), call("pay")] {
        sent.push(send(&guard, tools(), &server, post(&token, body)).await.status());
    }
    assert_eq!(sent, [200, 403, 200, 200, 401]);
}

#[tokio::test]
async fn a_proof_is_stored_once_for_both_steps() {
    let dpop = Dpop::for_base_url("https://notes.example").unwrap();
    let guard =
        guard().dpop(dpop, MemoryReplayStore::new_at(now() - std::time::Duration::from_secs(3600)));
    let key = TestProofKey::new();
    let signed = token().bound_to(&key).sign();
    let proof = key.proof("POST", "https://notes.example/mcp").issued_at(now()).token(&signed);
    let server = Server::new();
    let mut request = with_header(post(&token(), call("search")), "dpop", &proof.sign());
    let authorization = format!("DPoP {signed}");
    request.headers_mut().insert("authorization", authorization.parse().unwrap());
    let received = send(&guard, tools(), &server, request.clone()).await;
    assert_eq!(received.status(), 200, "{received:?}");
    let again = send(&guard, tools(), &server, request).await;
    assert_eq!(again.status(), 401);
    assert!(again.challenge().unwrap().contains("invalid_dpop_proof"));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_token_that_ends_while_the_body_arrives_is_refused() {
    let reads = AtomicUsize::new(0);
    let guard = Guard::new(NOTES, login().issuer()).clock(move || {
        let late = reads.fetch_add(1, Ordering::Relaxed) > 0;
        now() + Duration::from_secs(if late { 331 } else { 0 })
    });
    let server = Server::new();
    let received = send(&guard, tools(), &server, post(&token(), call("search"))).await;
    let denial = received.head.extensions.get::<unconfused::Denial>().unwrap();
    assert_eq!(denial.reason(), Reason::TokenExpired);
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn the_record_tells_the_steps_apart_and_names_the_tool() {
    let (guard, record) = Record::of(guard());
    let server = Server::new();
    send(&guard, tools(), &server, post(&token(), call("search"))).await;
    send(&guard, tools(), &server, post(&token(), call("delete"))).await;
    send(&guard, tools(), &server, post(&token(), call("nothing"))).await;
    let lines = record.lines();
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["step"].as_u64().unwrap(),
                line["operation"].as_str().unwrap(),
                line["tool"].as_str(),
                line["outcome"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (0, "POST /mcp", None, "allowed"),
            (1, "tools/call", Some("search"), "allowed"),
            (0, "POST /mcp", None, "allowed"),
            (1, "tools/call", Some("delete"), "denied"),
            (0, "POST /mcp", None, "allowed"),
            (1, "POST /mcp", None, "denied"),
        ]
    );
    assert_eq!(lines[0]["decision"], lines[1]["decision"]);
    assert_ne!(lines[1]["decision"], lines[3]["decision"]);
    assert_eq!(lines[5]["detail"], "no entry for the tool `nothing`");
}

#[tokio::test]
async fn the_record_names_the_tool_for_authorize_and_narrow_alike() {
    let (guard, record) = Record::of(guard());
    let tools = tools();
    let body = call("search");
    let request = post(&token(), body.clone());
    let message = tools.read(request.headers(), body.as_bytes()).unwrap();
    let (mut head, _) = request.into_parts();
    let grant = guard.authorize(&mut head, message.ask()).await.unwrap();
    guard.narrow(&grant, READ).await.unwrap();
    guard.narrow(&grant, unconfused::policy::Ask::operation("notes.search")).await.unwrap();
    drop(guard.refuse(&grant));
    for (line, operation) in
        record.lines().iter().zip(["tools/call", "tools/call", "notes.search", "tools/call"])
    {
        assert_eq!(
            (line["operation"].as_str(), line["tool"].as_str()),
            (Some(operation), Some("search"))
        );
    }
    assert_eq!(record.lines().len(), 4);
}

#[tokio::test]
async fn a_policy_sees_the_tool() {
    use unconfused::policy::{Verdict, policy_fn};
    let guard = guard().policy(policy_fn(|question| {
        let operation = question.operation();
        match (operation.resource_type(), operation.resource_id()) {
            (Some("tool"), Some("search")) => Verdict::Forbid("no searching".into()),
            _ => Verdict::Permit,
        }
    }));
    let server = Server::new();
    let received = send(&guard, tools(), &server, post(&token(), call("search"))).await;
    assert_eq!((received.status(), received.code()), (403, -32001));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn an_outer_layer_of_the_same_guard_is_a_step_before() {
    let (guard, record) = Record::of(guard());
    let server = Server::new();
    let inner = guard.mcp(tools()).layer(server.clone());
    let mut request = post(&token(), call("delete"));
    let (mut head, body) = request.into_parts();
    guard.authorize(&mut head, Require::valid_token()).await.unwrap();
    request = Request::from_parts(head, body);
    let response = inner.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 403);
    let lines = record.lines();
    let steps: Vec<_> = lines.iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [0, 1, 2]);
}

#[tokio::test]
async fn the_credential_does_not_reach_the_server_and_the_grant_does() {
    let server = Server::new();
    send(&guard(), tools(), &server, post(&token(), call("search"))).await;
    let (parts, _) = server.seen().pop().unwrap();
    assert!(!parts.headers.contains_key("authorization"));
    assert!(parts.extensions.get::<unconfused::Grant>().is_some());
    let call = parts.extensions.get::<unconfused::mcp::Call>().unwrap();
    assert_eq!(call.grant().operation().tool().unwrap().raw(), "search");
}
