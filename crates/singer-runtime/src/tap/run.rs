//! A tap's run from its command line to its last STATE.

use std::future::Future;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use singer_core::catalog::{Catalog, Entry};
use singer_core::message::write_schema;
use singer_core::state::State;
use singer_core::{Error, Kind, Result};

use super::bookmarks::Bookmarks;
use super::emit::{Extent, Run};
use super::files::{read_catalog, read_state};
use super::plan::{Basis, vanished};
use super::select::Patterns;
use super::streams::{self, Failure};
use super::ticker::Ticker;
use super::{Discovery, Plan, Scope, Tap};
use crate::cli::{Mode, TapArguments};
use crate::config::Document;
use crate::context::Context;
use crate::exit::{self, Ended};
use crate::monitor::{Monitor, Progress, Status};
use crate::process::{self, Start};
use crate::program::{Program, Role};
use crate::stdio::{self, Pipe};
use crate::stop::Stop;

/// The whole `main` of a tap's binary.
pub fn main<T: Tap>() -> ExitCode {
    let program =
        Program::new::<T::Config>(Role::Tap, T::NAME, T::DESCRIPTION, T::VERSION, T::EXAMPLES);
    process::main(&program, |start| Box::pin(run::<T>(start, stdio::stdout())))
}

/// The run; messages go to `sink`.
async fn run<T: Tap>(start: Start, sink: impl Write + Send + 'static) -> anyhow::Result<Ended> {
    let Start {
        invocation,
        config,
        context,
    } = start;
    let mode = invocation.mode;
    let own: T::Config = config.build()?;
    let mut select = invocation.tap.select.clone();
    if select.is_empty() && mode != Mode::Discover {
        select = T::wanted(&own);
    }
    let patterns = Patterns::new(select);
    let wishes = match mode {
        // Discovery starts from nothing; Meltano gives it the state all the same.
        Mode::Discover => Wishes {
            catalog: None,
            patterns,
            state: State::default(),
        },
        _ => Wishes::read(&invocation.tap, patterns)?,
    };
    if mode == Mode::Run && wishes.catalog.is_none() && wishes.patterns.is_empty() {
        return Err(nothing_selected::<T>().into());
    }
    let stop = context.stop().clone();
    let context = match &invocation.tap.state {
        Some(path) => context.with_state_path(path.clone()),
        None => context,
    };
    let connected = T::connect(own, context.clone());
    let tap = until_stopped(&stop, connected).await?;
    match mode {
        Mode::Discover => discover(&tap, &wishes, &stop, sink).await,
        Mode::Check => check(&tap, &wishes, &config, &context).await,
        _ => {
            let session = Session {
                mode,
                jobs: tap.side_by_side().unwrap_or(invocation.tap.jobs),
                progress: invocation.progress,
                config,
                context,
            };
            session.sync(Arc::new(tap), wishes, sink).await
        }
    }
}

/// What the person asked for beside the config.
struct Wishes {
    catalog: Option<Catalog>,
    patterns: Patterns,
    state: State,
}

impl Wishes {
    fn read(arguments: &TapArguments, patterns: Patterns) -> Result<Self> {
        let catalog = arguments.catalog.as_deref().map(read_catalog).transpose()?;
        let state = arguments.state.as_deref().map(read_state).transpose()?;
        let wishes = Self {
            catalog,
            patterns,
            state: state.unwrap_or_default(),
        };
        if let Some(catalog) = &wishes.catalog {
            wishes.patterns.check_used(&catalog.streams)?;
        }
        Ok(wishes)
    }

    /// The streams of the catalog that are to be read: those that match the patterns, if there are
    /// any, else the selected ones. Nothing without a catalog.
    fn of_catalog(&self) -> Option<Vec<&Entry>> {
        let streams = self.catalog.as_ref()?.streams.iter();
        let wanted = |entry: &&Entry| {
            if self.patterns.is_empty() {
                entry.is_selected()
            } else {
                self.patterns.matches(entry)
            }
        };
        Some(streams.filter(wanted).collect())
    }

