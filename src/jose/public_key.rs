//! Public keys: checked with openssl, used by openssl itself for ECDSA and RSASSA-PKCS1-v1_5, through josekit, or with
//! AWS-LC.

use std::fmt;
use std::sync::OnceLock;

use base64_simd::URL_SAFE_NO_PAD;
use josekit::jwk::Jwk;
use josekit::jws::{EdDSA, JwsVerifier, PS256, PS384, PS512};
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::Public;
use openssl::rsa::{Padding, Rsa};
use serde_json::Value;

use super::algorithm::Algorithm;
#[cfg(feature = "aws-lc")]
use super::aws_lc::AwsLcVerifier;
use super::backend::Backend;
use super::digest::sha256;
use super::hash::Hash;
use super::key_problem::KeyProblem;
use crate::reason::Reason;

/// The longest RSA key.
const MAX_RSA_BITS: i32 = 8192;
const MAX_RSA_BYTES: usize = 1024;

/// A public key that passed our checks, with verifiers for each algorithm that it fits.
pub(super) struct PublicKey {
    jwk: Jwk,
    /// The one length of a signature under this key, in bytes.
    signature_len: usize,
    verifiers: Vec<LazyVerifier>,
}

/// The verifiers of one algorithm, one for each backend. A verifier costs more to make than to use, so each is made
/// once, when it is first needed.
struct LazyVerifier {
    algorithm: Algorithm,
    openssl: OnceLock<Option<OpenSslVerifier>>,
    #[cfg(feature = "aws-lc")]
    aws_lc: OnceLock<Option<AwsLcVerifier>>,
}

enum OpenSslVerifier {
    Josekit(Box<dyn JwsVerifier>),
    /// josekit has OpenSSL encode a key and decode it again, which takes longer than the signature. A proof brings a key
    /// that no one has seen before.
    Ecdsa(Algorithm, EcKey<Public>),
    /// josekit has OpenSSL look its algorithms up by name for each signature, which pushes much else out of the caches
    /// of the processor.
    RsaPkcs1(Algorithm, Rsa<Public>),
}

impl OpenSslVerifier {
    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            OpenSslVerifier::Josekit(verifier) => verifier.verify(message, signature).is_ok(),
            OpenSslVerifier::Ecdsa(algorithm, key) => {
                verifies_ecdsa(*algorithm, key, message, signature).unwrap_or(false)
            }
            OpenSslVerifier::RsaPkcs1(algorithm, key) => {
                verifies_rsa_pkcs1(*algorithm, key, message, signature).unwrap_or(false)
            }
        }
    }
}

enum Verifier<'a> {
    OpenSsl(&'a OpenSslVerifier),
    #[cfg(feature = "aws-lc")]
    AwsLc(&'a AwsLcVerifier),
}

impl LazyVerifier {
    fn new(algorithm: Algorithm) -> Self {
        LazyVerifier {
            algorithm,
            openssl: OnceLock::new(),
            #[cfg(feature = "aws-lc")]
            aws_lc: OnceLock::new(),
        }
    }

    fn get(&self, backend: Backend, jwk: &Jwk) -> Option<Verifier<'_>> {
        match backend {
            Backend::OpenSsl => {
                let made = self.openssl.get_or_init(|| openssl_verifier(self.algorithm, jwk));
                made.as_ref().map(Verifier::OpenSsl)
            }
            #[cfg(feature = "aws-lc")]
            Backend::AwsLc => {
                let number = |name: &str| number(jwk, name);
                let made = self.aws_lc.get_or_init(|| AwsLcVerifier::new(self.algorithm, number));
                made.as_ref().map(Verifier::AwsLc)
            }
        }
    }
}

impl Verifier<'_> {
    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Verifier::OpenSsl(verifier) => verifier.verifies(message, signature),
            #[cfg(feature = "aws-lc")]
            Verifier::AwsLc(verifier) => verifier.verifies(message, signature),
        }
    }
}

