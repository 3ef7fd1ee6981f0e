//! Access requests: a denial becomes a task, and a task permits nothing by itself.

use serde_json::{Value, json};
use tokio::task::JoinSet;
use unconfused::Reason;
use unconfused::policy::Ask;

use super::*;
use crate::pdp::{Seen, Told, all_endpoints, answer};

const REQUESTS: &str = "/access/v1/requests";

/// A decision point whose denials can be requested, and the service behind it.
#[derive(Clone)]
struct Service {
    /// What a denial says about that.
    access_request: Value,
    /// What the service answers to a request for access, and about the task.
    created: (u16, Value),
    status: (u16, Value),
    /// What it answers if an approval is sent along.
    approved: Value,
}

fn task(status: &str) -> Value {
    json!({
        "task": {
            "id": "t-1",
            "status": status,
            "status_endpoint": "URL/access/v1/requests/t-1",
            "expires_at": "2027-01-15T09:00:00Z",
        }
    })
}

fn approval() -> Value {
    json!({ "id": "a-1", "approved_until": "2027-01-15T08:30:00Z", "state": { "n": 1.50 } })
}

fn approved_task() -> Value {
    let mut task = task("approved");
    task["result"] = json!({ "mode": "reevaluate", "approval": approval() });
    task
}

impl Default for Service {
    fn default() -> Self {
        Service {
            access_request: json!({
                "template": "manager",
                "expires_at": "2027-01-15T08:10:00Z",
                "binding_token": "b.i.n",
                "display": { "title": "x" },
            }),
            created: (202, task("pending")),
            status: (200, task("pending")),
            approved: json!({ "decision": true, "context": { "id": "after-approval" } }),
        }
    }
}

/// The service as it is now, to be changed while it runs.
type Now = Arc<Mutex<Service>>;

async fn running(service: Service) -> (Pdp, Now) {
    running_with(all_endpoints, service).await
}

async fn running_with(metadata: impl Fn(&str) -> Value, service: Service) -> (Pdp, Now) {
    let now = Arc::new(Mutex::new(service));
    let (script, url) = (now.clone(), Arc::new(Mutex::new(String::new())));
    let here = url.clone();
    let pdp = Pdp::with_metadata(metadata, move |seen| {
        respond(&script.lock().unwrap(), seen, &here.lock().unwrap())
    })
    .await;
    *url.lock().unwrap() = pdp.url().to_owned();
    (pdp, now)
}

fn respond(service: &Service, seen: &Seen, url: &str) -> Told {
    let told =
        |(status, body): &(u16, Value)| answer(*status, body.to_string().replace("URL", url));
    if seen.path == REQUESTS {
        return told(&service.created);
    }
    if seen.path.starts_with(REQUESTS) {
        return told(&service.status);
    }
    let asked = seen.json();
    let decision = match asked["context"].get("approval") {
        Some(approval) => {
            // Exactly as it was given.
            let exact = seen.body.contains(&approval.to_string()) || approval["id"] != "a-1";
            assert!(exact, "{}", seen.body);
            service.approved.clone()
        }
        None => json!({
            "decision": false,
            "context": {
                "evaluation_id": "e-1",
                "reason": "manager",
                "access_request": service.access_request,
            },
        }),
    };
    told(&(200, decision))
}

/// The paths that were asked, and whether an approval was sent along.
fn paths(pdp: &Pdp) -> Vec<String> {
    let path = |seen: &Seen| {
        let name = seen.path.rsplit('/').next().unwrap().to_owned();
        if seen.body.contains("\"approval\":") { format!("{name}+approval") } else { name }
    };
    pdp.asked().iter().map(path).collect()
}

