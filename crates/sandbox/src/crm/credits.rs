//! Credits: what calls cost, and how many are left of those of the last 24 hours. Facts: section 10.

use std::collections::VecDeque;

const DAY_MS: i64 = 86_400_000;

/// Uses that are closer together than this are one.
const MERGED_MS: i64 = 60_000;

/// What calls cost.
pub(super) const CALL: u64 = 1;
pub(super) const BULK_READ: u64 = 50;
pub(super) const BULK_WRITE: u64 = 500;

/// The use of credits in the last 24 hours.
#[derive(Debug, Default)]
pub(super) struct Credits {
    /// When, and how many; oldest first.
    uses: VecDeque<(i64, u64)>,
    pub(super) used: u64,
    /// Since the start.
    pub(super) used_ever: u64,
}

impl Credits {
    /// Takes credits if there are as many; false if not.
    pub(super) fn take(&mut self, count: u64, limit: u64, now_ms: i64) -> bool {
        self.forget(now_ms);
        if self.used + count > limit {
            return false;
        }
        self.used += count;
        self.used_ever += count;
        match self.uses.back_mut() {
            Some((at, sum)) if now_ms - *at < MERGED_MS => *sum += count,
            _ => self.uses.push_back((now_ms, count)),
        }
        true
    }

    /// How many are left.
    pub(super) fn remaining(&mut self, limit: u64, now_ms: i64) -> u64 {
        self.forget(now_ms);
        limit.saturating_sub(self.used)
    }

    fn forget(&mut self, now_ms: i64) {
        while let Some((at, sum)) = self.uses.front().copied()
            && now_ms - at >= DAY_MS
        {
            self.uses.pop_front();
            self.used -= sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credits_come_back_after_a_day() {
        let mut credits = Credits::default();
        assert!(credits.take(BULK_READ, 60, 0));
        assert!(!credits.take(BULK_READ, 60, 1_000));
        assert!(credits.take(10, 60, 70_000));
        assert_eq!(credits.remaining(60, 70_000), 0);
        assert_eq!(credits.remaining(60, DAY_MS), 50);
        assert_eq!(credits.remaining(60, DAY_MS + 70_000), 60);
    }
}
