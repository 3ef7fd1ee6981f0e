//! The libraries that verify signatures.

/// The library that verifies signatures.
///
/// Choose one for its speed, or because your build already contains it. Keys are read and checked in the same way for
/// every backend, and the backends are tested against each other: they accept and refuse the same signatures.
///
/// [`Issuer::backend`](crate::Issuer::backend) and [`Validation::backend`](crate::token::Validation::backend) choose
/// the backend for tokens, [`Dpop::backend`](crate::proof::Dpop::backend) chooses it for proofs, and nothing else does:
/// the feature `aws-lc` alone changes no guard.
///
#[cfg_attr(feature = "aws-lc", doc = "```")]
#[cfg_attr(not(feature = "aws-lc"), doc = "```ignore")]
/// use unconfused::Issuer;
/// use unconfused::keys::{Backend, KeySet};
///
/// # let keys = KeySet::default();
/// let issuer = Issuer::new("https://login.example", keys).backend(Backend::AwsLc);
/// # let _ = issuer;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Backend {
    /// OpenSSL, through josekit, and directly for ECDSA. This is the default.
    #[default]
    OpenSsl,
    /// AWS-LC, through aws-lc-rs.
    #[cfg(feature = "aws-lc")]
    #[cfg_attr(docsrs, doc(cfg(feature = "aws-lc")))]
    AwsLc,
}
