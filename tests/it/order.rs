//! The order of the checks: if two fail, the earlier one is the reason, and nothing of the
//! later ones is seen.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use crate::common::*;
use http::Extensions;
use http::request::Parts;
use serde_json::{Value, json};
use unconfused::approvals::{Approvals, SigningKey};
use unconfused::detail::{Detail, DetailType};
use unconfused::keys::{Algorithm, KeySet, KeysUnavailable};
use unconfused::policy::{ApprovalTask, Obligation, Verdict, policy_fn};
use unconfused::profile::{ClaimRule, HeaderType, Profile};
use unconfused::proof::{ClientCertificate, Dpop, Nonces};
use unconfused::replay::{Remembered, StoreUnavailable};
use unconfused::testing::{TestProof, TestToken};
use unconfused::token::{KeyHint, TokenLimits};
use unconfused::{Acr, Answer, Denial, Guard, Issuer, Reason, Require, Scope};

const READ: Scope = Scope::from_static("orders:read");
const PHR: Acr = Acr::from_static("phr");

/// A request that would pass, and what is done to it: a token that is bound to a proof key and to a certificate.
struct Scene {
    guard: Vec<fn(Guard) -> Guard>,
    limits: TokenLimits,
    keys_down: bool,
    profile: Profile,
    token: TestToken,
    shape: fn(String) -> String,
    scheme: &'static str,
    proof: Vec<fn(TestProof) -> TestProof>,
    fields: fn(String) -> Vec<String>,
    dpop: fn(Dpop) -> Dpop,
    seen: fn() -> Result<Remembered, StoreUnavailable>,
    certificate: Option<ClientCertificate>,
    head: fn(&mut Parts),
    requirement: Require,
}

impl Scene {
    fn new() -> Self {
        let certificate = ClientCertificate::from_der("ours");
        Scene {
            guard: Vec::new(),
            limits: TokenLimits::default(),
            keys_down: false,
            profile: Profile::rfc9068(),
            token: bound().bound_to_certificate(certificate).acr("phr").authenticated(secs(10)),
            shape: |raw| raw,
            scheme: "DPoP",
            proof: Vec::new(),
            fields: |field| vec![field],
            dpop: |dpop| dpop,
            seen: || Ok(Remembered::First),
            certificate: Some(certificate),
            head: |_| {},
            requirement: READ.into(),
        }
    }

    fn denial(&self) -> Option<Denial> {
        self.denial_and_asked().0
    }

    /// The denial, and how often the store of proofs was asked.
    fn denial_and_asked(&self) -> (Option<Denial>, usize) {
        let keys_down = self.keys_down;
        let issuer = Issuer::new(LOGIN, move |_: KeyHint<'_>| {
            Answer::Now(match keys_down {
                true => Err(KeysUnavailable::new("down")),
                false => Ok(published_keys()),
            })
        });
        let issuer = issuer.profile(self.profile.clone());
        let (store, asked) = store_that(self.seen);
        let guard = Guard::new(ORDERS, issuer)
            .clock(now)
            .dpop((self.dpop)(dpop()), store)
            .client_certificate(ClientCertificate::from_connection);
        let guard = guard.limits(self.limits);
        let guard = self.guard.iter().fold(guard, |guard, change| change(guard));
        let raw = (self.shape)(self.token.sign());
        let proof = self.proof.iter().fold(proof(&raw), |proof, change| change(proof));
        let mut parts = head("/orders", &[&format!("{} {raw}", self.scheme)]);
        for field in (self.fields)(proof.sign()) {
            parts.headers.append("dpop", field.parse().unwrap());
        }
        parts.extensions.extend(self.certificate.map(of).unwrap_or_default());
        (self.head)(&mut parts);
        let answer = guard.authorize(&mut parts, &self.requirement);
        (answer.now().unwrap().err(), asked.load(Ordering::SeqCst))
    }

    fn reason(&self) -> Option<Reason> {
        self.denial().map(|denial| denial.reason())
    }
}

fn of(certificate: ClientCertificate) -> Extensions {
    let mut extensions = Extensions::new();
    extensions.insert(certificate);
    extensions
}

/// The issuer's keys, and beside them one that is meant for encryption.
fn published_keys() -> KeySet {
    static KEYS: OnceLock<KeySet> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        let mut set: Value = serde_json::from_str(&login().jwks()).unwrap();
        let mut other = set["keys"][0].clone();
        other["kid"] = json!("for-encryption");
        other["use"] = json!("enc");
        set["keys"].as_array_mut().unwrap().push(other);
        KeySet::from_json(&set.to_string()).unwrap()
    });
    keys.clone()
}

