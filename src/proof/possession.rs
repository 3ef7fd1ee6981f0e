//! The proof and the certificate that come with a token.

use std::borrow::Cow;
use std::fmt;

use http::Method;

use super::mtls::ClientCertificate;

/// How the sender of a request shows that it may use the token: as a bearer, by a DPoP proof
/// ([RFC 9449](https://www.rfc-editor.org/rfc/rfc9449)), by its certificate
/// ([RFC 8705](https://www.rfc-editor.org/rfc/rfc8705)), or by a proof and a certificate.
///
/// This is an input of the plain functions: see
/// [`UnverifiedToken::with_possession`](crate::token::UnverifiedToken::with_possession) and
/// [`Dpop::check`](super::Dpop::check). A guard reads it from the request itself.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use http::Method;
/// use unconfused::Reason;
/// use unconfused::proof::{Dpop, Possession};
/// use unconfused::testing::TestProofKey;
///
/// let dpop = Dpop::for_base_url("https://api.example.com")?;
/// let key = TestProofKey::new();
/// let proof = key.proof("GET", "https://api.example.com/items").token("token").sign();
/// let now = time::UtcDateTime::now();
///
/// let possession = Possession::dpop(&proof, &Method::GET, "/items");
/// assert!(dpop.check(&possession, "token", &key.thumbprint(), now).is_ok());
///
/// // The same proof is not valid for another method.
/// let possession = Possession::dpop(&proof, &Method::DELETE, "/items");
/// let refused = dpop.check(&possession, "token", &key.thumbprint(), now);
/// assert_eq!(refused.unwrap_err(), Reason::DpopMethodMismatch);
/// # }
/// # Ok::<(), unconfused::error::ConfigError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Possession<'a> {
    /// `None` if the token was sent under the scheme `Bearer`.
    pub(crate) dpop: Option<DpopRequest<'a>>,
    pub(crate) certificate: Option<ClientCertificate>,
}

/// A request whose token was sent under the scheme `DPoP`, as far as a proof is compared with it.
#[derive(Debug, Clone)]
pub(crate) struct DpopRequest<'a> {
    pub(crate) proof: ProofField<'a>,
    pub(crate) method: Method,
    pub(crate) path: Cow<'a, str>,
    /// The proof must have a nonce if [`Dpop`](super::Dpop) has nonces.
    pub(crate) nonce_required: bool,
}

/// The `DPoP` field of a request.
#[derive(Clone)]
pub(crate) enum ProofField<'a> {
    Missing,
    One(Cow<'a, str>),
    Several,
}

impl<'a> Possession<'a> {
    /// Creates the possession of a bearer token: it was sent under the scheme `Bearer`, without a proof.
    #[must_use]
    pub fn bearer() -> Self {
        Possession::default()
    }

    /// Creates the possession of a token that was sent under the scheme `DPoP`.
    ///
    /// `proof` is the value of the one `DPoP` field. `method` and `path` are those of the request. The path is what
    /// follows the [base URL](super::Dpop::for_base_url), and its query is ignored.
    ///
    /// If the [`Dpop`](super::Dpop) has [nonces](super::Dpop::nonces), the proof must have one. Whether the proof was
    /// used before is **not** checked: see [`AcceptedProof`](super::AcceptedProof).
    #[must_use]
    pub fn dpop(proof: &'a str, method: &Method, path: &'a str) -> Self {
        let request = DpopRequest {
            proof: ProofField::One(Cow::Borrowed(proof)),
            method: method.clone(),
            path: Cow::Borrowed(path),
            nonce_required: true,
        };
        Possession { dpop: Some(request), certificate: None }
    }

    /// Adds the certificate that the client presented in the TLS handshake.
    #[must_use]
    pub fn certificate(mut self, certificate: ClientCertificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    pub(crate) fn into_owned(self) -> Possession<'static> {
        let dpop = self.dpop.map(|request| DpopRequest {
            proof: match request.proof {
                ProofField::Missing => ProofField::Missing,
                ProofField::Several => ProofField::Several,
                ProofField::One(proof) => ProofField::One(Cow::Owned(proof.into_owned())),
            },
            method: request.method,
            path: Cow::Owned(request.path.into_owned()),
            nonce_required: request.nonce_required,
        });
        Possession { dpop, certificate: self.certificate }
    }
}

impl fmt::Debug for ProofField<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProofField::Missing => "Missing",
            ProofField::One(_) => "One(..)",
            ProofField::Several => "Several",
        })
    }
}
