//! What the stages say of themselves: their stderr, line by line, and the report files of ours.
//!
//! Each line of a stage's stderr goes to the run's log and to the terminal with the stage's prefix,
//! without secrets; metric lines are counted, the last `CRITICAL` line and what belongs to it is kept.
//! Our own stages also keep a file up to date (its path is in `ANTIPHON_REPORT`) with what they have
//! counted, so that nobody has to read their words.
//!
//! A stage is read as fast as the log's disk takes its lines, and never slower for the sake of a
//! terminal. Nothing that goes wrong in here ends a run.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use chrono::SecondsFormat;
use singer_core::{Error, Result, Secret};
use singer_runtime::clock::Clock;
use singer_runtime::log;
use singer_runtime::report::Report;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::ChildStderr;

use crate::history::Counts;
use crate::mask::Mask;
use file::LogFile;
use lines::Lines;
use metric::Metric;
use queue::Queue;
use screen::Screen;
use words::Words;

mod counts;
mod file;
mod lines;
mod metric;
mod queue;
mod screen;
#[cfg(test)]
mod tests;
mod words;

/// The variable that tells a stage of ours where its report goes.
pub(crate) const REPORT: &str = singer_runtime::report::VARIABLE;
/// The name of the log in a run's work folder.
pub(crate) const LOG: &str = "log.txt";

/// The label of the runner's own lines.
const OWN: &str = "antiphon";
/// What is read of a stage's stderr at once.
const BLOCK_BYTES: usize = 64 * 1024;
/// What may wait for the disk before the stages do.
const MOST_WAITING: usize = 1024 * 1024;
/// So many of the last lines are at hand, each of at most so many bytes.
const TAIL_LINES: usize = 200;
const TAIL_LINE_BYTES: usize = 2000;
/// How long the end of a run waits for a disk that does not take the log.
const PATIENCE: Duration = Duration::from_secs(60);

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
    mask: RwLock<Mask>,
    clock: Clock,
    log: Arc<Queue>,
    screen: Option<Screen>,
    heard: Mutex<All>,
}

#[derive(Debug, Default)]
struct All {
    stages: BTreeMap<String, Heard>,
    tail: VecDeque<String>,
}

/// What was heard of one stage.
#[derive(Debug, Default)]
struct Heard {
    words: Words,
    /// Records by stream, as its metric lines say.
    metrics: BTreeMap<String, u64>,
    /// Its newest report of each of its runs.
    reports: BTreeMap<String, Report>,
}

/// What a stage said last before it failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LastWords {
    /// Its last `CRITICAL` or `FATAL` line without that word and its own name; else its last `ERROR` line or the
    /// last line of a Python traceback; else its last line. Empty if it said nothing.
    pub(crate) message: String,
    pub(crate) causes: Vec<String>,
    pub(crate) hints: Vec<String>,
    /// It says itself that its reader has gone: a symptom, not a cause.
    pub(crate) is_broken_pipe: bool,
}

