//! Why a request is refused: one table of the reasons and of the answer to each.

use http::StatusCode;

/// What a client can do about a denial.
///
/// Each variant says what the client does next. [`Reason::remedy`] gives the remedy of a reason.
///
/// ```
/// use unconfused::Reason;
/// use unconfused::challenge::Remedy;
///
/// assert_eq!(Reason::TokenExpired.remedy(), Remedy::NewToken);
/// assert_eq!(Reason::ActorUnauthorized.remedy(), Remedy::Stop);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Remedy {
    /// Corrects the request and sends it again. Sending it unchanged cannot work.
    FixRequest,
    /// Discovers the authorization server, gets an access token, and sends the request with it.
    Authenticate,
    /// Gets a new access token for this resource and tries again, once.
    NewToken,
    /// Makes a new DPoP proof with the nonce from the answer and tries again, once.
    RetryWithNonce,
    /// Waits and sends the request again.
    RetryLater,
    /// Has the subject authenticate again as the challenge says, and tries again with the new token.
    StepUp,
    /// Has the subject grant the scopes that the challenge names, and tries again with the new token.
    MoreScope,
    /// Has the subject grant the authorization details that the challenge names, and tries again with the new token.
    MoreDetail,
    /// Hands the signed challenge to the authorization server, unchanged, and tries again with the token that it gets
    /// once a human has approved.
    Transaction,
    /// Waits until a human has approved the request in the system that keeps the task, and sends the request again.
    Approval,
    /// Gives up. Nothing that the client can do helps.
    Stop,
}

macro_rules! http_status {
    (400) => {
        StatusCode::BAD_REQUEST
    };
    (401) => {
        StatusCode::UNAUTHORIZED
    };
    (403) => {
        StatusCode::FORBIDDEN
    };
    (429) => {
        StatusCode::TOO_MANY_REQUESTS
    };
    (431) => {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    };
    (500) => {
        StatusCode::INTERNAL_SERVER_ERROR
    };
    (503) => {
        StatusCode::SERVICE_UNAVAILABLE
    };
}

macro_rules! oauth_error {
    (none) => {
        None
    };
    ($error:literal) => {
        Some($error)
    };
}

/// The OAuth error in the sentence that every variant's documentation ends with.
macro_rules! oauth_error_in_words {
    (none) => {
        "no OAuth error"
    };
    ($error:literal) => {
        concat!("OAuth error `", $error, "`")
    };
}

