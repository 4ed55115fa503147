//! One run of a pipeline from its lease to its notice.
//!
//! A crash at any point leaves the lease of a dead process and a work folder: the next run takes over
//! the one and records the other. What the target confirmed is in the versions of the state by then.

use std::path::Path;

use singer_core::Result;
use singer_net::backoff::{Backoff, chance};
use singer_runtime::exit;
use singer_runtime::stop::Reason;
use tokio::time::Instant;

use crate::history::{self, Kind, Outcome, StageEnd, Summary};
use crate::live::Display;
use crate::lock::{self, Lease, Taken};
use crate::mask::Mask;
use crate::notify;
use crate::report::{Echo, Watcher};
use crate::run::attempt::{Attempt, Attempted, Sink};
use crate::run::intake::{Intake, StatesAre, Trouble};
use crate::run::plan::{Plan, Purpose};
use crate::run::refused::{self, Refused, Upstream};
use crate::run::stages::{Output, Surroundings};
use crate::run::verdict::{self, Next, Verdict};
use crate::run::{Ended, Options, unsaved};
use crate::session::Session;
use crate::spec::Pipeline;
use crate::state::{States, Stored};

/// No wait between two attempts is longer.
const LONGEST_WAIT: std::time::Duration = std::time::Duration::from_secs(3600);

/// Runs a pipeline once.
pub(super) async fn run(
    session: &Session,
    pipeline: &Pipeline,
    options: &Options,
    echo: Echo,
) -> Result<Ended> {
    let run = history::new_run(session);
    let ended = Box::pin(begin(session, pipeline, options, echo, &run)).await;
    if let Err(error) = &ended {
        notify::no_run(session, pipeline, &run, options.kind, error).await;
    }
    ended
}

async fn begin(
    session: &Session,
    pipeline: &Pipeline,
    options: &Options,
    echo: Echo,
    run: &str,
) -> Result<Ended> {
    let lease = match lock::take(session, &pipeline.name, run).await? {
        Taken::Lease(lease) => lease,
        Taken::Held(holder) => return Ok(Ended::Busy(holder)),
    };
    let once = Once {
        session,
        pipeline,
        options,
        run,
        lease: &lease,
    };
    let ended = Box::pin(once.under_lease(echo)).await;
    if let Err(error) = lease.release().await {
        // It is found to be dead as soon as this process has ended.
        let error = exit::summary_line(&error.into());
        tracing::warn!(pipeline = pipeline.name, error, "cannot release the lease");
    }
    let (summary, next) = ended?;
    // Whoever has the pipeline now tells of this run when it finds it.
    if next != Next::Withdraw {
        notify::after(session, pipeline, &summary).await;
    }
    Ok(Ended::Ran(Box::new(summary)))
}

struct Once<'a> {
    session: &'a Session,
    pipeline: &'a Pipeline,
    options: &'a Options,
    run: &'a str,
    lease: &'a Lease,
}

/// What the attempts of a run came to.
struct Attempts {
    number: u32,
    verdict: Verdict,
    target_is_ours: bool,
    stages: Vec<StageEnd>,
    warnings: Vec<String>,
}

