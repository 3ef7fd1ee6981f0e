//! Finds the end of plain text in strings, a block of bytes at a time.

/// The bytes of a block.
const BYTES: usize = 64;

/// The block of a text that was looked at last.
pub(super) struct Block {
    number: usize,
    /// The [`special_bytes`] of it.
    special: u64,
}

impl Block {
    /// No block was looked at.
    pub(super) fn none() -> Self {
        Block { number: usize::MAX, special: 0 }
    }

    /// Returns where the next quote, backslash or control character stands, at `at` or behind it, or the end.
    #[inline]
    pub(super) fn next_special(&mut self, text: &[u8], mut at: usize) -> usize {
        loop {
            if at / BYTES != self.number {
                self.look_at(text, at / BYTES);
            }
            let special = self.special >> (at % BYTES);
            if special != 0 {
                return at.wrapping_add(special.trailing_zeros() as usize);
            }
            at = (at | (BYTES - 1)).wrapping_add(1);
        }
    }

    /// What the last block lacks counts as control characters.
    #[inline(never)]
    fn look_at(&mut self, text: &[u8], number: usize) {
        let rest = text.get(number.wrapping_mul(BYTES)..).unwrap_or_default();
        self.number = number;
        self.special = match rest.first_chunk() {
            Some(block) => special_bytes(block),
            None => {
                let mut block = [0; BYTES];
                block.iter_mut().zip(rest).for_each(|(to, byte)| *to = *byte);
                special_bytes(&block)
            }
        };
    }
}

/// Sets the bit of each byte that cannot stand in a string as it is: a quote, a backslash, a control character.
fn special_bytes(block: &[u8; BYTES]) -> u64 {
    /// Multiplied with eight bytes that are 0 or 1, puts them into the highest eight bits.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    // A loop without branches, which is compiled to vector instructions.
    let mut special = [0; BYTES];
    for (special, byte) in special.iter_mut().zip(block) {
        *special = u8::from((*byte < b' ') | (*byte == b'"') | (*byte == b'\\'));
    }
    let (words, _) = special.as_chunks();
    words
        .iter()
        .rev()
        .fold(0, |bits, word| (bits << 8) | (u64::from_le_bytes(*word).wrapping_mul(GATHER) >> 56))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_bit_is_set_for_each_special_byte_and_no_other(block in any::<[u8; 32]>(), at in 0..64_u8) {
            let mut whole = [0; BYTES];
            for (to, byte) in whole.iter_mut().zip(block.iter().chain(&block.map(|b| b ^ at))) {
                *to = *byte;
            }
            let bits = special_bytes(&whole);
            for (index, byte) in whole.iter().enumerate() {
                let is_special = *byte < 0x20 || [b'"', b'\\'].contains(byte);
                prop_assert_eq!(bits >> index & 1 == 1, is_special, "{}", byte);
            }
        }
    }
}
