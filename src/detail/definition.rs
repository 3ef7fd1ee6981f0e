//! How details of a type are compared, as data.

use std::collections::BTreeMap;

use super::asked::{Detail, Member, Members};
use super::decimal::Decimal;
use super::path::MemberPath;
use super::problem::DetailProblem;
use crate::printable::Printable;

/// The definition of a type of authorization details: which members it has, and how each is compared.
///
/// Register it with [`Guard::detail_type`](crate::Guard::detail_type). Each member stands in one list. A [`Detail`] of
/// this type has all members but the ignored ones, and so must an entry of a token that covers it. A member that is in
/// no list may be a restriction that you do not understand, so an entry that has one covers nothing.
///
/// List everything that changes what the operation does, such as the currency beside the amount.
///
/// ```
/// use unconfused::detail::DetailType;
///
/// let transfer = DetailType::new("transfer")
///     .exact("to")
///     .exact(["instructedAmount", "currency"])
///     .at_most(["instructedAmount", "amount"])
///     .set("actions")
///     .ignored("note");
/// assert_eq!(transfer.name(), "transfer");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a type is not known until a guard has it"]
pub struct DetailType {
    name: String,
    pub(super) rules: Rules,
}

/// The rules for the members of a detail, or of an object in it.
pub(super) type Rules = BTreeMap<String, Rule>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rule {
    Exact,
    AtMost,
    Set,
    Ignored,
    Object(Rules),
}

impl Rule {
    /// True if a detail must have the member.
    pub(super) fn is_required(&self) -> bool {
        match self {
            Rule::Exact | Rule::AtMost | Rule::Set => true,
            Rule::Ignored => false,
            Rule::Object(rules) => rules.values().any(Rule::is_required),
        }
    }
}

impl DetailType {
    /// Makes a definition without any members.
    pub fn new(name: impl Into<String>) -> Self {
        DetailType { name: name.into(), rules: Rules::new() }
    }

    /// Adds a member that must be the same text, code point by code point.
    ///
    /// The path is a name, or an array of names that leads into nested objects.
    ///
    /// # Panics
    ///
    /// Panics if the member or an object around it is listed already, or if it is the `type`.
    pub fn exact(self, path: impl Into<MemberPath>) -> Self {
        self.with(path.into(), Rule::Exact)
    }

    /// Adds a member that is a decimal, of which at most as much may be asked as was granted.
    ///
    /// A decimal is a JSON string of 1 to 15 digits, and optionally a point and 1 to 9 digits. A sign, an exponent, a
    /// separator or a JSON number are refused. Decimals are compared exactly: `12.5` equals `12.50`.
    ///
    /// # Panics
    ///
    /// Panics as [`exact`](Self::exact) does.
    pub fn at_most(self, path: impl Into<MemberPath>) -> Self {
        self.with(path.into(), Rule::AtMost)
    }

    /// Adds a member that is a non-empty array of texts, such as `actions`. What is asked must be a subset of what was
    /// granted. Texts are compared code point by code point, and none stands for others.
    ///
    /// # Panics
    ///
    /// Panics as [`exact`](Self::exact) does.
    pub fn set(self, path: impl Into<MemberPath>) -> Self {
        self.with(path.into(), Rule::Set)
    }

    /// Adds a member that an entry of a token may have, with any value but an object, and that is not compared. A
    /// [`Detail`] does not have it.
    ///
    /// # Panics
    ///
    /// Panics as [`exact`](Self::exact) does.
    pub fn ignored(self, path: impl Into<MemberPath>) -> Self {
        self.with(path.into(), Rule::Ignored)
    }

