//! Whatever the server library behind would run is what was authorized: rmcp is asked directly, and the table is asked
//! about the same bytes and fields.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CustomNotification, CustomRequest,
    CustomResult, GetPromptRequestParams, GetPromptResponse, ListResourcesResult, ListToolsResult,
    PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse,
};
use rmcp::service::{NotificationContext, RequestContext};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};

/// What ran: a method, and the name that it was about.
type Ran = (String, Option<String>);

#[derive(Clone, Default)]
struct Handler(Arc<Mutex<Vec<Ran>>>);

impl Handler {
    fn ran(&self, method: &str, name: Option<&str>) {
        self.0.lock().unwrap().push((method.to_owned(), name.map(str::to_owned)));
    }
}

impl ServerHandler for Handler {
    async fn ping(&self, _: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        self.ran("ping", None);
        Ok(())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.ran("tools/call", Some(&request.name));
        Ok(CallToolResult::success(Vec::new()).into())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        self.ran("tools/list", None);
        Ok(ListToolsResult::default())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        self.ran("resources/list", None);
        Ok(ListResourcesResult::default())
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        self.ran("resources/read", Some(&request.uri));
        Err(ErrorData::internal_error("none", None))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        self.ran("prompts/get", Some(&request.name));
        Err(ErrorData::internal_error("none", None))
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        self.ran(&request.method, None);
        Err(ErrorData::internal_error("none", None))
    }

    async fn on_custom_notification(
        &self,
        notification: CustomNotification,
        _: NotificationContext<RoleServer>,
    ) {
        self.ran(&notification.method, None);
    }
}

type Rmcp = StreamableHttpService<Handler, LocalSessionManager>;

fn rmcp(handler: &Handler) -> Rmcp {
    let handler = handler.clone();
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .disable_allowed_hosts();
    StreamableHttpService::new(move || Ok(handler.clone()), Arc::default(), config)
}

fn table() -> Tools {
    Tools::new(READ)
        .tool("search", READ)
        .tool("delete", WRITE)
        .method("tools/list", READ)
        .method("resources/list", READ)
        .method("resources/read", READ)
        .method("prompts/get", READ)
}