impl Once<'_> {
    async fn under_lease(&self, echo: Echo) -> Result<(Summary, Next)> {
        let started = Instant::now();
        let started_at = self.session.clock().now();
        let name = &self.pipeline.name;
        let mut states = self.take_over().await?;
        let newest = states.newest().await?;
        let before = newest.as_ref().map(|version| version.version);
        let folder = history::begin_work(self.session, name, self.run, self.options.kind)?;
        let mask = Mask::of(self.pipeline, &self.session.project.folder).await;
        let watcher = Watcher::start(&folder, echo, mask)?;
        let display = Display::start(self.session, name, self.run, &watcher);
        let given = newest
            .filter(|_| self.options.kind == Kind::Sync)
            .map(|version| version.state.get().to_owned())
            .filter(|state| state != "null");
        let states_are = match self.options.kind {
            Kind::Replay => StatesAre::Ignored,
            Kind::Sync | Kind::FullRefresh => StatesAre::Stored,
        };
        let mut intake = Intake::new(self.run, self.pipeline.backwards, states_are, before, given);
        tracing::info!(
            pipeline = name,
            run = self.run,
            state = before,
            "the run starts"
        );
        let deadline = self.pipeline.timeout.map(|timeout| started + timeout);
        let refused = self.pipeline.target.rejects_path.as_deref();
        let refused = refused.map(Refused::watch);
        let upstream = Upstream::watch(self.pipeline, &self.session.project.folder);
        let attempts = self
            .attempt_all(
                &folder,
                &watcher,
                &display,
                &mut intake,
                &mut states,
                deadline,
            )
            .await;
        if let Some(refused) = refused
            && let Err(error) = refused.collect(&folder)
        {
            intake.warn(format!("cannot collect the target's rejects: {error}"));
        }
        let mut next = attempts.verdict.next;
        let upstream = upstream.count(|warning| intake.warn(warning));
        let mut summary = self.summarize(&folder, &watcher, attempts, intake);
        summary.rejects += upstream;
        summary.started_at = started_at;
        summary.state_before = before;
        summary.duration_seconds = started.elapsed().as_secs_f64();
        if let Err(error) = watcher.finish() {
            let error = exit::summary_line(&error.into());
            tracing::warn!(error, "the log is not whole");
        }
        if self.lease.is_lost() {
            // Also while nothing was at work: between two attempts, or while the log was written.
            next = Next::Withdraw;
        }
        if next == Next::Withdraw {
            if let Err(error) = history::set_aside(&summary, &folder) {
                let error = exit::summary_line(&error.into());
                tracing::warn!(error, "the end of the run is not kept");
            }
            return Ok((summary, next));
        }
        self.keep(&mut summary, &folder).await;
        display.end().await;
        Ok((summary, next))
    }

    /// Records what a dead holder has left.
    async fn take_over(&self) -> Result<States> {
        let name = &self.pipeline.name;
        let mut states = States::open(self.session, name, self.lease.fence()).await?;
        let now = || self.session.clock().timestamp();
        // Its stages are ended and its fence is closed since the lease was taken.
        if let Some(holder) = self.lease.took_over() {
            tracing::warn!(
                pipeline = name,
                run = holder.run,
                host = holder.host,
                pid = holder.pid,
                "taken over from a runner that died"
            );
        }
        for summary in history::recover(self.session, name).await? {
            notify::after(self.session, self.pipeline, &summary).await;
        }
        let kept = unsaved::path(self.session, name);
        if let Some(line) = unsaved::store(&kept, &mut states, &now()).await? {
            tracing::warn!(pipeline = name, "{line}");
        }
        Ok(states)
    }

    async fn attempt_all(
        &self,
        folder: &Path,
        watcher: &Watcher,
        display: &Display,
        intake: &mut Intake,
        states: &mut States,
        deadline: Option<Instant>,
    ) -> Attempts {
        let mut attempts = Attempts {
            number: 0,
            verdict: verdict::interrupted(Reason::Failure, None),
            target_is_ours: false,
            stages: Vec::new(),
            warnings: Vec::new(),
        };
        let plan = Plan::make(
            self.session,
            self.pipeline,
            self.options,
            Purpose::Write,
            folder,
        );
        let plan = match plan.await {
            Ok(plan) => {
                watcher.hide(&plan.asked);
                plan
            }
            Err(unfit) => {
                attempts.verdict = verdict::unfit(unfit);
                return attempts;
            }
        };
        attempts.target_is_ours = plan.target_is_ours();
        loop {
            if let Some(reason) = self.session.stop().reason() {
                attempts.verdict = verdict::interrupted(reason, attempts.verdict.fault);
                return attempts;
            }
            attempts.number += 1;
            let launches = match plan.launches_from(intake.baseline.as_deref()) {
                Ok(launches) => launches,
                Err(unfit) => {
                    attempts.verdict = verdict::unfit(unfit);
                    return attempts;
                }
            };
            let attempt = Attempt {
                session: self.session,
                pipeline: self.pipeline,
                number: attempts.number,
                launches: &launches,
                surroundings: Surroundings {
                    folder: &self.session.project.folder,
                    pipeline: &self.pipeline.name,
                    run: self.run,
                    environment: &plan.environment,
                    watcher,
                    output: Output::Read,
                },
                lease: Some(self.lease),
                deadline,
            };
            let sink = Sink {
                intake,
                states,
                display,
            };
            match Box::pin(attempt.run(Some(sink))).await {
                Ok(attempted) => {
                    self.save_late(intake, states, watcher).await;
                    attempts.note(self.pipeline, attempted, intake, watcher);
                }
                Err(unfit) => attempts.verdict = verdict::unfit(unfit),
            }
            if attempts.verdict.next != Next::Retry
                || attempts.number > self.pipeline.retries
                || !self.wait(attempts.number, watcher, deadline).await
            {
                return attempts;
            }
        }
    }

    /// Waits before the next attempt; tells whether there is to be one.
    async fn wait(&self, failed: u32, watcher: &Watcher, deadline: Option<Instant>) -> bool {
        let first = self.pipeline.retry_wait;
        let backoff = Backoff {
            first,
            cap: first.max(LONGEST_WAIT),
        };
        let wait = backoff.wait(failed, None, chance());
        let at = Instant::now() + wait;
        if deadline.is_some_and(|deadline| deadline <= at) {
            watcher.note("a temporary failure; no time is left for another attempt");
            return false;
        }
        watcher.note(&format!(
            "a temporary failure; attempt {} of {} follows in {:.1} s",
            failed + 1,
            self.pipeline.retries + 1,
            wait.as_secs_f64()
        ));
        tokio::select! {
            () = tokio::time::sleep_until(at) => true,
            // The loop sees the stop, and says what became of the run.
            () = self.session.stop().wait() => true,
            () = self.lease.lost() => false,
        }
    }

    /// Tries once more to store a state that the store did not take; else it is kept on this machine.
    async fn save_late(&self, intake: &mut Intake, states: &mut States, watcher: &Watcher) {
        let Some(state) = intake.unsaved.take() else {
            return;
        };
        let now = self.session.clock().timestamp();
        let error = match states.append(&state, self.run, &now).await {
            Ok(Stored::Version(version) | Stored::Same(version)) => {
                intake.version = Some(version);
                intake.baseline = Some(state);
                watcher.note("the newest state was stored after all");
                return;
            }
            // Whoever has taken over goes on from a state of its own.
            Ok(Stored::Fenced) => {
                intake.trouble = Some(Trouble::Fenced);
                return;
            }
            Err(error) => error,
        };
        self.lease.note_unsettled();
        let path = unsaved::path(self.session, &self.pipeline.name);
        let kept = unsaved::keep(&path, self.run, intake.version, &state);
        intake.warn(match kept {
            Ok(()) => format!(
                "the newest state is kept in `{}`: the next run on this machine stores it ({error})",
                path.display()
            ),
            Err(kept) => format!(
                "the newest state is lost, and its records will be sent again ({error}; {kept})"
            ),
        });
    }

    fn summarize(
        &self,
        folder: &Path,
        watcher: &Watcher,
        attempts: Attempts,
        mut intake: Intake,
    ) -> Summary {
        let rejects = refused::count(folder).unwrap_or_else(|error| {
            intake.warn(format!("cannot count the rejects: {error}"));
            0
        });
        if intake.ignored > 0 {
            intake.warnings.push(format!(
                "the target printed lines that are no state: {} were ignored",
                intake.ignored
            ));
        }
        let mut warnings = intake.warnings;
        for warning in attempts.warnings {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        let Verdict {
            mut outcome,
            mut exit_code,
            fault,
            ..
        } = attempts.verdict;
        // Targets of other makers may not have a code for it. Ours have, and know better than a count: an id that
        // the destination does not know is kept to be sent again, and is no failure.
        if outcome == Outcome::Succeeded && rejects > 0 && !attempts.target_is_ours {
            (outcome, exit_code) = (Outcome::Rejects, exit::REJECTS);
        }
        Summary {
            run: self.run.to_owned(),
            pipeline: self.pipeline.name.clone(),
            kind: self.options.kind,
            host: history::host(folder),
            started_at: self.session.context.started_at(),
            duration_seconds: 0.0,
            outcome,
            exit_code,
            attempts: attempts.number,
            fault,
            warnings,
            stages: attempts.stages,
            streams: watcher.counts(),
            rejects,
            state_before: None,
            state_after: intake.version,
            select: self.options.select.clone(),
        }
    }

    /// Records the run. Where that fails, its work folder stays for the next run, and the exit code says
    /// so: whoever looks at the history alone would take it for missing.
    async fn keep(&self, summary: &mut Summary, folder: &Path) {
        let recorded = history::record(self.session, summary, folder).await;
        if let Err(error) = recorded {
            let error = anyhow::Error::new(error);
            let line = exit::summary_line(&error);
            tracing::error!(
                pipeline = self.pipeline.name,
                run = self.run,
                error = line,
                "the run cannot be recorded; the next one on this machine does it"
            );
            if summary.outcome.is_good() {
                summary.exit_code = exit::code(&error, None);
            }
            return;
        }
        if let Err(error) = history::prune(self.session, &self.pipeline.name).await {
            let error = exit::summary_line(&error.into());
            tracing::warn!(
                pipeline = self.pipeline.name,
                error,
                "cannot remove what is too old"
            );
        }
    }
}

impl Attempts {
    fn note(
        &mut self,
        pipeline: &Pipeline,
        attempted: Attempted,
        intake: &mut Intake,
        watcher: &Watcher,
    ) {
        self.verdict = verdict::judge(pipeline, &attempted, intake.trouble.take(), |label| {
            watcher.last_words(label)
        });
        self.stages = attempted.ends;
        self.warnings.extend(attempted.warnings);
    }
}
