//! What is running now: `live.json` in the store, and the lines on a terminal.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use singer_core::Result;
use singer_runtime::amount::grouped;
use singer_runtime::clock::Clock;
use singer_runtime::{log, stdio};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::history::{self, Counts, keys};
use crate::lock;
use crate::report::Watcher;
use crate::session::Session;
use crate::store::Store;
use draw::Drawing;

mod draw;
#[cfg(test)]
mod tests;

/// How often `live.json` is brought up to date in a folder, and in a store that is far away.
const PUT_EVERY: Duration = Duration::from_secs(2);
const PUT_FAR_EVERY: Duration = Duration::from_secs(10);
/// How often the lines on a terminal are drawn, and the counts of the stages are read.
const DRAW_EVERY: Duration = Duration::from_millis(250);
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// How often progress is noted where there is no terminal.
const NOTE_EVERY: Duration = Duration::from_secs(30);
/// The rate is that of so much of the past.
const RATE_OVER: Duration = Duration::from_secs(10);
/// The lines of the log in `live.json`.
const TAIL_LINES: usize = 20;
/// How long the end of a run waits for a store that does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LiveStage {
    pub(crate) label: String,
    pub(crate) exec: String,
    pub(crate) pid: u32,
    /// How it ended, once it has.
    pub(crate) ended: Option<String>,
}

/// What a pipeline is doing now, if it runs.
pub(crate) async fn of(session: &Session, pipeline: &str) -> Result<Option<Live>> {
    let Some(object) = session.store.get(&keys::live(pipeline)).await? else {
        return Ok(None);
    };
    let live: Live = match serde_json::from_slice(&object.bytes) {
        Ok(live) => live,
        Err(error) => {
            // Progress is never worth an error: whoever writes it next writes it anew.
            tracing::debug!(pipeline, %error, "the progress of the run cannot be read");
            return Ok(None);
        }
    };
    let holder = lock::holder(session, pipeline).await?;
    Ok(holder
        .is_some_and(|holder| holder.run == live.run)
        .then_some(live))
}

/// What is shown of one run while it lasts. The run tells it what happens; a task of its own writes
/// `live.json` every two seconds and draws on a terminal.
#[derive(Debug)]
pub(crate) struct Display {
    shared: Arc<Mutex<Progress>>,
    store: Store,
    key: String,
    ended: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What the run has told.
#[derive(Debug, Default)]
struct Progress {
    attempt: u32,
    stages: Vec<LiveStage>,
    /// When each stage began and how long it took, in the order of the stages.
    times: Vec<(Instant, Option<Duration>)>,
    state: Option<u64>,
}

impl Display {
    /// Starts to show a run; removes nothing of others. Draws on the terminal only if `stderr` is one and
    /// the log is not quiet; several displays share the terminal.
    pub(crate) fn start(session: &Session, pipeline: &str, run: &str, watcher: &Watcher) -> Self {
        let shared: Arc<Mutex<Progress>> = Arc::default();
        let (ended, end) = watch::channel(false);
        let is_drawn =
            stdio::stderr_is_terminal() && !log::is_quiet() && log::format() == log::Format::Text;
        let showing = Showing {
            pipeline: pipeline.to_owned(),
            run: run.to_owned(),
            host: history::host(watcher.folder()),
            started_at: session.clock().now(),
            began: Instant::now(),
            clock: session.clock().clone(),
            store: session.store.clone(),
            watcher: watcher.clone(),
            shared: Arc::clone(&shared),
            counts: BTreeMap::new(),
            past: VecDeque::new(),
            put: None,
            noted: None,
        };
        Self {
            shared,
            store: session.store.clone(),
            key: keys::live(pipeline),
            ended,
            task: tokio::spawn(showing.show(is_drawn, end)),
        }
    }

    /// The stages of an attempt were started.
    pub(crate) fn attempt(&self, number: u32, stages: Vec<LiveStage>) {
        let mut progress = lock_progress(&self.shared);
        progress.attempt = number;
        progress.times = vec![(Instant::now(), None); stages.len()];
        progress.stages = stages;
    }

    /// A stage ended.
    pub(crate) fn stage_ended(&self, label: &str, how: &str) {
        let mut progress = lock_progress(&self.shared);
        let place = progress.stages.iter().position(|it| it.label == label);
        if let Some(place) = place {
            progress.stages[place].ended = Some(how.to_owned());
            let (began, took) = &mut progress.times[place];
            took.get_or_insert(began.elapsed());
        }
    }

    /// A version of the state was stored.
    pub(crate) fn state(&self, version: u64) {
        lock_progress(&self.shared).state = Some(version);
    }

    /// Stops drawing and removes `live.json`.
    pub(crate) async fn end(mut self) {
        self.ended.send_replace(true);
        // What is being put must not come after what is removed.
        if timeout(PATIENCE, &mut self.task).await.is_err() {
            self.task.abort();
        }
        match timeout(PATIENCE, self.store.delete(&self.key)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(key = self.key, %error, "progress cannot be removed");
            }
            Err(_) => tracing::debug!(key = self.key, "progress cannot be removed in time"),
        }
    }
}

