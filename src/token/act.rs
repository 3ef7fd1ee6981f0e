//! One link of `act` (RFC 8693 section 4.1), or of `may_act` (section 4.4).

use crate::jose::{Document, Text, members};

/// Where the members of a link stand that mean something.
#[derive(Default)]
pub(super) struct RawLink {
    pub(super) iss: Option<Text>,
    pub(super) sub: Option<Text>,
    pub(super) act: Option<Text>,
}

/// The link that stands here; `None` where it is no object.
pub(super) fn read(document: &Document, raw: Text) -> Option<RawLink> {
    let mut link = RawLink::default();
    for (name, value) in members(document.text(raw))? {
        let member = match &*name {
            "iss" => &mut link.iss,
            "sub" => &mut link.sub,
            "act" => &mut link.act,
            _ => continue,
        };
        *member = document.json().find(value);
    }
    Some(link)
}
