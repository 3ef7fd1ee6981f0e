//! Every kind of event, in every form: what the schema says, and that no form forgets what another says.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use unconfused::approvals::{Approvals, SigningKey};
use unconfused::audit::{JsonLines, StepUp, TracingAudit};
use unconfused::detail::{Detail, DetailType};
use unconfused::keys::Algorithm;
use unconfused::policy::{ApprovalTask, Ask, Verdict, policy_fn};
use unconfused::profile::Profile;
use unconfused::proof::Dpop;
use unconfused::testing::TestProofKey;

use super::*;

/// What is seen of an event: its line, its JSON, and its JSON with what was not verified.
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) json: Value,
}

/// Causes every kind of event, and returns what `sink` is made of at each.
pub(crate) fn every_kind(sink: impl unconfused::Audit) {
    let sink = Arc::new(sink);
    let with = |guard: Guard| guard.audit(sink.clone());
    let asked = |guard: &Guard, token: &TestToken, require: Require| {
        let _ = ask(guard, token, require);
    };
    let rich = || {
        let token = token().client("web").scope("orders:read extra").acr("phr");
        let token = token.authenticated(secs(20)).claim("jti", "t-1");
        token.actor("first").actor_with_issuer("https://other.example", "second").actor("third")
    };
    let base = with(guard());

    // Without a token, and with one that is refused before and after its signature is verified.
    let _ = base.authorize(&mut head(None), READ).now().unwrap();
    asked(&base, &token().header("typ", "JWT"), READ.into());
    asked(&base, &token().expired(), READ.into());
    let mut query = http::Request::get("/orders?access_token=s3cr3t").body(()).unwrap();
    query.headers_mut().insert("traceparent", trace::GOOD.parse().unwrap());
    let _ = base.authorize(&mut query.into_parts().0, READ).now().unwrap();

    // Allowed, narrowed, refused by the handler; with and without names.
    let mut parts = head(Some(&rich()));
    parts.headers.insert("traceparent", trace::GOOD.parse().unwrap());
    let login_now = Require::scope(READ).acr([PHR]).max_age(secs(60));
    let grant = base.authorize(&mut parts, login_now.clone()).now().unwrap().unwrap();
    let refund = Ask::operation("orders.refund").resource("order", 7).requiring(READ);
    assert!(base.narrow(&grant, refund).now().unwrap().is_ok());
    assert!(base.narrow(&grant, WRITE).now().unwrap().is_err());
    let _ = base.refuse_for(&grant, "not the owner");
    // Step-up and more scope at once.
    asked(&base, &token().actor("agent-7"), login_now);
    asked(&base, &token().claim("acr", 7), READ.into());

    // Single use.
    let once = with(guard().replay(store()));
    let used = token().scope("orders:read");
    asked(&once, &used, Require::scope(READ).single_use());
    asked(&once, &used, Require::scope(READ).single_use());

    // Consent and approvals.
    let refunds = DetailType::new("order_refund").exact("order");
    let asks = || Detail::of("order_refund").with("order", 7_u64);
    let details = with(guard().detail_type(refunds.clone()));
    asked(&details, &token(), Require::detail(asks()));
    let key = SigningKey::generate(Algorithm::Es256, "k-1");
    let approvals = Approvals::new(key, [7; 32], LOGIN).reason("order_refund", "Refund {order}");
    let approving = guard().detail_type(refunds).approvals(approvals).replay(store());
    let approving = with(approving);
    let approval = || Require::detail(asks().approved());
    // A client that cannot be asked, and one that can.
    asked(&approving, &token(), approval());
    let mut parts = head(Some(&token()));
    parts.headers.insert("accept-txn-challenge", "?1".parse().unwrap());
    let denial = approving.authorize(&mut parts, approval()).now().unwrap().unwrap_err();
    let txn = denial.challenge().unwrap().transaction_challenge().unwrap().txn().to_owned();
    let granted = json!([{ "type": "order_refund", "order": "7" }]);
    let approved = token().claim("txn", txn).claim("authorization_details", granted);
    asked(&approving, &approved, approval());
    asked(&approving, &approved, approval());

    // Policies.
    let forbids = policy_fn(|_| Verdict::Forbid("night".into()).by(["policy7"]));
    let read = token().scope("orders:read");
    asked(&with(guard().policy(forbids)), &read, READ.into());
    asked(&with(guard().policy(policy_fn(|_| Verdict::Permit.by(["a", "b"])))), &read, READ.into());
    let task = || ApprovalTask::new("https://approvals.example/tasks/7");
    let waits = policy_fn(move |_| Verdict::NeedsApproval(task()).by(["large"]));
    asked(&with(guard().policy(waits)), &read, READ.into());

    // Profiles: a tenant, and a client list.
    let profile = Profile::rfc9068().tenant_claim("org");
    let tenants = Guard::new(ORDERS, login().issuer().profile(profile)).clock(now);
    asked(&with(tenants), &read.clone().claim("org", "acme"), READ.into());
    let profile = Profile::rfc9068().client_list_instead_of_audience(["web"]);
    let by_list = Guard::new(ORDERS, login().issuer().profile(profile)).clock(now);
    asked(&with(by_list), &read.clone().client("web").without_claim("aud"), READ.into());

    // A proof, and its replay.
    let key = TestProofKey::new();
    let raw = read.clone().bound_to(&key).sign();
    let proofs = Dpop::for_base_url("https://orders.example").unwrap();
    let proofs = with(guard().dpop(proofs, store()));
    let proof = key.proof("POST", "https://orders.example/orders/7").issued_at(now());
    let proof = proof.token(&raw).claim("jti", "s3cr3t").sign();
    for _ in 0..2 {
        let mut parts = head(None);
        parts.headers.insert("authorization", format!("DPoP {raw}").parse().unwrap());
        parts.headers.insert("dpop", proof.parse().unwrap());
        let _ = proofs.authorize(&mut parts, READ).now().unwrap();
    }

    other_authenticator(&base);
    next_hop(&base);
    tool(&base);
}

