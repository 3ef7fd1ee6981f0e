//! Phase E: that the sender of a token holds the key it is bound to. Pure checks.

mod dpop;
mod htu;
mod mtls;
mod nonce;

use std::borrow::Cow;

use http::Method;

use crate::json::{Json, Span, members};

pub use dpop::{AcceptedProof, Dpop};
pub(crate) use htu::normalized_path;
pub use mtls::ClientCertificate;
pub use nonce::Nonces;

/// What a token is bound to, `cnf` (RFC 7800 section 3). Members that are not understood are not here.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Confirmation {
    /// The thumbprint of a proof key (RFC 9449 section 6.1).
    pub(crate) jkt: Option<Span>,
    /// The thumbprint of a certificate (RFC 8705 section 3.1).
    pub(crate) x5t: Option<Span>,
}

impl Confirmation {
    /// `None` where it is no object, or an understood member is no string.
    pub(crate) fn read(json: &mut Json, raw: Span) -> Option<Self> {
        let (mut jkt, mut x5t) = (None, None);
        for (name, value) in members(json.text(raw))? {
            match &*name {
                "jkt" => jkt = Some(json.find(value)?),
                "x5t#S256" => x5t = Some(json.find(value)?),
                _ => {}
            }
        }
        let mut text = |raw: Option<Span>| raw.map_or(Some(None), |raw| json.string(raw).map(Some));
        Some(Confirmation { jkt: text(jkt)?, x5t: text(x5t)? })
    }
}

/// How the sender shows that a token is theirs: by having it, by a DPoP proof
/// ([RFC 9449](https://www.rfc-editor.org/rfc/rfc9449)), by the certificate of the connection
/// ([RFC 8705](https://www.rfc-editor.org/rfc/rfc8705)). For the plain functions; a guard reads it from the request.
#[derive(Debug, Clone, Default)]
pub struct Possession<'a> {
    pub(crate) shown: Option<Shown<'a>>,
    pub(crate) certificate: Option<ClientCertificate>,
}

/// A request under the scheme `DPoP`.
#[derive(Debug, Clone)]
pub(crate) struct Shown<'a> {
    pub(crate) proof: ProofField<'a>,
    pub(crate) method: Method,
    pub(crate) path: Cow<'a, str>,
    /// The proof must have a nonce of ours.
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
    /// The token was sent under the scheme `Bearer`.
    #[must_use]
    pub fn bearer() -> Self {
        Possession::default()
    }

    /// The token was sent under the scheme `DPoP`, with this value in the one field `DPoP`, in a request of this
    /// method and path. The path is what follows the base of [`Dpop`]; a query is ignored. Whether the proof was
    /// used before is **not** checked: see [`AcceptedProof`].
    #[must_use]
    pub fn dpop(proof: &'a str, method: &Method, path: &'a str) -> Self {
        let shown = Shown {
            proof: ProofField::One(Cow::Borrowed(proof)),
            method: method.clone(),
            path: Cow::Borrowed(path),
            nonce_required: true,
        };
        Possession { shown: Some(shown), certificate: None }
    }

    /// The client showed this certificate in the TLS handshake.
    #[must_use]
    pub fn certificate(mut self, certificate: ClientCertificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// The same, borrowing nothing.
    pub(crate) fn into_owned(self) -> Possession<'static> {
        let shown = self.shown.map(|shown| Shown {
            proof: match shown.proof {
                ProofField::Missing => ProofField::Missing,
                ProofField::Several => ProofField::Several,
                ProofField::One(proof) => ProofField::One(Cow::Owned(proof.into_owned())),
            },
            method: shown.method,
            path: Cow::Owned(shown.path.into_owned()),
            nonce_required: shown.nonce_required,
        });
        Possession { shown, certificate: self.certificate }
    }
}

impl std::fmt::Debug for ProofField<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ProofField::Missing => "Missing",
            ProofField::One(_) => "One(..)",
            ProofField::Several => "Several",
        })
    }
}

/// How possession was confirmed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Confirmed {
    pub(crate) proof: Option<AcceptedProof>,
    pub(crate) certificate: bool,
}

impl Confirmed {
    /// Its name in the record.
    pub(crate) fn as_str(&self) -> &'static str {
        match (&self.proof, self.certificate) {
            (None, false) => "bearer",
            (Some(_), false) => "dpop",
            (None, true) => "mtls",
            (Some(_), true) => "dpop+mtls",
        }
    }

    pub(crate) fn is_constrained(&self) -> bool {
        self.proof.is_some() || self.certificate
    }
}
