//! What a guard knows of its operations, and for how long.

use axum::Router;
use axum::routing::{delete, get, post};
use serde_json::json;
use unconfused::layer::{Guards, MethodRule, ProblemJson, Rules};
use unconfused::{Audience, Guard, Require};

use crate::{DELETE, FIVE_MINUTES, LOGIN, ORDERS, READ, REFUND, approving, guard, login};

fn names(guard: &Guard) -> Vec<String> {
    let operations = guard.operations();
    operations.listed().iter().map(|listed| listed.name().to_owned()).collect()
}

#[test]
fn a_name_of_method_and_path_is_read_as_both_and_any_other_is_a_name() {
    let guard = guard(&login());
    for (name, route) in [
        ("POST /orders/{id}/refund", Some(("POST", "/orders/{id}/refund"))),
        ("GET /", Some(("GET", "/"))),
        ("orders.list", None),
        ("post /orders", None),
        ("POST orders", None),
        ("POST /orders and more", None),
        ("POST  /orders", None),
        ("/orders", None),
        (" /orders", None),
        ("", None),
    ] {
        let layer = guard.require(READ).named(name);
        let operations = guard.operations();
        let [listed] = operations.listed() else { panic!("{name}") };
        assert_eq!(listed.name(), name);
        let read = listed.method().map(|method| method.as_str()).zip(listed.path());
        assert_eq!(read, route, "{name}");
        drop(layer);
    }
}

#[test]
fn a_layer_is_listed_as_long_as_something_has_it_and_its_clones_are_one() {
    let guard = guard(&login());
    let layer = guard.require(READ).named("GET /orders");
    let clones = [layer.clone(), layer.clone()];
    let app: Router = Router::new().route("/orders", get(async || ()).route_layer(layer.clone()));
    assert_eq!(names(&guard.clone()), ["GET /orders"]);
    drop((layer, clones));
    assert_eq!(names(&guard), ["GET /orders"], "the router has it");
    drop(app);
    assert!(names(&guard).is_empty());
}

#[test]
fn a_layer_that_is_changed_is_listed_as_it_is_now() {
    let guard = approving(guard(&login()));
    let layer = guard.require(DELETE).named("a").named("DELETE /orders/{id}").approvable();
    let layer = layer.rule("own region", |_, _| true).body(ProblemJson);
    let operations = guard.operations();
    let [listed] = operations.listed() else { panic!("{operations}") };
    assert_eq!((listed.name(), listed.asks_for_approval()), ("DELETE /orders/{id}", true));
    assert_eq!(operations.unnamed_layers(), 0);

    // A clone with another name is another operation.
    let other = layer.clone().named("DELETE /other/{id}");
    assert_eq!(names(&guard), ["DELETE /orders/{id}", "DELETE /other/{id}"]);
    drop(layer);
    assert_eq!(names(&guard), ["DELETE /other/{id}"]);
    drop(other);
}

#[test]
fn layers_that_are_made_for_each_request_do_not_make_the_list_grow() {
    let guard = guard(&login());
    let kept = guard.require(READ).named("GET /orders");
    for _ in 0..10_000 {
        drop(guard.require(READ).named("GET /orders/{id}"));
    }
    assert_eq!(names(&guard), ["GET /orders"]);
    let held = allocation_counter::measure(|| {
        for _ in 0..10_000 {
            drop(guard.require(READ).named("GET /orders/{id}"));
        }
    });
    assert!(held.bytes_current.abs() < 2_048, "{held:?}");
    drop(kept);
}

#[test]
fn what_a_computed_an_optional_and_an_unnamed_layer_require_is_told_apart() {
    let guard = guard(&login());
    let layers = [
        guard.require_by(|_| Require::valid_token()).named("GET /computed"),
        guard.optional(READ).named("GET /optional"),
        guard.require(READ),
        guard.require(Require::valid_token()),
    ];
    let operations = guard.operations();
    let [computed, optional] = operations.listed() else { panic!("{operations}") };
    assert_eq!((computed.requirement(), computed.needs_token()), (None, true));
    let read = Require::scope(READ);
    assert_eq!((optional.requirement(), optional.needs_token()), (Some(&read), false));
    assert_eq!(operations.unnamed_layers(), 2);
    drop(layers);
    assert_eq!(guard.operations().unnamed_layers(), 0);
}

#[test]
fn the_methods_of_rules_are_listed_as_long_as_a_layer_has_them() {
    let guard = guard(&login());
    let rules = Rules::new()
        .on("/orders.v1.Orders/List", READ)
        .on("/orders.v1.Orders/Refund", Require::scope(REFUND).max_age(FIVE_MINUTES))
        .open("/grpc.health.v1.Health/Check");
    assert!(names(&guard).is_empty(), "rules without a layer guard nothing");
    let layer = guard.rules(rules);
    let operations = guard.operations();
    let shown: Vec<_> = operations
        .listed()
        .iter()
        .map(|listed| (listed.name(), listed.needs_token(), listed.asks_for_step_up()))
        .collect();
    assert_eq!(
        shown,
        [
            ("POST /grpc.health.v1.Health/Check", false, false),
            ("POST /orders.v1.Orders/List", true, false),
            ("POST /orders.v1.Orders/Refund", true, true),
        ]
    );
    let server = tower::ServiceBuilder::new().layer(layer).service(tower::service_fn(
        async |_: http::Request<String>| {
            Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
        },
    ));
    assert_eq!(names(&guard).len(), 3);
    drop(server);
    assert!(names(&guard).is_empty());
}