    #[expect(
        clippy::panic,
        reason = "a mistake in the definition, which is a constant of the program"
    )]
    fn with(mut self, path: MemberPath, rule: Rule) -> Self {
        let first = path.objects.first().unwrap_or(&path.name);
        assert!(first != "type", "`type` is not a member of a type of authorization details");
        let mut rules = &mut self.rules;
        for object in path.objects {
            let inner = rules.entry(object.clone()).or_insert_with(|| Rule::Object(Rules::new()));
            let Rule::Object(inner) = inner else {
                panic!("the member `{object}` of `{}` is listed and is not an object", self.name)
            };
            rules = inner;
        }
        let earlier = rules.insert(path.name.clone(), rule);
        assert!(earlier.is_none(), "the member `{}` of `{}` is listed twice", path.name, self.name);
        self
    }

    /// Returns the name of the type.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the detail in its canonical form: two details that mean the same have equal canonical forms.
    ///
    /// Decimals are written in their shortest form. Members are sorted by name and sets by text, as in any detail.
    ///
    /// ```
    /// use unconfused::detail::{Detail, DetailType};
    ///
    /// let refund = DetailType::new("order_refund").exact("order").at_most("amount");
    /// let detail = |amount| Detail::of("order_refund").with("order", "07").with("amount", amount);
    /// assert_eq!(
    ///     refund.canonical(&detail("012.50"))?.to_json(),
    ///     r#"{"amount":"12.5","order":"07","type":"order_refund"}"#
    /// );
    /// assert!(refund.canonical(&detail("1e3")).is_err());
    /// # Ok::<(), unconfused::detail::DetailProblem>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`DetailProblem`] if the detail is not of this type, lacks a member, has another one, or if a value of
    /// it does not have the form that its member asks for.
    pub fn canonical(&self, detail: &Detail) -> Result<Detail, DetailProblem> {
        if detail.type_name() != self.name {
            return Err(DetailProblem::undefined(detail.type_name(), "it is of another type"));
        }
        let mut canonical = detail.clone();
        self.normalize(&self.rules, &mut canonical.members)?;
        Ok(canonical)
    }

    /// Checks members against their rules, and writes decimals in their shortest form.
    fn normalize(&self, rules: &Rules, members: &mut Members) -> Result<(), DetailProblem> {
        let undefined = |name: &str, problem: &str| {
            let problem = format!("the member {:?} {problem}", Printable::from(name));
            DetailProblem::undefined(&self.name, problem)
        };
        let malformed = |name: &str, problem: &str| {
            let problem = format!("the member {:?} {problem}", Printable::from(name));
            DetailProblem::malformed_value(&self.name, problem)
        };
        let missing =
            |(name, rule): &(&String, &Rule)| rule.is_required() && !members.contains_key(*name);
        if let Some((name, _)) = rules.iter().find(missing) {
            return Err(undefined(name, "is missing"));
        }
        for (name, member) in members {
            match (rules.get(name), member) {
                (None | Some(Rule::Ignored), _) => return Err(undefined(name, "is not compared")),
                (Some(Rule::Object(rules)), Member::Object(members)) => {
                    self.normalize(rules, members)?
                }
                (Some(Rule::Exact), Member::Text(_)) => {}
                (Some(Rule::AtMost), Member::Text(text)) => match Decimal::parse(text) {
                    Some(decimal) => *text = decimal.to_string(),
                    None => return Err(malformed(name, "is not a decimal")),
                },
                (Some(Rule::Set), Member::Set(texts)) if texts.is_empty() => {
                    return Err(malformed(name, "is an empty set"));
                }
                (Some(Rule::Set), Member::Set(_)) => {}
                _ => return Err(undefined(name, "has another kind of value")),
            }
        }
        Ok(())
    }
}

/// The types of authorization details that a resource knows.
///
/// A [`Guard`](crate::Guard) has its own; see [`Guard::detail_type`](crate::Guard::detail_type). Make one to compare
/// details without a guard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DetailTypes(BTreeMap<String, DetailType>);

impl DetailTypes {
    /// Makes a collection of these types.
    ///
    /// # Panics
    ///
    /// Panics if two of them have the same name.
    #[must_use]
    pub fn new(types: impl IntoIterator<Item = DetailType>) -> Self {
        let mut collection = DetailTypes::default();
        types.into_iter().for_each(|added| collection.add(added));
        collection
    }

    pub(crate) const NONE: &'static DetailTypes = &DetailTypes(BTreeMap::new());

    /// Adds a type, and panics if there is one of the same name.
    pub(crate) fn add(&mut self, added: DetailType) {
        let name = added.name.clone();
        let earlier = self.0.insert(name.clone(), added);
        assert!(earlier.is_none(), "the type `{name}` of authorization details is defined twice");
    }

    /// Returns the type of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&DetailType> {
        self.0.get(name)
    }

    /// Returns the names of all types, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns the detail in its canonical form; see [`DetailType::canonical`].
    ///
    /// # Errors
    ///
    /// Returns [`DetailProblem`] if its type is not one of these, or if [`DetailType::canonical`] does.
    pub fn canonical(&self, detail: &Detail) -> Result<Detail, DetailProblem> {
        self.defined(detail.type_name())?.canonical(detail)
    }

    /// The type of this name, or the problem that there is none.
    pub(crate) fn defined(&self, name: &str) -> Result<&DetailType, DetailProblem> {
        self.get(name).ok_or_else(|| {
            DetailProblem::undefined(name, "its type is not defined: call `Guard::detail_type`")
        })
    }
}
