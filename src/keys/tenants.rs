//! The issuers that a template stands for: one for each tenant, created when the tenant is first seen.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use time::UtcDateTime;

use super::source::{KeySource, Keys, KeysUnavailable};
use super::template::IssuerTemplate;
use crate::answer::Answer;
use crate::dates::since;
use crate::token::KeyHint;

const DEFAULT_CAPACITY: usize = 1000;
/// Each eviction costs a fetch, so this is the shortest time between two.
const EVICTION_INTERVAL: Duration = Duration::from_secs(1);

/// Says whether the service trusts this tenant.
pub(super) type Approve = dyn Fn(&str) -> bool + Send + Sync;
/// Makes the keys of the issuer of this name.
pub(super) type MakeKeys = dyn Fn(&str) -> Option<Arc<dyn KeySource>> + Send + Sync;

/// Where the keys of tenants come from.
#[derive(Clone)]
pub(super) enum TenantKeys {
    /// Each tenant has its own.
    Separate(Arc<MakeKeys>),
    /// All tenants have these. Each key says whose it is.
    Shared(Arc<dyn KeySource>),
}

/// The issuers of approved tenants, of type `I`. If there are more than fit, those whose tokens were verified last are
/// kept.
pub(super) struct Tenants<I> {
    template: IssuerTemplate,
    approve: Arc<Approve>,
    keys: TenantKeys,
    capacity: usize,
    /// By tenant.
    entries: RwLock<BTreeMap<String, TenantEntry<I>>>,
    counter: Arc<AtomicU64>,
    last_eviction: Mutex<Option<UtcDateTime>>,
}

struct TenantEntry<I> {
    issuer: Arc<I>,
    /// The order of creation. Decides between issuers that were never used.
    number: u64,
    last_use: LastUse,
}

/// When a token of an issuer was last verified, in an order that all tenants share.
///
/// Only a verified token counts. A token that anyone can write neither keeps an issuer nor evicts one that is in use.
#[derive(Debug, Clone)]
pub(super) struct LastUse {
    counter: Arc<AtomicU64>,
    /// 0 if there was none yet.
    number: Arc<AtomicU64>,
}

impl LastUse {
    pub(super) fn update(&self) {
        let number = self.counter.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        self.number.store(number, Ordering::Relaxed);
    }
}

/// What the issuer of a tenant is made from.
pub(super) struct NewTenant<'a> {
    pub(super) tenant: &'a str,
    pub(super) keys: Arc<dyn KeySource>,
    /// `None` if the issuer is not kept.
    pub(super) last_use: Option<LastUse>,
}

impl<I> Tenants<I> {
    pub(super) fn new(template: IssuerTemplate, approve: Arc<Approve>, keys: TenantKeys) -> Self {
        Tenants {
            template,
            approve,
            keys,
            capacity: DEFAULT_CAPACITY,
            entries: RwLock::default(),
            counter: Arc::default(),
            last_eviction: Mutex::default(),
        }
    }

    /// Returns a copy that has no issuers yet.
    pub(super) fn empty_copy(&self) -> Self {
        let copy = Tenants::new(self.template.clone(), self.approve.clone(), self.keys.clone());
        Tenants { capacity: self.capacity, ..copy }
    }

    /// Returns a copy that has no issuers yet, and keeps so many.
    pub(super) fn with_capacity(&self, capacity: usize) -> Self {
        Tenants { capacity, ..self.empty_copy() }
    }

