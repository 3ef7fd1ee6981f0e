//! The policies that are measured, and what they are asked.

use unconfused::Audience;
use unconfused::policy::{Ask, CedarPolicy};
use unconfused::testing::{TestIssuer, TestToken};

pub(crate) const ORDERS: Audience = Audience::from_static("https://orders.example");
pub(crate) const ISSUER: &str = "https://login.example";
const RULES: usize = 5;
const ANY_ACTION: usize = 10;

fn schema(actions: usize) -> String {
    let names: Vec<String> = (0..actions).map(|number| format!("\"orders.{number}\"")).collect();
    format!(
        "entity order = {{ owner: Subject }};
        action {} appliesTo {{
            principal: [Subject, Actor],
            resource: [order],
            context: {{ evidence: Evidence, amount: decimal, urgent: Bool }},
        }};",
        names.join(", ")
    )
}

/// Five rules for each action; and up to so many some for all, and rules about single parties.
fn policies(actions: usize, policies: usize) -> String {
    let mut text = String::new();
    for number in 0..actions {
        let action = format!("action == Action::\"orders.{number}\"");
        text += &format!(
            "permit(principal, {action}, resource) when {{ resource.owner == context.evidence.subject }};
            forbid(principal, {action}, resource) when {{ context.amount.greaterThan(decimal(\"500.0\")) }};
            forbid(principal is Actor, {action}, resource) when {{ context.evidence.at.toTime() < duration(\"1ms\") }};
            forbid(principal, {action}, resource) unless {{ context.evidence.scopes.contains(\"orders:refund\") }};
            @max_age(\"300\") forbid(principal, {action}, resource) when {{ context.urgent }};\n"
        );
    }
    let others = policies - RULES * actions;
    for number in 0..others.min(ANY_ACTION) {
        text += &format!(
            "forbid(principal, action, resource) when {{ principal.name == \"blocked-{number}\" }};\n"
        );
    }
    for number in ANY_ACTION..others {
        text += &format!(
            "forbid(principal == Actor::\"{ISSUER}#agent-{number}\", action, resource);\n"
        );
    }
    text
}

/// Policies that all fit.
fn unsliced(policies: usize) -> String {
    let permit = "permit(principal, action, resource);\n".to_owned();
    let forbid = |number| {
        format!(
            "forbid(principal, action, resource) when {{ principal.name == \"blocked-{number}\" }};\n"
        )
    };
    (1..policies).map(forbid).fold(permit, |text, policy| text + &policy)
}

fn load(policies: &str, actions: usize) -> CedarPolicy {
    CedarPolicy::new(policies, &schema(actions)).expect("valid policies")
}

/// Two actions, and no other rules.
#[allow(dead_code, reason = "its time is not measured")]
pub(crate) fn ten() -> CedarPolicy {
    load(&policies(2, 10), 2)
}

/// 100 actions. 15 policies are about one of them.
pub(crate) fn thousand() -> CedarPolicy {
    load(&policies(100, 1_000), 100)
}

/// All are about the action.
#[allow(dead_code, reason = "not counted, since that takes minutes")]
pub(crate) fn worst() -> CedarPolicy {
    load(&unsliced(1_000), 100)
}

pub(crate) fn token(login: &TestIssuer) -> TestToken {
    login.token(&ORDERS).subject("alice").actor("agent-7").scope("orders:refund")
}

pub(crate) fn ask() -> Ask {
    Ask::operation("orders.1")
        .resource("order", 7)
        .attribute("owner", format!("{ISSUER}#alice"))
        .attribute("amount", "12.50")
        .attribute("urgent", false)
}
