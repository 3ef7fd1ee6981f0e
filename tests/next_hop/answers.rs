//! What a server may answer: exactly what was asked for, or less.

use std::future::pending;
use std::time::Duration;

use serde_json::{Value, json};
use unconfused::client::HttpError;
use unconfused::{Answer, Reason};

use crate::server::{ACCESS_TOKEN, ISSUER, ORDERS, Orders, PAYMENTS, Server, answer, attached, ok};

#[tokio::test(start_paused = true)]
async fn the_server_is_asked_for_exactly_this_resource_and_these_scopes_and_gets_the_credential() {
    let orders = Orders::new();
    let hop = orders.server.hop();
    let raw = orders.server.token().sign();
    let request = http::Request::post("/refunds").header("authorization", format!("Bearer {raw}"));
    let (mut head, ()) = request.body(()).unwrap().into_parts();
    let grant = orders.guard.authorize(&mut head, crate::server::REFUND).now().unwrap().unwrap();

    let token = hop.token(&orders.guard, &grant).await.unwrap();
    let asked = orders.server.asked();
    assert_eq!(asked.len(), 1);
    let expected = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("requested_token_type", ACCESS_TOKEN),
        ("resource", "https://payments.example"),
        ("scope", "payments:charge"),
        ("subject_token", &raw),
        ("subject_token_type", ACCESS_TOKEN),
    ];
    let form: Vec<_> = asked[0].form.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(form, expected);
    assert_eq!(asked[0].headers["authorization"], "Basic b3JkZXJzOnMzY3JldA==");
    assert_eq!(attached(&token)["authorization"], "Bearer opaque");
}

/// The reason and the operator's words for this answer.
async fn refused(
    respond: impl Fn() -> unconfused::client::HttpAnswer + Send + Sync + 'static,
) -> String {
    let orders = Orders::new();
    orders.server.respond(move |_| respond());
    let denial = orders.token(&orders.server.hop()).await.unwrap_err();
    assert_eq!(denial.reason(), Reason::NextHopUnavailable);
    assert_eq!(denial.status(), 503);
    assert!(denial.headers().contains_key("retry-after"));
    denial.for_operator().to_string()
}

fn with(member: &str, value: impl Into<Value>) -> Value {
    let mut answer = ok("opaque");
    answer[member] = value.into();
    answer
}

