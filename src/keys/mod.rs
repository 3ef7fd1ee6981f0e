//! Where an issuer's keys come from.

#[cfg(feature = "remote")]
mod cache;
#[cfg(feature = "remote")]
mod discovery;
#[cfg(feature = "remote")]
mod fetch;
pub(crate) mod issuer;
#[cfg(feature = "remote")]
mod remote;
mod status;
mod tenants;
mod url;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::answer::Answer;
use crate::denial::Denial;
use crate::reason::Reason;
use crate::token::KeyHint;

pub(crate) use issuer::Issuer;
#[cfg(feature = "remote")]
pub use remote::RemoteKeys;
pub use status::{KeyState, KeyStatus, Readiness};

pub use crate::jose::{Algorithm, Backend, KeyProblem, KeySet, KeySetError, KeySetId, SkippedKey};

/// What a [`KeySource`] answers with.
pub type Keys = Answer<'static, Result<KeySet, KeysUnavailable>>;

/// Holds the keys of one issuer.
///
/// A [`KeySet`] is one itself, for keys that do not change; so is a closure, and an `Arc` of one.
/// A source is asked for every token that names its issuer, so it must answer from memory and fetch
/// aside; where it lets a request wait, then shortly, since the request is judged by the moment it came.
/// It must hand out that issuer's keys and no others, and never because of anything a token says.
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
///     Answer::Now(keys.ok_or_else(|| KeysUnavailable::new("not fetched yet"))) // 503
/// });
/// ```
pub trait KeySource: Send + Sync + 'static {
    /// The keys to verify a token with. The hint is what an **unverified** token says of its key.
    fn keys(&self, hint: KeyHint<'_>) -> Keys;

    /// True where [`keys`](Self::keys) would answer with a clone of this very set, and at once: a token that was verified with
    /// it is not verified again. A set that is read anew is another one, so hand out clones. Where this says yes wrongly, a
    /// withdrawn key serves for up to 5 minutes. A source that does not say is asked for its keys.
    fn is_current(&self, keys: KeySetId, hint: KeyHint<'_>) -> bool {
        matches!(self.keys(hint), Answer::Now(Ok(now)) if now.id() == keys)
    }

    /// Gets the keys before a request needs them, where there are none yet; answers when that was tried. For
    /// [`Guard::ready`](crate::Guard::ready).
    fn warm_up(&self) -> Answer<'static, ()> {
        Answer::Now(())
    }

    /// How it stands with the keys. A source that does not say is taken for ready.
    fn status(&self) -> KeyStatus {
        KeyStatus::of(KeyState::Unreported)
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
        KeyStatus { keys: self.len(), skipped, ..KeyStatus::of(KeyState::Fixed) }
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

    fn status(&self) -> KeyStatus {
        (**self).status()
    }
}

/// The keys of an issuer cannot be had now. The request is answered with 503, never with "invalid token".
#[derive(Debug, thiserror::Error)]
#[error("the issuer's keys are unavailable: {cause}")]
pub struct KeysUnavailable {
    #[source]
    cause: Box<dyn std::error::Error + Send + Sync>,
    reason: Reason,
    retry_after: Option<Duration>,
}

impl KeysUnavailable {
    /// With the cause, for the operator. It goes into the record: nothing of the hint may be in it.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        KeysUnavailable { cause: cause.into(), reason: Reason::KeysUnavailable, retry_after: None }
    }

    /// When it is worth asking again, for the client: `Retry-After`, in whole seconds, at least one. 5 unless set.
    #[must_use]
    pub fn retry_after(self, retry_after: Duration) -> Self {
        KeysUnavailable { retry_after: Some(retry_after), ..self }
    }

    /// The service is set up in a way that can never get keys: 500, and loud.
    #[cfg(feature = "remote")]
    pub(crate) fn set_up_wrongly(cause: &'static str) -> Self {
        KeysUnavailable { cause: cause.into(), reason: Reason::InternalError, retry_after: None }
    }

    /// The request is refused.
    pub(crate) fn denial(&self) -> Denial {
        let denial = Denial::from(self.reason).with_detail(self.to_string());
        match self.retry_after {
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