impl PublicKey {
    /// Checks an RSA key (RFC 7518 section 6.3.1), its size included (section 3.3).
    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Result<Self, KeyProblem> {
        let (n, e) = (without_leading_zeros(n), without_leading_zeros(e));
        let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
        let bits = BigNum::from_slice(n).map_err(|_| KeyProblem::Malformed)?.num_bits();
        // If e = 1, every message is its own signature, so anyone can sign.
        let exponent = e.iter().fold(0_u64, |value, byte| value.wrapping_shl(8) | u64::from(*byte));
        let exponent_is_sane = e.len() <= 5 && (3..1 << 33).contains(&exponent) && odd(e);
        if !(2048..=MAX_RSA_BITS).contains(&bits) || !odd(n) || !exponent_is_sane {
            return Err(KeyProblem::WeakRsa);
        }
        PublicKey::new(
            "RSA",
            &[("n", n), ("e", e)],
            None,
            n.len(),
            &[
                Algorithm::Rs256,
                Algorithm::Rs384,
                Algorithm::Rs512,
                Algorithm::Ps256,
                Algorithm::Ps384,
                Algorithm::Ps512,
            ],
        )
    }

    /// Checks an EC key (RFC 7518 section 6.2.1): both coordinates have the curve's full length, and the point is on
    /// the curve.
    pub(super) fn ec(curve: &str, x: &[u8], y: &[u8]) -> Result<Self, KeyProblem> {
        let (nid, len, algorithm) = match curve {
            "P-256" => (Nid::X9_62_PRIME256V1, 32, Algorithm::Es256),
            "P-384" => (Nid::SECP384R1, 48, Algorithm::Es384),
            "P-521" => (Nid::SECP521R1, 66, Algorithm::Es512),
            _ => return Err(KeyProblem::TypeNotOffered),
        };
        let on_curve = || -> Result<EcKey<Public>, ErrorStack> {
            let group = group(nid)?;
            // The uncompressed form (SEC 1 section 2.3.3), which does not have the point at infinity. Refuses what is
            // out of range or off the curve. These curves have the cofactor 1, so every other point has the full order.
            let point = [&[4], x, y].concat();
            let point = EcPoint::from_bytes(group, &point, &mut *BigNumContext::new()?)?;
            EcKey::from_public_key(group, &point)
        };
        if x.len() != len || y.len() != len {
            return Err(KeyProblem::InvalidPoint);
        }
        let key = on_curve().map_err(|_| KeyProblem::InvalidPoint)?;
        let numbers = [("x", x), ("y", y)];
        let signature_len = len.saturating_mul(2);
        let made = PublicKey::new("EC", &numbers, Some(curve), signature_len, &[algorithm])?;
        if let Some(verifier) = made.verifiers.first() {
            let _ = verifier.openssl.set(Some(OpenSslVerifier::Ecdsa(algorithm, key)));
        }
        Ok(made)
    }

    /// Checks an Ed25519 key (RFC 8037 section 2): the point is valid (RFC 8032 section 5.1.3) and not of small order.
    pub(super) fn ed25519(x: &[u8]) -> Result<Self, KeyProblem> {
        if has_small_order(x) || !is_ed25519_point(x).unwrap_or(false) {
            return Err(KeyProblem::InvalidPoint);
        }
        PublicKey::new("OKP", &[("x", x)], Some("Ed25519"), 64, &[Algorithm::Ed25519])
    }

    fn new(
        kty: &str,
        numbers: &[(&str, &[u8])],
        curve: Option<&str>,
        signature_len: usize,
        algorithms: &[Algorithm],
    ) -> Result<Self, KeyProblem> {
        // josekit sees only the members that were checked.
        let mut jwk = Jwk::new(kty);
        let mut set = |name: &str, value: String| {
            jwk.set_parameter(name, Some(Value::String(value))).map_err(|_| KeyProblem::Malformed)
        };
        for (name, number) in numbers {
            set(name, URL_SAFE_NO_PAD.encode_to_string(number))?;
        }
        if let Some(curve) = curve {
            set("crv", curve.to_owned())?;
        }
        let verifiers = algorithms.iter().copied().map(LazyVerifier::new).collect();
        Ok(PublicKey { jwk, signature_len, verifiers })
    }

