//! How an event is written: as a line of pairs, and as a line of JSON.

use std::fmt;

use serde_json::{Map, Value, json};

use super::event::{AuditEvent, StepUp};
use crate::printable::Printable;
#[cfg(doc)]
use crate::reason::Reason;

impl AuditEvent<'_> {
    /// Writes the event as one line of JSON, for a log that is read by machines.
    ///
    /// Text from outside is escaped and cut as [`Printable`] does. The members are
    ///
    /// | member | type | value |
    /// |---|---|---|
    /// | `outcome` | string | `allowed` or `denied` |
    /// | `decision`, `step`, `at` | string, number, number | [`decision`](Self::decision), [`step`](Self::step), [`at`](Self::at) in seconds since 1970 |
    /// | `operation`, `requirement` | string | what was asked for, and what that requires |
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
    /// | `step_up`, `possession` | string | [`step_up`](Self::step_up), [`possession`](Self::possession) |
    /// | `query_token` | boolean | [`query_token`](Self::query_token) |
    /// | `next_hop`, `next_hop_server` | string | [`next_hop`](Self::next_hop): the resource, and the authorization server |
    /// | `next_hop_scopes` | array of strings | its scopes |
    /// | `next_hop_on_own_behalf` | boolean | only if true |
    ///
    /// A member that does not apply is left out, and so is an empty array.
    /// [`unverified`](Self::unverified) is not among them.
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
        let text = |text: Printable<'_>| text.to_string();
        let mut members = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                members.insert(name.to_owned(), value);
            }
        };
        let list = |items: Vec<Value>| (!items.is_empty()).then_some(Value::Array(items));
        put("outcome", Some(if self.allowed() { "allowed" } else { "denied" }.into()));
        put("decision", Some(self.decision().to_string().into()));
        put("step", Some(self.step().into()));
        put("at", Some(self.at().unix_timestamp().into()));
        put("operation", Some(self.operation().to_string().into()));
        put("requirement", Some(text(self.requirement().to_string().as_str().into()).into()));
        put("reason", self.reason().map(|reason| reason.as_str().into()));
        put("status", self.status().map(|status| status.as_u16().into()));
        let others = self.other_reasons().iter().map(|reason| reason.as_str().into());
        put("other_reasons", list(others.collect()));
        put("detail", self.detail().map(|detail| text(detail).into()));
        put("authorization_reference", self.authorization_reference().map(Value::from));
        put("policies", list(self.policies().map(|id| text(id).into()).collect()));
        put("other_authenticator", self.other_authenticator().map(Value::from));
        put("issuer", self.issuer().map(|issuer| text(issuer).into()));
        put("subject", self.subject_name().map(|subject| text(subject).into()));
        put("client", self.client().map(|client| text(client).into()));
        put("jti", self.jti().map(|jti| text(jti).into()));
        put("txn", self.txn().map(|txn| text(txn).into()));
        put("tenant", self.tenant().map(|tenant| text(tenant).into()));
        put("acr", self.acr().map(|acr| text(acr).into()));
        if let Some(actor) = self.actor() {
            put("actor", Some(text(actor.name().into()).into()));
            put("actor_issuer", Some(text(actor.issuer().into()).into()));
            put("actor_source", Some(actor.source().as_str().into()));
        }
        let prior = self.prior_actors().map(
            |actor| json!({ "name": text(actor.name().into()), "issuer": text(actor.issuer().into()) }),
        );
        put("prior_actors", list(prior.collect()));
        put("audience", self.audience().map(|audience| text(audience.as_str().into()).into()));
        let by_list = self.client_list_instead_of_audience();
        put("client_list_instead_of_audience", by_list.then_some(true.into()));
        put("scopes", list(self.scopes().map(|scope| text(scope).into()).collect()));
        put("authentication_age", self.authentication_age().map(|age| age.as_secs().into()));
        put("unreadable", list(self.unreadable().map(Value::from).collect()));
        put("step_up", Some(self.step_up().as_str().into()));
        put("possession", self.possession().map(Value::from));
        put("query_token", Some(self.query_token().into()));
        if let Some(hop) = self.next_hop() {
            put("next_hop", Some(text(hop.resource.into()).into()));
            put("next_hop_server", Some(text(hop.server.into()).into()));
            let scopes = hop.scopes.iter().map(|scope| text(scope.as_str().into()).into());
            put("next_hop_scopes", list(scopes.collect()));
            put("next_hop_on_own_behalf", hop.on_own_behalf.then_some(true.into()));
        }
        Value::Object(members).to_string()
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
        write!(f, " operation=\"{}\"", self.operation())?;
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
        let at = self.at().unix_timestamp();
        write!(f, " decision={} step={} at={at}", self.decision(), self.step())
    }
}

impl fmt::Debug for AuditEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditEvent({self})")
    }
}