/// One fault in the request. Two faults that change the same part cannot be combined.
struct Fault {
    reason: Reason,
    slots: &'static [&'static str],
    apply: fn(&mut Scene),
}

/// In the order of the checks.
fn faults() -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |reason, slots, apply: fn(&mut Scene)| {
        faults.push(Fault { reason, slots, apply });
    };
    // The request.
    fault(Reason::InsecureTransport, &[], |s| {
        s.guard.push(|guard| guard.secure_transport(|_| false));
    });
    fault(Reason::CredentialTooLarge, &["size"], |s| {
        s.limits = s.limits.max_bytes(10);
    });
    fault(Reason::MultipleCredentials, &["head"], |s| {
        s.head = |head| {
            let second = "Basic dTpw".parse().unwrap();
            head.headers.append("authorization", second);
        };
    });
    fault(Reason::UnsupportedAuthScheme, &["head", "size"], |s| {
        s.head = |head| {
            let field = "Basic dTpw".parse().unwrap();
            head.headers.insert("authorization", field);
        };
    });
    fault(Reason::MalformedAuthorization, &["head", "size"], |s| {
        s.head = |head| {
            let field = "Bearer a, b".parse().unwrap();
            head.headers.insert("authorization", field);
        };
    });
    // The shape of the token.
    fault(Reason::TokenFormatNotAccepted, &["shape"], |s| {
        s.shape = |raw| format!("{raw}.x.y");
    });
    fault(Reason::TokenMalformed, &["shape"], |s| {
        s.shape = |raw| format!("{raw}+");
    });
    fault(Reason::JoseHeaderInvalid, &["jwk"], |s| {
        s.token = s.token.clone().header("jwk", json!({}));
    });
    fault(Reason::CriticalHeaderUnsupported, &["crit"], |s| {
        s.token = s.token.clone().header("crit", ["x"]);
    });
    fault(Reason::TokenTypeMismatch, &["typ"], |s| {
        s.token = s.token.clone().header("typ", "JWT");
    });
    fault(Reason::AlgorithmNotAllowed, &["alg"], |s| {
        s.token = s.token.clone().header("alg", "none");
    });
    // Its issuer, and its signature.
    fault(Reason::IssuerMissing, &["iss"], |s| {
        s.token = s.token.clone().without_claim("iss");
    });
    fault(Reason::IssuerUntrusted, &["iss"], |s| {
        s.token = s.token.clone().claim("iss", OTHER);
    });
    fault(Reason::KeysUnavailable, &["keys"], |s| s.keys_down = true);
    fault(Reason::KeyNotFound, &["kid"], |s| {
        s.token = s.token.clone().header("kid", "nobody");
    });
    fault(Reason::KeyUnusable, &["kid"], |s| {
        s.token = s.token.clone().header("kid", "for-encryption");
    });
    fault(Reason::SignatureInvalid, &["signature"], |s| {
        s.token = s.token.clone().forged_by(forger());
    });
    // Its claims.
    fault(Reason::ClaimsMalformed, &["deep"], |s| {
        let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
        s.token = s.token.clone().claim("deep", deep);
    });
    fault(Reason::ClaimTypeInvalid, &["may_act"], |s| {
        s.token = s.token.clone().claim("may_act", "anyone");
    });
    fault(Reason::AuthorizationDetailsInvalid, &["details"], |s| {
        s.token = s.token.clone().claim("authorization_details", "all");
    });
    fault(Reason::TokenKindRejected, &["kind"], |s| {
        s.profile = s.profile.clone().requires_one_of([ClaimRule::is("use", "api")]);
    });
    fault(Reason::RequiredClaimMissing, &["jti"], |s| {
        s.token = s.token.clone().without_claim("jti");
    });
    fault(Reason::TokenExpired, &["exp"], |s| {
        s.token = s.token.clone().claim("exp", NOW - 100);
    });
    fault(Reason::TokenNotYetValid, &["nbf"], |s| {
        s.token = s.token.clone().claim("nbf", NOW + 100);
    });
    fault(Reason::IssuedInFuture, &["iat"], |s| {
        s.token = s.token.clone().claim("iat", NOW + 100);
    });
    fault(Reason::TokenLifetimeExceeded, &["iat", "exp"], |s| {
        s.limits = s.limits.max_lifetime(secs(1));
    });
    fault(Reason::AudienceMismatch, &["aud"], |s| {
        s.token = s.token.clone().claim("aud", "https://billing.example");
    });
    fault(Reason::ActorMalformed, &["act"], |s| {
        s.token = s.token.clone().claim("act", json!({}));
    });
    fault(Reason::ActorChainTooDeep, &["act"], |s| {
        for _ in 0..9 {
            s.token = s.token.clone().actor("agent-7");
        }
    });
    // Possession.
    fault(Reason::ConfirmationUnsupported, &["cnf"], |s| {
        s.token = s.token.clone().claim("cnf", json!({ "jwk": {} }));
    });
    fault(Reason::SenderConstraintRequired, &["cnf"], |s| {
        s.token = s.token.clone().without_claim("cnf");
        s.guard.push(Guard::sender_constrained);
    });
    fault(Reason::BoundTokenAsBearer, &["scheme", "jkt"], |s| s.scheme = "Bearer");
    fault(Reason::DpopTokenUnbound, &["cnf", "jkt"], |s| {
        let certificate = ClientCertificate::from_der("ours");
        s.token = s.token.clone().without_claim("cnf").bound_to_certificate(certificate);
    });
    fault(Reason::DpopProofMissing, &["field"], |s| s.fields = |_| Vec::new());
    fault(Reason::DpopProofMultiple, &["field"], |s| {
        s.fields = |field| vec![field.clone(), field];
    });
    fault(Reason::DpopProofMalformed, &[], |s| {
        s.proof.push(|proof| proof.header("typ", "jwt"));
    });
    fault(Reason::DpopAlgorithmNotAllowed, &[], |s| {
        s.proof.push(|proof| proof.header("alg", "HS256"));
    });
    fault(Reason::DpopKeyInvalid, &[], |s| {
        s.proof.push(|proof| proof.header("jwk", json!({ "kty": "EC" })));
    });
    fault(Reason::DpopMethodMismatch, &[], |s| {
        s.proof.push(|proof| proof.claim("htm", "POST"));
    });
    fault(Reason::DpopUriMismatch, &[], |s| {
        s.proof.push(|proof| proof.claim("htu", "https://orders.example/other"));
    });
    fault(Reason::DpopProofStale, &["moment"], |s| {
        s.proof.push(|proof| proof.issued_at(at(-61)));
    });
    fault(Reason::DpopSignatureInvalid, &[], |s| {
        s.proof.push(|proof| proof.forged_by(other_key()));
    });
    fault(Reason::DpopTokenHashMismatch, &[], |s| {
        s.proof.push(|proof| proof.token("another"));
    });
    fault(Reason::DpopKeyMismatch, &["cnf"], |s| {
        let certificate = ClientCertificate::from_der("ours");
        let token = s.token.clone().without_claim("cnf").bound_to(other_key());
        s.token = token.bound_to_certificate(certificate);
    });
    // If nonces are required, they say how fresh a proof is.
    fault(Reason::DpopNonceRequired, &["moment"], |s| {
        s.dpop = |dpop| dpop.nonces(Nonces::new([1; 32]));
    });
    fault(Reason::DpopNonceInvalid, &["moment"], |s| {
        s.dpop = |dpop| dpop.nonces(Nonces::new([1; 32]));
        s.proof.push(|proof| proof.nonce("x"));
    });
    fault(Reason::ClientCertificateMissing, &["certificate"], |s| s.certificate = None);
    fault(Reason::ClientCertificateMismatch, &["certificate"], |s| {
        s.certificate = Some(ClientCertificate::from_der("another"));
    });
    // What the token is, before what the requirement asks of it.
    fault(Reason::TenantMismatch, &["tenant"], |s| {
        s.profile = s.profile.clone().tenant_claim("tid").tenant_in_issuer();
        s.token = s.token.clone().claim("tid", "acme");
    });
    // The store is asked once everything else about possession is right.
    fault(Reason::DpopProofReplayed, &["store"], |s| s.seen = || Ok(Remembered::Again));
    fault(Reason::ReplayStoreUnavailable, &["store"], |s| {
        s.seen = || Err(StoreUnavailable::new("down"));
    });
    fault(Reason::RateLimited, &["store"], |s| s.seen = || Ok(Remembered::ShareFull));
    fault(Reason::ClientNotAllowed, &["clients"], |s| {
        s.requirement = s.requirement.clone().client([(LOGIN, "another-client")]);
    });
    fault(Reason::SubjectAmbiguous, &["sub"], |s| {
        s.token = s.token.clone().subject("test-client");
        s.requirement = s.requirement.clone().person();
    });
    fault(Reason::ActorRequired, &["act"], |s| {
        s.requirement = s.requirement.clone().delegated();
    });
    fault(Reason::ActorUntrusted, &["act"], |s| {
        s.token = s.token.clone().actor_with_issuer(OTHER, "agent-7");
    });
    fault(Reason::ActorUnauthorized, &["act"], |s| {
        s.token = s.token.clone().actor("agent-7");
        s.requirement = s.requirement.clone().undelegated();
    });
    fault(Reason::ClaimNotMet, &[], |s| {
        s.requirement = s.requirement.clone().claim_contains(LOGIN, "roles", "admin");
    });
    fault(Reason::TransactionTokenMisused, &["txn"], |s| {
        s.guard.push(|guard| guard.approvals(approvals()));
        s.token = s.token.clone().claim("txn", "x");
    });
    // How and when the subject authenticated.
    fault(Reason::AuthenticationContextMissing, &["acr"], |s| {
        s.token = s.token.clone().without_claim("acr");
        s.requirement = s.requirement.clone().acr([PHR]);
    });
    fault(Reason::AuthenticationLevelInsufficient, &["acr"], |s| {
        s.token = s.token.clone().acr("low");
        s.requirement = s.requirement.clone().acr([PHR]);
    });
    fault(Reason::AuthenticationTooOld, &["auth_time"], |s| {
        s.token = s.token.clone().claim("auth_time", NOW - 1000);
        s.requirement = s.requirement.clone().max_age(secs(300));
    });
    // Scopes.
    fault(Reason::InsufficientScope, &["scope"], |s| {
        s.token = s.token.clone().scope("orders:write");
    });
    // Authorization details.
    fault(Reason::AuthorizationDetailsInsufficient, &[], |s| {
        s.guard.push(|guard| guard.detail_type(DetailType::new("refund").exact("order")));
        let refund = Detail::of("refund").with("order", 7);
        s.requirement = s.requirement.clone().and(Require::detail(refund));
    });
    fault(Reason::PolicyInputInvalid, &[], |s| {
        s.guard.push(|guard| guard.detail_type(DetailType::new("transfer").at_most("amount")));
        let transfer = Detail::of("transfer").with("amount", "1e3");
        s.requirement = s.requirement.clone().and(Require::detail(transfer));
    });
    // Approvals.
    fault(Reason::TransactionAuthorizationRequired, &["txn", "spent"], |s| {
        s.guard.push(cancelling);
        s.requirement = s.requirement.clone().and(approved_cancel());
    });
    fault(Reason::TransactionUnknown, &["txn", "spent", "details"], |s| {
        s.guard.push(cancelling);
        let granted = json!([{ "type": "cancel", "order": "7" }]);
        s.token = s.token.clone().claim("txn", "x").claim("authorization_details", granted);
        s.requirement = s.requirement.clone().and(approved_cancel());
    });
    // Policies, once the requirement is met.
    fault(Reason::PolicyUnavailable, &["txn"], |s| {
        s.guard.push(|guard| guard.policy(policy_fn(|_| Verdict::Unavailable("down".into()))));
    });
    fault(Reason::PolicyDenied, &[], |s| {
        s.guard.push(|guard| guard.policy(policy_fn(|_| Verdict::Forbid("night".into()))));
    });
    fault(Reason::ObligationUnsupported, &["obligation"], |s| {
        s.guard.push(|guard| {
            guard.policy(policy_fn(|_| Verdict::Permit.obliged(Obligation::new("unknown"))))
        });
    });
    fault(Reason::ObligationFailed, &["obligation", "task"], |s| {
        s.guard.push(|guard| {
            let guard = guard.obligation("fail", |_, _| Answer::Now(Err("down".into())));
            guard.policy(policy_fn(|_| Verdict::Permit.obliged(Obligation::new("fail"))))
        });
    });
    fault(Reason::ApprovalRequired, &["task"], |s| {
        s.guard.push(|guard| {
            let task = || ApprovalTask::new("https://approvals.example/7");
            guard.policy(policy_fn(move |_| Verdict::NeedsApproval(task())))
        });
    });
    // Last of all
    fault(Reason::TokenSpent, &[], |s| {
        s.guard.push(|guard| guard.replay(store_that(|| Ok(Remembered::Again)).0));
        s.requirement = s.requirement.clone().single_use();
    });
    faults
}

