//! The seam behind which an issuer's keys are held.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::status::{KeyState, KeyStatus};
use crate::answer::Answer;
use crate::denial::Denial;
use crate::jose::{KeySet, KeySetId};
use crate::printable::with_causes;
use crate::reason::Reason;
use crate::token::KeyHint;

/// The answer of a [`KeySource`].
pub type Keys = Answer<'static, Result<KeySet, KeysUnavailable>>;

/// Holds the keys of one issuer.
///
/// A [`KeySet`] implements this trait, for keys that do not change. So do [`RemoteKeys`](super::RemoteKeys) with the
/// feature `remote`, a closure ([`key_source_fn`]), and an `Arc` of any source.
///
/// A source is asked for every token that names its issuer, so it must answer from memory and fetch in the background.
/// If it lets a request wait, the wait must be short: the request is judged by the time at which it arrived. A source
/// must return the keys of its own issuer and no others, whatever a token says. If the issuer publishes no key that can
/// be used, a source returns [`KeysUnavailable`], so that clients are not told that their tokens are invalid.
///
/// ```
/// use std::sync::{Arc, RwLock};
/// use unconfused::keys::{KeySet, Keys, KeysUnavailable};
/// use unconfused::token::KeyHint;
/// use unconfused::{Answer, Issuer};
///
/// // fetched and renewed by a task of yours
/// let current: Arc<RwLock<Option<KeySet>>> = Arc::default();
/// let login = Issuer::new("https://login.example", move |_: KeyHint<'_>| -> Keys {
///     let keys = current.read().unwrap().clone();
///     Answer::Now(keys.ok_or_else(|| KeysUnavailable::new("not fetched yet"))) // answered with 503
/// });
/// ```
pub trait KeySource: Send + Sync + 'static {
    /// Returns the keys to verify a token with.
    ///
    /// The hint is what an **unverified** token says about its key.
    fn keys(&self, hint: KeyHint<'_>) -> Keys;

    /// Returns true if [`keys`](Self::keys) would answer at once, with a clone of this very set.
    ///
    /// The guard asks this before it uses a cached token that `keys` verified: if the answer is true, the signature is
    /// not verified again. By default this calls [`keys`](Self::keys) and compares the [id](KeySet::id).
    ///
    /// Compare with the set that you hold now. A set that is read from the same document again has another id, so hand
    /// out clones of one set.
    ///
    /// ```
    /// use std::sync::RwLock;
    /// use unconfused::Answer;
    /// use unconfused::keys::{KeySet, KeySetId, KeySource, Keys};
    /// use unconfused::token::KeyHint;
    ///
    /// struct Renewed(RwLock<KeySet>);
    ///
    /// impl KeySource for Renewed {
    ///     fn keys(&self, _: KeyHint<'_>) -> Keys {
    ///         Answer::Now(Ok(self.0.read().unwrap().clone()))
    ///     }
    ///
    ///     fn is_current(&self, keys: KeySetId, _: KeyHint<'_>) -> bool {
    ///         self.0.read().unwrap().id() == keys
    ///     }
    /// }
    /// ```
    ///
    /// A source that returns true for a set that it no longer holds keeps withdrawn keys alive: tokens that were
    /// verified with it are accepted from the cache for up to 5 minutes. This one is **wrong**:
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// # use std::sync::{Arc, RwLock};
    /// # use unconfused::keys::{KeySet, KeySetId, KeySource, Keys};
    /// # use unconfused::testing::TestIssuer;
    /// # use unconfused::token::KeyHint;
    /// # use unconfused::{Answer, Audience, Denial, Grant, Guard, Issuer, Scope};
    /// # const ORDERS: Audience = Audience::from_static("https://orders.example");
    /// # const READ: Scope = Scope::from_static("orders:read");
    /// # fn authorize(guard: &Guard, token: &str) -> Result<Grant, Denial> {
    /// #     let request = http::Request::get("/orders").header("authorization", format!("Bearer {token}"));
    /// #     let (mut head, ()) = request.body(()).unwrap().into_parts();
    /// #     guard.authorize(&mut head, READ).now().unwrap()
    /// # }
    /// struct Wrong(RwLock<KeySet>);
    ///
    /// impl KeySource for Wrong {
    ///     fn keys(&self, _: KeyHint<'_>) -> Keys {
    ///         Answer::Now(Ok(self.0.read().unwrap().clone()))
    ///     }
    ///
    ///     fn is_current(&self, _: KeySetId, _: KeyHint<'_>) -> bool {
    ///         !self.0.read().unwrap().is_empty() // there are keys, but are they these?
    ///     }
    /// }
    ///
    /// let login = TestIssuer::new("https://login.example");
    /// let source = Arc::new(Wrong(RwLock::new(login.keys())));
    /// let guard = Guard::new(ORDERS, Issuer::new("https://login.example", source.clone()));
    /// let token = login.token(&ORDERS).scope("orders:read").sign();
    /// assert!(authorize(&guard, &token).is_ok());
    ///
    /// // The key is withdrawn. Its token is accepted all the same.
    /// login.rotate();
    /// login.withdraw_old_keys();
    /// *source.0.write().unwrap() = login.keys();
    /// assert!(authorize(&guard, &token).is_ok());
    /// # }
    /// ```
    #[must_use]
    fn is_current(&self, keys: KeySetId, hint: KeyHint<'_>) -> bool {
        matches!(self.keys(hint), Answer::Now(Ok(now)) if now.id() == keys)
    }

    /// Fetches the keys before a request needs them, if there are none yet.
    ///
    /// The answer comes when the attempt has ended, whether it succeeded or not. Called by
    /// [`Guard::ready`](crate::Guard::ready); and by [`Guard::readiness`](crate::Guard::readiness), which does not wait
    /// for the answer, for as long as the state is [`KeyState::Missing`]. Does nothing by default.
    fn warm_up(&self) -> Answer<'static, ()> {
        Answer::Now(())
    }

    /// Makes the source of a tenant renew its keys only while they are used.
    ///
    /// Called once for each source that [`Issuer::tenants`](crate::Issuer::tenants) makes, before it is asked for keys.
    /// Anyone can write a token that names a tenant, so a source that fetches should fetch without a request only if
    /// [`mark_used`](Self::mark_used) was called since the fetch before.
    ///
    /// Does nothing by default. A source that wraps another one must pass both calls on. A closure cannot: return the
    /// source itself for a tenant, or one forged token makes [`RemoteKeys`](super::RemoteKeys) fetch for as long as the
    /// tenant is kept.
    fn renew_while_used(&self) {}

    /// Notes that a token of a tenant was verified with these keys.
    ///
    /// Called for tokens of tenants only, on the path of the request. Does nothing by default.
    fn mark_used(&self) {}

    /// Returns the state of the keys, for [`Guard::readiness`](crate::Guard::readiness).
    ///
    /// By default this is [`KeyState::Unreported`], which counts as ready.
    fn status(&self) -> KeyStatus {
        KeyStatus::new(KeyState::Unreported)
    }
}

