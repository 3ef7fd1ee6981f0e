//! Verdicts on cases: a black box for test suites and for comparing verifiers.
//!
//! ```sh
//! cargo run --release --example verdicts < cases.jsonl > verdicts.jsonl
//! ```
//!
//! Each line of the input is a case, a JSON object:
//!
//! | member | meaning |
//! |---|---|
//! | `id` | names the case |
//! | `mode` | what is asked, see below |
//! | `now` | the time it is judged by, in seconds since 1970 |
//! | `jwks` | the JWK Set, read as it is written |
//! | `scheme`, `token` | the credential; the scheme is `Bearer` where there is none |
//! | `dpop` | an object: `proof`, the value of the `DPoP` field; `method` and `url` of the request |
//! | `client_cert_der_b64` | the certificate of the connection, in base64 |
//! | `replay` | true: the request comes twice, and the verdict is about the second |
//! | `needs` | what the case needs beyond the plain path |
//! | `check` | an object: which values of an accepted token to report |
//! | `policy` | what is asked, see below |
//!
//! | `mode` | question |
//! |---|---|
//! | `access_token` | may this request pass under `policy`? |
//! | `jws` | do `jwks` and `policy.algorithms` verify this compact JWS? |
//! | `dpop` | is the proof right for `token`, which may be opaque, the request, and the key `policy.dpop_jkt`? |
//! | `thumbprint` | is `value` the thumbprint of `jwk` (RFC 7638)? |
//! | `cert_thumbprint` | is `value` the `x5t#S256` of `client_cert_der_b64` (RFC 8705)? |
//! | `ath` | is `value` the `ath` of `token` (RFC 9449)? |
//!
//! | member of `policy` | meaning |
//! |---|---|
//! | `issuer`, `audience` | `iss`; one name of this resource or a list of them |
//! | `audience_claim` | `aud`, or a claim that names the client: then `audience` is a list of clients, and a token that does have an `aud` must name one of it there too |
//! | `typ` | `at+jwt`, also where there is none; `JWT`; null: these two or none |
//! | `client_id_claims` | which claims may name the client, the first that is there; `client_id` |
//! | `scope_claims`, `scope_shape` | which claims hold scopes; `scope`. That one is a string, or with `array_or_string` an array too; others are either |
//! | `algorithms` | the only ones that are allowed |
//! | `leeway_s`, `max_lifetime_s`, `max_token_age_s`, `max_token_bytes`, `max_chain` | limits; without them: 0 (60 at most), none, none, 16384, 8 |
//! | `required_claims` | the seven of RFC 9068, or others; of a token without `sub`, `exp` or `iat` nothing is said where they are not listed |
//! | `claim_equals` | claims with the one value they may have |
//! | `scopes_all`, `scopes_any` | all of these, one of these |
//! | `acr_any`, `acr_order` and `acr_min`, `max_age_s` | how and when the subject authenticated; `acr_order` begins with the weakest |
//! | `actor_allowed`, `actor_required` | who may act: a `sub` of the issuer, or an object of `iss` and `sub`; anybody where there is no list; whether somebody must |
//! | `actor_check` | `current` actor, or `every_hop` of the chain |
//! | `delegation` | `allow`, or `forbid`: no `act` at all |
//! | `dpop_algs`, `dpop_max_age_s` | algorithms of proofs, and how far their `iat` may be from `now`, both ways; `ES256`, 300 |
//! | `dpop_nonce` | the nonce that a proof must have. Nonces of this crate are its own: a proof with this very one is judged by its time, and every other by a guard's nonces, of which it has none |
//! | `dpop_required`, `mtls_required` | the token must be bound to a proof key, to a certificate |
//!
//! For each line there is one line of output, in the same order:
//! `{"id", "verdict", "reason", "error", "status", "check"}`. The verdict is `accept`, `reject` or
//! `skip`; a refusal has the crate's reason, the OAuth error and the HTTP status. `skip` means that the
//! case asks something that this crate does not offer or that the line is no case; nothing was judged then.
//! It is also what comes of a token that lacks a claim which the policy does without and this crate does not.
//!
//! A policy that deviates from RFC 9068 becomes a [`Profile`]. Beside what the policy says, a profile
//! for `JWT`, or for no type, refuses what looks like another kind of token.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, BufWriter, Write};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method, Uri};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use time::UtcDateTime;
use unconfused::keys::{Algorithm, KeySet};
use unconfused::profile::{HeaderType, Profile, ScopeShape};
use unconfused::proof::{ClientCertificate, Dpop, Nonces, Possession};
use unconfused::testing::TestProofKey;
use unconfused::token::{Credential, TokenLimits, UnverifiedToken, Validation};
use unconfused::{AccessToken, Acr, Actor, Audience, Party, Reason, Require, Scope};

