//! What clients are told, for each class of refusal.

use super::details::Details;
use super::*;
use std::time::Duration;

use unconfused::keys::KeysUnavailable;
use unconfused::layer::ProblemJson;
use unconfused::proof::Nonces;
use unconfused::token::KeyHint;
use unconfused::{Acr, Answer, AuditEvent, Issuer};

const METADATA: &str = "https://orders.example/.well-known/oauth-protected-resource";

async fn answer(guard: &Guard, authorization: &[&str]) -> Response<String> {
    let answer = through(&guard.rules(rules()), call(LIST, authorization)).await;
    refused(&answer);
    answer.0
}

#[tokio::test]
async fn every_class_of_refusal_has_its_code() {
    let slow = Issuer::new(LOGIN, |_: KeyHint<'_>| {
        Answer::later(async {
            tokio::task::yield_now().await;
            Err(KeysUnavailable::new("down").retry_after(Duration::from_secs(7)))
        })
    });
    let unavailable = Guard::new(ORDERS, slow).clock(now);
    let guard = guard();
    let good = reader().bearer();
    let large = format!("Bearer {}", "a".repeat(20_000));
    for (guard, authorization, reason, code) in [
        (&guard, &[][..], Reason::MissingCredentials, 16),
        (&guard, &[&*reader().expired().bearer()], Reason::TokenExpired, 16),
        (&guard, &[&*token().bearer()], Reason::InsufficientScope, 7),
        (&guard, &["Bearer a b"], Reason::MalformedAuthorization, 3),
        (&guard, &[&*good, &*good], Reason::MultipleCredentials, 3),
        (&guard, &[&*format!("{good}, {good}")], Reason::MalformedAuthorization, 3),
        (&guard, &[&*large], Reason::CredentialTooLarge, 8),
        (&unavailable, &[&*good], Reason::KeysUnavailable, 14),
    ] {
        let response = answer(guard, authorization).await;
        let headers = response.headers();
        assert_eq!(all(headers, "grpc-status"), [code.to_string()], "{reason}");
        assert_eq!(all(headers, "grpc-message"), [reason.description()]);
        let denial = response.extensions().get::<Denial>().unwrap();
        assert_eq!(denial.reason(), reason);
        let waits: &[&str] = if code == 14 { &["7"] } else { &[] };
        assert_eq!(all(headers, "retry-after"), waits, "{reason}");
        assert_eq!(all(headers, "www-authenticate"), challenges(denial), "{reason}");
        assert!(!headers.contains_key("cache-control"));
    }
}

#[test]
fn every_reason_is_told_by_code_message_and_details() {
    for reason in Reason::ALL {
        let denial = Denial::from(*reason);
        let (message, status) = (denial.to_string(), denial.status());
        let response = denial.clone().respond_grpc::<String>();
        let code = denial.grpc_code();
        // Only a guard can add the challenge that makes this a 401.
        let is_incomplete = *reason == Reason::TransactionAuthorizationRequired;
        assert_eq!(code, if is_incomplete { 7 } else { reason.grpc_code() }, "{reason}");
        assert_eq!(status == 403, code == 7, "{reason}");
        assert_is_trailers_only(&response, code);
        let headers = response.headers();
        assert_eq!(all(headers, "grpc-message"), [&*message], "{reason}");

        let told = Details::of(headers);
        assert_eq!((told.code, &*told.message), (code as u64, &*message), "{reason}");
        assert_eq!(told.reason, reason.for_client().as_str().to_uppercase());
        assert_eq!(told.domain, "unconfused");
        let error = reason.oauth_error().map(|error| ("error".to_owned(), error.to_owned()));
        assert_eq!(told.metadata, error.into_iter().collect(), "{reason}");
        // The limits that `google.rpc.ErrorInfo` sets.
        let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        assert!(told.reason.len() <= 63 && told.reason.bytes().all(fits), "{reason}");
    }
}

#[tokio::test]
async fn a_challenge_is_told_in_metadata_and_in_details() {
    let phr = Acr::from_static("phr");
    let refund = Require::all_scopes([READ, REFUND]).acr([phr]).max_age(secs(300));
    let ids = Arc::new(Mutex::new(Vec::new()));
    let kept = ids.clone();
    let guard = guard().audit(move |event: &AuditEvent<'_>| {
        kept.lock().unwrap().push(event.decision().to_string());
    });
    let layer = guard.rules(Rules::new().on(LIST, refund));
    let answer = through(&layer, call(LIST, &[&token().bearer()])).await;
    assert_eq!(refused(&answer), Reason::AuthenticationContextMissing);
    let headers = answer.0.headers();
    let challenge = all(headers, "www-authenticate").join("");
    let id = ids.lock().unwrap().pop().unwrap();
    assert_eq!(all(headers, "decision-id"), [&*id]);
    let told = Details::of(headers);
    let expected = [
        ("error", "insufficient_user_authentication"),
        ("scope", "orders:read orders:refund"),
        ("acr_values", "phr"),
        ("max_age", "300"),
        ("resource_metadata", METADATA),
        ("decision", &id),
    ];
    let mut metadata = told.metadata.clone();
    for (name, value) in expected {
        assert_eq!(metadata.remove(name).as_deref(), Some(value), "{name}");
        let in_challenge = challenge.contains(&format!("{name}=\"{value}\""));
        assert!(in_challenge || name == "decision", "{name}: {challenge}");
    }
    assert!(metadata.is_empty(), "{metadata:?}");
}

