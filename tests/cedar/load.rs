//! What is refused before it decides anything.

use super::*;

fn error(policies: &str) -> String {
    CedarPolicy::new(policies, SCHEMA).unwrap_err().to_string()
}

fn schema_error(schema: &str) -> String {
    CedarPolicy::new(ALL, schema).unwrap_err().to_string()
}

#[track_caller]
fn says(error: &str, words: &[&str]) {
    for word in words {
        assert!(error.contains(word), "{word:?} in {error:?}");
    }
}

#[test]
fn an_error_names_the_line_and_the_problem() {
    says(
        &error("permit(principal, action, resource);\n\npermit(principal, action);"),
        &["line 3", "permit(principal, action);"],
    );
    says(
        &error(
            "permit(principal, action, resource)\nwhen { context has amount && context.amount > 7 };",
        ),
        &["line 2", "decimal"],
    );
    says(
        &error("permit(principal, action, resource)\nwhen { context.nothing };"),
        &["line 2", "nothing"],
    );
    says(
        &error(
            "permit(principal, action, resource)\nwhen { context has note && context.note > 7 };",
        ),
        &["line 2"],
    );
    says(&schema_error("entity order;\nentity order;"), &["order"]);
    says(
        &schema_error(
            "entity order;\naction refund appliesTo { principal: [Subject], resource: [ordre] };",
        ),
        &["ordre"],
    );
    says(&schema_error("entity order\naction"), &["line 2"]);
}

#[test]
fn a_policy_that_never_applies_is_refused() {
    says(&error("forbid(principal == Subject::\"x\", action, resource is Subject);"), &["line 1"]);
    says(&error("forbid(principal, action == Action::\"refunds\", resource);"), &["refunds"]);
    says(&error("permit(principal == ?principal, action, resource);"), &["line 1", "slot"]);
}

#[test]
fn two_policies_have_two_ids() {
    says(
        &error(
            "@id(\"x\") permit(principal, action, resource);\n@id(\"x\") forbid(principal, action, resource);",
        ),
        &["x"],
    );
    says(
        &error(
            "@id(\"policy1\") permit(principal, action, resource);\nforbid(principal, action, resource);",
        ),
        &["policy1"],
    );
}

#[test]
fn annotations_are_checked() {
    let forbid = |annotation: &str| {
        error(&format!("{ALL}\n{annotation} forbid(principal, action, resource);"))
    };
    says(
        &error("@max_age(\"300\") permit(principal, action, resource);"),
        &["line 1", "@max_age", "permit policy"],
    );
    says(&error("@step_up_acr(\"phr\") permit(principal, action, resource);"), &["permit policy"]);
    for value in ["", "5m", "-1", "0", "300.5", "1000000000", " 300"] {
        says(&forbid(&format!("@max_age(\"{value}\")")), &["line 2", "@max_age"]);
    }
    for value in ["", " ", "a\\\"b"] {
        says(&forbid(&format!("@step_up_acr(\"{value}\")")), &["line 2", "@step_up_acr"]);
    }
    says(&forbid("@detail(\"\")"), &["line 2", "type"]);
    says(&forbid("@approval"), &["line 2", "type"]);
    for name in
        ["acr", "step_up", "step_up_acrs", "maximum_max_age", "details", "approved", "Max_Age"]
    {
        says(&forbid(&format!("@{name}(\"x\")")), &["line 2", name]);
    }
    let other =
        "@id(\"a\") @owner(\"team-x\") @advice(\"ask\") permit(principal, action, resource);";
    assert!(CedarPolicy::new(other, SCHEMA).is_ok());
}

#[test]
fn a_schema_that_no_request_could_fit_is_refused() {
    let action = |principal: &str, resource: &str, context: &str| {
        format!(
            "entity order; entity User; entity folder; entity file in [folder];\naction refund appliesTo {{ principal: [{principal}], resource: [{resource}], context: {context} }};"
        )
    };
    says(
        &schema_error(&action("Subject", "order", "{}").replace("entity file in [folder];", "")),
        &["line 2", "refund", "evidence"],
    );
    let no_parents = |text: String| text.replace("entity file in [folder];", "");
    says(
        &schema_error(&no_parents(action("Subject", "order", "{ evidence: { x: Long } }"))),
        &["evidence"],
    );
    says(
        &schema_error(&no_parents(action("User", "order", "{ evidence: Evidence }"))),
        &["`User`"],
    );
    says(
        &schema_error(&action("Subject", "order", "{ evidence: Evidence }")),
        &["`file`", "parents"],
    );
    says(&schema_error("entity Subject;"), &["Subject"]);
    assert!(
        CedarPolicy::new(ALL, &no_parents(action("Subject", "order", "{ evidence: Evidence }")))
            .is_ok()
    );
}

#[test]
fn the_types_of_the_crate_are_there_for_other_tools() {
    assert!(
        CedarPolicy::SCHEMA.contains("entity Subject")
            && CedarPolicy::SCHEMA.contains("type Evidence")
    );
}

#[test]
fn a_text_that_nests_deeply_is_an_error_and_no_crash() {
    let load = |condition: &str| {
        let policy = format!(
            "// ({{[\n@id(\"(((\\\"(\")\npermit(principal, action, resource)\nwhen {{ {condition} }};"
        );
        CedarPolicy::new(&policy, SCHEMA).map_err(|error| error.to_string())
    };
    let nested = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    assert!(load(&nested(49)).is_ok());
    let chains = |length: usize| {
        [
            nested(length),
            format!("true{}", " && true".repeat(length)),
            format!("1{} > 0", " + 1".repeat(length)),
            format!("{}true", "!".repeat(length)),
            format!("{}true", "if true then true else ".repeat(length)),
            format!("context{}", ".a".repeat(length)),
            format!("context{} has a", "[\"a\"]".repeat(length)),
            format!("principal{}", " in principal".repeat(length)),
        ]
    };
    for condition in chains(1_001).into_iter().chain(chains(100_000)) {
        says(&load(&condition).unwrap_err(), &["line 4", "brackets in each other"]);
    }
    // What is as long as it may be is read, or is an error of Cedar's.
    for condition in chains(900) {
        let _ = load(&condition);
    }
    assert!(load(&format!("true{}", " && true".repeat(900))).is_ok());
    let deep = format!("type Deep = {}Long{};", "Set<".repeat(100_000), ">".repeat(100_000));
    says(&schema_error(&deep), &["line 1", "operators"]);
    let deep = format!("type Deep = {}Long{};", "{ a: ".repeat(100_000), "}".repeat(100_000));
    says(&schema_error(&deep), &["line 1", "brackets"]);
}
