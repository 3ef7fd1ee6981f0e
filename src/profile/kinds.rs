//! What kind a token is by its profile: whether it is an access token, who its subject is, and whether its client is
//! an agent.

use std::borrow::Cow;

use super::claim_rule::ClaimRule;
use super::definition::Profile;
use super::header_type::HeaderType;
use crate::json::{Document, string};

/// What kind of party the subject of a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum SubjectKind {
    /// The client itself.
    #[default]
    Client,
    /// Another party that is not a person.
    NonPerson,
    /// A person, as far as the token shows it.
    Person,
}

impl Profile {
    /// True if this header's `typ` is accepted.
    pub(crate) fn accepts_type(&self, typ: Option<&str>) -> bool {
        match HeaderType::parse(typ) {
            Some(typ) => self.types.contains(&typ),
            None => typ.is_some_and(|typ| self.other_types.contains(typ)),
        }
    }

    /// The names of the types that are accepted, for the operator.
    pub(crate) fn type_names(&self) -> impl Iterator<Item = &'static str> {
        self.types.iter().map(|typ| typ.as_str())
    }

    /// True if a `typ` other than `at+jwt` is accepted, or none.
    fn accepts_other_types(&self) -> bool {
        !self.other_types.is_empty() || self.types.iter().any(|typ| *typ != HeaderType::AccessToken)
    }

    /// True if access tokens are told from other tokens of the issuer, by their `typ` or by a rule.
    pub(crate) fn checks_kind(&self) -> bool {
        !self.accepts_other_types() || !self.required_rules.is_empty()
    }

    /// The claim that shows that this is not an access token.
    pub(crate) fn rejected_kind(
        &self,
        claims: &Document,
        client: Option<&str>,
    ) -> Option<Cow<'static, str>> {
        if self.accepts_other_types()
            && let Some(claim) = mark_of_another_kind(claims, self.at_hash_allowed)
        {
            return Some(Cow::Borrowed(claim));
        }
        let fails = |group: &&Vec<ClaimRule>| !any_holds(group, claims, client);
        let group = self.required_rules.iter().find(fails)?;
        Some(group.first().map_or(Cow::Borrowed(""), |rule| rule.claim().clone()))
    }

    /// True if the subject, the client or the token id is read from this claim.
    pub(crate) fn names(&self, claim: &str) -> bool {
        self.subject == claim || self.token_id == claim || self.clients.iter().any(|c| c == claim)
    }

    /// The claims that the rules read as strings.
    pub(crate) fn string_claims(&self) -> impl Iterator<Item = &Cow<'static, str>> {
        let rules = self.required_rules.iter().flatten();
        let rules = rules.chain(&self.client_subject_rules);
        let rules = rules.chain(&self.non_person_rules).chain(&self.agent_rules);
        rules.flat_map(ClaimRule::string_claims)
    }

    pub(crate) fn subject_kind(
        &self,
        claims: &Document,
        subject: Option<&str>,
        client: Option<&str>,
    ) -> SubjectKind {
        if subject == client || any_holds(&self.client_subject_rules, claims, client) {
            SubjectKind::Client
        } else if any_holds(&self.non_person_rules, claims, client) {
            SubjectKind::NonPerson
        } else {
            SubjectKind::Person
        }
    }

    /// True if the token shows that its client is an agent.
    pub(crate) fn client_is_agent(&self, claims: &Document, client: Option<&str>) -> bool {
        any_holds(&self.agent_rules, claims, client)
    }
}

pub(super) fn any_holds(rules: &[ClaimRule], claims: &Document, client: Option<&str>) -> bool {
    rules.iter().any(|rule| rule.holds(claims, client))
}

/// RFC 8725 section 3.12: a claim that an ID token, a refresh token, a logout token or an event has, and an access
/// token has not.
fn mark_of_another_kind(claims: &Document, at_hash_allowed: bool) -> Option<&'static str> {
    let is_mark =
        |name: &&str| claims.get(name).is_some() && !(at_hash_allowed && *name == "at_hash");
    if let Some(name) = ["nonce", "at_hash", "c_hash", "events"].into_iter().find(is_mark) {
        return Some(name);
    }
    let text = |name: &str| claims.get(name).map(|raw| string(raw).unwrap_or_default());
    if text("token_use").is_some_and(|kind| kind != "access") {
        return Some("token_use");
    }
    if text("tokenName").is_some_and(|kind| kind != "access_token") {
        return Some("tokenName");
    }
    let is_another_kind = |typ: &str| {
        let kinds = ["id", "refresh", "offline", "logout", ""];
        kinds.iter().any(|kind| typ.eq_ignore_ascii_case(kind))
    };
    text("typ").is_some_and(|typ| is_another_kind(&typ)).then_some("typ")
}
