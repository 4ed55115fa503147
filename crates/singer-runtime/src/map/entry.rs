//! From the command line to a run: what a map's binary does.

use std::process::ExitCode;
use std::sync::Arc;

use super::{Map, run, show};
use crate::cli::Mode;
use crate::exit::Ended;
use crate::log;
use crate::process::{self, Start};
use crate::program::{Program, Role};
use crate::stdio;

/// Runs a map's binary: command line, config, run, exit code.
pub fn main<M: Map>() -> ExitCode {
    let program =
        Program::new::<M::Config>(Role::Map, M::NAME, M::DESCRIPTION, M::VERSION, M::EXAMPLES);
    process::main(&program, |start| Box::pin(begin::<M>(start)))
}

async fn begin<M: Map>(start: Start) -> anyhow::Result<Ended> {
    let Start {
        invocation,
        config,
        context,
    } = start;
    let map = M::new(config.build()?, &context)?;
    if invocation.mode == Mode::Check {
        log::raw(&format!("{}: {}", M::NAME, map.check()?));
        return Ok(Ended::Done);
    }
    let arguments = invocation.map;
    if let Some(wanted) = arguments.show {
        return show::run(&map, wanted, arguments.input.as_deref(), &context).await;
    }
    let job = run::Job {
        input: stdio::input(arguments.input.as_deref())?,
        out: Box::new(stdio::stdout()),
        progress: invocation.progress,
    };
    job.run(Arc::new(map), context).await
}
