//! From the command line to a run: what a target's binary does.

use std::io::{Read, Write};
use std::process::ExitCode;
use std::sync::Arc;

use singer_core::{Error, Result};
use tokio::sync::mpsc;

use super::Target;
use super::intake::Intake;
use super::memory::Memory;
use super::options::Options;
use super::publish::Outlet;
use super::replay::Replay;
use super::run::Run;
use super::shared::Shared;
use super::state_file::StateFile;
use crate::cli::{Mode, TargetArguments};
use crate::context::Context;
use crate::exit::Ended;
use crate::monitor::{Monitor, Progress};
use crate::process::{self, Start};
use crate::program::{Program, Role};
use crate::rejects::Rejects;
use crate::stop::Stop;
use crate::{log, stdio};

/// What the reader may hand over before the writing side has looked at it.
const EVENTS: usize = 16;

/// Runs a target's binary: command line, config, connection, run, exit code.
pub fn main<T: Target>() -> ExitCode {
    let program = Program::new::<T::Config>(
        Role::Target,
        T::NAME,
        T::DESCRIPTION,
        T::VERSION,
        T::EXAMPLES,
    );
    process::main(&program, start::<T>)
}

async fn start<T: Target>(start: Start) -> anyhow::Result<Ended> {
    let Start {
        invocation,
        config,
        context,
    } = start;
    let options = Options::new(T::NAME, T::PARALLEL, |key| config.get(key))?;
    let own: T::Config = config.build()?;
    if invocation.mode == Mode::Check {
        let stop = context.stop().clone();
        let works = unless_stopped(&stop, async {
            let target = T::connect(own, context).await?;
            let works = target.check().await?;
            target.close().await?;
            Ok(works)
        })
        .await?;
        log::raw(&format!("{}: {works}", T::NAME));
        return Ok(Ended::Done);
    }
    let out: Box<dyn Write + Send> = Box::new(stdio::stdout());
    let job = Job {
        options,
        input: stdio::input(invocation.target.input.as_deref())?,
        arguments: invocation.target,
        progress: invocation.progress,
        out,
    };
    job.run::<T>(own, context).await
}

/// Does what may be given up at any moment, until a stop is asked for.
async fn unless_stopped<V>(
    stop: &Stop,
    work: impl Future<Output = anyhow::Result<V>>,
) -> anyhow::Result<V> {
    tokio::select! {
        value = work => value,
        () = stop.wait() => Err(Error::interrupted().into()),
    }
}

/// A run of a target, beside the target itself.
pub(crate) struct Job {
    pub(crate) options: Options,
    pub(crate) arguments: TargetArguments,
    pub(crate) progress: Progress,
    pub(crate) input: Box<dyn Read + Send>,
    /// Where states are printed.
    pub(crate) out: Box<dyn Write + Send>,
}

impl Job {
    /// Connects and runs to the end.
    pub(crate) async fn run<T: Target>(
        mut self,
        config: T::Config,
        context: Context,
    ) -> anyhow::Result<Ended> {
        // What can be wrong with files is found before anything is connected.
        let state_file = self.arguments.state_file.take();
        let state_file = state_file.map(StateFile::new).transpose()?;
        let context = match &state_file {
            Some(file) => context.with_stored_state(file.stored()),
            None => context,
        };
        let replay = self.replay(&context)?;
        let mut rejects_path = self.options.rejects_path.clone();
        if let Some(replay) = &replay {
            rejects_path = replay.rejects_path();
            self.input = Box::new(replay.limit(self.input));
        }
        let connect = T::connect(config, context.clone());
        let target = Arc::new(unless_stopped(context.stop(), connect).await?);
        let monitor = Monitor::start(
            T::NAME,
            Role::Target,
            &context,
            self.progress,
            std::path::absolute(&rejects_path).ok(),
        );
        let rejects = Rejects::new(rejects_path, context.run_id(), context.clock().clone());
        let shared = Arc::new(Shared::new(
            context,
            self.options,
            rejects,
            Memory::default(),
            monitor,
        ));
        let (sender, events) = mpsc::channel(EVENTS);
        let intake = Intake::<T::Writer>::new(Arc::clone(&shared), sender);
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new()
            .name("decode".to_owned())
            .spawn(move || runtime.block_on(intake.run(self.input)))
            .map_err(|error| {
                Error::internal("cannot start the thread that decodes the input").with_source(error)
            })?;
        let outlet = Outlet::new(self.out, state_file);
        let report = Run::new(target, Arc::clone(&shared), outlet)
            .run(events)
            .await;
        if let Some(replay) = replay {
            if report.is_complete {
                replay.finish()?;
            } else {
                replay.abandon()?;
            }
        }
        if let Some(monitor) = shared.take_monitor() {
            monitor.finish(report.status).await;
        }
        report.result
    }

    /// Whether the input is the rejects file itself. A dry run writes no rejects.
    fn replay(&self, context: &Context) -> Result<Option<Replay>> {
        match &self.arguments.input {
            Some(input) if !context.dry_run() => Replay::begin(input, &self.options.rejects_path),
            _ => Ok(None),
        }
    }
}
