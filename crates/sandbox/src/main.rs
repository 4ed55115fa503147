//! The binary `antiphon-sandbox`: serves the stand-ins until SIGINT or SIGTERM.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use sandbox::Options;
use tokio::signal::unix::{SignalKind, signal};

/// Local stand-ins of remote services: one port, each service under its own path
#[derive(Parser)]
#[command(name = "antiphon-sandbox", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  antiphon-sandbox serve
  antiphon-sandbox serve --listen 127.0.0.1:0 --latency-ms 50
  antiphon-sandbox serve --fault throttle:every=10,retry-after=1 --fault error:status=503,after=20,times=3

A Pendo client is given base_url http://127.0.0.1:8900/pendo and the key `sandbox-key`.
The page at http://127.0.0.1:8900/ shows what arrives.";

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGINT or SIGTERM
    Serve(Box<Serve>),
}

#[derive(Args)]
struct Serve {
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    let Command::Serve(serve) = Arguments::parse().command;
    match run(*serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(serve: Serve) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let sandbox = sandbox::start(serve.options).await?;
        announce(&sandbox.url());
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        sandbox.stop().await
    })
}

#[expect(clippy::print_stdout, reason = "scripts wait for this line; no data goes to stdout here")]
fn announce(url: &str) {
    println!("antiphon-sandbox listening on {url}");
}

#[expect(clippy::print_stderr, reason = "the sandbox is no connector: it has no log to write to")]
fn report(error: &anyhow::Error) {
    eprintln!("antiphon-sandbox: {error:#}");
}
