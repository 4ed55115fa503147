//! How long to wait before the next attempt. Pure: chance comes in as a number.

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// Waits that double from attempt to attempt up to a cap, each shortened by chance by up to a half,
/// so that clients which failed together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failed attempt.
    pub first: Duration,
    /// No wait is longer, but for one that the server asks for.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            cap: Duration::from_secs(60),
        }
    }
}

impl Backoff {
    /// The wait after the failed attempt of this number (from 1). `server` is the delay that the
    /// server asked for, which wins over any of ours; `chance` lies between 0 and 1.
    pub fn wait(&self, attempt: u32, server: Option<Duration>, chance: f64) -> Duration {
        if let Some(delay) = server {
            return delay;
        }
        let doublings = attempt.saturating_sub(1).min(31);
        let whole = self
            .first
            .saturating_mul(2_u32.saturating_pow(doublings))
            .min(self.cap);
        jitter(whole, chance)
    }
}

/// Between a half of a duration and the whole of it; `chance` lies between 0 and 1.
pub fn jitter(whole: Duration, chance: f64) -> Duration {
    whole.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

/// A number between 0 and 1, good enough to spread clients and for nothing else.
pub fn chance() -> f64 {
    // Every `RandomState` has new random keys, so the hash of nothing is a random number.
    let bits = std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish();
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_secs(1),
        cap: Duration::from_secs(10),
    };

    #[test]
    fn waits_double_up_to_the_cap() {
        let waits: Vec<u64> = [1, 2, 3, 4, 5, 1000]
            .iter()
            .map(|attempt| BACKOFF.wait(*attempt, None, 1.0).as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 10, 10]);
    }

    #[test]
    fn chance_takes_away_up_to_a_half() {
        assert_eq!(BACKOFF.wait(2, None, 0.0), Duration::from_secs(1));
        assert_eq!(BACKOFF.wait(2, None, 0.5), Duration::from_millis(1500));
    }

    #[test]
    fn the_delay_of_the_server_wins_over_the_cap() {
        let asked = Duration::from_secs(99);
        assert_eq!(BACKOFF.wait(1, Some(asked), 0.0), asked);
    }

    #[test]
    fn chance_lies_in_its_bounds_and_varies() {
        let numbers: Vec<f64> = (0..100).map(|_| chance()).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        assert!(numbers.iter().any(|number| *number != numbers[0]));
    }
}
