//! What stands out in the set-up of a guard: each kind of finding, and what is not one.

use unconfused::audit::FindingKind::{self, *};
use unconfused::layer::{GuardLayer, Rules};
use unconfused::profile::{ClaimRule, HeaderType, Profile};
use unconfused::{Acr, Audience, Guard, Require};

use crate::{DELETE, FIVE_MINUTES, LOGIN, ORDERS, READ, approving, deletion, guard, login};

fn found(guard: &Guard) -> Vec<(FindingKind, String)> {
    let operations = guard.operations();
    let found = operations.findings().iter();
    found.map(|finding| (finding.kind(), finding.about().to_owned())).collect()
}

#[test]
fn a_deletion_needs_step_up_or_an_approval() {
    let guard = approving(guard(&login()));
    let bare = |guard: &Guard| guard.require(DELETE).named("DELETE /orders/{id}");
    let expected = [(DestructiveWithoutStepUp, "DELETE /orders/{id}".to_owned())];
    let layer = bare(&guard);
    assert_eq!(found(&guard), expected);
    drop(layer);

    let layers: [fn(&Guard) -> GuardLayer; 5] = [
        |guard| guard.require(Require::scope(DELETE).max_age(FIVE_MINUTES)),
        |guard| guard.require(Require::scope(DELETE).acr([Acr::from_static("phr")])),
        |guard| guard.require(Require::scope(DELETE).and(Require::detail(deletion()))),
        |guard| guard.require(DELETE).approvable(),
        // It may ask for it.
        |guard| guard.require_by(|_| Require::valid_token()),
    ];
    for layer in layers {
        let layer = layer(&guard).named("DELETE /orders/{id}");
        assert_eq!(found(&guard), [], "{layer:?}");
    }
    // Other methods are not known to delete.
    for method in ["GET", "POST", "PUT", "PATCH"] {
        let layer = guard.require(DELETE).named(format!("{method} /orders/{{id}}"));
        assert_eq!(found(&guard), [], "{layer:?}");
    }
}

#[test]
fn an_operation_that_asks_for_too_little_is_found() {
    let guard = guard(&login());
    let name = "GET /orders";
    let layer = guard.require(Require::valid_token()).named(name);
    assert_eq!(found(&guard), [(ValidTokenOnly, name.to_owned())]);
    drop(layer);
    let layer = guard.require(Require::valid_token().person()).named(name);
    assert_eq!(found(&guard), [(NoScope, name.to_owned())]);
    drop(layer);
    let layer = guard.optional(READ).named(name);
    assert_eq!(found(&guard), [(NoTokenNeeded, name.to_owned())]);
    drop(layer);
    let layer = guard.optional(Require::valid_token()).named("DELETE /orders");
    let about = || "DELETE /orders".to_owned();
    let kinds = [DestructiveWithoutStepUp, NoTokenNeeded, ValidTokenOnly];
    assert_eq!(found(&guard), kinds.map(|kind| (kind, about())));
    drop(layer);
    let layer = guard.rules(Rules::new().open("/grpc.health.v1.Health/Check"));
    assert_eq!(found(&guard), [(NoTokenNeeded, "POST /grpc.health.v1.Health/Check".to_owned())]);
    drop(layer);
    let layer = guard.require(READ).named(name);
    assert_eq!(found(&guard), []);
    drop(layer);
}

#[test]
fn an_audience_with_aliases_is_found() {
    let guard = guard(&login()).also_accept(Audience::from_static("orders"));
    assert_eq!(found(&guard), [(AudienceAliases, "https://orders.example, orders".to_owned())]);
}

#[test]
fn an_issuer_whose_profile_checks_less_is_found() {
    let with = |profile: Profile| found(&Guard::new(ORDERS, login().issuer().profile(profile)));
    let about = |kind| vec![(kind, LOGIN.to_owned())];
    assert_eq!(with(Profile::rfc9068()), []);
    let jwt = || Profile::rfc9068().types([HeaderType::Jwt]);
    assert_eq!(with(jwt()), about(IssuerKindNotChecked));
    assert_eq!(with(Profile::rfc9068().other_types(["bearer"])), about(IssuerKindNotChecked));
    assert_eq!(with(jwt().requires_one_of([ClaimRule::is("use", "api")])), []);
    let clients = Profile::rfc9068().client_list_instead_of_audience(["web-app"]);
    assert_eq!(with(clients), about(IssuerWithoutAudience));
}

#[test]
fn every_kind_has_a_name_and_a_meaning_of_its_own() {
    let kinds = [
        AudienceAliases,
        IssuerKindNotChecked,
        IssuerWithoutAudience,
        UnnamedLayers,
        DestructiveWithoutStepUp,
        NoTokenNeeded,
        NoScope,
        ValidTokenOnly,
    ];
    let names: std::collections::BTreeSet<_> = kinds.map(FindingKind::as_str).into();
    let meanings: std::collections::BTreeSet<_> = kinds.map(FindingKind::meaning).into();
    assert_eq!((names.len(), meanings.len()), (kinds.len(), kinds.len()));
}
