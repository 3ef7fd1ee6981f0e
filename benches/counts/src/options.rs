//! What is optional: each part beside a guard that does without it. All tokens are known to the guard, and nothing that
//! is remembered grows.

use std::cell::Cell;
use std::hint::black_box;
use std::time::Duration;

use http::Request;
use http::request::Parts;
use josekit::jwk::Jwk;
use josekit::jws::{EdDSA, JwsSigner};
use serde_json::json;
use time::UtcDateTime;
use tower::{Layer, service_fn};
use unconfused::approvals::{Approvals, SigningKey};
use unconfused::detail::{Detail, DetailType};
use unconfused::layer::{MethodRule, Rules};
use unconfused::next_hop::{ClientAuth, NextHop};
use unconfused::policy::{Verdict, policy_fn};
use unconfused::proof::ClientCertificate;
use unconfused::replay::{MemoryReplayStore, Remembered, ReplayAnswer, ReplayEntry, ReplayStore};
use unconfused::testing::{ScriptedClient, TestIssuer, TestToken};
use unconfused::{Denial, Grant, Guard, Reason, Require, Scope};

use super::fixtures::{AUDIENCE, ISSUER, SCOPE, large, require};
use super::{ORDERS, authorize, authorize_head, guard, handle, head_with, now, pass_with};

const METHOD: &str = "/orders.v1.Orders/Refund";
/// The key pair of RFC 8037 appendix A.1, which everyone knows.
const SIGNING_JWK: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"rfc8037","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
const TOKEN_SERVER: [(&str, &str); 2] = [
    (
        "https://login.example/.well-known/oauth-authorization-server",
        r#"{"issuer":"https://login.example","token_endpoint":"https://login.example/token"}"#,
    ),
    (
        "https://login.example/token",
        r#"{"access_token":"opaque","token_type":"Bearer","expires_in":3600,"issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}"#,
    ),
];

/// Returns the path of that name; each call is one pass.
pub(super) fn named(name: &str) -> Box<dyn FnMut()> {
    let login = TestIssuer::new(ISSUER);
    let unbound = token(&login).bearer();
    match name {
        "certificate" => {
            let certificate = ClientCertificate::from_der("a certificate");
            let bound = token(&login).bound_to_certificate(certificate).bearer();
            let guard = detailed(&login).client_certificate(move |_| Some(certificate));
            authorize_head(guard, head(&bound), require())
        }
        "detail" => authorize_head(detailed(&login), head(&unbound), refund(false)),
        "approval" => {
            let guard = approving(&login);
            let challenge = asked(&guard, &unbound);
            let challenge = challenge.challenge().and_then(|it| it.transaction_challenge());
            let txn = challenge.expect("a challenge").txn();
            let approved = token(&login).claim("txn", txn).bearer();
            authorize_head(guard, head(&approved), refund(true))
        }
        "approval-asked" => {
            let guard = approving(&login);
            Box::new(move || drop(black_box(asked(&guard, &unbound))))
        }
        "policy-closure" => authorize(guard().policy(policy_fn(|question| {
            let _ = black_box(question);
            Verdict::Permit
        }))),
        "narrow" => {
            let (guard, grant) = granted(&login);
            let narrower = require();
            Box::new(move || {
                let narrowed = guard.narrow(&grant, &narrower).now().expect("at once");
                black_box(narrowed.expect("granted"));
            })
        }
        "next-hop" => next_hop(&login),
        "rules" => pass_with(guard().rules(rules()).layer(service_fn(handle)), method()),
        "spend" => spend(Some(MemoryReplayStore::with_capacity_at(10_000, now()))),
        // subtracted
        "raw-asked" => raw_asked(&asked(&approving(&login), &unbound)),
        "plain" => authorize_head(detailed(&login), head(&unbound), require()),
        "plain-method" => pass_with(guard().require(require()).layer(service_fn(handle)), method()),
        "entry" => spend(None),
        _ => panic!("unknown path: {name}"),
    }
}

/// A token of this issuer, issued when those of the fixtures were.
fn token(login: &TestIssuer) -> TestToken {
    let issued_at = now().unix_timestamp() - 60;
    let details =
        json!([{ "type": "order_refund", "order": "7", "currency": "EUR", "amount": "12.5" }]);
    large(login, AUDIENCE, 15)
        .claim("iat", issued_at)
        .claim("exp", issued_at + 7000)
        .claim("auth_time", issued_at - 60)
        .claim("authorization_details", details)
}

