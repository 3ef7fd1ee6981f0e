//! What clients are told.

use super::*;
use unconfused::detail::{Detail, DetailType};
use unconfused::mcp::{JsonRpcError, Problem};
use unconfused::{Denial, Reason};

#[tokio::test]
async fn the_error_stands_beside_status_and_challenge_with_the_id_of_the_request() {
    let server = Server::new();
    for id in ["1", "-7", "\"a\"", r#""\u00e9\n""#, "123456789012345678901234567890"] {
        let body = call("delete").replace(r#""id":1"#, &format!(r#""id":{id}"#));
        let received = send(&guard(), tools(), &server, post(&token(), body)).await;
        let text = String::from_utf8(received.body.to_vec()).unwrap();
        assert!(text.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"#)), "{text}");
        assert_eq!(received.status(), 403);
        let data = &received.json()["error"]["data"];
        assert_eq!((&data["status"], &data["reason"]), (&json!(403), &json!("insufficient_scope")));
        assert_eq!(data["required_scopes"], json!(["notes:read", "notes:write"]));
        assert_eq!(data["www_authenticate"][0].as_str(), received.challenge());
        assert!(data["decision"].is_string());
        assert_eq!(received.head.headers["content-type"], "application/json");
        assert_eq!(received.head.headers["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn a_problem_is_told_in_its_own_words() {
    let server = Server::new();
    for (body, problem) in [
        (call("nothing"), Problem::ToolUnknown),
        ("[]".to_owned(), Problem::NotJson),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#.to_owned(), Problem::MethodUnknown),
    ] {
        let received = send(&guard(), tools(), &server, post(&token(), body)).await;
        let error = received.json()["error"].clone();
        assert_eq!(error["message"], problem.message());
        assert_eq!(error["data"]["reason"], problem.reason().as_str());
        assert_eq!(error["data"]["status"], problem.status().as_u16());
        let denial = received.head.extensions.get::<Denial>().unwrap();
        assert_eq!((denial.status(), denial.reason()), (problem.status(), problem.reason()));
    }
}

#[tokio::test]
async fn a_body_of_the_guard_changes_nothing() {
    let guard = guard().body(unconfused::layer::ProblemJson);
    let server = Server::new();
    let received = send(&guard, tools(), &server, post(&token(), call("delete"))).await;
    assert_eq!(received.json()["jsonrpc"], "2.0");
}

#[tokio::test]
async fn structured_denials_are_added_only_if_the_owner_wants_them() {
    let guard = guard().detail_type(DetailType::new("refund").exact("order"));
    let tools = || {
        Tools::new(READ)
            .tool("delete", WRITE)
            .tool("refund", Require::detail(Detail::of("refund").with("order", "7")))
    };
    let server = Server::new();
    for tool in ["delete", "refund", "nothing"] {
        let plain = send(&guard, tools(), &server, post(&token(), call(tool))).await;
        assert!(plain.json()["error"]["data"]["authorization"].is_null());
        let structured =
            send(&guard, tools().structured_denials(), &server, post(&token(), call(tool))).await;
        assert_eq!(
            (plain.status(), plain.challenge()),
            (structured.status(), structured.challenge())
        );
        let data = structured.json()["error"]["data"].clone();
        let authorization = &data["authorization"];
        if tool == "nothing" {
            assert!(authorization.is_null());
            continue;
        }
        assert_eq!(authorization["reason"], "insufficient_authorization");
        assert_eq!(authorization["credentialDisposition"], "replacement");
        assert_eq!(authorization["authorizationContextId"], data["decision"]);
        let hints = &authorization["remediationHints"];
        match tool {
            "refund" => {
                assert_eq!(hints[0]["type"], "oauth_authorization_details");
                assert_eq!(hints[0]["authorization_details"][0]["order"], "7");
            }
            _ => assert!(hints.is_null()),
        }
    }
}

#[test]
fn codes_are_those_of_json_rpc_of_the_protocol_or_of_this_implementation() {
    let denials =
        Reason::ALL.iter().map(|reason| JsonRpcError::from(&Denial::from(*reason)).code());
    for code in denials.chain(Problem::ALL.iter().map(|problem| problem.code())) {
        let known = [-32700, -32600, -32601, -32602, -32603, -32020];
        assert!(known.contains(&code) || (-32019..=-32000).contains(&code), "{code}");
    }
}