/// The gRPC status code that stands for an HTTP status.
pub(crate) const fn grpc_code(status: StatusCode) -> i32 {
    match status.as_u16() {
        400 => 3,       // INVALID_ARGUMENT
        401 => 16,      // UNAUTHENTICATED
        403 => 7,       // PERMISSION_DENIED
        429 | 431 => 8, // RESOURCE_EXHAUSTED
        503 => 14,      // UNAVAILABLE
        _ => 13,        // INTERNAL
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:tt, $error:tt, $remedy:ident, $description:literal;)*) => {
        /// Why a request is refused.
        ///
        /// A reason is for the operator: it is in the audit record and in [`Denial::reason`](crate::Denial::reason).
        /// The client gets less: the status, the OAuth error and the constant
        /// [`description`](Self::description) of [`for_client`](Self::for_client), which is the reason itself or a
        /// more general one.
        ///
        /// The variants stand in the order in which the checks run, and the first check that fails gives the reason;
        /// see [`ALL`](Self::ALL). Below each variant are its stable name, its HTTP status, its OAuth error and what
        /// the client can do about it. Names are part of the API: none is ever renamed or reused.
        ///
        /// ```
        /// use unconfused::Reason;
        ///
        /// let reason = Reason::KeyNotFound;
        /// assert_eq!(reason.as_str(), "key_not_found");
        /// assert_eq!(reason.status(), 401);
        /// assert_eq!(reason.oauth_error(), Some("invalid_token"));
        /// // A stranger does not learn which keys exist.
        /// assert_eq!(reason.for_client(), Reason::SignatureInvalid);
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Reason {
            $(
                $(#[$doc])*
                ///
                #[doc = concat!(
                    "Name `", $name, "`, status ", stringify!($status), ", ", oauth_error_in_words!($error),
                    ", remedy [`", stringify!($remedy), "`](Remedy::", stringify!($remedy), ").",
                )]
                $variant,
            )*
        }

        impl Reason {
            /// Every reason, in the order in which the checks run.
            ///
            /// If a request could be refused for several reasons, the one that comes first here is reported. What is
            /// asked for comes first, then the checks of the request, those of the token itself, of possession, of what the
            /// operation requires, and of the owner's policy. What neither another login nor more scope can change is
            /// refused before anything that they can change. A token is spent last, after everything else has passed.
            /// [`InternalError`](Self::InternalError) is not a check; it closes the list.
            ///
            /// More than one check can give [`SenderConstraintRequired`](Self::SenderConstraintRequired),
            /// [`ReplayStoreUnavailable`](Self::ReplayStoreUnavailable), [`RateLimited`](Self::RateLimited) and
            /// [`PolicyDenied`](Self::PolicyDenied); each stands at one of its checks. `Ord` compares reasons by
            /// their place in this list.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)*];

            /// Returns the stable name in snake case, such as `token_expired`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Reason::$variant => $name,)* }
            }

            /// Returns the HTTP status of the answer.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Reason::$variant => http_status!($status),)* }
            }

            /// Returns the `error` of the challenge, an OAuth error code, or `None` if the answer has none.
            ///
            /// The codes are those of
            /// [RFC 6750 section 3.1](https://www.rfc-editor.org/rfc/rfc6750#section-3.1) (`invalid_request`,
            /// `invalid_token`, `insufficient_scope`),
            /// [RFC 9449 sections 7.1](https://www.rfc-editor.org/rfc/rfc9449#section-7.1) and
            /// [9](https://www.rfc-editor.org/rfc/rfc9449#section-9) (`invalid_dpop_proof`, `use_dpop_nonce`),
            /// [RFC 9470 section 3](https://www.rfc-editor.org/rfc/rfc9470#section-3)
            /// (`insufficient_user_authentication`), draft-ietf-oauth-rar-metadata-remediation
            /// (`insufficient_authorization`), draft-rosomakho-oauth-txn-challenge
            /// (`transaction_authorization_required`) and the OAuth Actor Profile for Delegation,
            /// draft-mcguinness-oauth-actor-profile (`actor_unauthorized`).
            #[must_use]
            pub const fn oauth_error(self) -> Option<&'static str> {
                match self { $(Reason::$variant => oauth_error!($error),)* }
            }

            /// Returns the gRPC status code of the answer, which follows from the HTTP status.
            #[must_use]
            pub const fn grpc_code(self) -> i32 {
                grpc_code(self.status())
            }

            /// Returns what the client can do about the denial.
            #[must_use]
            pub const fn remedy(self) -> Remedy {
                match self { $(Reason::$variant => Remedy::$remedy,)* }
            }

            /// Returns the `error_description` of the challenge: a constant, never built from input.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self { $(Reason::$variant => $description,)* }
            }
        }
    };
}