impl Drop for Display {
    /// A run that ends with an error of its own leaves `live.json`, which is dead without the lease.
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task that shows a run.
struct Showing {
    pipeline: String,
    run: String,
    host: String,
    started_at: DateTime<Utc>,
    began: Instant,
    clock: Clock,
    store: Store,
    watcher: Watcher,
    shared: Arc<Mutex<Progress>>,
    counts: BTreeMap<String, Counts>,
    /// Records in all at moments of the last seconds.
    past: VecDeque<(Instant, u64)>,
    /// What was put last, time aside.
    put: Option<Live>,
    /// The records in all when progress was noted last.
    noted: Option<u64>,
}

impl Showing {
    async fn show(mut self, is_drawn: bool, mut end: watch::Receiver<bool>) {
        let mut drawing = is_drawn.then(Drawing::start);
        let is_near = self.store.folder().is_some();
        let tick = |period| {
            let mut tick = interval(period);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            tick
        };
        let mut put = tick(if is_near { PUT_EVERY } else { PUT_FAR_EVERY });
        let mut draw = tick(DRAW_EVERY);
        let mut count = tick(COUNT_EVERY);
        let mut note = tick(NOTE_EVERY);
        note.tick().await;
        loop {
            tokio::select! {
                biased;
                _ = end.changed() => break,
                _ = count.tick() => self.count(),
                _ = draw.tick(), if drawing.is_some() => {
                    if let Some(drawing) = &mut drawing {
                        drawing.draw(&self.lines());
                    }
                }
                _ = note.tick(), if drawing.is_none() => self.note(),
                _ = put.tick() => {
                    // A store that does not answer must not keep the terminal waiting for long.
                    tokio::select! {
                        biased;
                        _ = end.changed() => break,
                        () = self.put() => {}
                    }
                }
            }
        }
    }

    fn count(&mut self) {
        self.counts = self.watcher.counts();
        let now = Instant::now();
        self.past.push_back((now, self.records()));
        while self.past.len() > 2
            && self
                .past
                .front()
                .is_some_and(|(then, _)| now.duration_since(*then) > RATE_OVER)
        {
            self.past.pop_front();
        }
    }

    fn records(&self) -> u64 {
        self.counts.values().filter_map(|it| it.records).sum()
    }

    fn rate(&self) -> Option<f64> {
        let (first, last) = (self.past.front()?, self.past.back()?);
        let seconds = last.0.duration_since(first.0).as_secs_f64();
        (seconds > 0.5).then(|| last.1.saturating_sub(first.1) as f64 / seconds)
    }

    /// A line now and then for the log of a run of foreign stages; ours say themselves how far they are.
    fn note(&mut self) {
        let records = self.records();
        if self.noted.replace(records) == Some(records)
            || records == 0
            || self.watcher.has_words_of_ours()
        {
            return;
        }
        let rate = self.rate().unwrap_or_default();
        let mut line = format!("{} records, {}/s", grouped(records), grouped(rate as u64));
        if self.counts.len() > 1 {
            line.push_str(&format!(" in {} streams", self.counts.len()));
        }
        self.watcher.note(&line);
    }

    async fn put(&mut self) {
        let live = self.live();
        if self
            .put
            .as_ref()
            .is_some_and(|put| says_the_same(put, &live))
        {
            return;
        }
        let bytes = match serde_json::to_vec(&live) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) => {
                tracing::debug!(%error, "progress cannot be written");
                return;
            }
        };
        match self
            .store
            .put_hint(&keys::live(&self.pipeline), bytes)
            .await
        {
            Ok(()) => self.put = Some(live),
            Err(error) => tracing::debug!(%error, "progress cannot be stored"),
        }
    }

    fn live(&self) -> Live {
        let progress = lock_progress(&self.shared);
        Live {
            run: self.run.clone(),
            pipeline: self.pipeline.clone(),
            host: self.host.clone(),
            started_at: self.started_at,
            updated_at: self.clock.now(),
            attempt: progress.attempt,
            stages: progress.stages.clone(),
            streams: self.counts.clone(),
            rate: self.rate(),
            state: progress.state,
            tail: self.watcher.tail(TAIL_LINES),
        }
    }
}

/// Whether two say the same, the time and the rate aside: a run that stands still is written once.
fn says_the_same(one: &Live, other: &Live) -> bool {
    let is_still = |live: &Live| live.rate.is_none_or(|rate| rate == 0.0);
    one.attempt == other.attempt
        && one.stages == other.stages
        && one.streams == other.streams
        && one.state == other.state
        && one.tail == other.tail
        && is_still(one) == is_still(other)
}

fn lock_progress(shared: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
