//! A requirement as text: what is printed can be read, and what is read is what was meant.

use std::time::Duration;

use crate::common::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use unconfused::audit::Printable;
use unconfused::detail::Detail;
use unconfused::{Acr, Party, Require, Scope};

fn read(text: &str) -> Require {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn problem(text: &str) -> String {
    text.parse::<Require>().expect_err(text).problem().to_owned()
}

/// Names that look like other parts of the text, and any other.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            LOGIN,
            OTHER,
            "",
            "|",
            "\"",
            "\\",
            "a\" of \"b",
            "a|b",
            "\n",
            "\u{202e}x",
            "é",
            "\u{301}",
            "…",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
        "[ -~]{0,12}",
        "\\PC{0,20}",
        Just("é".repeat(Printable::LIMIT)),
    ]
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        select(vec!["a", "b", "a|b", "|", "scope=a", "=", "orders:read"]).prop_map(str::to_owned),
        r"[!#-\[\]-~]{1,8}",
    ]
    .prop_map(|scope| Scope::new(scope).unwrap())
}

fn acr() -> impl Strategy<Value = Acr> {
    scope().prop_map(|word| Acr::new(word.as_str()).unwrap())
}

fn parties() -> impl Strategy<Value = Vec<Party<'static>>> {
    vec((name(), name()).prop_map(Party::from), 0..3)
}

/// The path of a claim that may be required.
fn path() -> impl Strategy<Value = Vec<String>> {
    let is_judged = |name: &String| {
        ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "cnf", "act", "acr", "amr", "txn"]
            .contains(&&**name)
    };
    let names = vec(prop_oneof![name(), select(vec!["/", "a/b"]).prop_map(str::to_owned)], 1..4);
    names.prop_filter("judged by the guard", move |names| !names.iter().any(is_judged))
}

fn age() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0_u64..100_000).prop_map(Duration::from_secs),
        (any::<u64>(), 0_u32..1_000_000_000)
            .prop_map(|(seconds, nanos)| Duration::new(seconds, nanos)),
    ]
}

/// One call of a constructor or a method.
fn one() -> impl Strategy<Value = Require> {
    let any = Require::valid_token;
    prop_oneof![
        Just(any()),
        scope().prop_map(Require::scope),
        vec(scope(), 0..4).prop_map(Require::all_scopes),
        vec(scope(), 0..4).prop_map(Require::any_scope),
        vec(acr(), 0..3).prop_map(move |classes| any().acr(classes)),
        age().prop_map(move |age| any().max_age(age)),
        parties().prop_map(move |actors| any().actor(actors)),
        parties().prop_map(move |actors| any().actor_if_any(actors)),
        parties().prop_map(move |clients| any().client(clients)),
        parties().prop_map(move |clients| any().in_person(clients)),
        vec(name(), 0..3).prop_map(move |issuers| any().issuer(issuers)),
        name().prop_map(Require::detail_of_type),
        (name(), path(), name())
            .prop_map(move |(issuer, path, value)| any().claim_is(issuer, path, value)),
        (name(), path(), name())
            .prop_map(move |(issuer, path, value)| any().claim_contains(issuer, path, value)),
        select(vec![
            any().delegated(),
            any().undelegated(),
            any().person(),
            any().single_use(),
            any().sender_constrained(),
        ]),
    ]
}

/// Requirements of every kind. No name has more characters than are printed.
fn requirement() -> impl Strategy<Value = Require> {
    let joined = |parts: Vec<Require>| {
        parts.into_iter().fold(Require::valid_token(), |all, part| all.and(part))
    };
    // Also without `and`, which forgets that actors of other namespaces are allowed.
    prop_oneof![
        one(),
        (one(), option::of(age())).prop_map(|(one, age)| match age {
            Some(age) => one.max_age(age).person(),
            None => one,
        }),
        vec(one(), 0..6).prop_map(joined)
    ]
}

proptest! {
    #![proptest_config(crate::common::cases())]

    #[test]
    fn what_is_printed_is_read_as_the_same_requirement(requirement in requirement()) {
        let text = requirement.to_string();
        prop_assert_eq!(text.parse::<Require>(), Ok(requirement), "{}", text);
    }

    #[test]
    fn any_text_is_refused_or_is_read_as_what_it_prints(
        text in prop_oneof![
            any::<String>(),
            vec(select(vec![
                "scope", "acr", "max_age", "actor", "actor_if_any", "actor_namespace", "client", "issuer", "detail",
                "detail_of_type", "claim", " is ", " contains ", "/", "person", "valid_token", "=", "|", "\"", "\"a\"", " of ", " ", "\n", "a", "own", "5",
                ".", "\\u{", "}", "é",
            ]), 0..12).prop_map(|words| words.concat()),
        ],
    ) {
        if let Ok(requirement) = text.parse::<Require>() {
            prop_assert_eq!(requirement.to_string().parse::<Require>(), Ok(requirement), "{}", text);
        }
    }
}

#[test]
fn parts_stand_in_any_order_and_with_any_white_space() {
    let written = r#"scope=orders:refund acr=phr|mfa max_age=300 actor="agent-7" of "https://login.example" client="web" of "https://login.example"|"app" of "https://other.example" person"#;
    let refunds = Require::scope(Scope::from_static("orders:refund"))
        .acr([Acr::from_static("phr"), Acr::from_static("mfa")])
        .max_age(secs(300))
        .actor([(LOGIN, "agent-7")])
        .client([(LOGIN, "web"), (OTHER, "app")])
        .person();
    assert_eq!(read(written), refunds);
    assert_eq!(refunds.to_string(), written);
    let spread = "
        person
        client=\"web\" of \"https://login.example\"|\"app\"\tof  \"https://other.example\"
        max_age=300.000  acr=phr|mfa
        actor=\"agent-7\" of \"https://login.example\" scope=orders:refund
    ";
    assert_eq!(read(spread), refunds);
}

