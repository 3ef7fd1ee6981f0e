//! The list of operations.

use std::collections::BTreeSet;

use super::finding::{Finding, FindingKind, findings, unnamed_layers};
use super::known::Known;
use super::listed::ListedOperation;
use crate::names::Audience;

/// The operations that a guard knows of, each with what it requires, and what stands out.
///
/// [`Guard::operations`](crate::Guard::operations) makes it. `Display` writes a table, for people and to be compared
/// with a file. `Serialize` writes an object:
///
/// | member | value |
/// |---|---|
/// | `audiences`, `issuers` | arrays of strings |
/// | `operations` | an array of objects, each with `name`, `requirement` (a string, or null if it is computed for each request), `token_needed`, `step_up` and `approval` (booleans), and with `method` and `path` if they are known |
/// | `unnamed_layers` | how many layers have no name |
/// | `findings` | an array of objects, each with `finding`, `about` and `meaning` |
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use std::time::Duration;
/// use unconfused::audit::FindingKind;
/// use unconfused::{Audience, Guard, Require, Scope};
/// # use unconfused::testing::TestIssuer;
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// const REFUND: Scope = Scope::from_static("orders:refund");
/// const DELETE: Scope = Scope::from_static("orders:delete");
/// # let issuer = TestIssuer::new("https://login.example").issuer();
///
/// let guard = Guard::new(ORDERS, issuer);
/// let refunds = Require::scope(REFUND).max_age(Duration::from_secs(300));
/// let refunds = guard.require(refunds).named("POST /orders/{id}/refund");
/// let deletions = guard.require(DELETE).named("DELETE /orders/{id}");
///
/// let operations = guard.operations();
/// let [deletion, refund] = operations.listed() else { panic!() };
/// assert_eq!(refund.path(), Some("/orders/{id}/refund"));
/// assert!(refund.asks_for_step_up());
///
/// // What stands out: a deletion needs no more than a scope.
/// let [finding] = operations.findings() else { panic!() };
/// assert_eq!(finding.kind(), FindingKind::DestructiveWithoutStepUp);
/// assert_eq!(finding.about(), "DELETE /orders/{id}");
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operations {
    pub(super) audiences: Vec<Audience>,
    pub(super) issuers: Vec<String>,
    pub(super) listed: Vec<ListedOperation>,
    pub(super) unnamed_layers: usize,
    pub(super) findings: Vec<Finding>,
}

impl Operations {
    pub(crate) fn new(known: Known) -> Self {
        let findings = findings(&known);
        let issuers = known.issuers.into_iter().map(|issuer| issuer.name).collect();
        let Known { audiences, listed, unnamed_layers, .. } = known;
        Operations { audiences, issuers, listed, unnamed_layers, findings }.in_order()
    }

    /// Returns the names that the guard accepts as its own, the published one first.
    pub fn audiences(&self) -> &[Audience] {
        &self.audiences
    }

    /// Returns the names of the trusted issuers, and the templates of their names.
    pub fn issuers(&self) -> &[String] {
        &self.issuers
    }

    /// Returns the operations that have a name, in the order of their paths and methods.
    pub fn listed(&self) -> &[ListedOperation] {
        &self.listed
    }

    /// Returns how many layers have no name. Nothing else is known of them here.
    #[must_use]
    pub fn unnamed_layers(&self) -> usize {
        self.unnamed_layers
    }

    /// Returns what stands out: first about the guard, then about the operations.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Adds the operations of another guard, for a service that has several.
    ///
    /// What both have is in the result once.
    #[must_use]
    pub fn and(mut self, other: &Operations) -> Self {
        self.audiences.extend_from_slice(&other.audiences);
        self.issuers.extend_from_slice(&other.issuers);
        self.listed.extend_from_slice(&other.listed);
        self.findings.extend_from_slice(&other.findings);
        self.unnamed_layers = self.unnamed_layers.saturating_add(other.unnamed_layers);
        self.findings.retain(|finding| finding.kind() != FindingKind::UnnamedLayers);
        self.findings.extend(unnamed_layers(self.unnamed_layers));
        self.in_order()
    }

    /// Sorts what is listed, and leaves out repeats.
    fn in_order(mut self) -> Self {
        fn without_repeats<T: Clone + Ord>(all: &mut Vec<T>) {
            let mut seen = BTreeSet::new();
            all.retain(|item| seen.insert(item.clone()));
        }
        without_repeats(&mut self.audiences);
        without_repeats(&mut self.issuers);
        self.listed.sort_by(ListedOperation::in_order);
        self.listed.dedup();
        // The kinds about a guard come first.
        self.findings.sort();
        self.findings.dedup();
        self
    }

    /// What stands out about the operation of this name.
    pub(in crate::audit) fn findings_about<'f>(
        &'f self,
        name: &'f str,
    ) -> impl Iterator<Item = &'f Finding> {
        self.findings.iter().filter(move |finding| {
            finding.kind().is_about_an_operation() && finding.about() == name
        })
    }
}