fn without(member: &str) -> Value {
    let mut answer = ok("opaque");
    answer.as_object_mut().unwrap().remove(member);
    answer
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_what_was_asked_for_is_refused_with_a_reason() {
    for (body, why) in [
        (with("scope", "payments:charge payments:list"), "a wider scope: payments:list"),
        (with("scope", 7), "its `scope` is not a string"),
        (with("token_type", "DPoP"), "another `token_type`: DPoP"),
        (with("token_type", "N_A"), "another `token_type`: N_A"),
        (without("token_type"), "it has no `token_type`"),
        (
            with("issued_token_type", "urn:ietf:params:oauth:token-type:refresh_token"),
            "another `issued_token_type`",
        ),
        (without("issued_token_type"), "it has no `issued_token_type`"),
        (with("issued_token_type", 1), "no `issued_token_type` that is a string"),
        (without("expires_in"), "it has no `expires_in`"),
        (with("expires_in", "300"), "its `expires_in` is not a number of seconds"),
        (with("expires_in", 0), "its `expires_in` is not a number of seconds"),
        (with("expires_in", -5), "its `expires_in` is not a number of seconds"),
        (with("expires_in", 1.5), "its `expires_in` is not a number of seconds"),
        (with("expires_in", 3601), "the token lasts 3601 seconds, and at most 3600 are accepted"),
        (without("access_token"), "it has no `access_token`"),
        (with("access_token", "a b"), "characters that no token has"),
        (with("access_token", "a\r\nx: y"), "characters that no token has"),
        (with("access_token", ""), "characters that no token has"),
        (with("access_token", "a".repeat(16 * 1024 + 1)), "the token exceeds 16384 bytes"),
    ] {
        let text = body.to_string();
        let said = refused(move || answer(200, text.clone())).await;
        assert!(said.contains(why), "{said} for {body}");
    }
    let twice = ok("opaque").to_string().replace("{", r#"{"scope":"payments:charge","scope":"x","#);
    for (body, why) in [
        (b"[]".to_vec(), "not a JSON object"),
        (b"<html>".to_vec(), "not a JSON object"),
        (b"\xff{}".to_vec(), "not a JSON object"),
        (twice.into_bytes(), "not a JSON object"),
    ] {
        let said = refused(move || answer(200, body.clone())).await;
        assert!(said.contains(why), "{said}");
    }
    for (status, why) in [
        (302, "endpoint answered 302"),
        (201, "endpoint answered 201"),
        (500, "endpoint answered 500"),
    ] {
        let said = refused(move || answer(status, ok("opaque").to_string())).await;
        assert!(said.contains(why), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_long_or_too_slow_is_refused() {
    let long = vec![b' '; 1024 * 1024];
    let said = refused(move || answer(200, long.clone())).await;
    assert!(said.contains("the body has more than 65536 bytes"), "{said}");

    let began = tokio::time::Instant::now();
    let said = refused(|| Answer::later(pending())).await;
    assert!(said.contains("the answer took too long"), "{said}");
    assert_eq!(began.elapsed(), Duration::from_secs(5));

    let said = refused(|| Answer::Now(Err(HttpError::Redirected))).await;
    assert!(said.contains("redirect"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_metadata_is_that_of_another_is_not_asked() {
    let orders = Orders::new();
    let client = |request: http::Request<Vec<u8>>, _| {
        assert!(request.uri().path().starts_with("/.well-known/"), "{}", request.uri());
        let other = json!({
            "issuer": "https://evil.example",
            "token_endpoint": "https://evil.example/token",
        });
        answer(200, other.to_string())
    };
    let auth = unconfused::next_hop::ClientAuth::secret_basic("orders", "s3cret");
    let server = unconfused::next_hop::NextHop::discover(ISSUER, auth, client).unwrap();
    let hop = server.to(PAYMENTS.as_str(), []).unwrap().needs(crate::server::REFUND);
    let denial = orders.token(&hop).await.unwrap_err();
    let said = denial.for_operator().to_string();
    assert!(said.contains("the metadata of another issuer"), "{said}");
}

/// What is said of a JWT that is changed like this.
async fn of_jwt(
    change: impl Fn(unconfused::testing::TestToken) -> unconfused::testing::TestToken,
) -> Result<(), String> {
    let orders = Orders::new();
    let jwt = orders.server.login.token(&PAYMENTS).scope("payments:charge");
    let jwt = change(jwt.lifetime(Duration::from_secs(300))).sign();
    orders.server.respond_json(200, &ok(&jwt));
    let token = orders.token(&orders.server.hop()).await;
    let token = token.map_err(|denial| {
        assert_eq!(denial.reason(), Reason::NextHopUnavailable);
        let said = denial.for_operator().to_string();
        assert!(!said.contains(&jwt), "the token is in {said}");
        said
    })?;
    assert_eq!(attached(&token)["authorization"], format!("Bearer {jwt}"));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_jwt_is_used_only_if_it_is_for_this_resource_alone_and_no_wider() {
    assert_eq!(of_jwt(|jwt| jwt).await, Ok(()));
    assert_eq!(of_jwt(|jwt| jwt.claim("aud", [PAYMENTS.as_str()])).await, Ok(()));
    assert_eq!(of_jwt(|jwt| jwt.header("typ", "JWT")).await, Ok(()));
    assert_eq!(of_jwt(|jwt| jwt.without_claim("scope")).await, Ok(()));

    let said = |why: &'static str, result: Result<(), String>| {
        let said = result.expect_err(why);
        assert!(said.contains(why), "{said}");
    };
    let other = "a token for another audience: https://orders.example";
    said(other, of_jwt(|jwt| jwt.claim("aud", ORDERS.as_str())).await);
    let both = ["https://payments.example", "https://orders.example"];
    said(other, of_jwt(|jwt| jwt.claim("aud", both)).await);
    said("names no audience", of_jwt(|jwt| jwt.without_claim("aud")).await);
    said("names no audience", of_jwt(|jwt| jwt.claim("aud", Vec::<String>::new())).await);
    said("names no audience", of_jwt(|jwt| jwt.claim("aud", 7)).await);
    said("a wider scope", of_jwt(|jwt| jwt.scope("payments:list")).await);
    said("later than is accepted", of_jwt(|jwt| jwt.lifetime(Duration::from_secs(7200))).await);
    said("has expired", of_jwt(|jwt| jwt.expired()).await);
    said("is not a date", of_jwt(|jwt| jwt.claim("exp", "soon")).await);
    for typ in ["oauth-id-jag+jwt", "txntoken+jwt", "dpop+jwt", "logout+jwt"] {
        said("another `typ`", of_jwt(|jwt| jwt.header("typ", typ)).await);
    }
    said(
        "not bound as it was asked for",
        of_jwt(|jwt| jwt.claim("cnf", json!({"jkt": "x"}))).await,
    );
    said("not sound", of_jwt(|jwt| jwt.payload(r#"{"aud":"a","aud":"b"}"#)).await);
}

#[tokio::test(start_paused = true)]
async fn fewer_scopes_than_were_asked_for_are_what_the_token_has() {
    let orders = Orders::new();
    let both = [crate::server::CHARGE, crate::server::LIST];
    let hop = orders.server.token_server().to(PAYMENTS.as_str(), both.clone()).unwrap();
    let hop = hop.needs(crate::server::REFUND);
    assert_eq!(orders.token(&hop).await.unwrap().scopes(), both);

    let other = Server::new();
    let guard = unconfused::Guard::new(ORDERS, other.login.issuer());
    other.respond_json(200, &with("scope", "payments:list"));
    let hop =
        other.token_server().to(PAYMENTS.as_str(), both).unwrap().needs(crate::server::REFUND);
    let token = hop.token(&guard, &other.grant(&guard)).await.unwrap();
    assert_eq!(token.scopes(), [crate::server::LIST]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_knows_the_resource_by_another_name_is_asked_by_it_and_held_to_it() {
    let orders = Orders::new();
    let jwt = orders.server.login.token(&PAYMENTS).scope("payments:charge");
    let hop = || {
        let hop = orders.server.token_server().to(PAYMENTS.as_str(), [crate::server::CHARGE]);
        hop.unwrap().audience("payments-client").needs(crate::server::REFUND)
    };
    orders.server.respond_json(200, &ok(&jwt.clone().sign()));
    let denial = orders.token(&hop()).await.unwrap_err();
    assert_eq!(denial.reason(), Reason::NextHopUnavailable);
    orders.server.respond_json(
        200,
        &ok(&jwt.claim("aud", "payments-client").lifetime(Duration::from_secs(60)).sign()),
    );
    let token = orders.token(&hop()).await.unwrap();
    let form = &orders.server.asked()[1].form;
    assert_eq!(form["audience"], "payments-client");
    assert!(!form.contains_key("resource"));
    // It is still sent to the resource alone.
    assert!(attached(&token).contains_key("authorization"));
}
