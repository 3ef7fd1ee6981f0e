//! The names of the claims that a profile reads.

use std::borrow::Cow;

/// Claims that are numbers, objects or arrays of objects by their specification.
const NEVER_TEXT: &[&str] =
    &["exp", "nbf", "iat", "auth_time", "cnf", "act", "may_act", "authorization_details", "status"];

/// Claims that are objects, of RFCs and of vendors: a name that goes on behind one of them is meant as a path.
const OBJECTS: &[&str] = &[
    "act",
    "may_act",
    "cnf",
    "status",
    "realm_access",
    "resource_access",
    "app_metadata",
    "user_metadata",
];

/// Returns the name of a claim that must be there, whatever its type. Panics if it is not a name.
pub(super) fn name(name: impl Into<Cow<'static, str>>) -> Cow<'static, str> {
    let name = name.into();
    assert!(!name.is_empty(), "a claim cannot be read without a name");
    assert!(
        !is_path(&name),
        "the claim `{name}` cannot be read: it is a path, and a profile reads claims by their names alone"
    );
    name
}

/// Returns the name of a claim that must be a text, or a list of texts. Panics if it is not a name, or names a claim
/// of another type.
pub(super) fn name_of_text(claim: impl Into<Cow<'static, str>>) -> Cow<'static, str> {
    let name = name(claim);
    assert!(
        !NEVER_TEXT.contains(&&*name),
        "the claim `{name}` cannot be read as a text: it never is one"
    );
    name
}

/// True for what JSONPath, a JSON Pointer or a template writes, and for what goes on behind a claim that is an object.
/// A dot alone does not make a path: `pi.sri` and `kubernetes.io` are names.
fn is_path(name: &str) -> bool {
    let object = name.split_once('.').map(|(object, _)| object);
    name.starts_with(['$', '/'])
        || name.contains(['[', '{'])
        || object.is_some_and(|object| OBJECTS.contains(&object))
}
