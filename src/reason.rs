//! Why a request is refused: the one table from a reason to what the client is told.
//!
//! Names and order are stable: a reason is never renamed and never reused. The number above each is its step,
//! the letter its phase; comments beside the checks speak of both. Numbers that are missing are checks to come.

use http::StatusCode;

/// What a client can do about a denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Remedy {
    /// The request itself is wrong: sending it again unchanged cannot work.
    FixRequest,
    /// Discover the authorization server and get a token.
    Authenticate,
    /// Get a fresh token for this resource, once.
    NewToken,
    /// Make a new proof with the nonce that the answer gives, once.
    RetryWithNonce,
    /// Come back later.
    RetryLater,
    /// Have the subject authenticate again, as the challenge says.
    StepUp,
    /// Have the subject grant more scope, as the challenge says.
    MoreScope,
    /// Nothing helps: stop.
    Stop,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident, $name:literal, $status:ident, $error:expr, $grpc:literal, $remedy:ident, $description:literal;)*) => {
        /// Why a request is refused, in the operator's words.
        ///
        /// The first failing check is the reason. What the client may know of it is
        /// [`told`](Self::told). Names are part of the API: they are never renamed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// Every reason, in the order in which the checks run.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)*];

            /// The stable name, in snake case.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Reason::$variant => $name,)* }
            }

            /// The HTTP status of the answer.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Reason::$variant => StatusCode::$status,)* }
            }

            /// The `error` of the challenge: an OAuth error code
            /// ([RFC 6750 section 3.1](https://www.rfc-editor.org/rfc/rfc6750#section-3.1),
            /// [RFC 9470 section 3](https://www.rfc-editor.org/rfc/rfc9470#section-3)), where there is one.
            #[must_use]
            pub const fn error(self) -> Option<&'static str> {
                match self { $(Reason::$variant => $error,)* }
            }

            /// The gRPC status code of the answer.
            #[must_use]
            pub const fn grpc_code(self) -> i32 {
                match self { $(Reason::$variant => $grpc,)* }
            }

            /// What the client can do about it.
            #[must_use]
            pub const fn remedy(self) -> Remedy {
                match self { $(Reason::$variant => Remedy::$remedy,)* }
            }

            /// The `error_description` of the challenge: a constant, never built from input.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self { $(Reason::$variant => $description,)* }
            }
        }
    };
}

/// RFC 6750 section 3.1.
const INVALID_REQUEST: Option<&str> = Some("invalid_request");
const INVALID_TOKEN: Option<&str> = Some("invalid_token");
/// RFC 9449 sections 7.1 and 9.
const INVALID_PROOF: Option<&str> = Some("invalid_dpop_proof");
const USE_NONCE: Option<&str> = Some("use_dpop_nonce");
/// RFC 9470 section 3.
const STEP_UP: Option<&str> = Some("insufficient_user_authentication");
/// OAuth Actor Profile for Delegation (draft-mcguinness-oauth-actor-profile).
const ACTOR: Option<&str> = Some("actor_unauthorized");