#[tokio::test]
async fn a_denial_that_can_be_requested_becomes_a_task_that_the_client_is_told() {
    let (pdp, _) = running(Service::default()).await;
    let guard = guard().policy(discovered(&pdp).authorization("Bearer pdp").unwrap());
    let denial = ask(&guard, &token()).await.unwrap_err();
    assert_eq!(denial.reason(), Reason::ApprovalRequired);
    assert_eq!(denial.status(), 403);
    assert!(denial.challenge().is_none());
    let problem: Value = serde_json::from_str(&denial.problem_json()).unwrap();
    assert_eq!(problem["reason"], "approval_required");
    assert_eq!(problem["task_status_endpoint"], format!("{}{REQUESTS}/t-1", pdp.url()));
    assert_eq!(problem["expires_at"], "2027-01-15T09:00:00Z");

    let [evaluation, request] = &*pdp.asked() else { panic!("{:?}", paths(&pdp)) };
    assert_eq!(request.path, REQUESTS);
    assert_eq!(request.header("authorization"), "Bearer pdp");
    assert_eq!(request.header("idempotency-key").len(), 64);
    let (asked, requested) = (evaluation.json(), request.json());
    for member in ["subject", "action", "resource", "context"] {
        assert_eq!(requested[member], asked[member]);
    }
    assert_eq!(
        requested["denial"],
        json!({
            "expires_at": "2027-01-15T08:10:00Z",
            "binding_token": "b.i.n",
            "template": "manager",
            "evaluation_id": "e-1",
            "reason": "manager",
        })
    );
}

