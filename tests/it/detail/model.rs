//! The matching of details, held to a naive model: lists of paths and values, and decimals as padded digits.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use unconfused::detail::{Detail, DetailType, DetailTypes, GrantedDetails};

type Path = Vec<&'static str>;

fn exact() -> Vec<Path> {
    vec![vec!["to"], vec!["instructedAmount", "currency"]]
}
fn at_most() -> Vec<Path> {
    vec![vec!["instructedAmount", "amount"], vec!["fee"]]
}
fn sets() -> Vec<Path> {
    vec![vec!["actions"], vec!["where", "locations"]]
}
fn ignored() -> Vec<Path> {
    vec![vec!["note"], vec!["where", "hint"], vec!["only", "ignored"]]
}

fn types() -> DetailTypes {
    let names = |path: &Path| path.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut transfer = DetailType::new("transfer");
    transfer = exact().iter().fold(transfer, |defined, path| defined.exact(names(path)));
    transfer = at_most().iter().fold(transfer, |defined, path| defined.at_most(names(path)));
    transfer = sets().iter().fold(transfer, |defined, path| defined.set(names(path)));
    transfer = ignored().iter().fold(transfer, |defined, path| defined.ignored(names(path)));
    DetailTypes::new([transfer, DetailType::new("other").exact("to")])
}

