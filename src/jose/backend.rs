//! Who does the arithmetic of a signature.

/// What verifies signatures. Keys are read and checked in one way whatever is chosen, and both are tested
/// to answer alike: a choice of speed, or of what is built in anyway.
///
/// Chosen by [`Issuer::backend`](crate::Issuer::backend) or
/// [`Validation::backend`](crate::token::Validation::backend), and by nothing else: a feature that is turned on
/// somewhere in a build changes no guard. DPoP proofs are verified with the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Backend {
    /// OpenSSL, through josekit. The default.
    #[default]
    OpenSsl,
    /// AWS-LC, through aws-lc-rs.
    #[cfg(feature = "aws-lc")]
    #[cfg_attr(docsrs, doc(cfg(feature = "aws-lc")))]
    AwsLc,
}