#[test]
fn two_requirements_that_differ_are_printed_differently() {
    let [a, b, both] = ["a", "b", "a|b"].map(|scope| Scope::new(scope).unwrap());
    assert_ne!(Require::scope(both).to_string(), Require::any_scope([a, b]).to_string());
    let age = |millis| Require::valid_token().max_age(Duration::from_millis(millis)).to_string();
    assert_eq!(age(1000), "max_age=1");
    assert_eq!(age(1500), "max_age=1.5");
    assert_eq!(age(0), "max_age=0");
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    for (text, at, what) in [
        ("", 1, "it asks for nothing: write `valid_token` if a valid token is enough"),
        (" \n", 3, "it asks for nothing: write `valid_token` if a valid token is enough"),
        ("person scop=a", 8, r#""scop" is not a part of a requirement: expected scope, "#),
        ("Person", 1, r#""Person" is not a part of a requirement"#),
        ("person person", 8, "`person` stands twice"),
        ("max_age=5 max_age=6", 11, "`max_age` stands twice"),
        ("valid_token person", 19, "`valid_token` stands alone"),
        ("person=true", 7, "`person` has no value"),
        ("scope person", 6, "`scope` needs a value"),
        ("acr", 4, "`acr` needs a value"),
        ("scope=a|", 9, "not a valid scope"),
        ("scope=a||b", 9, "not a valid scope"),
        ("scope=é", 7, "not a valid scope"),
        ("scope=\"a", 7, "the quotes do not end"),
        ("scope=\"a\"b", 10, "expected a space or `|`"),
        ("acr=a,b\"", 5, "not a valid authentication context class"),
        ("max_age=", 9, "expected seconds"),
        ("max_age=5min", 9, "expected seconds"),
        ("max_age=-5", 9, "expected seconds"),
        ("max_age=+5", 9, "expected seconds"),
        ("max_age=5.", 9, "expected seconds"),
        ("max_age=.5", 9, "expected seconds"),
        ("max_age=1.0000000001", 9, "expected seconds"),
        ("max_age=99999999999999999999", 9, "expected seconds"),
        ("issuer=https://login.example", 8, "expected a name in quotes"),
        ("issuer=\"é", 8, "the quotes do not end"),
        (r#"issuer="\x""#, 8, "expected an escape"),
        (r#"issuer="\u{d800}""#, 8, "expected an escape"),
        (r#"issuer="\u{41}""#, 8, r#"the name has to be written as "A""#),
        ("issuer=\"a\u{202e}b\"", 8, r#"the name has to be written as "a\u{202e}b""#),
        (r#"client="web""#, 13, "expected `of` and the issuer"),
        (r#"client="web" "https://login.example""#, 14, "expected `of` and the issuer"),
        (r#"client="web" of"https://login.example""#, 16, "expected `of` and the issuer"),
        (r#"client="web" of "https://login.example"person"#, 40, "expected a space or `|`"),
        (r#"actor="a" of "b" actor_if_any="a" of "b""#, 18, "`actor` and `actor_if_any` exclude"),
        ("actor", 6, "`actor` needs a value"),
        (r#"claim="a""#, 10, "expected `is` or `contains`"),
        (r#"claim="a"/ is "b" of "c""#, 11, "expected a name in quotes"),
        (r#"claim="a" is"b" of "c""#, 13, "expected a space and the value, in quotes"),
        (r#"claim="a" isnt "b" of "c""#, 13, "expected a space and the value, in quotes"),
        (r#"claim="a" is "b""#, 17, "expected `of` and the issuer"),
        (
            r#"person claim="act"/"sub" is "b" of "c""#,
            14,
            "the claim `act` cannot be required by its name: the guard judges it itself",
        ),
        ("actor_namespace=own", 1, "`actor_namespace` needs `actor` or `actor_if_any`"),
        (r#"actor="a" of "b" actor_namespace=any"#, 34, "expected `own`"),
        (
            "detail=\"order_refund\"",
            1,
            "`detail` cannot be read, since the values of a detail are not printed",
        ),
    ] {
        let problem = problem(text);
        let expected = format!("at character {at}: {what}");
        assert!(problem.starts_with(&expected), "{text:?}: {problem}");
    }
    let error = "scope=a b".parse::<Require>().unwrap_err();
    assert_eq!(error.value(), "scope=a b");
    assert!(
        error.to_string().starts_with("`scope=a b` is not a requirement: at character 9: \"b\"")
    );
}

#[test]
fn what_is_printed_in_part_is_not_read() {
    let details = [
        Detail::of("order_refund").with("order", 7),
        Detail::of("order_refund").approved(),
        Detail::of("order_refund").approved_or_granted(),
    ];
    for detail in details {
        let text = Require::detail(detail).to_string();
        assert!(problem(&text).contains("the values of a detail are not printed"), "{text}");
    }
    // One character more than is printed, also if it is the one that marks a cut.
    for end in ["é", "…"] {
        let name = format!("{}{end}", "é".repeat(Printable::LIMIT));
        let text = Require::valid_token().issuer([name]).to_string();
        assert_eq!(problem(&text), "at character 8: the name has more than 256 characters");
    }
}

#[test]
fn a_text_that_no_token_can_meet_says_so() {
    for text in ["scope=", "acr=", "client=", "issuer=", "actor=", "delegated undelegated"] {
        assert!(read(text).can_never_be_met(), "{text}");
    }
    assert!(!read("actor_if_any=").can_never_be_met());
}
