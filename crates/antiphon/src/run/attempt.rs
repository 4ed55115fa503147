//! One attempt of a run: starts the stages, waits for all of them, ends them where it must.
//!
//! Nothing in here waits forever but for a stage that works: whoever is asked to end is killed after
//! the grace, a stage whose reader has gone is asked to end, and what the stages leave behind (a
//! grandchild that holds a pipe open) is waited for a moment and then ended with the group.

use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use futures_util::{FutureExt as _, future};
use nix::sys::signal::Signal;
use singer_runtime::exit;
use singer_runtime::stop::Reason;
use tokio::io::BufReader;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::history::StageEnd;
use crate::live::{Display, LiveStage};
use crate::lock::Lease;
use crate::run::ends::{self, Blame, End, How};
use crate::run::group::{Group, signal_stage};
use crate::run::intake::Intake;
use crate::run::plan::{Launch, RUNNER, TALLY, Unfit};
use crate::run::stages::{self, Stage, Surroundings};
use crate::session::Session;
use crate::spec::{Pipeline, Role};
use crate::state::States;

/// How long a stage may live on when its reader has left, before it is asked to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the rest of the stages' stderr is waited for.
const REST: Duration = Duration::from_millis(500);

/// Why this runner ended the stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Stopped(Reason),
    TimedOut,
    LeaseLost,
    /// What the target printed could not be stored; [`Intake`] knows why.
    Trouble,
}

/// How an attempt ended.
#[derive(Debug)]
pub(super) struct Attempted {
    pub(super) ends: Vec<StageEnd>,
    /// The stage to blame, its label, how it ended.
    pub(super) blame: Option<(Blame, String, How)>,
    pub(super) cause: Option<Cause>,
    /// A stage says that it refused records.
    pub(super) has_rejected: bool,
    pub(super) warnings: Vec<String>,
}

/// What an attempt works with.
pub(super) struct Attempt<'a> {
    pub(super) session: &'a Session,
    pub(super) pipeline: &'a Pipeline,
    pub(super) number: u32,
    pub(super) launches: &'a [Launch],
    pub(super) surroundings: Surroundings<'a>,
    /// None where nothing is stored.
    pub(super) lease: Option<&'a Lease>,
    pub(super) deadline: Option<Instant>,
}

/// Where the states of an attempt go.
pub(super) struct Sink<'a> {
    pub(super) intake: &'a mut Intake,
    pub(super) states: &'a mut States,
    pub(super) display: &'a Display,
}

impl Attempt<'_> {
    /// Runs the stages to their end.
    pub(super) async fn run(&self, sink: Option<Sink<'_>>) -> Result<Attempted, Unfit> {
        let own = |error| Unfit {
            stage: RUNNER.to_owned(),
            error,
        };
        let mut group = Group::start(self.pipeline.grace).await.map_err(own)?;
        if let (Some(lease), Some(identity)) = (self.lease, group.identity())
            && let Err(error) = lease.note_group(Some(identity)).await
        {
            group.end().await;
            return Err(own(error));
        }
        let started = match stages::start(self.launches, &self.surroundings, &group) {
            Ok(started) => started,
            Err(unfit) => {
                group.end().await;
                return Err(unfit);
            }
        };
        if let Some(sink) = &sink {
            sink.display
                .attempt(self.number, started.stages.iter().map(live_stage).collect());
        }
        let (ended_in, ended) = watch::channel(false);
        let (trouble_in, trouble) = watch::channel(false);
        let clock = self.session.clock().clone();
        let display = sink.as_ref().map(|sink| sink.display);
        let reading = async {
            if let (Some(sink), Some(stdout)) = (sink, started.stdout) {
                let stdout = BufReader::with_capacity(64 << 10, stdout);
                let now = || clock.timestamp();
                sink.intake
                    .read(stdout, sink.states, sink.display, now, ended, &trouble_in)
                    .await;
            }
        };
        let mut supervisor = Supervisor::new(self, group, started.stages, display);
        let waiting = supervisor.wait(trouble, ended_in);
        // The states are read while the stages are waited for, in one task: no line overtakes another.
        future::join(Box::pin(reading), Box::pin(waiting)).await;
        Ok(supervisor.close().await)
    }
}

fn live_stage(stage: &Stage) -> LiveStage {
    LiveStage {
        label: stage.label.clone(),
        exec: stage.exec.clone(),
        pid: stage.process,
        ended: None,
    }
}

/// A stage, and what is known of its end.
struct Watched {
    stage: Stage,
    end: Option<(How, usize)>,
    asked: bool,
    left_early: bool,
    /// When it is to get this signal, because its reader has left.
    due: Option<(Instant, Signal)>,
}