    /// Returns the SHA-256 thumbprint, of the required members in the order of their names, without spaces (RFC 7638
    /// section 3).
    pub(super) fn thumbprint(&self) -> String {
        let members = ["crv", "e", "kty", "n", "x", "y"];
        let members = members.into_iter().filter_map(|name| {
            // Base64url and the names of curves and types need no escapes.
            let value = self.jwk.parameter(name)?.as_str()?;
            Some(format!("\"{name}\":\"{value}\""))
        });
        let json = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
        URL_SAFE_NO_PAD.encode_to_string(sha256([json]))
    }

    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.verifiers.iter().any(|verifier| verifier.algorithm == algorithm)
    }

    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
        backend: Backend,
    ) -> Result<(), Reason> {
        let verifier = self
            .verifiers
            .iter()
            .find(|verifier| verifier.algorithm == algorithm)
            .and_then(|verifier| verifier.get(backend, &self.jwk))
            .ok_or(Reason::KeyUnusable)?;
        // Signatures under one key have one length (RFC 7518 sections 3.3 to 3.5, RFC 8032 section 5.1.6).
        if signature.len() != self.signature_len {
            return Err(Reason::SignatureInvalid);
        }
        // The first half of an Ed25519 signature is a point too, and must not be of small order.
        if algorithm == Algorithm::Ed25519 && signature.get(..32).is_none_or(has_small_order) {
            return Err(Reason::SignatureInvalid);
        }
        match verifier.verifies(message, signature) {
            true => Ok(()),
            false => Err(Reason::SignatureInvalid),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.verifiers.iter().map(|verifier| verifier.algorithm)).finish()
    }
}

/// Makes the verifier of a key that is not an EC key.
fn openssl_verifier(algorithm: Algorithm, jwk: &Jwk) -> Option<OpenSslVerifier> {
    fn boxed<V: JwsVerifier + 'static, E>(made: Result<V, E>) -> Option<OpenSslVerifier> {
        made.ok().map(|verifier| OpenSslVerifier::Josekit(Box::new(verifier)))
    }
    match algorithm {
        // Made when the key is checked.
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 => None,
        Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 => {
            let [n, e] = ["n", "e"].map(|name| number(jwk, name).map(|n| BigNum::from_slice(&n)));
            let key = Rsa::from_public_components(n?.ok()?, e?.ok()?).ok()?;
            Some(OpenSslVerifier::RsaPkcs1(algorithm, key))
        }
        Algorithm::Ps256 => boxed(PS256.verifier_from_jwk(jwk)),
        Algorithm::Ps384 => boxed(PS384.verifier_from_jwk(jwk)),
        Algorithm::Ps512 => boxed(PS512.verifier_from_jwk(jwk)),
        Algorithm::Ed25519 | Algorithm::EdDsa => boxed(EdDSA.verifier_from_jwk(jwk)),
    }
}

/// Returns the group of this curve, which takes long to make.
fn group(curve: Nid) -> Result<&'static EcGroup, ErrorStack> {
    static GROUPS: [OnceLock<EcGroup>; 3] = [const { OnceLock::new() }; 3];
    let [p256, p384, p521] = &GROUPS;
    let made = match curve {
        Nid::X9_62_PRIME256V1 => p256,
        Nid::SECP384R1 => p384,
        Nid::SECP521R1 => p521,
        _ => return Err(ErrorStack::get()),
    };
    if let Some(group) = made.get() {
        return Ok(group);
    }
    let group = EcGroup::from_curve_name(curve)?;
    Ok(made.get_or_init(|| group))
}

/// Verifies a signature that is two numbers of the same length, one after the other (RFC 7518 section 3.4).
fn verifies_ecdsa(
    algorithm: Algorithm,
    key: &EcKey<Public>,
    message: &[u8],
    signature: &[u8],
) -> Result<bool, ErrorStack> {
    let (r, s) = signature.split_at(signature.len() / 2);
    let signature =
        EcdsaSig::from_private_components(BigNum::from_slice(r)?, BigNum::from_slice(s)?)?;
    signature.verify(Hash::of(algorithm, message).bytes(), key)
}

/// Verifies a signature as RFC 8017 section 8.2.2 says, by comparing all of the encoded message.
fn verifies_rsa_pkcs1(
    algorithm: Algorithm,
    key: &Rsa<Public>,
    message: &[u8],
    signature: &[u8],
) -> Result<bool, ErrorStack> {
    let mut encoded = [0; MAX_RSA_BYTES];
    // Refuses a number that is not less than the modulus.
    let length = key.public_decrypt(signature, &mut encoded, Padding::NONE)?;
    let hash = Hash::of(algorithm, message);
    let encoded = encoded.get(..length).and_then(|encoded| encoded.strip_suffix(hash.bytes()));
    // Section 9.2.
    Ok(match encoded.and_then(|encoded| encoded.strip_suffix(hash.digest_info())) {
        Some([0, 1, filled @ .., 0]) => {
            filled.len() >= 8 && filled.iter().all(|byte| *byte == 0xff)
        }
        _ => false,
    })
}

