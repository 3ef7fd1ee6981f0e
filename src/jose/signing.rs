//! Keys that sign: the owner's, for transaction challenges, and those of the test issuer.

use std::fmt;

use base64_simd::URL_SAFE_NO_PAD;
#[cfg(feature = "testing")]
use josekit::JoseError;
use josekit::jwk::alg::ec::{EcCurve, EcKeyPair};
#[cfg(feature = "testing")]
use josekit::jwk::alg::ed::EdCurve;
use josekit::jwk::alg::ed::EdKeyPair;
use josekit::jwk::{Jwk, KeyPair as _};
use josekit::jws::{ES256, EdDSA, JwsSigner};
#[cfg(feature = "testing")]
use josekit::jws::{ES384, ES512, PS256, PS384, PS512, RS256, RS384, RS512};
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::backend::Backend;
use super::compact::decode;
#[cfg(feature = "remote")]
use super::compact::encode;
use super::jwk::ParsedJwk;
#[cfg(feature = "testing")]
use super::key_set::KeySet;
use crate::config_error::ConfigError;
use crate::json::{Object, string};

/// A private key, with the `kid` and the algorithm that it signs with: ES256 or Ed25519.
///
/// Read it from the place where you keep secrets, at start. `Debug` shows nothing of it.
///
/// ```
/// use unconfused::approvals::SigningKey;
///
/// # // The key pair of RFC 8037 appendix A.1.
/// # let jwk = r#"{"kty":"OKP","crv":"Ed25519","kid":"2026-11",
/// #   "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
/// #   "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
/// let key = SigningKey::from_jwk(jwk)?;
/// assert_eq!(key.kid(), "2026-11");
/// assert!(!key.public_jwk().contains(r#""d":"#));
///
/// assert!(SigningKey::from_pem("2026-11", "not a key").is_err());
/// # Ok::<(), unconfused::error::ConfigError>(())
/// ```
pub struct SigningKey {
    signer: Box<dyn JwsSigner>,
    public: PublishedKey,
    /// Only of a key that was made for tests.
    #[cfg(feature = "testing")]
    private_jwk: Option<String>,
}

/// A public key that is published: a JWK with `kid`, `alg` and `use`, and nothing private.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublishedKey {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) json: String,
}

impl SigningKey {
    /// The longest `kid`, in bytes.
    const MAX_KID: usize = 256;

    /// Reads a private key in PKCS#8 PEM (`-----BEGIN PRIVATE KEY-----`) and gives it this `kid`.
    ///
    /// A P-256 key signs with ES256, an Ed25519 key with Ed25519
    /// ([RFC 9864](https://www.rfc-editor.org/rfc/rfc9864)). A new key needs a new `kid`, since servers cache keys by
    /// it.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if it is not such a key, or if the `kid` is empty or exceeds 256 bytes. The error does
    /// not contain the key.
    pub fn from_pem(kid: impl Into<String>, pem: &str) -> Result<Self, ConfigError> {
        let unreadable =
            |_| not_a_key("expected a P-256 or Ed25519 key in PKCS#8 PEM, without a password");
        let (algorithm, jwk) = match EdKeyPair::from_pem(pem) {
            Ok(pair) => (Algorithm::Ed25519, pair.to_jwk_key_pair()),
            Err(_) => {
                let pair = EcKeyPair::from_pem(pem, Some(EcCurve::P256)).map_err(unreadable)?;
                (Algorithm::Es256, pair.to_jwk_key_pair())
            }
        };
        let member = |name: &str| jwk.parameter(name).and_then(Value::as_str).map(str::to_owned);
        SigningKey::from_members(algorithm, kid.into(), member)
    }

