//! What happened: a summary of every run, the index of the last ones, retention.
//!
//! Everything is written by the holder of the pipeline's lease, so no two writers meet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use singer_core::Result;

use crate::session::Session;

mod find;
mod index;
pub(crate) mod keys;
mod list;
mod logs;
mod one;
mod record;
mod recover;
mod retention;
mod show;
pub(crate) mod text;
mod work;

pub(crate) use list::ListArguments;
pub(crate) use logs::LogsArguments;
pub(crate) use show::HistoryArguments;
pub(crate) use work::Scratch;

/// A run from its start to its end, as `runs/<run>/summary.json` has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// Sorts by time; unique among all machines.
    pub(crate) run: String,
    pub(crate) pipeline: String,
    pub(crate) kind: Kind,
    /// The `--select` of a run that was to sync some streams alone; empty for all.
    #[serde(default)]
    pub(crate) select: Vec<String>,
    pub(crate) host: String,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) duration_seconds: f64,
    pub(crate) outcome: Outcome,
    pub(crate) exit_code: u8,
    /// How often the stages were started.
    pub(crate) attempts: u32,
    /// What failed, if something did; of several attempts, of the last.
    pub(crate) fault: Option<Fault>,
    /// What deserves attention and is no failure.
    #[serde(default)]
    pub(crate) warnings: Vec<String>,
    pub(crate) stages: Vec<StageEnd>,
    pub(crate) streams: BTreeMap<String, Counts>,
    /// Records that the target refused in this run.
    pub(crate) rejects: u64,
    pub(crate) state_before: Option<u64>,
    pub(crate) state_after: Option<u64>,
}

/// What a run was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Sync,
    FullRefresh,
    Replay,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Succeeded,
    /// Done, but some records were refused.
    Rejects,
    Failed,
    /// Ended by its `timeout`.
    TimedOut,
    /// Ended by a signal to the runner.
    Interrupted,
    /// The runner itself died; written by whoever took over.
    Died,
}

impl Outcome {
    /// Whether the pipeline did its work.
    pub(crate) fn is_good(self) -> bool {
        matches!(self, Self::Succeeded | Self::Rejects)
    }

    /// For people and for `--format json`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Rejects => "rejects",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Interrupted => "interrupted",
            Self::Died => "died",
        }
    }
}

/// Which stage failed first of its own accord, and what it said.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Fault {
    /// A stage's label, or `antiphon` for the runner itself.
    pub(crate) stage: String,
    /// `exit code 1`, `killed by SIGKILL`, …
    pub(crate) ended: String,
    /// Its last `CRITICAL` (or `FATAL`, `ERROR`) line, without secrets.
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) causes: Vec<String>,
    #[serde(default)]
    pub(crate) hints: Vec<String>,
}

/// How a stage ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StageEnd {
    pub(crate) label: String,
    pub(crate) exec: String,
    pub(crate) ended: String,
}

/// What is known of a stream; `None` means that nobody said.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counts {
    /// Read by the tap (or by the target, if the tap does not say).
    pub(crate) records: Option<u64>,
    pub(crate) sent: Option<u64>,
    pub(crate) unchanged: Option<u64>,
    pub(crate) missing: Option<u64>,
    pub(crate) rejected: Option<u64>,
    pub(crate) cleared: Option<u64>,
    pub(crate) retried: Option<u64>,
    pub(crate) bytes: Option<u64>,
    /// A fingerprint of the SCHEMA.
    pub(crate) schema: Option<String>,
}

/// The last runs of a pipeline in brief: `index.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Index {
    /// The newest last; at most [`INDEX_RUNS`].
    pub(crate) runs: Vec<Brief>,
    /// The newest run that did the pipeline's work; a replay of rejects is not that.
    pub(crate) last_good: Option<Brief>,
    /// How many runs the store keeps.
    #[serde(default)]
    pub(crate) kept: usize,
    /// The open rejects by run.
    #[serde(default)]
    pub(crate) open: BTreeMap<String, u64>,
    /// What retention did last.
    #[serde(default)]
    pub(crate) pruned: Option<retention::Pruned>,
}

/// How many runs an index holds.
pub(crate) const INDEX_RUNS: usize = 100;

/// A run in a line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Brief {
    pub(crate) run: String,
    pub(crate) kind: Kind,
    /// It was to sync some streams alone.
    #[serde(default)]
    pub(crate) is_partial: bool,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) duration_seconds: f64,
    pub(crate) outcome: Outcome,
    pub(crate) exit_code: u8,
    pub(crate) stage: Option<String>,
    /// The fault's message, or the first warning.
    pub(crate) words: Option<String>,
    pub(crate) records: Option<u64>,
    pub(crate) rejects: u64,
    pub(crate) state_before: Option<u64>,
    pub(crate) state_after: Option<u64>,
    /// Fingerprints of the schemas by stream.
    #[serde(default)]
    pub(crate) schemas: BTreeMap<String, String>,
}

