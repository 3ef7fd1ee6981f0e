//! How an event is written: as JSON, which the schema beside this file describes, and as a line of pairs.

use std::fmt;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::event::AuditEvent;
use super::step_up::StepUp;
use crate::printable::Printable;
use crate::reason::Reason;
use crate::token::Actor;

/// # As JSON
///
/// [`Serialize`] writes an object, for a log that is read by machines, and [`to_json`](Self::to_json) the same on one
/// line. The form is stable: members are added, and none is renamed or changes its type.
/// [`JSON_SCHEMA`](Self::JSON_SCHEMA) describes it. Text from outside is escaped and cut as [`Printable`] does. The members
/// are
///
/// | member | type | value |
/// |---|---|---|
/// | `outcome` | string | `allowed` or `denied` |
/// | `decision`, `step`, `at` | string, number, number | [`decision`](Self::decision), [`step`](Self::step), [`at`](Self::at) in seconds since 1970 |
/// | `operation`, `requirement` | string | what was asked for, and what that requires |
/// | `method`, `path` | string | of the request |
/// | `tool` | string | [`Operation::tool`](crate::audit::Operation::tool): of an MCP server |
/// | `resource_type`, `resource_id` | string | what the operation touches, if the handler [stated it](crate::policy::Ask::resource) |
/// | `reason`, `status` | string, number | of a denial: the name of the [`Reason`], and the HTTP status |
/// | `other_reasons` | array of strings | of a denial: [`other_reasons`](Self::other_reasons) |
/// | `detail` | string | of a denial: [`detail`](Self::detail) |
/// | `authorization_reference` | string | of a denial: [`authorization_reference`](Self::authorization_reference) |
/// | `policies` | array of strings | [`policies`](Self::policies) |
/// | `other_authenticator` | string | [`other_authenticator`](Self::other_authenticator) |
/// | `issuer`, `subject`, `client`, `jti`, `tenant`, `acr` | string | of the token |
/// | `txn` | string | [`txn`](Self::txn) |
/// | `actor`, `actor_issuer`, `actor_source` | string | [`actor`](Self::actor): its name, its issuer, and what named it |
/// | `prior_actors` | array of objects | [`prior_actors`](Self::prior_actors), each with `name` and `issuer` |
/// | `audience` | string | [`audience`](Self::audience) |
/// | `client_list_instead_of_audience` | boolean | only if [true](Self::client_list_instead_of_audience) |
/// | `scopes` | array of strings | of the token |
/// | `authentication_age` | number | in seconds |
/// | `unreadable` | array of strings | [`unreadable`](Self::unreadable) |
/// | `step_up`, `approval` | string | [`step_up`](Self::step_up), [`approval`](Self::approval) |
/// | `spent` | array of strings | [`spent`](Self::spent) |
/// | `possession` | string | [`possession`](Self::possession) |
/// | `query_token` | boolean | [`query_token`](Self::query_token) |
/// | `next_hop`, `next_hop_server` | string | [`next_hop`](Self::next_hop): the resource, and the authorization server |
/// | `next_hop_scopes` | array of strings | its scopes |
/// | `next_hop_on_own_behalf` | boolean | only if true |
/// | `trace_id`, `parent_id` | string | of the [`traceparent`](Self::traceparent) |
///
/// A member that does not apply is left out, and so is an empty array.
/// [`unverified`](Self::unverified) is not among them, unless a sink is told to write it.
///
/// [`Serialize`]: serde::Serialize
impl AuditEvent<'_> {
    /// The JSON Schema (draft 2020-12) of an event as JSON, and of the lines of a
    /// [`JsonLines`](crate::audit::JsonLines).
    pub const JSON_SCHEMA: &'static str = include_str!("event.schema.json");

    /// Writes the event as one line of JSON.
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use unconfused::{Audience, AuditEvent, Guard, Scope};
    /// # use unconfused::testing::TestIssuer;
    ///
    /// const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// const READ: Scope = Scope::from_static("orders:read");
    /// # let login = TestIssuer::new("https://login.example");
    /// # let issuer = login.issuer();
    ///
    /// let guard = Guard::new(ORDERS, issuer).audit(|event: &AuditEvent<'_>| {
    ///     let line = event.to_json();
    ///     assert!(line.contains(r#""scopes":["orders:read","orders:write"]"#));
    /// });
    /// login.token(&ORDERS).scope("orders:read orders:write").granted_by(&guard, READ);
    /// # }
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        line(self)
    }
}

impl Serialize for AuditEvent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        write_members(self, &mut members)?;
        members.end()
    }
}

