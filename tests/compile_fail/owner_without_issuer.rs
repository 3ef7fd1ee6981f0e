use unconfused::{Actor, AuditEvent, Grant};

// another trusted issuer may have an alice, too
fn is_owner(grant: &Grant, owner: &str) -> bool {
    owner == grant.subject()
}

fn is_not_owner(grant: &Grant, owner: String) -> bool {
    grant.subject() != owner
}

fn is_agent(actor: Actor<'_>) -> bool {
    actor == "agent-7"
}

fn is_alice(event: &AuditEvent<'_>) -> bool {
    event.subject() == Some("alice")
}

fn main() {}
