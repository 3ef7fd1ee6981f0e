//! How long a token may live, and how much it may hold.

use std::time::Duration;

use crate::jose::Compact;

/// Limits on the tokens that a resource accepts: tolerance between clocks, lifetimes, and sizes.
///
/// [`Guard::limits`](crate::Guard::limits) and [`Validation::limits`](crate::token::Validation::limits) accept
/// them. [`UnverifiedToken::parse_with`](crate::token::UnverifiedToken::parse_with) and
/// [`Credential::from_headers`](crate::token::Credential::from_headers) read [`max_bytes`](Self::max_bytes) and no other
/// limit.
///
/// | limit | default | reason of a refusal |
/// |---|---|---|
/// | [`leeway`](Self::leeway) | 30 seconds | `token_expired`, `token_not_yet_valid`, `issued_in_future` |
/// | [`max_lifetime`](Self::max_lifetime) | 24 hours | `token_lifetime_exceeded` |
/// | [`max_delegated_lifetime`](Self::max_delegated_lifetime) | 2 hours | `token_lifetime_exceeded` |
/// | [`max_token_age`](Self::max_token_age) | none | `token_lifetime_exceeded` |
/// | [`max_audiences`](Self::max_audiences) | 64 | `audience_mismatch` |
/// | [`max_actors`](Self::max_actors) | 8 | `actor_chain_too_deep` |
/// | [`max_bytes`](Self::max_bytes) | 16 KiB | `credential_too_large` |
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use std::time::Duration;
/// use time::UtcDateTime;
/// use unconfused::token::{TokenLimits, UnverifiedToken, Validation};
/// use unconfused::{Audience, Reason};
/// # use unconfused::testing::TestIssuer;
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// # let login = TestIssuer::new("https://login.example");
/// # let raw = login.token(&ORDERS).sign();
///
/// let limits = TokenLimits::default().max_lifetime(Duration::from_secs(60)).single_audience();
/// let validation = Validation::new(ORDERS, "https://login.example").limits(limits);
///
/// let token = UnverifiedToken::parse(&raw)?; // a token that lives for five minutes
/// let refused = token.validate(&validation, &login.keys(), UtcDateTime::now()).unwrap_err();
/// assert_eq!(refused.reason(), Reason::TokenLifetimeExceeded);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenLimits {
    pub(crate) max_bytes: usize,
    pub(super) leeway: Duration,
    pub(super) max_lifetime: Duration,
    pub(super) max_delegated_lifetime: Duration,
    pub(super) max_token_age: Option<Duration>,
    pub(super) max_audiences: usize,
    pub(super) max_actors: usize,
}

impl TokenLimits {
    /// The greatest [`leeway`](Self::leeway): 60 seconds.
    ///
    /// It cannot be raised. The leeway is there for clocks that are not quite the same, and synchronized clocks differ
    /// by less than a second. Every second of it is also added to the life of every token, of a stolen one too, after
    /// the moment at which its issuer ended it. If tokens are refused as `issued_in_future` or `token_expired` although
    /// they are new, one of the two clocks is wrong: synchronize it (NTP, chrony). If tokens end too early for their
    /// clients, have the issuer make them live longer, so that both sides know.
    pub const MAX_LEEWAY: Duration = Duration::from_secs(60);

    /// Sets the tolerance between the issuer's clock and this one. Defaults to 30 seconds.
    ///
    /// It is added wherever a time in a token is compared with the present: `exp`, `nbf` and `iat`,
    /// [`max_token_age`](Self::max_token_age), and `auth_time` in
    /// [`Require::max_age`](crate::Require::max_age). It is not added to the lifetime of a token.
    ///
    /// # Panics
    ///
    /// Panics if `leeway` is greater than [`MAX_LEEWAY`](Self::MAX_LEEWAY), which says why more is not possible.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        assert!(leeway <= Self::MAX_LEEWAY, "the leeway is at most 60 seconds, not {leeway:?}");
        self.leeway = leeway;
        self
    }

    /// Sets the longest lifetime of a token, `exp - iat`. Defaults to 24 hours.
    #[must_use]
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = lifetime;
        self
    }

    /// Sets the longest lifetime of a token with which an actor acts for the subject. Defaults to 2 hours.
    ///
    /// If [`max_lifetime`](Self::max_lifetime) is shorter, it applies to these tokens too.
    #[must_use]
    pub fn max_delegated_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_delegated_lifetime = lifetime;
        self
    }

    /// Sets the greatest age of a token, `now - iat`; the leeway is added. By default there is no such limit, and
    /// only `exp` ends a token.
    #[must_use]
    pub fn max_token_age(mut self, age: Duration) -> Self {
        self.max_token_age = Some(age);
        self
    }

    /// Sets how many audiences a token may name in `aud`. Defaults to 64.
    #[must_use]
    pub fn max_audiences(mut self, audiences: usize) -> Self {
        self.max_audiences = audiences;
        self
    }

    /// Refuses tokens that name more than one audience: it is ambiguous which of them a scope is meant for
    /// ([RFC 9068 section 5](https://www.rfc-editor.org/rfc/rfc9068#section-5)). Short for
    /// [`max_audiences(1)`](Self::max_audiences).
    #[must_use]
    pub fn single_audience(self) -> Self {
        self.max_audiences(1)
    }

    /// Sets how many actors `act` may name, including the current one. Defaults to 8.
    ///
    /// A payload may be nested 32 levels deep, so more than 31 actors are refused (`claims_malformed`) whatever this
    /// limit is.
    #[must_use]
    pub fn max_actors(mut self, actors: usize) -> Self {
        self.max_actors = actors;
        self
    }

    /// Sets how many bytes a token may have. Defaults to 16 KiB. A guard answers a larger one with status 431.
    ///
    /// Whatever this limit is, a token is refused if its header has more than 4 KiB or its payload more than 32 KiB.
    /// Both are counted decoded, and four bytes of a token are three of these: 16 KiB are enough for a payload of about
    /// 12 KiB, 44 KiB for one of 32 KiB, and beyond 50 KiB this limit changes nothing.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }
}

impl Default for TokenLimits {
    fn default() -> Self {
        const HOUR: u64 = 3600;
        TokenLimits {
            max_bytes: Compact::MAX_BYTES,
            leeway: Duration::from_secs(30),
            max_lifetime: Duration::from_secs(24 * HOUR),
            max_delegated_lifetime: Duration::from_secs(2 * HOUR),
            max_token_age: None,
            max_audiences: 64,
            max_actors: 8,
        }
    }
}
