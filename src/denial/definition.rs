//! A denial: the reason for the operator, and the answer for the client.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use time::UtcDateTime;

use super::task::ApprovalTask;
use crate::challenge::{Challenge, DetailsDialect, MetadataUrl, Scheme, TransactionChallenge};
use crate::credential::Credential;
use crate::evidence::DecisionId;
use crate::printable::Explanation;
use crate::proof::Dpop;
use crate::reason::Reason;
use crate::require::Require;

/// The field for nonces (RFC 9449 section 8.1).
pub(crate) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// A refused request: the reason for the operator, and the answer for the client.
///
/// The client gets a status and headers, and a body if the owner of the service wants one. `Display` is what the client
/// may know: the [`description`](Reason::description) of [`Reason::for_client`]. The operator reads
/// [`reason`](Self::reason) and [`for_operator`](Self::for_operator): do not send them to the client.
///
/// Status and headers follow from the reason and cannot be changed. A denied response carries its denial in its
/// extensions, so that an outer layer can see it. With the feature `axum` a denial is a response itself, so that
/// handlers can return `Result<_, Denial>`. Its body is that of [`Guard::body`](crate::Guard::body).
///
/// ```
/// use http::StatusCode;
/// use http::header::WWW_AUTHENTICATE;
/// use unconfused::{Denial, Reason};
///
/// let denial = Denial::from(Reason::TokenExpired);
/// assert_eq!(denial.status(), StatusCode::UNAUTHORIZED);
/// let response = denial.respond("");
/// let challenge = response.headers()[WWW_AUTHENTICATE].to_str()?;
/// assert!(challenge.starts_with(r#"Bearer error="invalid_token""#));
/// assert_eq!(response.extensions().get::<Denial>().unwrap().reason(), Reason::TokenExpired);
/// # Ok::<(), http::header::ToStrError>(())
/// ```
#[derive(Clone)]
#[must_use = "a denial that is not returned refuses nothing"]
pub struct Denial(Box<Inner>);

#[derive(Clone)]
struct Inner {
    reason: Reason,
    other_reasons: Vec<Reason>,
    explanation: Explanation,
    challenge: Option<Challenge>,
    /// No other token helps, although one does for this reason otherwise: 403, without a challenge.
    is_final: bool,
    /// Seconds.
    retry_after: u64,
    nonce: Option<String>,
    /// Where a human approves the request.
    task: Option<Box<ApprovalTask>>,
    decision: Option<DecisionId>,
    /// What an MCP layer answers, if that does not follow from the reason: the status, and code and message of
    /// JSON-RPC.
    #[cfg(feature = "mcp")]
    mcp_answer: Option<(StatusCode, i32, &'static str)>,
    /// Makes the body that the guard is set up with.
    make_text: Option<Arc<MakeText>>,
}

/// Makes the body of a response as text, and names its media type.
pub(crate) type MakeText = dyn Fn(&Denial) -> (Option<HeaderValue>, String) + Send + Sync;

impl Denial {
    pub(super) fn new(reason: Reason, challenge: Challenge) -> Self {
        Denial(Box::new(Inner {
            reason,
            other_reasons: Vec::new(),
            explanation: Explanation::default(),
            challenge: reason.has_challenge().then_some(challenge),
            is_final: false,
            retry_after: 5,
            nonce: None,
            task: None,
            decision: None,
            #[cfg(feature = "mcp")]
            mcp_answer: None,
            make_text: None,
        }))
    }

    /// Returns the reason of the first check that failed.
    ///
    /// It is for the operator. The client may know [`Reason::for_client`].
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// Returns the reasons besides [`reason`](Self::reason), if one challenge asks for everything that is lacking.
    #[must_use]
    pub fn other_reasons(&self) -> &[Reason] {
        &self.0.other_reasons
    }

    /// Returns the words for the operator: the reason, what was expected, and what was found.
    ///
    /// What was found may be text of a token that was not verified: escaped, truncated, and marked as unverified. The
    /// text is one line. **Do not send it to the client**: what was expected is your configuration.
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use unconfused::{Audience, Guard, Scope};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const READ: Scope = Scope::from_static("orders:read");
    /// # let login = TestIssuer::new("https://login.example");
    /// # let authorize = |guard: &Guard, token: String| {
    /// #     let request = http::Request::get("/orders").header("authorization", token);
    /// #     let (mut head, ()) = request.body(()).unwrap().into_parts();
    /// #     guard.authorize(&mut head, READ).now().unwrap()
    /// # };
    ///
    /// let guard = Guard::new(ORDERS, login.issuer());
    /// let other = TestIssuer::new("https://login.example/"); // with a slash
    /// let denial = authorize(&guard, other.token(&ORDERS).header("kid", "k-1").bearer()).unwrap_err();
    /// assert_eq!(
    ///     denial.for_operator().to_string(),
    ///     "issuer_untrusted: expected iss `https://login.example`; \
    ///      found iss \"https://login.example/\", typ \"at+jwt\", alg \"ES256\", kid \"k-1\" (unverified)"
    /// );
    /// assert_eq!(denial.to_string(), "The issuer of the access token is not trusted");
    /// # }
    /// ```
    #[must_use]
    pub fn for_operator(&self) -> impl fmt::Display + '_ {
        ForOperator(self)
    }