fn approvals() -> Approvals {
    static APPROVALS: OnceLock<Approvals> = OnceLock::new();
    let make = || Approvals::new(SigningKey::generate(Algorithm::Es256, "c"), [1; 32], LOGIN);
    APPROVALS.get_or_init(make).clone()
}

/// A guard at which the cancellation of an order can be approved.
fn cancelling(guard: Guard) -> Guard {
    let guard = guard.detail_type(DetailType::new("cancel").exact("order"));
    guard.approvals(approvals()).replay(store_that(|| Ok(Remembered::First)).0)
}

fn approved_cancel() -> Require {
    Require::detail(Detail::of("cancel").with("order", 7).approved())
}

#[test]
fn the_request_without_a_fault_passes() {
    assert_eq!(Scene::new().reason(), None);
}

#[test]
fn each_fault_alone_is_the_reason() {
    for fault in faults() {
        let mut scene = Scene::new();
        (fault.apply)(&mut scene);
        assert_eq!(scene.reason(), Some(fault.reason));
    }
}

#[test]
fn of_two_faults_the_earlier_is_the_reason() {
    let faults = faults();
    let mut pairs = 0;
    for (i, early) in faults.iter().enumerate() {
        for late in &faults[i + 1..] {
            if early.slots.iter().any(|slot| late.slots.contains(slot)) {
                continue;
            }
            let mut scene = Scene::new();
            (early.apply)(&mut scene);
            (late.apply)(&mut scene);
            assert_eq!(scene.reason(), Some(early.reason), "{} and {}", early.reason, late.reason);
            pairs += 1;
        }
    }
    assert!(pairs > 1800, "{pairs}");
}