/// An event with what was found in a credential that was not verified.
pub(super) struct WithUnverified<'a>(pub(super) &'a AuditEvent<'a>);

impl Serialize for WithUnverified<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        write_members(self.0, &mut members)?;
        put(&mut members, "unverified", self.0.unverified())?;
        members.end()
    }
}

/// Writes JSON on one line. Nothing that is written here can fail.
pub(super) fn line(value: &impl Serialize) -> String {
    let mut line = Vec::with_capacity(1024);
    match serde_json::to_writer(&mut line, value) {
        Ok(()) => String::from_utf8(line).unwrap_or_default(),
        Err(_) => String::new(),
    }
}

fn write_members<M: SerializeMap>(event: &AuditEvent<'_>, m: &mut M) -> Result<(), M::Error> {
    put(m, "outcome", Some(if event.allowed() { "allowed" } else { "denied" }))?;
    put(m, "decision", Some(Text(event.decision())))?;
    put(m, "step", Some(event.step()))?;
    put(m, "at", Some(event.at().unix_timestamp()))?;
    let operation = event.operation();
    put(m, "operation", Some(Text(operation)))?;
    put(m, "method", Some(Printable::from(operation.method().as_str())))?;
    put(m, "path", Some(operation.path()))?;
    put(m, "tool", operation.tool())?;
    put(m, "resource_type", operation.resource_type().map(Printable::from))?;
    put(m, "resource_id", operation.resource_id().map(Printable::from))?;
    put(m, "requirement", Some(Printable::from(&*event.requirement().to_string())))?;
    put(m, "reason", event.reason().map(Reason::as_str))?;
    put(m, "status", event.status().map(|status| status.as_u16()))?;
    list(m, "other_reasons", || event.other_reasons().iter().map(|reason| reason.as_str()))?;
    put(m, "detail", event.detail())?;
    put(m, "authorization_reference", event.authorization_reference())?;
    list(m, "policies", || event.policies())?;
    put(m, "other_authenticator", event.other_authenticator())?;
    put(m, "issuer", event.issuer())?;
    put(m, "subject", event.subject_name())?;
    put(m, "client", event.client())?;
    put(m, "jti", event.jti())?;
    put(m, "txn", event.txn())?;
    put(m, "tenant", event.tenant())?;
    put(m, "acr", event.acr())?;
    if let Some(actor) = event.actor() {
        put(m, "actor", Some(Printable::from(actor.name())))?;
        put(m, "actor_issuer", Some(Printable::from(actor.issuer())))?;
        put(m, "actor_source", Some(actor.source().as_str()))?;
    }
    list(m, "prior_actors", || event.prior_actors().map(PriorActor))?;
    put(m, "audience", event.audience().map(|audience| Printable::from(audience.as_str())))?;
    let by_list = event.client_list_instead_of_audience();
    put(m, "client_list_instead_of_audience", by_list.then_some(true))?;
    list(m, "scopes", || event.scopes())?;
    put(m, "authentication_age", event.authentication_age().map(|age| age.as_secs()))?;
    list(m, "unreadable", || event.unreadable())?;
    put(m, "step_up", Some(event.step_up().as_str()))?;
    put(m, "approval", Some(event.approval().as_str()))?;
    list(m, "spent", || event.spent())?;
    put(m, "possession", event.possession())?;
    put(m, "query_token", Some(event.query_token()))?;
    if let Some(hop) = event.next_hop() {
        put(m, "next_hop", Some(Printable::from(hop.resource)))?;
        put(m, "next_hop_server", Some(Printable::from(hop.server)))?;
        list(m, "next_hop_scopes", || hop.scopes.iter().map(|it| Printable::from(it.as_str())))?;
        put(m, "next_hop_on_own_behalf", hop.on_own_behalf.then_some(true))?;
    }
    let trace = event.traceparent();
    put(m, "trace_id", trace.map(|trace| Text(trace.trace_id())))?;
    put(m, "parent_id", trace.map(|trace| Text(trace.parent_id())))
}

/// Writes a member, if there is a value.
fn put<M: SerializeMap>(
    members: &mut M,
    name: &'static str,
    value: Option<impl Serialize>,
) -> Result<(), M::Error> {
    match value {
        Some(value) => members.serialize_entry(name, &value),
        None => Ok(()),
    }
}

/// Writes an array, if there is an item.
fn list<M, I>(members: &mut M, name: &'static str, items: impl Fn() -> I) -> Result<(), M::Error>
where
    M: SerializeMap,
    I: Iterator<Item: Serialize>,
{
    match items().next() {
        Some(_) => members.serialize_entry(name, &Array(items)),
        None => Ok(()),
    }
}

struct Array<F>(F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for Array<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0())
    }
}