    /// Returns the HTTP status of the answer.
    ///
    /// It is that of the reason, but 403 if a [`DetailsDialect`] says so, and if a token with more details or with an
    /// approval would help but cannot be asked for. A message that an MCP layer cannot read, or for which its table has
    /// no entry, has the status that the protocol wants (module `mcp`).
    #[must_use]
    pub fn status(&self) -> StatusCode {
        #[cfg(feature = "mcp")]
        if let Some((status, ..)) = self.0.mcp_answer {
            return status;
        }
        let is_step_up = |challenge: &Challenge| {
            challenge.asks_for_details_in(DetailsDialect::StepUpAuthorization)
        };
        match &self.0.challenge {
            Some(challenge) if is_step_up(challenge) => StatusCode::FORBIDDEN,
            None if self.0.is_final => StatusCode::FORBIDDEN,
            _ => self.0.reason.status(),
        }
    }

    /// Returns the challenge, which tells the client what to come back with.
    ///
    /// `None` if nothing helps.
    #[must_use]
    pub fn challenge(&self) -> Option<&Challenge> {
        self.0.challenge.as_ref()
    }

    /// Returns the id of the decision in the audit record.
    ///
    /// `None` if no guard made this denial.
    #[must_use]
    pub fn decision(&self) -> Option<DecisionId> {
        self.0.decision
    }

