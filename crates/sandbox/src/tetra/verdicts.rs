//! What a query thought of the documents that it has looked at: a document never changes, so that the next
//! page of a search has to read none of them again. Only the last queries are remembered.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::document::{Look, Place};
use super::query::Query;

/// Queries that are remembered.
const QUERIES: usize = 8;

/// A longer query is forgotten at once.
const LONGEST: usize = 64 << 10;

/// What the last queries thought.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<VecDeque<Verdicts>>);

/// What one query thought, by the numbers of documents.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    /// The query as it was read.
    query: String,
    known: Vec<Verdict>,
    /// Documents that were looked at anew.
    pub(super) judged: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Verdict {
    #[default]
    Open,
    Passes,
    Fails,
}

impl Memory {
    /// Takes out what is remembered of a query, to be put back.
    pub(super) fn take(&self, query: &Query) -> Verdicts {
        let query = format!("{query:?}");
        let mut all = self.lock();
        let place = all.iter().position(|verdicts| verdicts.query == query);
        let known = place.and_then(|place| all.remove(place));
        let known = known.map(|verdicts| verdicts.known).unwrap_or_default();
        Verdicts {
            query,
            known,
            judged: 0,
        }
    }

    pub(super) fn keep(&self, verdicts: Verdicts) {
        if verdicts.query.len() > LONGEST {
            return;
        }
        let mut all = self.lock();
        all.retain(|other| other.query != verdicts.query);
        all.push_front(verdicts);
        all.truncate(QUERIES);
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Verdicts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Verdicts {
    /// Whether a document passes the query.
    pub(super) fn passes(&mut self, query: &Query, look: &Look<'_>) -> bool {
        let number = usize::try_from(look.document().number).unwrap_or(usize::MAX);
        if self.known.len() <= number {
            self.known.resize(number + 1, Verdict::Open);
        }
        if self.known[number] == Verdict::Open {
            self.judged += 1;
            let passes = query.passes(Place::Root(look));
            self.known[number] = if passes {
                Verdict::Passes
            } else {
                Verdict::Fails
            };
        }
        self.known[number] == Verdict::Passes
    }
}