/// A tool of an MCP server is called.
fn tool(guard: &Guard) {
    use unconfused::mcp::Tools;

    let tools = Tools::new(READ).tool("search", READ);
    let body = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search"}}"#;
    let mut parts = head(Some(&token().scope("orders:read")));
    let message = tools.read(&parts.headers, body).unwrap();
    assert!(guard.authorize(&mut parts, message.ask()).now().unwrap().is_ok());
}

/// The service gets a token for what it calls next.
fn next_hop(guard: &Guard) {
    use unconfused::next_hop::{ClientAuth, NextHop};

    let client = login().client();
    let metadata = json!({ "issuer": LOGIN, "token_endpoint": "https://login.example/token" });
    let well_known = "https://login.example/.well-known/oauth-authorization-server";
    client.serve(well_known, metadata.to_string());
    let issued = json!({ "access_token": "s3cr3t", "token_type": "Bearer", "expires_in": 60 });
    client.serve("https://login.example/token", issued.to_string());
    let server = NextHop::discover(LOGIN, ClientAuth::tls("orders"), client).unwrap();
    let hop = server.to("https://payments.example", [Scope::from_static("payments:pay")]).unwrap();
    let hop = hop.on_own_behalf().needs(READ);
    let grant = ask(guard, &token().scope("orders:read"), READ).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(runtime.block_on(hop.token(guard, &grant)).is_ok());
}

/// Another authenticator lets a request pass.
fn other_authenticator(guard: &Guard) {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use tower::{Layer as _, Service as _};

    #[derive(Clone)]
    struct Session;
    let layer = guard.require(READ).named("orders.list").or_authenticated::<Session>();
    let inner = tower::service_fn(|_: http::Request<()>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(()))
    });
    let mut request = http::Request::get("/orders").body(()).unwrap();
    request.extensions_mut().insert(Session);
    let mut service = layer.layer(inner);
    let response = pin!(service.call(request));
    assert!(response.poll(&mut Context::from_waker(Waker::noop())).is_ready());
}

