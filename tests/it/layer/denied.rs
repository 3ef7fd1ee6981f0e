//! Requests that are denied.

use super::*;

#[test]
fn without_a_token_the_answer_is_401_and_says_what_is_needed() {
    let guard = Guard::new(ORDERS, login().issuer());
    let (response, log) = through(guard.require([READ, WRITE]), without_token());
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        challenge(&response),
        format!(r#"Bearer scope="orders:read orders:write", resource_metadata="{METADATA}""#)
    );
    assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    assert_eq!(response.headers().len(), 2);
    assert_eq!(log.calls(), 0);
}

#[test]
fn a_token_without_the_scope_gets_403_and_the_scope_it_lacks() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let (response, log) = through(guard.require(WRITE), with(&reader(&login)));
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(
        challenge(&response),
        format!(
            r#"Bearer error="insufficient_scope", error_description="The request requires higher privileges", scope="orders:write", resource_metadata="{METADATA}""#
        )
    );
    assert_eq!(log.calls(), 0);
}

#[test]
fn a_login_that_is_not_strong_enough_gets_401_and_the_class_to_come_back_with() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let strong =
        Require::scope(READ).acr([Acr::from_static("phr")]).max_age(Duration::from_secs(300));
    let (response, log) = through(guard.require(strong), with(&reader(&login).acr("pwd")));
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let challenge = challenge(&response);
    assert!(challenge.contains(r#"error="insufficient_user_authentication""#));
    assert!(challenge.contains(r#"acr_values="phr", max_age="300""#));
    assert_eq!(log.calls(), 0);
}

#[test]
fn an_expired_token_is_denied() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let (response, log) = through(guard.require(READ), with(&reader(&login).expired()));
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(denial(&response).reason(), Reason::TokenExpired);
    assert_eq!(log.calls(), 0);
}

#[test]
fn a_denied_answer_has_an_empty_body_by_default() {
    let guard = Guard::new(ORDERS, login().issuer());
    let (response, _) = through(guard.require(READ), without_token());
    assert_eq!(response.body(), &String::default());
    assert!(!response.headers().contains_key(CONTENT_TYPE));
}

#[test]
fn a_denied_answer_carries_its_denial() {
    let guard = Guard::new(ORDERS, login().issuer());
    let (response, _) = through(guard.require(READ), without_token());
    let denial = denial(&response);
    assert_eq!(denial.reason(), Reason::MissingCredentials);
    assert_eq!(denial.status(), response.status());
    assert_eq!(denial.headers(), *response.headers());
    assert!(denial.decision().is_some());
}

#[test]
fn a_closure_makes_the_body_and_changes_neither_status_nor_headers() {
    let guard = Guard::new(ORDERS, login().issuer());
    let (bare, _) = through(guard.require(READ), without_token());
    let spoken = guard.require(READ).body(|denial: &Denial| format!("no: {}", denial.reason()));
    let (response, _) = through(spoken, without_token());
    assert_eq!(response.body(), "no: missing_credentials");
    assert_eq!(response.status(), bare.status());
    assert_eq!(response.headers(), bare.headers());
}

#[test]
fn problem_json_says_what_the_challenge_says() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let layer = guard.require(WRITE).body(ProblemJson);
    let (response, _) = through(layer, with(&reader(&login)));
    let body: Value = serde_json::from_str(response.body()).unwrap();
    let decision = denial(&response).decision().unwrap().to_string();
    assert_eq!(
        body,
        json!({
            "type": "about:blank",
            "title": "The request requires higher privileges",
            "status": 403,
            "reason": "insufficient_scope",
            "error": "insufficient_scope",
            "required_scopes": ["orders:write"],
            "resource_metadata": METADATA,
            "decision": decision,
        })
    );
}

#[test]
fn problem_json_adds_its_media_type_and_changes_nothing_else() {
    let guard = Guard::new(ORDERS, login().issuer());
    let (bare, _) = through(guard.require(READ), without_token());
    let layer = guard.require(READ).body(ProblemJson);
    let (mut response, _) = through(layer, without_token());
    let media_type = response.headers_mut().remove(CONTENT_TYPE);
    assert_eq!(media_type.unwrap(), "application/problem+json");
    assert_eq!(response.status(), bare.status());
    assert_eq!(response.headers(), bare.headers());
}

#[test]
fn problem_json_does_not_tell_a_stranger_which_key_is_missing() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let layer = guard.require(READ).body(ProblemJson);
    let (response, _) = through(layer, with(&reader(&login).header("kid", "other")));
    assert_eq!(denial(&response).reason(), Reason::KeyNotFound);
    let body: Value = serde_json::from_str(response.body()).unwrap();
    assert_eq!(body["reason"], "signature_invalid");
    assert!(!response.body().contains("other"));
}

