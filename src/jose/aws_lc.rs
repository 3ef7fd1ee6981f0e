//! Signatures verified with AWS-LC. No other file names aws-lc-rs.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaPublicKeyComponents,
};

use super::algorithm::Algorithm;

/// A public key parsed by AWS-LC, for one algorithm.
pub(super) struct AwsLcVerifier(ParsedPublicKey);

impl AwsLcVerifier {
    /// Makes a verifier. `number` returns a member of the JWK, decoded.
    pub(super) fn new(
        algorithm: Algorithm,
        number: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> Option<Self> {
        let rsa = |parameters| {
            let (n, e) = (number("n")?, number("e")?);
            RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters).ok()
        };
        let ec = |parameters| {
            // The uncompressed form (SEC 1 section 2.3.3).
            let point = [vec![4], number("x")?, number("y")?].concat();
            ParsedPublicKey::new(parameters, point).ok()
        };
        // In all three, the salt of PSS is as long as the hash (RFC 7518 section 3.5).
        let key = match algorithm {
            Algorithm::Es256 => ec(&ECDSA_P256_SHA256_FIXED),
            Algorithm::Es384 => ec(&ECDSA_P384_SHA384_FIXED),
            Algorithm::Es512 => ec(&ECDSA_P521_SHA512_FIXED),
            Algorithm::Rs256 => rsa(&RSA_PKCS1_2048_8192_SHA256),
            Algorithm::Rs384 => rsa(&RSA_PKCS1_2048_8192_SHA384),
            Algorithm::Rs512 => rsa(&RSA_PKCS1_2048_8192_SHA512),
            Algorithm::Ps256 => rsa(&RSA_PSS_2048_8192_SHA256),
            Algorithm::Ps384 => rsa(&RSA_PSS_2048_8192_SHA384),
            Algorithm::Ps512 => rsa(&RSA_PSS_2048_8192_SHA512),
            Algorithm::Ed25519 | Algorithm::EdDsa => {
                ParsedPublicKey::new(&ED25519, number("x")?).ok()
            }
        };
        key.map(AwsLcVerifier)
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify_sig(message, signature).is_ok()
    }
}
