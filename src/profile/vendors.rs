//! The vendors' shapes. Each says where it deviates from RFC 9068 and what is checked in its place.

use super::{ClaimRule, HeaderType, Profile, ScopeShape};

impl Profile {
    /// Microsoft Entra ID, tokens of version 2.0: issuer `https://login.microsoftonline.com/{tenant}/v2.0`.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | `typ` `at+jwt` | `JWT`; in its place `ver` must be `2.0`, and no token of another kind passes |
    /// | `sub` | `oid`: `sub` differs from one resource to the next |
    /// | `client_id` | `azp` |
    /// | `jti` | `uti`, which may be missing |
    /// | `scope` | `scp`. Application permissions, `roles`, are no scopes: ask for them in a policy |
    /// | tenant | `tid`, which must be the tenant of the issuer |
    /// | a token without a user | `idtyp` is `app`, or `oid` is `sub`, or the subject's facets (`xms_sub_fct`) name an agent (11) |
    /// | no person | the subject's facets name an agent's user (13), `xms_idrel` a service principal (7), or `idtyp` is `device` |
    /// | an agent | the client, where the actor's facets (`xms_act_fct`) name an agent (11) or a blueprint is named (`xms_par_app_azp`) |
    ///
    /// `idtyp` and the facets are optional claims: have the application's manifest ask for `idtyp`.
    #[must_use]
    pub fn entra_v2() -> Self {
        entra("azp", "2.0")
    }

    /// Microsoft Entra ID, tokens of version 1.0: issuer `https://sts.windows.net/{tenant}/`. As
    /// [`entra_v2`](Self::entra_v2), but the client is in `appid` and `ver` must be `1.0`.
    #[must_use]
    pub fn entra_v1() -> Self {
        entra("appid", "1.0")
    }

    /// Auth0 with its default token profile: issuer `https://{domain}/`, with the slash.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | `typ` `at+jwt` | `JWT`; no token of another kind passes |
    /// | `client_id` | `azp` |
    /// | `jti` | may be missing |
    /// | tenant | `org_id`, where there is one |
    /// | a token without a user | `sub` is the client with `@clients` |
    /// | no person | `sub` ends in `@clients`, `gty` is `client-credentials`, or `sub_profile` is `ai_agent` |
    ///
    /// `permissions` are no scopes. Where Auth0 can write RFC 9068 tokens, have it do that:
    /// [`auth0_rfc9068`](Self::auth0_rfc9068).
    #[must_use]
    pub fn auth0() -> Self {
        Profile::auth0_rfc9068()
            .types([HeaderType::Jwt])
            .client_claims(["azp"])
            .token_id_optional()
            .subject_is_not_a_person_if([ClaimRule::is("gty", "client-credentials")])
    }

    /// Auth0 with its RFC 9068 token profile: RFC 9068, with a tenant in `org_id`; in a token without a user,
    /// `sub` is the client with `@clients`. An agent that is the subject itself has `ai_agent` in `sub_profile`, where
    /// the API asks for that: have it ask.
    #[must_use]
    pub fn auth0_rfc9068() -> Self {
        Profile::rfc9068()
            .tenant_claim("org_id")
            .subject_is_client_if([ClaimRule::names_client("sub", "", "@clients")])
            .subject_is_not_a_person_if([
                ClaimRule::ends_with("sub", "@clients"),
                ClaimRule::lists("sub_profile", "ai_agent"),
            ])
    }

    /// Okta, custom authorization servers: issuer `https://{domain}/oauth2/{id}`. Tokens of the organization's
    /// own server are not meant to be validated by anybody else.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | `typ` `at+jwt` | none; no token of another kind passes, and ID tokens have no `cid` |
    /// | `client_id` | `cid` |
    /// | `scope` | `scp`, an array |
    #[must_use]
    pub fn okta() -> Self {
        Profile::rfc9068()
            .types([HeaderType::Absent])
            .client_claims(["cid"])
            .scope_claims([("scp", ScopeShape::Array)])
    }

