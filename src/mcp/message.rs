//! One message: read from the bytes of a body, and looked up in the table.

use std::borrow::Cow;
use std::fmt;
use std::str;
use std::sync::Arc;

use http::HeaderMap;

use super::arguments::Arguments;
use super::header;
use super::problem::{InvalidMessage, Problem};
use super::spelling::differs_in_case_alone;
use super::tools::{CALL, Entry, Rule, Tools};
use crate::evidence::{Operation, Stated};
use crate::json;
use crate::policy::Ask;
use crate::printable::Printable;
use crate::require::Require;

/// What a message asks of an MCP server, and what that requires; made by [`Tools::read`].
#[derive(Clone)]
#[must_use = "a message that is not authorized must not reach the server"]
pub struct Message<'m> {
    method: Option<Cow<'m, str>>,
    id: Option<&'m str>,
    name: Option<Cow<'m, str>>,
    entry: Option<&'m Entry>,
    requirement: Arc<Require>,
}

/// The members of a message, each as it was written.
#[derive(Default)]
struct Members<'m> {
    jsonrpc: Option<&'m str>,
    id: Option<&'m str>,
    method: Option<&'m str>,
    params: Option<&'m str>,
    result: bool,
    error: bool,
    /// One of these stands there in another case.
    other_case: bool,
}

impl Members<'_> {
    const NAMES: [&'static str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
}

/// What is read of the parameters, in one pass.
#[derive(Default)]
struct Parameters<'m> {
    name: Option<Cow<'m, str>>,
    arguments: Option<&'m str>,
    /// One of these stands there in another case.
    other_case: bool,
}