#[test]
fn a_body_of_the_owners_own_kind_names_its_media_type() {
    #[derive(Clone)]
    struct Page;
    impl MakeBody<String> for Page {
        fn make_body(&self, denial: &Denial) -> (Option<HeaderValue>, String) {
            let page = format!("<h1>{}</h1>", denial.status().as_u16());
            (Some(HeaderValue::from_static("text/html")), page)
        }
    }
    let guard = Guard::new(ORDERS, login().issuer());
    let (response, _) = through(guard.require(READ).body(Page), without_token());
    assert_eq!(response.body(), "<h1>401</h1>");
    assert_eq!(response.headers()[CONTENT_TYPE], "text/html");
}

#[test]
fn two_credentials_are_refused() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let good = reader(&login).bearer();
    let mut request = request(&good);
    let again = HeaderValue::try_from(good).unwrap();
    request.headers_mut().append(AUTHORIZATION, again);
    let (response, log) = through(guard.require(READ), request);
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(challenge(&response).starts_with(r#"Bearer error="invalid_request""#));
    assert_eq!(denial(&response).reason(), Reason::MultipleCredentials);
    assert_eq!(log.calls(), 0);
}

#[test]
fn a_token_in_the_query_is_ignored_and_recorded() {
    let login = login();
    let (sink, lines) = recorded(|event| event.query_token().to_string());
    let guard = Guard::new(ORDERS, login.issuer()).audit(sink);
    let uri = format!("/orders?page=2&access_token={}", reader(&login).sign());
    let request = Request::get(uri).body(String::new()).unwrap();
    let (response, log) = through(guard.require(READ), request);
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(denial(&response).reason(), Reason::MissingCredentials);
    assert_eq!(log.calls(), 0);
    assert_eq!(*lines.lock().unwrap(), ["true"]);
}

#[test]
fn a_token_over_the_limit_is_answered_with_431_and_no_challenge() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer()).limits(TokenLimits::default().max_bytes(100));
    let (response, _) = through(guard.require(READ), with(&reader(&login)));
    assert_eq!(response.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
}

#[test]
fn unavailable_keys_are_503_with_retry_after_and_no_challenge() {
    let login = login();
    let issuer = Issuer::new(LOGIN, |_: KeyHint<'_>| {
        Answer::Now(Err(KeysUnavailable::new("no route to host")))
    });
    let guard = Guard::new(ORDERS, issuer);
    let (response, log) = through(guard.require(READ), with(&reader(&login)));
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key(RETRY_AFTER));
    assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
    assert!(denial(&response).for_operator().to_string().contains("no route to host"));
    assert_eq!(log.calls(), 0);
}

#[test]
fn the_operators_words_stay_out_of_the_answer() {
    let login = login();
    let issuer = Issuer::new(LOGIN, |_: KeyHint<'_>| {
        Answer::Now(Err(KeysUnavailable::new("no route to host")))
    });
    let guard = Guard::new(ORDERS, issuer);
    let layer = guard.require(READ).body(ProblemJson);
    let (response, _) = through(layer, with(&reader(&login)));
    assert!(response.body().contains("keys_unavailable"));
    assert!(!response.body().contains("route"));
}

#[test]
fn a_request_over_an_insecure_transport_is_refused_without_a_challenge() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer())
        .secure_transport(|head| head.headers.get("x-forwarded-proto").is_some());
    let (response, log) = through(guard.require(READ), with(&reader(&login)));
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(denial(&response).reason(), Reason::InsecureTransport);
    assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
    assert_eq!(log.calls(), 0);
}

#[test]
fn a_request_over_a_secure_transport_passes() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer())
        .secure_transport(|head| head.headers.get("x-forwarded-proto").is_some());
    let mut request = with(&reader(&login));
    let https = HeaderValue::from_static("https");
    request.headers_mut().insert("x-forwarded-proto", https);
    let (response, _) = through(guard.require(READ), request);
    assert_eq!(response.status(), StatusCode::OK);
}
