//! `rejects P replay`: the target alone is given the open rejects of earlier runs. What it takes is done;
//! what it refuses again is an open reject of the replay, with one more attempt and the newest reason. The
//! old ones are closed only after the replay was recorded, and not if it failed: a crash at any point sends
//! them again and loses none.

use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use singer_core::{Error, Result};
use singer_runtime::{exit, stdio};

use super::gather::{Gathered, gather};
use super::lines::Filter;
use super::settle::settle as move_lines;
use super::{Chosen, REPLAYED, open_runs};
use crate::history::{self, Kind, Outcome, Scratch, Summary};
use crate::run::{Ended, Options};
use crate::session::Session;
use crate::spec::{self, Pipeline};

/// The folder of a replay, of which a pipeline has one at a time on a machine.
const FOLDER: &str = ".replay";
/// What is sent.
const INPUT: &str = "rejects.jsonl";
/// What is to be closed afterwards.
const PLAN: &str = "plan.json";
/// How long a target may take to say what it can do.
const HELP_PATIENCE: Duration = Duration::from_secs(20);

/// What a replay was made from.
#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    runs: Vec<String>,
    stream: Option<String>,
}

/// Runs the command.
pub(super) async fn run(session: &Session, pipeline: &str, chosen: &Chosen) -> anyhow::Result<u8> {
    let pipeline = session.project.pipeline(pipeline)?;
    let runs = open_runs(session, &pipeline.name, chosen).await?;
    if runs.is_empty() {
        stdio::print(format!("`{}` has no open rejects\n", pipeline.name).as_bytes())?;
        return Ok(exit::DONE);
    }
    check_target(session, pipeline).await?;
    let scratch = history::scratch(session, &pipeline.name, FOLDER, Kind::Replay)?;
    let folder = scratch.path();
    let stream = chosen.stream.clone();
    let gathered = gather(
        session,
        &pipeline.name,
        &runs,
        stream.as_deref(),
        folder,
        INPUT,
    )
    .await?;
    warn_of(&pipeline.name, &gathered);
    if gathered.records == 0 {
        stdio::print(b"no open rejects are to be replayed\n")?;
        return Ok(exit::DONE);
    }
    let plan = serde_json::to_vec(&Plan { runs, stream })?;
    std::fs::write(folder.join(PLAN), plan).map_err(|error| {
        Error::internal(format!("cannot write into `{}`", folder.display())).with_source(error)
    })?;
    let options = Options {
        kind: Kind::Replay,
        replay: Some(folder.join(INPUT)),
        select: Vec::new(),
    };
    let ended = crate::run::once(session, pipeline, &options).await?;
    match ended {
        Ended::Ran(summary) => tell(&summary, gathered.records),
        Ended::Busy(holder) => Err(super::clear::busy(&pipeline.name, &holder).into()),
    }
}

/// Closes what a replay has sent, if it did its work. To be called under the lease, once the replay was
/// recorded: what it refused again is open in its own name then.
pub(crate) async fn settle(session: &Session, summary: &Summary) -> Result<()> {
    if summary.kind != Kind::Replay || !summary.outcome.is_good() {
        return Ok(());
    }
    let pipeline = summary.pipeline.as_str();
    let Some(scratch) = Scratch::of_this_process(session, pipeline, FOLDER) else {
        return Ok(());
    };
    let failed = |error: std::io::Error| {
        Error::internal(format!("cannot read `{}`", scratch.path().display())).with_source(error)
    };
    let bytes = std::fs::read(scratch.path().join(PLAN)).map_err(failed)?;
    let plan: Plan = serde_json::from_slice(&bytes).map_err(|error| failed(error.into()))?;
    let filter = Filter::replayable(plan.stream);
    let mut closed = Vec::new();
    for run in plan.runs {
        let folder = scratch.path();
        let settled = move_lines(session, pipeline, &run, &filter, REPLAYED, folder).await?;
        closed.push((run, settled.open));
    }
    history::set_open(session, pipeline, &closed).await
}

fn warn_of(pipeline: &str, gathered: &Gathered) {
    if gathered.unfit > 0 {
        tracing::warn!(
            pipeline,
            lines = gathered.unfit,
            "some lines have no stream and record, or cannot be read: they stay open"
        );
    }
    if gathered.repeated > 0 {
        tracing::info!(
            pipeline,
            records = gathered.repeated,
            "records that were refused several times are sent once"
        );
    }
}

fn tell(summary: &Summary, sent: u64) -> anyhow::Result<u8> {
    let run = &summary.run;
    let text = if summary.outcome.is_good() {
        let again = summary.rejects.min(sent);
        let mut text = format!("{} of {sent} records were taken", sent - again);
        if summary.outcome == Outcome::Rejects || again > 0 {
            text.push_str(&format!(
                ", {again} refused again: `antiphon rejects {} list --run {run}`",
                summary.pipeline
            ));
        }
        text
    } else {
        format!(
            "the replay {}: all {sent} records stay open; `antiphon logs {run}` tells more",
            summary.outcome.words()
        )
    };
    stdio::print(format!("{text}\n").as_bytes())?;
    Ok(summary.exit_code)
}

/// Finds out whether the target reads a file of rejects.
async fn check_target(session: &Session, pipeline: &Pipeline) -> Result<()> {
    let folder = &session.project.folder;
    let program = spec::find_program(&pipeline.target, folder)?;
    if spec::is_ours(&program) {
        return Ok(());
    }
    let mut command = tokio::process::Command::new(&program);
    command
        .args(&pipeline.target.args)
        .arg("--help")
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(HELP_PATIENCE, command.output()).await;
    let has_input = |text: &[u8]| memchr::memmem::find(text, b"--input").is_some();
    // A program that does not even tell of itself has no such flag that anybody could know of.
    let is_fit =
        matches!(output, Ok(Ok(output)) if has_input(&output.stdout) || has_input(&output.stderr));
    if is_fit {
        return Ok(());
    }
    Err(Error::config(format!(
        "the target `{}` of `{}` cannot read rejects: it has no `--input`",
        pipeline.target.exec, pipeline.name
    ))
    .with_hint(
        "a replay needs a target of ours, or one that takes `--input FILE` with lines of rejects",
    )
    .with_hint(format!(
        "`antiphon rejects {0} show` prints them, `antiphon rejects {0} clear` closes them",
        pipeline.name
    )))
}