#[tokio::test]
async fn an_approval_is_believed_only_after_a_new_yes() {
    let (pdp, now) = running(Service::default()).await;
    let (guard, lines) = recorded(guard().policy(discovered(&pdp)), |event| {
        event.policies().map(|id| id.to_string()).collect::<Vec<_>>().join(",")
    });
    let denied = ask(&guard, &token()).await;
    assert_eq!(reason(&denied), Some(Reason::ApprovalRequired));
    let pending = ask(&guard, &token()).await;
    assert_eq!(reason(&pending), Some(Reason::ApprovalRequired));
    assert_eq!(paths(&pdp), ["evaluation", "requests", "evaluation", "t-1"]);

    // Approved, and the decision point still says no.
    now.lock().unwrap().status = (200, approved_task());
    let context = json!({ "reason": "a freeze since then" });
    now.lock().unwrap().approved = json!({ "decision": false, "context": context });
    let denied = ask(&guard, &token()).await;
    assert_eq!(told(&denied), "policy_denied: a freeze since then");
    // Or not yet.
    let context = json!({ "next_action": "retry", "retry_after": 30 });
    now.lock().unwrap().approved = json!({ "decision": false, "context": context });
    let denied = ask(&guard, &token()).await.unwrap_err();
    assert_eq!(denied.reason(), Reason::ApprovalRequired);
    assert_eq!(denied.headers()["retry-after"], "30");
    now.lock().unwrap().approved = json!({ "decision": "true" });
    assert_eq!(reason(&ask(&guard, &token()).await), Some(Reason::PolicyUnavailable));

    now.lock().unwrap().approved = Service::default().approved;
    assert_eq!(reason(&ask(&guard, &token()).await), None);
    assert_eq!(lines.lock().unwrap().last().unwrap(), "after-approval");
    assert_eq!(paths(&pdp)[13..], ["evaluation", "t-1", "evaluation+approval"]);
    let last = pdp.asked().pop().unwrap();
    assert!(last.body.ends_with(&format!(r#","approval":{}}}}}"#, approval())), "{}", last.body);
}

#[tokio::test]
async fn an_approval_at_once_is_used_at_once() {
    let service = Service { created: (201, approved_task()), ..Service::default() };
    let (pdp, _) = running(service).await;
    assert_eq!(reason(&ask(&guard().policy(discovered(&pdp)), &token()).await), None);
    assert_eq!(paths(&pdp), ["evaluation", "requests", "evaluation+approval"]);
}

#[tokio::test]
async fn a_task_that_is_not_approved_permits_nothing() {
    let denied = Some(Reason::PolicyDenied);
    let down = Some(Reason::PolicyUnavailable);
    let result = |result: Value| {
        let mut task = task("approved");
        task["result"] = result;
        (200, task)
    };
    let mut late = approval();
    late["approved_until"] = "2027-01-15T08:00:00Z".into();
    for (status, expected) in [
        ((200, task("pending")), Some(Reason::ApprovalRequired)),
        ((200, task("denied")), denied),
        ((200, task("expired")), denied),
        ((200, task("cancelled")), denied),
        ((200, task("failed")), denied),
        ((200, task("partial")), denied),
        ((200, task("Approved")), denied),
        ((200, task("granted")), denied),
        ((200, task("approved")), denied),
        (result(json!({ "mode": "issue", "approval": approval() })), denied),
        (result(json!({ "approval": approval() })), denied),
        (result(json!({ "mode": "reevaluate" })), denied),
        (result(json!({ "mode": "reevaluate", "approval": "a-1" })), denied),
        (result(json!({ "mode": "reevaluate", "approval": { "id": "a-1" } })), denied),
        (result(json!({ "mode": "reevaluate", "approval": late })), denied),
        ((200, json!({ "task": { "id": "t-1" } })), down),
        ((200, json!({ "task": [] })), down),
        ((200, json!({})), down),
        ((500, approved_task()), down),
        ((404, approved_task()), denied),
        ((410, approved_task()), denied),
    ] {
        let (pdp, now) = running(Service::default()).await;
        let guard = guard().policy(discovered(&pdp));
        assert_eq!(reason(&ask(&guard, &token()).await), Some(Reason::ApprovalRequired));
        now.lock().unwrap().status = status.clone();
        assert_eq!(reason(&ask(&guard, &token()).await), expected, "{status:?}");
        assert!(!paths(&pdp).contains(&"evaluation+approval".to_owned()), "{status:?}");
    }
}

#[tokio::test]
async fn one_task_is_created_for_one_operation_however_often_it_is_tried() {
    let (pdp, now) = running(Service::default()).await;
    let guard = guard().policy(discovered(&pdp));
    let token = token();
    let mut many = JoinSet::new();
    for _ in 0..20 {
        let (guard, token) = (guard.clone(), token.clone());
        many.spawn(async move { reason(&ask(&guard, &token).await) });
    }
    assert_eq!(many.join_all().await, [Some(Reason::ApprovalRequired); 20]);
    let created = || paths(&pdp).iter().filter(|path| *path == "requests").count();
    assert_eq!(created(), 1);
    // Another token of the same subject, and a denial that is not one.
    assert!(ask(&guard, &token.clone().acr("phr")).await.is_err());
    now.lock().unwrap().status = (200, task("denied"));
    assert!(ask(&guard, &token).await.is_err());
    assert!(ask(&guard, &token).await.is_err());
    assert_eq!(created(), 1);

    // Whatever makes it another operation.
    let base = Guard::new(ORDERS, login().issuer()).clock(super::now);
    let grant = ask(&base, &token).await.unwrap();
    let refund = |order: u64, cents: u64| {
        Ask::operation("refund").resource("order", order).attribute("cents", cents)
    };
    for (number, ask) in
        [refund(7, 1), refund(7, 2), refund(8, 2), refund(7, 1)].into_iter().enumerate()
    {
        assert!(guard.narrow(&grant, ask).await.is_err());
        assert_eq!(created(), 1 + (number + 1).min(3));
    }
    assert!(ask(&guard, &token.clone().subject("bob")).await.is_err());
    assert_eq!(created(), 5);
    // One that is over may be requested again.
    now.lock().unwrap().status = (200, task("expired"));
    assert!(ask(&guard, &token).await.is_err());
    assert!(ask(&guard, &token).await.is_err());
    assert_eq!(created(), 6);
}

#[tokio::test]
async fn access_is_requested_for_the_party_that_was_denied() {
    let (pdp, _) = running_with(
        |url| {
            let mut metadata = all_endpoints(url);
            metadata.as_object_mut().unwrap().remove("access_evaluations_endpoint");
            metadata
        },
        Service::default(),
    )
    .await;
    let guard = guard().policy(discovered(&pdp));
    let denied = ask(&guard, &token().actor("agent-7")).await;
    assert_eq!(reason(&denied), Some(Reason::ApprovalRequired));
    let asked = pdp.asked();
    assert_eq!(asked[1].json()["subject"], asked[0].json()["subject"]);
    assert_eq!(asked[1].json()["subject"]["properties"]["act"]["sub"], "agent-7");
}

#[tokio::test]
async fn a_request_that_is_refused_leaves_the_denial_as_it_is_and_one_that_fails_is_503() {
    let denied = Some(Reason::PolicyDenied);
    let down = Some(Reason::PolicyUnavailable);
    let at = |endpoint: &str| json!({ "endpoint": endpoint, "expires_at": "2027-01-15T08:10:00Z" });
    let with_form = json!({ "request_schema_url": "https://forms.example/s" });
    let moved = |endpoint: &str| {
        let mut task = task("pending");
        task["task"]["status_endpoint"] = endpoint.into();
        (202, task)
    };
    let default = Service::default;
    let untimed = {
        let mut task = task("pending");
        task["task"]["expires_at"] = "soon".into();
        (202, task)
    };
    for (service, expected, requests) in [
        (Service { access_request: with_form, ..default() }, denied, 0),
        (Service { access_request: at("https://evil.example/r"), ..default() }, denied, 0),
        (Service { access_request: at("http://127.0.0.1:9/r"), ..default() }, denied, 0),
        (Service { access_request: at("file:///etc/passwd"), ..default() }, denied, 0),
        (Service { access_request: json!({ "endpoint": 1 }), ..default() }, down, 0),
        (Service { created: (400, json!({})), ..default() }, denied, 1),
        (Service { created: (409, json!({})), ..default() }, denied, 1),
        (Service { created: (500, json!({})), ..default() }, down, 1),
        (Service { created: (302, json!({})), ..default() }, down, 1),
        (Service { created: (202, json!({})), ..default() }, down, 1),
        (Service { created: moved("https://evil.example/t-1"), ..default() }, down, 1),
        (Service { created: moved("/t-1"), ..default() }, down, 1),
        (Service { created: moved(&format!("URL/{}", "t".repeat(3000))), ..default() }, down, 1),
        (Service { created: untimed, ..default() }, down, 1),
    ] {
        let shown = format!("{} {:?}", service.access_request, service.created);
        let (pdp, _) = running(service).await;
        let answer = ask(&guard().policy(discovered(&pdp)), &token()).await;
        assert_eq!(reason(&answer), expected, "{shown}: {}", told(&answer));
        let count = paths(&pdp).iter().filter(|path| *path == "requests").count();
        assert_eq!(count, requests, "{shown}");
    }
}

#[tokio::test]
async fn without_metadata_access_is_requested_only_at_the_origin_of_the_evaluation() {
    for (endpoint, expected) in [
        ("URL/access/v1/requests", Reason::ApprovalRequired),
        ("http://evil.example/access/v1/requests", Reason::PolicyDenied),
    ] {
        let access_request = json!({ "endpoint": endpoint, "expires_at": "2027-01-15T08:10:00Z" });
        let (pdp, _) = running(Service { access_request, ..Service::default() }).await;
        let url = format!("{}/access/v1/evaluation", pdp.url());
        let policy = AuthZenPolicy::at_without_tls(&url, http()).unwrap();
        let answer = ask(&guard().policy(policy), &token()).await;
        assert_eq!(reason(&answer), Some(expected), "{endpoint}: {}", told(&answer));
        assert_eq!(pdp.metadata_read(), 0);
    }
}
