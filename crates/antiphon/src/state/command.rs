//! `antiphon state`: look at the versions of a state, and go back. What is written here is a new version
//! under a lease of its own; no version is ever changed.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use futures_util::{StreamExt, stream};
use serde_json::json;
use singer_core::{Error, Result};
use singer_runtime::{exit, stdio};

use super::diff::{self, Change};
use super::{Cause, States, Stored, Version, file};
use crate::cli::Format;
use crate::lock::{self, Holder, Taken};
use crate::session::Session;

/// No state that a tap can use is larger.
const LARGEST: u64 = 64 * 1024 * 1024;
/// Versions that are read at the same time for a list.
const AT_ONCE: usize = 16;

const EXAMPLES: &str = "Examples:
  antiphon state accounts list
  antiphon state accounts diff                 what the newest version changed
  antiphon state accounts revert 41            the value of version 41 becomes the newest version
  antiphon state accounts import state.json    go on where a shell pipe or Meltano was

Versions are numbers from `list`, `newest`, or counted back from it: -1 is the newest but one.";

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The pipeline
    pipeline: String,

    #[command(subcommand)]
    action: Action,

    /// The form of the output
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        default_value = "text",
        global = true
    )]
    format: Format,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the versions, the newest first
    List {
        /// At most so many
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
        limit: usize,
    },
    /// Print a state, as `--state` of a tap takes it
    Show {
        /// The version
        #[arg(
            value_name = "N",
            allow_negative_numbers = true,
            default_value = "newest"
        )]
        version: Number,
    },
    /// Make the state of a file the newest version
    Set {
        /// The file, `-` for stdin
        #[arg(value_name = "FILE")]
        input: PathBuf,
    },
    /// Make the state of an old version the newest version
    Revert {
        /// The version to go back to
        #[arg(value_name = "N", allow_negative_numbers = true)]
        version: Number,
    },
    /// Show what differs between two versions
    Diff {
        /// The version before
        #[arg(value_name = "A", allow_negative_numbers = true, default_value = "-1")]
        before: Number,
        /// The version after
        #[arg(
            value_name = "B",
            allow_negative_numbers = true,
            default_value = "newest"
        )]
        after: Number,
    },
    /// Make the state of Meltano or of a shell pipe the newest version
    Import {
        /// A `state.json` of a pipe, what `meltano state get` printed, or a file of Meltano's; `-` for stdin
        #[arg(value_name = "FILE")]
        input: PathBuf,
    },
}

/// A version as people name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    At(u64),
    /// So many before the newest.
    Back(u64),
}

impl std::str::FromStr for Number {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "newest" {
            return Ok(Self::Back(0));
        }
        let number = match text.strip_prefix('-') {
            Some(back) => back.parse().map(Self::Back),
            None => text.parse().map(Self::At),
        };
        number.map_err(|_| "a version is a number, a negative number, or `newest`".to_owned())
    }
}

/// Runs the command.
pub(crate) async fn run(session: Session, arguments: Arguments) -> anyhow::Result<u8> {
    let Arguments {
        pipeline,
        action,
        format,
    } = arguments;
    session.project.pipeline(&pipeline)?;
    let desk = Desk {
        session,
        pipeline,
        format,
    };
    match action {
        Action::List { limit } => desk.list(limit).await?,
        Action::Show { version } => desk.show(version).await?,
        Action::Diff { before, after } => desk.diff(before, after).await?,
        Action::Set { input } => {
            let state = read(&input, file::parse)?;
            desk.write(Source::Text(state)).await?;
        }
        Action::Import { input } => {
            let state = read(&input, file::parse_foreign)?;
            desk.write(Source::Text(state)).await?;
        }
        Action::Revert { version } => desk.write(Source::Version(version)).await?,
    }
    Ok(exit::DONE)
}

struct Desk {
    session: Session,
    pipeline: String,
    format: Format,
}

/// Where the next version comes from.
enum Source {
    Text(String),
    Version(Number),
}