#[test]
fn the_store_is_asked_once_and_only_after_all_checks_before_it_passed() {
    assert_eq!(Scene::new().denial_and_asked().1, 1);
    let mut passed = false;
    for fault in faults() {
        passed = passed || fault.slots.contains(&"store");
        let mut scene = Scene::new();
        (fault.apply)(&mut scene);
        let (denial, asked) = scene.denial_and_asked();
        assert_eq!(denial.unwrap().reason(), fault.reason);
        assert_eq!(asked, usize::from(passed), "{}", fault.reason);
    }
    assert!(passed);
}

#[test]
fn every_reason_that_a_request_can_have_has_its_fault() {
    let shown: BTreeSet<_> = faults().iter().map(|fault| fault.reason).collect();
    let elsewhere = [
        Reason::OperationUnknown,
        Reason::MissingCredentials,
        Reason::InternalError,
        // Not of a request: a handler asks for more, once it is granted.
        Reason::NextHopRefused,
        Reason::NextHopUnavailable,
    ];
    for reason in Reason::ALL {
        assert!(shown.contains(reason) || elsewhere.contains(reason), "{reason}");
    }
}

// Pairs of neighbours that share a part of the request.

/// The reason for a request with these `Authorization` fields.
fn reason_for_fields(guard: &Guard, fields: &[&str]) -> Reason {
    let mut parts = head("/orders", fields);
    let answer = guard.authorize(&mut parts, READ).now().unwrap();
    answer.unwrap_err().reason()
}

