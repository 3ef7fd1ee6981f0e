//! What was granted: the claim `authorization_details`, and whether it covers what is asked.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use super::asked::{Detail, Member, Members};
use super::decimal::Decimal;
use super::definition::{DetailType, DetailTypes, Rule, Rules};
use super::problem::DetailProblem;
use crate::json::{array, is_sound_value, members, string, strings};

/// The `authorization_details` that were granted with a token
/// ([RFC 9396 section 9](https://www.rfc-editor.org/rfc/rfc9396#section-9)).
///
/// [`AccessToken::authorization_details`](crate::AccessToken::authorization_details) returns those of a validated
/// token. [`parse`](Self::parse) reads them from a text, for example from the answer of an introspection endpoint.
///
/// ```
/// use unconfused::Reason;
/// use unconfused::detail::{Detail, DetailType, DetailTypes, GrantedDetails};
///
/// let types = DetailTypes::new([DetailType::new("order_refund").exact("order").at_most("amount")]);
/// let granted = GrantedDetails::parse(r#"[{"type":"order_refund","order":"7","amount":"12.50"}]"#)?;
///
/// let refund = Detail::of("order_refund").with("order", 7);
/// assert!(granted.cover(&refund.clone().with("amount", "9.99"), &types).is_ok());
///
/// let problem = granted.cover(&refund.with("amount", "12.51"), &types).unwrap_err();
/// assert_eq!(problem.reason(), Reason::AuthorizationDetailsInsufficient);
/// # Ok::<(), unconfused::detail::DetailProblem>(())
/// ```
#[derive(Clone, Copy)]
pub struct GrantedDetails<'a> {
    /// An array of objects, each with a string `type`. It was read before, so it is sound.
    array: &'a str,
}

/// How much an entry may grant.
#[derive(Clone, Copy)]
enum Extent {
    /// What is asked, or more.
    AtLeast,
    /// What is asked, and no more.
    Exactly,
}

impl<'a> GrantedDetails<'a> {
    /// Reads the claim: an array of objects that each have a string `type`.
    ///
    /// # Errors
    ///
    /// Returns [`DetailProblem`] (`authorization_details_invalid`) if it is anything else, if an object at any level
    /// has a member twice, if it is nested deeper than 31 levels, if a string has half a surrogate pair, or if a number
    /// does not fit a 64-bit floating-point number.
    pub fn parse(claim: &'a str) -> Result<Self, DetailProblem> {
        let claim = claim.trim_matches([' ', '\t', '\r', '\n']);
        let claim = Some(claim).filter(|claim| is_sound_value(claim));
        claim.and_then(Self::of_sound).ok_or_else(DetailProblem::malformed_claim)
    }

    /// Reads a value of an object that was read. Returns `None` if it does not have the shape of details.
    pub(crate) fn of_sound(claim: &'a str) -> Option<Self> {
        let has_type = |entry: &str| type_of(entry).is_some();
        array(claim)?.all(has_type).then_some(GrantedDetails { array: claim })
    }

    /// The details of a validated token, in which the claim has its shape if it is there.
    pub(crate) fn of_validated(claim: Option<&'a str>) -> Self {
        GrantedDetails { array: claim.unwrap_or("[]") }
    }

    /// Returns the entries of this type, each as it was written, in JSON.
    pub fn of_type(&self, type_name: &str) -> impl Iterator<Item = &'a str> {
        let has_type = move |entry: &&str| type_of(entry).is_some_and(|name| name == type_name);
        self.entries().filter(has_type)
    }

    fn entries(&self) -> impl Iterator<Item = &'a str> {
        array(self.array).into_iter().flatten()
    }

    /// Checks that one entry covers the whole detail, by the definition of its type. Entries are never added up.
    ///
    /// An entry covers a detail if it is of the same type, has every member that the type compares and no unknown one,
    /// and grants for each member at least what is asked. An empty nested object counts as an unknown member. Entries
    /// of other types grant nothing and hinder nothing.
    ///
    /// # Errors
    ///
    /// Returns [`DetailProblem`] if no entry covers the detail (`authorization_details_insufficient`), if a value of
    /// the detail is malformed (`policy_input_invalid`), or if the detail does not fit the definition of its type
    /// (`internal_error`).
    pub fn cover(&self, detail: &Detail, types: &DetailTypes) -> Result<(), DetailProblem> {
        self.cover_comparable(&types.comparable(detail)?)
    }

    pub(crate) fn cover_comparable(&self, asked: &Comparable<'_>) -> Result<(), DetailProblem> {
        match self.entries().any(|entry| asked.is_covered_by(entry, Extent::AtLeast)) {
            true => Ok(()),
            false => Err(DetailProblem::not_covered(asked.detail.type_name())),
        }
    }

    /// Checks that these details are covered and that nothing else is granted: each detail is equal to an entry, and
    /// each entry to a detail.
    ///
    /// Members are equal if they are the same text, the same set, or decimals of the same value. Members that the type
    /// ignores do not count.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`cover`](Self::cover).
    pub fn are_exactly(
        &self,
        details: &[Detail],
        types: &DetailTypes,
    ) -> Result<(), DetailProblem> {
        let asked: Vec<_> =
            details.iter().map(|detail| types.comparable(detail)).collect::<Result<_, _>>()?;
        let is_granted = |asked: &Comparable<'_>| {
            self.entries().any(|entry| asked.is_covered_by(entry, Extent::Exactly))
        };
        if let Some(lacking) = asked.iter().find(|asked| !is_granted(asked)) {
            return Err(DetailProblem::not_exactly(lacking.detail.type_name()));
        }
        let is_asked =
            |entry| asked.iter().any(|asked| asked.is_covered_by(entry, Extent::Exactly));
        match self.entries().all(is_asked) {
            true => Ok(()),
            false => Err(DetailProblem::more_than_asked()),
        }
    }
}

