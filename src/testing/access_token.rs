//! Access tokens, valid and invalid ones.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use serde::Serialize;
use serde_json::{Map, Value, json};
use time::UtcDateTime;

use super::proof::TestProofKey;
use crate::guard::{Grant, Guard};
use crate::jose::{SigningKey, encode};
use crate::names::Audience;
use crate::profile::Profile;
use crate::proof::ClientCertificate;
use crate::require::Require;

/// A token to be signed, from [`TestIssuer::token`](super::TestIssuer::token).
///
/// It is valid at first. The methods change one thing each. A clone is the same token, with the same `jti`.
///
/// ```
/// use unconfused::testing::TestIssuer;
/// use unconfused::{Audience, Guard, Reason, Scope};
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// const READ: Scope = Scope::from_static("orders:read");
///
/// let login = TestIssuer::new("https://login.example");
/// let guard = Guard::new(ORDERS, login.issuer());
///
/// let token = login.token(&ORDERS).scope("orders:read").actor("agent-7");
/// let grant = token.granted_by(&guard, READ);
/// assert_eq!(grant.actor().map(|actor| actor.name()), Some("agent-7"));
///
/// let forged = token.forged_by(&TestIssuer::new("https://evil.example")).bearer();
/// let request = http::Request::get("/").header("authorization", forged);
/// let (mut head, ()) = request.body(()).unwrap().into_parts();
/// let denial = guard.authorize(&mut head, READ).now().unwrap().unwrap_err();
/// assert_eq!(denial.reason(), Reason::SignatureInvalid);
/// ```
#[derive(Clone)]
#[must_use]
pub struct TestToken {
    pub(super) header: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
    /// Replaces the claims.
    pub(super) payload: Option<Vec<u8>>,
    pub(super) key: Option<Arc<SigningKey>>,
    pub(super) audience: Audience,
    /// Says which claims the methods write.
    pub(super) profile: Arc<Profile>,
}

impl TestToken {
    /// Sets any claim to a value of any type. A value that cannot be serialized becomes `null`.
    pub fn claim(mut self, name: &str, value: impl Serialize) -> Self {
        self.claims.insert(name.to_owned(), serde_json::to_value(value).unwrap_or_default());
        self
    }