/// Returns a number of a key that was checked.
fn number(jwk: &Jwk, name: &str) -> Option<Vec<u8>> {
    let text = jwk.parameter(name)?.as_str()?;
    URL_SAFE_NO_PAD.decode_to_vec(text).ok()
}

/// Removes leading zeros: a few issuers pad the modulus.
fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// The y coordinates of the points of edwards25519 whose order divides 8, little endian: 0, 1, -1, and the two of order
/// 8. Under a key of small order, one signature can be valid for many messages.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    [
        1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0,
    ],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0x7f,
    ],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// Returns true for a point of small order, and for anything that is not 32 bytes long.
fn has_small_order(encoded: &[u8]) -> bool {
    let Ok(mut y) = <[u8; 32]>::try_from(encoded) else {
        return true;
    };
    if let Some(last) = y.last_mut() {
        *last &= 0x7f; // the sign of x
    }
    SMALL_ORDER.contains(&y)
}

/// Returns true for the canonical encoding (y below p) of a point that is on edwards25519 (RFC 8032 section 5.1.3).
fn is_ed25519_point(encoded: &[u8]) -> Result<bool, ErrorStack> {
    let mut bytes: Vec<u8> = encoded.iter().rev().copied().collect();
    if let Some(first) = bytes.first_mut() {
        *first &= 0x7f; // the sign of x
    }
    // p = 2^255 - 19
    let mut p = BigNum::new()?;
    p.set_bit(255)?;
    p.sub_word(19)?;
    let y = BigNum::from_slice(&bytes)?;
    if y >= p {
        return Ok(false);
    }
    let one = BigNum::from_u32(1)?;
    let context = &mut BigNumContext::new()?;
    // d = -121665 / 121666
    let mut inverse = BigNum::new()?;
    inverse.mod_inverse(&*BigNum::from_u32(121_666)?, &p, context)?;
    let mut d = BigNum::new()?;
    d.mod_mul(&*BigNum::from_u32(121_665)?, &inverse, &p, context)?;
    d.set_negative(true);
    // x^2 = u / v with u = y^2 - 1, v = d y^2 + 1
    let (mut y2, mut dy2) = (BigNum::new()?, BigNum::new()?);
    y2.mod_mul(&y, &y, &p, context)?;
    dy2.mod_mul(&d, &y2, &p, context)?;
    let (mut u, mut v, mut uv) = (BigNum::new()?, BigNum::new()?, BigNum::new()?);
    u.mod_sub(&y2, &one, &p, context)?;
    v.mod_add(&dy2, &one, &p, context)?;
    uv.mod_mul(&u, &v, &p, context)?;
    // u / v is a square if and only if u v is: (u v)^((p - 1) / 2) = 1 (Euler).
    let mut half = BigNum::new()?;
    half.rshift1(&p)?;
    let mut symbol = BigNum::new()?;
    symbol.mod_exp(&uv, &half, &p, context)?;
    Ok(symbol == one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn ed25519_points_of_small_order_are_refused() {
        // The eight torsion points (little endian), and the sign of zero both ways.
        for point in [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000080",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        ] {
            assert!(has_small_order(&hex(point)), "{point}");
            assert!(PublicKey::ed25519(&hex(point)).is_err(), "{point}");
        }
        for not_canonical in [
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ] {
            assert!(!is_ed25519_point(&hex(not_canonical)).unwrap(), "{not_canonical}");
        }
    }

    #[test]
    fn ed25519_points_off_the_curve_are_refused_and_real_keys_pass() {
        // RFC 8032 section 7.1, tests 1 to 3
        for key in [
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        ] {
            assert!(PublicKey::ed25519(&hex(key)).is_ok(), "{key}");
        }
        // No point of the curve has y = 2.
        let mut two = [0_u8; 32];
        two[0] = 2;
        assert!(!is_ed25519_point(&two).unwrap());
    }

    /// The encoded message of RFC 8017 section 9.2, in 256 bytes.
    fn encoded(hash: &Hash) -> Vec<u8> {
        let end = [&[0], hash.digest_info(), hash.bytes()].concat();
        [&[0, 1][..], &vec![0xff; 254 - end.len()], &end].concat()
    }

    /// Whether each backend, and josekit, accepts a signature.
    fn accepted(
        jwk: &Jwk,
        key: &PublicKey,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        use josekit::jws::{RS256, RS384, RS512};
        let by_josekit = match algorithm {
            Algorithm::Rs384 => RS384.verifier_from_jwk(jwk),
            Algorithm::Rs512 => RS512.verifier_from_jwk(jwk),
            _ => RS256.verifier_from_jwk(jwk),
        };
        let by_josekit = by_josekit.unwrap().verify(message, signature).is_ok();
        let accepts = |backend| key.verify(algorithm, message, signature, backend).is_ok();
        assert_eq!(accepts(Backend::OpenSsl), by_josekit);
        #[cfg(feature = "aws-lc")]
        assert_eq!(accepts(Backend::AwsLc), by_josekit);
        by_josekit
    }

    #[test]
    fn only_the_one_encoded_message_of_pkcs1_is_a_signature_as_for_josekit() {
        let private = Rsa::generate(2048).unwrap();
        let (n, e) = (private.n().to_vec(), private.e().to_vec());
        let key = PublicKey::rsa(&n, &e).unwrap();
        let sign = |encoded: &[u8]| {
            let mut signature = vec![0; 256];
            private.private_encrypt(encoded, &mut signature, Padding::NONE).unwrap();
            signature
        };
        for algorithm in [Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512] {
            let accepted =
                |signature: &[u8]| accepted(&key.jwk, &key, algorithm, b"message", signature);
            let hash = Hash::of(algorithm, b"message");
            let good = encoded(&hash);
            assert!(accepted(&sign(&good)), "{algorithm:?}");
            assert!(!accepted(&sign(&encoded(&Hash::of(algorithm, b"another")))));
            for other in [Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512] {
                let other = encoded(&Hash::of(other, b"message"));
                assert_eq!(accepted(&sign(&other)), other == good);
            }
            for at in 1..good.len() {
                let mut wrong = good.clone();
                wrong[at] ^= 1;
                assert!(!accepted(&sign(&wrong)), "{algorithm:?} {at}");
            }
            let info = [&[0], hash.digest_info(), hash.bytes()].concat();
            let filled = |before: &[u8], filler: usize, end: &[u8]| {
                let mut encoded = [before, &vec![0xff; filler], end].concat();
                encoded.resize(256, 0xff);
                encoded
            };
            // The filler is short and something follows; no filler; a block of type 2; parameters that are left out.
            let without_null = [&info[..16], &info[18..]].concat();
            for wrong in [
                filled(&[0, 1], 8, &info),
                filled(&[0, 1], 0, &info),
                filled(&[0, 2], 254 - info.len(), &info),
                filled(&[0, 0], 254 - info.len(), &info),
                filled(&[0, 1], 254 - without_null.len(), &without_null),
            ] {
                assert!(!accepted(&sign(&wrong)), "{algorithm:?} {wrong:02x?}");
            }
            let good = sign(&good);
            // Adding the modulus does not spell a signature in another way.
            let mut sum = BigNum::new().unwrap();
            sum.checked_add(&BigNum::from_slice(&good).unwrap(), private.n()).unwrap();
            let sum = sum.to_vec();
            for wrong in
                [&[0; 256][..], &[0xff; 256], &n, &sum, &good[1..], &[&[0], &good[..]].concat()]
            {
                let verified = key.verify(algorithm, b"message", wrong, Backend::OpenSsl);
                assert_eq!(verified, Err(Reason::SignatureInvalid));
            }
        }
    }

    #[cfg(feature = "aws-lc")]
    #[test]
    fn a_backend_is_set_up_only_if_it_is_chosen() {
        let key = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        for chosen in [Backend::OpenSsl, Backend::AwsLc] {
            let key = PublicKey::ed25519(&key).unwrap();
            let _ = key.verify(Algorithm::Ed25519, b"", &[9; 64], chosen);
            let verifier = key.verifiers.first().unwrap();
            assert_eq!(verifier.openssl.get().is_some(), chosen == Backend::OpenSsl);
            assert_eq!(verifier.aws_lc.get().is_some(), chosen == Backend::AwsLc);
        }
    }
}
