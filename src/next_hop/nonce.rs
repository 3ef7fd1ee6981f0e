//! The nonce that a server asks for in proofs (RFC 9449 sections 8 and 9).

use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderMap;

use crate::denial::DPOP_NONCE;

/// The longest nonce that is kept, in bytes.
const MAX_BYTES: usize = 256;

/// The nonce that a server sent last. It goes into the next proof.
#[derive(Default)]
pub(super) struct LastNonce(Mutex<Option<String>>);

impl LastNonce {
    pub(super) fn get(&self) -> Option<String> {
        self.lock().clone()
    }

    /// Keeps the nonce of an answer. Returns true if there is one.
    pub(super) fn keep(&self, headers: &HeaderMap) -> bool {
        let nonce = headers.get(DPOP_NONCE).and_then(|nonce| nonce.to_str().ok());
        let nonce = nonce.filter(|nonce| !nonce.is_empty() && nonce.len() <= MAX_BYTES);
        if let Some(nonce) = nonce {
            *self.lock() = Some(nonce.to_owned());
        }
        nonce.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