fn all() -> Vec<Seen> {
    let (seen, sink) = kept(|event| Seen { line: event.to_string(), json: json(&event.to_json()) });
    every_kind(sink);
    std::mem::take(&mut *seen.lock().unwrap())
}

pub(crate) fn schema() -> Value {
    json(AuditEvent::JSON_SCHEMA)
}

/// The schema, and nothing else than what it names.
fn strict() -> jsonschema::Validator {
    let mut schema = schema();
    let event = schema.pointer_mut("/$defs/event").unwrap();
    event["additionalProperties"] = json!(false);
    jsonschema::validator_for(&schema).unwrap()
}

#[track_caller]
pub(crate) fn assert_valid(validator: &jsonschema::Validator, value: &Value) {
    if let Err(error) = validator.validate(value) {
        panic!("{error} at {}: {value}", error.instance_path());
    }
}

fn members(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn every_kind_of_event_validates_against_the_schema_and_every_member_of_it_occurs() {
    let (with_unverified, plain) = (Buffer::default(), Buffer::default());
    every_kind(JsonLines::new(with_unverified.clone()).with_unverified());
    every_kind(JsonLines::new(plain.clone()));
    let validator = strict();
    let mut occur = BTreeSet::new();
    for line in with_unverified.lines().iter().chain(&plain.lines()) {
        let event = json(line);
        assert_valid(&validator, &event);
        occur.extend(members(&event));
    }
    let named = members(&schema()["$defs"]["event"]["properties"]);
    assert_eq!(occur, named);
    assert!(!plain.text().contains("unverified"));
}

#[test]
fn the_schema_refuses_what_is_not_an_event() {
    let validator = strict();
    let good = all().into_iter().map(|seen| seen.json).find(|it| it["outcome"] == "denied");
    let good = good.unwrap();
    assert_valid(&validator, &good);
    let with = |name: &str, value: Value| {
        let mut event = good.clone();
        event[name] = value;
        event
    };
    for (what, bad) in [
        ("a type", with("step", json!("0"))),
        ("an outcome", with("outcome", json!("perhaps"))),
        ("a line", with("detail", json!("a\nb"))),
        ("a bidi character", with("path", json!("/a\u{202e}b"))),
        ("an unknown member", with("token", json!("eyJ"))),
        ("a reason of what was allowed", with("outcome", json!("allowed"))),
        ("half a trace", with("trace_id", json!("4bf92f3577b34da6a3ce929d0e0e4736"))),
    ] {
        assert!(validator.validate(&bad).is_err(), "{what}");
    }
    for required in ["decision", "operation", "reason", "status", "step_up", "approval"] {
        let mut bad = good.clone();
        bad.as_object_mut().unwrap().remove(required);
        assert!(validator.validate(&bad).is_err(), "{required}");
    }
}

#[test]
fn the_table_of_the_documentation_lists_the_members_of_the_schema() {
    let source = include_str!("../../src/audit/written.rs");
    let rows = source.lines().filter_map(|line| line.strip_prefix("/// | `"));
    let names = rows.filter_map(|row| row.split_once(" |")).map(|(names, _)| names);
    let listed: BTreeSet<_> = names
        .flat_map(|names| names.split(", "))
        .map(|name| name.trim_matches('`').to_owned())
        .collect();
    let mut named = members(&schema()["$defs"]["event"]["properties"]);
    named.remove("unverified");
    assert_eq!(listed, named);
}

/// The names of the pairs of a line: a word before `=`, outside of quotes.
fn names(line: &str) -> BTreeSet<String> {
    let (mut names, mut word) = (BTreeSet::from(["outcome".to_owned()]), String::new());
    let (mut quoted, mut escaped) = (false, false);
    for c in line.chars() {
        match c {
            _ if quoted => {
                quoted = c != '"' || escaped;
                escaped = c == '\\' && !escaped;
            }
            '"' => quoted = true,
            ' ' => word.clear(),
            '=' => drop(names.insert(std::mem::take(&mut word))),
            c => word.push(c),
        }
    }
    names
}

#[test]
fn a_line_says_what_the_json_says() {
    // A line repeats a pair for each item, leaves out what is the case for most events, and has method and path in the
    // operation if that has no name.
    let one = |name: &str| match name {
        "other_reasons" => "other_reason".to_owned(),
        "policies" => "policy".to_owned(),
        "scopes" => "scope".to_owned(),
        "prior_actors" => "prior_actor".to_owned(),
        "next_hop_scopes" => "next_hop_scope".to_owned(),
        name => name.to_owned(),
    };
    for Seen { line, json } in all() {
        let is_named = json["operation"] != format!("{} {}", s(&json["method"]), s(&json["path"]));
        let said = json.as_object().unwrap().iter().filter(|(name, value)| {
            let is_default = **value == "not_required" || **value == json!(false);
            let is_operation = ["method", "path"].contains(&name.as_str()) && !is_named;
            !is_default && !is_operation
        });
        let mut expected: BTreeSet<_> = said.map(|(name, _)| one(name)).collect();
        if expected.contains("prior_actor") {
            expected.insert("prior_actor_issuer".to_owned());
        }
        assert_eq!(names(&line), expected, "{line}");
    }
}

fn s(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn tracing_says_what_the_json_says() {
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let subscriber = tracing_subscriber::fmt()
        .without_time()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || every_kind(TracingAudit));
    let (lines, events) = (buffer.lines(), all());
    assert_eq!(lines.len(), events.len());
    for (line, Seen { json, .. }) in lines.iter().zip(&events) {
        let mut expected = members(json);
        if expected.contains("prior_actors") {
            expected.insert("prior_actor_issuers".to_owned());
        }
        assert_eq!(names(line), expected, "{line}");
    }
}

#[test]
fn an_approval_is_asked_met_and_spent() {
    let (seen, sink) = kept(|event| {
        let spent: Vec<_> = event.spent().collect();
        (event.reason().map(|it| it.as_str()), event.approval(), event.step_up(), spent)
    });
    every_kind(sink);
    let seen = seen.lock().unwrap();
    let with_approval: Vec<_> =
        seen.iter().filter(|(_, it, ..)| *it != StepUp::NotRequired).collect();
    let none = Vec::<&str>::new;
    assert_eq!(
        with_approval,
        [
            // The client that cannot be asked, and the one that can.
            &(
                Some("transaction_authorization_required"),
                StepUp::Asked,
                StepUp::NotRequired,
                none()
            ),
            &(
                Some("transaction_authorization_required"),
                StepUp::Asked,
                StepUp::NotRequired,
                none()
            ),
            &(None, StepUp::Met, StepUp::NotRequired, vec!["transaction"]),
            // A task of a policy.
            &(Some("approval_required"), StepUp::Asked, StepUp::NotRequired, none()),
        ]
    );
    let spends_token = seen.iter().filter(|(.., spent)| *spent == ["token"]).count();
    assert_eq!(spends_token, 1);
}

#[test]
fn what_is_granted_without_an_approval_is_not_recorded_as_approved() {
    let (seen, sink) = kept(|event| (event.allowed(), event.approval()));
    let key = SigningKey::generate(Algorithm::Es256, "k-1");
    let guard = guard()
        .detail_type(DetailType::new("order_refund").exact("order"))
        .approvals(Approvals::new(key, [7; 32], LOGIN).reason("order_refund", "Refund {order}"))
        .replay(store())
        .audit(sink);
    let either = Detail::of("order_refund").with("order", 7_u64).approved_or_granted();
    let granted = json!([{ "type": "order_refund", "order": "7" }]);
    let token = token().claim("authorization_details", granted);
    let answer = ask(&guard, &token, Require::detail(either));
    assert!(answer.is_ok(), "{}", answer.unwrap_err().for_operator());
    assert_eq!(*seen.lock().unwrap(), [(true, StepUp::NotRequired)]);
}
