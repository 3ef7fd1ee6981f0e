//! What a client is told to get consent for.

use std::collections::BTreeSet;
use std::fmt;

use crate::jose::{encode, sha256};

/// The authorization details that a new grant must contain, as a challenge asks for them
/// (draft-ietf-oauth-rar-metadata-remediation).
///
/// A challenge has it in the parameter `authorization_remediation`: a JSON object in base64url, at most
/// [`MAX_BYTES`](Self::MAX_BYTES). `Display` writes that.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use unconfused::detail::{Detail, DetailType};
/// use unconfused::{Audience, Guard, Require};
/// # use unconfused::testing::TestIssuer;
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// # let login = TestIssuer::new("https://login.example");
/// # let issuer = login.issuer();
///
/// let guard = Guard::new(ORDERS, issuer).detail_type(DetailType::new("order_refund").exact("order"));
/// let grant = login.token(&ORDERS).granted_by(&guard, Require::valid_token());
///
/// let refund = Detail::of("order_refund").with("order", 7);
/// let denial = guard.narrow(&grant, Require::detail(refund)).now().unwrap().unwrap_err();
/// let remediation = denial.challenge().unwrap().remediation().unwrap();
/// assert_eq!(remediation.authorization_details(), r#"[{"order":"7","type":"order_refund"}]"#);
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remediation {
    /// A JSON array.
    authorization_details: String,
    reference: String,
    single_use: bool,
}

impl Remediation {
    /// The largest value of the parameter, in bytes.
    pub const MAX_BYTES: usize = 2048;

    /// Asks for these entries, each in its canonical form. Returns `None` if they are too large for a challenge.
    pub(crate) fn new(entries: &BTreeSet<String>, single_use: bool) -> Option<Self> {
        let entries: Vec<_> = entries.iter().map(String::as_str).collect();
        let authorization_details = format!("[{}]", entries.join(","));
        let digest = sha256([&authorization_details]);
        let reference = encode(digest.first_chunk::<16>()?);
        let remediation = Remediation { authorization_details, reference, single_use };
        Some(remediation).filter(|remediation| remediation.to_string().len() <= Self::MAX_BYTES)
    }

    /// Returns the authorization details as a JSON array, each in its canonical form, without repeats and sorted.
    #[must_use]
    pub fn authorization_details(&self) -> &str {
        &self.authorization_details
    }

    /// Returns the `authorization_reference`, which is the same whenever the same details are asked for.
    ///
    /// It is 128 bits of the SHA-256 of [`authorization_details`](Self::authorization_details), in base64url. If a
    /// client comes back without what it was told to get, the record shows the same reference again. It hides nothing:
    /// anyone who can guess the details can compute it.
    #[must_use]
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// Returns the JSON object that the client is told.
    ///
    /// It has no `authorization_reference` if the operation spends the token, since a client keeps the reference to use
    /// the token again.
    #[must_use]
    pub fn to_json(&self) -> String {
        let Remediation { authorization_details, reference, single_use } = self;
        match single_use {
            true => format!(r#"{{"authorization_details":{authorization_details}}}"#),
            false => format!(
                r#"{{"authorization_details":{authorization_details},"authorization_reference":"{reference}"}}"#
            ),
        }
    }
}

/// Writes the value of the parameter `authorization_remediation`.
impl fmt::Display for Remediation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode(self.to_json()))
    }
}
