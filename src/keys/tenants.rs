//! One issuer for each tenant, made when a tenant is first seen.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::url::Transport;
use super::{Issuer, KeySource, Keys, KeysUnavailable};
use crate::answer::Answer;
use crate::config_error::ConfigError;
use crate::token::{IssuerTerms, KeyHint};

/// What stands for the tenant in a template.
const PLACE: &str = "{tenant}";
/// The longest name of a tenant, in bytes.
const MAX_NAME: usize = 64;

/// Does the owner trust this tenant?
pub(super) type Approve = dyn Fn(&str) -> bool + Send + Sync;
/// The keys of the issuer of this name.
pub(super) type MakeKeys = dyn Fn(&str) -> Option<Arc<dyn KeySource>> + Send + Sync;

/// The issuers of approved tenants: those whose tokens were verified last.
pub(super) struct Tenants {
    before: String,
    after: String,
    approve: Arc<Approve>,
    keys: TenantKeys,
    most: usize,
    /// By tenant.
    made: RwLock<BTreeMap<String, Made>>,
    count: Arc<AtomicU64>,
    /// When one last had to go for another.
    last_gone: Mutex<Option<Instant>>,
}

/// Where the keys of tenants are.
#[derive(Clone)]
pub(super) enum TenantKeys {
    Each(Arc<MakeKeys>),
    /// One set for all: a key must say whose it is.
    Shared(Arc<dyn KeySource>),
}

struct Made {
    issuer: Arc<Issuer>,
    number: u64,
    used: Used,
}

/// When a token of an issuer was last verified, in an order that all tenants share: what nobody verified may not
/// keep an issuer, and may not put out one that is in use.
#[derive(Debug, Clone)]
pub(super) struct Used {
    count: Arc<AtomicU64>,
    /// 0: never.
    last: Arc<AtomicU64>,
}

impl Used {
    pub(super) fn now(&self) {
        let number = self.count.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        self.last.store(number, Ordering::Relaxed);
    }
}

impl Tenants {
    pub(super) fn new(
        template: &str,
        approve: Arc<Approve>,
        keys: TenantKeys,
    ) -> Result<Self, ConfigError> {
        let unusable =
            |problem: String| ConfigError::new(template, "a template of issuer names", problem);
        let (before, after) = template
            .split_once(PLACE)
            .filter(|(_, after)| !after.contains(PLACE))
            .ok_or_else(|| unusable(format!("it must have `{PLACE}` once")))?;
        Transport::Tls
            .fit(&format!("{before}tenant{after}"))
            .map_err(|e| unusable(e.problem().to_owned()))?;
        // The tenant may not choose the domain: it is a label in front of one, or in the path.
        let host_is_fixed = before.matches('/').count() >= 3;
        if !host_is_fixed && (before != "https://" || !is_under_a_domain(after)) {
            return Err(unusable(
                "the tenant must be in the path, or the first label of a host under a domain"
                    .into(),
            ));
        }
        Ok(Tenants {
            before: before.to_owned(),
            after: after.to_owned(),
            approve,
            keys,
            most: 1000,
            made: RwLock::default(),
            count: Arc::default(),
            last_gone: Mutex::default(),
        })
    }

    /// The same, with nothing made yet: for other terms, or another bound.
    pub(super) fn anew(&self, most: Option<usize>) -> Self {
        Tenants {
            before: self.before.clone(),
            after: self.after.clone(),
            approve: self.approve.clone(),
            keys: self.keys.clone(),
            most: most.unwrap_or(self.most),
            made: RwLock::default(),
            count: Arc::default(),
            last_gone: Mutex::default(),
        }
    }