/// Waits for the stages of an attempt, and ends them.
struct Supervisor<'a> {
    attempt: &'a Attempt<'a>,
    group: Group,
    display: Option<&'a Display>,
    watched: Vec<Watched>,
    cause: Option<Cause>,
    /// When what is left is killed.
    kill_at: Option<Instant>,
    warnings: Vec<String>,
}

impl<'a> Supervisor<'a> {
    fn new(
        attempt: &'a Attempt<'a>,
        group: Group,
        stages: Vec<Stage>,
        display: Option<&'a Display>,
    ) -> Self {
        let watch = |stage| Watched {
            stage,
            end: None,
            asked: false,
            left_early: false,
            due: None,
        };
        Self {
            attempt,
            group,
            display,
            watched: stages.into_iter().map(watch).collect(),
            cause: None,
            kill_at: None,
            warnings: Vec::new(),
        }
    }

    /// Waits until all stages have ended.
    async fn wait(&mut self, mut trouble: watch::Receiver<bool>, ended: watch::Sender<bool>) {
        let mut waits: FuturesUnordered<_> = self
            .watched
            .iter_mut()
            .enumerate()
            .filter_map(|(index, watched)| Some((index, watched.stage.child.take()?)))
            .map(|(index, mut child)| async move { (index, child.wait().await) })
            .collect();
        let stop = self.attempt.session.stop();
        let mut rank = 0;
        loop {
            let undisturbed = self.cause.is_none();
            tokio::select! {
                biased;
                end = waits.next() => {
                    let mut next = end;
                    let Some(_) = next else { break };
                    // Those that have ended by now ended at the same time, for all that can be told.
                    while let Some((index, status)) = next {
                        let how = status.map_or(How::Signal(0), How::of);
                        self.note_end(index, how, rank);
                        next = waits.next().now_or_never().flatten();
                    }
                    rank += 1;
                }
                () = stop.wait(), if undisturbed => {
                    self.end_for(Cause::Stopped(stop.reason().unwrap_or(Reason::Failure)));
                }
                () = lost(self.attempt.lease), if undisturbed => self.end_for(Cause::LeaseLost),
                Ok(_) = trouble.wait_for(|trouble| *trouble), if undisturbed => {
                    self.end_for(Cause::Trouble);
                }
                () = sleep_until(self.next_look()) => self.look_at_the_time(),
            }
        }
        ended.send_replace(true);
    }

    fn note_end(&mut self, index: usize, how: How, rank: usize) {
        let (before, rest) = self.watched.split_at_mut(index);
        let watched = &mut rest[0];
        watched.end = Some((how, rank));
        let label = &watched.stage.label;
        tracing::debug!(stage = %label, ended = %how.words(), "ended");
        if let Some(display) = self.display {
            display.stage_ended(label, &how.words());
        }
        // Whoever wrote for this stage has no reader any more.
        let Some(writer) = before.last_mut().filter(|writer| writer.end.is_none()) else {
            return;
        };
        watched.left_early = writer.stage.has_output_open();
        let grace = self.attempt.pipeline.grace;
        let patience = if watched.left_early {
            grace.min(PATIENCE)
        } else {
            // It has said all that it had to say, and may have something to tidy up.
            grace.max(PATIENCE)
        };
        if writer.due.is_none() && !writer.asked {
            writer.due = Some((Instant::now() + patience, Signal::SIGTERM));
        }
    }

    /// Asks all stages to end.
    fn end_for(&mut self, cause: Cause) {
        let (signal, why) = match cause {
            Cause::Stopped(Reason::Interrupt) => (Signal::SIGINT, "this runner was interrupted"),
            Cause::Stopped(Reason::Hangup) => (Signal::SIGHUP, "the terminal was closed"),
            Cause::Stopped(_) => (Signal::SIGTERM, "this runner was asked to end"),
            Cause::TimedOut => (Signal::SIGTERM, "the run took longer than its `timeout`"),
            Cause::LeaseLost => (Signal::SIGTERM, "another runner has taken over"),
            Cause::Trouble => (
                Signal::SIGTERM,
                "what the target printed could not be stored",
            ),
        };
        self.attempt
            .surroundings
            .watcher
            .note(&format!("ending the stages with {signal}: {why}"));
        self.cause = Some(cause);
        self.kill_at = Some(Instant::now() + self.attempt.pipeline.grace);
        self.signal_all(signal);
    }

    fn signal_all(&mut self, signal: Signal) {
        for watched in self.watched.iter_mut().filter(|it| it.end.is_none()) {
            watched.asked = true;
            watched.due = None;
        }
        self.group.signal(signal);
    }

    /// When something is to be done though nothing happens.
    fn next_look(&self) -> Option<Instant> {
        let deadline = self
            .attempt
            .deadline
            .filter(|_| self.cause.is_none())
            .into_iter();
        let dues = self.watched.iter().filter_map(|watched| watched.due);
        deadline
            .chain(self.kill_at)
            .chain(dues.map(|(at, _)| at))
            .min()
    }

