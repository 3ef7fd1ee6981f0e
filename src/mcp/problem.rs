//! What is wrong with a message, or with a request around it: one table of the answers.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;

use crate::denial::Denial;
use crate::reason::Reason;

macro_rules! problems {
    ($($(#[$doc:meta])* $variant:ident = $reason:ident, $status:ident, $code:literal, $message:literal;)*) => {
        /// What is wrong with a message, or with a request around it, besides what a [`Reason`] says.
        ///
        /// ```
        /// use unconfused::Reason;
        /// use unconfused::mcp::Problem;
        ///
        /// let problem = Problem::HeaderMismatch;
        /// assert_eq!((problem.status().as_u16(), problem.code()), (400, -32020));
        /// assert_eq!(problem.reason(), Reason::PolicyInputInvalid);
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Problem {
            $($(#[$doc])* $variant,)*
        }

        impl Problem {
            /// Every problem.
            pub const ALL: &'static [Problem] = &[$(Problem::$variant,)*];

            /// Returns the reason in the record.
            #[must_use]
            pub const fn reason(self) -> Reason {
                match self { $(Problem::$variant => Reason::$reason,)* }
            }

            /// Returns the HTTP status of the answer.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Problem::$variant => StatusCode::$status,)* }
            }

            /// Returns the `code` of the JSON-RPC error.
            #[must_use]
            pub const fn code(self) -> i32 {
                match self { $(Problem::$variant => $code,)* }
            }

            /// Returns the `message` of the JSON-RPC error: a constant, never built from input.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $(Problem::$variant => $message,)* }
            }
        }
    };
}

problems! {
    /// The request has an `Origin` that is not listed.
    OriginNotListed = PolicyDenied, FORBIDDEN, -32001, "The origin is not allowed";
    /// The method is not GET, POST or DELETE.
    HttpMethod = OperationUnknown, METHOD_NOT_ALLOWED, -32600, "The HTTP method is not supported";
    /// The session was not given to this subject and client, or its id was changed.
    SessionUnknown = PolicyDenied, NOT_FOUND, -32001, "The session is not known";
    /// The content type is not `application/json`, or the body is encoded, for example compressed.
    MediaType = PolicyInputInvalid, UNSUPPORTED_MEDIA_TYPE, -32600, "The body must be JSON and not encoded";
    /// The body exceeds the limit, which is 1 MiB unless the owner set another.
    TooLarge = PolicyInputInvalid, PAYLOAD_TOO_LARGE, -32600, "The body is too large";
    /// The body did not arrive in time, which is 10 seconds unless the owner set another.
    TooSlow = PolicyInputInvalid, REQUEST_TIMEOUT, -32600, "The body did not arrive in time";
    /// The body broke off.
    Interrupted = PolicyInputInvalid, BAD_REQUEST, -32600, "The body is not complete";
    /// The body is not one JSON object in UTF-8.
    NotJson = PolicyInputInvalid, BAD_REQUEST, -32700, "The body is not one JSON object";
    /// The object is not one JSON-RPC message, or a member stands in it twice, or it is nested deeper than 32 levels.
    NotAMessage = PolicyInputInvalid, BAD_REQUEST, -32600, "The body is not one JSON-RPC message";
    /// The parameters of a call have no name, or its arguments are not what the owner's function reads.
    InvalidParams = PolicyInputInvalid, BAD_REQUEST, -32602, "The parameters are invalid";
    /// A header field says something else than the body, stands twice, or cannot be read.
    HeaderMismatch = PolicyInputInvalid, BAD_REQUEST, -32020, "The header fields do not match the body";
    /// The table has no entry for the method.
    MethodUnknown = OperationUnknown, NOT_FOUND, -32601, "The method is not known";
    /// The table has no entry for the method, and the request is one of a session. There, 404 would say that the
    /// session has ended.
    MethodUnknownInSession = OperationUnknown, FORBIDDEN, -32601, "The method is not known";
    /// The table has no entry for the tool.
    ToolUnknown = OperationUnknown, FORBIDDEN, -32602, "The tool is not known";
    /// The server sent the id of a session, and the owner set no key for ids.
    SessionWithoutKey = InternalError, INTERNAL_SERVER_ERROR, -32603, "An internal error occurred";
    /// A list of tools that is filtered could not be read.
    ListUnreadable = InternalError, INTERNAL_SERVER_ERROR, -32603, "An internal error occurred";
}

/// The code of a JSON-RPC error for a denial, by its HTTP status.
pub(crate) const fn code_for(status: StatusCode) -> i32 {
    match status.as_u16() {
        400 | 431 => -32600, // Invalid Request
        401 | 403 => -32001, // of this implementation: not authorized
        429 => -32000,       // of this implementation: too many requests
        _ => -32603,         // Internal error
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Problem {}

impl Problem {
    /// The denial, with words for the operator.
    pub(crate) fn denial(self, detail: impl Into<Cow<'static, str>>) -> Denial {
        Denial::from(self.reason()).with_detail(detail).with_mcp_answer(
            self.status(),
            self.code(),
            self.message(),
        )
    }
}

/// A message that is refused: a [`Problem`], and the id of the request as far as it could be read.
///
/// It becomes a [`Denial`] with `from`. `Display` is the [`message`](Problem::message) for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidMessage {
    problem: Problem,
    detail: Cow<'static, str>,
    id: Option<String>,
}

impl InvalidMessage {
    pub(crate) fn new(problem: Problem, detail: impl Into<Cow<'static, str>>) -> Self {
        InvalidMessage { problem, detail: detail.into(), id: None }
    }

    pub(crate) fn with_id(self, id: Option<&str>) -> Self {
        InvalidMessage { id: id.map(str::to_owned), ..self }
    }

    /// In a session, 404 would say that it has ended.
    pub(crate) fn in_session(self) -> Self {
        InvalidMessage { problem: Problem::MethodUnknownInSession, ..self }
    }

    /// Returns what is wrong.
    #[must_use]
    pub fn problem(&self) -> Problem {
        self.problem
    }

    /// Returns the id of the request as it was written, in JSON. `None` if it has none, or none that is a string or an
    /// integer.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

impl fmt::Display for InvalidMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl std::error::Error for InvalidMessage {}

impl From<InvalidMessage> for Denial {
    fn from(invalid: InvalidMessage) -> Self {
        invalid.problem.denial(invalid.detail)
    }
}
