//! How an issuer spells what RFC 9068 says: data, and the named shapes of vendors.

mod claim_rule;
mod vendors;

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::jose::is_type;
use crate::json::{Document, string};

pub use claim_rule::ClaimRule;

/// A name or a value in a profile.
pub(crate) type Word = Cow<'static, str>;

/// How an issuer writes its access tokens, as data.
///
/// [`rfc9068`](Self::rfc9068) is the default and the strict one. Every other profile says where an issuer
/// deviates from it, and what is checked in its place; the vendors' are named here, and one of your own is
/// made from the same methods. What comes out, subject, actor, client, tenant and scopes, is read the same
/// way whatever the profile.
///
/// A profile that accepts the header types `JWT` or none
/// ([`HeaderType`]) refuses what looks like another kind of token (`token_kind_rejected`, RFC 8725
/// section 3.12): one with `nonce`, `at_hash`, `c_hash` or `events`, with a `token_use` that is not `access`,
/// a `tokenName` that is not `access_token`, or a `typ` among the claims of an ID, refresh, offline or logout
/// token.
///
/// ```
/// use unconfused::profile::{ClaimRule, HeaderType, Profile, ScopeShape};
///
/// let profile = Profile::rfc9068()
///     .types([HeaderType::Jwt])
///     .client_claims(["azp"])
///     .scope_claims([("scp", ScopeShape::Array)])
///     .token_id_optional()
///     .requires([ClaimRule::is("use", "api")])
///     .subject_is_client_if([ClaimRule::ends_with("sub", "@services")]);
/// # let issuer = unconfused::Issuer::new("https://login.example", unconfused::keys::KeySet::default());
/// let issuer = issuer.profile(profile);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    types: BTreeSet<HeaderType>,
    pub(crate) subject: Word,
    pub(crate) subject_or_client: bool,
    pub(crate) clients: Vec<Word>,
    pub(crate) client_optional: bool,
    pub(crate) token_id: Word,
    pub(crate) token_id_optional: bool,
    pub(crate) scopes: Vec<(Word, ScopeShape)>,
    pub(crate) tenant: Option<Word>,
    pub(crate) tenant_in_issuer: bool,
    /// Of each group one.
    requires: Vec<Vec<ClaimRule>>,
    subject_is_client: Vec<ClaimRule>,
    no_person: Vec<ClaimRule>,
    agents: Vec<ClaimRule>,
    pub(crate) impersonators: bool,
    pub(crate) client_list_instead_of_audience: Option<BTreeSet<String>>,
}

/// The `typ` of a token's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum HeaderType {
    /// `at+jwt`, with or without `application/`: nothing but an access token
    /// ([RFC 9068 section 2.1](https://www.rfc-editor.org/rfc/rfc9068#section-2.1)).
    AccessToken,
    /// `JWT`, which says nothing.
    Jwt,
    /// None at all.
    Absent,
}

/// How a claim holds scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScopeShape {
    /// A string with spaces between
    /// ([RFC 8693 section 4.2](https://www.rfc-editor.org/rfc/rfc8693#section-4.2)).
    Text,
    /// An array of strings, each one scope.
    Array,
    /// Either of the two.
    Either,
}

/// What kind of party the subject of a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum SubjectKind {
    /// The client itself.
    #[default]
    Client,
    /// Somebody else, and no person.
    NoPerson,
    /// A person, as far as the token shows it.
    Person,
}

impl Profile {
    /// RFC 9068, strictly: `typ` `at+jwt`; `iss`, `sub`, `aud`, `exp`, `iat`, `client_id` and `jti`; scopes in
    /// `scope`, with spaces between. A token without a user has a `sub` that is its `client_id`.
    #[must_use]
    pub fn rfc9068() -> Self {
        Profile {
            types: BTreeSet::from([HeaderType::AccessToken]),
            subject: Cow::Borrowed("sub"),
            subject_or_client: false,
            clients: vec![Cow::Borrowed("client_id")],
            client_optional: false,
            token_id: Cow::Borrowed("jti"),
            token_id_optional: false,
            scopes: vec![(Cow::Borrowed("scope"), ScopeShape::Text)],
            tenant: None,
            tenant_in_issuer: false,
            requires: Vec::new(),
            subject_is_client: Vec::new(),
            no_person: Vec::new(),
            agents: Vec::new(),
            impersonators: false,
            client_list_instead_of_audience: None,
        }
    }

    /// The header types that are accepted, and no others.
    #[must_use]
    pub fn types(mut self, types: impl IntoIterator<Item = HeaderType>) -> Self {
        self.types = types.into_iter().collect();
        self
    }

