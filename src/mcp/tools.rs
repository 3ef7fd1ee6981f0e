//! The table: what each tool and each method of an MCP server requires.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::arguments::{Arguments, InvalidArguments};
use super::session::SessionKey;
use crate::audit::{Asked, ListedOperation};
use crate::evidence::Stated;
use crate::require::Require;

/// What each tool of an MCP server requires, by its name, and each method. Anything that is not listed is refused.
///
/// [`Guard::mcp`](crate::Guard::mcp) makes a layer of it. Names are compared byte for byte: `Delete` is not `delete`.
///
/// The base requirement is checked first, before one byte of the body is read, and is required of every operation
/// besides its own. It alone covers `initialize`, `server/discover`, `ping`, `logging/*`, `notifications/*`, what a
/// client responds to the server, and the methods GET and DELETE of HTTP. An entry of its own for one of these requires
/// more.
///
/// ```
/// use unconfused::mcp::Tools;
/// use unconfused::{Require, Scope};
///
/// const READ: Scope = Scope::from_static("notes:read");
/// const WRITE: Scope = Scope::from_static("notes:write");
///
/// let tools = Tools::new(READ)
///     .tool("search", READ)
///     .tool("write", WRITE)
///     .tool("delete", Require::scope(WRITE).max_age(std::time::Duration::from_secs(300)))
///     .method("tools/list", READ)
///     .method("resources/read", READ);
/// # drop(tools);
/// ```
#[derive(Clone)]
#[must_use = "a table guards nothing until `Guard::mcp` makes a layer of it"]
pub struct Tools {
    pub(crate) base: Arc<Require>,
    tools: BTreeMap<String, Entry>,
    methods: BTreeMap<String, Entry>,
    pub(crate) settings: Settings,
}

/// What a layer does besides.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) body_limit: usize,
    pub(crate) body_timeout: Duration,
    pub(crate) origins: Vec<String>,
    pub(crate) session_key: Option<SessionKey>,
    pub(crate) filters_list: bool,
    pub(crate) structured_denials: bool,
}

/// What one tool or method requires. What operations are told of it is shared with them.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) method: Arc<str>,
    pub(crate) tool: Option<Arc<str>>,
    /// The tool, for policies.
    pub(crate) stated: Option<Arc<Stated>>,
    pub(crate) rule: Rule,
}

#[derive(Clone)]
pub(crate) enum Rule {
    /// This, with the base.
    Fixed(Arc<Require>),
    Computed(Arc<Compute>),
}

