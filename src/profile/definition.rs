//! The profile of an issuer: data, and the methods that change it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::claim_name::name_of_text;
use super::claim_rule::ClaimRule;
use super::header_type::{HeaderType, OtherTypes};

/// How an issuer writes its access tokens, as data.
///
/// [`rfc9068`](Self::rfc9068) is the default, and the strict one. Every other profile says where an issuer deviates
/// from it, and what is checked instead. The [module page](crate::profile) lists those of vendors; build one of your
/// own with the same methods.
///
/// A claim is read by its name, at the top of the payload. A path into an object, such as `realm_access.roles`, cannot
/// be read, and neither can a claim that is never a text, such as `exp`, as a text. A method that names a claim panics
/// then, since every token would be refused, or a rule would never hold.
///
/// A profile that accepts another `typ` than `at+jwt`, or none ([`HeaderType`]), refuses tokens that look like another
/// kind (`token_kind_rejected`, RFC 8725 section 3.12). These are tokens with `nonce`, `at_hash`, `c_hash` or `events`,
/// with a `token_use` other than `access`, with a `tokenName` other than `access_token`, or with a claim `typ` of an ID,
/// refresh, offline or logout token.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use time::UtcDateTime;
/// use unconfused::profile::{ClaimRule, Profile};
/// use unconfused::token::{UnverifiedToken, Validation};
/// use unconfused::{Audience, Reason};
/// # use unconfused::testing::TestIssuer;
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// # let login = TestIssuer::new("https://login.example");
/// # let (keys, now) = (login.keys(), UtcDateTime::now());
/// # let raw = login.token(&ORDERS).claim("use", "api").claim("org", "acme").sign();
///
/// // the token's payload has "use": "api" and "org": "acme"
/// let profile = Profile::rfc9068().tenant_claim("org").requires_one_of([ClaimRule::is("use", "api")]);
/// let validation = Validation::new(&ORDERS, "https://login.example").profile(profile);
/// let token = UnverifiedToken::parse(&raw)?.validate(&validation, &keys, now)?;
/// assert_eq!(token.tenant(), Some("acme"));
///
/// let other = Profile::rfc9068().requires_one_of([ClaimRule::is("use", "admin")]);
/// let validation = Validation::new(&ORDERS, "https://login.example").profile(other);
/// let refused = UnverifiedToken::parse(&raw)?.validate(&validation, &keys, now).unwrap_err();
/// assert_eq!(refused.reason(), Reason::TokenKindRejected);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub(super) types: BTreeSet<HeaderType>,
    pub(super) other_types: OtherTypes,
    pub(super) at_hash_allowed: bool,
    pub(crate) subject: Cow<'static, str>,
    pub(crate) subject_or_client: bool,
    pub(crate) empty_subject_is_none: bool,
    pub(crate) clients: Vec<Cow<'static, str>>,
    pub(crate) client_optional: bool,
    pub(crate) token_id: Cow<'static, str>,
    pub(crate) token_id_optional: bool,
    pub(crate) issued_at_optional: bool,
    pub(crate) scopes: Vec<(Cow<'static, str>, ScopeShape)>,
    pub(crate) tenant: Option<Cow<'static, str>>,
    pub(crate) tenant_in_issuer: bool,
    /// Of each group, one rule must hold.
    pub(super) required_rules: Vec<Vec<ClaimRule>>,
    pub(super) client_subject_rules: Vec<ClaimRule>,
    pub(super) non_person_rules: Vec<ClaimRule>,
    pub(super) agent_rules: Vec<ClaimRule>,
    pub(crate) act_names_impersonators: bool,
    pub(crate) client_list_instead_of_audience: Option<BTreeSet<String>>,
}

/// How a claim holds scopes, for [`Profile::scope_claims`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScopeShape {
    /// A string of scopes that are separated by spaces
    /// ([RFC 8693 section 4.2](https://www.rfc-editor.org/rfc/rfc8693#section-4.2)).
    Text,
    /// A string of scopes that are separated by this character, such as a comma. Spaces beside it are ignored.
    Delimited(char),
    /// An array of strings, each one scope.
    Array,
    /// Either a string or an array.
    Either,
}

impl Profile {
    /// Creates the profile of RFC 9068, strictly.
    ///
    /// `typ` is `at+jwt`. The claims `iss`, `sub`, `aud`, `exp`, `iat`, `client_id` and `jti` must be there. Scopes are
    /// in `scope`, separated by spaces. In a token without a user, `sub` is its `client_id`.
    #[must_use]
    pub fn rfc9068() -> Self {
        Profile {
            types: BTreeSet::from([HeaderType::AccessToken]),
            other_types: OtherTypes::default(),
            at_hash_allowed: false,
            subject: Cow::Borrowed("sub"),
            subject_or_client: false,
            empty_subject_is_none: false,
            clients: vec![Cow::Borrowed("client_id")],
            client_optional: false,
            token_id: Cow::Borrowed("jti"),
            token_id_optional: false,
            issued_at_optional: false,
            scopes: vec![(Cow::Borrowed("scope"), ScopeShape::Text)],
            tenant: None,
            tenant_in_issuer: false,
            required_rules: Vec::new(),
            client_subject_rules: Vec::new(),
            non_person_rules: Vec::new(),
            agent_rules: Vec::new(),
            act_names_impersonators: false,
            client_list_instead_of_audience: None,
        }
    }

