//! What the sandbox has seen: counters by table, the rate of the last minute, and the last requests.
//! Kept for the page, the state request and tests; never a key, never a value.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// How many requests are remembered.
const REQUESTS_KEPT: usize = 200;
/// How many seconds of rates are remembered.
pub(crate) const SECONDS_KEPT: usize = 60;

/// What one call did to a table, as the service tells it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// The table, such as `pendo/visitor`.
    pub(crate) table: String,
    /// Size of the body as it was read.
    pub(crate) bytes: u64,
    pub(crate) records: u64,
    pub(crate) updated: u64,
    pub(crate) missing: u64,
    pub(crate) errors: u64,
    /// Records whose id came before in the same call.
    pub(crate) duplicates: u64,
    /// Records whose id was in flight in another call.
    pub(crate) overlaps: u64,
}

/// The sums of a table.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TableCounters {
    /// Calls that carried records.
    pub calls: u64,
    /// Records that arrived in calls that the service looked at.
    pub records: u64,
    /// Records that were applied.
    pub updated: u64,
    /// Records whose id the service does not know.
    pub missing: u64,
    /// Records that were refused one by one.
    pub errors: u64,
    /// Records whose id came before in the same call.
    pub duplicates: u64,
    /// Records whose id was in flight in another call at the same time; counted only if asked for.
    pub overlaps: u64,
    /// Records of the last whole seconds, oldest first.
    pub per_second: Vec<u64>,
}

/// One request of the log.
#[derive(Clone, Debug, Serialize)]
pub struct RequestEntry {
    /// Its number since the start, from 1.
    pub number: u64,
    /// When it began, in milliseconds since the sandbox started.
    pub at_ms: u64,
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The status; 0 if the connection was reset instead.
    pub status: u16,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// Size of the body: as read if it carried records, else as declared.
    pub bytes: u64,
    /// Records that it carried.
    pub records: u64,
    /// Names of the faults that struck it.
    pub faults: Vec<String>,
}

/// A picture of everything that was counted.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// Milliseconds since the start or the last reset.
    pub uptime_ms: u64,
    /// Requests to services; control requests are not counted.
    pub requests: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Requests by status; `0` stands for reset connections.
    pub statuses: BTreeMap<u16, u64>,
    /// Strikes by fault name.
    pub faults: BTreeMap<String, u64>,
    /// Counters by table.
    pub tables: BTreeMap<String, TableCounters>,
    /// The last requests, newest first.
    pub last_requests: Vec<RequestEntry>,
}

/// Counts requests as they end.
pub(crate) struct Activity {
    inner: Mutex<Inner>,
}

struct Inner {
    started: Instant,
    requests: u64,
    bytes: u64,
    statuses: BTreeMap<u16, u64>,
    faults: BTreeMap<String, u64>,
    tables: BTreeMap<String, Watched>,
    last: VecDeque<RequestEntry>,
}

#[derive(Default)]
struct Watched {
    counters: TableCounters,
    /// Second since the start, and its records; oldest first.
    seconds: VecDeque<(u64, u64)>,
}

impl Activity {
    pub(crate) fn new() -> Activity {
        Activity {
            inner: Mutex::new(Inner::new()),
        }
    }

    pub(crate) fn reset(&self) {
        *self.lock() = Inner::new();
    }

    /// Counts a request that has ended; `entry.number` and `entry.at_ms` are filled in here.
    pub(crate) fn record(&self, mut entry: RequestEntry, tally: Option<&Tally>) {
        let mut inner = self.lock();
        inner.requests += 1;
        inner.bytes += entry.bytes;
        *inner.statuses.entry(entry.status).or_default() += 1;
        for fault in &entry.faults {
            *inner.faults.entry(fault.clone()).or_default() += 1;
        }
        let uptime = inner.started.elapsed();
        if let Some(tally) = tally {
            inner.count(tally, uptime);
        }
        entry.number = inner.requests;
        let began = uptime.saturating_sub(Duration::from_micros(entry.duration_us));
        entry.at_ms = milliseconds(began);
        if inner.last.len() == REQUESTS_KEPT {
            inner.last.pop_front();
        }
        inner.last.push_back(entry);
    }

