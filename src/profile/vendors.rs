//! The profiles of vendors. Each says where it deviates from RFC 9068 and what is checked instead.

use super::claim_rule::ClaimRule;
use super::definition::{Profile, ScopeShape};
use super::header_type::HeaderType;

impl Profile {
    /// Creates the profile of Microsoft Entra ID for tokens of version 2.0. The issuer is
    /// `https://login.microsoftonline.com/{tenant}/v2.0`.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | `typ` `at+jwt` | `JWT`; `ver` must be `2.0`, and tokens that look like another kind are refused |
    /// | `sub` | `oid`, since `sub` differs from one resource to the next |
    /// | `client_id` | `azp` |
    /// | `jti` | `uti`, which may be missing |
    /// | `scope` | `scp`. Application permissions, `roles`, are not scopes: ask for them with [`Require::claim_contains`](crate::Require::claim_contains) |
    /// | tenant | `tid`, which must be the tenant of the issuer |
    /// | a token without a user | `idtyp` is `app`, or `oid` is `sub`, or the subject's facets (`xms_sub_fct`) list an agent (11) |
    /// | a subject that is not a person | `xms_sub_fct` lists an agent's user (13), `xms_idrel` lists a service principal (7), or `idtyp` is `device` |
    /// | an agent | the client, if the actor's facets (`xms_act_fct`) list an agent (11) or `xms_par_app_azp` names a blueprint |
    ///
    /// `idtyp` and the facets are optional claims. Request `idtyp` in the application's manifest.
    #[must_use]
    pub fn entra_v2() -> Self {
        entra("azp", "2.0")
    }

    /// Creates the profile of Microsoft Entra ID for tokens of version 1.0. The issuer is
    /// `https://sts.windows.net/{tenant}/`.
    ///
    /// It deviates from RFC 9068 as [`entra_v2`](Self::entra_v2) does, except that the client is in `appid` and `ver`
    /// must be `1.0`.
    #[must_use]
    pub fn entra_v1() -> Self {
        entra("appid", "1.0")
    }

    /// Creates the profile of Auth0 with its default token profile. The issuer is `https://{domain}/`, with the slash.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | `typ` `at+jwt` | `JWT`; tokens that look like another kind are refused |
    /// | `client_id` | `azp` |
    /// | `jti` | may be missing |
    /// | tenant | `org_id`, if there is one |
    /// | a token without a user | `sub` is the client followed by `@clients` |
    /// | a subject that is not a person | `sub` ends in `@clients`, `gty` is `client-credentials`, or `sub_profile` lists `ai_agent` |
    ///
    /// `permissions` are not scopes. If you can, set the API to RFC 9068 tokens and use
    /// [`auth0_rfc9068`](Self::auth0_rfc9068).
    #[must_use]
    pub fn auth0() -> Self {
        Profile::auth0_rfc9068()
            .types([HeaderType::Jwt])
            .client_claims(["azp"])
            .token_id_optional()
            .subject_is_not_a_person_if([ClaimRule::is("gty", "client-credentials")])
    }

    /// Creates the profile of Auth0 with its RFC 9068 token profile. The issuer is `https://{domain}/`, with the slash.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | tenant | `org_id`, if there is one |
    /// | a token without a user | `sub` is the client followed by `@clients` |
    /// | a subject that is not a person | `sub` ends in `@clients`, or `sub_profile` lists `ai_agent` |
    ///
    /// An agent that is the subject itself has `ai_agent` in `sub_profile` only if the API requests that claim: have
    /// the API request it.
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

    /// Creates the profile of Okta for custom authorization servers. The issuer is `https://{domain}/oauth2/{id}`.
    ///
    /// Tokens of the organization's own server are not meant to be validated by anyone but Okta.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | `typ` `at+jwt` | none; tokens that look like another kind are refused, and ID tokens have no `cid` |
    /// | `client_id` | `cid` |
    /// | `scope` | `scp`, an array |
    #[must_use]
    pub fn okta() -> Self {
        Profile::rfc9068()
            .types([HeaderType::Absent])
            .client_claims(["cid"])
            .scope_claims([("scp", ScopeShape::Array)])
    }

