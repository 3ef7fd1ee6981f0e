//! One issuer for each tenant, made when a tenant is first seen.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::url::Transport;
use super::{Issuer, KeySource};
use crate::token::IssuerTerms;

/// What stands for the tenant in a template.
const PLACE: &str = "{tenant}";
/// The longest name of a tenant, in bytes.
const MAX_NAME: usize = 64;

/// Does the owner trust this tenant?
pub(super) type Approve = dyn Fn(&str) -> bool + Send + Sync;
/// The keys of the issuer of this name.
pub(super) type MakeKeys = dyn Fn(&str) -> Option<Arc<dyn KeySource>> + Send + Sync;

/// The issuers of approved tenants, the last used of them.
pub(super) struct Tenants {
    before: String,
    after: String,
    approve: Arc<Approve>,
    keys: TenantKeys,
    most: usize,
    /// By tenant.
    made: RwLock<BTreeMap<String, Made>>,
    uses: AtomicU64,
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
    used: AtomicU64,
}

/// A template that names no issuers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{template}` is no template of issuers: {problem}")]
pub struct UnfitTemplate {
    template: String,
    problem: String,
}

impl Tenants {
    pub(super) fn new(
        template: &str,
        approve: Arc<Approve>,
        keys: TenantKeys,
    ) -> Result<Self, UnfitTemplate> {
        let unfit = |problem: String| UnfitTemplate { template: template.to_owned(), problem };
        let (before, after) = template
            .split_once(PLACE)
            .filter(|(_, after)| !after.contains(PLACE))
            .ok_or_else(|| unfit(format!("it must have `{PLACE}` once")))?;
        Transport::Tls.fit(&format!("{before}tenant{after}")).map_err(|e| unfit(e.to_string()))?;
        // The tenant may not choose the domain: it is a label in front of one, or in the path.
        let host_is_fixed = before.matches('/').count() >= 3;
        if !host_is_fixed && (before != "https://" || !after.starts_with('.')) {
            return Err(unfit(
                "the tenant must be in the path, or the first label of the host".into(),
            ));
        }
        Ok(Tenants {
            before: before.to_owned(),
            after: after.to_owned(),
            approve,
            keys,
            most: 1000,
            made: RwLock::default(),
            uses: AtomicU64::new(0),
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
            uses: AtomicU64::new(0),
        }
    }

    /// The issuer of this name, where it is of a tenant that the owner approves: now, and every time. Its terms
    /// are these, with its name.
    pub(super) fn issuer(&self, name: &str, terms: &IssuerTerms) -> Option<Arc<Issuer>> {
        let tenant = name.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        if !is_tenant(tenant) || !(self.approve)(tenant) {
            return None;
        }
        let used = self.uses.fetch_add(1, Ordering::Relaxed);
        {
            let made = self.made.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(one) = made.get(tenant) {
                one.used.store(used, Ordering::Relaxed);
                return Some(one.issuer.clone());
            }
        }
        let keys = match &self.keys {
            TenantKeys::Each(make) => make(name)?,
            TenantKeys::Shared(keys) => keys.clone(),
        };
        let issuer = Arc::new(Issuer::of_tenant(name, tenant, terms, keys));
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        if !made.contains_key(tenant) && made.len() >= self.most {
            let oldest = made.iter().min_by_key(|(_, one)| one.used.load(Ordering::Relaxed));
            if let Some(oldest) = oldest.map(|(tenant, _)| tenant.clone()) {
                made.remove(&oldest);
            }
        }
        // Somebody may have been faster.
        let one = made
            .entry(tenant.to_owned())
            .or_insert_with(|| Made { issuer, used: AtomicU64::new(used) });
        Some(one.issuer.clone())
    }

    /// The one set of keys that serves all.
    pub(super) fn shared_keys(&self) -> Option<&Arc<dyn KeySource>> {
        match &self.keys {
            TenantKeys::Each(_) => None,
            TenantKeys::Shared(keys) => Some(keys),
        }
    }
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
