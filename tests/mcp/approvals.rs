//! A call that a human approves before the server runs, and the token that comes back for it.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use unconfused::approvals::{Approvals, SigningKey};
use unconfused::detail::{Detail, DetailType};
use unconfused::keys::Algorithm;
use unconfused::replay::MemoryReplayStore;
use unconfused::{Denial, Reason};

fn approving() -> Guard {
    let key = SigningKey::generate(Algorithm::Es256, "c1");
    let refund = DetailType::new("refund").exact("order").exact("amount");
    let approvals = Approvals::new(key, [1; 32], LOGIN);
    let store = MemoryReplayStore::new_at(now() - std::time::Duration::from_secs(3600));
    guard().detail_type(refund).approvals(approvals).replay(store)
}

fn refunding() -> Tools {
    tools().call("refund", |arguments| {
        let (order, amount): (u64, String) = (arguments.get("order")?, arguments.get("amount")?);
        let consent = Detail::of("refund").with("order", order).with("amount", amount);
        Ok(Require::detail(consent.approved()))
    })
}

fn refund(token: &TestToken, amount: &str) -> Request<TestBody> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "refund", "arguments": {"order": 7, "amount": amount}
    }});
    with_header(post(token, body.to_string()), "accept-txn-challenge", "?1")
}

/// The token of the transaction that the guard asks for.
async fn approved(guard: &Guard) -> TestToken {
    let server = Server::new();
    let received = send(guard, refunding(), &server, refund(&token(), "12.50")).await;
    assert_eq!((received.status(), received.code()), (401, -32001));
    assert!(server.seen().is_empty());
    let denial = received.head.extensions.get::<Denial>().unwrap();
    assert_eq!(denial.reason(), Reason::TransactionAuthorizationRequired);
    let signed = denial.challenge().unwrap().transaction_challenge().unwrap().as_str();
    let claims = URL_SAFE_NO_PAD.decode(signed.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let details = &claims["authorization_details"];
    token().claim("txn", &claims["txn"]).claim("authorization_details", details)
}

#[tokio::test]
async fn an_approved_call_runs_once_and_no_other_call_does() {
    let guard = approving();
    let approved = approved(&guard).await;
    let server = Server::new();
    let sent = async |request| send(&guard, refunding(), &server, request).await;
    let reason = |received: &Received| received.head.extensions.get::<Denial>().map(Denial::reason);

    // Another tool, another message, another amount, and a stream.
    let get = Request::get("/mcp").header("authorization", approved.bearer());
    for request in [
        post(&approved, call("search")),
        post(&approved, r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#),
        post(&approved, r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#),
        get.body(Full::default()).unwrap(),
    ] {
        assert_eq!(reason(&sent(request).await), Some(Reason::TransactionTokenMisused));
    }
    let other = sent(refund(&approved, "99.00")).await;
    assert!(matches!(
        reason(&other),
        Some(Reason::AuthorizationDetailsInsufficient | Reason::TransactionUnknown)
    ));
    assert!(server.seen().is_empty());

    let first = sent(refund(&approved, "12.50")).await;
    assert_eq!(first.status(), 200, "{first:?}");
    assert_eq!(reason(&sent(refund(&approved, "12.50")).await), Some(Reason::TokenSpent));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_client_that_knows_no_challenge_is_refused_for_good() {
    let server = Server::new();
    let mut request = refund(&token(), "12.50");
    request.headers_mut().remove("accept-txn-challenge");
    let received = send(&approving(), refunding(), &server, request).await;
    assert_eq!((received.status(), received.challenge()), (403, None));
    assert!(server.seen().is_empty());
}
