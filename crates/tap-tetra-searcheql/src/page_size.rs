//! How many hits a search asks for: as many as the config allows, half as many where an answer is too large or does
//! not come, and more again as answers come.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// So many answers in a row make pages grow again, more where that has failed before.
const CALM: u32 = 4;

/// At most so many are waited for.
const MOST_CALM: u32 = 256;

/// The size of the pages of one search.
#[derive(Debug)]
pub(crate) struct PageSize {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    now: u64,
    most: u64,
    answers: u32,
    calm: u32,
    /// Whether no page of this size came since it has grown.
    is_tried: bool,
}

/// Why a page did not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It may be too large, or the platform may be busy.
    Heavy,
    /// It has more bytes than go through: pages of that size are not asked for again.
    TooLarge,
}

impl PageSize {
    /// Begins with the most.
    pub(crate) fn new(most: u64) -> Self {
        Self {
            state: Mutex::new(State {
                now: most,
                most,
                answers: 0,
                calm: CALM,
                is_tried: false,
            }),
        }
    }

    /// The size to ask for now.
    pub(crate) fn get(&self) -> u64 {
        self.state().now
    }

    /// A page of this size came.
    pub(crate) fn came(&self) {
        let mut state = self.state();
        state.answers += 1;
        state.is_tried = false;
        if state.answers >= state.calm && state.now < state.most {
            state.now = (state.now * 2).min(state.most);
            state.answers = 0;
            state.is_tried = true;
        }
    }

    /// A page of this size did not come: half of it from now on.
    pub(crate) fn halve(&self, stream: &str, size: u64, trouble: Trouble) {
        let mut state = self.state();
        if size < 2 || size != state.now {
            return;
        }
        if std::mem::take(&mut state.is_tried) {
            state.calm = (state.calm * 2).min(MOST_CALM);
        }
        state.now = size / 2;
        state.answers = 0;
        if trouble == Trouble::TooLarge {
            state.most = state.now;
        }
        tracing::info!(stream, page_size = state.now, "asks for smaller pages");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Numbers are never half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(size: &PageSize, count: u32) -> u64 {
        (0..count).for_each(|_| size.came());
        size.get()
    }

    #[test]
    fn pages_shrink_and_grow_again_and_never_vanish() {
        let size = PageSize::new(10);
        for (asked, left) in [(10, 5), (5, 2), (2, 1), (1, 1)] {
            size.halve("s", asked, Trouble::Heavy);
            assert_eq!(size.get(), left);
        }
        assert_eq!(pages(&size, 1000), 10);
        size.halve("s", 10, Trouble::TooLarge);
        assert_eq!(pages(&size, 1000), 5, "what is too large stays so");
    }

    #[test]
    fn growth_that_fails_is_tried_less_often() {
        let size = PageSize::new(8);
        size.halve("s", 8, Trouble::Heavy);
        assert_eq!(pages(&size, CALM), 8);
        size.halve("s", 8, Trouble::Heavy);
        assert_eq!(pages(&size, CALM), 4);
        assert_eq!(pages(&size, CALM), 8);
    }

    #[test]
    fn an_older_request_that_fails_does_not_halve_twice() {
        let size = PageSize::new(8);
        size.halve("s", 8, Trouble::Heavy);
        size.halve("s", 8, Trouble::Heavy);
        assert_eq!(size.get(), 4);
    }
}
