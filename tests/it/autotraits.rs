//! What every public type can be used for: sent, shared, cloned, handed on as an error.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Debug;
use std::fs;
use std::path::Path;

use unconfused::approvals::*;
use unconfused::audit::*;
use unconfused::challenge::*;
use unconfused::client::*;
use unconfused::detail::*;
use unconfused::error::*;
use unconfused::keys::*;
use unconfused::layer::*;
use unconfused::mcp::*;
use unconfused::next_hop::*;
use unconfused::policy::*;
use unconfused::profile::*;
use unconfused::proof::*;
use unconfused::replay::*;
use unconfused::testing::{
    EmptyBody, ScriptedClient, TestIssuer, TestProof, TestProofKey, TestToken, Unguarded,
};
use unconfused::token::*;
use unconfused::*;

/// Compiles only if each type has each of the bounds. Returns the names of the types.
macro_rules! hold {
    ($($bound:ident)+; $($type:ty),* $(,)?) => {{
        fn check<T: ?Sized $(+ $bound)+>() {}
        $(check::<$type>();)*
        vec![$(stringify!($type)),*]
    }};
}

type Response = std::future::Ready<Result<http::Response<String>, ()>>;

/// All types but futures.
fn shared() -> Vec<&'static str> {
    hold!(Send Sync Debug;
        AcceptedProof, AccessToken, Backend, ClientCertificate, Dpop, MemoryReplayStore, Nonces, Possession<'_>,
        Remembered, ReplayEntry, StoreStatus, StoreUnavailable, TestProof, TestProofKey, ConfigError, Acr, Actor<'_>, ActorSource, Algorithm, Audience, AuditEvent<'_>, Challenge,
        MethodRule, Rules, RulesLayer, RulesMismatch, RulesService<()>, UntilExpiry<String>, UntilExpiryLayer, UntilExpiryService<()>,
        ClaimRule, Credential, DecisionId, Denial, GuardBody, Evidence, Grant, Guard, GuardLayer,
        Guards, GuardService<(), GuardBody>, HeaderType, InvalidName, InvalidToken, Issuer, KeyHint<'_>,
        HttpError, HttpLimits, KeyProblem, KeySet, KeySetError, KeySetId, KeyState, KeyStatus, KeysUnavailable, Readiness, RemoteKeys, ScriptedClient, MayAct<'_>, Metadata, DocumentService, ChallengeKeys, TransactionChallenge,
        Approvals, ApprovalProblem, Requester, SigningKey, Transaction, TransactionKey, TransactionServer,
        MetadataUrl, Operation, OwnGrant, Party<'_>, Printable<'_>, ProblemJson, Profile, Reason,
        Remedy, Require, Scope, ScopeCycle, ScopeHierarchy, ScopeShape, SkippedKey<'_>, StepUp,
        Consent, Detail, DetailProblem, DetailType, DetailTypes, DetailValue, DetailsDialect, GrantedDetails<'_>, MemberPath, Remediation,
        ApprovalTask, Ask, Attribute, AuthZenPolicy, Obligation, Question<'_>, Ruling, Verdict,
        AttachError, ClientAuth, DomainGrant, HopError, HopServiceError<HopError>, HopStep<'_>, HopTarget, NextHop, NextHopLayer,
        NextHopService<()>, OutboundToken, TokenServer,
        JsonLines, MetricsAudit, TokenSource, TraceParent,
        ActorName, ActorSignals, Finding, FindingKind, ListedOperation, EmptyBody, OperationSignals, Operations, Signals, SignalsReport, Unguarded,
        Arguments<'_>, Call, InvalidArguments, InvalidMessage, JsonRpcError, Message<'_>, MessageBody, Problem, SessionKey,
        Tools, ToolsBody<String>, ToolsLayer, ToolsService<()>,
        TestIssuer, TestToken, TokenLimits, TracingAudit, Unmet, UnverifiedToken<'_>, Validation, WrongClaimType,
    )
}

/// A boxed future can be sent, but not shared.
fn sent() -> Vec<&'static str> {
    hold!(Send Debug;
        HttpAnswer, ReplayAnswer, PolicyAnswer, ObligationAnswer, Answer<'_, Result<Grant, Denial>>, Keys,
        ResponseFuture<Response, String, ()>, UntilExpiryFuture<Response>, HopFuture<Response>,
        ToolsFuture<String, ()>,
    )
}

/// The traits that users implement, behind a pointer.
fn seams() -> Vec<&'static str> {
    hold!(Send Sync; dyn Audit, dyn HttpClient, dyn KeySource, dyn Policy, dyn ReplayStore)
}

/// A type that is only named: what it holds is the user's.
const TRAITS_WITHOUT_BOUNDS: &[&str] = &["BodyText", "MakeBody"];
/// Of a feature that is off here.
const ELSEWHERE: &[&str] = &["CedarPolicy", "RedisReplayStore"];

