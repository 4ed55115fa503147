//! Numbers that look random and follow from a seed (SplitMix64). Good enough for sample data,
//! not for secrets.

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A sequence of numbers.
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// The sequence of one row, independent of every other row's.
    pub(crate) fn for_row(seed: u64, table: u64, row: u64) -> Self {
        let mut random = Self {
            state: seed.wrapping_mul(STEP) ^ table.rotate_left(48),
        };
        random.state = random.next() ^ row.wrapping_mul(STEP);
        random
    }

    /// The next number of the whole range.
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // The bias of the remainder is far below what anybody could see in sample data.
        self.next() % end
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below(high.abs_diff(low) + 1).cast_signed()
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of the items.
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        let index = self.below(items.len() as u64);
        items[usize::try_from(index).unwrap_or(0)]
    }
}