fn main() -> io::Result<()> {
    let mut input = io::stdin().lock();
    let mut output = BufWriter::new(io::stdout().lock());
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        serde_json::to_writer(&mut output, &verdict(&line))?;
        output.write_all(b"\n")?;
        line.clear();
    }
    output.flush()
}

/// One line of the output.
#[derive(Serialize)]
struct Verdict {
    id: Option<String>,
    verdict: &'static str,
    reason: Option<&'static str>,
    error: Option<&'static str>,
    status: Option<u16>,
    check: Map<String, Value>,
}

/// What came of one case.
enum Outcome {
    Accept(Map<String, Value>),
    Reject(Reason),
    Skip,
}

impl From<Reason> for Outcome {
    fn from(reason: Reason) -> Self {
        Outcome::Reject(reason)
    }
}

fn verdict(line: &[u8]) -> Verdict {
    let case = Case::read(line);
    let id = case.as_ref().and_then(|case| case.get("id"));
    let outcome = match &case {
        Some(case) if id.is_some() => judge(case).unwrap_or(Outcome::Skip),
        _ => Outcome::Skip,
    };
    let (verdict, status, reason, check) = match outcome {
        Outcome::Accept(check) => ("accept", Some(200), None, check),
        Outcome::Reject(reason) => {
            let status = reason.status().as_u16();
            ("reject", Some(status), Some(reason), Map::new())
        }
        Outcome::Skip => ("skip", None, None, Map::new()),
    };
    Verdict {
        id,
        verdict,
        reason: reason.map(Reason::as_str),
        error: reason.and_then(Reason::error),
        status,
        check,
    }
}

/// The members of an object, each as it was written: a key set may have members twice, and that
/// must not be lost on the way.
struct Case<'a>(HashMap<String, &'a RawValue>);

impl<'a> Case<'a> {
    fn read(line: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(line).ok().map(Case)
    }

    /// `None`: not there, or no `T`.
    fn get<T: Deserialize<'a>>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.0.get(name)?.get()).ok()
    }

    /// Absent and null are the default; `None`: no `T`.
    fn optional<T: Deserialize<'a>>(&self, name: &str) -> Option<Option<T>> {
        match self.0.get(name) {
            None => Some(None),
            Some(raw) => serde_json::from_str(raw.get()).ok(),
        }
    }

    /// `None`: it cannot be read.
    fn certificate(&self) -> Option<Option<ClientCertificate>> {
        let der: Option<Cow<'_, str>> = self.optional("client_cert_der_b64")?;
        let Some(der) = der else { return Some(None) };
        Some(Some(ClientCertificate::from_der(STANDARD.decode(&*der).ok()?)))
    }

    fn is_replay(&self) -> Option<bool> {
        Some(self.optional("replay")?.unwrap_or(false))
    }

    /// The key set; one without keys where there is none.
    fn keys(&self) -> KeySet {
        let json = self.0.get("jwks").map_or("", |raw| raw.get());
        KeySet::from_json(json).unwrap_or_default()
    }
}

/// `None`: the case cannot be judged.
fn judge(case: &Case<'_>) -> Option<Outcome> {
    let needs: Vec<String> = case.optional("needs")?.unwrap_or_default();
    if !needs.iter().all(|need| is_offered(need)) {
        return None;
    }
    let policy = || case.get("policy").map(Policy);
    match &*case.get::<Cow<'_, str>>("mode")? {
        "access_token" => access_token(case, &policy()?),
        "jws" => jws(case, &policy()?),
        "dpop" => dpop(case, &policy()?),
        "thumbprint" => thumbprint(case),
        "cert_thumbprint" => cert_thumbprint(case),
        "ath" => ath(case),
        _ => None,
    }
}