    fn look_at_the_time(&mut self) {
        let now = Instant::now();
        if self.cause.is_none() && self.attempt.deadline.is_some_and(|at| at <= now) {
            self.end_for(Cause::TimedOut);
        }
        if self.kill_at.is_some_and(|at| at <= now) {
            self.kill_at = None;
            self.attempt
                .surroundings
                .watcher
                .note("killing the stages: they did not end within the `grace`");
            self.signal_all(Signal::SIGKILL);
        }
        let grace = self.attempt.pipeline.grace;
        for watched in self.watched.iter_mut().filter(|it| it.end.is_none()) {
            let Some((_, signal)) = watched.due.filter(|(at, _)| *at <= now) else {
                continue;
            };
            watched.asked = true;
            watched.due = (signal == Signal::SIGTERM).then(|| (now + grace, Signal::SIGKILL));
            self.attempt.surroundings.watcher.note(&format!(
                "ending `{}` with {signal}: nobody reads what it writes any more",
                watched.stage.label
            ));
            signal_stage(watched.stage.process, signal);
        }
    }

    /// Hears the stages out, ends what they left behind, finds whom to blame.
    async fn close(mut self) -> Attempted {
        let mut listeners: Vec<JoinHandle<()>> = self
            .watched
            .iter_mut()
            .filter_map(|watched| watched.stage.listener.take())
            .collect();
        if !hear_out(&mut listeners).await {
            self.warnings.push(
                "a stage left a process behind that held its stderr open: it was ended".to_owned(),
            );
            self.group.signal(Signal::SIGTERM);
            let deadline = Instant::now() + self.attempt.pipeline.grace.min(PATIENCE);
            while Instant::now() < deadline && self.group.has_members() {
                tokio::time::sleep(REST / 10).await;
            }
        }
        self.group.end().await;
        if !hear_out(&mut listeners).await {
            // It has left the group too, and nobody waits for it.
            listeners.iter().for_each(JoinHandle::abort);
        }
        self.judge()
    }

    fn judge(&mut self) -> Attempted {
        let mut warnings = std::mem::take(&mut self.warnings);
        let last = self.watched.len().saturating_sub(1);
        let ends: Vec<End> = self
            .watched
            .iter()
            .enumerate()
            .map(|(index, watched)| {
                // Whoever was not seen to end cannot be: the loop ends with the last of them.
                let (how, rank) = watched.end.unwrap_or((How::Signal(0), usize::MAX));
                End {
                    how,
                    rank,
                    asked: watched.asked,
                    says_broken_pipe: how != How::Code(0) && self.attempt.says_broken_pipe(watched),
                    left_early: watched.left_early,
                    may_reject: (index == last && watched.stage.role == Role::Target)
                        || watched.stage.is_ours,
                }
            })
            .collect();
        if self.cause.is_none() {
            for (watched, next) in self.watched.iter().zip(self.watched.iter().skip(1)) {
                if watched.asked && !next.left_early {
                    warnings.push(format!(
                        "`{}` lived on after it had closed its output, and was ended",
                        watched.stage.label
                    ));
                }
            }
        }
        let blame = ends::blame(&ends).map(|blame| {
            let label = self.watched[blame.stage].stage.label.clone();
            (blame, label, ends[blame.stage].how)
        });
        let stage_ends = self
            .watched
            .iter()
            .zip(&ends)
            .map(|(watched, end)| StageEnd {
                label: watched.stage.label.clone(),
                exec: watched.stage.exec.clone(),
                ended: end.how.words(),
            });
        Attempted {
            ends: stage_ends.collect(),
            blame,
            cause: self.cause,
            has_rejected: ends
                .iter()
                .any(|end| end.may_reject && end.how == How::Code(i32::from(exit::REJECTS))),
            warnings,
        }
    }
}

impl Attempt<'_> {
    fn says_broken_pipe(&self, watched: &Watched) -> bool {
        let words = self.surroundings.watcher.last_words(&watched.stage.label);
        // Our counting stage ends without a word when its reader has gone.
        words.is_broken_pipe || (watched.stage.label == TALLY && words.message.is_empty())
    }
}

/// Waits a moment for all listeners; tells whether they have heard everything.
async fn hear_out(listeners: &mut Vec<JoinHandle<()>>) -> bool {
    let deadline = Instant::now() + REST;
    while let Some(listener) = listeners.last_mut() {
        if tokio::time::timeout_at(deadline, listener).await.is_err() {
            return false;
        }
        listeners.pop();
    }
    true
}

async fn lost(lease: Option<&Lease>) {
    match lease {
        Some(lease) => lease.lost().await,
        None => future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => future::pending().await,
    }
}
