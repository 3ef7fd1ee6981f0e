//! Who is asked about, and what the answers come to.

use std::sync::{Arc, Mutex};

use super::*;
use unconfused::audit::audit_fn;
use unconfused::{AuditEvent, Reason};

const FOR_SUBJECTS: &str = r#"@id("s") permit(principal is Subject, action, resource);"#;
const FOR_ACTORS: &str = r#"@id("a") permit(principal is Actor, action, resource);"#;

#[test]
fn subject_and_actor_must_both_be_permitted() {
    let both = format!("{FOR_SUBJECTS}{FOR_ACTORS}");
    let answer = |policies: &str, token: TestToken| refusal(&decided(policies, &token, refund()));
    let no_actor = "policy_denied: no policy permits the actor";
    let no_subject = "policy_denied: no policy permits the subject";
    assert_eq!(answer(&both, by_agent()), None);
    assert_eq!(answer(FOR_SUBJECTS, by_agent()).as_deref(), Some(no_actor));
    assert_eq!(answer(FOR_ACTORS, by_agent()).as_deref(), Some(no_subject));
    assert_eq!(answer(FOR_SUBJECTS, alice()), None);
    assert_eq!(answer(FOR_ACTORS, alice()).as_deref(), Some(no_subject));

    let not_the_actor = format!("{ALL} @id(\"no\") forbid(principal is Actor, action, resource);");
    let forbidden = "policy_denied: the actor is forbidden";
    assert_eq!(answer(&not_the_actor, by_agent()).as_deref(), Some(forbidden));
    assert_eq!(answer(&not_the_actor, alice()), None);
}

#[test]
fn a_party_is_its_issuer_and_its_name() {
    let one = r#"permit(principal == Subject::"https://login.example#alice", action, resource);
        permit(principal == Actor::"https://login.example#agent-7", action, resource);"#;
    assert!(decided(one, &by_agent(), refund()).is_ok());
    for party in ["https://login.example#alice", "https://login.example#agent-7"] {
        let other = one.replace(party, &party.replace("login", "other"));
        assert!(decided(&other, &by_agent(), refund()).is_err());
    }

    let by_attribute = r#"permit(principal, action, resource)
        when { principal.issuer == "https://login.example" && principal.name != "mallory" };"#;
    assert!(decided(by_attribute, &by_agent(), refund()).is_ok());
    assert!(decided(by_attribute, &alice().actor("mallory"), refund()).is_err());
    assert!(decided(by_attribute, &alice().subject("mallory"), refund()).is_err());
}

#[test]
fn a_name_cannot_pass_for_that_of_another_issuer() {
    // Issuer `https://login.example`, name `x#alice`, would be issuer `https://login.example#x`, name `alice`.
    let tricked =
        r#"permit(principal == Subject::"https://login.example#x#alice", action, resource);"#;
    assert!(decided(tricked, &alice().subject("x#alice"), refund()).is_ok());
    let odd = TestIssuer::new("https://login.example#x");
    let guard = Guard::new(ORDERS, odd.issuer()).clock(now);
    let token = odd.token(&ORDERS).issued_at(now()).subject("alice");
    let grant = token.granted_by(&guard, Require::valid_token());
    let answer = guard.policy(cedar(tricked)).narrow(&grant, refund()).now().unwrap();
    assert_eq!(refusal(&answer).unwrap(), "policy_denied: the name of an issuer contains `#`");
}

#[test]
fn prior_actors_are_not_asked_about() {
    let only = r#"permit(principal is Subject, action, resource);
        permit(principal == Actor::"https://login.example#agent-7", action, resource);
        forbid(principal == Actor::"https://login.example#agent-1", action, resource);"#;
    let act = serde_json::json!({"sub": "agent-7", "act": {"sub": "agent-1"}});
    assert!(decided(only, &alice().claim("act", act), refund()).is_ok());
    let act = serde_json::json!({"sub": "agent-1", "act": {"sub": "agent-7"}});
    assert!(decided(only, &alice().claim("act", act), refund()).is_err());
}

#[test]
fn what_the_schema_does_not_list_is_refused() {
    let answer = |ask: Ask| refusal(&decided(ALL, &alice(), ask)).unwrap_or_default();
    let starts = |ask: Ask, text: &str| {
        let got = answer(ask);
        assert!(got.starts_with(&format!("policy_denied: {text}")), "{got}");
    };
    starts(Ask::operation("delete").resource("order", 7), "the schema has no action");
    starts(Require::valid_token().into(), "the operation has no name");
    starts(
        Ask::operation("refund").resource("invoice", 7),
        "the action is not one on the resource",
    );
    starts(refund().attribute("amout", "12.50"), "neither the action nor its resource has");
    starts(refund().attribute("evidence", "x"), "no attribute may be called");
    for ask in [
        refund().attribute("amount", "much"),
        refund().attribute("amount", "1e3"),
        refund().attribute("amount", "0.12345"),
        refund().attribute("amount", true),
        refund().attribute("count", "7"),
        refund().attribute("count", i128::from(i64::MAX) + 1),
        refund().attribute("note", 7),
        refund().attribute("tags", "a"),
        refund().attribute("tags", [1, 2]),
        refund().attribute("due", "tomorrow"),
        refund().attribute("from", "localhost"),
    ] {
        let text = format!("{ask:?}");
        let got = answer(ask);
        assert!(got.starts_with("policy_denied: "), "{text}: {got}");
        assert!(!got.contains("much") && !got.contains("tomorrow"), "no value is told: {got}");
    }
}