    /// Reads a private JWK ([RFC 7517](https://www.rfc-editor.org/rfc/rfc7517)), of the type `EC` with the curve P-256
    /// or `OKP` with the curve Ed25519.
    ///
    /// It must have a `kid`. An `alg` and a `use` must fit if they are there.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if it is not such a key, or if its halves do not belong together. The error does not
    /// contain the key.
    pub fn from_jwk(jwk: &str) -> Result<Self, ConfigError> {
        let object = Object::read(jwk).filter(Object::is_sound);
        let object = object.ok_or_else(|| not_a_key("expected a JWK"))?;
        let member =
            |name: &str| object.get(name).and_then(string).map(std::borrow::Cow::into_owned);
        let algorithm = match (member("kty").as_deref(), member("crv").as_deref()) {
            (Some("EC"), Some("P-256")) => Algorithm::Es256,
            (Some("OKP"), Some("Ed25519")) => Algorithm::Ed25519,
            _ => return Err(not_a_key("expected `EC` with P-256 or `OKP` with Ed25519")),
        };
        let is = |name: &str, expected: &[&str]| match object.get(name) {
            None => true,
            Some(raw) => string(raw).is_some_and(|value| expected.contains(&&*value)),
        };
        let own_names: &[&str] = match algorithm {
            Algorithm::Es256 => &["ES256"],
            _ => &["Ed25519", "EdDSA"],
        };
        if !is("alg", own_names) || !is("use", &["sig"]) {
            return Err(not_a_key("its `alg` or `use` does not fit"));
        }
        let kid = member("kid").ok_or_else(|| not_a_key("it has no `kid`"))?;
        SigningKey::from_members(algorithm, kid, member)
    }

    /// Makes the key of the members of its JWK, and checks that it signs for its public half.
    fn from_members(
        algorithm: Algorithm,
        kid: String,
        member: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        if kid.is_empty() || kid.len() > Self::MAX_KID {
            return Err(not_a_key("its `kid` is empty or exceeds 256 bytes"));
        }
        let not_whole = || not_a_key("its private and public halves do not belong together");
        let (kty, crv, numbers): (_, _, &[&str]) = match algorithm {
            Algorithm::Es256 => ("EC", "P-256", &["x", "y", "d"]),
            _ => ("OKP", "Ed25519", &["x", "d"]),
        };
        // josekit sees only the members that are needed.
        let mut jwk = Jwk::new(kty);
        jwk.set_curve(crv);
        for name in numbers {
            let number = member(name).filter(|text| decode(text).is_some_and(|it| it.len() == 32));
            let number = number.ok_or_else(|| not_a_key("a member of it is not 32 bytes"))?;
            jwk.set_parameter(name, Some(number.into())).map_err(|_| not_whole())?;
        }
        let signer: Box<dyn JwsSigner> = match algorithm {
            Algorithm::Es256 => Box::new(ES256.signer_from_jwk(&jwk).map_err(|_| not_whole())?),
            _ => Box::new(EdDSA.signer_from_jwk(&jwk).map_err(|_| not_whole())?),
        };
        let public = published(algorithm, kid, |name| jwk.parameter(name));
        let key = SigningKey {
            signer,
            public,
            #[cfg(feature = "testing")]
            private_jwk: None,
        };
        let probe = key.signature("probe").ok_or_else(not_whole)?;
        ParsedJwk::parse(&key.public.json)
            .verify(algorithm, b"probe", &probe, Backend::OpenSsl)
            .map_err(|_| not_whole())?;
        Ok(key)
    }

    /// Returns the id of the key, which its signatures name.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.public.kid
    }

    /// Returns the algorithm that the key signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm
    }

    /// Returns the public half as a JWK, with `kid`, `alg` and `use`.
    #[must_use]
    pub fn public_jwk(&self) -> String {
        self.public.json.clone()
    }

    pub(crate) fn published(&self) -> PublishedKey {
        self.public.clone()
    }

    /// Signs a message and returns the signature in base64url, or `None` if the library fails.
    pub(crate) fn sign(&self, message: &str) -> Option<String> {
        Some(URL_SAFE_NO_PAD.encode_to_string(self.signature(message)?))
    }

    /// Signs claims as a compact JWT, whose header has these members and `alg`. Returns `None` if the library fails.
    #[cfg(feature = "remote")]
    pub(crate) fn sign_jwt(
        &self,
        mut header: Map<String, Value>,
        claims: &Value,
    ) -> Option<String> {
        header.insert("alg".to_owned(), self.algorithm().as_str().into());
        let header = encode(Value::Object(header).to_string());
        let message = format!("{header}.{}", encode(claims.to_string()));
        let signature = self.sign(&message)?;
        Some(format!("{message}.{signature}"))
    }

    /// Returns the SHA-256 thumbprint of the public half (RFC 7638), or `None` if there is none.
    #[cfg(feature = "remote")]
    pub(crate) fn thumbprint(&self) -> Option<String> {
        ParsedJwk::parse(&self.public.json).thumbprint().ok()
    }

    fn signature(&self, message: &str) -> Option<Vec<u8>> {
        self.signer.sign(message.as_bytes()).ok()
    }
}

