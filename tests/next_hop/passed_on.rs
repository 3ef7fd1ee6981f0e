//! What the next resource demands of the subject travels back to the client, as one challenge.

use http::{HeaderMap, StatusCode};
use unconfused::Reason;

use crate::server::Orders;

fn fields(values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append("www-authenticate", value.parse().unwrap());
    }
    headers
}

#[tokio::test]
async fn step_up_that_the_next_resource_demands_becomes_one_challenge_of_this_one() {
    let orders = Orders::new();
    let (hop, grant) = (orders.server.hop(), orders.grant());
    let demand = fields(&[
        r#"Bearer error="insufficient_user_authentication", error_description="x", acr_values="phr", max_age="300", scope="payments:charge", resource_metadata="https://payments.example/m""#,
        r#"DPoP algs="ES256", error="insufficient_user_authentication", acr_values="phr", max_age=300"#,
    ]);
    let denial = hop.step_up_denial(&orders.guard, &grant, StatusCode::UNAUTHORIZED, &demand);
    let denial = denial.unwrap();
    assert_eq!(denial.reason(), Reason::AuthenticationLevelInsufficient);
    let answer = denial.respond("");
    let challenges: Vec<_> = answer.headers().get_all("www-authenticate").iter().collect();
    // Neither the scopes nor the metadata of the other resource.
    assert_eq!(
        challenges,
        [
            r#"Bearer error="insufficient_user_authentication", error_description="A different authentication level is required", acr_values="phr", max_age="300", resource_metadata="https://orders.example/.well-known/oauth-protected-resource""#
        ]
    );
    let events = orders.events.lock().unwrap();
    let (_, json) = events.last().unwrap();
    assert_eq!((&json["outcome"], &json["step_up"]), (&"denied".into(), &"asked".into()));
    assert_eq!(json["next_hop"], "https://payments.example");
}

#[tokio::test]
async fn no_other_refusal_of_the_next_resource_is_passed_on() {
    let orders = Orders::new();
    let (hop, grant) = (orders.server.hop(), orders.grant());
    let step_up = r#"Bearer error="insufficient_user_authentication", acr_values="phr""#;
    for (status, field) in [
        (401, r#"Bearer error="invalid_token""#),
        (403, r#"Bearer error="insufficient_scope", scope="payments:charge""#),
        (403, step_up),
        (200, step_up),
        (401, r#"Bearer error_description="error=\"insufficient_user_authentication\"""#),
        (401, r#"Bearer error="insufficient_user_authentication", error="invalid_token""#),
        (401, ""),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let denial = hop.step_up_denial(&orders.guard, &grant, status, &fields(&[field]));
        assert!(denial.is_none(), "{status} {field}");
    }
    assert_eq!(orders.events.lock().unwrap().len(), 1);
}
