//! What holds of every input: parsers do not panic, and nothing that was changed is accepted.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::common::vendors::{Vendor, vendors};
use crate::common::*;
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use unconfused::audit::Printable;
use unconfused::error::InvalidToken;
use unconfused::keys::KeySet;
use unconfused::profile::{ClaimRule, HeaderType, Profile, ScopeShape};
use unconfused::testing::{TestIssuer, TestToken};
use unconfused::token::{Credential, ScopeHierarchy, TokenLimits, UnverifiedToken, Validation};
use unconfused::{AccessToken, Acr, Audience, Reason, Require, Scope};

fn keys() -> &'static KeySet {
    static KEYS: OnceLock<KeySet> = OnceLock::new();
    KEYS.get_or_init(|| login().keys())
}

fn check(raw: &str) -> Result<AccessToken, InvalidToken> {
    UnverifiedToken::parse(raw)?.validate(&validation(), keys(), now())
}

/// Looks at everything that a token shows.
fn look_at(token: &AccessToken) {
    let requirement = Require::scope(Scope::from_static("a"))
        .acr([Acr::from_static("phr")])
        .max_age(secs(60))
        .actor([(LOGIN, "agent-7")])
        .issuer([LOGIN])
        .client([(LOGIN, "c")])
        .person();
    let _ = requirement.check(token, now());
    let _ = Require::valid_token().check(token, now());
    let _ = (token.actor(), token.may_act(), token.auth_time());
    let _ = token.prior_actors().count()
        + token.scopes().count()
        + token.amr().map_or(0, Iterator::count);
    let _ = token.claim::<Value>("x");
    let _ = format!("{token:?}");
}

/// The reasons for which the claims of a signed token can be refused.
const OF_CLAIMS: [Reason; 16] = [
    Reason::IssuerMissing,
    Reason::IssuerUntrusted,
    Reason::ClaimsMalformed,
    Reason::ClaimTypeInvalid,
    Reason::AuthorizationDetailsInvalid,
    Reason::RequiredClaimMissing,
    Reason::TokenExpired,
    Reason::TokenNotYetValid,
    Reason::IssuedInFuture,
    Reason::TokenLifetimeExceeded,
    Reason::AudienceMismatch,
    Reason::ActorMalformed,
    Reason::ActorChainTooDeep,
    Reason::ConfirmationUnsupported,
    Reason::BoundTokenAsBearer,
    Reason::ClientCertificateMissing,
];

/// Any JSON value.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        select(vec![LOGIN, "https://orders.example", "alice", "", "a b"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let member = prop_oneof![
            select(vec!["sub", "iss", "act", "type", "jkt", "kty"]).prop_map(str::to_owned),
            any::<String>(),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(member, inner, 0..4)
                .prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    })
}

/// The text of a JSON value, or nearly one.
fn json_text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => json_value().prop_map(|value| value.to_string()),
        3 => r"-?[0-9]{1,22}(\.[0-9]{1,6})?([eE][+-]?[0-9]{1,4})?",
        1 => (NOW - 100..NOW + 100).prop_map(|seconds| seconds.to_string()),
        1 => (0_usize..60).prop_map(|depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth))),
        1 => (0_usize..40).prop_map(|links| {
            format!(r#"{}{{"sub":"a"}}{}"#, r#"{"sub":"a","act":"#.repeat(links), "}".repeat(links))
        }),
        1 => r#""(\\u[0-9a-f]{4}|\\["\\/bfnrt]|[ -!#-\[\]-~]){0,8}""#,
        1 => any::<String>(),
    ]
}