impl Watcher {
    /// Begins the log of a run in its work folder.
    pub(crate) fn start(work: &Path, echo: Echo, mask: Mask) -> Result<Self> {
        let clock = Clock::system();
        let log = Arc::new(Queue::new(MOST_WAITING));
        let path = work.join(LOG);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn({
                let (log, clock) = (Arc::clone(&log), clock.clone());
                move || {
                    let mut file = LogFile::new(path, file::MOST_BYTES, clock);
                    while let Some(lines) = log.take() {
                        file.write(&lines);
                    }
                    file.finish();
                }
            })
            .map_err(|error| Error::internal("cannot start a thread").with_source(error))?;
        let screen = match echo {
            Echo::Prefix(prefix) => Some(Screen::start(prefix)?),
            Echo::Silent => None,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                work: work.to_owned(),
                mask: RwLock::new(mask),
                clock,
                log,
                screen,
                heard: Mutex::default(),
            }),
        })
    }

    /// Where a stage's report goes. To be asked before each start of the stage: what the file says of the
    /// start before is taken in.
    pub(crate) fn report_path(&self, label: &str) -> PathBuf {
        self.read_report(label);
        self.path_of_report(label)
    }

    /// Listens to a stage until its stderr ends. A later attempt listens anew under the same label:
    /// its counts add to those of the attempts before, its last words replace theirs.
    pub(crate) fn listen(&self, label: &str, stderr: ChildStderr) -> tokio::task::JoinHandle<()> {
        self.heard()
            .stages
            .entry(label.to_owned())
            .or_default()
            .words = Words::default();
        let (watcher, label) = (self.clone(), label.to_owned());
        tokio::spawn(async move { watcher.hear(&label, stderr).await })
    }

    /// A line of the runner's own, with the label `antiphon`.
    pub(crate) fn note(&self, line: &str) {
        let mut block = Block::new(self);
        let mask = self.mask();
        for line in line.lines() {
            block.add(OWN, &mask.line(line), Shown::Everywhere);
        }
        self.say(&block);
    }

    /// Hides more secrets from now on: those that became known before the stages were started.
    pub(crate) fn hide(&self, secrets: &[Secret]) {
        let mut mask = self
            .inner
            .mask
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *mask = mask.clone().hide(secrets);
    }

    fn mask(&self) -> Mask {
        let mask = self.inner.mask.read();
        mask.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is known of the streams now: reports of ours first, then metric lines.
    pub(crate) fn counts(&self) -> BTreeMap<String, Counts> {
        let labels: Vec<String> = self.heard().stages.keys().cloned().collect();
        for label in labels {
            self.read_report(&label);
        }
        counts::join(&self.heard().stages)
    }

    /// What a stage said last.
    pub(crate) fn last_words(&self, label: &str) -> LastWords {
        let heard = self.heard();
        let stage = heard.stages.get(label);
        stage.map(|stage| stage.words.last()).unwrap_or_default()
    }

    /// The last lines of the log, at most so many, without secrets and metric lines.
    pub(crate) fn tail(&self, lines: usize) -> Vec<String> {
        let heard = self.heard();
        let from = heard.tail.len().saturating_sub(lines);
        heard.tail.iter().skip(from).cloned().collect()
    }

    /// The run's work folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.inner.work
    }

    /// Whether a stage of ours is at work, which says itself in the log how far it is.
    pub(crate) fn has_words_of_ours(&self) -> bool {
        let heard = self.heard();
        let mut reports = heard
            .stages
            .values()
            .flat_map(|stage| stage.reports.values());
        reports.any(|report| report.role != "tally")
    }

    /// Everything that was said is in the file, unless its disk does not take it. What is noted later is
    /// shown and not kept.
    pub(crate) fn finish(&self) -> Result<()> {
        self.inner.log.close(PATIENCE);
        if let Some(screen) = &self.inner.screen {
            screen.finish();
        }
        Ok(())
    }

    async fn hear(&self, label: &str, mut stderr: impl AsyncRead + Unpin) {
        let mut lines = Lines::default();
        let mut bytes = vec![0; BLOCK_BYTES];
        loop {
            // A stage that is no more has nothing to say, whatever the reason.
            let length = stderr.read(&mut bytes).await.unwrap_or(0);
            let mut block = Block::new(self);
            {
                let mut heard = self.heard();
                let stage = heard.stages.entry(label.to_owned()).or_default();
                if length == 0 {
                    lines.last(|line| self.take(stage, &mut block, label, line));
                } else {
                    lines.take(&bytes[..length], |line| {
                        self.take(stage, &mut block, label, line);
                    });
                }
            }
            self.say(&block);
            if length == 0 {
                break;
            }
            self.inner.log.room().await;
        }
        // The next start of this stage writes to the same file.
        self.read_report(label);
    }

    fn take(&self, stage: &mut Heard, block: &mut Block<'_>, label: &str, line: &[u8]) {
        let text = lines::clean(line);
        let mask = self.mask();
        let line = lines::cut(mask.line(&text), line.len());
        match metric::parse(&line) {
            Some(metric) => {
                if let Metric::Records { stream, count } = metric {
                    *stage.metrics.entry(stream).or_default() += count;
                }
                block.add(label, &line, Shown::NotToPeople);
            }
            None => {
                stage.words.hear(&line);
                block.add(label, &line, Shown::Everywhere);
            }
        }
    }

    /// Hands lines to the log and to the screen.
    fn say(&self, block: &Block<'_>) {
        if block.log.is_empty() {
            return;
        }
        {
            let tail = &mut self.heard().tail;
            let from = block.tail.len().saturating_sub(TAIL_LINES);
            for line in &block.tail[from..] {
                if tail.len() == TAIL_LINES {
                    tail.pop_front();
                }
                tail.push_back(line.clone());
            }
        }
        let is_over = !self.inner.log.push(&block.log);
        let Some(screen) = &self.inner.screen else {
            return;
        };
        if is_over {
            block.screen.lines().for_each(log::raw);
        } else if !block.screen.is_empty() {
            screen.show(&block.time, &block.screen);
        }
    }

    fn read_report(&self, label: &str) {
        if let Some(report) = Report::read(&self.path_of_report(label)) {
            let mut heard = self.heard();
            let stage = heard.stages.entry(label.to_owned()).or_default();
            stage.reports.insert(report.run_id.clone(), report);
        }
    }

    fn path_of_report(&self, label: &str) -> PathBuf {
        self.inner.work.join(format!("{label}.report.json"))
    }

    fn heard(&self) -> MutexGuard<'_, All> {
        self.inner
            .heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a line is shown; the log has every line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Everywhere,
    /// Not on a terminal, and not among the last lines.
    NotToPeople,
}

/// Lines that were said at about the same time.
struct Block<'a> {
    watcher: &'a Watcher,
    time: String,
    log: String,
    screen: String,
    tail: Vec<String>,
}

impl<'a> Block<'a> {
    fn new(watcher: &'a Watcher) -> Self {
        Self {
            watcher,
            time: timestamp(&watcher.inner.clock),
            log: String::new(),
            screen: String::new(),
            tail: Vec::new(),
        }
    }

    fn add(&mut self, label: &str, line: &str, shown: Shown) {
        let written = log_line(&self.time, label, line);
        self.log.push_str(&written);
        if let Some(screen) = &self.watcher.inner.screen
            && !(shown == Shown::NotToPeople && screen.is_terminal())
        {
            screen.format(&mut self.screen, &self.time, label, line);
        }
        if shown == Shown::Everywhere {
            let mut end = written.trim_end().len().min(TAIL_LINE_BYTES);
            while !written.is_char_boundary(end) {
                end -= 1;
            }
            self.tail
                .push(written.get(..end).unwrap_or_default().to_owned());
        }
    }
}

fn timestamp(clock: &Clock) -> String {
    clock.now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A line as the log has it, with its end.
fn log_line(time: &str, label: &str, line: &str) -> String {
    format!("{time} {label:<7} {line}\n")
}
