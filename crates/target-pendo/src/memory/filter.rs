//! A set that may wrongly say yes, in a fixed amount of memory: the ids that were confirmed in this
//! run and are no longer kept one by one. A wrong yes means that a record is sent again.

/// 8 MiB: one wrong yes in twenty at ten million ids, fewer than one in a thousand at three.
const WORDS: usize = 1 << 20;

/// The set.
#[derive(Debug)]
pub(super) struct Filter(Vec<u64>);

impl Filter {
    pub(super) fn new() -> Self {
        Self(vec![0; WORDS])
    }

    pub(super) fn insert(&mut self, hash: u64) {
        for (word, bit) in places(hash) {
            self.0[word] |= bit;
        }
    }

    pub(super) fn may_have(&self, hash: u64) -> bool {
        places(hash).all(|(word, bit)| self.0[word] & bit != 0)
    }
}

/// Six bits within eight neighbouring words, so that one look costs one miss of the cache.
fn places(hash: u64) -> impl Iterator<Item = (usize, u64)> {
    let block = (hash as usize & (WORDS / 8 - 1)) * 8;
    let mut bits = hash.rotate_right(18).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..6).map(move |_| {
        let place = bits & 511;
        bits = bits.rotate_right(9);
        (block + (place >> 6) as usize, 1 << (place & 63))
    })
}

#[cfg(test)]
mod tests {
    use super::super::hash::hash;
    use super::*;

    #[test]
    fn what_is_in_it_is_found_and_little_else() {
        let mut filter = Filter::new();
        let hashed = |number: u32| hash(0, &number.to_le_bytes());
        for number in 0..300_000 {
            filter.insert(hashed(number));
        }
        assert!((0..300_000).all(|number| filter.may_have(hashed(number))));
        let wrong = (300_000..400_000)
            .filter(|number| filter.may_have(hashed(*number)))
            .count();
        assert!(wrong < 100, "{wrong} of 100,000");
    }
}