/// Makes the folder in which a run keeps its files on this machine, with the identity of this process in
/// it: `<work>/<pipeline>/<run>/`. Whoever runs calls it before anything else is written; [`recover`]
/// leaves the folder alone as long as this process lives.
pub(crate) fn begin_work(
    session: &Session,
    pipeline: &str,
    run: &str,
    kind: Kind,
) -> Result<PathBuf> {
    work::begin(&session.project.store.work, pipeline, run, kind)
}

/// The name of the machine on which a run works, by its work folder.
pub(crate) fn host(work: &Path) -> String {
    work::host(work)
}

/// A new id for a run of this machine: the time in UTC, then what makes it unique.
pub(crate) fn new_run(session: &Session) -> String {
    work::new_run(session.clock().now())
}

/// When a run started, by its id; `None` if it is no id of ours.
pub(crate) fn started_at(run: &str) -> Option<DateTime<Utc>> {
    work::started_at(run)
}

/// Makes a folder for the files of a command, beside the work folders of the pipeline's runs; the name starts
/// with a dot.
pub(crate) fn scratch(
    session: &Session,
    pipeline: &str,
    name: &str,
    kind: Kind,
) -> Result<Scratch> {
    Scratch::make(&session.project.store.work, pipeline, name, kind)
}

/// Notes in the index how many rejects of some runs are open. To be called under the lease.
pub(crate) async fn set_open(
    session: &Session,
    pipeline: &str,
    open: &[(String, u64)],
) -> Result<()> {
    if open.is_empty() {
        return Ok(());
    }
    let mut index = index::load(session, pipeline).await?;
    for (run, open) in open {
        index.set_open(run, *open);
    }
    index::save(session, pipeline, &index).await
}

/// Stores a run that has ended: log and rejects first, then its summary, then the index. `work` is the run's
/// folder on this machine, with `log.txt` and `rejects.jsonl` if there are any; it is removed at last. Where
/// this fails, the folder stays, and the next [`recover`] stores it.
pub(crate) async fn record(session: &Session, summary: &Summary, work: &Path) -> Result<()> {
    record::record(session, summary, work).await
}

/// Leaves a run that has ended to the next [`recover`] on this machine: for a runner that has lost its
/// lease, and may write nothing more into the store.
pub(crate) fn set_aside(summary: &Summary, work: &Path) -> Result<()> {
    record::set_aside(summary, work)
}

/// Collects what dead runners on this machine have left of a pipeline: their logs and rejects, with a
/// summary that says that they died. To be called under the lease, before a run. Gives the summaries that it
/// has stored, the oldest first: nobody was told of those runs yet ([`crate::notify::after`]).
pub(crate) async fn recover(session: &Session, pipeline: &str) -> Result<Vec<Summary>> {
    recover::recover(session, pipeline).await
}

/// The index of a pipeline; empty if it has never run.
pub(crate) async fn index(session: &Session, pipeline: &str) -> Result<Index> {
    index::load(session, pipeline).await
}

/// Summaries of a pipeline, the newest first. A broken one is named in the log and left out.
pub(crate) async fn summaries(
    session: &Session,
    pipeline: &str,
    most: usize,
) -> Result<Vec<Summary>> {
    let runs = session.store.folders(&keys::runs(pipeline)).await?;
    index::read_all(session, pipeline, runs)
        .take(most)
        .try_collect()
        .await
}

/// The pipeline and the summary of a run; the id may be cut to a prefix that is unique.
///
/// # Errors
/// Of kind `Config` if the prefix is that of several runs: it names them.
pub(crate) async fn find(session: &Session, run: &str) -> Result<Option<Summary>> {
    match find::locate(session, run).await? {
        Some(place) => index::read(session, &place.pipeline, &place.run).await,
        None => Ok(None),
    }
}

/// The log of a run: of the work folder while it runs here, else of the store.
pub(crate) async fn log(session: &Session, pipeline: &str, run: &str) -> Result<Option<Vec<u8>>> {
    find::log(session, pipeline, run).await
}

/// Removes what retention does not keep: runs and versions of the state. To be called under the lease; it
/// costs one read of the index as long as nothing is due.
pub(crate) async fn prune(session: &Session, pipeline: &str) -> Result<()> {
    retention::prune(session, pipeline).await
}

/// `antiphon list`
pub(crate) async fn run_list(session: Session, arguments: ListArguments) -> anyhow::Result<u8> {
    list::run(session, arguments).await
}

/// `antiphon history`
pub(crate) async fn run_history(
    session: Session,
    arguments: HistoryArguments,
) -> anyhow::Result<u8> {
    show::run(session, arguments).await
}

/// `antiphon logs`
pub(crate) async fn run_logs(session: Session, arguments: LogsArguments) -> anyhow::Result<u8> {
    logs::run(session, arguments).await
}

#[cfg(test)]
pub(crate) mod tests;