#[test]
fn an_insecure_request_is_refused_before_its_size_is_seen() {
    let guard = guard().secure_transport(|_| false).limits(TokenLimits::default().max_bytes(10));
    let raw = token().bearer();
    assert_eq!(reason_for_fields(&guard, &[&raw]), Reason::InsecureTransport);
    assert_eq!(reason_for_fields(&guard, &[]), Reason::InsecureTransport);
}

#[test]
fn a_large_credential_beside_another_is_too_large() {
    let guard = guard().limits(TokenLimits::default().max_bytes(100));
    let large = format!("Bearer {}", "a".repeat(1000));
    for fields in [["Bearer a", &*large], [&large, "Basic a"]] {
        assert_eq!(reason_for_fields(&guard, &fields), Reason::CredentialTooLarge);
    }
}

#[test]
fn two_credentials_are_refused_whatever_their_schemes_and_forms() {
    for fields in [["Basic a", "Basic b"], ["Bearer a,b", "DPoP a"], ["", "Bearer"]] {
        assert_eq!(reason_for_fields(&guard(), &fields), Reason::MultipleCredentials);
    }
}

#[test]
fn another_scheme_is_unsupported_before_it_is_malformed() {
    for field in ["Digest a=\"b\", c=d", "Basic", "Negotiate ", "DPoP a b"] {
        assert_eq!(reason_for_fields(&guard(), &[field]), Reason::UnsupportedAuthScheme, "{field}");
    }
}

