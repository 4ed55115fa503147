//! `antiphon logs`: what the stages of a run said, while it lasts and afterwards. Nothing is held in memory
//! but the lines of `--tail`.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use futures_util::TryStreamExt;
use singer_core::{Error, Result};
use singer_runtime::{exit, stdio};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::find::{self, Place};
use super::{keys, work};
use crate::session::Session;

/// Between two looks at a log that grows.
const PAUSE: Duration = Duration::from_millis(200);
/// What is read at once.
const PIECE: usize = 64 * 1024;

const EXAMPLES: &str = "Examples:
  antiphon logs accounts --tail 50             the newest run of a pipeline
  antiphon logs accounts --follow              while it runs
  antiphon logs 20261123T180436                a run by its id, which may be cut";

/// The arguments of `logs`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LogsArguments {
    /// A run, whose id may be cut, or the newest run of a pipeline [default: the newest run of all]
    #[arg(value_name = "RUN | PIPELINE")]
    name: Option<String>,

    /// Only the last lines
    #[arg(long, value_name = "N")]
    tail: Option<usize>,

    /// Go on until the run ends, if it is under way on this machine
    #[arg(short = 'F', long)]
    follow: bool,
}

/// Runs the command.
pub(crate) async fn run(session: Session, arguments: LogsArguments) -> anyhow::Result<u8> {
    let place = choose(&session, arguments.name.as_deref()).await?;
    let folder = work::folder(&session.project.store.work, &place.pipeline, &place.run);
    let mut lines = Lines::new(arguments.tail);
    if let Ok(file) = File::open(folder.join(keys::LOG)).await {
        let follow = arguments.follow.then_some(folder);
        from_file(&session, file, follow, &mut lines).await?;
        return Ok(exit::DONE);
    }
    let key = keys::of_run(&place.pipeline, &place.run, keys::LOG);
    if let Some(mut pieces) = session.store.read(&key).await? {
        while let Some(piece) = pieces.try_next().await? {
            lines.push(&piece)?;
        }
        lines.finish()?;
        return Ok(exit::DONE);
    }
    from_live(&session, &place, arguments.tail).await?;
    Ok(exit::DONE)
}

/// The run that is meant.
async fn choose(session: &Session, name: Option<&str>) -> Result<Place> {
    let project = &session.project;
    let found = match name {
        Some(name) if project.pipelines.contains_key(name) => {
            let run = newest(session, name).await?;
            return run.ok_or_else(|| Error::config(format!("`{name}` has never run")));
        }
        Some(name) => find::locate(session, name).await?,
        None => {
            let mut found: Option<Place> = None;
            for pipeline in project.pipelines.keys() {
                let other = newest(session, pipeline).await?;
                let run = |place: &Option<Place>| place.as_ref().map(|place| place.run.clone());
                if run(&other) > run(&found) {
                    found = other;
                }
            }
            return found.ok_or_else(|| Error::config("nothing has run yet"));
        }
    };
    match (found, name) {
        (Some(place), _) => Ok(place),
        (None, name) => {
            let name = name.unwrap_or_default();
            let mut error = Error::config(format!("there is no run and no pipeline `{name}`"));
            if let Err(unknown) = project.pipeline(name) {
                for hint in unknown.hints() {
                    error = error.with_hint(hint);
                }
            }
            Err(error.with_hint("`antiphon history` shows the last runs"))
        }
    }
}

/// The newest run of a pipeline: ids sort by time.
async fn newest(session: &Session, pipeline: &str) -> Result<Option<Place>> {
    let stored = session.store.folders(&keys::runs(pipeline)).await?;
    let here = work::runs(&session.project.store.work, pipeline).unwrap_or_default();
    // Another machine may be at work; what it says arrives at the end.
    let run = stored.into_iter().chain(here).max();
    Ok(run.map(|run| Place {
        pipeline: pipeline.to_owned(),
        run,
    }))
}

/// Prints a log of a work folder; follows it as long as the run in `follow` lasts.
async fn from_file(
    session: &Session,
    mut file: File,
    follow: Option<PathBuf>,
    lines: &mut Lines,
) -> Result<()> {
    let mut buffer = vec![0; PIECE];
    loop {
        // Asked before the last look: what was written until the end is read after it.
        let goes_on = follow.as_deref().is_some_and(is_under_way);
        loop {
            let length = file.read(&mut buffer).await.map_err(|error| {
                Error::internal("cannot read the log of the run").with_source(error)
            })?;
            if length == 0 {
                break;
            }
            lines.push(buffer.get(..length).unwrap_or_default())?;
        }
        if !goes_on {
            return lines.finish();
        }
        lines.pass_on()?;
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = session.stop().wait() => return Err(Error::interrupted()),
        }
    }
}

/// Whether a run still writes into its folder; it is removed when the run was recorded.
fn is_under_way(folder: &Path) -> bool {
    work::is_alive(folder)
}

/// Prints the last lines of a run on another machine, as far as it tells.
async fn from_live(session: &Session, place: &Place, tail: Option<usize>) -> Result<()> {
    let live = crate::live::of(session, &place.pipeline).await?;
    let Some(live) = live.filter(|live| live.run == place.run) else {
        return Err(Error::config(format!(
            "the run `{}` of `{}` has no log: it said nothing",
            place.run, place.pipeline
        )));
    };
    tracing::warn!(
        run = place.run,
        host = live.host,
        "the run is under way on another machine: these are its last lines"
    );
    let first = live.tail.len().saturating_sub(tail.unwrap_or(usize::MAX));
    let mut text = String::new();
    for line in live.tail.iter().skip(first) {
        text.push_str(line);
        text.push('\n');
    }
    stdio::print(text.as_bytes())
}

/// Prints bytes as they come, or holds the last lines until [`Lines::pass_on`].
#[derive(Debug)]
struct Lines {
    most: Option<usize>,
    held: VecDeque<Vec<u8>>,
    /// A line whose end did not come yet.
    open: Vec<u8>,
}

impl Lines {
    fn new(most: Option<usize>) -> Self {
        Self {
            most,
            held: VecDeque::new(),
            open: Vec::new(),
        }
    }

    fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        let Some(most) = self.most else {
            return stdio::print(bytes);
        };
        while let Some(at) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(at + 1);
            self.open.extend_from_slice(line);
            self.held.push_back(std::mem::take(&mut self.open));
            if self.held.len() > most {
                self.held.pop_front();
            }
            bytes = rest;
        }
        self.open.extend_from_slice(bytes);
        Ok(())
    }

    /// Prints what was held; from here on everything is printed as it comes.
    fn pass_on(&mut self) -> Result<()> {
        if self.most.take().is_none() {
            return Ok(());
        }
        let mut text: Vec<u8> = self.held.drain(..).flatten().collect();
        text.append(&mut self.open);
        stdio::print(&text)
    }

    fn finish(&mut self) -> Result<()> {
        if let Some(most) = self.most
            && !self.open.is_empty()
            && self.held.len() >= most
        {
            // The last line has no end, and counts.
            self.held.pop_front();
        }
        if self.most == Some(0) {
            self.open.clear();
        }
        self.pass_on()
    }
}