fn head(authorization: &str) -> Parts {
    head_with(&[("authorization", authorization), ("accept-txn-challenge", "?1")])
}

/// A guard that knows the type of the detail.
fn detailed(login: &TestIssuer) -> Guard {
    let refunds = DetailType::new("order_refund").exact("order").exact("currency");
    Guard::new(ORDERS, login.issuer()).clock(now).detail_type(refunds.at_most("amount"))
}

/// Its store costs nothing and accepts everything.
fn approving(login: &TestIssuer) -> Guard {
    let signing_key = SigningKey::from_jwk(SIGNING_JWK).expect("a key");
    let approvals = Approvals::new(signing_key, [1; 32], ISSUER)
        .reason("order_refund", "Refund {amount} {currency} to the customer of order {order}");
    detailed(login).approvals(approvals).replay(|_| ReplayAnswer::Now(Ok(Remembered::First)))
}

fn refund(approved: bool) -> Require {
    let refund =
        Detail::of("order_refund").with("order", 7).with("currency", "EUR").with("amount", "12.50");
    require().and(Require::detail(if approved { refund.approved() } else { refund }))
}

/// The denial that asks for an approval.
fn asked(guard: &Guard, authorization: &str) -> Denial {
    let answer = guard.authorize(&mut head(authorization), refund(true)).now().expect("at once");
    let denial = answer.expect_err("an approval is needed");
    assert_eq!(denial.reason(), Reason::TransactionAuthorizationRequired);
    denial
}

/// Signs what the challenge says.
fn raw_asked(denial: &Denial) -> Box<dyn FnMut()> {
    let challenge = denial.challenge().and_then(|challenge| challenge.transaction_challenge());
    let (message, _) = challenge.expect("a challenge").as_str().rsplit_once('.').expect("a JWT");
    let message = message.as_bytes().to_vec();
    let key = Jwk::from_bytes(SIGNING_JWK).expect("a key");
    let signer = EdDSA.signer_from_jwk(&key).expect("a key");
    Box::new(move || drop(black_box(signer.sign(black_box(&message)).expect("signed"))))
}

fn granted(login: &TestIssuer) -> (Guard, Grant) {
    let guard = detailed(login);
    let grant = token(login).granted_by(&guard, require());
    (guard, grant)
}

/// The token is there since the first pass.
fn next_hop(login: &TestIssuer) -> Box<dyn FnMut()> {
    let (guard, grant) = granted(login);
    let server = ScriptedClient::new();
    TOKEN_SERVER.iter().for_each(|(url, body)| server.serve(url, *body));
    let server = NextHop::discover(ISSUER, ClientAuth::secret_basic("orders", "s3cret"), server);
    let charge = Scope::from_static("payments:charge");
    let hop = server.and_then(|server| server.to("https://payments.example", [charge]));
    let hop = hop.expect("a target").needs(Scope::from_static(SCOPE));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(hop.token(&guard, &grant)).expect("a token");
    Box::new(move || {
        let token = hop.token(&guard, &grant).now().expect("it is kept");
        black_box(token.expect("a token"));
    })
}

/// The method that is called, among others.
fn rules() -> Rules {
    let rules = Rules::new().on(METHOD, MethodRule::requiring(require()));
    (0..20).fold(rules, |rules, n| rules.on(format!("/orders.v1.Orders/Method{n}"), require()))
}

fn method() -> Request<()> {
    let parts = head(&format!("Bearer {}", super::RS256_TOKEN));
    let mut request = Request::from_parts(parts, ());
    *request.uri_mut() = http::Uri::from_static(METHOD);
    request
}

/// Makes the entry of another token, a second later than the last, and puts it into the store. It holds the last 30.
fn spend(store: Option<MemoryReplayStore>) -> Box<dyn FnMut()> {
    let (begin, passed) = (now(), Cell::new(0));
    let after = move |seconds: u32| -> UtcDateTime { begin + Duration::from_secs(seconds.into()) };
    Box::new(move || {
        let second = passed.get() + 1;
        passed.set(second);
        let (now, name) = (after(second), format!("token-{second:010}"));
        let entry =
            ReplayEntry::for_test(&name, "248289761001", "client", now, after(second + 30), now);
        let Some(store) = &store else {
            let _ = black_box(entry);
            return;
        };
        let remembered = store.insert(entry).now().expect("at once");
        assert_eq!(remembered.expect("there is room"), Remembered::First);
    })
}
