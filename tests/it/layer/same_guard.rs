//! Which guards count as the same one.

use super::*;

#[test]
fn a_grant_is_by_the_guard_that_made_it_and_by_its_clones() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let (_, log) = through(guard.require(READ), with(&reader(&login)));
    let grant = log.grant();
    assert!(grant.made_by(&guard));
    assert!(grant.made_by(&guard.clone()));
}

#[test]
fn every_changed_setting_makes_another_guard() {
    let login = login();
    let guard = Guard::new(ORDERS, login.issuer());
    let (_, log) = through(guard.require(READ), with(&reader(&login)));
    let grant = log.grant();
    let clone = || guard.clone();
    for (setting, other) in [
        ("trust", clone().trust(TestIssuer::new("https://b").issuer())),
        ("also_accept", clone().also_accept(BILLING)),
        ("leeway", clone().limits(TokenLimits::default().leeway(Duration::from_secs(1)))),
        (
            "max_lifetime",
            clone().limits(TokenLimits::default().max_lifetime(Duration::from_secs(1))),
        ),
        (
            "max_delegated_lifetime",
            clone().limits(TokenLimits::default().max_delegated_lifetime(Duration::from_secs(1))),
        ),
        (
            "max_token_age",
            clone().limits(TokenLimits::default().max_token_age(Duration::from_secs(1))),
        ),
        ("single_audience", clone().limits(TokenLimits::default().single_audience())),
        ("max_actors", clone().limits(TokenLimits::default().max_actors(1))),
        ("max_token_bytes", clone().limits(TokenLimits::default().max_bytes(1))),
        ("scope_hierarchy", clone().scope_hierarchy(ScopeHierarchy::default())),
        ("clock", clone().clock(UtcDateTime::now)),
        ("secure_transport", clone().secure_transport(|_| true)),
        ("audit", clone().audit(|_: &AuditEvent<'_>| ())),
        ("made anew", Guard::new(ORDERS, login.issuer())),
    ] {
        assert!(!grant.made_by(&other), "{setting}");
    }
    assert!(grant.made_by(&guard));
}