#[test]
fn an_evaluation_error_denies_even_if_another_policy_permits() {
    let overflow = "when { context has count && context.count + 1 > 0 }";
    let unless = "unless { context has count && context.count + 1 > 0 }";
    for failing in [
        format!("@id(\"bad\") permit(principal, action, resource) {overflow};"),
        format!("@id(\"bad\") forbid(principal, action, resource) {overflow};"),
        format!("@id(\"bad\") forbid(principal, action, resource) {unless};"),
        format!("@id(\"bad\") @max_age(\"300\") forbid(principal, action, resource) {unless};"),
    ] {
        let (guard, record) = recorded(&format!("{ALL}{failing}"));
        let answer = narrowed(&guard, &by_agent(), refund().attribute("count", i64::MAX));
        let why = "policy_denied: a policy about the subject cannot be evaluated";
        assert_eq!(refusal(&answer).as_deref(), Some(why), "{failing}");
        assert_eq!(*record.lock().unwrap(), [(Some(Reason::PolicyDenied), vec!["bad".to_owned()])]);
    }
}

#[test]
fn an_entity_that_is_not_there_is_an_error_too() {
    let foreign = r#"forbid(principal, action, resource)
        when { resource has owner && resource.owner.name == "bob" };"#;
    let answer =
        decided(&format!("{ALL}{foreign}"), &alice(), refund().attribute("owner", "x#bob"));
    assert!(refusal(&answer).unwrap().ends_with("cannot be evaluated"));
}

type Record = Arc<Mutex<Vec<(Option<Reason>, Vec<String>)>>>;

fn recorded(policies: &str) -> (Guard, Record) {
    let record = Record::default();
    let kept = record.clone();
    let audit = audit_fn(move |event: &AuditEvent<'_>| {
        let policies = event.policies().map(|id| id.to_string()).collect();
        kept.lock().unwrap().push((event.reason(), policies));
    });
    (guard().policy(cedar(policies)).audit(audit), record)
}

#[test]
fn the_record_has_the_policies_that_decided() {
    let policies = r#"
        @id("subjects") permit(principal is Subject, action, resource);
        permit(principal is Actor, action, resource);
        @id("unused") permit(principal, action, resource) when { context has note };
        @id("urgent") forbid(principal, action, resource) when { context has urgent && context.urgent };
        @id("count") @max_age("300") forbid(principal, action, resource) when { context has count };
    "#;
    let (guard, record) = recorded(policies);
    let last = || record.lock().unwrap().pop().unwrap();
    let named = |ids: &[&str]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let granted = narrowed(&guard, &by_agent(), refund()).unwrap();
    assert_eq!(granted.policies(), ["policy1", "subjects"]);
    assert_eq!(last(), (None, named(&["policy1", "subjects"])));

    assert!(narrowed(&guard, &by_agent(), refund().attribute("urgent", true)).is_err());
    assert_eq!(last(), (Some(Reason::PolicyDenied), named(&["urgent"])));

    assert!(narrowed(&guard, &by_agent(), refund().attribute("count", 1)).is_err());
    let missing = Some(Reason::AuthenticationContextMissing);
    assert_eq!(last(), (missing, named(&["count", "policy1", "subjects"])));
}

#[test]
fn a_layer_asks_about_the_api_with_the_name_of_its_operation() {
    use axum::body::Body;
    use tower::{Layer, Service};

    let policies = r#"permit(principal, action == Action::"refund", resource is Api);"#;
    let guard = guard().policy(cedar(policies));
    let status = |name: Option<&'static str>| {
        let layer = guard.require(Require::valid_token());
        let layer = if let Some(name) = name { layer.named(name) } else { layer };
        let inner = tower::service_fn(async |_: http::Request<Body>| {
            Ok::<_, std::convert::Infallible>(http::Response::new(Body::empty()))
        });
        let request = http::Request::get("/").header("authorization", by_agent().bearer());
        let mut service = layer.layer(inner);
        let answer = service.call(request.body(Body::empty()).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(answer).unwrap().status().as_u16()
    };
    assert_eq!(status(Some("refund")), 200);
    assert_eq!(status(Some("other")), 403);
    assert_eq!(status(None), 403);
    assert!(decided(policies, &alice(), Ask::operation("refund")).is_ok());
    assert!(decided(policies, &alice(), refund()).is_err());
}
