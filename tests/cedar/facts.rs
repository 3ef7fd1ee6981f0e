//! What policies see of a request.

use super::*;

/// Asserts that the condition holds for this request, and that its negation does not.
#[track_caller]
fn holds(condition: &str, token: &TestToken, ask: Ask) {
    let when =
        |condition: &str| format!("permit(principal, action, resource) when {{ {condition} }};");
    let answer = decided(&when(condition), token, ask.clone());
    assert_eq!(refusal(&answer), None, "{condition}");
    let answer = decided(&when(&format!("!({condition})")), token, ask);
    assert!(refusal(&answer).unwrap().contains("no policy permits"), "!({condition})");
}

#[test]
fn money_is_decimal_and_never_a_float() {
    for (amount, equal) in [
        ("12.50", "12.5"),
        ("12", "12.0"),
        ("0.1", "0.1"),
        ("12.500000", "12.5"),
        ("922337203685477.5807", "922337203685477.5807"),
        ("-3", "-3.0"),
    ] {
        let condition = format!("context has amount && context.amount == decimal(\"{equal}\")");
        holds(&condition, &alice(), refund().attribute("amount", amount));
    }
    let twelve = r#"context has amount && context.amount == decimal("12.0")"#;
    holds(twelve, &alice(), refund().attribute("amount", 12));
}

#[test]
fn attributes_have_the_types_of_the_schema() {
    let count = "context has count && context.count == 7 && context has urgent && context.urgent";
    holds(count, &alice(), refund().attribute("count", 7).attribute("urgent", true));
    let due = r#"context has due && context.due == datetime("2027-01-15T08:00:00Z")"#;
    holds(due, &alice(), refund().attribute("due", "2027-01-15T08:00:00Z"));
    let within = r#"context has within && context.within == duration("90m")"#;
    holds(within, &alice(), refund().attribute("within", "1h30m"));
    let from = r#"context has from && context.from.isInRange(ip("10.0.0.0/8"))"#;
    holds(from, &alice(), refund().attribute("from", "10.1.2.3"));
    let tags = r#"context has tags && context.tags.containsAll(["a", "b"])"#;
    holds(tags, &alice(), refund().attribute("tags", ["b", "a", "c"]));
    let prices = r#"context has prices && context.prices.contains(decimal("1.0"))"#;
    holds(prices, &alice(), refund().attribute("prices", ["1.00", "2.5"]));
    let note = r#"context has note && context.note == "a\"b""#;
    holds(note, &alice(), refund().attribute("note", "a\"b"));
}

#[test]
fn an_attribute_may_be_one_of_the_resource() {
    let own =
        r#"resource is order && resource has owner && resource.owner == context.evidence.subject"#;
    holds(own, &alice(), refund().attribute("owner", "https://login.example#alice"));
    let total =
        "resource is order && resource has total && resource.total == 9 && !(context has count)";
    holds(total, &alice(), refund().attribute("total", 9));
    let id = r#"resource == order::"7""#;
    holds(id, &alice(), refund());
}

#[test]
fn the_owner_of_an_order_may_be_compared_with_the_principal() {
    let own = r#"permit(principal is Subject, action, resource is order)
        when { resource has owner && resource.owner == principal };"#;
    let of = |owner: &str| decided(own, &alice(), refund().attribute("owner", owner));
    assert!(of("https://login.example#alice").is_ok());
    assert!(of("https://login.example#bob").is_err());
    assert!(of("https://other.example#alice").is_err());
}

#[test]
fn evidence_says_what_the_token_and_the_request_say() {
    let token = || by_agent().scope("orders:refund orders:read").acr("phr").authenticated(secs(60));
    for condition in [
        r#"context.evidence.subject == Subject::"https://login.example#alice""#,
        r#"context.evidence has actor && context.evidence.actor == Actor::"https://login.example#agent-7""#,
        r#"context.evidence.issuer == "https://login.example""#,
        r#"context.evidence has client && context.evidence.client == "web""#,
        r#"context.evidence.scopes == ["orders:read", "orders:refund"]"#,
        r#"context.evidence has acr && context.evidence.acr == "phr""#,
        "context.evidence.person && !context.evidence.sender_constrained",
        r#"context.evidence.at == datetime("2027-01-15T08:00:00Z")"#,
        r#"context.evidence.at.toTime() == duration("8h")"#,
        r#"context.evidence.method == "GET" && context.evidence.path == "/""#,
        "!(context.evidence has tenant)",
    ] {
        holds(condition, &token(), refund());
    }
    let recent = r#"context.evidence has auth_time &&
        context.evidence.at.durationSince(context.evidence.auth_time) <= duration("1h")"#;
    let answer = decided(
        &format!("permit(principal, action, resource) when {{ {recent} }};"),
        &alice().claim("auth_time", NOW - 60),
        refund(),
    );
    assert_eq!(refusal(&answer), None);
    holds("!(context.evidence has actor)", &alice(), refund());
    holds("!(context.evidence has acr) && !(context.evidence has auth_time)", &alice(), refund());
}

#[test]
fn a_claim_of_a_wrong_type_does_not_count_as_absent() {
    let weak = r#"forbid(principal, action, resource)
        when { context.evidence has acr && context.evidence.acr == "weak" };"#;
    let token = alice().claim("acr", ["weak"]);
    let answer = decided(&format!("{ALL}{weak}"), &token, refund());
    assert!(refusal(&answer).unwrap().contains("wrong JSON type"));
    // Many issuers write such claims. They harm no one who does not ask for them.
    assert!(decided(ALL, &token, refund()).is_ok());
    assert!(decided(ALL, &alice().claim("auth_time", "yesterday"), refund()).is_ok());
}

#[test]
fn a_schema_may_have_namespaces_and_names_for_types() {
    let schema = r#"
        namespace Shop {
            type Money = decimal;
            type Asked = { evidence: Evidence, amount: Money };
            entity Order = { owner?: Subject };
            action "writes";
            action "refund" in ["writes"] appliesTo {
                principal: [Subject, Actor], resource: [Order], context: Asked,
            };
        }
    "#;
    let policies = r#"permit(principal, action in Shop::Action::"writes", resource is Shop::Order)
        when { context.amount.lessThan(decimal("20.0")) && action in Shop::Action::"writes" &&
               resource has owner && resource.owner == context.evidence.subject };"#;
    let guard = guard().policy(CedarPolicy::new(policies, schema).unwrap());
    let of = |kind: &str, amount: &str| {
        let ask = Ask::operation("refund").resource(kind, 7).attribute("amount", amount);
        narrowed(&guard, &by_agent(), ask.attribute("owner", "https://login.example#alice")).is_ok()
    };
    assert!(of("Order", "19.99") && of("Shop::Order", "19.99"));
    assert!(!of("Order", "20") && !of("Other::Order", "19.99"));
    let group = Ask::operation("writes").resource("Order", 7);
    assert!(narrowed(&guard, &alice(), group).is_err());
}