    /// The claim that names the subject, in place of `sub`.
    #[must_use]
    pub fn subject_claim(mut self, claim: impl Into<Cow<'static, str>>) -> Self {
        self.subject = claim.into();
        self
    }

    /// A token without a subject speaks for its client: the client is the subject.
    #[must_use]
    pub fn subject_or_client(mut self) -> Self {
        self.subject_or_client = true;
        self
    }

    /// The claims that may name the client, in place of `client_id`; the first that is there does.
    #[must_use]
    pub fn client_claims(
        mut self,
        claims: impl IntoIterator<Item = impl Into<Cow<'static, str>>>,
    ) -> Self {
        self.clients = claims.into_iter().map(Into::into).collect();
        self
    }

    /// A token need not name its client. One that does not has none: no list of clients has it, and no list of
    /// agents either.
    #[must_use]
    pub fn client_optional(mut self) -> Self {
        self.client_optional = true;
        self
    }

    /// The claim that names the token, in place of `jti`.
    #[must_use]
    pub fn token_id_claim(mut self, claim: impl Into<Cow<'static, str>>) -> Self {
        self.token_id = claim.into();
        self
    }

    /// A token need not have a name of its own. One without can be neither told from others in the record nor
    /// spent.
    #[must_use]
    pub fn token_id_optional(mut self) -> Self {
        self.token_id_optional = true;
        self
    }

