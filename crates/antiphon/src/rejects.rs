//! Rejected records: collected with each run, listed, replayed, cleared.
//!
//! The open rejects of a run lie in `runs/<run>/rejects.jsonl`. What was replayed or cleared moves to a file
//! beside it, which stays as long as the run does. Files may be of any size: they are read line by line.

use std::time::Duration;

use clap::{Args, Subcommand};
use singer_core::{Error, Result};

use crate::cli::Format;
use crate::history::keys;
use crate::session::Session;

mod clear;
mod gather;
mod lines;
mod list;
mod replay;
mod settle;

pub(crate) use lines::{Counter, Lines};
pub(crate) use replay::settle as settle_replay;

/// The name of the file of rejects in a run's work folder.
pub(crate) const FILE: &str = "rejects.jsonl";
/// What became of a run's rejects that were replayed: kept until retention removes the run.
pub(crate) const REPLAYED: &str = "rejects.replayed.jsonl";
/// What became of a run's rejects that a person cleared.
pub(crate) const CLEARED: &str = "rejects.cleared.jsonl";

const EXAMPLES: &str = "Examples:
  antiphon rejects accounts list               how many, and why
  antiphon rejects accounts show --limit 3     the records themselves
  antiphon rejects accounts replay             once the cause is mended
  antiphon rejects accounts clear --older-than 30d";

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The pipeline
    pipeline: String,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Count the open rejects by run, stream and reason; no record is shown
    List {
        #[command(flatten)]
        chosen: Chosen,
        /// The form of what is printed; JSON is one object a line
        #[arg(long, value_enum, value_name = "FORM", default_value = "text")]
        format: Format,
    },
    /// Print the open rejects as they are stored, records and all
    Show {
        #[command(flatten)]
        chosen: Chosen,
        /// At most so many
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
    },
    /// Send the open rejects to the target again; what fails again is kept with the newest reason
    Replay {
        #[command(flatten)]
        chosen: Chosen,
    },
    /// Call open rejects done without sending them; they are kept as long as their run
    Clear {
        #[command(flatten)]
        chosen: Chosen,
        /// Only those that were refused longer ago than this: `30d`, `12h`
        #[arg(long, value_name = "AGE", value_parser = parse_age)]
        older_than: Option<Duration>,
    },
}

/// Which rejects are meant.
#[derive(Debug, Clone, Default, Args)]
struct Chosen {
    /// Those of one run; its id may be cut to what is unique
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Those of the streams whose names match
    #[arg(long, value_name = "GLOB")]
    stream: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(session: Session, arguments: Arguments) -> anyhow::Result<u8> {
    let Arguments { pipeline, command } = arguments;
    match command {
        Command::List { chosen, format } => list::list(&session, &pipeline, &chosen, format).await,
        Command::Show { chosen, limit } => list::show(&session, &pipeline, &chosen, limit).await,
        Command::Replay { chosen } => replay::run(&session, &pipeline, &chosen).await,
        Command::Clear { chosen, older_than } => {
            clear::run(&session, &pipeline, &chosen, older_than).await
        }
    }
}

/// The runs of a pipeline that have open rejects, the oldest first.
async fn open_runs(session: &Session, pipeline: &str, chosen: &Chosen) -> Result<Vec<String>> {
    let listed = session.store.list(&keys::runs(pipeline)).await?;
    let has_open = |key: &str| {
        let (run, name) = key.strip_prefix(&keys::runs(pipeline))?.split_once('/')?;
        (name == FILE).then(|| run.to_owned())
    };
    let mut runs: Vec<String> = listed
        .iter()
        .filter_map(|object| has_open(&object.key))
        .collect();
    let Some(prefix) = &chosen.run else {
        // A name that nobody knows is more likely wrong than without rejects.
        if listed.is_empty() {
            session.project.pipeline(pipeline)?;
        }
        return Ok(runs);
    };
    if let Some(exact) = runs.iter().find(|run| *run == prefix) {
        return Ok(vec![exact.clone()]);
    }
    runs.retain(|run| run.starts_with(prefix.as_str()));
    if runs.len() > 1 {
        let count = runs.len();
        let mut error = Error::config(format!("`{prefix}` is the beginning of {count} runs"));
        for run in runs.iter().rev().take(10) {
            error = error.with_hint(run.clone());
        }
        return Err(error);
    }
    if runs.is_empty() {
        let prefix_of_any = format!("{}{prefix}", keys::runs(pipeline));
        let is_known = listed
            .iter()
            .any(|object| object.key.starts_with(&prefix_of_any));
        if !is_known {
            return Err(Error::config(format!("`{pipeline}` has no run `{prefix}`"))
                .with_hint(format!("`antiphon history {pipeline}` shows its runs")));
        }
    }
    Ok(runs)
}

fn parse_age(text: &str) -> std::result::Result<Duration, String> {
    crate::spec::duration::parse(text).ok_or_else(|| "not a span such as `30d` or `12h`".to_owned())
}