    /// Counts what was done to a table outside of the request that asked for it.
    pub(crate) fn tally(&self, tally: &Tally) {
        let mut inner = self.lock();
        let uptime = inner.started.elapsed();
        inner.count(tally, uptime);
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let inner = self.lock();
        let uptime = inner.started.elapsed();
        let table = |(name, watched): (&String, &Watched)| {
            let per_second = watched.per_second(uptime.as_secs());
            (
                name.clone(),
                TableCounters {
                    per_second,
                    ..watched.counters.clone()
                },
            )
        };
        Snapshot {
            uptime_ms: milliseconds(uptime),
            requests: inner.requests,
            bytes: inner.bytes,
            statuses: inner.statuses.clone(),
            faults: inner.faults.clone(),
            tables: inner.tables.iter().map(table).collect(),
            last_requests: inner.last.iter().rev().cloned().collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn new() -> Inner {
        Inner {
            started: Instant::now(),
            requests: 0,
            bytes: 0,
            statuses: BTreeMap::new(),
            faults: BTreeMap::new(),
            tables: BTreeMap::new(),
            last: VecDeque::with_capacity(REQUESTS_KEPT),
        }
    }

    fn count(&mut self, tally: &Tally, uptime: Duration) {
        let watched = self.tables.entry(tally.table.clone()).or_default();
        let counters = &mut watched.counters;
        counters.calls += 1;
        counters.records += tally.records;
        counters.updated += tally.updated;
        counters.missing += tally.missing;
        counters.errors += tally.errors;
        counters.duplicates += tally.duplicates;
        counters.overlaps += tally.overlaps;
        let second = uptime.as_secs();
        match watched.seconds.back_mut() {
            Some((last, records)) if *last == second => *records += tally.records,
            _ => watched.seconds.push_back((second, tally.records)),
        }
        if watched.seconds.len() > SECONDS_KEPT + 1 {
            watched.seconds.pop_front();
        }
    }
}

impl Watched {
    /// Records of each of the last seconds before `now`, silent seconds included.
    fn per_second(&self, now: u64) -> Vec<u64> {
        let first = now.saturating_sub(SECONDS_KEPT as u64);
        let of = |second: u64| {
            self.seconds
                .iter()
                .find(|(found, _)| *found == second)
                .map_or(0, |(_, count)| *count)
        };
        (first..now).map(of).collect()
    }
}

fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(status: u16) -> RequestEntry {
        RequestEntry {
            number: 0,
            at_ms: 0,
            method: "POST".to_owned(),
            path: "/pendo/x".to_owned(),
            status,
            duration_us: 1,
            bytes: 10,
            records: 2,
            faults: vec!["slow".to_owned()],
        }
    }

    #[test]
    fn sums_and_the_newest_requests_are_kept() {
        let activity = Activity::new();
        let tally = Tally {
            table: "pendo/visitor".to_owned(),
            records: 2,
            updated: 1,
            missing: 1,
            ..Tally::default()
        };
        for _ in 0..REQUESTS_KEPT + 5 {
            activity.record(entry(200), Some(&tally));
        }
        activity.record(entry(0), None);
        let snapshot = activity.snapshot();
        assert_eq!(snapshot.requests, 206);
        assert_eq!(snapshot.bytes, 2060);
        assert_eq!(snapshot.statuses[&0], 1);
        assert_eq!(snapshot.faults["slow"], 206);
        assert_eq!(snapshot.tables["pendo/visitor"].records, 410);
        assert_eq!(snapshot.tables["pendo/visitor"].missing, 205);
        assert_eq!(snapshot.last_requests.len(), REQUESTS_KEPT);
        assert_eq!(snapshot.last_requests[0].number, 206);
    }

    #[test]
    fn rates_show_silent_seconds() {
        let watched = Watched {
            seconds: VecDeque::from([(1, 10), (3, 30)]),
            ..Watched::default()
        };
        assert_eq!(watched.per_second(5), [0, 10, 0, 30, 0]);
        assert_eq!(watched.per_second(1000).len(), SECONDS_KEPT);
    }
}
