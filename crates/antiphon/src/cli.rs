//! The command line of `antiphon`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use singer_core::Error;
use singer_runtime::context::Context;
use singer_runtime::{command, exit, log, stdio};
use tracing::Level;

use crate::session::Session;
use crate::{check, history, new, notify, rejects, run, schedule, select, serve, state, tally};

const BINARY: &str = "antiphon";

/// Run Singer pipelines: state between runs, versions with a way back, history, alarms, a status page
#[derive(Debug, Parser)]
#[command(name = BINARY, version, after_help = EXAMPLES, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "Examples:
  antiphon new tap-redshift target-pendo       write a starter pipeline
  antiphon run accounts                        run it; what is new since its last state
  antiphon history accounts                    what happened, when, how many records
  antiphon state accounts diff 41 42           what a run moved
  antiphon serve                               the status page, on 127.0.0.1:8700

Everything stands in `antiphon.toml`, looked for here and in the folders above.
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 done with rejects, 75 try again later.";

/// What every command takes.
#[derive(Debug, Args)]
struct Common {
    /// The project [default: `antiphon.toml` here or in a folder above]
    #[arg(short = 'f', long = "file", value_name = "FILE", global = true)]
    file: Option<PathBuf>,

    /// More of the log; twice for even more
    #[arg(short, long, action = ArgAction::Count, global = true)]
    verbose: u8,

    /// Warnings and errors alone
    #[arg(short, long, global = true)]
    quiet: bool,

    /// The form of the log on stderr
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        default_value = "text",
        global = true
    )]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// The form of what a command prints on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run pipelines
    Run(run::Arguments),
    /// List the pipelines with their last outcomes
    List(history::ListArguments),
    /// Show the runs of pipelines
    History(history::HistoryArguments),
    /// Show the log of a run
    Logs(history::LogsArguments),
    /// Look at the versions of a state, and go back
    State(state::Arguments),
    /// List, replay or clear what destinations refused
    Rejects(rejects::Arguments),
    /// Try who is told when something is wrong
    Notify(notify::Arguments),
    /// Print lines for cron or systemd, or be the scheduler
    Schedule(schedule::Arguments),
    /// Serve the status page
    Serve(serve::Arguments),
    /// Select streams and columns in a catalog
    Select(select::Arguments),
    /// Judge Singer messages on stdin
    Check(check::Arguments),
    /// Write a starter pipeline from a tap and a target
    New(new::Arguments),
    /// Count the records that pass from stdin to stdout (a stage of pipelines, made by `run`)
    #[command(hide = true)]
    Tally(tally::Arguments),
    /// End the stages when the runner dies (started by `run`)
    #[command(hide = true)]
    Guard(run::guard::Arguments),
}

/// Runs the program on the arguments of this process.
pub fn main() -> ExitCode {
    start(std::env::args_os())
}

fn start(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let Arguments { command, common } = arguments;
    // It must start at once, and hear no signal: no log, no runtime.
    if let Command::Guard(arguments) = &command {
        return ExitCode::from(run::guard::watch(arguments));
    }
    let options = log::Options {
        format: match common.log_format {
            LogFormat::Text => log::Format::Text,
            LogFormat::Json => log::Format::Json,
        },
        level: match (common.quiet, common.verbose) {
            (true, _) => Level::WARN,
            (false, 0) => Level::INFO,
            (false, 1) => Level::DEBUG,
            (false, _) => Level::TRACE,
        },
    };
    command::run(BINARY, options, |context| {
        dispatch(command, common.file, context)
    })
}

async fn dispatch(command: Command, file: Option<PathBuf>, context: Context) -> anyhow::Result<u8> {
    let open = async |context| Session::open(file.as_deref(), context).await;
    match command {
        Command::Run(arguments) if arguments.pipelines.is_empty() => {
            run::run(open(context).await?, arguments).await
        }
        Command::Run(arguments) => {
            let named = &arguments.pipelines;
            let session = Session::open_for(file.as_deref(), named, context).await?;
            run::run(session, arguments).await
        }
        Command::List(arguments) => history::run_list(open(context).await?, arguments).await,
        Command::History(arguments) => history::run_history(open(context).await?, arguments).await,
        Command::Logs(arguments) => history::run_logs(open(context).await?, arguments).await,
        Command::State(arguments) => state::run(open(context).await?, arguments).await,
        Command::Rejects(arguments) => rejects::run(open(context).await?, arguments).await,
        Command::Notify(arguments) => notify::run(open(context).await?, arguments).await,
        Command::Schedule(arguments) => schedule::run(open(context).await?, arguments).await,
        Command::Serve(arguments) => serve::run(open(context).await?, arguments).await,
        Command::Select(arguments) => select::run(context, arguments).await,
        Command::Check(arguments) => check::run(context, arguments).await,
        Command::New(arguments) => new::run(context, file, arguments).await,
        Command::Tally(arguments) => tally::run(context, arguments).await,
        Command::Guard(arguments) => Ok(run::guard::watch(&arguments)),
    }
}

/// `--help` and `--version` go to stdout, as does the help of a bare command; what is wrong is reported as every binary does.
fn usage(error: &clap::Error) -> ExitCode {
    let code = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Some(exit::DONE),
        // Nothing was asked for: what there is says more than what is missing.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Some(exit::USAGE),
        _ => None,
    };
    if let Some(code) = code {
        let printed = stdio::print(error.render().to_string().as_bytes());
        return ExitCode::from(if printed.is_ok() { code } else { exit::FAILED });
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let (message, rest) = text.split_once('\n').unwrap_or((text, ""));
    let mut report = Error::config(message.trim());
    for line in rest.lines().map(str::trim).filter(|line| !line.is_empty()) {
        report = report.with_hint(line.strip_prefix("tip: ").unwrap_or(line));
    }
    exit::report(BINARY, &report.into());
    ExitCode::from(exit::USAGE)
}