fn is_offered(need: &str) -> bool {
    let algorithm = need.strip_prefix("alg:").or(need.strip_prefix("dpop_alg:"));
    match algorithm {
        Some(name) => Algorithm::from_name(name).is_some(),
        None => ["act", "acr_any", "aud_list", "dpop", "mtls"].contains(&need),
    }
}

/// The request of a proof.
struct Shown {
    /// No field where there is none.
    proof: Option<String>,
    method: Method,
    dpop: Dpop,
    path: String,
}

impl Shown {
    fn of(case: &Case<'_>, policy: &Policy) -> Option<Self> {
        let shown: Option<Map<String, Value>> = case.optional("dpop")?;
        let Some(shown) = shown else {
            let dpop = policy.dpop("https://nowhere.example", None)?;
            return Some(Shown { proof: None, method: Method::GET, dpop, path: "/".to_owned() });
        };
        let text = |name: &str| shown.get(name).and_then(Value::as_str);
        let proof = match shown.get("proof") {
            None | Some(Value::Null) => None,
            Some(proof) => Some(proof.as_str()?.to_owned()),
        };
        let url: Uri = text("url")?.parse().ok()?;
        let base = format!("{}://{}", url.scheme()?, url.authority()?);
        Some(Shown {
            method: text("method")?.parse().ok()?,
            dpop: policy.dpop(&base, proof.as_deref())?,
            path: url.path().to_owned(),
            proof,
        })
    }

    fn possession(&self) -> Possession<'_> {
        Possession::dpop(self.proof.as_deref().unwrap_or_default(), &self.method, &self.path)
    }

    /// For the plain functions there is a field, and it may be empty.
    fn reason(&self, reason: Reason) -> Reason {
        match reason {
            Reason::DpopProofMalformed if self.proof.is_none() => Reason::DpopProofMissing,
            reason => reason,
        }
    }
}

fn dpop(case: &Case<'_>, policy: &Policy) -> Option<Outcome> {
    let token: Cow<'_, str> = case.get("token")?;
    let (jkt, now) = (policy.text("dpop_jkt")??, time(case.get("now")?)?);
    let shown = Shown::of(case, policy)?;
    let mut seen = HashSet::new();
    let mut present = || {
        let proof = shown.dpop.check(&shown.possession(), &token, jkt, now);
        let proof = proof.map_err(|reason| shown.reason(reason))?;
        match seen.insert((proof.key().to_owned(), proof.jti().to_owned())) {
            true => Ok(()),
            false => Err(Reason::DpopProofReplayed),
        }
    };
    if case.is_replay()? && present().is_err() {
        return None;
    }
    Some(match present() {
        Ok(()) => Outcome::Accept(Map::new()),
        Err(reason) => reason.into(),
    })
}

/// Of a key that can be used. Of others the crate makes none.
fn thumbprint(case: &Case<'_>) -> Option<Outcome> {
    let set = format!(r#"{{"keys":[{}]}}"#, case.0.get("jwk")?.get());
    let thumbprint = KeySet::from_json(&set).ok()?.thumbprints().next()?;
    Some(equal(case, &thumbprint, Reason::DpopKeyMismatch))
}

fn cert_thumbprint(case: &Case<'_>) -> Option<Outcome> {
    let thumbprint = case.certificate()??.thumbprint();
    Some(equal(case, &thumbprint, Reason::ClientCertificateMismatch))
}

fn equal(case: &Case<'_>, expected: &str, reason: Reason) -> Outcome {
    match case.get::<Cow<'_, str>>("value") {
        Some(value) if value == expected => Outcome::Accept(Map::new()),
        _ => reason.into(),
    }
}

/// Whether a proof that has this value would do for the token.
fn ath(case: &Case<'_>) -> Option<Outcome> {
    const BASE: &str = "https://nowhere.example";
    let (token, value): (Cow<'_, str>, Cow<'_, str>) = (case.get("token")?, case.get("value")?);
    let key = TestProofKey::new();
    let now = UtcDateTime::UNIX_EPOCH;
    let proof = key.proof("GET", &format!("{BASE}/")).at(now).claim("ath", &*value).sign();
    let possession = Possession::dpop(&proof, &Method::GET, "/");
    let checked = Dpop::for_base_url(BASE).ok()?.check(&possession, &token, &key.thumbprint(), now);
    Some(match checked {
        Ok(_) => Outcome::Accept(Map::new()),
        Err(reason) => reason.into(),
    })
}

