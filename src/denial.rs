//! A denial: the operator's reason, and the client's answer.

use std::fmt;
use std::time::Duration;

use http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value};
use time::UtcDateTime;

use crate::challenge::{Challenge, MetadataUrl, Scheme};
use crate::credential::Credential;
use crate::evidence::DecisionId;
use crate::printable::Printable;
use crate::proof::Dpop;
use crate::reason::Reason;
use crate::require::{Require, Unmet};
use crate::token::InvalidToken;

/// RFC 9449 section 8.1.
pub(crate) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// No, and why: for the operator [`reason`](Self::reason) and `Display`; for the client a status,
/// headers, and if the owner wants a body.
///
/// Status and headers follow from the reason and cannot be changed. A denied response carries its denial
/// in its extensions, so that an outer layer can see it.
#[derive(Clone)]
#[must_use]
pub struct Denial(Box<Inner>);

#[derive(Clone)]
struct Inner {
    reason: Reason,
    also: Vec<Reason>,
    detail: Option<String>,
    challenge: Option<Challenge>,
    /// In seconds.
    retry_after: u64,
    nonce: Option<String>,
    decision: Option<DecisionId>,
}

impl Denial {
    fn new(reason: Reason, challenge: Challenge) -> Self {
        Denial(Box::new(Inner {
            reason,
            also: Vec::new(),
            detail: None,
            challenge: reason.has_challenge().then_some(challenge),
            retry_after: 5,
            nonce: None,
            decision: None,
        }))
    }

    /// The first check that failed. For the operator: what the client may know is
    /// [`Reason::for_client`].
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// What else was lacking, where one challenge asks for all of it.
    #[must_use]
    pub fn also(&self) -> &[Reason] {
        &self.0.also
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.reason.status()
    }

    /// What the client can come back with; none where nothing helps.
    #[must_use]
    pub fn challenge(&self) -> Option<&Challenge> {
        self.0.challenge.as_ref()
    }

    /// The decision in the record, where a guard made it.
    #[must_use]
    pub fn decision(&self) -> Option<DecisionId> {
        self.0.decision
    }

