//! What a run counts, and who gets to see it: metric lines, live progress, the summary at the end.
//!
//! Whoever moves records adds to [`Counters`], by the block or the batch, never by the record; a task
//! of its own looks at them from time to time.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::context::Context;
use crate::program::Role;
use crate::stdio;
use progress::{Live, plain_line};
use reporter::Reporter;

mod metrics;
mod progress;
mod reporter;
mod summary;

/// How often the counters are printed as metric lines.
const METRICS_EVERY: Duration = Duration::from_secs(60);
/// How often live lines are drawn.
const DRAW_EVERY: Duration = Duration::from_millis(200);
/// How often progress is logged where there is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// How often the report file is brought up to date.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Live lines on a terminal, else as `Plain`.
    Auto,
    /// One line for each stream at work every ten seconds.
    Plain,
    /// Not at all.
    Never,
}

/// How a stream or a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Succeeded,
    Failed,
    Interrupted,
}

impl Status {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A number that several tasks add to.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, by: u64) {
        self.0.fetch_sub(by, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is counted of one stream.
#[derive(Debug)]
pub(crate) struct Counters {
    name: String,
    /// Records read: from the source by a tap, from the input by a target.
    pub(crate) read: Count,
    /// Records that the destination confirmed.
    pub(crate) sent: Count,
    /// Records that were not sent because nothing in them had changed.
    pub(crate) unchanged: Count,
    /// Records that the destination does not know.
    pub(crate) missing: Count,
    /// Records that were refused.
    pub(crate) rejected: Count,
    /// Rows that were cleared or deleted because they vanished at the source.
    pub(crate) cleared: Count,
    /// Requests that had to be made again.
    pub(crate) retried: Count,
    /// Bytes written: to stdout by a tap, to the destination by a target.
    pub(crate) bytes: Count,
    /// Batches on their way now.
    pub(crate) in_flight: Count,
    /// Records that are expected in all; zero if nobody knows.
    pub(crate) expected: Count,
    /// Records that the metric lines have reported so far.
    reported: Count,
    times: Mutex<Times>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Times {
    began: Option<Instant>,
    ended: Option<(Status, Duration)>,
}

impl Counters {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            read: Count::default(),
            sent: Count::default(),
            unchanged: Count::default(),
            missing: Count::default(),
            rejected: Count::default(),
            cleared: Count::default(),
            retried: Count::default(),
            bytes: Count::default(),
            in_flight: Count::default(),
            expected: Count::default(),
            reported: Count::default(),
            times: Mutex::default(),
        }
    }

    /// The stream's name in logs, metrics and the summary.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The stream's work begins; a second call changes nothing.
    pub(crate) fn begin(&self) {
        self.times().began.get_or_insert_with(Instant::now);
    }

    /// The stream's work has ended: its last counter line and its timer are printed. The first
    /// ending counts.
    pub(crate) fn end(&self, status: Status) {
        let duration = {
            let mut times = self.times();
            if times.ended.is_some() {
                return;
            }
            let duration = times.began.map_or(Duration::ZERO, |began| began.elapsed());
            times.ended = Some((status, duration));
            duration
        };
        metrics::print_counter(self);
        metrics::print_timer("sync_stream", Some(&self.name), duration, status);
    }

    fn is_at_work(&self) -> bool {
        let times = self.times();
        times.began.is_some() && times.ended.is_none()
    }

    fn status(&self) -> Option<Status> {
        self.times().ended.map(|(status, _)| status)
    }

    fn duration(&self) -> Duration {
        let times = self.times();
        match (times.ended, times.began) {
            (Some((_, duration)), _) => duration,
            (None, Some(began)) => began.elapsed(),
            (None, None) => Duration::ZERO,
        }
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The counters of a run and the task that shows them.
#[derive(Debug)]
pub(crate) struct Monitor {
    binary: &'static str,
    role: Role,
    run_id: String,
    began: Instant,
    streams: Arc<Mutex<Vec<Arc<Counters>>>>,
    reporter: Option<Arc<Reporter>>,
    ended: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Monitor {
    /// Starts to watch. Needs the runtime. A target says where it leaves its rejects.
    pub(crate) fn start(
        binary: &'static str,
        role: Role,
        context: &Context,
        progress: Progress,
        rejects_path: Option<PathBuf>,
    ) -> Self {
        let streams: Arc<Mutex<Vec<Arc<Counters>>>> = Arc::default();
        let run_id = context.run_id();
        let reporter = context.report().map(|path| {
            let path = path.to_owned();
            Arc::new(Reporter::new(path, binary, role, run_id, rejects_path))
        });
        let (ended, end) = watch::channel(false);
        let task = tokio::spawn(watch_counters(
            Arc::clone(&streams),
            reporter.clone(),
            progress,
            end,
        ));
        Self {
            binary,
            role,
            run_id: run_id.to_owned(),
            began: Instant::now(),
            streams,
            reporter,
            ended,
            task,
        }
    }

    /// Notes the name that a stream has in messages and its schema, for the report.
    pub(crate) fn describe(&self, id: &str, stream: &str, schema: &str) {
        if let Some(reporter) = &self.reporter {
            reporter.describe(id, stream, schema);
        }
    }

    /// The counters of a stream; the same for the same name.
    pub(crate) fn stream(&self, name: &str) -> Arc<Counters> {
        let mut streams = lock(&self.streams);
        if let Some(counters) = streams.iter().find(|counters| counters.name == name) {
            return Arc::clone(counters);
        }
        let counters = Arc::new(Counters::new(name));
        streams.push(Arc::clone(&counters));
        counters
    }

    /// Ends what is still at work with the run's status, prints the run's timer and the summary.
    pub(crate) async fn finish(self, status: Status) {
        self.ended.send_replace(true);
        // It never panics; if it did, the summary is still worth printing.
        let _joined = self.task.await;
        let streams = lock(&self.streams).clone();
        for counters in &streams {
            if counters.is_at_work() {
                counters.end(status);
            }
        }
        if let Some(reporter) = &self.reporter {
            reporter.write(status.word(), &streams);
        }
        let duration = self.began.elapsed();
        metrics::print_timer("sync", None, duration, status);
        summary::print(
            &summary::Heading {
                binary: self.binary,
                role: self.role,
                run_id: &self.run_id,
                status,
                duration,
            },
            &streams,
        );
    }
}

fn lock(streams: &Mutex<Vec<Arc<Counters>>>) -> MutexGuard<'_, Vec<Arc<Counters>>> {
    streams.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn watch_counters(
    streams: Arc<Mutex<Vec<Arc<Counters>>>>,
    reporter: Option<Arc<Reporter>>,
    progress: Progress,
    mut end: watch::Receiver<bool>,
) {
    let mut live = (progress == Progress::Auto && stdio::stderr_is_terminal()).then(Live::start);
    let period = if live.is_some() {
        DRAW_EVERY
    } else {
        PLAIN_EVERY
    };
    let mut show = interval(period);
    let mut measure = interval(METRICS_EVERY);
    let mut report = interval(REPORT_EVERY);
    report.set_missed_tick_behavior(MissedTickBehavior::Delay);
    show.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick of an interval is at once, when there is nothing to see.
    show.tick().await;
    measure.tick().await;
    loop {
        tokio::select! {
            _ = end.changed() => break,
            _ = report.tick(), if reporter.is_some() => {
                if let Some(reporter) = &reporter {
                    let streams = lock(&streams).clone();
                    reporter.write(reporter::RUNNING, &streams);
                }
            }
            _ = measure.tick() => {
                for counters in at_work(&streams) {
                    metrics::print_counter(&counters);
                }
            }
            _ = show.tick() => match &mut live {
                Some(live) => live.draw(&at_work(&streams)),
                None if progress == Progress::Never => {}
                None => {
                    for counters in at_work(&streams) {
                        plain_line(&counters);
                    }
                }
            }
        }
    }
    if let Some(live) = live {
        live.end();
    }
}

fn at_work(streams: &Mutex<Vec<Arc<Counters>>>) -> Vec<Arc<Counters>> {
    let streams = lock(streams);
    streams
        .iter()
        .filter(|counters| counters.is_at_work())
        .map(Arc::clone)
        .collect()
}