#[test]
fn a_layer_of_several_guards_is_in_the_list_of_each() {
    let login = login();
    let billing = Audience::from_static("https://billing.example");
    let both = [("a", guard(&login)), ("b", Guard::new(billing.clone(), login.issuer()))];
    let guards = Guards::new(both.clone(), |head, guards| guards.get(head.uri.path()));
    let layer = guards.require(READ).named("GET /orders").rule("a rule", |_, _| true);
    let [(_, a), (_, b)] = both;
    assert_eq!((names(&a), names(&b)), (vec!["GET /orders".into()], vec!["GET /orders".into()]));

    // What both have is there once, also in the sum.
    let own = b.require(READ).named("GET /bills");
    let unnamed = [a.require(READ), b.require(READ)];
    let sum = a.operations().and(&b.operations());
    assert_eq!(sum.listed().len(), 2);
    assert_eq!(sum.audiences(), [ORDERS, billing]);
    assert_eq!(sum.issuers(), [LOGIN]);
    assert_eq!(sum.unnamed_layers(), 2);
    let [finding] = sum.findings() else { panic!("{sum}") };
    assert_eq!(finding.about(), "2");
    drop((layer, own, unnamed));
}

#[test]
fn a_guard_with_another_setting_has_a_list_of_its_own() {
    let first = guard(&login());
    let layer = first.require(READ).named("GET /orders");
    let second = first.clone().token_cache_capacity(0);
    assert!(names(&second).is_empty());
    assert_eq!(names(&first), ["GET /orders"]);
    drop(layer);
}

/// The layers of a small service.
fn service(guard: &Guard) -> Router {
    let ok = async || ();
    let refunds = Require::scope(REFUND).max_age(FIVE_MINUTES);
    Router::new()
        .route("/orders", get(ok).route_layer(guard.require(READ).named("GET /orders")))
        .route(
            "/orders/{id}/refund",
            post(ok).route_layer(guard.require(refunds).named("POST /orders/{id}/refund")),
        )
        .route(
            "/orders/{id}",
            delete(ok).route_layer(guard.require(DELETE).named("DELETE /orders/{id}")),
        )
        .route_layer(guard.require(Require::valid_token()))
}

#[test]
fn the_list_is_written_as_a_table() {
    let guard = guard(&login());
    let app = service(&guard);
    assert_eq!(
        guard.operations().to_string(),
        "audience  https://orders.example\n\
         issuer    https://login.example\n\
         \n\
         operation                 step-up  approval  requires\n\
         GET /orders               -        -         scope=orders:read\n\
         DELETE /orders/{id}       -        -         scope=orders:delete\n\
         POST /orders/{id}/refund  yes      -         scope=orders:refund max_age=300\n\
         \n\
         finding                      about\n\
         unnamed_layers               1\n\
         destructive_without_step_up  DELETE /orders/{id}\n"
    );
    drop(app);
}

#[test]
fn the_list_is_written_as_json() {
    let guard = guard(&login());
    let app = service(&guard);
    let operation = |name: &str, requirement: &str, step_up: bool| {
        let (method, path) = name.split_once(' ').unwrap();
        json!({
            "name": name, "method": method, "path": path, "requirement": requirement,
            "token_needed": true, "step_up": step_up, "approval": false,
        })
    };
    assert_eq!(
        serde_json::to_value(guard.operations()).unwrap(),
        json!({
            "audiences": ["https://orders.example"],
            "issuers": ["https://login.example"],
            "operations": [
                operation("GET /orders", "scope=orders:read", false),
                operation("DELETE /orders/{id}", "scope=orders:delete", false),
                operation("POST /orders/{id}/refund", "scope=orders:refund max_age=300", true),
            ],
            "unnamed_layers": 1,
            "findings": [
                {
                    "finding": "unnamed_layers", "about": "1",
                    "meaning": "These layers have no name, so what they protect is not in the list.",
                },
                {
                    "finding": "destructive_without_step_up", "about": "DELETE /orders/{id}",
                    "meaning": "It deletes, and asks for neither a recent or strong login nor an approval.",
                },
            ],
        })
    );
    drop(app);
}

#[test]
fn a_name_cannot_forge_a_line_of_the_list() {
    let guard = guard(&login());
    let layer = guard.require(READ).named("GET /a\nPOST /b\u{202e}");
    let operations = guard.operations();
    let line = r"GET /a\nPOST /b\u{202e}  -        -         scope=orders:read";
    assert!(operations.to_string().contains(line), "{operations}");
    let json = serde_json::to_string(&operations).unwrap();
    assert!(json.contains(r#""name":"GET /a\\nPOST /b\\u{202e}""#), "{json}");
    drop(layer);
}

#[test]
fn a_method_of_rules_that_has_a_name_is_listed_under_it_and_known_by_its_path() {
    let guard = approving(guard(&login()));
    let guards = Guards::new([("a", guard.clone())], |_, guards| guards.get("a"));
    let rule = MethodRule::requiring(DELETE).named("orders.delete").approvable();
    let layer = guards.rules(Rules::new().on("/orders.v1.Orders/Delete", rule));
    let operations = guard.operations();
    let [listed] = operations.listed() else { panic!("{operations}") };
    assert_eq!(listed.name(), "orders.delete");
    assert_eq!(listed.path(), Some("/orders.v1.Orders/Delete"));
    assert!(listed.asks_for_approval());
    drop(layer);
    assert!(names(&guard).is_empty());
}