#[test]
fn another_scheme_with_other_bytes_is_unsupported_before_it_is_malformed() {
    assert_eq!(reason_for_fields(&guard(), &["Basic é"]), Reason::UnsupportedAuthScheme);
}

#[test]
fn a_malformed_field_is_refused_before_a_token_is_looked_for() {
    let json = r#"Bearer {"payload":"x"}"#;
    assert_eq!(reason_for_fields(&guard(), &[json]), Reason::MalformedAuthorization);
}

#[test]
fn the_format_of_a_token_with_five_parts_is_refused_before_its_parts_are_read() {
    let raw = format!("Bearer {}.x+.y", token().sign());
    assert_eq!(reason_for_fields(&guard(), &[&raw]), Reason::TokenFormatNotAccepted);
}

#[test]
fn a_malformed_token_is_malformed_before_its_header_is_read() {
    let raw = format!("Bearer {}+", compact("[]", "{}", &[1]));
    assert_eq!(reason_for_fields(&guard(), &[&raw]), Reason::TokenMalformed);
}

#[test]
fn an_unknown_issuer_with_a_bad_algorithm_is_refused_for_the_algorithm() {
    let token = token().claim("iss", OTHER).header("alg", "HS256");
    assert_eq!(ask(&guard(), &token, READ).unwrap_err().reason(), Reason::AlgorithmNotAllowed);
}

#[test]
fn an_unknown_issuer_is_refused_before_any_keys_are_asked_for() {
    let source = |_: KeyHint<'_>| panic!("keys are asked for");
    let guard = Guard::new(ORDERS, Issuer::new(OTHER, source)).clock(now);
    for token in [token(), token().forged_by(forger()), token().expired()] {
        assert_eq!(ask(&guard, &token, READ).unwrap_err().reason(), Reason::IssuerUntrusted);
    }
}

#[test]
fn an_untrusted_issuer_is_reported_before_a_type_or_an_algorithm_that_a_trusted_one_accepts() {
    let other = Issuer::new(OTHER, login().keys()).profile(Profile::auth0());
    let guard = guard().trust(other.algorithms([Algorithm::EdDsa]));
    let reason = |token: TestToken| ask(&guard, &token, READ).unwrap_err().reason();
    let stranger = || token().claim("iss", "https://login.example/");
    assert_eq!(reason(stranger()), Reason::IssuerUntrusted);
    assert_eq!(reason(stranger().header("typ", "JWT")), Reason::IssuerUntrusted);
    assert_eq!(reason(stranger().header("alg", "EdDSA")), Reason::IssuerUntrusted);
    assert_eq!(reason(stranger().header("typ", "JWT").without_claim("iss")), Reason::IssuerMissing);
    // What no trusted issuer accepts is still reported first.
    assert_eq!(reason(stranger().header("typ", "logout+jwt")), Reason::TokenTypeMismatch);
    assert_eq!(reason(stranger().header("alg", "HS256")), Reason::AlgorithmNotAllowed);
    // The issuer that is trusted has its own type.
    assert_eq!(reason(token().header("typ", "JWT")), Reason::TokenTypeMismatch);
}

#[test]
fn the_algorithms_of_another_issuer_do_not_help() {
    let other = Issuer::new(OTHER, login().keys()).algorithms([Algorithm::EdDsa]);
    let guard = guard().trust(other);
    let token = token().header("alg", "EdDSA");
    assert_eq!(ask(&guard, &token, READ).unwrap_err().reason(), Reason::AlgorithmNotAllowed);
}

