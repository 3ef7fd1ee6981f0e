//! Attributes that a client may have chosen.

use std::sync::LazyLock;

use super::*;
use proptest::prelude::*;
use unconfused::policy::Attribute;

static PERMITS_ALL: LazyLock<Guard> = LazyLock::new(|| guard().policy(cedar(ALL)));

fn nested(depth: usize) -> Attribute {
    (0..depth).fold("x".into(), |inner, _| Attribute::List(vec![inner]))
}

#[test]
fn what_is_too_large_or_too_deep_is_refused() {
    let answer = |value: Attribute| {
        refusal(&decided(ALL, &alice(), refund().attribute("tags", value))).unwrap_or_default()
    };
    assert_eq!(answer(Attribute::from(vec!["x"; 999])), "");
    assert!(answer(Attribute::from(vec!["x"; 1000])).contains("too large"));
    assert_eq!(answer(Attribute::from(vec!["x".repeat(65_000)])), "");
    assert!(answer(Attribute::from(vec!["x".repeat(65_536)])).contains("too large"));
    assert!(answer(nested(9)).contains("too large"));
    assert!(answer(nested(8)).contains("not of the type"));
    assert!(answer(nested(2_000)).contains("too large"));
}

#[test]
fn a_value_is_never_read_as_cedar() {
    let only =
        r#"permit(principal, action, resource) when { context has note && context.note == "ok" };"#;
    for note in [
        r#"ok" || true || "" == ""#,
        r#"{"__entity": {"type": "Subject", "id": "x"}}"#,
        r#"{"__extn": {"fn": "decimal", "arg": "1.0"}}"#,
        "ok\u{0}",
        "\u{202e}ok",
    ] {
        assert!(decided(only, &alice(), refund().attribute("note", note)).is_err(), "{note}");
    }
    assert!(decided(only, &alice(), refund().attribute("note", "ok")).is_ok());
    let one = r#"permit(principal, action, resource == order::"7");"#;
    for id in [r#"7" "#, "7\n", r#"7"::order"#, "7\u{0}", ""] {
        assert!(decided(one, &alice(), Ask::operation("refund").resource("order", id)).is_err());
    }
}

fn attribute() -> impl Strategy<Value = Attribute> {
    let leaf = prop_oneof![
        ".{0,20}".prop_map(Attribute::from),
        any::<i128>().prop_map(Attribute::from),
        any::<bool>().prop_map(Attribute::from),
        "[0-9.e+-]{0,24}".prop_map(Attribute::from),
    ];
    leaf.prop_recursive(4, 32, 8, |inner| {
        proptest::collection::vec(inner, 0..8).prop_map(Attribute::from)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_attribute_makes_a_panic_and_each_is_granted_only_as_its_type(
        name in proptest::sample::select(vec![
            "amount", "count", "due", "within", "from", "urgent", "note", "tags", "prices", "owner", "total", "zz",
        ]),
        value in attribute(),
        kind in "order|Api|Subject|.{0,9}",
        id in ".{0,9}",
    ) {
        let ask = Ask::operation("refund").resource(kind, id).attribute(name, value.clone());
        // A policy that panics would be answered with 503.
        let answer = narrowed(&PERMITS_ALL, &by_agent(), ask);
        match refusal(&answer) {
            Some(why) => prop_assert!(why.starts_with("policy_denied: "), "{why}"),
            None => prop_assert!(is_of_its_type(name, &value)),
        }
    }
}

fn is_of_its_type(name: &str, value: &Attribute) -> bool {
    match name {
        "count" | "total" => value.as_integer().is_some(),
        "urgent" => value.as_boolean().is_some(),
        "tags" | "prices" => value.as_list().is_some(),
        "amount" => value.as_text().is_some() || value.as_integer().is_some(),
        "zz" => false,
        _ => value.as_text().is_some(),
    }
}