reasons! {
    // A: transport and credential.
    // 1
    /// The request did not arrive over TLS.
    InsecureTransport, "insecure_transport", BAD_REQUEST, INVALID_REQUEST, 3, FixRequest, "The request must use TLS";
    // 2
    /// The credential is larger than the limit, or the payload of its token over 32 KiB.
    CredentialTooLarge, "credential_too_large", REQUEST_HEADER_FIELDS_TOO_LARGE, None, 8, FixRequest, "The credential is too large";
    // 3
    /// More than one `Authorization` field.
    MultipleCredentials, "multiple_credentials", BAD_REQUEST, INVALID_REQUEST, 3, FixRequest, "More than one credential was sent";
    // 5
    /// No `Authorization` field.
    MissingCredentials, "missing_credentials", UNAUTHORIZED, None, 16, Authenticate, "An access token is required";
    // 6
    /// An authorization scheme that is not offered here.
    UnsupportedAuthScheme, "unsupported_auth_scheme", UNAUTHORIZED, None, 16, Authenticate, "The authorization scheme is not supported";
    // 7
    /// The `Authorization` field is not one scheme, spaces, and one token.
    MalformedAuthorization, "malformed_authorization", BAD_REQUEST, INVALID_REQUEST, 3, FixRequest, "The Authorization field is malformed";
    // B: token shape.
    // 8
    /// An encrypted, opaque, JSON-serialized or selectively disclosed token.
    TokenFormatNotAccepted, "token_format_not_accepted", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The access token has a format that is not accepted";
    // 9
    /// Not three parts of canonical base64url.
    TokenMalformed, "token_malformed", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The access token is malformed";
    // 10
    /// The JOSE header is no JSON object, repeats a member, has a member of a wrong type, carries a key, or is
    /// over 4 KiB, or its `kid` over 256 bytes.
    JoseHeaderInvalid, "jose_header_invalid", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The access token is malformed";
    // 11
    /// `crit` or `b64` is present: no critical extension is implemented.
    CriticalHeaderUnsupported, "critical_header_unsupported", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The access token needs an extension that is not supported";
    // 12
    /// `typ` is not `at+jwt`, or none that the issuer's profile accepts.
    TokenTypeMismatch, "token_type_mismatch", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The token is not an access token";
    // 13
    /// `alg` is not on the list of allowed algorithms.
    AlgorithmNotAllowed, "algorithm_not_allowed", UNAUTHORIZED, INVALID_TOKEN, 16, Stop, "The access token is signed with an algorithm that is not accepted";
    // C: issuer, keys, signature.
    // 14
    /// The token has no readable `iss`: also where its payload is no JSON object.
    IssuerMissing, "issuer_missing", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The access token names no issuer";
    // 15
    /// `iss` is none of the trusted issuers.
    IssuerUntrusted, "issuer_untrusted", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The issuer of the access token is not accepted here";
    // 16
    /// The issuer's keys cannot be had now.
    KeysUnavailable, "keys_unavailable", SERVICE_UNAVAILABLE, None, 14, RetryLater, "Access tokens cannot be verified now";
    // 17
    /// The issuer has no key that the token could be meant for.
    KeyNotFound, "key_not_found", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The access token names an unknown key";
    // 18
    /// The key the token names may not be used for this signature.
    KeyUnusable, "key_unusable", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The access token names an unusable key";
    // 19
    /// The signature does not verify.
    SignatureInvalid, "signature_invalid", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The signature of the access token is invalid";
    // D: claims.
    // 22
    /// The payload repeats a member, is nested too deep, or has too many scopes.
    ClaimsMalformed, "claims_malformed", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The claims of the access token are malformed";
    // 23
    /// A known claim has the wrong JSON type.
    ClaimTypeInvalid, "claim_type_invalid", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "A claim of the access token has the wrong type";
    // 70
    /// `authorization_details` is no array of objects with a `type`.
    AuthorizationDetailsInvalid, "authorization_details_invalid", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The authorization details of the access token are malformed";
    // 24
    /// The token looks like another kind than an access token, or the issuer's profile misses a sign of one.
    TokenKindRejected, "token_kind_rejected", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The token is not an access token";
    // 25
    /// One of `iss sub aud exp iat client_id jti`, or what the issuer's profile has in its place, is absent or
    /// empty.
    RequiredClaimMissing, "required_claim_missing", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "A claim is missing from the access token";
    // 26
    /// `exp` has passed.
    TokenExpired, "token_expired", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The access token expired";
    // 27
    /// `nbf` has not come.
    TokenNotYetValid, "token_not_yet_valid", UNAUTHORIZED, INVALID_TOKEN, 16, RetryLater, "The access token is not valid yet";
    // 28
    /// `iat` lies in the future.
    IssuedInFuture, "issued_in_future", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The access token was issued in the future";
    // 29
    /// The token lives longer, or is older, than is accepted here.
    TokenLifetimeExceeded, "token_lifetime_exceeded", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The access token lives too long";
    // 30
    /// The token is meant for another resource.
    AudienceMismatch, "audience_mismatch", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The access token is meant for another resource";
    // 60
    /// `act` is no object, or a link of it lacks `sub`, or has an `iss` that is no name.
    ActorMalformed, "actor_malformed", UNAUTHORIZED, INVALID_TOKEN, 16, Stop, "The actor of the access token is malformed";
    // 61
    /// More actors than are accepted.
    ActorChainTooDeep, "actor_chain_too_deep", UNAUTHORIZED, INVALID_TOKEN, 16, Stop, "The access token has too many actors";
    // E: possession.
    // 31
    /// The token is bound to something (`cnf`) that is not understood or not taken here.
    ConfirmationUnsupported, "confirmation_unsupported", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The access token is bound to a key in a way that is not supported";
    // 32
    /// The token must be bound to its sender, and is not.
    SenderConstraintRequired, "sender_constraint_required", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The access token must be bound to a key";
    // 33
    /// The token is bound to a proof key, and came without proof under `Bearer`.
    BoundTokenAsBearer, "bound_token_as_bearer", UNAUTHORIZED, INVALID_TOKEN, 16, FixRequest, "The access token is bound to a key and must be sent with the DPoP scheme";
    // 34
    /// The scheme is `DPoP`, and the token is bound to no proof key.
    DpopTokenUnbound, "dpop_token_unbound", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The access token is not bound to a DPoP key";
    // 35
    /// There is no `DPoP` field.
    DpopProofMissing, "dpop_proof_missing", UNAUTHORIZED, INVALID_PROOF, 16, FixRequest, "A DPoP proof is required";
    // 36
    /// There is more than one `DPoP` field, or a list in it.
    DpopProofMultiple, "dpop_proof_multiple", UNAUTHORIZED, INVALID_PROOF, 16, FixRequest, "More than one DPoP proof was sent";
    // 37
    /// The proof is no JWT of the type `dpop+jwt` with its own key, or a claim of it is missing or of a wrong type.
    DpopProofMalformed, "dpop_proof_malformed", UNAUTHORIZED, INVALID_PROOF, 16, FixRequest, "The DPoP proof is malformed";
    // 38
    /// The algorithm of the proof is not accepted.
    DpopAlgorithmNotAllowed, "dpop_algorithm_not_allowed", UNAUTHORIZED, INVALID_PROOF, 16, FixRequest, "The DPoP proof is signed with an algorithm that is not accepted";
    // 39
    /// The key of the proof is missing, private, weak, or not one for its algorithm.
    DpopKeyInvalid, "dpop_key_invalid", UNAUTHORIZED, INVALID_PROOF, 16, FixRequest, "The key of the DPoP proof is not accepted";
    // 40
    /// The proof was made for another method.
    DpopMethodMismatch, "dpop_method_mismatch", UNAUTHORIZED, INVALID_PROOF, 16, FixRequest, "The DPoP proof was made for another method";
    // 41
    /// The proof was made for another URL.
    DpopUriMismatch, "dpop_uri_mismatch", UNAUTHORIZED, INVALID_PROOF, 16, FixRequest, "The DPoP proof was made for another URL";
    // 42
    /// The proof is too old, or from the future.
    DpopProofStale, "dpop_proof_stale", UNAUTHORIZED, INVALID_PROOF, 16, FixRequest, "The DPoP proof is not recent";
    // 43
    /// The signature of the proof does not verify.
    DpopSignatureInvalid, "dpop_signature_invalid", UNAUTHORIZED, INVALID_PROOF, 16, FixRequest, "The signature of the DPoP proof is invalid";
    // 44
    /// The proof was made for another token, or for none.
    DpopTokenHashMismatch, "dpop_token_hash_mismatch", UNAUTHORIZED, INVALID_PROOF, 16, FixRequest, "The DPoP proof was made for another access token";
    // 45
    /// The token is bound to another key than the proof's.
    DpopKeyMismatch, "dpop_key_mismatch", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "Invalid DPoP key binding";
    // 46
    /// The proof must have a nonce, and has none.
    DpopNonceRequired, "dpop_nonce_required", UNAUTHORIZED, USE_NONCE, 16, RetryWithNonce, "Resource server requires nonce in DPoP proof";
    // 47
    /// The nonce of the proof is none of ours, or an old one.
    DpopNonceInvalid, "dpop_nonce_invalid", UNAUTHORIZED, USE_NONCE, 16, RetryWithNonce, "Resource server requires a fresh nonce in DPoP proof";
    // 50
    /// The token is bound to a certificate, and the connection has none.
    ClientCertificateMissing, "client_certificate_missing", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The access token is bound to a client certificate and none was shown";
    // 51
    /// The token is bound to another certificate than the connection's.
    ClientCertificateMismatch, "client_certificate_mismatch", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The access token is bound to another client certificate";
    // 58, checked with the token
    /// The token is of another tenant than its issuer, or of none.
    TenantMismatch, "tenant_mismatch", FORBIDDEN, None, 7, Stop, "The tenant is not the one of the issuer";
    // 48, once all else of the token has passed
    /// The proof was used before.
    DpopProofReplayed, "dpop_proof_replayed", UNAUTHORIZED, INVALID_PROOF, 16, FixRequest, "The DPoP proof was used before";
    // 49
    /// The store that remembers proofs and spent tokens cannot answer, or is full.
    ReplayStoreUnavailable, "replay_store_unavailable", SERVICE_UNAVAILABLE, None, 14, RetryLater, "The request cannot be checked now";
    // H: principals and delegation.
    // 57
    /// The client is not on the operation's list.
    ClientNotAllowed, "client_not_allowed", FORBIDDEN, None, 7, Stop, "The client is not allowed";
    // 59
    /// The operation needs a user, or a user's login, and the subject is the client itself.
    SubjectAmbiguous, "subject_ambiguous", FORBIDDEN, None, 7, Stop, "The operation needs a user";
    // 63
    /// The operation needs an actor, and none is named.
    ActorRequired, "actor_required", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The access token must name an actor";
    // 64
    /// The actor is of a namespace that the issuer is not trusted to speak for.
    ActorUntrusted, "actor_untrusted", FORBIDDEN, ACTOR, 7, Stop, "The acting party is not permitted";
    // 65
    /// The actor is not on the operation's list, or nobody may act.
    ActorUnauthorized, "actor_unauthorized", FORBIDDEN, ACTOR, 7, Stop, "The acting party is not permitted";
    // I: user authentication.
    // 66
    /// The token does not say how, or when, the subject authenticated.
    AuthenticationContextMissing, "authentication_context_missing", UNAUTHORIZED, STEP_UP, 16, StepUp, "A different authentication level is required";
    // 67
    /// The subject authenticated in a way that is not enough.
    AuthenticationLevelInsufficient, "authentication_level_insufficient", UNAUTHORIZED, STEP_UP, 16, StepUp, "A different authentication level is required";
    // 68
    /// The subject authenticated too long ago, or in the future.
    AuthenticationTooOld, "authentication_too_old", UNAUTHORIZED, STEP_UP, 16, StepUp, "More recent authentication is required";
    // J: permissions.
    // 69
    /// A scope of the operation is missing.
    InsufficientScope, "insufficient_scope", FORBIDDEN, Some("insufficient_scope"), 7, MoreScope, "The request requires higher privileges";
    // K: policy.
    // 73
    /// One key, or one client, has used more than its share of the store that remembers proofs and spent tokens.
    RateLimited, "rate_limited", TOO_MANY_REQUESTS, None, 8, RetryLater, "Too many requests";
    // 75
    /// The owner's own rule says no, or asks what nobody can meet.
    PolicyDenied, "policy_denied", FORBIDDEN, None, 7, Stop, "The request is not permitted";
    // 82, last of all
    /// The operation takes a token once, and this one was spent, or may have been, or cannot be.
    TokenSpent, "token_spent", UNAUTHORIZED, INVALID_TOKEN, 16, NewToken, "The access token was used before, and counts once";
    // 80
    /// The service is set up wrongly.
    InternalError, "internal_error", INTERNAL_SERVER_ERROR, None, 13, RetryLater, "The service has an error";
}