#[test]
fn malformed_claims_are_refused_before_an_expired_token() {
    let payload = format!(r#"{{"iss":"{LOGIN}","exp":1,"exp":1}}"#);
    assert_eq!(refusal(&token().payload(payload)), Some(Reason::ClaimsMalformed));
}

#[test]
fn a_claim_of_a_wrong_type_is_refused_before_a_missing_one() {
    let payload = format!(r#"{{"iss":"{LOGIN}","exp":"1"}}"#);
    assert_eq!(refusal(&token().payload(payload)), Some(Reason::ClaimTypeInvalid));
}

#[test]
fn a_claim_of_a_wrong_type_is_refused_before_another_kind_and_that_before_a_missing_claim() {
    let untyped = validation().profile(Profile::rfc9068().types([HeaderType::Jwt]));
    let id_token = token().header("typ", "JWT").claim("nonce", "n").without_claim("client_id");
    let refused = |token| validate_by(&untyped, &token, now()).unwrap_err().reason();
    assert_eq!(refused(id_token.clone()), Reason::TokenKindRejected);
    assert_eq!(refused(id_token.clone().claim("act", json!([]))), Reason::TokenKindRejected);
    assert_eq!(refused(id_token.clone().expired()), Reason::TokenKindRejected);
    assert_eq!(refused(id_token.claim("may_act", "anyone")), Reason::ClaimTypeInvalid);
}

#[test]
fn a_type_that_a_profile_does_not_have_is_refused_before_the_algorithm() {
    let profile = Profile::rfc9068().types([HeaderType::Absent]);
    let refused = |token| {
        let validation = validation().profile(profile.clone());
        validate_by(&validation, &token, now()).unwrap_err().reason()
    };
    assert_eq!(refused(token().header("alg", "none")), Reason::TokenTypeMismatch);
    let untyped = token().without_header("typ").header("alg", "none");
    assert_eq!(refused(untyped), Reason::AlgorithmNotAllowed);
}

#[test]
fn a_bound_token_of_another_tenant_is_bound() {
    let profile = Profile::rfc9068().tenant_claim("tid").tenant_in_issuer();
    let foreign = token().claim("tid", "acme");
    let refused = |token| {
        let validation = validation().profile(profile.clone());
        validate_by(&validation, &token, now()).unwrap_err().reason()
    };
    assert_eq!(refused(foreign.clone()), Reason::TenantMismatch);
    let bound = foreign.claim("cnf", json!({ "jkt": "x" }));
    assert_eq!(refused(bound), Reason::BoundTokenAsBearer);
}

#[test]
fn an_expired_token_for_another_audience_has_expired() {
    let token = token().expired().claim("aud", "https://billing.example");
    assert_eq!(refusal(&token), Some(Reason::TokenExpired));
}

#[test]
fn a_token_that_expired_before_it_was_valid_has_expired() {
    let token = token().claim("exp", NOW - 100).claim("nbf", NOW + 100).claim("iat", NOW + 100);
    assert_eq!(refusal(&token), Some(Reason::TokenExpired));
}

#[test]
fn a_token_from_the_future_that_lives_too_long_is_from_the_future() {
    let token = token().claim("iat", NOW + 100).claim("exp", NOW + 1_000_000);
    assert_eq!(refusal(&token), Some(Reason::IssuedInFuture));
}

#[test]
fn a_long_life_is_refused_before_an_audience_also_for_agent_clients() {
    let validation = validation().agent_clients(["test-client"]);
    let token = token().lifetime(secs(3 * 3600)).claim("aud", "https://billing.example");
    let invalid = validate_by(&validation, &token, now()).unwrap_err();
    assert_eq!(invalid.reason(), Reason::TokenLifetimeExceeded);
}

#[test]
fn a_malformed_actor_is_refused_before_a_deep_chain() {
    let innermost = token().claim("act", json!({ "sub": 1 }));
    let chain = (0..9).fold(innermost, |token, _| token.actor("agent-7"));
    assert_eq!(refusal(&chain), Some(Reason::ActorMalformed));
}

#[test]
fn a_foreign_actor_that_is_not_listed_is_untrusted_before_it_is_unauthorized() {
    let token = token().scope("orders:read").actor_with_issuer(OTHER, "agent-7");
    for requirement in
        [Require::scope(READ).undelegated(), Require::scope(READ).actor([(LOGIN, "agent-7")])]
    {
        let denial = ask(&guard(), &token, requirement).unwrap_err();
        assert_eq!(denial.reason(), Reason::ActorUntrusted);
    }
}

#[test]
fn a_weak_class_without_a_moment_lacks_the_moment() {
    let token = token().scope("orders:read").acr("low");
    let requirement = Require::scope(READ).acr([PHR]).max_age(secs(300));
    let denial = ask(&guard(), &token, requirement).unwrap_err();
    assert_eq!(denial.reason(), Reason::AuthenticationContextMissing);
}

// What the order is for.

#[test]
fn a_client_that_is_not_allowed_is_refused_before_its_actor_is_looked_at() {
    let token = token().scope("orders:read").actor_with_issuer(OTHER, "agent-7");
    let requirement =
        Require::scope(READ).client([(LOGIN, "another-client")]).actor([(LOGIN, "agent-1")]);
    let denial = ask(&guard(), &token, requirement).unwrap_err();
    assert_eq!(denial.reason(), Reason::ClientNotAllowed);
}

#[test]
fn a_forbidden_actor_learns_nothing_of_the_authentication_that_is_asked() {
    let token = token().actor("agent-7").acr("low");
    let requirement =
        Require::scope(READ).acr([PHR]).max_age(secs(300)).actor([(LOGIN, "agent-1")]);
    let denial = ask(&guard(), &token, requirement).unwrap_err();
    assert_eq!(denial.reason(), Reason::ActorUnauthorized);
    assert!(denial.other_reasons().is_empty());
    let challenge = challenge(&denial);
    for parameter in ["acr_values", "max_age", "scope", "phr"] {
        assert!(!challenge.contains(parameter), "{challenge}");
    }
}

#[test]
fn a_weak_authentication_and_a_missing_scope_are_one_challenge() {
    let token = token().acr("low").claim("auth_time", NOW - 1000);
    let requirement = Require::scope(READ).acr([PHR]).max_age(secs(300));
    let denial = ask(&guard(), &token, requirement).unwrap_err();
    assert_eq!(denial.status(), 401);
    assert_eq!(denial.reason(), Reason::AuthenticationLevelInsufficient);
    assert_eq!(denial.other_reasons(), [Reason::AuthenticationTooOld, Reason::InsufficientScope]);
    let challenge = challenge(&denial);
    for parameter in [
        r#"error="insufficient_user_authentication""#,
        r#"acr_values="phr""#,
        r#"max_age="300""#,
        r#"scope="orders:read""#,
    ] {
        assert!(challenge.contains(parameter), "{challenge}");
    }
}

// If the signature does not verify, nothing that the token says changes the answer.

#[test]
fn the_denial_of_a_forged_token_says_nothing_about_its_claims() {
    let told = |scene: &Scene| {
        let denial = scene.denial().unwrap();
        let mut problem: Value = serde_json::from_str(&denial.problem_json()).unwrap();
        problem.as_object_mut().unwrap().remove("decision");
        // What every client is told, whatever its token.
        let mut headers = denial.headers();
        headers.remove("dpop-nonce");
        (denial.reason(), denial.status(), headers, denial.for_operator().to_string(), problem)
    };
    let mut plain = Scene::new();
    plain.token = plain.token.forged_by(forger());
    let plain = told(&plain);
    assert_eq!(plain.0, Reason::SignatureInvalid);

    // Under another scheme, the challenge has that scheme, whatever the token.
    let is_late = |fault: &Fault| {
        fault.reason >= Reason::ClaimsMalformed && fault.reason != Reason::BoundTokenAsBearer
    };
    let late: Vec<_> = faults().into_iter().filter(is_late).collect();
    assert!(late.len() > 35);
    for fault in &late {
        let mut scene = Scene::new();
        (fault.apply)(&mut scene);
        scene.token = scene.token.forged_by(forger());
        assert_eq!(told(&scene), plain, "{}", fault.reason);
    }
    // All that fit together, at once.
    let mut scene = Scene::new();
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    for fault in &late {
        if fault.slots.iter().all(|slot| !taken.contains(slot)) {
            taken.extend(fault.slots);
            (fault.apply)(&mut scene);
        }
    }
    scene.token = scene.token.forged_by(forger());
    assert_eq!(told(&scene), plain);
}

#[test]
fn a_forged_token_is_forged_whatever_its_claims_are() {
    let payloads = [
        "{}".to_owned(),
        format!(r#"{{"iss":"{LOGIN}"}}"#),
        format!(r#"{{"iss":"{LOGIN}","exp":1}}"#),
        format!(r#"{{"iss":"{LOGIN}","exp":"x","exp":1e99}}"#),
        format!(r#"{{"iss":"{LOGIN}","act":[]}}"#),
        format!(r#"{{"iss":"{LOGIN}","cnf":7}}"#),
        format!(r#"{{"iss":"{LOGIN}","x":{}1{}}}"#, "[".repeat(99), "]".repeat(99)),
        format!(r#"{{"iss":"{LOGIN}","scope":"{}"}}"#, "s ".repeat(2000)),
        "not json".to_owned(),
        String::from("[]"),
    ];
    for payload in payloads {
        let forged = token().payload(&*payload).forged_by(forger());
        let reason = refusal(&forged).unwrap();
        let names_the_issuer = payload.contains(LOGIN);
        let expected = match names_the_issuer {
            true => Reason::SignatureInvalid,
            false => Reason::IssuerMissing,
        };
        assert_eq!(reason, expected, "{payload}");
    }
}
