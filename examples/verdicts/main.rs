//! Judges cases: a black box for test suites, and for comparing verifiers.
//!
//! ```sh
//! cargo run --release --example verdicts < cases.jsonl > verdicts.jsonl
//! ```
//!
//! Each line of the input is a case, a JSON object:
//!
//! | member | meaning |
//! |---|---|
//! | `id` | the name of the case |
//! | `mode` | the question, see below |
//! | `now` | the time by which the case is judged, in seconds since 1970 |
//! | `jwks` | the JWK Set, read as it is written |
//! | `scheme`, `token` | the credential; the scheme defaults to `Bearer` |
//! | `dpop` | an object: `proof`, the value of the `DPoP` field; `method` and `url` of the request |
//! | `client_cert_der_b64` | the certificate of the connection, in base64 |
//! | `replay` | true: the request is sent twice, and the verdict is about the second time |
//! | `needs` | what the case needs beyond the plain path |
//! | `check` | an object: which values of an accepted token to report |
//! | `policy` | what is required, see below |
//!
//! | `mode` | question |
//! |---|---|
//! | `access_token` | may this request pass under `policy`? |
//! | `jws` | do `jwks` and `policy.algorithms` verify this compact JWS? |
//! | `dpop` | is the proof right for `token`, which may be opaque, for the request, and for the key `policy.dpop_jkt`? |
//! | `thumbprint` | is `value` the thumbprint of `jwk` (RFC 7638)? |
//! | `cert_thumbprint` | is `value` the `x5t#S256` of `client_cert_der_b64` (RFC 8705)? |
//! | `ath` | is `value` the `ath` of `token` (RFC 9449)? |
//! | `detail` | does `granted_json`, the text of a claim `authorization_details`, cover `asked`? `types` maps the name of a type to its `exact`, `at_most`, `sets` and `ignored`: lists of members, each a name or a list of names that leads into nested objects |
//! | `mcp` | what does this request to an MCP server ask for? `headers` are its fields, pairs of name and value; `body` is text, or `body_b64` bytes in base64. `table` has the label `base`, and `tools` and `methods` map names to labels. Accepted, `check.requires` is the label (feature `mcp`) |
//!
//! | member of `policy` | meaning |
//! |---|---|
//! | `issuer`, `audience` | `iss`; one name of this resource, or a list of its names |
//! | `audience_claim` | `aud`, or a claim that names the client. In the second case `audience` is a list of clients, and a token that does have an `aud` must name one of them there too |
//! | `typ` | `at+jwt`, the default; `JWT`; null: either of them, or no `typ` |
//! | `client_id_claims` | the claims that may name the client; the first one that is there does. Defaults to `client_id` |
//! | `scope_claims`, `scope_shape` | the claims that hold scopes; defaults to `scope`. `scope` is a string, or with `array_or_string` an array too; other claims may be either |
//! | `algorithms` | the only algorithms that are allowed |
//! | `leeway_s`, `max_lifetime_s`, `max_token_age_s`, `max_token_bytes`, `max_chain` | limits; they default to 0 (60 at most), none, none, 16384 and 8 |
//! | `required_claims` | defaults to the seven of RFC 9068. If `sub` or `exp` is not listed, a token without it is not judged |
//! | `claim_equals` | claims with the one value that they may have |
//! | `scopes_all`, `scopes_any` | all of these scopes, one of these scopes |
//! | `acr_any`, `acr_order` and `acr_min`, `max_age_s` | how and when the subject authenticated; `acr_order` begins with the weakest |
//! | `actor_allowed`, `actor_required` | who may act: a `sub` of the issuer, or an object of `iss` and `sub`; without a list, anyone. Whether there must be an actor |
//! | `actor_check` | `current` actor, or `every_hop` of the chain |
//! | `delegation` | `allow`, or `forbid`: no `act` at all |
//! | `dpop_algs`, `dpop_max_age_s` | algorithms of proofs, and how far their `iat` may be from `now`, both ways; they default to `ES256` and 300 |
//! | `dpop_nonce` | the nonce that a proof must have. This crate makes its nonces itself: a proof with this very nonce is judged by its time, and any other by a guard with nonces, none of which the proof can have |
//! | `dpop_required`, `mtls_required` | the token must be bound to a proof key, to a certificate |
//!
//! For each line there is one line of output, in the same order:
//! `{"id", "verdict", "reason", "error", "status", "check"}`. The verdict is `accept`, `reject` or
//! `skip`; a refusal has the crate's reason, the OAuth error and the HTTP status. `skip` means that the
//! case asks for something that this crate does not offer, or that the line is not a case. Nothing was judged then.
//! A token is also skipped if it lacks a claim that the policy does not require and this crate does.
//!
//! A policy that deviates from RFC 9068 becomes a [`Profile`](unconfused::profile::Profile). Beside what the policy
//! says, a profile for `JWT`, or for no type, refuses what looks like another kind of token.

mod access_token;
mod case;
mod detail;
mod expected;
#[cfg(feature = "mcp")]
mod mcp;
mod policy;
mod proof;
mod signature;

use std::borrow::Cow;
use std::io::{self, BufRead, BufWriter, Write};

use serde::Serialize;
use serde_json::{Map, Value};
use unconfused::Reason;
use unconfused::keys::Algorithm;

use case::{Case, Outcome};
use policy::Policy;

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
        error: reason.and_then(Reason::oauth_error),
        status,
        check,
    }
}

/// Returns `None` if the case cannot be judged.
fn judge(case: &Case<'_>) -> Option<Outcome> {
    let needs: Vec<String> = case.optional("needs")?.unwrap_or_default();
    if !needs.iter().all(|need| is_offered(need)) {
        return None;
    }
    let policy = || case.get("policy").map(Policy);
    match &*case.get::<Cow<'_, str>>("mode")? {
        "access_token" => access_token::access_token(case, &policy()?),
        "jws" => signature::jws(case, &policy()?),
        "dpop" => proof::dpop(case, &policy()?),
        "thumbprint" => proof::thumbprint(case),
        "cert_thumbprint" => proof::cert_thumbprint(case),
        "ath" => proof::ath(case),
        "detail" => detail::detail(case),
        #[cfg(feature = "mcp")]
        "mcp" => mcp::mcp(case),
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