impl Desk {
    async fn list(&self, limit: usize) -> anyhow::Result<()> {
        let states = self.states().await?;
        let mut numbers = states.numbers().await?;
        numbers.reverse();
        numbers.truncate(limit);
        let versions: Vec<(u64, Result<Option<Version>>)> = stream::iter(numbers)
            .map(|number| {
                let states = &states;
                async move { (number, states.version(number).await) }
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        let text = match self.format {
            Format::Json => {
                let listed: Vec<_> = versions.iter().filter_map(list_json).collect();
                document(&json!({"pipeline": self.pipeline, "versions": listed}))
            }
            Format::Text if versions.is_empty() => {
                format!("`{}` has no state yet\n", self.pipeline)
            }
            Format::Text => list_text(&versions),
        };
        Ok(stdio::print(text.as_bytes())?)
    }

    async fn show(&self, number: Number) -> anyhow::Result<()> {
        let states = self.states().await?;
        let version = self.version(&states, number).await?;
        let text = match self.format {
            Format::Text => format!("{}\n", version.state.get()),
            Format::Json => {
                String::from_utf8(super::text_of(&version)?).context("a state is text")?
            }
        };
        Ok(stdio::print(text.as_bytes())?)
    }

    async fn diff(&self, before: Number, after: Number) -> anyhow::Result<()> {
        let states = self.states().await?;
        let before = self.version(&states, before).await?;
        let after = self.version(&states, after).await?;
        let changes = diff::changes(before.state.get(), after.state.get())?;
        let text = match self.format {
            Format::Json => document(&json!({
                "pipeline": self.pipeline,
                "before": before.version,
                "after": after.version,
                "changes": changes,
            })),
            Format::Text if changes.is_empty() => format!(
                "versions {} and {} hold the same state\n",
                before.version, after.version
            ),
            Format::Text => changes.iter().map(Change::line).collect(),
        };
        Ok(stdio::print(text.as_bytes())?)
    }

    async fn write(&self, source: Source) -> anyhow::Result<()> {
        let run = format!("state-{}", self.session.context.run_id());
        let lease = match lock::take_to_write(&self.session, &self.pipeline, &run).await? {
            Taken::Lease(lease) => lease,
            Taken::Held(holder) => return Err(self.busy(&holder).into()),
        };
        let written = self.write_under(lease.fence(), source).await;
        // After a holder that died, the lease counts as given back only once a version stands under it:
        // without one, the old holder could still write.
        if written.is_ok() || lease.took_over().is_none() {
            lease.release().await?;
        }
        let (number, words) = written?;
        let text = match self.format {
            Format::Json => document(&json!({"pipeline": self.pipeline, "version": number})),
            Format::Text => format!(
                "version {number} of the state of `{}`: {words}\n",
                self.pipeline
            ),
        };
        Ok(stdio::print(text.as_bytes())?)
    }

    async fn write_under(&self, fence: u64, source: Source) -> Result<(u64, String)> {
        let mut states = States::open_damaged(&self.session, &self.pipeline, fence).await?;
        let (state, cause, words) = match source {
            Source::Text(state) => (state, Cause::Set, "set".to_owned()),
            Source::Version(number) => {
                let old = self.version(&states, number).await?;
                let words = format!("the value of version {} again", old.version);
                (
                    old.state.get().to_owned(),
                    Cause::Reverted(old.version),
                    words,
                )
            }
        };
        let at = self.session.clock().timestamp();
        match states.append_by_hand(&state, cause, &at).await? {
            Stored::Version(number) | Stored::Same(number) => Ok((number, words)),
            Stored::Fenced => Err(Error::transient(format!(
                "another runner has written a state of `{}` at the same time; nothing was changed",
                self.pipeline
            ))),
        }
    }

    async fn states(&self) -> Result<States> {
        States::open_damaged(&self.session, &self.pipeline, 0).await
    }

    async fn version(&self, states: &States, number: Number) -> Result<Version> {
        let numbers = states.numbers().await?;
        let (Some(oldest), Some(newest)) = (numbers.first(), numbers.last()) else {
            return Err(Error::config(format!(
                "`{}` has no state yet",
                self.pipeline
            )));
        };
        let wanted = match number {
            Number::At(wanted) => Some(wanted),
            Number::Back(back) => newest.checked_sub(back),
        };
        if let Some(wanted) = wanted.filter(|wanted| numbers.contains(wanted))
            && let Some(version) = states.version(wanted).await?
        {
            return Ok(version);
        }
        let name = match number {
            Number::At(wanted) => wanted.to_string(),
            Number::Back(back) => format!("-{back}"),
        };
        Err(Error::config(format!(
            "there is no version {name} of the state of `{}`",
            self.pipeline
        ))
        .with_hint(format!("there are versions {oldest} to {newest}")))
    }

    fn busy(&self, holder: &Holder) -> Error {
        Error::transient(format!(
            "`{}` is running: {} on `{}` holds its lease since {}",
            self.pipeline, holder.run, holder.host, holder.since
        ))
        .with_hint("wait until it has ended: its next state would come behind what you set")
    }
}

fn read(path: &Path, parse: fn(&str) -> Result<String>) -> Result<String> {
    let name = if path == Path::new("-") {
        "stdin".to_owned()
    } else {
        format!("`{}`", path.display())
    };
    let input = stdio::input((path != Path::new("-")).then_some(path))?;
    let mut bytes = Vec::new();
    input
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::config(format!("cannot read {name}")).with_source(error))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::config(format!("{name} is too large for a state")));
    }
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Error::config(format!("{name}: the state is not UTF-8")))?;
    parse(text).map_err(|error| error.at(name))
}

fn list_json((number, version): &(u64, Result<Option<Version>>)) -> Option<serde_json::Value> {
    match version {
        Ok(Some(version)) => Some(json!({
            "version": number,
            "at": version.at,
            "run": version.run,
            "fence": version.fence,
            "cause": version.cause,
            "bytes": version.state.get().len(),
            "damaged": false,
        })),
        Ok(None) => None,
        Err(_) => Some(json!({"version": number, "damaged": true})),
    }
}

fn list_text(versions: &[(u64, Result<Option<Version>>)]) -> String {
    let mut text = format!(
        "{:>8}  {:<20}  {:>9}  {:<14}  run\n",
        "version", "written", "bytes", "cause"
    );
    for (number, version) in versions {
        let line = match version {
            Ok(Some(version)) => format!(
                "{number:>8}  {:<20}  {:>9}  {:<14}  {}",
                seconds(&version.at),
                version.state.get().len(),
                cause_words(&version.cause),
                version.run.as_deref().unwrap_or("-")
            ),
            Ok(None) => continue,
            Err(error) => format!("{number:>8}  {}", error.message()),
        };
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Without the parts of a second, which nobody reads.
fn seconds(at: &str) -> String {
    match at.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => at.to_owned(),
    }
}

fn cause_words(cause: &Cause) -> String {
    match cause {
        Cause::Printed => "printed".to_owned(),
        Cause::TakenOver => "taken over".to_owned(),
        Cause::Reverted(number) => format!("revert to {number}"),
        Cause::Set => "set".to_owned(),
    }
}

fn document(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}