#[tokio::test]
async fn a_client_learns_no_more_than_in_http() {
    let response = answer(&guard(), &[&reader().header("kid", "other").bearer()]).await;
    assert_eq!(response.extensions().get::<Denial>().unwrap().reason(), Reason::KeyNotFound);
    let told = Details::of(response.headers());
    assert_eq!(told.reason, "SIGNATURE_INVALID");
    let text = format!("{:?} {told:?}", response.headers());
    assert!(!text.to_lowercase().contains("key_not_found"), "{text}");
}

#[tokio::test]
async fn the_answer_is_one_of_grpc_whatever_the_request_and_the_body_of_the_guard_are() {
    let layer = guard().body(ProblemJson).rules(rules());
    for field in ["application/json", "text/html", "application/grpc-web+proto", ""] {
        let mut request = call(LIST, &[]);
        request.headers_mut().insert("content-type", field.parse().unwrap());
        request.headers_mut().insert("accept", field.parse().unwrap());
        assert_eq!(refused(&through(&layer, request).await), Reason::MissingCredentials);
    }
    let get = Request::get(LIST).body(String::new()).unwrap();
    assert_eq!(refused(&through(&layer, get).await), Reason::MissingCredentials);
}

#[tokio::test]
async fn a_layer_that_is_not_one_of_rules_answers_in_http_whatever_the_request_is() {
    let service = service_fn(|_: Request<String>| async {
        Ok::<_, Infallible>(Response::new(String::new()))
    });
    let Ok(response) = guard().require(READ).layer(service).oneshot(call(LIST, &[])).await;
    assert_eq!(response.status(), 401);
    assert!(!response.headers().contains_key("grpc-status"));
}

#[tokio::test]
async fn two_schemes_are_two_entries_of_metadata() {
    let response = answer(&proof_guard(), &[]).await;
    let schemes: Vec<_> = all(response.headers(), "www-authenticate");
    assert_eq!(schemes.len(), 2);
    assert!(schemes[0].starts_with("Bearer ") && schemes[1].starts_with("DPoP "), "{schemes:?}");
}

/// A call with the bound token and a proof.
fn proven(method: &str, url: &str, nonce: Option<&str>) -> Request<String> {
    let raw = bound().sign();
    let proof = proof_key().proof(method, url).issued_at(now()).token(&raw);
    let proof = nonce.into_iter().fold(proof, |proof, nonce| proof.nonce(nonce));
    let mut request = call(LIST, &[&format!("DPoP {raw}")]);
    request.headers_mut().insert("dpop", proof.sign().parse().unwrap());
    request
}

#[tokio::test]
async fn a_proof_is_made_for_a_post_to_the_authority_and_the_path_of_the_method() {
    let url = format!("{BASE}{LIST}");
    let layer = proof_guard().rules(rules());
    let (response, seen) = through(&layer, proven("POST", &url, None)).await;
    assert_eq!(response.body(), "inside");
    assert!(!seen.unwrap().headers.contains_key("dpop"));
    for (method, url, reason) in [
        ("GET", &*url, Reason::DpopMethodMismatch),
        ("POST", "https://orders.example/orders.v1.Orders/Refund", Reason::DpopUriMismatch),
        ("POST", "https://orders.example/orders.v1.Orders", Reason::DpopUriMismatch),
        ("POST", "https://other.example/orders.v1.Orders/List", Reason::DpopUriMismatch),
    ] {
        let answer = through(&layer, proven(method, url, None)).await;
        assert_eq!(refused(&answer), reason, "{method} {url}");
        assert_eq!(all(answer.0.headers(), "grpc-status"), ["16"]);
    }
}

#[tokio::test]
async fn a_nonce_is_told_in_metadata_and_accepted_with_the_next_proof() {
    let nonces = Nonces::new([7; 32]);
    let guard = guard().dpop(dpop().nonces(nonces), store());
    let (layer, url) = (guard.rules(rules()), format!("{BASE}{LIST}"));
    let answer = through(&layer, proven("POST", &url, None)).await;
    assert_eq!(refused(&answer), Reason::DpopNonceRequired);
    let nonce = all(answer.0.headers(), "dpop-nonce").join("");
    let (response, _) = through(&layer, proven("POST", &url, Some(&nonce))).await;
    assert_eq!(response.body(), "inside");
}