impl<'m> Parameters<'m> {
    const NAMES: [&'static str; 4] = ["name", "arguments", "uri", "taskId"];

    /// Reads them, if `raw` is an object. `name_member` is the one that names what the method is about.
    fn read(raw: &'m str, name_member: &str) -> Self {
        let mut read = Parameters::default();
        for (name, value) in json::members(raw).into_iter().flatten() {
            if name == name_member {
                read.name = json::string(value);
            } else if name == "arguments" {
                read.arguments = Some(value);
            } else {
                read.other_case |= differs_in_case_from(&Parameters::NAMES, &name);
            }
        }
        read
    }
}

impl Tools {
    /// Reads the body of a request, compares it with the head, and looks up what it requires.
    ///
    /// The body must be one JSON-RPC message in UTF-8: one object, nested at most 32 levels, in which no member stands
    /// twice at any level. Batches and anything behind the object are refused, so that what was read here is what the
    /// server reads, whichever parser it has. Some parsers ignore case, so a member of the message whose name is in
    /// another case, such as `Method`, is refused too, and so are the parameters `name`, `arguments`, `uri` and
    /// `taskId`. `Mcp-Method` and `Mcp-Name` must equal the body if they are there, in every version of the protocol.
    ///
    /// This is for servers that are not tower services. Pass [`Message::ask`] to
    /// [`Guard::authorize`](crate::Guard::authorize), and the bytes to the server only if it grants.
    /// [`Guard::mcp`](crate::Guard::mcp) does this itself, and checks more: **not** checked here are the size of the
    /// body, its type, `Origin` and `Mcp-Session-Id`. Read no body before you know that the caller has a token;
    /// [`base`](Self::base) is what every message requires.
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use http::Request;
    /// use unconfused::mcp::Tools;
    /// use unconfused::{Audience, Guard, Reason, Scope};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const NOTES: Audience = Audience::from_static("https://notes.example/mcp");
    /// const READ: Scope = Scope::from_static("notes:read");
    /// const WRITE: Scope = Scope::from_static("notes:write");
    /// # let login = TestIssuer::new("https://login.example");
    /// # let issuer = login.issuer();
    ///
    /// let guard = Guard::new(NOTES, issuer);
    /// let tools = Tools::new(READ).tool("search", READ).tool("delete", WRITE);
    ///
    /// let token = login.token(&NOTES).scope("notes:read").bearer();
    /// let request = Request::post("/mcp").header("authorization", token).header("mcp-method", "tools/call");
    /// let body = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete"}}"#;
    /// let (mut head, ()) = request.body(()).unwrap().into_parts();
    ///
    /// let message = tools.read(&head.headers, body)?;
    /// assert_eq!((message.method(), message.name()), (Some("tools/call"), Some("delete")));
    /// let denial = guard.authorize(&mut head, message.ask()).now().unwrap().unwrap_err();
    /// assert_eq!(denial.reason(), Reason::InsufficientScope);
    ///
    /// // What is refused: a field that lies.
    /// head.headers.insert("mcp-name", "search".parse().unwrap());
    /// assert_eq!(tools.read(&head.headers, body).unwrap_err().problem().code(), -32020);
    /// # }
    /// # Ok::<(), unconfused::mcp::InvalidMessage>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the body is not one message, if the head says something else, and if the table has no entry
    /// for it. [`Problem`] lists what can be wrong.
    pub fn read<'m>(
        &'m self,
        headers: &HeaderMap,
        body: &'m [u8],
    ) -> Result<Message<'m>, InvalidMessage> {
        let not_json = |detail| InvalidMessage::new(Problem::NotJson, detail);
        let text = str::from_utf8(body).map_err(|_| not_json("the body is not UTF-8"))?;
        let mut members = Members::default();
        let sound = json::each_member(text, |name, value| match &*name {
            "jsonrpc" => members.jsonrpc = Some(value),
            "id" => members.id = Some(value),
            "method" => members.method = Some(value),
            "params" => members.params = Some(value),
            "result" => members.result = true,
            "error" => members.error = true,
            name => members.other_case |= differs_in_case_from(&Members::NAMES, name),
        });
        match sound {
            None => Err(not_json("the body is not one JSON object")),
            Some(false) => Err(InvalidMessage::new(
                Problem::NotAMessage,
                "a member stands twice, or something is nested too deep or cannot be read",
            )),
            Some(true) => {
                let id = members.id.filter(|id| is_id(id));
                self.look_up(headers, &members, id).map_err(|invalid| invalid.with_id(id))
            }
        }
    }

    fn look_up<'m>(
        &'m self,
        headers: &HeaderMap,
        members: &Members<'m>,
        id: Option<&'m str>,
    ) -> Result<Message<'m>, InvalidMessage> {
        let not_a_message = |detail| InvalidMessage::new(Problem::NotAMessage, detail);
        if members.jsonrpc.and_then(json::string).as_deref() != Some("2.0") {
            return Err(not_a_message("`jsonrpc` is not \"2.0\""));
        }
        if members.other_case {
            return Err(not_a_message("a member in another case, which counts for some parsers"));
        }
        let Some(method) = members.method else {
            let is_response = members.id.is_some() && members.result != members.error;
            if !is_response {
                return Err(not_a_message("neither a method nor a response"));
            }
            check(headers, None, None)?;
            let requirement = self.base.clone();
            return Ok(Message { method: None, id, name: None, entry: None, requirement });
        };
        let method =
            json::string(method).ok_or_else(|| not_a_message("`method` is not a string"))?;
        if members.result || members.error {
            return Err(not_a_message("a method, and a result or an error"));
        }
        let params = members.params.unwrap_or_default();
        let Parameters { name, arguments, other_case } =
            Parameters::read(params, header::name_member(&method));
        check(headers, Some(&method), name.as_deref())?;
        if other_case {
            return Err(InvalidMessage::new(
                Problem::InvalidParams,
                "a parameter in another case, which counts for some parsers",
            ));
        }
        let (entry, arguments) = if method == CALL {
            if id.is_none() {
                return Err(not_a_message("a call without an id that is a string or an integer"));
            }
            let Some(name) = &name else {
                return Err(InvalidMessage::new(Problem::InvalidParams, "a call without a name"));
            };
            let Some(entry) = self.tool_entry(name) else {
                let detail = format!("no entry for the tool `{}`", Printable::from(&**name));
                return Err(InvalidMessage::new(Problem::ToolUnknown, detail));
            };
            (entry, arguments)
        } else if let Some(entry) = self.method_entry(&method) {
            (entry, members.params)
        } else if is_covered_by_base(&method) {
            let requirement = self.base.clone();
            return Ok(Message { method: Some(method), id, name, entry: None, requirement });
        } else {
            let detail = format!("no entry for the method `{}`", Printable::from(&*method));
            return Err(InvalidMessage::new(Problem::MethodUnknown, detail));
        };
        let requirement = match &entry.rule {
            Rule::Fixed(requirement) => requirement.clone(),
            Rule::Computed(compute) => {
                let invalid = |detail| InvalidMessage::new(Problem::InvalidParams, detail);
                let arguments = Arguments::new(arguments)
                    .ok_or_else(|| invalid("the arguments are not an object".to_owned()))?;
                let own = compute(&arguments).map_err(|error| invalid(error.to_string()))?;
                Arc::new((*self.base).clone().and(own))
            }
        };
        Ok(Message { method: Some(method), id, name, entry: Some(entry), requirement })
    }

    /// Returns what every message requires.
    pub fn base(&self) -> &Require {
        &self.base
    }
}

