//! Finds out whether a name stands twice in an object. No choice of names makes that slow.

/// The names seen in one object.
///
/// The first ones are compared one by one. Of further ones, and of those with an escape, only the [`fingerprint`]s are
/// compared, sorted at the end of the object.
pub(super) struct SeenNames {
    /// The [`bit`]s of all names.
    bits: u64,
    /// The fingerprint of each and where it begins. It ends at the next quote, since it has no escape.
    few: [(u64, usize); SeenNames::FEW],
    length: usize,
    more: Vec<u64>,
}

impl SeenNames {
    const FEW: usize = 32;

    pub(super) fn new() -> Self {
        SeenNames { bits: 0, few: [(0, 0); SeenNames::FEW], length: 0, more: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bits == 0
    }

    /// Returns the [`name_bit`]s of all names.
    pub(super) fn bits(&self) -> u64 {
        self.bits
    }

    /// Adds the name without an escape that begins at `start` of the text. Returns true if it is one of the first and was
    /// seen before; of others only [`may_repeat`](Self::may_repeat) tells.
    #[inline(always)]
    pub(super) fn insert(&mut self, text: &[u8], start: usize, name: &[u8]) -> bool {
        let fingerprint = fingerprint(name);
        let may_be_seen = self.bits & bit(fingerprint) != 0;
        self.bits |= bit(fingerprint);
        match self.few.split_at_mut_checked(self.length) {
            Some((few, [next, ..])) => {
                if may_be_seen && is_one_of(few, text, name, fingerprint) {
                    return true;
                }
                *next = (fingerprint, start);
                self.length = self.length.saturating_add(1);
            }
            _ => self.more.push(fingerprint),
        }
        false
    }

    /// Adds a name to the bits alone, since it no longer matters whether it stands twice.
    #[cold]
    pub(super) fn insert_bit(&mut self, name: &[u8]) {
        self.bits |= bit(fingerprint(name));
    }

    /// Adds a name that was written with an escape.
    pub(super) fn insert_decoded(&mut self, name: &[u8]) {
        let fingerprint = fingerprint(name);
        self.bits |= bit(fingerprint);
        self.more.push(fingerprint);
    }

    /// Returns false if all names differ, given that [`insert`](Self::insert) found none twice.
    pub(super) fn may_repeat(&mut self) -> bool {
        if self.more.is_empty() {
            return false;
        }
        let few = self.few.iter().take(self.length);
        self.more.extend(few.map(|(fingerprint, _)| fingerprint));
        self.more.sort_unstable();
        !self.more.is_sorted_by(|one, next| one < next)
    }
}

/// Returns true if the name is one of these.
#[inline(never)]
fn is_one_of(few: &[(u64, usize)], text: &[u8], name: &[u8], fingerprint: u64) -> bool {
    few.iter().filter(|(known, _)| *known == fingerprint).any(|(_, start)| {
        let known = text.get(*start..).and_then(|rest| rest.split_at_checked(name.len()));
        known.is_some_and(|(known, rest)| known == name && rest.first() == Some(&b'"'))
    })
}

/// One bit that is the same for equal names. Names with different bits differ; names with one bit may differ too.
pub(super) fn name_bit(name: &str) -> u64 {
    bit(fingerprint(name.as_bytes()))
}

fn bit(fingerprint: u64) -> u64 {
    1 << (fingerprint >> 58)
}

/// A number that is the same for equal names, and hardly ever for two that were not chosen for it: of the length and of
/// the first and the last bytes, which are all of a name that is not long.
fn fingerprint(name: &[u8]) -> u64 {
    /// The golden ratio, which spreads what is multiplied with it.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (start, end) = match name {
        [] => (0, 0),
        [only] => (u64::from(*only), 0),
        _ => ends(name, u64::from_le_bytes)
            .or_else(|| ends(name, |chunk| u32::from_le_bytes(chunk).into()))
            .or_else(|| ends(name, |chunk| u16::from_le_bytes(chunk).into()))
            .unwrap_or_default(),
    };
    let length = name.len() as u64;
    (start ^ end.rotate_left(32) ^ length.rotate_left(60)).wrapping_mul(SPREAD)
}

/// The first and the last `N` bytes as numbers. `None` if there are fewer.
fn ends<const N: usize>(name: &[u8], number: impl Fn([u8; N]) -> u64) -> Option<(u64, u64)> {
    Some((number(*name.first_chunk()?), number(*name.last_chunk()?)))
}
