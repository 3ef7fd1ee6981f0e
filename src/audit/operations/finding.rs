//! What stands out in the list of operations.

use std::fmt;

use super::known::Known;
use crate::names::Audience;
use crate::printable::Printable;
use crate::require::Require;

/// Something in the set-up of a guard that a person should look at. It may be right.
///
/// `Display` writes the [name](FindingKind::as_str) of its kind, and what it is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    kind: FindingKind,
    about: String,
}

impl Finding {
    /// Returns what kind of finding this is.
    #[must_use]
    pub fn kind(&self) -> FindingKind {
        self.kind
    }

    /// Returns what the finding is about: the name of an operation or of an issuer, the audiences, or the number of
    /// layers.
    #[must_use]
    pub fn about(&self) -> &str {
        &self.about
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), Printable::from(&*self.about))
    }
}

/// What kind of [`Finding`] it is. Those about the guard come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FindingKind {
    /// The guard accepts several audiences ([`Guard::also_accept`](crate::Guard::also_accept)): a token that was issued
    /// for one name of the resource is accepted under the others.
    AudienceAliases,
    /// The profile of an issuer accepts tokens whose `typ` is not `at+jwt`, and has no rule that tells access tokens
    /// from others ([`Profile::requires_one_of`](crate::profile::Profile::requires_one_of)). Only what is known of ID
    /// tokens and their kin is refused.
    IssuerKindNotChecked,
    /// The profile of an issuer accepts tokens without an audience
    /// ([`Profile::client_list_instead_of_audience`](crate::profile::Profile::client_list_instead_of_audience)).
    IssuerWithoutAudience,
    /// Layers have no name, so they are not in the list, and requests to them are recorded by their paths.
    UnnamedLayers,
    /// An operation that deletes requires neither a recent or strong login nor an approval.
    DestructiveWithoutStepUp,
    /// Requests without a token pass.
    NoTokenNeeded,
    /// The requirement names no scope.
    NoScope,
    /// Any valid token of a trusted issuer is enough: the requirement is
    /// [`valid_token`](crate::Require::valid_token).
    ValidTokenOnly,
}

impl FindingKind {
    /// Returns the stable name in snake case, such as `audience_aliases`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            FindingKind::AudienceAliases => "audience_aliases",
            FindingKind::IssuerKindNotChecked => "issuer_kind_not_checked",
            FindingKind::IssuerWithoutAudience => "issuer_without_audience",
            FindingKind::UnnamedLayers => "unnamed_layers",
            FindingKind::DestructiveWithoutStepUp => "destructive_without_step_up",
            FindingKind::NoTokenNeeded => "no_token_needed",
            FindingKind::NoScope => "no_scope",
            FindingKind::ValidTokenOnly => "valid_token_only",
        }
    }

    /// Returns what the finding means, in a sentence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            FindingKind::AudienceAliases => {
                "The API accepts tokens under several names, so a token for one of them works under all."
            }
            FindingKind::IssuerKindNotChecked => {
                "No rule tells the access tokens of this issuer from its other tokens."
            }
            FindingKind::IssuerWithoutAudience => {
                "Tokens of this issuer may name no API: a list of clients stands in for the audience."
            }
            FindingKind::UnnamedLayers => {
                "These layers have no name, so what they protect is not in the list."
            }
            FindingKind::DestructiveWithoutStepUp => {
                "It deletes, and asks for neither a recent or strong login nor an approval."
            }
            FindingKind::NoTokenNeeded => "Requests without a token pass.",
            FindingKind::NoScope => "It requires no scope.",
            FindingKind::ValidTokenOnly => "Any valid token is enough.",
        }
    }

    pub(crate) const fn is_about_an_operation(self) -> bool {
        match self {
            FindingKind::AudienceAliases
            | FindingKind::IssuerKindNotChecked
            | FindingKind::IssuerWithoutAudience
            | FindingKind::UnnamedLayers => false,
            FindingKind::DestructiveWithoutStepUp
            | FindingKind::NoTokenNeeded
            | FindingKind::NoScope
            | FindingKind::ValidTokenOnly => true,
        }
    }
}

/// What stands out, in no order.
pub(super) fn findings(known: &Known) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |kind, is_found: bool, about: &str| {
        if is_found {
            findings.push(Finding { kind, about: about.to_owned() });
        }
    };
    let audiences: Vec<_> = known.audiences.iter().map(Audience::as_str).collect();
    found(FindingKind::AudienceAliases, audiences.len() > 1, &audiences.join(", "));
    for issuer in &known.issuers {
        found(FindingKind::IssuerKindNotChecked, !issuer.kind_is_checked, &issuer.name);
        found(FindingKind::IssuerWithoutAudience, issuer.audience_is_optional, &issuer.name);
    }
    let valid_token = Require::valid_token();
    for listed in &known.listed {
        let stepped_up = listed.asks_for_step_up() || listed.asks_for_approval();
        // What is computed for each request may ask for it.
        let is_known = listed.requirement().is_some() || !listed.needs_token();
        let destructive = listed.is_destructive() && is_known && !stepped_up;
        found(FindingKind::DestructiveWithoutStepUp, destructive, listed.name());
        found(FindingKind::NoTokenNeeded, !listed.needs_token(), listed.name());
        if let Some(requirement) = listed.requirement() {
            let is_bare = *requirement == valid_token;
            found(FindingKind::ValidTokenOnly, is_bare, listed.name());
            let is_without_scope = !is_bare && requirement.challenge_scopes().is_empty();
            found(FindingKind::NoScope, is_without_scope, listed.name());
        }
    }
    findings.extend(unnamed_layers(known.unnamed_layers));
    findings
}

pub(super) fn unnamed_layers(count: usize) -> Option<Finding> {
    let finding = || Finding { kind: FindingKind::UnnamedLayers, about: count.to_string() };
    (count > 0).then(finding)
}