reasons! {
    // The operation.
    /// No rule, or none of several guards, is for what the request asks for. If only the body says it, as at an MCP
    /// server, this is checked after what every request must meet.
    OperationUnknown = "operation_unknown", 403, none, Stop, "The operation is not known";
    // The transport and the credential.
    /// The request did not arrive over TLS.
    InsecureTransport = "insecure_transport", 400, "invalid_request", FixRequest, "The request must use TLS";
    /// The credential exceeds its size limit, or the payload of its token exceeds 32 KiB.
    CredentialTooLarge = "credential_too_large", 431, none, FixRequest, "The credential is too large";
    /// The request has more than one `Authorization` field, or other field that the guard reads.
    MultipleCredentials = "multiple_credentials", 400, "invalid_request", FixRequest, "More than one credential was sent";
    /// The request has no `Authorization` field, or other field that the guard reads.
    MissingCredentials = "missing_credentials", 401, none, Authenticate, "An access token is required";
    /// The authorization scheme is not one that this guard accepts.
    UnsupportedAuthScheme = "unsupported_auth_scheme", 401, none, Authenticate, "The authorization scheme is not supported";
    /// The `Authorization` field is not one scheme, spaces, and one token; or another field that the guard reads is not
    /// one token.
    MalformedAuthorization = "malformed_authorization", 400, "invalid_request", FixRequest, "The credential is malformed";
    // The shape of the token.
    /// The token is encrypted, opaque, JSON-serialized or selectively disclosed.
    TokenFormatNotAccepted = "token_format_not_accepted", 401, "invalid_token", NewToken, "The access token has a format that is not accepted";
    /// The token is not three parts of canonical base64url.
    TokenMalformed = "token_malformed", 401, "invalid_token", NewToken, "The access token is malformed";
    /// The JOSE header is not a JSON object, repeats a member, has a member of the wrong type, carries a key
    /// (`jwk`), or exceeds 4 KiB, or its `kid` exceeds 256 bytes.
    JoseHeaderInvalid = "jose_header_invalid", 401, "invalid_token", NewToken, "The access token is malformed";
    /// The JOSE header has `crit` or `b64`, and no critical extension is implemented.
    CriticalHeaderUnsupported = "critical_header_unsupported", 401, "invalid_token", NewToken, "The access token requires an extension that is not supported";
    /// The `typ` is not one that the issuer's profile accepts, which is `at+jwt` unless the profile says otherwise.
    TokenTypeMismatch = "token_type_mismatch", 401, "invalid_token", NewToken, "The token is not an access token";
    /// The `alg` is not on the list of allowed algorithms.
    AlgorithmNotAllowed = "algorithm_not_allowed", 401, "invalid_token", Stop, "The access token is signed with an algorithm that is not accepted";
    // The issuer, its keys and the signature.
    /// The token has no readable `iss`, or its payload is not a JSON object.
    IssuerMissing = "issuer_missing", 401, "invalid_token", NewToken, "The access token does not name its issuer";
    /// The `iss` is not one of the trusted issuers.
    IssuerUntrusted = "issuer_untrusted", 401, "invalid_token", NewToken, "The issuer of the access token is not trusted";
    /// The issuer's keys are not available at the moment.
    KeysUnavailable = "keys_unavailable", 503, none, RetryLater, "Access tokens cannot be verified at the moment";
    /// The issuer has no key with the `kid` of the token, or the token has no `kid` and no key fits, or
    /// more than 3 do.
    KeyNotFound = "key_not_found", 401, "invalid_token", NewToken, "The access token names an unknown key";
    /// The key that the token names must not be used for this signature.
    KeyUnusable = "key_unusable", 401, "invalid_token", NewToken, "The access token names a key that cannot be used";
    /// The signature of the token does not verify.
    SignatureInvalid = "signature_invalid", 401, "invalid_token", NewToken, "The signature of the access token is invalid";
    // The claims.
    /// The payload repeats a member, is nested too deeply, or has too many scopes.
    ClaimsMalformed = "claims_malformed", 401, "invalid_token", NewToken, "The claims of the access token are malformed";
    /// A known claim has the wrong JSON type. Not `acr`, `amr` and `auth_time`: they are unreadable then, which only a
    /// requirement of step-up does not accept.
    ClaimTypeInvalid = "claim_type_invalid", 401, "invalid_token", NewToken, "A claim of the access token has the wrong type";
    /// The `authorization_details` are not an array of objects that each have a `type`.
    AuthorizationDetailsInvalid = "authorization_details_invalid", 401, "invalid_token", NewToken, "The authorization details of the access token are malformed";
    /// The token looks like a kind of token other than an access token, or lacks a sign of one that the issuer's
    /// profile requires.
    TokenKindRejected = "token_kind_rejected", 401, "invalid_token", NewToken, "The token is not an access token";
    /// One of `iss`, `sub`, `aud`, `exp`, `iat`, `client_id` and `jti`, or the claim that the issuer's profile reads
    /// instead, is absent or empty.
    RequiredClaimMissing = "required_claim_missing", 401, "invalid_token", NewToken, "The access token lacks a required claim";
    /// The `exp` of the token has passed.
    TokenExpired = "token_expired", 401, "invalid_token", NewToken, "The access token expired";
    /// The `nbf` of the token has not been reached.
    TokenNotYetValid = "token_not_yet_valid", 401, "invalid_token", RetryLater, "The access token is not valid yet";
    /// The `iat` of the token lies in the future.
    IssuedInFuture = "issued_in_future", 401, "invalid_token", NewToken, "The access token was issued in the future";
    /// The token lives longer, or is older, than this guard accepts.
    TokenLifetimeExceeded = "token_lifetime_exceeded", 401, "invalid_token", NewToken, "The access token is too old or its lifetime is too long";
    /// The token is meant for another resource.
    AudienceMismatch = "audience_mismatch", 401, "invalid_token", NewToken, "The access token is meant for another resource";
    /// The `act` claim is not an object, or one of its actors has no `sub` or an invalid `iss`.
    ActorMalformed = "actor_malformed", 401, "invalid_token", Stop, "The actor of the access token is malformed";
    /// The token names more actors than this guard accepts.
    ActorChainTooDeep = "actor_chain_too_deep", 401, "invalid_token", Stop, "The access token has too many actors";
    // Possession.
    /// The token is bound (`cnf`) in a way that this guard does not understand or does not accept.
    ConfirmationUnsupported = "confirmation_unsupported", 401, "invalid_token", NewToken, "The access token is bound to a key in a way that is not supported";
    /// The token must be bound to its sender, and is not.
    SenderConstraintRequired = "sender_constraint_required", 401, "invalid_token", NewToken, "The access token must be bound to a key";
    /// The token is bound to a proof key, but was sent without a proof, under `Bearer`.
    BoundTokenAsBearer = "bound_token_as_bearer", 401, "invalid_token", FixRequest, "The access token is bound to a key and must be sent with the DPoP scheme";
    /// The scheme is `DPoP`, but the token is not bound to a proof key.
    DpopTokenUnbound = "dpop_token_unbound", 401, "invalid_token", NewToken, "The access token is not bound to a DPoP key";
    /// The request has no `DPoP` field.
    DpopProofMissing = "dpop_proof_missing", 401, "invalid_dpop_proof", FixRequest, "A DPoP proof is required";
    /// The request has more than one `DPoP` field, or a list in it.
    DpopProofMultiple = "dpop_proof_multiple", 401, "invalid_dpop_proof", FixRequest, "More than one DPoP proof was sent";
    /// The proof is not a JWT of the type `dpop+jwt` that carries its own key, or one of its claims is missing or has
    /// the wrong type.
    DpopProofMalformed = "dpop_proof_malformed", 401, "invalid_dpop_proof", FixRequest, "The DPoP proof is malformed";
    /// The proof is signed with an algorithm that is not accepted.
    DpopAlgorithmNotAllowed = "dpop_algorithm_not_allowed", 401, "invalid_dpop_proof", FixRequest, "The DPoP proof is signed with an algorithm that is not accepted";
    /// The key of the proof is missing, private or weak, or does not fit the algorithm.
    DpopKeyInvalid = "dpop_key_invalid", 401, "invalid_dpop_proof", FixRequest, "The key of the DPoP proof is not accepted";
    /// The proof was made for another HTTP method.
    DpopMethodMismatch = "dpop_method_mismatch", 401, "invalid_dpop_proof", FixRequest, "The DPoP proof was made for another method";
    /// The proof was made for another URL.
    DpopUriMismatch = "dpop_uri_mismatch", 401, "invalid_dpop_proof", FixRequest, "The DPoP proof was made for another URL";
    /// The proof is too old, or from the future.
    DpopProofStale = "dpop_proof_stale", 401, "invalid_dpop_proof", FixRequest, "The DPoP proof is not recent";
    /// The signature of the proof does not verify.
    DpopSignatureInvalid = "dpop_signature_invalid", 401, "invalid_dpop_proof", FixRequest, "The signature of the DPoP proof is invalid";
    /// The proof was made for another token, or for none.
    DpopTokenHashMismatch = "dpop_token_hash_mismatch", 401, "invalid_dpop_proof", FixRequest, "The DPoP proof was made for another access token";
    /// The token is bound to a key other than that of the proof.
    DpopKeyMismatch = "dpop_key_mismatch", 401, "invalid_token", NewToken, "Invalid DPoP key binding";
    /// The proof must have a nonce, and has none.
    DpopNonceRequired = "dpop_nonce_required", 401, "use_dpop_nonce", RetryWithNonce, "Resource server requires nonce in DPoP proof";
    /// The nonce of the proof was not issued by this service, or is too old.
    DpopNonceInvalid = "dpop_nonce_invalid", 401, "use_dpop_nonce", RetryWithNonce, "Resource server requires a fresh nonce in DPoP proof";
    /// The token is bound to a client certificate, and the connection has none.
    ClientCertificateMissing = "client_certificate_missing", 401, "invalid_token", NewToken, "The access token is bound to a client certificate, but none was presented";
    /// The token is bound to a client certificate other than that of the connection.
    ClientCertificateMismatch = "client_certificate_mismatch", 401, "invalid_token", NewToken, "The access token is bound to another client certificate";
    /// The token belongs to a tenant other than that of its issuer, or to none.
    TenantMismatch = "tenant_mismatch", 403, none, Stop, "The tenant does not belong to the issuer";
    // Checked when everything else about the token has passed.
    /// The proof was used before.
    DpopProofReplayed = "dpop_proof_replayed", 401, "invalid_dpop_proof", FixRequest, "The DPoP proof has already been used";
    /// The store that remembers proofs and spent tokens cannot answer, or is full.
    ReplayStoreUnavailable = "replay_store_unavailable", 503, none, RetryLater, "The request cannot be checked at the moment";
    // The client, the subject and the actor.
    /// The client, by issuer and name, or the issuer of the token is not on the operation's list.
    ClientNotAllowed = "client_not_allowed", 403, none, Stop, "The client is not allowed to call this operation";
    /// The operation requires a person, or a person's login, but the subject is the client itself.
    SubjectAmbiguous = "subject_ambiguous", 403, none, Stop, "The operation requires a user";
    /// The operation requires an actor, and the token names none.
    ActorRequired = "actor_required", 401, "invalid_token", NewToken, "The access token must name an actor";
    /// The actor belongs to a namespace that the issuer is not trusted to speak for.
    ActorUntrusted = "actor_untrusted", 403, "actor_unauthorized", Stop, "The acting party is not permitted";
    /// The actor is not on the operation's list, or the operation allows no actor.
    ActorUnauthorized = "actor_unauthorized", 403, "actor_unauthorized", Stop, "The acting party is not permitted";
    /// A claim of the issuer does not state what the operation asks for, such as a role.
    ClaimNotMet = "claim_not_met", 403, none, Stop, "The request is not permitted";
    /// The token is that of an approved transaction, and the operation does not ask for an approval.
    TransactionTokenMisused = "transaction_token_misused", 401, "invalid_token", Stop, "The access token is for one transaction only";
    // How and when the subject authenticated.
    /// The token does not say how, or when, the subject authenticated.
    AuthenticationContextMissing = "authentication_context_missing", 401, "insufficient_user_authentication", StepUp, "A different authentication level is required";
    /// The subject did not authenticate strongly enough for the operation.
    AuthenticationLevelInsufficient = "authentication_level_insufficient", 401, "insufficient_user_authentication", StepUp, "A different authentication level is required";
    /// The subject authenticated too long ago, or in the future.
    AuthenticationTooOld = "authentication_too_old", 401, "insufficient_user_authentication", StepUp, "More recent authentication is required";
    // Scopes.
    /// The token lacks a scope that the operation requires.
    InsufficientScope = "insufficient_scope", 403, "insufficient_scope", MoreScope, "The request requires higher privileges";
    // Authorization details.
    /// No entry of the token's `authorization_details` covers what the operation asks for.
    AuthorizationDetailsInsufficient = "authorization_details_insufficient", 401, "insufficient_authorization", MoreDetail, "Additional authorization is required";
    // Policy and spending.
    /// The operation that the request asks for cannot be understood: an authorization detail has a malformed value, or
    /// an MCP server is sent something that is not one message.
    PolicyInputInvalid = "policy_input_invalid", 400, none, FixRequest, "The request cannot be understood";
    /// The operation must be approved as one transaction, and the token is not that of a transaction.
    ///
    /// If the client did not say that it understands signed challenges, the status is 403, and there is no challenge.
    TransactionAuthorizationRequired = "transaction_authorization_required", 401, "transaction_authorization_required", Transaction, "The operation must be approved";
    /// The `txn` of the token is not one that was made here for this operation and this requester, or it is over.
    TransactionUnknown = "transaction_unknown", 401, "invalid_token", Stop, "The access token is not for this transaction";
    /// One subject, or one client of it, has used up its share of the store that remembers proofs and spent tokens.
    RateLimited = "rate_limited", 429, none, RetryLater, "Too many requests";
    /// A policy cannot answer, does not answer in time, or panics.
    PolicyUnavailable = "policy_unavailable", 503, none, RetryLater, "The request cannot be decided at the moment";
    /// A policy or the owner's own rule refuses the request, or the requirement is one that no token can meet.
    PolicyDenied = "policy_denied", 403, none, Stop, "The request is not permitted";
    /// A policy permits the request under an obligation that this guard cannot execute.
    ObligationUnsupported = "obligation_unsupported", 403, none, Stop, "The request is not permitted";
    /// A policy permits the request under an obligation, and executing it failed.
    ObligationFailed = "obligation_failed", 403, none, Stop, "The request is not permitted";
    /// A policy permits the request only once a human has approved it in another system, which keeps a task for that.
    ApprovalRequired = "approval_required", 403, none, Approval, "The request needs an approval";
    /// The operation accepts a token only once, and this one was spent, may have been spent, or cannot be spent.
    TokenSpent = "token_spent", 401, "invalid_token", NewToken, "The access token can be used only once and has already been used";
    // The next hop.
    /// The authorization server does not issue the token that this service needs for what it calls next.
    NextHopRefused = "next_hop_refused", 403, none, Stop, "The request is not permitted";
    /// The authorization server cannot be reached, or its answer is not one that this service can use, so there is no
    /// token for what this service calls next.
    NextHopUnavailable = "next_hop_unavailable", 503, none, RetryLater, "The request cannot be completed at the moment";
    /// The service is set up wrongly.
    InternalError = "internal_error", 500, none, RetryLater, "An internal error occurred";
}

