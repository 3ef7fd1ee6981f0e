//! Whole requests: the mode `access_token`.

use std::borrow::Cow;
use std::collections::HashSet;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use serde_json::Value;
use unconfused::proof::Possession;
use unconfused::token::{Credential, TokenLimits};
use unconfused::{AccessToken, Reason};

use crate::case::{Case, Outcome, time, wanted};
use crate::expected::{Expected, chain};
use crate::policy::Policy;
use crate::proof::ProvenRequest;

pub(crate) fn access_token(case: &Case<'_>, policy: &Policy) -> Option<Outcome> {
    if !policy.is_offered() {
        return None;
    }
    let now = time(case.get("now")?)?;
    let max_bytes = policy.size("max_token_bytes")?.unwrap_or(16 * 1024);
    let scheme: Option<Cow<'_, str>> = case.optional("scheme")?;
    let token: Option<Cow<'_, str>> = case.optional("token")?;
    let expected = Expected::from_policy(policy)?;
    let keys = case.keys();

    let Some(token) = token else {
        return Some(Reason::MissingCredentials.into());
    };
    let scheme = scheme.unwrap_or(Cow::Borrowed("Bearer"));
    let request = ProvenRequest::from_case(case, policy)?;
    let certificate = case.certificate()?;
    let possession = || {
        let possession = match scheme.eq_ignore_ascii_case("dpop") {
            true => request.possession(),
            false => Possession::bearer(),
        };
        match certificate {
            Some(certificate) => possession.certificate(certificate),
            None => possession,
        }
    };
    let validate = || {
        check_head(&scheme, &token, max_bytes)?;
        expected.validate(&token, (&request.dpop, possession()), max_bytes, &keys, now)
    };
    let mut seen = HashSet::new();
    let mut send = || {
        let validated = validate().map_err(|reason| request.reason(reason)).and_then(|token| {
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
            Err(reason) if expected.requires_less(reason, &token, &keys) => None,
            Err(reason) => Some(reason.into()),
        }
    };
    if case.is_replay()? {
        send()?;
    }
    send()
}

/// Reads the credential from the head of a request, as a guard does. A text that no field can carry
/// passes, so that it is refused as a token.
fn check_head(scheme: &str, token: &str, max_bytes: usize) -> Result<(), Reason> {
    let known = ["bearer", "dpop"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let Ok(field) = HeaderValue::from_str(&format!("{scheme} {token}")) else {
        return match known {
            true => Ok(()),
            false => Err(Reason::UnsupportedAuthScheme),
        };
    };
    let headers = HeaderMap::from_iter([(AUTHORIZATION, field)]);
    match Credential::from_headers(&headers, &TokenLimits::default().max_bytes(max_bytes)) {
        Err(Reason::MalformedAuthorization) if known => Ok(()),
        Err(reason) => Err(reason),
        Ok(_) => Ok(()),
    }
}

fn token_value(token: &AccessToken, name: &str) -> Value {
    match name {
        "iss" => token.issuer().into(),
        "sub" => token.subject().name().into(),
        "client_id" => token.client_id().into(),
        "jti" => token.jti().into(),
        "acr" => token.acr().ok().flatten().into(),
        "scopes" => token.scopes().collect(),
        "actor_chain" => actor_chain(token),
        _ => token.claim::<Value>(name).ok().flatten().into(),
    }
}

/// Returns the current actor and the prior ones, the outermost first. An actor that is the subject itself counts too.
fn actor_chain(token: &AccessToken) -> Value {
    if token.actor().is_some() {
        return chain(token).map(|actor| actor.name()).collect();
    }
    let act = token.claim::<Value>("act").ok().flatten();
    let links = std::iter::successors(act.as_ref(), |link| link.get("act"));
    links.filter_map(|link| link.get("sub").cloned()).collect()
}
