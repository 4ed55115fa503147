//! How many records a request may have: halved when Pendo took too long or found it too big, grown
//! slowly while all goes well.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Successes at the highest size below a limit until the limit is forgotten.
const FORGET_AFTER: u32 = 100;

/// The size for one stream, shared by its requests in flight.
#[derive(Debug)]
pub struct Size {
    configured: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    current: usize,
    /// The smallest size that met a limit and is not tried again for now.
    limit: Option<usize>,
    at_ceiling: u32,
}

impl Size {
    /// Starts with the configured size.
    pub fn new(configured: usize) -> Self {
        Self {
            configured,
            state: Mutex::new(State {
                current: configured,
                limit: None,
                at_ceiling: 0,
            }),
        }
    }

    /// The size of the next request.
    pub fn current(&self) -> usize {
        self.state().current
    }

    /// A request of this many records met a limit.
    pub fn met_limit(&self, records: usize) {
        let mut state = self.state();
        state.limit = Some(state.limit.map_or(records, |limit| limit.min(records)));
        state.at_ceiling = 0;
        // Requests that were in flight together meet the limit together; that halves once.
        state.current = state.current.min((records / 2).max(1));
    }

    /// A request of this many records was answered well.
    pub fn went_well(&self, records: usize) {
        let mut state = self.state();
        if records < state.current {
            return;
        }
        let ceiling = match state.limit {
            Some(limit) => limit.saturating_sub(1).clamp(1, self.configured),
            None => self.configured,
        };
        if state.current < ceiling {
            state.current = (state.current + state.current.div_ceil(20)).min(ceiling);
        } else if state.limit.is_some() {
            state.at_ceiling += 1;
            if state.at_ceiling >= FORGET_AFTER {
                state.limit = None;
                state.at_ceiling = 0;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change leaves numbers that make sense.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_halves_at_once_and_grows_slowly_below_the_limit() {
        let size = Size::new(500);
        size.met_limit(500);
        assert_eq!(size.current(), 250);
        // Others of the same size were in flight.
        size.met_limit(500);
        assert_eq!(size.current(), 250);
        size.met_limit(250);
        assert_eq!(size.current(), 125);
        size.went_well(125);
        assert_eq!(size.current(), 132);
        for _ in 0..50 {
            size.went_well(size.current());
        }
        assert_eq!(
            size.current(),
            249,
            "the size that met the limit is not tried again"
        );
    }

    #[test]
    fn a_limit_is_forgotten_after_a_long_good_time() {
        let size = Size::new(10);
        size.met_limit(10);
        for _ in 0..200 {
            size.went_well(size.current());
        }
        assert_eq!(size.current(), 10);
    }

    #[test]
    fn small_batches_say_nothing_about_large_ones_and_one_is_the_least() {
        let size = Size::new(100);
        size.met_limit(100);
        size.went_well(3);
        assert_eq!(size.current(), 50);
        size.met_limit(1);
        assert_eq!(size.current(), 1);
        size.went_well(1);
        assert_eq!(size.current(), 1);
    }
}
