//! What is running now: `live.json` in the store, and the lines on a terminal.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use singer_core::Result;

use crate::history::Counts;
use crate::session::Session;

/// A run at work, as `live.json` has it. It stands until the run is recorded; a reader that finds no
/// holder of the lease takes it for dead.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Live {
    pub(crate) run: String,
    pub(crate) pipeline: String,
    pub(crate) host: String,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) attempt: u32,
    pub(crate) stages: Vec<LiveStage>,
    pub(crate) streams: BTreeMap<String, Counts>,
    /// Records a second over the last seconds.
    pub(crate) rate: Option<f64>,
    pub(crate) state: Option<u64>,
    /// The last lines of the log, without secrets.
    pub(crate) tail: Vec<String>,
}

/// A stage at work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LiveStage {
    pub(crate) label: String,
    pub(crate) exec: String,
    pub(crate) pid: u32,
    /// How it ended, once it has.
    pub(crate) ended: Option<String>,
}

/// What a pipeline is doing now, if it runs.
pub(crate) async fn of(session: &Session, pipeline: &str) -> Result<Option<Live>> {
    let _ = (session, pipeline);
    Err(singer_core::Error::internal("not there yet"))
}

/// What is shown of one run while it lasts. The run tells it what happens; a task of its own writes
/// `live.json` every two seconds and draws on a terminal.
#[derive(Debug)]
pub(crate) struct Display {}

impl Display {
    /// Starts to show a run; removes nothing of others. Draws on the terminal only if `stderr` is one and
    /// the log is not quiet; several displays share the terminal.
    pub(crate) fn start(
        session: &Session,
        pipeline: &str,
        run: &str,
        watcher: &crate::report::Watcher,
    ) -> Self {
        let _ = (session, pipeline, run, watcher);
        Self {}
    }

    /// The stages of an attempt were started.
    pub(crate) fn attempt(&self, number: u32, stages: Vec<LiveStage>) {
        let _ = (number, stages);
    }

    /// A stage ended.
    pub(crate) fn stage_ended(&self, label: &str, how: &str) {
        let _ = (label, how);
    }

    /// A version of the state was stored.
    pub(crate) fn state(&self, version: u64) {
        let _ = version;
    }

    /// Stops drawing and removes `live.json`.
    pub(crate) async fn end(self) {}
}