impl Reason {
    /// Returns the reason as the client sees it: the reason itself, or a more general one if the reason would tell a
    /// stranger about keys, clients or other domains.
    #[must_use]
    pub const fn for_client(self) -> Reason {
        match self {
            Reason::KeyNotFound | Reason::KeyUnusable => Reason::SignatureInvalid,
            Reason::ClientNotAllowed
            | Reason::TenantMismatch
            | Reason::ClaimNotMet
            | Reason::ObligationUnsupported
            | Reason::ObligationFailed
            | Reason::NextHopRefused => Reason::PolicyDenied,
            Reason::ActorUntrusted => Reason::ActorUnauthorized,
            same => same,
        }
    }

    /// Returns true if the answer carries a challenge: a `WWW-Authenticate` field that the client can act on
    /// ([RFC 9110 section 11.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1)).
    #[must_use]
    pub(crate) fn has_challenge(self) -> bool {
        // A challenge would invite the client to send its token over plain HTTP again.
        self != Reason::InsecureTransport
            && (self.oauth_error().is_some() || self.status() == StatusCode::UNAUTHORIZED)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Reason {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_401_carries_a_challenge() {
        for reason in Reason::ALL {
            assert!(
                reason.status() != StatusCode::UNAUTHORIZED || reason.has_challenge(),
                "{reason}"
            );
        }
    }

    #[test]
    fn descriptions_and_errors_keep_to_the_challenge_grammar() {
        // RFC 6750 section 3: no quote, no backslash, printable ASCII
        let fits =
            |text: &str| text.bytes().all(|b| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        for reason in Reason::ALL {
            assert!(fits(reason.description()), "{reason}");
            assert!(reason.oauth_error().is_none_or(fits), "{reason}");
        }
    }

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::ALL.len());
    }

    #[test]
    fn the_reason_for_the_client_has_the_same_status_and_error() {
        for reason in Reason::ALL {
            assert_eq!(reason.status(), reason.for_client().status(), "{reason}");
            assert_eq!(reason.oauth_error(), reason.for_client().oauth_error(), "{reason}");
            assert_eq!(reason.for_client(), reason.for_client().for_client(), "{reason}");
        }
    }

    #[test]
    fn the_grpc_code_follows_the_status() {
        for reason in Reason::ALL {
            let expected = match reason.status().as_u16() {
                400 => 3,
                401 => 16,
                403 => 7,
                429 | 431 => 8,
                500 => 13,
                503 => 14,
                other => panic!("{reason}: {other}"),
            };
            assert_eq!(reason.grpc_code(), expected, "{reason}");
        }
    }
}
