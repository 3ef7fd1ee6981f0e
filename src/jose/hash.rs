//! The hash of a message that is signed, by the algorithm of the signature.

use openssl::sha::{sha256, sha384, sha512};

use super::algorithm::Algorithm;

/// What stands before the hash in a signature of RSASSA-PKCS1-v1_5: the algorithm, with NULL as its parameters, and the
/// length (RFC 8017 section 9.2, note 1).
const DIGEST_INFO_SHA_256: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20];
const DIGEST_INFO_SHA_384: [u8; 19] =
    [0x30, 0x41, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2, 5, 0, 4, 0x30];
const DIGEST_INFO_SHA_512: [u8; 19] =
    [0x30, 0x51, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3, 5, 0, 4, 0x40];

pub(super) enum Hash {
    Sha256([u8; 32]),
    Sha384([u8; 48]),
    Sha512([u8; 64]),
}

impl Hash {
    pub(super) fn of(algorithm: Algorithm, message: &[u8]) -> Self {
        use Algorithm as A;
        match algorithm {
            A::Es384 | A::Rs384 | A::Ps384 => Hash::Sha384(sha384(message)),
            A::Es512 | A::Rs512 | A::Ps512 | A::Ed25519 | A::EdDsa => Hash::Sha512(sha512(message)),
            A::Es256 | A::Rs256 | A::Ps256 => Hash::Sha256(sha256(message)),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Hash::Sha256(bytes) => bytes,
            Hash::Sha384(bytes) => bytes,
            Hash::Sha512(bytes) => bytes,
        }
    }

    pub(super) fn digest_info(&self) -> &[u8] {
        match self {
            Hash::Sha256(_) => &DIGEST_INFO_SHA_256,
            Hash::Sha384(_) => &DIGEST_INFO_SHA_384,
            Hash::Sha512(_) => &DIGEST_INFO_SHA_512,
        }
    }
}
