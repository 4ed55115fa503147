//! When a fault strikes: by counting requests, by a seeded die, or above a rate. Counting makes a
//! test repeatable; only `rate` looks at a clock.

use std::time::{Duration, Instant};

/// The window in which `rate` counts.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// When a fault strikes. All conditions must hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trigger {
    /// Leave this many requests alone first.
    pub(crate) after: u64,
    /// Then strike every nth request.
    pub(crate) every: u64,
    /// And this many in a row each time.
    pub(crate) burst: u64,
    /// Stop after this many strikes.
    pub(crate) times: Option<u64>,
    /// Strike only what goes over this many requests in a second.
    pub(crate) rate: Option<u64>,
    /// Strike with this probability.
    pub(crate) chance: Option<f64>,
    /// Where the die and the jitter start.
    pub(crate) seed: u64,
}

impl Default for Trigger {
    fn default() -> Trigger {
        Trigger {
            after: 0,
            every: 1,
            burst: 1,
            times: None,
            rate: None,
            chance: None,
            seed: 0,
        }
    }
}

/// What a fault has seen so far.
#[derive(Default)]
pub(crate) struct Count {
    pub(crate) seen: u64,
    pub(crate) struck: u64,
    window: Option<(Instant, u64)>,
}

impl Count {
    /// Counts one more request and says whether the fault strikes it.
    pub(crate) fn strikes(&mut self, trigger: &Trigger) -> bool {
        self.seen += 1;
        let struck = self.is_due(trigger);
        self.struck += u64::from(struck);
        struck
    }

    /// A number that looks random and is the same for the same request of every run.
    pub(crate) fn noise(&self, seed: u64) -> u64 {
        scramble(seed.wrapping_add(self.seen.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    fn is_due(&mut self, trigger: &Trigger) -> bool {
        let over_rate = trigger
            .rate
            .is_none_or(|rate| self.count_in_window() > rate);
        let Some(turn) = self
            .seen
            .checked_sub(trigger.after)
            .filter(|turn| *turn > 0)
        else {
            return false;
        };
        // The nth request opens a burst, so the bursts of `every=4` begin at 4, 8, 12.
        let in_turn = turn >= trigger.every && turn % trigger.every < trigger.burst;
        let left = trigger.times.is_none_or(|times| self.struck < times);
        // The upper 53 bits are as many as a float holds exactly.
        let die = (self.noise(trigger.seed) >> 11) as f64 / (1u64 << 53) as f64;
        in_turn && left && over_rate && trigger.chance.is_none_or(|chance| die < chance)
    }

    fn count_in_window(&mut self) -> u64 {
        let now = Instant::now();
        let window = self.window.get_or_insert((now, 0));
        if now.duration_since(window.0) >= RATE_WINDOW {
            *window = (now, 0);
        }
        window.1 += 1;
        window.1
    }
}

/// The finalizer of SplitMix64.
fn scramble(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
