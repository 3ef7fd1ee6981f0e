//! Keys in PEM: a public key (SPKI), or a certificate (RFC 7468 sections 5 and 13).

use base64_simd::STANDARD;
use openssl::bn::{BigNum, BigNumContext};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use openssl::x509::X509;

use super::certificate::CertificateDigests;
use super::key_problem::KeyProblem;
use super::public_key::PublicKey;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// The one block of a text (RFC 7468 section 2).
struct Block<'a> {
    label: &'a str,
    der: Vec<u8>,
    /// True if there is nothing but white space around the block.
    is_alone: bool,
}

impl<'a> Block<'a> {
    /// Reads a text that has one block. Returns `None` if it has none or several.
    fn read(text: &'a str) -> Option<Self> {
        let (before, rest) = text.split_once(BEGIN)?;
        let (label, rest) = rest.split_once(DASHES)?;
        let (body, rest) = rest.split_once(END)?;
        let after = rest.strip_prefix(label)?.strip_prefix(DASHES)?;
        if after.contains(BEGIN) {
            return None;
        }
        let body: String = body.split_ascii_whitespace().collect();
        let der = STANDARD.decode_to_vec(body).ok().filter(|der| !der.is_empty())?;
        let is_blank = |text: &str| text.trim_ascii().is_empty();
        Some(Block { label, der, is_alone: is_blank(before) && is_blank(after) })
    }
}

/// Returns the bytes of the one certificate in a PEM text that holds nothing else. They are not parsed.
pub(crate) fn certificate_in_pem(text: &str) -> Option<Vec<u8>> {
    Block::read(text)
        .filter(|block| block.label == "CERTIFICATE" && block.is_alone)
        .map(|block| block.der)
}

/// Reads the one public key or certificate in a PEM text, with the digests of the certificate. Returns `None` if the
/// text has neither, or has several blocks.
pub(super) fn public_key_in_pem(
    text: &str,
) -> Option<Result<(PublicKey, CertificateDigests), KeyProblem>> {
    let Block { label, der, .. } = Block::read(text)?;
    match label {
        "PUBLIC KEY" => Some(from_spki(&der)),
        "CERTIFICATE" => Some(from_certificate(&der)),
        _ if label.ends_with("PRIVATE KEY") => Some(Err(KeyProblem::Private)),
        _ => None,
    }
}

fn from_spki(der: &[u8]) -> Result<(PublicKey, CertificateDigests), KeyProblem> {
    let key = PKey::public_key_from_der(der).map_err(|_| KeyProblem::Malformed)?;
    Ok((checked(&key)?, CertificateDigests::default()))
}

fn from_certificate(der: &[u8]) -> Result<(PublicKey, CertificateDigests), KeyProblem> {
    let parsed = || -> Result<(PKey<Public>, CertificateDigests), ErrorStack> {
        let certificate = X509::from_der(der)?;
        let digests = CertificateDigests::new(
            &certificate.digest(MessageDigest::sha256())?,
            &certificate.digest(MessageDigest::sha1())?,
        );
        Ok((certificate.public_key()?, digests))
    };
    let (key, digests) = parsed().map_err(|_| KeyProblem::Malformed)?;
    Ok((checked(&key)?, digests))
}

/// Checks a key as strictly as one from a JWK.
fn checked(key: &PKey<Public>) -> Result<PublicKey, KeyProblem> {
    let malformed = |_: ErrorStack| KeyProblem::Malformed;
    match key.id() {
        Id::RSA => {
            let rsa = key.rsa().map_err(malformed)?;
            PublicKey::rsa(&rsa.n().to_vec(), &rsa.e().to_vec())
        }
        Id::EC => {
            let key = key.ec_key().map_err(malformed)?;
            let (name, len) = match key.group().curve_name() {
                Some(Nid::X9_62_PRIME256V1) => ("P-256", 32),
                Some(Nid::SECP384R1) => ("P-384", 48),
                Some(Nid::SECP521R1) => ("P-521", 66),
                _ => return Err(KeyProblem::TypeNotOffered),
            };
            let coordinates = || -> Result<(Vec<u8>, Vec<u8>), ErrorStack> {
                let (mut x, mut y) = (BigNum::new()?, BigNum::new()?);
                let context = &mut BigNumContext::new()?;
                key.public_key().affine_coordinates(key.group(), &mut x, &mut y, context)?;
                Ok((x.to_vec_padded(len)?, y.to_vec_padded(len)?))
            };
            let (x, y) = coordinates().map_err(|_| KeyProblem::InvalidPoint)?;
            PublicKey::ec(name, &x, &y)
        }
        Id::ED25519 => PublicKey::ed25519(&key.raw_public_key().map_err(malformed)?),
        _ => Err(KeyProblem::TypeNotOffered),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn pem(label: &str, der: &[u8], width: usize, newline: &str) -> String {
        let body = STANDARD.encode_to_string(der);
        let mut lines = vec![format!("{BEGIN}{label}{DASHES}")];
        lines.extend(
            body.as_bytes().chunks(width).map(|line| String::from_utf8(line.to_vec()).unwrap()),
        );
        lines.push(format!("{END}{label}{DASHES}"));
        lines.join(newline) + newline
    }

    #[test]
    fn one_block_is_read_and_what_is_not_one_block_is_not() {
        let one = pem("CERTIFICATE", b"der", 64, "\n");
        assert_eq!(certificate_in_pem(&one).unwrap(), b"der");
        assert_eq!(certificate_in_pem(one.trim()).unwrap(), b"der");
        for bad in [
            String::new(),
            "ZGVy".to_owned(),
            format!("{one}{one}"),
            format!("subject=CN = a\n{one}"),
            format!("{one}x"),
            one.replace("END CERTIFICATE", "END PUBLIC KEY"),
            one.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
            one.replace("ZGVy", ""),
            one.replace("ZGVy", "ZGV"),
            one.replace("ZGVy", "ZGV*"),
            one.replace("ZGVy", "Proc-Type: 4,ENCRYPTED\n\nZGVy"),
            one.replace("-----END", "----END"),
            one.replace("-----BEGIN", "BEGIN"),
        ] {
            assert_eq!(certificate_in_pem(&bad), None, "{bad:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_as_pem_is_read_whatever_its_lines(
            der in vec(any::<u8>(), 1..300),
            width in 1..100_usize,
            newline in "(\r)?\n",
        ) {
            prop_assert_eq!(certificate_in_pem(&pem("CERTIFICATE", &der, width, &newline)), Some(der.clone()));
            let two = pem("CERTIFICATE", &der, width, &newline).repeat(2);
            prop_assert_eq!(certificate_in_pem(&two), None);
        }

        #[test]
        fn no_text_is_a_key_unless_its_bytes_are_one(der in vec(any::<u8>(), 1..300)) {
            for label in ["PUBLIC KEY", "CERTIFICATE"] {
                let read = public_key_in_pem(&pem(label, &der, 64, "\n"));
                prop_assert!(read.unwrap().is_err());
            }
        }
    }
}
