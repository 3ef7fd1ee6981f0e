//! A credential in another field than `Authorization`.

use http::HeaderName;
use http::header::COOKIE;
use unconfused::proof::Dpop;
use unconfused::replay::MemoryReplayStore;
use unconfused::testing::TestProofKey;

use super::*;

const FIELD: HeaderName = HeaderName::from_static("x-jwt-assertion");

fn guard(login: &TestIssuer) -> Guard {
    Guard::new(ORDERS, login.issuer()).credential_field(FIELD)
}

fn fields(fields: &[(HeaderName, &str)]) -> Request<String> {
    let mut request = without_token();
    for (name, value) in fields {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

fn reason(response: &Response<String>) -> Reason {
    denial(response).reason()
}

#[test]
fn the_credential_is_in_that_field_and_never_in_authorization() {
    let login = login();
    let layer = || guard(&login).require(READ);
    let (raw, bearer) = (reader(&login).sign(), reader(&login).bearer());
    let (response, log) = through(layer(), fields(&[(FIELD, &raw)]));
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(log.grant().subject().name(), "alice");

    let (response, log) = through(layer(), fields(&[(AUTHORIZATION, &bearer)]));
    assert_eq!((reason(&response), log.calls()), (Reason::MissingCredentials, 0));

    // What is in `Authorization` neither helps nor harms, and stays.
    let billing = login.token(&BILLING).scope("orders:read").bearer();
    for other in [&*billing, "Basic YTpi", "", "DPoP x"] {
        let (response, log) = through(layer(), fields(&[(AUTHORIZATION, other), (FIELD, &raw)]));
        assert_eq!(response.status(), StatusCode::OK, "{other}");
        assert_eq!(log.only().0.headers[AUTHORIZATION], other);
        let wrong = fields(&[(AUTHORIZATION, &bearer), (FIELD, "nonsense")]);
        let (response, log) = through(layer(), wrong);
        assert_eq!((response.status(), log.calls()), (StatusCode::UNAUTHORIZED, 0));
    }
}

#[test]
fn the_field_holds_one_token_alone() {
    let login = login();
    let raw = reader(&login).sign();
    let long = "a".repeat(100_000);
    for (values, expected) in [
        (&[&*raw, &*raw][..], Reason::MultipleCredentials),
        (&[&*raw, ""], Reason::MultipleCredentials),
        (&[&*format!("{raw},{raw}")], Reason::MalformedAuthorization),
        (&[&*format!("{raw}, {raw}")], Reason::MalformedAuthorization),
        (&[&*format!("Bearer {raw}")], Reason::MalformedAuthorization),
        (&[""], Reason::MalformedAuthorization),
        (&["nonsense"], Reason::TokenFormatNotAccepted),
        (&[&*long], Reason::CredentialTooLarge),
        (&[&*long, &*raw], Reason::CredentialTooLarge),
    ] {
        let values: Vec<_> = values.iter().map(|value| (FIELD, *value)).collect();
        let (response, log) = through(guard(&login).require(READ), fields(&values));
        assert_eq!((reason(&response), log.calls()), (expected, 0));
        let (response, _) = through(guard(&login).optional(READ), fields(&values));
        assert_eq!(reason(&response), expected);
    }
}

#[test]
fn the_field_and_every_other_with_the_token_is_removed_once_granted() {
    let login = login();
    let raw = reader(&login).sign();
    let cookie = format!("theme=dark; CF_Authorization={raw}");
    let bearer = format!("Bearer {raw}");
    let kept = HeaderName::from_static("x-kept");
    let head = || {
        fields(&[(FIELD, &raw), (COOKIE, &cookie), (AUTHORIZATION, &bearer), (kept.clone(), "a")])
    };
    let names = |head: &Parts| {
        let mut names: Vec<_> = head.headers.keys().map(|name| name.as_str().to_owned()).collect();
        names.sort_unstable();
        names
    };
    for layer in [guard(&login).require(READ), guard(&login).optional(READ)] {
        let (_, log) = through(layer, head());
        let (head, _) = log.only();
        assert_eq!(names(&head), ["cache-control", "x-kept"]);
        assert_eq!(head.headers[CACHE_CONTROL], "no-store");
        assert!(head.extensions.get::<Grant>().is_some());
    }
    let (mut head, _) = head().into_parts();
    assert!(guard(&login).authorize(&mut head, READ).now().unwrap().is_ok());
    assert_eq!(names(&head), ["cache-control", "x-kept"]);
}

#[test]
fn a_request_without_the_field_has_no_credentials() {
    let login = login();
    let bearer = reader(&login).bearer();
    for request in [without_token(), fields(&[(AUTHORIZATION, &bearer)])] {
        let (response, log) = through(guard(&login).optional(READ), request);
        assert_eq!(response.status(), StatusCode::OK);
        assert!(log.only().0.extensions.get::<Grant>().is_none());
    }
}

#[test]
fn proofs_are_not_accepted_there() {
    let login = login();
    let dpop = || Dpop::for_base_url("https://orders.example").unwrap();
    let both: [&dyn Fn() -> Guard; 2] =
        [&|| guard(&login).dpop(dpop(), MemoryReplayStore::new()), &|| {
            let guard = Guard::new(ORDERS, login.issuer()).dpop(dpop(), MemoryReplayStore::new());
            guard.credential_field(FIELD)
        }];
    for set_up in both {
        assert!(catch_unwind(AssertUnwindSafe(set_up)).is_err());
    }
    let key = TestProofKey::new();
    let raw = reader(&login).bound_to(&key).sign();
    let proof = key.proof("GET", "https://orders.example/orders").token(&raw).sign();
    let request = fields(&[(FIELD, &raw), (HeaderName::from_static("dpop"), &proof)]);
    let (response, log) = through(guard(&login).require(READ), request);
    assert_eq!((reason(&response), log.calls()), (Reason::BoundTokenAsBearer, 0));
}

#[test]
fn a_field_that_holds_something_else_panics_at_set_up() {
    for name in [AUTHORIZATION, COOKIE, HeaderName::from_static("dpop")] {
        let set_up = || Guard::new(ORDERS, login().issuer()).credential_field(name.clone());
        assert!(catch_unwind(AssertUnwindSafe(set_up)).is_err(), "{name}");
    }
}

#[test]
fn a_guard_does_not_use_the_credential_that_another_found_in_another_field() {
    let login = login();
    let usual = Guard::new(ORDERS, login.issuer());
    let other = guard(&login);
    let third = usual.clone().credential_field(HeaderName::from_static("x-third"));
    let (raw, bearer) = (reader(&login).sign(), reader(&login).bearer());
    let in_field = || fields(&[(FIELD, &raw)]);
    let in_authorization = || fields(&[(AUTHORIZATION, &bearer)]);
    let missing = |(response, log): (Response<String>, Arc<Log>)| {
        assert_eq!((reason(&response), log.calls()), (Reason::MissingCredentials, 0));
    };
    missing(through((usual.require(READ), other.require(READ)), in_authorization()));
    missing(through((other.require(READ), usual.require(READ)), in_field()));
    missing(through((other.require(READ), third.require(READ)), in_field()));

    // With a credential in each field, each guard judges its own.
    let bob = reader(&login).subject("bob").sign();
    let request = fields(&[(AUTHORIZATION, &bearer), (FIELD, &bob)]);
    let (response, log) = through((usual.require(READ), other.require(READ)), request);
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(log.grant().subject().name(), "bob");

    // Two guards that read the same field validate the same credential.
    let same = other.clone().limits(TokenLimits::default().max_actors(1));
    let (response, _) = through((other.require(READ), same.require(READ)), in_field());
    assert_eq!(response.status(), StatusCode::OK);

    // So in `narrow`.
    let grant = granted(&usual, &reader(&login));
    let denied = other.narrow(&grant, Require::valid_token()).now().unwrap().unwrap_err();
    assert_eq!(denied.reason(), Reason::MissingCredentials);
}

#[test]
fn a_grant_in_the_extensions_does_not_count_if_the_request_has_the_field() {
    let login = login();
    let guard = guard(&login);
    let (_, log) = through(guard.require(READ), fields(&[(FIELD, &reader(&login).sign())]));
    let grant = log.grant();
    let bob = reader(&login).subject("bob").sign();
    let mut request = fields(&[(FIELD, &bob)]);
    request.extensions_mut().insert(grant);
    let (_, log) = through(guard.require(READ), request);
    assert_eq!(log.grant().subject().name(), "bob");
}

#[test]
fn the_metadata_says_that_no_way_of_rfc_6750_is_supported() {
    let document = guard(&login()).metadata().unwrap().to_json();
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["bearer_methods_supported"], json!([]));
}
