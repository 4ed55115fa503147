//! The counters of a run as a report file, if whoever started the process wants one.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use singer_core::schema::fingerprint;

use super::Counters;
use crate::program::Role;
use crate::report::{Report, ReportFile, Stream};

/// Keeps the report of a run up to date.
#[derive(Debug)]
pub(super) struct Reporter {
    /// Everything that does not change.
    heading: Report,
    described: Mutex<BTreeMap<String, Described>>,
    file: Mutex<ReportFile>,
}

/// What the counters do not know of a stream.
#[derive(Debug)]
struct Described {
    stream: String,
    /// Of the schema's text: some taps repeat it all the time.
    hash: u64,
    fingerprint: Option<String>,
}

impl Reporter {
    pub(super) fn new(
        path: PathBuf,
        binary: &str,
        role: Role,
        run_id: &str,
        rejects_path: Option<PathBuf>,
    ) -> Self {
        let role = match role {
            Role::Tap => "tap",
            Role::Map => "map",
            Role::Target => "target",
        };
        Self {
            heading: Report {
                binary: binary.to_owned(),
                role: role.to_owned(),
                run_id: run_id.to_owned(),
                rejects_path,
                ..Report::default()
            },
            described: Mutex::default(),
            file: Mutex::new(ReportFile::new(path)),
        }
    }

    /// Notes the name that a stream has in messages, and its newest schema.
    pub(super) fn describe(&self, id: &str, stream: &str, schema: &str) {
        let mut hasher = DefaultHasher::new();
        schema.hash(&mut hasher);
        let hash = hasher.finish();
        let mut described = self
            .described
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if described.get(id).is_none_or(|known| known.hash != hash) {
            let known = Described {
                stream: stream.to_owned(),
                hash,
                fingerprint: fingerprint(schema),
            };
            described.insert(id.to_owned(), known);
        }
    }

    /// Writes what is known now.
    pub(super) fn write(&self, status: &str, counters: &[Arc<Counters>]) {
        let mut report = self.heading.clone();
        status.clone_into(&mut report.status);
        for (id, known) in &*self
            .described
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
        {
            let stream = Stream {
                stream: known.stream.clone(),
                schema: known.fingerprint.clone(),
                status: NOT_STARTED.to_owned(),
                ..Stream::default()
            };
            report.streams.insert(id.clone(), stream);
        }
        for counters in counters {
            let stream = report.streams.entry(counters.name().to_owned());
            fill(stream.or_default(), counters);
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write(report);
    }
}

/// What a report says of a run or a stream that has not ended.
pub(super) const RUNNING: &str = "running";
const NOT_STARTED: &str = "not started";

fn fill(stream: &mut Stream, counters: &Counters) {
    if stream.stream.is_empty() {
        counters.name().clone_into(&mut stream.stream);
    }
    stream.records = counters.read.get();
    stream.sent = counters.sent.get();
    stream.unchanged = counters.unchanged.get();
    stream.missing = counters.missing.get();
    stream.rejected = counters.rejected.get();
    stream.cleared = counters.cleared.get();
    stream.retried = counters.retried.get();
    stream.bytes = counters.bytes.get();
    stream.in_flight = counters.in_flight.get();
    stream.expected = counters.expected.get();
    let status = match counters.status() {
        Some(status) => status.word(),
        None if counters.is_at_work() => RUNNING,
        None => NOT_STARTED,
    };
    status.clone_into(&mut stream.status);
    stream.duration_seconds = counters.duration().as_secs_f64();
}