    /// Creates the profile of Keycloak. The issuer is `https://{host}/realms/{realm}`.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | `typ` `at+jwt` | `JWT` or `at+jwt`; the claim `typ` must be `Bearer` or `DPoP` |
    /// | `client_id` | `azp` |
    /// | a subject that is not a person | `preferred_username` starts with `service-account-`, or there is a `client_id` or `clientId` |
    ///
    /// A user may have the name that a service account has. So a service account counts as a party other than its
    /// client, and if that client is one of your agents, it is the actor.
    ///
    /// Keycloak does not write this API's audience by itself: add an audience mapper to the client's scopes.
    /// Lightweight tokens name no subject and are refused. So are tokens with a `nonce`, which versions before 25
    /// write. Roles are not scopes.
    #[must_use]
    pub fn keycloak() -> Self {
        Profile::rfc9068()
            .types([HeaderType::Jwt, HeaderType::AccessToken])
            .client_claims(["azp"])
            .requires_one_of([ClaimRule::is("typ", "Bearer"), ClaimRule::is("typ", "DPoP")])
            .subject_is_not_a_person_if([
                ClaimRule::starts_with("preferred_username", "service-account-"),
                ClaimRule::present("client_id"),
                ClaimRule::present("clientId"),
            ])
    }

    /// Creates the profile of Cloudflare Access for application tokens. The issuer is
    /// `https://{team}.cloudflareaccess.com`, and its keys are at the path `/cdn-cgi/access/certs` there.
    ///
    /// The token is in the field `Cf-Access-Jwt-Assertion`; see
    /// [`Guard::credential_field`](crate::Guard::credential_field), also for what the service then has to do against CSRF.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | `typ` `at+jwt` | `JWT`; `type` must be `app`, and tokens that look like another kind are refused |
    /// | `aud` | the tag of the application (AUD) |
    /// | `client_id` | `common_name`, the client id of a service token; missing in a user's token |
    /// | `jti` | may be missing |
    /// | `scope` | missing |
    /// | a token without a user | `sub` is empty or missing; then the client is the subject |
    ///
    /// A token lives as long as the session of the application is set to, which may be a month. Tokens that live longer
    /// than a day are refused unless [`TokenLimits::max_lifetime`](crate::token::TokenLimits::max_lifetime) is raised.
    #[must_use]
    pub fn cloudflare_access() -> Self {
        Profile::rfc9068()
            .types([HeaderType::Jwt])
            .requires_one_of([ClaimRule::is("type", "app")])
            .client_claims(["common_name"])
            .client_optional()
            .token_id_optional()
            .subject_or_client()
            .empty_subject_is_none()
    }

    /// Creates the profile of Google's Identity-Aware Proxy. The issuer is `https://cloud.google.com/iap`, and its keys
    /// are at `https://www.gstatic.com/iap/verify/public_key-jwk`.
    ///
    /// The token is in the field `X-Goog-IAP-JWT-Assertion`; see
    /// [`Guard::credential_field`](crate::Guard::credential_field), also for what the service then has to do against CSRF.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | `typ` `at+jwt` | `JWT` or none; tokens that look like another kind are refused |
    /// | `aud` | `/projects/{number}/global/backendServices/{id}`, or `/projects/{number}/apps/{id}` for App Engine |
    /// | `client_id` | missing; `azp` repeats the audience |
    /// | `jti` | may be missing |
    /// | `scope` | missing |
    /// | a subject that is not a person | `email` ends in `.gserviceaccount.com` |
    ///
    /// All of Google's customers have this one issuer: only the audience tells a token for you from one for anyone else.
    #[must_use]
    pub fn google_iap() -> Self {
        Profile::rfc9068()
            .types([HeaderType::Jwt, HeaderType::Absent])
            .client_optional()
            .token_id_optional()
            .subject_is_not_a_person_if([ClaimRule::ends_with("email", ".gserviceaccount.com")])
    }

    /// Creates the profile of Amazon Cognito user pools. The issuer is
    /// `https://cognito-idp.{region}.amazonaws.com/{pool}`.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | `typ` `at+jwt` | none; `token_use` must be `access`, and tokens that look like another kind are refused |
    /// | `aud` | only there if the client asked for a resource |
    ///
    /// A token without `aud` is refused, unless you list its client with
    /// [`client_list_instead_of_audience`](Self::client_list_instead_of_audience), which is less than an audience.
    #[must_use]
    pub fn cognito() -> Self {
        Profile::rfc9068()
            .types([HeaderType::Absent])
            .requires_one_of([ClaimRule::is("token_use", "access")])
    }

