//! A grant belongs to its request.

use super::*;

#[test]
fn a_credential_beside_a_grant_is_judged_and_the_grant_does_not_count() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let grant = granted(&guard, &reader(&login));
    for (field, answer) in [
        ("Bearer not-ours".to_owned(), Err(Reason::TokenFormatNotAccepted)),
        (reader(&login).expired().bearer(), Err(Reason::TokenExpired)),
        (reader(&login).subject("bob").bearer(), Ok("bob".to_owned())),
    ] {
        let (mut parts, _) = request(&field).into_parts();
        parts.extensions.insert(grant.clone());
        let judged = guard.authorize(&mut parts, READ).now().unwrap();
        let judged = judged.map(|grant| grant.subject().name().to_owned());
        assert_eq!(judged.map_err(|denial| denial.reason()), answer);
    }
}

#[test]
fn a_second_sink_is_one_more_place() {
    let login = login();
    let (first, one) = recorded(|_| String::new());
    let (second, two) = recorded(|_| String::new());
    let guard = Guard::new(ORDERS, login.issuer()).audit(first).audit(second);
    granted(&guard, &reader(&login));
    assert_eq!((one.lock().unwrap().len(), two.lock().unwrap().len()), (1, 1));
}

#[test]
fn a_grant_beside_a_refused_credential_is_removed() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let grant = granted(&guard, &reader(&login));
    let (mut parts, _) = request("Bearer not-ours").into_parts();
    parts.extensions.insert(grant);
    assert!(guard.authorize(&mut parts, READ).now().unwrap().is_err());
    assert!(parts.extensions.get::<Grant>().is_none());
}