fn jws(case: &Case<'_>, policy: &Policy) -> Option<Outcome> {
    let token: Cow<'_, str> = case.get("token")?;
    let outcome = case.keys().verify_signature_only(&token, policy.algorithms()?);
    Some(match outcome {
        Ok(payload) => Outcome::Accept(wanted(case, |name| payload_value(&payload, name))),
        Err(reason) => reason.into(),
    })
}

/// A member of the payload, or under the name `payload` the whole of it.
fn payload_value(payload: &[u8], name: &str) -> Value {
    let read = serde_json::from_slice(payload);
    if name == "payload" {
        return read.unwrap_or_else(|_| String::from_utf8_lossy(payload).into());
    }
    read.ok().and_then(|payload: Value| payload.get(name).cloned()).into()
}

fn access_token(case: &Case<'_>, policy: &Policy) -> Option<Outcome> {
    if !policy.is_offered() {
        return None;
    }
    let now = time(case.get("now")?)?;
    let max_bytes = policy.size("max_token_bytes")?.unwrap_or(16 * 1024);
    let scheme: Option<Cow<'_, str>> = case.optional("scheme")?;
    let token: Option<Cow<'_, str>> = case.optional("token")?;
    let expected = Expected::of(policy)?;
    let keys = case.keys();

    let Some(token) = token else {
        return Some(Reason::MissingCredentials.into());
    };
    let scheme = scheme.unwrap_or(Cow::Borrowed("Bearer"));
    let shown = Shown::of(case, policy)?;
    let certificate = case.certificate()?;
    let possession = || {
        let possession = match scheme.eq_ignore_ascii_case("dpop") {
            true => shown.possession(),
            false => Possession::bearer(),
        };
        match certificate {
            Some(certificate) => possession.certificate(certificate),
            None => possession,
        }
    };
    let validate = || {
        present(&scheme, &token, max_bytes)?;
        expected.validate(&token, (&shown.dpop, possession()), max_bytes, &keys, now)
    };
    let mut seen = HashSet::new();
    let mut judged = || {
        let validated = validate().map_err(|reason| shown.reason(reason)).and_then(|token| {
            let proof = token.proof();
            let name = proof.map(|proof| (proof.key().to_owned(), proof.jti().to_owned()));
            match name.is_none_or(|name| seen.insert(name)) {
                true => Ok(token),
                false => Err(Reason::DpopProofReplayed),
            }
        });
        match validated {
            Ok(token) => Some(match expected.check(&token, now) {
                Ok(()) => Outcome::Accept(wanted(case, |name| token_value(&token, name))),
                Err(reason) => reason.into(),
            }),
            Err(reason) if expected.asks_less(reason, &token, &keys) => None,
            Err(reason) => Some(reason.into()),
        }
    };
    if case.is_replay()? {
        judged()?;
    }
    judged()
}