    /// Sets which header types are accepted. Defaults to [`HeaderType::AccessToken`] alone.
    #[must_use]
    pub fn types(mut self, types: impl IntoIterator<Item = HeaderType>) -> Self {
        self.types = types.into_iter().collect();
        self
    }

    /// Adds header types of other names that are accepted, for an issuer that writes `Bearer` or a name of its own.
    ///
    /// They are compared as media types: without regard to case, and `application/` may be left out. A token with such a
    /// type is refused if it looks like another kind, as one with `JWT` is.
    ///
    /// # Panics
    ///
    /// Panics if a name is empty, if [`HeaderType`] has it, or if it ends in `+jwt` and is not a vendor's (`vnd.`): such
    /// a name belongs to a kind of token that some standard defines, which is not an access token. A proof
    /// (`dpop+jwt`) or a logout token (`logout+jwt`) must never pass as one (RFC 8725 section 3.11).
    ///
    /// ```
    /// use unconfused::profile::Profile;
    ///
    /// let profile = Profile::rfc9068().other_types(["Bearer", "vnd.example.access+jwt"]);
    /// ```
    ///
    /// ```should_panic
    /// # use unconfused::profile::Profile;
    /// let profile = Profile::rfc9068().other_types(["logout+jwt"]);
    /// ```
    #[must_use]
    pub fn other_types(
        mut self,
        types: impl IntoIterator<Item = impl Into<Cow<'static, str>>>,
    ) -> Self {
        self.other_types.extend(types);
        self
    }

    /// Accepts tokens with the claim `at_hash`, which marks an ID token otherwise.
    ///
    /// Dex signs one token and hands it out both as the ID token and as the access token. With this setting, an **ID
    /// token of such an issuer is accepted** if its `aud` names this resource, so a client that only logs users in may
    /// call this API with what it got for that. Does nothing for a profile that accepts no type but `at+jwt`: there
    /// the claim is not a mark.
    #[must_use]
    pub fn at_hash_allowed(mut self) -> Self {
        self.at_hash_allowed = true;
        self
    }

    /// Sets the claim that names the subject. Defaults to `sub`.
    ///
    /// # Panics
    ///
    /// Panics if the name is empty, is a path, or names a claim that is never a text.
    #[must_use]
    pub fn subject_claim(mut self, claim: impl Into<Cow<'static, str>>) -> Self {
        self.subject = name_of_text(claim);
        self
    }

    /// Makes the client the subject of a token that names no subject.
    #[must_use]
    pub fn subject_or_client(mut self) -> Self {
        self.subject_or_client = true;
        self
    }

    /// Reads a subject that is the empty string as no subject, for [`subject_or_client`](Self::subject_or_client). By
    /// default, such a token is refused (`required_claim_missing`).
    #[must_use]
    pub fn empty_subject_is_none(mut self) -> Self {
        self.empty_subject_is_none = true;
        self
    }

    /// Sets the claims that may name the client, in this order: the first that is there counts. Defaults to
    /// `client_id`.
    ///
    /// # Panics
    ///
    /// Panics if the name is empty, is a path, or names a claim that is never a text.
    #[must_use]
    pub fn client_claims(
        mut self,
        claims: impl IntoIterator<Item = impl Into<Cow<'static, str>>>,
    ) -> Self {
        self.clients = claims.into_iter().map(name_of_text).collect();
        self
    }

    /// Accepts tokens that do not name their client. A token without a client is on no list of clients, and on no list
    /// of agents.
    #[must_use]
    pub fn client_optional(mut self) -> Self {
        self.client_optional = true;
        self
    }

    /// Sets the claim that holds the token's own id. Defaults to `jti`.
    ///
    /// # Panics
    ///
    /// Panics if the name is empty, is a path, or names a claim that is never a text.
    #[must_use]
    pub fn token_id_claim(mut self, claim: impl Into<Cow<'static, str>>) -> Self {
        self.token_id = name_of_text(claim);
        self
    }

    /// Accepts tokens without an id. The record cannot tell such a token from others, and it cannot be spent.
    #[must_use]
    pub fn token_id_optional(mut self) -> Self {
        self.token_id_optional = true;
        self
    }

