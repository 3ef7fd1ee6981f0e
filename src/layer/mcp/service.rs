//! The layer, its service and its future.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::ptr;
use std::str;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, ORIGIN, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::body::{MessageBody, ToolsBody};
use super::call::{Call, error_of};
use super::list;
use super::read::{is_event_stream, read};
use crate::answer::Answer;
use crate::denial::{DPOP_NONCE, Denial};
use crate::guard::{AccessRule, Grant, Guard, Listed, Listing, RequestAnswer, RouteGuard};
use crate::layer::until_expiry::UntilExpiry;
use crate::mcp::{InvalidMessage, Message, Problem, Tools};
use crate::reason::Reason;

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// # MCP
impl Guard {
    /// Returns a layer for an MCP server that requires of each tool and method what the table says, and refuses
    /// anything else.
    ///
    /// For a POST, the layer
    ///
    /// 1. refuses an `Origin` that is not listed (403);
    /// 2. judges the credential, and the base requirement of the table, before one byte of the body is read;
    /// 3. checks the id of the session, if there is one;
    /// 4. reads the body, at most 1 MiB within 10 seconds unless the table says otherwise, as [`Tools::read`] does;
    /// 5. judges what the message requires, as the next step of the same decision. Only this step spends a token;
    /// 6. hands the bytes that it has read to the server, with a [`Grant`] and a [`Call`](crate::mcp::Call) in the
    ///    extensions of the request.
    ///
    /// GET and DELETE need the base requirement, and reach the server without a body. Any other method is refused
    /// (405). `Upgrade` is removed, since no one would read the messages of a WebSocket. Responses end when the guard no
    /// longer accepts the token of their request, and that is recorded: a stream of events ends, and any other body fails,
    /// as [`Grant::until_expiry`] says.
    ///
    /// The layer **always answers in JSON-RPC**: status and challenge are those of the [`Denial`], and the body has the
    /// error with the id of the request. [`Guard::body`] is ignored. A response that was denied has the denial in its
    /// extensions.
    ///
    /// ```
    /// use unconfused::mcp::{Tools, ToolsLayer};
    /// use unconfused::{Guard, Scope};
    ///
    /// const READ: Scope = Scope::from_static("notes:read");
    /// const WRITE: Scope = Scope::from_static("notes:write");
    ///
    /// fn layer(guard: &Guard) -> ToolsLayer {
    ///     guard.mcp(Tools::new(READ).tool("search", READ).tool("delete", WRITE).method("tools/list", READ))
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if [`require`](Self::require) would for the base or for one of the entries. The layer's future panics
    /// outside of a Tokio runtime that has its timer enabled.
    pub fn mcp(&self, tools: Tools) -> ToolsLayer {
        tools.requirements().for_each(|requirement| self.assert_can(requirement));
        let listed = Listed::Operations(tools.listed().collect());
        let _listing = RouteGuard::One(self.clone()).list(listed);
        ToolsLayer { shared: Arc::new(Shared { guard: self.clone(), tools, _listing }) }
    }
}

/// A [tower layer](https://docs.rs/tower-layer) in front of an MCP server, made by [`Guard::mcp`].
#[derive(Clone)]
#[must_use = "a layer guards nothing until it stands before a service"]
pub struct ToolsLayer {
    shared: Arc<Shared>,
}

struct Shared {
    guard: Guard,
    tools: Tools,
    /// Keeps the tools in the list of the guard.
    _listing: Listing,
}

impl<S> Layer<S> for ToolsLayer {
    type Service = ToolsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ToolsService { inner, shared: self.shared.clone() }
    }
}

impl fmt::Debug for ToolsLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ToolsLayer").field(&self.shared.tools).finish()
    }
}

/// An MCP server behind a guard, made by a [`ToolsLayer`].
///
/// It is ready when the inner service is, and gives back what that reserved: it waits for the body first, and then
/// until the inner service is ready again.
///
/// The inner service is one of `http::Request<MessageBody>`, so a function for `tower::service_fn` accepts that type; see
/// [`MessageBody`].
#[derive(Clone)]
pub struct ToolsService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S: fmt::Debug> fmt::Debug for ToolsService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolsService")
            .field("inner", &self.inner)
            .field("tools", &self.shared.tools)
            .finish()
    }
}