#[test]
fn no_public_type_is_left_out_here() {
    let here = [shared(), sent(), seams()].concat();
    let name = |text: &str| {
        let text = text.trim_start_matches("dyn ");
        text.split(['<', ' ']).next().unwrap_or(text).to_owned()
    };
    let here: BTreeSet<_> =
        here.into_iter().chain([TRAITS_WITHOUT_BOUNDS, ELSEWHERE].concat()).map(name).collect();
    assert_eq!(here, exported());
}

/// The names at the root and in the public modules: what `pub use` shows, and what is defined in a public file.
fn exported() -> BTreeSet<String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let lib = fs::read_to_string(src.join("lib.rs")).unwrap();
    let mut found: BTreeSet<_> = shown(&lib).into_iter().collect();
    for module in lib.split("\npub mod ").skip(1).filter_map(|rest| rest.split_once(';')) {
        let (name, _) = module;
        if name.contains([' ', '{']) {
            continue;
        }
        let file = Some(src.join(format!("{name}.rs"))).filter(|file| file.exists());
        let file = file.unwrap_or_else(|| src.join(name).join("mod.rs"));
        let text = fs::read_to_string(file).unwrap();
        found.extend(shown(&text));
        for kind in ["\npub struct ", "\npub enum ", "\npub trait ", "\npub type "] {
            let names = text.split(kind).skip(1);
            found.extend(names.map(|rest| {
                let name = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap();
                name.to_owned()
            }));
        }
    }
    found
}

/// The names that a file shows with `pub use`.
fn shown(text: &str) -> Vec<String> {
    let uses = text.split("pub use ").skip(1).flat_map(|rest| {
        let (path, _) = rest.split_once(';').unwrap();
        let (_, names) = path.rsplit_once("::").unwrap();
        names.split(['{', '}', ',']).map(str::trim)
    });
    // A name that begins with a small letter is a function's.
    uses.filter(|name| name.starts_with(char::is_uppercase)).map(str::to_owned).collect()
}

#[test]
fn what_a_service_holds_can_be_cloned() {
    // these are made to be kept by a handler, a layer or the state of a router
    hold!(Clone Send Sync;
        AcceptedProof, Dpop, Nonces, Possession<'_>, ReplayEntry, TestProof, TestProofKey, ConfigError, Acr, Audience, Challenge, ClaimRule, Credential, Denial, Evidence, Grant, Guard, GuardLayer, Guards,
        GuardLayer<ProblemJson>, GuardService<(), GuardBody>, MethodRule, Rules, RulesLayer, RulesMismatch, RulesService<()>, UntilExpiryLayer, UntilExpiryService<()>, InvalidName, Issuer, KeySet,
        KeySetError, Metadata, DocumentService, ChallengeKeys, TransactionChallenge,
        Approvals, ApprovalProblem, Requester, Transaction, TransactionKey, TransactionServer, MetadataUrl, Operation, OwnGrant, Party<'_>,
        Profile, Require, Scope, ScopeCycle, ScopeHierarchy, TestIssuer, TestToken, Unmet,
        ApprovalTask, Ask, Attribute, Obligation, Ruling, Verdict,
        Validation, WrongClaimType, Detail, DetailType, DetailTypes, Remediation,
        ActorName, ActorSignals, Finding, ListedOperation, OperationSignals, Operations, SignalsReport,
    );
}

#[test]
fn small_values_can_be_copied() {
    hold!(Copy Send Sync;
        ClientCertificate, Remembered, Actor<'_>, ActorSource, Algorithm, DecisionId, GuardBody, HeaderType, KeyHint<'_>,
        KeyProblem, MayAct<'_>, Printable<'_>, ProblemJson, Reason, Remedy, ScopeShape,
        FindingKind, EmptyBody, SkippedKey<'_>, StepUp, TracingAudit, Consent, DetailsDialect, GrantedDetails<'_>,
    );
}

#[test]
fn every_error_can_be_handed_on() {
    hold!(Error Send Sync;
        StoreUnavailable, ConfigError,
        Denial, DetailProblem, InvalidName, InvalidToken, KeyProblem, KeySetError, KeysUnavailable,
        Reason, RulesMismatch, ScopeCycle, Unguarded, Unmet, WrongClaimType,
    );
}

#[test]
fn a_layer_with_a_closure_for_a_body_can_be_shared() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    let guard = Guard::new(
        Audience::from_static("https://orders.example"),
        TestIssuer::new("https://login.example").issuer(),
    );
    let layer =
        guard.require_by(|_| Require::valid_token()).body(|denial: &Denial| denial.to_string());
    shared(&layer);
}
