//! Notices ids that two calls update at the same time, which a careful client never does.
//! Facts: section 7, point 2.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The ids of a kind that calls are busy with.
#[derive(Clone, Default)]
pub(crate) struct InFlight {
    calls_by_id: Arc<Mutex<HashMap<String, u32>>>,
}

/// The ids of one call; they are free again when this is dropped.
pub(crate) struct Flight {
    board: InFlight,
    ids: Vec<String>,
}

impl InFlight {
    /// Marks the ids of a call as busy and counts those that another call was busy with.
    pub(crate) fn enter<'ids>(&self, ids: impl Iterator<Item = &'ids str>) -> (Flight, u64) {
        let mut ids: Vec<String> = ids.map(str::to_owned).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut board = self.lock();
        let mut overlaps = 0;
        for id in &ids {
            let calls = board.entry(id.clone()).or_default();
            overlaps += u64::from(*calls > 0);
            *calls += 1;
        }
        drop(board);
        (
            Flight {
                board: self.clone(),
                ids,
            },
            overlaps,
        )
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.calls_by_id
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut board = self.board.lock();
        for id in &self.ids {
            if let Some(calls) = board.get_mut(id) {
                *calls -= 1;
                if *calls == 0 {
                    board.remove(id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_busy_until_their_call_is_dropped() {
        let board = InFlight::default();
        let (first, overlaps) = board.enter(["a", "b", "a"].into_iter());
        assert_eq!(overlaps, 0);
        let (second, overlaps) = board.enter(["b", "c"].into_iter());
        assert_eq!(overlaps, 1);
        drop(first);
        assert_eq!(board.enter(["a", "b"].into_iter()).1, 1);
        drop(second);
        assert!(board.lock().is_empty());
    }
}