impl KeySource for KeySet {
    fn keys(&self, _: KeyHint<'_>) -> Keys {
        Answer::Now(Ok(self.clone()))
    }

    fn is_current(&self, keys: KeySetId, _: KeyHint<'_>) -> bool {
        self.id() == keys
    }

    fn status(&self) -> KeyStatus {
        let skipped = self.skipped().count();
        KeyStatus { keys: self.len(), skipped, ..KeyStatus::new(KeyState::Fixed) }
    }
}

impl<F> KeySource for F
where
    F: Fn(KeyHint<'_>) -> Keys + Send + Sync + ?Sized + 'static,
{
    fn keys(&self, hint: KeyHint<'_>) -> Keys {
        self(hint)
    }
}

/// Returns the closure as it is, and gives it the signature that makes it a [`KeySource`].
///
/// So neither its argument nor its answer needs a type:
///
/// ```
/// use unconfused::keys::{KeySet, key_source_fn};
/// use unconfused::{Answer, Issuer};
///
/// let keys = KeySet::default();
/// let login = Issuer::new("https://login.example", key_source_fn(move |_| Answer::Now(Ok(keys.clone()))));
/// ```
pub fn key_source_fn<F>(keys: F) -> F
where
    F: Fn(KeyHint<'_>) -> Keys + Send + Sync + 'static,
{
    keys
}

impl<K: KeySource + ?Sized> KeySource for Arc<K> {
    fn keys(&self, hint: KeyHint<'_>) -> Keys {
        (**self).keys(hint)
    }

    fn is_current(&self, keys: KeySetId, hint: KeyHint<'_>) -> bool {
        (**self).is_current(keys, hint)
    }

    fn warm_up(&self) -> Answer<'static, ()> {
        (**self).warm_up()
    }

    fn renew_while_used(&self) {
        (**self).renew_while_used();
    }

    fn mark_used(&self) {
        (**self).mark_used();
    }

    fn status(&self) -> KeyStatus {
        (**self).status()
    }
}

/// The error of a [`KeySource`] that has no keys now.
///
/// The request is answered with 503 and the reason `keys_unavailable`, never with "invalid token".
///
/// ```
/// use std::time::Duration;
/// use unconfused::Denial;
/// use unconfused::keys::KeysUnavailable;
///
/// let error = KeysUnavailable::new("not fetched yet").retry_after(Duration::from_secs(2));
/// assert_eq!(error.to_string(), "the issuer's keys are unavailable: not fetched yet");
///
/// // In a function that asks a source for keys itself, `?` does this.
/// let denial = Denial::from(error);
/// assert_eq!(denial.status(), 503);
/// assert_eq!(denial.headers()["retry-after"], "2");
/// ```
#[derive(Debug, thiserror::Error)]
#[error("the issuer's keys are unavailable: {cause}")]
pub struct KeysUnavailable {
    #[source]
    cause: Box<dyn std::error::Error + Send + Sync>,
    reason: Reason,
    retry_after: Option<Duration>,
}

impl KeysUnavailable {
    /// Creates the error with its cause, for the operator.
    ///
    /// The cause is written to the audit record, so nothing from the [`KeyHint`] may be in it.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        KeysUnavailable { cause: cause.into(), reason: Reason::KeysUnavailable, retry_after: None }
    }

    /// Sets how long the client should wait before it asks again (`Retry-After`).
    ///
    /// It is sent in whole seconds, at least one. Defaults to 5 seconds.
    #[must_use]
    pub fn retry_after(self, retry_after: Duration) -> Self {
        KeysUnavailable { retry_after: Some(retry_after), ..self }
    }

    /// Creates the error of a service whose set-up can never get keys. It is answered with 500.
    #[cfg(feature = "remote")]
    pub(crate) fn misconfigured(cause: &'static str) -> Self {
        KeysUnavailable { cause: cause.into(), reason: Reason::InternalError, retry_after: None }
    }
}

/// 503 with `Retry-After`. The operator's words have the cause.
impl From<KeysUnavailable> for Denial {
    fn from(unavailable: KeysUnavailable) -> Self {
        let denial = Denial::from(unavailable.reason).with_detail(with_causes(&unavailable));
        match unavailable.retry_after {
            Some(retry_after) => denial.with_retry_after(retry_after),
            None => denial,
        }
    }
}

impl fmt::Debug for dyn KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySource(..)")
    }
}