/// JSON in which a name may stand twice.
#[derive(Debug, Clone)]
enum Tree {
    Leaf(Value),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    fn text(&self, escape_names: bool) -> String {
        let name = |name: &str| {
            let mut chars = name.chars();
            match chars.next().filter(|first| escape_names && first.is_ascii()) {
                Some(first) => format!("\"\\u{:04x}{}\"", u32::from(first), chars.as_str()),
                None => json!(name).to_string(),
            }
        };
        match self {
            Tree::Leaf(value) => value.to_string(),
            Tree::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| item.text(escape_names)).collect();
                format!("[ {}]", items.join(" ,"))
            }
            Tree::Object(members) => {
                let member = |(n, value): &(String, Tree)| {
                    format!("{} :{}", name(n), value.text(!escape_names))
                };
                format!("{{{}\n}}", members.iter().map(member).collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// The members of the object at a path, which is made if it is not there.
    fn object(&mut self, path: &[&str]) -> &mut Vec<(String, Tree)> {
        if !matches!(self, Tree::Object(_)) {
            *self = Tree::Object(Vec::new());
        }
        let Tree::Object(members) = self else { unreachable!() };
        let [first, rest @ ..] = path else { return members };
        if !members.iter().any(|(name, _)| name == first) {
            members.push(((*first).to_owned(), Tree::Object(Vec::new())));
        }
        let (_, inner) = members.iter_mut().find(|(name, _)| name == first).unwrap();
        inner.object(rest)
    }

    fn set(&mut self, path: &[&str], value: Option<Tree>) {
        let (name, objects) = path.split_last().unwrap();
        let members = self.object(objects);
        members.retain(|(n, _)| n != name);
        members.extend(value.map(|value| ((*name).to_owned(), value)));
    }
}

// The model.

fn has_a_name_twice(tree: &Tree) -> bool {
    match tree {
        Tree::Leaf(_) => false,
        Tree::Array(items) => items.iter().any(has_a_name_twice),
        Tree::Object(members) => {
            let names: BTreeSet<_> = members.iter().map(|(name, _)| name).collect();
            names.len() < members.len() || members.iter().any(|(_, value)| has_a_name_twice(value))
        }
    }
}

/// All that is not an object, with its path. An empty object is listed as null at a path that nothing has.
fn leaves(tree: &Tree, at: &[&str], found: &mut Vec<(Vec<String>, Value)>) {
    let owned = |path: &[&str]| path.iter().map(ToString::to_string).collect();
    match tree {
        Tree::Object(members) if members.is_empty() => {
            found.push((owned(&[at, &["nothing"]].concat()), Value::Null));
        }
        Tree::Object(members) => {
            for (name, value) in members {
                leaves(value, &[at, &[name.as_str()]].concat(), found);
            }
        }
        other => found.push((owned(at), serde_json::from_str(&other.text(false)).unwrap())),
    }
}

/// Twenty-four digits that are compared as text.
fn digits(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let mut parts: Vec<&str> = text.split('.').collect();
    if parts.len() == 1 {
        parts.push("0");
    }
    let [whole, fraction] = parts[..] else { return None };
    let all_digits =
        |part: &str| !part.is_empty() && part.chars().all(|c| "0123456789".contains(c));
    let fits = all_digits(whole) && all_digits(fraction) && whole.len() < 16 && fraction.len() < 10;
    fits.then(|| format!("{whole:0>15}{fraction:0<9}"))
}

fn texts(value: &Value) -> Option<BTreeSet<&str>> {
    let texts: BTreeSet<_> = value.as_array()?.iter().map(Value::as_str).collect::<Option<_>>()?;
    Some(texts).filter(|texts| !texts.is_empty())
}

/// What one entry does for what is asked: no more than nothing, covers it, or is equal to it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Covers {
    Not,
    AndMore,
    Exactly,
}

fn entry_covers(entry: &Tree, asked: &Tree) -> Covers {
    let (mut granted, mut wanted) = (Vec::new(), Vec::new());
    leaves(entry, &[], &mut granted);
    leaves(asked, &[], &mut wanted);
    let at = |leaves: &[(Vec<String>, Value)], path: &[&str]| {
        leaves.iter().find(|(p, _)| p == path).map(|(_, value)| value.clone())
    };
    let compared = [exact(), at_most(), sets()].concat();
    let known = [vec![vec!["type"]], compared.clone(), ignored()].concat();
    let is_known = |(path, _): &(Vec<String>, Value)| known.iter().any(|k| path == k);
    if !granted.iter().all(is_known) || at(&granted, &["type"]) != at(&wanted, &["type"]) {
        return Covers::Not;
    }
    let one = |path: &Path| {
        let (Some(granted), Some(wanted)) = (at(&granted, path), at(&wanted, path)) else {
            return Covers::Not;
        };
        if exact().contains(path) {
            let equal = granted.is_string() && granted == wanted;
            return if equal { Covers::Exactly } else { Covers::Not };
        }
        if at_most().contains(path) {
            return match (digits(&granted), digits(&wanted)) {
                (Some(granted), Some(wanted)) if granted == wanted => Covers::Exactly,
                (Some(granted), Some(wanted)) if granted > wanted => Covers::AndMore,
                _ => Covers::Not,
            };
        }
        match (texts(&granted), texts(&wanted)) {
            (Some(granted), Some(wanted)) if granted == wanted => Covers::Exactly,
            (Some(granted), Some(wanted)) if granted.is_superset(&wanted) => Covers::AndMore,
            _ => Covers::Not,
        }
    };
    compared.iter().map(one).min().unwrap()
}

fn model_covers(claim: &Tree, asked: &Tree) -> Option<Covers> {
    let Tree::Array(entries) = claim else { return None };
    let has_type = |entry: &Tree| {
        let Tree::Object(members) = entry else { return false };
        let is_type = |(name, value): &(String, Tree)| {
            name == "type" && matches!(value, Tree::Leaf(Value::String(_)))
        };
        members.iter().any(is_type)
    };
    if has_a_name_twice(claim) || !entries.iter().all(has_type) {
        return None;
    }
    let each: Vec<_> = entries.iter().map(|entry| entry_covers(entry, asked)).collect();
    let all_equal = !each.is_empty() && each.iter().all(|one| *one == Covers::Exactly);
    let any = each.into_iter().any(|one| one != Covers::Not);
    Some(if all_equal {
        Covers::Exactly
    } else if any {
        Covers::AndMore
    } else {
        Covers::Not
    })
}

// What is compared.

const AMOUNTS: &[&str] = &[
    "12.50",
    "12.5",
    "012.5",
    "12.500000000",
    "12.51",
    "12.499999999",
    "13",
    "1",
    "0",
    "100",
    "9",
    "999999999999999.999999999",
    "1e3",
    "1E3",
    "+99",
    "-1",
    "1,000",
    "1_000",
    "12.",
    ".5",
    "",
    " 12.5",
    "12.5 ",
    "1234567890123456",
    "12.5000000000",
    "NaN",
    "0x10",
    "1.2.3",
    "٣",
];

fn texts_of_sets() -> impl Strategy<Value = Value> {
    prop::collection::vec(select(vec!["initiate", "status", "cancel", "*", "Initiate"]), 0..4)
        .prop_map(Value::from)
}

fn asked() -> impl Strategy<Value = Tree> {
    let amount = || {
        prop_oneof![
            3 => select(vec!["12.50", "12.5", "9", "0", "012.5"]),
            1 => select(AMOUNTS),
        ]
    };
    let some_texts = || {
        prop_oneof![
            6 => prop::collection::vec(select(vec!["initiate", "status", "cancel"]), 1..3)
                .prop_map(Value::from),
            1 => texts_of_sets(),
        ]
    };
    let to = select(vec!["Example Ltd", "é", "e\u{301}", "", "a\nb\"\\"]);
    (to, amount(), amount(), some_texts(), some_texts()).prop_map(
        |(to, amount, fee, actions, locations)| {
            let mut asked = Tree::Object(Vec::new());
            let leaf = |value: Value| Some(Tree::Leaf(value));
            asked.set(&["type"], leaf("transfer".into()));
            asked.set(&["to"], leaf(to.into()));
            asked.set(&["instructedAmount", "currency"], leaf("EUR".into()));
            asked.set(&["instructedAmount", "amount"], leaf(amount.into()));
            asked.set(&["fee"], leaf(fee.into()));
            asked.set(&["actions"], leaf(actions));
            asked.set(&["where", "locations"], leaf(locations));
            asked
        },
    )
}

#[derive(Debug, Clone)]
enum Change {
    Set(Path, Tree),
    Remove(Path),
    /// Writes a member of the object at the path a second time.
    Repeat(Path, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let any_path = || {
        select(vec![
            vec!["type"],
            vec!["to"],
            vec!["instructedAmount"],
            vec!["instructedAmount", "currency"],
            vec!["instructedAmount", "amount"],
            vec!["fee"],
            vec!["actions"],
            vec!["where"],
            vec!["where", "locations"],
            vec!["where", "hint"],
            vec!["note"],
            vec!["only"],
            vec!["only", "ignored"],
            vec!["only", "other"],
            vec!["unknown"],
            vec!["note", "x"],
            vec!["instructedAmount.amount"],
            vec!["where", "type"],
            vec!["to", "x"],
        ])
    };
    let odd = || {
        prop_oneof![
            Just(Tree::Leaf(Value::Null)),
            Just(Tree::Leaf(json!(12.5))),
            Just(Tree::Leaf(json!(true))),
            Just(Tree::Leaf(json!("text"))),
            Just(Tree::Leaf(json!("transfer"))),
            Just(Tree::Leaf(json!("other"))),
            Just(Tree::Leaf(json!([]))),
            Just(Tree::Leaf(json!(["initiate", 1]))),
            Just(Tree::Object(Vec::new())),
            Just(Tree::Object(vec![("x".to_owned(), Tree::Leaf(json!("y")))])),
            Just(Tree::Array(vec![Tree::Object(vec![
                ("x".to_owned(), Tree::Leaf(json!(1))),
                ("x".to_owned(), Tree::Leaf(json!(1))),
            ])])),
            Just(Tree::Array(vec![Tree::Object(vec![("x".to_owned(), Tree::Leaf(json!(1)))])])),
        ]
    };
    let amount = select(vec![vec!["instructedAmount", "amount"], vec!["fee"]]);
    let set = select(vec![vec!["actions"], vec!["where", "locations"]]);
    prop_oneof![
        4 => (amount, select(AMOUNTS)).prop_map(|(path, amount)| Change::Set(path, Tree::Leaf(amount.into()))),
        4 => (set, texts_of_sets()).prop_map(|(path, texts)| Change::Set(path, Tree::Leaf(texts))),
        3 => select(vec![vec!["note"], vec!["where", "hint"], vec!["only", "ignored"]])
            .prop_map(|path| Change::Set(path, Tree::Leaf(json!("for May")))),
        2 => (any_path(), odd()).prop_map(|(path, odd)| Change::Set(path, odd)),
        1 => any_path().prop_map(Change::Remove),
        1 => (select(vec![vec![], vec!["instructedAmount"], vec!["where"]]), any::<Index>())
            .prop_map(|(path, at)| Change::Repeat(path, at)),
    ]
}

fn changed(mut entry: Tree, changes: Vec<Change>) -> Tree {
    for change in changes {
        match change {
            Change::Set(path, value) => entry.set(&path, Some(value)),
            Change::Remove(path) => entry.set(&path, None),
            Change::Repeat(path, at) => {
                let members = entry.object(&path);
                if !members.is_empty() {
                    let again = members[at.index(members.len())].clone();
                    members.push(again);
                }
            }
        }
    }
    entry
}

/// What is asked, and a claim that is made of it and changed.
fn asked_and_claim() -> impl Strategy<Value = (Tree, Tree)> {
    asked().prop_flat_map(|asked| {
        let entry = prop::collection::vec(change(), 0..4);
        let claim = prop::collection::vec(entry, 0..3).prop_map({
            let asked = asked.clone();
            move |entries| {
                Tree::Array(
                    entries.into_iter().map(|changes| changed(asked.clone(), changes)).collect(),
                )
            }
        });
        let claim = prop_oneof![
            20 => claim,
            1 => Just(asked.clone()),
            1 => Just(Tree::Array(vec![asked.clone(), Tree::Leaf(json!("x"))])),
            1 => Just(Tree::Leaf(Value::Null)),
        ];
        (Just(asked), claim)
    })
}

/// What is asked, as the crate has it.
fn detail(asked: &Tree) -> Detail {
    let mut found = Vec::new();
    leaves(asked, &[], &mut found);
    found.into_iter().filter(|(path, _)| path != &["type"]).fold(
        Detail::of("transfer"),
        |detail, (path, value)| match value {
            Value::String(text) => detail.with(path, text),
            other => detail.with(path, serde_json::from_value::<Vec<String>>(other).unwrap()),
        },
    )
}

fn crate_covers(claim: &str, asked: &Tree) -> Option<Covers> {
    let (types, detail) = (types(), detail(asked));
    let granted = GrantedDetails::parse(claim).ok()?;
    Some(if granted.are_exactly(std::slice::from_ref(&detail), &types).is_ok() {
        assert!(granted.cover(&detail, &types).is_ok(), "what is equal covers");
        Covers::Exactly
    } else if granted.cover(&detail, &types).is_ok() {
        Covers::AndMore
    } else {
        Covers::Not
    })
}

proptest! {
    #![proptest_config(crate::common::cases())]

    #[test]
    fn a_claim_covers_what_the_model_says_that_it_covers(
        (asked, claim) in asked_and_claim(),
        escape in any::<bool>(),
    ) {
        let text = claim.text(escape);
        prop_assert_eq!(crate_covers(&text, &asked), model_covers(&claim, &asked), "{} for {}", text, asked.text(false));
    }

    #[test]
    fn what_has_one_canonical_form_is_covered_by_the_same_claims(
        (asked, claim) in asked_and_claim(),
        zeros in 0_usize..4,
    ) {
        // Another spelling: the amount with zeros around it, and the set in reverse and twice.
        let mut other = asked.clone();
        let mut found = Vec::new();
        leaves(&asked, &[], &mut found);
        for (path, value) in found {
            let path: Vec<_> = path.iter().map(String::as_str).collect();
            if path == ["fee"] && let Some(fee) = value.as_str().filter(|_| digits(&value).is_some()) {
                let fee = if fee.contains('.') { fee.to_owned() } else { format!("{fee}.0") };
                other.set(&path, Some(Tree::Leaf(format!("{}{fee}", "0".repeat(zeros)).into())));
            }
            if path == ["actions"] {
                let items = value.as_array().unwrap();
                let twice: Vec<_> = items.iter().rev().chain(items).cloned().collect();
                other.set(&path, Some(Tree::Leaf(twice.into())));
            }
        }
        let (one, two) = (detail(&asked), detail(&other));
        let (types, text) = (types(), claim.text(false));
        let (Ok(canonical), Ok(same)) = (types.canonical(&one), types.canonical(&two)) else {
            prop_assert_eq!(crate_covers(&text, &asked).is_none(), crate_covers(&text, &other).is_none());
            return Ok(());
        };
        prop_assert_eq!(canonical.to_json(), same.to_json());
        prop_assert_eq!(&types.canonical(&canonical).unwrap(), &canonical);
        prop_assert_eq!(crate_covers(&text, &asked), crate_covers(&text, &other));
    }

    #[test]
    fn no_text_panics_as_a_claim(text in "[\\[\\]{}\",:a-z0-9 .\\\\-]{0,60}") {
        let _ = GrantedDetails::parse(&text);
    }

    #[test]
    fn what_is_read_as_a_claim_is_one_array_of_objects_with_a_type(
        text in r#" ?\[(\{"type":"t"(,"[ab]":("x"|\[\]|\{\}|1))?\},?){0,2}\] ?(,|\[\]|")?"#,
    ) {
        let read = serde_json::from_str::<Vec<serde_json::Map<String, Value>>>(&text).is_ok();
        prop_assert_eq!(GrantedDetails::parse(&text).is_ok(), read, "{}", text);
    }
}

#[test]
fn the_claims_are_of_every_kind() {
    let mut runner = TestRunner::deterministic();
    let (mut broken, mut not, mut more, mut exactly) = (0, 0, 0, 0);
    for _ in 0..2000 {
        let (asked, claim) = asked_and_claim().new_tree(&mut runner).unwrap().current();
        match model_covers(&claim, &asked) {
            None => broken += 1,
            Some(Covers::Not) => not += 1,
            Some(Covers::AndMore) => more += 1,
            Some(Covers::Exactly) => exactly += 1,
        }
    }
    assert!(
        [broken, not, more, exactly].iter().all(|n| *n > 100),
        "{broken} {not} {more} {exactly}"
    );
}