    /// The issuer of this name, where it is of a tenant that the owner approves: now, and every time. Its terms
    /// are these, with its name.
    pub(super) fn issuer(&self, name: &str, terms: &IssuerTerms) -> Option<Arc<Issuer>> {
        let tenant = name.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        if !is_tenant(tenant) || !(self.approve)(tenant) {
            return None;
        }
        {
            let made = self.made.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(one) = made.get(tenant) {
                return Some(one.issuer.clone());
            }
        }
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have been faster.
        if let Some(one) = made.get(tenant) {
            return Some(one.issuer.clone());
        }
        if made.len() >= self.most {
            // Where all have the same keys, one without a place costs that its tokens are not remembered.
            if let TenantKeys::Shared(keys) = &self.keys {
                let keys = keys.clone();
                return Some(Arc::new(Issuer::of_tenant(name, tenant, terms, keys, None)));
            }
            if !self.may_go_now() {
                let full = || KeysUnavailable::new("more tenants are in use than are kept");
                let keys = Arc::new(move |_: KeyHint<'_>| -> Keys { Answer::Now(Err(full())) });
                return Some(Arc::new(Issuer::of_tenant(name, tenant, terms, keys, None)));
            }
        }
        let keys = match &self.keys {
            TenantKeys::Each(make) => make(name)?,
            TenantKeys::Shared(keys) => keys.clone(),
        };
        if made.len() >= self.most {
            let key = |one: &Made| (one.used.last.load(Ordering::Relaxed), one.number);
            let oldest = made.iter().min_by_key(|(_, one)| key(one));
            if let Some(oldest) = oldest.map(|(tenant, _)| tenant.clone()) {
                made.remove(&oldest);
            }
        }
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let used = Used { count: self.count.clone(), last: Arc::default() };
        let issuer = Issuer::of_tenant(name, tenant, terms, keys, Some(used.clone()));
        let issuer = Arc::new(issuer);
        made.insert(tenant.to_owned(), Made { issuer: issuer.clone(), number, used });
        Some(issuer)
    }

    /// Where all places are taken, one becomes free once a second: each costs a fetch.
    fn may_go_now(&self) -> bool {
        const PAUSE: Duration = Duration::from_secs(1);
        let mut last = self.last_gone.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let free = last.is_none_or(|last| now.saturating_duration_since(last) >= PAUSE);
        if free {
            *last = Some(now);
        }
        free
    }

    /// The one set of keys that serves all.
    pub(super) fn shared_keys(&self) -> Option<&Arc<dyn KeySource>> {
        match &self.keys {
            TenantKeys::Each(_) => None,
            TenantKeys::Shared(keys) => Some(keys),
        }
    }
}

/// What follows the tenant in a host is a dot and at least two labels.
fn is_under_a_domain(after: &str) -> bool {
    let host = after.split(['/', ':']).next().unwrap_or_default();
    let labels = host.strip_prefix('.').map(|domain| domain.split('.'));
    labels
        .is_some_and(|labels| labels.clone().count() >= 2 && labels.clone().all(|l| !l.is_empty()))
}

/// `[A-Za-z0-9.-]{1,64}`, and neither dots alone nor a dot at an end, which would be another path or host.
fn is_tenant(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        && !name.starts_with('.')
        && !name.ends_with('.')
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tenants({}{PLACE}{})", self.before, self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_under_a_domain_that_no_tenant_chooses() {
        for good in [".login.example/", ".login.example:8443/x", ".a.b.example"] {
            assert!(is_under_a_domain(good), "{good}");
        }
        for bad in ["", "/", ".com/", "./x", ".login..example/", "x.login.example/", ":8443/"] {
            assert!(!is_under_a_domain(bad), "{bad}");
        }
    }

    #[test]
    fn a_tenant_is_a_word_and_no_way_to_another_place() {
        for good in ["a", "contoso.example", "11111111-1111-1111-1111-111111111111", "A-1"] {
            assert!(is_tenant(good), "{good}");
        }
        let long = "a".repeat(65);
        for bad in
            ["", ".", "..", ".a", "a.", "a/b", "a b", "a%2e", "a@b", "a:1", "\u{e9}", "a_b", &*long]
        {
            assert!(!is_tenant(bad), "{bad}");
        }
    }
}
