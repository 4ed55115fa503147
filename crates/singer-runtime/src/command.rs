//! A program that is neither a tap nor a target, with the same log, signals, last lines and exit codes.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use singer_core::{Error, Kind};

use crate::clock::Clock;
use crate::context::Context;
use crate::stop::Stop;
use crate::{exit, log, process, signal, stdio};

/// Runs a program: starts the log, hears signals (they ask the context to stop), reports an error as
/// every binary does. The future gives the exit code.
pub fn run<F>(
    binary: &'static str,
    options: log::Options,
    run: impl FnOnce(Context) -> F,
) -> ExitCode
where
    F: Future<Output = anyhow::Result<u8>>,
{
    let stop = Stop::default();
    let clock = Clock::system();
    log::start(binary, options, clock.clone());
    process::hear_panics();
    let context = Context::new(binary, clock, stop.clone());
    let ended = start(&stop, run(context));
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) if stdio::is_broken_pipe(&error) => ExitCode::from(exit::stopped(stop.reason())),
        Err(error) => {
            if exit::kind(&error) == Kind::Interrupted && stop.requested() {
                tracing::warn!("stopped on request");
            } else {
                exit::report(binary, &error);
            }
            ExitCode::from(exit::code(&error, stop.reason()))
        }
    }
}

fn start(stop: &Stop, run: impl Future<Output = anyhow::Result<u8>>) -> anyhow::Result<u8> {
    let runtime = process::runtime()?;
    let run = async {
        signal::listen(stop)?;
        run.await
    };
    let ended = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(run)))
        .unwrap_or_else(|_| Err(Error::internal("a defect: this program panicked").into()));
    runtime.shutdown_background();
    ended
}