    /// Removes this claim.
    pub fn without_claim(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets the subject, `sub` or the claim of the [profile](super::TestIssuer::profile).
    pub fn subject(self, subject: &str) -> Self {
        let profile = self.profile.clone();
        self.claim(&profile.subject, subject)
    }

    /// Sets the client that the token was issued to, `client_id` or the claim of the
    /// [profile](super::TestIssuer::profile).
    pub fn client(self, client: &str) -> Self {
        let profile = self.profile.clone();
        self.claim(profile.client_claim(), client)
    }

    /// Sets the scopes, with spaces between them. They are written to `scope`, or as the
    /// [profile](super::TestIssuer::profile) says.
    pub fn scope(mut self, scope: &str) -> Self {
        self.profile.write_scopes(&mut self.claims, scope);
        self
    }

    /// Sets the tenant, in the claim of the [profile](super::TestIssuer::profile).
    ///
    /// # Panics
    ///
    /// Panics if the profile names no claim for the tenant.
    #[expect(clippy::expect_used, reason = "called in tests of users, where a panic is the answer")]
    pub fn tenant(self, tenant: &str) -> Self {
        let claim = self.profile.tenant.clone().expect("the profile names a claim for the tenant");
        self.claim(&claim, tenant)
    }

    /// Sets the current actor, which belongs to the issuer's own namespace. The actor until now becomes a prior actor.
    pub fn actor(self, subject: &str) -> Self {
        self.act(json!({ "sub": subject }))
    }

    /// Sets the current actor, which belongs to the namespace of another issuer. The actor until now becomes a prior
    /// actor.
    pub fn actor_with_issuer(self, issuer: &str, subject: &str) -> Self {
        self.act(json!({ "iss": issuer, "sub": subject }))
    }

    fn act(mut self, mut actor: Value) -> Self {
        if let (Some(prior), Value::Object(actor)) = (self.claims.remove("act"), &mut actor) {
            actor.insert("act".to_owned(), prior);
        }
        self.claim("act", actor)
    }

    /// Binds the token to a proof key (RFC 9449 section 6.1). It must then be sent under the scheme `DPoP`, with a
    /// proof.
    pub fn bound_to(self, key: &TestProofKey) -> Self {
        self.confirmation("jkt", key.thumbprint())
    }

    /// Binds the token to a client certificate (RFC 8705 section 3.1).
    pub fn bound_to_certificate(self, certificate: ClientCertificate) -> Self {
        self.confirmation("x5t#S256", certificate.thumbprint())
    }

    /// Adds a member to `cnf`.
    fn confirmation(mut self, member: &str, thumbprint: String) -> Self {
        let confirmation = self.claims.entry("cnf").or_insert_with(|| json!({}));
        if let Value::Object(confirmation) = confirmation {
            confirmation.insert(member.to_owned(), thumbprint.into());
        }
        self
    }

    /// Sets the authentication context class, `acr`.
    pub fn acr(self, class: &str) -> Self {
        self.claim("acr", class)
    }

    /// Sets `auth_time`: the subject authenticated this long before the token was issued.
    pub fn authenticated(self, ago: Duration) -> Self {
        let auth_time = self.iat().saturating_sub(seconds(ago));
        self.claim("auth_time", auth_time)
    }

    /// Sets when the token is issued, `iat`, and moves `exp` by the same time.
    ///
    /// Call this first: the other methods that set times count from when the token is issued.
    pub fn issued_at(self, moment: UtcDateTime) -> Self {
        let lifetime = self.exp().saturating_sub(self.iat());
        let issued_at = moment.unix_timestamp();
        self.claim("iat", issued_at).claim("exp", issued_at.saturating_add(lifetime))
    }

    /// Sets how long the token is valid, from when it is issued. Defaults to 5 minutes.
    pub fn lifetime(self, lifetime: Duration) -> Self {
        let expires_at = self.iat().saturating_add(seconds(lifetime));
        self.claim("exp", expires_at)
    }

    /// Makes the token one that was issued two hours ago and expired an hour ago.
    pub fn expired(self) -> Self {
        let now = self.iat();
        self.claim("iat", now.saturating_sub(7200)).claim("exp", now.saturating_sub(3600))
    }

    /// Makes the token one that is valid in an hour, for 5 minutes, and not before (`nbf`).
    pub fn not_yet_valid(self) -> Self {
        let not_before = self.iat().saturating_add(3600);
        self.claim("nbf", not_before).claim("exp", not_before.saturating_add(300))
    }

    /// Sets any header parameter to a value of any type. A value that cannot be serialized becomes `null`.
    pub fn header(mut self, name: &str, value: impl Serialize) -> Self {
        self.header.insert(name.to_owned(), serde_json::to_value(value).unwrap_or_default());
        self
    }

    /// Removes this header parameter.
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    /// Replaces the claims with these bytes, which need not be a JSON object. For duplicate members, invalid UTF-8 and
    /// the like.
    pub fn payload(mut self, payload: impl Into<Vec<u8>>) -> Self {
        self.payload = Some(payload.into());
        self
    }

    /// Signs the token and returns it in the compact form.
    #[must_use]
    pub fn sign(&self) -> String {
        let header = Value::Object(self.header.clone()).to_string();
        let claims = || Value::Object(self.claims.clone()).to_string().into_bytes();
        let payload = self.payload.clone().unwrap_or_else(claims);
        let message = format!("{}.{}", encode(header), encode(payload));
        let signature = self.key.as_ref().and_then(|key| key.sign(&message)).unwrap_or_default();
        format!("{message}.{signature}")
    }

    /// Signs the token and returns the value of an `Authorization` field: `Bearer` and the token.
    #[must_use]
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.sign())
    }

    /// Returns the grant that this guard makes for the token, sent as a bearer token.
    ///
    /// # Panics
    ///
    /// Panics if the guard refuses the token, with the denial in the message. Panics if the guard has to wait: for keys,
    /// so call [`Guard::ready`] before; or for a policy or a store, so send a request through the guard instead.
    #[expect(clippy::panic, reason = "called in tests of users, where a panic is the answer")]
    pub fn granted_by(&self, guard: &Guard, requirement: impl Into<Require>) -> Grant {
        let mut head = http::Request::new(()).into_parts().0;
        if let Ok(value) = self.bearer().try_into() {
            head.headers.insert(AUTHORIZATION, value);
        }
        match guard.authorize(&mut head, requirement.into()).now() {
            Some(Ok(grant)) => grant,
            Some(Err(denial)) => panic!("the guard refused the token: {}", denial.for_operator()),
            None => {
                panic!(
                    "the guard has no answer yet: it waits for keys (call `Guard::ready` before), a policy or a store"
                )
            }
        }
    }

    fn iat(&self) -> i64 {
        self.claims.get("iat").and_then(Value::as_i64).unwrap_or_default()
    }

    fn exp(&self) -> i64 {
        self.claims.get("exp").and_then(Value::as_i64).unwrap_or_default()
    }
}

impl fmt::Debug for TestToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestToken(..)")
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
