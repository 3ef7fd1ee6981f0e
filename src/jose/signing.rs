//! Keys that sign, for the test issuer only.

use base64_simd::URL_SAFE_NO_PAD;
use josekit::jwk::{Jwk, alg::ec::EcCurve, alg::ed::EdCurve};
use josekit::jws::{
    ES256, ES384, ES512, EdDSA, JwsSigner, PS256, PS384, PS512, RS256, RS384, RS512,
};

use super::algorithm::Algorithm;

/// A private key for tests.
pub(crate) struct SigningKey {
    signer: Box<dyn JwsSigner>,
    public: Jwk,
}

impl SigningKey {
    /// Makes a new key. An RSA key takes a noticeable moment.
    ///
    /// # Panics
    ///
    /// Panics if the system has no randomness.
    #[expect(clippy::expect_used, reason = "runs in tests only, which may panic")]
    pub(crate) fn generate(algorithm: Algorithm, kid: &str) -> Self {
        let jwk = match algorithm {
            Algorithm::Es256 => Jwk::generate_ec_key(EcCurve::P256),
            Algorithm::Es384 => Jwk::generate_ec_key(EcCurve::P384),
            Algorithm::Es512 => Jwk::generate_ec_key(EcCurve::P521),
            Algorithm::Ed25519 | Algorithm::EdDsa => Jwk::generate_ed_key(EdCurve::Ed25519),
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => Jwk::generate_rsa_key(2048),
        }
        .expect("a key can be made");
        let signer = match algorithm {
            Algorithm::Es256 => ES256.signer_from_jwk(&jwk).map(boxed),
            Algorithm::Es384 => ES384.signer_from_jwk(&jwk).map(boxed),
            Algorithm::Es512 => ES512.signer_from_jwk(&jwk).map(boxed),
            Algorithm::Rs256 => RS256.signer_from_jwk(&jwk).map(boxed),
            Algorithm::Rs384 => RS384.signer_from_jwk(&jwk).map(boxed),
            Algorithm::Rs512 => RS512.signer_from_jwk(&jwk).map(boxed),
            Algorithm::Ps256 => PS256.signer_from_jwk(&jwk).map(boxed),
            Algorithm::Ps384 => PS384.signer_from_jwk(&jwk).map(boxed),
            Algorithm::Ps512 => PS512.signer_from_jwk(&jwk).map(boxed),
            Algorithm::Ed25519 | Algorithm::EdDsa => EdDSA.signer_from_jwk(&jwk).map(boxed),
        }
        .expect("a key that was just made signs");
        let mut public = jwk.to_public_key().expect("a key that was just made has a public half");
        public.set_key_id(kid);
        public.set_key_use("sig");
        public.set_algorithm(algorithm.as_str());
        SigningKey { signer, public }
    }

    /// Returns the public half as a JWK.
    pub(crate) fn public_jwk(&self) -> String {
        self.public.to_string()
    }

    /// Signs a message and returns the signature in base64url.
    #[expect(clippy::expect_used, reason = "runs in tests only, which may panic")]
    pub(crate) fn sign(&self, message: &str) -> String {
        let signature =
            self.signer.sign(message.as_bytes()).expect("a key that was made here signs");
        URL_SAFE_NO_PAD.encode_to_string(signature)
    }
}

fn boxed<S: JwsSigner + 'static>(signer: S) -> Box<dyn JwsSigner> {
    Box::new(signer)
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(..)")
    }
}