    /// The headers of the answer: the challenges, `Cache-Control: no-store`, `Retry-After` where a
    /// dependency is down or there were too many requests, `DPoP-Nonce` where the next proof needs one.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(3);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = &self.0.challenge {
            for value in challenge.to_header_values() {
                headers.append(WWW_AUTHENTICATE, value);
            }
        }
        if let Some(nonce) = self.nonce() {
            headers.insert(DPOP_NONCE, nonce);
        }
        if matches!(self.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
        {
            headers.insert(RETRY_AFTER, self.0.retry_after.into());
        }
        headers
    }

    /// The answer, with this body, and the denial in its extensions. It has no `Content-Type`: that is the
    /// body's.
    ///
    /// ```
    /// # use unconfused::{Denial, Reason};
    /// # let denial = Denial::from(Reason::PolicyDenied);
    /// let problem = denial.problem_json();
    /// let mut response = denial.respond(problem);
    /// let media_type = http::HeaderValue::from_static("application/problem+json");
    /// response.headers_mut().insert(http::header::CONTENT_TYPE, media_type);
    /// ```
    pub fn respond<B>(self, body: B) -> Response<B> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status();
        *response.headers_mut() = self.headers();
        response.extensions_mut().insert(self);
        response
    }

    /// A body of the media type `application/problem+json`
    /// ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)): what the client may know, which is
    /// [`Reason::for_client`] and what the challenge says, and the id of the decision.
    #[must_use]
    pub fn problem_json(&self) -> String {
        let told = self.0.reason.for_client();
        let mut problem = Map::new();
        let mut put = |name: &str, value: Value| problem.insert(name.to_owned(), value);
        put("type", "about:blank".into());
        put("title", told.description().into());
        put("status", self.status().as_u16().into());
        put("reason", told.as_str().into());
        if let Some(error) = told.error() {
            put("error", error.into());
        }
        if let Some(challenge) = &self.0.challenge {
            let list = |names: Vec<String>| Value::from(names);
            if !challenge.scope().is_empty() {
                put(
                    "required_scopes",
                    list(challenge.scope().iter().map(ToString::to_string).collect()),
                );
            }
            if !challenge.acr_values().is_empty() {
                put(
                    "acr_values",
                    list(challenge.acr_values().iter().map(ToString::to_string).collect()),
                );
            }
            if let Some(age) = challenge.max_age() {
                put("max_age", age.as_secs().into());
            }
            if let Some(url) = challenge.resource_metadata() {
                put("resource_metadata", url.to_string().into());
            }
        }
        if let Some(decision) = self.0.decision {
            put("trace_id", decision.to_string().into());
        }
        Value::Object(problem).to_string()
    }

    /// The same, with a challenge that names the place of the resource's metadata. A guard does this itself.
    pub fn with_resource_metadata(mut self, url: &MetadataUrl) -> Self {
        let challenge = self.0.challenge.take();
        self.0.challenge = challenge.map(|it| it.with_resource_metadata(url.clone()));
        self
    }

    /// The same, with a challenge that names the scopes of the operation, where the client has no
    /// credential yet, or none any more; otherwise unchanged. A guard does this itself.
    pub fn with_scope_hint(mut self, requirement: &Require) -> Self {
        if matches!(
            self.reason(),
            Reason::MissingCredentials | Reason::UnsupportedAuthScheme | Reason::TokenSpent
        ) {
            let challenge = self.0.challenge.take();
            self.0.challenge = challenge.map(|it| it.with_scope(requirement.challenge_scopes()));
        }
        self
    }

    /// The nonce for the next proof.
    fn nonce(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.0.nonce.as_deref()?).ok()
    }

    /// The same, of a resource that takes such proofs: challenges of the schemes `Bearer` and `DPoP`, and the nonce of
    /// this moment where the client needs one. `credential` is what it sent. A guard does this itself.
    pub fn with_dpop(self, dpop: &Dpop, credential: Option<&Credential>, now: UtcDateTime) -> Self {
        self.with_schemes(credential.map(Credential::scheme), Some(dpop), now)
    }

    /// The same, for a client that used this scheme, at a resource that takes such proofs.
    pub(crate) fn with_schemes(
        mut self,
        used: Option<Scheme>,
        dpop: Option<&Dpop>,
        at: UtcDateTime,
    ) -> Self {
        let challenge = self.0.challenge.take();
        self.0.challenge = challenge.map(|it| it.with_schemes(used, dpop.map(Dpop::algs)));
        // With each answer to a proof, and where there was none.
        let nonces = dpop.and_then(|dpop| dpop.nonces.as_ref());
        let asked = self.status() == StatusCode::UNAUTHORIZED && used != Some(Scheme::Bearer);
        self.0.nonce = nonces
            .filter(|_| asked || (self.status().is_client_error() && used == Some(Scheme::Dpop)))
            .map(|nonces| nonces.make(at));
        self
    }

    /// More about the reason, which may be from a token that nobody verified.
    pub(crate) fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    pub(crate) fn with_decision(mut self, decision: DecisionId) -> Self {
        self.0.decision = Some(decision);
        self
    }

    /// When a dependency that is down may be back.
    pub(crate) fn with_retry_after(mut self, retry_after: Duration) -> Self {
        let seconds = retry_after.as_secs_f64().ceil() as u64;
        self.0.retry_after = seconds.max(1);
        self
    }

    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }
}

impl From<Reason> for Denial {
    fn from(reason: Reason) -> Self {
        Denial::new(reason, Challenge::for_reason(reason))
    }
}

impl From<&InvalidToken> for Denial {
    fn from(invalid: &InvalidToken) -> Self {
        let mut denial = Denial::from(invalid.reason());
        denial.0.detail = invalid.detail().map(str::to_owned);
        denial
    }
}

impl From<InvalidToken> for Denial {
    fn from(invalid: InvalidToken) -> Self {
        Denial::from(&invalid)
    }
}

impl From<Unmet> for Denial {
    fn from(unmet: Unmet) -> Self {
        Denial::from(&unmet)
    }
}

impl From<&Unmet> for Denial {
    fn from(unmet: &Unmet) -> Self {
        let mut denial = Denial::new(unmet.reason(), Challenge::for_unmet(unmet));
        denial.0.also = unmet.reasons().iter().skip(1).copied().collect();
        denial
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.detail {
            Some(detail) => write!(f, "{}: {}", self.0.reason, Printable::from(&**detail)),
            None => write!(f, "{}", self.0.reason),
        }
    }
}

impl fmt::Debug for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Denial({})", self.0.reason)
    }
}

impl std::error::Error for Denial {}