/// The way of a request: the head shows one credential. A text that no such field can carry goes
/// on as a token, to be refused as one.
fn present(scheme: &str, token: &str, max_bytes: usize) -> Result<(), Reason> {
    let known = ["bearer", "dpop"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let Ok(field) = HeaderValue::from_str(&format!("{scheme} {token}")) else {
        return match known {
            true => Ok(()),
            false => Err(Reason::UnsupportedAuthScheme),
        };
    };
    let headers = HeaderMap::from_iter([(AUTHORIZATION, field)]);
    match Credential::from_headers(&headers, max_bytes) {
        Err(Reason::MalformedAuthorization) if known => Ok(()),
        Err(reason) => Err(reason),
        Ok(_) => Ok(()),
    }
}

/// A policy as this crate says it.
struct Expected {
    validation: Validation,
    /// No audience of the policy can be one.
    nobody_is_meant: bool,
    /// Claims that must be there.
    claims: Vec<String>,
    algorithms: Vec<Algorithm>,
    require: Require,
    /// What every token lacks: the policy asks for a name that no token can have.
    lack: Option<Reason>,
    any_actor: bool,
    every_hop: Option<Vec<Party>>,
    no_act: bool,
    claim_equals: Map<String, Value>,
    /// Members of `cnf` that must be there.
    bound_by: Vec<&'static str>,
}

impl Expected {
    fn of(policy: &Policy) -> Option<Self> {
        let audiences = policy.audiences()?;
        let (require, lack) = policy.require()?;
        Some(Expected {
            validation: policy.validation(&audiences)?,
            nobody_is_meant: audiences.is_empty(),
            claims: policy.claims()?.into_iter().map(str::to_owned).collect(),
            algorithms: policy.algorithms()?,
            require,
            lack,
            any_actor: policy.actors()?.is_none(),
            every_hop: policy.every_hop()?,
            no_act: policy.no_act()?,
            claim_equals: policy.claim_equals()?,
            bound_by: policy.bound_by()?,
        })
    }

    fn validate(
        &self,
        token: &str,
        (dpop, possession): (&Dpop, Possession<'_>),
        max_bytes: usize,
        keys: &KeySet,
        now: UtcDateTime,
    ) -> Result<AccessToken, Reason> {
        let mut validation = self.validation.clone().dpop(dpop.clone());
        if !self.bound_by.is_empty() {
            validation = validation.sender_constrained();
        }
        let limits = TokenLimits::default().max_bytes(max_bytes);
        let token = UnverifiedToken::parse_with(token, &limits)
            .and_then(|token| token.with_possession(possession).validate(&validation, keys, now))
            .map_err(|invalid| invalid.reason())?;
        let cnf = token.claim::<Value>("cnf").ok().flatten().unwrap_or_default();
        if !self.bound_by.iter().all(|member| cnf.get(member).is_some()) {
            return Err(Reason::SenderConstraintRequired);
        }
        if !self.claims.iter().all(|name| has(&token, name)) {
            return Err(Reason::RequiredClaimMissing);
        }
        match self.nobody_is_meant {
            true => Err(Reason::AudienceMismatch),
            false => Ok(token),
        }
    }

    /// The token lacks a claim that the policy does without and this crate never does.
    fn asks_less(&self, reason: Reason, token: &str, keys: &KeySet) -> bool {
        if reason != Reason::RequiredClaimMissing {
            return false;
        }
        let Ok(payload) = keys.verify_signature_only(token, self.algorithms.iter().copied()) else {
            return false;
        };
        let lacks = |name: &str| payload_value(&payload, name).is_null();
        let asked = |name: &str| self.claims.iter().any(|claim| claim == name);
        ["sub", "exp", "iat"].into_iter().any(|name| lacks(name) && !asked(name))
            && !self.claims.iter().any(|claim| lacks(claim))
    }

    /// The first check that fails is the reason.
    fn check(&self, token: &AccessToken, now: UtcDateTime) -> Result<(), Reason> {
        // The crate refuses an actor of another namespace unless it is listed. A policy that lists
        // nobody lets anybody act.
        let require = match token.actor() {
            Some(actor) if self.any_actor => {
                self.require.clone().actor_if_any([(actor.issuer(), actor.subject())])
            }
            _ => self.require.clone(),
        };
        let unmet = require.check(token, now).err();
        // The owner's own rules, in code.
        let listed = |actor: Actor<'_>| match &self.every_hop {
            Some(parties) => parties.iter().any(|party| actor.is(party)),
            None => true,
        };
        let acts = (self.no_act && has_member(token, "act")) || !chain(token).all(listed);
        let equal = |(name, value): (&String, &Value)| {
            token.claim::<Value>(name).ok().flatten().as_ref() == Some(value)
        };
        let differs = !self.claim_equals.iter().all(equal);
        let failed = [
            unmet.map(|unmet| unmet.reason()),
            acts.then_some(Reason::ActorUnauthorized),
            self.lack,
            differs.then_some(Reason::PolicyDenied),
        ];
        failed.into_iter().flatten().min().map_or(Ok(()), Err)
    }
}

/// The actors of a token, the current one first.
fn chain(token: &AccessToken) -> impl Iterator<Item = Actor<'_>> {
    token.actor().into_iter().chain(token.prior_actors())
}

