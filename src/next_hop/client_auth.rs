//! How this service authenticates at a token endpoint.

use std::fmt;
use std::sync::Arc;

use base64_simd::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use serde_json::{Map, json};
use time::UtcDateTime;

use super::form::{Form, encoded};
use crate::approvals::SigningKey;
use crate::jose::{encode, random_bytes};

/// How this service authenticates at the token endpoint of an authorization server, as a client of it.
///
/// `Debug` shows the name of the client and nothing else.
///
/// ```
/// use unconfused::next_hop::ClientAuth;
///
/// # let secret = "s3cret".to_owned();
/// let auth = ClientAuth::secret_basic("orders", secret);
/// assert_eq!(format!("{auth:?}"), r#"ClientAuth("orders")"#);
/// ```
#[derive(Clone)]
pub struct ClientAuth {
    client_id: String,
    method: Method,
}

#[derive(Clone)]
enum Method {
    Basic(String),
    Post(String),
    PrivateKeyJwt(Arc<SigningKey>),
    Tls,
}

impl ClientAuth {
    /// How long an assertion is valid, in seconds.
    const ASSERTION_LIFETIME: i64 = 60;

    /// Authenticates with a secret in the `Authorization` field
    /// (`client_secret_basic`, [RFC 6749 section 2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1)).
    pub fn secret_basic(client_id: impl Into<String>, secret: impl Into<String>) -> Self {
        ClientAuth { client_id: client_id.into(), method: Method::Basic(secret.into()) }
    }

    /// Authenticates with a secret in the form (`client_secret_post`).
    ///
    /// Use it only if the server does not accept [`secret_basic`](Self::secret_basic).
    pub fn secret_post(client_id: impl Into<String>, secret: impl Into<String>) -> Self {
        ClientAuth { client_id: client_id.into(), method: Method::Post(secret.into()) }
    }

    /// Authenticates with an assertion that is signed for each request
    /// (`private_key_jwt`, [RFC 7523 section 2.2](https://www.rfc-editor.org/rfc/rfc7523#section-2.2)).
    ///
    /// Its `aud` is the issuer name of the server, alone, and it is valid for 60 seconds. Register the
    /// [public half](SigningKey::public_jwk) of the key with the server.
    pub fn private_key_jwt(client_id: impl Into<String>, key: SigningKey) -> Self {
        ClientAuth { client_id: client_id.into(), method: Method::PrivateKeyJwt(Arc::new(key)) }
    }

    /// Authenticates with the certificate of the HTTP client
    /// (`tls_client_auth`, [RFC 8705 section 2](https://www.rfc-editor.org/rfc/rfc8705#section-2)).
    ///
    /// The form names the client. The certificate is that of the [`HttpClient`](crate::client::HttpClient), so build
    /// one with it. The endpoint is `token_endpoint`, and no alias of it.
    pub fn tls(client_id: impl Into<String>) -> Self {
        ClientAuth { client_id: client_id.into(), method: Method::Tls }
    }

    /// Adds what authenticates the client. Returns `None` if an assertion cannot be signed.
    pub(super) fn apply(
        &self,
        issuer: &str,
        now: UtcDateTime,
        form: &mut Form,
        headers: &mut HeaderMap,
    ) -> Option<()> {
        match &self.method {
            Method::Basic(secret) => {
                let pair = format!("{}:{}", encoded(&self.client_id), encoded(secret));
                let field = format!("Basic {}", STANDARD.encode_to_string(pair));
                let mut field = HeaderValue::try_from(field).ok()?;
                field.set_sensitive(true);
                headers.insert(AUTHORIZATION, field);
            }
            Method::Post(secret) => {
                form.push("client_id", &self.client_id);
                form.push("client_secret", secret);
            }
            Method::PrivateKeyJwt(key) => {
                form.push("client_id", &self.client_id);
                form.push(
                    "client_assertion_type",
                    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                );
                form.push("client_assertion", &self.assertion(key, issuer, now)?);
            }
            Method::Tls => form.push("client_id", &self.client_id),
        }
        Some(())
    }

    fn assertion(&self, key: &SigningKey, issuer: &str, now: UtcDateTime) -> Option<String> {
        let mut header = Map::new();
        header.insert("kid".to_owned(), key.kid().into());
        header.insert("typ".to_owned(), "JWT".into());
        let iat = now.unix_timestamp();
        let claims = json!({
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": issuer,
            "jti": encode(random_bytes::<16>()?),
            "iat": iat,
            "exp": iat.saturating_add(Self::ASSERTION_LIFETIME),
        });
        key.sign_jwt(header, &claims)
    }
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientAuth({:?})", self.client_id)
    }
}