    /// Accepts tokens without `iat`. `nbf` then stands for it.
    ///
    /// A token with neither does not say how old it is, and [`issued_at`](crate::AccessToken::issued_at) is `None`:
    ///
    /// - [`TokenLimits::max_lifetime`](crate::token::TokenLimits::max_lifetime) and
    ///   [`max_delegated_lifetime`](crate::token::TokenLimits::max_delegated_lifetime) are compared with the time that
    ///   is left until `exp`. So a token that lives for years **passes near its end**.
    /// - What needs the time of issue refuses the token:
    ///   [`TokenLimits::max_token_age`](crate::token::TokenLimits::max_token_age) (`token_lifetime_exceeded`) and
    ///   [`Require::single_use`](crate::Require::single_use) (`token_spent`).
    ///
    /// A token whose `iat` is not a time is refused all the same.
    #[must_use]
    pub fn issued_at_optional(mut self) -> Self {
        self.issued_at_optional = true;
        self
    }

    /// Sets the claims that hold scopes. The scopes of all of them count. Defaults to `scope`, a string.
    ///
    /// Do **not** name a claim that holds the roles of users. What a person may do, and what a client may do on behalf
    /// of that person, are two different things.
    ///
    /// # Panics
    ///
    /// Panics if the name is empty, is a path, or names a claim that is never a text.
    #[must_use]
    pub fn scope_claims(
        mut self,
        claims: impl IntoIterator<Item = (impl Into<Cow<'static, str>>, ScopeShape)>,
    ) -> Self {
        self.scopes =
            claims.into_iter().map(|(claim, shape)| (name_of_text(claim), shape)).collect();
        self
    }

    /// Sets the claim that names the tenant. By default a token has no tenant.
    ///
    /// # Panics
    ///
    /// Panics if the name is empty, is a path, or names a claim that is never a text.
    #[must_use]
    pub fn tenant_claim(mut self, claim: impl Into<Cow<'static, str>>) -> Self {
        self.tenant = Some(name_of_text(claim));
        self
    }

    /// Refuses tokens whose tenant is absent, or is not the tenant of their issuer (`tenant_mismatch`).
    ///
    /// The issuer's tenant is what replaced `{tenant}` if the issuer is a template
    /// ([`Issuer::tenants`](crate::Issuer::tenants)), and otherwise the first segment of the path of its URL.
    #[must_use]
    pub fn tenant_in_issuer(mut self) -> Self {
        self.tenant_in_issuer = true;
        self
    }

    /// Refuses tokens for which none of these rules holds: they are another kind of token (`token_kind_rejected`). If
    /// called again, one rule of each call must hold.
    #[must_use]
    pub fn requires_one_of(mut self, one_of: impl IntoIterator<Item = ClaimRule>) -> Self {
        self.required_rules.push(one_of.into_iter().collect());
        self
    }

    /// Adds rules by which the subject is the client itself; one that holds is enough. If the subject and the client
    /// have the same name, it is the client even without a rule.
    ///
    /// Such a client acts for no one else, and is never an actor. So use rules about what the issuer alone decides,
    /// [`ClaimRule::names_client`] for example, and not about a name that a user may choose. If in doubt, use
    /// [`subject_is_not_a_person_if`](Self::subject_is_not_a_person_if).
    #[must_use]
    pub fn subject_is_client_if(mut self, rules: impl IntoIterator<Item = ClaimRule>) -> Self {
        self.client_subject_rules.extend(rules);
        self
    }

    /// Adds rules by which the subject is not a person, although it is not the client either; one that holds is enough.
    ///
    /// If tokens of the issuer do not show the difference, use `ClaimRule::present("sub")`: then no subject counts as a
    /// person.
    #[must_use]
    pub fn subject_is_not_a_person_if(
        mut self,
        rules: impl IntoIterator<Item = ClaimRule>,
    ) -> Self {
        self.non_person_rules.extend(rules);
        self
    }

    /// Adds rules by which the client is an agent; one that holds is enough. If `act` names no actor, the client is the
    /// actor ([`ActorSource::Profile`](crate::token::ActorSource::Profile)).
    #[must_use]
    pub fn client_is_agent_if(mut self, rules: impl IntoIterator<Item = ClaimRule>) -> Self {
        self.agent_rules.extend(rules);
        self
    }

    /// Reads `act` as the name of a person who took the subject's place, for example an administrator, and not of an
    /// agent ([`ActorSource::Impersonator`](crate::token::ActorSource::Impersonator)).
    #[must_use]
    pub fn act_names_impersonators(mut self) -> Self {
        self.act_names_impersonators = true;
        self
    }

    /// Accepts tokens without `aud` if their client is one of these. **This is less than an audience**: it says who may
    /// hold the token, and not where it may be used.
    ///
    /// A token that such a client got for another API of the issuer is accepted here too, and one that it got for this
    /// API may be accepted there. If the issuer can be made to name the resource, do that instead. A
    /// token that has an audience must still name this resource.
    #[must_use]
    pub fn client_list_instead_of_audience(
        mut self,
        clients: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.client_list_instead_of_audience = Some(clients.into_iter().map(Into::into).collect());
        self
    }
}

impl Default for Profile {
    /// Creates [`Profile::rfc9068`].
    fn default() -> Self {
        Profile::rfc9068()
    }
}