impl PublishedKey {
    /// Reads a public JWK of ES256 or Ed25519 that has a `kid`, and keeps only the members that are published.
    pub(crate) fn parse(jwk: &str) -> Result<Self, ConfigError> {
        let unusable = |problem: &str| ConfigError::new("(a JWK)", "a public key", problem);
        let parsed = ParsedJwk::parse(jwk);
        if let Some(skipped) = parsed.skipped() {
            return Err(unusable(&skipped.problem().to_string()));
        }
        let mut algorithms = [Algorithm::Es256, Algorithm::Ed25519].into_iter();
        let algorithm = algorithms.find(|algorithm| parsed.fits(*algorithm));
        let algorithm = algorithm.ok_or_else(|| unusable("expected P-256 or Ed25519"))?;
        let kid = parsed.kid().filter(|kid| !kid.is_empty() && kid.len() <= SigningKey::MAX_KID);
        let kid = kid.ok_or_else(|| unusable("it has no `kid` of 1 to 256 bytes"))?;
        let members: Map<String, Value> =
            serde_json::from_str(jwk).map_err(|_| unusable("expected a JWK"))?;
        Ok(published(algorithm, kid.to_owned(), |name| members.get(name)))
    }
}

/// The public members of a JWK, and what it is for.
fn published<'j>(
    algorithm: Algorithm,
    kid: String,
    member: impl Fn(&str) -> Option<&'j Value>,
) -> PublishedKey {
    let names = ["kty", "crv", "x", "y", "n", "e"];
    let found = names.into_iter().filter_map(|name| Some((name, member(name)?.clone())));
    let mut members: Map<_, _> = found.map(|(name, value)| (name.to_owned(), value)).collect();
    let own = [("kid", kid.as_str()), ("alg", algorithm.as_str()), ("use", "sig")];
    members.extend(own.map(|(name, value)| (name.to_owned(), value.into())));
    PublishedKey { json: Value::Object(members).to_string(), kid, algorithm }
}

/// The error about a private key. It does not contain the key.
fn not_a_key(problem: &str) -> ConfigError {
    ConfigError::new("(a private key)", "a signing key", problem)
}

#[cfg(feature = "testing")]
impl SigningKey {
    /// Generates a key, for tests. An RSA key takes a noticeable moment.
    ///
    /// # Panics
    ///
    /// Panics if the system has no randomness.
    #[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
    #[expect(clippy::expect_used, reason = "runs in tests only, which may panic")]
    #[must_use]
    pub fn generate(algorithm: Algorithm, kid: &str) -> Self {
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
        SigningKey::for_tests(jwk, algorithm, kid).expect("a key that was just made signs")
    }

    /// Reads a private JWK of any algorithm. The algorithm is its `alg`, or the first that fits its type. Its id is its
    /// `kid`, or else its thumbprint. Returns what is wrong with it otherwise.
    pub(crate) fn read_for_tests(json: &str) -> Result<Self, String> {
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
        // josekit does not know `Ed25519`.
        for name in ["alg", "kid", "use", "key_ops"] {
            members.remove(name);
        }
        let error = |error: JoseError| error.to_string();
        let jwk = Jwk::from_map(members).map_err(error)?;
        let key = SigningKey::for_tests(jwk.clone(), algorithm, &kid).map_err(error)?;
        let keys = KeySet::from_jwk(&key.public.json).map_err(|error| error.to_string())?;
        match (kid.is_empty(), keys.thumbprints().next()) {
            (true, Some(id)) => SigningKey::for_tests(jwk, algorithm, &id).map_err(error),
            _ => Ok(key),
        }
    }

    /// Returns the private key as a JWK. It is empty unless the key was made for tests.
    pub(crate) fn private_jwk(&self) -> &str {
        self.private_jwk.as_deref().unwrap_or_default()
    }

    fn for_tests(mut jwk: Jwk, algorithm: Algorithm, kid: &str) -> Result<Self, JoseError> {
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
        }?;
        let public = published(algorithm, kid.to_owned(), |name| jwk.parameter(name));
        jwk.set_key_id(kid);
        jwk.set_key_use("sig");
        jwk.set_algorithm(algorithm.as_str());
        Ok(SigningKey { signer, public, private_jwk: Some(jwk.to_string()) })
    }
}

#[cfg(feature = "testing")]
fn boxed<S: JwsSigner + 'static>(signer: S) -> Box<dyn JwsSigner> {
    Box::new(signer)
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}