/// The claim is there, whatever it holds.
fn has_member(token: &AccessToken, name: &str) -> bool {
    !matches!(token.claim::<&RawValue>(name), Ok(None))
}

/// The claim is there and is not null.
fn has(token: &AccessToken, name: &str) -> bool {
    matches!(token.claim::<&RawValue>(name), Ok(Some(raw)) if raw.get() != "null")
}

/// The members of `policy`. A method returns `None` where one of them makes no sense.
struct Policy(Map<String, Value>);

impl Policy {
    /// The crate can say what the policy asks; a member nobody knows asks something unknown.
    fn is_offered(&self) -> bool {
        self.0.iter().all(|(name, value)| match &**name {
            "scope_shape" => value.is_null() || value == "string" || value == "array_or_string",
            "introspection" | "introspection_jwt" => value.is_null() || value == false,
            "delegation" => value.is_null() || value == "allow" || value == "forbid",
            "actor_check" => value.is_null() || value == "current" || value == "every_hop",
            "issuer" | "audience" | "audience_claim" | "typ" | "client_id_claims"
            | "scope_claims" | "algorithms" | "required_claims" | "leeway_s" | "max_lifetime_s"
            | "max_token_age_s" | "max_token_bytes" | "max_chain" | "scopes_all" | "scopes_any"
            | "claim_equals" | "acr_min" | "acr_order" | "acr_any" | "max_age_s"
            | "actor_allowed" | "actor_required" | "dpop_algs" | "dpop_max_age_s"
            | "dpop_nonce" | "dpop_required" | "mtls_required" => true,
            _ => value.is_null(),
        })
    }

    /// A member; null is the same as none.
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Option<Option<&str>> {
        self.get(name).map_or(Some(None), |v| v.as_str().map(Some))
    }

    fn texts(&self, name: &str) -> Option<Option<Vec<&str>>> {
        self.get(name).map_or(Some(None), |v| texts(v).map(Some))
    }

    fn switch(&self, name: &str) -> Option<bool> {
        self.get(name).map_or(Some(false), Value::as_bool)
    }

    fn size(&self, name: &str) -> Option<Option<usize>> {
        let size = |value: &Value| usize::try_from(value.as_u64()?).ok();
        self.get(name).map_or(Some(None), |v| size(v).map(Some))
    }

    /// A number of seconds, not below 0.
    fn seconds(&self, name: &str) -> Option<Option<Duration>> {
        let seconds = |value: &Value| match value.as_u64() {
            Some(whole) => Some(Duration::from_secs(whole)),
            None => Duration::try_from_secs_f64(value.as_f64()?).ok(),
        };
        self.get(name).map_or(Some(None), |v| seconds(v).map(Some))
    }

    /// Those that the crate offers.
    fn algorithms(&self) -> Option<Vec<Algorithm>> {
        let names = texts(self.get("algorithms")?)?;
        Some(names.into_iter().filter_map(Algorithm::from_name).collect())
    }

    fn audience_names(&self) -> Option<Vec<&str>> {
        match self.get("audience")? {
            Value::String(one) => Some(vec![&**one]),
            list => texts(list),
        }
    }

    /// Those that a resource can have.
    fn audiences(&self) -> Option<Vec<Audience>> {
        Some(made(self.audience_names()?, Audience::new))
    }

    fn client_claims(&self) -> Option<Vec<&str>> {
        Some(self.texts("client_id_claims")?.unwrap_or_else(|| vec!["client_id"]))
    }

    /// How the policy says that tokens are written.
    fn profile(&self) -> Option<Profile> {
        let (clients, claims) = (self.client_claims()?, self.claims()?);
        let owned =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let array = self.text("scope_shape")? == Some("array_or_string");
        let shape = |claim: &str| match claim {
            "scope" if !array => ScopeShape::Text,
            _ => ScopeShape::Either,
        };
        let scopes = self.texts("scope_claims")?.unwrap_or_else(|| vec!["scope"]);
        let mut profile = Profile::rfc9068()
            .types(self.types()?)
            .client_claims(owned(&clients))
            .scope_claims(scopes.into_iter().map(|claim| (claim.to_owned(), shape(claim))));
        if !clients.iter().any(|claim| claims.contains(claim)) {
            profile = profile.client_optional();
        }
        if !claims.contains(&"jti") {
            profile = profile.token_id_optional();
        }
        match self.text("audience_claim")? {
            None | Some("aud") => Some(profile),
            // The first claim that is there is asked, so it must be this one.
            Some(claim)
                if clients.first() == Some(&claim)
                    && (clients.len() == 1 || claims.contains(&claim)) =>
            {
                Some(profile.client_list_instead_of_audience(owned(&self.audience_names()?)))
            }
            Some(_) => None,
        }
    }