type BoxError = Box<dyn Error + Send + Sync>;

impl<S, Q, R> Service<Request<Q>> for ToolsService<S>
where
    S: Service<Request<MessageBody>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    Q: Body<Data = Bytes> + Send + 'static,
    Q::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<ToolsBody<R>>;
    type Error = S::Error;
    type Future = ToolsFuture<R, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (parts, body) = request.into_parts();
        // What it reserved is dropped: the body is read first.
        self.inner = self.inner.clone();
        let answer = match self.shared.answer_head(&parts) {
            Err(denial) | Ok(Answer::Now(Err(denial))) => {
                return ToolsFuture::denied(self.shared.respond(denial, None));
            }
            Ok(answer) => answer,
        };
        let (inner, shared) = (self.inner.clone(), self.shared.clone());
        ToolsFuture::waiting(async move {
            match answer.await {
                Ok(grant) => shared.answer_granted(inner, parts, body, grant).await,
                Err(denial) => Ok(shared.respond(denial, None)),
            }
        })
    }
}

impl Shared {
    /// Judges the head alone: where it comes from, its credential, and the base requirement.
    fn answer_head(&self, parts: &Parts) -> Result<Answer<'static, Result<Grant, Denial>>, Denial> {
        let Shared { guard, tools, .. } = self;
        let mut origins = parts.headers.get_all(ORIGIN).iter();
        let is_listed = |origin: &HeaderValue| {
            tools.settings.origins.iter().any(|listed| listed.as_bytes() == origin.as_bytes())
        };
        if !origins.all(is_listed) {
            let denial =
                Problem::OriginNotListed.denial("expected no `Origin`, or one that is listed");
            return Err(guard.refuse_head(parts, denial));
        }
        // The token of a transaction is for one call, which only the body names.
        let approvable = parts.method == Method::POST && guard.approvals_settings().is_some();
        let rule = AccessRule { approvable, ..AccessRule::new(tools.base.clone()) };
        match guard.answer_request(parts, rule) {
            RequestAnswer::Decided(answer) => Ok(answer),
            // Only another rule lets a request pass without credentials.
            RequestAnswer::NoCredentials => Err(Reason::InternalError.into()),
        }
    }

    /// Reads and judges the message of a request that meets the base requirement, and calls the server.
    async fn answer_granted<S, Q, R>(
        &self,
        mut inner: S,
        mut parts: Parts,
        body: Q,
        grant: Grant,
    ) -> Result<Response<ToolsBody<R>>, S::Error>
    where
        S: Service<Request<MessageBody>, Response = Response<R>>,
        Q: Body<Data = Bytes>,
        Q::Error: Into<BoxError>,
        R: Body<Data = Bytes>,
        R::Error: Into<BoxError>,
    {
        let Shared { guard, tools, .. } = self;
        if let Err(denial) = self.check_session(&mut parts.headers, &grant) {
            return Ok(self.respond(guard.refuse_with(&grant, denial), None));
        }
        let (mut id, mut is_list) = (Bytes::new(), false);
        let (bytes, grant) = match &parts.method {
            &Method::POST => {
                let bytes = match read(tools, &parts.headers, body).await {
                    Ok(bytes) => bytes,
                    Err(invalid) => return Ok(self.refuse(&grant, &parts, invalid)),
                };
                let message = match tools.read(&parts.headers, &bytes) {
                    Ok(message) => message,
                    Err(invalid) => return Ok(self.refuse(&grant, &parts, invalid)),
                };
                match self.answer_message(&grant, &message).await {
                    Ok(grant) => {
                        id = message.id().map_or(id, |id| bytes.slice_ref(id.as_bytes()));
                        is_list = message.method() == Some("tools/list");
                        (bytes.clone(), grant)
                    }
                    Err(denial) => return Ok(self.respond(denial, message.id())),
                }
            }
            &Method::GET | &Method::DELETE => {
                // The body is left out, and what says how long it is.
                parts.headers.remove(CONTENT_LENGTH);
                parts.headers.remove(TRANSFER_ENCODING);
                (Bytes::new(), grant)
            }
            _ => {
                let denial = Problem::HttpMethod.denial("expected POST, GET or DELETE");
                let denial = guard.refuse_with(&grant, denial);
                let mut response = self.respond(denial, None);
                let methods = HeaderValue::from_static("POST, GET, DELETE");
                response.headers_mut().insert(ALLOW, methods);
                return Ok(response);
            }
        };
        // What is said in another protocol, no one reads here.
        parts.headers.remove(UPGRADE);
        guard.replace_credential_with_grant(&mut parts, grant.clone());
        let call = Call::new(guard, &grant, tools.settings.structured_denials);
        parts.extensions.insert(call.clone());
        poll_fn(|cx| inner.poll_ready(cx)).await?;
        let response = inner.call(Request::from_parts(parts, MessageBody::new(bytes))).await?;
        let id = str::from_utf8(&id).ok().filter(|id| !id.is_empty());
        let response = self.answer_response(response, &grant, &call, id);
        match is_list && tools.settings.filters_list {
            true => Ok(self.filter_list(response, &grant, id).await),
            false => Ok(response),
        }
    }

    /// Judges what the message requires, as the next step of the decision.
    fn answer_message(
        &self,
        grant: &Grant,
        message: &Message<'_>,
    ) -> Answer<'static, Result<Grant, Denial>> {
        let own = message.shared_requirement();
        // Unless an outer layer or a policy requires more.
        let requirement = match ptr::eq(grant.requirement(), &*self.tools.base) {
            true => own.clone(),
            false => Arc::new(grant.requirement().clone().and(&**own)),
        };
        let operation = message.operation_after(grant.operation());
        self.guard.answer_next_step(grant, operation, requirement)
    }

    /// Makes the response out of that of the server.
    fn answer_response<R: Body<Data = Bytes>>(
        &self,
        mut response: Response<R>,
        grant: &Grant,
        call: &Call,
        id: Option<&str>,
    ) -> Response<ToolsBody<R>> {
        let denied = call.begin().map(Err).unwrap_or(Ok(()));
        let checked = denied.and_then(|()| {
            self.bind_session(response.headers_mut(), grant)
                .map_err(|denial| self.guard.refuse_with(grant, denial))
        });
        if let Err(denial) = checked {
            return self.respond(denial, id);
        }
        if let Some(nonce) = self.guard.next_nonce(grant) {
            response.headers_mut().insert(DPOP_NONCE, nonce);
        }
        let is_events = response.headers().get(CONTENT_TYPE).is_some_and(is_event_stream);
        // A comment: clients skip it. An empty line would complete an event that the server has only begun.
        let last = is_events.then(|| Bytes::from_static(b": token_expired\n"));
        let guard = &self.guard;
        response.map(|body| ToolsBody::server(UntilExpiry::recorded(body, guard, grant, last)))
    }

    /// Shows the client only the tools that it may call.
    async fn filter_list<R>(
        &self,
        response: Response<ToolsBody<R>>,
        grant: &Grant,
        id: Option<&str>,
    ) -> Response<ToolsBody<R>>
    where
        R: Body<Data = Bytes>,
        R::Error: Into<BoxError>,
    {
        match list::filtered(response, &self.tools, grant).await {
            Ok(response) => response.map(ToolsBody::own),
            Err(detail) => {
                let denial = Problem::ListUnreadable.denial(detail);
                self.respond(self.guard.refuse_with(grant, denial), id)
            }
        }
    }

    /// Takes the code from the id of the session, if there is one.
    fn check_session(&self, headers: &mut HeaderMap, grant: &Grant) -> Result<(), Denial> {
        let Some(key) = &self.tools.settings.session_key else {
            headers.remove(SESSION_ID);
            return Ok(());
        };
        let unknown = |detail: &'static str| Problem::SessionUnknown.denial(detail);
        let mut values = headers.get_all(SESSION_ID).iter();
        let bound = match (values.next(), values.next()) {
            (None, _) => return Ok(()),
            (Some(value), None) => value.to_str().ok(),
            (Some(_), Some(_)) => return Err(unknown("expected one `Mcp-Session-Id`")),
        };
        let id = bound.and_then(|bound| key.check(bound, self.audience(), grant));
        let id = id.and_then(|id| HeaderValue::try_from(id).ok());
        let id = id.ok_or_else(|| {
            unknown("the id of the session was not made for this subject and client")
        })?;
        headers.insert(SESSION_ID, id);
        Ok(())
    }

    /// Adds the code to the id of the session that the server sends, if it sends one.
    fn bind_session(&self, headers: &mut HeaderMap, grant: &Grant) -> Result<(), Denial> {
        let Some(id) = headers.get(SESSION_ID) else { return Ok(()) };
        let Some(key) = &self.tools.settings.session_key else {
            return Err(Problem::SessionWithoutKey.denial(
                "the server has sessions and the layer has no key: call `Tools::sessions`",
            ));
        };
        let bound = id.to_str().ok().and_then(|id| key.bind(id, self.audience(), grant));
        let bound = bound.and_then(|bound| HeaderValue::try_from(bound).ok());
        let bound = bound.ok_or_else(|| {
            Problem::SessionWithoutKey.denial("the id of the session cannot be bound")
        })?;
        headers.insert(SESSION_ID, bound);
        Ok(())
    }

    fn audience(&self) -> &str {
        self.guard.audiences().first().map_or("", |audience| audience.as_str())
    }

    /// Refuses and records a request whose message is not one that is known.
    fn refuse<R: Body>(
        &self,
        grant: &Grant,
        parts: &Parts,
        invalid: InvalidMessage,
    ) -> Response<ToolsBody<R>> {
        let id = invalid.id().map(str::to_owned);
        let in_session = parts.headers.contains_key(SESSION_ID);
        let invalid = match invalid.problem() {
            Problem::MethodUnknown if in_session => invalid.in_session(),
            _ => invalid,
        };
        let denial = self.guard.refuse_with(grant, invalid.into());
        self.respond(denial, id.as_deref())
    }

    /// The response to a request that is refused.
    fn respond<R: Body>(&self, denial: Denial, id: Option<&str>) -> Response<ToolsBody<R>> {
        let error = error_of(&denial, self.tools.settings.structured_denials).to_json(id);
        let mut response = denial.respond(ToolsBody::own(error.into()));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The future of a [`ToolsService`]: the denial, or the response of the server.
///
/// A request that its head alone refuses allocates no future.
#[must_use = "futures do nothing unless they are polled"]
pub struct ToolsFuture<R: Body, E> {
    state: State<R, E>,
}

enum State<R: Body, E> {
    Denied(Option<Box<Response<ToolsBody<R>>>>),
    Waiting(BoxFuture<Result<Response<ToolsBody<R>>, E>>),
}

impl<R: Body, E> ToolsFuture<R, E> {
    fn denied(response: Response<ToolsBody<R>>) -> Self {
        ToolsFuture { state: State::Denied(Some(Box::new(response))) }
    }

    fn waiting(
        future: impl Future<Output = Result<Response<ToolsBody<R>>, E>> + Send + 'static,
    ) -> Self {
        ToolsFuture { state: State::Waiting(Box::pin(future)) }
    }
}

impl<R: Body, E> Future for ToolsFuture<R, E> {
    type Output = Result<Response<ToolsBody<R>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            // It has been ready before, so nothing more comes.
            State::Denied(response) => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(*response)))
            }
            State::Waiting(future) => future.as_mut().poll(cx),
        }
    }
}

impl<R: Body, E> fmt::Debug for ToolsFuture<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ToolsFuture(..)")
    }
}