impl fmt::Debug for GrantedDetails<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrantedDetails({} entries)", self.entries().count())
    }
}

/// A detail that is asked for, in canonical form, and the definition of its type.
pub(crate) struct Comparable<'t> {
    detail: Detail,
    definition: &'t DetailType,
}

impl DetailTypes {
    /// Prepares a detail to be compared with what was granted.
    pub(crate) fn comparable(&self, detail: &Detail) -> Result<Comparable<'_>, DetailProblem> {
        let definition = self.defined(detail.type_name())?;
        Ok(Comparable { detail: definition.canonical(detail)?, definition })
    }
}

impl Comparable<'_> {
    /// The detail in canonical form.
    pub(crate) fn detail(&self) -> &Detail {
        &self.detail
    }

    fn is_covered_by(&self, entry: &str, extent: Extent) -> bool {
        if type_of(entry).is_none_or(|name| name != self.detail.type_name()) {
            return false;
        }
        let granted = members(entry).into_iter().flatten().filter(|(name, _)| name != "type");
        object_covers(granted, &self.definition.rules, &self.detail.members, extent).is_some()
    }
}

/// The type of an entry. `None` if the entry is not an object with a string `type`.
fn type_of(entry: &str) -> Option<Cow<'_, str>> {
    let mut types = members(entry)?.filter(|(name, _)| name == "type");
    types.next().and_then(|(_, value)| string(value))
}

/// Compares the members of an object. Returns `None` if one of them grants too little, too much, or is unknown, and how
/// many members there are otherwise.
fn object_covers<'a>(
    granted: impl Iterator<Item = (Cow<'a, str>, &'a str)>,
    rules: &Rules,
    asked: &Members,
    extent: Extent,
) -> Option<usize> {
    let (mut count, mut required) = (0_usize, 0_usize);
    for (name, value) in granted {
        let rule = rules.get(&*name)?;
        member_covers(value, rule, asked.get(&*name), extent)?;
        count = count.saturating_add(1);
        required = required.saturating_add(rule.is_required().into());
    }
    // Names are distinct, so these are all of them.
    let all = rules.values().filter(|rule| rule.is_required()).count();
    (required == all).then_some(count)
}

fn member_covers(value: &str, rule: &Rule, asked: Option<&Member>, extent: Extent) -> Option<()> {
    let exactly = matches!(extent, Extent::Exactly);
    let fits = match (rule, asked) {
        (Rule::Ignored, _) => !value.starts_with('{'),
        (Rule::Object(rules), asked) => {
            let none = Members::new();
            let asked = match asked {
                Some(Member::Object(asked)) => asked,
                _ => &none,
            };
            object_covers(members(value)?, rules, asked, extent)? > 0
        }
        (Rule::Exact, Some(Member::Text(asked))) => string(value)? == *asked,
        (Rule::AtMost, Some(Member::Text(asked))) => {
            let (granted, asked) = (Decimal::parse(&string(value)?)?, Decimal::parse(asked)?);
            if exactly { granted == asked } else { granted >= asked }
        }
        (Rule::Set, Some(Member::Set(asked))) => {
            let granted: BTreeSet<_> = strings(value)?.into_iter().collect();
            asked.iter().all(|text| granted.contains(&**text))
                && (!exactly || granted.len() == asked.len())
                && !asked.is_empty()
        }
        _ => false,
    };
    fits.then_some(())
}
