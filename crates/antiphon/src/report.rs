//! What the stages say of themselves: their stderr, line by line, and the report files of ours.
//!
//! Each line of a stage's stderr goes to the run's log and to the terminal with the stage's prefix,
//! without secrets; metric lines are counted, the last `CRITICAL` line and what belongs to it is kept.
//! Our own stages also keep a file up to date (its path is in `ANTIPHON_REPORT`) with what they have
//! counted, so that nobody has to read their words.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use singer_core::Result;
use tokio::process::ChildStderr;

use crate::history::Counts;
use crate::mask::Mask;

/// The variable that tells a stage of ours where its report goes.
pub(crate) const REPORT: &str = "ANTIPHON_REPORT";
/// The name of the log in a run's work folder.
pub(crate) const LOG: &str = "log.txt";

/// How the log is shown while the run lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Echo {
    /// On our stderr, each line behind this and the stage's label: empty, or `accounts/`.
    Prefix(String),
    /// Not at all (`--quiet`: warnings and errors alone are for the caller).
    Silent,
}

/// Listens to the stages of one run; cheap to clone, all clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Watcher {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    work: PathBuf,
}

/// What a stage said last before it failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LastWords {
    /// Its last `CRITICAL`, `FATAL` or `ERROR` line without that word and its own name; else the last line of
    /// a Python traceback; else its last line. Empty if it said nothing.
    pub(crate) message: String,
    pub(crate) causes: Vec<String>,
    pub(crate) hints: Vec<String>,
    /// It says itself that its reader has gone: a symptom, not a cause.
    pub(crate) is_broken_pipe: bool,
}

impl Watcher {
    /// Begins the log of a run in its work folder.
    pub(crate) fn start(work: &Path, echo: Echo, mask: Mask) -> Result<Self> {
        let _ = (echo, mask);
        Ok(Self {
            inner: Arc::new(Inner {
                work: work.to_owned(),
            }),
        })
    }

    /// Where a stage's report goes.
    pub(crate) fn report_path(&self, label: &str) -> PathBuf {
        self.inner.work.join(format!("{label}.report.json"))
    }

    /// Listens to a stage until its stderr ends. A later attempt listens anew under the same label:
    /// its counts add to those of the attempts before, its last words replace theirs.
    pub(crate) fn listen(&self, label: &str, stderr: ChildStderr) -> tokio::task::JoinHandle<()> {
        let _ = (label, stderr);
        tokio::spawn(async {})
    }

    /// A line of the runner's own, with the label `antiphon`.
    pub(crate) fn note(&self, line: &str) {
        let _ = line;
    }

    /// What is known of the streams now: reports of ours first, then metric lines.
    pub(crate) fn counts(&self) -> BTreeMap<String, Counts> {
        BTreeMap::new()
    }

    /// What a stage said last.
    pub(crate) fn last_words(&self, label: &str) -> LastWords {
        let _ = label;
        LastWords::default()
    }

    /// The last lines of the log, at most so many, without secrets.
    pub(crate) fn tail(&self, lines: usize) -> Vec<String> {
        let _ = lines;
        Vec::new()
    }

    /// Everything that was said is in the file.
    pub(crate) fn finish(&self) -> Result<()> {
        Ok(())
    }
}
