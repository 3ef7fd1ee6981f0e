//! The exchange is a step of the decision that led to it.

use serde_json::json;
use unconfused::Require;

use crate::server::{CHARGE, Orders, PAYMENTS};

#[tokio::test(start_paused = true)]
async fn an_exchange_is_on_record_as_a_step_of_the_decision_that_led_to_it() {
    let orders = Orders::new();
    let hop = orders.server.hop();
    let grant = orders.grant();
    hop.token(&orders.guard, &grant).await.unwrap();
    orders.server.set_down(true);
    hop.token(&orders.guard, &grant).await.unwrap();

    let events = orders.events.lock().unwrap();
    // Granted; met what the hop needs; a token. Then the same again, with the token that was kept.
    let hops: Vec<_> = events.iter().map(|(_, json)| json["next_hop"].as_str()).collect();
    let payments = Some("https://payments.example");
    assert_eq!(hops, [None, None, payments, None, payments]);
    for at in [2, 4] {
        let (_, json) = &events[at];
        assert_eq!(json["next_hop_server"], "https://login.example");
        assert_eq!(json["next_hop_scopes"], json!(["payments:charge"]));
        assert!(json.get("next_hop_on_own_behalf").is_none());
    }
    for (number, (line, json)) in events.iter().enumerate() {
        assert_eq!((&json["step"], &json["outcome"]), (&json!(number), &json!("allowed")));
        assert_eq!(json["decision"], json!(grant.decision().to_string()));
        assert_eq!(json["subject"], "alice");
        assert!(!line.contains("opaque") && !line.contains("eyJ"), "{line}");
    }
    let (line, _) = &events[2];
    let expected = r#"next_hop="https://payments.example" next_hop_server="https://login.example" next_hop_scope="payments:charge""#;
    assert!(line.contains(expected), "{line}");
}

#[tokio::test(start_paused = true)]
async fn a_hop_that_fails_is_on_record_as_denied_with_its_reason() {
    let orders = Orders::new();
    orders.server.set_down(true);
    let denial = orders.token(&orders.server.hop()).await.unwrap_err();
    let events = orders.events.lock().unwrap();
    let (line, json) = events.last().unwrap();
    assert_eq!(json["outcome"], "denied");
    assert_eq!((&json["reason"], &json["status"]), (&json!("next_hop_unavailable"), &json!(503)));
    assert_eq!(json["next_hop"], PAYMENTS.as_str());
    assert_eq!(json["decision"], denial.decision().unwrap().to_string());
    assert!(line.contains("no token from the authorization server"), "{line}");
}

#[tokio::test(start_paused = true)]
async fn a_token_on_the_services_own_behalf_is_marked_so() {
    let orders = Orders::new();
    let hop = orders.server.token_server().to(PAYMENTS.as_str(), [CHARGE]).unwrap();
    let hop = hop.on_own_behalf().needs(Require::valid_token());
    orders.token(&hop).await.unwrap();
    let events = orders.events.lock().unwrap();
    let (line, json) = events.last().unwrap();
    assert_eq!(json["next_hop_on_own_behalf"], true);
    assert!(line.contains("next_hop_on_own_behalf=true"), "{line}");
    assert!(!orders.server.asked()[0].form.contains_key("subject_token"));
}
