//! Another authenticator on the same endpoint.

use unconfused::audit::StepUp;

use super::*;

#[derive(Clone)]
struct ApiKey;
#[derive(Clone)]
struct Peer;

fn with_extension<T: Clone + Send + Sync + 'static>(
    mut request: Request<String>,
    value: T,
) -> Request<String> {
    request.extensions_mut().insert(value);
    request
}

#[test]
fn a_request_without_credentials_passes_without_a_grant_if_its_extensions_hold_the_type() {
    let guard = Guard::new(ORDERS, login().issuer());
    let layer = guard.require(READ).or_authenticated::<ApiKey>();
    let (response, log) = through(layer.clone(), with_extension(without_token(), ApiKey));
    assert_eq!(response.status(), StatusCode::OK);
    assert!(log.only().0.extensions.get::<Grant>().is_none());

    for request in [without_token(), with_extension(without_token(), Peer)] {
        let (response, log) = through(layer.clone(), request);
        assert_eq!(denial(&response).reason(), Reason::MissingCredentials);
        assert_eq!(log.calls(), 0);
    }
}

#[test]
fn such_a_request_is_on_record() {
    let (sink, lines) = recorded(|event| {
        assert!(event.subject().is_none() && event.reason().is_none());
        // The requirement asks for a login, and no login was checked.
        assert_ne!(event.step_up(), StepUp::Met);
        let name = event.other_authenticator().expect("a name").to_owned();
        assert!(event.to_string().starts_with("allowed operation=\"GET /orders\""));
        assert!(event.to_string().contains(&format!("other_authenticator={name:?}")));
        format!("{} {name} {}", event.allowed(), event.requirement())
    });
    let guard = Guard::new(ORDERS, login().issuer()).audit(sink);
    let strong = Require::scope(READ).max_age(Duration::from_secs(60));
    let layer = guard.require(&strong).or_authenticated::<ApiKey>();
    let (response, _) = through(layer, with_extension(without_token(), ApiKey));
    assert_eq!(response.status(), StatusCode::OK);
    let name = std::any::type_name::<ApiKey>();
    assert_eq!(*lines.lock().unwrap(), [format!("true {name} {strong}")]);
}

#[test]
fn a_request_with_credentials_is_judged_in_full() {
    let login = login();
    let (sink, lines) = recorded(|event| format!("{:?}", event.other_authenticator()));
    let guard = Guard::new(ORDERS, login.issuer()).audit(sink);
    let layer = guard.require(READ).or_authenticated::<ApiKey>();
    for (credential, status) in [
        (reader(&login).expired().bearer(), 401),
        (login.token(&BILLING).scope("orders:read").bearer(), 401),
        (login.token(&ORDERS).bearer(), 403),
        ("Bearer nonsense".to_owned(), 401),
        (String::new(), 400),
        // The other authenticator has not removed its own credential.
        ("Basic YTpi".to_owned(), 401),
        ("ApiKey a".to_owned(), 401),
    ] {
        let (response, log) = through(layer.clone(), with_extension(request(&credential), ApiKey));
        assert_eq!((response.status().as_u16(), log.calls()), (status, 0), "{credential}");
    }
    let (_, log) = through(layer, with_extension(with(&reader(&login)), ApiKey));
    assert_eq!(log.grant().subject().name(), "alice");
    assert_eq!(*lines.lock().unwrap(), ["None"; 8]);
}

#[test]
fn several_types_can_be_named_and_each_is_enough() {
    let guard = Guard::new(ORDERS, login().issuer());
    let layer = guard.require(READ).or_authenticated::<ApiKey>().or_authenticated::<Peer>();
    let layer = layer.named("orders.list").body(ProblemJson);
    for request in [with_extension(without_token(), ApiKey), with_extension(without_token(), Peer)]
    {
        assert_eq!(through(layer.clone(), request).0.status(), StatusCode::OK);
    }
    assert_eq!(through(layer, without_token()).0.status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn the_transport_is_checked_all_the_same() {
    let guard = Guard::new(ORDERS, login().issuer()).secure_transport(|_| false);
    let layer = guard.require(READ).or_authenticated::<ApiKey>();
    let (response, log) = through(layer, with_extension(without_token(), ApiKey));
    assert_eq!((denial(&response).reason(), log.calls()), (Reason::InsecureTransport, 0));
}

#[test]
fn fields_that_show_possession_are_removed() {
    let guard = Guard::new(ORDERS, login().issuer());
    let layer = guard.require(READ).or_authenticated::<ApiKey>();
    let mut request = with_extension(without_token(), ApiKey);
    for name in ["dpop", "client-cert", "x-kept"] {
        request.headers_mut().insert(name, HeaderValue::from_static("a"));
    }
    let (_, log) = through(layer, request);
    let names: Vec<_> = log.only().0.headers.into_iter().filter_map(|(name, _)| name).collect();
    assert_eq!(names, ["x-kept"]);
}

#[test]
fn an_optional_guard_records_who_was_authenticated_otherwise() {
    let (sink, lines) = recorded(|event| format!("{:?}", event.other_authenticator().is_some()));
    let guard = Guard::new(ORDERS, login().issuer()).audit(sink);
    let layer = guard.optional(READ).or_authenticated::<ApiKey>();
    assert_eq!(through(layer.clone(), without_token()).0.status(), StatusCode::OK);
    assert!(lines.lock().unwrap().is_empty());
    through(layer, with_extension(without_token(), ApiKey));
    assert_eq!(*lines.lock().unwrap(), ["true"]);
}

#[test]
fn a_guard_inside_still_asks_for_a_token() {
    let guard = Guard::new(ORDERS, login().issuer());
    let outer = guard.require(Require::valid_token()).or_authenticated::<ApiKey>();
    let request = with_extension(without_token(), ApiKey);
    let (response, log) = through((outer, guard.require(READ)), request);
    assert_eq!((response.status(), log.calls()), (StatusCode::UNAUTHORIZED, 0));
}
