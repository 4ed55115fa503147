//! FNV-1a with 64 bits: a hash that is the same on every machine and in every release, which those of the
//! standard library do not promise. For fingerprints, not for secrets.

/// The hash of nothing, with which every hash begins.
pub const START: u64 = 0xcbf2_9ce4_8422_2325;

/// The hash of what `hash` is of, followed by these bytes.
pub fn mix(hash: u64, bytes: impl IntoIterator<Item = u8>) -> u64 {
    (bytes.into_iter()).fold(hash, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_that_were_published_also_piece_by_piece() {
        assert_eq!(mix(START, *b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(mix(START, *b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(mix(START, *b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(mix(mix(START, *b"foo"), *b"bar"), mix(START, *b"foobar"));
    }
}
