//! Keys that sign, for the test issuer only.

use base64_simd::URL_SAFE_NO_PAD;
use josekit::JoseError;
use josekit::jwk::{Jwk, alg::ec::EcCurve, alg::ed::EdCurve};
use josekit::jws::{
    ES256, ES384, ES512, EdDSA, JwsSigner, PS256, PS384, PS512, RS256, RS384, RS512,
};

use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::key_set::KeySet;

/// A private key for tests.
pub(crate) struct SigningKey {
    signer: Box<dyn JwsSigner>,
    public: Jwk,
    private: Jwk,
}

/// A private key that was read from a JWK.
pub(crate) struct ReadKey {
    pub(crate) key: SigningKey,
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: String,
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
        SigningKey::new(&jwk, algorithm, kid).expect("a key that was just made signs")
    }

    /// Reads a private JWK. The algorithm is its `alg`, or the first that fits its type. Its id is its `kid`, or else
    /// its thumbprint. Returns what is wrong with it otherwise.
    pub(crate) fn from_jwk(json: &str) -> Result<ReadKey, String> {
        let mut members: Map<String, Value> =
            serde_json::from_str(json).map_err(|error| error.to_string())?;
        let text = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or_default();
        let algorithm = match (text("alg"), text("kty"), text("crv")) {
            ("", "RSA", _) => Algorithm::Rs256,
            ("", "EC", "P-256") => Algorithm::Es256,
            ("", "EC", "P-384") => Algorithm::Es384,
            ("", "EC", "P-521") => Algorithm::Es512,
            ("", "OKP", _) => Algorithm::Ed25519,
            (alg, ..) => Algorithm::from_name(alg).ok_or("its algorithm is not offered")?,
        };
        let kid = text("kid").to_owned();
        // josekit does not know `Ed25519`, and `new` sets all four.
        for name in ["alg", "kid", "use", "key_ops"] {
            members.remove(name);
        }
        let error = |error: JoseError| error.to_string();
        let jwk = Jwk::from_map(members).map_err(error)?;
        let unnamed = SigningKey::new(&jwk, algorithm, "").map_err(error)?;
        let keys = KeySet::from_jwk(&unnamed.public_jwk()).map_err(|error| error.to_string())?;
        let kid = match kid.is_empty() {
            true => keys.thumbprints().next().unwrap_or_default(),
            false => kid,
        };
        let key = SigningKey::new(&jwk, algorithm, &kid).map_err(error)?;
        Ok(ReadKey { key, algorithm, kid })
    }

    fn new(jwk: &Jwk, algorithm: Algorithm, kid: &str) -> Result<Self, JoseError> {
        let signer = match algorithm {
            Algorithm::Es256 => ES256.signer_from_jwk(jwk).map(boxed),
            Algorithm::Es384 => ES384.signer_from_jwk(jwk).map(boxed),
            Algorithm::Es512 => ES512.signer_from_jwk(jwk).map(boxed),
            Algorithm::Rs256 => RS256.signer_from_jwk(jwk).map(boxed),
            Algorithm::Rs384 => RS384.signer_from_jwk(jwk).map(boxed),
            Algorithm::Rs512 => RS512.signer_from_jwk(jwk).map(boxed),
            Algorithm::Ps256 => PS256.signer_from_jwk(jwk).map(boxed),
            Algorithm::Ps384 => PS384.signer_from_jwk(jwk).map(boxed),
            Algorithm::Ps512 => PS512.signer_from_jwk(jwk).map(boxed),
            Algorithm::Ed25519 | Algorithm::EdDsa => EdDSA.signer_from_jwk(jwk).map(boxed),
        }?;
        let (mut public, mut private) = (jwk.to_public_key()?, jwk.clone());
        for half in [&mut public, &mut private] {
            half.set_key_id(kid);
            half.set_key_use("sig");
            half.set_algorithm(algorithm.as_str());
        }
        Ok(SigningKey { signer, public, private })
    }

    /// Returns the public half as a JWK.
    pub(crate) fn public_jwk(&self) -> String {
        self.public.to_string()
    }

    /// Returns the private key as a JWK.
    pub(crate) fn private_jwk(&self) -> String {
        self.private.to_string()
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
