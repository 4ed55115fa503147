//! A 64-bit hash for values and checksums: quick, the same on every machine and in every version,
//! and no defence against anybody.

const SEEDS: [u64; 3] = [
    0x9e37_79b9_7f4a_7c15,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
];

/// The hash of some bytes; files depend on it, so it must never change.
pub(crate) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let mut state = seed ^ SEEDS[0];
    let mut chunks = bytes.chunks_exact(16);
    for chunk in &mut chunks {
        state = fold(word(chunk, 0) ^ SEEDS[1], word(chunk, 8) ^ state);
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        let mut padded = [0; 16];
        padded[..rest.len()].copy_from_slice(rest);
        state = fold(word(&padded, 0) ^ SEEDS[1], word(&padded, 8) ^ state);
    }
    fold(state ^ SEEDS[2], bytes.len() as u64 ^ SEEDS[1])
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// Both halves of the product of two words, folded into one.
fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_changes() {
        let text: Vec<u8> = (0..100).collect();
        let hashes: Vec<u64> = [0, 1, 15, 16, 17, 100]
            .iter()
            .map(|length| hash(7, &text[..*length]))
            .collect();
        assert_eq!(hashes, EXPECTED);
    }

    #[test]
    fn every_bit_of_the_input_counts() {
        for length in [1, 8, 16, 31, 64] {
            let bytes = vec![0x5a_u8; length];
            let plain = hash(0, &bytes);
            let mut changed = 0;
            for bit in 0..length * 8 {
                let mut other = bytes.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                changed += (hash(0, &other) ^ plain).count_ones();
            }
            let average = f64::from(changed) / (length * 8) as f64;
            assert!((26.0..38.0).contains(&average), "{length}: {average}");
        }
        assert_ne!(hash(0, b""), hash(1, b""));
        assert_ne!(hash(0, b"a"), hash(0, b"a\0"));
    }

    const EXPECTED: [u64; 6] = [
        4165160285709827747,
        15349162473967992394,
        913327497881968127,
        15606693670403216633,
        15155427622585382277,
        9134017567266069934,
    ];
}
