//! Reading the streams of a run, several side by side; one that fails does not cost the others.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use singer_core::{Error, Kind};
use tokio::task::{Id, JoinError, JoinSet};

use super::emit::{Output, Run};
use super::{Plan, Replication, Tap};
use crate::exit;
use crate::monitor::{Counters, Monitor, Status};
use crate::stdio;
use crate::stop::Reason;

/// A stream that could not be read.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) stream: String,
    error: anyhow::Error,
}

impl Failure {
    pub(super) fn new(stream: &str, error: anyhow::Error) -> Self {
        Self {
            stream: stream.to_owned(),
            error,
        }
    }

    pub(super) fn log(&self) {
        tracing::error!(
            stream = self.stream,
            error = exit::summary_line(&self.error),
            "the stream failed"
        );
    }
}

/// Reads all streams, `jobs` at once. Returns those that failed; an error is what ended the run.
pub(super) async fn read_all<T: Tap>(
    tap: Arc<T>,
    run: &Run,
    plans: Vec<Plan>,
    jobs: usize,
    monitor: &Monitor,
) -> anyhow::Result<Vec<Failure>> {
    let mut reading = Reading {
        run,
        tasks: JoinSet::new(),
        streams: HashMap::new(),
        failures: Vec::new(),
        ended_by: None,
    };
    let mut waiting: VecDeque<Plan> = plans.into();
    loop {
        while reading.tasks.len() < jobs
            && !run.stop.requested()
            && let Some(plan) = waiting.pop_front()
        {
            let counters = monitor.stream(&plan.id);
            reading.begin(Arc::clone(&tap), plan, counters).await;
        }
        let Some(joined) = reading.tasks.join_next_with_id().await else {
            break;
        };
        reading.end(joined).await;
    }
    if let Some(error) = reading.ended_by {
        return Err(error);
    }
    if run.stop.requested() && !waiting.is_empty() {
        return Err(Error::interrupted().into());
    }
    Ok(reading.failures)
}

/// No failure is success; one of several is named with its cause, many are listed.
pub(super) fn all_succeeded(mut failures: Vec<Failure>, planned: usize) -> anyhow::Result<()> {
    let only_one = failures.len() == 1 && planned <= 1;
    let count = failures.len();
    if only_one && let Some(failure) = failures.pop() {
        let context = format!("cannot sync the stream `{}`", failure.stream);
        return Err(failure.error.context(context));
    }
    let causes = failures
        .iter()
        .rev()
        .fold(None, |inner: Option<Error>, failure| {
            let line = format!(
                "`{}`: {}",
                failure.stream,
                exit::summary_line(&failure.error)
            );
            let mut converted = Error::new(exit::kind(&failure.error), line);
            for hint in exit::explain(&failure.error).hints {
                converted = converted.with_hint(hint);
            }
            Some(match inner {
                Some(inner) => converted.with_source(inner),
                None => converted,
            })
        });
    let Some(causes) = causes else {
        return Ok(());
    };
    let is_outage = |failure: &Failure| {
        matches!(
            exit::kind(&failure.error),
            Kind::Transient | Kind::RateLimited
        )
    };
    // Out of reach for every stream is out of reach; for some, the run has failed.
    let kind = if count >= planned && failures.iter().all(is_outage) {
        Kind::Transient
    } else {
        Kind::Rejected
    };
    let streams = if count == 1 { "stream" } else { "streams" };
    Err(
        Error::new(kind, format!("{count} {streams} could not be synced"))
            .with_source(causes)
            .into(),
    )
}

/// Whether an error says that stdout cannot be written, which ends every stream alike.
pub(super) fn is_write_failure(error: &anyhow::Error) -> bool {
    exit::outermost(error).is_some_and(stdio::is_write_error)
}

struct Reading<'a> {
    run: &'a Run,
    tasks: JoinSet<anyhow::Result<()>>,
    streams: HashMap<Id, (String, Arc<Counters>)>,
    failures: Vec<Failure>,
    ended_by: Option<anyhow::Error>,
}

impl Reading<'_> {
    async fn begin<T: Tap>(&mut self, tap: Arc<T>, plan: Plan, counters: Arc<Counters>) {
        tracing::info!(
            stream = plan.id,
            fields = plan.fields.len(),
            replication = match &plan.replication {
                Replication::FullTable { .. } => "full table",
                Replication::Incremental { .. } => "incremental",
            },
            "begins"
        );
        let is_whole = matches!(plan.replication, Replication::FullTable { .. });
        if is_whole && plan.bookmark.is_empty() {
            let rows = plan.entry.stream_metadata("row-count");
            counters
                .expected
                .set(rows.and_then(|rows| rows.as_u64()).unwrap_or(0));
        }
        counters.begin();
        self.run.bookmarks.begin(&plan.id).await;
        let id = plan.id.clone();
        let output = Output::new(self.run.clone(), &plan, Arc::clone(&counters));
        let task = self.tasks.spawn(read_one(tap, plan, output));
        self.streams.insert(task.id(), (id, counters));
    }

    async fn end(&mut self, joined: Result<(Id, anyhow::Result<()>), JoinError>) {
        let (id, result) = match joined {
            Ok((id, result)) => (id, result),
            Err(panic) => (
                panic.id(),
                Err(Error::internal("a defect: the task of this stream panicked").into()),
            ),
        };
        let Some((stream, counters)) = self.streams.remove(&id) else {
            return;
        };
        let Err(error) = result else {
            self.run.bookmarks.end(&stream).await;
            counters.end(Status::Succeeded);
            return;
        };
        match exit::kind(&error) {
            Kind::Interrupted => {
                counters.end(Status::Interrupted);
                self.ended_by.get_or_insert(error);
            }
            Kind::Auth | Kind::Config => self.stop(&stream, &counters, error),
            _ if is_write_failure(&error) => self.stop(&stream, &counters, error),
            _ => {
                self.run.bookmarks.end(&stream).await;
                counters.end(Status::Failed);
                let failure = Failure { stream, error };
                failure.log();
                self.failures.push(failure);
            }
        }
    }

    /// What is wrong for one stream is wrong for all.
    fn stop(&mut self, stream: &str, counters: &Counters, error: anyhow::Error) {
        counters.end(Status::Failed);
        self.run.stop.request(Reason::Failure);
        let has_cause = self
            .ended_by
            .as_ref()
            .is_some_and(|earlier| exit::kind(earlier) != Kind::Interrupted);
        if has_cause {
            return;
        }
        self.ended_by = Some(if is_write_failure(&error) {
            error
        } else {
            let context = format!("cannot sync the stream `{stream}`");
            match exit::kind(&error) {
                // Exit code 2 would say that nothing was written.
                Kind::Config => error.context(Error::rejected(context)),
                _ => error.context(context),
            }
        });
    }
}

async fn read_one<T: Tap>(tap: Arc<T>, plan: Plan, mut output: Output) -> anyhow::Result<()> {
    let read = tap.read(&plan, &mut output).await;
    match read {
        Err(error) if output.is_sampled() && exit::kind(&error) == Kind::Interrupted => Ok(()),
        Err(error) => Err(error),
        Ok(()) => Ok(output.end().await?),
    }
}