    /// Keycloak: issuer `https://{host}/realms/{realm}`.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | `typ` `at+jwt` | `JWT` or `at+jwt`; the claim `typ` must be `Bearer` or `DPoP` |
    /// | `client_id` | `azp` |
    /// | no person | `preferred_username` starts with `service-account-`, or there is a `client_id` or `clientId` |
    ///
    /// What a service account is called a user may be called too, so a service account counts as somebody other
    /// than its client: where that is named as an agent, it is the actor.
    ///
    /// The audience is not there by itself: add an audience mapper to the client's scopes. Lightweight tokens
    /// name no subject, and are refused; so are tokens with a `nonce`, which versions before 25 write. Roles
    /// are no scopes.
    #[must_use]
    pub fn keycloak() -> Self {
        Profile::rfc9068()
            .types([HeaderType::Jwt, HeaderType::AccessToken])
            .client_claims(["azp"])
            .requires([ClaimRule::is("typ", "Bearer"), ClaimRule::is("typ", "DPoP")])
            .subject_is_not_a_person_if([
                ClaimRule::starts_with("preferred_username", "service-account-"),
                ClaimRule::present("client_id"),
                ClaimRule::present("clientId"),
            ])
    }

    /// Amazon Cognito user pools: issuer `https://cognito-idp.{region}.amazonaws.com/{pool}`.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | `typ` `at+jwt` | none; `token_use` must be `access` |
    /// | `aud` | is there only where the client asked for a resource |
    ///
    /// A token without `aud` is refused, unless you say
    /// [`client_list_instead_of_audience`](Self::client_list_instead_of_audience), which is less.
    #[must_use]
    pub fn cognito() -> Self {
        Profile::rfc9068()
            .types([HeaderType::Absent])
            .requires([ClaimRule::is("token_use", "access")])
    }

    /// WorkOS AuthKit, tokens that name a resource.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | `typ` `at+jwt` | `JWT` or none; no token of another kind passes |
    /// | `client_id` | may be missing |
    /// | tenant | `org_id`, where there is one |
    /// | no person | `sub` starts with `client_` |
    /// | `act` | names an administrator who impersonates the user, and no agent |
    ///
    /// Session tokens name no audience, and are refused.
    #[must_use]
    pub fn workos() -> Self {
        Profile::rfc9068()
            .types([HeaderType::Jwt, HeaderType::Absent])
            .client_optional()
            .tenant_claim("org_id")
            .subject_is_not_a_person_if([ClaimRule::starts_with("sub", "client_")])
            .act_names_impersonators()
    }

    /// PingOne: issuer `https://auth.pingone.{tld}/{environment}/as`.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | `typ` `at+jwt` | `JWT` or none; no token of another kind passes |
    /// | `sub` | is missing from a token without a user: then the client is the subject |
    /// | `jti` | may be missing |
    /// | tenant | `env`, the environment |
    #[must_use]
    pub fn pingone() -> Self {
        Profile::rfc9068()
            .types([HeaderType::Jwt, HeaderType::Absent])
            .subject_or_client()
            .token_id_optional()
            .tenant_claim("env")
    }

    /// WSO2 Identity Server and Asgardeo: the issuer is the URL of the token endpoint. RFC 9068, with a tenant
    /// in `org_id`; `aut` must be `APPLICATION_USER`, or `APPLICATION` in a token without a user, or `AGENT` where the
    /// subject is an agent, and no person.
    #[must_use]
    pub fn wso2() -> Self {
        Profile::rfc9068()
            .tenant_claim("org_id")
            .requires([
                ClaimRule::is("aut", "APPLICATION_USER"),
                ClaimRule::is("aut", "APPLICATION"),
                ClaimRule::is("aut", "AGENT"),
            ])
            .subject_is_not_a_person_if([ClaimRule::is("aut", "AGENT")])
            .subject_is_client_if([ClaimRule::is("aut", "APPLICATION")])
    }