    /// The plans of all wanted streams, in the order in which they are read, and the streams that
    /// cannot be. Errors of the catalog or the state are reported together.
    async fn plans<T: Tap>(
        &self,
        tap: &T,
        config: &Document,
        context: &Context,
    ) -> anyhow::Result<(Vec<Plan>, Vec<Failure>)> {
        let of_catalog = self.of_catalog();
        let scope = match &of_catalog {
            Some(entries) if entries.is_empty() => {
                tracing::warn!("no stream of the catalog is selected");
                return Ok((Vec::new(), Vec::new()));
            }
            Some(entries) => {
                Scope::Streams(entries.iter().map(|entry| entry.id().to_owned()).collect())
            }
            None => Scope::All,
        };
        let mut discovery = until_stopped(context.stop(), tap.discover(&scope)).await?;
        let wanted: Vec<Entry> = match of_catalog {
            Some(entries) => entries.into_iter().cloned().collect(),
            None => self.of_discovery(&discovery)?,
        };
        let basis = Basis {
            state: &self.state,
            start_date: config.text("start_date"),
            started_at: context.started_at(),
        };
        let (mut plans, mut failures, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        for wanted in rotated(wanted, self.state.currently_syncing()) {
            match plan_of(&basis, &wanted, &mut discovery) {
                Ok(plan) => plans.push(plan),
                Err(error) if exit::kind(&error) == Kind::Config => wrong.push(error),
                Err(error) => failures.push(Failure::new(wanted.id(), error)),
            }
        }
        all_of(wrong)?;
        Ok((plans, failures))
    }

    fn of_discovery(&self, discovery: &Discovery) -> Result<Vec<Entry>> {
        self.patterns
            .check_used(&discovery.streams)
            .map_err(|error| self.unreadable(discovery).unwrap_or(error))?;
        let streams = discovery.streams.iter();
        let wanted = |entry: &&Entry| self.patterns.is_empty() || self.patterns.matches(entry);
        Ok(streams.filter(wanted).cloned().collect())
    }

    /// Why a stream that the patterns mean is not among those that can be read.
    fn unreadable(&self, discovery: &Discovery) -> Option<Error> {
        let is_meant = |id: &str| {
            let without_database = id.split_once('.').map_or(id, |(_, rest)| rest);
            self.patterns.matches(&Entry::new(id, without_database))
        };
        let (id, problem) = discovery.problems.iter().find(|(id, _)| is_meant(id))?;
        let cause = Error::config(exit::summary_line(problem));
        let error = Error::config(format!("the stream `{id}` cannot be read")).with_source(cause);
        let hints = exit::explain(problem).hints;
        Some(hints.into_iter().fold(error, Error::with_hint))
    }
}

/// The plan of one stream, or why there is none: gone, not readable, changed.
fn plan_of(basis: &Basis<'_>, wanted: &Entry, discovery: &mut Discovery) -> anyhow::Result<Plan> {
    let id = wanted.id();
    if let Some(found) = discovery.streams.iter().find(|found| found.id() == id) {
        return Ok(basis.plan(wanted, found)?);
    }
    let problem = discovery
        .problems
        .iter()
        .position(|(stream, _)| stream == id);
    Err(match problem {
        Some(index) => discovery.problems.swap_remove(index).1,
        None => vanished(id).into(),
    })
}

/// The streams from the one that an interrupted run was at, then those before it.
fn rotated(mut streams: Vec<Entry>, currently_syncing: Option<&str>) -> Vec<Entry> {
    let position = currently_syncing
        .and_then(|id| streams.iter().position(|entry| entry.id() == id))
        .unwrap_or(0);
    streams.rotate_left(position);
    streams
}

/// Several errors of one file are reported together.
fn all_of(mut errors: Vec<anyhow::Error>) -> anyhow::Result<()> {
    if errors.len() < 2 {
        return errors.pop().map_or(Ok(()), Err);
    }
    let count = errors.len();
    let causes = errors
        .iter()
        .rev()
        .fold(None, |inner: Option<Error>, error| {
            let mut converted = Error::config(exit::summary_line(error));
            for hint in exit::explain(error).hints {
                converted = converted.with_hint(hint);
            }
            Some(match inner {
                Some(inner) => converted.with_source(inner),
                None => converted,
            })
        });
    let error = Error::config(format!("{count} streams of the catalog cannot be planned"));
    Err(match causes {
        Some(causes) => error.with_source(causes).into(),
        None => error.into(),
    })
}

fn nothing_selected<T: Tap>() -> Error {
    let name = T::NAME;
    Error::config("no streams are selected: neither `--catalog` nor `--select` was given")
        .with_hint(format!(
            "list the streams: {name} --config config.json --discover > catalog.json"
        ))
        .with_hint(format!(
            "sync some at once: {name} --config config.json --select '*.orders'"
        ))
        .with_hint("or set \"selected\": true in the catalog and give it with `--catalog`")
}

async fn discover<T: Tap>(
    tap: &T,
    wishes: &Wishes,
    stop: &Stop,
    mut sink: impl Write,
) -> anyhow::Result<Ended> {
    let discovery = until_stopped(stop, tap.discover(&Scope::All)).await?;
    for (stream, error) in &discovery.problems {
        tracing::warn!(
            stream,
            error = exit::summary_line(error),
            "left out of the catalog"
        );
    }
    let mut streams = wishes.of_discovery(&discovery)?;
    if !wishes.patterns.is_empty() {
        for entry in &mut streams {
            entry.set_stream_metadata("selected", true);
        }
    }
    tracing::info!(streams = streams.len(), "discovered");
    let mut text = serde_json::to_vec_pretty(&Catalog { streams })
        .map_err(|error| Error::internal("cannot write the catalog").with_source(error))?;
    text.push(b'\n');
    sink.write_all(&text)
        .and_then(|()| sink.flush())
        .map_err(stdio::write_error)?;
    Ok(Ended::Done)
}

async fn check<T: Tap>(
    tap: &T,
    wishes: &Wishes,
    config: &Document,
    context: &Context,
) -> anyhow::Result<Ended> {
    let works = until_stopped(context.stop(), tap.check()).await?;
    tracing::info!("{works}");
    if wishes.catalog.is_some() || !wishes.patterns.is_empty() {
        let (plans, failures) = wishes.plans(tap, config, context).await?;
        tracing::info!(streams = plans.len(), "can be read");
        streams::all_succeeded(failures, plans.len())?;
    }
    Ok(Ended::Done)
}

struct Session {
    mode: Mode,
    jobs: usize,
    progress: Progress,
    config: Document,
    context: Context,
}

impl Session {
    async fn sync<T: Tap>(
        self,
        tap: Arc<T>,
        wishes: Wishes,
        sink: impl Write + Send + 'static,
    ) -> anyhow::Result<Ended> {
        let (plans, failures) = wishes.plans(&*tap, &self.config, &self.context).await?;
        let planned = plans.len();
        let monitor = Monitor::start(T::NAME, Role::Tap, &self.context, self.progress, None);
        for failure in &failures {
            failure.log();
            monitor.stream(&failure.stream).end(Status::Failed);
        }
        let sink: Box<dyn Write + Send> = if tap.writes_messages() {
            Box::new(sink)
        } else {
            Box::new(std::io::sink())
        };
        let (pipe, end) = Pipe::open(sink)?;
        let (ticker, ticking) = Ticker::start();
        let run = Run {
            pipe,
            bookmarks: Arc::new(Bookmarks::new(wishes.state)),
            ticker,
            clock: self.context.clock().clone(),
            stop: self.context.stop().clone(),
            extent: match self.mode {
                Mode::OneRecord => Extent::OneRecord,
                _ => Extent::Everything,
            },
            tells_state: tap.tells_state() && tap.writes_messages(),
        };
        let mut outcome = self.write(Arc::clone(&tap), run, plans, &monitor).await;
        ticking.abort();
        // What was handed over is written before anything is said about the end.
        let written = end.finish().await;
        if let (Err(error), false) = (written, is_write_failure(&outcome)) {
            outcome = Err(error.into());
        }
        let ended = outcome.and_then(|mut failed| {
            failed.splice(0..0, failures);
            streams::all_succeeded(failed, planned)
        });
        monitor.finish(status_of(&ended)).await;
        ended.map(|()| match tap.rejected() {
            0 => Ended::Done,
            // The last line, as a runner shows it beside the exit code.
            rejected => {
                tracing::warn!(rejected, "all others were read; some became rejects");
                Ended::WithRejects
            }
        })
    }