fn check(
    headers: &HeaderMap,
    method: Option<&str>,
    name: Option<&str>,
) -> Result<(), InvalidMessage> {
    header::check(headers, method, name)
        .map_err(|detail| InvalidMessage::new(Problem::HeaderMismatch, detail))
}

fn differs_in_case_from(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| differs_in_case_alone(name, known))
}

/// True for a string and for an integer.
fn is_id(raw: &str) -> bool {
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    raw.starts_with('"') || digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// True for what every client needs, whatever it may do.
fn is_covered_by_base(method: &str) -> bool {
    matches!(method, "initialize" | "server/discover" | "ping")
        || method.starts_with("logging/")
        || method.starts_with("notifications/")
}

impl Message<'_> {
    /// Returns the method. `None` if the message is a client's response to the server.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.method.as_deref()
    }

    /// Returns what the method is about, if it says so: the name of a tool or a prompt, or the URI of a resource.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns the id as it was written, in JSON. `None` if there is none that is a string or an integer.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id
    }

    /// Returns what the message requires: the base, and what the table has for it.
    pub fn requirement(&self) -> &Require {
        &self.requirement
    }

    /// Returns what to ask a guard: the requirement, and the operation for the policies and the record.
    ///
    /// The operation is named by the method. For the policies, the resource that it touches has the type `tool`,
    /// `resource` or `prompt` and the id that is in the message. The record names the
    /// [tool](crate::audit::Operation::tool).
    pub fn ask(&self) -> Ask {
        let requirement = (*self.requirement).clone();
        Ask::message(self.operation_name(), self.stated(), self.tool(), requirement)
    }
}

impl Message<'_> {
    pub(crate) fn shared_requirement(&self) -> &Arc<Require> {
        &self.requirement
    }

    /// The operation of the message, if the request has this one.
    pub(crate) fn operation_after(&self, request: &Operation) -> Operation {
        request.clone().stated(self.operation_name(), self.stated()).calling(self.tool())
    }

    fn operation_name(&self) -> Option<Arc<str>> {
        let named = || self.method().unwrap_or("response").into();
        Some(self.entry.map_or_else(named, |entry| entry.method.clone()))
    }

    /// The tool that is called.
    pub(crate) fn tool(&self) -> Option<Arc<str>> {
        self.entry?.tool.clone()
    }

    /// What the method touches.
    fn stated(&self) -> Option<Arc<Stated>> {
        let kind = match self.method()? {
            CALL => return self.entry?.stated.clone(),
            "prompts/get" => "prompt",
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => "resource",
            _ => return None,
        };
        let resource = Some((kind.to_owned(), self.name()?.to_owned()));
        Some(Arc::new(Stated { resource, ..Stated::default() }))
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("method", &self.method.as_deref().map(Printable::from))
            .field("name", &self.name.as_deref().map(Printable::from))
            .field("requirement", &self.requirement.to_string())
            .finish_non_exhaustive()
    }
}
