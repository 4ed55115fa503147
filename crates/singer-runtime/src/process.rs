//! One process from its first line to its exit code: what taps and targets have in common.

use std::ffi::OsString;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use singer_core::{Error, Kind, Result};
use tokio::runtime::Runtime;

use crate::about;
use crate::cli::{self, Invocation, Request};
use crate::clock::Clock;
use crate::config::{self, Document};
use crate::context::{Context, DryRun};
use crate::exit::{self, Ended};
use crate::log;
use crate::program::Program;
use crate::report;
use crate::signal;
use crate::stdio;
use crate::stop::Stop;

/// What a run starts from.
pub(crate) struct Start {
    pub(crate) invocation: Invocation,
    pub(crate) config: Document,
    pub(crate) context: Context,
}

/// Runs a binary on the arguments of this process.
pub(crate) fn main<F>(program: &Program, run: impl FnOnce(Start) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<Ended>>,
{
    launch(program, std::env::args_os(), run)
}

fn launch<F>(
    program: &Program,
    arguments: impl IntoIterator<Item = OsString>,
    run: impl FnOnce(Start) -> F,
) -> ExitCode
where
    F: Future<Output = anyhow::Result<Ended>>,
{
    let stop = Stop::default();
    let ended = match cli::parse(program, arguments) {
        Ok(Request::Print(text)) => print(&text),
        Ok(Request::About(format)) => print(&about::render(program, format)),
        Ok(Request::Run(invocation)) => start(program, *invocation, &stop, run),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = &ended {
        if stdio::is_broken_pipe(error) {
            // Whoever read has ended first, and says why itself.
            tracing::warn!("stopped: the reader of stdout has gone");
            // A signal to the whole pipe ends the reader too: then the signal was the reason.
            return ExitCode::from(exit::stopped(stop.reason()));
        }
        if exit::kind(error) == Kind::Interrupted && stop.requested() {
            tracing::warn!("stopped on request");
        } else {
            exit::report(program.name, error);
        }
    }
    exit::exit_code(&ended, stop.reason())
}

fn print(text: &str) -> anyhow::Result<Ended> {
    stdio::print(text.as_bytes())?;
    Ok(Ended::Done)
}

fn start<F>(
    program: &Program,
    invocation: Invocation,
    stop: &Stop,
    run: impl FnOnce(Start) -> F,
) -> anyhow::Result<Ended>
where
    F: Future<Output = anyhow::Result<Ended>>,
{
    let clock = Clock::system();
    log::start(program.name, invocation.log, clock.clone());
    hear_panics();
    let mut config = config::load(
        program.name,
        &program.settings,
        &invocation.config,
        &invocation.flags,
        &config::process_environment,
    )?;
    let dry_run = if invocation.target.dry_run {
        DryRun::Yes
    } else {
        DryRun::No
    };
    let mut context = Context::new(program.name, clock, stop.clone())
        .with_switches(invocation.switches.clone())
        .with_dry_run(dry_run);
    if let Some(user_agent) = config.text("user_agent") {
        context = context.with_user_agent(user_agent);
    }
    if let Some(path) = report::wanted() {
        context = context.with_report(path);
    }
    tracing::debug!(
        run_id = context.run_id(),
        version = program.version,
        "started"
    );
    let runtime = runtime()?;
    let run = async {
        signal::listen(stop)?;
        config.read_proxy().await?;
        run(Start {
            invocation,
            config,
            context,
        })
        .await
    };
    // Nothing of the run is looked at after a panic: only its exit code and last line are left.
    let ended = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(run)))
        .unwrap_or_else(|_| Err(Error::internal("a defect: this program panicked").into()));
    // A thread that waits for a pipe must not keep a finished process alive.
    runtime.shutdown_background();
    ended
}

/// Two workers at least, so that a task that computes never keeps timers and signals waiting.
pub(crate) fn runtime() -> Result<Runtime> {
    let workers = std::thread::available_parallelism().map_or(2, |count| count.get().clamp(2, 8));
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .map_err(|error| Error::internal("cannot start the runtime").with_source(error))
}

/// A panic is logged by its place alone, since its text may hold a row's values; with
/// `RUST_BACKTRACE` the developer who asks for it gets everything.
#[expect(
    clippy::disallowed_methods,
    reason = "RUST_BACKTRACE is the standard library's own switch, not a setting"
)]
pub(crate) fn hear_panics() {
    if std::env::var_os("RUST_BACKTRACE").is_some() {
        return;
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(
            place = place.unwrap_or_default(),
            "a defect: this program panicked; RUST_BACKTRACE=1 shows more"
        );
    }));
}
