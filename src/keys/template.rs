//! A template of issuer names: a URL with `{tenant}` in it.

use std::fmt;

use super::url::AllowedScheme;
use crate::config_error::ConfigError;

/// Stands for the tenant.
const PLACEHOLDER: &str = "{tenant}";
/// The longest tenant, in bytes.
const MAX_TENANT_BYTES: usize = 64;

#[derive(Debug, Clone)]
pub(super) struct IssuerTemplate {
    before: String,
    after: String,
}

impl IssuerTemplate {
    pub(super) fn parse(template: &str) -> Result<Self, ConfigError> {
        let unusable =
            |problem: String| ConfigError::new(template, "a template of issuer names", problem);
        let (before, after) = template
            .split_once(PLACEHOLDER)
            .filter(|(_, after)| !after.contains(PLACEHOLDER))
            .ok_or_else(|| unusable(format!("it must have `{PLACEHOLDER}` once")))?;
        AllowedScheme::Https
            .parse(&format!("{before}tenant{after}"))
            .map_err(|error| unusable(error.problem().to_owned()))?;
        // A tenant must not choose the domain: it is in the path, or a label in front of a fixed domain.
        let host_is_fixed = before.matches('/').count() >= 3;
        if !host_is_fixed && (before != "https://" || !is_followed_by_a_domain(after)) {
            return Err(unusable(
                "the tenant must be in the path, or the first label of a host under a domain"
                    .into(),
            ));
        }
        Ok(IssuerTemplate { before: before.to_owned(), after: after.to_owned() })
    }

    /// Returns the tenant of this issuer name, if the name fits the template.
    pub(super) fn tenant_in<'a>(&self, name: &'a str) -> Option<&'a str> {
        let tenant = name.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        is_tenant(tenant).then_some(tenant)
    }
}

impl fmt::Display for IssuerTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{PLACEHOLDER}{}", self.before, self.after)
    }
}

/// Returns true if the text after the tenant begins with a dot and a domain of at least two labels.
fn is_followed_by_a_domain(after: &str) -> bool {
    let host = after.split(['/', ':']).next().unwrap_or_default();
    let labels = host.strip_prefix('.').map(|domain| domain.split('.'));
    labels
        .is_some_and(|labels| labels.clone().count() >= 2 && labels.clone().all(|l| !l.is_empty()))
}

/// Returns true for `[A-Za-z0-9.-]{1,64}` without a dot at an end, since `.`, `..` and `a.` would lead to another path
/// or host.
fn is_tenant(name: &str) -> bool {
    (1..=MAX_TENANT_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        && !name.starts_with('.')
        && !name.ends_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_under_a_domain_that_no_tenant_chooses() {
        for good in [".login.example/", ".login.example:8443/x", ".a.b.example"] {
            assert!(is_followed_by_a_domain(good), "{good}");
        }
        for bad in ["", "/", ".com/", "./x", ".login..example/", "x.login.example/", ":8443/"] {
            assert!(!is_followed_by_a_domain(bad), "{bad}");
        }
    }

    #[test]
    fn a_tenant_cannot_lead_to_another_path_or_host() {
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