    /// Returns the headers of the answer.
    ///
    /// - `Cache-Control: no-store`
    /// - `WWW-Authenticate`: the challenges
    /// - `Retry-After`: if a dependency is down, there were too many requests, or an approval takes time
    /// - `DPoP-Nonce`: if the next proof needs a nonce
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
        if let Some(wait) = self.0.task.as_ref().and_then(|task| task.retry_after) {
            headers.insert(RETRY_AFTER, whole_seconds(wait).into());
        }
        headers
    }

    /// Makes the response, with this body and with the denial in its extensions.
    ///
    /// It has no `Content-Type`. Set the one of your body.
    ///
    /// ```
    /// # use unconfused::{Denial, Reason};
    /// # let denial = Denial::from(Reason::PolicyDenied);
    /// let problem = denial.problem_json();
    /// let mut response = denial.respond(problem);
    /// let media_type = http::HeaderValue::from_static("application/problem+json");
    /// response.headers_mut().insert(http::header::CONTENT_TYPE, media_type);
    /// ```
    #[must_use = "a denial that is not returned refuses nothing"]
    pub fn respond<B>(self, body: B) -> Response<B> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status();
        *response.headers_mut() = self.headers();
        response.extensions_mut().insert(self);
        response
    }

    /// Adds the URL of the resource's metadata to the challenge.
    ///
    /// A guard does this itself.
    pub fn with_resource_metadata(mut self, url: &MetadataUrl) -> Self {
        let challenge = self.0.challenge.take();
        self.0.challenge = challenge.map(|it| it.with_resource_metadata(url.clone()));
        self
    }

    /// Adds the scopes that the operation needs to the challenge, if the client needs a new token anyway.
    ///
    /// That is the case if the client sent no token or another scheme, and if its token has expired, is meant for
    /// another resource, names no actor where one is required, or is spent. Any other denial stays as it is: a client
    /// with a token that is not genuine is told nothing about the operation. A guard does this itself.
    ///
    /// ```
    /// use unconfused::{Denial, Reason, Require, Scope};
    ///
    /// let read = Require::scope(Scope::from_static("orders:read"));
    /// let hint = |reason: Reason| Denial::from(reason).with_scope_hint(&read).challenge().unwrap().to_string();
    /// assert!(hint(Reason::TokenExpired).ends_with(r#"scope="orders:read""#));
    /// assert!(!hint(Reason::SignatureInvalid).contains("scope"));
    /// ```
    pub fn with_scope_hint(mut self, requirement: &Require) -> Self {
        if matches!(
            self.reason(),
            Reason::MissingCredentials
                | Reason::UnsupportedAuthScheme
                | Reason::TokenExpired
                | Reason::AudienceMismatch
                | Reason::ActorRequired
                | Reason::TokenSpent
        ) {
            let challenge = self.0.challenge.take();
            self.0.challenge = challenge.map(|it| it.with_scope(requirement.challenge_scopes()));
        }
        self
    }

    /// Adds the signed challenge to a denial that asks for an approval.
    pub(crate) fn with_transaction(mut self, transaction: TransactionChallenge) -> Self {
        let challenge = Challenge::for_reason(self.reason()).with_transaction(transaction);
        self.0.challenge = Some(challenge);
        self.0.is_final = false;
        self
    }

    /// Makes the denial final: 403, without a challenge.
    pub(crate) fn without_challenge(mut self) -> Self {
        self.0.challenge = None;
        self.0.is_final = true;
        self
    }

    pub(crate) fn with_details_dialect(mut self, dialect: DetailsDialect) -> Self {
        let challenge = self.0.challenge.take();
        self.0.challenge = challenge.map(|it| it.with_details_dialect(dialect));
        self
    }

    /// The nonce for the next proof, as a header.
    fn nonce(&self) -> Option<HeaderValue> {
        let mut nonce = HeaderValue::try_from(self.0.nonce.as_deref()?).ok()?;
        // `Debug` does not show it, also not that of a `tonic::Status`.
        nonce.set_sensitive(true);
        Some(nonce)
    }

    /// Adds what a resource that accepts DPoP proofs answers.
    ///
    /// That is challenges of the schemes `Bearer` and `DPoP`, and a nonce made at `now` if the client needs one.
    /// `credential` is the one that the client sent. A guard does this itself.
    pub fn with_dpop(self, dpop: &Dpop, credential: Option<&Credential>, now: UtcDateTime) -> Self {
        self.with_schemes(credential.map(Credential::scheme), Some(dpop), now)
    }

    /// Fits challenges and nonce to the scheme that the client used and to the proofs that the resource accepts.
    pub(crate) fn with_schemes(
        mut self,
        used: Option<Scheme>,
        dpop: Option<&Dpop>,
        at: UtcDateTime,
    ) -> Self {
        let challenge = self.0.challenge.take();
        self.0.challenge = challenge.map(|it| it.with_schemes(used, dpop.map(Dpop::algs)));
        // Each answer to a proof has a nonce, and so has a 401 to a client that did not use `Bearer`.
        let nonces = dpop.and_then(|dpop| dpop.nonces.as_ref());
        let asked = self.status() == StatusCode::UNAUTHORIZED && used != Some(Scheme::Bearer);
        self.0.nonce = nonces
            .filter(|_| asked || (self.status().is_client_error() && used == Some(Scheme::Dpop)))
            .map(|nonces| nonces.make(at));
        self
    }

    /// What the record may show about the reason. Nothing in it is from a token that was not verified.
    pub(crate) fn detail(&self) -> Option<&str> {
        self.0.explanation.detail.as_deref()
    }

    /// What was found in a credential that was not verified: escaped, truncated and marked.
    pub(crate) fn unverified(&self) -> Option<&str> {
        self.0.explanation.unverified.as_deref()
    }

    /// The body that the guard is set up with, and its media type.
    pub(crate) fn text(&self) -> Option<(Option<HeaderValue>, String)> {
        self.0.make_text.as_ref().map(|make_text| make_text(self))
    }

    pub(crate) fn with_text(mut self, make_text: Option<&Arc<MakeText>>) -> Self {
        self.0.make_text = make_text.cloned();
        self
    }

    /// Sets what an MCP layer answers: the status, and code and message of JSON-RPC.
    #[cfg(feature = "mcp")]
    pub(crate) fn with_mcp_answer(
        mut self,
        status: StatusCode,
        code: i32,
        message: &'static str,
    ) -> Self {
        self.0.mcp_answer = Some((status, code, message));
        self
    }

    /// Code and message of JSON-RPC, if they do not follow from status and reason.
    #[cfg(feature = "mcp")]
    pub(crate) fn mcp_error(&self) -> Option<(i32, &'static str)> {
        self.0.mcp_answer.map(|(_, code, message)| (code, message))
    }

    pub(crate) fn with_decision(mut self, decision: DecisionId) -> Self {
        self.0.decision = Some(decision);
        self
    }

    /// Sets when a dependency that is down may be available again.
    pub(crate) fn with_retry_after(mut self, retry_after: Duration) -> Self {
        self.0.retry_after = whole_seconds(retry_after);
        self
    }

    /// Says where a human approves the request.
    pub(crate) fn with_task(mut self, task: ApprovalTask) -> Self {
        self.0.task = Some(Box::new(task));
        self
    }

    pub(super) fn task(&self) -> Option<&ApprovalTask> {
        self.0.task.as_deref()
    }

    /// Adds the reasons besides the first.
    pub(super) fn with_other_reasons(mut self, others: &[Reason]) -> Self {
        self.0.other_reasons = others.to_vec();
        self
    }

    pub(crate) fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.explanation.detail = Some(detail.into());
        self
    }

    pub(crate) fn with_explanation(mut self, explanation: Explanation) -> Self {
        self.0.explanation = explanation;
        self
    }
}

/// At least one second, since zero would mean at once.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs_f64().ceil() as u64).max(1)
}

/// The words of a denial for the operator.
struct ForOperator<'a>(&'a Denial);

impl fmt::Display for ForOperator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { reason, explanation, .. } = &*self.0.0;
        write!(f, "{reason}{explanation}")
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.reason.for_client().description())
    }
}

impl fmt::Debug for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Denial({})", self.0.reason)
    }
}

impl std::error::Error for Denial {}
