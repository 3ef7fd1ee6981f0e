//! The ids of sessions, bound to who began them.

use std::fmt;

use crate::jose::{constant_time_eq, decode, encode, hmac_sha256};
use crate::token::AccessToken;

/// The key that binds the ids of sessions, shared by all replicas of a server; for
/// [`Tools::sessions`](super::Tools::sessions).
///
/// The code is an HMAC-SHA-256. To change the key, give every replica the new one, and the old one as
/// [`previous`](Self::previous). Drop the old key when its sessions are over. `Debug` does not show the key.
///
/// ```
/// use unconfused::mcp::SessionKey;
///
/// # let (current_secret, previous_secret) = ([1; 32], [2; 32]);
/// let key = SessionKey::new(current_secret).previous(previous_secret);
/// # let _ = key;
/// ```
#[derive(Clone)]
pub struct SessionKey {
    current: [u8; 32],
    previous: Option<[u8; 32]>,
}

impl SessionKey {
    /// Makes a key of 32 random bytes that are kept secret and are the same at every replica.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        SessionKey { current: key, previous: None }
    }

    /// Also recognizes ids that were made with this key. New ones are never made with it.
    ///
    /// At most one previous key is kept: a second call replaces it.
    #[must_use]
    pub fn previous(mut self, key: [u8; 32]) -> Self {
        self.previous = Some(key);
        self
    }

    /// The id for the client: that of the server, a dot, and the code. `None` if the library fails.
    pub(crate) fn bind(&self, id: &str, audience: &str, token: &AccessToken) -> Option<String> {
        Some(format!("{id}.{}", encode(code(&self.current, id, audience, token)?)))
    }

    /// The id of the server, if this one was made for it and for this subject and client.
    pub(crate) fn check<'i>(
        &self,
        bound: &'i str,
        audience: &str,
        token: &AccessToken,
    ) -> Option<&'i str> {
        let (id, shown) = bound.rsplit_once('.')?;
        let shown = decode(shown)?;
        let mut keys = [Some(&self.current), self.previous.as_ref()].into_iter().flatten();
        let is_right = |key| {
            code(key, id, audience, token).is_some_and(|code| constant_time_eq(&code, &shown))
        };
        keys.any(is_right).then_some(id)
    }
}

/// The code over everything that a session belongs to, each after its length.
fn code(key: &[u8; 32], id: &str, audience: &str, token: &AccessToken) -> Option<Vec<u8>> {
    let subject = token.subject();
    let client = token.client_id();
    let mut message = b"unconfused mcp session 1".to_vec();
    message.push(client.is_some().into());
    for field in [id, audience, token.issuer(), subject.name(), client.unwrap_or_default()] {
        message.extend(u64::try_from(field.len()).ok()?.to_be_bytes());
        message.extend(field.as_bytes());
    }
    hmac_sha256(key, &message)
}

impl From<[u8; 32]> for SessionKey {
    fn from(key: [u8; 32]) -> Self {
        SessionKey::new(key)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}