/// What `Display` writes, as a string. It must escape what comes from outside.
struct Text<T>(T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct PriorActor<'a>(Actor<'a>);

impl Serialize for PriorActor<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(Some(2))?;
        put(&mut members, "name", Some(Printable::from(self.0.name())))?;
        put(&mut members, "issuer", Some(Printable::from(self.0.issuer())))?;
        members.end()
    }
}

impl fmt::Display for AuditEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn pair<T: fmt::Debug>(
            f: &mut fmt::Formatter<'_>,
            name: &str,
            value: Option<T>,
        ) -> fmt::Result {
            value.map_or(Ok(()), |value| write!(f, " {name}={value:?}"))
        }
        f.write_str(if self.allowed() { "allowed" } else { "denied" })?;
        let operation = self.operation();
        write!(f, " operation=\"{operation}\"")?;
        if operation.name().is_some() {
            // Otherwise, they are the operation.
            let method = Printable::from(operation.method().as_str());
            write!(f, " method={method:?} path={:?}", operation.path())?;
        }
        pair(f, "tool", operation.tool())?;
        pair(f, "resource_type", operation.resource_type().map(Printable::from))?;
        pair(f, "resource_id", operation.resource_id().map(Printable::from))?;
        if let (Some(reason), Some(status)) = (self.reason(), self.status()) {
            write!(f, " reason={reason} status={}", status.as_u16())?;
        }
        for reason in self.other_reasons() {
            write!(f, " other_reason={reason}")?;
        }
        pair(f, "detail", self.detail())?;
        if let Some(reference) = self.authorization_reference() {
            write!(f, " authorization_reference={reference}")?;
        }
        for id in self.policies() {
            write!(f, " policy={id:?}")?;
        }
        pair(f, "other_authenticator", self.other_authenticator())?;
        pair(f, "subject", self.subject_name())?;
        pair(f, "issuer", self.issuer())?;
        if let Some(actor) = self.actor() {
            let (name, issuer) = (Printable::from(actor.name()), Printable::from(actor.issuer()));
            write!(f, " actor={name:?} actor_issuer={issuer:?}")?;
            write!(f, " actor_source={}", actor.source().as_str())?;
        }
        for actor in self.prior_actors() {
            let (name, issuer) = (Printable::from(actor.name()), Printable::from(actor.issuer()));
            write!(f, " prior_actor={name:?} prior_actor_issuer={issuer:?}")?;
        }
        pair(f, "client", self.client())?;
        pair(f, "jti", self.jti())?;
        pair(f, "txn", self.txn())?;
        pair(f, "audience", self.audience().map(|audience| Printable::from(audience.as_str())))?;
        if self.client_list_instead_of_audience() {
            f.write_str(" client_list_instead_of_audience=true")?;
        }
        pair(f, "tenant", self.tenant())?;
        for scope in self.scopes() {
            write!(f, " scope={scope:?}")?;
        }
        pair(f, "acr", self.acr())?;
        pair(f, "authentication_age", self.authentication_age().map(|age| age.as_secs()))?;
        for claim in self.unreadable() {
            write!(f, " unreadable={claim}")?;
        }
        write!(f, " requirement={:?}", Printable::from(&*self.requirement().to_string()))?;
        if self.step_up() != StepUp::NotRequired {
            write!(f, " step_up={}", self.step_up().as_str())?;
        }
        if self.approval() != StepUp::NotRequired {
            write!(f, " approval={}", self.approval().as_str())?;
        }
        for what in self.spent() {
            write!(f, " spent={what}")?;
        }
        if let Some(possession) = self.possession() {
            write!(f, " possession={possession}")?;
        }
        if self.query_token() {
            f.write_str(" query_token=ignored")?;
        }
        if let Some(hop) = self.next_hop() {
            let (resource, server) = (Printable::from(hop.resource), Printable::from(hop.server));
            write!(f, " next_hop={resource:?} next_hop_server={server:?}")?;
            for scope in hop.scopes {
                write!(f, " next_hop_scope={:?}", Printable::from(scope.as_str()))?;
            }
            if hop.on_own_behalf {
                f.write_str(" next_hop_on_own_behalf=true")?;
            }
        }
        if let Some(trace) = self.traceparent() {
            write!(f, " trace_id={} parent_id={}", trace.trace_id(), trace.parent_id())?;
        }
        let at = self.at().unix_timestamp();
        write!(f, " decision={} step={} at={at}", self.decision(), self.step())
    }
}

impl fmt::Debug for AuditEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditEvent({self})")
    }
}