/// A valid message and its fields, most of the time.
fn message() -> impl Strategy<Value = String> {
    let method = select(vec![
        "tools/call",
        "tools/call",
        "tools/call",
        "tools/list",
        "resources/read",
        "resources/list",
        "prompts/get",
        "ping",
        "Tools/Call",
        "x/y",
        "notifications/x",
    ]);
    let name = select(vec!["search", "delete", "Delete", ""]);
    let params = select(vec![
        r#""params":{"name":NAME,"uri":NAME,"arguments":{}}"#,
        r#""params":{"arguments":{"name":"search"},"name":NAME,"uri":NAME}"#,
        r#""params":{"name":NAME,"uri":NAME,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}"#,
        r#""params":{"name":NAME,"uri":NAME,"arguments":[]}"#,
        r#""params":{}"#,
        r#""params":[NAME]"#,
        r#""x":1"#,
    ]);
    let id = select(vec![r#""id":1"#, r#""id":"a""#, r#""id":1.5"#, r#""id":null"#, r#""y":1"#]);
    let version = select(vec![r#""jsonrpc":"2.0""#, r#""jsonrpc":"2.\u0030""#]);
    (method, name, params, id, version, any::<u8>()).prop_map(
        |(method, name, params, id, version, turn)| {
            let params = params.replace("NAME", &json!(name).to_string());
            let mut members =
                [version.to_owned(), id.to_owned(), format!(r#""method":"{method}""#), params];
            members.rotate_left(usize::from(turn) % 4);
            format!("{{{}}}", members.join(","))
        },
    )
}

/// What is put somewhere, and how many characters are cut there.
fn edit() -> impl Strategy<Value = (Index, usize, &'static str)> {
    let put = select(vec![
        "",
        "",
        " ",
        "\"",
        "{",
        "}",
        "[",
        "]",
        ",",
        "\\u0064",
        "\\",
        "\0",
        "\u{feff}",
        "1e999",
        "é",
        r#""method":"tools/call","#,
        r#""method":"tools/list","#,
        r#""name":"delete","#,
        r#""name":"search","#,
        r#""params":{"name":"delete"},"#,
        r#""result":{},"#,
        r#""error":{"code":1,"message":""},"#,
        r#""id":2,"#,
        r#""Method":"tools/call","#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete"}}"#,
    ]);
    (any::<Index>(), select(vec![0, 0, 0, 1, 3]), put)
}

/// Fields that say something of the message.
fn fields() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let field = select(vec![
        ("mcp-method", "tools/call"),
        ("mcp-method", "tools/list"),
        ("mcp-name", "search"),
        ("mcp-name", "delete"),
        ("mcp-name", "=?base64?ZGVsZXRl?="),
        ("mcp-protocol-version", "2025-11-25"),
        ("mcp-protocol-version", "2026-07-28"),
    ]);
    prop_oneof![Just(Vec::new()), vec(field, 0..4)]
}

fn edited(message: &str, edits: Vec<(Index, usize, &'static str)>) -> String {
    let mut text = message.to_owned();
    for (at, cut, put) in edits {
        let mut at = at.index(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let cut: usize = text[at..].chars().take(cut).map(char::len_utf8).sum();
        text.replace_range(at..at + cut, put);
    }
    text
}

fn request(body: &str, fields: &[(&'static str, &'static str)]) -> Request<TestBody> {
    let mut request = post(&token().scope("notes:read notes:write"), body.to_owned());
    request.headers_mut().insert("accept", "application/json, text/event-stream".parse().unwrap());
    request.headers_mut().insert("host", "localhost".parse().unwrap());
    for (name, value) in fields {
        request = with_header(request, name, value);
    }
    request
}

#[test]
fn whatever_rmcp_would_run_is_what_was_authorized() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let handler = Handler::default();
    let (service, tools) = (rmcp(&handler), table());
    let (mut ran_at_all, mut refused_here) = (0, 0);
    let cell = std::cell::RefCell::new((&mut ran_at_all, &mut refused_here));
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4_000) };
    proptest::test_runner::TestRunner::new(config)
        .run(
            &(message(), prop_oneof![Just(Vec::new()), vec(edit(), 0..3)], fields()),
            |(message, edits, fields)| {
                let body = edited(&message, edits);
                let request = request(&body, &fields);
                let headers = request.headers().clone();
                runtime.block_on(async {
                    let response = service.handle(request).await;
                    response.into_body().collect().await.unwrap();
                });
                let ran = std::mem::take(&mut *handler.0.lock().unwrap());
                let read = tools.read(&headers, body.as_bytes());
                let mut counts = cell.borrow_mut();
                for (method, name) in ran {
                    *counts.0 += 1;
                    match &read {
                        Err(_) => *counts.1 += 1,
                        Ok(message) => {
                            prop_assert_eq!(message.method(), Some(&*method), "{}", body);
                            if name.is_some() {
                                prop_assert_eq!(message.name(), name.as_deref(), "{}", body);
                            }
                        }
                    }
                }
                Ok(())
            },
        )
        .unwrap();
    // The comparison says something only if many of them run.
    assert!(
        ran_at_all > 400 && refused_here < ran_at_all,
        "{ran_at_all} ran, {refused_here} of them refused here"
    );
}

#[test]
fn behind_the_layer_nothing_runs_but_what_the_grant_names() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let handler = Handler::default();
    let record = Record::default();
    let lines = record.0.clone();
    let guard = guard().audit(move |event: &AuditEvent<'_>| {
        let operation = event.operation();
        let (name, resource) = (operation.name().unwrap_or_default(), operation.resource_id());
        if event.allowed() && event.step() == 1 {
            lines.lock().unwrap().push(json!([name, resource]).to_string());
        }
    });
    let service = guard.mcp(table()).layer(rmcp(&handler));
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) };
    proptest::test_runner::TestRunner::new(config)
        .run(
            &(message(), prop_oneof![Just(Vec::new()), vec(edit(), 0..2)], fields()),
            |(message, edits, fields)| {
                let body = edited(&message, edits);
                runtime.block_on(async {
                    let response = service.clone().oneshot(request(&body, &fields)).await.unwrap();
                    response.into_body().collect().await.unwrap();
                });
                let ran = std::mem::take(&mut *handler.0.lock().unwrap());
                let granted: Vec<_> = record.lines();
                record.0.lock().unwrap().clear();
                for (method, name) in ran {
                    let granted = granted.first().expect("what runs was granted");
                    prop_assert_eq!(granted[0].as_str(), Some(&*method));
                    prop_assert!(
                        name.is_none() || granted[1].as_str() == name.as_deref(),
                        "{}",
                        body
                    );
                }
                Ok(())
            },
        )
        .unwrap();
}
