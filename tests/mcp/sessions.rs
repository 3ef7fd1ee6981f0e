//! Sessions belong to the subject and the client that began them.

use super::hostile::bound_session;
use super::*;
use unconfused::mcp::SessionKey;

async fn seen_id(tools: Tools, id: &str) -> Result<Option<String>, u16> {
    let server = Server::new();
    let request = with_header(post(&token(), call("search")), "mcp-session-id", id);
    let received = send(&guard(), tools, &server, request).await;
    match server.seen().pop() {
        Some((parts, _)) => {
            Ok(parts.headers.get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned()))
        }
        None => Err(received.status()),
    }
}

#[tokio::test]
async fn the_server_sees_its_own_id_and_the_client_one_with_a_code() {
    let bound = bound_session(&token()).await;
    assert!(bound.starts_with("s-1.a.") && bound.len() > 40, "{bound}");
    assert_eq!(seen_id(tools().sessions([7; 32]), &bound).await, Ok(Some("s-1.a".to_owned())));
}

#[tokio::test]
async fn an_id_that_was_changed_or_not_made_here_is_not_found() {
    let bound = bound_session(&token()).await;
    let other_code = bound.replace("s-1.a", "s-2.a");
    for id in ["s-1.a", "", ".", "s-1.a.", &bound[..bound.len() - 1], &other_code] {
        assert_eq!(seen_id(tools().sessions([7; 32]), id).await, Err(404), "{id}");
    }
    assert_eq!(seen_id(tools().sessions([8; 32]), &bound).await, Err(404));
    let server = Server::new();
    let request = with_header(post(&token(), call("search")), "mcp-session-id", &bound);
    let request = with_header(request, "mcp-session-id", &bound);
    assert_eq!(send(&guard(), tools().sessions([7; 32]), &server, request).await.status(), 404);
}

#[tokio::test]
async fn a_previous_key_is_still_recognized() {
    let bound = bound_session(&token()).await;
    let key = SessionKey::new([8; 32]).previous([7; 32]);
    assert_eq!(seen_id(tools().sessions(key), &bound).await, Ok(Some("s-1.a".to_owned())));
}

#[tokio::test]
async fn without_a_key_no_session_passes_either_way() {
    assert_eq!(seen_id(tools(), "s-1").await, Ok(None));
    let server = Server::answering(|_, _| {
        let mut response = json_response("{}");
        response.headers_mut().insert("mcp-session-id", "s-1".parse().unwrap());
        response
    });
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
    let received = send(&guard(), tools(), &server, post(&token(), body)).await;
    assert_eq!((received.status(), received.code()), (500, -32603));
    assert!(!received.head.headers.contains_key("mcp-session-id"));
}

#[tokio::test]
async fn another_resource_with_the_same_key_does_not_recognize_the_id() {
    let bound = bound_session(&token()).await;
    let other = Audience::from_static("https://other.example/mcp");
    let guard = Guard::new(other.clone(), login().issuer()).clock(now);
    let token = login().token(&other).issued_at(now()).scope("notes:read");
    let server = Server::new();
    let request = with_header(post(&token, call("search")), "mcp-session-id", &bound);
    assert_eq!(send(&guard, tools().sessions([7; 32]), &server, request).await.status(), 404);
}