impl Reason {
    /// What the client may know: the reason itself, or its generic parent where the
    /// reason would tell a stranger about keys, clients or other domains.
    #[must_use]
    pub const fn for_client(self) -> Reason {
        match self {
            Reason::KeyNotFound | Reason::KeyUnusable => Reason::SignatureInvalid,
            Reason::ClientNotAllowed | Reason::TenantMismatch => Reason::PolicyDenied,
            Reason::ActorUntrusted => Reason::ActorUnauthorized,
            same => same,
        }
    }

    /// True where the answer carries a challenge: a `WWW-Authenticate` field the client can act on
    /// ([RFC 9110 section 11.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1)).
    #[must_use]
    pub(crate) fn challenged(self) -> bool {
        // Over plain HTTP nothing invites the token again.
        self != Reason::InsecureTransport
            && (self.error().is_some() || self.status() == StatusCode::UNAUTHORIZED)
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
            assert!(reason.status() != StatusCode::UNAUTHORIZED || reason.challenged(), "{reason}");
        }
    }

    #[test]
    fn descriptions_and_errors_keep_to_the_challenge_grammar() {
        // RFC 6750 section 3: no quote, no backslash, printable ASCII
        let fits =
            |text: &str| text.bytes().all(|b| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        for reason in Reason::ALL {
            assert!(fits(reason.description()), "{reason}");
            assert!(reason.error().is_none_or(fits), "{reason}");
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
    fn what_is_told_answers_with_the_same_status_and_code() {
        for reason in Reason::ALL {
            assert_eq!(reason.status(), reason.for_client().status(), "{reason}");
            assert_eq!(reason.error(), reason.for_client().error(), "{reason}");
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
