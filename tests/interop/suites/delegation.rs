//! Token exchange: who acts for whom, written by the server and read by the guard.

use serde_json::json;
use unconfused::{Guard, Issuer, Require};

use crate::peer::{Peer, http};
use crate::service::{ORDERS, PASSED, READ, Service};

#[tokio::test]
async fn an_exchanged_token_names_its_actor_and_requirements_read_it() {
    let peer = Peer::start();
    let issuer = Issuer::discover_without_tls_on_loopback(peer.issuer(), http()).unwrap();
    let by_agent_a = Require::scope(READ).actor([(peer.issuer(), "agent-a")]);
    let in_person = Require::scope(READ).undelegated();
    let service = Service::asking(Guard::new(ORDERS, issuer), by_agent_a, in_person).await;

    // Alice herself.
    let alice = peer.login("alice", ORDERS.as_str(), "orders:read").await.access_token;
    let answer = service.get(&alice).await;
    assert_eq!(answer.verdict(), (401, "actor_required"));
    assert!(answer.challenge.unwrap().contains(r#"error="invalid_token""#));
    let answer = service.post(&alice).await;
    assert_eq!(answer.verdict(), PASSED);
    assert_eq!(answer.who["actor"], json!(null));

    // The agent that is on the list, for Alice.
    let through_a = peer.exchange("agent-a", &alice).await;
    let answer = service.get(&through_a).await;
    assert_eq!(answer.verdict(), PASSED);
    assert_eq!(answer.who["subject"], "alice");
    assert_eq!(answer.who["client"], "agent-a");
    assert_eq!(answer.who["actor"], json!([peer.issuer(), "agent-a"]));
    assert_eq!(service.post(&through_a).await.verdict(), (403, "actor_unauthorized"));

    // Another one is not; what counts is who acts now, not who did before.
    let through_b = peer.exchange("agent-b", &alice).await;
    assert_eq!(service.get(&through_b).await.verdict(), (403, "actor_unauthorized"));
    let through_a_then_b = peer.exchange("agent-b", &through_a).await;
    assert_eq!(service.get(&through_a_then_b).await.verdict(), (403, "actor_unauthorized"));
    let through_b_then_a = peer.exchange("agent-a", &through_b).await;
    let answer = service.get(&through_b_then_a).await;
    assert_eq!(answer.verdict(), PASSED);
    assert_eq!(answer.who["subject"], "alice");
    assert_eq!(answer.who["actor"], json!([peer.issuer(), "agent-a"]));
    assert_eq!(answer.who["before"], json!(["agent-b"]));
}
