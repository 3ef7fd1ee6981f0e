//! The claim `cnf`, which names the keys that a token is bound to (RFC 7800).

use crate::json::{Json, Span, members};

/// The keys that a token is bound to (RFC 7800 section 3). Other members of `cnf` are not kept.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Confirmation {
    /// The thumbprint of a proof key (RFC 9449 section 6.1).
    pub(crate) jkt: Option<Span>,
    /// The thumbprint of a certificate (RFC 8705 section 3.1).
    pub(crate) x5t: Option<Span>,
}

impl Confirmation {
    /// Reads the claim. Returns `None` if it is not an object, or if one of the two members is not a string.
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
