//! Where in a JSON object a member is.

/// The place of a member in an authorization detail, or among the claims of a token: its name, or the names that lead to
/// it through nested objects.
///
/// A string is one name, whatever it contains: `"amount.value"` is not a path. An array of names is a path.
///
/// ```
/// use unconfused::detail::{Detail, MemberPath};
///
/// let amount: MemberPath = ["instructedAmount", "amount"].into();
/// let detail = Detail::of("payment").with(amount, "12.50");
/// assert_eq!(detail.to_json(), r#"{"instructedAmount":{"amount":"12.50"},"type":"payment"}"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberPath {
    /// The names of the objects around the member, the outermost first.
    pub(super) objects: Vec<String>,
    pub(super) name: String,
}

impl MemberPath {
    /// The last of the names is that of the member. Without any, it is the empty name.
    fn of(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut objects: Vec<_> = names.into_iter().map(Into::into).collect();
        let name = objects.pop().unwrap_or_default();
        MemberPath { objects, name }
    }

    /// The names that lead to the member, its own last.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.objects.iter().chain([&self.name]).map(String::as_str)
    }
}

impl From<&str> for MemberPath {
    fn from(name: &str) -> Self {
        MemberPath::of([name])
    }
}

impl From<String> for MemberPath {
    fn from(name: String) -> Self {
        MemberPath::of([name])
    }
}

impl<const N: usize> From<[&str; N]> for MemberPath {
    fn from(names: [&str; N]) -> Self {
        MemberPath::of(names)
    }
}

impl From<Vec<String>> for MemberPath {
    fn from(names: Vec<String>) -> Self {
        MemberPath::of(names)
    }
}