    /// Creates the profile of WorkOS AuthKit, for tokens that name a resource.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | `typ` `at+jwt` | `JWT` or none; tokens that look like another kind are refused |
    /// | `client_id` | may be missing |
    /// | tenant | `org_id`, if there is one |
    /// | a subject that is not a person | `sub` starts with `client_` |
    /// | `act` | names an administrator who impersonates the user, not an agent |
    ///
    /// Session tokens name no audience and are refused.
    #[must_use]
    pub fn workos() -> Self {
        Profile::rfc9068()
            .types([HeaderType::Jwt, HeaderType::Absent])
            .client_optional()
            .tenant_claim("org_id")
            .subject_is_not_a_person_if([ClaimRule::starts_with("sub", "client_")])
            .act_names_impersonators()
    }

    /// Creates the profile of PingOne. The issuer is `https://auth.pingone.{tld}/{environment}/as`.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | `typ` `at+jwt` | `JWT` or none; tokens that look like another kind are refused |
    /// | `sub` | missing in a token without a user; then the client is the subject |
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

    /// Creates the profile of WSO2 Identity Server and Asgardeo. The issuer is the URL of the token endpoint.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | tenant | `org_id`, if there is one |
    /// | a token without a user | `aut` is `APPLICATION` |
    /// | a subject that is not a person | `aut` is `AGENT`: the subject is an agent |
    ///
    /// `aut` must be `APPLICATION_USER`, `APPLICATION` or `AGENT`.
    #[must_use]
    pub fn wso2() -> Self {
        Profile::rfc9068()
            .tenant_claim("org_id")
            .requires_one_of([
                ClaimRule::is("aut", "APPLICATION_USER"),
                ClaimRule::is("aut", "APPLICATION"),
                ClaimRule::is("aut", "AGENT"),
            ])
            .subject_is_not_a_person_if([ClaimRule::is("aut", "AGENT")])
            .subject_is_client_if([ClaimRule::is("aut", "APPLICATION")])
    }

    /// Creates the profile of Ory Hydra with JWTs as access tokens.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | `typ` `at+jwt` | `JWT`; tokens that look like another kind are refused, and ID tokens have no `client_id` |
    /// | `scope` | `scp`, an array |
    ///
    /// `aud` is empty unless the client asks for an audience, and a token with an empty `aud` is refused.
    #[must_use]
    pub fn ory_hydra() -> Self {
        Profile::rfc9068().types([HeaderType::Jwt]).scope_claims([("scp", ScopeShape::Array)])
    }

    /// Creates the profile of Duende IdentityServer.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | `sub` | missing in a token without a user; then the client is the subject |
    /// | `scope` | an array, or a string if there is only one scope |
    #[must_use]
    pub fn duende() -> Self {
        Profile::rfc9068().scope_claims([("scope", ScopeShape::Either)]).subject_or_client()
    }

    /// Creates the profile of Zitadel with JWTs as access tokens.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | `typ` `at+jwt` | `JWT`; tokens that look like another kind are refused, and ID tokens have an `at_hash` or no `jti` |
    /// | `scope` | missing; roles are in claims of their own, and are not scopes |
    /// | tenant | `urn:zitadel:iam:user:resourceowner:id` |
    /// | a token without a user | looks like any other, so no subject counts as a person |
    #[must_use]
    pub fn zitadel() -> Self {
        Profile::rfc9068()
            .types([HeaderType::Jwt])
            .tenant_claim("urn:zitadel:iam:user:resourceowner:id")
            .subject_is_not_a_person_if([ClaimRule::present("sub")])
    }

    /// Creates the profile of Logto. The issuer is `https://{tenant}.logto.app/oidc`.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | tenant | `organization_id`, if there is one |
    #[must_use]
    pub fn logto() -> Self {
        Profile::rfc9068().tenant_claim("organization_id")
    }

    /// Creates the profile of Clerk for session tokens.
    ///
    /// | RFC 9068 | here |
    /// |---|---|
    /// | `typ` `at+jwt` | `JWT`; tokens that look like another kind are refused |
    /// | `aud` | only there if a JWT template adds it |
    /// | `client_id` | `azp`, which is the **origin** of the web application |
    /// | `jti` | may be missing |
    /// | `act` | names an administrator who impersonates the user, not an agent |
    ///
    /// Add the audience with a JWT template. Otherwise, list the origins with
    /// [`client_list_instead_of_audience`](Self::client_list_instead_of_audience), which is less than an audience.
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
    // The numbers of facets.
    const AGENT: &str = "11";
    const AGENTS_USER: &str = "13";
    const SERVICE_PRINCIPAL: &str = "7";
    Profile::rfc9068()
        .types([HeaderType::Jwt])
        .requires_one_of([ClaimRule::is("ver", version)])
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