/// A payload that starts as a good one; some members have other values, and some are there twice.
fn payload() -> impl Strategy<Value = String> {
    let name = select(vec![
        "iss",
        "sub",
        "aud",
        "exp",
        "iat",
        "nbf",
        "client_id",
        "jti",
        "scope",
        "acr",
        "amr",
        "auth_time",
        "act",
        "may_act",
        "cnf",
        "authorization_details",
        "x",
    ]);
    let changes = prop::collection::vec((name, json_text(), prop::bool::weighted(0.1)), 0..4);
    changes.prop_map(|changes| {
        let mut members = vec![
            ("iss", json!(LOGIN).to_string()),
            ("sub", json!("alice").to_string()),
            ("aud", json!("https://orders.example").to_string()),
            ("exp", (NOW + 300).to_string()),
            ("iat", NOW.to_string()),
            ("client_id", json!("c").to_string()),
            ("jti", json!("j").to_string()),
        ];
        for (name, value, again) in changes {
            if !again {
                members.retain(|(n, _)| *n != name);
            }
            members.push((name, value));
        }
        let members: Vec<_> =
            members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

/// Something done to a text.
#[derive(Debug, Clone)]
enum Change {
    Replace(Index, char),
    Insert(Index, char),
    Delete(Index),
    Cut(Index),
    Swap(Index, Index),
    Double(Index),
}

fn change() -> impl Strategy<Value = Change> {
    let character = || {
        prop_oneof![
            8 => prop::char::ranges(vec!['A'..='Z', 'a'..='z', '0'..='9'].into()),
            2 => select(vec!['-', '_', '.', '=', '+', '/', ' ', '\n', '\0', '~', '{']),
            1 => any::<char>(),
        ]
    };
    let place = any::<Index>;
    prop_oneof![
        (place(), character()).prop_map(|(at, c)| Change::Replace(at, c)),
        (place(), character()).prop_map(|(at, c)| Change::Insert(at, c)),
        place().prop_map(Change::Delete),
        place().prop_map(Change::Cut),
        (place(), place()).prop_map(|(a, b)| Change::Swap(a, b)),
        place().prop_map(Change::Double),
    ]
}

fn changed(text: &str, changes: &[Change]) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for change in changes {
        if text.is_empty() {
            break;
        }
        let len = text.len();
        match change {
            Change::Replace(at, c) => text[at.index(len)] = *c,
            Change::Insert(at, c) => text.insert(at.index(len + 1), *c),
            Change::Delete(at) => drop(text.remove(at.index(len))),
            Change::Cut(at) => text.truncate(at.index(len)),
            Change::Swap(a, b) => text.swap(a.index(len), b.index(len)),
            Change::Double(at) => {
                let tail = text[at.index(len)..].to_vec();
                text.extend(tail);
            }
        }
    }
    text.into_iter().collect()
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn no_text_is_a_token(text in any::<String>()) {
        prop_assert!(check(&text).is_err());
    }

    #[test]
    fn no_text_of_the_alphabet_of_tokens_is_a_token(text in r"[A-Za-z0-9_\-.]{0,200}") {
        prop_assert!(check(&text).is_err());
    }

    #[test]
    fn no_header_and_payload_are_a_token_without_the_key(
        header in json_value(),
        alg in select(vec!["ES256", "RS256", "PS256", "Ed25519", "none", "HS256"]),
        with_header in any::<bool>(),
        payload in prop::collection::vec(any::<u8>(), 0..200),
        claims in payload(),
        with_claims in any::<bool>(),
        signature in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let header = match with_header {
            true => header.to_string(),
            false => json!({ "alg": alg, "typ": "at+jwt", "kid": "test-1" }).to_string(),
        };
        let payload = match with_claims {
            true => claims.into_bytes(),
            false => payload,
        };
        let refused = check(&compact(&header, payload, &signature));
        prop_assert!(refused.is_err());
        // Nothing that is checked later shows.
        let reason = refused.unwrap_err().reason();
        prop_assert!(reason <= Reason::SignatureInvalid, "{}", reason);
    }

    #[test]
    fn a_changed_token_is_refused(changes in prop::collection::vec(change(), 1..4)) {
        static GOOD: OnceLock<String> = OnceLock::new();
        let good = GOOD.get_or_init(|| token().scope("orders:read").actor("agent-7").sign());
        let text = changed(good, &changes);
        let accepted = check(&text).is_ok();
        // Changes may undo each other.
        prop_assert_eq!(accepted, &text == good, "{}", text);
    }

    #[test]
    fn a_scope_is_allowed_if_it_is_held_or_a_path_of_implications_leads_to_it(
        implications in prop::collection::vec((0_usize..8, 0_usize..8), 0..16),
        held in prop::collection::btree_set(0_usize..10, 0..6),
    ) {
        // Of different lengths, and some of the same.
        let names = ["a", "b", "aa", "ab", "ba", "b:read", "b:writ", "a:read:all", "other", "x"];
        let scope = |n: usize| Scope::from_static(names[n]);
        // From a lower to a higher number, so there is no cycle.
        let edges: Vec<_> = implications.into_iter().filter(|(broad, narrow)| broad < narrow).collect();
        let hierarchy = edges.iter().map(|(broad, narrow)| (scope(*broad), [scope(*narrow)]));
        let validation = validation().scope_hierarchy(ScopeHierarchy::new(hierarchy).unwrap());
        let text: Vec<_> = held.iter().map(|n| names[*n]).collect();
        let token = validate_by(&validation, &token().scope(&text.join(" ")), now()).unwrap();
        let mut allowed = held;
        for from in 0..names.len() {
            if allowed.contains(&from) {
                allowed.extend(edges.iter().filter(|(broad, _)| *broad == from).map(|(_, n)| *n));
            }
        }
        for (asked, name) in names.into_iter().enumerate() {
            prop_assert_eq!(token.allows(&scope(asked)), allowed.contains(&asked), "{}", name);
        }
        let choice = Require::any_scope((5..names.len()).map(scope));
        prop_assert_eq!(choice.check(&token, now()).is_ok(), allowed.iter().any(|n| *n >= 5));
    }

    #[test]
    fn parts_of_two_tokens_are_no_token(first in "[a-z]{1,8}", second in "[A-Z]{1,8}") {
        let (a, b) = (token().subject(&first).sign(), token().subject(&second).sign());
        let (a, b): (Vec<_>, Vec<_>) = (a.split('.').collect(), b.split('.').collect());
        for parts in [[a[0], b[1], a[2]], [a[0], a[1], b[2]], [b[0], a[1], b[2]]] {
            let refused = check(&parts.join(".")).unwrap_err();
            prop_assert_eq!(refused.reason(), Reason::SignatureInvalid);
        }
    }

    #[test]
    fn signed_claims_are_accepted_or_have_a_reason_of_their_own(payload in payload()) {
        match check(&token().payload(payload).sign()) {
            Ok(token) => {
                look_at(&token);
                prop_assert_eq!(token.issuer(), LOGIN);
                prop_assert!(token.audiences().any(|name| name == ORDERS.as_str()));
                prop_assert!(!token.subject().name().is_empty());
                prop_assert!(token.expires_at() > at(-30));
                prop_assert!(token.issued_at().unwrap() <= at(30));
            }
            Err(invalid) => {
                prop_assert!(OF_CLAIMS.contains(&invalid.reason()), "{}", invalid);
                prop_assert!(!invalid.to_string().contains('\n'), "{}", invalid);
            }
        }
    }

    #[test]
    fn any_signed_json_is_refused_with_a_reason_of_its_own(value in json_value()) {
        let invalid = check(&token().payload(value.to_string()).sign()).unwrap_err();
        prop_assert!(OF_CLAIMS.contains(&invalid.reason()), "{}", invalid);
    }

    #[test]
    fn any_signed_text_is_refused_with_a_reason_of_its_own(text in "\\PC{1,60}") {
        let invalid = check(&token().payload(text).sign()).unwrap_err();
        prop_assert!(OF_CLAIMS.contains(&invalid.reason()), "{}", invalid);
    }

    #[test]
    fn no_text_panics_as_a_key_set(text in any::<String>()) {
        let _ = KeySet::from_json(&text);
    }

    #[test]
    fn no_json_panics_as_a_key_set(value in json_value()) {
        let _ = KeySet::from_json(&value.to_string());
    }

    #[test]
    fn every_key_of_a_set_is_counted_and_the_good_one_serves(
        odd in prop::collection::vec(odd_key(), 0..5),
        at in any::<Index>(),
    ) {
        static GOOD: OnceLock<(String, String)> = OnceLock::new();
        let (key, raw) = GOOD.get_or_init(|| {
            let set: Value = serde_json::from_str(&login().jwks()).unwrap();
            (set["keys"][0].to_string(), token().sign())
        });
        let mut members: Vec<_> = odd.iter().map(Value::to_string).collect();
        members.insert(at.index(members.len() + 1), key.clone());
        let set = KeySet::from_json(&format!(r#"{{"keys":[{}]}}"#, members.join(","))).unwrap();
        prop_assert_eq!(set.len() + set.skipped().count(), members.len());
        prop_assert_eq!(set.len(), 1);
        for skipped in set.skipped() {
            prop_assert!(!skipped.to_string().contains('\n'));
        }
        let token = UnverifiedToken::parse(raw).unwrap();
        prop_assert!(token.validate(&validation(), &set, now()).is_ok());
    }

    #[test]
    fn a_field_is_a_credential_only_if_it_is_a_scheme_spaces_and_a_token(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            r"[Bb]earer {0,2}[A-Za-z0-9._~+/=, -]{0,60}".prop_map(String::into_bytes),
        ],
        max_bytes in 0_usize..80,
    ) {
        let Ok(field) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
        let mut headers = HeaderMap::new();
        headers.insert("authorization", field.clone());
        match Credential::from_headers(&headers, &TokenLimits::default().max_bytes(max_bytes)) {
            Ok(credential) => {
                let token = credential.expose();
                prop_assert!(!token.is_empty() && token.len() <= max_bytes);
                let body = token.trim_end_matches('=');
                let in_alphabet = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
                prop_assert!(!body.is_empty() && body.bytes().all(in_alphabet));
                let text = field.to_str().unwrap();
                prop_assert!(text[..7].eq_ignore_ascii_case("bearer "));
                prop_assert_eq!(text[7..].trim_start_matches(' '), token);
                prop_assert_eq!(format!("{:?}", credential), "Credential(..)");
            }
            Err(reason) => prop_assert!(
                (Reason::CredentialTooLarge..=Reason::MalformedAuthorization).contains(&reason)
                    && reason != Reason::MissingCredentials
                    && reason != Reason::MultipleCredentials,
                "{}", reason
            ),
        }
        // Of two fields, neither is chosen.
        headers.append("authorization", field);
        let twice = Credential::from_headers(&headers, &TokenLimits::default()).unwrap_err();
        prop_assert_eq!(twice, Reason::MultipleCredentials);
    }

    #[test]
    fn a_name_is_accepted_exactly_if_its_grammar_says_so(
        text in prop_oneof![any::<String>(), r"[ -~]{0,12}", r"[!#-\[\]-~]{0,12}"],
    ) {
        let visible = |c: char| matches!(c, '\x21' | '\x23'..='\x5b' | '\x5d'..='\x7e');
        let token = !text.is_empty() && text.chars().all(visible);
        let plain = !text.is_empty() && !text.chars().any(|c| c.is_ascii_control());
        prop_assert_eq!(Scope::new(&*text).is_ok(), token);
        prop_assert_eq!(Acr::new(&*text).is_ok(), token);
        prop_assert_eq!(Audience::new(&*text).is_ok(), plain);
        if let Ok(scope) = text.parse::<Scope>() {
            prop_assert_eq!(scope.as_str(), &*text);
            prop_assert_eq!(scope.to_string(), text);
        }
    }

    #[test]
    fn what_is_shown_has_no_characters_that_change_what_is_seen(text in hostile_text()) {
        let shown = Printable::from(&*text).to_string();
        prop_assert!(!shown.chars().any(char::is_control), "{:?}", shown);
        prop_assert!(!shown.chars().any(is_deceptive), "{:?}", shown);
        // An escape takes at most ten characters, the mark of a cut one.
        prop_assert!(shown.chars().count() <= Printable::LIMIT * 10 + 1);
        prop_assert_eq!(Printable::from(&*text).raw(), &*text);
    }

    #[test]
    fn what_is_shown_reads_back_as_far_as_it_goes(text in hostile_text()) {
        let shown = Printable::from(&*text).to_string();
        let kept: String = text.chars().take(Printable::LIMIT).collect();
        let was_cut = text.chars().count() > Printable::LIMIT;
        let shown = match was_cut {
            true => shown.strip_suffix('…').unwrap(),
            false => &shown,
        };
        prop_assert_eq!(unescaped(shown), kept);
    }
}

// Profiles.

/// An issuer with a tenant in its name.
const TENANTED: &str = "https://login.example/acme/v2.0";

fn tenanted() -> &'static (TestIssuer, KeySet) {
    static ISSUER: OnceLock<(TestIssuer, KeySet)> = OnceLock::new();
    ISSUER.get_or_init(|| {
        let issuer = TestIssuer::new(TENANTED);
        let keys = issuer.keys();
        (issuer, keys)
    })
}

/// Those of vendors, with each `typ` that their tokens have, one with a list of clients, and one of a user's own.
fn profiles() -> &'static [(Option<&'static str>, Profile)] {
    static PROFILES: OnceLock<Vec<(Option<&'static str>, Profile)>> = OnceLock::new();
    PROFILES.get_or_init(|| {
        let own = Profile::rfc9068()
            .types([HeaderType::Jwt, HeaderType::AccessToken, HeaderType::Absent])
            .subject_claim("uid")
            .subject_or_client()
            .client_claims(["cid", "azp"])
            .client_optional()
            .token_id_optional()
            .scope_claims([("scope", ScopeShape::Either), ("scp", ScopeShape::Either)])
            .subject_is_not_a_person_if([ClaimRule::present("gty")])
            .client_is_agent_if([ClaimRule::same("azp", "cid")]);
        let each =
            |vendor: Vendor| vendor.types.into_iter().map(move |typ| (typ, vendor.profile.clone()));
        let mut profiles: Vec<_> = vendors().into_iter().flat_map(each).collect();
        profiles.push((None, Profile::cognito().client_list_instead_of_audience(["c"])));
        profiles.push((Some("JWT"), own));
        profiles
    })
}

type Members = Vec<(&'static str, String)>;

/// What every profile reads, so that each accepts it with one or the other `ver` and `scp`.
fn vendor_claims(ver: &str, scp: &Value) -> Members {
    let text = |text: &str| json!(text).to_string();
    vec![
        ("iss", text(TENANTED)),
        ("sub", text("alice")),
        ("aud", text("https://orders.example")),
        ("exp", (NOW + 300).to_string()),
        ("iat", NOW.to_string()),
        ("client_id", text("c")),
        ("azp", text("c")),
        ("appid", text("c")),
        ("cid", text("c")),
        ("jti", text("j")),
        ("oid", text("o")),
        ("uid", text("u")),
        ("uti", text("t")),
        ("tid", text("acme")),
        ("ver", text(ver)),
        ("aut", text("APPLICATION_USER")),
        ("typ", text("Bearer")),
        ("token_use", text("access")),
        ("type", text("app")),
        ("scope", text("orders:read")),
        ("scp", scp.to_string()),
    ]
}

/// The token with these members, some of them perhaps twice.
fn of_members(typ: Option<&str>, members: &Members) -> TestToken {
    let members: Vec<_> =
        members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    let token = tenanted().0.token(&ORDERS).payload(format!("{{{}}}", members.join(",")));
    match typ {
        Some(typ) => token.header("typ", typ),
        None => token.without_header("typ"),
    }
}

fn check_by(profile: &Profile, token: &str) -> Result<AccessToken, InvalidToken> {
    let validation = Validation::new(ORDERS, TENANTED).profile(profile.clone());
    UnverifiedToken::parse(token)?.validate(&validation, &tenanted().1, now())
}

/// Changes of what any profile reads, often of times and audiences.
fn vendor_changes() -> impl Strategy<Value = Members> {
    let name = select(vec![
        "sub",
        "client_id",
        "azp",
        "appid",
        "cid",
        "jti",
        "oid",
        "uid",
        "uti",
        "tid",
        "ver",
        "typ",
        "token_use",
        "tokenName",
        "scope",
        "scp",
        "nonce",
        "at_hash",
        "act",
        "idtyp",
        "gty",
        "aut",
        "xms_act_fct",
        "xms_sub_fct",
        "xms_par_app_azp",
        "preferred_username",
        "org_id",
        "env",
        "organization_id",
        "type",
        "common_name",
        "email",
        "cnf",
        "nbf",
        "iat",
    ]);
    let value = prop_oneof![
        2 => json_text(),
        2 => select(vec![
            r#""""#, r#""c""#, r#""alice""#, r#""o""#, r#""11""#, r#""13 11""#, r#""app""#, "[]",
            r#"["orders:read"]"#, r#"{"sub":"agent-7"}"#, r#""access""#, r#""2.0""#, "null",
        ]).prop_map(str::to_owned),
    ];
    let aud = prop_oneof![
        select(vec![
            r#""https://billing.example""#,
            r#"["https://billing.example","c"]"#,
            "[]",
            r#""""#,
            r#""c""#,
            r#"["https://orders.example","x"]"#,
            r#""https://orders.example/""#,
            "null",
        ])
        .prop_map(str::to_owned),
        json_text(),
    ];
    let exp =
        prop_oneof![(NOW - 10_000..NOW + 10_000).prop_map(|exp| exp.to_string()), json_text(),];
    let important = prop_oneof![
        3 => Just(Vec::new()),
        2 => aud.prop_map(|aud| vec![("aud", aud)]),
        2 => exp.prop_map(|exp| vec![("exp", exp)]),
    ];
    (prop::collection::vec((name, value), 0..4), important)
        .prop_map(|(changes, important)| [changes, important].concat())
}

#[test]
fn each_profile_accepts_the_claims_that_are_changed_here() {
    for (typ, profile) in profiles() {
        let accepted = ["1.0", "2.0"].iter().any(|ver| {
            [json!("orders:read"), json!(["orders:read"])].iter().any(|scp| {
                check_by(profile, &of_members(*typ, &vendor_claims(ver, scp)).sign()).is_ok()
            })
        });
        assert!(accepted, "{profile:?}");
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn what_is_expired_or_meant_for_another_is_so_by_every_profile(
        ver in select(vec!["1.0", "2.0"]),
        array in any::<bool>(),
        changes in vendor_changes(),
    ) {
        let scp = if array { json!(["orders:read"]) } else { json!("orders:read") };
        let mut members = vendor_claims(ver, &scp);
        for (name, value) in changes {
            members.retain(|(n, _)| *n != name);
            members.push((name, value));
        }
        let strictly = check_by(&Profile::rfc9068(), &of_members(Some("at+jwt"), &members).sign());
        let lost = strictly.is_err_and(|invalid| {
            [Reason::AudienceMismatch, Reason::TokenExpired].contains(&invalid.reason())
        });
        let mut by_type = BTreeMap::new();
        for (typ, profile) in profiles() {
            let token = by_type.entry(*typ).or_insert_with(|| of_members(*typ, &members).sign());
            match check_by(profile, token) {
                Ok(token) => {
                    prop_assert!(!lost, "{:?} {:?}", profile, members);
                    look_at(&token);
                    prop_assert!(!token.subject().name().is_empty());
                    prop_assert!(token.client_id() != Some("") && token.jti() != Some(""));
                    prop_assert!(token.expires_at() > at(-30));
                    prop_assert!(token.issued_at().unwrap() <= at(30));
                    let ours = token.audiences().any(|name| name == ORDERS.as_str());
                    prop_assert_eq!(token.audience().is_some(), ours);
                    // Without an audience, by the list alone.
                    let listed = *profile == Profile::cognito().client_list_instead_of_audience(["c"]);
                    let by_list = listed
                        && token.audiences().count() == 0
                        && token.client_id() == Some("c");
                    prop_assert!(ours || by_list, "{:?} {:?}", profile, members);
                    prop_assert!(matches!(token.claim::<Value>("cnf"), Ok(None)));
                }
                Err(invalid) => {
                    let kind = Reason::TokenKindRejected;
                    let tenant = Reason::TenantMismatch;
                    let reason = invalid.reason();
                    let known = OF_CLAIMS.contains(&reason) || reason == kind || reason == tenant;
                    prop_assert!(known, "{}", invalid);
                    prop_assert!(!invalid.to_string().contains('\n'), "{}", invalid);
                }
            }
        }
    }

    #[test]
    fn no_word_of_the_header_makes_a_type_that_a_profile_does_not_have(
        typ in prop_oneof![
            r"(application/)?[a-z+-]{0,12}(jwt|JWT)?",
            r"(at|id|dpop|logout)\+?jwt[ ;]?",
            any::<String>(),
        ],
    ) {
        let short = typ.to_lowercase();
        let short = short.strip_prefix("application/").unwrap_or(&short);
        let token = of_members(Some(&typ), &vendor_claims("2.0", &json!("a"))).sign();
        for (_, profile) in profiles() {
            let refused = check_by(profile, &token).err();
            if !["jwt", "at+jwt"].contains(&short) {
                let refused = refused.map(|invalid| invalid.reason());
                prop_assert_eq!(refused, Some(Reason::TokenTypeMismatch), "{:?}", typ);
            }
        }
    }
}

/// A key that cannot be used.
fn odd_key() -> impl Strategy<Value = Value> {
    let kty = select(vec!["EC", "RSA", "OKP", "oct", "AKP"]);
    let crv = select(vec!["P-256", "P-384", "Ed25519", "secp256k1"]);
    let number = r"[A-Za-z0-9_-]{0,50}";
    let made = (kty, crv, number, number, json_value()).prop_map(|(kty, crv, x, n, odd)| {
        json!({ "kty": kty, "crv": crv, "x": x, "y": x, "n": n, "e": "AQAB", "kid": odd })
    });
    prop_oneof![json_value(), made]
}

fn hostile_text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        4 => any::<char>(),
        4 => prop::char::range(' ', '~'),
        4 => select(vec![
            '\n', '\r', '\t', '\0', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}', '"', '\\', '\u{ad}',
            '\u{200b}', '\u{200e}', '\u{2028}', '\u{202e}', '\u{2066}', '\u{feff}', '\u{e0041}',
            '\u{a0}', '\u{3000}', '…', 'u', '{', '}',
        ]),
    ];
    prop::collection::vec(character, 0..400).prop_map(String::from_iter)
}

/// Direction marks, line separators, characters without width.
fn is_deceptive(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
        || (c.is_whitespace() && c != ' ')
}

/// The text that was shown.
fn unescaped(shown: &str) -> String {
    let mut text = String::new();
    let mut rest = shown.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            assert_ne!(c, '"', "a quote without its escape");
            text.push(c);
            continue;
        }
        text.push(match rest.next().unwrap() {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                assert_eq!(rest.next(), Some('{'));
                let digits: String = rest.by_ref().take_while(|c| *c != '}').collect();
                u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).unwrap()
            }
            same => same,
        });
    }
    text
}