    /// Returns the issuer of this name, if the service approves its tenant. The approval is asked for every time. An
    /// issuer that is not there yet is made with `make`.
    pub(super) fn issuer(
        &self,
        name: &str,
        at: UtcDateTime,
        make: impl Fn(NewTenant<'_>) -> I,
    ) -> Option<Arc<I>> {
        let tenant = self.template.tenant_in(name)?;
        if !(self.approve)(tenant) {
            return None;
        }
        let is_full = {
            let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(entry) = entries.get(tenant) {
                return Some(entry.issuer.clone());
            }
            entries.len() >= self.capacity
        };
        let not_kept = || {
            let keys = self.keys_without_place();
            Some(Arc::new(make(NewTenant { tenant, keys, last_use: None })))
        };
        // Nothing is made for a tenant that has no place.
        if is_full && !self.may_evict(at) {
            return not_kept();
        }
        let keys = match &self.keys {
            // While nothing is locked, since this is the caller's code and may take long.
            TenantKeys::Separate(make_keys) => {
                let keys = make_keys(name)?;
                keys.renew_while_used();
                keys
            }
            TenantKeys::Shared(keys) => keys.clone(),
        };
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        // Another request may have been faster.
        if let Some(entry) = entries.get(tenant) {
            return Some(entry.issuer.clone());
        }
        let mut evicted = None;
        if entries.len() >= self.capacity {
            // Other requests may have taken the last place.
            if !is_full && !self.may_evict(at) {
                return not_kept();
            }
            let age = |entry: &TenantEntry<I>| {
                (entry.last_use.number.load(Ordering::Relaxed), entry.number)
            };
            let oldest = entries.iter().min_by_key(|(_, entry)| age(entry));
            if let Some(oldest) = oldest.map(|(tenant, _)| tenant.clone()) {
                evicted = entries.remove(&oldest);
            }
        }
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let last_use = LastUse { counter: self.counter.clone(), number: Arc::default() };
        let issuer = make(NewTenant { tenant, keys, last_use: Some(last_use.clone()) });
        let issuer = Arc::new(issuer);
        let entry = TenantEntry { issuer: issuer.clone(), number, last_use };
        entries.insert(tenant.to_owned(), entry);
        drop(entries);
        // The end of its keys may run the caller's code, so nothing is locked.
        drop(evicted);
        Some(issuer)
    }

    /// Returns the keys of a tenant that is not kept.
    fn keys_without_place(&self) -> Arc<dyn KeySource> {
        match &self.keys {
            TenantKeys::Separate(_) => Arc::new(|_: KeyHint<'_>| -> Keys {
                Answer::Now(Err(KeysUnavailable::new("more tenants are in use than are kept")))
            }),
            // These serve every tenant. It only costs that the tokens of this one are not cached.
            TenantKeys::Shared(keys) => keys.clone(),
        }
    }

    /// Returns true if a tenant may be evicted at this time, and notes that one is.
    ///
    /// The time is the caller's. A clock that is set back allows no eviction until it has caught up, and requests that
    /// were read from the clock in another order cannot evict more often.
    fn may_evict(&self, at: UtcDateTime) -> bool {
        // A tenant with shared keys needs no place.
        if let TenantKeys::Shared(_) = self.keys {
            return false;
        }
        let mut last = self.last_eviction.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| since(last, at) < EVICTION_INTERVAL) {
            return false;
        }
        *last = Some(at);
        true
    }

    /// Returns the keys that serve all tenants, if there are such.
    pub(super) fn shared_keys(&self) -> Option<&Arc<dyn KeySource>> {
        match &self.keys {
            TenantKeys::Separate(_) => None,
            TenantKeys::Shared(keys) => Some(keys),
        }
    }
}

impl<I> fmt::Debug for Tenants<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tenants({})", self.template)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dates::{earlier, later};
    use crate::jose::KeySet;

    const HOUR: Duration = Duration::from_secs(3600);

    fn start() -> UtcDateTime {
        UtcDateTime::from_unix_timestamp(1_800_000_000).unwrap()
    }

    /// Two tenants of two, each approved; an issuer is true if it is kept.
    fn full() -> Tenants<bool> {
        let template = IssuerTemplate::parse("https://login.example/{tenant}").unwrap();
        let keys = TenantKeys::Separate(Arc::new(|_| Some(Arc::new(KeySet::default()))));
        let tenants = Tenants::new(template, Arc::new(|_| true), keys).with_capacity(2);
        assert!(is_kept(&tenants, "a", start()) && is_kept(&tenants, "b", start()));
        tenants
    }

    fn is_kept(tenants: &Tenants<bool>, tenant: &str, at: UtcDateTime) -> bool {
        let name = format!("https://login.example/{tenant}");
        *tenants.issuer(&name, at, |new| new.last_use.is_some()).unwrap()
    }

    #[test]
    fn one_tenant_a_second_is_evicted() {
        let tenants = full();
        let at = |millis| later(start(), Duration::from_millis(millis));
        assert!(is_kept(&tenants, "c", at(0)));
        assert!(!is_kept(&tenants, "d", at(0)));
        assert!(!is_kept(&tenants, "d", at(999)));
        assert!(is_kept(&tenants, "d", at(1000)));
        assert!(!is_kept(&tenants, "e", at(1999)));
        assert!(is_kept(&tenants, "e", at(3_600_000)));
        assert!(!is_kept(&tenants, "f", at(3_600_999)));
    }

    #[test]
    fn a_clock_that_is_set_back_evicts_no_more_often() {
        let tenants = full();
        assert!(is_kept(&tenants, "c", start()));
        let back = earlier(start(), HOUR);
        for seconds in 0..=3600 {
            let at = later(back, Duration::from_secs(seconds));
            assert!(!is_kept(&tenants, "d", at), "{seconds}");
        }
        // Whatever the order in which requests read the clock.
        let next = later(start(), EVICTION_INTERVAL);
        assert!(is_kept(&tenants, "d", next));
        for at in [back, next, back, next, start(), next] {
            assert!(!is_kept(&tenants, "e", at));
        }
        assert!(is_kept(&tenants, "c", back), "a tenant that is kept is served at any time");
    }
}
