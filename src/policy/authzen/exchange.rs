//! One request to the decision point, and what must hold of its answer before it is read.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::request::Builder;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri};

use crate::outbound::{HttpClient, HttpLimits, send_within};
use crate::policy::Verdict;
use crate::printable::{Printable, with_causes, without_secrets};

/// The most bytes of an answer.
const MAX_BYTES: usize = 64 * 1024;
const JSON: &str = "application/json";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Why there is no decision, for the operator.
pub(super) enum Problem {
    Unavailable(String),
    /// It would be the same at the next try.
    Final(String),
}

impl From<String> for Problem {
    fn from(problem: String) -> Self {
        Problem::Unavailable(problem)
    }
}

impl From<Problem> for Verdict {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Unavailable(why) => Verdict::Unavailable(why.into()),
            Problem::Final(why) => Verdict::Forbid(why.into()),
        }
    }
}

/// Sends requests, with the credential of the service.
#[derive(Clone)]
pub(super) struct Sender {
    client: Arc<dyn HttpClient>,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) timeout: Duration,
}

impl Sender {
    pub(super) fn new(client: impl HttpClient) -> Self {
        let timeout = Duration::from_secs(2);
        Sender { client: Arc::new(client), authorization: None, timeout }
    }

    /// Posts JSON. `id` names the decision, and an answer that names another is refused.
    pub(super) async fn post(
        &self,
        uri: &Uri,
        body: String,
        id: &str,
        idempotency_key: Option<&str>,
    ) -> Result<Reply, String> {
        let mut request = Request::post(uri).header(CONTENT_TYPE, JSON).header(&REQUEST_ID, id);
        if let Some(key) = idempotency_key {
            request = request.header(&IDEMPOTENCY_KEY, key);
        }
        let reply = self.send(uri, self.authorized(request), body.into_bytes()).await?;
        reply.answering(id)
    }

    /// Gets JSON, for the decision of this id.
    pub(super) async fn get(&self, uri: &Uri, id: &str) -> Result<Reply, String> {
        let request = Request::get(uri).header(&REQUEST_ID, id);
        self.send(uri, self.authorized(request), Vec::new()).await?.answering(id)
    }

    /// Gets JSON that is public.
    pub(super) async fn get_without_credential(&self, uri: &Uri) -> Result<Reply, String> {
        self.send(uri, Request::get(uri), Vec::new()).await
    }

    fn authorized(&self, request: Builder) -> Builder {
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    async fn send(&self, uri: &Uri, request: Builder, body: Vec<u8>) -> Result<Reply, String> {
        let from = without_secrets(&uri.to_string()).into_owned();
        let request = request
            .header(ACCEPT, JSON)
            .body(body)
            .map_err(|error| format!("{from}: {}", with_causes(&error)))?;
        let limits = HttpLimits::new(MAX_BYTES, self.timeout);
        let sent = send_within(&*self.client, request, limits);
        let response = sent.await.map_err(|error| format!("{from}: {}", with_causes(&error)))?;
        Ok(Reply { from, response })
    }
}

/// An answer of any status.
pub(super) struct Reply {
    /// The URL that was asked, as it may be shown.
    from: String,
    response: Response<Vec<u8>>,
}

impl Reply {
    /// A decision point that names a request in its answer must name this one.
    fn answering(self, id: &str) -> Result<Self, String> {
        match self.response.headers().get(&REQUEST_ID) {
            Some(answered) if answered != id => Err(self.problem("it answers another request")),
            _ => Ok(self),
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Says that something is wrong with the answer.
    pub(super) fn problem(&self, problem: &str) -> String {
        format!("{}: {problem}", self.from)
    }

    /// The text of an answer that has this status, if it is JSON of a size that is read.
    pub(super) fn json(&self, statuses: &[StatusCode]) -> Result<&str, String> {
        if !statuses.contains(&self.status()) {
            let status = self.status().as_u16();
            return Err(self.problem(&format!("the status is {status}")));
        }
        let media_type = self.response.headers().get(CONTENT_TYPE);
        let media_type = media_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case(JSON) {
            let found = Printable::from(media_type);
            return Err(self.problem(&format!("the media type is {found:?}, not {JSON}")));
        }
        let body = self.response.body();
        std::str::from_utf8(body).map_err(|_| self.problem("the answer is not UTF-8"))
    }
}