    /// For this proof.
    fn dpop(&self, base: &str, proof: Option<&str>) -> Option<Dpop> {
        let names = self.texts("dpop_algs")?.unwrap_or_else(|| vec!["ES256"]);
        let window = self.seconds("dpop_max_age_s")?.unwrap_or(Duration::from_secs(300));
        let dpop = Dpop::for_base_url(base)
            .ok()?
            .algorithms(names.into_iter().filter_map(Algorithm::from_name))
            .window(window, window);
        Some(match self.text("dpop_nonce")? {
            Some(nonce) if proof.and_then(nonce_of).as_deref() != Some(nonce) => {
                dpop.nonces(Nonces::new([0; 32]))
            }
            _ => dpop,
        })
    }

    fn bound_by(&self) -> Option<Vec<&'static str>> {
        let required = [("dpop_required", "jkt"), ("mtls_required", "x5t#S256")];
        let mut members = Vec::new();
        for (name, member) in required {
            members.extend(self.switch(name)?.then_some(member));
        }
        Some(members)
    }

    fn types(&self) -> Option<Vec<HeaderType>> {
        match self.0.get("typ") {
            None => Some(vec![HeaderType::AccessToken]),
            Some(Value::Null) => {
                Some(vec![HeaderType::AccessToken, HeaderType::Jwt, HeaderType::Absent])
            }
            Some(typ) => {
                // A media type: no case, and `application/` may be left out.
                let typ = typ.as_str()?.to_ascii_lowercase();
                match typ.strip_prefix("application/").unwrap_or(&typ) {
                    "at+jwt" => Some(vec![HeaderType::AccessToken]),
                    "jwt" => Some(vec![HeaderType::Jwt]),
                    _ => None,
                }
            }
        }
    }

    fn validation(&self, audiences: &[Audience]) -> Option<Validation> {
        const NOBODY: Audience = Audience::from_static("nobody");
        let (first, others) = match audiences {
            [first, others @ ..] => (first, others),
            [] => (&NOBODY, &[][..]),
        };
        let leeway = self.seconds("leeway_s")?.unwrap_or_default();
        let lifetime = self.seconds("max_lifetime_s")?.unwrap_or(Duration::MAX);
        let mut limits = TokenLimits::default()
            .leeway(leeway.min(TokenLimits::MAX_LEEWAY))
            .max_lifetime(lifetime)
            .max_delegated_lifetime(lifetime);
        if let Some(age) = self.seconds("max_token_age_s")? {
            limits = limits.max_token_age(age);
        }
        if let Some(actors) = self.size("max_chain")? {
            limits = limits.max_actors(actors);
        }
        let validation = Validation::new(first, self.text("issuer")??)
            .profile(self.profile()?)
            .algorithms(self.algorithms()?)
            .limits(limits);
        Some(others.iter().fold(validation, Validation::also_accept))
    }

    /// Claims that must be there.
    fn claims(&self) -> Option<Vec<&str>> {
        const SEVEN: [&str; 7] = ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"];
        Some(self.texts("required_claims")?.unwrap_or_else(|| SEVEN.to_vec()))
    }

    fn claim_equals(&self) -> Option<Map<String, Value>> {
        match self.get("claim_equals") {
            None => Some(Map::new()),
            Some(value) => value.as_object().cloned(),
        }
    }

    /// With what every token lacks, where a name cannot be one.
    fn require(&self) -> Option<(Require, Option<Reason>)> {
        let mut require = Require::valid_token();
        let mut lack = None;
        if let Some(classes) = self.classes()? {
            let classes = made(classes, Acr::new);
            if classes.is_empty() {
                lack = Some(Reason::AuthenticationLevelInsufficient);
            } else {
                require = require.acr(classes);
            }
        }
        if let Some(age) = self.seconds("max_age_s")? {
            require = require.max_age(age);
        }
        let all = self.texts("scopes_all")?.unwrap_or_default();
        let groups = all.into_iter().map(|scope| vec![scope]);
        for group in groups.chain(self.texts("scopes_any")?) {
            let scopes = made(group, Scope::new);
            if scopes.is_empty() {
                lack = lack.or(Some(Reason::InsufficientScope));
            } else {
                require = require.and(Require::any_scope(scopes));
            }
        }
        if self.switch("actor_required")? {
            require = require.delegated();
        }
        if let Some(actors) = self.actors()? {
            require = require.actor_if_any(actors);
        }
        if self.no_act()? {
            require = require.undelegated();
        }
        Some((require, lack))
    }

    /// The classes that are enough: those of `acr_any` that are not below `acr_min`.
    fn classes(&self) -> Option<Option<Vec<&str>>> {
        let any = self.texts("acr_any")?;
        let Some(least) = self.text("acr_min")? else {
            return Some(any);
        };
        let order = self.texts("acr_order")?.unwrap_or_else(|| vec![least]);
        let mut enough: Vec<_> = order.into_iter().skip_while(|c| *c != least).collect();
        enough.retain(|class| any.as_ref().is_none_or(|any| any.contains(class)));
        Some(Some(enough))
    }

    fn actors(&self) -> Option<Option<Vec<Party>>> {
        let Some(actors) = self.get("actor_allowed") else {
            return Some(None);
        };
        let issuer = self.text("issuer")??;
        let party = |actor: &Value| match actor {
            Value::String(sub) => Some(Party::new(issuer, sub)),
            _ => {
                let iss = actor.get("iss").map_or(Some(issuer), Value::as_str)?;
                Some(Party::new(iss, actor.get("sub")?.as_str()?))
            }
        };
        let actors: Option<Vec<_>> = actors.as_array()?.iter().map(party).collect();
        actors.map(Some)
    }

    fn every_hop(&self) -> Option<Option<Vec<Party>>> {
        match self.text("actor_check")? {
            Some("every_hop") => self.actors(),
            _ => Some(None),
        }
    }

    fn no_act(&self) -> Option<bool> {
        self.text("delegation").map(|said| said == Some("forbid"))
    }
}