type Compute = dyn Fn(&Arguments<'_>) -> Result<Require, InvalidArguments> + Send + Sync;

impl Tools {
    /// Makes a table with this base requirement and without entries: it refuses every tool.
    ///
    /// The scopes of the base are those that the first 401 names. They should be what a client needs to begin.
    ///
    /// # Panics
    ///
    /// Panics if the base spends tokens ([`Require::single_use`]) or asks for an approval, since every message of a
    /// client would use a token up; if no token can meet it; or if it names the scope `offline_access`, which clients
    /// are not asked for by a resource.
    pub fn new(base: impl Into<Require>) -> Self {
        let base = base.into();
        assert!(
            !base.spends() && !base.asks_for_approval(),
            "the base requirement of an MCP server cannot spend tokens: require `single_use` of a tool"
        );
        assert_can_be_asked_for(&base);
        Tools {
            base: Arc::new(base),
            tools: BTreeMap::new(),
            methods: BTreeMap::new(),
            settings: Settings {
                body_limit: 1 << 20,
                body_timeout: Duration::from_secs(10),
                origins: Vec::new(),
                session_key: None,
                filters_list: false,
                structured_denials: false,
            },
        }
    }

    /// Requires this of a call of the tool with this name.
    ///
    /// # Panics
    ///
    /// Panics if the tool has an entry already, if its name is empty, if no token can meet the requirement together
    /// with the base, or if it names the scope `offline_access`.
    pub fn tool(self, name: impl Into<String>, requirement: impl Into<Require>) -> Self {
        let rule = self.fixed(requirement.into());
        self.with_tool(name.into(), rule)
    }

    /// Requires of a call of the tool with this name what the function returns for its arguments.
    ///
    /// So amount and destination are compared with what was consented to, and approved, before the server runs. The
    /// function reads the arguments with the type that the tool reads them with: [`Arguments::read`]. What it returns
    /// as an error is answered with 400 and the JSON-RPC error -32602.
    ///
    /// The function is called once for each call, after the base requirement was met. It should not panic or wait: a
    /// panic is not caught. If it returns a requirement that no token can meet, the call is refused for good (403). A
    /// requirement that the guard cannot check, such as `single_use` without a store, is answered with 500. Nothing
    /// checks this at set-up, as it does for [`tool`](Self::tool): call each branch of the function in a test.
    ///
    /// # Panics
    ///
    /// Panics if the tool has an entry already, or if its name is empty.
    pub fn call(
        self,
        name: impl Into<String>,
        requirement: impl Fn(&Arguments<'_>) -> Result<Require, InvalidArguments>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.with_tool(name.into(), Rule::Computed(Arc::new(requirement)))
    }

    /// Requires this of the messages with this method, such as `tools/list`, `resources/read` or `completion/complete`.
    ///
    /// It is an exact name: `resources/*` is not one.
    ///
    /// # Panics
    ///
    /// Panics if the method has an entry already, if it is empty or `tools/call`, or has a `*`, and if
    /// [`tool`](Self::tool) would panic for the requirement.
    pub fn method(self, method: impl Into<String>, requirement: impl Into<Require>) -> Self {
        let rule = self.fixed(requirement.into());
        self.with_method(method.into(), rule)
    }

    /// Requires of the messages with this method what the function returns for their parameters; see
    /// [`call`](Self::call).
    ///
    /// ```
    /// use unconfused::mcp::Tools;
    /// use unconfused::{Require, Scope};
    ///
    /// const READ: Scope = Scope::from_static("notes:read");
    /// const SECRETS: Scope = Scope::from_static("notes:secrets");
    ///
    /// let tools = Tools::new(READ).method_by("resources/read", |parameters| {
    ///     let uri: String = parameters.get("uri")?;
    ///     Ok(match uri.starts_with("note://public/") {
    ///         true => Require::scope(READ),
    ///         false => Require::scope(SECRETS),
    ///     })
    /// });
    /// # drop(tools);
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the method has an entry already, if it is empty or `tools/call`, or has a `*`.
    pub fn method_by(
        self,
        method: impl Into<String>,
        requirement: impl Fn(&Arguments<'_>) -> Result<Require, InvalidArguments>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.with_method(method.into(), Rule::Computed(Arc::new(requirement)))
    }

    fn fixed(&self, requirement: Require) -> Rule {
        let all = (*self.base).clone().and(requirement);
        assert_can_be_asked_for(&all);
        Rule::Fixed(Arc::new(all))
    }

    fn with_tool(mut self, name: String, rule: Rule) -> Self {
        assert!(!name.is_empty(), "a tool has a name");
        assert!(!self.tools.contains_key(&name), "the tool `{name}` has two entries");
        let resource = Some(("tool".to_owned(), name.clone()));
        let entry = Entry {
            method: CALL.into(),
            tool: Some(name.as_str().into()),
            stated: Some(Arc::new(Stated { resource, ..Stated::default() })),
            rule,
        };
        self.tools.insert(name, entry);
        self
    }

    fn with_method(mut self, method: String, rule: Rule) -> Self {
        assert!(!method.is_empty() && !method.contains('*'), "`{method}` is not a method");
        assert!(method != CALL, "`{method}` has an entry for each tool: call `Tools::tool`");
        assert!(!self.methods.contains_key(&method), "the method `{method}` has two entries");
        let entry = Entry { method: method.as_str().into(), tool: None, stated: None, rule };
        self.methods.insert(method, entry);
        self
    }
}

/// The method that calls a tool.
pub(super) const CALL: &str = "tools/call";

/// # Panics
///
/// Panics if no token can meet it, or if clients should not be asked for one of its scopes.
fn assert_can_be_asked_for(requirement: &Require) {
    assert!(!requirement.can_never_be_met(), "no token can meet the requirement: {requirement}");
    let asks =
        requirement.challenge_scopes().iter().any(|scope| scope.as_str() == "offline_access");
    assert!(!asks, "`offline_access` is asked for by a client for itself, never by a resource");
}

/// # Settings
impl Tools {
    /// Sets how many bytes of a body are read at most. Defaults to 1 MiB. A larger body is refused (413).
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.settings.body_limit = bytes;
        self
    }

    /// Sets how long a body may take to arrive. Defaults to 10 seconds. A body that takes longer is refused (408).
    pub fn body_timeout(mut self, limit: Duration) -> Self {
        self.settings.body_timeout = limit;
        self
    }

    /// Lets requests pass that have this `Origin`, such as `https://app.example`.
    ///
    /// A request with an `Origin` that is not listed is refused before its credential is looked at (403). None is
    /// listed by default. A request without the field comes from a client that is not a browser, and passes. The text
    /// is compared byte for byte with the field, which browsers write in lower case and without the port if that is the
    /// scheme's own.
    ///
    /// # Panics
    ///
    /// Panics if the text is not a scheme, `://` and a host, with a port or without: for instance if a `/` follows.
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        let origin = origin.into();
        let host = origin.split_once("://").map_or("", |(_, host)| host);
        let is_origin = !host.is_empty() && !host.contains(['/', '*', ' ', '?', '#', '@']);
        assert!(is_origin, "`{origin}` is not an origin, such as `https://app.example`");
        self.settings.origins.push(origin);
        self
    }

    /// Binds the sessions of the server to who began them, with this key.
    ///
    /// Versions of the protocol before 2026-07-28 have sessions, whose id is in the field `Mcp-Session-Id`. The layer
    /// adds a code to the id that the server sends, over the id, the audience of the guard, and issuer, subject and
    /// client of the token. It accepts an id only with that code, from the same subject and client, and removes the
    /// code before the server sees the id. Any other id is answered with 404, as if the session had ended. Nothing is
    /// stored, and replicas that have the same key recognize each other's ids.
    ///
    /// Without a key, `Mcp-Session-Id` is removed from requests, and a response that has the field is answered with
    /// 500: a session could be taken over by anyone who learns its id.
    pub fn sessions(mut self, key: impl Into<SessionKey>) -> Self {
        self.settings.session_key = Some(key.into());
        self
    }

    /// Shows a client only the tools of `tools/list` that it may call.
    ///
    /// Hidden are tools that have no entry, and those whose requirement the token does not meet for another reason than
    /// how its subject authenticated, and details and approvals: for those a client is asked when it calls the tool.
    /// Tools with an entry by [`call`](Self::call) are shown.
    ///
    /// This is for display alone: calls are checked all the same. A list that cannot be read, or exceeds the
    /// [limit of bodies](Self::body_limit), is answered with 500 and not passed on.
    pub fn filter_list(mut self) -> Self {
        self.settings.filters_list = true;
        self
    }

    /// Adds the structured form of a denial to the errors of JSON-RPC, for clients that understand SEP-2643.
    ///
    /// The proposal is a draft, and the form is that of September 2026: `data.authorization` with the members `reason`,
    /// `authorizationContextId`, `credentialDisposition` and `remediationHints`. Status and challenge stay as they are.
    pub fn structured_denials(mut self) -> Self {
        self.settings.structured_denials = true;
        self
    }
}

impl Tools {
    pub(crate) fn tool_entry(&self, name: &str) -> Option<&Entry> {
        self.tools.get(name)
    }

    pub(crate) fn method_entry(&self, method: &str) -> Option<&Entry> {
        self.methods.get(method)
    }

    /// The tools and the methods, for the list of a guard, named as the record has them.
    pub(crate) fn listed(&self) -> impl Iterator<Item = ListedOperation> {
        let listed = |name: String, entry: &Entry| {
            let asked = match &entry.rule {
                Rule::Fixed(requirement) => Asked::Fixed(requirement.clone()),
                Rule::Computed(_) => Asked::Computed,
            };
            ListedOperation::new(name, asked)
        };
        let tools = self.tools.iter();
        let tools = tools.map(move |(name, entry)| listed(format!("{CALL} {name}"), entry));
        tools.chain(self.methods.iter().map(move |(name, entry)| listed(name.clone(), entry)))
    }

    /// All requirements that are fixed.
    pub(crate) fn requirements(&self) -> impl Iterator<Item = &Require> {
        let entries = self.tools.values().chain(self.methods.values());
        let fixed = entries.filter_map(|entry| match &entry.rule {
            Rule::Fixed(requirement) => Some(&**requirement),
            Rule::Computed(_) => None,
        });
        fixed.chain([&*self.base])
    }
}

impl fmt::Debug for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |entries: &BTreeMap<String, Entry>| -> BTreeMap<String, String> {
            let shown = entries.iter().map(|(name, entry)| {
                let rule = match &entry.rule {
                    Rule::Fixed(requirement) => requirement.to_string(),
                    Rule::Computed(_) => "computed".to_owned(),
                };
                (name.clone(), rule)
            });
            shown.collect()
        };
        f.debug_struct("Tools")
            .field("base", &self.base.to_string())
            .field("tools", &shown(&self.tools))
            .field("methods", &shown(&self.methods))
            .finish_non_exhaustive()
    }
}
