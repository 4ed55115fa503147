//! `schedule --run`: starts each run when it is due. One task waits for the clock; each run has a task
//! of its own, and so many of them work at once as `--jobs` says.
//!
//! What is due is decided by [`super::due`]; how far a pipeline is done is read from its history, so
//! that a scheduler that died knows where it was.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use singer_core::{Error, Result};
use singer_runtime::exit;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::due::{Late, Look, Timetable};
use crate::history::{self, Kind, Outcome};
use crate::run::{self, Ended};
use crate::session::Session;
use crate::spec::{Pipeline, Project};
use crate::store::Store;

/// How the scheduler works.
#[derive(Debug)]
pub(super) struct Options {
    /// Which pipelines; empty for all that have a schedule.
    pub(super) pipelines: Vec<String>,
    pub(super) jobs: usize,
    pub(super) jitter: Duration,
    pub(super) late: Late,
}

/// The longest sleep: so soon a clock that was set and a file that changed are noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(20);
/// How far the two clocks may drift apart between two looks.
const DRIFT: TimeDelta = TimeDelta::seconds(5);

/// Runs until a signal; the runs that are at work by then end as `run` ends them.
pub(super) async fn keep(session: Session, options: Options) -> anyhow::Result<u8> {
    let mut keeper = Keeper::new(session, options)?;
    tracing::info!(
        pipelines = keeper.tables.len(),
        jobs = keeper.options.jobs,
        "the scheduler is at work"
    );
    let stop = keeper.session.stop().clone();
    while !stop.requested() {
        keeper.reload().await;
        keeper.learn().await;
        let now = keeper.session.clock().now();
        keeper.watch_clock(now);
        keeper.start_due(now);
        let sleep = keeper.sleep(keeper.session.clock().now());
        tracing::debug!(running = keeper.running.len(), "what is due was started");
        tokio::select! {
            () = stop.wait() => {}
            () = tokio::time::sleep(sleep) => {}
            Some(ended) = keeper.runs.join_next() => keeper.ended(ended),
        }
    }
    if !keeper.running.is_empty() {
        tracing::info!(
            runs = keeper.running.len(),
            "no new runs; those at work end first"
        );
    }
    while let Some(ended) = keeper.runs.join_next().await {
        keeper.ended(ended);
    }
    Err(Error::interrupted().into())
}

struct Keeper {
    session: Arc<Session>,
    options: Options,
    /// The file as it was read last, good or not.
    text: Vec<u8>,
    tables: BTreeMap<String, Timetable>,
    /// Pipelines at work or in the queue for a place.
    running: HashSet<String>,
    runs: JoinSet<String>,
    places: Arc<Semaphore>,
    /// The two clocks at the last look.
    clocks: Option<(DateTime<Utc>, Instant)>,
    /// Pipelines whose history could not be read, which was said.
    unread: HashSet<String>,
}

impl Keeper {
    fn new(session: Session, options: Options) -> Result<Self> {
        let now = session.clock().now();
        let tables = timetables(&session.project, &options, now)?;
        if tables.is_empty() {
            return Err(Error::config("no pipeline has a `schedule`")
                .with_hint("add for example `schedule = \"15 3 * * *\"` to a pipeline"));
        }
        Ok(Self {
            text: fs::read(&session.project.file).unwrap_or_default(),
            places: Arc::new(Semaphore::new(options.jobs)),
            session: Arc::new(session),
            options,
            tables,
            running: HashSet::new(),
            runs: JoinSet::new(),
            clocks: None,
            unread: HashSet::new(),
        })
    }

    /// Reads `antiphon.toml` anew if it changed. A broken one is said once, and the old one holds.
    async fn reload(&mut self) {
        let file = &self.session.project.file;
        let text = match fs::read(file) {
            Ok(text) if text != self.text => text,
            // An editor may be about to put it back; what was read holds.
            _ => return,
        };
        self.text = text;
        let now = self.session.clock().now();
        match self.read_anew(now).await {
            Ok((session, mut tables)) => {
                for (name, table) in &mut tables {
                    if let Some(old) = self.tables.get(name) {
                        table.inherit(old, now);
                    }
                }
                self.session = Arc::new(session);
                self.tables = tables;
                tracing::info!(
                    pipelines = self.tables.len(),
                    "`antiphon.toml` was read anew"
                );
            }
            Err(error) => {
                let told = exit::summary_line(&error.into());
                tracing::error!(
                    "`antiphon.toml` has changed and cannot be used; the old one holds: {told}"
                );
            }
        }
    }

    async fn read_anew(
        &self,
        now: DateTime<Utc>,
    ) -> Result<(Session, BTreeMap<String, Timetable>)> {
        let project = Project::load(Some(&self.session.project.file))?;
        let tables = timetables(&project, &self.options, now)?;
        let store = Store::open(&project.store).await?;
        let session = Session {
            project,
            store,
            context: self.session.context.clone(),
        };
        Ok((session, tables))
    }

    /// Reads from the history how far each pipeline is done, where that is not known yet.
    async fn learn(&mut self) {
        let now = self.session.clock().now();
        for (name, table) in self
            .tables
            .iter_mut()
            .filter(|(_, table)| !table.is_known())
        {
            match history::index(&self.session, name).await {
                Ok(index) => {
                    let syncs = index.runs.iter().rev();
                    let last = syncs.into_iter().find(|run| run.kind != Kind::Replay);
                    table.learn(last.map(|run| run.started_at), now, self.options.late);
                    self.unread.remove(name);
                }
                Err(error) if self.unread.insert(name.clone()) => {
                    let told = exit::summary_line(&error.into());
                    tracing::warn!(pipeline = %name, "cannot read when it ran last, so that it waits: {told}");
                }
                Err(_) => {}
            }
            if self.session.stop().requested() {
                return;
            }
        }
    }

