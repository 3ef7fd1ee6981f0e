//! Reads the arguments, and keeps the server running for clients of yours.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpListener;
use unconfused::testing::TestIssuer;
use unconfused::{Audience, AuditEvent, Issuer};

use crate::story::{approvals, line, session_key};
use crate::{app, guard, story};

/// Does what the arguments say.
pub(crate) async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (port, issuer) = match args[..] {
        ["--serve"] => ("0", None),
        ["--serve", "--issuer", issuer] => ("0", Some(issuer)),
        ["--serve", port] => (port, None),
        ["--serve", port, "--issuer", issuer] => (port, Some(issuer)),
        _ => ("", None),
    };
    let done = match (args.is_empty(), port.parse()) {
        (true, _) => story::tell().await,
        (false, Ok(port)) => serve(port, issuer).await,
        (false, Err(_)) => {
            eprintln!("usage: mcp_tools [--serve [PORT] [--issuer URL]]");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mcp_tools: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs until Ctrl-C, and prints the record.
async fn serve(port: u16, issuer: Option<&str>) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    // What clients call the server is what its tokens are meant for.
    let url = format!("http://{}/mcp", listener.local_addr()?);
    let resource = Audience::new(&*url)?;
    let issuer = match issuer {
        Some(url) => {
            let http =
                reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
            // Plain http is for development: on this machine, as here.
            Issuer::discover_without_tls_on_loopback(url, http)?
        }
        None => made_up(&resource, &url),
    };
    let approvals = approvals(issuer.name())?;
    println!("listening {url} until Ctrl-C, for tokens of {}. The record:", issuer.name());
    let guard =
        guard(resource, issuer, approvals, |event: &AuditEvent<'_>| println!("{}", line(event)));
    axum::serve(listener, app(guard, session_key()?)?)
        .with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) })
        .await?;
    Ok(())
}

/// An issuer that is made up, and commands with tokens of it.
fn made_up(resource: &Audience, url: &str) -> Issuer {
    let login = TestIssuer::new("https://login.example");
    println!("The tokens are valid for an hour, and only for this run, which made their key.");
    let hour = Duration::from_secs(3600);
    let call = |tool: &str, arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{{"name":"curl","version":"1"}},"io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
        )
    };
    for (what, scope, tool, arguments) in [
        ("alice's orders: 200.", "orders:read", "list_orders", "{}"),
        (
            "an order, with too little scope: 403.",
            "orders:read",
            "create_order",
            r#"{"item":"a teapot"}"#,
        ),
        ("an order: 200.", "orders:read orders:write", "create_order", r#"{"item":"a teapot"}"#),
    ] {
        let token = login.token(resource).subject("alice").client("desktop-agent").scope(scope);
        println!("\n# {what}");
        println!(
            "curl -i {url} -H 'Authorization: {}' -H 'Content-Type: application/json' -H 'Accept: application/json, \
             text/event-stream' -H 'MCP-Protocol-Version: 2026-07-28' -H 'Mcp-Method: tools/call' -H 'Mcp-Name: {tool}' \
             -d '{}'",
            token.lifetime(hour).bearer(),
            call(tool, arguments)
        );
    }
    println!();
    login.issuer()
}