/// What a proof says, unverified.
fn nonce_of(proof: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(proof.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    claims.get("nonce")?.as_str().map(str::to_owned)
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

/// The names that can be made.
fn made<T, E>(names: Vec<&str>, new: impl Fn(String) -> Result<T, E>) -> Vec<T> {
    let names = names.into_iter().map(str::to_owned);
    names.filter_map(|name| new(name).ok()).collect()
}

fn time(seconds: f64) -> Option<UtcDateTime> {
    UtcDateTime::from_unix_timestamp_nanos((seconds * 1e9) as i128).ok()
}

/// What the case's `check` names.
fn wanted(case: &Case<'_>, value: impl Fn(&str) -> Value) -> Map<String, Value> {
    let names: Map<String, Value> = case.get("check").unwrap_or_default();
    let values = names.into_iter().map(|(name, _)| {
        let value = value(&name);
        (name, value)
    });
    values.collect()
}

fn token_value(token: &AccessToken, name: &str) -> Value {
    match name {
        "iss" => token.issuer().into(),
        "sub" => token.subject().into(),
        "client_id" => token.client_id().into(),
        "jti" => token.jti().into(),
        "acr" => token.acr().into(),
        "scopes" => token.scopes().collect(),
        "actor_chain" => actor_chain(token),
        _ => token.claim::<Value>(name).ok().flatten().into(),
    }
}

/// Who acts and who acted, the outermost first; also one that is the subject itself.
fn actor_chain(token: &AccessToken) -> Value {
    if token.actor().is_some() {
        return chain(token).map(|actor| actor.subject()).collect();
    }
    let act = token.claim::<Value>("act").ok().flatten();
    let links = std::iter::successors(act.as_ref(), |link| link.get("act"));
    links.filter_map(|link| link.get("sub").cloned()).collect()
}