    /// The claims that hold scopes, in place of `scope`: all of them together. **Not** a place for the roles of
    /// users: what a person may do and what a client was allowed to do in their name are two things.
    #[must_use]
    pub fn scope_claims(
        mut self,
        claims: impl IntoIterator<Item = (impl Into<Cow<'static, str>>, ScopeShape)>,
    ) -> Self {
        self.scopes = claims.into_iter().map(|(claim, shape)| (claim.into(), shape)).collect();
        self
    }

    /// The claim that names the tenant.
    #[must_use]
    pub fn tenant_claim(mut self, claim: impl Into<Cow<'static, str>>) -> Self {
        self.tenant = Some(claim.into());
        self
    }

    /// The tenant is there and is the one of the issuer: of a template ([`Issuer::tenants`](crate::Issuer::tenants))
    /// what stands for `{tenant}`, else the first segment of the path. Else the token is refused
    /// (`tenant_mismatch`).
    #[must_use]
    pub fn tenant_in_issuer(mut self) -> Self {
        self.tenant_in_issuer = true;
        self
    }

    /// One of these tests holds; else it is another kind of token (`token_kind_rejected`). Called again, one of
    /// those too.
    #[must_use]
    pub fn requires(mut self, one_of: impl IntoIterator<Item = ClaimRule>) -> Self {
        self.requires.push(one_of.into_iter().collect());
        self
    }

    /// Where one of these tests holds, the subject is the client itself, whatever its name; called again, more
    /// of them. It is where the two have the same name, too. Such a client acts for nobody else, and is never
    /// an actor: test what the issuer alone decides, [`ClaimRule::names_client`] for instance, and no name that a
    /// user may choose. Where in doubt, [`subject_is_not_a_person_if`](Self::subject_is_not_a_person_if).
    #[must_use]
    pub fn subject_is_client_if(mut self, tests: impl IntoIterator<Item = ClaimRule>) -> Self {
        self.subject_is_client.extend(tests);
        self
    }

    /// Where one of these tests holds, the subject is no person, though it is not the client either; called
    /// again, more of them. For an issuer whose tokens do not tell, [`ClaimRule::present`] of `sub`:
    /// then nobody is taken for a person.
    #[must_use]
    pub fn subject_is_not_a_person_if(
        mut self,
        tests: impl IntoIterator<Item = ClaimRule>,
    ) -> Self {
        self.no_person.extend(tests);
        self
    }

    /// Where one of these tests holds, the client is an agent, and the actor where `act` names none
    /// ([`ActorSource::Profile`](crate::token::ActorSource::Profile)); called again, more of them.
    #[must_use]
    pub fn client_is_agent_if(mut self, tests: impl IntoIterator<Item = ClaimRule>) -> Self {
        self.agents.extend(tests);
        self
    }

    /// `act` names a person who took the subject's place, an administrator for instance, and no agent
    /// ([`ActorSource::Impersonator`](crate::token::ActorSource::Impersonator)).
    #[must_use]
    pub fn act_names_impersonators(mut self) -> Self {
        self.impersonators = true;
        self
    }

    /// A list of clients instead of an audience: a token without `aud` is accepted where its client is one of these. **This is not what an audience
    /// is**: it says who may hold the token, and not where it may be used. A token of such a client for any
    /// other API of the issuer is accepted here too, and one from here there. Where the issuer can be made
    /// to name the resource, have it do that. A token that names an audience must name this resource all
    /// the same.
    #[must_use]
    pub fn client_list_instead_of_audience(
        mut self,
        clients: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.client_list_instead_of_audience = Some(clients.into_iter().map(Into::into).collect());
        self
    }

    /// Step 12: is this header's `typ` accepted?
    pub(crate) fn accepts_type(&self, typ: Option<&str>) -> bool {
        HeaderType::of(typ).is_some_and(|typ| self.types.contains(&typ))
    }

    /// Step 24: the claim that shows that this is another kind of token.
    pub(crate) fn other_kind(&self, claims: &Document, client: Option<&str>) -> Option<Word> {
        let untyped = self.types.iter().any(|typ| *typ != HeaderType::AccessToken);
        if untyped && let Some(sign) = sign_of_another_kind(claims) {
            return Some(Cow::Borrowed(sign));
        }
        let failed = |group: &&Vec<ClaimRule>| !group.iter().any(|test| test.holds(claims, client));
        let group = self.requires.iter().find(failed)?;
        Some(group.first().map_or(Cow::Borrowed(""), |test| test.claim().clone()))
    }

    /// Subject, client or token are read from this claim.
    pub(crate) fn names(&self, claim: &str) -> bool {
        self.subject == claim || self.token_id == claim || self.clients.iter().any(|c| c == claim)
    }

    /// The claims that the tests read as strings.
    pub(crate) fn tested(&self) -> impl Iterator<Item = &Word> {
        let groups = self.requires.iter().flatten();
        let tests =
            groups.chain(&self.subject_is_client).chain(&self.no_person).chain(&self.agents);
        tests.flat_map(ClaimRule::texts)
    }

    pub(crate) fn subject_kind(
        &self,
        claims: &Document,
        subject: Option<&str>,
        client: Option<&str>,
    ) -> SubjectKind {
        let any = |tests: &[ClaimRule]| tests.iter().any(|test| test.holds(claims, client));
        if subject == client || any(&self.subject_is_client) {
            SubjectKind::Client
        } else if any(&self.no_person) {
            SubjectKind::NoPerson
        } else {
            SubjectKind::Person
        }
    }

    /// The token says of its client that it is an agent.
    pub(crate) fn client_is_agent(&self, claims: &Document, client: Option<&str>) -> bool {
        self.agents.iter().any(|test| test.holds(claims, client))
    }
}

impl Default for Profile {
    /// [`Profile::rfc9068`].
    fn default() -> Self {
        Profile::rfc9068()
    }
}

impl HeaderType {
    /// `None` for any other type.
    pub(crate) fn of(typ: Option<&str>) -> Option<Self> {
        match typ {
            None => Some(HeaderType::Absent),
            Some(typ) if is_type(typ, "at+jwt") => Some(HeaderType::AccessToken),
            Some(typ) if is_type(typ, "jwt") => Some(HeaderType::Jwt),
            Some(_) => None,
        }
    }
}

/// RFC 8725 section 3.12: what an ID token, a refresh token, a logout token or an event has, and no access
/// token.
fn sign_of_another_kind(claims: &Document) -> Option<&'static str> {
    let there = ["nonce", "at_hash", "c_hash", "events"];
    if let Some(name) = there.into_iter().find(|name| claims.get(name).is_some()) {
        return Some(name);
    }
    let text = |name: &str| claims.get(name).map(|raw| string(raw).unwrap_or_default());
    if text("token_use").is_some_and(|kind| kind != "access") {
        return Some("token_use");
    }
    if text("tokenName").is_some_and(|kind| kind != "access_token") {
        return Some("tokenName");
    }
    let other = |kind: &str| {
        ["id", "refresh", "offline", "logout", ""].iter().any(|o| kind.eq_ignore_ascii_case(o))
    };
    text("typ").is_some_and(|kind| other(&kind)).then_some("typ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_is_a_media_type() {
        for good in ["at+jwt", "AT+JWT", "at+JWT", "application/at+jwt", "Application/AT+jwt"] {
            assert_eq!(HeaderType::of(Some(good)), Some(HeaderType::AccessToken), "{good}");
        }
        for plain in ["JWT", "jwt", "application/jwt"] {
            assert_eq!(HeaderType::of(Some(plain)), Some(HeaderType::Jwt), "{plain}");
        }
        for bad in [
            "",
            "at+jwt ",
            "at+jwt; x=y",
            "application/application/at+jwt",
            "text/at+jwt",
            "dpop+jwt",
            "id_token+jwt",
            "application/é",
        ] {
            assert_eq!(HeaderType::of(Some(bad)), None, "{bad}");
        }
        assert_eq!(HeaderType::of(None), Some(HeaderType::Absent));
    }
}
