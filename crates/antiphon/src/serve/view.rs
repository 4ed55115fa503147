//! Everything that the pages show, as plain values: filled from the store by `load`, drawn by the pages.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::history::{Brief, Outcome, Summary};
use crate::live::Live;
use crate::state::diff::Change;

/// All pipelines at one moment.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Overview {
    pub(crate) project: String,
    pub(crate) read_at: DateTime<Utc>,
    /// By name.
    pub(crate) pipelines: Vec<Pipeline>,
}

/// A pipeline in a line.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Pipeline {
    pub(crate) name: String,
    /// The programs in the order of the pipe, without folders.
    pub(crate) stages: Vec<String>,
    pub(crate) schedule: Option<Schedule>,
    /// The newest last.
    pub(crate) runs: Vec<Brief>,
    pub(crate) last_good: Option<Brief>,
    pub(crate) running: Option<Running>,
    pub(crate) rejects_open: u64,
    /// The runs that have them.
    #[serde(skip)]
    pub(crate) rejects_in: Vec<String>,
    pub(crate) state_version: Option<u64>,
    /// What of it cannot be read, and why.
    pub(crate) trouble: Option<String>,
}

/// When a pipeline is due.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Schedule {
    pub(crate) line: String,
    pub(crate) zone: &'static str,
    pub(crate) next: Option<DateTime<Utc>>,
}

/// A run at work, or one whose runner has gone.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Running {
    pub(crate) live: Live,
    pub(crate) runner: Runner,
}

/// Whether somebody still holds the lease of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Runner {
    Alive,
    Gone,
}

/// How a pipeline stands, the worst first: the order of the overview.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    Failing,
    Rejects,
    Fine,
    Never,
}

impl Pipeline {
    /// The newest run that has ended.
    pub(crate) fn last(&self) -> Option<&Brief> {
        self.runs.last()
    }

    /// How it stands by its last run; one that somebody interrupted says nothing.
    pub(crate) fn standing(&self) -> Standing {
        if self.trouble.is_some() || self.is_abandoned() {
            return Standing::Failing;
        }
        let telling = |run: &&Brief| run.outcome != Outcome::Interrupted;
        match self.runs.iter().rev().find(telling) {
            Some(run) if !run.outcome.is_good() => Standing::Failing,
            _ if self.rejects_open > 0 => Standing::Rejects,
            Some(run) if run.outcome == Outcome::Rejects => Standing::Rejects,
            Some(_) => Standing::Fine,
            None if self.runs.is_empty() => Standing::Never,
            None => Standing::Fine,
        }
    }

    /// Whether a run is at work.
    pub(crate) fn is_running(&self) -> bool {
        let alive = |running: &Running| running.runner == Runner::Alive;
        self.running.as_ref().is_some_and(alive)
    }

    /// Whether a run began and its runner has gone without a word.
    fn is_abandoned(&self) -> bool {
        let gone = |running: &Running| running.runner == Runner::Gone;
        self.running.as_ref().is_some_and(gone)
    }
}

impl Running {
    /// All records so far, if anybody counts them.
    pub(crate) fn records(&self) -> Option<u64> {
        let known = self.live.streams.values();
        let mut counts = known
            .filter_map(|counts| counts.records.or(counts.sent))
            .peekable();
        counts.peek()?;
        Some(counts.sum())
    }
}

/// A pipeline in full.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Detail {
    pub(crate) read_at: DateTime<Utc>,
    pub(crate) pipeline: Pipeline,
    /// The last summaries, the newest first.
    pub(crate) summaries: Vec<Summary>,
    /// One page of the runs, the newest first.
    pub(crate) runs: Paged<Brief>,
    /// The newest versions of the state, the newest first.
    pub(crate) states: Vec<StateLine>,
    pub(crate) rejects: Vec<RejectGroup>,
}

/// A page of something longer.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Paged<T> {
    pub(crate) items: Vec<T>,
    /// From 1.
    pub(crate) page: usize,
    pub(crate) pages: usize,
    pub(crate) total: usize,
}

impl<T> Paged<T> {
    /// How many pages so many items fill: at least one.
    pub(crate) fn pages_of(total: usize, size: usize) -> usize {
        total.div_ceil(size).max(1)
    }
}

/// A version of a state without its value.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StateLine {
    pub(crate) version: u64,
    pub(crate) at: String,
    pub(crate) run: Option<String>,
    pub(crate) cause: String,
    pub(crate) bytes: usize,
}

/// Open rejects that have the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RejectGroup {
    pub(crate) stream: String,
    pub(crate) code: Option<String>,
    pub(crate) reason: String,
    pub(crate) count: u64,
}

/// A run in full; one that is at work has no summary yet.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RunDetail {
    pub(crate) read_at: DateTime<Utc>,
    pub(crate) pipeline: String,
    pub(crate) run: String,
    pub(crate) summary: Option<Summary>,
    pub(crate) running: Option<Running>,
    pub(crate) log: Option<LogTail>,
}

/// The end of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LogTail {
    pub(crate) lines: Vec<String>,
    /// How many lines stand before these.
    pub(crate) before: usize,
    pub(crate) bytes: usize,
}

/// A version of a state, leaf by leaf.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StateDetail {
    pub(crate) pipeline: String,
    pub(crate) line: StateLine,
    /// The newest version of all.
    pub(crate) newest: u64,
    /// The version before it, if it is still kept.
    pub(crate) before: Option<u64>,
    /// Its values as JSON, each behind the keys from the top.
    pub(crate) leaves: Vec<(Vec<String>, String)>,
}

/// What differs between two versions.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StateDiff {
    pub(crate) pipeline: String,
    pub(crate) before: StateLine,
    pub(crate) after: StateLine,
    pub(crate) changes: Vec<Change>,
}

/// The store cannot be read.
#[derive(Debug, Clone)]
pub(crate) struct Outage {
    pub(crate) message: String,
    pub(crate) causes: Vec<String>,
    pub(crate) hints: Vec<String>,
    /// What was read last.
    pub(crate) last_good: Option<Arc<Overview>>,
}
