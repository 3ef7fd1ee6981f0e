//! A tool that refuses by itself, behind rmcp.

use super::*;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ErrorCode, ServerCapabilities,
    ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use unconfused::mcp::Call;

/// Lets no one write without the scope, which only the tool itself knows.
#[derive(Clone)]
struct Notes {
    guard: Guard,
}

impl ServerHandler for Notes {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn call_tool(
        &self,
        _: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let call =
            context.extensions.get::<Parts>().and_then(|parts| parts.extensions.get::<Call>());
        let call = call.ok_or_else(|| ErrorData::internal_error("no guard", None))?;
        self.guard.narrow(call.grant(), WRITE).await.map_err(|denial| {
            let error = call.deny(denial);
            ErrorData::new(ErrorCode(error.code()), error.message(), Some(error.data().clone()))
        })?;
        Ok(CallToolResult::success(Vec::new()).into())
    }
}

fn service(
    guard: &Guard,
    config: StreamableHttpServerConfig,
    tools: Tools,
) -> impl Clone
+ tower::Service<
    Request<TestBody>,
    Response = Response<
        unconfused::mcp::ToolsBody<http_body_util::combinators::BoxBody<Bytes, Infallible>>,
    >,
    Error = Infallible,
> {
    let notes = Notes { guard: guard.clone() };
    let server: StreamableHttpService<Notes, LocalSessionManager> = StreamableHttpService::new(
        move || Ok(notes.clone()),
        Arc::default(),
        config.disable_allowed_hosts(),
    );
    guard.mcp(tools).layer(server)
}

fn accepting(request: Request<TestBody>) -> Request<TestBody> {
    let request = with_header(request, "host", "localhost");
    with_header(request, "accept", "application/json, text/event-stream")
}

#[tokio::test]
async fn the_client_receives_status_and_challenge_if_the_head_is_not_out() {
    let (guard, record) = Record::of(guard());
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true);
    let service = service(&guard, config, tools());
    let request = accepting(post(&token(), call("search").replace(r#""id":1"#, r#""id":"a-1""#)));
    let response = service.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    assert_eq!(head.status, 403);
    let challenge = head.headers["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains(r#"scope="notes:read notes:write""#), "{challenge}");
    assert_eq!(head.headers["content-type"], "application/json");
    let body: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!((&body["id"], &body["error"]["code"]), (&json!("a-1"), &json!(-32001)));
    let last = record.lines().pop().unwrap();
    assert_eq!(
        (&last["reason"], &last["status"], &last["tool"]),
        (&json!("insufficient_scope"), &json!(403), &json!("search"))
    );

    let enough = accepting(post(&token().scope("notes:read notes:write"), call("search")));
    assert_eq!(service.oneshot(enough).await.unwrap().status(), 200);
}

#[tokio::test]
async fn in_a_session_the_error_has_the_challenge_and_the_record_says_that_there_was_no_status() {
    let (guard, record) = Record::of(guard());
    let service = service(&guard, StreamableHttpServerConfig::default(), tools().sessions([7; 32]));
    let initialize = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}
    }});
    let response =
        service.clone().oneshot(accepting(post(&token(), initialize.to_string()))).await.unwrap();
    assert_eq!(response.status(), 200);
    let session = response.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    drop(response.into_body().collect().await);
    let of_session = |body: String| {
        let request = with_header(accepting(post(&token(), body)), "mcp-session-id", &session);
        with_header(request, "mcp-protocol-version", "2025-11-25")
    };
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned();
    assert_eq!(service.clone().oneshot(of_session(initialized)).await.unwrap().status(), 202);

    let response = service.clone().oneshot(of_session(call("search"))).await.unwrap();
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let error = body
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .find(|data| data.contains("error"))
        .unwrap();
    let error: Value = serde_json::from_str(error).unwrap();
    assert_eq!(error["error"]["code"], -32001);
    let challenge = error["error"]["data"]["www_authenticate"][0].as_str().unwrap();
    assert!(challenge.contains(r#"scope="notes:read notes:write""#), "{challenge}");
    let lines = record.lines();
    let [.., denied, last] = &lines[..] else { panic!() };
    assert_eq!(denied["reason"], "insufficient_scope");
    assert_eq!(last["detail"], "the response had begun, so the client saw no status");
    assert_eq!((&last["reason"], &last["decision"]), (&denied["reason"], &denied["decision"]));

    // What the layer itself refuses has a status in a session too.
    assert_eq!(service.oneshot(of_session(call("delete"))).await.unwrap().status(), 403);
}

#[tokio::test]
async fn the_first_denial_of_a_handler_counts() {
    let server = Server::answering(|parts, _| {
        let call = parts.extensions.get::<Call>().unwrap();
        for reason in [unconfused::Reason::ActorUnauthorized, unconfused::Reason::PolicyDenied] {
            let _ = call.clone().deny(reason.into());
        }
        json_response("{}")
    });
    let received = send(&guard(), tools(), &server, post(&token(), call("search"))).await;
    assert_eq!(
        (received.status(), received.json()["error"]["data"]["reason"].as_str()),
        (403, Some("actor_unauthorized"))
    );
}