    /// Everything that goes through the pipe: SCHEMA of all streams, then their records, then the
    /// last STATE. Returns the streams that failed.
    async fn write<T: Tap>(
        &self,
        tap: Arc<T>,
        run: Run,
        plans: Vec<Plan>,
        monitor: &Monitor,
    ) -> anyhow::Result<Vec<Failure>> {
        // All schemas come first, so that a target can object to any before it writes anything.
        let mut schemas = run.pipe.buffer();
        for plan in &plans {
            let schema = plan.schema.to_string();
            monitor.describe(&plan.id, &plan.stream, &schema);
            write_schema(
                &mut schemas,
                &plan.stream,
                &schema,
                &plan.key_properties,
                &plan.bookmark_properties(),
            );
        }
        run.pipe.send(schemas).await?;
        if self.mode == Mode::SchemasOnly {
            return Ok(Vec::new());
        }
        let read = streams::read_all(tap, &run, plans, self.jobs, monitor).await;
        if self.mode == Mode::Run && run.tells_state && !is_write_failure(&read) {
            if read.as_ref().is_ok_and(Vec::is_empty) {
                run.bookmarks.finish(&run.pipe).await?;
            } else {
                run.bookmarks.finish_failed(&run.pipe).await?;
            }
        }
        read
    }
}

fn is_write_failure<R>(outcome: &anyhow::Result<R>) -> bool {
    outcome
        .as_ref()
        .err()
        .is_some_and(streams::is_write_failure)
}

fn status_of(ended: &anyhow::Result<()>) -> Status {
    match ended {
        Ok(()) => Status::Succeeded,
        Err(error) if exit::kind(error) == Kind::Interrupted => Status::Interrupted,
        Err(_) => Status::Failed,
    }
}

/// The work's result, or an interruption if a stop is asked for first.
async fn until_stopped<R>(
    stop: &Stop,
    work: impl Future<Output = anyhow::Result<R>>,
) -> anyhow::Result<R> {
    tokio::select! {
        biased;
        result = work => result,
        () = stop.wait() => Err(Error::interrupted().into()),
    }
}

#[cfg(test)]
mod tests;