    /// Ory Hydra, with JWTs for access tokens.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | `typ` `at+jwt` | `JWT`; no token of another kind passes, and ID tokens have no `client_id` |
    /// | `scope` | `scp`, an array |
    ///
    /// `aud` is empty unless the client asks for an audience, and a token with an empty one is refused.
    #[must_use]
    pub fn ory_hydra() -> Self {
        Profile::rfc9068().types([HeaderType::Jwt]).scope_claims([("scp", ScopeShape::Array)])
    }

    /// Duende IdentityServer. RFC 9068, but `scope` is an array, or a string where there is one; and a token
    /// without a user has no `sub`: then the client is the subject.
    #[must_use]
    pub fn duende() -> Self {
        Profile::rfc9068().scope_claims([("scope", ScopeShape::Either)]).subject_or_client()
    }

    /// Zitadel, with JWTs for access tokens.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | `typ` `at+jwt` | `JWT`; no token of another kind passes, and ID tokens have an `at_hash` or no `jti` |
    /// | `scope` | is missing: roles are in claims of their own, and are no scopes |
    /// | tenant | `urn:zitadel:iam:user:resourceowner:id` |
    /// | a token without a user | cannot be told from others: nobody is taken for a person |
    #[must_use]
    pub fn zitadel() -> Self {
        Profile::rfc9068()
            .types([HeaderType::Jwt])
            .tenant_claim("urn:zitadel:iam:user:resourceowner:id")
            .subject_is_not_a_person_if([ClaimRule::present("sub")])
    }

    /// Logto: issuer `https://{tenant}.logto.app/oidc`. RFC 9068, with a tenant in `organization_id`.
    #[must_use]
    pub fn logto() -> Self {
        Profile::rfc9068().tenant_claim("organization_id")
    }

    /// Clerk, session tokens.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | `typ` `at+jwt` | `JWT`; no token of another kind passes |
    /// | `aud` | is there only where a JWT template adds it |
    /// | `client_id` | `azp`, which is the **origin** of the web application |
    /// | `jti` | may be missing |
    /// | `act` | names an administrator who impersonates the user, and no agent |
    ///
    /// Have a JWT template add the audience. Else say
    /// [`client_list_instead_of_audience`](Self::client_list_instead_of_audience) with the origins, which is less.
    #[must_use]
    pub fn clerk() -> Self {
        Profile::rfc9068()
            .types([HeaderType::Jwt])
            .client_claims(["azp"])
            .token_id_optional()
            .act_names_impersonators()
    }
}

fn entra(client: &'static str, version: &'static str) -> Profile {
    // Numbers of facets: an agent, and the user account of an agent.
    const AGENT: &str = "11";
    const AGENTS_USER: &str = "13";
    const SERVICE_PRINCIPAL: &str = "7";
    Profile::rfc9068()
        .types([HeaderType::Jwt])
        .requires([ClaimRule::is("ver", version)])
        .subject_claim("oid")
        .client_claims([client])
        .token_id_claim("uti")
        .token_id_optional()
        .scope_claims([("scp", ScopeShape::Text)])
        .tenant_claim("tid")
        .tenant_in_issuer()
        .subject_is_client_if([
            ClaimRule::is("idtyp", "app"),
            ClaimRule::same("oid", "sub"),
            ClaimRule::lists("xms_sub_fct", AGENT),
        ])
        .subject_is_not_a_person_if([
            ClaimRule::lists("xms_sub_fct", AGENTS_USER),
            ClaimRule::lists("xms_idrel", SERVICE_PRINCIPAL),
            ClaimRule::is("idtyp", "device"),
        ])
        .client_is_agent_if([
            ClaimRule::lists("xms_act_fct", AGENT),
            ClaimRule::present("xms_par_app_azp"),
        ])
}