    /// Says so when the clock was set, or the machine slept.
    fn watch_clock(&mut self, now: DateTime<Utc>) {
        let monotonic = Instant::now();
        if let Some((before, then)) = self.clocks.replace((now, monotonic)) {
            let passed = TimeDelta::from_std(monotonic - then).unwrap_or(TimeDelta::MAX);
            let step = (now - before).checked_sub(&passed).unwrap_or_default();
            if step.abs() > DRIFT {
                let way = if step > TimeDelta::zero() {
                    "forward"
                } else {
                    "back"
                };
                tracing::warn!(
                    seconds = step.abs().num_seconds(),
                    "the clock went {way}, or the machine slept; each pipeline runs once at most for it"
                );
            }
        }
    }

    fn start_due(&mut self, now: DateTime<Utc>) {
        let mut due_now = Vec::new();
        for (name, table) in &mut self.tables {
            match table.look(now, self.options.late) {
                Look::Wait => {}
                Look::SetBack => {
                    tracing::warn!(pipeline = %name, "its times count anew: the clock was set far back");
                }
                Look::TooLate { due } => tracing::warn!(
                    pipeline = %name,
                    due = %at(due),
                    "left out: it was due too long ago (`--catch-up` runs it)"
                ),
                Look::Run { due, missed } => due_now.push((name.clone(), due, missed)),
            }
        }
        for (name, due, missed) in due_now {
            self.start(&name, due, missed);
        }
    }

    fn start(&mut self, name: &str, due: DateTime<Utc>, missed: u32) {
        let Some(pipeline) = self.session.project.pipelines.get(name).cloned() else {
            return;
        };
        if !self.running.insert(name.to_owned()) {
            tracing::warn!(pipeline = name, due = %at(due), "left out: its last run still goes on");
            return;
        }
        if missed > 0 {
            tracing::warn!(
                pipeline = name,
                missed,
                "times were missed; one run makes up for them"
            );
        }
        let session = Arc::clone(&self.session);
        let places = Arc::clone(&self.places);
        self.runs.spawn(async move {
            let stop = session.stop().clone();
            let place = tokio::select! {
                place = places.acquire_owned() => place,
                () = stop.wait() => return pipeline.name,
            };
            if !stop.requested() {
                tracing::info!(pipeline = %pipeline.name, due = %at(due), "starts");
                run_one(&session, &pipeline).await;
            }
            drop(place);
            pipeline.name
        });
    }

    fn ended(&mut self, ended: Result<String, tokio::task::JoinError>) {
        match ended {
            Ok(name) => drop(self.running.remove(&name)),
            Err(error) => {
                // Which one it was is not known: those that still work keep their lease anyway.
                tracing::error!("a run ended by a defect: {error}");
                self.running.clear();
            }
        }
    }

    /// How long nothing is to be done, unless a run ends.
    fn sleep(&self, now: DateTime<Utc>) -> Duration {
        let next = self
            .tables
            .values()
            .filter_map(|table| table.next(now))
            .min();
        let until = next.map_or(LONGEST_SLEEP, |next| {
            // A moment that has come meanwhile is now.
            (next - now).to_std().unwrap_or_default()
        });
        until.min(LONGEST_SLEEP)
    }
}

/// Runs a pipeline and says in one line how it ended.
async fn run_one(session: &Session, pipeline: &Pipeline) {
    let options = run::Options {
        kind: Kind::Sync,
        select: Vec::new(),
        replay: None,
    };
    let name = &pipeline.name;
    match run::once(session, pipeline, &options).await {
        Ok(Ended::Ran(summary)) => {
            let (run, outcome) = (&summary.run, summary.outcome.word());
            let seconds = summary.duration_seconds;
            if summary.outcome.is_good() {
                tracing::info!(pipeline = %name, %run, outcome, seconds, "ended");
            } else if summary.outcome == Outcome::Interrupted {
                tracing::warn!(pipeline = %name, %run, outcome, seconds, "ended");
            } else {
                let fault = summary.fault.as_ref().map(|fault| fault.message.as_str());
                let fault = fault.unwrap_or("see `antiphon logs`");
                tracing::error!(pipeline = %name, %run, outcome, seconds, "ended: {fault}");
            }
        }
        Ok(Ended::Busy(holder)) => tracing::warn!(
            pipeline = %name,
            host = %holder.host,
            run = %holder.run,
            "left out: another run holds its lock"
        ),
        Err(error) => {
            let told = exit::summary_line(&error.into());
            tracing::error!(pipeline = %name, "could not run: {told}");
        }
    }
}

/// A timetable for each pipeline that is asked for and has a schedule.
fn timetables(
    project: &Project,
    options: &Options,
    now: DateTime<Utc>,
) -> Result<BTreeMap<String, Timetable>> {
    let mut tables = BTreeMap::new();
    for name in &options.pipelines {
        let pipeline = project.pipeline(name)?;
        if pipeline.schedule.is_none() {
            return Err(
                Error::config(format!("the pipeline `{name}` has no `schedule`"))
                    .with_hint("add for example `schedule = \"15 3 * * *\"` to it"),
            );
        }
    }
    for pipeline in project.pipelines.values() {
        if !options.pipelines.is_empty() && !options.pipelines.contains(&pipeline.name) {
            continue;
        }
        if let Some(table) = Timetable::of(pipeline, options.jitter, now)? {
            tables.insert(pipeline.name.clone(), table);
        }
    }
    Ok(tables)
}

fn at(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
